"""Clusters that are broken while clients record what they are told (BRIEF P1 to
P6): one order explains every answer, acknowledged rows are on every node, the
nodes have one digest, and nobody who is alive is removed. A run is repeated with
ROSTER_TEST_SEED; scripts/soak does the same for hours."""
import collections
import contextlib
import http.server
import json
import os
import tempfile
import threading
import time

from chaos import Storm
from cluster import Cluster
from harness import (PATIENCE, Client, Lost, bare, free_ports, make_list, say,
                     seeded, until)
from test_full import leave_disk, small_disk


def weather(cluster, seconds, kinds=None, seed=None, **workers):
    seed = seed or seeded("chaos").randrange(10**9)
    storm = Storm(cluster, seed, **workers)
    storm.run(seconds, kinds)
    wrong = storm.settle()
    say(storm.summary())
    if wrong:
        file = os.path.join(tempfile.gettempdir(), f"roster-history-{seed}")
        storm.history.save(file)
        raise AssertionError("\n".join(
            [f"the history is in {file}", storm.summary(), *wrong[:20]]))
    return storm


# ---- the tests' own test ----------------------------------------------------

class Fake(http.server.BaseHTTPRequestHandler):
    """As much of a registry as a storm needs, with an error that is wanted."""
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status, body=None):
        data = b"" if body is None else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Roster-Revision", str(self.server.seen))
        self.send_header("Roster-Node", self.server.name)
        self.send_header("Roster-Leader", "n1")
        self.send_header("Roster-Stale-Ms", "0")
        self.end_headers()
        self.wfile.write(data)

    def do(self):
        world, mine = self.server.world, self.server
        length = int(self.headers.get("Content-Length", 0))
        body = json.loads(self.rfile.read(length) or b"{}")
        words = self.path.partition("?")[0].strip("/").split("/")
        with world.lock:
            if "linearizable" in self.path and world.error != "old reads" or \
                    self.command != "GET" or not world.error:
                mine.seen = world.revision
            self.answer(*self.decide(world, mine, words, body))

    do_GET = do_PUT = do_POST = do_DELETE = do

    def decide(self, world, mine, words, body):
        if words[:2] == ["v1", "agents"] or words[1:2] == ["heartbeats"]:
            return (204,) if self.command == "PUT" else \
                (200, {"placements": {}, "unknown": []})
        if words == ["v1", "ns"]:
            return 201, {"ns": "leaf.roster"}
        if words[:2] != ["v1", "ns"] or len(words) < 4:
            return 200, {"digest": "d", "index": 1}
        key = words[-1] if len(words) == 5 else None
        if self.command == "GET":
            rows = world.state(mine.seen).get(words[3], {})
            if key:
                return (200, rows[key]) if key in rows else (404,)
            return 200, list(rows.values())
        return self.write(world, mine, words, body, key)

    def write(self, world, mine, words, body, key):
        state = world.state(world.revision)
        there = state.get(words[3], {}).get(key)
        want = self.headers.get("If-Match")
        if self.command == "DELETE" and not there or \
                self.headers.get("If-None-Match") and there:
            return (404 if self.command == "DELETE" else 412,)
        if want and want != f'"{there and there["_rev"]}"' and \
                world.error != "lost updates":
            return (412,)
        world.revision += 1
        mine.seen = world.revision
        row = {**body, "_rev": world.revision}
        odd = world.revision % 25 == 0
        if world.error != "lost rows" or not odd:
            again = world.error == "twice" and odd
            for _ in range(2 if again else 1):
                world.log.append((world.revision, words[3],
                                  key or f"row{len(world.log)}",
                                  None if self.command == "DELETE" else row))
        return (204,) if self.command == "DELETE" else (201, row)


class FakeWorld:
    """Stands where a Cluster does: three ports, one log."""
    net = slow = None

    def __init__(self, error):
        self.error, self.lock = error, threading.Lock()
        self.log, self.revision, self.states = [], 1, {0: (0, {})}
        self.names = ["n1", "n2", "n3"]
        self.http = dict(zip(self.names, free_ports(3)))
        self.nodes, self.servers = {}, []
        for name, port in self.http.items():
            server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Fake)
            server.daemon_threads = True
            server.name, server.world, server.seen = name, self, 1
            threading.Thread(target=server.serve_forever, args=(0.02,),
                             daemon=True).start()
            self.servers.append(server)

    def state(self, revision):
        """Lists at that revision. The last one is kept, most ask for it."""
        known, lists = self.states.get("newest", (0, {}))
        if revision < self.revision or known > revision:
            known, lists = 0, {}
        for rev, kind, key, row in self.log if known == 0 else \
                [e for e in self.log[-20:] if e[0] > known]:
            if rev <= revision:
                if row is None:
                    lists.get(kind, {}).pop(key, None)
                else:
                    lists.setdefault(kind, {})[key] = row
        if revision == self.revision:
            self.states["newest"] = (revision, lists)
        return lists

    def client(self, name, **options):
        return Client(self.http[name], node=name, nodes=self.names, **options)

    def leader(self, *_):
        return "n1"

    leader_now = leader

    def heal(self, *_):
        pass

    wait_ready = wait_for_all = heal

    def faults(self):
        return []

    def digests_agree(self):
        return {}

    def rows_everywhere(self, target, revision=0):
        return list(self.state(self.revision).get(
            target.split("/")[-1], {}).values())

    def close(self):
        for server in self.servers:
            server.shutdown()
            server.server_close()


def fake_storm(error):
    world = FakeWorld(error)
    try:
        storm = Storm(world, 7, registers=4, adders=2, insisters=0, listers=1,
                      agents=0)
        storm.run(1 * PATIENCE, ["nothing"])
        return storm, storm.settle()
    finally:
        world.close()


def found(error, *texts):
    storm, wrong = fake_storm(error)
    say(storm.summary())
    for text in texts:
        assert any(text in w for w in wrong), f"{error} was not found: {wrong}"
    return wrong


@bare
def a_registry_without_an_error_passes():
    assert found(None) == []


@bare
def a_registry_that_answers_reads_from_an_old_state_is_found_out():
    found("old reads", "no order gets past")


@bare
def a_registry_that_does_not_look_at_conditions_is_found_out():
    found("lost updates", "no order gets past")


@bare
def a_registry_that_loses_rows_is_found_out():
    found("lost rows", "acknowledged and not there", "no order gets past")


@bare
def a_registry_that_does_things_twice_is_found_out():
    found("twice", "there twice")


# ---- real ones --------------------------------------------------------------

# Snapshots and their transfer belong to the weather.
SMALL_LOG = ("--snapshot-bytes", "1MiB")


@bare(timeout=150)
def three_nodes_keep_their_word_whatever_breaks():
    with Cluster(3, *SMALL_LOG, faults=True, slow=True) as c:
        weather(c, 18)


@bare(timeout=150)
def five_nodes_keep_their_word_whatever_breaks():
    with Cluster(5, *SMALL_LOG, faults=True, slow=True) as c:
        weather(c, 10, registers=4, adders=3)


@bare(timeout=120)
def one_node_keeps_its_word_whatever_breaks():
    with Cluster(1, *SMALL_LOG, slow=True) as c:
        weather(c, 6)


@bare(timeout=120)
def a_leader_that_stands_still_for_two_ttls_removes_nobody():
    with Cluster(3) as c:
        storm = Storm(c, seeded("stopped leader").randrange(10**9), registers=1,
                      adders=1, insisters=0, listers=0, ttl_s=2)
        stopped = c.leader()

        def stop_the_leader(_):
            c.pause(stopped)
            new = until(lambda: c.leader_now(), 20)
            assert new != stopped
            time.sleep(2 * storm.agents[0].ttl_s + 1)
            c.resume(stopped)
            time.sleep(storm.agents[0].ttl_s)
        storm.nemesis.stop_the_leader = stop_the_leader
        storm.run(0.1, ["stop_the_leader"])
        wrong = storm.settle()
        assert not wrong, "\n".join(wrong)
        say(storm.summary())


@bare(timeout=150)
def a_cluster_outlives_the_full_disk_of_any_node():
    disk = small_disk(192)
    try:
        with Cluster(3, *SMALL_LOG, start=False) as c:
            small = c.node("n3")
            small.data_dir = os.path.join(disk, "data")
            c.start()
            targets = [make_list(c.node(c.leader())) for _ in range(2)]
            for target, leads in zip(targets, (False, True)):
                lead(c, "n3" if leads else "n1")
                full_for_a_while(c, disk, target, must_go_on=not leads)
    finally:
        leave_disk(disk)


def lead(c, name):
    """Make that node the leader."""
    def leads():
        if c.leader() == name:
            return True
        with contextlib.suppress(Lost):
            c.client(c.leader()).post("/v1/cluster/transfer", {"to": name})
        return c.leader() == name
    until(leads, 30, every=0.2)


def full_for_a_while(c, disk, target, must_go_on):
    c.wait_for_all(target)
    ballast, kept = os.path.join(disk, "ballast"), set()
    clients = [c.client(name) for name in c.names]

    def add(i):
        a = clients[i % 3].post(target, {"tag": f"r{i}", "pad": "x" * 20000})
        if a.status == 201:
            kept.add(f"r{i}")
        return a.must(201, 503, 504, 507).status
    fill(ballast)
    try:
        statuses = [add(i) for i in range(150)]
        if must_go_on:
            assert 201 in statuses[-10:], f"a full follower: {statuses}"
        for client in clients:
            client.get(target).must(200)
    finally:
        os.unlink(ballast)
    until(lambda: add(1000 + len(kept)) == 201, 30, every=0.3)
    c.heal()                   # one that had to stop is started by its manager
    c.wait_ready()
    newest = clients[0].get(target + "?consistency=linearizable").revision
    there = {row["tag"] for row in c.rows_everywhere(target, newest)}
    assert kept <= there, f"lost: {sorted(kept - there)[:9]}"
    c.digests_agree()
    say(f"full disk of {'the leader' if not must_go_on else 'a follower'}: "
        f"{dict(collections.Counter(statuses))}")


def fill(ballast):
    with open(ballast, "wb", buffering=0) as f, contextlib.suppress(OSError):
        while True:
            f.write(b"x" * 65536)


@bare(timeout=120)
def what_the_nodes_say_to_each_other_goes_through_the_proxy():
    with Cluster(3, faults=True) as c:
        leader = c.leader()
        others = [name for name in c.names if name != leader]
        target = make_list(c.node(leader))
        c.wait_for_all(target)
        status = c.net.status()
        for i, j in status:
            if leader in (i, j):
                assert status[i, j]["bytes"], f"{i} sent nothing to {j}"
        # Alone, and not told so by closed connections: it must find out.
        c.net.split([leader], others)
        until(lambda: any(c.client(name).get("/leader").status == 200
                          for name in others), 20)
        alone = c.client(leader)
        alone.get("/leader").must(503)
        alone.get(target + "?consistency=linearizable").problem(503)
        a = c.client(others[0]).post(target, {"tag": "with the others"}).must(201)
        assert alone.get(target).must(200).json == [], "it heard of it"
        b = alone.post(target, {"tag": "alone"})
        b.must(503, 504)
        c.net.heal()
        c.wait_ready()
        tags = [r["tag"] for r in c.rows_everywhere(target, a.revision)]
        assert tags[0] == "with the others"
        assert tags[1:] in ([], ["alone"]) and (b.status == 504 or not tags[1:])
        c.digests_agree()
