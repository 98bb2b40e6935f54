"""Whatever is sent, the server answers right or refuses; it never crashes,
hangs or grows (BRIEF P9)."""
import json
import os
import random
import re
import select
import socket
import struct
import time

from harness import (FULL, PATIENCE, Lost, Wire, in_threads, make_list,
                     memory_counts, path, request_bytes, say, seeded, shared,
                     test, until, without)

KIB = 1024
SLOW = ("--request-timeout", "2s")
ROW_MOST = 256 * KIB


def raw_row(name, value):
    """A row's JSON with `value` (bytes) standing between the quotes."""
    return b'{"name":"%s","x":"%s"}' % (name.encode(), value)


# ---- text -------------------------------------------------------------------

@shared
def every_plane_of_unicode_comes_back_byte_for_byte(s):
    things = make_list(s)
    rng = random.Random(17)
    for plane in range(17):
        points = {plane << 16 | p for p in (0, 1, 0xff, 0x7ff, 0x800, 0xfffd,
                                            0xfffe, 0xffff)}
        points |= {plane << 16 | rng.randrange(0x10000) for _ in range(300)}
        points = sorted(p for p in points if not 0xd800 <= p <= 0xdfff
                        and p >= 0x20 and p not in (0x22, 0x5c))
        text = "".join(map(chr, points))
        raw = text.encode()
        a = s.post(things, raw=raw_row(f"raw{plane}", raw)).must(201)
        assert b'"x":"' + raw + b'"' in a.body, f"plane {plane} was changed"
        assert s.get(f"{things}/raw{plane}").json["x"] == text
        # The same as escapes, with surrogate pairs above the first plane.
        escaped = json.dumps(text)[1:-1].encode()
        a = s.post(things, raw=raw_row(f"esc{plane}", escaped)).must(201)
        assert a.json["x"] == text
        assert s.get(f"{things}/esc{plane}").body.count(raw) == 1
        key = text[:40]
        s.patch(f"{things}/raw{plane}", {key: "as a field's name"}).must(200)
        assert s.get(f"{things}/raw{plane}").json[key]


@shared
def every_control_character_and_escape_is_kept(s):
    things = make_list(s)
    for i in range(0x20):
        text = f"a{chr(i)}b{chr(i)}"
        row = s.post(things, {"name": f"c{i}", "x": text}).must(201).json
        assert row["x"] == text, row
        assert s.get(f"{things}/c{i}").json == row
        s.post(things, raw=raw_row("bare", b"a%cb" % i)).problem(400, field="x")
    for i, (escape, text) in enumerate((
            (rb"\"", '"'), (rb"\\", "\\"), (rb"\/", "/"), (rb"\b", "\b"),
            (rb"\f", "\f"), (rb"\n", "\n"), (rb"\r", "\r"), (rb"\t", "\t"),
            (rb"\u0000", "\0"), (rb"\u0041", "A"), (rb"\u00e9", "é"),
            (rb"\uD83D\uDE00", "😀"), (rb"\ud83d\ude00", "😀"),
            (rb"\u007f", "\x7f"), (b"\x7f", "\x7f"), (rb"\\u0041", "\\u0041"),
            (rb"\u2028\u2029", "\u2028\u2029"))):
        a = s.post(things, raw=raw_row(f"e{i}", escape)).must(201)
        assert a.json["x"] == text, (escape, a)
        assert s.get(f"{things}/e{i}").json["x"] == text
    # A NUL inside a value cuts nothing off, and two values that differ behind
    # it are different.
    a = s.post(things, {"name": "nul", "x": "a\0b"}).must(201).json
    b = s.patch(f"{things}/nul", {"x": "a\0c"}).must(200).json
    assert b["x"] == "a\0c" and b["_rev"] > a["_rev"]
    assert s.get(f"{things}/nul").json == b


@shared
def what_is_no_text_is_400_at_its_field(s):
    things = make_list(s)
    for bad in (rb"\ud800", rb"\udc00", rb"\ud83d", rb"\ud83dx", rb"\ud83d\u0041",
                rb"\ud83d\ud83d", rb"\ude00\ud83d", rb"\uDBFF", rb"x\udfffy",
                rb"\u", rb"\u12", rb"\u12g4", rb"\x41", rb"\a", rb"\'", rb"\U0001",
                b"\\\n"):
        s.post(things, raw=raw_row("a", bad)).problem(400, field="x")
    for bad in ("80", "bf", "c0 80", "c0 af", "c1 bf", "c2", "c2 41", "e0 80 80",
                "e0 9f bf", "e2 82", "ed a0 80", "ed bf bf", "f0 80 80 80",
                "f0 8f bf bf", "f0 9f 98", "f4 90 80 80", "f5 80 80 80",
                "f8 88 80 80 80", "fc 84 80 80 80 80", "fe", "ff", "c3 28",
                "ed a0 bd ed b8 80"):
        data = bytes.fromhex(bad)
        s.post(things, raw=raw_row("a", data)).problem(400, field="x")
        s.post(things, raw=raw_row("a", b"x" * 50 + data + b"y" * 50)).problem(
            400, field="x")
        s.post(things, raw=b'{"name":"a","k%s":"v"}' % data).problem(400)
        s.put(things, raw=b'[{"name":"a"},{"x":"%s"}]' % data).problem(
            400, field="[1].x")
    s.post(things, raw=b'\xef\xbb\xbf{"name":"bom"}').problem(400)
    s.post(things, raw='{"name":"utf-16"}'.encode("utf-16")).problem(400)
    assert s.rows(things) == []


@shared
def a_name_that_comes_twice_is_400_at_that_name(s):
    things = make_list(s)
    for body, field in ((b'{"name":"a","x":"1","x":"2"}', "x"),
                        (b'{"x":"1","name":"a","x":"1"}', "x"),
                        (rb'{"name":"a","x":"1","\u0078":"2"}', "x"),
                        (b'[{"name":"a"},{"x":"1","x":"2"}]', "[1].x"),
                        (b'{"name":"a","name":"b"}', "name")):
        s.post(things, raw=body).problem(400, field=field)
    s.post("/v1/ns", raw=b'{"parent":"roster","name":"dup1","name":"dup2"}'
           ).problem(400, field="name")
    s.post("/v1/txn", raw=b'{"do":[],"do":[]}').problem(400, field="do")
    # Normal forms are not folded: these are two names.
    row = s.post(things, {"name": "b", "\u00e9": "1", "e\u0301": "2"}).must(201)
    assert len(without(row.json)) == 3


# ---- shape ------------------------------------------------------------------

@shared
def what_is_no_json_is_400(s):
    things = make_list(s)
    for bad in (b"", b" ", b"{", b"}", b"{}", b"[", b"[]", b"nul", b"tru", b"{a}",
                b"{'a':'b'}", b'{"a":"b",}', b'{"a" "b"}', b'{"a":}', b'{,}',
                b'{"a":"b"', b'{"a":"b"}}', b'{"a":"b"}{"a":"b"}', b'"a', b"[1,]",
                b'{"a":"b"} // c', b"/**/{}", b"\0", b'{"a":"b"}\0',
                b'{"a":01}', b'{"a":+1}', b'{"a":.5}', b'{"a":1.}', b'{"a":0x1}',
                b'{"a":NaN}', b'{"a":Infinity}', b'{"a":-}', b'{"a":1e}',
                b'{"a":tRue}', b"{1:2}", b'{"a"\xc2\xa0:"b"}', b"<a/>", b"a=b"):
        s.post(things, raw=bad).problem(400)
    for number in (b"0", b"-0", b"1e999999999", b"-1e-999999999", b"1" * 5000,
                   b"0." + b"1" * 5000, b"9007199254740993", b"1E400"):
        s.post(things, raw=b'{"name":"a","x":%s}' % number).problem(400, field="x")
    assert s.rows(things) == []


@shared(timeout=90)
def bombs_are_refused_quickly_and_cost_little(s):
    things = make_list(s)
    s.get("/v1/ns")
    before = s.rss_anon_kib()
    deep, wide = 100_000, 100_000
    bombs = [b"[" * deep, b"[" * deep + b"]" * deep,
             b'{"a":' * deep, b'{"a":' * deep + b'"b"' + b"}" * deep,
             b'[{"a":' * (deep // 2),
             b'{"name":"x","a":' + b"[" * 50 + b"]" * 50 + b"}",
             b"{" + b",".join(b'"k%d":"v"' % i for i in range(wide)) + b"}",
             b"{" + b",".join(b'"k":"v"' for i in range(wide)) + b"}",
             b"[" + b",".join(b"{}" for i in range(wide)) + b"]",
             b"[" + b"1," * (4 * wide) + b"1]",
             b'"' + b"x" * (7 << 20) + b'"', b" " * (8 << 20),
             b'{"a":"' + b"\\u0000" * (1 << 20) + b'"}',
             b'{"' + b"k" * (7 << 20) + b'":"v"}']
    for bomb in bombs:
        for method, target in (("POST", things), ("POST", "/v1/txn"),
                               ("PUT", "/v1/types/bomb"), ("POST", "/v1/agents")):
            a = s.call(method, target, raw=bomb)
            a.must(400, 413)
            assert len(a.body) < 10_000, "an error as long as its cause"
    assert s.rows(things) == []
    grown = (s.rss_anon_kib() - before) // KIB
    assert grown < 96 or not memory_counts(), f"grew by {grown} MiB"
    say(f"{grown} MiB more than before the bombs")


@shared
def a_row_of_256_kib_is_the_largest(s):
    """Sizes are of the row as it is sent back. Around the limit each is kept
    byte for byte or refused, and nothing above it is kept."""
    things = make_list(s)
    frame = len(s.post(things, {"name": "n", "x": ""}).must(201).body)
    s.delete(things + "/n").must(204)
    refused = kept = 0
    for size in (ROW_MOST - 1000, *range(ROW_MOST - 12, ROW_MOST + 13)):
        text = "y" * (size - frame)
        a = s.post(things, {"name": "n", "x": text})
        if a.status == 201:
            assert a.json["x"] == text and s.get(things + "/n").json["x"] == text
            assert len(a.body) <= ROW_MOST, f"a row of {len(a.body)} was taken"
            assert not refused, "a larger one was taken than one refused"
            s.delete(things + "/n").must(204)
            kept += 1
        else:
            a.problem(400)
            assert size > ROW_MOST - 64, f"{size} bytes were refused"
            refused += 1
    assert kept and refused, (kept, refused)
    # What counts is what is stored: escapes may grow.
    s.post(things, {"name": "n", "x": "\1" * 44_000}).problem(400)
    s.post(things, {"name": "n", "x": "\1" * 43_000}).must(201)
    s.put(things + "/n", {"x": "y" * ROW_MOST}).problem(400)
    s.patch(things + "/n", {"y": "z" * 5000}).problem(400)
    s.post(things, [{"name": "m", "x": "y" * ROW_MOST}]).problem(400)
    s.put(things, [{"name": "m", "x": "y" * ROW_MOST}]).problem(400)
    assert s.get(things + "/n").json["x"] == "\1" * 43_000
    assert len(s.rows(things)) == 1


@shared
def a_body_of_nearly_the_limit_is_taken_whole(s):
    things = make_list(s)
    rows = [{"name": f"n{i}", "x": f"{i % 10}" * 250_000} for i in range(33)]
    a = s.post(things, rows).must(201)
    assert [r["x"] for r in a.json] == [r["x"] for r in rows]
    assert s.rows(things) == a.json


# Every member of every body, with its right kind. Wrong kinds must be 400 with
# the member as `field`, never 500 and never taken.
MEMBERS = {
    ("POST", "/v1/ns"): {"parent": "roster", "name": "fuzz", "kind": "leaf",
                         "match": "x", "comment": "c"},
    ("PATCH", "/v1/ns/pool.roster"): {"match": "x", "comment": "c"},
    ("POST", "/v1/ns/pool.roster/thing/fuzz/move"): {"to": "pool.roster"},
    ("POST", "/v1/txn"): {"if": [], "do": [
        {"op": "delete", "ns": "pool.roster", "type": "thing", "id": "fuzz"}]},
    ("PUT", "/v1/types/fuzz"): {"key": "name", "required": [], "checks": {},
                                "template": True, "secret": []},
    ("POST", "/v1/agents"): {"hostname": "fuzz", "ttl": "5s", "resource": {}},
    ("POST", "/v1/heartbeats"): {"hostnames": []},
}


@shared
def members_of_a_wrong_kind_are_400_at_their_name(s):
    s.put("/v1/ns/pool.roster/thing/fuzz", {"x": "1"}).must(201)
    may_be_null = {"match", "comment", "key"}
    for (method, target), body in MEMBERS.items():
        for name, right in body.items():
            for wrong in (None, True, 5, 1.5, -1, 2**64, "", "\0", [], {},
                          [None], [[]], {"a": 1}, ["x"] * 3):
                if type(wrong) is type(right) or \
                        (wrong is None and name in may_be_null):
                    continue
                a = s.call(method, target, {**body, name: wrong})
                a.must(400)
                field = a.json.get("field", "")
                assert field.startswith(name), (method, target, name, wrong, a)
            a = s.call(method, target, {**body, "extra": 1})
            a.problem(400, field="extra")
    s.get("/v1/ns/pool.roster/thing/fuzz").must(200)
    s.get("/v1/ns/fuzz.roster").problem(404)
    s.get("/v1/types/fuzz").problem(404)
    s.get("/v1/agents/fuzz").problem(404)


@test(server="shared", flags=SLOW, timeout=90)
def mutated_requests_never_break_the_server(s):
    """Right requests with some bytes changed, over raw sockets."""
    rng = seeded("mutations")
    # A name that some wrong bytes make no other test's.
    things = make_list(s, name="mutated-requests")
    seeds = [request_bytes("GET", things + "?limit=5&fields=a,b"),
             request_bytes("GET", "/v1/search?ns=roster&k=a&v=b&mode=regex",
                           headers=[("If-None-Match", '"5", W/"6-gz"')]),
             request_bytes("POST", things, b'[{"name":"a","x":"\\u00e9"}]',
                           [("Idempotency-Key", "k"), ("Expect", "x")]),
             request_bytes("PUT", things + "/a%2Fb", b'{"x":"1"}',
                           [("If-Match", "*")]),
             request_bytes("POST", "/v1/txn", json.dumps(
                 {"if": [{"ns": "pool.roster", "type": "t", "id": "a",
                          "rev": 0}],
                  "do": [{"op": "put", "ns": "pool.roster", "type": "t",
                          "id": "a", "resource": {"a": "b"}}]}).encode()),
             request_bytes("POST", "/v1/agents",
                           b'{"hostname":"mut","ttl":"5s","resource":{}}'),
             request_bytes("PATCH", "/v1/ns/pool.roster", b'{"match":"(a|b)*"}'),
             b"POST %s HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
             b"\r\n5\r\n{\"a\":\r\n4\r\n\"b\"}\r\n0\r\n\r\n" % things.encode()]
    n, statuses = 0, {}
    before, end = s.n_fds(), time.monotonic() + 30
    while n < 1500 and time.monotonic() < end:
        n += 1
        data = bytearray(rng.choice(seeds))
        for _ in range(rng.choice((1, 1, 2, 3, 8))):
            at = rng.randrange(len(data))
            what = rng.randrange(5)
            if what == 0:
                data[at] = rng.randrange(256)
            elif what == 1:
                data[at] ^= 1 << rng.randrange(8)
            elif what == 2:
                del data[at:at + rng.randrange(1, 9)]
            elif what == 3:
                data[at:at] = rng.randbytes(rng.randrange(1, 5))
            else:
                part = data[at:at + rng.randrange(1, 30)]
                data[at:at] = part * rng.randrange(1, 5)
        with Wire(s.port) as w:
            w.send(bytes(data))
            try:          # silent: it waits for the rest of what it was told
                a = w.answer_within(0.1)
            except (ValueError, IndexError) as e:
                raise AssertionError(f"{bytes(data)!r}: no HTTP: {w.buffer!r}"
                                     ) from e
            status = getattr(a, "status", a)
            statuses[status] = statuses.get(status, 0) + 1
            assert status not in (500, 502), (bytes(data), a)
        if n % 100 == 0:
            assert s.alive(), f"died of {bytes(data)!r}"
    s.client().get("/livez").must(200)
    say(f"{n} mutations: {statuses}")
    until(lambda: s.n_fds() <= before + 5, 15)


# ---- framing ----------------------------------------------------------------

def smuggle(s, things, head, body):
    """Send a request with a second one hidden in its body; nothing of either
    may have happened, and the connection must end or stay in step."""
    hidden = request_bytes("POST", things, b'{"name":"smuggled"}')
    with s.wire() as w:
        w.send(b"POST %s HTTP/1.1\r\nHost: x\r\n%s\r\n\r\n" % (
            things.encode(), head) + body + hidden)
        try:
            a = w.answer("POST")
        except TimeoutError:
            raise AssertionError(f"hangs on {head!r} {body!r}") from None
        if a is not None:
            assert a.status in (400, 411, 413, 501), (head, a)
            assert w.closed_within(5), f"kept open after {head!r}"
    rows = s.rows(things)
    assert rows == [], f"{head!r} let through {rows}"


@shared(timeout=90)
def two_lengths_in_one_request_are_refused(s):
    things = make_list(s)
    row = b'{"name":"first"}'
    chunked = b"%x\r\n%s\r\n0\r\n\r\n" % (len(row), row)
    n = b"Content-Length: %d" % len(row)
    for head, body in (
            (n + b"\r\nTransfer-Encoding: chunked", chunked),
            (b"Transfer-Encoding: chunked\r\n" + n, chunked),
            (b"Content-Length: 0\r\nTransfer-Encoding: chunked", chunked),
            (n + b"\r\nContent-Length: 3", row),
            (b"Content-Length: 3\r\n" + n, row),
            (b"Content-Length: %d, %d" % (len(row), len(row)), row),
            (b"Content-Length: %d,3" % len(row), row),
            (b"Transfer-Encoding: gzip, chunked", chunked),
            (b"Transfer-Encoding: chunked, gzip", chunked),
            (b"Transfer-Encoding: chunked, chunked", chunked),
            (b"Transfer-Encoding: identity", row),
            (b"Transfer-Encoding: xchunked", chunked),
            (b"Transfer-Encoding: gzip", row),
            (b"Transfer-Encoding:", row),
            (b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity", chunked),
            (b"Transfer-Encoding: identity\r\nTransfer-Encoding: chunked",
             chunked)):
        smuggle(s, things, head, body)


@shared(timeout=90)
def lengths_that_are_no_numbers_are_refused(s):
    things = make_list(s)
    row = b'{"name":"first"}'
    for bad in (b"+16", b"-16", b"0x10", b"16 16", b"1_6", b"sixteen", b"16.0",
                b"1e1", b"99999999999999999999", b"18446744073709551632", b""):
        smuggle(s, things, b"Content-Length: " + bad, row)
    for size in (b"g", b"-1", b"+5", b"0x5", b"ffffffffffffffff1", b"", b"5 5"):
        smuggle(s, things, b"Transfer-Encoding: chunked",
                size + b"\r\n" + row + b"\r\n0\r\n\r\n")


@shared(timeout=90)
def heads_that_are_not_http_are_refused(s):
    things = make_list(s).encode()
    row = b'{"name":"first"}'
    tail = b"Content-Length: 16\r\n\r\n" + row
    strange = [
        b"POST %s HTTP/1.1\r\n%s" % (things, tail),                # no Host
        b"POST %s HTTP/1.1\r\nHost: a\r\nHost: b\r\n%s" % (things, tail),
        b"POST %s HTTP/1.1\r\nHost : x\r\n%s" % (things, tail),
        b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Length : 16\r\n\r\n%s" % (
            things, row),
        b"POST %s HTTP/1.1\r\n Host: x\r\n%s" % (things, tail),
        b"POST %s HTTP/1.1\r\nHost: x\r\nX: a\r\n b\r\n%s" % (things, tail),
        b"POST %s HTTP/1.1\nHost: x\nContent-Length: 16\n\n%s" % (things, row),
        b"POST %s HTTP/1.1\r\nHost: x\r\nno colon\r\n%s" % (things, tail),
        b"POST %s HTTP/1.1\r\nHost: x\r\nX\0Y: z\r\n%s" % (things, tail),
        b"POST %s HTTP/1.1\r\nHost: x\r\nX: a\0b\r\n%s" % (things, tail),
        b"POST %s HTTP/2.0\r\nHost: x\r\n%s" % (things, tail),
        b"POST %s HTTP/1.1x\r\nHost: x\r\n%s" % (things, tail),
        b"POST %s HTTP/9.9\r\nHost: x\r\n%s" % (things, tail),
        b"POST %s HTTP/1.1 extra\r\nHost: x\r\n%s" % (things, tail),
        b"POST  %s HTTP/1.1\r\nHost: x\r\n%s" % (things, tail),
        b"POST %s\r\nHost: x\r\n%s" % (things, tail),
        b"P\xd6ST %s HTTP/1.1\r\nHost: x\r\n%s" % (things, tail),
        b"post %s HTTP/1.1\r\nHost: x\r\n%s" % (things, tail),
        b"BREW %s HTTP/1.1\r\nHost: x\r\n%s" % (things, tail),
        b"TRACE %s HTTP/1.1\r\nHost: x\r\n\r\n" % things,
        b"CONNECT a:1 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\r\n" * 1000, b"\0" * 1000,
        b"*1\r\n$4\r\nPING\r\n", b"PING\r\n", b"{}", b"\x16\x03\x01\x02\x00\x01",
        b"\x30\x82\xff\xff" * 50, b"GET", b"GET /", b"\xff\xfe\xfd"]
    taken = []
    for data in strange:
        with s.wire() as w:
            w.send(data)
            a = w.answer_within(0.3)
            if a == "silent":
                continue             # it waits for more of it
            if a is not None and a.status < 400:
                taken.append((data[:80], a.status))
            assert a is None or a.status < 500 or a.status in (501, 505), (
                data[:80], a)
    # Leniency towards line ends and blanks is the HTTP library's; what may not
    # be is a second meaning. None of these may be taken as a request:
    rows = s.rows(things.decode())
    assert all(r["name"] == "first" for r in rows), rows
    for data, status in taken:
        assert re.match(rb"POST \S+ HTTP/1\.1(\n|\r\n)", data), (data, status)
    say(f"taken leniently: {taken}")


@shared
def a_request_without_host_is_400(s):
    for head in (b"GET /livez HTTP/1.1\r\n\r\n",
                 b"GET /livez HTTP/1.1\r\nX: y\r\n\r\n"):
        with s.wire() as w:
            w.send(head)
            a = w.answer()
            assert a is not None and a.status == 400, a


@shared
def targets_full_of_tricks_are_400_or_404(s):
    things = make_list(s)
    s.post(things, {"name": "secret"}).must(201)
    for target in ("/v1/ns/%2e%2e/types", "/v1/ns/../types", "/v1/./ns",
                   "/v1/%2e/ns", "/v1//ns", "//v1/ns", "/v1/ns/", "/v1/ns//thing",
                   "/v1%2Fns", "/%76%31/nothing", "/v1/ns/pool.roster%00/thing",
                   "/v1/ns/pool.roster%00", "/v1/ns%00", "/v1/ns/pool%2eroster/%00",
                   "/v1/ns/pool.roster/%c0%ae", "/v1/ns/%c0%af", "/v1/ns/%ff",
                   "/v1/ns/%e0%80%af", "/v1/ns/%zz", "/v1/ns/%2", "/v1/ns/%",
                   "/v1/ns/%u0041", "/v1/ns/pool.roster/thing/%ed%a0%80",
                   "/v1/ns/pool.roster/thing/%", "/v1/ns/pool.roster/thing/",
                   "/v1/ns/pool.roster/thing/" + "k" * 256,
                   "/v1/ns/pool.roster/thing/" + "%C3%A9" * 128,
                   "/v1/ns/pool.roster/thing/a;b/c", "/..", "/../../etc/passwd",
                   "/livez/", "/livez%00", "/v1/ns?a=%ff", "/v1/ns?%00=1",
                   "/v1/ns?depth=1%00", "/v1/ns/pool.roster?depth=1",
                   "/v1/agents/%2e%2e", "/v1/agents/%00/heartbeat",
                   "/v1/types/%2e%2e", "*", "pool.roster", "?", "%2Fv1%2Fns"):
        with s.wire() as w:
            w.send(request_bytes("GET", target))
            a = w.answer()
            assert a is None or a.status in (400, 404, 414), (target, a)
            if a is not None and a.status == 200:
                raise AssertionError((target, a))
    s.get(f"{things}/..%2f..").problem(404)       # a plain key, nothing else
    for target in ("http://other.example/livez", "http://x:7070/livez"):
        with s.wire() as w:
            w.send(request_bytes("GET", target))
            a = w.answer()      # absolute form (RFC 9112 3.2.2)
            assert a is None or a.status in (200, 400, 404), (target, a)


@shared
def long_targets_and_heads_are_refused_not_buffered(s):
    before = s.rss_anon_kib()
    for size in (2000, 8000, 20_000, 100_000, 1_000_000):
        for data in (b"GET /v1/ns/" + b"a" * size + b" HTTP/1.1\r\nHost: x\r\n\r\n",
                     b"GET /v1/ns?v=" + b"a" * size +
                     b" HTTP/1.1\r\nHost: x\r\n\r\n",
                     b"GET /livez HTTP/1.1\r\nHost: x\r\nX: " + b"a" * size +
                     b"\r\n\r\n",
                     b"GET /livez HTTP/1.1\r\nHost: x\r\n" + b"X: y\r\n" *
                     (size // 6) + b"\r\n",
                     b"A" * size):
            with s.wire() as w:
                w.send(data)
                a = w.answer_within(0.3 if size < 20_000 else 5)
                if a == "silent":
                    assert size < 20_000, f"waits for more than {data[:40]!r}"
                    continue
                assert a is None or a.status in (200, 400, 404, 405, 414, 431,
                                                 501, 505), (size, a)
                assert a is None or a.status != 200 or size < 20_000, size
    s.client().get("/livez").must(200)
    grown = (s.rss_anon_kib() - before) // KIB
    assert grown < 32 or not memory_counts(), f"grew by {grown} MiB"


@shared
def ordinary_long_heads_are_taken(s):
    """A bearer token of 2 KiB and a dozen headers: what proxies send."""
    headers = [("Authorization", "Bearer " + "t" * 2000),
               ("If-None-Match", ", ".join(f'"{i}"' for i in range(50)))]
    headers += [(f"X-Header-{i}", "v" * 60) for i in range(12)]
    with s.wire() as w:
        w.send(request_bytes("GET", "/v1/ns", headers=headers))
        assert w.answer().status == 200


# ---- slow and many ----------------------------------------------------------


def trickle(s, first, piece, seconds, every=0.2):
    """Send bytes forever, slowly; when the server ended it, or None."""
    with s.wire() as w:
        w.send(first)
        began = time.monotonic()
        while time.monotonic() - began < seconds:
            if not w.send(piece):
                return time.monotonic() - began
            if select.select([w.sock], [], [], every)[0]:
                try:
                    if not w.sock.recv(65536):
                        return time.monotonic() - began
                except ConnectionResetError:
                    return time.monotonic() - began
    return None


@test(server="shared", flags=SLOW, timeout=60)
def slow_heads_and_slow_bodies_are_cut_off(s):
    things = make_list(s)
    length = b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n"
    chunks = (b"POST %s HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked"
              b"\r\n\r\n")
    slow = [(b"", b"G"), (b"GET /livez HTTP/1.1\r\n", b"X: y\r\n"),
            (b"GET /livez HTTP/1.1\r\nHost: x\r\nX: ", b"y"),
            (length % things.encode(), b" "), (chunks % things.encode(),
                                               b"1\r\n \r\n"),
            (b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n"
             % things.encode(), b"")]
    took = in_threads(len(slow), lambda i: trickle(s, *slow[i], seconds=12), 40)
    say(f"ended after {took} s (--request-timeout 2s)")
    assert None not in took, "a client that trickles is served forever"
    assert s.rows(things) == []


@test(server="shared", flags=SLOW, timeout=60)
def slow_clients_keep_nobody_else_waiting(s):
    wires = [s.wire() for _ in range(100)]
    for i, w in enumerate(wires):
        w.send((b"GET /livez HTTP/1.1\r\nHo", b"POST /v1/ns HTTP/1.1\r\nHost: x"
                b"\r\nContent-Length: 50\r\n\r\n{", b"G", b"")[i % 4])
    things = make_list(s)
    worst = 0
    for i in range(100):
        began = time.monotonic()
        s.post(things, {"name": f"n{i}"}).must(201)
        s.get(things).must(200)
        worst = max(worst, time.monotonic() - began)
    assert worst < 2, f"waited {worst:.1f} s behind slow clients"
    for w in wires:
        w.close()


@test(server="shared", flags=SLOW, timeout=150)
def readers_that_never_read_cost_little_and_idle_connections_are_closed(s):
    things = make_list(s)
    s.put(things, [{"name": f"n{i}", "x": "y" * 60_000} for i in range(100)]
          ).must(200)
    s.get(things).must(200)
    memory, fds = s.rss_anon_kib(), s.n_fds()
    wires = []
    for _ in range(50):                 # 6 MB each: beyond any socket buffer
        w = s.wire()
        w.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        w.send(request_bytes("GET", things))
        wires.append(w)
    for _ in range(30):
        s.get("/v1/ns").must(200)
        time.sleep(0.02)
    grown = (s.rss_anon_kib() - memory) // KIB
    assert grown < 50 or not memory_counts(), f"{grown} MiB more for 50 readers of one list"
    with s.wire() as idle:
        assert idle.closed_within(20), "an idle connection was never closed"
    if FULL:
        until(lambda: s.n_fds() <= fds + 2, 100)
    for w in wires:
        w.close()
    until(lambda: s.n_fds() <= fds + 2, 10)


@test(flags=("--io-threads", "1"), timeout=90)
def exactly_128_requests_at_once_are_all_answered(s):
    """The stall of libmicrohttpd's own epoll loop: when the number of ready
    connections is a multiple of 128 it sleeps with all of them unanswered."""
    for n in (1, 127, 128, 129, 255, 256, 257, 384, 512, 640):
        wires = [s.wire() for _ in range(n)]
        for w in wires:                  # all known to the server's epoll
            w.send(request_bytes("GET", "/livez"))
        for w in wires:
            assert w.answer().status == 200
        with s.paused():
            for w in wires:
                w.send(request_bytes("GET", "/v1/ns"))
            time.sleep(0.1)
        began = time.monotonic()
        for i, w in enumerate(wires):
            try:
                assert w.answer().status == 200
            except TimeoutError:
                raise AssertionError(f"{n} at once: {i} answered, then "
                                     "silence") from None
        took = time.monotonic() - began
        assert took < 5 * PATIENCE, f"{n} at once took {took:.1f} s"
        for w in wires:
            w.close()


@test(flags=("--io-threads", "1"), timeout=90)
def exactly_128_new_connections_at_once_are_all_answered(s):
    for n in (127, 128, 129, 256, 384):
        with s.paused():
            wires = [s.wire() for _ in range(n)]
            for i, w in enumerate(wires):
                body = b'{"name":"n%d-%d"}' % (n, i)
                w.send(request_bytes("POST", "/v1/ns/pool.roster/thing", body))
        for i, w in enumerate(wires):
            try:
                assert w.answer("POST").status == 201
            except TimeoutError:
                raise AssertionError(f"{n} at once: {i} answered, then "
                                     "silence") from None
            w.close()
    assert len(s.rows("/v1/ns/pool.roster/thing")) == 127 + 128 + 129 + 256 + 384


@test(timeout=90)
def a_thousand_connections_are_served(s):
    things = make_list(s)
    before = s.n_fds()
    wires = [s.wire(timeout=20) for _ in range(1000)]
    for round_ in range(2):
        for i, w in enumerate(wires):
            w.send(request_bytes("PUT", f"{things}/n{i}",
                                 b'{"round":"%d"}' % round_))
        for w in wires:
            assert w.answer("PUT").status == (201, 200)[round_]
    s.client().get("/livez").must(200)
    rows = s.rows(things)
    assert len(rows) == 1000 and {r["round"] for r in rows} == {"1"}
    for w in wires:
        w.close()
    until(lambda: s.n_fds() <= before + 5, 10)


@test(flags=("--max-connections", "50"), timeout=60)
def beyond_the_most_connections_others_wait_or_are_refused(s):
    def come():
        wires.append(s.wire(timeout=5))
        wires[-1].send(request_bytes("GET", "/livez"))

    wires = []
    for _ in range(40):
        come()
        assert wires[-1].answer().status == 200  # it gives way to nobody
    for _ in range(80):
        try:
            come()
        except OSError:
            break
    for w in wires[:40]:
        w.send(request_bytes("GET", "/livez"))
        assert w.answer().status == 200
    for w in wires:
        w.close()
    until(lambda: s.client(timeout=5).get("/livez").status == 200, 10)


@test(flags=SLOW, timeout=60)
def who_hangs_up_during_a_write_does_no_harm(s):
    things = make_list(s)
    before = s.n_fds()
    for i in range(300):
        w = s.wire()
        body = b'{"name":"n%d"}' % i
        data = request_bytes("POST", things, body)
        part = i % 4
        if part == 0:                     # whole, and gone
            w.send(data)
        elif part == 1:                   # whole, RST
            w.send(data)
            w.reset()
            continue
        elif part == 2:                   # the body is cut off
            w.send(data[:-3])
        else:                             # many at once, none awaited
            w.send(b"".join(request_bytes("PUT", f"{things}/p{i}",
                                          b'{"k":"%d"}' % k)
                            for k in range(10)))
        w.close()
    s.get("/livez").must(200)
    time.sleep(0.5)
    names = [r["name"] for r in s.rows(things)]
    assert len(set(names)) == len(names)
    cut = [n for n in names if n[0] == "n" and int(n[1:]) % 4 == 2]
    assert not cut, f"half a body was taken: {cut}"
    until(lambda: s.n_fds() <= before + 5, 10)
    s.restart()
    assert sorted(r["name"] for r in s.rows(things)) == sorted(names)


@test(timeout=60)
def noise_on_the_ports_is_endured(s):
    rng = seeded("noise")
    ports = [s.port]
    raft = s.listening.get("raft", "")
    if raft and not raft.endswith(":0"):
        ports.append(int(raft.rpartition(":")[2]))
    before, fds = s.rss_anon_kib(), s.n_fds()
    for port in ports:
        for i in range(150):
            try:
                w = Wire(port, timeout=5)
            except OSError:
                assert port != s.port
                break
            size = rng.choice((1, 8, 16, 100, 5000))
            data = rng.randbytes(size)
            if i % 3 == 1:           # as a message of a raft peer may begin
                data = struct.pack("<QQQ", 1, rng.choice((0, 1, 7, 2**63)),
                                   rng.choice((0, 8, 2**32, 2**63))) + data
            elif i % 3 == 2:
                data = b"\x16\x03\x01" + data
            w.send(data)
            if i % 2:
                w.reset()
            else:
                w.close()
    s.client().get("/livez").must(200)
    s.post(make_list(s), {"name": "works"}).must(201)
    until(lambda: s.n_fds() <= fds + 10, 15)
    grown = (s.rss_anon_kib() - before) // KIB
    assert grown < 64 or not memory_counts(), f"grew by {grown} MiB"
    say(f"ports {ports}; {grown} MiB more")


@test(timeout=90)
def memory_does_not_grow_with_bad_requests(s):
    def round_():
        for i in range(300):
            s.get("/v1/ns/pool.roster/thing/nobody-%d" % i)
            s.post("/v1/ns/pool.roster/thing", raw=b'{"x":' + b"[" * 500)
            s.post("/v1/ns/pool.roster/thing", [{"name": "x" * 300}] * 5)
            s.get(path("v1", "search", v=f"(a{i}", mode="regex"))
            s.put(f"/v1/agents/no-{i}/heartbeat")
            try:
                s.get("/v1/ns/pool.roster/t%d" % i)
            except Lost as e:
                raise AssertionError(f"dropped: {e}") from e
    round_()
    before = s.rss_anon_kib()
    for _ in range(3):
        round_()
    grown = s.rss_anon_kib() - before
    assert grown < 8 * KIB or not memory_counts(), f"grew by {grown} KiB over 5,400 bad requests"
    assert os.path.exists(f"/proc/{s.process.pid}")


@test(timeout=60)
def long_bodies_mean_the_same_as_short_ones(s):
    """They are read by a worker: what a verb has begun must not count as done."""
    things = make_list(s)
    ids = [f"01ARZ3NDEKTSV4RRFF{i:08d}" for i in range(300)]
    rows = [{"_id": id_, "name": "n" + id_, "x": "y" * 600} for id_ in ids]
    for _ in range(2):
        a = s.post(things, rows, {"Idempotency-Key": "long"}).must(201)
        assert [row["_id"] for row in a.json] == ids
    assert "idempotent-replayed" in a.headers
    s.put(things, rows[:200]).must(200)
    assert len(s.rows(things)) == 200
    s.post("/v1/agents", {"hostname": "here"}).must(201)
    names = [f"nobody-{i:05d}-" + "x" * 60 for i in range(1000)] + ["here"]
    a = s.post("/v1/heartbeats", {"hostnames": names}).must(200)
    assert sorted(a.json["unknown"]) == sorted(names[:-1])
    s.patch(f"{things}/{ids[0]}", {"x": "z" * 100_000}).must(200)
    s.post("/v1/txn", {"do": [
        {"op": "put", "ns": things.split("/")[3], "type": "thing", "id": f"t{i}",
         "resource": {"x": "y" * 5000}} for i in range(30)]}).must(200)
