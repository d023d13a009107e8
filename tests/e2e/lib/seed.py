"""The guide's two machines, and what fits them to the host a test runs on."""

import functools
import os
import pathlib
import shutil
import xml.etree.ElementTree as ElementTree

from . import host, xml

EXAMPLES = pathlib.Path(__file__).resolve().parents[2] / "data/seed"
NAME = "StratoVirt"
MEBIBYTES = 512
# The firmware as a build that nobody has a template of variables for, as the guide's own names for it are.
FIRMWARE = {"x86_64": "/usr/share/OVMF/OVMF_CODE_4M.fd", "aarch64": "/usr/share/AAVMF/AAVMF_CODE.fd"}
VARIABLES = "/usr/share/OVMF/OVMF_VARS_4M.fd"
OWN_LACKS = {"virtio-net-pci": "interface", "virtio-balloon-pci": "memballoon", "vhost-vsock-pci": "vsock"}  # by the monitor's words (lacks.py)


def text(arch):
    return (EXAMPLES / f"{arch}.xml").read_text()


class Fitted:
    """An example and how it is made to run here: each change has the word by which a refused start asks for it."""

    def __init__(self, arch, folder, guest, root):
        self.arch, self.folder, self.guest, self.root = arch, pathlib.Path(folder), guest, root
        self.tree = ElementTree.fromstring(text(arch))
        self.differences = []
        self.changes = {
            "kvm": self.in_software,
            "/path/to/StratoVirt_binary_file": self.emulator,
            "/path/to/standard_vm_kernel": self.kernel,
            "/path/to/pflash": self.firmware,
            "/path/to/rootfs": self.disk,
            "/path/to/random_file": self.random,
            "1048576 KiB": self.page_size,
            "guest RAM": self.memory,
        }
        if self.tree.find("os/nvram") is not None:
            self.changes["/path/to/OVMF_VARS"] = self.variables
        if xml.TYPE == "kvm":
            del self.changes["kvm"], self.changes["/path/to/OVMF_VARS"], self.changes["guest RAM"]
            self.changes["guest memory"] = self.memory
            self.changes["/path/to/pflash"] = self.no_firmware
            for word, element in OWN_LACKS.items():
                self.changes[word] = functools.partial(self.leave_out, element, "this monitor has none yet")
        elif not os.path.exists("/dev/vhost-vsock"):
            self.changes["vsock"] = functools.partial(self.leave_out, "vsock", "this host has no /dev/vhost-vsock")

    def all(self):
        for word in list(self.changes):
            self.change(word)
        return self

    def change(self, word):
        self.changes.pop(word)()

    def asked_for(self, message):
        """The change that a refusal asks for."""
        asked = [word for word in self.changes if word in message]
        assert asked, f"'{message}' names none of {list(self.changes)}"
        return asked[0]

    def has(self, device):
        return self.tree.find(f"devices/{device}") is not None

    def description(self):
        return ElementTree.tostring(self.tree, encoding="unicode")

    def set(self, path, value):
        self.tree.find(path).text = str(value)

    def differ(self, what, why):
        self.differences.append(f"{self.arch}: {what}: {why}")

    def in_software(self):
        self.tree.set("type", "qemu")
        self.differ("type", "qemu instead of kvm: no StratoVirt or no KVM for it here")

    def emulator(self):
        self.set("devices/emulator", xml.EMULATOR if xml.TYPE == "kvm" else shutil.which(f"qemu-system-{self.arch}"))
        self.differ("emulator", f"the host's {self.tree.findtext('devices/emulator')}")

    def kernel(self):
        system, kernel = self.tree.find("os"), self.tree.find("os/kernel")
        kernel.text = str(self.guest / "vmlinuz")
        initrd = ElementTree.Element("initrd")
        initrd.text = str(self.guest / "initrd.img")
        system.insert(list(system).index(kernel) + 1, initrd)
        self.differ("kernel", "Debian's, and an initrd with it, since its virtio drivers are modules")

    def firmware(self):
        path = self.folder / f"pflash-{self.arch}"
        if not path.exists():
            shutil.copy(FIRMWARE[self.arch], path)
        self.set("os/loader", path)
        self.differ("loader", f"a copy of {FIRMWARE[self.arch]}")

    def variables(self):
        path = self.folder / "OVMF_VARS"
        shutil.copy(VARIABLES, path)
        self.set("os/nvram", path)
        self.differ("nvram", f"a copy of {VARIABLES}")

    def disk(self):
        self.tree.find("devices/disk/source").set("file", str(self.root))
        self.differ("rootfs", "the test guest's disk")

    def random(self):
        self.set("devices/rng/backend", "/dev/urandom")
        self.differ("random_file", "/dev/urandom")

    def page_size(self):
        self.tree.find("memoryBacking/hugepages/page").attrib.update(size="2", unit="MiB")
        self.differ("page size", "2 MiB: the tests' host has no pages of 1 GiB mounted")

    def memory(self):
        self.tree.find("memory").set("unit", "MiB")
        self.set("memory", MEBIBYTES)
        self.differ("memory", f"{MEBIBYTES} MiB, the pages reserved by the test")

    def no_firmware(self):
        for element in ("loader", "nvram"):
            self.tree.find("os").remove(self.tree.find(f"os/{element}"))
        self.differ("loader, nvram", "left out: this monitor has no firmware in flash yet")

    def leave_out(self, element, why):
        self.tree.find("devices").remove(self.tree.find(f"devices/{element}"))
        self.differ(element, f"left out: {why}")


def pages():
    """The pages that a machine of MEBIBYTES takes."""
    return host.ReservedHugepages(MEBIBYTES)
