"""Events of a connection, gathered by libvirt-python's own loop in a thread."""

import threading
import time

import libvirt

from . import wait

_started = False


def start_loop():
    global _started
    if not _started:
        libvirt.virEventRegisterDefaultImpl()
        threading.Thread(target=_run, daemon=True).start()
        _started = True


def _run():
    while True:
        libvirt.virEventRunDefaultImpl()


class Recorder:
    """Lifecycle events of every domain: (name, event, detail), in the order they came."""

    def __init__(self, connection):
        self.connection = connection
        self.changed = threading.Condition()
        self.seen = []
        self.ids = []
        self.also(libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE)

    def also(self, event_id):
        """Gathers another kind too, as (name, *arguments of its callback)."""
        self.ids.append(self.connection.domainEventRegisterAny(None, event_id, self._came, None))

    def _came(self, connection, domain, *arguments):
        with self.changed:
            self.seen.append((domain.name(), *arguments[:-1]))
            self.changed.notify_all()

    def of(self, name):
        with self.changed:
            return [event[1:] for event in self.seen if event[0] == name]

    def wait(self, name, *expected, seconds=10.0):
        """Until the event `expected` (a prefix is enough) came for `name`; returns its place among that name's events."""
        seconds *= wait.PATIENCE
        deadline = time.monotonic() + seconds
        with self.changed:
            while True:
                events = [event[1:] for event in self.seen if event[0] == name]
                for place, event in enumerate(events):
                    if event[: len(expected)] == expected:
                        return place
                left = deadline - time.monotonic()
                assert left > 0 and self.changed.wait(left) or time.monotonic() < deadline, (
                    f"no event {expected} of {name} within {seconds:g} s; there were {events}"
                )

    def close(self):
        for callback in self.ids:
            self.connection.domainEventDeregisterAny(callback)
