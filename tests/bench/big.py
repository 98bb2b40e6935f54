"""A registry of many namespaces: what each operation on it takes, and how long
it keeps the core loop from everything else."""
import http.client
import json
import os
import signal
import time
import urllib.request

import bodies
import parts
from method import Row, middle

ROWS = {
    "big-load": "resources of 200 bytes, ten in each of many leaves",
    "big-reads": "one list, one resource by its name, all namespaces",
    "big-turns": "the core loop's longest turn in each operation on them",
    "big-restart": "ready again with them after kill -9 and SIGTERM",
    "big-leases": "many agents: renewals, pages, restart, all silent at once",
}
EACH, A_BRANCH = 10, 1000
TURN_US, RESTART_S = 20_000, 2.0
MIB = 1 << 20
TURNS = "roster_loop_turn_duration_seconds_bucket"


def group(bench, wants):
    if any(wants(n) for n in list(ROWS)[:4]):
        yield from many_resources(bench, wants)
        bench.down()
    if wants("big-leases"):
        yield many_leases(bench)


# ---- what the core loop did ----

class Turns:
    """A row of operations: the time of each, and the turns of the core loop
    meanwhile. What took a long one is in the server's own figures."""

    def __init__(self, row):
        self.row, self.samples = row, {}

    def during(self, roster, name, do):
        before = figures(roster)
        cpu, began = roster.cpu_us(), time.monotonic()
        faults = do() or []
        seconds = time.monotonic() - began
        time.sleep(0.15)    # a turn ends, and what it was is told
        self.samples[name] = {
            "seconds": seconds, "cpu_us": roster.cpu_us() - cpu,
            "faults": [f"{name}: {f}" for f in faults],
            **longest(before, figures(roster))}

    def close(self):
        self.row.take([{"order": list(self.samples), "samples": self.samples}],
                      ("seconds", "cpu_us", "turn_us", "long"))
        for name, s in self.samples.items():
            self.row.notes.append(
                f"{name}: {s['seconds']:.2f} s, {s['cpu_us'] / 1e6:.2f} s of "
                f"the processor; longest turn at most {s['turn_us'] / 1e3:g} "
                f"ms, {s['long']} above 20 ms"
                + "".join(f", {n} by {step}" for step, n in s["by"].items()))
        self.row.bound("no turn of the core loop above 20 ms",
                       middle([s["turn_us"] for s in self.samples.values()]),
                       lambda _: all(s["turn_us"] <= TURN_US
                                     for s in self.samples.values()))
        return self.row


def figures(roster):
    found = {}
    with urllib.request.urlopen(
            f"http://127.0.0.1:{roster.port}/metrics", timeout=60) as answer:
        for line in answer.read().decode().splitlines():
            if line.startswith("roster_"):
                name, _, value = line.rpartition(" ")
                found[name] = float(value)
    return found


def label(name):
    return name.split('"')[1]


def longest(before, after):
    """The bound of the highest bucket that grew; the maximum when it did."""
    turn_us, counted = 0, 0
    for name, value in after.items():   # in order of their bounds
        if name.startswith(TURNS):
            grown = value - before.get(name, 0)
            if grown > counted and label(name) != "+Inf":
                turn_us = float(label(name)) * 1e6
            elif grown > counted:
                turn_us = after["roster_loop_turn_max_seconds"] * 1e6
            counted = grown
    top = "roster_loop_turn_max_seconds"
    if after[top] > before.get(top, 0):
        turn_us = after[top] * 1e6
    by = {label(n): int(v - before.get(n, 0)) for n, v in after.items()
          if n.startswith("roster_loop_long_turns_total")
          and v > before.get(n, 0)}
    return {"turn_us": turn_us, "long": sum(by.values()), "by": by}


# ---- resources ----

def branch(i):
    return f"b{i:012}.roster"


def leaf(i):
    return f"l{i % A_BRANCH:012}.{branch(i // A_BRANCH)}"


def many_resources(bench, wants):
    n = max(A_BRANCH, bench.options.namespaces // A_BRANCH * A_BRANCH)
    roster = bench.up("roster", lambda: bench.make_roster(
        ["--drain", "50ms"]))
    row = Row("big-load", ROWS["big-load"])
    turns = Turns(row)
    turns.during(roster, "namespaces", lambda: make_namespaces(
        bench, roster, n // A_BRANCH))
    turns.during(roster, "resources", lambda: add_resources(
        bench, roster, n // A_BRANCH))
    turns.close()
    took = turns.samples["resources"]["seconds"]
    row.notes.append(
        f"{n:,} namespaces, {n * EACH:,} resources, {n * EACH / took:,.0f} a "
        f"second; store {parts.size_on_disk(roster.data + '/data/store') / MIB:.0f} MiB, "
        f"RssAnon {roster.memory()['rss_anon'] / MIB:.0f} MiB")
    kept = figures(roster)["roster_resources"]
    if kept != n * EACH:
        row.refuse(f"{n * EACH} were added, {kept:.0f} are there")
    if wants("big-load"):
        yield row
    if wants("big-reads"):
        yield reads(roster, n)
    if wants("big-turns"):
        yield operations(bench, roster, n)
    if wants("big-restart"):
        yield restarts(roster, "big-restart", n >= 100_000)


def make_namespaces(bench, roster, branches):
    faults = bench.load(roster, bodies.http(
        "POST", "/v1/ns", {"parent": "roster", "name": "b" + bodies.REQUEST,
                           "kind": "branch"}),
        n=branches, connections=8)["faults"]
    for i in range(branches):
        faults += bench.load(roster, bodies.http(
            "POST", "/v1/ns", {"parent": branch(i), "kind": "leaf",
                               "name": "l" + bodies.REQUEST}),
            n=A_BRANCH, connections=64)["faults"]
    return faults


def add_resources(bench, roster, branches):
    faults = []
    for i in range(branches):
        faults += bench.load(roster, bodies.http(
            "POST", f"/v1/ns/l{bodies.REQUEST}.{branch(i)}/service",
            [bodies.resource()] * EACH),
            n=A_BRANCH, connections=256)["faults"]
    return faults


def reads(roster, n):
    row = Row("big-reads", ROWS["big-reads"])
    turns = Turns(row)
    turns.during(roster, "100 lists", lambda: [
        roster.call("GET", f"/v1/ns/{leaf(i * n // 100)}/service")
        for i in range(100)] and None)
    name = roster.call("GET", f"/v1/ns/{leaf(n // 2)}/service")[0]["name"]

    def by_name():
        found = roster.call("GET", "/v1/search?type=service&k=name&mode=exact"
                            f"&v={name}")
        return [] if list(found) == [leaf(n // 2)] else ["found elsewhere"]
    turns.during(roster, "a search by name", by_name)
    turns.during(roster, "all namespaces", lambda: roster.call(
        "GET", "/v1/ns?flat=true") and None)
    return turns.close()


def operations(bench, roster, n):
    """Each of what may touch much at once. What they change they change back,
    but for a tenth that is deleted."""
    turns = Turns(Row("big-turns", ROWS["big-turns"]))
    for name, do in (
            ("a list of 20,000 put", lambda: put_list(roster, "a")),
            ("and put again, all others", lambda: put_list(roster, "b")),
            ("arrays of 1,000", lambda: bench.load(
                roster, bodies.http("POST", "/v1/ns/list.roster/array",
                                    [bodies.resource()] * 1000),
                n=40, connections=8)["faults"]),
            ("all moved below another", lambda: move(roster, n)),
            ("all counted for a quota", lambda: count(roster)),
            ("a snapshot", lambda: roster.call(
                "POST", "/v1/admin/snapshot") and None),
            ("a backup", lambda: backup(roster)),
            ("its restore", lambda: restore(roster)),
            ("a tenth deleted", lambda: delete(roster, n))):
        turns.during(roster, name, do)
    return turns.close()


def put_list(roster, text):
    if text == "a":
        roster.leaf("list")
    rows = [{"name": f"r{i}", "address": "192.0.2.17", "text": text * 140}
            for i in range(20_000)]
    roster.call("PUT", "/v1/ns/list.roster/service", rows)


def move(roster, n):
    """Each branch; then the one that has them all, by a name that is longer."""
    branches = range(n // A_BRANCH)
    roster.call("POST", "/v1/ns", {"parent": "roster", "name": "up",
                                   "kind": "branch"})
    for i in branches:
        roster.call("PATCH", f"/v1/ns/{branch(i)}", {"parent": "up.roster"})
    roster.call("PATCH", "/v1/ns/up.roster", {"name": "upper"})
    for i in branches:
        roster.call("PATCH", f"/v1/ns/b{i:012}.upper.roster",
                    {"parent": "roster"})


def count(roster):
    roster.call("PUT", "/v1/quotas/roster",
                {"resources": {"refuse": 1_000_000_000}})
    while roster.call("GET", "/v1/quotas/roster")["counting"]:
        time.sleep(0.05)
    roster.call("DELETE", "/v1/quotas/roster")


def backup(roster):
    with urllib.request.urlopen(
            f"http://127.0.0.1:{roster.port}/v1/admin/backup",
            timeout=600) as answer, open(roster.data + "/backup", "wb") as f:
        while block := answer.read(MIB):
            f.write(block)


def restore(roster):
    name = roster.data + "/backup"
    c = http.client.HTTPConnection("127.0.0.1", roster.port, timeout=600)
    with open(name, "rb") as f:
        c.request("POST", "/v1/admin/restore", f,
                  {"Content-Length": str(os.path.getsize(name))})
        answer = c.getresponse()
        said = answer.read()
    c.close()
    os.unlink(name)
    return [] if answer.status == 200 else [f"{answer.status} {said[:200]!r}"]


def delete(roster, n):
    branches = range(max(1, n // A_BRANCH // 10))
    left = figures(roster)["roster_namespaces"] - len(branches) * (A_BRANCH + 1)
    for i in branches:
        roster.call("DELETE", f"/v1/ns/{branch(i)}?recursive=true")
    end = time.monotonic() + 600
    while figures(roster)["roster_namespaces"] > left:
        if time.monotonic() > end:
            return ["it is not reclaimed after 10 minutes"]
        time.sleep(0.05)
    return []


# ---- restart ----

def restarts(roster, name, counts):
    row = Row(name, ROWS[name])
    samples = {}
    for how, text in ((signal.SIGKILL, "killed"), (signal.SIGTERM, "stopped")):
        roster.stop(how)
        began = time.monotonic()
        roster.start()
        samples[text] = {"seconds": time.monotonic() - began, "faults": [],
                         "cpu_us": roster.cpu_us()}
    row.take([{"order": list(samples), "samples": samples}],
             ("seconds", "cpu_us"))
    for text in samples:
        row.bound(f"ready in < 2 s, {text}",
                  row.figures[text]["seconds"] if counts else None,
                  lambda v: v < RESTART_S)
    return row


# ---- leases ----

def many_leases(bench):
    n = max(bench.options.leases)
    silent = max(100, n // 10)
    # No breaker: all that fall silent go at once.
    roster = bench.up("roster", lambda: bench.make_roster(
        ["--drain", "50ms", "--breaker-percent", "0"]))
    turns = Turns(Row("big-leases", ROWS["big-leases"]))
    turns.during(roster, "registered",
                 lambda: register(bench, roster, "h", n, "24h"))
    beats = bodies.http("POST", "/v1/heartbeats",
                        {"hostnames": ["h" + bodies.ITEM] * 1000})
    turns.during(roster, "each renewed", lambda: bench.load(
        roster, beats, n=n // 1000, connections=2, items=n,
        start=0)["faults"])
    turns.during(roster, "all pages of agents", lambda: pages(roster, n))
    turns.during(roster, "a backup", lambda: backup(roster))
    turns.during(roster, "its restore", lambda: restore(roster))
    turns.during(roster, "others registered", lambda: register(
        bench, roster, "z", silent, "10s"))
    turns.during(roster, "all of these silent", lambda: gone(roster, silent))
    row = turns.close()
    row.notes.append(f"{n:,} agents: RssAnon "
                     f"{roster.memory()['rss_anon'] / MIB:.0f} MiB")
    back = restarts(roster, "big-leases", n >= 1_000_000)
    row.rounds += back.rounds
    row.bounds += back.bounds
    row.figures.update(back.figures)
    return row


def register(bench, roster, first, n, ttl):
    put = bodies.http("POST", "/v1/agents", {
        "hostname": first + bodies.ITEM, "ttl": ttl,
        "resource": {"address": "192.0.2.17"}})
    # One alone: the patterns of the tree are read once, by a worker, and not
    # all of a crowd may wait for that.
    return (bench.load(roster, put, n=1, start=0)["faults"] +
            bench.load(roster, put, n=n - 1, start=1,
                       connections=256)["faults"])


def pages(roster, n):
    c = http.client.HTTPConnection("127.0.0.1", roster.port, timeout=60)
    path, found = "/v1/agents?limit=1000", 0
    while path:
        c.request("GET", path)
        answer = c.getresponse()
        found += len(json.loads(answer.read()))
        link = answer.getheader("Link") or ""
        path = link.split("<")[1].split(">")[0] if "next" in link else None
    c.close()
    return [] if found == n else [f"{found} of {n} agents were listed"]


def gone(roster, n):
    end = time.monotonic() + 120
    name = "roster_leases_expired_total"
    while figures(roster)[name] < n:
        if time.monotonic() > end:
            return [f"{figures(roster)[name]:.0f} of {n} expired in 2 minutes"]
        time.sleep(0.1)
    return []
