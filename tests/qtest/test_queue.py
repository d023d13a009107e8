"""Virtio's split rings: how they go round, and what a bad driver gets (Virtio 1.2, 2.6 and 2.7)."""
import pathlib
import re
import struct

import pytest

from qtest import wait_for
from virtio import DRIVER_OK, EVENT_INDEX, INDIRECT, NEEDS_RESET, NEXT, NO_VECTOR, TABLE, WRITE, Device, recovers, works

RAM = 128 << 20


# --- rings

RINGS = {"plain": (), "event": (EVENT_INDEX,), "indirect": (INDIRECT,), "both": (EVENT_INDEX, INDIRECT)}


# A request has three buffers: a shorter ring holds it in a table only.
@pytest.mark.parametrize("size, kind", [(size, kind) for size in (1, 2, 8, 256) for kind in RINGS if size > 2 or INDIRECT in RINGS[kind]])
def test_a_ring_goes_round(disk, size, kind):
    features = RINGS[kind]
    disk.bring_up(size=size, features=features)
    queue = disk.queues[0]
    page = disk.machine.put(struct.pack("<IIQ", 0, 0, 7))
    buffers = [(page, 16, False), (page + 512, 512, True), (page + 1024, 1, True)]
    for _ in range(2 * size + 3 if size < 100 else 300):
        assert queue.call(buffers, indirect=INDIRECT in features) == 513
    assert queue.used_index == queue.added


def test_indices_wrap(rng):
    """2^16 requests and more, in batches."""
    rng.bring_up(size=256)
    queue, page = rng.queues[0], rng.machine.alloc()
    for i in range(256):
        queue.descriptor(i, page, 1, WRITE)
        rng.test.write_value(queue.avail + 4 + 2 * i, 2, i)
    done = 0
    while done < 0x1_0000 + 512:
        done += 256
        rng.test.write_value(queue.avail + 2, 2, done & 0xFFFF)
        queue.kick()
        wait_for(lambda: queue.used_index == done & 0xFFFF, "a round")
    assert [queue.used_entry(i) for i in (0, 255)] == [(0, 1), (255, 1)]


def test_many_at_once(disk):
    disk.bring_up()
    queue = disk.queues[0]
    pages = [disk.machine.put(struct.pack("<IIQ", 0, 0, i)) for i in range(64)]
    heads = {queue.add([(page, 16, False), (page + 512, 512, True), (page + 1024, 1, True)], publish=False): page for page in pages}
    queue.publish()
    queue.kick()
    assert {queue.take() for _ in pages} == {(head, 513) for head in heads}, "in any order, each once"
    for sector, page in enumerate(pages):
        assert disk.test.read(page + 512, 10).rstrip(b".") == f"sector {sector}".encode()


def test_no_interrupt_where_none_is_wanted(rng):
    rng.bring_up()
    queue = rng.queues[0]
    rng.test.write_value(queue.avail, 2, 1)
    assert works(rng)
    assert not queue.interrupt.came()
    rng.test.write_value(queue.avail, 2, 0)
    assert works(rng)
    queue.interrupted()


def test_no_interrupt_without_a_vector(rng):
    rng.bring_up()
    rng.common.queue_select = 0
    rng.common.queue_msix_vector = NO_VECTOR
    assert works(rng) and not rng.queues[0].interrupt.came()
    assert rng.isr() == 0 or rng.machine.is_qemu, "with MSI-X the ISR tells nothing"


def test_event_index_says_when_to_interrupt(disk):
    disk.bring_up(features=(EVENT_INDEX,))
    queue = disk.queues[0]
    used_event = queue.avail + 4 + 2 * queue.size
    disk.test.write_value(used_event, 2, 2)  # told once the third is done
    for number in range(5):
        assert works(disk)
        if number == 2:
            queue.interrupted()
        else:
            assert not queue.interrupt.came() or disk.machine.is_qemu and number == 0, number


def test_event_index_says_when_to_notify(disk):
    disk.bring_up(features=(EVENT_INDEX,))
    queue = disk.queues[0]
    available_event = queue.used + 4 + 8 * queue.size
    for number in range(1, 4):
        assert works(disk)
        wait_for(lambda: disk.test.read_value(available_event, 2) == number, "the device to ask for the next")


@pytest.mark.ours("QEMU looks at the length of its own limit, 1024")
def test_more_segments_than_the_device_says(disk):
    """A queue's length, of which seg_max is two fewer."""
    for more, taken in ((0, True), (1, False)):
        disk.bring_up(features=(INDIRECT,))
        limit, page = disk.queues[0].size, disk.machine.alloc()
        header, status = disk.machine.put(struct.pack("<IIQ", 0, 0, 3)), disk.machine.put(b"\xff")
        data = [(page, 512, True)] * (limit - 2 + more)
        disk.queues[0].send([(header, 16, False), *data, (status, 1, True)], indirect=True)
        wait_for(lambda: (disk.test.read(status, 1) == b"\0") == taken and bool(disk.common.device_status & NEEDS_RESET) != taken, f"{len(data)} segments")


@pytest.mark.ours("QEMU's own memory is another")
def test_what_a_driver_has_under_way_is_bounded(start, image):
    """A guest of 128 MiB has 4096 requests of as many segments as there may be, by a table that is one, at a disk that does none of them."""
    machine = start("-drive", f"id=d,file={image()},if=none,format=raw,direct=false,throttling.iops-total=1", "-device",
                    "virtio-blk-pci,id=b,drive=d,bus=pcie.0,addr=5,num-queues=16")
    disk = Device(machine, 5)
    disk.bring_up(features=(INDIRECT,), queues=range(16))
    page, status, size = machine.alloc(), machine.put(b"\xff"), disk.queues[0].size
    header = machine.put(struct.pack("<IIQ", 0, 0, 3))
    parts = [(header, 16, False), (page, 512 - 2 * (size - 3), True), *[(page, 2, True)] * (size - 3), (status, 1, True)]
    table = machine.put(b"".join(struct.pack("<QIHH", address, length, (2 if write else 0) | (i + 1 < len(parts)), i + 1) for i, (address, length, write) in enumerate(parts)))

    def own():
        return int(re.search(r"RssAnon:\s+(\d+) kB", pathlib.Path(f"/proc/{machine.process.pid}/status").read_text())[1])

    before = own()
    for queue in disk.queues.values():
        machine.test.write(queue.desc, struct.pack("<QIHH", table, 16 * len(parts), 4, 0) * size)
        machine.test.write(queue.avail, struct.pack(f"<HH{size}H", 0, size, *range(size)))
        queue.kick()
    machine.qmp.ask("query-status")
    assert own() - before < 24 << 10, "KiB; the rings and the table among them"
    assert not disk.common.device_status & NEEDS_RESET


def test_buffers_of_many_pieces(disk):
    disk.bring_up(features=(INDIRECT,))
    header = disk.machine.put(struct.pack("<IIQ", 0, 0, 3))
    pages = [disk.machine.alloc() for _ in range(8)]
    # A sector in eight pieces, an empty one among them.
    pieces = [(page, 64, True) for page in pages]
    status = disk.machine.put(b"\xff")
    assert disk.queues[0].call([(header, 8, False), (header + 8, 8, False), *pieces, (status, 1, True)], indirect=True) == 513
    assert disk.test.read(status, 1) == b"\0"
    assert b"".join(disk.test.read(page, 64) for page in pages) == b"sector 3".ljust(512, b".")


# --- what a bad driver gets: the device needs a reset, and nothing worse

OUTSIDE = (RAM - 8, RAM, 0xB000_0000, 0xC000_0000, 0xFFFF_FFFF_FFFF_F000, 0xFFFF_FFFF_FFFF_FFFF, 1 << 63)


BROKEN = {
    "a buffer beyond memory": lambda queue, page: queue.chain([(RAM, 64, True)]),
    "a buffer over memory's end": lambda queue, page: queue.chain([(RAM - 8, 64, True)]),
    "an address that wraps": lambda queue, page: queue.chain([(0xFFFF_FFFF_FFFF_FFF0, 64, True)]),
    "a length of all": lambda queue, page: queue.chain([(page, 0xFFFF_FFFF, True)]),
    "a buffer in configuration space": lambda queue, page: queue.chain([(0xB000_0000, 64, True)]),
    "a head beyond the table": lambda queue, page: 256,
    "a head far beyond": lambda queue, page: 0xFFFF,
    "a next beyond the table": lambda queue, page: queue.descriptor(0, page, 16, NEXT, 256) or 0,
    "a loop of one": lambda queue, page: queue.descriptor(0, page, 16, NEXT, 0) or 0,
    "a loop of two": lambda queue, page: queue.descriptor(0, page, 16, NEXT, 1) or queue.descriptor(1, page, 16, NEXT, 0) or 0,
    "a buffer to read after one to write": lambda queue, page: queue.chain([(page, 16, False), (page, 16, True), (page, 16, False)]),
    "an indirect table outside": lambda queue, page: queue.descriptor(0, RAM, 32, TABLE) or 0,
    "an indirect table of half entries": lambda queue, page: queue.descriptor(0, page, 24, TABLE) or 0,
    "an indirect table of nothing": lambda queue, page: queue.descriptor(0, page, 0, TABLE) or 0,
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_chain(disk, what):
    disk.bring_up(features=(INDIRECT,))
    queue, page = disk.queues[0], disk.machine.alloc(65536)
    queue.offer(BROKEN[what](queue, page))
    queue.kick()
    disk.wait_needs_reset()
    wait_for(disk.changes.came, "a configuration interrupt")
    queue.kick()
    assert disk.needs_reset(), "until it is reset"
    disk.common.device_status = disk.status & ~NEEDS_RESET
    assert disk.needs_reset() or disk.machine.is_qemu, "the driver cannot clear it"
    assert recovers(disk, features=(INDIRECT,))


NESTED = {
    "an indirect table in an indirect table": (TABLE, 0),
    "a next beyond the indirect table": (NEXT, 5),
    "a loop in the indirect table": (NEXT, 0),
}


@pytest.mark.parametrize("what", NESTED)
def test_a_broken_indirect_table(disk, what):
    disk.bring_up(features=(INDIRECT,))
    queue, page, table = disk.queues[0], disk.machine.alloc(), disk.machine.alloc()
    flags, next = NESTED[what]
    queue.descriptor(0, page, 16, flags, next, table=table)
    queue.descriptor(1, page, 16, WRITE, 0, table=table)
    queue.descriptor(0, table, 32, TABLE)
    queue.offer(0)
    queue.kick()
    disk.wait_needs_reset()
    assert recovers(disk, features=(INDIRECT,))


@pytest.mark.ours("QEMU does not ask whether it was negotiated")
def test_indirect_descriptors_that_were_not_negotiated(disk):
    disk.bring_up()
    disk.queues[0].send([(disk.machine.put(bytes(16)), 16, False), (disk.machine.alloc(), 513, True)], indirect=True)
    disk.wait_needs_reset()
    assert recovers(disk)


def test_more_requests_than_the_queue_is_long(disk):
    disk.bring_up()
    queue = disk.queues[0]
    disk.test.write_value(queue.avail + 2, 2, 257)
    queue.kick()
    disk.wait_needs_reset()
    assert recovers(disk)


@pytest.mark.parametrize("area", ["desc", "avail", "used"])
@pytest.mark.parametrize("where", OUTSIDE, ids=hex)
@pytest.mark.ours("QEMU reads zeros there")
def test_a_ring_that_is_not_in_memory(disk, area, where):
    disk.start()
    queue = disk.queue(0)
    name = {"desc": "queue_desc", "avail": "queue_driver", "used": "queue_device"}[area]
    disk.reset()
    disk.start()
    common = disk.common
    common.queue_select = 0
    common.queue_desc, common.queue_driver, common.queue_device = queue.desc, queue.avail, queue.used
    setattr(common, name, where & ~0xF)
    common.queue_enable = 1
    disk.add_status(DRIVER_OK)
    assert disk.needs_reset()
    disk.test.write_value(disk.areas[2], 2, 0)
    assert recovers(disk)


@pytest.mark.parametrize("area, shift", [("queue_desc", 8), ("queue_driver", 1), ("queue_device", 2)])
@pytest.mark.ours("QEMU does not mind")
def test_a_ring_that_is_not_aligned(disk, area, shift):
    disk.start()
    queue = disk.queue(0)
    disk.reset()
    disk.start()
    common = disk.common
    common.queue_select = 0
    common.queue_desc, common.queue_driver, common.queue_device = queue.desc, queue.avail, queue.used
    setattr(common, area, getattr(common, area) + shift)
    common.queue_enable = 1
    disk.add_status(DRIVER_OK)
    assert disk.needs_reset()
    assert recovers(disk)


def test_rings_over_each_other_and_over_buffers(disk):
    """Whatever a driver lays over what, the device answers or asks for a reset."""
    for _ in range(5):
        disk.start()
        page = disk.machine.alloc(16384)
        common = disk.common
        common.queue_select = 0
        common.queue_desc, common.queue_driver, common.queue_device = page, page, page
        common.queue_enable = 1
        disk.add_status(DRIVER_OK)
        disk.test.write(page, struct.pack("<QIHH", page, 4096, WRITE, 0) * 64)
        disk.test.write_value(disk.areas[2], 2, 0)
        disk.test.read(page, 64)
    assert recovers(disk)
