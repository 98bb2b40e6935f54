"""Curves of growth: what an operation costs among ever more. All sizes are there
at the same time and take turns; each has a server of its own, or lists."""
import functools

import bodies
import curves
from leases import register
from method import Row

ROWS = {
    "curve-list": "appends, reads of one row, a page of 10, by rows of the list",
    "curve-namespaces": "additions, reads of a list, new leaves, by namespaces",
    "curve-resources": "reads of one and additions, by resources in leaves of "
                       "1,000",
    "curve-leases": "heartbeats singly and in batches of 1,000, by leases",
}
# What is promised; else a row is found by a tree, whose depth is a logarithm.
FLAT, TREE = ("flat", "falls"), ("flat", "falls", "logarithmic")
PROMISED = {"curve-list": FLAT, "curve-namespaces": FLAT}
ARRAY = 1000        # rows of a request that fills


def group(bench, wants):
    made = {"curve-list": lists, "curve-namespaces": namespaces,
            "curve-resources": resources, "curve-leases": leases}
    for name in filter(wants, ROWS):
        with bench.shorter(rounds=curves.ROUNDS):
            row = Row(name, ROWS[name])
            x, sizes, asks = made[name](bench, row)
            curves.take(bench, row, x, sizes, {
                line: (lambda n, by=by: by[n]()) for line, by in asks.items()},
                judged=True)
            for figure in ("cpu_us", "rate"):
                row.judge_curves(figure, PROMISED.get(name, TREE))
            yield row
        bench.down()


class Asks:
    """{operation: {size: function}} of servers that are filled."""

    def __init__(self, bench):
        self.bench, self.made = bench, {}

    def add(self, line, size, server, request, **more):
        self.made.setdefault(line, {})[size] = functools.partial(
            self.bench.load, server, request, **{"connections": 64, **more})


def fill(bench, row, server, method, path, body, **more):
    made = bench.load(server, bodies.http(method, path, body),
                      **{"connections": 8, **more})
    row.faults += made["faults"]
    return made


# ---- the rows of a list ----

def copies(rows):
    """So many lists of that length that additions make none much longer."""
    return max(1, min(1000, 20_000 // rows))


def lists(bench, row):
    """A row is appended to many short lists in turn, for they would not stay
    short."""
    roster, asks = bench.up("roster", bench.make_roster), Asks(bench)
    for size in bench.options.rows:
        n, leaf = copies(size), roster.leaf(f"rows{size}")
        value = bodies.resource()
        if size <= ARRAY:
            fill(bench, row, roster, "POST", f"{leaf}/t{bodies.REQUEST}",
                 [value] * size, n=n, items=size)
        for i in range(n if size > ARRAY else 0):
            fill(bench, row, roster, "POST", f"{leaf}/t{i:012}",
                 [value] * ARRAY, n=size // ARRAY, items=size)
        target = f"{leaf}/t{bodies.REQUEST}"
        asks.add("append", size, roster,
                 bodies.http("POST", target, bodies.resource("m" + bodies.ITEM)),
                 n=min(bench.options.appends, max(100, n * size // 5)),
                 requests=n)
        asks.add("read one", size, roster,
                 bodies.http("GET", f"{target}/n{bodies.ITEM}"), items=size,
                 requests=n)
        asks.add("a page", size, roster,
                 bodies.http("GET", target + "?limit=10"), items=1, requests=n)
        row.notes.append(f"{size:,} rows: {n:,} lists")
    return "rows of a list", bench.options.rows, asks.made


# ---- namespaces ----

def leaves(bench, row, server, n):
    made = fill(bench, row, server, "POST", "/v1/ns", {
        "parent": "roster", "name": "l" + bodies.REQUEST, "kind": "leaf"},
        n=n, connections=64)
    row.notes.append(f"{n:,} namespaces made at {made['rate']:,.0f}/s")


def namespaces(bench, row):
    """The same hundred leaves are asked, among others or alone."""
    asks, leaf = Asks(bench), f"/v1/ns/l{bodies.REQUEST}.roster/service"
    few = min(100, *bench.options.branches)
    for size in bench.options.branches:
        server = bench.up(f"roster {size}", bench.make_roster)
        leaves(bench, row, server, size)
        asks.add("addition", size, server,
                 bodies.http("POST", leaf, bodies.resource()), requests=few)
        asks.add("list", size, server, bodies.http("GET", leaf + "?limit=100"),
                 items=1, requests=few)
        asks.add("new leaf", size, server, bodies.http("POST", "/v1/ns", {
            "parent": "roster", "name": "m" + bodies.ITEM, "kind": "leaf"}),
            n=min(bench.options.appends, max(20, size // 5)))
    return "namespaces", bench.options.branches, asks.made


# ---- resources ----

COPRIME = 997       # of the rows of a leaf that are read: each leaf all of them


def resources(bench, row):
    asks, leaf = Asks(bench), f"/v1/ns/l{bodies.REQUEST}.roster/service"
    for size in bench.options.registries:
        server, n = bench.up(f"roster {size}", bench.make_roster), size // ARRAY
        leaves(bench, row, server, n)
        made = fill(bench, row, server, "POST", leaf,
                    [bodies.resource()] * ARRAY, n=n, items=ARRAY)
        row.notes.append(f"{size:,} resources loaded in {made['seconds']:.2f} s")
        asks.add("read one", size, server, bodies.http(
            "GET", f"{leaf}/n{bodies.ITEM}"), items=COPRIME, requests=n)
        asks.add("addition", size, server, bodies.http(
            "POST", leaf, bodies.resource("m" + bodies.ITEM)), requests=n)
    return "resources", bench.options.registries, asks.made


# ---- leases ----

def leases(bench, row):
    asks = Asks(bench)
    for size in bench.options.leases:
        server = bench.up(f"roster {size}", bench.make_roster)
        made = register(bench, server, 0, size)
        row.faults += made["faults"]
        row.notes.append(f"{size:,} registrations at {made['rate']:,.0f}/s, "
                         f"RssAnon {server.memory()['rss_anon'] / 2**20:.1f} MiB")
        asks.add("heartbeat", size, server, bodies.http(
            "PUT", f"/v1/agents/h{bodies.ITEM}/heartbeat", b""), items=size)
        asks.add("batch of 1,000", size, server, bodies.http(
            "POST", "/v1/heartbeats", {"hostnames": ["h" + bodies.ITEM] * 1000}),
            items=size, connections=2)
    return "leases", bench.options.leases, asks.made
