#!/usr/bin/python3
"""Runs QEMU's golden command lines, so that none is blessed from its own output alone.

Usage: run_lines.py FOLDER...   Each NAME.qemu.args of the folders that is no refusal is started (-S), greeted over QMP, given the
requests that stand below its options, asked for its state and its devices, and told to quit. What a golden line names on the host
is replaced: files by files of the same name in a folder of the test, taps by taps in a network namespace of the test, memory above
256 MiB by that. Whatever this host cannot give is left out of the line and said. Needs root for the namespace.
"""

import ctypes
import fcntl
import json
import os
import pathlib
import re
import shlex
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import time

MEMORY_MIB = 256
FIRMWARE = {
    "x86_64": ("/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"),
    "aarch64": ("/usr/share/AAVMF/AAVMF_CODE.fd", "/usr/share/AAVMF/AAVMF_VARS.fd"),
}
PLAIN = {"-append", "-kernel", "-initrd", "-uuid", "-display", "-serial", "-global"}
CLONE_NEWNET, TUNSETIFF, IFF_TAP, IFF_NO_PI, IFF_VNET_HDR, IFF_MULTI_QUEUE = 0x40000000, 0x400454CA, 0x2, 0x1000, 0x4000, 0x100


def split(text):
    """[(name, value)] of an option's argument: names end at '=', values at a comma that is not doubled."""
    pairs = []
    for part in re.findall(r"(?:[^,]|,,)+", text):
        name, equals, value = part.partition("=")
        pairs.append([name, value.replace(",,", ",")] if equals and "," not in name else ["", part.replace(",,", ",")])
    return pairs


def join(pairs):
    return ",".join((name + "=" if name else "") + value.replace(",", ",,") for name, value in pairs)


def fake_kernel():
    """The least that the x86 boot protocol's loader takes for a bzImage: one setup sector, version 2.06, "HdrS"."""
    image = bytearray(8192)
    image[0x1F1] = 1
    image[0x1FE:0x200] = b"\x55\xaa"
    image[0x202:0x206] = b"HdrS"
    image[0x206:0x208] = struct.pack("<H", 0x206)
    image[0x211] = 1
    image[0x22C:0x230] = struct.pack("<I", 0x7FFFFFFF)  # how high an initrd may be
    return bytes(image)


class Host:
    """What one line finds on the host, made in `folder`."""

    def __init__(self, folder):
        self.folder, self.fds, self.left_out, self.taps = folder, [], [], 0

    def path(self, wanted, size=0, qcow2=False):
        made = self.folder / pathlib.Path(wanted).name
        if size and not made.exists():
            if qcow2:
                subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", made, str(size)], check=True)
            else:
                with open(made, "wb") as file:
                    file.truncate(size)
        return str(made)

    def open_taps(self, count):
        name, opened = f"golden{self.taps}", []
        self.taps += 1
        for _ in range(count):
            fd = os.open("/dev/net/tun", os.O_RDWR)
            flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | (IFF_MULTI_QUEUE if count > 1 else 0)
            fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", name.encode(), flags))
            opened.append(fd)
        self.fds += opened
        return ":".join(map(str, opened))

    def replace(self, flag, pairs, arch):
        """The option with this host's things; None to leave it out."""
        head = pairs[0][1] if not pairs[0][0] else ""
        values = dict(pairs)
        if head == "vfio-pci":
            self.left_out.append("vfio-pci (no host device)")
            return None
        if head == "vhost-vsock-pci" and not os.path.exists("/dev/vhost-vsock"):
            self.left_out.append("vhost-vsock-pci (no /dev/vhost-vsock)")
            return None
        flash = re.fullmatch("pflash([01])-storage", values.get("node-name", ""))
        for pair in pairs:
            name, value = pair
            if flash and name == "file.filename":
                pair[1] = self.path(f"flash{flash[1]}.fd")
                shutil.copy(FIRMWARE[arch][int(flash[1])], pair[1])
            elif name == "file.filename":
                # One a disk, since two that write one file exclude each other.
                pair[1] = self.path(values.get("node-name", "") + pathlib.Path(value).name, 1 << 20, head == "qcow2")
            elif name == "file.driver" and value == "host_device":
                self.left_out.append("host_device (a file in its place)")
                pair[1] = "file"
            elif name in ("path", "logfile"):
                pair[1] = self.path(value)
            elif name == "mem-path":
                pair[1] = str(self.folder)
            elif name == "filename":
                pair[1] = "/dev/urandom"
            elif name in ("fd", "fds") and head == "tap":
                pair[1] = self.open_taps(value.count(":") + 1)
            elif name == "vhostfd":
                self.fds.append(os.open("/dev/vhost-vsock", os.O_RDWR))
                pair[1] = str(self.fds[-1])
            elif flag == "-m" and name == "size":
                pair[1] = f"{min(int(value.rstrip('M')), MEMORY_MIB)}M"
            elif flag == "-object" and name == "size":
                pair[1] = str(min(int(value), MEMORY_MIB << 20))
        return pairs


def prepare(words, host):
    """Program, arguments and the ids of all devices of a golden line, for this host."""
    machine = split(words[words.index("-machine") + 1])[0][1]
    arch = "aarch64" if machine.startswith("virt") else "x86_64"
    arguments, ids = [], set()
    at = 1
    while at < len(words):
        flag, at = words[at], at + 1
        if at == len(words) or words[at].startswith("-"):
            arguments.append(flag)
            continue
        value, at = words[at], at + 1
        if flag in ("-kernel", "-initrd"):
            path = pathlib.Path(host.path(value))
            path.write_bytes(fake_kernel())
            value = str(path)
        elif flag not in PLAIN:
            pairs = host.replace(flag, split(value), arch)
            if pairs is None:
                continue
            if flag == "-device":
                ids |= {text for name, text in pairs if name == "id"}
            value = join(pairs)
        arguments += [flag, value]
    return f"qemu-system-{arch}", arguments, ids


class Monitor:
    def __init__(self, path, process):
        self.process = process
        deadline = time.monotonic() + 60
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(60)
        while True:
            try:
                self.socket.connect(path)
                break
            except OSError:
                if process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError("no monitor: " + process.stderr.read().decode(errors="replace"))
                time.sleep(0.02)
        self.file = self.socket.makefile("rb")
        assert "QMP" in json.loads(self.file.readline())

    def execute(self, command, arguments=None):
        request = {"execute": command, **({"arguments": arguments} if arguments else {})}
        self.socket.sendall(json.dumps(request).encode())
        while True:
            line = self.file.readline()
            if not line:
                raise RuntimeError(f"{command}: the emulator ended: {self.process.stderr.read().decode(errors='replace')}")
            reply = json.loads(line)
            if "error" in reply:
                raise RuntimeError(f"{command}: {reply['error']}")
            if "return" in reply:
                return reply["return"]


def run(golden, host):
    text, *requests = golden.read_text().rstrip("\n").split("\n{")
    words = shlex.split(text)
    environment = {}
    while re.match("[A-Z_]+=", words[0]):
        name, _, value = words.pop(0).partition("=")
        environment[name] = value
    program, arguments, ids = prepare(words, host)
    process = subprocess.Popen([program, *arguments], env=environment, pass_fds=host.fds, stdin=subprocess.DEVNULL,
                               stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        monitor = Monitor(str(host.folder / "monitor.sock"), process)
        monitor.execute("qmp_capabilities")
        for request in requests:
            request = json.loads("{" + request)
            monitor.execute(request["execute"], request["arguments"])
        status = monitor.execute("query-status")["status"]
        if status != "prelaunch":
            raise RuntimeError(f"the machine is {status}, not waiting for cont")
        made = {item["name"] for item in monitor.execute("qom-list", {"path": "/machine/peripheral"})}
        if not ids <= made:
            raise RuntimeError(f"devices missing: {ids - made}")
        monitor.execute("quit")
        if process.wait(60) != 0:
            raise RuntimeError(f"exit status {process.returncode}: {process.stderr.read().decode(errors='replace')}")
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        process.stderr.close()


def main():
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET) != 0:
        sys.exit(f"no network namespace: {os.strerror(ctypes.get_errno())}")
    lines = [path for folder in sys.argv[1:] for path in sorted(pathlib.Path(folder).glob("*.qemu.args"))]
    lines = [path for path in lines if not path.read_text().startswith("refused")]
    failed = 0
    for golden in lines:
        with tempfile.TemporaryDirectory(prefix="golden") as folder:
            host = Host(pathlib.Path(folder))
            try:
                run(golden, host)
                print(f"ok      {golden.name}" + "".join(f"; left out: {what}" for what in host.left_out), flush=True)
            except (RuntimeError, OSError, ValueError, KeyError, subprocess.SubprocessError) as error:
                failed += 1
                print(f"FAILED  {golden.name}: {error}", flush=True)
            finally:
                for fd in host.fds:
                    os.close(fd)
    print(f"{len(lines)} lines run, {failed} failed")
    return 1 if failed or not lines else 0


if __name__ == "__main__":
    sys.exit(main())
