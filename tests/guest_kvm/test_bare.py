"""Guests of a few instructions (bare.c), for what a kernel does too seldom."""
import itertools

import pytest
from machine import Lines, Qmp

ports = itertools.count(6000)


def bare(host, scenario, *options):
    """What a scenario says, and its machine's monitor."""
    port = next(ports)
    words = f"stratovirt -machine q35 -m 128 -kernel /guest/bare{scenario} -serial stdio -qmp tcp:127.0.0.1:{port},server,nowait {' '.join(options)}"
    said = Lines(host.open(f"{words}; echo ended: $?; exit"))
    host.run(f"until nc 127.0.0.1 {port} </dev/null >/dev/null 2>&1; do sleep 0.1; done")
    return said, Qmp(host.open(f"exec nc 127.0.0.1 {port}"))


def device(slot):
    return f"-object rng-random,id=r{slot},filename=/dev/urandom -device virtio-rng-pci,id=rng{slot},rng=r{slot},bus=pcie.0,addr={slot}"


def test_who_is_stopped_in_the_midst_of_an_access_completes_it(host):
    """An instruction that reads and writes a register comes back twice; whoever asks about the processors stops them for a moment."""
    said, qmp = bare(host, 1, device(4))
    said.wait("begun")
    asked = 0
    while not said.more(0.005):
        qmp.ask("query-cpus")
        asked += 1
    assert asked > 10 and int(said.wait(r"lost (\w{8})\n")[1], 16) == 0
    qmp.ask("quit")
    said.wait("ended: 0\n")


def test_registers_over_registers(host):
    said, qmp = bare(host, 2, device(4), device(5))
    said.wait("up")
    said.wait("there c0000004")  # 64 bits wide
    assert qmp.ask("query-status")["running"]
    qmp.ask("quit")
    said.wait("ended: 0\n")


@pytest.mark.parametrize("cpus", [1, 2])
@pytest.mark.parametrize("way", [3, 4, 5], ids=["fault", "keyboard", "register"])
def test_a_reset_is_the_last_that_a_guest_does(host, way, cpus):
    """It goes on into a fault, which is of the guest that was there before: each time another one begins."""
    said, qmp = bare(host, way, "-smp", str(cpus))
    said.wait("A{60}")
    assert qmp.ask("query-status") == {"running": True, "singlestep": False, "status": "running"}
    for _ in range(8):  # beside a host that stops them for a moment, and one that resets too
        qmp.ask_at_once("query-cpus", "stop", "cont", "system_reset")
    said.wait("A{40}")
    assert qmp.ask("query-status")["running"]
    qmp.ask("quit")
    assert b"processor" not in said.said + said.wait("ended: 0\n").string


@pytest.mark.parametrize("cpus", [1, 2])
def test_soft_off_is_the_last_that_a_guest_does(host, cpus):
    said, qmp = bare(host, 6, "-smp", str(cpus), "-no-shutdown", "-S")
    for _ in range(10):
        qmp.ask("cont")
        assert qmp.event("SHUTDOWN")["reason"] == "guest-shutdown"
        assert qmp.ask("query-status")["status"] == "shutdown"
        qmp.ask("system_reset")
        assert qmp.event("RESET") == {"guest": False}
        assert qmp.ask("query-status")["status"] == "paused"
    assert not [event for event in qmp.events if event["event"] in ("SHUTDOWN", "RESET")]
    qmp.ask("quit")
    said.wait("A{10}ended: 0\n")


@pytest.mark.parametrize("cpus", [1, 2])
def test_a_guest_that_panicked_does_no_more(host, cpus):
    said, qmp = bare(host, 7, "-smp", str(cpus), "-S")
    for _ in range(10):
        qmp.ask("cont")
        qmp.event("STOP")
        assert qmp.ask("query-status")["status"] == "guest-panicked"
        qmp.ask("system_reset")
        qmp.event("RESET")
    qmp.ask("quit")
    said.wait("A{10}ended: 0\n")


def test_with_no_reboot_a_reset_ends_the_program_once(host):
    said, qmp = bare(host, 3, "-smp", "2", "-S", "-no-reboot")
    qmp.ask("cont")
    assert qmp.event("SHUTDOWN")["reason"] == "guest-reset"
    said.wait("Aended: 0\n")
