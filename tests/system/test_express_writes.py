"""Small writes past the library: who asks only what could go there, 16 times in a
row, has his connection taken. Nothing may differ but the time it takes; no write is
lost, none is done twice."""
import contextlib
import json
import re
import signal
import socket
import threading
import time

import harness
from harness import (Server, bare, fresh_name, in_threads, make_list,
                     request_bytes, seeded, shared, test, until)
from test_express import ENOUGH, express, metric, raw, read
from test_signin import memory_of

PATIENCE = harness.PATIENCE
LARGE = 8 << 10  # bytes of a body that goes there at most


def write(method, target, body=None, **headers):
    data = b"" if body is None else json.dumps(body).encode()
    return request_bytes(method, target, data,
                         headers=[(k.replace("_", "-"), v) for k, v in headers.items()])


def earn(s, w, things, **headers):
    """Writes until the connection is taken. The rows it leaves are removed."""
    request = write("DELETE", things + "/nobody-here", **headers)
    for _ in range(100):
        for _ in range(ENOUGH):
            assert w.send(request)
            assert w.answer().status == 404
        before = express(s)
        assert w.send(request)
        assert w.answer().status == 404
        if express(s) > before:
            return
    raise AssertionError("it is never taken")


def calm(s):
    """Nothing is left of what was asked but the question."""
    for name, least in (("requests_in_flight", 1), ("requests_suspended", 0),
                        ("body_bytes", 0)):
        until(lambda n=name, v=least: metric(s, "roster_http_" + n) == v, 10)


# ---- the same answers -------------------------------------------------------

def told(w, request):
    lines, body = raw(w, request, request.split(b" ", 1)[0].decode())
    drop = (b"Roster-Request: ", b"Roster-Revision: ", b"ETag: ", b"Location: ")
    names = sorted(line.split(b":")[0] for line in lines)
    return names, sorted(x for x in lines if not x.startswith(drop)), body


def asks(things):
    """Of each kind: what it is answered does not depend on what was before it."""
    row = things + "/n1"
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    return [
        write("PUT", row, {"name": "n1", "a": "b"}),
        write("PUT", row, {"name": "n1", "a": "b"}, If_Match="*"),
        write("PUT", row, {"name": "n1"}, If_Match='"1"'),
        write("PUT", row, {"name": "n1"}, If_None_Match="*"),
        write("PUT", row, {"name": "n1"}, If_Match="nonsense"),
        write("PUT", row, {"name": "other"}),
        write("PUT", row, {"name": "n1"}, traceparent=trace),
        write("PATCH", row, {"a": "c"}),
        write("PATCH", things + "/nobody", {"a": "c"}),
        write("POST", things, {"name": "n1"}),
        write("POST", things, {"name": 7}),
        write("POST", things, {}),
        write("POST", things, {"name": "n1"}, Idempotency_Key="bad key"),
        write("POST", things, {"name": "n1"}, Content_Type="text/xml"),
        write("POST", things, {"name": "n1"}, Content_Encoding="gzip"),
        write("POST", things + "?nonsense=1", {"name": "n1"}),
        write("POST", "/v1/nothing", {"name": "n1"}),
        write("POST", "/v1/ns/nothing.roster/thing", {"name": "n1"}),
        write("POST", row, {"name": "n1"}),
        write("POST", things),
        write("POST", things, {"name": "n1"}, Roster_Min_Revision="x"),
        write("POST", things, {"name": "n1"}, Roster_Min_Revision="1"),
        write("DELETE", things + "/nobody"),
        write("DELETE", things + "/nobody", Content_Length="0"),
        write("DELETE", things + "/nobody", {"a": "body"}),
        write("DELETE", row, If_Match='"1"'),
        write("PUT", "/v1/agents/nobody/heartbeat"),
        write("POST", "/v1/txn", {"ops": []}),
        write("POST", "/v1/ns", {"name": "x y"}),
        request_bytes("POST", things, b'{"name": '),
        request_bytes("POST", things, b'\xff\xfe'),
        request_bytes("POST", things, b'{"name": "x"} {}'),
    ]


@shared
def answers_are_the_librarys_byte_for_byte(s):
    things = make_list(s)
    s.post(things, {"name": "n1"}).must(201)
    with s.wire() as w:
        earn(s, w, things)
    for ask in asks(things):
        with s.wire() as other:
            told(other, ask)
            want = told(other, ask)
        with s.wire() as w:
            earn(s, w, things)
            before = s.rows(things)
            assert told(w, ask) == want, ask
            assert [x["name"] for x in s.rows(things)] == [x["name"] for x in before]
    calm(s)


@shared
def rows_that_come_and_go_are_answered_the_same(s):
    """201 with Location and ETag, 204 without a body."""
    for body in ({"name": "a"}, {"name": "b", "text": "x" * 8000}):
        answers = []
        for past in (False, True):
            things = make_list(s)
            with s.wire() as w:
                if past:
                    earn(s, w, things)
                before = express(s)
                one = raw(w, write("POST", things, body))
                two = raw(w, write("DELETE", things + "/" + body["name"]))
                assert express(s) == before + 2 * past
                row = json.loads(one[1])
                text = b"\n".join(one[0] + two[0] + [one[1], two[1]])
                for id_, name in ((things, "things"), (row["_id"], "id")):
                    text = text.replace(id_.encode(), name.encode())
                answers.append(sorted(x.split(b":")[0] if x.startswith(
                    (b"Roster-Re", b"ETag", b"Content-L")) else
                    re.sub(rb'"_rev":\d+', b"", x) for x in text.split(b"\n")))
        assert answers[0] == answers[1]


@shared
def a_key_that_was_used_is_answered_again_from_any_side(s):
    things = make_list(s)
    key = {"Idempotency_Key": fresh_name()}
    with s.wire() as w, s.wire() as other:
        earn(s, w, things)
        w.send(write("POST", things, {"name": "once"}, **key))
        first = w.answer().must(201)
        for wire in (w, other, w):
            wire.send(write("POST", things, {"name": "once"}, **key))
            again = wire.answer().must(201)
            assert again.headers["idempotent-replayed"] == "true"
            assert again.json == first.json
            wire.send(write("POST", things, {"name": "another"}, **key))
            assert wire.answer().status == 422
    assert [x["name"] for x in s.rows(things)] == ["once"]


@shared
def requests_and_bytes_are_counted_the_same(s):
    things = make_list(s)
    names = ("roster_http_request_duration_seconds_count",
             "roster_http_request_body_bytes_total",
             "roster_http_response_body_bytes_total")
    got = []
    for past in (False, True):
        with s.wire() as w:
            if past:
                earn(s, w, things)
            request = write("PUT", things + "/n1", {"name": "n1", "i": "x"})
            for _ in range(2):
                w.send(request)
                w.answer()
            before = [metric(s, name) for name in names]
            for _ in range(10):
                w.send(request)
                w.answer()
            after = [metric(s, name) for name in names]
            got.append([b - a for a, b in zip(before, after)])
    assert got[0][:2] == got[1][:2], got
    calm(s)


# ---- what comes how ---------------------------------------------------------

@test(timeout=120)
def whatever_else_comes_is_the_librarys(s):
    things = make_list(s)
    s.post(things, {"name": "n1"}).must(201)
    post = f"POST {things} HTTP/1.1\r\nHost: x\r\n".encode()
    body = b'{"name": "n1"}'
    behind = write("DELETE", things + "/n1")
    odd = [
        post + b"Content-Length: 14\r\nContent-Length: 14\r\n\r\n" + body,
        post + b"Content-Length: 14\r\nContent-Length: 15\r\n\r\n" + body,
        post + b"Content-Length: 14, 14\r\n\r\n" + body,
        post + b"Content-Length: +14\r\n\r\n" + body,
        post + b"Content-Length: 0x0e\r\n\r\n" + body,
        post + b"Content-Length: -1\r\n\r\n" + body,
        post + b"Content-Length:\r\n\r\n" + body,
        post + b"Content-Length : 14\r\n\r\n" + body,
        post + b"Content-Length: 99999999999999999999999\r\n\r\n" + body,
        post + b"Content-Length: 14\r\nTransfer-Encoding: chunked\r\n\r\n" + body,
        post + b"Transfer-Encoding: gzip, chunked\r\n\r\n" + body,
        post + b"Content-Length: 14\nX: y\r\n\r\n" + body,
        post + b"X: y\r\n Content-Length: 14\r\n\r\n" + body,
        post.replace(b"Host: x\r\n", b"") + b"Content-Length: 14\r\n\r\n" + body,
        post.replace(b"1.1", b"1.0") + b"Content-Length: 14\r\n\r\n" + body,
        post + b"Connection: close\r\nContent-Length: 14\r\n\r\n" + body,
    ]
    for ask in odd:
        answers = []
        for past in (False, True):
            with s.wire() as w:
                if past:
                    earn(s, w, things)
                # What looks like a request behind a body of doubtful length.
                w.send(ask + behind)
                seen = []
                while (a := w.answer()) is not None:
                    seen.append((a.status, re.sub(rb"01[0-9A-Z]{24}", b"id", a.body)))
                    assert len(seen) < 5
                    if a.status in (201, 204) or a.status == 404:
                        break
                answers.append(seen)
                rows = [x["name"] for x in s.rows(things)]
                if "n1" not in rows:
                    s.post(things, {"name": "n1"}).must(201)
        assert answers[0] == answers[1], (ask, answers)
    fine = [
        (post + b"Expect: 100-continue\r\nContent-Length: 14\r\n\r\n" + body, 409),
        (post + b"Transfer-Encoding: chunked\r\n\r\ne\r\n" + body + b"\r\n0\r\n\r\n", 409),
    ]
    for ask, status in fine:
        with s.wire() as w:
            earn(s, w, things)
            before = express(s)
            w.send(ask)
            assert w.answer().status in (status, 100)
            assert express(s) == before
    calm(s)


@shared
def bodies_of_all_sizes_are_stored_once(s):
    things = make_list(s)
    sizes = (1, 100, 2000, 4000, LARGE - 40, LARGE, LARGE + 1, 3 * LARGE, 20 * LARGE)
    with s.wire() as w:
        for i, size in enumerate(sizes):
            earn(s, w, things)
            text = "".join(chr(97 + (i + j) % 26) for j in range(size))
            fields = {f"t{j}": text[j:j + 3000] for j in range(0, size, 3000)}
            before, request = express(s), write("POST", things,
                                                {"name": f"n{i}", **fields})
            w.send(request)
            row = w.answer().must(201).json
            assert "".join(row[k] for k in fields) == text
            past = len(request.partition(b"\r\n\r\n")[2]) <= LARGE
            assert express(s) == before + past, size
    assert len(s.rows(things)) == len(sizes)
    calm(s)


@shared
def what_comes_in_pieces_is_stored_once(s):
    things = make_list(s)
    request = write("POST", things, {"name": "slow", "text": "x" * 50})
    with s.wire() as w:
        earn(s, w, things)
        for byte in request:
            w.send(bytes([byte]))
            time.sleep(0.001)
        assert w.answer().status == 201
        for i, cut in enumerate((1, 10, request.index(b"\r\n\r\n") + 4,
                                 len(request) - 1)):
            earn(s, w, things)
            one = request.replace(b"slow", b"slo%d" % i)
            w.send(one[:cut])
            time.sleep(0.02)
            w.send(one[cut:] + read(things + "/slow"))
            assert w.answer().status == 201
            assert w.answer().status == 200
    assert len(s.rows(things)) == 5


@shared
def pipelined_writes_and_reads_are_answered_in_order(s):
    chance = seeded("express writes pipelined")
    for _ in range(5):
        things, names, sent, wanted = make_list(s), [], b"", []
        with s.wire() as w:
            earn(s, w, things)
            for i in range(150):
                kind = chance.choice(("post", "post", "get", "list", "gone", "bad",
                                      "live", "long"))
                if kind in ("post", "long"):
                    names.append(f"p{i}")
                    sent += write("POST", things, {
                        "name": f"p{i}", "t": "x" * (9000 if kind == "long" else 9)})
                    wanted.append((201, f'"p{i}"'.encode()))
                elif kind == "get" and names:
                    name = chance.choice(names)
                    sent += read(f"{things}/{name}")
                    wanted.append((200, f'"{name}"'.encode()))
                elif kind == "gone" and names:
                    sent += write("DELETE", f"{things}/{names.pop()}")
                    wanted.append((204, b""))
                elif kind == "bad":
                    sent += write("POST", things, {"name": str(i), "_other": i})
                    wanted.append((400, b""))
                elif kind == "live":
                    sent += read("/livez")
                    wanted.append((200, b""))
                else:
                    sent += read(things)
                    wanted.append((200, len(names)))
            sender = threading.Thread(target=w.send, args=(sent,))
            sender.start()
            for status, part in wanted:
                a = w.answer("DELETE" if status == 204 else "GET")
                assert a and a.status == status, (status, part, a)
                assert (len(a.json) == part if isinstance(part, int)
                        else part in a.body), (part, a)
            sender.join()
        assert sorted(x["name"] for x in s.rows(things)) == sorted(names)
    calm(s)


@shared
def many_that_write_store_each_row_once(s):
    things, n = make_list(s), 200

    def one(k):
        with s.wire() as w:
            earn(s, w, things)
            for i in range(n):
                w.send(write("POST", things, {"name": f"w{k}-{i}"}))
                assert w.answer().status == 201

    before = express(s)
    in_threads(8, one)
    assert express(s) - before >= 8 * n
    names = [x["name"] for x in s.rows(things)]
    assert len(names) == 8 * n == len(set(names))
    calm(s)


@shared
def who_reads_and_writes_is_served_here_too(s):
    things = make_list(s)
    with s.wire() as w:
        before = 0
        for i in range(200):
            before = before if i != 100 else express(s)
            w.send(write("PUT", things + "/n1", {"name": "n1", "i": str(i)}))
            w.answer().must(200, 201)
            w.send(read(things + "/n1"))
            assert w.answer().json["i"] == str(i)
        assert express(s) - before == 200


@shared
def who_ends_his_side_gets_his_answers(s):
    things = make_list(s)
    with s.wire() as w:
        earn(s, w, things)
        w.send(b"".join(write("POST", things, {"name": f"n{i}"}) for i in range(3)))
        w.end_sending()
        for _ in range(3):
            assert w.answer().status == 201
        assert w.closed_within(5 * PATIENCE)
    assert len(s.rows(things)) == 3


# ---- who may, and how much --------------------------------------------------

@test(flags=("--access",))
def who_may_not_write_is_told_so_and_a_revoked_token_at_once(s):
    things = make_list(s)
    tokens = {}
    for role in ("reader", "operator"):
        tokens[role] = s.post("/v1/tokens", {"name": fresh_name(),
                                             "roles": [role]}).must(201).json
    bearer = {k: {"Authorization": "Bearer " + t["token"]} for k, t in tokens.items()}
    cases = (({}, 401), (bearer["reader"], 403), (bearer["operator"], 201),
             ({"Authorization": "Bearer nobody"}, 401), ({"Authorization": "x"}, 401))
    for i, (headers, status) in enumerate(cases):
        ask = write("POST", things, {"name": f"n{i}"}, **headers)
        with s.wire() as w:
            want = told(w, ask) if status != 201 else None
        with s.wire() as w:
            earn(s, w, things, **bearer["operator"])
            if want:
                assert told(w, ask) == want
            else:
                w.send(ask)
                assert w.answer().status == status
    with s.wire() as w:
        earn(s, w, things, **bearer["operator"])
        s.delete("/v1/tokens/" + tokens["operator"]["id"]).must(204)
        w.send(write("POST", things, {"name": "late"}, **bearer["operator"]))
        assert w.answer().status == 401
    assert [x["name"] for x in s.rows(things)] == ["n2"]


@test(flags=("--rate-address", "20"))  # a disk may be slow
def writes_beyond_a_limit_are_429_and_counted_once(s):
    things = make_list(s)
    time.sleep(1.2)
    with s.wire() as w:
        statuses, first = [], time.monotonic()
        while 429 not in statuses:
            w.send(write("POST", things, {"name": f"n{len(statuses)}"}))
            statuses.append(w.answer().status)
        took = time.monotonic() - first
        assert 20 <= len(statuses) <= 22 + 20 * took, (len(statuses), took)
        w.send(write("POST", things, {"name": "late"}))
        a = w.answer()
        assert a.status != 429 or int(a.headers["retry-after"]) >= 1, a.headers
    time.sleep(1.2)
    assert len(s.rows(things)) == statuses.count(201) + (a.status == 201)


@bare
def passwords_go_through_the_library_and_are_not_left_behind():
    with Server("--access", "--core-dumps") as s:
        things, mark = make_list(s), "xyzzy-" + fresh_name() + "-" * 20
        token = s.api.token() if callable(s.api.token) else s.api.token
        bearer = {"Authorization": "Bearer " + token}
        with s.wire() as w:
            for i in range(5):
                earn(s, w, things, **bearer)
                before = express(s)
                w.send((write("DELETE", things + "/nobody", **bearer)
                        + read(things, **bearer)) * (i % 2)
                       + write("PUT", "/v1/users/ann", {
                           "roles": [], "password": mark + str(i)}, **bearer))
                for _ in range(2 * (i % 2)):
                    assert w.answer().status in (200, 404)
                w.answer().must(200, 201)
                assert express(s) == before + 2 * (i % 2)
            if "Sanitizer" not in s.proc("maps") and PATIENCE == 1:
                held = sum(x.count(mark.encode()) for x in memory_of(s))
                assert held == 0, f"{held} times in memory"


# ---- ends -------------------------------------------------------------------

@bare(timeout=120)
def who_hangs_up_is_forgotten_and_what_was_taken_is_stored():
    with Server() as s:
        things, n = make_list(s), 0
        base = metric(s, "roster_http_connections")
        for round_ in range(10):
            wires = [s.wire() for _ in range(8)]
            for w in wires:
                earn(s, w, things)
            before = express(s)
            for w in wires:
                w.send(write("POST", things, {"name": f"n{n}"}))
                n += 1
                if round_ % 2:
                    w.reset()
                else:
                    w.close()
            until(lambda: metric(s, "roster_http_connections") <= base, 10)
            calm(s)
            taken = express(s) - before
            assert 0 <= taken <= 8
        names = [x["name"] for x in s.rows(things)]
        assert len(names) == len(set(names))
        assert s.alive()


@bare(timeout=120)
def acknowledged_writes_are_there_after_a_kill():
    with Server() as s:
        things, known, asked = make_list(s), [], []

        def one(k, end):
            with s.wire() as w, contextlib.suppress(OSError, AssertionError):
                earn(s, w, things)
                for i in range(100000):
                    name = f"{end}-{k}-{i}"
                    asked.append(name)
                    w.send(write("POST", things, {"name": name}))
                    a = w.answer()
                    if a is None:
                        return
                    assert a.status == 201, a
                    known.append(name)

        for end in range(3):
            threads = [threading.Thread(target=one, args=(k, end)) for k in range(8)]
            for t in threads:
                t.start()
            until(lambda n=(end + 1) * 300: len(known) >= n, 30)
            s.kill()
            for t in threads:
                t.join()
            s.start()
            names = [x["name"] for x in s.rows(things)]
            assert len(names) == len(set(names))
            assert set(known) <= set(names) <= set(asked)


@bare(timeout=60)
def a_node_that_leaves_answers_what_it_took():
    with Server("--drain", "1s") as s:
        things, known, refused = make_list(s), [], []

        def one(k):
            w = s.wire()
            with contextlib.suppress(OSError, AssertionError):
                earn(s, w, things)
                for i in range(100000):
                    w.send(write("POST", things, {"name": f"{k}-{i}"}))
                    a = w.answer()
                    if a is None:
                        refused.append(f"{k}-{i}")
                        return
                    known.append(f"{k}-{i}")
                    assert a.status == 201, a
                    if a.headers.get("connection") == "close":
                        w = s.wire()
            w.close()

        threads = [threading.Thread(target=one, args=(k,)) for k in range(8)]
        for t in threads:
            t.start()
        until(lambda: len(known) >= 200, 30)
        s.process.send_signal(signal.SIGTERM)
        for t in threads:
            t.join()
        assert s.ended_within(20 * PATIENCE) and s.process.returncode == 0
        s.start()
        names = [x["name"] for x in s.rows(things)]
        assert len(names) == len(set(names))
        # Whose connection ended without an answer was not taken.
        assert set(known) == set(names), (set(known) ^ set(names), refused)
