"""HTTP over TLS: who gets in, who is told why not, and that nobody is dropped
when certificates change. Limits of connections, with and without TLS."""
import contextlib
import json
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time

from certs import Authority
from harness import (PATIENCE, TLS, Client, Server, Skip, Wire, bare, binary,
                     connect,
                     environment, in_threads, make_list, make_ns, memory_counts,
                     request_bytes, run, say, until)
from watching import Watch

HERE = os.path.dirname(os.path.abspath(__file__))


class Guarded:
    """A server that speaks TLS, and what its clients need."""

    def __init__(self, *flags, clients=None):
        self.ca = Authority()
        self.cert, self.key = self.ca.node("n1")
        self.trust = self.ca.context()
        more = ["--tls-clients", clients] if clients else []
        self.flags = ["--tls-cert", self.cert, "--tls-key", self.key,
                      "--tls-ca", self.ca.ca, *more, *flags]

    def __enter__(self):
        self.server = Server(*self.flags, start=False)
        self.server.client = self.client
        self.server.wait_ready = lambda: until(self.ready)
        if "required" in self.flags:
            self.trust = self.ca.context(*self.ca.client("root"))
        self.server.start()
        return self

    def __exit__(self, *_):
        self.server.discard()

    def ready(self):
        with contextlib.closing(self.client()) as c:
            return c.get("/readyz").status == 200

    def client(self, context=None, **options):
        c = Client(self.server.port, node="n1", nodes=("n1",),
                   context=context or self.trust, **options)
        self.server.clients.append(c)
        return c

    def connect(self, context=None, timeout=10):
        return connect(self.server.port, timeout,
                       context=context or self.trust)

    def wire(self, timeout=10):
        return Wire(self.server.port, timeout=timeout, context=self.trust)

    def bare(self, timeout=10):
        """A TCP connection without any TLS."""
        sock = socket.create_connection(("127.0.0.1", self.server.port),
                                        timeout * PATIENCE)
        return sock

    def metric(self, name):
        text = self.server.get("/metrics").must(200).body.decode()
        return float(re.search(rf"^{name} (\S+)$", text, re.M)[1])


def ended(sock, seconds=10):
    """All that still comes, when the server ends the connection in time."""
    sock.settimeout(seconds * PATIENCE)
    got = b""
    with contextlib.suppress(ConnectionResetError, ssl.SSLError):
        while True:
            more = sock.recv(1 << 16)
            if not more:
                break
            got += more
    return got


def serial(wire):
    return wire.sock.getpeercert()["serialNumber"]


def ask(wire, target="/livez"):
    wire.send(request_bytes("GET", target))
    wire.answer().must(200)


# ---- requests -------------------------------------------------------------------

@bare
def requests_are_answered_and_the_certificate_is_the_nodes():
    with Guarded() as g:
        s = g.server
        things = make_list(s)
        s.post(things, [{"name": f"r{i}", "text": "x" * 7000}
                        for i in range(1000)]).must(201)
        assert len(s.rows(things)) == 1000
        with g.connect() as sock:
            assert ("URI", "roster://node/n1") in \
                sock.getpeercert()["subjectAltName"]
            assert sock.version() == "TLSv1.3"
        for i in range(50):
            s.get("/livez").must(200)
        assert not s.faults(), s.faults()
        assert s.stop() == 0


@bare
def curl_gets_in_with_the_ca_and_not_without():
    curl = shutil.which("curl")
    if not curl:
        raise Skip("no curl here")
    with Guarded() as g:
        url = f"https://127.0.0.1:{g.server.port}/v1/types"
        status, out, err = run([curl, "-sS", "--cacert", g.ca.ca, url])
        assert status == 0 and isinstance(json.loads(out), list), err
        for version in ("--tlsv1.2", "--tlsv1.3"):
            status, _, err = run([curl, "-sS", "--cacert", g.ca.ca, version,
                                  "--tls-max", version[-3:], url])
            assert status == 0, err
        assert run([curl, "-sS", url])[0] == 60


@bare
def a_client_that_has_a_ca_trusts_no_other():
    """Not the machine's own list, which is another one here."""
    mounted = ["unshare", "-rm", "sh", "-c", "mount -t tmpfs none "
               '/etc/ssl/certs && cp "$0" /etc/ssl/certs && exec "$@"']
    other = Authority("another CA")
    with Guarded() as g:
        if run([*mounted, g.ca.ca, "true"])[0] != 0:
            raise Skip("no mounts here")
        for given, code in ((["--ca", g.ca.ca], 0), (["--ca", other.ca], 3),
                            ([], 0)):
            status, _, err = run(
                [*mounted, g.ca.ca, binary("roster"), "--server",
                 f"https://localhost:{g.server.port}", *given, "types"])
            assert status == code, (given, status, err)


@bare
def a_connection_ends_with_a_word_of_tls():
    with Guarded() as g:
        raw = g.bare()
        with g.trust.wrap_socket(raw, server_hostname="127.0.0.1",
                                 suppress_ragged_eofs=False) as sock:
            sock.sendall(request_bytes("GET", "/livez",
                                       headers=[("Connection", "close")]))
            assert b"200 OK" in ended(sock)
        with g.trust.wrap_socket(g.bare(), server_hostname="127.0.0.1",
                                 suppress_ragged_eofs=False) as sock:
            sock.sendall(request_bytes("GET", "/v1/watch"))
            until(lambda: g.metric("roster_watch_streams") == 1)
            g.server.signal(signal.SIGTERM)
            got = b""
            while more := sock.recv(1 << 16):  # no SSLEOFError: it was ended
                got += more
            assert b"event: bye" in got, got


# ---- who does not speak it --------------------------------------------------------

@bare
def plain_http_on_a_port_of_tls_is_told_so():
    with Guarded() as g:
        port = g.server.port
        for body in (b"", b"x" * 100000):
            with socket.create_connection(("127.0.0.1", port), 10) as sock:
                sock.sendall(request_bytes("POST" if body else "GET",
                                           "/v1/types", body))
                head, _, text = ended(sock).partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 400 "), head
            assert b"application/problem+json" in head
            problem = json.loads(text)
            assert problem["status"] == 400
            assert "this port speaks TLS: use https://" in problem["detail"]
        with socket.create_connection(("127.0.0.1", port), 10) as sock:
            sock.sendall(b"G")
            assert b"speaks TLS" in ended(sock)
        g.server.get("/livez").must(200)
        assert g.metric("roster_http_tls_plain_total") == 3


@bare
def tls_on_a_plain_port_ends_and_harms_nobody():
    if TLS:
        raise Skip("there is no plain port")
    with Server() as s:
        context = ssl.create_default_context()
        for _ in range(5):
            with socket.create_connection(("127.0.0.1", s.port), 10) as sock:
                with contextlib.suppress(ssl.SSLError, ConnectionError):
                    context.wrap_socket(sock, server_hostname="x")
                    raise AssertionError("a handshake on a plain port")
        s.get("/livez").must(200)


@bare
def garbage_and_abrupt_ends_are_no_handshakes():
    with Guarded() as g:
        files = g.server.n_fds()
        hello = bytes.fromhex("16030100050100000103")
        for data in (b"\0" * 100, b"\x80\x2e\x01\x00\x02", b"\xff" * 5000,
                     b"\x16" * 3000, b"\x16\x03\x01\xff\xff" + b"\0" * 70000,
                     hello, b"\x15\x03\x01\x00\x02\x02\x28", b"\n\n", b""):
            with g.bare() as sock:
                with contextlib.suppress(OSError):
                    sock.sendall(data)
                    sock.shutdown(socket.SHUT_WR)
                ended(sock)
        for data in (b"", b"\x16\x03", hello):
            with g.bare() as sock:
                sock.sendall(data)
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                                b"\1\0\0\0\0\0\0\0")
        sock = g.connect()
        sock.sendall(b"GET /livez HT")
        socket.close(sock.detach())
        g.server.get("/livez").must(200)
        # The socket of that, and a pipe.
        until(lambda: g.server.n_fds() <= files + 3)


@bare
def old_versions_are_refused():
    with Guarded() as g:
        for version in ("-tls1", "-tls1_1"):
            done = subprocess.run(
                ["openssl", "s_client", version, "-cipher", "ALL:@SECLEVEL=0",
                 "-connect", f"127.0.0.1:{g.server.port}"], input=b"",
                capture_output=True, timeout=30, check=False)
            assert done.returncode != 0, done.stdout
            assert b"no peer certificate" in done.stdout, done.stdout
        done = subprocess.run(
            ["openssl", "s_client", "-tls1_2", "-CAfile", g.ca.ca, "-brief",
             "-connect", f"127.0.0.1:{g.server.port}"], input=b"",
            capture_output=True, timeout=30, check=False)
        assert b"TLSv1.2" in done.stderr, done.stderr


@bare
def nobody_negotiates_anew():
    with Guarded() as g:
        p = subprocess.Popen(
            ["openssl", "s_client", "-tls1_2", "-CAfile", g.ca.ca, "-connect",
             f"127.0.0.1:{g.server.port}"], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        try:
            seen = b""
            while b"Verify return code" not in seen:
                seen += os.read(p.stdout.fileno(), 65536)
            p.stdin.write(b"R\n")
            p.stdin.flush()
            p.wait(20 * PATIENCE)
        finally:
            p.kill()
            p.wait()
        said = p.stdout.read()
        assert b"RENEGOTIATING" in said, said
        g.server.get("/livez").must(200)


# ---- certificates of clients --------------------------------------------------------

def refused(g, context):
    """With TLS 1.3 a client learns of it when it reads."""
    try:
        with g.connect(context) as sock:
            sock.sendall(request_bytes("GET", "/livez"))
            return not sock.recv(1)
    except (ssl.SSLError, ConnectionError):
        return True


@bare
def a_certificate_of_a_client_is_welcome_when_it_is_ours():
    other = Authority("another CA")
    with Guarded() as g:
        g.client().get("/livez").must(200)
        ours = g.ca.context(*g.ca.client("ann"))
        g.client(context=ours).get("/livez").must(200)
        foreign = g.ca.context(*other.client("ann"))
        assert refused(g, foreign)
    with Guarded(clients="none") as g:
        g.client(context=g.ca.context(*other.client("bob"))) \
            .get("/livez").must(200)


@bare
def a_certificate_may_be_required():
    other = Authority("another CA")
    with Guarded(clients="required") as g:
        assert refused(g, g.ca.context())
        assert refused(g, g.ca.context(*other.client("eve")))
        g.client().get("/livez").must(200)


@bare
def wrong_settings_are_explained():
    ca = Authority()
    cert, key = ca.node()
    base = ["--tls-cert", cert, "--tls-key", key]
    for flags, why in (
            ([*base, "--tls-clients", "required"], "needs --tls-ca"),
            ([*base, "--tls-ca", ca.ca, "--tls-clients", "some"],
             "must be none, optional or required")):
        with Server(*flags, start=False) as s:
            s.start(wait=False)
            assert s.ended_within(20 * PATIENCE)
            assert why in s.log_tail()


@bare
def a_key_that_everybody_can_read_is_warned_of():
    with Guarded() as g:
        assert "everybody on this machine" not in g.server.log_tail()
        assert g.server.stop() == 0
        os.chmod(g.key, 0o604)
        g.server.start()
        assert "everybody on this machine can read the key" in \
            g.server.log_tail()
        assert g.server.stop() == 0


# ---- new certificates ------------------------------------------------------------

@bare(timeout=120)
def new_certificates_are_for_new_connections_and_nobody_is_dropped():
    with Guarded() as g:
        s, things = g.server, make_list(g.server)
        first = s.revision()
        old = g.wire()
        before = serial(old)
        ask(old)
        watches = [Watch(s, context=g.trust) for _ in range(5)]
        for w in watches:
            w.caught_up()
        polls = [g.wire(timeout=60) for _ in range(20)]
        for w in polls:
            w.send(request_bytes("GET", f"{things}?since={first}&wait=50s"))
        until(lambda: g.metric("roster_watch_polls") == 20)

        def shown():
            with g.wire() as w:
                ask(w)
                return serial(w)
        for _ in range(3):
            g.ca.node("n1")                  # over the same files
            s.signal(signal.SIGHUP)
            until(lambda: shown() != before)
            before = shown()
            ask(old)
        # Nothing is taken that is no good.
        with open(g.key, "w", encoding="utf-8") as f:
            f.write("no key at all\n")
        s.signal(signal.SIGHUP)
        until(lambda: "cannot be read again" in s.log_tail())
        assert shown() == before
        s.post(things, {"name": "new"}).must(201)
        for w in polls:
            assert len(w.answer().must(200).json) == 1
            ask(w)
            w.close()
        for w in watches:
            assert w.change()["op"] == "put"
            w.close()
        ask(old)
        old.close()


@bare(timeout=120)
def what_changes_while_it_is_read_is_read_again():
    """The last SIGHUP counts, however soon it comes after another."""
    with Guarded() as g:
        with open(g.ca.ca, encoding="ascii") as f:
            own = f.read()
        for i in range(8):
            other = Authority(f"CA {i}")
            with open(other.ca, encoding="ascii") as f:
                both = own + f.read()
            # So many that reading them takes a while.
            for name, text in (("large", own * 1000), ("new", both)):
                with open(g.ca.ca + name, "w", encoding="ascii") as f:
                    f.write(text)
            os.replace(g.ca.ca + "large", g.ca.ca)
            g.server.signal(signal.SIGHUP)
            time.sleep(0.01)
            os.replace(g.ca.ca + "new", g.ca.ca)
            g.server.signal(signal.SIGHUP)
            known = ssl.create_default_context(cadata=own)
            known.load_cert_chain(*other.client("ann"))
            until(lambda known=known: not refused(g, known))


@bare(timeout=120)
def requests_go_on_while_certificates_change_all_the_time():
    with Guarded() as g:
        s, things = g.server, make_list(g.server)
        stop = threading.Event()

        def ask(i):
            n = 0
            while not stop.is_set():
                c = g.client() if n % 10 == 0 else c
                c.post(things, {"name": f"r{i}-{n}"}).must(201)
                n += 1
            return n

        def change(_):
            for _ in range(15):
                g.ca.node("n1")
                s.signal(signal.SIGHUP)
                time.sleep(0.05)
            stop.set()
        asked = in_threads(4, lambda i: change(i) if i == 3 else ask(i))
        assert len(s.rows(things)) == sum(asked[:3])


# ---- limits ---------------------------------------------------------------------

@bare
def who_sends_nothing_has_no_session():
    with Guarded() as g:
        s = g.server
        if not memory_counts():
            raise Skip("sanitized programs use more")
        n = 1000
        s.get("/livez")
        before = s.rss_anon_kib()
        socks = [g.bare() for _ in range(n)]
        until(lambda: g.metric("roster_http_connections") >= n)
        silent = s.rss_anon_kib() - before
        say(f"{silent / n:.1f} KiB for a connection that is silent")
        assert silent / n < 2, silent
        for sock in socks:
            sock.close()
        until(lambda: g.metric("roster_http_connections") < 10)


def half_open(g, kind):
    """A connection that will never ask."""
    sock = g.bare()
    if kind == "hello":
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = g.trust.wrap_bio(incoming, outgoing,
                               server_hostname="127.0.0.1")
        with contextlib.suppress(ssl.SSLWantReadError):
            tls.do_handshake()
        sock.sendall(outgoing.read())
    elif kind == "part":
        sock.sendall(b"\x16\x03\x01")
    elif kind == "head":
        sock = g.trust.wrap_socket(sock, server_hostname="127.0.0.1")
        sock.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\n")
    return sock


@bare(timeout=120)
def half_open_connections_lock_nobody_out():
    """The one that asks comes in, and who has asked before stays."""
    for kind in ("silent", "part", "hello", "head"):
        with Guarded("--max-connections", "50") as g:
            guest = g.client()
            guest.get("/livez").must(200)
            watch = Watch(g.server, context=g.trust)
            watch.caught_up()
            socks = []
            for _ in range(150):
                socks.append(half_open(g, kind))
            for _ in range(5):
                with contextlib.closing(g.client()) as c:
                    c.get("/livez").must(200)
            guest.get("/livez").must(200)
            make_ns(g.server)
            assert watch.change()["op"] == "ns-put"
            assert g.metric("roster_http_connections_gave_way_total") >= 95
            assert g.metric("roster_http_connections") <= 50
            watch.close()
            for sock in socks:
                sock.close()


@bare
def plain_ones_that_are_half_open_give_way_too():
    if TLS:
        raise Skip("there is no plain port")
    with Server("--max-connections", "50") as s:
        s.get("/livez").must(200)
        wires = [s.wire() for _ in range(150)]
        for w in wires[-20:]:
            w.send(b"GET /livez HTTP/1.1\r\n")
        s.client().get("/livez").must(200)
        s.get("/livez").must(200)
        for w in wires:
            w.close()


@bare
def an_address_has_so_many_connections_and_no_more():
    with Guarded("--max-connections-address", "4") as g:
        g.server.get("/livez").must(200)     # one
        more = [g.client() for _ in range(3)]
        for c in more:
            c.get("/livez").must(200)
        with g.bare() as sock:
            assert ended(sock) == b""
        # Another address has its own, and the watchers count, too.
        away = socket.create_connection(("127.0.0.1", g.server.port), 10,
                                        source_address=("127.0.0.2", 0))
        with g.trust.wrap_socket(away, server_hostname="127.0.0.1") as sock:
            sock.sendall(request_bytes("GET", "/livez"))
            assert b"200 OK" in sock.recv(1 << 16)
        more.pop().close()
        until(lambda: g.metric("roster_http_connections") == 3)
        with Watch(g.server, context=g.trust) as w:
            w.caught_up()
            with g.bare() as sock:
                assert ended(sock) == b""
        until(lambda: g.metric("roster_http_connections") == 3)
        g.client().get("/livez").must(200)
        assert g.metric("roster_http_connections_crowded_total") == 2


@bare
def streams_and_polls_of_an_address_are_counted_until_they_end():
    with Server("--max-connections-address", "4", "--io-threads", "2") as s:
        things = make_list(s)
        r = s.revision()
        for _ in range(3):
            with Watch(s), Watch(s):
                with s.wire() as w:
                    w.send(request_bytes("GET", f"{things}?since={r}&wait=50s"))

                    def waits():
                        text = s.get("/metrics").body.decode()
                        return "roster_watch_polls 1\n" in text
                    until(waits)
                    with socket.create_connection(("127.0.0.1", s.port)) as x:
                        assert ended(x) == b""

            def alone():
                text = s.get("/metrics").body.decode()
                return "roster_http_connections 1\n" in text
            until(alone)


@bare(timeout=60)
def a_handshake_has_the_time_of_a_header():
    with Guarded() as g:
        socks = {kind: half_open(g, kind)
                 for kind in ("silent", "part", "hello", "head")}
        began = time.monotonic()
        for kind, sock in socks.items():
            ended(sock, 20)
            assert time.monotonic() - began < 25 * PATIENCE, kind
            sock.close()
        g.server.get("/livez").must(200)
        assert g.metric("roster_http_timeouts_total") == 4


# ---- all the rest -----------------------------------------------------------------

@bare(timeout=300)
def the_ways_to_watch_are_the_same_over_tls():
    """Some of their tests once more; ROSTER_TLS=1 tests/system/run runs all."""
    if TLS:
        raise Skip("they run over TLS already")
    wanted = ("who hangs up|answers come at once|is told|slow stream|"
              "keep.alive|bye|resum")
    status, out, err = run(
        [sys.executable, os.path.join(HERE, "run"), "-k",
         f"^test_(poll|watch): .*({wanted})"], timeout=280,
        env=environment(ROSTER_TLS="1",
                        ROSTER_BUILD=os.environ.get("ROSTER_BUILD", ""),
                        ROSTER_TEST_PATIENCE=str(PATIENCE)))
    last = out.strip().splitlines()[-1]
    assert status == 0 and not last.startswith("0 "), out[-3000:] + err[-1000:]
    say(last)
