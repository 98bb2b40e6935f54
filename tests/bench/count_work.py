"""The operations whose instructions are counted. Each is prepared while nothing
is counted, and gives a function that does it once; `per` is by how much a
count is divided."""
import bodies
import parts

ROWS, LEASES, STREAMS, SEARCHED, TOGETHER = 1000, 300, 1000, 2000, 64
OPERATIONS = {}


def operation(n, server="plain", per=1, margin=0.03):
    """n: how often it is done in one count. margin: what chance and other
    processors may add."""
    def mark(prepare):
        prepare.n, prepare.server = n, server
        prepare.per, prepare.margin = per, margin
        OPERATIONS[prepare.__name__.replace("_", "-")] = prepare
        return prepare
    return mark


def asking(server, request, want=200):
    """Does this request again and again."""
    def once(_):
        server.wire.send(request)
        expect(server.wire, want)
    return once


def expect(wire, *want):
    status, head, body = wire.answer()
    if status not in want:
        raise parts.Fault(f"status {status}, not {want[0]}: {body[:300]!r}")
    return head


def together(server, wires, requests, want):
    """Each on a connection of its own, at the same time."""
    for wire, request in zip(wires, requests):
        wire.send(server.request(*request))
    for wire, _ in zip(wires, requests):
        expect(wire, want)


def one_resource(server):
    server.call("PUT", server.leaf + "/small/small",
                bodies.resource("small", 140))
    return server.leaf + "/small/small"


def hundred(server):
    """A list of 20 KB."""
    target = server.leaf + "/hundred"
    if not server.call("GET", target):
        server.call("POST", target,
                    [bodies.resource(f"n{i:03}", 143) for i in range(100)])
    return target


# ---- reads ----

@operation(400)
def read_one(server):
    """a cached read of one resource of 200 bytes"""
    return asking(server, server.request("GET", one_resource(server)))


@operation(400)
def read_list(server):
    """a cached list of 100 resources (20 KB)"""
    return asking(server, server.request("GET", hundred(server)))


@operation(400)
def read_304(server):
    """that list, unchanged since the client has it"""
    target = hundred(server)
    _, head, _ = server.ask("GET", target)
    tag = head.partition(b"\r\netag: ")[2].partition(b"\r\n")[0].decode()
    return asking(server, server.request("GET", target, None,
                                         [f"If-None-Match: {tag}"]), 304)


@operation(400)
def read_gzip(server):
    """that list, compressed when it was asked for before"""
    request = server.request("GET", hundred(server), None,
                             ["Accept-Encoding: gzip"])

    def packed():
        server.wire.send(request)
        return b"content-encoding: gzip" in expect(server.wire, 200)
    server.wait(packed)
    return asking(server, request)


@operation(30)
def page(server):
    """a page of 100 of 1,000 resources"""
    target = server.leaf + "/paged"
    server.call("POST", target, [bodies.resource(f"n{i:04}", 143)
                                 for i in range(1000)])
    rows = server.call("GET", target)
    return asking(server, server.request(
        "GET", f"{target}?limit=100&after={rows[450]['_id']}"))


@operation(300, margin=0.08)
def read_linearizable(server):
    """one resource, as it is at that moment"""
    return asking(server, server.request(
        "GET", one_resource(server) + "?consistency=linearizable"))


@operation(2)
def search_exact(server):
    """one of 2,000 resources, by its key"""
    for first in range(0, SEARCHED, 1000):
        server.call("POST", server.leaf + "/searched", [
            bodies.resource(f"n{first + i:04}", 143) for i in range(1000)])
    return asking(server, server.request(
        "GET", "/v1/search?type=searched&k=name&v=n1234"))


@operation(400, server="access")
def read_access(server):
    """one resource, by one who may read this namespace"""
    target = one_resource(server)
    made = server.call("POST", "/v1/tokens", {"name": "reader",
                                              "roles": ["reader"]})
    return asking(server, bodies.http(
        "GET", target, None, ["Authorization: Bearer " + made["token"]]))


@operation(400, server="tls")
def read_tls(server):
    """one resource, encrypted"""
    return asking(server, server.request("GET", one_resource(server)))


@operation(400, server="tls")
def read_list_tls(server):
    """that list, encrypted"""
    return asking(server, server.request("GET", hundred(server)))


# ---- writes ----

@operation(60, margin=0.05)
def write(server):
    """a new resource of 200 bytes"""
    def once(i):
        server.wire.send(server.request("POST", server.leaf + "/written",
                                        bodies.resource(f"n{i:012}")))
        expect(server.wire, 201)
    return once


@operation(60, margin=0.05)
def put(server):
    """a resource replaced"""
    target = one_resource(server)

    def once(i):
        server.wire.send(server.request("PUT", target, {
            **bodies.resource("small"), "port": f"{i % 1000:04}"}))
        expect(server.wire, 200)
    return once


@operation(60, margin=0.05)
def patch(server):
    """a member of a resource changed"""
    target = one_resource(server)

    def once(i):
        server.wire.send(server.request("PATCH", target,
                                        {"port": f"{i % 1000:04}"}))
        expect(server.wire, 200)
    return once


@operation(3, per=TOGETHER, margin=0.06)
def write_64(server):
    """a new resource, when 64 come at the same time"""
    wires = [server.connect() for _ in range(TOGETHER)]

    def once(i):
        together(server, wires, [
            ("POST", server.leaf + "/many",
             bodies.resource(f"n{i * TOGETHER + j:012}"))
            for j in range(TOGETHER)], 201)
    return once


@operation(1, per=ROWS)
def batch(server):
    """a row of 1,000 that are added with one request"""
    def once(i):
        server.wire.send(server.request("POST", server.leaf + "/batch", [
            bodies.resource(f"n{i * ROWS + j:012}") for j in range(ROWS)]))
        expect(server.wire, 200, 201)
    return once


# ---- leases ----

def leases(server):
    """They are there afterwards."""
    if server.ask("GET", "/v1/agents/h0000")[0] == 200:
        return
    wires = [server.connect() for _ in range(TOGETHER)]
    for first in range(0, LEASES, TOGETHER):
        together(server, wires, [
            ("POST", "/v1/agents", {"hostname": f"h{i:04}", "ttl": "24h",
                                    "resource": {"address": "192.0.2.17"}})
            for i in range(first, min(first + TOGETHER, LEASES))], 201)
    for wire in wires:
        wire.close()


@operation(200)
def heartbeat(server):
    """a heartbeat, one of 300 leases"""
    leases(server)

    def once(i):
        server.wire.send(server.request(
            "PUT", f"/v1/agents/h{i % LEASES:04}/heartbeat", b""))
        expect(server.wire, 204)
    return once


@operation(4, per=LEASES)
def heartbeats(server):
    """a name in a batch of 300 heartbeats"""
    leases(server)
    return asking(server, server.request("POST", "/v1/heartbeats", {
        "hostnames": [f"h{i:04}" for i in range(LEASES)]}))


# ---- watchers ----

@operation(8, per=STREAMS, margin=0.15)
def event(server):
    """a change told to one of 1,000 streams, with its share of the change"""
    target = server.leaf + "/streamed/r"
    server.call("PUT", target, bodies.resource("r"))
    ask = server.request("GET", "/v1/watch?ns=counted.roster&type=streamed",
                         None, ["Accept: text/event-stream"])
    streams = [server.connect() for _ in range(STREAMS)]
    for stream in streams:
        stream.send(ask)
    for stream in streams:
        stream.until(b"progress")

    def once(i):
        mark = f"{i:012}"
        server.wire.send(server.request("PUT", target, {
            **bodies.resource("r"), "port": mark}))
        expect(server.wire, 200)
        for stream in streams:
            stream.until(mark.encode())
    return once
