"""Guests of a few instructions (bare.c), for what a kernel does too seldom."""
import itertools

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
