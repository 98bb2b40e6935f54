"""Changes are told exactly once, whole, in order and in the same bytes, whatever
breaks (BRIEF 4.4). scripts/soak does the same for as long as it is told."""
import json
import random
import socket
import threading

import told
from changes import ChangeStorm, Ended, Reader, behind_the_list, read_line, \
    read_sse
from cluster import Cluster
from harness import bare, say, seeded
from told import Claim, Event, Poll, Said, Spec, Stream, World

# Entries are dropped soon, so that nodes that were away are given a state.
SMALL_LOG = ("--snapshot-bytes", "1MiB")


def weather(cluster, seconds, kinds=None, **more):
    seed = seeded("changes").randrange(10**9)
    storm = ChangeStorm(cluster, seed, **more)
    storm.run(seconds, kinds)
    wrong = storm.settle()
    say(storm.summary())
    if wrong:
        raise AssertionError("\n".join([storm.summary(), *wrong]))


@bare(timeout=150)
def watchers_are_told_each_change_once_whatever_breaks():
    with Cluster(3, *SMALL_LOG, faults=True) as c:
        weather(c, 20)


@bare(timeout=100)
def watchers_of_one_node_are_told_each_change_once_over_kill_9():
    with Cluster(1) as c:
        weather(c, 8, ["kill_all", "stop_one"], writers=3)


# ---- the judge's own test ---------------------------------------------------

ID = "01J00000000000000000000%03d"


def text(revision, op, ns, ns_id, **more):
    cause = more.pop("cause", "api")
    return json.dumps({"revision": revision, "op": op, "ns": ns, "ns_id": ns_id,
                       "cause": cause, **more}, separators=(",", ":")).encode()


class Registry:
    """As much of one as makes a log, and what readers of it should get."""

    def __init__(self, rng):
        self.rng, self.log, self.rows = rng, [], {}
        self.names, self.claims = {3: "a.top.roster", 4: "b.top.roster"}, []
        self.top = "top.roster"
        for ns_id, ns in ((1, "roster"), (2, self.top)):
            self.tell("ns-put", ns, ns_id, kind="branch")
        for ns_id, ns in self.names.items():
            self.tell("ns-put", ns, ns_id, kind="leaf")

    def tell(self, op, ns, ns_id, **more):
        self.log.append(text(len(self.log) + 1, op, ns, ns_id, **more))

    def put(self, ns_id, type_, id_, row, was=None):
        more = {} if was is None else {"was": was}
        full = {"_id": id_, "_rev": len(self.log) + 1, **row}
        self.rows[ns_id, type_, id_] = full
        self.tell("put", self.names[ns_id], ns_id, type=type_, id=id_,
                  resource=full, **more)
        return full

    def step(self):
        rng = self.rng
        key = rng.choice((3, 4)), rng.choice(("t", "u")), ID % rng.randrange(9)
        old, what = self.rows.get(key), rng.random()
        if what < 0.05:
            was, self.names[3] = self.names[3], f"r{len(self.log)}.top.roster"
            self.tell("ns-put", self.names[3], 3, kind="leaf", old=was)
        elif old and what < 0.3:
            del self.rows[key]
            self.tell("delete", self.names[key[0]], key[0], type=key[1],
                      id=key[2], resource=old)
        else:
            new = {"color": rng.choice(("red", "blue")), "v": str(len(self.log))}
            was = None
            if old:
                was = {k: old[k] for k in new if old[k] != new[k]}
            row = self.put(*key, new, was)
            self.claims.append(Claim(row["_rev"], 1, json.dumps(
                row, separators=(",", ":")).encode(), 0))


def made_up(steps=300):
    registry = Registry(random.Random(7))
    for _ in range(steps):
        registry.step()
    return registry, told.parse(registry.log)


def stream_of(log, spec, base=0):
    """A watcher who was told rightly, with some progress."""
    said = []
    for e in log[base:]:
        if spec.wants(e):
            said.append(Said("change", e.revision, e.text))
        if e.revision % 50 == 0:
            said.append(Said("progress", e.revision, b""))
    said.append(Said("progress", log[-1].revision, b""))
    return Stream("w", spec, base, said, 0)


SPECS = (Spec("roster"), Spec("b.top.roster", "t"), Spec("roster", k="color",
                                                         v="red"))


@bare
def the_judge_accepts_what_is_right():
    registry, log = made_up()
    wrong, same = told.judge_log({"n1": registry.log, "n2": registry.log[:-3]},
                                 registry.claims)
    assert not wrong and [e.text for e in same] == registry.log, wrong
    assert not World().follow(log)
    for spec in SPECS:
        for base in (0, 120):
            stream = stream_of(log, spec, base)
            assert not told.judge_stream(log, stream), spec
            assert len(stream.said) > 15, spec
            now = stream._replace(base=None)
            assert not told.judge_stream(log, now), spec


def without_one(said, i):
    return said[:i] + said[i + 1:]


def repeated(said, i):
    return said[:i] + [said[i]] + said[i:]


def later(said, i):
    return said[:i] + [said[i + 1], said[i]] + said[i + 2:]


def other_bytes(said, i):
    s = said[i]
    return said[:i] + [s._replace(text=s.text.replace(b'"', b' "', 1))] + \
        said[i + 1:]


def too_far(said, i):
    """Progress, and then something that was before it."""
    return said[:i] + [Said("progress", said[i].revision, b"")] + said[i:]


def reset(said, i):
    return said[:i] + [Said("reset", said[i].revision - 1, b"")] + said[i:]


@bare
def the_judge_finds_what_is_wrong_in_a_stream():
    _, log = made_up()
    for spec in SPECS:
        right = stream_of(log, spec)
        at = [i for i, s in enumerate(right.said[:-2]) if s.kind == "change" and
              right.said[i + 1].kind == "change"]
        for spoil in (without_one, repeated, later, other_bytes, too_far, reset):
            for i in (at[0], at[len(at) // 2], at[-1]):
                said = spoil(right.said, i)
                assert told.judge_stream(log, right._replace(said=said)), \
                    (spec, spoil.__name__, i)
        odd = next(e for e in log if not SPECS[1].wants(e))
        said = [Said("change", odd.revision, odd.text)] + right.said
        if not spec.wants(odd):
            assert told.judge_stream(log, right._replace(said=said)), spec
        assert told.judge_stream(log, right, inside={right.said[-1].revision})
        late = right._replace(base=None, said=right.said[at[3]:])
        assert told.judge_stream(log, late, claims=[Claim(2, 1, b"", 5)])


@bare
def the_judge_finds_what_is_wrong_in_a_log():
    registry, log = made_up()
    texts = registry.log
    put = next(i for i, e in enumerate(log) if e.was)
    gone = next(i for i, e in enumerate(log) if e.op == "delete")
    moved = next(i for i, e in enumerate(log) if e.old)
    for logs in ({"n1": texts, "n2": texts[:9] + [texts[9] + b" "]},
                 {"n1": without_one(texts, put)},
                 {"n1": texts[:put + 1] + texts[put:]}):
        assert told.judge_log(logs, registry.claims)[0], logs.keys()
    for claim in (Claim(log[-1].revision + 1, 1, b"{}", 0),
                  Claim(log[put].revision, 1, b"{}", 0),
                  Claim(log[put].revision, 1, None, 0)):
        assert told.judge_log({"n1": texts}, [claim])[0], claim

    def spoiled(i, old, new):
        assert old in texts[i]
        return World().follow(told.parse(
            texts[:i] + [texts[i].replace(old, new, 1)] + texts[i + 1:]))
    assert spoiled(put, b'"was":{', b'"was":{"more":"x",')
    assert spoiled(put, b'"was":{"', b'"was":{"z')
    assert spoiled(put, b'"_rev":', b'"_rev":1')
    assert spoiled(moved, b'"old":"', b'"old":"x')
    assert spoiled(put, b'"ns":"', b'"ns":"x')
    assert World().follow(log[:gone] + log[gone:gone + 1] + log[gone:])


def polls_of(log):
    """What a poll of a list and one of a search get at each revision."""
    world, polls, ns = World(), [], "b.top.roster"
    a_list, search = Spec(ns, "t", only=True), Spec("roster", "t", "color", "red")
    for e in log:
        world.apply(e)
        if e.revision < 5:
            continue
        newest = world.list_revision(ns, "t")
        polls.append(Poll("p", a_list, newest - 1, e.revision, newest,
                          world.list_body(ns, "t"), True))
        found = {p: [r.resource for r in rows]
                 for p, rows in world.found(search).items()}
        polls.append(Poll("s", search, e.revision - 1, e.revision, None,
                          json.dumps(found).encode(), search.wants(e)))
    return polls


@bare
def the_judge_finds_a_wrong_body_and_one_that_came_for_nothing():
    registry, log = made_up()
    polls = polls_of(log)
    assert not told.judge_states(log, polls, ())
    assert polls[-1].body in (b"[]", b"{}") or registry.rows
    plain = [p for p in polls if p.spec.only and p.etag < p.revision]
    assert plain
    for poll in plain[:20]:
        for bad in (poll._replace(since=poll.etag),
                    poll._replace(etag=poll.etag + 1),
                    poll._replace(body=poll.body[:-1] + b" ]")):
            assert told.judge_states(log, [bad], ()), bad
        assert not told.judge_states(
            log, [poll._replace(since=poll.etag, woken=False)], ())
        assert told.judge_states(log, [poll], (), inside={poll.revision})
    older = [p for p in polls if p.spec.only]
    for a, b in zip(older, older[1:]):
        if a.body != b.body:
            stale = b._replace(body=a.body)
            assert told.judge_states(log, [stale], ()), stale
    for poll in [p for p in polls if not p.spec.only and not p.woken][:20]:
        assert told.judge_states(log, [poll._replace(woken=True)], ())
        assert told.judge_states(log, [poll._replace(body=b'{"x":[]}')], ())


@bare
def the_judge_finds_what_a_list_at_the_begin_leaves_out():
    _, log = made_up()
    spec = Spec("top.roster", k="color", v="red")
    for upto in (100, 250):
        world = World()
        world.follow(log[:upto])
        rows = [(path, e) for path, found in world.found(spec).items()
                for e in found]
        said = [Said("initial", e.revision, text(
            e.revision, "put", path, e.ns_id, type=e.type, id=e.id,
            resource=e.resource, cause="initial")) for path, e in rows]
        said.append(Said("progress", upto, b""))
        said += stream_of(log, spec, upto).said
        right = Stream("i", spec, None, said, 0)
        assert len(rows) > 3
        assert not told.judge_states(log, (), [right])
        assert not told.judge_stream(log, behind_the_list(right))
        for bad in (said[1:], [said[0]] + said,
                    [said[0]._replace(text=said[0].text.replace(
                        b'"v":"', b'"v":"x'))] + said[1:],
                    [Said("initial", 1, said[0].text.replace(
                        b"initial", b"api"))] + said[1:]):
            assert told.judge_states(log, (), [right._replace(said=bad)])


# What a watch of x.top.roster, without and with a type, and one by field gets.
RULE = (
    ("put", "x.top.roster", {}, "yes", "yes"),
    ("put", "y.x.top.roster", {}, "yes", "yes"),
    ("put", "top.roster", {}, "no", "no"),
    ("put", "ax.top.roster", {}, "no", "no"),
    ("ns-put", "x.top.roster", {}, "yes", "no"),
    ("ns-put", "y.x.top.roster", {}, "yes", "no"),
    ("ns-put", "top.roster", {}, "no", "no"),
    ("ns-put", "x.top.roster", {"old": "z.roster"}, "yes", "yes"),
    ("ns-put", "z.roster", {"old": "x.top.roster"}, "yes", "yes"),
    ("ns-put", "z.roster", {"old": "y.x.top.roster"}, "yes", "yes"),
    ("ns-put", "z.roster", {"old": "top.roster"}, "yes", "yes"),
    ("ns-put", "top.roster", {"old": "z.roster"}, "yes", "yes"),
    ("ns-put", "w.roster", {"old": "z.roster"}, "no", "no"),
    ("ns-delete", "x.top.roster", {}, "yes", "yes"),
    ("ns-delete", "top.roster", {}, "yes", "yes"),
    ("ns-delete", "y.x.top.roster", {}, "yes", "yes"),
    ("ns-delete", "z.roster", {}, "no", "no"),
    ("restore", "roster", {}, "yes", "yes"),
)


@bare
def the_judge_knows_whom_a_change_concerns():
    plain, narrow = Spec("x.top.roster"), Spec("x.top.roster", "t")
    by_field = Spec("x.top.roster", "t", "color", "red")
    for op, ns, more, wants, narrowly in RULE:
        row = {"_id": ID % 1, "_rev": 9, "color": "red"}
        if op == "put":
            more = {"type": "t", "id": ID % 1, "resource": row}
        e = Event(text(9, op, ns, 3, **more))
        assert plain.wants(e) == (wants == "yes"), (op, ns, more)
        for spec in (narrow, by_field):
            assert spec.wants(e) == (narrowly == "yes"), (op, ns, more)

    def put(color, **more):
        return Event(text(9, "put", "x.top.roster", 3, type="t", id=ID % 1,
                          resource={"_id": ID % 1, "color": color}, **more))
    assert not by_field.wants(put("blue"))
    assert not by_field.wants(put("blue", was={"v": "red"}))
    assert by_field.wants(put("blue", was={"color": "red"}))
    assert not by_field.wants(put("blue", was={"color": None}))
    assert Spec("roster", None, None, "lu", "contains").wants(put("blue"))
    assert not Spec("roster", None, None, "lu", "prefix").wants(put("blue"))


def serve_pieces(pieces):
    """The port of somebody who sends these bytes in these pieces, once."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve():
        one, _ = listener.accept()
        one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        one.recv(4096)
        for piece in pieces:
            one.sendall(piece)
        one.close()
        listener.close()
    threading.Thread(target=serve, daemon=True).start()
    return listener.getsockname()[1]


@bare
def a_stream_is_read_however_it_is_cut():
    change = text(7, "put", "a.roster", 3, type="t", id=ID % 1,
                  resource={"_id": ID % 1})
    progress = b'{"op":"progress","revision":7}'
    blocks = (b"id: 7\ndata: " + change + b"\n\n: a comment\n\n"
              b"retry: 100\n\nevent: progress\nid: 7\ndata: " + progress +
              b"\n\n")
    lines = change + b"\n" + progress + b"\n"
    want = [Said("change", 7, change), Said("progress", 7, b"")]
    for body, mark, read in ((blocks, b"\n\n", read_sse),
                             (lines, b"\n", read_line)):
        for step in (1, 3, 1000):
            for chunked in (False, True):
                parts = [body[i:i + step] for i in range(0, len(body), step)]
                head = b"HTTP/1.1 200 OK\r\n"
                if chunked:
                    head += b"Transfer-Encoding: chunked\r\n"
                    parts = [b"%x\r\n%s\r\n" % (len(p), p) for p in parts]
                    whole = b"".join(parts) + b"0\r\n\r\n"
                    parts = [whole[i:i + 7] for i in range(0, len(whole), 7)]
                r = Reader(serve_pieces([head + b"\r\n", *parts]), "/")
                said = []
                try:
                    while True:
                        said.append(read(r.record(mark, 5)))
                except Ended:
                    r.close()
                assert [s for s in said if s] == want, (said, step, chunked)
