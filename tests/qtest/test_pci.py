"""Configuration space, base addresses, interrupts and root ports, as firmware and a kernel use them."""
import pytest

from pci import (BAR0, CAPABILITIES, COMMAND, EXPRESS, HEADER, INTERRUPT_PIN, INTX_OFF, IO, MASTER, MEMORY, MSIX, STATUS, VENDOR, Addresses, Config,
                 Function, Mailbox, Msix, RootPort)
from qtest import wait_for
from virtio import Device
from vmm import Refused

RNG = ("-object", "rng-random,id=r,filename=/dev/urandom")
ACCESS = pytest.mark.parametrize("ports", [False, True], ids=["memory", "ports"])

SECOND = ("-object", "rng-random,id=r5,filename=/dev/urandom", "-device", "virtio-rng-pci,rng=r5,id=rng5,bus=pcie.0,addr=5")


def rng(slot="0x4", bus="pcie.0", id="rng0"):
    return "-device", f"virtio-rng-pci,rng=r,id={id},bus={bus},addr={slot}"


def root_port(number, id="port1"):
    return "-device", f"pcie-root-port,id={id},port={8 * number},chassis={number},bus=pcie.0,addr={number}"


# --- configuration space

@ACCESS
def test_the_board_is_a_q35(start, ports):
    test = start().test
    assert Config(test, 0, 0, ports=ports).id == (0x8086, 0x29C0)
    assert Config(test, 0, 31, ports=ports).id == (0x8086, 0x2918)
    assert Config(test, 0, 0, ports=ports).read(0x0A, 2) == 0x0600
    assert Config(test, 0, 31, ports=ports).read(0x0A, 2) == 0x0601


@ACCESS
@pytest.mark.parametrize("size", [1, 2, 4])
def test_nobody_reads_as_ones(start, ports, size):
    test = start().test
    for bus, slot, function in ((0, 9, 0), (0, 0, 3), (1, 0, 0), (0xFF, 31, 7)):
        nobody = Config(test, bus, slot, function, ports)
        nobody.write(0, size, 0)
        assert nobody.read(0, size) == (1 << 8 * size) - 1


@ACCESS
def test_any_width_reads_the_same_bytes(start, ports):
    config = Config(start(*RNG, *rng()).test, 0, 4, ports=ports)
    for at in range(0, 64, 4):
        word = config.read(at, 4)
        assert [config.read(at + i, 2) for i in (0, 2)] == [word & 0xFFFF, word >> 16]
        assert [config.read(at + i, 1) for i in range(4)] == list(word.to_bytes(4, "little"))


def test_both_ways_are_one_space(start):
    test = start(*RNG, *rng()).test
    by_memory, by_ports = Config(test, 0, 4), Config(test, 0, 4, ports=True)
    by_memory.write(0x3C, 1, 0x5A)
    assert by_ports.read(0x3C, 1) == 0x5A
    by_ports.write(COMMAND, 2, MEMORY | MASTER)
    assert by_memory.read(COMMAND, 2) == MEMORY | MASTER


def test_the_address_port(start):
    test = start().test
    test.outl(0xCF8, 0x8000_0000)
    assert test.inl(0xCFC) == 0x29C0_8086
    test.outl(0xCF8, 0)
    assert test.inl(0xCFC) == 0xFFFF_FFFF, "the enable bit is off"
    test.outl(0xCF8, 0x8000_F800)
    assert test.inl(0xCF8) == 0x8000_F800
    test.outw(0xCF8, 0)
    test.outb(0xCFB, 0)
    assert test.inl(0xCF8) == 0x8000_F800, "only whole words set it"
    assert test.inl(0xCFC) == 0x2918_8086
    assert test.inb(0xCFE) == 0x18 and test.inw(0xCFE) == 0x2918


def test_what_is_read_only_stays(start):
    config = Config(start(*RNG, *rng()).test, 0, 4)
    for offset, size in ((0, 4), (0x08, 4), (0x0E, 1), (0x2C, 4), (CAPABILITIES, 1), (INTERRUPT_PIN, 1), (0x30, 4)):
        before = config.read(offset, size)
        config.write(offset, size, (1 << 8 * size) - 1)
        if offset != 0x30:
            config.write(offset, size, 0)
        assert config.read(offset, size) == before, hex(offset)


def test_command_bits(start):
    config = Config(start(*RNG, *rng()).test, 0, 4)
    assert config.read(COMMAND, 2) == 0
    config.write(COMMAND, 2, 0xFFFF)
    kept = config.read(COMMAND, 2)
    assert kept & (IO | MEMORY | MASTER | INTX_OFF) == IO | MEMORY | MASTER | INTX_OFF
    assert kept & ~0x547 == 0, "what PCI Express hardwires to zero"
    config.write(COMMAND, 2, 0)
    assert config.read(COMMAND, 2) == 0


def test_capabilities_are_a_chain(start):
    function = Function(start(*RNG, *rng()).test, 0, 4)
    assert function.read(STATUS, 2) & 0x10
    ids = [id for id, _ in function.capabilities()]
    assert ids.count(MSIX) == 1 and ids.count(VENDOR) == 5


# --- base addresses

def test_sizing(start):
    function = Function(start(*RNG, *rng()).test, 0, 4)
    sizes = [function.bar_size(index) for index in range(6)]
    assert sizes[1] >= 4096 and sizes[1] & (sizes[1] - 1) == 0
    assert sum(size >= 16384 for size in sizes) == 1
    wide = next(index for index, size in enumerate(sizes) if size >= 16384)
    assert function.read(BAR0 + 4 * wide, 4) & 7 == 4, "a 64-bit one"
    function.write(BAR0 + 4 * wide + 4, 4, 0xFFFF_FFFF)
    assert function.read(BAR0 + 4 * wide + 4, 4) == 0xFFFF_FFFF
    function.write(BAR0, 4, 0xFFFF_FFFF)
    assert function.read(BAR0, 4) == 0, "no such BAR"


def test_a_bar_answers_where_it_is_put(start):
    device = Device(start(*RNG, *rng()), 4)
    assert device.common.num_queues == 1
    old = device.areas[1]
    index = next(i for i, at in device.bars.items() if at <= old < at + 0x4000 and i != 1)
    shift = 0xC800_0000 - device.bars[index]
    device.common.driver_feature_select = 1
    device.write(BAR0 + 4 * index, 4, 0xC800_0000)  # while it is decoded
    read = device.test.readl
    assert read(old + 8) in (0, 0xFFFF_FFFF), "gone from where it was"
    assert read(old + shift + 8) == 1
    device.clear_bits(COMMAND, 2, MEMORY)
    assert read(old + shift + 8) in (0, 0xFFFF_FFFF), "not decoded"
    device.set_bits(COMMAND, 2, MEMORY)
    assert read(old + shift + 8) == 1


def test_a_wide_bar_goes_above_4_gib(start):
    device = Device(start(*RNG, *rng()), 4)
    index = next(i for i in device.bars if i != 1)
    offset = device.areas[1] - device.bars[index]
    device.write(BAR0 + 4 * index + 4, 4, 0x10)
    device.common.base = 0x10_0000_0000 + device.bars[index] + offset
    assert device.common.num_queues == 1


def test_sizing_while_decoded_harms_nobody(start):
    device = Device(start(*RNG, *rng()), 4)
    index = next(i for i in device.bars if i != 1)
    device.write(BAR0 + 4 * index, 4, 0xFFFF_FFFF)
    device.write(BAR0 + 4 * index + 4, 4, 0xFFFF_FFFF)
    device.test.read(0x1000, 16)
    device.write(BAR0 + 4 * index + 4, 4, 0)
    device.write(BAR0 + 4 * index, 4, device.bars[index])
    assert device.common.num_queues == 1


def test_a_bar_over_ram_leaves_ram_in_place(start):
    machine = start(*RNG, *rng())
    device = Device(machine, 4)
    index = next(i for i in device.bars if i != 1)
    machine.test.write(0x20_0000, b"ram" * 8)
    device.write(BAR0 + 4 * index, 4, 0x20_0000)
    if not machine.is_qemu:  # there the BAR is above RAM
        assert machine.test.read(0x20_0000, 24) == b"ram" * 8
    device.write(BAR0 + 4 * index, 4, device.bars[index])
    assert machine.test.read(0x20_0000, 24) == b"ram" * 8
    assert device.common.num_queues == 1


def test_bars_over_each_other(start):
    machine = start(*RNG, *rng(), *SECOND)
    one, two = Device(machine, 4), Device(machine, 5)
    index = next(i for i in one.bars if i != 1)
    two.write(BAR0 + 4 * index, 4, one.bars[index])
    assert one.common.num_queues == 1, "one of the two answers"
    two.write(BAR0 + 4 * index, 4, two.bars[index])
    one.common.driver_feature_select = 1
    assert two.common.driver_feature_select == 0
    assert one.common.driver_feature_select == 1


def test_accesses_across_the_end_of_a_bar(start):
    device = Device(start(*RNG, *rng()), 4)
    index = next(i for i in device.bars if i != 1)
    end = device.bars[index] + device.bar_size(index)
    for size in (1, 2, 4, 8):
        for back in range(1, 8):
            device.test.read_value(end - back, size)
            device.test.write_value(end - back, size, 0)
    assert device.common.num_queues == 1


def test_functions_of_one_slot(start):
    machine = start(*RNG, "-device", "virtio-rng-pci,rng=r,id=a,bus=pcie.0,addr=4.0,multifunction=on", *RNG[:1], "rng-random,id=r2,filename=/dev/urandom",
                    "-device", "virtio-rng-pci,rng=r2,id=b,bus=pcie.0,addr=4.1")
    assert Config(machine.test, 0, 4, 0).read(HEADER, 1) == 0x80
    assert Config(machine.test, 0, 4, 1).id == (0x1AF4, 0x1044)
    assert Config(machine.test, 0, 4, 2).id == (0xFFFF, 0xFFFF)


# --- MSI-X

@pytest.fixture
def vectors(start):
    """A device with a queue that answers at once, and what asks it to."""
    machine = start(*RNG, *rng())
    device = Device(machine, 4).bring_up()
    queue = device.queues[0]
    buffer = machine.alloc()

    def ask():
        queue.call([(buffer, 8, True)])

    return device, ask


def test_a_message_is_a_write(vectors):
    device, ask = vectors
    ask()
    device.queues[0].interrupted()
    assert not device.queues[0].interrupt.came()


def test_a_masked_vector_waits(vectors):
    device, ask = vectors
    device.msix.mask(1)
    ask()
    wait_for(lambda: device.msix.pending(1), "the pending bit")
    assert not device.queues[0].interrupt.came()
    ask()
    assert device.msix.pending(1)
    device.msix.mask(1, False)
    device.queues[0].interrupted()
    assert not device.msix.pending(1) and not device.queues[0].interrupt.came(), "both are one message"


def test_a_masked_function_waits(vectors):
    device, ask = vectors
    device.msix.control(mask=True)
    ask()
    wait_for(lambda: device.msix.pending(1), "the pending bit")
    assert not device.queues[0].interrupt.came()
    device.msix.control(mask=False)
    device.queues[0].interrupted()
    assert not device.msix.pending(1)


def test_a_waiting_message_goes_where_the_vector_points_then(vectors):
    device, ask = vectors
    device.msix.mask(1)
    ask()
    wait_for(lambda: device.msix.pending(1), "the pending bit")
    page = device.machine.alloc()
    device.msix.point(1, page, 0xABCD, masked=True)
    assert device.test.readl(page) == 0
    device.msix.mask(1, False)
    wait_for(lambda: device.test.readl(page) == 0xABCD, "the message")


def test_the_table_reads_as_written(vectors):
    device, _ = vectors
    msix = device.msix
    msix.point(0, 0x1_2345_6780, 0xDEADBEEF, masked=True)
    words = [device.test.readl(msix.table + at) for at in range(0, 16, 4)]
    assert words == [0x2345_6780, 1, 0xDEADBEEF, 1]
    before = device.test.readl(msix.pending_bits)
    device.test.writel(msix.pending_bits, 0xFFFF_FFFF)
    assert device.test.readl(msix.pending_bits) == before == 0, "pending bits are the device's"


def test_the_control_word(vectors):
    device, _ = vectors
    device.write(device.msix.at + 2, 2, 0xFFFF)
    assert device.read(device.msix.at + 2, 2) == 0xC000 | device.msix.vectors - 1
    device.write(device.msix.at + 2, 2, 0)
    assert device.read(device.msix.at + 2, 2) == device.msix.vectors - 1


# --- INTx

def test_a_pin_follows_the_isr(start):
    machine = start(*RNG, *rng())
    assert Config(machine.test, 0, 4).read(INTERRUPT_PIN, 1) == 1
    machine.test.intercept()
    device = Device(machine, 4).bring_up(msix=False)
    page = machine.alloc()
    device.queues[0].call([(page, 8, True)])
    wait_for(lambda: device.read(STATUS, 2) & 8, "the interrupt bit of the status")
    raised = [number for direction, number in machine.test.listen() if direction == "raise"]
    assert len(raised) == 1 and 16 <= raised[0] < 24
    assert device.isr() == 1
    assert device.isr() == 0, "reading takes it"
    machine.test.wait_irq("lower", raised[0])
    assert not device.read(STATUS, 2) & 8


def test_a_pin_that_is_turned_off(start):
    machine = start(*RNG, *rng())
    machine.test.intercept()
    device = Device(machine, 4).bring_up(msix=False)
    device.set_bits(COMMAND, 2, INTX_OFF)
    device.queues[0].call([(machine.alloc(), 8, True)])
    wait_for(lambda: device.read(STATUS, 2) & 8, "the interrupt bit of the status")
    assert machine.test.listen() == []
    device.clear_bits(COMMAND, 2, INTX_OFF)
    wait_for(lambda: ("raise" in [d for d, _ in machine.test.listen()]) or device.read(0, 2) == 0, "the pin")


@pytest.mark.ours("each board wires its slots in its own way, which its tables tell")
def test_slots_are_wired_as_the_tables_say(start):
    slots = (4, 5, 6, 7, 9)
    words = [word for slot in slots for word in ("-object", f"rng-random,id=r{slot},filename=/dev/urandom", "-device",
                                                 f"virtio-rng-pci,rng=r{slot},id=d{slot},bus=pcie.0,addr={slot}")]
    machine = start(*words)
    machine.test.intercept()
    for slot in slots:
        device = Device(machine, slot).bring_up(msix=False)
        device.queues[0].call([(machine.alloc(), 8, True)])
        machine.test.wait_irq("raise", 16 + slot % 4)
        machine.test.irqs.clear()
        device.isr()
        machine.test.wait_irq("lower", 16 + slot % 4)
        machine.test.irqs.clear()


@pytest.mark.ours("the slots' wiring is this board's")
def test_a_shared_line_is_up_while_any_pin_is(start):
    machine = start(*RNG, *rng("0x4"), "-object", "rng-random,id=q,filename=/dev/urandom", "-device",
                    "virtio-rng-pci,rng=q,id=rng1,bus=pcie.0,addr=8")
    machine.test.intercept()
    devices = [Device(machine, slot).bring_up(msix=False) for slot in (4, 8)]
    for device in devices:
        device.queues[0].call([(machine.alloc(), 8, True)])
        wait_for(lambda: device.read(STATUS, 2) & 8, "the pin")
    machine.test.wait_irq("raise", 16)
    machine.test.irqs.clear()
    devices[0].isr()
    devices[0].read(STATUS, 2)
    assert machine.test.listen() == []
    devices[1].reset()
    machine.test.wait_irq("lower", 16)


# --- root ports

def test_a_root_port_is_a_bridge(start):
    machine = start(*root_port(1))
    port = RootPort(machine.test, 1)
    assert port.id == (0x1B36, 0x000C)
    assert port.read(0x0A, 2) == 0x0604 and port.read(HEADER, 1) & 0x7F == 1
    flags = port.read(port.express + 2, 2)
    assert flags >> 4 & 0xF == 4 and flags & 1 << 8, "a root port with a slot"
    assert port.capability(MSIX)
    slot = port.slot_capabilities
    assert slot & 0x5B == 0x5B, "button, power, indicators, hot plugging"
    if not machine.is_qemu:  # which has a number of its own for it
        assert slot >> 19 == 1, "the slot's number is the chassis's"
    assert port.read(port.express + 0x0C, 4) >> 24 == 8, "its port number"


@ACCESS
@pytest.mark.parametrize("number", [1, 7, 0xFE])
def test_a_bus_has_the_number_it_is_given(start, ports, number):
    machine = start(*root_port(1), *RNG, *rng("0x0", "port1"))
    port = RootPort(machine.test, 1)
    assert Config(machine.test, number, 0, ports=ports).id[0] == 0xFFFF, "no bus has a number yet"
    port.number(number)
    assert port.read(0x18, 4) & 0xFFFFFF == number << 16 | number << 8
    assert Config(machine.test, number, 0, ports=ports).id == (0x1AF4, 0x1044)
    assert Config(machine.test, number, 1, ports=ports).id == (0xFFFF, 0xFFFF), "one slot"
    port.number(number - 1 or 9)
    assert Config(machine.test, number, 0, ports=ports).id == (0xFFFF, 0xFFFF)
    assert Config(machine.test, number - 1 or 9, 0, ports=ports).id == (0x1AF4, 0x1044)


def test_a_device_behind_a_port_works(start):
    machine = start(*root_port(1), *RNG, *rng("0x0", "port1"))
    RootPort(machine.test, 1, 3)
    device = Device(machine, 0, bus=3).bring_up()
    page = machine.alloc()
    assert device.queues[0].call([(page, 16, True)]) == 16
    assert machine.test.read(page, 16) != bytes(16)
    device.queues[0].interrupted()


def test_two_ports(start):
    machine = start(*root_port(1), *root_port(2, "port2"), *RNG, *rng("0x0", "port2"))
    RootPort(machine.test, 1, 1), RootPort(machine.test, 2, 2)
    assert Config(machine.test, 1, 0).id == (0xFFFF, 0xFFFF)
    assert Config(machine.test, 2, 0).id == (0x1AF4, 0x1044)


def test_a_full_slot_and_an_empty_one(start):
    machine = start(*root_port(1), *root_port(2, "port2"), *RNG, *rng("0x0", "port1"))
    full, empty = RootPort(machine.test, 1, 1), RootPort(machine.test, 2, 2)
    assert full.slot_status & 0x40 and full.link_status & 0x2000
    assert not empty.slot_status & 0x40 and not empty.link_status & 0x2000
    assert not full.slot_control & 0x400, "what was there from the start has power"


def test_slot_registers(start):
    port = RootPort(start(*root_port(1)).test, 1, 1)
    port.clear_slot_status()
    port.slot_control = 0x13E0 & ~0x300 | 0x100
    wait_for(lambda: port.slot_status & 0x10, "command completed")
    assert port.slot_control & 0x300 == 0x100
    port.clear_slot_status(0x10)
    assert not port.slot_status & 0x10, "a one clears it"
    before = port.slot_capabilities
    port.write(port.express + 0x14, 4, 0)
    assert port.slot_capabilities == before


def test_windows_read_as_written(start):
    port = RootPort(start(*root_port(1)).test, 1)
    port.write(0x20, 4, 0xC120_C010)
    assert port.read(0x20, 4) == 0xC120_C010
    port.write(0x20, 4, 0xFFFF_FFFF)
    assert port.read(0x20, 4) == 0xFFF0_FFF0
    port.write(0x24, 4, 0xFFFF_FFFF)
    assert port.read(0x24, 4) == 0xFFF1_FFF1, "prefetchable memory is 64 bits wide"
    port.write(0x28, 4, 0x12)
    assert port.read(0x28, 4) == 0x12


def test_a_secondary_reset_resets_what_is_behind(start):
    machine = start(*root_port(1), *RNG, *rng("0x0", "port1"))
    port = RootPort(machine.test, 1, 3)
    device = Device(machine, 0, bus=3).bring_up()
    port.write(0x3E, 2, 0x40)
    port.write(0x3E, 2, 0)
    assert device.read(COMMAND, 2) == 0
    assert device.read(BAR0 + 4, 4) == 0
    device = Device(machine, 0, bus=3)
    assert device.status == 0
    device.bring_up()
    assert device.queues[0].call([(machine.alloc(), 8, True)]) == 8


# --- plugging while the guest runs

def plugged(machine, port, id="rng1"):
    machine.qmp.ask("device_add", driver="virtio-rng-pci", rng="r", id=id, bus="port1", addr="0x0",
                    **({"disable-legacy": "on"} if machine.is_qemu else {}))
    wait_for(lambda: port.slot_status & 0x40, "presence")


def decline(port):
    """Its power indicator blinks, and is on again: the device stays."""
    port.slot_control = port.slot_control & ~0x300 | 0x200
    port.slot_control = port.slot_control & ~0x300 | 0x100


@pytest.fixture
def hot(start):
    machine = start(*root_port(1), *RNG)
    port = RootPort(machine.test, 1, 5)
    port.map_bars(Addresses(0xC400_0000))
    port.clear_slot_status()
    return machine, port


def test_plugging_tells_the_guest(hot):
    machine, port = hot
    msix = Msix(port)
    mailbox = Mailbox(machine, msix, 0)
    msix.control(enable=True)
    port.slot_control = 0x13E0 | 0x29  # button, presence, hot-plug interrupts
    wait_for(lambda: port.slot_status & 0x10, "command completed")
    port.clear_slot_status()
    plugged(machine, port)
    wait_for(mailbox.came, "the port's message")
    assert port.slot_status & 0x48 == 0x48, "present, and that has changed"
    port.clear_slot_status()
    port.power_on()
    wait_for(lambda: port.link_status & 0x2000, "a link")
    device = Device(machine, 0, bus=5).bring_up()
    assert device.queues[0].call([(machine.alloc(), 8, True)]) == 8


def test_plugging_raises_a_pin_without_messages(hot):
    machine, port = hot
    machine.test.intercept()
    port.slot_control = 0x13E0 | 0x29
    wait_for(lambda: port.slot_status & 0x10, "command completed")
    port.clear_slot_status()
    plugged(machine, port)
    wait_for(lambda: any(direction == "raise" for direction, _ in machine.test.listen()) or not port.id, "a pin")
    port.clear_slot_status()
    wait_for(lambda: any(direction == "lower" for direction, _ in machine.test.listen()) or not port.id, "a pin let go")


def test_unplugging_asks_and_waits(hot):
    machine, port = hot
    plugged(machine, port)
    port.clear_slot_status()
    port.power_on()
    port.clear_slot_status()
    device = Device(machine, 0, bus=5).bring_up()
    machine.qmp.ask("device_del", id="rng1")
    wait_for(lambda: port.slot_status & 1, "the attention button")
    assert device.id == (0x1AF4, 0x1044), "there until the guest lets go"
    assert device.queues[0].call([(machine.alloc(), 8, True)]) == 8
    port.clear_slot_status(1)
    port.power_off()
    assert machine.qmp.event("DEVICE_DELETED", device="rng1")["path"] == "/machine/peripheral/rng1"
    assert Config(machine.test, 5, 0).id == (0xFFFF, 0xFFFF)
    wait_for(lambda: not port.slot_status & 0x40, "an empty slot")
    plugged(machine, port)  # the id and the slot are free again
    port.power_on()
    assert Config(machine.test, 5, 0).id == (0x1AF4, 0x1044)


def test_what_has_no_power_goes_unasked(hot):
    machine, port = hot
    plugged(machine, port)
    port.clear_slot_status()
    machine.qmp.ask("device_del", id="rng1")
    machine.qmp.event("DEVICE_DELETED", device="rng1")
    assert not port.slot_status & 0x41, "empty, and no button was pressed"


def test_a_guest_that_is_busy_with_the_slot_is_not_asked(hot):
    """Its power indicator blinks between a button's press and what follows, when another would take it back."""
    machine, port = hot
    plugged(machine, port)
    port.power_on()
    port.slot_control = port.slot_control & ~0x300 | 0x200
    port.clear_slot_status(1)
    with pytest.raises(Refused, match="blink"):
        machine.qmp.ask("device_del", id="rng1")
    assert not port.slot_status & 1
    port.slot_control = port.slot_control & ~0x300 | 0x100
    machine.qmp.ask("device_del", id="rng1")
    wait_for(lambda: port.slot_status & 1, "the attention button")


def test_who_is_asked_twice_is_not_told_to_forget_it(hot):
    """A second press within five seconds would."""
    machine, port = hot
    plugged(machine, port)
    port.power_on()
    port.clear_slot_status()
    machine.qmp.ask("device_del", id="rng1")
    wait_for(lambda: port.slot_status & 1, "the attention button")
    port.clear_slot_status(1)
    with pytest.raises(Refused, match="already in the process of unplug"):
        machine.qmp.ask("device_del", id="rng1")
    assert not port.slot_status & 1
    if not machine.is_qemu:
        machine.test.clock_step(5_000_000_000)
        machine.qmp.ask("device_del", id="rng1")
        wait_for(lambda: port.slot_status & 1, "the button again")
    port.power_off()
    machine.qmp.event("DEVICE_DELETED", device="rng1")


def test_a_guest_that_declined_can_be_asked_again(hot):
    """It has turned the power indicator on: the device stays."""
    machine, port = hot
    plugged(machine, port)
    port.power_on()
    for asked in range(3):
        port.clear_slot_status()
        machine.qmp.ask("device_del", id="rng1")
        wait_for(lambda: port.slot_status & 1, "the attention button")
        if machine.is_qemu or asked == 2:
            break
        decline(port)
        assert Config(machine.test, 5, 0).id == (0x1AF4, 0x1044)
    port.power_off()
    machine.qmp.event("DEVICE_DELETED", device="rng1")


@pytest.mark.ours("QEMU forgets the request")
@pytest.mark.parametrize("later", ["a reset", "a power-off"])
def test_what_a_guest_declined_to_give_stays(hot, later):
    machine, port = hot
    plugged(machine, port)
    port.power_on()
    machine.qmp.ask("device_del", id="rng1")
    decline(port)
    if later == "a reset":
        machine.qmp.ask("system_reset")
        machine.qmp.event("RESET")
        port = RootPort(machine.test, 1, 5)
    else:
        port.power_off()
        port.power_on()
    assert port.slot_status & 0x40 and port.slot_control & 0x400 == 0, "there, with power"
    assert Config(machine.test, 5, 0).id == (0x1AF4, 0x1044)
    machine.qmp.ask("device_del", id="rng1")
    port.power_off()
    machine.qmp.event("DEVICE_DELETED", device="rng1")


@pytest.mark.ours("QEMU forgets the request")
def test_a_reset_lets_go_what_was_asked_for(hot):
    machine, port = hot
    plugged(machine, port)
    port.power_on()
    machine.qmp.ask("device_del", id="rng1")
    machine.qmp.ask("system_reset")
    assert machine.qmp.event("DEVICE_DELETED", device="rng1")["path"] == "/machine/peripheral/rng1"
    machine.qmp.event("RESET")  # after it: the guest that begins anew never sees the device
    assert not port.slot_status & 0x40 and port.slot_control & 0x700 == 0x700, "an empty slot without power"


def test_what_cannot_be_plugged_is_refused(hot):
    machine, port = hot
    for where, why in (({"bus": "pcie.0", "addr": "0x9"}, "hotplug"), ({"bus": "nowhere", "addr": "0x0"}, "nowhere"),
                       ({"bus": "port1", "addr": "0x1"}, "slot")):
        if machine.is_qemu and where["bus"] != "nowhere":
            continue  # ACPI plugs on the root bus, and a port's other slots are a matter of opinion
        with pytest.raises(Refused, match=why) as refused:
            machine.qmp.ask("device_add", driver="virtio-rng-pci", rng="r", id="x", **where)
        assert refused.value.kind == "GenericError"
    with pytest.raises(Refused) as refused:
        machine.qmp.ask("device_del", id="nobody")
    assert refused.value.kind == "DeviceNotFound"
    assert not port.slot_status & 0x40


@pytest.mark.ours("a machine's devices may go in QEMU's q35 by ACPI")
def test_what_is_on_the_root_bus_stays(start):
    machine = start(*RNG, *rng())
    with pytest.raises(Refused, match="hotplugging"):
        machine.qmp.ask("device_del", id="rng0")
    assert Config(machine.test, 0, 4).id == (0x1AF4, 0x1044)
