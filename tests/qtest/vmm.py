"""A started program, ours or QEMU, with what drives it: the test's socket in place of processors, and its monitor."""
import fcntl
import itertools
import json
import os
import shutil
import socket
import subprocess
import termios

from qtest import Closed, Failed, Lines, ModTest, Qtest, wait_for  # noqa: F401 (what tests import from here)


class Refused(Exception):
    """A monitor's error."""

    def __init__(self, error):
        super().__init__(f"{error['class']}: {error['desc']}")
        self.kind, self.text = error["class"], error["desc"]


class Qmp:
    def __init__(self, path, handshake):
        self.ids, self.events = itertools.count(), []
        connection = socket.socket(socket.AF_UNIX)

        def connects():
            try:
                connection.connect(path)
                return True
            except (FileNotFoundError, ConnectionRefusedError):
                return False

        wait_for(connects, "a monitor")
        self.lines = Lines(connection)
        self.greeting = json.loads(self.lines.line())
        if handshake:
            self.ask("qmp_capabilities")

    def message(self):
        return json.loads(self.lines.line())

    def ask(self, command, /, descriptors=(), **arguments):
        """The reply's value; events that come meanwhile are kept."""
        id = next(self.ids)
        request = {"execute": command, "id": id}
        if arguments:
            request["arguments"] = {name.replace("_", "-") if name in HYPHENS else name: value for name, value in arguments.items()}
        self.lines.send(json.dumps(request), descriptors)
        while True:
            reply = self.message()
            if "event" in reply:
                self.events.append(reply)
                continue
            assert reply.get("id") == id, reply
            if "error" in reply:
                raise Refused(reply["error"])
            return reply["return"]

    def event(self, name, **members):
        """The data of the next event of that name, with these members; those before it are dropped."""
        while True:
            event = self.events.pop(0) if self.events else self.message()
            data = event.get("data", {})
            if event.get("event") == name and members.items() <= data.items():
                return data

    def raw(self, text):
        """A request as it stands, and the reply."""
        self.lines.send(text)
        while True:
            reply = self.message()
            if "event" not in reply:
                return reply


HYPHENS = {"node_name", "read_only", "command_line", "query_nodes"}


class Machine:
    """One process. Options are those of StratoVirt; for QEMU they become its own."""

    def __init__(self, program, folder, words, protocol=Qtest, memory=128, cpus=1, qmp=True, descriptors=(), handshake=True, terminal=None, own=None):
        self.folder, self.program = folder, str(program)
        self.is_qemu = "qemu" in os.path.basename(self.program)
        self.pages = itertools.count(0x100_0000, 0x1000)
        listener = socket.socket(socket.AF_UNIX)
        test_socket, self.qmp_socket = str(folder / "test.sock"), str(folder / "qmp.sock")
        for path in (test_socket, self.qmp_socket):
            if os.path.exists(path):
                os.unlink(path)
        listener.bind(test_socket)
        listener.listen(1)
        listener.settimeout(0.05)
        common = ["-machine", "q35", "-m", str(memory), "-smp", str(cpus), "-qmp", f"unix:{self.qmp_socket},server,nowait"]
        kind = ["-accel", "test", "-mod-test"] if protocol is ModTest else ["-accel", "qtest", "-qtest"]
        words = [str(word) for word in words]
        if self.is_qemu:
            kind = self.without_processor(kind)
            common += ["-nodefaults", "-no-user-config", "-display", "none", "-global", "ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off"]
            words = [in_qemu(word) for word in words if word != "-disable-seccomp"]
        self.log = open(folder / "log", "wb+")
        own = own or {"stdin": subprocess.DEVNULL, "stdout": self.log}
        if terminal is not None:
            own = {"stdin": terminal, "stdout": terminal, "start_new_session": True, "preexec_fn": lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0)}
        self.process = subprocess.Popen([self.program, *common, *kind, f"unix:{test_socket}", *words], stderr=self.log, pass_fds=descriptors, **own)

        def accepted():
            try:
                return listener.accept()[0]
            except TimeoutError:
                assert self.process.poll() is None, f"ended at once: {self.said()}"
                return None

        try:
            self.test = protocol(wait_for(accepted, "the program to connect"))
            self.qmp = Qmp(self.qmp_socket, handshake) if qmp else None
        except BaseException:
            self.process.kill()
            self.process.wait()
            raise
        finally:
            listener.close()
        if self.is_qemu:
            self.as_firmware()

    def without_processor(self, kind):
        """Debian's QEMU has no such accelerator. There a processor that halts for good stands in, and time is real."""
        bios = bytearray(65536)
        bios[0xFFF0:0xFFF4] = b"\xfa\xf4\xeb\xfd"  # cli; hlt; jmp to the hlt
        (self.folder / "bios").write_bytes(bios)
        return ["-bios", str(self.folder / "bios"), "-accel", "tcg", kind[2]]

    def as_firmware(self):
        """What a PC's firmware has set up before anyone looks, and this program's machine is born with."""
        def poke(slot, offset, size, value):
            self.test.out(0xCF8, 4, 1 << 31 | slot << 11 | offset & ~3)
            self.test.out(0xCFC + offset % 4, size, value)

        poke(0, 0x60, 4, 0xB000_0001)  # the memory that is configuration space
        poke(0x1F, 0x40, 4, 0x0601)  # ACPI's ports
        poke(0x1F, 0x44, 1, 0x80)
        for pirq in range(8):  # INTx: straight to the IOAPIC
            poke(0x1F, 0x60 + pirq if pirq < 4 else 0x64 + pirq, 1, 0x80)

    def said(self):
        self.log.seek(0)
        return self.log.read().decode(errors="replace").strip()

    def alloc(self, size=4096):
        """Guest memory of its own, whole pages."""
        first = next(self.pages)
        for _ in range((size - 1) // 4096):
            next(self.pages)
        return first

    def put(self, data):
        address = self.alloc(len(data))
        self.test.write(address, data)
        return address

    def wait_end(self):
        status = self.process.wait(20)
        return status

    def quit(self):
        """Ends it as a monitor does, and holds it to a clean end."""
        if self.process.poll() is None:
            if self.qmp:
                try:
                    self.qmp.ask("quit")
                except Closed:
                    pass
            else:
                self.test.lines.connection.close()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.kill()
                raise AssertionError("does not end") from None
        assert self.process.returncode == 0, f"exit status {self.process.returncode}: {self.said()}"

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        if self.qmp:
            self.qmp.lines.connection.close()
        self.test.lines.connection.close()
        self.log.close()


def in_qemu(word):
    """An option's argument in QEMU 7.2's words."""
    for ours, theirs in (("direct=false", "cache.direct=off"), ("direct=true", "cache.direct=on"), ("no-flush=on", "cache.no-flush=on"),
                         ("aio=io_uring", "aio=threads"), ("aio=off", "aio=threads")):
        word = word.replace(ours, theirs)
    kind = word.split(",")[0]
    if kind in ("virtio-blk-pci", "virtio-rng-pci", "virtio-serial-pci"):
        word += ",disable-legacy=on"
    return word


def find_qemu():
    return shutil.which("qemu-system-x86_64")
