"""Devices that are added to a domain, taken from it and changed: in its definition, and while it runs."""

import os

import libvirt
import pytest

from lib import daemon as daemons
from lib import host, xml
from lib.virsh import Virsh
from lib.wait import until

CURRENT, LIVE, CONFIG = libvirt.VIR_DOMAIN_AFFECT_CURRENT, libvirt.VIR_DOMAIN_AFFECT_LIVE, libvirt.VIR_DOMAIN_AFFECT_CONFIG
INVALID, OPERATION, UNSUPPORTED = libvirt.VIR_ERR_INVALID_ARG, libvirt.VIR_ERR_OPERATION_INVALID, libvirt.VIR_ERR_OPERATION_UNSUPPORTED
CONFIG_UNSUPPORTED, MISSING, XML_ERROR = libvirt.VIR_ERR_CONFIG_UNSUPPORTED, libvirt.VIR_ERR_DEVICE_MISSING, libvirt.VIR_ERR_XML_ERROR
NOT_RUNNING, NOT_PERSISTENT = "domain is not running", "transient domains do not have any persistent config"
FIRST, SECOND = "de:ad:be:ef:0d:01", "de:ad:be:ef:0d:02"
REMOVAL_SECONDS = 60


@pytest.fixture
def parts(image):
    """parts(): the devices of a machine with room for more, on an image of its own; `also` chooses among those beside."""

    def make(also=xml.also):
        path = image()
        path.chmod(0o666)
        return xml.PORTS + xml.disk(path) + also(xml.bridge(FIRST) + xml.BALLOON)

    return make


@pytest.fixture
def idle(define, name, parts):
    return define(name=f"{name}-off", devices=parts(str))


@pytest.fixture
def machine(define, name, parts):
    domain = define(devices=parts())
    domain.create()
    return domain


@pytest.fixture
def transient(create, name, parts):
    return create(name=f"{name}-transient", devices=parts())


@pytest.fixture
def spare(image):
    """A disk's element, of an image of its own, as vdb."""
    path = image()

    def element(target="vdb", options=""):
        return xml.disk(path, target, options)

    element.path = path
    return element


def described(domain, flags=0):
    return xml.tree(domain.XMLDesc(flags)).find("devices")


def targets(domain, flags=0):
    return [disk.find("target").get("dev") for disk in described(domain, flags).findall("disk")]


def addresses(domain, flags=0):
    return [card.find("mac").get("address") for card in described(domain, flags).findall("interface")]


def link(domain, mac, flags=0):
    [card] = [card for card in described(domain, flags).findall("interface") if card.find("mac").get("address") == mac]
    return card.find("link").get("state") if card.find("link") is not None else None


INACTIVE = libvirt.VIR_DOMAIN_XML_INACTIVE


def ports(domain):
    return [int(port.get("index")) for port in described(domain).findall("controller[@model='pcie-root-port']")]


def used(domain):
    return {int(address.get("bus"), 16) for address in described(domain).iter("address") if address.get("type") == "pci"} - {0}


def test_who_leaves_the_ports_to_the_driver_has_one_more(define, name, virsh, image):
    domain = define(devices=xml.disk(image()) + xml.RNG)
    assert len(set(ports(domain)) - used(domain)) == 1
    domain.createWithFlags(libvirt.VIR_DOMAIN_START_PAUSED)
    virsh("attach-disk", domain.name(), image(), "vdb", "--persistent")
    assert targets(domain) == ["vda", "vdb"] and set(ports(domain)) == used(domain)
    assert "No more available PCI slots" in virsh.fails("attach-disk", domain.name(), image(), "vdc", "--live")
    domain.destroy()
    before = domain.XMLDesc()
    assert domain.connect().defineXML(before).XMLDesc() == before


@pytest.mark.parametrize("own", [1, 2, 3])
def test_who_has_ports_gets_what_the_devices_need(define, image, own):
    given = "".join(f"<controller type='pci' index='{index}' model='pcie-root-port'/>" for index in range(1, own + 1))
    domain = define(devices=given + xml.disk(image()) + xml.RNG)
    needed = len(used(domain))
    assert len(ports(domain)) == max(own, needed)


# --- the definition


def test_disks_of_a_definition(virsh, idle, spare):
    virsh("attach-disk", idle.name(), spare.path, "vdb", "--config")
    assert targets(idle) == ["vda", "vdb"]
    disk = described(idle).findall("disk")[1]
    assert disk.find("source").get("file") == str(spare.path) and disk.find("target").get("bus") == "virtio"
    assert disk.find("address").get("type") == "pci"
    virsh("detach-disk", idle.name(), "vdb", "--config")
    assert targets(idle) == ["vda"]


def test_cards_of_a_definition(virsh, idle):
    virsh("attach-interface", idle.name(), "bridge", host.BRIDGE, "--model", "virtio", "--mac", SECOND, "--config")
    assert addresses(idle) == [FIRST, SECOND]
    virsh("detach-interface", idle.name(), "bridge", "--mac", SECOND, "--config")
    assert addresses(idle) == [FIRST]


def test_devices_of_a_definition_by_their_elements(virsh, idle, machine, spare, file):
    for domain in (idle, machine):
        before, cards = {device.tag for device in described(domain, INACTIVE)}, addresses(domain, INACTIVE)
        for element in (spare(), xml.bridge(SECOND), xml.RNG):
            virsh("attach-device", domain.name(), file(element), "--config")
        devices = described(domain, INACTIVE)
        assert targets(domain, INACTIVE) == ["vda", "vdb"] and addresses(domain, INACTIVE) == [*cards, SECOND]
        assert len(devices.findall("rng")) == 1 and before <= {device.tag for device in devices}
        for element in (spare(), xml.bridge(SECOND), xml.RNG):
            virsh("detach-device", domain.name(), file(element), "--config")
        assert targets(domain, INACTIVE) == ["vda"] and described(domain, INACTIVE).find("rng") is None
    assert targets(machine) == ["vda"] and SECOND not in addresses(machine)


def test_a_definition_changed_by_a_device_starts(idle, spare):
    for element in (spare(), xml.bridge(SECOND), xml.RNG):
        idle.attachDeviceFlags(element, CONFIG)
    idle.create()
    assert targets(idle) == ["vda", "vdb"] and addresses(idle) == [FIRST, SECOND]


def test_changes_of_a_definition(virsh, idle, machine, spare, file):
    for domain in (idle, machine):
        domain.attachDeviceFlags(spare(), CONFIG)
        before = described(domain, INACTIVE).findall("disk")[1].find("address").attrib
        virsh("update-device", domain.name(), file(spare(options="<readonly/><serial>abc</serial>")), "--config")
        disk = described(domain, INACTIVE).findall("disk")[1]
        assert disk.find("readonly") is not None and disk.findtext("serial") == "abc" and disk.find("address").attrib == before
        virsh("domif-setlink", domain.name(), FIRST, "down", "--config")
        assert link(domain, FIRST, INACTIVE) == "down"
        assert virsh("domif-getlink", domain.name(), FIRST, "--config") == f"{FIRST} down"
    assert link(machine, FIRST) is None


PATTERNS = {
    "disk": [
        "<disk><target dev='vdb'/></disk>",
        "<disk type='file' device='disk'><target dev='vdb' bus='virtio'/></disk>",
        "<disk type='network' device='cdrom'><target dev='vdb' bus='sata'/><serial>@@@</serial></disk>",
        "<disk><driver iothread='7'/><target dev='vdb'/><address type='pci' bus='0x77' slot='9'/><alias name='ua-x'/></disk>",
    ],
    "interface": [
        f"<interface type='user'><mac address='{SECOND}'/></interface>",
        f"<interface><mac address='{SECOND}'/></interface>",
        f"<interface type='bridge'><mac address='{SECOND}'/><source bridge='elsewhere'/><model type='e1000'/></interface>",
        f"<interface><mac address='{SECOND}'/><alias name='ua-second'/></interface>",
    ],
    "rng": [
        "<rng model='virtio'><rate bytes='1234' period='1000'/><backend model='random'>/dev/urandom</backend></rng>",
    ],
    "controller": ["<controller type='pci' index='10'/>"],
    "console": ["<console type='pty'><target type='virtio' port='3'/></console>"],
    "serial": ["<serial type='pty'><target port='0'/></serial>"],
    "vsock": ["<vsock><cid auto='no'/></vsock>", "<vsock model='virtio'><cid auto='no' address='77'/></vsock>"],
    "hostdev": ["<hostdev type='pci'><source><address bus='0x7' slot='1'/></source></hostdev>"],
}


def test_devices_are_looked_up_by_what_names_them(idle, spare):
    devices = [spare(), xml.bridge(SECOND, "<alias name='ua-second'/>"), xml.RNG, "<vsock model='virtio'><cid auto='no' address='9'/></vsock>"]
    devices += ["<hostdev mode='subsystem' type='pci'><source><address domain='0' bus='7' slot='1' function='0'/></source></hostdev>"]
    devices += ["<serial type='pty'/>", "<console type='pty'><target type='virtio' port='3'/></console>"]
    text = idle.XMLDesc(INACTIVE).replace("</devices>", "".join(devices) + "</devices>")
    for kind, patterns in PATTERNS.items():
        for pattern in patterns:
            domain = idle.connect().defineXML(text)
            count = len(described(domain).findall(kind))
            domain.detachDeviceFlags(pattern, CONFIG)
            assert len(described(domain).findall(kind)) < count, pattern
            if kind == "disk":
                assert targets(domain) == ["vda"]
            if kind == "interface":
                assert addresses(domain) == [FIRST]


NO_DEVICES = {
    "disk": [("<disk><target dev='vdz'/></disk>", MISSING), ("<disk><target dev='vdb1'/></disk>", MISSING), ("<disk><target dev='frob'/></disk>", XML_ERROR)],
    "a word": [("<disk type='frob'><target dev='vda'/></disk>", XML_ERROR), ("<disk><target dev='vda' bus='frob'/></disk>", XML_ERROR)],
    "interface": [
        (f"<interface><mac address='{SECOND}'/></interface>", MISSING),
        (f"<interface><mac address='{FIRST}'/><address type='pci' bus='0x77' slot='0'/></interface>", MISSING),
        (f"<interface type='bridge'><mac address='{FIRST}'/></interface>", XML_ERROR),
        ("<interface type='frob'/>", XML_ERROR),
        ("<interface><mac address='01:00:00:00:00:01'/></interface>", XML_ERROR),
    ],
    "rng": [
        ("<rng model='virtio'><backend model='random'/></rng>", MISSING),
        ("<rng model='virtio'><backend model='builtin'/></rng>", MISSING),
        ("<rng model='virtio'/>", XML_ERROR),
        ("<rng/>", XML_ERROR),
    ],
    "controller": [("<controller type='virtio-serial' index='3'/>", MISSING), ("<controller type='pci'/>", MISSING), ("<controller type='scsi' index='0'/>", MISSING)],
    "character device": [("<console type='pty'><target type='virtio' port='9'/></console>", INVALID), ("<serial type='pty'/>", INVALID)],
    "vsock": [("<vsock/>", libvirt.VIR_ERR_OPERATION_FAILED)],
    "hostdev": [("<hostdev type='pci'><source/></hostdev>", MISSING), ("<hostdev type='usb'><source><address bus='1' device='1'/></source></hostdev>", MISSING), ("<hostdev/>", XML_ERROR)],
    "kind": [("<graphics type='vnc'/>", UNSUPPORTED), ("<memballoon model='none'/>", UNSUPPORTED), ("<frob/>", CONFIG_UNSUPPORTED)],
}


@pytest.mark.parametrize("kind", NO_DEVICES)
def test_what_is_not_there_is_told_as_libvirt_does(idle, refused, kind):
    for pattern, code in NO_DEVICES[kind]:
        refused(code, idle.detachDeviceFlags, pattern, CONFIG)


def test_an_interface_of_no_address_may_be_several(idle, refused):
    pattern = f"<interface type='bridge'><source bridge='{host.BRIDGE}'/><model type='virtio'/></interface>"
    [card] = addresses(idle)
    idle.updateDeviceFlags(pattern, CONFIG)  # there is one
    assert addresses(idle) != [card]  # and no address is a new address
    idle.attachDeviceFlags(xml.bridge(SECOND), CONFIG)
    for call in (idle.detachDeviceFlags, idle.updateDeviceFlags):
        assert "multiple matching devices found" in refused(libvirt.VIR_ERR_OPERATION_FAILED, call, pattern, CONFIG)


def test_what_replaces_a_device_is_whole(idle, refused):
    refused(libvirt.VIR_ERR_NO_SOURCE, idle.updateDeviceFlags, "<disk type='file' device='disk'><target dev='vda' bus='virtio'/></disk>", CONFIG)
    refused(XML_ERROR, idle.updateDeviceFlags, f"<interface type='bridge'><mac address='{FIRST}'/></interface>", CONFIG)


def test_refusals_of_a_definition(idle, transient, spare, refused):
    assert refused(OPERATION, idle.attachDevice, spare()).endswith(NOT_RUNNING)
    assert refused(OPERATION, idle.detachDevice, spare()).endswith(NOT_RUNNING)
    for call in (idle.attachDeviceFlags, idle.detachDeviceFlags, idle.updateDeviceFlags):
        assert refused(OPERATION, call, spare(), LIVE).endswith(NOT_RUNNING)
        assert refused(OPERATION, call, spare(), LIVE | CONFIG).endswith(NOT_RUNNING)
        assert "unsupported flags (0x8)" in refused(INVALID, call, spare(), 8)
        refused(libvirt.VIR_ERR_XML_DETAIL, call, "<disk", CONFIG)
        refused(CONFIG_UNSUPPORTED, call, "<frob/>", CONFIG)
    for call in (transient.attachDeviceFlags, transient.detachDeviceFlags, transient.updateDeviceFlags):
        assert refused(OPERATION, call, spare(), CONFIG).endswith(NOT_PERSISTENT)
    assert "target vda already exists" in refused(OPERATION, idle.attachDeviceFlags, spare("vda"), CONFIG)
    assert "persistent attach of device 'memballoon' is not supported" in refused(UNSUPPORTED, idle.attachDeviceFlags, xml.BALLOON, CONFIG)
    assert "persistent detach of device 'memballoon' is not supported" in refused(UNSUPPORTED, idle.detachDeviceFlags, xml.BALLOON, CONFIG)
    assert "persistent update of device 'memballoon' is not supported" in refused(UNSUPPORTED, idle.updateDeviceFlags, xml.BALLOON, CONFIG)
    assert "no target device vdz" in refused(MISSING, idle.detachDeviceFlags, spare("vdz"), CONFIG)
    assert "target vdz doesn't exist" in refused(INVALID, idle.updateDeviceFlags, spare("vdz"), CONFIG)
    for call in (idle.detachDeviceFlags, idle.updateDeviceFlags):
        assert SECOND in refused(MISSING, call, xml.bridge(SECOND), CONFIG)
    refused(MISSING, idle.detachDeviceFlags, xml.RNG, CONFIG)
    assert "no device found with alias nope" in refused(libvirt.VIR_ERR_INTERNAL_ERROR, idle.detachDeviceAlias, "nope", CONFIG)
    text = refused(CONFIG_UNSUPPORTED, idle.attachDeviceFlags, spare().replace("type='raw'", "type='raw' iothread='1'"), CONFIG)
    assert "iothread" in text
    bus = described(idle).find("disk/address").get("bus")
    text = refused(XML_ERROR, idle.attachDeviceFlags, spare(options=f"<address type='pci' bus='{bus}' slot='0'/>"), CONFIG)
    assert "Attempted double use of PCI Address" in text
    assert targets(idle) == ["vda"] and addresses(idle) == [FIRST]


# --- while it runs


def test_a_disk_comes_and_goes(virsh, boot, spare, events):
    guest = boot(devices=xml.PORTS)
    owner = spare.path.stat().st_uid
    before = guest.domain.XMLDesc(INACTIVE)
    virsh("attach-disk", guest.name, spare.path, "vdb", "--live")
    assert targets(guest.domain) == ["vda", "vdb"] and guest.domain.XMLDesc(INACTIVE) == before
    assert described(guest.domain).findall("disk")[1].find("alias").get("name") == "virtio-disk1"
    until(lambda: "vdb" in guest.run("ls /dev"), "the guest to see the disk", 30)
    assert guest.run("dd if=/dev/zero of=/dev/vdb bs=4k count=2 2>/dev/null && sync && echo written") == "written"
    assert guest.domain.blockInfo("vdb")[0] == 1 << 20 and guest.domain.blockStats("vdb")[3] >= 8192
    assert spare.path.stat().st_uid != owner
    guest.domain.detachDeviceFlags("<disk><target dev='vdb'/></disk>", LIVE)  # more than its name is not asked for
    until(lambda: targets(guest.domain) == ["vda"], "the disk to go", REMOVAL_SECONDS)
    assert "vdb" not in guest.run("ls /dev")
    until(lambda: spare.path.stat().st_uid == owner, "the image to be given back")
    virsh("attach-disk", guest.name, spare.path, "vdb", "--live")  # the same again
    assert targets(guest.domain) == ["vda", "vdb"]
    guest.domain.destroy()
    assert spare.path.stat().st_uid == owner


def test_a_card_comes_and_goes(virsh, boot):
    guest = boot(devices=xml.PORTS)
    before = host.network_cards()
    virsh("attach-interface", guest.name, "bridge", host.BRIDGE, "--model", "virtio", "--mac", SECOND, "--live")
    [tap] = host.network_cards() - before
    assert os.path.exists(f"/sys/class/net/{host.BRIDGE}/brif/{tap}")
    assert virsh.rows("domiflist", guest.name)[0] == [tap, "bridge", host.BRIDGE, "virtio", SECOND]
    until(lambda: SECOND in guest.run("cat /sys/class/net/*/address"), "the guest to see the card", 30)
    guest.run("ip link set eth0 up; sleep 1")
    assert guest.run("cat /sys/class/net/eth0/carrier") == "1"
    virsh("domif-setlink", guest.name, SECOND, "down")
    assert link(guest.domain, SECOND) == "down"
    assert guest.run("sleep 1; cat /sys/class/net/eth0/carrier") == "0"
    virsh("domif-setlink", guest.name, tap, "up")
    assert virsh("domif-getlink", guest.name, tap) == f"{tap} up"
    assert guest.run("sleep 1; cat /sys/class/net/eth0/carrier") == "1"
    virsh("detach-interface", guest.name, "bridge", "--mac", SECOND, "--live")
    until(lambda: addresses(guest.domain) == [], "the card to go", REMOVAL_SECONDS)
    until(lambda: host.network_cards() == before, "the tap to go")
    assert SECOND not in guest.run("cat /sys/class/net/*/address")


def test_events_of_devices(conn, boot, spare):
    seen = []
    ids = {
        libvirt.VIR_DOMAIN_EVENT_ID_DEVICE_ADDED: lambda _, domain, alias, __: seen.append(("added", alias)),
        libvirt.VIR_DOMAIN_EVENT_ID_DEVICE_REMOVED: lambda _, domain, alias, __: seen.append(("removed", alias)),
    }
    guest = boot(devices=xml.PORTS)
    callbacks = [conn.domainEventRegisterAny(guest.domain, event, call, None) for event, call in ids.items()]
    try:
        guest.domain.attachDevice(spare())
        until(lambda: ("added", "virtio-disk1") in seen, "the event of the disk")
        until(lambda: "vdb" in guest.run("ls /dev"), "the guest to see the disk", 30)
        guest.domain.detachDeviceAlias("virtio-disk1", LIVE)  # does not wait
        until(lambda: ("removed", "virtio-disk1") in seen, "the event of the disk that is gone", REMOVAL_SECONDS)
        assert targets(guest.domain) == ["vda"]
    finally:
        for callback in callbacks:
            conn.domainEventDeregisterAny(callback)


def test_a_paused_guest_gives_a_disk_up_later(boot, spare):
    guest = boot(devices=xml.PORTS)
    guest.domain.attachDevice(spare())
    until(lambda: "vdb" in guest.run("ls /dev"), "the guest to see the disk", 30)
    guest.domain.suspend()
    guest.domain.detachDevice(spare())  # libvirt waits, and then says it is under way
    assert targets(guest.domain) == ["vda", "vdb"]
    guest.domain.resume()
    until(lambda: targets(guest.domain) == ["vda"], "the disk to go", REMOVAL_SECONDS)


def test_a_paused_machine_gets_devices(transient, spare):
    for element in filter(None, (spare(), xml.also(xml.bridge(SECOND)), xml.also(xml.RNG))):
        transient.attachDevice(element)
    assert targets(transient) == ["vda", "vdb"] and addresses(transient) == [FIRST, SECOND][: 2 * xml.CARDS]
    assert [one.get("name") for one in described(transient).findall("rng/alias")] == ["rng0"][: xml.CARDS]


def test_both_at_once(machine, spare):
    machine.attachDeviceFlags(spare(), LIVE | CONFIG)
    assert targets(machine) == targets(machine, INACTIVE) == ["vda", "vdb"]
    machine.updateDeviceFlags(xml.bridge(FIRST, "<link state='down'/>"), LIVE | CONFIG)
    assert link(machine, FIRST) == link(machine, FIRST, INACTIVE) == "down"
    machine.detachDeviceFlags(spare(), LIVE | CONFIG)
    assert targets(machine, INACTIVE) == ["vda"]


def test_what_the_host_refuses_leaves_nothing(machine, base, spare, refused):
    before, text = host.network_cards(), machine.XMLDesc()
    message = refused(libvirt.VIR_ERR_SYSTEM_ERROR, machine.attachDevice, xml.disk(base / "no-such-image", "vdb"))
    assert f"Cannot access storage file '{base}/no-such-image': No such file or directory" in message
    assert "nobr0" in refused(libvirt.VIR_ERR_SYSTEM_ERROR, machine.attachDevice, xml.bridge(SECOND).replace(host.BRIDGE, "nobr0"))
    refused(CONFIG_UNSUPPORTED, machine.attachDevice, spare().replace("type='raw'", "type='raw' iothread='1'"))
    assert machine.XMLDesc() == text and host.network_cards() == before
    machine.attachDevice(spare())


def test_an_image_in_use_is_not_attached(machine, name, define, image, spare, refused, expected):
    machine.attachDevice(spare())
    other = define(name=f"{name}-other", devices=xml.PORTS)
    other.create()
    assert "lock" in refused(expected("an image in use"), other.attachDevice, spare())
    assert targets(other) == []
    own = described(machine).find("disk/source").get("file")
    assert "lock" in refused(expected("an image in use"), machine.attachDevice, xml.disk(own, "vdc"))
    assert targets(machine) == ["vda", "vdb"]


def test_what_the_emulator_refuses_leaves_nothing(create, base, spare, refused):
    """An image that is no qcow2: what was made before the refusal is taken back, and another attempt works."""
    machine = create(devices=xml.PORTS)
    owner = spare.path.stat().st_uid
    for _ in range(2):
        text = refused(libvirt.VIR_ERR_INTERNAL_ERROR, machine.attachDevice, spare().replace("type='raw'", "type='qcow2'"))
        assert "unable to execute QEMU command" in text
        assert targets(machine) == [] and spare.path.stat().st_uid == owner
    machine.attachDevice(spare())


def test_refusals_of_a_running_machine(machine, spare, refused):
    text = refused(XML_ERROR, machine.attachDevice, spare("vda"))
    assert "target 'vda' duplicated for disk sources" in text
    for verb, call in (("attach", machine.attachDevice), ("detach", machine.detachDevice)):
        if verb == "attach" or xml.also(xml.BALLOON):  # what it has not is missing
            assert f"live {verb} of device 'memballoon' is not supported" in refused(UNSUPPORTED, call, xml.BALLOON)
        refused(CONFIG_UNSUPPORTED, call, "<frob/>")
        refused(libvirt.VIR_ERR_XML_DETAIL, call, "<disk")
    for pattern in ("<disk><target dev='vdz'/></disk>", "<disk><target dev='vda1'/></disk>", f"<interface><mac address='{SECOND}'/></interface>"):
        refused(MISSING, machine.detachDevice, pattern)
    for pattern in ("<rng model='virtio'><backend model='builtin'/></rng>", "<serial type='pty'><target port='2'/></serial>", "<vsock/>"):
        refused(MISSING, machine.detachDevice, pattern)
    refused(UNSUPPORTED, machine.detachDevice, "<controller type='pci' index='77'/>")
    assert "'pci' controller cannot be hot unplugged" in refused(UNSUPPORTED, machine.detachDevice, "<controller type='pci' index='1' model='pcie-root-port'><model name='pcie-root-port'/></controller>")
    assert "disk vdz not found" in refused(MISSING, machine.detachDevice, spare("vdz"))
    assert SECOND in refused(MISSING, machine.detachDevice, xml.bridge(SECOND))
    refused(MISSING, machine.detachDevice, xml.RNG)
    assert "no device found with alias nope" in refused(libvirt.VIR_ERR_INTERNAL_ERROR, machine.detachDeviceAlias, "nope", LIVE)
    bus = described(machine).find("disk/address").get("bus")
    text = refused(XML_ERROR, machine.attachDevice, spare(options=f"<address type='pci' bus='{bus}' slot='0'/>"))
    assert "Attempted double use of PCI Address" in text
    refused(XML_ERROR, machine.attachDevice, spare(options="<address type='pci' bus='0x4d' slot='0'/>"))


def test_a_machine_without_a_free_port(create, image, spare, refused):
    path = image()
    path.chmod(0o666)
    machine = create(devices=xml.disk(path) + "<memballoon model='none'/>")
    devices = 0
    with pytest.raises(libvirt.libvirtError) as caught:
        while devices < 40:
            machine.attachDevice(xml.RNG)
            devices += 1
    assert caught.value.get_error_code() == libvirt.VIR_ERR_INTERNAL_ERROR and "No more available PCI slots" in str(caught.value)
    assert len(described(machine).findall("rng")) == devices


def test_updates_of_a_running_machine(machine, spare, refused):
    own = described(machine).find("disk/source").get("file")
    machine.updateDeviceFlags(xml.disk(own), LIVE)  # nothing is to change
    text = refused(CONFIG_UNSUPPORTED, machine.updateDeviceFlags, spare("vda"), LIVE)
    assert "disk source can be changed only in removable drives" in text
    for options, field in (("<readonly/>", "readonly"), ("<serial>abc</serial>", "serial")):
        text = refused(UNSUPPORTED, machine.updateDeviceFlags, xml.disk(own, options=options), LIVE)
        assert f"cannot modify field '{field}' of the disk" in text
    assert "disk 'vdz' not found" in refused(libvirt.VIR_ERR_INTERNAL_ERROR, machine.updateDeviceFlags, spare("vdz"), LIVE)
    assert SECOND in refused(MISSING, machine.updateDeviceFlags, xml.bridge(SECOND), LIVE)
    text = refused(CONFIG_UNSUPPORTED, machine.updateDeviceFlags, xml.BALLOON, LIVE)
    assert "live update of device 'memballoon' is not supported" in text
    for options in ("<driver queues='2'/>", "<mtu size='1400'/>"):
        refused(UNSUPPORTED, machine.updateDeviceFlags, xml.bridge(FIRST, options), LIVE)
    machine.updateDeviceFlags(xml.bridge(FIRST, "<link state='down'/>"), CURRENT)
    assert link(machine, FIRST) == "down"
    machine.updateDeviceFlags(xml.bridge(FIRST), CURRENT)
    assert link(machine, FIRST) in (None, "up")


def test_two_cards_of_one_address(idle, refused):
    idle.attachDeviceFlags(xml.bridge(FIRST), CONFIG)
    assert addresses(idle) == [FIRST, FIRST]
    text = refused(libvirt.VIR_ERR_OPERATION_FAILED, idle.detachDeviceFlags, xml.bridge(FIRST), CONFIG)
    assert f"multiple devices matching MAC address {FIRST} found" in text


def test_a_daemon_that_was_killed_gives_back_what_was_attached(ours, base, program, name, parts, spare):
    if not ours:
        pytest.skip("libvirtd is not killed: the other tests need it")
    root = base / f"{name}-root"
    root.mkdir()
    server = daemons.virtstratovirtd_in_root(root, program)
    server.start()
    virsh, description = Virsh(server.uri), root / "description.xml"
    owner = spare.path.stat().st_uid
    try:
        description.write_text(xml.bare(name, devices=parts()))
        virsh("create", description, "--paused")
        description.write_text(spare())
        virsh("attach-device", name, description, "--live")
        assert spare.path.stat().st_uid != owner
        server.kill()
        server.start()
        assert [row[0] for row in virsh.rows("domblklist", name)] == ["vda", "vdb"]
        virsh("destroy", name)
        until(lambda: spare.path.stat().st_uid == owner, "the image to be given back")
    finally:
        virsh.run("destroy", name)
        server.stop()


# --- who may


def test_a_read_only_client_changes_no_device(readonly, idle, spare, refused):
    same = readonly.lookupByName(idle.name())
    for call in (same.attachDevice, same.detachDevice):
        assert "read only access prevents" in refused(libvirt.VIR_ERR_OPERATION_DENIED, call, spare())
    for call in (same.attachDeviceFlags, same.detachDeviceFlags, same.updateDeviceFlags, same.detachDeviceAlias):
        assert "read only access prevents" in refused(libvirt.VIR_ERR_OPERATION_DENIED, call, spare(), CONFIG)
