"""The requests: what each server is asked, as bytes (template.h says what @ and
$ stand for)."""
import base64
import json
import struct

from peers import command

ITEM, REQUEST = "@" * 12, "$" * 12


def http(method, path, body=None, headers=()):
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", *headers]
    data = b""
    if body is not None:
        data = body if isinstance(body, bytes) else json.dumps(
            body, separators=(",", ":")).encode()
        lines += ["Content-Type: application/json",
                  f"Content-Length: {len(data)}"]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + data


def signed(request, headers):
    """With more lines in its header, as a server wants them of those who ask."""
    more = "".join(line + "\r\n" for line in headers).encode()
    return request.replace(b"\r\n", b"\r\n" + more, 1)


def resource(name="n" + ITEM, size=140):
    """A service as fleets have them; `size` bytes of JSON."""
    fields = {"name": name, "address": "192.0.2.17", "port": "8443",
              "protocol": "https", "text": ""}
    short = size - len(json.dumps(fields, separators=(",", ":")))
    fields["text"] = ("the quick brown fox jumps over the lazy dog " *
                      (size // 40 + 1))[:max(short, 0)]
    return fields


def stored_size(row):
    return len(json.dumps(row, separators=(",", ":")))


# ---- etcd, by its JSON gateway: keys and values in base64 ----

def b64(text):
    data = text if isinstance(text, bytes) else text.encode()
    return base64.b64encode(data).decode()


# Six bytes, so that twelve digits after them begin at a border of base64.
ETCD_PREFIX, ETCD_END = b64("bench/"), b64("bench0")
ETCD_KEY = ETCD_PREFIX + ITEM


def etcd_put(value):
    return http("POST", "/v3/kv/put", {"key": ETCD_KEY, "value": b64(value)})


def etcd_puts(value, n):
    """Many in one transaction."""
    put = {"requestPut": {"key": ETCD_KEY, "value": b64(value)}}
    return http("POST", "/v3/kv/txn", {"success": [put] * n})


def etcd_range(key, end=None):
    body = {"key": b64(key)}
    if end:
        body["range_end"] = b64(end)
    return http("POST", "/v3/kv/range", body)


def etcd_grant():
    return http("POST", "/v3/lease/grant", {"ID": "1" + ITEM, "TTL": 86400})


def etcd_keepalive():
    return http("POST", "/v3/lease/keepalive", {"ID": "1" + ITEM})


# ---- Redis ----

def redis_set(value):
    return command("SET", "bench/" + ITEM, value)


def redis_sets(value, n):
    return command("MSET", *(w for _ in range(n)
                             for w in ("bench/" + ITEM, value)))


# ---- ZooKeeper ----

ZOOKEEPER_HELLO = struct.pack(">iiqiqi16sb", 45, 0, 0, 30000, 0, 16, bytes(16),
                              0)
ZOOKEEPER_PING = struct.pack(">iii", 8, -2, 11)


def counted(s):
    s = s.encode() if isinstance(s, str) else s
    return struct.pack(">i", len(s)) + s


def zookeeper_create(path, value):
    return counted(struct.pack(">ii", 1, 1) + counted(path) + counted(value) +
                   struct.pack(">ii", 1, 31) + counted("world") +
                   counted("anyone") + struct.pack(">i", 0))


def zookeeper_get(path):
    return counted(struct.pack(">ii", 1, 4) + counted(path) + b"\0")
