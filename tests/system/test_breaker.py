"""The breaker (BRIEF 4.3, 8.7, P5): a mass outage removes nobody for a while,
and then slowly; who dies alone goes in time."""
import threading
import time

from cluster import Cluster
from harness import (PATIENCE, SLACK_S, bare, in_threads, make_ns, path, say,
                     test, until)

BREAKER = "/v1/admin/breaker"
TTL_S = 2
FLAGS = ("--breaker-hold", "6s", "--breaker-rate", "20")


def names(n, stem="web"):
    return [f"{stem}-{i}" for i in range(n)]


def register(client, hostnames, ttl=f"{TTL_S}s"):
    for name in hostnames:
        client.post("/v1/agents", {"hostname": name, "ttl": ttl}).must(200, 201)


def register_all(node, hostnames, ttl=f"{TTL_S}s", fleet=None):
    """The fleet's heartbeats begin with those that are there: to register all
    may take longer than a TTL."""
    clients = [node.client() for _ in range(8)]
    for i in range(0, len(hostnames), 80):
        some = hostnames[i:i + 80]
        in_threads(8, lambda i, of=some: register(clients[i], of[i::8], ttl))
        if fleet:
            fleet.alive = [*fleet.alive, *some]


class Fleet:
    """Agents that live in this process: one heartbeat for all of them, from
    whichever node answers."""

    def __init__(self, nodes, hostnames):
        self.nodes, self.alive = nodes, list(hostnames)
        self.unknown = set()
        self.ends = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ends.set()
        self.thread.join()

    def _beat(self, clients):
        for node in self.nodes:
            if not node.alive():
                continue
            try:
                if node not in clients:
                    clients[node] = node.client(timeout=2)
                a = clients[node].post("/v1/heartbeats",
                                       {"hostnames": list(self.alive)})
                if a.status == 200:
                    self.unknown.update(a.json["unknown"])
                    return
            except Exception:      # killed, or electing: the next one
                clients.pop(node, None)

    def _run(self):
        clients = {}
        while not self.ends.wait(TTL_S / 6):
            if self.alive:
                self._beat(clients)


def scope(client, ns="roster"):
    for s in client.get(BREAKER).must(200).json["scopes"]:
        if s["ns"] == ns:
            return s
    return None


def agents(client, state=None):
    rows = client.get("/v1/agents").must(200).json
    return sorted(r["hostname"] for r in rows
                  if state is None or r["state"] == state)


def wait_state(client, state, ns="roster", seconds=20):
    def is_so():
        s = scope(client, ns)
        return s if s and s["state"] == state else None
    return until(is_so, seconds)


def metric(client, line):
    text = client.get("/metrics").must(200).body.decode()
    for l in text.splitlines():
        if l.startswith(line):
            return float(l.split()[-1])
    return None


@test(flags=FLAGS, timeout=120)
def a_mass_outage_removes_nobody_and_then_a_few_at_a_time(s):
    all_ = names(1000)
    with Fleet([s], []) as fleet:
        register_all(s, all_, fleet=fleet)
        got = s.get(BREAKER).must(200).json
        assert (got["percent"], got["min"], got["hold_ms"], got["rate"]) == \
            (15, 10, 6000, 20), got
        assert scope(s)["state"] == "closed", got
        assert metric(s, 'roster_breaker_state{scope="roster"}') == 0
        # Five that die alone go in time.
        fleet.alive = all_[5:]
        died = time.monotonic()
        until(lambda: len(agents(s)) == 995, TTL_S + 1 + SLACK_S + 1)
        assert agents(s) == sorted(all_[5:])
        say(f"five alone were gone after {time.monotonic() - died:.1f} s")
        # Then the network.
        fleet.alive = []
        held = wait_state(s, "held")
        assert held["leases"] == 995 and held["suspect"] > 149, held
        assert held["until_ms"] - held["since_ms"] in range(5500, 6501), held
        assert metric(s, 'roster_breaker_state{scope="roster"}') == 1
        wait_state(s, "held", "pool.roster", seconds=3)
        assert metric(s, 'roster_breaker_state{scope="pool.roster"}') == 1
        until(lambda: len(agents(s, "held")) == 995, 5)
        assert metric(s, "roster_leases_held") == 995
        assert metric(s, "roster_breaker_trips_total") == 2
        # All of it was removed at once before there was a breaker.
        time.sleep(2)
        assert len(agents(s)) == 995
        wait_state(s, "pacing")
        began, before = time.monotonic(), len(agents(s))
        time.sleep(5)
        gone, took = before - len(agents(s)), time.monotonic() - began
        say(f"{gone} were removed in {took:.1f} s")
        assert 1 <= gone <= 20 * took + 25, (gone, took)
        # Those that are left come back and were never gone.
        left = agents(s)
        fleet.alive = left
        closed = wait_state(s, "closed")
        assert closed["suspect"] == 0 and closed["since_ms"] is None, closed
        assert set(left) - set(agents(s)) <= fleet.unknown
        log = s.log_lines()
        for words in ("the breaker holds", "hold is over", "breaker closed"):
            assert any(words in line for line in log), words


@test(flags=FLAGS, timeout=120)
def a_scope_is_held_and_the_others_go_on(s):
    make_ns(s, kind="branch", name="shop")
    make_ns(s, kind="leaf", parent="shop.roster", name="web", match="^web-")
    make_ns(s, kind="branch", name="bank")
    make_ns(s, kind="leaf", parent="bank.roster", name="db", match="^db-")
    web, db = names(40), names(400, "db")
    with Fleet([s], []) as fleet:
        register_all(s, db + web, fleet=fleet)
        until(lambda: len(agents(s, "alive")) == 440, 5)
        fleet.alive = db[5:] + web[30:]
        held = wait_state(s, "held", "shop.roster")
        assert held["leases"] == 40, held
        until(lambda: len(agents(s)) == 435, TTL_S + 1 + SLACK_S)
        assert not set(agents(s)) & set(db[:5])
        assert scope(s, "bank.roster")["state"] == "closed"
        assert scope(s)["state"] == "closed"
        assert agents(s, "held") == sorted(web[:30])
        # They come back before it is over: nobody was removed.
        fleet.alive = db[5:] + web
        wait_state(s, "closed", "shop.roster", seconds=5)
        assert len(agents(s)) == 435 and not fleet.unknown & set(web)


@test(flags=FLAGS, timeout=120)
def a_namespace_that_moves_takes_its_leases_along(s):
    for top in ("shop", "bank"):
        make_ns(s, kind="branch", name=top)
    make_ns(s, kind="leaf", parent="shop.roster", name="web", match="^web-")
    register_all(s, names(30), "60s")
    until(lambda: scope(s, "shop.roster")["leases"] == 30, 5)
    s.patch(path("v1", "ns", "web.shop.roster"),
            {"parent": "bank.roster"}).must(200)
    until(lambda: (scope(s, "bank.roster") or {}).get("leases") == 30, 10)
    assert (scope(s, "shop.roster") or {"leases": 0})["leases"] == 0
    # And a machine alone.
    leaf = make_ns(s, kind="leaf", parent="shop.roster", name="other")
    s.post(path("v1", "ns", "web.bank.roster", "machine", "web-7", "move"),
           {"to": leaf}).must(200)
    until(lambda: scope(s, "shop.roster")["leases"] == 1, 5)
    assert scope(s, "bank.roster")["leases"] == 29


@test(flags=("--breaker-hold", "10m"), timeout=120)
def what_an_operator_may_not_say(s):
    s.post(BREAKER, {"action": "release"}).problem(409)
    s.post(BREAKER, {"action": "extend", "duration": "1m"}).problem(409)
    s.post(BREAKER, {"action": "trip"}).problem(400, field="action")
    s.post(BREAKER, {}).problem(400, field="action")
    s.post(BREAKER, {"action": "extend"}).problem(400, field="duration")
    s.post(BREAKER, {"action": "extend",
                     "duration": "900h"}).problem(400, field="duration")
    s.post(BREAKER, {"action": "release",
                     "duration": "1m"}).problem(400, field="duration")
    s.post(BREAKER, {"action": "release",
                     "ns": "no.roster"}).problem(404, field="ns")
    make_ns(s, kind="branch", name="shop")
    make_ns(s, kind="leaf", parent="shop.roster", name="web")
    s.post(BREAKER, {"action": "release",
                     "ns": "web.shop.roster"}).problem(400, field="ns")
    s.post(BREAKER, {"action": "release", "ns": "shop.roster"}).problem(409)
    s.post(BREAKER, {"action": "release", "why": "x"}).problem(400)
    s.get(BREAKER + "?x=1").problem(400)


@test(flags=("--breaker-hold", "10m"), timeout=120)
def a_backup_of_each_state_of_a_scope_is_taken_back(s):
    register_all(s, names(20))
    wait_state(s, "held")
    for action in ({"action": "extend", "duration": "20m"},
                   {"action": "release"}):
        for before in (True, False):
            if not before:
                s.post(BREAKER, action).must(200)
            file = s.get("/v1/admin/backup").must(200).body
            s.post("/v1/admin/restore", raw=file, headers={
                "Content-Type": "application/octet-stream"}).must(200)


@test(flags=("--breaker-percent", "0"), timeout=60)
def without_a_percentage_all_go_at_once(s):
    register_all(s, names(100))
    until(lambda: not agents(s), TTL_S + 1 + SLACK_S + 1)
    assert s.get(BREAKER).must(200).json["percent"] == 0


@bare(timeout=180)
def a_leader_that_dies_while_it_holds_changes_nothing():
    flags = ("--breaker-hold", "14s", "--breaker-rate", "20")
    with Cluster(3, *flags) as c:
        nodes = [c.nodes[name] for name in c.names]
        leader = c.leader()
        all_ = names(400)
        with Fleet(nodes, []) as fleet:
            register_all(c.nodes[leader], all_, fleet=fleet)
            until(lambda: len(agents(c.nodes[leader], "alive")) == 400, 10)
            fleet.alive = all_[:40]
            held = wait_state(c.nodes[leader], "held")
            other = c.nodes[c.followers()[0]]
            until(lambda: (scope(other) or {}).get("state") == "held", 5)
            c.kill(leader)
            alive = [n for n in nodes if n.alive()]
            until(lambda: c.leader_now() not in (None, leader), 20)
            for _ in range(8):
                s = scope(other)
                assert s["state"] == "held", s
                assert (s["since_ms"], s["until_ms"]) == \
                    (scope(other)["since_ms"], scope(other)["until_ms"])
                assert abs(s["until_ms"] - held["until_ms"]) < 2000, (s, held)
                assert len(agents(other)) == 400
                time.sleep(0.5)
            # An operator, through a node that does not lead.
            follower = next(n for n in alive if n.node != c.leader())
            s = follower.post(BREAKER, {"action": "extend",
                                        "duration": "30s"}).must(200).json
            assert s["state"] == "held" and s["ns"] == "roster", s
            assert s["until_ms"] > held["until_ms"] + 5000, (s, held)
            follower.post(BREAKER, {"action": "extend", "duration": "30s",
                                    "ns": "pool.roster"}).must(200)
            time.sleep(max(0, held["until_ms"] / 1000 - time.time() + 1))
            assert len(agents(other)) == 400
            # Who is back was never removed, and is not now.
            fleet.alive = all_[:60]
            until(lambda: len(agents(other, "alive")) == 60, 10)
            # Without a namespace: whatever is held.
            s = follower.post(BREAKER, {"action": "release"}).must(200).json
            assert s["state"] == "pacing" and s["ns"] == "roster", s
            s = scope(other, "pool.roster")
            assert s["state"] == "pacing", s
            began = time.monotonic()
            until(lambda: len(agents(other)) < 390, 10)
            gone, took = 400 - len(agents(other)), time.monotonic() - began
            assert gone <= 20 * took + 25, (gone, took)
            fleet.alive = all_
            wait_state(other, "closed", seconds=20)
            assert set(all_) - fleet.unknown <= set(agents(other))
            assert not set(all_[:60]) & fleet.unknown
            assert len(fleet.unknown) < 200, len(fleet.unknown)
        assert not c.faults(), c.faults()
