"""The daemon killed at every step of what changes something, and at moments of no choosing.

Each round: the world is made as it was, the call is made, the daemon dies, another begins. Then what was acknowledged is there whole, what was
not is wholly there or wholly not, the machine that ran is found again and answers, and nothing is left over on the host.
"""

import collections
import contextlib
import os
import pathlib
import subprocess
import sys
import time

import libvirt
import pytest

from changes import CHANGES, NAMES, PAGES
from lib import host, xml
from lib.wait import until
from world import ANSWER_SECONDS, LinuxInside, World, descriptors

TRACER = pathlib.Path(__file__).with_name("tracer.py")
BUILT = TRACER.parents[2] / "build/guest/x86_64"


@pytest.fixture(scope="module")
def world(base, program):
    one = World(base / "kill", program).begin()
    guest = base / "guest"
    guest.mkdir()
    for file in ("vmlinuz", "initrd.img", "root.img"):
        host.copy_sparse(BUILT / file, guest / file)
    one.connection.defineXML(xml.bare("bystander", devices=xml.RNG))
    with host.ReservedHugepages(PAGES):
        one.linux = LinuxInside(one, guest, guest / "root.img")
        one.server.kill()
        one.again()
        one.idle = len(descriptors(one.server.pid))
        yield one
        one.end()


def traced(world, change, last):
    """The change, made while tracer.py counts the daemon's steps and ends it at the last; its error, the steps, whether it was ended."""
    with subprocess.Popen([sys.executable, TRACER, str(world.server.pid), str(last)], stdout=subprocess.PIPE, text=True) as tracer:
        try:
            assert tracer.stdout.readline() == "ready\n", "the tracer cannot follow the daemon"
            error = change.attempt(world)
            with contextlib.suppress(subprocess.TimeoutExpired):
                tracer.wait(0.2)  # what the daemon does after its answer
        finally:
            tracer.terminate()
        steps = tracer.stdout.read().splitlines()
    killed = bool(steps) and steps[-1] == "killed"
    return error, steps[:-1] if killed else steps, killed


def settled(state):
    """A domain that is marked to start with the host is started by the next daemon."""
    return {name: (uuid, config, autostart, None if autostart else running) for name, (uuid, config, autostart, running) in state.items()}


def differences(now, then):
    return {name: (now.get(name), then.get(name)) for name in now.keys() | then.keys() if now.get(name) != then.get(name)}


def runs(state):
    return "subject" in state and state["subject"][3] in (libvirt.VIR_DOMAIN_RUNNING, libvirt.VIR_DOMAIN_PAUSED)


def problems(world, before, after, acknowledged, mark):
    """What is wrong in the world that the next daemon shows."""
    found = []
    now = settled(world.snapshot())
    allowed = [settled(after)] if acknowledged else [settled(before), settled(after)]
    if now not in allowed:
        found.append(f"acknowledged {acknowledged}, and what is there differs by {[differences(now, then) for then in allowed]}")
    try:
        if "subject" in now and world.lookup("subject").isActive():
            world.controllable(world.lookup("subject"))
    except (libvirt.libvirtError, AssertionError):  # it had been told to end before the daemon was killed, and has done so by now
        if not runs(before) or runs(after):
            raise
        until(lambda: not world.active("subject"), "what cannot be controlled to be what is ending")
    world.linux.check(mark)
    found += world.leftovers()
    for name in NAMES:
        world.remove(name)
    found += [f"after its end: {each}" for each in world.leftovers()]
    until(lambda: len(descriptors(world.server.pid)) <= world.idle, f"descriptors to be given back: {descriptors(world.server.pid)}")
    if world.image.exists() and os.stat(world.image).st_uid != 0:
        found.append("the image is not given back to its owner")
        os.chown(world.image, 0, 0)
    return found


def died(world, error):
    """Nothing but its death makes the daemon refuse."""
    world.server.process.wait(ANSWER_SECONDS)
    assert error is None or error.get_error_code() in (libvirt.VIR_ERR_RPC, libvirt.VIR_ERR_SYSTEM_ERROR, libvirt.VIR_ERR_INTERNAL_ERROR), error


class Walk:
    """One change, killed at one of its steps after the other."""

    def __init__(self, world, name):
        self.world, self.name, self.change = world, name, CHANGES[name]
        self.change.reach(world)
        assert self.change.attempt(world) is None  # what a host sees but once is not among the steps, what a daemon does but once is
        world.server.kill()
        world.again()
        self.change.reach(world)
        self.before = world.snapshot()
        error, self.steps, _ = traced(world, self.change, 0)
        assert error is None, error
        self.after = world.snapshot()
        self.hit, self.harmed, self.wrong = collections.Counter(), 0, []

    def kill_at(self, number):
        """A round; false where the change was over before that step."""
        self.change.reach(self.world)
        error, steps, killed = traced(self.world, self.change, number)
        if not killed:
            assert error is None, error
            self.steps = steps
            return False
        died(self.world, error)
        self.hit[steps[-1]] += 1
        self.world.again()
        found = problems(self.world, self.before, self.after, error is None, f"{self.name}-{number}")
        self.harmed += bool(found)
        self.wrong += [f"killed at {number}, {steps[-1]}: {each}" for each in found]
        return True

    def missed(self):
        return [step for step in dict.fromkeys(self.steps) if step not in self.hit]


@pytest.mark.parametrize("name", CHANGES)
def test_killed_at_every_step(world, name, soak, record):
    """In the short form once at each step that differs in what it does to what."""
    walk = Walk(world, name)
    assert len(set(walk.steps)) >= 3 and any(step.startswith("send") for step in walk.steps), walk.steps
    if soak:
        assert any(not walk.kill_at(number) for number in range(1, len(walk.steps) + 40)), "it never came to its end"
    for aside in (0, 0, -1, 1, -2, 2, -3, 3):  # threads do not take turns alike each time
        for step in walk.missed():
            if step not in walk.hit and step in walk.steps:
                walk.kill_at(max(1, walk.steps.index(step) + 1 + aside))
    print(f"{name}: {len(walk.steps)} steps, killed at:")
    for step, times in walk.hit.items():
        print(f"  {times} × {step}")
    record(f"SIGKILL at each step of {name}", walk.hit.total(), walk.harmed)
    assert not walk.wrong, "\n".join(walk.wrong)
    assert not walk.missed(), f"never hit: {walk.missed()}"


@pytest.mark.parametrize("name", CHANGES)
def test_killed_at_any_moment(world, name, rounds, chance, record):
    change = CHANGES[name]
    change.reach(world)
    before, begun = world.snapshot(), time.monotonic()
    assert change.attempt(world) is None
    lasts = time.monotonic() - begun
    after = world.snapshot()
    wrong, harmed = [], 0
    for number in range(rounds):
        change.reach(world)
        moment = chance.uniform(0, 1.2 * lasts)

        def kill():
            time.sleep(moment)
            world.server.kill()

        error = change.attempt(world, kill)
        died(world, error)
        world.again()
        found = problems(world, before, after, error is None, f"random-{number}")
        harmed += bool(found)
        wrong += [f"killed after {1000 * moment:.1f} ms: {each}" for each in found]
    record(f"SIGKILL at random moments of {name}", rounds, harmed)
    assert not wrong, "\n".join(wrong)
