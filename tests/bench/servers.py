"""The servers under measurement, all with one shape (server.py): roster, and the
upper bounds. The peers (peers.py) are had from here, too."""
import http.client
import os

import parts
import ways
from peers import (PEERS, Etcd, Nginx, Redis, ZooKeeper,  # noqa: F401
                   command)
from server import Server

__all__ = ["PEERS", "Bare", "BareWatch", "Etcd", "Nginx", "Redis", "Roster",
           "Server", "ZooKeeper", "command"]


class Roster(Server):
    name = "roster"
    raft = 0

    def __init__(self, place, build, name="roster", flags=(), way=ways.PLAIN):
        self.build, self.name, self.flags = build, name, list(flags)
        self.way = way
        super().__init__(place)

    def guards(self):
        """The flags of its way."""
        if self.way.tls:
            cert, key = self.certificate()
            yield from ("--tls-cert", cert, "--tls-key", key, "--tls-ca",
                        self.ca)
        if self.way.access:
            yield "--access"

    def command(self):
        return [os.path.join(self.build, "rosterd"), "--data-dir",
                os.path.join(self.data, "data"), "--http",
                f"127.0.0.1:{self.port}", "--raft", f"127.0.0.1:{self.raft}",
                "--log-level", "warn", *self.guards(), *self.flags]

    def identify(self):
        """As the one who may do all, on this node."""
        full = os.path.join(self.data, "data", "admin.token")
        if self.way.access:
            with open(full, encoding="ascii") as f:
                self.admin = (f"Authorization: Bearer {f.read().strip()}",)

    def let_in(self):
        """Measured is one who may do what he does, by a rule, in a subtree."""
        if not self.way.access:
            return
        self.identify()
        self.call("PUT", "/v1/roles/bench", {"rules": [
            {"allow": ["*"], "types": ["*", "@ns", "@agents"],
             "ns": "roster"}]})
        token = self.call("POST", "/v1/tokens", {
            "name": "bench", "roles": ["bench"]})["token"]
        self.headers = (f"Authorization: Bearer {token}",)

    def ready(self):
        try:
            c = self.connection(5)
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

    def __init__(self, place, answer, way=ways.PLAIN, headers=()):
        self.answer = place.file(f"answer-{len(place.held)}", answer)
        self.way, self.headers = way, headers
        super().__init__(place)

    def command(self):
        return [self.place.bare, str(self.port), self.answer,
                *(self.certificate() if self.way.tls else ())]


class BareWatch(Server):
    """The least that telling many costs: writes given bytes to all."""
    name = "bare"

    def __init__(self, place, way=ways.PLAIN):
        self.way = way
        super().__init__(place)

    def command(self):
        return [self.place.barewatch, str(self.port),
                *(self.certificate() if self.way.tls else ())]
