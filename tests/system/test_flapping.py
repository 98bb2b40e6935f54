"""An agent that comes and goes is kept for a while instead of going again."""
import time

from cluster import Cluster
from harness import Server, bare, make_ns, path, until

HOST = "web-1"


def agent(*more):
    return path("v1", "agents", HOST, *more)


def come(s):
    return s.post("/v1/agents", {"hostname": HOST, "ttl": "2s"}).must(200, 201)


def is_gone(s):
    return s.get(agent()).status == 404


def come_and_go(s):
    come(s)
    until(lambda: is_gone(s), 15)


def flaps(s):
    return s.get(agent()).must(200).json["flapping"]


def metric(s, name):
    for line in s.get("/metrics").body.decode().splitlines():
        if line.startswith(name + " "):
            return int(line.split()[1])
    raise AssertionError(f"no metric {name}")


@bare(timeout=120)
def one_that_goes_again_and_again_is_kept_for_a_while():
    with Server("--flap-count", "3", "--flap-window", "25s") as s:
        ns = make_ns(s, match=HOST)
        for _ in range(3):
            come_and_go(s)
        come(s)
        assert not flaps(s)
        until(lambda: flaps(s), 15)
        began = time.monotonic()
        assert metric(s, "roster_agents_flapping") == 1
        assert any("comes and goes" in line for line in s.log_lines())
        # It stays, silent; heartbeats work as ever; a restart changes nothing.
        time.sleep(5)
        assert flaps(s) and len(s.rows(path("v1", "ns", ns, "machine"))) == 1
        s.put(agent("heartbeat")).must(204)
        s.restart()
        assert flaps(s)
        assert [a["flapping"] for a in s.get("/v1/agents").json] == [True]
        until(lambda: not flaps(s), 40)
        assert time.monotonic() - began > 20
        # Then the ordinary rules hold, and counting begins anew.
        until(lambda: is_gone(s), 15)
        assert metric(s, "roster_agents_flapping") == 0
        come_and_go(s)


@bare(timeout=60)
def an_operator_may_remove_it_and_count_0_keeps_nobody():
    with Server("--flap-count", "1", "--flap-window", "60s") as s:
        come_and_go(s)
        come(s)
        until(lambda: flaps(s), 15)
        s.delete(agent()).must(204)
        assert is_gone(s)
    with Server("--flap-count", "0") as s:
        for _ in range(3):
            come_and_go(s)


@bare(timeout=60)
def one_that_an_operator_removes_does_not_flap():
    with Server("--flap-count", "2") as s:
        for _ in range(5):
            come(s)
            s.delete(agent()).must(204)
        come_and_go(s)


@bare(timeout=150)
def a_new_leader_goes_on_counting_and_keeping():
    with Cluster(3, "--flap-count", "2", "--flap-window", "60s") as c:
        s = c.node(c.leader())
        come_and_go(s)
        come_and_go(s)
        c.kill(c.leader())
        s = c.node(c.leader())
        come(s)
        until(lambda: flaps(s), 20)
        dead = [n for n in c.names if not c.node(n).alive()][0]
        c.restart(dead)
        c.wait_ready()
        c.kill(c.leader())
        s = c.node(c.leader())
        time.sleep(5)
        assert flaps(s)
