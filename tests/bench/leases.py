"""Heartbeats: singly and in batches, among few leases and many."""
import bodies
import clusters
import servers
import ways
from method import Row, middle

PLAIN = {
    "heartbeat": "heartbeats one by one, 64 connections, 1,000 leases",
    "heartbeats": "heartbeats in batches, as leases grow",
    "leases-memory": "memory of the server with all those leases",
}
ROWS = ways.rows(PLAIN, "heartbeat", "heartbeats")
BATCH = 10_000
FEW = 64        # at once to a registry that is new: more may be refused
RENEWALS = 1_000_000
MILLION, MILLION_BYTES = 1_000_000, 256 << 20


def group(bench, wants):
    for way, names in ways.wanted(bench, ROWS, wants, PLAIN):
        roster = bench.up("roster", lambda w=way: bench.make_roster(way=w))
        empty = roster.memory()
        faults = register(bench, roster, 0, 1000)["faults"]
        if "heartbeat" in names:
            row = Row(way.of("heartbeat"), ROWS[way.of("heartbeat")])
            row.faults += faults
            yield singly(bench, way, roster, row)
        if "heartbeats" in names or "leases-memory" in names:
            row, held = (Row(way.of(n), PLAIN[n] + way.said())
                         for n in ("heartbeats", "leases-memory"))
            row.faults += faults
            batches(bench, way, roster, empty, row, held)
            yield from (r for r in (row, held)
                        if r.name in ROWS and wants(r.name))
        bench.down()


def register(bench, roster, have, want):
    """Machines h<number>, up to `want` of them; they fall silent and stay."""
    body = {"hostname": "h" + bodies.ITEM, "ttl": "24h",
            "resource": {"address": "192.0.2.17"}}
    request, faults = bodies.http("POST", "/v1/agents", body), []
    if have == 0 and want > FEW:
        faults = bench.load(roster, request, connections=FEW // 2, n=FEW,
                            start=0)["faults"]
        have = FEW
    made = bench.load(roster, request, connections=256, n=want - have,
                      start=have)
    made["faults"] += faults
    return made


def singly(bench, way, roster, row, nodes=1):
    """Beside clusters of peers when it is one."""
    beat = bodies.http("PUT", f"/v1/agents/h{bodies.ITEM}/heartbeat", b"")
    go = {"roster": lambda: bench.load(roster, beat, connections=64,
                                       items=1000)}
    if bench.have("zookeeper"):
        zk = bench.up("zookeeper", lambda: clusters.make_zookeeper(
            bench.place, nodes, way))
        bench.warm_java(zk, "ping", bodies.ZOOKEEPER_PING, items=1000)
        go["zookeeper"] = lambda: bench.load(
            zk, bodies.ZOOKEEPER_PING, connections=64, items=1000,
            protocol="zookeeper", hello=bodies.ZOOKEEPER_HELLO)
    if bench.have("redis") and nodes == 1:
        # A heartbeat need not survive a crash: neither here.
        redis = bench.up("redis", lambda: servers.Redis(bench.place, False,
                                                        way))
        row.faults += bench.load(redis, bodies.redis_set(b"x"), n=1000,
                                 connections=16, protocol="resp",
                                 start=0)["faults"]
        expire = servers.command("EXPIRE", "bench/" + bodies.ITEM, "86400")
        go["redis"] = lambda: bench.load(redis, expire, connections=64,
                                         items=1000, protocol="resp")
    if bench.have("etcd"):
        etcd = bench.up("etcd", lambda: clusters.make_etcd(
            bench.place, nodes, way))
        row.faults += bench.load(etcd, bodies.etcd_grant(), n=1000,
                                 connections=16, start=0)["faults"]
        go["etcd"] = lambda: bench.load(etcd, bodies.etcd_keepalive(),
                                        connections=64, items=1000)
    row.take(bench.rounds(go))
    row.versus("rate", "roster", "zookeeper", "at least ZooKeeper's pings",
               lambda v: v >= 1)
    for peer in ("etcd", "redis"):
        row.inform("rate", "roster", peer)
    return row


def counts(bench, way):
    """How many leases: in other ways only as many as in one batch."""
    return [n for n in bench.options.leases
            if way is ways.PLAIN or n <= BATCH] or bench.options.leases[:1]


def batches(bench, way, roster, empty, row, held):
    have, taken = 1000, {}
    for leases in counts(bench, way):
        if leases > have:
            made = register(bench, roster, have, leases)
            row.faults += made["faults"]
            row.notes.append(f"{leases - have} registrations at "
                             f"{made['rate']:.0f}/s")
            have = leases
        batch = min(BATCH, leases)
        body = {"hostnames": ["h" + bodies.ITEM] * batch}
        request = bodies.http("POST", "/v1/heartbeats", body)
        # Twice as many connections as threads: the server is never idle.
        taken[leases] = bench.rounds({f"roster {leases}": lambda: renewals(
            bench.load(roster, request, connections=2, items=leases), batch)})
        held.notes.append(note_memory(roster, leases, empty))
    row.take([merge(rounds) for rounds in zip(*taken.values())],
             ("rate", "renewals", "p50_us", "p99_us", "cpu_us"))
    for leases in taken:
        row.bound(f"at least 1,000,000 renewals/s with {leases:,} leases",
                  row.figures[f"roster {leases}"]["renewals"],
                  lambda v: v >= RENEWALS)
    value = middle([roster.memory()["rss_anon"]]) if have >= MILLION else None
    held.bound("RssAnon < 256 MiB with 1,000,000 leases", value,
               lambda v: v < MILLION_BYTES)
    held.faults = list(row.faults)


def renewals(sample, batch):
    if "rate" in sample:
        sample["renewals"] = sample["rate"] * batch
    return sample


def merge(rounds):
    """One round of each count of leases as one round."""
    return {"order": [n for r in rounds for n in r["order"]],
            "samples": {n: s for r in rounds for n, s in r["samples"].items()}}


def note_memory(roster, leases, empty):
    now = roster.memory()
    each = (now["rss_anon"] - empty["rss_anon"]) / leases
    return (f"{leases:,} leases: RssAnon {now['rss_anon'] / 2**20:.1f} MiB "
            f"({each:.0f} bytes a lease), RSS {now['rss'] / 2**20:.1f} MiB")
