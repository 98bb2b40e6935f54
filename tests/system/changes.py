"""Watchers of every kind over a cluster that is broken while it is changed.

    storm = ChangeStorm(cluster, seed)
    storm.run(seconds)      # writers, watchers and nemesis
    storm.settle()          # heals, waits until all are told, judges: texts

Writers change rows, lists and namespaces in all ways there are. Watchers come
back to any node with what they saw last. told.py judges."""
import contextlib
import json
import os
import re
import threading
import time
from urllib.parse import urlencode

import told
from chaos import History, Nemesis, Worker
from harness import PATIENCE, Lost, connect, path, until
from told import Claim, Poll, Said, Spec, Stream

TYPES = ("thing", "part")
COLORS = ("red", "green", "blue", "r\u00e9d", "gre\"en\\", "re\nd\u2028")
# Progress comes every 15 s; a node may stand still for some seconds.
SILENT_S = 25
PATIENT = "5m"       # of polls that only a change ends


class Ended(Exception):
    """The stream ended, whoever did it."""


class Reader:
    """One answer whose body comes piece by piece: its lines."""

    def __init__(self, port, target, headers=(), timeout=2):
        self.sock = connect(port, timeout)
        self.raw = self.body = b""
        self.left, self.chunked, self.ended = 0, False, False
        lines = [f"GET {target} HTTP/1.1", "Host: x",
                 *(f"{n}: {v}" for n, v in headers)]
        try:
            self.sock.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
            self.head(time.monotonic() + 5 * PATIENCE)
        except BaseException:
            self.sock.close()
            raise

    def head(self, end):
        while b"\r\n\r\n" not in self.raw:
            self.more(end)
        head, self.raw = self.raw.split(b"\r\n\r\n", 1)
        self.status = int(head.split()[1])
        found = re.findall(r"^([\w-]+):[ \t]*(.*?)\r?$", head.decode("latin-1"),
                           re.M)
        self.headers = {n.lower(): v for n, v in found}
        self.chunked = "chunked" in self.headers.get("transfer-encoding", "")

    def more(self, end):
        left = end - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self.sock.settimeout(left)
        try:
            data = self.sock.recv(1 << 16)
        except TimeoutError:
            raise
        except OSError as e:
            raise Ended from e
        if not data:
            raise Ended
        self.raw += data

    def dechunk(self):
        """What has come of the body, without what chunks it."""
        if not self.chunked:
            self.body, self.raw = self.body + self.raw, b""
            return
        while self.raw and not self.ended:
            if self.left == 0:
                line, found, rest = self.raw.partition(b"\r\n")
                if not found:
                    return
                self.left = int(line.split(b";")[0], 16) + 2
                self.ended, self.raw = self.left == 2, rest
                continue
            piece = self.raw[:self.left]
            self.raw, self.left = self.raw[len(piece):], self.left - len(piece)
            # The last two bytes of a chunk are its line end.
            self.body += piece[:max(0, len(piece) + min(0, self.left - 2))]

    def record(self, mark, seconds):
        """What comes up to `mark`. Raises TimeoutError and Ended."""
        end = time.monotonic() + seconds
        while True:
            self.dechunk()
            if mark in self.body:
                one, self.body = self.body.split(mark, 1)
                return one
            if self.ended:
                raise Ended
            self.more(end)

    def close(self):
        self.sock.close()


def read_sse(block):
    """A Said of one block, or None (a comment, a retry)."""
    found = {}
    for line in block.split(b"\n"):
        name, _, value = line.partition(b": ")
        if name:
            assert name in (b"id", b"event", b"data", b"retry"), line
            assert name not in found, f"twice in one block: {line!r}"
            found[name] = value
    if b"data" not in found:
        return None
    said = read_line(found[b"data"])
    kind = found.get(b"event", b"").decode()
    assert kind == ("" if said.kind in ("change", "initial") else said.kind), \
        f"event: {kind!r} in {block[:200]!r}"
    if said.kind == "initial":
        assert b"id" not in found, f"an initial row with an id: {block[:200]!r}"
    else:
        assert int(found.get(b"id", b"-1")) == said.revision, block[:200]
    return said


def read_line(line):
    m = re.match(rb'\{"revision":(\d+),"op":"[a-z-]+","ns":"[^"]*",'
                 rb'"ns_id":\d+,"cause":"([a-z]+)"', line)
    if m:
        return Said("initial" if m[2] == b"initial" else "change", int(m[1]),
                    bytes(line))
    said = json.loads(line)
    assert set(said) == {"op", "revision"} and \
        said["op"] in ("progress", "reset", "bye"), line
    return Said(said["op"], said["revision"], b"")


class Watcher(Worker):
    """Follows one stream over many connections."""

    def __init__(self, storm, number, spec, form, begin):
        super().__init__(storm, number)
        self.spec, self.form, self.begin = spec, form, begin
        self.name = f"{form}-{begin}-{number}"
        self.said, self.last = [], storm.base if begin == "since" else None
        self.since_ns = 0
        self.connections = 0

    def run(self):
        try:
            while not self.done():
                with contextlib.suppress(OSError, Ended, TimeoutError):
                    self.connection(self.anybody())
                if self.storm.overdue():
                    raise AssertionError(
                        f"{self.spec}: was told up to {self.last} of "
                        f"{self.storm.goal} by {self.storm.cluster.names} in "
                        f"{self.connections} connections")
                time.sleep(0.01)
        except BaseException as e:  # pylint: disable=broad-except
            self.storm.history.complain(f"{self.name}: {e!r}")

    def done(self):
        return self.storm.goal and (self.last or 0) >= self.storm.goal

    def target(self):
        """A browser comes back to the same URL, with the id it saw last."""
        query, headers = self.spec.query(), []
        if self.begin == "initial" and (self.form == "sse" or
                                        self.last is None):
            query["initial"] = "true"
        elif self.last is not None and (
                self.form == "ndjson" or self.rng.random() < 0.3):
            query["since"] = self.last
        if self.form == "ndjson":
            headers = [("Accept", "application/x-ndjson")]
        elif self.last is not None and "since" not in query:
            headers = [("Last-Event-ID", self.last)]
        return "/v1/watch?" + urlencode(query), headers

    def connection(self, name):
        r = Reader(self.storm.cluster.http[name], *self.target())
        with contextlib.closing(r):
            if r.status != 200:
                assert r.status == 503, (r.status, r.headers, r.raw[:300])
                return
            self.connections += 1
            self.since_ns = self.since_ns or time.monotonic_ns()
            if self.last is None:
                del self.said[:]        # began to list, and was interrupted
                self.since_ns = time.monotonic_ns()
            self.follow(r)

    def follow(self, r):
        """For a while. What has come is read, whoever ends it."""
        leave = time.monotonic() + self.rng.choice((0.3, 2, 8, 60))
        heard = time.monotonic()
        while not self.done():
            try:
                self.note(self.one(r, 0.5))
                heard = time.monotonic()
            except TimeoutError:
                if self.storm.overdue():
                    return
                silent = time.monotonic() - heard
                assert silent < SILENT_S * PATIENCE, \
                    f"no progress in {silent:.0f} s"
            # At the end a new connection is told at once how far all is.
            if time.monotonic() > leave and self.last is not None or \
                    self.storm.goal and time.monotonic() > heard + 1:
                return

    def one(self, r, seconds):
        if self.form == "ndjson":
            return read_line(r.record(b"\n", seconds))
        return read_sse(r.record(b"\n\n", seconds))

    def note(self, said):
        if said is None:
            return
        self.said.append(said)
        if said.kind in ("progress", "reset") or \
                said.kind == "change" and not self.listing():
            self.last = said.revision
        if said.kind == "bye":
            raise Ended

    def listing(self):
        return self.begin == "initial" and self.last is None

    def stream(self):
        base = self.storm.base if self.begin == "since" else None
        return Stream(self.name, self.spec, base, self.said, self.since_ns)


class Poller(Worker):
    """Asks again and again, each time with the revision of what it got."""

    def __init__(self, storm, number, spec, wait):
        super().__init__(storm, number)
        self.spec, self.wait, self.since = spec, wait, storm.base
        self.name = f"poll-{wait}-{number}"
        self.polls = []

    def run(self):
        try:
            while not (self.goal() and self.since >= self.goal()):
                self.turn()
                if self.storm.overdue():
                    raise AssertionError(f"{self.spec}: is at {self.since}, "
                                         f"not {self.goal()}")
        except BaseException as e:  # pylint: disable=broad-except
            self.storm.history.complain(f"{self.name}: {e!r}")
        finally:
            for client in self.clients.values():
                client.close()

    def goal(self):
        """The last change of what it asks for."""
        return self.storm.goal and max(
            revision for (ns, type_), revision in self.storm.last_of.items()
            if type_ == self.spec.type and self.spec.below(ns))

    def target(self):
        query = {"since": self.since, "wait": self.wait}
        if self.spec.only:
            return path("v1", "ns", self.spec.ns, self.spec.type, **query)
        return "/v1/search?" + urlencode({**self.spec.query(), **query,
                                          "limit": 100000})

    def turn(self):
        seconds = float(self.wait[:-1]) * (60 if self.wait[-1] == "m" else 1)
        client = self.client(self.anybody(), timeout=seconds + 20)
        began = time.monotonic()
        try:
            a = client.get(self.target())
        except Lost:
            time.sleep(0.02)
            return
        if a.status != 200:
            a.must(503)
            time.sleep(0.02)
            return
        # A node that leaves answers all who wait.
        woken = time.monotonic() - began < seconds * 0.85 and \
            a.headers.get("connection", "").lower() != "close"
        etag = int(a.etag.strip('"')) if self.spec.only else None
        self.polls.append(Poll(self.name, self.spec, self.since, a.revision,
                               etag, a.body, woken))
        # Both are what one may go on with: of the list, or of all.
        self.since = etag if etag is not None and self.rng.random() < 0.5 \
            else a.revision


# ---- who changes things -----------------------------------------------------

class Writer(Worker):
    """Everything that can be done to rows and namespaces, at random."""

    KINDS = ("add", "add", "bulk", "put", "put", "patch", "patch", "delete",
             "replace", "txn", "move", "copy", "leaf", "rename", "transplant",
             "raze", "agent")

    def __init__(self, storm, number):
        super().__init__(storm, number)
        self.mine = []          # leaves of its own: they are moved and deleted
        self.n = 0

    def turn(self):
        kind = self.rng.choice(self.KINDS)
        self.n += 1
        getattr(self, kind)()
        time.sleep(self.rng.choice((0.002, 0.01, 0.03)))

    # -- parts

    def some_ns(self):
        return self.rng.choice(self.storm.leaves + self.mine[-3:])

    def key(self):
        return f"k{self.rng.randrange(8)}"

    def row(self, key=None):
        row = {"color": self.rng.choice(COLORS), "v": f"{self.name}-{self.n}"}
        if key is not False:
            row["name"] = key or self.key()
        return row

    def there(self, ns=None):
        return path("v1", "ns", ns or self.some_ns(), self.rng.choice(TYPES))

    def ask(self, method, target, body=None, good=(200, 201, 204)):
        """The answer to what was done; None when it was not, or who knows."""
        began = time.monotonic_ns()
        args = (method, target) + (() if body is None else (body,))
        try:
            a = self.client(self.somebody()).call(*args)
        except Lost:
            time.sleep(0.01)
            return None, 0
        a.must(*good, 404, 409, 503, 504)
        return (a if a.status in good else None), began

    def claim(self, done, n=1):
        """A single row is as it was answered."""
        a, began = done
        if a is not None:
            self.storm.claims.append(Claim(a.json["_rev"], n, a.body, began))

    # -- rows

    def add(self):
        self.claim(self.ask("POST", self.there(),
                            self.row(self.rng.choice((None, False)))))

    def bulk(self):
        a, began = self.ask("POST", self.there(), [
            self.row(False) for _ in range(self.rng.randrange(2, 7))])
        if a is not None:
            rows = a.json
            self.storm.claims.append(
                Claim(rows[-1]["_rev"], len(rows), b"", began))
            assert rows[-1]["_rev"] - rows[0]["_rev"] == len(rows) - 1, a

    def put(self):
        key = self.key()
        self.claim(self.ask("PUT", self.there() + "/" + key, self.row(key)))

    def patch(self):
        change = {self.rng.choice(("color", "extra")):
                  self.rng.choice((*COLORS, None))}
        # It may be so already.
        self.claim(self.ask("PATCH", self.there() + "/" + self.key(), change),
                   0)

    def delete(self):
        a, began = self.ask("DELETE", self.there() + "/" + self.key())
        if a is not None:
            self.storm.claims.append(Claim(a.revision, 1, None, began))

    def replace(self):
        keys = self.rng.sample(range(8), self.rng.randrange(7))
        self.ask("PUT", self.there(), [self.row(f"k{k}") for k in keys])

    def txn(self):
        todo = []
        for _ in range(self.rng.randrange(1, 6)):
            op = self.rng.choice(("put", "put", "put", "patch", "delete"))
            one = {"op": op, "ns": self.some_ns(), "id": self.key(),
                   "type": self.rng.choice(TYPES)}
            if op != "delete":
                one["resource"] = self.row(one["id"])
            todo.append(one)
        self.ask("POST", "/v1/txn", {"do": todo})

    def move(self):
        ns, to = self.some_ns(), self.some_ns()
        if ns != to:
            self.claim(self.ask("POST", self.there(ns) + f"/{self.key()}/move",
                                {"to": to}), 2)

    def copy(self):
        self.claim(self.ask("POST", self.there() + f"/{self.key()}/copy",
                            {"to": self.some_ns()}))

    # -- namespaces

    def leaf(self):
        name = f"{self.name.lower()}-{self.n}"
        a, _ = self.ask("POST", "/v1/ns", {
            "parent": self.rng.choice(self.storm.branches), "name": name})
        if a is not None:
            self.mine.append(a.json["ns"])

    def edit(self, **change):
        """Of one of its own; what is not known to be done is forgotten."""
        if not self.mine:
            return
        ns = self.mine.pop(self.rng.randrange(len(self.mine)))
        a, _ = self.ask("PATCH", path("v1", "ns", ns), change)
        if a is not None:
            self.mine.append(a.json["ns"])

    def rename(self):
        if self.rng.random() < 0.3:
            self.storm.rename_the_moving_branch(self)
        elif self.rng.random() < 0.3:
            self.edit(comment=f"c{self.n}")
        else:
            self.edit(name=f"{self.name.lower()}-r{self.n}")

    def transplant(self):
        self.edit(parent=self.rng.choice(self.storm.branches))

    def raze(self):
        if len(self.mine) > 2:
            ns = self.mine.pop(0)
            a, began = self.ask("DELETE", path("v1", "ns", ns,
                                               recursive="true"))
            if a is not None:
                self.storm.claims.append(Claim(a.revision, 1, None, began))

    # -- agents

    def agent(self):
        """Comes, and is never heard of again, or leaves. Few at a time: no
        outage is meant."""
        host = self.storm.next_agent()
        if host is None:
            return
        a, _ = self.ask("POST", "/v1/agents", {
            "hostname": host, "ttl": "2s", "resource": {"color": "red"}})
        if a is not None and self.rng.random() < 0.4:
            self.ask("POST", self.there() + f"?lease={a.json['lease']}",
                     self.row(False))
        if a is not None and self.rng.random() < 0.4:
            self.ask("DELETE", path("v1", "agents", host))


# ---- all of it --------------------------------------------------------------

class ChangeStorm:
    def __init__(self, cluster, seed, writers=4):
        self.cluster, self.seed, self.history = cluster, seed, History()
        self.over, self.lock = threading.Event(), threading.Lock()
        self.claims, self.goal, self.patience_ends = [], 0, None
        self.n_agents, self.agent_at = 0, 0
        self.n_events = self.n_polls = 0
        self.last_of = {}       # (leaf, type) -> revision of its last change
        self.log = []           # as it was read in the end
        self.nemesis = Nemesis(self)
        self.lay_out()
        self.watchers = [Watcher(self, i, *kind)
                         for i, kind in enumerate(self.kinds())]
        self.pollers = [Poller(self, i, *kind)
                        for i, kind in enumerate(self.poll_kinds())]
        self.writers = [Writer(self, i) for i in range(writers)]

    def lay_out(self):
        """top: fixed (f0 … f3) and moving (a branch that is renamed)."""
        leader = self.cluster.client(self.cluster.leader())
        # All that was before is no concern of this storm.
        self.base = leader.get("/v1/types?consistency=linearizable").revision
        self.stem = f"c{os.getpid()}-{time.monotonic_ns() % 10**9}"
        self.top = self.make(leader, "roster", self.stem, "branch")
        fixed = self.make(leader, self.top, "fixed", "branch")
        self.moving = self.make(leader, self.top, "moving", "branch")
        self.branches = [fixed, self.moving]
        self.leaves = [self.make(leader, fixed, f"f{i}", "leaf")
                       for i in range(4)]
        self.make(leader, fixed, "agents", "leaf", match=f"-{self.stem}$")
        self.inner = self.make(leader, self.moving, "inner", "leaf")
        self.leaves.append(self.inner)
        self.cluster.wait_for_all(path("v1", "ns", self.inner))

    def make(self, client, parent, name, kind, **more):
        return client.post("/v1/ns", {"parent": parent, "name": name,
                                      "kind": kind, **more}
                           ).must(201).json["ns"]

    def kinds(self):
        """Filter, form and begin of each watcher."""
        fixed, moving = self.branches
        every = Spec("roster")
        red = Spec(self.top, k="color", v="red")
        return [
            (every, "sse", "since"), (every, "ndjson", "since"),
            (every, "ndjson", "now"), (Spec(self.top), "sse", "initial"),
            (Spec(fixed), "ndjson", "initial"),
            (Spec(moving), "sse", "since"),
            (Spec(self.inner, "thing"), "ndjson", "since"),
            (Spec(self.leaves[0], "part"), "sse", "since"),
            (Spec(self.leaves[1]), "sse", "now"),
            (red, "sse", "since"), (red, "ndjson", "initial"),
            (Spec(self.top, "thing", "color", "re", "prefix"), "sse", "since"),
            (Spec(fixed, "part", None, "e", "contains"), "ndjson", "since"),
            (Spec("roster", "machine"), "sse", "since"),
        ]

    def poll_kinds(self):
        fixed = self.branches[0]
        return [
            (Spec(self.leaves[0], "thing", only=True), "2s"),
            (Spec(self.leaves[0], "thing", only=True), PATIENT),
            (Spec(self.leaves[1], "part", only=True), PATIENT),
            (Spec(self.leaves[2], "thing", only=True), "10s"),
            (Spec(fixed, "thing"), "3s"),
            (Spec(self.top, "part", "color", "red"), PATIENT),
        ]

    def overdue(self):
        return self.patience_ends and time.monotonic() > self.patience_ends

    def next_agent(self):
        """Name of one more machine; None while there are enough."""
        with self.lock:
            if time.monotonic() < self.agent_at:
                return None
            self.agent_at = time.monotonic() + 1
            self.n_agents += 1
            return f"h{self.n_agents}-{self.stem}"

    def rename_the_moving_branch(self, writer):
        """And back, whatever came of it: it is watched by one name."""
        with self.lock:
            writer.ask("PATCH", path("v1", "ns", self.moving),
                       {"name": "elsewhere"})
            for _ in range(20):
                a, _ = writer.ask("PATCH", path(
                    "v1", "ns", f"elsewhere.{self.top}"), {"name": "moving"})
                if a is not None:
                    break
                time.sleep(0.1)

    # -- the course

    def run(self, seconds, kinds=None):
        everybody = [*self.watchers, *self.pollers, *self.writers]
        for worker in everybody:
            worker.start()
        try:
            self.nemesis.run(seconds, kinds)
        finally:
            self.cluster.heal()
            self.over.wait(1)         # some changes when all is whole again
            self.over.set()
        for worker in self.writers:
            worker.join(60 * PATIENCE)
            if worker.is_alive():
                self.history.complain(f"{worker.name} hangs")

    def last_words(self):
        """A change of everything that is polled; its revision is where all have
        to come."""
        self.cluster.wait_ready()
        leader = self.cluster.client(self.cluster.leader())
        leader.patch(path("v1", "ns", f"elsewhere.{self.top}"),
                     {"name": "moving"}).must(200, 404)
        self.last_of = self.change_all(leader)
        self.goal = leader.get("/v1/types?consistency=linearizable").revision
        self.patience_ends = time.monotonic() + 40 * PATIENCE
        # For those who had that before they could know that it was the last.
        self.change_all(leader)

    def change_all(self, client):
        """A row more in every list; {(leaf, type): revision}."""
        def add(ns, type_):
            def done():
                a = client.post(path("v1", "ns", ns, type_),
                                {"color": "red", "v": "last"})
                return a.status == 201 and a.revision
            return until(done, 20)
        return {(ns, type_): add(ns, type_) for ns in self.leaves
                for type_ in TYPES}

    def read_log(self, name):
        """All since the storm began, in peace: lines."""
        spec, texts = Spec("roster"), []
        r = Reader(self.cluster.http[name], "/v1/watch?" + urlencode(
            {**spec.query(), "since": self.base}),
            [("Accept", "application/x-ndjson")])
        with contextlib.closing(r):
            assert r.status == 200, (r.status, r.raw[:300])
            while True:
                said = read_line(r.record(b"\n", 20 * PATIENCE))
                if said.kind == "change":
                    texts.append(said.text)
                elif said.kind == "reset":
                    raise AssertionError(f"{name}: reset at {said.revision}")
                elif said.kind == "progress" and said.revision >= self.newest:
                    return texts

    def settle(self):
        """Texts, none when all is good."""
        self.cluster.heal()
        self.last_words()
        for worker in (*self.watchers, *self.pollers):
            worker.join(60 * PATIENCE)
            if worker.is_alive():
                self.history.complain(f"{worker.name} ({worker.spec}) hangs")
        self.newest = max([w.last or 0 for w in self.watchers] +
                          [p.since for p in self.pollers])
        logs = {name: self.read_log(name) for name in self.cluster.names}
        self.log = max(logs.values(), key=len)
        return (self.history.wrong + self.cluster.faults() +
                self.judge(logs))[:30]

    def judge(self, logs):
        wrong, log = told.judge_log(logs, self.claims)
        wrong += told.World().follow(log)
        inside = told.inner(self.claims)
        began_with = []
        for watcher in self.watchers:
            stream = watcher.stream()
            if watcher.begin == "initial":
                began_with.append(stream)
                stream = behind_the_list(stream)
            wrong += told.judge_stream(log, stream, inside, self.claims)
        polls = [p for poller in self.pollers for p in poller.polls]
        wrong += told.judge_states(log, polls, began_with, inside)
        self.n_events, self.n_polls = len(log), len(polls)
        return wrong + self.as_it_is(log)

    def as_it_is(self, log):
        """What the log comes to is what a search finds on each node."""
        world, wrong = told.World(), []
        world.follow(log)
        spec = Spec(self.top)
        want = {p: [e.resource for e in rows]
                for p, rows in world.found(spec).items()}
        for name in self.cluster.names:
            a = self.cluster.client(name).get(
                "/v1/search?" + urlencode({"ns": self.top, "limit": 100000}))
            if a.must(200).revision == world.revision and a.json != want:
                wrong.append(f"{name} has other rows than the log comes to")
        return wrong

    def counts(self):
        return {"events": self.n_events, "polls": self.n_polls,
                "told": sum(len(w.said) for w in self.watchers),
                "broken": len(self.nemesis.done)}

    def tidy(self):
        leader = self.cluster.client(self.cluster.leader())
        until(lambda: leader.delete(path("v1", "ns", self.top,
                                         recursive="true")
                                    ).status in (204, 404), 20)

    def save(self, folder):
        """The log, and what each one was told."""
        with open(os.path.join(folder, "log"), "wb") as f:
            f.writelines(text + b"\n" for text in self.log)
        for w in self.watchers:
            with open(os.path.join(folder, w.name), "wb") as f:
                f.writelines(b"%s %d %s\n" % (s.kind.encode(), s.revision,
                                              s.text) for s in w.said)
        for p in self.pollers:
            with open(os.path.join(folder, p.name), "wb") as f:
                f.writelines(repr(poll).encode() + b"\n" for poll in p.polls)

    def summary(self):
        woken = sum(p.woken for w in self.pollers for p in w.polls)
        return (f"seed {self.seed}: {self.n_events} events, told "
                f"{sum(len(w.said) for w in self.watchers)} times over "
                f"{sum(w.connections for w in self.watchers)} connections; "
                f"{self.n_polls} polls ({woken} woken); broken: "
                f"{' '.join(self.nemesis.done)}")


def behind_the_list(stream):
    """What was told after the first progress of a stream that listed."""
    for i, s in enumerate(stream.said):
        if s.kind == "progress":
            return stream._replace(base=s.revision, said=stream.said[i + 1:])
    return stream
