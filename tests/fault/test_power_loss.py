"""Nothing is told to a client before it would outlive a loss of power.

strace writes down what the daemon did to its files; here that is done over in mind, on a disk that keeps only what was synced: a file's bytes from
fsync of the file on, a name from fsync of its folder on. Whatever the daemon sends while something is not yet kept is a promise it could break.
"""

import os
import re
import subprocess

import pytest

from changes import CHANGES, PAGES
from lib import host
from lib.wait import until
from world import World

CALLS = "open,openat,creat,write,pwrite64,writev,ftruncate,sendfile,copy_file_range,fsync,fdatasync,rename,renameat,renameat2,link,linkat,unlink,unlinkat,symlink,symlinkat,sendto,sendmsg"
PATH = r'(?:AT_FDCWD<[^>]*>, |\d+<[^>]*>, )?"([^"]*)"'
FAILED = ") = -1 E"
LINE = re.compile(r"^(\d+)\s+(?:(\w+)\((.*?)( <unfinished \.\.\.>)?$|<\.\.\. (\w+) resumed>(.*)$)")


class Disk:
    """What is promised and not kept, below the folders whose content must outlive the host."""

    def __init__(self, folders):
        self.folders = tuple(f"{folder}/" for folder in folders)
        self.bytes, self.names = {}, {}  # file -> call, name -> call
        self.broken, self.changed, self.sent = [], [], 0

    def kept(self, path):
        return path.startswith(self.folders)

    def name(self, path, call):
        if self.kept(path):
            self.names[path] = call
            self.changed.append(call)

    def begins(self, name, arguments, call):
        """What counts from the call's beginning: dirt, and what is told."""
        descriptor = re.match(r"\d+<(.*?)>(?:,|\)|$)", arguments)
        if name in ("sendto", "sendmsg"):
            if "virtstratovirtd-sock" in arguments.split(",")[0] + arguments:
                self.sent += 1
                if self.bytes or self.names:
                    self.broken.append(f"sent while not kept: {[*self.bytes.values(), *self.names.values()]}")
        elif name in ("write", "pwrite64", "writev", "ftruncate", "sendfile", "copy_file_range"):
            if descriptor and self.kept(descriptor[1]):
                self.bytes[descriptor[1]] = call
        elif name in ("open", "openat", "creat"):
            if "O_CREAT" in arguments:
                self.name(re.match(PATH, arguments)[1], call)
        elif name.startswith("rename") or name.startswith("link"):
            source, target = re.findall(PATH, arguments)[:2]
            if source in self.bytes:
                self.broken.append(f"renamed before its bytes were kept: {call}")
            self.names.pop(source, None)
            self.name(target, call)
        elif name.startswith("symlink"):
            self.name(re.findall(r'"([^"]*)"', arguments)[1], call)
        elif name.startswith("unlink"):
            self.name(re.match(PATH, arguments)[1], call)

    def ends(self, name, arguments):
        """fsync counts once it is over."""
        if name in ("fsync", "fdatasync") and arguments.rstrip().endswith("= 0"):
            path = re.match(r"[\d?]+<(.*?)>", arguments)[1]
            self.bytes.pop(path, None)
            self.names = {each: call for each, call in self.names.items() if os.path.dirname(each) != path}

    def replay(self, lines):
        begun = {}
        for line in lines:
            found = LINE.match(line)
            if not found:
                continue
            tid, name, arguments, unfinished, resumed, rest = found.groups()
            if resumed:
                before, arguments = begun.pop(tid, (self.names, "?<>"))
                if FAILED in rest:
                    self.names = {name: call for name, call in self.names.items() if name in before}
                self.ends(resumed, arguments + rest)
            elif FAILED not in arguments:
                begun[tid] = dict(self.names), arguments
                self.begins(name, arguments, f"{name}({arguments}"[:200])
                if not unfinished:
                    self.ends(name, arguments)
        return self


@pytest.fixture(scope="module")
def world(base, program):
    one = World(base / "power", program).begin()
    with host.ReservedHugepages(PAGES):
        yield one
        one.end()


def traced(world, act):
    """The lines of strace of the daemon while `act` runs."""
    trace = world.root / "trace"
    trace.unlink(missing_ok=True)
    command = ["strace", "-f", "-yy", "-s", "200", "-e", f"trace={CALLS}", "-p", str(world.server.pid), "-o", trace]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as strace:
        assert "attached" in strace.stderr.readline()
        act()
        strace.terminate()
        strace.wait(20)
    return trace.read_text(errors="replace").splitlines()


@pytest.mark.parametrize("name", [name for name in CHANGES if "destroy" not in name and name != "create"])
def test_nothing_is_told_before_it_is_kept(world, name, record):
    """A machine's start is of this life of the host alone, but for its variable store; its end too."""
    change = CHANGES[name]
    change.reach(world)
    errors = []
    lines = traced(world, lambda: errors.append(change.attempt(world)))
    assert errors == [None]
    disk = Disk([world.config, world.nvram]).replay(lines)
    record(f"loss of power after {name} is answered, by its system calls", 1, len(disk.broken))
    assert disk.sent and disk.changed, "the trace shows nothing:\n" + "\n".join(lines)
    assert not disk.broken, "\n".join(disk.broken)


def test_a_promise_that_could_be_broken_is_seen():
    """The replay finds what it looks for."""
    reply = '1 sendto(9<UNIX-STREAM:[5->6,"/r/virtstratovirtd-sock"]>, "", 28, 0, NULL, 0) = 28'
    good = ['1 openat(AT_FDCWD</>, "/c/.new", O_RDWR|O_CREAT, 0600) = 3</c/.new>', '1 write(3</c/.new>, "x", 1) = 1', "1 fsync(3</c/.new> <unfinished ...>",
            "1 <... fsync resumed>) = 0", '1 renameat2(AT_FDCWD</>, "/c/.new", AT_FDCWD</>, "/c/a.xml", 0) = 0', "1 fsync(4</c>) = 0", reply]  # fmt: skip
    assert not Disk(["/c"]).replay(good).broken
    for missing in ({2, 3}, {3}, {5}):
        assert Disk(["/c"]).replay([line for place, line in enumerate(good) if place not in missing]).broken, f"without {missing}"
    assert not Disk(["/c"]).replay(['1 unlink("/c/a.xml") = -1 ENOENT (No such file or directory)', reply]).broken
    assert Disk(["/c"]).replay(['1 unlink("/c/a.xml") = 0', reply]).broken
    assert Disk(["/c"]).replay(['1 symlink("/c/a.xml", "/c/b.xml") = 0', reply]).broken
