"""Each command of virsh, with its flags, in each state a domain can be in, answers as libvirt does.

What libvirt answers stands in commands.golden, written by `pytest --uri qemu:///system --record tests/e2e/test_commands.py`;
where ours is to answer otherwise, departures.COMMANDS says so and why. An answer is the exit status and what was printed, in a
form that leaves out what differs from run to run.
"""

import concurrent.futures
import pathlib
import platform
import re

import libvirt
import pytest

from departures import COMMANDS as DEPARTURES
from lib import golden, host, xml
from lib.virsh import Virsh

GOLDEN = pathlib.Path(__file__).with_name("commands.golden")
PAUSED = libvirt.VIR_DOMAIN_START_PAUSED
STATES = ["inactive", "running", "paused", "transient", "readonly"]
LONGEST = 700  # characters of an answer that are compared
QEMU = "/usr/bin/qemu-system-x86_64"  # what the file calls the host's emulator

# Asked of the host: no domain is there but those of the other tests.
HOST_COMMANDS = """
uri
hostname
version
version --daemon
nodeinfo
nodecpumap
nodecpumap --pretty
nodecpustats
nodecpustats 0
nodecpustats 1000
nodecpustats --percent
nodememstats
nodememstats 0
nodememstats 1000
freecell
freecell 0
freecell 1000
freecell --all
maxvcpus
maxvcpus --type qemu
maxvcpus --type frob
cpu-models x86_64
cpu-models frob
nodesevinfo
allocpages 4 1
domcapabilities --virttype frob
domcapabilities --arch frob
domcapabilities --machine frob
domcapabilities --emulatorbin /nonexistent
domxml-to-native frob-argv --xml BASE/definition.xml
domxml-from-native qemu-argv BASE/definition.xml
domxml-from-native frob-argv BASE/definition.xml
define BASE/broken.xml
define BASE/nonexistent.xml
create BASE/broken.xml
create BASE/nonexistent.xml
define --validate BASE/invalid.xml
create --validate BASE/invalid.xml
restore BASE/nonexistent.save
save-image-dumpxml BASE/nonexistent.save
dominfo nonexistent
domid nonexistent
domid 987654
domname nonexistent
domstats nonexistent
event --list
event --event frob
qemu-attach 987654
connect
connect --readonly
"""

# Asked of a domain, NAME.
DOMAIN_COMMANDS = """
domid NAME
domuuid NAME
domname NAME
domstate NAME
domstate NAME --reason
dominfo NAME
domcontrol NAME
domjobinfo NAME
domjobinfo NAME --completed
domjobinfo NAME --completed --keep-completed
domjobinfo NAME --anystats
domjobabort NAME
domdisplay NAME
domdisplay NAME --all
vncdisplay NAME
ttyconsole NAME
console NAME
domhostname NAME
domfsinfo NAME
domfsfreeze NAME
domfsthaw NAME
domfstrim NAME
domtime NAME
domtime NAME --now
domtime NAME --sync
guestinfo NAME
guestvcpus NAME
get-user-sshkeys NAME root
set-user-password NAME root secret
guest-agent-timeout NAME 5
qemu-agent-command NAME {}
dompmsuspend NAME mem
dompmwakeup NAME

dumpxml NAME --xpath //name
dumpxml NAME --inactive --xpath //vcpu
dumpxml NAME --security-info --xpath //name
dumpxml NAME --update-cpu --xpath //name
dumpxml NAME --migratable --xpath //name
dumpxml NAME --xpath //memory --wrap
domxml-to-native frob-argv --domain NAME
define BASE/definition.xml
define BASE/definition.xml --validate
define BASE/other-uuid.xml
create BASE/definition.xml
create BASE/other-uuid.xml
edit NAME
domrename NAME NAME
domrename NAME NAME-renamed
domrename NAME a/b
autostart NAME
autostart NAME --disable
desc NAME
desc NAME --title
desc NAME --live
desc NAME --config
desc NAME --current
desc NAME --live --config
desc NAME --title a-title
desc NAME --title --live a-title
desc NAME --title --config a-title
desc NAME --live --config a-description
metadata NAME urn:absent
metadata NAME urn:absent --live
metadata NAME urn:absent --config
metadata NAME urn:absent --remove
metadata NAME urn:x --key k --set <a/>
metadata NAME urn:x --key k --set <a/> --config
metadata NAME urn:x --key k --set <a/> --live
metadata NAME urn:x --key k --set <a

start NAME
start NAME --paused
start NAME --bypass-cache --force-boot --paused
start NAME --reset-nvram --paused
suspend NAME
resume NAME
reset NAME
shutdown NAME
shutdown NAME --mode acpi
shutdown NAME --mode agent
shutdown NAME --mode acpi,agent
shutdown NAME --mode initctl
shutdown NAME --mode frob
reboot NAME
reboot NAME --mode acpi
reboot NAME --mode agent
reboot NAME --mode signal
destroy NAME
destroy NAME --graceful
destroy NAME --remove-logs
undefine NAME
undefine NAME --nvram
undefine NAME --keep-nvram
undefine NAME --nvram --keep-nvram
undefine NAME --managed-save --snapshots-metadata --checkpoints-metadata
undefine NAME --tpm
undefine NAME --keep-tpm
undefine NAME --storage vda
set-lifecycle-action NAME reboot destroy
set-lifecycle-action NAME reboot destroy --config
set-lifecycle-action NAME crash frob

domblklist NAME
domblklist NAME --details
domblklist NAME --inactive
domblkinfo NAME vda
domblkinfo NAME vda --human
domblkinfo NAME --all
domblkinfo NAME vdz
domblkstat NAME
domblkstat NAME vda
domblkstat NAME vda --human
domblkstat NAME vdz
domblkerror NAME
domiflist NAME
domiflist NAME --inactive
domif-getlink NAME de:ad:be:ef:0b:01
domif-getlink NAME de:ad:be:ef:0b:02
domif-getlink NAME de:ad:be:ef:0b:01 --config
domif-setlink NAME de:ad:be:ef:0b:01 down --config
domif-setlink NAME de:ad:be:ef:0b:01 down
domif-setlink NAME de:ad:be:ef:0b:02 down
domifstat NAME de:ad:be:ef:0b:01
domifstat NAME de:ad:be:ef:0b:02
domifaddr NAME
domifaddr NAME --source arp
domifaddr NAME --source agent
domifaddr NAME --source frob
domstats NAME
domstats NAME --state
domstats NAME --cpu-total
domstats NAME --balloon
domstats NAME --vcpu
domstats NAME --interface
domstats NAME --block
domstats NAME --block --backing
domstats NAME --iothread
domstats NAME --perf
domstats NAME --memory
domstats NAME --dirtyrate
domstats NAME --vm
domstats NAME --state --enforce
domstats NAME --state --raw
domstats NAME --state --nowait
cpu-stats NAME --total
cpu-stats NAME --start 1000
dommemstat NAME
dommemstat NAME --period 1
dommemstat NAME --period 1 --config
dommemstat NAME --period 1 --live
dommemstat NAME --period 0 --live --config

vcpuinfo NAME
vcpuinfo NAME --pretty
vcpucount NAME
vcpucount NAME --maximum --config
vcpucount NAME --active --live
vcpucount NAME --maximum --live
vcpucount NAME --active --config
vcpucount NAME --current
vcpucount NAME --live --config
vcpucount NAME --guest
setvcpus NAME 1 --config
setvcpus NAME 3 --config
setvcpus NAME 3 --config --maximum
setvcpus NAME 3 --maximum
setvcpus NAME 1 --guest
setvcpus NAME 0 --config
vcpupin NAME
vcpupin NAME 0
vcpupin NAME 7
vcpupin NAME 0 0
vcpupin NAME 0 0 --config
vcpupin NAME 0 0 --live
vcpupin NAME 7 0 --config
vcpupin NAME 0 frob --config
vcpupin NAME 0 1000 --config
emulatorpin NAME
emulatorpin NAME --config
emulatorpin NAME --live
emulatorpin NAME 0
emulatorpin NAME 0 --config
iothreadinfo NAME
iothreadinfo NAME --config
iothreadinfo NAME --live
iothreadpin NAME 1 0 --config
iothreadpin NAME 1 0 --live
iothreadpin NAME 9 0 --config
iothreadadd NAME 7 --config
iothreadadd NAME 1 --config
iothreaddel NAME 1 --config
iothreaddel NAME 9 --config
setmem NAME 32M
setmem NAME 32M --config
setmem NAME 32M --live
setmem NAME 1G --config
setmem NAME 1G --live
setmaxmem NAME 128M
setmaxmem NAME 128M --config
setmaxmem NAME 128M --live
blkdeviotune NAME vda
blkdeviotune NAME vda --config
blkdeviotune NAME vda --live
blkdeviotune NAME vdz
blkdeviotune NAME vda --total-iops-sec 100 --config
blkdeviotune NAME vda --total-iops-sec 100 --live
blkdeviotune NAME vda --total-iops-sec 100
blkdeviotune NAME vda --total-iops-sec 100 --read-iops-sec 1 --config
blkdeviotune NAME vdz --total-iops-sec 100 --config

attach-device NAME BASE/rng.xml --config
attach-device NAME BASE/rng.xml
attach-device NAME BASE/disk.xml --config
attach-device NAME BASE/disk.xml --persistent
attach-device NAME BASE/disk.xml --live
attach-device NAME BASE/disk.xml --current
attach-device NAME BASE/broken.xml --config
attach-device NAME BASE/graphics.xml --config
detach-device NAME BASE/first-disk.xml --config
detach-device NAME BASE/disk.xml --config
detach-device NAME BASE/disk.xml --live
update-device NAME BASE/first-disk.xml --config
update-device NAME BASE/card.xml --config
update-device NAME BASE/disk.xml --config
detach-device-alias NAME absent --config
detach-device-alias NAME absent --live
attach-disk NAME BASE/second.img vdb --config
attach-disk NAME BASE/second.img vda --config
attach-disk NAME BASE/second.img vdb --print-xml
attach-disk NAME BASE/second.img vdb
detach-disk NAME vda --config
detach-disk NAME vdz --config
attach-interface NAME bridge BRIDGE --model virtio --config
attach-interface NAME bridge BRIDGE --model virtio --mac de:ad:be:ef:0b:03
attach-interface NAME bridge BRIDGE --model virtio --print-xml
detach-interface NAME bridge --config
detach-interface NAME bridge --mac de:ad:be:ef:0b:02 --config
change-media NAME vda --eject --config

qemu-monitor-command NAME {"execute":"query-status"}
qemu-monitor-command NAME {"execute":"query-status"} --pretty
qemu-monitor-command NAME {"execute":"query-status"} --return-value
qemu-monitor-command NAME {"execute":"frob"}
qemu-monitor-command NAME --hmp info status
qemu-monitor-command NAME frob

managedsave-remove NAME
managedsave-dumpxml NAME
snapshot-list NAME
snapshot-current NAME
checkpoint-list NAME
domdirtyrate-calc NAME
domlaunchsecinfo NAME
migrate-getspeed NAME
migrate-compcache NAME
domblkthreshold NAME vda 100
blockjob NAME vda
send-process-signal NAME 1 term
"""

MAC = "de:ad:be:ef:0b:01"


def commands(text):
    return [line for line in text.splitlines() if line]


@pytest.fixture(scope="module")
def answers():
    return golden.Answers(GOLDEN)


class Bench:
    """A domain in one of the states, put back as it was after a command that changed it, and the files that commands name."""

    def __init__(self, conn, uri, base, state, kind="commands"):
        self.conn, self.uri, self.state, self.name, self.base = conn, uri, state, f"{kind}-{state}", base / f"{kind}-{state}"
        self.base.mkdir()
        self.virsh = Virsh(uri, *(["--readonly"] if state == "readonly" else []))
        self.virsh.environment["EDITOR"] = self.virsh.environment["VISUAL"] = "true"
        self.before = None
        for image in ("first.img", "second.img"):
            (self.base / image).write_bytes(bytes(1 << 20))
        self.write("broken", "<domain")
        self.write("invalid", xml.bare("invalid", body="<frob/>"))
        self.write("rng", xml.RNG)
        self.write("first-disk", xml.disk(self.base / "first.img"))
        self.write("disk", xml.disk(self.base / "second.img", "vdb"))
        self.write("graphics", "<graphics type='frob'/>")
        self.write("card", xml.bridge(MAC, "<link state='down'/>"))
        self.write("definition", self.text())

    def write(self, name, text):
        (self.base / f"{name}.xml").write_text(text)

    def text(self, uuid=None):
        devices = xml.disk(self.base / "first.img") + xml.CONSOLE + xml.also(xml.bridge(MAC) + xml.BALLOON)
        return xml.bare(self.name, uuid=uuid, vcpus=2, body="<iothreads>1</iothreads>", devices=devices)

    def find(self):
        try:
            return self.conn.lookupByName(self.name)
        except libvirt.libvirtError:
            return None

    def remove(self):
        for domain in self.conn.listAllDomains():
            if domain.name() in (self.name, self.name + "-renamed"):
                remove(domain)

    def make(self):
        self.remove()
        if self.state == "transient":
            return self.conn.createXML(self.text())
        domain = self.conn.defineXML(self.text())
        if self.state != "inactive":
            domain.createWithFlags(PAUSED if self.state == "paused" else 0)
        return domain

    def ready(self):
        """The domain is as the state's name says, and the files describe it."""
        domain = self.find()
        if not domain or fingerprint(domain) != self.before:
            domain = self.make()
            self.before = fingerprint(domain)
        self.write("definition", self.text(domain.UUIDString()))
        self.write("other-uuid", self.text("11111111-2222-3333-4444-555555555555"))

    def ask(self, command):
        words = [word.replace("NAME", self.name).replace("BASE", str(self.base)).replace("BRIDGE", host.BRIDGE) for word in command.split(" ")]
        result = self.virsh.run(*words)
        text = "; ".join(part for part in (result.out, result.err) if part)
        text = text.replace(str(self.base), "BASE").replace(self.name, "NAME").replace(self.uri, "URI").replace(xml.EMULATOR, QEMU)
        if command == "hostname":
            text = text.replace(platform.node(), "HOST")
        text = re.sub(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "UUID", text)
        text = re.sub(r"(?<!\w)(?<![0-9a-f]{2}:)\d+(\.\d+)*|(?<=vnet)\d+", "N", text)
        text = re.sub(r"\b[y-]+y[y-]*(?=\s|$)", "y", text)
        text = re.sub(r" in function \w+", "", text)
        text = re.sub(r"-{4,}", "--", re.sub(r" +", " ", text))
        text = " / ".join(line.strip() for line in text.splitlines() if line.strip())
        text = text.replace(" / CPU time: Ns / CPU Affinity", " / CPU Affinity")  # a vCPU that has had no time yet tells none
        return f"{result.status} {text}"[:LONGEST].strip()

    def answer(self, command):
        self.ready()
        return self.ask(command)


def fingerprint(domain):
    inactive = domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE | libvirt.VIR_DOMAIN_XML_SECURE)
    return domain.state(), domain.isPersistent(), domain.autostart(), domain.XMLDesc(), inactive


def remove(domain):
    try:
        if domain.isActive():
            domain.destroy()
        domain.undefineFlags(libvirt.VIR_DOMAIN_UNDEFINE_NVRAM | libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE)
    except libvirt.libvirtError as error:
        if error.get_error_code() != libvirt.VIR_ERR_NO_DOMAIN and "transient" not in str(error):
            raise


@pytest.fixture(scope="module")
def benches(conn, uri, base):
    made = {state: Bench(conn, uri, base, state) for state in STATES}
    yield made
    for bench in made.values():
        bench.remove()


def ordered(command, answer):
    """A monitor's answer in one order: the members of JSON's objects have none."""
    return sorted(re.findall(r'[\w".:-]+', answer)) if command.startswith("qemu-monitor-command") else answer


@pytest.fixture
def check(answers, pytestconfig, ours):
    def hold(command, given):
        answers.hold(command, given, DEPARTURES if ours else [], pytestconfig.option.record, lambda one, other: ordered(command, one) == ordered(command, other))

    return hold


@pytest.mark.parametrize("command", commands(HOST_COMMANDS))
def test_of_the_host(benches, check, command):
    check(command, {"host": benches["inactive"].ask(command)})


@pytest.mark.parametrize("command", commands(DOMAIN_COMMANDS))
def test_of_a_domain(benches, check, command):
    with concurrent.futures.ThreadPoolExecutor() as pool:
        check(command, dict(zip(benches, pool.map(lambda bench: bench.answer(command), benches.values()))))
