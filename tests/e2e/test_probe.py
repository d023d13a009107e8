"""Emulators are asked what they can do, and what clients are told comes from that."""

import os
import re
import subprocess
import time

import libvirt
import pytest

from lib import host, xml
from lib.daemon import virtstratovirtd_in_root
from lib.virsh import Virsh

QEMU = "/usr/bin/qemu-system-x86_64"


def version_of(program):
    numbers = re.search(r"version (\d+)\.(\d+)\.(\d+)", subprocess.run([program, "-version"], capture_output=True, text=True).stdout)
    return int(numbers[1]) * 1000000 + int(numbers[2]) * 1000 + int(numbers[3])


def test_the_version_is_one_that_clients_compare(conn):
    assert conn.getVersion() >= 4002000
    if not host.has_kvm():
        assert conn.getVersion() == version_of(QEMU)


@pytest.mark.parametrize("arch, plain, versions", [("x86_64", "q35", "pc-q35-"), ("aarch64", "virt", "virt-")])
def test_machines_have_canonical_names(conn, arch, plain, versions):
    guest = next(guest for guest in xml.tree(conn.getCapabilities()).findall("guest") if guest.find("arch").get("name") == arch)
    machines = {machine.text: machine for machine in guest.findall("arch/machine")}
    canonical = machines[plain].get("canonical")
    assert canonical.startswith(versions) and machines[canonical].get("canonical") is None
    assert machines[plain].get("maxCpus") == machines[canonical].get("maxCpus") == {"q35": "288", "virt": "512"}[plain]
    assert len([name for name in machines if name.startswith(versions)]) > 10
    assert xml.tree(conn.getDomainCapabilities(None, arch, plain, "qemu")).findtext("machine") == canonical
    older = versions + "2.7"
    told = xml.tree(conn.getDomainCapabilities(None, arch, older, "qemu"))
    assert told.findtext("machine") == older and told.find("vcpu").get("max") == machines[older].get("maxCpus") == "255"


def test_custom_models_are_told(conn):
    modes = {mode.get("name"): mode for mode in xml.tree(conn.getDomainCapabilities(None, "x86_64", "q35", "qemu")).findall("cpu/mode")}
    models = {model.text: model.get("usable") for model in modes["custom"].findall("model")}
    assert models["Nehalem"] == "yes" and models["qemu64"] == "yes" and "no" in models.values()


@pytest.mark.parametrize("mode", ["host-passthrough", "host-model", "maximum", "custom"])
def test_a_cpu_mode_that_is_told_of_starts(conn, define, expected, ours, mode):
    told = {one.get("name"): one.get("supported") for one in xml.tree(conn.getDomainCapabilities(None, "x86_64", "q35", "qemu")).findall("cpu/mode")}
    if not ours and mode.startswith("host-"):
        return  # libvirt has no host-passthrough in software, and its host-model of this host need not start
    assert told[mode] == "yes"
    define(body=f"<cpu mode='{mode}'>{'<model>Nehalem</model>' if mode == 'custom' else ''}</cpu>").createWithFlags(libvirt.VIR_DOMAIN_START_PAUSED)


def test_an_emulator_and_its_accelerator_are_two_things(conn, define, refused, ours):
    if host.has_kvm():
        define(type="kvm", os="<boot dev='hd'/>", devices=f"<emulator>{QEMU}</emulator>").createWithFlags(libvirt.VIR_DOMAIN_START_PAUSED)
        assert xml.tree(conn.getDomainCapabilities(QEMU, "x86_64", "q35", "kvm")).findtext("domain") == "kvm"
        return
    assert "the accel 'kvm' is not supported by" in refused(libvirt.VIR_ERR_INVALID_ARG, conn.getDomainCapabilities, QEMU, "x86_64", "q35", "kvm")
    if ours:  # libvirt refuses where it is defined
        domain = define(type="kvm", os="<boot dev='hd'/>", devices=f"<emulator>{QEMU}</emulator>")
        assert "domain type 'kvm' cannot run here" in refused(libvirt.VIR_ERR_CONFIG_UNSUPPORTED, domain.create)


def test_a_stratovirt_has_no_software_emulation(conn, define, refused, ours, program):
    if not ours:
        return
    stratovirt = os.path.join(os.path.dirname(program), "stratovirt")
    assert f"the accel 'tcg' is not supported by '{stratovirt}'" in refused(libvirt.VIR_ERR_INVALID_ARG, conn.getDomainCapabilities, stratovirt, None, None, "qemu")
    domain = define(devices=f"<emulator>{stratovirt}</emulator>")
    assert "it is a StratoVirt" in refused(libvirt.VIR_ERR_CONFIG_UNSUPPORTED, domain.create)


def test_an_emulator_of_another_architecture_is_refused(define, refused, ours):
    parts = dict(devices="<emulator>/usr/bin/qemu-system-aarch64</emulator>")
    act = define(**parts).create if ours else lambda: define(**parts)
    assert "Emulator '/usr/bin/qemu-system-aarch64' does not support arch 'x86_64'" in refused(libvirt.VIR_ERR_CONFIG_UNSUPPORTED, act)


@pytest.fixture
def double(base, name):
    """double(then): an emulator that says it is a QEMU and notes each time it is asked."""
    path, count = base / f"{name}-emulator", base / f"{name}-count"

    def make(then=f'exec {QEMU} "$@"'):
        path.write_text(f"#!/bin/sh\necho x >>{count}\nif [ \"$*\" = -version ]; then echo 'QEMU emulator version 7.2.0'; exit; fi\n{then}\n")
        path.chmod(0o755)
        count.touch()
        count.chmod(0o666)
        return str(path)

    make.times = lambda: len(count.read_text().split())
    return make


def test_an_emulator_is_asked_once(ours, base, name, program, double):
    if not ours:
        return
    root = base / name
    root.mkdir()
    path = double()
    daemon = virtstratovirtd_in_root(root, program).start()
    try:
        virsh = Virsh(daemon.uri)
        for _ in range(3):
            virsh("domcapabilities", "--emulatorbin", path)
        assert double.times() == 2
        daemon.stop()
        daemon.start()
        virsh("domcapabilities", "--emulatorbin", path)
        assert double.times() == 2, "a later daemon knows it too"
        for file in (root / "var/cache/libvirt/stratovirt").iterdir():
            file.write_text("damaged")
        daemon.stop()
        daemon.start()
        virsh("domcapabilities", "--emulatorbin", path)
        assert double.times() == 4
        assert not [file for file in (root / "run/libvirt/stratovirt").iterdir() if file.name.startswith("probe-")]
    finally:
        daemon.stop()


def test_an_emulator_that_hangs_costs_its_time_once(conn, define, refused, ours, daemon, double):
    if not ours:
        return
    path = double("exec sleep 1000")
    domain = define(devices=f"<emulator>{path}</emulator>")
    begun = time.monotonic()
    assert path in refused(libvirt.VIR_ERR_INTERNAL_ERROR, domain.create)
    assert 9 < time.monotonic() - begun < 40
    begun = time.monotonic()
    for _ in range(5):
        assert path in refused(libvirt.VIR_ERR_INTERNAL_ERROR, domain.create)
        refused(libvirt.VIR_ERR_INTERNAL_ERROR, conn.getDomainCapabilities, path, None, None, None)
    assert time.monotonic() - begun < 9
    assert double.times() == 2
    assert path in daemon.tail()
    path = double()  # mended
    conn.getDomainCapabilities(path, None, None, None)
