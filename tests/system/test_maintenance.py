"""Maintenance of agents and resources: shown, kept, over by itself."""
import calendar
import re
import time

from cli import as_json, scratch
from cluster import Cluster
from harness import (PATIENCE, Client, Server, bare, fresh_name, in_threads,
                     make_ns, path, shared, test, until)

UNTIL = re.compile(r"until (\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ)(: (.*))?\Z")


def register(s, hostname, ttl="30s", *statuses):
    return s.post("/v1/agents", {"hostname": hostname, "ttl": ttl}).must(
        *(statuses or (200, 201))).json


def agent(hostname, *more):
    return path("v1", "agents", hostname, *more)


def works(hostname):
    return agent(hostname, "maintenance")


def row_works(ns, type_, name):
    return path("v1", "ns", ns, type_, name, "maintenance")


def begin(s, target, duration="1h", **more):
    return s.put(target, {"duration": duration, **more}).must(200)


def seconds_left(text):
    """Of an RFC 3339 time."""
    at = time.strptime(text, "%Y-%m-%dT%H:%M:%SZ")
    return calendar.timegm(at) - time.time()


def a_service(s):
    """Namespace and name of a new resource."""
    ns, name = make_ns(s), fresh_name("svc")
    s.post(path("v1", "ns", ns, "service"), {"name": name, "port": "80"}).must(201)
    return ns, name


def said(s, ns, type_, name):
    """What a resource says of its maintenance, None: nothing."""
    return s.get(path("v1", "ns", ns, type_, name)).must(200).json.get(
        "_maintenance")


# ---- a resource -------------------------------------------------------------

@shared
def a_resource_says_why_and_until_when(s):
    ns, name = a_service(s)
    lists = path("v1", "ns", ns, "service")
    before = s.get(lists)
    a = begin(s, row_works(ns, "service", name), "2h", reason='new "disk"')
    m = UNTIL.match(a.json["_maintenance"])
    assert m and m[3] == 'new "disk"', a
    assert 7190 < seconds_left(m[1]) <= 7200, a
    assert a.json["name"] == name and a.json["port"] == "80"
    assert a.etag == f'"{a.json["_rev"]}"'
    got = s.get(lists)
    assert got.etag != before.etag
    assert got.json == [a.json] and list(a.json) == sorted(a.json), got
    assert s.get(lists + "?fields=port").json[0]["_maintenance"]
    found = s.get(path("v1", "search", type="service", k="name", v=name)).must(200)
    assert "_maintenance" in found.body.decode(), found
    # Said again it is another one.
    a = begin(s, row_works(ns, "service", name), "30d")
    assert UNTIL.match(a.json["_maintenance"])[3] is None, a
    done = s.delete(row_works(ns, "service", name)).must(200)
    assert "_maintenance" not in done.json and done.json["name"] == name
    again = s.delete(row_works(ns, "service", name)).must(200)
    assert again.json == done.json


@shared
def a_client_may_send_it_back_and_cannot_change_it(s):
    ns, name = a_service(s)
    row = begin(s, row_works(ns, "service", name), reason="x").json
    at = path("v1", "ns", ns, "service", name)
    same = s.put(at, row).must(200)
    assert same.json == row
    put = s.put(at, {**row, "_maintenance": "never", "port": "81"}).must(200).json
    assert put["_maintenance"] == row["_maintenance"] and put["port"] == "81"
    patched = s.patch(at, {"port": "82"}).must(200).json
    assert patched["_maintenance"] == row["_maintenance"]
    s.put(at, {"port": "1", "_maintenance": 5}).problem(400, field="_maintenance")
    s.put(at, {"port": "1", "_other": "x"}).problem(400, field="_other")
    listed = s.put(path("v1", "ns", ns, "service"),
                   [{"name": name, "port": "83"}]).must(200).json
    assert listed[0]["_maintenance"] == row["_maintenance"], listed


@shared
def a_search_finds_what_is_in_maintenance(s):
    ns, name = a_service(s)
    s.post(path("v1", "ns", ns, "service"), {
        "name": "other", "x": "until new disk"}).must(201)

    def found(client=s, **q):
        rows = client.get(path("v1", "search", ns=ns, k="_maintenance", **q)).must(
            200).json.get(ns, [])
        return [r["name"] for r in rows]
    assert found() == []
    at = begin(s, row_works(ns, "service", name), reason='new "disk"')
    assert found() == found(v=': new "disk"', mode="contains") == [name]
    assert found(v="disk") == []
    # A poll learns that it is over.
    other = Client(s.port)

    def either(i):
        if i == 0:
            return found(other, since=at.revision, wait="60s")
        time.sleep(0.3)
        return s.delete(row_works(ns, "service", name)).must(200).status
    assert in_threads(2, either, 30) == [[], 200]
    other.close()
    for k in ("_id", "_rev", "_", "_other"):
        s.get(path("v1", "search", k=k)).problem(400, field="k")


@shared
def it_follows_a_move_and_goes_to_no_copy(s):
    ns, name = a_service(s)
    other, third = make_ns(s), make_ns(s)
    text = begin(s, row_works(ns, "service", name)).json["_maintenance"]
    at = path("v1", "ns", ns, "service", name)
    s.post(at + "/copy", {"to": third}).must(201)
    assert said(s, third, "service", name) is None
    moved = s.post(at + "/move", {"to": other}).must(200).json
    assert moved["_maintenance"] == text
    s.delete(row_works(other, "service", name)).must(200)
    assert said(s, other, "service", name) is None
    begin(s, row_works(other, "service", name), "1s")
    s.post(path("v1", "ns", other, "service", name) + "/move",
           {"to": ns}).must(200)
    until(lambda: said(s, ns, "service", name) is None, 10)


@shared
def conditions_and_names_are_looked_at(s):
    ns, name = a_service(s)
    at = row_works(ns, "service", name)
    body = {"duration": "1h"}
    s.put(at, body, headers={"If-Match": '"1"'}).problem(412)
    assert said(s, ns, "service", name) is None
    etag = s.get(path("v1", "ns", ns, "service", name)).etag
    a = s.put(at, body, headers={"If-Match": etag}).must(200)
    s.delete(at, headers={"If-Match": etag}).problem(412)
    s.delete(at, headers={"If-Match": a.etag}).must(200)
    s.put(row_works(ns, "service", "nobody"), body).problem(404)
    s.put(row_works("no.roster", "service", name), body).problem(404)
    s.delete(row_works(ns, "service", "nobody")).problem(404)


@shared
def a_body_that_is_none_is_refused(s):
    ns, name = a_service(s)
    host = fresh_name("host")
    register(s, host)
    for at in (row_works(ns, "service", name), works(host)):
        s.put(at, {}).problem(400, field="duration")
        for bad in ("", "1", "0s", "999ms", "31d", "721h", "-1s", "1y", "d"):
            s.put(at, {"duration": bad}).problem(400, field="duration")
        s.put(at, {"duration": 3600}).problem(400, field="duration")
        s.put(at, {"duration": "1h", "reason": "x" * 257}).problem(
            400, field="reason")
        s.put(at, {"duration": "1h", "reason": None}).problem(400, field="reason")
        s.put(at, {"duration": "1h", "why": "x"}).problem(400, field="why")
        s.put(at, raw=b"nothing").problem(400)
    assert said(s, ns, "service", name) is None
    assert s.get(agent(host)).json["maintenance"] is False
    a = begin(s, works(host), "720h", reason="ä" * 128)
    assert a.json["maintenance_reason"] == "ä" * 128
    s.put(works("no-such-host"), {"duration": "1h"}).problem(404)
    s.delete(works("no-such-host")).problem(404)
    s.put(works("not a host"), {"duration": "1h"}).problem(400)


@shared
def a_row_as_large_as_one_may_be_has_no_room(s):
    ns = make_ns(s)
    big = {"name": "big", "x": ""}
    # {"_id":"…26","_rev":…16,"name":"big","x":"…"} of 256 KiB.
    big["x"] = "y" * (256 * 1024 - 61 - len('"name":"big","x":""'))
    s.post(path("v1", "ns", ns, "thing"), big).must(201)
    s.put(row_works(ns, "thing", "big"), {"duration": "1h"}).problem(
        400, detail=re.compile("256 KiB"))
    big["x"] = big["x"][:-60]
    at = path("v1", "ns", ns, "thing", "big")
    s.put(at, big).must(200)
    a = begin(s, row_works(ns, "thing", "big"), reason="z" * 100)
    assert UNTIL.match(a.json["_maintenance"])[3] is None, "it was cut"
    assert len(a.body) <= 256 * 1024
    big["x"] += "y" * 60
    s.put(at, big).problem(400, detail=re.compile("256 KiB"))


# ---- an agent ---------------------------------------------------------------

@shared
def an_agent_and_all_its_rows_say_so(s):
    stem = fresh_name("m")
    one = make_ns(s, match=f"^{stem}$")
    register(s, stem)
    a = begin(s, works(stem), "2h", reason="kernel")
    assert a.json["hostname"] == stem and a.json["maintenance"] is True
    assert a.json["maintenance_reason"] == "kernel"
    assert 7190 < seconds_left(a.json["maintenance_until"]) <= 7200
    assert a.json["state"] == "alive" and a.json["flapping"] is False, a
    text = f"until {a.json['maintenance_until']}: kernel"
    assert said(s, one, "machine", stem) == text
    listed = [x for x in s.get("/v1/agents").json if x["hostname"] == stem]
    assert without_times(listed[0]) == without_times(a.json)
    # Those that it gets later, too.
    two = make_ns(s, match=f"{stem}$")
    register(s, stem)
    assert said(s, two, "machine", stem) == text
    s.delete(works(stem)).must(204)
    s.delete(works(stem)).must(204)
    got = s.get(agent(stem)).json
    assert got["maintenance"] is False and "maintenance_until" not in got
    assert said(s, one, "machine", stem) is None
    assert said(s, two, "machine", stem) is None


def without_times(a):
    return {k: v for k, v in a.items() if k != "last_heartbeat_ms"}


@test
def an_agent_in_maintenance_stays_while_it_is_silent(s):
    ns = make_ns(s, match="^quiet$")
    register(s, "quiet", "2s")
    register(s, "other", "2s")
    begin(s, works("quiet"), "6s", reason="new board")
    began = time.monotonic()
    until(lambda: s.get(agent("other")).status == 404, 10)
    etag = s.get(path("v1", "ns", ns, "machine")).etag
    assert said(s, ns, "machine", "quiet")
    metrics = s.get("/metrics").body.decode()
    assert "\nroster_maintenance_agents 1\n" in metrics
    # It ends by itself; then silence counts, from the end on.
    until(lambda: s.get(agent("quiet")).json.get("maintenance") is False, 15)
    ended = time.monotonic()
    assert ended - began >= 5.9, ended - began
    assert s.get(path("v1", "ns", ns, "machine")).etag != etag
    assert said(s, ns, "machine", "quiet") is None
    until(lambda: s.get(agent("quiet")).status == 404, 10)
    assert time.monotonic() - ended >= 1.5, "it had no full TTL"
    assert any("maintenance of an agent is over" in line
               for line in s.log_lines())


@test
def a_machine_that_registers_again_is_still_in_maintenance(s):
    register(s, "web-1")
    begin(s, works("web-1"), "1h")
    s.delete(agent("web-1")).must(204)
    register(s, "web-1")
    assert s.get(agent("web-1")).json["maintenance"] is True
    assert said(s, "pool.roster", "machine", "web-1")
    s.delete(agent("web-1")).must(204)
    s.delete(works("web-1")).must(204)      # also while it is away
    register(s, "web-1")
    assert s.get(agent("web-1")).json["maintenance"] is False
    assert said(s, "pool.roster", "machine", "web-1") is None


# ---- it lasts ---------------------------------------------------------------

@test(timeout=90)
def it_survives_kill_9_and_ends_by_itself_with_an_event(s):
    ns, name = a_service(s)
    register(s, "web-1", "2s")
    # As long as a restart of a sanitized program may take, and more.
    begin(s, row_works(ns, "service", name), f"{int(8 * PATIENCE)}s", reason="r")
    begin(s, works("web-1"), f"{int(8 * PATIENCE)}s")
    revision = s.revision()
    s.restart()
    assert said(s, ns, "service", name)
    assert s.get(agent("web-1")).json["maintenance"] is True
    assert said(s, "pool.roster", "machine", "web-1")
    rev = s.get(path("v1", "ns", ns, "service", name)).json["_rev"]
    until(lambda: said(s, ns, "service", name) is None, 30)
    row = s.get(path("v1", "ns", ns, "service", name)).json
    assert row["_rev"] > rev and row["_rev"] > revision
    until(lambda: s.get(agent("web-1")).status == 404, 20)


@bare(timeout=90)
def a_backup_holds_it():
    with Server() as s, Server() as other:
        ns, name = a_service(s)
        register(s, "web-1", "2s")
        begin(s, row_works(ns, "service", name), "1h", reason="r")
        begin(s, works("web-1"), "1h", reason="m")
        file = scratch(s, "b.roster")
        as_json(s, "backup", file)
        as_json(other, "restore", file, "--yes")
        assert other.rows(path("v1", "ns", ns, "service")) == s.rows(
            path("v1", "ns", ns, "service"))
        time.sleep(3)       # longer than its TTL: it is spared there, too
        got = other.get(agent("web-1")).must(200).json
        assert got["maintenance"] is True and got["maintenance_reason"] == "m"
        other.delete(row_works(ns, "service", name)).must(200)
        other.delete(works("web-1")).must(204)
        until(lambda: other.get(agent("web-1")).status == 404, 10)


@bare(timeout=150)
def three_nodes_agree_over_a_failover():
    with Cluster(3) as c:
        leader = c.node(c.leader())
        ns, name = a_service(leader)
        for i in range(5):
            register(leader, f"web-{i}", "4s")
        follower = c.node(c.followers()[0])
        # A cluster that has just formed may not be that far yet.
        until(lambda: follower.put(works("web-0"),
                                   {"duration": "20s"}).status != 503, 10)
        for i in range(5):
            a = begin(follower, works(f"web-{i}"), "20s", reason=f"r{i}")
            assert a.json["state"] == "alive", a
        begin(follower, row_works(ns, "service", name), "20s")
        assert c.digests_agree()
        c.kill(c.leader())
        left = c.node(c.leader())
        time.sleep(6)       # longer than the TTL
        for i in range(5):
            assert left.get(agent(f"web-{i}")).must(200).json["maintenance"]
        c.restart([n for n in c.names if not c.node(n).alive()][0])
        c.wait_ready()
        # It is over everywhere, and nobody is spared any more.
        until(lambda: said(left, ns, "service", name) is None, 40)
        for n in c.names:
            until(lambda n=n: c.node(n).get("/v1/agents").json == [], 40)
        assert c.digests_agree()
