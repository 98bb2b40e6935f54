"""HTTP itself (BRIEF 4, 4.5, 8.11) and how rosterd is started and stopped."""
import json
import os
import re
import signal
import socket
import time

from harness import (Client, Lost, Server, Skip, bare, binary, environment,
                     in_threads, make_list, make_ns, path, request_bytes, run, shared, test,
                     until)

# One path of each route -> the methods it allows besides HEAD and OPTIONS.
ROUTES = {
    "/v1/ns": {"GET", "POST"},
    "/v1/ns/pool.roster": {"GET", "PATCH", "DELETE"},
    "/v1/ns/pool.roster/thing": {"GET", "POST", "PUT"},
    "/v1/ns/pool.roster/thing/a": {"GET", "PUT", "PATCH", "DELETE"},
    "/v1/ns/pool.roster/thing/a/move": {"POST"},
    "/v1/ns/pool.roster/thing/a/copy": {"POST"},
    "/v1/ns/pool.roster/thing/a/maintenance": {"PUT", "DELETE"},
    "/v1/types": {"GET"},
    "/v1/types/machine": {"GET", "PUT"},
    "/v1/search": {"GET"},
    "/v1/watch": {"GET"},
    "/v1/txn": {"POST"},
    "/v1/agents": {"GET", "POST"},
    "/v1/agents/h": {"GET", "DELETE"},
    "/v1/agents/h/heartbeat": {"PUT"},
    "/v1/agents/h/maintenance": {"PUT", "DELETE"},
    "/v1/heartbeats": {"POST"},
    "/v1/whoami": {"GET"},
    "/v1/tokens": {"GET", "POST"},
    "/v1/tokens/01JD3QK6V9AAAAAAAAAAAAAAAA": {"GET", "DELETE"},
    "/v1/quotas": {"GET"},
    "/v1/quotas/web.roster": {"GET", "PUT", "DELETE"},
    "/v1/roles": {"GET"},
    "/v1/roles/web": {"GET", "PUT", "DELETE"},
    "/v1/users": {"GET"},
    "/v1/users/ann": {"GET", "PUT", "DELETE"},
    "/v1/groups": {"GET"},
    "/v1/groups/web": {"GET", "PUT", "DELETE"},
    "/v1/groups/web/members/ann": {"PUT", "DELETE"},
    "/v1/users/ann/password": {"PUT"},
    "/v1/sessions": {"GET", "POST"},
    "/v1/sessions/01JD3QK6V9AAAAAAAAAAAAAAAA": {"DELETE"},
    "/v1/admin/backup": {"GET"},
    "/v1/admin/restore": {"POST"},
    "/v1/admin/snapshot": {"POST"},
    "/v1/admin/snapshots": {"GET"},
    "/v1/admin/audit": {"GET"},
    "/v1/admin/digest": {"GET"},
    "/v1/admin/history": {"GET", "PUT"},
    "/v1/admin/breaker": {"GET", "POST"},
    "/v1/cluster": {"GET"},
    "/v1/cluster/nodes": {"POST"},
    "/v1/cluster/nodes/n9": {"DELETE"},
    "/v1/cluster/transfer": {"POST"},
    "/leader": {"GET"},
    "/livez": {"GET"},
    "/readyz": {"GET"},
    "/metrics": {"GET"},
    "/openapi.json": {"GET"},
}
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")


def allowed(answer):
    return set(re.split(r"\s*,\s*", answer.headers.get("allow", "")))


@shared
def every_route_says_what_it_allows_and_refuses_the_rest_with_405(s):
    for route, methods in ROUTES.items():
        want = methods | {"OPTIONS"} | ({"HEAD"} if "GET" in methods else set())
        a = s.options(route).must(204)
        assert allowed(a) == want, (route, a.headers)
        for method in METHODS:
            if method in methods:
                continue
            a = s.call(method, route)
            a.problem(405)
            assert allowed(a) == want, (method, route, a.headers)
        if "GET" not in methods:
            assert s.head(route).must(405).headers.get("allow")


@shared
def head_is_get_without_the_body(s):
    things = make_list(s)
    s.post(things, [{"name": f"n{i}"} for i in range(30)]).must(201)
    s.post("/v1/agents", {"hostname": "head-1"}).must(201)
    s.post(things, {"name": "n1"}).must(409)
    for target in (things, things + "/n1", things + "?limit=3", "/v1/ns",
                   path("v1", "ns", things.split("/")[3]), "/v1/types",
                   "/v1/types/machine", "/v1/search?k=name&v=n1",
                   "/v1/agents/head-1", "/livez", "/readyz", "/leader",
                   "/openapi.json", things + "/nobody", "/v1/nothing"):
        get, head = s.get(target), s.head(target)
        assert head.status == get.status, (target, head)
        for name in ("content-type", "etag", "link", "content-length"):
            if name == "content-length" and target.startswith("/v1/agents"):
                continue  # holds a time
            assert head.headers.get(name) == get.headers.get(name), (
                target, name, head.headers, get.headers)
    s.head("/metrics").must(200)
    # The connection is still in step.
    s.get("/livez").must(200)


@shared
def unknown_paths_are_404_problems(s):
    for target in ("/", "/v1", "/v2/ns", "/v1/nothing", "/v1/ns/pool.roster/a/b/c",
                   "/v1/ns/pool.roster/thing/a/rename", "/favicon.ico",
                   "/v1/agents/h/heartbeats", "/v1/types/a/b", "/LIVEZ"):
        s.get(target).problem(404)
    for method in ("POST", "PUT", "DELETE"):
        s.call(method, "/v1/nothing").problem(404)


@shared
def an_unknown_parameter_is_400_on_every_route(s):
    for route, methods in ROUTES.items():
        if route in ("/livez", "/readyz", "/leader", "/metrics",
                     "/openapi.json"):
            continue
        for method in sorted(methods):
            a = s.call(method, route + "?nonsense=1")
            assert a.status in (400, 404), (method, a)
            if a.status == 400 and method in ("GET", "DELETE"):
                a.problem(400, field="nonsense")
    s.get("/v1/ns?depth=1&depth=2").must(200, 400)
    s.get("/v1/ns?").must(200)
    s.get("/v1/ns?&").must(200, 400)
    s.get("/v1/ns?depth=%zz").problem(400)
    s.get("/v1/ns?depth=%ff").problem(400)
    s.get("/v1/ns?depth").problem(400)


@shared
def a_problem_says_type_title_status_and_detail(s):
    for a in (s.get("/v1/ns/nothing.roster"), s.post("/v1/ns", {}),
              s.get("/nothing"), s.put("/livez"),
              s.get("/v1/ns/pool.roster/thing/nobody")):
        p = a.problem(a.status)
        assert isinstance(p["type"], str) and p["type"], p
        assert len(p["detail"]) > 10, p
    p = s.get("/v1/ns/pool.roster/thing/nobody").problem(404)
    assert "nobody" in p["detail"], "the detail does not name the thing"


@shared
def bodies_are_json_in_utf_8(s):
    things = make_list(s)
    s.post(things, {"name": "ä"}).must(201)
    for target in (things, things + "/%C3%A4", "/v1/ns", "/v1/types",
                   "/openapi.json", "/leader"):
        a = s.get(target).must(200)
        assert a.headers["content-type"].startswith("application/json"), (
            target, a.headers)
        a.body.decode("utf-8")
    assert "ä".encode() in s.get(things).body


@test(server="shared", flags=("--max-body", "64KiB"))
def a_body_over_the_limit_is_413(s):
    things = make_list(s)
    room = 64 * 1024
    fits = json.dumps({"name": "fits"}).encode().ljust(room)
    s.post(things, raw=fits).must(201)
    s.post(things, raw=fits + b" ").problem(413)
    s.put(things + "/a", raw=b'{"x":"' + b"y" * room + b'"}').problem(413)
    s.post("/v1/txn", raw=b"x" * (room + 1)).problem(413)
    # Chunked: nobody said how large it will be.
    with s.wire() as w:
        w.send(request_bytes("POST", things, headers=[
            ("Transfer-Encoding", "chunked")]))
        for _ in range(40):
            if not w.send(b"1000\r\n" + b" " * 4096 + b"\r\n"):
                break
        w.send(b"0\r\n\r\n")
        a = w.answer("POST")
        assert a is None or a.status == 413, a
    # Refused before it is sent, when the client asks first.
    with s.wire() as w:
        w.send(b"POST %s HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"
               b"Content-Length: 10000000\r\n\r\n" % things.encode())
        a = w.answer("POST")
        assert a.status in (413, 417), a
    assert [r["name"] for r in s.rows(things)] == ["fits"]


@shared
def one_connection_serves_many_requests(s):
    with s.wire() as w:
        for i in range(200):
            assert w.send(request_bytes("GET", "/v1/ns")), i
            assert w.answer().status == 200, i
        w.send(request_bytes("GET", "/livez",
                             headers=[("Connection", "close")]))
        assert w.answer().status == 200
        assert w.closed_within(5), "Connection: close was not honoured"


@shared
def pipelined_requests_are_answered_in_order(s):
    things = make_list(s)
    body = json.dumps({"name": "p"}).encode()
    with s.wire() as w:
        w.send(b"".join([request_bytes("GET", "/v1/ns?depth=0"),
                         request_bytes("POST", things, body),
                         request_bytes("GET", things + "/p"),
                         request_bytes("DELETE", things + "/p"),
                         request_bytes("GET", things + "/p")] * 4))
        got = [w.answer(m).status for _ in range(4)
               for m in ("GET", "POST", "GET", "DELETE", "GET")]
    assert got == [200, 201, 200, 204, 404] * 4, got


@shared
def old_clients_and_chunked_uploads_are_understood(s):
    things = make_list(s)
    with s.wire() as w:
        w.send(b"GET /livez HTTP/1.0\r\nHost: x\r\n\r\n")
        assert w.answer().status == 200
        assert w.closed_within(5), "HTTP/1.0 was kept open"
    with s.wire() as w:
        body = json.dumps({"name": "chunked"}).encode()
        w.send(request_bytes("POST", things, headers=[
            ("Transfer-Encoding", "chunked")]))
        for i in range(0, len(body), 3):
            part = body[i:i + 3]
            w.send(b"%x;ext=1\r\n%s\r\n" % (len(part), part))
        w.send(b"0\r\nTrailer: x\r\n\r\n")
        assert w.answer("POST").status == 201
        w.send(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
        assert w.answer().status == 200
    with s.wire() as w:
        body = json.dumps({"name": "expected"}).encode()
        w.send(request_bytes("POST", things, headers=[
            ("Expect", "100-continue"),
            ("Content-Length", str(len(body)))]))
        until(lambda: w._more() and b"100 Continue" in w.buffer, 5)
        w.send(body)
        assert w.answer("POST").status == 201
    assert {r["name"] for r in s.rows(things)} == {"chunked", "expected"}


# ---- health -----------------------------------------------------------------

@shared
def a_single_node_leads_itself_and_is_ready(s):
    leader = s.get("/leader").must(200).json
    assert leader["leader"] is True and leader["id"] == "n1", leader
    assert leader["term"] >= 1 and "address" in leader, leader
    for target in ("/livez", "/readyz", "/readyz?stale=1"):
        a = s.get(target).must(200)
        assert a.body == b"ok\n" and a.headers["content-type"].startswith(
            "text/plain"), a
    for target in ("/livez?verbose", "/readyz?verbose"):
        lines = s.get(target).must(200).body.decode().splitlines()
        checks = [x for x in lines if x.startswith("[")]
        assert checks and all(re.match(r"\[\+\]\S+ ok$", x) for x in checks), lines


@shared
def metrics_are_valid_and_count(s):
    a = s.get("/metrics").must(200)
    assert a.headers["content-type"].startswith("text/plain"), a.headers
    text = a.body.decode()
    typed, helped, seen = {}, set(), set()
    for line in text.splitlines():
        if m := re.fullmatch(r"# TYPE ([a-zA-Z_:][\w:]*) (counter|gauge|"
                             r"histogram|summary|untyped)", line):
            assert m[1] not in typed, f"TYPE twice: {line}"
            typed[m[1]] = m[2]
        elif m := re.match(r"# HELP ([a-zA-Z_:][\w:]*) \S", line):
            assert m[1] not in helped, f"HELP twice: {line}"
            helped.add(m[1])
        elif line and not line.startswith("#"):
            m = re.fullmatch(r'([a-zA-Z_:][\w:]*)'
                             r'(\{(?:[a-zA-Z_]\w*="(?:[^"\\]|\\.)*",?)*\})? '
                             r'([-+]?[\d.]+(e[-+]?\d+)?|[-+]?Inf|NaN)', line)
            assert m, f"no metric line: {line}"
            base = re.sub(r"_(bucket|sum|count)$", "", m[1])
            assert m[1] in typed or base in typed, f"no TYPE: {line}"
            assert line.rsplit(" ", 1)[0] not in seen, f"twice: {line}"
            seen.add(line.rsplit(" ", 1)[0])
            name = m[1] if m[1] in typed else base
            if typed[name] == "counter":
                assert m[1].endswith("_total"), f"counter's name: {line}"
    assert typed and set(typed) == helped, set(typed) ^ helped


# ---- start and stop ---------------------------------------------------------

@test(flags=("--drain", "2s"))
def a_draining_server_says_so_and_serves_on(s):
    things = make_list(s)
    keep = s.wire()
    keep.send(request_bytes("GET", "/livez"))
    assert "close" not in keep.answer().headers.get("connection", "").lower()
    began = time.monotonic()
    s.signal(signal.SIGTERM)
    time.sleep(0.3)
    keep.send(request_bytes("GET", "/readyz"))
    a = keep.answer()
    assert a.status == 503, "ready while draining"
    assert a.headers.get("connection", "").lower() == "close", a.headers
    assert keep.closed_within(3)
    c = s.client()
    c.post(things, {"name": "late"}).must(201)
    c.get("/livez").must(200)
    a = c.get(things).must(200)
    assert a.json[0]["name"] == "late" and \
        a.headers["connection"].lower() == "close", a.headers
    assert s.process.wait(15) == 0
    took = time.monotonic() - began
    assert 1.5 < took < 10, f"--drain 2s took {took:.1f} s"
    s.start()
    assert [r["name"] for r in s.rows(things)] == ["late"]


@test(flags=("--drain", "1s"))
def what_is_in_flight_at_sigterm_is_finished(s):
    things = make_list(s)
    body = json.dumps({"name": "slow"}).encode()
    with s.wire() as w:
        w.send(request_bytes("POST", things, headers=[
            ("Content-Length", str(len(body)))]) + body[:4])
        time.sleep(0.2)
        s.signal(signal.SIGTERM)
        time.sleep(0.2)
        w.send(body[4:])
        assert w.answer("POST").status == 201
    assert s.process.wait(15) == 0
    s.start()
    assert [r["name"] for r in s.rows(things)] == ["slow"]


@bare
def sigint_stops_and_sighup_does_not():
    with Server() as s:
        s.signal(signal.SIGHUP)
        time.sleep(0.3)
        s.get("/readyz").must(200)
        s.signal(signal.SIGINT)
        assert s.process.wait(15) == 0


@bare
def the_log_is_one_json_object_a_line_and_names_the_port_first():
    with Server() as s:
        s.get("/v1/ns").must(200)
        lines = [json.loads(line) for line in s.log_lines()]
        assert all("msg" in line for line in lines), lines
        assert lines[0]["msg"] == "listening", lines[0]
        assert lines[0]["http"] == f"127.0.0.1:{s.port}", lines[0]
    with Server("--id", "other", node="other") as s:
        assert s.get("/v1/ns").headers["roster-node"] == "other"
        assert s.get("/leader").json["id"] == "other"


@bare
def settings_come_from_flags_then_environment_then_file():
    with Server(start=False) as s:
        conf = os.path.join(s.home, "conf")
        with open(conf, "w", encoding="ascii") as f:
            f.write("# a comment\ndomain = from-file\nid = file\n")
        s.flags += ["--config", conf, "--id", "n1"]
        s.env = environment(ROSTER_DOMAIN="from-env")
        s.start()
        assert s.get("/v1/ns").json["name"] == "from-env"
    with Server(start=False) as s:
        for flags, says in ((["--no-such-flag", "x"], "no-such-flag"),
                            (["--data-dirr", "x"], "data-dir"),
                            (["--drain", "soon"], "drain"),
                            (["--http", "nonsense"], "http"),
                            (["--http", "127.0.0.1:99999"], "http"),
                            (["--max-body", "-1"], "max-body"),
                            (["--id", ""], "id"),
                            (["--domain", "Not_A_Name"], "domain")):
            code, _, err = run([binary("rosterd"), "--data-dir", s.data_dir,
                                *flags])
            assert code not in (0, -11, -6) and says in err, (flags, code, err)
        with open(conf := os.path.join(s.home, "conf2"), "w",
                  encoding="ascii") as f:
            f.write("domian = x\n")
        code, _, err = run([binary("rosterd"), "--config", conf])
        assert code > 0 and "domian" in err and conf in err, (code, err)
        code, _, err = run([binary("rosterd")],
                           env=environment(ROSTER_DOMIAN="x"))
        assert code > 0 and "ROSTER_DOMIAN" in err, (code, err)


@bare
def the_programs_explain_themselves():
    for name in ("rosterd", "roster-agent", "roster"):
        code, out, _ = run([binary(name), "--help"])
        assert code == 0 and "--" in out, (name, code, out)
        code, out, _ = run([binary(name), "--version"])
        assert code == 0 and re.search(r"\d+\.\d+", out), (name, code, out)


@bare
def listening_elsewhere_turns_access_control_on():
    for address in ("0.0.0.0:0", "[::]:0"):
        with Server("--http", address, start=False) as s:
            s.start()
            s.get("/v1/ns").problem(401)
            s.get("/livez").must(200)
            log = "\n".join(s.log_lines())
            assert "plain HTTP" in log and s.data_dir in log, log
            s.stop()


@bare
def nodes_reach_each_other_unencrypted_only_when_that_is_allowed():
    with Server(start=False) as s:
        for address in ("0.0.0.0:0", "[::]:0"):
            code, _, err = run([binary("rosterd"), "--data-dir", s.data_dir,
                                "--http", "127.0.0.1:0", "--raft", address])
            assert code == 2 and "--insecure" in err, (address, code, err)


@bare
def what_is_guarded_and_open_to_all_at_once_is_refused():
    with Server(start=False) as s:
        code, _, err = run([binary("rosterd"), "--data-dir", s.data_dir,
                            "--http", "127.0.0.1:0", "--access", "--insecure"])
        assert code == 2 and "--access" in err, (code, err)


@bare
def a_cluster_that_cannot_be_meant_is_refused_by_name():
    with Server(start=False) as s:
        for flag, value in (("--join", "127.0.0.1:1"),
                            ("--cluster", "n2=127.0.0.1:1,n3=127.0.0.1:2"),
                            ("--cluster", "n1"),
                            ("--voters", "2")):
            code, _, err = run([binary("rosterd"), "--data-dir", s.data_dir,
                                "--http", "127.0.0.1:0", "--raft",
                                "127.0.0.1:0", flag, value])
            assert code == 2 and flag in err, (flag, code, err)


@bare
def a_taken_port_is_an_error_that_names_it():
    with Server() as s, Server("--http", f"127.0.0.1:{s.port}",
                               start=False) as other:
        code, _, err = run(other.argv())
        assert code > 0 and str(s.port) in err, (code, err)
        s.get("/livez").must(200)


@bare
def ipv6_loopback_works_where_there_is_one():
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        raise Skip("no IPv6 here") from None
    with Server("--http", "[::1]:0", start=False) as s:
        s.start(wait=False)
        s.wait_listening()
        c = Client(s.port, host="::1", node="n1")
        until(lambda: c.get("/readyz").status == 200)


@test(flags=("--io-threads", "4"))
def several_io_threads_tell_one_story(s):
    things = make_list(s)
    clients = [s.client() for _ in range(16)]
    for i in range(100):
        made = clients[i % 16].post(things, {"name": f"n{i}"}).must(201)
        got = clients[(i + 5) % 16].get(things, headers={
            "Roster-Min-Revision": str(made.revision)}).must(200)
        assert len(got.json) == i + 1


@test(flags=("--io-threads", "4"))
def what_was_answered_is_seen_by_everyone_and_time_never_goes_back(s):
    """Reads of one node, over many connections and threads, with the cache in
    between: a list never shows less than what was acknowledged before the read
    began, and never an older revision than one already shown."""
    things = make_list(s)
    acknowledged, shown, done = [0], [0], []

    def etag(a): return int(a.etag.strip('"'))

    def write_or_read(i):
        c = s.client()
        if i < 3:
            for k in range(150):
                row = c.put(f"{things}/n{i}", {"k": str(k)}).must(200, 201).json
                acknowledged[0] = max(acknowledged[0], row["_rev"])
                assert c.get(f"{things}/n{i}").json == row, "not my own write"
            done.append(i)
            return
        while len(done) < 3:
            least, seen = acknowledged[0], shown[0]
            a = c.get(things).must(200)
            got = etag(a)
            assert got >= least, f"showed {got} after {least} was acknowledged"
            assert got >= seen, f"showed {got} after it had shown {seen}"
            assert got == max((r["_rev"] for r in a.json), default=got), a
            assert a.revision >= got, a.headers
            shown[0] = max(shown[0], got)
    in_threads(12, write_or_read)


@bare
def before_it_is_ready_it_answers_503_never_an_empty_list():
    with Server() as s:
        things = make_list(s)
        for i in range(5):
            s.post(things, [{"x": "y" * 1000}] * 1000).must(201)
        s.kill()
        s.start(wait=False)
        s.wait_listening()
        seen, end = set(), time.monotonic() + 30
        while time.monotonic() < end:
            try:
                a = s.get(things)
            except Lost:
                continue
            seen.add(a.status)
            if a.status == 200:
                assert len(a.json) == 5000, "less than it knew"
                break
            a.problem(503)
            assert int(a.headers["retry-after"]) >= 0, a.headers
        assert 200 in seen, seen
        make_ns(s)
