"""POST /v1/txn (BRIEF 4.2): all operations, or none and the reason."""
from harness import in_threads, make_ns, path, shared, without

TXN = "/v1/txn"


def things(ns):
    return path("v1", "ns", ns, "thing")


def op(kind, ns, id_=None, resource=None, type_="thing"):
    made = {"op": kind, "ns": ns, "type": type_}
    if id_ is not None:
        made["id"] = id_
    if resource is not None:
        made["resource"] = resource
    return made


def cond(ns, id_, rev, type_="thing"):
    return {"ns": ns, "type": type_, "id": id_, "rev": rev}


@shared
def operations_on_several_lists_happen_together(s):
    one, two = make_ns(s), make_ns(s)
    a = s.post(things(one), {"name": "a", "x": "1"}).must(201).json
    s.post(things(one), {"name": "b"}).must(201)
    before = s.revision()
    t = s.post(TXN, {"if": [cond(one, "a", a["_rev"])], "do": [
        op("put", two, "new", {"v": "1"}),
        op("put", two, None, {"v": "no key"}),
        op("patch", one, a["_id"], {"x": None, "y": "2"}),
        op("delete", one, "b")]}).must(200)
    assert t.json["revision"] == t.revision == before + 4, t
    made, free, merged, gone = t.json["results"]
    assert (made["op"], made["ns"], made["type"]) == ("put", two, "thing"), t
    new = s.get(things(two) + "/new").must(200).json
    assert (made["id"], made["rev"]) == (new["_id"], new["_rev"]), t
    assert without(s.get(f"{things(two)}/{free['id']}").json) == {"v": "no key"}
    assert (merged["id"], merged["rev"]) == (a["_id"], before + 3), t
    assert gone["op"] == "delete" and gone["rev"] is None, t
    assert [without(r) for r in s.rows(things(one))] == [{"name": "a", "y": "2"}]


@shared
def a_condition_that_fails_is_named_and_nothing_happens(s):
    ns = make_ns(s)
    a = s.post(things(ns), {"name": "a"}).must(201).json
    good, do = cond(ns, "a", a["_rev"]), [op("put", ns, "b", {"x": "1"})]
    for bad in (cond(ns, "a", a["_rev"] - 1), cond(ns, "a", a["_rev"] + 1),
                cond(ns, a["_id"], 0), cond(ns, "nobody", 5)):
        p = s.post(TXN, {"if": [good, good, bad], "do": do}).problem(409)
        assert p["condition"] == 2 and "operation" not in p, p
    assert s.rows(things(ns)) == [a]
    # rev 0: it must not exist.
    ifs = [cond(ns, "b", 0), cond(ns, "01ARZ3NDEKTSV4RRFFQ69G5FAV", 0)]
    s.post(TXN, {"if": ifs, "do": do}).must(200)
    p = s.post(TXN, {"if": ifs, "do": do}).problem(409)
    assert p["condition"] == 0, p


@shared
def an_operation_that_fails_is_named_and_takes_the_others_back(s):
    ns, other = make_ns(s), make_ns(s)
    a, b = s.post(things(ns), [{"name": "a"}, {"name": "b"}]).must(201).json
    before = s.revision()
    first = [op("delete", ns, "a"), op("put", other, "n", {"x": "1"})]
    for bad in (op("patch", ns, "nobody", {"x": "1"}),
                op("patch", ns, "a", {"x": "1"}),      # deleted just before
                op("delete", ns, "nobody"),
                op("put", ns, None, {"name": "b"}),    # taken
                op("put", ns, "01ARZ3NDEKTSV4RRFFQ69G5FAV", {"name": "b"})):
        p = s.post(TXN, {"do": first + [bad]}).problem(409)
        assert p["operation"] == 2 and "condition" not in p, p
    p = s.post(TXN, {"do": first + [op("put", "no.roster", "x", {"a": "b"})]}
               ).problem(404)
    assert p["field"] == "do[2].ns", p
    p = s.post(TXN, {"if": [cond("no.roster", "x", 1)], "do": first}).problem(404)
    assert p["field"] == "if[0].ns", p
    assert s.rows(things(ns)) == [a, b] and s.rows(things(other)) == []
    assert s.revision() == before


@shared
def later_operations_see_what_earlier_ones_did(s):
    ns = make_ns(s)
    a, b = s.post(things(ns), [{"name": "a"}, {"name": "b"}]).must(201).json
    s.post(TXN, {"do": [
        op("patch", ns, a["_id"], {"name": "tmp"}),    # trade two keys
        op("patch", ns, b["_id"], {"name": "a"}),
        op("patch", ns, "tmp", {"name": "b"}),
        op("put", ns, "c", {"v": "1"}),
        op("patch", ns, "c", {"v": "2"}),
        op("put", ns, "d", {"v": "1"}),
        op("delete", ns, "d")]}).must(200)
    got = {r["name"]: r for r in s.rows(things(ns))}
    assert set(got) == {"a", "b", "c"} and got["c"]["v"] == "2", got
    assert (got["a"]["_id"], got["b"]["_id"]) == (b["_id"], a["_id"]), got


@shared
def operations_that_change_nothing_take_no_revision(s):
    ns = make_ns(s)
    a = s.post(things(ns), {"name": "a", "x": "1"}).must(201).json
    before = s.revision()
    t = s.post(TXN, {"do": [op("put", ns, "a", {"x": "1"}),
                            op("patch", ns, "a", {})]}).must(200)
    assert [r["rev"] for r in t.json["results"]] == [a["_rev"]] * 2, t
    assert s.revision() == before


@shared
def a_transaction_that_makes_no_sense_is_400_at_its_field(s):
    ns = make_ns(s)
    fine = op("put", ns, "a", {"x": "1"})
    for body, field in (
            ({"do": [fine, {**fine, "op": "upsert"}]}, "do[1].op"),
            ({"do": [{k: v for k, v in fine.items() if k != "op"}]}, "do[0].op"),
            ({"do": [{k: v for k, v in fine.items() if k != "ns"}]}, "do[0].ns"),
            ({"do": [{k: v for k, v in fine.items() if k != "type"}]},
             "do[0].type"),
            ({"do": [{**fine, "type": "No"}]}, "do[0].type"),
            ({"do": [{**fine, "color": "red"}]}, "do[0].color"),
            ({"do": [op("put", ns, "a")]}, "do[0].resource"),
            ({"do": [op("put", ns, "a", {"x": 5})]}, "do[0].resource.x"),
            ({"do": [op("put", ns, "a", {"_x": "5"})]}, "do[0].resource._x"),
            ({"do": [op("put", ns, "a", {"x": None})]}, "do[0].resource.x"),
            ({"do": [op("patch", ns, "a", {"x": 5})]}, "do[0].resource.x"),
            ({"do": [op("put", ns, "a", {"name": "b"})]},
             "do[0].resource.name"),
            ({"do": [op("delete", ns)]}, "do[0].id"),
            ({"do": [op("patch", ns, None, {"x": "1"})]}, "do[0].id"),
            ({"do": [{**fine, "id": 5}]}, "do[0].id"),
            ({"do": [5]}, "do[0]"), ({"do": {}}, "do"), ({"do": None}, "do"),
            ({"if": [], "do": [fine], "then": []}, "then"),
            ({"if": {}, "do": [fine]}, "if"),
            ({"if": [{**cond(ns, "a", 0), "x": 1}], "do": [fine]}, "if[0].x"),
            ({"if": [cond(ns, "a", "0")], "do": [fine]}, "if[0].rev"),
            ({"if": [cond(ns, "a", -1)], "do": [fine]}, "if[0].rev"),
            ({"if": [cond(ns, "a", 1.5)], "do": [fine]}, "if[0].rev"),
            ({"if": [cond(ns, "a", 2**53)], "do": [fine]}, "if[0].rev"),
            ({"if": [cond(ns, 5, 1)], "do": [fine]}, "if[0].id"),
            ({"if": [5], "do": [fine]}, "if[0]")):
        s.post(TXN, body).problem(400, field=field)
    for body in ([], "x", 5, None, {}):
        s.post(TXN, body).problem(400)
    assert s.rows(things(ns)) == []


@shared
def the_rules_of_types_hold_in_transactions(s):
    ns = make_ns(s)
    s.post(TXN, {"do": [op("put", ns, None, {"name": "x"}, "machine")]}).problem(
        400, field="do[0].resource.hostname")
    s.post(TXN, {"do": [op("put", ns, "m1", {"x": "1"}, "machine")]}).must(200)
    s.put("/v1/types/sized", {"required": ["size"], "checks": {"size": "int"}}
          ).must(201)
    for row in ({"name": "a"}, {"name": "a", "size": "x"}):
        p = s.post(TXN, {"do": [op("put", ns, "a", row, "sized")]}).problem(400)
        assert p["field"] == "do[0].resource.size", p
    s.post(TXN, {"do": [op("put", ns, "a", {"size": "1"}, "sized")]}).must(200)
    # What a patch leads to is checked, too.
    s.post(TXN, {"do": [op("patch", ns, "a", {"size": None}, "sized")]}).must(
        400, 409)
    assert s.get(path("v1", "ns", ns, "sized", "a")).json["size"] == "1"


@shared
def a_thousand_operations_are_taken_and_one_more_is_not(s):
    ns = make_ns(s)
    do = [op("put", ns, f"n{i}", {"x": "1"}) for i in range(1001)]
    s.post(TXN, {"do": do}).problem(400)
    assert s.rows(things(ns)) == []
    before = s.revision()
    t = s.post(TXN, {"do": do[:1000]}).must(200)
    assert t.revision == before + 1000 and len(t.json["results"]) == 1000
    assert len(s.rows(things(ns))) == 1000


@shared
def counting_with_conditions_loses_no_step(s):
    """The lost update: each step reads, adds one and writes if unchanged."""
    ns = make_ns(s)
    s.post(things(ns), {"name": "n", "value": "0"}).must(201)
    workers, steps = 8, 15

    def count(_):
        c, refused = s.client(), 0
        for _ in range(steps):
            while True:
                row = c.get(things(ns) + "/n").must(200).json
                a = c.post(TXN, {"if": [cond(ns, "n", row["_rev"])], "do": [
                    op("patch", ns, "n", {"value": str(int(row["value"]) + 1)})
                ]}).must(200, 409)
                if a.status == 200:
                    break
                refused += 1
        return refused
    refused = sum(in_threads(workers, count))
    got = s.get(things(ns) + "/n").json["value"]
    assert got == str(workers * steps), (got, refused)


@shared
def a_transfer_is_never_seen_halfway(s):
    """Two rows always add up, for whoever reads the list meanwhile."""
    ns = make_ns(s)
    s.post(things(ns), [{"name": "a", "n": "500"}, {"name": "b", "n": "500"}]
           ).must(201)
    done = []

    def move_or_look(i):
        c = s.client()
        if i == 0:
            for k in range(150):
                c.post(TXN, {"do": [op("patch", ns, "a", {"n": str(500 - k)}),
                                    op("patch", ns, "b", {"n": str(500 + k)})]}
                       ).must(200)
            done.append(True)
            return
        while not done:
            a = c.get(things(ns)).must(200)
            assert sum(int(r["n"]) for r in a.json) == 1000, a
            # Only ends of ranges are shown (BRIEF 8.2).
            assert int(a.etag.strip('"')) == max(r["_rev"] for r in a.json)
    in_threads(4, move_or_look)


@shared
def a_row_that_was_read_can_be_sent_back_in_a_transaction(s):
    """BRIEF 8.13. By its key with the _id it came with it was refused."""
    ns = make_ns(s)
    row = s.post(things(ns), {"name": "a"}).must(201).json
    other = s.post(things(ns), {"name": "b"}).must(201).json
    s.post(TXN, {"do": [op("put", ns, "a", {**row, "v": "1"})]}).must(200)
    s.post(TXN, {"do": [op("patch", ns, "a", {"_id": row["_id"], "w": "1"})]}
           ).must(200)
    s.post(TXN, {"do": [op("put", ns, None, {**row, "x": "1"})]}).must(200)
    got = s.get(things(ns) + "/a").json
    assert got["_id"] == row["_id"] and got["x"] == "1", got
    for kind, id_ in (("put", "a"), ("patch", "a"), ("put", "new")):
        s.post(TXN, {"do": [op(kind, ns, id_, {"_id": other["_id"], "v": "2"})]}
               ).problem(400, field="do[0].resource._id")


@shared
def a_key_where_the_type_has_none_is_named_as_the_field(s):
    ns = make_ns(s)
    s.put("/v1/types/keyless", {"key": None}).must(201)
    s.post(TXN, {"do": [op("delete", ns, "a", type_="keyless")]}).problem(
        404, field="do[0].id")
