"""Programs built on digitalocean/go-libvirt, whose wire is no C library's: one of ours, and that library's own integration tests."""

import os
import pathlib
import shutil
import socket
import subprocess

import libvirt
import pytest

from lib import xml
from lib.mortal import unstarted  # noqa: F401

GOPATH = pathlib.Path("/usr/share/gocode")
LIBRARY = "src/github.com/digitalocean/go-libvirt"
HERE = pathlib.Path(__file__).parent
BUILD_SECONDS = 170


@pytest.fixture(scope="module")
def go(base):
    """go(*words, gopath=…): offline, with Debian's packages alone."""

    def run(*words, gopath=GOPATH, folder=None):
        environment = {"GO111MODULE": "off", "GOPATH": str(gopath), "GOPROXY": "off", "GOFLAGS": "", "GOCACHE": str(base / "go-cache"), "HOME": str(base)}
        return subprocess.run(["go", *words], cwd=folder, capture_output=True, text=True, env={**os.environ, **environment}, timeout=BUILD_SECONDS)

    return run


def test_a_program(go, base, daemon, uri, define, name):
    """It connects, lists, looks up, describes, starts, is told, destroys."""
    domain = define()
    program = base / "walk"
    built = go("build", "-o", str(program), str(HERE / "golang/walk.go"))
    assert built.returncode == 0, built.stderr
    done = subprocess.run([program, daemon.socket, uri, name], capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines() == [
        f"uri {uri}",
        f"version {libvirt.getVersion() // 1000000 * 1000000}",
        "listed true true",
        f"uuid {domain.UUID().hex()}",
        "described true",
        "not found true",
        f"state {libvirt.VIR_DOMAIN_RUNNING}",
        f"figures 1 true state.state {libvirt.VIR_DOMAIN_RUNNING}",
        f"event {libvirt.VIR_DOMAIN_EVENT_STARTED} {libvirt.VIR_DOMAIN_EVENT_STARTED_BOOTED}",
        f"event {libvirt.VIR_DOMAIN_EVENT_STOPPED} {libvirt.VIR_DOMAIN_EVENT_STOPPED_DESTROYED}",
        "done",
    ], done.stdout + done.stderr


# Those about domains and connections; the others are about storage pools, volumes and secrets.
OWN_TESTS = [
    "TestDeprecatedConnectDisconnectIntegration", "TestConnectDisconnectIntegration", "TestConnectToURIIntegration", "TestDeprecatedCapabilities", "TestCapabilities",
    "TestUsingNeverConnected", "TestUsingAfterDisconnect", "TestLostConnection", "TestMultipleConnections", "TestXMLIntegration", "Test_concurrentWrite",
]  # fmt: skip
PORT = 16509


def test_its_own_integration_tests(go, base, unstarted):
    """They are as they are packaged; the library's two names of a driver are this one's, since a connection is to one driver."""
    gopath = base / "gopath"
    library = gopath / LIBRARY
    shutil.copytree(GOPATH / LIBRARY, library, ignore=lambda _, names: [name for name in names if name.endswith("_test.go") and "integration" not in name])
    source = (library / "libvirt.go").read_text()
    for other in ('"qemu:///system"', '"test:///default"'):
        assert other in source
        source = source.replace(other, '"stratovirt:///system"')
    (library / "libvirt.go").write_text(source)
    unstarted.configure(f'listen_tcp = 1\nauth_tcp = "none"\nlisten_addr = "127.0.0.1"\ntcp_port = "{PORT}"\n')
    unstarted.start()
    socket.create_connection(("127.0.0.1", PORT)).close()
    unstarted.define(xml.bare("test"))
    done = go("test", "-v", "-count=1", "-tags", "integration", "-run", f"^({'|'.join(OWN_TESTS)})$", ".", gopath=f"{gopath}:{GOPATH}", folder=library)
    passed = [line.split()[2] for line in done.stdout.splitlines() if line.startswith("--- PASS")]
    assert done.returncode == 0 and sorted(passed) == sorted(OWN_TESTS), done.stdout + done.stderr
