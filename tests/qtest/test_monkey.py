"""A guest that does anything anywhere: whatever it writes, the machine answers on and ends well. --steps N for longer runs, --seed N for another."""
import random
import struct

import pytest

from pci import ECAM
from virtio import Device
from vmm import Refused

pytestmark = pytest.mark.ours("QEMU is not what is tried here")

RAM = 128 << 20
VALUES = (0, 1, 2, 3, 7, 8, 15, 0x40, 0x7F, 0x80, 0xFF, 0x100, 0xFFF, 0x1000, 0x7FFF, 0x8000, 0xFFFF, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF)


class Monkey:
    def __init__(self, machine, devices, seed):
        self.machine, self.test, self.devices, self.random = machine, machine.test, devices, random.Random(seed)
        self.pages = [machine.alloc() for _ in range(8)]

    def value(self, size):
        kind = self.random.random()
        value = self.random.choice(VALUES) if kind < 0.5 else self.random.choice(self.pages) if kind < 0.7 else self.random.getrandbits(64)
        return value & (1 << 8 * size) - 1

    def width(self):
        return self.random.choice((1, 2, 2, 4, 4, 8))

    def address(self):
        return self.random.choice((self.random.choice(self.pages) + 16 * self.random.randrange(256), RAM - self.random.randrange(64),
                                   self.random.getrandbits(32), self.random.getrandbits(64)))

    # --- what it does

    def registers(self):
        device = self.random.choice(self.devices)
        base = self.random.choice([*device.areas.values(), *device.bars.values()])
        size, offset = self.width(), self.random.choice((self.random.randrange(0x40), self.random.randrange(0x1000)))
        if self.random.random() < 0.3:
            self.test.read_value(base + offset, size)
        else:
            self.test.write_value(base + offset, size, self.value(size))

    def configuration(self):
        place = self.random.choice((1, 2, 4, 5, 6)) << 15 | self.random.choice((0, 0, 2, 3)) << 20
        size = self.random.choice((1, 2, 4))
        offset = self.random.choice((self.random.randrange(0x100), self.random.randrange(0x1000)))
        if offset in range(0x10, 0x28) and self.random.random() < 0.9:
            return  # mostly the BARs stay where registers() finds them
        self.test.write_value(ECAM + (place | offset), size, self.value(size))

    def ports(self):
        port = self.random.choice((0x3F8 + self.random.randrange(8), 0x70, 0x71, 0x600, 0x602, 0x608, 0xCF8, 0xCFC + self.random.randrange(4), 0x505))
        size = self.random.choice((1, 2, 4))
        if port <= 0x604 < port + size or port <= 0x605 < port + size:
            return  # it would turn itself off
        self.test.out(port, size, self.value(size) & (~4 if port == 0x505 else -1))  # nor tell that it has shut down

    def bring_up(self):
        device = self.random.choice(self.devices)
        device.write(4, 2, 7)
        for index, base in device.bars.items():
            device.write(0x10 + 4 * index, 4, base)
        try:
            offered = device.offered()
            device.start([bit for bit in (0, 1, 9, 13, 14, 28, 29) if offered >> bit & 1 and self.random.random() < 0.7], msix=self.random.random() < 0.8)
            for index in range(min(device.common.num_queues, 6)):
                if self.random.random() < 0.9:
                    device.queue(index)
            device.go()
        except AssertionError:
            pass  # something else stands in its place now

    def requests(self):
        device = self.random.choice(self.devices)
        if not device.queues:
            return
        queue = self.random.choice(list(device.queues.values()))
        for _ in range(self.random.randrange(1, 4)):
            at = self.random.randrange(queue.size)
            length = self.random.choice((0, 1, 8, 16, 20, 512, 513, 4096, 65536, self.value(4)))
            queue.descriptor(at, self.address(), length, self.random.choice((0, 1, 2, 3, 4, 5, 6, 7)), self.random.choice((at + 1, self.value(2))))
            if self.random.random() < 0.6:  # a header that says something
                page = self.random.choice(self.pages)
                self.test.write(page, struct.pack("<IIQ", self.random.choice((0, 1, 4, 8, 11, 13, self.value(4))), 0, self.random.choice((0, 5, self.value(8)))))
                queue.descriptor(at, page, 16, 1, at + 1)
            queue.offer(at if self.random.random() < 0.9 else self.value(2))
        queue.kick()

    def rings(self):
        device = self.random.choice(self.devices)
        if device.queues:
            queue = self.random.choice(list(device.queues.values()))
            self.test.write_value(self.random.choice((queue.desc, queue.avail, queue.used)) + 2 * self.random.randrange(32), 2, self.value(2))
            queue.kick()

    def machine_wide(self):
        kind = self.random.randrange(8)
        if kind == 0:
            self.test.outb(0xCF9, 6)
        elif kind == 1:
            self.test.clock_step(self.random.choice((1, 1_000_000, 1_000_000_000)))
        elif kind == 2:
            self.ask("device_add", driver="virtio-rng-pci", rng="r2", id="hot", bus="port2", addr="0x0")
        elif kind == 3:
            self.ask("device_del", id="hot")
        elif kind == 4:
            self.ask(self.random.choice(("stop", "cont", "system_powerdown", "system_reset")))
        elif kind == 5:
            self.test.write_value(ECAM + (2 << 15) + 0x58, 2, self.random.choice((0x7C0, 0x0C0, 0x1C0, 0x300)))
        elif kind == 6:
            for name in ("query-blockstats", "query-chardev", "query-status"):
                self.ask(name)

    def ask(self, command, **arguments):
        try:
            self.machine.qmp.ask(command, **arguments)
        except Refused:
            pass
        self.machine.qmp.events.clear()

    def run(self, steps):
        acts = [self.registers] * 30 + [self.requests] * 20 + [self.rings] * 10 + [self.configuration] * 12 + [self.ports] * 8 + [self.bring_up] * 6 + [
            self.machine_wide] * 3
        for _ in range(steps):
            self.random.choice(acts)()


@pytest.mark.parametrize("number", range(4))
@pytest.mark.parametrize("thread", [False, True], ids=["main", "iothread"])
def test_anything_anywhere(start, image, pytestconfig, number, thread):
    machine = start("-object", "iothread,id=t", "-drive", f"id=d,file={image(size=1 << 16)},if=none,format=raw,direct=false,discard=unmap", "-device",
                    "pcie-root-port,id=port1,port=8,chassis=1,bus=pcie.0,addr=1", "-device", "pcie-root-port,id=port2,port=16,chassis=2,bus=pcie.0,addr=2",
                    "-device", "virtio-blk-pci,id=b,drive=d,bus=pcie.0,addr=4" + (",iothread=t" if thread else ""), "-device",
                    "virtio-serial-pci,id=s,bus=pcie.0,addr=5,max_ports=3", "-chardev", "pty,id=c", "-device", "virtconsole,id=p,chardev=c", "-object",
                    "rng-random,id=r1,filename=/dev/urandom", "-object", "rng-random,id=r2,filename=/dev/urandom", "-device",
                    "virtio-rng-pci,rng=r1,id=g,bus=pcie.0,addr=6,max-bytes=4096,period=100", "-serial", "pty")
    seed = f"{pytestconfig.getoption('--seed')} {number} {thread}"
    devices = [Device(machine, slot) for slot in (4, 5, 6)]
    Monkey(machine, devices, seed).run(pytestconfig.getoption("--steps"))
    assert machine.qmp.ask("query-status")
