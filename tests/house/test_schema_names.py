"""No name that libvirt's schema has is dropped without a word: wherever this driver reads an element, each name that may be there is read (TAKEN), or
refused by name (known_names.cc)."""
import re
import xml.etree.ElementTree as xml
from collections import defaultdict
from pathlib import Path

import pytest

from house import TREE

SCHEMAS = Path("/usr/share/libvirt/schemas")
RNG = "{http://relaxng.org/ns/structure/1.0}"
SOURCE = (TREE / "src/driver/domain/known_names.cc").read_text()

# What is read, by element, attributes with '@'. Status files of libvirt's own daemon have privateData and an index of the source.
PCI = "@type @domain @bus @slot @function @multifunction"
CHARACTER = {
    "": "@type @tty source target log alias address",
    "/source": "@path @mode @append",
    "/target": "@type @port model",
    "/target/model": "@name",
    "/log": "@file @append",
}
TAKEN = {
    "domain": "@type @id name uuid genid title description metadata memory currentMemory memoryBacking vcpu iothreads cputune resource sysinfo os features "
    "cpu clock on_poweroff on_reboot on_crash pm devices seclabel",
    "domain/memory": "@unit",
    "domain/currentMemory": "@unit",
    "domain/memoryBacking": "hugepages nosharepages locked source access allocation discard",
    "domain/memoryBacking/hugepages": "page",
    "domain/memoryBacking/hugepages/page": "@size @unit",
    "domain/memoryBacking/source": "@type",
    "domain/memoryBacking/access": "@mode",
    "domain/memoryBacking/allocation": "@mode",
    "domain/vcpu": "@placement @cpuset @current",
    "domain/cputune": "shares vcpupin emulatorpin iothreadpin",
    "domain/cputune/vcpupin": "@vcpu @cpuset",
    "domain/cputune/emulatorpin": "@cpuset",
    "domain/cputune/iothreadpin": "@iothread @cpuset",
    "domain/resource": "partition",
    "domain/sysinfo": "@type bios system baseBoard chassis oemStrings entry",
    "domain/sysinfo/bios": "entry",
    "domain/sysinfo/system": "entry",
    "domain/sysinfo/baseBoard": "entry",
    "domain/sysinfo/chassis": "entry",
    "domain/sysinfo/oemStrings": "entry",
    "domain/sysinfo/bios/entry": "@name",
    "domain/sysinfo/system/entry": "@name",
    "domain/sysinfo/baseBoard/entry": "@name",
    "domain/sysinfo/chassis/entry": "@name",
    "domain/sysinfo/entry": "@name @file",  # of type fwcfg, which is refused
    "domain/os": "@firmware type firmware loader nvram kernel initrd cmdline boot smbios",
    "domain/os/type": "@arch @machine",
    "domain/os/firmware": "feature",
    "domain/os/firmware/feature": "@name @enabled",
    "domain/os/loader": "@readonly @secure @type",
    "domain/os/nvram": "@template",
    "domain/os/boot": "@dev",
    "domain/os/smbios": "@mode",
    "domain/features": "acpi apic pae gic pmu smm vmport vmcoreinfo",
    "domain/features/gic": "@version",
    "domain/features/pmu": "@state",
    "domain/features/smm": "@state",
    "domain/features/vmport": "@state",
    "domain/features/vmcoreinfo": "@state",
    "domain/cpu": "@mode @check @match @migratable model topology",
    "domain/cpu/model": "@fallback",
    "domain/cpu/topology": "@sockets @dies @cores @threads",
    "domain/clock": "@offset timer",
    "domain/clock/timer": "@name @present @tickpolicy @track",
    "domain/pm": "suspend-to-mem suspend-to-disk",
    "domain/pm/suspend-to-mem": "@enabled",
    "domain/pm/suspend-to-disk": "@enabled",
    "domain/seclabel": "@type @model @relabel",
    "domain/devices": "emulator disk controller interface serial console hostdev memballoon rng vsock",
    "disk": "@type @device driver source target iotune readonly shareable serial boot backingStore alias address privateData",
    "disk/driver": "@name @type @cache @io @discard @detect_zeroes @iothread @queues",
    "disk/source": "@file @dev @index privateData",
    "disk/target": "@dev @bus",
    "disk/iotune": "total_bytes_sec read_bytes_sec write_bytes_sec total_iops_sec read_iops_sec write_iops_sec total_bytes_sec_max read_bytes_sec_max "
    "write_bytes_sec_max total_iops_sec_max read_iops_sec_max write_iops_sec_max size_iops_sec",
    "controller": "@type @index @model @ports @vectors model target alias address",
    "controller/model": "@name",
    "controller/target": "@chassis @port",
    "interface": "@type mac source target model driver link mtu port boot alias address",
    "interface/mac": "@address",
    "interface/source": "@bridge",
    "interface/target": "@dev @managed",
    "interface/model": "@type",
    "interface/driver": "@name @queues @rx_queue_size @tx_queue_size",
    "interface/link": "@state",
    "interface/mtu": "@size",
    "hostdev": "@mode @type @managed driver source boot alias address",
    "hostdev/driver": "@name",
    "hostdev/source": "address",
    "hostdev/source/address": PCI + " @device @target @unit @uuid",  # the last four of other types, which are refused
    "memballoon": "@model @autodeflate @freePageReporting stats alias address",
    "memballoon/stats": "@period",
    "rng": "@model backend rate alias address",
    "rng/backend": "@model",
    "rng/rate": "@bytes @period",
    "vsock": "@model cid alias address",
    "vsock/cid": "@auto @address",
    **{f"{device}{inner}": names for device in ("console", "serial") for inner, names in CHARACTER.items()},
}
DEVICES = TAKEN["domain/devices"].split()
# Attributes of addresses that are not PCI's: their types are refused.
OTHER_ADDRESSES = "@base @controller @cssid @devno @iobase @irq @port @reg @ssid @target @unit"
for device in DEVICES:
    TAKEN[f"{device}/alias"] = "@name"
    TAKEN[f"{device}/boot"] = "@order"
    TAKEN[f"{device}/address"] = f"{PCI} {OTHER_ADDRESSES} zpci"
    TAKEN[f"{device}/address/zpci"] = "@uid @fid"


def taken(path):
    return set(TAKEN.get(path, TAKEN.get(path.removeprefix("domain/devices/"), "")).split())


def refused():
    table = SOURCE[SOURCE.index("refused{") : SOURCE.index("};", SOURCE.index("refused{"))]
    rows = re.findall(r'\{"(domain[^"]*)",\s*((?:"[^"]*"\s*)+)\}', table)
    return {path: set(" ".join(re.findall(r'"([^"]*)"', names)).split()) for path, names in rows}


def schema():
    """Element path -> the names that may be in it."""
    definitions, loaded = defaultdict(list), set()

    def load(file):
        if file in loaded:
            return
        loaded.add(file)

        def gather(node):
            for child in node:
                if child.tag == RNG + "include":
                    load(child.get("href"))
                    for override in child.iter(RNG + "define"):
                        definitions[override.get("name")] = [override]
                elif child.tag in (RNG + "define", RNG + "start"):
                    definitions[child.get("name")].append(child)
                elif child.tag == RNG + "div":
                    gather(child)

        gather(xml.parse(SCHEMAS / file).getroot())

    load("domain.rng")
    names, walked = defaultdict(set), set()

    def own_names(node):
        if node.get("name"):
            return [node.get("name")]
        return [name.text for name in [*node.findall(RNG + "name"), *node.findall(f"{RNG}choice/{RNG}name")]]

    def walk(node, path):
        for child in node:
            if child.tag == RNG + "ref":
                if (child.get("name"), path) not in walked:
                    walked.add((child.get("name"), path))
                    for definition in definitions[child.get("name")]:
                        walk(definition, path)
            elif child.tag == RNG + "attribute":
                names[path].update("@" + name for name in own_names(child))
            elif child.tag == RNG + "element":
                for name in own_names(child) if not child.get("ns") else []:
                    names[path].add(name)
                    if path.count("/") < 8:
                        walk(child, f"{path}/{name}" if path else name)
            elif isinstance(child.tag, str):
                walk(child, path)

    for start in definitions[None]:
        walk(start, "")
    return names


NAMES, REFUSED = schema(), refused()


def read_paths(path="domain"):
    yield path
    for name in sorted(NAMES[path] - REFUSED.get(path, set())):
        if not name.startswith("@"):
            yield from read_paths(f"{path}/{name}")


@pytest.mark.parametrize("path", sorted(read_paths()))
def test_each_name_is_read_or_refused(path):
    assert sorted(NAMES[path] - taken(path) - REFUSED.get(path, set())) == []


def test_the_schema_was_walked():
    assert len(list(read_paths())) > 90 and "@isolated" in NAMES["domain/devices/interface/port"] and "@relabel" in NAMES["domain/seclabel"]
    assert {"domain/devices/disk", "domain/os", "domain/devices/interface/port"} <= set(REFUSED)
