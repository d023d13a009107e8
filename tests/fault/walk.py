"""Calls every procedure there is, by number, and prints what each is answered: {number: [[code, message], …]}, code 0 for success.

    walk.py SOCKET PROGRAM LAST NAME UUID

Run as whoever is to be refused. Each is called with nothing, with a domain and zeros, with a domain and ones.
"""

import json
import struct
import sys

import wire

PROGRAM, LAST = int(sys.argv[2], 0), int(sys.argv[3])


def answer(client):
    """Events and streams come between."""
    while True:
        said = wire.receive(client)
        if not said:
            return [-1, "closed"]
        _, _, _, _, kind, serial, status = wire.HEADER.unpack(said[: wire.HEADER.size])
        if kind == 1 and serial == 7:
            break
    if status == 0:
        return [0, ""]
    code, _, has_message = struct.unpack(">iII", said[28:40])
    length = struct.unpack(">I", said[40:44])[0] if has_message else 0
    return [code, said[44 : 44 + length].decode(errors="replace")]


domain = wire.text(sys.argv[4]) + bytes.fromhex(sys.argv[5].replace("-", "")) + struct.pack(">i", -1)
answers = {}
for number in range(1, LAST + 3):
    answers[number] = []
    for payload in (b"", domain + bytes(64), domain + b"\0\0\0\1" * 16):
        with wire.opened(sys.argv[1]) as client:
            client.sendall(wire.packet(number, payload, program=PROGRAM, serial=7))
            answers[number].append(answer(client))
print(json.dumps(answers))
