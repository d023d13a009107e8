"""The daemon as a program of the host: its options, its sockets and who hands them over, what makes it refuse to start."""
import os
import re
import signal
import socket
import subprocess
import time

import pytest

from house import TREE

DAEMON = TREE / "build/release/bin/virtstratovirtd"
LIMIT = 30


def wait(condition, what):
    end = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < end, f"waited {LIMIT} s for {what}"
        time.sleep(0.05)


def virsh(uri, *words):
    return subprocess.run(["virsh", "-c", uri, *words], capture_output=True, text=True, timeout=LIMIT)


def served(uri):
    return "Using API: StratoVirt" in virsh(uri, "version").stdout


def at(path, scope="system"):
    return f"stratovirt+unix:///{scope}?socket={path}"


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


class Root:
    def __init__(self, path):
        self.path = path
        self.socket = path / "run/libvirt/virtstratovirtd-sock"
        self.processes = []

    def configure(self, text):
        (self.path / "etc/libvirt").mkdir(parents=True, exist_ok=True)
        (self.path / "etc/libvirt/virtstratovirtd.conf").write_text(text)

    def start(self, *options, before=(), serves=True, **more):
        process = subprocess.Popen([*before, DAEMON, "--root", self.path, *options], stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **more)
        self.processes.append(process)
        if serves:
            wait(lambda: virsh(at(self.socket), "uri").returncode == 0, "the daemon to serve")
        return process

    def refused(self, *options):
        process = self.start(*options, serves=False)
        printed = process.communicate(timeout=LIMIT)[0]
        assert process.returncode == 1
        return printed


@pytest.fixture
def root(tmp_path):
    one = Root(tmp_path)
    yield one
    for process in one.processes:
        process.kill()
        process.wait()


def test_it_ends_by_itself_once_nobody_needs_it(root):
    pid_file = root.path / "pid"
    process = root.start("--timeout", "1", "--pid-file", pid_file)
    assert int(pid_file.read_text()) == process.pid
    assert process.wait(LIMIT) == 0
    assert not pid_file.exists()


def test_a_client_keeps_it(root):
    process = root.start("--timeout", "1")
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(root.socket))
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(3)
    assert process.wait(LIMIT) == 0


def test_in_the_background_it_serves_when_the_command_returns(root):
    pid_file = root.path / "pid"
    started = subprocess.run([DAEMON, "--root", root.path, "-d", "-p", pid_file], stdin=subprocess.DEVNULL,
                             capture_output=True, text=True, timeout=LIMIT)
    assert (started.returncode, started.stdout, started.stderr) == (0, "", "")
    pid = int(pid_file.read_text())
    assert served(at(root.socket))
    os.kill(pid, signal.SIGTERM)
    wait(lambda: not pid_file.exists(), "the daemon to end")


def test_in_the_background_a_failure_is_said_before_the_command_returns(root):
    root.configure('auth_unix_rw = "polkit"\n')
    failed = subprocess.run([DAEMON, "--root", root.path, "-d"], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                            timeout=LIMIT)
    assert failed.returncode == 1 and "'auth_unix_rw'" in failed.stderr


@pytest.mark.parametrize("option", ["-f", "--config"])
def test_a_configuration_named_instead_of_the_hosts(root, option):
    root.configure("half a line\n")
    elsewhere = root.path / "elsewhere"
    elsewhere.mkdir()
    (root.path / "other.conf").write_text(f'unix_sock_dir = "{elsewhere}"\n')
    root.start(option, "other.conf", cwd=root.path, serves=False)
    wait(lambda: served(at(elsewhere / "virtstratovirtd-sock")), "the daemon to serve")
    assert "missing.conf" in root.refused("-f", "missing.conf")


def test_verbose_says_that_it_serves(root):
    for options, says in ((["-v"], True), (["--verbose"], True), ([], False)):
        process = root.start(*options)
        process.terminate()
        assert ("serving" in process.communicate(timeout=LIMIT)[0]) == says
        assert process.returncode == 0


def test_its_version():
    for option in ("-V", "--version"):
        printed = subprocess.run([DAEMON, option], capture_output=True, text=True, timeout=LIMIT)
        assert printed.returncode == 0 and re.fullmatch(r"virtstratovirtd \d+\.\d+\.\d+\n", printed.stdout)


@pytest.mark.parametrize("line", ['auth_unix_ro = "sasl"', "listen_tls = 1", "listen_tcp = 1", 'access_drivers = [ "polkit" ]',
                                  'tls_allowed_dn_list = [ "x" ]', 'max_clients = "many"', "half a line"])
def test_what_it_cannot_keep_stops_it(root, line):
    root.configure(line + "\n")
    printed = root.refused()
    assert "virtstratovirtd.conf:" in printed
    assert line.split()[0] in printed or line == "half a line"


def test_a_second_daemon_is_refused_and_a_dead_ones_socket_replaced(root):
    first = root.start()
    assert "another virtstratovirtd serves here" in root.refused()
    first.kill()
    first.wait()
    assert root.socket.is_socket()
    root.start()


def test_sockets_have_the_modes_written(root):
    root.configure('unix_sock_rw_perms = "0700"\nunix_sock_ro_perms = "0750"\nunix_sock_group = "daemon"\n')
    root.start()
    assert root.socket.stat().st_mode & 0o777 == 0o700
    reading = root.socket.with_name("virtstratovirtd-sock-ro").stat()
    assert reading.st_mode & 0o777 == 0o750
    assert reading.st_gid == 1


def test_systemd_may_hand_over_the_sockets(root):
    places = [root.path / name for name in ("virtstratovirtd-sock", "virtstratovirtd-sock-ro", "libvirt-sock")]
    listen = [word for place in places for word in ("-l", str(place))]
    root.start("--timeout", "30", before=["systemd-socket-activate", *listen], serves=False)
    wait(lambda: all(place.is_socket() for place in places), "the sockets")
    for place in places:
        assert served(at(place))
    description = root.path / "x.xml"
    description.write_text("<domain type='qemu'><name>x</name><memory>131072</memory><os><type arch='x86_64' "
                           "machine='q35'>hvm</type></os><features><acpi/></features></domain>")
    assert "read only" in virsh(at(places[1]), "define", description).stderr
    assert virsh(at(places[2]), "define", description).returncode == 0
    assert "x" in virsh(at(places[1]), "list", "--all", "--name").stdout.split()
    assert not root.socket.exists()


def test_tcp_is_served_where_it_is_said_that_nobody_is_asked(root):
    port = free_port()
    root.configure(f'listen_tcp = 1\nauth_tcp = "none"\ntcp_port = "{port}"\n')
    root.start()
    assert served(f"stratovirt+tcp://127.0.0.1:{port}/system")
    assert virsh(at(root.socket), "uri").returncode == 0


def test_a_tcp_socket_handed_over_without_that_word_is_refused(root):
    port = free_port()
    process = root.start(before=["systemd-socket-activate", "-l", f"127.0.0.1:{port}"], serves=False)

    def reached():
        with socket.socket() as client:
            return client.connect_ex(("127.0.0.1", port)) == 0

    wait(reached, "the socket")
    assert 'auth_tcp = "none"' in process.communicate(timeout=LIMIT)[0]
    assert process.returncode == 1


def log_of(root):
    return (root.path / "log").read_text()


def start_logging(root, *options, **more):
    log = open(root.path / "log", "w")
    process = subprocess.Popen([DAEMON, "--root", root.path, "-v", *options], stdin=subprocess.DEVNULL, stdout=log, stderr=log, **more)
    root.processes.append(process)
    return process


def reloads(root):
    return log_of(root).count("has been read again")


def test_a_hangup_has_the_configuration_read_again(root):
    root.configure("max_clients = 20\n")
    process = start_logging(root)
    wait(lambda: served(at(root.socket)), "the daemon to serve")
    root.configure(f'max_clients = 1\nunix_sock_dir = "{root.path}"\nmax_queued_clients = 7\n')
    process.send_signal(signal.SIGHUP)
    wait(lambda: "started again: unix_sock_dir, max_queued_clients" in log_of(root), "the rest to be named")
    with socket.socket(socket.AF_UNIX) as client, socket.socket(socket.AF_UNIX) as next_one:
        client.connect(str(root.socket))
        next_one.connect(str(root.socket))
        next_one.settimeout(1)
        next_one.sendall(b"\0\0\0\5x")  # a client that is let in and says this is hung up on
        with pytest.raises(TimeoutError):
            next_one.recv(1)
        root.configure("max_clients = 20\n")
        process.send_signal(signal.SIGHUP)
        next_one.settimeout(LIMIT)
        assert next_one.recv(1) == b""
    assert served(at(root.socket)) and process.poll() is None


@pytest.mark.parametrize("file, text, says", [("virtstratovirtd.conf", "half a line\n", "virtstratovirtd.conf:1"),
                                             ("virtstratovirtd.conf", 'max_clients = 1\nauth_unix_rw = "polkit"\n', "auth_unix_rw"),
                                             ("stratovirt.conf", 'user = "nobody-of-this-name"\n', "nobody-of-this-name"),
                                             ("stratovirt.conf", 'lock_manager = "sanlock"\n', "lock_manager")])
def test_a_hangup_with_what_it_cannot_keep_changes_nothing(root, file, text, says):
    root.configure("max_clients = 20\n")
    process = start_logging(root)
    wait(lambda: served(at(root.socket)), "the daemon to serve")
    root.configure("max_clients = 1\n")
    (root.path / "etc/libvirt" / file).write_text(text)
    process.send_signal(signal.SIGHUP)
    wait(lambda: "stays as it was: " in log_of(root), "the refusal")
    assert says in log_of(root) and reloads(root) == 0
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(root.socket))
        assert served(at(root.socket))


def test_hangups_at_every_moment_end_nothing(root):
    for moment in (0, 0.002, 0.005, 0.01, 0.03):
        process = start_logging(root, preexec_fn=lambda: signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGHUP]))
        time.sleep(moment)
        process.send_signal(signal.SIGHUP)
        wait(lambda: served(at(root.socket)) and reloads(root) >= 1, "the daemon to serve and to have heard")
        for _ in range(2000):
            process.send_signal(signal.SIGHUP)
        before = reloads(root)
        process.send_signal(signal.SIGHUP)
        wait(lambda: reloads(root) > before, "one more reload")
        process.terminate()
        assert process.wait(LIMIT) == 0 and not root.socket.exists()


def test_started_by_hand_it_outlives_its_terminal(root):
    shell = subprocess.Popen(["script", "-qec", f"bash -ic '{DAEMON} --root {root.path} -p {root.path}/pid & sleep 100'", "/dev/null"],
                             stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait(lambda: (root.path / "pid").exists() and served(at(root.socket)), "the daemon to serve")
    pid = int((root.path / "pid").read_text())
    try:
        shell.kill()  # with which the terminal is gone
        shell.wait()
        wait(lambda: not os.path.exists(f"/proc/{os.getsid(pid)}"), "the shell to go with its terminal")
        assert served(at(root.socket))
        os.kill(pid, signal.SIGTERM)
        wait(lambda: not (root.path / "pid").exists(), "the orderly end")
    finally:
        if (root.path / "pid").exists():
            os.kill(pid, signal.SIGKILL)


def test_an_ordinary_user_has_a_daemon_of_their_own(root):
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    home, runtime, program = root.path / "home", root.path / "run", root.path / "virtstratovirtd"
    for folder in (home, runtime):
        folder.mkdir()
        os.chown(folder, 65534, 65534)
    above = root.path
    while str(above).startswith("/tmp/"):  # that user must get here
        above.chmod(0o755)
        above = above.parent
    program.write_bytes(DAEMON.read_bytes())
    program.chmod(0o755)
    user = {"user": 65534, "group": 65534, "extra_groups": [],
            "env": {"PATH": os.environ["PATH"], "HOME": str(home), "XDG_RUNTIME_DIR": str(runtime)}}
    process = subprocess.Popen([program, "--timeout", "2"], stdin=subprocess.DEVNULL, cwd="/", **user)
    root.processes.append(process)
    path = runtime / "libvirt/virtstratovirtd-sock"
    wait(path.is_socket, "the user's socket")
    assert path.stat().st_mode & 0o777 == 0o700
    asked = subprocess.run(["virsh", "-c", "stratovirt:///session", "uri"], capture_output=True, text=True, timeout=LIMIT, cwd="/",
                           **user)
    assert asked.stdout.strip() == "stratovirt:///session", asked.stderr
    assert (home / ".config/libvirt/stratovirt").is_dir()
    assert process.wait(LIMIT) == 0
