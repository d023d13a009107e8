"""The two protocols themselves: QEMU's qtest, and the original's device tests to the letter."""
import struct

import pytest

from pci import BAR0, MSIX, Addresses, Config, RootPort
from qtest import Closed, Failed, ModTest, wait_for
from virtio import RNG, Device

VIRTUAL = pytest.mark.ours("Debian's QEMU has no virtual clock for tests")


# --- QEMU's

def test_values_and_bytes_are_one_memory(start):
    test = start().test
    test.write(0x1000, bytes(range(16)))
    assert test.read_value(0x1000, 8) == 0x0706050403020100
    assert [test.read_value(0x1000 + i, 1) for i in range(4)] == [0, 1, 2, 3]
    assert test.read_value(0x1001, 2) == 0x0201 and test.read_value(0x1002, 4) == 0x05040302
    test.write_value(0x1003, 4, 0xAABBCCDD)
    assert test.read(0x1000, 8) == b"\0\1\2\xdd\xcc\xbb\xaa\7"
    test.memset(0x1004, 3, 0x5A)
    assert test.read(0x1000, 8) == b"\0\1\2\xddZZZ\7"


def test_base64(start):
    test = start().test
    test.command("b64write", 0x2000, 5, "aGVsbG8=")
    assert test.read(0x2000, 5) == b"hello"
    assert test.command("b64read", 0x2000, 5) == ["aGVsbG8="]


def test_numbers_are_c_literals(start):
    test = start().test
    test.command("writel", 4096, 100)
    assert test.read_value(0x1000, 4) == 100


def test_endianness(start):
    assert start().test.command("endianness") == ["little"]


@pytest.mark.parametrize("memory", [128, 2048, 2049])
@pytest.mark.ours("QEMU's memory has holes for old graphics")
def test_memory_is_where_it_should_be(start, memory):
    test = start(memory=memory).test
    low = min(memory, 2048) << 20
    for address in (0, 0x9FC00, 0xA0000, 0xC0000, 0xFFFFF, 0x100000, low - 8):
        test.write_value(address, 8, 0x1122334455667788)
        assert test.read_value(address, 8) == 0x1122334455667788, hex(address)
    test.write_value(low, 8, 1)
    assert test.read_value(low, 8) == 0, "nobody's"
    high = (memory << 20) - low
    if high:
        end = (4 << 30) + high
        test.write_value(end - 8, 8, 0xABCD)
        assert test.read_value(end - 8, 8) == 0xABCD and test.read_value(end, 8) == 0
        test.write_value(4 << 30, 8, 7)
        assert test.read_value(0, 8) != 7, "not the same memory"


BAD = ["frob", "", "readl", "readl x", "readl 0x1000 3", "writel 0x1000", "read 0x1000 0", "read 0x1000 x", "read 0x1000 0xffffffffffffffff",
       "write 0x1000 4 0x00", "write 0x1000 2 0xzzzz", "write 0x1000 4294967296 0x00", "memset 0x1000 0xffffffffff 0", "b64write 0x1000 4 !!!!",
       "clock_step x", "clock_step 1 2", "clock_set", "inb", "inb 0x70 1", "outb 0x70", "query_msix 1 2", "readl 0x1ffffffffffffffff", "irq_intercept_in"]


@pytest.mark.parametrize("request_", BAD)
@pytest.mark.ours("QEMU asserts")
def test_bad_requests_are_refused_and_change_nothing(start, request_):
    test = start().test
    with pytest.raises(Failed):
        test.command(request_)
    assert test.command("endianness") == ["little"]


@pytest.mark.ours("QEMU asserts")
def test_a_flood_in_one_packet(start):
    test = start().test
    test.lines.send("readb 0\nfrob\nwriteb 0x1000 7\nreadb 0x1000\n")
    assert [test.lines.line().split()[0] for _ in range(3)] == ["OK", "FAIL", "OK"]
    assert test.lines.line() == "OK 0x0000000000000007"
    test.lines.send("read")
    test.lines.send("b 0x10")
    test.lines.send("00\n")
    assert test.lines.line() == "OK 0x0000000000000007"


@VIRTUAL
def test_time_stands_still_until_it_is_stepped(start):
    test = start().test
    assert test.clock_step() == 0, "no timer, no step"
    assert test.clock_step(1_000) == 1_000
    assert test.clock_set(500) == 1_000, "never back"
    assert test.clock_set(5_000) == 5_000
    assert test.clock_step() == 5_000


@pytest.mark.parametrize("protocol", [None, ModTest], ids=["qtest", "mod-test"])
@pytest.mark.ours("QEMU goes on without its test")
def test_a_test_that_hangs_up_ends_the_machine(start, protocol):
    machine = start(ends=False, **({"protocol": protocol} if protocol else {}))
    machine.test.lines.connection.close()
    assert machine.process.wait(20) == 0


# --- the original's

@pytest.fixture
def original(start):
    return lambda *words, **how: start(*words, protocol=ModTest, **how)


ORIGINAL = pytest.mark.ours("the original StratoVirt's own protocol")


@ORIGINAL
def test_replies_have_their_shape(original):
    lines = original().test.lines

    def say(text):
        lines.send(text)
        while b"\n" not in lines.received:
            lines.fill()
        answer, _, lines.received = lines.received.partition(b"\n")
        return answer + b"\n"

    assert say("writel 1000 1234") == b"OK\r\n"
    for command in ("readb", "readw", "readl", "readq"):
        assert say(f"{command} 1000") == b"OK 0x%016x\r\n" % (0x34 if command == "readb" else 0x1234), "numbers are hexadecimal, always 16 digits"
    assert say("readq 0x1000\r\n") == b"OK 0x0000000000001234\r\n", "blanks at both ends"
    assert say("  readq 1000 ") == b"OK 0x0000000000001234\r\n"
    assert say("writeq 1000 123") == b"OK\r\n"
    assert say("readq 1000") == b"OK 0x0000000000000123\r\n"
    assert say("write 2000 4 0x01020304") == b"OK\r\n"
    assert say("read 2000 4") == b"OK 0x01020304\r\n"
    assert say("memset 2000 6 0xabcd") == b"OK\r\n"
    assert say("read 2000 6") == b"OK 0xabcdabcdabcd\r\n"
    assert say("clock_step") == b"OK 0\r\n"
    assert say("clock_step 100") == b"OK 100\r\n"
    assert say("clock_step -5") == b"OK 100\r\n", "negative is nothing"
    assert say("clock_set 99") == b"OK 100\r\n"
    assert say("clock_set 1000") == b"OK 1000\r\n"
    assert say("query_msix 4096 1") == b"OK FALSE\r\n"
    assert say("query_intx 16") == b"OK FALSE\r\n"
    assert say("eoi_intx 16") == b"OK FALSE\r\n"
    assert say("frob 1 2") == b"Unsupported command: frob\r\n"
    assert say("inb 70") == b"Unsupported command: inb\r\n"
    assert say("readq b0000000") == b"OK 0x0000000000000000\r\n", "eight bytes of configuration space are none"
    assert say("readl b0000000") == b"OK 0x0000000029c08086\r\n"
    assert say("readl 90000000") == b"OK 0x0000000000000000\r\n", "nobody's is no error"
    assert say("writel 90000000 1") == b"OK\r\n"


@ORIGINAL
@pytest.mark.parametrize("request_", ["readb", "readb 0 0", "readb zz", "write 2000 4 0x01", "write 2000 1 0x0102", "memset 2000 4 0xabc", "clock_step x",
                                      "query_msix 1", "query_intx x"])
def test_where_the_original_dies_this_refuses(original, request_):
    test = original().test
    with pytest.raises(Failed):
        test.command(request_)
    assert test.read_value(0xB000_0000, 4) == 0x29C0_8086


@ORIGINAL
def test_interrupts_are_asked_for(original):
    machine = original(*RNG)
    rng = Device(machine, 4).bring_up()
    queue, page = rng.queues[0], machine.alloc()
    assert queue.call([(page, 8, True)]) == 8
    address, data = queue.interrupt.address, queue.interrupt.data
    assert not queue.interrupt.came(), "nothing is written to memory"
    wait_for(lambda: machine.test.query_msix(address, data), "the message")
    assert not machine.test.query_msix(address, data), "it is taken"
    queue.call([(page, 8, True)])
    queue.call([(page, 8, True)])
    wait_for(lambda: machine.test.query_msix(address, data), "the message")
    assert not machine.test.query_msix(address, data), "two are one"
    rng.msix.mask(1)
    queue.call([(page, 8, True)])
    wait_for(lambda: rng.msix.pending(1), "the pending bit")
    assert not machine.test.query_msix(address, data)
    rng.msix.mask(1, False)
    assert machine.test.query_msix(address, data)


@ORIGINAL
def test_levels_are_asked_for(original):
    machine = original(*RNG)
    rng = Device(machine, 4).bring_up(msix=False)
    rng.queues[0].call([(machine.alloc(), 8, True)])
    wait_for(lambda: machine.test.query_intx(16), "the level")
    assert machine.test.query_intx(16), "not consumed"
    assert machine.test.eoi_intx(16) and not machine.test.eoi_intx(16)


@ORIGINAL
def test_places_the_originals_tests_know(original):
    machine = original(*RNG, "-device", "pcie-root-port,port=0x0,chassis=1,bus=pcie.0,addr=0x1.0,id=pcie.1")
    port = RootPort(machine.test, 1)
    assert port.express == 0x40 and port.capability(MSIX) == 0x7C and port.bar_size(0) == 4096
    device = Config(machine.test, 0, 4)
    chain, at = [], device.read(0x34, 1)
    while at:
        chain.append((device.read(at, 1), at, device.read(at + 3, 1) if at != 0x98 else None))
        at = device.read(at + 1, 1)
    assert chain == [(0x11, 0x98, None), (9, 0x84, 5), (9, 0x70, 2), (9, 0x60, 4), (9, 0x50, 3), (9, 0x40, 1)]
    device.write(4, 2, 7)
    assert device.read(4, 2) == 7


@ORIGINAL
def test_a_disk_as_the_originals_tests_have_it(original, image):
    machine = original("-device", "virtio-blk-pci,id=drv0,drive=drive0,bus=pcie.0,addr=4.0", "-drive",
                       f"if=none,id=drive0,file={image()},format=raw,direct=false")
    disk = Device(machine, 4, addresses=Addresses()).bring_up()
    page = machine.put(struct.pack("<IIQ", 0, 0, 6))
    assert disk.queues[0].call([(page, 16, False), (page + 512, 512, True), (page + 1024, 1, True)]) == 513
    assert machine.test.read(page + 512, 8) == b"sector 6"


@ORIGINAL
def test_a_slot_on_a_root_port_is_plugged_and_unplugged(original):
    machine = original("-device", "pcie-root-port,port=0x0,chassis=1,bus=pcie.0,addr=0x1.0,id=pcie.1", *RNG[:2])
    port = RootPort(machine.test, 1, 1)
    machine.qmp.ask("device_add", driver="virtio-rng-pci", id="hot", rng="r", bus="pcie.1", addr="0x0.0x0")
    assert port.slot_status & 0x48
    port.power_on()
    assert Config(machine.test, 1, 0).id == (0x1AF4, 0x1044)
    machine.qmp.ask("device_del", id="hot")
    assert port.slot_status & 1
    port.power_off()
    machine.qmp.event("DEVICE_DELETED", device="hot")
    assert Config(machine.test, 1, 0).read(0, 2) == 0xFFFF and Config(machine.test, 1, 0).read(BAR0, 4) == 0xFFFF_FFFF


@ORIGINAL
def test_a_packet_that_is_too_long(original):
    machine = original()
    machine.test.lines.send("x" * 20000)
    try:
        machine.test.lines.line()
    except Closed:
        pass
    assert machine.qmp.ask("query-status")["running"]
