"""The table of what was tried and what was lost."""

import dataclasses
import datetime
import os
import pathlib
import platform

ROWS = []


@dataclasses.dataclass
class Row:
    fault: str
    rounds: int
    lost: int
    file: str

    def line(self):
        return f"{self.fault}: {self.rounds} rounds, {self.lost} lost"


def add(fault, rounds, lost, file):
    """A row, or more rounds of one."""
    same = next((row for row in ROWS if (row.fault, row.file) == (fault, file)), None)
    if same:
        same.rounds, same.lost = same.rounds + rounds, same.lost + lost
    else:
        ROWS.append(Row(fault, rounds, lost, file))


def machine():
    processors = next(line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name"))
    gibibytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 30
    return f"{os.cpu_count()} × {processors}, {gibibytes} GiB, Linux {platform.release()}"


def write(document, seed, failed):
    """A test that failed may not have come to its row: it is named."""
    lines = [
        "# Reliability",
        "",
        f"Written by `make soak` on {datetime.date.today()}, on {machine()}, with seed {seed}. A round is one fault and everything looked at after it; lost is",
        "what was acknowledged and then not there, or was left behind, or was not answered ([testing.md](testing.md)).",
        "",
        "| fault | rounds | lost | command |",
        "| --- | --- | --- | --- |",
    ]
    lines += [f"| {row.fault} | {row.rounds} | {row.lost} | `make test-fault ARGS=\"--soak --seed {seed} -k {pathlib.Path(row.file).stem}\"` |" for row in ROWS]
    if failed:
        lines += ["", "Failed: " + ", ".join(f"`{name}`" for name in failed) + "."]
    document.write_text("\n".join(lines) + "\n")
