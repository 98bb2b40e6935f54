"""Resources and lists (BRIEF 4.2, 8.2, 8.3, 8.13, 8.14)."""
import json
import re
import string

from harness import (ULID, all_pages, in_threads, make_list, make_ns, path,
                     shared, without)

KIB = 1024


def listed(s, target):
    """The list as {name: row}; no name may come twice."""
    rows = s.rows(target)
    assert len({r.get("name") for r in rows}) == len(rows), rows
    return {r["name"]: r for r in rows}


# ---- one resource -----------------------------------------------------------

@shared
def a_new_row_comes_back_with_its_id_revision_and_sorted_fields(s):
    things = make_list(s)
    a = s.post(things, {"zone": "b", "name": "one", "Alpha": "1"}).must(201)
    row = a.json
    assert ULID.match(row["_id"]) and row["_rev"] == a.revision, a
    assert a.etag == f'"{row["_rev"]}"', a.headers
    assert a.headers["location"] == f"{things}/{row['_id']}", a.headers
    assert a.body.decode() == json.dumps(
        {"_id": row["_id"], "_rev": row["_rev"], "Alpha": "1", "name": "one",
         "zone": "b"}, separators=(",", ":")), a.body
    by_id = s.get(a.headers["location"]).must(200)
    by_key = s.get(things + "/one").must(200)
    assert by_id.body == by_key.body == a.body
    assert by_id.etag == by_key.etag == a.etag


@shared
def the_list_is_an_array_in_id_order_with_its_revision_as_etag(s):
    things = make_list(s)
    empty = s.get(things).must(200)
    assert empty.json == [] and re.fullmatch(r'"\d+"', empty.etag), empty
    ids = [s.post(things, {"name": f"n{i}"}).must(201).json["_id"]
           for i in (3, 1, 2)]
    got = s.get(things).must(200)
    assert [r["_id"] for r in got.json] == ids == sorted(ids), got
    assert got.etag == f'"{got.json[-1]["_rev"]}"', got.headers
    s.get(things, headers={"If-None-Match": got.etag}).must(304)
    s.get(things, headers={"If-None-Match": f'"1", {got.etag}'}).must(304)
    s.get(things, headers={"If-None-Match": "W/" + got.etag}).must(304)
    for i in ids:
        gone = s.delete(f"{things}/{i}").must(204)
    # Empty again, but not what it was: the revision is that of its last change.
    after = s.get(things, headers={"If-None-Match": empty.etag}).must(200)
    assert after.json == [] and after.etag == f'"{gone.revision}"', after.headers


@shared
def a_change_elsewhere_leaves_the_list_revision_alone(s):
    ns = make_ns(s)
    things, others = path("v1", "ns", ns, "thing"), path("v1", "ns", ns, "other")
    s.post(things, {"name": "a"}).must(201)
    before = s.get(things)
    s.post(others, {"name": "a"}).must(201)
    after = s.get(things, headers={"If-None-Match": before.etag}).must(304)
    assert after.revision > before.revision


@shared
def a_type_without_rows_is_an_empty_list_and_a_bad_type_is_400(s):
    ns = make_ns(s)
    for good in ("x", "a-b_c9", "t" * 63):
        assert s.rows(path("v1", "ns", ns, good)) == []
    for bad in ("X", "9a", "_a", "a.b", "t" * 64, "ä", "a b", "a\x00"):
        s.get(path("v1", "ns", ns, bad)).problem(400)
        s.post(path("v1", "ns", ns, bad), {"name": "a"}).problem(400)


@shared
def a_taken_primary_key_is_409_and_names_the_holder(s):
    things = make_list(s)
    holder = s.post(things, {"name": "a"}).must(201).json
    p = s.post(things, {"name": "a", "x": "y"}).problem(
        409, detail=re.compile(holder["_id"]))
    assert p["holder"]["_id"] == holder["_id"], p
    other = s.post(things, {"name": "b"}).must(201).json
    s.patch(f"{things}/b", {"name": "a"}).problem(409)
    s.put(f"{things}/{other['_id']}", {"name": "a"}).problem(409)
    assert listed(s, things) == {"a": holder, "b": other}
    # Another list, another type: free.
    s.post(make_list(s), {"name": "a"}).must(201)
    s.post(things.replace("/thing", "/other"), {"name": "a"}).must(201)


@shared
def the_plain_key_is_optional_and_the_known_types_want_theirs(s):
    ns = make_ns(s)

    def at(type_): return path("v1", "ns", ns, type_)
    for _ in range(3):
        s.post(at("thing"), {"x": "same"}).must(201)
    assert len(s.rows(at("thing"))) == 3
    s.post(at("machine"), {"name": "m"}).problem(400, field="hostname")
    for known in ("service", "check", "alert", "metric", "record", "vip",
                  "config", "webhook"):
        s.post(at(known), {"hostname": "m"}).problem(400, field="name")
    row = s.post(at("machine"), {"hostname": "m1", "name": "x"}).must(201).json
    assert s.get(at("machine") + "/m1").must(200).json == row
    s.get(at("machine") + "/x").problem(404)
    s.patch(at("machine") + "/m1", {"hostname": None}).problem(
        400, field="hostname")


@shared
def primary_keys_have_1_to_255_bytes_and_no_ulid_shape(s):
    things = make_list(s)
    for good in ("k" * 255, "é" * 127, "a/b"):
        s.post(things, {"name": good}).must(201)
    for bad in ("", "k" * 256, "é" * 128, "01ARZ3NDEKTSV4RRFFQ69G5FAV",
                "7ZZZZZZZZZZZZZZZZZZZZZZZZZ"):
        s.post(things, {"name": bad}).problem(400, field="name")
    # 26 characters that are no ULID (first digit above 7, letters I L O U).
    for close in ("81ARZ3NDEKTSV4RRFFQ69G5FAV", "01ARZ3NDEKTSV4RRFFQ69G5FAU"):
        s.post(things, {"name": close}).must(201)
        s.get(f"{things}/{close}").must(200)


@shared
def any_text_may_be_a_key_when_its_bytes_are_percent_encoded(s):
    things = make_list(s)
    keys = ["a/b", "a/b/c", "/", "//", "...", "../../ns", "a?b=c", "a#b", "a b",
            "a+b", "100%", "%2F", "a%2Fb", "ключ", "鍵", "🔑", "a&b=c",
            "move", "copy", "a;b", "a:b", "~", "*", '"', "\\", "a\tb", "é",
            "e\u0301", string.punctuation]
    for key in keys:
        row = s.post(things, {"name": key}).must(201).json
        target = things + path(key)
        assert s.get(target).must(200).json == row, key
        got = s.patch(target, {"seen": "yes"}).must(200)
        assert got.json["name"] == key
    assert set(listed(s, things)) == set(keys)
    for key in keys:
        s.delete(things + path(key)).must(204)
        s.get(things + path(key)).problem(404)
    assert s.rows(things) == []
    # Clients and proxies resolve these two themselves: only by `_id`.
    for key in (".", ".."):
        row = s.post(things, {"name": key}).must(201).json
        s.get(f"{things}/{key}").problem(400)
        assert s.get(f"{things}/{row['_id']}").must(200).json == row


@shared
def a_key_with_a_slash_can_be_moved_and_copied(s):
    things, to = make_list(s), make_ns(s)
    s.post(things, {"name": "a/b"}).must(201)
    s.post(things + path("a/b", "copy"), {"to": to}).must(201)
    s.delete(path("v1", "ns", to, "thing", "a/b")).must(204)
    s.post(things + path("a/b", "move"), {"to": to}).must(200)
    assert s.rows(things) == []


@shared
def a_resource_is_a_flat_map_of_1_to_128_texts(s):
    things = make_list(s)
    s.post(things, {f"k{i}": "" for i in range(128)}).must(201)
    s.post(things, {f"k{i}": "" for i in range(129)}).problem(400)
    s.post(things, {}).problem(400)
    for value in (1, 1.5, True, False, None, [], {}, ["x"], {"a": "b"}):
        s.post(things, {"name": "a", "x": value}).problem(400, field="x")
        s.put(things + "/a", {"x": value}).problem(400, field="x")
    s.post(things, {"": "x"}).problem(400)
    for body in ("text", 5, None, True):
        s.post(things, body).problem(400)
    s.post(things, raw=b"").problem(400)
    s.post(things, raw=b"{\"a\":\"b\"} x").problem(400)
    assert len(s.rows(things)) == 1


@shared
def names_with_an_underscore_are_the_servers(s):
    things = make_list(s)
    row = s.post(things, {"name": "a"}).must(201).json
    for bad in ("_x", "_", "_Id", "__rev"):
        s.post(things, {"name": "b", bad: "1"}).problem(400, field=bad)
        s.patch(f"{things}/a", {bad: "1"}).problem(400, field=bad)
    # What was read may be sent back: `_id` must agree, `_rev` is ignored.
    a = s.put(f"{things}/a", {**row, "x": "1"}).must(200)
    assert a.json["_id"] == row["_id"] and a.json["_rev"] > row["_rev"]
    s.put(f"{things}/a", {**row, "x": "2", "_rev": 1}).must(200)
    s.patch(f"{things}/a", {"_id": row["_id"], "_rev": 7, "y": "3"}).must(200)
    other = "01ARZ3NDEKTSV4RRFFQ69G5FAV"
    s.put(f"{things}/a", {**row, "_id": other}).problem(400, field="_id")
    s.patch(f"{things}/a", {"_id": other}).problem(400, field="_id")
    for bad in (5, None, "short", ""):
        s.put(f"{things}/a", {**row, "_id": bad}).problem(400, field="_id")


@shared
def put_by_key_creates_then_replaces_and_keeps_the_id(s):
    things = make_list(s)
    a = s.put(f"{things}/web", {"port": "80"}).must(201)
    row = a.json
    assert row["name"] == "web" and row["port"] == "80", a
    assert a.headers["location"] == f"{things}/{row['_id']}"
    b = s.put(f"{things}/web", {"name": "web", "host": "h"}).must(200)
    assert b.json["_id"] == row["_id"] and without(b.json) == {
        "name": "web", "host": "h"}, b
    assert b.json["_rev"] == b.revision > row["_rev"]
    s.put(f"{things}/web", {"name": "other"}).problem(400, field="name")


@shared
def put_by_id_creates_with_that_id(s):
    things, id_ = make_list(s), "01ARZ3NDEKTSV4RRFFQ69G5FAV"
    a = s.put(f"{things}/{id_}", {"name": "a"}).must(201)
    assert a.json["_id"] == id_, a
    assert s.put(f"{things}/{id_}", {"name": "b"}).must(200).json["_id"] == id_
    assert list(listed(s, things)) == ["b"]
    s.get(f"{things}/a").problem(404)   # the old key is free again
    s.post(things, {"name": "a"}).must(201)


@shared
def a_write_that_leaves_content_equal_is_no_change(s):
    things = make_list(s)
    row = s.put(f"{things}/a", {"x": "1", "y": "2"}).must(201).json
    before = s.get(things)
    for again in (lambda: s.put(f"{things}/a", {"y": "2", "x": "1"}),
                  lambda: s.put(f"{things}/{row['_id']}", row),
                  lambda: s.patch(f"{things}/a", {"x": "1"}),
                  lambda: s.patch(f"{things}/a", {"nothing": None}),
                  lambda: s.patch(f"{things}/a", {})):
        a = again().must(200)
        assert a.json == row and a.etag == f'"{row["_rev"]}"', a
    s.put(things, [row]).must(200)
    after = s.get(things)
    assert (after.body, after.etag, after.revision) == (
        before.body, before.etag, before.revision)


@shared
def patch_merges_and_null_removes(s):
    things = make_list(s)
    row = s.post(things, {"name": "a", "x": "1", "y": "2"}).must(201).json
    a = s.patch(f"{things}/a", {"x": None, "z": "3"}).must(200)
    assert without(a.json) == {"name": "a", "y": "2", "z": "3"}, a
    assert a.json["_id"] == row["_id"] and a.etag == f'"{a.json["_rev"]}"'
    a = s.patch(f"{things}/a", {"name": "b"}).must(200)
    assert a.json["_id"] == row["_id"]
    s.get(f"{things}/a").problem(404)
    s.patch(f"{things}/nobody", {"x": "1"}).problem(404)
    s.patch(f"{things}/01ARZ3NDEKTSV4RRFFQ69G5FAV", {"x": "1"}).problem(404)
    # The result must still be a resource.
    s.patch(f"{things}/b", {"name": None, "y": None, "z": None}).problem(400)
    s.patch(f"{things}/b", {f"k{i}": "" for i in range(126)}).problem(400)
    s.patch(f"{things}/b", {f"k{i}": "" for i in range(125)}).must(200)
    s.patch(f"{things}/b", {"x": 5}).problem(400, field="x")
    s.patch(f"{things}/b", [{"x": "5"}]).problem(400)
    # A row that loses its optional key keeps its `_id`.
    s.patch(f"{things}/b", {"name": None}).must(200)
    assert "name" not in s.get(f"{things}/{row['_id']}").must(200).json


@shared
def delete_takes_the_row_once(s):
    things = make_list(s)
    row = s.post(things, {"name": "a"}).must(201).json
    s.delete(f"{things}/a").must(204)
    for name in ("a", row["_id"]):
        s.delete(f"{things}/{name}").problem(404)
        s.get(f"{things}/{name}").problem(404)
    assert s.post(things, {"name": "a"}).must(201).json["_id"] != row["_id"]


# ---- conditions -------------------------------------------------------------

@shared
def if_match_lets_only_the_seen_revision_be_changed(s):
    things = make_list(s)
    old = s.post(things, {"name": "a"}).must(201).etag
    new = s.patch(f"{things}/a", {"x": "1"}, {"If-Match": old}).must(200).etag
    for write in (lambda h: s.patch(f"{things}/a", {"x": "2"}, h),
                  lambda h: s.put(f"{things}/a", {"x": "2"}, h),
                  lambda h: s.post(f"{things}/a/move", {"to": "pool.roster"}, h),
                  lambda h: s.delete(f"{things}/a", headers=h)):
        write({"If-Match": old}).problem(412)
        # Strong comparison (RFC 9110 13.1.1): a weak tag never matches.
        write({"If-Match": "W/" + new}).must(400, 412)
    row = s.get(f"{things}/a").json
    assert row["x"] == "1" and f'"{row["_rev"]}"' == new
    new = s.patch(f"{things}/a", {"x": "3"},
                  {"If-Match": f'{old}, {new}'}).must(200).etag
    gz = new[:-1] + '-gz"'     # the tag of the compressed encoding (8.13)
    new = s.patch(f"{things}/a", {"x": "4"}, {"If-Match": gz}).must(200).etag
    new = s.patch(f"{things}/a", {"x": "5"}, {"If-Match": "*"}).must(200).etag
    s.delete(f"{things}/a", headers={"If-Match": new}).must(204)
    s.put(f"{things}/a", {"x": "6"}, {"If-Match": "*"}).problem(412)
    s.put(f"{things}/a", {"x": "6"}, {"If-Match": new}).problem(412)
    s.patch(f"{things}/a", {"x": "6"}, {"If-Match": new}).must(404, 412)
    assert s.rows(things) == []


@shared
def if_none_match_star_only_creates(s):
    things = make_list(s)
    create = {"If-None-Match": "*"}
    row = s.put(f"{things}/a", {"x": "1"}, create).must(201).json
    s.put(f"{things}/a", {"x": "2"}, create).problem(412)
    s.put(f"{things}/{row['_id']}", {"x": "2"}, create).problem(412)
    assert s.rows(things) == [row]


@shared
def an_unchanged_row_is_304(s):
    things = make_list(s)
    etag = s.post(things, {"name": "a"}).must(201).etag
    for tags in (etag, f'"0", {etag}', "*", "W/" + etag):
        a = s.get(f"{things}/a", headers={"If-None-Match": tags}).must(304)
        assert a.etag == etag
    s.get(f"{things}/a", headers={"If-None-Match": '"0"'}).must(200)


@shared
def conditions_that_are_no_etags_are_refused(s):
    things = make_list(s)
    s.post(things, {"name": "a"}).must(201)
    for bad in ("5", '"', '""', "a", '"x"', '"-1"', '"1" "2"'):
        s.patch(f"{things}/a", {"x": "1"}, {"If-Match": bad}).must(400, 412)
    assert "x" not in s.get(f"{things}/a").json


@shared
def of_many_writers_with_one_seen_revision_one_wins(s):
    things = make_list(s)
    etag = s.post(things, {"name": "a"}).must(201).etag

    def write(i):
        return s.client().patch(f"{things}/a", {"by": str(i)},
                                {"If-Match": etag}).must(200, 412).status
    assert in_threads(24, write).count(200) == 1
    create = in_threads(24, lambda i: s.client().put(
        f"{things}/b", {"by": str(i)}, {"If-None-Match": "*"}).must(
            201, 412).status)
    assert create.count(201) == 1
    post = in_threads(24, lambda i: s.client().post(
        things, {"name": "c", "by": str(i)}).must(201, 409).status)
    assert post.count(201) == 1
    assert sorted(listed(s, things)) == ["a", "b", "c"]


# ---- many at once -----------------------------------------------------------

@shared
def an_array_adds_all_its_rows_in_order_and_takes_a_range_of_revisions(s):
    things = make_list(s)
    before = s.revision()
    a = s.post(things, [{"name": f"n{i}"} for i in range(10)]).must(201)
    assert [r["name"] for r in a.json] == [f"n{i}" for i in range(10)], a
    assert [r["_rev"] for r in a.json] == list(range(before + 1, before + 11))
    assert a.revision == before + 10
    assert s.rows(things) == a.json
    a = s.post(things, [{"name": f"m{i}"} for i in range(1000)]).must(201)
    assert len(s.rows(things)) == 1010


@shared
def an_array_adds_all_or_nothing(s):
    things = make_list(s)
    holder = s.post(things, {"name": "taken"}).must(201).json
    before = s.revision()
    rows = [{"name": f"n{i}"} for i in range(5)]
    p = s.post(things, rows + [{"name": "taken"}] + rows[:1]).problem(409)
    assert p["index"] == 5 and p["holder"]["_id"] == holder["_id"], p
    p = s.post(things, rows + [{"name": "n3"}]).problem(409)
    assert p["index"] == 5, p
    p = s.post(things, rows[:3] + [{"name": 7}]).problem(400, field="[3].name")
    assert p["index"] == 3, p
    s.post(things, rows[:3] + [5]).problem(400)
    s.post(things, rows[:3] + [{}]).problem(400)
    s.post(things, []).problem(400)
    s.post(things, [{"x": "y"}] * 1001).problem(400, detail=re.compile("1000"))
    assert s.rows(things) == [holder] and s.revision() == before


@shared
def an_array_of_a_known_type_names_the_row_at_fault(s):
    machines = make_list(s, "machine")
    s.post(machines, [{"hostname": "a"}, {"name": "b"}]).problem(
        400, field="[1].hostname")
    assert s.rows(machines) == []


@shared
def a_list_put_replaces_the_whole_and_keeps_known_rows(s):
    things = make_list(s)
    a, b, c = s.post(things, [{"name": n, "v": "1"} for n in "abc"]).must(
        201).json
    before = s.revision()
    got = s.put(things, [{"name": "d"}, {"name": "c", "v": "2"},
                         {"name": "a", "v": "1"}]).must(200)
    now = {r["name"]: r for r in got.json}
    assert set(now) == {"a", "c", "d"}, got
    assert now["a"] == a                                  # equal: no change
    assert now["c"]["_id"] == c["_id"] and now["c"]["v"] == "2"
    assert now["c"]["_rev"] > before and now["d"]["_rev"] > before
    assert got.revision == before + 3                     # b gone, c, d
    assert got.etag == f'"{got.revision}"'
    assert s.get(things).body == got.body
    s.get(f"{things}/b").problem(404)
    # By `_id`, the key may change; two rows may trade their keys.
    got = s.put(things, [{"_id": a["_id"], "name": "c", "v": "1"},
                         {"_id": c["_id"], "name": "a", "v": "2"}]).must(200)
    assert {r["name"]: r["_id"] for r in got.json} == {
        "c": a["_id"], "a": c["_id"]}, got
    assert s.get(f"{things}/a").json["_id"] == c["_id"]
    assert b["_id"] not in got.body.decode()


@shared
def a_list_put_is_atomic_and_conditional(s):
    things = make_list(s)
    old = s.post(things, [{"name": "a"}, {"name": "b"}]).must(201)
    etag = s.get(things).etag
    for bad, field in (([{"name": "x"}, {"name": 5}], "[1].name"),
                       ([{"name": "x"}, {"_y": "1"}], "[1]._y")):
        s.put(things, bad).problem(400, field=field)
    p = s.put(things, [{"name": "x"}, {"name": "y"}, {"name": "x"}]).must(
        400, 409).json
    assert p["index"] == 2, p
    twice = [{"_id": old.json[0]["_id"], "name": "x"},
             {"_id": old.json[0]["_id"], "name": "y"}]
    s.put(things, twice).must(400, 409)
    s.put(things, {"name": "a"}).problem(400)
    assert s.get(things).json == old.json
    s.patch(f"{things}/a", {"v": "2"}).must(200)
    s.put(things, [], {"If-Match": etag}).problem(412)
    assert len(s.rows(things)) == 2
    etag = s.get(things).etag
    got = s.put(things, [], {"If-Match": etag}).must(200)
    assert got.json == [] and s.rows(things) == []


@shared
def a_list_put_may_be_larger_than_a_post(s):
    things = make_list(s)
    rows = [{"name": f"n{i}"} for i in range(3000)]
    assert len(s.put(things, rows).must(200).json) == 3000
    before = s.get(things)
    rows[1500]["v"] = "changed"
    assert s.put(things, rows).must(200).revision == before.revision + 1


# ---- paging and projection --------------------------------------------------

@shared
def pages_give_every_row_once_and_end(s):
    things = make_list(s)
    rows = s.post(things, [{"name": f"n{i}"} for i in range(25)]).must(201).json
    for limit, n_pages in ((1, 25), (7, 4), (24, 2), (25, 1), (26, 1),
                           (100000, 1)):
        items, pages = all_pages(s, f"{things}?limit={limit}")
        assert items == rows and pages == n_pages, (limit, pages)
    after = s.get(f"{things}?after={rows[20]['_id']}").must(200)
    assert after.json == rows[21:] and after.next() is None
    # The row to go on after may be gone meanwhile.
    s.delete(f"{things}/{rows[9]['_id']}").must(204)
    got = s.get(f"{things}?limit=5&after={rows[9]['_id']}").must(200)
    assert got.json == rows[10:15], got
    for bad in ("0", "-1", "x", "", "100001", "1e3", "99999999999999999999"):
        s.get(f"{things}?limit={bad}").problem(400, field="limit")
    for bad in ("x", "", "n3", "01ARZ3"):
        s.get(f"{things}?after={bad}").problem(400, field="after")


@shared
def fields_shows_only_what_was_asked_for(s):
    things = make_list(s)
    s.post(things, [{"name": "a", "x": "1", "y": "2"}, {"name": "b", "y": "3"},
                    {"é/ü": "4"}]).must(201)
    got = s.get(f"{things}?fields=x,y").must(200).json
    assert [without(r) for r in got] == [{"x": "1", "y": "2"}, {"y": "3"}, {}]
    assert all("_id" in r and "_rev" in r for r in got), got
    got = s.get(f"{things}?fields=%C3%A9%2F%C3%BC").must(200).json
    assert [without(r) for r in got] == [{}, {}, {"é/ü": "4"}], got
    one = s.get(f"{things}/a?fields=y").must(200).json
    assert without(one) == {"y": "2"}, one
    paged, _ = all_pages(s, f"{things}?fields=y&limit=1")
    assert [without(r) for r in paged] == [{"y": "2"}, {"y": "3"}, {}], paged


# ---- move and copy ----------------------------------------------------------

@shared
def a_move_keeps_the_id_and_changes_both_lists(s):
    things, to = make_list(s), make_ns(s)
    there = path("v1", "ns", to, "thing")
    row = s.post(things, {"name": "a", "x": "1"}).must(201).json
    tags = s.get(things).etag, s.get(there).etag
    a = s.post(f"{things}/a/move", {"to": to}).must(200)
    assert a.json["_id"] == row["_id"] and a.json["_rev"] > row["_rev"], a
    assert s.rows(things) == [] and s.rows(there) == [a.json]
    for target, etag in zip((things, there), tags):
        s.get(target, headers={"If-None-Match": etag}).must(200)
    s.get(f"{things}/a").problem(404)
    s.post(f"{things}/a/move", {"to": to}).problem(404)
    # Where it already is: nothing to do.
    before = s.revision()
    assert s.post(f"{there}/a/move", {"to": to}).must(200).json == a.json
    assert s.revision() == before


@shared
def a_copy_has_an_id_of_its_own(s):
    things, to = make_list(s), make_ns(s)
    there = path("v1", "ns", to, "thing")
    row = s.post(things, {"name": "a", "x": "1"}).must(201).json
    a = s.post(f"{things}/{row['_id']}/copy", {"to": to}).must(201)
    assert a.json["_id"] != row["_id"] and without(a.json) == without(row), a
    assert a.headers["location"] == f"{there}/{a.json['_id']}"
    assert s.rows(things) == [row] and s.rows(there) == [a.json]
    ns = things.split("/")[3]
    s.post(f"{things}/a/copy", {"to": ns}).problem(409)
    free = s.post(things, {"x": "no key"}).must(201).json
    s.post(f"{things}/{free['_id']}/copy", {"to": ns}).must(201)
    assert len(s.rows(things)) == 3


@shared
def a_move_that_cannot_be_changes_nothing(s):
    things, to = make_list(s), make_ns(s)
    there = path("v1", "ns", to, "thing")
    row = s.post(things, {"name": "a"}).must(201).json
    held = s.post(there, {"name": "a"}).must(201).json
    for verb in ("move", "copy"):
        s.post(f"{things}/a/{verb}", {"to": to}).problem(409)
        s.post(f"{things}/a/{verb}", {"to": "no.roster"}).problem(
            404, field="to")
        s.post(f"{things}/nobody/{verb}", {"to": to}).problem(404)
        for bad in (5, None, "", "Not A Path"):
            s.post(f"{things}/a/{verb}", {"to": bad}).must(400, 404)
        s.post(f"{things}/a/{verb}", {}).problem(400, field="to")
        s.post(f"{things}/a/{verb}", {"to": to, "x": "1"}).problem(
            400, field="x")
    assert s.rows(things) == [row] and s.rows(there) == [held]


# ---- types ------------------------------------------------------------------

@shared
def the_known_types_are_listed_and_a_new_one_can_be_defined(s):
    known = {t["name"]: t for t in s.get("/v1/types").must(200).json}
    for name in ("service", "check", "alert", "metric", "record", "vip",
                 "config", "webhook"):
        assert known[name]["key"] == "name" and known[name]["builtin"], known
    assert known["machine"]["key"] == "hostname"
    assert known["webhook"]["template"] is False
    s.get("/v1/types/disk").problem(404)
    body = {"key": "serial", "required": ["size"], "checks": {"size": "int"},
            "template": True, "secret": []}
    s.put("/v1/types/disk", body).must(201)
    s.put("/v1/types/disk", body).must(200)
    got = s.get("/v1/types/disk").must(200).json
    assert {k: got[k] for k in body} == body, got
    assert got["name"] == "disk" and got["builtin"] is False, got
    disks = make_list(s, "disk")
    s.post(disks, {"serial": "s1"}).problem(400, field="size")
    s.post(disks, {"serial": "s1", "size": "big"}).problem(400, field="size")
    s.post(disks, {"serial": "s1", "size": "5"}).must(201)
    s.post(disks, {"serial": "s1", "size": "6"}).problem(409)
    s.get(f"{disks}/s1").must(200)
    s.patch(f"{disks}/s1", {"size": None}).problem(400, field="size")
    s.put(f"{disks}/s2", {"size": "x"}).problem(400, field="size")
    s.put(f"{disks}/s2", {"size": "7"}).must(201)


@shared
def a_type_with_key_null_has_no_primary_key(s):
    s.put("/v1/types/event", {"key": None}).must(201)
    events = make_list(s, "event")
    ids = {s.post(events, {"name": "same"}).must(201).json["_id"]
           for _ in range(3)}
    assert len(ids) == 3
    s.get(f"{events}/same").problem(404)


@shared
def checks_name_the_field_and_take_what_is_right(s):
    good = {"int": ("0", "-5", "123"), "port": ("1", "65535"),
            "bool": ("true", "false"), "ip": ("10.0.0.1", "::1"),
            "ipv4": ("10.0.0.1",), "ipv6": ("fe80::1",),
            "cidr": ("10.0.0.0/8",), "hostname": ("a.b-c",),
            "url": ("http://a/b",), "weburl": ("https://a/b",),
            "types": ("a", "a, b-c"), "duration": ("5s",)}
    bad = {"int": ("", "x", "1.5"), "port": ("0", "65536", "-1", "x", ""),
           "bool": ("yes", ""), "ip": ("10.0.0.256", "x", ""),
           "ipv4": ("::1", "1.2.3"), "ipv6": ("1.2.3.4",),
           "cidr": ("10.0.0.0/33", "x"), "hostname": ("a b", ""),
           "url": ("nope", ""), "weburl": ("redis://a", ""),
           "types": ("A", "a,,b", "a,"), "duration": ("5", "x")}
    for kind in good:
        name = "ck" + kind
        s.put(f"/v1/types/{name}", {"checks": {"f": kind}}).must(201)
        rows = make_list(s, name)
        for value in good[kind]:
            s.post(rows, {"f": value}).must(201)
        for value in bad[kind]:
            s.post(rows, {"f": value}).problem(400, field="f")
        assert len(s.rows(rows)) == len(good[kind]), kind


@shared
def a_definition_that_makes_no_sense_is_400(s):
    for body, field in (({"key": 5}, "key"), ({"required": "x"}, "required"),
                        ({"checks": {"f": "nosuch"}}, "checks.f"),
                        ({"checks": []}, "checks"), ({"template": "x"},
                                                     "template"),
                        ({"secret": {}}, "secret"), ({"nonsense": 1},
                                                     "nonsense")):
        p = s.put("/v1/types/odd", body).problem(400)
        assert field in p.get("field", ""), (body, p)
    for body in ({"key": "_id"}, {"required": [5]}, {"required": ["_x"]},
                 {"secret": ["_rev"]}, [], "x", None):
        s.put("/v1/types/odd", body).problem(400)
    s.put("/v1/types/Odd", {}).problem(400)
    s.get("/v1/types/odd").problem(404)


@shared
def a_definition_that_existing_rows_violate_is_409_and_names_one(s):
    leaves = make_list(s, "rack")
    ns = leaves.split("/")[3]
    s.post(leaves, [{"name": "r1", "u": "42"}, {"name": "r2"}]).must(201)
    s.put("/v1/types/rack", {"required": ["u"]}).problem(409, ns=ns)
    s.put("/v1/types/rack", {"checks": {"u": "ip"}}).problem(409, ns=ns)
    s.put("/v1/types/rack", {"key": "u"}).problem(409)
    s.get("/v1/types/rack").problem(404)
    s.patch(f"{leaves}/r2", {"u": "1"}).must(200)
    s.put("/v1/types/rack", {"required": ["u"]}).must(201)
    s.post(leaves, {"name": "r3"}).problem(400, field="u")


@shared
def secret_fields_are_never_shown_again(s):
    s.put("/v1/types/login", {"secret": ["password"]}).must(201)
    logins = make_list(s, "login")
    ns = logins.split("/")[3]
    a = s.post(logins, {"name": "root", "password": "hunter2"}).must(201)
    assert a.json["password"] == "***", a
    seen = [a, s.get(f"{logins}/root"), s.get(logins),
            s.get(f"/v1/search?ns={ns}"), s.get(f"{logins}?fields=password"),
            s.patch(f"{logins}/root", {"x": "1"}).must(200)]
    assert not [a for a in seen if b"hunter2" in a.body]
    for v in ("hunter2", "hunt"):
        found = s.get(f"/v1/search?ns={ns}&v={v}&mode=contains").must(200)
        assert found.json == {}, found
    # Sending back what was read keeps the secret; a new one is a change.
    row = s.get(f"{logins}/root").json
    assert s.put(f"{logins}/root", row).must(200).json == row
    same = s.patch(f"{logins}/root", {"password": "hunter2"}).must(200).json
    assert same["_rev"] == row["_rev"], "the same secret is no change"
    new = s.patch(f"{logins}/root", {"password": "other"}).must(200).json
    assert new["_rev"] > row["_rev"] and new["password"] == "***", new
    hook = s.post(logins.replace("/login", "/webhook"),
                  {"name": "h", "url": "http://127.0.0.1:9/",
                   "secret": "hunter2"}).must(201)
    assert hook.json["secret"] == "***", hook
    moved = s.post(f"{logins}/root/move", {"to": make_ns(s)}).must(200).json
    assert moved["password"] == "***"


# ---- reading what was written -----------------------------------------------

@shared
def a_read_sees_the_revision_it_asks_for(s):
    things = make_list(s)
    for i in range(20):
        a = s.post(things, {"name": f"n{i}"}).must(201)
        got = s.client().get(things, headers={
            "Roster-Min-Revision": str(a.revision)}).must(200)
        assert len(got.json) == i + 1
    a = s.get(things, headers={
        "Roster-Min-Revision": str(s.revision() + 1000)})
    a.problem(503)
    assert int(a.headers["retry-after"]) >= 1, a.headers
    for bad in ("x", "-1", "", "1.5", "99999999999999999999"):
        s.get(things, headers={"Roster-Min-Revision": bad}).problem(400)


@shared
def linearizable_reads_answer_the_same(s):
    things = make_list(s)
    s.post(things, {"name": "a"}).must(201)
    for target in (things, things + "/a", "/v1/ns", "/v1/types",
                   "/v1/search?k=name&v=a"):
        sep = "&" if "?" in target else "?"
        local = s.get(f"{target}{sep}consistency=local").must(200)
        strong = s.get(f"{target}{sep}consistency=linearizable").must(200)
        assert local.body == strong.body, target
    s.get(things + "?consistency=strong").problem(400, field="consistency")


@shared
def an_unknown_parameter_is_400_at_its_name(s):
    things = make_list(s)
    s.post(things, {"name": "a"}).must(201)
    for method, target, body in (
            ("GET", things, None), ("GET", things + "/a", None),
            ("POST", things, {"name": "b"}), ("PUT", things, []),
            ("PUT", things + "/a", {"x": "1"}),
            ("PATCH", things + "/a", {"x": "1"}),
            ("DELETE", things + "/a", None),
            ("POST", things + "/a/copy", {"to": "pool.roster"})):
        args = () if body is None else (body,)
        s.call(method, target + "?limt=5", *args).problem(400, field="limt")
    row, = s.rows(things)
    assert without(row) == {"name": "a"}
    s.get(things + "/a?limit=5").problem(400, field="limit")  # not on one row
    s.post(things + "?recursive=true", {"name": "c"}).problem(400)


@shared
def a_masked_secret_needs_one_behind_it(s):
    """A PUT that created the row kept the mask as if it were a secret."""
    s.put("/v1/types/masked", {"secret": ["pw", "pin"], "required": ["pw"]}
          ).must(201)
    rows = path("v1", "ns", make_ns(s), "masked")
    kept = s.post(rows, {"name": "a", "pw": "1"}).must(201).json
    s.put(rows + "/new", {"pw": "***"}).problem(400)
    assert s.patch(rows + "/a", {"pin": "***"}).must(200).json == kept
    s.put(rows + "/a", {"pw": "***", "pin": "***"}).problem(400)
    s.put(rows, [kept, {"name": "new", "pw": "***"}]).problem(400, index=1)
    s.post("/v1/txn", {"do": [{"op": "put", "ns": rows.split("/")[3],
                               "type": "masked", "id": "new",
                               "resource": {"pw": "***"}}]}).problem(400)
    assert s.put(rows + "/a", kept).must(200).json == kept
    assert s.put(rows, [kept]).must(200).json == [kept]
    # Where nothing is secret, three stars are three stars.
    s.put(path("v1", "ns", make_ns(s), "plain", "a"), {"v": "***"}).must(201)


@shared
def a_condition_that_a_write_does_not_look_at_is_refused(s):
    """It was ignored, as if it held."""
    things = make_list(s)
    for header in ({"If-Match": '"1"'}, {"If-None-Match": "*"}):
        name = next(iter(header))
        s.post(things, {"name": "a"}, header).problem(400, field=name)
        s.post("/v1/txn", {"do": []}, header).problem(400, field=name)
        s.put("/v1/types/conditional", {}, header).problem(400, field=name)
    assert s.rows(things) == []


@shared
def a_refused_read_carries_no_etag(s):
    things = make_list(s)
    s.post(things, {"name": "a"}).must(201)
    s.get(things).must(200)
    for target, header in ((things, {"If-None-Match": "1"}),
                           (things + "/a", {"If-None-Match": "1"}),
                           (things + "/a?fields=", {})):
        a = s.get(target, headers=header)
        a.problem(400)
        assert a.etag is None, a.headers


@shared
def two_rows_of_one_put_that_stand_for_one_are_told_so(s):
    """The answer named a row of the list as in the way, to be changed first."""
    things = make_list(s)
    row = s.post(things, {"name": "a"}).must(201).json
    for body in ([{"name": "a"}, {"name": "a", "v": "1"}],
                 [{"_id": row["_id"], "name": "b"},
                  {"_id": row["_id"], "name": "c"}]):
        p = s.put(things, body).problem(409, index=1,
                                        detail=re.compile("of the request"))
        assert "holder" not in p, p
    assert s.rows(things) == [row]


@shared
def a_row_named_by_its_id_leaves_its_key_to_another_of_the_put(s):
    things = make_list(s)
    row = s.post(things, {"name": "a"}).must(201).json
    body = [{"_id": row["_id"], "name": "b"}, {"name": "a"}]
    old, new = s.put(things, body).must(200).json
    assert (old["_id"], old["name"]) == (row["_id"], "b"), old
    assert new["name"] == "a" and new["_id"] != row["_id"], new
