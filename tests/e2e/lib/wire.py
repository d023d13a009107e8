"""libvirt's packets as bytes, and what a stock client says, overheard: the stuff of clients that speak in their own way, or wrongly."""

import contextlib
import dataclasses
import pathlib
import select
import socket
import struct
import subprocess
import threading

HEADER = struct.Struct(">IIIiIIi")  # length, program, version, procedure, kind, serial, status
FIELDS = ("length", "program", "version", "procedure", "kind", "serial", "status")
PROGRAM, QEMU, KEEPALIVE = 0x20008086, 0x20008087, 0x6B656570
CALL, REPLY, MESSAGE, STREAM, CALL_WITH_FDS, REPLY_WITH_FDS, HOLE = range(7)
OK, ERROR, CONTINUE = range(3)
OPEN, CLOSE, GET_HOSTNAME, AUTH_LIST = 1, 2, 59, 66


def packet(procedure, payload=b"", *, program=PROGRAM, version=1, kind=0, serial=1, status=0, length=None):
    return HEADER.pack(HEADER.size + len(payload) if length is None else length, program, version, procedure, kind, serial, status) + payload


def number(value):
    return struct.pack(">I", value & 0xFFFFFFFF)


def text(value, padding=bytes(3)):
    data = value if isinstance(value, bytes) else value.encode()
    return number(len(data)) + data + padding[: -len(data) % 4]


def domain(subject):
    """How calls name a domain."""
    return text(subject.name()) + subject.UUID() + number(subject.ID())


def opening(uri):
    return packet(OPEN, number(1) + text(uri) + number(0), serial=2)


def connect(path, seconds=20):
    client = socket.socket(socket.AF_UNIX)
    client.connect(str(path))  # waits for its turn, however long the queue
    client.settimeout(seconds)
    return client


def receive(client):
    """One whole packet; nothing at the end of the connection."""
    said = bytearray()
    while len(said) < 4 or len(said) < struct.unpack(">I", said[:4])[0]:
        length = struct.unpack(">I", said[:4])[0] if len(said) >= 4 else 4
        part = client.recv(length - len(said))
        if not part:
            return b""
        said += part
    return bytes(said)


@dataclasses.dataclass(frozen=True)
class Answer:
    """A packet of the daemon's; one with an error has its code, domain and message as `error`."""

    program: int
    version: int
    procedure: int
    kind: int
    serial: int
    status: int
    payload: bytes = dataclasses.field(repr=False)
    error: tuple | None


def answer(client, seconds=20):
    """The next packet; None at the end of the connection. TimeoutError where none comes."""
    client.settimeout(seconds)
    try:
        said = receive(client)
    except ConnectionError:
        said = b""
    if not said:
        return None
    _, *header = HEADER.unpack(said[: HEADER.size])
    payload = said[HEADER.size :]
    error = None
    if header[-1] == ERROR:
        code, domain, present, length = struct.unpack(">iiII", payload[:16])
        error = code, domain, payload[16 : 16 + length].decode(errors="replace") if present else None
    return Answer(*header, payload, error)


def call(client, said, seconds=20):
    client.sendall(said)
    return answer(client, seconds)


def opened(path, uri="stratovirt:///system"):
    """A connection that has said what it wants to talk to."""
    client = connect(path)
    for said in (packet(AUTH_LIST), opening(uri)):
        assert call(client, said).status == OK
    return client


def packets(stream):
    """The whole packets of a stream of bytes."""
    found = []
    while len(stream) >= 4 and len(stream) >= (length := struct.unpack(">I", stream[:4])[0]) >= HEADER.size:
        found.append(stream[:length])
        stream = stream[length:]
    return found


def overheard(path, folder, *words, seconds=5):
    """What virsh sends to the daemon at `path` for a command, as packets."""
    middle = pathlib.Path(folder) / "overheard"
    middle.unlink(missing_ok=True)
    said = bytearray()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(middle))
        listener.listen(1)

        def relay():
            with listener.accept()[0] as client, connect(path) as daemon:
                while True:
                    for ready in select.select([client, daemon], [], [])[0]:
                        part = ready.recv(65536)
                        if not part:
                            return
                        (daemon if ready is client else client).sendall(part)
                        if ready is client:
                            said.extend(part)

        thread = threading.Thread(target=relay, daemon=True)
        thread.start()
        with contextlib.suppress(subprocess.TimeoutExpired):
            subprocess.run(["virsh", "-c", f"stratovirt+unix:///system?socket={middle}", *words], stdin=subprocess.DEVNULL, capture_output=True, timeout=seconds)
        thread.join(10)
    middle.unlink()
    return packets(bytes(said))
