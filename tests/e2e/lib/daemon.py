"""The daemon under test: ours, or libvirtd as the oracle of its behaviour."""

import os
import pathlib
import pwd
import subprocess

from . import wait
from .wait import until

CACHE = pathlib.Path(__file__).resolve().parents[3] / "build/e2e/libvirt-cache"  # what libvirtd learnt of the emulators
LIBVIRTD_CONF = """
auth_unix_rw = "none"
auth_unix_ro = "none"
unix_sock_group = "root"
log_level = 3
"""
QEMU_CONF = """
stdio_handler = "file"
security_driver = "none"
namespaces = [ ]
"""


class Daemon:
    """One daemon process, started in the namespaces of lib/host.py and ended by its own pid."""

    def __init__(self, kind, command, socket, uri, log):
        self.kind, self.command, self.socket, self.uri, self.log = kind, command, pathlib.Path(socket), uri, pathlib.Path(log)
        self.process = None

    @property
    def pid(self):
        return self.process.pid

    def start(self, **environment):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env={**os.environ, **environment}
            )
        until(self._answers, f"{self.command[0]} to answer; its log is {self.log}:\n{self.tail()}", 60)
        return self

    def _answers(self):
        if self.process.poll() is not None:
            raise AssertionError(f"{self.command[0]} ended with status {self.process.returncode}:\n{self.tail()}")
        if not self.socket.exists():
            return False
        return subprocess.run(["virsh", "-q", "-c", self.uri, "uri"], capture_output=True).returncode == 0

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        """SIGTERM, as an init system does; its exit status."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(20 * wait.PATIENCE)
            except subprocess.TimeoutExpired:
                self.kill()
        return self.process.returncode

    def tail(self, lines=15):
        if not self.log.exists():
            return ""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])


def libvirtd(base, cache):
    """libvirtd with the QEMU driver, in the private /etc/libvirt and /run/libvirt. `cache` keeps what it learnt of the emulators."""
    pathlib.Path("/etc/libvirt/libvirtd.conf").write_text(LIBVIRTD_CONF)
    pathlib.Path("/etc/libvirt/qemu.conf").write_text(QEMU_CONF)
    cache.mkdir(parents=True, exist_ok=True)
    pathlib.Path("/var/cache/libvirt").mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "--bind", cache, "/var/cache/libvirt"], check=True)
    command = ["/usr/sbin/libvirtd", "--pid-file", str(base / "libvirtd.pid")]
    return Daemon("qemu", command, "/run/libvirt/libvirt-sock", "qemu:///system", base / "libvirtd.log")


def let_emulators_run(root):
    """A host without a user for emulators says itself that they are root's."""
    if any(user.pw_name in ("libvirt-qemu", "qemu") for user in pwd.getpwall()):
        return
    file = pathlib.Path(root, "etc/libvirt/stratovirt.conf")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text('user = "root"\n')


def virtstratovirtd(base, program):
    """Ours, as a host has it: no --root, in the private folders."""
    let_emulators_run("/")
    return Daemon("stratovirt", [program], "/run/libvirt/virtstratovirtd-sock", "stratovirt:///system", base / "virtstratovirtd.log")


def virtstratovirtd_in_root(root, program):
    """Ours with everything below `root`: a second one beside the first, for tests that kill it."""
    let_emulators_run(root)
    socket = root / "run/libvirt/virtstratovirtd-sock"
    return Daemon(
        "stratovirt",
        [program, "--root", str(root)],
        socket,
        f"stratovirt+unix:///system?socket={socket}",
        root / "daemon.log",
    )
