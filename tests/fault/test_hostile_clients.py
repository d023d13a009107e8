"""Clients that speak wrongly: in every field, at every point of a connection and of a stream, or never read, or never end.

What stock virsh says is overheard, and said again with something wrong in it. After each an ordinary client is served, and in the end the
daemon has the memory and the descriptors it had.
"""

import array
import contextlib
import os
import socket
import struct
import time

import libvirt
import pytest

from lib import wire, xml
from lib.wait import until
from world import World, descriptors, status_kib

SERVED_SECONDS = 5  # the promise is one
GROWTH_KIB = 8 << 10
COMMANDS = [
    ["list", "--all"], ["dumpxml", "honest"], ["domstats"], ["desc", "bystander", "a text"], ["autostart", "bystander"], ["console", "honest", "--force"],
    ["event", "--all", "--timeout", "1"], ["define", "DESCRIPTION"], ["domblklist", "honest"], ["qemu-monitor-command", "honest", '{"execute":"query-name"}'],
    ["schedinfo", "honest"], ["suspend", "honest"],
]  # fmt: skip
WORDS = [0, 1, 2, 3, 7, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0x01000000, 0x20008087]
LENGTHS = [0, 1, 3, 4, 27, 28, 29, 1 << 20, 1 << 25, (1 << 25) + 5, 0x7FFFFFFF, 0xFFFFFFFF]


@pytest.fixture(scope="module")
def world(base, program):
    one = World(base / "hostile", program).begin()
    one.connection.defineXML(xml.bare("bystander"))
    one.connection.createXML(xml.bare("honest", devices=xml.CONSOLE), libvirt.VIR_DOMAIN_START_PAUSED)
    yield one
    one.end()


@pytest.fixture(scope="module")
def conversations(world):
    description = world.described(xml.bare("again", devices=xml.RNG))
    said = [wire.overheard(world.server.socket, world.root, *(str(description) if word == "DESCRIPTION" else word for word in command)) for command in COMMANDS]
    assert all(len(each) >= 4 for each in said), [len(each) for each in said]
    return said


def serves(world):
    """An ordinary client is served in time; it makes good what a hostile one may have changed with its rights."""
    begun = time.monotonic()
    connection = libvirt.open(world.server.uri)
    if "honest" not in (domain.name() for domain in connection.listAllDomains()):
        connection.createXML(xml.bare("honest", devices=xml.CONSOLE), libvirt.VIR_DOMAIN_START_PAUSED)
    assert connection.lookupByName("honest").XMLDesc()
    connection.close()
    taken = time.monotonic() - begun
    assert taken < SERVED_SECONDS, f"an ordinary client waited {taken:.1f} s"


def with_field(said, place, value):
    return said[: 4 * place] + struct.pack(">I", value) + said[4 * place + 4 :]


def wrongs(said, chance, soak):
    """(what, bytes) of a packet said wrongly: each field of its header, words of its payload, its length and its end."""
    for place, field in enumerate(wire.FIELDS):
        for value in LENGTHS if field == "length" else [*WORDS, chance.getrandbits(32)]:
            yield f"{field} {value:#x}", with_field(said, place, value)
    words = list(range(len(wire.FIELDS), len(said) // 4))
    for place in words if soak else chance.sample(words, min(4, len(words))):
        for value in WORDS if soak else chance.sample(WORDS, 3):
            yield f"word {place} {value:#x}", with_field(said, place, value)
    for length in {1, 4, 5, 27, 28, len(said) - 1, chance.randrange(1, len(said))}:
        yield f"its first {length} bytes", said[:length]
        if length >= 28:
            yield f"whole, with {length} bytes", with_field(said[:length], 0, length)
    yield "more than it is", with_field(said + chance.randbytes(64), 0, len(said) + 64)
    yield "noise", chance.randbytes(chance.randrange(1, 4096))
    yield "nothing of it", b""
    yield "twice", said * 2
    yield "a hundred times", said * 100


def say(world, before, wrong, after):
    """A connection that says `before` rightly, then `wrong`, then `after`, and listens a little."""
    with wire.connect(world.server.socket) as client, contextlib.suppress(OSError):
        for each in before:
            client.sendall(each)
            header = wire.HEADER.unpack(each[: wire.HEADER.size])
            if header[4] == 0 and header[1] in (wire.PROGRAM, 0x20008087):
                while wire.HEADER.unpack(wire.receive(client)[: wire.HEADER.size])[5] != header[5]:
                    pass
        client.sendall(wrong)
        for each in after:
            client.sendall(each)
        client.settimeout(0.002)
        client.recv(65536)


def attack(world, conversations, chance, soak):
    count = 0
    for conversation in conversations:
        for point, said in enumerate(conversation):
            cases = list(wrongs(said, chance, soak))
            for what, wrong in cases if soak else chance.sample(cases, 12):
                say(world, conversation[:point], wrong, conversation[point + 1 :])
                assert world.server.process.poll() is None, f"packet {point} of {len(conversation)} with {what} ended it:\n{wrong[:200]!r}"
                count += 1
            serves(world)
    return count


def settled(world):
    """Descriptors and memory once all hostile clients are gone."""
    counts = []

    def steady():
        counts.append(len(descriptors(world.server.pid)))
        return len(counts) > 10 and len(set(counts[-10:])) == 1

    until(steady, "the number of descriptors to settle", 20)
    return counts[-1], status_kib(world.server.pid, "VmRSS")


def test_wrong_in_every_field_at_every_point(world, conversations, chance, soak, record):
    """The second time it costs nothing any more."""
    attack(world, conversations, chance, False)
    before = settled(world)
    count = attack(world, conversations, chance, soak)
    after = settled(world)
    grown = after[1] - before[1]
    record("a packet said wrongly", count, int(grown > GROWTH_KIB) + int(after[0] > before[0]))
    assert after[0] <= before[0], descriptors(world.server.pid)
    assert grown < GROWTH_KIB, f"{grown} KiB more"


UNKNOWN = {
    "program": wire.packet(66, program=0x12345678),
    "version": wire.packet(66, version=99),
    "procedure": wire.packet(9999),
    "payload": wire.packet(1, b"\xff" * 40),
    "event": wire.packet(318),
}


@pytest.mark.parametrize("what", UNKNOWN)
def test_what_is_unknown_is_answered(world, what):
    """By an error, and the connection goes on."""
    with wire.connect(world.server.socket) as client:
        client.sendall(UNKNOWN[what] + wire.packet(66, serial=2))
        _, _, _, _, kind, serial, failed = wire.HEADER.unpack(wire.receive(client)[: wire.HEADER.size])
        assert (kind, serial, failed) == (1, 1, 1)
        _, _, _, _, kind, serial, failed = wire.HEADER.unpack(wire.receive(client)[: wire.HEADER.size])
        assert (kind, serial, failed) == (1, 2, 0)


def test_drips(world, conversations, record):
    """Byte by byte it is the same conversation, and others are served meanwhile."""
    before = settled(world)
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(wire.connect(world.server.socket)) for _ in conversations]
        streams = [b"".join(conversation) for conversation in conversations]
        for place in range(600):
            for client, stream in zip(clients, streams):
                with contextlib.suppress(OSError):
                    client.sendall(stream[place : place + 1])
            if place % 50 == 0:
                serves(world)
    assert settled(world)[0] <= before[0]
    record("a client that drips", len(conversations), 0)


def flood(client, data, most):
    """Sends without reading for as long as anything is taken; the number of bytes."""
    client.setblocking(False)
    sent, last = 0, time.monotonic()
    with contextlib.suppress(ConnectionError):
        while time.monotonic() - last < 0.5 and sent < most:
            try:
                sent += client.send(data)
                last = time.monotonic()
            except BlockingIOError:
                time.sleep(0.005)
    return sent


def test_never_reads(world, record):
    """Answers that nobody takes are not heaped up: the daemon stops reading. Nor are events."""
    before, most = settled(world), 64 << 20
    uuid = world.lookup("honest").UUID()
    description = wire.packet(14, wire.text("honest") + uuid + struct.pack(">iI", -1, 0))
    with contextlib.ExitStack() as stack:
        for data in (wire.packet(66) * 1000, description * 1000, wire.packet(9999) * 1000, wire.packet(1, program=0x6B656570) * 1000):
            client = stack.enter_context(wire.opened(world.server.socket))
            assert flood(client, data, most) < most, "the daemon reads for ever what it cannot answer"
        for _ in range(20):
            events = stack.enter_context(wire.opened(world.server.socket))
            events.sendall(wire.packet(316, struct.pack(">iI", 0, 0), serial=3))
        bystander = world.lookup("bystander")
        for number in range(2000):
            bystander.setMetadata(libvirt.VIR_DOMAIN_METADATA_DESCRIPTION, "x" * 1000, None, None) if number % 100 == 0 else bystander.setAutostart(number % 2)
        serves(world)
        assert status_kib(world.server.pid, "VmRSS") - before[1] < 128 << 10
    after = settled(world)
    record("a client that never reads", 24, int(after[0] > before[0]))
    assert after[0] <= before[0] and after[1] - before[1] < 4 * GROWTH_KIB


def test_thousands_of_connections(world, soak, record):
    """Each at another point of its beginning; then all are gone at once."""
    before, count = settled(world), 4000 if soak else 1500
    beginnings = [b"", b"\0", wire.packet(66)[:20], wire.packet(66), wire.packet(66) + wire.packet(1, length=1 << 20), wire.packet(66, length=1 << 25)]
    with contextlib.ExitStack() as stack:
        for number in range(count):
            client = stack.enter_context(wire.connect(world.server.socket))
            client.sendall(beginnings[number % len(beginnings)])
            if number % 500 == 0:
                serves(world)
        serves(world)
        assert len(descriptors(world.server.pid)) >= count
    after = settled(world)
    record("connections at once", count, int(after[0] > before[0]))
    assert after[0] <= before[0]
    assert after[1] - before[1] < count * 8 + GROWTH_KIB


def test_comes_and_goes(world, soak, record):
    before = settled(world)
    for number in range(20000 if soak else 2000):
        with wire.connect(world.server.socket) as client:
            if number % 3:
                client.sendall(wire.packet(66)[: number % 29])
    after = settled(world)
    record("a connection that comes and goes", 20000 if soak else 2000, int(after[0] > before[0]))
    assert after[0] <= before[0] and after[1] - before[1] < GROWTH_KIB
    serves(world)


def send_with(client, data, fds):
    client.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))])


@pytest.mark.parametrize("side", ["", "-ro"])
def test_descriptors_nobody_asked_for(world, side, record):
    """With bytes of a packet, before and after one, with none of their own, too many, in a call that takes none: all are closed."""
    before = settled(world)
    path = f"{world.server.socket}{side}"
    mine = [os.open("/dev/null", os.O_RDONLY) for _ in range(250)]
    with_count = lambda count: struct.pack(">I", count)  # noqa: E731
    sayings = [
        [(wire.packet(66), 1)], [(wire.packet(66), 250)], [(wire.packet(66)[:5], 32), (wire.packet(66)[5:], 32)], [(b"\0", 1)] * 28,
        [(wire.packet(66, with_count(2), kind=4), 2), (b"\0\0", 0)], [(wire.packet(66, with_count(33), kind=4), 33)], [(wire.packet(66, with_count(0), kind=4), 30)],
        [(wire.packet(66, with_count(0xFFFFFFFF), kind=4), 1)], [(wire.packet(66, with_count(5), kind=4), 1), (b"\0" * 5, 0)], [(wire.packet(66), 30)] * 50,
        [(wire.packet(350, wire.text("x") * 3 + with_count(1), kind=4), 1), (b"\0", 1)],
    ]  # fmt: skip
    for saying in sayings * 10:
        with wire.connect(path) as client, contextlib.suppress(OSError):
            for data, count in saying:
                send_with(client, data, mine[:count]) if count else client.sendall(data)
            client.settimeout(0.01)
            client.recv(65536)
    for fd in mine:
        os.close(fd)
    after = settled(world)
    record(f"descriptors nobody asked for, by sock{side}", len(sayings) * 10, int(after[0] > before[0]))
    assert after[0] <= before[0], descriptors(world.server.pid)
    serves(world)


def test_a_reader_costs_little(world, record):
    """Who may only look can make the daemon hold a mebibyte a connection, no more."""
    before, count = settled(world), 100
    status_before = status_kib(world.server.pid, "VmRSS")
    with contextlib.ExitStack() as stack:
        for _ in range(count):
            client = stack.enter_context(wire.connect(f"{world.server.socket}-ro"))
            flood_until = wire.packet(14, length=1 << 25) + bytes(4 << 20)
            with contextlib.suppress(OSError):
                client.settimeout(1)
                client.sendall(flood_until)
        serves(world)
        grown = status_kib(world.server.pid, "VmRSS") - status_before
        assert grown < count * 2048, f"{grown} KiB for {count} readers"
    assert settled(world)[0] <= before[0]
    record("a reader that announces large packets", count, 0)


def test_a_console_whose_guest_takes_nothing(world, record):
    """Whoever leaves it, by an abort or without a word, leaves no descriptor."""
    before, count = settled(world), 20
    open_console = wire.packet(201, wire.domain(world.lookup("honest")) + wire.number(0) + wire.number(1), serial=50)
    data = wire.packet(201, b"x" * 60000, kind=wire.STREAM, status=wire.CONTINUE, serial=50)
    for number in range(count):
        with wire.opened(world.server.socket) as client:
            assert wire.call(client, open_console).status == wire.OK
            client.sendall(data * 4)
            if number % 2:
                assert wire.call(client, wire.packet(201, kind=wire.STREAM, status=wire.ERROR, serial=50)).status == wire.OK
    after = settled(world)
    record("a console left whose guest takes nothing", count, int(after[0] > before[0]))
    assert after[0] <= before[0], descriptors(world.server.pid)
