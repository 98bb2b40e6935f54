"""Plain reads past the library: who reads what is kept 16 times in a row has his
connection taken. Nothing may differ but the time it takes."""
import contextlib
import re
import signal
import socket
import threading
import time

import harness
from cluster import Cluster
from harness import (Server, bare, fresh_name, in_threads, make_list,
                     memory_counts,
                     request_bytes, seeded, shared, test, until)

ENOUGH = 20  # more than it takes
PATIENCE = harness.PATIENCE


def metric(s, name):
    with contextlib.closing(s.client()) as c:
        text = c.get("/metrics").must(200).body.decode()
    return int(re.search(rf"^{name} (\S+)$", text, re.M)[1])


def express(s):
    return metric(s, "roster_http_answers_express_total")


def read(target, **headers):
    return request_bytes("GET", target,
                         headers=[(k.replace("_", "-"), v) for k, v in headers.items()])


def raw(w, request, method="GET"):
    """The bytes of the answer, its date left out."""
    assert w.send(request)
    while b"\r\n\r\n" not in w.buffer:
        assert w._more(), "no answer"
    head, _, rest = w.buffer.partition(b"\r\n\r\n")
    w.buffer = rest
    n = re.search(rb"(?i)\r\ncontent-length: (\d+)", head)
    n = int(n[1]) if n and method != "HEAD" and b" 304 " not in head[:15] else 0
    while len(w.buffer) < n:
        assert w._more(), "half an answer"
    body, w.buffer = w.buffer[:n], w.buffer[n:]
    lines = head.split(b"\r\n")
    assert sum(line.startswith(b"Date: ") for line in lines) == 1, head
    return [line for line in lines if not line.startswith(b"Date: ")], body


def earn(s, w, target, **headers):
    """Reads until the connection is taken."""
    request = read(target, **headers)
    for _ in range(100):
        for _ in range(ENOUGH):
            assert w.send(request)
            assert w.answer().status in (200, 304)
        before = express(s)
        w.send(request)
        w.answer()
        if express(s) > before:
            return
    raise AssertionError("it is never taken")


def reads_here(s, w, target):
    """Whether the next read of it is answered past the library."""
    before = express(s)
    assert w.send(read(target))
    assert w.answer().status == 200
    return express(s) > before


def things_of(s, n=3, **more):
    things = make_list(s)
    s.post(things, [{"name": f"n{i}", **more} for i in range(n)]).must(201)
    return things


# ---- the same answers -------------------------------------------------------

@shared
def answers_are_the_librarys_byte_for_byte(s):
    things = things_of(s, 40, text="x" * 100)
    etag = s.get(things).must(200).etag
    one = s.get(things + "/n1").must(200)
    for target, headers in (
            (things, {}), (things + "/n1", {}), (things + "?limit=3", {}),
            (things + "/n1?fields=name", {}), (things, {"Accept_Encoding": "gzip"}),
            (things, {"If_None_Match": etag}), (things, {"If_None_Match": "*"}),
            (things, {"If_None_Match": '"1", W/"2"'}),
            (things + "/n1", {"If_None_Match": one.etag}),
            (things + "/n1", {"Accept": "text/html"}),
            (things + "/n1", {"Connection": "keep-alive"}),
            (things + "?consistency=linearizable", {}),
            (things + "/n1?max_stale=5s", {})):
        request = read(target, **headers)
        with s.wire() as w:
            want = raw(w, request)
        with s.wire() as w:
            earn(s, w, target, **headers)
            before = express(s)
            for _ in range(3):
                got = raw(w, request)
                assert sorted(got[0]) == sorted(want[0]), (target, headers, got, want)
                assert got[1] == want[1], (target, headers)
            assert express(s) == before + 3, (target, headers)


@shared
def what_is_not_kept_is_the_same_too(s):
    things = things_of(s)
    with s.wire() as w:
        earn(s, w, things)
        before, n = express(s), 0
        for i in range(3):
            for target in (things + "/nobody", things + f"?limit={i + 1}",
                           things + f"?after=nonsense{i}", things + "/n1?limit=0",
                           "/v1/ns/nothing.roster/thing"):
                with s.wire() as other:
                    want = raw(other, read(target))
                got = raw(w, read(target))
                strange = [line for line in got[0] if b"Roster-Request" in line]
                assert bool(strange) == any(b"Roster-Request" in x for x in want[0])
                assert got[1] == want[1], (target, got, want)
                n += 1
                drop = [[x for x in side if b"Roster-Request" not in x]
                        for side in (got[0], want[0])]
                assert sorted(drop[0]) == sorted(drop[1]), (target, got, want)
        assert express(s) > before


@shared
def requests_and_bytes_are_counted_the_same(s):
    things = things_of(s)
    size = len(s.get(things).must(200).body)
    with s.wire() as w:
        earn(s, w, things)
        names = ("roster_http_answers_kept_total",
                 "roster_http_response_body_bytes_total",
                 "roster_http_request_duration_seconds_count")
        before = [metric(s, name) for name in names]
        own = [metric(s, name) for name in names]
        extra = [b - a for a, b in zip(before, own)]
        before = [metric(s, name) for name in names]
        for _ in range(50):
            w.send(read(things))
            w.answer()
        after = [metric(s, name) for name in names]
        assert after[0] - before[0] in range(45, 51), (before, after)
        assert after[2] - before[2] == 50 + extra[2], (before, after, extra)
        assert 50 * size <= after[1] - before[1] <= 50 * size + 300000, (before, after)
        assert metric(s, "roster_http_requests_in_flight") == 1  # the metrics'


@shared
def the_date_goes_on(s):
    things = things_of(s)
    with s.wire() as w:
        earn(s, w, things)
        dates, before, n = set(), express(s), 0
        end = time.monotonic() + 2.5
        while time.monotonic() < end:
            w.send(read(things))
            dates.add(w.answer().headers["date"])
            n += 1
            time.sleep(0.01)
        assert len(dates) >= 3, dates
        assert express(s) == before + n


# ---- back to the library ----------------------------------------------------

ODD = [
    request_bytes("HEAD", "{t}"),
    request_bytes("OPTIONS", "{t}"),
    request_bytes("POST", "{t}", b'{"name": 7'),
    request_bytes("PUT", "/v1/types", b"{}"),
    request_bytes("DELETE", "{t}/nobody"),
    request_bytes("GET", "{t}", b"a body"),
    request_bytes("GET", "{t}", headers=[("Content-Length", "0")]),
    request_bytes("GET", "{t}", headers=[("Connection", "close")]),
    request_bytes("GET", "{t}", headers=[("Expect", "100-continue")]),
    request_bytes("GET", "{t}", headers=[("If-Match", '"7"')]),
    request_bytes("GET", "{t}", headers=[("If-None-Match", "")]),
    request_bytes("GET", "{t}", headers=[("If-None-Match", "nonsense")]),
    request_bytes("GET", "{t}", headers=[("Roster-Min-Revision", "1")]),
    request_bytes("GET", "{t}", headers=[("Idempotency-Key", "k")]),
    request_bytes("GET", "{t}", headers=[("Host", "y")]),
    request_bytes("GET", "{t}", headers=[("Upgrade", "h2c")]),
    request_bytes("GET", "{t}", headers=[("X", "y" * 5000)]),
    request_bytes("GET", "{t}", headers=[("X", "y" * 20000)]),
    request_bytes("GET", "{t}", headers=[(f"X{i}", "y") for i in range(100)]),
    request_bytes("GET", "{t}", headers=[("Transfer-Encoding", "gzip, chunked")]),
    request_bytes("GET", "{t}", headers=[("Transfer-Encoding", "chunked"),
                                         ("Content-Length", "3")]),
    request_bytes("GET", "{t}", headers=[("Content-Length", "+2")]),
    request_bytes("GET", "/livez"),
    request_bytes("GET", "/nothing"),
    request_bytes("GET", "{t}?nonsense=1"),
    request_bytes("GET", "{t}?since=0&wait=1s"),
    b"POST {t} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"3\r\n[{}\r\n0\r\n\r\n",
    b"GET {t} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"GET {t} HTTP/1.0\r\n\r\n",
    b"GET {t} HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    b"GET {t} HTTP/1.1\r\n\r\n",
    b"GET {t} HTTP/2.0\r\nHost: x\r\n\r\n",
    b"GET  {t} HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET http://x{t} HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET {t} HTTP/1.1\nHost: x\n\n",
    b"GET {t} HTTP/1.1\r\nHost: x\r\nX : y\r\n\r\n",
    b"GET {t} HTTP/1.1\r\nHost: x\r\nX: y\r\n z\r\n\r\n",
    b"GET {t} HTTP/1.1\r\nHost: x\r\nX\xff: y\r\n\r\n",
    b"GET {t}\xff HTTP/1.1\r\nHost: x\r\n\r\n",
    b"\r\nGET {t} HTTP/1.1\r\nHost: x\r\n\r\n",
    b"NONSENSE\r\n\r\n",
    b"GET {t} HTTP/1.1\r\nHost: x\r\nAuthorization: Basic eDp5\r\n\r\n",
    b"GET {t} HTTP/1.1\r\nHost: x\r\n"
    b"traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n\r\n",
]


def told(w, request):
    """What such a request is answered, and whether the connection goes on."""
    method = request.split(None, 1)[0].decode("latin-1")
    w.send(request)
    a = w.answer(method)
    if a is None:
        return "ended"
    held = {k: v for k, v in a.headers.items()
            if k not in ("date", "roster-request")}
    goes_on = w.send(read("/livez")) and getattr(w.answer(), "status", None) == 200
    traced = a.headers.get("roster-request") if b"traceparent" in request else ""
    return a.status, held, a.body, goes_on, traced


@test(timeout=120)
def whatever_else_comes_is_answered_as_on_a_new_connection(s):
    things = things_of(s)
    for request in ODD:
        request = request.replace(b"{t}", things.encode())
        with s.wire() as w:
            want = told(w, request)
        with s.wire() as w:
            earn(s, w, things)
            assert told(w, request) == want, request[:300]
    s.get("/livez").must(200)
    assert s.rows(things) and metric(s, "roster_http_requests_in_flight") == 1


@shared
def who_is_given_back_has_to_earn_it_again(s):
    things = things_of(s)
    with s.wire() as w:
        earn(s, w, things)
        assert reads_here(s, w, things)
        w.send(read("/livez"))
        assert w.answer().status == 200
        assert not reads_here(s, w, things)
        for _ in range(10):  # mixed requests never earn it
            for _ in range(10):
                assert not reads_here(s, w, things)
            w.send(read("/livez"))
            w.answer()
        earn(s, w, things)


@shared
def pipelined_requests_of_all_kinds_are_answered_in_order(s):
    chance = seeded("express pipelined")
    things = things_of(s)
    for _ in range(10):
        with s.wire() as w:
            earn(s, w, things)
            names, sent, wanted = 3, b"", []
            for _ in range(60):
                kind = chance.choice(("one", "one", "one", "list", "none", "head",
                                      "post", "live"))
                if kind == "one":
                    sent += read(things + "/n1")
                    wanted.append(("GET", 200, b'"n1"'))
                elif kind == "none":
                    sent += read(things + "/nobody")
                    wanted.append(("GET", 404, b"nobody"))
                elif kind == "list":
                    sent += read(things)
                    wanted.append(("GET", 200, names))
                elif kind == "head":
                    sent += request_bytes("HEAD", things + "/n1")
                    wanted.append(("HEAD", 200, b""))
                elif kind == "post":
                    sent += request_bytes("POST", things,
                                          b'{"name": "p%d"}' % names)
                    wanted.append(("POST", 201, b'"p%d"' % names))
                    names += 1
                else:
                    sent += read("/livez")
                    wanted.append(("GET", 200, b""))
            assert w.send(sent)
            for method, status, part in wanted:
                a = w.answer(method)
                assert a and a.status == status, (method, status, a)
                if isinstance(part, int):
                    assert len(a.json) == part, a
                else:
                    assert part in a.body, (part, a)
        things = things_of(s)


@shared
def many_pipelined_reads_are_all_answered(s):
    things = things_of(s, 20, text="y" * 200)
    body = s.get(things).body
    with s.wire() as w:
        earn(s, w, things)
        n, before = 2000, express(s)
        sender = threading.Thread(target=w.send, args=(read(things) * n,))
        sender.start()
        for i in range(n):
            a = w.answer()
            assert a and a.status == 200 and a.body == body, i
        sender.join()
        assert express(s) > before
        w.send(read("/livez"))
        assert w.answer().status == 200


@shared
def heads_that_come_byte_by_byte_are_answered(s):
    things = things_of(s)
    with s.wire() as w:
        earn(s, w, things)
        for byte in read(things + "/n1"):
            w.send(bytes([byte]))
            time.sleep(0.001)
        assert w.answer().json["name"] == "n1"
        earn(s, w, things)
        w.send(read(things) + read(things)[:10])
        assert w.answer().status == 200
        time.sleep(0.05)
        w.send(read(things)[10:])
        assert w.answer().status == 200


@shared
def who_ends_his_side_gets_all_answers(s):
    things = things_of(s)
    for ask in (read(things) * 3, read(things) * 2 + read("/livez"),
                read(things) + read(things + "?consistency=linearizable")):
        with s.wire() as w:
            earn(s, w, things)
            w.send(ask)
            w.end_sending()
            for _ in range(ask.count(b"GET ")):
                assert w.answer().status == 200
            # The library notices some ends only when the time is over.
            assert b"livez" in ask or w.closed_within(5 * PATIENCE)


# ---- what is promised -------------------------------------------------------

@shared
def a_read_sees_every_write_that_was_answered(s):
    things = things_of(s)
    wires = [s.wire() for _ in range(4)]
    for w in wires:
        earn(s, w, things + "/n1")
    before = express(s)
    for i in range(200):
        with contextlib.closing(s.client()) as c:  # whose writes are not express
            a = c.put(things + "/n1", {"name": "n1", "i": str(i)}).must(200)
        for w in wires:
            w.send(read(things + "/n1"))
        for w in wires:
            got = w.answer()
            assert got.json["i"] == str(i) and got.revision >= a.revision, (i, got)
    assert express(s) - before == 800, "a change puts nobody out"
    for w in wires:
        w.close()


@shared
def time_never_goes_back_while_others_write(s):
    """P4: what one has read, nobody who asks later sees an older one of."""
    things = things_of(s)
    newest, lock, stop = [0], threading.Lock(), threading.Event()

    def writes():
        c, i = s.client(), 0
        while not stop.is_set():
            i += 1
            c.put(things + "/n1", {"name": "n1", "i": str(i)}).must(200)

    def reads(k):
        lin = "?consistency=linearizable" if k % 2 else ""
        with s.wire() as w:
            for _ in range(1500):
                with lock:
                    least = newest[0]
                w.send(read(things + "/n1" + lin))
                got = int(w.answer().json.get("i", 0))
                assert got >= least, f"{got} after {least}"
                with lock:
                    newest[0] = max(newest[0], got)

    before = express(s)
    writer = threading.Thread(target=writes)
    writer.start()
    try:
        in_threads(4, reads)
    finally:
        stop.set()
        writer.join()
    assert express(s) > before


@test(flags=("--access",))
def a_revoked_token_is_refused_at_once(s):
    things = things_of(s)
    for _ in range(5):
        made = s.post("/v1/tokens", {"name": fresh_name(),
                                     "roles": ["reader"]}).must(201).json
        bearer = {"Authorization": "Bearer " + made["token"]}
        with contextlib.closing(s.client(token=made["token"])) as c:
            c.get(things).must(200)
        w = s.wire()
        earn(s, w, things, **bearer)
        # Who shows nothing, or another, gets nothing of it.
        w.send(read(things, Authorization="Bearer nobody"))
        assert w.answer().status == 401
        w.send(read(things))
        assert w.answer().status == 401
        earn(s, w, things, **bearer)
        s.delete("/v1/tokens/" + made["id"]).must(204)
        w.send(read(things, **bearer))
        assert w.answer().status == 401
        w.close()


@test(flags=("--access",))
def who_sees_less_gets_less_on_the_same_connection(s):
    mine, others = make_list(s), things_of(s)
    s.post(mine, {"name": "n1"}).must(201)
    ns = mine.split("/")[3]
    name = fresh_name()
    s.put("/v1/roles/" + name, {"rules": [
        {"allow": ["read"], "types": ["*"], "ns": ns}]}).must(201)
    made = s.post("/v1/tokens", {"name": name, "roles": [name]}).must(201).json
    less = {"Authorization": "Bearer " + made["token"]}
    token = s.api.token() if callable(s.api.token) else s.api.token
    more = {"Authorization": "Bearer " + token}
    with s.wire() as w:
        earn(s, w, others, **more)
        for _ in range(30):
            for who, target, status in ((more, others, 200), (less, others, 403),
                                        (less, mine, 200), (more, mine, 200)):
                w.send(read(target, **who))
                assert w.answer().status == status, (who is more, target)


@test(flags=("--rate-address", "200"))
def requests_beyond_a_limit_are_429_and_counted_once(s):
    things = things_of(s)
    refused = 0
    for target in (things, things + "?consistency=linearizable"):
        time.sleep(1.2)
        statuses, first = [], time.monotonic()
        # Some at once: one after the other may be slower than the limit.
        with contextlib.ExitStack() as stack:
            wires = [stack.enter_context(s.wire()) for _ in range(16)]
            while 429 not in statuses:
                for w in wires:
                    w.send(read(target))
                for w in wires:
                    a = w.answer()
                    statuses.append(a.status)
                    if a.status == 429:
                        assert int(a.headers["retry-after"]) >= 1, a.headers
                        assert "ratelimit-limit" in a.headers
        took = time.monotonic() - first
        refused += statuses.count(429)
        served = len(statuses) - statuses.count(429)
        assert 200 <= served <= 200 + 200 * took + 2, (served, took)
    time.sleep(1.2)
    text = s.get("/metrics").must(200).body.decode()
    assert f'refused_total{{limit="address"}} {refused}\n' in text, (
        refused, re.findall(".*refused_total.*", text))


@test(flags=("--rate-address", "200"))
def who_reads_slowly_pays_once_for_each_request(s):
    """What was looked at and found no room is looked at again."""
    things = make_list(s)
    s.post(things, [{"name": f"n{i}", "text": "z" * 1000}
                    for i in range(220)]).must(201)
    body = s.get(things).must(200).body
    with s.wire() as w:
        earn(s, w, things)
        time.sleep(1.5)  # all that was taken is there again
        w.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        n = 150
        sender = threading.Thread(target=w.send, args=(read(things) * n,))
        sender.start()
        for i in range(n):
            a = w.answer()
            assert a.status == 200 and a.body == body, (i, a.status)
        sender.join()


# ---- ends -------------------------------------------------------------------

@bare
def who_reads_slowly_gets_all_of_it():
    with Server() as s:
        things = make_list(s)
        s.post(things, [{"name": f"n{i}", "text": "z" * 1000}
                        for i in range(200)]).must(201)
        body = s.get(things).must(200).body
        with s.wire() as w:
            earn(s, w, things)
            n, anon = 300, s.rss_anon_kib()
            sender = threading.Thread(target=w.send, args=(read(things) * n,))
            sender.start()
            time.sleep(0.5)
            for i in range(n):
                assert w.answer().body == body, i
                if i % 100 == 0:
                    assert not memory_counts() or s.rss_anon_kib() < anon + 20000
            sender.join()


@shared
def who_ends_his_side_while_he_is_answered_hears_the_end(s):
    things = make_list(s)
    s.post(things, [{"name": f"n{i}", "text": "z" * 1000}
                    for i in range(200)]).must(201)
    body = s.get(things).must(200).body
    for n in range(30, 42):  # how many of them fit the last time is chance
        with s.wire() as w:
            earn(s, w, things)
            w.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
            w.send(read(things) * n)
            until(lambda: metric(s, "roster_http_requests_in_flight") == 2)
            w.end_sending()
            time.sleep(0.1)
            for i in range(n):
                assert w.answer().body == body, i
            assert w.closed_within(5 * PATIENCE), n


@bare
def who_hangs_up_is_forgotten():
    with Server() as s:
        things = things_of(s)
        before = metric(s, "roster_http_connections")
        for ask in (b"", read(things) * 50, read(things)[:20],
                    read(things + "?consistency=linearizable")):
            wires = [s.wire() for _ in range(5)]
            for w in wires:
                earn(s, w, things)
                w.send(ask)
                w.reset()
        until(lambda: metric(s, "roster_http_connections") <= before, 10)
        until(lambda: metric(s, "roster_http_requests_in_flight") == 1, 10)


@bare(timeout=200)
def who_is_silent_and_who_does_not_read_is_cut():
    with Server() as s:
        things = make_list(s)
        s.post(things, [{"name": f"n{i}", "text": "z" * 1000}
                        for i in range(200)]).must(201)
        with s.wire() as idle, s.wire() as w:
            earn(s, idle, things)
            earn(s, w, things)
            w.sock.settimeout(1)
            with contextlib.suppress(TimeoutError):
                w.send(read(things) * 20000)
            until(lambda: metric(s, "roster_http_requests_in_flight") == 2)
            until(lambda: metric(s, "roster_http_timeouts_total") >= 2, 150)
            assert idle.closed_within(5 * PATIENCE)
            until(lambda: metric(s, "roster_http_requests_in_flight") == 1, 10)


@bare
def at_the_end_idle_ones_are_closed_and_answers_say_so():
    with Server("--drain", "2s") as s:
        things = things_of(s)
        idle, busy, late = s.wire(), s.wire(), s.wire()
        for w in (idle, busy, late):
            earn(s, w, things)
        s.process.send_signal(signal.SIGTERM)
        until(lambda: b"draining" in s.get("/readyz").body or
              s.get("/readyz").status == 503, 5)
        for ask in (read(things), read(things + "?consistency=linearizable")):
            w = busy if ask == read(things) else late
            w.send(ask)
            a = w.answer()
            assert a.status == 200 and a.headers["connection"] == "close", a
            assert w.closed_within(5 * PATIENCE)
        assert idle.closed_within(10 * PATIENCE)
        assert s.ended_within(20 * PATIENCE)
        assert s.process.returncode == 0


# ---- linearizable reads -----------------------------------------------------

@shared
def linearizable_reads_are_answered_behind_fences(s):
    things = things_of(s)
    target = things + "/n1?consistency=linearizable"

    def one(k):
        with s.wire() as w:
            earn(s, w, target)
            for i in range(200):
                a = s_clients[k].put(things + f"/x{k}", {"name": f"x{k}", "i": str(i)})
                a.must(200, 201)
                w.send(read(things + f"/x{k}?consistency=linearizable"))
                got = w.answer()
                assert got.json["i"] == str(i) and got.revision >= a.revision, got

    s_clients = [s.client() for _ in range(6)]
    before = express(s)
    in_threads(6, one)
    assert express(s) - before >= 1200
    assert metric(s, "roster_http_requests_suspended") == 0


@shared
def connections_of_the_library_share_the_fences(s):
    """Who does not read in a row stays with the library, as who speaks TLS."""
    things = things_of(s)
    newest, lock = [0], threading.Lock()

    def one(k):
        c = s.client()
        for i in range(60):
            with lock:
                least = newest[0]
            got = int(c.get(things + "/n1?consistency=linearizable").must(200)
                      .json.get("i", 0))
            assert got >= least, f"{got} after {least}"
            if k == 0:
                c.put(things + "/n1", {"name": "n1", "i": str(i)}).must(200)
            with lock:
                newest[0] = max(newest[0], got, i if k == 0 else 0)
            c.get("/livez").must(200)
            assert c.get(things + "/nobody?consistency=linearizable").status == 404

    in_threads(8, one)
    assert metric(s, "roster_http_requests_suspended") == 0


@shared
def what_is_behind_all_that_is_looked_at_together_is_not_forgotten(s):
    """So many bytes are looked at at once. When those end with a read that waits
    for a fence, nothing more may come that tells of what is behind it."""
    things, together = things_of(s), 16 << 10
    behind = things + "/n1?consistency=linearizable"

    def padded(target, n):
        return read(target, X_Padding="y" * (n - len(read(target, X_Padding=""))))

    for alone in (False, True):
        with s.wire() as w:
            earn(s, w, behind)
            full = padded(things, 1024) * 15 + padded(behind, 1024)
            assert len(full) == together
            w.send(full + (read(things) if alone else read(behind) + read(things)))
            for _ in range(17 if alone else 18):
                assert w.answer().status == 200


@bare(timeout=180)
def on_three_nodes_they_see_all_that_anybody_was_told():
    with Cluster(3) as c:
        leader = c.node(c.agreed_leader())
        things = things_of(leader)
        target = things + "/n1?consistency=linearizable"
        nodes = [c.node(name) for name in sorted(c.nodes)]
        for node in nodes:
            until(lambda n=node: n.get(things + "/n1").status == 200, 20)
        wires = [node.wire() for node in nodes for _ in range(2)]
        for i, w in enumerate(wires):
            earn(nodes[i // 2], w, target)
        writers = [node.client() for node in nodes]
        for i in range(100):
            a = writers[i % 3].put(things + "/n1", {"name": "n1", "i": str(i)}).must(200)
            for w in wires:
                w.send(read(target))
            for w in wires:
                got = w.answer()
                assert got.json["i"] == str(i) and got.revision >= a.revision, (i, got)
        # A follower's own fence says what a round would ask.
        rounds = metric(leader, "roster_leader_confirmations_total")
        for i, w in enumerate(wires):
            for _ in range(20 if nodes[i // 2] is not leader else 0):
                w.send(read(target))
                assert w.answer().json["i"] == "99"
        assert metric(leader, "roster_leader_confirmations_total") == rounds
        # Without a quorum nobody is told anything; with one all goes on.
        lonely = c.node(c.agreed_leader())
        followers = [name for name in c.nodes if c.node(name) is not lonely]
        for name in followers:
            c.pause(name)
        held = [w for i, w in enumerate(wires) if nodes[i // 2] is lonely]
        for w in held:
            w.send(read(target))
        for w in held:
            a = w.answer_within(1)
            assert a == "silent" or a.status == 503, a
        for name in followers:
            c.resume(name)
        for w in held:
            a = w.answer_within(30 * PATIENCE)
            assert a != "silent" and a.status in (200, 503), a
        for w in wires:
            w.close()


@bare(timeout=120)
def what_was_found_before_a_fence_is_looked_at_behind_it():
    """What is in the log already when somebody asks for a fence is seen behind
    it, also that he may not any more."""
    if harness.TLS:
        raise Skip("sessions of TLS are the library's")

    def behind(node, w, request, change):
        """The answer to a read that comes while the change is written, and to
        the same second: with the next one it is made anew anyway."""
        time.sleep(1 - time.time() % 1)
        node.slow_disk(300)
        writer = threading.Thread(target=change)
        writer.start()
        time.sleep(0.1)
        w.send(request)
        a = w.answer()
        writer.join()
        node.slow_disk(0)
        return a

    with Cluster(1, "--access", slow=True) as c:
        node, others = c.node("n1"), c.node("n1").client()
        things = things_of(node)
        target = things + "/n1?consistency=linearizable"
        seen = set()
        for i in range(20):  # A machine that stands still may let the read pass.
            made = node.post("/v1/tokens", {"name": fresh_name(),
                                            "roles": ["reader"]}).must(201).json
            bearer = {"Authorization": "Bearer " + made["token"]}
            request = read(target, **bearer)
            with node.wire() as w:
                earn(node, w, target, **bearer)
                a = behind(node, w, request, lambda n=i: others.put(
                    things + "/n1", {"name": "n1", "i": str(n)}).must(200))
                seen.add("new" if a.json.get("i") == str(i) else "old")
                earn(node, w, target, **bearer)
                a = behind(node, w, request, lambda m=made: others.delete(
                    "/v1/tokens/" + m["id"]).must(204))
                seen.add(a.status)
            if "new" in seen and 401 in seen:
                return
        raise AssertionError(seen)


@bare(timeout=180)
def without_a_leader_only_those_who_want_a_fence_are_refused():
    with Cluster(3) as c:
        lonely = c.node(c.agreed_leader())
        things = things_of(lonely)
        with lonely.wire() as w:
            earn(lonely, w, things)
            for name in [name for name in c.nodes if c.node(name) is not lonely]:
                c.kill(name)
            before = express(lonely)
            w.send(read(things + "/n1?consistency=linearizable") +
                   read(things + "?limit=2") + read(things))
            a = w.answer_within(30 * PATIENCE)
            assert a != "silent" and a.status == 503, a
            for n in (2, 3):
                a = w.answer()
                assert a.status == 200 and len(a.json) == n, (n, a.status, a.body)
            assert express(lonely) == before + 3


@bare(timeout=180)
def without_a_leader_nobody_waits_for_two_fences():
    """Who comes while one is out shares the next, which is as old as he is."""
    with Cluster(3) as c:
        lonely = c.node(c.agreed_leader())
        things = things_of(lonely)
        request = read(things + "/n1?consistency=linearizable")
        with lonely.wire() as first, lonely.wire() as second:
            for w in (first, second):
                w.sock.settimeout(40 * PATIENCE)
                w.send(request)
                assert w.answer().status == 200
            for name in [name for name in c.nodes if c.node(name) is not lonely]:
                c.kill(name)
            first.send(request)
            until(lambda: metric(lonely, "roster_http_requests_suspended") == 2)
            time.sleep(1)
            second.send(request)
            assert first.answer().status == 503
            told = time.monotonic()
            assert second.answer().status == 503
            assert time.monotonic() - told < 4, "it waits anew"
