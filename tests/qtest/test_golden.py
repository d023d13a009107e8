"""The driver's own command lines for StratoVirt start this program: with -S and no processor, QMP answers, and it quits. What names a
device that is not there yet is refused by that name; those devices are listed here."""
import pathlib
import re
import shlex
import socket
import subprocess

import pytest

from vmm import Qmp

pytestmark = pytest.mark.ours("the lines are for StratoVirt")

DATA = pathlib.Path(__file__).resolve().parents[1] / "data"
LINES = [path for folder in ("emulator", "domain") for path in sorted((DATA / folder).glob("*.stratovirt.args"))
         if not path.read_text().startswith("refused")]

# What the program has not, by the option that asks for it, and what it says.
ABSENT = {
    r"virtio-net-pci,(?:.*,)?id=([^,]*)": "'{}': this program has no virtio-net-pci",
    r"virtio-balloon-pci,(?:.*,)?id=([^,]*)": "'{}': this program has no virtio-balloon-pci",
    r"vhost-vsock-pci,(?:.*,)?id=([^,]*)": "'{}': this program has no vhost-vsock-pci",
    r"vfio-pci,(.*)": "driver='vfio-pci'",
    r".*format=(qcow2),": "format='qcow2', allowed: raw",
    r".*if=(pflash),": "-drive if=pflash: this program has no firmware in flash",
}


def options(golden):
    """[(flag, value or None)] of a line, and the requests below it."""
    text, *requests = golden.read_text().rstrip("\n").split("\n{")
    words = shlex.split(text)
    words = words[next(i for i, word in enumerate(words) if word.startswith("-")):]
    found, at = [], 0
    while at < len(words):
        takes = at + 1 < len(words) and not words[at + 1].startswith("-")
        found.append((words[at], words[at + 1] if takes else None))
        at += 2 if takes else 1
    return found, requests


class Host:
    """What a line finds here: files for its files, descriptors for its descriptors, little memory."""

    def __init__(self, folder):
        self.folder, self.fds = folder, []
        self.peer = socket.socket(socket.AF_UNIX)
        self.peer.bind(str(folder / "test"))
        self.peer.listen(1)

    def file(self, wanted, data=bytes(1 << 20)):
        path = self.folder / f"{len(list(self.folder.iterdir()))}-{pathlib.Path(wanted).name}"
        path.write_bytes(data)
        return str(path)

    def option(self, flag, value):
        if value is None:
            return [flag]
        if flag == "-machine":
            value = re.sub(",accel=kvm", "", value)
        elif flag == "-m":
            value = "128"
        elif flag == "-mem-path":
            value = str(self.folder)
        elif flag in ("-kernel", "-initrd"):
            from test_boot import bzimage
            value = self.file(value, bzimage())
        elif flag == "-drive":
            value = re.sub(r"(?<=file=)[^,]*", lambda match: self.file(match[0]), value)
        elif flag == "-object":
            value = re.sub(r"(?<=filename=)[^,]*", "/dev/urandom", value)
        elif flag == "-chardev":
            value = re.sub(r"(?<=path=)[^,]*", lambda match: str(self.folder / pathlib.Path(match[0]).name), value)
        elif flag in ("-netdev", "-device") and re.search(r"fds?=", value):
            value = re.sub(r"(?<=fd=)\d+|(?<=fds=)[\d:]+", lambda match: ":".join(str(self.descriptor()) for _ in match[0].split(":")), value)
        return [flag, value]

    def descriptor(self):
        self.fds.append(socket.socket(socket.AF_UNIX))
        return self.fds[-1].fileno()


def absent(flag, value):
    """What the program says of an option that it has not yet; none for one that it has."""
    for pattern, says in ABSENT.items():
        match = re.match(pattern, value or "")
        if match:
            return says.format(match[1])
    return None


@pytest.fixture
def begin(program, unbound, tmp_path):
    host = Host(tmp_path)
    started = []

    def begin(lines):
        words = [word for option in lines for word in host.option(*option)]
        words += ["-accel", "qtest", "-qtest", f"unix:{tmp_path}/test", *unbound]
        started.append(subprocess.Popen([program, *words], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, cwd=tmp_path,
                                        pass_fds=[fd.fileno() for fd in host.fds]))
        return started[-1], tmp_path / "monitor.sock"

    yield begin
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()
    for fd in [*host.fds, host.peer]:
        fd.close()


@pytest.mark.parametrize("golden", LINES, ids=[f"{path.parent.name}-{path.name.split('.')[0]}" for path in LINES])
def test_a_line_starts(begin, golden):
    lines, requests = options(golden)
    if any(flag == "-machine" and value.startswith("virt") for flag, value in lines):
        process, _ = begin(lines)
        assert process.wait(20) == 1
        assert "type='virt'" in process.stderr.read(), "another architecture's board"
        return
    refusals = [says for says in (absent(*option) for option in lines) if says]
    if refusals:
        process, _ = begin(lines)
        assert process.wait(20) == 1
        line = process.stderr.read()
        assert any(says in line for says in refusals), line
    here = [option for option in lines if not absent(*option)]
    there = {re.search("id=([^,]*)", value)[1] for flag, value in here if flag in ("-drive", "-netdev")}
    here = [(flag, value) for flag, value in here if not (flag == "-device" and (used := re.search("drive=([^,]*)", value)) and used[1] not in there)]
    process, monitor = begin(here)
    while not monitor.exists():
        assert process.poll() is None, process.stderr.read()
    qmp = Qmp(str(monitor), True)
    status = qmp.ask("query-status")
    assert (status["status"], status["running"]) == ("prelaunch", False)
    assert {one["label"] for one in qmp.ask("query-chardev")} >= {"charmonitor"}
    drives = [re.search("drive=([^,]*)", value)[1] for flag, value in here if flag == "-device" and value.startswith("virtio-blk")]
    assert sorted(one["device"] for one in qmp.ask("query-block")) == sorted(drives)
    if not refusals:
        for request in requests:
            assert "return" in qmp.raw("{" + request), request
    qmp.ask("cont")
    qmp.event("RESUME")
    qmp.ask("quit")
    assert process.wait(20) == 0, process.stderr.read()


def test_what_is_not_there_is_few_things():
    """The list of what the driver can ask for and this program cannot give; it only gets shorter."""
    wanted = {says for path in LINES for says in (absent(*option) for option in options(path)[0]) if says}
    assert {re.sub("'[^']*': ", "", says) for says in wanted} == {re.sub("'{}': ", "", says) for says in ABSENT.values()}
