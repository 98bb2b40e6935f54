"""How nodes become a cluster and leave it, as who runs them sees it."""
import json
import os
import random
import time

from cluster import Cluster
from harness import (Lost, Server, bare, binary, environment, free_ports, run,
                     until)

SERVICE = "/v1/ns/pool.roster/service"


def view(node):
    """The nodes of the cluster as one of them sees them, by id."""
    a = node.client(timeout=10).get("/v1/cluster")
    return {n["id"]: n for n in a.json["nodes"]} if a.status == 200 else {}


def voters(node):
    return sorted(i for i, n in view(node).items()
                  if n["role"] in ("leader", "voter"))


def said(node, sentence):
    """The log lines with that sentence."""
    return [x for x in map(json.loads, node.log_lines())
            if sentence in json.dumps(x)]


def add(node, tag):
    node.client(timeout=20).post(SERVICE, {"name": tag, "tag": tag}).must(201)


def alone():
    """A registry of one node, whose ports stay the same."""
    return Cluster(1)


# ---- forming ----

@bare(timeout=240)
def nodes_that_die_while_they_form_form_one_cluster():
    chance = random.Random(4)
    with Cluster(5, start=False) as c:
        for _ in range(3):
            for name in c.names:
                node = c.node(name)
                node.start(wait=False)
                time.sleep(chance.uniform(0.01, 0.15))
                if chance.random() < 0.5:
                    node.kill()
            for name in c.names:
                c.node(name).kill()
        for name in c.names:
            c.node(name).start(wait=False)
        c.wait_ready()
        add(c.node("n3"), "one")
        c.wait_for_all(f"{SERVICE}/one")
        c.digests_agree()
        ids = {c.client(n).get("/v1/cluster").json["cluster"] for n in c.names}
        assert len(ids) == 1, ids
        for name in c.names:
            until(lambda name=name: voters(c.node(name)) == c.names)


@bare(timeout=120)
def a_node_that_waits_for_others_says_for_whom():
    with Cluster(3, start=False) as c:
        for name in ("n1", "n2"):
            c.node(name).start(wait=False)
            c.node(name).wait_listening()
        n1 = c.node("n1")
        until(lambda: any("n3" in str(x) and "n2" not in str(x)
                          for x in said(n1, "waits for the other nodes")))
        client = n1.client(timeout=20)
        client.get("/livez").must(200)
        client.get("/readyz").must(503)
        client.get("/v1/ns").problem(503)
        client.post(SERVICE, {"name": "x"}).problem(503)
        time.sleep(2)
        assert len(said(n1, "waits for the other nodes")) < 6
        c.node("n3").start(wait=False)
        c.wait_ready()


@bare(timeout=120)
def nodes_that_were_told_different_things_say_so_and_do_not_form():
    with Cluster(3, start=False) as c:
        n3 = c.node("n3")
        at = n3.flags.index("--cluster") + 1
        right = n3.flags[at]
        n3.flags[at] = right.replace("n1=", "n7=")
        for name in c.names:
            c.node(name).start(wait=False)
        for name in ("n1", "n3"):
            until(lambda name=name: said(c.node(name), "do not agree"))
        assert "n7=" in str(said(c.node("n1"), "do not agree"))
        c.kill("n3")
        n3.flags[at] = right
        n3.flags += ["--domain", "elsewhere"]
        n3.start(wait=False)
        until(lambda: "--domain" in str(said(n3, "do not agree")))
        c.kill("n3")
        n3.flags = n3.flags[:-2]
        n3.start(wait=False)
        c.wait_ready()


@bare(timeout=120)
def a_node_whose_disk_was_wiped_comes_back_as_a_new_one():
    with Cluster(3, "--voter-timeout", "1s") as c:
        add(c.node("n1"), "before")
        lost = c.followers()[0]
        old = c.node(lost)
        with open(os.path.join(old.data_dir, "node"), encoding="ascii") as f:
            before = f.read()
        c.restart(lost, wipe=True)
        c.wait_ready([lost])
        with open(os.path.join(old.data_dir, "node"), encoding="ascii") as f:
            after = f.read()
        assert before.splitlines()[2] != after.splitlines()[2], "its raft id"
        until(lambda: voters(c.node("n1")) == c.names)
        add(old, "after")
        c.wait_for_all(f"{SERVICE}/after")
        assert len(c.rows_everywhere(SERVICE)) == 2
        c.digests_agree()


# ---- joining ----

@bare(timeout=240)
def nodes_join_by_url_also_when_they_die_in_the_midst_of_it():
    chance = random.Random(9)
    with alone() as c:
        n1 = c.node("n1")
        for i in range(50):
            add(n1, f"row-{i}")
        for name in ("n2", "n3"):
            node = c.add(name, None if name == "n2" else "n2")
            for _ in range(6):
                time.sleep(chance.uniform(0.0, 0.2))
                node.kill()
                node.start(wait=False)
            c.wait_ready([name])
        until(lambda: voters(n1) == c.names)
        assert sorted(view(n1)) == c.names
        c.wait_for_all(f"{SERVICE}/row-49")
        assert len(c.rows_everywhere(SERVICE)) == 50
        add(c.node("n3"), "through-n3")
        c.wait_for_all(f"{SERVICE}/through-n3")
        c.digests_agree()
        # Its flags say nothing new to one that is a member.
        c.restart("n2")
        c.wait_ready(["n2"])
        # The one who began may go.
        c.kill("n1")
        add(c.node("n2"), "without-n1")


@bare(timeout=120)
def who_does_not_fit_is_told_why_and_ends():
    with alone() as c:
        add(c.node("n1"), "row")
        c.add("n2")
        c.wait_ready(["n2"])
        url = f"http://127.0.0.1:{c.http['n1']}"

        def refused(*flags, node="n9"):
            s = Server("--join", url, *flags, node=node, start=False)
            try:
                s.start(wait=False)
                assert s.ended_within(30), s.log_tail()
                assert s.process.returncode == 1
                return str(said(s, "does not take this node in"))
            finally:
                s.discard()
        assert "remove it first" in refused(node="n2")
        assert "domain" in refused("--domain", "elsewhere")
        assert sorted(view(c.node("n1"))) == ["n1", "n2"]
        # A URL that is none, and one where nobody is yet.
        with_typo = Server("--join", "nowhere", node="n9", start=False)
        assert run([*with_typo.argv()])[0] == 2
        with_typo.discard()
        [port] = free_ports(1)
        early = Server("--join", f"http://127.0.0.1:{port}", node="n1",
                       start=False)
        with early:
            early.start(wait=False)
            early.wait_listening()
            until(lambda: said(early, "waits for the cluster"))
            with Server("--http", f"127.0.0.1:{port}", node="n2") as first:
                until(lambda: "n1" in view(first))
                until(lambda: early.get("/readyz").status == 200)
            assert early.alive()


@bare(timeout=180)
def beyond_the_voters_nodes_read_and_a_dead_voter_is_replaced():
    with Cluster(3, "--voters", "3", "--voter-timeout", "2s") as c:
        c.add("n4")
        c.wait_ready(["n4"])
        until(lambda: view(c.node("n1")).get("n4", {}).get("role") == "learner")
        add(c.node("n4"), "through-a-learner")
        dead = c.leader()
        c.kill(dead)
        rest = [n for n in c.names if n != dead]
        until(lambda: voters(c.node(c.leader())) == rest, 30)
        assert view(c.node("n4"))[dead]["role"] == "learner"
        c.node(dead).start(wait=False)
        c.wait_ready([dead])
        add(c.node(dead), "through-one-that-is-back")
        c.wait_for_all(f"{SERVICE}/through-one-that-is-back")
        assert len(c.rows_everywhere(SERVICE)) == 2
        assert voters(c.node("n4")) == rest


# ---- leaving ----

@bare(timeout=120)
def who_was_removed_while_away_is_told_so_and_remembers():
    with Cluster(3) as c:
        add(c.node("n1"), "row")
        away = c.followers()[0]
        c.kill(away)
        client = c.client(c.leader(), timeout=20)
        client.delete(f"/v1/cluster/nodes/{away}").must(204)
        node = c.node(away)
        for _ in range(2):
            node.start(wait=False)

            def says_so():
                try:
                    a = node.client(timeout=5).get("/v1/ns")
                except Lost:
                    return False
                return a.status == 503 and "removed" in a.json["detail"]
            until(says_so)
            assert said(node, "empty --data-dir")
            assert node.alive()
            node.kill()
        # As a new one it is welcome.
        c.restart(away, wipe=True)
        c.wait_ready([away])
        until(lambda: voters(c.node(away)) == c.names)


@bare(timeout=120)
def a_majority_is_not_removed_away():
    with Cluster(3) as c:
        leader, (one, two) = c.leader(), c.followers()
        c.kill(one)
        client = c.client(leader, timeout=20)
        assert "alive" in client.delete(
            f"/v1/cluster/nodes/{two}").problem(409)["detail"]
        client.delete(f"/v1/cluster/nodes/{one}").must(204)
        add(c.node(two), "row")
    with alone() as c:
        assert "last" in c.client("n1", timeout=20).delete(
            "/v1/cluster/nodes/n1").problem(409)["detail"]


# ---- addresses ----

@bare(timeout=120)
def nodes_are_found_at_other_addresses():
    with alone() as c:
        for name in ("n2", "n3"):
            c.add(name)
            c.wait_ready([name])
        until(lambda: voters(c.node("n1")) == c.names)
        for name in c.names:
            node = c.node(name)
            node.kill()
            c.raft[name], node.raft = free_ports(1) * 2
            node.flags[node.flags.index("--raft") + 1] = (
                f"127.0.0.1:{node.raft}")
            node.start(wait=False)
            c.wait_ready([name])
            add(node, f"from-{name}")
        for name in c.names:
            until(lambda name=name: all(
                n["raft"] == f"127.0.0.1:{c.raft[i]}"
                for i, n in view(c.node(name)).items()))
        # All at once: nobody knows where the others are but from last time.
        for name in c.names:
            c.kill(name)
        for name in c.names:
            c.node(name).start(wait=False)
        c.wait_ready()
        c.wait_for_all(f"{SERVICE}/from-n3")
        assert len(c.rows_everywhere(SERVICE)) == 3


@bare
def what_nobody_could_reach_is_refused():
    def refused(*flags):
        status, _, err = run([binary("rosterd"), "--data-dir", "/nonexistent",
                              *flags], env=environment())
        assert status == 2, (flags, status, err)
        return err
    three = "n1=127.0.0.1:1,n2=127.0.0.1:2,n3=127.0.0.1:3"
    assert "--id" in refused("--cluster", three, "--id", "n4")
    assert "ID=HOST:PORT" in refused("--cluster", "n1,n2")
    assert "n1=" in refused("--cluster", "n1=a:1,n1=b:1")
    assert "even" in refused("--voters", "4")
    assert "--insecure" in refused("--raft", "0.0.0.0:7071")
    assert "--advertise-raft" in refused("--raft", "0.0.0.0:7071", "--insecure")
    assert "--advertise" in refused("--http", "0.0.0.0:7070", "--insecure",
                                    "--join", "http://127.0.0.1:1")
    assert "connect to" in refused("--advertise", "nowhere")
    assert "connect to" in refused("--advertise-raft", "0.0.0.0:7071")


# ---- versions ----

def become(node, program):
    """What is started from now on in its place."""
    def argv():
        return [binary(program), *type(node).argv(node)[1:]]
    node.argv = argv


BEFORE, AFTER = "tests/system/rosterd-before", "tests/system/rosterd-after"


@bare(timeout=240)
def two_versions_in_a_row_work_together_in_any_order():
    with Cluster(3, start=False) as c:
        for name in c.names:
            become(c.node(name), BEFORE)
        c.start()
        raised = "feature level was raised"

        def nobody_raised():
            return not any(said(n, raised) for n in c.nodes.values())
        for i, name in enumerate([*c.followers(), c.leader()]):
            add(c.node(name), f"before-{i}")
            assert nobody_raised()
            assert c.node(name).stop() == 0
            become(c.node(name), "rosterd")
            c.node(name).start(wait=False)
            c.wait_ready()
            add(c.node(c.names[i]), f"after-{i}")
        until(lambda: not nobody_raised())
        c.wait_for_all(f"{SERVICE}/after-2")
        assert len(c.rows_everywhere(SERVICE)) == 6
        c.digests_agree()
        # The next one comes the same way, and nobody may go back two.
        for name in c.names:
            become(c.node(name), AFTER)
            assert c.node(name).stop() == 0
            c.node(name).start(wait=False)
            c.wait_ready()
        until(lambda: any(x.get("to") == 4 for n in c.nodes.values()
                          for x in said(n, raised)))
        old = c.node("n1")
        become(old, BEFORE)
        assert old.stop() == 0
        old.start(wait=False)
        assert old.ended_within(30) and old.process.returncode == 1
        assert "newer version" in str(said(old, "newer version"))


@bare(timeout=120)
def a_version_too_far_from_the_cluster_is_not_let_in():
    with Cluster(1, start=False) as c:
        become(c.node("n1"), BEFORE)
        c.start()
        url = f"http://127.0.0.1:{c.http['n1']}"
        s = Server("--join", url, node="n9", start=False)
        with s:
            become(s, AFTER)
            s.start(wait=False)
            assert s.ended_within(30) and s.process.returncode == 1
            assert "feature level" in str(said(s, "does not take this node in"))
