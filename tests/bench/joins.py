"""A node joins a cluster that holds much and is written to: what its leader's
clients notice, what the leader needs for it, how long it takes."""
import time

import bodies
import clusters
import parts
from method import Row

ROWS = {"cluster-join": "a node joins three, under 1,000 additions a second to "
                        "the leader"}
RATE = 1000
PATIENCE_S = 120


class Refused(Exception):
    """The node ended; the text says why."""


def group(bench, wants):
    if not wants("cluster-join"):
        return
    total = bench.options.joined
    row = Row("cluster-join", ROWS["cluster-join"])
    # So that a node that joins gets a state and not the log from its begin.
    cluster = bench.up("roster x 3", lambda: bench.make_cluster(
        ["--snapshot-bytes", str(max(1 << 20, total * 64))]))
    row.faults += fill(bench, cluster, total)
    leaf = cluster.leader().leaf("writes")
    taken = []
    try:
        for i in range(min(3, bench.options.rounds)):
            taken.append(once(bench, cluster, leaf, i))
            if not take_away(cluster, f"n{i + 4}", row):
                break
    except Refused as e:
        row.notes.append(f"left out: no node can join: {e}")
    yield judge(row.take(taken, FIGURES), total)


FIGURES = ("rate", "p50_us", "p99_us", "cpu_us", "joined", "rss_anon")


def fill(bench, cluster, total):
    faults = []
    for path, body, n in (
            ("/v1/ns", {"parent": "roster", "name": "l" + bodies.REQUEST,
                        "kind": "leaf"}, total // 1000),
            (f"/v1/ns/l{bodies.REQUEST}.roster/service",
             [bodies.resource()] * 1000, total // 1000)):
        faults += bench.load(cluster, bodies.http("POST", path, body), n=n,
                             connections=8, at="leader")["faults"]
    return faults


def once(bench, cluster, leaf, i):
    """One round: the same load before, and while a node joins."""
    add = bodies.http("POST", leaf + "/service", bodies.resource())

    def load(**more):
        return bench.load(cluster, add, connections=64, rate=RATE, at="leader",
                          **more)
    before = load(ms=bench.options.ms * 3)
    leader = cluster.leader()
    joining = Joining(bench, leader, f"n{i + 4}")
    meanwhile = load(ms=600_000, warm=0, during=joining.run)
    try:
        if joining.refused:
            raise Refused(joining.refused)
        meanwhile["joined"] = joining.seconds
        meanwhile["rss_anon"] = joining.grown
        meanwhile["faults"] += joining.check(bench.options.joined)
    finally:
        joining.node.stop()
    return {"order": ["before", "meanwhile"],
            "samples": {"before": before, "meanwhile": meanwhile}}


class Joining:
    """Starts a node and waits until it has all, while the leader is watched."""

    def __init__(self, bench, leader, name):
        self.bench, self.leader, self.name = bench, leader, name
        self.node = None
        self.refused = ""
        self.seconds = self.grown = None

    def run(self):
        time.sleep(0.2)
        first = most = self.leader.memory()["rss_anon"]
        began = time.monotonic()
        self.node = clusters.JoiningNode(
            self.bench.place, self.bench.options.build, self.name,
            f"http://127.0.0.1:{self.leader.port}")
        while not self.node.ready():
            most = max(most, self.leader.memory()["rss_anon"])
            if time.monotonic() > began + PATIENCE_S:
                raise parts.Fault(f"{self.name} has not joined after "
                                  f"{PATIENCE_S} s\n{self.node.log_tail()}")
            if self.node.process.poll() is not None:
                self.refused = self.node.log_tail().strip()
                return
            time.sleep(0.005)
        self.seconds = time.monotonic() - began
        self.grown = max(most, self.leader.memory()["rss_anon"]) - first

    def check(self, total):
        kept = sum(self.node.count(f"/v1/ns/l{i:012}.roster")
                   for i in range(total // 1000))
        return [] if kept == total else [
            f"{total} were loaded, {self.name} keeps {kept}"]


def take_away(cluster, name, row):
    """So that the next one joins as many."""
    try:
        cluster.leader().call("DELETE", f"/v1/cluster/nodes/{name}",
                              want=(200, 202, 204))
        return True
    except parts.Fault as e:
        row.faults.append(f"{name} cannot be taken away again: {e}")
        return False


def judge(row, total):
    row.notes.append(f"{total:,} resources")
    if not row.rounds:
        row.bounds.append({"text": "a node joins", "value": None,
                           "verdict": "not measured"})
        return row
    row.inform("p99_us", "meanwhile", "before")
    row.bound("RssAnon of the leader grows by no more than 64 MiB",
              row.figures["meanwhile"]["rss_anon"], lambda v: v <= 64 << 20)
    return row
