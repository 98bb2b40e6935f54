"""Connections within TLS past the library, and through the pipe to it: what TLS
adds to what test_express, test_poll and test_watch ask. (Those run within TLS,
too.) Records that are cut in any way, ends of either kind, what does not fit
into a pipe, and a node that goes."""
import contextlib
import json
import os
import random
import re
import signal
import socket
import ssl
import threading
import time
from unittest import mock

from harness import (PATIENCE, Server, bare, make_list, make_ns, memory_counts,
                     request_bytes, say, until)
from test_tls_http import Guarded, ask, ended

ENOUGH = 20  # requests until a connection is taken


class Sealed:
    """A client that seals its records itself: they are what it is about."""

    def __init__(self, g, timeout=10, version=None):
        context = g.ca.context()
        if version:
            context.minimum_version = context.maximum_version = version
        self.sock = g.bare(timeout)
        self.inward, self.outward = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.inward, self.outward,
                                    server_hostname="127.0.0.1")
        self.buffer, self.over = b"", False
        while True:
            try:
                self.tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                self.flush()
                self.inward.write(self.sock.recv(1 << 16))
        self.flush()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()

    def flush(self):
        self.sock.sendall(self.outward.read())

    def seal(self, *parts):
        """Each a record."""
        for part in parts:
            self.tls.write(part)
        return self.outward.read()

    def say_end(self):
        """close_notify."""
        with contextlib.suppress(ssl.SSLWantReadError):
            self.tls.unwrap()
        self.flush()

    def more(self):
        """False: nothing more comes. ConnectionResetError, or SSLEOFError: and
        it was not said."""
        while True:
            try:
                got = self.tls.read(1 << 16)
            except ssl.SSLWantReadError:
                got = None
            except ssl.SSLZeroReturnError:
                return False
            if got:
                self.buffer += got
                return True
            if got == b"":
                return False
            data = self.sock.recv(1 << 16)
            if data:
                self.inward.write(data)
            else:
                self.inward.write_eof()

    def answer(self):
        """Status and body."""
        while b"\r\n\r\n" not in self.buffer:
            assert self.more(), "no answer"
        head, _, self.buffer = self.buffer.partition(b"\r\n\r\n")
        n = int(re.search(rb"(?i)content-length: (\d+)", head)[1])
        while len(self.buffer) < n:
            assert self.more(), "half an answer"
        body, self.buffer = self.buffer[:n], self.buffer[n:]
        return int(head.split()[1]), body

    def ask(self, *requests):
        """Bodies of the answers; the requests in a record each."""
        self.sock.sendall(self.seal(*requests))
        got = [self.answer() for _ in requests]
        assert all(status == 200 for status, _ in got), got
        return [body for _, body in got]


def get(target, *headers):
    return request_bytes("GET", target, headers=headers)


def express(g):
    return g.metric("roster_http_answers_express_total")


def earn(g, c, target):
    for _ in range(100):
        c.ask(*[get(target)] * ENOUGH)
        before = express(g)
        c.ask(get(target))
        if express(g) > before:
            return
    raise AssertionError("it is never taken")


def things_of(g, n=3, **more):
    things = make_list(g.server)
    g.server.post(things, [{"name": f"n{i}", **more}
                           for i in range(n)]).must(201)
    return things


class Few(Guarded):
    """With few descriptors."""

    def __enter__(self):
        limited = ["sh", "-c", 'ulimit -n 600; exec "$0" "$@"']
        argv = Server.argv
        with mock.patch.object(Server, "argv",
                               lambda server: limited + argv(server)):
            return super().__enter__()


# ---- records ------------------------------------------------------------------

def cuts(request):
    """Bytes of one request as records."""
    yield [request]
    yield [request[i:i + 1] for i in range(len(request))]
    yield [request[:7], request[7:]]
    yield [request[:-1], request[-1:]]


@bare
def records_may_be_cut_in_any_way():
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        with Guarded() as g:
            things = things_of(g)
            for taken in (False, True):
                with Sealed(g, version=version) as c:
                    want = c.ask(get(things))[0]
                    for records in cuts(get(things)):
                        if taken:
                            earn(g, c, things)
                        c.sock.sendall(c.seal(*records))
                        assert c.answer() == (200, want), (version, records)
                        for record in records:
                            c.sock.sendall(c.seal(record))
                        assert c.answer() == (200, want), (version, records)


@bare
def bytes_of_records_may_come_one_by_one():
    with Guarded() as g:
        things = things_of(g)
        with Sealed(g) as c:
            want = c.ask(get(things))[0]
            earn(g, c, things)
            before = express(g)
            for byte in c.seal(get(things)):
                c.sock.sendall(bytes([byte]))
            assert c.answer() == (200, want)
            assert express(g) == before + 1, "a part of a record is no request"
            both = c.seal(get(things)) + c.seal(get(things))
            c.sock.sendall(both[:-9])
            assert c.answer() == (200, want)
            c.sock.sendall(both[-9:])
            assert c.answer() == (200, want)
            assert express(g) == before + 3


@bare
def many_requests_come_in_one_record_and_one_in_many():
    with Guarded() as g:
        things = things_of(g, 50, text="x" * 300)
        with Sealed(g) as c:
            want = c.ask(get(things))[0]
            for taken in (False, True):
                if taken:
                    earn(g, c, things)
                before = express(g)
                n = 16000 // len(get(things))
                c.sock.sendall(c.seal(get(things) * n))
                assert all(c.answer() == (200, want) for _ in range(n))
                assert not taken or express(g) == before + n
                text = get(things) * 400  # records end anywhere within them
                c.sock.sendall(c.seal(*[text[i:i + 999]
                                        for i in range(0, len(text), 999)]))
                assert all(c.answer() == (200, want) for _ in range(400))
                assert c.ask(get(things))[0] == want


@bare
def writes_within_tls_are_made_once():
    with Guarded() as g:
        things = things_of(g)
        with Sealed(g) as c:
            earn(g, c, things)
            before = express(g)
            for i in range(40):
                body = json.dumps({"name": f"w{i}"}).encode()
                request = request_bytes("POST", things, body)
                records = list(cuts(request))[i % 4] if i % 3 else [request]
                c.sock.sendall(c.seal(*records, get(f"{things}/w{i}")))
                assert c.answer()[0] == 201
                status, row = c.answer()
                assert status == 200 and json.loads(row)["name"] == f"w{i}"
            assert express(g) > before
        assert len(g.server.rows(things)) == 43


# ---- there and back -----------------------------------------------------------

@bare
def what_the_library_has_to_answer_is_given_back_whole():
    with Guarded() as g:
        things = things_of(g)
        large = json.dumps({"name": "large", "text": "x" * 60000}).encode()
        with Sealed(g) as c:
            want = c.ask(get(things))[0]
            earn(g, c, things)
            half = get(things)
            c.sock.sendall(c.seal(half[:20]))
            c.sock.sendall(c.seal(half[20:]))
            assert c.answer() == (200, want)
            earn(g, c, things)
            odd = get(things, ("X-Odd", "a"), ("Connection", "TE"))
            assert c.ask(odd, get(things), odd) == [want] * 3
            earn(g, c, things)
            c.sock.sendall(c.seal(get(things), request_bytes(
                "POST", things, large)[:30000]))
            assert c.answer() == (200, want)
            c.sock.sendall(c.seal(request_bytes("POST", things,
                                                large)[30000:]))
            assert c.answer()[0] == 201
            assert len(json.loads(c.ask(get(things))[0])) == 4


@bare
def who_reads_slowly_gets_each_answer():
    with Guarded() as g:
        things = things_of(g, 200, text="x" * 500)
        want = g.server.get(things).must(200).body
        for taken in (False, True):
            with Sealed(g, timeout=60) as c:
                if taken:
                    earn(g, c, things)
                n = 100
                c.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
                sender = threading.Thread(
                    target=c.sock.sendall, args=(c.seal(*[get(things)] * n),))
                sender.start()
                for i in range(n):
                    time.sleep(0.01)
                    assert c.answer() == (200, want), i
                sender.join()


# ---- ends ---------------------------------------------------------------------

@bare
def who_says_its_end_gets_all_answers():
    with Guarded() as g:
        things = things_of(g)
        for taken in (False, True):
            for ends in (Sealed.say_end,
                         lambda c: c.sock.shutdown(socket.SHUT_WR)):
                with Sealed(g) as c:
                    want = c.ask(get(things))[0]
                    if taken:
                        earn(g, c, things)
                    text = c.seal(*[get(things)] * 5)
                    c.sock.sendall(text)
                    ends(c)
                    for _ in range(5):
                        assert c.answer() == (200, want)
                    assert not c.more()


@bare
def garbage_behind_the_handshake_ends_the_connection():
    with Guarded() as g:
        things = things_of(g)
        files, n = g.server.n_fds(), g.metric("roster_http_connections")
        for garbage in (b"\x17\x03\x03\x00\x20" + os.urandom(32),
                        os.urandom(5000), b"\x17\x03\x03\xff\xff" + b"x" * 70000,
                        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"):
            for taken in (None, False, True):
                with Sealed(g) as c:
                    if taken is not None:
                        c.ask(get(things))
                    if taken:
                        earn(g, c, things)
                    with contextlib.suppress(ConnectionError):
                        c.sock.sendall(garbage)
                    ended(c.sock)
        g.server.get("/livez").must(200)
        until(lambda: g.metric("roster_http_connections") <= n)
        until(lambda: g.server.n_fds() <= files)


@bare
def who_hangs_up_in_the_middle_is_forgotten():
    with Guarded() as g:
        things = things_of(g, 200, text="x" * 500)
        files, n = g.server.n_fds(), g.metric("roster_http_connections")
        for taken in (False, True):
            for ask_ in (b"", get(things)[:20], get(things) * 50,
                         get(things + "?consistency=linearizable"),
                         request_bytes("POST", things, b"x" * 9000)[:4000]):
                for _ in range(3):
                    c = Sealed(g)
                    c.ask(get(things))
                    if taken:
                        earn(g, c, things)
                    if ask_:
                        c.sock.sendall(c.seal(ask_))
                    c.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                                      b"\1\0\0\0\0\0\0\0")
                    c.sock.close()
        until(lambda: g.metric("roster_http_connections") <= n)
        until(lambda: g.metric("roster_http_requests_in_flight") == 1)
        until(lambda: g.server.n_fds() <= files)


@bare
def who_is_cut_off_reads_why():
    with Guarded("--request-timeout", "1s") as g:
        things = things_of(g)
        for taken in (False, True):
            with Sealed(g, timeout=30) as c:
                c.ask(get(things))
                if taken:
                    earn(g, c, things)
                c.sock.sendall(c.seal(
                    request_bytes("POST", things, b"x" * 9000)[:4000]))
                assert c.answer()[0] == 408
                assert not c.more()


# ---- those who wait -----------------------------------------------------------

def begin_all(g, request, n):
    wires = []
    for _ in range(n):
        wires.append(g.wire(timeout=60))
        wires[-1].send(request)
    return wires


@bare(alone=True, timeout=180)
def who_waits_costs_a_session_and_no_more():
    with Guarded() as g:
        s, n = g.server, 500
        ns = make_ns(s)
        things = f"/v1/ns/{ns}/thing"
        poll = get(f"{things}?since={s.revision()}&wait=10m")
        stream = get("/v1/watch")
        others = begin_all(g, stream, 100)
        files, before = s.n_fds(), s.rss_anon_kib()
        polls, streams = begin_all(g, poll, n), begin_all(g, stream, n)
        until(lambda: g.metric("roster_watch_polls") == n, 60)
        until(lambda: g.metric("roster_watch_streams") == n + 100, 60)
        until(lambda: s.n_fds() <= files + 2 * n)
        each = (s.rss_anon_kib() - before) / (2 * n)
        say(f"who waits within TLS: {each:.1f} KiB")
        assert not memory_counts() or each < 20, f"{each} KiB"
        revision = s.post(things, {"name": "news"}).must(201).revision
        for w in polls:
            assert w.answer().revision == revision
        for w in streams + others:
            while b"news" not in w.buffer:
                assert w._more()
            w.close()
        until(lambda: g.metric("roster_watch_streams") == 0, 60)
        for w in polls:  # they go on where they are
            w.send(get(things))
            assert w.answer().status == 200
            w.close()
        until(lambda: s.n_fds() <= files - 100, 60)


@bare
def who_waits_behind_an_answer_gets_both():
    with Guarded() as g:
        s = g.server
        things = things_of(g, 1000, text="x" * 500)
        revision = s.revision()
        poll = get(f"{things}?since={revision}&wait=10m")
        with Sealed(g, timeout=60) as c, Sealed(g, timeout=60) as d:
            c.sock.sendall(c.seal(get(things) + poll))
            d.sock.sendall(d.seal(get(things) + get("/v1/watch?initial=true")))
            until(lambda: g.metric("roster_watch_polls") == 1)
            until(lambda: g.metric("roster_watch_streams") == 1)
            status, body = c.answer()
            assert status == 200 and b'"n1"' in body
            s.post(things, {"name": "news"}).must(201)
            assert c.answer()[0] == 200
            assert d.answer()[0] == 200
            while b"news" not in d.buffer:
                assert d.more()


# ---- the pipe -----------------------------------------------------------------

@bare(timeout=180)
def there_are_fewer_pipes_than_connections():
    with Few() as g:
        s, n = g.server, 150
        base = s.n_fds()
        wires = [g.wire() for _ in range(n)]
        for _ in range(2):
            for w in wires:
                ask(w)
        assert g.metric("roster_http_connections") >= n
        most = g.metric("roster_http_connections_max")
        assert most < 600 - 256
        assert s.n_fds() < base + n + 150, "each has a pipe"
        for w in wires:
            w.close()
        until(lambda: s.n_fds() <= base + 3)


@bare(timeout=180)
def who_finds_no_pipe_gets_that_of_one_who_is_silent():
    """However many are in the middle of a request, and though nobody else has
    anything to say."""
    with Few("--io-threads", "1") as g:
        halves = [g.wire(timeout=30) for _ in range(38)]
        for w in halves:
            w.send(b"GET /livez HTTP/1.1\r\nHost: x\r\n")
        others = [g.wire(timeout=30) for _ in range(40)]
        for w in others:
            ask(w)
        for w in halves:  # their time is not over
            w.send(b"\r\n")
            w.answer().must(200)


@bare(timeout=180)
def large_things_pass_slowly_and_whole():
    with Guarded() as g:
        s = g.server
        things = make_list(s)
        rows = [{"name": f"r{i}", "text": random.choice("abc") * 900}
                for i in range(900)]
        body = json.dumps(rows).encode()
        with Sealed(g, timeout=60) as c:
            sealed = c.seal(request_bytes("POST", things, body))
            for i in range(0, len(sealed), 50000):
                c.sock.sendall(sealed[i:i + 50000])
                time.sleep(0.01)
            assert c.answer()[0] == 201
        with Sealed(g, timeout=60) as c:
            c.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32768)
            target = things + "?limit=1000"
            c.sock.sendall(c.seal(get(target), get(target)))
            for _ in range(2):
                time.sleep(0.5)
                status, got = c.answer()
                assert status == 200 and got == s.get(target).must(200).body


# ---- a node that goes ---------------------------------------------------------

def write_until_it_ends(g, things, done):
    names, i = [], 0
    name = threading.current_thread().name.replace(" ", "").replace("(", "-") \
        .replace(")", "").lower()
    with contextlib.suppress(OSError, AssertionError, ssl.SSLError):
        with Sealed(g) as c:
            while not done.is_set():
                body = json.dumps({"name": f"{name}-{i}"}).encode()
                c.sock.sendall(c.seal(request_bytes("POST", things, body)))
                if c.answer()[0] != 201:
                    break
                names.append(f"{name}-{i}")
                i += 1
    return names


def end_under_load(g, end):
    s, things, done = g.server, make_list(g.server), threading.Event()
    found = []
    threads = [threading.Thread(
        target=lambda: found.append(write_until_it_ends(g, things, done)))
        for _ in range(8)]
    for t in threads:
        t.start()
    until(lambda: len(s.rows(things)) > 200, 30)
    end()
    done.set()
    for t in threads:
        t.join()
    s.start()
    there = {row["name"] for row in s.rows(things)}
    told = {name for names in found for name in names}
    assert len(told) > 100
    assert told <= there, told - there


@bare(timeout=120)
def what_was_confirmed_is_there_after_any_end():
    with Guarded() as g:
        end_under_load(g, lambda: g.server.stop())
        end_under_load(g, g.server.kill)


@bare(timeout=120)
def an_answer_on_its_way_arrives_though_the_node_ends():
    with Guarded() as g:
        things = things_of(g, 900, text="x" * 900)
        target = things + "?limit=1000"
        want = g.server.get(target).must(200).body
        for taken in (False, True):
            with Sealed(g, timeout=60) as c:
                if taken:
                    earn(g, c, things)
                c.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32768)
                c.sock.sendall(c.seal(get(target)))
                time.sleep(0.3)
                g.server.signal(signal.SIGTERM)
                time.sleep(0.3)
                assert c.answer() == (200, want)
                assert not c.more()
            assert g.server.ended_within(20 * PATIENCE)
            g.server.start()
