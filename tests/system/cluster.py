"""Several real rosterd on this machine that make one cluster.

    with Cluster(3, faults=True) as c:
        c.node("n1").put(...)
        c.kill(c.leader())
        c.net.split(["n1"], ["n2", "n3"])

With faults=True what the nodes say to each other goes through a proxy (see
proxy.py): after the cluster has formed, each node's own list names the proxy's
ports. With slow=True the disk of each node can be made slow (see slowdisk.c)."""
import contextlib
import os
import shutil
import signal
import struct
import time

from harness import (BUILD, Client, Lost, PATIENCE, Server, Skip, environment,
                     free_ports, until)
from proxy import Net


class Node(Server):
    """One of them. Its ports stay the same over restarts."""

    def __init__(self, name, nodes, http, raft, flags, slow):
        super().__init__(*flags, node=name, start=False)
        self.nodes, self.port, self.raft = nodes, http, raft
        self.flags += ["--http", f"127.0.0.1:{http}",
                       "--raft", f"127.0.0.1:{raft}"]
        self.api = self.client()
        self.stopped = False
        self.slow_file = os.path.join(self.home, "slow")
        if slow:
            shim = os.path.join(BUILD, "tests", "system", "slowdisk.so")
            if not os.path.exists(shim):
                raise Skip(f"{shim} is not built (meson -Dtests=true)")
            self.slow_disk(0)
            # A sanitizer that is linked in wants to be the first.
            asan = os.environ.get("ASAN_OPTIONS", "")
            self.env = environment(
                LD_PRELOAD=shim, SLOWDISK_FILE=self.slow_file,
                ASAN_OPTIONS=asan + ":verify_asan_link_order=0")

    def slow_disk(self, ms):
        """Each write that has to reach the disk takes so much longer."""
        with open(self.slow_file, "r+b" if os.path.exists(self.slow_file)
                  else "wb") as f:
            f.write(struct.pack("=I", int(ms * 1000)))

    def pause(self):
        self.signal(signal.SIGSTOP)
        self.stopped = True

    def resume(self):
        self.signal(signal.SIGCONT)
        self.stopped = False

    def kill(self):
        super().kill()
        self.stopped = False


class Cluster:
    def __init__(self, n=3, *flags, faults=False, slow=False, start=True):
        self.names = [f"n{i + 1}" for i in range(n)]
        self.raft = dict(zip(self.names, free_ports(n)))
        self.http = dict(zip(self.names, free_ports(n)))
        self.net = Net(self.raft) if faults else None
        self.flags, self.slow, self.nodes = list(flags), slow, {}
        try:
            for name in self.names:
                self.nodes[name] = self.make(name)
            if start:
                self.start()
        except BaseException:
            self.discard()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.discard()

    def discard(self):
        for node in self.nodes.values():
            node.discard()
        if self.net:
            self.net.close()

    # -- life

    def address(self, i, j):
        """Where i finds j."""
        port = self.raft[j] if i == j or not self.net else self.net.port(i, j)
        return f"127.0.0.1:{port}"

    def make(self, name):
        flags = list(self.flags)
        if len(self.names) > 1:
            # It forms when all have been told the same.
            flags += ["--cluster", ",".join(f"{j}=127.0.0.1:{self.raft[j]}"
                                            for j in self.names)]
        return Node(name, self.names, self.http[name], self.raft[name], flags,
                    self.slow)

    def go_through_the_proxy(self):
        """From the next start on. A node's own list wins over all it learns."""
        for i, node in self.nodes.items():
            at = node.flags.index("--cluster") + 1
            node.flags[at] = ",".join(f"{j}={self.address(i, j)}"
                                      for j in self.names)
            assert node.stop() == 0
            node.start(wait=False)

    def add(self, name, via=None, *flags):
        """A node more, that joins through `via` (a name). Not behind the proxy:
        its way to others is its own."""
        http, raft = free_ports(2)
        self.http[name], self.raft[name] = http, raft
        self.names.append(name)
        via = via or self.names[0]
        self.nodes[name] = Node(
            name, self.names, http, raft,
            [*self.flags, "--join", f"http://127.0.0.1:{self.http[via]}",
             *flags], self.slow)
        self.nodes[name].start(wait=False)
        return self.nodes[name]

    def start(self):
        for node in self.nodes.values():
            node.start(wait=False)
        self.wait_ready()
        if self.net:
            self.go_through_the_proxy()
            self.wait_ready()

    def node(self, name):
        return self.nodes[name]

    def alive(self):
        return [n for n in self.nodes.values() if n.alive() and not n.stopped]

    def wait_ready(self, names=None, seconds=40):
        end = time.monotonic() + seconds * PATIENCE
        for name in names or self.names:
            node = self.nodes[name]
            while not _answers(node, "/readyz"):
                if not node.alive():
                    raise AssertionError(f"{name} ended:\n" + node.log_tail())
                if time.monotonic() > end:
                    raise AssertionError(
                        f"{name} is not ready after {seconds} s: " +
                        str(_answer(node, "/readyz?verbose")) + "\n" +
                        node.log_tail())
                time.sleep(0.02)

    def wait_for_features(self):
        """Until what all nodes know may be used, which the leader says a moment
        after all have come."""
        until(lambda: any("the feature level was raised" in line
                          for node in self.nodes.values()
                          for line in node.log_lines()), 20)

    def kill(self, name):
        self.nodes[name].kill()

    def pause(self, name):
        self.nodes[name].pause()

    def resume(self, name):
        self.nodes[name].resume()

    def restart(self, name, wipe=False):
        """kill -9 and start again, without waiting until it is ready. wipe: with
        an empty directory."""
        node = self.nodes[name]
        node.kill()
        if wipe:
            shutil.rmtree(node.data_dir, ignore_errors=True)
        node.start(wait=False)

    def heal(self):
        """Everything that was broken from outside is whole again."""
        if self.net:
            self.net.heal()
        for node in self.nodes.values():
            if node.alive() and node.stopped:
                node.resume()
            if self.slow:
                node.slow_disk(0)
            if not node.alive():
                node.start(wait=False)

    # -- who leads

    def leader_now(self):
        """The name of one who says that it leads and is followed, or None."""
        for node in self.alive():
            if _answers(node, "/leader"):
                return node.node
        return None

    def leader(self, seconds=20):
        """The same, waited for."""
        return until(self.leader_now, seconds)

    def followers(self):
        leader = self.leader()
        return [name for name in self.names if name != leader]

    def agreed_leader(self, seconds=20):
        """The one that all of them name."""
        def all_name_the_same_leader():
            named = {a.headers.get("roster-leader") if a else None for a in
                     (_answer(n, "/livez") for n in self.nodes.values())}
            return named.pop() if len(named) == 1 else None
        return until(all_name_the_same_leader, seconds)

    # -- talk

    def wait_for_all(self, target):
        """Until every node knows what is behind that path."""
        for name in self.names:
            def knows(node=self.nodes[name]):
                return _answers(node, target)
            until(knows, 20)

    def client(self, name, **options):
        return self.nodes[name].client(**options)

    def faults(self):
        return [f for node in self.nodes.values() for f in node.faults()]

    # -- the same everywhere

    def digests_agree(self, seconds=20):
        """All nodes come to one index, and there to one digest, which is
        returned. Two digests at one index are a fault at once."""
        seen = {}

        def all_have_one_index():
            for name in self.names:
                a = _answer(self.nodes[name], "/v1/admin/digest", timeout=10)
                if not a or a.status != 200:
                    return None
                d = a.json
                first = seen.setdefault(d["index"], (d["digest"], name))
                assert first[0] == d["digest"], (
                    f"at index {d['index']} {first[1]} has {first[0]}, {name} "
                    f"has {d['digest']}")
                last[name] = d["index"]
            return len(set(last.values())) == 1 and d
        last = {}
        return until(all_have_one_index, seconds, every=0.1)

    def rows_everywhere(self, target, revision=0, key="tag", seconds=20):
        """The rows of a list as each node has them, at least as of that
        revision; all nodes have the same. Returns them."""
        rows = {}
        for name in self.names:
            def answers(name=name):
                a = _answer(self.nodes[name], target, timeout=10, headers={
                    "Roster-Min-Revision": str(revision)})
                return a if a and a.status == 200 else None
            rows[name] = until(answers, seconds).json
        first = rows[self.names[0]]
        for name, mine in rows.items():
            if mine != first:
                odd = {r[key] for r in mine} ^ {r[key] for r in first}
                raise AssertionError(
                    f"{target}: {name} has {len(mine)} rows, {self.names[0]} "
                    f"{len(first)}; they differ in {sorted(odd)[:9]}")
        return first


def _answer(node, target, timeout=2, headers=None):
    """One request on a connection of its own; None when it brought nothing."""
    token = node.admin_token() if "--access" in node.flags else None
    with contextlib.closing(Client(node.port, timeout=timeout,
                                   token=token)) as c:
        try:
            return c.get(target, headers=headers)
        except Lost:
            return None


def _answers(node, target):
    a = _answer(node, target)
    return a is not None and a.status == 200
