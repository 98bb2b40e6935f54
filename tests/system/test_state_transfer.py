"""A node that the log does not reach any more gets the state of another one,
whatever dies, breaks or runs full on the way; and a restore through any node is
one on all of them."""
import os
import random
import threading
import time

from cluster import Cluster
from harness import Lost, bare, memory_counts, until

LIST = "/v1/ns/pool.roster/service"
BIG = 100_000  # bytes of a row


def row(tag, size=0):
    return {"name": tag, "tag": tag, "text": "x" * size}


def add(node, tags, size=0):
    node.post(LIST, [row(t, size) for t in tags]).must(201)


def metric(node, name):
    for line in node.get("/metrics").body.decode().splitlines():
        if line.startswith(name + " "):
            return float(line.split()[1])
    return None


def said(node, words):
    return [line for line in node.log_lines() if words in line]


# As much as takes a moment, also where programs are slow.
MIB = 24 if memory_counts() else 12


def leave_behind(c, name, rows, mib=MIB):
    """Ends that node, and moves the others so far on that the log is cut
    behind it. Adds what it adds to `rows`."""
    c.kill(name)
    time.sleep(0.3)  # what was on its way to it is given up
    leader = c.node(c.leader())
    for _ in range(mib):
        tags = [f"b{len(rows) + i}" for i in range(10)]
        add(leader, tags, BIG)
        rows += tags
    leader.post("/v1/admin/snapshot").must(200)
    time.sleep(1)


def is_everywhere(c, rows):
    c.wait_ready()
    got = c.rows_everywhere(LIST, c.node(c.leader()).revision(), seconds=60)
    assert sorted(r["tag"] for r in got) == sorted(rows), (
        f"{len(got)} rows, {len(rows)} were acknowledged")
    c.digests_agree(60)


def follower(c):
    return c.followers()[0]


@bare(timeout=150)
def a_node_behind_the_log_gets_the_state_under_load():
    with Cluster(3, "--snapshot-bytes", "4MiB") as c:
        rows, stop = [], threading.Event()
        away = follower(c)
        leave_behind(c, away, rows)
        told = []

        def write():
            client = c.client(c.leader())
            while not stop.is_set():
                tag = f"w{len(told)}"
                client.post(LIST, row(tag, 5000)).must(201)
                told.append(tag)
        writer = threading.Thread(target=write)
        writer.start()
        try:
            c.node(away).start(wait=False)
            c.wait_ready([away])
        finally:
            stop.set()
            writer.join()
        assert metric(c.node(away), "roster_installs_total") >= 1
        assert metric(c.node(away), "roster_state_file_fetched_bytes_total") > 0
        is_everywhere(c, rows + told)
        add(c.node(away), ["last"])
        is_everywhere(c, rows + told + ["last"])
        assert not c.faults(), c.faults()


@bare(timeout=200)
def who_gets_the_state_may_be_killed_at_any_time():
    with Cluster(3, "--snapshot-bytes", "4MiB") as c:
        rows, chance = [], random.Random(4)
        away = follower(c)
        leave_behind(c, away, rows, 5 * MIB // 3)
        for _ in range(12):
            c.restart(away)
            time.sleep(chance.uniform(0.1, 0.9))
            c.kill(away)
        c.node(away).start(wait=False)
        is_everywhere(c, rows)
        add(c.node(away), ["last"])
        c.restart(away)
        is_everywhere(c, rows + ["last"])


@bare(timeout=200)
def who_sends_the_state_may_be_killed():
    with Cluster(3, "--snapshot-bytes", "4MiB") as c:
        rows = []
        away = follower(c)
        leave_behind(c, away, rows, 5 * MIB // 3)
        leader = c.leader()
        c.node(away).start(wait=False)
        until(lambda: said(c.node(away), "its state is fetched"), 20)
        c.kill(leader)
        c.wait_ready([n for n in c.names if n != leader], 60)
        c.node(leader).start(wait=False)
        is_everywhere(c, rows)


@bare(timeout=150)
def a_file_that_was_cut_is_not_taken_and_the_next_one_is():
    with Cluster(3) as c:
        rows = []
        away = follower(c)
        leave_behind(c, away, rows)
        leader = c.leader()
        for name in c.names:
            state = os.path.join(c.node(name).data_dir, "state")
            for file in os.listdir(state):
                path = os.path.join(state, file)
                os.truncate(path, os.path.getsize(path) - 1)
        c.node(away).start(wait=False)
        until(lambda: said(c.node(away), "could not be fetched"), 30)
        assert c.node(away).get("/readyz").status == 503
        c.node(leader).post("/v1/admin/snapshot").must(200)
        c.wait_ready([away], 60)
        assert metric(c.node(away), "roster_state_file_fetches_failed_total") > 0
        is_everywhere(c, rows)


@bare(timeout=150)
def without_room_for_the_state_a_node_waits_for_it():
    with Cluster(3) as c:
        rows = []
        away = follower(c)
        leave_behind(c, away, rows)
        node = c.node(away)
        node.flags += ["--disk-reserve", "8000GiB"]
        node.start(wait=False)
        until(lambda: said(node, "there is no room for it"), 30)
        assert node.get("/readyz").status == 503
        add(c.node(c.leader()), ["more"])
        node.kill()
        del node.flags[-2:]
        node.start(wait=False)
        is_everywhere(c, rows + ["more"])


@bare(timeout=150)
def a_restore_through_any_node_is_one_on_all():
    with Cluster(3, "--snapshot-bytes", "4MiB") as c:
        rows = [f"r{i}" for i in range(300)]
        for name in c.names:
            add(c.node(name), [t for t in rows
                               if int(t[1:]) % 3 == c.names.index(name)])
        # What another node has said yes to may be on its way to this one.
        backup = c.node(c.names[0]).get(
            "/v1/admin/backup?consistency=linearizable").must(200).body
        add(c.node(c.leader()), [f"later{i}" for i in range(50)])
        for name in (follower(c), c.leader(), c.followers()[1]):
            a = c.node(name).call(
                "POST", "/v1/admin/restore", raw=backup,
                headers={"Content-Type": "application/octet-stream"})
            a.must(200)
            is_everywhere(c, rows)
            add(c.node(follower(c)), [f"after-{name}"])
            is_everywhere(c, rows + [f"after-{name}"])


@bare(timeout=200)
def a_node_that_was_away_for_a_restore_has_it_too():
    with Cluster(3) as c:
        rows = [f"r{i}" for i in range(30)]
        add(c.node(c.leader()), rows)
        backup = c.node(c.leader()).get("/v1/admin/backup").must(200).body
        add(c.node(c.leader()), ["later"])
        away = follower(c)
        c.kill(away)
        leader = c.node(c.leader())
        leader.call("POST", "/v1/admin/restore", raw=backup,
                    headers={"Content-Type": "application/octet-stream"}
                    ).must(200)
        add(leader, ["after"])
        until(lambda: leader.get("/v1/admin/snapshots").json, 20)
        c.node(away).start(wait=False)
        is_everywhere(c, rows + ["after"])


@bare(timeout=100)
def strangers_get_no_file():
    with Cluster(3) as c:
        node = c.node(c.leader())
        for data in (b"", b"\0" * 128, b"\xff" * 600, os.urandom(4096)):
            with node.wire() as _:
                import socket
                with socket.create_connection(("127.0.0.1", node.raft), 5) as s:
                    s.settimeout(5)
                    try:
                        s.sendall(data)
                        s.shutdown(socket.SHUT_WR)
                        assert len(s.recv(65536)) < 2048
                    except OSError:
                        pass
        try:
            assert node.get("/readyz").status == 200
        except Lost as e:
            raise AssertionError("it is gone") from e
