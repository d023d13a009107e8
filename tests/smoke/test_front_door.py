"""The front door in one walk: stock virsh, the daemon, a real Linux guest on QEMU; and the daemon killed on the way."""
import os
import pwd
import shutil
import subprocess
import time

import pexpect
import pytest

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
DAEMON = os.path.join(TOP, "build/release/bin/virtstratovirtd")
GUEST = os.path.join(TOP, "build/guest/x86_64")
DESCRIPTION = """<domain type='qemu'>
  <name>smoke</name>
  <memory unit='MiB'>256</memory>
  <vcpu>1</vcpu>
  <iothreads>1</iothreads>
  <os>
    <type arch='x86_64' machine='q35'>hvm</type>
    <kernel>{0}/vmlinuz</kernel>
    <initrd>{0}/initrd.img</initrd>
    <cmdline>console=hvc0 root=/dev/vda rw panic=1 quiet</cmdline>
  </os>
  <features><acpi/></features>
  <devices>
    <disk type='file' device='disk'>
      <driver name='qemu' type='raw' iothread='1'/>
      <source file='{0}/root.img'/>
      <target dev='vda' bus='virtio'/>
    </disk>
    <console type='pty'><target type='virtio' port='0'/></console>
    <memballoon model='virtio'/>
    <rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>
  </devices>
</domain>
"""


class Daemon:
    def __init__(self, root):
        self.root = root
        self.socket = f"{root}/run/libvirt/virtstratovirtd-sock"
        self.uri = f"stratovirt+unix:///system?socket={self.socket}"
        if not any(user.pw_name in ("libvirt-qemu", "qemu") for user in pwd.getpwall()):
            os.makedirs(f"{root}/etc/libvirt")
            with open(f"{root}/etc/libvirt/stratovirt.conf", "w") as configuration:
                configuration.write('user = "root"\n')
        self.start()

    def start(self):
        self.process = subprocess.Popen([DAEMON, "--root", self.root], stdin=subprocess.DEVNULL)
        wait(lambda: self.virsh("uri", check=False).returncode == 0, "the daemon to serve")

    def virsh(self, *words, check=True):
        done = subprocess.run(["virsh", "-c", self.uri, *words], capture_output=True, text=True, timeout=60)
        assert not check or done.returncode == 0, (words, done.stdout, done.stderr)
        return done

    def state(self, name):
        return self.virsh("domstate", name).stdout.strip()


def wait(condition, what, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"waited {seconds} s for {what}"
        time.sleep(0.1)


@pytest.fixture
def daemon(tmp_path_factory):
    root = str(tmp_path_factory.mktemp("root"))
    path = root
    while path.startswith("/tmp/"):  # the emulator's own user must reach the images
        os.chmod(path, 0o755)
        path = os.path.dirname(path)
    one = Daemon(root)
    yield one
    for name in one.virsh("list", "--name", check=False).stdout.split():
        one.virsh("destroy", name, check=False)
    one.process.terminate()
    one.process.wait(30)


@pytest.fixture
def description(daemon):
    for name in ("vmlinuz", "initrd.img", "root.img"):
        shutil.copy(f"{GUEST}/{name}", daemon.root)
    path = f"{daemon.root}/smoke.xml"
    with open(path, "w") as file:
        file.write(DESCRIPTION.format(daemon.root))
    return path


def answers(console, command, expected, seconds):
    console.sendline(command)
    return console.expect([expected, pexpect.TIMEOUT], timeout=seconds) == 0


def test_a_guest_is_defined_logged_into_suspended_resumed_and_destroyed(daemon, description):
    daemon.virsh("define", description)
    assert daemon.state("smoke") == "shut off"
    daemon.virsh("start", "smoke")
    assert daemon.state("smoke") == "running"

    console = pexpect.spawn("virsh", ["-c", daemon.uri, "console", "smoke"], timeout=120, encoding="utf-8")
    console.expect("Escape character")
    console.expect("login:")
    assert answers(console, "root", "guest#", 60)
    assert answers(console, "uname -a", "Linux guest .*GNU/Linux", 60)

    daemon.virsh("suspend", "smoke")
    assert daemon.state("smoke") == "paused"
    assert not answers(console, "echo still-$((40+2))-here", "still-42-here", 3)
    daemon.virsh("resume", "smoke")
    assert console.expect(["still-42-here", pexpect.TIMEOUT], timeout=60) == 0
    console.send("\x1d")
    console.expect(pexpect.EOF)

    daemon.virsh("destroy", "smoke")
    assert daemon.state("smoke") == "shut off"
    daemon.virsh("undefine", "smoke")
    assert "smoke" not in daemon.virsh("list", "--all", "--name").stdout


def test_a_machine_outlives_the_daemon(daemon, description):
    daemon.virsh("define", description)
    daemon.virsh("start", "smoke", "--paused")
    pid = daemon.virsh("list", "--id").stdout.split()
    daemon.process.kill()
    daemon.process.wait()
    daemon.start()
    assert daemon.state("smoke") == "paused"
    assert daemon.virsh("list", "--id").stdout.split() == pid
    daemon.virsh("resume", "smoke")
    daemon.virsh("destroy", "smoke")
    assert daemon.state("smoke") == "shut off"


def test_a_second_definition_under_a_name_is_refused(daemon, description):
    daemon.virsh("define", description)
    with open(description) as file:
        other = file.read().replace("<name>smoke</name>", "<name>smoke</name><uuid>c7a5fdbd-cdaf-9455-926a-d65c16db1809</uuid>")
    with open(description, "w") as file:
        file.write(other)
    refused = daemon.virsh("define", description, check=False)
    assert refused.returncode != 0 and "already exists with uuid" in refused.stderr
