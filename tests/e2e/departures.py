"""Where the StratoVirt driver answers otherwise than libvirt's QEMU driver, and why.

A test asks for `expected("name")` and gets what the daemon under test must do. Every other answer is the same from both.
"""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Departure:
    libvirt: object
    ours: object
    why: str


DEPARTURES = {
    "hypervisor type": Departure("QEMU", "StratoVirt", "the driver's own identity"),
    "native format": Departure("qemu-argv", "qemu-argv", "the same word; ours knows stratovirt-argv beside it"),
    "machine type": Departure(r"pc-q35-\d+\.\d+", "q35", "q35 stays q35: a description moves between emulators"),
    "devices of its own": Departure(True, False, "a description gets no usb, sata, input or audio device that was not written"),
    "255 character names": Departure(False, True, "files too long for a name are named by uuid"),
    "plain undefine with an nvram file succeeds": Departure(
        False, True, "the guide's own x86_64 example has an nvram file and a plain undefine; the file is kept"
    ),
    "nvram that is no regular file is deleted": Departure(True, False, "a device or a link in its place is not the machine's to remove"),
    "the guide's aliases are kept": Departure(False, True, "the guide names balloon, virtio-serial controller and console by <alias>"),
    "autodeflate is read from the alias": Departure(False, True, "the guide writes it there; dumpxml writes it where libvirt's schema has it"),
    "dumpxml is a fixed point at once": Departure(False, True, "libvirt sorts the controllers it adds only when it reads them again"),
    "what StratoVirt has no device for is refused": Departure(False, True, "a name libvirt knows and this emulator cannot honour is refused by name"),
    "a shut off machine has cpu time": Departure(True, False, "libvirt tells its own time there (it asks for the process 0)"),
    "other drivers in the same daemon": Departure(True, False, "libvirtd holds all of libvirt's drivers; this is one driver, as virtqemud is"),
    "unix consoles are served": Departure(False, True, "virsh console reaches a console of type unix too, as a client of the emulator's socket"),
    "a size of hugepages without a mount is named": Departure(False, True, "libvirt 9.0 may lose the error while it undoes the start: its client gets none"),
    "the kernel's table of neighbours is read": Departure(False, True, "libvirt 9.0 refuses the length of what kernels of today answer"),
    "figures of each processor from mixed control groups": Departure(
        False, True, "where version 1 has cpuacct and version 2 is mounted too, libvirt asks version 2"
    ),
    "on_poweroff preserve": Departure(False, True, "the machine that is off stays to be looked at until it is destroyed"),
    # Refusals of a bad description, as (libvirt's error code, a word of the message); no code is no refusal.
    "an unknown machine": Departure((27, ""), (67, "frob"), "libvirt finds no PCI bus for its own devices before it looks at the machine"),
    "no vcpus": Departure((1, "vcpu"), (27, "vcpu"), "libvirt calls it its own internal error"),
    "a bus that is not there": Departure((None, ""), (27, "bus"), "libvirt adds 119 root ports"),
    "an image in use": Departure(1, 87, "the locks of images are looked at before the emulator is asked, as at a start"),
    "vCPUs come and go": Departure(True, False, "a StratoVirt's machine has no hotplug of vCPUs; their number is set for the next start"),
}

_NO_SUPPORT = r"1 error: (.* / error: )?this function is not supported by the connection driver: "
_CHANGES = "inactive|running|paused|transient"  # a read-only client is refused as libvirt refuses it
_LATER = "a call that this driver does not have yet, as every such call is answered"

# Commands of virsh that ours answers otherwise (test_commands.py), as patterns: (command, states, the answer's beginning, why).
_OWN_TIME = "libvirt tells its own time there (it asks for the process 0)"
_FEWER = "no cache monitors, halt polling, waits by the scheduler's debug file, numbers of a disk's chain or dirty rates are told"
_CPU = r" / cpu\.time=N / cpu\.user=N / cpu\.system=N"
_VCPU = r" / vcpu\.current=N / vcpu\.maximum=N( / vcpu\.N\.state=N / vcpu\.N\.time=N / vcpu\.N\.delay=N)+"
_BLOCK = r" / block\.count=N / block\.N\.name=vda / block\.N\.path=\S+( / block\.N\.[a-z.]+=N)* / block\.N\.allocation=N / block\.N\.capacity=N / block\.N\.physical=N"
_NO_PORT = r"1 error: .* / error: internal error: No more available PCI slots$"
_OWN_PORTS = "a machine has the root ports that its description has, and no free ones of the driver's own"
COMMANDS = [
    ("version.*", "host", r"0 .* / Using API: StratoVirt N / Running hypervisor: StratoVirt N", "the driver's own identity"),
    ("node(cpu|mem)stats 1000", "host", r"1 error: .* / error: invalid argument: .*1000|1 error: .* / error: invalid argument: .*N", "the processor or cell is named"),
    ("cpu-models x86_64", "host", r"0 all CPU models are accepted$", "the emulators' own models are passed on, not libvirt's list"),
    ("nodesevinfo|allocpages .*|restore .*|save-image-dumpxml .*", "host", _NO_SUPPORT, _LATER),
    ("domfsfreeze .*|domfsthaw .*|guestvcpus .*|get-user-sshkeys .*|set-user-password .*|qemu-agent-command .*|dompmsuspend .*", _CHANGES, _NO_SUPPORT, "no channel to a guest's agent can be described"),
    ("dompmwakeup .*|set-lifecycle-action NAME reboot .*|domdirtyrate-calc .*|domlaunchsecinfo .*|migrate-.*|domblkthreshold .*", _CHANGES, _NO_SUPPORT, _LATER),
    ("domtime NAME --(now|sync)", "inactive", r"1 error: Requested operation is not valid: domain is not running$", "libvirt looks at the emulator's commands before the state"),
    ("shutdown NAME --mode acpi,agent", "inactive", r"1 error: .* / error: Requested operation is not valid: domain is not running$", "libvirt 9.0 tells of a success"),
    ("domifaddr NAME --source arp", "running|paused|transient|readonly", r"0 Name MAC address Protocol Address", "libvirt 9.0 refuses the length of what kernels of today answer"),
    ("domstats NAME --cpu-total", "inactive", r"0 Domain: 'NAME'$", _OWN_TIME),
    ("domstats NAME", "inactive", rf"0 Domain: 'NAME' / state\.state=N / state\.reason=N(?!.* cpu\.time)(?=.* balloon\.maximum=N)(?=.* vcpu\.maximum=N).*{_BLOCK}$", _OWN_TIME),
    ("domstats NAME --cpu-total", "running|paused|transient|readonly", rf"0 Domain: 'NAME'{_CPU}$", _FEWER),
    ("domstats NAME --vcpu", "running|paused|transient|readonly", rf"0 Domain: 'NAME'{_VCPU}$", _FEWER),
    ("domstats NAME --block( --backing)?", "running|paused|transient|readonly", rf"0 Domain: 'NAME'.*{_BLOCK}$", _FEWER),
    ("domstats NAME --dirtyrate", "running|paused|transient|readonly", r"0 Domain: 'NAME'$", _FEWER),
    ("domstats NAME", "running|paused|transient|readonly", rf"0 Domain: 'NAME' / state\.state=N / state\.reason=N{_CPU}(?=.* balloon\.current=N)(?=.* balloon\.rss=N).*{_VCPU}(?=.* net\.count=N)(?=.* net\.N\.tx\.drop=N)(?=.* block\.count=N / block\.N\.name=vda / )", _FEWER),
    ("iothreadadd NAME 7 --config", "inactive|running|paused", r"1 error: Operation not supported: IOThreads are numbered without a gap: the next is N$", "a description has a number of IOThreads, not their ids"),
    ("attach-(device NAME BASE/(rng|disk).xml( --(live|current))?|disk NAME BASE/second.img vdb|interface NAME .* --mac .*)", "running|paused|transient", _NO_PORT, _OWN_PORTS),
    ("attach-device NAME BASE/(rng|disk).xml --persistent", "running|paused", _NO_PORT, _OWN_PORTS),
    ("attach-device NAME BASE/graphics.xml --config", "inactive|running|paused", r"1 error: .* / error: unsupported configuration: element 'graphics' is not supported", "what no emulator here has is refused by name"),
    ("migrate-compcache NAME", ".*", _NO_SUPPORT, _LATER),
]
