"""Descriptions for the tests, and looking into those that come back."""

import xml.etree.ElementTree as ElementTree

from . import host


def bare(name, *, memory=64, vcpus=1, uuid=None, head="", os="", features="<acpi/>", body="", devices="", arch="x86_64", machine="q35", type="qemu"):
    """A machine that needs no guest: firmware finds nothing to start and idles. `memory` in MiB."""
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


CONSOLE = "<console type='pty'><target type='virtio'/></console>"
BALLOON = "<memballoon model='virtio'/>"
RNG = "<rng model='virtio'><rate period='1000' bytes='1234'/><backend model='random'>/dev/urandom</backend></rng>"


def linux(name, guest, root, **options):
    """A machine that boots the test guest from `root`, with a login on its virtio console."""
    return bare(
        name,
        memory=options.pop("memory", 192),
        os=f"<kernel>{guest}/vmlinuz</kernel><initrd>{guest}/initrd.img</initrd><cmdline>console=hvc0 root=/dev/vda reboot=k panic=1 rw quiet</cmdline>",
        devices=disk(root) + CONSOLE + BALLOON + options.pop("devices", ""),
        **options,
    )


def tree(text):
    return ElementTree.fromstring(text)
