"""Who asks, and what he may: tokens, roles, users, groups, as seen from outside.
What each operation needs is test_access_matrix.py's."""
import contextlib
import os
import re
import signal
import stat
import time

from cluster import Cluster
from harness import Server, bare, make_ns, path, shared, test, until

ACCESS = ("--access",)
TOKEN = re.compile(r"rst_[0-7][0-9A-HJKMNP-TV-Z]{25}_[A-Za-z0-9_-]{43}\Z")


def make_token(s, **body):
    """Its text, and all that was answered."""
    a = s.post("/v1/tokens", body).must(201)
    made = a.json
    assert TOKEN.match(made["token"]) and made["id"] in made["token"], a
    assert a.headers["location"] == "/v1/tokens/" + made["id"], a.headers
    return made["token"], made


def as_who(s, token):
    return s.client(token=token)


def make_user(s, name, *roles, **more):
    """His client."""
    s.put(path("v1", "users", name), {"roles": list(roles), **more}).must(201)
    return as_who(s, make_token(s, user=name)[0])


def make_keeper(s, name, *rules):
    """A caller who keeps access, and may besides what the rules say."""
    s.put(path("v1", "roles", name), {"rules": [
        {"allow": ["*"], "types": ["@access"]}, *rules]}).must(201)
    return as_who(s, make_token(s, name=name, roles=[name])[0])


# ---- tokens -----------------------------------------------------------------

@shared(flags=ACCESS)
def a_token_is_shown_once(s):
    text, made = make_token(s, name="ci", roles=["reader"], ttl="1h")
    assert made["kind"] == "bearer" and made["roles"] == ["reader"], made
    assert made["expires_ms"] - made["created_ms"] == 3600_000, made
    one = s.get("/v1/tokens/" + made["id"]).must(200)
    assert one.json == {k: v for k, v in made.items() if k != "token"}, one
    assert one.etag == f'"{made["rev"]}"', one.headers
    assert one.json in s.get("/v1/tokens").must(200).json
    secret = text.rsplit("_", 1)[1] if text.count("_") == 2 else text[31:]
    for target in ("/v1/tokens", "/v1/tokens/" + made["id"], "/metrics",
                   "/v1/whoami"):
        assert secret not in s.get(target).must(200).body.decode(), target


@shared(flags=ACCESS)
def who_repeats_the_making_of_a_token_is_not_shown_it(s):
    headers = {"Idempotency-Key": "make-one"}
    body = {"name": "again", "roles": ["reader"]}
    first = s.post("/v1/tokens", body, headers).must(201).json
    again = s.post("/v1/tokens", body, headers).must(201)
    assert again.headers["idempotent-replayed"] == "true", again.headers
    assert again.json["token"] is None and "once" in again.json["note"], again
    assert again.json["id"] == first["id"] and again.json["rev"] == first["rev"]
    assert again.headers["location"] == "/v1/tokens/" + first["id"]
    names = [t["name"] for t in s.get("/v1/tokens").json]
    assert names.count("again") == 1, names
    s.post("/v1/tokens", {**body, "ttl": "1h"}, headers).problem(422)


@shared(flags=ACCESS)
def a_token_that_is_over_is_nobodys(s):
    text, made = make_token(s, roles=["reader"], ttl="1s")
    c = as_who(s, text)
    end = made["expires_ms"] / 1000
    if time.time() < end - 0.2:
        c.get("/v1/ns").must(200)
    until(lambda: time.time() > end)
    c.get("/v1/ns").problem(401)
    until(lambda: s.get("/v1/tokens/" + made["id"]).status == 404)


@shared(flags=ACCESS)
def what_is_shown_wrongly_is_nobodys_whatever_is_wrong(s):
    text, made = make_token(s, roles=["reader"])
    other = text[:-1] + ("A" if text[-1] != "A" else "B")
    s.delete("/v1/tokens/" + made["id"]).must(204)
    seen = set()
    for shown in (text, other, "rst_", "x", text + "A",
                  "rst_" + "0" * 26 + "_" + "A" * 43):
        a = as_who(s, shown).get("/v1/ns")
        a.problem(401)
        assert a.headers["www-authenticate"] == 'Bearer realm="roster"'
        seen.add(a.json["detail"])
    nobody = s.client(token=None).get("/v1/ns")
    assert seen == {nobody.problem(401)["detail"]}, seen
    s.client(token=None).get("/readyz").must(200)


@shared(flags=ACCESS)
def what_can_be_no_token_is_refused_with_a_reason(s):
    cases = [({}, "roles"), ({"roles": "reader"}, "roles"),
             ({"roles": ["nobody-defined-it"]}, "roles[0]"),
             ({"roles": ["reader@elsewhere"]}, "roles[0]"),
             ({"roles": ["reader"], "ttl": "soon"}, "ttl"),
             ({"roles": ["reader"], "ttl": "0"}, "ttl"),
             ({"roles": ["reader"], "kind": "node"}, "kind"),
             ({"roles": ["reader"], "user": "nobody"}, "user"),
             ({"roles": ["agent"], "kind": "join", "hosts": "("}, "hosts"),
             ({"roles": ["reader"], "colour": "red"}, "colour")]
    for body, field in cases:
        s.post("/v1/tokens", body).problem(400, field=field)
    s.post("/v1/tokens", {"roles": ["reader"], "reusable": True}).problem(400)
    s.post("/v1/tokens", {"roles": ["reader"], "name": "x" * 64}).problem(400)
    s.get("/v1/tokens/short").problem(400)
    s.get("/v1/tokens/" + "0" * 26).problem(404)
    _, made = make_token(s, kind="join", hosts="^web-")
    assert made["kind"] == "join" and made["roles"] == ["agent"], made
    assert made["hosts"] == "^web-" and made["reusable"] is False, made
    assert made["expires_ms"] is not None, made


@shared(flags=ACCESS)
def lists_come_in_pages(s):
    for i in range(5):
        make_token(s, name=f"page-{i}", roles=["reader"])
        s.put(path("v1", "roles", f"page-{i}"), {"rules": []}).must(201)
    for target, key in (("/v1/tokens", "id"), ("/v1/roles", "name")):
        whole = [x[key] for x in s.get(target).must(200).json]
        assert whole == sorted(whole) and len(whole) >= 5, whole
        got, at = [], target + "?limit=2"
        while at:
            a = s.get(at).must(200)
            assert len(a.json) <= 2
            got += [x[key] for x in a.json]
            at = a.next()
        assert got == whole, (got, whole)


# ---- nobody gives what he has not -------------------------------------------

@shared(flags=ACCESS)
def nobody_gives_more_than_he_has(s):
    shop = make_ns(s, "branch", name="escalate")
    keeper = make_keeper(s, "keeper", {
        "allow": ["read"], "types": ["service"], "ns": shop})
    rule = {"allow": ["read"], "types": ["service"], "ns": shop}
    more = [{"allow": ["read", "create"], "types": ["service"], "ns": shop},
            {"allow": ["read"], "types": ["*"], "ns": shop},
            {"allow": ["read"], "types": ["service"]},
            {"allow": ["read"], "types": ["@admin"]}]
    keeper.put("/v1/roles/less", {"rules": [rule]}).must(201)
    for wrong in more:
        keeper.put("/v1/roles/more", {"rules": [rule, wrong]}).problem(403)
    keeper.put("/v1/roles/less", {"rules": more[:1]}).problem(403)
    for roles in (["admin"], ["reader"], ["less", "operator"],
                  [f"reader@{shop}"]):
        keeper.post("/v1/tokens", {"roles": roles}).problem(403)
        keeper.put("/v1/users/eve", {"roles": roles}).problem(403)
        keeper.put("/v1/groups/eves", {"roles": roles}).problem(403)
    keeper.post("/v1/tokens", {"roles": ["less", "keeper"]}).must(201)
    keeper.put("/v1/users/eve", {"roles": ["less"]}).must(201)
    keeper.put("/v1/groups/eves", {"roles": ["less"], "members": ["eve"]}
               ).must(201)
    # Not by way of others either: a group that gives more, a user who has more.
    s.put("/v1/groups/admins", {"roles": ["admin"]}).must(201)
    keeper.put("/v1/groups/admins/members/eve").problem(403)
    s.put("/v1/users/root", {"roles": ["admin"]}).must(201)
    keeper.post("/v1/tokens", {"user": "root"}).problem(403)
    keeper.put("/v1/users/root", {"roles": ["admin"],
                                  "password": "taken over"}).problem(403)
    s.put("/v1/groups/admins/members/root").must(200)
    keeper.put("/v1/users/root", {"roles": [], "password": "taken over"}
               ).problem(403)   # he would still be in the group


def ask_to_restore(s, *headers, n=200 << 20):
    """What is said to who sends the head of a state file, and no more."""
    length = [("Transfer-Encoding", "chunked")] if n is None else [
        ("Content-Length", n)]
    lines = ["POST /v1/admin/restore HTTP/1.1", "Host: x"]
    lines += [f"{k}: {v}" for k, v in [*headers, *length]]
    with s.wire() as w:
        w.send("\r\n".join(lines).encode() + b"\r\n\r\n")
        return w.answer_within(5, "POST")


@shared(flags=ACCESS)
def a_file_of_who_may_not_restore_is_not_taken(s):
    reader, _ = make_token(s, roles=["reader"])
    for n in (200 << 20, None):
        assert ask_to_restore(s, n=n).status == 401
        assert ask_to_restore(
            s, ("Authorization", "Bearer " + reader), n=n).status == 403
    assert ask_to_restore(s, ("Expect", "100-continue"), n=10).status == 401
    assert ask_to_restore(s, ("Authorization", "Bearer " + s.admin_token())) \
        == "silent"
    # What fits into a few packets is thrown away, and the connection goes on.
    c = s.client(token=None)
    c.post("/v1/admin/restore", raw=b"x" * 100000).problem(401)
    c.put(path("v1", "types", "t"), raw=b"x" * 100000).problem(401)
    c.get("/livez").must(200)


@shared(flags=ACCESS)
def agents_and_join_tokens_make_none(s):
    text, _ = make_token(s, kind="join", roles=["agent", "admin"])
    as_who(s, text).post("/v1/tokens", {"roles": ["agent"]}).problem(403)
    text, made = make_token(s, kind="join")
    as_who(s, text).post("/v1/agents", {"hostname": "bound-1"}).must(201)
    as_who(s, text).post("/v1/tokens", {"roles": ["agent"]}).problem(403)


# ---- users ------------------------------------------------------------------

@shared(flags=ACCESS)
def a_user_keeps_tokens_of_his_own(s):
    ann = make_user(s, "own-ann", "operator")
    bob = make_user(s, "own-bob", "operator")
    mine = ann.post("/v1/tokens", {"user": "own-ann", "name": "mine"}
                    ).must(201).json
    ann.post("/v1/tokens", {"roles": ["reader"]}).problem(403)
    ann.post("/v1/tokens", {"user": "own-bob"}).problem(403)
    assert {t["user"] for t in ann.get("/v1/tokens").must(200).json} == {
        "own-ann"}
    ann.get("/v1/tokens/" + mine["id"]).must(200)
    # Who may not see it learns nothing of whether it is there.
    there = bob.get("/v1/tokens/" + mine["id"]).problem(403)["detail"]
    assert there == bob.get("/v1/tokens/" + "0" * 26).problem(403)["detail"]
    bob.delete("/v1/tokens/" + mine["id"]).problem(403)
    ann.delete("/v1/tokens/" + mine["id"]).must(204)
    as_who(s, mine["token"]).get("/v1/whoami").problem(401)
    assert [u["name"] for u in ann.get("/v1/users").json] == ["own-ann"]
    ann.get("/v1/users/own-bob").problem(403)
    assert ann.get("/v1/users/own-ann").must(200).json["roles"] == ["operator"]


@shared(flags=ACCESS)
def a_token_that_is_limited_makes_none_that_is_not(s):
    ann = make_user(s, "limited", "operator")
    low = ann.post("/v1/tokens", {"user": "limited", "roles": ["reader"]}
                   ).must(201).json
    c = as_who(s, low["token"])
    c.get("/v1/ns").must(200)
    c.post("/v1/ns", {"parent": "roster", "name": "no"}).problem(403)
    c.post("/v1/tokens", {"user": "limited"}).problem(403)
    c.post("/v1/tokens", {"user": "limited", "roles": ["operator"]}
           ).problem(403)
    c.post("/v1/tokens", {"user": "limited", "roles": ["reader"]}).must(201)
    whole = ann.get("/v1/whoami").must(200).json
    c.delete("/v1/tokens/" + whole["id"]).problem(403)
    who = c.get("/v1/whoami").must(200).json
    assert who["limits"] == ["reader"] and who["roles"] == ["operator"], who
    c.delete("/v1/tokens/" + low["id"]).must(204)


@shared(flags=ACCESS)
def with_a_user_goes_all_that_was_his(s):
    ann = make_user(s, "leaver", "reader")
    s.put("/v1/groups/team", {"roles": ["operator"], "members": ["leaver"],
                              "managers": ["leaver"]}).must(201)
    ann.get("/v1/ns").must(200)
    assert s.get("/v1/users/leaver").json["groups"] == ["team"]
    s.delete("/v1/users/leaver").must(204)
    ann.get("/v1/ns").problem(401)
    team = s.get("/v1/groups/team").must(200).json
    assert team["members"] == [] and team["managers"] == [], team
    assert not [t for t in s.get("/v1/tokens").json if t["user"] == "leaver"]
    again = s.put("/v1/users/leaver", {}).must(201).json
    assert again["groups"] == [] and again["roles"] == [], again
    ann.get("/v1/ns").problem(401)
    s.delete("/v1/users/nobody").problem(404)


@shared(flags=ACCESS)
def who_is_disabled_is_nobody_until_he_is_not(s):
    ann = make_user(s, "paused", "reader")
    s.put("/v1/users/paused", {"roles": ["reader"], "disabled": True}).must(200)
    ann.get("/v1/ns").problem(401)
    s.put("/v1/users/paused", {"roles": ["reader"]}).must(200)
    ann.get("/v1/ns").must(200)


@shared(flags=ACCESS)
def a_user_is_put_as_he_was_read(s):
    make_user(s, "reread", "reader", comment="of the shop", password="long enough")
    a = s.get("/v1/users/reread").must(200)
    assert "password" not in a.json, a
    same = s.put("/v1/users/reread", a.json).must(200)
    assert same.json == a.json and same.etag == a.etag, same
    s.put("/v1/users/reread", {**a.json, "comment": "x"},
          {"If-Match": '"1"'}).problem(412, revision=a.json["rev"])
    b = s.put("/v1/users/reread", {**a.json, "comment": "x"},
              {"If-Match": a.etag}).must(200)
    assert b.json["rev"] > a.json["rev"], b
    s.put("/v1/users/reread", {}, {"If-None-Match": "*"}).problem(412)
    s.put("/v1/users/reread", {"name": "other"}).problem(400, field="name")
    s.put("/v1/users/reread", {"password": "long enough"},
          {"Idempotency-Key": "k"}).problem(400, field="Idempotency-Key")
    s.put("/v1/users/reread", {"password": "short"}).problem(
        400, field="password")
    s.put("/v1/users/reread", {"source": "ldap", "password": "long enough"}
          ).problem(400, field="password")
    s.put("/v1/users/" + "x" * 64, {}).problem(400)


# ---- groups -----------------------------------------------------------------

@shared(flags=ACCESS)
def managers_say_who_is_in_their_group_and_no_more(s):
    boss = make_user(s, "boss", "reader")
    new = make_user(s, "new")
    s.put("/v1/groups/crew", {"roles": ["operator"], "managers": ["boss"]}
          ).must(201)
    s.put("/v1/groups/others", {"roles": ["reader"]}).must(201)
    new.post("/v1/ns", {"parent": "roster", "name": "crew"}).problem(403)
    added = boss.put("/v1/groups/crew/members/new").must(200)
    assert added.json["members"] == ["new"], added
    assert boss.put("/v1/groups/crew/members/new").must(200).etag == added.etag
    new.post("/v1/ns", {"parent": "roster", "name": "crew"}).must(201)
    assert [g["name"] for g in boss.get("/v1/groups").json] == ["crew"]
    boss.get("/v1/groups/crew").must(200)
    boss.get("/v1/groups/others").problem(403)
    boss.get("/v1/groups/nothing").problem(403)
    boss.put("/v1/groups/others/members/new").problem(403)
    boss.put("/v1/groups/crew", {"roles": ["admin"]}).problem(403)
    boss.delete("/v1/groups/crew").problem(403)
    new.put("/v1/groups/crew/members/boss").problem(403)
    boss.put("/v1/groups/crew/members/nobody").problem(404)
    boss.delete("/v1/groups/crew/members/new").must(204)
    boss.delete("/v1/groups/crew/members/new").problem(404)
    new.post("/v1/ns", {"parent": "roster", "name": "crew2"}).problem(403)
    s.put("/v1/groups/none", {"members": ["nobody"]}).problem(
        400, field="members[0]")


@shared(flags=ACCESS)
def a_group_that_grows_too_large_is_refused(s):
    names = [f"member-with-a-long-name-{i:03}" for i in range(200)]
    for name in names:
        s.put(path("v1", "users", name), {}).must(201)
    s.put("/v1/groups/large", {"members": names[:100]}).must(201)
    s.put("/v1/groups/large", {"members": names}).problem(
        400, detail=re.compile("4096"))


# ---- roles ------------------------------------------------------------------

@shared(flags=ACCESS)
def a_role_acts_as_it_is_now(s):
    s.put("/v1/roles/changing", {"rules": [
        {"allow": ["read"], "types": ["*", "@ns"]}]}).must(201)
    c = as_who(s, make_token(s, roles=["changing"])[0])
    c.get("/v1/ns").must(200)
    a = s.put("/v1/roles/changing", {"rules": []}).must(200)
    c.get("/v1/ns").problem(403)
    s.put("/v1/roles/changing", a.json, {"If-Match": '"1"'}).problem(412)
    s.put("/v1/roles/changing", {**a.json, "rules": [
        {"allow": ["read"], "types": ["*", "@ns"]}]}, {"If-Match": a.etag}
        ).must(200)
    c.get("/v1/ns").must(200)
    s.delete("/v1/roles/changing").must(204)
    c.get("/v1/ns").problem(403)
    assert c.get("/v1/whoami").must(200).json["rules"] == []


@shared(flags=ACCESS)
def built_in_roles_stay_as_they_are(s):
    for name in ("reader", "agent", "operator", "admin"):
        a = s.get("/v1/roles/" + name).must(200)
        assert a.json["builtin"] and a.json["rev"] == 0, a
        s.put("/v1/roles/" + name, {"rules": []}).problem(409)
        s.delete("/v1/roles/" + name).problem(409)
    for wrong, field in (
            ({}, "rules"), ({"rules": [{}]}, None),
            ({"rules": [{"allow": ["fly"], "types": ["*"]}]}, "rules[0].allow"),
            ({"rules": [{"allow": ["read"], "types": ["@moon"]}]}, None),
            ({"rules": [{"allow": ["read"], "types": ["*"],
                         "ns": "elsewhere"}]}, "rules[0].ns")):
        p = s.put("/v1/roles/wrong", wrong).problem(400)
        assert field is None or p["field"] == field, p
    s.put("/v1/roles/Upper", {"rules": []}).problem(400)


# ---- whoami -----------------------------------------------------------------

@shared(flags=ACCESS)
def whoami_says_what_one_may_and_why(s):
    ann = make_user(s, "asker", "operator@pool.roster")
    who = ann.get("/v1/whoami").must(200).json
    assert who["kind"] == "user" and who["name"] == "asker", who
    assert who["roles"] == ["operator@pool.roster"], who
    assert all(r["ns"] == "pool.roster" for r in who["rules"]), who
    ask = {"verb": "update", "type": "service", "ns": "pool.roster"}
    yes = ann.get(path("v1", "whoami", **ask)).must(200).json
    assert yes["allowed"] and yes["rule"]["ns"] == "pool.roster", yes
    no = ann.get(path("v1", "whoami", **{**ask, "ns": "a.roster"})).json
    assert not no["allowed"], no
    assert no["missing"] == ["update on service in a.roster"], no
    ann.get("/v1/whoami?verb=update").problem(400, field="type")
    ann.get("/v1/whoami?verb=fly&type=service").problem(400, field="verb")
    ann.get("/v1/whoami?verb=read&type=Service").problem(400, field="type")
    s.client(token=None).get("/v1/whoami").problem(401)
    assert s.get("/v1/whoami").must(200).json["kind"] == "node"


@test
def without_access_control_everybody_is_anyone(s):
    who = s.get("/v1/whoami?verb=delete&type=@admin").must(200).json
    assert who["kind"] == "anyone" and not who["access"] and who["allowed"], who
    assert not os.path.exists(os.path.join(s.data_dir, "admin.token"))
    text, _ = make_token(s, roles=["reader"])
    as_who(s, text).post("/v1/ns", {"parent": "roster", "name": "x"}).must(201)


# ---- the nodes' own tokens --------------------------------------------------

@bare
def the_admin_token_is_in_a_file_for_its_owner_alone():
    with Server(*ACCESS) as s:
        file = os.path.join(s.data_dir, "admin.token")
        assert stat.S_IMODE(os.stat(file).st_mode) == 0o600
        first = s.admin_token()
        assert TOKEN.match(first), first
        log = "\n".join(s.log_lines())
        assert file in log and first[31:] not in log, log
        s.restart()
        assert s.admin_token() == first
        s.get("/v1/ns").must(200)
        with Server("--access", "--admin-token-file", file) as other:
            as_who(other, first).get("/v1/ns").must(200)
        # Another one, and the one before is nobody's.
        own = [t for t in s.get("/v1/tokens").json if t["kind"] == "node"]
        assert [t["name"] for t in own] == ["n1"], own
        s.delete("/v1/tokens/" + own[0]["id"]).problem(409)
        os.remove(file)
        s.signal(signal.SIGHUP)
        until(lambda: s.admin_token() and s.get("/v1/ns").status == 200)
        assert s.admin_token() != first
        until(lambda: as_who(s, first).get("/v1/ns").status == 401)
        until(lambda: [t["id"] for t in s.get("/v1/tokens").json
                       if t["kind"] == "node"] == [s.admin_token()[4:30]])
        # A file that is none keeps what there was.
        good = s.admin_token()
        with open(file, "w", encoding="ascii") as f:
            f.write("nonsense\n")
        s.signal(signal.SIGHUP)
        until(lambda: "stays as it was" in "\n".join(s.log_lines()))
        as_who(s, good).get("/v1/ns").must(200)
        assert s.stop() == 0
        s.start(wait=False)
        assert s.ended_within(20) and s.process.returncode == 1
        assert "nonsense" not in "\n".join(s.log_lines())


@bare(timeout=120)
def each_node_of_a_cluster_takes_the_token_of_each():
    with Cluster(3, *ACCESS) as c:
        c.wait_for_features()
        nodes = [c.node(n) for n in c.names]
        for node in nodes:
            for other in nodes:
                client = as_who(other, node.admin_token())
                until(lambda x=client: x.get("/v1/ns").status == 200)
        # Revoked on one, it is nobody's on any, from then on.
        for round_ in range(20):
            at, asked = nodes[round_ % 3], nodes[(round_ + 1) % 3]
            text, made = make_token(at, roles=["reader"])
            client = as_who(asked, text)
            until(lambda x=client: x.get("/v1/ns").status == 200)
            gone = at.delete("/v1/tokens/" + made["id"]).must(204).revision
            for node in nodes:
                as_who(node, text).get("/v1/ns", headers={
                    "Roster-Min-Revision": str(gone)}).must(401)
        # A node that is alone is still looked after by its own.
        for node in nodes[1:]:
            node.kill()
        nodes[0].get("/v1/cluster").must(200)
        nodes[0].get("/v1/admin/breaker").must(200)


# ---- secrets ----------------------------------------------------------------

def everything_written(*places):
    for place in places:
        for folder, _, files in os.walk(place):
            for name in files:
                if name == "admin.token":
                    continue
                with open(os.path.join(folder, name), "rb") as f:
                    yield os.path.join(folder, name), f.read()


def events_of(s):
    with contextlib.closing(s.wire()) as wire:
        wire.send((f"GET /v1/watch?since=1 HTTP/1.0\r\nHost: x\r\nAccept: "
                   f"application/x-ndjson\r\nAuthorization: Bearer "
                   f"{s.admin_token()}\r\n\r\n").encode())
        while b'"progress"' not in wire.buffer:
            assert wire._more(), wire.buffer[-300:]
        return wire.buffer


@bare(timeout=180)
def no_secret_is_written_anywhere_and_all_survives():
    password = "correct-horse-battery-staple"
    with Server(*ACCESS, "--log-level", "debug") as s:
        texts = [make_token(s, roles=["reader"])[0],
                 s.post("/v1/tokens", {"roles": ["reader"]},
                        {"Idempotency-Key": "kept"}).must(201).json["token"]]
        s.put("/v1/users/ann", {"roles": ["operator"], "password": password}
              ).must(201)
        texts.append(make_token(s, user="ann")[0])
        s.put("/v1/groups/web", {"roles": ["reader"], "members": ["ann"]}
              ).must(201)
        texts.append(s.admin_token())
        secrets = [t[31:].encode() for t in texts] + [password.encode()]

        def look(where, data):
            for secret in secrets:
                assert secret not in data, (where, secret)
            assert b"$argon2" not in data or "data" in where \
                or "backup" in where, where
        s.post("/v1/admin/snapshot").must(200, 202)
        backup = s.get("/v1/admin/backup").must(200).body
        events = events_of(s)
        look("backup", backup)
        look("events", events)
        assert b'"op":"access"' in events and b'"what":"user"' in events
        look("metrics", s.get("/metrics").must(200).body)
        for target in ("/v1/tokens", "/v1/users", "/v1/groups", "/v1/sessions",
                       "/v1/whoami"):
            look(target, s.get(target).must(200).body)
        before = {t: s.get(t).must(200).json for t in (
            "/v1/tokens", "/v1/users", "/v1/groups", "/v1/roles")}
        s.restart()
        assert before == {t: s.get(t).must(200).json for t in before}
        # A restore brings back what there was, and this node's own token.
        s.delete("/v1/users/ann").must(204)
        as_who(s, texts[2]).get("/v1/ns").problem(401)
        s.post("/v1/admin/restore", raw=backup, headers={
            "Content-Type": "application/octet-stream"}).must(200)
        as_who(s, texts[2]).get("/v1/ns").must(200)
        assert s.stop() == 0
        for where, data in everything_written(s.data_dir, s.home):
            look(where, data)
    # In another cluster the tokens of the backup are good, and so is its own.
    with Server(*ACCESS) as s:
        s.post("/v1/admin/restore", raw=backup, headers={
            "Content-Type": "application/octet-stream"}).must(200)
        s.get("/v1/ns").must(200)
        as_who(s, texts[0]).get("/v1/ns").must(200)

        def is_registered():
            return s.admin_token()[4:30] in [
                t["id"] for t in s.get("/v1/tokens").json]
        until(is_registered)
