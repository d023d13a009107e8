"""An error of the emulator outside, and how a box sees it; for pytest inside a box, the plugin that says so beside a failure.

QEMU (7.2 here) may hand an interrupt that KVM injects to the guest twice: its VMRUN leaves the vector behind as an exception, which is
raised once more if the emulated processor is kicked before the guest's next exit. Then the guest takes an interrupt while it has them off,
and may wait for ever for a lock that it holds itself. KVM's trace shows it: an exception of a vector that is none's.
"""
import pathlib
import re

TRACE = "/tracing"  # and not in /sys, in whose place tests put another
# For a shell in the box.
WATCH = f"""
mkdir {TRACE}
mount -t tracefs tracefs {TRACE}
echo 'intr_info >= 0x320 && intr_info <= 0x3ff' >{TRACE}/events/kvm/kvm_exit/filter
echo 1 >{TRACE}/events/kvm/kvm_exit/enable
"""
_told = []  # nodes that failed where it was seen


def seen(trace):
    """The exits with it in a trace's text."""
    return re.findall(r".*kvm_exit:.*", trace)


def pytest_runtest_makereport(item, call):
    if call.excinfo and seen(pathlib.Path(TRACE, "trace").read_text()):
        _told.append(f"{item.nodeid} ({call.when})")


def pytest_terminal_summary(terminalreporter):
    if _told:
        terminalreporter.section("failed where the emulator outside had handed an interrupt to a guest twice")
        for line in _told:
            terminalreporter.write_line(line)
