"""A driver for virtio devices over PCI (Virtio 1.2): registers, status, split rings in guest memory."""
import struct

from pci import VENDOR, Addresses, Function, Mailbox, Msix
from qtest import wait_for

ACKNOWLEDGE, DRIVER, DRIVER_OK, FEATURES_OK, NEEDS_RESET, FAILED = 1, 2, 4, 8, 64, 128
INDIRECT, EVENT_INDEX, VERSION_1 = 28, 29, 32
NEXT, WRITE, TABLE = 1, 2, 4
NO_VECTOR = 0xFFFF

# struct virtio_pci_common_cfg: offset and size.
COMMON = {
    "device_feature_select": (0x00, 4), "device_feature": (0x04, 4), "driver_feature_select": (0x08, 4), "driver_feature": (0x0C, 4),
    "config_msix_vector": (0x10, 2), "num_queues": (0x12, 2), "device_status": (0x14, 1), "config_generation": (0x15, 1),
    "queue_select": (0x16, 2), "queue_size": (0x18, 2), "queue_msix_vector": (0x1A, 2), "queue_enable": (0x1C, 2),
    "queue_notify_off": (0x1E, 2), "queue_desc": (0x20, 8), "queue_driver": (0x28, 8), "queue_device": (0x30, 8),
}


class Common:
    """The common configuration, each register an attribute."""

    def __init__(self, test, base):
        self.__dict__.update(test=test, base=base)  # the rest are registers

    def __getattr__(self, name):
        offset, size = COMMON[name]
        if size < 8:
            return self.test.read_value(self.base + offset, size)
        return self.test.read_value(self.base + offset, 4) | self.test.read_value(self.base + offset + 4, 4) << 32

    def __setattr__(self, name, value):
        if name == "base":
            self.__dict__["base"] = value
            return
        offset, size = COMMON[name]
        if size < 8:
            return self.test.write_value(self.base + offset, size, value)
        self.test.write_value(self.base + offset, 4, value & 0xFFFF_FFFF)
        self.test.write_value(self.base + offset + 4, 4, value >> 32)


class Device(Function):
    """A virtio device. `place` puts its BARs; bring_up() is what a driver does before it uses queues."""

    def __init__(self, machine, slot, bus=0, addresses=None, function=0):
        super().__init__(machine.test, bus, slot, function)
        self.machine, self.queues, self.mailboxes = machine, {}, {}
        assert self.id[0] == 0x1AF4, f"no virtio device: {self.id}"
        self.map_bars(addresses or Addresses(0xC000_0000 + (bus << 24 | slot << 19 | function << 16)))
        self.enable()
        self.areas = {}
        for id, at in self.capabilities():
            if id == VENDOR:
                kind, bar = self.read(at + 3, 1), self.read(at + 4, 1)
                if kind != 5:
                    self.areas[kind] = self.bars[bar] + self.read(at + 8, 4)
                if kind == 2:
                    self.multiplier = self.read(at + 16, 4)
        self.common = Common(self.test, self.areas[1])

    # --- registers

    @property
    def status(self):
        return self.common.device_status

    def add_status(self, bits):
        self.common.device_status = self.status | bits
        return self.status

    def reset(self):
        self.common.device_status = 0
        wait_for(lambda: self.status == 0, "a device that is reset")
        self.queues, self.mailboxes = {}, {}

    def offered(self):
        features = 0
        for word in (0, 1):
            self.common.device_feature_select = word
            features |= self.common.device_feature << 32 * word
        return features

    def offers(self, bit):
        return bool(self.offered() >> bit & 1)

    def accept(self, features):
        for word in (0, 1):
            self.common.driver_feature_select = word
            self.common.driver_feature = features >> 32 * word & 0xFFFF_FFFF

    def config(self, offset, size):
        return self.test.read_value(self.areas[4] + offset, size)

    def isr(self):
        return self.test.read_value(self.areas[3], 1)

    # --- a driver's start

    def start(self, features=(), msix=True):
        """Up to FEATURES_OK. `features`: bits besides VERSION_1."""
        self.reset()
        self.add_status(ACKNOWLEDGE)
        self.add_status(DRIVER)
        self.features = sum(1 << bit for bit in {*features, VERSION_1})
        missing = self.features & ~self.offered()
        assert not missing, f"not offered: {missing:#x}"
        self.accept(self.features)
        assert self.add_status(FEATURES_OK) & FEATURES_OK
        self.msix = Msix(self) if msix else None
        if msix:
            self.changes = Mailbox(self.machine, self.msix, 0)
            self.msix.control(enable=True, mask=False)
            self.common.config_msix_vector = 0
        return self

    def queue(self, index, size=None, vector=None):
        """Sets one up."""
        self.queues[index] = Queue(self, index, size, vector)
        return self.queues[index]

    def go(self):
        assert self.add_status(DRIVER_OK) & DRIVER_OK
        return self

    def bring_up(self, queues=(0,), features=(), msix=True, size=None):
        self.start(features, msix)
        for index in queues:
            self.queue(index, size)
        return self.go()

    def needs_reset(self):
        return bool(self.status & NEEDS_RESET)

    def wait_needs_reset(self):
        wait_for(self.needs_reset, "DEVICE_NEEDS_RESET")


class Queue:
    """A split ring (2.7) whose parts are pages of their own."""

    def __init__(self, device, index, size=None, vector=None):
        self.device, self.test, self.machine, self.index = device, device.test, device.machine, index
        common = device.common
        common.queue_select = index
        if size:
            common.queue_size = size
        self.size = common.queue_size
        assert self.size, f"there is no queue {index}"
        self.desc = self.machine.alloc(16 * self.size)
        self.avail = self.machine.alloc(6 + 2 * self.size)
        self.used = self.machine.alloc(6 + 8 * self.size)
        for address, length in ((self.desc, 16 * self.size), (self.avail, 6 + 2 * self.size), (self.used, 6 + 8 * self.size)):
            self.test.memset(address, length, 0)
        common.queue_desc, common.queue_driver, common.queue_device = self.desc, self.avail, self.used
        if device.msix:
            vector = index % (device.msix.vectors - 1) + 1 if vector is None else vector
            if vector not in device.mailboxes:
                device.mailboxes[vector] = Mailbox(self.machine, device.msix, vector)
            self.interrupt = device.mailboxes[vector]
            common.queue_msix_vector = vector
            assert common.queue_msix_vector == vector
        self.notify_at = device.areas[2] + common.queue_notify_off * device.multiplier
        common.queue_enable = 1
        self.free, self.added, self.seen, self.lengths = 0, 0, 0, {}
        self.event_index = bool(device.features >> EVENT_INDEX & 1)

    # --- what a driver writes

    def descriptor(self, at, address, length, flags=0, next=0, table=None):
        self.test.write((table or self.desc) + 16 * at, struct.pack("<QIHH", address, length, flags, next))

    def chain(self, buffers, indirect=False):
        """Descriptors for [(address, length, writable)]; the head's number."""
        count = 1 if indirect else len(buffers)
        if self.free + count > self.size:
            self.free = 0
        head = self.free
        self.free += count
        rows = b""
        for i, (address, length, writable) in enumerate(buffers):
            last = i == len(buffers) - 1
            rows += struct.pack("<QIHH", address, length, (WRITE if writable else 0) | (0 if last else NEXT),
                                0 if last else i + 1 if indirect else head + i + 1)
        if indirect:
            self.descriptor(head, self.machine.put(rows), len(rows), TABLE)
        else:
            self.test.write(self.desc + 16 * head, rows)
        return head

    def offer(self, head, publish=True):
        self.test.write_value(self.avail + 4 + 2 * (self.added % self.size), 2, head)
        self.added = self.added + 1 & 0xFFFF
        if publish:
            self.publish()

    def publish(self):
        self.test.write_value(self.avail + 2, 2, self.added)

    def add(self, buffers, indirect=False, publish=True):
        head = self.chain(buffers, indirect)
        self.offer(head, publish)
        return head

    def kick(self):
        self.test.write_value(self.notify_at, 2, self.index)

    def send(self, buffers, indirect=False):
        head = self.add(buffers, indirect)
        self.kick()
        return head

    # --- what the device writes

    @property
    def used_index(self):
        return self.test.read_value(self.used + 2, 2)

    def used_entry(self, at):
        id, length = struct.unpack("<II", self.test.read(self.used + 4 + 8 * (at % self.size), 8))
        return id, length

    def any_used(self):
        return self.used_index != self.seen

    def take(self):
        """(head, bytes written) of the next one that is done."""
        wait_for(self.any_used, f"an answer in queue {self.index}")
        entry = self.used_entry(self.seen)
        self.seen = self.seen + 1 & 0xFFFF
        return entry

    def call(self, buffers, indirect=False):
        """One request, and how many bytes came back."""
        head = self.send(buffers, indirect)
        id, length = self.take()
        assert id == head
        return length

    def interrupted(self):
        wait_for(self.interrupt.came, f"an interrupt of queue {self.index}")


RNG = ("-object", "rng-random,id=r,filename=/dev/urandom", "-device", "virtio-rng-pci,rng=r,id=rng0,bus=pcie.0,addr=4")


def works(device, queue=None):
    """That a device answers its driver."""
    queue = queue or device.queues[0]
    page = device.machine.alloc()
    if device.id[1] == 0x1044:
        return queue.call([(page, 16, True)]) == 16
    queue.test.write(page, struct.pack("<IIQ", 0, 0, 7))
    queue.call([(page, 16, False), (page + 512, 512, True), (page + 1024, 1, True)])
    return device.test.read(page + 1024, 1) == b"\0" and device.test.read(page + 512, 8) == b"sector 7"


def recovers(device, features=()):
    """That a reset makes a broken device good again."""
    device.bring_up(features=features)
    return works(device)
