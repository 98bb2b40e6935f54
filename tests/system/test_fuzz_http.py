"""Requests made by chance from the document of the interface: whatever comes, the
answer is one that it names, and the nodes stay equal (BRIEF P9)."""
import os
import random
import time

from cluster import Cluster
from fuzz_http import Maker, Session
from harness import Server, bare, make_ns, memory_counts, path, say, until
from test_openapi import Document

# The same each time; another one finds more: ROSTER_TEST_SEED=N, and for longer:
# ROSTER_TEST_FUZZ_S=N (or fuzz_http.py alone).
SEED = int(os.environ.get("ROSTER_TEST_SEED") or 1)
SECONDS = float(os.environ.get("ROSTER_TEST_FUZZ_S") or 10)
MOST = 6000 * max(1, SECONDS // 10)


def build(s):
    make_ns(s, "branch", name="shop")
    web = make_ns(s, parent="shop.roster", name="web", match="^web-")
    s.post(path("v1", "ns", web, "service"), [{"name": n} for n in "ab"]).must(201)
    s.post("/v1/agents", {"hostname": "web-1", "ttl": "10m"}).must(201)


def settled(s):
    """The digest, once the node's own token is among what is kept."""
    until(lambda: any(t["kind"] == "node" for t in s.get("/v1/tokens").json))
    return s.get("/v1/admin/digest").must(200)


def run(maker, sessions, authorization=None):
    """Each request to one of them; how many."""
    end, n = time.monotonic() + SECONDS, 0
    while n < MOST and time.monotonic() < end:
        session = sessions[n % len(sessions)]
        request = maker.request()
        if authorization:
            request.headers = [h for h in request.headers
                               if h[0] != "Authorization"]
            request.headers.append(("Authorization", authorization))
        answer = session.send(request)
        n += 1
        if answer:
            maker.learn(request, answer)
        elif n % 50 == 0:
            assert session.server.alive(), f"died of {request!r}"
    return n


def judge(sessions, n):
    statuses = {}
    for session in sessions:
        session.close()
        assert session.server.alive(), session.server.log_tail()
        for status, k in session.statuses.items():
            statuses[status] = statuses.get(status, 0) + k
    say(f"{n} requests, seed {SEED}: {dict(sorted(statuses.items()))}")
    faults = [f for session in sessions for f in session.faults]
    assert not faults, f"{len(faults)} faults:\n" + "\n".join(faults[:12])
    return statuses


@bare(timeout=120 + SECONDS)
def whatever_is_asked_of_a_cluster_its_answers_are_documented_and_nodes_agree():
    document = Document()
    with Cluster(3, "--access") as c:
        leader = c.node(c.leader())
        build(leader)
        token = leader.admin_token()
        maker = Maker(document, random.Random(SEED))
        sessions = [Session(c.node(name), document) for name in c.names]
        for s in sessions:     # the token of a node is known to others soon
            until(lambda s=s: s.server.client(token=token).get("/v1/whoami")
                  .status == 200)
        before = [s.server.rss_anon_kib() for s in sessions]
        n = run(maker, sessions, b"Bearer " + token.encode())
        statuses = judge(sessions, n)
        assert {200, 201, 204, 400, 404, 409} <= set(statuses), statuses
        c.digests_agree()
        grown = max(s.server.rss_anon_kib() - b
                    for s, b in zip(sessions, before)) // 1024
        say(f"at most {grown} MiB more")
        assert grown < 96 or not memory_counts(), f"{grown} MiB more"


@bare(timeout=120 + SECONDS)
def whatever_a_reader_asks_nothing_changes():
    document = Document()
    with Server("--access") as s:
        build(s)
        token = s.post("/v1/tokens", {"name": "eve", "roles": ["reader"]}
                       ).must(201).json["token"]
        maker = Maker(document, random.Random(SEED + 1))
        sessions = [Session(s, document)]
        before = settled(s)
        n = run(maker, sessions, b"Bearer " + token.encode())
        statuses = judge(sessions, n)
        assert statuses[403] > n // 20, statuses
        assert not {201, 507} & set(statuses), statuses
        after = s.get("/v1/admin/digest").must(200)
        # Nothing came into the log, and nothing into what is kept.
        for name in ("revision", "index", "digest"):
            assert after.json[name] == before.json[name], (name, before, after)


@bare(timeout=120 + SECONDS)
def whatever_is_asked_without_a_credential_nothing_is_told():
    document = Document()
    with Server("--access") as s:
        build(s)
        maker = Maker(document, random.Random(SEED + 2))
        sessions = [Session(s, document)]
        before = settled(s).json
        n = run(maker, sessions)
        statuses = judge(sessions, n)
        assert not {201, 403, 409, 412} & set(statuses), statuses
        assert s.get("/v1/admin/digest").must(200).json["digest"] == \
            before["digest"]
