"""The peers: Debian's packages with their defaults, but for durability, which is
that of roster: on the disk before it is acknowledged."""
import glob
import http.client
import os
import socket

import parts
import ways
from server import Server


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
    server {{ listen 127.0.0.1:{1}{2}; root {0}/www; }}
}}
"""

    def __init__(self, place, way=ways.PLAIN):
        self.way = way
        super().__init__(place)

    def command(self):
        os.makedirs(os.path.join(self.data, "www"), exist_ok=True)
        config = os.path.join(self.data, "nginx.conf")
        with open(config, "w", encoding="ascii") as f:
            f.write(self.CONFIG.format(self.data, self.port, self.guards()))
        return [parts.find("nginx"), "-c", config, "-p", self.data,
                "-e", os.path.join(self.data, "error.log")]

    def guards(self):
        cert, key = self.certificate()
        return (f" ssl; ssl_certificate {cert}; ssl_certificate_key {key}; "
                "ssl_protocols TLSv1.3") if self.way.tls else ""

    def put(self, name, body):
        with open(os.path.join(self.data, "www", name), "wb") as f:
            f.write(body)

    @staticmethod
    def version():
        parts.find("nginx")
        return parts.output("nginx", "-v")


class Etcd(Server):
    name = "etcd"

    def __init__(self, place, *more, way=ways.PLAIN):
        self.way = way
        super().__init__(place, *more)

    def url(self, port):
        return f"http{'s' * self.way.tls}://127.0.0.1:{port}"

    def guards(self):
        if self.way.tls:
            cert, key = self.certificate()
            yield from ("--cert-file", cert, "--key-file", key)

    def let_in(self):
        """Of users there is one that everything can be set up with."""
        if not self.way.access:
            return
        for path, body in (
                ("user/add", {"name": "root", "password": ways.PASSWORD}),
                ("role/add", {"name": "root"}),
                ("user/grant", {"user": "root", "role": "root"}),
                ("enable", {})):
            self.call("POST", "/v3/auth/" + path, body)
        token = self.call("POST", "/v3/auth/authenticate", {
            "name": "root", "password": ways.PASSWORD})["token"]
        self.headers = self.admin = (f"Authorization: {token}",)

    def command(self):
        url, peer = self.url(self.port), self.place.port()
        return [parts.find("etcd"), "--data-dir",
                os.path.join(self.data, "data"),
                "--listen-client-urls", url, "--advertise-client-urls", url,
                "--listen-peer-urls", f"http://127.0.0.1:{peer}",
                "--initial-advertise-peer-urls", f"http://127.0.0.1:{peer}",
                "--initial-cluster", f"default=http://127.0.0.1:{peer}",
                "--quota-backend-bytes", str(8 << 30), "--log-level", "error",
                *self.guards()]

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

    def __init__(self, place, durable=True, way=ways.PLAIN):
        self.durable, self.way = durable, way
        if way.access:
            self.hello = command("AUTH", ways.PASSWORD)
        super().__init__(place)

    def guards(self):
        if self.way.tls:
            cert, key = self.certificate()
            yield from ("--port", "0", "--tls-port", str(self.port),
                        "--tls-cert-file", cert, "--tls-key-file", key,
                        "--tls-ca-cert-file", self.ca, "--tls-auth-clients",
                        "no")
        else:
            yield from ("--port", str(self.port))
        if self.way.access:
            yield from ("--requirepass", ways.PASSWORD)

    def command(self):
        return [parts.find("redis-server"), *self.guards(),
                "--bind", "127.0.0.1", "--dir", self.data, "--save", "",
                "--appendonly", "yes" if self.durable else "no",
                "--appendfsync", "always",
                "--auto-aof-rewrite-percentage", "0", "--loglevel", "warning"]

    def ask(self, *words):
        """One command; the first line of its answer (and a text's value)."""
        with self.socket(120) as s:
            f = s.makefile("rb")
            if self.hello:
                s.sendall(self.hello)
                f.readline()
            s.sendall(command(*words))
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
    NETTY = "/usr/share/java/netty-codec.jar"
    TLS = """
secureClientPort={0}
serverCnxnFactory=org.apache.zookeeper.server.NettyServerCnxnFactory
ssl.keyStore.location={1}
ssl.keyStore.type=PEM
ssl.clientAuth=none
ssl.trustStore.location={2}
ssl.trustStore.type=PEM
ssl.protocol=TLSv1.3
ssl.enabledProtocols=TLSv1.3
ssl.ciphersuites=TLS_AES_128_GCM_SHA256
"""
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

    def __init__(self, place, *more, way=ways.PLAIN):
        self.way = way
        self.asked = place.port()   # by those who set up, never within TLS
        super().__init__(place, *more)

    def config(self):
        if not self.way.tls:
            return self.CONFIG.format(self.data, self.port)
        return self.CONFIG.format(self.data, self.asked) + self.TLS.format(
            self.port, ways.certificate_and_key("n1"), self.ca)

    def command(self):
        java, jars = parts.find("java"), glob.glob(self.JARS)
        if not jars:
            raise parts.Missing("zookeeper is not installed")
        # What netty needs of itself for TLS, Debian's zookeeper.jar does not name.
        jars += glob.glob(self.NETTY) if self.way.tls else []
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
        port = self.asked if self.way.tls else self.port
        with socket.create_connection(("127.0.0.1", port), seconds) as s:
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
