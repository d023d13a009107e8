"""The daemon and its emulators as processes of a host: who may talk to them, as whom they run, what they leave to be read, and
that no client harms another. What options, units and activation are is tried in tests/house."""

import concurrent.futures
import contextlib
import itertools
import os
import pathlib
import pwd
import re
import signal
import socket
import stat
import struct
import subprocess
import sys

import pytest

from lib import host, xml
from lib.console import Console
from lib.mortal import mortal, unstarted  # noqa: F401
from lib.virsh import Virsh
from lib.wait import until

NOBODY = 65534
_numbers = itertools.count(1)


def mode(path):
    return stat.S_IMODE(os.stat(path).st_mode)


# Sockets


def test_sockets_of_the_system(daemon, ours, uri):
    """Group libvirt manages, everybody looks."""
    if not ours:
        pytest.skip("libvirtd's are given by this suite")
    writing, reading = pathlib.Path("/run/libvirt/virtstratovirtd-sock"), pathlib.Path("/run/libvirt/virtstratovirtd-sock-ro")
    assert mode(writing) == 0o770 and writing.group() == "libvirt" and writing.owner() == "root"
    assert mode(reading) == 0o777

    def as_nobody(*options, groups="--clear-groups"):
        command = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", groups, "virsh", *options, "-c", uri, "uri"]
        return subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)

    assert as_nobody("--readonly").stdout.strip() == uri
    refused = as_nobody()
    assert refused.returncode == 1 and "Permission denied" in refused.stderr
    assert as_nobody(groups="--groups=libvirt").stdout.strip() == uri


def test_below_its_root_and_nowhere_else(unstarted, image):
    """A machine's whole life leaves nothing outside."""
    outside = [pathlib.Path(folder) for folder in host.FOLDERS]

    def files():
        return {path for folder in outside for path in folder.rglob("*")}

    before = files()
    one = unstarted.start()
    one.define(xml.bare("inside", devices=xml.disk(image()) + xml.CONSOLE))
    one.virsh("autostart", "inside")
    one.virsh("start", "inside", "--paused")
    for path in ("etc/libvirt/stratovirt/inside.xml", "etc/libvirt/stratovirt/autostart/inside.xml", "var/log/libvirt/stratovirt/inside.log"):
        assert (one.root / path).exists()
    assert list(one.state.glob("domain-*-inside/monitor.sock"))
    one.virsh("destroy", "inside")
    one.virsh("undefine", "inside")
    assert one.server.stop() == 0
    assert files() == before
    left = {str(path.relative_to(one.root)) for path in one.root.rglob("*") if not path.is_dir()}
    left -= {str(path.relative_to(one.root)) for path in (one.root / "var/cache/libvirt/stratovirt").iterdir()}  # what emulators can do
    assert left <= {"daemon.log", "description.xml", "var/log/libvirt/stratovirt/inside.log", "run/libvirt/stratovirt/driver.lock", "run/libvirt/stratovirt/autostarted"}


def test_libvirts_own_socket_for_who_names_no_uri(unstarted, program):
    """On a host without libvirtd: the legacy socket, handed over as the packaged unit does."""
    legacy = pathlib.Path("/run/libvirt/libvirt-sock")
    hidden = pathlib.Path("/run/libvirt/virtstratovirtd-sock")
    away = hidden.with_name("away")
    activate = ["systemd-socket-activate", "--fdname=virtstratovirtd-legacy.socket", "-l", legacy, program, "--root", unstarted.root, "--timeout", "4"]
    if hidden.exists():  # the shared daemon's, which clients find first
        hidden.rename(away)
    environment = {key: value for key, value in os.environ.items() if key != "LIBVIRT_DEFAULT_URI"}
    with subprocess.Popen(activate, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            until(legacy.exists, "the socket")
            for options in ([], ["-c", "stratovirt:///system"]):
                asked = subprocess.run(["virsh", *options, "uri"], env=environment, capture_output=True, text=True, timeout=30)
                assert asked.stdout.strip() == "stratovirt:///system", asked.stderr
            assert process.wait(30) == 0 and legacy.exists()
        finally:
            process.kill()
            legacy.unlink(missing_ok=True)
            if away.exists():
                away.rename(hidden)


def test_tcp_listens_on_loopback_alone(unstarted):
    unstarted.configure('listen_tcp = 1\nauth_tcp = "none"\ntcp_port = "16555"\n')
    one = unstarted.start()
    listening = subprocess.run(["ss", "-Hltn", "sport = :16555"], capture_output=True, text=True, check=True).stdout.split("\n")
    assert [line.split()[3] for line in listening if line] == ["127.0.0.1:16555"]
    assert "Using API: StratoVirt" in Virsh("stratovirt+tcp://127.0.0.1:16555/system")("version")
    one.end()


PROMISES = [
    ("virtstratovirtd.conf", 'auth_unix_ro = "polkit"'),
    ("virtstratovirtd.conf", 'auth_unix_rw = "polkit"'),
    ("virtstratovirtd.conf", 'auth_unix_rw = "sasl"'),
    ("virtstratovirtd.conf", 'auth_tcp = "sasl"'),
    ("virtstratovirtd.conf", 'auth_tls = "sasl"'),
    ("virtstratovirtd.conf", "listen_tls = 1"),
    ("virtstratovirtd.conf", "listen_tcp = 1"),
    ("virtstratovirtd.conf", "tls_no_sanity_certificate = 1"),
    ("virtstratovirtd.conf", "tls_no_verify_certificate = 1"),
    ("virtstratovirtd.conf", 'tls_allowed_dn_list = [ "CN=x" ]'),
    ("virtstratovirtd.conf", 'tls_priority = "NORMAL"'),
    ("virtstratovirtd.conf", 'sasl_allowed_username_list = [ "joe" ]'),
    ("virtstratovirtd.conf", 'access_drivers = [ "polkit" ]'),
    ("stratovirt.conf", 'security_driver = "selinux"'),
    ("stratovirt.conf", 'security_driver = [ "none", "apparmor" ]'),
    ("stratovirt.conf", "security_default_confined = 1"),
    ("stratovirt.conf", "security_require_confined = 1"),
    ("stratovirt.conf", 'namespaces = [ "mount" ]'),
    ("stratovirt.conf", "default_tls_x509_verify = 1"),
    ("stratovirt.conf", "chardev_tls = 1"),
    ("stratovirt.conf", 'lock_manager = "sanlock"'),
    ("stratovirt.conf", 'cgroup_device_acl = [ "/dev/null" ]'),
]


@pytest.mark.parametrize("file,line", PROMISES, ids=lambda value: value.split(" ")[0])
def test_a_promise_it_cannot_keep_stops_it(unstarted, program, file, line):
    unstarted.configure(f"\n{line}\n", file)
    refused = subprocess.run([program, "--root", unstarted.root], capture_output=True, text=True, timeout=30)
    assert refused.returncode == 1 and f"{file}:2" in refused.stderr and line.split()[0] in refused.stderr


# An ordinary user


@pytest.fixture
def user(ours, base, program):
    """A home of user nobody's, and our program at /usr/sbin, where client libraries look for it."""
    if not ours:
        pytest.skip("libvirtd's session is not tried here")
    layers = base / "sbin"
    if not layers.exists():
        for folder in ("upper", "work"):
            (layers / folder).mkdir(parents=True)
        host.run("mount", "-t", "overlay", "-o", f"lowerdir=/usr/sbin,upperdir={layers}/upper,workdir={layers}/work", "overlay", "/usr/sbin")
        host.run("install", "-m", "755", program, "/usr/sbin/virtstratovirtd")
    home = base / f"home-{next(_numbers)}"
    for folder in (home, home / "run"):
        folder.mkdir(mode=0o700)
        os.chown(folder, NOBODY, NOBODY)
    return User(home)


class User:
    SOCKET = "run/libvirt/virtstratovirtd-sock"

    def __init__(self, home):
        self.home = home
        environment = {"HOME": home, "XDG_RUNTIME_DIR": home / "run", "PATH": "/usr/bin:/bin:/usr/sbin", "LC_ALL": "C"}
        self.options = {"user": NOBODY, "group": NOBODY, "extra_groups": [], "env": environment, "cwd": "/", "stdin": subprocess.DEVNULL}

    def virsh(self, uri, *words):
        done = subprocess.run(["virsh", "-c", uri, *map(str, words)], capture_output=True, text=True, timeout=60, **self.options)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def daemon(self):
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                words = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
                if words[0].endswith(b"virtstratovirtd") and os.stat(f"/proc/{pid}").st_uid == NOBODY:
                    return int(pid), [word.decode() for word in words[1:-1]]
            except OSError:
                continue
        return None

    def walk(self, uri, image):
        """A machine's life in the session."""
        os.chown(image, NOBODY, NOBODY)
        path = self.home / "description.xml"
        path.write_text(xml.bare("mine", devices=xml.disk(image) + xml.CONSOLE))
        self.virsh(uri, "define", path)
        self.virsh(uri, "start", "mine")
        pid = host.emulator_pid(self.virsh(uri, "domuuid", "mine"))
        assert os.stat(f"/proc/{pid}").st_uid == NOBODY
        self.virsh(uri, "suspend", "mine")
        assert self.virsh(uri, "domstate", "mine", "--reason") == "paused (user)"
        for written in (".config/libvirt/stratovirt/mine.xml", ".cache/libvirt/stratovirt/log/mine.log"):
            assert mode(self.home / written) == 0o600
        self.virsh(uri, "destroy", "mine")
        self.virsh(uri, "undefine", "mine")
        assert self.virsh(uri, "list", "--all", "--name") == ""


def test_the_session_whose_daemon_the_client_starts(user, image, virsh):
    uri = "stratovirt:///session?mode=direct"
    assert user.virsh(uri, "uri").startswith("stratovirt:///session")
    pid, options = user.daemon()
    try:
        assert options == ["--timeout=120"]
        assert mode(user.home / user.SOCKET) == 0o700
        user.walk(uri, image())
        assert "mine" not in virsh.names("--all")
    finally:
        os.kill(pid, signal.SIGTERM)
        until(lambda: not user.daemon(), "the user's daemon to end")


def test_the_session_under_libvirts_uri(user, image):
    """A user's daemon with the alias on; one of the system's listed beside it is not this daemon's."""
    conf = user.home / ".config/libvirt/virtstratovirtd.conf"
    for folder in (user.home / ".config", conf.parent):
        folder.mkdir(mode=0o700)
        os.chown(folder, NOBODY, NOBODY)
    conf.write_text('uri_aliases = [ "qemu:///session", "qemu:///system" ]\n')
    with subprocess.Popen(["/usr/sbin/virtstratovirtd"], **user.options) as process:
        try:
            socket = user.home / "run/libvirt/libvirt-sock"
            until(socket.exists, "libvirtd's socket of the user")
            assert mode(socket) == 0o700
            assert user.virsh("qemu:///session", "uri") == "qemu:///session"
            user.walk("qemu:///session", image())
            system = subprocess.run(["virsh", "-c", f"qemu+unix:///system?socket={socket}", "uri"], capture_output=True, text=True, timeout=30, **user.options)
            assert system.returncode == 1 and "qemu:///system" in system.stderr
        finally:
            process.terminate()


def test_the_session_whose_daemon_runs_already(user, image):
    with subprocess.Popen(["/usr/sbin/virtstratovirtd"], **user.options) as process:
        try:
            until((user.home / user.SOCKET).exists, "the user's socket")
            user.walk("stratovirt:///session", image())
            other = {**user.options, "user": 1, "group": 1}
            (user.home / "run").chmod(0o755)
            refused = subprocess.run(["virsh", "-c", "stratovirt:///session", "uri"], capture_output=True, text=True, timeout=30, **other)
            assert refused.returncode == 1
        finally:
            process.terminate()
            assert process.wait(20) == 0


# The emulator


def status(pid):
    return dict(line.split(":\t", 1) for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines() if ":\t" in line)


def test_an_emulator_runs_as_root_only_where_that_is_written(unstarted, base):
    users = base / "passwd"
    users.write_text("".join(line for line in open("/etc/passwd") if line.split(":")[0] not in ("libvirt-qemu", "qemu")))
    unstarted.server.command = ["unshare", "--mount", "sh", "-c", 'mount --bind "$0" /etc/passwd && exec "$@"', users, *unstarted.server.command]
    one = unstarted.start()
    one.define(xml.bare("asks"))
    refusal = one.virsh.fails("start", "asks", "--paused")
    assert "systemd-sysusers" in refusal and 'user = "root" in stratovirt.conf' in refusal
    assert one.seen("asks").startswith("shut off")
    one.configure('group = "root"\n', "stratovirt.conf")
    one.server.stop()
    one.start()
    assert "systemd-sysusers" in one.virsh.fails("start", "asks", "--paused")
    one.configure('user = "root"\n', "stratovirt.conf")
    os.kill(one.server.pid, signal.SIGHUP)
    until(lambda: subprocess.run(["virsh", "-c", one.server.uri, "start", "asks", "--paused"], capture_output=True).returncode == 0, "the configuration to be read again")
    assert status(one.pid("asks"))["Uid"].split() == ["0"] * 4


def test_an_emulator_is_an_ordinary_process(unstarted):
    """Whatever the daemon was made by its unit."""
    as_a_unit_may = ["nice", "-n", "-7", "ionice", "-c", "2", "-n", "1", "taskset", "1", "sh", "-c", 'echo 500 >/proc/$$/oom_score_adj; ulimit -Sc unlimited; trap "" USR1; exec "$@"', "sh"]
    unstarted.server.command = [*as_a_unit_may, *unstarted.server.command]
    one = unstarted.start()
    one.create(xml.bare("ordinary"), "--paused")
    pid = one.pid("ordinary")
    seen = lambda process: (pathlib.Path(f"/proc/{process}/oom_score_adj").read_text().strip(), os.getpriority(os.PRIO_PROCESS, process), os.sched_getaffinity(process),
                            subprocess.run(["ionice", "-p", str(process)], capture_output=True, text=True).stdout.split(":")[0])
    ordinary = "0", 0, os.sched_getaffinity(os.getpid()), "none"
    assert seen(pid) == ordinary and [have == has for have, has in zip(seen(one.server.pid), ordinary)] == [False] * 4
    assert re.search(r"Max core file size +0 +0 ", pathlib.Path(f"/proc/{pid}/limits").read_text())
    assert not int(status(pid)["SigIgn"], 16) & 1 << signal.SIGUSR1 - 1


def owner(path):
    found = os.stat(path)
    return found.st_uid, found.st_gid, found.st_mode & 0o7777


def may(path, mode):
    """Whether the emulators' user may open the file so."""
    attempt = f"import os; os.setgroups([]); os.setgid(64055); os.setuid({pwd.getpwnam('libvirt-qemu').pw_uid}); open({str(path)!r}, {mode!r})"
    return subprocess.run([sys.executable, "-c", attempt], capture_output=True).returncode == 0


def overlay(path, backing, form, size="1M"):
    subprocess.run(["qemu-img", "create", "-q", "-u", "-f", "qcow2", "-b", backing, "-F", form, path, size], check=True)


@pytest.fixture
def chain(base, name):
    """chain(): tops of overlays over one that is read from a file of root's own."""
    folder = base / f"chain-{name}"
    folder.mkdir(mode=0o755)
    with open(folder / "base.raw", "wb") as file:
        file.truncate(1 << 20)
    overlay(folder / "middle.qcow2", folder / "base.raw", "raw")
    for top in ("one", "two"):
        overlay(folder / f"{top}.qcow2", "middle.qcow2", "qcow2")
    for file in folder.iterdir():
        file.chmod(0o600)
    return folder


def reads(folder, top):
    return xml.bare(f"reads-{top}", devices=xml.disk(folder / f"{top}.qcow2", driver="type='qcow2'"))


def test_what_an_overlay_is_read_from_is_given_for_reading(mortal, chain):
    below = [chain / "middle.qcow2", chain / "base.raw"]
    before = {path: (owner(path), os.listxattr(path)) for path in chain.iterdir()}
    for top in ("one", "two"):
        mortal.create(reads(chain, top), "--paused")
    for path in below:
        assert may(path, "rb") and not may(path, "r+b") and owner(path)[:2] == (0, 0)
    mortal.virsh("destroy", "reads-one")
    assert may(below[0], "rb") and may(below[1], "rb")
    mortal.killed()
    mortal.create(reads(chain, "one"), "--paused")
    mortal.virsh("destroy", "reads-two")
    assert may(below[0], "rb") and may(below[1], "rb")
    mortal.killed()
    mortal.virsh("destroy", "reads-one")
    assert {path: (owner(path), os.listxattr(path)) for path in chain.iterdir()} == before


def test_an_overlay_that_is_added_is_read_too(mortal, chain):
    before = {path: owner(path) for path in chain.iterdir()}
    mortal.define(xml.bare("grows", devices=xml.RNG))
    mortal.virsh("start", "grows", "--paused")
    disk = mortal.described(xml.disk(chain / "one.qcow2", driver="type='qcow2'"))
    mortal.virsh("attach-device", "grows", disk)
    assert may(chain / "base.raw", "rb")
    mortal.virsh("destroy", "grows")
    assert {path: owner(path) for path in chain.iterdir()} == before


@pytest.mark.parametrize("name, says", [("ring", "self-referential or too deeply nested"), ("itself", "self-referential or too deeply nested"), ("nothing", "Cannot access backing file"),
                                        ("pipe", "is neither a file nor a block device"), ("folder", "is neither a file nor a block device"), ("long", "where it cannot be"), ("cut", "ends before")])
def test_an_overlay_whose_chain_cannot_be_is_refused(mortal, chain, name, says):
    top = chain / f"{name}.qcow2"
    os.mkfifo(chain / "pipe")
    overlay(top, {"ring": "back.qcow2", "itself": f"{name}.qcow2", "pipe": "pipe", "folder": "."}.get(name, "not-there"), "qcow2")
    overlay(chain / "back.qcow2", "ring.qcow2", "qcow2")
    if name in ("long", "cut"):
        with open(top, "r+b") as file:
            file.seek(16 if name == "long" else 8)
            file.write(struct.pack(">I", 1 << 30) if name == "long" else struct.pack(">Q", (1 << 21) - 2048))
    before = {path: owner(path) for path in chain.iterdir()}
    mortal.define(reads(chain, name))
    assert says in mortal.virsh.fails("start", f"reads-{name}", "--paused")
    assert {path: owner(path) for path in chain.iterdir()} == before


@pytest.mark.parametrize("backing, says", [('json:{"driver":"raw","file":{"driver":"file","filename":"BASE"}}', "Permission denied"), ("nbd:127.0.0.1:1", "Connection refused"), ("file:BASE", "Permission denied")])
def test_what_is_not_named_as_a_file_is_the_emulators_own_to_open(mortal, chain, backing, says):
    overlay(chain / "other.qcow2", backing.replace("BASE", str(chain / "base.raw")), "raw")
    mortal.define(reads(chain, "other"))
    assert says in mortal.virsh.fails("start", "reads-other", "--paused")


def test_what_is_not_said_to_be_an_overlay_is_not_looked_into(mortal, chain):
    """A guest that wrote it would say which of the host's files its emulator may read."""
    secret = chain / "secret"
    secret.write_bytes(b"x" * 4096)
    secret.chmod(0o600)
    overlay(chain / "raw.img", secret, "raw")
    overlay(chain / "over.qcow2", chain / "raw.img", "raw")
    mortal.create(reads(chain, "over"), "--paused")
    assert not may(secret, "rb")


def test_who_runs_keeps_its_user_when_the_configuration_names_another(mortal, image):
    disk, added = image(), image()
    mortal.define(xml.bare("stays", devices=xml.disk(disk)))
    mortal.virsh("start", "stays", "--paused")
    mortal.configure(f'user = "+{NOBODY}"\ngroup = "+{NOBODY}"\n', "stratovirt.conf")
    mortal.killed()
    mortal.virsh("attach-disk", "stays", added, "vdb")
    assert owner(added)[0] == pwd.getpwnam("libvirt-qemu").pw_uid
    mortal.virsh("destroy", "stays")
    assert owner(disk)[0] == owner(added)[0] == 0


@pytest.mark.parametrize("who", ["libvirt-qemu", f"+{NOBODY}"])
def test_the_emulator_has_only_what_it_needs(unstarted, image, who):
    if who.startswith("+"):
        unstarted.configure(f'user = "{who}"\ngroup = "{who}"\n', "stratovirt.conf")
    one = unstarted.start(SECRET_OF_THE_DAEMON="hidden")
    disk = image()
    one.create(xml.bare("alone", devices=xml.disk(disk) + xml.also(xml.bridge("52:54:00:00:02:01")) + xml.CONSOLE), "--paused")
    pid = one.pid("alone")
    uid = NOBODY if who.startswith("+") else pwd.getpwnam(who).pw_uid
    its = status(pid)
    assert its["Uid"].split() == [str(uid)] * 4 and set(its["CapEff"]) == set(its["CapPrm"]) == {"0"}
    assert "0" not in its["Groups"].split() and os.stat(disk).st_uid == uid
    assert os.getsid(pid) == pid != os.getsid(one.server.pid)
    environment = pathlib.Path(f"/proc/{pid}/environ").read_bytes()
    assert b"SECRET" not in environment and b"hidden" not in environment
    descriptors = {int(fd.name): os.readlink(fd) for fd in pathlib.Path(f"/proc/{pid}/fd").iterdir()}
    log = str(one.root / "var/log/libvirt/stratovirt/alone.log")
    assert descriptors[0] == "/dev/null" and descriptors[1] == descriptors[2] == log
    needed = re.compile(rf"/dev/null|{re.escape(log)}|{re.escape(str(disk))}|/dev/kvm|{re.escape(str(xml.IDLE))}|/dev/net/tun|/dev/ptmx|/dev/pts/ptmx|anon_inode:.*|socket:.*|/dev/urandom")
    assert [path for path in descriptors.values() if not needed.fullmatch(path)] == []
    # Of the daemon's sockets it has none: those it holds are its monitor's.
    daemons = {os.readlink(fd) for fd in pathlib.Path(f"/proc/{one.server.pid}/fd").iterdir()}
    assert not {path for path in descriptors.values() if path.startswith("socket:")} & daemons
    monitor = next(one.state.glob("domain-*-alone"))
    assert mode(monitor) == 0o700 and os.stat(monitor).st_uid == uid


def test_the_log_holds_the_command_line_and_what_the_emulator_said(mortal, image):
    mortal.define(xml.bare("told", devices=xml.disk(image())))
    mortal.virsh("start", "told", "--paused")
    log = mortal.root / "var/log/libvirt/stratovirt/told.log"
    written = log.read_text()
    assert mode(log) == 0o600 and re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}\+0000: starting up", written)
    for word in (xml.EMULATOR, "-name ", "told", "-uuid " + mortal.virsh("domuuid", "told"), "virtio-blk-pci"):
        assert word in written
    os.kill(mortal.pid("told"), signal.SIGTERM)
    until(lambda: mortal.virsh("domstate", "told") == "shut off", "it to be shut off")
    if xml.TYPE == "qemu":
        assert "terminating on signal 15" in log.read_text()
    mortal.virsh("start", "told", "--paused")
    assert log.read_text().count("starting up") == 2


# Clients


def waits(virsh):
    try:
        virsh("hostname", timeout=2)
    except subprocess.TimeoutExpired:
        return True
    return False


def test_max_clients(unstarted):
    """The one too many waits until another leaves."""
    unstarted.configure("max_clients = 2\n")
    with socket.socket(socket.AF_UNIX) as held:
        one = unstarted.start()
        held.connect(str(one.server.socket))
        with one.connected():
            assert waits(one.virsh)
        assert one.virsh("hostname")


def test_max_queued_clients(unstarted):
    """Whom the daemon has no place for waits to be let in, and no more than this many do."""
    for most in (1, 8):
        unstarted.configure(f"max_clients = 1\nmax_queued_clients = {most}\n")
        unstarted.start()
        with contextlib.ExitStack() as clients:

            def connects():
                client = clients.enter_context(socket.socket(socket.AF_UNIX))
                client.setblocking(False)
                return client.connect_ex(str(unstarted.server.socket)) == 0

            assert connects()
            until(lambda: not listening(unstarted.server.socket), "it to be let in")
            waiting = sum(1 for _ in iter(connects, False))
            assert waiting == most + 1  # the kernel's count begins behind the first
        unstarted.end()


def listening(path):
    """How many clients wait at the socket to be let in."""
    rows = subprocess.run(["ss", "-Hlx", "src", str(path)], capture_output=True, text=True, check=True).stdout.split("\n")
    return sum(int(row.split()[2]) for row in rows if row)


@pytest.mark.parametrize("most", [1, 2])
def test_max_client_requests(unstarted, most):
    """A call that takes long, of a machine whose emulator is stopped, holds one of its client's places and nobody else's."""
    unstarted.configure(f"max_client_requests = {most}\n")
    one = unstarted.start()
    one.create(xml.bare("slow"))
    with one.connected() as connection, concurrent.futures.ThreadPoolExecutor() as threads:
        slow = connection.lookupByName("slow")
        os.kill(one.pid("slow"), signal.SIGSTOP)
        try:
            suspended = threads.submit(slow.suspend)
            until(lambda: "job" in one.virsh("domcontrol", "slow"), "the call to be under way")
            hostname = threads.submit(connection.getHostname)
            assert one.virsh("hostname")
            finished, _ = concurrent.futures.wait([hostname], timeout=1 if most == 1 else 20)
            assert bool(finished) == (most > 1)
        finally:
            os.kill(one.pid("slow"), signal.SIGCONT)
        assert suspended.result(20) == 0 and hostname.result(20)


def test_a_client_that_no_longer_answers_is_let_go(unstarted):
    unstarted.configure("max_clients = 1\nkeepalive_interval = 1\nkeepalive_count = 1\n")
    one = unstarted.start()
    with Console(one.server.uri, None, shell=[]) as shell:
        shell.expect("virsh # ")
        shell.child.kill(signal.SIGSTOP)
        assert one.virsh("hostname", timeout=30)
        shell.child.kill(signal.SIGCONT)
        shell.expect("Disconnected from|error")
