#!/usr/bin/python3
"""Requests made by chance from api/openapi.yaml: right ones, and ones with
something wrong in the path, the query, a header or the body. What is known to be
there is used again, so that many of them find something.

    maker = Maker(document, random.Random(1))
    request = maker.request()          # of any operation
    session.send(request)              # holds the answer against the document

Alone, longer and with another seed (TIME in seconds):
    tests/system/fuzz_http.py TIME [SEED]"""
import json
import re
import socket
import string
from urllib.parse import quote

import certs
from harness import TLS, Answer, Wire, pending

METHODS = ("get", "head", "post", "put", "patch", "delete", "options")
# What is long or large is asked less often than the rest.
RARE = {"/v1/admin/backup", "/v1/admin/snapshot", "/v1/admin/restore",
        "/v1/admin/digest", "/v1/watch", "/v1/admin/breaker"}
CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
TRICKS = ("", " ", ".", "..", "a/b", "%2e%2e", "a%00b", "\0", "\r\nX: y", "é",
          "\ud7ff", "a" * 64, "a" * 256, "x" * 3000, "*", "@", "*)(uid=*", "$(id)",
          "-1", "0", "00", "1e9", "9007199254740993", "null", "true", "[]", "{}",
          "(a+)+$", "((((((((((a*)*)*)*)*)*)*)*)*)*b", "[[:alpha:]", "\\", "(?R)",
          "a,b,,c", "'", "\"", "<a>", "\u202e", "🦀", "e\u0301", "_id", "_rev",
          "rst_x", "A", "xn--a", "a.b.c.d", "roster.", ".roster")
RAW = (b"%", b"%zz", b"%c0%af", b"%ed%a0%80", b"%ff", b"%00", b"%2f", b"%252e",
       b"\xff", b"\x80", b"..", b".", b"/", b"//", b"%2e%2e", b"+", b"#", b";",
       b"?", b"&", b"=", b"\\", b"%0d%0a", b"%u0041")


class Request:
    """One request, before it is bytes."""

    def __init__(self, method, template, target):
        self.method, self.template, self.target = method, template, target
        self.headers, self.body = [], None
        self.odd = False     # its target may be no path of the document

    def bytes(self):
        lines = [f"{self.method} ".encode() + self.target + b" HTTP/1.1",
                 b"Host: x"]
        lines += [n.encode() + b": " + v for n, v in self.headers]
        if self.body is not None:
            lines.append(b"Content-Length: %d" % len(self.body))
        return b"\r\n".join(lines) + b"\r\n\r\n" + (self.body or b"")

    def __repr__(self):
        return repr(self.bytes()[:2000])


class Maker:
    def __init__(self, document, rng):
        self.document, self.rng = document, rng
        self.operations = [
            (m, t, item) for t, item in document.doc["paths"].items()
            for m in METHODS if m in item]
        self.weights = [1 if t in RARE else 3 if m == "options" else 10
                        for m, t, _ in self.operations]
        self.known = {
            "ns": ["roster", "pool.roster", "shop.roster", "web.shop.roster"],
            "type": ["service", "machine", "rack", "webhook"],
            "id": ["a", "b", "web-1"], "hostname": ["web-1", "db-1"],
            "user": ["ann", "bob"], "node": ["n9"],
            "name": ["a", "b", "web", "reader", "ann"]}
        for alias, of in (("parent", "ns"), ("to", "ns"), ("key", "id")):
            self.known[alias] = self.known[of]

    # -- values

    def trick(self):
        return self.rng.choice(TRICKS)

    def text(self, name, schema):
        rng = self.rng
        if name in self.known and rng.random() < 0.8:
            return rng.choice(self.known[name])
        if "enum" in schema:
            return rng.choice(schema["enum"])
        pattern = schema.get("pattern", "")
        if "[0-7][0-9A-H" in pattern:
            return rng.choice("01234567") + "".join(rng.choices(CROCKFORD, k=25))
        if "ms|s|m|h" in pattern:
            return rng.choice(("0", "1ms", "5ms", "1s", "2h", "3d"))
        if "[0-9a-f]{64}" in pattern:
            return "ab" * 32
        if rng.random() < 0.1:
            return self.trick()
        return "".join(rng.choices(string.ascii_lowercase, k=rng.randrange(1, 9)))

    def value(self, schema, name="", depth=0):
        """What fits the schema, mostly."""
        rng, schema = self.rng, self.document.deref(schema)
        for word in ("oneOf", "anyOf", "allOf"):
            if word in schema:
                return self.value(rng.choice(schema[word]), name, depth)
        kind = schema.get("type", "string")
        if isinstance(kind, list):
            kind = rng.choice(kind)
        if "const" in schema:
            return schema["const"]
        if kind == "object":
            return self.object(schema, depth)
        if kind == "array":
            most = min(schema.get("maxItems", 3), 3) if depth < 4 else 0
            n = rng.randrange(schema.get("minItems", 0), max(
                most, schema.get("minItems", 0)) + 1)
            items = schema.get("items", {})
            return [self.value(items, name.rstrip("s"), depth + 1)
                    for _ in range(n)]
        if kind == "integer" or kind == "number":
            return rng.choice((schema.get("minimum", 0), 1, 2, 5, 100,
                               schema.get("maximum", 1000)))
        if kind == "boolean":
            return rng.random() < 0.5
        return None if kind == "null" else self.text(name, schema)

    def object(self, schema, depth):
        rng, made = self.rng, {}
        for name, inner in schema.get("properties", {}).items():
            if name in schema.get("required", ()) or rng.random() < 0.4:
                made[name] = self.value(inner, name, depth + 1)
        more = schema.get("additionalProperties")
        if isinstance(more, dict) and depth < 5:
            for _ in range(rng.randrange(3)):
                made[self.text("field", {})] = self.value(more, "", depth + 1)
        return made

    def broken(self, value, depth=0):
        """The value with something wrong in it."""
        rng = self.rng
        if isinstance(value, dict) and value and rng.random() < 0.7:
            name = rng.choice(list(value))
            return {**value, name: self.broken(value[name], depth + 1)}
        if isinstance(value, list) and value and rng.random() < 0.7:
            i = rng.randrange(len(value))
            return value[:i] + [self.broken(value[i], depth + 1)] + value[i + 1:]
        return rng.choice((
            None, True, 0, -1, 1.5, 2**64, 10**400, "", [], {}, [[]], [None],
            {"a": {"b": {}}}, [value] * 3, {"x": value}, self.trick(),
            [self.trick()] * 20, {self.trick(): self.trick()}))

    # -- parts of a request

    def path(self, template, item):
        """The target, and whether it may be none of the document's."""
        rng, odd = self.rng, False
        schemas = {p["name"]: p["schema"] for p in map(
            self.document.deref, item.get("parameters", [])) if p["in"] == "path"}
        parts = []
        for part in template.split("/")[1:]:
            if part.startswith("{"):
                name = part[1:-1]
                text = self.text(name, self.document.deref(schemas.get(name, {})))
                if rng.random() < 0.08:
                    text = self.trick()
                odd = odd or text in TRICKS
                part = quote(text, safe="").encode()
            else:
                part = part.encode()
            if rng.random() < 0.01:
                part, odd = part + rng.choice(RAW), True
            parts.append(part)
        if rng.random() < 0.01:
            parts, odd = parts + [rng.choice(RAW)], True
        return b"/" + b"/".join(parts), odd

    def query(self, parameters):
        rng, pairs = self.rng, []
        for p in parameters:
            if p["in"] != "query" or rng.random() < 0.6:
                continue
            value = self.value(p["schema"], p["name"])
            if p["name"] == "wait":
                value = rng.choice(("0", "1ms", "20ms"))
            elif rng.random() < 0.1:
                value = self.trick()
            elif isinstance(value, bool):
                value = str(value).lower()
            pairs.append((p["name"].encode(), quote(str(value), safe="").encode()))
        if any(n == b"since" for n, _ in pairs) and \
                not any(n == b"wait" for n, _ in pairs):
            pairs.append((b"wait", b"1ms"))
        if rng.random() < 0.04:
            pairs.append((quote(self.trick(), safe="").encode() or b"x",
                          rng.choice(RAW)))
        if pairs and rng.random() < 0.03:
            pairs.append(rng.choice(pairs))
        return (b"?" if pairs else b"") + b"&".join(n + b"=" + v
                                                    for n, v in pairs)

    def headers(self, parameters):
        rng, made = self.rng, []
        for p in parameters:
            if p["in"] != "header" or rng.random() < 0.7:
                continue
            name = p["name"]
            if name in ("If-Match", "If-None-Match"):
                value = rng.choice(('*', '"1"', 'W/"2"', '"5-gz", "6"', '"', '""',
                                    "*, *", '"abc"', '"' * 30))
            elif name == "Roster-Min-Revision":
                value = rng.choice(("0", "1", "5", "-1", "x", "1" * 30))
            elif name == "Idempotency-Key":
                value = rng.choice(("k%d" % rng.randrange(40), "", "a b", "k" * 256))
            else:
                value = rng.choice((self.trick(), "gzip", "text/event-stream",
                                    "application/json", "gzip;q=0, *"))
            made.append((name, value))
        if rng.random() < 0.03:
            made.append((rng.choice((
                "Authorization", "traceparent", "Expect", "Content-Encoding",
                "Content-Type", "Range", "Connection", "X-Any", "If-Range",
                "X-Forwarded-For")), self.trick()))
        # Two header lines out of one value are another test's (framing).
        return [(n, re.sub(rb"[\r\n\0]", b"?", v.encode("utf-8"))) for n, v in made]

    def body(self, content):
        rng = self.rng
        kind = rng.choice(list(content))
        if "json" not in kind:
            return kind, rng.randbytes(rng.randrange(200))
        value = self.value(content[kind]["schema"])
        roll = rng.random()
        if roll < 0.35:
            value = self.broken(value)
        made = json.dumps(value, ensure_ascii=rng.random() < 0.5).encode(
            "utf-8", "surrogatepass")
        if roll > 0.95:
            made = bytearray(made)
            for _ in range(rng.randrange(1, 4)):
                at = rng.randrange(len(made) or 1)
                made[at:at + rng.randrange(2)] = rng.randbytes(rng.randrange(3))
            made = bytes(made)
        return kind, made

    def request(self):
        rng = self.rng
        method, template, item = rng.choices(self.operations, self.weights)[0]
        operation = item[method]
        parameters = [self.document.deref(p) for p in
                      item.get("parameters", []) + operation.get("parameters", [])]
        target, odd = self.path(template, item)
        r = Request(method.upper(), template, target + self.query(parameters))
        r.odd = odd
        r.headers = self.headers(parameters)
        content = self.document.deref(operation.get("requestBody", {})).get(
            "content")
        if content and rng.random() < 0.97:
            kind, r.body = self.body(content)
            if rng.random() < 0.95:
                r.headers.append(("Content-Type", kind.encode()))
        elif not content and rng.random() < 0.03:
            r.body = rng.randbytes(20)
        if rng.random() < 0.02:
            r.method, r.odd = rng.choice(
                ("GET", "PUT", "POST", "DELETE", "PATCH", "TRACE", "BREW",
                 "get", "PROPFIND")), True
        return r

    def learn(self, request, answer):
        """Names of what was made are worth asking for again."""
        if answer.status == 201 and answer.body.startswith(b"{"):
            for name, value in answer.json.items():
                pool = self.known.get({"_id": "id"}.get(name, name))
                if pool is not None and isinstance(value, str) and value:
                    pool.append(value)
                    if len(pool) > 60:
                        pool.pop(self.rng.randrange(8, len(pool)))


class WireFrom(Wire):
    """Comes from another address of this machine."""

    def __init__(self, source, port):  # pylint: disable=super-init-not-called
        self.sock = socket.create_connection(("127.0.0.1", port), 30, (source, 0))
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if TLS:
            self.sock = certs.common().context().wrap_socket(
                self.sock, server_hostname="127.0.0.1")
        self.buffer = b""


class Session:
    """A connection to one server; holds each answer against the document."""

    def __init__(self, server, document, token=None):
        self.server, self.document, self.token = server, document, token
        self.wire, self.revision = None, 0
        self.statuses, self.faults, self.unanswered = {}, [], 0
        self.n_sources = 0   # who is nobody is let in so often, by address

    def close(self):
        if self.wire:
            self.wire.close()
            self.wire = None

    def fault(self, request, what):
        if len(self.faults) < 30:
            self.faults.append(f"{what}\n  of {request!r}")

    def _answer(self, request):
        if self.wire and pending(self.wire.sock):
            self.close()
        if self.wire is None:
            source = f"127.0.1.{1 + self.n_sources % 250}"
            self.wire = WireFrom(source, self.server.port)
        self.wire.send(request.bytes())
        if request.template == "/v1/watch" and request.method == "GET":
            return self._begun()
        try:
            a = self.wire.answer(request.method)
        except TimeoutError:
            self.fault(request, "no answer in 30 s")
            a = None
        if a is None or a.headers.get("connection", "").lower() == "close":
            self.close()
        if a is not None and a.status == 429:
            self.n_sources += 1
            self.close()
        return a

    def _begun(self):
        """The head of a stream is looked at, and no more."""
        while b"\r\n\r\n" not in self.wire.buffer:
            if not self.wire._more():
                break
        head = self.wire.buffer.partition(b"\r\n\r\n")[0]
        if b"chunked" in head.lower() and b" 200 " in head.split(b"\r\n")[0]:
            self.close()
            return "stream"
        a = self.wire.answer("GET")
        self.close()
        return a

    def send(self, request):
        a = self._answer(request)
        if a == "stream":
            return None
        if a is None:
            self.unanswered += 1
            if not request.odd:
                self.fault(request, "hung up without an answer")
            return None
        self.statuses[a.status] = self.statuses.get(a.status, 0) + 1
        self.judge(request, a)
        return a

    def judge(self, request, a):
        a.method, a.path = request.method, request.target.decode("latin-1")
        if a.status >= 500 and a.status not in (503, 507) and not (
                request.odd and a.status in (501, 505)):
            self.fault(request, f"status {a.status}: {a!r}")
        if a.status >= 400 and a.method != "HEAD" and not a.path.startswith(
                ("/livez", "/readyz", "/leader")) and "roster-node" in a.headers:
            try:
                a.problem(a.status)
            except AssertionError as e:
                self.fault(request, str(e))
        if a.body and "json" in a.headers.get("content-type", "") and \
                a.headers.get("content-encoding") != "gzip":
            try:
                json.loads(a.body)
            except ValueError as e:
                self.fault(request, f"no JSON ({e}): {a!r}")
        self._against_document(request, a)
        revision = a.headers.get("roster-revision", "")
        if revision.isdigit() and a.status < 500 and \
                "idempotent-replayed" not in a.headers:
            if int(revision) < self.revision:
                self.fault(request, f"revision {revision} after {self.revision}")
            self.revision = int(revision)

    def _against_document(self, request, a):
        if request.odd:
            if a.status < 400 or a.status in (405, 501):
                return      # it was another route's, or no method of any
            if self.document.route(a.path)[0] is None:
                if a.status not in (400, 401, 403, 404, 405, 414, 429, 431):
                    self.fault(request, f"{a.status} for no path of ours")
                return
            _, item = self.document.route(a.path)
            if request.method.lower() not in item:
                return
        if a.headers.get("content-encoding") == "gzip":
            return
        before = len(self.document.faults)
        self.document.answer(Answer(a.method, a.path, a.status, a.headers, a.body))
        for fault in self.document.faults[before:]:
            self.fault(request, fault)


def main():
    """Without the tests' runner: a server, and requests until the time is up."""
    import random
    import sys
    import time

    from harness import Server
    from test_openapi import Document
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 60
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else int(time.time())
    document = Document()
    with Server("--access") as s:
        maker = Maker(document, random.Random(seed))
        session = Session(s, document, s.admin_token())
        end, n = time.monotonic() + seconds, 0
        while time.monotonic() < end and s.alive():
            request = maker.request()
            request.headers.append(("Authorization",
                                    b"Bearer " + session.token.encode()))
            answer = session.send(request)
            if answer:
                maker.learn(request, answer)
            n += 1
        print(f"seed {seed}: {n} requests, {session.statuses}, "
              f"{session.unanswered} unanswered")
        print("\n".join(session.faults), s.log_tail() if not s.alive() else "")
        return 1 if session.faults or not s.alive() else 0


if __name__ == "__main__":
    raise SystemExit(main())
