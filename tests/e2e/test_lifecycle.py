"""create, start, suspend, resume, destroy, reset, and what list, domstate, dominfo and domid show of them."""

import os
import re
import signal
import subprocess
import sys
import uuid

import libvirt
import pytest

from lib import host, xml
from lib.console import LOGIN
from lib.wait import until

PAUSED = libvirt.VIR_DOMAIN_START_PAUSED


def row(virsh, name, *filters):
    """The row of `list` for `name`, as (Id, Name, State)."""
    for line in virsh.rows("list", *filters):
        if line[1] == name:
            return line[0], line[1], " ".join(line[2:])
    return None


def test_the_whole_life_through_virsh(virsh, tidy, file, name, conn):
    virsh("define", file(xml.bare(name)))
    assert row(virsh, name, "--all") == ("-", name, "shut off")
    assert virsh("start", name) == f"Domain '{name}' started"
    number, _, state = row(virsh, name)
    assert number.isdigit() and state == "running"
    assert virsh("domstate", name, "--reason") == "running (booted)"
    assert virsh("suspend", name) == f"Domain '{name}' suspended"
    assert row(virsh, name) == (number, name, "paused") and virsh("domstate", name, "--reason") == "paused (user)"
    assert virsh("resume", name) == f"Domain '{name}' resumed"
    assert row(virsh, name) == (number, name, "running") and virsh("domstate", name, "--reason") == "running (unpaused)"
    uuid = conn.lookupByName(name).UUIDString()
    assert host.emulator_pid(uuid)
    assert virsh("destroy", name) == f"Domain '{name}' destroyed"
    assert row(virsh, name, "--all") == ("-", name, "shut off") and row(virsh, name) is None
    assert virsh("domstate", name, "--reason") == "shut off (destroyed)"
    assert host.emulator_pid(uuid) is None
    assert virsh("undefine", name) == f"Domain '{name}' has been undefined"
    assert row(virsh, name, "--all") is None


def test_create_makes_a_transient_running_domain(virsh, tidy, file, name):
    assert f"Domain '{name}' created from" in virsh("create", file(xml.bare(name)))
    assert row(virsh, name)[2] == "running"
    fields = virsh.fields("dominfo", name)
    assert fields["Persistent"] == "no" and fields["State"] == "running"
    virsh("destroy", name)
    assert name not in virsh.names("--all")
    assert f"failed to get domain '{name}'" in virsh.fails("dominfo", name)


def test_create_paused(virsh, tidy, file, name):
    virsh("create", file(xml.bare(name)), "--paused")
    assert virsh("domstate", name, "--reason") == "paused (user)"
    virsh("resume", name)
    assert virsh("domstate", name) == "running"


def test_create_validates(virsh, tidy, file, name):
    assert "XML document failed to validate against schema" in virsh.fails("create", file(xml.bare(name, body="<frob/>")), "--paused", "--validate")
    assert name not in virsh.names("--all")
    virsh("create", file(xml.bare(name)), "--paused", "--validate")
    assert virsh("domstate", name) == "paused"


def test_create_with_the_name_of_a_running_domain(running, conn, refused):
    text = xml.bare(running.name(), uuid=running.UUIDString())
    assert "already active" in refused(libvirt.VIR_ERR_OPERATION_INVALID, conn.createXML, text, PAUSED)


def test_create_of_a_defined_domain_starts_it_and_keeps_its_definition(define, conn, name):
    domain = define()
    conn.createXML(xml.bare(name, uuid=domain.UUIDString(), vcpus=2), PAUSED)
    assert domain.isActive() and domain.isPersistent()
    assert domain.maxVcpus() == 2
    domain.destroy()
    assert domain.vcpusFlags(libvirt.VIR_DOMAIN_AFFECT_CONFIG | libvirt.VIR_DOMAIN_VCPU_MAXIMUM) == 1


@pytest.mark.parametrize("command", ["start", "create"])
def test_autodestroy_ends_with_the_connection(uri, conn, tidy, name, events, command):
    other = libvirt.open(uri)
    if command == "create":
        other.createXML(xml.bare(name), PAUSED | libvirt.VIR_DOMAIN_START_AUTODESTROY)
    else:
        other.defineXML(xml.bare(name)).createWithFlags(PAUSED | libvirt.VIR_DOMAIN_START_AUTODESTROY)
    assert conn.lookupByName(name).isActive()
    other.close()
    events.wait(name, libvirt.VIR_DOMAIN_EVENT_STOPPED, libvirt.VIR_DOMAIN_EVENT_STOPPED_DESTROYED)
    if command == "create":
        until(lambda: name not in {domain.name() for domain in conn.listAllDomains()}, "the transient domain to be gone")
    else:
        assert not conn.lookupByName(name).isActive()


def test_autodestroy_is_of_one_run(uri, conn, tidy, name):
    """Who starts a domain anew has nothing to do with the client that went with the run before."""
    other = libvirt.open(uri)
    other.defineXML(xml.bare(name)).createWithFlags(PAUSED | libvirt.VIR_DOMAIN_START_AUTODESTROY)
    domain = conn.lookupByName(name)
    domain.destroy()
    domain.createWithFlags(PAUSED)
    other.close()
    conn.defineXML(xml.bare(f"{name}-later")).createWithFlags(PAUSED)  # what follows the end of a connection has followed
    assert domain.isActive()


STARTS = """
import libvirt, sys
uri, name, command, flags, text = sys.argv[1:]
connection = libvirt.open(uri)
if command == "create":
    connection.createXML(text, int(flags))
else:
    connection.lookupByName(name).createWithFlags(int(flags))
"""


@pytest.fixture
def slow_emulator(base):
    """A QEMU that takes its time before it begins."""
    path = base / "slow-emulator"
    path.write_text(f'#!/bin/sh\ncase " $* " in *" -uuid "*) sleep 1;; esac\nexec {xml.EMULATOR} "$@"\n')
    path.chmod(0o755)
    return f"<emulator>{path}</emulator>"


@pytest.mark.parametrize("command", ["start", "create"])
def test_autodestroy_of_a_client_that_dies_during_its_start(uri, conn, tidy, name, events, slow_emulator, command):
    unique = str(uuid.uuid4())
    text = xml.bare(name, uuid=unique, devices=slow_emulator)
    if command == "start":
        conn.defineXML(text)
    flags = PAUSED | libvirt.VIR_DOMAIN_START_AUTODESTROY
    with subprocess.Popen([sys.executable, "-c", STARTS, uri, name, command, str(flags), text]) as client:
        until(lambda: host.emulator_pid(unique), "the start to be under way")
        client.kill()
    events.wait(name, libvirt.VIR_DOMAIN_EVENT_STOPPED, libvirt.VIR_DOMAIN_EVENT_STOPPED_DESTROYED)
    until(lambda: not host.emulator_pid(unique), "the machine to go with its client")


def test_start_paused(define, virsh, name):
    define()
    virsh("start", name, "--paused")
    assert virsh("domstate", name, "--reason") == "paused (user)"


def test_start_of_a_running_domain(running, virsh, refused):
    assert virsh.fails("start", running.name()) == "error: Domain is already active"
    assert "already running" in refused(libvirt.VIR_ERR_OPERATION_INVALID, running.create)


def test_start_has_virshs_other_flags(define, virsh, name):
    define()
    virsh("start", name, "--paused", "--bypass-cache", "--force-boot")
    assert virsh("domstate", name) == "paused"


def test_reset_nvram_makes_the_variables_anew(define, virsh, name, base):
    code = "/usr/share/OVMF/OVMF_CODE_4M.fd"
    store = base / f"{name}_VARS.fd"
    text = f"<loader readonly='yes' type='pflash'>{code}</loader><nvram template='{code.replace('CODE', 'VARS')}'>{store}</nvram>"
    define(os=text)
    virsh("start", name, "--paused")
    fresh = store.read_bytes()
    virsh("destroy", name)
    store.write_bytes(bytes(len(fresh)))
    virsh("start", name, "--paused")
    assert not any(store.read_bytes())
    virsh("destroy", name)
    virsh("start", name, "--paused", "--reset-nvram")
    assert store.read_bytes() == fresh and [path for path in os.listdir(base) if path.startswith(store.name)] == [store.name]


def test_suspend_and_resume_twice(create, refused):
    domain = create()
    domain.suspend()
    domain.resume()
    refused(libvirt.VIR_ERR_OPERATION_INVALID, domain.resume)
    assert domain.state()[0] == libvirt.VIR_DOMAIN_RUNNING


def test_destroy_graceful(create, name, virsh):
    domain = create(flags=0)
    virsh("destroy", name, "--graceful")
    assert host.emulator_pid(domain.UUIDString()) is None
    assert name not in virsh.names("--all")


def test_destroy_leaves_nothing_of_the_machine(create, conn, image, ours, name):
    cards = host.network_cards()
    domain = create(devices=xml.disk(image()) + xml.also(xml.bridge("52:54:00:00:00:07")) + xml.CONSOLE)
    pid, pty = host.emulator_pid(domain.UUIDString()), xml.tree(domain.XMLDesc()).find("devices/console").get("tty")
    taps = host.network_cards() - cards
    assert len(taps) == xml.CARDS and all(os.path.exists(f"/sys/class/net/{host.BRIDGE}/brif/{tap}") for tap in taps) and os.path.exists(pty)
    state = f"/run/libvirt/{'stratovirt' if ours else 'qemu'}"
    part = name[:20]  # of which both drivers make the folder's name
    assert any(part in path for path in os.listdir(state))
    domain.destroy()
    assert not os.path.exists(f"/proc/{pid}") and not os.path.exists(pty)
    assert host.network_cards() == cards
    assert not any(part in path for path in os.listdir(state))


def test_ids_are_given_once(create, name):
    first = create()
    number = first.ID()
    first.destroy()
    assert create().ID() > number


def test_dominfo(running, virsh):
    fields = virsh.fields("dominfo", running.name())
    assert fields["Id"] == str(running.ID()) and fields["Name"] == running.name() and fields["UUID"] == running.UUIDString()
    assert fields["OS Type"] == "hvm" and fields["CPU(s)"] == "2"
    assert fields["Max memory"] == fields["Used memory"] == "131072 KiB"
    assert re.fullmatch(r"\d+\.\d+s", fields["CPU time"]) and fields["Persistent"] == "yes" and fields["Managed save"] == "no"


def test_dominfo_of_a_shut_off_domain(inactive, virsh):
    fields = virsh.fields("dominfo", inactive.name())
    assert fields["Id"] == "-" and fields["State"] == "shut off"
    assert "CPU time" not in fields


def test_cpu_time_grows(running):
    before = running.info()[4]
    assert before > 0
    running.reset(0)  # firmware has something to do again
    until(lambda: running.info()[4] > before, "cpu time to grow")


def test_list_filters(define, create, virsh, conn, name):
    off = define(name=f"{name}-off")
    off.setAutostart(1)
    on = define(name=f"{name}-on")
    on.createWithFlags(0)
    transient = create(name=f"{name}-transient")
    mine = {off.name(), on.name(), transient.name()}

    def seen(*filters):
        return {listed.removeprefix(name + "-") for listed in virsh.names(*filters) & mine}

    assert seen() == {"on", "transient"}
    assert seen("--all") == {"off", "on", "transient"}
    assert seen("--inactive") == {"off"}
    assert seen("--all", "--persistent") == {"off", "on"}
    assert seen("--all", "--transient") == {"transient"}
    assert seen("--all", "--autostart") == {"off"}
    assert seen("--all", "--no-autostart") == {"on", "transient"}
    assert seen("--all", "--state-running") == {"on"}
    assert seen("--all", "--state-paused") == {"transient"}
    assert seen("--all", "--state-shutoff") == {"off"}
    assert seen("--all", "--state-other") == set()
    assert seen("--all", "--with-managed-save") == set()
    assert seen("--all", "--without-managed-save") == {"off", "on", "transient"}
    assert seen("--all", "--with-snapshot") == set()
    assert seen("--all", "--without-snapshot") == {"off", "on", "transient"}
    assert {off.UUIDString(), on.UUIDString()} <= set(virsh("list", "--all", "--uuid").split())
    assert str(on.ID()) in virsh("list", "--id").split()
    off.setMetadata(libvirt.VIR_DOMAIN_METADATA_TITLE, "Its title", None, None, 0)
    assert any(off.name() in line and "Its title" in line for line in virsh("list", "--all", "--title").splitlines())


def test_the_old_ways_of_listing(running, inactive, conn):
    assert running.ID() in conn.listDomainsID() and conn.numOfDomains() == len(conn.listDomainsID())
    assert inactive.name() in conn.listDefinedDomains() and conn.numOfDefinedDomains() == len(conn.listDefinedDomains())


def test_lookup_by_id_name_and_uuid(running, conn):
    for found in (conn.lookupByID(running.ID()), conn.lookupByName(running.name()), conn.lookupByUUIDString(running.UUIDString())):
        assert found.name() == running.name() and found.ID() == running.ID()


def test_reset_keeps_the_process(create, virsh, name):
    domain = create(flags=0)
    pid = host.emulator_pid(domain.UUIDString())
    assert virsh("reset", name) == f"Domain '{name}' was reset"
    assert virsh("domstate", name) == "running" and host.emulator_pid(domain.UUIDString()) == pid


@pytest.mark.parametrize("action", ["destroy", "restart"])
def test_on_reboot(create, events, name, action):
    """A machine reset from inside, here by QMP, does as on_reboot says."""
    domain = create(flags=0, body=f"<on_poweroff>destroy</on_poweroff><on_reboot>{action}</on_reboot><on_crash>destroy</on_crash>")
    events.also(libvirt.VIR_DOMAIN_EVENT_ID_REBOOT)
    domain.reset()
    if action == "destroy":
        events.wait(name, libvirt.VIR_DOMAIN_EVENT_STOPPED)
    else:
        events.wait(name)
        assert domain.state()[0] == libvirt.VIR_DOMAIN_RUNNING


def test_shutdown_by_the_power_button(boot, events, virsh):
    machine = boot()
    assert virsh("shutdown", machine.name) == f"Domain '{machine.name}' is being shutdown"
    events.wait(machine.name, libvirt.VIR_DOMAIN_EVENT_STOPPED, libvirt.VIR_DOMAIN_EVENT_STOPPED_SHUTDOWN, seconds=30)
    assert virsh("domstate", machine.name, "--reason") == "shut off (shutdown)"
    assert host.emulator_pid(machine.uuid) is None


def test_reboot_restarts_the_guest_within_the_domain(boot, events, virsh):
    machine = boot(transient=True)
    number, first = machine.domain.ID(), machine.run("cat /proc/sys/kernel/random/boot_id")
    with machine.console() as console:
        console.connected()
        assert virsh("reboot", machine.name) == f"Domain '{machine.name}' is being rebooted"
        console.expect("The system is going down NOW", 60)  # until then the old shell answers
        console.login(120)
        console.leave()
    assert machine.run("cat /proc/sys/kernel/random/boot_id") != first
    assert machine.domain.ID() == number and machine.domain.state()[0] == libvirt.VIR_DOMAIN_RUNNING


def test_poweroff_by_the_guest(boot, events, virsh):
    machine = boot(transient=True)
    with machine.console() as console:
        console.connected().login()
        console.type("poweroff\r")
        events.wait(machine.name, libvirt.VIR_DOMAIN_EVENT_STOPPED, libvirt.VIR_DOMAIN_EVENT_STOPPED_SHUTDOWN, seconds=30)
        console.ended()
    assert machine.name not in virsh.names("--all")


PANICKED = libvirt.VIR_DOMAIN_EVENT_CRASHED, libvirt.VIR_DOMAIN_EVENT_CRASHED_PANICKED


@pytest.mark.parametrize("action", ["destroy", "restart", "preserve"])
def test_on_crash(boot, events, virsh, action):
    """A kernel that panics tells the emulator, QEMU by a device that is added for it, and then the domain does as on_crash says."""
    machine = boot(devices=xml.PORTS, body=f"<on_poweroff>destroy</on_poweroff><on_reboot>restart</on_reboot><on_crash>{action}</on_crash>")
    driver = "platform/drivers/pvpanic-mmio"  # of what the monitor of type kvm has always
    if xml.TYPE == "qemu":
        driver = "pci/drivers/pvpanic-pci"
        virsh("qemu-monitor-command", machine.name, "--hmp", "device_add pvpanic-pci,bus=pci.10")
    pid = host.emulator_pid(machine.uuid)
    with machine.console() as console:
        console.connected().login()
        console.command(f"until ls /sys/bus/{driver} | grep -q :; do sleep 1; done", 60)
        console.type("echo c > /proc/sysrq-trigger\r")
        panicked = events.wait(machine.name, *PANICKED, seconds=30)
        if action == "destroy":
            stopped = events.wait(machine.name, libvirt.VIR_DOMAIN_EVENT_STOPPED, libvirt.VIR_DOMAIN_EVENT_STOPPED_CRASHED)
            assert panicked < stopped and virsh("domstate", machine.name, "--reason") == "shut off (crashed)"
            assert host.emulator_pid(machine.uuid) is None
        elif action == "restart":
            console.expect(LOGIN, 120)
            assert virsh("domstate", machine.name) == "running" and host.emulator_pid(machine.uuid) == pid
        else:
            assert virsh("domstate", machine.name, "--reason") == "crashed (panicked)" and host.emulator_pid(machine.uuid) == pid
            virsh("reset", machine.name)
            until(lambda: virsh("domstate", machine.name, "--reason") == "paused (crashed)", "the reset")
            virsh("resume", machine.name)
            console.expect(LOGIN, 120)
            assert virsh("domstate", machine.name) == "running"
            virsh("destroy", machine.name)


@pytest.mark.parametrize("transient", [False, True])
def test_the_emulators_death_is_a_crash(define, create, events, conn, virsh, name, transient):
    domain = create(flags=0) if transient else define()
    if not transient:
        domain.create()
    os.kill(host.emulator_pid(domain.UUIDString()), signal.SIGKILL)
    # The promise is a second; a wait that fails a test is five times as long.
    events.wait(name, libvirt.VIR_DOMAIN_EVENT_STOPPED, libvirt.VIR_DOMAIN_EVENT_STOPPED_FAILED, seconds=5)
    if transient:
        until(lambda: name not in virsh.names("--all"), "the transient domain to be gone", 5)
    else:
        assert virsh("domstate", name, "--reason") == "shut off (crashed)"
        domain.create()
        assert virsh("domstate", name) == "running"


def test_domcontrol_and_domjobinfo(running, virsh):
    assert virsh("domcontrol", running.name()) == "ok"
    assert "None" in virsh("domjobinfo", running.name())


def test_a_failed_start_leaves_nothing(define, image, conn, name, refused):
    """The disk is away when the machine starts: after the refusal there is no tap, no process, no state; once it is back it starts."""
    path = image()
    domain = define(devices=xml.disk(path) + xml.also(xml.bridge("52:54:00:00:00:08")))
    cards = host.network_cards()
    path.rename(f"{path}.away")
    message = str(pytest.raises(libvirt.libvirtError, domain.createWithFlags, PAUSED).value)
    assert str(path) in message
    assert host.network_cards() == cards and host.emulator_pid(domain.UUIDString()) is None
    assert domain.state() == [libvirt.VIR_DOMAIN_SHUTOFF, libvirt.VIR_DOMAIN_SHUTOFF_FAILED]
    path.with_name(path.name + ".away").rename(path)
    domain.createWithFlags(PAUSED)


def test_two_machines_never_write_one_disk(define, image, name, expected):
    path = image()
    first, second = (define(name=f"{name}-{i}", devices=xml.disk(path)) for i in (1, 2))
    first.createWithFlags(PAUSED)
    with pytest.raises(libvirt.libvirtError):
        second.createWithFlags(PAUSED)
    assert not second.isActive()
    first.destroy()
    second.createWithFlags(PAUSED)


def test_shareable_disks_are_shared(define, image, name):
    path = image()
    for i in (1, 2):
        define(name=f"{name}-{i}", devices=xml.disk(path, options="<shareable/>")).createWithFlags(PAUSED)


def test_many_machines_start_at_once(conn, tidy, name):
    import concurrent.futures

    domains = [conn.defineXML(xml.bare(f"{name}-{i}")) for i in range(4)]
    with concurrent.futures.ThreadPoolExecutor() as pool:
        list(pool.map(lambda domain: domain.createWithFlags(PAUSED), domains))
        assert all(domain.isActive() for domain in domains)
        list(pool.map(lambda domain: domain.destroy(), domains))
    assert not any(domain.isActive() for domain in domains)
