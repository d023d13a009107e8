"""tools/demo shows the whole life of the guide's machine, leaves nothing behind, and fails by name when a step does."""
import pathlib
import re
import shutil
import subprocess

import pytest

TREE = pathlib.Path(__file__).resolve().parents[2]
WAY = ["version", "define st.xml", "list --all", "start", "list", "dominfo", "console", "suspend", "domstate", "resume", "domstate", "destroy",
       "domstate", "undefine", "list --all"]


def run(program):
    return subprocess.run([program], capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=600)


def left_behind():
    pages = pathlib.Path("/proc/sys/vm/nr_hugepages").read_text()
    return sorted(pathlib.Path("/var/tmp").glob("stratovirt-demo.*")), pages, pathlib.Path("/run/libvirt").exists()


@pytest.fixture
def copy(tmp_path):
    """A tree of the demo's own files, in which one may be another."""
    for path in ("tools/demo", "tests/data/emulator/seed-x86_64.xml"):
        (tmp_path / path).parent.mkdir(parents=True)
        shutil.copy(TREE / path, tmp_path / path)
    (tmp_path / "build/guest").mkdir(parents=True)
    (tmp_path / "build/guest/x86_64").symlink_to(TREE / "build/guest/x86_64")
    (tmp_path / "build/release").symlink_to(TREE / "build/release")
    return tmp_path


def test_the_whole_life_is_shown():
    before = left_behind()
    done = run(TREE / "tools/demo")
    shown = done.stdout
    assert (done.returncode, done.stderr) == (0, ""), shown + done.stderr
    commands = re.findall(r"^\$ virsh (.*)$", shown, re.M)
    assert [re.sub(" StratoVirt| --reason", "", command) for command in commands] == WAY
    assert "\033" not in shown  # colours are for terminals
    assert re.search(r"guest# uname -a\n *Linux guest ", shown)
    suspended, resumed, ended = (shown.index(f"$ virsh {word} StratoVirt") for word in ("suspend", "resume", "destroy"))
    assert shown.index("guest# uname -a") < suspended < resumed < shown.index("awake again, 42") < ended
    assert re.search(r"in \d+ s\n$", shown)
    assert left_behind() == before


def test_a_failing_step_is_named(copy):
    example = copy / "tests/data/emulator/seed-x86_64.xml"
    example.write_text(example.read_text().replace("qbr0", "qbr1"))
    before = left_behind()
    done = run(copy / "tools/demo")
    assert done.returncode == 1
    assert "demo: failed at this step: virsh start StratoVirt\n" in done.stdout
    assert "qbr1" in done.stdout and "virsh destroy" not in done.stdout
    assert left_behind() == before


def test_what_is_not_built_is_said(copy):
    (copy / "build/release").unlink()
    done = run(copy / "tools/demo")
    assert done.returncode != 0 and "virtstratovirtd is not built" in done.stderr
