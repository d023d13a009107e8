"""tests/box/serve: a host with KVM for clients outside the box, who reach its daemon over TCP."""
import re
import subprocess

import pexpect
import pytest

from conftest import TREE
from machine import PATIENCE

MACHINE = """<domain type='kvm'>
  <name>served</name>
  <memory unit='MiB'>192</memory>
  <vcpu>1</vcpu>
  <os><type arch='x86_64' machine='q35'>hvm</type><kernel>/guest/vmlinuz</kernel><initrd>/guest/initrd.img</initrd>
    <cmdline>console=hvc0 root=/dev/vda rw quiet</cmdline></os>
  <features><acpi/></features>
  <devices>
    <disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='/guest/root.img'/><target dev='vda' bus='virtio'/></disk>
    <console type='pty'><target type='virtio'/></console>
  </devices>
</domain>"""


@pytest.fixture
def uri(pytestconfig):
    with subprocess.Popen([TREE / "tests/box/serve", "--bin", pytestconfig.getoption("--bin")], stdout=subprocess.PIPE, text=True) as process:
        try:
            yield next(found[1] for line in process.stdout if (found := re.search(r"box: (stratovirt\+tcp://\S+)", line)))
        finally:
            process.terminate()
            process.wait(PATIENCE)


def test_virsh_outside_runs_a_machine_inside(uri, tmp_path):
    def virsh(*words):
        return subprocess.run(["virsh", "-c", uri, *words], capture_output=True, text=True, check=True, timeout=PATIENCE).stdout

    description = tmp_path / "machine.xml"
    description.write_text(MACHINE)
    virsh("define", str(description))
    assert "served" in virsh("list", "--all", "--name").split()
    virsh("start", "served")
    assert virsh("domstate", "served").strip() == "running"
    console = pexpect.spawn("virsh", ["-c", uri, "console", "served"], timeout=PATIENCE)
    console.expect("guest login: ")
    console.send("root\r")
    console.expect("guest# ")
    console.close(force=True)
    virsh("destroy", "served")
    virsh("undefine", "served")
    assert "served" not in virsh("list", "--all", "--name").split()
