"""Whether what watchers were told is what happened.

The log is the list of all events, as bytes, as somebody read it in peace. World
follows it: trees, rows and revisions of lists come out of the events alone. The
rule by which a filter wants an event is written here anew, from what the
documentation says; nothing is asked of the server.

    world = World()
    wrong = world.follow(log)             # and does the log fit to itself?
    wrong += judge_stream(log, stream)
    wrong += judge_states(log, polls, streams)"""
import bisect
import collections
import json

# One thing that a stream said: kind is change, initial, progress, reset or bye.
Said = collections.namedtuple("Said", "kind revision text")
# What a watcher was told over all of its connections. `base`: all behind it is
# to be told; None: from now, then `since_ns` is when it was let in (monotonic).
Stream = collections.namedtuple("Stream", "name spec base said since_ns")
# A body with its revision. `woken`: it came before its time was over.
Poll = collections.namedtuple(
    "Poll", "name spec since revision etag body woken")
# Of an acknowledged write: its last revision, how many changes it took (0: it
# may be that of an earlier one), the bytes of the row it answered (None: it was
# deleted; "": not looked at), and when it began.
Claim = collections.namedtuple("Claim", "revision n row call_ns")


class Spec:
    """What somebody wants to know. A poll of a list has `only` that leaf."""

    def __init__(self, ns, type_=None, k=None, v=None, mode="exact",
                 only=False):
        self.ns, self.type, self.k, self.v = ns, type_, k, v
        self.mode, self.only = mode, only

    def __repr__(self):
        return f"{self.ns}/{self.type or '*'}" + (
            f"?{self.k or '*'} {self.mode} {self.v}" if self.v is not None
            else "")

    def query(self):
        query = {"ns": self.ns}
        for name, value in (("type", self.type), ("k", self.k), ("v", self.v)):
            if value is not None:
                query[name] = value
        if self.v is not None:
            query["mode"] = self.mode
        return query

    def below(self, ns):
        return ns == self.ns or ns.endswith("." + self.ns)

    def above(self, ns):
        return self.ns.endswith("." + ns)

    def fits(self, row):
        if self.v is None:
            return True
        values = [v for k, v in row.items() if not k.startswith("_") and
                  self.k in (None, k)]
        return any({"exact": v == self.v, "contains": self.v in v,
                    "prefix": v.startswith(self.v)}[self.mode] for v in values)

    def wants(self, e):
        if e.op == "restore":
            return True
        if e.op in ("put", "delete"):
            return self.below(e.ns) and self.type in (None, e.type) and (
                self.fits(e.resource) or
                e.was is not None and self.fits(e.before()))
        if e.op == "ns-delete" or e.old:
            return any(self.below(p) or self.above(p)
                       for p in (e.ns, e.old) if p)
        return self.below(e.ns) and self.type is None and self.v is None


class Event:
    def __init__(self, text):
        self.text = text
        found = json.loads(text)
        self.revision, self.op = found["revision"], found["op"]
        self.ns, self.ns_id = found["ns"], found["ns_id"]
        self.cause, self.old = found["cause"], found.get("old")
        self.type, self.id = found.get("type"), found.get("id")
        self.resource, self.was = found.get("resource"), found.get("was")

    def before(self):
        """The row as it was before a put over it."""
        row = {**self.resource, **self.was}
        return {k: v for k, v in row.items() if v is not None}

    def row_text(self):
        """The bytes of the resource."""
        begin = self.text.index(b'"resource":') + len(b'"resource":')
        depth, quoted, at = 0, False, begin
        while True:                      # a flat object: strings and a number
            c = self.text[at:at + 1]
            if quoted:
                at += c == b"\\"
                quoted = c != b'"'
            elif c == b'"':
                quoted = True
            else:
                depth += (c == b"{") - (c == b"}")
            at += 1
            if depth == 0:
                return self.text[begin:at]


def fields(row):
    return {k: v for k, v in row.items() if not k.startswith("_")}


class World:
    """The registry as the events tell it, one after the other."""

    def __init__(self):
        self.revision = 0
        self.paths, self.path_revs = {}, {}       # by id of the namespace
        self.rows = collections.defaultdict(dict)  # (ns_id, type) -> id -> Event
        self.changed = {}                          # (ns_id, type) -> revision
        self.wrong = []

    def complain(self, e, text):
        if len(self.wrong) < 20:
            self.wrong.append(f"the log: {text}: {e.text[:300]!r}")

    def apply(self, e):
        if e.revision <= self.revision:
            self.complain(e, f"comes behind {self.revision}")
        self.revision = e.revision
        if e.op in ("put", "delete"):
            self.row(e)
        elif e.op == "ns-put":
            self.node(e)
        elif e.op == "ns-delete":
            for ns in [n for n, p in self.paths.items()
                       if p == e.ns or p.endswith("." + e.ns)]:
                self.forget(ns)

    def forget(self, ns):
        del self.paths[ns], self.path_revs[ns]
        for key in [k for k in self.rows if k[0] == ns]:
            del self.rows[key]

    def node(self, e):
        known = self.paths.get(e.ns_id)
        if known is not None and known != (e.old or e.ns):
            self.complain(e, f"it was {known}")
        if e.old:
            for ns, p in self.paths.items():
                if p == e.old or p.endswith("." + e.old):
                    self.paths[ns] = p[:len(p) - len(e.old)] + e.ns
        if e.old or known is None:
            self.path_revs[e.ns_id] = e.revision
        self.paths[e.ns_id] = e.ns

    def row(self, e):
        known = self.paths.get(e.ns_id)
        if known is not None and known != e.ns:
            self.complain(e, f"the namespace is {known}")
        rows = self.rows[e.ns_id, e.type]
        before = rows.get(e.id)
        self.changed[e.ns_id, e.type] = e.revision
        if e.op == "delete":
            if known is not None and before is None:
                self.complain(e, "there is no such row")
            rows.pop(e.id, None)
            return
        if e.resource.get("_rev") != e.revision or e.resource["_id"] != e.id:
            self.complain(e, "the row is another one")
        self.look_at_was(e, before)
        rows[e.id] = e

    def look_at_was(self, e, before):
        was = e.was or {}
        if before is None:
            if was and e.ns_id in self.paths:
                self.complain(e, "there was no row before")
            return
        old, new = fields(before.resource), fields(e.resource)
        want = {k: old.get(k) for k in {*old, *new} if old.get(k) != new.get(k)}
        if fields(was) != want:
            self.complain(e, f"`was` is not {want}")

    def follow(self, log):
        for e in log:
            self.apply(e)
        return self.wrong

    # -- what one would read

    def ns_of(self, path):
        return next((n for n, p in self.paths.items() if p == path), None)

    def list_rows(self, ns, type_):
        return [e for _, e in sorted(self.rows.get((ns, type_), {}).items())]

    def list_body(self, path, type_):
        return b"[" + b",".join(
            e.row_text() for e in self.list_rows(self.ns_of(path), type_)) + b"]"

    def list_revision(self, path, type_):
        """The greatest of its last change, its birth, and the last rename or
        move of its namespace or of one above it."""
        return max([self.changed.get((self.ns_of(path), type_), 0)] + [
            self.path_revs[n] for n, p in self.paths.items()
            if p == path or path.endswith("." + p)])

    def found(self, spec):
        """{path: rows in the order of types and ids}, as a search says it."""
        found = {}
        for (ns, type_), rows in sorted(self.rows.items()):
            path = self.paths.get(ns)
            if path is None or not spec.below(path) or \
                    spec.type not in (None, type_):
                continue
            fit = [e for _, e in sorted(rows.items()) if spec.fits(e.resource)]
            if fit:
                found.setdefault(path, []).extend(fit)
        return found


def parse(texts):
    return [Event(t) for t in texts]


# ---- the judge --------------------------------------------------------------

def short(text):
    return text[:200].decode("utf-8", "replace")


def judge_log(logs, claims):
    """Each node's log is the same, has each revision once, and in it is what was
    acknowledged. logs: {node: [bytes]} (it may end later on one). Texts."""
    wrong, (first, texts) = [], min(logs.items(), key=lambda i: len(i[1]))
    for name, other in logs.items():
        for a, b in zip(texts, other):
            if a != b:
                wrong.append(f"{name} tells {short(b)}, {first} {short(a)}")
                break
    log = parse(max(logs.values(), key=len))
    for a, b in zip(log, log[1:]):
        if b.revision != a.revision + 1:
            wrong.append(f"the log: {a.revision} is followed by {b.revision}")
    at = {e.revision: e for e in log}
    for claim in claims:
        e = at.get(claim.revision)
        if claim.row == b"":
            continue
        if e is None:
            wrong.append(f"acknowledged and not in the log: {claim}")
        elif claim.row is None and e.op not in ("delete", "ns-delete") or \
                claim.row and (e.op != "put" or e.row_text() != claim.row):
            wrong.append(f"acknowledged was {claim}, told is {short(e.text)}")
    return wrong[:20], log


def inner(claims):
    """Revisions at which the registry never was: inside of a range."""
    return {r for c in claims for r in range(c.revision - c.n + 1, c.revision)}


def judge_stream(log, stream, inside=frozenset(), claims=()):
    """No gap, no repeat, no other order, the same bytes; nothing that the filter
    does not want."""
    wrong, told, base = [], [], stream.base
    for s in stream.said:
        if s.kind in ("progress", "reset", "bye") and s.revision in inside:
            wrong.append(f"{s.kind} at {s.revision}, inside of a range")
        if s.kind == "reset":
            wrong.append(f"reset at {s.revision}, and nothing was restored")
        if base is None and s.kind in ("change", "progress"):
            base = s.revision - (s.kind == "change")
            wrong += from_now(base, stream, claims)
        if s.kind == "change":
            told.append(s)
    if base is None:
        return wrong + ["was told nothing"]
    end = max([base] + [s.revision for s in stream.said
                        if s.kind in ("change", "progress")])
    want = [e for e in log if base < e.revision <= end and
            stream.spec.wants(e)]
    wrong += differences(want, told) + in_order(stream)
    return [f"{stream.name} ({stream.spec}): {w}" for w in wrong[:5]]


def from_now(base, stream, claims):
    missed = [c.revision for c in claims if c.call_ns > stream.since_ns and
              c.n and c.revision - c.n < base]
    return [f"begins behind {base}, but {missed[:3]} were written when it had "
            "been let in"] if missed else []


def differences(want, told):
    wrong = []
    revisions = [s.revision for s in told]
    for a, b in zip(revisions, revisions[1:]):
        if b == a:
            wrong.append(f"{a} is told twice")
        elif b < a:
            wrong.append(f"{b} is told behind {a}")
    there, wanted = set(revisions), {e.revision: e for e in want}
    missing = [e for e in want if e.revision not in there]
    if missing:
        wrong.append(f"{len(missing)} are missing, the first: "
                     f"{short(missing[0].text)}")
    for s in told:
        e = wanted.get(s.revision)
        if e is None:
            wrong.append(f"is told what it does not want: {short(s.text)}")
        elif e.text != s.text:
            wrong.append(f"is told {short(s.text)}, the log has "
                         f"{short(e.text)}")
    return wrong


def in_order(stream):
    """Progress at R: all up to R was told before; nothing of it comes later."""
    wrong, upto = [], 0
    for s in stream.said:
        if s.kind == "change" and s.revision <= upto:
            wrong.append(f"{s.revision} comes behind a progress at {upto}")
        if s.kind == "progress":
            if s.revision < upto:
                wrong.append(f"progress goes back to {s.revision}")
            upto = max(upto, s.revision)
    return wrong


def first_progress(stream):
    return next((s.revision for s in stream.said if s.kind == "progress"), None)


def judge_states(log, polls, streams, inside=frozenset()):
    """What was given as a state is the state that the log comes to. streams:
    those that began with one."""
    wrong, world = [], World()
    todo = [(p.revision, p, judge_poll) for p in polls]
    todo += [(first_progress(s), s, judge_initial) for s in streams]
    todo = sorted((t for t in todo if t[0] is not None), key=lambda t: t[0])
    revisions, at = [e.revision for e in log], 0
    for revision, subject, judge in todo:
        upto = bisect.bisect_right(revisions, revision)
        for e in log[at:upto]:
            world.apply(e)
        at = max(at, upto)
        found = judge(log, revisions, world, subject)
        if revision in inside:
            found.append(f"shows {revision}, inside of a range")
        wrong += [f"{subject.name} ({subject.spec}) at {revision}: {w}"
                  for w in found]
    return wrong[:20]


def judge_poll(log, revisions, world, poll):
    spec, wrong = poll.spec, []
    since = bisect.bisect_right(revisions, poll.since)
    upto = bisect.bisect_right(revisions, poll.revision)
    if spec.only:
        newest = world.list_revision(spec.ns, spec.type)
        if poll.body != world.list_body(spec.ns, spec.type):
            wrong.append(f"the body is {short(poll.body)}, and not "
                         f"{short(world.list_body(spec.ns, spec.type))}")
        if poll.etag is not None and poll.etag != newest:
            wrong.append(f"ETag is {poll.etag}, the list's revision {newest}")
        due = newest > poll.since
    else:
        said = json.loads(poll.body)
        want = {p: [e.resource for e in rows]
                for p, rows in world.found(spec).items()}
        if said != want:
            wrong.append(f"finds {short(poll.body)}, and not {str(want)[:200]}")
        due = any(spec.wants(e) for e in log[since:upto])
    if poll.woken and not due:
        wrong.append(f"was woken for nothing, since {poll.since}")
    return wrong


def judge_initial(_, __, world, stream):
    """The rows, with what was told in between, are the state."""
    rows = {}
    for s in stream.said:
        if s.kind == "progress":
            break
        e = Event(s.text)
        key = (e.ns_id, e.type, e.id)
        if s.kind == "initial":
            if e.cause != "initial" or e.op != "put":
                return [f"no initial row: {short(s.text)}"]
            if key in rows:
                return [f"{e.id} comes twice"]
            rows[key] = (e.ns, e.row_text())
        elif e.op == "put":
            rows[key] = (e.ns, e.row_text())
        elif e.op == "delete":
            rows.pop(key, None)
    want = {(e.ns_id, e.type, e.id): (path, e.row_text())
            for path, found in world.found(stream.spec).items() for e in found}
    if rows != want:
        odd = sorted(k for k in {*rows, *want} if rows.get(k) != want.get(k))
        return [f"begins with {len(rows)} rows of {len(want)}; they differ in "
                f"{[(k, rows.get(k), want.get(k)) for k in odd[:2]]}"]
    return []
