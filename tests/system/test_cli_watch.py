"""roster watch, against a server that breaks as it is told to (fakewatch.py) and
against real ones: nothing is missing, nothing comes twice."""
import concurrent.futures
import contextlib
import json
import os
import pty
import re
import select
import signal
import subprocess
import tempfile
import threading
import time

from cli import good
from cluster import Cluster
from fakewatch import (STREAM, FakeWatch, Fault, answer, chunk, line, problem,
                       put, word)
from harness import (PATIENCE, Lost, bare, binary, die_with_parent,
                     environment, make_ns, memory_counts, path, run, shared,
                     test, until)

CHANGES = [put(5), put(6, "y"), put(9, "z")]


def watch(servers, *argv, timeout=30):
    """(exit status, changes as revisions, stderr) of `roster watch --json`."""
    code, out, err = run([binary("roster"), "--server", servers, "watch",
                          "--json", *argv], timeout=timeout)
    return code, [json.loads(x) for x in out.splitlines()], err


def revisions(events):
    return [e["revision"] for e in events if e["op"] not in (
        "progress", "reset", "again")]


class Watching:
    """`roster watch` that goes on, line by line."""

    def __init__(self, servers, *argv, stdout=subprocess.PIPE):
        self.p = subprocess.Popen(
            [binary("roster"), "--server", servers, "watch", *argv],
            stdout=stdout, stderr=subprocess.PIPE, env=environment(),
            bufsize=0,      # what select() sees is all there is
            preexec_fn=die_with_parent)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.p.poll() is None:
            self.p.kill()
        self.p.wait()
        for pipe in (self.p.stdout, self.p.stderr):
            if pipe:
                pipe.close()

    def line(self):
        """The next one; as soon as it is written, not when a buffer is full."""
        ready = select.select([self.p.stdout], [], [], 20 * PATIENCE)[0]
        assert ready, "no line came"
        return self.p.stdout.readline().decode()

    def ends(self):
        code = self.p.wait(20 * PATIENCE)
        return code, self.p.stderr.read().decode()


# ---- streams that break -----------------------------------------------------

@bare(timeout=180)
def a_stream_that_is_cut_at_any_byte_is_taken_up():
    whole = FakeWatch(CHANGES)
    size = len(STREAM + b"".join(map(chunk, whole.stream({"since": "4"}))))
    whole.__exit__()
    # A sanitized program takes long to start; the client's own test cuts every
    # byte of a stream in one.
    cuts = range(0, size + 1, 1 if memory_counts() else 5)

    def one(cut):
        with FakeWatch(CHANGES, faults=[Fault(cut, reset=cut % 2 == 0)]) as f:
            code, events, err = watch(f.url, "--since", "4", "--count", "3")
            assert code == 0 and revisions(events) == [5, 6, 9], (
                cut, code, events, err)
            assert events == CHANGES, (cut, events)

    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        assert len(list(pool.map(one, cuts))) == len(cuts)


@bare
def what_comes_twice_after_a_break_is_told_once():
    for back in (1, 4, 9):
        cut = len(STREAM + chunk(line(CHANGES[0])) + chunk(line(CHANGES[1])))
        with FakeWatch(CHANGES, back=back, faults=[Fault(cut)] * 2) as f:
            code, events, _ = watch(f.url, "--since", "4", "--count", "3")
        assert code == 0 and revisions(events) == [5, 6, 9], events


@bare
def an_outage_is_told_once_and_its_end_too():
    faults = [Fault(ends=b"0\r\n\r\n"), Fault(0), Fault(instead=problem(
        503, "Service Unavailable", "this node is behind")), None]
    with FakeWatch([put(5)], faults=faults) as f:
        with Watching(f.url, "--json", "--since", "4") as w:
            assert json.loads(w.line()) == put(5)
            until(lambda: len(f.queries) == 4)
            time.sleep(0.3)
            w.p.send_signal(signal.SIGTERM)
            code, err = w.ends()
    assert code == 0 and len(err.splitlines()) == 2, err
    assert "trying to go on" in err and f"going on at {f.url}" in err, err
    assert f.queries[1:] == [{"since": "5"}] * 3, f.queries
    with FakeWatch([put(5), put(6)], faults=[Fault(len(STREAM) + 200)]) as f:
        _, _, err = watch(f.url, "--quiet", "--since", "4", "--count", "2")
        assert not err, err


@bare
def a_server_that_is_silent_or_behind_is_left_for_the_next():
    behind = Fault(instead=problem(503, "Service Unavailable", "behind"))
    for fault in (Fault(instead=b"", stays=True), behind,
                  Fault(instead=b"HTTP/1.1 200 OK\r\n", stays=True)):
        with FakeWatch(CHANGES, faults=[fault] * 3) as bad:
            with FakeWatch(CHANGES) as ok:
                for servers in (f"{bad.url},{ok.url}", f"{ok.url},{bad.url}"):
                    code, events, err = watch(
                        servers, "--timeout", "300ms", "--since", "4",
                        "--count", "3")
                    assert code == 0 and events == CHANGES, (events, err)


@bare
def a_server_that_leaves_sends_its_watchers_on():
    bye = Fault(ends=chunk(word("bye", 6)), stays=True)
    with FakeWatch(CHANGES[:2], faults=[bye]) as a:
        with FakeWatch(CHANGES, faults=[None]) as b:
            code, events, err = watch(f"{a.url},{b.url}", "--since", "4",
                                      "--count", "3")
    assert code == 0 and events == CHANGES, (events, err)


@bare
def one_of_two_servers_may_be_dead():
    with FakeWatch(CHANGES, faults=[Fault(len(STREAM) + 300)]) as f:
        for servers in (f"http://127.0.0.1:1,{f.url}",
                        f"{f.url},http://127.0.0.1:1"):
            code, events, err = watch(servers, "--since", "4", "--count", "3")
            assert code == 0 and events == CHANGES, (events, err)


@bare
def a_reset_is_told_to_people_and_programs():
    with FakeWatch(CHANGES, floor=5) as f:
        with Watching(f.url, "--json", "--since", "2") as w:
            assert json.loads(w.line()) == {"op": "reset", "revision": 9}
            w.p.send_signal(signal.SIGINT)
            code, err = w.ends()
    assert code == 0 and "changes are missing" in err and "9" in err, err


@bare
def initial_rows_that_broke_come_anew():
    rows = [put(9, "a"), put(2, "b"), put(5, "c")]
    for row in rows:
        row["cause"] = "initial"
    first = len(STREAM + chunk(line(rows[0])) + chunk(line(rows[1])))
    with FakeWatch(CHANGES, rows, faults=[Fault(first + 10), Fault(
            ends=b"0\r\n\r\n"), Fault(instead=STREAM + chunk(
                line(put(12))), stays=True)]) as f:
        code, events, err = watch(f.url, "--initial", "--count", "6")
    assert code == 0, err
    assert events == [*rows[:2], {"revision": 0, "op": "again"}, *rows,
                      {"op": "progress", "revision": 9}, put(12)], events
    assert f.queries == [{"initial": "true"}] * 2 + [{"since": "9"}], f.queries


@bare
def no_resume_ends_with_the_stream_and_says_from_where():
    with FakeWatch(CHANGES, faults=[Fault(ends=b"0\r\n\r\n")]) as f:
        code, events, err = watch(f.url, "--no-resume", "--since", "4")
        assert code == 3 and events == CHANGES and len(f.queries) == 1
        assert "--since 9 goes on" in err, err


# ---- what is no stream ------------------------------------------------------

@bare
def garbage_is_an_error_that_says_what_came():
    huge = line(put(5, "n" * (2 << 20)))
    cases = ((STREAM + chunk(b"{\"revision\":1}\n"), "no change"),
             (STREAM + chunk(line(put(5))) + chunk(b"<html>oops"), "<html>"),
             (answer("200 OK", b"It works!\n"), "It works"),
             (answer("200 OK", b"[]"), "'[]'"),
             (STREAM + chunk(huge), "longer than any change"),
             (answer("302 Found", b"", "Location: /"), "no stream"))
    for data, says in cases:
        with FakeWatch(faults=[Fault(instead=data, stays=True)] * 2) as f:
            code, _, err = watch(f.url, "--since", "4")
            assert code == 1 and says in err, (says, code, err)
            assert f.url in err and "is it a roster server" in err, err
            assert len(f.queries) == 1, "asked again"


@bare
def a_large_change_comes_whole():
    change = put(5, "n" * 600000)
    with FakeWatch([change]) as f:
        code, events, err = watch(f.url, "--since", "4", "--count", "1")
    assert code == 0 and events == [change], err


@bare
def a_refusal_ends_it_with_its_reason():
    for status, title in ((400, "Bad Request"), (404, "Not Found")):
        with FakeWatch(faults=[Fault(instead=problem(
                status, title, "that is not so"))]) as f:
            code, events, err = watch(f.url)
            assert code == 1 and not events, (code, events)
            assert "that is not so" in err and len(f.queries) == 1, err
    code, _, err = watch("http://127.0.0.1:1")
    assert code == 3 and "is rosterd running" in err, err
    assert "trying" not in err, err


# ---- what is asked, and what is shown ---------------------------------------

@bare
def arguments_and_options_become_the_query():
    cases = (
        ((), {}),
        (("web.roster",), {"ns": "web.roster"}),
        (("web.roster", "service"), {"ns": "web.roster", "type": "service"}),
        (("--ns", "web.roster", "--type", "a b"),
         {"ns": "web.roster", "type": "a b"}),
        (("--where", "port=4=4"), {"k": "port", "v": "4=4"}),
        (("--key", "port", "--value", "44", "--mode", "prefix"),
         {"k": "port", "v": "44", "mode": "prefix"}),
        (("--since", "0"), {"since": "0"}),
        (("--initial",), {"initial": "true"}),
    )
    for argv, query in cases:
        with FakeWatch(faults=[Fault(instead=STREAM + chunk(line(put(3))))]) as f:
            code, _, err = watch(f.url, *argv, "--count", "1")
            assert code == 0 and f.queries == [query], (argv, f.queries, err)
    for argv, says in ((("a", "b", "c"), "watch"), (("a", "--ns", "b"), "twice"),
                       (("--where", "x"), "FIELD=VALUE"),
                       (("--where", "x=1", "--key", "y"), "--where"),
                       (("--since", "x"), "revision"),
                       (("--since", "-1"), "revision"),
                       (("--since", "3", "--initial"), "--initial"),
                       (("--limit", "3"), "takes no --limit")):
        code, events, err = watch("http://127.0.0.1:1", *argv)
        assert code == 2 and says in err and not events, (argv, code, err)


@bare
def people_read_a_line_a_change():
    changed = put(6, was={"port": "80", "note": None, "tier": "gold"})
    changed["resource"].update(port="81", note="a b")
    gone = {**put(7), "op": "delete", "cause": "expired"}
    renamed = {"revision": 8, "op": "ns-put", "ns": "www.roster", "ns_id": 4,
               "cause": "api", "kind": "leaf", "old": "web.roster"}
    nasty = put(9, "\x1b[2J\u202e\x9b")
    defined = {"revision": 10, "op": "type-put", "ns": "roster", "ns_id": 1,
               "cause": "api", "type": "hall"}
    with FakeWatch([put(5, "front"), changed, gone, renamed, nasty,
                    defined]) as f:
        code, out, err = run([binary("roster"), "--server", f.url, "watch",
                              "--since", "4", "--count", "6"])
    assert code == 0 and not err, err
    lines = out.splitlines()
    assert all(re.match(r"\d\d:\d\d:\d\d  \d", x) for x in lines), out
    assert [x[10:] for x in lines] == [
        "5  put  web.roster/service/front  api  name=front",
        '6  put  web.roster/service/x  api  port=81 (80)  note="a b"  '
        "tier- (gold)",
        "7  delete  web.roster/service/x  expired",
        "8  ns-put  www.roster  api  kind=leaf  old=web.roster",
        r"9  put  web.roster/service/\x1b[2J\u202e\u009b  api  "
        r"name=\x1b[2J\u202e\u009b",
        "10  type-put  roster  api  type=hall"], out


@bare
def a_change_of_a_later_release_is_shown_as_far_as_it_is_understood():
    odd = [{"revision": 5, "op": "odd", "ns": 7, "type": 3, "was": [1],
            "resource": "x", "cause": None},
           {"revision": 6, "op": "put", "type": "t", "id": [], "was": {"a": {}},
            "resource": {"a": [1, {"b": None}]}, "ns": "", "cause": ""},
           {"revision": 7, "op": "put", "type": "", "resource": {"name": 1}},
           {"revision": 8, "op": "breaker", "ns": "roster", "cause": "breaker",
            "state": "held", "suspect": 40, "old": None}]
    with FakeWatch(odd) as f:
        code, out, err = run([binary("roster"), "--server", f.url, "watch",
                              "--since", "4", "--count", "4"])
        assert code == 0 and not err and len(out.splitlines()) == 4, (out, err)
        assert "breaker  roster  breaker  state=held  suspect=40" in out, out
        assert watch(f.url, "--since", "4", "--count", "4")[1] == odd


@bare
def programs_get_each_line_equal_and_harmless():
    nasty = put(5, "\x7f\x9b31m\0\n")
    with FakeWatch([nasty]) as f:
        code, out, _ = run([binary("roster"), "--server", f.url, "watch",
                            "--json", "--since", "4", "--count", "1"])
    assert code == 0 and json.loads(out) == nasty
    assert not [c for c in out[:-1] if ord(c) < 32 or 127 <= ord(c) < 160], out


# ---- the end ----------------------------------------------------------------

@bare
def signals_and_a_reader_that_leaves_end_it_cleanly():
    with FakeWatch([put(5)]) as f:
        for number in (signal.SIGINT, signal.SIGTERM):
            with Watching(f.url, "--since", "4") as w:
                assert "put" in w.line()
                w.p.send_signal(number)
                assert w.ends() == (0, "")
        with Watching(f.url, "--since", "4") as w:   # nothing more is written
            assert "put" in w.line()
            w.p.stdout.close()
            w.p.stdout = None
            assert w.ends() == (0, "")
        with open("/dev/full", "wb") as full:
            with Watching(f.url, "--since", "4", stdout=full) as w:
                code, err = w.ends()
                assert code == 1 and "No space" in err, (code, err)


@bare
def a_reader_that_does_not_read_cannot_hold_it():
    many = [put(i, "n" * 20000) for i in range(5, 60)]
    with FakeWatch(many) as f:
        with Watching(f.url, "--json", "--since", "4") as w:
            until(lambda: f.queries)
            time.sleep(0.5)
            w.p.send_signal(signal.SIGTERM)
            assert w.ends() == (0, "")
            first = w.p.stdout.readline()
    assert json.loads(first) == many[0], first[:80]


@bare
def a_terminal_gets_lines_of_its_width():
    long = put(5, "n" * 300)
    with FakeWatch([long]) as f:
        master, slave = pty.openpty()
        with Watching(f.url, "--since", "4", stdout=slave) as w:
            os.close(slave)
            seen = b""
            while b"\n" not in seen:
                seen += os.read(master, 4096)
            w.p.send_signal(signal.SIGINT)
            assert w.ends()[0] == 0
        os.close(master)
    text = seen.decode().rstrip("\r\n")
    assert len(text) <= 80 and "…" in text, text


# ---- real servers -----------------------------------------------------------

@shared
def changes_of_a_real_server_come_as_they_happen(s):
    ns, url = make_ns(s), f"http://127.0.0.1:{s.port}"
    good(s, "add", ns, "service", "name=front", "port=80")
    with Watching(url, "--initial", ns, "service") as w:
        assert "front" in w.line()
        good(s, "add", ns, "check", "name=other")
        good(s, "set", ns, "service", "front", "port=81", "note=a b")
        seen = w.line()
        assert f"put  {ns}/service/front  api" in seen, seen
        assert "port=81 (80)" in seen and 'note="a b"' in seen, seen
        good(s, "rm", ns, "service", "front")
        assert f"delete  {ns}/service/front  api" in w.line()
        w.p.send_signal(signal.SIGTERM)
        assert w.ends() == (0, "")


@shared
def a_watcher_by_value_learns_that_a_resource_left(s):
    ns, url = make_ns(s), f"http://127.0.0.1:{s.port}"
    good(s, "add", ns, "service", "name=a", "port=80")
    since = good(s, "add", ns, "service", "name=b", "port=90") and s.revision()
    good(s, "set", ns, "service", "b", "port=91")
    good(s, "set", ns, "service", "a", "port=81")
    good(s, "set", ns, "service", "a", "port=82")
    code, events, err = watch(url, ns, "--where", "port=80", "--since",
                              str(since), "--no-resume", "--count", "1")
    assert code == 0 and events[0]["was"] == {"port": "80"}, (events, err)
    code, events, err = watch(url, ns, "--key", "port", "--value", "8",
                              "--mode", "prefix", "--since", str(since),
                              "--count", "2")
    assert code == 0 and [e["resource"]["port"] for e in events] == [
        "81", "82"], (events, err)


@shared
def what_cannot_be_watched_is_refused(s):
    url = f"http://127.0.0.1:{s.port}"
    code, _, err = watch(url, "no-such.roster")
    assert code == 1 and "no-such.roster" in err, (code, err)
    code, _, err = watch(url, "--value", "x", "--mode", "regex")
    assert code == 1 and "mode" in err, (code, err)


@test(flags=("--history", "1000"))
def a_history_that_is_too_short_is_a_reset(s):
    ns, url = make_ns(s), f"http://127.0.0.1:{s.port}"
    since = s.revision()
    for i in range(3):
        s.post(path("v1", "ns", ns, "thing"),
               [{"name": f"n{i}-{k}"} for k in range(500)]).must(201)
    with Watching(url, "--json", ns, "--since", str(since)) as w:
        reset = json.loads(w.line())
        assert reset["op"] == "reset" and reset["revision"] > since, reset
        good(s, "add", ns, "thing", "name=later")
        assert json.loads(w.line())["resource"]["name"] == "later"


@test
def a_server_that_restarts_is_waited_for(s):
    ns, url = make_ns(s), f"http://127.0.0.1:{s.port}"
    at = path("v1", "ns", ns, "thing")
    with Watching(url, "--json", "--initial", ns) as w:
        assert json.loads(w.line())["op"] == "progress"
        told = []
        for i in range(6):
            told.append(s.post(at, {"name": f"a{i}"}).must(201).json["_rev"])
            if i % 2 == 0:
                s.restart()                  # kill -9
            else:
                assert s.stop() == 0         # it says bye
                s.start()
            told.append(s.post(at, {"name": f"b{i}"}).must(201).json["_rev"])
        assert [json.loads(w.line())["revision"] for _ in told] == told
        w.p.send_signal(signal.SIGTERM)
        assert w.ends()[0] == 0


@test
def a_restored_registry_is_a_reset(s):
    ns, url = make_ns(s), f"http://127.0.0.1:{s.port}"
    good(s, "backup", os.path.join(s.home, "b.roster"))
    with Watching(url, "--json", "--initial", ns) as w:
        assert json.loads(w.line())["op"] == "progress"
        good(s, "add", ns, "thing", "name=before")
        assert json.loads(w.line())["resource"]["name"] == "before"
        good(s, "restore", os.path.join(s.home, "b.roster"))
        reset = json.loads(w.line())
        assert reset["op"] == "reset" and reset["revision"] >= 2**32, reset
        good(s, "add", ns, "thing", "name=later")
        assert json.loads(w.line())["resource"]["name"] == "later"


def write_on(c, target, over, told):
    """Rows through whichever node answers; told: revision of each that was
    acknowledged."""
    clients = {}
    for i in range(100000):
        if over.is_set():
            return
        name = c.names[i % len(c.names)]
        try:
            client = clients.setdefault(name, c.client(name, timeout=5))
            a = client.post(target, {"name": f"r{i}"})
            if a.status == 201:
                told.append(a.json["_rev"])
        except (OSError, Lost):
            clients.pop(name, None)


def revisions_in(file):
    with open(file, encoding="utf-8") as f:
        return [json.loads(x)["revision"] for x in f if x.endswith("\n")]


@bare(timeout=240)
def nodes_that_are_killed_cost_a_watcher_no_change():
    with Cluster(3) as c, tempfile.TemporaryDirectory() as home:
        ns = make_ns(c.node("n1"))
        target = path("v1", "ns", ns, "thing")
        c.wait_for_all(target)
        urls = [f"http://127.0.0.1:{c.http[n]}" for n in c.names]
        since, told, over = c.node("n1").revision(), [], threading.Event()
        with contextlib.ExitStack() as stack:
            files = [os.path.join(home, f"w{i}") for i in range(3)]
            watchers = []
            for i, file in enumerate(files):
                out = stack.enter_context(open(file, "wb"))
                watchers.append(stack.enter_context(Watching(
                    ",".join(urls[i:] + urls[:i]), "--json", "--since",
                    str(since), ns, stdout=out)))
            writer = threading.Thread(target=write_on,
                                      args=(c, target, over, told))
            writer.start()
            try:
                for name in c.names:         # each is watched by somebody
                    n = len(told)
                    until(lambda n=n: len(told) > n + 50, 30)
                    c.restart(name)
                    c.wait_ready()
                n = len(told)
                until(lambda: len(told) > n + 50, 30)
            finally:
                over.set()
                writer.join()
            for file in files:
                until(lambda file=file: (revisions_in(file) or [0])[-1] >=
                      told[-1], 30)
            for w in watchers:
                w.p.send_signal(signal.SIGTERM)
                code, err = w.ends()
                assert code == 0, err
        all_of_it = [revisions_in(file) for file in files]
        code, events, err = watch(urls[0], ns, "--since", str(since),
                                  "--count", str(len(all_of_it[0])))
        assert code == 0, err
        for seen in all_of_it:
            assert seen == sorted(set(seen)), "twice, or out of order"
            assert not set(told) - set(seen), "an acknowledged one is missing"
            assert seen == revisions(events), "not what the history says"
