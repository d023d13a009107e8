"""The daemon under fire: killed, without room, with damaged files, with a lying emulator, hostile clients, and many of them.

    pytest tests/fault                    the short form, minutes
    pytest tests/fault --soak             the full form
    pytest tests/fault --rounds 50 --seed 7 -k kill

The host of the tests and the clients are those of tests/e2e (its lib). It needs root.
"""

import faulthandler
import os
import pathlib
import random
import subprocess
import sys

import libvirt
import pytest

TREE = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TREE / "tests/e2e"))

from lib import events as recording  # noqa: E402
from lib import host  # noqa: E402

import reliability  # noqa: E402
import world  # noqa: E402

_base, _stderr = pytest.StashKey(), pytest.StashKey()
TEST_SECONDS = {False: 300, True: 4 * 3600}


def pytest_addoption(parser):
    parser.addoption("--daemon", default=str(TREE / "build/release/bin/virtstratovirtd"), help="the daemon's program")
    parser.addoption("--soak", action="store_true", help="the full form")
    parser.addoption("--rounds", type=int, help="random rounds of each kind (3; 100 with --soak)")
    parser.addoption("--seed", type=int, help="of everything random; printed")
    parser.addoption("--table", help="the document to write what was tried to")


def pytest_configure(config):
    if config.option.collectonly:
        return
    if os.geteuid() != 0:
        pytest.exit("tests/fault needs root: it makes namespaces, a bridge and file systems of its own", 3)
    if not os.access(config.option.daemon, os.X_OK):
        pytest.exit(f"{config.option.daemon} is not built; run make", 3)
    subprocess.run([TREE / "tests/guest/build", TREE / "build/guest/x86_64"], check=True)
    host.move_into_namespaces()
    config.stash[_stderr] = os.fdopen(os.dup(2), "w")
    config.stash[_base] = host.furnish()
    world.enter_own_groups()
    libvirt.registerErrorHandler(lambda *_: None, None)
    recording.start_loop()
    if config.option.seed is None:
        config.option.seed = random.SystemRandom().randrange(1 << 32)
    if config.option.rounds is None:
        config.option.rounds = 100 if config.option.soak else 3


def pytest_unconfigure(config):
    world.leave_own_groups()


def pytest_report_header(config):
    return f"seed {config.option.seed}, {config.option.rounds} random rounds{', full form' if config.option.soak else ''}"


def pytest_terminal_summary(terminalreporter, config):
    terminalreporter.section(f"what was tried, seed {config.option.seed}")
    for row in reliability.ROWS:
        terminalreporter.write_line(row.line())
    if config.option.table:
        failed = [report.nodeid for outcome in ("failed", "error") for report in terminalreporter.stats.get(outcome, [])]
        reliability.write(pathlib.Path(config.option.table), config.option.seed, failed)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """Nothing may be left untried."""
    report = (yield).get_result()
    if report.skipped:
        report.outcome, report.longrepr = "failed", f"not tried: {report.longrepr[2]}"


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_protocol(item):
    """A test that hangs, perhaps in a call that holds the interpreter, ends the run and says where it hung."""
    faulthandler.dump_traceback_later(TEST_SECONDS[item.config.option.soak], exit=True, file=item.config.stash[_stderr])
    yield
    faulthandler.cancel_dump_traceback_later()


@pytest.fixture(scope="session")
def base(pytestconfig):
    """A folder that every user may enter."""
    return pytestconfig.stash[_base]


@pytest.fixture(scope="session")
def program(pytestconfig):
    return pytestconfig.option.daemon


@pytest.fixture(scope="session")
def ours():
    return True


@pytest.fixture(scope="session")
def soak(pytestconfig):
    return pytestconfig.option.soak


@pytest.fixture(scope="session")
def rounds(pytestconfig):
    return pytestconfig.option.rounds


@pytest.fixture
def chance(pytestconfig, request):
    """What is random in a test: the same for the same seed, whichever other tests run."""
    return random.Random(f"{pytestconfig.option.seed} {request.node.name}")


@pytest.fixture
def image(base):
    """image(): an empty raw disk."""

    def make(size=1 << 20):
        number = len(list(base.glob("disk-*.img")))
        path = base / f"disk-{number}.img"
        with open(path, "wb") as disk:
            disk.truncate(size)
        return path

    return make


@pytest.fixture
def record(request):
    """record(fault, rounds, lost): a row of the table that ends the run."""
    return lambda fault, count, lost: reliability.add(fault, count, lost, request.node.fspath.basename)
