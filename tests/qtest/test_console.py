"""The console device (Virtio 1.2, 5.3): ports, what is said of them, and bytes both ways."""
import os
import re
import select
import socket
import struct
import tty

import pytest

from pci import RootPort
from qtest import wait_for
from virtio import Device
from vmm import Refused

SIZE, MULTIPORT = 0, 1
READY, ADD, REMOVE, PORT_READY, CONSOLE_PORT, RESIZE, OPEN, NAME = range(8)
CONTROL_IN, CONTROL_OUT = 2, 3


def queues_of(port):
    return (0, 1) if port == 0 else (2 * port + 2, 2 * port + 3)


class Console(Device):
    def start_ports(self, ports=(0,), ready=True):
        """As Linux does: control buffers given, DEVICE_READY, PORT_READY for each port that was added."""
        wanted = [CONTROL_IN, CONTROL_OUT] + [index for port in ports for index in queues_of(port)]
        self.bring_up(queues=wanted, features=(MULTIPORT,))
        self.pages = {}
        for _ in range(16):
            self.give_control()
        if ready:
            self.say(0xFFFF_FFFF, READY, 1)
        return self

    def give_control(self, size=64):
        page = self.machine.alloc()
        self.pages[self.queues[CONTROL_IN].send([(page, size, True)])] = page

    def say(self, port, event, value):
        self.queues[CONTROL_OUT].call([(self.machine.put(struct.pack("<IHH", port, event, value)), 8, False)])

    def hear(self, give=True):
        """The next message: port, event, value, what follows."""
        id, length = self.queues[CONTROL_IN].take()
        data = self.test.read(self.pages.pop(id), length)
        if give:
            self.give_control()
        return (*struct.unpack("<IHH", data[:8]), data[8:])

    def hear_all(self, count):
        return [self.hear() for _ in range(count)]

    def open_port(self, port, messages):
        assert self.hear() == (port, ADD, 1, b"") or self.machine.is_qemu
        self.say(port, PORT_READY, 1)
        said = self.hear_all(messages)
        self.say(port, OPEN, 1)
        return said

    def send(self, port, data):
        assert self.queues[queues_of(port)[1]].call([(self.machine.put(data), len(data), False)]) == 0

    def give(self, port, size=64):
        """A buffer for input."""
        page = self.machine.alloc(size)
        self.pages[port, self.queues[queues_of(port)[0]].send([(page, size, True)])] = page

    def receive(self, port):
        id, length = self.queues[queues_of(port)[0]].take()
        return self.test.read(self.pages.pop((port, id)), length)


def words(chardev, port="virtconsole", max_ports=""):
    return ("-device", f"virtio-serial-pci,id=s,bus=pcie.0,addr=4{max_ports}", "-chardev", chardev, "-device", f"{port},id=p,chardev=c")


def listening(machine, name="console.sock"):
    """A connection to a console at a socket."""
    peer = socket.socket(socket.AF_UNIX)
    peer.settimeout(20)
    peer.connect(str(machine.folder / name))
    return peer


@pytest.fixture
def make(start, tmp_path):
    """A machine with one console at a UNIX socket, and the console."""

    def begin(port="virtconsole", max_ports="", more=(), kind=None, **how):
        path = tmp_path / "console.sock"
        machine = start(*words(kind or f"socket,id=c,path={path},server,nowait", port, max_ports), *more, **how)
        machine.folder = tmp_path
        return Console(machine, 4)

    return begin


def read_exactly(peer, count):
    got = b""
    while len(got) < count:
        assert select.select([peer], [], [], 20)[0], f"{len(got)} bytes of {count}"
        part = peer.recv(count - len(got)) if isinstance(peer, socket.socket) else os.read(peer, count - len(got))
        assert part, got
        got += part
    return got


def seen_by(machine):
    """What has happened outside until now: the loop that answers the second time has looked at all of it."""
    for _ in range(2):
        machine.qmp.ask("query-status")


def flood(console, port, parts):
    """Gives a port more than its peer has room for, once the first of it has gone; the queue."""
    queue = console.queues[queues_of(port)[1]]
    pages = {data: console.machine.put(data) for data in set(parts)}
    for data in parts:
        queue.send([(pages[data], len(data), False)])
    console.test.read(0, 8)
    wait_for(lambda: queue.used_index > 0, "a start")
    return queue


# --- what it is

def test_identity(make):
    console = make()
    assert console.id == (0x1AF4, 0x1043) and console.read(0x0A, 2) == 0x0780
    assert console.offers(MULTIPORT) and (console.offers(SIZE) or console.machine.is_qemu)
    assert console.config(4, 4) == 31 and console.common.num_queues == 64
    assert make(max_ports=",max_ports=1").config(4, 4) == 1


@pytest.mark.ours("QEMU's numbers are others")
def test_queue_sizes(make):
    console = make(max_ports=",max_ports=4")
    assert console.common.num_queues == 10
    sizes = []
    for index in range(10):
        console.common.queue_select = index
        sizes.append(console.common.queue_size)
    assert sizes == [128, 128, 32, 32] + [128] * 6


# --- one port, for a driver that knows of no others

def test_a_simple_driver(make):
    console = make()
    peer = listening(console.machine)
    console.bring_up(queues=(0, 1))
    console.pages = {}
    console.send(0, b"hello out there\n")
    assert read_exactly(peer, 16) == b"hello out there\n"
    console.queues[1].interrupted()
    console.give(0)
    peer.sendall(b"hello in there\n")
    assert console.receive(0) == b"hello in there\n"
    console.queues[0].interrupted()


def test_a_simple_driver_at_a_terminal(make):
    console = make(kind="pty,id=c")
    name = next(one["filename"] for one in console.machine.qmp.ask("query-chardev") if one["label"] == "c")
    terminal = os.open(re.fullmatch("pty:(/dev/pts/\\d+)", name)[1], os.O_RDWR | os.O_NOCTTY)
    try:
        tty.setraw(terminal)
        console.bring_up(queues=(0, 1))
        console.pages = {}
        console.send(0, b"login: ")
        assert read_exactly(terminal, 7) == b"login: "
        console.give(0)
        os.write(terminal, b"root\r\x03\x04\x00\xff")
        assert console.receive(0) == b"root\r\x03\x04\x00\xff", "every byte as it is"
    finally:
        os.close(terminal)


def test_output_to_a_file(make, tmp_path):
    console = make(kind=f"file,id=c,path={tmp_path}/out")
    console.bring_up(queues=(0, 1))
    for number in range(20):
        console.send(0, b"line %d\n" % number)
    assert (tmp_path / "out").read_bytes() == b"".join(b"line %d\n" % number for number in range(20))


# --- ports and what is said of them

def test_a_console_is_announced(make):
    console = make().start_ports()
    peer = listening(console.machine)
    said = console.open_port(0, 2)
    assert (0, CONSOLE_PORT, 1, b"") in said and (0, OPEN, 1, b"") in said
    console.send(0, b"multi")
    assert read_exactly(peer, 5) == b"multi"
    console.give(0)
    peer.sendall(b"port")
    assert console.receive(0) == b"port"


@pytest.mark.ours("QEMU's port has no name then")
@pytest.mark.parametrize("kind, told", [("virtserialport", [(NAME, b"p")]), ("virtconsole", [(CONSOLE_PORT, b""), (OPEN, b"")])])
def test_a_port_without_a_name_has_its_id(make, kind, told):
    console = make(f"{kind},nr=1").start_ports(ports=(1,))
    assert console.hear() == (1, ADD, 1, b"")
    console.say(1, PORT_READY, 1)
    assert [(event, rest.rstrip(b"\0")) for _, event, _, rest in console.hear_all(len(told))] == told


def test_a_named_port(make):
    console = make("virtserialport,nr=1,name=org.qemu.guest_agent.0").start_ports(ports=(1,))
    assert console.hear() == (1, ADD, 1, b"")
    console.say(1, PORT_READY, 1)
    port, event, value, name = console.hear()
    assert (port, event, value) == (1, NAME, 1) and name.rstrip(b"\0") == b"org.qemu.guest_agent.0"
    peer = listening(console.machine)
    assert console.hear() == (1, OPEN, 1, b""), "somebody is there"
    console.say(1, OPEN, 1)
    console.send(1, b"{}")
    assert read_exactly(peer, 2) == b"{}"
    console.give(1)
    peer.sendall(b"sync")
    assert console.receive(1) == b"sync"
    peer.close()
    assert console.hear() == (1, OPEN, 0, b""), "and is not any more"
    listening(console.machine)
    assert console.hear() == (1, OPEN, 1, b"")


def test_nothing_goes_to_a_port_the_driver_has_not_opened(make):
    console = make("virtserialport,nr=1,name=x").start_ports(ports=(1,))
    peer = listening(console.machine)
    console.hear()
    console.say(1, PORT_READY, 1)
    console.hear_all(2)
    console.give(1)
    peer.sendall(b"early")
    console.test.read(0, 8)
    assert not console.queues[4].any_used()
    console.say(1, OPEN, 1)
    assert console.receive(1) == b"early", "it waited"


@pytest.mark.ours("QEMU drops what finds no buffer")
def test_no_more_is_said_than_there_are_buffers_for(make):
    """Messages wait for the driver, and the last state is what it learns."""
    console = make("virtserialport,nr=1,name=x")
    console.bring_up(queues=(2, 3, 4, 5), features=(MULTIPORT,))
    console.pages = {}
    console.say(0xFFFF_FFFF, READY, 1)
    console.give_control()
    assert console.hear(give=False) == (1, ADD, 1, b"")
    console.say(1, PORT_READY, 1)
    chardev = lambda: next(one for one in console.machine.qmp.ask("query-chardev") if one["label"] == "c")  # noqa: E731
    for there in (True, False) * 3:
        peer = listening(console.machine) if there else peer.close()
        wait_for(lambda: chardev()["filename"].startswith("disconnected") != there, "who comes and goes")
    for _ in range(4):
        console.give_control()
    assert console.hear(give=False)[:2] == (1, NAME)
    assert console.hear(give=False) == (1, OPEN, 0, b""), "once, and as it is now"
    console.test.read(0, 8)
    assert not console.queues[CONTROL_IN].any_used()


def test_ready_again_says_all_again(make):
    console = make().start_ports()
    assert console.hear() == (0, ADD, 1, b"")
    console.say(0xFFFF_FFFF, READY, 1)
    assert console.hear() == (0, ADD, 1, b"")


RUBBISH = [struct.pack("<IHH", 0, 99, 1), struct.pack("<IHH", 77, PORT_READY, 1), struct.pack("<IHH", 0xFFFF_FFFF, PORT_READY, 1),
           struct.pack("<IHH", 5, OPEN, 1), struct.pack("<IHH", 0, ADD, 1), struct.pack("<IHH", 0, NAME, 1) + b"x" * 100,
           struct.pack("<IHH", 30, REMOVE, 1), struct.pack("<IHH", 0, RESIZE, 1)]


@pytest.mark.parametrize("message", RUBBISH)
def test_rubbish_on_the_control_queue(make, message):
    console = make().start_ports()
    console.queues[CONTROL_OUT].call([(console.machine.put(message), len(message), False)])
    peer = listening(console.machine)
    console.open_port(0, 2)
    console.send(0, b"still")
    assert read_exactly(peer, 5) == b"still"


@pytest.mark.parametrize("size", [0, 7])
@pytest.mark.ours("QEMU reads what is there")
def test_a_control_message_that_is_short(make, size):
    console = make().start_ports()
    page = console.machine.put(struct.pack("<IHH", 0, PORT_READY, 1))
    console.queues[CONTROL_OUT].send([(page, size, False)])
    console.wait_needs_reset()
    console.start_ports()
    assert console.hear() == (0, ADD, 1, b"")


def test_two_ports(make, tmp_path):
    console = make(more=("-chardev", f"socket,id=c2,path={tmp_path}/two.sock,server,nowait", "-device",
                         "virtserialport,id=q,chardev=c2,nr=3,name=three")).start_ports(ports=(0, 3))
    peers = {0: listening(console.machine), 3: listening(console.machine, "two.sock")}
    assert {console.hear()[:2] for _ in range(2)} == {(0, ADD), (3, ADD)}
    console.say(0, PORT_READY, 1)
    console.hear_all(2)
    console.say(3, PORT_READY, 1)
    console.hear_all(2)
    for port in (0, 3):
        console.say(port, OPEN, 1)
        console.give(port)
    for port, peer in peers.items():
        console.send(port, b"out %d" % port)
        assert read_exactly(peer, 5) == b"out %d" % port
        peer.sendall(b"in %d" % port)
        assert console.receive(port) == b"in %d" % port


# --- ports that come and go

def test_a_port_is_plugged_and_unplugged(make, tmp_path):
    console = make(more=("-disable-seccomp",)).start_ports(ports=(0, 2))
    console.open_port(0, 2)
    qmp = console.machine.qmp
    added = qmp.ask("chardev-add", id="c2", backend={"type": "socket", "data": {"addr": {"type": "unix", "data": {"path": f"{tmp_path}/hot.sock"}},
                                                                              "server": True, "wait": False}})
    assert added == {}
    where = {"bus": "s.0"}
    qmp.ask("device_add", driver="virtserialport", id="hot", chardev="c2", nr=2, name="hot", **where)
    assert console.hear() == (2, ADD, 1, b"")
    console.say(2, PORT_READY, 1)
    assert console.hear()[:2] == (2, NAME)
    peer = listening(console.machine, "hot.sock")
    assert console.hear() == (2, OPEN, 1, b"")
    console.say(2, OPEN, 1)
    console.send(2, b"plugged")
    assert read_exactly(peer, 7) == b"plugged"
    with pytest.raises(Refused):
        qmp.ask("chardev-remove", id="c2")
    console.give(2)
    qmp.ask("device_del", id="hot")
    while (said := console.hear())[1] != REMOVE:
        pass
    assert said[0] == 2
    qmp.event("DEVICE_DELETED", device="hot")
    qmp.ask("chardev-remove", id="c2")
    console.send(0, b"the other one goes on")


def test_a_port_that_is_none_is_refused(make, tmp_path):
    console = make(max_ports=",max_ports=2", more=("-disable-seccomp",))
    qmp = console.machine.qmp
    data = {"addr": {"type": "unix", "data": {"path": f"{tmp_path}/x.sock"}}, "server": True, "wait": False}
    qmp.ask("chardev-add", id="c2", backend={"type": "socket", "data": data})
    for wrong in ({"nr": 0}, {"nr": 2}, {"nr": 31}, {"bus": "nowhere.0"}, {"chardev": "none"}, {"chardev": "c"}):
        with pytest.raises(Refused) as refused:
            qmp.ask("device_add", **{"driver": "virtserialport", "id": "x", "chardev": "c2", "nr": 1, "bus": "s.0", **wrong})
        assert refused.value.kind == "GenericError"
    qmp.ask("device_add", driver="virtserialport", id="x", chardev="c2", nr=1, bus="s.0")


@pytest.mark.ours("QEMU hands it on")
def test_what_a_port_left_unsent_goes_to_no_other(make, tmp_path):
    console = make(port="virtserialport", more=("-disable-seccomp",)).start_ports((1,))
    peer = listening(console.machine)
    console.open_port(1, 1)
    queue = flood(console, 1, [b"x" * 65536] * 32)
    qmp = console.machine.qmp
    qmp.ask("device_del", id="p")
    wait_for(lambda: queue.used_index == 32, "all of it, unsent")
    peer.close()
    place = {"type": "unix", "data": {"path": f"{tmp_path}/next.sock"}}
    qmp.ask("chardev-add", id="next", backend={"type": "socket", "data": {"addr": place, "server": True, "wait": False}})
    with listening(console.machine, "next.sock") as following:
        qmp.ask("device_add", driver="virtserialport", id="q", chardev="next", nr=1, bus="s.0")
        seen_by(console.machine)
        assert not select.select([following], [], [], 0.2)[0]


def test_whether_a_port_is_open_is_the_guests_to_say(make):
    console = make(port="virtserialport").start_ports((1,))

    def is_open():
        return next(one["frontend-open"] for one in console.machine.qmp.ask("query-chardev") if one["label"] == "c")

    peer = listening(console.machine)
    assert not is_open()
    console.open_port(1, 1)
    wait_for(is_open, "an open port")
    peer.close()
    console.say(1, OPEN, 0)
    wait_for(lambda: not is_open(), "a closed one")


@pytest.mark.ours("QEMU leaves a controller's ports to it")
def test_a_controller_takes_its_ports_along(start):
    machine = start("-device", "pcie-root-port,id=port1,port=8,chassis=1,bus=pcie.0,addr=1", "-device", "virtio-serial-pci,id=s.1,bus=port1,addr=0",
                    "-chardev", "pty,id=c", "-device", "virtconsole,id=p,chardev=c,bus=s.1.0")
    port, qmp = RootPort(machine.test, 1, 2), machine.qmp
    port.power_on()
    for _ in range(2):
        qmp.ask("device_del", id="s.1")
        port.power_off()
        qmp.event("DEVICE_DELETED", device="p")
        qmp.event("DEVICE_DELETED", device="s.1")
        qmp.ask("device_add", driver="virtio-serial-pci", id="s.1", bus="port1", addr="0x0")
        qmp.ask("device_add", driver="virtconsole", id="p", chardev="c", bus="s.1.0")
        port.power_on()


# --- chains that are wrong

def test_buffers_of_nothing(make):
    console = make()
    console.bring_up(queues=(0, 1))
    console.pages = {}
    peer = listening(console.machine)
    console.queues[0].send([(console.machine.alloc(), 16, False)])  # a buffer that cannot be written
    console.queues[1].send([(console.machine.alloc(), 16, True)])  # and one that says nothing
    console.queues[1].take()
    console.give(0)
    peer.sendall(b"after")
    wait_for(console.queues[0].any_used, "input")
    console.test.read(0, 8)
    console.send(0, b"fine")
    assert read_exactly(peer, 4) == b"fine"


def test_broken_chains(make):
    console = make()
    peer = listening(console.machine)
    for index in (0, 1, CONTROL_IN, CONTROL_OUT):
        console.start_ports(ready=False)
        console.queues[index].offer(999)
        console.queues[index].kick()
        if index == 0:
            peer.sendall(b"?")
            continue  # looked at only once there is something to give
        if index == CONTROL_IN:
            continue
        console.wait_needs_reset()
    console.bring_up(queues=(0, 1))
    console.pages = {}
    console.send(0, b"well")
    assert read_exactly(peer, 4) == b"well"
