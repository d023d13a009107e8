"""A read-only connection sees everything and changes nothing."""

import os

import libvirt
import pytest

from lib import xml
from lib.virsh import Virsh

DENIED = libvirt.VIR_ERR_OPERATION_DENIED
CONFIG = libvirt.VIR_DOMAIN_AFFECT_CONFIG


@pytest.fixture(scope="module")
def looking(uri):
    return Virsh(uri, "--readonly")


@pytest.fixture(scope="module")
def running(conn, base):
    image = base / "readonly.img"
    image.write_bytes(bytes(1 << 20))
    domain = conn.defineXML(xml.bare("readonly-running", devices=xml.disk(image)))
    domain.create()
    yield domain
    domain.destroy()
    domain.undefine()


@pytest.fixture(scope="module")
def seen(readonly, running):
    """The running domain as the read-only connection has it."""
    return readonly.lookupByName(running.name())


READS = [
    "list --all", "dominfo NAME", "domstate NAME --reason", "dumpxml NAME", "domid NAME", "domuuid NAME", "vcpuinfo NAME", "vcpucount NAME", "domblklist NAME",
    "domiflist NAME", "domstats NAME", "nodeinfo", "capabilities", "version", "hostname", "uri", "maxvcpus", "nodecpumap", "freecell",
    "nodememstats", "nodecpustats", "domcontrol NAME", "desc NAME", "ttyconsole NAME", "blkdeviotune NAME vda", "dommemstat NAME", "sysinfo",
]  # fmt: skip


@pytest.mark.parametrize("command", READS)
def test_what_only_looks_is_allowed(looking, virsh, running, command):
    words = command.replace("NAME", running.name()).split()
    result, privileged = looking.run(*words), virsh.run(*words)
    assert "read only" not in result.err and "forbidden" not in result.err
    assert result.status == privileged.status, result.err


WRITES = {
    "create": lambda c, d: c.createXML(xml.bare("readonly"), libvirt.VIR_DOMAIN_START_PAUSED),
    "define": lambda c, d: c.defineXML(xml.bare("readonly")),
    "start": lambda c, d: d.create(),
    "destroy": lambda c, d: d.destroy(),
    "destroy --graceful": lambda c, d: d.destroyFlags(libvirt.VIR_DOMAIN_DESTROY_GRACEFUL),
    "undefine": lambda c, d: d.undefine(),
    "suspend": lambda c, d: d.suspend(),
    "resume": lambda c, d: d.resume(),
    "shutdown": lambda c, d: d.shutdown(),
    "reboot": lambda c, d: d.reboot(),
    "reset": lambda c, d: d.reset(),
    "setmem": lambda c, d: d.setMemoryFlags(1024, CONFIG),
    "setmaxmem": lambda c, d: d.setMaxMemory(1024),
    "setvcpus": lambda c, d: d.setVcpusFlags(1, CONFIG),
    "vcpupin": lambda c, d: d.pinVcpuFlags(0, (True,), CONFIG),
    "emulatorpin": lambda c, d: d.pinEmulator((True,), CONFIG),
    "autostart": lambda c, d: d.setAutostart(1),
    "domrename": lambda c, d: d.rename("readonly"),
    "desc": lambda c, d: d.setMetadata(libvirt.VIR_DOMAIN_METADATA_TITLE, "t", None, None, CONFIG),
    "attach-device": lambda c, d: d.attachDeviceFlags(xml.RNG, CONFIG),
    "detach-device": lambda c, d: d.detachDeviceFlags(xml.RNG, CONFIG),
    "update-device": lambda c, d: d.updateDeviceFlags(xml.RNG, CONFIG),
    "blkdeviotune": lambda c, d: d.setBlockIoTune("vda", {"total_iops_sec": 1}, CONFIG),
    "console": lambda c, d: d.openConsole(None, c.newStream(), 0),
    "memory statistics' period": lambda c, d: d.setMemoryStatsPeriod(1, CONFIG),
    "dumpxml --security-info": lambda c, d: d.XMLDesc(libvirt.VIR_DOMAIN_XML_SECURE),
    "domxml-to-native": lambda c, d: c.domainXMLToNative("qemu-argv", xml.bare("readonly")),
    "save": lambda c, d: d.save("/nowhere"),
    "managedsave": lambda c, d: d.managedSave(),
    "dump": lambda c, d: d.coreDump("/nowhere"),
    "inject-nmi": lambda c, d: d.injectNMI(),
    "send-key": lambda c, d: d.sendKey(0, 0, [1], 1),
    "screenshot": lambda c, d: d.screenshot(c.newStream(), 0),
    "migrate": lambda c, d: d.migrateToURI("qemu+tcp://nowhere/system"),
    "block-resize": lambda c, d: d.blockResize("vda", 1),
    "snapshot-create": lambda c, d: d.snapshotCreateXML("<domainsnapshot/>"),
    "domtime": lambda c, d: d.setTime({"seconds": 1}),
    "domcapabilities": lambda c, d: c.getDomainCapabilities(),  # it runs emulators
}


@pytest.mark.parametrize("call", WRITES)
def test_what_changes_is_refused(readonly, seen, running, refused, call):
    before = running.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)
    # The client library refuses most of these itself; what it passes on, and the same calls made past it, the daemon must refuse.
    refused(DENIED, WRITES[call], readonly, seen)
    assert running.isActive() and running.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE) == before


def test_the_daemon_itself_refuses_on_the_read_only_socket(daemon, ours, running):
    """A client that says it may write, on the socket that only reads."""
    scheme = "stratovirt" if ours else "qemu"
    liar = libvirt.open(f"{scheme}+unix:///system?socket={daemon.socket}-ro")
    domain = liar.lookupByName(running.name())
    for call in ("suspend", "destroy", "start", "define", "undefine", "autostart", "setmem", "desc", "create", "console", "domxml-to-native", "attach-device"):
        with pytest.raises(libvirt.libvirtError) as caught:
            WRITES[call](liar, domain)
        assert caught.value.get_error_code() == DENIED, f"{call}: {caught.value}"
        assert "read only access prevents" in str(caught.value)
    liar.close()
    assert running.state()[0] == libvirt.VIR_DOMAIN_RUNNING


def test_sockets_and_their_modes(daemon, ours):
    name = str(daemon.socket)
    assert os.stat(name + "-ro").st_mode & 0o777 == 0o777
    assert os.stat(name).st_mode & 0o777 == (0o770 if ours else 0o777)


def test_monitor_commands_are_refused(looking, running):
    assert "read only" in looking.fails("qemu-monitor-command", running.name(), '{"execute":"query-status"}')


def test_events_are_sent_to_readers_too(readonly, create, name):
    from lib.events import Recorder

    recorder = Recorder(readonly)
    create()
    recorder.wait(name, libvirt.VIR_DOMAIN_EVENT_STARTED)
    recorder.close()
