"""Machine names and firmware: what a definition leaves to the start, and what the running machine shows of the choice."""

import json
import os
import pathlib
import re
import subprocess

import libvirt
import pytest

from lib import xml
from lib.daemon import virtstratovirtd_in_root
from lib.virsh import Virsh

INACTIVE = libvirt.VIR_DOMAIN_XML_INACTIVE
OVMF = "/usr/share/OVMF/OVMF_CODE_4M"
SMM = "<acpi/><smm state='on'/>"


def chosen(*, features="", loader="", nvram=""):
    """The words in <os> of a machine whose firmware is chosen; bare() closes the type."""
    wanted = "".join(f"<feature enabled='{state}' name='{name}'/>" for name, state in features) if features else ""
    return (f"<firmware>{wanted}</firmware>" if wanted else "") + loader + nvram


def automatic(text, kind="efi"):
    return text.replace("<os>", f"<os firmware='{kind}'>", 1)


@pytest.fixture
def start(conn, define, name):
    """start(os, features): a paused machine whose firmware is chosen."""

    def begin(os="", **parts):
        domain = define(automatic(xml.bare(name, os=os, **parts)))
        domain.createWithFlags(libvirt.VIR_DOMAIN_START_PAUSED)
        return domain

    return begin


def machine(domain, flags=0):
    return xml.tree(domain.XMLDesc(flags)).find("os/type").get("machine")


@pytest.mark.parametrize("arch, plain, os_", [("x86_64", "q35", ""), ("aarch64", "virt", "<loader readonly='yes' type='pflash'>/usr/share/AAVMF/AAVMF_CODE.fd</loader>")])
def test_a_machine_that_runs_is_called_by_its_version(define, expected, arch, plain, os_):
    domain = define(arch=arch, machine=plain, os=os_)
    written = machine(domain)
    assert re.fullmatch(expected("machine type"), written) or plain == "virt"
    domain.createWithFlags(libvirt.VIR_DOMAIN_START_PAUSED)
    live = machine(domain)
    assert re.fullmatch(r"(pc-q35|virt)-\d+\.\d+", live)
    assert machine(domain, INACTIVE) == written
    domain.destroy()
    assert machine(domain) == written


def test_a_machine_that_is_named_with_its_version_keeps_it(define):
    domain = define(machine="pc-q35-6.2")
    domain.createWithFlags(libvirt.VIR_DOMAIN_START_PAUSED)
    assert machine(domain) == machine(domain, INACTIVE) == "pc-q35-6.2"


def test_the_name_of_what_runs_outlives_the_daemon(ours, base, program):
    if not ours:
        return  # libvirt writes the version into the definition
    root = base / "machine-names"
    root.mkdir()
    daemon = virtstratovirtd_in_root(root, program).start()
    try:
        virsh = Virsh(daemon.uri)
        (root / "a.xml").write_text(automatic(xml.bare("a")))
        virsh("define", str(root / "a.xml"))
        virsh("start", "a", "--paused")
        before = virsh("dumpxml", "a"), virsh("dumpxml", "a", "--inactive")
        assert "machine='pc-q35-" in before[0] and "machine='q35'" in before[1]
        assert "<loader" in before[0] and "<os firmware='efi'>" in before[1]
        daemon.kill()
        daemon.start()
        assert (virsh("dumpxml", "a"), virsh("dumpxml", "a", "--inactive")) == before
        virsh("destroy", "a")
        assert virsh("dumpxml", "a") == before[1]
    finally:
        Virsh(daemon.uri).run("destroy", "a")
        daemon.stop()


def test_an_unknown_version_does_not_run(define, refused, ours):
    if not ours:  # refused where it is defined
        assert "pc-q35-99" in refused(libvirt.VIR_ERR_CONFIG_UNSUPPORTED, define, machine="pc-q35-99")
        return
    domain = define(machine="pc-q35-99")
    assert "does not support machine type 'pc-q35-99'" in refused(libvirt.VIR_ERR_CONFIG_UNSUPPORTED, domain.create)


@pytest.mark.parametrize(
    "features, code, secure",
    [
        ((), ".ms.fd", True),
        ((("secure-boot", "yes"),), ".ms.fd", True),
        ((("secure-boot", "no"),), ".fd", False),
        ((("enrolled-keys", "yes"),), ".ms.fd", True),
        ((("enrolled-keys", "no"),), ".secboot.fd", True),
        ((("secure-boot", "yes"), ("enrolled-keys", "no")), ".secboot.fd", True),
        ((("secure-boot", "yes"), ("secure-boot", "no")), ".fd", False),
    ],
)
def test_firmware_is_chosen_at_start(start, features, code, secure):
    domain = start(chosen(features=features))
    live = xml.tree(domain.XMLDesc())
    assert live.find("os").get("firmware") is None
    loader, store = live.find("os/loader"), live.find("os/nvram")
    assert loader.text == OVMF + code and loader.get("type") == "pflash" and loader.get("readonly") == "yes"
    assert loader.get("secure") == ("yes" if secure else None)
    assert (live.find("features/smm") is not None) == secure
    assert os.path.exists(store.get("template")) and os.path.getsize(store.text) == os.path.getsize(store.get("template"))
    defined = xml.tree(domain.XMLDesc(INACTIVE))
    assert defined.find("os").get("firmware") == "efi" and defined.find("os/loader") is None and defined.find("os/nvram") is None
    assert defined.find("features/smm") is None
    domain.destroy()
    domain.undefineFlags(libvirt.VIR_DOMAIN_UNDEFINE_NVRAM)
    assert not os.path.exists(store.text)


def test_firmware_of_aarch64(start):
    live = xml.tree(start(arch="aarch64", machine="virt").XMLDesc())
    assert live.findtext("os/loader") == "/usr/share/AAVMF/AAVMF_CODE.ms.fd"
    assert live.find("os/loader").get("secure") is None and live.find("features/smm") is None


def test_a_store_that_is_named_is_used(start, base, name):
    path = base / f"{name}.fd"
    domain = start(f"<nvram>{path}</nvram>")
    assert xml.tree(domain.XMLDesc()).findtext("os/nvram") == str(path) and path.exists()
    assert xml.tree(domain.XMLDesc(INACTIVE)).findtext("os/nvram") == str(path)


@pytest.mark.parametrize(
    "parts, code, words",
    [
        (dict(body="<pm><suspend-to-disk enabled='yes'/></pm>"), libvirt.VIR_ERR_OPERATION_FAILED, "Unable to find any firmware to satisfy 'efi'"),
        (dict(features="<acpi/><smm state='off'/>"), libvirt.VIR_ERR_OPERATION_INVALID, "SMM turned off but chosen firmware requires it"),
        (dict(kind="bios"), libvirt.VIR_ERR_OPERATION_FAILED, "Unable to find any firmware to satisfy 'bios'"),
    ],
)
def test_firmware_that_is_not_there_is_refused_at_start(define, name, refused, parts, code, words):
    kind = parts.pop("kind", "efi") if "kind" in parts else "efi"
    domain = define(automatic(xml.bare(name, **parts), kind))
    assert words in refused(code, domain.create)
    assert not domain.isActive()


@pytest.mark.parametrize(
    "kind, os_, features, code, words",
    [
        ("frob", "", "<acpi/>", libvirt.VIR_ERR_XML_ERROR, "frob"),
        ("efi", "<loader>/x</loader>", "<acpi/>", libvirt.VIR_ERR_XML_DETAIL, "loader attribute"),
        ("efi", "<loader type='rom'/>", "<acpi/>", libvirt.VIR_ERR_XML_DETAIL, "loader attribute"),
        ("efi", "<loader readonly='yes'/>", "<acpi/>", libvirt.VIR_ERR_XML_DETAIL, "loader attribute 'readonly'"),
        ("efi", "<loader secure='no'/>", "<acpi/>", libvirt.VIR_ERR_XML_DETAIL, "loader attribute 'secure'"),
        ("efi", "<nvram template='/x'/>", "<acpi/>", libvirt.VIR_ERR_XML_DETAIL, "nvram attribute 'template'"),
        ("efi", "<firmware><feature enabled='yes' name='frob'/></firmware>", "<acpi/>", libvirt.VIR_ERR_XML_ERROR, "frob"),
        ("efi", "<firmware><feature name='secure-boot'/></firmware>", "<acpi/>", libvirt.VIR_ERR_XML_ERROR, "enabled"),
        ("efi", "<firmware><feature enabled='yes'/></firmware>", "<acpi/>", libvirt.VIR_ERR_XML_ERROR, "name"),
        ("efi", "<firmware><feature enabled='no' name='secure-boot'/><feature enabled='yes' name='enrolled-keys'/></firmware>", "<acpi/>", libvirt.VIR_ERR_XML_DETAIL, "enrolled-keys"),
        ("", "<firmware><feature enabled='yes' name='secure-boot'/></firmware>", "<acpi/>", libvirt.VIR_ERR_XML_DETAIL, "autoselection"),
        ("", f"<loader readonly='yes' secure='yes' type='pflash'>{OVMF}.secboot.fd</loader>", "<acpi/>", libvirt.VIR_ERR_CONFIG_UNSUPPORTED, "SMM"),
        ("", f"<loader readonly='yes' secure='yes' type='pflash'>{OVMF}.secboot.fd</loader>", "<acpi/><smm state='off'/>", libvirt.VIR_ERR_CONFIG_UNSUPPORTED, "SMM"),
    ],
)
def test_firmware_that_cannot_be_asked_for(define, name, refused, kind, os_, features, code, words):
    assert words in refused(code, define, automatic(xml.bare(name, os=os_, features=features), kind))


def test_secure_boot_by_path(define):
    domain = define(os=f"<loader readonly='yes' secure='yes' type='pflash'>{OVMF}.secboot.fd</loader>", features=SMM)
    domain.createWithFlags(libvirt.VIR_DOMAIN_START_PAUSED)
    live = xml.tree(domain.XMLDesc())
    assert live.find("features/smm").get("state") == "on"
    assert live.find("os/nvram").get("template") == "/usr/share/OVMF/OVMF_VARS_4M.fd"


def descriptor(code, variables, machines="pc-q35-*"):
    return {
        "description": "of a test",
        "interface-types": ["uefi"],
        "mapping": {"device": "flash", "executable": {"filename": code, "format": "raw"}, "nvram-template": {"filename": variables, "format": "raw"}},
        "targets": [{"architecture": "x86_64", "machines": [machines]}],
        "features": ["acpi-s3"],
        "tags": [],
    }


@pytest.fixture
def administrator():
    """The administrator's folder of descriptors, in which a test may write."""
    folder = pathlib.Path("/etc/qemu/firmware")
    folder.mkdir(exist_ok=True)
    yield folder
    for file in folder.iterdir():
        file.unlink()


def test_the_administrators_descriptors_come_first(administrator, start, conn):
    (administrator / "40-edk2-x86_64-secure-enrolled.json").touch()
    (administrator / "50-edk2-x86_64-secure.json").write_text("no descriptor")
    (administrator / "45-other.json").write_text(json.dumps(descriptor("/nowhere", "/nowhere", "pc-i440fx-*")))
    assert xml.tree(start().XMLDesc()).findtext("os/loader") == OVMF + ".fd"
    values = [value.text for value in xml.tree(conn.getDomainCapabilities(None, "x86_64", "q35", "qemu")).findall("os/loader/value")]
    assert values == [OVMF + ".fd"]


def test_what_can_be_chosen_is_told(conn):
    for arch, plain, secure in (("x86_64", "q35", ["yes", "no"]), ("aarch64", "virt", ["no"])):
        told = xml.tree(conn.getDomainCapabilities(None, arch, plain, "qemu")).find("os")
        enums = {enum.get("name"): [value.text for value in enum] for enum in told.iter("enum")}
        assert enums["firmware"] == ["efi"] and "pflash" in enums["type"] and enums["secure"] == secure
        loaders = [value.text for value in told.findall("loader/value")]
        assert loaders and all(os.path.exists(loader) for loader in loaders)


def test_a_shut_off_machine_is_told_as_a_command(conn, define, name, expected):
    domain = define(automatic(xml.bare(name)))
    line = conn.domainXMLToNative(expected("native format"), domain.XMLDesc(), 0)
    assert OVMF + ".ms.fd" in line and "smm=on" in line


def test_virt_install_boots_with_uefi(conn, uri, tidy, name):
    """virt-install as Debian has it; the USB controllers that it writes for every machine are left out."""
    command = ["virt-install", "--connect", uri, "--virt-type", "qemu", "--machine", "q35", "--name", name, "--memory", "128", "--vcpus", "1", "--boot", "uefi", "--disk", "none"]
    command += ["--network", "none", "--graphics", "none", "--osinfo", "detect=off,require=off", "--import", "--noautoconsole", "--xml", 'xpath.delete=./devices/controller[@type="usb"]']
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    domain = conn.lookupByName(name)
    assert domain.isActive() and xml.tree(domain.XMLDesc()).findtext("os/loader").startswith("/usr/share/OVMF/")
    assert xml.tree(domain.XMLDesc(INACTIVE)).find("os").get("firmware") == "efi"
