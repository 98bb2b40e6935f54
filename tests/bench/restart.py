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
    stages = [("empty", roster.memory())]
    leaves, value = max(1, total // 1000), bodies.resource()
    made = bench.load(roster, bodies.http("POST", "/v1/ns", {
        "parent": "roster", "name": "l" + bodies.REQUEST, "kind": "leaf"}),
        n=leaves, connections=64)
    row.faults += made["faults"]
    loaded = {"roster": load(bench, roster, bodies.http(
        "POST", f"/v1/ns/l{bodies.REQUEST}.roster/service", [value] * 1000),
        total // 1000, 1000, requests=leaves)}
    stages.append(("loaded", roster.memory()))
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
    stages.append(("restarted", roster.memory()))
    if wants("restart"):
        again.faults += check(roster, total)
        yield again
    if wants("memory"):
        yield memory(bench, roster, stages, leaves, total)


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
    """Every leaf still has its thousand."""
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
    """Each list is read, some of them again: all that a cache may keep."""
    row = Row("memory", ROWS["memory"])
    read = bodies.http("GET", f"/v1/ns/l{bodies.REQUEST}.roster/service")
    sample = bench.load(roster, read, connections=8, n=leaves * 2,
                        requests=leaves)
    row.faults += sample["faults"]
    stages.append(("all read", roster.memory()))
    row.notes += [f"{stage}: RssAnon {m['rss_anon'] / MIB:.1f} MiB, RSS "
                  f"{m['rss'] / MIB:.1f} MiB" for stage, m in stages]
    first, last = stages[0][1]["rss_anon"], stages[-1][1]["rss_anon"]
    row.figures["roster"] = {"rss_anon": middle([last])}
    row.bound(f"RssAnon grows by no more than the cache (64 MiB) with "
              f"{total:,} resources", middle([last - first]),
              lambda v: v <= CACHE)
    return row
