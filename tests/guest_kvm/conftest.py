"""--bin FOLDER says where the monitor under test is."""
import pathlib
import shutil
import subprocess
import sys

import pytest

TREE = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TREE / "tests/box"))

from host import Host  # noqa: E402
from kernel import unpack  # noqa: E402
from machine import Machine  # noqa: E402


def pytest_addoption(parser):
    parser.addoption("--bin", default=str(TREE / "build/release/bin"), help="where the program stratovirt is")


def pytest_configure(config):
    if not pathlib.Path(config.getoption("--bin"), "stratovirt").exists():
        raise pytest.UsageError(f"{config.getoption('--bin')}/stratovirt is not built; `make all`")


@pytest.fixture(scope="session")
def files(tmp_path_factory):
    """A folder of what the guests are made of: exerciser, root.img with it in, vmlinux."""
    folder = tmp_path_factory.mktemp("files")
    guest = TREE / "build/guest/x86_64"
    subprocess.run([TREE / "tests/guest/build", guest], check=True)
    subprocess.run(["clang-19", "-static", "-O2", pathlib.Path(__file__).with_name("exerciser.c"), "-o", folder / "exerciser"], check=True)
    shutil.copy(guest / "root.img", folder)
    put = f"write {folder}/exerciser /bin/exerciser\nset_inode_field /bin/exerciser mode 0100755\n"
    subprocess.run(["/usr/sbin/debugfs", "-w", "-f", "-", folder / "root.img"], input=put, text=True, check=True, capture_output=True)
    unpack(guest / "vmlinuz", folder / "vmlinux")
    return folder


@pytest.fixture(scope="session")
def new_host(pytestconfig, files):
    """new_host(more=[options of the emulator outside]) is a box with the monitor under test in it."""

    def make(**options):
        extra = [f"{files}/{name}:/guest/{name}" for name in ("root.img", "vmlinux")]
        return Host(bin=pathlib.Path(pytestconfig.getoption("--bin")), extra=extra, **options)

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
