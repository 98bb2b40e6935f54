"""What the system tests stand on: a real rosterd in a directory of its own,
a client that keeps its connection, raw sockets, and bounds on everything.

A test is a function whose name is a sentence, marked @test. It gets a Server
`s` (fresh, or shared with the other tests of its module), or nothing. It fails
by raising. Each group of tests runs in a process of its own; every program it
started dies with it (setpriv --pdeathsig), also when that process is killed."""
import contextlib
import ctypes
import http.client
import json
import os
import random
import re
import select
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import threading
import time
from urllib.parse import quote, urlencode

import certs

REPOSITORY = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
BUILD = os.environ.get("ROSTER_BUILD") or os.path.join(REPOSITORY, "build")
# Sanitized or emulated builds are slower: waits (never the promised bounds)
# are multiplied by it.
PATIENCE = float(os.environ.get("ROSTER_TEST_PATIENCE", "1"))
# What the machine that runs the tests may add to a promised time.
SLACK_S = 1.5
FULL = os.environ.get("ROSTER_TEST_FULL") == "1"
# Every server and every client of the tests speaks TLS.
TLS = os.environ.get("ROSTER_TLS") == "1"

ULID = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}\Z")
REVISION_MOST = 2**53


class Skip(Exception):
    """The test cannot run here; the text says why."""


class Lost(Exception):
    """The connection ended before an answer was complete: outcome unknown."""


def test(function=None, *, server="fresh", flags=(), timeout=60, alone=False):
    """Mark a test. server: fresh | shared | none. `alone`: nothing else runs at
    the same time (it measures time or fills the machine)."""
    def mark(f):
        f.roster_test = {"server": server, "flags": tuple(flags),
                         "timeout": timeout * PATIENCE, "alone": alone}
        return f
    return mark(function) if function else mark


def shared(function=None, **options):
    return test(function, server="shared", **options)


def bare(function=None, **options):
    return test(function, server="none", **options)


# ---- ports ------------------------------------------------------------------

_ports = []


def own_port(port):
    """Whether it was free. If so it is this process' own until that ends, also
    while the one it is meant for is down: a bound socket lets only those in who
    reuse addresses, and the kernel gives its port to nobody."""
    sock = socket.socket()
    try:
        sock.bind(("127.0.0.1", port))
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    except OSError:
        sock.close()
        return False
    _ports.append(sock)
    return True


def free_ports(n):
    """Own ones, below those that the kernel gives to connections."""
    with open("/proc/sys/net/ipv4/ip_local_port_range", encoding="ascii") as f:
        top = int(f.read().split()[0])
    found = []
    while len(found) < n:
        port = random.randrange(max(1024, top - 20000), top)
        if own_port(port):
            found.append(port)
    return found


# ---- connections ------------------------------------------------------------

def connect(port, timeout=10, *, host="127.0.0.1", receive=None, context=None):
    """To a server, as its clients do. `receive`: of a socket that takes little."""
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    sock.settimeout(timeout * PATIENCE)
    if receive:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive)
    sock.connect((host, port))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if context is None and TLS:
        context = certs.common().context()
    if context:
        sock = context.wrap_socket(sock, server_hostname=host)
    return sock


def pending(sock, seconds=0):
    """Whether it has something to read, or has ended."""
    held = getattr(sock, "pending", lambda: 0)()
    return bool(held or select.select([sock], [], [], seconds)[0])


# ---- answers and the client -------------------------------------------------

class Answer:
    def __init__(self, method, path, status, headers, body):
        self.method, self.path, self.status = method, path, status
        self.headers, self.body = headers, body  # names in lower case

    def __repr__(self):
        shown = self.body[:600].decode("utf-8", "replace")
        return (f"{self.method} {self.path[:200]} -> {self.status} "
                f"{shown}{'…' if len(self.body) > 600 else ''}")

    @property
    def json(self):
        try:
            return json.loads(self.body)
        except ValueError as e:
            raise AssertionError(f"no JSON ({e}): {self!r}") from None

    @property
    def revision(self):
        return int(self.headers["roster-revision"])

    @property
    def etag(self):
        return self.headers.get("etag")

    def must(self, *statuses):
        if self.status not in statuses:
            wanted = " or ".join(map(str, statuses))
            raise AssertionError(f"expected {wanted}, got: {self!r}")
        return self

    def problem(self, status, **members):
        """It is problem+json with this status and these members. A wanted
        member may be a text, or a compiled pattern that is searched for."""
        self.must(status)
        kind = self.headers.get("content-type", "")
        assert kind.startswith("application/problem+json"), f"{kind}: {self!r}"
        problem = self.json
        for name in ("type", "title", "status", "detail"):
            assert name in problem, f"problem without {name}: {self!r}"
        assert problem["status"] == status, f"status in the body: {self!r}"
        assert problem["title"] and problem["detail"], f"says nothing: {self!r}"
        for name, want in members.items():
            got = problem.get(name)
            good = (want.search(got or "") if isinstance(want, re.Pattern)
                    else got == want)
            assert good, f"problem's {name} is {got!r}, not {want!r}: {self!r}"
        return problem

    def next(self):
        """Path and query of Link rel="next", or None."""
        for part in self.headers.get("link", "").split(","):
            m = re.match(r'\s*<([^>]*)>\s*;\s*rel="?next"?', part)
            if m:
                return m[1]
        return None


NOTHING = object()


def path(*segments, **query):
    """path("v1", "ns", "a.roster", "service", "a/b", limit=3): each segment and
    value is percent-encoded whole."""
    text = "".join("/" + quote(str(s), safe="") for s in segments)
    return text + ("?" + urlencode(query) if query else "")


class Client:
    """One keep-alive connection to one server, for one thread. It notices when
    the server closed the idle connection, and never sends a request twice."""

    def __init__(self, port, *, host="127.0.0.1", timeout=30, node=None,
                 nodes=(), context=None, token=None):
        self.context = context
        self.token = token   # a text, or what gives one when it is there
        self.host, self.port, self.timeout = host, port, timeout * PATIENCE
        self.node, self.nodes = node, nodes or (node,)
        self.connection = None
        self.faults = []     # answers that break a rule for every answer
        self.revision = 0

    def close(self):
        if self.connection:
            self.connection.close()
            self.connection = None

    def _connect(self):
        c = self.connection
        if c and c.sock and pending(c.sock):
            self.close()     # readable while idle: the server hung up
        if not self.connection:
            self.connection = http.client.HTTPConnection(
                self.host, self.port, timeout=self.timeout)
            if TLS or self.context:
                self.connection.sock = connect(
                    self.port, self.timeout / PATIENCE, host=self.host,
                    context=self.context)
        return self.connection

    def call(self, method, target, body=NOTHING, headers=None, raw=None):
        send = dict(headers or {})
        token = self.token() if callable(self.token) else self.token
        if token:
            send.setdefault("Authorization", "Bearer " + token)
        if body is not NOTHING:
            raw = json.dumps(body).encode()
        if raw is not None:
            send.setdefault("Content-Type", "application/json")
        try:
            c = self._connect()
            c.request(method, target, raw, send)
            r = c.getresponse()
            data = r.read()
        except (OSError, http.client.HTTPException) as e:
            self.close()
            raise Lost(f"{method} {target[:200]}: {e!r}") from e
        got = {}
        for name, value in r.getheaders():
            name = name.lower()
            got[name] = got[name] + ", " + value if name in got else value
        if r.will_close:
            self.close()
        answer = Answer(method, target, r.status, got, data)
        self._look_at(answer)
        return answer

    def _look_at(self, a):
        """The rules that hold for every answer (BRIEF 4)."""
        def rule(holds, what):
            if not holds and len(self.faults) < 20:
                self.faults.append(f"{what}: {a!r} {a.headers}")
        revision = a.headers.get("roster-revision", "")
        rule(revision.isdigit() and int(revision) < REVISION_MOST,
             "Roster-Revision is no number below 2^53")
        node = a.headers.get("roster-node")
        rule(node == self.node if self.node else node, "Roster-Node is wrong")
        rule(a.headers.get("roster-leader") in (*self.nodes, ""),
             "Roster-Leader is neither a node nor empty")
        if a.method in ("GET", "HEAD"):
            rule(a.headers.get("roster-stale-ms", "").isdigit(),
                 "a read without Roster-Stale-Ms")
        if a.status >= 400 and a.method != "HEAD" and \
                not a.path.startswith(("/livez", "/readyz", "/leader")):
            try:
                a.problem(a.status)
            except AssertionError as e:
                rule(False, f"an error that is no problem+json ({e})")
        if a.status in (204, 304) or a.method == "HEAD":
            rule(not a.body, "a body where none may be")
        # (A repeated write is answered with the revision of its first time.)
        if a.status < 500 and revision.isdigit() and \
                "idempotent-replayed" not in a.headers:
            rule(int(revision) >= self.revision, "the revision went back")
            self.revision = max(self.revision, int(revision))

    def get(self, *a, **k): return self.call("GET", *a, **k)
    def head(self, *a, **k): return self.call("HEAD", *a, **k)
    def post(self, *a, **k): return self.call("POST", *a, **k)
    def put(self, *a, **k): return self.call("PUT", *a, **k)
    def patch(self, *a, **k): return self.call("PATCH", *a, **k)
    def delete(self, *a, **k): return self.call("DELETE", *a, **k)
    def options(self, *a, **k): return self.call("OPTIONS", *a, **k)


# ---- raw sockets ------------------------------------------------------------

class Wire:
    """A socket for bytes that no client library would send."""

    def __init__(self, port, *, timeout=10, host="127.0.0.1", context=None):
        self.sock = connect(port, timeout, host=host, context=context)
        self.buffer = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.sock.close()

    def reset(self):
        """Leave with RST instead of FIN."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                             b"\1\0\0\0\0\0\0\0")
        self.sock.close()

    def end_sending(self):
        """Nothing more comes; over TLS without a word of it."""
        socket.socket.shutdown(self.sock, socket.SHUT_WR)

    def send(self, data):
        """False when the server has already hung up."""
        try:
            self.sock.sendall(data)
            return True
        except (BrokenPipeError, ConnectionResetError, ssl.SSLEOFError,
                ssl.SSLZeroReturnError):
            return False

    def _more(self):
        try:
            data = self.sock.recv(1 << 16)
        except ConnectionResetError:
            data = b""
        self.buffer += data
        return bool(data)

    def answer_within(self, seconds, method="GET"):
        """As answer(); "silent" when neither it nor the end came in time."""
        self.sock.settimeout(seconds)
        try:
            return self.answer(method)
        except TimeoutError:
            return "silent"

    def answer(self, method="GET"):
        """The next answer (100 is skipped), or None when the server closed."""
        while b"\r\n\r\n" not in self.buffer:
            if not self._more():
                return None
        head, self.buffer = self.buffer.split(b"\r\n\r\n", 1)
        lines = head.decode("latin-1").split("\r\n")
        status = int(lines[0].split()[1])
        if status == 100:
            return self.answer(method)
        headers = {}
        for line in lines[1:]:
            name, _, value = line.partition(":")
            headers[name.strip().lower()] = value.strip()
        length = int(headers.get("content-length", 0))
        if method == "HEAD" or status in (204, 304):
            length = 0
        if "chunked" in headers.get("transfer-encoding", "") and \
                method != "HEAD":
            body = self._chunks()
        else:
            while len(self.buffer) < length:
                if not self._more():
                    return None
            body, self.buffer = self.buffer[:length], self.buffer[length:]
        return Answer(method, "(raw)", status, headers, body)

    def _chunks(self):
        body = b""
        while True:
            while b"\r\n" not in self.buffer:
                assert self._more(), "an answer ended inside a chunk"
            line, self.buffer = self.buffer.split(b"\r\n", 1)
            size = int(line.split(b";")[0], 16)
            while len(self.buffer) < size + 2:
                assert self._more(), "an answer ended inside a chunk"
            body += self.buffer[:size]
            self.buffer = self.buffer[size + 2:]
            if size == 0:
                return body

    def closed_within(self, seconds):
        """True when the server ends the connection in time. What it still
        sends is kept in `buffer`."""
        end = time.monotonic() + seconds
        while True:
            left = end - time.monotonic()
            if left <= 0 or not pending(self.sock, left):
                return False
            if not self._more():
                return True


def request_bytes(method, target, body=b"", headers=(), host="x"):
    lines = [f"{method} {target} HTTP/1.1", f"Host: {host}"]
    lines += [f"{n}: {v}" for n, v in headers]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + body


# ---- processes --------------------------------------------------------------

def die_with_parent():
    """This process ends when its parent does."""
    ctypes.CDLL(None, use_errno=True).prctl(1, signal.SIGKILL)


def spawn(argv, *, stderr, env=None, stdout=subprocess.DEVNULL):
    """A program that cannot outlive the thread that starts it (so: start
    programs from the main thread of a test)."""
    return subprocess.Popen(
        ["setpriv", "--pdeathsig", "KILL", *argv], stdin=subprocess.DEVNULL,
        stdout=stdout, stderr=stderr, env=env, start_new_session=True)


def run(argv, timeout=20, env=None):
    """Run a program to its end: (exit status, stdout, stderr)."""
    p = subprocess.run(
        ["setpriv", "--pdeathsig", "KILL", *argv], stdin=subprocess.DEVNULL,
        capture_output=True, timeout=timeout * PATIENCE, text=True,
        env=env or environment())
    return p.returncode, p.stdout, p.stderr


def binary(name):
    full = os.path.join(BUILD, name)
    if not os.path.exists(full):
        raise Skip(f"{full} is not built")
    return full


def environment(**more):
    """The tests' own environment without anything that would configure roster."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("ROSTER_")}
    env["XDG_CONFIG_HOME"] = "/nonexistent"  # nobody has signed in
    env.update(more)
    return env


def until(what, seconds=10, every=0.02):
    """Wait for a condition; its value, or an assertion that names it."""
    end = time.monotonic() + seconds * PATIENCE
    while True:
        value = what()
        if value:
            return value
        if time.monotonic() > end:
            name = getattr(what, "__name__", "condition")
            raise AssertionError(f"did not come true in {seconds} s: {name}")
        time.sleep(every)


class Server:
    """A rosterd with its data directory. It may be killed and started again; the
    port stays the same."""

    def __init__(self, *flags, data_dir=None, node="n1", start=True, env=None):
        self.flags, self.node, self.env = list(flags), node, env
        self.home = tempfile.mkdtemp(prefix="roster-test-")
        self.data_dir = data_dir or os.path.join(self.home, "data")
        self.log_file = os.path.join(self.home, "log")
        self.port = 0
        self.process = None
        self.clients = []
        self.nodes = ()      # all of its cluster
        self.listening = {}
        if start:
            self.start()

    # -- life

    def argv(self):
        argv = [binary("rosterd"), "--data-dir", self.data_dir, "--log-format",
                "json"]
        if "--drain" not in self.flags:
            argv += ["--drain", "200ms"]
        if "--http" not in self.flags:
            self.port = self.port or free_ports(1)[0]
            argv += ["--http", f"127.0.0.1:{self.port}"]
        if "--raft" not in self.flags:
            argv += ["--raft", "127.0.0.1:0"]
        if "--id" not in self.flags:
            argv += ["--id", self.node]
        if "--disk-reserve" not in self.flags:
            argv += ["--disk-reserve", "1MiB"]  # small machines run tests too
        if TLS and "--tls-cert" not in self.flags:
            cert, key = certs.common().node(self.node)
            argv += ["--tls-cert", cert, "--tls-key", key, "--tls-ca",
                     certs.common().ca]
        return argv + self.flags

    def start(self, wait=True):
        assert not self.alive(), "is running"
        with open(self.log_file, "ab") as log:
            offset = log.tell()
            self.process = spawn(self.argv(), stderr=log,
                                 env=self.env or environment())
        if wait:
            self.wait_listening(offset)
            self.wait_ready()
        return self

    def wait_listening(self, offset=0, seconds=30):
        def named_its_port():
            if not self.alive():
                raise AssertionError("rosterd ended while starting:\n" +
                                     self.log_tail())
            with open(self.log_file, "rb") as log:
                log.seek(offset)
                for line in log.read().splitlines(True):
                    if line.endswith(b"\n") and b'"listening"' in line:
                        return json.loads(line)
        self.listening = until(named_its_port, seconds, every=0.005)
        self.port = int(self.listening["http"].rpartition(":")[2])
        self.api = self.client()

    def wait_ready(self, seconds=30):
        def ready():
            try:
                with contextlib.closing(Client(self.port, timeout=5)) as c:
                    return c.get("/readyz").status == 200
            except Lost:
                assert self.alive(), "rosterd ended:\n" + self.log_tail()
        until(ready, seconds, every=0.01)

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def ended_within(self, seconds):
        try:
            self.process.wait(seconds)
            return True
        except subprocess.TimeoutExpired:
            return False

    def signal(self, number):
        self.process.send_signal(number)

    def kill(self):
        if self.alive():
            self.process.kill()
        if self.process:
            self.process.wait()

    def stop(self, seconds=20):
        """SIGTERM; its exit status."""
        self.signal(signal.SIGTERM)
        try:
            return self.process.wait(seconds * PATIENCE)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"still there {seconds} s after SIGTERM:\n" +
                                 self.log_tail()) from None

    def restart(self):
        """kill -9 and start again."""
        self.kill()
        return self.start()

    @contextlib.contextmanager
    def paused(self):
        self.signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.signal(signal.SIGCONT)

    def discard(self):
        """The end of the test: nothing stays, running or on disk."""
        if self.alive():
            self.signal(signal.SIGCONT)
        self.kill()
        self.keep_reports()
        shutil.rmtree(self.home, ignore_errors=True)

    def keep_reports(self):
        """What a sanitizer or a failed assertion wrote is never overlooked."""
        if not os.path.exists(self.log_file):
            return
        lines = self.log_lines()
        for i, line in enumerate(lines):
            if re.search(r"(ERROR|WARNING): \w+Sanitizer|runtime error: |"
                         r"Assertion .* failed", line):
                _reports.append("\n".join(lines[i:i + 30]))
                break

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.discard()

    # -- talk

    def admin_token(self):
        """What its file says, once there is one."""
        try:
            with open(os.path.join(self.data_dir, "admin.token"),
                      encoding="ascii") as f:
                return f.read().strip()
        except FileNotFoundError:
            return None

    def client(self, **options):
        if "--access" in self.flags:
            options.setdefault("token", self.admin_token)
        c = Client(self.port, node=self.node, nodes=self.nodes, **options)
        self.clients.append(c)
        return c

    def wire(self, **options):
        return Wire(self.port, **options)

    def call(self, *a, **k): return self.api.call(*a, **k)
    def get(self, *a, **k): return self.api.get(*a, **k)
    def head(self, *a, **k): return self.api.head(*a, **k)
    def post(self, *a, **k): return self.api.post(*a, **k)
    def put(self, *a, **k): return self.api.put(*a, **k)
    def patch(self, *a, **k): return self.api.patch(*a, **k)
    def delete(self, *a, **k): return self.api.delete(*a, **k)
    def options(self, *a, **k): return self.api.options(*a, **k)

    def faults(self):
        return [f for c in self.clients for f in c.faults]

    def revision(self):
        return self.get("/v1/types").revision

    def rows(self, list_path):
        return self.get(list_path).must(200).json

    # -- look at it from outside

    def log_lines(self):
        with open(self.log_file, "rb") as log:
            return log.read().decode("utf-8", "replace").splitlines()

    def log_tail(self, n=25):
        try:
            return "\n".join(line[:400] for line in self.log_lines()[-n:])
        except OSError:
            return "(no log)"

    def proc(self, name):
        with open(f"/proc/{self.process.pid}/{name}", encoding="latin-1") as f:
            return f.read()

    def n_fds(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def rss_anon_kib(self):
        return int(re.search(r"RssAnon:\s+(\d+)", self.proc("status"))[1])

    def files(self):
        """Relative path -> size, of everything in the data directory."""
        found = {}
        for folder, _, names in os.walk(self.data_dir):
            for name in names:
                full = os.path.join(folder, name)
                with contextlib.suppress(FileNotFoundError):
                    found[os.path.relpath(full, self.data_dir)] = (
                        os.stat(full).st_size)
        return found


# ---- things tests need again and again --------------------------------------

_names = 0


def fresh_name(stem="t"):
    global _names
    _names += 1
    return f"{stem}{_names}"


def make_ns(s, kind="leaf", parent="roster", name=None, **more):
    """A new namespace; its path (BRIEF 2: leaf first)."""
    body = {"parent": parent, "name": name or fresh_name(kind), "kind": kind}
    return s.post("/v1/ns", {**body, **more}).must(201).json["ns"]


def make_list(s, type_="thing", **more):
    """Path of an empty list in a new leaf."""
    return path("v1", "ns", make_ns(s, **more), type_)


def without(row, *names):
    return {k: v for k, v in row.items() if k not in (names or ("_id", "_rev"))}


def all_pages(s, target):
    """Every item of a paged array, and how many pages it took."""
    items, pages = [], 0
    while target:
        a = s.get(target).must(200)
        items += a.json
        target = a.next()
        pages += 1
        assert pages < 5000, "paging does not end"
    return items, pages


def memory_counts():
    """False for sanitized programs, which keep what was freed."""
    with open(binary("rosterd"), "rb") as f:
        found = f.read()
    return b"__asan_init" not in found and b"__tsan_init" not in found


def in_threads(n, work, timeout=120):
    """work(i) in n threads at once; what they returned. The first exception is
    raised again here."""
    results, faults = [None] * n, []

    def one(i):
        try:
            results[i] = work(i)
        except BaseException as e:  # pylint: disable=broad-except
            faults.append(e)
    threads = [threading.Thread(target=one, args=(i,), daemon=True)
               for i in range(n)]
    for t in threads:
        t.start()
    end = time.monotonic() + timeout * PATIENCE
    for t in threads:
        t.join(max(0, end - time.monotonic()))
        assert not t.is_alive(), f"a thread is not done after {timeout} s"
    if faults:
        raise faults[0]
    return results


def seeded(name):
    """A generator whose seed can be repeated: ROSTER_TEST_SEED=N."""
    seed = int(os.environ.get("ROSTER_TEST_SEED") or time.time_ns() % 10**9)
    say(f"{name}: ROSTER_TEST_SEED={seed}")
    return random.Random(seed)


def reports():
    found, _reports[:] = list(_reports), []
    return found


_reports = []
_said = []


def say(text):
    """A line for the one who reads the results, shown behind the test."""
    _said.append(text)


def said():
    lines, _said[:] = list(_said), []
    return lines
