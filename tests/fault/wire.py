"""libvirt's packets as bytes, and what a stock client says, overheard: the stuff of clients that speak wrongly."""

import contextlib
import pathlib
import select
import socket
import struct
import subprocess
import threading

HEADER = struct.Struct(">IIIiIIi")  # length, program, version, procedure, kind, serial, status
FIELDS = ("length", "program", "version", "procedure", "kind", "serial", "status")
PROGRAM = 0x20008086


def packet(procedure, payload=b"", *, program=PROGRAM, version=1, kind=0, serial=1, status=0, length=None):
    return HEADER.pack(HEADER.size + len(payload) if length is None else length, program, version, procedure, kind, serial, status) + payload


def text(value):
    data = value.encode()
    return struct.pack(">I", len(data)) + data + bytes(-len(data) % 4)


def connect(path, seconds=20):
    client = socket.socket(socket.AF_UNIX)
    client.connect(str(path))  # waits for its turn, however long the queue
    client.settimeout(seconds)
    return client


def receive(client):
    """One whole packet; nothing at the end of the connection."""
    head = client.recv(4, socket.MSG_WAITALL)
    if len(head) < 4:
        return b""
    return head + client.recv(struct.unpack(">I", head)[0] - 4, socket.MSG_WAITALL)


def opened(path):
    """A connection that has said what it wants to talk to."""
    client = connect(path)
    for call in (packet(66), packet(1, struct.pack(">I", 1) + text("stratovirt:///system") + struct.pack(">I", 0), serial=2)):
        client.sendall(call)
        assert HEADER.unpack(receive(client)[: HEADER.size])[6] == 0
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
