#!/usr/bin/env python3
"""An ordinary client that keeps its connection: reads one resource, and writes
another now and then. Says what it waited: p50 and p99 in microseconds."""
import argparse
import json
import socket
import ssl
import sys
import time

WRITE_EVERY, PAUSE_S = 8, 0.001


def connect(a):
    sock = socket.create_connection(("127.0.0.1", a.port), 60)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if a.tls:
        sock = ssl.create_default_context(cafile=a.tls).wrap_socket(
            sock, server_hostname="127.0.0.1")
    return sock


def ask(sock, data):
    """The status, and the microseconds until the whole answer was there."""
    began = time.perf_counter()
    sock.sendall(data)
    got = b""
    while b"\r\n\r\n" not in got:
        more = sock.recv(1 << 16)
        if not more:
            raise OSError("the server hung up")
        got += more
    head, _, body = got.partition(b"\r\n\r\n")
    length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
    while len(body) < length:
        body += sock.recv(1 << 16)
    return int(head.split()[1]), (time.perf_counter() - began) * 1e6


def request(a, method, name, body=b""):
    lines = [f"{method} {a.leaf}/{name} HTTP/1.1", "Host: x"]
    lines += [f"Authorization: Bearer {a.token}"] if a.token else []
    lines += [f"Content-Length: {len(body)}"] if body else []
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def quantile(values, q):
    return sorted(values)[min(len(values) - 1, int(len(values) * q))]


def main():
    p = argparse.ArgumentParser()
    p.add_argument("port", type=int)
    p.add_argument("leaf")
    p.add_argument("ms", type=int)
    p.add_argument("--tls")
    p.add_argument("--token")
    a = p.parse_args()
    waits, refused = {"reads": [], "writes": []}, []
    sock = connect(a)
    end, i = time.monotonic() + a.ms / 1000, 0
    while time.monotonic() < end or i < 5 * WRITE_EVERY:
        write = i % WRITE_EVERY == 0
        body = b'{"n":"%d"}' % time.monotonic_ns() if write else b""
        status, us = ask(sock, request(a, "PUT" if write else "GET",
                                       "w" if write else "r", body))
        waits["writes" if write else "reads"].append(us)
        if status not in (200, 201):
            refused.append(status)
        time.sleep(PAUSE_S)
        i += 1
    print(json.dumps({"refused": refused, **{
        kind: {"counted": len(v), "p50_us": quantile(v, 0.5),
               "p99_us": quantile(v, 0.99)} for kind, v in waits.items()}}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
