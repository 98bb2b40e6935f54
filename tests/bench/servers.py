"""The servers under measurement, all with one shape: a port, a pid, what they
cost. Peers are Debian's packages with their defaults, but for durability, which
is that of roster: on the disk before it is acknowledged."""
import glob
import http.client
import json
import os
import signal
import socket
import time

import parts


class Server:
    name = "?"
    port = 0
    pinned = True   # to the servers' processor

    def __init__(self, place):
        self.place = place
        self.data = place.directory(self.name)
        self.log = os.path.join(self.data, "log")
        self.process = None
        self.items = 0          # names given out, each once
        self.acknowledged = 0   # additions the server has said yes to
        self.argv = []
        self.start()

    def start(self):
        self.launch()
        self.wait_ready()

    def launch(self):
        self.port = self.port or self.place.port()
        self.argv = self.command()
        self.process = self.place.start(
            self.argv, cwd=self.data, log=self.log,
            cpu=self.place.server_cpu if self.pinned else None)

    def command(self):
        raise NotImplementedError

    def wait_ready(self, seconds=600):
        end = time.monotonic() + seconds
        while not self.ready():
            ended = self.process.poll()
            if ended is not None:
                raise parts.Fault(f"{self.name} ended with status {ended}\n"
                                  f"{self.log_tail()}")
            if time.monotonic() > end:
                raise parts.Fault(f"{self.name} is not ready after {seconds} s"
                                  f"\n{self.log_tail()}")
            time.sleep(0.002)

    def ready(self):
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
            return True
        except OSError:
            return False

    def ports(self, at=None):
        """Of one server there is one, whoever is asked for."""
        del at
        return [self.port]

    def log_tail(self):
        with open(self.log, encoding="utf-8", errors="replace") as f:
            return "".join(f.readlines()[-8:])

    def stop(self, how=signal.SIGKILL):
        self.place.end(self.process, how)

    def cpu_us(self):
        return parts.cpu_us(self.process.pid)

    def memory(self):
        return parts.memory(self.process.pid)

    def call(self, method, path, body=None, want=(200, 201, 204)):
        """One HTTP request, for setting up and counting."""
        c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        c.request(method, path, None if body is None else json.dumps(body))
        r = c.getresponse()
        data = r.read()
        c.close()
        if r.status not in want:
            raise parts.Fault(f"{self.name}: {method} {path}: {r.status} "
                              f"{data[:300]!r}")
        return json.loads(data) if data else None


class Roster(Server):
    name = "roster"
    raft = 0

    def __init__(self, place, build, name="roster", flags=()):
        self.build, self.name, self.flags = build, name, list(flags)
        super().__init__(place)

    def command(self):
        return [os.path.join(self.build, "rosterd"), "--data-dir",
                os.path.join(self.data, "data"), "--http",
                f"127.0.0.1:{self.port}", "--raft", f"127.0.0.1:{self.raft}",
                "--log-level", "warn", *self.flags]

    def ready(self):
        try:
            c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
            c.request("GET", "/readyz")
            status = c.getresponse().status
            c.close()
            return status == 200
        except (OSError, http.client.HTTPException):
            return False

    def leaf(self, name):
        self.call("POST", "/v1/ns", {"parent": "roster", "name": name,
                                     "kind": "leaf"})
        return f"/v1/ns/{name}.roster"

    def count(self, path):
        """Resources of a leaf, over all types."""
        types = self.call("GET", path)["types"]
        return sum(t["count"] for t in types.values())

    @staticmethod
    def version(build):
        return parts.output(os.path.join(build, "rosterd"), "--version")


class Bare(Server):
    """The upper bound: sends given bytes for each request."""
    name = "bare"

    def __init__(self, place, answer):
        self.answer = place.file(f"answer-{len(place.taken)}", answer)
        super().__init__(place)

    def command(self):
        return [self.place.bare, str(self.port), self.answer]


class BareWatch(Server):
    """The least that telling many costs: writes given bytes to all."""
    name = "bare"

    def command(self):
        return [self.place.barewatch, str(self.port)]


class Nginx(Server):
    """Static files with the settings of Debian's package, but for one worker,
    no log of accesses and connections that stay."""
    name = "nginx"

    CONFIG = """
worker_processes 1; daemon off; master_process off; pid {0}/pid;
error_log {0}/error.log;
events {{ worker_connections 16384; use epoll; }}
http {{
    access_log off; sendfile on; tcp_nopush on; tcp_nodelay on;
    keepalive_timeout 600; keepalive_requests 1000000000;
    default_type application/json;
    client_body_temp_path {0}; proxy_temp_path {0}; fastcgi_temp_path {0};
    uwsgi_temp_path {0}; scgi_temp_path {0};
    server {{ listen 127.0.0.1:{1}; root {0}/www; }}
}}
"""

    def command(self):
        os.makedirs(os.path.join(self.data, "www"), exist_ok=True)
        config = os.path.join(self.data, "nginx.conf")
        with open(config, "w", encoding="ascii") as f:
            f.write(self.CONFIG.format(self.data, self.port))
        return [parts.find("nginx"), "-c", config, "-p", self.data,
                "-e", os.path.join(self.data, "error.log")]

    def put(self, name, body):
        with open(os.path.join(self.data, "www", name), "wb") as f:
            f.write(body)

    @staticmethod
    def version():
        parts.find("nginx")
        return parts.output("nginx", "-v")


class Etcd(Server):
    name = "etcd"

    def command(self):
        url, peer = f"http://127.0.0.1:{self.port}", self.place.port()
        return [parts.find("etcd"), "--data-dir",
                os.path.join(self.data, "data"),
                "--listen-client-urls", url, "--advertise-client-urls", url,
                "--listen-peer-urls", f"http://127.0.0.1:{peer}",
                "--initial-advertise-peer-urls", f"http://127.0.0.1:{peer}",
                "--initial-cluster", f"default=http://127.0.0.1:{peer}",
                "--quota-backend-bytes", str(8 << 30), "--log-level", "error"]

    def ready(self):
        try:
            return self.call("GET", "/health").get("health") == "true"
        except (OSError, http.client.HTTPException, parts.Fault):
            return False

    def count(self, start, end):
        """Keys from start up to end, both in base64."""
        answer = self.call("POST", "/v3/kv/range", {
            "key": start, "range_end": end, "count_only": True})
        return int(answer.get("count", 0))

    @staticmethod
    def version():
        parts.find("etcd")
        return parts.output("etcd", "--version").split("\n")[0]


class Redis(Server):
    name = "redis"

    def __init__(self, place, durable=True):
        self.durable = durable
        super().__init__(place)

    def command(self):
        return [parts.find("redis-server"), "--port", str(self.port),
                "--bind", "127.0.0.1", "--dir", self.data, "--save", "",
                "--appendonly", "yes" if self.durable else "no",
                "--appendfsync", "always",
                "--auto-aof-rewrite-percentage", "0", "--loglevel", "warning"]

    def ask(self, *words):
        """One command; the first line of its answer (and a text's value)."""
        with socket.create_connection(("127.0.0.1", self.port), 120) as s:
            s.sendall(command(*words))
            f = s.makefile("rb")
            line = f.readline().rstrip()
            if line[:1] == b"$" and line != b"$-1":
                return f.read(int(line[1:]))
            return line

    def ready(self):
        try:
            return self.ask("PING") == b"+PONG"
        except OSError:
            return False

    def count(self):
        return int(self.ask("DBSIZE")[1:])

    @staticmethod
    def version():
        parts.find("redis-server")
        return parts.output("redis-server", "--version")


def command(*words):
    """A Redis command as bytes."""
    out = b"*%d\r\n" % len(words)
    for word in words:
        word = word.encode() if isinstance(word, str) else word
        out += b"$%d\r\n%s\r\n" % (len(word), word)
    return out


class ZooKeeper(Server):
    name = "zookeeper"
    JARS = "/usr/share/java/zookeeper.jar"
    CONFIG = """
tickTime=2000
dataDir={0}/data
clientPort={1}
clientPortAddress=127.0.0.1
maxClientCnxns=0
admin.enableServer=false
4lw.commands.whitelist=mntr,srvr
snapCount=100000
"""

    def config(self):
        return self.CONFIG.format(self.data, self.port)

    def command(self):
        java, jars = parts.find("java"), glob.glob(self.JARS)
        if not jars:
            raise parts.Missing("zookeeper is not installed")
        config = os.path.join(self.data, "zoo.cfg")
        with open(config, "w", encoding="ascii") as f:
            f.write(self.config())
        # Debian's package starts it so, but for the place of its log.
        return [java, "-cp", ":".join([self.data, *jars]), "-Xmx1000m",
                "org.apache.zookeeper.server.quorum.QuorumPeerMain", config]

    def ready(self):
        """It takes connections before it serves them, and forgets those."""
        try:
            return b"Mode" in self.four("srvr", 2)
        except OSError:
            return False

    def four(self, word, seconds=20):
        with socket.create_connection(("127.0.0.1", self.port), seconds) as s:
            s.sendall(word.encode())
            return b"".join(iter(lambda: s.recv(65536), b""))

    def count(self):
        for line in self.four("mntr").split(b"\n"):
            if line.startswith(b"zk_znode_count"):
                return int(line.split()[1])
        raise parts.Fault("zookeeper does not say how many nodes it has")

    @staticmethod
    def version():
        if not glob.glob(ZooKeeper.JARS):
            raise parts.Missing("zookeeper is not installed")
        parts.find("java")
        return "zookeeper " + parts.output(
            "dpkg-query", "-W", "-f", "${Version}", "zookeeper")


PEERS = {c.name: c for c in (Nginx, Etcd, Redis, ZooKeeper)}
