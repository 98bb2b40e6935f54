"""Several servers that are one: roster, etcd and ZooKeeper with Debian's defaults.
Each node stands for a machine of its own, so none is held to a processor."""
import signal
import time
from http.client import HTTPException

import parts
import servers
import ways

NODES = 3
OFFLINE = (OSError, HTTPException, parts.Fault)


class Node:
    """Mixed into a server: one of `members`, (client's port, the ports between
    nodes). Started by its cluster, for alone it is never ready. leads() is
    false too of one that does not say."""
    pinned = False

    def __init__(self, place, members, i, *more, **named):
        self.members, self.i, self.port = members, i, members[i][0]
        super().__init__(place, *more, **named)

    def start(self):
        self.launch()


class AmongRoster(servers.Roster):
    """What it is asked is asked of the cluster: what it has itself must be all
    that was acknowledged anywhere."""
    pinned = False

    def start(self):
        self.launch()

    def ready(self):
        try:
            self.identify()
            self.call("GET", "/v1/ns?consistency=linearizable")
            return True
        except OFFLINE:
            return False

    def leads(self):
        try:
            return self.call("GET", "/leader", want=(200, 503))["leader"]
        except OFFLINE:
            return False

    def count(self, path):
        return super().count(path + "?consistency=linearizable")


class RosterNode(Node, AmongRoster):
    def __init__(self, place, members, i, *more, **named):
        self.id, self.raft = f"n{i + 1}", members[i][1]
        super().__init__(place, members, i, *more, **named)

    def certificate(self):
        return ways.certificate(self.id)

    def command(self):
        others = ",".join(f"n{i + 1}=127.0.0.1:{m[1]}"
                          for i, m in enumerate(self.members))
        return super().command() + ["--id", self.id, "--cluster", others]


class JoiningNode(AmongRoster):
    """Not of those that formed the cluster."""

    def __init__(self, place, build, name, url):
        self.raft = place.port()
        super().__init__(place, build, flags=["--id", name, "--join", url])


class EtcdNode(Node, servers.Etcd):
    def command(self):
        def url(i):
            return f"http://127.0.0.1:{self.members[i][1]}"
        own, peer = self.url(self.port), url(self.i)
        return [parts.find("etcd"), "--name", f"e{self.i}", "--data-dir",
                self.data + "/data", "--listen-client-urls", own,
                "--advertise-client-urls", own, "--listen-peer-urls", peer,
                "--initial-advertise-peer-urls", peer, "--initial-cluster",
                ",".join(f"e{i}={url(i)}"
                         for i in range(len(self.members))),
                "--quota-backend-bytes", str(8 << 30), "--log-level", "error",
                *self.guards()]

    def leads(self):
        try:
            found = self.call("POST", "/v3/maintenance/status", {})
            return found["leader"] == found["header"]["member_id"]
        except (*OFFLINE, KeyError):
            return False


class ZooKeeperNode(Node, servers.ZooKeeper):
    def config(self):
        ensemble = "".join(f"server.{i + 1}=127.0.0.1:{peer}:{election}\n"
                           for i, (_, peer, election) in
                           enumerate(self.members))
        parts.put(self.data + "/data/myid", str(self.i + 1))
        return super().config() + "initLimit=10\nsyncLimit=5\n" + ensemble

    def leads(self):
        try:
            return b"Mode: leader" in self.four("srvr", 2)
        except OSError:
            return False

    def count(self):
        """It tells what it has itself: what is on its way must come first."""
        found, end = super().count(), time.monotonic() + 20
        while time.monotonic() < end:
            time.sleep(0.2)
            before, found = found, super().count()
            if before == found:
                break
        return found


class Cluster:
    """What Bench asks of a server, answered by several."""
    pinned = False

    hello = None

    def __init__(self, place, make, nodes=NODES):
        """make(place, members, i) gives a node."""
        members = [tuple(place.port() for _ in range(3)) for _ in range(nodes)]
        self.items = self.acknowledged = 0
        self.nodes = []
        try:
            for i in range(nodes):
                self.nodes.append(make(place, members, i))
            self.wait_ready()
            self.leader().let_in()
            self.all_know()
        except BaseException:
            self.stop()
            raise

    def all_know(self):
        """Who was let in by the leader is let in by each."""
        self.headers = self.leader().headers
        for node in self.nodes:
            node.headers = self.headers
            node.admin = node.admin or self.headers
            node.wait_ready(120)

    @property
    def ca(self):
        return self.nodes[0].ca

    @property
    def argv(self):
        return [w for n in self.nodes for w in [*n.argv, ";"]][:-1]

    def wait_ready(self):
        """All serve, and one leads."""
        for node in self.nodes:
            node.wait_ready(120)
        self.leader()

    def leader(self):
        end = time.monotonic() + 60
        while time.monotonic() < end:
            for node in self.nodes:
                if node.leads():
                    return node
            time.sleep(0.01)
        raise parts.Fault(f"no node of {self.nodes[0].name} leads:\n"
                          f"{self.nodes[0].log_tail()}")

    def followers(self):
        leader = self.leader()
        return [n for n in self.nodes if n is not leader]

    def ports(self, at=None):
        """Of the leader, of one follower, or of all: the leader's last, so that
        a single connection goes to a follower."""
        leader = self.leader()
        others = [n.port for n in self.nodes if n is not leader]
        return {"leader": [leader.port], "follower": others[:1],
                None: [*others, leader.port]}[at]

    def memory(self):
        return self.leader().memory()

    def call(self, *asked, **more):
        return self.leader().call(*asked, **more)

    def leaf(self, name):
        return self.leader().leaf(name)

    def cpu_us(self):
        return sum(n.cpu_us() for n in self.nodes)

    def stop(self, how=signal.SIGKILL):
        for node in self.nodes:
            node.stop(how)

    def kept(self, count):
        """What each node has, asked one by one: count(node). One number, when
        they agree."""
        found = {count(n) for n in self.nodes}
        if len(found) > 1:
            raise parts.Fault(f"the nodes of {self.nodes[0].name} have "
                              f"{sorted(found)} rows")
        return found.pop()


def make_etcd(place, nodes=NODES, way=ways.PLAIN):
    """One node is a server as any other."""
    if nodes == 1:
        return servers.Etcd(place, way=way)
    return Cluster(place, lambda p, members, i: EtcdNode(
        p, members, i, way=way), nodes)


def make_zookeeper(place, nodes=NODES, way=ways.PLAIN):
    if nodes == 1:
        return servers.ZooKeeper(place, way=way)
    return Cluster(place, lambda p, members, i: ZooKeeperNode(
        p, members, i, way=way), nodes)


def make_roster(place, build, *, name="roster", flags=(), nodes=NODES,
                way=ways.PLAIN):
    return Cluster(place, lambda p, members, i: RosterNode(
        p, members, i, build, name=name, flags=flags, way=way), nodes)
