"""Many who wait for changes: what they cost while nothing happens, and how long
one change takes to reach all of them."""
import json
import re
import select
import subprocess
import time

import bodies
import clusters
import parts
import servers
import ways
from method import Row, middle

PLAIN = {
    "watch": "one change told to 5,000 streams, and to 5,000 long polls",
    "watch-memory": "memory of a watcher, and processor time while all wait",
}
ROWS = ways.rows(PLAIN, "watch", "watch-memory")
EACH = 5 << 10          # bytes of a watcher
BARE = 1.5              # times a bare server that writes to as many sockets
REST = 3        # times as long as is measured
FIGURES = ("p50_us", "p99_us", "last_us", "answer_us", "cpu_us")


class Watchers:
    """A client that holds them all, and makes the change."""

    def __init__(self, bench, server, question, change, *, greeting=None,
                 ready=None, n=None):
        place = bench.place
        self.server, self.n = server, n or bench.options.watchers
        if server.headers:
            question = bodies.signed(question, server.headers)
            change = bodies.signed(change, server.headers)
        self.argv = [place.watch, "-a", str(server.port), "-f",
                     bench.file(question), "-x", bench.file(change), "-c",
                     str(self.n), *(["-C", server.ca] if server.ca else []),
                     *(["-g", greeting] if greeting else ["-l"])]
        self.process = subprocess.Popen(
            place.pinned(self.argv, place.load_cpu), text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, preexec_fn=parts.die_with_parent)
        place.running.append(self.process)
        self.answer(180)
        if ready:
            ready()

    def answer(self, seconds):
        out = self.process.stdout
        line = select.select([out], [], [], seconds)[0] and out.readline()
        return json.loads(line) if line else self.failed()

    def failed(self):
        self.process.kill()
        raise parts.Fault(f"the client of {self.server.name}: "
                          f"{self.process.stderr.read().strip()[:600]}")

    def change(self):
        """One change, and how it was told."""
        before = self.server.cpu_us()
        try:
            self.process.stdin.write("change\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            self.failed()
        sample = self.answer(30)
        sample["cpu_us"] = (self.server.cpu_us() - before) / self.n
        sample["command"] = " ".join(self.argv)
        sample["faults"] = []
        if sample["missed"] or not sample["answer_us"]:
            sample["faults"].append(
                f"{sample['missed']} of {self.n} were not told in 10 s")
        # Long polls ask again: not while the next contestant is measured.
        time.sleep(0.3)
        return sample


def metric(server, name):
    text = server.ask_http("GET", "/metrics").decode()
    found = re.search(rf"^{name} (\d+)", text, re.M)
    if not found:
        raise parts.Fault(f"{server.name} has no metric {name}: {text[:80]}")
    return int(found[1])


def wait_for(server, name, n):
    end = time.monotonic() + 60
    while metric(server, name) < n:
        if time.monotonic() > end:
            raise parts.Fault(f"{name} is {metric(server, name)}, not {n}")
        time.sleep(0.1)


def rest(row, server, what, seconds):
    """Processor time while nothing happens."""
    time.sleep(0.5)
    before, began = server.cpu_us(), time.monotonic()
    time.sleep(seconds)
    share = (server.cpu_us() - before) / 1e4 / (time.monotonic() - began)
    row.notes.append(f"at rest with {what}: {share:.2f} % of a processor")


def frame(roster, leaf, type_, question):
    """The bytes that one change sends to a stream, with the number open."""
    with roster.socket() as s:
        s.sendall(bodies.signed(question, roster.headers))
        data = b""
        while b"progress" not in data:
            data += s.recv(1 << 16)
        number = "1" * len(bodies.ITEM)
        fields = {**bodies.resource("r"), "text": number}
        roster.call("PUT", f"{leaf}/{type_}/r", fields)
        data = b""
        while number.encode() not in data or not data.endswith(b"\n"):
            data += s.recv(1 << 16)
    return data.replace(number.encode(), bodies.ITEM.encode())


def asked(server):
    """The server itself, or a node that does not lead."""
    return server.followers()[0] if hasattr(server, "followers") else server


class Contest:
    """Everybody's watchers, all there at the same time; of a cluster, at a
    follower."""

    def __init__(self, bench, way, memory, nodes=1):
        self.bench, self.way, self.memory, self.go = bench, way, memory, {}
        self.clients, self.nodes = [], nodes
        n = self.n = min(bench.options.watchers, bench.options.tls_watchers
                         if way.tls else bench.options.watchers)
        make = bench.make_roster if nodes == 1 else bench.make_cluster
        self.roster = asked(bench.up("roster watched", lambda: make(
            ("--max-watchers", str(2 * n + 10)), way=way)))
        self.leaf = self.roster.leaf("watched")
        self.mine()
        if bench.have("redis") and nodes == 1:
            self.redis()
        if bench.have("etcd"):
            self.etcd()

    def add(self, name, server, question, change, **more):
        watchers = Watchers(self.bench, server, question, change, n=self.n,
                            **more)
        self.clients.append(watchers)
        self.go[name] = watchers.change

    def end(self):
        for watchers in self.clients:
            self.bench.place.end(watchers.process)

    def put(self, type_):
        return bodies.http("PUT", f"/v1/ns/watched.roster/{type_}/r", {
            **bodies.resource("r"), "text": bodies.ITEM})

    def mine(self):
        ask = bodies.http("GET", "/v1/watch?ns=watched.roster&type=streamed",
                          None, ["Accept: text/event-stream"])
        poll = bodies.http("GET", "/v1/ns/watched.roster/polled?since=####"
                           "&wait=10m")
        for type_ in ("streamed", "polled"):
            self.roster.call("PUT", f"{self.leaf}/{type_}/r", {
                **bodies.resource("r"), "text": "x" * len(bodies.ITEM)})
        bytes_ = frame(self.roster, self.leaf, "streamed", ask)
        self.memory.notes.append(f"a change of a stream: {len(bytes_)} bytes")
        self.weigh("roster", "streams", lambda: self.add(
            "roster", self.roster, ask, self.put("streamed"),
            greeting="progress"))
        self.weigh("roster's polls", "long polls", lambda: self.add(
            "roster's polls", self.roster, poll, self.put("polled"),
            ready=lambda: wait_for(self.roster, "roster_watch_polls",
                                   self.n)))
        bare = self.bench.up("barewatch",
                             lambda: servers.BareWatch(self.bench.place,
                                                       self.way))
        before = bare.memory()["rss_anon"]
        self.add("bare", bare, bodies.http("GET", "/"),
                 bodies.http("POST", "/", bytes_), greeting="200 OK")
        each = (bare.memory()["rss_anon"] - before) / self.n
        self.memory.figures["bare"] = {"each": middle([each])}

    def weigh(self, name, what, add):
        roster, n = self.roster, self.n
        before = roster.memory()["rss_anon"]
        add()
        rest(self.memory, roster, f"{n:,} {what} more",
             REST * self.bench.options.ms / 1000)
        each = (roster.memory()["rss_anon"] - before) / n
        self.memory.figures[name] = {"each": middle([each])}
        # As few are less than the allocator's steps.
        # A session of TLS takes more than that by itself: see "bare".
        if not self.way.tls:
            self.memory.bound(
                f"bytes that one of {n:,} {what} takes: <= {EACH:,}",
                middle([each]) if n >= 1000 else None, lambda v: v <= EACH)

    def redis(self):
        redis = self.bench.up("redis watched", lambda: servers.Redis(
            self.bench.place, False, self.way))
        redis.ask("CONFIG", "SET", "maxclients",
                  str(self.n + 100))
        # Who asks is said first, and answered along with the rest.
        first = redis.hello or b""
        self.add("redis", redis,
                 first + servers.command("SUBSCRIBE", "watched"),
                 first + servers.command("PUBLISH", "watched", json.dumps({
                     **bodies.resource("r"), "text": bodies.ITEM})),
                 greeting="subscribe")

    def etcd(self):
        etcd = asked(self.bench.up("etcd", lambda: clusters.make_etcd(
            self.bench.place, self.nodes, self.way)))
        key = bodies.b64("bench/watched")
        self.add("etcd", etcd, bodies.http("POST", "/v3/watch", {
            "create_request": {"key": key}}), bodies.http(
                "POST", "/v3/kv/put", {"key": key, "value": bodies.ITEM}),
            greeting="created")


def group(bench, wants):
    for way, _ in ways.wanted(bench, ROWS, wants, PLAIN):
        yield from (r for r in both(bench, way) if wants(r.name))
        bench.down()


def both(bench, way):
    return contested(bench, way, *(Row(way.of(n), ROWS[way.of(n)])
                                   for n in PLAIN))


def contested(bench, way, row, memory, nodes=1):
    contest = Contest(bench, way, memory, nodes)
    try:
        row.take(bench.rounds(contest.go, 4 * bench.options.rounds), FIGURES)
    finally:
        contest.end()
    row.versus("last_us", "roster", "bare", f"the last of the streams within "
               f"{BARE} times a bare server's", lambda v: v <= BARE)
    row.versus("last_us", "roster", "redis", "the last of the streams before "
               "that of redis pub/sub", lambda v: v < 1)
    for one, other in (("roster", "etcd"), ("roster's polls", "bare"),
                       ("roster's polls", "redis"), ("roster's polls", "etcd")):
        row.inform("last_us", one, other)
    row.notes.append(f"{contest.n:,} of each kind")
    memory.faults = list(row.faults)
    return row, memory
