"""A daemon with machines of every kind, and everything of it that can be seen from outside: by its clients and on its host."""

import contextlib
import os
import pathlib
import subprocess
import time

import libvirt

from lib import host, xml
from lib.console import Console
from lib.mortal import Mortal
from lib.wait import until

INACTIVE = libvirt.VIR_DOMAIN_XML_INACTIVE
HUGEPAGES = pathlib.Path("/dev/hugepages/libvirt/stratovirt")
FIRMWARE = "/usr/share/OVMF/OVMF_CODE_4M.fd"
ANSWER_SECONDS = 20


def emulators():
    """pid -> uuid of every emulator on the host of the tests."""
    found = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            words = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            if b"-uuid" in words and pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z":
                found[int(pid)] = words[words.index(b"-uuid") + 1].decode()
        except OSError:
            continue
    return found


_own_groups = []


def enter_own_groups():
    """Control groups are the whole machine's, unlike the rest of the tests' host: this process, and what it starts, gets some of its own."""
    for line in pathlib.Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, group = line.split(":", 2)
        if {"cpu", "cpuacct"} & set(controllers.split(",")) or not controllers:
            above = pathlib.Path(f"/sys/fs/cgroup/{controllers}{group}")
            own = above / f"fault-{time.time_ns()}"
            if not (above / "cgroup.procs").exists():
                continue
            with contextlib.suppress(OSError):  # a host that allows none gives none to machines either
                own.mkdir()
                (own / "cgroup.procs").write_text("0")
                _own_groups.append(own)


def remove_group(folder):
    until(lambda: not (folder / "cgroup.procs").read_text(), f"the processes of {folder} to end")
    folder.rmdir()


def leave_own_groups():
    for own in _own_groups:
        (own.parent / "cgroup.procs").write_text("0")
        remove_group(own)


def groups():
    """The control groups that hold machines."""
    return {name for own in _own_groups for _, folders, _ in os.walk(own) for name in folders}


def descriptors(pid):
    found = []
    for fd in pathlib.Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            found.append(os.readlink(fd))
    return sorted(found)


def status_kib(pid, key):
    return next(int(line.split()[1]) for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith(key))


class World(Mortal):
    """One whose state before and after a fault is compared."""

    def __init__(self, root, program):
        root.mkdir(mode=0o755, exist_ok=True)
        super().__init__(root, program)
        self.image, self.nvram = root / "disk.img", root / "var/lib/libvirt/stratovirt/nvram"
        self.config = root / "etc/libvirt/stratovirt"
        self.cards, self.connection = host.network_cards(), None

    def begin(self):
        """Serves, with a client that stays."""
        with open(self.server.log, "ab") as log:
            self.server.process = subprocess.Popen(self.server.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        until(self.connects, f"the daemon to answer; its log is {self.server.log}:\n{self.server.tail()}", ANSWER_SECONDS)
        return self

    def connects(self):
        assert self.server.process.poll() is None, f"it ended with status {self.server.process.returncode}:\n{self.server.tail()}"
        try:
            self.connection = libvirt.open(self.server.uri)
        except libvirt.libvirtError:
            return False
        return True

    def again(self):
        """Started anew after its death."""
        self.server.process.wait(ANSWER_SECONDS)
        self.connection = None
        return self.begin()

    def lookup(self, name):
        return self.connection.lookupByName(name)

    def snapshot(self):
        """What clients see of every domain that is still there when it is asked for."""
        return {domain.name(): shown for domain in self.connection.listAllDomains() if (shown := self.shown(domain))}

    def shown(self, domain):
        try:
            persistent = domain.isPersistent()
            return (
                domain.UUIDString(),
                domain.XMLDesc(INACTIVE) if persistent else None,
                bool(persistent and domain.autostart()),
                domain.state()[0],
            )
        except libvirt.libvirtError as error:
            if error.get_error_code() != libvirt.VIR_ERR_NO_DOMAIN:
                raise
            return None

    def active(self, name):
        return name in (each.name() for each in self.connection.listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE))

    def remove(self, name):
        try:
            domain = self.lookup(name)
        except libvirt.libvirtError:
            return
        if domain.isPersistent():
            domain.undefineFlags(libvirt.VIR_DOMAIN_UNDEFINE_NVRAM)
        if self.active(name):
            try:
                domain.destroy()
            except libvirt.libvirtError as error:  # it has just ended
                if error.get_error_code() not in (libvirt.VIR_ERR_NO_DOMAIN, libvirt.VIR_ERR_OPERATION_INVALID):
                    raise

    def controllable(self, domain):
        """It stops and goes on, and its emulator answers."""
        before = domain.state()[0]
        if before == libvirt.VIR_DOMAIN_RUNNING:
            domain.suspend()
            assert domain.state()[0] == libvirt.VIR_DOMAIN_PAUSED
            domain.resume()
        assert domain.state()[0] == before
        if xml.tree(domain.XMLDesc()).find("devices/console") is not None:
            stream = self.connection.newStream(libvirt.VIR_STREAM_NONBLOCK)
            domain.openConsole(None, stream, libvirt.VIR_DOMAIN_CONSOLE_FORCE)
            stream.abort()

    def leftovers(self):
        """What is on the host beyond what the running machines need, as a list of words."""
        active = self.connection.listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE)
        uuids = {domain.UUIDString() for domain in active}
        folders = {f"domain-{domain.ID()}-{domain.name()[:20]}" for domain in active}
        taps = {target.get("dev") for domain in active for target in xml.tree(domain.XMLDesc()).iterfind("devices/interface/target")}
        names = {f"{each.name()}.xml" for each in self.connection.listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_PERSISTENT)}
        marked = {f"{each.name()}.xml" for each in self.connection.listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_AUTOSTART)}
        differences = {
            "emulators": set(emulators().values()) ^ uuids,
            "taps": (host.network_cards() - self.cards) ^ taps,
            "state": set(os.listdir(self.state)) - {"driver.lock", "autostarted"} ^ folders ^ {f"{uuid}.json" for uuid in uuids},
            "huge pages": set(os.listdir(HUGEPAGES) if HUGEPAGES.exists() else []) - folders,
            "control groups": groups() - folders,
            "definitions": set(os.listdir(self.config)) - {"autostart"} ^ names,
            "autostart": set(os.listdir(self.config / "autostart")) ^ marked,
            "nvram": {path for path in os.listdir(self.nvram) if not path.endswith(".fd")},
        }
        return [f"{what}: {sorted(map(str, found))}" for what, found in differences.items() if found]

    def end(self):
        status = self.server.process.poll()
        for pid in emulators():
            os.kill(pid, 9)
        self.server.stop()
        for own in _own_groups:
            for folder in filter(pathlib.Path.is_dir, own.iterdir()):
                remove_group(folder)
        assert status is None, f"the daemon has ended with status {status}:\n{self.server.tail()}"


class LinuxInside:
    """A Linux that runs through all faults, with a card and a login: found again each time, and spoken with."""

    def __init__(self, world, folder, disk, name="linux"):
        self.world, self.name = world, name
        world.connection.createXML(xml.linux(name, folder, disk, devices=xml.bridge("52:54:00:00:09:01")))
        self.pid = host.emulator_pid(world.lookup(name).UUIDString())
        with Console(world.server.uri, name) as console:
            console.connected().login()
            console.leave()
        # QEMU looks but once a second whether somebody has come to a terminal that nobody held open.
        path = xml.tree(world.lookup(name).XMLDesc()).find("devices/console/source").get("path")
        self.terminal = open(path, "rb", opener=lambda path, flags: os.open(path, flags | os.O_NOCTTY))

    def check(self, mark):
        domain = self.world.lookup(self.name)
        assert host.emulator_pid(domain.UUIDString()) == self.pid, "the machine that ran is another"
        self.world.controllable(domain)
        stream = self.world.connection.newStream(libvirt.VIR_STREAM_NONBLOCK)
        domain.openConsole(None, stream, libvirt.VIR_DOMAIN_CONSOLE_FORCE)
        seen = bytearray()

        def came():
            part = stream.recv(4096)
            seen.extend(part if isinstance(part, bytes) else b"")
            return f"is-{mark}-so".encode() in seen

        stream.send(f"echo is-{mark}'-so'\r".encode())
        until(came, f"the guest to answer; it said {bytes(seen)}", ANSWER_SECONDS)
        stream.abort()


