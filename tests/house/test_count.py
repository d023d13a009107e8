"""tools/count adds up what ctest and pytest wrote, and never calls a missing suite a success."""
from house import TREE, run, write

CTEST = """<testsuite>
<testcase name="A.b" classname="A.b" status="run"/>
<testcase name="A.c" classname="A.c" status="fail"><failure message=""/></testcase>
<testcase name="A.d" classname="A.d" status="notrun"><skipped message="SKIP_REGULAR_EXPRESSION"/></testcase>
<testcase name="A.e" classname="A.e" status="disabled"/></testsuite>"""
PYTEST = """<testsuites><testsuite>
<testcase classname="t" name="a"/><testcase classname="t" name="b"/>
<testcase classname="t" name="c"><error message="no fixture"/></testcase>
<testcase classname="t" name="d"><skipped message="no vsock"/></testcase></testsuite></testsuites>"""


def count(tmp_path, files, *suites):
    write(tmp_path, files)
    result = run(TREE / "tools/count", tmp_path, *suites)
    return result.returncode, result.stdout.splitlines()


def test_both_dialects_are_added_up(tmp_path):
    code, lines = count(tmp_path, {"unit.xml": CTEST, "e2e.xml": PYTEST}, "unit", "e2e")
    assert (code, lines[-1]) == (1, "3 passed, 2 failed, 3 skipped")
    assert "failed: unit: A.c.A.c" in lines
    assert "skipped: e2e: t.d (no vsock)" in lines


def test_all_passed(tmp_path):
    ok = '<testsuite><testcase name="A.b" classname="A.b" status="run"/></testsuite>'
    assert count(tmp_path, {"unit.xml": ok}, "unit") == (0, ["1 passed, 0 failed, 0 skipped"])


def test_a_suite_without_results_has_failed(tmp_path):
    code, lines = count(tmp_path, {"unit.xml": "<testsuite>"}, "unit", "e2e")
    assert (code, lines[-1]) == (1, "0 passed, 2 failed, 0 skipped")


def test_nothing_is_no_success(tmp_path):
    assert count(tmp_path, {"unit.xml": "<testsuite/>"}, "unit") == (1, ["0 passed, 0 failed, 0 skipped"])


PROGRAMS = """<testsuite>
<testcase name="good_test" classname="good_test" status="run"/>
<testcase name="bad_test" classname="bad_test" status="fail"><failure message=""/></testcase>
<testcase name="leaks_test" classname="leaks_test" status="fail"><failure message=""/></testcase>
<testcase name="died_test" classname="died_test" status="fail"><failure message=""/></testcase></testsuite>"""
GOOGLETEST = """<testsuites><testsuite name="A">
<testcase name="b" status="run" result="completed" classname="A"/>
<testcase name="c" status="run" result="skipped" classname="A"><skipped message="no tap"/></testcase>
<testcase name="DISABLED_d" status="notrun" result="suppressed" classname="A"/>{}</testsuite></testsuites>"""
FAILED = '<testcase name="e" status="run" result="completed" classname="A"><failure message="1 != 2"/></testcase>'


def test_programs_of_many_tests_are_counted_by_those(tmp_path):
    code, lines = count(tmp_path, {"unit.xml": PROGRAMS, "unit/good_test.xml": GOOGLETEST.format(""),
                                   "unit/bad_test.xml": GOOGLETEST.format(FAILED), "unit/leaks_test.xml": GOOGLETEST.format("")}, "unit")
    assert (code, lines[-1]) == (1, "3 passed, 3 failed, 6 skipped")
    assert [line for line in lines if line.startswith("failed")] == [
        "failed: unit: A.e", "failed: unit: leaks_test.leaks_test", "failed: unit: died_test.died_test"]
    assert "skipped: unit: A.c (no tap)" in lines
