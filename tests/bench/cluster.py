"""Three nodes: durable writes and linearizable reads. The connections are spread
evenly over all nodes where nothing else is said."""
import bodies
import clusters
import reads
import ways
import writes
from method import Row

PLAIN = {
    "cluster-write-1": "durable additions on 3 nodes, 1 connection (to a "
                       "follower)",
    "cluster-write-64": "durable additions on 3 nodes, 64 connections",
    "cluster-write-256": "durable additions on 3 nodes, 256 connections",
    "cluster-read": "linearizable reads on 3 nodes: one resource of 200 "
                    "bytes, 64 connections",
}
ROWS = ways.rows(PLAIN, "cluster-write-64", "cluster-write-256",
                 "cluster-read")
# Least share of a local read's rate, and how much better than etcd.
LOCAL, ETCD = 0.8, 5


def group(bench, wants):
    for way, names in ways.wanted(bench, ROWS, wants, PLAIN):
        several = [n for n in names if n.startswith("cluster-write-")]
        if several:
            yield from writes.measure(bench, writers(bench, way), {
                n: (Row(way.of(n), ROWS[way.of(n)]),
                    {"connections": int(n.rpartition("-")[2])})
                for n in several}, judge_writes)
        if "cluster-read" in names:
            yield linearizable(bench, way)
        bench.down()


def roster_writer(server):
    leaf = server.leader().leaf("writes")
    return writes.Writer(
        server, bodies.http("POST", leaf + "/service", writes.value()[0]),
        lambda: server.kept(lambda n: n.count(leaf)))


def etcd_writer(bench, way=ways.PLAIN):
    etcd = bench.up("etcd x 3", lambda: clusters.make_etcd(bench.place,
                                                           way=way))
    return writes.Writer(
        etcd, bodies.etcd_put(writes.value()[1]),
        lambda: etcd.kept(lambda n: n.count(bodies.ETCD_PREFIX,
                                            bodies.ETCD_END)))


def zookeeper_writer(bench, way=ways.PLAIN):
    zk = bench.up("zookeeper x 3", lambda: clusters.make_zookeeper(
        bench.place, way=way))
    request = writes.warm_zookeeper(bench, zk, writes.value()[1])
    return writes.Writer(zk, request, lambda: zk.kept(lambda n: n.count()),
                         writes.ZOOKEEPER)


def writers(bench, way=ways.PLAIN):
    roster = roster_writer(bench.up(
        "roster x 3", lambda: bench.make_cluster(way=way)))
    made = {"roster": roster,
            "roster's leader": roster._replace(how={"at": "leader"},
                                               counted=False)}
    if bench.options.against:
        made["other"] = roster_writer(bench.up(
            "other x 3", lambda: bench.make_other_cluster(way=way)))
    if bench.have("etcd"):
        made["etcd"] = etcd_writer(bench, way)
    if bench.have("zookeeper"):
        made["zookeeper"] = zookeeper_writer(bench, way)
    return made


def judge_writes(row):
    many = row.name != "cluster-write-1"
    writes.judge_peers(row, many, many)
    row.inform("rate", "roster's leader", "roster")
    row.inform("p99_us", "roster's leader", "roster")
    writes.judge_other(row)


def linearizable(bench, way=ways.PLAIN):
    """At the leader and at a follower, each beside a local read of the same at
    the same node."""
    row = Row(way.of("cluster-read"), ROWS[way.of("cluster-read")])
    roster = bench.up("roster x 3", lambda: bench.make_cluster(way=way))
    path = reads.fill(roster.leader()) + "/small/small"
    asks = {"local": path, "linearizable": path + "?consistency=linearizable"}
    go = {}

    def contest(name, server, request, at):
        go[name] = lambda: bench.load(server, request, connections=64, items=1,
                                      at=at)
    for at in ("leader", "follower"):
        node = roster.leader() if at == "leader" else roster.followers()[0]
        # A follower may not have it yet, but for the one who insists.
        same = {reads.capture(node, bodies.http("GET", p))[2]
                for p in reversed(asks.values())}
        if len(same) != 1:
            row.faults.append(f"{at}: the two kinds of read do not give the "
                              "same")
        for how, target in asks.items():
            contest(f"{how}, {at}", roster, bodies.http("GET", target), at)
    if bench.have("etcd"):
        etcd = bench.up("etcd x 3", lambda: clusters.make_etcd(bench.place,
                                                               way=way))
        etcd.leader().call("POST", "/v3/kv/put", {
            "key": bodies.b64("small"), "value": bodies.b64("x" * 200)})
        for at in ("leader", "follower"):
            contest(f"etcd, {at}", etcd, bodies.etcd_range("small"), at)
    row.take(bench.rounds(go))
    judge_reads(row)
    return row


def judge_reads(row):
    row.versus("rate", "linearizable, leader", "local, leader",
               f"at the leader at least {LOCAL} of a local read",
               lambda v: v >= LOCAL)
    row.versus("rate", "linearizable, leader", "etcd, leader",
               f"at the leader at least {ETCD} x etcd", lambda v: v >= ETCD)
    row.inform("rate", "linearizable, follower", "local, follower")
    row.inform("rate", "linearizable, follower", "etcd, follower")
    row.inform("p99_us", "linearizable, leader", "local, leader")
