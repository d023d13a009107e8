"""A host of the tests' own: mount, network and process namespaces with private libvirt folders, a bridge and hugetlbfs.

Everything in it, files and processes, is gone when the test run ends, however it ends.
"""

import os
import pathlib
import subprocess
import sys

FOLDERS = ["/etc/libvirt", "/run/libvirt", "/var/lib/libvirt", "/var/log/libvirt", "/var/cache/libvirt", "/etc/qemu", "/run/lock"]
BASE = pathlib.Path("/var/tmp/stratovirt-e2e")
BRIDGE = "qbr0"
KVM = pathlib.Path("/dev/kvm")
HUGEPAGES = pathlib.Path("/proc/sys/vm/nr_hugepages")
INSIDE = "STRATOVIRT_E2E_INSIDE"


def run(*command):
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def move_into_namespaces():
    """Starts this program over in namespaces of its own. A shell is their first process: it reaps what daemons leave behind."""
    if os.environ.get(INSIDE):
        return
    os.environ[INSIDE] = "1"
    sys.stdout.flush()
    os.execvp(
        "unshare",
        ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc", "--propagation", "private"]
        + ["bash", "-c", '"$@"; exit $?', "bash", sys.executable, *sys.orig_argv[1:]],
    )


def furnish(kvm=False):
    """Makes the namespaces a host, with the machine's KVM or with none. Returns a folder that every user may enter."""
    BASE.mkdir(exist_ok=True)
    run("mount", "-t", "tmpfs", "-o", "mode=0755", "e2e", BASE)
    # A network namespace shows its cards only in a sysfs mounted inside it.
    cgroups = BASE / "cgroup"
    cgroups.mkdir()
    run("mount", "--rbind", "/sys/fs/cgroup", cgroups)
    run("mount", "-t", "sysfs", "sysfs", "/sys")
    run("mount", "--rbind", cgroups, "/sys/fs/cgroup")
    for folder in FOLDERS:
        private = BASE / folder.strip("/").replace("/", "-")
        private.mkdir(mode=0o755)
        pathlib.Path(folder).mkdir(parents=True, exist_ok=True)
        run("mount", "--bind", private, folder)
    if not kvm and KVM.exists():
        hide_kvm()
    pathlib.Path("/dev/hugepages").mkdir(exist_ok=True)
    run("mount", "-t", "hugetlbfs", "-o", "pagesize=2M", "hugetlbfs", "/dev/hugepages")
    run("ip", "link", "set", "lo", "up")
    run("ip", "link", "add", BRIDGE, "type", "bridge")
    run("ip", "link", "set", BRIDGE, "up")
    return BASE


def hide_kvm():
    """Another /dev. To cover the one file would not do: libvirt takes whatever root may open there for a KVM."""
    private = BASE / "dev"
    run("cp", "-ax", "/dev/.", private)
    (private / KVM.name).unlink()
    for folder in pathlib.Path("/dev").iterdir():
        if folder.is_mount():
            run("mount", "--rbind", folder, private / folder.name)
    run("mount", "--rbind", private, "/dev")


def emulator_pid(uuid):
    """The emulator that runs the domain `uuid`: both drivers write -uuid on its command line. None when there is none."""
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            words = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            state = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
        except OSError:
            continue
        if uuid.encode() in words and state != "Z":
            return int(pid)
    return None


def has_kvm():
    return os.access(KVM, os.R_OK | os.W_OK)


def network_cards():
    return set(os.listdir("/sys/class/net"))


def copy_sparse(source, target):
    run("cp", "--sparse=always", source, target)
    return pathlib.Path(target)


class ReservedHugepages:
    """2 MiB pages reserved while the `with` lasts. They are the machine's, not the namespace's, so they are given back."""

    def __init__(self, mebibytes):
        self.pages = mebibytes // 2

    def __enter__(self):
        before = int(HUGEPAGES.read_text())
        HUGEPAGES.write_text(str(before + self.pages))
        got = int(HUGEPAGES.read_text()) - before
        if got < self.pages:
            self.pages = got
            self.__exit__()
            raise AssertionError(f"the kernel reserved {got} more hugepages of 2 MiB, too few")
        return self

    def __exit__(self, *_):
        HUGEPAGES.write_text(str(max(0, int(HUGEPAGES.read_text()) - self.pages)))
