"""What readers can cost: whoever may only look, in as many connections as he likes, holds up nobody else and holds little memory.

Others are a client of the other socket and a reader of another user. Each waits for a list as virsh makes it, while it goes on and afterwards.
"""

import contextlib
import os
import pathlib
import resource
import socket
import struct
import subprocess
import threading
import time

import libvirt
import pytest

from lib import wire, xml
from lib.wait import until
from world import World, descriptors

LIST_SECONDS = 5 * 2  # the promise is two
MEMORY_KIB = 64 << 10  # the promise
LASTS = 6  # seconds of each attack
NOBODY = 65534
DOMAINS = 40
STATS, REGISTER, XML, LIST_ALL, INFO = 344, 316, 14, 273, 16


@pytest.fixture(scope="module")
def world(base, program):
    one = World(base / "readers", program).begin()
    for number in range(DOMAINS):
        one.connection.defineXML(xml.bare(f"reader-{number:02}", memory=16, vcpus=8, devices="".join(xml.disk(f"/nowhere/{number}-{disk}.img", f"vd{disk}") for disk in "abcdefgh")))
    one.connection.createXML(xml.bare("busy", memory=16, vcpus=4), libvirt.VIR_DOMAIN_START_PAUSED)
    yield one
    one.end()


def resident_kib(world):
    lines = pathlib.Path(f"/proc/{world.server.pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Rss:"))


@pytest.fixture
def readers(world):
    """readers(count): connections that may only look."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    with contextlib.ExitStack() as stack:
        yield lambda count: [stack.enter_context(wire.opened(f"{world.server.socket}-ro")) for _ in range(count)]
    until(lambda: len(descriptors(world.server.pid)) < 60, "the connections to be gone", 20)


def a_list(world, user=None):
    """The seconds that it takes whoever is not one of them: root, or a reader of another user."""
    options = [world.server.uri] if not user else [f"{world.server.uri}-ro", "--readonly"]
    identity = {"user": user, "group": user, "extra_groups": []} if user else {}
    begun = time.monotonic()
    done = subprocess.run(["virsh", "-c", *options, "list", "--all"], capture_output=True, text=True, timeout=60, cwd="/", **identity)
    assert done.returncode == 0 and "reader-01" in done.stdout, done.stderr
    return time.monotonic() - begun


class Watch:
    """Others' lists and the daemon's memory, while the `with` lasts."""

    def __init__(self, world):
        self.world = world
        self.idle = max(a_list(world) for _ in range(3))  # what a process costs on this machine, now
        self.before = self.most = resident_kib(world)
        self.lists, self.over = [], threading.Event()

    def __enter__(self):
        self.threads = [threading.Thread(target=self.look), threading.Thread(target=self.list)]
        for thread in self.threads:
            thread.start()
        return self

    def look(self):
        while not self.over.wait(0.01):
            self.most = max(self.most, resident_kib(self.world))

    def list(self):
        while not self.over.is_set():
            self.lists += [a_list(self.world), a_list(self.world, NOBODY)]

    def __exit__(self, *_):
        self.over.set()
        for thread in self.threads:
            thread.join()

    def holds(self):
        grown, slowest = self.most - self.before, max(self.lists)
        print(f"{grown >> 10} MiB more, {len(self.lists)} lists, the slowest {slowest:.2f} s, {self.idle:.2f} s when nothing else is asked")
        assert grown < MEMORY_KIB, f"{grown} KiB more"
        assert slowest < LIST_SECONDS, f"a list took {slowest:.1f} s, {self.idle:.1f} s without them"


def pump(clients, said, reading, seconds=LASTS):
    """Each says it as often as it is taken; the answers are read, or nothing is. The number of bytes that came."""
    end, came = time.monotonic() + seconds, 0
    waiting = {client: memoryview(said) for client in clients}
    for client in clients:
        client.setblocking(False)
    while time.monotonic() < end:
        idle = True
        for client, rest in list(waiting.items()):
            with contextlib.suppress(BlockingIOError, ConnectionError):
                waiting[client] = rest[client.send(rest) :] or memoryview(said)
                idle = False
            with contextlib.suppress(BlockingIOError, ConnectionError):
                if reading:
                    part = len(client.recv(1 << 20))
                    came += part
                    idle = idle and not part
        if idle:
            time.sleep(0.002)
    return came


def stats_of(domain, times, groups=0):
    return wire.packet(STATS, wire.number(times) + wire.domain(domain) * times + wire.number(groups) + wire.number(0))


@pytest.mark.parametrize("reading", [True, False], ids=["read", "unread"])
def test_one_domain_many_times(world, readers, reading, record):
    with Watch(world) as watch:
        came = pump(readers(4), stats_of(world.lookup("busy"), 16384), reading)
    watch.holds()
    assert came > 1 << 20 or not reading
    record("readers that ask for one domain's figures 16384 times a call", 4, 0)


@pytest.mark.parametrize("reading", [True, False], ids=["read", "unread"])
def test_figures_of_all(world, readers, reading, record):
    """Five calls at once in each of many connections."""
    with Watch(world) as watch:
        pump(readers(60), wire.packet(STATS, bytes(12)), reading)
    watch.holds()
    record("readers that ask for all figures", 60, 0)


@pytest.mark.parametrize("reading", [True, False], ids=["read", "unread"])
def test_floods_of_calls(world, readers, reading, record):
    """Whose answers are long, take long to find, or are short."""
    named = wire.domain(world.lookup("busy"))
    said = wire.packet(XML, wire.domain(world.lookup("reader-00")) + wire.number(0)) + wire.packet(LIST_ALL, bytes(8)) + wire.packet(INFO, named)
    with Watch(world) as watch:
        pump(readers(100), said * 400, reading)
    watch.holds()
    record("readers that flood with calls", 100, 0)


def test_names_that_nobody_has(world, readers, record):
    unknown = b"".join(wire.text("x") + struct.pack(">QQi", 1, number, -1) for number in range(16384))
    with Watch(world) as watch:
        pump(readers(20), wire.packet(STATS, wire.number(16384) + unknown + bytes(8)), True)
    watch.holds()
    record("readers that ask for figures of nobody", 20, 0)


def test_halves_of_packets(world, readers, record):
    with Watch(world) as watch:
        pump(readers(200), wire.packet(XML, bytes((1 << 20) - 100), length=1 << 20)[: (1 << 20) - 1], False)
    watch.holds()
    record("readers that say a half of a packet", 200, 0)


def test_events_that_nobody_reads(world, readers, record):
    """A thousand registrations in each of a hundred connections: the same again is refused, others are for other domains."""
    domains = world.connection.listAllDomains()
    said = [wire.packet(REGISTER, wire.number(0) + place) for place in [wire.number(0)] * 500 + [wire.number(1) + wire.domain(each) for each in domains] * 13]
    bystander = world.lookup("reader-00")
    with Watch(world) as watch:
        for client in readers(100):
            client.sendall(b"".join(said))
        end, count = time.monotonic() + LASTS, 0
        while time.monotonic() < end:
            bystander.undefine()
            bystander = world.connection.defineXML(bystander_xml(count))
            count += 1
    watch.holds()
    record("readers that register and never read", 100, 0)


def bystander_xml(number):
    return xml.bare("reader-00", memory=16, head=f"<description>{number} {'x' * 1000}</description>")


def test_as_many_connections_as_there_are(world, record):
    """Of one user; others still come in."""
    with contextlib.ExitStack() as stack:
        with Watch(world) as watch:
            for _ in range(1500):
                client = stack.enter_context(socket.socket(socket.AF_UNIX))
                client.connect(f"{world.server.socket}-ro")
                with contextlib.suppress(OSError):
                    client.sendall(wire.packet(wire.AUTH_LIST))
            time.sleep(1)
        watch.holds()
    record("a reader with as many connections as it gets", 1500, 0)


def test_who_asks_for_much_is_served(world, record):
    """One exporter that asks for the figures of thousands of domains, by the socket for readers, gets them; a hundred other readers do too."""
    count, uri = 3000, f"{world.server.uri}-ro"
    for number in range(count):
        world.connection.defineXML(xml.bare(f"exported-{number:04}", memory=16))
    reader = libvirt.openReadOnly(uri)
    for _ in range(3):
        assert len(reader.getAllDomainStats()) == count + DOMAINS + 1
    clients = [libvirt.openReadOnly(uri) for _ in range(100)]
    assert all(len(client.listAllDomains()) == count + DOMAINS + 1 for client in clients)
    for client in [reader, *clients]:
        client.close()
    record(f"an exporter of {count} domains, and a hundred other readers", 101, 0)
