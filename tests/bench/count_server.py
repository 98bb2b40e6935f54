"""A rosterd whose instructions are counted by callgrind(1), and a client that
asks it one thing after the other."""
import json
import os
import re
import socket
import subprocess
import time

import bodies
import parts

PATIENCE_S = 60
REST_S = 0.5    # how long a server is watched while nothing is asked


class Wire:
    """One connection that is kept."""

    def __init__(self, port, context=None):
        self.sock = socket.create_connection(("127.0.0.1", port), PATIENCE_S)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if context:
            self.sock = context.wrap_socket(self.sock,
                                            server_hostname="127.0.0.1")
        self.buffer = b""

    def close(self):
        self.sock.close()

    def send(self, request):
        self.sock.sendall(request)

    def more(self):
        data = self.sock.recv(1 << 18)
        if not data:
            raise parts.Fault("the server ended a connection")
        self.buffer += data

    def until(self, text):
        """Reads on to the end of this text; what came up to there."""
        while text not in self.buffer:
            self.more()
        found, _, self.buffer = self.buffer.partition(text)
        return found + text

    def answer(self):
        """(status, header in lower case, body)."""
        head = self.until(b"\r\n\r\n").lower()
        length = re.search(rb"\r\ncontent-length: *(\d+)", head)
        n = int(length[1]) if length else 0
        status = int(head.split()[1])
        if status in (204, 304):
            n = 0
        while len(self.buffer) < n:
            self.more()
        body, self.buffer = self.buffer[:n], self.buffer[n:]
        return status, head, body


class Counted:
    """A server of one node with one thread that answers."""

    def __init__(self, home, build, name, flags=(), context=None):
        self.home, self.name, self.context = home, name, context
        self.profile = os.path.join(home, name + ".profile")
        self.log = os.path.join(home, name + ".log")
        self.data = os.path.join(home, name + ".data")
        self.dumps, self.idle, self.token = 0, 0.0, None
        self.process = self._start(build, flags)
        try:
            self.port = self.wait(self._named_port)
            self.wire = self.connect()
            self.wait(lambda: self.ask("GET", "/readyz")[0] == 200)
            self.token = self._admin() if "--access" in flags else None
            self.call("POST", "/v1/ns", {"parent": "roster", "name": "counted",
                                         "kind": "leaf"})
        except BaseException:
            self.close()
            raise
        self.leaf = "/v1/ns/counted.roster"

    def _start(self, build, flags):
        argv = [parts.find("valgrind"), "--tool=callgrind", "--quiet",
                # What the core does each tick is no part of an operation.
                "--toggle-collect=on_tick", "--collect-atstart=yes",
                "--fair-sched=yes",
                f"--callgrind-out-file={self.profile}",
                os.path.join(build, "rosterd"), "--data-dir", self.data,
                "--http", "127.0.0.1:0", "--raft", "127.0.0.1:0",
                "--io-threads", "1", "--log-format", "json", "--drain", "0s",
                # What valgrind has room for; that vgdb may stop it.
                "--store-limit", "1GiB", "--disk-reserve", "1MiB",
                "--core-dumps", *flags]
        env = {k: v for k, v in os.environ.items()
               if not k.startswith("ROSTER_")}
        with open(self.log, "ab") as log:
            return subprocess.Popen(argv, env=env, stdin=subprocess.DEVNULL,
                                    stdout=log, stderr=log,
                                    preexec_fn=parts.die_with_parent)

    def wait(self, what):
        end = time.monotonic() + PATIENCE_S
        while True:
            found = what()
            if found:
                return found
            if self.process.poll() is not None or time.monotonic() > end:
                with open(self.log, encoding="utf-8", errors="replace") as f:
                    raise parts.Fault(f"rosterd ({self.name}) does not answer:"
                                      f"\n{f.read()[-2000:]}")
            time.sleep(0.02)

    def _named_port(self):
        with open(self.log, encoding="utf-8", errors="replace") as f:
            found = re.search(r'"listening".*"http":"[^"]*:(\d+)"', f.read())
        return found and int(found[1])

    def _admin(self):
        full = os.path.join(self.data, "admin.token")
        with open(full, encoding="ascii") as f:
            return f.read().strip()

    def close(self):
        self.process.kill()
        self.process.wait()

    # -- asking

    def connect(self):
        return Wire(self.port, self.context)

    def request(self, method, path, body=None, headers=()):
        if self.token:
            headers = (*headers, "Authorization: Bearer " + self.token)
        return bodies.http(method, path, body, headers)

    def ask(self, method, path, body=None):
        self.wire.send(self.request(method, path, body))
        return self.wire.answer()

    def call(self, method, path, body=None):
        """For setting up: must work."""
        status, _, data = self.ask(method, path, body)
        if not 200 <= status < 300:
            raise parts.Fault(f"{method} {path}: {status} {data[:300]!r}")
        return json.loads(data) if data else None

    # -- counting

    def _tell(self, *words):
        done = subprocess.run(["vgdb", f"--pid={self.process.pid}", *words],
                              capture_output=True, text=True,
                              timeout=PATIENCE_S)
        if done.returncode:
            raise parts.Fault(f"vgdb {' '.join(words)}: {done.stderr[-500:]}")

    def _dump(self):
        """Instructions since the last one."""
        self._tell("dump")
        self.dumps += 1
        os.replace(f"{self.profile}.{self.dumps}", self.profile)
        with open(self.profile, encoding="utf-8") as f:
            return int(re.search(r"^totals: (\d+)", f.read(), re.M)[1])

    def count(self, work, times):
        """Instructions of this work, each time, less what goes on in that time
        anyway."""
        counts = []
        self._dump()
        for _ in range(times):
            began = time.monotonic()
            work()
            total = self._dump()
            counts.append(total - self.idle * (time.monotonic() - began))
        return counts

    def watch_idle(self):
        self.idle = 0.0
        self.idle = min(self.count(lambda: time.sleep(REST_S), 2)) / REST_S
