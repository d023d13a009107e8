"""Clients of the two protocols by which a test stands for a machine's processors: QEMU's qtest and the original StratoVirt's."""
import re
import select
import socket
import time

PATIENCE = 20  # seconds that a test waits for what takes milliseconds


class Failed(Exception):
    """The program refused a request."""


class Closed(Exception):
    """The program hung up."""


def wait_for(ready, what, patience=PATIENCE):
    """What `ready` gives, once that is something."""
    deadline = time.monotonic() + patience
    while True:
        result = ready()
        if result:
            return result
        assert time.monotonic() < deadline, f"in vain: {what}"
        time.sleep(0.0002)


class Lines:
    """The lines that come over a socket."""

    def __init__(self, connection):
        connection.settimeout(PATIENCE)
        self.connection, self.received = connection, b""

    def send(self, text, descriptors=()):
        if descriptors:
            socket.send_fds(self.connection, [text.encode()], list(descriptors))
        else:
            self.connection.sendall(text.encode())

    def fill(self, wait=True):
        """Reads what is there; False for nothing yet."""
        if not wait and not select.select([self.connection], [], [], 0)[0]:
            return False
        try:
            got = self.connection.recv(1 << 16)
        except ConnectionResetError:
            got = b""
        if not got:
            raise Closed()
        self.received += got
        return True

    def line(self, wait=True):
        while b"\n" not in self.received:
            if not self.fill(wait):
                return None
        line, _, self.received = self.received.partition(b"\n")
        return line.decode(errors="replace").strip("\r")


class Qtest:
    """QEMU's protocol (docs/devel/testing/qtest): a line a request, ports and memory, interrupts told as they happen."""

    ports = True

    def __init__(self, connection):
        self.lines, self.irqs = Lines(connection), []

    def command(self, *words):
        """The words after OK."""
        self.lines.send(" ".join(str(word) for word in words) + "\n")
        while True:
            line = self.lines.line()
            if not self.told(line):
                break
        answer, *rest = line.split(" ")
        if answer != "OK":
            raise Failed(line)
        return rest

    def told(self, line):
        match = re.fullmatch(r"IRQ (raise|lower) (\d+)", line)
        if match:
            self.irqs.append((match[1], int(match[2])))
        return bool(match)

    def listen(self):
        """Interrupts that were told since."""
        while self.told(self.lines.line(wait=False) or ""):
            pass
        told, self.irqs = self.irqs, []
        return told

    def wait_irq(self, direction, number):
        def seen():
            while self.told(self.lines.line(wait=False) or ""):
                pass
            return (direction, number) in self.irqs

        wait_for(seen, f"IRQ {direction} {number}")

    def number(self, *words):
        return int(self.command(*words)[0], 0)

    def inp(self, port, size):
        return self.number("in" + " bw l"[size], hex(port))

    def out(self, port, size, value):
        self.command("out" + " bw l"[size], hex(port), hex(value))

    def read_value(self, address, size):
        return self.number("read" + " bw l   q"[size], hex(address))

    def write_value(self, address, size, value):
        self.command("write" + " bw l   q"[size], hex(address), hex(value))

    def read(self, address, size):
        return bytes.fromhex(self.command("read", hex(address), hex(size))[0][2:]) if size else b""

    def write(self, address, data):
        if data:
            self.command("write", hex(address), hex(len(data)), "0x" + data.hex())

    def memset(self, address, size, byte):
        self.command("memset", hex(address), hex(size), hex(byte))

    def clock_step(self, ns=None):
        return self.number("clock_step", *([] if ns is None else [ns]))

    def clock_set(self, ns):
        return self.number("clock_set", ns)

    def intercept(self):
        self.command("irq_intercept_in", "ioapic")

    # Names of a size each, which read well where registers are meant.
    def inb(self, port):
        return self.inp(port, 1)

    def inw(self, port):
        return self.inp(port, 2)

    def inl(self, port):
        return self.inp(port, 4)

    def outb(self, port, value):
        self.out(port, 1, value)

    def outw(self, port, value):
        self.out(port, 2, value)

    def outl(self, port, value):
        self.out(port, 4, value)

    def readl(self, address):
        return self.read_value(address, 4)

    def writel(self, address, value):
        self.write_value(address, 4, value)


class ModTest(Qtest):
    """The original's: a request a packet without a line's end, all numbers hexadecimal, interrupts asked for."""

    ports = False

    def command(self, *words):
        self.lines.send(" ".join(str(word) for word in words))
        line = self.lines.line()
        answer, *rest = line.split(" ")
        if answer != "OK":
            raise Failed(line)
        return rest

    def listen(self):
        return []

    def clock_step(self, ns=None):
        return int(self.command("clock_step", *([] if ns is None else [ns]))[0])

    def clock_set(self, ns):
        return int(self.command("clock_set", ns)[0])

    def memset(self, address, size, byte):
        self.command("memset", hex(address), hex(size), f"0x{byte:02x}")

    def query_msix(self, address, data):
        return self.command("query_msix", address, data) == ["TRUE"]

    def query_intx(self, number):
        return self.command("query_intx", number) == ["TRUE"]

    def eoi_intx(self, number):
        return self.command("eoi_intx", number) == ["TRUE"]
