"""QMP of the built program: events, errors, ids, rubbish, descriptors, parts that come and go. test_qmp.py has how it begins."""
import contextlib
import fcntl
import json
import os
import signal
import socket
import struct
import subprocess
import tempfile

import pytest

from pci import RootPort
from qtest import Closed, wait_for
from test_disk import Disk
from vmm import Qmp, Refused

OURS = pytest.mark.ours("this monitor's own")


@pytest.fixture
def machine(start):
    return start()


# --- the conversation

def test_the_greeting(machine):
    version = machine.qmp.greeting["QMP"]["version"]
    assert {"major", "minor", "micro"} == set(version["qemu"]) and isinstance(version["package"], str)
    assert isinstance(machine.qmp.greeting["QMP"]["capabilities"], list)
    if not machine.is_qemu:
        assert version["qemu"] == {"micro": 1, "minor": 0, "major": 5} and version["package"].startswith("StratoVirt-")


@pytest.mark.parametrize("id", [0, 1, -7, 1 << 40, 1.5, "text", "", True, None, [1, [2]], {"a": {"b": 3}}, "\u00e9\u4e2d"])
def test_ids_come_back(machine, id):
    for command in ("query-status", "no-such-command"):
        reply = machine.qmp.raw(json.dumps({"execute": command, "id": id}))
        assert reply["id"] == id and ("return" in reply) == (command == "query-status")


def test_no_id_no_id(machine):
    assert "id" not in machine.qmp.raw('{"execute":"query-status"}')


def test_requests_in_one_packet_are_answered_in_order(machine):
    machine.qmp.lines.send("".join(json.dumps({"execute": "query-status", "id": i}) for i in range(50)))
    assert [machine.qmp.message()["id"] for _ in range(50)] == list(range(50))


def test_a_request_in_pieces(machine):
    for part in ('{"exe', 'cute" : "query', '-status"', ',"id":\n', " 5 ", "}"):
        machine.qmp.lines.send(part)
    assert machine.qmp.message()["id"] == 5


def test_white_space_is_nothing(machine):
    machine.qmp.lines.send(" \n\t\r\n  ")
    assert machine.qmp.ask("query-status")["running"]


@OURS
def test_one_peer_after_the_other(machine):
    assert machine.qmp.ask("query-status")["running"]
    machine.qmp.lines.send('{"execute":"que')
    machine.qmp.lines.connection.close()
    machine.qmp = Qmp(machine.qmp_socket, True)
    assert machine.qmp.ask("query-status")["running"], "nothing of the one before is left"


# --- errors

ERRORS = {
    "no such command": ('{"execute":"frob"}', "CommandNotFound"),
    "a name that is empty": ('{"execute":""}', "CommandNotFound"),
    "a name of no text": ('{"execute":5}', "GenericError"),
    "no name": ('{"id":1}', "GenericError"),
    "nothing": ("{}", "GenericError"),
    "a member too many": ('{"execute":"query-status","frob":1}', "GenericError"),
    "an argument too many": ('{"execute":"query-status","arguments":{"a":1}}', "GenericError"),
    "arguments of no object": ('{"execute":"query-status","arguments":[]}', "GenericError"),
    "an argument missing": ('{"execute":"device_del"}', "GenericError"),
    "an argument of another type": ('{"execute":"device_del","arguments":{"id":5}}', "GenericError"),
    "no such device": ('{"execute":"device_del","arguments":{"id":"nobody"}}', "DeviceNotFound"),
    "no such type": ('{"execute":"device-list-properties","arguments":{"typename":"nothing"}}', "DeviceNotFound"),
    "a driver that is none": ('{"execute":"device_add","arguments":{"driver":"nothing","id":"x"}}', "GenericError"),
    "no balloon": ('{"execute":"balloon","arguments":{"value":1000000}}', "DeviceNotActive"),
    "no balloon to ask": ('{"execute":"query-balloon"}', "DeviceNotActive"),
    "a descriptor that did not come": ('{"execute":"getfd","arguments":{"fdname":"f"}}', "GenericError"),
    "a descriptor of no name": ('{"execute":"closefd","arguments":{"fdname":"f"}}', "GenericError"),
    "a drive that is none": ('{"execute":"blockdev-del","arguments":{"node-name":"x"}}', "GenericError"),
    "a netdev that is none": ('{"execute":"netdev_del","arguments":{"id":"x"}}', "DeviceNotFound"),
    "a chardev that is none": ('{"execute":"chardev-remove","arguments":{"id":"x"}}', "GenericError"),
    "an object that is none": ('{"execute":"object-del","arguments":{"id":"x"}}', "GenericError"),
}


@pytest.mark.parametrize("what", ERRORS)
def test_errors_have_their_class(machine, what):
    request, kind = ERRORS[what]
    reply = machine.qmp.raw(request)
    assert reply["error"]["class"] == kind, reply
    assert reply["error"]["desc"] and "\n" not in reply["error"]["desc"]
    assert machine.qmp.ask("query-status")["running"]


RUBBISH = ["]", "}", "x\n", "5\n", '"text"\n', "[1,2]\n", '{"execute":}\n', '{"execute":"a" "b"}\n', "{]\n", "{" * 2000 + "\x01\n", "[" * 100 + "\x01\n", '{"a":' * 1100 + "\x01\n",
           "\0\n", "\xff\xfe{}\n", '{"\\ud800":1}\n', '{"execute":"query-status","id":' + "9" * 400 + "}\n",
           '{"execute":"query-status","execute":"x"}\n', '{"execute":"\\u0000"}\n', '{"id":1e999}\n', "//comment\n",
           '{"execute":"' + "x" * 70000 + '"}\n', "y" * 200_000 + "\n", '{"execute":"device_add","arguments":{"driver":{"a":[]},"id":[]}}\n',
           '{"execute":"device_add","arguments":{"driver":"virtio-rng-pci","id":"' + "x" * 5000 + '"}}\n']


@OURS
@pytest.mark.parametrize("number", range(len(RUBBISH)))
def test_rubbish_is_refused_and_forgotten(machine, number):
    machine.qmp.lines.send(RUBBISH[number] + "\n")
    machine.qmp.lines.send(json.dumps({"execute": "query-status", "id": "good"}) + "\n")
    while True:
        reply = machine.qmp.message()
        if reply.get("id") == "good":
            break
        assert "error" in reply
    assert reply["return"]["running"]


@OURS
def test_a_request_without_an_end_holds_what_follows(machine):
    machine.qmp.lines.send('{"execute":"query-status"\n{"execute":"query-status"}\n')
    assert "error" in machine.qmp.raw("}")
    assert machine.qmp.ask("query-status")["running"]


@OURS
def test_any_amount_of_rubbish(machine):
    """Thousands of refusals; the guest's devices answer all the while."""
    for _ in range(20):
        machine.qmp.lines.send("}{]x\n" * 100 + '{"execute":"query-status","id":"end"}')
        assert machine.test.read_value(0xB000_0000, 4) == 0x29C0_8086
        while "error" in (reply := machine.qmp.message()):
            pass
        assert reply["id"] == "end"
    assert machine.qmp.ask("query-status")["running"]


@OURS
def test_a_peer_that_does_not_read_is_hung_up_in_the_end(machine):
    """What it is owed is bounded; the machine goes on."""
    machine.qmp.lines.connection.setblocking(False)
    request = b'{"execute":"query-commands"}' * 100
    stuck = 0
    while stuck < 200:
        try:
            machine.qmp.lines.connection.send(request)
            stuck = 0
        except BlockingIOError:
            stuck += 1
            machine.test.read_value(0xB000_0000, 4)
        except (BrokenPipeError, ConnectionResetError):
            break
    machine.qmp.lines.connection.close()
    machine.qmp = Qmp(machine.qmp_socket, True)
    assert machine.qmp.ask("query-status")["running"]


# --- states and events

def test_stop_and_cont(machine):
    qmp = machine.qmp
    qmp.ask("stop")
    assert qmp.event("STOP") == {}
    assert (qmp.ask("query-status")["status"], qmp.ask("query-status")["running"]) == ("paused", False)
    qmp.ask("cont")
    assert qmp.event("RESUME") == {}
    assert qmp.ask("query-status")["status"] == "running"


def test_stop_twice_is_told_once(machine):
    qmp = machine.qmp
    for _ in range(2):
        qmp.ask("stop")
    for _ in range(2):
        qmp.ask("cont")
    qmp.ask("query-status")
    assert [event["event"] for event in qmp.events] == ["STOP", "RESUME"]


def test_events_have_a_time(machine):
    machine.qmp.ask("stop")
    machine.qmp.ask("query-status")
    stamp = machine.qmp.events[0]["timestamp"]
    assert stamp["seconds"] > 1_600_000_000 and 0 <= stamp["microseconds"] < 1_000_000


def test_frozen_at_the_start(start):
    machine = start("-S")
    assert machine.qmp.ask("query-status")["status"] == "prelaunch"
    machine.qmp.ask("cont")
    machine.qmp.event("RESUME")
    assert machine.qmp.ask("query-status")["status"] == "running"


def test_a_reset_while_paused_stays_paused(machine):
    qmp = machine.qmp
    qmp.ask("stop")
    qmp.ask("system_reset")
    assert qmp.event("RESET")["guest"] is False
    assert qmp.ask("query-status")["status"] in ("paused", "prelaunch")


def test_quit(start):
    machine = start(ends=False)
    assert machine.qmp.ask("quit") == {}
    assert machine.qmp.event("SHUTDOWN") == {"guest": False, "reason": "host-qmp-quit"}
    with pytest.raises(Closed):
        machine.qmp.message()
    assert machine.process.wait(20) == 0


@pytest.mark.parametrize("state", ["running", "paused"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP], ids=lambda one: one.name)
def test_asked_by_a_signal_it_ends(start, tmp_path, number, state):
    machine = start("-pidfile", str(tmp_path / "pid"), ends=False)
    if state == "paused":
        machine.qmp.ask("stop")
    machine.process.send_signal(number)
    assert machine.qmp.event("SHUTDOWN") == {"guest": False, "reason": "host-signal"}
    assert machine.process.wait(30) == 0
    assert not (tmp_path / "pid").exists()


@OURS
def test_whoever_waits_for_a_peer_can_be_ended(program, tmp_path):
    path = tmp_path / "console.sock"
    process = subprocess.Popen([program, "-accel", "qtest", "-qtest", f"unix:{tmp_path}/none", "-machine", "q35", "-chardev", f"socket,id=c,path={path},server"])
    try:
        wait_for(path.exists, "a socket")
        process.terminate()
        assert process.wait(30) == -signal.SIGTERM
    finally:
        process.kill()


@OURS
def test_sockets_are_gone_with_the_machine(start):
    machine = start(ends=False)
    machine.quit()
    assert not os.path.exists(machine.qmp_socket)


def test_a_second_monitor_hears_of_it_too(start, tmp_path):
    machine = start("-chardev", f"socket,id=m2,path={tmp_path}/m2,server=on,wait=off", "-mon", "chardev=m2,mode=control")
    other = Qmp(f"{tmp_path}/m2", True)
    machine.qmp.ask("stop")
    assert other.event("STOP") == {}
    other.ask("cont")
    machine.qmp.event("RESUME")


# --- questions

def test_processors(start):
    machine = start("-smp", "4,sockets=2,cores=2,threads=1")
    cpus = machine.qmp.ask("query-cpus-fast")
    if machine.is_qemu:
        assert len(cpus) == 4
    slots = machine.qmp.ask("query-hotpluggable-cpus")
    assert sorted((slot["props"]["socket-id"], slot["props"]["core-id"], slot["props"]["thread-id"]) for slot in slots) == [
        (0, 0, 0), (0, 1, 0), (1, 0, 0), (1, 1, 0)]


def test_character_devices(start, tmp_path):
    machine = start("-chardev", "pty,id=p", "-chardev", f"file,id=f,path={tmp_path}/f", "-chardev",
                    f"socket,id=s,path={tmp_path}/s,server=on,wait=off")
    found = {one["label"]: one for one in machine.qmp.ask("query-chardev")}
    assert {"p", "f", "s"} <= set(found)
    assert found["p"]["filename"].startswith("pty:/dev/pts/") and found["f"]["filename"] == "file"
    assert found["s"]["filename"].startswith(f"disconnected:unix:{tmp_path}/s")
    peer = socket.socket(socket.AF_UNIX)
    peer.connect(f"{tmp_path}/s")
    wait_for(lambda: next(one for one in machine.qmp.ask("query-chardev") if one["label"] == "s")["filename"].startswith("unix:"), "a peer")


def test_what_there_is_to_ask(machine):
    qmp = machine.qmp
    names = {one["name"] for one in qmp.ask("query-commands")}
    assert {"query-status", "device_add", "quit", "getfd", "blockdev-add"} <= names
    if not machine.is_qemu:
        assert {"STOP", "RESUME", "RESET", "POWERDOWN", "SHUTDOWN", "GUEST_PANICKED", "GUEST_PVSHUTDOWN", "DEVICE_DELETED"} <= {
            one["name"] for one in qmp.ask("query-events")}
    assert qmp.ask("query-target") == {"arch": "x86_64"}
    assert qmp.ask("query-kvm")["enabled"] is False
    assert any(one["name"] == "q35" or one.get("alias") == "q35" for one in qmp.ask("query-machines"))
    assert "virtio-blk-pci" in {one["name"] for one in qmp.ask("qom-list-types")}
    assert {"drive", "serial"} <= {one["name"] for one in qmp.ask("device-list-properties", typename="virtio-blk-pci")}


@OURS
def test_every_question_has_an_answer(machine):
    """Each command of the list that needs no arguments, and none of them ends anything."""
    for command in (one["name"] for one in machine.qmp.ask("query-commands")):
        if command.startswith("query-"):
            reply = machine.qmp.raw(json.dumps({"execute": command}))
            assert "return" in reply or reply["error"]["class"] == "DeviceNotActive", reply


def test_names(start):
    machine = start("-name", "guest=n,,1", "-uuid", "11220000-aabb-ccdd-eeff-001122334455")
    assert machine.qmp.ask("query-name") == {"name": "n,1"}
    assert machine.qmp.ask("query-uuid") == {"UUID": "11220000-aabb-ccdd-eeff-001122334455"}


# --- what comes and goes

FREE = "-disable-seccomp"  # lets it open what is named later; test_sandbox.py has the other half
PORT = ("-device", "pcie-root-port,id=port1,port=8,chassis=1,bus=pcie.0,addr=1")


def add_disk(machine, path, node="n1", device="d1"):
    machine.qmp.ask("blockdev-add", **{"node-name": node, "driver": "raw", "file": {"driver": "file", "filename": str(path)}})
    machine.qmp.ask("device_add", driver="virtio-blk-pci", id=device, drive=node, bus="port1", addr="0x0")


def test_a_disk_comes_and_goes(start, image):
    machine = start(*PORT, FREE)
    port = RootPort(machine.test, 1, 2)
    path = image()
    add_disk(machine, path)
    port.power_on()
    disk = port.behind(lambda test, bus, slot: Disk(machine, slot, bus=bus)).bring_up()
    assert disk.read_sectors(5)[1].startswith(b"sector 5")
    stats = next(one for one in machine.qmp.ask("query-blockstats") if one.get("node-name", "n1") == "n1")
    assert stats["stats"]["rd_operations"] == 1
    with pytest.raises(Refused):
        machine.qmp.ask("blockdev-del", node_name="n1")
    with pytest.raises(Refused):
        machine.qmp.ask("device_add", driver="virtio-blk-pci", id="d2", drive="n1", bus="port1", addr="0x0")
    machine.qmp.ask("device_del", id="d1")
    wait_for(lambda: port.slot_status & 1, "the button")
    port.power_off()
    machine.qmp.event("DEVICE_DELETED", device="d1")
    machine.qmp.ask("blockdev-del", node_name="n1")
    if not machine.is_qemu:
        add_disk(machine, path)  # as before, the lock is free again
        assert machine.qmp.ask("query-blockstats")[0]["device"] == "n1"


@OURS
def test_what_waits_for_an_unplug_says_so(start, image):
    machine = start(*PORT, FREE)
    add_disk(machine, image())
    port = RootPort(machine.test, 1, 2)
    port.power_on()
    with pytest.raises(Refused, match="^GenericError: drive 'n1' is in use: ") as plain:
        machine.qmp.ask("blockdev-del", node_name="n1")
    assert "d1" in plain.value.text
    machine.qmp.ask("device_del", id="d1")
    with pytest.raises(Refused, match="drive 'n1' is in use until the guest lets go what it has been asked for: .*d1"):
        machine.qmp.ask("blockdev-del", node_name="n1")
    port.slot_control = port.slot_control & ~0x300 | 0x100  # the guest says no
    with pytest.raises(Refused, match="drive 'n1' is in use: "):
        machine.qmp.ask("blockdev-del", node_name="n1")
    machine.qmp.ask("device_del", id="d1")
    port.power_off()
    machine.qmp.event("DEVICE_DELETED", device="d1")
    machine.qmp.ask("blockdev-del", node_name="n1")


@OURS
def test_a_key_twice_is_no_request(machine):
    reply = machine.qmp.raw('{"execute":"query-status","execute":"quit"}')
    assert reply["error"]["class"] == "GenericError" and '"execute"' in reply["error"]["desc"]
    reply = machine.qmp.raw('{"execute":"device_del","arguments":{"id":"a","id":"b"}}')
    assert '"id"' in reply["error"]["desc"]
    assert machine.qmp.ask("query-status")["running"]


@pytest.mark.ours("QEMU turns a monitor's reset into an end too")
def test_a_reset_takes_away_what_was_asked_to_go(start, image):
    machine = start(*PORT, FREE)

    def devices():
        return {one["name"] for one in machine.qmp.ask("qom-list", path="/machine/peripheral")}

    add_disk(machine, image())
    RootPort(machine.test, 1, 2).power_on()
    assert {"d1", "port1"} <= devices()
    machine.qmp.ask("device_del", id="d1")
    machine.qmp.ask("system_reset")
    machine.qmp.event("DEVICE_DELETED", device="d1")
    assert "d1" not in devices() and "port1" in devices()


def test_a_disk_by_a_descriptor(start, image):
    machine = start(*PORT)
    path = image()
    with open(path, "r+b") as file:
        if machine.is_qemu:
            return
        machine.qmp.ask("getfd", descriptors=[file.fileno()], fdname="disk")
    machine.qmp.ask("blockdev-add", **{"node-name": "n", "driver": "raw", "file": {"driver": "file", "filename": "/dev/fd/disk"}})
    machine.qmp.ask("device_add", driver="virtio-blk-pci", id="d", drive="n", bus="port1", addr="0x0")
    RootPort(machine.test, 1, 2).power_on()
    disk = Disk(machine, 0, bus=2).bring_up()
    assert disk.write_sectors(0, b"by a number".ljust(512)) == 0 and path.read_bytes().startswith(b"by a number")


def test_descriptors(machine):
    qmp = machine.qmp
    with tempfile.TemporaryFile() as file:
        qmp.ask("getfd", descriptors=[file.fileno()], fdname="f")
        qmp.ask("getfd", descriptors=[file.fileno()], fdname="f")  # in place of the first
        qmp.ask("closefd", fdname="f")
        with pytest.raises(Refused):
            qmp.ask("closefd", fdname="f")
        for bad in ("1f",) if machine.is_qemu else ("", "1f", "x:y"):
            with pytest.raises(Refused):
                qmp.ask("getfd", descriptors=[file.fileno()], fdname=bad)
    assert len(os.listdir(f"/proc/{machine.process.pid}/fd")) < 60


def files_of(machine):
    """The names of the files that the program has open."""
    folder = f"/proc/{machine.process.pid}/fd"
    return [os.path.basename(os.readlink(f"{folder}/{fd}")) for fd in os.listdir(folder)]


def test_a_name_is_for_what_came_with_it(machine, tmp_path):
    """Also behind a request that was refused with what it carried."""
    with open(tmp_path / "one", "wb") as one, open(tmp_path / "two", "wb") as two:
        for refused in ({"command": "getfd"}, {"command": "add-nothing"}):
            with pytest.raises(Refused):
                machine.qmp.ask(refused["command"], descriptors=[one.fileno()])
            machine.qmp.ask("getfd", descriptors=[two.fileno()], fdname="two")
            assert "one" not in files_of(machine)
            machine.qmp.ask("closefd", fdname="two")
            assert "two" not in files_of(machine)


@OURS
def test_names_that_are_asked_for_in_one_go(machine, tmp_path):
    """Each has its own, however far the program is behind."""
    with contextlib.ExitStack() as stack:
        files = [stack.enter_context(open(tmp_path / f"file{n}", "wb")) for n in range(8)]
        machine.qmp.lines.send('{"execute":"query-commands"}' * 2000)  # more to answer than a peer that does not read takes
        for n, file in enumerate(files):
            machine.qmp.lines.send(json.dumps({"execute": "getfd", "arguments": {"fdname": f"f{n}"}, "id": f"f{n}"}), [file.fileno()])
    while (reply := machine.qmp.message()).get("id") != "f7":
        assert "return" in reply
    for n in range(8):
        machine.qmp.ask("closefd", fdname=f"f{n}")
        assert f"file{n}" not in files_of(machine) and (n == 7 or f"file{n + 1}" in files_of(machine))


@OURS
def test_descriptors_that_nobody_names_are_closed(machine):
    with tempfile.TemporaryFile() as file:
        for _ in range(40):
            machine.qmp.ask("query-status", descriptors=[file.fileno()] * 8)
        before = len(os.listdir(f"/proc/{machine.process.pid}/fd"))
        for _ in range(40):
            machine.qmp.ask("query-status", descriptors=[file.fileno()] * 8)
        assert len(os.listdir(f"/proc/{machine.process.pid}/fd")) == before


@OURS
@pytest.mark.parametrize("number", [0, 1, 2, 3, 5, 10])
def test_numbers_of_this_programs_own_are_nobodys_to_name(start, number):
    machine = start(*PORT)
    with pytest.raises(Refused, match="has not been found"):
        machine.qmp.ask("blockdev-add", **{"node-name": "n", "driver": "raw", "file": {"driver": "file", "filename": f"/dev/fd/{number}"}})
    with pytest.raises(Refused):
        machine.qmp.ask("human-monitor-command", command_line=f"drive_add dummy file=/dev/fd/{number},if=none,id=x")
    with pytest.raises(Refused):
        machine.qmp.ask("netdev_add", type="tap", id="n", fd=str(number))


def descriptor_disk(machine, path, node):
    with open(path, "r+b") as file:
        machine.qmp.ask("getfd", descriptors=[file.fileno()], fdname="disk")
    machine.qmp.ask("blockdev-add", **{"node-name": node, "driver": "raw", "file": {"driver": "file", "filename": "/dev/fd/disk"}})


@OURS
def test_a_drive_keeps_its_descriptor_until_a_device_has_it(start, image):
    """Refused for a lock and for a place: the drive is as it was, nobody is locked out, and nobody else's file is touched."""
    machine = start(*PORT)
    qmp, path, other = machine.qmp, image("first.img"), image("other.img")
    holder = open(path, "r+b")
    fcntl.fcntl(holder, 37, struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, 101, 1, 0))  # F_OFD_SETLK: another who writes
    descriptor_disk(machine, path, "n")
    with pytest.raises(Refused, match="written by another"):
        qmp.ask("device_add", driver="virtio-blk-pci", id="d", drive="n", bus="port1", addr="0x0")
    holder.close()
    descriptor_disk(machine, other, "m")
    with pytest.raises(Refused, match="hotplug"):
        qmp.ask("device_add", driver="virtio-blk-pci", id="d", drive="n", bus="pcie.0", addr="0x9")
    with open(path, "r+b") as again:
        fcntl.fcntl(again, 37, struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, 100, 2, 0))
    qmp.ask("device_add", driver="virtio-blk-pci", id="d", drive="n", bus="port1", addr="0x0")
    RootPort(machine.test, 1, 2).power_on()
    disk = Disk(machine, 0, bus=2).bring_up()
    assert disk.write_sectors(0, b"here".ljust(512)) == 0
    assert path.read_bytes().startswith(b"here") and other.read_bytes().startswith(b"sector 0")
    assert {one["node-name"] for one in qmp.ask("query-named-block-nodes")} == {"n", "m"}
    qmp.ask("blockdev-del", node_name="m")
    assert files_of(machine).count("first.img") == 1 and "other.img" not in files_of(machine)
    assert disk.write_sectors(0, b"and again".ljust(512)) == 0


@OURS
def test_a_network_that_goes_closes_its_descriptors(start, tmp_path):
    machine = start()
    before = len(files_of(machine))
    with open(tmp_path / "tap", "wb") as file:
        for _ in range(3):
            for name in ("tap", "vhost"):
                machine.qmp.ask("getfd", descriptors=[file.fileno()], fdname=name)
            machine.qmp.ask("netdev_add", type="tap", id="n", fd="tap", vhost=True, vhostfd="vhost")
            machine.qmp.ask("netdev_del", id="n")
    assert len(files_of(machine)) == before


@OURS
def test_a_socket_that_is_none(start, tmp_path):
    """A file, and a socket that does not listen: refused, still its name's, and closed once."""
    machine = start(*PORT)
    address = {"type": "fd", "data": {"str": "s"}}
    backend = {"type": "socket", "data": {"addr": address, "server": True, "wait": False}}
    with socket.socket(socket.AF_UNIX) as quiet, open(tmp_path / "plain", "wb") as plain, open(tmp_path / "other", "wb") as other:
        quiet.bind(str(tmp_path / "quiet"))
        for descriptor, why in ((plain, "not a socket"), (quiet, "not a listening socket")):
            machine.qmp.ask("getfd", descriptors=[descriptor.fileno()], fdname="s")
            with pytest.raises(Refused, match=why):
                machine.qmp.ask("chardev-add", id="c", backend=backend)
            machine.qmp.ask("getfd", descriptors=[other.fileno()], fdname="other")
            machine.qmp.ask("closefd", fdname="s")
            assert "other" in files_of(machine) and "plain" not in files_of(machine)
        quiet.listen(1)
        machine.qmp.ask("getfd", descriptors=[quiet.fileno()], fdname="s")
        machine.qmp.ask("chardev-add", id="c", backend=backend)


@OURS
def test_an_addition_that_fails_leaves_nothing(start, tmp_path):
    machine = start(*PORT)
    qmp = machine.qmp
    for _ in range(3):
        qmp.ask("blockdev-add", **{"node-name": "n", "driver": "raw", "file": {"driver": "file", "filename": str(tmp_path / "none")}})
        with pytest.raises(Refused, match="none"):
            qmp.ask("device_add", driver="virtio-blk-pci", id="d", drive="n", bus="port1", addr="0x0")
        assert qmp.ask("query-blockstats") == []
        qmp.ask("blockdev-del", node_name="n")


@OURS
def test_a_disk_that_finds_no_place_is_let_go(start, image):
    """Behind a refusal on the root bus, of a slot that is taken, of a bus that is none: the file is free again each time."""
    machine = start(*PORT, FREE)
    qmp = machine.qmp
    qmp.ask("blockdev-add", **{"node-name": "n", "driver": "raw", "file": {"driver": "file", "filename": str(image())}})
    for where in ({"bus": "pcie.0", "addr": "0x9"}, {"bus": "nowhere", "addr": "0x0"}, {"bus": "pcie.0", "addr": "0x1"}) * 3:
        with pytest.raises(Refused):
            qmp.ask("device_add", driver="virtio-blk-pci", id="d", drive="n", **where)
    qmp.ask("device_add", driver="virtio-blk-pci", id="d", drive="n", bus="port1", addr="0x0")


@OURS
def test_lines_for_people(start, image):
    machine = start(*PORT, FREE)
    qmp = machine.qmp
    assert qmp.ask("human-monitor-command", command_line=f"drive_add dummy file={image()},format=raw,if=none,id=drive1") == "OK\r\n"
    qmp.ask("device_add", driver="virtio-blk-pci", id="d", drive="drive1", bus="port1", addr="0x0")
    with pytest.raises(Refused, match="'drive1' is in use"):
        qmp.ask("human-monitor-command", command_line="drive_del drive1")
    with pytest.raises(Refused, match="unknown command"):
        qmp.ask("human-monitor-command", command_line="quit")


@pytest.mark.parametrize("command, arguments", [
    ("object-add", {"qom-type": "rng-random", "id": "r", "filename": 7}),
    ("object-add", {"qom-type": "rng-random", "id": "r", "filename": True}),
    ("blockdev-add", {"driver": "raw", "node-name": "n", "file": {"driver": "file", "filename": 7}}),
    ("blockdev-add", {"driver": "raw", "node-name": "n", "read-only": "on", "file": {"driver": "file", "filename": "/dev/null"}}),
    ("netdev_add", {"type": "tap", "id": "n", "ifname": "t", "vhost": "on"}),
    ("netdev_add", {"type": "tap", "id": "n", "fd": 7}),
    ("chardev-add", {"id": "c", "backend": {"type": "file", "data": {"out": 7}}}),
    ("qom-list-types", {"implements": 7}),
    ("qom-list-types", {"abstract": "yes"}),
])
def test_members_have_their_types(machine, command, arguments):
    reply = machine.qmp.raw(json.dumps({"execute": command, "arguments": arguments}))
    assert reply["error"]["class"] == "GenericError" and "Invalid parameter type" in reply["error"]["desc"]


def test_types_by_what_they_implement(machine):
    def names(**wanted):
        return {one["name"] for one in machine.qmp.ask("qom-list-types", **wanted)}

    assert "rng-random" in names(implements="rng-backend") and "rng-backend" not in names(implements="rng-backend")
    assert "rng-backend" in names(implements="rng-backend", abstract=True)
    assert names(implements="virtio-rng-pci") == {"virtio-rng-pci"} and names(implements="nothing") == set()
    devices = names(implements="device")
    assert "virtio-blk-pci" in devices and not {"iothread", "device"} & devices
    assert devices < names(implements="device", abstract=True)


def test_an_object_comes_and_goes(machine):
    for _ in range(2):
        machine.qmp.ask("object-add", **{"qom-type": "rng-random", "id": "r", "filename": "/dev/urandom"})
        with pytest.raises(Refused):
            machine.qmp.ask("object-add", **{"qom-type": "rng-random", "id": "r", "filename": "/dev/urandom"})
        machine.qmp.ask("object-del", id="r")


def test_a_character_device_comes_and_goes(start):
    machine = start(FREE)
    for _ in range(2):
        reply = machine.qmp.ask("chardev-add", id="p", backend={"type": "pty", "data": {}})
        assert reply["pty"].startswith("/dev/pts/")
        machine.qmp.ask("chardev-remove", id="p")
    assert not any(one["label"] == "p" for one in machine.qmp.ask("query-chardev"))


# --- asked what it can do

@OURS
def test_it_tells_what_it_can_do_without_a_machine_or_kvm(program, unbound, tmp_path):
    hidden = ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs none /dev && exec "$@"', "sh"]  # a /dev with no kvm in it
    process = subprocess.Popen([*hidden, program, "-machine", "none", "-qmp", f"unix:{tmp_path}/qmp.sock,server,nowait", *unbound])
    try:
        qmp = Qmp(str(tmp_path / "qmp.sock"), True)
        assert qmp.greeting["QMP"]["version"]["qemu"] == {"major": 5, "minor": 0, "micro": 1}
        assert qmp.ask("query-target") == {"arch": "x86_64"} and qmp.ask("query-kvm")["present"]
        assert {"none", "q35"} <= {machine["name"] for machine in qmp.ask("query-machines")}
        for query in ("query-command-line-options", "qom-list-types", "query-commands"):
            assert qmp.ask(query)
        qmp.ask("quit")
        assert process.wait(10) == 0
    finally:
        process.kill()
        process.wait()
