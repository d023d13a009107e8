"""Nothing is lost that a guest's fsync has promised when the host loses its power.

To kill the monitor would prove nothing: the host's page cache survives it. So the host's own disks are on a log of writes and
flushes. Again and again, at moments of no choosing, the whole host is stopped; what its disks would hold had the power gone then
is put together from the logs, where the cache of a disk is forgotten since its last flush, all of it or some sectors here and
there. The guest says what was promised to it, and by another way than a disk."""
import random
import re
import shutil
import signal
import subprocess
import time

import pytest

from machine import PATIENCE, Machine
from write_log import LoggedDisk, Torn, recover

MOMENTS = 12
DISK = 96 << 20
# How the guest's disk is kept on the host: FOLDER in the guest, a file or the device, the options of its drive.
WAYS = {
    "a_file_through_the_page_cache": ("/mnt/a", "file", "direct=false"),
    "a_device_past_the_page_cache": ("/mnt/b", "device", "direct=true"),
    "a_device_with_no_threads_but_the_loop": ("/mnt/c", "device", "direct=false,aio=off"),
    "no_flush": ("/mnt/d", "device", "cache=unsafe"),
}


@pytest.fixture(scope="module")
def moments(new_host, tmp_path_factory):
    """Of each moment the records promised and the log of each way; the guest worked while the power was there."""
    folder = tmp_path_factory.mktemp("power")
    disks = {way: LoggedDisk(folder, f"disk{n}", DISK, kind == "device") for n, (way, (_, kind, _)) in enumerate(WAYS.items())}
    seen = []
    with new_host(more=[word for disk in disks.values() for word in disk.options()], log=folder / "kernel.log") as host:
        options = ["-object", "iothread,id=io1"]
        devices = host.disks()
        for n, (way, (_, kind, how)) in enumerate(WAYS.items()):
            file = devices[disks[way].name]
            if kind == "file":
                host.run(f"/usr/bin/mke2fs -q -t ext4 {file} && mkdir /host && mount -t ext4 {file} /host")
                file = "/host/guest.img"
                host.run(f"truncate -s {DISK // 2} {file} && /usr/bin/mke2fs -q -t ext4 {file} && sync")
            options += ["-drive", f"id=drive{n + 2},if=none,format=raw,file={file},{how}"]
            options += ["-device", f"virtio-blk-pci,id=disk{n + 2},drive=drive{n + 2},bus=pci.{n + 2},addr=0x0,iothread=io1"]
        guest = Machine(host, *options, cpus=2).log_in()
        for n, (place, _, _) in enumerate(WAYS.values()):
            guest.run(f"mkdir {place} && mount -t ext4 /dev/vd{chr(ord('b') + n)} {place}")
        for place, _, _ in WAYS.values():
            guest.console.send(f"exerciser promise {place} &\n")
        for place, _, _ in WAYS.values():
            wait_for_promise(guest, place, 5)
        at_random = random.Random(4)
        while len(seen) < MOMENTS:
            listen(guest, 0.5 + 2 * at_random.random())
            host.process.send_signal(signal.SIGSTOP)
            listen(guest, 0)
            try:
                seen.append({way: (promised(guest, place), disks[way].entries()) for way, (place, _, _) in WAYS.items()})
            except Torn:
                pass
            finally:
                host.process.send_signal(signal.SIGCONT)
    return disks, seen


def listen(guest, seconds):
    end = time.monotonic() + seconds
    while guest.console.more(end - time.monotonic()):
        pass


def promised(guest, place):
    """The last record that the guest said was safe."""
    return max((int(number) for number in re.findall(rb"^%s (\d+)\r$" % place.encode(), guest.console.said, re.M)), default=-1)


def wait_for_promise(guest, place, number):
    end = time.monotonic() + PATIENCE
    while promised(guest, place) < number:
        assert time.monotonic() < end, guest.console.said
        listen(guest, 1)


def losses(way, moments, files, folder):
    """What is wrong after a loss of power at each moment, twice: with nothing of a disk's cache, and with some of it."""
    disks, seen = moments
    wrong = []
    for n, moment in enumerate(seen):
        last, entries = moment[way]
        for survivors in (None, random.Random(n)):
            image, kept = folder / "image", folder / "kept"
            disks[way].after_loss(entries, image, survivors)
            how = f"moment {n}, {'some' if survivors else 'nothing'} of the cache, record {last}: "
            if not recover(image):
                wrong.append(how + "a broken file system")
                continue
            if WAYS[way][1] == "file":
                subprocess.run(["/usr/sbin/debugfs", "-R", f"dump /guest.img {folder}/guest.img", image], capture_output=True, check=True)
                image = folder / "guest.img"
                if not recover(image):
                    wrong.append(how + "a broken file system of the guest")
                    continue
            shutil.rmtree(kept, ignore_errors=True)
            kept.mkdir()
            subprocess.run(["/usr/sbin/debugfs", "-R", f"rdump / {kept}", image], capture_output=True, check=True)
            found = subprocess.run([files / "exerciser", "kept", kept, str(last)], capture_output=True, text=True)
            if found.returncode:
                wrong.append(how + found.stderr)
    return wrong


@pytest.mark.parametrize("way", [way for way in WAYS if way != "no_flush"])
def test_what_fsync_promised_is_there(way, moments, files, tmp_path):
    _, seen = moments
    assert seen[0][way][0] < seen[-1][way][0], "the guest went on"
    assert losses(way, moments, files, tmp_path) == []


def test_a_loss_would_be_seen(moments, files, tmp_path):
    """The same disk without flushes does lose what was promised."""
    assert any("record" in one for one in losses("no_flush", moments, files, tmp_path))
