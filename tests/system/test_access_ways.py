"""Ways to more than one was given, that there must not be: by what one may move,
manage, register as or send."""
from harness import bare, make_ns, path, shared
from test_access import as_who, make_token, make_user
from test_tls_http import Guarded

ACCESS = ("--access",)


def with_rules(s, name, *rules):
    """A caller whose only role gives what the rules say."""
    s.put(path("v1", "roles", name), {"rules": list(rules)}).must(201)
    return as_who(s, make_token(s, name=name, roles=[name])[0])


# ---- machines ---------------------------------------------------------------

def join_token(s, **more):
    return make_token(s, kind="join", name="j", ttl="1h", **more)


@shared(flags=ACCESS)
def no_join_token_takes_over_a_machine_that_is_known(s):
    one, first = join_token(s)
    two, _ = join_token(s)
    as_who(s, one).post("/v1/agents", {"hostname": "held-1"}).must(201)
    other = as_who(s, two)
    a = other.post("/v1/agents", {"hostname": "held-1"}).problem(409)
    assert first["id"] in a["detail"], a
    other.put("/v1/agents/held-1/heartbeat").problem(403)
    other.delete("/v1/agents/held-1").problem(403)
    as_who(s, one).put("/v1/agents/held-1/heartbeat").must(204)
    other.post("/v1/agents", {"hostname": "held-2"}).must(201)
    # Nor one that brought a token of its own.
    many, _ = join_token(s, reusable=True)
    own = {"credential": "ab" * 32,
           "credential_id": "01ARZ3NDEKTSV4RRFFQ69G5FB4"}
    as_who(s, many).post("/v1/agents", {"hostname": "held-3", **own}).must(201)
    three, _ = join_token(s)
    as_who(s, three).post("/v1/agents", {"hostname": "held-3"}).problem(409)
    s.delete("/v1/tokens/" + own["credential_id"]).must(204)
    as_who(s, three).post("/v1/agents", {"hostname": "held-3"}).must(200)


@shared(flags=ACCESS)
def no_agent_passes_for_another_machine(s):
    ns = make_ns(s, match="^pass-")
    one, _ = join_token(s)
    c = as_who(s, one)
    lease = c.post("/v1/agents", {"hostname": "pass-1"}).must(201).json["lease"]
    machines = path("v1", "ns", ns, "machine")
    for a in (c.patch(machines + "/pass-1", {"hostname": "pass-2"}),
              c.put(machines + "/pass-1", {"os": "x"}),
              c.delete(machines + "/pass-1"),
              c.put(machines + "/pass-2?lease=" + lease, {"os": "x"}),
              c.post(machines + "?lease=" + lease, {"hostname": "pass-2"})):
        a.problem(403)
    c.post("/v1/agents", {"hostname": "pass-1", "resource": {"os": "x"}}
           ).must(200)
    assert [(m["hostname"], m["os"]) for m in s.get(machines).json] == [
        ("pass-1", "x")]


# ---- groups -----------------------------------------------------------------

@shared(flags=ACCESS)
def a_limited_token_of_a_manager_gives_no_more_than_it_has(s):
    boss = make_user(s, "chief", "reader")
    make_user(s, "friend")
    s.put("/v1/groups/lords", {"roles": ["admin"], "managers": ["chief"]}
          ).must(201)
    few = boss.post("/v1/tokens", {"user": "chief", "roles": ["reader"]}
                    ).must(201).json["token"]
    limited = as_who(s, few)
    limited.put("/v1/groups/lords/members/friend").problem(403)
    boss.put("/v1/groups/lords/members/friend").must(200)
    limited.delete("/v1/groups/lords/members/friend").problem(403)
    boss.delete("/v1/groups/lords/members/friend").must(204)


@shared(flags=ACCESS)
def nobody_becomes_a_manager_to_give_himself_more(s):
    boss = make_user(s, "master", "reader")
    s.put("/v1/groups/knights", {"roles": ["admin"], "managers": ["master"]}
          ).must(201)
    keeper = with_rules(s, "warden", {"allow": ["*"], "types": ["@access"]},
                        {"allow": ["read"], "types": [
                            "*", "@ns", "@types", "@agents", "@cluster"]})
    word = {"password": "long enough for all"}
    keeper.post("/v1/tokens", {"user": "master"}).problem(403)
    keeper.put("/v1/users/master/password", word).problem(403)
    keeper.put("/v1/users/master", {"roles": ["reader"], **word}).problem(403)
    few = boss.post("/v1/tokens", {"user": "master", "roles": ["reader"]}
                    ).must(201).json["token"]
    as_who(s, few).post("/v1/tokens", {"user": "master"}).problem(403)
    boss.post("/v1/tokens", {"user": "master"}).must(201)


# ---- moving -----------------------------------------------------------------

@shared(flags=ACCESS)
def nothing_is_read_by_moving_it(s):
    make_ns(s, "branch", name="hidden")
    make_ns(s, name="deep", parent="hidden.roster")
    make_ns(s, "branch", name="mine")
    make_ns(s, name="leaf", parent="mine.roster")
    rows = path("v1", "ns", "deep.hidden.roster", "service")
    s.post(rows, {"name": "pg", "word": "treasure"}).must(201)
    tree = {"allow": ["*"], "types": ["@ns"]}
    mine = {"allow": ["*"], "types": ["*"], "ns": "mine.roster"}
    c = with_rules(s, "mover", tree, mine)
    c.get(rows).problem(403)
    for ns in ("hidden.roster", "deep.hidden.roster"):
        c.patch(path("v1", "ns", ns), {"parent": "mine.roster"}).problem(403)
    c.patch("/v1/ns/hidden.roster", {"name": "other"}).must(200)
    c.patch("/v1/ns/other.roster", {"name": "hidden"}).must(200)
    c = with_rules(s, "namer", tree, {"allow": ["read"], "types": ["service"],
                                      "ns": "deep.gone.roster"})
    c.patch("/v1/ns/hidden.roster", {"name": "gone"}).problem(403)
    c = with_rules(s, "remover", mine, {"allow": ["delete"],
                                        "types": ["service"]})
    c.post(rows + "/pg/move", {"to": "leaf.mine.roster"}).problem(403)
    c.post(rows + "/pg/copy", {"to": "leaf.mine.roster"}).problem(403)
    s.get(rows + "/pg").must(200)


# ---- sending ----------------------------------------------------------------

@shared(flags=ACCESS)
def a_state_is_not_received_from_who_may_not_restore(s):
    few = as_who(s, make_token(s, name="o", roles=["operator"])[0])
    for client, status in ((s.client(token=None), 401), (few, 403)):
        token = client.token or ""
        with s.wire(timeout=20) as w:
            w.send(f"POST /v1/admin/restore HTTP/1.1\r\nHost: x\r\n"
                   f"Authorization: Bearer {token}\r\n"
                   f"Content-Length: {80 << 20}\r\n\r\n".encode())
            a = w.answer_within(10)
            assert a.status == status, a
    s.post("/v1/admin/restore", raw=b"x" * 1000).problem(400)


# ---- nodes ------------------------------------------------------------------

@bare
def a_nodes_certificate_lets_it_in_to_join_as_itself_alone():
    with Guarded("--access") as g:
        s = g.server
        for name in ("n2", "n1"):
            c = g.client(context=g.ca.context(*g.ca.node(name, stem="c" + name)))
            who = c.get("/v1/whoami").must(200).json
            assert (who["kind"], who["name"]) == ("node", name), who
            c.get("/v1/cluster").must(200)
            for method, target, body in (
                    ("GET", "/v1/tokens", None), ("GET", "/v1/ns", None),
                    ("POST", "/v1/tokens", {"roles": ["admin"]}),
                    ("GET", "/v1/admin/backup", None),
                    ("DELETE", "/v1/cluster/nodes/n1", None),
                    ("POST", "/v1/cluster/transfer", {})):
                c.call(method, target, body).problem(403)
            for other in ("n3", "n", "N2", None):
                c.post("/v1/cluster/nodes", {"id": other}).problem(403)
            c.post("/v1/cluster/nodes", {"id": name}).problem(400)
            c.get("/v1/tokens", headers={
                "Authorization": "Bearer " + s.admin_token()}).must(200)
