"""A guest on the monitor under test, in the box: its program, its console and its monitor's socket."""
import itertools
import json
import re
import select
import shlex
import time

PATIENCE = 240  # seconds: a bound on waits, in a box that shares its processors
ports = itertools.count(5000)  # of monitors, in the box


class Lines:
    """What a connection says, and a wait for something in it."""

    def __init__(self, connection):
        self.connection, self.said, self.ended = connection, b"", False

    def more(self, patience):
        """Whether anything came, the end included."""
        if self.ended or not select.select([self.connection], [], [], max(patience, 0))[0]:
            return False
        try:
            data = self.connection.recv(1 << 16)
        except ConnectionError:
            data = b""
        self.said += data
        self.ended = not data
        return True

    def wait(self, pattern, patience=PATIENCE):
        """The match; what comes before it is taken too."""
        end = time.monotonic() + patience
        while not (found := re.search(pattern.encode(), self.said)):
            assert self.more(end - time.monotonic()), f"no {pattern!r} in: {self.said.decode(errors='replace')}"
        self.said = self.said[found.end() :]
        return found

    def silent(self, seconds):
        """What was said before is taken; whether nothing is for so long."""
        while self.more(0):
            pass
        self.said = b""
        time.sleep(seconds)
        return not self.more(0)

    def send(self, text):
        self.connection.sendall(text.encode())


class Refused(Exception):
    """A monitor's error."""


class Qmp:
    def __init__(self, connection):
        self.lines = Lines(connection)
        self.ids, self.events = itertools.count(), []
        self.greeting = self.message()
        self.ask("qmp_capabilities")

    def message(self):
        return json.loads(self.lines.wait(r"([^\n]*)\n")[1])

    def send(self, command, arguments):
        id = next(self.ids)
        request = {"execute": command, "id": id} | ({"arguments": arguments} if arguments else {})
        self.lines.send(json.dumps(request) + "\n")
        return id

    def reply(self, id):
        while True:
            reply = self.message()
            if "event" in reply:
                self.events.append(reply)
                continue
            assert reply["id"] == id, reply
            if "error" in reply:
                raise Refused(f"{reply['error']['class']}: {reply['error']['desc']}")
            return reply["return"]

    def ask(self, command, /, **arguments):
        return self.reply(self.send(command, arguments))

    def ask_at_once(self, *commands):
        """Without waiting for an answer before the next is asked."""
        return [self.reply(id) for id in [self.send(command, {}) for command in commands]]

    def event(self, name):
        """The data of the next one of that name; those before it are dropped."""
        while True:
            event = self.events.pop(0) if self.events else self.message()
            if event["event"] == name:
                return event.get("data", {})


class Machine:
    """Debian's cloud kernel on a root disk behind a root port. `console` is hvc0 or ttyS0; `options` come on top."""

    def __init__(self, host, *options, console="hvc0", cpus=1, memory="256", kernel="/guest/vmlinuz", append=""):
        self.host, self.port = host, next(ports)
        self.folder = f"/tmp/machine-{self.port}"
        terminal = ["-serial", "stdio"]
        if console == "hvc0":
            terminal = "-device virtio-serial-pci,id=serial0,bus=pcie.0,addr=0x10 -chardev stdio,id=console0 -device virtconsole,id=port0,chardev=console0".split()
        words = [
            "stratovirt", "-machine", "q35", "-smp", str(cpus), "-m", str(memory), "-kernel", kernel, "-initrd", "/guest/initrd.img",
            "-append", f"console={console} root=/dev/vda rw quiet {append}",
            *(word for n in range(1, 9) for word in ("-device", f"pcie-root-port,id=pci.{n},port={n},chassis={n},bus=pcie.0,addr={n}")),
            "-drive", f"file={self.folder}/root.img,format=raw,if=none,id=drive0,direct=false",
            "-device", "virtio-blk-pci,id=disk0,drive=drive0,bus=pci.1,addr=0x0", *terminal,
            "-qmp", f"tcp:127.0.0.1:{self.port},server,nowait", "-pidfile", f"{self.folder}/pid", *options,
        ]  # fmt: skip
        host.run(f"mkdir {self.folder}; cp /guest/root.img {self.folder}")
        self.console = Lines(host.open(f"echo console:; {shlex.join(words)}; echo ended: $? | tee {self.folder}/ended; exit"))
        self.console.wait("console:\n")
        # The program's number is written once its monitor listens.
        begun = host.run(f"cd {self.folder}; until [ -e pid -o -e ended ]; do sleep 0.1; done; ls")
        if "pid" not in begun.split():
            raise AssertionError(self.console.wait(r"(?s)(.*)ended: \d+\n")[0].decode())
        self.qmp = Qmp(host.open(f"exec nc 127.0.0.1 {self.port}"))

    def log_in(self):
        self.console.wait("login: ")
        self.console.send("root\n")
        self.console.wait("guest# ")
        # A shell that neither prompts nor echoes: from here on only answers come.
        self.console.send('stty -echo; echo "list""ens"; while read -r line; do eval "$line"; status=$?; done\n')
        self.console.wait("listens\r\n")
        return self

    def run(self, script, status=0):
        """What a command in the guest prints; it must end with that status."""
        self.console.send(f"{script}\necho =$status=\n")  # reading the second line has a status of its own
        found = self.console.wait(r"(?s)\A(.*?)=(\d+)=\r\n")
        said = found[1].decode(errors="replace").replace("\r\n", "\n")
        assert int(found[2]) == status, f"{script}\n{said}"
        return said.strip()

    def ended(self):
        """The program's exit status; waits for it."""
        return int(self.console.wait(r"ended: (\d+)\n")[1])

    def kill(self):
        self.host.run(f"kill -9 $(cat {self.folder}/pid) 2>/dev/null; rm -r {self.folder}")
