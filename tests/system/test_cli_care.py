"""roster breaker, roster maintenance, and what roster agents tells of both,
against a server that answers what it is told to and remembers what it was
asked."""
import contextlib
import http.server
import json
import threading
import time

import cli
from cli import as_json, good, refused
from harness import (bare, binary, fresh_name, make_ns, path, run,
                     shared, test, until)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self):
        n = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(n)) if n else None
        self.server.asked.append((self.command, self.path, body))
        status, said = self.server.answers.get(
            (self.command, self.path.split("?")[0]), (404, {
                "title": "Not Found", "status": 404,
                "detail": f"there is nothing at {self.path}"}))
        out = b"" if said is None else json.dumps(said).encode()
        self.send_response(status)
        if status != 204:
            self.send_header("Content-Length", str(len(out)))
        self.end_headers()
        self.wfile.write(out)

    do_GET = do_PUT = do_POST = do_DELETE = answer

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def fake(answers):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.answers, server.asked = answers, []
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


def roster(server, *argv):
    return run([binary("roster"), "--server",
                f"http://127.0.0.1:{server.server_port}", *argv])


def agent(hostname, **more):
    return {"hostname": hostname, "state": "alive", "last_heartbeat_ms": 1200,
            "ttl_ms": 30000, "lease": "x", "placements": {"pool.roster": "x"},
            "flapping": False, "maintenance": False, **more}


AGENTS = [agent("calm"), agent("restless", flapping=True),
          agent("away", state="held"),
          agent("open", maintenance=True, maintenance_reason="new \x1b disk",
                maintenance_until="2026-11-21T12:00:00Z")]


@bare
def agents_that_flap_are_held_or_in_maintenance_are_told_apart():
    with fake({("GET", "/v1/agents"): (200, AGENTS)}) as server:
        code, out, err = roster(server, "agents")
        assert code == 0 and not err, err
        lines = {x.split()[0]: x for x in out.splitlines()}
        assert "MAINTENANCE" in lines["HOSTNAME"], out
        assert " alive, flapping " in lines["restless"], out
        assert " held " in lines["away"] and " alive " in lines["calm"], out
        assert lines["open"].endswith(
            r"until 2026-11-21T12:00:00Z: new \x1b disk"), out
        assert json.loads(roster(server, "--json", "agents")[1]) == AGENTS
        code, out, _ = roster(server, "maintenance")
        assert code == 0 and "open" in out and "calm" not in out, out
        code, out, _ = roster(server, "--json", "maintenance", "list")
        assert json.loads(out) == AGENTS[3:], out
    with fake({("GET", "/v1/agents"): (200, AGENTS[:1])}) as server:
        assert "MAINTENANCE" not in roster(server, "agents")[1]
        code, out, err = roster(server, "maintenance")
        assert code == 0 and not out and "nothing found" in err, (out, err)


@bare
def maintenance_begins_and_ends_for_machines_and_resources():
    at = "/v1/agents/web-1/maintenance"
    row = "/v1/ns/web.roster/vip/a%2Fb/maintenance"
    with fake({("PUT", at): (200, agent("web-1")), ("DELETE", at): (204, None),
               ("PUT", row): (200, {"_id": "x"}),
               ("DELETE", row): (200, {"_id": "x"})}) as server:
        code, out, err = roster(server, "maintenance", "begin", "web-1",
                                "web.roster/vip/a/b", "--for", "2h",
                                "--reason", "new disks")
        assert code == 0 and not err, err
        assert out == ("web-1 is in maintenance\n"
                       "web.roster/vip/a/b is in maintenance\n"), out
        asked = {"reason": "new disks", "duration": "2h"}
        assert server.asked == [("PUT", at, asked), ("PUT", row, asked)]
        server.asked.clear()
        assert roster(server, "maintenance", "begin", "web-1")[0] == 0
        assert server.asked == [("PUT", at, {"duration": "1h"})]
        server.asked.clear()
        code, out, _ = roster(server, "maintenance", "end", "web-1",
                              "web.roster/vip/a/b")
        assert code == 0 and out.count("in maintenance no more\n") == 2, out
        assert [x[0] for x in server.asked] == ["DELETE", "DELETE"]
        # One that is refused keeps the others from nothing.
        code, out, err = roster(server, "maintenance", "end", "nobody", "web-1")
        assert code == 1 and "web-1" in out and "nobody" in err, (out, err)


@bare
def the_breaker_is_shown_released_and_extended():
    now = int(time.time() * 1000)
    scope = {"ns": "shop.roster", "state": "held", "leases": 100,
             "suspect": 40, "since_ms": now - 60000, "until_ms": now + 240000}
    answer = {"percent": 15, "min": 10, "hold_ms": 300000, "rate": 10,
              "scopes": [{"ns": "roster", "state": "closed", "leases": 500,
                          "suspect": 41, "since_ms": 0, "until_ms": 0}, scope]}
    with fake({("GET", "/v1/admin/breaker"): (200, answer),
               ("POST", "/v1/admin/breaker"): (200, scope)}) as server:
        code, out, err = roster(server, "breaker")
        assert code == 0 and not err, err
        lines = out.splitlines()
        assert len(lines) == 3 and "closed" in lines[1], out
        assert "held" in lines[2] and " ago" in lines[2], out
        assert "in 3 min" in lines[2], out
        assert json.loads(roster(server, "--json", "breaker", "list")[1]
                          ) == answer
        server.asked.clear()
        for argv, body in (
                (("release",), {"action": "release"}),
                (("release", "shop.roster"),
                 {"action": "release", "ns": "shop.roster"}),
                (("extend", "5m"), {"action": "extend", "duration": "5m"}),
                (("extend", "shop.roster", "90s"),
                 {"action": "extend", "ns": "shop.roster", "duration": "90s"})):
            code, out, err = roster(server, "breaker", *argv)
            assert code == 0 and "shop.roster" in out, (argv, out, err)
            assert server.asked.pop() == ("POST", "/v1/admin/breaker", body)


@bare
def what_is_misused_is_told_before_anything_is_asked():
    with fake({}) as server:
        for argv, says in (
                (("breaker", "extend"), "extend [NS] TIME"),
                (("breaker", "extend", "a.roster"), "no time"),
                (("breaker", "release", "a", "b"), "release [NS]"),
                (("breaker", "trip"), "release"),
                (("maintenance", "begin"), "TARGET"),
                (("maintenance", "web-1"), "begin TARGET"),
                (("maintenance", "begin", "a.roster/vip"), "NS/TYPE/ID"),
                (("maintenance", "end", "x", "--for", "2h"), "end TARGET"),
                (("agents", "--for", "2h"), "takes no --for")):
            code, out, err = roster(server, *argv)
            assert code == 2 and says in err and not out, (argv, code, err)
        assert not server.asked, server.asked


# ---- real servers -----------------------------------------------------------

@shared
def machines_and_resources_are_in_maintenance_and_out_of_it(s):
    name, ns = fresh_name("host"), make_ns(s)
    s.post("/v1/agents", {"hostname": name}).must(201)
    good(s, "add", ns, "vip", "name=a/b")
    target = f"{ns}/vip/a/b"
    good(s, "maintenance", "begin", name, target, "--for", "2d", "--reason",
         "new disks")
    assert ": new disks" in good(s, "maintenance")
    assert name in [a["hostname"] for a in as_json(s, "maintenance")]
    assert "new disks" in as_json(s, "get", ns, "vip", "a/b")["_maintenance"]
    good(s, "maintenance", "end", name, target)
    assert name not in [a["hostname"] for a in as_json(s, "maintenance")]
    assert "_maintenance" not in as_json(s, "get", ns, "vip", "a/b")
    refused(s, "maintenance", "begin", name, "--for", "soon", says="soon")
    refused(s, "maintenance", "begin", "no-such-host", says="no-such-host")


@shared
def a_breaker_that_holds_nothing_is_closed(s):
    assert "closed" in good(s, "breaker")
    assert as_json(s, "breaker") == s.get("/v1/admin/breaker").json
    refused(s, "breaker", "release", says="holds nothing")
    refused(s, "breaker", "extend", "5m", says="holds nothing")


@test(timeout=90)
def a_breaker_that_holds_is_shown_and_released(s):
    for i in range(20):
        s.post("/v1/agents", {"hostname": f"h{i}", "ttl": "2s"}).must(201)
    until(lambda: "held" in good(s, "breaker"), 20)
    until(lambda: good(s, "agents").count(" held ") == 20, 20)
    until(lambda: "removal of 20 agents is held: look at 'roster breaker'" in
          good(s, "status"), 20)
    extended = as_json(s, "breaker", "extend", "10m")
    assert extended["state"] == "held", extended
    assert "in 9 min" in good(s, "breaker"), extended
    until(lambda: all(a["last_heartbeat_ms"] > 2000 for a in
                      as_json(s, "agents")), 20)

    def are_gone():
        for scope in as_json(s, "breaker")["scopes"]:
            if scope["state"] == "held":
                cli.roster(s, "breaker", "release", scope["ns"])
        return as_json(s, "agents") == []
    until(are_gone, 30)
