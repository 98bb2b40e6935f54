"""A rolling restart behind a load balancer (BRIEF P3): Debian's HAProxy asks
/readyz and hides nothing: it does not try a request again, nor elsewhere."""
import collections
import os
import shutil
import socket
import tempfile
import threading
import time

from cluster import Cluster
from harness import (Client, Lost, Skip, bare, free_ports, make_list, say,
                     spawn, until)

# No retries: a connection that is refused or reset is a 503 or 502 to the client.
# No redispatch. Requests go round, so each node has its share of every client.
CONFIG = """
global
    maxconn 1000
    stats socket {home}/stats mode 600
defaults
    mode http
    retries 0
    no option redispatch
    retry-on none
    balance roundrobin
    timeout connect 2s
    timeout client 30s
    timeout server 30s
frontend front
    bind 127.0.0.1:{port}
    default_backend nodes
backend nodes
    option httpchk
    http-check send meth GET uri /readyz ver HTTP/1.1 hdr Host roster
    http-check expect status 200
    default-server inter 100ms fastinter 50ms fall 1 rise 1
{servers}
"""
DRAIN = "2s"


class Balancer:
    def __init__(self, nodes):
        """nodes: name -> HTTP port."""
        program = shutil.which("haproxy") or shutil.which(
            "haproxy", path="/usr/sbin")
        if not program:
            raise Skip("no haproxy here (scripts/deps --test installs it)")
        self.names = list(nodes)
        self.home = tempfile.mkdtemp(prefix="roster-haproxy-")
        self.port, = free_ports(1)
        file = os.path.join(self.home, "config")
        with open(file, "w", encoding="ascii") as f:
            f.write(CONFIG.format(
                home=self.home, port=self.port, servers="\n".join(
                    f"    server {name} 127.0.0.1:{port} check"
                    for name, port in nodes.items())))
        self.log = open(os.path.join(self.home, "log"), "w+b")
        self.process = spawn([program, "-db", "-f", file], stderr=self.log)
        until(lambda: set(self.up()) == set(nodes), 20)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.log.close()
        shutil.rmtree(self.home, ignore_errors=True)

    def up(self):
        """Names of the nodes it sends requests to."""
        assert self.process.poll() is None, self.said()
        try:
            with socket.socket(socket.AF_UNIX) as s:
                s.connect(os.path.join(self.home, "stats"))
                s.sendall(b"show stat\n")
                text = b""
                while data := s.recv(1 << 16):
                    text += data
        except (FileNotFoundError, ConnectionRefusedError):
            return []
        head, *rows = text.decode().strip().splitlines()
        names = head.lstrip("# ").split(",")
        stats = [dict(zip(names, row.split(","))) for row in rows]
        return [s["svname"] for s in stats if s["pxname"] == "nodes" and
                s["svname"] != "BACKEND" and s["status"].startswith("UP")]

    def said(self):
        self.log.seek(0)
        return self.log.read().decode("utf-8", "replace")[-2000:]


class Visitor(threading.Thread):
    """Writes and reads over one connection that is kept, without trying anything
    again. Its own connection to the balancer may end between two requests; it
    notices that before it sends (harness.Client)."""

    def __init__(self, balancer, target, number, over):
        super().__init__(daemon=True)
        self.client = Client(balancer.port, nodes=balancer.names, timeout=30)
        self.target, self.number, self.over = target, number, over
        self.told, self.bad, self.nodes = {}, [], collections.Counter()

    def run(self):
        i = 0
        while not self.over.is_set():
            i += 1
            tag = f"v{self.number}-{i}"
            self.one("POST", self.target, {"tag": tag})
            self.one("GET", "/v1/ns/pool.roster")
            if i % 8 == 0:
                self.one("GET", self.target + "?limit=5&consistency="
                         "linearizable")
            self.over.wait(0.004)
        self.client.close()

    def one(self, method, target, *body):
        try:
            a = self.client.call(method, target, *body)
        except Lost as e:
            self.bad.append(str(e))
            return
        self.nodes[a.headers.get("roster-node")] += 1
        if a.status >= 500 or a.status not in (200, 201):
            self.bad.append(repr(a))
        elif method == "POST":
            self.told[body[0]["tag"]] = a.json["_rev"]


@bare(timeout=150)
def a_rolling_restart_behind_a_load_balancer_is_not_noticed():
    with Cluster(3, "--drain", DRAIN) as c:
        target = make_list(c.node(c.leader()))
        c.wait_for_all(target)
        with Balancer(c.http) as balancer:
            over = threading.Event()
            visitors = [Visitor(balancer, target, i, over)
                        for i in range(8)]
            for v in visitors:
                v.start()
            for name in c.names:
                roll(c, balancer, name)
            time.sleep(0.5)
            over.set()
            for v in visitors:
                v.join(40)
                assert not v.is_alive(), "a visitor hangs"
            judge(c, target, visitors)


def roll(c, balancer, name):
    node = c.node(name)
    status = node.stop()
    assert status == 0, f"{name}: exit status {status} after SIGTERM"
    assert name not in balancer.up(), "it still gets requests"
    node.start(wait=False)
    c.wait_ready()
    until(lambda: set(balancer.up()) == set(c.names), 20)


def judge(c, target, visitors):
    bad = [b for v in visitors for b in v.bad]
    told = {t: r for v in visitors for t, r in v.told.items()}
    nodes = sum((v.nodes for v in visitors), collections.Counter())
    say(f"{sum(nodes.values())} requests, by node {dict(nodes)}; {len(told)} rows "
        f"acknowledged; {len(bad)} seen to fail")
    assert not bad, f"{len(bad)} requests failed:\n" + "\n".join(bad[:10])
    assert set(nodes) == set(c.names), "not every node took part"
    rows = c.rows_everywhere(target, max(told.values()))
    assert {r["tag"]: r["_rev"] for r in rows} == told
    assert len(rows) == len(told)
    c.digests_agree()
