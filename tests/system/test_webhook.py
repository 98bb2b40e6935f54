"""Webhooks (BRIEF 4.4, 8.18): receivers of this process, real servers."""
import contextlib
import hashlib
import hmac
import http.server
import json
import os
import re
import socket
import ssl
import subprocess
import tempfile
import threading

import harness
from cluster import Cluster
from harness import (BUILD, ULID, Server, bare, environment, free_ports,
                     fresh_name, make_ns, path, test, until)

ALLOW = ("--webhook-allow", "127.0.0.1/32")
SECRET = "a secret \"of\" two ünits"


class Receiver:
    """Keeps what it is sent. `answer`: a status, or a function of the handler
    that answers itself."""

    def __init__(self, answer=200, port=0):
        self.answer, self.bodies, self.headers = answer, [], []
        self.lock, self.refused = threading.Lock(), 0
        self.connections = []
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self):
                super().setup()
                receiver.connections.append(self.connection)

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                answer = receiver.answer
                if callable(answer):
                    answer = answer(self, body)
                if answer is None:
                    return
                with receiver.lock:
                    if 200 <= answer < 300:
                        receiver.bodies.append(body)
                        receiver.headers.append(dict(self.headers))
                    else:
                        receiver.refused += 1
                self.send_response(answer)
                self.send_header("Content-Length", "0")
                self.end_headers()

            do_GET = do_POST

            def log_message(self, *_):
                pass
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", port),
                                                      Handler)
        self.server.daemon_threads = True
        self.server.handle_error = lambda *_: None  # cut connections
        self.port = self.server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}/told"
        self.thread = threading.Thread(target=self.server.serve_forever,
                                       args=(0.05,), daemon=True)
        self.thread.start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()
        for connection in self.connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def batches(self):
        with self.lock:
            return [json.loads(body) for body in self.bodies]

    def events(self):
        return [e for batch in self.batches() for e in batch["events"]]

    def first_seen(self):
        """The revisions, each at its first appearance."""
        return list(dict.fromkeys(e["revision"] for e in self.events()))

    def rows(self, field="tag"):
        return [e["resource"][field] for e in self.events()
                if e["op"] == "put" and field in e["resource"]]


def hooks(ns):
    return path("v1", "ns", ns, "webhook")


def put_hook(s, ns, receiver, name="w", **more):
    url = receiver if isinstance(receiver, str) else receiver.url
    return s.put(hooks(ns) + f"/{name}",
                 {"name": name, "url": url, **more}).must(200, 201).json


def status(s, ns, name="w"):
    return s.get(hooks(ns) + f"/{name}").must(200).json.get("_status", "")


def status_becomes(s, ns, pattern, name="w", seconds=20):
    return until(lambda: re.search(pattern, status(s, ns, name)), seconds)


def things(ns):
    return path("v1", "ns", ns, "thing")


def add(s, ns, n, stem="t"):
    """Rows one by one; their revisions."""
    return [s.post(things(ns), {"tag": f"{stem}{i}"}).must(201).json["_rev"]
            for i in range(n)]


def metric(s, name):
    text = s.get("/metrics").must(200).body.decode()
    return int(re.search(rf"^{name} (\d+)$", text, re.M)[1])


# ---- what is told -----------------------------------------------------------

@test(flags=ALLOW)
def a_webhook_is_told_what_happens_below_it_in_order_and_signed(s):
    with Receiver() as r:
        top = make_ns(s, "branch")
        leaf = make_ns(s, parent=top)
        other = make_ns(s)
        hook = put_hook(s, top, r, secret=SECRET)
        assert hook["secret"] == "***"
        told = add(s, leaf, 20)
        add(s, other, 3, "other")
        row = s.rows(things(leaf))[0]
        s.patch(things(leaf) + "/" + row["_id"], {"tag": "new"}).must(200)
        s.delete(things(leaf) + "/" + row["_id"]).must(200, 204)
        told += [s.revision() - 1, s.revision()]
        until(lambda: len(r.events()) >= 22)
        assert r.first_seen() == told
        assert [e["revision"] for e in r.events()] == told, "told twice"
        changed = r.events()[20]
        assert changed["op"] == "put" and changed["cause"] == "api"
        assert changed["was"] == {"tag": "t0"}, changed
        assert r.events()[21]["op"] == "delete"
        for body, headers in zip(r.bodies, r.headers):
            batch = json.loads(body)
            want = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
            assert headers["Roster-Signature"] == f"sha256={want}"
            assert headers["Content-Type"] == "application/json"
            assert headers["User-Agent"].startswith("roster/")
            assert headers["Roster-Delivery"] == (
                f"{hook['_id']}-{batch['first']}")
            assert batch["webhook"] == "w" and batch["ns"] == top
            assert batch["first"] == batch["events"][0]["revision"]
            assert batch["last"] == batch["events"][-1]["revision"]
            assert SECRET not in body.decode() and b"other" not in body
        status_becomes(s, top, "^ok$")
        until(lambda: metric(s, "roster_webhook_targets") == 1)
        assert metric(s, "roster_webhook_events_total") == 22
        until(lambda: metric(s, "roster_webhook_behind") == 0)
        assert not s.faults(), s.faults()


@test(flags=ALLOW)
def what_happened_before_is_not_told_and_status_changes_are_told_to_nobody(s):
    with Receiver() as r, Receiver() as also:
        ns = make_ns(s)
        add(s, ns, 3, "before")
        put_hook(s, ns, r)
        put_hook(s, ns, also, "also")
        add(s, ns, 1, "after")
        status_becomes(s, ns, "^ok$")
        status_becomes(s, ns, "^ok$", "also")
        end = add(s, ns, 1, "end")[0]
        until(lambda: r.events() and r.events()[-1]["revision"] == end)
        until(lambda: also.events() and also.events()[-1]["revision"] == end)
        assert also.rows() == ["after0", "end0"]
        assert r.rows() == ["after0", "end0"]
        assert r.rows("url") == [also.url], "its own put, or a status, was told"
        assert "webhook" not in {e["cause"] for e in r.events()}


@test(flags=ALLOW)
def only_the_types_it_asked_for_are_told(s):
    with Receiver() as r:
        ns = make_ns(s)
        put_hook(s, ns, r, types="thing, other")
        s.post(path("v1", "ns", ns, "noise"), {"tag": "no"}).must(201)
        add(s, ns, 1)
        s.post(path("v1", "ns", ns, "other"), {"tag": "o"}).must(201)
        until(lambda: len(r.events()) >= 2)
        assert r.rows() == ["t0", "o"]


@test(flags=ALLOW)
def types_that_change_count_at_once(s):
    with Receiver() as r:
        ns = make_ns(s)
        told = []
        for i in range(40):
            type_ = ("one", "two")[i % 2]
            put_hook(s, ns, r, types=type_)
            told.append(s.post(path("v1", "ns", ns, type_), {"tag": f"{i}"}
                               ).must(201).json["_rev"])
            until(lambda: told[-1] in r.first_seen())
        assert r.first_seen() == told


@test(flags=ALLOW)
def a_webhook_in_a_leaf_is_told_of_that_leaf_alone(s):
    with Receiver() as r:
        one, two = make_ns(s), make_ns(s)
        put_hook(s, one, r)
        add(s, two, 3, "two")
        add(s, one, 2, "one")
        until(lambda: len(r.events()) >= 2)
        assert r.rows() == ["one0", "one1"]


@test(flags=ALLOW)
def many_events_come_in_batches_of_five_hundred(s):
    with Receiver() as r:
        ns = make_ns(s)
        put_hook(s, ns, r)
        for i in range(4):
            s.post(things(ns), [{"tag": f"b{i}-{k}"} for k in range(400)]
                   ).must(201)
        until(lambda: len(r.first_seen()) >= 1600, 30)
        sizes = [len(b["events"]) for b in r.batches()]
        assert max(sizes) <= 500 and max(sizes) > 100, sizes
        seen = r.first_seen()
        assert seen == sorted(seen) and len(r.events()) == 1600
        large = "x" * 200_000
        for i in range(12):
            s.post(things(ns), {"tag": f"l{i}", "fill": large}).must(201)
        until(lambda: r.rows()[-1] == "l11", 30)
        with r.lock:
            assert max(map(len, r.bodies)) < (1 << 20) + 300_000


@test(flags=ALLOW)
def what_happened_before_a_rename_is_told_after_it(s):
    with Receiver(answer=500) as r:
        ns = make_ns(s)
        put_hook(s, ns, r)
        told = add(s, ns, 2, "before")
        until(lambda: r.refused)
        told.append(s.patch(path("v1", "ns", ns), {"name": fresh_name("new")})
                    .must(200).revision)
        now = [e["ns"] for e in s.get("/v1/ns?flat=true").must(200).json
               if e["ns"].startswith("new")][0]
        told += add(s, now, 2, "after")
        r.answer = 200
        until(lambda: len(r.events()) >= 5, 30)
        assert r.first_seen() == told, (r.first_seen(), told)
        assert r.events()[2]["op"] == "ns-put"


# ---- receivers that fail ----------------------------------------------------

@test(flags=ALLOW)
def one_that_fails_and_comes_back_gets_everything_in_order(s):
    with Receiver(answer=503) as r:
        ns = make_ns(s)
        put_hook(s, ns, r)
        told = add(s, ns, 5)
        found = status_becomes(s, ns, r"^failing since \d{4}-\d\d-\d\dT"
                               r"\d\d:\d\d:\d\dZ: answered 503$")
        assert found
        until(lambda: metric(s, "roster_webhook_failing") == 1)
        until(lambda: r.refused >= 2)
        told += add(s, ns, 5)
        assert not r.events()
        r.answer = 204
        until(lambda: len(r.first_seen()) >= 10)
        assert r.first_seen() == told
        status_becomes(s, ns, "^ok$")
        until(lambda: metric(s, "roster_webhook_failing") == 0)
        assert metric(s, "roster_webhook_failures_total") >= 2


@test(flags=ALLOW)
def a_receiver_that_is_killed_and_comes_back_gets_everything_in_order(s):
    first = Receiver()
    ns = make_ns(s)
    put_hook(s, ns, first)
    told = add(s, ns, 3)
    until(lambda: len(first.events()) == 3)
    first.close()
    told += add(s, ns, 3)
    status_becomes(s, ns, "^failing since ")
    told += add(s, ns, 3)
    with Receiver(port=first.port) as second:
        until(lambda: len(second.first_seen()) >= 6, 30)
        assert first.first_seen() + second.first_seen() == told


@test(flags=ALLOW)
def a_server_that_is_killed_tells_the_rest_when_it_is_back(s):
    with Receiver() as r:
        ns = make_ns(s)
        put_hook(s, ns, r)
        told = add(s, ns, 5)
        until(lambda: len(r.first_seen()) == 5)
        r.answer = 500
        told += add(s, ns, 5)
        s.kill()
        r.answer = 200
        s.start()
        told += add(s, ns, 5)
        until(lambda: len(r.first_seen()) >= 15, 30)
        assert r.first_seen() == told


@test(flags=ALLOW)
def one_that_does_not_answer_delays_no_other(s):
    release = threading.Event()

    def hang(*_):
        release.wait(60)
        return 200
    with Receiver(hang) as dead, Receiver() as fine:
        ns = make_ns(s)
        for i in range(8):
            put_hook(s, ns, f"{dead.url}/{i}", f"dead{i}", types="thing")
        put_hook(s, ns, fine, types="thing")
        for i in range(20):
            add(s, ns, 1)
            until(lambda i=i: len(fine.events()) == i + 1, 5)
        release.set()


@test(flags=("--webhook-allow", "127.0.0.0/8"))
def many_that_never_answer_delay_no_other_for_long(s):
    with contextlib.closing(socket.create_server(("", 0), backlog=256)) as dead, \
            Receiver() as fine:
        port = dead.getsockname()[1]
        ns = make_ns(s)
        put_hook(s, ns, fine, types="thing")
        for i in range(130):
            put_hook(s, ns, f"http://127.0.1.{i + 1}:{port}/", f"dead{i}",
                     types="thing")
        # Longer than half a minute: all requests, twice.
        for i in range(3):
            add(s, ns, 1)
            until(lambda i=i: len(fine.events()) == i + 1, 20)


@test(flags=ALLOW)
def a_changed_row_is_tried_at_once(s):
    with Receiver() as r:
        ns = make_ns(s)
        nobody = f"http://127.0.0.1:{free_ports(1)[0]}/"
        put_hook(s, ns, nobody)
        told = add(s, ns, 3)
        status_becomes(s, ns, "^failing since ")
        put_hook(s, ns, r)
        until(lambda: len(r.first_seen()) >= 4)
        assert r.first_seen()[:3] == told
        status_becomes(s, ns, "^ok$")


@test(flags=ALLOW)
def a_redirect_is_not_followed(s):
    with Receiver() as elsewhere:
        def redirect(handler, _body):
            handler.send_response(307)
            handler.send_header("Location", elsewhere.url)
            handler.send_header("Content-Length", "0")
            handler.end_headers()
        with Receiver(redirect) as r:
            ns = make_ns(s)
            put_hook(s, ns, r)
            add(s, ns, 1)
            status_becomes(s, ns, "answered 307, and redirects are not")
            assert not elsewhere.bodies


@test(flags=ALLOW)
def an_answer_without_an_end_is_cut(s):
    sent = [0]

    def endless(handler, _body):
        handler.send_response(200)
        handler.end_headers()
        try:
            while sent[0] < 200 << 20:
                handler.wfile.write(b"x" * 65536)
                sent[0] += 65536
        except OSError:
            pass
        handler.close_connection = True
    with Receiver(endless) as r:
        ns = make_ns(s)
        put_hook(s, ns, r)
        add(s, ns, 1)
        status_becomes(s, ns, "^ok$")
        assert sent[0] < 20 << 20, f"{sent[0]} bytes were read"


@test(flags=ALLOW)
def a_webhook_that_is_deleted_while_it_is_called_is_called_no_more(s):
    came, release = threading.Event(), threading.Event()

    def wait(*_):
        came.set()
        release.wait(30)
        return 200
    with Receiver(wait) as r, Receiver() as next_:
        ns = make_ns(s)
        put_hook(s, ns, r)
        add(s, ns, 1)
        assert came.wait(10)
        s.delete(hooks(ns) + "/w").must(200, 204)
        put_hook(s, ns, next_, "next")
        add(s, ns, 3, "later")
        release.set()
        until(lambda: len(next_.events()) >= 3)
        assert len(r.bodies) <= 1
        until(lambda: metric(s, "roster_webhook_targets") == 1)
        assert not s.faults(), s.faults()


@test(flags=(*ALLOW, "--history", "1000"))
def one_that_falls_out_of_the_history_is_told_to_list_again(s):
    with Receiver(answer=500) as r:
        ns = make_ns(s)
        put_hook(s, ns, r)
        add(s, ns, 1)
        until(lambda: r.refused)
        for _ in range(4):
            s.post(things(ns), [{"tag": "bulk"} for _ in range(500)]).must(201)
        r.answer = 200
        until(lambda: r.events(), 30)
        first = r.events()[0]
        assert list(first) == ["op", "revision"] and first["op"] == "reset"
        status_becomes(s, ns, rf"^reset at {first['revision']}$")
        after = add(s, ns, 2)
        until(lambda: r.events()[-1]["revision"] == after[-1])
        seen = r.first_seen()
        assert seen == sorted(seen) and seen[-2:] == after


@test(flags=ALLOW)
def after_a_restore_everybody_is_told_to_list_again(s):
    with Receiver() as r, Receiver() as later:
        ns = make_ns(s)
        put_hook(s, ns, r)
        add(s, ns, 2)
        until(lambda: len(r.events()) == 2)
        file = s.get("/v1/admin/backup").must(200).body
        put_hook(s, ns, later, "later")
        until(lambda: len(r.events()) == 3)
        s.call("POST", "/v1/admin/restore", raw=file).must(200)
        until(lambda: r.events()[-1]["op"] == "reset", 20)
        assert r.events()[-1]["revision"] >= 2**32
        end = add(s, ns, 1, "end")[0]
        until(lambda: r.events()[-1].get("revision") == end)
        assert not [e for e in later.events() if e["revision"] == end]
        until(lambda: metric(s, "roster_webhook_targets") == 1)
        assert not s.faults(), s.faults()


# ---- where it may connect to ------------------------------------------------

@test
def loopback_is_not_called_unless_that_is_allowed(s):
    with Receiver() as r:
        ns = make_ns(s)
        put_hook(s, ns, r)
        put_hook(s, ns, f"http://localhost:{r.port}/", "name")
        put_hook(s, ns, f"http://[::ffff:7f00:1]:{r.port}/", "mapped")
        put_hook(s, ns, f"http://0x7f.1:{r.port}/", "short")
        add(s, ns, 1)
        for name in ("w", "name", "mapped", "short"):
            status_becomes(s, ns, "is a loopback address; .*--webhook-allow",
                           name)
        assert not r.bodies and not r.refused


@test(flags=ALLOW)
def the_proxy_of_the_environment_is_not_used(s):
    with Receiver() as proxy, Receiver() as r:
        s.stop()
        s.env = environment(http_proxy=f"http://127.0.0.1:{proxy.port}",
                            all_proxy=f"http://127.0.0.1:{proxy.port}")
        s.start()
        ns = make_ns(s)
        put_hook(s, ns, r)
        add(s, ns, 1)
        until(lambda: r.events())
        assert not proxy.bodies


@test(flags=ALLOW)
def whom_nobody_vouches_for_is_not_told(s):
    with tempfile.TemporaryDirectory() as d, Receiver() as r:
        cert, key = os.path.join(d, "cert"), os.path.join(d, "key")
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                        "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=x",
                        "-addext", "subjectAltName=IP:127.0.0.1",
                        "-keyout", key, "-out", cert],
                       check=True, capture_output=True)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(cert, key)
        r.server.socket = context.wrap_socket(
            r.server.socket, server_side=True, do_handshake_on_connect=False)
        ns = make_ns(s)
        put_hook(s, ns, r.url.replace("http:", "https:"))
        add(s, ns, 1)
        status_becomes(s, ns, "^failing .*certificate")
        assert not r.bodies and not r.refused


@bare
def an_unusable_network_is_refused_at_the_start():
    s = Server("--webhook-allow", "10.0.0.0/8,nonsense", start=False)
    try:
        s.start(wait=False)
        assert s.ended_within(10)
        assert "no network" in "\n".join(s.log_lines())
    finally:
        s.discard()


@test(flags=ALLOW)
def the_secret_is_shown_nowhere(s):
    with Receiver(answer=500) as r:
        ns = make_ns(s)
        put_hook(s, ns, r, secret="geheim")
        add(s, ns, 1)
        status_becomes(s, ns, "^failing")
        r.answer = 200
        status_becomes(s, ns, "^ok$")
        put_hook(s, ns, r, secret="geheim2")
        until(lambda: r.rows("url"))
        shown = [s.get(hooks(ns)).body, s.get(hooks(ns) + "/w").body,
                 s.get("/metrics").body, *r.bodies,
                 "\n".join(s.log_lines()).encode()]
        assert not [t for t in shown if b"geheim" in t]


# ---- the row ----------------------------------------------------------------

@test(flags=ALLOW)
def a_status_sent_back_is_ignored_and_a_put_keeps_it(s):
    with Receiver() as r:
        ns = make_ns(s)
        put_hook(s, ns, r)
        add(s, ns, 1)
        status_becomes(s, ns, "^ok$")
        row = s.get(hooks(ns) + "/w").must(200).json
        assert ULID.match(row["_id"])
        s.put(hooks(ns) + "/w", {**row, "_status": "mine", "note": "n"}
              ).must(200)
        assert status(s, ns) == "ok"
        assert s.rows(hooks(ns))[0]["_status"] == "ok"


@test(flags=ALLOW)
def a_webhook_that_moves_goes_on_where_it_is_now(s):
    with Receiver() as r:
        one, two = make_ns(s), make_ns(s)
        hook = put_hook(s, one, r)
        add(s, one, 2, "one")
        until(lambda: len(r.events()) == 2)
        s.post(hooks(one) + f"/{hook['_id']}/move", {"to": two}).must(200)
        add(s, one, 2, "gone")
        add(s, two, 2, "two")
        until(lambda: r.rows() and r.rows()[-1] == "two1")
        assert r.rows() == ["one0", "one1", "two0", "two1"]


@test(flags=ALLOW)
def a_namespace_that_is_deleted_takes_its_webhooks_along(s):
    with Receiver() as r:
        ns = make_ns(s, "branch")
        put_hook(s, ns, r)
        make_ns(s, parent=ns)
        until(lambda: r.events())
        s.delete(path("v1", "ns", ns) + "?recursive=true").must(200, 204)
        until(lambda: metric(s, "roster_webhook_targets") == 0)
        assert not s.faults(), s.faults()


# ---- several nodes ----------------------------------------------------------

@bare(timeout=150)
def a_leader_that_is_killed_loses_no_event_and_no_order():
    with Receiver() as r, Cluster(3, *ALLOW) as c:
        s = c.client(c.leader())
        ns = make_ns(s)
        put_hook(s, ns, r)
        told, stop = [], threading.Event()

        def add_on():
            i = 0
            while not stop.is_set():
                for name in c.names:
                    try:
                        a = c.client(name, timeout=8).post(
                            things(ns), {"tag": f"t{i}"})
                        if a.status == 201:
                            told.append(a.json["_rev"])
                            i += 1
                    except Exception:  # pylint: disable=broad-except
                        pass
        writer = threading.Thread(target=add_on, daemon=True)
        writer.start()
        for _ in range(2):
            n = len(r.first_seen())
            until(lambda n=n: len(r.first_seen()) > n + 20, 30)
            name = c.leader()
            c.restart(name)
            c.wait_ready()
        n = len(r.first_seen())
        until(lambda: len(r.first_seen()) > n + 20, 30)
        stop.set()
        writer.join(30)
        until(lambda: set(told) <= set(r.first_seen()), 30)
        seen = r.first_seen()
        assert seen == sorted(seen), "out of order by first appearance"
        c.digests_agree()
        assert not c.faults(), c.faults()


@bare(timeout=90)
def a_leader_that_leaves_hands_its_cursors_over():
    with Receiver() as r, Cluster(3, *ALLOW) as c:
        leader = c.leader()
        s = c.client(c.followers()[0])
        ns = make_ns(s)
        put_hook(s, ns, r)
        told = add(s, ns, 20)
        until(lambda: len(r.first_seen()) >= 20)
        assert c.node(leader).stop() == 0
        told += add(s, ns, 5, "later")
        until(lambda: len(r.first_seen()) >= 25, 30)
        assert r.first_seen() == told
        assert [e["revision"] for e in r.events()] == told, "told twice"


@bare(timeout=90)
def webhooks_of_an_older_release_are_found():
    before = os.path.join(BUILD, "tests", "system", "rosterd-before")
    with Receiver() as r:
        s = Server(*ALLOW, start=False)
        try:
            as_it_is, harness.binary = harness.binary, (
                lambda name: before if name == "rosterd" else as_it_is(name))
            try:
                s.start()
                ns = make_ns(s)
                put_hook(s, ns, r)
                add(s, ns, 3, "before")
                assert s.stop() == 0
            finally:
                harness.binary = as_it_is
            s.start()
            until(lambda: metric(s, "roster_webhook_targets") == 1, 20)
            told = add(s, ns, 3, "after")
            until(lambda: len(r.first_seen()) >= 3, 30)
            assert r.first_seen() == told
            assert not s.faults(), s.faults()
        finally:
            s.discard()
