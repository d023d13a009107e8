"""PCI as a guest's firmware and kernel see it: configuration space, base addresses, capabilities, MSI-X."""
import itertools

ECAM = 0xB000_0000
COMMAND, STATUS, HEADER, BAR0, CAPABILITIES, INTERRUPT_PIN = 0x04, 0x06, 0x0E, 0x10, 0x34, 0x3D
IO, MEMORY, MASTER, INTX_OFF = 1, 2, 4, 1 << 10
MSIX, EXPRESS, VENDOR = 0x11, 0x10, 0x09


class Config:
    """The configuration space of one function: by memory, or by the two ports."""

    def __init__(self, test, bus, slot, function=0, ports=False):
        self.test, self.bus, self.slot, self.function, self.ports = test, bus, slot, function, ports

    def read(self, offset, size):
        if not self.ports:
            return self.test.read_value(ECAM + (self.bus << 20 | self.slot << 15 | self.function << 12 | offset), size)
        self.test.out(0xCF8, 4, 1 << 31 | self.bus << 16 | self.slot << 11 | self.function << 8 | offset & ~3)
        return self.test.inp(0xCFC + offset % 4, size)

    def write(self, offset, size, value):
        if not self.ports:
            return self.test.write_value(ECAM + (self.bus << 20 | self.slot << 15 | self.function << 12 | offset), size, value)
        self.test.out(0xCF8, 4, 1 << 31 | self.bus << 16 | self.slot << 11 | self.function << 8 | offset & ~3)
        self.test.out(0xCFC + offset % 4, size, value)

    def set_bits(self, offset, size, bits):
        self.write(offset, size, self.read(offset, size) | bits)

    def clear_bits(self, offset, size, bits):
        self.write(offset, size, self.read(offset, size) & ~bits)

    @property
    def id(self):
        return self.read(0, 2), self.read(2, 2)


class Addresses:
    """Gives base addresses out of the machine's window, each aligned to its size."""

    def __init__(self, first=0xC000_0000):
        self.next = first

    def take(self, size):
        self.next = (self.next + size - 1) // size * size
        self.next += size
        return self.next - size


class Function(Config):
    def capabilities(self):
        """[(id, offset)] in the order of the chain."""
        found, at = [], self.read(CAPABILITIES, 1)
        while at:
            assert at % 4 == 0 and at >= 0x40 and len(found) < 48, f"no chain of capabilities: {found}"
            found.append((self.read(at, 1), at))
            at = self.read(at + 1, 1)
        return found

    def capability(self, id):
        return next((at for one, at in self.capabilities() if one == id), None)

    def bar_size(self, index):
        """0 where there is none; what stood there stands there again."""
        at = BAR0 + 4 * index
        before = self.read(at, 4)
        self.write(at, 4, 0xFFFF_FFFF)
        mask = self.read(at, 4)
        self.write(at, 4, before)
        mask &= ~0x3 if mask & 1 else ~0xF
        return (~mask & 0xFFFF_FFFF) + 1 if mask else 0

    def map_bars(self, addresses):
        """Every memory BAR gets its place; {index: address}."""
        self.bars, skip = {}, False
        for index in range(6 if self.read(HEADER, 1) & 0x7F == 0 else 2):
            if skip:
                skip = False
                continue
            kind = self.read(BAR0 + 4 * index, 4)
            size = self.bar_size(index)
            skip = kind & 7 == 4
            if not size or kind & 1:
                continue
            self.bars[index] = addresses.take(max(size, 4096))
            self.write(BAR0 + 4 * index, 4, self.bars[index])
        return self.bars

    def enable(self, bits=IO | MEMORY | MASTER):
        self.set_bits(COMMAND, 2, bits)


class Msix:
    """The vectors of a function whose BARs are placed."""

    def __init__(self, function):
        self.function, self.test = function, function.test
        self.at = function.capability(MSIX)
        assert self.at is not None, "no MSI-X"
        table, pending = function.read(self.at + 4, 4), function.read(self.at + 8, 4)
        self.vectors = (function.read(self.at + 2, 2) & 0x7FF) + 1
        self.table = function.bars[table & 7] + (table & ~7)
        self.pending_bits = function.bars[pending & 7] + (pending & ~7)

    def control(self, enable=None, mask=None):
        value = self.function.read(self.at + 2, 2)
        for bit, wanted in ((1 << 15, enable), (1 << 14, mask)):
            if wanted is not None:
                value = value | bit if wanted else value & ~bit
        self.function.write(self.at + 2, 2, value)

    def point(self, vector, address, data, masked=False):
        entry = self.table + 16 * vector
        for offset, value in ((0, address & 0xFFFF_FFFF), (4, address >> 32), (8, data), (12, int(masked))):
            self.test.write_value(entry + offset, 4, value)

    def mask(self, vector, masked=True):
        self.test.write_value(self.table + 16 * vector + 12, 4, int(masked))

    def pending(self, vector):
        return self.test.read_value(self.pending_bits + vector // 32 * 4, 4) >> vector % 32 & 1


class Mailbox:
    """A word of guest memory that a vector's messages are written to."""

    numbers = itertools.count(0x1234_0001)

    def __init__(self, machine, msix, vector):
        self.test, self.address, self.data = machine.test, machine.alloc(), next(self.numbers)
        msix.point(vector, self.address, self.data)

    def came(self):
        """Whether one came since the last look."""
        if self.test.read_value(self.address, 4) != self.data:
            return False
        self.test.write_value(self.address, 4, 0)
        return True


class RootPort(Function):
    """A root port as its driver sees it."""

    def __init__(self, test, slot, secondary=None):
        super().__init__(test, 0, slot)
        self.express = self.capability(EXPRESS)
        if secondary is not None:
            self.number(secondary)

    def number(self, secondary):
        """What a kernel does before it looks behind the port: bus numbers, windows, and both ways open."""
        self.write(0x18, 4, secondary << 16 | secondary << 8)
        self.write(0x20, 4, 0xEFF0_C000)  # memory C0000000 to EFFFFFFF
        self.write(0x24, 4, 0x0000_FFF0)  # prefetchable: none
        self.enable(IO | MEMORY | MASTER)
        self.secondary = secondary

    def behind(self, kind=None):
        return (kind or Function)(self.test, self.secondary, 0)

    @property
    def slot_capabilities(self):
        return self.read(self.express + 0x14, 4)

    @property
    def slot_control(self):
        return self.read(self.express + 0x18, 2)

    @slot_control.setter
    def slot_control(self, value):
        self.write(self.express + 0x18, 2, value)

    @property
    def slot_status(self):
        return self.read(self.express + 0x1A, 2)

    def clear_slot_status(self, bits=0x11F):
        self.write(self.express + 0x1A, 2, bits)

    @property
    def link_status(self):
        return self.read(self.express + 0x12, 2)

    def power_off(self):
        """As a driver that lets a device go: indicator off, power off."""
        control = self.slot_control & ~0x300
        self.slot_control = control | 0x300 | 0x400

    def power_on(self):
        self.slot_control = self.slot_control & ~0x700 | 0x100
