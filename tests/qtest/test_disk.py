"""The block device (Virtio 1.2, 5.2): requests, refusals, queues, threads, limits."""
import hashlib
import re
import struct

import pytest

from qtest import wait_for
from virtio import EVENT_INDEX, INDIRECT, Device

SECTOR = 512
IN, OUT, FLUSH, GET_ID, DISCARD, WRITE_ZEROES = 0, 1, 4, 8, 11, 13
OK, IOERR, UNSUPPORTED = 0, 1, 2
SEG_MAX, READ_ONLY, FLUSHES, MULTI_QUEUE, DISCARDS, ZEROES = 2, 5, 9, 12, 13, 14
AIO = pytest.mark.parametrize("aio", ["io_uring", "off"])


class Disk(Device):
    def request(self, kind, sector=0, data=b"", read=0, queue=0, reserved=0, wait=True):
        """Status and what was read; without `wait` the pages of both."""
        machine = self.machine
        header = machine.put(struct.pack("<IIQ", kind, reserved, sector) + data)
        page = machine.alloc(read + 1)
        self.test.memset(page, read + 1, 0xEE)
        buffers = [(header, 16, False)]
        if data:
            buffers.append((header + 16, len(data), False))
        if read:
            buffers.append((page, read, True))
        buffers.append((page + read, 1, True))
        ring = self.queues[queue]
        if not wait:
            ring.send(buffers)
            return page, read
        written = ring.call(buffers, indirect=bool(ring.device.features >> INDIRECT & 1))
        status = self.test.read(page + read, 1)[0]
        assert written == (read + 1 if status == OK else written)
        return status, self.test.read(page, read)

    def read_sectors(self, sector, count=1, **how):
        return self.request(IN, sector, read=count * SECTOR, **how)

    def write_sectors(self, sector, data, **how):
        return self.request(OUT, sector, data, **how)[0]

    def range(self, kind, sector, sectors, flags=0, more=b""):
        return self.request(kind, sector=0, data=struct.pack("<QII", sector, sectors, flags) + more)[0]


def words(path, drive="", device="", direct="false"):
    return ("-drive", f"id=d,file={path},if=none,format=raw,direct={direct}{drive}", "-device",
            f"virtio-blk-pci,id=b,drive=d,bus=pcie.0,addr=5{device}")


@pytest.fixture
def make(start, image):
    def begin(path=None, drive="", device="", features=(), direct="false", extra=(), queues=(0,), **how):
        return Disk(start(*extra, *words(path or image(), drive, device, direct), **how), 5).bring_up(queues=queues, features=features)

    return begin


# --- what it says of itself

def test_identity(make):
    disk = make()
    assert disk.id == (0x1AF4, 0x1042) and disk.read(0x0A, 2) == 0x0100 and disk.read(0x2E, 2) in (0x0042, 0x1100)
    offered = disk.offered()
    for bit in (SEG_MAX, FLUSHES, INDIRECT, EVENT_INDEX, 32):
        assert offered >> bit & 1, bit
    for bit in (READ_ONLY, MULTI_QUEUE):
        assert not offered >> bit & 1, bit


@pytest.mark.ours("QEMU offers more")
@pytest.mark.parametrize("how, bits", [({}, [2, 9, 28, 29, 32]), ({"drive": ",discard=unmap"}, [2, 9, 13, 14, 28, 29, 32]),
                                       ({"drive": ",readonly=on"}, [2, 5, 9, 28, 29, 32]), ({"device": ",num-queues=4"}, [2, 9, 12, 28, 29, 32]),
                                       ({"drive": ",detect-zeroes=on"}, [2, 9, 14, 28, 29, 32])])
def test_features_are_the_originals(make, how, bits):
    offered = make(**how).offered()
    assert [bit for bit in range(64) if offered >> bit & 1] == bits


def test_configuration(make):
    disk = make()
    assert disk.config(0, 8) == 2048
    assert disk.config(20, 4) == SECTOR
    assert disk.config(12, 4) == 254, "segments: a queue less a header and a status"
    assert [disk.config(i, 1) for i in range(8)] == list((2048).to_bytes(8, "little"))


def test_configuration_is_read_only(make):
    disk = make()
    for offset in range(0, 64, 4):
        if disk.machine.is_qemu and offset == 32:
            continue  # the write cache is switched there
        disk.test.write_value(disk.areas[4] + offset, 4, 0xFFFF_FFFF)
    assert disk.config(0, 8) == 2048 and disk.config(20, 4) == SECTOR
    assert disk.read_sectors(1)[0] == OK


@pytest.mark.ours("QEMU answers ones")
def test_configuration_ends(make):
    disk = make()
    for offset in (60, 64, 0x100, 0xFF8):
        assert disk.config(offset, 4) == 0


@pytest.mark.parametrize("size, sectors", [(0, 0), (511, 0), (512, 1), (1000, 1), (1 << 33, 1 << 24)])
def test_capacity_is_whole_sectors(make, image, size, sectors):
    disk = make(image(size=size, empty=True))
    if disk.machine.is_qemu and size % 512:
        return  # which rounds up
    assert disk.config(0, 8) == sectors
    if sectors == 0:
        assert disk.read_sectors(0)[0] == IOERR


# --- reading and writing

@AIO
def test_what_is_written_is_read_and_in_the_file(make, image, aio):
    path = image()
    disk = make(path, f",aio={aio}")
    assert disk.read_sectors(3) == (OK, b"sector 3".ljust(SECTOR, b"."))
    data = bytes(range(256)) * 4
    assert disk.write_sectors(5, data) == OK
    assert disk.read_sectors(5, 2) == (OK, data)
    assert disk.request(FLUSH)[0] == OK
    assert path.read_bytes()[5 * SECTOR:7 * SECTOR] == data
    assert path.read_bytes()[4 * SECTOR:][:8] == b"sector 4"
    disk.queues[0].interrupted()


@AIO
def test_random_access(make, image, aio):
    """A shadow of the disk, compared at the end."""
    path = image(size=1 << 16)
    disk, shadow = make(path, f",aio={aio}"), bytearray(path.read_bytes())
    seed = b"qtest"
    for step in range(150):
        seed = hashlib.sha256(seed).digest()
        sector, count = seed[0] % 120, seed[1] % 8 + 1
        data = (seed * (SECTOR // 32)) * count
        if seed[2] % 3:
            assert disk.write_sectors(sector, data) == OK
            shadow[sector * SECTOR:sector * SECTOR + len(data)] = data
        else:
            assert disk.read_sectors(sector, count) == (OK, bytes(shadow[sector * SECTOR:(sector + count) * SECTOR]))
    assert disk.request(FLUSH)[0] == OK
    assert path.read_bytes() == shadow


@pytest.mark.parametrize("split", [[16, 512], [8, 8, 512], [1] * 16 + [512], [16, 1, 511], [16, 100, 200, 212], [528], [10, 518]])
def test_a_header_and_its_data_in_any_pieces(make, image, split):
    path = image()
    disk = make(path, features=(INDIRECT,))
    whole = struct.pack("<IIQ", OUT, 0, 9) + b"pieces!!" * 64
    assert sum(split) == len(whole)
    at, buffers = disk.machine.put(whole), []
    for length in split:
        buffers.append((at, length, False))
        at += length
    status = disk.machine.put(b"\xff")
    if disk.machine.is_qemu and split[0] != 16 and len(split) < 2:
        pass  # it takes them too
    disk.queues[0].call([*buffers, (status, 1, True)], indirect=True)
    assert disk.test.read(status, 1) == b"\0"
    assert path.read_bytes()[9 * SECTOR:10 * SECTOR] == b"pieces!!" * 64


def test_the_status_is_the_last_byte(make):
    disk = make()
    header, page = disk.machine.put(struct.pack("<IIQ", IN, 0, 2)), disk.machine.alloc()
    disk.queues[0].call([(header, 16, False), (page, 256, True), (page + 256, 257, True)])
    assert disk.test.read(page, 8) == b"sector 2" and disk.test.read(page + 512, 1) == b"\0"


@pytest.mark.parametrize("offset", [1, 2, 100, 511, 4095])
@AIO
def test_memory_of_any_alignment(make, image, offset, aio):
    """Also past the page cache, which wants alignment of its own."""
    path = image()
    disk = make(path, f",aio={aio}", direct="true")
    machine = disk.machine
    header, page = machine.put(struct.pack("<IIQ", OUT, 0, 4)), machine.alloc(8192)
    machine.test.write(page + offset, b"x" * SECTOR)
    status = machine.put(b"\xff")
    disk.queues[0].call([(header, 16, False), (page + offset, 200, False), (page + offset + 200, 312, False), (status, 1, True)])
    assert machine.test.read(status, 1) == b"\0"
    assert disk.read_sectors(4) == (OK, b"x" * SECTOR)
    machine.test.write(header, struct.pack("<IIQ", IN, 0, 3))
    disk.queues[0].call([(header, 16, False), (page + offset, SECTOR, True), (status, 1, True)])
    assert machine.test.read(page + offset, 8) == b"sector 3"


def test_a_whole_mebibyte_at_once(make, image):
    path = image(size=4 << 20)
    disk = make(path)
    data = b"".join(struct.pack("<Q", i) for i in range(131072))
    assert disk.write_sectors(2048, data) == OK
    assert disk.read_sectors(2048, 2048) == (OK, data)


# --- what is refused

REFUSED = {
    "beyond the end": (IN, 2048, 512, b""),
    "over the end": (IN, 2047, 1024, b""),
    "at the end of numbers": (IN, (1 << 64) - 1, 512, b""),
    "a product that wraps": (IN, 1 << 55, 512, b""),
    "half a sector": (IN, 0, 256, b""),
    "a sector and a byte": (IN, 0, 513, b""),
    "a write beyond the end": (OUT, 2048, 0, bytes(512)),
    "a write over the end": (OUT, 2047, 0, bytes(1024)),
    "half a sector written": (OUT, 0, 0, bytes(100)),
}


@pytest.mark.parametrize("what", REFUSED)
def test_refusals(make, image, what):
    path = image()
    before = path.read_bytes()
    disk = make(path)
    kind, sector, read, data = REFUSED[what]
    assert disk.request(kind, sector, data, read)[0] == IOERR
    assert path.read_bytes() == before
    assert disk.read_sectors(1)[0] == OK, "and it goes on"


@pytest.mark.parametrize("kind", [2, 3, 5, 6, 7, 9, 10, 12, 14, 16, 0x8000_0000, 0xFFFF_FFFF])
def test_unknown_requests_are_unsupported(make, kind):
    disk = make()
    if disk.machine.is_qemu and (kind == 9 or kind & ~0x8000_0001 in (0, 2, 3, 12, 4)):
        return  # bits of a type that it still knows
    assert disk.request(kind, data=bytes(512))[0] == UNSUPPORTED
    assert disk.request(kind, read=512)[0] == UNSUPPORTED
    assert disk.read_sectors(1)[0] == OK


@pytest.mark.ours("QEMU asks for a reset, which the standard lets it")
def test_a_header_that_is_short(make):
    disk = make()
    page, status = disk.machine.put(bytes(16)), disk.machine.put(b"\xff")
    disk.queues[0].call([(page, 15, False), (status, 1, True)])
    assert disk.test.read(status, 1)[0] == IOERR


@pytest.mark.parametrize("buffers", [[(16, False)], [(16, False), (512, False)], [(0, False)]])
def test_a_request_with_no_place_for_a_status(make, buffers):
    disk = make()
    page = disk.machine.alloc()
    disk.queues[0].send([(page, length, writable) for length, writable in buffers])
    disk.wait_needs_reset()
    disk.bring_up()
    assert disk.read_sectors(1)[0] == OK


def test_a_disk_to_read_only(make, image):
    path = image()
    before = path.read_bytes()
    disk = make(path, ",readonly=on")
    assert disk.offers(READ_ONLY)
    assert disk.write_sectors(0, bytes(SECTOR)) == IOERR
    assert disk.read_sectors(0)[0] == OK and disk.request(FLUSH)[0] == OK
    assert path.read_bytes() == before


# --- the other requests

@pytest.mark.parametrize("serial", ["", "S1", "a-serial-of-20-chars"])
def test_the_serial(make, serial):
    disk = make(device=f",serial={serial}" if serial else "")
    status, text = disk.request(GET_ID, read=20)
    if disk.machine.is_qemu:
        text = text.partition(b"\0")[0].ljust(20, b"\0")
    assert status == OK and text == serial.encode().ljust(20, b"\0")


@pytest.mark.ours("QEMU says how much room there was")
def test_a_serial_with_little_room(make):
    disk = make(device=",serial=abcdefgh")
    header, page = disk.machine.put(struct.pack("<IIQ", GET_ID, 0, 0)), disk.machine.alloc()
    assert disk.queues[0].call([(header, 16, False), (page, 4, True)]) == 4
    assert disk.test.read(page, 5) == b"abc\0\0"


def allocated(path):
    return path.stat().st_blocks


@AIO
def test_discard_makes_holes(make, image, aio):
    path = image(size=1 << 20)
    path.write_bytes(b"\xaa" * (1 << 20))
    before = allocated(path)
    disk = make(path, f",discard=unmap,aio={aio}", features=(DISCARDS,))
    assert disk.config(36, 4) >= 2048 and disk.config(40, 4) >= 1 and disk.config(44, 4) >= 1
    assert disk.range(DISCARD, 1024, 512) == OK
    assert allocated(path) < before
    assert disk.read_sectors(1024, 512) == (OK, bytes(512 * SECTOR))
    assert disk.read_sectors(1023)[1] == b"\xaa" * SECTOR and disk.read_sectors(1536)[1] == b"\xaa" * SECTOR
    assert path.stat().st_size == 1 << 20


@pytest.mark.parametrize("unmap", [0, 1])
@AIO
def test_written_zeroes(make, image, unmap, aio):
    path = image(size=1 << 20)
    path.write_bytes(b"\xaa" * (1 << 20))
    before = allocated(path)
    disk = make(path, f",discard=unmap,aio={aio}", features=(ZEROES,))
    assert disk.config(48, 4) >= 2048 and disk.config(52, 4) >= 1
    assert disk.range(WRITE_ZEROES, 8, 1024, unmap) == OK
    assert path.read_bytes() == b"\xaa" * 8 * SECTOR + bytes(1024 * SECTOR) + b"\xaa" * (1016 * SECTOR)
    if unmap:
        assert allocated(path) < before


def test_ranges_are_checked(make, image):
    path = image()
    before = path.read_bytes()
    disk = make(path, ",discard=unmap", features=(DISCARDS, ZEROES))
    for kind in (DISCARD, WRITE_ZEROES):
        for sector, count in ((2048, 1), (2047, 2), ((1 << 64) - 1, 1), (1 << 55, 1), (0, 0xFFFF_FFFF)):
            assert disk.range(kind, sector, count) == IOERR, (kind, sector, count)
        assert disk.range(kind, 0, 1, flags=2) == UNSUPPORTED
        assert disk.range(kind, 0, 1, flags=0x8000_0000) == UNSUPPORTED
    assert disk.range(DISCARD, 0, 1, flags=1) == UNSUPPORTED, "a discard unmaps anyway"
    assert path.read_bytes() == before


@pytest.mark.ours("QEMU takes what is too short as a driver's fault")
def test_ranges_of_another_length(make, image):
    path = image()
    before = path.read_bytes()
    disk = make(path, ",discard=unmap", features=(DISCARDS, ZEROES))
    for kind in (DISCARD, WRITE_ZEROES):
        assert disk.request(kind, data=bytes(8))[0] == IOERR
        assert disk.request(kind)[0] == IOERR
        assert disk.range(kind, 0, 1, more=bytes(16)) == IOERR, "one segment, as the configuration says"
    assert path.read_bytes() == before


def test_what_was_not_negotiated_is_unsupported(make, image):
    disk = make(image())
    if not disk.machine.is_qemu:
        assert disk.range(DISCARD, 0, 8) == UNSUPPORTED and disk.range(WRITE_ZEROES, 0, 8) == UNSUPPORTED
    assert disk.read_sectors(0)[1].startswith(b"sector 0")


def test_zeroes_that_are_detected(make, image):
    path = image(size=1 << 20)
    path.write_bytes(b"\xaa" * (1 << 20))
    before = allocated(path)
    disk = make(path, ",discard=unmap,detect-zeroes=unmap")
    assert disk.write_sectors(0, bytes(256 * SECTOR)) == OK
    assert disk.request(FLUSH)[0] == OK
    assert allocated(path) < before and path.read_bytes()[:256 * SECTOR] == bytes(256 * SECTOR)
    assert disk.write_sectors(0, bytes(SECTOR - 1) + b"x") == OK
    assert disk.read_sectors(0)[1] == bytes(SECTOR - 1) + b"x"


# --- queues and threads

@AIO
def test_several_queues(make, image, aio):
    disk = make(image(), f",aio={aio}", device=",num-queues=4", cpus=4, queues=range(4))
    assert disk.offers(MULTI_QUEUE) and disk.config(34, 2) == 4 and disk.common.num_queues == 4
    for index in range(4):
        assert disk.read_sectors(index, queue=index)[1].startswith(f"sector {index}".encode())
        disk.queues[index].interrupted()
        assert not any(disk.queues[other].interrupt.came() for other in range(4) if other != index)


@pytest.mark.ours("QEMU's count follows the processors by itself")
def test_a_queue_for_each_processor(make, image):
    assert make(image("one"), cpus=3).common.num_queues == 3
    assert make(image("two"), device=",num-queues=2", cpus=3).common.num_queues == 2


@pytest.mark.parametrize("size", [4, 16, 1024])
def test_queue_sizes(make, size):
    disk = make(device=f",queue-size={size}")
    assert disk.queues[0].size == size
    if size > 4:
        assert disk.config(12, 4) == size - 2
    assert disk.read_sectors(1)[0] == OK


@AIO
def test_on_a_thread_of_its_own(make, image, aio):
    path = image()
    disk = make(path, f",aio={aio}", ",iothread=t", extra=("-object", "iothread,id=t"))
    for step in range(50):
        assert disk.write_sectors(step, bytes([step]) * SECTOR) == OK
        assert disk.read_sectors(step) == (OK, bytes([step]) * SECTOR)
        disk.queues[0].interrupted()
    for _ in range(10):
        for sector in range(20):
            disk.read_sectors(sector, wait=False)
        disk.bring_up()
    assert disk.read_sectors(1)[0] == OK
    queue = disk.queues[0]
    queue.offer(queue.chain([(0x9000_0000, 16, True)]))
    queue.kick()
    disk.wait_needs_reset()
    disk.bring_up()
    assert disk.read_sectors(1)[0] == OK
    assert [thread["id"] for thread in disk.machine.qmp.ask("query-iothreads")] == ["t"]


def test_two_disks_on_one_thread(start, image):
    machine = start("-object", "iothread,id=t", *words(image("a"), device=",iothread=t"), "-drive",
                    f"id=e,file={image('b')},if=none,format=raw,direct=false", "-device", "virtio-blk-pci,id=c,drive=e,bus=pcie.0,addr=6,iothread=t")
    disks = [Disk(machine, slot).bring_up() for slot in (5, 6)]
    for step in range(10):
        for disk in disks:
            disk.read_sectors(step, wait=False)
    for disk in disks:
        for _ in range(10):
            disk.queues[0].take()


# --- the file behind it

@pytest.mark.ours("QEMU's is as large as its requests")
def test_requests_of_one_buffer_take_little_memory(make, image):
    """Memory that direct access cannot take goes through some of the program's own, however long the request."""
    disk = make(image(size=8 << 20), direct="true", features=(INDIRECT,))
    resident = lambda: int(re.search(r"VmHWM:\s*(\d+)", open(f"/proc/{disk.machine.process.pid}/status").read())[1])  # noqa: E731
    data, ring = disk.machine.alloc((1 << 20) + 4096) + 1, disk.queues[0]
    header, status = disk.machine.put(struct.pack("<IIQ", OUT, 0, 0)), disk.machine.alloc()
    rows = ((header, 16, 1, 1), (data, 1 << 20, 1, 2), (status, 1, 2, 0))
    table = disk.machine.put(b"".join(struct.pack("<QIHH", *row) for row in rows))
    before = resident()
    for index in range(ring.size):
        ring.descriptor(index, table, 48, 4)
        ring.offer(index, publish=False)
    ring.publish()
    ring.kick()
    wait_for(lambda: ring.used_index == ring.size, "all of them")
    assert resident() - before < 64 << 10, "KiB for 256 requests of 1 MiB, one of which is the guest's own"


def test_a_file_that_shrinks_is_an_error(make, image):
    path = image()
    disk = make(path)
    with open(path, "r+b") as file:
        file.truncate(SECTOR)
    if not disk.machine.is_qemu:  # which fills up with zeroes
        assert disk.read_sectors(100)[0] == IOERR
    assert disk.read_sectors(0)[0] == OK


@pytest.mark.ours("QEMU has locks of its own, which an integration test holds ours to")
def test_one_writer_at_a_time(start, image, program, tmp_path):
    import subprocess
    path = image()
    start(*words(path))
    run = subprocess.run([program, "-machine", "q35", "-accel", "qtest", "-qtest", f"unix:{tmp_path}/no", *words(path)], capture_output=True, text=True,
                         timeout=20)
    assert run.returncode == 1 and "is being written by another process" in run.stderr and len(run.stderr.splitlines()) == 1


# --- statistics

def test_statistics_are_real(make, image):
    disk = make(image(), features=(FLUSHES,))
    for sector in range(5):
        disk.read_sectors(sector, 2)
    disk.write_sectors(0, bytes(3 * SECTOR))
    disk.request(FLUSH)
    disk.request(IN, 1 << 40, read=512)
    stats = disk.machine.qmp.ask("query-blockstats")[0]["stats"]
    assert (stats["rd_operations"], stats["rd_bytes"]) == (5, 5 * 2 * SECTOR)
    assert (stats["wr_operations"], stats["wr_bytes"]) == (1, 3 * SECTOR)
    assert stats["flush_operations"] == 1 and stats["wr_highest_offset"] == 3 * SECTOR
    if disk.machine.is_qemu:
        return
    disk.test.clock_step(1_000_000)
    assert disk.machine.qmp.ask("query-blockstats")[0]["stats"] == stats, "nothing by itself"


# --- a limit of operations, by the virtual clock

VIRTUAL = pytest.mark.ours("Debian's QEMU has no virtual clock for tests")


def done(disk):
    return disk.queues[0].used_index


def settle(disk, count):
    """So many are done, and no more however long one waits."""
    wait_for(lambda: done(disk) >= count, f"{count} answers")
    for _ in range(50):
        disk.test.read(0, 8)
    assert done(disk) == count


@VIRTUAL
@pytest.mark.parametrize("thread", [(), ("-object", "iothread,id=t")], ids=["main", "iothread"])
def test_tokens(make, image, thread):
    """100 a second: ten at once after a rest, then one each 10 ms, and not one more."""
    disk = make(image(), ",throttling.iops-total=100", ",iothread=t" if thread else "", extra=thread)
    for _ in range(40):
        disk.read_sectors(1, wait=False)
    settle(disk, 10)
    for step in range(10):
        disk.test.clock_step(9_999_999)
        settle(disk, 10 + step)
        disk.test.clock_step(1)
        settle(disk, 11 + step)
    disk.test.clock_step(50_000_000)
    settle(disk, 25)
    disk.test.clock_step(1_000_000_000)
    settle(disk, 40)


@VIRTUAL
@pytest.mark.parametrize("thread", [(), ("-object", "iothread,id=t")], ids=["main", "iothread"])
def test_the_limit_changes_while_it_runs(make, image, thread):
    disk = make(image(), "", ",iothread=t" if thread else "", extra=thread)
    qmp = disk.machine.qmp
    qmp.ask("block_set_io_throttle", id="b", iops=1)
    for _ in range(3):
        disk.read_sectors(1, wait=False)
    settle(disk, 1)
    qmp.ask("block_set_io_throttle", id="b", iops=10)
    settle(disk, 2)
    disk.test.clock_step(100_000_000)
    settle(disk, 3)
    qmp.ask("block_set_io_throttle", id="b", iops=1)
    for _ in range(20):
        disk.read_sectors(1, wait=False)
    settle(disk, 4)
    qmp.ask("block_set_io_throttle", id="b", iops=0)
    settle(disk, 23)


@VIRTUAL
def test_tokens_do_not_pile_up(make, image):
    disk = make(image(), ",throttling.iops-total=100")
    disk.test.clock_step(3_600_000_000_000)
    for _ in range(40):
        disk.read_sectors(1, wait=False)
    settle(disk, 10)


@VIRTUAL
def test_one_a_second(make, image):
    disk = make(image(), ",throttling.iops-total=1")
    for _ in range(3):
        disk.read_sectors(1, wait=False)
    settle(disk, 1)
    disk.test.clock_step(999_999_999)
    settle(disk, 1)
    disk.test.clock_step(1)
    settle(disk, 2)
    assert disk.test.clock_step() == 2_000_000_000, "the timer that is next"
    settle(disk, 3)


@VIRTUAL
def test_writes_count_and_flushes_do_not(make, image):
    disk = make(image(), ",throttling.iops-total=10,discard=unmap", features=(FLUSHES, DISCARDS))
    assert disk.write_sectors(0, bytes(SECTOR)) == OK
    for _ in range(5):
        assert disk.request(FLUSH)[0] == OK
    disk.read_sectors(0, wait=False)
    settle(disk, 6)
    disk.test.clock_step(100_000_000)
    settle(disk, 7)
    disk.request(DISCARD, data=struct.pack("<QII", 0, 8, 0), wait=False)
    settle(disk, 7)
    disk.test.clock_step(100_000_000)
    settle(disk, 8)


@VIRTUAL
def test_a_reset_is_not_held_up_by_the_limit(make, image):
    disk = make(image(), ",throttling.iops-total=1")
    for _ in range(50):
        disk.read_sectors(1, wait=False)
    settle(disk, 1)
    disk.bring_up()
    disk.test.clock_step(2_000_000_000)
    assert disk.read_sectors(1)[0] == OK


@VIRTUAL
def test_a_reset_is_no_way_past_the_limit(make, image):
    disk = make(image(), ",throttling.iops-total=1")
    for _ in range(10):
        for _ in range(50):
            disk.read_sectors(1, wait=False)
        disk.machine.qmp.ask("query-status")
        disk.bring_up()
    assert disk.machine.qmp.ask("query-blockstats")[0]["stats"]["rd_operations"] == 1


@VIRTUAL
@pytest.mark.parametrize("limit", [0, 1_000_000])
def test_limits_that_are_none(make, image, limit):
    disk = make(image(), f",throttling.iops-total={limit}")
    for _ in range(200):
        assert disk.read_sectors(1)[0] == OK
