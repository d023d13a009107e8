"""QMP before any command is served: who must negotiate, when events begin, and what becomes of what does not parse."""
import json

import pytest

from vmm import Qmp

OURS = pytest.mark.ours("this monitor's own")


@pytest.fixture
def machine(start):
    return start()


# --- negotiation

@pytest.fixture
def stranger(start):
    """A machine of which nobody has asked anything; only its greeting was read."""
    return start(handshake=False)


def negotiate(machine):
    return machine.qmp.raw('{"execute":"qmp_capabilities"}')


@pytest.mark.ours("QEMU serves nobody before, and knows capabilities")
def test_a_client_of_qemus_negotiates_first(stranger):
    refused = stranger.qmp.raw('{"execute":"qmp_capabilities","arguments":{"enable":["oob"]}}')
    assert refused["error"]["class"] == "GenericError"
    for command in ("query-version", "stop", "no-such-command"):
        reply = stranger.qmp.raw(json.dumps({"execute": command, "id": 7}))
        assert reply["error"] == {"class": "CommandNotFound", "desc": "Expecting capabilities negotiation with 'qmp_capabilities'"}
        assert reply["id"] == 7
    assert negotiate(stranger) == {"return": {}}
    assert negotiate(stranger)["error"] == {"class": "CommandNotFound", "desc": "Capabilities negotiation is already complete, command ignored"}
    assert stranger.qmp.ask("query-status")["running"]


@OURS
def test_a_client_of_stratovirts_begins_as_it_likes(stranger):
    assert stranger.qmp.ask("query-status")["running"]
    stranger.qmp.ask("stop")
    assert stranger.qmp.event("STOP") == {}
    assert negotiate(stranger) == {"return": {}}
    assert negotiate(stranger)["error"]["class"] == "CommandNotFound"
    stranger.qmp.ask("cont")


@OURS
@pytest.mark.parametrize("first", ["qmp_capabilities", "query-status"])
def test_an_event_waits_for_the_first_command(start, tmp_path, first):
    machine = start("-chardev", f"socket,id=m2,path={tmp_path}/m2,server=on,wait=off", "-mon", "chardev=m2,mode=control")
    silent = Qmp(f"{tmp_path}/m2", False)
    machine.qmp.ask("stop")
    machine.qmp.ask("cont")
    machine.qmp.event("RESUME")
    silent.lines.send("null{}{'execute':'no-such-command'}")
    for _ in range(3):
        assert "error" in silent.message(), "what names no command is none"
    assert silent.lines.line(wait=False) is None
    silent.lines.send(json.dumps({"execute": first, "id": 1}))
    assert silent.message()["id"] == 1
    assert [silent.message()["event"] for _ in range(2)] == ["STOP", "RESUME"]
    machine.qmp.ask("stop")
    assert silent.message()["event"] == "STOP"


# --- what does not parse

# QEMU's own test of its protocol says these; each is refused once, and the next command is answered though no line has ended.
MALFORMED = [b"{]\n", b"{\xff", b"{\x01", b"{'bad \xff", b"{'execute': 'nonexistent', 'id':'\n", b"%p",
             b"{@", b"{\"a\tb", b"{\x00", b"\xfe", b"{\"execute\":01", b"{\"execute\":tR"]


@pytest.mark.parametrize("text", MALFORMED, ids=ascii)
def test_the_parser_comes_back(machine, text):
    for _ in range(3):
        machine.qmp.lines.connection.sendall(text)
        assert machine.qmp.message()["error"]["class"] == "GenericError"
        reply = machine.qmp.raw("{ 'execute': 'no-such-cmd', 'id': 'it\\'s' }\n")
        assert reply["error"]["class"] == "CommandNotFound" and reply["id"] == "it's"
    assert machine.qmp.ask("query-status")["running"]


VALUES = ["null", "5\n", "'text'", '[1,{"execute":"quit"}]', '\'{"execute":"quit"}\'', "{}", "{ 'execute': true }",
          "{ 'execute': 'no-such-cmd', 'arguments': [] }", "{ 'execute': 'no-such-cmd', 'extra': true }", "{ 'exec-oob': 'query-name' }"]


@pytest.mark.parametrize("text", VALUES)
def test_what_is_json_and_no_command(machine, text):
    assert machine.qmp.raw(text + "\n")["error"]["class"] == "GenericError"
    assert machine.qmp.ask("query-status")["running"]


def test_a_command_that_is_none_whatever_its_arguments(machine):
    reply = machine.qmp.raw("{'execute':'no-such-cmd','arguments':{'a':1}}")
    assert reply["error"] == {"class": "CommandNotFound", "desc": "The command no-such-cmd has not been found"}


@OURS
def test_any_bytes(machine):
    """Each byte in each place: something is said, little of it, and the next line is answered."""
    for byte in range(256):
        one = bytes([byte])
        for text in (one, b"{" + one, b'{"a' + one, b'{"a":1' + one, b"{'a':-" + one, b'{"a":[' + one + b"}", b"'\\" + one):
            machine.qmp.lines.connection.sendall(text + b"\n")
            # Ends what is still under way: a string, then its object.
            machine.qmp.lines.connection.sendall(b"\xff\n" + b'{"execute":"query-status","id":"next"}\n')
            replies = 0
            while (reply := machine.qmp.message()).get("id") != "next":
                assert reply["error"]["class"] == "GenericError"
                replies += 1
            assert 1 <= replies <= 2 and reply["return"]["running"], text
