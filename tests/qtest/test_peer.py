"""The other end of a console: a socket, a terminal, pipes. Nothing is lost there, and whoever is there holds up no more than may be."""
import contextlib
import fcntl
import os
import socket
import struct
import termios

import pytest

from qtest import wait_for
from test_console import RESIZE, SIZE, Console, flood, listening, make, read_exactly, seen_by, words  # noqa: F401 (make is a fixture)


# --- nothing is lost

@pytest.mark.ours("QEMU throws away what nobody reads")
def test_output_waits_for_who_comes(make):
    console = make()
    console.bring_up(queues=(0, 1))
    console.pages = {}
    for number in range(10):
        console.send(0, b"early %d\n" % number)
    assert read_exactly(listening(console.machine), 80) == b"".join(b"early %d\n" % number for number in range(10))


@pytest.mark.ours("QEMU throws away what nobody reads")
def test_output_between_two_who_listen(make):
    console = make()
    console.bring_up(queues=(0, 1))
    console.pages = {}
    first = listening(console.machine)
    console.send(0, b"one")
    assert read_exactly(first, 3) == b"one"
    first.close()
    wait_for(lambda: console.machine.qmp.ask("query-chardev")[0]["filename"].startswith("disconnected"), "a hang-up")
    console.send(0, b"two")
    assert read_exactly(listening(console.machine), 3) == b"two"


@pytest.mark.ours("QEMU throws away what nobody reads")
def test_a_terminal_nobody_has_open(make):
    console = make(kind="pty,id=c")
    name = console.machine.qmp.ask("query-chardev")[0]["filename"].removeprefix("pty:")
    console.bring_up(queues=(0, 1))
    console.pages = {}
    console.send(0, b"boot messages\n")
    for _ in range(3):
        terminal = os.open(name, os.O_RDWR | os.O_NOCTTY)
        assert read_exactly(terminal, 14) == b"boot messages\n"
        os.close(terminal)
        seen_by(console.machine)
        console.send(0, b"boot messages\n")


@pytest.mark.ours("QEMU's consoles throw away what finds no room")
def test_a_peer_that_does_not_read_holds_the_driver_up(make):
    """And gets every byte once it does."""
    console = make()
    peer = listening(console.machine)
    console.bring_up(queues=(0, 1))
    data = bytes(i * 7 & 0xFF for i in range(65536))
    queue = flood(console, 0, [data] * 64)
    assert queue.used_index < 64
    assert read_exactly(peer, 64 * len(data)) == data * 64
    wait_for(lambda: queue.used_index == 64, "all of it")


@pytest.mark.ours("QEMU's consoles throw away at once what finds no room")
def test_a_console_waits_a_second_for_a_peer_that_does_not_read(make):
    """Linux stands still meanwhile. Then the last of it is kept, as for a peer that is away, and comes when it reads."""
    console = make()
    peer = listening(console.machine)
    console.bring_up(queues=(0, 1))
    size = 65536
    queue = flood(console, 0, [bytes([number]) * size for number in range(32)])
    console.test.clock_step(999_999_999)
    console.machine.qmp.ask("query-status")
    assert queue.used_index < 32
    console.test.clock_step(1)
    wait_for(lambda: queue.used_index == 32, "the driver to go on")
    got = bytearray()
    while len(got) < size or got[-size:] != bytes([31]) * size:
        got += read_exactly(peer, 1)
    assert got == bytes(sorted(got)) and len(got) < 32 * size  # in its order, without what found no room
    queue.send([(console.machine.put(b"caught up"), 9, False)])
    assert read_exactly(peer, 9) == b"caught up"


@pytest.mark.ours("QEMU's consoles throw away what finds no room")
def test_a_plain_port_waits_for_its_peer(make):
    console = make(port="virtserialport").start_ports((1,))
    peer = listening(console.machine)
    console.open_port(1, 1)
    data = b"x" * 65536
    queue = flood(console, 1, [data] * 32)
    console.test.clock_step(10**10)
    console.machine.qmp.ask("query-status")
    assert queue.used_index < 32
    assert read_exactly(peer, 32 * len(data)) == data * 32
    wait_for(lambda: queue.used_index == 32, "all of it")


@pytest.mark.ours("QEMU throws away what nobody reads")
def test_what_was_kept_and_what_waits_behind_it_come_in_turn(make):
    """A terminal takes a few KiB at a time, so that what was kept goes out in many parts, and the driver waits meanwhile."""
    console = make(kind="pty,id=c")
    name = console.machine.qmp.ask("query-chardev")[0]["filename"].removeprefix("pty:")
    console.bring_up(queues=(0, 1))
    console.pages = {}
    early, late = (bytes(i * factor & 0xFF for i in range(60000)) for factor in (7, 11))
    console.send(0, early)
    terminal = os.open(name, os.O_RDWR | os.O_NOCTTY)
    seen_by(console.machine)
    queue = console.queues[1]
    queue.send([(console.machine.put(late), len(late), False)])
    console.test.read(0, 8)
    assert read_exactly(terminal, len(early) + len(late)) == early + late
    wait_for(lambda: queue.used_index == 2, "the driver to go on")
    os.close(terminal)


@pytest.mark.ours("QEMU's consoles throw away at once what finds no room")
def test_a_guest_that_is_reset_while_its_peer_is_slow_is_heard_again(make):
    console = make()
    peer = listening(console.machine)
    console.bring_up(queues=(0, 1))
    console.pages = {}
    flood(console, 0, [b"x" * 65536] * 32)
    console.reset()
    console.test.clock_step(1_000_000_000)
    console.machine.qmp.ask("query-status")
    listening_drain(peer)
    console.bring_up(queues=(0, 1))
    console.send(0, b"fresh")
    assert read_exactly(peer, 5) == b"fresh"


def test_a_peer_that_goes_away_frees_the_driver(make):
    console = make()
    peer = listening(console.machine)
    console.bring_up(queues=(0, 1))
    queue = flood(console, 0, [b"x" * 65536] * 32)
    peer.close()
    wait_for(lambda: queue.used_index == 32, "all of it")


@pytest.mark.ours("QEMU drops what a peer that has left had said")
@pytest.mark.parametrize("buffers", [0, 1])
def test_what_a_peer_said_before_it_left_arrives(make, buffers):
    console = make()
    console.bring_up(queues=(0, 1))
    console.pages = {}
    for _ in range(buffers):
        console.give(0, 64)
    with listening(console.machine) as peer:
        peer.sendall(b"0123456789" * 10)
    seen_by(console.machine)
    got = b""
    for _ in range(2):
        if not buffers:
            console.give(0, 64)
        got += console.receive(0)
        buffers = 0
    assert got == b"0123456789" * 10
    with listening(console.machine) as peer:
        console.send(0, b"to the next")
        assert read_exactly(peer, 11) == b"to the next"


@pytest.mark.ours("QEMU sees it when it reads")
def test_a_peer_over_tcp_that_leaves_makes_room_for_the_next(make):
    """Also while the driver takes no input."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        place = probe.getsockname()
    console = make(kind=f"socket,id=c,host={place[0]},port={place[1]},server,nowait")
    console.bring_up(queues=(0, 1))
    console.pages = {}
    socket.create_connection(place).close()
    with socket.create_connection(place) as peer:
        seen_by(console.machine)
        console.send(0, b"hello")
        assert read_exactly(peer, 5) == b"hello"


def test_input_waits_for_buffers(make):
    console = make()
    console.bring_up(queues=(0, 1))
    console.pages = {}
    peer = listening(console.machine)
    data = bytes(i * 11 & 0xFF for i in range(100_000))
    peer.settimeout(None)
    sent = peer.send(data[:50_000])
    got = b""
    while len(got) < sent:
        console.give(0, 4096)
        part = console.receive(0)
        assert 0 < len(part) <= 4096
        got += part
    assert got == data[:sent]


def test_a_reset_with_bytes_under_way(make):
    console = make()
    peer = listening(console.machine)
    for _ in range(10):
        console.bring_up(queues=(0, 1))
        console.pages = {}
        page = console.machine.put(b"y" * 65536)
        for _ in range(16):
            console.queues[1].send([(page, 65536, False)])
        console.give(0)
        console.reset()
    drained = listening_drain(peer)
    assert set(drained) <= {ord("y")}
    console.bring_up(queues=(0, 1))
    console.pages = {}
    console.send(0, b"fresh")
    assert read_exactly(peer, 5) == b"fresh"


def listening_drain(peer):
    peer.setblocking(False)
    got = b""
    try:
        while part := peer.recv(1 << 20):
            got += part
    except BlockingIOError:
        pass
    peer.settimeout(20)
    return got


# --- a log beside it

def test_a_copy_in_a_log(make, tmp_path):
    console = make(kind=f"socket,id=c,path={tmp_path}/console.sock,server,nowait,logfile={tmp_path}/log,logappend=off")
    peer = listening(console.machine)
    console.bring_up(queues=(0, 1))
    console.pages = {}
    console.send(0, b"twice")
    assert read_exactly(peer, 5) == b"twice"
    wait_for(lambda: (tmp_path / "log").read_bytes() == b"twice", "the log")


# --- the program's own terminal

def size(terminal, cols, rows):
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, cols, 0, 0))


@pytest.fixture
def own(start):
    """A machine whose console is the terminal it was started at, and that terminal's other end."""
    master, slave = os.openpty()
    size(master, 100, 40)
    before = termios.tcgetattr(slave), fcntl.fcntl(slave, fcntl.F_GETFL)
    machine = start(*words("stdio,id=c"), terminal=slave)
    yield Console(machine, 4), master
    machine.quit()
    assert (termios.tcgetattr(slave), fcntl.fcntl(slave, fcntl.F_GETFL)) == before, "as it was found"
    os.close(master)
    os.close(slave)


@pytest.mark.ours("QEMU's takes keys for itself")
def test_every_key_goes_to_the_guest(own):
    console, master = own
    console.bring_up(queues=(0, 1))
    console.pages = {}
    console.give(0)
    os.write(master, b"ls\r\x03\x1a\x1c")
    got = b""
    while len(got) < 6:
        got += console.receive(0)
        console.give(0)
    assert got == b"ls\r\x03\x1a\x1c"
    console.send(0, b"a\nb")
    assert read_exactly(master, 3) == b"a\nb", "and nothing is added"


@pytest.fixture
def pipes(start):
    """A machine whose console is two pipes, that console, and their other ends."""
    stdin, typed = os.pipe()
    said, stdout = os.pipe()
    machine = start(*words("stdio,id=c"), own={"stdin": stdin, "stdout": stdout})
    os.close(stdin)
    os.close(stdout)
    console = Console(machine, 4).bring_up(queues=(0, 1))
    console.pages = {}
    yield console, typed, said
    for end in (typed, said):
        with contextlib.suppress(OSError):
            os.close(end)


def test_output_goes_on_after_the_end_of_input(pipes):
    console, typed, said = pipes
    os.close(typed)
    seen_by(console.machine)
    console.send(0, b"still here")
    assert read_exactly(said, 10) == b"still here"


@pytest.mark.ours("QEMU stands still")
def test_a_pipe_that_nobody_reads_holds_up_only_its_console(pipes):
    console, _, said = pipes
    data = bytes(i * 7 & 0xFF for i in range(65536))
    queue = flood(console, 0, [data] * 8)
    assert console.machine.qmp.ask("query-status")["running"] and queue.used_index < 8
    assert read_exactly(said, 8 * len(data)) == data * 8
    wait_for(lambda: queue.used_index == 8, "all of it")


def test_a_pipe_whose_reader_has_left_holds_up_nobody(pipes):
    console, _, said = pipes
    os.close(said)
    seen_by(console.machine)
    for _ in range(3):
        console.send(0, b"x" * 65536)


@pytest.mark.ours("QEMU does not tell")
def test_its_size_is_told(own):
    console, master = own
    assert (console.config(0, 2), console.config(2, 2)) == (100, 40)
    console.start_ports()
    assert (0, RESIZE, 0, struct.pack("<HH", 100, 40)) in console.open_port(0, 3)
    size(master, 132, 50)
    assert console.hear() == (0, RESIZE, 0, struct.pack("<HH", 132, 50))
    assert (console.config(0, 2), console.config(2, 2)) == (132, 50)


@pytest.mark.ours("QEMU does not tell")
def test_its_size_is_a_change_of_configuration_for_a_simple_driver(own):
    console, master = own
    console.bring_up(queues=(0, 1), features=(SIZE,))
    before = console.common.config_generation
    size(master, 132, 50)
    wait_for(console.changes.came, "a configuration interrupt")
    assert console.common.config_generation != before and console.config(0, 2) == 132
