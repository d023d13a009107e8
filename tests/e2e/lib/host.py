"""A host of the tests' own: mount and network namespaces with private libvirt folders, a bridge and hugetlbfs.

The process that calls `enter` moves into the namespaces; whatever it starts afterwards is inside, and only that.
"""

import ctypes
import os
import pathlib
import shutil
import signal
import subprocess

CLONE_NEWNS, CLONE_NEWNET = 0x00020000, 0x40000000
FOLDERS = ["/etc/libvirt", "/run/libvirt", "/var/lib/libvirt", "/var/log/libvirt"]
BRIDGE = "qbr0"
HUGEPAGES = pathlib.Path("/proc/sys/vm/nr_hugepages")


def run(*command):
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def enter(base):
    """Into new namespaces; libvirt's folders become empty ones below `base`."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNS | CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "unshare: " + os.strerror(ctypes.get_errno()))
    run("mount", "--make-rprivate", "/")
    # A network namespace shows its cards only in a sysfs mounted inside it.
    cgroups = base / "cgroup"
    cgroups.mkdir()
    run("mount", "--rbind", "/sys/fs/cgroup", cgroups)
    run("mount", "-t", "sysfs", "sysfs", "/sys")
    run("mount", "--rbind", cgroups, "/sys/fs/cgroup")
    for folder in FOLDERS:
        private = base / folder.strip("/").replace("/", "-")
        private.mkdir(mode=0o755)
        pathlib.Path(folder).mkdir(parents=True, exist_ok=True)
        run("mount", "--bind", private, folder)
    pathlib.Path("/dev/hugepages").mkdir(exist_ok=True)
    run("mount", "-t", "hugetlbfs", "-o", "pagesize=2M", "hugetlbfs", "/dev/hugepages")
    run("ip", "link", "set", "lo", "up")
    run("ip", "link", "add", BRIDGE, "type", "bridge")
    run("ip", "link", "set", BRIDGE, "up")


def processes_inside():
    """Every other process of this mount namespace: what the tests started and has not ended, whoever its parent is now."""
    here = os.readlink("/proc/self/ns/mnt")
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            if os.readlink(entry / "ns/mnt") == here:
                found.append(int(entry.name))
        except OSError:
            continue  # ended while we looked
    return found


def end_processes_inside():
    for pid in processes_inside():
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass


def emulator_pid(uuid):
    """The emulator that runs the domain `uuid`: both drivers write -uuid on its command line. None when there is none."""
    for pid in processes_inside():
        try:
            words = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            state = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
        except OSError:
            continue
        if uuid.encode() in words and state != "Z":
            return pid
    return None


def network_cards():
    return set(os.listdir("/sys/class/net"))


def copy_sparse(source, target):
    run("cp", "--sparse=always", source, target)
    return pathlib.Path(target)


class ReservedHugepages:
    """2 MiB pages reserved while the `with` lasts. They are the machine's, not the namespace's, so the old count comes back."""

    def __init__(self, mebibytes):
        self.pages = mebibytes // 2

    def __enter__(self):
        self.before = int(HUGEPAGES.read_text())
        HUGEPAGES.write_text(str(self.before + self.pages))
        got = int(HUGEPAGES.read_text()) - self.before
        if got < self.pages:
            self.__exit__()
            raise AssertionError(f"the kernel reserved {got} of {self.pages} hugepages of 2 MiB")
        return self

    def __exit__(self, *_):
        HUGEPAGES.write_text(str(self.before))


def remove(folder):
    shutil.rmtree(folder, ignore_errors=True)
