"""Figures beside their peer's: what is measured in turns, printed as a ratio with its bounds."""

import math
import os
import pathlib
import platform
import statistics


def median_ratio(ours, peers):
    """The median of the pairs' ratios and its 95 % bounds, by order statistics: no shape of the figures is assumed."""
    ratios = sorted(one / other for one, other in zip(ours, peers) if other)
    n = len(ratios)
    reach = math.ceil(0.98 * math.sqrt(n))
    low, high = max(0, n // 2 - reach), min(n - 1, (n - 1) // 2 + reach)
    return statistics.median(ratios), ratios[low], ratios[high]


def in_turns(rounds, *measures):
    """Each measure once a round, in turns that change their order, so that what drifts meets all alike. A list a measure."""
    figures = [[] for _ in measures]
    for turn in range(rounds):
        order = range(len(measures)) if turn % 2 == 0 else reversed(range(len(measures)))
        for which in order:
            figures[which].append(measures[which]())
    return figures


def shown(value, unit):
    scale = {"s": [(1e-3, "µs", 1e6), (1, "ms", 1e3), (math.inf, "s", 1)], "B": [(math.inf, "MiB", 1 / (1 << 20))]}.get(unit)
    if not scale:
        return f"{value:.4g} {unit}".strip()
    _, name, factor = next(step for step in scale if value < step[0])
    return f"{value * factor:.3g} {name}"


class Table:
    """Rows of a figure and those it stands beside, as Markdown."""

    def __init__(self, title, *peers, ours="here"):
        self.title, self.columns, self.rows = title, (ours, peers), []

    def add(self, what, unit, ours, *peers, goal=""):
        """Lists of figures of the same rounds; or single ones."""
        lists = [one if isinstance(one, list) else [one] for one in (ours, *peers)]
        cells = [what, shown(statistics.median(lists[0]), unit)]
        for peer in lists[1:]:
            middle, low, high = median_ratio(lists[0], peer)
            bounds = f" ({low:.2f}–{high:.2f})" if len(peer) > 1 else ""
            cells += [shown(statistics.median(peer), unit), f"{middle:.2f}{bounds}"]
        self.rows.append([*cells, goal])
        print("  " + " | ".join(cells), flush=True)

    def __str__(self):
        ours, peers = self.columns
        head = ["", ours, *(cell for peer in peers for cell in (peer, "ratio")), "goal"]
        lines = [head, ["---"] * len(head), *self.rows]
        return f"## {self.title}\n\n" + "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def machine():
    """What it was measured on."""
    model = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "an unknown processor")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)
    release = dict(line.rstrip().split("=", 1) for line in open("/etc/os-release") if "=" in line)["PRETTY_NAME"].strip('"')
    return f"{os.cpu_count()} × {model}, {memory:.0f} GiB, {release}, Linux {platform.release()}"


def write_section(path, name, text):
    """Puts `text` between the marks of section `name` of a document, at its end where there is none yet."""
    begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->\n"
    path = pathlib.Path(path)
    before = path.read_text() if path.exists() else ""
    if begin in before:
        head, rest = before.split(begin, 1)
        tail = rest.split(end, 1)[1]
    else:
        head, tail = before and before.rstrip() + "\n\n", ""
    path.write_text(head + begin + text + end + tail)
