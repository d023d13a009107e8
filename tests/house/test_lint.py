"""The tree as it stands: formatted, within its arrows, of readable length, without what cppcheck knows to be wrong."""
import pytest

from house import TREE, run


def test_the_quick_half_of_lint_is_clean():
    result = run(TREE / "tools/lint", "--quick")
    assert result.returncode == 0, result.stdout


def test_the_license_is_apaches():
    text = (TREE / "LICENSE").read_text()
    assert "Apache License" in text and "Version 2.0, January 2004" in text


@pytest.mark.parametrize("script", sorted(path for path in TREE.joinpath("tools").iterdir() if path.suffix == ""), ids=str)
def test_tools_say_what_they_are_run_by(script):
    assert script.read_text().startswith("#!")
    assert script.stat().st_mode & 0o111
