"""The wire as other producers of it write it: what libvirtd takes of a packet, ours takes, and both answer the same."""

import pytest

from lib import wire, xml
from lib.wire import CALL, CLOSE, CONTINUE, ERROR, HOLE, MESSAGE, OK, OPEN, REPLY, STREAM, number, packet, text

INTERNAL, INVALID_ARG, RPC, NO_DOMAIN = 1, 8, 39, 42
FROM_RPC, FROM_QEMU = 7, 10
GET_TYPE, LIST_DEFINED, LOOKUP_BY_NAME, LIST_DOMAINS, HOSTNAME, SUPPORTS_FEATURE, AUTH_LIST, OPEN_CONSOLE, LIST_ALL, REGISTER, STATS = 3, 21, 23, 37, 59, 60, 66, 201, 273, 316, 344
DECODE = (RPC, FROM_RPC, "Unable to decode message payload")
TRUE = [1, 2, 0x01000000, 0x80000000, 0xFFFFFFFF]
NAME = "wire-15-letters"  # whose padding is a byte


@pytest.fixture(scope="module")
def subject(conn):
    domain = conn.defineXML(xml.bare(NAME))
    yield domain
    domain.undefine()


@pytest.fixture
def fresh(daemon):
    """A connection that was not opened yet."""
    with wire.connect(daemon.socket) as client:
        assert wire.call(client, packet(AUTH_LIST)).status == OK
        yield client


@pytest.fixture
def client(daemon):
    with wire.opened(daemon.socket, daemon.uri) as client:
        yield client


def goes_on(client):
    said = wire.call(client, packet(AUTH_LIST, serial=99))
    return (said.kind, said.serial, said.status) == (REPLY, 99, OK)


def silent(client, said):
    """It is answered by nothing, and the next call by its own reply."""
    client.sendall(said)
    return goes_on(client)


@pytest.mark.parametrize("word", TRUE, ids=hex)
def test_any_word_but_zero_is_presence(fresh, uri, word):
    assert wire.call(fresh, packet(OPEN, number(word) + text(uri) + number(0))).status == OK
    assert wire.call(fresh, packet(HOSTNAME)).status == OK


@pytest.mark.parametrize("word", TRUE, ids=hex)
def test_any_word_but_zero_is_presence_inside_a_call(client, subject, word):
    assert wire.call(client, packet(REGISTER, number(0) + number(word) + wire.domain(subject))).status == OK


@pytest.mark.parametrize("word", TRUE, ids=hex)
def test_any_word_but_zero_is_true(client, subject, word):
    assert subject.UUID() in wire.call(client, packet(LIST_ALL, number(word) + number(0))).payload


def test_padding_may_be_anything(client, subject):
    found = wire.call(client, packet(LOOKUP_BY_NAME, text(NAME, b"\xff\xfe\xfd")))
    assert found.status == OK and subject.UUID() in found.payload


def test_a_string_ends_at_its_first_nul(client, subject):
    found = wire.call(client, packet(LOOKUP_BY_NAME, text(NAME.encode() + b"\0and more")))
    assert found.status == OK and subject.UUID() in found.payload


@pytest.mark.parametrize("rest", [b"\1", b"\0\0\0\5", b"x" * 1000], ids=len)
def test_what_follows_the_arguments_is_left(fresh, uri, subject, rest):
    assert wire.call(fresh, packet(AUTH_LIST, rest)).status == OK
    assert wire.call(fresh, packet(OPEN, number(1) + text(uri) + number(0) + rest)).status == OK
    assert wire.call(fresh, packet(LOOKUP_BY_NAME, text(NAME) + rest)).status == OK
    assert wire.call(fresh, packet(HOSTNAME, rest)).status == OK


CUT = {
    "nothing": b"",
    "half a length": b"\0\0",
    "no padding": number(5) + b"short",
    "half its padding": number(5) + b"short\0\0",
    "a length below zero": number(-1) + bytes(8),
    "a length above its bound": number(4194305) + bytes(4194308),
    "a length above what is there": number(100) + b"short\0\0\0",
}


@pytest.mark.parametrize("what", CUT)
def test_what_is_not_whole_is_refused(client, what):
    assert wire.call(client, packet(LOOKUP_BY_NAME, CUT[what])).error == DECODE
    assert goes_on(client)


def test_more_domains_than_a_list_has_are_refused(client, subject):
    assert wire.call(client, packet(STATS, number(16385) + wire.domain(subject) * 16385 + number(1) + number(0))).error == DECODE


@pytest.mark.parametrize("procedure, name", [(LIST_DOMAINS, "maxids"), (LIST_DEFINED, "maxnames")])
def test_room_for_a_list(client, subject, procedure, name):
    assert wire.call(client, packet(procedure, number(16384))).status == OK
    assert wire.call(client, packet(procedure, number(-1))).error == (RPC, FROM_RPC, f"{name} must be non-negative")
    assert wire.call(client, packet(procedure, number(16385))).error == (RPC, FROM_RPC, f"{name} > REMOTE_DOMAIN_LIST_MAX")


UNKNOWN = {
    "program": (packet(AUTH_LIST, program=0x12345678), "Cannot find program 305419896 version 1"),
    "version": (packet(AUTH_LIST, version=99), "Cannot find program 536903814 version 99"),
    "keepalive as a call": (packet(1, program=wire.KEEPALIVE), "Cannot find program 1801807216 version 1"),
    "procedure": (packet(9999), "unknown procedure: 9999"),
    "procedure 0": (packet(0), "unknown procedure: 0"),
    "procedure below": (packet(-1), "unknown procedure: -1"),
    "event": (packet(318), "unknown procedure: 318"),
    "status": (packet(AUTH_LIST, status=ERROR), "Unexpected message status 1"),
}


@pytest.mark.parametrize("what", UNKNOWN)
def test_what_is_unknown_is_named(client, what):
    said, message = UNKNOWN[what]
    answered = wire.call(client, said)
    assert (answered.kind, answered.serial, answered.error) == (REPLY, 1, (RPC, FROM_RPC, message))
    assert goes_on(client)


@pytest.mark.parametrize("kind", [REPLY, MESSAGE, STREAM, wire.REPLY_WITH_FDS, HOLE, 7, 0xFFFFFFFF])
def test_kinds_that_no_client_says_are_left(client, kind):
    assert silent(client, packet(AUTH_LIST, kind=kind, serial=5))


@pytest.mark.parametrize("serial", [0, 0xFFFFFFFF])
def test_any_serial_will_do(client, serial):
    assert wire.call(client, packet(HOSTNAME, serial=serial)).serial == serial


@pytest.mark.parametrize("length", [0, 4, 27, 33554437, 0xFFFFFFFF])
def test_a_length_that_cannot_be_ends_the_connection(client, length):
    assert wire.call(client, packet(AUTH_LIST, length=length)) is None


@pytest.mark.parametrize("changed", [{}, {"serial": 5}, {"status": ERROR}, {"payload": b"abcd"}], ids=str)
def test_pings(client, changed):
    pong = wire.call(client, packet(1, **{"program": wire.KEEPALIVE, "kind": MESSAGE, "serial": 0, **changed}))
    assert (pong.program, pong.procedure, pong.kind, pong.serial) == (wire.KEEPALIVE, 2, MESSAGE, 0)


def test_keepalive_that_is_none_is_left(client):
    for said in (packet(2, program=wire.KEEPALIVE, kind=MESSAGE), packet(3, program=wire.KEEPALIVE, kind=MESSAGE), packet(1, program=wire.KEEPALIVE, kind=MESSAGE, version=2)):
        assert silent(client, said)


def test_calls_before_it_is_open(fresh, uri):
    for said in (packet(GET_TYPE), packet(HOSTNAME), packet(LIST_ALL, number(1) + number(0))):
        assert wire.call(fresh, said).error == (INTERNAL, FROM_RPC, "internal error: hypervisor connection not open")
    assert wire.call(fresh, packet(SUPPORTS_FEATURE, number(10))).status == OK
    assert wire.call(fresh, wire.opening(uri)).status == OK
    assert wire.call(fresh, packet(HOSTNAME)).status == OK


def test_it_opens_once(client, uri):
    assert wire.call(client, wire.opening(uri)).error == (INTERNAL, FROM_RPC, "internal error: connection already open")
    assert goes_on(client)


@pytest.mark.parametrize("flags", [1, 2, 8, 0xFFFFFFFF])
def test_flags_of_open_are_no_matter(fresh, uri, flags):
    assert wire.call(fresh, packet(OPEN, number(1) + text(uri) + number(flags))).status == OK


def test_close_ends_the_connection(client):
    assert wire.call(client, packet(CLOSE)).status == OK
    assert wire.answer(client) is None


def test_an_event_is_registered_once(client, subject):
    """For all, and for each domain: again it is refused, until it was deregistered."""
    again = (INVALID_ARG, 0, "invalid argument: event callback already tracked")
    for domain in (number(0), number(1) + wire.domain(subject)):
        said = packet(REGISTER, number(0) + domain)
        first = wire.call(client, said)
        assert first.status == OK
        assert wire.call(client, said).error == again
        assert wire.call(client, packet(REGISTER + 1, first.payload)).status == OK
        assert wire.call(client, said).status == OK
    assert wire.call(client, packet(REGISTER, number(1) + number(0))).status == OK


def test_an_emulators_events_are_registered_once(client, subject):
    """But by a name as often as one likes."""
    register = lambda domain, event: packet(4, domain + event + number(0), program=wire.QEMU)  # noqa: E731
    for domain in (number(0), number(1) + wire.domain(subject)):
        assert wire.call(client, register(domain, number(0))).status == OK
        assert wire.call(client, register(domain, number(0))).error == (INVALID_ARG, 0, "invalid argument: event callback already tracked")
        for _ in range(2):
            assert wire.call(client, register(domain, number(1) + text("STOP"))).status == OK


def test_figures_of_a_domain_named_twice(client, subject):
    """As often as it is named, in the order asked for."""
    gone = text("gone") + bytes(16) + number(-1)
    once = wire.call(client, packet(STATS, number(1) + wire.domain(subject) + number(1) + number(0))).payload
    assert once[:4] == number(1)
    thrice = wire.call(client, packet(STATS, number(4) + wire.domain(subject) * 2 + gone + wire.domain(subject) + number(1) + number(0))).payload
    assert thrice == number(3) + once[4:] * 3
    many = wire.call(client, packet(STATS, number(16384) + wire.domain(subject) * 16384 + number(1) + number(0))).payload
    assert many == number(16384) + once[4:] * 16384


class Console:
    """A stream as packets."""

    serial = 50

    def __init__(self, daemon, domain):
        self.client = wire.opened(daemon.socket, daemon.uri)
        self.opened = wire.call(self.client, packet(OPEN_CONSOLE, wire.domain(domain) + number(0) + number(1), serial=self.serial))
        assert self.opened.status == OK, self.opened

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.client.close()

    def say(self, status, data=b"", **changed):
        self.client.sendall(packet(OPEN_CONSOLE, data, **{"kind": STREAM, "serial": self.serial, "status": status, **changed}))

    def hears(self, *expected):
        """The stream's next packets, as (status, error or data); then the next call is answered."""
        came = [wire.answer(self.client) for _ in expected]
        assert [(each.kind, each.serial) for each in came] == [(STREAM, self.serial)] * len(expected)
        assert [(each.status, each.error or each.payload) for each in came] == list(expected)
        return goes_on(self.client)


FINISHED = (OK, b"")


@pytest.fixture
def console(daemon, create):
    with Console(daemon, create(devices=xml.CONSOLE)) as one:
        yield one


ENDS = {
    "at once": ([(OK, b"")], [FINISHED]),
    "with data before": ([(CONTINUE, b"hello"), (OK, b"")], [FINISHED]),
    "with data in it": ([(OK, b"hello")], [FINISHED]),
    "with data after": ([(OK, b""), (CONTINUE, b"late")], [FINISHED]),
    "after its end of data": ([(CONTINUE, b""), (OK, b"")], [FINISHED]),
    "aborted": ([(ERROR, b"")], [FINISHED]),
    "aborted, with data before": ([(CONTINUE, b"hello"), (ERROR, b"")], [FINISHED]),
    "aborted after it was finished": ([(OK, b""), (ERROR, b"")], [FINISHED]),
    "by a status that is none": ([(3, b"")], [(ERROR, (RPC, 38, "stream aborted with unexpected status 3"))]),
}


@pytest.mark.parametrize("how", ENDS)
def test_a_client_ends_its_console(console, how):
    said, heard = ENDS[how]
    for status, data in said:
        console.say(status, data)
    assert console.hears(*heard)


@pytest.mark.parametrize("changed", [{"serial": 51}, {"kind": REPLY}, {"program": wire.QEMU}], ids=str)
def test_what_is_not_the_streams_is_left(console, changed):
    console.say(CONTINUE, b"lost", **changed)
    console.say(OK)
    assert console.hears(FINISHED)


def test_a_call_in_a_streams_name(console):
    console.say(CONTINUE, b"abc", kind=CALL)
    assert wire.answer(console.client).error == (RPC, FROM_RPC, "Unexpected message status 2")
    console.say(OK)
    assert console.hears(FINISHED)


def test_the_same_serial_again(daemon, create):
    domain = create(devices=xml.CONSOLE)
    with Console(daemon, domain) as console:
        for _ in range(3):
            console.say(OK)
            assert console.hears(FINISHED)
            assert wire.call(console.client, packet(OPEN_CONSOLE, wire.domain(domain) + number(0) + number(1), serial=console.serial)).status == OK
        console.say(OK)
        assert console.hears(FINISHED)


@pytest.mark.parametrize("status", [OK, ERROR])
def test_the_guests_end_and_then_the_clients(daemon, create, status):
    domain = create(devices=xml.CONSOLE)
    with Console(daemon, domain) as console:
        domain.destroy()
        assert console.hears((CONTINUE, b""))
        console.say(status)
        assert console.hears(FINISHED)


def test_data_after_the_guests_end(daemon, create):
    domain = create(devices=xml.CONSOLE)
    with Console(daemon, domain) as console:
        domain.destroy()
        assert console.hears((CONTINUE, b""))
        console.say(CONTINUE, b"late")
        assert console.hears((ERROR, (38, 38, "cannot write to stream: Input/output error")))


def test_a_name_that_is_no_domains(client):
    assert wire.call(client, packet(LOOKUP_BY_NAME, text(b"\xff\xfe"))).error[:2] == (NO_DOMAIN, FROM_QEMU)
