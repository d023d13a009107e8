"""A box that stays up and is driven from Python: each connection to one TCP port of loopback is a shell in it."""
import argparse
import pathlib
import re
import select
import socket
import subprocess
import tempfile

import box
from doubled import TRACE, WATCH, seen

PORT = 7000  # of the shell, in the box
PATIENCE = 240  # seconds
SCRIPT = f"""
ip link set eth0 up
ip addr add 10.0.2.15/24 dev eth0
nc -ll -p {PORT} -e /bin/sh &
until nc 127.0.0.1 {PORT} </dev/null 2>/dev/null; do sleep 0.1; done
echo box: ready
wait
"""


class Host:
    """As a context: up on entry, gone without a farewell on exit. `more` goes to the emulator outside; `options` are those of
    tests/box/run by name, `extra` a list of FROM:TO. Where it is `watched`, it is known whether the emulator outside erred."""

    up, erred = [], []  # boxes; what was seen of emulators that erred

    def __init__(self, more=(), watched=False, **options):
        parser = argparse.ArgumentParser()
        box.options(parser)
        self.given = parser.parse_args([])
        vars(self.given).update(options)
        self.more, self.watched = list(map(str, more)), watched

    def __enter__(self):
        box.CACHE.mkdir(parents=True, exist_ok=True)
        self.folder = tempfile.TemporaryDirectory(dir=box.CACHE)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        script, forward = (WATCH if self.watched else "") + SCRIPT, f",hostfwd=tcp:127.0.0.1:{self.port}-10.0.2.15:{PORT}"
        self.process, out = box.start(self.given, script, pathlib.Path(self.folder.name), forward, self.more, stdout=subprocess.PIPE)
        try:
            line = b""
            while b"box: ready" not in line:
                if not select.select([self.process.stdout], [], [], PATIENCE)[0]:
                    raise box.BoxError(f"it did not come up in {PATIENCE} s")
                line = self.process.stdout.readline()
                if not line:
                    raise box.ended(out)
        except BaseException:
            self.close()
            raise
        self.up.append(self)
        return self

    def __exit__(self, *_):
        self.look()
        self.up.remove(self)
        self.close()

    def look(self):
        """Whether the emulator outside has erred: notes it."""
        if not self.watched:
            return
        try:
            with self.open(f"cat {TRACE}/trace; exit", 20) as connection:
                exits = seen(b"".join(iter(lambda: connection.recv(1 << 16), b"")).decode(errors="replace"))
        except OSError:  # a box that does not answer excuses nothing
            return
        if exits:
            self.erred.append(f"its emulator handed an interrupt to a guest twice: {exits[-1].strip()}")

    def close(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        self.folder.cleanup()

    def open(self, script, patience=PATIENCE):
        """A connection to the shell, which has been given a script; what the script runs last reads what is sent later."""
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=patience)
        connection.sendall(f"exec 2>&1\n{script}\n".encode())
        return connection

    def run(self, script, status=0):
        """What the script prints; it must end with that status."""
        with self.open(f"{{ {script}\n}} </dev/null\necho :$?\nexit") as connection:
            said = b"".join(iter(lambda: connection.recv(1 << 16), b"")).decode(errors="replace")
        found = re.search(r":(\d+)\n\Z", said)
        assert found and int(found[1]) == status, f"{script}\n{said}"
        return said[: found.start()]

    def disks(self):
        """The device of each serial number."""
        return dict(line.split() for line in self.run("for disk in /sys/block/vd*; do echo $(cat $disk/serial) /dev/${disk##*/}; done").splitlines())

    def get(self, path):
        """The bytes of a file."""
        with self.open(f"exec cat {path}") as connection:
            return b"".join(iter(lambda: connection.recv(1 << 20), b""))
