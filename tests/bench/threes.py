"""What one node is measured with, on three: local reads, appends, namespaces,
heartbeats, watchers. None of them is held to a processor."""
import functools

import bodies
import clusters
import leases
import reads
import servers
import watchers
import ways
import writes
from method import Row

PLAIN = {
    "cluster-read-one": "local reads at one of 3 nodes: one resource of 200 "
                        "bytes, 64 connections",
    "cluster-append": "on 3 nodes: " + writes.PLAIN["append"],
    "cluster-namespaces": "on 3 nodes: " + writes.PLAIN["namespaces"],
    "cluster-heartbeat": "on 3 nodes: " + leases.PLAIN["heartbeat"],
    "cluster-heartbeats": "on 3 nodes: " + leases.PLAIN["heartbeats"],
    "cluster-watch": "at a follower of 3 nodes: " + watchers.PLAIN["watch"],
}
ROWS = ways.rows(PLAIN, *PLAIN, among=(ways.BOTH,))


def group(bench, wants):
    made = {"cluster-read-one": read_one,
            "cluster-append": flat(writes.append),
            "cluster-namespaces": flat(writes.namespaces),
            "cluster-heartbeat": heartbeat, "cluster-heartbeats": heartbeats,
            "cluster-watch": watch}
    for way, names in ways.wanted(bench, ROWS, wants, PLAIN):
        for name in names:
            with bench.shorter():
                yield made[name](bench, way,
                                 Row(way.of(name), ROWS[way.of(name)]))
            bench.down()


def roster(bench, way):
    return bench.up("roster x 3", lambda: bench.make_cluster(way=way))


def flat(measured):
    return lambda bench, way, row: measured(
        bench, row, functools.partial(bench.make_cluster, way=way))


def read_one(bench, way, row):
    """Beside a responder that may use as many processors."""
    cluster = roster(bench, way)
    path = reads.fill(cluster.leader()) + "/small/small"
    ask = bodies.http("GET", path)
    node = cluster.followers()[0]
    node.call("GET", path + "?consistency=linearizable")
    answer, _, _ = reads.capture(node, ask)
    bare = bench.up("bare", lambda: Unpinned(bench.place, answer, way,
                                             cluster.headers))
    go = {f"roster, {at}": functools.partial(
        bench.load, cluster, ask, connections=64, items=1, at=at)
        for at in ("leader", "follower")}
    go["bare"] = lambda: bench.load(bare, ask, connections=64, items=1)
    if bench.have("etcd"):
        etcd = bench.up("etcd x 3", lambda: clusters.make_etcd(bench.place,
                                                               way=way))
        etcd.call("POST", "/v3/kv/put", {"key": bodies.b64("small"),
                                         "value": bodies.b64("x" * 200)})
        local = bodies.http("POST", "/v3/kv/range", {
            "key": bodies.b64("small"), "serializable": True})
        go["etcd, leader"] = lambda: bench.load(etcd, local, connections=64,
                                                items=1, at="leader")
    row.take(bench.rounds(go))
    # Where nobody has a processor of his own, who pays for the network is chance.
    for at in ("leader", "follower"):
        row.inform("rate", f"roster, {at}", "bare")
    row.versus("rate", "roster, leader", "etcd, leader",
               f"at least {reads.ETCD} x etcd", lambda v: v >= reads.ETCD)
    return row


class Unpinned(servers.Bare):
    pinned = False


def heartbeat(bench, way, row):
    cluster = roster(bench, way)
    row.faults += leases.register(bench, cluster, 0, 1000)["faults"]
    return leases.singly(bench, way, cluster, row, clusters.NODES)


def heartbeats(bench, way, row):
    """As many leases as in one batch."""
    cluster = roster(bench, way)
    row.faults += leases.register(bench, cluster, 0, 1000)["faults"]
    leases.batches(bench, ways.BOTH, cluster, cluster.memory(), row,
                   Row("", ""))
    return row


def watch(bench, way, row):
    memory = Row("", "")
    watchers.contested(bench, way, row, memory, clusters.NODES)
    row.notes += memory.notes
    return row
