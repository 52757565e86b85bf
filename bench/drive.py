#!/usr/bin/python3
"""Runs the contenders in turn against a server that run.sh has started.

Every measured run becomes one line of JSON in the results file, with what was measured and with
what the check of its end state found. report.py makes the tables of them.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

HERE = Path(__file__).resolve().parent

CONTENDERS = ("app", "plpgsql-lock", "plpgsql-counter", "cte", "serializable", "pg_enroll",
              "floor", "noop")
COUNTING = ("plpgsql-counter", "cte")
GUARDED = ("pg_enroll", "insert-guarded")

# Tournaments 1 to 10000 are those of "spread"; each run of "hot" has one of the next for itself,
# each run of "low-stock" a few of 500 seats; the last is sold out; reset.sql and schema.sql agree.
HOT, LOW_STOCK, SOLD_OUT, SIZED = 10001, 11001, 12001, 13001
SEATS = 500

# The way to a user and a tournament, and what follows the call. n and m are the client's calls that
# are done. They move on after the call: a call that is tried again starts at the script's top.
# A user whom no other call of the run has, by a permutation so that neighbours in time are not
# neighbours on a page. "position" keeps the runs of a round apart.
NEXT_USER = "\\set user 1 + permute(:n * :clients + :client_id, :users, :seed)\n"
SPREAD = NEXT_USER + "\\set tournament 1 + (:user * 7919 + :position * 101) % 10000\n"
AT_HOME = NEXT_USER + "\\set tournament :home\n"
ANY_USER = "\\set user random(1001, :users)\n\\set tournament :home\n"
LOTS = NEXT_USER + "\\set tournament :home + :n / :share\n"
SIZES = NEXT_USER.replace("1 +", ":rows + 1 +") + "\\set tournament :home + :n % :of_size\n"
DONE = "\\set n :n + 1\n"


class Failed(Exception):
    """A run that could not be made."""


class Bench:
    """The options, the database, and the file of results."""

    def __init__(self, options):
        self.options = options
        self.scratch = Path(options.scratch)
        self.results = open(options.results, "a", encoding="ascii")
        self.failures = 0

    def psql(self, text, **variables):
        """Runs SQL and answers what it printed."""
        command = [f"{self.options.bin}/psql", "-XqAt", "-v", "ON_ERROR_STOP=1", "-d", "bench"]
        for name, value in variables.items():
            command += ["-v", f"{name}={value}"]
        done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise Failed(done.stderr)
        return done.stdout.strip()

    def file(self, name, **variables):
        return self.psql((HERE / name).read_text(encoding="ascii"), **variables)

    def pgbench(self, scripts, arguments, variables, settings=""):
        """Runs pgbench and answers its summary."""
        command = [f"{self.options.bin}/pgbench", "-n", "-M", "prepared", *arguments]
        for number, (text, weight) in enumerate(scripts):
            path = self.scratch / f"script{number}.sql"
            path.write_text(text, encoding="ascii")
            command += ["-f", f"{path}@{weight}"]
        for name, value in variables.items():
            command += ["-D", f"{name}={value}"]
        environment = {**os.environ, "PGOPTIONS": settings}
        done = subprocess.run([*command, "bench"], capture_output=True, text=True, check=False,
                              cwd=self.scratch, env=environment)
        if done.returncode != 0:
            raise Failed(done.stdout + done.stderr)
        return summary(done.stdout)

    def logged(self):
        """What pgbench -l has logged: (when it ended, how long it took) of each transaction, in
        microseconds, by its end."""
        found = []
        for path in self.scratch.glob("pgbench_log.*"):
            with open(path, encoding="ascii") as lines:
                fields = [line.split() for line in lines]
            found += [(int(f[4]) * 1000000 + int(f[5]), int(f[2])) for f in fields
                      if f[2].isdigit()]
            path.unlink()
        return sorted(found)

    def record(self, **run):
        run["failures"] = run.get("failures", [])
        self.failures += len(run["failures"])
        self.results.write(json.dumps(run) + "\n")
        self.results.flush()
        rate = f"{run['rate']:10.0f} /s" if "rate" in run else ""
        print(f"  {run['workload']:12} {run.get('clients', 1):3} clients  round {run['round'] + 1}"
              f"  {run['contender']:18}{rate}", "  ".join(run["failures"]), flush=True)


def summary(text):
    """What pgbench says at its end."""
    def number(pattern):
        found = re.search(pattern, text)
        return float(found.group(1)) if found else 0
    return {"calls": int(number(r"actually processed: (\d+)")),
            "failed": int(number(r"failed transactions: (\d+)")),
            "retries": int(number(r"total number of retries: (\d+)"))}


def warm_seconds(clients):
    """How long new sessions make plans and fill caches; what they do meanwhile is not counted."""
    return 1 + clients // 32


def measured(calls, first, seconds):
    """Rate and percentiles, in milliseconds, of the calls that ended in a span of time."""
    took = sorted(took for end, took in calls if first < end <= first + seconds * 1000000)
    shares = {f"p{p}_ms": took[min(len(took) - 1, len(took) * p // 100)] / 1000
              for p in (50, 95, 99) if took}
    return {"rate": len(took) / seconds, **shares}


def timed_run(bench, scripts, clients, variables, more=(), options=""):
    """Runs under load for the warm-up and the seconds that are measured."""
    warm, seconds = warm_seconds(clients), bench.options.seconds
    arguments = ["-l", "-c", str(clients), "-j", str(min(clients, os.cpu_count())),
                 "-T", str(warm + seconds), *more]
    run = bench.pgbench(scripts, arguments, variables, options)
    calls = bench.logged()
    if not calls:
        raise Failed("no call was made")
    began = min(end - took for end, took in calls)
    return {**run, **measured(calls, began + warm * 1000000, seconds)}


def script(contender, operation="enroll"):
    return (HERE / "contenders" / f"{contender}.{operation}.sql").read_text(encoding="ascii")


def trying(contender):
    """The call where a rejection is an answer and not an error."""
    return script(contender, "try" if contender == "pg_enroll" else "enroll")


def schema(contender):
    return "guarded" if contender in GUARDED else "twin"


def settings(contender):
    return "-c default_transaction_isolation=serializable" if contender == "serializable" else ""


def turns(contenders, number):
    """The contenders in the order of a round: each round begins with another one."""
    start = number * 3 % len(contenders)
    return list(enumerate(contenders))[start:] + list(enumerate(contenders))[:start]


# -- The end state ----------------------------------------------------------------------------

COUNTERS = {
    "guarded": "SELECT tournament::bigint, sum(taken) FROM enroll_seat GROUP BY 1",
    "counting": "SELECT id, taken FROM twin.tournaments",
    "none": "SELECT NULL::bigint, NULL::bigint WHERE false",
}


def counter(contender):
    if contender in GUARDED:
        return COUNTERS["guarded"]
    return COUNTERS["counting" if contender in COUNTING else "none"]


def before(bench, contender):
    """The state to compare with; the counting contenders' counters are set right first."""
    if contender in COUNTING:
        bench.psql("""UPDATE twin.tournaments t SET taken = coalesce(n, 0)
                      FROM twin.tournaments k LEFT JOIN (SELECT tournament_id, count(*) AS n
                        FROM twin.enrollments WHERE is_active GROUP BY 1) AS c
                        ON tournament_id = k.id
                      WHERE k.id = t.id AND t.taken <> coalesce(n, 0)""")
    return json.loads(bench.psql(f"""
        SELECT json_build_object(
          'enrollment', (SELECT coalesce(max(id), 0) FROM {schema(contender)}.enrollments),
          'ledger', (SELECT coalesce(max(id), 0) FROM {schema(contender)}.credit_transactions),
          'balances', (SELECT sum(credit_balance) FROM {schema(contender)}.users),
          'lsn', pg_current_wal_insert_lsn(), 'wal', pg_current_wal_insert_lsn() - '0/0',
          'xid', pg_snapshot_xmax(pg_current_snapshot()))
        """))


def used(bench, start):
    """Transaction ids and bytes of WAL since then."""
    now = json.loads(bench.psql("""SELECT json_build_object(
        'lsn', pg_current_wal_insert_lsn(), 'wal', pg_current_wal_insert_lsn() - '0/0',
        'xid', pg_snapshot_xmax(pg_current_snapshot()))"""))
    kinds = wal_kinds(bench, start["lsn"], now["lsn"])
    return {"wal_bytes": int(now["wal"]) - int(start["wal"]), "wal_kinds": kinds,
            "wal_records": sum(kinds.values()), "xids": int(now["xid"]) - int(start["xid"])}


def wal_kinds(bench, start, end):
    """How many records of each kind lie between the two positions, but for the server's own, which
    it writes from time to time whoever calls what."""
    if start == end:
        return {}
    bench.psql("SELECT pg_switch_wal()")
    directory = bench.psql("SHOW data_directory")
    done = subprocess.run([f"{bench.options.bin}/pg_waldump", "-p", f"{directory}/pg_wal",
                           "-s", start, "-e", end], capture_output=True, text=True, check=True)
    found = re.findall(r"^rmgr: (\w+) .* desc: (\w+)", done.stdout, re.MULTILINE)
    return Counter(f"{manager} {kind}" for manager, kind in found
                   if manager not in ("Standby", "XLOG"))


def verify(bench, contender, start, expected, ledger=True):
    """What is wrong with the end state, as a list of texts. expected(state) adds to it."""
    if contender == "noop":
        return []
    state = json.loads(bench.file("verify.sql", schema=schema(contender),
                                  enrollment=start["enrollment"], ledger=start["ledger"],
                                  counter=counter(contender)))
    names = {"oversold": "tournaments oversold", "twice": "users enrolled twice",
             "miscounted": "counters that differ from the rows",
             "broken": "ledger rows that do not fit the balances"}
    if ledger:
        names["unledgered"] = "enrollments without a ledger row"
    wrong = [f"{state[name]} {text}" for name, text in names.items() if state[name]]
    if state["balances"] - start["balances"] != state["ledger"]:
        wrong.append("the balances moved by another sum than the ledger's")
    return wrong + expected(state)


def all_done(run):
    """Each call of the run enrolled or withdrew."""
    def expected(state):
        done = state["rows"] + state["withdrawn"]
        return [] if done == run["calls"] else [f"{run['calls']} calls, {done} changes"]
    return expected


def none_done(state):
    return [f"{state['rows']} sold after the last seat"] if state["rows"] else []


# -- Workloads under load ---------------------------------------------------------------------

def storm(bench, workload, contender, clients, number, position):
    """One measured run of hot, spread, sold-out or mixed."""
    options = bench.options
    home = SOLD_OUT if workload == "sold-out" else HOT + position
    variables = {"n": 0, "m": 0, "clients": clients, "users": options.users,
                 "seed": number + 1, "position": position, "home": home}
    if workload == "mixed":
        scripts = mixed(contender)
    elif workload == "sold-out":
        scripts = [(ANY_USER + trying(contender) + DONE, 1)]
    else:
        way = SPREAD if contender == "floor" or workload == "spread" else AT_HOME
        scripts = [(way + script(contender) + DONE, 1)]
    more = ["--max-tries", "0"] if contender == "serializable" else []
    start = before(bench, contender)
    run = timed_run(bench, scripts, clients, variables, more, settings(contender))
    run.update(used(bench, start))
    expected = none_done if workload == "sold-out" else all_done(run)
    bench.record(workload=workload, contender=contender, clients=clients, round=number, **run,
                 failures=verify(bench, contender, start, expected))


def mixed(contender):
    """Three enroll for two that withdraw the oldest of their client's own enrollments."""
    way = SPREAD if contender == "floor" else AT_HOME
    enroll = way + script(contender) + DONE
    withdraw = way.replace(":n ", ":m ") + script(contender, "unenroll") + "\\set m :m + 1\n"
    return [(enroll, 3), (f"\\if :m < :n\n{withdraw}\\else\n{enroll}\\endif\n", 2)]


def compare(bench, workload, contenders, clients_list, rounds):
    for clients in clients_list:
        for number in range(rounds):
            bench.file("reset.sql")
            for position, contender in turns(contenders, number):
                storm(bench, workload, contender, clients, number, position)


def low_stock(bench):
    """Tournaments of 500 seats, one after the other, until each is sold out; the time is taken
    from where the first of them is."""
    options = bench.options
    clients, lots = 32, options.lots + 1
    share = -(-(SEATS + 1) // clients)
    contenders = [c for c in CONTENDERS if c not in ("floor", "noop")]
    for number in range(options.side_rounds):
        bench.file("reset.sql")
        for position, contender in turns(contenders, number):
            variables = {"n": 0, "clients": clients, "users": options.users, "seed": number + 1,
                         "home": LOW_STOCK + position * lots, "share": share}
            text = LOTS + trying(contender) + DONE
            arguments = ["-l", "-c", clients, "-j", os.cpu_count(), "-t", share * lots]
            if contender == "serializable":
                arguments += ["--max-tries", 100000]
            start = before(bench, contender)
            run = bench.pgbench([(text, 1)], map(str, arguments), variables, settings(contender))
            calls = bench.logged()
            first, last = calls[share * clients - 1][0], calls[-1][0]
            run.update(measured(calls, first, (last - first) / 1000000))
            run.update(used(bench, start))

            def all_sold(state):
                seats = SEATS * lots
                return [] if state["rows"] == seats else [f"{state['rows']} of {seats} seats sold"]
            bench.record(workload="low-stock", contender=contender, clients=clients, round=number,
                         **run, failures=verify(bench, contender, start, all_sold))


# -- One session ------------------------------------------------------------------------------

QUICK_COMMITS = "-c synchronous_commit=off"


def readings(bench):
    """The difference between the last two readings of a session, and the former of them."""
    first, last = (json.loads(line) for line in bench.psql(
        "SELECT row_to_json(r) FROM bench.readings r ORDER BY calls").splitlines()[-2:])
    bench.psql("TRUNCATE bench.readings")
    return {name: last[name] - first[name] for name in first}, first


def reads_at(*counts):
    """Script text that takes a reading before the call of each of these numbers: one statement for
    all, since each statement that a session prepares takes memory."""
    now = " or ".join(f":n = {count}" for count in counts)
    return f"\\if {now}\nSELECT bench.read(:n);\n\\endif\n"


# What one session runs: the way to a user and a tournament, and the statement.
ALONE = {**{name: (AT_HOME, script(name)) for name in CONTENDERS},
         "floor": (SPREAD, script("floor")),
         "pg_enroll, sold out": (ANY_USER, script("pg_enroll", "try")),
         "insert-guarded": (AT_HOME, script("insert-guarded")),
         "insert-unguarded": (AT_HOME, script("insert-unguarded"))}


def session(bench, name, number, position, calls, probes):
    """Makes calls in one session of its own."""
    way, text = ALONE[name]
    variables = {"n": 0, "clients": 1, "users": bench.options.users, "seed": number + 1,
                 "position": position,
                 "home": SOLD_OUT if name.endswith("sold out") else HOT + position}
    return bench.pgbench([(way + probes + text + DONE, 1)], ["-c", "1", "-t", str(calls)],
                         variables, f"{QUICK_COMMITS} {settings(name)}")


def processor_time(bench):
    """Time on the processor of a call, of the server's process alone."""
    warm, calls = (200, 1000) if bench.options.seconds == 1 else (1000, 5000)
    for number in range(bench.options.side_rounds):
        bench.file("reset.sql")
        for position, name in turns(list(ALONE), number):
            contender, _, sold_out = name.partition(", ")
            start = before(bench, contender)
            run = session(bench, name, number, position, warm + calls + 1,
                          reads_at(warm, warm + calls))
            spent, _ = readings(bench)
            bench.record(workload="cpu", contender=name, clients=1, round=number,
                         cpu_us=spent["cpu_ns"] / spent["calls"] / 1000,
                         failures=verify(bench, contender, start,
                                         none_done if sold_out else all_done(run),
                                         ledger=not contender.startswith("insert")))


def copy(bench):
    """COPY of 100,000 enrollments over the tournaments of "spread"."""
    path = bench.scratch / "enrollments.tsv"
    with open(path, "w", encoding="ascii") as rows:
        rows.writelines(f"{user}\t{1 + (user * 7919 + 777) % 10000}\n"
                        for user in range(20001, 120001))

    def all_there(state):
        return [] if state["rows"] == 100000 else [f"{state['rows']} rows of 100000"]
    for number in range(bench.options.side_rounds):
        bench.file("reset.sql")
        for _, name in turns(["insert-guarded", "insert-unguarded"], number):
            start = before(bench, name)
            said = bench.psql(f"\\timing on\nCOPY {schema(name)}.enrollments "
                              f"(user_id, tournament_id) FROM '{path}'")
            took = float(re.search(r"Time: ([\d.]+) ms", said).group(1))
            bench.record(workload="copy", contender=name.replace("insert", "copy"), clients=1,
                         round=number, ms=took,
                         failures=verify(bench, name, start, all_there, ledger=False))


# Of ten calls one enrolls, one withdraws the same user, and eight are rejected in three ways.
ALL_SORTS = """\\set user 1 + :n / 10 % :users
\\set way :n % 10
\\if :way = 0
SELECT * FROM enroll(:user::bigint, :home::bigint);
\\elif :way = 9
SELECT * FROM unenroll(:user::bigint, :home::bigint);
\\elif :way % 3 = 0
SELECT * FROM try_enroll(:user::bigint, :home::bigint);
\\elif :way % 3 = 1
SELECT * FROM try_enroll(:user::bigint, -1::bigint);
\\else
SELECT * FROM try_enroll(1001 + :user::bigint, :sold_out::bigint);
\\endif
\\set n :n + 1
"""


def memory(bench):
    """What a session's memory grows by between its first thousand calls and its last. A reading
    before them takes the memory that readings need."""
    calls = bench.options.calls
    bench.file("reset.sql")
    start = before(bench, "pg_enroll")
    variables = {"n": 0, "users": bench.options.users - 1001, "home": HOT, "sold_out": SOLD_OUT}
    bench.pgbench([(reads_at(900, 1000, calls) + ALL_SORTS, 1)], ["-c", "1", "-t", str(calls + 1)],
                  variables, QUICK_COMMITS)
    grown, first = readings(bench)

    def all_changed(state):
        changed = state["rows"] + state["withdrawn"]
        wanted = -(-(calls + 1) // 10) + (calls + 1) // 10
        return [] if changed == wanted else [f"{changed} changes, not {wanted}"]
    bench.record(workload="memory", contender="pg_enroll", clients=1, round=0, calls=calls,
                 contexts_grown=grown["context_bytes"], contexts=first["context_bytes"],
                 anonymous_kb_grown=grown["anonymous_kb"], anonymous_kb=first["anonymous_kb"],
                 failures=verify(bench, "pg_enroll", start, all_changed))


# -- Sizes ------------------------------------------------------------------------------------

def sizes(bench):
    """One session enrolling into tournaments that have a number of active rows already."""
    options = bench.options
    steps = [size for size in (100, 1000, 10000, 100000, 1000000) if size <= options.rows]
    bench.file("reset.sql")
    first, homes = SIZED, {}
    for size in steps:
        homes[size] = first, max(1, min(100, 100000 // size))
        bench.file("sizes.sql", first=first, last=first + homes[size][1] - 1, size=size,
                   users=options.users + options.rows)
        first += homes[size][1]
    bench.psql("VACUUM ANALYZE")
    cases = [(name, size) for name in ("pg_enroll", "plpgsql-lock", "plpgsql-counter")
             for size in steps]
    for number in range(options.side_rounds):
        for _, (name, size) in turns(cases, number):
            sized(bench, name, size, homes[size], number)


def sized(bench, name, size, home, number):
    """One run; its rows go again, so that the next one finds the size it was promised."""
    options = bench.options
    start = before(bench, name)
    variables = {"n": 0, "clients": 1, "users": options.users, "rows": options.rows,
                 "seed": number + 1, "home": home[0], "of_size": home[1]}
    run = timed_run(bench, [(SIZES + script(name) + DONE, 1)], 1, variables, options=QUICK_COMMITS)
    wrong = verify(bench, name, start, all_done(run))
    bench.psql(f"""DELETE FROM {schema(name)}.credit_transactions WHERE id > {start['ledger']};
                   DELETE FROM {schema(name)}.enrollments WHERE id > {start['enrollment']};
                   VACUUM {schema(name)}.enrollments, {schema(name)}.credit_transactions""")
    bench.record(workload=f"size-{size}", contender=name, clients=1, round=number, **run,
                 failures=wrong)


# -- Instructions -----------------------------------------------------------------------------

COUNTED = ("noop", "floor", "plpgsql-lock", "plpgsql-counter", "pg_enroll", "pg_enroll, sold out",
           "insert-guarded", "insert-unguarded")


def instructions(bench):
    """Instructions of a call, on a server that runs under callgrind: the difference between two
    sessions of which one makes more calls, so that what only the first calls need is left out.
    "cpu" makes the same calls and looks at what they leave behind, which would take long here."""
    few, many = 50, 250
    probe = "\\if :n = 0\nINSERT INTO bench.backends VALUES (pg_backend_pid());\n\\endif\n"
    for position, name in enumerate(COUNTED):
        totals = []
        for number, calls in enumerate((few, many)):
            session(bench, name, number, position + 10 * number, calls, probe)
            totals.append(total(bench))
        bench.record(workload="instructions", contender=name, clients=1, round=0,
                     instructions=(totals[1] - totals[0]) / (many - few))


def total(bench):
    """What callgrind has counted in the session that has just ended."""
    pid = bench.psql("DELETE FROM bench.backends RETURNING pid")
    path = Path(bench.options.counts) / f"callgrind.{pid}"
    for _ in range(600):
        found = re.search(r"^(?:summary|totals): (\d+)", path.read_text(encoding="utf-8"),
                          re.MULTILINE) if path.exists() else None
        if found:
            return int(found.group(1))
        time.sleep(0.1)
    raise Failed(f"callgrind has left no {path}")


# -- Main -------------------------------------------------------------------------------------

def environment(bench):
    """On what all this was measured."""
    options = bench.options
    filesystem = subprocess.run(["stat", "-f", "-c", "%T", str(bench.scratch)], check=False,
                                capture_output=True, text=True).stdout.strip()
    about = {"workload": "environment", "server": bench.psql("SELECT version()"),
             "kernel": os.uname().release, "processors": os.cpu_count(),
             "filesystem": filesystem, "began": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
             "rounds": options.rounds, "seconds": options.seconds, "users": options.users,
             "settings": dict(line.split("|") for line in bench.psql(
                 "SELECT name, setting FROM pg_settings WHERE name IN ('fsync', "
                 "'synchronous_commit', 'shared_buffers', 'autovacuum', 'max_wal_size', "
                 "'wal_sync_method', 'full_page_writes') ORDER BY name").splitlines())}
    bench.results.write(json.dumps(about) + "\n")


def run_workloads(bench):
    options = bench.options
    selling = [name for name in CONTENDERS if name != "noop"]
    rejecting = [name for name in CONTENDERS if name != "floor"]
    steps = {
        "spread": lambda: compare(bench, "spread", selling, options.clients, options.rounds),
        "hot": lambda: compare(bench, "hot", selling, options.clients, options.rounds),
        "sold-out": lambda: compare(bench, "sold-out", rejecting, sorted({1, *options.clients}),
                                    options.rounds),
        "low-stock": lambda: low_stock(bench),
        "mixed": lambda: compare(bench, "mixed", selling, [16], options.side_rounds),
        "cpu": lambda: processor_time(bench),
        "copy": lambda: copy(bench),
        "memory": lambda: memory(bench),
        "sizes": lambda: sizes(bench),
        "instructions": lambda: instructions(bench),
    }
    for name, step in steps.items():
        if name in options.only and (name != "instructions" or options.counts):
            step()


def parse():
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("bin", "scratch", "results"):
        parser.add_argument(f"--{name}", required=True)
    for name in ("users", "rounds", "side-rounds", "seconds", "lots", "calls", "rows"):
        parser.add_argument(f"--{name}", type=int, required=True)
    parser.add_argument("--clients", required=True)
    parser.add_argument("--counts", help="where callgrind leaves its files, if the server has it")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--load", action="store_true", help="make the tables")
    what.add_argument("--only", help="workloads, separated by commas")
    options = parser.parse_args()
    options.only = (options.only or "").split(",")
    options.clients = [int(n) for n in options.clients.split(",")]
    return options


def main():
    options = parse()
    bench = Bench(options)
    try:
        if options.load:
            bench.file("schema.sql", users=options.users)
            environment(bench)
        else:
            run_workloads(bench)
    except Failed as failed:
        sys.exit(str(failed))


if __name__ == "__main__":
    main()
