"""Signing in with a password, and what ends that."""
import concurrent.futures
import os
import re
import time

from harness import PATIENCE, path, shared, test, until

ACCESS = ("--access", "--session-ttl", "1h")
TOKEN = re.compile(r"rst_[0-7][0-9A-HJKMNP-TV-Z]{25}_[A-Za-z0-9_-]{43}\Z")
PASSWORD = "correct horse ä"


def make_user(s, name, *roles, password=PASSWORD, **more):
    body = {"roles": list(roles), **more}
    if password:
        body["password"] = password
    s.put(path("v1", "users", name), body).must(201)


def sign_in(s, user, password=PASSWORD, **more):
    """As nobody that is known."""
    return s.client(token=None).post("/v1/sessions", {
        "user": user, "password": password, **more})


def session_of(s, user, password=PASSWORD, **more):
    """His client, and what was answered."""
    a = sign_in(s, user, password, **more).must(201)
    assert TOKEN.match(a.json["token"]), a
    return s.client(token=a.json["token"]), a.json


@shared(flags=ACCESS)
def who_knows_the_password_is_let_in_for_a_while(s):
    make_user(s, "ann", "reader")
    ann, session = session_of(s, "ann")
    assert session["kind"] == "session" and session["user"] == "ann", session
    assert session["expires_ms"] - session["created_ms"] == 3600_000, session
    ann.get("/v1/ns").must(200)
    assert ann.get("/v1/whoami").must(200).json["user"] == "ann"
    ids = [x["id"] for x in ann.get("/v1/sessions").must(200).json]
    assert ids == [session["id"]], ids
    ann.delete("/v1/sessions/" + session["id"]).must(204)
    ann.get("/v1/ns").problem(401)


@shared(flags=ACCESS)
def a_session_may_be_shorter_than_the_setting_and_no_longer(s):
    make_user(s, "ben", "reader")
    for ttl, lasts in (("5m", 300), ("30d", 3600)):
        _, session = session_of(s, "ben", ttl=ttl)
        assert (session["expires_ms"] - session["created_ms"]) / 1000 == lasts
    sign_in(s, "ben", ttl="soon").problem(400, field="ttl")
    ben, session = session_of(s, "ben", ttl="1s")
    until(lambda: time.time() > session["expires_ms"] / 1000)
    ben.get("/v1/ns").problem(401)


@shared(flags=ACCESS)
def a_refusal_does_not_say_why(s):
    make_user(s, "cat", "reader")
    make_user(s, "dan", "reader", disabled=True)
    make_user(s, "eve", "reader", password=None)
    make_user(s, "fox", "reader", password=None, source="ldap")
    said = set()
    for user, password in (("cat", "wrong horse"), ("cat", ""), ("dan", PASSWORD),
                           ("eve", PASSWORD), ("eve", ""), ("nobody", PASSWORD),
                           ("no,body=x", PASSWORD), ("", PASSWORD),
                           ("cat", PASSWORD + "\0"), ("cat", "x" * 5000)):
        a = sign_in(s, user, password)
        a.problem(401)
        assert a.headers["www-authenticate"] == 'Bearer realm="roster"'
        said.add(a.json["detail"])
    assert len(said) == 1, said
    # There is no directory here: who is in one is told so.
    sign_in(s, "fox").problem(503)


@shared(flags=ACCESS)
def what_is_no_attempt_is_refused_with_a_reason(s):
    c = s.client(token=None)
    for body, field in (({}, "user"), ({"user": "x"}, "password"),
                        ({"user": 1, "password": "x"}, "user"),
                        ({"user": "x", "password": "y", "z": 1}, "z")):
        c.post("/v1/sessions", body).problem(400, field=field)
    c.post("/v1/sessions", {"user": "x", "password": "y"},
           {"Idempotency-Key": "k"}).problem(400, field="Idempotency-Key")


@shared(flags=ACCESS)
def his_own_password_takes_the_old_one_and_ends_his_sessions(s):
    make_user(s, "gil", "reader")
    other, _ = session_of(s, "gil")
    gil, _ = session_of(s, "gil")
    at = path("v1", "users", "gil", "password")
    new = "another horse"
    gil.put(at, {"password": new}).problem(400, field="old")
    gil.put(at, {"old": "wrong one", "password": new}).problem(403, field="old")
    gil.put(at, {"old": PASSWORD, "password": "short"}).problem(
        400, field="password")
    gil.put(at, {"old": PASSWORD, "password": new},
            {"Idempotency-Key": "k"}).problem(400, field="Idempotency-Key")
    gil.get("/v1/ns").must(200)
    gil.put(at, {"old": PASSWORD, "password": new}).must(204)
    gil.get("/v1/ns").problem(401)
    other.get("/v1/ns").problem(401)
    sign_in(s, "gil").problem(401)
    session_of(s, "gil", new)


@shared(flags=ACCESS)
def somebody_elses_password_takes_the_right_to_change_users(s):
    make_user(s, "hal", "reader")
    make_user(s, "ivy", "operator")
    hal, _ = session_of(s, "hal")
    ivy, _ = session_of(s, "ivy")
    at = path("v1", "users", "hal", "password")
    ivy.put(at, {"password": "stolen horse"}).problem(403)
    s.client(token=None).put(at, {"password": "stolen horse"}).problem(401)
    s.put(at, {"password": "given horse"}).must(204)
    hal.get("/v1/ns").problem(401)
    session_of(s, "hal", "given horse")
    s.put(path("v1", "users", "nobody", "password"),
          {"password": PASSWORD}).problem(404)


@shared(flags=ACCESS)
def a_limited_token_does_not_set_its_users_password(s):
    make_user(s, "jon", "operator")
    jon, _ = session_of(s, "jon")
    small = jon.post("/v1/tokens", {"user": "jon", "roles": ["reader"]}
                     ).must(201).json["token"]
    s.client(token=small).put(path("v1", "users", "jon", "password"), {
        "old": PASSWORD, "password": "another horse"}).problem(403)


@shared(flags=ACCESS)
def a_password_that_is_put_with_its_user_ends_his_sessions(s):
    make_user(s, "kim", "reader")
    kim, _ = session_of(s, "kim")
    at = path("v1", "users", "kim")
    s.put(at, {"roles": ["reader"], "comment": "still the same"}).must(200)
    kim.get("/v1/ns").must(200)
    s.put(at, {"roles": ["reader"], "password": "another horse"}).must(200)
    kim.get("/v1/ns").problem(401)
    session_of(s, "kim", "another horse")


@shared(flags=ACCESS)
def who_is_disabled_or_deleted_has_no_session(s):
    make_user(s, "leo", "reader")
    leo, _ = session_of(s, "leo")
    s.put(path("v1", "users", "leo"), {"roles": ["reader"], "disabled": True}
          ).must(200)
    leo.get("/v1/ns").problem(401)
    sign_in(s, "leo").problem(401)
    s.put(path("v1", "users", "leo"), {"roles": ["reader"]}).must(200)
    leo.get("/v1/ns").must(200)
    s.delete(path("v1", "users", "leo")).must(204)
    leo.get("/v1/ns").problem(401)
    make_user(s, "leo", "reader")
    leo.get("/v1/ns").problem(401)


@test(flags=ACCESS, timeout=120)
def the_oldest_of_very_many_sessions_ends(s):
    make_user(s, "mia", "reader")
    first, _ = session_of(s, "mia")
    for _ in range(63):
        session_of(s, "mia")
    first.get("/v1/ns").must(200)
    last, _ = session_of(s, "mia")
    first.get("/v1/ns").problem(401)
    assert len(last.get("/v1/sessions").must(200).json) == 64


@test(flags=ACCESS)
def many_at_once_are_let_in_or_told_to_wait_while_others_are_served(s):
    make_user(s, "ned", "reader")
    with concurrent.futures.ThreadPoolExecutor(100) as pool:
        signing = [pool.submit(sign_in, s, "ned") for _ in range(100)]
        for _ in range(20):
            s.get("/v1/search?v=x").must(200)
        answers = [f.result() for f in signing]
    statuses = {a.status for a in answers}
    assert 201 in statuses and statuses <= {201, 429, 503}, statuses
    for a in answers:
        assert a.status == 201 or int(a.headers["retry-after"]) > 0, a
    assert "roster_passwords_total" in s.get("/metrics").body.decode()


def memory_of(s):
    """All that the process can write to."""
    with open(f"/proc/{s.process.pid}/maps", encoding="ascii") as maps, \
            open(f"/proc/{s.process.pid}/mem", "rb", 0) as mem:
        for line in maps:
            span, mode, _, device, *_ = line.split()
            if mode.startswith("rw") and device == "00:00":
                low, high = (int(x, 16) for x in span.split("-"))
                mem.seek(low)
                try:
                    yield mem.read(high - low)
                except OSError:
                    continue


@test(flags=(*ACCESS, "--core-dumps"))  # else nobody else sees its memory
def a_password_stays_nowhere(s):
    marks = [f"xyzzy-{i}-" + os.urandom(12).hex() for i in range(4)]
    make_user(s, "ora", "reader", password=marks[0])
    ora, _ = session_of(s, "ora", marks[0])
    sign_in(s, "ora", marks[1]).problem(401)
    ora.put(path("v1", "users", "ora", "password"),
            {"old": marks[0], "password": marks[2]}).must(204)
    s.put(path("v1", "users", "ora"),
          {"roles": ["reader"], "password": marks[3]}).must(200)
    s.client(token=None).post("/v1/sessions", raw=(
        '{"user":"ora","password":"' + marks[3] + '"').encode()).problem(400)
    log = "\n".join(s.log_lines())
    for mark in marks:
        assert mark not in log, "in the log"
    for folder, _, names in os.walk(s.data_dir):
        for name in names:
            with open(os.path.join(folder, name), "rb") as f:
                data = f.read()
            for mark in marks:
                assert mark.encode() not in data, f"in {name}"
    if "Sanitizer" in s.proc("maps") or PATIENCE > 1:
        return # such a build keeps freed memory, and what was in it
    held = sum(block.count(mark.encode()) for block in memory_of(s)
               for mark in marks)
    assert held == 0, f"{held} times in memory"


@shared(flags=ACCESS)
def a_node_without_a_directory_says_so(s):
    s.put("/v1/users/lost", {"source": "ldap", "roles": ["reader"]}).must(201)
    problem = s.post("/v1/sessions", {"user": "lost", "password": PASSWORD}
                     ).problem(503)
    assert "--ldap-url" in problem["detail"], problem
