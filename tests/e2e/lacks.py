"""What this tree's own monitor has not yet, so that tests about it are left out with `--type kvm`: each kind once, with its tests.

A machine that only carries such a device along has none there (lib/xml.py, `also`). That the monitor has it not, and says so by name,
is tried in test_lacks.py: once it has, that test fails and the row goes.
"""

import dataclasses
import re


@dataclasses.dataclass
class Lack:
    why: str
    tests: str  # a line each: FILE NAME, where * stands for anything
    devices: str = ""  # of a machine that is refused for it, by the last word of `why`
    os: str = ""
    count: int = 0


LACKS = {
    "network cards": Lack("it has no virtio-net-pci", """
        test_devices test_a_card_comes_and_goes
        test_devices test_a_definition_changed_by_a_device_starts
        test_devices test_both_at_once
        test_devices test_changes_of_a_definition
        test_devices test_updates_of_a_running_machine
        test_stats test_domiflist
        test_stats test_domifstat_by_name_and_by_address
        test_stats test_domifaddr_from_the_neighbours_table
        test_commands test_of_a_domain[detach-interface *]
        test_commands test_of_a_domain[domif*]
        test_commands test_of_a_domain[domstats NAME]
        test_commands test_of_a_domain[domstats NAME --interface]
        test_commands test_of_a_domain[update-device NAME BASE/card.xml --config]
        """, devices="<interface type='bridge'><source bridge='BRIDGE'/><model type='virtio'/></interface>"),
    "the balloon": Lack("it has no virtio-balloon-pci", """
        test_events test_balloon_change
        test_stats test_an_emulator_that_hangs_holds_up_nobody*
        test_stats test_dommemstat
        test_tuning test_a_guest_gives_memory_back_and_gets_it_again
        test_tuning test_a_period_makes_the_guest_report
        test_tuning test_dommemstat_period
        test_tuning test_memory_of_a_transient_machine
        test_commands test_of_a_domain[dommemstat *]
        test_commands test_of_a_domain[domstats NAME --balloon]
        test_commands test_of_a_domain[setmem *]
        """, devices="<memballoon model='virtio'/>"),
    "firmware": Lack("it has no firmware in flash", """
        test_lifecycle test_reset_nvram_makes_the_variables_anew
        """, os="<loader readonly='yes' type='pflash'>IMAGE</loader>"),
    "limits of a disk": Lack("a limit there is of total_iops_sec alone", """
        test_tuning test_blkdeviotune_for_the_next_start
        test_tuning test_blkdeviotune_of_a_running_machine
        """),
    "the human monitor": Lack("it has QMP alone", """
        test_commands test_of_a_domain[qemu-monitor-command NAME --hmp *]
        """),
    "readers beside a writer": Lack("who only reads an image is excluded by nobody; QEMU's locks let none read", """
        test_recovery test_a_writer_keeps_readers_away
        """),
    "aarch64": Lack("KVM runs the host's own processor; machines of another are tried with --type qemu", """
        test_seed *[aarch64]
        """),
}


def pattern(line):
    file, name = line.split(" ", 1)
    return re.compile(f"{file}.py::" + ".*".join(map(re.escape, name.split("*"))))


def left_out(items, whole):
    """Those of the tests. A line that means no test of its file is an error, where its file is looked at as a whole."""
    found, files = [], {item.path.name for item in items}
    for lack in LACKS.values():
        for line in filter(None, map(str.strip, lack.tests.splitlines())):
            about = [item for item in items if pattern(line).fullmatch(f"{item.path.name}::{item.name}") and item not in found]
            if whole and not about and line.split(" ")[0] + ".py" in files:
                raise ValueError(f"lacks.py: no test is meant by '{line}'")
            lack.count += len(about)
            found += about
    return found


def told():
    return [f"{kind}: {lack.why}: {lack.count} tests" for kind, lack in LACKS.items()]
