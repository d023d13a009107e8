"""The daemon asked to end while its clients are in the middle of everything: it ends well, and the next one goes on."""

import contextlib
import signal
import threading
import time

import libvirt
import pytest

from lib import wire, xml
from world import ANSWER_SECONDS, World

BEGINNINGS = [b"", b"\0", wire.packet(66), wire.packet(66)[:20], wire.packet(66) * 50]


@pytest.fixture(scope="module")
def world(base, program):
    one = World(base / "end", program).begin()
    one.connection.createXML(xml.bare("honest", devices=xml.CONSOLE))
    yield one
    one.end()


def keep_calling(uri, number, stop):
    """A client's ordinary doings until the daemon is gone. What it registered it takes back itself: a lost connection holds on to it."""
    with contextlib.suppress(libvirt.libvirtError), contextlib.ExitStack() as after:

        def at_end(act, *words):
            after.enter_context(contextlib.suppress(libvirt.libvirtError))
            after.callback(act, *words)

        connection = libvirt.open(uri)
        at_end(connection.close)
        stream = connection.newStream(libvirt.VIR_STREAM_NONBLOCK)
        at_end(stream.abort)
        with contextlib.suppress(libvirt.libvirtError):
            connection.lookupByName("honest").openConsole(None, stream, libvirt.VIR_DOMAIN_CONSOLE_FORCE)
        at_end(connection.domainEventDeregisterAny, connection.domainEventRegisterAny(None, libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, lambda *_: None, None))
        while not stop.is_set():
            domain = connection.defineXML(xml.bare(f"load-{number}"))
            connection.listAllDomains()
            connection.getAllDomainStats()
            if number % 2:
                domain.createWithFlags(libvirt.VIR_DOMAIN_START_PAUSED)
                domain.destroy()
            domain.undefine()


@pytest.mark.parametrize("signal_number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
def test_amid_everything(world, signal_number, rounds, chance, record):
    wrong = []
    for _ in range(rounds * 3):
        stop = threading.Event()
        threads = [threading.Thread(target=keep_calling, args=(world.server.uri, number, stop)) for number in range(6)]
        for thread in threads:
            thread.start()
        with contextlib.ExitStack() as clients:
            for number in range(20):
                client = clients.enter_context(wire.connect(world.server.socket))
                client.sendall(BEGINNINGS[number % len(BEGINNINGS)])
            time.sleep(chance.uniform(0, 0.5))
            world.server.process.send_signal(signal_number)
            status = world.server.process.wait(ANSWER_SECONDS)
            if status:
                wrong.append(f"it ended with status {status}: {world.server.tail(3)}")
        stop.set()
        for thread in threads:
            thread.join(ANSWER_SECONDS)
            assert not thread.is_alive()
        world.again()
        for domain in world.connection.listAllDomains():
            if domain.name() != "honest":
                world.remove(domain.name())
        world.controllable(world.lookup("honest"))
        wrong += world.leftovers()
    record(f"{signal_number.name} amid everything", rounds * 3, len(wrong))
    assert not wrong, "\n".join(wrong)
