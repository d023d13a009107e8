"""What a guest does with its disks while it runs."""
import subprocess

import pytest

from machine import Machine, Refused

MIB = 1 << 20
KINDS = {
    "direct": "direct=true",
    "cached": "direct=false",
    "synchronous": "direct=true,aio=off",
    "discarding": "direct=false,discard=unmap,detect-zeroes=unmap",
}
LIMIT = 50  # operations a second: fewer than the box can do


@pytest.fixture(scope="module")
def guest(host):
    """Disks of all kinds behind root ports, each with an empty file system, on one thread of their own and on another's."""
    options = ["-object", "iothread,id=io1", "-object", "iothread,id=io2"]
    kinds = KINDS | {"stopped": "direct=true", "limited": f"direct=true,throttling.iops-total={LIMIT}"}
    for n, (name, how) in enumerate(kinds.items(), 2):
        host.run(f"truncate -s 48M /data/{name}; /usr/bin/mke2fs -q -t ext4 /data/{name}")
        options += ["-drive", f"id={name},if=none,format=raw,file=/data/{name},{how}"]
        options += ["-device", f"virtio-blk-pci,id=disk{n},drive={name},bus=pci.{n},addr=0x0,serial={name},iothread=io{n % 2 + 1}"]
    host.run("truncate -s 16M /data/plugged; /usr/bin/mke2fs -q -t ext4 /data/plugged")
    options += ["-drive", "id=plugged,if=none,format=raw,file=/data/plugged"]
    machine = Machine(host, *options, cpus=2, memory="512M")
    machine.devices = {name: f"/dev/vd{chr(ord('a') + n)}" for n, name in enumerate([*kinds, "plugged"], 1)}
    yield machine.log_in()
    machine.kill()


@pytest.fixture
def check(host, tmp_path, files):
    """check(image, {name: (bytes, operations, seed)}): the file system in the box's file is clean, and its files are those that
    `exerciser write` has written."""

    def look(image, written):
        disk = tmp_path / "disk"
        disk.write_bytes(host.get(image))
        found = subprocess.run(["/usr/sbin/e2fsck", "-fn", disk], capture_output=True, text=True)
        assert found.returncode == 0, found.stdout
        for name, values in written.items():
            subprocess.run(["/usr/sbin/debugfs", "-R", f"dump /{name} {tmp_path}/{name}", disk], check=True, capture_output=True)
            assert (tmp_path / name).stat().st_size == values[0]
            same = subprocess.run([files / "exerciser", "check", tmp_path / name, *map(str, values)], capture_output=True, text=True)
            assert same.returncode == 0, same.stderr

    return look


@pytest.mark.parametrize("name", KINDS)
def test_a_file_system_under_random_writes(guest, check, name):
    device = guest.devices[name]
    assert guest.run(f"cat /sys/block/{device[5:]}/serial") == name
    mount = f"mount -t ext4 {'-o discard ' if name == 'discarding' else ''}{device} /mnt"
    written = {f"file{seed}": (8 * MIB, 500, seed) for seed in (1, 2)}
    words = {file: f"/mnt/{file} {size} {operations} {seed}" for file, (size, operations, seed) in written.items()}
    guest.run(mount)
    guest.run(f"exerciser write {words['file1']} & exerciser write {words['file2']} && wait $!")
    guest.run(f"rm /mnt/file1 && exerciser write {words['file1']}")  # over what was freed
    guest.run(f"umount /mnt && {mount} && exerciser check {words['file1']} && exerciser check {words['file2']} && umount /mnt")
    check(f"/data/{name}", written)


def test_stopped_again_and_again_amid_writes(guest, check):
    device, values = guest.devices["stopped"], (8 * MIB, 600, 9)
    guest.run(f"mount -t ext4 {device} /mnt")
    guest.console.send(f"exerciser write /mnt/file {' '.join(map(str, values))}; echo =$?=\n")
    while not guest.console.more(0.05):
        guest.qmp.ask("stop")
        guest.qmp.ask("cont")
    guest.console.wait("=0=\r\n")
    guest.qmp.ask("query-status")  # its answer comes behind the last event
    stops = [event["event"] for event in guest.qmp.events]
    assert stops.count("STOP") == stops.count("RESUME") > 5
    guest.run("umount /mnt")
    check("/data/stopped", {"file": values})


def test_operations_a_second_are_limited(guest):
    seconds = 10
    operations, nanoseconds = map(int, guest.run(f"exerciser rate {guest.devices['limited']} {seconds} 4").split())
    assert nanoseconds == seconds * 10**9
    assert 0.95 < operations / (LIMIT * seconds) < 1.05
    done = {one["device"]: one["stats"] for one in guest.qmp.ask("query-blockstats")}["limited"]
    assert done["rd_operations"] + done["wr_operations"] >= operations and done["wr_operations"] > operations / 5


def test_plugged_while_it_runs_written_and_taken_out(guest, check):
    name = guest.devices["plugged"][5:]
    node = {"node-name": "plugged", "driver": "raw", "read-only": False, "cache": {"direct": False, "no-flush": False},
            "file": {"driver": "file", "filename": "/data/plugged"}}  # fmt: skip
    for seed in (5, 6):  # the port can be used again, and the drive made again of a file that the program was started with
        guest.qmp.ask("device_add", driver="virtio-blk-pci", id="disk", drive="plugged", bus="pci.8", addr="0x0", serial="plugged")
        guest.run(f"until [ -b /dev/{name} ]; do sleep 0.1; done")
        assert guest.run(f"cat /sys/block/{name}/serial") == "plugged"
        guest.run(f"mount -t ext4 /dev/{name} /mnt && exerciser write /mnt/file{seed} {4 * MIB} 200 {seed} && umount /mnt")
        with pytest.raises(Refused, match="plugged"):
            guest.qmp.ask("blockdev-del", **{"node-name": "plugged"})
        guest.qmp.ask("device_del", id="disk")
        assert guest.qmp.event("DEVICE_DELETED")["device"] == "disk"
        guest.run(f"[ ! -e /dev/{name} ]")
        guest.qmp.ask("blockdev-del", **{"node-name": "plugged"})
        guest.qmp.ask("blockdev-add", **node)
    check("/data/plugged", {f"file{seed}": (4 * MIB, 200, seed) for seed in (5, 6)})
