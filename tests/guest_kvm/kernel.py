"""The kernel inside a bzImage."""
import struct
import subprocess

UNPACKERS = {b"\x1f\x8b": "gzip", b"\xfd7zXZ": "xz", b"\x28\xb5\x2f\xfd": "zstd", b"\x02\x21\x4c\x18": "lz4"}


def unpack(image, target):
    """Writes the ELF file (Linux, arch/x86/boot: setup_sects, payload_offset, payload_length)."""
    data = image.read_bytes()
    offset, length = struct.unpack_from("<II", data, 0x248)
    begin = (data[0x1F1] + 1) * 512 + offset
    payload = data[begin : begin + length - 4]  # its last word is the size unpacked
    program = next(name for magic, name in UNPACKERS.items() if payload.startswith(magic))
    with open(target, "wb") as out:
        subprocess.run([program, "-dc"], input=payload, stdout=out, check=True)
    assert target.read_bytes()[:4] == b"\x7fELF"
