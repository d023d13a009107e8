"""The behaviour of a driver through stock clients. The same files run against libvirt's QEMU driver, which is the oracle:

    pytest tests/e2e                          the daemon of build/release/bin, at stratovirt:///system
    pytest tests/e2e --uri qemu:///system     a private libvirtd
    pytest tests/e2e --type kvm               machines on this tree's own monitor, where KVM can (tests/e2e/in-box)

Everything happens on a host of the tests' own (lib/host.py), so that nothing of the machine's is touched. It needs root.
"""

import faulthandler
import itertools
import os
import pathlib
import subprocess

import libvirt
import pytest

import lacks
from departures import DEPARTURES
from lib import daemon as daemons
from lib import events as recording
from lib import host, wait, xml
from lib.console import Console
from lib.virsh import Virsh

TREE = pathlib.Path(__file__).resolve().parents[2]
BUILD = TREE / "build"
SCHEMES = {"qemu:///system": "qemu", "stratovirt:///system": "stratovirt"}
collect_ignore = []
_numbers = itertools.count(1)
_used_departures = set()


def pytest_addoption(parser):
    parser.addoption("--uri", default="stratovirt:///system", choices=SCHEMES, help="the driver under test")
    parser.addoption("--daemon", default=str(BUILD / "release/bin/virtstratovirtd"), help="our daemon's program")
    parser.addoption("--type", default="qemu", choices=["qemu", "kvm"], help="of the machines: QEMU in software, or this tree's own monitor on KVM")
    parser.addoption("--guests", type=pathlib.Path, help="where the guests' files are, a folder an architecture; without it they are made")
    parser.addoption("--patience", type=float, default=1, help="by which bounds on waits grow on a slow host")
    parser.addoption("--mangled", type=int, default=2000, help="how many descriptions are mangled (test_mangled.py)")
    parser.addoption("--mangled-seconds", type=float, help="how long they are mangled, instead of how many")
    parser.addoption("--mangled-seed", type=int, default=1, help="which ones")
    parser.addoption("--record", action="store_true", help="write down what libvirt answers (test_commands.py), with --uri qemu:///system")


def pytest_configure(config):
    wait.PATIENCE = config.option.patience
    collect_ignore.append("test_mangled.py" if config.option.type == "kvm" else "test_lacks.py")
    if config.option.collectonly:
        return
    if os.geteuid() != 0:
        pytest.exit("tests/e2e needs root: it makes namespaces, a bridge and hugepages of its own", 3)
    if SCHEMES[config.option.uri] == "stratovirt" and not os.access(config.option.daemon, os.X_OK):
        pytest.exit(f"{config.option.daemon} is not built; run make", 3)
    if not config.option.guests:
        config.option.guests = BUILD / "guest"
        for arch in ("x86_64", "aarch64"):  # in the host's own network, where the packages are
            subprocess.run([TREE / "tests/guest/build", BUILD / "guest" / arch, arch], check=True)
    host.move_into_namespaces()
    config.stash[_stderr] = os.fdopen(os.dup(2), "w")
    config.stash[_base] = host.furnish(kvm=config.option.type == "kvm")
    if config.option.type == "kvm":
        xml.use_kvm(config.stash[_base])
    libvirt.registerErrorHandler(lambda *_: None, None)  # errors are raised; nobody needs them printed as well
    recording.start_loop()


_base, _stderr = pytest.StashKey(), pytest.StashKey()
TEST_SECONDS = 180


def pytest_collection_modifyitems(config, items):
    if config.option.type == "kvm":
        left_out = lacks.left_out(items, not any("::" in argument for argument in config.args))
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


def pytest_terminal_summary(terminalreporter, config):
    if config.option.type == "kvm":
        terminalreporter.section("left out, for what this tree's monitor has not")
        for line in lacks.told():
            terminalreporter.write_line(line)
    if not config.option.collectonly:
        terminalreporter.section(f"departures from libvirt met at {config.option.uri}")
        for name in sorted(_used_departures):
            departure = DEPARTURES[name]
            terminalreporter.write_line(f"{name}: libvirt {departure.libvirt!r}, ours {departure.ours!r} ({departure.why})")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """A failure shows the end of the daemon's log. Nothing of the StratoVirt driver may be left untried."""
    report = (yield).get_result()
    server = item.funcargs.get("daemon")
    if report.failed and server:
        report.sections.append(("Captured daemon's log", server.tail()))
    if report.skipped and SCHEMES[item.config.option.uri] == "stratovirt":
        report.outcome, report.longrepr = "failed", f"not tried: {report.longrepr[2]}"


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_protocol(item):
    """A test that hangs, perhaps in a call that holds the interpreter, ends the run and says where it hung."""
    faulthandler.dump_traceback_later(TEST_SECONDS * wait.PATIENCE, exit=True, file=item.config.stash[_stderr])
    yield
    faulthandler.cancel_dump_traceback_later()


@pytest.fixture(scope="session")
def base(pytestconfig):
    """A folder that every user may enter."""
    return pytestconfig.stash[_base]


@pytest.fixture(scope="session")
def daemon(pytestconfig, base):
    if SCHEMES[pytestconfig.option.uri] == "qemu":
        server = daemons.libvirtd(base, daemons.CACHE)
    else:
        server = daemons.virtstratovirtd(base, pytestconfig.option.daemon)
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def program(pytestconfig):
    return pytestconfig.option.daemon


@pytest.fixture(scope="session")
def ours(pytestconfig):
    return SCHEMES[pytestconfig.option.uri] == "stratovirt"


@pytest.fixture(scope="session")
def expected(ours):
    """What the driver under test answers where the two differ (departures.py)."""

    def look_up(name):
        _used_departures.add(name)
        return DEPARTURES[name].ours if ours else DEPARTURES[name].libvirt

    return look_up


@pytest.fixture(scope="session")
def uri(daemon):
    return daemon.uri


@pytest.fixture(scope="session")
def virsh(uri):
    return Virsh(uri)


@pytest.fixture(scope="session")
def conn(uri):
    connection = libvirt.open(uri)
    yield connection
    connection.close()


@pytest.fixture(scope="session")
def readonly(uri):
    connection = libvirt.openReadOnly(uri)
    yield connection
    connection.close()


@pytest.fixture
def events(conn):
    recorder = recording.Recorder(conn)
    yield recorder
    recorder.close()


@pytest.fixture
def name(request):
    """A domain name no other test has."""
    return f"{request.node.name.split('[')[0].removeprefix('test_')[:40]}-{next(_numbers)}"


def remove_domain(conn, name):
    try:
        domain = conn.lookupByName(name)
    except libvirt.libvirtError:
        return
    if domain.isActive():
        persistent = domain.isPersistent()
        domain.destroy()
        if not persistent:
            return
    domain.undefineFlags(libvirt.VIR_DOMAIN_UNDEFINE_NVRAM)


@pytest.fixture
def tidy(conn):
    """Domains a test leaves are removed; `tidy(name)` tells of one made by other means than `define` and `create`."""
    before = {domain.name() for domain in conn.listAllDomains()}
    yield
    for domain in conn.listAllDomains():
        if domain.name() not in before:
            remove_domain(conn, domain.name())


@pytest.fixture
def define(conn, tidy, name):
    """define(**parts of xml.bare) or define(text): a shut off domain."""
    return lambda text=None, **parts: conn.defineXML(text or xml.bare(parts.pop("name", name), **parts))


@pytest.fixture
def create(conn, tidy, name):
    """create(**parts): a transient domain, paused unless asked otherwise."""
    return lambda text=None, flags=libvirt.VIR_DOMAIN_START_PAUSED, **parts: conn.createXML(text or xml.bare(parts.pop("name", name), **parts), flags)


@pytest.fixture
def file(tmp_path_factory, base, name):
    """file(text): a file with that text, as virsh's commands want."""

    def write(text, suffix=".xml"):
        path = base / f"{name}-{next(_numbers)}{suffix}"
        path.write_text(text)
        return path

    return write


@pytest.fixture
def image(base, name):
    """image(): an empty raw disk."""

    def make(size=1 << 20):
        path = base / f"{name}-{next(_numbers)}.img"
        with open(path, "wb") as disk:
            disk.truncate(size)
        return path

    return make


@pytest.fixture(scope="session")
def guest_files(pytestconfig, base):
    """arch -> a folder with vmlinuz, initrd.img and root.img that the emulator's user can read."""
    folders = {}

    def copy(arch="x86_64"):
        if arch not in folders:
            folders[arch] = base / f"guest-{arch}"
            folders[arch].mkdir()
            for file in ("vmlinuz", "initrd.img", "root.img"):
                host.copy_sparse(pytestconfig.option.guests / arch / file, folders[arch] / file)
        return folders[arch]

    return copy


@pytest.fixture(scope="session")
def root_disk(base, guest_files):
    """root_disk(): a copy of the guest's disk for one machine."""
    return lambda arch="x86_64": host.copy_sparse(guest_files(arch) / "root.img", base / f"root-{next(_numbers)}.img")


class Guest:
    """A booted Linux, its domain and how to talk to it."""

    def __init__(self, domain, uri):
        self.domain, self.uri, self.name = domain, uri, domain.name()
        self.uuid = domain.UUIDString()

    def console(self, *options):
        return Console(self.uri, self.name, *options)

    def run(self, command, seconds=20):
        with self.console("--force") as console:
            console.connected().login()
            output = console.command(command, seconds)
            console.leave()
        return output


@pytest.fixture(scope="session")
def guest(conn, uri, guest_files, root_disk):
    """The Linux that most tests share: two disks, a bridge, a random source, a balloon. Who changes it changes it back."""
    extra = xml.disk(host.copy_sparse(guest_files() / "root.img", guest_files() / "second.img"), "vdb") + xml.also(xml.bridge()) + xml.RNG
    text = xml.linux("shared-guest", guest_files(), root_disk(), devices=extra, vcpus=2)
    domain = conn.defineXML(text)
    domain.create()
    shared = Guest(domain, uri)
    assert "Linux" in shared.run("uname -a")
    yield shared
    remove_domain(conn, "shared-guest")


@pytest.fixture
def boot(conn, uri, tidy, name, guest_files, root_disk):
    """boot(**parts of xml.linux): a Linux of the test's own, persistent, at its login."""

    def start(transient=False, **parts):
        text = xml.linux(name, guest_files(), root_disk(), **parts)
        if transient:
            domain = conn.createXML(text)
        else:
            domain = conn.defineXML(text)
            domain.create()
        machine = Guest(domain, uri)
        machine.run("true")
        return machine

    return start


@pytest.fixture(scope="module")
def running(conn):
    """A bare machine that runs, for tests that only look at it."""
    name = f"running-{next(_numbers)}"
    domain = conn.defineXML(xml.bare(name, vcpus=2))
    domain.create()
    yield domain
    remove_domain(conn, name)


@pytest.fixture(scope="module")
def inactive(conn):
    """A bare machine that is shut off, for tests that only look at it."""
    name = f"inactive-{next(_numbers)}"
    yield conn.defineXML(xml.bare(name))
    remove_domain(conn, name)


@pytest.fixture
def refused():
    """refused(code, call, *arguments): the call raises libvirt's error `code`; its message."""

    def call(code, function, *arguments, **keywords):
        with pytest.raises(libvirt.libvirtError) as caught:
            function(*arguments, **keywords)
        assert caught.value.get_error_code() == code, f"code {caught.value.get_error_code()}: {caught.value}"
        return str(caught.value)

    return call
