#!/usr/bin/python3
"""Makes tables, a JSON document and a verdict on each target of what drive.py has measured.

A ratio is taken within a round, between runs that followed each other on the same server; the
median of a comparison's ratios is its result, the least and the greatest are its spread.
"""

import argparse
import json
import sys
from collections import defaultdict
from pathlib import Path
from statistics import median

# Workloads with a rate, and what their rates are compared with.
RATED = {"spread": ("floor", "app"), "hot": ("floor", "app"), "mixed": ("floor", "app"),
         "sold-out": ("noop", "app"), "low-stock": ("app",)}


class Measured:
    """The runs, by workload, number of clients, contender and round."""

    def __init__(self, lines):
        self.runs = [json.loads(line) for line in lines]
        self.environment = {}
        self.index = defaultdict(dict)
        for run in self.runs:
            if run["workload"] == "environment":
                self.environment = run
            else:
                key = run["workload"], run["clients"], run["contender"]
                self.index[key][run["round"]] = run

    def comparisons(self):
        """(workload, clients) in the order in which they were run."""
        return list(dict.fromkeys((w, c) for w, c, _ in self.index))

    def contenders(self, workload, clients):
        return [n for w, c, n in self.index if (w, c) == (workload, clients)]

    def values(self, workload, clients, contender, measure):
        rounds = self.index.get((workload, clients, contender), {})
        return {r: run[measure] for r, run in rounds.items() if measure in run}

    def ratios(self, workload, clients, contender, other, measure="rate", other_workload=None):
        """One against the other, round by round."""
        ours = self.values(workload, clients, contender, measure)
        theirs = self.values(other_workload or workload, clients, other, measure)
        return [ours[r] / theirs[r] for r in sorted(ours) if theirs.get(r)]

    def failures(self):
        return [(run, text) for run in self.runs for text in run.get("failures", [])]


# -- Tables -----------------------------------------------------------------------------------

def number(value):
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def spread(values, form=number):
    """The median, with the least and the greatest."""
    values = list(values)
    if not values:
        return "-"
    return f"{form(median(values))} ({form(min(values))} .. {form(max(values))})"


def ratio(value):
    return f"{value:.2f}" if value < 100 else f"{value:.0f}"


def table(heads, rows):
    widths = [max(len(str(row[i])) for row in [heads, *rows]) for i in range(len(heads))]
    for row in [heads, *rows]:
        cells = [str(row[0]).ljust(widths[0])]
        cells += [str(cell).rjust(width) for cell, width in zip(row[1:], widths[1:])]
        print("  " + "  ".join(cells).rstrip())


def rated(measured, workload, clients):
    """The table of one workload at one number of clients."""
    contenders = measured.contenders(workload, clients)
    others = [name for name in RATED[workload] if name in contenders]
    heads = ["contender", "calls/s", *(f"against {name}" for name in others), "p50 ms", "p99 ms",
             "retries/call"]
    rows = []
    for name in contenders:
        def get(measure, name=name):
            return measured.values(workload, clients, name, measure)
        calls, retries = get("calls"), get("retries")
        row = [name, spread(get("rate").values())]
        row += [spread(measured.ratios(workload, clients, name, other), ratio) for other in others]
        row += [number(median(get(p).values())) if get(p) else "-" for p in ("p50_ms", "p99_ms")]
        row.append(number(sum(retries.values()) / max(1, sum(calls.values())) or None))
        rows.append(row)
    print(f"\n{workload}, {clients} client{'s' if clients != 1 else ''}\n")
    table(heads, rows)


def size_steps(measured):
    return sorted({int(w.removeprefix("size-")) for w, _, _ in measured.index
                   if w.startswith("size-")})


def by_size(measured):
    """A row for each contender, a column for each size."""
    steps = size_steps(measured)
    names = measured.contenders(f"size-{steps[0]}", 1)
    print("\nsizes: calls/s of one session, by active rows in the tournament, "
          "synchronous_commit off\n")
    table(["contender", *(f"{step:,}" for step in steps), "most against least"],
          [[name, *(number(median(measured.values(f"size-{step}", 1, name, "rate").values()))
                    for step in steps),
            spread(measured.ratios(f"size-{steps[-1]}", 1, name, name, other_workload="size-100"),
                   ratio)] for name in names])


# Workloads of one figure: title, the figure's name, and whom the contenders are compared with.
FIGURES = {
    "cpu": ("microseconds of processor time of a call in its backend, one session, "
            "synchronous_commit off", "cpu_us", ("plpgsql-counter",)),
    "copy": ("milliseconds of a COPY of 100,000 enrollments", "ms", ("copy-unguarded",)),
    "instructions": ("instructions of a call in its backend", "instructions",
                     ("plpgsql-counter",)),
}


def figures(measured, workload):
    title, measure, others = FIGURES[workload]
    print(f"\n{workload}: {title}\n")
    table(["contender", "each", *(f"against {other}" for other in others)],
          [[name, spread(measured.values(workload, 1, name, measure).values()),
            *(spread(measured.ratios(workload, 1, name, other, measure), ratio)
              for other in others)] for name in measured.contenders(workload, 1)])


def memory(measured):
    for run in measured.index["memory", 1, "pg_enroll"].values():
        print(f"\nmemory: between the calls 1,000 and {run['calls']:,} of a session, its memory "
              f"contexts grew by {run['contexts_grown']:,} bytes from {run['contexts']:,},\n  "
              f"its anonymous memory by {run['anonymous_kb_grown']:,} kB from "
              f"{run['anonymous_kb']:,}")


def tables(measured):
    for workload, clients in measured.comparisons():
        if workload in RATED:
            rated(measured, workload, clients)
        elif workload in FIGURES:
            figures(measured, workload)
        elif workload == "memory":
            memory(measured)
    if size_steps(measured):
        by_size(measured)


# -- Targets ----------------------------------------------------------------------------------

def target(what, bound, values, least):
    """A target with its verdict. Without values it was not measured."""
    values = list(values)
    verdict = {"what": what, "target": f"{'>=' if least else '<='} {bound:g}", "measured": None}
    if values:
        middle = median(values)
        verdict.update(measured=middle, least=min(values), greatest=max(values), rounds=len(values))
        verdict["met"] = middle >= bound if least else middle <= bound
        verdict["missed_by"] = 0 if verdict["met"] else abs(middle - bound)
    return verdict


def at_least(what, bound, values):
    return target(what, bound, values, True)


def at_most(what, bound, values):
    return target(what, bound, values, False)


def targets(m):
    found = [at_least(f"hot, {clients} clients, against floor", 0.85,
                      m.ratios("hot", clients, "pg_enroll", "floor")) for clients in (16, 32, 64)]
    found += [
        at_least("hot, 16 clients, against app", 7, m.ratios("hot", 16, "pg_enroll", "app")),
        at_least("hot, 16 clients, against plpgsql-lock", 5,
                 m.ratios("hot", 16, "pg_enroll", "plpgsql-lock")),
        at_most("hot, 16 clients: p99 latency against floor's", 1.3,
                m.ratios("hot", 16, "pg_enroll", "floor", "p99_ms")),
        at_least("spread, 16 clients, against floor", 0.85,
                 m.ratios("spread", 16, "pg_enroll", "floor")),
        at_least("sold-out, 16 clients, against app", 10,
                 m.ratios("sold-out", 16, "pg_enroll", "app")),
        at_most("sold-out, 16 clients: transaction ids used", 0,
                m.values("sold-out", 16, "pg_enroll", "xids").values()),
        at_most("sold-out, 16 clients: WAL records written", 0,
                m.values("sold-out", 16, "pg_enroll", "wal_records").values()),
        at_least("sold-out, one client, against noop", 0.6,
                 m.ratios("sold-out", 1, "pg_enroll", "noop")),
    ]
    return found + costs(m)


def above_noop(m, workload, measure):
    """What a successful call costs above noop, pg_enroll against plpgsql-counter."""
    ours, theirs, noop = (m.values(workload, 1, name, measure)
                          for name in ("pg_enroll", "plpgsql-counter", "noop"))
    return [(ours[r] - noop[r]) / (theirs[r] - noop[r]) for r in ours if r in theirs and r in noop]


def costs(m):
    steps = size_steps(m) or [0]
    grown = m.values("memory", 1, "pg_enroll", "contexts_grown").values()
    return [
        at_most("instructions above noop, against plpgsql-counter", 1,
                above_noop(m, "instructions", "instructions")),
        at_most("(processor time above noop, against plpgsql-counter)", 1,
                above_noop(m, "cpu", "cpu_us")),
        at_least(f"tournament of {steps[-1]:,} active rows against 100" if steps[-1] else
                 "tournament of 1,000,000 active rows against 100", 0.95,
                 m.ratios(f"size-{steps[-1]}", 1, "pg_enroll", "pg_enroll",
                          other_workload="size-100")),
        at_most("COPY of 100,000 enrollments, guarded against unguarded", 1.15,
                m.ratios("copy", 1, "copy-guarded", "copy-unguarded", "ms")),
        at_most("raw INSERT, guarded against unguarded, instructions", 1.25,
                m.ratios("instructions", 1, "insert-guarded", "insert-unguarded", "instructions")),
        at_most("(the same in processor time)", 1.25,
                m.ratios("cpu", 1, "insert-guarded", "insert-unguarded", "cpu_us")),
        at_most("memory of a session, growth in bytes", 0, grown),
    ]


def verdict_rows(found):
    for row in found:
        if row["measured"] is None:
            yield row["what"], row["target"], "not measured", ""
            continue
        said = "met" if row["met"] else f"missed by {row['missed_by']:.3g}"
        yield (row["what"], row["target"],
               spread([row["least"], row["measured"], row["greatest"]], ratio), said)


# -- Main -------------------------------------------------------------------------------------

def document(measured, found):
    summary = []
    for (workload, clients, contender), rounds in measured.index.items():
        rates = [run["rate"] for run in rounds.values() if "rate" in run]
        entry = {"workload": workload, "clients": clients, "contender": contender}
        if rates:
            entry["rate"] = {"median": median(rates), "least": min(rates), "greatest": max(rates)}
            for other in RATED.get(workload, ()):
                against = measured.ratios(workload, clients, contender, other)
                if against:
                    entry[f"against_{other}"] = {"median": median(against), "least": min(against),
                                                 "greatest": max(against)}
        summary.append(entry)
    return {"environment": measured.environment, "targets": found, "summary": summary,
            "runs": [run for run in measured.runs if run["workload"] != "environment"]}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", type=Path, help="what drive.py wrote")
    parser.add_argument("json", type=Path, help="the document to write")
    options = parser.parse_args()
    measured = Measured(options.results.read_text(encoding="ascii").splitlines())
    tables(measured)
    found = targets(measured)
    print("\nTargets: median (least .. greatest) of the rounds\n")
    table(["target", "", "measured", ""], list(verdict_rows(found)))
    options.json.write_text(json.dumps(document(measured, found), indent=1) + "\n",
                            encoding="ascii")
    failures = measured.failures()
    for run, text in failures:
        print(f"FAILED: {run['workload']}, {run['clients']} clients, round {run['round'] + 1}, "
              f"{run['contender']}: {text}")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
