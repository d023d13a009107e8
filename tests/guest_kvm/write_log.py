"""A disk that loses its power: each write that the box makes to it is on a log beside the disk (QEMU's blklogwrites; the layout is that
of Linux, drivers/md/dm-log-writes.c), and what it would hold after a loss is put together from that."""
import struct
import subprocess

SECTOR = 512
FLUSH, DISCARD = 1, 4


class Torn(Exception):
    """The log was caught in the middle of a write; look again."""


class LoggedDisk:
    def __init__(self, folder, name, size, file_system=True):
        self.name, self.base, self.image, self.log = name, folder / f"{name}.base", folder / f"{name}.image", folder / f"{name}.log"
        with open(self.base, "wb") as base:
            base.truncate(size)
        if file_system:
            subprocess.run(["/usr/sbin/mke2fs", "-q", "-t", "ext4", self.base], check=True)
        subprocess.run(["cp", "--sparse=always", self.base, self.image], check=True)
        self.log.touch()

    def options(self):
        """Of the emulator outside. No operating system's cache is in the way of what the log says."""
        name = self.name
        return [
            "-blockdev", f"driver=file,node-name={name}-image,filename={self.image}",
            "-blockdev", f"driver=file,node-name={name}-log,filename={self.log}",
            "-blockdev", f"driver=blklogwrites,node-name={name},file={name}-image,log={name}-log,log-sector-size={SECTOR}",
            "-device", f"virtio-blk-pci,drive={name},serial={name}",
        ]  # fmt: skip

    def entries(self):
        """[(first sector, sectors, flags, where in the log its data is)], of an emulator that stands still."""
        data = self.log.read_bytes()
        if len(data) < SECTOR:
            return []
        counted = struct.unpack_from("<QQQ", data)[2]
        found, at = [], SECTOR
        while at + SECTOR <= len(data):
            sector, count, flags, _ = struct.unpack_from("<QQQQ", data, at)
            size = 0 if flags & DISCARD else count * SECTOR
            if (count == 0 and not flags) or at + SECTOR + size > len(data):
                break  # is being written
            found.append((sector, count, flags, at + SECTOR))
            at += SECTOR + size
        if len(found) < counted:
            raise Torn
        return found

    def after_loss(self, entries, target, survivors):
        """Writes the disk as it is after a loss of power behind the last entry: what was written before the last flush, and of the
        sectors written since as many as the random numbers `survivors` say, none without them."""
        last = max((n for n, (_, _, flags, _) in enumerate(entries) if flags & FLUSH), default=-1)
        subprocess.run(["cp", "--sparse=always", self.base, target], check=True)
        with open(self.log, "rb") as log, open(target, "r+b") as disk:
            for n, (sector, count, flags, at) in enumerate(entries):
                log.seek(at)
                data = bytes(count * SECTOR) if flags & DISCARD else log.read(count * SECTOR)
                if n < last:
                    disk.seek(sector * SECTOR)
                    disk.write(data)
                elif survivors:
                    for i in range(count):
                        if survivors.random() < 0.5:
                            disk.seek((sector + i) * SECTOR)
                            disk.write(data[i * SECTOR : (i + 1) * SECTOR])


def recover(image):
    """What a system does when it starts again: the journal, and a check. Whether all was well then."""
    checked = subprocess.run(["/usr/sbin/e2fsck", "-p", image], capture_output=True, text=True)
    return checked.returncode < 4 and subprocess.run(["/usr/sbin/e2fsck", "-fn", image], capture_output=True).returncode == 0
