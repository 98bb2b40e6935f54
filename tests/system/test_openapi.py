"""api/openapi.yaml is the full statement of the HTTP interface: every status it
documents is brought about here, and every answer must be as documented.

Needs python3-yaml and python3-jsonschema."""
import os
import re
import signal
import time

from harness import (Answer, REPOSITORY, Server, Skip, bare, in_threads,
                     make_list, make_ns, path, request_bytes, say, until)

METHODS = ("get", "head", "post", "put", "patch", "delete", "options")
OURS = {"www-authenticate", "etag", "location", "link", "allow", "retry-after",
        "idempotent-replayed"}
# What no request can bring about on a healthy single node. Shrink this when
# there is a way; a documented status that is neither here nor seen is an error.
OUT_OF_REACH = [
    (r".*", "429"),                                # there is no rate to exceed
    (r".*", "504"),                                # a leader lost while waiting
    (r"(POST|PUT|PATCH|DELETE) .*", "503"),        # no leader
    (r"GET /(leader|livez)$", "503"),
    (r"POST /v1/agents$", "409"),
    (r"DELETE /v1/sessions/{id}$", "204"),         # nobody can sign in yet
    (r"POST /v1/admin/restore$", "409"),           # two at one moment
    # A node alone: test_cluster_front.py does these.
    (r"POST /v1/cluster/nodes$", "(201|409)"),
    (r"DELETE /v1/cluster/nodes/{node}$", "(204|400)"),
    (r"POST /v1/cluster/transfer$", "200"),
]


def modules():
    try:
        import jsonschema
        import yaml
    except ImportError as e:
        raise Skip(f"{e.name} is not installed") from None
    return jsonschema, yaml


def load():
    _, yaml = modules()
    with open(os.path.join(REPOSITORY, "api", "openapi.yaml"),
              encoding="utf-8") as f:
        return yaml.safe_load(f)


class Document:
    def __init__(self):
        self.jsonschema, _ = modules()
        self.doc = load()
        self.seen = set()       # (METHOD, template, status as documented)
        self.faults = []
        # Schemas live as long as the document.
        self.resolver = self.jsonschema.RefResolver("", self.doc)
        self.validators = {}
        self.routes = []
        for template, item in self.doc["paths"].items():
            shape = re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(template))
            self.routes.append((re.compile(shape + r"\Z"), template, item))

    def deref(self, x):
        while "$ref" in x:
            found = self.doc
            for part in x["$ref"].lstrip("#/").split("/"):
                found = found[part]
            x = found
        return x

    def check(self, schema, value, where):
        validator = self.validators.get(id(schema))
        if validator is None:
            validator = self.jsonschema.Draft202012Validator(
                schema, resolver=self.resolver)
            self.validators[id(schema)] = validator
        for error in list(validator.iter_errors(value))[:3]:
            self.faults.append(f"{where}: {'/'.join(map(str, error.path))}: "
                               f"{error.message[:300]}")

    def route(self, target):
        plain = target.split("?")[0]
        fits = [(t, i) for r, t, i in self.routes if r.match(plain)]
        # A template without parameters is the closer fit.
        return min(fits, key=lambda x: x[0].count("{")) if fits else (None, None)

    def answer(self, a):
        """Hold one answer against the document."""
        template, item = self.route(a.path)
        where = f"{a.method} {a.path[:80]} -> {a.status}"
        operation = (item or {}).get(a.method.lower())
        if operation is None:
            self.faults.append(f"{where}: this operation is not documented")
            return
        responses = operation["responses"]
        known = [c for c in (str(a.status), f"{a.status // 100}XX", "default")
                 if c in responses]
        if not known:
            self.faults.append(f"{where}: this status is not documented: {a!r}")
            return
        self.seen.add((a.method, template, known[0]))
        response = self.deref(responses[known[0]])
        self.headers(a, response, where)
        self.body(a, response, where)

    def headers(self, a, response, where):
        # What may stand in each answer is said once.
        documented = {n.lower(): h for n, h in
                      self.doc["components"]["headers"].items()
                      if h.get("x-everywhere")}
        documented.update((n.lower(), self.deref(h)) for n, h in
                          response.get("headers", {}).items())
        for name, header in documented.items():
            value = a.headers.get(name)
            if value is None:
                if header.get("required"):
                    self.faults.append(f"{where}: header {name} is missing")
                continue
            schema = self.deref(header["schema"])
            if schema.get("type") == "integer":
                if not value.isdigit():
                    self.faults.append(f"{where}: {name}: {value!r}")
                    continue
                value = int(value)
            self.check(header["schema"], value, f"{where}: header {name}")
        for name in a.headers:
            if (name.startswith("roster-") or name in OURS) and \
                    name not in documented and not (
                        a.status == 405 and name == "allow") and not (
                        a.method in ("GET", "HEAD") and
                        name == "roster-stale-ms"
                        and a.status >= 400):
                self.faults.append(f"{where}: header {name} is not documented")

    def body(self, a, response, where):
        content = response.get("content")
        if a.method == "HEAD" or not content:
            if a.body:
                self.faults.append(f"{where}: a body that is not documented: "
                                   f"{a.body[:100]}")
            return
        kind = a.headers.get("content-type", "").split(";")[0]
        if kind not in content:
            self.faults.append(f"{where}: content type {kind!r} is not "
                               f"documented")
            return
        schema = content[kind].get("schema")
        if schema:
            self.check(schema, a.json if "json" in kind else
                       a.body.decode("latin-1"), where)

    def documented(self):
        return {(m.upper(), template, status)
                for template, item in self.doc["paths"].items()
                for m in METHODS if m in item
                for status in item[m]["responses"]}


class Replay:
    """A server whose every answer is held against the document."""

    def __init__(self, s, document):
        self.s, self.document = s, document

    def __call__(self, method, target, *body, client=None, **headers):
        headers = {n.replace("_", "-"): v for n, v in headers.items()}
        a = (client or self.s).call(method, target, *body, headers=headers)
        self.document.answer(a)
        return a


def build(s):
    """What the requests below speak of."""
    shop = make_ns(s, "branch", name="shop")
    web = make_ns(s, parent=shop, name="web", match="^web-")
    to = make_ns(s, parent=shop, name="to")
    rows = path("v1", "ns", web, "service")
    s.post(rows, [{"name": n} for n in ("a", "b", "c")]).must(201)
    s.post(path("v1", "ns", to, "service"), {"name": "b"}).must(201)
    s.post("/v1/agents", {"hostname": "web-1"}).must(201)
    s.put("/v1/types/rack", {"required": ["row"]}).must(201)
    return shop, web, to, rows


def requests(s, shop, web, to, rows):
    """Each operation: what succeeds, [what else fails as documented]. A request
    is (method, target[, body]); successes may be repeated."""
    nowhere = "/v1/ns/nowhere.roster"
    n = [0]

    def new(stem="x"):
        n[0] += 1
        return f"{stem}{n[0]}"
    yield ("GET", "/v1/ns"), []
    yield ("POST", "/v1/ns", lambda: {"parent": shop, "name": new("ns")}), [
        (404, {"parent": "nowhere.roster", "name": "x"}),
        (409, {"parent": shop, "name": "web"})]
    yield ("GET", f"/v1/ns/{web}"), [(404, nowhere)]
    yield ("PATCH", f"/v1/ns/{to}", lambda: {"comment": new()}), [
        (404, nowhere, {"comment": ""}), (409, f"/v1/ns/{to}", {"name": "web"})]
    yield ("DELETE", lambda: f"/v1/ns/{make_ns(s)}"), [
        (404, nowhere), (409, f"/v1/ns/{shop}")]
    yield ("GET", rows), [(404, nowhere + "/service")]
    yield ("POST", rows, lambda: {"name": new()}), [
        (404, nowhere + "/service", {"name": "x"}), (409, rows, {"name": "a"})]
    yield ("POST", rows, lambda: [{"name": new()}, {"name": new()}]), []
    yield ("PUT", path("v1", "ns", to, "config"), lambda: [{"name": new()}]), [
        (404, nowhere + "/service", []),
        (409, path("v1", "ns", to, "config"), [{"name": "x"}, {"name": "x"}])]
    yield ("GET", rows + "/a"), [(404, rows + "/nobody")]
    yield ("PUT", rows + "/a", lambda: {"v": new()}), [
        (404, nowhere + "/service/a", {"x": "1"}),
        (409, lambda: f"{rows}/{s.get(rows + '/a').json['_id']}",
         {"name": "c"})]
    yield ("PUT", lambda: f"{rows}/{new('put')}", {"v": "1"}), []
    yield ("PATCH", rows + "/a", lambda: {"v": new()}), [
        (404, rows + "/nobody", {"v": "1"}), (409, rows + "/a", {"name": "c"})]

    def row_to_lose():
        name = new("lose")
        s.post(rows, {"name": name}).must(201)
        return f"{rows}/{name}"
    yield ("DELETE", row_to_lose), [(404, rows + "/nobody")]
    for verb in ("move", "copy"):
        yield ("POST", lambda v=verb: f"{row_to_lose()}/{v}", {"to": to}), [
            (404, f"{rows}/a/{verb}", {"to": "nowhere.roster"}),
            (409, f"{rows}/b/{verb}", {"to": to})]
    for method, *body in (("PUT", {"duration": "1h", "reason": "x"}), ("DELETE",)):
        yield (method, rows + "/a/maintenance", *body), [
            (404, rows + "/nobody/maintenance", *body)]
    yield ("GET", "/v1/search?v=a"), [(404, "/v1/search?ns=nowhere.roster")]
    yield ("POST", "/v1/txn", lambda: {"do": [
        {"op": "put", "ns": web, "type": "service", "id": "a",
         "resource": {"v": new()}},
        {"op": "delete", "ns": web, "type": "service",
         "id": row_to_lose().rsplit("/", 1)[1]}]}), [
        (404, {"do": [{"op": "delete", "ns": "nowhere.roster", "type": "x",
                       "id": "a"}]}),
        (409, {"if": [{"ns": web, "type": "service", "id": "a", "rev": 1}],
               "do": [{"op": "delete", "ns": web, "type": "service",
                       "id": "a"}]})]
    yield ("GET", "/v1/types"), []
    yield ("GET", "/v1/types/rack"), [(404, "/v1/types/nobody")]
    yield ("PUT", "/v1/types/rack", lambda: {"required": [new()]}), [
        (409, "/v1/types/service", {"required": ["no-row-has-it"]})]
    yield ("PUT", lambda: f"/v1/types/{new('type')}", {"key": None}), []
    yield ("GET", "/v1/agents"), []
    yield ("POST", "/v1/agents", lambda: {"hostname": new("web-")}), []
    yield ("POST", "/v1/agents", {"hostname": "web-1"}), []
    yield ("GET", "/v1/agents/web-1"), [(404, "/v1/agents/nobody")]

    def agent_to_lose():
        name = new("lose-")
        s.post("/v1/agents", {"hostname": name}).must(201)
        return f"/v1/agents/{name}"
    yield ("DELETE", agent_to_lose), [(404, "/v1/agents/nobody")]
    for method, *body in (("PUT", {"duration": "1h", "reason": "x"}), ("DELETE",)):
        yield (method, "/v1/agents/web-1/maintenance", *body), [
            (404, "/v1/agents/nobody/maintenance", *body)]
    yield ("PUT", "/v1/agents/web-1/heartbeat"), [
        (404, "/v1/agents/nobody/heartbeat")]
    yield ("POST", "/v1/heartbeats", {"hostnames": ["web-1", "nobody"]}), []
    for target in ("audit", "backup", "breaker", "digest", "history",
                   "snapshots"):
        yield ("GET", f"/v1/admin/{target}"), []
    yield ("PUT", "/v1/admin/history", {"changes": 5000, "bytes": 4096}), []
    yield ("POST", "/v1/admin/snapshot"), []
    yield ("POST", "/v1/admin/breaker", lambda: hold(s)), [
        (404, {"action": "release", "ns": "nowhere.roster"}),
        (409, lambda: {"action": "release", "ns": make_ns(s)})]
    yield from access_requests(s, new)
    yield from quota_requests(s)
    for target in ("/v1/cluster", "/leader", "/livez", "/readyz", "/metrics", "/openapi.json"):
        yield ("GET", target), []


def access_requests(s, new):
    nobody = "/v1/tokens/" + "0" * 26

    def token_to_lose():
        made = s.post("/v1/tokens", {"roles": ["reader"]}).must(201).json
        return "/v1/tokens/" + made["id"]
    yield ("GET", "/v1/whoami?verb=read&type=service"), []
    yield ("GET", "/v1/tokens"), []
    yield ("POST", "/v1/tokens", lambda: {"roles": ["reader"]}), []
    kept = token_to_lose()
    yield ("GET", kept), [(404, nobody)]
    yield ("DELETE", token_to_lose), [(404, nobody)]
    yield ("GET", "/v1/sessions"), []
    s.put("/v1/users/signs", {"password": "signs-in-here"}).must(201)
    s.put("/v1/users/ldap", {"source": "ldap"}).must(201)

    def session_to_end():
        made = s.post("/v1/sessions", {"user": "signs",
                                       "password": "signs-in-here"}).must(201)
        return "/v1/sessions/" + made.json["id"]
    yield ("POST", "/v1/sessions", {
        "user": "signs", "password": "signs-in-here"}), [
            (401, {"user": "signs", "password": "another one"})]
    yield ("DELETE", session_to_end), [
        (404, nobody.replace("tokens", "sessions"))]
    yield ("PUT", "/v1/users/signs/password", {
        "password": "signs-in-here"}), [
            (404, "/v1/users/nobody/password", {"password": "signs-in-here"}),
            (409, "/v1/users/ldap/password", {"password": "signs-in-here"})]
    for kind, body in (("roles", {"rules": []}), ("users", {}), ("groups", {})):
        def target(kind=kind):
            return f"/v1/{kind}/{new('put-')}"

        def to_lose(kind=kind, body=body):
            where = f"/v1/{kind}/{new('lose-')}"
            s.put(where, body).must(201)
            return where
        s.put(f"/v1/{kind}/known", body).must(201)
        yield ("PUT", target, body), []
        yield ("PUT", f"/v1/{kind}/known", lambda b=body: {
            **b, "comment": new("c")}), (
                [(409, "/v1/roles/admin", body)] if kind == "roles" else [])
        yield ("GET", f"/v1/{kind}"), []
        yield ("GET", f"/v1/{kind}/known"), [(404, f"/v1/{kind}/nobody")]
        yield ("DELETE", to_lose), [(404, f"/v1/{kind}/nobody")] + (
            [(409, "/v1/roles/admin")] if kind == "roles" else [])
    yield ("PUT", "/v1/groups/known/members/known"), [
        (404, "/v1/groups/nobody/members/known")]

    def member_to_lose():
        s.put("/v1/groups/known/members/known").must(200)
        return "/v1/groups/known/members/known"
    yield ("DELETE", member_to_lose), [
        (404, "/v1/groups/known/members/nobody")]


def quota_requests(s):
    limits = {"resources": {"warn": 900, "refuse": 1000}}
    nowhere = "/v1/quotas/nowhere.roster"

    def target():
        return "/v1/quotas/" + make_ns(s)

    def to_lose():
        where = target()
        s.put(where, limits).must(201)
        return where
    kept = to_lose()
    yield ("PUT", target, limits), [(404, nowhere, limits)]
    yield ("PUT", kept, {"bytes": {"warn": 900}}), []
    yield ("GET", "/v1/quotas"), []
    yield ("GET", kept), [(404, nowhere)]
    yield ("DELETE", to_lose), [(404, nowhere)]


def named(template, ns="pool.roster"):
    """A path of that shape."""
    id_ = "0" * 26 if re.search("tokens|sessions", template) else "a"
    return template.format(ns=ns, type="service", id=id_, hostname="web-1",
                           node="n9", name="known", user="known")


def guarded(document):
    """Nobody, and somebody who may nothing, asks for everything."""
    bodies = {"/v1/ns": {"parent": "roster", "name": "x"},
              "/v1/ns/{ns}": {"comment": "x"},
              "/v1/txn": {"do": [{"op": "delete", "ns": "pool.roster",
                                  "type": "t", "id": "a"}]},
              "/v1/agents": {"hostname": "web-1"},
              "/v1/heartbeats": {"hostnames": ["web-1"]},
              "/v1/tokens": {"roles": ["reader"]},
              "/v1/sessions": {"user": "nobody", "password": "x"},
              "/v1/users/{name}/password": {"password": "another one"}}
    with Server("--access") as s:
        s.put("/v1/roles/nothing", {"rules": []}).must(201)
        token = s.post("/v1/tokens", {"roles": ["nothing"]}).must(201).json
        call = Replay(s, document)
        own = f"/v1/tokens/{s.admin_token()[4:30]}"
        until(lambda: s.get(own).status == 200)
        call("DELETE", own).must(409)
        session = named("/v1/sessions/{id}")
        call("DELETE", session).must(404)
        call("DELETE", session + "?nonsense=1").must(400)
        s.put("/v1/roles/keyed", {"rules": []}, {"Idempotency-Key": "used"}
              ).must(201)
        call("DELETE", session, Idempotency_Key="used").must(422)
        callers = {"401": s.client(token=None),
                   "403": s.client(token=token["token"])}
        for template, item in document.doc["paths"].items():
            for method in METHODS:
                known = item.get(method, {}).get("responses", {})
                for status in {"401", "403"} & set(known):
                    body = bodies.get(template, {"to": "pool.roster"}) \
                        if "requestBody" in item[method] else None
                    more = [] if body is None else [body]
                    Replay(s, document)(
                        method.upper(), named(template), *more,
                        client=callers[status]).must(int(status))


def real(x):
    return x() if callable(x) else x


def hold(s):
    """What an operator may say of a scope that is held: all in it is silent."""
    target = {"action": "extend", "ns": "quiet.roster", "duration": "1h"}
    if s.get("/v1/ns/quiet.roster").status == 404:
        make_ns(s, name="quiet", match="^quiet-")
        s.post("/v1/agents", {"hostname": "quiet-1", "ttl": "2s"}).must(201)

        def is_held():
            scopes = s.get("/v1/admin/breaker").must(200).json["scopes"]
            return any(x["ns"] == target["ns"] and x["state"] == "held"
                       for x in scopes)
        until(is_held, 10)
    return target


@bare(timeout=120)
def every_documented_status_can_be_seen_and_is_as_documented():
    document = Document()
    with Server("--max-body", "64KiB", "--breaker-min", "1") as s:
        what = build(s)
        call = Replay(s, document)
        s.post(make_list(s), {"name": "k"}, {"Idempotency-Key": "used"}).must(201)
        late = []
        for (method, target, *body), failing in requests(s, *what):
            success(document, call, method, target, body, late)
            for want, *other in failing:
                # A failing request that names only its body has the target of
                # the one that succeeds.
                where = real(other[0]) if isinstance(real(other[0]), str) \
                    else real(target)
                b = [x for x in map(real, other) if not isinstance(x, str)]
                call(method, where, *b).must(want)
        in_threads(len(late), lambda i: call(
            "GET", late[i], client=s.client(), **{
                "Roster_Min_Revision": str(2**52)}).must(503))
        cluster(call)
        watch(document, call, what[1])
        options_of_all(document, call, what)
        restore(document, s)
        full(document, s)
    draining(document)
    guarded(document)
    judge(document)


def success(document, call, method, target, body, late):
    """An operation's good request, and all that can be wrong with any."""
    def once(**headers):
        return call(method, real(target), *map(real, body), **headers)
    a = once().must(200, 201, 204)
    where = real(target)
    call(method, where + ("&" if "?" in where else "?") + "nonsense=1",
         *map(real, body)).must(400)
    _, item = document.route(where)
    operation = item[method.lower()]
    takes = {document.deref(p).get("name")
             for p in operation.get("parameters", [])}
    if "requestBody" in operation:
        call(method, where, {"x": "y" * 70_000}).must(413)
        if "415" in operation["responses"]:
            once(Content_Type="image/png").must(415)
        keyed = once(Idempotency_Key=f"key-{method}-{time.monotonic_ns()}")
        keyed.must(200, 201, 204,
                   *(() if "Idempotency-Key" in takes else (400,)))
    if "Idempotency-Key" in takes:
        once(Idempotency_Key="used").must(422)
    if "If-Match" in takes:
        once(If_Match='"1"').must(412)
    if method == "GET":
        call("HEAD", where).must(200)
        call("HEAD", where + ("&" if "?" in where else "?") + "nonsense=1"
             ).must(400)
        if "If-None-Match" in takes:
            once(If_None_Match=a.etag).must(304)
            call("HEAD", where, If_None_Match=a.etag).must(304)
        if "Roster-Min-Revision" in takes and where not in late:
            late.append(where)


def cluster(call):
    """What a node alone says no to."""
    node = {"id": "n9", "raft": "127.0.0.1:1"}
    for target, good in (("nodes", node), ("transfer", {"to": "n9"})):
        target = "/v1/cluster/" + target
        call("POST", target, {"x": "y" * 70_000}).must(413)
        call("POST", target, good, Content_Type="image/png").must(415)
        call("POST", target, good, Idempotency_Key="k").must(400)
    call("POST", "/v1/cluster/nodes", []).must(400)
    call("POST", "/v1/cluster/transfer", {"to": 7}).must(400)
    call("POST", "/v1/cluster/transfer", {"to": "nobody"}).must(404)
    call("POST", "/v1/cluster/transfer").must(409)
    call("DELETE", "/v1/cluster/nodes/n9").must(404)
    call("DELETE", "/v1/cluster/nodes/n1").must(409)


def watch(document, call, ns):
    """A stream has no end: so much of it is looked at."""
    target = path("v1", "watch", ns=ns, since=1)
    for kind in ("text/event-stream", "application/x-ndjson"):
        with call.s.wire() as wire:
            wire.send(request_bytes("GET", target, headers=[("Accept", kind)])
                      .replace(b"HTTP/1.1", b"HTTP/1.0", 1))
            while b'"progress"' not in wire.buffer:
                assert wire._more(), wire.buffer
            head, body = wire.buffer.split(b"\r\n\r\n", 1)
        first, *lines = head.decode().split("\r\n")
        headers = {n.lower(): v.strip() for n, _, v in
                   (line.partition(":") for line in lines)}
        events = body.split(b"\n")[:-1] if "ndjson" in kind else [body]
        assert len(events) > 3 or "ndjson" not in kind, body
        for event in events:
            document.answer(Answer("GET", target, int(first.split()[1]),
                                   headers, event))
    call("GET", path("v1", "watch", ns="nowhere.roster")).must(404)
    for method in ("GET", "HEAD"):
        call(method, path("v1", "watch", nonsense=1)).must(400)
    call("HEAD", target).must(200)
    call("GET", target, Roster_Min_Revision=str(2**52)).must(503)


def options_of_all(document, call, what):
    for template, item in document.doc["paths"].items():
        target = named(template, what[1])
        call("OPTIONS", target).must(204)
        call("OPTIONS", target + "?nonsense=1").must(204, 400)
        for method in ("PUT", "PATCH", "DELETE"):
            if method.lower() not in item:
                call.s.call(method, target).problem(405)


RESTORE = "/v1/admin/restore"


def restore(document, s):
    """Its body is no JSON, and its limits are others."""
    def once(body, **headers):
        a = s.call("POST", RESTORE, raw=body, headers={
            "Content-Type": "application/octet-stream", **headers})
        document.answer(a)
        return a
    file = s.get("/v1/admin/backup").must(200).body
    once(file).must(200)
    once(file[:-1]).must(400)
    once(file, **{"Content-Encoding": "gzip"}).must(415)
    with s.wire() as wire:
        wire.send(request_bytes("POST", RESTORE, headers=[
            ("Content-Length", str(2**60))]))
        a = wire.answer()
        a.method, a.path = "POST", RESTORE
        document.answer(a.must(413))


def full(document, s):
    """The same successes with no room left."""
    file = s.get("/v1/admin/backup").must(200).body
    assert s.stop() == 0
    s.flags += ["--disk-reserve", "1048576GiB"]
    s.start()
    call = Replay(s, document)
    verbs = {"move", "copy"}
    for template, item in document.doc["paths"].items():
        for method in METHODS:
            if "507" not in item.get(method, {}).get("responses", {}):
                continue
            target = named(template, "web.shop.roster")
            name = template.rsplit("/", 1)[1]
            if template == RESTORE:
                document.answer(s.post(template, raw=file).must(507))
                continue
            if template.startswith("/v1/admin/"):
                call(method.upper(), target).must(507)
                continue
            if name in verbs:
                body = {"to": "pool.roster"}
            elif template.startswith("/v1/types"):
                body = {"required": ["more"]}
                target = "/v1/types/more"
            elif name == "password":
                target = "/v1/users/signs/password"
                body = {"password": "signs-in-here"}
            elif name == "sessions":
                body = {"user": "signs", "password": "signs-in-here"}
            elif template.startswith("/v1/quotas"):
                target = "/v1/quotas/pool.roster"
                body = {"resources": {"warn": 9}}
            elif re.match("/v1/(roles|users|groups|tokens)", template):
                body = {"roles": ["reader"]} if "roles" not in template \
                    else {"rules": [], "comment": "more"}
                if "members" in template:
                    target = "/v1/groups/known/members/known"
                    call(method.upper(), target).must(507)
                    continue
            else:
                body = FULL_BODIES[method, name]
            call(method.upper(), target, body).must(507)


# Requests that would make the registry larger, by method and end of the path.
FULL_BODIES = {
    ("post", "ns"): {"parent": "roster", "name": "more"},
    ("patch", "{ns}"): {"comment": "more"},
    ("post", "{type}"): {"name": "more"},
    ("put", "{type}"): [{"name": "more"}],
    ("put", "{id}"): {"v": "more"},
    ("patch", "{id}"): {"v": "more"},
    ("post", "txn"): {"do": [{"op": "put", "ns": "pool.roster", "type": "t",
                              "resource": {"v": "more"}}]},
    ("post", "agents"): {"hostname": "more"},
    ("put", "maintenance"): {"duration": "1h"},
}


def draining(document):
    with Server("--drain", "2s") as s:
        s.signal(signal.SIGTERM)
        time.sleep(0.3)
        Replay(s, document)("GET", "/readyz").must(503)


def judge(document):
    missing = []
    for method, template, status in sorted(document.documented() - document.seen):
        excused = any(re.match(r + r"\Z", f"{method} {template}") and
                      re.fullmatch(c, status) for r, c in OUT_OF_REACH)
        wild = status in ("default", "5XX") or (
            status == "4XX" and method == "OPTIONS")
        if not excused and not wild:
            missing.append(f"{method} {template} {status}: never seen")
    say(f"{len(document.seen)} documented answers seen")
    faults = list(dict.fromkeys(document.faults))
    assert not faults and not missing, "\n".join(faults[:40] + missing)


@bare
def the_document_is_served_and_says_what_the_file_says():
    doc = load()
    with Server() as s:
        served = s.get("/openapi.json").must(200).json
        assert served == doc, "differs from api/openapi.yaml"


@bare
def the_document_names_every_route_and_its_examples_are_true():
    from test_protocol import ROUTES
    document = Document()
    have = {}
    for template, item in document.doc["paths"].items():
        have[template] = {m.upper() for m in METHODS if m in item} - {
            "HEAD", "OPTIONS"}
    want = {}
    for target, methods in ROUTES.items():
        template, _ = document.route(target)
        assert template, f"{target} is not documented"
        want[template] = methods
    assert have == want, (have, want)

    def walk(x, where):
        """Examples stand beside their schema, in media types and parameters."""
        if isinstance(x, list):
            for i, y in enumerate(x):
                walk(y, f"{where}/{i}")
        if not isinstance(x, dict):
            return
        if "schema" in x:
            values = [e["value"] for e in x.get("examples", {}).values()]
            values += [x["example"]] if "example" in x else []
            for value in values:
                document.check(x["schema"], value, where)
        for name, y in x.items():
            if name not in ("example", "examples", "schema"):
                walk(y, f"{where}/{name}")
    walk(document.doc, "")
    operations = [item[m].get("operationId") for item in
                  document.doc["paths"].values() for m in METHODS if m in item]
    assert len(set(operations)) == len(operations) and None not in operations
    assert not document.faults, "\n".join(document.faults)
