"""The console: an interactive login, taking over, refusing a second, leaving, vanishing, and much output."""

import hashlib
import os
import socket
import threading
import time

import libvirt
import pytest

from lib import xml
from lib.console import Console
from lib.wait import until


def test_login_and_uname(guest):
    with guest.console("--force") as console:
        console.connected().login()
        assert console.command("uname -a").startswith("Linux guest ")
        assert console.leave() == 0


def test_the_domain_goes_on_after_the_client_left(guest):
    with guest.console("--force") as console:
        console.connected().login()
        console.command("left=behind")
        console.leave()
    assert guest.run("echo $left") == "behind"


def test_console_by_devname(guest):
    alias = xml.tree(guest.domain.XMLDesc()).find("devices/console/alias").get("name")
    with guest.console("--devname", alias, "--force") as console:
        console.connected().login()
        console.leave()


def test_a_second_client_is_refused(guest):
    with guest.console("--force") as first:
        first.connected().login()
        with guest.console() as second:
            second.expect("Active console session exists for this domain")
            assert second.ended() == 1
        with guest.console("--safe") as third:
            third.expect("Active console session exists for this domain")
        assert first.command("echo undisturbed") == "undisturbed"
        first.leave()


def test_force_takes_it_over(guest):
    with guest.console("--force") as first:
        first.connected().login()
        with guest.console("--force") as second:
            second.connected().login()
            first.ended()
            assert second.command("echo mine") == "mine"
            second.leave()


def test_safe_is_supported(guest):
    with guest.console("--safe") as console:
        console.connected().login()
        console.leave()


def test_a_client_that_vanishes_frees_the_console(guest):
    with guest.console("--force") as console:
        console.connected().login()
        console.type("yes | head -c 30000\r")
        console.expect("y\r\ny\r\n")
        console.vanish()

    def free():
        with guest.console() as again:
            return again.child.expect([r"Escape character is \^\]", "Active console session"]) == 0

    until(free, "the console to be free", 10)
    assert guest.run("echo here", 60) == "here"


def test_no_terminal_is_needed_to_be_refused(guest, virsh):
    assert "without a controlling TTY" in virsh.fails("console", guest.name)


def test_no_console_at_all(running, virsh, uri):
    with Console(uri, running.name()) as console:
        console.expect("cannot find character device|no console")
        assert console.ended() == 1


def test_ttyconsole(guest, virsh):
    tty = virsh("ttyconsole", guest.name)
    assert tty == xml.tree(guest.domain.XMLDesc()).find("devices/console").get("tty") and os.path.exists(tty)


def test_suspend_stops_answers_and_resume_brings_them(guest, virsh):
    with guest.console("--force") as console:
        console.connected().login()
        virsh("suspend", guest.name)
        try:
            assert console.silent("echo an-$((40+2))-swer\r", "an-42-swer")
        finally:
            virsh("resume", guest.name)
        console.expect("an-42-swer")
        console.command("true")
        console.leave()


WOULD_WAIT = -2  # of a stream that does not


class Stream:
    """A console through libvirt-python, for exact bytes. It asks and never waits in the library: a thread that does may miss
    what the thread of events took from the socket just before."""

    def __init__(self, domain, flags=libvirt.VIR_DOMAIN_CONSOLE_FORCE):
        self.connection = libvirt.open(domain.connect().getURI())
        self.stream = self.connection.newStream(libvirt.VIR_STREAM_NONBLOCK)
        self.connection.lookupByName(domain.name()).openConsole(None, self.stream, flags)
        self.received = bytearray()

    def _once(self, call, seconds):
        """What `call` answers once it need not wait."""
        deadline = time.monotonic() + seconds
        while (answer := call()) == WOULD_WAIT:
            assert time.monotonic() < deadline, f"nothing passed for {seconds} s after {len(self.received)} bytes, the last {bytes(self.received[-80:])}"
            time.sleep(0.001)
        return answer

    def send(self, data):
        while data:
            data = data[self._once(lambda: self.stream.send(data), 30) :]

    def next(self, seconds=30):
        """The next bytes; none at the stream's end; AssertionError when neither comes."""
        try:
            chunk = self._once(lambda: self.stream.recv(65536), seconds)
        except libvirt.libvirtError:
            return b""
        self.received += chunk
        return chunk

    def until(self, mark, limit):
        while mark not in self.received[-len(mark) - 70000 :]:
            assert self.next(), "the stream ended"
            assert len(self.received) < limit, "more came than was written"
        return bytes(self.received)

    def close(self):
        self.stream.abort()
        self.connection.close()


def spew(guest, count):
    """Has the guest write that many bytes in one go; what came must be exactly they."""
    guest.run("true")
    console = Stream(guest.domain)
    console.send(f"stty -echo -onlcr; echo sp''ew; yes 0123456789abcde | head -c {count}; echo do''ne; stty echo onlcr\r".encode())
    received = console.until(b"done\n", count + (1 << 20))
    body = received[received.index(b"spew\n") + 5 : received.rindex(b"done\n")]
    expected = b"0123456789abcde\n" * (count // 16)
    assert len(body) == count and hashlib.sha256(body).digest() == hashlib.sha256(expected).digest()
    console.close()


def test_a_guest_that_writes_much_at_once(guest):
    spew(guest, 32 << 10)  # QEMU drops what a pty has no room for, and it has room for twice that
    assert guest.run("echo still here") == "still here"


def test_a_hundred_mebibytes_pass_unchanged(conn, create, base, name, expected):
    """Faster than a guest writes: the console is a socket of the test's, which the emulator and then the daemon connect to."""
    path = f"{base}/{name[:20]}.sock"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        os.chmod(path, 0o777)
        server.listen()
        server.settimeout(30)
        domain = create(devices=f"<console type='unix'><source mode='connect' path='{path}'/><target type='virtio'/></console>")
        emulators, _ = server.accept()
        if not expected("unix consoles are served"):
            return
        console = Stream(domain)
        guests, _ = server.accept()
        block = os.urandom(1 << 20)
        writer = threading.Thread(target=lambda: [guests.sendall(block) for _ in range(100)], daemon=True)
        writer.start()
        assert conn.getHostname()
        came, hashed = 0, hashlib.sha256()
        while came < 100 << 20:
            chunk = console.next()
            assert chunk, f"the stream ended after {came} bytes"
            hashed.update(chunk)
            came += len(chunk)
        assert came == 100 << 20 and hashed.digest() == hashlib.sha256(block * 100).digest()
        writer.join()
        reader = threading.Thread(target=console.send, args=(block * 8,), daemon=True)
        reader.start()
        back = bytearray()
        while len(back) < 8 << 20:
            back += guests.recv(1 << 20)
        assert back == block * 8
        console.close()
        emulators.close(), guests.close()


def test_a_client_that_never_reads_blocks_nobody(guest, conn, virsh):
    """Its guest waits, the daemon holds little, and others are served."""
    guest.run("true")
    console = Stream(guest.domain)
    console.send(b"yes 0123456789abcde | head -c 64000; echo all-writ''ten\r")
    for _ in range(50):
        assert conn.getHostname()
    assert virsh("domstate", guest.name) == "running"
    console.until(b"all-written", 1 << 20)
    console.close()


def test_bytes_pass_unchanged_towards_the_guest(guest):
    """All 256 values: the guest's terminal is raw and says what it received. Its kernel takes ^O for SysRq, unless it comes twice."""
    guest.run("true")
    console = Stream(guest.domain)
    console.send(b"stty raw -echo; echo rea''dy; head -c 2048 | sha256sum; stty -raw echo\r")
    console.until(b"ready", 1 << 16)
    data = bytes(range(256)) * 8
    console.send(data.replace(b"\x0f", b"\x0f\x0f"))
    console.until(hashlib.sha256(data).hexdigest().encode(), 1 << 16)
    console.close()
    assert guest.run("echo sane") == "sane"


def test_the_stream_ends_with_the_domain(create):
    domain = create(devices=xml.CONSOLE)
    console = Stream(domain)
    domain.destroy()
    while console.next(10):
        pass
    console.connection.close()


BLOCKS = [0, libvirt.VIR_STREAM_NONBLOCK]


@pytest.mark.parametrize("said", [b"", b"hello"], ids=["nothing", "data"])
@pytest.mark.parametrize("flags", BLOCKS, ids=["blocking", "nonblocking"])
def test_a_client_finishes(conn, create, flags, said):
    """Right after it came, or with data under way; the console is free at once."""
    domain = create(devices=xml.CONSOLE)
    for _ in range(3):
        stream = conn.newStream(flags)
        domain.openConsole(None, stream, 0)
        if said:
            assert stream.send(said) == len(said)
        assert stream.finish() == 0


def test_send_all_and_finish(conn, create):
    domain = create(devices=xml.CONSOLE)
    stream, parts = conn.newStream(), iter([b"one", b"two", b"three"])
    domain.openConsole(None, stream, 0)
    stream.sendAll(lambda *_: next(parts, b""), None)
    assert stream.finish() == 0


@pytest.mark.parametrize("flags", BLOCKS, ids=["blocking", "nonblocking"])
def test_finish_after_the_guests_end(conn, create, flags):
    domain = create(devices=xml.CONSOLE)
    stream = conn.newStream(flags)
    domain.openConsole(None, stream, 0)
    domain.destroy()
    until(lambda: stream.recv(100) == b"", "the end of the stream")
    assert stream.finish() == 0


def test_receive_all_until_the_guests_end(conn, create, uri):
    domain = create(devices=xml.CONSOLE)
    stream, got = conn.newStream(), []
    domain.openConsole(None, stream, 0)
    with libvirt.open(uri) as other:
        ending = threading.Timer(0.2, other.lookupByName(domain.name()).destroy)
        ending.start()
        stream.recvAll(lambda _, data, __: got.append(data), None)
        ending.join()
    assert got == [] and stream.finish() == 0


def test_finish_amid_what_the_guest_writes(guest):
    """Unread, and while more is on its way to the guest."""
    guest.run("true")
    console = Stream(guest.domain)
    console.send(b"yes 0123456789abcde | head -c 64000; echo all-writ''ten\r")
    console.next()
    console.send(b"echo typed-ahead\r" * 20)
    assert console.stream.finish() == 0
    console.connection.close()
    assert guest.run("echo still here", 60).endswith("still here")


def test_the_console_of_a_machine_that_begins_again(conn, define):
    """Who still holds the stream of the one before holds up nobody."""
    domain = define(devices=xml.CONSOLE)
    streams = []
    for _ in range(3):
        domain.createWithFlags(libvirt.VIR_DOMAIN_START_PAUSED)
        streams.append(conn.newStream(libvirt.VIR_STREAM_NONBLOCK))
        domain.openConsole(None, streams[-1], 0)
        domain.destroy()
        until(lambda: streams[-1].recv(100) == b"", "the end of the stream")


def test_the_console_of_a_paused_machine_opens(create):
    Stream(create(devices=xml.CONSOLE)).close()


def test_a_unix_console(define, base, name):
    path = f"{base}/{name[:20]}.sock"
    domain = define(devices=f"<console type='unix'><source mode='bind' path='{path}'/><target type='virtio'/></console>")
    domain.createWithFlags(libvirt.VIR_DOMAIN_START_PAUSED)
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(path)
    domain.destroy()


def test_a_unix_console_through_the_stream(define, base, name, expected, refused):
    domain = define(devices=f"<console type='unix'><source mode='bind' path='{base}/{name[:20]}.sock'/><target type='virtio'/></console>")
    domain.createWithFlags(libvirt.VIR_DOMAIN_START_PAUSED)
    if expected("unix consoles are served"):
        Stream(domain, 0).close()
    else:
        refused(libvirt.VIR_ERR_INTERNAL_ERROR, Stream, domain, 0)


def test_a_file_console(define, base, name, refused, conn):
    path = base / f"{name}.log"
    domain = define(devices=f"<console type='file'><source path='{path}'/><target type='virtio'/></console>")
    domain.createWithFlags(libvirt.VIR_DOMAIN_START_PAUSED)
    assert path.exists()
    refused(libvirt.VIR_ERR_INTERNAL_ERROR, domain.openConsole, None, conn.newStream(), 0)


def test_start_and_create_with_console(uri, conn, tidy, name, file, guest_files, root_disk):
    text = xml.linux(name, guest_files(), root_disk())
    with Console(uri, None, shell=["create", str(file(text)), "--console"]) as console:
        console.connected().login()
        assert console.command("uname -s") == "Linux"
        console.leave()
    conn.lookupByName(name).destroy()
    conn.defineXML(text)
    with Console(uri, None, shell=["start", name, "--console"]) as console:
        console.connected().expect("Linux version|login:|EXT4", 60)
        console.leave()
