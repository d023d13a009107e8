"""Every procedure of libvirt's protocol is answered as libvirt answers it, asked on the wire: most of what is not here no stock client asks for.

What libvirt answers stands in procedures.golden (`pytest --uri qemu:///system --record tests/e2e/test_procedures.py`); where ours is to
answer otherwise, departures.PROCEDURES says so and why.
"""

import pathlib
import re

import pytest

from departures import PROCEDURES as DEPARTURES
from lib import golden, packets
from test_commands import STATES, Bench

TREE = pathlib.Path(__file__).resolve().parents[2]
PROTOCOL = TREE / "src/driver/protocol"
GOLDEN = pathlib.Path(__file__).with_name("procedures.golden")
# Not asked: it would put the host to sleep; libvirt 9.0 crashes; it leaves the domain locked.
NOT_ASKED = ["node_suspend_for_duration", "domain_migrate_perform3", "domain_migrate_perform3_params", "domain_fd_associate"]
NOWHERE = "/nonexistent/absent"  # a file
NUMBERS = {name: int(number) for number, name in re.findall(r"^(?:PROCEDURE|EVENT)\((\d+), (\w+)", (PROTOCOL / "remote_procedures.inc").read_text(), re.M)}
WRITING = re.findall(r"^PROCEDURE\(\d+, (\w+), .* write\)", (PROTOCOL / "remote_procedures.inc").read_text(), re.M)
ABSENT = re.findall(r'^[A-Z]+\((\w+), "([^"]*)"', (PROTOCOL / "absent_procedures.inc").read_text(), re.M)
QEMU, ADMIN, KEEPALIVE = 0x20008087, 0x06900690, 0x6B656570
# (program, version, procedure): what there is none of.
STRANGE = [(packets.REMOTE, version, 2) for version in (0, 2, -1)] + [(packets.REMOTE, 1, number) for number in (0, 447, 1000, -1, 2**31 - 1, -(2**31))]
STRANGE += [(program, 1, 1) for program in (0, 1, packets.REMOTE + 16, ADMIN, KEEPALIVE, 2**32 - 1)]
STRANGE += [(QEMU, 1, number) for number in (0, 6, 8, -1)] + [(QEMU, 2, 1)]


@pytest.fixture(scope="module")
def answers():
    return golden.Answers(GOLDEN)


class Caller:
    """A domain in one of the states, and a connection; "nothing" is a domain that is not there."""

    def __init__(self, conn, daemon, scheme, base, state):
        self.bench = Bench(conn, daemon.uri, base, state, "procedures") if state != "nothing" else None
        readonly = state == "readonly"
        self.open = lambda: packets.Connection(f"{daemon.socket}{'-ro' if readonly else ''}", scheme, readonly)
        self.connection = self.open()

    def ask(self, name, words, disk):
        subject = packets.domain(packets.NAME, packets.UUID, -1)
        if self.bench:
            self.bench.ready()
            found = self.bench.find()
            subject = packets.domain(found.name(), found.UUID(), found.ID())
        file = re.search("save|dump|restore", name)
        return self.told(self.connection.ask(NUMBERS[name], packets.arguments(words, subject, NOWHERE if file else packets.NAME, disk)))

    def told(self, answer):
        if self.bench:
            answer = answer.replace(self.bench.name, "NAME").replace(str(self.bench.base), "BASE")
        return plain(answer)


def plain(answer):
    answer = re.sub(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "UUID", answer)
    return re.sub(r" in function \w+", "", " / ".join(answer.split("\n")))[:200]


@pytest.fixture(scope="module")
def callers(conn, daemon, base):
    scheme = re.sub(r"\+unix|\?.*", "", daemon.uri)
    made = {state: Caller(conn, daemon, scheme, base, state) for state in ["nothing", *STATES]}
    yield made
    for caller in made.values():
        caller.connection.close()
        if caller.bench:
            caller.bench.remove()


@pytest.fixture
def check(answers, pytestconfig, ours):
    def hold(question, given):
        answers.hold(question, given, DEPARTURES if ours else [], pytestconfig.option.record)

    return hold


@pytest.mark.parametrize("name,words", [row for row in ABSENT if row[0] not in NOT_ASKED])
def test_what_is_not_here(callers, check, name, words):
    about_domains = re.search(r"domain|snapshot|checkpoint", words)
    asked = {state: caller for state, caller in callers.items() if about_domains or state in ("nothing", "readonly")}
    for disk in ("vda", packets.NAME) if "disk" in words else ("",):
        check(f"{name} {disk}".strip(), {state: caller.ask(name, words, disk) for state, caller in asked.items()})


@pytest.mark.parametrize("name", sorted(set(NUMBERS) - set(WRITING)))
def test_without_arguments(callers, check, name):
    """By a reader, to whom nothing is done: what needs arguments says that it cannot read them. What changes something is denied, by
    libvirt once it has read the arguments and here before."""
    connection = callers["readonly"].open()
    check(f"{name} without arguments", {"readonly": plain(re.sub("^ok.*", "ok", connection.ask(NUMBERS[name], b"")))})
    connection.close()


@pytest.mark.parametrize("program,version,procedure", STRANGE)
def test_numbers_that_are_none(callers, check, program, version, procedure):
    connection = callers["nothing"].open()
    answer = connection.ask(procedure, b"", program & 0xFFFFFFFF, version & 0xFFFFFFFF)
    connection.close()
    check(f"program {program} version {version} procedure {procedure}", {"nothing": plain(answer)})
