"""What a domain uses and has done: domstats and the calls that ask for one device, the memory or the processors."""

import os
import re
import signal
import subprocess
import time

import libvirt
import pytest

from lib import host, xml
from lib.wait import until

GROUPS = {
    "state": libvirt.VIR_DOMAIN_STATS_STATE,
    "cpu": libvirt.VIR_DOMAIN_STATS_CPU_TOTAL,
    "balloon": libvirt.VIR_DOMAIN_STATS_BALLOON,
    "vcpu": libvirt.VIR_DOMAIN_STATS_VCPU,
    "net": libvirt.VIR_DOMAIN_STATS_INTERFACE,
    "block": libvirt.VIR_DOMAIN_STATS_BLOCK,
    "iothread": libvirt.VIR_DOMAIN_STATS_IOTHREAD,
}
BLOCK = {"rd.reqs", "rd.bytes", "rd.times", "wr.reqs", "wr.bytes", "wr.times", "fl.reqs", "fl.times", "allocation", "capacity", "physical", "name", "path"}
NET = {f"{way}.{what}" for way in ("rx", "tx") for what in ("bytes", "pkts", "errs", "drop")} | {"name"}
MAC = "de:ad:be:ef:0a:01"
THIRD = {"qemu": "qcow2", "kvm": "raw"}[xml.TYPE]  # the third disk's format


def devices(base, name, mac=MAC):
    """Two raw disks, the second with something in it, and a qcow2, where the emulator has that, else a raw one; a bridge, a balloon."""
    raw, full, qcow2 = (base / f"{name}-{part}" for part in ("raw", "full", "qcow2"))
    raw.write_bytes(b"")
    os.truncate(raw, 1 << 20)
    full.write_bytes(b"x" * 8192)
    subprocess.run(["qemu-img", "create", "-q", "-f", THIRD, qcow2, "10M"], check=True)
    for path in (raw, full, qcow2):
        path.chmod(0o666)
    disks = xml.disk(raw) + xml.disk(full, "vdb", "<readonly/>") + xml.disk(qcow2, "vdc", driver=f"type='{THIRD}'")
    return disks + xml.also(xml.bridge(mac) + xml.BALLOON)


@pytest.fixture(scope="module")
def machine(conn, base):
    """A machine that runs and has a device of each kind; it ends with the module."""
    domain = conn.createXML(xml.bare("statistics", vcpus=2, body="<iothreads>2</iothreads>", devices=devices(base, "statistics")))
    yield domain
    domain.destroy()


@pytest.fixture(scope="module")
def idle(conn, base):
    """The same, shut off."""
    domain = conn.defineXML(xml.bare("statistics-idle", vcpus=2, devices=devices(base, "idle", "de:ad:be:ef:0a:02")))
    yield domain
    domain.undefine()


def figures(conn, domain, groups=0, flags=0):
    [(same, values)] = conn.domainListGetStats([domain], groups, flags)
    assert same.UUID() == domain.UUID()
    return values


def numbered(values, prefix):
    """The fields of one numbered thing: {"name", "rd.reqs" …}."""
    return {key.removeprefix(prefix) for key in values if key.startswith(prefix)}


def test_domstats_of_a_running_machine(conn, machine):
    values = figures(conn, machine)
    assert values["state.state"] == libvirt.VIR_DOMAIN_RUNNING and values["state.reason"] == libvirt.VIR_DOMAIN_RUNNING_BOOTED
    assert values["cpu.time"] > 0 and {"cpu.user", "cpu.system"} <= set(values)
    assert values["balloon.current"] == values["balloon.maximum"] == 128 * 1024
    assert values["balloon.rss"] > 1024 and values.get("balloon.last-update", 0) == 0
    assert values["vcpu.current"] == values["vcpu.maximum"] == 2
    assert numbered(values, "vcpu.1.") >= {"state", "time", "delay"} and values["vcpu.0.state"] == libvirt.VIR_VCPU_RUNNING
    assert values["net.count"] == xml.CARDS and numbered(values, "net.0.") == set(xml.also(NET))
    assert values["block.count"] == 3
    for i in range(3):
        assert numbered(values, f"block.{i}.") - {"backingIndex"} == BLOCK
    assert values["iothread.count"] == 2
    assert {"poll-max-ns", "poll-grow", "poll-shrink"} == numbered(values, "iothread.1.") == numbered(values, "iothread.2.")


def test_sizes_of_a_running_machines_disks(conn, machine):
    values = figures(conn, machine, GROUPS["block"])
    sizes = [tuple(values[f"block.{i}.{size}"] for size in ("capacity", "physical")) for i in range(3)]
    assert sizes[:2] == [(1 << 20, 1 << 20), (8192, 8192)]
    assert sizes[2][0] == 10 << 20 and sizes[2][1] < 1 << 20
    assert [values[f"block.{i}.name"] for i in range(3)] == ["vda", "vdb", "vdc"]


def test_domstats_of_a_shut_off_machine(conn, idle):
    values = figures(conn, idle)
    assert values["state.state"] == libvirt.VIR_DOMAIN_SHUTOFF
    assert values["balloon.current"] == values["balloon.maximum"] == 128 * 1024
    assert values["vcpu.current"] == values["vcpu.maximum"] == 2
    assert values["block.count"] == 3 and values["block.2.capacity"] == 10 << 20
    assert values["block.1.allocation"] == 8192 and "block.0.allocation" not in values
    assert not [key for key in values if key.startswith(("net.", "vcpu.0", "iothread", "balloon.rss"))]


def test_cpu_time_of_a_shut_off_machine(conn, idle, expected):
    assert bool(figures(conn, idle, GROUPS["cpu"])) == expected("a shut off machine has cpu time")


@pytest.mark.parametrize("group", GROUPS)
def test_each_group_alone(conn, machine, group):
    values = figures(conn, machine, GROUPS[group], libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_ENFORCE_STATS)
    assert values and all(key.startswith(group + ".") for key in values)


def test_unknown_groups_are_ignored_unless_enforced(conn, machine, refused):
    assert figures(conn, machine, 1 << 20) == {}
    text = refused(libvirt.VIR_ERR_ARGUMENT_UNSUPPORTED, conn.domainListGetStats, [machine], 1 << 20, libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_ENFORCE_STATS)
    assert "0x100000" in text


def test_unknown_flags_are_refused(conn, refused):
    assert "unsupported flags (0x100000)" in refused(libvirt.VIR_ERR_INVALID_ARG, conn.getAllDomainStats, 0, 1 << 20)


def test_domstats_filters(conn, virsh, machine, idle):
    def names(*options):
        return set(re.findall(r"^Domain: '(.*)'$", virsh("domstats", "--state", *options), re.M))

    running, shut_off = machine.name(), idle.name()
    assert {running, shut_off} <= names()
    assert running in names("--list-active") and shut_off not in names("--list-active")
    assert shut_off in names("--list-inactive") and running not in names("--list-inactive")
    assert running in names("--list-transient") and shut_off in names("--list-persistent")
    assert running in names("--list-running") and shut_off in names("--list-shutoff")
    assert not {running, shut_off} & (names("--list-paused") | names("--list-other"))
    assert names(running, shut_off) == {running, shut_off}
    assert names(running, shut_off, "--list-active") == {running}


def test_domstats_asks_for_a_domain_twice_when_named_twice(conn, machine):
    assert len(conn.domainListGetStats([machine, machine], GROUPS["state"], 0)) == 2


def test_domstats_leaves_out_a_domain_that_is_gone(conn, create, name, machine):
    gone = create()
    gone.destroy()
    assert [domain.name() for domain, _ in conn.domainListGetStats([gone, machine], GROUPS["state"], 0)] == [machine.name()]


@pytest.mark.parametrize("option, bound", [([], 10), (["--nowait"], 5)])
def test_an_emulator_that_hangs_holds_up_nobody(conn, virsh, create, machine, ours, option, bound):
    """Its own figures are left out; those of the others, and what the host knows of it, come in time."""
    if not ours:
        pytest.skip("libvirtd waits for it without end")
    stuck = create(devices=xml.BALLOON)
    pid = host.emulator_pid(stuck.UUIDString())
    os.kill(pid, signal.SIGSTOP)
    try:
        begin = time.monotonic()
        text = virsh("domstats", *option, stuck.name(), machine.name())
        assert time.monotonic() - begin < bound
    finally:
        os.kill(pid, signal.SIGCONT)
    mine, others = text.split("Domain:")[1:]
    assert "balloon.current" in mine and "balloon.last-update" not in mine and "cpu.time" in mine
    assert "balloon.last-update" in others
    until(lambda: "balloon.last-update" in figures(conn, stuck), "the emulator to answer again", 20)


def test_counters_grow_with_what_the_guest_does(conn, guest):
    before = figures(conn, guest.domain)
    ticks = sum(guest.domain.getCPUStats(True)[0].values())
    guest.run("dd if=/dev/vdb of=/dev/null bs=64k count=16 iflag=direct 2>/dev/null || dd if=/dev/vdb of=/dev/null bs=64k count=16")
    after = figures(conn, guest.domain)
    assert after["block.1.rd.reqs"] > before["block.1.rd.reqs"]
    assert after["block.1.rd.bytes"] >= before["block.1.rd.bytes"] + (1 << 20)
    assert after["cpu.time"] > before["cpu.time"]
    assert after["vcpu.0.time"] + after["vcpu.1.time"] > before["vcpu.0.time"] + before["vcpu.1.time"]
    assert sum(guest.domain.getCPUStats(True)[0].values()) > ticks
    rd_req, rd_bytes, wr_req, wr_bytes, errs = guest.domain.blockStats("vdb")
    assert rd_req >= after["block.1.rd.reqs"] and rd_bytes >= after["block.1.rd.bytes"] and errs == -1


# --- disks


def test_domblklist(virsh, machine, idle):
    for domain in (machine, idle):
        assert [row[0] for row in virsh.rows("domblklist", domain.name())] == ["vda", "vdb", "vdc"]
    assert virsh.rows("domblklist", machine.name(), "--details")[0][:3] == ["file", "disk", "vda"]


def test_domblkinfo(virsh, machine, idle):
    for domain in (machine, idle):
        assert domain.blockInfo("vda") == [1 << 20, 0, 1 << 20]
        assert domain.blockInfo("vdb") == [8192, 8192, 8192]
        capacity, allocation, physical = domain.blockInfo("vdc")
        assert capacity == 10 << 20 and 0 < allocation < 1 << 20
        assert 0 < physical < 1 << 20 if THIRD == "qcow2" else physical == capacity
        assert len(virsh.rows("domblkinfo", domain.name(), "--all")) == 3


def test_domblkinfo_agrees_with_domstats(conn, define, base):
    """Of an image that is no whole number of sectors, too."""
    odd = base / "odd.raw"
    odd.write_bytes(bytes(1000))
    domain = define(devices=xml.disk(odd))
    capacity = lambda: (domain.blockInfo("vda")[0], conn.domainListGetStats([domain], GROUPS["block"], 0)[0][1]["block.0.capacity"])
    assert capacity() == (1000, 1000)
    domain.createWithFlags(libvirt.VIR_DOMAIN_START_PAUSED)
    assert capacity() == (1024, 1024)


def test_domblkinfo_by_source(machine):
    path = xml.tree(machine.XMLDesc()).find("devices/disk/source").get("file")
    assert machine.blockInfo(path) == machine.blockInfo("vda")


def test_domblkinfo_refusals(machine, idle, refused):
    for domain in (machine, idle):
        assert "invalid path vdz not assigned to domain" in refused(libvirt.VIR_ERR_INVALID_ARG, domain.blockInfo, "vdz")
        assert "unsupported flags (0x1)" in refused(libvirt.VIR_ERR_INVALID_ARG, domain.blockInfo, "vda", 1)


def test_domblkinfo_of_a_file_that_is_gone(define, base, refused):
    domain = define(devices=xml.disk(base / "no-such-image"))
    assert "no-such-image" in refused(libvirt.VIR_ERR_SYSTEM_ERROR, domain.blockInfo, "vda")
    assert "block.0.capacity" not in domain.connect().domainListGetStats([domain], GROUPS["block"], 0)[0][1]


def test_domblkstat(virsh, machine):
    names = {"rd_bytes", "rd_operations", "rd_total_times", "wr_bytes", "wr_operations", "wr_total_times", "flush_operations", "flush_total_times"}
    assert set(machine.blockStatsFlags("vda")) == names
    assert virsh("domblkstat", machine.name(), "vda", "--human").startswith("Device: vda")
    rows = dict(line.split()[1:] for line in virsh("domblkstat", machine.name(), "vda").splitlines())
    assert set(rows) == (names - {"rd_operations", "wr_operations"}) | {"rd_req", "wr_req"}
    total = machine.blockStatsFlags("")
    assert total["rd_operations"] == sum(machine.blockStatsFlags(disk)["rd_operations"] for disk in ("vda", "vdb", "vdc"))


def test_domblkstat_refusals(machine, idle, refused):
    for call in (machine.blockStats, machine.blockStatsFlags):
        assert "invalid path: vdz" in refused(libvirt.VIR_ERR_INVALID_ARG, call, "vdz")
    for call in (idle.blockStats, idle.blockStatsFlags):
        assert "domain is not running" in refused(libvirt.VIR_ERR_OPERATION_INVALID, call, "vda")
    refused(libvirt.VIR_ERR_INVALID_ARG, machine.blockStatsFlags, "vda", 8)


def test_domblkerror(virsh, machine, idle):
    assert virsh("domblkerror", machine.name()) == "No errors found"
    assert "domain is not running" in virsh.fails("domblkerror", idle.name())


# --- cards


def test_domiflist(virsh, machine, idle):
    [row] = virsh.rows("domiflist", machine.name())
    assert row[0].startswith("vnet") and row[1:] == ["bridge", host.BRIDGE, "virtio", MAC]
    assert virsh.rows("domiflist", idle.name())[0][0] == "-"


def test_domifstat_by_name_and_by_address(virsh, machine):
    name = virsh.rows("domiflist", machine.name())[0][0]
    words = {"rx_bytes", "rx_packets", "rx_errs", "rx_drop", "tx_bytes", "tx_packets", "tx_errs", "tx_drop"}
    for device in (name, MAC):
        assert {line.split()[1] for line in virsh("domifstat", machine.name(), device).splitlines()} == words


def test_domifstat_refusals(machine, idle, refused):
    for device in ("nope", "de:ad:be:ef:0a:99", ""):
        assert f"'{device}' is not a known interface" in refused(libvirt.VIR_ERR_INVALID_ARG, machine.interfaceStats, device)
    refused(libvirt.VIR_ERR_OPERATION_INVALID, idle.interfaceStats, "vnet0")


def test_domifaddr(virsh, machine, idle, refused):
    assert machine.interfaceAddresses(libvirt.VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_LEASE) == {}
    text = refused(libvirt.VIR_ERR_ARGUMENT_UNSUPPORTED, machine.interfaceAddresses, libvirt.VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_AGENT)
    assert "guest agent is not configured" in text
    refused(libvirt.VIR_ERR_ARGUMENT_UNSUPPORTED, machine.interfaceAddresses, 9)
    refused(libvirt.VIR_ERR_INVALID_ARG, machine.interfaceAddresses, 0, 1)
    assert "domain is not running" in virsh.fails("domifaddr", idle.name())


def test_domifaddr_from_the_neighbours_table(machine, expected, refused):
    subprocess.run(["ip", "address", "add", "192.0.2.1/24", "dev", host.BRIDGE], check=True)
    try:
        subprocess.run(["ip", "neighbour", "replace", "192.0.2.7", "lladdr", MAC, "dev", host.BRIDGE, "nud", "permanent"], check=True)
        if not expected("the kernel's table of neighbours is read"):
            refused(libvirt.VIR_ERR_INTERNAL_ERROR, machine.interfaceAddresses, libvirt.VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_ARP)
            return
        [(name, card)] = machine.interfaceAddresses(libvirt.VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_ARP).items()
    finally:
        subprocess.run(["ip", "address", "del", "192.0.2.1/24", "dev", host.BRIDGE], check=True)
    assert name.startswith("vnet") and card["hwaddr"] == MAC
    assert [(one["type"], one["addr"]) for one in card["addrs"]] == [(libvirt.VIR_IP_ADDR_TYPE_IPV4, "192.0.2.7")]


# --- memory and processors


def test_dommemstat(virsh, machine, running, idle):
    values = machine.memoryStats()
    assert values["actual"] == 128 * 1024 and values["rss"] > 1024 and values["last_update"] == 0
    assert set(running.memoryStats()) == {"rss"} or "actual" in running.memoryStats()
    assert "domain is not running" in virsh.fails("dommemstat", idle.name())


def test_cpu_stats(virsh, machine, idle, refused):
    [total] = machine.getCPUStats(True)
    assert set(total) == {"cpu_time", "user_time", "system_time"} and total["cpu_time"] > 0
    assert "cpu_time" in virsh("cpu-stats", machine.name(), "--total")
    refused(libvirt.VIR_ERR_INVALID_ARG, machine.getCPUStats, True, 1)
    refused(libvirt.VIR_ERR_OPERATION_INVALID, idle.getCPUStats, True)
    assert "out of range" in virsh.fails("cpu-stats", machine.name(), "--start", "100000")


def test_cpu_stats_by_processor(machine, expected, refused):
    """What version 1 of control groups keeps apart and version 2 does not."""
    mixed = os.path.exists("/sys/fs/cgroup/unified/cgroup.controllers") and not expected("figures of each processor from mixed control groups")
    if mixed or os.path.exists("/sys/fs/cgroup/cgroup.controllers"):
        refused(libvirt.VIR_ERR_OPERATION_UNSUPPORTED, machine.getCPUStats, False)
    else:
        assert len(machine.getCPUStats(False)) == os.cpu_count()


# --- what else a domain is asked


def test_dominfo(virsh, machine, idle):
    fields = virsh.fields("dominfo", machine.name())
    assert fields["State"] == "running" and fields["Max memory"] == "131072 KiB" and fields["Security model"] == "none"
    assert virsh.fields("dominfo", idle.name())["State"] == "shut off"


def test_limits(machine, idle, refused):
    assert machine.maxMemory() == idle.maxMemory() == 131072
    assert machine.maxVcpus() == 2
    refused(libvirt.VIR_ERR_OPERATION_INVALID, idle.maxVcpus)
    assert machine.securityLabel() == idle.securityLabel() == ["", False]


def test_domcontrol(virsh, machine, idle):
    assert virsh("domcontrol", machine.name()) == "ok"
    assert "domain is not running" in virsh.fails("domcontrol", idle.name())


def test_jobs(virsh, machine, idle, refused):
    assert virsh.fields("domjobinfo", machine.name()) == {"Job type": "None"}
    assert machine.jobInfo() == [0] * 12 and machine.jobStats() == {"type": 0}
    assert idle.jobStats(libvirt.VIR_DOMAIN_JOB_STATS_COMPLETED) == {"type": 0}
    refused(libvirt.VIR_ERR_OPERATION_INVALID, idle.jobInfo)
    refused(libvirt.VIR_ERR_OPERATION_INVALID, idle.jobStats)
    assert "no job is active on the domain" in refused(libvirt.VIR_ERR_OPERATION_INVALID, machine.abortJob)


def test_what_only_an_agent_could_tell(machine, idle, refused):
    calls = [
        ("getTime", ()),
        ("setTime", ({"seconds": 1, "nseconds": 0},)),
        ("hostname", ()),
        ("guestInfo", (0,)),
        ("fsInfo", ()),
        ("fSTrim", (None, 0)),
    ]
    for call, arguments in calls:
        assert "guest agent is not configured" in refused(libvirt.VIR_ERR_ARGUMENT_UNSUPPORTED, getattr(machine, call), *arguments)
        if call != "setTime":  # libvirt looks at QEMU's commands first
            refused(libvirt.VIR_ERR_OPERATION_INVALID, getattr(idle, call), *arguments)
    assert "no hostname found" in refused(libvirt.VIR_ERR_NO_HOSTNAME, machine.hostname, libvirt.VIR_DOMAIN_GET_HOSTNAME_LEASE)


def test_a_read_only_client_may_look(readonly, machine):
    same = readonly.lookupByName(machine.name())
    assert figures(readonly, same, GROUPS["state"])["state.state"] == libvirt.VIR_DOMAIN_RUNNING
    assert same.blockInfo("vda") and same.memoryStats() and same.getCPUStats(True) and same.controlInfo() and same.jobInfo()
