"""--bin FOLDER says where the monitor under test is, --qemu PROGRAM which emulator is outside."""
import pathlib
import shutil
import subprocess
import sys

import pytest
from _pytest.runner import runtestprotocol

TREE = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TREE / "tests/box"))

from host import Host  # noqa: E402
from kernel import build_bare, unpack  # noqa: E402
from machine import Machine  # noqa: E402

BARE = range(1, 8)  # scenarios of bare.c
AGAIN = []  # tests that had another box, and why


def pytest_addoption(parser):
    parser.addoption("--bin", default=str(TREE / "build/release/bin"), help="where the program stratovirt is")
    parser.addoption("--qemu", default="qemu-system-x86_64", help="the emulator outside")


def pytest_configure(config):
    if not pathlib.Path(config.getoption("--bin"), "stratovirt").exists():
        raise pytest.UsageError(f"{config.getoption('--bin')}/stratovirt is not built; `make all`")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item, nextitem):
    """Where a box's emulator erred (tests/box/host.py), a failure says nothing of the monitor: the test is run once more, in another box."""
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    Host.erred.clear()
    reports = runtestprotocol(item, nextitem=nextitem, log=False)
    if any(report.failed for report in reports):
        for box in Host.up:
            box.look()
        if Host.erred:
            AGAIN.append(f"{item.nodeid}: {Host.erred[0]}")
            item.session._setupstate.teardown_exact(None)
            reports = runtestprotocol(item, nextitem=nextitem, log=False)
    for report in reports:
        item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True


def pytest_terminal_summary(terminalreporter):
    if AGAIN:
        terminalreporter.section("run once more in another box")
        for line in AGAIN:
            terminalreporter.write_line(line)


@pytest.fixture(scope="session")
def files(tmp_path_factory):
    """A folder of what the guests are made of: exerciser, root.img with it in, vmlinux, the bare ones."""
    folder = tmp_path_factory.mktemp("files")
    guest = TREE / "build/guest/x86_64"
    subprocess.run([TREE / "tests/guest/build", guest], check=True)
    subprocess.run(["clang-19", "-static", "-O2", pathlib.Path(__file__).with_name("exerciser.c"), "-o", folder / "exerciser"], check=True)
    shutil.copy(guest / "root.img", folder)
    put = f"write {folder}/exerciser /bin/exerciser\nset_inode_field /bin/exerciser mode 0100755\n"
    subprocess.run(["/usr/sbin/debugfs", "-w", "-f", "-", folder / "root.img"], input=put, text=True, check=True, capture_output=True)
    unpack(guest / "vmlinuz", folder / "vmlinux")
    for scenario in BARE:
        build_bare(scenario, folder / f"bare{scenario}")
    return folder


@pytest.fixture(scope="session")
def new_host(pytestconfig, files):
    """new_host(more=[options of the emulator outside]) is a box with the monitor under test in it."""

    def make(**options):
        extra = [f"{files}/{name}:/guest/{name}" for name in ("root.img", "vmlinux", *(f"bare{scenario}" for scenario in BARE))]
        given = {"bin": pathlib.Path(pytestconfig.getoption("--bin")), "qemu": pytestconfig.getoption("--qemu")}
        return Host(extra=extra, watched=True, **given, **options)

    return make


@pytest.fixture(scope="session")
def host(new_host, tmp_path_factory):
    """The box that most guests share. /data is a disk that knows O_DIRECT."""
    folder = tmp_path_factory.mktemp("host")
    with open(folder / "data.img", "wb") as data:
        data.truncate(1 << 30)
    subprocess.run(["/usr/sbin/mke2fs", "-q", "-t", "ext4", folder / "data.img"], check=True)
    more = ["-drive", f"file={folder}/data.img,format=raw,if=none,id=data,cache=unsafe", "-device", "virtio-blk-pci,drive=data,serial=data"]
    with new_host(more=more, log=folder / "kernel.log") as made:
        made.run(f"mkdir /data && mount -t ext4 {made.disks()['data']} /data")
        yield made


@pytest.fixture
def start(host):
    """start(option, …, key=value) is a guest whose root has been logged in; it is gone at the end of the test."""
    machines = []

    def make(*options, **how):
        machines.append(Machine(host, *options, **how))
        return machines[-1].log_in()

    yield make
    for one in machines:
        one.kill()
