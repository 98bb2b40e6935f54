"""Who may do what over HTTP: every operation, as each built-in role, given for
everything and for a subtree; and ways around it that there must not be. The
same promises as tests/unit/registry/test_permit.c, with what mouths add."""
import json

from harness import make_ns, path, test

ACCESS = ("--access",)
IN, BESIDE = "web.shop.roster", "db.roster"


def prepare(s):
    make_ns(s, "branch", name="shop")
    make_ns(s, name="web", parent="shop.roster", match="^web-")
    make_ns(s, name="www", parent="shop.roster")
    make_ns(s, name="db", match="^db-")
    make_ns(s, name="ab-shop")
    for ns, name in ((IN, "api"), (BESIDE, "pg"), ("ab-shop.roster", "x")):
        s.post(path("v1", "ns", ns, "service"), {"name": name}).must(201)


def with_roles(s, *roles):
    made = s.post("/v1/tokens", {"name": "t", "roles": list(roles)}).must(201)
    return s.client(token=made.json["token"])


def nobody(s):
    return s.client(token=None)


# What each operation is called; {ns} is what it is about. Bodies are such that
# nothing is done by who may: what is asked for is not there, or is wrong in a
# way that is only found behind the gate.
def requests(ns):
    inside = ns == IN
    other = "www.shop.roster" if inside else "ab-shop.roster"
    parent = "shop.roster" if inside else "roster"
    host = "web-1" if inside else "db-1"
    rows = path("v1", "ns", ns, "nothing")
    row = path("v1", "ns", ns, "nothing", "none")
    gone = {"If-Match": '"1"'}
    return {
        "ns tree": ("GET", "/v1/ns"),
        "ns create": ("POST", "/v1/ns", {"parent": parent,
                                         "name": "web" if inside else "db"}),
        "ns get": ("GET", path("v1", "ns", ns)),
        "ns change": ("PATCH", path("v1", "ns", ns), {"comment": "c"}, gone),
        "ns delete": ("DELETE", path("v1", "ns", ns), None, gone),
        "ns delete all": ("DELETE", path("v1", "ns", ns) + "?recursive=true",
                          None, gone),
        "type list": ("GET", "/v1/types"),
        "type get": ("GET", "/v1/types/service"),
        "type put": ("PUT", "/v1/types/nothing", {"no": 1}),
        "list get": ("GET", rows),
        "list add": ("POST", rows, []),
        "list put": ("PUT", rows, {}),
        "row get": ("GET", row),
        "row put": ("PUT", row, {"name": "other"}),
        "row patch": ("PATCH", row, {"a": "b"}),
        "row delete": ("DELETE", row),
        "row move": ("POST", row + "/move", {"to": other}),
        "row copy": ("POST", row + "/copy", {"to": other}),
        "search": ("GET", path("v1", "search", ns=ns)),
        "txn": ("POST", "/v1/txn", {"do": [
            {"op": "delete", "ns": ns, "type": "nothing", "id": "none"}]}),
        "agent put": ("POST", "/v1/agents", {"hostname": host, "resource": {
            "hostname": "another"}}),
        "agent list": ("GET", "/v1/agents"),
        "agent get": ("GET", "/v1/agents/none"),
        "agent delete": ("DELETE", "/v1/agents/none"),
        "heartbeat": ("PUT", "/v1/agents/none/heartbeat"),
        "heartbeats": ("POST", "/v1/heartbeats", {"hostnames": ["none"]}),
        "breaker get": ("GET", "/v1/admin/breaker"),
        "breaker set": ("POST", "/v1/admin/breaker", {"action": "none"}),
        "leader": ("GET", "/leader"),
        "cluster get": ("GET", "/v1/cluster"),
        "cluster join": ("POST", "/v1/cluster/nodes", {}),
        "cluster remove": ("DELETE", "/v1/cluster/nodes/none"),
        "cluster transfer": ("POST", "/v1/cluster/transfer", {"to": "none"}),
        "backup": ("HEAD", "/v1/admin/backup"),
        "restore": ("POST", "/v1/admin/restore"),
        "snapshot list": ("GET", "/v1/admin/snapshots"),
        "digest": ("GET", "/v1/admin/digest"),
        "history get": ("GET", "/v1/admin/history"),
        "history put": ("PUT", "/v1/admin/history", {"changes": 1}),
        "role list": ("GET", "/v1/roles"),
        "role put": ("PUT", "/v1/roles/r", {"no": 1}),
        "role delete": ("DELETE", "/v1/roles/none"),
        "user list": ("GET", "/v1/users"),
        "user put": ("PUT", "/v1/users/u", {"no": 1}),
        "user delete": ("DELETE", "/v1/users/none"),
        "group list": ("GET", "/v1/groups"),
        "group put": ("PUT", "/v1/groups/g", {"no": 1}),
        "group delete": ("DELETE", "/v1/groups/none"),
        "token of all": ("POST", "/v1/tokens", {"roles": ["admin"],
                                                "ttl": "none"}),
        "whoami": ("GET", "/v1/whoami"),
        "metrics": ("GET", "/metrics"),
    }


# Of each role: given for everything; for shop.roster, on what lies in it; the
# same, on what lies beside it.
PROMISES = """
                  reader agent operator admin
ns tree           yyy    nnn   yyy      yyy
ns create         nnn    nnn   yyn      yyn
ns get            yyn    nnn   yyn      yyn
ns change         nnn    nnn   yyn      yyn
ns delete         nnn    nnn   yyn      yyn
ns delete all     nnn    nnn   yyn      yyn
type list         yyy    yyy   yyy      yyy
type get          yyy    yyy   yyy      yyy
type put          nnn    nnn   ynn      ynn
list get          yyn    nnn   yyn      yyn
list add          nnn    nnn   yyn      yyn
list put          nnn    nnn   yyn      yyn
row get           yyn    nnn   yyn      yyn
row put           nnn    nnn   yyn      yyn
row patch         nnn    nnn   yyn      yyn
row delete        nnn    nnn   yyn      yyn
row move          nnn    nnn   yyn      yyn
row copy          nnn    nnn   yyn      yyn
search            yyn    nnn   yyn      yyn
txn               nnn    nnn   yyn      yyn
agent list        ynn    ynn   ynn      ynn
agent get         ynn    ynn   ynn      ynn
agent delete      nnn    ynn   ynn      ynn
heartbeat         nnn    ynn   ynn      ynn
heartbeats        nnn    ynn   ynn      ynn
breaker get       ynn    nnn   ynn      ynn
breaker set       nnn    nnn   ynn      ynn
leader            yyy    yyy   yyy      yyy
cluster get       ynn    nnn   ynn      ynn
cluster join      nnn    nnn   nnn      ynn
cluster remove    nnn    nnn   nnn      ynn
cluster transfer  nnn    nnn   nnn      ynn
backup            nnn    nnn   nnn      ynn
restore           nnn    nnn   nnn      ynn
snapshot list     nnn    nnn   nnn      ynn
digest            nnn    nnn   nnn      ynn
history get       ynn    nnn   ynn      ynn
history put       nnn    nnn   nnn      ynn
role list         nnn    nnn   nnn      ynn
role put          nnn    nnn   nnn      ynn
role delete       nnn    nnn   nnn      ynn
user list         nnn    nnn   nnn      ynn
user put          nnn    nnn   nnn      ynn
user delete       nnn    nnn   nnn      ynn
group list        nnn    nnn   nnn      ynn
group put         nnn    nnn   nnn      ynn
group delete      nnn    nnn   nnn      ynn
whoami            yyy    yyy   yyy      yyy
metrics           ynn    nnn   ynn      ynn
"""


def promises():
    lines = PROMISES.strip("\n").split("\n")
    roles = lines[0].split()
    for line in lines[1:]:
        letters = line[18:].split()
        yield line[:18].strip(), dict(zip(roles, letters))


def ask(c, request):
    method, target, body, headers = (*request, None, None)[:4]
    if body is None:
        return c.call(method, target, headers=headers)
    return c.call(method, target, body, headers)


@test(flags=ACCESS, timeout=180)
def each_operation_is_given_to_whom_it_is_promised(s):
    prepare(s)
    for role in ("reader", "agent", "operator", "admin"):
        every, some = with_roles(s, role), with_roles(s, role + "@shop.roster")
        for name, letters in promises():
            for c, ns, letter in ((every, IN, letters[role][0]),
                                  (every, BESIDE, letters[role][0]),
                                  (some, IN, letters[role][1]),
                                  (some, BESIDE, letters[role][2])):
                a = ask(c, requests(ns)[name])
                assert (a.status == 403) == (letter == "n"), (
                    name, role, ns, letter, a)
                assert a.status != 401, (name, role, a)


@test(flags=ACCESS, timeout=120)
def nobody_gets_anything_but_what_is_open(s):
    prepare(s)
    c = nobody(s)
    for name, request in requests(IN).items():
        a = ask(c, request)
        if name == "leader":
            a.must(200)
            continue
        assert a.status == 401, (name, a)
        assert a.headers["www-authenticate"] == 'Bearer realm="roster"', a
    for target in ("/livez", "/readyz", "/leader", "/openapi.json"):
        c.get(target).must(200)


@test(flags=ACCESS)
def machines_are_let_in_where_a_token_may_put_them(s):
    prepare(s)
    c = with_roles(s, "agent@shop.roster")
    c.post("/v1/agents", {"hostname": "web-1"}).must(201)
    c.post("/v1/agents", {"hostname": "db-1"}).problem(403)
    c.post("/v1/agents", {"hostname": "none"}).problem(403)
    with_roles(s, "reader").post("/v1/agents", {"hostname": "web-2"}).problem(403)


@test(flags=ACCESS)
def a_refusal_is_a_sentence_and_no_oracle(s):
    prepare(s)
    c = with_roles(s, "reader@shop.roster")
    a = c.patch(path("v1", "ns", IN, "service", "api"), {"a": "b"}).problem(403)
    assert ("may not update service in web.shop.roster: it needs update on "
            "service there") in a["detail"], a
    assert a["ns"] == IN, a
    there = c.get(path("v1", "ns", BESIDE, "service", "pg")).problem(403)
    none = c.get(path("v1", "ns", "no.roster", "service", "pg")).problem(403)
    assert (there["detail"].replace(BESIDE, "X") ==
            none["detail"].replace("no.roster", "X")), (there, none)


# ---- ways around ------------------------------------------------------------

@test(flags=ACCESS)
def no_other_way_of_writing_a_path_leads_elsewhere(s):
    prepare(s)
    c = with_roles(s, "operator@shop.roster")
    for ns in ("ab-shop.roster", "%61b-shop.roster", "ab%2dshop.roster",
               "db.roster", "db%2Eroster", "DB.roster", "db.roster.",
               ".db.roster", "db.roster%00.shop.roster",
               "db.roster/../web.shop.roster", "x.shop.roster%2f..%2fdb.roster",
               "web.shop.roster%2F..%2Fdb.roster", "db.roster%20shop.roster",
               "db.roster;.shop.roster", "db.roster%23.shop.roster",
               "db.roster?ns=web.shop.roster", "roster", ""):
        for kind in ("service", "machine"):
            a = c.get(f"/v1/ns/{ns}/{kind}")
            assert a.status in (400, 403, 404, 405), (ns, a)
            assert b"pg" not in a.body and b'"x"' not in a.body, (ns, a)
        a = c.put(f"/v1/ns/{ns}/service/new", {"port": "1"})
        assert a.status in (400, 403, 404, 405), (ns, a)
    for ns in (BESIDE, "ab-shop.roster"):
        assert len(s.rows(path("v1", "ns", ns, "service"))) == 1, ns


@test(flags=ACCESS)
def what_a_header_claims_decides_nothing(s):
    prepare(s)
    c = with_roles(s, "reader@shop.roster")
    target = path("v1", "ns", BESIDE, "service", "pg")
    for name, value in (("X-Original-URL", f"/v1/ns/{IN}/service/api"),
                        ("X-Rewrite-URL", f"/v1/ns/{IN}/service/api"),
                        ("X-Forwarded-For", "127.0.0.1"),
                        ("X-Forwarded-User", "admin"),
                        ("Roster-Node", "n1"), ("X-Http-Method-Override", "GET"),
                        ("Host", "shop.roster")):
        c.get(target, headers={name: value}).problem(403)
        c.delete(target, headers={name: value}).problem(403)


@test(flags=ACCESS)
def nothing_leaves_or_enters_the_subtree(s):
    prepare(s)
    c = with_roles(s, "operator@shop.roster")
    def all_there_is():
        return [s.get(t).must(200).json for t in ("/v1/ns", "/v1/search")]
    before = all_there_is()
    row = path("v1", "ns", IN, "service", "api")
    other = path("v1", "ns", BESIDE, "service", "pg")
    c.post(row + "/move", {"to": BESIDE}).problem(403)
    c.post(row + "/copy", {"to": BESIDE}).problem(403)
    c.post(other + "/move", {"to": IN}).problem(403)
    c.post(other + "/copy", {"to": IN}).problem(403)
    for ns, change in ((BESIDE, {"parent": "shop.roster"}),
                       ("ab-shop.roster", {"name": "shop"}),
                       (IN, {"parent": "roster"}),
                       (IN, {"parent": "roster", "name": "db2"}),
                       ("shop.roster", {"name": "store"})):
        c.patch(path("v1", "ns", ns), change).problem(403)
    put = {"op": "put", "ns": IN, "type": "service", "resource": {"name": "b"}}
    c.post("/v1/txn", {"do": [put, {"op": "delete", "ns": BESIDE,
                                    "type": "service", "id": "pg"}]}).problem(403)
    c.post("/v1/txn", {"if": [{"ns": BESIDE, "type": "service", "id": "pg",
                               "rev": 1}], "do": [put]}).problem(403)
    c.post("/v1/admin/restore", raw=b"x" * 1000).problem(403)
    assert all_there_is() == before


@test(flags=ACCESS)
def what_is_not_seen_leaves_no_trace(s):
    prepare(s)
    for i in range(30):
        s.post(path("v1", "ns", BESIDE, "service"), {"name": f"s{i}"}).must(201)
    c = with_roles(s, "reader@shop.roster")
    found = c.get("/v1/search").must(200)
    assert list(found.json) == [IN], found
    page = c.get("/v1/search?limit=1").must(200)
    assert list(page.json) == [IN] and page.next() is None, page
    shown = json.dumps(c.get("/v1/ns").must(200).json)
    assert BESIDE not in shown and "pool" not in shown and IN in shown, shown
    flat = {n["ns"]: n for n in c.get("/v1/ns?flat=true").must(200).json}
    assert set(flat) == {"roster", "shop.roster", IN, "www.shop.roster"}, flat
    assert set(flat["roster"]) == {"name", "ns", "id", "kind"}, flat
    top = c.get("/v1/ns/roster").must(200).json
    assert [n["ns"] for n in top["children"]] == ["shop.roster"], top


@test(flags=ACCESS)
def tokens_of_others_are_not_listed(s):
    s.post("/v1/tokens", {"name": "of-others", "roles": ["reader"]}).must(201)
    for role in ("reader", "operator", "agent"):
        a = with_roles(s, role).get("/v1/tokens")
        assert a.status == 403 or b"of-others" not in a.body, (role, a)


@test(flags=ACCESS)
def a_change_of_rights_is_felt_at_once(s):
    prepare(s)
    made = s.post("/v1/tokens", {"name": "t", "roles": ["operator"]}).must(201)
    c = s.client(token=made.json["token"])
    rows = path("v1", "ns", IN, "service")
    c.get(rows).must(200)
    c.post(rows, {"name": "one"}).must(201)
    s.delete("/v1/tokens/" + made.json["id"]).must(204)
    c.get(rows).problem(401)
    c.post(rows, {"name": "two"}).problem(401)
    s.put("/v1/roles/few", {"rules": [
        {"allow": ["read"], "types": ["service"], "ns": IN}]}).must(201)
    few = with_roles(s, "few")
    few.get(rows).must(200)
    s.put("/v1/roles/few", {"rules": [
        {"allow": ["read"], "types": ["vip"], "ns": IN}]}).must(200)
    few.get(rows).problem(403)


# ---- agents -----------------------------------------------------------------

def join_token(s, **more):
    made = s.post("/v1/tokens", {"kind": "join", "name": "j",
                                 "roles": ["agent"], "ttl": "1h", **more})
    return s.client(token=made.must(201).json["token"])


@test(flags=ACCESS)
def a_join_token_becomes_the_first_machines_own(s):
    prepare(s)
    c = join_token(s, hosts="^web-")
    c.get("/v1/agents").problem(403)
    c.post("/v1/agents", {"hostname": "db-1"}).problem(403)
    c.post("/v1/agents", {"hostname": "web-1"}).must(201)
    c.post("/v1/agents", {"hostname": "web-2"}).problem(403)
    c.post("/v1/agents", {"hostname": "web-1"}).must(200)
    c.put("/v1/agents/web-1/heartbeat").must(204)
    c.put("/v1/agents/web-2/heartbeat").problem(403)
    c.post("/v1/heartbeats", {"hostnames": ["web-1", "web-2"]}).problem(403)
    c.post("/v1/heartbeats", {"hostnames": ["web-1"]}).must(200)
    s.post("/v1/agents", {"hostname": "web-7"}).must(201)
    assert [a["hostname"] for a in c.get("/v1/agents").must(200).json] == [
        "web-1"]
    c.delete("/v1/agents/web-7").problem(403)
    c.delete("/v1/agents/web-1").must(204)


@test(flags=ACCESS)
def an_agent_keeps_rows_of_its_own_and_no_others(s):
    prepare(s)
    c = join_token(s)
    lease = c.post("/v1/agents", {"hostname": "web-1"}).must(201).json["lease"]
    own = path("v1", "ns", IN, "inventory", "disks")
    c.put(own + "?lease=" + lease, {"n": "1"}).must(201)
    a = c.put(own + "?lease=" + lease, {"n": "2"}).must(200)
    c.patch(own, {"n": "3"}, {"If-Match": a.headers["etag"]}).must(200)
    c.patch(own, {"n": "4"}, {"If-Match": a.headers["etag"]}).problem(412)
    c.put(path("v1", "ns", IN, "inventory", "unbound"), {}).problem(403)
    c.patch(path("v1", "ns", IN, "service", "api"), {"a": "b"}).problem(403)
    c.put(path("v1", "ns", BESIDE, "inventory", "disks") + "?lease=" + lease,
          {"n": "1"}).problem(403)
    c.get(path("v1", "ns", IN, "service")).problem(403)
    c.delete(own).must(204)


@test(flags=ACCESS)
def a_reusable_join_token_lets_each_machine_bring_its_own(s):
    prepare(s)
    c = join_token(s, hosts="^web-", reusable=True)
    first = {"credential": "ab" * 32,
             "credential_id": "01ARZ3NDEKTSV4RRFFQ69G5FA4"}
    other = {"credential": "cd" * 32,
             "credential_id": "01ARZ3NDEKTSV4RRFFQ69G5FA5"}
    c.post("/v1/agents", {"hostname": "web-1"}).problem(400, field="credential")
    c.post("/v1/agents", {"hostname": "web-1", **first}).must(201)
    before = s.revision()
    c.post("/v1/agents", {"hostname": "web-1", **first}).must(200)
    assert s.revision() == before
    c.post("/v1/agents", {"hostname": "web-1", **other}).problem(409)
    c.post("/v1/agents", {"hostname": "web-2", **other}).must(201)
    s.delete("/v1/tokens/" + first["credential_id"]).must(204)
    again = {"credential": "ef" * 32,
             "credential_id": "01ARZ3NDEKTSV4RRFFQ69G5FA6"}
    c.post("/v1/agents", {"hostname": "web-1", **again}).must(200)
