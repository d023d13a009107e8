"""No room left on the disk: each change is refused or done, none is half done, none that was acknowledged is lost; with room again it works."""

import contextlib
import errno
import os

import libvirt
import pytest

from changes import CHANGES, NAMES, PAGES
from lib import host, xml
from lib.wait import until
from world import World, descriptors

# What needs no room may be done; what needs some is refused.
NEEDS_NONE = {"undefine", "autostart-disable", "destroy", "destroy-transient"}


@pytest.fixture(scope="module")
def world(base, program):
    """All of the daemon's files on a small disk of few files."""
    root = base / "small"
    root.mkdir()
    host.run("mount", "-t", "tmpfs", "-o", "mode=0755,size=4m,nr_inodes=200", "small", root)
    one = World(root, program)
    one.image, one.server.log = base / "elsewhere.img", base / "small.log"
    one.begin()
    one.connection.defineXML(xml.bare("bystander"))
    one.connection.createXML(xml.bare("honest", devices=xml.CONSOLE))
    with host.ReservedHugepages(PAGES):
        yield one
        one.end()


@contextlib.contextmanager
def full(root, blocks, files):
    """Takes all the room for bytes, for new files, or both."""
    folder = root / "filling"
    folder.mkdir()
    if files:
        with contextlib.suppress(OSError):
            for number in range(1000):
                (folder / str(number)).touch()
    if blocks:
        filling = folder / "0"
        with open(filling, "ab", buffering=0) as file:
            for size in (65536, 4096):
                with contextlib.suppress(OSError):
                    while file.write(bytes(size)) == size:
                        pass
    left = os.statvfs(root)
    assert (not blocks or left.f_bavail == 0) and (not files or left.f_favail == 0), left
    yield
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()


FULL = {"bytes": (True, False), "files": (False, True), "both": (True, True)}


@pytest.mark.parametrize("room", FULL)
@pytest.mark.parametrize("name", CHANGES)
def test_a_full_disk(world, name, room, record):
    change = CHANGES[name]
    change.reach(world)
    before = world.snapshot()
    assert change.attempt(world) is None
    after = world.snapshot()
    change.reach(world)
    idle = len(descriptors(world.server.pid))
    with full(world.root, *FULL[room]):
        error = change.attempt(world)
        assert error is None or os.strerror(errno.ENOSPC) in str(error), error
        now = world.snapshot()
        assert now == (after if error is None else before), error
        assert error is None or name not in NEEDS_NONE
        if room == "both":
            assert error is not None or name in NEEDS_NONE, "it needs room and there is none"
        world.controllable(world.lookup("honest"))
        world.server.kill()
        world.again()
        assert differs(now, world.snapshot()) == set()
        world.controllable(world.lookup("honest"))
        until(lambda: len(descriptors(world.server.pid)) <= idle, f"descriptors to be given back: {descriptors(world.server.pid)}")
    change.reach(world)
    assert change.attempt(world) is None
    assert differs(after, world.snapshot()) == set()
    for each in NAMES:
        world.remove(each)
    record(f"no room on the disk during {name}", 1, 0)
    assert world.leftovers() == []


def differs(before, now):
    """Names of the domains that are not as they were; one that starts with the host runs, where it could be started."""
    marked = {name for name, (_, _, autostart, _) in before.items() if autostart}
    return {name for name in before.keys() | now.keys() if (before.get(name) or ())[: 3 if name in marked else 4] != (now.get(name) or ())[: 3 if name in marked else 4]}


def test_a_change_of_state_that_cannot_be_written_down(world):
    """A machine is stopped all the same, and the next daemon asks its emulator how it is."""
    domain = world.lookup("honest")
    with full(world.root, True, True):
        domain.suspend()
        assert domain.state()[0] == libvirt.VIR_DOMAIN_PAUSED
    world.server.kill()
    world.again()
    assert world.lookup("honest").state()[0] == libvirt.VIR_DOMAIN_PAUSED
    world.lookup("honest").resume()
