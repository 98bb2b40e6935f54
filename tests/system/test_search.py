"""GET /v1/search (BRIEF 4.2): bounded, over every leaf below a namespace."""
import re
import time

from harness import make_ns, path, shared, without


def find(s, **query):
    return s.get(path("v1", "search", **query)).must(200).json


def names(found):
    """{namespace: [names in the order given]}"""
    return {ns: [r.get("name") for r in rows] for ns, rows in found.items()}


def shop(s):
    """A branch with two leaves of known content."""
    top = make_ns(s, "branch")
    web, db = make_ns(s, parent=top, name="web"), make_ns(s, parent=top, name="db")
    s.post(path("v1", "ns", web, "service"), [
        {"name": "http", "port": "80", "os": "Debian 12"},
        {"name": "https", "port": "443", "os": "Debian 13"}]).must(201)
    s.post(path("v1", "ns", web, "config"), [
        {"name": "c", "text": 'say "hi"\nto\\all', "empty": ""}]).must(201)
    s.post(path("v1", "ns", db, "service"), [
        {"name": "pg", "port": "5432", "os": "debian"}]).must(201)
    s.post(path("v1", "ns", top, "service"), {"name": "template",
                                              "port": "80"}).must(201)
    return top, web, db


@shared
def the_modes_are_exact_contains_prefix_and_regex(s):
    top, web, db = shop(s)

    def got(**q): return names(find(s, ns=top, **q))
    assert got(k="os", v="Debian 12") == {web: ["http"]}
    assert got(k="os", v="Debian 12", mode="exact") == {web: ["http"]}
    assert got(k="os", v="Debian") == {}
    assert got(k="os", v="Debian", mode="prefix") == {web: ["http", "https"]}
    assert got(k="os", v="ebian", mode="prefix") == {}
    assert got(k="os", v="ebian", mode="contains") == {
        web: ["http", "https"], db: ["pg"]}
    assert got(k="os", v="^[Dd]ebian( 12)?$", mode="regex") == {
        web: ["http"], db: ["pg"]}
    assert got(k="port", v="4", mode="contains") == {web: ["https"], db: ["pg"]}
    s.get(path("v1", "search", v="x", mode="fuzzy")).problem(400, field="mode")


@shared
def what_is_left_out_matches_anything(s):
    top, web, db = shop(s)

    def got(**q): return names(find(s, ns=top, **q))
    # Types in name order, rows in `_id` order; templates are in no leaf.
    assert got() == {web: ["c", "http", "https"], db: ["pg"]}
    assert got(type="service") == {web: ["http", "https"], db: ["pg"]}
    assert got(v="80") == {web: ["http"]}
    assert got(k="empty") == {web: ["c"]}
    assert got(k="empty", v="") == {web: ["c"]}
    assert got(k="port", type="config") == {}
    assert got(type="never-used") == {}
    assert find(s, ns=web, type="service") == {
        web: s.rows(path("v1", "ns", web, "service"))}
    whole = names(find(s))
    assert whole[web] == ["c", "http", "https"] and whole[db] == ["pg"]
    assert not {top, "roster", "pool.roster"} & set(whole)


@shared
def values_are_compared_as_they_were_written_not_as_json(s):
    top, web, _ = shop(s)

    def got(**q): return names(find(s, ns=top, **q))
    assert got(k="text", v='say "hi"\nto\\all') == {web: ["c"]}
    assert got(k="text", v='"hi"\nto\\', mode="contains") == {web: ["c"]}
    assert got(k="text", v='say "', mode="prefix") == {web: ["c"]}
    assert got(k="text", v=r'"hi"\nto\\all$', mode="regex") == {web: ["c"]}
    # Not across fields, not in names, not what only the encoding contains.
    for v in ('","', '\\n', '\\"', '":"', "empty", "_id", "_rev", "{", "\\\\a"):
        assert got(v=v, mode="contains") == {}, v


@shared
def all_of_unicode_can_be_found(s):
    ns = make_ns(s)
    texts = ["Grüße", "日本語テキスト", "🦉 owl", "e\u0301", "a\u0001b", "\U0010ffff"]
    things = path("v1", "ns", ns, "thing")
    for i, text in enumerate(texts):
        s.post(things, {"name": str(i), "t": text}).must(201)
    for i, text in enumerate(texts):
        for mode in ("exact", "contains", "prefix"):
            assert names(find(s, ns=ns, k="t", v=text, mode=mode)) == {
                ns: [str(i)]}, (text, mode)
    assert names(find(s, ns=ns, v="^.{7}$", mode="regex")) == {ns: ["1"]}
    assert names(find(s, ns=ns, k="t", v="^🦉", mode="regex")) == {ns: ["2"]}


@shared
def a_search_that_makes_no_sense_is_refused(s):
    s.get("/v1/search?ns=no.roster").problem(404, field="ns")
    s.get("/v1/search?type=No").problem(400, field="type")
    for bad in ("(", "[a", "a{2,1}", "*", "(?<n>"):
        s.get(path("v1", "search", v=bad, mode="regex")).problem(400, field="v")
    for bad in ("0", "-1", "x", "", "100001"):
        s.get("/v1/search?limit=" + bad).problem(400, field="limit")
    s.get("/v1/search?after=rubbish!").problem(400, field="after")
    s.get("/v1/search?key=x").problem(400, field="key")
    s.get("/v1/search?v=%ff").must(400)
    s.get("/v1/search?v=%zz").must(400)


@shared(timeout=90)
def a_regex_that_costs_too_much_is_400_and_stalls_nobody(s):
    ns = make_ns(s)
    things = path("v1", "ns", ns, "thing")
    s.post(things, [{"name": f"n{i}", "t": "a" * 5000 + "!"}
                    for i in range(100)]).must(201)
    for evil in ("^(a+)+$", "^(a|a)*$", "^(a|aa)+$", "(.*a){30}b",
                 "^(([a-z])+.)+[A-Z]([a-z])+$", "(x+x+)+y|a.*a.*a.*a.*a.*b"):
        began = time.monotonic()
        a = s.get(path("v1", "search", ns=ns, v=evil, mode="regex"))
        a.must(200, 400)
        if a.status == 400:
            a.problem(400, field="v")
        else:
            assert a.json == {}, evil
        # No promise of speed here, but of no stall: others are answered.
        assert time.monotonic() - began < 20, evil
        s.client(timeout=5).get("/livez").must(200)


@shared
def pages_of_a_search_give_every_row_once(s):
    top = make_ns(s, "branch")
    want = {}
    for leaf in ("a", "b", "c"):
        ns = make_ns(s, parent=top, name=leaf)
        for type_ in ("thing", "other"):
            rows = s.post(path("v1", "ns", ns, type_), [
                {"name": f"{leaf}{type_}{i}", "m": "yes" if i % 3 else "no"}
                for i in range(20)]).must(201).json
            want.setdefault(ns, {}).update({r["_id"]: r for r in rows})
    for more in ({}, {"k": "m", "v": "yes"}):
        for limit in (1, 7, 119, 1000):
            got, n, target = {}, 0, path("v1", "search", ns=top, limit=limit,
                                         **more)
            while target:
                a = s.get(target).must(200)
                page = [r for rows in a.json.values() for r in rows]
                assert len(page) <= limit, (limit, len(page))
                assert all(a.json.values()), "a namespace without a match"
                for ns, rows in a.json.items():
                    for row in rows:
                        assert row["_id"] not in got, "twice"
                        got[row["_id"]] = row
                        assert want[ns][row["_id"]] == row
                target, n = a.next(), n + 1
                assert n < 200, "paging does not end"
            n_want = 120 if not more else 78
            assert len(got) == n_want, (limit, more, len(got))


@shared
def a_search_without_a_limit_is_bounded_and_says_that_there_is_more(s):
    top = make_ns(s, "branch")
    for i in range(11):
        ns = make_ns(s, parent=top, name=f"l{i}")
        s.post(path("v1", "ns", ns, "thing"),
               [{"n": str(j)} for j in range(1000)]).must(201)
    a = s.get(path("v1", "search", ns=top)).must(200)
    assert sum(map(len, a.json.values())) == 10000
    b = s.get(a.next()).must(200)
    assert sum(map(len, b.json.values())) == 1000 and b.next() is None
    whole = s.get(path("v1", "search", ns=top, limit=100000)).must(200)
    assert sum(map(len, whole.json.values())) == 11000
    assert whole.next() is None
    ids = [r["_id"] for a in (a, b) for rows in a.json.values() for r in rows]
    assert len(set(ids)) == 11000
    s.delete(path("v1", "ns", top, recursive="true")).must(204)


@shared
def a_search_follows_moves_and_renames(s):
    top, web, db = shop(s)
    s.post(path("v1", "ns", web, "service", "http", "move"), {"to": db}).must(200)
    assert names(find(s, ns=top, k="port", v="80")) == {db: ["http"]}
    s.patch(path("v1", "ns", db), {"name": "data"}).must(200)
    assert names(find(s, ns=top, k="port", v="80")) == {f"data.{top}": ["http"]}
    row, = find(s, ns=f"data.{top}", k="port", v="80")[f"data.{top}"]
    assert without(row) == {"name": "http", "port": "80", "os": "Debian 12"}


@shared
def a_query_too_long_for_its_link_is_told_so(s):
    """The connection ended without an answer: the library makes the answer's
    headers in what the request's have left."""
    ns = make_ns(s)
    things = path("v1", "ns", ns, "thing")
    s.post(things, [{"v": "!" * 8000}, {"v": "!" * 8000}]).must(201)
    paged = set()
    for n in range(200, 6000, 200):
        for target in (f"/v1/search?ns={ns}&limit=1&mode=prefix&v=" + "!" * n,
                       f"{things}?limit=1&fields=" + "!" * n):
            a = s.get(target).must(200, 400)
            paged.add(a.status)
            if a.status == 400:
                a.problem(400, detail=re.compile("too long"))
            else:
                s.get(a.next()).must(200)
    assert paged == {200, 400}
