"""How much a namespace may hold, with all below it: what is refused, what is
told, and that the figures are right whatever happens to what they count."""
import re

from cli import good, refused, scratch
from cluster import Cluster
from harness import bare, make_ns, path, shared, test, until
from watching import Watch


def quota_path(ns):
    return path("v1", "quotas", ns)


def set_quota(s, ns, status=201, **limits):
    return s.put(quota_path(ns), limits).must(status).json


def put(s, ns, name, **more):
    return s.put(path("v1", "ns", ns, "service", name),
                 {"name": name, **more})


def counted(s, ns, seconds=30):
    """The quota, once it is counted."""
    def done():
        got = s.get(quota_path(ns) + "?consistency=linearizable")
        return got.json if got.status == 200 and not got.json["counting"] \
            else None
    return until(done, seconds)


def holds(s, ns, n, seconds=30):
    """Until it says that so many are there."""
    def done():
        got = s.get(quota_path(ns) + "?consistency=linearizable").json
        return got if not got["counting"] and got["used"]["resources"] == n \
            else None
    return until(done, seconds)


def row_bytes(s, ns, type_="service"):
    """As they are stored, without the digits of `_rev`: as sent, for there is
    no secret."""
    body = s.get(path("v1", "ns", ns, type_)).must(200).body.decode()
    rows = re.findall(r'\{"_id".*?\}', body)
    return sum(len(re.sub(r'("_rev":)\d+', r"\1", row)) for row in rows)


# ---- one node ----------------------------------------------------------------

@shared
def what_would_grow_beyond_it_is_refused(s):
    top = make_ns(s, "branch")
    leaf, other = make_ns(s, parent=top), make_ns(s, parent=top)
    q = set_quota(s, top, resources={"warn": 2, "refuse": 3})
    assert q["state"] == "ok" and q["used"]["resources"] == 0, q
    for name in ("a", "b"):
        put(s, leaf, name).must(201)
    put(s, other, "c").must(201)
    problem = put(s, other, "d").problem(507, type="/problems/quota", ns=top)
    assert problem["limit"] == 3 and problem["used"] == 3, problem
    assert problem["what"] == "resources", problem
    got = s.get(quota_path(top)).must(200).json
    assert got["state"] == "full" and got["used"]["resources"] == 3, got
    assert got["rev"] == q["rev"], got
    put(s, leaf, "a", port="1").must(200)       # it is no more than before
    s.delete(path("v1", "ns", leaf, "service", "b")).must(204)
    assert s.get(quota_path(top)).json["state"] == "warn"
    put(s, other, "d").must(201)


@shared
def bytes_are_those_of_the_text_as_stored(s):
    leaf = make_ns(s)
    set_quota(s, leaf, bytes={"refuse": 2000})
    for name in ("a", "b", "c"):
        put(s, leaf, name, text="x" * 500).must(201)
    assert counted(s, leaf)["used"]["bytes"] == row_bytes(s, leaf)
    problem = put(s, leaf, "d", text="x" * 500).problem(507)
    assert problem["what"] == "bytes", problem
    put(s, leaf, "a", text="x" * 900).problem(507)
    put(s, leaf, "a", text="x" * 10).must(200)
    put(s, leaf, "d", text="x" * 500).must(201)
    assert counted(s, leaf)["used"]["bytes"] == row_bytes(s, leaf)


@shared
def all_of_an_operation_or_nothing_is_let_in(s):
    leaf = make_ns(s)
    set_quota(s, leaf, resources={"refuse": 3})
    rows = [{"name": f"r{i}"} for i in range(4)]
    target = path("v1", "ns", leaf, "service")
    s.post(target, rows).problem(507, type="/problems/quota")
    s.put(target, rows).problem(507)
    do = [{"op": "put", "ns": leaf, "type": "service", "resource": r}
          for r in rows]
    s.post("/v1/txn", {"do": do}).problem(507)
    assert s.get(target).json == []
    s.put(target, rows[:3]).must(200)
    # As many go as come: what counts is what is there afterwards.
    s.put(target, [{"name": f"new{i}"} for i in range(3)]).must(200)
    s.post("/v1/txn", {"do": [
        do[3], {"op": "delete", "ns": leaf, "type": "service", "id": "new0"},
    ]}).must(200)
    assert counted(s, leaf)["used"]["resources"] == 3


@shared
def a_limit_below_what_is_there_lets_only_less_be(s):
    leaf = make_ns(s)
    for i in range(5):
        put(s, leaf, f"r{i}").must(201)
    set_quota(s, leaf, resources={"refuse": 2})
    got = counted(s, leaf)
    assert got["used"]["resources"] == 5 and got["state"] == "full", got
    put(s, leaf, "more").problem(507)
    put(s, leaf, "r0", port="8").must(200)
    s.delete(path("v1", "ns", leaf, "service", "r0")).must(204)
    put(s, leaf, "r0").problem(507)


@shared
def templates_and_agents_count(s):
    top = make_ns(s, "branch")
    put(s, top, "t1").must(201)
    put(s, top, "t2").must(201)
    set_quota(s, top, resources={"refuse": 4})
    holds(s, top, 2)
    leaf = make_ns(s, parent=top, match="^quota-web")
    holds(s, top, 4)
    s.post("/v1/ns", {"parent": top, "name": "second", "kind": "leaf"}) \
        .problem(507, ns=top)
    s.post("/v1/agents", {"hostname": "quota-web-1", "ttl": "30s"}).problem(507, ns=top)
    s.delete(path("v1", "ns", leaf, "service", "t1")).must(204)
    s.post("/v1/agents", {"hostname": "quota-web-1", "ttl": "30s"}).must(201)
    s.delete("/v1/agents/quota-web-1").must(204)
    holds(s, top, 3)


@shared
def what_moves_or_is_deleted_is_counted_where_it_is(s):
    one, two = make_ns(s, "branch"), make_ns(s, "branch")
    sub = make_ns(s, "branch", parent=one)
    leaf = make_ns(s, parent=sub)
    for i in range(7):
        put(s, leaf, f"r{i}").must(201)
    for ns in (one, two, sub):
        set_quota(s, ns, resources={"refuse": 100})
    holds(s, one, 7)
    holds(s, sub, 7)
    s.patch(path("v1", "ns", sub), {"parent": two}).must(200)
    holds(s, one, 0)
    holds(s, two, 7)
    moved = sub.split(".")[0] + "." + two
    holds(s, moved, 7)
    s.delete(path("v1", "ns", moved) + "?recursive=true").must(204)
    holds(s, two, 0)
    s.get(quota_path(moved)).problem(404)
    assert not [q for q in s.get("/v1/quotas?limit=1000").json
                if q["ns"] in (sub, moved)]


@shared
def the_key_of_a_refused_request_gives_the_refusal_again(s):
    leaf = make_ns(s)
    set_quota(s, leaf, resources={"refuse": 0})
    key = {"Idempotency-Key": "quota-" + leaf}
    target = path("v1", "ns", leaf, "service", "a")
    first = s.put(target, {"name": "a"}, key).problem(507, ns=leaf)
    set_quota(s, leaf, 200, resources={"refuse": 9})
    again = s.put(target, {"name": "a"}, key).problem(507, ns=leaf)
    assert again["limit"] == 0 and again == first, (first, again)


@shared
def what_can_be_no_quota_is_said_so(s):
    leaf = make_ns(s)
    for body in ({}, {"resources": {}}, {"bytes": None}, {"size": 1},
                 {"resources": {"warn": 2, "refuse": 1}},
                 {"resources": {"refuse": -1}}, {"resources": {"refuse": "9"}},
                 {"bytes": {"refuse": 2 ** 53 + 1}}, {"bytes": {"most": 1}}, []):
        s.put(quota_path(leaf), body).problem(400)
    s.get(quota_path(leaf)).problem(404)
    s.delete(quota_path(leaf)).problem(404)
    s.put(quota_path("nowhere.roster"), {"bytes": {"refuse": 1}}).problem(404)
    s.get(quota_path("a..b")).problem(400)


@shared
def a_quota_can_be_sent_back_and_depends_on_conditions(s):
    leaf = make_ns(s)
    made = s.put(quota_path(leaf), {"bytes": {"warn": 5}},
                 {"If-None-Match": "*"}).must(201)
    assert made.etag == f'"{made.json["rev"]}"', made.headers
    same = s.put(quota_path(leaf), made.json, {"If-Match": made.etag})
    assert same.must(200).json == made.json, same
    s.put(quota_path(leaf), made.json, {"If-None-Match": "*"}).problem(412)
    other = s.put(quota_path(leaf), {"bytes": {"warn": 6}}).must(200)
    s.delete(quota_path(leaf), headers={"If-Match": made.etag}).problem(412)
    s.delete(quota_path(leaf), headers={"If-Match": other.etag}).must(204)


@shared
def the_list_has_pages(s):
    tops = [make_ns(s) for _ in range(5)]
    for ns in tops:
        set_quota(s, ns, bytes={"warn": 7})
    seen, target = [], "/v1/quotas?limit=2"
    while target:
        page = s.get(target).must(200)
        assert len(page.json) <= 2, page
        seen += [q["ns"] for q in page.json]
        target = page.next()
    assert [ns for ns in seen if ns in tops] == tops and \
        len(seen) == len(set(seen)), seen


@test
def crossing_a_limit_is_told(s):
    leaf = make_ns(s)
    set_quota(s, leaf, resources={"warn": 1, "refuse": 2})
    begin = s.get(quota_path(leaf)).revision
    put(s, leaf, "a").must(201)
    put(s, leaf, "b").must(201)
    s.delete(path("v1", "ns", leaf, "service", "a")).must(204)
    s.delete(path("v1", "ns", leaf, "service", "b")).must(204)
    with Watch(s, ns=leaf, since=begin) as w:
        told = [e for e in w.up_to(s.revision()) if e["op"] == "quota"]
    assert [e["state"] for e in told] == ["warn", "full", "warn", "ok"], told
    assert [e["used"] for e in told] == [1, 2, 1, 0], told
    assert {e["what"] for e in told} == {"resources"} and \
        {e["ns"] for e in told} == {leaf}, told
    metrics = s.get("/metrics").must(200).body.decode()
    assert f'roster_quota_used{{ns="{leaf}",what="resources"}} 0' in metrics, \
        metrics[-2000:]
    lines = "\n".join(s.log_lines())
    for said in ("has come near its quota", "has used up its quota",
                 "is within its quota again"):
        assert said in lines, s.log_tail()


@test(flags=("--access",))
def whoever_may_not_is_refused(s):
    top, beside = make_ns(s, "branch"), make_ns(s)
    leaf = make_ns(s, parent=top)
    set_quota(s, leaf, bytes={"warn": 5})
    set_quota(s, beside, bytes={"warn": 5})

    def caller(*roles):
        text = s.post("/v1/tokens", {"name": "q", "roles": list(roles)}) \
            .must(201).json["token"]
        return s.client(token=text)
    reader, keeper = caller("reader@" + top), caller("admin@" + top)
    reader.get(quota_path(leaf)).must(200)
    reader.get(quota_path(beside)).problem(403)
    assert [q["ns"] for q in reader.get("/v1/quotas").json] == [leaf]
    reader.put(quota_path(leaf), {"bytes": {"warn": 6}}).problem(403)
    reader.delete(quota_path(leaf)).problem(403)
    keeper.put(quota_path(leaf), {"bytes": {"warn": 6}}).must(200)
    keeper.put(quota_path(beside), {"bytes": {"warn": 6}}).problem(403)
    keeper.delete(quota_path(leaf)).must(204)
    s.client(token=None).get("/v1/quotas").problem(401)


@test
def the_figures_are_there_after_a_restart(s):
    top = make_ns(s, "branch")
    leaf = make_ns(s, parent=top)
    for i in range(50):
        put(s, leaf, f"r{i}").must(201)
    set_quota(s, top, resources={"refuse": 51})
    s.kill()
    s.start()
    assert counted(s, top)["used"]["resources"] == 50
    put(s, leaf, "one").must(201)
    put(s, leaf, "two").problem(507)


@test
def a_restored_file_is_counted_anew(s):
    leaf = make_ns(s)
    for i in range(5):
        put(s, leaf, f"r{i}").must(201)
    set_quota(s, leaf, resources={"refuse": 5})
    counted(s, leaf)
    file = scratch(s, "saved")
    good(s, "backup", file, remarks=True)
    s.delete(path("v1", "ns", leaf, "service", "r0")).must(204)
    good(s, "restore", file, "--yes", remarks=True)
    got = counted(s, leaf)
    assert got["used"]["resources"] == 5 and got["state"] == "full", got
    put(s, leaf, "more").problem(507)


@shared
def the_command_line_sets_and_shows_them(s):
    leaf = make_ns(s)
    assert leaf in good(s, "quota", "set", leaf, "resources.warn=1",
                        "resources.refuse=2")
    good(s, "quota", "set", leaf, "resources.warn=none", "bytes.refuse=9999")
    got = s.get(quota_path(leaf)).json
    assert got["resources"] == {"refuse": 2}, got
    assert got["bytes"] == {"refuse": 9999}, got
    shown = good(s, "quota", "show", leaf)
    assert "refuse 2" in shown and "ok" in shown, shown
    assert leaf in good(s, "quota", "list")
    refused(s, "quota", "set", leaf, "bytes.refuse=many", says="many", status=2)
    for name in ("a", "b"):
        put(s, leaf, name).must(201)
    refused(s, "add", leaf, "service", "name=c", says="the quota of " + leaf)
    good(s, "quota", "delete", leaf)
    s.get(quota_path(leaf)).problem(404)


# ---- three nodes ---------------------------------------------------------------

def fill(s, leaves, n):
    for leaf in leaves:
        for at in range(0, n, 500):
            s.post(path("v1", "ns", leaf, "service"),
                   [{"name": f"r{i}"} for i in range(at, at + 500)]).must(201)


@bare(timeout=180)
def a_count_goes_on_when_the_leader_is_killed():
    with Cluster(3) as c:
        c.wait_for_features()
        leader = c.leader()
        s = c.node(leader)
        top = make_ns(s, "branch")
        leaves = [make_ns(s, parent=top) for _ in range(4)]
        fill(s, leaves, 5000)
        set_quota(s, top, resources={"refuse": 20002})
        c.kill(leader)
        s = c.node(c.leader(40))
        for i in range(2):                      # while it is counted
            until(lambda i=i: put(s, leaves[0], f"new{i}").status
                  in (200, 201), 30)
        got = counted(s, top, 60)
        assert got["used"]["resources"] == 20002, got
        assert got["used"]["bytes"] == sum(row_bytes(s, leaf)
                                           for leaf in leaves), got
        put(s, leaves[1], "beyond").problem(507)
        c.restart(leader)
        c.wait_ready()
        c.digests_agree()
        for name in ("n1", "n2", "n3"):
            until(lambda name=name: c.node(name).get(quota_path(top)).json
                  ["used"] == got["used"], 20)
            put(c.node(name), leaves[1], "beyond").problem(507)
