"""Where a guest's memory comes from: -mem-path, -mem-prealloc, shared memory."""
import os
import pathlib
import re
import subprocess

import pytest

MIB = 1 << 20


def resident(machine):
    """Bytes of all mappings, by smaps' words."""
    text = pathlib.Path(f"/proc/{machine.process.pid}/smaps_rollup").read_text()
    return {name: int(kib) * 1024 for name, kib in re.findall(r"(\w+):\s+(\d+) kB", text)}


def works(machine):
    for address in (0x1000, 64 * MIB + 5, 128 * MIB - 8):
        machine.test.write(address, b"memory")
        assert machine.test.read(address, 6) == b"memory"


@pytest.mark.ours("QEMU takes up more by itself")
def test_memory_is_there_when_it_is_touched(start):
    machine = start()
    works(machine)
    assert resident(machine)["Rss"] < 32 * MIB


def test_all_of_it_at_once(start):
    machine = start("-mem-prealloc")
    works(machine)
    assert resident(machine)["Rss"] > 128 * MIB


@pytest.mark.parametrize("more", [(), ("-mem-prealloc",)], ids=["lazy", "prealloc"])
def test_a_file_in_a_folder(start, tmp_path, more):
    machine = start("-mem-path", tmp_path, *more)
    works(machine)
    maps = pathlib.Path(f"/proc/{machine.process.pid}/maps").read_text()
    assert f"{tmp_path}/" in maps and not list(tmp_path.iterdir()), "without a name"


@pytest.mark.parametrize("size", [0, 128 * MIB, 128 * MIB + 5000])
def test_a_file_is_not_cut(start, tmp_path, size):
    path = tmp_path / "memory"
    path.write_bytes(b"kept".ljust(size, b"\1") if size else b"")
    machine = start("-mem-path", path)
    works(machine)
    assert str(path) in pathlib.Path(f"/proc/{machine.process.pid}/maps").read_text()
    assert path.stat().st_size == max(size, 128 * MIB)
    machine.quit()
    if size:
        with path.open("rb") as file:
            assert file.read(5) == b"kept\1", "a machine's memory is its own, unless it is shared"


@pytest.mark.ours("in its own words")
@pytest.mark.parametrize("path, why", [("/dev/zero", "not a regular file"), ("/dev/null", "not a regular file"), ("{dir}/fifo", "not a regular file"),
                                       ("{dir}/short", "a file of 5000 bytes, allowed for a memory of 134217728: an empty one")])
def test_what_cannot_be_memory_stays_as_it_is(program, tmp_path, path, why):
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "short").write_bytes(bytes(5000))
    path = path.format(dir=tmp_path)
    before = os.stat(path)
    done = subprocess.run([program, "-machine", "q35", "-m", "128", "-accel", "qtest", "-qtest", f"unix:{tmp_path}/t", "-mem-path", path],
                          capture_output=True, text=True, timeout=20)
    assert done.returncode == 1 and done.stderr.startswith(f"stratovirt: '{path}' is ") and why in done.stderr
    after = os.stat(path)
    assert (before.st_mode, before.st_ino, before.st_size, before.st_rdev) == (after.st_mode, after.st_ino, after.st_size, after.st_rdev)


@pytest.mark.ours("QEMU's word for it is another")
def test_memory_that_others_can_map(start):
    machine = start("-machine", "q35,mem-share=on")
    works(machine)
    maps = pathlib.Path(f"/proc/{machine.process.pid}/maps").read_text()
    assert re.search(r"rw-s .*memfd:guest-memory", maps)


@pytest.mark.ours("QEMU's word for it is another")
def test_memory_out_of_a_core_dump(start):
    def flags(machine):
        text = pathlib.Path(f"/proc/{machine.process.pid}/smaps").read_text()
        ram = next(part for part in re.split(r"(?m)^(?=[0-9a-f]+-[0-9a-f]+ )", text) if re.search(rf"Size:\s+{128 * 1024} kB", part))
        return re.search("VmFlags: (.*)", ram)[1].split()

    assert "dd" in flags(start("-machine", "q35,dump-guest-core=off"))
    assert "dd" not in flags(start())
