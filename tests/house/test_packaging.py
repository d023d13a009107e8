"""What `make install` puts onto a host: units that systemd accepts, configuration that the daemon knows."""
import os
import re
import shutil

import pytest

from house import TREE, run

PACKAGING = TREE / "packaging"
CONFIGURATION = ["virtstratovirtd.conf", "stratovirt.conf"]


def keys(name):
    return re.findall(r"^#([a-z_]+) = ", (PACKAGING / name).read_text(), re.M)


def sources():
    return "\n".join(path.read_text() for path in (TREE / "src/driver").rglob("*.cc") if "_test" not in path.name)


@pytest.mark.parametrize("prefix", ["", "user-"])
def test_systemd_accepts_the_units(tmp_path, prefix):
    program = tmp_path / "virtstratovirtd"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    units = []
    for source in (PACKAGING / "systemd").glob(f"{prefix}virtstratovirtd*"):
        unit = tmp_path / source.name.removeprefix(prefix).removesuffix(".in")
        unit.write_text(source.read_text().replace("@CMAKE_INSTALL_FULL_SBINDIR@", str(tmp_path)))
        units.append(unit)
    assert len(units) == (2 if prefix else 5)
    tmp_path.chmod(0o700)
    result = run("systemd-analyze", "verify", *units, *(["--user"] if prefix else []),
                 env=os.environ | {"XDG_RUNTIME_DIR": str(tmp_path)})
    assert (result.returncode, result.stdout) == (0, "")


def test_machines_outlive_the_daemon():
    for name in ("virtstratovirtd.service.in", "user-virtstratovirtd.service.in"):
        assert "\nKillMode=process\n" in (PACKAGING / "systemd" / name).read_text()


def test_sockets_of_the_units_are_where_clients_look():
    units = {path.name: path.read_text() for path in (PACKAGING / "systemd").glob("*.socket")}
    writing = units["virtstratovirtd.socket"]
    assert "ListenStream=/run/libvirt/virtstratovirtd-sock\nSocketMode=0770\nSocketGroup=libvirt\n" in writing
    assert "ListenStream=/run/libvirt/virtstratovirtd-sock-ro\nSocketMode=0777\n" in units["virtstratovirtd-ro.socket"]
    assert "ListenStream=/run/libvirt/libvirt-sock\nSocketMode=0770\n" in units["virtstratovirtd-legacy.socket"]
    assert "ListenStream=/run/libvirt/libvirt-sock-ro\nSocketMode=0777\n" in units["virtstratovirtd-legacy-ro.socket"]
    assert "ListenStream=%t/libvirt/virtstratovirtd-sock\nSocketMode=0600\n" in units["user-virtstratovirtd.socket"]


@pytest.mark.parametrize("name", CONFIGURATION)
def test_every_key_offered_is_read(name):
    assert keys(name)
    text = sources()
    assert [key for key in keys(name) if f'"{key}"' not in text] == []


def test_every_key_read_is_offered():
    read = set(re.findall(r'\bconf\w*\.(?:string|boolean|integer|unsigned_integer|strings|mode)\("(\w+)"', sources()))
    assert read - {key for name in CONFIGURATION for key in keys(name)} == set()


@pytest.mark.parametrize("name", CONFIGURATION)
def test_every_line_is_a_comment_or_one_setting(name):
    for line in (PACKAGING / name).read_text().splitlines():
        assert re.fullmatch(r'|# .*|#[a-z_]+ = (-?\d+|"[^"]*"|\[ ("[^"]*",? )*\])', line), line


def test_logrotate_accepts_its_file(tmp_path):
    result = run("logrotate", "--debug", "--state", tmp_path / "state", PACKAGING / "logrotate")
    assert result.returncode == 0
    assert "error" not in result.stdout


def test_install_puts_everything_in_place_and_keeps_configuration(tmp_path):
    def install():
        result = run("make", "-C", TREE, "install", f"DESTDIR={tmp_path}")
        assert result.returncode == 0, result.stdout

    install()
    for path in (
        "usr/sbin/virtstratovirtd",
        "usr/lib/systemd/system/virtstratovirtd.service",
        "usr/lib/systemd/system/virtstratovirtd.socket",
        "usr/lib/systemd/system/virtstratovirtd-ro.socket",
        "usr/lib/systemd/system/virtstratovirtd-legacy.socket",
        "usr/lib/systemd/system/virtstratovirtd-legacy-ro.socket",
        "usr/lib/systemd/user/virtstratovirtd.service",
        "usr/lib/systemd/user/virtstratovirtd.socket",
        "usr/lib/sysusers.d/virtstratovirtd.conf",
        "etc/libvirt/virtstratovirtd.conf",
        "etc/libvirt/stratovirt.conf",
        "etc/logrotate.d/virtstratovirtd",
    ):
        assert (tmp_path / path).is_file(), path
    unit = (tmp_path / "usr/lib/systemd/system/virtstratovirtd.service").read_text()
    assert "ExecStart=/usr/sbin/virtstratovirtd " in unit

    assert "ExecReload=/bin/kill -HUP $MAINPID" in unit
    result = run("systemd-sysusers", f"--root={tmp_path}")
    assert result.returncode == 0, result.stdout
    users = {line.split(":")[0]: line.split(":") for line in (tmp_path / "etc/passwd").read_text().splitlines()}
    groups = {line.split(":")[0]: line.split(":") for line in (tmp_path / "etc/group").read_text().splitlines()}
    assert users["libvirt-qemu"][3] == groups["kvm"][2] and "libvirt-qemu" in groups["libvirt-qemu"][3].split(",") and "libvirt" in groups

    own = tmp_path / "etc/libvirt/stratovirt.conf"
    own.write_text("max_queued = 7\n")
    install()
    assert own.read_text() == "max_queued = 7\n"


def listed(*groups):
    lines = (PACKAGING / "apt-dependencies").read_text().splitlines()
    return {word for line in lines if line.split(":")[0] in groups for word in line.split(":")[1].split()}


def owners(paths):
    """The package that each path of `paths`, a name each, is from."""
    lines = dict(line.split(": ")[::-1] for line in run("dpkg-query", "-S", *paths.values()).stdout.splitlines() if ": /" in line)
    return {name: lines.get(path, "nobody").split(":")[0] for name, path in paths.items()}


def test_headers_come_from_packages_that_are_listed():
    files = [path for suffix in ("*.h", "*.cc") for path in TREE.joinpath("src").rglob(suffix)]
    headers = {name for path in files for name in re.findall(r"^#include <([\w./+-]+/[\w./+-]+)>", path.read_text(), re.M)}
    roots = ["/usr/include", "/usr/include/x86_64-linux-gnu", "/usr/include/libnl3", "/usr/include/libxml2"]
    found = {name: next((f"{root}/{name}" for root in roots if os.path.exists(f"{root}/{name}")), None) for name in headers}
    assert [name for name, path in found.items() if path is None] == []
    # The C library's come with the compiler, libnl's own with its library for routes.
    known = listed("build", "test") | {"libc6-dev", "linux-libc-dev", "libnl-3-dev"}
    packages = owners(found)
    assert "libboost1.81-dev" in packages.values()
    assert {name: package for name, package in packages.items() if package not in known} == {}


def test_programs_that_the_build_needs_come_from_packages_that_are_listed():
    text = "\n".join(path.read_text() for path in [TREE / "CMakeLists.txt", *TREE.joinpath("src").rglob("CMakeLists.txt")])
    packages = owners({name: str(shutil.which(name)) for name in re.findall(r"find_program\(\w+ ([\w.-]+)", text)})
    assert packages["ccache"] == "ccache"
    assert {name: package for name, package in packages.items() if package not in listed("build")} == {}
