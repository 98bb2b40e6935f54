"""A cluster as its users see it: any node takes any request, and what one node
acknowledged the others have (BRIEF P1 to P3)."""
import os
import re
import signal
import statistics
import threading
import time

from cluster import Cluster
from harness import (BUILD, FULL, PATIENCE, REPOSITORY, Client, Lost, bare,
                     binary, environment, free_ports, in_threads, make_list,
                     own_port, path, run, say, spawn, until)

LINEARIZABLE = "?consistency=linearizable"


def everywhere(c, target, told):
    """Those rows, and only those, are on every node with the same digest."""
    rows = c.rows_everywhere(target, max(told.values(), default=0))
    there = {r["tag"]: r["_rev"] for r in rows}
    assert len(there) == len(rows), "a row is there twice"
    assert there == told, (
        f"{len(told)} acknowledged, {len(there)} there; "
        f"they differ in {sorted(set(there) ^ set(told))[:9]}")
    return c.digests_agree()


@bare(timeout=150)
def rows_added_through_all_nodes_are_on_all_nodes():
    with Cluster(3) as c:
        target, told = make_list(c.node("n1")), {}
        c.wait_for_all(target)
        clients = [c.client(name) for name in c.names]
        for i in range(1000):
            row = clients[i % 3].post(target, {"tag": f"s{i}"}).must(201).json
            told[row["tag"]] = row["_rev"]
        revs = list(told.values())
        assert revs == sorted(revs), "a later row has a lower revision"
        everywhere(c, target, told)

        def adder(i):
            client, mine = c.client(c.names[i % 3]), {}
            for k in range(15):
                row = client.post(target, {"tag": f"p{i}-{k}"}).must(201).json
                mine[row["tag"]] = row["_rev"]
            return mine
        for mine in in_threads(64, adder):
            told.update(mine)
        assert len(told) == 1000 + 64 * 15
        everywhere(c, target, told)
        assert not c.faults(), c.faults()


@bare(timeout=90)
def a_node_reads_what_was_written_through_it():
    with Cluster(3) as c:
        target = make_list(c.node("n1"))
        c.wait_for_all(target)
        for i in range(150):
            writer = c.node(c.names[i % 3])
            a = writer.post(target, {"name": f"r{i}"}).must(201)
            # At once on the same node, without asking for anything.
            writer.get(f"{target}/r{i}").must(200)
            for name in c.names:
                other = c.node(name)
                seen = other.get(f"{target}/r{i}", headers={
                    "Roster-Min-Revision": str(a.revision)}).must(200)
                assert seen.revision >= a.revision
        assert not c.faults(), c.faults()


@bare(timeout=90)
def a_linearizable_read_through_any_node_sees_what_was_acknowledged():
    with Cluster(3) as c:
        target = make_list(c.node("n1"))
        c.wait_for_all(target)
        for i in range(150):
            c.node(c.names[i % 3]).put(f"{target}/x", {"v": str(i)}).must(200, 201)
            reader = c.node(c.names[(i + 1 + i // 3 % 2) % 3])
            a = reader.get(f"{target}/x{LINEARIZABLE}").must(200)
            assert a.json["v"] == str(i), a
        assert not c.faults(), c.faults()


@bare(timeout=90)
def conditions_and_keys_are_decided_once_for_all_nodes():
    with Cluster(3) as c:
        target = make_list(c.node("n1"))
        c.wait_for_all(target)

        def race(i):
            client, won = c.client(c.names[i % 3]), []
            for k in range(20):
                a = client.post(target, {"name": f"one{k}", "by": str(i)})
                won += [k] if a.must(201, 409).status == 201 else []
            return won
        won = sorted(k for mine in in_threads(12, race) for k in mine)
        assert won == list(range(20)), "a name was given twice, or never"
        a = c.node("n1").put(f"{target}/n", {"v": "0"}).must(201)

        def count(i):
            client = c.client(c.names[i % 3])
            for _ in range(10):
                while True:
                    row = client.get(f"{target}/n{LINEARIZABLE}").must(200).json
                    a = client.put(f"{target}/n", {"v": str(int(row["v"]) + 1)},
                                   {"If-Match": f'"{row["_rev"]}"'})
                    if a.must(200, 412).status == 200:
                        break
        in_threads(6, count)
        a = c.node("n2").get(f"{target}/n{LINEARIZABLE}")
        assert a.json["v"] == "60", f"lost updates: {a!r}"


@bare(timeout=90)
def a_key_of_a_retry_is_known_to_all_nodes():
    with Cluster(3) as c:
        target = make_list(c.node("n1"))
        c.wait_for_all(target)
        for i in range(30):
            ids = set()
            for name in c.names:
                a = c.node(name).post(target, {"tag": "same"},
                                      {"Idempotency-Key": f"k{i}"}).must(201)
                ids.add(a.json["_id"])
            assert len(ids) == 1, ids
        assert len(c.rows_everywhere(target, a.revision)) == 30


@bare(timeout=90)
def agents_talk_to_any_node():
    with Cluster(3) as c:
        ttl = 3
        for i, name in enumerate(c.names):
            c.node(name).post("/v1/agents", {
                "hostname": f"h{i}", "ttl": f"{ttl}s"}).must(201)
        c.node("n1").post("/v1/agents", {
            "hostname": "silent", "ttl": f"{ttl}s"}).must(201)
        end = time.monotonic() + 2 * ttl
        i = 0
        while time.monotonic() < end:
            i += 1
            for k in range(3):
                node = c.node(c.names[(i + k) % 3])
                if i % 2:
                    node.put(path("v1", "agents", f"h{k}",
                                  "heartbeat")).must(204)
                else:
                    a = node.post("/v1/heartbeats", {"hostnames": [
                        f"h{k}", "nobody"]}).must(200)
                    assert a.json["unknown"] == ["nobody"], a
            time.sleep(0.1)
        for name in c.names:
            machines = {m["hostname"] for m in c.node(name).get(
                "/v1/ns/pool.roster/machine" + LINEARIZABLE).must(200).json}
            assert machines == {"h0", "h1", "h2"}, machines
            agents = c.node(name).get("/v1/agents").must(200).json
            assert {a["hostname"] for a in agents} == machines
            c.node(name).put("/v1/agents/silent/heartbeat").problem(404)
        assert not c.faults(), c.faults()


# ---- one is lost ------------------------------------------------------------

class Writer(threading.Thread):
    """Adds rows through one of some nodes, and notes when each was accepted."""

    def __init__(self, c, names, target, number, over):
        super().__init__(daemon=True)
        self.c, self.names, self.target, self.over = c, names, target, over
        self.number, self.told, self.maybe = number, {}, set()
        self.accepted, self.fault = [], None

    def run(self):
        try:
            i = self.number
            client = None
            while not self.over.is_set():
                i += 1
                if client is None:
                    client = self.c.client(self.names[i % len(self.names)],
                                           timeout=15)
                if not self.one(client, f"w{self.number}-{i}"):
                    client = None
        except BaseException as e:  # pylint: disable=broad-except
            self.fault = e

    def one(self, client, tag):
        began = time.monotonic()
        try:
            a = client.post(self.target, {"tag": tag})
        except Lost as e:
            if not isinstance(e.__cause__, ConnectionRefusedError):
                self.maybe.add(tag)
            time.sleep(0.005)
            return False
        if a.status == 201:
            self.accepted.append((began, time.monotonic(), client.node))
            self.told[tag] = a.json["_rev"]
        elif a.must(503, 504).status == 504:
            self.maybe.add(tag)
        return True


def leader_lost(lose, bring_back):
    """64 writers, and the leader is lost some times. Each time: the seconds until
    a write was accepted that began after it, through another node."""
    took = []

    def first(writers, lost, leader):
        return min((done for w in writers for began, done, node in
                    w.accepted[-20:] if began > lost and node != leader),
                   default=None)
    with Cluster(3) as c:
        target, over = make_list(c.node(c.leader())), threading.Event()
        c.wait_for_all(target)
        writers = [Writer(c, c.names, target, i, over) for i in range(64)]
        for w in writers:
            w.start()
        for _ in range(10 if FULL else 3):
            time.sleep(0.7)
            leader = c.leader()
            began = time.monotonic()
            lose(c, leader)
            took.append(until(lambda: first(writers, began, leader), 20,
                              every=0.005) - began)
            time.sleep(0.3)
            bring_back(c, leader)
            c.wait_ready()
        over.set()
        for w in writers:
            w.join(30 * PATIENCE)
            if w.fault:
                raise w.fault
        told = {t: r for w in writers for t, r in w.told.items()}
        maybe = set().union(*(w.maybe for w in writers))
        rows = c.rows_everywhere(target, max(told.values()))
        there = {r["tag"]: r["_rev"] for r in rows}
        assert len(there) == len(rows), "a row is there twice"
        lost = {t for t, r in told.items() if there.get(t) != r}
        assert not lost, f"{len(lost)} acknowledged rows lost: {sorted(lost)[:9]}"
        stray = set(there) - set(told) - maybe
        assert not stray, f"rows that were refused: {sorted(stray)[:9]}"
        c.digests_agree()
    say(f"{len(told)} rows acknowledged, {len(maybe)} unknown; the first write "
        f"through another node after " +
        ", ".join(f"{t:.2f}" for t in took) +
        f" s, median {statistics.median(took):.2f} s")
    assert max(took) < 10 * PATIENCE


@bare(timeout=200)
def when_the_leader_is_killed_others_go_on_and_nothing_is_lost():
    leader_lost(lambda c, name: c.kill(name),
                lambda c, name: c.node(name).start(wait=False))


@bare(timeout=200)
def when_the_leader_stands_still_others_go_on_and_nothing_is_lost():
    leader_lost(lambda c, name: c.pause(name), lambda c, name: c.resume(name))


@bare(timeout=120)
def without_a_majority_writes_are_refused_and_local_reads_go_on():
    with Cluster(3) as c:
        target = make_list(c.node("n1"))
        row = c.node("n1").post(target, {"tag": "a"}).must(201).json
        c.rows_everywhere(target, row["_rev"])
        for name in ("n1", "n2"):
            c.kill(name)
        last = c.node("n3")
        until(lambda: last.get("/readyz").status == 503, 20)
        a = last.post(target, {"tag": "b"})
        a.problem(a.must(503, 504).status)
        last.get(target + LINEARIZABLE).problem(503)
        assert last.get(target).must(200).json == [row]
        last.get("/readyz?stale=1").must(200)
        last.get("/leader").must(503)
        until(lambda: int(last.get(target).headers["roster-stale-ms"]) > 1000, 20)
        c.heal()
        c.wait_ready()
        rows = c.rows_everywhere(target, row["_rev"])
        assert {r["tag"] for r in rows} in ({"a"}, {"a", "b"})
        assert a.status == 504 or {r["tag"] for r in rows} == {"a"}
        c.digests_agree()


@bare(timeout=120)
def a_node_that_was_away_catches_up():
    with Cluster(3, "--snapshot-bytes", "1MiB") as c:
        target, told = make_list(c.node("n1")), {}
        away = c.followers()[0]
        for pad in (10, 30_000):      # from the log; from a snapshot
            c.kill(away)
            leader = c.client(c.leader())
            for i in range(400):
                row = leader.post(target, {"tag": f"{pad}-{i}",
                                           "pad": "x" * pad}).must(201).json
                told[row["tag"]] = row["_rev"]
            c.node(away).start(wait=False)
            c.wait_ready()
            everywhere(c, target, told)


# ---- scripts/cluster --------------------------------------------------------

@bare(timeout=120)
def the_script_starts_a_cluster_and_ends_all_of_it():
    binary("rosterd")
    port = free_port_range()
    log = os.path.join("/tmp", f"roster-test-script-{os.getpid()}")
    with open(log, "w+b") as out:
        script = spawn([os.path.join(REPOSITORY, "scripts", "cluster"),
                        "--port", str(port)], stderr=out, stdout=out,
                       env=environment(ROSTER_BUILD=BUILD))
        try:
            until(lambda: b"Ctrl-C ends it" in read(log), 60)
            urls = re.findall(r"http://127\.0\.0\.1:(\d+)  pid (\d+)",
                              read(log).decode())
            assert [int(p) for p, _ in urls] == [port, port + 100, port + 200]
            first, *_, last = (Client(int(p)) for p, _ in urls)
            revision = first.post("/v1/ns/pool.roster/thing",
                                  {"name": "a"}).must(201).revision
            last.get("/v1/ns/pool.roster/thing/a", headers={
                "Roster-Min-Revision": str(revision)}).must(200)
            os.kill(int(urls[0][1]), signal.SIGKILL)
            until(lambda: b"n1 is started again" in read(log), 30)
            until(lambda: ready(port), 30)
            script.send_signal(signal.SIGINT)
            assert script.wait(30 * PATIENCE) == 0
            for p, _ in urls:
                status, _, _ = run(["bash", "-c", f": >/dev/tcp/127.0.0.1/{p}"])
                assert status != 0, f"something still listens on {p}"
        except AssertionError as e:
            raise AssertionError(f"{e}\n{read(log).decode()[-3000:]}") from None
        finally:
            script.kill()
            os.unlink(log)


def read(file):
    with open(file, "rb") as f:
        return f.read()


def ready(port):
    try:
        return Client(port, timeout=3).get("/readyz").status == 200
    except Lost:
        return False


def free_port_range():
    """A port that is free as those are that scripts/cluster takes with it."""
    while True:
        port, = free_ports(1)
        if all(own_port(port + p) for p in (1, 100, 101, 200, 201)):
            return port
