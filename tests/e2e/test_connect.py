"""Connecting, and what the host and the driver say of themselves."""

import glob
import os
import platform
import re
import subprocess

import libvirt
import pytest

from lib import host, xml
from lib.virsh import Virsh


def test_uri(virsh, uri):
    assert virsh("uri") == uri


def test_version_names_library_api_and_hypervisor(virsh, expected):
    text = virsh("version", "--daemon")
    for line in (r"library: libvirt \d+\.\d+\.\d+", rf"API: {expected('hypervisor type')} \d+", rf"hypervisor: {expected('hypervisor type')} \d+\.\d+\.\d+"):
        assert re.search(line, text), text
    assert "daemon" in text


def test_versions_are_at_least_what_tools_look_for(conn, expected):
    assert conn.getLibVersion() >= 9000000
    assert conn.getType() == expected("hypervisor type")
    assert conn.getVersion() > 0


def test_hostname(virsh):
    assert virsh("hostname") == platform.node()


def test_nodeinfo_is_the_hosts(virsh):
    fields = virsh.fields("nodeinfo")
    assert fields["CPU model"] == platform.machine()
    assert int(fields["CPU(s)"]) == os.cpu_count()
    # The host's memory as the kernel sums it up, or as its NUMA nodes do: a machine that grew may show two figures.
    files = ["/proc/meminfo", *glob.glob("/sys/devices/system/node/node0/meminfo")]
    totals = [re.search(r"MemTotal:\s+(\d+)", open(file).read())[1] for file in files]
    assert fields["Memory size"] in [f"{total} KiB" for total in totals]


def test_nodecpumap(virsh):
    fields = virsh.fields("nodecpumap")
    assert fields["CPUs present"] == str(os.cpu_count())
    assert fields["CPU map"] == "y" * os.cpu_count()


def test_nodecpustats_grow(conn, virsh):
    assert set(virsh.fields("nodecpustats")) >= {"user", "system", "idle", "iowait"}
    before = conn.getCPUStats(libvirt.VIR_NODE_CPU_STATS_ALL_CPUS)
    after = conn.getCPUStats(libvirt.VIR_NODE_CPU_STATS_ALL_CPUS)
    assert sum(after.values()) >= sum(before.values()) > 0
    assert conn.getCPUStats(0)["idle"] > 0


def test_nodecpustats_percent(virsh):
    assert virsh("nodecpustats", "--percent").count("%") >= 5


def test_nodememstats_and_freecell(conn, virsh):
    fields = virsh.fields("nodememstats")
    assert {"total", "free", "buffers", "cached"} <= set(fields)
    assert re.fullmatch(r"\d+ KiB", fields["free"])
    assert re.search(r"Total: *\d+ KiB", virsh("freecell"))
    assert re.search(r"\d+ KiB", virsh("freecell", "--cellno", "0"))
    assert conn.getFreeMemory() > 0


def test_sysinfo(virsh):
    result = virsh.run("sysinfo")
    # A host without SMBIOS has none, which libvirt says as well.
    assert result.status == 0 and xml.tree(result.out).tag == "sysinfo" or "sysinfo" in result.err.lower() or "not supported" in result.err


def test_capabilities(virsh, expected):
    tree = xml.tree(virsh("capabilities"))
    assert tree.findtext("host/cpu/arch") == platform.machine()
    assert re.fullmatch(r"[0-9a-f-]{36}", tree.findtext("host/uuid"))
    guests = {guest.findtext("arch") and guest.find("arch").get("name"): guest for guest in tree.findall("guest")}
    for arch in ("x86_64", "aarch64"):
        assert guests[arch].findtext("os_type") == "hvm"
        assert "qemu" in {domain.get("type") for domain in guests[arch].iter("domain")}
    assert ("kvm" in {domain.get("type") for domain in tree.iter("domain")}) == host.has_kvm()


@pytest.mark.parametrize("arch, machine", [("x86_64", "q35"), ("aarch64", "virt")])
def test_domcapabilities(virsh, arch, machine):
    tree = xml.tree(virsh("domcapabilities", "--virttype", "qemu", "--arch", arch, "--machine", machine))
    assert tree.tag == "domainCapabilities"
    assert tree.findtext("arch") == arch
    assert machine in tree.findtext("machine")
    assert tree.find("os").get("supported") == "yes"
    buses = {value.text for value in tree.iter("value")}
    assert "virtio" in buses


def test_domcapabilities_without_arguments(virsh):
    assert xml.tree(virsh("domcapabilities")).findtext("arch") == platform.machine()


def test_domcapabilities_refuses_an_unknown_architecture(conn, refused):
    refused(libvirt.VIR_ERR_INVALID_ARG, conn.getDomainCapabilities, None, "frobnicator", None, None)


def test_maxvcpus(virsh):
    assert int(virsh("maxvcpus")) >= 1
    assert int(virsh("maxvcpus", "--type", "qemu")) >= 8


def test_connection_is_alive_and_not_encrypted(conn):
    assert conn.isAlive() == 1
    assert conn.isEncrypted() == 0
    assert conn.isSecure() == 1


def test_keepalive_is_answered(uri):
    from lib.events import start_loop

    start_loop()
    connection = libvirt.open(uri)
    assert connection.setKeepAlive(1, 3) == 0
    assert connection.isAlive() == 1
    connection.close()


def test_shell_of_virsh_opens_without_a_command(uri):
    virsh = Virsh(uri)
    shell = subprocess.run(virsh.command, input="uri\nlist --all\nquit\n", capture_output=True, text=True, env=virsh.environment)
    assert "Welcome to virsh" in shell.stdout and uri in shell.stdout and shell.returncode == 0


def test_plain_virsh_takes_its_uri_from_the_environment(uri):
    environment = {**os.environ, "LIBVIRT_DEFAULT_URI": uri}
    assert subprocess.run(["virsh", "uri"], capture_output=True, text=True, env=environment).stdout.strip() == uri


def test_plain_virsh_takes_its_uri_from_libvirt_conf(daemon, uri):
    conf = "/etc/libvirt/libvirt.conf"
    with open(conf, "w") as file:
        file.write(f'uri_default = "{uri}"\n')
    try:
        environment = {key: value for key, value in os.environ.items() if key != "LIBVIRT_DEFAULT_URI"}
        assert subprocess.run(["virsh", "uri"], capture_output=True, text=True, env=environment).stdout.strip() == uri
    finally:
        os.remove(conf)


def test_socket_named_in_the_uri(daemon, ours):
    scheme = "stratovirt" if ours else "qemu"
    assert Virsh(f"{scheme}+unix:///system?socket={daemon.socket}").run("hostname").status == 0


@pytest.mark.parametrize("path", ["/nowhere", "/"])
def test_an_unknown_path_is_refused(daemon, ours, path):
    scheme = "stratovirt" if ours else "qemu"
    result = Virsh(f"{scheme}+unix://{path}?socket={daemon.socket}").run("uri")
    assert result.status != 0 and path in result.err


def test_many_connections_at_once(uri):
    connections = [libvirt.open(uri) for _ in range(30)]
    assert all(connection.getHostname() == platform.node() for connection in connections)
    for connection in connections:
        connection.close()


def test_close_leaves_no_connection_behind(conn, uri):
    other = libvirt.open(uri)
    assert other.close() == 0
    assert conn.getHostname() == platform.node()


def test_sys_virt_drives_it(uri, inactive):
    script = os.path.join(os.path.dirname(__file__), "sys-virt.pl")
    done = subprocess.run(["perl", script, uri, inactive.name()], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == "ok"
