"""A daemon of ours in a root of its own, for tests that kill it or write its configuration."""

import contextlib
import itertools
import pathlib

import libvirt
import pytest

from . import daemon as daemons
from . import host
from .virsh import Virsh

_numbers = itertools.count(1)

class Mortal:
    def __init__(self, root, program):
        self.root = root
        self.server = daemons.virtstratovirtd_in_root(root, program)
        self.virsh = Virsh(self.server.uri)
        self.state = root / "run/libvirt/stratovirt"

    def configure(self, text, file="virtstratovirtd.conf"):
        folder = self.root / "etc/libvirt"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text(text)

    def start(self, **environment):
        self.server.start(**environment)
        return self

    def killed(self):
        """Again, after SIGKILL."""
        self.server.kill()
        return self.start()

    @contextlib.contextmanager
    def connected(self):
        connection = libvirt.open(self.server.uri)
        yield connection
        connection.close()

    def described(self, text):
        path = self.root / "description.xml"
        path.write_text(text)
        return path

    def define(self, text):
        self.virsh("define", self.described(text))

    def create(self, text, *options):
        self.virsh("create", self.described(text), *options)

    def pid(self, name):
        return host.emulator_pid(self.virsh("domuuid", name))

    def seen(self, name):
        return self.virsh("domstate", name, "--reason")

    def leftovers(self, name):
        """Files in the state folder and the huge pages that speak of the machine."""
        folders = [self.state, pathlib.Path("/dev/hugepages/libvirt")]
        return [path for folder in folders for path in folder.rglob("*") if f"-{name[:20]}" in path.name or path.suffix in (".json", ".starting")]

    def end(self):
        if self.server.process and self.server.process.poll() is None:
            for name in self.virsh.names():
                self.virsh("destroy", name)
            self.server.stop()


@pytest.fixture
def unstarted(ours, base, program):
    """One whose configuration the test writes before it starts it."""
    if not ours:
        pytest.skip("what this looks at is this daemon's own")
    root = base / f"root-{next(_numbers)}"
    root.mkdir()
    one = Mortal(root, program)
    yield one
    one.end()


@pytest.fixture
def mortal(unstarted):
    return unstarted.start()
