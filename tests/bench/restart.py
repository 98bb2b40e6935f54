"""A large registry: how fast it is loaded, how soon it is back, what it holds."""
import signal
import time

import bodies
import parts
import servers
from method import Row, middle

ROWS = {
    "load": "resources loaded in arrays of 1,000 into many leaves",
    "restart": "ready again after kill -9 and after SIGTERM",
    "memory": "memory with all of them, read whole",
}
RESOURCES, RESTART_S, CACHE = 1_000_000, 2.0, 64 << 20
MIB = 1 << 20


def group(bench, wants):
    total = bench.options.resources
    roster = bench.up("roster", lambda: bench.make_roster(
        ["--drain", "50ms"]))
    row = Row("load", ROWS["load"])
    stages = [stage(roster, "empty")]
    leaves, value = max(1, total // 1000), bodies.resource()
    arrays = bodies.http(
        "POST", f"/v1/ns/l{bodies.REQUEST}.roster/service", [value] * 1000)
    # A quarter first: what its memory is, the whole is compared with.
    quarter = total // 4000
    for made in (
            bench.load(roster, bodies.http("POST", "/v1/ns", {
                "parent": "roster", "name": "l" + bodies.REQUEST,
                "kind": "leaf"}), n=leaves, connections=64),
            load(bench, roster, arrays, quarter, 1000)
            if quarter else {"faults": []}):
        row.faults += made["faults"]
    row.faults += read_all(bench, roster, leaves)
    stages.append(stage(roster, "a quarter, all read"))
    loaded = {"roster": load(bench, roster, arrays, leaves - quarter, 1000)}
    stages.append(stage(roster, "loaded"))
    peers = load_peers(bench, loaded, total) if bench.options.peers_large else {}
    row.take([{"order": list(loaded), "samples": loaded}],
             ("rate", "rows", "seconds", "cpu_us", "p99_us"))
    row.notes += [f"{n}: {s['rows']:,.0f} rows/s, {s['seconds']:.1f} s, "
                  f"{parts.size_on_disk(made_by.data) / MIB:.0f} MiB on the disk"
                  for (n, s), made_by in zip(loaded.items(),
                                             [roster, *peers.values()])]
    row.faults += check(roster, total)
    for peer in peers:
        row.inform("rows", "roster", peer)
    if wants("load"):
        yield row
    again = back(bench, roster, peers, total)
    stages.append(stage(roster, "restarted"))
    if wants("restart"):
        again.faults += check(roster, total)
        yield again
    if wants("memory"):
        yield memory(bench, roster, stages, leaves, total)


def stage(roster, name):
    return name, roster.memory()


def read_all(bench, roster, leaves):
    """Each list twice: all that a cache may keep is in it."""
    read = bodies.http("GET", f"/v1/ns/l{bodies.REQUEST}.roster/service")
    return bench.load(roster, read, connections=8, n=leaves * 2,
                      requests=leaves)["faults"]


def load(bench, server, request, n, rows, **more):
    sample = bench.load(server, request, n=n, connections=8, **more)
    if "rate" in sample:
        sample["rows"] = sample["rate"] * rows
    return sample


def load_peers(bench, loaded, total):
    up = {}
    text = b"x" * 200
    if bench.have("etcd"):
        up["etcd"] = bench.up("etcd", lambda: servers.Etcd(bench.place))
        loaded["etcd"] = load(bench, up["etcd"], bodies.etcd_puts(text, 100),
                              total // 100, 100)
    if bench.have("redis"):
        up["redis"] = bench.up("redis", lambda: servers.Redis(bench.place))
        loaded["redis"] = load(bench, up["redis"],
                               bodies.redis_sets(text, 1000), total // 1000,
                               1000, protocol="resp")
    return up


def check(roster, total):
    """No resource is missing."""
    kept = sum(roster.count(f"/v1/ns/l{i:012}.roster")
               for i in range(total // 1000))
    return [] if kept == total else [f"{total} were loaded, {kept} are kept"]


def back(bench, roster, peers, total):
    row = Row("restart", ROWS["restart"])

    def restart(server, how):
        def go():
            server.stop(how)
            began = time.monotonic()
            server.start()
            while not server.ready():
                time.sleep(0.002)
            return {"seconds": time.monotonic() - began, "faults": [],
                    "cpu_us": server.cpu_us()}
        return go
    go = {"killed": restart(roster, signal.SIGKILL),
          "stopped": restart(roster, signal.SIGTERM)}
    for name, server in peers.items():
        go[name] = restart(server, signal.SIGKILL)
    row.take(bench.rounds(go, min(bench.options.rounds, 3), warm=False),
             ("seconds", "cpu_us"))
    row.notes.append(f"{total:,} resources, "
                     f"{parts.size_on_disk(roster.data) / MIB:.0f} MiB on the "
                     f"disk of which the store "
                     f"{parts.size_on_disk(roster.data + '/data/store') / MIB:.0f}")
    for name in ("killed", "stopped"):
        value = row.figures[name]["seconds"] if total >= RESOURCES else None
        row.bound(f"ready in < 2 s with 1,000,000 resources, {name}", value,
                  lambda v: v < RESTART_S)
    for name in peers:
        row.inform("seconds", "killed", name)
    return row


def memory(bench, roster, stages, leaves, total):
    row = Row("memory", ROWS["memory"])
    row.faults += read_all(bench, roster, leaves)
    stages.append(stage(roster, "all, all read"))
    row.notes += [f"{name}: RssAnon {m['rss_anon'] / MIB:.1f} MiB, RSS "
                  f"{m['rss'] / MIB:.1f} MiB" for name, m in stages]
    found = {name: m["rss_anon"] for name, m in stages}
    row.figures["roster"] = {"rss_anon": middle([found["all, all read"]])}
    more = found["all, all read"] - found["a quarter, all read"]
    row.bound(f"RssAnon grows by no more than the cache (64 MiB) from "
              f"{total // 4:,} to {total:,} resources", middle([more]),
              lambda v: v <= CACHE)
    return row
