"""Where a mangled description (test_mangled.py) comes out otherwise than from libvirt's QEMU driver, and why that may be.

A difference is "code LIBVIRT OURS: message", the message being the one of whoever refuses (ours where both do), or "- line" and "+ line" for
what only libvirt's or only our dumpxml shows. A row is a pattern of it, of how the description was mangled, and the reason.
"""

import re

FEWER = "what no machine here has is refused by its name when it is defined"
STRICT = "what could not start is refused when it is defined, not when it is started"
BLANKS = "blanks at the ends of a value are no part of it: the guide's own examples have such"
LENIENT = "what says nothing is taken, in any letters and where libvirt has another word for its absence"
ANOTHER = "of several faults another is told first"
NAMESPACES = "what stands in another namespace is not read: libvirt looks at some by their names alone"
DEFAULTS = "libvirt writes its default"
RANDOM = "made at random"

# Differences that good descriptions have too.
BEFORE = [
    (r"[-+] domain/devices/(audio|input|memballoon|controller\[(usb|sata|pci|virtio-serial)|emulator)", "devices of its own: libvirt adds what was not written"),
    (r"[-+] domain/os/type@machine=", "q35 stays q35: a description moves between emulators"),
    (r"[-+] domain/cpu(\[\d\])?(@|=|/model)", "libvirt writes the CPU that it starts by default, and what it makes of the one that is written"),
    (r"[-+] .*/address@\w+=", "places are given in another order"),
    (r"[-+] .*/alias@name=", "the guide names balloon, virtio-serial controller and console by <alias>"),
    (r"- .*/driver@name=qemu|- domain/devices/vsock/cid@auto=no|- domain/os/boot@dev=hd|- .*/(target|model)@(type|name|port)=", DEFAULTS),
    (r"[-+] domain/os/boot(\[\d\])?@dev", DEFAULTS),
    (r"- domain/seclabel@model=none", "libvirt writes the security driver's name"),
    (r"[-+] domain/os/nvram(@template)?=", "libvirt chooses the file when it reads, ours when it defines"),
    (r"- domain/devices/disk.*/backingStore=|- domain/metadata(=|@frob)", "an empty element says nothing"),
    (r"[-+] domain/devices/interface.*mac@address=|[-+] domain/(uuid|genid)=", RANDOM),
    (r"[-+] domain/devices/console.*/target@port=", "consoles are numbered by what stands behind them"),
    (r"[-+] domain/clock/timer", "libvirt orders timers"),
]

NUMBERS = "bridge|size|file|address|queues|bytes|period|ports|port|vectors|order|multifunction|append|autodeflate|state|index|rx_queue_size|tx_queue_size|managed"
REASONS = [
    # (difference, how it was mangled, why)
    (r"code [1-9]\d* [1-9]\d*: ", r".*;", ANOTHER),
    (r"", r"(.*; )?foreign", NAMESPACES),
    (r"code (0|27|35|1) 67: .*(is not supported|Unsupported value|Missing attribute 'type' in element|the machine has one port|needs? a|needs type=|lacks 'acpi')", r"", FEWER),
    (r"code 0 67: .*(can be a serial port|non unique alias|not allowed)", r"", FEWER),
    (r"code (0|1) 27: .*allowed: (an absolute path|1 to 255 of A-Z|the name of a bridge|at most 15 bytes|a CPU model's name|as 'vda')", r"", STRICT),
    (r"code 0 27: .*(There is no PCI controller with index|slot must be >= 1|Missing element 'address'|double use of PCI)", r"", STRICT),
    (rf"code (0|1) 27: .*attribute '({NUMBERS})'", r"", STRICT),
    (r"code 0 (27|35|67): ", r"(.*; )?(pad|stray_text|empty_text) ", STRICT),
    (r"code (27|67|1|35) 0: ", r"(.*; )?(pad|empty_text|stray_text) |(.*; )?set .* to ' '", BLANKS),
    (r"[-+] ", r"(.*; )?(pad|empty_text|stray_text) |(.*; )?set .* to ' '", BLANKS),
    (r"- .*=$", r"", LENIENT),
    (r"[-+] .*=(\s.*|.*\s)$", r"", BLANKS),
    (r"code 0 27: .*security model when using multiple labels", r"", STRICT),
    (r"code 1 8: .*bitmap|code 27 35: more than one element|code 67 1: .*Missing attribute 'model'", r"", ANOTHER),
    (r"code 27 0: .*No PCI buses available", r"", LENIENT),
    (r"code 27 0: .*PCI controller with index='0' must be", r"", "a root port without an index gets the next free one"),
    (r"code 1 0: .*cause is unknown", r"", "libvirt forgets to say what it refuses"),
    (r"code 1 0: .*a PCI slot is needed to connect a PCI controller", r"", "an empty machine is the default one"),
    (r"code 1 27: ", r"", "libvirt calls some faults of a value its own internal error"),
    (r"code 67 27: .*(an os <type> must be specified|double use of PCI)", r"", ANOTHER),
    (r"\+ domain/devices/interface.*(model@type=virtio|driver@)", r"", "a card without a model is virtio here"),
    (r"code 0 35: .*document type", r"", "no document type: nothing is expanded"),
    (r"code 67 0: .*does not support machine type 'Q35'", r"", "the guide writes the machine's name in any letters"),
    (r"code 38 27: .*element 'emulator'", r"", STRICT),
]
_BEFORE = [(re.compile(pattern, re.S), re.compile(""), why) for pattern, why in BEFORE]
_REASONS = [(re.compile(pattern, re.S), re.compile(how, re.S), why) for pattern, how, why in REASONS]


def reason(difference, how=None):
    """Why that difference may be; None for none. Without `how` of a good description."""
    for pattern, mangling, why in _BEFORE + (_REASONS if how is not None else []):
        if pattern.match(difference) and mangling.match(how or ""):
            return why
    return None
