#!/usr/bin/python3
"""Judges recorded histories: is there one order of all operations, each at a
moment between its call and its return, in which every answer is right?

    tests/system/linear.py FILE...       judge files of one operation a line

The search is Wing and Gong's ("Testing and verifying concurrent objects", 1993)
with the cuts that are usual: keys are judged one by one (a history is right when
that of each key is), and what has been tried, a set of operations with the
state they lead to, is not tried again (Lowe, "Testing for linearizability",
2017). An operation whose outcome is unknown may take effect at any later time,
or never.

A key is a register (put, cas, create, delete, read), each value written once,
or a set of rows (add, list). Reads of one node's own state ("local") are no part
of the order. They are judged by what a node promises: its time never goes back,
and nothing is older than the revision that the answer names."""
import bisect
import collections
import itertools
import json
import sys
import time

STATES_MOST = 2_000_000     # then a key is undecided
FOREVER = float("inf")
UNSEEN = "(unseen)"         # any value that no read has shown


class Op:
    """outcome: ok | failed (its condition did not hold: that tells something) |
    refused (surely nothing happened) | unknown."""
    __slots__ = ("client", "node", "key", "kind", "value", "expect", "rev", "at",
                 "call", "ret", "outcome")

    def __init__(self, kind, key="k", call=0, ret=None, outcome="ok", *,
                 value=None, expect=None, rev=None, at=None, client=0, node=""):
        self.kind, self.key, self.client, self.node = kind, key, client, node
        self.call, self.ret, self.outcome = call, ret, outcome
        self.value = value       # written or read; None: absent; list: the tags
        self.expect = expect     # cas: the value that has to be there
        self.rev = rev           # _rev of what was written or read
        self.at = at             # Roster-Revision of the answer

    def __repr__(self):
        shown = {n: getattr(self, n) for n in self.__slots__
                 if getattr(self, n) not in (None, "")}
        if isinstance(self.value, list) and len(self.value) > 8:
            shown["value"] = f"({len(self.value)} rows)"
        return f"{shown}"

    def line(self):
        return json.dumps({n: getattr(self, n) for n in self.__slots__})


def read_history(file):
    for line in file:
        fields = json.loads(line)
        yield Op(fields.pop("kind"), **fields)


class Undecided(Exception):
    """Too much to try."""


# ---- the search -------------------------------------------------------------

class Event:
    """A call or a return in time, in a list from which a pair can be taken out
    and put back."""
    __slots__ = ("op", "bit", "twin", "before", "after")

    def __init__(self, op, bit):
        self.op, self.bit, self.twin = op, bit, None
        self.before = self.after = None


def _lift(event):
    for e in (event, event.twin):
        if e:
            e.before.after = e.after
            if e.after:
                e.after.before = e.before


def _unlift(event):
    for e in (event.twin, event):
        if e:
            e.before.after = e
            if e.after:
                e.after.before = e


def _events(ops):
    """The list of calls and returns. What is called when another returns may
    have been first."""
    head, moments = Event(None, 0), []
    for i, op in enumerate(ops):
        call = Event(op, 1 << i)
        moments.append((op.call, 0, i, call))
        if op.ret != FOREVER:
            call.twin = Event(None, 1 << i)
            moments.append((op.ret, 1, i, call.twin))
    last = head
    for *_, event in sorted(moments, key=lambda m: m[:3]):
        last.after, event.before = event, last
        last = event
    return head


def search(ops, state, step):
    """True, or the first operation that no order could get past. step(state, op,
    done) is the next state, or None when that cannot be now. What is `still`
    changes nothing, so where it fits it may as well be first: it is taken before
    all others, and never taken back alone."""
    head, done, stack, tried = _events(ops), 0, [], set()
    left = sum(op.ret != FOREVER for op in ops)
    stuck, most = None, -1
    event, only_still = head.after, True
    while left:
        op = event.op
        if op and op.still == only_still:
            after = step(state, op, done)
            mark = after and (done | event.bit, after)
            if mark and (only_still or mark not in tried):
                if not only_still:
                    tried.add(mark)
                stack.append((event, state))
                state, done = after, done | event.bit
                left -= event.twin is not None
                _lift(event)
                event, only_still = head.after, True
                continue
        if op:
            event = event.after
            continue
        if only_still:
            event, only_still = head.after, False
            continue
        if len(stack) > most:           # a return: it had to be before
            most, stuck = len(stack), event.bit.bit_length() - 1
        if len(tried) > STATES_MOST:
            raise Undecided
        again = True
        while again:
            if not stack:
                return ops[stuck]
            event, state = stack.pop()
            done ^= event.bit
            left += event.twin is not None
            _unlift(event)
            again = event.op.still
        event = event.after
    return True


# ---- a register -------------------------------------------------------------

class Step:
    """One operation as the search needs it."""
    __slots__ = ("kind", "value", "expect", "rev", "call", "ret", "failed",
                 "still", "unseen", "lower", "origin")

    def holds(self, value):
        """Could it have been told what it was told, where that value is?"""
        if self.kind == "read":
            return value == self.value
        if self.kind == "delete":
            return (value is None) == self.failed
        return self.kind == "put" or (value == self.expect) != self.failed


READS = ("read", "local")


def _revisions(ops):
    """Value -> its revision, as anybody was told; or what contradicts."""
    known, writer = {}, {}
    for op in ops:
        if op.value is None or op.rev is None or op.outcome != "ok":
            continue
        if known.setdefault(op.value, op.rev) != op.rev:
            raise AssertionError(f"a value has two revisions: {op}")
        if writer.setdefault(op.rev, op.value) != op.value:
            raise AssertionError(f"two values have one revision: {op}")
    return known


def _register_steps(ops, use_revs):
    """Cuts that need nothing tried: refused operations and what was written by
    unknown ones that nobody saw."""
    revs = _revisions(ops) if use_revs else {}
    seen = {}           # value -> when the first one who was shown it had it
    for op in ops:
        value = op.value if op.kind in READS else op.expect
        if value is not None and op.outcome == "ok":
            seen[value] = min(seen.get(value, FOREVER), op.ret)
    for op in ops:
        if op.outcome == "refused" and op.value in seen:
            raise AssertionError(f"refused, and somebody saw it: {op}")
    # What an unknown one waited for was perhaps there for it to be seen.
    named = {op.expect for op in ops if op.outcome == "unknown"}
    steps = [_register_step(op, seen, named, revs) for op in ops
             if op.outcome != "refused" and op.kind != "local" and
             (op.kind != "read" or op.outcome == "ok")]
    if not use_revs:
        for s in steps:
            s.rev = None
    return steps


def _register_step(op, seen, named, revs):
    s = Step()
    s.kind, s.value, s.expect, s.origin = op.kind, op.value, op.expect, op
    s.call, s.ret, s.lower = op.call, op.ret, 0
    s.failed = op.outcome == "failed"
    s.still = s.failed or s.kind == "read"
    s.rev = None if s.still else revs.get(op.value, op.rev)
    if op.outcome == "unknown":
        s.ret = seen.get(op.value, FOREVER)
        if s.ret < s.call:
            raise AssertionError(f"seen before it was written: {op}")
    s.unseen = s.ret == FOREVER
    if s.unseen and s.kind != "delete" and op.value not in named:
        s.value = UNSEEN
    return s


def _set_lower(steps):
    """What has to be in the order before each: writes with a lower revision. And
    of unseen ones that do the same the one that was called first is as good as
    any other."""
    alike, below = collections.Counter(), 0
    for i in sorted(range(len(steps)), key=lambda i: steps[i].call):
        s = steps[i]
        if s.unseen:
            group = (s.kind, s.value, s.expect)
            s.lower = alike[group]
            alike[group] |= 1 << i
    for i in sorted((i for i, s in enumerate(steps)
                     if s.rev is not None and not s.still),
                    key=lambda i: steps[i].rev):
        steps[i].lower |= below
        below |= 1 << i


ANY = object()


def register(ops, use_revs=True):
    """None, or what is wrong. use_revs: revisions have to rise in the order.

    An unseen operation, unknown and its value shown to nobody, is only tried as
    the reason of the next one: where that one would fit without it too, they
    could as well change places, or it could be left out."""
    try:
        steps = _register_steps(ops, use_revs)
    except AssertionError as e:
        return str(e)
    _set_lower(steps)

    def step(state, s, done):
        value, rev, before = state
        if s.lower & ~done or (before is not ANY and s.holds(before)) or \
                not s.holds(value):
            return None
        if s.still:
            return (value, rev, ANY)
        if s.rev is not None and s.rev <= rev:
            return None
        return (s.value, s.rev or rev, value if s.unseen else ANY)

    found = search(steps, (None, 0, ANY), step)
    return None if found is True else f"no order gets past {found.origin}"


# ---- a set of rows ----------------------------------------------------------

def grow_set(ops):
    """Rows that are added and never taken away. What a list shows fixes its place
    among all lists and adds, so nothing has to be tried: one who returned before
    another was called must not have a later place. None, or what is wrong."""
    adds = {op.value: op for op in ops if op.kind == "add"}
    lists = [op for op in ops if op.kind in ("list", "local-list") and
             op.outcome == "ok"]
    seen = {}
    for op in lists:
        if len(set(op.value)) != len(op.value):
            return f"a row is there twice: {op}"
        for tag in op.value:
            if tag not in adds:
                return f"a row that nobody added, {tag}: {op}"
            if adds[tag].outcome == "refused":
                return f"a row that was refused, {tag}: {op}"
            seen[tag] = min(seen.get(tag, FOREVER), op.ret)
    place, shown, steps = {}, set(), []
    lists.sort(key=lambda op: len(op.value))
    level = 0
    for op in lists:
        tags = set(op.value)
        if not shown <= tags:
            return f"without {sorted(shown - tags)[:5]}, which another had: {op}"
        if tags != shown:
            level += 2
            place.update((tag, level - 1) for tag in tags - shown)
            shown = tags
        if op.kind == "list":
            steps.append((op.call, op.ret, level, op))
    for op in adds.values():
        if op.value in place or op.outcome == "ok":
            ret = op.ret if op.outcome == "ok" else seen[op.value]
            if ret < op.call:
                return f"seen before it was added: {op}"
            steps.append((op.call, ret, place.get(op.value, level + 1), op))
    return _places(steps)


def _places(steps):
    """steps: (call, ret, place, op)."""
    by_ret = sorted(steps, key=lambda s: s[1])
    newest, i = None, 0
    for call, _, place, op in sorted(steps, key=lambda s: s[0]):
        while i < len(by_ret) and by_ret[i][1] < call:
            if newest is None or by_ret[i][2] > newest[2]:
                newest = by_ret[i]
            i += 1
        if newest and newest[2] > place:
            return f"{op} is older than {newest[3]}, which was over before"
    return None


# ---- reads of one node ------------------------------------------------------

def _never_back(ops, value):
    """value(op) never falls from one that is over to one that begins then."""
    return _places([(op.call, op.ret, value(op), op) for op in ops
                    if value(op) is not None])


def local(ops):
    """Reads of a node's own state, beside the writes. None, or what is wrong."""
    by_node = collections.defaultdict(list)
    for op in ops:
        if op.outcome == "ok":
            by_node[op.node].append(op)
    for mine in by_node.values():
        # A node that answers a write has applied it, and one that answers a
        # read was there. Who reads then sees as much.
        for value in (lambda op: op.at,
                      lambda op: op.rev if op.kind != "add" else None,
                      lambda op: (len(op.value) if isinstance(op.value, list)
                                  else None)):
            wrong = _never_back(mine, value)
            if wrong:
                return "back in time on one node: " + wrong
    return _not_older_than_it_says(ops)


def _not_older_than_it_says(ops):
    """What an answer shows is at least the state of its Roster-Revision."""
    writes, adds, deletes = {}, [], []
    for op in ops:
        if op.outcome != "ok" or op.rev is None:
            continue
        if op.kind == "add":
            adds.append((op.rev, op.value))
        elif op.kind == "delete":
            deletes.append(op.rev)
        elif op.value is not None and not isinstance(op.value, list):
            writes[op.rev] = op.value
    doubtful = any(op.kind == "delete" and op.outcome == "unknown"
                   for op in ops)
    order = sorted(writes)
    for op in ops:
        if op.at is None or op.outcome != "ok":
            continue
        if op.kind == "local":
            i = bisect.bisect_right(order, op.at)
            due = order[i - 1] if i else 0
            if op.value is None:
                gone = doubtful or any(rev > due for rev in deletes)
                if due and not gone:
                    return f"revision {due} is missing: {op}"
            elif op.rev < due:
                return f"older than revision {due}: {op}"
            elif op.rev in writes and writes[op.rev] != op.value:
                return f"that revision is {writes[op.rev]}: {op}"
        elif op.kind == "local-list":
            missing = {tag for rev, tag in adds if rev <= op.at} - set(op.value)
            if missing:
                return f"without {sorted(missing)[:5]}: {op}"
    return None


# ---- all of it --------------------------------------------------------------

class Verdict:
    def __init__(self):
        self.wrong, self.undecided, self.keys, self.ops = {}, [], 0, 0
        self.seconds = 0.0

    def __bool__(self):
        return not self.wrong and not self.undecided

    def __str__(self):
        lines = [f"{self.ops} operations on {self.keys} keys judged in "
                 f"{self.seconds:.2f} s: {'good' if self else 'NOT good'}"]
        lines += [f"  {key}: {text}" for key, text in self.wrong.items()]
        lines += [f"  {key}: undecided, too many orders" for key in
                  self.undecided]
        return "\n".join(lines)


def _judge_key(ops):
    if any(op.kind in ("add", "list", "local-list") for op in ops):
        return grow_set(ops) or local(ops)
    return register(ops) or local(ops)


def judge(ops):
    began, verdict = time.monotonic(), Verdict()
    by_key = collections.defaultdict(list)
    for op in ops:
        by_key[op.key].append(op)
    for key, mine in sorted(by_key.items()):
        try:
            wrong = _judge_key(mine)
        except Undecided:
            verdict.undecided.append(key)
            continue
        if wrong:
            verdict.wrong[key] = wrong
    verdict.keys = len(by_key)
    verdict.ops = sum(map(len, by_key.values()))
    verdict.seconds = time.monotonic() - began
    return verdict


def main():
    if len(sys.argv) < 2 or sys.argv[1].startswith("-"):
        print(__doc__)
        return 0 if sys.argv[1:] in (["-h"], ["--help"]) else 2
    good = True
    for name in sys.argv[1:]:
        with open(name, encoding="utf-8") as f:
            verdict = judge(itertools.chain(read_history(f)))
        print(f"{name}: {verdict}")
        good = good and bool(verdict)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
