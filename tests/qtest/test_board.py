"""What is soldered on: serial port, the ways to reset and to turn off, the timer, the button, the panic port. test_rtc.py has the clock."""
import socket

import pytest

from qtest import Closed, wait_for
from vmm import Refused

COM1, PM = 0x3F8, 0x600
STATUS, ENABLE, CONTROL, TIMER = PM, PM + 2, PM + 4, PM + 8
BUTTON, CARRY = 1 << 8, 1


@pytest.fixture
def serial(start, tmp_path):
    """A machine with a serial port at a socket, and the other end."""
    machine = start("-chardev", f"socket,id=com,path={tmp_path}/com,server,nowait", "-serial", "chardev:com")
    peer = socket.socket(socket.AF_UNIX)
    peer.settimeout(20)
    peer.connect(f"{tmp_path}/com")
    machine.test.intercept()
    return machine.test, peer


def reg(test, number, value=None):
    return test.inb(COM1 + number) if value is None else test.outb(COM1 + number, value)


def line_status(test):
    return reg(test, 5)


# --- serial port

def test_a_byte_out(serial):
    test, peer = serial
    assert line_status(test) & 0x60 == 0x60, "empty"
    for byte in b"Hi!\r\n\x00\xff":
        wait_for(lambda: line_status(test) & 0x20, "room")
        reg(test, 0, byte)
    got = b""
    while len(got) < 7:
        got += peer.recv(7)
    assert got == b"Hi!\r\n\x00\xff"


def test_a_byte_in(serial):
    test, peer = serial
    reg(test, 2, 1)
    assert not line_status(test) & 1
    peer.sendall(b"abc")
    for byte in b"abc":
        wait_for(lambda: line_status(test) & 1, "a byte")
        assert reg(test, 0) == byte
    assert not line_status(test) & 1


def test_the_registers_of_a_16550a(serial):
    test, _ = serial
    for value in (0x00, 0x55, 0xAA, 0xFF):
        reg(test, 7, value)
        assert reg(test, 7) == value, "scratch"
    reg(test, 3, 0x83)
    reg(test, 0, 0x34)
    reg(test, 1, 0x12)
    assert (reg(test, 0), reg(test, 1)) == (0x34, 0x12), "the divisor"
    reg(test, 3, 0x03)
    assert reg(test, 3) == 3 and reg(test, 1) == 0
    reg(test, 1, 0xFF)
    assert reg(test, 1) == 0x0F
    reg(test, 1, 0)
    reg(test, 2, 1)
    assert reg(test, 2) & 0xC0 == 0xC0, "FIFOs"
    reg(test, 2, 0)
    assert reg(test, 2) & 0xC0 == 0
    reg(test, 4, 0xFF)
    assert reg(test, 4) == 0x1F


def test_loopback(serial):
    test, peer = serial
    reg(test, 2, 1)
    reg(test, 4, 0x10)
    for control, status in ((0x10, 0), (0x11, 0x20), (0x12, 0x10), (0x14, 0x40), (0x18, 0x80), (0x1F, 0xF0)):
        reg(test, 4, control)
        assert reg(test, 6) & 0xF0 == status, hex(control)
    reg(test, 0, 0x5A)
    wait_for(lambda: line_status(test) & 1, "its own byte")
    assert reg(test, 0) == 0x5A
    reg(test, 4, 0)
    reg(test, 0, 0x21)
    assert peer.recv(1) == b"!", "nothing of the loop came out"


def test_interrupts(serial):
    test, peer = serial
    reg(test, 2, 1)
    reg(test, 4, 8)  # OUT2, which a PC's interrupt goes through
    assert reg(test, 2) & 0xF == 1, "none"
    reg(test, 1, 2)
    test.wait_irq("raise", 4)
    assert reg(test, 2) & 0xF == 2, "there is room"
    assert reg(test, 2) & 0xF == 1, "told once"
    test.wait_irq("lower", 4)
    reg(test, 1, 1)
    test.irqs.clear()
    peer.sendall(b"x")
    wait_for(lambda: reg(test, 2) & 0xE in (0x4, 0xC), "received")
    test.wait_irq("raise", 4)
    test.irqs.clear()
    assert reg(test, 0) == ord("x")
    test.wait_irq("lower", 4)
    assert reg(test, 2) & 0xF == 1
    reg(test, 1, 0)
    peer.sendall(b"y")
    wait_for(lambda: line_status(test) & 1, "a byte")
    assert ("raise", 4) not in test.listen()


def test_the_fifo_is_cleared(serial):
    test, peer = serial
    reg(test, 2, 1)
    peer.sendall(b"old")
    wait_for(lambda: line_status(test) & 1, "bytes")
    reg(test, 2, 3)
    wait_for(lambda: reg(test, 2, 3) is None and not line_status(test) & 1, "none left")


def test_nothing_is_lost_on_the_way_in(serial):
    test, peer = serial
    reg(test, 2, 1)
    data = bytes(range(256)) * 8
    peer.sendall(data)
    got = bytearray()
    while len(got) < len(data):
        wait_for(lambda: line_status(test) & 1, "a byte")
        assert not line_status(test) & 2, "no overrun"
        got.append(reg(test, 0))
    assert got == data


def test_an_overrun_is_told(serial):
    test, _ = serial
    reg(test, 2, 1)
    reg(test, 4, 0x10)
    for byte in range(20):
        reg(test, 0, byte)
    status = line_status(test)
    assert status & 3 == 3
    assert not line_status(test) & 2, "reading takes it"


def test_no_serial_port_reads_as_ones(start):
    test = start().test
    assert test.inb(COM1 + 5) == 0xFF
    test.outb(COM1, 0x41)


# --- ways to reset

def resets(machine, act):
    machine.qmp.events.clear()
    act(machine.test)
    data = machine.qmp.event("RESET")
    assert data["guest"] is True
    assert machine.qmp.ask("query-status")["status"] == "running"


@pytest.mark.parametrize("value", [0x06, 0x0E])
def test_the_reset_port(start, value):
    machine = start()
    machine.test.outb(0xCF9, 0x02)
    assert machine.test.inb(0xCF9) & 2
    machine.test.outb(0x80, 0)
    assert not [event for event in machine.qmp.events if event["event"] == "RESET"]
    resets(machine, lambda test: test.outb(0xCF9, value))
    resets(machine, lambda test: (test.outb(0xCF9, 0x02), test.outb(0xCF9, value)))


def test_the_keyboard_controllers_reset_line(start):
    machine = start()
    resets(machine, lambda test: test.outb(0x64, 0xFE))


@pytest.mark.ours("QEMU's keyboard controller has a keyboard")
def test_the_keyboard_controller_is_there_and_empty(start):
    test = start().test
    assert test.inb(0x64) & 3 == 0, "neither buffer is full"
    test.outb(0x64, 0xAA)
    assert test.inb(0x64) & 1
    assert test.inb(0x60) == 0x55, "self-test passed"
    assert not test.inb(0x64) & 1
    test.outb(0x64, 0xAB)
    assert test.inb(0x60) != 0, "no keyboard"
    test.outb(0x64, 0x60)
    test.outb(0x60, 0x45)
    test.outb(0x64, 0x20)
    assert test.inb(0x60) == 0x45, "the command byte"
    test.outb(0x64, 0xD0)
    assert test.inb(0x60) & 1, "not in reset"
    for code in range(256):
        if code not in (0xFE, 0xD1):
            test.outb(0x64, code)
            test.inb(0x60)
    for port in range(0x61, 0x64):
        test.inb(port)


def test_the_output_ports_reset_bit(start):
    machine = start()
    resets(machine, lambda test: (test.outb(0x64, 0xD1), test.outb(0x60, 0xDE)))


def test_a_reset_clears_the_board(serial):
    test, _ = serial
    reg(test, 1, 5)
    reg(test, 7, 0x77)
    test.outl(0xCF8, 0x8000_0000)
    test.outb(0xCF9, 6)
    wait_for(lambda: reg(test, 1) == 0, "a reset")
    assert reg(test, 3) & 0x80 == 0


def test_no_reboot_ends_it(start):
    machine = start("-no-reboot")
    machine.test.outb(0xCF9, 6)
    data = machine.qmp.event("SHUTDOWN")
    assert data == {"guest": True, "reason": "guest-reset"}
    assert machine.process.wait(20) == 0


@pytest.mark.ours("QEMU turns a monitor's reset into an end too")
def test_no_reboot_is_for_the_guest(start):
    machine = start("-no-reboot")
    machine.qmp.ask("system_reset")
    assert machine.qmp.event("RESET")["guest"] is False


# --- power

@pytest.mark.ours("Debian's QEMU has no virtual clock for tests")
def test_the_timer_is_exact(start):
    test = start().test
    assert test.inl(TIMER) == 0
    for ns, ticks in ((1_000_000_000, 3_579_545), (1_000_000, 3_583_124), (60_000_000_000, 218_355_824)):
        test.clock_step(ns)
        assert test.inl(TIMER) == ticks
    assert test.inw(TIMER) == 218_355_824 & 0xFFFF
    test.outl(TIMER, 0)
    assert test.inl(TIMER) == 218_355_824, "read-only"


@pytest.mark.ours("Debian's QEMU has no virtual clock for tests")
def test_the_timers_carry(start):
    """TMR_STS when the top bit turns: of 32 bits, as the FADT says, all ten minutes."""
    test = start().test
    test.intercept()
    test.outw(ENABLE, CARRY)
    test.clock_step(599_000_000_000)
    assert not test.inw(STATUS) & CARRY and ("raise", 9) not in test.listen()
    test.clock_step(1_000_000_000)
    assert test.inw(STATUS) & CARRY and test.inl(TIMER) >> 31 == 1
    test.wait_irq("raise", 9)
    test.outw(STATUS, CARRY)
    assert not test.inw(STATUS) & CARRY
    test.wait_irq("lower", 9)
    test.clock_step(600_000_000_000)
    assert test.inw(STATUS) & CARRY and test.inl(TIMER) >> 31 == 0


def test_the_power_button(start):
    machine = start()
    test = machine.test
    test.intercept()
    test.outw(CONTROL, 1)
    test.outw(ENABLE, BUTTON)
    assert test.inw(STATUS) & BUTTON == 0
    machine.qmp.ask("system_powerdown")
    machine.qmp.event("POWERDOWN")
    assert test.inw(STATUS) & BUTTON
    test.wait_irq("raise", 9)
    test.irqs.clear()
    test.outw(STATUS, 0)
    assert test.inw(STATUS) & BUTTON, "only a one clears it"
    test.outw(STATUS, BUTTON)
    assert test.inw(STATUS) & BUTTON == 0
    test.wait_irq("lower", 9)
    assert machine.qmp.ask("query-status")["status"] == "running", "the guest decides"


@pytest.mark.ours("QEMU forgets a button that was not enabled")
def test_a_button_nobody_waits_for(start):
    machine = start()
    machine.test.intercept()
    machine.qmp.ask("system_powerdown")
    machine.qmp.event("POWERDOWN")
    assert machine.test.inw(STATUS) & BUTTON
    assert ("raise", 9) not in machine.test.listen()
    machine.test.outw(ENABLE, BUTTON)
    machine.test.wait_irq("raise", 9)


def test_enable_and_control_read_back(start):
    test = start().test
    test.outw(ENABLE, 0x0521)
    assert test.inw(ENABLE) == 0x0521
    test.outw(CONTROL, 0x1401 & ~0x400)
    assert test.inw(CONTROL) & 0x1C01 == 0x1001, "the sleep type, and SCI_EN"
    assert test.inw(CONTROL) & 1 << 13 == 0, "SLP_EN reads as zero"


SOFT_OFF = 5 << 10 | 1 << 13


def turn_off(machine):
    machine.test.outw(CONTROL, SOFT_OFF if not machine.is_qemu else 1 << 13)


def test_soft_off_ends_it(start):
    machine = start()
    try:
        turn_off(machine)
    except Closed:
        pass
    assert machine.qmp.event("SHUTDOWN") == {"guest": True, "reason": "guest-shutdown"}
    assert machine.process.wait(20) == 0


def test_soft_off_without_an_end(start):
    machine = start("-no-shutdown")
    turn_off(machine)
    assert machine.qmp.event("SHUTDOWN") == {"guest": True, "reason": "guest-shutdown"}
    assert machine.qmp.ask("query-status")["status"] == "shutdown"
    with pytest.raises(Refused):
        machine.qmp.ask("cont")
    machine.qmp.ask("system_reset")
    machine.qmp.event("RESET")
    machine.qmp.ask("cont")
    machine.qmp.event("RESUME")
    assert machine.qmp.ask("query-status")["status"] == "running"


@pytest.mark.parametrize("value", [1 << 13 | 1 << 10, 1 << 13 | 7 << 10, 5 << 10])
@pytest.mark.ours("QEMU has other sleep types")
def test_other_sleep_types_do_nothing(start, value):
    machine = start()
    machine.test.outw(CONTROL, value)
    machine.test.inw(CONTROL)
    assert machine.qmp.ask("query-status")["status"] == "running"


# --- panic

PANIC = ("-device", "pvpanic", "-action", "panic=none")  # QEMU's way to it


def test_a_panic_is_reported(start, program):
    machine = start(*(PANIC if "qemu" in program else ()))
    assert machine.test.inb(0x505) & 1, "the event that is known"
    machine.test.outb(0x505, 1)
    assert machine.qmp.event("GUEST_PANICKED")["action"] in ("pause", "run")


@pytest.mark.ours("QEMU's default is to end")
def test_a_panicked_machine_stands_still(start):
    machine = start()
    machine.test.outb(0x505, 1)
    assert machine.qmp.event("GUEST_PANICKED") == {"action": "pause"}
    machine.qmp.event("STOP")
    assert machine.qmp.ask("query-status") == {"status": "guest-panicked", "running": False, "singlestep": False}
    machine.qmp.ask("cont")  # as with QEMU: who knows better may go on
    machine.qmp.event("RESUME")
    machine.test.outb(0x505, 1)
    machine.qmp.event("STOP")
    machine.test.outb(0x505, 2)
    machine.qmp.ask("system_reset")
    machine.qmp.event("RESET")
    machine.qmp.ask("cont")
    assert machine.qmp.ask("query-status")["running"]


@pytest.mark.ours("QEMU's default is to end")
def test_a_guest_is_told_of_once(start):
    """However often it says it: events that nobody reads end a monitor's connection."""
    machine = start()
    for event in (2, 1):
        for _ in range(30):
            machine.test.lines.send(f"outb 0x505 {event}\n" * 1000)
            assert {machine.test.lines.line() for _ in range(1000)} == {"OK"}
    assert machine.qmp.ask("query-status")["status"] == "guest-panicked"
    told = [event for event in machine.qmp.events if event["event"] == "GUEST_PANICKED"]
    assert [event["data"]["action"] for event in told] == ["run", "pause"]


@pytest.mark.ours("another event there")
def test_a_crash_kernel_goes_on(start):
    machine = start()
    machine.test.outb(0x505, 2)
    assert machine.qmp.event("GUEST_PANICKED") == {"action": "run"}
    assert machine.qmp.ask("query-status")["running"]
    machine.test.outb(0x505, 0xF8)
    assert machine.qmp.ask("query-status")["running"]


@pytest.mark.ours("Debian's QEMU is older than the event")
def test_a_shutdown_that_the_panic_port_tells_of(start):
    machine = start("-no-shutdown")
    assert machine.test.inb(0x505) == 7, "the events that are known"
    machine.test.outb(0x505, 0xFC)
    assert machine.qmp.event("GUEST_PVSHUTDOWN") == {}
    assert machine.qmp.event("SHUTDOWN") == {"guest": True, "reason": "guest-shutdown"}
    assert machine.qmp.ask("query-status")["status"] == "shutdown"
    machine.test.outb(0x505, 4)
    machine.qmp.ask("query-status")
    assert machine.qmp.events == [], "once"


@pytest.mark.ours("Debian's QEMU is older than the event")
def test_it_ends_the_machine_as_soft_off_does(start):
    machine = start()
    try:
        machine.test.outb(0x505, 4)
    except Closed:
        pass
    machine.qmp.event("GUEST_PVSHUTDOWN")
    machine.qmp.event("SHUTDOWN")
    assert machine.process.wait(20) == 0


@pytest.mark.ours("QEMU's default is to end")
def test_a_panic_comes_before_a_shutdown(start):
    machine = start()
    machine.test.outb(0x505, 5)
    assert machine.qmp.event("GUEST_PANICKED") == {"action": "pause"}
    assert machine.qmp.ask("query-status")["status"] == "guest-panicked"


# --- everything else

@pytest.mark.ours("QEMU's board has more on it, some of which ends things")
def test_any_access_to_any_port(start):
    """Nobody's ports, and those that somebody has at any width: the machine goes on."""
    machine = start()
    test = machine.test
    for port in (*range(0, 0x700), 0xCF8, 0xCFA, 0xCFC, 0xCFF, 0xFFFE, 0xFFFF):
        for size in (1, 2, 4):
            test.inp(port, size)
    off = {0xCF9, 0x505, 0x60, 0x64, 0x604, 0x605}
    for port in (*range(0, 0x700), 0xCFA, 0xCFE, 0xCFF, 0xFFFE, 0xFFFF):
        for size in (1, 2, 4):
            if not off & set(range(port, port + size)):
                test.out(port, size, 0xFFFF_FFFF >> 32 - 8 * size)
    assert machine.qmp.ask("query-status")["running"]
