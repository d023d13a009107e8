"""The sandbox: what a machine may open and ask of the kernel once it runs. All other tests run under its rules as well."""
import ctypes
import os
import pathlib
import pwd
import socket
import subprocess

import pytest

from pci import RootPort
from qtest import Qtest
from test_boot import bzimage
from test_console import Console, read_exactly
from test_disk import Disk
from vmm import Qmp, Refused

pytestmark = pytest.mark.ours("a sandbox of this program's")

TOP = pathlib.Path(__file__).resolve().parents[2]
PORT = ("-device", "pcie-root-port,id=port1,port=8,chassis=1,bus=pcie.0,addr=1")
RULES = TOP / "src/vmm/seccomp/x86_64"


# landlock_create_ruleset(NULL, 0, LANDLOCK_CREATE_RULESET_VERSION)
LANDLOCK = pytest.mark.skipif(ctypes.CDLL(None).syscall(444, None, 0, 1) < 1, reason="the kernel has no landlock")


def threads(machine):
    """{name: (seccomp mode, no new privileges)}"""
    found = {}
    for task in pathlib.Path(f"/proc/{machine.process.pid}/task").iterdir():
        fields = dict(line.split(":", 1) for line in (task / "status").read_text().splitlines())
        found[(task / "comm").read_text().strip()] = int(fields["Seccomp"]), int(fields["NoNewPrivs"])
    return found


def test_every_thread_is_under_rules(start):
    machine = start("-object", "iothread,id=t1", "-object", "iothread,id=t2")
    machine.qmp.ask("query-status")
    found = threads(machine)
    assert {"IO t1", "IO t2"} <= set(found) and len(found) == 3
    assert set(found.values()) == {(2, 1)}


def test_it_is_turned_off(start):
    machine = start("-disable-seccomp", "-object", "iothread,id=t1")
    machine.qmp.ask("query-status")
    assert set(threads(machine).values()) == {(0, 0)}


def test_system_calls_are_few():
    """A goal of the project's: at most 40 in use, whichever the thread."""
    calls = {line.split()[0] for path in RULES.glob("*.rules") for line in path.read_text().splitlines() if line.strip() and line[0] != "#"}
    assert len(calls) <= 40, sorted(calls)
    vcpu = {line.split()[0] for line in (RULES / "vcpu.rules").read_text().splitlines() if line.strip() and line[0] != "#"}
    assert not vcpu & {"openat", "recvmsg", "accept4", "io_uring_setup"}


def add(machine, name, node="n", **more):
    machine.qmp.ask("blockdev-add", **{"node-name": node, "driver": "raw", "file": {"driver": "file", "filename": str(name)}}, **more)
    machine.qmp.ask("device_add", driver="virtio-blk-pci", id="d", drive=node, bus="port1", addr="0x0")


@LANDLOCK
def test_a_file_that_comes_later_comes_as_a_descriptor(start, image):
    machine = start(*PORT)
    path = image()
    with pytest.raises(Refused, match="Permission denied"):
        add(machine, path)
    assert machine.qmp.ask("query-block") == [], "refused when it was added"
    with open(path, "r+b") as file:
        machine.qmp.ask("getfd", descriptors=[file.fileno()], fdname="f")
    add(machine, "/dev/fd/f")
    RootPort(machine.test, 1, 2).power_on()
    disk = Disk(machine, 0, bus=2).bring_up()
    assert disk.read_sectors(3)[1].startswith(b"sector 3")
    assert disk.write_sectors(3, b"w" * 512) == 0 and disk.request(4)[0] == 0


def unplug(machine, port):
    machine.qmp.ask("device_del", id="d")
    port.power_off()
    machine.qmp.event("DEVICE_DELETED", device="d")


def test_a_file_of_the_start_can_be_put_in_again(start, image):
    machine = start(*PORT, "-drive", f"id=n,file={image()},if=none,format=raw,direct=false", "-device",
                    "virtio-blk-pci,id=d,drive=n,bus=port1,addr=0x0")
    port = RootPort(machine.test, 1, 2)
    unplug(machine, port)
    machine.qmp.ask("device_add", driver="virtio-blk-pci", id="d", drive="n", bus="port1", addr="0x0")
    port.power_on()
    assert Disk(machine, 0, bus=2).bring_up().read_sectors(3)[1].startswith(b"sector 3")


def test_a_descriptor_goes_with_its_device(start, image):
    machine = start(*PORT)
    port = RootPort(machine.test, 1, 2)
    with open(image(), "r+b") as file:
        machine.qmp.ask("getfd", descriptors=[file.fileno()], fdname="f")
    add(machine, "/dev/fd/f")
    port.power_on()
    unplug(machine, port)
    with pytest.raises(Refused, match="went with the device before"):
        machine.qmp.ask("device_add", driver="virtio-blk-pci", id="d", drive="n", bus="port1", addr="0x0")


@LANDLOCK
def test_a_file_that_may_only_be_read_is_not_written(start, image):
    machine = start(*PORT, "-drive", f"id=n,file={image()},if=none,format=raw,readonly=on", "-device",
                    "virtio-blk-pci,id=d,drive=n,bus=port1,addr=0x0")
    port = RootPort(machine.test, 1, 2)
    path = machine.qmp.ask("query-block")[0]["inserted"]["file"]
    unplug(machine, port)
    machine.qmp.ask("blockdev-del", node_name="n")
    with pytest.raises(Refused, match="Permission denied"):
        add(machine, path)
    add(machine, path, **{"read-only": True})


@LANDLOCK
def test_sources_of_randomness(start, tmp_path):
    (tmp_path / "bytes").write_bytes(b"x" * 100)
    machine = start(*PORT)
    machine.qmp.ask("object-add", **{"qom-type": "rng-random", "id": "good", "filename": "/dev/urandom"})
    machine.qmp.ask("object-add", **{"qom-type": "rng-random", "id": "bad", "filename": str(tmp_path / "bytes")})
    with pytest.raises(Refused, match="Permission denied"):
        machine.qmp.ask("device_add", driver="virtio-rng-pci", id="r", rng="bad", bus="port1", addr="0x0")
    machine.qmp.ask("device_add", driver="virtio-rng-pci", id="r", rng="good", bus="port1", addr="0x0")


@pytest.mark.parametrize("backend", [{"type": "pty", "data": {}}, {"type": "file", "data": {"out": "/tmp/never"}},
                                     {"type": "socket", "data": {"addr": {"type": "unix", "data": {"path": "/tmp/never"}}}},
                                     {"type": "socket", "data": {"addr": {"type": "inet", "data": {"host": "127.0.0.1", "port": "1"}}}}],
                         ids=lambda backend: backend["type"])
def test_terminals_and_sockets_are_not_made(start, backend):
    machine = start()
    with pytest.raises(Refused, match="a sandboxed machine is given its sockets"):
        machine.qmp.ask("chardev-add", id="c", backend=backend)
    assert machine.qmp.ask("query-status")["running"] and not os.path.exists("/tmp/never")


def test_a_socket_that_is_handed_over(start, tmp_path):
    machine = start("-device", "virtio-serial-pci,id=s,bus=pcie.0,addr=4")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"{tmp_path}/s")
        listener.listen(1)
        machine.qmp.ask("getfd", descriptors=[listener.fileno()], fdname="l")
    machine.qmp.ask("chardev-add", id="c", backend={"type": "socket", "data": {"addr": {"type": "fd", "data": {"str": "l"}}, "server": True, "wait": False}})
    machine.qmp.ask("device_add", driver="virtconsole", id="p", chardev="c")
    peer = socket.socket(socket.AF_UNIX)
    peer.settimeout(20)
    peer.connect(f"{tmp_path}/s")
    console = Console(machine, 4).bring_up(queues=(0, 1))
    console.pages = {}
    console.send(0, b"handed over")
    assert read_exactly(peer, 11) == b"handed over"
    peer.close()


def test_what_it_made_it_takes_away(start, tmp_path):
    machine = start("-pidfile", f"{tmp_path}/pid", "-chardev", f"socket,id=c,path={tmp_path}/c,server,nowait", ends=False)
    assert {"pid", "c"} <= set(os.listdir(tmp_path))
    machine.quit()
    assert not {"pid", "c"} & set(os.listdir(tmp_path))


@pytest.mark.skipif(os.getuid() != 0, reason="becoming another user takes root")
def test_an_unprivileged_user_with_descriptors(program, image, tmp_path):
    """Nobody: with a kernel, a disk, a monitor and a console that only root may open, each handed over."""
    tmp_path.chmod(0o711)
    for parent in tmp_path.parents[:2]:
        parent.chmod(0o711)
    (tmp_path / "kernel").write_bytes(bzimage())
    path = image()
    for secret in (path, tmp_path / "kernel"):
        secret.chmod(0o600)
    listeners = {}
    for name in ("test", "monitor", "console"):
        listeners[name] = socket.socket(socket.AF_UNIX)
        listeners[name].bind(f"{tmp_path}/{name}")
        listeners[name].listen(1)
    os.chmod(tmp_path / "test", 0o777)  # the test's own, which it connects to
    public = pathlib.Path("/tmp") / f"stratovirt-{os.getpid()}"
    public.write_bytes(pathlib.Path(program).read_bytes())
    public.chmod(0o755)
    nobody = pwd.getpwnam("nobody")
    with open(path, "r+b") as disk, open(tmp_path / "kernel", "rb") as kernel:
        fds = [disk.fileno(), kernel.fileno(), listeners["monitor"].fileno(), listeners["console"].fileno()]
        process = subprocess.Popen(
            [public, "-machine", "q35", "-m", "128", "-accel", "qtest", "-qtest", f"unix:{tmp_path}/test", "-kernel", f"/dev/fd/{fds[1]}", "-drive",
             f"id=d,file=/dev/fd/{fds[0]},if=none,format=raw", "-device", "virtio-blk-pci,id=b,drive=d,bus=pcie.0,addr=5", "-chardev",
             f"socket,id=m,fd={fds[2]},server=on,wait=off", "-mon", "chardev=m,mode=control", "-device", "virtio-serial-pci,id=s,bus=pcie.0,addr=4",
             "-chardev", f"socket,id=c,fd={fds[3]},server=on,wait=off", "-device", "virtconsole,id=p,chardev=c"],
            user=nobody.pw_uid, group=nobody.pw_gid, extra_groups=[], pass_fds=fds, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, cwd="/")
    try:
        listeners["test"].settimeout(20)
        test = Qtest(listeners["test"].accept()[0])
        assert f"Uid:\t{nobody.pw_uid}" in pathlib.Path(f"/proc/{process.pid}/status").read_text()
        qmp = Qmp(f"{tmp_path}/monitor", True)
        assert qmp.ask("query-status")["running"]
        assert test.read(0x7202, 4) == b"HdrS"
        assert qmp.ask("query-block")[0]["inserted"]["image"]["virtual-size"] == 1 << 20
        qmp.ask("quit")
        assert process.wait(20) == 0
    finally:
        if process.poll() is None:
            process.kill()
        said = process.communicate()[1]
        public.unlink()
        assert not said, said
