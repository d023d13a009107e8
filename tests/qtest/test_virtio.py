"""What all virtio devices have in common but their rings: registers, features, status, interrupts (Virtio 1.2, 2 and 4.1)."""
import struct

import pytest

from pci import BAR0, MASTER, MEMORY, MSIX, Addresses, Config, Msix
from qtest import wait_for
from virtio import (ACKNOWLEDGE, DRIVER, DRIVER_OK, EVENT_INDEX, FAILED, FEATURES_OK, INDIRECT, NO_VECTOR, RNG, VERSION_1, Device, recovers,
                    works)

RAM = 128 << 20


# --- finding it

def test_the_capabilities_lead_to_each_structure(rng):
    assert set(rng.areas) >= {1, 2, 3}
    assert len({at & ~0xFFF for at in rng.areas.values()}) == len(rng.areas), "each on a page of its own"
    assert rng.read(8, 1) >= 1 and rng.read(0x2C, 2) == 0x1AF4, "a modern device"


@pytest.mark.ours("the places are the original's, which its own device tests know")
def test_places_of_the_structures(rng):
    assert {1: 0, 3: 0x1000, 4: 0x2000, 2: 0x3000} == {kind: at - rng.bars[2] for kind, at in rng.areas.items()}
    assert rng.multiplier == 4 and rng.bar_size(1) == 4096 and rng.bar_size(2) == 16384
    assert [id for id, _ in rng.capabilities()] == [MSIX, 9, 9, 9, 9, 9]
    assert rng.read(rng.capability(MSIX) + 4, 4) == 1 and rng.read(rng.capability(MSIX) + 8, 4) == 32 | 1


def test_the_window_in_configuration_space(rng):
    at = next(at for id, at in rng.capabilities() if id == 9 and rng.read(at + 3, 1) == 5)
    bar = next(i for i, base in rng.bars.items() if base <= rng.areas[1] < base + 0x4000 and i != 1)
    offset = rng.areas[1] - rng.bars[bar]

    def window(offset, length):
        rng.write(at + 4, 1, bar)
        rng.write(at + 8, 4, offset)
        rng.write(at + 12, 4, length)

    window(offset + 0x12, 2)
    assert rng.read(at + 16, 2) == 1, "num_queues"
    window(offset + 0x14, 1)
    rng.write(at + 16, 1, ACKNOWLEDGE)
    assert rng.status == ACKNOWLEDGE
    for length in (0, 3, 5, 8, 0xFFFF_FFFF):
        window(offset + 0x14, length)
        rng.write(at + 16, 4, 0xFF)
        rng.read(at + 16, 4)
    assert rng.status == ACKNOWLEDGE, "no length of an access"
    rng.write(at + 4, 1, 5)
    rng.write(at + 8, 4, 0xFFFF_FFFC)
    rng.write(at + 12, 4, 4)
    rng.write(at + 16, 4, 0)
    rng.read(at + 16, 4)
    assert rng.status == ACKNOWLEDGE


# --- features

def test_features_are_offered_in_words(rng):
    common = rng.common
    common.device_feature_select = 1
    assert common.device_feature & 1, "VERSION_1"
    for beyond in (2, 3, 0xFFFF_FFFF):
        common.device_feature_select = beyond
        assert common.device_feature == 0 and common.device_feature_select == beyond
    common.device_feature_select = 0
    common.device_feature = 0xFFFF_FFFF
    assert common.device_feature == rng.offered() & 0xFFFF_FFFF, "read-only"


def test_accepted_features_read_back(disk):
    wanted = 1 << VERSION_1 | 1 << INDIRECT | 1 << EVENT_INDEX
    disk.accept(wanted)
    for word in (0, 1):
        disk.common.driver_feature_select = word
        assert disk.common.driver_feature == wanted >> 32 * word & 0xFFFF_FFFF
    disk.common.driver_feature_select = 7
    disk.common.driver_feature = 0xFFFF_FFFF
    disk.common.driver_feature_select = 1
    assert disk.common.driver_feature == 1


@pytest.mark.ours("QEMU falls back to the interface of old")
def test_without_version_1_features_are_refused(rng):
    rng.reset()
    rng.add_status(ACKNOWLEDGE | DRIVER)
    rng.accept(0)
    assert not rng.add_status(FEATURES_OK) & FEATURES_OK
    assert not rng.add_status(DRIVER_OK) & DRIVER_OK
    assert recovers(rng)


@pytest.mark.ours("QEMU takes away what it did not offer, silently")
def test_features_not_offered_are_refused(rng):
    rng.reset()
    rng.add_status(ACKNOWLEDGE | DRIVER)
    rng.accept(1 << VERSION_1 | 1 << 40)
    assert not rng.add_status(FEATURES_OK) & FEATURES_OK
    rng.accept(1 << VERSION_1)
    assert rng.add_status(FEATURES_OK) & FEATURES_OK, "and what is offered is taken then"


@pytest.mark.ours("QEMU shows what is written")
def test_features_are_settled_by_features_ok(disk):
    disk.start(features=())
    disk.common.driver_feature_select = 0
    disk.common.driver_feature = 1 << INDIRECT
    assert disk.common.driver_feature == 0


# --- status

def test_status_reads_back_and_zero_resets(rng):
    assert rng.status == 0
    for bits in (ACKNOWLEDGE, DRIVER):
        assert rng.add_status(bits) & bits
    rng.add_status(FAILED)
    assert rng.status == ACKNOWLEDGE | DRIVER | FAILED
    rng.reset()
    assert rng.status == 0


def test_driver_ok_without_features_ok(rng):
    rng.reset()
    rng.common.device_status = ACKNOWLEDGE | DRIVER | DRIVER_OK
    rng.test.write_value(rng.areas[2], 2, 0)
    rng.test.read(0, 8)
    assert recovers(rng)


def test_driver_ok_twice(rng):
    """A driver that takes DRIVER_OK away and sets it again has one device, as before."""
    rng.bring_up()
    for _ in range(3):
        rng.common.device_status = ACKNOWLEDGE | DRIVER | FEATURES_OK
        rng.common.device_status = ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK
    rng.reset()
    assert recovers(rng)


def test_driver_ok_taken_away_and_memory_reused(disk):
    disk.bring_up()
    disk.common.device_status = ACKNOWLEDGE | DRIVER | FEATURES_OK
    disk.queues[0].kick()
    disk.reset()
    assert recovers(disk)


def test_a_reset_forgets_all(rng):
    rng.bring_up()
    assert works(rng)
    common = rng.common
    rng.reset()
    assert common.config_msix_vector == NO_VECTOR
    common.queue_select = 0
    assert (common.queue_msix_vector, common.queue_enable, common.queue_desc, common.queue_driver, common.queue_device) == (NO_VECTOR, 0, 0, 0, 0)
    common.driver_feature_select = 1
    assert common.driver_feature == 0 or rng.machine.is_qemu
    assert recovers(rng)


def test_a_reset_at_any_moment(disk):
    for _ in range(20):
        disk.bring_up()
        queue = disk.queues[0]
        page = disk.machine.put(struct.pack("<IIQ", 0, 0, 0))
        for _ in range(20):
            queue.add([(page, 16, False), (page + 512, 512, True), (page + 1024, 1, True)], publish=False)
        queue.publish()
        queue.kick()
        disk.reset()
        disk.test.memset(page + 512, 1024, 0xEE)
        assert disk.test.read(page + 512, 513) == b"\xee" * 513, "nothing is written after a reset"
    assert recovers(disk)


def test_decoding_off_and_on(rng):
    rng.bring_up()
    rng.write(4, 2, MASTER)
    rng.enable()
    assert works(rng), "decoding off and on is no reset"


def test_no_master_touches_no_memory(disk):
    """As a kernel does that hands over to another one: from then on nothing comes into memory."""
    disk.bring_up()
    queue = disk.queues[0]
    page = disk.machine.put(struct.pack("<IIQ", 0, 0, 7))
    for _ in range(20):
        queue.add([(page, 16, False), (page + 512, 512, True), (page + 1024, 1, True)], publish=False)
    queue.publish()
    queue.kick()
    disk.write(4, 2, MEMORY)
    assert not disk.status & DRIVER_OK
    used = queue.used_index
    disk.test.memset(page + 512, 1024, 0xEE)
    queue.kick()
    disk.test.read(0, 8)
    assert queue.used_index == used and disk.test.read(page + 512, 513) == b"\xee" * 513
    disk.enable()
    assert recovers(disk)


# --- queues before they are enabled

def test_queue_registers(disk):
    disk.start()
    common = disk.common
    assert common.num_queues == 1
    common.queue_select = 0
    most = common.queue_size
    assert most == 256 and common.queue_notify_off == 0 and common.queue_enable == 0
    for good in (128, 2, 1, most):
        common.queue_size = good
        assert common.queue_size == good
    common.queue_desc, common.queue_driver, common.queue_device = 0x1_2345_6780, 0x2_0000_0010, 0x3_0000_0020
    assert (common.queue_desc, common.queue_driver, common.queue_device) == (0x1_2345_6780, 0x2_0000_0010, 0x3_0000_0020)
    common.num_queues = 9
    common.queue_notify_off = 9
    assert common.num_queues == 1 and common.queue_notify_off == 0


@pytest.mark.parametrize("size", [0, 3, 100, 257, 512, 0x8000, 0xFFFF])
@pytest.mark.ours("QEMU believes some of them")
def test_a_size_that_is_none_changes_nothing(disk, size):
    disk.start()
    disk.common.queue_select = 0
    disk.common.queue_size = size
    assert disk.common.queue_size == 256


@pytest.mark.ours("QEMU keeps what is written to a queue that is none")
def test_a_queue_that_is_not_there(disk):
    disk.start()
    common = disk.common
    for index in (1, 7, 0xFFFF):
        common.queue_select = index
        assert common.queue_size == 0 and common.queue_enable == 0
        common.queue_size = 8
        common.queue_enable = 1
        common.queue_desc = 0x1000
        common.queue_msix_vector = 0
        assert common.queue_size == 0 and common.queue_enable == 0
    common.queue_select = 0
    assert common.queue_desc == 0 and common.queue_size == 256


def test_vectors(disk):
    disk.start()
    common = disk.common
    common.queue_select = 0
    assert common.queue_msix_vector == NO_VECTOR
    for vector in range(disk.msix.vectors):
        common.queue_msix_vector = common.config_msix_vector = vector
        assert common.queue_msix_vector == common.config_msix_vector == vector
    for vector in (disk.msix.vectors, 0x7FF, 0xFFFE, NO_VECTOR):
        common.queue_msix_vector = common.config_msix_vector = vector
        assert common.queue_msix_vector == common.config_msix_vector == NO_VECTOR, "what cannot be had"


@pytest.mark.ours("QEMU lets it be changed")
def test_an_enabled_queue_stays_as_it_is(disk):
    disk.bring_up()
    common, queue = disk.common, disk.queues[0]
    common.queue_select = 0
    common.queue_size, common.queue_desc, common.queue_driver, common.queue_device, common.queue_enable = 8, 16, 16, 16, 0
    assert (common.queue_size, common.queue_desc, common.queue_driver, common.queue_device) == (256, queue.desc, queue.avail, queue.used)
    assert common.queue_enable == 1, "0 must not be written"
    assert works(disk)


def test_partial_writes_of_wide_registers(disk):
    disk.start()
    common, test = disk.common, disk.test
    common.queue_select = 0
    test.write_value(common.base + 0x20, 4, 0x89AB_CDE0)
    test.write_value(common.base + 0x24, 4, 0x0000_0001)
    assert common.queue_desc == 0x1_89AB_CDE0
    assert test.read_value(common.base + 0x24, 4) == 1


def test_accesses_of_any_width_and_place_harm_nobody(rng):
    test = rng.test
    for base in rng.areas.values():
        for offset in (*range(0, 0x40), 0x7FC, 0xFFC, 0xFFF):
            for size in (1, 2, 4, 8):
                test.read_value(base + offset, size)
    rng.reset()
    for base in (rng.areas[3], rng.areas[2]):
        for offset in (*range(0, 0x20), 0x7FC, 0xFFC, 0xFFF):
            for size in (1, 2, 4, 8):
                test.write_value(base + offset, size, 0xFFFF_FFFF_FFFF_FFFF >> 64 - 8 * size)
    assert recovers(rng)


def test_a_notification_before_there_is_a_driver(rng):
    for value in (0, 1, 0xFFFF):
        rng.test.write_value(rng.areas[2], 2, value)
        rng.test.write_value(rng.areas[2], 4, value)
    assert recovers(rng)


def test_only_some_queues_are_enabled(start, image):
    machine = start("-drive", f"id=d,file={image()},if=none,format=raw,direct=false", "-device",
                    "virtio-blk-pci,id=b,drive=d,bus=pcie.0,addr=5,num-queues=4", cpus=4)
    disk = Device(machine, 5).bring_up(queues=(2,))
    disk.test.write_value(disk.areas[2], 2, 0)
    disk.test.write_value(disk.areas[2] + 4 * disk.multiplier, 2, 4)
    assert works(disk, disk.queues[2])
    disk.queues[2].interrupted()


# --- interrupts and generation

def test_a_configuration_change_by_a_pin(disk):
    disk.test.intercept()
    disk.bring_up(msix=False)
    queue = disk.queues[0]
    queue.offer(queue.chain([(RAM, 64, True)]))
    queue.kick()
    disk.wait_needs_reset()
    wait_for(lambda: disk.isr() & 2, "a configuration change")
    assert disk.isr() == 0


def test_a_pin_falls_silent_with_a_reset(start):
    machine = start(*RNG)
    machine.test.intercept()
    rng = Device(machine, 4).bring_up(msix=False)
    assert works(rng)
    wait_for(lambda: any(direction == "raise" for direction, _ in machine.test.listen()) or not rng.id, "a pin")
    rng.reset()
    wait_for(lambda: any(direction == "lower" for direction, _ in machine.test.listen()) or not rng.id, "a pin let go")
    assert rng.isr() == 0


def test_generation_stands_still_while_nothing_changes(disk):
    before = disk.common.config_generation
    assert disk.config(0, 8) == 2048
    assert disk.common.config_generation == before


# --- where it is placed

def test_bars_move_while_it_works(disk):
    disk.bring_up()
    for base in (0xC900_0000, 0xCA00_0000, 0xEFF0_0000):
        index = next(i for i in disk.bars if i != 1)
        shift = base - disk.bars[index]
        disk.write(BAR0 + 4 * index, 4, base)
        disk.bars[index] = base
        disk.areas = {kind: at + shift for kind, at in disk.areas.items()}
        disk.common.base = disk.areas[1]
        disk.queues[0].notify_at += shift
        disk.write(BAR0 + 4, 4, base + 0x8_0000)
        disk.msix.table += base + 0x8_0000 - disk.bars[1]
        disk.bars[1] = base + 0x8_0000
        assert works(disk)
        disk.queues[0].interrupted()


def test_a_machine_reset_is_a_device_reset(disk):
    machine = disk.machine
    disk.bring_up()
    assert works(disk)
    machine.qmp.ask("system_reset")
    machine.qmp.event("RESET")
    wait_for(lambda: Config(machine.test, 0, 5, ports=True).read(4, 2) == 0, "decoding off")
    if machine.is_qemu:
        machine.as_firmware()
    again = Device(machine, 5, addresses=Addresses(0xD000_0000))
    assert again.status == 0
    assert not Msix(again).pending(0)
    assert recovers(again)
