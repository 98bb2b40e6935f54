"""A reader of GET /v1/watch that takes nothing on trust: the head, the chunks,
the fields of each event.

    with Watch(s, ns="web.roster") as w:
        w.caught_up()
        s.put(...)
        w.change()["resource"]"""
import json
import re
import time

from harness import PATIENCE, connect, path

FIELDS = {"id", "event", "data", "retry"}
NOTES = {"progress", "reset", "bye"}


class Ended(Exception):
    """The stream is over."""


class Watch:
    def __init__(self, s, *, lines=False, http="1.1", headers=None, port=None,
                 timeout=20, method="GET", context=None, **query):
        self.lines, self.http = lines, http
        self.last_id = None     # as a browser keeps it
        self.retry = None
        self.clean = False      # the last chunk has come
        self.head, self.body = b"", b""
        self.sock = connect(port or s.port, timeout, context=context)
        head = [f"{method} {path('v1', 'watch', **query)} HTTP/{http}", "Host: x"]
        if lines:
            head.append("Accept: application/x-ndjson")
        head += [f"{n}: {v}" for n, v in (headers or {}).items()]
        self.sock.sendall(("\r\n".join(head) + "\r\n\r\n").encode())
        self._raw = b""
        while b"\r\n\r\n" not in self._raw:
            self._receive()
        self.head, self._raw = self._raw.split(b"\r\n\r\n", 1)
        first, *rest = self.head.decode().split("\r\n")
        self.status = int(first.split()[1])
        self.headers = {n.strip().lower(): v.strip() for n, _, v in
                        (line.partition(":") for line in rest)}
        self.chunked = self.headers.get("transfer-encoding") == "chunked"
        if self.status == 200:
            assert self.chunked == (http == "1.1"), self.head
            assert self.headers["cache-control"] == "no-store", self.head
            assert self.headers["content-type"] == (
                "application/x-ndjson" if lines else "text/event-stream")
            for name in ("revision", "leader", "node", "stale-ms"):
                assert f"roster-{name}" in self.headers, self.head

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.sock.close()

    def problem(self, status):
        """It was refused: the answer's body."""
        assert self.status == status, self.head
        n = int(self.headers["content-length"])
        while len(self._raw) < n:
            self._receive()
        found = json.loads(self._raw[:n])
        assert found["status"] == status and found["detail"], found
        return found

    def _receive(self):
        try:
            more = self.sock.recv(1 << 16)
        except ConnectionResetError:
            more = b""
        if not more:
            raise Ended
        self._raw += more

    def _dechunk(self):
        """One chunk's bytes go to the body."""
        while b"\r\n" not in self._raw:
            self._receive()
        size, rest = self._raw.split(b"\r\n", 1)
        assert re.fullmatch(rb"[0-9a-f]+", size), size
        n = int(size, 16)
        while len(rest) < n + 2:
            self._receive()
            rest = self._raw.split(b"\r\n", 1)[1]
        assert rest[n:n + 2] == b"\r\n", rest[n:n + 9]
        self._raw = rest[n + 2:]
        self.body += rest[:n]
        if n == 0:
            self.clean = True
            assert not self._raw
            raise Ended

    def _more(self):
        if self.chunked:
            self._dechunk()
            return
        if not self._raw:
            self._receive()
        self.body, self._raw = self.body + self._raw, b""

    def _until(self, end):
        while end not in self.body:
            self._more()
        text, self.body = self.body.split(end, 1)
        return text.decode("utf-8")

    def next(self, seconds=20):
        """The next event: its JSON, and "_id" when it carried an id: line.
        TimeoutError, Ended."""
        self.sock.settimeout(seconds * PATIENCE)
        if self.lines:
            return json.loads(self._until(b"\n"))
        fields = {}
        for line in self._until(b"\n\n").split("\n"):
            name, _, value = line.partition(": ")
            assert name in FIELDS and name not in fields, line
            fields[name] = value
        event = json.loads(fields["data"])
        kind = fields.get("event")
        assert kind == (event["op"] if event["op"] in NOTES else None), fields
        if "id" in fields:
            assert int(fields["id"]) == event["revision"], fields
            self.last_id = int(fields["id"])
            event["_id"] = self.last_id
        self.retry = fields.get("retry", self.retry)
        return event

    def change(self, seconds=20):
        """The next that is no progress."""
        end = time.monotonic() + seconds * PATIENCE
        while True:
            event = self.next(max(0.1, end - time.monotonic()))
            if event["op"] != "progress":
                return event

    def changes(self, n):
        return [self.change() for _ in range(n)]

    def caught_up(self):
        """Until the next progress; what came before it, and its revision."""
        before = []
        while True:
            event = self.next()
            if event["op"] == "progress":
                return before, event["revision"]
            before.append(event)

    def up_to(self, revision):
        """All changes until one, or a progress, says so much has happened."""
        found = []
        while True:
            event = self.next()
            if event["op"] != "progress":
                found.append(event)
            if event["revision"] >= revision and (
                    event.get("cause") != "initial"):
                return found

    def silent(self, seconds=0.3):
        """Nothing but progress comes."""
        try:
            event = self.change(seconds / PATIENCE)
        except TimeoutError:
            return True
        raise AssertionError(f"nothing was to come: {event}")


def names(events):
    return [e["resource"].get("name") for e in events]
