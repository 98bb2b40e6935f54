"""How nodes come into a cluster, go, move, and come back."""
import os
import random
import signal
import socket
import time

from cluster import Cluster, Node
from harness import bare, binary, free_ports, run, until

LONG = ("--drain", "60s")  # nobody may wait for it here


def view(node):
    return node.get("/v1/cluster").must(200).json["nodes"]


def roles(node):
    return {m["id"]: m["role"] for m in view(node)}


def wait_voters(node, n):
    def has_its_voters():
        return sum(r != "learner" for r in roles(node).values()) == n
    until(has_its_voters, 30)


def wait_whole(c):
    """Every node is ready and sees each node once, and the same roles."""
    c.wait_ready()

    def all_see_the_same():
        seen = [sorted((m["id"], m["role"]) for m in view(n))
                for n in c.nodes.values()]
        return (all(s == seen[0] for s in seen) and
                [name for name, _ in seen[0]] == sorted(c.nodes))
    until(all_see_the_same, 30, every=0.1)


def one_more(name, *flags):
    http, raft = free_ports(2)
    return Node(name, [name], http, raft, [*flags, *LONG], False)


def move(node):
    """To other ports; it was stopped or killed before."""
    node.port, node.raft = free_ports(2)
    node.flags[node.flags.index("--http") + 1] = f"127.0.0.1:{node.port}"
    node.flags[node.flags.index("--raft") + 1] = f"127.0.0.1:{node.raft}"
    node.api = node.client()


def said(node, text):
    return any(text in line for line in node.log_lines())


@bare(timeout=60)
def a_join_that_is_refused_ends_at_once_and_says_why():
    with Cluster(1) as c:
        url = f"http://127.0.0.1:{c.http['n1']}"
        for name, flags, why in (
                ("n2", ["--domain", "other"], "has the domain 'roster'"),
                ("n1", [], "remove it first")):
            with one_more(name, "--join", url, *flags) as n:
                n.start(wait=False)
                assert n.ended_within(20), n.log_tail()
                assert n.process.returncode == 1, n.process.returncode
                assert said(n, why), n.log_tail()


@bare(timeout=60)
def a_node_that_waits_to_become_one_stops_at_once():
    with socket.socket() as mute:  # takes connections and says nothing
        mute.bind(("127.0.0.1", 0))
        mute.listen()
        port = mute.getsockname()[1]
        own, dead = free_ports(2)
        for flags in (["--join", f"http://127.0.0.1:{port}"],
                      ["--join", f"http://127.0.0.1:{dead}"],
                      ["--cluster", f"n2=127.0.0.1:{own},n3=127.0.0.1:{port}"]):
            with one_more("n2", *flags) as n:
                n.raft = own
                n.flags[n.flags.index("--raft") + 1] = f"127.0.0.1:{own}"
                n.start(wait=False)
                n.wait_listening()
                n.get("/readyz?verbose").must(503)
                n.signal(signal.SIGTERM)
                assert n.ended_within(20), n.log_tail()
                assert n.process.returncode == 0, n.log_tail()


@bare(timeout=60)
def what_is_no_roster_node_is_asked_again_and_not_believed():
    with Cluster(1) as c, socket.socket() as web:
        web.bind(("127.0.0.1", 0))
        web.listen()
        address = f"127.0.0.1:{web.getsockname()[1]}"
        with one_more("n2", "--join", f"http://{address}") as n:
            n.start(wait=False)
            n.wait_listening()
            for _ in range(2):
                to, _who = web.accept()
                to.recv(65536)
                to.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n"
                           b"Connection: close\r\n\r\n")
                to.close()
            until(lambda: said(n, "no roster node (HTTP status 404)"))
            assert n.alive()
        assert len(view(c.node("n1"))) == 1


@bare(timeout=120)
def a_member_that_moved_is_found_again_voter_or_learner():
    with Cluster(1) as c:
        for name in ("n2", "n3", "n4"):
            c.add(name)
        wait_voters(c.node("n1"), 3)
        wait_whole(c)
        # The learner hears from nobody and asks for no votes.
        learner = next(i for i, r in roles(c.node("n1")).items()
                       if r == "learner")
        for name in (learner, "n1"):
            assert c.node(name).stop() == 0
            move(c.node(name))
            c.node(name).start(wait=False)
            wait_whole(c)
        raft = {m["id"]: m["raft"] for m in view(c.node(c.leader()))}
        assert raft[learner] == f"127.0.0.1:{c.node(learner).raft}"


@bare(timeout=120)
def one_that_died_when_it_was_just_taken_in_comes_back_elsewhere():
    with Cluster(1) as c:
        n = c.add("n2")

        def is_taken_in():
            file = os.path.join(n.data_dir, "node")
            if not os.path.exists(file):
                return False
            with open(file, encoding="ascii") as f:
                return "state joined" in f.read()
        until(is_taken_in, every=0.0002)
        n.kill()
        move(n)
        n.start(wait=False)
        wait_whole(c)


@bare(timeout=120)
def one_that_was_removed_while_away_learns_it_voter_or_learner():
    with Cluster(3) as c:
        c.add("n4", c.leader())
        wait_whole(c)
        voter = c.followers()[0] if c.followers()[0] != "n4" else "n3"
        for name in ("n4", voter):
            c.kill(name)
            asked = c.node(c.leader())
            until(lambda name=name, asked=asked: asked.delete(
                f"/v1/cluster/nodes/{name}").status == 204, 20)
            c.node(name).start(wait=False)
            until(lambda name=name: said(c.node(name), "was removed"), 20)
            del c.nodes[name]
            c.names.remove(name)


@bare(timeout=120)
def a_new_node_passes_by_one_of_its_list_that_is_no_member_any_more():
    with Cluster(3) as c:
        asked = c.node("n2")
        until(lambda: asked.delete("/v1/cluster/nodes/n1").status == 204, 20)
        until(lambda: said(c.node("n1"), "was removed"), 20)
        http, raft = free_ports(2)
        nodes = {**c.raft, "n4": raft}
        with Node("n4", [*c.names, "n4"], http, raft, [
                "--cluster", ",".join(f"{i}=127.0.0.1:{port}"
                                      for i, port in nodes.items())],
                  False) as n:
            n.start(wait=False)
            n.wait_listening()
            n.wait_ready()
            until(lambda: sorted(roles(asked)) == ["n2", "n3", "n4"])


@bare(timeout=60)
def a_list_that_differs_forms_nothing_until_it_is_corrected():
    with Cluster(3, start=False) as c:
        n2, n3 = c.node("n2"), c.node("n3")
        at = n3.flags.index("--cluster") + 1
        right = n3.flags[at]
        n3.flags[at] = ",".join(e for e in right.split(",") if "n2=" not in e)
        n2.flags += ["--domain", "other"]
        for n in c.nodes.values():
            n.start(wait=False)
        n1 = c.node("n1")
        until(lambda: said(n1, "another --domain"))
        until(lambda: said(n1, "it was started with --cluster"))
        n1.get("/readyz").must(503)
        n3.flags[at] = right
        n2.flags = n2.flags[:-2]
        for n in (n2, n3):
            assert n.stop() == 0
            n.start(wait=False)
        wait_whole(c)


@bare(timeout=240)
def killed_at_any_moment_of_joining_it_ends_as_one_cluster():
    chance = random.Random(7)
    for round_ in range(9):
        with Cluster(1 + 2 * (round_ % 2)) as c:
            lead = c.leader()
            c.add("n9", chance.choice(c.names))
            time.sleep(chance.random() ** 2 * 0.4)
            for name in {"n9", lead} - ({"n9"}, {lead}, set())[round_ % 3]:
                c.restart(name)
            wait_whole(c)


@bare(timeout=120)
def those_a_survivor_went_on_without_cannot_come_back_to_it():
    with Cluster(3) as c:
        n2 = c.node("n2")
        n2.post("/v1/ns/pool.roster/service", {"name": "kept"}).must(201)
        c.digests_agree()
        old = n2.get("/v1/cluster").json["cluster"]
        for node in c.nodes.values():
            node.kill()
        status, _out, err = run([binary("roster"), "recover", "--yes",
                                 "--data-dir", n2.data_dir])
        assert status == 0, err
        # The others were not lost after all: they are a majority of what was.
        for node in c.nodes.values():
            node.start(wait=False)
        c.wait_ready()
        c.node("n1").post("/v1/ns/pool.roster/service",
                          {"name": "theirs"}).must(201)
        assert n2.get("/v1/cluster").json["cluster"] != old
        assert list(roles(n2)) == ["n2"]
        # With empty disks they are welcome, as new nodes.
        for name in ("n1", "n3"):
            c.restart(name, wipe=True)
        wait_whole(c)
        wait_voters(n2, 3)
        c.digests_agree()
        rows = n2.get("/v1/ns/pool.roster/service").json
        assert [row["name"] for row in rows] == ["kept"], rows


@bare(timeout=60)
def one_that_was_told_to_stop_says_so_while_it_serves_on():
    with one_more("n1") as n:
        n.start(wait=False)
        n.wait_listening()
        n.wait_ready()
        n.signal(signal.SIGTERM)

        def is_on_its_way_out():
            said_now = n.get("/readyz?verbose").body.decode()
            return "[-]draining" in said_now and "[-]serving" in said_now
        until(is_on_its_way_out)
        metrics = n.get("/metrics").must(200).body.decode()
        assert "\nroster_is_draining 1\n" in metrics
