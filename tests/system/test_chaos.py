"""Clusters that are broken while clients record what they are told (BRIEF P1 to
P6): one order explains every answer, acknowledged rows are on every node, the
nodes have one digest, and nobody who is alive is removed. A run is repeated with
ROSTER_TEST_SEED; scripts/soak does the same for hours."""
import contextlib
import http.server
import json
import os
import random
import tempfile
import threading
import time

from chaos import Agents, Storm
from cluster import Cluster
from harness import PATIENCE, Client, bare, path, say, seeded, until
from proxy import free_ports


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
        if world.error != "lost rows" or world.rng.random() > 0.02:
            again = world.error == "twice" and world.rng.random() < 0.02
            for _ in range(2 if again else 1):
                world.log.append((world.revision, words[3],
                                  key or f"row{len(world.log)}",
                                  None if self.command == "DELETE" else row))
        return (204,) if self.command == "DELETE" else (201, row)


class FakeWorld:
    """Stands where a Cluster does: three ports, one log."""
    net = slow = None

    def __init__(self, error):
        self.error, self.rng, self.lock = error, random.Random(1), threading.Lock()
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

    wait_ready = heal

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
        storm = Storm(world, 7, registers=4, adders=2, insisters=0, listers=1)
        storm.agents.placed = {}
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
    found("old reads", "is older than")


@bare
def a_registry_that_does_not_look_at_conditions_is_found_out():
    found("lost updates", "no order gets past")


@bare
def a_registry_that_loses_rows_is_found_out():
    found("lost rows", "acknowledged and not there")


@bare
def a_registry_that_does_things_twice_is_found_out():
    found("twice", "there twice")
