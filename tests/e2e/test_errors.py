"""Refusals: libvirt's code, a message that names what is wrong, and nothing left behind."""

import libvirt
import pytest

from departures import DEPARTURES
from lib import host, xml

NO_DOMAIN = libvirt.VIR_ERR_NO_DOMAIN
INVALID = libvirt.VIR_ERR_OPERATION_INVALID
UNSUPPORTED = libvirt.VIR_ERR_CONFIG_UNSUPPORTED
XML_ERROR = libvirt.VIR_ERR_XML_ERROR
LIVE, CONFIG = libvirt.VIR_DOMAIN_AFFECT_LIVE, libvirt.VIR_DOMAIN_AFFECT_CONFIG


def test_unknown_domains(conn, refused):
    assert refused(NO_DOMAIN, conn.lookupByName, "no-such-domain") == "Domain not found: no domain with matching name 'no-such-domain'"
    assert refused(NO_DOMAIN, conn.lookupByID, 987654) == "Domain not found: no domain with matching id 987654"
    uuid = "11111111-2222-3333-4444-555555555555"
    assert refused(NO_DOMAIN, conn.lookupByUUIDString, uuid) == f"Domain not found: no domain with matching uuid '{uuid}'"


@pytest.mark.parametrize("command", ["start", "suspend", "resume", "destroy", "undefine", "shutdown", "reboot", "reset", "dumpxml", "dominfo", "console", "domstate"])
def test_virsh_on_an_unknown_domain(virsh, command):
    assert "failed to get domain 'no-such-domain'" in virsh.fails(command, "no-such-domain")


# What a shut off domain refuses: (name, call, message).
NOT_RUNNING = "domain is not running"
NEEDS_RUNNING = {
    "suspend": lambda d: d.suspend(),
    "resume": lambda d: d.resume(),
    "destroy": lambda d: d.destroy(),
    "shutdown": lambda d: d.shutdown(),
    "reboot": lambda d: d.reboot(),
    "reset": lambda d: d.reset(),
    "setMemory live": lambda d: d.setMemoryFlags(1024, LIVE),
    "memoryStats": lambda d: d.memoryStats(),
    "setMemoryStatsPeriod live": lambda d: d.setMemoryStatsPeriod(1, LIVE),
    "vcpus": lambda d: d.setVcpusFlags(1, LIVE),
    "blockStats": lambda d: d.blockStats("vda"),
    "interfaceStats": lambda d: d.interfaceStats("vnet0"),
    "attachDevice": lambda d: d.attachDevice(xml.RNG),
    "controlInfo": lambda d: d.controlInfo(),
    "openConsole": lambda d: d.openConsole(None, d.connect().newStream(), 0),
}


@pytest.mark.parametrize("call", NEEDS_RUNNING)
def test_what_a_shut_off_domain_refuses(inactive, refused, call):
    assert NOT_RUNNING in refused(INVALID, NEEDS_RUNNING[call], inactive)


def test_a_handle_of_a_removed_domain(define, refused, name):
    domain = define()
    uuid = domain.UUIDString()
    domain.undefine()
    for call in (domain.create, domain.XMLDesc, domain.info, domain.undefine, lambda: domain.setAutostart(1)):
        assert f"no domain with matching uuid '{uuid}' ({name})" in refused(NO_DOMAIN, call)


def test_a_transient_domain_has_no_stored_definition(create, refused):
    domain = create()
    for call in (lambda: domain.setMemoryFlags(1024, CONFIG), lambda: domain.setVcpusFlags(1, CONFIG), lambda: domain.attachDeviceFlags(xml.RNG, CONFIG)):
        assert "transient" in refused(INVALID, call)
    assert "transient" in refused(INVALID, domain.undefine)


def test_memory_above_the_maximum(running, refused):
    message = refused(libvirt.VIR_ERR_INVALID_ARG, running.setMemoryFlags, running.maxMemory() + 1024, CONFIG)
    assert "cannot set memory higher than max memory" in message


def test_more_vcpus_than_the_maximum(running, refused):
    assert "3 > 2" in refused(libvirt.VIR_ERR_INVALID_ARG, running.setVcpusFlags, 3, CONFIG)


def test_maximum_memory_of_a_running_domain_stays(running, refused):
    assert "cannot resize the maximum memory on an active domain" in refused(INVALID, running.setMemoryFlags, 128 << 10, LIVE | libvirt.VIR_DOMAIN_MEM_MAXIMUM)


def test_unknown_flags_are_refused(running, refused):
    assert "unsupported flags (0x80000000)" in refused(libvirt.VIR_ERR_INVALID_ARG, running.createWithFlags, 1 << 31)
    assert "unsupported flags (0x80000000)" in refused(libvirt.VIR_ERR_INVALID_ARG, running.XMLDesc, 1 << 31)


def test_a_console_there_is_not(running, conn, refused):
    assert refused(libvirt.VIR_ERR_INTERNAL_ERROR, running.openConsole, "no-such-alias", conn.newStream(), 0)


# Descriptions that cannot be: (a text or parts of xml.bare, libvirt's code, words of its message).
PCI = "<address type='pci' domain='0x0000' bus='{}' slot='{}' function='{}'/>"
BAD = {
    "no name": ("<domain type='qemu'><memory>65536</memory><os><type>hvm</type></os></domain>", libvirt.VIR_ERR_NO_NAME, "missing name"),
    "an empty name": (dict(name=""), libvirt.VIR_ERR_NO_NAME, "missing name"),
    "a slash in the name": (dict(name="a/b"), XML_ERROR, "a/b"),
    "a bad uuid": (dict(uuid="not-a-uuid"), libvirt.VIR_ERR_INTERNAL_ERROR, "uuid"),
    "no memory": ("<domain type='qemu'><name>bad</name><os><type>hvm</type></os></domain>", XML_ERROR, "memory"),
    "an unknown unit": (
        "<domain type='qemu'><name>bad</name><memory unit='furlong'>1</memory><os><type>hvm</type></os></domain>", libvirt.VIR_ERR_INVALID_ARG, "furlong"),
    "memory that is no number": ("<domain type='qemu'><name>bad</name><memory>much</memory><os><type>hvm</type></os></domain>", XML_ERROR, "memory"),
    "an unknown type": (dict(type="frob"), UNSUPPORTED, "frob"),
    "another hypervisor's type": (dict(type="xen"), UNSUPPORTED, "xen"),
    "no os type": ("<domain type='qemu'><name>bad</name><memory>65536</memory></domain>", XML_ERROR, "type"),
    "an unknown architecture": (dict(arch="frob"), UNSUPPORTED, "frob"),
    "an unknown machine": (dict(machine="frob"), XML_ERROR, ""),
    "no vcpus": (dict(vcpus=0), libvirt.VIR_ERR_INTERNAL_ERROR, "vcpu"),
    "too many vcpus": (dict(vcpus=256), UNSUPPORTED, {"qemu": "more than 255 vCPUs require extended interrupt mode", "kvm": "254"}[xml.TYPE]),
    "a bus that is not there": (dict(devices=xml.disk("/x", options=PCI.format("0x77", "0x00", "0x0"))), None, ""),
    "a slot beyond 31": (dict(devices=xml.disk("/x", options=PCI.format("0x00", "0x20", "0x0"))), XML_ERROR, "slot"),
    "a function beyond 7": (dict(devices=xml.disk("/x", options=PCI.format("0x00", "0x02", "0x8"))), XML_ERROR, "function"),
    "two devices at one address": (
        dict(devices="".join(xml.disk(f"/{target}", target, PCI.format("0x00", "0x07", "0x0")) for target in ("vda", "vdb"))), XML_ERROR, "0000:00:07.0"),
    "two disks of one name": (dict(devices=xml.disk("/a") + xml.disk("/b")), XML_ERROR, "vda"),
    "a disk without a target": (
        dict(devices="<disk type='file' device='disk'><source file='/a'/></disk>"), libvirt.VIR_ERR_NO_TARGET, "target"),
    "an iothread that is not there": (dict(devices=xml.disk("/a", driver="type='raw' iothread='1'")), UNSUPPORTED, "iothread"),
    "a bad mac": (dict(devices=xml.bridge("frob")), XML_ERROR, "frob"),
    "a multicast mac": (dict(devices=xml.bridge("01:00:00:00:00:01")), XML_ERROR, "01:00:00:00:00:01"),
    "an interface without a bridge": (dict(devices="<interface type='bridge'><model type='virtio'/></interface>"), XML_ERROR, "source"),
    "a cid that is too low": (dict(devices="<vsock model='virtio'><cid auto='no' address='2'/></vsock>"), UNSUPPORTED, "3"),
    "an rng of an unknown backend": (dict(devices="<rng model='virtio'><backend model='frob'>/dev/random</backend></rng>"), UNSUPPORTED, "frob"),
    "an unknown balloon": (dict(devices="<memballoon model='frob'/>"), XML_ERROR, "frob"),
    "an unknown on_crash": (dict(body="<on_crash>frob</on_crash>"), UNSUPPORTED, "frob"),
    "two user aliases of one name": (
        dict(devices="".join(xml.disk(f"/{target}", target, "<alias name='ua-x'/>") for target in ("vda", "vdb"))), UNSUPPORTED, "ua-x"),
    "no XML": ("frob", libvirt.VIR_ERR_XML_DETAIL, ""),
    "half of an XML": ("<domain type='qemu'><name>bad</name>", libvirt.VIR_ERR_XML_DETAIL, ""),
    "another root": ("<network><name>bad</name></network>", XML_ERROR, "network"),
    "an empty text": ("", libvirt.VIR_ERR_XML_DETAIL, ""),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_description_is_refused_and_leaves_nothing(conn, tidy, case, expected):
    parts, code, word = BAD[case]
    if case in DEPARTURES:
        code, word = expected(case)
    before = {domain.name() for domain in conn.listAllDomains()}
    text = parts if isinstance(parts, str) else xml.bare(**{"name": "bad", **parts})
    if code is None:
        conn.defineXML(text)
        return
    for call in (conn.defineXML, lambda text: conn.createXML(text, libvirt.VIR_DOMAIN_START_PAUSED)):
        with pytest.raises(libvirt.libvirtError) as caught:
            call(text)
        assert caught.value.get_error_code() == code, f"code {caught.value.get_error_code()}: {caught.value}"
        assert word in str(caught.value)
    assert {domain.name() for domain in conn.listAllDomains()} == before


HOSTILE = {
    "an external entity": "<!DOCTYPE d [<!ENTITY e SYSTEM 'file:///etc/hostname'>]><domain type='qemu'><name>&e;</name></domain>",
    "entities that grow": "<!DOCTYPE d [<!ENTITY a 'aaaaaaaaaaaaaaaa'>"
    + "".join(f"<!ENTITY {b} '{f'&{a};' * 16}'>" for a, b in zip("abcdefgh", "bcdefghi"))
    + "]><domain type='qemu'><name>&i;</name></domain>",
    "depth": "<a>" * 5000 + "</a>" * 5000,
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_xml_is_refused(conn, case):
    with pytest.raises(libvirt.libvirtError):
        conn.defineXML(HOSTILE[case])
    assert conn.getHostname()


# What the schema's words say this machine would have and no StratoVirt machine can.
CANNOT = {
    "no acpi": dict(features=""),
    "a graphics card": dict(devices="<graphics type='vnc'/>"),
    "an ide disk": dict(devices="<disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='/a'/><target dev='sda' bus='sata'/></disk>"),
    "an rng's period": dict(devices="<rng model='virtio'><rate period='2000' bytes='1'/><backend model='random'>/dev/random</backend></rng>"),
    "a second console": dict(devices=xml.CONSOLE + xml.CONSOLE.replace("pty", "file").replace("<target", "<source path='/x'/><target")),
    "a watchdog": dict(devices="<watchdog model='i6300esb' action='reset'/>"),
}


@pytest.mark.parametrize("case", CANNOT)
def test_what_the_emulator_cannot_honour_is_refused_by_name(conn, tidy, name, ours, expected, case):
    text = xml.bare(name, **CANNOT[case])
    if not expected("what StratoVirt has no device for is refused"):
        conn.defineXML(text)
        return
    with pytest.raises(libvirt.libvirtError) as caught:
        conn.defineXML(text)
    assert caught.value.get_error_code() == UNSUPPORTED, f"code {caught.value.get_error_code()}: {caught.value}"
    assert name not in {domain.name() for domain in conn.listAllDomains()}


def test_a_missing_bridge_is_named_when_the_machine_starts(define, refused):
    domain = define(devices=xml.bridge().replace(host.BRIDGE, "no-such-br"))
    with pytest.raises(libvirt.libvirtError) as caught:
        domain.createWithFlags(libvirt.VIR_DOMAIN_START_PAUSED)
    assert "no-such-br" in str(caught.value)
    assert domain.state()[0] == libvirt.VIR_DOMAIN_SHUTOFF


def test_a_missing_kernel_is_named(define):
    domain = define(os="<kernel>/no/such/kernel</kernel>")
    with pytest.raises(libvirt.libvirtError) as caught:
        domain.createWithFlags(libvirt.VIR_DOMAIN_START_PAUSED)
    assert "/no/such/kernel" in str(caught.value)


def test_hugepages_of_a_size_without_a_mount(define, expected):
    domain = define(body="<memoryBacking><hugepages><page size='1' unit='GiB'/></hugepages></memoryBacking>", memory=1024)
    with pytest.raises(libvirt.libvirtError) as caught:
        domain.createWithFlags(libvirt.VIR_DOMAIN_START_PAUSED)
    assert "1048576" in str(caught.value) or not expected("a size of hugepages without a mount is named")


# What is looked up in a part of libvirt where there is none of it.
LOOKUPS = {
    "network": (lambda c: c.networkLookupByName("absent"), libvirt.VIR_ERR_NO_NETWORK),
    "storage pool": (lambda c: c.storagePoolLookupByName("absent"), libvirt.VIR_ERR_NO_STORAGE_POOL),
    "storage volume": (lambda c: c.storageVolLookupByPath("/absent"), libvirt.VIR_ERR_NO_STORAGE_VOL),
    "secret": (lambda c: c.secretLookupByUUIDString("11111111-2222-3333-4444-555555555555"), libvirt.VIR_ERR_NO_SECRET),
    "filter": (lambda c: c.nwfilterLookupByName("absent"), libvirt.VIR_ERR_NO_NWFILTER),
    "binding": (lambda c: c.nwfilterBindingLookupByPortDev("absent"), libvirt.VIR_ERR_NO_NWFILTER_BINDING),
    "node device": (lambda c: c.nodeDeviceLookupByName("absent"), libvirt.VIR_ERR_NO_NODE_DEVICE),
    "interface": (lambda c: c.interfaceLookupByName("absent"), libvirt.VIR_ERR_NO_INTERFACE),
}


@pytest.mark.parametrize("kind", LOOKUPS)
def test_what_other_drivers_have_not_is_not_found(conn, kind, refused):
    call, code = LOOKUPS[kind]
    assert "absent" in refused(code, call, conn) or kind == "secret"


def test_events_of_other_drivers_are_listened_for(conn):
    """Accepted, and given back once."""
    kinds = [
        (conn.networkEventRegisterAny, conn.networkEventDeregisterAny), (conn.storagePoolEventRegisterAny, conn.storagePoolEventDeregisterAny),
        (conn.nodeDeviceEventRegisterAny, conn.nodeDeviceEventDeregisterAny), (conn.secretEventRegisterAny, conn.secretEventDeregisterAny),
    ]  # fmt: skip
    for register, deregister in kinds:
        callback = register(None, 0, lambda *_: None, None)
        deregister(callback)
