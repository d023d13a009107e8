"""Debian's cloud kernel, unchanged, boots to a login, and finds the machine that the command line describes."""
import re

import pytest

from machine import Machine

UUID = "0e6dcd7b-8a64-4f4e-9f4f-3b0a5d3c2b1a"
# What is booted, and how its processors are told apart: (socket, core, thread) of each.
GUESTS = {
    "one_cpu_128M": (dict(cpus=1, memory="128M"), [(0, 0, 0)]),
    "two_cpus_512M_ttyS0": (dict(cpus="2,sockets=2", memory="512M", console="ttyS0"), [(0, 0, 0), (1, 0, 0)]),
    "four_cpus_6G": (dict(cpus="4,sockets=1,cores=2,threads=2", memory="6G"), [(0, 0, 0), (0, 0, 1), (0, 1, 0), (0, 1, 1)]),
    "six_cpus_of_three_cores": (dict(cpus="6,sockets=2,cores=3,threads=1", memory="256M"), [(socket, core, 0) for socket in range(2) for core in range(3)]),
    "uncompressed_kernel_by_PVH": (dict(kernel="/guest/vmlinux", cpus="2,maxcpus=2,sockets=1,cores=2", memory="3G"), [(0, 0, 0), (0, 1, 0)]),
}
GIB = 1 << 30


@pytest.fixture(scope="module", params=GUESTS)
def guest(request, host):
    how, places = GUESTS[request.param]
    machine = Machine(host, "-uuid", UUID, "-smbios", "type=1,manufacturer=Maker,product=Thing,serial=42", "-smbios", "type=2,product=Board", **how)
    machine.places, machine.how = places, how
    yield machine.log_in()
    machine.kill()


def size(words):
    return int(words[:-1]) << {"M": 20, "G": 30}[words[-1]]


def cpu_lists(places, same):
    """Which processors each shares something with, as the kernel writes lists."""
    groups = [[i for i, other in enumerate(places) if same(one, other)] for one in places]
    return [f"{group[0]}-{group[-1]}" if len(group) > 1 else str(group[0]) for group in groups]


def test_the_login_is_on_the_console(guest):
    assert guest.run("readlink /proc/self/fd/2") == "/dev/" + guest.how.get("console", "hvc0")


def test_processors(guest):
    assert guest.run("cat /sys/devices/system/cpu/online") == ("0" if len(guest.places) == 1 else f"0-{len(guest.places) - 1}")

    def lists(name):
        return guest.run(f"cat /sys/devices/system/cpu/cpu*/topology/{name}").split("\n")

    assert lists("thread_siblings_list") == cpu_lists(guest.places, lambda one, other: one[:2] == other[:2])
    assert lists("core_siblings_list") == cpu_lists(guest.places, lambda one, other: one[0] == other[0])
    assert lists("physical_package_id") == [str(socket) for socket, _, _ in guest.places]
    assert lists("core_id") == [str(core) for _, core, _ in guest.places]


def test_memory(guest):
    ranges = re.findall(r"^([0-9a-f]+)-([0-9a-f]+) : System RAM$", guest.run("cat /proc/iomem"), re.M)
    ranges = [(int(begin, 16), int(end, 16) + 1) for begin, end in ranges]
    all, low = size(guest.how["memory"]), 2 * GIB
    found = sum(end - begin for begin, end in ranges)
    # The kernel takes the first page, and below 1 MiB is what never was memory.
    assert all - (512 << 10) < found < all
    assert [pair for pair in ranges if pair[0] >= 4 * GIB] == ([(4 * GIB, 2 * GIB + all)] if all > low else [])
    assert ranges[-1][1] == (2 * GIB + all if all > low else all)
    total = 1024 * int(re.search(r"MemTotal: +(\d+) kB", guest.run("cat /proc/meminfo"))[1])
    assert total < all < total + (64 << 20) + all // 32


def test_identity(guest):
    def dmi(name):
        return guest.run(f"cat /sys/class/dmi/id/{name}")

    assert dmi("product_uuid") == UUID
    assert [dmi(name) for name in ("sys_vendor", "product_name", "product_serial", "board_name")] == ["Maker", "Thing", "42", "Board"]
    assert dmi("chassis_vendor") == "StratoVirt"


def test_clock_is_that_of_kvm(guest):
    assert guest.run("cat /sys/devices/system/clocksource/clocksource0/current_clocksource") == "kvm-clock"
    assert abs(int(guest.run("/bin/busybox date +%s")) - int(guest.host.run("date +%s"))) < 5


def test_the_kernel_finds_no_fault_with_the_machine(guest):
    """But for what the emulated processor under the box does to every monitor's guests, and hvc0, whose driver is a module."""
    said = guest.run("dmesg -r | grep '^<[0-3]>'; true")
    worse = [line for line in re.findall(r"^<[0-3]>(?:\[ *[\d.]+\] )?(.*)$", said, re.M)]
    assert [line for line in worse if not re.search("Unstable clock|Speculative|XSAVE|initial console", line)] == []


def test_stopped_it_is_silent_and_goes_on(guest):
    guest.console.send("n=0; while [ $n -lt 100000 ]; do n=$((n+1)); echo $n; done & echo ticking\n")
    guest.console.wait("ticking")
    guest.console.wait("\n")
    guest.qmp.ask("stop")
    guest.qmp.event("STOP")
    assert guest.qmp.ask("query-status") == {"status": "paused", "running": False, "singlestep": False}
    assert guest.console.silent(1) and guest.console.silent(1)
    guest.qmp.ask("cont")
    guest.qmp.event("RESUME")
    guest.console.wait(r"\d+\r\n")
    guest.run("kill -9 $!; wait")
    assert guest.qmp.ask("query-status")["running"]


def test_going_on_it_may_be_stopped_at_once(guest):
    """Before its processors' threads have woken."""
    guest.qmp.ask_at_once(*["stop", "cont"] * 100, *["query-cpus"] * 100)
    assert guest.qmp.ask("query-status")["running"]
    assert guest.run("echo it lives") == "it lives"


def test_each_processor_has_its_thread(guest):
    cpus = guest.qmp.ask("query-cpus")
    names = {thread: guest.host.run(f"cat /proc/{thread}/comm").strip() for thread in (cpu["thread_id"] for cpu in cpus)}
    assert list(names.values()) == [f"CPU {n}/KVM" for n in range(len(guest.places))]
    assert [tuple(cpu["props"][f"{name}-id"] for name in ("socket", "core", "thread")) for cpu in cpus] == guest.places


def test_processors_are_halted_or_not(guest):
    def halted():
        return [cpu["halted"] for cpu in guest.qmp.ask("query-cpus")]

    assert any(all(halted()) for _ in range(200))  # at rest
    guest.console.send("while :; do :; done & echo busy\n")
    guest.console.wait("busy\r\n")
    assert any(not all(halted()) for _ in range(200))
    guest.run("kill -9 $!; wait")  # another signal is lost on a child that has not begun: it still ignores what its shell does


def test_power_off_ends_the_program(guest):
    guest.console.send("poweroff\n")
    assert guest.qmp.event("SHUTDOWN") == {"guest": True, "reason": "guest-shutdown"}
    assert guest.ended() == 0
    guest.host.run(f"[ ! -e {guest.folder}/pid ]")
