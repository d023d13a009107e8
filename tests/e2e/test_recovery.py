"""What the death of a daemon or of an emulator leaves, and what the next daemon makes of it."""

import concurrent.futures
import json
import os
import pathlib
import pwd
import resource
import signal
import socket
import subprocess
import time

import libvirt
import pytest

from lib import events as recording
from lib import host, xml
from lib.console import Console
from lib.mortal import mortal, unstarted  # noqa: F401
from lib.wait import until

PAUSED = libvirt.VIR_DOMAIN_START_PAUSED
# The promise is a second; a wait that fails a test is five times as long.
DEATH_SECONDS = 5
FORM_0 = pathlib.Path(__file__).parents[1] / "data/state/form-0.json"


def full(image):
    """Of everything that the host gives a machine, one."""
    return xml.disk(image) + xml.also(xml.bridge("52:54:00:00:01:01")) + xml.CONSOLE


def test_killed_and_started_again_it_knows_all_there_was(mortal, guest_files, root_disk, image):
    mortal.define(xml.linux("linux", guest_files(), root_disk()))
    mortal.define(xml.bare("paused", devices=full(image())))
    mortal.define(xml.bare("off"))
    mortal.virsh("autostart", "off")
    mortal.create(xml.bare("transient"), "--paused")
    mortal.virsh("start", "linux")
    mortal.virsh("start", "paused", "--paused")
    with Console(mortal.server.uri, "linux") as console:
        console.connected().login()
        console.command("mark=kept")
        console.leave()
    before = {name: (mortal.virsh("dumpxml", name), mortal.virsh("domid", name), mortal.pid(name)) for name in ("linux", "paused", "transient")}
    mortal.virsh("autostart", "--disable", "off")
    mortal.virsh("autostart", "paused")
    mortal.killed()
    for name, (description, number, pid) in before.items():
        assert mortal.virsh("dumpxml", name) == description
        assert mortal.virsh("domid", name) == number and mortal.pid(name) == pid
    assert mortal.seen("linux").startswith("running") and mortal.seen("paused").startswith("paused (user)")
    assert mortal.seen("off").startswith("shut off")
    assert mortal.virsh.names("--all", "--transient") == {"transient"} and mortal.virsh.names("--all", "--autostart") == {"paused"}
    with Console(mortal.server.uri, "linux") as console:
        console.connected().login()
        assert console.command("echo $mark") == "kept"
        console.leave()
    mortal.virsh("resume", "transient")
    assert mortal.seen("transient") == "running (unpaused)"
    mortal.create(xml.bare("next"), "--paused")
    assert int(mortal.virsh("domid", "next")) > max(int(number) for _, number, _ in before.values())
    for name in (*before, "next"):
        mortal.virsh("destroy", name)
    assert mortal.virsh.names("--all") == {"linux", "paused", "off"}
    assert not mortal.leftovers("")


def test_a_console_that_was_open_when_the_daemon_was_killed(mortal, guest_files, root_disk):
    mortal.create(xml.linux("linux", guest_files(), root_disk()))
    with Console(mortal.server.uri, "linux") as console:
        console.connected().login()
        mortal.killed()
        console.expect("Disconnected from")
    with Console(mortal.server.uri, "linux") as console:
        console.connected().login()
        assert console.command("uname -s") == "Linux"
        console.leave()


def tell_emulator(path, *commands):
    """What nobody but the emulator sees."""
    with socket.socket(socket.AF_UNIX) as monitor:
        monitor.connect(str(path))
        with monitor.makefile("rw") as lines:
            for command in ({"execute": "qmp_capabilities"}, *commands):
                lines.write(json.dumps(command))
                lines.flush()
                while "return" not in json.loads(lines.readline()):
                    pass


def test_what_the_emulator_did_meanwhile_is_seen(mortal):
    """Its state is asked of the emulator, not believed from the file."""
    for name in ("goes-on", "stops"):
        mortal.create(xml.bare(name), *(["--paused"] if name == "goes-on" else []))
    monitors = {name: next(mortal.state.glob(f"domain-*-{name}")) / "monitor.sock" for name in ("goes-on", "stops")}
    mortal.server.kill()
    for name, word in (("goes-on", "cont"), ("stops", "stop")):
        tell_emulator(monitors[name], {"execute": word})
    mortal.start()
    assert mortal.seen("goes-on").startswith("running") and mortal.seen("stops").startswith("paused")


def test_a_device_given_up_meanwhile_is_gone(mortal, image):
    """A guest that is reset gives up what it was asked for."""
    kept, gone = image(), image()
    owned = owner(gone)
    mortal.create(xml.bare("disks", devices=xml.disk(kept, "vda") + xml.disk(gone, "vdb")), "--paused")
    monitor = next(mortal.state.glob("domain-*-disks")) / "monitor.sock"
    mortal.server.kill()
    tell_emulator(monitor, {"execute": "device_del", "arguments": {"id": "virtio-disk1"}}, {"execute": "system_reset"})
    mortal.start()
    until(lambda: [row[0] for row in mortal.virsh.rows("domblklist", "disks")] == ["vda"], "the disk to be gone")
    until(lambda: owner(gone) == owned, "the image to be given back")


def test_a_disk_that_is_shared_is_plugged_so_by_the_next_daemon_too(mortal, image, file):
    shared = file(xml.disk(image(), "vdb", options="<shareable/>"))
    for name in ("one", "two"):
        mortal.create(xml.bare(name, devices=xml.PORTS), "--paused")
    mortal.killed()
    for name in ("one", "two"):
        mortal.virsh("attach-device", name, shared, "--live")
        assert [row[0] for row in mortal.virsh.rows("domblklist", name)] == ["vdb"]


def test_killed_at_any_moment_of_a_start(mortal, image):
    """Of a start that was under way there is a machine that runs, or nothing."""
    path, cards = image(), host.network_cards()
    mortal.define(xml.bare("begun", devices=full(path)))
    uuid = mortal.virsh("domuuid", "begun")
    owned = owner(path)
    for milliseconds in (5, 20, 60, 150, 300):
        with subprocess.Popen([*mortal.virsh.command, "start", "begun"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as starting:
            until(lambda: mortal.leftovers("begun") or starting.poll() is not None, "the start to begin")
            time.sleep(milliseconds / 1000)
            mortal.killed()
            starting.wait(30)
        if mortal.seen("begun").startswith("running"):
            assert host.emulator_pid(uuid)
            mortal.virsh("destroy", "begun")
        assert mortal.seen("begun").startswith("shut off")
        assert host.emulator_pid(uuid) is None and host.network_cards() == cards and not mortal.leftovers("begun")
        assert owner(path) == owned


def owner(path):
    return os.stat(path).st_uid, os.stat(path).st_gid


@pytest.mark.parametrize("transient", [False, True])
@pytest.mark.parametrize("watched", [True, False], ids=["daemon-up", "daemon-down"])
def test_the_emulators_death(mortal, image, transient, watched):
    """The domain is shut off (crashed), a transient one gone, and the host has back what it gave."""
    path, name = image(), "victim"
    os.chown(path, 4711, 4712)
    cards = host.network_cards()
    text = xml.bare(name, body="<memoryBacking><hugepages/></memoryBacking>", devices=full(path))
    with host.ReservedHugepages(128), mortal.connected() as connection:
        if transient:
            mortal.create(text)
        else:
            mortal.define(text)
            mortal.virsh("start", name)
        pid = mortal.pid(name)
        assert owner(path)[0] == os.stat(f"/proc/{pid}").st_uid == pwd.getpwnam("libvirt-qemu").pw_uid
        assert len(host.network_cards() - cards) == xml.CARDS and len(mortal.leftovers(name)) == 3
        events = recording.Recorder(connection)
        if watched:
            os.kill(pid, signal.SIGKILL)
            events.wait(name, libvirt.VIR_DOMAIN_EVENT_STOPPED, libvirt.VIR_DOMAIN_EVENT_STOPPED_FAILED, seconds=DEATH_SECONDS)
        else:
            mortal.server.kill()
            os.kill(pid, signal.SIGKILL)
            until(lambda: not os.path.exists(f"/proc/{pid}/exe"), "the emulator to be gone")
            mortal.start()
        if transient:
            until(lambda: name not in mortal.virsh.names("--all"), "the transient domain to be gone", DEATH_SECONDS)
        else:
            assert mortal.seen(name) == "shut off (crashed)"
        assert owner(path) == (4711, 4712) and not mortal.leftovers(name) and host.network_cards() == cards
        if not transient:
            mortal.virsh("start", name, "--paused")


def test_sigterm_leaves_machines_running(mortal):
    mortal.create(xml.bare("stays"))
    pid = mortal.pid("stays")
    assert mortal.server.stop() == 0
    assert os.path.exists(f"/proc/{pid}/exe") and not list(mortal.server.socket.parent.glob("*-sock*"))
    mortal.start()
    assert mortal.seen("stays").startswith("running") and mortal.pid("stays") == pid


def test_a_second_daemon_on_the_same_root_is_refused(mortal, program):
    mortal.create(xml.bare("undisturbed"))
    second = subprocess.run([program, "--root", mortal.root], capture_output=True, text=True, timeout=30)
    assert second.returncode == 1 and "another virtstratovirtd serves here" in second.stderr and str(mortal.root) in second.stderr
    assert mortal.seen("undisturbed").startswith("running")


def test_a_stale_socket_is_replaced_and_a_served_one_is_not(mortal, program):
    mortal.server.kill()
    assert mortal.server.socket.exists()
    mortal.start()
    mortal.server.stop()
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(mortal.server.socket))
        other.listen()
        refused = subprocess.run([program, "--root", mortal.root], capture_output=True, text=True, timeout=30)
        assert refused.returncode == 1 and str(mortal.server.socket) in refused.stderr
    mortal.start()


def test_what_starts_with_the_host_does_so_once_a_boot(mortal, image):
    mark = mortal.state / "autostarted"
    assert mark.stat().st_mode & 0o777 == 0o600
    mortal.define(xml.bare("with-host"))
    mortal.virsh("autostart", "with-host")
    for again in (mortal.killed, lambda: (mortal.server.stop(), mortal.start())):
        again()
        assert mortal.seen("with-host").startswith("shut off")
    for made in ("", mark.read_text()):  # libvirt's mark is empty
        mortal.server.stop()
        mark.write_text(made)
        mortal.start()
        assert mortal.seen("with-host").startswith("shut off")
    mortal.server.stop()
    mark.write_text("00000000-0000-4000-8000-000000000000\n")  # of another boot, in a folder that outlived it
    mortal.start()
    assert mortal.seen("with-host") == "running (booted)"
    mortal.virsh("destroy", "with-host")
    mortal.killed()
    assert mortal.seen("with-host").startswith("shut off")


def test_autostart(mortal, image):
    path = image()
    mortal.define(xml.bare("with-host"))
    mortal.define(xml.bare("broken", devices=xml.disk(path)))
    for name in ("with-host", "broken"):
        mortal.virsh("autostart", name)
    path.unlink()
    mortal.server.stop()
    (mortal.state / "autostarted").unlink()  # as a boot does
    mortal.start()
    assert mortal.seen("with-host") == "running (booted)" and mortal.seen("broken") == "shut off (failed)"
    assert "broken" in mortal.server.tail() and str(path) in mortal.server.tail()
    pid = mortal.pid("with-host")
    mortal.killed()
    assert mortal.pid("with-host") == pid


def test_autodestroy_goes_with_the_daemons_orderly_end(mortal):
    """Which ends every connection, libvirtd's too; killed, it ends nothing."""
    autodestroy = PAUSED | libvirt.VIR_DOMAIN_START_AUTODESTROY
    with mortal.connected() as connection:
        connection.createXML(xml.bare("gone"), autodestroy)
        connection.defineXML(xml.bare("stays")).createWithFlags(PAUSED)
        pids = {name: mortal.pid(name) for name in ("gone", "stays")}
        assert mortal.server.stop() == 0
    assert not pathlib.Path(f"/proc/{pids['gone']}").exists()
    mortal.start()
    assert mortal.virsh.names("--all") == {"stays"} and mortal.pid("stays") == pids["stays"]
    with mortal.connected() as connection:
        connection.createXML(xml.bare("left"), autodestroy)
        mortal.killed()
    assert mortal.seen("left").startswith("paused")


HOLD = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <unistd.h>
int fsync(int fd) {
  while (access(getenv("HOLD"), F_OK) == 0) usleep(10000);
  return ((int (*)(int))dlsym(RTLD_NEXT, "fsync"))(fd);
}
"""


def test_a_device_that_goes_while_something_else_is_written_stays_gone(unstarted, guest_files, root_disk, image, base):
    """The disk of the definitions is held up, as a busy one would be, until the guest has given the device up."""
    library, hold = base / "hold.so", base / "hold"
    subprocess.run(["clang-19", "-shared", "-fPIC", "-o", library, "-x", "c", "-", "-ldl"], input=HOLD, text=True, check=True)
    mortal = unstarted.start(LD_PRELOAD=str(library), HOLD=str(hold))
    guests = xml.disk(image(), "vdb", "<alias name='ua-second'/>")
    mortal.define(xml.linux("linux", guest_files(), root_disk(), devices=guests))
    mortal.virsh("start", "linux")
    with Console(mortal.server.uri, "linux") as console:
        console.connected().login()
        console.leave()
    with mortal.connected() as connection:
        domain = connection.lookupByName("linux")
        domain.detachDeviceAlias("ua-second", libvirt.VIR_DOMAIN_AFFECT_LIVE)
        hold.touch()
        both = libvirt.VIR_DOMAIN_AFFECT_LIVE | libvirt.VIR_DOMAIN_AFFECT_CONFIG
        with concurrent.futures.ThreadPoolExecutor(1) as other:
            written = other.submit(domain.setMetadata, libvirt.VIR_DOMAIN_METADATA_TITLE, "a title", None, None, both)
            until(lambda: "ua-second" not in domain.XMLDesc(), "the guest to give its disk up", 60)
            assert not written.done()
            hold.unlink()
            written.result()
        assert "a title" in domain.XMLDesc() and "ua-second" not in domain.XMLDesc()
        assert "ua-second" in domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)


GARBAGE = {
    "nothing": b"",
    "bytes": bytes(range(256)),
    "a list": b"[1, 2]",
    "another's": b'{"description": "<domain/>", "id": "x"}',
    "deep": b"[" * 100000,
}


def test_state_files_that_cannot_be_read_are_kept_aside(mortal):
    mortal.create(xml.bare("sound"), "--paused")
    mortal.define(xml.bare("defined"))
    mortal.server.kill()
    for number, (what, data) in enumerate(GARBAGE.items()):
        (mortal.state / f"00000000-0000-4000-8000-00000000000{number}.json").write_bytes(data)
        (mortal.root / f"etc/libvirt/stratovirt/garbage-{number}.xml").write_bytes(data)
    whole = next(path for path in mortal.state.glob("*.json") if b"sound" in path.read_bytes())
    whole.with_name("10000000-0000-4000-8000-000000000000.json").write_bytes(whole.read_bytes()[:-20])
    mortal.start()
    assert mortal.virsh.names("--all") == {"sound", "defined"} and mortal.seen("sound").startswith("paused")
    assert len(list(mortal.state.glob("*.json"))) == 1 and len(list(mortal.state.glob("*.json.broken"))) == len(GARBAGE) + 1
    kept = [path for path in (mortal.root / "etc/libvirt/stratovirt").iterdir() if path.name.startswith("garbage")]
    assert len(kept) == len(GARBAGE)
    assert "kept aside" in mortal.server.tail(40)
    mortal.virsh("destroy", "sound")


def ten_machines(mortal):
    """Half of them paused, each third transient; their names, and what is seen of each."""
    names = [f"machine-{number}" for number in range(10)]
    for number, name in enumerate(names):
        text, paused = xml.bare(name, devices=xml.CONSOLE), ["--paused"] if number % 2 else []
        if number % 3:
            mortal.define(text)
            mortal.virsh("start", name, *paused)
        else:
            mortal.create(text, *paused)
    return names


def looks(mortal, names):
    return {name: (mortal.virsh("dumpxml", name), mortal.virsh("domid", name), mortal.virsh("domstate", name), mortal.pid(name)) for name in names}


def test_machines_of_an_older_daemon_are_found(mortal):
    """What it wrote down has no member that is newer than its form (tests/data/state)."""
    names = ten_machines(mortal)
    old = set(json.loads(FORM_0.read_text()))
    before = looks(mortal, names)
    with Console(mortal.server.uri, names[0]) as console:
        console.connected()
        mortal.server.kill()
        console.expect("Disconnected from")
    for path in mortal.state.glob("*.json"):
        path.write_text(json.dumps({key: value for key, value in json.loads(path.read_text()).items() if key in old}))
    mortal.start()
    assert looks(mortal, names) == before
    for name in names:
        mortal.virsh("resume" if before[name][2] == "paused" else "suspend", name)
    with Console(mortal.server.uri, names[0]) as console:
        console.connected()
        console.leave()


def test_machines_are_not_lost_for_want_of_descriptors(mortal):
    names = ten_machines(mortal)
    before = looks(mortal, names)
    mortal.server.kill()
    command = mortal.server.command
    mortal.server.command = ["prlimit", "--nofile=48:4096", *command]
    mortal.start()
    mortal.server.command = command
    assert looks(mortal, names) == before
    assert "Too many open files" in mortal.server.tail(40)
    for name in names:
        refused = subprocess.run([*mortal.virsh.command, "start", name], capture_output=True, text=True)
        assert refused.returncode == 1 and "already" in refused.stderr
    resource.prlimit(mortal.server.pid, resource.RLIMIT_NOFILE, (4096, 4096))
    for name in names:
        word = "resume" if before[name][2] == "paused" else "suspend"
        until(lambda: not subprocess.run([*mortal.virsh.command, word, name], capture_output=True).returncode, f"{name} to be in reach", 90)


def test_an_emulator_that_stands_is_in_reach_once_it_goes_on(mortal):
    for name in ("stands", "answers"):
        mortal.create(xml.bare(name))
    pid = mortal.pid("stands")
    mortal.server.kill()
    os.kill(pid, signal.SIGSTOP)
    mortal.start()
    assert mortal.seen("stands").startswith("running")
    mortal.virsh("suspend", "answers")
    assert subprocess.run([*mortal.virsh.command, "suspend", "stands"], capture_output=True).returncode == 1
    os.kill(pid, signal.SIGCONT)
    until(lambda: not subprocess.run([*mortal.virsh.command, "suspend", "stands"], capture_output=True).returncode, "it to be in reach", 60)
    assert mortal.seen("stands").startswith("paused") and mortal.pid("stands") == pid


def test_a_damaged_state_file_starts_no_second_emulator(mortal):
    mortal.define(xml.bare("once"))
    mortal.virsh("start", "once")
    pid, path = mortal.pid("once"), next(mortal.state.glob("*.json"))
    mortal.server.kill()
    state = json.loads(path.read_text())
    del state["pid"]
    path.write_text(json.dumps(state))
    mortal.start()
    assert mortal.seen("once").startswith("no state")
    refused = subprocess.run([*mortal.virsh.command, "start", "once"], capture_output=True, text=True)
    assert refused.returncode == 1 and str(pid) in refused.stderr and str(path) in refused.stderr
    assert host.emulator_pid(mortal.virsh("domuuid", "once")) == pid
    os.kill(pid, signal.SIGKILL)
    until(lambda: not os.path.exists(f"/proc/{pid}/exe"), "the emulator to be gone")
    mortal.virsh("start", "once")


def test_a_process_that_only_has_the_number_of_an_emulator_is_left_alone(mortal):
    mortal.define(xml.bare("gone"))
    mortal.virsh("start", "gone")
    path = next(mortal.state.glob("*.json"))
    mortal.server.kill()
    saved = json.loads(path.read_text())
    os.kill(saved["pid"], signal.SIGKILL)
    with subprocess.Popen(["sleep", "60"]) as bystander:
        saved["pid"] = bystander.pid
        path.write_text(json.dumps(saved))
        mortal.start()
        assert mortal.seen("gone") == "shut off (crashed)" and bystander.poll() is None
        bystander.kill()


# What follows runs at the shared daemon, and at libvirtd too.


def actions(poweroff="destroy", reboot="restart", crash="destroy"):
    return f"<on_poweroff>{poweroff}</on_poweroff><on_reboot>{reboot}</on_reboot><on_crash>{crash}</on_crash>"


def boot_id(machine):
    return machine.run("cat /proc/sys/kernel/random/boot_id", 60)


@pytest.mark.parametrize("command", ["reboot", "poweroff"])
def test_a_guest_that_restarts_stays_the_domain_it_was(boot, virsh, command):
    """on_reboot and on_poweroff of restart: the same process, another boot."""
    machine = boot(body=actions(poweroff="restart"))
    number, pid, before = machine.domain.ID(), host.emulator_pid(machine.uuid), boot_id(machine)
    with machine.console("--force") as console:
        console.connected().login()
        console.type(f"{command}\r")
        console.expect("guest login: ", 90)
        console.leave()
    assert boot_id(machine) != before
    assert machine.domain.ID() == number and host.emulator_pid(machine.uuid) == pid
    assert virsh("domstate", machine.name) == "running"


def test_a_guest_that_switches_its_slots_off(boot, virsh):
    """What it takes from itself, buses in use too, is gone from the description; the machine stays."""
    machine = boot()
    pid = host.emulator_pid(machine.uuid)
    with machine.console("--force") as console:
        console.connected().login()
        console.type("cd /sys/bus/pci/slots; (trap '' HUP; sleep 1; for slot in *; do echo 0 > $slot/power; done) &\r")
        until(lambda: "<alias name='virtio-serial0'/>" not in virsh("dumpxml", machine.name), "the console's bus to be gone", 60)
    assert virsh("domstate", machine.name) == "running" and host.emulator_pid(machine.uuid) == pid
    virsh("suspend", machine.name)


def test_on_reboot_destroy(boot, virsh, events):
    machine = boot(body=actions(reboot="destroy"))
    with machine.console("--force") as console:
        console.connected().login()
        console.type("reboot\r")
        events.wait(machine.name, libvirt.VIR_DOMAIN_EVENT_STOPPED, seconds=30)
        console.ended()
    assert virsh("domstate", machine.name).startswith("shut off") and host.emulator_pid(machine.uuid) is None


def test_on_poweroff_preserve(boot, virsh, events, expected, refused):
    if not expected("on_poweroff preserve"):
        refused(libvirt.VIR_ERR_CONFIG_UNSUPPORTED, boot, body=actions(poweroff="preserve"))
        return
    machine = boot(body=actions(poweroff="preserve"))
    with machine.console("--force") as console:
        console.connected().login()
        console.type("poweroff\r")
        events.wait(machine.name, libvirt.VIR_DOMAIN_EVENT_SHUTDOWN, seconds=30)
    assert virsh("domstate", machine.name).split()[0] != "running" and host.emulator_pid(machine.uuid)
    virsh("destroy", machine.name)
    assert host.emulator_pid(machine.uuid) is None


@pytest.fixture
def plain_qemu():
    """plain_qemu(drive): what a QEMU of nobody's says to that drive; nothing where it holds the image from then on."""
    started = []

    def hold(drive):
        process = subprocess.Popen(
            ["qemu-system-x86_64", "-M", "q35", "-accel", "tcg", "-nodefaults", "-display", "none", "-S", "-qmp", "stdio"]
            + ["-drive", f"if=none,id=d,{drive}", "-device", "virtio-blk-pci,drive=d"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        started.append(process)
        process.stdin.write('{"execute": "qmp_capabilities"}\n')
        process.stdin.flush()
        lines = iter(process.stdout.readline, "")
        return next((line for line in lines if '"QMP"' not in line), "").replace('{"return": {}}', "").strip()

    yield hold
    for process in started:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("ours_first", [False, True], ids=["theirs-first", "ours-first"])
def test_an_image_that_a_plain_qemu_holds(define, image, refused, plain_qemu, ours_first):
    path = image()
    domain = define(devices=xml.disk(path))
    if ours_first:
        domain.createWithFlags(PAUSED)
        assert "lock" in plain_qemu(f"file={path},format=raw")
    else:
        assert plain_qemu(f"file={path},format=raw") == ""
        with pytest.raises(libvirt.libvirtError) as caught:
            domain.createWithFlags(PAUSED)
        assert "lock" in str(caught.value) and str(path) in str(caught.value)
        assert not domain.isActive()


def test_readers_share_an_image(define, image, name, plain_qemu):
    path = image()
    for number in (1, 2):
        define(name=f"{name}-{number}", devices=xml.disk(path, options="<readonly/>")).createWithFlags(PAUSED)
    assert plain_qemu(f"file={path},format=raw,readonly=on") == ""
    with pytest.raises(libvirt.libvirtError):
        define(name=f"{name}-writer", devices=xml.disk(path)).createWithFlags(PAUSED)


def test_a_writer_keeps_readers_away(define, image, name):
    path = image()
    define(name=f"{name}-writer", devices=xml.disk(path)).createWithFlags(PAUSED)
    for options in ("<readonly/>", "<shareable/>", ""):
        reader = define(name=f"{name}-other", devices=xml.disk(path, options=options))
        with pytest.raises(libvirt.libvirtError):
            reader.createWithFlags(PAUSED)
        reader.undefine()
