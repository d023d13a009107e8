"""Events: which come, with which detail, in which order."""

import os
import re
import signal
import subprocess

import libvirt
import pytest

from lib import host, xml
from lib.wait import until

E = libvirt
PAUSED = libvirt.VIR_DOMAIN_START_PAUSED


def test_the_order_of_a_life(define, events, name):
    domain = define()
    domain.create()
    domain.suspend()
    domain.resume()
    domain.destroy()
    domain.undefine()
    events.wait(name, E.VIR_DOMAIN_EVENT_UNDEFINED)
    # A libvirtd that is slow tells how the emulator takes its SIGTERM, too.
    told = [event for event in events.of(name) if event != (E.VIR_DOMAIN_EVENT_SHUTDOWN, E.VIR_DOMAIN_EVENT_SHUTDOWN_HOST)]
    assert told == [
        (E.VIR_DOMAIN_EVENT_DEFINED, E.VIR_DOMAIN_EVENT_DEFINED_ADDED),
        (E.VIR_DOMAIN_EVENT_RESUMED, E.VIR_DOMAIN_EVENT_RESUMED_UNPAUSED),
        (E.VIR_DOMAIN_EVENT_STARTED, E.VIR_DOMAIN_EVENT_STARTED_BOOTED),
        (E.VIR_DOMAIN_EVENT_SUSPENDED, E.VIR_DOMAIN_EVENT_SUSPENDED_PAUSED),
        (E.VIR_DOMAIN_EVENT_RESUMED, E.VIR_DOMAIN_EVENT_RESUMED_UNPAUSED),
        (E.VIR_DOMAIN_EVENT_STOPPED, E.VIR_DOMAIN_EVENT_STOPPED_DESTROYED),
        (E.VIR_DOMAIN_EVENT_UNDEFINED, E.VIR_DOMAIN_EVENT_UNDEFINED_REMOVED),
    ]


def test_start_paused(create, events, name):
    create()
    events.wait(name, E.VIR_DOMAIN_EVENT_SUSPENDED)
    assert events.of(name) == [
        (E.VIR_DOMAIN_EVENT_STARTED, E.VIR_DOMAIN_EVENT_STARTED_BOOTED),
        (E.VIR_DOMAIN_EVENT_SUSPENDED, E.VIR_DOMAIN_EVENT_SUSPENDED_PAUSED),
    ]


def test_define_again_is_an_update(define, conn, events, name):
    domain = define()
    conn.defineXML(xml.bare(name, uuid=domain.UUIDString(), vcpus=2))
    events.wait(name, E.VIR_DOMAIN_EVENT_DEFINED, E.VIR_DOMAIN_EVENT_DEFINED_UPDATED)


def test_a_rename_undefines_and_defines(define, events, name):
    define().rename(name + "-new")
    events.wait(name, E.VIR_DOMAIN_EVENT_UNDEFINED, E.VIR_DOMAIN_EVENT_UNDEFINED_RENAMED)
    events.wait(name + "-new", E.VIR_DOMAIN_EVENT_DEFINED, E.VIR_DOMAIN_EVENT_DEFINED_RENAMED)


def test_a_crash(create, events, name):
    domain = create(flags=0)
    os.kill(host.emulator_pid(domain.UUIDString()), signal.SIGKILL)
    events.wait(name, E.VIR_DOMAIN_EVENT_STOPPED, E.VIR_DOMAIN_EVENT_STOPPED_FAILED, seconds=5)


def test_a_refused_definition_sends_nothing(conn, define, events, name):
    with pytest.raises(libvirt.libvirtError):
        conn.defineXML(xml.bare(name, machine="frob"))
    define(name=name + "-after")
    events.wait(name + "-after", E.VIR_DOMAIN_EVENT_DEFINED)
    assert not events.of(name)


def test_metadata_change(define, events, name):
    events.also(E.VIR_DOMAIN_EVENT_ID_METADATA_CHANGE)
    domain = define()
    domain.setMetadata(E.VIR_DOMAIN_METADATA_ELEMENT, "<a/>", "k", "urn:k", E.VIR_DOMAIN_AFFECT_CONFIG)
    events.wait(name, E.VIR_DOMAIN_METADATA_ELEMENT, "urn:k")
    for kind in (E.VIR_DOMAIN_METADATA_TITLE, E.VIR_DOMAIN_METADATA_DESCRIPTION):
        domain.setMetadata(kind, "text", None, None, E.VIR_DOMAIN_AFFECT_CONFIG)
        events.wait(name, kind, None)


def test_one_domains_events_only(define, conn, name):
    watched, other = define(name=name + "-1"), define(name=name + "-2")
    seen = []
    callback = conn.domainEventRegisterAny(watched, E.VIR_DOMAIN_EVENT_ID_LIFECYCLE, lambda c, d, *rest: seen.append(d.name()), None)
    other.setAutostart(0)
    other.createWithFlags(PAUSED)
    watched.createWithFlags(PAUSED)
    until(lambda: seen, "an event of the watched domain")
    assert set(seen) == {watched.name()}
    conn.domainEventDeregisterAny(callback)


def test_after_deregistering_nothing_comes(define, uri, events, name):
    seen = []
    other = libvirt.open(uri)  # a connection has each callback once, and this binding has one a kind
    callback = other.domainEventRegisterAny(None, E.VIR_DOMAIN_EVENT_ID_LIFECYCLE, lambda c, d, *rest: seen.append(d.name()), None)
    define(name=f"{name}-first")
    until(lambda: seen, "the first event")
    other.domainEventDeregisterAny(callback)
    define()
    events.wait(name, E.VIR_DOMAIN_EVENT_DEFINED)
    assert other.getHostname() and name not in seen
    other.close()


def test_every_connection_gets_them(define, conn, uri, name):
    from lib.events import Recorder

    connections = [libvirt.open(uri) for _ in range(5)]
    recorders = [Recorder(connection) for connection in connections]
    define()
    for recorder in recorders:
        recorder.wait(name, E.VIR_DOMAIN_EVENT_DEFINED)
        recorder.close()
    for connection in connections:
        connection.close()


def test_virsh_event(virsh, create, name):
    """virsh event --loop prints what happens to a domain until its count is done."""
    domain = create()
    watcher = subprocess.Popen(
        [*virsh.command, "event", name, "--event", "lifecycle", "--timeout", "20"], stdout=subprocess.PIPE, text=True, env=virsh.environment
    )
    def nudge():
        domain.resume()
        domain.suspend()
        return watcher.poll() is not None

    until(nudge, "virsh to see an event", 20)  # it says nothing when it is ready to listen
    out = watcher.communicate()[0]
    assert re.search(rf"event 'lifecycle' for domain '{name}': (Resumed Unpaused|Suspended Paused)", out), out
    assert "events received: 1" in out


def test_virsh_event_list(virsh):
    kinds = virsh("event", "--list").split()
    assert {"lifecycle", "reboot", "balloon-change", "metadata-change", "device-removed"} <= set(kinds)


def test_virsh_event_all(virsh, define, create, name):
    domain = create()
    watcher = subprocess.Popen([*virsh.command, "event", "--all", "--timeout", "20"], stdout=subprocess.PIPE, text=True, env=virsh.environment)

    def nudge():
        domain.resume()
        domain.suspend()
        return watcher.poll() is not None

    until(nudge, "virsh to see an event", 20)
    assert name in watcher.communicate()[0]


# Every kind of event a client may ask for can be asked for, whether or not this driver ever sends it.
@pytest.mark.parametrize("event_id", sorted(value for word, value in vars(libvirt).items() if word.startswith("VIR_DOMAIN_EVENT_ID_")))
def test_every_kind_can_be_registered(conn, event_id):
    callback = conn.domainEventRegisterAny(None, event_id, lambda *_: None, None)
    conn.domainEventDeregisterAny(callback)


def test_balloon_change(guest, events):
    events.also(E.VIR_DOMAIN_EVENT_ID_BALLOON_CHANGE)
    whole = guest.domain.maxMemory()
    guest.domain.setMemory(whole - (32 << 10))
    events.wait(guest.name, whole - (32 << 10), seconds=20)
    guest.domain.setMemory(whole)
    until(lambda: guest.domain.info()[2] == whole, "the balloon to deflate", 20)
