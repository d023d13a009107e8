"""The clock: the time, the memory beside it, and its interrupts, as a Motorola MC146818 has them."""
import calendar
import time

import pytest

VIRTUAL = pytest.mark.ours("Debian's QEMU has no virtual clock for tests")
SECOND, MS = 10**9, 10**6
A, B, C, D = 10, 11, 12, 13
HELD, RUNS = 0x76, 0x26  # of A: the divider chain, at 1024 Hz
UIP = 0x80
SET, PIE, AIE, UIE, BINARY, HOURS_24 = 0x80, 0x40, 0x20, 0x10, 4, 2
IRQF, PF, AF, UF = 0x80, 0x40, 0x20, 0x10
CELLS = (0, 2, 4, 6, 7, 8, 9, 0x32)


# --- the time

def cmos(test, index, value=None):
    test.outb(0x70, index)
    return test.inb(0x71) if value is None else test.outb(0x71, value)


def clock(test):
    bcd = lambda value: value // 16 * 10 + value % 16  # noqa: E731
    fields = [bcd(cmos(test, index)) for index in (9, 8, 7, 4, 2, 0)]
    return calendar.timegm((bcd(cmos(test, 0x32)) * 100 + fields[0], *fields[1:]))


def test_the_time_is_the_hosts(start):
    test = start().test
    assert cmos(test, 11) & 6 == 2, "24 hours, BCD"
    assert cmos(test, 13) & 0x80, "its battery is good"
    for _ in range(3):  # the second may turn between two registers
        if abs(clock(test) - time.time()) <= 2:
            return
    pytest.fail("another time")


@pytest.mark.ours("QEMU's stands still with the test's clock")
def test_the_time_is_set_and_goes_on(start):
    test = start().test
    for index, value in ((11, 0x02), (0x32, 0x20), (9, 0x30), (8, 0x12), (7, 0x24), (4, 0x18), (2, 0x30), (0, 0x00)):
        cmos(test, index, value)
    assert 0 <= clock(test) - calendar.timegm((2030, 12, 24, 18, 30, 0)) <= 2
    cmos(test, 11, 0x06)
    assert (cmos(test, 9), cmos(test, 8), cmos(test, 4)) == (30, 12, 18), "binary"
    cmos(test, 11, 0x00)
    assert cmos(test, 4) == 0x86, "six in the evening"


def test_the_time_is_set_as_linux_does(start):
    """Field by field while the clock is held: a month that lacks the day of before is no other month."""
    test = start().test
    for day, month in ((0x31, 0x01), (0x15, 0x02), (0x31, 0x03), (0x29, 0x02)):
        cmos(test, 11, 0x82)
        for index, value in ((9, 0x28), (8, month), (7, day), (4, 0x10), (2, 0x20), (0, 0x30), (0x32, 0x20)):
            cmos(test, index, value)
        assert cmos(test, 8) == month and cmos(test, 7) == day
        cmos(test, 11, 0x02)
        assert (cmos(test, 0x32), cmos(test, 9), cmos(test, 8), cmos(test, 7)) == (0x20, 0x28, month, day)
        assert (cmos(test, 4), cmos(test, 2)) == (0x10, 0x20) and 0x30 <= cmos(test, 0) <= 0x35


@pytest.mark.parametrize("hour, at_24", [(0x12, 0x00), (0x01, 0x01), (0x92, 0x12), (0x81, 0x13), (0x91, 0x23)])
def test_hours_by_twelve(start, hour, at_24):
    machine = start()
    test = machine.test
    for index, value in ((11, 0x80), (7, 0x15), (4, hour), (11, 0x00)):
        cmos(test, index, value)
    assert cmos(test, 4) == hour
    cmos(test, 11, 0x02)
    if not machine.is_qemu:  # whose registers stay as they were written
        assert cmos(test, 4) == at_24 and cmos(test, 7) == 0x15


@pytest.mark.ours("QEMU's stands still with the test's clock")
@pytest.mark.parametrize("index", [0, 2, 4, 6, 7, 8, 9, 0x32])
def test_any_value_of_the_time(start, index):
    """The clock takes what is no time too, and shows one."""
    test = start().test
    for value in (0x00, 0x59, 0x99, 0xFF):
        cmos(test, index, value)
        clock_now = [cmos(test, i) for i in (0, 2, 4, 7, 8, 9)]
        assert all(field & 0xF < 10 and field >> 4 < 10 for field in clock_now), clock_now


@pytest.mark.parametrize("memory", [128, 256, 1024])
def test_memory_sizes_in_the_cmos(start, memory):
    test = start(memory=memory).test
    assert cmos(test, 0x34) | cmos(test, 0x35) << 8 == (memory - 16) * 16
    assert cmos(test, 0x30) | cmos(test, 0x31) << 8 == min((memory - 1) * 1024, 0xFFFF)
    assert cmos(test, 0x5B) | cmos(test, 0x5C) << 8 == 0


def test_memory_above_4_gib_in_the_cmos(start):
    test = start(memory=3072).test
    assert cmos(test, 0x34) | cmos(test, 0x35) << 8 == (2048 - 16) * 16
    assert cmos(test, 0x5B) | cmos(test, 0x5C) << 8 | cmos(test, 0x5D) << 16 == 1024 * 16


def test_the_other_cells_are_memory(start):
    test = start().test
    for index in (0x50, 0x6F, 0x7F):
        cmos(test, index, 0xA5)
        assert cmos(test, index) == 0xA5
    assert cmos(test, 0x80 | 0x50) == 0xA5, "the top bit masks an NMI"


# --- held, and let go

def set_time(test, hour, minute, second, mode=HOURS_24, day=2, month=2, year=0x11, century=0x20):
    """By the divider: the first update comes half a second later."""
    cmos(test, B, mode)
    cmos(test, A, HELD)
    for index, value in ((4, hour), (2, minute), (0, second), (7, day), (8, month), (9, year), (0x32, century)):
        cmos(test, index, value)
    cmos(test, A, RUNS)


def hms(test):
    return tuple(cmos(test, index) for index in (4, 2, 0))


@pytest.mark.parametrize("register, value", [(A, divider << 4 | 6) for divider in range(3, 8)] + [(B, SET | HOURS_24)])
def test_held_each_register_is_a_cell(start, register, value):
    machine = start()
    test = machine.test
    cmos(test, register, value)
    for number in (0x00, 0x5A, 0x99, 0xFF):
        for offset, index in enumerate(CELLS):
            cmos(test, index, number ^ offset)
        if not machine.is_qemu:
            test.clock_step(3 * SECOND)
        assert [cmos(test, index) for index in CELLS] == [number ^ offset for offset in range(len(CELLS))]


@VIRTUAL
def test_the_first_update_comes_half_a_second_after_the_release(start):
    test = start().test
    for part in (0, 123 * MS, 999 * MS):
        test.clock_step(part)
        set_time(test, 0x02, 0x04, 0x58)
        test.clock_step(SECOND // 2 - 1)
        assert hms(test) == (0x02, 0x04, 0x58)
        test.clock_step(1)
        assert hms(test) == (0x02, 0x04, 0x59)
        test.clock_step(SECOND - 1)
        assert hms(test) == (0x02, 0x04, 0x59)
        test.clock_step(1)
        assert hms(test) == (0x02, 0x05, 0x00)


@VIRTUAL
def test_while_it_is_set_the_divider_goes_on(start):
    test = start().test
    set_time(test, 0x02, 0x04, 0x58)
    test.clock_step(1300 * MS)  # 0.2 s before an update
    cmos(test, B, SET | HOURS_24)
    test.clock_step(7 * SECOND)
    assert hms(test) == (0x02, 0x04, 0x59)
    cmos(test, 0, 0x10)
    cmos(test, B, HOURS_24)
    test.clock_step(200 * MS - 1)
    assert hms(test) == (0x02, 0x04, 0x10)
    test.clock_step(1)
    assert hms(test) == (0x02, 0x04, 0x11)


@VIRTUAL
def test_held_twice_it_waits_for_both(start):
    test = start().test
    set_time(test, 0x02, 0x04, 0x00)
    cmos(test, B, SET | HOURS_24)
    cmos(test, A, HELD)
    cmos(test, B, HOURS_24)
    test.clock_step(5 * SECOND)
    assert hms(test) == (0x02, 0x04, 0x00)
    cmos(test, B, SET | HOURS_24)
    cmos(test, A, RUNS)
    test.clock_step(5 * SECOND)
    assert hms(test) == (0x02, 0x04, 0x00)
    cmos(test, B, HOURS_24)
    test.clock_step(SECOND // 2)
    assert hms(test) == (0x02, 0x04, 0x01)


@VIRTUAL
def test_an_update_is_announced(start):
    test = start().test
    set_time(test, 0x02, 0x04, 0x58)
    assert not cmos(test, A) & UIP
    test.clock_step(SECOND // 2 - 245_000)
    assert not cmos(test, A) & UIP
    test.clock_step(1_000)
    assert cmos(test, A) == RUNS | UIP
    cmos(test, A, RUNS)
    assert cmos(test, A) & UIP, "read-only"
    cmos(test, B, SET | HOURS_24)
    assert not cmos(test, A) & UIP
    cmos(test, B, HOURS_24)
    test.clock_step(244_000)
    assert cmos(test, A) == RUNS and cmos(test, 0) == 0x59
    cmos(test, A, 0xFF)
    assert cmos(test, A) == 0x7F
    test.clock_step(SECOND - 1000)
    assert cmos(test, A) == 0x7F


@VIRTUAL
@pytest.mark.parametrize("mode, before, after", [
    (0, (0x81, 0x59, 0x59), (0x82, 0x00, 0x00)), (0, (0x09, 0x59, 0x59), (0x10, 0x00, 0x00)), (0, (0x12, 0x59, 0x59), (0x01, 0x00, 0x00)),
    (0, (0x92, 0x59, 0x59), (0x81, 0x00, 0x00)), (0, (0x11, 0x59, 0x59), (0x92, 0x00, 0x00)), (0, (0x91, 0x59, 0x59), (0x12, 0x00, 0x00)),
    (BINARY, (0x8C, 59, 59), (0x81, 0, 0)), (BINARY, (0x0C, 59, 59), (1, 0, 0)), (BINARY, (0x0B, 59, 59), (0x8C, 0, 0)), (BINARY, (0x8B, 59, 59), (0x0C, 0, 0)),
    (HOURS_24, (0x23, 0x59, 0x59), (0, 0, 0)), (HOURS_24 | BINARY, (23, 59, 59), (0, 0, 0)), (HOURS_24 | BINARY, (9, 59, 59), (10, 0, 0)),
])
def test_hours_turn(start, mode, before, after):
    test = start().test
    set_time(test, *before, mode=mode)
    assert hms(test) == before
    test.clock_step(SECOND)
    assert hms(test) == after


@VIRTUAL
@pytest.mark.parametrize("before, after", [((1999, 12, 31), (2000, 1, 1)), ((2000, 2, 28), (2000, 2, 29)), ((2100, 2, 28), (2100, 3, 1)),
                                           ((2080, 2, 29), (2080, 3, 1)), ((1980, 6, 30), (1980, 7, 1)), ((0, 2, 29), (0, 3, 1)),
                                           ((9999, 12, 31), (10000, 1, 1))])
def test_dates_turn(start, before, after):
    def bcd(number):
        return number // 10 * 16 + number % 10

    test = start().test
    year, month, day = before
    set_time(test, 0x23, 0x59, 0x59, day=bcd(day), month=bcd(month), year=bcd(year % 100), century=bcd(year // 100))
    test.clock_step(SECOND)
    assert hms(test) == (0, 0, 0)
    year, month, day = after
    assert [cmos(test, index) for index in (0x32, 9, 8, 7)] == [bcd(year // 100), bcd(year % 100), bcd(month), bcd(day)]
    if year in range(1, 9999):
        assert cmos(test, 6) == (calendar.weekday(*after) + 1) % 7 + 1


# --- interrupts

@pytest.fixture
def board(start):
    """A clock at 02:04:58 that has been let go just now, whose line is listened to."""
    machine = start()
    machine.test.intercept()
    set_time(machine.test, 0x02, 0x04, 0x58)
    cmos(machine.test, C)
    machine.test.listen()
    return machine


@VIRTUAL
def test_nothing_runs_while_nobody_wants_to_know(board):
    test = board.test
    now = test.clock_step(0)
    assert test.clock_step() == now, "no timer"
    test.clock_step(5 * SECOND)
    assert ("raise", 8) not in test.listen()
    assert cmos(test, C) & (UF | PF) == UF | PF, "it happened all the same"
    cmos(test, B, HOURS_24 | UIE)
    assert test.clock_step() > now + 5 * SECOND
    test.wait_irq("raise", 8)
    now = test.clock_step(0)
    assert test.clock_step() == now, "it is told once until the guest has looked"
    cmos(test, B, HOURS_24)
    cmos(test, C)
    assert test.clock_step() == now


@VIRTUAL
def test_an_update_interrupts(board):
    test = board.test
    cmos(test, B, HOURS_24 | UIE)
    test.clock_step(SECOND // 2 - 1)
    assert test.listen() == []
    for second in (0x59, 0x00, 0x01):
        test.clock_step(1)
        test.wait_irq("raise", 8)
        assert cmos(test, 0) == second
        assert cmos(test, C) & ~PF == IRQF | UF
        test.wait_irq("lower", 8)
        assert cmos(test, C) == 0
        test.irqs.clear()
        test.clock_step(SECOND - 1)
        assert ("raise", 8) not in test.listen()


@VIRTUAL
def test_what_has_happened_interrupts_when_it_is_enabled(board):
    test = board.test
    test.clock_step(SECOND)
    cmos(test, B, HOURS_24 | UIE)
    test.wait_irq("raise", 8)
    cmos(test, B, HOURS_24)
    test.wait_irq("lower", 8)
    assert cmos(test, C) & ~PF == UF


@VIRTUAL
def test_a_clock_that_is_set_does_not_interrupt(board):
    test = board.test
    cmos(test, B, HOURS_24 | UIE | AIE)
    cmos(test, B, HOURS_24 | UIE | AIE | SET)
    assert cmos(test, B) == HOURS_24 | AIE | SET, "which ends the update's interrupt"
    for index in (1, 3, 5):
        cmos(test, index, 0xFF)
    test.clock_step(3 * SECOND)
    assert cmos(test, C) & ~PF == 0 and test.listen() == []
    cmos(test, A, HELD)
    cmos(test, C)
    test.clock_step(3 * SECOND)
    assert cmos(test, C) == 0, "nor does a divider that is held"


@VIRTUAL
@pytest.mark.parametrize("mode, now, at, seconds", [
    (HOURS_24, (0x02, 0x04, 0x58), (0x02, 0x05, 0x00), 2),
    (HOURS_24, (0x02, 0x04, 0x58), (0xC0, 0xFF, 0x00), 2),
    (HOURS_24, (0x02, 0x04, 0x58), (0xFF, 0xD0, 0xC5), 1),
    (HOURS_24, (0x02, 0x04, 0x58), (0xC0, 0x10, 0xC0), 302),
    (HOURS_24, (0x02, 0x04, 0x58), (0x03, 0xC0, 0xC0), 3302),
    (HOURS_24, (0x02, 0x04, 0x58), (0x02, 0x04, 0x58), 86400),
    (HOURS_24, (0x23, 0x59, 0x59), (0x00, 0x00, 0x00), 1),
    (0, (0x81, 0x59, 0x00), (0x82, 0xC0, 0xC0), 60),
    (BINARY, (3, 0, 0), (0x82, 0xC0, 0xC0), 11 * 3600),
    (BINARY, (0x8B, 59, 59), (0x0C, 0, 0), 1),
    (BINARY | HOURS_24, (11, 59, 0), (12, 0, 0), 60),
])
def test_the_alarm(start, mode, now, at, seconds):
    test = start().test
    test.intercept()
    for index, value in zip((5, 3, 1), at):
        cmos(test, index, value)
    set_time(test, *now, mode=mode)
    cmos(test, C)
    cmos(test, B, mode | AIE)
    begin = test.clock_step(0)
    test.clock_step(seconds * SECOND - SECOND // 2 - 1)
    assert ("raise", 8) not in test.listen()
    test.clock_step(1)
    test.wait_irq("raise", 8)
    assert test.clock_step(0) - begin == seconds * SECOND - SECOND // 2
    assert cmos(test, C) & (IRQF | AF) == IRQF | AF
    test.wait_irq("lower", 8)
    assert not cmos(test, C) & AF


@VIRTUAL
@pytest.mark.parametrize("at", [(0x24, 0xC0, 0xC0), (0xC0, 0x60, 0xC0), (0xC0, 0xC0, 0x0A), (0x3F, 0x7F, 0x7F)])
def test_an_alarm_at_no_time(board, at):
    test = board.test
    for index, value in zip((5, 3, 1), at):
        cmos(test, index, value)
    cmos(test, B, HOURS_24 | AIE)
    assert test.clock_step() == test.clock_step(0), "nothing is waited for"
    test.clock_step(3 * 86400 * SECOND)
    assert not cmos(test, C) & AF and test.listen() == []


@VIRTUAL
def test_an_alarm_follows_what_is_written(board):
    test = board.test
    for index, value in ((5, 0xC0), (3, 0xC0), (1, 0x30)):
        cmos(test, index, value)
    cmos(test, B, HOURS_24 | AIE)
    cmos(test, 1, 0x10)
    test.clock_step(11_499 * MS)
    assert ("raise", 8) not in test.listen()
    cmos(test, 0, 0x20)  # past it
    test.clock_step(49 * SECOND)
    assert ("raise", 8) not in test.listen()
    test.clock_step(SECOND)
    test.wait_irq("raise", 8)
    assert cmos(test, 0) == 0x10


@VIRTUAL
@pytest.mark.parametrize("rate", range(16))
def test_the_periodic_interrupt(board, rate):
    test = board.test
    cmos(test, A, 0x20 | rate)
    cmos(test, C)
    cmos(test, B, HOURS_24 | PIE)
    now = test.clock_step(0)
    if rate == 0:
        assert test.clock_step() == now
        return
    hertz = {1: 256, 2: 128}.get(rate, 65536 >> rate)
    times = []
    for _ in range(9):
        times.append(test.clock_step())
        test.wait_irq("raise", 8)
        test.irqs.clear()
        assert cmos(test, C) & (IRQF | PF) == IRQF | PF
    assert abs(times[-1] - times[0] - 8 * SECOND // hertz) <= 1
    cmos(test, A, HELD & 0xF0 | rate)
    now = test.clock_step(0)
    assert test.clock_step() == now, "the divider is held"


@VIRTUAL
def test_a_change_of_the_rate_counts_from_the_last_period(board):
    test = board.test
    cmos(test, A, 0x2D)
    cmos(test, B, HOURS_24 | PIE)
    cmos(test, C)
    begin = test.clock_step()
    assert cmos(test, C) & PF
    for _ in range(5):
        for rate in (0x2F, 0x2D):
            cmos(test, A, rate)
            now = test.clock_step()
            assert cmos(test, C) & PF
    assert now - begin == 5 * (500 + 125) * MS
    test.clock_step(100 * MS)
    cmos(test, A, 0x26)
    test.wait_irq("raise", 8)
    assert cmos(test, C) & PF, "it is due"


@VIRTUAL
def test_periods_that_nobody_saw_are_one(board):
    test = board.test
    cmos(test, B, HOURS_24 | PIE)
    test.clock_step(SECOND)
    assert cmos(test, C) & PF and not cmos(test, C) & PF


@VIRTUAL
def test_a_reset_ends_interrupts_and_not_the_time(board):
    test = board.test
    cmos(test, B, HOURS_24 | PIE | AIE | UIE | 8)
    cmos(test, 0x50, 0x77)
    test.clock_step(SECOND)
    test.wait_irq("raise", 8)
    board.qmp.ask("system_reset")
    board.qmp.event("RESET")
    test.wait_irq("lower", 8)
    assert cmos(test, B) == HOURS_24 and cmos(test, C) == 0
    assert hms(test) == (0x02, 0x04, 0x59) and cmos(test, 0x50) == 0x77
    assert cmos(test, A) == RUNS and cmos(test, D) == 0x80


@VIRTUAL
def test_registers_that_are_only_read(board):
    test = board.test
    for index, value in ((C, 0), (D, 0x80)):
        cmos(test, index, 0xFF)
        assert cmos(test, index) == value


@VIRTUAL
def test_any_value_of_any_register(start):
    """The machine goes on, and time too once the clock is let go."""
    machine = start()
    test = machine.test
    for index in range(16):
        for value in range(0, 256, 5):
            cmos(test, index, value)
            cmos(test, index)
            test.clock_step(7 * SECOND + value)
            cmos(test, C)
    set_time(test, 0x02, 0x04, 0x58)
    test.clock_step(SECOND)
    assert hms(test) == (0x02, 0x04, 0x59)
