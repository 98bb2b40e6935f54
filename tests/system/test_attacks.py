"""What a stranger can do to a server with little (attacks.py), and what others
see of it: nothing. How much slower they are is measured by scripts/bench."""
import time

import certs
from attacks import ATTACKS, Attack, NEEDS
from harness import (FULL, Client, Server, bare, make_ns, memory_counts, path, say,
                     until)

# So many that a machine of little memory, and sanitized programs, bear it.
CROWDS = {"slow-heads": 100, "slow-bodies": 100, "half-open": 2000,
          "half-handshakes": 300}
SECONDS = 3 if FULL else 1.5
LONGER = {"slow-bodies": 4}    # beyond --request-timeout: they are cut off
EXPECTED = {
    "slow-heads": {408}, "slow-bodies": {408}, "half-open": {408},
    "endless-heads": {400, 408, 431}, "bombs": {413, 415},
    "smuggling": {400, 411, 413, 501}, "paths": {400, 404, 414},
    "json-bombs": {400, 413}, "regexes": {200, 400}, "handshakes": set(),
    "half-handshakes": {400, 408}, "sign-ins": {401, 429, 503},
    "unknown": {401, 429}, "denials": {403, 429}}


def serve(name):
    """A server as the attack needs one, and how to reach it."""
    flags = ["--request-timeout", "2s"]
    reach = {}
    if name in NEEDS and NEEDS[name] != "tls":
        flags.append("--access")
    if NEEDS.get(name) == "tls":
        ca = certs.common()
        cert, key = ca.node("n1")
        flags += ["--tls-cert", cert, "--tls-key", key, "--tls-ca", ca.ca]
        reach = {"context": ca.context()}
    s = Server(*flags, start=False)
    s.start(wait=False)
    s.wait_listening()
    s.api = Client(s.port, node=s.node, token=s.admin_token, **reach)
    until(lambda: s.api.get("/readyz").status == 200)
    return s, reach


def fill(s):
    make_ns(s, name="attacked")
    things = path("v1", "ns", "attacked.roster", "thing")
    s.post(things, [{"name": f"r{i}", "x": "a" * 60 + "!"} for i in range(200)]
           ).must(201)
    return things


def use(s, things, reach, seconds):
    """Somebody else, meanwhile: reads, writes, on one connection and on new
    ones. Each has to succeed."""
    end, n = time.monotonic() + seconds, 0
    while time.monotonic() < end or n < 10:
        client = Client(s.port, node=s.node, token=s.admin_token, **reach)
        for i in range(5):
            client.put(f"{things}/mine{n}", {"v": str(i)}).must(200, 201)
            client.get(f"{things}/mine{n}").must(200)
            client.get(path("v1", "ns", "attacked.roster", "thing", limit=20)
                       ).must(200)
        client.close()
        n += 1
    return n * 15


def attack(name):
    s, reach = serve(name)
    try:
        things = fill(s)
        s.get("/v1/ns").must(200)
        reader = None
        if NEEDS.get(name) in ("access", "reader"):
            s.put("/v1/users/ann", {"password": "correct horse"}).must(201)
            reader = s.post("/v1/tokens", {"name": "eve", "roles": ["reader"]}
                            ).must(201).json["token"]
        names = {row["name"] for row in s.rows(things)}
        memory, fds = s.rss_anon_kib(), s.n_fds()
        with Attack(name, s.port, n=CROWDS.get(name),
                    ca=certs.common().ca if NEEDS.get(name) == "tls" else None,
                    token=reader if NEEDS.get(name) == "reader" else None) as a:
            n = use(s, things, reach, LONGER.get(name, SECONDS))
            assert a.alive(), "the attack ended early"
            within = s.rss_anon_kib()
        judge(s, name, a.told, things, names, n)
        until(lambda: s.n_fds() <= fds + 5, 15)
        grown = max(s.rss_anon_kib(), within) - memory
        say(f"{name}: {a.told}, {grown} KiB more, {n} requests of others")
        assert grown < 64 << 10 or not memory_counts(), f"{grown} KiB more"
        assert s.stop() == 0
    finally:
        s.discard()


def judge(s, name, told, things, names, n):
    assert s.alive(), s.log_tail()
    assert told["opened"], told
    statuses = {int(status) for status in told["statuses"]}
    assert statuses <= EXPECTED[name], (name, told)
    assert not told["silent"], told
    if name in LONGER:
        assert told["ended"] or told["statuses"], told
    assert s.get("/livez").must(200)
    rows = {row["name"] for row in s.rows(things)}
    assert not {r for r in rows - names if not r.startswith("mine")}, rows
    assert n and len(rows) > len(names)


@bare(timeout=90)
def slow_heads_and_bodies_disturb_nobody():
    attack("slow-heads")
    attack("slow-bodies")


@bare(timeout=60)
def headers_without_end_disturb_nobody():
    attack("endless-heads")


@bare(timeout=90)
def thousands_of_silent_connections_disturb_nobody():
    attack("half-open")


@bare(timeout=60)
def compressed_bombs_are_not_unpacked():
    attack("bombs")


@bare(timeout=60)
def requests_with_two_meanings_have_none():
    attack("smuggling")


@bare(timeout=60)
def tricks_with_paths_lead_nowhere():
    attack("paths")


@bare(timeout=60)
def bodies_made_to_be_hard_are_refused():
    attack("json-bombs")


@bare(timeout=60)
def expressions_made_to_be_hard_end():
    attack("regexes")


@bare(timeout=90)
def handshakes_without_end_disturb_nobody():
    attack("handshakes")
    attack("half-handshakes")


@bare(timeout=60)
def who_tries_passwords_is_slowed_and_disturbs_nobody():
    attack("sign-ins")


@bare(timeout=60)
def tokens_of_nobody_disturb_nobody():
    attack("unknown")


@bare(timeout=60)
def denials_are_told_to_the_audit_and_disturb_nobody():
    attack("denials")


@bare
def each_attack_is_tried():
    assert set(EXPECTED) == set(ATTACKS)


@bare(timeout=60)
def a_handshake_that_waits_costs_no_processor():
    """The library looked at each one again and again until its time was over."""
    s, _ = serve("half-handshakes")
    try:
        def ticks():
            return sum(map(int, s.proc("stat").rpartition(")")[2].split()[11:13]))
        with Attack("half-handshakes", s.port, n=50, ca=certs.common().ca) as a:
            time.sleep(1)       # all of them have begun
            before = ticks()
            time.sleep(2)
            used = ticks() - before
        assert a.told["most_open"] == 50, a.told
        assert used < 40, f"{used} ticks in 2 s, with nothing to do"
        say(f"{used} ticks in 2 s")
    finally:
        s.discard()
