"""Many connections that do nothing: watchers by their number, and idle ones: what
each takes, and what others notice of them."""
import functools
import resource
import time

import bodies
import curves
import parts
import reads
import servers
import watchers
import ways
from method import Row, middle

PLAIN = {"idle": "idle connections: memory of each, and what others notice"}
ROWS = {
    "curve-watchers": "one change told to streams, and additions elsewhere, by "
                      "watchers",
    **ways.rows(PLAIN, "idle", among=(ways.TLS,)),
}
FLAT = ("flat", "falls")
SPARE = 500         # open files of a server that are no clients'
FIGURES = ("rate", "p50_us", "p99_us", "last_us", "cpu_us")


def group(bench, wants):
    if wants("curve-watchers"):
        with bench.shorter(rounds=curves.ROUNDS):
            yield by_watchers(bench, Row("curve-watchers",
                                         ROWS["curve-watchers"]))
        bench.down()
    for way, _ in ways.wanted(bench, ROWS, wants, PLAIN):
        yield idle(bench, way, Row(way.of("idle"), ROWS[way.of("idle")]))
        bench.down()


# ---- watchers ----

def by_watchers(bench, row):
    """A change costs the more, the more are told; the processor time for each
    of them, and what writers elsewhere notice, must not grow."""
    asks, clients = {}, []
    sizes = bench.options.crowds
    try:
        for n in sizes:
            for line, ask in crowd(bench, n, clients).items():
                asks.setdefault(line, {})[n] = ask
        row.take(bench.rounds({
            f"{line} @ {n:,}": by[n] for n in sizes
            for line, by in asks.items()}, warm=False), FIGURES)
    finally:
        for client in clients:
            bench.place.end(client.process)
    for line in asks:
        row.draw(line, "watchers", {n: f"{line} @ {n:,}" for n in sizes},
                 FIGURES if line.startswith("additions") else FIGURES[1:],
                 line != "bare")
    row.judge_curves("cpu_us", FLAT)
    for n in sizes:
        row.inform("last_us", f"streams @ {n:,}", f"bare @ {n:,}")
    return row


def crowd(bench, n, clients):
    roster = bench.up(f"roster {n}", lambda: bench.make_roster(
        ("--max-watchers", str(n + 10))))
    bare = bench.up(f"bare {n}", lambda: servers.BareWatch(bench.place))
    leaf = roster.leaf("watched")
    change = bodies.http("PUT", leaf + "/streamed/r", {
        **bodies.resource("r"), "text": bodies.ITEM})
    question = bodies.http("GET", "/v1/watch?ns=watched.roster&type=streamed",
                           None, ["Accept: text/event-stream"])
    roster.call("PUT", leaf + "/streamed/r", bodies.resource("r"))
    event = watchers.frame(roster, leaf, "streamed", question)
    told = watchers.Watchers(bench, roster, question, change,
                             greeting="progress", n=n)
    clients.append(told)
    least = watchers.Watchers(
        bench, bare, bodies.http("GET", "/"), bodies.http("POST", "/", event),
        greeting="200 OK", n=n)
    clients.append(least)
    add = bodies.http("POST", roster.leaf("elsewhere") + "/service",
                      bodies.resource())
    return {"streams": told.change, "bare": least.change,
            "additions elsewhere": functools.partial(
                bench.load, roster, add, connections=64)}


# ---- idle connections ----

def allow_files():
    """How many connections there can be at most."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard - SPARE


def idle(bench, way, row):
    # Within TLS hands are shaken for each: a thousand a second.
    n = min(bench.options.idle // (5 if way.tls else 1), allow_files())
    contest = reads.Reads(bench, way)
    path = contest.leaf + "/small/small"
    ask = bodies.http("GET", path)
    others = {"roster": (contest.roster, ask)}
    if bench.have("nginx"):
        nginx = bench.up("nginx", lambda: servers.Nginx(bench.place, way))
        nginx.put("small", b"x" * 200)
        others["nginx"] = (nginx, bodies.http("GET", "/small"))
    if bench.have("redis"):
        redis = bench.up("redis", lambda: servers.Redis(bench.place, way=way))
        redis.ask("CONFIG", "SET", "maxclients", str(n + 100))
        redis.ask("SET", "small", "x" * 200)
        others["redis"] = (redis, servers.command("GET", "small"))
    if bench.have("etcd") and not way.tls:
        etcd = bench.up("etcd", lambda: servers.Etcd(bench.place, way=way))
        others["etcd"] = (etcd, bodies.etcd_range("small"))
    for name, (server, request) in others.items():
        beside(bench, row, name, server, request, n)
    row.notes.append(f"{n:,} connections")
    row.inform("p99_us", "roster with them", "roster alone")
    row.inform("cpu_us", "roster with them", "roster alone")
    row.inform("rate", "roster with them", "roster alone")
    return row


def beside(bench, row, name, server, request, n):
    """The same reads before and while the others are there."""
    how = {"connections": 64, "items": 1}
    if name == "redis":
        how["protocol"] = "resp"

    def measured(kind):
        rounds = bench.rounds({f"{name} {kind}": functools.partial(
            bench.load, server, request, **how)})
        for i, taken in enumerate(rounds):
            if i == len(row.rounds):
                row.rounds.append({"order": [], "samples": {}})
            row.rounds[i]["order"] += taken["order"]
            row.rounds[i]["samples"].update(taken["samples"])
    measured("alone")
    before = server.memory()["rss_anon"]
    with Idle(server, request, n):
        time.sleep(0.5)
        each = (server.memory()["rss_anon"] - before) / n
        measured("with them")
    row.take(row.rounds, curves.FIGURES)
    row.figures[f"{name}: each idle one"] = {"each": middle([each])}


class Idle:
    """Connections that have each had one answer, and ask nothing more."""

    def __init__(self, server, request, n):
        self.server, self.n, self.all = server, n, []
        self.request = bodies.signed(request, server.headers) \
            if b" HTTP/1.1\r\n" in request else request

    def __enter__(self):
        try:
            for _ in range(self.n):
                self.all.append(self.server.socket())
                if self.server.hello:
                    self.ask(self.server.hello)
                self.ask(self.request)
        except OSError as e:
            self.__exit__()
            raise parts.Fault(f"{self.server.name}: connection "
                              f"{len(self.all)} of {self.n}: {e}") from e
        return self

    def ask(self, request):
        """An answer is short: it comes at once, or in two parts that may stay
        where they are."""
        self.all[-1].sendall(request)
        if not self.all[-1].recv(4096):
            raise OSError("closed")

    def __exit__(self, *_):
        for one in self.all:
            one.close()
