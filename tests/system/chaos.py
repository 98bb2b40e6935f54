"""Clients that note all they are told, and a nemesis that breaks things meanwhile.

    storm = Storm(cluster, seed)
    storm.run(seconds)      # clients and nemesis
    storm.settle()          # heals, waits, reads everything everywhere, judges

A storm is repeated by its seed as far as timing allows: the same things are
broken in the same order for the same time."""
import collections
import contextlib
import itertools
import os
import random
import threading
import time

import linear
from harness import Client, Lost, PATIENCE, path, until
from linear import Op

READ_SHARE = 0.4
KEYS_AT_ONCE = 8
LIST_ROWS = 120
GENERATION_S = 4
CLIENT_TIMEOUT_S = 3
AGENT_TTL_S = 10


class History:
    """What everybody was told. Any thread."""

    def __init__(self):
        self.ops, self.wrong = [], []

    def add(self, op):
        self.ops.append(op)          # one list, appended to: needs no lock

    def complain(self, text):
        if len(self.wrong) < 50:
            self.wrong.append(text)

    def save(self, file):
        with open(file, "w", encoding="utf-8") as f:
            f.writelines(op.line() + "\n" for op in self.ops)


class Worker(threading.Thread):
    """Does one thing after the other at nodes it picks, until told to end."""

    def __init__(self, storm, number):
        super().__init__(daemon=True, name=f"{type(self).__name__}-{number}")
        self.storm, self.number = storm, number
        self.rng = random.Random(f"{storm.seed} {self.name}")
        self.clients = {}
        self.serial = itertools.count()
        names = storm.cluster.names
        self.home = names[number % len(names)] if number != "last" else None

    def run(self):
        try:
            while not self.storm.over.is_set():
                self.turn()
        except BaseException as e:  # pylint: disable=broad-except
            self.storm.history.complain(f"{self.name}: {e!r}")
            self.storm.over.set()
        finally:
            for client in self.clients.values():
                client.close()

    def turn(self):
        raise NotImplementedError

    timeout = CLIENT_TIMEOUT_S

    def client(self, name, timeout=None):
        timeout = timeout or self.timeout
        if (name, timeout) not in self.clients:
            self.clients[name, timeout] = self.storm.cluster.client(
                name, timeout=timeout)
        return self.clients[name, timeout]

    def ask(self, op, method, target, body=None, headers=None):
        """Do it and note what is known by every answer. None: nothing came."""
        args = (method, target) + (() if body is None else (body,))
        op.client, op.call = self.name, time.monotonic_ns()
        try:
            a = self.client(op.node).call(*args, headers=headers)
        except Lost as e:
            refused = isinstance(e.__cause__, ConnectionRefusedError)
            op.outcome = "refused" if refused else "unknown"
            if refused:
                time.sleep(0.01)
            return None
        op.ret = time.monotonic_ns()
        op.at = a.revision
        if a.status == 504:
            assert a.json.get("outcome") == "unknown", a
            op.outcome, op.ret = "unknown", None
        elif a.status in (503, 507):
            op.outcome = "refused"
            time.sleep(0.01)
        return a

    def anybody(self):
        return self.rng.choice(self.storm.cluster.names)

    def somebody(self):
        """Mostly the same one. Were it anyone each time, soon all would wait for
        an answer of the one node that is cut off, and nobody did anything at
        the others meanwhile."""
        return self.home if self.rng.random() < 0.9 else self.anybody()


class Registers(Worker):
    """Reads, writes and conditional writes of a few rows that others use too."""

    def __init__(self, storm, number):
        super().__init__(storm, number)
        self.known = {}             # key -> (value, revision) as last read

    def turn(self):
        key = self.storm.register(self.rng)
        op = Op("read", key, node=self.somebody())
        what = self.rng.random()
        if what < READ_SHARE:
            local = self.rng.random() < 0.4
            self.read(op, key, local)
        else:
            self.write(op, key, what)

    def read(self, op, key, local):
        op.kind = "local" if local else "read"
        a = self.ask(op, "GET", self.storm.target(key) + (
            "" if local else "?consistency=linearizable"))
        if a is None or op.outcome != "ok":
            op.outcome = "refused"        # a read that failed says nothing
        elif a.must(200, 404).status == 200:
            op.value, op.rev = a.json["v"], a.json["_rev"]
            self.known[key] = (op.value, op.rev)
        self.storm.history.add(op)

    def write(self, op, key, what):
        op.value = f"{self.name}-{next(self.serial)}"
        headers, method = {}, "PUT"
        value, rev = self.known.get(key, (None, None))
        if what > 0.97:
            op.kind, op.value, method = "delete", None, "DELETE"
        elif what > 0.9:
            op.kind, headers = "create", {"If-None-Match": "*"}
        elif what > 0.65 and rev:
            op.kind, op.expect = "cas", value
            headers = {"If-Match": f'"{rev}"'}
        else:
            op.kind = "put"
        a = self.ask(op, method, self.storm.target(key),
                     None if method == "DELETE" else {"v": op.value}, headers)
        self.storm.history.add(op)
        if a is None or op.outcome != "ok":
            return
        if a.status in (412, 404):
            assert op.kind != "put", a
            op.outcome = "failed"
        elif op.kind == "delete":
            op.rev = a.must(204).revision
        else:
            op.rev = a.must(200, 201).json["_rev"]
            self.known[key] = (op.value, op.rev)


class Reader(Registers):
    """Reads at one node and does not wait long: who leads no more and does not
    know it is asked again and again."""
    timeout = 0.4

    def turn(self):
        key = self.storm.register(self.rng)
        self.read(Op("read", key, node=self.home), key, self.rng.random() < 0.3)
        time.sleep(0.002)


class Adder(Worker):
    """Adds rows without a primary key: what is done twice shows as two rows."""

    def turn(self):
        key, tag = self.storm.list_for_a_row(), f"{self.name}-{next(self.serial)}"
        op = Op("add", key, node=self.somebody(), value=tag)
        a = self.ask(op, "POST", self.storm.target(key), {"tag": tag})
        if a is not None and op.outcome == "ok":
            op.rev = a.must(201).json["_rev"]
        self.storm.history.add(op)


class Insister(Worker):
    """Adds rows with an Idempotency-Key, at one node after the other until one
    says that it is done."""

    def turn(self):
        key, tag = self.storm.list_for_a_row(), f"{self.name}-{next(self.serial)}"
        first = None
        while True:
            op = Op("add", key, node=self.anybody(), value=tag)
            a = self.ask(op, "POST", self.storm.target(key), {"tag": tag},
                         {"Idempotency-Key": f"{self.storm.leaf}/{tag}"})
            first = first or op.call
            if a is not None and op.outcome == "ok":
                op.rev = a.must(201).json["_rev"]
                # A repeated answer names the revision of the first time.
                op.at = None
                break
            if self.storm.over.is_set():
                op.outcome, op.ret = "unknown", None
                break
        op.call = first
        self.storm.history.add(op)


class Lister(Worker):
    """Reads whole lists."""

    def turn(self):
        key = self.storm.a_list(self.rng)
        local = self.rng.random() < 0.5
        op = Op("local-list" if local else "list", key, node=self.somebody())
        a = self.ask(op, "GET", self.storm.target(key) + (
            "" if local else "?consistency=linearizable"))
        if a is None or op.outcome != "ok":
            op.outcome = "refused"
        else:
            op.value = [row["tag"] for row in a.must(200).json]
        self.storm.history.add(op)
        time.sleep(0.005)


class Agent(Worker):
    """A machine that is alive all along: it sends its heartbeat to any node, and
    when that does not take it to the next one, as an agent with a list of servers
    does. It never waits long for one."""

    def __init__(self, storm, number, ttl_s):
        super().__init__(storm, number)
        self.ttl_s, self.host = ttl_s, f"{self.name.lower()}-{storm.stem}"
        self.taken = time.monotonic()
        self.tried = collections.deque(maxlen=40)   # when, where, what came
        a = storm.cluster.client(storm.cluster.names[0]).post(
            "/v1/agents", {"hostname": self.host, "ttl": f"{ttl_s}s"})
        self.placed = a.must(200, 201).json["placements"]

    def turn(self):
        began, names = time.monotonic(), self.storm.cluster.names
        first = self.rng.randrange(len(names))
        for i in itertools.count(first):
            if self.storm.over.is_set():
                break
            with contextlib.suppress(Lost):
                if self.beat(names[i % len(names)]):
                    self.taken = began
                    break
            time.sleep(0.01)
            began = time.monotonic()
        self.storm.over.wait(self.ttl_s / 8)

    def beat(self, name):
        """Was it taken?"""
        client = self.client(name, timeout=min(1, self.ttl_s / 8))
        self.tried.append([time.monotonic(), client.node, "nothing"])
        if self.rng.random() < 0.7:
            a = client.put(path("v1", "agents", self.host, "heartbeat"))
            gone = a.status == 404
        else:
            a = client.post("/v1/heartbeats", {"hostnames": [self.host]})
            gone = a.status == 200 and a.json["unknown"]
        took = time.monotonic() - self.tried[-1][0]
        self.tried[-1][2] = f"{a.status} after {took:.2f}"
        if gone:
            now = time.monotonic()
            raise AssertionError(
                f"{self.host} was removed, {now - self.taken:.2f} s after it sent "
                f"a heartbeat that was taken; ttl {self.ttl_s} s. It tried: " +
                ", ".join(f"{when - now:.2f} {node} {what}"
                          for when, node, what in self.tried))
        return a.must(200, 204, 503, 504).status < 300


# ---- what is broken ---------------------------------------------------------

class Nemesis:
    """One thing after the other: break, wait, mend, wait. On the thread that
    owns the cluster, since it starts processes."""

    def __init__(self, storm):
        self.storm, self.cluster = storm, storm.cluster
        self.rng = random.Random(f"{storm.seed} nemesis")
        self.done = []

    def kinds(self):
        kinds = ["kill_leader", "kill_one", "stop_leader", "stop_one"]
        if self.cluster.net:
            kinds += ["isolate_leader", "isolate_one", "leader_is_not_heard",
                      "leader_hears_nothing", "split", "refuse", "bridge",
                      "late", "half_open", "reset"]
        if self.cluster.slow:
            kinds += ["slow_leader", "slow_one"]
        if len(self.cluster.names) > 1:
            kinds += ["transfer", "roll"]
        return kinds + ["kill_all", "snapshot"]

    def run(self, seconds, kinds=None):
        end = time.monotonic() + seconds
        kinds, bag = kinds or self.kinds(), []
        while time.monotonic() < end and not self.storm.over.is_set():
            if not bag:              # each comes before one comes twice
                bag = self.rng.sample(kinds, len(kinds))
            kind = bag.pop()
            hold = self.rng.choice((0.2, 1, 1.5, 2.5)) * (0.6 + self.rng.random())
            self.done.append(kind)
            getattr(self, kind)(min(hold, max(0.1, end - time.monotonic())))
            self.look_after()
            time.sleep(self.rng.random() * 0.7)

    def look_after(self):
        """Nobody ends by itself."""
        for name, node in self.cluster.nodes.items():
            if not node.alive():
                self.storm.history.complain(
                    f"{name} ended by itself, {node.process.returncode}:\n" +
                    node.log_tail(15))
                node.start(wait=False)

    def leader(self):
        return self.cluster.leader_now() or self.one()

    def one(self):
        return self.rng.choice(self.cluster.names)

    def others(self, name):
        return [n for n in self.cluster.names if n != name]

    def nothing(self, hold):
        time.sleep(hold)

    # -- processes

    def kill(self, names, hold):
        for name in names:
            self.cluster.kill(name)
        time.sleep(hold)
        for name in names:
            self.cluster.node(name).start(wait=False)
        # One that is still on its way when the next thing happens is fine too.
        time.sleep(self.rng.random() * 0.5)

    def kill_leader(self, hold):
        self.kill([self.leader()], hold)

    def kill_one(self, hold):
        self.kill([self.one()], hold)

    def kill_all(self, hold):
        self.kill(self.cluster.names, min(hold, 0.2))
        with contextlib.suppress(AssertionError):
            self.cluster.leader(10)

    def stop(self, name, hold):
        self.cluster.pause(name)
        time.sleep(hold)
        self.cluster.resume(name)

    def stop_leader(self, hold):
        self.stop(self.leader(), hold)

    def stop_one(self, hold):
        self.stop(self.one(), hold)

    def roll(self, _):
        """SIGTERM and start, one node after the other."""
        for name in self.rng.sample(self.cluster.names,
                                    len(self.cluster.names)):
            status = self.cluster.node(name).stop(40)
            if status != 0:
                self.storm.history.complain(f"{name}: {status} after SIGTERM")
            self.cluster.node(name).start(wait=False)
            with contextlib.suppress(AssertionError):
                self.cluster.wait_ready([name], 20)

    # -- the network

    def during(self, hold):
        time.sleep(hold)
        self.cluster.net.heal()

    def isolate(self, name, hold, how="hole"):
        self.cluster.net.split([name], self.others(name), how=how)
        self.during(hold)

    def isolate_leader(self, hold):
        self.isolate(self.leader(), hold)

    def isolate_one(self, hold):
        self.isolate(self.one(), hold)

    def refuse(self, hold):
        self.isolate(self.leader(), hold, how="cut")

    def leader_is_not_heard(self, hold):
        name = self.leader()
        for other in self.others(name):
            self.cluster.net.hole(name, other)
        self.during(hold)

    def leader_hears_nothing(self, hold):
        name = self.leader()
        for other in self.others(name):
            self.cluster.net.hole(other, name)
        self.during(hold)

    def split(self, hold):
        names = self.rng.sample(self.cluster.names, len(self.cluster.names))
        half = len(names) // 2
        self.cluster.net.split(names[:half], names[half:])
        self.during(hold)

    def bridge(self, hold):
        """Two do not reach each other, all others reach both."""
        a, b = self.rng.sample(self.cluster.names, 2)
        self.cluster.net.split([a], [b])
        self.during(hold)

    def late(self, hold):
        for a, b in self.cluster.net.ports:
            if self.rng.random() < 0.5:
                self.cluster.net.delay(a, b, self.rng.choice((5, 50, 300)), 20)
        self.during(hold)

    def half_open(self, hold):
        name = self.leader()
        for other in self.others(name):
            a, b = self.rng.sample((name, other), 2)
            self.cluster.net.half_open(a, b)
        self.during(hold)

    def reset(self, _):
        self.cluster.net.reset(self.leader())

    # -- the rest

    def slow(self, name, hold):
        self.cluster.node(name).slow_disk(self.rng.choice((20, 100, 400)))
        time.sleep(hold)
        self.cluster.node(name).slow_disk(0)

    def slow_leader(self, hold):
        self.slow(self.leader(), hold)

    def slow_one(self, hold):
        self.slow(self.one(), hold)

    def ask(self, name, target, *body):
        with contextlib.closing(Client(self.cluster.http[name],
                                       timeout=5)) as c:
            with contextlib.suppress(Lost):
                a = c.post(target, *body)
                if a.status in (400, 404, 405) or a.status == 500:
                    self.storm.history.complain(repr(a))

    def transfer(self, _):
        self.ask(self.one(), "/v1/cluster/transfer",
                 self.rng.choice(({}, {"to": self.one()})))

    def snapshot(self, _):
        self.ask(self.one(), "/v1/admin/snapshot")


# ---- all of it --------------------------------------------------------------

class Storm:
    def __init__(self, cluster, seed, registers=6, adders=4, insisters=2,
                 listers=2, agents=5, ttl_s=AGENT_TTL_S):
        self.cluster, self.seed, self.history = cluster, seed, History()
        self.verdict = None
        self.over = threading.Event()
        self.began = time.monotonic()
        self.lock, self.n_added, self.n_rows = threading.Lock(), 0, 0
        self.nemesis = Nemesis(self)
        stem = self.stem = f"s{os.getpid()}-{time.monotonic_ns() % 10**9}"
        a = cluster.client(cluster.leader()).post(
            "/v1/ns", {"parent": "roster", "name": stem}).must(201)
        self.leaf, self.born = a.json["ns"], a.revision
        cluster.wait_for_all(path("v1", "ns", self.leaf))
        self.agents = [Agent(self, i, ttl_s) for i in range(agents)]
        self.workers = list(self.agents)
        for kind, n in ((Registers, registers), (Adder, adders),
                        (Reader, registers and len(cluster.names)), (Insister, insisters), (Lister, listers)):
            self.workers += [kind(self, i) for i in range(n)]

    # -- where things are. Keys change with time, so that each is short.

    def generation(self):
        return int((time.monotonic() - self.began) / GENERATION_S)

    def register(self, rng):
        return f"k{self.generation()}-{rng.randrange(KEYS_AT_ONCE)}"

    def list_for_a_row(self):
        with self.lock:
            self.n_added += 1
        return f"l{self.n_added // LIST_ROWS}"

    def a_list(self, rng):
        newest = self.n_added // LIST_ROWS
        return f"l{max(0, newest - rng.choice((0, 0, 0, 1)))}"

    def lists(self):
        return sorted({op.key for op in self.history.ops
                       if op.kind == "add"}, key=lambda k: int(k[1:]))

    def target(self, key):
        if key.startswith("l"):
            return path("v1", "ns", self.leaf, key)
        return path("v1", "ns", self.leaf, "reg", key)

    # -- the course

    def run(self, seconds, kinds=None):
        for worker in self.workers:
            worker.start()
        try:
            self.nemesis.run(seconds, kinds)
        finally:
            self.cluster.heal()
            self.over.wait(0.5)       # some work when all is whole again
            self.over.set()
        for worker in self.workers:
            worker.join(30 * PATIENCE)
            if worker.is_alive():
                self.history.complain(f"{worker.name} hangs")

    def settle(self):
        """What is there now, everywhere; then the verdict. Texts, none when all
        is good."""
        self.cluster.heal()
        self.cluster.wait_ready()
        self.cluster.leader()
        gone = self.agents_are_there()   # first: their heartbeats have ended
        self.read_all()
        wrong = self.history.wrong + self.count_rows()
        wrong += gone + self.cluster.faults()
        try:
            self.digest = self.cluster.digests_agree()
        except AssertionError as e:
            wrong.append(f"digests: {e}")
        self.verdict = linear.judge(self.history.ops)
        if not self.verdict:
            wrong.append(str(self.verdict))
        return wrong

    def read_all(self):
        """The last reads belong to the history: nothing may be lost at the end."""
        reader = Registers(self, "last")
        keys = {op.key for op in self.history.ops if not op.key.startswith("l")}
        for key in sorted(keys):
            for local in (False, True):
                reader.read(Op("read", key, node=reader.anybody()), key, local)
        for worker in reader.clients.values():
            worker.close()

    def count_rows(self):
        """Every acknowledged row is on every node, once; none that was refused."""
        wrong, told = [], {}
        for op in self.history.ops:
            if op.kind == "add":
                told.setdefault(op.key, {}).setdefault(op.outcome, set()).add(
                    op.value)
        newest = max((op.at or 0 for op in self.history.ops), default=0)
        for key in self.lists():
            try:
                rows = self.cluster.rows_everywhere(self.target(key), newest)
            except AssertionError as e:
                wrong.append(str(e))
                continue
            tags = [row["tag"] for row in rows]
            there, mine = set(tags), told[key]
            self.n_rows += len(tags)
            wrong += [f"{key}: {text}: {sorted(odd)[:9]}" for text, odd in (
                ("acknowledged and not there", mine.get("ok", set()) - there),
                ("refused and there", mine.get("refused", set()) & there),
                ("there twice", {t for t in there if tags.count(t) > 1}),
                ("nobody's", there - set().union(*mine.values()))) if odd]
        return wrong

    def agents_are_there(self):
        wrong = []
        leader = self.cluster.client(self.cluster.leader())
        for agent in self.agents:
            a = leader.get(path("v1", "agents", agent.host))
            if a.status != 200 or a.json["placements"] != agent.placed:
                wrong.append(f"{agent.host} was alive all along: {agent.placed} "
                             f"became {a!r}")
        return wrong

    def counts(self):
        return {"operations": len(self.history.ops), "rows": self.n_rows,
                "broken": len(self.nemesis.done)}

    def tidy(self):
        """What it leaves is deleted, or an hour would fill the disk."""
        leader = self.cluster.client(self.cluster.leader())
        until(lambda: leader.delete(path("v1", "ns", self.leaf,
                                         recursive="true")
                                    ).status in (204, 404), 20)
        for agent in self.agents:
            leader.delete(path("v1", "agents", agent.host))

    def save(self, folder):
        self.history.save(os.path.join(folder, "history"))

    def summary(self):
        ops = self.history.ops
        n = {o: sum(op.outcome == o for op in ops)
             for o in ("ok", "failed", "refused", "unknown")}
        return (f"seed {self.seed}: {len(ops)} operations ({n['ok']} done, "
                f"{n['failed']} found another state, {n['refused']} refused, "
                f"{n['unknown']} unknown), {self.n_rows} rows, "
                f"{len(self.nemesis.done)} things broken: "
                f"{' '.join(self.nemesis.done)}; {self.verdict}")
