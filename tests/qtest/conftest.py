"""--vmm PATH drives another program, such as QEMU, by the same tests: the oracle."""
import os
import pathlib
import shutil

import pytest

from virtio import RNG, Device
from vmm import Machine

TOP = pathlib.Path(__file__).resolve().parents[2]


def pytest_addoption(parser):
    parser.addoption("--vmm", default=str(TOP / "build/release/bin/stratovirt"), help="the program under test, ours or qemu-system-x86_64")
    parser.addoption("--no-sandbox", action="store_true", help="for a program of the sanitizers', which ask the kernel for more")
    parser.addoption("--steps", type=int, default=1500, help="what a guest of test_monkey.py does")
    parser.addoption("--seed", default="0", help="which things it does")


def pytest_configure(config):
    config.addinivalue_line("markers", "ours(why): QEMU has no such thing or, as the reason says, another one")
    program = shutil.which(config.getoption("--vmm"))
    if not program:
        raise pytest.UsageError(f"{config.getoption('--vmm')} is not built; `make all`")
    config.vmm = str(pathlib.Path(program).absolute())
    symbolizer = shutil.which("llvm-symbolizer-19") or shutil.which("llvm-symbolizer-14") or ""
    os.environ.setdefault("TSAN_OPTIONS", f"suppressions={pathlib.Path(__file__).with_name('tsan.supp')}:external_symbolizer_path={symbolizer}")


def pytest_collection_modifyitems(config, items):
    left = items
    if "qemu" in pathlib.Path(config.vmm).name:
        left = [item for item in left if not item.get_closest_marker("ours")]
    if config.getoption("--no-sandbox"):
        left = [item for item in left if item.path.name != "test_sandbox.py"]
    config.hook.pytest_deselected(items=[item for item in items if item not in left])
    items[:] = left


@pytest.fixture(scope="session")
def program(pytestconfig):
    return pytestconfig.vmm


@pytest.fixture(scope="session")
def unbound(pytestconfig):
    """Options of every program, for those that cannot run in the sandbox."""
    return ("-disable-seccomp",) if pytestconfig.getoption("--no-sandbox") else ()


@pytest.fixture
def start(program, tmp_path_factory, unbound):
    """start(option, …) starts a machine; at the test's end each must still be there and end well."""
    machines = []

    def begin(*words, ends=True, **how):
        folder = tmp_path_factory.mktemp("m")
        machine = Machine(program, folder, words + unbound, **how)
        machines.append((machine, ends))
        return machine

    yield begin
    try:
        for machine, ends in machines:
            if ends:
                machine.quit()
    finally:
        for machine, _ in machines:
            machine.kill()


@pytest.fixture
def image(tmp_path):
    """image(name, size=…) makes a disk's file, of which each sector says its number."""

    def make(name="disk.img", size=1 << 20, empty=False):
        path = tmp_path / name
        with open(path, "wb") as file:
            file.truncate(size)
            if not empty:
                for sector in range(min(size // 512, 64)):
                    file.seek(sector * 512)
                    file.write(f"sector {sector}".encode().ljust(512, b"."))
        return path

    return make


@pytest.fixture
def rng(start):
    return Device(start(*RNG), 4)


@pytest.fixture
def disk(start, image):
    """A disk: it has all ring features."""
    return Device(start("-drive", f"id=d,file={image()},if=none,format=raw,direct=false", "-device",
                        "virtio-blk-pci,id=b,drive=d,bus=pcie.0,addr=5,num-queues=1"), 5)
