"""The entropy device (Virtio 1.2, 5.4) and its limit, by the virtual clock."""
import os

import pytest

from qtest import wait_for
from virtio import Device

VIRTUAL = pytest.mark.ours("Debian's QEMU has no virtual clock for tests")
MS = 1_000_000


@pytest.fixture
def make(start):
    def begin(limit="", source="/dev/urandom", **how):
        machine = start("-object", f"rng-random,id=r,filename={source}", "-device", f"virtio-rng-pci,rng=r,id=rng0,bus=pcie.0,addr=4{limit}", **how)
        return Device(machine, 4).bring_up()

    return begin


def ask(rng, size):
    page = rng.machine.alloc(size)
    return rng.test.read(page, rng.queues[0].call([(page, size, True)]))


def offer(rng, size, count=1):
    for _ in range(count):
        rng.queues[0].send([(rng.machine.alloc(size), size, True)])


def settle(rng, count):
    wait_for(lambda: rng.queues[0].used_index >= count, f"{count} answers")
    for _ in range(30):
        rng.test.read(0, 8)
    assert rng.queues[0].used_index == count


def test_identity(make):
    rng = make()
    assert rng.id == (0x1AF4, 0x1044) and rng.common.num_queues == 1
    if not rng.machine.is_qemu:
        assert rng.offered() == 1 << 32 and rng.read(0x0A, 2) == 0x00FF and rng.config(0, 4) == 0


def test_bytes_differ(make):
    rng = make()
    answers = [ask(rng, 64) for _ in range(4)]
    assert len(set(answers)) == 4 and all(len(one) == 64 for one in answers)


def test_a_request_of_several_buffers(make):
    rng = make()
    pages = [rng.machine.alloc() for _ in range(3)]
    assert rng.queues[0].call([(page, 10, True) for page in pages]) == 30
    assert all(rng.test.read(page, 10) != bytes(10) and rng.test.read(page + 10, 10) == bytes(10) for page in pages)


@pytest.mark.ours("QEMU gives all of it")
def test_a_request_of_any_size_costs_a_bounded_amount(make):
    rng = make()
    page = rng.machine.alloc(1 << 20)
    assert rng.queues[0].call([(page, 1 << 20, True)]) == 65536


@pytest.mark.ours("QEMU leaves it there")
def test_a_request_with_no_room(make):
    rng = make()
    rng.queues[0].send([(rng.machine.alloc(), 16, False)])
    rng.test.read(0, 8)
    rng.bring_up()
    assert len(ask(rng, 16)) == 16


@VIRTUAL
def test_so_many_bytes_a_period(make):
    rng = make(",max-bytes=64,period=1000")
    offer(rng, 16, 10)
    settle(rng, 4)
    rng.test.clock_step(999 * MS)
    settle(rng, 4)
    rng.test.clock_step(MS)
    settle(rng, 8)
    rng.test.clock_step(1000 * MS)
    settle(rng, 10)


@VIRTUAL
def test_periods_do_not_pile_up(make):
    rng = make(",max-bytes=64,period=1000")
    rng.test.clock_step(3_600_000 * MS)
    offer(rng, 16, 10)
    settle(rng, 4)


@VIRTUAL
def test_what_was_overdrawn_is_paid(make):
    """A request is served whole; the periods after it are those it took."""
    rng = make(",max-bytes=10,period=100")
    offer(rng, 35)
    settle(rng, 1)
    offer(rng, 1)
    settle(rng, 1)
    rng.test.clock_step(299 * MS)
    settle(rng, 1)
    rng.test.clock_step(MS)
    settle(rng, 2)


@VIRTUAL
def test_a_reset_is_no_way_around_the_limit(make):
    rng = make(",max-bytes=16,period=1000")
    offer(rng, 16)
    settle(rng, 1)
    rng.bring_up()
    offer(rng, 16)
    settle(rng, 0)
    rng.test.clock_step(1000 * MS)
    settle(rng, 1)


@VIRTUAL
def test_a_source_that_runs_dry(make, tmp_path):
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    keep = os.open(fifo, os.O_RDWR)
    rng = make(source=fifo)
    offer(rng, 8, 2)
    settle(rng, 0)
    os.write(keep, b"12345678")
    settle(rng, 1)
    os.write(keep, b"9")
    settle(rng, 2)
    os.close(keep)


@pytest.mark.ours("QEMU reads on")
def test_a_source_at_its_end(make, tmp_path):
    (tmp_path / "file").write_bytes(b"twelve bytes")
    rng = make(source=tmp_path / "file")
    assert ask(rng, 12) == b"twelve bytes"
    offer(rng, 1)
    settle(rng, 1)
