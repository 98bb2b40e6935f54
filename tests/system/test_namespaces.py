"""The tree of namespaces (BRIEF 4.1, 2)."""
import re
import time

from harness import (fresh_name, make_list, make_ns, path, shared, test,
                     without)

TREE = "/v1/ns"


def at(ns, *more, **query):
    return path("v1", "ns", ns, *more, **query)


def node_of(s, ns):
    return s.get(at(ns)).must(200).json


@test
def a_fresh_registry_has_the_root_and_the_pool(s):
    root = s.get(TREE).must(200).json
    assert (root["name"], root["ns"], root["kind"]) == ("roster", "roster",
                                                        "branch"), root
    assert [(c["name"], c["ns"], c["kind"]) for c in root["children"]] == [
        ("pool", "pool.roster", "leaf")], root
    flat = s.get(TREE + "?flat=true").must(200).json
    assert [n["ns"] for n in flat] == ["roster", "pool.roster"], flat
    assert all("children" not in n for n in flat), flat


@test(flags=("--domain", "fleet.example"))
def the_domain_may_have_several_labels(s):
    root = s.get(TREE).must(200).json
    assert (root["name"], root["ns"]) == ("fleet.example",) * 2, root
    ns = make_ns(s, parent="fleet.example", name="web")
    assert ns == "web.fleet.example"
    s.post(at(ns, "thing"), {"name": "a"}).must(201)
    s.get(at("example")).problem(404)
    s.get(at("web.roster")).problem(404)


@shared
def a_namespace_is_created_with_its_place_and_an_id_of_its_own(s):
    shop = make_ns(s, "branch")
    a = s.post(TREE, {"parent": shop, "name": "web", "kind": "leaf",
                      "match": "^web-[0-9]+$", "comment": "shops"}).must(201)
    node = a.json
    assert node["ns"] == f"web.{shop}" and node["name"] == "web", node
    assert node["kind"] == "leaf" and node["match"] == "^web-[0-9]+$", node
    assert node["comment"] == "shops" and isinstance(node["id"], int), node
    assert a.headers["location"] == at(f"web.{shop}"), a.headers
    assert node["revision"] == a.revision
    got = s.get(a.headers["location"]).must(200)
    assert got.etag == f'"{node["revision"]}"', got.headers
    assert without(got.json, "children", "types") == without(node, "children",
                                                             "types")
    other = s.post(TREE, {"parent": shop, "name": "db"}).must(201).json
    assert (other["kind"], other["match"], other["comment"]) == ("leaf", None, "")
    assert other["id"] != node["id"]


@shared
def names_are_dns_labels_and_anything_else_is_400_at_the_field_name(s):
    long = "a" * 63
    for good in ("a", "0", "a-b", long, "x" * 10 + "--y"):
        s.delete(at(make_ns(s, name=good))).must(204)
    bad = ["", "A", "a_b", "-a", "a-", "a.b", "a" * 64, "ä", "a b", "a\x00",
           "*", "a/b", "a\n"]
    for name in bad:
        s.post(TREE, {"parent": "roster", "name": name}).problem(400,
                                                                 field="name")
    for wrong in (7, None, True, [], {}):
        s.post(TREE, {"parent": "roster", "name": wrong}).problem(400,
                                                                  field="name")
    s.post(TREE, {"parent": "roster"}).problem(400, field="name")


@shared
def a_path_longer_than_253_is_400(s):
    parent, label = "roster", "x" * 63
    for _ in range(3):
        parent = make_ns(s, "branch", parent=parent, name=label)
    room = 253 - len(parent) - 1
    assert 0 < room < 63
    s.post(TREE, {"parent": parent, "name": "y" * (room + 1)}).problem(
        400, field="name")
    assert len(make_ns(s, parent=parent, name="y" * room)) == 253
    # A rename and a move of something above must not make it longer either.
    top = parent.split(".")[-2] + ".roster"
    other = make_ns(s, "branch")
    s.patch(at(top), {"parent": other}).problem(400)
    s.delete(at(top, recursive="true")).must(204)


@shared
def a_tree_may_be_as_deep_as_a_name_is_long(s):
    top = ns = make_ns(s, "branch", name="d")
    while len(ns) + 2 <= 253:
        ns = make_ns(s, "branch", parent=ns, name="d")
    depth, node = 0, s.get(TREE).must(200).json
    while node["children"]:
        node = next((c for c in node["children"] if c["name"] == "d"), None)
        if not node:
            break
        depth += 1
    assert depth == ns.count("."), (depth, ns)
    s.delete(at(top, recursive="true")).must(204)
    s.get(at(ns)).problem(404)


@shared
def what_cannot_be_created_is_refused_with_its_reason(s):
    shop = make_ns(s, "branch")
    leaf = make_ns(s, parent=shop, name="web")
    s.post(TREE, {"parent": shop, "name": "web"}).problem(
        409, detail=re.compile("web"))
    s.post(TREE, {"parent": leaf, "name": "x"}).problem(409)
    s.post(TREE, {"parent": "nowhere.roster", "name": "x"}).problem(
        404, field="parent")
    s.post(TREE, {"parent": "Not A Path", "name": "x"}).must(400, 404)
    for kind in ("tree", "", 5, None):
        s.post(TREE, {"parent": shop, "name": "x", "kind": kind}).problem(
            400, field="kind")
    for match in ("(", "[a", "a" * 5000, 5, {}):
        s.post(TREE, {"parent": shop, "name": "x", "match": match}).problem(
            400, field="match")
    s.post(TREE, {"parent": shop, "name": "x", "kind": "branch",
                  "match": "^a"}).problem(400, field="match")
    s.post(TREE, {"parent": shop, "name": "x", "color": "red"}).problem(
        400, field="color")
    s.post(TREE, {"parent": shop, "name": "x", "comment": 1}).problem(
        400, field="comment")
    for body in ([], "x", 5, None, True):
        s.post(TREE, body).problem(400)
    s.get(at(f"x.{shop}")).problem(404)


@shared
def the_tree_is_in_label_order_and_depth_limits_it(s):
    top = make_ns(s, "branch")
    for name in ("m", "z", "a", "10", "2"):
        make_ns(s, "branch", parent=top, name=name)
    make_ns(s, parent=f"m.{top}", name="leaf")

    def mine(node):
        return next(c for c in node["children"] if c["ns"] == top)
    whole = mine(s.get(TREE).must(200).json)
    assert [c["name"] for c in whole["children"]] == ["10", "2", "a", "m", "z"]
    assert whole["children"][3]["children"][0]["children"] == []
    assert "children" not in s.get(TREE + "?depth=0").must(200).json
    one = mine(s.get(TREE + "?depth=1").must(200).json)
    assert "children" not in one, one
    two = mine(s.get(TREE + "?depth=2").must(200).json)
    assert all("children" not in c for c in two["children"]), two
    flat = [n["ns"] for n in s.get(TREE + "?flat=true").must(200).json]
    begin = flat.index(top)
    assert flat[begin:begin + 7] == [
        top, f"10.{top}", f"2.{top}", f"a.{top}", f"m.{top}",
        f"leaf.m.{top}", f"z.{top}"], flat
    for bad in ("-1", "x", "", "1.5", "99999999999999999999"):
        s.get(TREE + "?depth=" + bad).problem(400, field="depth")
    s.get(TREE + "?flat=maybe").problem(400, field="flat")


@shared
def a_node_shows_its_children_and_counts_per_type(s):
    top = make_ns(s, "branch")
    leaf = make_ns(s, parent=top, name="l")
    make_ns(s, "branch", parent=top, name="b")
    s.post(at(leaf, "machine"), {"hostname": "m1"}).must(201)
    a = s.post(at(leaf, "thing"), [{"name": "a"}, {"name": "b"}]).must(201)
    types = node_of(s, leaf)["types"]
    assert types["thing"] == {"count": 2, "revision": a.revision}, types
    assert types["machine"]["count"] == 1, types
    children = node_of(s, top)["children"]
    assert [c["ns"] for c in children] == [f"b.{top}", leaf], children
    assert all("children" not in c for c in children)
    s.get(at("nothing.roster")).problem(404, ns="nothing.roster")


@shared
def an_unchanged_node_is_304(s):
    ns = make_ns(s)
    a = s.get(at(ns)).must(200)
    got = s.get(at(ns), headers={"If-None-Match": a.etag}).must(304)
    assert got.etag == a.etag
    s.patch(at(ns), {"comment": "new"}).must(200)
    s.get(at(ns), headers={"If-None-Match": a.etag}).must(200)


@shared
def a_rename_touches_no_resource_but_moves_every_list_revision(s):
    top = make_ns(s, "branch")
    leaf = make_ns(s, parent=top, name="web")
    row = s.post(at(leaf, "thing"), {"name": "a"}).must(201).json
    before = s.get(at(leaf, "thing")).must(200)
    old = node_of(s, top)
    new_name = fresh_name("renamed")
    a = s.patch(at(top), {"name": new_name}).must(200)
    new_top, new_leaf = f"{new_name}.roster", f"web.{new_name}.roster"
    assert a.json["ns"] == new_top and a.json["id"] == old["id"], a
    s.get(at(leaf)).problem(404)
    s.get(at(leaf, "thing")).problem(404)
    after = s.get(at(new_leaf, "thing"),
                  headers={"If-None-Match": before.etag}).must(200)
    assert after.json == [row], after
    assert int(after.etag.strip('"')) == a.revision > before.revision
    # The old name is free for another namespace.
    again = make_ns(s, "branch", name=old["name"])
    assert node_of(s, again)["id"] != old["id"]


@shared
def a_move_takes_the_subtree_along(s):
    one, two = make_ns(s, "branch"), make_ns(s, "branch")
    mid = make_ns(s, "branch", parent=one, name="mid")
    leaf = make_ns(s, parent=mid, name="web")
    row = s.post(at(leaf, "thing"), {"name": "a"}).must(201).json
    a = s.patch(at(mid), {"parent": two, "name": "middle"}).must(200)
    assert a.json["ns"] == f"middle.{two}", a
    assert s.rows(at(f"web.middle.{two}", "thing")) == [row]
    s.get(at(leaf)).problem(404)
    assert node_of(s, one)["children"] == []


@shared
def impossible_changes_are_refused_and_change_nothing(s):
    top = make_ns(s, "branch")
    sub = make_ns(s, "branch", parent=top, name="sub")
    leaf = make_ns(s, parent=top, name="leaf")
    before = s.get(TREE).json
    s.patch(at(top), {"parent": sub}).problem(409)      # below itself
    s.patch(at(top), {"parent": top}).problem(409)
    s.patch(at(sub), {"parent": leaf}).problem(409)     # below a leaf
    s.patch(at(sub), {"name": "leaf"}).problem(409)     # taken
    s.patch(at(sub), {"parent": "no.roster"}).problem(404, field="parent")
    s.patch(at(sub), {"name": "Bad"}).problem(400, field="name")
    s.patch(at(sub), {"name": None}).problem(400, field="name")
    s.patch(at(sub), {"kind": "leaf"}).problem(400, field="kind")
    s.patch(at(sub), {"id": 9}).problem(400, field="id")
    s.patch(at(sub), {"match": "x"}).problem(400, field="match")
    s.patch(at(leaf), {"match": "("}).problem(400, field="match")
    s.patch(at("no.roster"), {"comment": "x"}).problem(404)
    for body in ([], "x", 5, None):
        s.patch(at(leaf), body).problem(400)
    assert s.get(TREE).json == before


@shared
def the_root_and_the_pool_stay_what_they_are(s):
    for change in ({"name": "other"}, {"parent": "pool.roster"}):
        s.patch(at("roster"), change).must(400, 409)
        s.patch(at("pool.roster"), change).must(409)
    assert s.patch(at("roster"), {"comment": "top"}).must(
        200).json["comment"] == "top"
    assert s.patch(at("pool.roster"), {"match": "^x", "comment": "spare"}).must(
        200).json["match"] == "^x"
    s.patch(at("pool.roster"), {"match": None}).must(200)
    for ns in ("roster", "pool.roster"):
        s.delete(at(ns)).problem(409)
        s.delete(at(ns, recursive="true")).problem(409)


@shared
def null_in_a_patch_takes_the_match_and_the_comment_away(s):
    ns = make_ns(s, match="^a", comment="text")
    node = s.patch(at(ns), {"match": None}).must(200).json
    assert (node["match"], node["comment"]) == (None, "text"), node
    node = s.patch(at(ns), {"comment": None}).must(200).json
    assert node["comment"] == "", node


@shared
def a_patch_that_changes_nothing_takes_no_revision(s):
    ns = make_ns(s, match="^a", comment="text")
    before = s.get(at(ns))
    for same in ({}, {"comment": "text"}, {"match": "^a", "comment": "text"},
                 {"name": ns.split(".")[0], "parent": "roster"}):
        s.patch(at(ns), same).must(200)
    after = s.get(at(ns))
    assert (after.json, after.revision) == (before.json, before.revision)


@shared
def conditions_hold_on_namespaces_too(s):
    ns = make_ns(s)
    old = s.get(at(ns)).etag
    new = s.patch(at(ns), {"comment": "1"}, {"If-Match": old}).must(200).etag \
        or s.get(at(ns)).etag
    assert new != old
    s.patch(at(ns), {"comment": "2"}, {"If-Match": old}).problem(412)
    s.delete(at(ns), headers={"If-Match": old}).problem(412)
    assert node_of(s, ns)["comment"] == "1"
    s.delete(at(ns), headers={"If-Match": new}).must(204)


@shared
def only_an_empty_namespace_goes_without_recursive(s):
    top = make_ns(s, "branch")
    leaf = make_ns(s, parent=top, name="l")
    row = s.post(at(leaf, "thing"), {"name": "a"}).must(201).json
    s.delete(at(top)).problem(409)
    s.delete(at(leaf)).problem(409)
    s.delete(at(leaf, recursive="false")).problem(409)
    s.delete(at(leaf, recursive="perhaps")).problem(400, field="recursive")
    s.delete(at(leaf, "thing", row["_id"])).must(204)
    s.delete(at(leaf)).must(204)
    s.delete(at(leaf)).problem(404)
    make_ns(s, parent=top, name="l2")
    s.delete(at(top, recursive="true")).must(204)
    s.get(at(f"l2.{top}")).problem(404)
    branch = make_ns(s, "branch")
    s.post(at(branch, "thing"), {"name": "a template"}).must(201)
    s.delete(at(branch)).problem(409)   # a template is a resource too
    s.delete(at(branch, recursive="true")).must(204)


@shared
def a_recursive_delete_of_much_is_one_change_and_the_name_is_free_at_once(s):
    top = make_ns(s, "branch", name="big")
    for i in range(4):
        leaf = make_ns(s, parent=top, name=f"l{i}")
        s.post(at(leaf, "thing"), [{"name": f"n{j}"} for j in range(1000)]
               ).must(201)
    before = s.revision()
    a = s.delete(at(top, recursive="true")).must(204)
    assert a.revision == before + 1, (before, a.revision)
    assert make_ns(s, "branch", name="big") == top
    leaf = make_ns(s, parent=top, name="l0")
    assert s.rows(at(leaf, "thing")) == []
    assert s.get("/v1/search?type=thing&k=name&v=n7&ns=" + top).json == {}
    s.post(at(leaf, "thing"), {"name": "n0"}).must(201)


@test
def a_deleted_subtree_leaves_no_trace_once_it_is_reclaimed(s):
    """Reclaiming the children counted them down in their deleted parent, whose
    record was written with its name: the name came back and led nowhere."""
    before = s.get(TREE).must(200).json
    for _ in range(2):
        top = make_ns(s, "branch", name="gone")
        for i in range(3):
            leaf = make_ns(s, parent=top, name=f"l{i}")
            s.post(at(leaf, "thing"), [{"name": f"n{j}"} for j in range(50)]
                   ).must(201)
        s.delete(at(top, recursive="true")).must(204)
        for _ in range(8):
            assert s.get(TREE).must(200).json == before
            s.get(at(top)).problem(404)
            time.sleep(0.1)
    s.restart()
    assert s.get(TREE).must(200).json == before


@shared
def an_old_list_revision_never_comes_back_with_a_new_namespace(s):
    ns = make_ns(s, name="phoenix")
    s.post(at(ns, "thing"), {"name": "a"}).must(201)
    old = s.get(at(ns, "thing")).etag
    s.delete(at(ns, recursive="true")).must(204)
    make_ns(s, name="phoenix")
    got = s.get(at(ns, "thing"), headers={"If-None-Match": old}).must(200)
    assert int(got.etag.strip('"')) > int(old.strip('"')), got.headers


@shared
def a_new_leaf_starts_with_copies_of_the_templates_above_it(s):
    top = make_ns(s, "branch")
    mid = make_ns(s, "branch", parent=top, name="mid")
    far = s.post(at(top, "config"), {"name": "ntp", "server": "far"}).must(201)
    s.post(at(top, "config"), {"name": "dns", "server": "9.9.9.9"}).must(201)
    s.post(at(mid, "config"), {"name": "ntp", "server": "near"}).must(201)
    s.post(at(mid, "note"), {"text": "has no key"}).must(201)
    leaf = make_ns(s, parent=mid, name="l")
    got = {r["name"]: r for r in s.rows(at(leaf, "config"))}
    assert {n: r["server"] for n, r in got.items()} == {
        "ntp": "near", "dns": "9.9.9.9"}, got
    assert got["ntp"]["_id"] != far.json["_id"]
    assert [r["text"] for r in s.rows(at(leaf, "note"))] == ["has no key"]
    # Copies, not references; and branches get none.
    s.patch(at(mid, "config", "ntp"), {"server": "changed"}).must(200)
    assert s.get(at(leaf, "config", "ntp")).json["server"] == "near"
    branch = make_ns(s, "branch", parent=mid, name="b")
    assert s.rows(at(branch, "config")) == []
    # The copies of one creation take consecutive revisions, its answer the last.
    a = s.post(TREE, {"parent": mid, "name": "l2"}).must(201)
    revs = [r["_rev"] for t in ("config", "note")
            for r in s.rows(at(f"l2.{mid}", t))]
    assert max(revs + [a.json["revision"]]) == a.revision
    assert len(set(revs)) == 3, revs


@shared
def a_webhook_in_a_branch_is_no_template(s):
    top = make_ns(s, "branch")
    s.post(at(top, "webhook"), {"name": "w", "url": "http://127.0.0.1:9/"}
           ).must(201)
    leaf = make_ns(s, parent=top, name="l")
    assert s.rows(at(leaf, "webhook")) == []
    assert len(s.rows(at(top, "webhook"))) == 1


@shared
def bad_paths_are_400_or_404_and_name_the_namespace(s):
    for ns in ("Roster", "a..roster", ".roster", "roster.", "a_b.roster",
               "pool.roster.", "-x.roster", "ä.roster", "x" * 300):
        s.get(at(ns)).must(400, 404)
        s.get(at(ns, "thing")).must(400, 404)
    for ns in ("pool", "roster.pool", "pool.other"):
        s.get(at(ns)).problem(404)


@shared
def lists_of_namespaces_that_do_not_exist_are_404_never_empty(s):
    gone = make_list(s)
    ns = gone.split("/")[3]
    s.delete(at(ns)).must(204)
    s.get(gone).problem(404, ns=ns)
    s.post(gone, {"name": "a"}).problem(404, ns=ns)
    s.put(gone, []).problem(404, ns=ns)
