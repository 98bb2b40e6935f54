"""Cached reads: roster beside a responder that sends the same bytes, and peers
that keep the same content."""
import time

import bodies
import servers
import ways
from method import Row

PLAIN = {
    "read-one": "one resource of 200 bytes, 64 connections",
    "read-1k": "one resource of 1 KB, 64 connections",
    "read-list": "a list of 100 resources (20 KB), 64 connections",
    "read-list-gzip": "that list compressed, for clients that take it",
    "read-304": "that list, unchanged since the client has it",
}
ROWS = ways.rows(PLAIN, "read-one", "read-list")
# Least share of the responder's rate, and how much better than etcd.
BARE, ETCD = 0.85, 10
# Slower than so much of nginx, the responder is no upper bound.
BARE_NGINX = 1.3


def capture(server, request):
    """The bytes of one answer, whole: (all, header, body)."""
    with server.socket() as s:
        s.sendall(bodies.signed(request, server.headers))
        data = b""
        while b"\r\n\r\n" not in data:
            data += s.recv(1 << 16)
        head, _, body = data.partition(b"\r\n\r\n")
        length = 0
        for line in head.lower().split(b"\r\n"):
            if line.startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        if head.split()[1] in (b"304", b"204"):
            length = 0
        while len(body) < length:
            body += s.recv(1 << 16)
    return head + b"\r\n\r\n" + body, head, body


def fill(roster):
    """A leaf with resources of exact sizes."""
    leaf = roster.leaf("reads")
    for name, size in (("small", 200), ("large", 1024)):
        fields = bodies.resource(name, 140)
        made = roster.call("POST", leaf + "/" + name, fields)
        more = size - bodies.stored_size(made)
        fields = bodies.resource(name, 140 + more)
        roster.call("PUT", f"{leaf}/{name}/{name}", fields)
    roster.call("POST", leaf + "/hundred",
                [bodies.resource(f"n{i:03}", 143) for i in range(100)])
    return leaf


def etag(head):
    for line in head.split(b"\r\n"):
        if line.lower().startswith(b"etag:"):
            return line.split(b":", 1)[1].strip().decode()
    return None


def cases(roster, leaf):
    """Row -> path and headers of its request; None: not offered."""
    one, large, rows = (leaf + p for p in (
        "/small/small", "/large/large", "/hundred"))
    packed = ["Accept-Encoding: gzip"]
    # It is compressed when it is worth it: not for the first who asks.
    for _ in range(20):
        _, head, _ = capture(roster, bodies.http("GET", rows, None, packed))
        if b"content-encoding: gzip" in head.lower():
            break
        time.sleep(0.05)
    _, plain, _ = capture(roster, bodies.http("GET", rows))
    tag = etag(plain)
    return {
        "read-one": (one, []), "read-1k": (large, []), "read-list": (rows, []),
        "read-list-gzip": (rows, packed)
        if b"content-encoding: gzip" in head.lower() else None,
        "read-304": (rows, [f"If-None-Match: {tag}"]) if tag else None,
    }


def group(bench, wants):
    for way, names in ways.wanted(bench, ROWS, wants, PLAIN):
        yield from Reads(bench, way).rows(names)
        bench.down()


class Reads:
    """Everybody who has the content, in one way."""

    def __init__(self, bench, way):
        self.bench, self.way = bench, way
        self.roster = bench.up("roster", lambda: bench.make_roster(way=way))
        self.leaf = fill(self.roster)
        self.others = {}
        if bench.options.against:
            self.others["other"] = bench.up(
                "other", lambda: bench.make_other(way=way))
        if way is not ways.PLAIN:
            self.others["roster, plain"] = bench.up("roster, plain",
                                                    bench.make_roster)
        for server in self.others.values():
            fill(server)

    def rows(self, names):
        offered = cases(self.roster, self.leaf)
        for name in names:
            row = Row(self.way.of(name), ROWS[self.way.of(name)])
            if offered[name] is None:
                row.notes.append("roster does not offer it")
                row.bounds.append({"text": "offered", "value": None,
                                   "verdict": "not measured"})
            else:
                row.take(self.bench.rounds(
                    self.contestants(row, name, *offered[name])))
                judge(row, self.way, name, self.others)
            yield row

    def contestants(self, row, name, path, headers=()):
        """Each is a function of how many connections (64)."""
        bench, way = self.bench, self.way
        request = bodies.http("GET", path, None, headers)
        answer, head, body = capture(self.roster, request)
        bare = bench.up("bare " + name, lambda: servers.Bare(
            bench.place, answer, way, self.roster.headers))
        row.notes.append(f"the answer: {len(answer)} bytes, {len(body)} of "
                         "body")

        def by_http(server, target=path, more=tuple(headers)):
            return lambda c=64: same_length(ask(bench, server, target, more, c),
                                            len(answer), server)
        made = {"roster": by_http(self.roster), "bare": by_http(bare)}
        for other, server in self.others.items():
            made[other] = by_http(server)
        if bench.have("nginx") and body:
            nginx = bench.up("nginx", lambda: servers.Nginx(bench.place, way))
            nginx.put(name, body)
            made["nginx"] = by_http(nginx, "/" + name, ())
        if b"gzip" not in head and body:
            made.update(stores(bench, way, name, body))
        return made


def ask(bench, server, path, headers, connections):
    if bench.options.client == "wrk":
        return bench.wrk(server, path, headers)
    return bench.load(server, bodies.http("GET", path, None, headers),
                      connections=connections, items=1)


def same_length(sample, length, server):
    """The responder and roster must have sent the captured bytes."""
    if isinstance(server, (servers.Bare, servers.Roster)) and not \
            sample["faults"] and server.name != "other":
        got = sample["bytes"] / max(sample["answers"], 1)
        # Numbers in headers may grow by a digit while it is measured.
        if abs(got - length) > 8:
            sample["faults"].append(f"answers of {got:.0f} bytes, not {length}")
    return sample


def stores(bench, way, name, body):
    """Peers that keep the content and are asked in their own protocol."""
    made = {}
    if bench.have("etcd"):
        etcd = bench.up("etcd", lambda: servers.Etcd(bench.place, way=way))
        n = 100 if name == "read-list" else 1
        for i in range(n):
            etcd.call("POST", "/v3/kv/put", {
                "key": bodies.b64(f"{name}/{i:03}"),
                "value": bodies.b64(body[:len(body) // n])})
        question = (bodies.etcd_range(f"{name}/", f"{name}0") if n > 1 else
                    bodies.etcd_range(f"{name}/000"))
        made["etcd"] = lambda c=64: bench.load(etcd, question, connections=c,
                                               items=1)
    if bench.have("redis"):
        redis = bench.up("redis", lambda: servers.Redis(bench.place, way=way))
        redis.ask("SET", name, body)
        get = servers.command("GET", name)
        made["redis"] = lambda c=64: bench.load(
            redis, get, connections=c, items=1, protocol="resp")
    if bench.have("zookeeper"):
        made["zookeeper"] = zookeeper(bench, way, name, body)
    return made


def zookeeper(bench, way, name, body):
    zk = bench.up("zookeeper", lambda: servers.ZooKeeper(bench.place, way=way))
    how = {"protocol": "zookeeper", "hello": bodies.ZOOKEEPER_HELLO}
    bench.load(zk, bodies.zookeeper_create("/" + name, body), n=1, **how)
    get = bodies.zookeeper_get("/" + name)
    bench.warm_java(zk, "get", get, items=1)
    return lambda c=64: bench.load(zk, get, connections=c, items=1, **how)


def judge(row, way, name, others):
    sane = row.ratio("rate", "bare", "nginx")
    if sane and not way.tls:
        row.counts = sane["median"] >= BARE_NGINX
        row.notes.append(f"bare / nginx: {sane['median']:.2f} (must be "
                         f"{BARE_NGINX} or the row does not count)")
    if name in ("read-one", "read-1k", "read-list"):
        judge_bare(row, way)
        row.versus("rate", "roster", "etcd", f"at least {ETCD} x etcd",
                   lambda v: v >= ETCD)
    else:
        row.inform("rate", "roster", "bare")
    row.inform("cpu_us", "roster", "bare")
    for peer in ("redis", "zookeeper"):
        row.inform("rate", "roster", peer)
    for other in others:
        row.inform("rate", "roster", other)
        row.inform("cpu_us", "roster", other)


def judge_bare(row, way):
    """One client is no faster than a server that does nothing but TLS: there the
    processor time says how many more clients there could be."""
    if way.tls:
        row.inform("rate", "roster", "bare")
        row.versus("cpu_us", "bare", "roster", f"at least {BARE} of bare for "
                   "each second of a processor", lambda v: v >= BARE)
    else:
        row.versus("rate", "roster", "bare", f"at least {BARE} of bare",
                   lambda v: v >= BARE)
