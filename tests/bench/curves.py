"""Curves: rate and latency by connections and by nodes. Rounds are few and
short, for there are many points; all points take turns within a round."""
import functools

import bodies
import cluster
import clusters
import reads
import ways
import writes
from method import Row

ROWS = {
    "curve-read": "one resource of 200 bytes, by connections",
    "curve-write": "durable additions, by connections",
    "curve-cluster-write": "durable additions on 3 nodes, by connections",
    "curve-nodes": "reads and durable additions by nodes, 64 connections",
}
ROUNDS = 3
FIGURES = ("rate", "p50_us", "p99_us", "cpu_us")


def group(bench, wants):
    made = {"curve-read": by_reading, "curve-write": by_writing,
            "curve-cluster-write": by_writing, "curve-nodes": by_nodes}
    for name in filter(wants, ROWS):
        with bench.shorter(rounds=ROUNDS):
            yield made[name](bench, Row(name, ROWS[name]))
        bench.down()


def take(bench, row, x, sizes, asks, judged=False):
    """asks: {line: function of a size}."""
    def name(line, size):
        return f"{line} @ {size:,}"
    row.take(bench.rounds({
        name(line, size): functools.partial(ask, size)
        for size in sizes for line, ask in asks.items()}, warm=False), FIGURES)
    for line in asks:
        row.draw(line, x, {s: name(line, s) for s in sizes}, FIGURES, judged)
    return row


def by_reading(bench, row):
    contest = reads.Reads(bench, ways.PLAIN)
    return take(bench, row, "connections", bench.options.connections,
                contest.contestants(row, "read-one",
                                    contest.leaf + "/small/small"))


def by_writing(bench, row):
    made = cluster.writers(bench) if "cluster" in row.name else \
        writes.contestants(bench, ways.PLAIN)

    def adds(to):
        return lambda n: writes.one(bench, to, {"connections": n})()
    take(bench, row, "connections", bench.options.connections,
         {name: adds(to) for name, to in made.items()})
    return counted(row, made)


def counted(row, made):
    """No addition that was acknowledged is missing."""
    for name, to in made.items():
        said = to.server.acknowledged
        if to.counted and to.count() < said:
            row.refuse(f"{name} acknowledged {said} additions and keeps "
                       f"{to.count()}")
    return row


def by_nodes(bench, row):
    """With more nodes each write costs more, and reads have more places."""
    made = {"roster writes": bench.make_cluster}
    for name, make in (("etcd", clusters.make_etcd),
                       ("zookeeper", clusters.make_zookeeper)):
        if bench.have(name):
            made[name + " writes"] = functools.partial(make, bench.place)
    asks = {}
    for n in bench.options.nodes:
        for line, make in made.items():
            server = bench.up(f"{line.split()[0]} x {n}",
                              functools.partial(make, nodes=n))
            asks.setdefault(line, {})[n] = writes.one(
                bench, writer(bench, line, server), {"connections": 64})
        roster = bench.servers[f"roster x {n}"]
        path = reads.fill(roster.leader()) + "/small/small"
        for line, more, at in (("local reads", "", None),
                               ("linearizable reads at the leader",
                                "?consistency=linearizable", "leader")):
            asks.setdefault(line, {})[n] = functools.partial(
                bench.load, roster, bodies.http("GET", path + more),
                connections=64, items=1, at=at)
        settle(roster, path)
    return take(bench, row, "nodes", bench.options.nodes, {
        line: (lambda n, by=by: by[n]()) for line, by in asks.items()})


def writer(bench, line, server):
    if line.startswith("roster"):
        return cluster.roster_writer(server)
    text = writes.value()[1]
    if line.startswith("etcd"):
        return writes.Writer(server, bodies.etcd_put(text), None)
    return writes.Writer(server, writes.warm_zookeeper(bench, server, text),
                         None, writes.ZOOKEEPER)


def settle(roster, path):
    """Each node has what is read."""
    for node in roster.nodes:
        node.call("GET", path + "?consistency=linearizable")
