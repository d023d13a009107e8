"""tools/check-arrows finds each kind of fault in a tree that is otherwise sound."""
import pytest

from house import TREE, run, write

SOUND = {
    "tools/arrows.txt": "# a comment\nbase:\nlow: base\nlow/inner: low\nhigh: low\ndriver: high\n",
    "src/base/CMakeLists.txt": "folder(base LIBRARIES Some::thing)\n",
    "src/low/CMakeLists.txt": "folder(low USES base LIBRARIES PkgConfig::X)\n",
    "src/low/inner/CMakeLists.txt": "folder(low_inner USES low)\n",
    "src/high/CMakeLists.txt": "folder(high USES low)\n",
    "src/base/a.h": "#include <vector>\n",
    "src/low/b.h": '#include "base/a.h"\n#include "made.hex"\n',
    "src/high/c.cc": '#include "base/a.h"\n#include "low/b.h"\n',
    "src/driver/main.cc": '#include "high/d.h"\n',
    "src/high/d.h": "",
}


def check(tmp_path, changes):
    write(tmp_path, SOUND | changes)
    return run(TREE / "tools/check-arrows", tmp_path)


def test_a_sound_tree_passes(tmp_path):
    result = check(tmp_path, {})
    assert (result.returncode, result.stdout) == (0, "")


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"src/low/b.h": '#include "high/d.h"\n'}, "b.h:1: low may not include high/d.h"),
        ({"src/low/b.h": '\n  #  include "low/inner/e.h"\n', "src/low/inner/e.h": ""}, "b.h:2: low may not include"),
        ({"src/low/b.h": '#include "b2.h"\n'}, '"b2.h" is no file of src/'),
        ({"src/stray/x.cc": ""}, "x.cc: in no folder"),
        ({"src/high/CMakeLists.txt": "folder(high USES low base)\n"}, "USES ['base', 'low']"),
        ({"src/high/CMakeLists.txt": "folder(high LIBRARIES low)\n"}, "USES []"),
        ({"src/high/CMakeLists.txt": "folder(tall USES low)\n"}, "folder(tall) should be"),
        ({"src/high/CMakeLists.txt": "\n"}, "high has no CMakeLists.txt"),
        ({"tools/arrows.txt": SOUND["tools/arrows.txt"].replace("base:\n", "base: high\n")}, "no line above names"),
    ],
)
def test_each_fault_is_named(tmp_path, changes, message):
    result = check(tmp_path, changes)
    assert result.returncode == 1
    assert message in result.stdout
