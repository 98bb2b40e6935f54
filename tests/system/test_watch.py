"""GET /v1/watch: streams of changes."""
import contextlib
import re
import resource
import signal
import socket
import threading
import time

from cluster import Cluster
from harness import (PATIENCE, Server, bare, connect, in_threads, make_ns,
                     memory_counts, path, request_bytes, say, shared, test,
                     until)
from watching import Ended, Watch, names


def rows_of(ns, type_="thing"):
    return path("v1", "ns", ns, type_)


def put(s, ns, name, type_="thing", **fields):
    return s.put(path("v1", "ns", ns, type_, name), {"name": name, **fields}
                 ).must(200, 201)


# ---- what is told -------------------------------------------------------------

@shared
def a_change_is_told_with_all_that_is_known_of_it(s):
    ns = make_ns(s)
    with Watch(s, ns=ns) as w:
        w.caught_up()
        made = put(s, ns, "a", x="1")
        e = w.change()
        assert e == {"revision": made.json["_rev"], "op": "put", "ns": ns,
                     "ns_id": s.get(f"/v1/ns/{ns}").json["id"], "cause": "api",
                     "type": "thing", "id": made.json["_id"],
                     "resource": made.json, "_id": made.revision}, e
        changed = put(s, ns, "a", x="2", y="3")
        e = w.change()
        assert e["was"] == {"x": "1", "y": None}, e
        assert e["resource"] == changed.json
        s.delete(rows_of(ns) + "/a").must(204)
        e = w.change()
        assert e["op"] == "delete" and e["resource"] == changed.json, e
        assert w.silent()


@shared
def a_watch_tells_its_subtree_and_nothing_else(s):
    shop = make_ns(s, "branch")
    web, other = make_ns(s, parent=shop), make_ns(s)
    with Watch(s, ns=shop) as w, Watch(s, ns=web) as leaf, Watch(s) as root:
        for x in (w, leaf, root):
            x.caught_up()
        put(s, other, "no")
        put(s, web, "yes")
        assert names([w.change()]) == ["yes"]
        assert names([leaf.change()]) == ["yes"]
        assert names(root.changes(2)) == ["no", "yes"]
        new = make_ns(s, parent=shop, name="new")
        e = w.change()
        assert (e["op"], e["ns"], e["kind"]) == ("ns-put", new, "leaf"), e
        assert leaf.silent()


@shared
def filters_are_by_type_and_field_and_tell_who_leaves(s):
    ns = make_ns(s)
    with Watch(s, ns=ns, type="a") as by_type, \
            Watch(s, ns=ns, k="x", v="1") as exact, \
            Watch(s, ns=ns, v="needle", mode="contains") as any_field, \
            Watch(s, ns=ns, k="x", v="ab", mode="prefix") as prefix, \
            Watch(s, ns=ns, k="z") as has:
        everybody = (by_type, exact, any_field, prefix, has)
        for w in everybody:
            w.caught_up()
        put(s, ns, "one", "a", x="1")
        put(s, ns, "two", "b", x="abc")
        put(s, ns, "three", "b", y="a needle in it", z="")
        put(s, ns, "one", "a", x="2")
        s.delete(path("v1", "ns", ns, "b", "two")).must(204)
        assert names(by_type.changes(2)) == ["one", "one"]
        came, left = exact.changes(2)
        assert came["resource"]["x"] == "1" and left["resource"]["x"] == "2"
        assert left["was"] == {"x": "1"}
        assert names(any_field.changes(1)) == ["three"]
        assert [e["op"] for e in prefix.changes(2)] == ["put", "delete"]
        assert names(has.changes(1)) == ["three"]
        for w in everybody:
            assert w.silent(0.1)


@shared
def what_moves_above_a_watch_is_told_to_it(s):
    shop = make_ns(s, "branch")
    web = make_ns(s, parent=shop, name="web")
    with Watch(s, ns=web, type="thing") as w:
        w.caught_up()
        s.patch(f"/v1/ns/{shop}", {"name": "shop-2"}).must(200)
        e = w.change()
        assert (e["op"], e["old"], e["ns"]) == (
            "ns-put", shop, "shop-2.roster"), e
        put(s, "web.shop-2.roster", "elsewhere")
        assert w.silent()
    s.delete("/v1/ns/shop-2.roster?recursive=true").must(204)


@shared
def lines_are_the_same_events(s):
    ns = make_ns(s)
    with Watch(s, ns=ns) as sse, Watch(s, ns=ns, lines=True) as lines, \
            Watch(s, ns=ns, lines=True, http="1.0") as old, \
            Watch(s, ns=ns, http="1.0") as old_sse:
        for w in (sse, lines, old, old_sse):
            w.caught_up()
        put(s, ns, "ä\n\"x")
        first = sse.change()
        del first["_id"]
        assert lines.change() == old.change() == first
        again = old_sse.change()
        del again["_id"]
        assert again == first


@shared
def a_transaction_is_told_whole_and_in_order(s):
    ns = make_ns(s)
    with Watch(s, ns=ns) as w:
        w.caught_up()
        a = s.post(rows_of(ns), [{"name": f"r{i}"} for i in range(700)]).must(201)
        found = w.up_to(a.revision)
        assert names(found) == [f"r{i}" for i in range(700)]
        revisions = [e["revision"] for e in found]
        assert revisions == list(range(a.revision - 699, a.revision + 1))


# ---- going on -----------------------------------------------------------------

@shared
def a_stream_goes_on_behind_what_is_known(s):
    ns = make_ns(s)
    put(s, ns, "a")
    since = put(s, ns, "b").revision
    put(s, ns, "c")
    put(s, ns, "d")
    with Watch(s, ns=ns, since=since) as w:
        before, at = w.caught_up()
        assert names(before) == ["c", "d"] and at >= since + 2
    with Watch(s, ns=ns, since=1, headers={"Last-Event-ID": since + 1}) as w:
        assert names(w.caught_up()[0]) == ["d"], "Last-Event-ID goes before"
    with Watch(s, ns=ns, initial="true",
               headers={"Last-Event-ID": since + 1}) as w:
        assert names(w.caught_up()[0]) == ["d"], "and before initial"


@shared
def a_stream_goes_on_in_the_middle_of_a_range(s):
    ns = make_ns(s)
    last = s.post(rows_of(ns), [{"name": f"r{i}"} for i in range(100)]
                  ).must(201).revision
    with Watch(s, ns=ns, since=last - 40) as w:
        before, at = w.caught_up()
        assert names(before) == [f"r{i}" for i in range(60, 100)] and at >= last


@shared(timeout=120)
def progress_says_how_far_a_silent_stream_is(s):
    ns, other = make_ns(s), make_ns(s)
    with Watch(s, ns=ns) as w:
        _, first = w.caught_up()
        last = put(s, other, "a").revision
        end = time.monotonic() + 20 * PATIENCE
        while first < last:
            assert time.monotonic() < end, "no progress within 20 s"
            _, first = w.caught_up()
        assert w.last_id >= last
        began = time.monotonic()
        w.caught_up()
        assert time.monotonic() - began < 15 * PATIENCE


@shared
def a_revision_of_the_future_is_waited_for_and_reset(s):
    ns = make_ns(s)
    now = s.revision()

    def resets():
        return int(re.search(rb"\nroster_watch_resets_total (\d+)",
                             s.get("/metrics").body)[1])
    before = resets()
    with Watch(s, ns=ns, since=now + 1000) as w:
        e = w.change()
        assert e["op"] == "reset" and e["revision"] >= now, e
        assert resets() == before + 1
        put(s, ns, "a")
        assert names([w.change()]) == ["a"]
    got = []

    def wait():
        with Watch(s, ns=ns, since=now + 3) as w:
            got.append(w.change())
    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    time.sleep(0.3)
    for name in "bcde":
        put(s, ns, name)
    thread.join(20 * PATIENCE)
    assert got and got[0]["op"] == "put" and got[0]["revision"] == now + 4, got


@test(flags=("--history", "1000"))
def a_revision_that_is_forgotten_is_reset(s):
    ns = make_ns(s)
    since = put(s, ns, "a").revision
    for _ in range(3):
        s.post(rows_of(ns), [{"n": str(i)} for i in range(500)]).must(201)
    with Watch(s, ns=ns, since=since) as w:
        e = w.change()
        assert e["op"] == "reset" and e["revision"] == s.revision(), e
        last = put(s, ns, "b")
        e = w.change()
        assert e["_id"] == last.revision and names([e]) == ["b"]
    with Watch(s, ns=ns, since=last.revision - 900) as w:
        assert len(w.up_to(last.revision)) == 900


@test
def a_restore_is_told_as_a_reset(s):
    ns = make_ns(s)
    put(s, ns, "a")
    file = s.get("/v1/admin/backup").must(200).body
    put(s, ns, "b")
    with Watch(s, ns=ns) as w, Watch(s, lines=True) as root:
        w.caught_up()
        root.caught_up()
        since = s.revision()
        restored = s.post("/v1/admin/restore", raw=file, headers={
            "Content-Type": "application/octet-stream"}).must(200).revision
        for x in (w, root):
            e = x.change()
            assert e["op"] == "reset" and e["revision"] >= restored, e
        put(s, ns, "c")
        assert names([w.change()]) == ["c"]
        assert names([root.change()]) == ["c"]
    with Watch(s, ns=ns, since=since) as w:
        assert w.change()["op"] == "reset"


@test
def streams_survive_a_restart_of_the_server(s):
    ns = make_ns(s)
    since = put(s, ns, "a").revision
    put(s, ns, "b")
    s.kill()
    s.start()
    with Watch(s, ns=ns, since=since) as w:
        assert names(w.caught_up()[0]) == ["b"]


# ---- what is there ------------------------------------------------------------

@shared
def what_is_there_comes_first_and_once(s):
    shop = make_ns(s, "branch")
    spaces = [make_ns(s, parent=shop) for _ in range(40)]
    want = {}
    for ns in spaces:
        for kind in ("a", "b"):
            for row in s.post(rows_of(ns, kind), [
                    {"name": f"r{i}", "x": "v" * 100} for i in range(20)]
                              ).must(201).json:
                want[row["_id"]] = (ns, kind, row)
    for query, keep in (({}, lambda t: True), ({"type": "b"}, lambda t: t[1] == "b"),
                        ({"k": "name", "v": "r7"}, lambda t: t[2]["name"] == "r7")):
        with Watch(s, ns=shop, initial="true", **query) as w:
            before, at = w.caught_up()
            got = {e["id"]: (e["ns"], e["type"], e["resource"]) for e in before}
            assert got == {i: t for i, t in want.items() if keep(t)}
            assert len(got) == len(before)
            assert all(e["cause"] == "initial" and "_id" not in e and
                       e["revision"] == e["resource"]["_rev"] for e in before)
            assert w.last_id == at
    with Watch(s, ns=spaces[0], initial="true") as w:
        assert len(w.caught_up()[0]) == 40


def follow(state, events):
    """A client's picture of the rows: nothing may come twice, or be missing
    when it goes."""
    for e in events:
        key = e["id"]
        if e["op"] == "delete":
            assert key in state, f"gone, and was never there: {e}"
            del state[key]
        else:
            assert e["op"] == "put", e
            old = state.get(key)
            assert old is None or old["_rev"] < e["resource"]["_rev"], \
                f"told twice: {e}"
            assert e.get("cause") != "initial" or old is None, e
            state[key] = e["resource"]


@bare(timeout=180)
def nothing_is_missing_or_doubled_while_everything_changes():
    with Server() as s:
        shop = make_ns(s, "branch")
        spaces = [make_ns(s, parent=shop) for _ in range(30)]
        for ns in spaces:
            s.post(rows_of(ns), [{"name": f"r{i}", "x": "0" * 300}
                                 for i in range(60)]).must(201)
        over = threading.Event()

        def write(i):
            api, n = s.client(), 0
            while not over.is_set():
                n += 1
                ns, name = spaces[(n * 7 + i) % 30], f"r{n * 13 % 90}"
                target = path("v1", "ns", ns, "thing", name)
                if n % 5 == 0:
                    api.delete(target).must(204, 404)
                else:
                    api.put(target, {"x": str(n) * 60}).must(200, 201)
        writers = [threading.Thread(target=write, args=(i,), daemon=True)
                   for i in range(2)]
        for t in writers:
            t.start()
        watches = []
        try:
            for round_ in range(6):
                w = Watch(s, ns=shop, initial="true", timeout=60)
                w.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
                watches.append(w)
                time.sleep(0.15 * round_)  # this long it is not read
            states = []
            for w in watches:
                states.append({})
                follow(states[-1], w.caught_up()[0])
        finally:
            over.set()
        for t in writers:
            t.join(60)
        last = s.revision()
        there = {row["_id"]: row for ns in spaces for row in s.rows(rows_of(ns))}
        for w, state in zip(watches, states):
            follow(state, w.up_to(last))
            assert state == there, (len(state), len(there))
            w.close()


# ---- what is refused ------------------------------------------------------------

@shared
def what_is_wrong_is_said(s):
    def refused(status, field, headers=None, **query):
        with Watch(s, headers=headers, **query) as w:
            assert w.problem(status).get("field") == field, (query, w.head)
    refused(404, "ns", ns="nowhere.roster")
    refused(400, "ns", ns="No Path")
    refused(400, "type", type="No Type")
    refused(400, "mode", k="a", v="b", mode="regex")
    refused(400, "k", k="_id", v="b")
    refused(400, "k", k="_maintenance")
    refused(400, "mode", k="a", v="b", mode="nonsense")
    refused(400, "since", since="-1")
    refused(400, "since", since=2**53)
    refused(400, "initial", since=1, initial="true")
    refused(400, "initial", initial="maybe")
    refused(400, "Last-Event-ID", {"Last-Event-ID": "x"})
    refused(400, "limit", limit=3)
    with Watch(s, ns="nowhere.roster", since=1) as w:
        w.caught_up()
    a = s.head("/v1/watch")
    a.must(200)
    assert a.headers["content-type"] == "text/event-stream" and not a.body
    s.post("/v1/watch", {}).must(405)


@test(flags=("--max-watchers", "5"))
def more_than_there_may_be_are_refused_and_room_comes_back(s):
    watches = [Watch(s) for _ in range(5)]
    with Watch(s) as w:
        w.problem(503)
        assert w.headers["retry-after"] == "1"
    assert metric(s, "roster_watch_streams") == 5
    s.get("/v1/ns").must(200)
    watches.pop().close()

    def fits():
        with Watch(s) as w:
            return w.status == 200
    until(fits)
    for w in watches:
        w.close()
    until(lambda: metric(s, "roster_watch_streams") == 0)


def metric(s, name):
    for line in s.get("/metrics").must(200).body.decode().splitlines():
        if line.startswith(name + " "):
            return int(line.split()[1])
    raise AssertionError(f"no metric {name}")


# ---- many, and slow ones ----------------------------------------------------------

def reach(n):
    """So many connections of this process; fewer when the system says so."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    return min(n, most - 200)


def raw_watch(s, target):
    sock = connect(s.port, 20)
    sock.sendall(request_bytes("GET", target))
    return sock


@test(timeout=180, alone=True)
def two_thousand_are_told_and_all_memory_comes_back(s):
    n = reach(2000)
    spaces = [make_ns(s) for _ in range(4)]
    socks = [raw_watch(s, path("v1", "watch", ns=spaces[i % 4]))
             for i in range(n)]
    until(lambda: metric(s, "roster_watch_streams") == n and
          metric(s, "roster_watch_behind") == 0, seconds=60)
    fds = s.n_fds()
    for round_ in range(3):
        for ns in spaces:
            put(s, ns, f"told-{round_}")
    seen = [b""] * n
    end = time.monotonic() + 60 * PATIENCE
    for i, sock in enumerate(socks):
        while seen[i].count(b'"op":"put"') < 3:
            assert time.monotonic() < end, f"stream {i}: {seen[i]!r}"
            more = sock.recv(1 << 16)
            assert more, f"stream {i} ended: {seen[i]!r}"
            seen[i] += more
    for i, text in enumerate(seen):
        at = [text.find(b"told-%d" % k) for k in range(3)]
        assert -1 not in at and at == sorted(at), (i, text)
        assert text.count(b"told-") == 3, "each once"
    for sock in socks[::2]:
        sock.close()
    until(lambda: metric(s, "roster_watch_streams") == n - len(socks[::2]))
    for sock in socks[1::2]:
        sock.shutdown(socket.SHUT_WR)
    until(lambda: metric(s, "roster_watch_streams") == 0)
    until(lambda: s.n_fds() <= fds - n + 20)


@test(timeout=240, alone=True)
def an_idle_stream_costs_little(s):
    n = reach(4000)
    s.get("/v1/ns")
    socks = [raw_watch(s, "/v1/watch") for i in range(n)]
    until(lambda: metric(s, "roster_watch_streams") == n, seconds=60)
    with_all = s.rss_anon_kib()
    for sock in socks:
        sock.close()
    until(lambda: metric(s, "roster_watch_streams") == 0, seconds=60)
    say(f"RssAnon with {n} streams: {with_all} KiB")
    if memory_counts():
        socks = []
        before = s.rss_anon_kib()
        socks = [raw_watch(s, "/v1/watch") for i in range(n)]
        until(lambda: metric(s, "roster_watch_streams") == n, seconds=60)
        grown = s.rss_anon_kib() - before
        assert grown <= 5 * n, f"{grown} KiB more"
        for sock in socks:
            sock.close()


@test(timeout=240, alone=True)
def who_does_not_read_is_cut_and_costs_no_memory(s):
    ns = make_ns(s)
    slow = [Watch(s, ns=ns, timeout=120) for _ in range(20)]
    for w in slow:
        w.caught_up()
    before = s.rss_anon_kib()
    with Watch(s, ns=ns, lines=True) as quick:
        quick.caught_up()
        told = 0
        for i in range(300):
            last = put(s, ns, "big", x=str(i % 10) * 60000)
            for e in quick.up_to(last.revision):
                told += 1
                assert e["op"] == "put", e
        assert told == 300, "who reads is not held up"
    if memory_counts():
        # The ring of the last events (16 MiB), a frame, the spread of a run.
        assert s.rss_anon_kib() - before < 40 << 10, s.rss_anon_kib() - before
    assert metric(s, "roster_watch_behind") == 20
    until(lambda: metric(s, "roster_watch_cut_total") == 20, seconds=60,
          every=0.5)
    assert metric(s, "roster_watch_streams") == 0
    for w in slow:
        got = []
        with contextlib.suppress(Ended):
            while True:
                got.append(w.change())
        # It resumes where it was cut, and has all of it then.
        assert got and not w.clean, len(got)
        revisions = [e["revision"] for e in got]
        assert revisions == sorted(set(revisions))
    with Watch(s, ns=ns, since=slow[0].last_id) as again:
        found = again.up_to(last.revision)
        assert len(found) + len(got) >= 300
        assert found[0]["revision"] == slow[0].last_id + 1


@test(timeout=120)
def who_reads_slowly_gets_everything(s):
    ns = make_ns(s)
    with Watch(s, ns=ns, timeout=120) as w, \
            Watch(s, ns=ns, timeout=120, lines=True) as other:
        for x in (w, other):
            x.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
            x.caught_up()
        first = s.revision() + 1
        for i in range(120):
            last = put(s, ns, f"r{i % 7}", x=chr(97 + i % 26) * 20000).revision
            if i % 40 == 20:
                time.sleep(0.2)
        want = list(range(first, last + 1))
        for x in (w, other):
            assert [e["revision"] for e in x.up_to(last)] == want
        put(s, ns, "after")
        assert names([w.change()]) == names([other.change()]) == ["after"]
        assert metric(s, "roster_watch_cut_total") == 0


@test(timeout=120)
def what_others_wrote_between_does_not_get_into_a_slow_stream(s):
    """Half an event is on its way, and the next is far behind it in the
    history."""
    ns = make_ns(s)
    with Watch(s, ns=ns, type="wanted", timeout=60) as w, \
            Watch(s, ns=ns, type="wanted", timeout=60, lines=True) as other:
        for x in (w, other):
            x.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
            x.caught_up()
        want = []
        for i in range(20):
            for k in range(3):
                put(s, ns, f"o{k}", "other", x=str(i % 10) * 60000)
            want.append(put(s, ns, "w", "wanted",
                            x=chr(97 + i) * 80000).revision)
        time.sleep(0.5)
        for x in (w, other):
            assert [e["revision"] for e in x.up_to(want[-1])] == want
        assert metric(s, "roster_watch_cut_total") == 0


@test(flags=("--io-threads", "2"))
def reads_and_writes_go_on_beside_streams(s):
    ns = make_ns(s)
    watches = [Watch(s, ns=ns) for _ in range(50)]

    def work(i):
        api = s.client()
        for k in range(60):
            api.put(path("v1", "ns", ns, "thing", f"w{i}-{k}"), {}).must(201)
            api.get(rows_of(ns)).must(200)
    in_threads(4, work)
    last = s.revision()
    for w in watches:
        found = w.up_to(last)
        assert len(set(names(found))) == len(found) == 240
        w.close()
    assert not s.faults()


@test
def what_a_client_says_behind_its_request_is_not_heard(s):
    ns = make_ns(s)
    with Watch(s, ns=ns, lines=True) as w:
        w.caught_up()
        with contextlib.suppress(BrokenPipeError):
            w.sock.sendall(request_bytes("DELETE", f"/v1/ns/{ns}") * 100)
        put(s, ns, "a")
        assert names([w.change()]) == ["a"]
    s.get(f"/v1/ns/{ns}").must(200)


# ---- the end of a server --------------------------------------------------------

@bare
def a_server_that_leaves_says_from_where_to_go_on():
    with Server("--drain", "1s") as s:
        ns = make_ns(s)
        with Watch(s, ns=ns) as w, Watch(s, lines=True) as lines, \
                Watch(s, http="1.0") as old:
            for x in (w, lines, old):
                x.caught_up()
            last = put(s, ns, "a").revision
            s.signal(signal.SIGTERM)
            time.sleep(0.2)
            assert names([w.change()]) == ["a"], "it is told while it drains"
            for x in (w, lines, old):
                e = x.change()
                while e["op"] == "put":
                    e = x.change()
                assert e["op"] == "bye" and e["revision"] == last, e
                with contextlib.suppress(Ended):
                    raise AssertionError(f"behind bye: {x.next()}")
            assert w.clean and lines.clean and w.retry == "1000"
        assert s.ended_within(10) and s.process.returncode == 0
        s.start()
        with Watch(s, ns=ns, since=last) as w:
            assert w.caught_up()[0] == []


@bare(timeout=180)
def a_stream_goes_on_at_another_node_after_its_own_died():
    with Cluster(3) as c:
        leader = c.leader()
        ns = make_ns(c.node(leader))
        c.wait_for_all(f"/v1/ns/{ns}")
        follower, other = c.followers()[:2]
        with Watch(c.node(leader), ns=ns) as at_leader, \
                Watch(c.node(follower), ns=ns) as w:
            at_leader.caught_up()
            w.caught_up()
            put(c.node(leader), ns, "a")
            assert names([at_leader.change()]) == names([w.change()]) == ["a"]
            known = at_leader.last_id
            c.kill(leader)
            put(c.node(follower), ns, "b")
            assert names([w.change()]) == ["b"], "a follower's stream stays"
            with contextlib.suppress(Ended):
                raise AssertionError(at_leader.change())
        with Watch(c.node(other), ns=ns,
                   headers={"Last-Event-ID": known}) as again:
            assert names([again.change()]) == ["b"]
