"""What a kernel that is booted with no firmware finds in memory: tables, its boot parameters, itself."""
import struct
import uuid

import pytest

from qtest import wait_for
from vmm import Refused

pytestmark = pytest.mark.ours("QEMU leaves this to firmware")

RSDP, SMBIOS, ZERO_PAGE = 0xE0000, 0xF0000, 0x7000


def table(test, address):
    size = test.read_value(address + 4, 4)
    data = test.read(address, size)
    assert sum(data) & 0xFF == 0, f"the checksum of {data[:4]}"
    return data


def tables(test):
    pointer = test.read(RSDP, 36)
    assert pointer[:8] == b"RSD PTR " and sum(pointer[:20]) & 0xFF == 0 and sum(pointer) & 0xFF == 0 and pointer[15] == 2
    root = table(test, struct.unpack_from("<Q", pointer, 24)[0])
    assert root[:4] == b"XSDT"
    return {data[:4]: data for data in (table(test, address) for address, in struct.iter_unpack("<Q", root[36:]))}


@pytest.mark.parametrize("ports", [0, 3])
def test_the_tables(start, ports):
    test = start(*(word for n in range(1, ports + 1) for word in ("-device", f"pcie-root-port,id=pci.{n},port={n},chassis={n},bus=pcie.0,addr={n}"))).test
    found = tables(test)
    assert set(found) == {b"FACP", b"APIC", b"MCFG", b"SSDT"}
    fadt = found[b"FACP"]
    facs, dsdt = struct.unpack_from("<II", fadt, 36)
    assert test.read(facs, 4) == b"FACS" and facs % 64 == 0
    assert table(test, dsdt)[:4] == b"DSDT" and struct.unpack_from("<Q", fadt, 140)[0] == dsdt
    assert struct.unpack_from("<H", fadt, 46)[0] == 9, "the SCI"
    assert struct.unpack_from("<I", fadt, 56)[0] == 0x600 and struct.unpack_from("<I", fadt, 64)[0] == 0x604 and struct.unpack_from("<I", fadt, 76)[0] == 0x608
    assert fadt[116:128] == bytes([1, 8, 0, 1]) + struct.pack("<Q", 0xCF9) and fadt[128] == 6, "the reset register"
    base, segment, first, last = struct.unpack_from("<QHBB", found[b"MCFG"], 44)
    assert (base, segment, first, last) == (0xB000_0000, 0, 0, ports), "a bus behind each port, and no more to look for"
    assert found[b"SSDT"][36:] == b"\x08LBUS\x0a" + bytes([ports])


@pytest.mark.parametrize("cpus, topology, ids", [(1, "", [0]), (4, ",sockets=1,cores=4,threads=1", [0, 1, 2, 3]),
                                                 (6, ",sockets=2,cores=3,threads=1", [0, 1, 2, 4, 5, 6]), (254, "", None)])
def test_processors(start, cpus, topology, ids):
    madt = tables(start("-smp", f"{cpus}{topology}").test)[b"APIC"]
    at, found, wired, controllers = 44, [], {}, []
    while at < len(madt):
        kind, length = madt[at], madt[at + 1]
        assert length >= 2
        if kind == 0:
            found.append((madt[at + 3], struct.unpack_from("<I", madt, at + 4)[0] & 1))
        elif kind == 9:
            found.append((struct.unpack_from("<I", madt, at + 4)[0], struct.unpack_from("<I", madt, at + 8)[0] & 1))
        elif kind == 1:
            controllers.append(struct.unpack_from("<II", madt, at + 4))
        elif kind == 2:
            wired[madt[at + 3]] = struct.unpack_from("<IH", madt, at + 4)
        at += length
    assert len(found) == cpus and all(enabled for _, enabled in found) and len({id for id, _ in found}) == cpus
    if ids:
        assert [id for id, _ in found] == ids
    assert controllers == [(0xFEC0_0000, 0)]
    assert wired[0] == (2, 0) and wired[9] == (9, 0xD)


def strings(data, at):
    """A structure, its strings, and where the next begins."""
    length = data[at + 1]
    end = data.index(b"\0\0", at + length)
    return data[at:at + length], [text.decode() for text in data[at + length:end].split(b"\0") if text], end + 2


def smbios(test):
    entry = test.read(SMBIOS, 24)
    assert entry[:5] == b"_SM3_" and sum(entry) & 0xFF == 0
    size, address = struct.unpack_from("<IQ", entry, 12)
    data, at, found = test.read(address, size), 0, {}
    while at < len(data):
        fixed, texts, at = strings(data, at)
        found[fixed[0]] = fixed, texts
    assert 127 in found
    return found


def test_the_machine_is_named(start):
    found = smbios(start().test)
    assert found[0][1][0] == "StratoVirt" and found[1][1][:2] == ["StratoVirt", "StratoVirt"]
    assert found[1][0][8:24] == bytes(16), "it has no uuid"


UUID = "11220000-aabb-ccdd-eeff-001122334455"


def test_its_uuid(start):
    system = smbios(start("-uuid", UUID).test)[1][0]
    assert uuid.UUID(bytes_le=bytes(system[8:24])) == uuid.UUID(UUID)


def test_what_the_command_line_says_of_it(start):
    found = smbios(start("-smbios", "type=0,vendor=V,version=B,date=02/03/2024", "-smbios",
                         f"type=1,manufacturer=M,,Co,product=P,version=1,serial=S,uuid={UUID},sku=K,family=F", "-smbios",
                         "type=3,manufacturer=C,version=2,serial=T,asset=A,sku=Q").test)
    assert found[0][1] == ["V", "B", "02/03/2024"]
    assert found[1][1] == ["M,Co", "P", "1", "S", "K", "F"]
    assert uuid.UUID(bytes_le=bytes(found[1][0][8:24])) == uuid.UUID(UUID)
    assert found[3][1] == ["C", "2", "T", "A", "Q"]


def test_its_parts_are_named(start):
    plain = smbios(start("-smp", "2,sockets=1,cores=2").test)
    assert 2 not in plain and plain[4][1] == ["CPU 0", "StratoVirt"] and plain[17][1] == ["DIMM 0", "StratoVirt"]
    found = smbios(start("-smp", "12,sockets=2,cores=3,threads=2", "-smbios", "type=0,release=4.5", "-smbios",
                         "type=2,manufacturer=B,product=P,version=1,serial=S,asset=A,location=L", "-smbios",
                         "type=4,sock_pfx=Socket,manufacturer=C,version=2,serial=T,asset=D,part=E,max-speed=3000,current-speed=2500", "-smbios",
                         "type=17,loc_pfx=Slot,bank=F,manufacturer=G,serial=U,asset=H,part=I,speed=3200", memory=3072).test)
    assert tuple(found[0][0][0x14:0x16]) == (4, 5)
    assert found[2][1] == ["B", "P", "1", "S", "A", "L"]
    assert found[4][1] == ["Socket1", "C", "2", "T", "D", "E"], "the last of two"
    assert struct.unpack_from("<HH", found[4][0], 0x14) == (3000, 2500) and tuple(found[4][0][0x23:0x26]) == (3, 3, 6)
    assert found[17][1] == ["Slot 0", "F", "G", "U", "H", "I"]
    assert struct.unpack_from("<HHH", found[17][0], 4)[0] == struct.unpack_from("<H", found[16][0], 2)[0]
    assert struct.unpack_from("<H", found[17][0], 0x0C)[0] == 3072 and struct.unpack_from("<H", found[17][0], 0x15)[0] == 3200
    assert struct.unpack_from("<II", found[19][0], 4) == (4 << 20, (5 << 20) - 1), "what is above 4 GiB, in KiB"


def bzimage(code=b"\x90" * 4096, init_size=0x100000, flags=1, version=0x20F):
    """The least that is one: a setup sector and a 64-bit entry."""
    image = bytearray(1024) + code
    image[0x1F1] = 1
    image[0x1F4:0x1F8] = struct.pack("<I", len(code) // 16)
    image[0x1FE:0x200] = b"\x55\xaa"
    image[0x200:0x202] = b"\xeb\x6a"
    image[0x202:0x206] = b"HdrS"
    image[0x206:0x208] = struct.pack("<H", version)
    image[0x211] = flags
    image[0x214:0x218] = struct.pack("<I", 0x100000)
    image[0x22C:0x230] = struct.pack("<I", 0x7FFFFFFF)
    image[0x230:0x234] = struct.pack("<I", 0x200000)
    image[0x234] = 1
    image[0x236:0x238] = struct.pack("<H", 1)
    image[0x238:0x23C] = struct.pack("<I", 2047)
    image[0x258:0x260] = struct.pack("<Q", 0x100_0000)
    image[0x260:0x264] = struct.pack("<I", init_size)
    return bytes(image)


def test_a_kernel_its_initrd_and_its_line(start, tmp_path):
    code = bytes(i * 13 & 0xFF for i in range(8192))
    (tmp_path / "kernel").write_bytes(bzimage(code))
    (tmp_path / "initrd").write_bytes(b"initrd!!" * 1000)
    line = "console=hvc0 root=/dev/vda rw quiet, with a comma"
    test = start("-kernel", tmp_path / "kernel", "-initrd", tmp_path / "initrd", "-append", line).test
    page = test.read(ZERO_PAGE, 4096)
    assert page[0x202:0x206] == b"HdrS" and page[0x210] not in (0,), "the header, and who loaded it"
    at = struct.unpack_from("<I", page, 0x228)[0]
    assert test.read(at, len(line) + 1) == line.encode() + b"\0"
    initrd, size = struct.unpack_from("<II", page, 0x218)
    assert size == 8000 and test.read(initrd, size) == b"initrd!!" * 1000 and initrd % 4096 == 0
    assert struct.unpack_from("<Q", page, 0x70)[0] == RSDP
    assert code in test.read(0x10_0000, 0x10_0000) or code in test.read(0x100_0000, 0x10_0000)


def test_the_map_of_memory(start, tmp_path):
    (tmp_path / "kernel").write_bytes(bzimage())
    test = start("-kernel", tmp_path / "kernel", memory=3072).test
    page = test.read(ZERO_PAGE, 4096)
    ranges = [struct.unpack_from("<QQI", page, 0x2D0 + 20 * i) for i in range(page[0x1E8])]
    ram = [(begin, begin + size) for begin, size, kind in ranges if kind == 1]
    assert ram[0][0] == 0 and (0x10_0000, 0x8000_0000) in ram and (1 << 32, (1 << 32) + (1 << 30)) in ram
    assert ranges == sorted(ranges) and all(a[0] + a[1] <= b[0] for a, b in zip(ranges, ranges[1:]))
    assert any(begin <= 0xB000_0000 and begin + size >= 0xC000_0000 and kind == 2 for begin, size, kind in ranges), "configuration space is reserved"
    assert not any(begin <= RSDP < end for begin, end in ram)


def test_a_reset_boots_it_again(start, tmp_path):
    (tmp_path / "kernel").write_bytes(bzimage())
    machine = start("-kernel", tmp_path / "kernel", "-append", "first")
    before = machine.test.read(ZERO_PAGE, 4096), tables(machine.test), smbios(machine.test)
    machine.test.memset(ZERO_PAGE, 4096, 0xEE)
    machine.test.memset(RSDP, 0x20000, 0xEE)
    machine.test.outb(0xCF9, 6)
    wait_for(lambda: machine.test.read_value(ZERO_PAGE, 8) != 0xEEEEEEEE_EEEEEEEE, "the boot parameters")
    wait_for(lambda: machine.test.read(SMBIOS, 4) == b"_SM3", "the tables")
    assert (machine.test.read(ZERO_PAGE, 4096), tables(machine.test), smbios(machine.test)) == before


def test_a_kernel_whose_name_is_gone_boots_again(start, tmp_path):
    """What is booted stays the file it was, whatever becomes of its name: a package's update, say."""
    code = bytes(i * 13 & 0xFF for i in range(8192))
    (tmp_path / "kernel").write_bytes(bzimage(code))
    machine = start("-kernel", tmp_path / "kernel")
    place = 0x10_0000 if code in machine.test.read(0x10_0000, 0x10_0000) else 0x100_0000
    (tmp_path / "kernel").unlink()
    machine.test.memset(place, 0x10_0000, 0)
    machine.test.outb(0xCF9, 6)
    machine.qmp.event("RESET")
    assert code in machine.test.read(place, 0x10_0000)
    assert machine.qmp.ask("query-status")["running"]


def test_a_kernel_that_is_no_more_stops_the_machine(start, tmp_path):
    """Not the program: what has been cut comes back, and so does the machine."""
    whole = bzimage()
    (tmp_path / "kernel").write_bytes(whole)
    machine = start("-kernel", tmp_path / "kernel")
    for cut in (whole[:2000], whole[:100], b""):
        (tmp_path / "kernel").write_bytes(cut)  # the same file
        machine.test.outb(0xCF9, 2)
        machine.test.outb(0xCF9, 6)
        machine.qmp.event("RESET")
        machine.qmp.event("STOP")
        assert machine.qmp.ask("query-status") == {"status": "internal-error", "running": False, "singlestep": False}
        assert f"'{tmp_path}/kernel'" in machine.said().splitlines()[-1]
        with pytest.raises(Refused, match="Reset"):
            machine.qmp.ask("cont")
        machine.qmp.ask("system_reset")  # still cut
        machine.qmp.event("RESET")
        assert machine.qmp.ask("query-status")["status"] == "internal-error"
        (tmp_path / "kernel").write_bytes(whole)
        machine.test.memset(ZERO_PAGE, 4096, 0xEE)
        machine.qmp.ask("system_reset")
        machine.qmp.event("RESET")
        machine.qmp.ask("cont")
        assert machine.test.read(ZERO_PAGE + 0x202, 4) == b"HdrS"


def test_a_kernel_that_somebody_writes_over_is_the_next(start, tmp_path):
    (tmp_path / "kernel").write_bytes(bzimage(b"A" * 4096))
    machine = start("-kernel", tmp_path / "kernel")
    assert machine.test.read(0x100_0000, 4) == b"AAAA"
    (tmp_path / "kernel").write_bytes(bzimage(b"B" * 8192))
    machine.qmp.ask("system_reset")
    machine.qmp.event("RESET")
    assert machine.test.read(0x100_0000, 8192) == b"B" * 8192


def test_a_kernel_by_its_descriptor(start, tmp_path):
    (tmp_path / "kernel").write_bytes(bzimage())
    with open(tmp_path / "kernel", "rb") as kernel:
        machine = start("-kernel", f"/dev/fd/{kernel.fileno()}", descriptors=[kernel.fileno()])
        assert machine.test.read(ZERO_PAGE + 0x202, 4) == b"HdrS"
