"""A host without libvirtd: clients that know no URI but qemu:///system come in through libvirtd's socket (uri_aliases)."""

import contextlib
import json
import os
import pathlib
import subprocess

import libvirt
import pytest

from lib import packets, xml
from lib.console import Console
from lib.mortal import unstarted  # noqa: F401
from lib.virsh import Virsh
from lib.wait import until

ALIAS = "qemu:///system"
SOCKETS = ["libvirt-sock", "libvirt-sock-ro"]
GET_TYPE, GET_URI = 3, 110


@pytest.fixture
def legacy(unstarted):
    """A daemon with the alias on, its sockets where clients look for libvirtd's."""
    unstarted.configure(f'uri_aliases = [ "{ALIAS}" ]\n')
    unstarted.start()
    links = [pathlib.Path("/run/libvirt") / name for name in SOCKETS]
    for link in links:
        link.symlink_to(unstarted.root / "run/libvirt" / link.name)
    yield unstarted
    for link in links:
        link.unlink()


def refusal(uri):
    with pytest.raises(libvirt.libvirtError) as caught:
        libvirt.open(uri)
    return caught.value.get_error_code()


def test_off_unless_it_is_listed(unstarted):
    unstarted.start()
    folder = unstarted.root / "run/libvirt"
    assert not any((folder / name).exists() for name in SOCKETS)
    assert refusal(f"qemu+unix:///system?socket={folder}/virtstratovirtd-sock") == libvirt.VIR_ERR_NO_CONNECT
    with contextlib.closing(packets.Connection(folder / "virtstratovirtd-sock", None)) as nameless:
        assert nameless.ask(GET_URI, b"") == f"ok {packets.text('stratovirt:///system').hex()}"


def test_answers_as_it_was_asked(legacy):
    for connection in (libvirt.open(ALIAS), libvirt.openReadOnly(ALIAS)):
        with contextlib.closing(connection):
            assert (connection.getURI(), connection.getType()) == (ALIAS, "QEMU")
            assert connection.listAllDomains() == [] and "<domain type='qemu'" in connection.getCapabilities()
    with legacy.connected() as connection:
        assert connection.getType() == "StratoVirt"
    socket = legacy.root / "run/libvirt/libvirt-sock"
    with contextlib.closing(packets.Connection(socket, None)) as nameless:  # who can name none knows no other
        assert nameless.ask(GET_URI, b"") == f"ok {packets.text(ALIAS).hex()}"
        assert nameless.ask(GET_TYPE, b"") == f"ok {packets.text('QEMU').hex()}"
    for other in ("qemu:///session", "lxc:///system", "xen:///system"):
        scheme, path = other.split(":", 1)
        assert refusal(f"{scheme}+unix:{path}?socket={socket}") == libvirt.VIR_ERR_NO_CONNECT


def test_a_machines_life(legacy):
    virsh = Virsh(ALIAS)
    virsh("define", legacy.described(xml.bare("other", devices=xml.CONSOLE)))
    virsh("start", "other")
    with Console(ALIAS, "other") as console:
        console.connected()
        console.leave()
    assert virsh("domstate", "other") == "running" and "other" in legacy.virsh.names()
    for empty in ("net-list", "pool-list", "nodedev-list", "secret-list", "nwfilter-list", "nwfilter-binding-list", "iface-list"):
        assert virsh.rows(empty) == []
    virsh("destroy", "other")
    virsh("undefine", "other")


class Bus:
    """A private bus with libvirt-dbus on it, which opens qemu:///system when it is asked for it."""

    def __init__(self, folder):
        self.address = f"unix:path={folder}/bus"
        self.environment = {**os.environ, "DBUS_SYSTEM_BUS_ADDRESS": self.address}
        daemon = ["dbus-daemon", "--session", "--nofork", "--nopidfile", f"--address={self.address}"]
        self.processes = [self.run(daemon)]
        until((folder / "bus").exists, "the bus")
        self.processes.append(self.run(["libvirt-dbus", "--system"]))
        until(lambda: "org.libvirt" in self.busctl("list"), "libvirt-dbus on its bus")

    def run(self, command):
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=self.environment)

    def busctl(self, *words):
        done = subprocess.run(["busctl", f"--address={self.address}", "--json=short", *words], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def call(self, path, interface, *words):
        answer = self.busctl("call", "org.libvirt", path, f"org.libvirt.{interface}", *words)
        return json.loads(answer)["data"] if answer.strip() else None

    def property(self, path, interface, name):
        return json.loads(self.busctl("get-property", "org.libvirt", path, f"org.libvirt.{interface}", name))["data"]

    def end(self):
        for process in reversed(self.processes):
            process.terminate()
            process.wait(20)


@pytest.fixture
def bus(legacy):
    one = Bus(legacy.root)
    yield one
    one.end()


def test_libvirt_dbus(legacy, bus):
    qemu = "/org/libvirt/QEMU"
    assert bus.call(qemu, "Connect", "ListDomains", "u", "0") == [[]]
    [path] = bus.call(qemu, "Connect", "DomainDefineXML", "s", xml.bare("by-dbus", devices=xml.CONSOLE))
    assert bus.call(qemu, "Connect", "ListDomains", "u", "0") == [[path]]
    for listed in ("Networks", "StoragePools", "NodeDevices", "Secrets", "NWFilters", "Interfaces"):
        assert bus.call(qemu, "Connect", f"List{listed}", "u", "0") == [[]], listed
    assert not bus.property(path, "Domain", "Active")
    bus.call(path, "Domain", "Create", "u", "0")
    assert bus.property(path, "Domain", "Active") and legacy.virsh("domstate", "by-dbus") == "running"
    assert "<name>by-dbus</name>" in bus.call(path, "Domain", "GetXMLDesc", "u", "0")[0]
    with Console(ALIAS, "by-dbus") as console:
        console.connected()
        console.leave()
    bus.call(path, "Domain", "Destroy", "u", "0")
    assert not bus.property(path, "Domain", "Active")
    bus.call(path, "Domain", "Undefine", "u", "0")
    assert bus.call(qemu, "Connect", "ListDomains", "u", "0") == [[]]
