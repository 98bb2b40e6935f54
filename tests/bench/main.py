"""The command line of scripts/bench."""
import argparse
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time

import big
import cluster
import clusters
import crowds
import curves
import failover
import growth
import hostile
import joins
import leases
import method
import parts
import plots
import reads
import report
import restart
import servers
import threes
import watchers
import writes

GROUPS = (reads, writes, leases, watchers, restart, cluster, failover, joins,
          threes, curves, growth, crowds, big, hostile)

# Rows that there is no time for, unless they are asked for.
ATTACKS = [r"attack\..*"]
LONG = [r".*\.(access|tls)", r"(cluster|watch).*\.both", "curve-nodes",
        "curve-cluster-write",
        "cluster-(append|namespaces|heartbeats|watch)"]

# What is measured, by how much time there is: measured time of one contestant
# in ms, rounds, sizes.
SIZES = {
    "quick": {"ms": 250, "rounds": 2, "many_ms": 250, "many_rounds": 1,
              "tls_watchers": 1000, "skipped": LONG + ATTACKS,
              "leases": [1000, 10_000],
              "resources": 100_000, "namespaces": 5000, "appends": 1000,
              "java_ms": 2000, "failovers": 3, "failovers_peers": 1,
              "joined": 10_000, "connections": [1, 16, 256],
              "rows": [10, 1000, 10_000], "branches": [100, 1000, 5000],
              "registries": [1000, 10_000, 100_000],
              "crowds": [10, 100, 1000], "idle": 2000, "nodes": [1, 3, 5]},
    "default": {"ms": 1000, "rounds": 5, "many_ms": 400, "many_rounds": 2,
                "tls_watchers": 5000, "skipped": ATTACKS,
                "leases": [1000, 10_000, 100_000],
                "resources": 1_000_000, "namespaces": 20_000, "appends": 2000,
                "java_ms": 8000, "failovers": 9, "failovers_peers": 3,
                "joined": 100_000,
                "connections": [1, 4, 16, 64, 256, 1024],
                "rows": [10, 100, 1000, 10_000, 100_000],
                "branches": [100, 1000, 10_000, 100_000],
                "registries": [1000, 10_000, 100_000, 1_000_000],
                "crowds": [10, 100, 1000, 10_000], "idle": 10_000,
                "nodes": [1, 3, 5]},
    "full": {"ms": 2000, "rounds": 9, "many_ms": 1000, "many_rounds": 5,
             "tls_watchers": 5000, "skipped": [],
             "leases": [1000, 10_000, 100_000, 1_000_000],
             "resources": 1_000_000, "namespaces": 100_000, "appends": 2000,
             "java_ms": 20_000, "failovers": 15, "failovers_peers": 5,
             "joined": 1_000_000,
             "connections": [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024],
             "rows": [10, 100, 1000, 10_000, 100_000],
             "branches": [100, 1000, 10_000, 100_000],
             "registries": [1000, 10_000, 100_000, 1_000_000],
             "crowds": [10, 100, 1000, 10_000], "idle": 10_000,
             "nodes": [1, 3, 5]},
}

# Sizes of curves; a registry is made of whole leaves.
CURVES = ("connections", "rows", "branches", "registries", "crowds")

# Promised too, and not for this program yet.
ELSEWHERE = ("Consul",)


def arguments(argv):
    p = argparse.ArgumentParser(
        prog="scripts/bench", formatter_class=argparse.RawTextHelpFormatter,
        description="Measures roster beside its peers on this machine: in "
        "turn, in the same run.\nscripts/deps --bench installs the peers; "
        "those that are not there are left out.",
        epilog="Exit status 1 when a row is invalid (errors, lost rows); a "
        "bound that is not met is\na result, not an error.")
    size = p.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_true", help="some minutes: "
                      "small sizes, and not all rows")
    size.add_argument("--full", action="store_true", help="a million leases, "
                      "peers with a million keys, attacks,\nlong rounds")
    p.add_argument("--list", action="store_true", help="the rows")
    p.add_argument("--only", metavar="REGEX", action="append", default=[],
                   help="only the rows whose whole name matches (may be\ngiven several times)")
    p.add_argument("--rounds", type=int, help="that count, after one that "
                   "does not")
    p.add_argument("--ms", type=int, help="measured time of each contestant "
                   "in each round")
    p.add_argument("--leases", type=int, action="append", help="with so many "
                   "leases (may be given several times)")
    p.add_argument("--resources", type=int, help="of the rows about a large "
                   "registry; a multiple of 1,000")
    p.add_argument("--namespaces", type=int)
    p.add_argument("--watchers", type=int, default=5000, help="of each kind "
                   "(5,000; what the limit of\nopen files allows)")
    p.add_argument("--failovers", type=int, help="so many rounds of the rows "
                   "in which a leader\nends; peers take part in the first ones")
    p.add_argument("--joined", type=int, metavar="RESOURCES",
                   help="held by the cluster that a node joins; a multiple\n"
                   "of 1,000")
    p.add_argument("--json", metavar="FILE", help="everything, each round's "
                   "figures too")
    p.add_argument("--svg", metavar="DIR", help="the curves as drawings")
    p.add_argument("--draw", metavar="FILE", help="measure nothing: draw what "
                   "an earlier run has\nwritten with --json; needs --svg")
    p.add_argument("--most", metavar="N", type=int, help="sizes of curves up "
                   "to N only")
    p.add_argument("--idle", type=int, metavar="N", help="connections of the "
                   "rows about idle ones")
    p.add_argument("--build", metavar="DIR", help="measure this build "
                   "(default: build-bench, made if need be)")
    p.add_argument("--against", metavar="DIR", help="and this one, as 'other'")
    p.add_argument("--client", choices=("load", "wrk"), default="load",
                   help="what reads over HTTP are measured with: our own\n"
                   "(default; it keeps a server busy that wrk cannot) or wrk")
    p.add_argument("--without", metavar="PEER", action="append", default=[],
                   choices=sorted(servers.PEERS), help="leave this peer out")
    p.add_argument("--pin", default="auto", metavar="S,L",
                   help="processors of server and load; auto (0,1 when there "
                   "are two), none")
    p.add_argument("--dir", metavar="DIR", help="where data is kept meanwhile")
    a = p.parse_args(argv)
    mode = "quick" if a.quick else "full" if a.full else "default"
    for name, value in SIZES[mode].items():
        if getattr(a, name, None) is None:
            setattr(a, name, value)
    a.leases = sorted(set(a.leases))
    for sizes in CURVES:
        kept = [n for n in getattr(a, sizes) if n <= (a.most or n)]
        setattr(a, sizes, kept or getattr(a, sizes)[:1])
    if a.draw and not a.svg:
        p.error("--draw needs --svg DIR")
    a.peers_large = a.full
    if min(a.rounds, a.ms, a.failovers, a.watchers) < 1:
        p.error("--rounds, --ms, --failovers and --watchers are at least 1")
    if min(a.resources, a.joined) < 1000:
        p.error("--resources and --joined are at least 1,000")
    return a


def release_build():
    """build-bench/, a release build, up to date."""
    build = os.path.join(parts.REPOSITORY, "build-bench")
    steps = [["ninja", "-C", build, "rosterd"]]
    if not os.path.exists(os.path.join(build, "build.ninja")):
        steps.insert(0, ["meson", "setup", "--buildtype=release", build,
                         parts.REPOSITORY])
    for argv in steps:
        done = subprocess.run(argv, capture_output=True, text=True)
        if done.returncode:
            raise parts.Fault(f"{' '.join(argv)}:\n{done.stdout[-3000:]}"
                              f"{done.stderr[-1000:]}")
    return build


def versions(options):
    found = {"roster": servers.Roster.version(options.build)}
    if options.against:
        found["other"] = servers.Roster.version(options.against)
    missing = {name: "not wanted" for name in options.without}
    for name, peer in servers.PEERS.items():
        if name in missing:
            continue
        try:
            found[name] = peer.version()
        except parts.Missing as e:
            missing[name] = str(e)
    try:
        parts.find("wrk")
        found["wrk"] = parts.output("wrk", "-v").split("\n")[0]
    except parts.Missing as e:
        missing["wrk"] = str(e)
        if options.client == "wrk":
            raise
    return found, missing


def measure(bench, only):
    def matches(name, expressions):
        return any(re.fullmatch(e, name) for e in expressions)

    def wants(name):
        return matches(name, only) if only else \
            not matches(name, bench.options.skipped)
    for group in GROUPS:
        names = [n for n in group.ROWS if wants(n)]
        done, began = set(), time.monotonic()
        if not names:
            continue
        try:
            for row in group.group(bench, wants):
                done.add(row.name)
                row.seconds = round(time.monotonic() - began, 1)
                yield row
                began = time.monotonic()
        except (parts.Fault, OSError, subprocess.TimeoutExpired) as e:
            # The others can still be measured.
            for name in names:
                if name not in done:
                    row = method.Row(name, group.ROWS[name])
                    row.faults.append(str(e))
                    yield row
        bench.down()


def run(options):
    options.build = options.build or os.environ.get("ROSTER_BUILD") or \
        release_build()
    options.build = os.path.abspath(options.build)
    options.against = options.against and os.path.abspath(options.against)
    for build in filter(None, (options.build, options.against)):
        if not os.path.exists(os.path.join(build, "rosterd")):
            raise parts.Fault(f"{build}/rosterd is not built")
    found, missing = versions(options)
    began = time.monotonic()
    with contextlib.closing(parts.Place(options.dir, options.pin)) as place:
        facts = parts.machine(place)
        bench = method.Bench(place, options, found)
        bench.make_roster = lambda flags=(), **more: servers.Roster(
            place, options.build, flags=flags, **more)
        bench.make_other = lambda flags=(), **more: servers.Roster(
            place, options.against, name="other", flags=flags, **more)
        bench.make_cluster = lambda flags=(), **more: clusters.make_roster(
            place, options.build, flags=flags, **more)
        bench.make_other_cluster = lambda **more: clusters.make_roster(
            place, options.against, name="other", **more)
        report.print_head(facts, found, missing)
        rows = []
        for row in measure(bench, options.only):
            report.print_row(row)
            rows.append(row)
        facts["seconds"] = round(time.monotonic() - began)
        report.print_tail(rows)
        print(f"Not measured here: {', '.join(ELSEWHERE)}. "
              f"{facts['seconds']} s.")
        if options.json:
            report.write_json(options.json, bench, facts, missing, rows)
        if options.svg:
            draw(options.svg, [row.as_json() for row in rows])
    return 1 if any(row.faults for row in rows) else 0


def draw(directory, rows):
    for name in plots.write(directory, rows):
        parts.say(f"drawn: {name}")
    return 0


def draw_again(options):
    try:
        with open(options.draw, encoding="utf-8") as f:
            return draw(options.svg, json.load(f)["rows"])
    except (OSError, ValueError, KeyError) as e:
        raise parts.Fault(f"{options.draw} is not what --json writes: {e}") \
            from e


def stop(*_):
    raise KeyboardInterrupt


def main(argv):
    options = arguments(argv)
    if options.list:
        for group in GROUPS:
            for name, title in group.ROWS.items():
                print(f"{name:<19} {title}")
        return 0
    signal.signal(signal.SIGTERM, stop)
    try:
        return draw_again(options) if options.draw else run(options)
    except parts.Fault as e:
        parts.say(f"scripts/bench: {e}")
        return 2
    except KeyboardInterrupt:
        parts.say("scripts/bench: ended; all it had started is ended too")
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
