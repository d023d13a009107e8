"""libvirt's packets, for calls that no stock client makes. Arguments are words, as in src/driver/protocol/absent.h."""

import re
import socket
import struct

HEADER = struct.Struct(">IIIiIIi")  # length, program, version, procedure, kind, serial, status
REMOTE = 0x20008086
CALL, REPLY = 0, 1
UUID = bytes.fromhex("11111111222233334444555555555555")
NAME = "absent"  # of what is asked for
SECONDS = 30


def word(number):
    return struct.pack(">I", number & 0xFFFFFFFF)


def text(value):
    data = value.encode()
    return word(len(data)) + data + bytes(-len(data) % 4)


def domain(name, uuid, id):
    return text(name) + uuid + word(id)


VALUES = {
    "o": word(0), "o16": UUID, "flags": word(0), "i4": word(1), "u4": word(1), "i8": bytes(7) + b"\1", "u8": bytes(7) + b"\1",
    "network": text(NAME) + UUID, "pool": text(NAME) + UUID, "filter": text(NAME) + UUID, "port": text(NAME) + UUID + UUID,
    "volume": text(NAME) * 3, "interface": text(NAME) * 2, "binding": text(NAME) * 2, "device": text(NAME), "secret": UUID + word(0) + text(NAME),
}  # fmt: skip


def arguments(words, subject, name=NAME, disk=NAME):
    """The words as bytes, `subject` being the domain of the call: numbers are one, flags zero, arrays empty, pointers null."""
    parts = []
    for one in re.findall(r"\[[^]]*\]|\S+", words):
        if one[0] in "[?":
            parts.append(word(0))
        elif one == "domain":
            parts.append(subject)
        elif one in ("snapshot", "checkpoint"):
            parts.append(text(NAME) + subject)
        elif one == "s":
            parts.append(text(name))
        elif one.startswith("disk"):
            parts.append(text(disk))
        elif one in VALUES:
            parts.append(VALUES[one])
        else:  # "network.uuid": what one is looked up by
            parts.append(UUID if one.endswith(".uuid") else text(NAME))
    return b"".join(parts)


class Connection:
    """One client, which opens the driver, by its URI or by none, and then sends what it is told."""

    def __init__(self, path, uri, readonly=False):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(SECONDS)
        self.socket.connect(str(path))
        self.serial = 0
        for procedure, payload in ((66, b""), (1, (word(0) if uri is None else word(1) + text(uri)) + word(readonly))):
            answer = self.ask(procedure, payload)
            assert answer.startswith("ok"), answer

    def close(self):
        self.socket.close()

    def ask(self, procedure, payload, program=REMOTE, version=1, kind=CALL):
        """"ok" and the result in hexadecimal, or the error: "code/domain message"; "closed" when the daemon hangs up."""
        self.serial += 1
        self.socket.sendall(HEADER.pack(HEADER.size + len(payload), program, version, procedure, kind, self.serial, 0) + payload)
        while True:
            head = self.socket.recv(4, socket.MSG_WAITALL)
            if len(head) < 4:
                return "closed"
            packet = head + self.socket.recv(struct.unpack(">I", head)[0] - 4, socket.MSG_WAITALL)
            *_, kind_, serial, status = HEADER.unpack_from(packet)
            if kind_ == REPLY and serial == self.serial:
                return answered(status, packet[HEADER.size :])


def answered(status, payload):
    if status == 0:
        return f"ok {payload.hex()}".strip()
    code, domain_, present = struct.unpack_from(">iiI", payload)
    length = struct.unpack_from(">I", payload, 12)[0] if present else 0
    return f"{code}/{domain_} {payload[16 : 16 + length].decode()}".strip()
