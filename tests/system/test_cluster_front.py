"""What a user sees of a cluster: any node takes any request, whoever leads."""
import json
import threading
import time

from cluster import Cluster
from harness import (SLACK_S, Lost, bare, binary, in_threads, path, run,
                     until)
from test_openapi import Document

SERVICE = "/v1/ns/pool.roster/service"


def beat_of(host):
    return f"/v1/agents/{host}/heartbeat"


def clients(c):
    return [c.client(name) for name in c.names]


@bare(timeout=120)
def what_was_written_through_one_node_is_read_there_and_everywhere():
    with Cluster(3) as c:
        all_ = clients(c)
        for i in range(60):
            a = all_[i % 3].post(SERVICE, {"name": f"s{i}"}).must(201)
            assert int(a.headers["roster-revision"]) == a.revision
            all_[i % 3].get(f"{SERVICE}/s{i}").must(200)
            all_[(i + 1) % 3].get(f"{SERVICE}/s{i}", headers={
                "Roster-Min-Revision": str(a.revision)}).must(200)
            all_[(i + 2) % 3].get(
                f"{SERVICE}/s{i}?consistency=linearizable").must(200)
        last = max(in_threads(12, lambda i: [
            c.client(c.names[i % 3]).post(SERVICE, {"name": f"p{i}-{k}"})
            .must(201).revision for k in range(10)][-1]))
        assert len(c.rows_everywhere(SERVICE, last, key="name")) == 180
        c.digests_agree()
        leader = c.leader()
        for name, client in zip(c.names, all_):
            a = client.get(SERVICE).must(200)
            assert a.headers["roster-leader"] == leader, a.headers
            assert a.headers["roster-node"] == name
            stale = int(a.headers["roster-stale-ms"])
            assert stale == 0 if name == leader else stale % 100 == 0, stale


@bare(timeout=120)
def a_refusal_never_rests_on_an_old_state():
    """What another node has just acknowledged is there, for a write too."""
    with Cluster(3) as c:
        all_ = clients(c)
        for i in range(90):
            first, second, third = (all_[(i + k) % 3] for k in range(3))
            ns = first.post("/v1/ns", {"parent": "roster", "name": f"a{i}"}
                            ).must(201).json["ns"]
            second.post(path("v1", "ns", ns, "service"), {"name": "x"}).must(201)
            third.patch(path("v1", "ns", ns, "service", "x"), {"v": "1"}
                        ).must(200)
            first.delete(path("v1", "ns", ns, "service", "x")).must(204)
            second.delete(path("v1", "ns", ns)).must(204)
            third.post(path("v1", "ns", ns, "service"), {"name": "x"}).must(404)


@bare(timeout=120)
def a_restore_through_any_node_reaches_also_one_that_is_away():
    """Nobody has the file any more when that one is back: it takes the state of
    another node."""
    with Cluster(3) as c:
        via, away = c.followers()
        c.client(via).post(SERVICE, [{"name": f"s{i}"} for i in range(200)]
                           ).must(201)
        file = c.client(via).get("/v1/admin/backup").must(200).body
        for leave, come in ((c.kill, c.restart), (c.pause, c.resume)):
            c.client(via).post(SERVICE, {"name": "lost"}).must(201)
            leave(away)
            a = c.client(via).call(
                "POST", "/v1/admin/restore", raw=file,
                headers={"Content-Type": "application/octet-stream"}).must(200)
            c.client(via).post(SERVICE, {"name": "kept"}).must(201)
            come(away)
            c.wait_ready()
            rows = c.rows_everywhere(SERVICE, a.json["revision"] + 1, "name")
            assert {r["name"] for r in rows} == {
                "kept", *(f"s{i}" for i in range(200))}
            c.digests_agree()


@bare(timeout=120)
def heartbeats_through_any_node_keep_a_machine_and_silence_ends_it():
    with Cluster(3) as c:
        all_ = clients(c)
        leader = c.leader()
        followers = [c.client(n) for n in c.followers()]
        for i, host in enumerate(("one", "many", "mute")):
            all_[i].post("/v1/agents", {"hostname": host, "ttl": "3s"}).must(201)
        end = time.monotonic() + 8
        while time.monotonic() < end:
            for client in followers:
                client.put(beat_of("one")).must(204)
                a = client.post("/v1/heartbeats", {"hostnames": [
                    "many", "nobody"]}).must(200)
                assert a.json == {"unknown": ["nobody"]}, a
            time.sleep(0.5)
        for client in all_:
            client.put(beat_of("mute")).must(404)
            found = {a["hostname"]: a for a in client.get("/v1/agents").must(
                200).json}
            assert set(found) == {"one", "many"}, found
            for a in found.values():
                assert a["state"] == "alive", found
                assert a["last_heartbeat_ms"] <= 1500, found
        assert c.leader() == leader


@bare(timeout=120)
def a_node_behind_a_change_of_the_leader_knows_the_new_one():
    """It used to name the one before for another tick, and to know nothing of
    who is alive."""
    with Cluster(3) as c:
        c.client("n1").post("/v1/agents", {"hostname": "here"}).must(201)
        for i in range(9):
            client = c.client(c.names[i % 3])
            leader = client.post("/v1/cluster/transfer").must(200).json["leader"]
            a = client.get("/v1/agents/here").must(200)
            assert a.headers["roster-leader"] == leader, (leader, a.headers)
            assert a.json["state"] == "alive", a


@bare(timeout=180)
def nobody_is_lost_by_a_leader_that_hands_over_dies_or_stands_still():
    hosts = [f"h{i}" for i in range(60)]
    with Cluster(3) as c:
        for host in hosts:
            c.client(c.names[len(host) % 3]).post(
                "/v1/agents", {"hostname": host, "ttl": "3s"}).must(201)
        stop, lost = threading.Event(), []

        def keep():
            """As agents do: whoever answers."""
            while not stop.is_set():
                left = hosts
                for node in list(c.alive()):
                    try:
                        a = node.client(timeout=3).post(
                            "/v1/heartbeats", {"hostnames": left})
                    except Lost:
                        continue
                    if a.status == 200:
                        lost.extend(a.json["unknown"])
                        break
                time.sleep(0.3)
        keeper = threading.Thread(target=keep)
        keeper.start()
        try:
            for _ in range(3):
                before = c.leader()
                a = c.client(c.followers()[0]).post("/v1/cluster/transfer")
                a.must(200)
                assert a.json["leader"] not in ("", before), a
            gone = c.leader()
            c.kill(gone)
            until(lambda: c.leader_now() not in (None, gone), 10)
            time.sleep(4)
            c.restart(gone)
            c.wait_ready([gone])
            stopped = c.leader()
            c.pause(stopped)
            time.sleep(7)  # more than two TTLs
            c.resume(stopped)
            c.wait_ready([stopped])
            time.sleep(4)
        finally:
            stop.set()
            keeper.join()
        assert not lost, lost
        for client in clients(c):
            assert len(client.get("/v1/agents").must(200).json) == len(hosts)


@bare(timeout=120)
def a_follower_alone_reads_and_says_how_old_it_is():
    with Cluster(3) as c:
        c.client("n1").post(SERVICE, {"name": "a"}).must(201)
        name = c.followers()[0]
        for other in c.names:
            if other != name:
                c.pause(other)
        client = c.client(name, timeout=20)
        until(lambda: client.get("/readyz").status == 503, 10)
        client.get("/readyz?stale=1").must(200)
        a = client.get(SERVICE).must(200)
        assert len(a.json) == 1
        assert int(a.headers["roster-stale-ms"]) >= 600, a.headers
        client.get(SERVICE + "?max_stale=1h").must(200)
        client.get(SERVICE + "?max_stale=500ms").problem(503)
        for slow in (
                lambda: client.get(SERVICE + "?consistency=linearizable"),
                lambda: client.post(SERVICE, {"name": "b"}),
                lambda: client.put(beat_of("h")),
                lambda: client.post("/v1/heartbeats", {"hostnames": ["h"]}),
                lambda: client.delete("/v1/ns/nowhere.roster")):
            began = time.monotonic()
            a = slow()
            a.problem(503)
            assert time.monotonic() - began < 12, a
        view = client.get("/v1/cluster").must(200).json
        assert {n["id"] for n in view["nodes"]} == set(c.names)
        assert all(n["applied"] is None for n in view["nodes"]
                   if n["id"] != name), view
        assert client.get("/leader").must(503).json["leader"] is False
        c.heal()
        c.wait_ready()
        c.client(name).post(SERVICE, {"name": "c"}).must(201)


@bare(timeout=120)
def a_leader_that_nobody_follows_says_no():
    with Cluster(3) as c:
        name = c.leader()
        client = c.client(name, timeout=10)
        a = client.get("/leader").must(200)
        assert a.json == {"leader": True, "id": name, "term": a.json["term"],
                          "address": f"127.0.0.1:{c.http[name]}"}, a
        for other in c.followers():
            b = c.client(other).get("/leader").must(503)
            assert b.json == {**a.json, "leader": False}, b
            c.pause(other)
        began = time.monotonic()
        a = client.get("/leader").must(503)
        assert a.json["leader"] is False, a
        assert time.monotonic() - began < 3 + SLACK_S
        c.heal()


@bare(timeout=120)
def a_leader_that_stops_hands_over_and_nobody_notices():
    with Cluster(3, "--drain", "2s") as c:
        leader = c.leader()
        follower = c.followers()[0]
        stop, answers = threading.Event(), []

        def write(name, k):
            client, i = c.client(name), 0
            while not stop.is_set():
                answers.append(client.post(
                    SERVICE, {"name": f"{name}-{k}-{i}"}).status)
                i += 1
        threads = [threading.Thread(target=write, args=(follower, k))
                   for k in range(4)]
        for thread in threads:
            thread.start()
        try:
            time.sleep(0.5)
            assert c.node(leader).stop() == 0
            time.sleep(0.5)
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        assert set(answers) == {201}, set(answers)
        assert c.leader() != leader
        log = "\n".join(c.node(leader).log_lines())
        assert log.index('"leads no more"') > log.index('"stops"')


@bare(timeout=120)
def changes_of_the_cluster_go_through_any_node_and_are_as_documented():
    document = Document()

    def hold(a, *status):
        document.answer(a.must(*status))
        return a.json if a.body else None
    with Cluster(3) as c:
        leader, (one, two) = c.leader(), c.followers()
        client = c.client(one)
        until(lambda: all(n["applied"] is not None for n in
                          client.get("/v1/cluster").json["nodes"]))
        view = hold(client.get("/v1/cluster"), 200)
        assert view["leader"] == leader
        assert [n["id"] for n in view["nodes"]] == c.names
        roles = {n["id"]: n["role"] for n in view["nodes"]}
        assert roles == {leader: "leader", one: "voter", two: "voter"}
        for n in view["nodes"]:
            assert n["http"] == f"127.0.0.1:{c.http[n['id']]}"
            assert n["raft"] == f"127.0.0.1:{c.raft[n['id']]}"
            assert isinstance(n["applied"], int), n

        hold(client.post("/v1/cluster/transfer", {"to": "nobody"}), 404)
        assert hold(client.post("/v1/cluster/transfer", {"to": two}), 200) == {
            "leader": two}
        hold(c.client(two).get("/leader"), 200)
        hold(client.post("/v1/cluster/nodes", {
            "id": leader, "raft": "127.0.0.1:1", "raft_id": "77",
            "http": "127.0.0.1:2", "domain": "roster", "version": "0.1.0",
            "levels": [1, 3]}), 409)
        hold(client.delete("/v1/cluster/nodes/nobody"), 404)
        hold(client.delete(f"/v1/cluster/nodes/{leader}"), 204)
        assert leader not in [n["id"] for n in hold(
            client.get("/v1/cluster"), 200)["nodes"]]
        removed = c.client(leader, timeout=10)
        until(lambda: removed.get("/v1/ns").status == 503, 20)
        assert "removed" in removed.get("/v1/ns").problem(503)["detail"]
        removed.post(SERVICE, {"name": "x"}).problem(503)
        removed.put(beat_of("h")).problem(503)
        for target in ("/readyz", "/readyz?stale=1", "/leader"):
            removed.get(target).must(503)
        for target in ("/livez", "/metrics", "/v1/cluster"):
            removed.get(target).must(200)
        client.post(SERVICE, {"name": "y"}).must(201)
        assert not document.faults, "\n".join(document.faults)


def roster(c, *args, ask="n1", status=0):
    code, out, err = run([binary("roster"), "--server",
                          f"http://127.0.0.1:{c.http[ask]}", *args])
    assert code == status, (args, code, out, err)
    return out


@bare(timeout=120)
def the_command_line_shows_the_cluster_and_changes_it():
    with Cluster(3) as c:
        leader = c.leader()
        text = roster(c, "status")
        lines = text.splitlines()
        assert len(lines) < 24, text
        for name in c.names:
            [line] = [x for x in lines if x.startswith(name)]
            assert f"127.0.0.1:{c.http[name]}" in line and "ready" in line, text
            assert ("leader" if name == leader else "voter") in line, text
        assert "warning" not in text, text
        nodes = json.loads(roster(c, "--json", "status"))
        assert [n["node"] for n in nodes] == c.names
        assert {n["state"] for n in nodes} == {"ready"}

        follower = c.followers()[0]
        assert json.loads(roster(c, "--json", "cluster", "transfer", follower)
                          ) == {"leader": follower}
        assert c.leader() == follower
        assert follower in roster(c, "leader")
        assert len([x for x in roster(c, "cluster").splitlines()
                    if x.split()[0] in c.names]) == 3
        lost = next(n for n in c.names if n not in (follower, "n1"))
        c.kill(lost)
        text = roster(c, "status")
        assert "unreachable" in text and "none more may be lost" in text, text
        roster(c, "cluster", "remove", lost)
        roster(c, "cluster", "remove", lost, status=1)
        text = roster(c, "status")
        assert lost not in text and "2 voters bear no more losses" in text, text
        roster(c, "cluster", "explode", status=2)
