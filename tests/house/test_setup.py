"""tools/setup installs what is missing and nothing else. apt-get, apt-cache and id are stand-ins that write down their calls."""
import os
import shutil

import pytest

from house import TREE, run, write

LIST = "# a comment: with a colon\nbuild: bash coreutils\nbuild: absent-one\nrun: absent-two bash\nthere: bash\n"


@pytest.fixture
def setup(tmp_path):
    write(tmp_path, {"packaging/apt-dependencies": LIST})
    (tmp_path / "tools").mkdir()
    (tmp_path / "calls").touch()
    shutil.copy(TREE / "tools/setup", tmp_path / "tools/setup")

    def call(*arguments, user=0, known=True, installs="true"):
        programs = {"apt-get": f'echo "$@" >>{tmp_path}/calls; case "$*" in *install*) {installs};; esac',
                    "apt-cache": str(known).lower(), "id": f"echo {user}"}
        for name, body in programs.items():
            write(tmp_path / "bin", {name: f"#!/bin/sh\n{body}\n"})
            (tmp_path / "bin" / name).chmod(0o755)
        path = f"{tmp_path}/bin:{os.environ['PATH']}"
        result = run(tmp_path / "tools/setup", *arguments, env=os.environ | {"PATH": path})
        return result.returncode, result.stdout, (tmp_path / "calls").read_text().splitlines()

    return call


def test_what_is_there_is_not_touched(setup):
    code, said, calls = setup("there")
    assert (code, calls) == (0, [])
    assert "all there" in said


def test_only_what_is_missing_is_installed(setup):
    code, said, calls = setup("build", "there")
    assert (code, len(calls)) == (0, 1)
    assert calls[0].endswith("install -y --no-install-recommends absent-one")


def test_all_groups_without_any(setup):
    assert setup()[2][0].endswith(" absent-one absent-two")


def test_lists_are_fetched_only_when_a_package_is_unknown(setup):
    code, said, calls = setup("run", known=False)
    assert code == 0
    assert [call.split()[-1] for call in calls] == ["update", "absent-two"]


def test_lists_too_old_are_fetched_and_tried_again(setup):
    code, said, calls = setup("run", installs="test -e $0.again || { touch $0.again; exit 100; }")
    assert code == 0
    assert [call.split()[-1] for call in calls] == ["absent-two", "update", "absent-two"]


def test_what_cannot_be_installed_fails(setup):
    assert setup("run", installs="exit 100")[0] != 0


@pytest.mark.parametrize("arguments, user", [(["run"], 1000), (["--check", "run"], 0)])
def test_missing_packages_are_named(setup, arguments, user):
    code, said, calls = setup(*arguments, user=user)
    assert (code, calls) == (1, [])
    assert "packages are missing: absent-two\n" in said
    assert 'make setup GROUPS="run"' in said


def test_an_unknown_group_is_refused(setup):
    code, said, calls = setup("frob")
    assert (code, calls) == (2, [])
    assert "no group 'frob'" in said
