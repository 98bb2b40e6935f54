"""Searches by a primary key: what the index finds is what a scan finds, byte by
byte, whatever happens; a registry of an older release gets its index while it
runs. A regular expression is never looked up, so each question is asked both
ways."""
import os
import re

from cluster import Cluster
from harness import (Server, bare, binary, make_ns, path, seeded, shared, until)

# Another program may be given, to try it with a real release.
OLDER = os.environ.get("ROSTER_OLDER", "tests/system/rosterd-before")
INDEXED = "primary keys are indexed"
WORDS = ["a", "ab", "abc", "b", "web-1", "web-10", "web-2", "x\"y", "z\\",
         "\u00fc", "A"]


def both_ways(s, type_, key, text, *, prefix=False, **query):
    """The answer; both, to the end of their pages, are equal."""
    pattern = "^" + re.sub(r"([^\w])", r"\\\1", text) + ("" if prefix else r"\z")
    one = path("v1", "search", type=type_, k=key, v=text,
               mode="prefix" if prefix else "exact", **query)
    two = path("v1", "search", type=type_, k=key, v=pattern, mode="regex",
               **query)
    pages = []
    while one and two:
        a, b = s.get(one).must(200), s.get(two).must(200)
        assert a.body == b.body, (type_, key, text, query, a.body, b.body)
        pages.append(a.json)
        one, two = a.next(), b.next()
        assert bool(one) == bool(two)
        if one:
            def after(target): return re.search(r"after=([^&]*)", target)[1]
            assert after(one) == after(two)
    return pages


def compare_all(s, rnd, n=40, **query):
    for _ in range(n):
        type_, key = rnd.choice([("service", "name"), ("thing", "name")])
        both_ways(s, type_, key, rnd.choice(WORDS), prefix=rnd.random() < .5,
                  **query, **({} if rnd.random() < .5 else
                              {"limit": rnd.randint(1, 5)}))


def shuffle(s, top, rnd, n=60):
    """Rows and namespaces come, go and move."""
    leaves, branches = [], [top]

    def look():
        leaves[:], branches[:] = [], [top]
        for x in s.get(path("v1", "ns", flat="true")).must(200).json:
            if not x["ns"].endswith("." + top):
                continue
            (leaves if x["kind"] == "leaf" else branches).append(x["ns"])
    look()
    for _ in range(n):
        type_, key = rnd.choice([("service", "name"), ("thing", "name")])
        what = rnd.random()
        if what < .15 or not leaves:
            s.post("/v1/ns", {"parent": rnd.choice(branches),
                              "name": f"l{rnd.randrange(10**6)}",
                              "kind": rnd.choice(["leaf", "leaf", "branch"])})
            look()
        elif what < .6:
            s.post(path("v1", "ns", rnd.choice(leaves), type_),
                   {key: rnd.choice(WORDS), "n": str(rnd.randrange(9))}).must(
                       201, 409, 404)
        elif what < .7:
            s.delete(path("v1", "ns", rnd.choice(leaves), type_,
                          rnd.choice(WORDS))).must(204, 404)
        elif what < .8:
            s.post(path("v1", "ns", rnd.choice(leaves), type_,
                        rnd.choice(WORDS), "move"),
                   {"to": rnd.choice(leaves)}).must(200, 404, 409)
        elif what < .9:
            s.patch(path("v1", "ns", rnd.choice(leaves), type_,
                         rnd.choice(WORDS)), {key: rnd.choice(WORDS)}).must(
                             200, 404, 409)
        else:
            ns = rnd.choice(leaves + branches[1:])
            if rnd.random() < .3:
                s.delete(path("v1", "ns", ns, recursive="true")).must(204, 404)
            else:
                s.patch(path("v1", "ns", ns), rnd.choice([
                    {"name": f"r{rnd.randrange(10**6)}"},
                    {"parent": rnd.choice(branches)}]))
            look()


@shared
def what_the_index_finds_is_what_a_scan_finds(s):
    rnd = seeded("index")
    top = make_ns(s, "branch")
    for _ in range(8):
        shuffle(s, top, rnd)
        compare_all(s, rnd, 20, ns=top)
        compare_all(s, rnd, 5)


@shared
def a_search_without_its_type_is_over_every_field(s):
    """Another type's row may have the field as well."""
    ns = make_ns(s)
    s.post(path("v1", "ns", ns, "machine"), {"hostname": "seen-1"}).must(201)
    s.post(path("v1", "ns", ns, "note"), {"hostname": "seen-1"}).must(201)
    found = s.get(path("v1", "search", k="hostname", v="seen-1")).must(200).json
    assert len(found[ns]) == 2
    found = s.get(path("v1", "search", k="hostname", v="seen-1",
                       type="machine")).must(200).json
    assert len(found[ns]) == 1


# ---- of an older release ----

def become(node, program):
    def argv():
        given = program if os.path.isabs(program) else binary(program)
        return [given, *type(node).argv(node)[1:]]
    node.argv = argv


def much(s, leaves=50, rows=70):
    """More than gets an index at once."""
    top = make_ns(s, "branch", name="much")
    for i in range(leaves):
        ns = make_ns(s, parent=top, name=f"m{i}")
        s.post(path("v1", "ns", ns, "service"),
               [{"name": f"s{j}"} for j in range(rows)] +
               [{"name": rnd} for rnd in WORDS[:1 + i % len(WORDS)]]).must(201)
        s.post(path("v1", "ns", ns, "machine"), {"hostname": f"web-{i}"}).must(
            201)
    return top


def is_indexed(*nodes):
    def said():
        return any(INDEXED in line for n in nodes for line in open(
            n.log_file, encoding="utf-8"))
    until(said, 30)


def check(s, rnd, leaves=50):
    pages = both_ways(s, "service", "name", "s7")
    assert sum(len(p) for p in pages) == leaves
    pages = both_ways(s, "service", "name", "s7", prefix=True, limit=17)
    assert sum(len(rows) for p in pages for rows in p.values()) == leaves
    assert len(both_ways(s, "machine", "hostname", "web-7")[0]) == 1
    compare_all(s, rnd)


@bare(timeout=120)
def a_registry_of_an_older_release_gets_its_index():
    rnd = seeded("older")
    s = Server(start=False)
    try:
        become(s, OLDER)
        s.start()
        much(s)
        top = make_ns(s, "branch")
        shuffle(s, top, rnd)
        s.delete(path("v1", "ns", "m49.much.roster", recursive="true")).must(204)
        assert s.stop() == 0
        become(s, "rosterd")
        s.start()
        shuffle(s, top, rnd)  # perhaps while it is being built
        compare_all(s, rnd, ns=top)
        is_indexed(s)
        check(s, rnd, 49)
        shuffle(s, top, rnd)
        compare_all(s, rnd, ns=top)
        s.kill()
        s.start()
        compare_all(s, rnd, ns=top)
        check(s, rnd, 49)
        s.get("/v1/admin/digest").must(200)
        sound(s)
        assert not s.faults(), s.faults()
    finally:
        s.discard()


def sound(s):
    """A backup of it is taken for what it is."""
    from cli import good
    file = os.path.join(s.home, "backup")
    good(s, "backup", file)
    assert "resources" in good(s, "verify", file)
    return file


@bare(timeout=120)
def a_backup_of_an_older_release_gets_its_index():
    rnd = seeded("backup")
    old, s = Server(start=False), Server()
    try:
        become(old, OLDER)
        old.start()
        much(old)
        data = old.get("/v1/admin/backup").must(200).body
        s.post("/v1/admin/restore", raw=data,
               headers={"Content-Type": "application/octet-stream"}).must(200)
        is_indexed(s)
        check(s, rnd)
        # One that has it keeps it.
        data = s.get("/v1/admin/backup").must(200).body
        top = make_ns(s, "branch")
        shuffle(s, top, rnd)
        s.post("/v1/admin/restore", raw=data,
               headers={"Content-Type": "application/octet-stream"}).must(200)
        check(s, rnd)
        sound(s)
        assert not s.faults(), s.faults()
    finally:
        old.discard()
        s.discard()


@bare(timeout=240)
def three_nodes_of_an_older_release_are_brought_to_it_one_by_one():
    rnd = seeded("rolling")
    with Cluster(3, start=False) as c:
        for name in c.names:
            become(c.node(name), OLDER)
        c.start()
        s = c.node(c.leader())
        much(s)
        top = make_ns(s, "branch")
        for name in [*c.followers(), c.leader()]:
            shuffle(c.node(name), top, rnd)
            assert c.node(name).stop() == 0
            become(c.node(name), "rosterd")
            c.node(name).start(wait=False)
            c.wait_ready()
            compare_all(c.node(name), rnd, 10)
        shuffle(c.node(c.names[0]), top, rnd)
        is_indexed(*c.nodes.values())
        shuffle(c.node(c.names[1]), top, rnd)
        c.digests_agree()
        for name in c.names:
            check(c.node(name), rnd)
        # Who comes now gets a state with its index.
        c.add("n4")
        c.wait_ready()
        c.digests_agree()
        check(c.node("n4"), rnd)
        assert not c.faults(), c.faults()
