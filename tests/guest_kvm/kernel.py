"""Kernels: the one inside a bzImage, and bzImages of a few instructions."""
import pathlib
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


def build_bare(scenario, target):
    """Makes a scenario of bare.c a bzImage (Documentation/arch/x86/boot.rst): a sector of boot code, one of set-up with the header, the program
    at 1 MiB and more, entered in 64 bits 512 bytes in."""
    entry, load = 0x200, 0x100_0000
    elf = target.with_suffix(".elf")
    flags = "-O1 -ffreestanding -fno-stack-protector -fno-pic -fno-pie -mno-sse -mno-red-zone -fno-asynchronous-unwind-tables -nostdlib -static"
    link = f"-Wl,-Ttext={load + entry:#x},--build-id=none,-e,0"
    source = pathlib.Path(__file__).with_name("bare.c")
    subprocess.run(["clang-19", *flags.split(), f"-DSCENARIO={scenario}", link, source, "-o", elf], check=True)
    flat = target.with_suffix(".bin")
    subprocess.run(["objcopy", "-O", "binary", elf, flat], check=True)
    program = bytes(entry) + flat.read_bytes()
    program += bytes(-len(program) % 4096)
    setup = bytearray(2 * 512)
    for offset, format, value in (
        (0x1F1, "<B", 1), (0x1F4, "<I", len(program) // 16), (0x1FE, "<H", 0xAA55), (0x200, "<H", 0x6AEB), (0x202, "4s", b"HdrS"),
        (0x206, "<H", 0x20F), (0x211, "<B", 1), (0x214, "<I", 0x100000), (0x22C, "<I", 0x7FFFFFFF), (0x230, "<I", 0x200000),
        (0x234, "<B", 1), (0x236, "<H", 1), (0x238, "<I", 2047), (0x258, "<Q", load), (0x260, "<I", 0x100000),
    ):  # fmt: skip
        struct.pack_into(format, setup, offset, value)
    target.write_bytes(setup + program)
