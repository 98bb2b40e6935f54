"""Nodes that speak TLS with each other: a cluster as any other, which nobody
enters without a certificate that names him."""
import os
import shutil
import socket
import ssl
import struct
import threading
import time

import certs
import harness
from cluster import Cluster
from harness import Server, bare, environment, memory_counts, run, until

LIST = "/v1/ns/pool.roster/service"
STRANGER = 7
NEED = ("--tls-cert", "--tls-key", "--tls-ca")


class Encrypted(Cluster):
    """Each node has a certificate of its own, in its own directory."""

    def __init__(self, n=3, *flags):
        harness.TLS = True
        self.authority = certs.common()
        super().__init__(n, *flags)

    def make(self, name):
        node = super().make(name)
        self.give(node, *self.authority.node(name))
        node.flags += ["--tls-cert", os.path.join(node.home, "cert.pem"),
                       "--tls-key", os.path.join(node.home, "key.pem"),
                       "--tls-ca", os.path.join(node.home, "ca.pem")]
        return node

    def give(self, node, cert, key, ca=None):
        for path, name in ((key, "key.pem"), (cert, "cert.pem"),
                           (ca or self.authority.ca, "ca.pem")):
            to = os.path.join(node.home, name)
            shutil.copy(path, to + ".new")
            os.replace(to + ".new", to)

    def restart_with(self, name, *given):
        """With other certificates; it need not come up."""
        self.kill(name)
        self.give(self.node(name), *given)
        self.node(name).start(wait=False)


def said(node, *words):
    return [line for line in node.log_lines()
            if all(word in line for word in words)]


def add(node, tags, size=0):
    node.post(LIST, [{"name": t, "tag": t, "text": "x" * size}
                     for t in tags]).must(201)


def view(c):
    leader = c.node(c.leader())
    a = leader.get("/leader").must(200).json
    return a["id"], a["term"]


# ---- a hello in bytes ----

def hello(name, cluster=b"\1" * 16, kind=4):
    def text(value, width):
        return value.encode().ljust(width, b"\0")
    return (b"ROSTERPH" + struct.pack("<II", 1, 400) +
            struct.pack("<IIQ", kind, 0, 0) + cluster +
            struct.pack("<QII", 1, 1, 1) + text(name, 64) +
            text("127.0.0.1:1", 128) + text("", 128) + text("0", 32))


def answer_to(sock, data):
    """Verdict and sentence."""
    sock.sendall(data)
    got = b""
    while len(got) < 664:
        more = sock.recv(4096)
        assert more, f"it closed after {len(got)} bytes"
        got += more
    assert got[:8] == b"ROSTERPA", got[:16]
    return (struct.unpack_from("<I", got, 16)[0],
            got[24:280].split(b"\0")[0].decode())


def encrypted(port, cert, key):
    context = ssl.create_default_context(cafile=certs.common().ca)
    context.check_hostname = False
    context.load_cert_chain(cert, key)
    return context.wrap_socket(
        socket.create_connection(("127.0.0.1", port), 10))


# ---- a cluster ----

@bare(timeout=180)
def three_nodes_form_replicate_and_outlive_their_leader():
    with Encrypted() as c:
        add(c.node("n1"), ["before"])
        for round_ in range(3):
            leader = c.leader()
            c.kill(leader)
            c.leader()
            add(c.node(c.followers()[0] if c.followers()[0] != leader
                       else c.followers()[1]), [f"round-{round_}"])
            c.node(leader).start(wait=False)
            c.wait_ready()
        rows = c.rows_everywhere(LIST, c.node(c.leader()).revision())
        assert len(rows) == 4, rows
        c.digests_agree()
        # What each says to each is not for others to read.
        for node in c.nodes.values():
            sock = socket.create_connection(("127.0.0.1", node.raft), 10)
            with sock:
                verdict, why = answer_to(sock, hello("n2"))
                assert verdict == STRANGER and "speaks TLS" in why, why


@bare(timeout=240)
def a_large_state_is_transferred():
    with Encrypted(3, "--snapshot-bytes", "4MiB") as c:
        behind = c.followers()[0]
        add(c.node(behind), ["first"])
        c.kill(behind)
        leader = c.node(c.leader())
        n = 30 if memory_counts() else 15
        for i in range(n):
            add(leader, [f"row-{i}-{j}" for j in range(10)], 100_000)
        leader.post("/v1/admin/snapshot").must(200)
        c.node(behind).start(wait=False)
        c.wait_ready()
        rows = c.rows_everywhere(LIST, leader.revision(), seconds=60)
        assert len(rows) == n * 10 + 1
        c.digests_agree(60)
        metrics = c.node(behind).get("/metrics").must(200).body.decode()
        fetched = [float(line.split()[1]) for line in metrics.splitlines()
                   if line.startswith("roster_state_file_fetched_bytes_total ")]
        assert fetched and fetched[0] > n * 700_000, fetched


# ---- strangers ----

@bare(timeout=180)
def who_has_a_foreign_certificate_is_refused_and_both_say_why():
    with Encrypted() as c:
        lost = c.followers()[0]
        foreign = certs.Authority("another CA")
        c.restart_with(lost, *foreign.node(lost), foreign.ca)
        node = c.node(lost)
        until(lambda: said(node, "a node cannot be spoken to",
                           "not from the CA"))
        others = [c.node(n) for n in c.names if n != lost]
        until(lambda: any(
            said(o, "a connection was refused",
                 "does not take this node's certificate") for o in others))
        until(lambda: any(said(o, "a node cannot be spoken to",
                               "not from the CA") for o in others))
        add(others[0], ["without"])
        # Also one that knows our CA, with words.
        with encrypted(others[0].raft, *foreign.node("n9")) as sock:
            verdict, why = answer_to(sock, hello("n9"))
            assert verdict == STRANGER and "not from the CA" in why, why
        c.restart_with(lost, *c.authority.node(lost))
        c.wait_ready()
        assert len(c.rows_everywhere(LIST)) == 1


@bare(timeout=120)
def a_client_certificate_is_no_entrance_for_a_node():
    with Encrypted() as c:
        stolen = c.authority.client("ann")
        node = c.node("n1")
        with encrypted(node.raft, *stolen) as sock:
            verdict, why = answer_to(sock, hello("n2"))
            assert verdict == STRANGER and "names no node" in why, why
        until(lambda: said(node, "a connection was refused", "names no node"))
        time.sleep(1.1)  # one line a second is written
        other = c.authority.node("n3", stem="n3-stolen")
        with encrypted(node.raft, *other) as sock:
            verdict, why = answer_to(sock, hello("n2"))
            assert verdict == STRANGER and "that of n3" in why, why
        until(lambda: said(node, "a connection was refused", "that of n3"))


@bare(timeout=120)
def who_does_not_speak_tls_is_told_so_and_both_log_it():
    with Encrypted() as c:
        plain = c.followers()[0]
        node = c.node(plain)
        flags, node.flags = node.flags, node.flags[:-6]
        c.kill(plain)
        harness.TLS = False
        try:
            node.start(wait=False)
        finally:
            harness.TLS = True
        others = [c.node(n) for n in c.names if n != plain]
        until(lambda: said(node, "a node cannot be spoken to",
                           "this connection does not", *NEED))
        until(lambda: any(said(o, "a connection was refused",
                               "this connection does not") for o in others))
        until(lambda: any(said(o, "a node cannot be spoken to",
                               "does not speak TLS") for o in others))
        until(lambda: said(node, "a connection was refused",
                           "does not speak TLS"))
        c.kill(plain)
        node.flags = flags
        node.start(wait=False)
        c.wait_ready()


# ---- renewal ----

@bare(timeout=180)
def certificates_are_renewed_without_an_election():
    with Encrypted() as c:
        before = view(c)
        for i, name in enumerate(c.names):
            node = c.node(name)
            c.give(node, *c.authority.node(name, stem=f"new-{name}",
                                           days=60 + i))
            node.signal(1)
            until(lambda node=node: len(said(node, "certificates read")) == 2)
            add(node, [f"after-{name}"])
        assert view(c) == before
        # What is wrong changes nothing, and is said.
        node = c.node(c.followers()[0])
        with open(os.path.join(node.home, "cert.pem"), "w",
                  encoding="ascii") as f:
            f.write("-----BEGIN CERTIFICATE-----\n")
        node.signal(1)
        until(lambda: said(node, "the old ones are kept", "cert.pem"))
        # Nor does another node's certificate.
        c.give(node, *c.authority.node("n7"))
        node.signal(1)
        until(lambda: said(node, "the old ones are kept", node.node))
        # New connections are made with what is there.
        other = [n for n in c.followers() if n != node.node][0]
        c.restart(other)
        c.wait_ready()
        add(c.node(other), ["last"])
        c.wait_for_all(f"{LIST}/last")
        assert view(c) == before
        assert len(c.rows_everywhere(LIST)) == 4


# ---- a storm ----

@bare(timeout=120, alone=True)
def a_storm_of_handshakes_moves_no_leader():
    with Encrypted() as c:
        before = view(c)
        stolen = c.authority.client("bob")
        leader = c.node(before[0])
        over = threading.Event()
        made = []

        def storm():
            while not over.is_set():
                try:
                    with encrypted(leader.raft, *stolen):
                        made.append(1)
                except OSError:
                    pass
        threads = [threading.Thread(target=storm) for _ in range(4)]
        for t in threads:
            t.start()
        try:
            for i in range(40):
                add(c.node(c.names[i % 3]), [f"row-{i}"])
                time.sleep(0.05)
        finally:
            over.set()
            for t in threads:
                t.join()
        assert len(made) > 20, made
        assert view(c) == before
        assert len(c.rows_everywhere(LIST, leader.revision())) == 40


# ---- what a start refuses ----

def refused(*flags):
    harness.TLS = False
    s = Server(*flags, start=False)
    try:
        code, _, err = run(s.argv(), env=environment())
        assert code != 0, err
        return err
    finally:
        s.discard()


@bare
def a_start_names_what_is_missing_or_wrong():
    authority, foreign = certs.Authority(), certs.Authority("another CA")
    cert, key = authority.node("n1")
    every = ("--tls-cert", cert, "--tls-key", key, "--tls-ca", authority.ca)
    open_ = ("--raft", "0.0.0.0:7071", "--advertise-raft", "10.0.0.1:7071")
    err = refused(*open_)
    assert all(option in err for option in (*NEED, "--insecure")), err
    assert "--tls-ca" in refused(*open_, *every[:4], "--insecure")
    assert "--tls-ca" in refused("--cluster", "n1=127.0.0.1:1", *every[:4])
    assert "--tls-key" in refused("--tls-cert", cert)
    assert "--tls-cert" in refused("--tls-ca", authority.ca)
    assert "No such file" in refused("--tls-cert", cert, "--tls-key", "/gone")
    assert "does not belong" in refused(
        "--tls-cert", cert, "--tls-key", authority.node("n2")[1])
    joins = ("--cluster", "n1=127.0.0.1:1,n2=127.0.0.1:2")
    err = refused(*joins, "--tls-cert", cert, "--tls-key", key, "--tls-ca",
                  foreign.ca)
    assert "not from the CA" in err, err
    cert, key = authority.node("n2")
    err = refused(*joins, "--tls-cert", cert, "--tls-key", key, "--tls-ca",
                  authority.ca)
    assert "no certificate of node n1" in err, err
