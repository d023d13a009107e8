"""Many clients at once, and many domains: no error, no event lost or out of order, nothing left, every command answers."""

import concurrent.futures
import subprocess
import sys
import time

import libvirt
import pytest

from lib import xml
from lib.virsh import Virsh
from lib.wait import until
from world import World, descriptors, status_kib

CLIENT = r"""
import sys, threading, libvirt

uri, name, rounds, description = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
libvirt.virEventRegisterDefaultImpl()
threading.Thread(target=lambda: [libvirt.virEventRunDefaultImpl() for _ in iter(int, 1)], daemon=True).start()
connection = libvirt.open(uri)
came, seen = threading.Condition(), []

def event(connection, domain, kind, detail, _):
    with came:
        if domain.name() == name:
            seen.append((kind, detail))
            came.notify_all()

connection.domainEventRegisterAny(None, libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, event, None)
L = libvirt
ONE = [(L.VIR_DOMAIN_EVENT_DEFINED, L.VIR_DOMAIN_EVENT_DEFINED_ADDED), (L.VIR_DOMAIN_EVENT_STARTED, L.VIR_DOMAIN_EVENT_STARTED_BOOTED),
       (L.VIR_DOMAIN_EVENT_SUSPENDED, L.VIR_DOMAIN_EVENT_SUSPENDED_PAUSED), (L.VIR_DOMAIN_EVENT_STOPPED, L.VIR_DOMAIN_EVENT_STOPPED_DESTROYED),
       (L.VIR_DOMAIN_EVENT_UNDEFINED, L.VIR_DOMAIN_EVENT_UNDEFINED_REMOVED)]
print("ready", flush=True)
sys.stdin.readline()
for _ in range(rounds):
    domain = connection.defineXML(description)
    domain.createWithFlags(L.VIR_DOMAIN_START_PAUSED)
    assert name in [each.name() for each in connection.listAllDomains()]
    assert domain.info()[0] == L.VIR_DOMAIN_PAUSED
    domain.destroy()
    domain.undefine()
with came:
    assert came.wait_for(lambda: len(seen) >= len(ONE) * rounds, 60), f"{len(seen)} events: {seen}"
    assert seen == ONE * rounds, seen
connection.close()
print("done", flush=True)
"""
TINY = 16  # MiB: a machine that waits touches little of it
MANY = 10000


def tiny(name, **parts):
    return xml.bare(name, memory=TINY, **parts)


@pytest.fixture
def world(base, program):
    one = World(base / f"load-{len(list(base.glob('load-*')))}", program)
    one.begin()
    yield one
    one.end()


def run_clients(world, count, rounds):
    """That many processes, let go at once. What went wrong."""
    script = world.root / "client.py"
    script.write_text(CLIENT)
    processes = []
    for number in range(count):
        name = f"load-{number}"
        command = [sys.executable, str(script), world.server.uri, name, str(rounds), tiny(name)]
        processes.append(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
    for process in processes:
        assert process.stdout.readline() == "ready\n", process.stderr.read()
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()
    wrong = []
    for process in processes:
        out, error = process.communicate(timeout=1200)
        if process.returncode or out != "done\n":
            wrong.append(error)
    return wrong


def steady(world, most):
    until(lambda: len(descriptors(world.server.pid)) <= most, f"descriptors to be given back: {descriptors(world.server.pid)}", 20)


def test_clients_at_once(world, soak, record):
    """Each defines its own, starts it paused, lists, watches events, destroys and undefines it. The second time it costs nothing any more."""
    count = 200 if soak else 20
    wrong = run_clients(world, count, 1)
    idle, memory = len(descriptors(world.server.pid)), status_kib(world.server.pid, "VmRSS")
    wrong += run_clients(world, count, 2)
    steady(world, idle)
    grown = status_kib(world.server.pid, "VmRSS") - memory
    record(f"{count} clients at once, each with a machine of its own", 3 * count, len(wrong))
    assert not wrong, wrong[0]
    assert world.leftovers() == []
    assert grown < 16 << 10, f"{grown} KiB more"
    assert sorted(path.name for path in world.root.glob("etc/libvirt/stratovirt/*")) == ["autostart"]


COMMANDS = [
    "list --all", "list --all --name", "list --all --persistent --title", "dominfo NAME", "dumpxml NAME", "domstate NAME", "domuuid NAME", "domstats NAME", "domblklist NAME", "vcpucount NAME",
    "desc NAME --title x", "autostart NAME", "autostart NAME --disable", "domrename NAME again", "domrename again NAME", "start NAME --paused", "domid NAME", "suspend NAME",
    "resume NAME", "destroy NAME", "undefine NAME", "nodeinfo", "capabilities", "domstats --state",
]  # fmt: skip


def all_commands(world, name):
    virsh = Virsh(world.server.uri)
    slowest = max((time_of(virsh, command.replace("NAME", name).split()), command) for command in COMMANDS)
    print(f"the slowest command: {slowest[1]}, {slowest[0]:.2f} s")


def time_of(virsh, words):
    begun = time.monotonic()
    virsh(*words, timeout=60)
    return time.monotonic() - begun


def test_ten_thousand_domains(world, record):
    """Every command answers, and the next daemon has them all."""
    connections = [libvirt.open(world.server.uri) for _ in range(8)]
    with concurrent.futures.ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda number: connections[number % 8].defineXML(tiny(f"many-{number:05}")), range(MANY)))
    assert world.connection.numOfDefinedDomains() == MANY
    all_commands(world, "many-04711")
    names = {domain.name() for domain in world.connection.listAllDomains()}
    world.server.kill()
    begun = time.monotonic()
    world.again()
    print(f"served again after {time.monotonic() - begun:.1f} s")
    assert {domain.name() for domain in world.connection.listAllDomains()} == names
    record(f"{MANY} domains, every command, the daemon killed", MANY, 0)


def test_many_that_run(world, soak, record):
    """Every command answers; killed and started again the daemon has them all."""
    count = 100 if soak else 10
    domains = [world.connection.createXML(tiny(f"load-{number}"), libvirt.VIR_DOMAIN_START_PAUSED) for number in range(count)]
    world.connection.defineXML(tiny("subject"))
    all_commands(world, "subject")
    stats = world.connection.getAllDomainStats()
    assert len(stats) == count
    world.server.kill()
    world.again()
    assert {domain.name() for domain in world.connection.listAllDomains()} == {f"load-{number}" for number in range(count)}
    for domain in world.connection.listAllDomains():
        domain.resume()
        domain.suspend()
    assert not world.leftovers()
    for domain in world.connection.listAllDomains():
        domain.destroy()
    assert not world.leftovers() and len(domains) == count
    record(f"{count} machines that run, every command, the daemon killed", count, 0)
