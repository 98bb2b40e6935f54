"""No acknowledged write is lost (BRIEF P1). These tests count rows."""
import contextlib
import os
import random
import re
import shutil
import threading
import time

from harness import (FULL, PATIENCE, Lost, Server, bare, binary, make_list,
                     make_ns, path, run, say, seeded, until, without)

MIB = 1 << 20


# ---- many writers, many kills -----------------------------------------------

class Writer(threading.Thread):
    """Adds rows one after the other, each with a name of its own, and notes
    what it was told about each. A row whose outcome is unknown is not tried
    again."""

    def __init__(self, s, target, number, n, bulk=False, pad=5):
        super().__init__(daemon=True)
        self.client, self.target, self.bulk = s.client(timeout=20), target, bulk
        self.pad = pad
        self.number, self.n = number, n
        self.told = {}       # name -> "yes" | "no" | "unknown"
        self.enough = threading.Event()
        self.fault = None

    def run(self):
        try:
            for i in range(self.n):
                if self.enough.is_set():
                    break
                name = f"w{self.number}-{i}"
                self.told[name] = self.add(name)
        except BaseException as e:  # pylint: disable=broad-except
            self.fault = e

    def add(self, name):
        # No primary key: what is done twice must show as two rows.
        row = {"tag": name, "pad": name * self.pad}
        while not self.enough.is_set():
            try:
                a = self.client.post(self.target, [row] if self.bulk else row)
            except Lost as e:
                if not isinstance(e.__cause__, ConnectionRefusedError):
                    return "unknown"
                time.sleep(0.01)      # nobody listened: surely not done
                continue
            if a.status == 201:
                return "yes"
            if a.status == 504:
                assert a.json.get("outcome") == "unknown", a
                return "unknown"
            assert a.status == 503, a
            time.sleep(0.02)
            return "no"
        return "no"


def settle(s, writers, target):
    """Compare what the writers were told with what is there."""
    for w in writers:
        if w.fault:
            raise w.fault
    rows = s.rows(target)
    there = [r["tag"] for r in rows]
    assert len(set(there)) == len(there), "a row is there twice"
    assert len({r["_id"] for r in rows}) == len(rows), "an _id is there twice"
    assert len({r["_rev"] for r in rows}) == len(rows), "a _rev is there twice"
    there = set(there)
    told = {k: {n for w in writers for n, t in w.told.items() if t == k}
            for k in ("yes", "no", "unknown")}
    lost, undead = told["yes"] - there, told["no"] & there
    assert not lost, f"{len(lost)} acknowledged rows lost: {sorted(lost)[:9]}"
    assert not undead, f"{len(undead)} refused rows there: {sorted(undead)[:9]}"
    stray = there - told["yes"] - told["unknown"]
    assert not stray, f"rows nobody added: {sorted(stray)[:9]}"
    for r in rows:
        assert r["pad"] == r["tag"] * writers[0].pad, f"damaged: {r}"
    say(f"{len(there)} rows: {len(told['yes'])} acknowledged, "
        f"{len(told['no'])} refused, {len(told['unknown'])} unknown of which "
        f"{len(told['unknown'] & there)} are there")
    return told


def storm(s, clients, each, kills, rng, pad=5, kind=Writer, power_cut=False):
    target = make_list(s)
    writers = [kind(s, target, i, each, bulk=i % 8 == 7, pad=pad)
               for i in range(clients)]
    for w in writers:
        w.start()
    total, done_kills = clients * each, 0
    end = time.monotonic() + (600 if FULL else 110) * PATIENCE

    def progress(): return sum(len(w.told) for w in writers)
    for i in range(kills):
        # Spread over the whole work, at no regular moment.
        mark = total * (i + rng.random() * 0.8) / kills * 0.95
        while progress() < mark and any(w.is_alive() for w in writers):
            assert time.monotonic() < end, f"slow: {progress()} of {total}"
            time.sleep(0.002)
        time.sleep(rng.random() * 0.05)
        if any(w.is_alive() for w in writers):
            done_kills += 1
        s.kill()
        if power_cut:
            other_boot(s)
            damage_store(s, rng, rng.choice(("cut", "holes", "rubbish", "meta")))
        s.start()
    for w in writers:
        w.join(max(0, end - time.monotonic()))
        assert not w.is_alive(), f"slow: {progress()} of {total}"
    assert done_kills >= kills * 0.7, "killed too late to mean anything"
    told = settle(s, writers, target)
    assert len(told["yes"]) > total // 2, "too few acknowledged to mean anything"
    before = s.get(target).must(200)
    s.restart()
    after = s.get(target).must(200)
    assert (after.body, after.etag, after.revision) == (
        before.body, before.etag, before.revision)
    return told


@bare(timeout=150, alone=False)
def rows_added_by_64_clients_are_all_there_after_ten_kills():
    with Server() as s:
        storm(s, 64, 1000 if FULL else 150, 10, seeded("kills"))


@bare(timeout=150)
def rows_added_while_the_power_is_cut_again_and_again_are_all_there():
    with Server("--snapshot-bytes", "1MiB") as s:
        storm(s, 32, 100, 5, seeded("power cuts"), pad=300, power_cut=True)


class Putter(threading.Thread):
    """Puts one list after the other: all rows of a list say which it is."""

    def __init__(self, s, target, n_rows):
        super().__init__(daemon=True)
        self.client, self.target = s.client(timeout=20), target
        self.n_rows, self.sent, self.acknowledged = n_rows, 0, 0
        self.enough, self.fault = threading.Event(), None

    def run(self):
        try:
            while not self.enough.is_set():
                self.put()
        except BaseException as e:  # pylint: disable=broad-except
            self.fault = e

    def put(self):
        self.sent += 1
        rows = [{"tag": str(self.sent), "pad": "x" * 100}] * self.n_rows
        try:
            a = self.client.put(self.target, rows)
        except Lost:
            time.sleep(0.01)
            return
        assert a.status in (200, 503, 504), a
        if a.status == 200:
            self.acknowledged = self.sent


@bare(timeout=150, alone=False)
def a_long_list_is_all_of_one_put_after_a_kill_in_the_middle_of_the_next():
    rng = seeded("long lists")
    with Server() as s:
        putter = Putter(s, make_list(s), 5000)
        putter.start()
        for _ in range(6):
            before = putter.acknowledged
            until(lambda b=before: putter.acknowledged > b or putter.fault)
            time.sleep(rng.random() * 0.3)
            s.kill()
            known = putter.acknowledged
            s.start()
            rows = s.rows(putter.target)
            tags = {r["tag"] for r in rows}
            assert len(rows) == 5000 and len(tags) == 1, (len(rows), tags)
            assert int(tags.pop()) >= known
        putter.enough.set()
        putter.join(60 * PATIENCE)
        if putter.fault:
            raise putter.fault


class Stubborn(Writer):
    """Repeats a write with its Idempotency-Key until it hears that it is done:
    in the end each row must be there once, whatever happened in between."""

    def add(self, name):
        row, key = {"tag": name, "pad": name * self.pad}, f"key-{name}"
        end = time.monotonic() + 60 * PATIENCE
        while time.monotonic() < end:
            try:
                a = self.client.post(self.target, [row] if self.bulk else row,
                                     {"Idempotency-Key": key})
            except Lost:
                time.sleep(0.01)
                continue
            if a.status == 201:
                return "yes"
            assert a.status in (503, 504), a
            time.sleep(0.02)
        raise AssertionError(f"{name} was never taken")


@bare(timeout=150)
def rows_repeated_with_a_key_until_they_are_taken_are_there_once():
    with Server("--snapshot-bytes", "1MiB") as s:
        told = storm(s, 32, 100, 6, seeded("stubborn"), pad=50, kind=Stubborn)
        assert len(told["yes"]) == 3200


@bare(timeout=150)
def rows_added_while_snapshots_are_taken_are_all_there_after_kills():
    with Server("--snapshot-bytes", "1MiB") as s:
        storm(s, 32, 100, 6, seeded("kills with snapshots"), pad=500)
        assert [f for f in s.files() if f.startswith("state/")], "no snapshot"


# ---- all kinds of writes against a model ------------------------------------

class Model:
    """One writer's own branch: two leaves with rows by name. `now` is a state
    that may be; after a lost answer there are two."""

    def __init__(self, s, number, rng):
        self.s, self.rng = s, rng
        self.client = s.client(timeout=20)
        self.top = make_ns(s, "branch", name=f"m{number}")
        self.ns = [make_ns(s, parent=self.top, name=n) for n in "ab"]
        self.now = [[{}, {}]]      # candidates: rows by name, per leaf
        self.writes = self.unknown = 0

    def at(self, leaf, *more):
        return path("v1", "ns", self.ns[leaf], "thing", *more)

    def step(self):
        """One random write: (method, target, body, what it does to a state).
        The effect returns None when the write must be refused."""
        rng, leaf = self.rng, self.rng.randrange(2)
        name = f"k{rng.randrange(12)}"
        value = f"{rng.randrange(10**6)} " * rng.choice((1, 1, 300))
        kind = rng.choice(["post", "put", "put", "patch", "delete", "bulk",
                           "list", "move", "copy", "txn"])

        def put(state, which, n, row, must_be_new=False):
            if must_be_new and n in state[which]:
                return None
            state[which][n] = row
            return state

        def take(state, which, n):
            return state if state[which].pop(n, None) is not None else None
        if kind == "post":
            return ("POST", self.at(leaf), {"name": name, "v": value},
                    lambda s: put(s, leaf, name, {"v": value}, True))
        if kind == "put":
            return ("PUT", self.at(leaf, name), {"v": value},
                    lambda s: put(s, leaf, name, {"v": value}))
        if kind == "patch":
            def patched(s):
                row = s[leaf].get(name)
                return row and put(s, leaf, name, {**row, "p": value})
            return "PATCH", self.at(leaf, name), {"p": value}, patched
        if kind == "delete":
            return ("DELETE", self.at(leaf, name), None,
                    lambda s: take(s, leaf, name))
        if kind == "bulk":
            names = rng.sample([f"k{i}" for i in range(12)], 3)

            def all_new(s):
                for n in names:
                    s = s and put(s, leaf, n, {"v": value}, True)
                return s
            return ("POST", self.at(leaf),
                    [{"name": n, "v": value} for n in names], all_new)
        if kind == "list":
            names = rng.sample([f"k{i}" for i in range(12)], rng.randrange(8))

            def replaced(s):
                s[leaf] = {n: {"v": value} for n in names}
                return s
            return ("PUT", self.at(leaf),
                    [{"name": n, "v": value} for n in names], replaced)
        if kind in ("move", "copy"):
            def carried(s):
                row = s[leaf].get(name)
                if row is None or name in s[1 - leaf]:
                    return None
                if kind == "move":
                    del s[leaf][name]
                return put(s, 1 - leaf, name, dict(row))
            return ("POST", self.at(leaf, name, kind),
                    {"to": self.ns[1 - leaf]}, carried)
        other = f"k{rng.randrange(12)}"

        def both(s):
            s = put(s, leaf, name, {"t": value})
            return take(s, 1 - leaf, other)
        return "POST", "/v1/txn", {"do": [
            {"op": "put", "ns": self.ns[leaf], "type": "thing", "id": name,
             "resource": {"t": value}},
            {"op": "delete", "ns": self.ns[1 - leaf], "type": "thing",
             "id": other}]}, both

    def write(self):
        method, target, body, effect = self.step()
        states = [effect([dict(self.now[0][0]), dict(self.now[0][1])])]
        try:
            args = (target,) if body is None else (target, body)
            a = self.client.call(method, *args)
        except Lost as e:
            if isinstance(e.__cause__, ConnectionRefusedError):
                time.sleep(0.01)
                return True
            states.append(self.now[0])
            self.unknown += 1
            self.now = [x for x in states if x is not None]
            return False              # find out before writing on
        self.writes += 1
        if a.status == 503:
            return True
        if a.status == 504:
            self.now = [x for x in states + self.now if x is not None]
            return False
        if states[0] is None:
            assert a.status in (404, 409), f"should be refused: {a!r}"
        else:
            assert a.status in (200, 201, 204), f"should be done: {a!r} {body}"
            self.now = states
        return True

    def look(self):
        """What is there must be one of the states that may be."""
        got = []
        for leaf in range(2):
            rows = self.client.get(self.at(leaf)).must(200).json
            assert len({r["name"] for r in rows}) == len(rows), rows
            got.append({r["name"]: without(r, "_id", "_rev", "name")
                        for r in rows})
            for r in rows:            # the keys lead to the same rows
                assert self.client.get(self.at(leaf, r["name"])).must(
                    200).json == r
        assert got in self.now, (f"{self.top} is {got}, which is none of "
                                 f"{self.now}")
        self.now = [got]


@bare(timeout=150)
def whatever_was_written_when_it_was_killed_the_state_is_one_that_may_be():
    rng, rounds, writers = seeded("model"), 40 if FULL else 8, 6
    with Server("--snapshot-bytes", "1MiB") as s:
        models = [Model(s, i, random.Random(rng.random()))
                  for i in range(writers)]
        for _ in range(rounds):
            stop, faults = threading.Event(), []

            def work(m):
                try:
                    while not stop.is_set() and m.write():
                        pass
                except BaseException as e:  # pylint: disable=broad-except
                    faults.append(e)
            threads = [threading.Thread(target=work, args=(m,), daemon=True)
                       for m in models]
            for t in threads:
                t.start()
            time.sleep(0.3 + rng.random() * 0.7)
            s.kill()
            stop.set()
            for t in threads:
                t.join(30)
            s.start()
            if faults:
                raise faults[0]
            for m in models:
                m.look()
        say(f"{sum(m.writes for m in models)} writes answered, "
            f"{sum(m.unknown for m in models)} unknown, {rounds} kills")


# ---- power cuts -------------------------------------------------------------

def raft_dir(s):
    """Where libraft keeps its segments."""
    for folder, _, names in os.walk(s.data_dir):
        if any(re.match(r"(open-\d+|\d+-\d+|metadata\d)$", n) for n in names):
            return folder
    raise AssertionError(f"no raft log below {s.data_dir}: {s.files()}")


def open_segments(s):
    folder = raft_dir(s)
    names = [n for n in os.listdir(folder) if re.match(r"open-\d+$", n)]
    return [os.path.join(folder, n)
            for n in sorted(names, key=lambda n: int(n.split("-")[1]))]


def used_bytes(file):
    """Segments are allocated ahead: what is written ends before the zeros."""
    with open(file, "rb") as f:
        return len(f.read().rstrip(b"\0"))


def other_boot(s):
    """Make the directory look as if the machine had been restarted."""
    marker = os.path.join(s.data_dir, "store.state")
    with open(marker, encoding="ascii") as f:
        text = f.read()
    changed, n = re.subn(r"(?m)^boot .*$",
                         "boot 00000000-0000-4000-8000-000000000000", text)
    assert n == 1, f"store.state has no line 'boot': {text!r}"
    with open(marker, "w", encoding="ascii") as f:
        f.write(changed)


def damage_store(s, rng, how):
    """What a power cut may leave of a file that was never synced."""
    file = os.path.join(s.data_dir, "data.mdb")
    if not os.path.exists(file):
        file = next(os.path.join(d, "data.mdb") for d, _, names in
                    os.walk(s.data_dir) if "data.mdb" in names)
    size = os.path.getsize(file)
    with open(file, "r+b") as f:
        if how == "cut":
            f.truncate(size * 2 // 3)
        elif how == "holes":
            for _ in range(20):
                f.seek(rng.randrange(size // 4096) * 4096)
                f.write(b"\0" * 4096)
        elif how == "rubbish":
            for _ in range(20):
                f.seek(rng.randrange(size // 4096) * 4096)
                f.write(rng.randbytes(4096))
        elif how == "meta":
            f.write(rng.randbytes(8192))
        elif how == "empty":
            f.truncate(0)
        elif how == "gone":
            os.unlink(file)


def fill(s, targets, rng, n, size=2000):
    """Rows, changes and deletions; what must be there: {target: {name: row}}"""
    want = {t: {r["name"]: r for r in s.rows(t)} for t in targets}
    for i in range(n):
        target = rng.choice(targets)
        rows = want[target]
        if rows and rng.random() < 0.2:
            name = rng.choice(sorted(rows))
            if rng.random() < 0.5:
                s.delete(f"{target}/{name}").must(204)
                del rows[name]
            else:
                rows[name] = s.patch(f"{target}/{name}", {"n": str(i)}).must(
                    200).json
        else:
            row = s.post(target, {"name": f"r{i}-{rng.random()}",
                                  "text": "x" * rng.randrange(size)}).must(201)
            rows[row.json["name"]] = row.json
    return want


def compare(s, want):
    for target, rows in want.items():
        got = {r["name"]: r for r in s.rows(target)}
        lost = [n for n in rows if n not in got]
        assert not lost, f"{len(lost)} acknowledged rows lost in {target}"
        assert got == rows, f"rows differ in {target}"
        for name in list(rows)[:10]:
            assert s.get(f"{target}/{name}").json == rows[name]


@bare(timeout=150)
def after_a_power_cut_the_store_is_rebuilt_from_snapshot_and_log():
    rng = seeded("power cut")
    with Server("--snapshot-bytes", "1MiB") as s:
        targets = [make_list(s) for _ in range(3)]
        tree = None
        for how in ("cut", "holes", "rubbish", "meta", "empty", "gone"):
            want = fill(s, targets, rng, 600 if how == "cut" else 250, 6000)
            tree, revision = s.get("/v1/ns").json, s.revision()
            s.kill()
            damage_store(s, rng, how)
            other_boot(s)
            s.start()
            compare(s, want)
            assert s.get("/v1/ns").json == tree, how
            assert s.revision() == revision, how
            s.post(targets[0], {"name": "after-" + how}).must(201)


@bare(timeout=90)
def a_power_cut_before_the_first_snapshot_loses_nothing():
    rng = seeded("early power cut")
    with Server() as s:
        targets = [make_list(s)]
        want = fill(s, targets, rng, 100)
        key = {"Idempotency-Key": "kept"}
        first = s.post(targets[0], {"name": "keyed"}, key).must(201)
        want[targets[0]]["keyed"] = first.json
        lease = s.post("/v1/agents", {"hostname": "h"}).must(201).json["lease"]
        for how in ("gone", "rubbish"):
            s.kill()
            damage_store(s, rng, how)
            other_boot(s)
            s.start()
            compare(s, want)
            assert s.get("/v1/agents/h").must(200).json["lease"] == lease
            assert s.post(targets[0], {"name": "keyed"}, key).must(
                201).json == first.json


@bare(timeout=120)
def a_torn_write_at_the_end_of_the_log_loses_nothing_acknowledged():
    """A power cut in the middle of a write leaves the first part of it on the
    disk; it was not acknowledged, and must not be in the way."""
    rng = seeded("torn write")
    with Server() as s:
        target = make_list(s)
        want, torn = fill(s, [target], rng, 60), []
        for i in range(8):
            acknowledged = {f: used_bytes(f) for f in open_segments(s)}
            # Written, perhaps, but nobody is told: killed at once.
            wires = [s.wire() for _ in range(8)]
            body = b'{"name":"torn","text":"%s"}' % (b"y" * 20000)
            for w in wires:
                w.send(b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: %d"
                       b"\r\n\r\n%s" % (target.encode(), len(body), body))
            time.sleep(rng.random() * 0.004)
            s.kill()
            for w in wires:
                w.close()
            for f in open_segments(s):
                old, new = acknowledged.get(f, 0), used_bytes(f)
                if new <= old:
                    continue
                # Disks keep whole sectors; what follows is zero or was never
                # allocated.
                cut = (old + rng.randrange(new - old)) // 512 * 512
                cut = max(cut, old)
                torn.append((new - old, cut - old))
                with open(f, "r+b") as segment:
                    size = os.path.getsize(f)
                    segment.seek(cut)
                    segment.write(b"\0" * (new - cut))
                    if i % 3 == 2:
                        segment.truncate(max(cut, size // 4096 // 2 * 4096))
            other_boot(s)
            s.start()
            rows = {r["name"]: r for r in s.rows(target)}
            rows.pop("torn", None)
            assert rows == want[target], "acknowledged rows lost or changed"
            if s.get(f"{target}/torn").status == 200:
                s.delete(f"{target}/torn").must(204)
            want = fill(s, [target], rng, 10)
        say(f"written and not acknowledged, kept of it: {torn}")
        assert [kept for _, kept in torn if kept], "nothing was torn"


# ---- the log is bounded, restarts are clean ---------------------------------

def churn(s, ns, mib):
    """Write that many MiB into 50 rows, 200 KiB with each request."""
    for i in range(mib * 5):
        text = f"{i % 10}" * 4096
        s.post("/v1/txn", {"do": [
            {"op": "put", "ns": ns, "type": "thing", "id": f"r{k}",
             "resource": {"text": text, "i": str(i)}} for k in range(50)]}
               ).must(200)


def allocated(s, folder=""):
    total = 0
    for f in s.files():
        if f.startswith(folder):
            with contextlib.suppress(FileNotFoundError):  # just removed
                total += os.stat(os.path.join(s.data_dir, f)).st_blocks * 512
    return total


# A thousand changes of 4 KiB are remembered: what is kept beside the rows
# themselves is known, so that growth is seen.
SHORT = ("--snapshot-bytes", "1MiB", "--history", "1000")


@bare(timeout=150)
def snapshots_keep_the_log_short_and_old_state_files_go():
    with Server(*SHORT) as s:
        target = make_list(s)
        ns, raft = target.split("/")[3], os.path.relpath(raft_dir(s), s.data_dir)
        sizes, wholes = [], []
        for _ in range(8):
            churn(s, ns, 5)
            sizes.append(allocated(s, raft))
            wholes.append(allocated(s))
        want = s.rows(target)

        def few_files():
            states = [f for f in s.files() if f.startswith("state/")]
            snapshots = [f for f in s.files()
                         if re.search(r"snapshot-\d+-\d+-\d+$", f)]
            return 1 <= len(states) <= 2 and 1 <= len(snapshots) <= 2
        until(few_files, 10)
        say(f"40 MiB written; raft: {[x >> 20 for x in sizes]} MiB, all: "
            f"{[x >> 20 for x in wholes]} MiB")
        # libraft allocates segments of 8 MiB ahead and keeps a tail of the log
        # behind the snapshot.
        assert max(sizes) < 64 * MIB, "the log grew"
        assert max(wholes[5:]) < max(wholes[:5]) * 1.3 + 8 * MIB, "it all grew"
        s.restart()
        assert s.rows(target) == want
        s.kill()
        other_boot(s)
        damage_store(s, random.Random(1), "gone")
        s.start()
        assert s.rows(target) == want


@bare(timeout=90)
def a_hundred_writes_later_a_restart_has_them_all():
    with Server() as s:
        target = make_list(s)
        want = [s.post(target, {"name": f"n{i}"}).must(201).json
                for i in range(100)]
        took = []
        for _ in range(3):
            s.kill()
            began = time.monotonic()
            s.start()
            took.append(time.monotonic() - began)
            assert s.rows(target) == want
        say(f"ready after kill -9 in {['%.2f s' % t for t in took]}")


@bare(timeout=90)
def a_stop_and_a_start_keep_everything():
    with Server() as s:
        ns = make_ns(s, match="^h", comment="kept")
        target = path("v1", "ns", ns, "thing")
        s.put("/v1/types/thing", {"required": ["name"]}).must(201)
        s.post(target, [{"name": f"n{i}"} for i in range(50)]).must(201)
        s.post("/v1/agents", {"hostname": "h1"}).must(201)
        seen = ("/v1/ns", target, "/v1/types", path("v1", "ns", ns),
                "/v1/search")
        for _ in range(3):
            before = [(a.body, a.etag, a.revision)
                      for a in map(s.get, seen)]
            assert s.stop() == 0
            s.start()
            assert [(a.body, a.etag, a.revision)
                    for a in map(s.get, seen)] == before
            s.post(target, {"name": "more"}).must(201, 409)


@bare(timeout=90)
def a_stop_in_the_middle_of_writes_loses_nothing():
    with Server() as s:
        target = make_list(s)
        writers = [Writer(s, target, i, 100_000) for i in range(16)]
        for w in writers:
            w.start()
        time.sleep(1)
        assert s.stop() == 0
        for w in writers:
            w.enough.set()
        for w in writers:
            w.join(30)
        s.start()
        told = settle(s, writers, target)
        assert len(told["yes"]) > 50, "wrote too little to mean anything"


@bare
def a_second_server_on_the_same_directory_is_refused():
    with Server() as s, Server(data_dir=s.data_dir, start=False) as other:
        target = make_list(s)
        s.post(target, {"name": "a"}).must(201)
        code, _, err = run(other.argv())
        assert code > 0 and s.data_dir in err, (code, err)
        s.post(target, {"name": "b"}).must(201)
        assert len(s.rows(target)) == 2
        s.kill()
        other.start()              # the lock dies with its holder
        assert other.get(target).must(200).json[0]["name"] == "a"


@bare
def a_directory_of_another_registry_is_refused():
    with Server() as s:
        target = make_list(s)
        s.post(target, {"name": "a"}).must(201)
        assert s.stop() == 0
        for flag, value in (("--domain", "other"), ("--id", "n9")):
            code, _, err = run([*s.argv(), flag, value])
            assert code > 0 and value in err, (flag, code, err)
        s.start()
        assert len(s.rows(target)) == 1


@bare(timeout=90)
def damage_that_cannot_be_repaired_is_refused_not_hidden():
    """Without the log or the snapshot nothing can be rebuilt: a server that
    started empty would have lost everything silently."""
    rng = seeded("damage")
    with Server() as s:
        target = make_list(s)
        want = fill(s, [target], rng, 50)
        assert s.stop() == 0
        keep = s.data_dir + ".keep"
        shutil.copytree(s.data_dir, keep)
        folder = raft_dir(s)
        segments = [n for n in os.listdir(folder) if re.match(r"\d+-\d+$", n)]
        assert segments, os.listdir(folder)
        with open(os.path.join(folder, sorted(segments)[0]), "r+b") as f:
            size = os.path.getsize(f.name)
            f.seek(size // 3)
            f.write(rng.randbytes(64))
        damage_store(s, rng, "gone")
        code, _, err = run(s.argv(), timeout=30)
        assert code > 0 and err, (code, err)
        shutil.rmtree(s.data_dir)
        shutil.copytree(keep, s.data_dir)
        s.start()
        compare(s, want)


@bare
def the_data_directory_is_made_and_private():
    with Server(start=False) as s:
        s.data_dir = os.path.join(s.home, "a", "b")
        os.mkdir(os.path.dirname(s.data_dir))
        s.start()
        mode = os.stat(s.data_dir).st_mode & 0o777
        assert mode & 0o007 == 0, f"others may look in: {mode:o}"
        s.kill()
    with Server(start=False) as s:
        file = os.path.join(s.home, "file")
        with open(file, "w", encoding="ascii"):
            pass
        s.data_dir = file
        code, _, err = run([binary("rosterd"), *s.argv()[1:]])
        assert code > 0 and file in err, (code, err)
