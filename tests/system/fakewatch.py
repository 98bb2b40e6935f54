"""A registry that can only be watched, and breaks as it is told to.

It speaks GET /v1/watch as rosterd does (NDJSON in chunks), over changes that
it is given; each connection may have a fault."""
import json
import socket
import struct
import threading
from urllib.parse import parse_qs, urlsplit

STREAM = (b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\n"
          b"Transfer-Encoding: chunked\r\n\r\n")


def put(revision, name="x", **more):
    return {"revision": revision, "op": "put", "ns": "web.roster", "ns_id": 4,
            "cause": "api", "type": "service",
            "id": f"{revision:026d}", "resource": {
                "_id": f"{revision:026d}", "_rev": revision, "name": name},
            **more}


def line(event):
    return (json.dumps(event, separators=(",", ":")) + "\n").encode()


def word(op, revision):
    return line({"op": op, "revision": revision})


def chunk(data):
    return b"%x\r\n%s\r\n" % (len(data), data)


def answer(status, body=b"", *headers):
    head = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


def problem(status, title, detail):
    return answer(f"{status} {title}", json.dumps(
        {"type": "about:blank", "title": title, "status": status,
         "detail": detail}).encode(), "Content-Type: application/problem+json")


class Fault:
    """cut: bytes of the answer that are sent before it is closed. instead: all
    that is sent. ends: what is sent behind the stream. stays: the connection is
    left open without a further byte."""

    def __init__(self, cut=None, instead=None, ends=None, stays=False,
                 reset=False):
        self.cut, self.instead, self.ends = cut, instead, ends
        self.stays, self.reset = stays, reset


class FakeWatch:
    """`faults`: of the first connections, in order; None: none."""

    def __init__(self, changes=(), rows=(), faults=(), floor=0, back=0):
        self.changes, self.rows = list(changes), list(rows)
        self.faults, self.floor = list(faults), floor
        self.back = back           # begins so many changes before `since`
        self.queries = []          # of each connection
        self.lock = threading.Lock()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.open = []
        self.over = threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.over.set()
        self.listener.close()
        for c in self.open:
            c.close()

    def _accept(self):
        while True:
            try:
                c, _ = self.listener.accept()
            except OSError:
                return
            self.open.append(c)
            threading.Thread(target=self._serve, args=(c,),
                             daemon=True).start()

    def _serve(self, c):
        try:
            self._speak(c)
        except OSError:
            pass
        finally:
            c.close()

    def _speak(self, c):
        head = b""
        while b"\r\n\r\n" not in head:
            got = c.recv(65536)
            if not got:
                return
            head += got
        target = urlsplit(head.split()[1].decode())
        if target.path != "/v1/watch":
            c.sendall(answer("404 Not Found", b"nothing"))
            return
        assert b"Accept: application/x-ndjson\r\n" in head, head
        query = {k: v[0] for k, v in parse_qs(target.query).items()}
        with self.lock:
            self.queries.append(query)
            fault = self.faults.pop(0) if self.faults else None
        self._stream(c, query, fault or Fault(stays=True))

    def stream(self, query):
        """All that is sent for it, as a list of lines."""
        last = max([e["revision"] for e in self.changes], default=self.floor)
        if query.get("initial") == "true":
            return [line({**r, "cause": "initial"}) for r in self.rows] + [
                word("progress", last)]
        since = int(query.get("since", last))
        if since < self.floor:
            return [word("reset", last)]
        later = [e for e in self.changes
                 if e["revision"] > since - self.back]
        return [line(e) for e in later] + [word("progress", last)]

    def _stream(self, c, query, fault):
        data = fault.instead
        if data is None:
            data = STREAM + b"".join(chunk(x) for x in self.stream(query))
        data += fault.ends or b""
        c.sendall(data[:fault.cut])
        if fault.stays:
            while c.recv(1):       # until the client goes
                pass
        if fault.reset:
            c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                         struct.pack("ii", 1, 0))
