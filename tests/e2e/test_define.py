"""Definitions: define, undefine, dumpxml, edit, domrename, title, desc, metadata, autostart, --validate, domxml-to-native."""

import os
import re
import subprocess
import uuid as uuids

import libvirt
import pytest

from lib import host, xml

AFFECT_CONFIG = libvirt.VIR_DOMAIN_AFFECT_CONFIG


def test_define_makes_a_shut_off_domain(virsh, tidy, file, name):
    assert f"Domain '{name}' defined from" in virsh("define", file(xml.bare(name)))
    assert [name, "shut", "off"] in [row[1:] for row in virsh.rows("list", "--all")]
    assert name not in virsh.names()
    assert virsh("domstate", name) == "shut off"


def test_the_same_name_and_uuid_replaces(define, conn, name):
    domain = define(memory=256)
    again = conn.defineXML(xml.bare(name, memory=192, uuid=domain.UUIDString()))
    assert again.UUIDString() == domain.UUIDString()
    assert again.maxMemory() == 192 << 10


def test_the_same_name_without_a_uuid_is_refused(define, conn, name, refused):
    uuid = define().UUIDString()
    message = refused(libvirt.VIR_ERR_OPERATION_FAILED, conn.defineXML, xml.bare(name))
    assert f"domain '{name}' already exists with uuid {uuid}" in message


def test_the_same_uuid_with_another_name_is_refused(define, conn, name, refused):
    uuid = define().UUIDString()
    message = refused(libvirt.VIR_ERR_OPERATION_FAILED, conn.defineXML, xml.bare(name + "-other", uuid=uuid))
    assert f"domain '{name}' is already defined with uuid {uuid}" in message
    assert name + "-other" not in {domain.name() for domain in conn.listAllDomains()}


def test_uuid_is_made_when_absent_and_kept_when_given(define, name):
    uuid = str(uuids.uuid4())
    assert define(uuid=uuid).UUIDString() == uuid
    assert uuids.UUID(define(name=name + "-2").UUIDString())


@pytest.mark.parametrize("unit, kibibytes", [("b", 262144), ("bytes", 262144), ("KB", 262144), ("KiB", 262144), ("k", 262144), ("MB", 256), ("MiB", 256), ("M", 256), ("GiB", 1), ("G", 1)])
def test_units_of_memory(define, unit, kibibytes):
    factor = {"b": 1, "bytes": 1, "KB": 1000, "KiB": 1 << 10, "k": 1 << 10, "MB": 10**6, "MiB": 1 << 20, "M": 1 << 20, "GiB": 1 << 30, "G": 1 << 30}[unit]
    count = kibibytes * (1024 if factor == 1 else 1)
    text = xml.bare("{name}").replace("<memory unit='MiB'>128<", f"<memory unit='{unit}'>{count}<")
    domain = define(text.replace("{name}", f"units-{unit}"))
    assert domain.maxMemory() == -(-count * factor // 1024)


def test_dumpxml_adds_libvirts_defaults(define, name):
    tree = xml.tree(define().XMLDesc())
    assert tree.get("type") == xml.TYPE and tree.get("id") is None
    assert tree.findtext("name") == name
    assert tree.find("memory").attrib == {"unit": "KiB"} and tree.findtext("memory") == "131072"
    assert tree.findtext("currentMemory") == "131072"
    assert tree.find("vcpu").get("placement") == "static"
    assert tree.find("clock").get("offset") == "utc"
    assert [tree.findtext(f"on_{what}") for what in ("poweroff", "reboot", "crash")] == ["destroy", "restart", "destroy"]
    assert tree.findtext("devices/emulator") == xml.EMULATOR


def test_dumpxml_of_a_machine_type(define, expected):
    machine = xml.tree(define().XMLDesc()).find("os/type").get("machine")
    assert re.fullmatch(expected("machine type"), machine)


def test_dumpxml_adds_no_devices_of_its_own(define, expected):
    tree = xml.tree(define().XMLDesc())
    kinds = {element.tag for element in tree.find("devices")}
    usb_or_sata = {c.get("type") for c in tree.iter("controller")} & {"usb", "sata"}
    assert bool(kinds & {"input", "audio"} or usb_or_sata) == expected("devices of its own")


def test_addresses_and_root_ports_are_assigned(define, image):
    tree = xml.tree(define(devices=xml.disk(image()) + xml.bridge() + xml.CONSOLE).XMLDesc())
    ports = {c.get("index"): c for c in tree.iter("controller") if c.get("model") == "pcie-root-port"}
    for element in (tree.find("devices/disk"), tree.find("devices/interface"), tree.find("devices/controller[@type='virtio-serial']")):
        address = element.find("address")
        assert address.get("type") == "pci" and address.get("slot") == "0x00"
        assert str(int(address.get("bus"), 16)) in ports
    places = [tuple(a.get(k) for k in ("domain", "bus", "slot", "function")) for a in tree.iter("address") if a.get("type") == "pci"]
    assert len(set(places)) == len(places)
    for index, port in ports.items():
        assert port.find("target").get("chassis") == index
    assert tree.find("devices/console/target").attrib == {"type": "virtio", "port": "0"}


def test_a_given_address_is_kept(define, image):
    options = "<address type='pci' domain='0x0000' bus='0x00' slot='0x07' function='0x0'/>"
    tree = xml.tree(define(devices=xml.disk(image(), options=options)).XMLDesc())
    assert tree.find("devices/disk/address").attrib == {"type": "pci", "domain": "0x0000", "bus": "0x00", "slot": "0x07", "function": "0x0"}


def test_interface_gets_a_mac(define):
    devices = f"<interface type='bridge'><source bridge='{host.BRIDGE}'/><model type='virtio'/></interface>"
    mac = xml.tree(define(devices=devices).XMLDesc()).find("devices/interface/mac").get("address")
    assert re.fullmatch(r"52:54:00(:[0-9a-f]{2}){3}", mac)


def test_a_mac_may_begin_with_the_tap_s(create):
    mac = "fe:54:00:11:22:33"
    card = xml.tree(create(devices=xml.bridge(mac)).XMLDesc()).find("devices/interface")
    assert card.find("mac").get("address") == mac
    tap = card.find("target").get("dev")
    with open(f"/sys/class/net/{tap}/address") as address:
        assert address.read().strip() == "fa" + mac[2:]


@pytest.mark.parametrize("encoding", ["utf-8", "UTF-16", "utf-16le", "UCS-4", "iso-8859-1", "latin1", "windows-1252", "us-ascii", "shift_jis"])
def test_a_declaration_does_not_change_the_encoding(define, name, encoding, refused, conn):
    declaration = f"<?xml version='1.0' encoding='{encoding}'?>\n"
    domain = define(declaration + xml.bare(f"{name} ünï €"))
    assert domain.name() == f"{name} ünï €"
    message = refused(libvirt.VIR_ERR_XML_DETAIL, conn.defineXML, declaration + "<domain><name>ü</nam></domain>")
    assert message == "(domain_definition):2: Opening and ending tag mismatch: name line 2 and nam\n<domain><name>ü</nam></domain>\n----------------------^"


@pytest.mark.parametrize("head", ["\ufeff", "\ufeff<?xml version='1.0' encoding='utf-16' standalone='yes'?>", " \n", "<!-- by hand -->", "<?xml version='1.1'?>", "<?tool says?>"])
def test_what_may_stand_before_a_description(define, name, head):
    assert define(head + xml.bare(name)).name() == name


@pytest.mark.parametrize("head", ["<?xml version='1.0' encoding='frob'?>", "<?xml version='1.0' encoding=''?>", "<?xml encoding='utf-8'?>", "\n<?xml version='1.0'?>", "<?xml version='1.0' standalone='maybe'?>"])
def test_what_may_not_stand_before_a_description(conn, name, head, refused):
    refused(libvirt.VIR_ERR_XML_DETAIL, conn.defineXML, head + xml.bare(name))


def test_bytes_that_are_no_utf8_are_refused(virsh, base):
    path = base / "latin1.xml"
    for head in (b"", b"<?xml version='1.0' encoding='latin1'?>"):
        path.write_bytes(head + xml.bare("l\xfc").encode("latin1"))
        done = subprocess.run([*virsh.command, "define", path], capture_output=True)
        assert done.returncode != 0 and b"Input is not proper UTF-8" in done.stderr


def test_a_description_in_pieces(define, image):
    text = xml.bare("pieces", devices=xml.disk(image()), os="<kernel>/first</kernel>")
    text = text.replace("</devices>", f"</devices><devices>{xml.disk(image(), 'vdb')}</devices>")
    text = text.replace("</os>", "</os><os><kernel>/second</kernel><cmdline>both</cmdline></os>")
    text = text.replace("<features>", "<features><pae/></features><features>")
    tree = xml.tree(define(text).XMLDesc())
    assert [target.get("dev") for target in tree.findall("devices/disk/target")] == ["vda", "vdb"]
    assert [tree.find(f"os/{name}").text for name in ("kernel", "cmdline")] == ["/first", "both"]
    assert {element.tag for element in tree.find("features")} == {"acpi", "pae"}
    assert len(tree.findall("devices")) == len(tree.findall("os")) == 1


def test_an_empty_element_is_none(define, name, refused, conn):
    empty = "<uuid/><title/><description/><currentMemory/><memoryBacking/><iothreads/><cputune/><cpu/><clock/><on_poweroff/><on_reboot/><on_crash/><pm/>"
    tree = xml.tree(define(head=empty, os="<initrd/><cmdline/><smbios/>").XMLDesc())
    assert uuids.UUID(tree.find("uuid").text) and tree.find("on_crash").text == "destroy" and tree.find("title") is None
    for element in ("name", "memory", "vcpu"):
        text = re.sub(f"<{element}\\b[^>]*>[^<]*</{element}>", f"<{element}/>", xml.bare(name))
        with pytest.raises(libvirt.libvirtError):
            conn.defineXML(text)


def test_devices_that_are_none_are_kept(define):
    idle = "<controller type='usb' model='none'/><video><model type='none'/></video>" + xml.also("<input type='mouse' bus='ps2'/>")
    domain = define(devices=idle)
    devices = xml.tree(domain.XMLDesc()).find("devices")
    assert devices.find("controller[@type='usb']").get("model") == "none" and devices.find("video/model").get("type") == "none"
    assert devices.findall("input[@type='mouse']") or not xml.also("x")
    domain.create()


SYSINFO = """<sysinfo type='smbios'>
  <bios><entry name='vendor'>Acme</entry><entry name='date'>01/02/2020</entry></bios>
  <system><entry name='product'>Rocket</entry><entry name='serial'>0042</entry><entry name='uuid'>{uuid}</entry></system>
  <baseBoard><entry name='asset'>B1</entry></baseBoard>
  <chassis><entry name='sku'>C1</entry></chassis>
</sysinfo>"""


def test_what_a_machine_says_of_itself(define, conn, name, refused):
    uuid = str(uuids.uuid4())
    domain = define(uuid=uuid, head=SYSINFO.format(uuid=uuid), os="<smbios mode='sysinfo'/>")
    tree = xml.tree(domain.XMLDesc())
    said = {(entry.get("name"), entry.text) for entry in tree.findall("sysinfo/*/entry")}
    assert {("vendor", "Acme"), ("product", "Rocket"), ("uuid", uuid), ("asset", "B1"), ("sku", "C1")} <= said
    assert tree.find("os/smbios").get("mode") == "sysinfo"
    domain.create()
    pid = host.emulator_pid(uuid)
    with open(f"/proc/{pid}/cmdline") as words:
        line = words.read().split("\0")
    assert any(word.startswith("type=1,product=Rocket,serial=0042") for word in line)
    text = xml.bare(name, uuid=str(uuids.uuid4()), head=SYSINFO.format(uuid=uuid))
    assert "UUID mismatch" in refused(libvirt.VIR_ERR_XML_DETAIL, conn.defineXML, text)
    text = xml.bare(name, head="<sysinfo type='smbios'><bios><entry name='date'>frob</entry></bios></sysinfo>")
    refused(libvirt.VIR_ERR_XML_DETAIL, conn.defineXML, text)


def test_a_topology_of_processors(define, conn, name, refused):
    topology = "<cpu><topology sockets='2' cores='2' threads='1'/></cpu>"
    if xml.TYPE == "kvm":
        assert "topology" in refused(libvirt.VIR_ERR_CONFIG_UNSUPPORTED, conn.defineXML, xml.bare(name, vcpus=4, body=topology))
        return
    domain = define(vcpus=4, body=topology)
    assert xml.tree(domain.XMLDesc()).find("cpu/topology").attrib == {"sockets": "2", "dies": "1", "cores": "2", "threads": "1"}
    domain.create()
    for vcpus, wrong in ((3, topology), (4, topology.replace("cores='2'", "cores='0'")), (4, topology.replace("cores='2'", ""))):
        with pytest.raises(libvirt.libvirtError):
            conn.defineXML(xml.bare(name, vcpus=vcpus, body=wrong))


def test_dumpxml_is_a_fixed_point(define, conn, image, expected):
    parts = dict(
        vcpus=2,
        devices=xml.disk(image(), options="<serial>abc</serial><iotune><total_iops_sec>1000</total_iops_sec></iotune>") + xml.bridge() + xml.CONSOLE + xml.RNG + xml.BALLOON,
        head="<title>a title</title><description>what it is</description><metadata><a:b xmlns:a='urn:a'>text</a:b></metadata>",
        body="<on_poweroff>destroy</on_poweroff><on_reboot>destroy</on_reboot><on_crash>restart</on_crash>",
    )
    once = define(**parts).XMLDesc()
    twice = conn.defineXML(once).XMLDesc()
    assert (twice == once) == expected("dumpxml is a fixed point at once")
    assert conn.defineXML(twice).XMLDesc() == twice


def test_what_dumpxml_writes_validates(define, conn, image):
    text = define(devices=xml.disk(image()) + xml.bridge() + xml.CONSOLE + xml.RNG).XMLDesc()
    conn.defineXMLFlags(text, libvirt.VIR_DOMAIN_DEFINE_VALIDATE)


def test_validate_refuses_what_the_schema_does_not_know(conn, name, refused, virsh, file, tidy):
    text = xml.bare(name, body="<frob/>")
    refused(libvirt.VIR_ERR_XML_INVALID_SCHEMA, conn.defineXMLFlags, text, libvirt.VIR_DOMAIN_DEFINE_VALIDATE)
    assert name not in virsh.names("--all")
    virsh("define", file(text))
    assert "frob" not in virsh("dumpxml", name)


def test_long_names(conn, tidy, expected):
    """Every name of 255 characters that the seed allows can be defined; 256 cannot be written to a file."""
    text = xml.bare("n" * 255)
    if expected("255 character names"):
        assert conn.defineXML(text).name() == "n" * 255
    else:
        with pytest.raises(libvirt.libvirtError):
            conn.defineXML(text)


@pytest.mark.parametrize("name", ["a_b-c:D9", "spaces in it", "utf-8 ünïcode", "dot.dot", "q'uote\"<&>"])
def test_names_that_are_allowed(conn, tidy, name):
    from xml.sax.saxutils import escape

    domain = conn.defineXML(xml.bare(escape(name)))
    assert domain.name() == name
    assert conn.lookupByName(name).UUIDString() == domain.UUIDString()


def test_undefine(define, virsh, conn, refused, name):
    define()
    assert virsh("undefine", name) == f"Domain '{name}' has been undefined"
    assert name not in virsh.names("--all")
    refused(libvirt.VIR_ERR_NO_DOMAIN, conn.lookupByName, name)


def test_undefine_of_a_running_domain_makes_it_transient(define, virsh, name):
    domain = define()
    domain.createWithFlags(libvirt.VIR_DOMAIN_START_PAUSED)
    virsh("undefine", name)
    assert domain.isActive() == 1 and domain.isPersistent() == 0
    assert virsh.fields("dominfo", name)["Persistent"] == "no"
    virsh("destroy", name)
    assert name not in virsh.names("--all")


def nvram_domain(base, name):
    return f"<loader readonly='yes' type='pflash'>/usr/share/OVMF/OVMF_CODE_4M.fd</loader><nvram>{base}/{name}_VARS.fd</nvram>"


def test_undefine_and_the_nvram_file(define, base, name, virsh, expected):
    path = base / f"{name}_VARS.fd"
    for flag, kept in (("--keep-nvram", True), ("--nvram", False)):
        define(os=nvram_domain(base, name))
        path.write_bytes(b"variables")
        virsh("undefine", name, flag)
        assert path.exists() == kept
    define(os=nvram_domain(base, name))
    path.write_bytes(b"variables")
    result = virsh.run("undefine", name)
    assert (result.status == 0) == expected("plain undefine with an nvram file succeeds")
    assert path.exists()


def test_nvram_that_is_no_file_stays(define, base, name, virsh, expected):
    path = base / f"{name}_VARS.fd"
    path.symlink_to("/dev/null")  # as a device
    define(os=nvram_domain(base, name))
    result = virsh.run("undefine", name, "--nvram")
    assert (result.status == 0) == expected("nvram that is no regular file is deleted") == (not path.is_symlink())
    if result.status:
        assert "not a regular file" in result.err
        virsh("undefine", name, "--keep-nvram")
        path.unlink()


def test_undefine_with_every_flag_virsh_has(define, virsh, name):
    define()
    virsh("undefine", name, "--managed-save", "--snapshots-metadata", "--checkpoints-metadata", "--nvram")


def test_edit(define, virsh, name, base):
    define()
    editor = base / "editor"
    editor.write_text("#!/bin/sh\nsed -i \"s/<vcpu placement='static'>1</<vcpu placement='static'>3</\" \"$1\"\n")
    editor.chmod(0o755)
    virsh.environment["EDITOR"] = virsh.environment["VISUAL"] = str(editor)
    try:
        assert f"Domain '{name}' XML configuration edited" in virsh("edit", name)
    finally:
        del virsh.environment["EDITOR"], virsh.environment["VISUAL"]
    assert virsh.fields("dominfo", name)["CPU(s)"] == "3"


def test_domrename(define, virsh, conn, name, tidy):
    domain = define()
    uuid = domain.UUIDString()
    virsh("domrename", name, name + "-new")
    assert conn.lookupByUUIDString(uuid).name() == name + "-new"
    assert name not in virsh.names("--all")
    assert xml.tree(virsh("dumpxml", name + "-new")).findtext("name") == name + "-new"


def test_domrename_onto_another_is_refused(define, conn, name, refused):
    one, other = define(), define(name=name + "-other")
    refused(libvirt.VIR_ERR_OPERATION_INVALID, one.rename, other.name())
    assert {one.name(), other.name()} <= {domain.name() for domain in conn.listAllDomains()}


def test_domrename_of_a_running_domain_is_refused(running, refused):
    message = refused(libvirt.VIR_ERR_OPERATION_INVALID, running.rename, "elsewhere")
    assert "cannot rename active domain" in message


def test_domname_domuuid_domid(running, virsh):
    name, uuid = running.name(), running.UUIDString()
    assert virsh("domuuid", name) == uuid
    assert virsh("domname", uuid) == name
    number = virsh("domid", name)
    assert int(number) == running.ID() and virsh("domname", number) == name


def test_domid_of_an_inactive_domain(inactive, virsh):
    assert virsh("domid", inactive.name()) == "-"


def test_title_and_description(define, virsh, name):
    domain = define()
    assert virsh("desc", name) == f"No description for domain: {name}"
    virsh("desc", name, "--title", "--config", "A title")
    virsh("desc", name, "--config", "what", "it", "is")
    assert virsh("desc", name, "--title") == "A title" and virsh("desc", name) == "what it is"
    tree = xml.tree(domain.XMLDesc())
    assert tree.findtext("title") == "A title" and tree.findtext("description") == "what it is"
    assert any("A title" in line for line in virsh("list", "--all", "--title").splitlines())


def test_a_title_has_no_newline(define, refused):
    message = refused(libvirt.VIR_ERR_INVALID_ARG, define().setMetadata, libvirt.VIR_DOMAIN_METADATA_TITLE, "two\nlines", None, None, AFFECT_CONFIG)
    assert "newlines" in message


def test_metadata(define, virsh, name, refused):
    domain = define()
    space = "http://example.org/ns"
    refused(libvirt.VIR_ERR_NO_DOMAIN_METADATA, domain.metadata, libvirt.VIR_DOMAIN_METADATA_ELEMENT, space)
    virsh("metadata", name, "--uri", space, "--key", "k", "--set", "<a b='c'><d/></a>", "--config")
    tree = xml.tree(virsh("metadata", name, "--uri", space, "--config"))
    assert tree.tag == "a" and tree.get("b") == "c" and tree.find("d") is not None
    assert "{%s}a" % space in {element.tag for element in xml.tree(domain.XMLDesc()).find("metadata")}
    virsh("metadata", name, "--uri", space, "--remove", "--config")
    assert not xml.tree(domain.XMLDesc()).findall("metadata/*")


def test_metadata_of_a_running_domain_is_live_and_config_apart(define, name):
    domain = define()
    domain.createWithFlags(libvirt.VIR_DOMAIN_START_PAUSED)
    domain.setMetadata(libvirt.VIR_DOMAIN_METADATA_TITLE, "live", None, None, libvirt.VIR_DOMAIN_AFFECT_LIVE)
    assert domain.metadata(libvirt.VIR_DOMAIN_METADATA_TITLE, None, libvirt.VIR_DOMAIN_AFFECT_LIVE) == "live"
    with pytest.raises(libvirt.libvirtError):
        domain.metadata(libvirt.VIR_DOMAIN_METADATA_TITLE, None, AFFECT_CONFIG)
    assert xml.tree(domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)).find("title") is None


def test_autostart(define, virsh, name):
    domain = define()
    assert virsh.fields("dominfo", name)["Autostart"] == "disable"
    virsh("autostart", name)
    assert domain.autostart() == 1 and name in virsh.names("--all", "--autostart")
    virsh("autostart", name, "--disable")
    assert domain.autostart() == 0 and name in virsh.names("--all", "--no-autostart")


def test_autostart_of_a_transient_domain_is_refused(create, refused):
    assert "transient" in refused(libvirt.VIR_ERR_OPERATION_INVALID, create().setAutostart, 1)


def test_dumpxml_inactive_of_a_running_domain(define, name):
    domain = define()
    domain.createWithFlags(libvirt.VIR_DOMAIN_START_PAUSED)
    live, stored = xml.tree(domain.XMLDesc()), xml.tree(domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE))
    assert live.get("id") == str(domain.ID()) and stored.get("id") is None


def test_dumpxml_with_xpath(define, virsh, name):
    define()
    assert "<name>" in virsh("dumpxml", name, "--xpath", "//name")


def test_a_live_description_has_aliases_and_paths(create):
    tree = xml.tree(create(devices=xml.CONSOLE).XMLDesc())
    console = tree.find("devices/console")
    assert console.find("source").get("path") == console.get("tty") and os.path.exists(console.get("tty"))
    assert all(element.find("alias") is not None for element in tree.find("devices") if element.tag in ("console", "controller"))


def test_a_user_alias_is_kept(define, image):
    disk = xml.disk(image(), options="<alias name='ua-mine'/>")
    assert xml.tree(define(devices=disk).XMLDesc()).find("devices/disk/alias").get("name") == "ua-mine"


def test_another_alias_is_dropped(define, image):
    disk = xml.disk(image(), options="<alias name='mine'/>")
    assert xml.tree(define(devices=disk).XMLDesc()).find("devices/disk/alias") is None


def test_the_seeds_aliases(define, expected):
    balloon = "<memballoon model='virtio'><alias name='balloon0' autodeflate='on'/></memballoon>"
    tree = xml.tree(define(devices=balloon).XMLDesc())
    kept = tree.find("devices/memballoon/alias") is not None
    assert kept == expected("the guide's aliases are kept")
    assert (tree.find("devices/memballoon").get("autodeflate") == "on") == expected("autodeflate is read from the alias")


def test_a_definition_given_to_a_running_domain_waits_for_its_next_start(define, conn, name):
    domain = define()
    domain.createWithFlags(libvirt.VIR_DOMAIN_START_PAUSED)
    conn.defineXML(xml.bare(name, uuid=domain.UUIDString(), vcpus=4))
    assert domain.maxVcpus() == 1
    assert domain.vcpusFlags(AFFECT_CONFIG | libvirt.VIR_DOMAIN_VCPU_MAXIMUM) == 4
    domain.destroy()
    assert domain.vcpusFlags(AFFECT_CONFIG | libvirt.VIR_DOMAIN_VCPU_MAXIMUM) == 4


def test_define_of_a_transient_domain_makes_it_persistent(create, conn, name):
    domain = create()
    assert domain.isPersistent() == 0
    conn.defineXML(xml.bare(name, uuid=domain.UUIDString()))
    assert domain.isPersistent() == 1 and domain.isActive() == 1


def test_domxml_to_native(define, virsh, name, image, expected):
    define(devices=xml.disk(image()) + xml.CONSOLE)
    format = "stratovirt-argv" if xml.TYPE == "kvm" else expected("native format")
    line = virsh("domxml-to-native", format, "--domain", name)
    for word in (xml.EMULATOR, "-uuid", "accel=kvm" if xml.TYPE == "kvm" else "tcg", "virtio-blk-pci", "virtconsole", "-smp", "q35"):
        assert word in line, line


def test_domxml_to_native_of_a_file(virsh, file, name, expected):
    assert "-uuid" in virsh("domxml-to-native", expected("native format"), "--xml", file(xml.bare(name)))
    assert name not in virsh.names("--all")


def test_domxml_to_an_unknown_native_is_refused(conn, name, refused):
    assert "frob-argv" in refused(libvirt.VIR_ERR_INVALID_ARG, conn.domainXMLToNative, "frob-argv", xml.bare(name))


def test_definitions_are_files_of_libvirts_own(define, name, ours):
    define()
    path = f"/etc/libvirt/{'stratovirt' if ours else 'qemu'}/{name}.xml"
    assert name in open(path).read()
    assert os.stat(path).st_mode & 0o077 == 0
