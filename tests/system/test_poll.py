"""Long polls: ?since=N&wait=T on lists and searches (BRIEF 4.4, 8.3)."""
import contextlib
import gzip
import json
import re
import signal
import socket
import threading
import time

from cluster import Cluster
from harness import (TLS, Client, Server, Skip, Wire, bare, in_threads, make_ns,
                     memory_counts, path, request_bytes, say, shared, test, until,
                     without)

SERVICE = "service"


def metric(s, name):
    with contextlib.closing(Client(s.port)) as c:
        text = c.get("/metrics").must(200).body.decode()
    return int(re.search(rf"^{name} (\d+)$", text, re.M)[1])


def parked(s):
    return metric(s, "roster_watch_polls")


def looks(s):
    return metric(s, "roster_watch_poll_looks_total")


def renderings(s):
    return metric(s, "roster_watch_poll_renderings_total")


class Poll:
    """A request that was sent and not answered yet."""

    def __init__(self, s, target, method="GET", headers=()):
        self.method = method
        self.wire = Wire(s.port)
        self.wire.send(request_bytes(method, target, headers=headers))

    def answer(self):
        a = self.wire.answer(self.method)
        assert a is not None, "hung up"
        return a

    def close(self):
        self.wire.close()


def wait_for(s, n):
    until(lambda: parked(s) == n)


def poll(s, *targets, **options):
    """Those, when all of them wait."""
    before = parked(s)
    polls = [Poll(s, t, **options) for t in targets]
    wait_for(s, before + len(polls))
    return polls


def list_of(ns, **query):
    return path("v1", "ns", ns, SERVICE, **query)


def search(**query):
    return path("v1", "search", **query)


def revision_of(s, target):
    return int(re.match(r'"(\d+)', s.get(target).must(200).etag)[1])


def names(a):
    return [r["name"] for r in a.must(200).json]


def found(a):
    return {ns: [r["name"] for r in rows] for ns, rows in a.must(200).json.items()}


@contextlib.contextmanager
def nothing_is_looked_at(s):
    """What happens inside makes no poll look, nor get an answer."""
    n, before = parked(s), looks(s)
    yield
    assert (parked(s), looks(s)) == (n, before)


# ---- lists ------------------------------------------------------------------

@test
def a_list_is_answered_at_its_next_change(s):
    ns = make_ns(s)
    s.post(list_of(ns), {"name": "a"}).must(201)
    r = revision_of(s, list_of(ns))
    [p] = poll(s, list_of(ns, since=r))
    b = s.post(list_of(ns), {"name": "b"}).must(201)
    a = p.answer()
    assert names(a) == ["a", "b"]
    assert a.etag == f'"{b.revision}"' and a.revision == b.revision
    # At once, when there is something newer already.
    assert names(s.get(list_of(ns, since=r))) == ["a", "b"]
    assert names(s.get(list_of(ns, since=0))) == ["a", "b"]
    assert parked(s) == 0


@test
def a_change_elsewhere_wakes_nobody(s):
    top = make_ns(s, "branch")
    ns, other = make_ns(s, parent=top), make_ns(s, parent=top)
    s.post(list_of(ns), {"name": "a"}).must(201)
    r = s.revision()
    polls = poll(s, list_of(ns, since=r), search(ns=ns, type=SERVICE, since=r),
                 search(ns=ns, type=SERVICE, k="name", v="z", since=r),
                 list_of(top, since=r), list_of(ns, since=r, fields="name"))
    with nothing_is_looked_at(s):
        s.post(list_of(other), {"name": "x"}).must(201)
        s.post(path("v1", "ns", ns, "thing"), {"name": "x"}).must(201)
        s.patch(path("v1", "ns", other), {"comment": "c"}).must(200)
        s.delete(list_of(other)[:-len(SERVICE)] + SERVICE + "/x").must(204)
        s.put(path("v1", "types", "thing"), {"key": "name"}).must(201)
        make_ns(s, parent=top)
        s.delete(path("v1", "ns", other)).must(204)
    last = s.post(list_of(ns), {"name": "z"}).must(201).revision
    answers = [p.answer() for p in polls[:3]]
    assert [names(answers[0]), found(answers[1]), found(answers[2])] == [
        ["a", "z"], {ns: ["a", "z"]}, {ns: ["z"]}]
    assert [a.revision for a in answers] == [last] * 3
    assert s.delete(list_of(top) + "/none").status == 404
    s.post(list_of(top), {"name": "t"}).must(201)  # a template
    assert names(polls[3].answer()) == ["t"]
    assert names(polls[4].answer()) == ["a", "z"]


@test
def what_does_not_change_the_list_is_not_told(s):
    """A comment on its namespace concerns it and leaves its revision."""
    ns = make_ns(s)
    s.post(list_of(ns), {"name": "a"}).must(201)
    r = revision_of(s, list_of(ns))
    [p] = poll(s, list_of(ns, since=r))
    s.patch(path("v1", "ns", ns), {"comment": "c"}).must(200)
    s.patch(list_of(ns) + "/a", {"name": "a"}).must(200)  # no change
    assert parked(s) == 1
    last = s.post(list_of(ns), {"name": "b"}).must(201).revision
    assert p.answer().revision == last


@test
def the_last_row_and_an_empty_list_are_changes(s):
    ns = make_ns(s)
    s.post(list_of(ns), {"name": "a"}).must(201)
    [p] = poll(s, list_of(ns, since=s.revision()))
    s.delete(list_of(ns) + "/a").must(204)
    a = p.answer()
    assert a.must(200).json == []
    s.post(list_of(ns), [{"name": "a"}, {"name": "b"}]).must(201)
    [p] = poll(s, list_of(ns, since=s.revision()))
    s.put(list_of(ns), []).must(200)
    a = p.answer()
    assert a.must(200).json == [] and a.etag == f'"{s.revision()}"'


@test
def pages_and_projections_wait_for_their_list(s):
    ns = make_ns(s)
    rows = s.post(list_of(ns), [{"name": n, "port": "1"} for n in "abc"]
                  ).must(201).json
    r = s.revision()
    polls = poll(s, list_of(ns, limit=2, since=r),
                 list_of(ns, limit=2, after=rows[1]["_id"], since=r, wait="1m"),
                 list_of(ns, fields="port", since=r))
    last = s.post(list_of(ns), {"name": "d", "port": "2"}).must(201).revision
    first, second, ports = [p.answer() for p in polls]
    assert [names(first), names(second)] == [["a", "b"], ["c", "d"]]
    assert [without(x) for x in ports.must(200).json] == [
        {"port": "1"}] * 3 + [{"port": "2"}]
    assert {a.revision for a in (first, second, ports)} == {last}
    assert "since" not in first.next() and second.next() is None
    assert names(s.get(first.next())) == ["c", "d"]


# ---- namespaces -------------------------------------------------------------

def tree(s):
    """A branch in a branch with a leaf in it: (top, middle, leaf)."""
    top = make_ns(s, "branch")
    middle = make_ns(s, "branch", parent=top)
    leaf = make_ns(s, parent=middle)
    s.post(list_of(leaf), {"name": "a"}).must(201)
    return top, middle, leaf


@test
def a_namespace_that_goes_is_404(s):
    for go in (lambda t, m, n: s.delete(path("v1", "ns", n, recursive="true")),
               lambda t, m, n: s.delete(path("v1", "ns", m, recursive="true")),
               lambda t, m, n: s.patch(path("v1", "ns", n), {"name": "other"}),
               lambda t, m, n: s.patch(path("v1", "ns", m), {"name": "other"}),
               lambda t, m, n: s.patch(path("v1", "ns", n), {"parent": t}),
               lambda t, m, n: s.patch(path("v1", "ns", m),
                                       {"parent": "roster"})):
        top, middle, leaf = tree(s)
        r = s.revision()
        polls = poll(s, list_of(leaf, since=r), list_of(leaf, since=r, limit=5),
                     search(ns=leaf, since=r))
        go(top, middle, leaf).must(200, 204)
        for p in polls:
            p.answer().problem(404)
        s.get(list_of(leaf, since=r)).problem(404)
        s.get(search(ns=leaf, since=r)).problem(404)


@test
def rows_that_come_or_go_with_a_namespace_change_a_search(s):
    top, middle, leaf = tree(s)
    other = make_ns(s, "branch")
    where = search(ns=top, type=SERVICE, k="name", v="a", since=s.revision())
    [p] = poll(s, where)
    s.patch(path("v1", "ns", leaf), {"parent": other}).must(200)
    assert found(p.answer()) == {}
    moved = leaf.split(".")[0] + "." + other
    [p] = poll(s, search(ns=top, type=SERVICE, since=s.revision()))
    s.patch(path("v1", "ns", moved), {"parent": middle}).must(200)
    assert found(p.answer()) == {leaf: ["a"]}
    [p] = poll(s, search(ns=top, type=SERVICE, since=s.revision()))
    s.delete(path("v1", "ns", middle, recursive="true")).must(204)
    assert found(p.answer()) == {}


@test
def a_namespace_that_comes_back_is_newer(s):
    ns = make_ns(s)
    r = s.revision()
    s.delete(path("v1", "ns", ns)).must(204)
    make_ns(s, name=ns.split(".")[0])
    assert s.get(list_of(ns, since=r)).must(200).json == []


# ---- searches ---------------------------------------------------------------

@test
def a_search_is_answered_when_a_row_enters_or_leaves_its_set(s):
    ns = make_ns(s)
    s.post(list_of(ns), [{"name": "a", "os": "deb 12"}, {"name": "b"}]).must(201)

    def ask(**query):
        return poll(s, search(ns=ns, since=s.revision(), **query))[0]
    p = ask(k="os", v="deb", mode="prefix")
    with nothing_is_looked_at(s):
        s.patch(list_of(ns) + "/b", {"os": "bsd"}).must(200)
    s.patch(list_of(ns) + "/b", {"os": "deb 13"}).must(200)
    assert found(p.answer()) == {ns: ["a", "b"]}
    p = ask(k="os", v="13", mode="contains")
    with nothing_is_looked_at(s):
        s.patch(list_of(ns) + "/a", {"os": "bsd"}).must(200)
    s.patch(list_of(ns) + "/b", {"os": None}).must(200)
    assert found(p.answer()) == {}
    p = ask(k="os", v="bsd")
    s.delete(list_of(ns) + "/a").must(204)
    assert found(p.answer()) == {}
    p = ask(k="port")  # whatever value
    with nothing_is_looked_at(s):
        s.patch(list_of(ns) + "/b", {"os": "x"}).must(200)
    s.patch(list_of(ns) + "/b", {"port": "1"}).must(200)
    assert found(p.answer()) == {ns: ["b"]}
    p = ask(v="^1$", mode="regex")  # any change of a row may concern it
    s.patch(list_of(ns) + "/b", {"port": "2"}).must(200)
    assert found(p.answer()) == {}
    s.get(search(v="(", mode="regex", since=s.revision())).problem(
        400, field="v")
    s.get(search(mode="fuzzy", since=s.revision())).problem(400, field="mode")


@test
def a_search_looks_back_over_what_does_not_concern_it(s):
    ns, other = make_ns(s), make_ns(s)
    s.post(list_of(ns), {"name": "a"}).must(201)
    r = s.revision()
    for i in range(50):
        s.post(list_of(other), {"name": f"x{i}"}).must(201)
    [p] = poll(s, search(ns=ns, since=r))
    last = s.post(list_of(ns), {"name": "b"}).must(201).revision
    a = p.answer()
    assert found(a) == {ns: ["a", "b"]} and a.revision == last
    # Something was there behind r, whatever came since.
    s.post(list_of(other), {"name": "y"}).must(201)
    assert found(s.get(search(ns=ns, since=r))) == {ns: ["a", "b"]}


@test(flags=["--history", "1000"])
def a_search_beyond_the_history_is_answered_at_once(s):
    ns, other = make_ns(s), make_ns(s)
    r = s.revision()
    for i in range(3):
        s.post(list_of(other), [{"name": f"x{i}-{k}"} for k in range(500)]
               ).must(201)
    assert found(s.get(search(ns=ns, since=r))) == {}
    assert parked(s) == 0


@test
def a_long_history_is_looked_at_by_a_worker(s):
    """More than a loop looks at by itself, less than is worth a search."""
    ns, other = make_ns(s), make_ns(s)
    r = s.revision()
    s.post(list_of(other), [{"name": f"x{k}", "v": "x" * 2000}
                            for k in range(900)]).must(201)
    [p] = poll(s, search(ns=ns, since=r))
    s.post(list_of(ns), {"name": "a"}).must(201)
    assert found(p.answer()) == {ns: ["a"]}


# ---- since and wait ---------------------------------------------------------

@shared
def since_and_wait_have_bounds(s):
    ns = make_ns(s)
    r = s.revision()
    for bad in ("-1", "x", "", "1.5", str(2**53), "99999999999999999999"):
        s.get(list_of(ns, since=bad)).problem(400, field="since")
        s.get(search(since=bad)).problem(400, field="since")
    for bad in ("-1s", "x", "", "10", "11m", "601s", "2h"):
        s.get(list_of(ns, since=r, wait=bad)).problem(400, field="wait")
    s.get(list_of(ns, wait="1s")).problem(400, field="wait",
                                          detail=re.compile("since"))
    s.get(search(wait="1s")).problem(400, field="wait")
    for other in ("/v1/ns", "/v1/types", "/v1/agents", list_of(ns) + "/a"):
        s.get(other + "?since=1").problem(400, field="since")
    s.get(list_of(ns, since=r) + "&since=1").problem(400, field="since")
    assert s.get(list_of(ns, since=r, wait="0")).must(200).json == []
    assert s.get(list_of(ns, since=2**53 - 1, wait="0s")).must(200).json == []
    assert s.get(search(ns=ns, since=r, wait="0")).must(200).json == {}


@shared
def after_its_time_a_poll_gets_what_there_is(s):
    ns = make_ns(s)
    row = s.post(list_of(ns), {"name": "a"}).must(201)
    r = row.revision
    began = time.monotonic()
    a = s.get(list_of(ns, since=r, wait="1s")).must(200)
    took = time.monotonic() - began
    assert names(a) == ["a"] and a.etag == f'"{r}"' and took >= 0.9, took
    assert found(s.get(search(ns=ns, since=s.revision(), wait="100ms"))) == {
        ns: ["a"]}
    same = {"If-None-Match": f'"{r}"'}
    s.get(list_of(ns, since=r, wait="100ms"), headers=same).must(304)
    other = {"If-None-Match": '"1"'}
    s.get(list_of(ns, since=r, wait="100ms"), headers=other).must(200)
    # What has waited is not kept for who asks next.
    for _ in range(3):
        [p] = poll(s, list_of(ns, since=r, wait="500ms"))
        assert names(p.answer()) == ["a"]


@test
def a_since_that_nobody_has_given_is_answered_after_a_look(s):
    ns = make_ns(s)
    for target in (list_of(ns, since=10**9), search(ns=ns, since=10**9)):
        assert s.get(target).must(200).body in (b"[]", b"{}")
    # One that comes within two seconds is waited for.
    r = s.revision()
    p = Poll(s, list_of(ns, since=r + 1))
    s.post(list_of(ns), {"name": "a"}).must(201)
    wait_for(s, 1)
    s.post(list_of(ns), {"name": "b"}).must(201)
    assert names(p.answer()) == ["a", "b"]


@test
def other_conditions_of_a_read_hold_for_a_poll(s):
    ns = make_ns(s)
    a = s.post(list_of(ns), {"name": "a"}).must(201)
    least = (("Roster-Min-Revision", str(a.revision)),)
    polls = []
    for target, headers in (
            (list_of(ns, since=a.revision), least),
            (list_of(ns, since=a.revision, consistency="linearizable"), ()),
            (list_of(ns, since=a.revision, max_stale="1h"), ())):
        before = looks(s)
        for n in range(1, 4):  # who joins is looked for anew
            polls += poll(s, target, headers=headers)
            until(lambda n=n, before=before: looks(s) == before + n)
    s.post(list_of(ns), {"name": "b"}).must(201)
    for p in polls:
        assert names(p.answer()) == ["a", "b"]
    s.get(list_of(ns, since=a.revision), headers={
        "Roster-Min-Revision": str(10**9)}).problem(503)
    s.get(list_of(ns, since=a.revision), headers={
        "If-None-Match": "x"}).problem(400)


# ---- many -------------------------------------------------------------------

def many(s, n, *targets):
    """So many waiters of each; when all of them wait."""
    before = parked(s)
    polls = [(t, Poll(s, t)) for t in targets for _ in range(n)]
    until(lambda: parked(s) == before + len(polls), 60)
    return polls


@test(timeout=180, flags=["--io-threads", "1"])
def thousands_who_ask_the_same_are_one_look_and_one_rendering(s):
    ns = make_ns(s)
    s.post(list_of(ns), [{"name": f"s{i}"} for i in range(100)]).must(201)
    r = s.revision()
    targets = (list_of(ns, since=r), list_of(ns, since=r, fields="name"),
               search(ns=ns, k="name", v="s1", mode="prefix", since=r))
    before = looks(s), renderings(s)
    polls = many(s, 2000, targets[0]) + many(s, 200, *targets[1:])
    assert looks(s) == before[0] + 3
    before = looks(s), renderings(s)
    last = s.post(list_of(ns), {"name": "s1000"}).must(201).revision
    answers = [(t, p.answer().must(200)) for t, p in polls]
    assert (looks(s), renderings(s)) == (before[0] + 3, before[1] + 3)
    for target in targets:
        bodies = {a.body for t, a in answers if t == target}
        now = s.get(target.replace(f"since={r}", "since=0")).must(200)
        assert bodies == {now.body}
        heads = {(a.revision, a.etag, a.headers["content-type"],
                  a.headers["roster-node"], a.headers.get("vary"))
                 for t, a in answers if t == target}
        assert heads == {(last, now.etag, "application/json", "n1",
                          now.headers.get("vary"))}, heads
    # Each connection goes on.
    for _, p in polls[::100]:
        p.wire.send(request_bytes("GET", list_of(ns)))
        assert len(p.wire.answer().must(200).json) == 101
    assert parked(s) == 0


@test(timeout=180)
def more_searches_than_workers_take_are_all_answered(s):
    """And leave the workers some time for others."""
    ns = make_ns(s)
    s.post(list_of(ns), {"name": "a"}).must(201)
    r = s.revision()
    polls = poll(s, *[search(ns=ns, type=SERVICE, limit=i + 1, since=r)
                      for i in range(300)])
    s.post(list_of(ns), {"name": "b"}).must(201)
    for _ in range(20):
        s.get(search(ns=ns)).must(200)
    for i, p in enumerate(polls):
        assert found(p.answer()) == {ns: ["a", "b"][:i + 1]}
    # Some are gone when it is their turn.
    polls = poll(s, *[search(ns=ns, v="b$", mode="regex", limit=i + 1,
                             since=s.revision()) for i in range(300)])
    for p in polls[::2]:
        p.close()
    s.post(list_of(ns), {"name": "b2"}).must(201)
    for p in polls[1::2]:
        assert found(p.answer()) == {ns: ["b"]}
    wait_for(s, 0)


@test(timeout=180, flags=["--io-threads", "8"])
def polls_of_all_loops_leave_room_for_other_searches(s):
    ns = make_ns(s)
    for k in range(4):
        s.post(list_of(ns), [{"name": f"r{k}-{i}", "x": "y" * 300}
                             for i in range(1000)]).must(201)
    r = s.revision()
    polls = poll(s, *[search(ns=ns, v=f"no{i}$", mode="regex", since=r)
                      for i in range(400)])
    s.post(list_of(ns), {"name": "news"}).must(201)

    def ask(_):
        api = s.client()
        for _ in range(20):
            api.get(search(ns=ns, limit=1)).must(200)
    in_threads(4, ask)
    for p in polls:
        p.close()
    wait_for(s, 0)


@test(alone=True)
def an_idle_poll_costs_little(s):
    if not memory_counts():
        raise Skip("a sanitizer's memory is not ours")
    ns = make_ns(s)
    target = list_of(ns, since=s.revision(), wait="10m")
    polls = poll(s, *[target] * 100)
    before = s.rss_anon_kib()
    polls += poll(s, *[target] * 2000)
    each = (s.rss_anon_kib() - before) / 2000
    say(f"an idle poll: {each:.1f} KiB")
    # Over TLS its session comes with it.
    assert each < (20 if TLS else 2), f"{each} KiB"


@test(timeout=120)
def different_forms_of_one_poll_get_their_own(s):
    ns = make_ns(s)
    rows = [{"name": f"s{i}", "text": "x" * 50} for i in range(100)]
    s.post(list_of(ns), rows).must(201)
    r = s.revision()
    target = list_of(ns, since=r)
    plain = poll(s, target, target)
    packed = poll(s, target, target, headers=(("Accept-Encoding", "gzip"),))
    heads = poll(s, target, target, method="HEAD")
    same = poll(s, target, headers=(("If-None-Match", f'"{r + 1}"'),))
    last = s.post(list_of(ns), {"name": "z"}).must(201).revision
    assert last == r + 1
    for p in plain:
        a = p.answer().must(200)
        assert len(a.json) == 101 and "content-encoding" not in a.headers
        assert a.etag == f'"{last}"'
    for p in packed:
        a = p.answer().must(200)
        assert a.headers["content-encoding"] == "gzip"
        assert len(json.loads(gzip.decompress(a.body))) == 101
        assert a.etag == f'"{last}-gz"'
    for p in heads:
        a = p.answer().must(200)
        assert a.body == b"" and int(a.headers["content-length"]) > 5000
        p.wire.send(request_bytes("GET", list_of(ns) + "/z"))
        assert p.wire.answer().must(200).json["name"] == "z"
    assert same[0].answer().status == 304


@test
def who_hangs_up_is_forgotten(s):
    ns = make_ns(s)
    r = s.revision()
    files = s.n_fds()
    polls = poll(s, *[list_of(ns, since=r)] * 50,
                 *[search(ns=ns, since=r)] * 50,
                 *[list_of(ns, since=r, limit=i + 1) for i in range(50)])
    keeps = poll(s, list_of(ns, since=r))
    for p in polls[::2]:
        p.close()
    for p in polls[1::2]:
        p.wire.reset()
    wait_for(s, 1)
    until(lambda: s.n_fds() <= files + 3)
    s.post(list_of(ns), {"name": "a"}).must(201)
    assert names(keeps[0].answer()) == ["a"]
    assert parked(s) == 0


@test
def a_pipelined_request_waits_behind_the_poll(s):
    ns = make_ns(s)
    target = list_of(ns, since=s.revision())
    with s.wire() as w:
        w.send(request_bytes("GET", target) * 2 + request_bytes("GET", "/livez"))
        wait_for(s, 1)
        s.post(list_of(ns), {"name": "a"}).must(201)
        assert [names(w.answer()), names(w.answer())] == [["a"]] * 2
        assert w.answer().status == 200


def raw_answer(wire, n_body):
    """Bytes of the next answer."""
    while b"\r\n\r\n" not in wire.buffer:
        assert wire._more()
    n = wire.buffer.index(b"\r\n\r\n") + 4 + n_body
    while len(wire.buffer) < n:
        assert wire._more()
    answer, wire.buffer = wire.buffer[:n], wire.buffer[n:]
    return re.sub(rb"\r\n(Date|Roster-Stale-Ms): [^\r]*", b"", answer)


@test
def polls_follow_each_other_on_one_connection(s):
    """100 of them, with other requests between."""
    ns = make_ns(s)
    r, accepted = s.revision(), metric(s, "roster_http_connections_accepted_total")
    with s.wire() as w:
        for i in range(100):
            w.send(request_bytes("GET", list_of(ns, since=r)))
            wait_for(s, 1)
            if i % 3 == 0:  # reaches the kernel while it waits
                w.send(request_bytes("GET", "/livez"))
            r = s.post(list_of(ns), {"name": f"a{i}"}).must(201).revision
            assert len(names(w.answer())) == i + 1
            if i % 3 == 0:
                assert w.answer().status == 200
            if i % 7 == 0:
                w.send(request_bytes("POST", list_of(ns), b'{"name":"%d"}' % i))
                r = w.answer().must(201).revision
                s.delete(list_of(ns) + f"/{i}").must(204)
                r = s.revision()
    # Each look at the metrics is a connection; that of the polls is one.
    assert metric(s, "roster_http_connections_accepted_total") - accepted < 600
    assert parked(s) == 0


@test
def the_answer_is_the_same_as_that_of_a_read(s):
    ns = make_ns(s)
    s.post(list_of(ns), {"name": "a", "text": "x" * 2000}).must(201)
    forms = [("GET", 1, ()), ("HEAD", 1, ()), ("GET", 0, ()),
             ("GET", 0, [("Connection", "Keep-Alive")]),
             ("GET", 1, [("Connection", "close")]), ("GET", 1, [("Connection", "foo, Close")]),
             ("HEAD", 0, ()), ("GET", 1, [("Accept-Encoding", "gzip")]),
             ("GET", 1, [("If-None-Match", "*")])]

    def ask(method, minor, headers, target):
        return request_bytes(method, target, headers=headers).replace(
            b"HTTP/1.1", b"HTTP/1.%d" % minor, 1)

    def whole(wire, method):
        """All of it, but for the id that only an error of a request of its own
        has: the bytes, and whether the connection goes on."""
        while b"\r\n\r\n" not in wire.buffer:
            assert wire._more()
        head = wire.buffer.split(b"\r\n\r\n")[0]
        n = int(re.search(rb"Content-Length: (\d+)", head)[1])
        a = raw_answer(wire, 0 if method == "HEAD" or b" 304 " in head else n)
        a = re.sub(rb"Roster-Request: \w+\r\n", b"", a)
        wire.send(request_bytes("GET", "/livez"))
        next_one = wire.answer()
        return a, next_one is not None and next_one.status

    r = s.revision()
    wires = []
    for form in forms:
        wires.append(s.wire())
        wires[-1].send(ask(*form, list_of(ns, since=r)))
    wait_for(s, len(forms))
    s.post(list_of(ns), {"name": "b"}).must(201)
    for w, form in zip(wires, forms):
        with s.wire() as other:
            other.send(ask(*form, list_of(ns, since=0)))
            assert whole(w, form[0]) == whole(other, form[0]), form
        w.close()
    # And so are errors.
    gone = make_ns(s)
    with s.wire() as w, s.wire() as other:
        w.send(request_bytes("GET", list_of(gone, since=s.revision())))
        wait_for(s, 1)
        s.delete(path("v1", "ns", gone)).must(204)
        other.send(request_bytes("GET", list_of(gone, since=0)))
        a = whole(w, "GET")
        assert a == whole(other, "GET") and a[0].startswith(b"HTTP/1.1 404")


@test
def a_body_in_chunks_before_a_poll_does_no_harm(s):
    ns = make_ns(s)
    with s.wire() as w:
        w.send(b"POST %s HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
               b"\r\n5;x=y\r\n{\"nam\r\n7\r\ne\":\"a\"}\r\n0\r\n\r\n"
               % list_of(ns).encode())
        r = w.answer().must(201).revision
        w.send(request_bytes("GET", list_of(ns, since=r)))
        wait_for(s, 1)
        s.post(list_of(ns), {"name": "b"}).must(201)
        assert names(w.answer()) == ["a", "b"]
        w.send(request_bytes("GET", "/livez"))
        assert w.answer().status == 200


@test
def a_request_that_came_in_part_with_a_poll_is_not_lost(s):
    ns = make_ns(s)
    later = request_bytes("POST", list_of(ns), b'{"name":"z"}')
    for cut in (1, 20, len(later) - 1):
        target = list_of(ns, since=s.revision())
        with s.wire() as w:
            w.send(request_bytes("GET", target) + later[:cut])
            wait_for(s, 1)
            w.send(later[cut:cut + 5])
            s.post(list_of(ns), {"name": f"a{cut}"}).must(201)
            w.answer().must(200)
            w.send(later[cut + 5:])
            w.answer().must(201)
            s.delete(list_of(ns) + "/z").must(204)


@test(timeout=240)
def a_large_answer_waits_for_its_reader(s):
    ns = make_ns(s)
    for i in range(0, 1000, 50):
        s.post(list_of(ns), [{"name": f"s{i + j}", "text": "x" * 9000}
                             for j in range(50)]).must(201)
    r = s.revision()
    [idle] = poll(s, list_of(ns, since=r, limit=1))
    polls = []
    for _ in range(3):
        p = Poll.__new__(Poll)
        p.method, p.wire = "GET", s.wire()
        p.wire.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
        p.wire.send(request_bytes("GET", list_of(ns, since=r)))
        polls.append(p)
    wait_for(s, 4)
    files = s.n_fds()
    s.post(list_of(ns), {"name": "last"}).must(201)
    wait_for(s, 0)
    assert s.get("/livez").status == 200
    assert len(names(idle.answer())) == 1
    slow, silent, gone = polls
    gone.wire.reset()
    slow.wire.send(request_bytes("GET", "/livez"))
    for _ in range(8):
        time.sleep(0.5)
        assert slow.wire._more()
    assert len(names(slow.answer())) == 1001
    assert slow.wire.answer().status == 200
    slow.close()
    # Who reads nothing is cut, and so is who asks for nothing.
    until(lambda: metric(s, "roster_http_timeouts_total") >= 2, 150)
    until(lambda: s.n_fds() <= files - 4)
    assert silent.wire.answer() is None and idle.wire.answer() is None


@test
def who_hangs_up_when_it_is_woken_harms_nobody(s):
    ns = make_ns(s)
    files = s.n_fds()
    for round_ in range(5):
        polls = poll(s, *[list_of(ns, since=s.revision())] * 60)
        sender = threading.Thread(target=lambda: s.post(
            list_of(ns), {"name": f"a{round_}"}).must(201))
        sender.start()
        for p in polls[::3]:
            p.close()
        for p in polls[1::3]:
            p.wire.reset()
        for p in polls[2::3]:
            assert len(names(p.answer())) == round_ + 1
            p.close()
        sender.join()
        wait_for(s, 0)
    until(lambda: s.n_fds() <= files + 3)
    assert s.get("/livez").status == 200


@test(alone=True, timeout=180, flags=["--io-threads", "1"])
def polls_that_follow_each_other_cost_little(s):
    ns = make_ns(s)
    s.post(list_of(ns), [{"name": f"s{i}"} for i in range(100)]).must(201)
    n, before = 2000, s.rss_anon_kib()
    target = list_of(ns, since=s.revision(), wait="10m")
    polls = many(s, n, target)
    for i in range(3):
        last = s.post(list_of(ns), {"name": f"t{i}"}).must(201).revision
        for _, p in polls:
            assert p.answer().revision == last
        target = list_of(ns, since=last, wait="10m")
        for _, p in polls:
            p.wire.send(request_bytes("GET", target))
        until(lambda: parked(s) == n, 60)
    each = (s.rss_anon_kib() - before) / n
    say(f"a poll behind others: {each:.1f} KiB")
    assert not memory_counts() or each <= (20 if TLS else 5), f"{each} KiB"
    assert metric(s, "roster_http_connections") >= n


@test(flags=["--max-watchers", "3"])
def there_are_only_so_many(s):
    ns = make_ns(s)
    target = list_of(ns, since=s.revision())
    polls = poll(s, target, target, target)
    refused = s.get(target)
    refused.problem(503)
    assert refused.headers["retry-after"]
    polls.pop().close()
    wait_for(s, 2)
    polls += poll(s, target)
    s.post(list_of(ns), {"name": "a"}).must(201)
    for p in polls:
        assert names(p.answer()) == ["a"]
    poll(s, list_of(ns, since=s.revision()))


@test(timeout=120, flags=["--io-threads", "2"])
def nothing_is_missed_under_writes(s):
    """Followers of a counter see it rise, and its end, with nothing between
    their polls lost; each on its own connection, on either loop."""
    ns = make_ns(s)
    s.post(list_of(ns), {"name": "n", "at": "0"}).must(201)
    top, faults = 300, []

    def follow(i):
        c = s.client()
        target = search if i % 2 else list_of
        where = {"ns": ns, "type": SERVICE} if i % 2 else {"ns": ns}
        since, at = 0, -1
        try:
            while at < top:
                a = c.get(target(since=since, wait="30s", **where)).must(200)
                row = (a.json[ns] if i % 2 else a.json)[0]
                assert int(row["at"]) > at, f"{row} after {at}"
                at, since = int(row["at"]), a.revision
            assert not c.faults, c.faults
        except BaseException as e:  # pylint: disable=broad-except
            faults.append(f"{i}: {e!r}")
    threads = [threading.Thread(target=follow, args=(i,), daemon=True)
               for i in range(16)]
    for t in threads:
        t.start()
    for i in range(1, top + 1):
        s.patch(list_of(ns) + "/n", {"at": str(i)}).must(200)
        if i % 7 == 0:
            s.post(path("v1", "ns", ns, "thing"), {"name": f"x{i}"}).must(201)
    for t in threads:
        t.join(60)
        assert not t.is_alive(), "somebody still waits"
    assert not faults, faults


# ---- ends -------------------------------------------------------------------

@shared
def the_head_of_a_poll_outlives_its_connection(s):
    """The library's memory of it goes while its operation waits for a fence."""
    things = path("v1", "ns", make_ns(s), SERVICE)
    a = s.post(things, {"name": "n1"}).must(201)
    for tags in ('"77"' * 100, ", ".join(f'"7{i}"' for i in range(100))):
        with s.wire() as w:
            w.send(request_bytes(
                "GET", f"{things}?since={a.revision}&wait=200ms&consistency=linearizable",
                headers=[("If-None-Match", tags)]))
            got = w.answer()
            assert got.status == (200 if ", " in tags else 400), got
    s.get("/livez").must(200)


@bare
def at_the_end_everybody_is_answered():
    with Server("--drain", "1s") as s:
        ns = make_ns(s)
        s.post(list_of(ns), {"name": "a"}).must(201)
        r = s.revision()
        polls = poll(s, *[list_of(ns, since=r)] * 20,
                     *[search(ns=ns, since=r)] * 20)
        s.signal(signal.SIGTERM)
        for p in polls:
            a = p.answer().must(200)
            assert b'"name":"a"' in a.body, a
            assert a.headers["connection"] == "close"
            assert p.wire.closed_within(10)
        assert s.ended_within(20) and s.process.returncode == 0


@bare
def in_the_drain_window_changes_are_told():
    with Server("--drain", "3s") as s:
        ns = make_ns(s)
        c = s.client()
        [p] = poll(s, list_of(ns, since=s.revision()))
        s.signal(signal.SIGTERM)
        until(lambda: c.get("/readyz").status == 503)
        s.client().post(list_of(ns), {"name": "a"}).must(201)
        a = p.answer()
        assert names(a) == ["a"] and a.headers["connection"] == "close"
        assert s.ended_within(20) and s.process.returncode == 0


@bare
def the_end_waits_for_no_poll_that_waits_for_its_since():
    with Server() as s:
        ns = make_ns(s)
        polls = [Poll(s, list_of(ns, since=10**9)),
                 Poll(s, search(ns=ns, since=10**9))]
        wait_for(s, 2)
        s.signal(signal.SIGTERM)
        for p in polls:
            assert p.answer().must(200).body in (b"[]", b"{}")
        assert s.ended_within(20) and s.process.returncode == 0


@test
def a_restore_wakes_everybody(s):
    ns = make_ns(s)
    s.post(list_of(ns), {"name": "a"}).must(201)
    backup = s.get("/v1/admin/backup").must(200).body
    s.post(list_of(ns), {"name": "b"}).must(201)
    r = s.revision()
    polls = poll(s, list_of(ns, since=r), list_of(ns, since=r, fields="name"),
                 search(ns=ns, k="name", v="none", since=r))
    s.post("/v1/admin/restore", raw=backup, headers={
        "Content-Type": "application/octet-stream"}).must(200)
    a, fields, none = [p.answer() for p in polls]
    assert names(a) == ["a"] and [x["name"] for x in fields.json] == ["a"]
    assert found(none) == {}
    assert min(x.revision for x in (a, fields, none)) >= 2**32


@bare(timeout=120)
def a_poll_outlives_the_leader_and_any_node_takes_one():
    with Cluster(3) as c:
        leader = c.leader()
        other = next(n for n in c.names if n != leader)
        third = next(n for n in c.names if n not in (leader, other))
        s, at = c.node(other), c.node(third)
        ns = s.post("/v1/ns", {"parent": "roster", "name": "a", "kind": "leaf"}
                    ).must(201).json["ns"]
        r = s.post(list_of(ns), {"name": "a"}).must(201).revision
        polls = poll(s, list_of(ns, since=r), search(ns=ns, since=r))
        at.client().patch(list_of(ns) + "/a", {"v": "1"}).must(200)
        assert [p.answer().status for p in polls] == [200, 200]
        r = s.client().get(list_of(ns)).revision
        polls = poll(s, list_of(ns, since=r), search(ns=ns, since=r))
        c.kill(leader)
        last = at.client().post(list_of(ns), {"name": "b"}).must(201).revision
        a, b = [p.answer() for p in polls]
        assert names(a) == ["a", "b"] and found(b) == {ns: ["a", "b"]}
        assert a.revision >= last and a.headers["roster-node"] == other
        # A revision that this node may not have seen yet is no excuse.
        for i in range(20):
            r = at.client().post(list_of(ns), {"name": f"c{i}"}).must(201
                                                                     ).revision
            got = s.client().get(list_of(ns, since=r - 1)).must(200)
            assert f"c{i}" in names(got)


@bare(timeout=120)
def a_node_that_is_cut_off_does_not_know_what_is_newer():
    with Cluster(3, faults=True) as c:
        leader = c.leader()
        other = next(n for n in c.names if n != leader)
        s = c.node(other)
        ns = s.post("/v1/ns", {"parent": "roster", "name": "a", "kind": "leaf"}
                    ).must(201).json["ns"]
        c.net.split([other], [n for n in c.names if n != other])
        r = c.node(leader).client().post(list_of(ns), {"name": "a"}
                                         ).must(201).revision
        s.client().get(list_of(ns, since=r)).problem(503)
        s.client().get(search(ns=ns, since=r)).problem(503)
        c.net.heal()
        until(lambda: s.client().get(list_of(ns, since=r - 1, wait="100ms"))
              .must(200).json)
