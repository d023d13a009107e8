"""Names, paths, serials and aliases full of what command lines are made of: what QEMU understood is what was described, or it is refused."""

import json
import string
import xml.sax.saxutils as sax

import libvirt
import libvirt_qemu
import pytest

from lib import host, xml
from world import World, descriptors

PAUSED = libvirt.VIR_DOMAIN_START_PAUSED
TRICKY = [",", ",,", "=", " ", "  ", "'", '"', "\\", "%", "$(id)", "`id`", "${HOME}", ";", "|", "&", "<", ">", "(", ")", "[", "]", "{", "}", "#", "~", "*", "?", "!", ":", "@",
          "\t", "\n", "\r", "\x7f", "é", "ß", "漢字", "🙂", "\u202e", "\u00a0", "\u2028", ",id=x", ",file=/etc/passwd", ",readonly=off", "=on", ",script=/bin/sh", "-", "--", "-S", "on,", "json:", "fd:",
          "/dev/fdset/1", "..", ".", "nbd:", "%00", "%s%n", "\\n", "\\,", "0x0", "null"]  # fmt: skip
SAFE = [" ", "  ", "-", "--", "-S", ".", "..", "_", "+", "(", ")"]  # what libvirt lets a serial have
PLAIN = string.ascii_letters + string.digits


@pytest.fixture(scope="module")
def world(base, program):
    one = World(base / "arguments", program).begin()
    yield one
    one.end()


def word(chance, longest, tricky=TRICKY):
    """Something between the plain and the wild, at most `longest` bytes."""
    text = ""
    for _ in range(chance.randrange(1, 12)):
        part = chance.choice(tricky) if chance.random() < 0.6 else chance.choice(PLAIN) * chance.randrange(1, 4)
        if len((text + part).encode()) <= longest:
            text += part
    return text or "x"


def escaped(text):
    return sax.escape(text, {"\r": "&#13;"})


def quoted(text):
    """As XML has it: a line's end in an attribute is written by its number, or it would be a blank."""
    return sax.quoteattr(text, {"\n": "&#10;", "\t": "&#9;", "\r": "&#13;"})


class Described:
    """A machine of such words, the files it names, and what QEMU must say of it."""

    def __init__(self, chance, folder):
        self.folder = folder / word(chance, 60).replace("/", "_")
        self.name = word(chance, 200).replace("/", "").replace("\n", "")
        self.paths = {what: self.folder / (word(chance, 80).replace("/", "_") + f"-{what}") for what in ("disk", "kernel", "log")}
        self.serial = word(chance, 20, SAFE if chance.random() < 0.85 else TRICKY).strip() or "x"
        self.cmdline = word(chance, 200)
        self.alias = "ua-" + word(chance, 30, [".", "_", "-", "-S", "--"] if chance.random() < 0.85 else TRICKY)

    def make_files(self):
        self.folder.mkdir(exist_ok=True)
        for what in ("disk", "kernel"):
            self.paths[what].write_bytes(bytes(1 << 20))

    def description(self):
        disk = f"<source file={quoted(str(self.paths['disk']))}/><target dev='vda' bus='virtio'/><serial>{escaped(self.serial)}</serial><alias name={quoted(self.alias)}/>"
        return f"""<domain type='qemu'><name>{escaped(self.name)}</name><memory unit='MiB'>32</memory><vcpu>1</vcpu>
  <os><type arch='x86_64' machine='q35'>hvm</type><kernel>{escaped(str(self.paths['kernel']))}</kernel><cmdline>{escaped(self.cmdline)}</cmdline></os>
  <features><acpi/></features><devices><disk type='file' device='disk'><driver name='qemu' type='raw'/>{disk}</disk>
  <serial type='file'><source path={quoted(str(self.paths['log']))}/></serial></devices></domain>"""

    def expected(self):
        return {
            "name": self.name,
            "kernel": str(self.paths["kernel"]),
            "append": self.cmdline,
            "file": str(self.paths["disk"]),
            "serial": self.serial,
            "device": f"/machine/peripheral/{self.alias}/virtio-backend",
            "log": True,
        }


def ask(domain, command, **arguments):
    return json.loads(libvirt_qemu.qemuMonitorCommand(domain, json.dumps({"execute": command, "arguments": arguments}), 0))["return"]


def understood(domain, alias, log):
    """What QEMU says of itself."""
    block = next(each for each in ask(domain, "query-block") if each.get("inserted"))
    return {
        "name": ask(domain, "query-name")["name"],
        "kernel": ask(domain, "qom-get", path="/machine", property="kernel"),
        "append": ask(domain, "qom-get", path="/machine", property="append"),
        "file": block["inserted"]["image"]["filename"],
        "serial": ask(domain, "qom-get", path=f"/machine/peripheral/{alias}", property="serial"),
        "device": block["qdev"],
        "log": log in descriptors(host.emulator_pid(domain.UUIDString())),
    }


def test_what_is_described_is_understood_or_refused(world, chance, soak, record):
    count, refusals, wrong = 400 if soak else 30, {}, []
    for number in range(count):
        one = Described(chance, world.root)
        try:
            one.make_files()
            domain = world.connection.createXML(one.description(), PAUSED)
        except libvirt.libvirtError as error:
            refusals.setdefault(error.get_error_code(), []).append(str(error))
            if "QEMU command" in str(error) or "exited" in str(error) or "ended" in str(error):
                wrong.append(f"refused by QEMU, not by us: {error}: {one.expected()}")
            continue
        try:
            said, expected = understood(domain, one.alias, str(one.paths["log"])), one.expected()
            wrong += [f"{what}: {said[what]!r}, not {expected[what]!r}" for what in expected if said[what] != expected[what]]
            told = xml.tree(domain.XMLDesc())
            if told.findtext("name") != one.name or told.findtext("devices/disk/serial") != one.serial:
                wrong.append(f"our own description is another: {one.expected()}")
        finally:
            domain.destroy()
    refused = sum(map(len, refusals.values()))
    print({code: (len(texts), texts[0][:120]) for code, texts in refusals.items()})
    record("names, paths, serials and aliases of what command lines are made of", count, len(wrong))
    assert not wrong, "\n".join(wrong)
    assert count // 10 < refused < count * 9 // 10, f"{refused} of {count} were refused"
    assert world.leftovers() == []
