"""Durable writes: each is on the disk before it is acknowledged. What was
acknowledged is counted afterwards."""
import functools
import itertools
import typing

import bodies
import servers
import ways
from method import Row

PLAIN = {
    "write-1": "durable additions, 1 connection",
    "write-64": "durable additions, 64 connections",
    "write-256": "durable additions, 256 connections",
    "write-rate": "durable additions, 5,000 a second whatever the server does",
    "append": "additions to a list of 20,000 and to an empty one, 64 connections",
    "namespaces": "additions among many namespaces and among 100",
}
ROWS = ways.rows(PLAIN, "write-64", "write-256", "append", "namespaces")
RATE = 5000
ETCD = 2


def group(bench, wants):
    for way, names in ways.wanted(bench, ROWS, wants, PLAIN):
        several = [n for n in names if n.startswith("write-")]
        if several:
            yield from singly(bench, way, several)
            bench.down()
        make = functools.partial(bench.make_roster, way=way)
        for name, measured in (("append", append), ("namespaces", namespaces)):
            if name in names:
                yield measured(bench, Row(way.of(name), ROWS[way.of(name)]),
                               make)
                bench.down()


class Writer(typing.NamedTuple):
    """One that additions are sent to: how, and how to count what it has."""
    server: object
    request: bytes
    count: typing.Callable
    how: dict = {}          # more for Bench.load
    counted: bool = True    # false: another of the same server is


ZOOKEEPER = {"protocol": "zookeeper", "hello": bodies.ZOOKEEPER_HELLO}


def value():
    """A resource, and a text as long as what roster keeps: with _id and _rev."""
    fields = bodies.resource()
    text = bodies.json.dumps(fields, separators=(",", ":")).encode()
    return fields, text + b" " * (200 - len(text))


def contestants(bench, way):
    fields, text = value()
    made = {}

    def roster(name, make, **more):
        server = bench.up(name, lambda: make(**more))
        leaf = server.leaf("writes")
        made[name] = Writer(server, bodies.http("POST", leaf + "/service",
                                                fields),
                            lambda: server.count(leaf))
    roster("roster", bench.make_roster, way=way)
    if bench.options.against:
        roster("other", bench.make_other, way=way)
    if way is not ways.PLAIN:
        roster("roster, plain", bench.make_roster)
    if bench.have("etcd"):
        etcd = bench.up("etcd", lambda: servers.Etcd(bench.place, way=way))
        made["etcd"] = Writer(etcd, bodies.etcd_put(text), lambda: etcd.count(
            bodies.ETCD_PREFIX, bodies.ETCD_END))
    if bench.have("redis"):
        redis = bench.up("redis", lambda: servers.Redis(bench.place,
                                                        way=way))
        made["redis"] = Writer(redis, bodies.redis_set(text), redis.count,
                               {"protocol": "resp"})
    if bench.have("zookeeper"):
        zk = bench.up("zookeeper", lambda: servers.ZooKeeper(bench.place,
                                                             way=way))
        made["zookeeper"] = Writer(zk, warm_zookeeper(bench, zk, text),
                                   zk.count, ZOOKEEPER)
    return made


def warm_zookeeper(bench, zk, text):
    """Gives the request."""
    bench.load(zk, bodies.zookeeper_create("/bench", b""), n=1, **ZOOKEEPER)
    request = bodies.zookeeper_create("/bench/" + bodies.ITEM, text)
    bench.warm_java(zk, "create", request)
    return request


def singly(bench, way, names):
    def how(name):
        if name == "write-rate":
            return {"connections": 64, "rate": RATE}
        return {"connections": int(name.split("-")[1])}
    yield from measure(bench, contestants(bench, way), {
        n: (Row(way.of(n), ROWS[way.of(n)]), how(n)) for n in names}, judge)


def measure(bench, made, rows, judged):
    """rows: {name: (row, more for Bench.load)}. What was acknowledged in all of
    them is counted at the end."""
    each = {n: w for n, w in made.items() if w.counted}
    before = {n: w.count() - w.server.acknowledged for n, w in each.items()}
    for row, how in rows.values():
        judged(row.take(bench.rounds({
            n: one(bench, w, how) for n, w in made.items()})))
    rows = [row for row, _ in rows.values()]
    for name, writer in each.items():
        said, kept = writer.server.acknowledged, writer.count() - before[name]
        rows[-1].notes.append(f"{name}: all rows: {said} acknowledged, {kept} "
                              "kept")
        if kept != said:
            for row in rows:
                row.refuse(f"{name} acknowledged {said} additions and keeps "
                           f"{kept}")
    yield from rows


def one(bench, writer, how):
    return lambda: bench.load(writer.server, writer.request, **writer.how,
                              **how)


def judge(row):
    judge_peers(row, row.name.startswith(("write-64", "write-256")),
                row.name != "write-1")
    row.inform("rate", "roster", "redis")
    judge_other(row)


def judge_peers(row, rates, latencies):
    """Whether rates and latencies have bounds."""
    if rates:
        row.versus("rate", "roster", "etcd", f"at least {ETCD} x etcd",
                   lambda v: v >= ETCD)
        row.versus("rate", "roster", "zookeeper", "at least ZooKeeper",
                   lambda v: v >= 1)
    else:
        row.inform("rate", "roster", "etcd")
        row.inform("rate", "roster", "zookeeper")
    if latencies:
        row.versus("p99_us", "roster", "etcd", "p99 no worse than etcd's",
                   lambda v: v <= 1)
        row.versus("p99_us", "roster", "zookeeper",
                   "p99 no worse than ZooKeeper's", lambda v: v <= 1)


def judge_other(row):
    for name in ("other", "roster, plain"):
        row.inform("rate", "roster", name)
        row.inform("cpu_us", "roster", name)


# ---- flat: the same work among much and among little ----

def flat(row, large, small):
    """Both by rate and by processor time, which is steadier."""
    def holds(v):
        return 0.8 <= v <= 1.2
    row.versus("rate", large, small, "the same rate, +- 20 %", holds)
    row.versus("cpu_us", large, small, "the same processor time, +- 20 %",
               holds)
    row.inform("p50_us", large, small)
    return row


def append(bench, row, make):
    """The short one is a new list each time, in the same namespace."""
    roster = bench.up("roster", make)
    leaf = roster.leaf("append")
    value = bodies.resource()
    filled = bench.load(
        roster, bodies.http("POST", leaf + "/long", [value] * 1000), n=20)
    numbers = itertools.count()

    def add(target):
        return bench.load(roster, bodies.http("POST", leaf + target, value),
                          connections=64, n=bench.options.appends)
    row.take(bench.rounds({"long": lambda: add("/long"),
                           "short": lambda: add(f"/t{next(numbers)}")}))
    row.faults += filled["faults"]
    row.notes.append(f"{bench.options.appends} additions each time; at the end "
                     f"{length(roster, leaf)} rows in the long list")
    return flat(row, "long", "short")


def length(roster, leaf):
    return roster.call("GET", leaf)["types"]["long"]["count"]


def namespaces(bench, row, make):
    """The same hundred leaves are written to, among others or alone."""
    many = bench.options.namespaces
    go = {}
    for name, n in (("many", many), ("few", 100)):
        server = bench.up(name, make)
        made = bench.load(server, bodies.http("POST", "/v1/ns", {
            "parent": "roster", "name": "l" + bodies.REQUEST, "kind": "leaf"}),
            n=n, connections=64)
        row.faults += made["faults"]
        row.notes.append(f"{n} namespaces made at {made['rate']:.0f}/s")
        request = bodies.http(
            "POST", f"/v1/ns/l{bodies.REQUEST}.roster/service",
            bodies.resource())
        go[name] = (lambda server=server, request=request: bench.load(
            server, request, connections=64, requests=100))
    row.take(bench.rounds(go))
    if many < 100_000:
        row.notes.append("the promise is about 100,000 namespaces: --full")
    return flat(row, "many", "few")
