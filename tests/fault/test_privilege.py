"""Every procedure, called by who may not: on the read-only socket, as an ordinary user, as another user of a session."""

import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys

import libvirt
import pytest

from lib import wire, xml
from lib.wait import until
from world import World

HERE = pathlib.Path(__file__).parent
PROTOCOL = HERE.parents[1] / "src/driver/protocol"
NOBODY, OTHER = 65534, 1
DENIED, NO_SUPPORT, RPC = libvirt.VIR_ERR_OPERATION_DENIED, libvirt.VIR_ERR_NO_SUPPORT, libvirt.VIR_ERR_RPC
# The names of calls that change something begin so, behind what they are calls of.
# SetIdentity tells who a client is, and nothing depends on it.
CHANGES = re.compile(
    r"vir(Connect|Domain(Snapshot|Checkpoint|Backup|Block|Qemu)?|Network(Port)?|NWFilter(Binding)?|Interface|Storage(Pool|Vol)|Secret|Node(Device)?|Stream)?"
    r"(Create|Define|Undefine|Destroy|Delete|Set(?!Identity)|Attach|Detach|Update|Save|Restore|Rename|Reset|Suspend|Resume|Shutdown|Reboot|Pin|Send|Abort|Commit|Copy|JobAbort|"
    r"JobSetSpeed|Pull|Rebase|Resize|Revert|ManagedSave$|ManagedSaveRemove|ManagedSaveDefine|CoreDump|Inject|Migrate(?!Get)|PM|Build|Wipe|Upload|ReAttach|ReSet|Dettach|"
    r"AddIOThread|DelIOThread|FSFreeze|FSThaw|FSTrim|AuthorizedSSHKeysSet|Begin$|Redefine|ChangeBegin|ChangeCommit|ChangeRollback|MonitorCommand|AgentCommand|"
    r"StartDirtyRate|OpenConsole|OpenChannel|OpenGraphics|Rollback)"
)  # fmt: skip


def rows(file):
    """(number, C function, access) of each procedure."""
    return [(int(number), api, access) for number, api, access in re.findall(r'^PROCEDURE\((\d+), \w+, "(\w+)", \w+, (\w+)\)', (PROTOCOL / file).read_text(), re.M)]


PROGRAMS = {"remote": (0x20008086, "remote_procedures.inc"), "qemu": (0x20008087, "qemu_procedures.inc")}


@pytest.fixture(scope="module")
def world(base, program):
    for file in (HERE / "walk.py", wire.__file__):
        shutil.copy(file, base)
    one = World(base / "privilege", program).begin()
    one.connection.defineXML(xml.bare("subject", devices=xml.CONSOLE)).createWithFlags(libvirt.VIR_DOMAIN_START_PAUSED)
    one.connection.defineXML(xml.bare("bystander"))
    yield one
    one.end()


def walk(world, base, side, program, last, uid):
    identity = {"user": uid, "group": uid, "extra_groups": []} if uid else {}
    command = [sys.executable, "-B", base / "walk.py", f"{world.server.socket}{side}", hex(program), str(last), "subject", world.lookup("subject").UUIDString()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd="/", **identity)
    assert done.returncode == 0, done.stderr
    return {int(number): answers for number, answers in json.loads(done.stdout).items()}


def files(world):
    return {path: path.read_bytes() for folder in (world.config, world.state, world.nvram) for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("uid", [0, NOBODY], ids=["root", "nobody"])
@pytest.mark.parametrize("name", PROGRAMS)
def test_the_read_only_socket_changes_nothing(world, base, name, uid, record):
    program, file = PROGRAMS[name]
    table = rows(file)
    before = world.snapshot(), files(world)
    answers = walk(world, base, "-ro", program, table[-1][0], uid)
    assert (world.snapshot(), files(world)) == before
    wrong = []
    for number, api, access in table:
        denied = [code == DENIED and f"read only access prevents {api}" in message for code, message in answers[number]]
        if (access == "write") != all(denied) or CHANGES.match(api) and not all(denied):
            wrong.append(f"{number} {api}, {access}: {answers[number]}")
    unknown = [answers[table[-1][0] + extra] for extra in (1, 2)]
    wrong += [f"an unknown one: {each}" for each in unknown if {code for code, _ in each} != {RPC}]
    record(f"a call of the {name} program on the read-only socket, as {'root' if uid == 0 else 'nobody'}", 3 * len(table), len(wrong))
    assert not wrong, "\n".join(wrong)
    changing = {api for _, api, _ in table if CHANGES.match(api)}
    assert len(changing) > (100 if name == "remote" else 2) and len(table) > len(changing)


def test_the_names_of_calls_say_what_they_do():
    """What the table has for reading are calls whose names do not speak of changing."""
    table = [row for _, file in PROGRAMS.values() for row in rows(file)]
    assert [api for _, api, access in table if access != "write" and CHANGES.match(api)] == []


def test_an_ordinary_user_is_not_let_in(world, base):
    """By the socket's mode and group; a member of the group is."""
    socket_path = world.server.socket
    command = [sys.executable, "-B", "-c", f"import socket; socket.socket(socket.AF_UNIX).connect({str(socket_path)!r})"]
    refused = subprocess.run(command, capture_output=True, text=True, user=NOBODY, group=NOBODY, extra_groups=[], timeout=30)
    assert refused.returncode and "PermissionError" in refused.stderr
    group = os.stat(socket_path).st_gid
    if group:
        assert subprocess.run(command, user=NOBODY, group=NOBODY, extra_groups=[group], timeout=30).returncode == 0
    for folder in (world.config, world.config / "autostart", world.root / "var/log/libvirt/stratovirt"):
        assert os.stat(folder).st_mode & 0o777 == 0o700
    for file in (world.config / "subject.xml", world.state / f"{world.lookup('subject').UUIDString()}.json"):
        assert os.stat(file).st_mode & 0o777 == 0o600


CONNECT = "import socket; c = socket.socket(socket.AF_UNIX); c.settimeout(10); c.connect({path!r}); c.sendall({call!r}); print(len(c.recv(100)))"


def test_another_user_of_a_session(base, program, record):
    """Even where the owner has opened the socket's mode to all, only the owner and root are answered."""
    home = base / "session"
    (home / "run").mkdir(parents=True)
    for folder in (home, home / "run"):
        os.chown(folder, NOBODY, NOBODY)
    environment = {"HOME": str(home), "XDG_RUNTIME_DIR": str(home / "run"), "PATH": os.environ["PATH"]}
    path = home / "run/libvirt/virtstratovirtd-sock"
    shutil.copy(program, base / "virtstratovirtd")
    with subprocess.Popen([base / "virtstratovirtd"], user=NOBODY, group=NOBODY, extra_groups=[], env=environment, cwd="/", stdin=subprocess.DEVNULL) as daemon:
        try:
            until(path.exists, "the session's socket")
            assert os.stat(path).st_mode & 0o777 == 0o700

            def asks(uid, procedure):
                command = [sys.executable, "-B", "-c", CONNECT.format(path=str(path), call=wire.packet(procedure))]
                return subprocess.run(command, capture_output=True, text=True, user=uid, group=uid, extra_groups=[], cwd="/", timeout=30)

            assert "PermissionError" in asks(OTHER, 66).stderr
            for opened in (path, home / "run", home / "run/libvirt", home):
                opened.chmod(0o777)
            for uid, answered in ((NOBODY, True), (0, True), (OTHER, False)):
                for procedure in (66, 1, 11, 10, 9999):
                    said = asks(uid, procedure)
                    assert (said.stdout.strip() not in ("", "0")) == answered, (uid, procedure, said)
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(str(path))
            record("a call of another user on a session's socket", 6, 0)
        finally:
            daemon.terminate()
            assert daemon.wait(20) == 0
