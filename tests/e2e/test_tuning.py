"""A domain's memory, vCPUs and share of the host: what is set of it, live and for the next start, and what is refused."""

import os
import re

import libvirt
import pytest

from lib import host, xml
from lib.wait import until

CURRENT, LIVE, CONFIG = libvirt.VIR_DOMAIN_AFFECT_CURRENT, libvirt.VIR_DOMAIN_AFFECT_LIVE, libvirt.VIR_DOMAIN_AFFECT_CONFIG
MAXIMUM, GUEST = libvirt.VIR_DOMAIN_VCPU_MAXIMUM, libvirt.VIR_DOMAIN_VCPU_GUEST
MEM_MAXIMUM = libvirt.VIR_DOMAIN_MEM_MAXIMUM
INVALID, OPERATION, UNSUPPORTED = libvirt.VIR_ERR_INVALID_ARG, libvirt.VIR_ERR_OPERATION_INVALID, libvirt.VIR_ERR_OPERATION_UNSUPPORTED
NOT_RUNNING, NOT_PERSISTENT = "domain is not running", "transient domains do not have any persistent config"
CPUS = os.cpu_count()
VCPU = {"qemu": "CPU {}/TCG", "kvm": "CPU {}/KVM"}[xml.TYPE]  # a vCPU's thread
MIB = 1024


def describe(name, base, tune="", disk="vda"):
    path = base / f"{name}.img"
    path.write_bytes(bytes(1 << 20))
    path.chmod(0o666)
    text = xml.bare(name, memory=256, vcpus=4, body="<iothreads>2</iothreads>" + tune, devices=xml.disk(path, disk) + xml.also(xml.BALLOON))
    return text.replace("<vcpu>4</vcpu>", "<vcpu current='2'>4</vcpu>")


@pytest.fixture
def idle(define, name, base):
    return define(describe(f"{name}-off", base))


@pytest.fixture
def machine(define, name, base):
    domain = define(describe(name, base))
    domain.create()
    return domain


@pytest.fixture
def transient(create, name, base):
    return create(describe(f"{name}-transient", base))


def inactive(domain):
    return xml.tree(domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE))


def live(domain):
    return xml.tree(domain.XMLDesc())


def only(*cpus):
    return tuple(cpu in cpus for cpu in range(CPUS))


def affinities(domain):
    """Thread's name -> its processors, of a running domain's emulator."""
    pid = host.emulator_pid(domain.UUIDString())
    found = {}
    for thread in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{thread}/comm") as name:
            found[name.read().strip()] = os.sched_getaffinity(int(thread))
    return found


# --- memory


def memory_of(tree):
    return int(tree.findtext("memory")), int(tree.findtext("currentMemory"))


def test_setmem_of_a_shut_off_machine(virsh, idle, refused):
    assert refused(OPERATION, idle.setMemory, 128 * MIB).endswith(NOT_RUNNING)
    assert refused(OPERATION, idle.setMemoryFlags, 128 * MIB, LIVE).endswith(NOT_RUNNING)
    virsh("setmem", idle.name(), "200M", "--config")
    assert memory_of(inactive(idle)) == (256 * MIB, 200 * MIB)
    idle.setMemoryFlags(192 * MIB, CURRENT)
    assert memory_of(inactive(idle)) == (256 * MIB, 192 * MIB)
    assert "cannot set memory higher than max memory" in refused(INVALID, idle.setMemoryFlags, 512 * MIB, CONFIG)
    refused(INVALID, idle.setMemoryFlags, 0, CONFIG)
    assert "unsupported flags (0x8)" in refused(INVALID, idle.setMemoryFlags, 128 * MIB, 8)


def test_setmaxmem_of_a_shut_off_machine(virsh, idle):
    virsh("setmaxmem", idle.name(), "400M", "--config")
    assert memory_of(inactive(idle)) == (400 * MIB, 256 * MIB)
    idle.setMaxMemory(192 * MIB)
    assert memory_of(inactive(idle)) == (192 * MIB, 192 * MIB)
    assert idle.maxMemory() == 192 * MIB


def test_memory_of_a_running_machine(machine, refused):
    assert "cannot set memory higher than max memory" in refused(INVALID, machine.setMemory, 512 * MIB)
    for flags in (CURRENT, LIVE, LIVE | CONFIG):
        text = refused(OPERATION, machine.setMemoryFlags, 400 * MIB, MEM_MAXIMUM | flags)
        assert "cannot resize the maximum memory on an active domain" in text
    machine.setMemoryFlags(400 * MIB, MEM_MAXIMUM | CONFIG)
    machine.setMemoryFlags(320 * MIB, CONFIG)
    assert memory_of(inactive(machine)) == (400 * MIB, 320 * MIB)
    assert memory_of(live(machine))[0] == 256 * MIB


def test_memory_of_a_transient_machine(transient, refused):
    transient.setMemoryFlags(200 * MIB, LIVE)  # the guest that is asked for it does not run
    for flags in (CONFIG, LIVE | CONFIG, MEM_MAXIMUM | CONFIG):
        assert refused(OPERATION, transient.setMemoryFlags, 200 * MIB, flags).endswith(NOT_PERSISTENT)
    assert "on an active domain" in refused(OPERATION, transient.setMaxMemory, 200 * MIB)


def test_memory_without_a_balloon(create, name, define, refused):
    machine = create(devices="<memballoon model='none'/>")
    text = refused(OPERATION, machine.setMemory, 32 * MIB)
    assert "Unable to change memory of active domain without the balloon device and guest OS balloon driver" in text
    text = "No memory balloon device configured, can not set the collection period"
    assert text in refused(libvirt.VIR_ERR_INTERNAL_ERROR, machine.setMemoryStatsPeriod, 5, LIVE)
    shut_off = define(name=name + "-off", devices="<memballoon model='none'/>")
    shut_off.setMemoryFlags(32 * MIB, CONFIG)
    assert text in refused(libvirt.VIR_ERR_INTERNAL_ERROR, shut_off.setMemoryStatsPeriod, 5, CONFIG)


def test_a_guest_gives_memory_back_and_gets_it_again(virsh, guest, events):
    memory = memory_of(live(guest.domain))[0]
    less = memory - 32 * MIB
    try:
        virsh("setmem", guest.name, str(less), "--live")
        until(lambda: guest.domain.memoryStats()["actual"] == less, "the balloon to grow", 30)
        until(lambda: memory_of(live(guest.domain)) == (memory, less) and guest.domain.info()[2] == less, "the description to follow", 30)
        assert memory_of(inactive(guest.domain)) == (memory, memory)
    finally:
        guest.domain.setMemory(memory)
        until(lambda: guest.domain.memoryStats()["actual"] == memory, "the balloon to shrink", 30)


def periods(tree):
    return [one.get("period") for one in tree.findall("devices/memballoon/stats")]


def test_dommemstat_period(virsh, idle, machine, transient, refused):
    virsh("dommemstat", machine.name(), "--period", "3", "--live")
    assert periods(live(machine)) == ["3"] and periods(inactive(machine)) == []
    virsh("dommemstat", machine.name(), "--period", "4", "--config", "--live")
    assert periods(live(machine)) == periods(inactive(machine)) == ["4"]
    machine.setMemoryStatsPeriod(0, LIVE)
    assert periods(live(machine)) == [] and periods(inactive(machine)) == ["4"]
    idle.setMemoryStatsPeriod(5, CURRENT)
    assert periods(inactive(idle)) == ["5"]
    assert refused(OPERATION, idle.setMemoryStatsPeriod, 5, LIVE).endswith(NOT_RUNNING)
    assert refused(OPERATION, transient.setMemoryStatsPeriod, 5, CONFIG).endswith(NOT_PERSISTENT)


def test_a_period_makes_the_guest_report(guest):
    guest.domain.setMemoryStatsPeriod(1, LIVE)
    try:
        until(lambda: guest.domain.memoryStats().get("last_update", 0) > 0, "the guest's report", 30)
        assert {"available", "unused"} <= set(guest.domain.memoryStats())
    finally:
        guest.domain.setMemoryStatsPeriod(0, LIVE)


# --- how many vCPUs


def test_vcpucount(virsh, idle, machine, transient, refused):
    for domain in (idle, machine):
        assert virsh("vcpucount", domain.name(), "--maximum", "--config") == "4"
        assert virsh("vcpucount", domain.name(), "--current", "--config") == "2"
    for domain in (machine, transient):
        assert domain.vcpusFlags(LIVE) == domain.vcpusFlags(CURRENT) == 2
        assert domain.vcpusFlags(LIVE | MAXIMUM) == domain.maxVcpus() == 4
    assert refused(OPERATION, idle.vcpusFlags, LIVE).endswith(NOT_RUNNING)
    assert refused(OPERATION, transient.vcpusFlags, CONFIG).endswith(NOT_PERSISTENT)
    assert "can only be requested for live domains" in refused(INVALID, idle.vcpusFlags, GUEST)
    assert "guest agent is not configured" in refused(libvirt.VIR_ERR_ARGUMENT_UNSUPPORTED, machine.vcpusFlags, GUEST)
    assert refused(OPERATION, transient.vcpusFlags, GUEST).endswith(NOT_RUNNING)
    assert "unsupported flags (0x40)" in refused(INVALID, idle.vcpusFlags, 64)
    table = virsh("vcpucount", machine.name())
    assert [line.split() for line in table.splitlines()] == [
        ["maximum", "config", "4"], ["maximum", "live", "4"], ["current", "config", "2"], ["current", "live", "2"]
    ]


def test_setvcpus_for_the_next_start(virsh, idle, machine, transient, refused):
    for domain in (idle, machine):
        virsh("setvcpus", domain.name(), "3", "--config")
        assert domain.vcpusFlags(CONFIG) == 3
        text = refused(INVALID, domain.setVcpusFlags, 5, CONFIG)
        assert "requested vcpus is greater than max allowable vcpus for the persistent domain: 5 > 4" in text
        virsh("setvcpus", domain.name(), "6", "--config", "--maximum")
        assert domain.vcpusFlags(CONFIG | MAXIMUM) == 6 and domain.vcpusFlags(CONFIG) == 3
        domain.setVcpusFlags(2, CONFIG | MAXIMUM)
        assert domain.vcpusFlags(CONFIG | MAXIMUM) == domain.vcpusFlags(CONFIG) == 2
        refused(INVALID, domain.setVcpusFlags, 0, CONFIG)
    assert machine.vcpusFlags(LIVE) == 2 and machine.vcpusFlags(LIVE | MAXIMUM) == 4
    idle.setVcpusFlags(1, CURRENT)
    assert idle.vcpusFlags(CURRENT) == 1
    assert refused(OPERATION, transient.setVcpusFlags, 1, CONFIG).endswith(NOT_PERSISTENT)


def test_setvcpus_of_a_running_machine(idle, machine, transient, refused, expected):
    assert refused(OPERATION, idle.setVcpus, 1).endswith(NOT_RUNNING)
    text = refused(INVALID, machine.setVcpus, 5)
    assert "requested vcpus is greater than max allowable vcpus for the live domain: 5 > 4" in text
    text = refused(UNSUPPORTED, machine.setVcpusFlags, 6, LIVE | CONFIG | MAXIMUM)
    assert "maximum vcpu count of a live domain can't be modified" in text
    refused(libvirt.VIR_ERR_ARGUMENT_UNSUPPORTED, machine.setVcpusFlags, 2, LIVE | GUEST)
    refused(libvirt.VIR_ERR_CONFIG_UNSUPPORTED if expected("vCPUs come and go") else UNSUPPORTED, machine.setVcpus, 1)
    transient.setVcpus(2)  # as many as there are
    if expected("vCPUs come and go"):
        transient.setVcpus(3)
    else:
        assert "'3'" in refused(UNSUPPORTED, transient.setVcpus, 3)


def test_vcpuinfo(virsh, idle, machine, transient, refused):
    for domain in (machine, transient):
        states, maps = domain.vcpus()
        assert [(number, state) for number, state, _, _ in states] == [(0, 1), (1, 1)]
        assert all(0 <= cpu < CPUS for _, _, _, cpu in states) and maps == [only(*range(CPUS))] * 2
    until(lambda: machine.vcpus()[0][0][2] > 0, "the first vCPU to run")
    assert virsh.fields("vcpuinfo", machine.name())["VCPU"] == "1"
    text = refused(OPERATION, idle.vcpus)
    assert "cannot retrieve vcpu information for inactive domain" in text
    assert re.search(r"CPU Affinity: +y", virsh("vcpuinfo", idle.name()))  # virsh asks for what is defined then


# --- on which processors

PINS = "<vcpupin vcpu='0' cpuset='0'/><emulatorpin cpuset='1'/><iothreadpin iothread='2' cpuset='0'/>"
needs_two = pytest.mark.skipif(CPUS < 2, reason="one processor is all there is to pin to")


@needs_two
def test_pins_are_in_force_from_the_start(define, name, base):
    machine = define(describe(name, base, f"<cputune>{PINS}</cputune>"))
    machine.create()
    found = affinities(machine)
    everywhere = set(range(CPUS))
    assert found[VCPU.format(0)] == {0}
    assert found[VCPU.format(1)] in (everywhere, {1})
    pid = host.emulator_pid(machine.UUIDString())
    assert os.sched_getaffinity(pid) == {1} and found["IO iothread2"] == {0}
    assert machine.vcpuPinInfo()[0] == only(0) and machine.emulatorPinInfo() == only(1)
    assert (2, list(only(0))) in machine.ioThreadInfo(LIVE)


@needs_two
def test_vcpupin(virsh, idle, machine, transient, refused, events):
    virsh("vcpupin", machine.name(), "1", "0", "--live")
    assert affinities(machine)[VCPU.format(1)] == {0} and machine.vcpus()[1][1] == only(0)
    assert machine.vcpuPinInfo(LIVE) == [only(*range(CPUS)), only(0)] and machine.vcpuPinInfo(CONFIG)[1] == only(*range(CPUS))
    virsh("vcpupin", machine.name(), "0", "1", "--config")
    assert machine.vcpuPinInfo(CONFIG)[0] == only(1) and affinities(machine)[VCPU.format(0)] == set(range(CPUS))
    machine.pinVcpuFlags(0, only(0), LIVE | CONFIG)
    assert machine.vcpuPinInfo(CONFIG)[0] == machine.vcpuPinInfo(LIVE)[0] == only(0)
    machine.pinVcpu(3, only(0))  # one that is not there yet
    pins = {(pin.get("vcpu"), pin.get("cpuset")) for pin in live(machine).findall("cputune/vcpupin")}
    assert pins == {("0", "0"), ("1", "0"), ("3", "0")}
    idle.pinVcpuFlags(0, only(0), CURRENT)
    assert [pin.get("cpuset") for pin in inactive(idle).findall("cputune/vcpupin")] == ["0"]
    rows = [line.split() for line in virsh("vcpupin", idle.name()).splitlines()[2:] if line.strip()]
    assert rows[0] == ["0", "0"]


def test_vcpupin_refusals(idle, machine, transient, refused):
    assert refused(OPERATION, idle.pinVcpu, 0, only(0)).endswith(NOT_RUNNING)
    assert refused(OPERATION, transient.pinVcpuFlags, 0, only(0), CONFIG).endswith(NOT_PERSISTENT)
    assert "Empty cpu list for pinning" in refused(INVALID, machine.pinVcpu, 0, only())
    assert "vcpu 9 is out of range of live cpu count 4" in refused(INVALID, machine.pinVcpu, 9, only(0))
    assert "vcpu 9 is out of range of persistent cpu count 2" in refused(INVALID, machine.pinVcpuFlags, 9, only(0), CONFIG)
    assert "unsupported flags (0x40)" in refused(INVALID, idle.pinVcpuFlags, 0, only(0), 64)


@needs_two
def test_emulatorpin(virsh, idle, machine, transient, refused):
    virsh("emulatorpin", machine.name(), "1", "--live")
    assert os.sched_getaffinity(host.emulator_pid(machine.UUIDString())) == {1}
    assert machine.emulatorPinInfo(LIVE) == only(1) and machine.emulatorPinInfo(CONFIG) == only(*range(CPUS))
    assert affinities(machine)[VCPU.format(0)] == set(range(CPUS))
    idle.pinEmulator(only(0), CONFIG)
    assert idle.emulatorPinInfo() == only(0)
    assert inactive(idle).find("cputune/emulatorpin").get("cpuset") == "0"
    assert refused(OPERATION, idle.pinEmulator, only(0), LIVE).endswith(NOT_RUNNING)
    assert refused(OPERATION, transient.emulatorPinInfo, CONFIG).endswith(NOT_PERSISTENT)
    assert "Empty cpu list for pinning" in refused(INVALID, machine.pinEmulator, only(), LIVE)


@needs_two
def test_iothreads(virsh, idle, machine, transient, refused):
    everywhere = list(only(*range(CPUS)))
    for domain in (idle, machine, transient):
        assert sorted(domain.ioThreadInfo()) == [(1, everywhere), (2, everywhere)]
    assert len(virsh.rows("iothreadinfo", machine.name())) == 2
    virsh("iothreadpin", machine.name(), "1", "0", "--live", "--config")
    assert affinities(machine)["IO iothread1"] == {0}
    assert (1, list(only(0))) in machine.ioThreadInfo(LIVE) and (1, list(only(0))) in machine.ioThreadInfo(CONFIG)
    assert "iothread 9 not found" in refused(INVALID, machine.pinIOThread, 9, only(0), LIVE)
    assert "iothreadid 9 not found" in refused(INVALID, idle.pinIOThread, 9, only(0), CONFIG)
    assert "Empty iothread cpumap list for pinning" in refused(INVALID, idle.pinIOThread, 1, only(), CONFIG)
    assert refused(OPERATION, idle.ioThreadInfo, LIVE).endswith(NOT_RUNNING)


# --- limits of a disk


def limits(domain, flags=0):
    return {name: value for name, value in domain.blockIoTune("vda", flags).items() if value and name != "group_name"}


def test_blkdeviotune_for_the_next_start(virsh, idle, machine, transient, refused):
    for domain in (idle, machine):
        virsh("blkdeviotune", domain.name(), "vda", "--total-iops-sec", "100", "--config")
        assert limits(domain, CONFIG) == {"total_iops_sec": 100}
        assert inactive(domain).findtext("devices/disk/iotune/total_iops_sec") == "100"
        domain.setBlockIoTune("vda", {"total_iops_sec": 0}, CONFIG)
        assert limits(domain, CONFIG) == {} and inactive(domain).find("devices/disk/iotune") is None
    path = inactive(idle).find("devices/disk/source").get("file")
    idle.setBlockIoTune(path, {"total_bytes_sec": 1 << 20, "read_iops_sec": 5}, CURRENT)
    assert limits(idle) == {"total_bytes_sec": 1 << 20, "read_iops_sec": 5}
    idle.setBlockIoTune("vda", {"write_iops_sec": 7}, CURRENT)  # the others of its group are off
    assert limits(idle) == {"total_bytes_sec": 1 << 20, "write_iops_sec": 7}
    assert refused(OPERATION, transient.setBlockIoTune, "vda", {"total_iops_sec": 1}, CONFIG).endswith(NOT_PERSISTENT)
    assert refused(OPERATION, idle.setBlockIoTune, "vda", {"total_iops_sec": 1}, LIVE).endswith(NOT_RUNNING)


def test_blkdeviotune_of_a_running_machine(virsh, machine, transient):
    for domain in (machine, transient):
        virsh("blkdeviotune", domain.name(), "vda", "--total-iops-sec", "100", "--live")
        assert limits(domain) == {"total_iops_sec": 100}
        domain.setBlockIoTune("vda", {"total_iops_sec": 50, "total_iops_sec_max": 60, "size_iops_sec": 4096}, LIVE)
        assert limits(domain) == {"total_iops_sec": 50, "total_iops_sec_max": 60, "total_iops_sec_max_length": 1, "size_iops_sec": 4096}
        assert live(domain).findtext("devices/disk/iotune/total_iops_sec") == "50"
    assert limits(machine, CONFIG) == {}


def test_blkdeviotune_refusals(idle, machine, refused):
    for domain, flags in ((idle, CONFIG), (machine, LIVE), (machine, CONFIG)):
        text = refused(INVALID, domain.setBlockIoTune, "vda", {"total_iops_sec": 9, "read_iops_sec": 1}, flags)
        assert "total and read/write of iops_sec cannot be set at the same time" in text
        text = refused(libvirt.VIR_ERR_ARGUMENT_UNSUPPORTED, domain.setBlockIoTune, "vda", {"total_iops_sec": 10**15 + 1}, flags)
        assert "block I/O throttle limit value must be no more than 1000000000000000" in text
        for call in (domain.blockIoTune, lambda disk, flags: domain.setBlockIoTune(disk, {"total_iops_sec": 1}, flags)):
            assert "disk 'vdz'" in refused(INVALID, call, "vdz", flags)
    unsupported = libvirt.VIR_ERR_CONFIG_UNSUPPORTED
    text = refused(unsupported, machine.setBlockIoTune, "vda", {"total_iops_sec": 0, "total_iops_sec_max": 10}, LIVE)
    assert "cannot reset 'total_iops_sec' when 'total_iops_sec_max' is set" in text
    text = refused(unsupported, machine.setBlockIoTune, "vda", {"total_iops_sec": 100, "total_iops_sec_max": 10}, LIVE)
    assert "value 'total_iops_sec_max' cannot be smaller than 'total_iops_sec'" in text
    assert limits(machine) == {}


def test_a_limit_slows_the_guest_down(guest):
    read = "dd if=/dev/vdb of=/dev/null bs=4k count=60 iflag=direct 2>&1 || dd if=/dev/vdb of=/dev/null bs=4k count=60 2>&1"
    guest.domain.setBlockIoTune("vdb", {"total_iops_sec": 10}, LIVE)
    try:
        before = guest.domain.blockStatsFlags("vdb")["rd_operations"]
        guest.run(f"echo 3 >/proc/sys/vm/drop_caches; ({read}) >/dev/null & sleep 2; kill $!; true", 30)
        # A full bucket of a second's operations at first, then ten a second, for not much longer than two seconds.
        assert guest.domain.blockStatsFlags("vdb")["rd_operations"] - before < 55
    finally:
        guest.domain.setBlockIoTune("vdb", {"total_iops_sec": 0}, LIVE)


# --- shares of the host


def test_schedinfo(virsh, idle, machine, transient, refused):
    assert idle.schedulerType()[0] == "posix" and idle.schedulerParameters()["cpu_shares"] == 0
    assert "posix" in virsh("schedinfo", machine.name())
    idle.setSchedulerParametersFlags({"cpu_shares": 512}, CONFIG)
    assert idle.schedulerParametersFlags(CONFIG)["cpu_shares"] == 512
    assert inactive(idle).findtext("cputune/shares") == "512"
    assert refused(OPERATION, idle.schedulerParametersFlags, LIVE).endswith(NOT_RUNNING)
    assert refused(OPERATION, transient.schedulerParametersFlags, CONFIG).endswith(NOT_PERSISTENT)


def test_schedinfo_of_a_running_machine(virsh, machine):
    before = machine.schedulerParameters()["cpu_shares"]
    assert before > 0
    virsh("schedinfo", machine.name(), "--set", "cpu_shares=512", "--live")
    assert machine.schedulerParametersFlags(LIVE)["cpu_shares"] == 512
    assert live(machine).findtext("cputune/shares") == "512" and machine.schedulerParametersFlags(CONFIG)["cpu_shares"] == 0


def test_what_is_not_limited(virsh, idle, machine, transient, refused):
    unlimited = 9007199254740991
    for domain in (idle, machine, transient):
        assert domain.memoryParameters() == {"hard_limit": unlimited, "soft_limit": unlimited, "swap_hard_limit": unlimited}
        assert domain.numaParameters() == {"numa_mode": 0, "numa_nodeset": ""}
    assert idle.blkioParameters()["weight"] == 0 and idle.blkioParameters()["device_weight"] == ""
    assert "unlimited" in virsh("memtune", machine.name())
    for call in ("memoryParameters", "numaParameters", "blkioParameters"):
        assert refused(OPERATION, getattr(idle, call), LIVE).endswith(NOT_RUNNING)
        assert refused(OPERATION, getattr(transient, call), CONFIG).endswith(NOT_PERSISTENT)


# --- who may


def test_a_read_only_client_changes_nothing(readonly, machine, refused):
    same = readonly.lookupByName(machine.name())
    calls = [
        (same.setMemory, 65536), (same.setMemoryFlags, 65536, 0), (same.setMaxMemory, 65536), (same.setMemoryStatsPeriod, 5, 0),
        (same.setVcpus, 1), (same.setVcpusFlags, 1, 0), (same.pinVcpu, 0, only(0)), (same.pinVcpuFlags, 0, only(0), 0),
        (same.pinEmulator, only(0), 0), (same.pinIOThread, 1, only(0), 0), (same.setBlockIoTune, "vda", {"total_iops_sec": 1}, 0),
        (same.setSchedulerParameters, {"cpu_shares": 512}),
    ]
    for call in calls:
        assert "read only access prevents" in refused(libvirt.VIR_ERR_OPERATION_DENIED, *call)
    assert same.vcpus()[0] and same.vcpusFlags(0) == 2 and len(same.ioThreadInfo(0)) == 2 and same.emulatorPinInfo(0)
    assert same.blockIoTune("vda", 0)["total_iops_sec"] == 0 and same.schedulerType()
