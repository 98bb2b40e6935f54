"""Agents and leases (BRIEF 4.3, 8.7, 8.8), and the program roster-agent."""
import json
import os
import re
import signal
import time

from harness import (PATIENCE, SLACK_S, ULID, Server, all_pages, bare, binary,
                     environment, fresh_name, in_threads, make_ns, path, run,
                     say, shared, spawn, test, until, without)

HEARTBEATS = "/v1/heartbeats"


def register(s, hostname, *statuses, ttl="30s", client=None, **resource):
    body = {"hostname": hostname, "ttl": ttl}
    if resource:
        body["resource"] = resource
    return (client or s).post("/v1/agents", body).must(*(statuses or (201,))).json


def agent(hostname, *more):
    return path("v1", "agents", hostname, *more)


def beat(s, hostname):
    return s.put(agent(hostname, "heartbeat")).must(204, 404).status


def machines(ns):
    return path("v1", "ns", ns, "machine")


def machine(s, ns, hostname):
    return s.get(machines(ns) + path(hostname))


def hosts(s, ns):
    return sorted(r["hostname"] for r in s.rows(machines(ns)))


# ---- where a machine is placed ----------------------------------------------

@shared
def a_new_machine_goes_into_every_leaf_that_matches(s):
    stem = fresh_name("host")
    one = make_ns(s, match=f"^{stem}-[0-9]+$")
    two = make_ns(s, match=f"{stem}")              # unanchored
    no = make_ns(s, match=f"^other-{stem}")
    name = f"{stem}-1"
    a = s.post("/v1/agents", {"hostname": name, "ttl": "10s",
                              "resource": {"os": "Debian"}}).must(201)
    got = a.json
    assert got["hostname"] == name and ULID.match(got["lease"]), got
    assert (got["ttl_ms"], got["heartbeat_ms"]) == (10000, 3333), got
    assert set(got["placements"]) == {one, two}, got
    for ns in (one, two):
        row = machine(s, ns, name).must(200).json
        assert row["_id"] == got["placements"][ns]
        assert without(row) == {"hostname": name, "os": "Debian"}, row
    assert s.rows(machines(no)) == []
    machine(s, "pool.roster", name).problem(404)
    assert got["placements"][one] != got["placements"][two]


@shared
def a_machine_that_matches_nowhere_goes_into_the_pool(s):
    name = fresh_name("nobody")
    got = register(s, name)
    assert list(got["placements"]) == ["pool.roster"], got
    assert got["ttl_ms"] == 30000
    assert machine(s, "pool.roster", name).json["_id"] == \
        got["placements"]["pool.roster"]


@shared
def the_defaults_are_30_s_and_an_empty_resource(s):
    name = fresh_name("plain")
    got = s.post("/v1/agents", {"hostname": name}).must(201).json
    assert (got["ttl_ms"], got["heartbeat_ms"]) == (30000, 10000), got
    assert without(machine(s, "pool.roster", name).json) == {"hostname": name}


@shared
def a_registration_that_makes_no_sense_is_400_at_its_field(s):
    name = fresh_name("bad")
    for bad in ("", "a b", "a/b", "ä", "x" * 254, "a\x00", 5, None, [],
                "01ARZ3NDEKTSV4RRFFQ69G5FAV"):
        s.post("/v1/agents", {"hostname": bad}).problem(400, field="hostname")
    s.post("/v1/agents", {}).problem(400, field="hostname")
    for bad in ("1s", "1999ms", "25h", "86401s", "", "x", "5", "-5s", "1.5s",
                5, 5000, None, [], "99999999999999999999s"):
        s.post("/v1/agents", {"hostname": name, "ttl": bad}).problem(
            400, field="ttl")
    for bad, field in (({"hostname": "other"}, "resource.hostname"),
                       ({"_id": "x"}, "resource._id"),
                       ({"x": 5}, "resource.x"), ({"x": None}, "resource.x"),
                       ({"": "x"}, None), ([], "resource"), ("x", "resource"),
                       ({f"k{i}": "v" for i in range(128)}, None)):
        p = s.post("/v1/agents", {"hostname": name, "resource": bad}).problem(400)
        assert field is None or p.get("field") == field, p
    s.post("/v1/agents", {"hostname": name, "color": "x"}).problem(
        400, field="color")
    for body in ([], "x", None):
        s.post("/v1/agents", body).problem(400)
    s.get(agent(name)).problem(404)
    for good in ("2s", "2000ms", "24h", "5m"):
        register(s, fresh_name("ttl"), ttl=good)
    register(s, fresh_name("A.b_c-"))
    s.post("/v1/agents", {"hostname": name, "resource": {"hostname": name}}
           ).must(201)


@shared
def a_refresh_merges_into_every_placement_and_keeps_the_lease(s):
    stem = fresh_name("ref")
    leaves = [make_ns(s, match=f"^{stem}") for _ in range(2)]
    first = register(s, stem, os="Debian", kernel="6.1")
    s.patch(machines(leaves[0]) + path(stem), {"rack": "r7"}).must(200)
    again = register(s, stem, 200, kernel="6.12", cpu="8")
    assert again["lease"] == first["lease"], (first, again)
    assert again["placements"] == first["placements"]
    want = {"hostname": stem, "os": "Debian", "kernel": "6.12", "cpu": "8"}
    assert without(machine(s, leaves[0], stem).json) == {**want, "rack": "r7"}
    assert without(machine(s, leaves[1], stem).json) == want
    # One that changes nothing is no change.
    before = s.revision()
    assert register(s, stem, 200, kernel="6.12") == again
    assert s.revision() == before
    assert register(s, stem, 200, ttl="1m")["ttl_ms"] == 60000
    assert s.get(agent(stem)).json["ttl_ms"] == 60000


@shared
def a_refresh_adds_new_leaves_and_then_drops_the_pool(s):
    stem = fresh_name("late")
    first = register(s, stem, os="x")
    assert list(first["placements"]) == ["pool.roster"]
    leaf = make_ns(s, match=f"^{stem}$")
    assert hosts(s, leaf) == [], "a new leaf pulls nobody in by itself"
    second = register(s, stem, 200)
    assert list(second["placements"]) == [leaf], second
    machine(s, "pool.roster", stem).problem(404)
    assert machine(s, leaf, stem).must(200).json["hostname"] == stem
    other = make_ns(s, match=stem)
    third = register(s, stem, 200)
    assert set(third["placements"]) == {leaf, other}, third
    assert third["placements"][leaf] == second["placements"][leaf]
    assert third["lease"] == first["lease"]


@shared
def a_refresh_never_undoes_an_operators_move(s):
    stem = fresh_name("moved")
    home = make_ns(s, match=f"^{stem}")
    away = make_ns(s)
    first = register(s, stem, os="x")
    s.post(machines(home) + path(stem, "move"), {"to": away}).must(200)
    for _ in range(2):
        again = register(s, stem, 200, os="y")
        assert again["placements"] == {away: first["placements"][home]}, again
        assert hosts(s, home) == []
        assert machine(s, away, stem).json["os"] == "y"
    assert s.get(agent(stem)).json["placements"] == again["placements"]
    # And it is still under the lease.
    s.delete(agent(stem)).must(204)
    machine(s, away, stem).problem(404)


@shared
def placements_follow_renames(s):
    stem = fresh_name("ren")
    home = make_ns(s, match=f"^{stem}")
    first = register(s, stem)
    name = fresh_name("renamed")
    s.patch(path("v1", "ns", home), {"name": name}).must(200)
    assert s.get(agent(stem)).json["placements"] == {
        f"{name}.roster": first["placements"][home]}
    assert beat(s, stem) == 204


@shared
def a_machine_that_was_there_without_a_lease_outlives_the_agent(s):
    stem = fresh_name("own")
    leaf = make_ns(s, match=f"^{stem}")
    other = make_ns(s, match=f"^{stem}")
    row = s.post(machines(leaf), {"hostname": stem, "owner": "me"}).must(201).json
    got = register(s, stem, os="x")
    assert got["placements"][leaf] == row["_id"], got
    assert without(machine(s, leaf, stem).json) == {
        "hostname": stem, "owner": "me", "os": "x"}
    s.delete(agent(stem)).must(204)
    machine(s, leaf, stem).must(200)
    machine(s, other, stem).problem(404)


@shared
def without_any_placement_left_the_agent_has_to_register_again(s):
    stem = fresh_name("wiped")
    leaf = make_ns(s, match=f"^{stem}")
    register(s, stem)
    s.delete(machines(leaf) + path(stem)).must(204)
    assert beat(s, stem) == 404
    assert s.post(HEARTBEATS, {"hostnames": [stem]}).must(200).json == {
        "unknown": [stem]}
    got = register(s, stem, 200, 201)
    assert list(got["placements"]) == [leaf] and beat(s, stem) == 204
    # A namespace is unlinked at once and its rows reclaimed in steps.
    s.delete(path("v1", "ns", leaf, recursive="true")).must(204)
    until(lambda: beat(s, stem) == 404, 5)
    got = register(s, stem, 200, 201)
    assert list(got["placements"]) == ["pool.roster"], got


@shared
def a_match_counts_as_it_is_now(s):
    stem = fresh_name("match")
    leaf = make_ns(s, match=f"^{stem}-a")
    s.patch(path("v1", "ns", leaf), {"match": f"^{stem}-b"}).must(200)
    assert list(register(s, f"{stem}-a")["placements"]) == ["pool.roster"]
    assert list(register(s, f"{stem}-b")["placements"]) == [leaf]
    s.delete(path("v1", "ns", leaf, recursive="true")).must(204)
    assert list(register(s, f"{stem}-b2")["placements"]) == ["pool.roster"]


@shared
def many_registrations_at_once_each_get_their_place(s):
    stem = fresh_name("crowd")
    leaf = make_ns(s, match=f"^{stem}-[0-9]+$")

    def one(i):
        c = s.client()
        return [register(s, f"{stem}-{i * 10 + k}", client=c)["lease"]
                for k in range(10)]
    leases = sum(in_threads(20, one), [])
    assert len(set(leases)) == 200
    assert hosts(s, leaf) == sorted(f"{stem}-{i}" for i in range(200))
    # The same name from many at once is one agent.
    got = in_threads(20, lambda i: register(s, f"{stem}-x", 200, 201,
                                            client=s.client())["lease"])
    assert len(set(got)) == 1, got


# ---- what is bound to a lease -----------------------------------------------

@shared
def what_is_bound_to_a_lease_goes_with_it(s):
    name = fresh_name("binder")
    leaf, to = make_ns(s), make_ns(s)
    lease = register(s, name)["lease"]
    at = path("v1", "ns", leaf, "service")
    s.post(f"{at}?lease={lease}", {"name": "one"}).must(201)
    s.post(f"{at}?lease={lease}", [{"name": "two"}, {"name": "three"}]).must(201)
    s.put(f"{at}/four?lease={lease}", {"port": "4"}).must(201)
    s.post(f"{at}?lease={lease}", {"name": "moves"}).must(201)
    s.post(f"{at}?lease={lease}", {"name": "copied"}).must(201)
    s.post(at, {"name": "free"}).must(201)
    s.post(f"{at}/moves/move", {"to": to}).must(200)     # keeps its lease
    s.post(f"{at}/copied/copy", {"to": to}).must(201)    # a copy has none
    s.patch(f"{at}/two", {"x": "1"}).must(200)           # still bound
    s.delete(f"{at}/three").must(204)
    s.post(at, {"name": "three"}).must(201)              # another, not bound
    s.delete(agent(name)).must(204)
    left = sorted(r["name"] for r in s.rows(at))
    assert left == ["free", "three"], left
    assert [r["name"] for r in s.rows(at.replace(leaf, to))] == ["copied"]


@shared
def a_lease_that_does_not_exist_is_404(s):
    leaf = make_ns(s)
    at = path("v1", "ns", leaf, "service")
    s.post(at + "?lease=01ARZ3NDEKTSV4RRFFQ69G5FAV", {"name": "a"}).problem(
        404, field="lease")
    s.put(at + "/a?lease=01ARZ3NDEKTSV4RRFFQ69G5FAV", {"x": "1"}).problem(
        404, field="lease")
    for bad in ("", "x", "5", "../.."):
        s.post(f"{at}?lease={bad}", {"name": "a"}).problem(400, field="lease")
    name = fresh_name("gone")
    lease = register(s, name)["lease"]
    s.delete(agent(name)).must(204)
    s.post(f"{at}?lease={lease}", {"name": "a"}).problem(404, field="lease")
    assert s.rows(at) == []
    assert register(s, name)["lease"] != lease


# ---- heartbeats and the list ------------------------------------------------

@shared
def heartbeats_are_answered_one_by_one_and_in_batches(s):
    stem = fresh_name("beat")
    names = [f"{stem}-{i}" for i in range(50)]
    for n in names:
        register(s, n)
    before = s.revision()
    assert beat(s, names[0]) == 204
    s.put(agent(names[0], "heartbeat"), {"any": "body"}).must(204)
    s.put(agent(names[0], "heartbeat"), raw=b"not even json").must(204)
    assert beat(s, f"{stem}-none") == 404
    s.put(agent(f"{stem}-none", "heartbeat")).problem(404)
    a = s.post(HEARTBEATS, {"hostnames": names}).must(200)
    assert a.json == {"unknown": []}, a
    a = s.post(HEARTBEATS, {"hostnames": ["no-1", *names, "no-2", names[0]]})
    assert a.must(200).json == {"unknown": ["no-1", "no-2"]}, a
    assert s.post(HEARTBEATS, {"hostnames": []}).must(200).json == {
        "unknown": []}
    assert s.revision() == before, "a heartbeat writes nothing"
    many = [f"no-{i}" for i in range(10001)]
    got = s.post(HEARTBEATS, {"hostnames": many[:10000]}).must(200).json
    assert sorted(got["unknown"]) == sorted(many[:10000])
    s.post(HEARTBEATS, {"hostnames": many}).problem(400, field="hostnames")
    for body, field in (({}, "hostnames"), ({"hostnames": "x"}, "hostnames"),
                        ({"hostnames": [5]}, "hostnames[0]"),
                        ({"hostnames": [], "x": 1}, "x")):
        s.post(HEARTBEATS, body).problem(400, field=field)


@shared
def an_agent_is_shown_with_its_state(s):
    name = fresh_name("shown")
    got = register(s, name, ttl="5m")
    row = s.get(agent(name)).must(200).json
    assert row["last_heartbeat_ms"] in range(0, 60000), row
    assert {k: v for k, v in row.items() if k != "last_heartbeat_ms"} == {
        "hostname": name, "state": "alive", "ttl_ms": 300000,
        "lease": got["lease"], "placements": got["placements"],
        "flapping": False, "maintenance": False}, row
    s.get(agent("nobody")).problem(404)
    s.delete(agent("nobody")).problem(404)
    s.get(agent("a b")).must(400, 404)


@test
def the_list_of_agents_is_paged_in_hostname_order(s):
    names = sorted(f"page-{i}" for i in range(23))
    for n in reversed(names):
        register(s, n)
    whole = s.get("/v1/agents").must(200).json
    assert [a["hostname"] for a in whole] == names
    for limit in (1, 5, 23, 100):
        items, pages = all_pages(s, f"/v1/agents?limit={limit}")
        assert [a["hostname"] for a in items] == names, limit
        assert pages == -(-23 // limit), (limit, pages)
    got = s.get(f"/v1/agents?after={names[20]}").must(200).json
    assert [a["hostname"] for a in got] == names[21:]
    s.get("/v1/agents?limit=0").problem(400, field="limit")


@shared
def a_deleted_agent_is_gone_at_once(s):
    name = fresh_name("del")
    register(s, name)
    s.delete(agent(name)).must(204)
    s.get(agent(name)).problem(404)
    machine(s, "pool.roster", name).problem(404)
    s.delete(agent(name)).problem(404)
    assert beat(s, name) == 404


# ---- time -------------------------------------------------------------------

@test
def an_agent_is_suspect_after_two_missed_heartbeats(s):
    register(s, "quiet", ttl="6s")          # a heartbeat each 2 s
    assert s.get(agent("quiet")).json["state"] == "alive"
    time.sleep(3)
    row = s.get(agent("quiet")).json
    assert row["state"] == "alive" and row["last_heartbeat_ms"] >= 2500, row
    time.sleep(1.8)
    row = s.get(agent("quiet")).must(200).json
    assert row["state"] == "suspect", row
    assert beat(s, "quiet") == 204
    row = s.get(agent("quiet")).json
    assert row["state"] == "alive" and row["last_heartbeat_ms"] < 1000, row


def gone_after(s, name, ttl_s, heard_at):
    """Watch one agent go; it must be within TTL and TTL + 1 s."""
    end = heard_at + ttl_s + 1 + SLACK_S
    while s.get(agent(name)).must(200, 404).status == 200:
        now = time.monotonic()
        assert now < end, (f"still there {now - heard_at:.2f} s after its last "
                           f"heartbeat (ttl {ttl_s} s)")
        time.sleep(0.02)
    took = time.monotonic() - heard_at
    assert took > ttl_s - 0.02, f"gone after {took:.2f} s, before its TTL"
    say(f"gone {took:.2f} s after the last heartbeat; ttl {ttl_s} s + 1 s "
        f"(+ {SLACK_S} s slack)")


@test(alone=True, timeout=90)
def a_silent_machine_goes_within_1_s_after_its_ttl_among_2000_leases(s):
    leaf = make_ns(s, match="^dies$")
    n, workers = 2000, 16

    def some(w):
        c = s.client()
        for i in range(w, n, workers):
            register(s, f"lives-{i}", ttl="5m", client=c)
    in_threads(workers, some)
    names = [f"lives-{i}" for i in range(n)]
    lease = register(s, "dies", ttl="3s")["lease"]
    at = path("v1", "ns", leaf, "service")
    s.post(f"{at}?lease={lease}", {"name": "bound"}).must(201)
    s.put(agent("dies", "heartbeat")).must(204)
    heard = time.monotonic()
    assert s.post(HEARTBEATS, {"hostnames": names}).json == {"unknown": []}
    gone_after(s, "dies", 3, heard)
    assert hosts(s, leaf) == [] and s.rows(at) == []
    assert beat(s, "dies") == 404
    assert s.post(HEARTBEATS, {"hostnames": names}).json == {"unknown": []}
    assert len(all_pages(s, "/v1/agents?limit=1000")[0]) == n


@test(timeout=90)
def whoever_sends_heartbeats_stays_whoever_does_not_goes(s):
    kept = [f"kept-{i}" for i in range(60)]
    quiet = [f"quiet-{i}" for i in range(8)]   # too few to look like an outage
    for name in kept + quiet:
        register(s, name, ttl="2s")
    before = s.get(machines("pool.roster"))
    end = time.monotonic() + 6
    while time.monotonic() < end:
        got = s.post(HEARTBEATS, {"hostnames": kept}).must(200).json
        assert got == {"unknown": []}, got
        time.sleep(0.3)
    assert sorted(a["hostname"] for a in s.get("/v1/agents").json) == \
        sorted(kept)
    after = s.get(machines("pool.roster"),
                  headers={"If-None-Match": before.etag}).must(200)
    assert sorted(r["hostname"] for r in after.json) == sorted(kept)
    assert after.revision > before.revision, "a removal is a change"
    for name in quiet:
        assert register(s, name, ttl="2s")["placements"]


@test(timeout=90)
def a_stopped_server_expires_nobody_for_the_time_it_lost(s):
    names = [f"host-{i}" for i in range(50)]
    for name in names:
        register(s, name, ttl="3s")
    with s.paused():
        time.sleep(5)
    # All clocks went on, but no heartbeat could be heard: all get their time.
    time.sleep(0.7)
    left = {a["hostname"] for a in s.get("/v1/agents").must(200).json}
    assert left == set(names), f"{50 - len(left)} were removed wrongly"
    assert s.post(HEARTBEATS, {"hostnames": names}).json == {"unknown": []}
    heard = time.monotonic()
    for name in names[1:]:
        s.delete(agent(name)).must(204)
    gone_after(s, names[0], 3, heard)


@test(timeout=90)
def a_restart_gives_every_lease_a_full_ttl(s):
    register(s, "host", ttl="4s")
    time.sleep(3)
    s.kill()
    time.sleep(2)                  # its deadline passes while nobody is there
    began = time.monotonic()
    s.start()
    ready = time.monotonic()
    while time.monotonic() < began + 3.8:
        assert s.get(agent("host")).status == 200, (
            f"gone {time.monotonic() - ready:.2f} s after the restart")
        time.sleep(0.1)
    end = ready + 5 + SLACK_S
    while s.get(agent("host")).status == 200:
        assert time.monotonic() < end, "outlived a full TTL after the restart"
        time.sleep(0.05)
    say(f"gone {time.monotonic() - ready:.2f} s after it was ready again")


@test(timeout=90)
def an_expiry_is_whole_whenever_the_server_is_killed(s):
    """Agents that go with a hundred rows each, and kills around that moment:
    an agent is there with all that is bound to it, or nothing of it is."""
    leaf = make_ns(s)
    at = path("v1", "ns", leaf, "thing")
    names = [f"host-{i}" for i in range(9)]
    for name in names:
        lease = register(s, name, ttl="2s")["lease"]
        s.post(f"{at}?lease={lease}", [{"of": name} for _ in range(100)]
               ).must(201)
    for pause in (2.0, 2.05, 2.1, 2.15):
        time.sleep(pause)
        s.restart()
        agents = [a["hostname"] for a in s.get("/v1/agents").must(200).json]
        rows = [r["of"] for r in s.rows(at)]
        assert sorted(rows) == sorted(agents * 100), (agents, len(rows))
        assert hosts(s, "pool.roster") == agents
    until(lambda: s.get("/v1/agents").json == [], 10)
    assert s.rows(at) == [] and hosts(s, "pool.roster") == []


# ---- the program ------------------------------------------------------------

class Agent:
    """A roster-agent that ends with the test."""

    def __init__(self, home, hostname, *flags, servers=(), ttl="2s"):
        self.log_file = os.path.join(home, hostname + ".log")
        with open(self.log_file, "ab") as log:
            self.process = spawn(
                [binary("roster-agent"), "--hostname", hostname, "--ttl", ttl,
                 "--server", ",".join(servers), "--log-format", "json", *flags],
                stderr=log, env=environment())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()

    def stop(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        return self.process.wait(15 * PATIENCE)

    def log(self):
        with open(self.log_file, encoding="utf-8") as f:
            return [json.loads(line) for line in f]


def url(s):
    return f"http://127.0.0.1:{s.port}"


def appears(s, hostname, ns="pool.roster", seconds=10):
    def registered():
        a = machine(s, ns, hostname)
        return a.json if a.status == 200 else None
    return until(registered, seconds)


@shared
def roster_agent_registers_beats_and_leaves(s):
    name = fresh_name("agent")
    leaf = make_ns(s, match=f"^{name}$")
    with Agent(s.home, name, "--field", "rack=r7", servers=[url(s)]) as a:
        row = appears(s, name, leaf)
        assert row["hostname"] == name and row["rack"] == "r7", row
        assert row.get("os"), f"the agent says nothing about the machine: {row}"
        rev, end = row["_rev"], time.monotonic() + 5
        while time.monotonic() < end:          # 2.5 TTLs
            assert machine(s, leaf, name).status == 200
            time.sleep(0.2)
        got = s.get(agent(name)).must(200).json
        assert got["state"] == "alive" and got["last_heartbeat_ms"] < 2000, got
        assert machine(s, leaf, name).json["_rev"] == rev
        assert a.stop() == 0
        s.get(agent(name)).problem(404)
        machine(s, leaf, name).problem(404)
        assert all("msg" in line for line in a.log())


@shared
def roster_agent_with_keep_leaves_its_registration_behind(s):
    name = fresh_name("agent")
    with Agent(s.home, name, "--keep", servers=[url(s)], ttl="4s") as a:
        appears(s, name)
        assert a.stop() == 0
        s.get(agent(name)).must(200)
        until(lambda: s.get(agent(name)).status == 404, 8)


@shared
def roster_agent_that_dies_is_expired(s):
    name = fresh_name("agent")
    with Agent(s.home, name, servers=[url(s)]) as a:
        appears(s, name)
        a.process.kill()
        heard = time.monotonic()
        while s.get(agent(name)).status == 200:
            assert time.monotonic() < heard + 3 + SLACK_S
            time.sleep(0.05)


@shared
def roster_agent_registers_again_when_it_is_unknown(s):
    name = fresh_name("agent")
    with Agent(s.home, name, servers=[url(s)]) as a:
        first = appears(s, name)
        s.delete(agent(name)).must(204)
        second = appears(s, name)
        assert second["_id"] != first["_id"]
        assert a.process.poll() is None


@bare(timeout=90)
def roster_agent_finds_the_server_that_works_and_waits_for_it():
    with Server() as s:
        dead = "http://127.0.0.1:1"
        with Agent(s.home, "agent", servers=[dead, url(s)], ttl="6s") as a:
            appears(s, "agent")
            # The server goes and comes back: the agent outlives it, and its
            # registration the pause.
            s.kill()
            time.sleep(2.5)
            s.start()
            until(lambda: (s.get(agent("agent")).json
                           ["last_heartbeat_ms"] or 9999) < 1000, 10)
            time.sleep(4)
            assert s.get(agent("agent")).status == 200
            assert a.process.poll() is None
            # Trouble is told once, not with each try.
            warnings = [line for line in a.log() if line.get("level") == "warn"]
            assert len(warnings) < 10, warnings
            assert a.stop() == 0
        s.get(agent("agent")).problem(404)


@bare
def roster_agent_without_a_server_keeps_trying_and_stops_when_told():
    with Server() as s:
        port = s.port
        s.kill()
        with Agent(s.home, "agent", servers=[f"http://127.0.0.1:{port}"]) as a:
            time.sleep(1.5)
            assert a.process.poll() is None
            s.start()
            appears(s, "agent")
            s.kill()
            began = time.monotonic()
            assert a.stop() == 0, "could not stop without a server"
            assert time.monotonic() - began < 8 * PATIENCE


@bare
def roster_agent_says_what_is_wrong_with_its_settings():
    for flags, says in ((["--ttl", "1s"], "ttl"), (["--server", "x y"], "server"),
                        (["--sever", "http://a"], "sever"),
                        (["--field", "_x=1"], "_x")):
        code, _, err = run([binary("roster-agent"), *flags], timeout=5)
        assert code > 0 and re.search(says, err), (flags, code, err)


@shared
def a_hostname_that_no_path_can_name_is_refused(s):
    """As "." it registered, and then nobody could ask for it or delete it."""
    for bad in (".", ".."):
        s.post("/v1/agents", {"hostname": bad}).problem(400, field="hostname")
