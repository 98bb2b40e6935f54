"""scripts/bench: that it measures what it says, ends what it starts and does
not take a wrong answer for a quick one. No figure is judged here."""
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

import certs
from harness import (BUILD, REPOSITORY, Skip, Wire, bare, binary, environment,
                     memory_counts, run, spawn, until)

BENCH = os.path.join(REPOSITORY, "scripts", "bench")
TINY = ("--quick", "--rounds", "2", "--ms", "200", "--leases", "1000",
        "--resources", "2000", "--namespaces", "200", "--pin", "none",
        "--failovers", "1", "--joined", "1000", "--watchers", "40",
        "--most", "10", "--idle", "50")
# But for the ways that clients come in, and attacks: those have their own tests.
PLAIN = r"[^.]*|attack\.slow-heads"
PEERS = ("nginx", "etcd", "redis", "zookeeper")
ALONE = tuple(w for p in PEERS for w in ("--without", p))


def needs_compiler():
    if not shutil.which("cc"):
        raise Skip("no C compiler here: scripts/bench compiles its parts")
    binary("rosterd")


def bench(*argv, build=BUILD, timeout=100):
    """(exit status, what the JSON says, stdout)."""
    with tempfile.TemporaryDirectory(prefix="roster-test-") as home:
        found = os.path.join(home, "found.json")
        code, out, err = run([BENCH, "--build", build, "--json", found,
                              "--dir", home, *argv], timeout)
        assert os.listdir(home) == ["found.json"], \
            (os.listdir(home), code, out, err)
        with open(found, encoding="utf-8") as f:
            return code, json.load(f), out


def row_names():
    code, out, _ = run([BENCH, "--list"])
    assert code == 0
    return [line.split()[0] for line in out.splitlines()]


@bare(timeout=300)
def each_row_that_is_listed_is_measured_and_says_so():
    needs_compiler()
    if not memory_counts():
        raise Skip("a sanitized build is not measured")
    code, found, out = bench(*TINY, *ALONE, "--only", PLAIN, timeout=280)
    assert code == 0, out
    assert [r["row"] for r in found["rows"]] == [
        n for n in row_names() if re.fullmatch(PLAIN, n)], out
    assert found["format"] == 1 and set(found["left_out"]) >= set(PEERS)
    for name in ("kernel", "processor", "disk", "flushes_per_s"):
        assert name in found["machine"], name
    assert "rosterd" in found["commands"]["roster"]
    for row in found["rows"]:
        assert row["valid"] and not row["faults"], row
        assert f"\n{row['row']}: " in out, row["row"]
        for bound in row["bounds"]:
            assert bound["verdict"] in ("met", "not met", "not measured", "")
            assert (bound["value"] is None) == \
                (bound["verdict"] == "not measured"), bound
        for taken in row["rounds"]:
            assert sorted(taken["order"]) == sorted(taken["samples"])
    writes = [r for r in found["rows"] if r["row"] == "write-64"][0]
    assert len(writes["rounds"]) == 2
    sample = writes["rounds"][0]["samples"]["roster"]
    assert sample["acknowledged"] == sample["answers"] > 0, sample
    assert sample["p50_us"] <= sample["p99_us"] <= sample["max_us"], sample
    three = [r for r in found["rows"] if r["row"] == "cluster-write-64"][0]
    for name, n_ports in (("roster", 3), ("roster's leader", 1)):
        words = three["rounds"][0]["samples"][name]["command"].split()
        assert len(words[words.index("-a") + 1].split(",")) == n_ports, words


@bare(timeout=300)
def a_row_is_asked_for_in_each_way_that_clients_come_in():
    needs_compiler()
    wanted = ["read-one.access", "read-one.tls", "write-64.both",
              "heartbeat.tls", "watch.both", "cluster-read.both",
              "cluster-kill.both", "idle.tls"]
    code, found, out = bench(*TINY, *ALONE, *(
        w for name in wanted for w in ("--only", re.escape(name))),
        timeout=280)
    assert code == 0, out
    rows = {r["row"]: r for r in found["rows"]}
    assert sorted(rows) == sorted(wanted), out
    for name, row in rows.items():
        assert row["valid"] and not row["faults"], row
        for taken in row["rounds"]:
            for who, sample in taken["samples"].items():
                words = sample.get("command", "-C -").split()
                inside = "tls" in name or "both" in name
                assert ("-C" in words) == (inside and "plain" not in who), \
                    (name, who, words)
    names = rows["read-one.access"]["rounds"][0]["samples"]
    assert "roster, plain" in names and "bare" in names, names


class Survivor(threading.Thread):
    """A node whose leader ends. It holds the first write until then and says
    yes, for that one was decided before; then it refuses `refusals` times, and
    accepts what comes later."""

    def __init__(self, leader, refusals):
        super().__init__(daemon=True)
        self.leader, self.refusals = leader, refusals
        self.socket = socket.create_server(("127.0.0.1", 0), backlog=4096)
        self.port = self.socket.getsockname()[1]
        self.accepted = 0
        self.lock = threading.Lock()
        self.dead_at = self.new_at = None
        self.start()

    def run(self):
        while True:
            try:
                one, _ = self.socket.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(one,),
                             daemon=True).start()

    def serve(self, one):
        with one:
            while one.recv(4096):
                with self.lock:
                    status = self.judge()
                one.sendall(b"HTTP/1.1 %d X\r\nContent-Length: 0\r\n\r\n"
                            % status)

    def judge(self):
        if self.dead_at is None:
            self.leader.wait()
            self.dead_at = time.monotonic()
        elif self.refusals:
            time.sleep(0.05)
            self.refusals -= 1
            return 503
        elif not self.new_at:
            self.new_at = time.monotonic()
        self.accepted += 1
        return 201


@bare
def an_outage_lasts_until_a_write_that_was_asked_for_afterwards():
    needs_compiler()
    sources = os.path.join(REPOSITORY, "tests", "bench")
    with tempfile.TemporaryDirectory(prefix="roster-test-") as home:
        program, request = os.path.join(home, "outage"), home + "/request"
        with open(request, "wb") as f:
            f.write(b"POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n")
        subprocess.run(["cc", "-D_GNU_SOURCE", "-o", program, *(
            os.path.join(sources, name + ".c") for name in (
                "outage", "stream", "settings", "wire", "tally", "spread",
                "template")), "-lgnutls"], check=True)
        leader = spawn([sys.executable, "-c", LEADER], stdout=subprocess.PIPE,
                       stderr=subprocess.DEVNULL)
        port = int(leader.stdout.readline())
        survivor = Survivor(leader, 3)
        try:
            code, out, err = run([
                program, "-a", f"{survivor.port},{port}", "-k",
                str(leader.pid), "-S", str(int(signal.SIGKILL)), "-f", request,
                "-c", "2", "-w", "200", "-t", "100"])
        finally:
            leader.kill()
            leader.wait()
            survivor.socket.close()
    found = json.loads(out)
    assert code == 0, err
    assert found["refused"] == 3, found
    # The one that was held came before the refusals.
    assert found["seconds"] >= survivor.new_at - survivor.dead_at > 0.05, found
    assert found["acknowledged"] >= survivor.accepted > 1, found
    assert found["sent"] == found["acknowledged"] + found["refused"] + \
        found["unknown"], found


LEADER = """
import socket
s = socket.create_server(("127.0.0.1", 0))
print(s.getsockname()[1], flush=True)
one, _ = s.accept()
while one.recv(4096):
    one.sendall(b"HTTP/1.1 201 X\\r\\nContent-Length: 0\\r\\n\\r\\n")
"""


@bare
def the_bare_responder_answers_each_request_however_it_comes():
    answers_however_it_comes(None)


@bare
def the_bare_responder_does_the_same_within_tls():
    answers_however_it_comes(certs.common())


def answers_however_it_comes(authority):
    needs_compiler()
    sources = os.path.join(REPOSITORY, "tests", "bench")
    with tempfile.TemporaryDirectory(prefix="roster-test-") as home:
        program, sent = os.path.join(home, "bare"), os.path.join(home, "sent")
        answer = (b"HTTP/1.1 200 OK\r\nContent-Length: 70000\r\n\r\n" +
                  os.urandom(70000))
        with open(sent, "wb") as f:
            f.write(answer)
        subprocess.run(["cc", "-D_GNU_SOURCE", "-o", program,
                        os.path.join(sources, "bare.c"),
                        os.path.join(sources, "stream.c"), "-lgnutls"],
                       check=True)
        guarded = authority.node("n1") if authority else ()
        p = spawn([program, "0", sent, *guarded], stderr=subprocess.DEVNULL,
                  stdout=subprocess.PIPE)
        try:
            with Wire(int(p.stdout.readline()), **(
                    {"context": authority.context()} if authority else {})) \
                    as wire:
                one = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
                # Many at once; then one in pieces, cut inside the empty line.
                for data in (one * 100, one[:-3], one[-3:-1], one[-1:] + one):
                    wire.send(data)
                for _ in range(102):
                    assert wire.answer().body == answer[-70000:]
        finally:
            p.kill()
            p.wait()


class Teller(threading.Thread):
    """Greets each who asks, and tells all but the first of a change, in two
    pieces cut inside of the number."""

    def __init__(self):
        super().__init__(daemon=True)
        self.socket = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self.socket.getsockname()[1]
        self.waiting, self.all = [], []
        self.start()

    def run(self):
        while True:
            try:
                one, _ = self.socket.accept()
            except OSError:
                return
            self.all.append(one)
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self.serve, args=(one,),
                             daemon=True).start()

    def serve(self, one):
        if one.recv(4096).startswith(b"GET"):
            self.waiting.append(one)
            one.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            return
        for number in (b"7%011d" % 0, b"0%011d" % 0):   # one of before, first
            for to in self.waiting[1:]:
                to.sendall(b"data: " + number[:5])
                time.sleep(0.01)
                to.sendall(number[5:] + b"\n")
        one.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")


@bare
def a_watcher_that_is_not_told_is_counted():
    needs_compiler()
    sources = os.path.join(REPOSITORY, "tests", "bench")
    with tempfile.TemporaryDirectory(prefix="roster-test-") as home:
        program = os.path.join(home, "watch")
        for name, data in (("ask", b"GET / HTTP/1.1\r\n\r\n"),
                           ("change", b"POST / HTTP/1.1\r\n\r\n" + b"@" * 12)):
            with open(os.path.join(home, name), "wb") as f:
                f.write(data)
        subprocess.run(["cc", "-D_GNU_SOURCE", "-o", program, *(
            os.path.join(sources, name + ".c")
            for name in ("watch", "stream", "spread", "template")),
            "-lgnutls"], check=True)
        teller = Teller()
        done = subprocess.run(
            [program, "-a", str(teller.port), "-f", home + "/ask", "-x",
             home + "/change", "-c", "5", "-g", "200 OK"], input="change\n",
            capture_output=True, text=True, timeout=40, check=True)
        teller.socket.close()
    inside, found = map(json.loads, done.stdout.splitlines())
    assert inside == {"in": 5}
    assert (found["told"], found["missed"]) == (4, 1), found
    # Each was told in turn, in 20 ms; the second half of a number counts.
    assert 50_000 <= found["p50_us"] <= found["last_us"], found
    assert found["last_us"] >= 80_000 and found["answer_us"] > 0, found


@bare
def a_peer_that_is_installed_takes_part():
    needs_compiler()
    if not shutil.which("redis-server"):
        raise Skip("redis-server is not installed")
    without = [w for p in PEERS if p != "redis" for w in ("--without", p)]
    code, found, out = bench(*TINY, *without, "--only", "write-1")
    assert code == 0, out
    assert found["rows"][0]["figures"]["redis"]["rate"]["n"] == 2, out


@bare
def a_server_that_fails_makes_a_row_invalid_and_not_quick():
    needs_compiler()
    with tempfile.TemporaryDirectory(prefix="roster-test-") as build:
        fake = os.path.join(build, "rosterd")
        with open(fake, "w", encoding="ascii") as f:
            f.write("#!/bin/sh\necho no >&2\nexit 3\n")
        os.chmod(fake, 0o755)
        code, found, out = bench(*TINY, *ALONE, "--only", "write-1",
                                 build=build)
    assert code == 1 and not found["rows"][0]["valid"], out
    assert "ended with status 3" in found["rows"][0]["faults"][0], out


@bare
def an_interrupted_bench_leaves_nothing_behind():
    needs_compiler()
    with tempfile.TemporaryDirectory(prefix="roster-test-") as home:
        p = subprocess.Popen(
            [BENCH, "--build", BUILD, "--dir", home, "--ms", "60000", *ALONE,
             "--only", "write-1"], env=environment(),
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

        def servers():
            return of_directory(home, "rosterd") and of_directory(home, "load")
        until(servers, 30)
        p.send_signal(signal.SIGINT)
        assert p.wait(30) == 130
        assert not of_directory(home, ""), of_directory(home, "")
        assert not os.listdir(home), os.listdir(home)


def of_directory(home, program):
    """Processes whose command line names the directory."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as f:
                words = f.read().decode().split("\0")
        except OSError:
            continue
        if home in " ".join(words[1:]) + words[0] and program in words[0] and \
                "scripts/bench" not in " ".join(words[:3]):
            found.append((pid, words[0]))
    return found
