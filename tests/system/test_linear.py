"""The judge of histories is judged: histories that are known to be bad, known to
be good, and small random ones against all orders there are."""
import collections
import itertools
import json
import os
import random
import tempfile
import time

from harness import FULL, REPOSITORY, bare, run, say, seeded
from linear import Op, grow_set, judge, local, register


def op(kind, call, ret, value=None, *, outcome="ok", **more):
    return Op(kind, "k", call, ret, outcome, value=value, **more)


def good(*ops):
    verdict = judge(list(ops))
    assert verdict, f"{verdict}\n" + "\n".join(map(repr, ops))


def bad(*ops):
    verdict = judge(list(ops))
    assert verdict.wrong, "passed:\n" + "\n".join(map(repr, ops))
    assert not verdict.undecided
    return verdict.wrong["k"]


# ---- registers --------------------------------------------------------------

@bare
def nothing_and_what_comes_one_by_one_is_good():
    good()
    good(op("read", 1, 2), op("put", 3, 4, "a"), op("read", 5, 6, "a"),
         op("put", 7, 8, "b"), op("read", 9, 10, "b"), op("delete", 11, 12),
         op("read", 13, 14), op("create", 15, 16, "c"), op("read", 17, 18, "c"))


@bare
def a_read_beside_a_write_may_see_either():
    for value in ("a", "b"):
        good(op("put", 1, 2, "a"), op("put", 3, 10, "b"),
             op("read", 4, 5, value))
    good(op("put", 1, 2, "a"), op("put", 3, 10, "b"), op("read", 4, 5, "a"),
         op("read", 6, 7, "b"))


@bare
def a_stale_read_is_bad():
    bad(op("put", 1, 2, "a"), op("put", 3, 4, "b"), op("read", 5, 6, "a"))
    bad(op("put", 1, 2, "a"), op("read", 3, 4))
    bad(op("put", 1, 2, "a"), op("delete", 3, 4), op("read", 5, 6, "a"))


@bare
def a_read_that_goes_back_is_bad_also_beside_the_write():
    bad(op("put", 1, 2, "a"), op("put", 3, 10, "b"), op("read", 4, 5, "b"),
        op("read", 6, 7, "a"))


@bare
def a_value_nobody_wrote_or_not_yet_is_bad():
    bad(op("put", 1, 2, "a"), op("read", 3, 4, "z"))
    bad(op("read", 1, 2, "a"), op("put", 3, 4, "a"))
    bad(op("read", 1, 2, "a"), op("put", 3, None, "a", outcome="unknown"))


@bare
def a_lost_update_is_bad():
    bad(op("put", 1, 2, "a"), op("cas", 3, 6, "b", expect="a"),
        op("cas", 4, 5, "c", expect="a"), op("read", 7, 8, "c"))
    bad(op("put", 1, 2, "a"), op("put", 3, 4, "b"), op("read", 5, 6, "b"),
        op("read", 7, 8, "a"), op("put", 9, 10, "c"))
    bad(op("create", 1, 4, "a"), op("create", 2, 3, "b"))


@bare
def of_two_conditional_writes_on_one_value_one_fails():
    good(op("put", 1, 2, "a"), op("cas", 3, 6, "b", expect="a"),
         op("cas", 4, 5, "c", expect="a", outcome="failed"),
         op("read", 7, 8, "b"))
    bad(op("put", 1, 2, "a"),
        op("cas", 3, 4, "c", expect="a", outcome="failed"),
        op("read", 5, 6, "a"))


@bare
def conditional_writes_in_another_order_than_their_values_are_bad():
    ops = [op("put", 1, 2, "a"), op("cas", 3, 4, "b", expect="a"),
           op("cas", 5, 6, "c", expect="b"), op("cas", 7, 8, "d", expect="c")]
    good(*ops)
    ops[2].call, ops[2].ret, ops[3].call, ops[3].ret = 7, 8, 5, 6
    bad(*ops)
    ops[3].ret = 8                # now they overlap
    good(*ops)


@bare
def a_write_applied_twice_is_bad():
    bad(op("put", 1, 2, "a"), op("put", 3, 4, "b"), op("read", 5, 6, "b"),
        op("read", 7, 8, "a"))
    bad(op("put", 1, None, "a", outcome="unknown"), op("read", 2, 3, "a"),
        op("put", 4, 5, "b"), op("read", 6, 7, "b"), op("read", 8, 9, "a"))
    bad(op("create", 1, 2, "a"), op("delete", 3, 4), op("read", 5, 6, "a"))


@bare
def an_unknown_write_may_have_been_late_or_never():
    unknown = op("put", 3, None, "b", outcome="unknown")
    first = op("put", 1, 2, "a")
    good(first, unknown, op("read", 5, 6, "a"), op("read", 7, 8, "a"))
    good(first, unknown, op("read", 5, 6, "a"), op("read", 7, 8, "b"))
    bad(first, unknown, op("read", 5, 6, "b"), op("read", 7, 8, "a"))
    good(first, unknown, op("cas", 5, 6, "c", expect="a", outcome="failed"))
    bad(first, unknown, op("cas", 5, 6, "c", expect="a", outcome="failed"),
        op("read", 7, 8, "a"))
    unknown.call = 7
    bad(first, unknown, op("cas", 5, 6, "c", expect="a", outcome="failed"))


@bare
def an_unknown_write_may_have_waited_for_another_one():
    both = [op("put", 1, None, "a", outcome="unknown"),
            op("cas", 2, None, "b", expect="a", outcome="unknown")]
    good(*both, op("read", 5, 6, "b"))
    bad(both[1], op("read", 5, 6, "b"))


@bare
def one_unknown_write_explains_one_surprise():
    ops = [op("put", 1, 2, "a"), op("put", 3, None, "x", outcome="unknown"),
           op("cas", 5, 6, "c", expect="a", outcome="failed"),
           op("put", 7, 8, "d"),
           op("cas", 9, 10, "e", expect="d", outcome="failed")]
    bad(*ops)
    good(*ops, op("put", 4, None, "y", outcome="unknown"))
    bad(*ops, op("put", 11, None, "y", outcome="unknown"))


@bare
def an_unknown_conditional_write_needs_its_value():
    ops = [op("put", 1, 2, "a"), op("put", 3, 4, "b"),
           op("cas", 5, None, "c", expect="a", outcome="unknown")]
    good(*ops, op("read", 6, 7, "b"))
    bad(*ops, op("read", 6, 7, "c"))
    ops[1].ret = 10
    good(*ops, op("read", 6, 7, "c"))


@bare
def what_was_refused_is_never_there():
    refused = op("put", 3, 4, "b", outcome="refused")
    good(op("put", 1, 2, "a"), refused, op("read", 5, 6, "a"))
    bad(op("put", 1, 2, "a"), refused, op("read", 5, 6, "b"))
    bad(op("put", 1, 2, "a"), refused, op("local", 5, 6, "b"))


@bare
def revisions_rise_in_the_order():
    bad(op("put", 1, 2, "a", rev=7), op("put", 3, 4, "b", rev=6))
    bad(op("put", 1, 2, "a", rev=7), op("read", 3, 4, "a", rev=8))
    bad(op("put", 1, 5, "a", rev=7), op("put", 2, 4, "b", rev=7))
    # Alone the values are fine: b, a.
    ops = [op("put", 1, 9, "a", rev=7), op("put", 2, 8, "b", rev=9),
           op("read", 3, 4, "b"), op("read", 5, 6, "a")]
    bad(*ops)
    assert register(ops, use_revs=False) is None


@bare
def a_verdict_names_the_key_and_the_operation():
    other = Op("put", "other", 1, 2, value="a")
    verdict = judge([other, op("put", 1, 2, "a"), op("read", 3, 4)])
    assert list(verdict.wrong) == ["k"] and "'call': 3" in verdict.wrong["k"]
    assert "NOT good" in str(verdict) and verdict.ops == 3


# ---- sets of rows -----------------------------------------------------------

def add(tag, call, ret, **more):
    return op("add", call, ret, tag, **more)


def rows(tags, call, ret, **more):
    return op("list", call, ret, tags.split(), **more)


@bare
def rows_that_are_added_one_by_one_or_together_are_good():
    good(rows("", 1, 2), add("a", 3, 4), rows("a", 5, 6), add("b", 7, 8),
         rows("b a", 9, 10))
    good(add("a", 1, 9), add("b", 2, 8), rows("b", 3, 4), rows("b a", 5, 6))


@bare
def a_row_that_is_lost_twice_there_or_nobodys_is_bad():
    bad(add("a", 1, 2), rows("", 3, 4))
    bad(add("a", 1, 2), add("b", 3, 4), rows("b", 5, 6))
    bad(add("a", 1, 2), rows("a a", 3, 4))
    bad(add("a", 1, 2), rows("a z", 3, 4))
    bad(add("a", 1, 2), rows("a", 3, 4), rows("", 5, 6))


@bare
def lists_that_cannot_both_have_been_are_bad():
    bad(add("a", 1, 9), add("b", 2, 8), rows("b", 3, 6), rows("a", 4, 5))


@bare
def a_later_row_without_an_earlier_one_is_bad():
    bad(add("a", 1, 2), add("b", 3, 9), rows("b", 4, 5))
    bad(rows("a", 1, 2), add("a", 3, 4))
    bad(add("a", 1, 9), rows("a", 2, 3), add("b", 4, 8), rows("b a", 5, 6),
        rows("a", 7, 8))


@bare
def an_unknown_row_may_come_late_and_then_stays():
    unknown = add("a", 1, None, outcome="unknown")
    good(unknown, rows("", 2, 3), rows("", 4, 5))
    good(unknown, rows("", 2, 3), rows("a", 4, 5))
    bad(unknown, rows("a", 2, 3), rows("", 4, 5))
    bad(add("a", 1, 2, outcome="refused"), rows("a", 3, 4))
    bad(add("a", 5, None, outcome="unknown"), rows("a", 2, 3))


# ---- reads of one node ------------------------------------------------------

@bare
def a_local_read_may_be_old_but_its_node_never_goes_back():
    ops = [op("put", 1, 2, "a", rev=5, node="n1"),
           op("put", 3, 4, "b", rev=6, node="n1"),
           op("local", 5, 6, "a", rev=5, at=5, node="n2")]
    good(*ops)
    good(*ops, op("local", 7, 8, "b", rev=6, at=6, node="n2"))
    bad(*ops, op("local", 7, 8, "b", rev=6, at=6, node="n2"),
        op("local", 9, 10, "a", rev=5, at=6, node="n2"))
    good(*ops, op("local", 7, 8, "b", rev=6, at=6, node="n2"),
         op("local", 9, 10, "a", rev=5, at=5, node="n3"))
    bad(*ops, op("local", 7, 8, "a", rev=5, at=7, node="n3"),
        op("local", 9, 10, "a", rev=5, at=5, node="n3"))


@bare
def a_node_sees_what_was_written_through_it():
    bad(op("put", 1, 2, "a", rev=5, node="n2"),
        op("put", 3, 4, "b", rev=6, node="n2"),
        op("local", 5, 6, "a", rev=5, at=5, node="n2"))
    bad(add("a", 1, 2, rev=5, at=5, node="n1"),
        op("local-list", 3, 4, [], at=4, node="n1"))


@bare
def an_answer_is_not_older_than_the_revision_it_names():
    ops = [op("put", 1, 2, "a", rev=5), op("put", 3, 4, "b", rev=6)]
    bad(*ops, op("local", 5, 6, "a", rev=5, at=6, node="n2"))
    good(*ops, op("local", 5, 6, "b", rev=6, at=5, node="n2"))
    bad(*ops, op("local", 5, 6, None, at=6, node="n2"))
    good(*ops, op("delete", 5, 6, rev=7), op("local", 7, 8, at=6, node="n2"))
    bad(add("a", 1, 2, rev=5), add("b", 3, 4, rev=6),
        op("local-list", 5, 6, ["a"], at=6, node="n2"))
    good(add("a", 1, 2, rev=5), add("b", 3, 4, rev=6),
         op("local-list", 5, 6, ["a"], at=5, node="n2"))


# ---- small random ones, against all orders ----------------------------------

def effect(value, o):
    """(next value, is the answer right) as the words of the contract say."""
    if o.kind == "read":
        return value, o.value == value
    if o.kind == "put":
        return o.value, True
    if o.kind == "delete":
        if o.outcome == "unknown":
            return None, True
        return None, (value is None) == (o.outcome == "failed")
    if o.outcome == "failed":
        return value, value != o.expect
    return o.value, value == o.expect


def revisions(ops):
    """Value -> revision as anybody was told; None when two were told."""
    told = {}
    for o in ops:
        if o.value and o.rev and o.outcome == "ok":
            told.setdefault(o.value, set()).add(o.rev)
    flat = [r for revs in told.values() for r in revs]
    if len(flat) > len(told) or len(set(flat)) < len(flat):
        return None
    return {value: revs.pop() for value, revs in told.items()}


def some_order(ops, use_revs):
    """Every subset of the unknown ones, every order: slow and plain."""
    revs = revisions(ops) if use_revs else {}
    if revs is None:
        return False
    ops = [o for o in ops if o.outcome != "refused"]
    sure = [o for o in ops if o.outcome != "unknown"]
    maybe = [o for o in ops if o.outcome == "unknown"]
    for n in range(len(maybe) + 1):
        for taken in itertools.combinations(maybe, n):
            for order in itertools.permutations(sure + list(taken)):
                if _fits(order, revs, use_revs):
                    return True
    return False


def _fits(order, revs, use_revs):
    value, latest, newest = None, float("-inf"), 0
    for o in order:
        if o.outcome != "unknown" and o.ret < latest:
            return False          # it was over when an earlier one was called
        latest = max(latest, o.call)
        value, right = effect(value, o)
        rev = revs.get(o.value, o.rev) if use_revs else None
        if rev and o.kind != "read" and o.outcome != "failed":
            right = right and rev > newest
            newest = rev
        if not right:
            return False
    return True


def from_a_register(rng, n, clients, unknown=0.15):
    """What clients of a real register with delays are told."""
    todo, free = [], [0.0] * clients
    for i in range(n):
        c = rng.randrange(clients)
        call = free[c] + rng.random()
        moment = call + rng.random() * 3
        ret = moment + rng.random() * 3
        todo.append((moment, call, ret, c, i))
        free[c] = ret
    value, rev, ops, known = None, 0, [], [None]
    late = []
    for moment, call, ret, c, i in sorted(todo):
        kind = rng.choice(("read", "read", "put", "cas", "cas", "create",
                           "delete"))
        o = Op(kind, "k", call, ret, client=c, value=None if kind in (
            "read", "delete") else f"v{i}")
        if kind == "cas":
            o.expect = rng.choice(known[-3:]) or "v?"
        if kind != "read" and rng.random() < unknown:
            o.outcome, o.ret = "unknown", None
            if rng.random() < 0.5:
                late.append((moment + rng.random() * 20, o))
            ops.append(o)
            continue
        while late and min(late)[0] < moment:
            at, other = min(late)
            late.remove((at, other))
            value, rev = _apply(value, rev, other)
        if kind == "read":
            o.value, o.rev = value, rev if value else None
        else:
            was = rev
            value, rev = _apply(value, rev, o)
            if rev == was:
                o.outcome = "failed"
            else:
                o.rev = rev
        if value:
            known.append(value)
        ops.append(o)
    last = {}                       # the revision of a value is that of its write
    for o in ops:
        if o.kind != "read" and o.rev and o.value:
            last[o.value] = o.rev
    for o in ops:
        if o.kind == "read" and o.value:
            o.rev = last.get(o.value)
    return ops


def _apply(value, rev, o):
    if o.kind == "cas" and value != o.expect or \
            o.kind == "create" and value is not None or \
            o.kind == "delete" and value is None:
        return value, rev
    return o.value, rev + 1


def spoil(rng, ops):
    """One answer is changed, or when it came."""
    o = rng.choice(ops)
    what = rng.randrange(4)
    if what == 0 and o.kind == "read":
        o.value = rng.choice([p.value for p in ops])
    elif what == 1 and o.kind in ("cas", "create") and o.outcome != "unknown":
        o.outcome = "ok" if o.outcome == "failed" else "failed"
    elif what == 2 and o.ret is not None:
        shift = rng.random() * 12 - 6
        o.call, o.ret = o.call + shift, o.ret + shift
    elif o.ret is not None:
        o.ret = o.call + (o.ret - o.call) * rng.random()


@bare(timeout=120)
def the_search_agrees_with_all_orders_on_small_histories():
    rng = seeded("small histories")
    count = {True: 0, False: 0}
    for _ in range(20_000 if FULL else 2500):
        ops = from_a_register(rng, rng.randint(2, 6), rng.randint(2, 4),
                              unknown=rng.choice((0, 0.2, 0.5)))
        for _ in range(rng.randrange(3)):
            spoil(rng, ops)
        use_revs = rng.random() < 0.5
        found, want = register(ops, use_revs) is None, some_order(ops, use_revs)
        assert found == want, (f"said {found}, should be {want}:\n" +
                               "\n".join(map(repr, ops)))
        count[want] += 1
    say(f"{count[True]} good and {count[False]} bad histories")
    assert min(count.values()) > 200, f"too much alike: {count}"


def some_set_order(ops):
    ops = [o for o in ops if o.outcome != "refused"]
    sure = [o for o in ops if o.outcome != "unknown"]
    maybe = [o for o in ops if o.outcome == "unknown"]
    for n in range(len(maybe) + 1):
        for taken in itertools.combinations(maybe, n):
            for order in itertools.permutations(sure + list(taken)):
                if _set_fits(order):
                    return True
    return False


def _set_fits(order):
    there, latest = set(), float("-inf")
    for o in order:
        if o.outcome != "unknown" and o.ret < latest:
            return False
        latest = max(latest, o.call)
        if o.kind == "add":
            there.add(o.value)
        elif sorted(there) != sorted(o.value):
            return False
    return True


def from_a_set(rng, n, clients, unknown=0.15):
    free, todo, there, ops, late = [0.0] * clients, [], set(), [], []
    for i in range(n):
        c = rng.randrange(clients)
        call = free[c] + rng.random()
        moment = call + rng.random() * 3
        free[c] = moment + rng.random() * 3
        todo.append((moment, call, free[c], i))
    for moment, call, ret, i in sorted(todo):
        for at, tag in [x for x in late if x[0] < moment]:
            late.remove((at, tag))
            there.add(tag)
        if rng.random() < 0.5:
            ops.append(Op("list", "k", call, ret, value=sorted(there)))
        elif rng.random() < unknown:
            ops.append(Op("add", "k", call, None, "unknown", value=f"r{i}"))
            if rng.random() < 0.5:
                late.append((moment + rng.random() * 9, f"r{i}"))
        else:
            ops.append(Op("add", "k", call, ret, value=f"r{i}"))
            there.add(f"r{i}")
    return ops


@bare(timeout=120)
def the_places_of_lists_agree_with_all_orders_on_small_histories():
    rng = seeded("small sets")
    count = collections.Counter()
    for _ in range(20_000 if FULL else 2500):
        ops = from_a_set(rng, rng.randint(2, 6), rng.randint(2, 4),
                         unknown=rng.choice((0, 0.3)))
        for _ in range(rng.randrange(3)):
            o = rng.choice(ops)
            tags = [p.value for p in ops if p.kind == "add"]
            if o.kind == "list" and tags and rng.random() < 0.5:
                o.value = sorted(set(o.value) ^ {rng.choice(tags)})
            elif o.ret is not None:
                shift = rng.random() * 12 - 6
                o.call, o.ret = o.call + shift, o.ret + shift
        found, want = grow_set(ops) is None, some_set_order(ops)
        assert found == want, (f"said {found}, should be {want}:\n" +
                               "\n".join(map(repr, ops)))
        count[want] += 1
    say(f"{count[True]} good and {count[False]} bad histories")
    assert min(count.values()) > 200, f"too much alike: {count}"


# ---- size -------------------------------------------------------------------

@bare(timeout=120)
def ten_thousand_operations_of_a_register_are_judged_at_once():
    rng = seeded("large histories")
    ops = []
    for k in range(20):
        mine = from_a_register(rng, 500, 16, unknown=0.05)
        for o in mine:
            o.key = f"k{k}"
        ops += mine
    for use_revs in (True, False):
        began = time.monotonic()
        for k in range(20):
            wrong = register([o for o in ops if o.key == f"k{k}"], use_revs)
            assert wrong is None, wrong
        say(f"{len(ops)} good ones, {'with' if use_revs else 'without'} "
            f"revisions: {time.monotonic() - began:.2f} s")
    spoiled = set()
    for k in range(20):
        reads = [o for o in ops if o.key == f"k{k}" and o.kind == "read" and
                 o.value]
        if reads[0].value != reads[-1].value:
            reads[-1].value, reads[-1].rev = reads[0].value, reads[0].rev
            spoiled.add(f"k{k}")
    verdict = judge(ops)
    say(str(verdict).splitlines()[0])
    assert set(verdict.wrong) == spoiled and len(spoiled) > 10, verdict


@bare
def a_history_in_a_file_is_judged_as_it_was():
    ops = from_a_register(random.Random(5), 60, 4)
    ops += [Op("list", "l", 1, 2, value=[]), Op("add", "l", 3, 4, value="é")]
    with tempfile.TemporaryDirectory() as folder:
        for name, more, status in (
                ("good", [], 0), ("bad", [Op("list", "l", 5, 6, value=[])], 1)):
            file = os.path.join(folder, name)
            with open(file, "w", encoding="utf-8") as f:
                f.writelines(o.line() + "\n" for o in ops + more)
            done, out, err = run([os.path.join(
                REPOSITORY, "tests", "system", "linear.py"), file])
            assert done == status, (done, out, err)
            assert f"{len(ops + more)} operations on 2 keys" in out
    assert json.loads(ops[0].line())["kind"] == ops[0].kind


@bare
def local_reads_alone_are_judged_too():
    assert local([]) is None
    assert "back in time" in local([
        op("local", 1, 2, "b", rev=6, at=6, node="n1"),
        op("local", 3, 4, "a", rev=5, at=5, node="n1")])
