"""Descriptions for the tests, and looking into those that come back."""

import struct
import xml.etree.ElementTree as ElementTree

from . import host

TYPE, EMULATOR = "qemu", "/usr/bin/qemu-system-x86_64"  # of a machine that names neither
IDLE = None  # the kernel of a machine whose emulator has no firmware
CARDS = 1  # of a machine that has one beside what its test is about


def use_kvm(folder):
    """From here on machines are of type kvm, on this tree's own monitor."""
    global TYPE, EMULATOR, IDLE, CARDS
    TYPE, EMULATOR, IDLE, CARDS = "kvm", "/usr/bin/stratovirt", folder / "idle", 0
    IDLE.write_bytes(idle_kernel())


def idle_kernel():
    """The shortest one that a PVH note names the entry of: it counts down, so that it has used its processor, and halts."""
    at, code = 1 << 20, b"\xb9\x00\x00\x00\x02" + b"\xe2\xfe" + b"\xf4\xeb\xfd"  # mov ecx, 1 << 25; loop; hlt; jmp
    note = struct.pack("<III4sI", 4, 4, 18, b"Xen", at + 0x1000)
    head = struct.pack("<16sHHIQQQIHHHHHH", b"\x7fELF\2\1\1", 2, 62, 1, at + 0x1000, 64, 0, 0, 64, 56, 2, 0, 0, 0)
    load = struct.pack("<IIQQQQQQ", 1, 5, 0x1000, at + 0x1000, at + 0x1000, len(code), len(code), 0x1000)
    noted = struct.pack("<IIQQQQQQ", 4, 4, 0x800, at, at, len(note), len(note), 4)
    return (head + load + noted).ljust(0x800, b"\0") + note.ljust(0x800, b"\0") + code


def also(element):
    """What a machine has beside what its test is about, where its emulator has such a device."""
    return element if TYPE == "qemu" else ""


def bare(name, *, memory=128, vcpus=1, uuid=None, head="", os="", features="<acpi/>", body="", devices="", arch="x86_64", machine="q35", type=None):
    """A machine that needs no guest: firmware finds nothing to start and idles, or a kernel that does. `memory` in MiB."""
    type = type or (TYPE if arch == "x86_64" else "qemu")
    if type == "kvm" and not os:
        os = f"<kernel>{IDLE}</kernel>"
    return f"""<domain type='{type}'>
  <name>{name}</name>{f"<uuid>{uuid}</uuid>" if uuid else ""}{head}
  <memory unit='MiB'>{memory}</memory>
  <vcpu>{vcpus}</vcpu>
  <os><type arch='{arch}' machine='{machine}'>hvm</type>{os}</os>
  <features>{features}</features>{body}
  <devices>{devices}</devices>
</domain>"""


def disk(path, target="vda", options="", driver="type='raw'"):
    return f"<disk type='file' device='disk'><driver name='qemu' {driver}/><source file='{path}'/><target dev='{target}' bus='virtio'/>{options}</disk>"


def bridge(mac="de:ad:be:ef:00:01", options="", target=None):
    name = f"<target dev='{target}'/>" if target else ""
    return f"<interface type='bridge'><mac address='{mac}'/><source bridge='{host.BRIDGE}'/>{name}<model type='virtio'/>{options}</interface>"


PORTS = "".join(f"<controller type='pci' index='{index}' model='pcie-root-port'/>" for index in range(1, 11))
CONSOLE = "<console type='pty'><target type='virtio'/></console>"
BALLOON = "<memballoon model='virtio'/>"
RNG = "<rng model='virtio'><rate period='1000' bytes='1234'/><backend model='random'>/dev/urandom</backend></rng>"


def linux(name, guest, root, **options):
    """A machine that boots the test guest from `root`, with a login on its virtio console."""
    return bare(
        name,
        memory=options.pop("memory", 192),
        os=f"<kernel>{guest}/vmlinuz</kernel><initrd>{guest}/initrd.img</initrd><cmdline>console=hvc0 root=/dev/vda reboot=k panic=1 rw quiet</cmdline>",
        devices=disk(root) + CONSOLE + also(BALLOON) + options.pop("devices", ""),
        **options,
    )


def tree(text):
    return ElementTree.fromstring(text)
