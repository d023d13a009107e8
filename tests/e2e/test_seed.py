"""The guide's two full examples: as they are printed, and, fitted to this host, through each command the guide names."""

import os
import pathlib
import subprocess

import pytest

from lib import host, seed, xml
from lib.console import Console

NAME = seed.NAME
ARCHS = ["x86_64", "aarch64"]
FOLDERS = ["/etc/libvirt/stratovirt", "/run/libvirt/stratovirt", "/var/lib/libvirt/stratovirt", "/dev/hugepages"]
BOOT_SECONDS = 160
TAKES = {"KiB": 1, "MiB": 1 << 10, "GiB": 1 << 20}

# What each example becomes, in words of either emulator's manual.
NATIVE = {
    ("x86_64", "stratovirt-argv"): [
        "-machine q35,accel=kvm", "-m 8192", "-smp 4", "-object iothread,id=iothread1", "-kernel /path/to/standard_vm_kernel",
        "file=/path/to/pflash,if=pflash,format=raw,unit=0,readonly=on", "file=/path/to/OVMF_VARS,if=pflash,format=raw,unit=1",
        "pcie-root-port,", "throttling.iops-total=1000", "virtio-blk-pci,", "mac=de:ad:be:ef:00:01", "virtio-serial-pci,",
        "virtconsole,", "virtio-balloon-pci,", "max-bytes=1234,period=1000", "vhost-vsock-pci,", "guest-cid=3",
    ],
    ("aarch64", "stratovirt-argv"): [
        "-machine virt,", "gic-version=3", "-m 8192", "-smp 4", "console=ttyAMA0", "file=/path/to/pflash,if=pflash,format=raw,unit=0,readonly=on",
        "throttling.iops-total=1000", "virtio-blk-pci,", "bus=pcie.0,addr=0x1", "virtconsole,", "guest-cid=3",
    ],
    ("x86_64", "qemu-argv"): [
        "-machine q35,", "-smp 4", "/path/to/pflash", "/path/to/OVMF_VARS", "-kernel /path/to/standard_vm_kernel", "pcie-root-port,",
        "virtio-blk-pci,iothread=iothread1,bus=pci.1,addr=0x0", "virtio-net-pci,", "virtio-serial-pci,id=virt-serial0,bus=pci.3",
        "id=console0", "virtio-balloon-pci,id=balloon0,bus=pci.4", "max-bytes=1234,period=1000,bus=pci.5", "guest-cid=3",
    ],
    ("aarch64", "qemu-argv"): [
        "-machine virt,gic-version=3", "/path/to/pflash", "virtio-blk-pci,iothread=iothread1,bus=pcie.0,addr=0x1", "guest-cid=3",
        "virtio-balloon-pci,id=balloon0,bus=pcie.0,addr=0x4",
    ],
}  # fmt: skip


@pytest.fixture(autouse=True)
def guides_own(ours, tidy):
    if not ours:
        pytest.skip("the guide's machines are StratoVirt's")


@pytest.fixture
def fit(base, guest_files, root_disk):
    """fit(arch): the example, not yet changed."""
    return lambda arch: seed.Fitted(arch, base, guest_files(arch), root_disk(arch))


def plainly(value):
    """A number however it is written."""
    try:
        return int(value, 0)
    except ValueError:
        return value


def holds(dump, written):
    """Whether all that `written` says is in `dump`."""
    if written.get("unit") in TAKES:
        if written.tag == "page":
            return int(dump.get("size")) == int(written.get("size")) * TAKES[written.get("unit")]
        return int(dump.text) == int(written.text) * TAKES[written.get("unit")]
    return (
        dump.tag == written.tag
        and (dump.text or "").strip() == (written.text or "").strip()
        and all(plainly(dump.get(key, "")) == plainly(value) for key, value in written.attrib.items())
        and all(any(holds(there, child) for there in dump.findall(child.tag)) for child in written)
    )


def lacking(dump, written):
    """What of the description's and its devices' elements is not in `dump`."""
    there = [*dump, *dump.find("devices")]
    return [f"{wanted.tag} {wanted.attrib}" for wanted in [*written, *written.find("devices")]
            if wanted.tag != "devices" and not any(holds(one, wanted) for one in there if one.tag == wanted.tag)]  # fmt: skip


def files_of(name):
    return [path for folder in FOLDERS for path in pathlib.Path(folder).rglob("*") if name in path.name]


def states(virsh, *filters):
    return {line[1]: " ".join(line[2:]) for line in virsh.rows("list", *filters)}


@pytest.mark.parametrize("arch", ARCHS)
def test_the_unedited_example(virsh, file, arch):
    path = seed.EXAMPLES / f"{arch}.xml"
    assert virsh("define", path) == f"Domain '{NAME}' defined from {path}"
    assert states(virsh, "--all")[NAME] == "shut off"
    dump = virsh("dumpxml", NAME)
    assert lacking(xml.tree(dump), xml.tree(path.read_text())) == []
    assert virsh("define", file(dump), "--validate") and virsh("dumpxml", NAME) == dump
    for format in ("stratovirt-argv", "qemu-argv"):
        native = virsh("domxml-to-native", format, "--domain", NAME)
        assert [words for words in NATIVE[arch, format] if words not in native] == []
        assert "/path/to/StratoVirt_binary_file" in native
        assert virsh("domxml-to-native", format, path).count("\n") == native.count("\n")
    message = virsh.fails("start", NAME)
    assert "'kvm' cannot run here" in message or "/path/to/StratoVirt_binary_file" in message
    assert "/dev/kvm" in message or "PVM" in message or "/path/to" in message
    assert states(virsh, "--all")[NAME] == "shut off"
    assert virsh("undefine", NAME) == f"Domain '{NAME}' has been undefined"
    assert NAME not in virsh.names("--all") and not files_of(NAME)

@pytest.fixture
def say(capsys):
    """Prints each difference from the guide's example, whatever becomes of the test."""

    def differences(fitted):
        with capsys.disabled():
            print(*["", *fitted.differences], sep="\n    ")

    return differences


@pytest.mark.parametrize("arch", ARCHS)
def test_a_refused_start_names_what_is_missing(virsh, file, fit, say, arch):
    """Each difference from the guide is one that a refused start asked for, until there is nothing left to ask."""
    fitted = fit(arch)
    with seed.pages():
        while fitted.changes:
            virsh("define", file(fitted.description()))
            message = virsh.fails("start", NAME)
            assert not files_of(f"-{NAME}") and states(virsh, "--all")[NAME] == "shut off"
            fitted.change(fitted.asked_for(message))
            virsh("undefine", NAME)
        virsh("define", file(fitted.description()))
        if fitted.has("interface"):
            host.run("ip", "link", "set", host.BRIDGE, "down")
            host.run("ip", "link", "set", host.BRIDGE, "name", "away")
            message = virsh.fails("start", NAME)
            host.run("ip", "link", "set", "away", "name", host.BRIDGE)
            host.run("ip", "link", "set", host.BRIDGE, "up")
            assert host.BRIDGE in message
        virsh("start", NAME, "--paused")
        assert states(virsh)[NAME] == "paused"
        virsh("destroy", NAME)
    say(fitted)
    virsh("undefine", NAME)


@pytest.mark.parametrize("arch", ARCHS)
def test_every_command_of_the_guide(virsh, uri, file, fit, say, conn, arch):
    fitted = fit(arch).all()
    say(fitted)
    path = file(fitted.description())
    owner, cards = os.stat(fitted.root).st_uid, host.network_cards()
    with seed.pages():
        virsh("define", path)
        assert states(virsh, "--all")[NAME] == "shut off"
        assert virsh("start", NAME) == f"Domain '{NAME}' started"
        assert states(virsh)[NAME] == "running"
        uuid = virsh("domuuid", NAME)
        pid, taps = host.emulator_pid(uuid), host.network_cards() - cards
        assert len(taps) == fitted.has("interface") and all(os.path.exists(f"/sys/class/net/{host.BRIDGE}/brif/{tap}") for tap in taps)
        assert len(files_of(f"-{NAME}")) == 2, "a folder for its sockets and one for its pages"
        assert "/dev/hugepages/" in pathlib.Path(f"/proc/{pid}/maps").read_text()

        with Console(uri, NAME) as console:
            console.connected().login(BOOT_SECONDS)
            assert console.command("uname -a", 60).startswith("Linux guest ") and arch in console.command("uname -m")
            assert console.command("grep -c ^processor /proc/cpuinfo") == "4"
            if fitted.has("interface"):
                assert console.command("cat /sys/class/net/eth0/address") == "de:ad:be:ef:00:01"
            assert console.command("cat /sys/class/misc/hw_random/rng_current").startswith("virtio_rng")
            devices = set(console.command("cat /sys/bus/virtio/devices/*/device").split())
            assert devices >= {"0x0002", "0x0003", "0x0004"} | ({"0x0001"} if fitted.has("interface") else set()) | ({"0x0005"} if fitted.has("memballoon") else set())
            assert virsh("suspend", NAME) == f"Domain '{NAME}' suspended"
            assert states(virsh)[NAME] == "paused"
            assert console.silent("echo awake $((40+2)); uname -a\r", "awake 42")
            assert virsh("resume", NAME) == f"Domain '{NAME}' resumed"
            assert states(virsh)[NAME] == "running"
            console.expect(r"awake 42\s+Linux guest ", 60)
            assert console.leave() == 0

        assert virsh("destroy", NAME) == f"Domain '{NAME}' destroyed"
        assert NAME not in states(virsh) and states(virsh, "--all")[NAME] == "shut off"
        assert not os.path.exists(f"/proc/{pid}") and host.network_cards() == cards and not files_of(f"-{NAME}")
        assert os.stat(fitted.root).st_uid == owner

        # What runs when it is undefined goes on, and is gone once it is destroyed.
        virsh("start", NAME, "--paused")
        virsh("undefine", NAME)
        assert states(virsh, "--all")[NAME] == "paused"
        virsh("destroy", NAME)
        assert NAME not in virsh.names("--all")

        assert virsh("create", path) == f"Domain '{NAME}' created from {path}"
        assert states(virsh)[NAME] == "running"
        virsh("destroy", NAME)
    assert NAME not in virsh.names("--all") and not files_of(NAME)
    variables = fitted.tree.findtext("os/nvram")
    assert variables is None or os.path.getsize(variables) == os.path.getsize(seed.VARIABLES)


def test_virsh_without_a_command_opens_its_shell(uri, virsh, file):
    with Console(uri, None, shell=[]) as shell:
        shell.expect("Welcome to virsh")
        shell.expect("virsh # ")
        shell.type(f"define {seed.EXAMPLES}/x86_64.xml\r")
        shell.expect(f"Domain '{NAME}' defined")
        shell.type("list --all\r")
        shell.expect(rf"- +{NAME} +shut off")
        shell.type("uri\r")
        shell.expect("stratovirt:///system")
        shell.type(f"undefine {NAME}\r")
        shell.expect("has been undefined")
        shell.type("quit\r")
        assert shell.ended() == 0
    assert NAME not in virsh.names("--all")


def test_plain_virsh_where_the_uri_is_the_hosts_default(virsh):
    """Without -c, by the client's configuration and by the environment."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("LIBVIRT_DEFAULT_URI")}
    configuration = pathlib.Path("/etc/libvirt/libvirt.conf")

    def plain(**more):
        return subprocess.run(["virsh", "uri"], env=environment | more, capture_output=True, text=True).stdout.strip()

    assert plain(LIBVIRT_DEFAULT_URI="stratovirt:///system") == "stratovirt:///system"
    configuration.write_text('uri_default = "stratovirt:///system"\n')
    try:
        assert plain() == "stratovirt:///system"
    finally:
        configuration.unlink()
