"""Compressed lists, and answers that are kept for the next reader: the same
bytes for everybody, and never older than what anybody has seen (BRIEF 8.13,
P4)."""
import gzip
import json
import re
import threading

from harness import (Client, Server, bare, make_list, make_ns, path, shared,
                     test, until)

GZIP = {"Accept-Encoding": "gzip"}


def rows(n, text="same "):
    return [{"name": f"n{i}", "text": text * 20} for i in range(n)]


def compressed(s, target, **headers):
    """The list as the first one gets it who takes gzip."""
    a = s.get(target, headers={**GZIP, **headers}).must(200)
    assert a.headers.get("content-encoding") == "gzip", a.headers
    return a


def tags(a):
    """What a cache on the way looks at."""
    return {k: v for k, v in a.headers.items()
            if k in ("etag", "vary", "content-encoding", "content-type",
                     "content-length", "link")}


def revision_of(a):
    return a.etag.strip('"').removesuffix("-gz")


@shared
def a_compressed_list_is_the_list(s):
    for n in (20, 200, 3000):   # on the loop, by a worker, rendered by one
        things = make_list(s)
        s.put(things, rows(n)).must(200)
        a = compressed(s, things)
        plain = s.get(things).must(200)
        assert gzip.decompress(a.body) == plain.body
        assert a.headers["content-encoding"] == "gzip"
        assert len(a.body) < len(plain.body) / 2
        assert "content-encoding" not in plain.headers
        assert json.loads(plain.body) == s.rows(things)


@shared
def each_encoding_has_an_etag_of_its_own_and_says_that_it_varies(s):
    things = make_list(s)
    s.put(things, rows(100)).must(200)
    a, plain = compressed(s, things), s.get(things)
    assert plain.etag == f'"{plain.etag[1:-1]}"' and plain.etag[1:-1].isdigit()
    assert a.etag == plain.etag[:-1] + '-gz"', a.headers
    for answer in (a, plain):
        assert answer.headers["vary"] == "Accept-Encoding", answer.headers
        assert answer.headers["content-type"] == "application/json"


@shared
def who_has_a_form_that_he_takes_is_told_so_with_its_tag(s):
    """A 304 with another tag than one that was sent is of no use to a cache on
    the way; nor is one for a form that the client behind it does not take."""
    things = make_list(s)
    s.put(things, rows(100)).must(200)
    a, plain = compressed(s, things), s.get(things)
    for have, zipped, told in (
            (plain.etag, plain, plain), ("W/" + plain.etag, plain, plain),
            (f'"1", {plain.etag}', plain, plain), (a.etag, a, None),
            ("W/" + a.etag, a, None), (f"{a.etag}, {plain.etag}", a, plain),
            ("*", a, plain)):
        for take, would in ((GZIP, zipped), ({}, told)):
            for _ in range(3):       # and when it is kept
                got = s.get(things, headers={**take, "If-None-Match": have})
                got.must(304 if would else 200)
                assert got.etag == (would or plain).etag, (have, got.headers)
                assert got.headers["vary"] == "Accept-Encoding", got.headers
                assert "content-encoding" not in got.headers, got.headers
    s.get(things, headers={**GZIP, "If-None-Match": '"1", "1-gz"'}).must(200)
    s.post(things, {"name": "new"}).must(201)
    for have in (a.etag, plain.etag):
        s.get(things, headers={**GZIP, "If-None-Match": have}).must(200)


@shared
def head_says_what_get_says(s):
    things = make_list(s)
    for n in (0, 3, 100):
        s.put(things, rows(n)).must(200)
        if n == 100:
            compressed(s, things)
        for headers in ({}, GZIP, {"Accept-Encoding": "gzip;q=0"}):
            got, head = s.get(things, headers=headers), s.head(things, headers=headers)
            assert tags(got) == tags(head), (got.headers, head.headers)
            assert int(got.headers["content-length"]) == len(got.body)
            etag = {**headers, "If-None-Match": got.etag}
            got, head = s.get(things, headers=etag), s.head(things, headers=etag)
            assert got.must(304) and head.must(304) and tags(got) == tags(head)
    row = f"{things}/n1"
    assert tags(s.get(row, headers=GZIP)) == tags(s.head(row, headers=GZIP))


@shared
def only_who_takes_gzip_gets_it(s):
    things = make_list(s)
    s.put(things, rows(100)).must(200)
    compressed(s, things)
    cases = {
        "gzip": True, "GZIP": True, "br, gzip;q=0.5": True, "*": True,
        "identity;q=0, *": True, "gzip, identity;q=0": True,
        "gzip;q=0": False, "*, gzip;q=0": False, "identity": False, "": False,
        "br": False, "gzip;q=0.5, identity": False, "gzip;q=x": False,
        "*;q=0": False, "identity;q=0": False,   # there is nothing else: plain
    }
    for accept, wanted in cases.items():
        a = s.get(things, headers={"Accept-Encoding": accept}).must(200)
        assert ("content-encoding" in a.headers) == wanted, (accept, a.headers)
        assert a.headers["vary"] == "Accept-Encoding", a.headers
        body = gzip.decompress(a.body) if wanted else a.body
        assert len(json.loads(body)) == 100
    with s.wire() as w:          # in two lines
        w.send(f"GET {things} HTTP/1.1\r\nHost: x\r\nAccept-Encoding: br\r\n"
               "Accept-Encoding: gzip\r\n\r\n".encode())
        assert w.answer().headers["content-encoding"] == "gzip"


@shared
def what_is_not_a_whole_list_is_not_compressed(s):
    ns = make_ns(s)
    things = path("v1", "ns", ns, "thing")
    s.put(things, rows(100)).must(200)
    compressed(s, things)
    s.put(f"{things}/long", {"text": "same " * 2000}).must(201)
    for target in (f"{things}?limit=50", f"{things}?fields=text",
                   f"{things}/long", "/v1/ns", f"/v1/search?ns={ns}", "/metrics"):
        for _ in range(3):
            a = s.get(target, headers=GZIP).must(200)
            assert "content-encoding" not in a.headers, (target, a.headers)
            assert "vary" not in a.headers, (target, a.headers)
    small = make_list(s)
    s.put(small, rows(1, "x")).must(200)
    for _ in range(3):     # it may grow: a cache must know
        a = s.get(small, headers=GZIP).must(200)
        assert "content-encoding" not in a.headers
        assert a.headers["vary"] == "Accept-Encoding"
    a = s.put(things, rows(100), headers=GZIP).must(200)
    assert "content-encoding" not in a.headers and "vary" not in a.headers


@shared
def a_write_takes_the_tag_of_either_form(s):
    things = make_list(s)
    for form in ("-gz", ""):
        s.put(things, rows(100, form + "text")).must(200)
        plain = s.get(things).etag
        have = plain[:-1] + form + '"'
        s.put(things, rows(3), {"If-Match": "W/" + have}).must(400, 412)
        s.put(things, rows(3), {"If-Match": have}).must(200)
        s.put(things, rows(4), {"If-Match": have}).problem(412)
    row = s.get(f"{things}/n1")
    s.patch(f"{things}/n1", {"a": "1"},
            {"If-Match": row.etag[:-1] + '-gz"'}).must(200)


@shared
def every_change_is_seen_at_once_in_every_form(s):
    """An answer is kept for the next reader: none outlives a change."""
    things = make_list(s)
    s.put(things, rows(50)).must(200)
    others = [s.client() for _ in range(3)]
    for i in range(60):
        for c in others:         # kept, by each loop
            c.get(things)
            c.get(things, headers=GZIP)
            c.get(f"{things}/n1")
        done = s.patch(f"{things}/n1", {"i": str(i)}).must(200)
        for c in others:
            assert c.get(f"{things}/n1").json["i"] == str(i)
            for headers in ({}, GZIP):
                a = c.get(things, headers=headers).must(200)
                body = gzip.decompress(a.body) if "content-encoding" in \
                    a.headers else a.body
                row = next(r for r in json.loads(body) if r["name"] == "n1")
                assert row["i"] == str(i)
                assert a.revision >= done.revision
                assert int(revision_of(a)) == done.revision


@shared
def a_kept_answer_goes_when_its_path_means_something_else(s):
    ns = make_ns(s)
    things = path("v1", "ns", ns, "thing")
    s.put(things, rows(30)).must(200)
    for _ in range(3):
        s.get(things).must(200)
        s.get(things, headers=GZIP).must(200)
        s.get(f"{things}/n1").must(200)
    new = ns.partition(".")[0] + "x"
    s.patch(path("v1", "ns", ns), {"name": new}).must(200)
    for target in (things, f"{things}/n1"):
        s.get(target).must(404)
        s.get(target, headers=GZIP).must(404)
    moved = path("v1", "ns", f"{new}.roster", "thing")
    before = s.get(moved).must(200)
    s.delete(f"{moved}/n1").must(204)
    s.get(f"{moved}/n1").must(404)
    s.get(moved, headers={"If-None-Match": before.etag}).must(200)


@shared
def a_request_that_is_wrong_is_wrong_also_when_the_answer_is_kept(s):
    things = make_list(s)
    for _ in range(4):
        s.get(things).must(200)
        s.get(things, headers={"If-None-Match": ""}).problem(400)
        s.get(things, headers={"If-None-Match": "1"}).problem(400)
        s.get(things + "?limit=0").problem(400)


def n_kept(s):
    text = s.get("/metrics").must(200).body.decode()
    return int(re.search("^roster_http_answers_kept_total ([0-9]+)$", text, re.M)[1])


@test(flags=("--io-threads", "1"))
def what_an_answer_keeps_in_memory_counts_however_small_it_is_sent(s):
    things = make_list(s)
    for size, some in ((100_000, True), (1_200_000, False)):
        s.put(things, [{"name": f"n{i}", "text": "a" * 100_000}
                       for i in range(size // 100_000)]).must(200)
        assert len(compressed(s, things).body) < 10_000
        before = n_kept(s)
        for _ in range(20):      # (for a second at a time: the Date)
            assert "content-encoding" in s.get(things, headers=GZIP).headers
        assert (n_kept(s) > before) == some, (size, n_kept(s), before)


@bare
def no_reader_sees_less_than_another_has_seen():
    """Readers on several loops, a writer, one list and one of its resources, in
    every form. Each answer holds at least what anybody had seen before it was
    asked for, and the forms of one revision are the same list."""
    with Server("--io-threads", "3") as s:
        things = make_list(s)
        s.put(things, rows(40) + [{"name": "count", "i": "0"}]).must(200)
        seen, wrong, over = [0], [], threading.Event()
        bodies, lock, n_gzips = {}, threading.Lock(), [0]

        def count_of(a):
            body = a.body
            if "content-encoding" in a.headers:
                n_gzips[0] += 1
                body = gzip.decompress(body)
            if a.path.endswith("count"):
                return int(json.loads(body)["i"])
            revision = revision_of(a)
            with lock:
                if bodies.setdefault(revision, body) != body:
                    wrong.append(f"two lists of revision {revision}")
            return int(next(r["i"] for r in json.loads(body)
                            if r["name"] == "count"))

        def read(i):
            c = Client(s.port, node=s.node)
            forms = [(things, {}), (f"{things}/count", {}), (things, GZIP)]
            while not over.is_set():
                target, headers = forms[i % 3]
                i += 1
                least = seen[0]
                got = count_of(c.get(target, headers=headers).must(200))
                if got < least:
                    wrong.append(f"{target} {headers}: {got} after {least}")
                with lock:
                    seen[0] = max(seen[0], got)
            wrong.extend(c.faults)
            c.close()

        threads = [threading.Thread(target=read, args=(i,)) for i in range(6)]
        for t in threads:
            t.start()
        for i in range(1, 400):
            s.patch(f"{things}/count", {"i": str(i)}).must(200)
        over.set()
        for t in threads:
            t.join()
        assert not wrong, wrong[:5]
        assert n_gzips[0] > 10, "nothing was compressed"
        assert seen[0] > 300
