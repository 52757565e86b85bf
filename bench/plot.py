#!/usr/bin/python3
"""Draws what report.py wrote, as SVG and PNG."""

import argparse
import json
from pathlib import Path

import matplotlib
matplotlib.use("Agg")
from matplotlib import pyplot as plt  # noqa: E402 the backend is chosen first

# One colour for a contender in every picture: pg_enroll stands out, the yardsticks are grey.
COLOURS = {"pg_enroll": "#d62728", "app": "#1f77b4", "plpgsql-lock": "#2ca02c",
           "plpgsql-counter": "#9467bd", "cte": "#ff7f0e", "serializable": "#8c564b",
           "floor": "#555555", "noop": "#aaaaaa"}


class Summary:
    def __init__(self, path):
        self.entries = json.loads(path.read_text(encoding="ascii"))["summary"]

    def rates(self, workload, contender):
        """(clients, median, least, greatest), by number of clients."""
        return sorted((e["clients"], e["rate"]["median"], e["rate"]["least"], e["rate"]["greatest"])
                      for e in self.entries
                      if (e["workload"], e["contender"]) == (workload, contender) and "rate" in e)

    def workloads(self):
        return list(dict.fromkeys(e["workload"] for e in self.entries))


def errors(points):
    return [[p[1] - p[2] for p in points], [p[3] - p[1] for p in points]]


def by_clients(axes, summary, workload):
    """Calls a second over the number of clients; both axes logarithmic."""
    for name, colour in COLOURS.items():
        points = summary.rates(workload, name)
        if points:
            axes.errorbar([p[0] for p in points], [p[1] for p in points], yerr=errors(points),
                          label=name, color=colour, marker="o", markersize=4, capsize=2,
                          linestyle="--" if name in ("floor", "noop") else "-")
    ticks = sorted({p[0] for name in COLOURS for p in summary.rates(workload, name)})
    axes.set_xscale("log", base=2)
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.set_xlabel("clients")


def bars(axes, summary, workload):
    """Calls a second of a workload that has one number of clients."""
    found = [(name, summary.rates(workload, name)[0]) for name in COLOURS
             if summary.rates(workload, name)]
    found.sort(key=lambda item: item[1][1])
    axes.barh([name for name, _ in found], [p[1] for _, p in found],
              xerr=errors([p for _, p in found]), color=[COLOURS[name] for name, _ in found],
              capsize=2)
    for row, (_, point) in enumerate(found):
        axes.text(point[3], row, f"  {point[1]:,.0f}", va="center", fontsize=8)
    axes.set_xlim(0, axes.get_xlim()[1] * 1.15)
    axes.set_xlabel("calls a second")


def loads(summary, output):
    """The workloads under load, three in a row."""
    names = [w for w in ("spread", "hot", "sold-out", "low-stock", "mixed")
             if w in summary.workloads()]
    if not names:
        return
    columns = min(3, len(names))
    rows = -(-len(names) // columns)
    figure, grid = plt.subplots(rows, columns, figsize=(5 * columns, 4.2 * rows), squeeze=False)
    for axes in grid.flat[len(names):]:
        axes.set_axis_off()
    for axes, workload in zip(grid.flat, names):
        clients = {e["clients"] for e in summary.entries if e["workload"] == workload}
        if len(clients) > 1:
            by_clients(axes, summary, workload)
            axes.set_yscale("log")
            axes.set_ylabel("calls a second")
            axes.legend(fontsize=7)
            axes.set_title(workload)
        else:
            bars(axes, summary, workload)
            axes.set_title(f"{workload}, {clients.pop()} clients")
        axes.grid(alpha=0.3)
    save(figure, output, "rates")


def sizes(summary, output):
    """Calls a second of one session over the active rows of the tournament."""
    steps = sorted(int(w.removeprefix("size-")) for w in summary.workloads()
                   if w.startswith("size-"))
    if not steps:
        return
    figure, axes = plt.subplots(figsize=(6, 4.5))
    for name, colour in COLOURS.items():
        points = [summary.rates(f"size-{step}", name)[0] for step in steps
                  if summary.rates(f"size-{step}", name)]
        if points:
            axes.errorbar(steps, [p[1] for p in points], yerr=errors(points), label=name,
                          color=colour, marker="o", markersize=4, capsize=2)
    axes.set(xscale="log", yscale="log", xlabel="active rows in the tournament",
             ylabel="calls a second, one session", title="size of the tournament")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    save(figure, output, "sizes")


def save(figure, output, name):
    figure.tight_layout()
    for kind in ("svg", "png"):
        figure.savefig(output / f"{name}.{kind}", dpi=120)
    plt.close(figure)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("json", type=Path)
    parser.add_argument("output", type=Path, help="directory of the pictures")
    options = parser.parse_args()
    plt.rcParams["svg.hashsalt"] = "pg_enroll"
    summary = Summary(options.json)
    loads(summary, options.output)
    sizes(summary, options.output)


if __name__ == "__main__":
    main()
