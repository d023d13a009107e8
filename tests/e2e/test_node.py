"""The host, what it can run, and what else a client that shows everything asks for."""

import os
import re
import subprocess

import libvirt
import pytest

from lib import host, xml

SCHEMAS = "/usr/share/libvirt/schemas"
CPUS = os.cpu_count()


def validate(text, schema):
    done = subprocess.run(["xmllint", "--noout", "--relaxng", f"{SCHEMAS}/{schema}.rng", "-"], input=text, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_capabilities_validate(conn):
    """But for sse4.1 and sse4.2, whose names the schema has no dot for."""
    validate(re.sub(r"<feature name='sse4\.[12]'/>", "", conn.getCapabilities()), "capability")


def test_capabilities_of_the_host(conn):
    tree = xml.tree(conn.getCapabilities())
    cells = tree.findall("host/topology/cells/cell")
    assert sum(len(cell.findall("cpus/cpu")) for cell in cells) == CPUS
    assert all(int(cell.findtext("memory")) > 0 and cell.findall("pages") for cell in cells)
    assert tree.findtext("host/secmodel/model") == "none"
    assert tree.findtext("host/cpu/vendor") in (None, "AMD", "Intel", "ARM")


@pytest.mark.parametrize("arch, machine", [("x86_64", "q35"), ("aarch64", "virt")])
def test_domcapabilities_validate(conn, arch, machine, ours):
    text = conn.getDomainCapabilities(None, arch, machine, "qemu")
    validate(text, "domaincaps")
    tree = xml.tree(text)
    assert int(tree.find("vcpu").get("max")) == {"q35": 288, "virt": 512}[machine]
    assert os.path.basename(tree.findtext("path")) == f"qemu-system-{arch}"
    assert tree.find("iothreads").get("supported") == "yes"


@pytest.mark.parametrize(
    "question, code, word",
    [
        ((None, "frob", None, None), libvirt.VIR_ERR_INVALID_ARG, "unknown architecture: frob"),
        ((None, "ppc64le", None, None), libvirt.VIR_ERR_CONFIG_UNSUPPORTED, "unable to find any emulator to serve 'ppc64le' architecture"),
        ((None, None, None, "frob"), libvirt.VIR_ERR_INVALID_ARG, "unknown virttype: frob"),
        ((None, None, "frob", None), libvirt.VIR_ERR_INVALID_ARG, "the machine 'frob' is not supported by emulator"),
        ((None, "aarch64", "q35", None), libvirt.VIR_ERR_INVALID_ARG, "the machine 'q35' is not supported by emulator '/usr/bin/qemu-system-aarch64'"),
        (("/usr/bin/qemu-system-aarch64", "x86_64", None, None), libvirt.VIR_ERR_INVALID_ARG, "architecture from emulator 'aarch64' doesn't match given architecture 'x86_64'"),
        (("/nonexistent", None, None, None), libvirt.VIR_ERR_SYSTEM_ERROR, "/nonexistent: No such file or directory"),
    ],
)
def test_domcapabilities_refusals(conn, refused, question, code, word):
    assert word in refused(code, conn.getDomainCapabilities, *question)


def test_domcapabilities_of_kvm_only_where_it_is(conn, refused):
    if not host.has_kvm():
        assert "the accel 'kvm' is not supported by" in refused(libvirt.VIR_ERR_INVALID_ARG, conn.getDomainCapabilities, None, None, None, "kvm")
        refused(libvirt.VIR_ERR_SYSTEM_ERROR, conn.getMaxVcpus, "kvm")
    else:
        assert conn.getMaxVcpus("kvm") >= 1


def test_maxvcpus_refuses_an_unknown_type(conn, refused):
    assert "unknown type 'frob'" in refused(libvirt.VIR_ERR_INVALID_ARG, conn.getMaxVcpus, "frob")


def test_cpu_models(conn, refused):
    assert isinstance(conn.getCPUModelNames("x86_64"), list)
    refused(libvirt.VIR_ERR_INVALID_ARG, conn.getCPUModelNames, "frob")


def test_cpu_map(conn, refused):
    present, online, count = conn.getCPUMap()
    assert present >= CPUS and sum(online) == count == CPUS
    refused(libvirt.VIR_ERR_INVALID_ARG, conn.getCPUMap, 1)


def test_cpu_statistics(conn, refused):
    assert set(conn.getCPUStats(-1)) == {"kernel", "user", "idle", "iowait"}
    refused(libvirt.VIR_ERR_INVALID_ARG, conn.getCPUStats, 100000)
    refused(libvirt.VIR_ERR_INVALID_ARG, conn.getCPUStats, -5)
    refused(libvirt.VIR_ERR_INVALID_ARG, conn.getCPUStats, -1, 1)


def test_memory_statistics(conn, refused):
    assert set(conn.getMemoryStats(-1)) == {"total", "free", "buffers", "cached"}
    assert set(conn.getMemoryStats(0)) == {"total", "free"}
    refused(libvirt.VIR_ERR_INVALID_ARG, conn.getMemoryStats, 100000)


def test_free_memory_is_the_cells(conn, refused):
    cells = conn.getCellsFreeMemory(0, 1024)
    assert len(cells) >= 1
    assert abs(sum(cells) - conn.getFreeMemory()) < 256 << 20
    assert "out of range" in refused(libvirt.VIR_ERR_INTERNAL_ERROR, conn.getCellsFreeMemory, 1000, 1)


def test_free_pages(conn, virsh, refused):
    assert "4KiB: " in virsh("freepages", "--all")
    assert conn.getFreePages([4], 0, 1)[0][4] > 0
    assert "page size 3 is not available on node 0" in refused(libvirt.VIR_ERR_OPERATION_FAILED, conn.getFreePages, [3], 0, 1)
    assert "out of range" in refused(libvirt.VIR_ERR_INTERNAL_ERROR, conn.getFreePages, [4], 1000, 1)
    refused(libvirt.VIR_ERR_INVALID_ARG, conn.getFreePages, [4], 0, 1, 1)


def test_same_page_merging(conn):
    files = os.listdir("/sys/kernel/mm/ksm") if os.path.exists("/sys/kernel/mm/ksm") else []
    assert ("shm_pages_to_scan" in conn.getMemoryParameters()) == ("pages_to_scan" in files)


def test_security_model(conn):
    assert conn.getSecurityModel() == ["none", "0"]


def test_the_host_is_not_put_to_sleep(virsh):
    assert virsh.fails("nodesuspend", "mem", "10")


@pytest.mark.parametrize(
    "call",
    ["listAllNetworks", "numOfNetworks", "listAllStoragePools", "numOfStoragePools", "listAllInterfaces", "listAllDevices", "listAllSecrets", "listAllNWFilters"],
)
def test_what_other_drivers_have(conn, call, expected):
    """libvirtd holds all its drivers in one process. Where they are not, a client that lists everything finds nothing."""
    found = getattr(conn, call)()
    assert expected("other drivers in the same daemon") or not found


def test_sysinfo_needs_smbios(conn, refused):
    if not os.path.exists("/sys/firmware/dmi/tables/smbios_entry_point"):
        refused(libvirt.VIR_ERR_CONFIG_UNSUPPORTED, conn.getSysinfo)
    else:
        told = conn.getSysinfo()  # the schema has it as a part of a domain alone
        validate(f"<domain type='qemu'><name>a</name><memory>1</memory><os><type>hvm</type></os>{told}</domain>", "domain")
    refused(libvirt.VIR_ERR_INVALID_ARG, conn.getSysinfo, 1)


def test_the_clients_identity_is_taken(conn):
    assert conn.setIdentity({libvirt.VIR_CONNECT_IDENTITY_USER_NAME: "somebody"}, 0) == 0
