"""Streams and long polls of callers who may see different things, whose access
changes while they wait: nothing that came behind a change of access is told by
what held before it."""
import threading
import time

from cluster import Cluster
from harness import bare, make_ns, path, shared, test, until
from test_access import ACCESS, make_token
from test_poll import Poll, list_of, search
from watching import Ended, Watch, names

READ_NS = {"allow": ["read"], "types": ["@ns"]}


def bearer(token):
    return {"Authorization": "Bearer " + token}


def role(s, name, *rules):
    s.put(path("v1", "roles", name), {"rules": list(rules)}).must(200, 201)


def reads(*types, ns=None):
    rule = {"allow": ["read"], "types": list(types)}
    return {**rule, "ns": ns} if ns else rule


def token_of(s, name, *rules, **more):
    """One that may what the rules of its own role say: text, record."""
    role(s, name, *rules)
    return make_token(s, name=name, roles=[name], **more)


def put(s, ns, name, type_="service"):
    return s.put(path("v1", "ns", ns, type_, name), {"name": name}).must(200, 201)


def watch(s, token, **query):
    w = Watch(s, headers=bearer(token), **query)
    assert w.status == 200, w.head
    w.caught_up()
    return w


def end_of(w):
    """The bye it ends with, and what was told before it."""
    told = []
    while True:
        event = w.next()
        if event["op"] == "bye":
            break
        if event["op"] != "progress":
            told.append(event)
    try:
        event = w.next()
    except Ended:
        return event if event["op"] == "bye" else None, told
    raise AssertionError(f"told behind the end: {event}")


def rows(w, n):
    """So many puts; whoever may see all is told of access, too."""
    found = []
    while len(found) < n:
        event = w.change()
        if event["op"] == "put":
            found.append(event)
        else:
            assert event["op"] == "access", event
    return found


def poll_of(s, token, target):
    return Poll(s, target, headers=bearer(token).items())


def parked(s, n):
    def wait():
        text = s.get("/metrics").must(200).body.decode()
        return f"\nroster_watch_polls {n}\n" in text
    until(wait)


# ---- what is told to whom -----------------------------------------------------

@test(flags=ACCESS)
def each_is_told_what_he_may_see(s):
    ns, other = make_ns(s), make_ns(s)
    a, _ = token_of(s, "a", reads("service"))
    b, _ = token_of(s, "b", reads("*", "@ns", ns=ns))
    c, _ = token_of(s, "c", reads("thing"))
    with watch(s, a) as wa, watch(s, b) as wb, watch(s, c) as wc, \
            watch(s, s.admin_token()) as all_:
        put(s, ns, "one")
        put(s, other, "two")
        put(s, other, "three", "thing")
        put(s, ns, "four", "thing")
        assert names(rows(all_, 4)) == ["one", "two", "three", "four"]
        assert names(wa.changes(2)) == ["one", "two"]
        assert names(wb.changes(2)) == ["one", "four"]
        assert names(wc.changes(2)) == ["three", "four"]
        for w in (wa, wb, wc):
            assert w.silent()


@test(flags=ACCESS)
def what_is_there_first_is_what_he_may_see(s):
    ns, other = make_ns(s), make_ns(s)
    put(s, ns, "one")
    put(s, ns, "two", "thing")
    put(s, other, "three")
    token, _ = token_of(s, "a", reads("service", ns=ns))
    with Watch(s, headers=bearer(token), initial="true") as w:
        told, _ = w.caught_up()
        assert names(told) == ["one"], told
        put(s, other, "four")
        put(s, ns, "five")
        assert names([w.change()]) == ["five"]
    with Watch(s, headers=bearer(token), since=0) as w:
        told, _ = w.caught_up()
        told = [e for e in told if e["op"] == "put"]
        assert set(names(told)) <= {"one", "five"}, told


@test(flags=ACCESS)
def nobody_watches_and_nothing_is_said_of_what_there_is(s):
    ns = make_ns(s)
    token, _ = token_of(s, "elsewhere", reads("service", ns=make_ns(s)))
    for headers, status in (({}, 401), (bearer("rst_x"), 401),
                            ({"Authorization": "Basic eDp5"}, 401),
                            (bearer(token), 403)):
        for where in (ns, "nothing.roster"):
            w = Watch(s, headers=headers, ns=where)
            problem = w.problem(status)
            assert where in problem["detail"] or status == 401, problem
            if status == 401:
                assert w.headers["www-authenticate"] == 'Bearer realm="roster"'
            w.close()
    w = Watch(s, headers={"Authorization": "Basic eDp5"}, ns=ns)
    assert "Bearer" in w.problem(401)["detail"]
    w.close()


# ---- access that changes ------------------------------------------------------

def resets(*streams):
    for w in streams:
        event = w.change()
        assert event["op"] == "reset", event


@test(flags=ACCESS)
def a_role_that_changes_changes_its_streams_at_once(s):
    ns = make_ns(s)
    token, _ = token_of(s, "a", reads("service"))
    with watch(s, token, ns=ns) as w, watch(s, s.admin_token(), ns=ns) as all_:
        for i in range(10):
            for now, other in (("service", "thing"), ("thing", "service")):
                put(s, ns, f"hidden-{now}-{i}", other)
                put(s, ns, f"{now}-{i}", now)
                assert names([w.change()]) == [f"{now}-{i}"]
                role(s, "a", reads(other))
                put(s, ns, f"hidden-behind-{now}-{i}", now)
                resets(w)
        assert w.silent()
        assert len(set(names(rows(all_, 60)))) == 60


@test(flags=ACCESS)
def a_stream_that_tells_what_is_there_begins_anew_with_other_rights(s):
    ns = make_ns(s)
    token, _ = token_of(s, "a", reads("service"))
    put(s, ns, "one")
    put(s, ns, "two", "thing")
    with Watch(s, headers=bearer(token), ns=ns, initial="true") as w:
        told, _ = w.caught_up()
        assert names(told) == ["one"], told
        role(s, "a", reads("service", "thing"))
        resets(w)
        put(s, ns, "three", "thing")
        assert names([w.change()]) == ["three"]


@test(flags=ACCESS)
def who_is_nobody_any_more_is_told_so(s):
    ns = make_ns(s)
    kept, _ = token_of(s, "kept", reads("service"))
    token, made = make_token(s, name="b", roles=["kept"])
    s.put("/v1/users/ann", {"roles": ["kept"]}).must(201)
    anns, _ = make_token(s, user="ann")
    with watch(s, kept, ns=ns) as stays, watch(s, token, ns=ns) as w, \
            watch(s, token, ns=ns, lines=True) as lines, \
            watch(s, anns, ns=ns) as ann:
        put(s, ns, "one")
        for x in (stays, w, lines, ann):
            assert names([x.change()]) == ["one"]
        s.delete("/v1/tokens/" + made["id"]).must(204)
        put(s, ns, "two")
        for x in (w, lines):
            bye, told = end_of(x)
            assert bye["reason"] == "unauthorized" and told == [], (bye, told)
            assert x.clean
        assert names([stays.change()]) == ["two"]
        assert names([ann.change()]) == ["two"]
        s.put("/v1/users/ann", {"roles": ["kept"], "disabled": True}).must(200)
        put(s, ns, "three")
        bye, told = end_of(ann)
        assert bye["reason"] == "unauthorized" and told == [], (bye, told)
        assert names([stays.change()]) == ["three"]
        role(s, "kept", reads("service", ns=make_ns(s)))
        put(s, ns, "four")
        bye, told = end_of(stays)
        assert bye["reason"] == "forbidden" and told == [], (bye, told)


@test(flags=ACCESS)
def a_time_that_is_over_ends_streams_and_polls(s):
    ns = make_ns(s)
    put(s, ns, "one")
    role(s, "a", reads("service"))
    token, made = make_token(s, roles=["a"], ttl="2s")
    target = list_of(ns, since=s.revision(), wait="60s")
    p = poll_of(s, token, target)
    with watch(s, token, ns=ns) as w:
        bye, told = end_of(w)
        assert bye["reason"] == "unauthorized" and told == [], (bye, told)
        assert time.time() * 1000 >= made["expires_ms"]
    p.answer().problem(401)
    assert time.time() * 1000 >= made["expires_ms"]


@test(flags=ACCESS)
def a_poll_is_answered_by_what_it_may_see_now(s):
    ns = make_ns(s)
    put(s, ns, "one")
    role(s, "a", reads("service"))
    role(s, "b", reads("service"))
    one, made = make_token(s, roles=["a"])
    same, _ = make_token(s, roles=["b"])
    r = s.revision()
    list_, found = list_of(ns, since=r, wait="60s"), \
        search(ns=ns, type="service", since=r, wait="60s")
    polls = [poll_of(s, one, list_), poll_of(s, one, found)]
    others = [poll_of(s, same, list_), poll_of(s, same, found)]
    parked(s, 4)
    s.delete("/v1/tokens/" + made["id"]).must(204)
    for p in polls:
        p.answer().problem(401)
    parked(s, 2)        # they see what they saw
    role(s, "b", reads("thing"))
    assert others[0].answer().status == 403
    assert others[1].answer().status in (200, 403)
    parked(s, 0)


@test(flags=ACCESS)
def changes_of_access_that_concern_nobody_wake_nobody(s):
    ns = make_ns(s)
    token, _ = token_of(s, "a", reads("service"))
    p = poll_of(s, token, list_of(ns, since=s.revision(), wait="60s"))
    with watch(s, token, ns=ns) as w:
        parked(s, 1)
        for i in range(20):
            role(s, f"other-{i}", reads("thing"))
        assert w.silent()
        parked(s, 1)
        put(s, ns, "one")
        assert names([w.change()]) == ["one"]
        assert [r["name"] for r in p.answer().must(200).json] == ["one"]


@shared(flags=ACCESS)
def what_is_kept_is_for_those_who_see_the_same(s):
    ns = make_ns(s)
    put(s, ns, "one")
    a, _ = token_of(s, "kept-a", reads("service", ns=ns))
    b, made = token_of(s, "kept-b", reads("thing", ns=ns))
    with_a, with_b = s.client(token=a), s.client(token=b)
    target = path("v1", "ns", ns, "service")
    nobody = s.client(token=None)
    for _ in range(10):
        with_a.get(target).must(200)
        with_b.get(target).problem(403)
        nobody.get(target).problem(401)
    role(s, "kept-b", reads("service", ns=ns))
    with_b.get(target).must(200)
    s.delete("/v1/tokens/" + made["id"]).must(204)
    with_b.get(target).problem(401)
    with_a.get(target).must(200)


@bare(timeout=180)
def a_change_made_on_another_node_holds_on_each():
    with Cluster(3, *ACCESS) as c:
        c.wait_for_features()
        nodes = [c.node(n) for n in c.names]
        ns = make_ns(nodes[0])
        token, _ = token_of(nodes[0], "a", reads("service"))
        gone, made = make_token(nodes[0], roles=["a"])
        for node in nodes:
            until(lambda n=node: n.client(token=gone).get("/v1/ns/" + ns
                                                          ).status != 401)
        streams = [watch(n, token, ns=ns) for n in nodes]
        ended = [watch(n, gone, ns=ns) for n in nodes]
        for i in range(6):
            put(nodes[i % 3], ns, f"row-{i}")
            for w in streams + ended:
                assert names([w.change()]) == [f"row-{i}"]
            role(nodes[i % 3], "a", reads("thing"))
            put(nodes[(i + 1) % 3], ns, f"hidden-{i}")
            resets(*streams, *ended)
            role(nodes[(i + 2) % 3], "a", reads("service"))
            resets(*streams, *ended)
        nodes[1].delete("/v1/tokens/" + made["id"]).must(204)
        put(nodes[2], ns, "last")
        for w in streams:
            assert names([w.change()]) == ["last"]
        for w in ended:
            bye, told = end_of(w)
            assert bye["reason"] == "unauthorized" and told == [], (bye, told)


@test(flags=(*ACCESS, "--io-threads", "2"), timeout=120)
def many_are_judged_while_writes_go_on(s):
    """Two hundred streams of twenty roles that come to see and cease to, half of
    them in the end. What came when a role did not see it, and never did again,
    is told to nobody of it; what came when it saw it, and always did since, to
    everybody."""
    ns = make_ns(s)
    tokens = [token_of(s, f"r{i}", reads("service"))[0] for i in range(20)]
    streams = [(i % 20, watch(s, tokens[i % 20], ns=ns)) for i in range(200)]
    spans = [[(0, True)] for _ in range(20)]   # from which revision it sees
    stop, wrote = threading.Event(), []

    def write():
        c = s.client()
        while not stop.is_set():
            name = f"row-{len(wrote) % 50}"
            a = c.put(path("v1", "ns", ns, "service", name),
                      {"name": name, "n": str(len(wrote))}).must(200, 201)
            wrote.append(a.revision)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for round_ in range(70):
            i = round_ % 20
            may = not spans[i][-1][1]
            a = s.put(f"/v1/roles/r{i}", {
                "rules": [reads("service" if may else "thing")]}).must(200)
            spans[i].append((a.json["rev"], may))
        n = len(wrote)
        until(lambda: len(wrote) > n + 50)
    finally:
        stop.set()
        writer.join()
    put(s, ns, "end", "thing")
    last = put(s, ns, "end").revision
    for i, w in streams:
        found = w.up_to(last if spans[i][-1][1] else last - 1)
        told = [e["revision"] for e in found if e.get("type") == "service"]
        listed = max([e["revision"] for e in found if e["op"] == "reset"] + [0])
        assert told == sorted(set(told)), told
        for revision in wrote:
            may = [m for at, m in spans[i] if at <= revision][-1:] + \
                [m for at, m in spans[i] if at > revision]
            assert any(may) or revision not in told, (i, revision, spans[i])
            assert not all(may) or revision in told or revision <= listed, (
                i, revision, listed, spans[i])
