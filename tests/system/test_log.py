"""The log: one line an event, whatever clients send (BRIEF 3, P9)."""
import json
import os
import re
import signal
import tempfile

from harness import (binary, environment, request_bytes, run, spawn, test,
                     until, Wire, bare)

HOSTILE = ['a\nb', 'a\r\n{"level":"error"}', '"', '\\', '\x1b[2J', '\x85\u2028']


def provoke(port):
    """Whatever might be logged with something of the client's in it."""
    from harness import Client
    c = Client(port)
    for text in HOSTILE:
        c.post("/v1/agents", {"hostname": text})
        c.post("/v1/ns", {"parent": text, "name": text})
        c.post("/v1/admin/restore", raw=text.encode("utf-8", "surrogatepass"),
               headers={"Content-Type": "application/octet-stream"})
        c.post("/v1/admin/restore", raw=b"roster\xff\n\"\x85" * 1000)
    for head in (b"GET / HTTP/1.1\r\nHost: x\r\nX\n: y\r\n\r\n",
                 b"\xff\xfe\n\n\n\r\n\r\n",
                 request_bytes("GET", "/" + "%0a%ff" * 100),
                 request_bytes("BREW\x1b", "/")):
        with Wire(port) as wire:
            wire.send(head)
            wire.closed_within(0.2)
    c.close()


@test
def every_line_of_the_json_log_is_one_event(s):
    s.post("/v1/agents", {"hostname": "dies", "ttl": "2s"}).must(201)
    provoke(s.port)
    until(lambda: s.get("/v1/agents/dies").status == 404, 10, every=0.1)
    s.post("/v1/admin/snapshot").must(200)
    s.signal(signal.SIGHUP)
    s.restart()
    assert s.stop() == 0
    with open(s.log_file, "rb") as f:
        data = f.read()
    assert data.endswith(b"\n")
    lines = data[:-1].split(b"\n")
    for line in lines:
        event = json.loads(line.decode())       # text, and JSON
        assert list(event)[:4] == ["time", "level", "room", "msg"], line
        assert event["level"] in ("debug", "info", "warn", "error"), line
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z",
                            event["time"]), line
    said = {json.loads(line)["msg"] for line in lines}
    assert {"listening", "leads", "leases expired", "snapshot",
            "stopped clean"} <= said, said
    s.start()


@bare
def every_line_of_the_text_log_is_one_event():
    with tempfile.TemporaryDirectory(prefix="roster-test-") as home:
        log = os.path.join(home, "log")
        with open(log, "wb") as stderr:
            p = spawn([binary("rosterd"), "--data-dir", os.path.join(home, "d"),
                       "--http", "127.0.0.1:0", "--raft", "127.0.0.1:0",
                       "--log-format", "text", "--log-level", "debug",
                       "--drain", "0"], stderr=stderr, env=environment())

        def port():
            with open(log, encoding="utf-8") as f:
                found = re.search(r'listening http="127.0.0.1:(\d+)"', f.read())
            return found and int(found[1])
        try:
            provoke(until(port))
            p.send_signal(signal.SIGTERM)
            assert p.wait(20) == 0
        finally:
            p.kill()
            p.wait()
        with open(log, "rb") as f:
            lines = f.read().decode().split("\n")
        assert lines.pop() == ""
        for line in lines:
            assert re.fullmatch(
                r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (debug|info|warn|error)"
                r" +\w+ +[^\x00-\x1f\x7f]+", line), repr(line)


@bare
def a_start_that_fails_says_so_in_one_line():
    with tempfile.TemporaryDirectory(prefix="roster-test-") as home:
        folder = os.path.join(home, 'n"\n{"level":"info"}\n')
        os.mkdir(folder)
        with open(os.path.join(folder, "node"), "wb") as f:
            f.write(b"\xff\n\x00" * 50)
        status, _, said = run([binary("rosterd"), "--data-dir", folder,
                               "--http", "127.0.0.1:0", "--log-format", "json"])
        assert status == 1, (status, said)
        for line in said.splitlines():
            assert json.loads(line)["level"] in ("warn", "error"), line
