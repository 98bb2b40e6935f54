"""Idempotency-Key (BRIEF 4.2, 8.6): repeating a write is not doing it twice."""
from harness import (Server, bare, in_threads, make_list, make_ns, path, shared,
                     without)


def key(text):
    return {"Idempotency-Key": text}


def replayed(answer):
    return answer.headers.get("idempotent-replayed") == "true"


@shared
def a_repeated_post_gives_the_first_answer_and_one_row(s):
    things = make_list(s)
    first = s.post(things, {"x": "1"}, key("post-1")).must(201)
    assert not replayed(first)
    for _ in range(3):
        again = s.post(things, {"x": "1"}, key("post-1")).must(201)
        assert replayed(again), again.headers
        assert again.json == first.json, again
        assert again.etag == first.etag
        assert again.headers["location"] == first.headers["location"]
    assert s.rows(things) == [first.json]
    assert s.client().post(things, {"x": "1"}, key("post-1")).must(
        201).json == first.json


@shared
def every_kind_of_write_can_be_repeated(s):
    top = make_ns(s, "branch")
    ns, to = make_ns(s, parent=top, name="ns"), make_ns(s, parent=top, name="to")
    things = path("v1", "ns", ns, "thing")
    writes = [
        ("POST", things, {"name": "a"}),
        ("POST", things, [{"name": "b"}, {"name": "c"}, {"x": "free"}]),
        ("PUT", things + "/d", {"x": "1"}),
        ("PATCH", things + "/d", {"x": "2"}),
        ("POST", things + "/d/copy", {"to": to}),
        ("POST", things + "/a/move", {"to": to}),
        ("DELETE", things + "/b", None),
        ("POST", "/v1/txn", {"do": [{"op": "put", "ns": ns, "type": "thing",
                                     "resource": {"x": "free too"}}]}),
        ("PUT", things, [{"name": "only"}]),
        ("POST", "/v1/ns", {"parent": top, "name": "born"}),
        ("PATCH", path("v1", "ns", f"born.{top}"), {"name": "renamed"}),
        ("PUT", "/v1/types/idem", {"key": "serial"}),
        ("POST", "/v1/agents", {"hostname": "idem-1"}),
        ("DELETE", "/v1/agents/idem-1", None),
        ("DELETE", path("v1", "ns", top, recursive="true"), None)]
    for i, (method, target, body) in enumerate(writes):
        args = (target,) if body is None else (target, body)
        first = s.call(method, *args, headers=key(f"kind-{i}")).must(
            200, 201, 204)
        after = s.revision()
        again = s.call(method, *args, headers=key(f"kind-{i}"))
        assert again.status == first.status, (method, target, first, again)
        assert replayed(again), (method, target, again.headers)
        assert s.revision() == after, (method, target, "was done twice")
        if method == "POST" and isinstance(body, list):
            assert [r["_id"] for r in again.json] == [r["_id"]
                                                      for r in first.json]


@shared
def a_key_belongs_to_one_request(s):
    things = make_list(s)
    s.post(things, {"name": "a"}, key("mine")).must(201)
    for method, target, body in (("POST", things, {"name": "b"}),
                                 ("POST", things, [{"name": "a"}]),
                                 ("PUT", things + "/a", {"name": "a"}),
                                 ("POST", make_list(s), {"name": "a"}),
                                 ("PATCH", things + "/a", {"name": "a"})):
        s.call(method, target, body, key("mine")).problem(422)
    s.delete(things + "/a", headers=key("mine")).problem(422)
    assert [without(r) for r in s.rows(things)] == [{"name": "a"}]


@shared
def a_refusal_is_remembered_too(s):
    things = make_list(s)
    holder = s.post(things, {"name": "a"}).must(201).json
    s.post(things, {"name": "a"}, key("refused")).problem(409)
    s.delete(f"{things}/{holder['_id']}").must(204)
    # Decided once: whoever repeats hears what was decided then.
    s.post(things, {"name": "a"}, key("refused")).must(409)
    assert s.rows(things) == []
    s.post(things, {"name": "a"}, key("another")).must(201)


@shared
def a_request_that_was_never_a_write_leaves_its_key_free(s):
    things = make_list(s)
    s.post(things, {"name": 5}, key("typo")).problem(400)
    s.post(things, {"name": "5"}, key("typo")).must(201)
    s.post(things.replace("thing", "Thing"), {"a": "b"}, key("typo2")).must(400)
    s.post(things, {"a": "b"}, key("typo2")).must(201)


@shared
def a_repeat_after_the_row_is_gone_creates_nothing(s):
    things = make_list(s)
    first = s.post(things, {"name": "a"}, key("gone")).must(201)
    s.delete(f"{things}/a").must(204)
    again = s.post(things, {"name": "a"}, key("gone")).must(201)
    assert replayed(again)
    assert again.headers.get("location") == first.headers["location"]
    assert s.rows(things) == []


@shared
def a_key_is_1_to_255_visible_characters(s):
    things = make_list(s)
    s.post(things, {"x": "1"}, key("k" * 255)).must(201)
    s.post(things, {"x": "1"}, key("!~\"'{}")).must(201)
    for bad in ("", "k" * 256, "a b", "a\tb", "é", "\x7f"):
        s.post(things, {"x": "1"}, key(bad)).problem(400)
    assert len(s.rows(things)) == 2


@shared
def the_same_request_from_many_at_once_is_done_once(s):
    things = make_list(s)
    ids = in_threads(48, lambda i: s.client().post(
        things, {"x": "1"}, key("stampede")).must(201).json["_id"])
    assert len(set(ids)) == 1 and len(s.rows(things)) == 1


@bare
def keys_survive_kill_9_and_a_stop():
    with Server() as s:
        things = make_list(s)
        first = s.post(things, [{"x": "1"}, {"x": "2"}], key("kept")).must(201)
        s.restart()
        again = s.post(things, [{"x": "1"}, {"x": "2"}], key("kept")).must(201)
        assert replayed(again) and again.json == first.json, again
        assert s.stop() == 0
        s.start()
        again = s.post(things, [{"x": "1"}, {"x": "2"}], key("kept")).must(201)
        assert again.json == first.json and len(s.rows(things)) == 2
        s.post(things, [{"x": "3"}], key("kept")).problem(422)


@shared
def a_namespace_that_has_gone_since_is_still_answered_with_json(s):
    """The answer had no body, and called that JSON."""
    body = {"parent": "roster", "name": "passing"}
    made = s.post("/v1/ns", body, key("passing-1")).must(201).json
    changed = s.patch("/v1/ns/passing.roster", {"comment": "c"},
                      key("passing-2")).must(200).json
    s.delete("/v1/ns/passing.roster").must(204)
    again = s.post("/v1/ns", body, key("passing-1")).must(201)
    assert replayed(again), again.headers
    assert again.json == {"id": made["id"], "revision": made["revision"]}, again
    again = s.patch("/v1/ns/passing.roster", {"comment": "c"},
                    key("passing-2")).must(200)
    assert replayed(again), again.headers
    assert again.json == {"id": made["id"], "revision": changed["revision"]}
