#!/usr/bin/python3
"""Attacks on a server, each in a process of its own so that it disturbs nobody
who measures: what a stranger on the net can do with little.

    with Attack("slow-heads", port) as attack:     # it is under way
        ...
    attack.told        # what became of its connections and requests

Each is bounded (connections, bytes, no amplification) and begins at an address
of its own, 127.0.0.9. Used by test_attacks.py and by scripts/bench. Alone:
    tests/system/attacks.py NAME PORT [--tls CA] [--token TOKEN] [--n N]
which ends when its standard input does."""
import argparse
import ctypes
import gzip
import json
import os
import resource
import selectors
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time

FROM = "127.0.0.9"
SILENT_S = 10


class Target:
    def __init__(self, port, ca=None, token=None, n=None):
        self.port, self.ca, self.token, self.n = port, ca, token, n
        self.stop = threading.Event()
        self.lock = threading.Lock()
        self.told = {"opened": 0, "refused": 0, "ended": 0, "silent": 0,
                     "answered": 0,
                     "most_open": 0, "statuses": {}}
        self.begun = threading.Event()

    def note(self, what, status=None):
        with self.lock:
            if status is None:
                self.told[what] += 1
            else:
                seen = self.told["statuses"]
                seen[status] = seen.get(status, 0) + 1

    def context(self):
        context = ssl.create_default_context(cafile=self.ca)
        context.set_alpn_protocols([])
        return context

    def connect(self, tls=None):
        sock = socket.socket()
        sock.settimeout(SILENT_S)
        sock.bind((FROM, 0))
        sock.connect(("127.0.0.1", self.port))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls or (tls is None and self.ca):
            sock = self.context().wrap_socket(sock, server_hostname="127.0.0.1")
        self.note("opened")
        return sock

    def hello(self):
        """What begins a handshake."""
        coming, going = ssl.MemoryBIO(), ssl.MemoryBIO()
        session = self.context().wrap_bio(coming, going,
                                          server_hostname="127.0.0.1")
        try:
            session.do_handshake()
        except ssl.SSLWantReadError:
            pass
        return going.read()

    def request(self, method, path, body=b"", headers=()):
        lines = [f"{method} {path} HTTP/1.1", "Host: x"]
        if self.token:
            lines.append(f"Authorization: Bearer {self.token}")
        lines += headers
        if body:
            lines.append(f"Content-Length: {len(body)}")
        return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


# ---- many at once: requests, as fast as they are answered --------------------

def read_answer(sock):
    """Status and whether the connection goes on; None: it ended."""
    data = b""
    while b"\r\n\r\n" not in data:
        more = sock.recv(1 << 16)
        if not more:
            return None, False
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    low = head.lower()
    length = 0
    for line in low.split(b"\r\n")[1:]:
        if line.startswith(b"content-length:"):
            length = int(line.split(b":")[1])
    while len(body) < length:
        more = sock.recv(1 << 16)
        if not more:
            break
        body += more
    return int(head.split()[1]), b"connection: close" not in low


def ask_for_ever(target, make, keep):
    sock, i = None, 0
    while not target.stop.is_set():
        try:
            sock = sock or target.connect()
            sock.sendall(make(i))
            status, goes_on = read_answer(sock)
            if status is None:
                target.note("ended")
            else:
                target.note("statuses", status)
            if not (goes_on and keep):
                sock.close()
                sock = None
        except TimeoutError:
            target.note("silent")
            sock.close()
            sock = None
        except OSError:
            target.note("ended" if sock else "refused")
            if sock:
                sock.close()
            sock = None
            time.sleep(0.01)
        i += 1
        target.begun.set()


def storm(target, make, n=8, keep=True):
    """make(i): bytes of the request of that number."""
    threads = [threading.Thread(target=ask_for_ever, args=(target, make, keep))
               for _ in range(target.n or n)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()


# ---- many at once: connections ----------------------------------------------

class Crowd:
    """Keeps n connections open; each sends `first`, then `piece` now and then."""

    def __init__(self, target, n, first=b"", piece=b"", every=0.2):
        self.target, self.n = target, target.n or n
        self.first, self.piece, self.every = first, piece, every
        self.all, self.poll = set(), selectors.DefaultSelector()

    def open_one(self):
        try:
            sock = self.target.connect(tls=False)
        except OSError:
            self.target.note("refused")
            return False
        sock.setblocking(False)
        self.all.add(sock)
        self.poll.register(sock, selectors.EVENT_READ)
        self.send(sock, self.first)
        return True

    def drop(self, sock):
        self.poll.unregister(sock)
        self.all.discard(sock)
        sock.close()

    def send(self, sock, data):
        try:
            if data:
                sock.send(data)
        except BlockingIOError:
            pass
        except OSError:
            self.target.note("ended")
            self.drop(sock)

    def hear(self, wait):
        for key, _ in self.poll.select(wait):
            try:
                data = key.fileobj.recv(1 << 14)
            except BlockingIOError:
                continue
            except OSError:
                data = b""
            if data.startswith(b"HTTP/1."):
                self.target.note("statuses", int(data.split()[1]))
            if not data:
                self.target.note("ended")
                self.drop(key.fileobj)

    def fill(self, most=200):
        for _ in range(min(most, self.n - len(self.all))):
            if not self.open_one():
                time.sleep(0.01)
                break
        told = self.target.told
        told["most_open"] = max(told["most_open"], len(self.all))

    def run(self):
        due = time.monotonic() + self.every
        tried = 0
        while not self.target.stop.is_set():
            self.fill()
            tried += 200
            if len(self.all) >= self.n or tried > 2 * self.n:
                self.target.begun.set()
            self.hear(max(0, min(0.05, due - time.monotonic())))
            if time.monotonic() >= due:
                for sock in list(self.all) if self.piece else ():
                    self.send(sock, self.piece)
                due = time.monotonic() + self.every
        for sock in list(self.all):
            self.drop(sock)


# ---- what is sent ------------------------------------------------------------

LEAF = "/v1/ns/attacked.roster/thing"
SMUGGLED = b"POST " + LEAF.encode() + (b" HTTP/1.1\r\nHost: x\r\n"
                                       b"Content-Length: 19\r\n\r\n"
                                       b'{"name":"smuggled"}')
SHAPES = (
    b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n",
    b"Content-Length: 2\r\nContent-Length: 200\r\n\r\n{}",
    b"Content-Length: 2, 200\r\n\r\n{}",
    b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    b"X: y\r\n Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"X: y\nTransfer-Encoding: chunked\nContent-Length: 3\n\n0\r\n\r\n",
    b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    b"Transfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n",
    b"Content-Length: +2\r\n\r\n{}", b"Content-Length: 0x2\r\n\r\n{}",
    b"Content-Length: 18446744073709551618\r\n\r\n{}")
TRICKS = ("/v1/ns/%2e%2e/types", "/v1/ns/../../etc/passwd", "/v1/ns/roster%00",
          "/v1/ns/%c0%ae%c0%ae/thing", "/v1/ns/%e0%80%af", "/v1%2fns",
          "/v1/ns/%252e%252e", "/v1/ns/a%2f..%2fb/thing", "//v1/ns", "/v1/./ns",
          "/v1/ns/%ff", "/v1/ns/%u002e", "/v1/ns/..;/types", "/V1/NS",
          "/v1/ns?depth=%00", "/v1/ns?a=%zz", "/v1/ns/" + "a/" * 200,
          "/v1/ns/" + "%61" * 500)
REGEXES = ("(a+)+$", "^(a|aa)+$", "(a|a)*b", "(.*a){20}", "((a*)*)*b",
           "([a-zA-Z]+)*$", "(a?){30}a{30}", "^(([a-z])+.)+[A-Z]([a-z])+$")


def many_bodies():
    deep = 1 << 19
    return [b"[" * deep, b'{"a":' * (deep // 5), b"[" * deep + b"]" * deep,
            b'{"name":"a","x":' + b"9" * deep + b"}",
            b'{"name":"a","x":1e' + b"9" * 1000 + b"}",
            b'{"name":"a","x":0.' + b"1" * deep + b"}",
            b"{" + b",".join(b'"k%d":"v"' % i for i in range(40_000)) + b"}",
            b"{" + b",".join(b'"k":"v"' for _ in range(60_000)) + b"}",
            b"[" + b",".join(b"{}" for _ in range(100_000)) + b"]",
            b'{"name":"a","x":"' + b"\\u0000" * 100_000 + b'"}']


# ---- the attacks -------------------------------------------------------------

def slow_heads(t):
    """500 connections that send a byte of a header now and then"""
    Crowd(t, 500, b"GET /livez HTTP/1.1\r\nHost: x\r\nX: ", b"y").run()


def slow_bodies(t):
    """500 connections that send a byte of a body now and then"""
    Crowd(t, 500, t.request("POST", LEAF, headers=["Content-Length: 100000"]),
          b" ").run()


def endless_heads(t):
    """headers that do not end, as fast as they are taken"""
    lines = b"X-Header: " + b"y" * 90 + b"\r\n"
    storm(t, lambda i: b"GET /livez HTTP/1.1\r\nHost: x\r\n" + lines * 600,
          keep=False)


def half_open(t):
    """10,000 connections that send nothing"""
    Crowd(t, 10_000).run()


def bombs(t):
    """bodies of 64 MiB, compressed to 64 KiB"""
    bomb = gzip.compress(bytes(64 << 20), 9)
    storm(t, lambda i: t.request("POST", LEAF, bomb, [
        "Content-Encoding: gzip", "Content-Type: application/json"]))


def smuggling(t):
    """requests with two meanings, another one hidden in each"""
    storm(t, lambda i: b"POST " + LEAF.encode() + b" HTTP/1.1\r\nHost: x\r\n" +
          SHAPES[i % len(SHAPES)] + SMUGGLED, keep=False)


def paths(t):
    """targets with dot segments, NULs, overlong UTF-8, double encoding"""
    storm(t, lambda i: t.request("GET", TRICKS[i % len(TRICKS)]))


def json_bombs(t):
    """bodies of half a megabyte that are deep, wide or long numbers"""
    bodies = many_bodies()
    storm(t, lambda i: t.request("POST", LEAF, bodies[i % len(bodies)]))


def regexes(t):
    """searches with expressions that take others for ever"""
    from urllib.parse import quote
    storm(t, lambda i: t.request("GET", "/v1/search?mode=regex&v=" + quote(
        REGEXES[i % len(REGEXES)], safe="")))


def handshakes(t):
    """handshakes without end, each left in the middle"""
    def shake():
        hello = t.hello()
        while not t.stop.is_set():
            try:
                sock = t.connect(tls=False)
                sock.sendall(hello)
                t.note("answered" if sock.recv(1 << 14) else "ended")
                sock.close()
            except OSError:
                t.note("refused")
                time.sleep(0.01)
            t.begun.set()
    threads = [threading.Thread(target=shake) for _ in range(t.n or 8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def half_handshakes(t):
    """2,000 connections in the middle of a handshake"""
    Crowd(t, 2000, t.hello()).run()


def sign_ins(t):
    """wrong passwords of one who is there, and of many who are not"""
    storm(t, lambda i: t.request("POST", "/v1/sessions", json.dumps({
        "user": "ann" if i % 2 else f"nobody{i}",
        "password": f"wrong horse {i}"}).encode()))


def unknown(t):
    """requests with tokens that are nobody's"""
    storm(t, lambda i: t.request("GET", LEAF, headers=[
        f"Authorization: Bearer rst_01ARZ3NDEKTSV4RRFFQ69G5FAV_{i:043d}"]))


def denials(t):
    """writes of one who may only read, each a line of the audit"""
    storm(t, lambda i: t.request("POST", LEAF, b'{"name":"n%d"}' % i))


# Those that need TLS, or access control and a reader's token.
NEEDS = {"handshakes": "tls", "half-handshakes": "tls", "sign-ins": "access",
         "unknown": "access", "denials": "reader"}
ATTACKS = {f.__name__.replace("_", "-"): f for f in (
    slow_heads, slow_bodies, endless_heads, half_open, bombs, smuggling, paths,
    json_bombs, regexes, handshakes, half_handshakes, sign_ins, unknown,
    denials)}


# ---- as a process --------------------------------------------------------------

def die_with_parent():
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


class Attack:
    def __init__(self, name, port, *, ca=None, token=None, n=None, cpu=None):
        argv = ["taskset", "-c", str(cpu)] if cpu is not None else []
        argv += ["nice", "-n", "19", sys.executable, os.path.abspath(__file__),
                 name, str(port)]
        for flag, value in (("--tls", ca), ("--token", token), ("--n", n)):
            argv += [flag, str(value)] if value is not None else []
        self.name, self.told = name, None
        self.process = subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            preexec_fn=die_with_parent)
        line = self.process.stdout.readline()
        if line != "begun\n":
            self.process.kill()
            raise RuntimeError(f"the attack {name} did not begin: {line!r}")

    def alive(self):
        return self.process.poll() is None

    def end(self):
        if self.told is None:
            try:
                out, _ = self.process.communicate(timeout=90)
                self.told = json.loads(out)
            except BaseException:
                self.process.kill()
                self.process.wait()
                raise
        return self.told

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind is None:
            self.end()
        else:
            self.process.kill()
            self.process.wait()


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    p.add_argument("name", choices=ATTACKS)
    p.add_argument("port", type=int)
    p.add_argument("--tls", metavar="CA")
    p.add_argument("--token")
    p.add_argument("--n", type=int)
    a = p.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    target = Target(a.port, a.tls, a.token, a.n)

    def tell():
        target.begun.wait()
        print("begun", flush=True)
        sys.stdin.read()
        target.stop.set()
    threading.Thread(target=tell, daemon=True).start()
    ATTACKS[a.name](target)
    print(json.dumps(target.told), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
