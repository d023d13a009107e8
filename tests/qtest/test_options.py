"""A wrong option or value of the command line: exit status 1, and one line that names it and what is allowed."""
import fcntl
import os
import re
import socket
import stat
import subprocess
import time

import pytest

from vmm import Qmp

pytestmark = pytest.mark.ours("each program refuses in its own words")


def run(program, *words):
    return subprocess.run([program, *map(str, words)], capture_output=True, text=True, timeout=20, stdin=subprocess.DEVNULL)


# The words, and what the line must say.
WRONG = [
    # options
    ("-frob", "-frob"),
    ("--frob", "-frob"),
    ("frob", "'frob' no option"),
    ("-", "'-'"),
    ("-m", "-m value"),
    ("-drive", "-drive value"),
    ("-incoming tcp:0:4444", "-incoming migration"),
    ("-vnc :0", "-vnc display"),
    ("-bios x", "-bios firmware"),
    ("-no-acpi", "-no-acpi ACPI"),
    ("-blockdev driver=file", "-blockdev"),
    # the board
    ("-machine pc", "-machine type='pc' none, q35, virt"),
    ("-machine q35,accel=tcg", "-machine accel='tcg' kvm"),
    ("-machine q35,frob=1", "-machine frob='1' the keys type, accel"),
    ("-machine q35,mem-share=maybe", "-machine mem-share='maybe' on, off"),
    ("-machine q35,usb=on", "-machine usb='on' off"),
    ("-machine q35,acpi=off", "-machine acpi='off' on"),
    ("-machine q35,q35=on,q35=on", "-machine twice"),
    ("-accel hax", "-accel accel='hax' kvm, kvm:tcg, qtest, test"),
    ("-cpu EPYC", "-cpu model='EPYC' host"),
    ("-cpu host,frob=on", "-cpu frob='on'"),
    ("-cpu host,pmu=maybe", "-cpu pmu='maybe' on, off"),
    # processors and memory
    ("-smp 0", "-smp cpus='0' 1 to 254"),
    ("-smp 255", "-smp cpus='255' 1 to 254"),
    ("-smp two", "-smp cpus='two' 1 to 254"),
    ("-smp 4,sockets=3,cores=1,threads=1", "-smp cpus=4 maxcpus=3"),
    ("-smp 4,maxcpus=2", "-smp maxcpus"),
    ("-smp sockets=2", "-smp 'cpus=' missing"),
    ("-smp 192,sockets=16,dies=164,clusters=179,cores=253,threads=253", "-smp maxcpus at most 254"),
    ("-smp 252,sockets=84,cores=3,threads=1", "-smp beyond 254"),
    ("-append quiet", "-append -kernel"),
    ("-initrd {dir}/initrd", "-initrd -kernel"),
    ("-m 127", "-m size='127' 128M to 512G"),
    ("-m 513G", "-m size='513G' 128M to 512G"),
    ("-m 99999999999999999999", "-m size="),
    ("-m 512X", "-m size='512X' K, M, G or T"),
    ("-m -5", "-m size='-5'"),
    ("-m 256,frob=1", "-m frob='1'"),
    ("-mem-path /no/such/folder", "/no/such/folder"),
    ("-numa frob", "-numa type='frob' node, dist"),
    ("-numa node,nodeid=0", "-numa node 'cpus=' missing"),
    ("-numa node,nodeid=9,cpus=0,memdev=m", "-numa node nodeid='9' 0 to 7"),
    # files
    ("-kernel /no/such/kernel -qmp unix:{dir}/q,server,nowait", "/no/such/kernel"),
    ("-initrd /no/such/initrd -kernel /dev/null -qmp unix:{dir}/q,server,nowait", "/no/such/initrd"),
    ("-S -kernel /no/such/kernel", "/no/such/kernel"),
    ("-kernel /dev/fd/99", "/dev/fd/99"),
    ("-kernel /dev/zero", "'/dev/zero' is not a regular file"),
    ("-drive id=d,file=/dev/fd/99 -device virtio-blk-pci,id=x,drive=d,bus=pcie.0,addr=4", "/dev/fd/99"),
    ("-D /no/such/folder/log", "/no/such/folder/log"),
    ("-daemonize -D /no/such/folder/log", "/no/such/folder/log"),
    # devices
    ("-device frob,id=x", "-device driver='frob' pcie-root-port, virtio-blk-pci"),
    ("-device id=x", "-device 'driver='"),
    ("-device virtio-rng-pci,id=x", "virtio-rng-pci 'rng=' missing"),
    ("-device virtio-rng-pci,id=x,rng=r,bus=pcie.0,addr=32", "addr='32'"),
    ("-device virtio-rng-pci,id=x,rng=r,bus=pcie.0,addr=4.8", "addr='4.8'"),
    ("-device virtio-rng-pci,id=x,rng=r,bus=pcie.0,addr=4,frob=1", "frob='1' the keys"),
    ("-device virtio-rng-pci,id=x,rng=r,bus=pcie.0,addr=4", "device 'x' 'r' not there"),
    ("-object rng-random,id=r,filename=/dev/zero -device virtio-rng-pci,id=x,rng=r,bus=pcie.0,addr=0", "'x' machine itself"),
    ("-object rng-random,id=r,filename=/dev/zero -device virtio-rng-pci,id=x,rng=r,bus=pcie.0,addr=1f", "'x' machine itself"),
    ("-object rng-random,id=r,filename=/dev/zero -device virtio-rng-pci,id=x,rng=r,bus=pci.7,addr=0", "'x' 'pci.7'"),
    ("-object rng-random,id=r,filename=/dev/zero -device virtio-rng-pci,id=x,rng=r,bus=pcie.0,addr=4,max-bytes=0", "max-bytes='0'"),
    ("-object rng-random,id=r,filename=/no/source -device virtio-rng-pci,id=x,rng=r,bus=pcie.0,addr=4", "/no/source"),
    ("-device virtio-blk-pci,id=x,drive=d,bus=pcie.0,addr=4", "'x' drive 'd'"),
    ("-device virtio-blk-pci,id=x,drive=d,bus=pcie.0,addr=4,num-queues=33", "num-queues='33' 1 to 32"),
    ("-device virtio-blk-pci,id=x,drive=d,bus=pcie.0,addr=4,queue-size=100", "queue-size='100' power of two 4 to 1024"),
    ("-device virtio-blk-pci,id=x,drive=d,bus=pcie.0,addr=4,bootindex=256", "bootindex='256' 0 to 255"),
    ("-device virtio-blk-pci,id=x,drive=d,bus=pcie.0,addr=4,serial=123456789012345678901", "serial= 20"),
    ("-device virtio-blk-pci,id=x/y,drive=d,bus=pcie.0,addr=4", "-device virtio-blk-pci id='x/y' letters, digits"),
    ("-device virtio-serial-pci,id=x,bus=pcie.0,addr=4,max_ports=32", "max_ports='32' 1 to 31"),
    ("-device virtconsole,id=x,chardev=c", "'x' 'c' not there"),
    ("-chardev pty,id=c -device virtconsole,id=x,chardev=c", "'x' virtio-serial-pci"),
    ("-chardev pty,id=c -device virtio-serial-pci,id=s,bus=pcie.0,addr=4 -device virtserialport,id=x,chardev=c,nr=0", "'x' nr=0"),
    ("-device pcie-root-port,id=p,port=256,chassis=1,bus=pcie.0,addr=1", "port='256'"),
    ("-device pcie-root-port,id=p,port=1,chassis=1,bus=pcie.0,addr=1 -device pcie-root-port,id=p,port=1,chassis=1,bus=pcie.0,addr=2", "'p' twice"),
    ("-device pcie-root-port,id=p,port=1,chassis=1,bus=pcie.0,addr=1 -device pcie-root-port,id=q,port=1,chassis=1,bus=pcie.0,addr=1", "'q' taken 'p'"),
    ("-device pcie-root-port,id=p,port=1,chassis=1,bus=pcie.0,addr=1 -device pcie-root-port,id=q,port=1,chassis=1,bus=p,addr=0", "'q' root port"),
    ("-device virtio-balloon-pci,id=b,bus=pcie.0,addr=4,deflate-on-oom=2", "deflate-on-oom='2' on, off"),
    ("-device vhost-vsock-pci,id=v,bus=pcie.0,addr=4,guest-cid=2", "guest-cid='2' 3 to 4294967294"),
    # drives
    ("-drive id=d", "-drive 'file=' missing"),
    ("-drive file=/tmp/x", "-drive 'id=' missing"),
    ("-drive id=d,file=/tmp/x,if=ide", "-drive if='ide' none, pflash"),
    ("-drive id=d,file=/tmp/x,format=qcow2", "-drive format='qcow2' raw"),
    ("-drive id=d,file=/tmp/x,aio=frob", "-drive aio='frob' io_uring, native, threads, off"),
    ("-drive id=d,file=/tmp/x,throttling.iops-total=1000001", "iops-total='1000001' 0 to 1000000"),
    ("-drive id=d,file=/tmp/x,media=cdrom", "-drive media='cdrom' disk"),
    ("-drive id=d,file=/tmp/x,cache=frob", "-drive cache='frob' none, writeback, unsafe"),
    ("-drive id=d,file=/tmp/x,readonly=2", "-drive readonly='2' on, off"),
    ("-drive id=d,file=/tmp/x,frob=2", "-drive frob='2' the keys id, file"),
    ("-drive id=d,file=/tmp/x -drive id=d,file=/tmp/y", "drive 'd' twice"),
    ("-drive id=d,file=/no/such/image -device virtio-blk-pci,id=x,drive=d,bus=pcie.0,addr=4 -qmp unix:{dir}/q,server,nowait", "/no/such/image"),
    ("-drive id=d,file={dir} -device virtio-blk-pci,id=x,drive=d,bus=pcie.0,addr=4 -qmp unix:{dir}/q,server,nowait", "{dir}"),
    # character devices, monitors
    ("-chardev frob,id=c", "-chardev backend='frob' stdio, pty, file"),
    ("-chardev pty", "-chardev pty 'id=' missing"),
    ("-chardev file,id=c", "-chardev file 'path=' missing"),
    ("-chardev socket,id=c", "-chardev socket 'path=', 'port=' and 'fd='"),
    ("-chardev socket,id=c,path=/a,port=1", "-chardev socket 'path='"),
    ("-chardev socket,id=c,port=65536", "port='65536' 0 to 65535"),
    ("-chardev socket,id=c,path={long}", "path= 107"),
    ("-chardev socket,id=c,path=/no/such/folder/s,server,nowait", "/no/such/folder/s"),
    ("-chardev socket,id=c,path=/no/such/peer", "/no/such/peer"),
    ("-chardev socket,id=c,host=nowhere.example,port=1,server,nowait", "nowhere.example"),
    ("-chardev stdio,id=a -chardev stdio,id=b", "stdio twice"),
    ("-chardev stdio,id=a -daemonize", "stdio -daemonize"),
    ("-mon chardev=c,mode=control", "'c'"),
    ("-mon chardev=c,mode=readline", "-mon mode='readline' control"),
    ("-serial frob", "-serial backend='frob'"),
    ("-serial pty -serial pty", "-serial one"),
    ("-serial chardev:none", "-serial 'none'"),
    ("-qmp unix:/no/such/folder/s,server,nowait", "/no/such/folder/s"),
    ("-qmp frob:1", "-qmp"),
    # objects and the network
    ("-object frob,id=x", "-object qom-type='frob' iothread, rng-random"),
    ("-object iothread", "-object iothread 'id=' missing"),
    ("-object rng-random,id=r", "-object rng-random 'filename=' missing"),
    ("-object iothread,id=a -object rng-random,id=a,filename=/dev/zero", "'a' twice"),
    (" ".join(f"-object iothread,id=t{i}" for i in range(9)), "8 iothreads"),
    ("-netdev user,id=n", "-netdev type='user' tap"),
    ("-netdev tap,id=n", "-netdev tap 'ifname=', 'fd=' and 'fds='"),
    ("-netdev tap,id=n,ifname=averyveryverylongname", "ifname= 15"),
    ("-netdev tap,id=n,fd=x", "fd='x'"),
    # others
    ("-uuid frob", "-uuid 'frob'"),
    ("-smbios type=5", "-smbios type='5' 0, 1, 2, 3, 4, 17"),
    ("-smbios type=1,frob=x", "-smbios frob='x' the keys manufacturer"),
    ("-smbios type=0,release=1", "-smbios release='1' two numbers"),
    ("-smbios type=17,speed=fast", "-smbios speed='fast' 0 to 65535"),
    ("-smbios type=1,uuid=x", "-smbios uuid='x'"),
    ("-global frob=1", "-global frob='1' pcie-root-port.fast-unplug"),
    ("-display gtk", "-display type='gtk' none"),
    ("-rtc base=localtime", "-rtc base='localtime' utc"),
    ("-realtime mlock=on", "-realtime mlock='on' off"),
    ("-overcommit mem-lock=on", "-overcommit mem-lock='on' off"),
    ("-boot menu=on", "-boot menu='on' off"),
    ("-msg timestamp=maybe", "-msg timestamp='maybe' on, off"),
    ("-name guest=", "-name guest=''"),
    ("-accel qtest", "-accel qtest -qtest"),
    ("-qtest unix:/x", "-qtest"),
    ("-accel qtest -mod-test unix:/x", "-accel"),
    ("-accel qtest -qtest unix:/no/such/test", "/no/such/test"),
]


@pytest.mark.parametrize("words, says", WRONG, ids=[words[:60] for words, _ in WRONG])
def test_what_is_wrong_is_named(program, tmp_path, words, says):
    words, says = (text.format(dir=tmp_path, long="/" + "x" * 120) for text in (words, says))
    test = [] if any(word in words for word in ("-accel", "accel=", "-qtest")) else ["-accel", "qtest", "-qtest", f"unix:{tmp_path}/test"]
    machine = [] if "-machine" in words else ["-machine", "q35"]
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"{tmp_path}/test")
        listener.listen(1)
        done = run(program, *machine, *test, *words.split())
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr.startswith("stratovirt: ") and done.stderr.count("\n") == 1, done.stderr
    for part in says.split(" "):
        assert part.rstrip(",") in done.stderr, done.stderr


def test_control_characters_do_not_reach_the_line(program):
    done = run(program, "-machine", "q35\x1b[31m\nsecond line", "-drive", "id=\x07,file=x")
    assert done.returncode == 1 and done.stderr.count("\n") == 1 and "\x1b" not in done.stderr and "\x07" not in done.stderr


def test_a_word_of_any_length(program):
    for words in (("-" + "x" * 100_000,), ("-device", "x" * 100_000), ("-drive", "id=d,file=/" + "y" * 100_000), ("-machine", "q35," + "a=b," * 10_000)):
        done = run(program, *words)
        assert done.returncode == 1 and done.stderr.count("\n") == 1 and len(done.stderr) < 6000


@pytest.mark.parametrize("words", [["-h"], ["--help"], ["-help"]])
def test_help(program, words):
    done = run(program, *words)
    assert done.returncode == 0 and done.stdout.startswith("usage: stratovirt") and done.stderr == ""


@pytest.mark.parametrize("word", ["-V", "-version", "--version"])
def test_version(program, word):
    assert re.fullmatch(r"StratoVirt \d+\.\d+\.\d+ \(C\+\+\)\n", run(program, word).stdout)


@pytest.mark.parametrize("words", ["-overcommit mem-lock=off", "-nodefaults -no-user-config -nographic", "-sandbox on,obsolete=deny,spawn=deny", "-msg timestamp=on",
                                   "-rtc base=utc,driftfix=slew", "-boot strict=on", "-realtime mlock=off", "-display none", "-usb", "-cpu host,pmu=off",
                                   "-global ICH9-LPC.disable_s3=1", "-name with spaces", "-name guest=x,debug-threads=on", "-freeze -disable-seccomp",
                                   "-m size=256M,slots=2,maxmem=1G", "-m 262144K", "-smbios type=1,manufacturer=X"])
def test_what_is_accepted_for_others_sake(start, words):
    machine = start(*(words.split(" ") if not words.startswith("-name with") else ["-name", "with spaces"]))
    assert machine.qmp.ask("query-status")["status"] in ("running", "prelaunch")


def test_a_background_process(program, unbound, tmp_path):
    """The parent returns once the machine is there; the pid file names it; the monitor answers."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(f"{tmp_path}/t")
    listener.listen(1)
    done = run(program, "-machine", "q35", "-accel", "qtest", "-qtest", f"unix:{tmp_path}/t", "-m", "128", "-daemonize", "-pidfile", f"{tmp_path}/pid",
               "-D", f"{tmp_path}/log", "-qmp", f"unix:{tmp_path}/q,server,nowait", *unbound)
    assert (done.returncode, done.stderr) == (0, "")
    pid = int((tmp_path / "pid").read_text())
    qmp = Qmp(f"{tmp_path}/q", True)
    assert qmp.ask("query-status")["running"]
    qmp.ask("quit")
    deadline = time.monotonic() + 20
    while (tmp_path / "pid").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not (tmp_path / "pid").exists()
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            break
        time.sleep(0.01)
    listener.close()


def test_a_background_process_that_fails_says_so(program):
    done = run(program, "-machine", "q35", "-accel", "qtest", "-qtest", "unix:/no/such/test", "-daemonize")
    assert done.returncode == 1 and done.stderr.count("\n") == 1 and "/no/such/test" in done.stderr


class Running:
    """A program that was started with these words and is to go on."""

    def __init__(self, program, folder, *words):
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(f"{folder}/t")
        listener.listen(1)
        self.process = subprocess.Popen([program, "-machine", "q35", "-m", "128", "-accel", "qtest", "-qtest", f"unix:{folder}/t", *map(str, words)])
        listener.settimeout(20)
        self.connection = listener.accept()[0]
        listener.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(20)
        self.connection.close()


def test_a_pid_file_of_one_that_runs_is_not_taken(program, unbound, tmp_path):
    (tmp_path / "one").mkdir()
    path = tmp_path / "pid"
    path.write_text("1\n")  # of one that has ended
    with Running(program, tmp_path / "one", "-pidfile", path, "-qmp", f"unix:{tmp_path}/q,server,nowait", *unbound) as first:
        qmp = Qmp(f"{tmp_path}/q", True)
        qmp.ask("query-status")
        assert path.read_text() == f"{first.process.pid}\n" and path.stat().st_mode & 0o777 == 0o644
        for more in ((), ("-daemonize",)):
            done = run(program, "-machine", "q35", "-m", "128", "-accel", "qtest", "-qtest", f"unix:{tmp_path}/t", "-pidfile", path, *more)
            assert done.returncode == 1 and f"the pid file '{path}' is that of a program that runs" in done.stderr
        assert path.read_text() == f"{first.process.pid}\n"
        with open(path, "r+") as file:  # as QEMU asks
            with pytest.raises(BlockingIOError):
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.unlink()
        path.write_text("mine\n")  # its place is another's now
    assert path.read_text() == "mine\n"
    assert list(tmp_path.glob(".new-*")) == []


@pytest.mark.parametrize("kind", ["device", "fifo", "link", "folder"])
def test_what_is_no_file_is_not_replaced(program, tmp_path, kind):
    """A program of root's could do it: to names of the test's own, whose devices only root can make."""
    path = tmp_path / kind
    if kind == "device" and os.geteuid():
        kind = "fifo"
    {"device": lambda: os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 3)), "fifo": lambda: os.mkfifo(path), "link": lambda: path.symlink_to(tmp_path / "other"),
     "folder": path.mkdir}[kind]()
    (tmp_path / "other").write_text("other")
    before = path.lstat()
    for words in (["-pidfile", path], ["-qmp", f"unix:{path},server,nowait"], ["-kernel", path]):
        done = run(program, "-machine", "q35", "-m", "128", "-accel", "qtest", "-qtest", f"unix:{tmp_path}/t", *words)
        assert done.returncode == 1 and done.stderr.count("\n") == 1
    after = path.lstat()
    assert (before.st_ino, before.st_mode) == (after.st_ino, after.st_mode)
    assert (tmp_path / "other").read_text() == "other"


def test_a_socket_that_is_anothers_by_now_stays(program, unbound, tmp_path):
    path = tmp_path / "q"
    with Running(program, tmp_path, "-qmp", f"unix:{path},server,nowait", *unbound):
        Qmp(str(path), True).ask("query-status")
        path.unlink()
        other = socket.socket(socket.AF_UNIX)
        other.bind(str(path))
    assert path.exists()
    other.close()


def test_output_goes_to_what_is_no_file(program, unbound, tmp_path):
    os.mkfifo(tmp_path / "fifo")
    reader = os.open(tmp_path / "fifo", os.O_RDONLY | os.O_NONBLOCK)
    words = ["-D", "/dev/null", "-chardev", f"file,id=c,path=/dev/null,logfile={tmp_path}/fifo", "-serial", "chardev:c"]
    with Running(program, tmp_path, *words, *unbound) as one:
        one.connection.sendall(b"outb 0x3f8 65\n")
        assert one.connection.recv(100).startswith(b"OK")
        assert os.read(reader, 10) == b"A"
    os.close(reader)
    assert stat.S_ISFIFO((tmp_path / "fifo").stat().st_mode) and stat.S_ISCHR(os.stat("/dev/null").st_mode)
