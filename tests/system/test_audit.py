"""The audit: who did what, a line each, and no line goes unnoticed (P10)."""
import glob
import json
import os
import signal
import stat
import tempfile
import threading

from harness import Lost, Server, bare, binary, make_ns, path, run, until
from test_full import free_mib, leave_disk, small_disk

MANY = 6000
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{TRACE}-00f067aa0ba902b7-01"


def audited(*flags, **options):
    folder = tempfile.mkdtemp(prefix="roster-audit-")
    return Server("--audit", folder, *flags, **options), folder


def files(folder):
    return sorted(glob.glob(os.path.join(folder, "audit-*.jsonl")))


def lines(folder):
    return [json.loads(line) for name in files(folder)
            for line in open(name, encoding="utf-8")]


def last(folder):
    return lines(folder)[-1]


def verify(folder, *more):
    code, out, err = run([binary("roster"), "audit", "verify", folder, "--json",
                          *more])
    return code, json.loads(out) if out else None, err


def holds(folder, *more):
    code, verdict, why = verify(folder, *more)
    assert code == 0, why
    return verdict


def head(s):
    a = s.get("/v1/admin/audit").must(200).json
    return f"{a['seq']}:{a['hash']}"


def ask_head(s):
    return run([binary("roster"), "--server", f"http://127.0.0.1:{s.port}",
                "audit", "head"])


def rewrite(name, change):
    with open(name, "rb") as f:
        data = f.read()
    with open(name, "wb") as f:
        f.write(change(data))


@bare
def each_change_is_a_line():
    s, folder = audited()
    with s:
        ns = make_ns(s)
        a = s.put(path("v1", "ns", ns, "service", "api"),
                  {"name": "api", "password": "hunter2"},
                  headers={"traceparent": PARENT}).must(201)
        assert a.headers["roster-request"] == TRACE
        line = last(folder)
        assert line["op"] == "row put" and line["who"] == "anyone", line
        assert (line["ns"], line["type"], line["id"]) == (ns, "service", "api")
        assert line["outcome"] == "ok" and line["status"] == 201, line
        assert line["revision"] == a.revision and line["request"] == TRACE, line
        assert line["node"] == "n1", line
        made = s.post(path("v1", "ns", ns, "service"), {"name": "b"}).must(201)
        line = last(folder)
        assert line["id"] == made.json["_id"], line
        assert line["request"] == made.headers["roster-request"], line
        s.post("/v1/txn", {"do": [
            {"op": "delete", "ns": ns, "type": "service", "id": "api"}]}).must(200)
        assert last(folder)["about"] == f"delete {ns}/service/api"
        s.get("/v1/admin/backup").must(200)
        assert last(folder)["op"] == "backup"
        s.post("/v1/admin/snapshot").must(200)
        assert last(folder)["op"] == "snapshot"
        s.delete(path("v1", "ns", ns), headers={}).must(409)
        line = last(folder)
        assert (line["outcome"], line["status"]) == ("refused", 409), line
        n = len(lines(folder))
        s.get(path("v1", "ns", ns, "service")).must(200)
        s.get("/v1/ns/gone.roster/service").must(404)
        s.put("/v1/agents/gone/heartbeat").must(404)
        assert len(lines(folder)) == n
        text = "".join(open(name, encoding="utf-8").read()
                       for name in files(folder))
        assert "hunter2" not in text
        assert holds(folder)["lines"] == n


@bare
def nobody_else_may_read_it():
    s, folder = audited()
    with s:
        make_ns(s)
        assert stat.S_IMODE(os.stat(folder).st_mode) == 0o700
        for name in files(folder):
            assert stat.S_IMODE(os.stat(name).st_mode) == 0o600


@bare
def a_killed_process_has_lost_no_line():
    s, folder = audited()
    with s:
        ns = make_ns(s)
        known, stop = [], threading.Event()

        def write(number):
            c = s.client()
            try:
                for i in range(100000):
                    a = c.post(path("v1", "ns", ns, "thing"),
                               {"name": f"{number}-{i}"})
                    if a.status == 201:
                        known.append(a.headers["roster-request"])
                    if stop.is_set():
                        return
            except (Lost, OSError):
                return
        for _ in range(2):
            threads = [threading.Thread(target=write, args=(n,))
                       for n in range(4)]
            n = len(known)
            for t in threads:
                t.start()
            until(lambda: len(known) > n + 200, 30)
            s.kill()
            stop.set()
            for t in threads:
                t.join()
            stop.clear()
            s.start()
            told = {line.get("request") for line in lines(folder)}
            missing = [r for r in known if r not in told]
            assert not missing, f"{len(missing)} of {len(known)} have no line"
        s.post(path("v1", "ns", ns, "thing"), {"name": "after"}).must(201)
        verdict = holds(folder)
        assert verdict["first_seq"] == 1 and verdict["torn"] == 0, verdict


@bare
def a_torn_end_is_told():
    s, folder = audited()
    with s:
        make_ns(s)
        make_ns(s)
        s.kill()
        rewrite(files(folder)[-1], lambda data: data[:-30])
        s.start()
        make_ns(s)
        verdict = holds(folder)
        assert verdict["torn"] == 1, verdict
        assert [line for line in open(files(folder)[-1])
                if '"op":"audit resume"' in line]


@bare
def what_was_done_to_the_files_is_found():
    s, folder = audited()
    with s:
        for _ in range(5):
            make_ns(s)
        noted = head(s)
        assert s.stop() == 0
    name = files(folder)[0]
    whole = open(name, "rb").read()
    parts = whole.splitlines(keepends=True)
    assert holds(folder, "--head", noted)["lines"] == 5
    for bad in (whole.replace(b"anyone", b"nobody", 1),
                b"".join(parts[:2] + parts[3:]),
                b"".join(parts[:2] + [parts[3], parts[2]] + parts[4:]),
                parts[0] + whole):
        rewrite(name, lambda _, bad=bad: bad)
        code, _, why = verify(folder)
        assert code == 1 and "line " in why, why
    # An end that was cut leaves a chain that is whole: only who noted the head
    # can tell, and that is said.
    rewrite(name, lambda _: b"".join(parts[:3]))
    code, verdict, why = verify(folder)
    assert code == 0 and verdict["lines"] == 3, why
    assert "--head" in why, why
    code, _, why = verify(folder, "--head", noted)
    assert code == 1 and "the end is missing" in why, why


@bare
def files_are_bounded():
    s, folder = audited("--audit-size", "64KiB", "--audit-files", "3")
    with s:
        ns = make_ns(s)
        for _ in range(60):
            for _ in range(20):
                s.post(path("v1", "ns", ns, "thing"), {"text": "x"}).must(201)
            if len(lines(folder)) and lines(folder)[0]["seq"] > 1:
                break
        assert len(files(folder)) == 3
        assert all(os.path.getsize(f) < 80 << 10 for f in files(folder))
        verdict = holds(folder)
        assert verdict["begins_later"] and verdict["first_seq"] > 1, verdict
        assert verdict["last_seq"] - verdict["first_seq"] + 1 == \
            verdict["lines"], verdict
        said = s.get("/v1/admin/audit").must(200).json
        assert said["files"] == 3 and said["seq"] == verdict["last_seq"], said


def ended(s, answers):
    """A change was refused, or a line was lost."""
    if answers and answers[-1] == 507:
        return True
    return len(answers) % 100 == 99 and \
        s.get("/v1/admin/audit").json["failed"] > 0


@bare
def a_full_disk_of_the_audit_stops_changes_only_when_that_is_asked_for():
    folder = small_disk(4)
    try:
        for required in (False, True):
            place = os.path.join(folder, "audit")
            flags = ["--audit", place] + ["--audit-required"] * required
            with Server(*flags) as s:
                ns = make_ns(s)
                target = path("v1", "ns", ns, "thing")
                s.put(target + "/a", {"name": "a"}).must(201)
                ballast = os.path.join(folder, "ballast")
                with open(ballast, "wb") as f:
                    while free_mib(folder) > 0:
                        try:
                            f.write(b"x" * 4096)
                            f.flush()
                        except OSError:
                            break
                answers = []
                while len(answers) < MANY and not ended(s, answers):
                    answers.append(s.post(target, {"n": str(len(answers))})
                                   .status)
                if required:
                    assert answers[-1] == 507, answers[-1]
                    kept = len(s.rows(target))
                    a = s.post(target, {"name": "late"})
                    assert "--audit-required" in a.problem(507)["detail"]
                    s.get(target).must(200)
                    assert len(s.rows(target)) == kept
                else:
                    assert set(answers) == {201}, set(answers)
                    assert s.get("/v1/admin/audit").json["failed"] > 0
                os.unlink(ballast)

                def goes_on():
                    return s.get("/v1/admin/audit").json["writable"]
                until(goes_on, 10, every=0.1)
                s.post(target, {"name": "again"}).must(201)
                assert (holds(place)["gaps"] > 0) == (not required)
            for name in files(place):
                os.unlink(name)
    finally:
        leave_disk(folder)


@bare
def what_the_leader_does_by_itself_is_told():
    s, folder = audited()
    with s:
        make_ns(s, name="web", match="^web-")
        s.post("/v1/agents", {"hostname": "web-1", "ttl": "2s"}).must(201)
        assert last(folder)["about"] == "hostname=web-1 ttl=2s"

        def told():
            return [x for x in lines(folder) if x["op"] == "expire"]
        until(told, 15, every=0.1)
        line = told()[0]
        assert line["who"] == "node n1" and "web-1" in line["about"], line
        assert line["revision"] > 0, line
        holds(folder)


@bare
def no_client_can_forge_a_line():
    s, folder = audited()
    with s:
        evil = 'x"}\n{"seq":1,"op":"audit resume"\r\u2028\x85\x00'
        s.delete(path("v1", "ns", "roster", "thing", evil))
        s.post("/v1/ns", {"parent": "roster", "name": evil})
        s.put(path("v1", "ns", "roster", "thing", "a"), {"name": "a"},
              headers={"traceparent": "00-" + "x" * 32 + "-y"})
        with s.wire() as wire:
            wire.send(b"DELETE /v1/ns/roster/thing/%ff%0a%22 HTTP/1.1\r\n"
                      b"Host: x\r\ntraceparent: 00-\"-1\r\n\r\n")
            wire.answer()
        told = lines(folder)
        assert holds(folder)["lines"] == len(told) == s.get(
            "/v1/admin/audit").json["seq"]
        assert all(x["op"] != "audit resume" for x in told)
        for line in told:
            assert len(line["request"]) == 32 and line["node"] == "n1", line


@bare
def two_processes_do_not_share_one():
    s, folder = audited()
    with s:
        other = Server("--audit", folder, start=False)
        try:
            other.start(wait=False)
            assert other.ended_within(10)
            assert "another process" in other.log_tail()
        finally:
            other.discard()


@bare
def a_node_without_one_says_so():
    with Server() as s:
        assert s.get("/v1/admin/audit").must(200).json == {"enabled": False}
        code, _, err = ask_head(s)
        assert code == 1 and "--audit" in err, err
    s, folder = audited()
    with s:
        make_ns(s)
        code, out, err = ask_head(s)
        assert code == 0 and out.strip() == head(s), err
        s.signal(signal.SIGHUP)
        text = s.get("/metrics").must(200).body.decode()
        assert "roster_audit_ready 1" in text
        assert "roster_audit_lines_total 1" in text
    code, _, err = verify(folder + "-none")
    assert code == 1 and "no files" in err, err
