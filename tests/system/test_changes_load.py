"""Many who wait, and one who does not read: nobody is forgotten, nobody else is
held up, and the node does not grow (BRIEF 4.4, P7)."""
import contextlib
import re
import resource
import select
import threading
import time

from changes import Ended, Reader, read_line
from harness import (FULL, PATIENCE, Server, bare, connect, make_list, make_ns,
                     memory_counts, path, say, test, until)

# Besides what is parked, the server's files and a client or two.
BESIDE = 500


def metric(s, name):
    found = re.search(rf"^{name} (\d+)", s.get("/metrics").must(200).body
                      .decode(), re.M)
    assert found, f"no metric {name}"
    return int(found[1])


def open_files(n):
    """As many files as that for this process and those it starts, or fewer."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = hard if hard != resource.RLIM_INFINITY else n + BESIDE
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, n + BESIDE), hard))
    return min(n, most - BESIDE)


class Crowd:
    """Who all ask the same and wait. One thread, one epoll."""

    def __init__(self, s, target, n):
        self.epoll, self.waiting, self.answers = select.epoll(), {}, []
        request = f"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
        for _ in range(n):
            sock = connect(s.port, 20)
            sock.sendall(request)
            self.waiting[sock.fileno()] = [sock, b""]
            self.epoll.register(sock, select.EPOLLIN)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for sock, _ in self.waiting.values():
            sock.close()
        self.epoll.close()

    def turn(self, seconds):
        """Reads what has come; True when something has."""
        ready = self.epoll.poll(seconds)
        for fd, _ in ready:
            one = self.waiting[fd]
            one[1] += one[0].recv(1 << 16) or b"(closed)"
            head, found, body = one[1].partition(b"\r\n\r\n")
            length = re.search(rb"content-length: (\d+)", head, re.I)
            if found and length and len(body) == int(length[1]) or \
                    one[1].endswith(b"(closed)"):
                self.answers.append((head.split(b" ")[1], body))
                self.epoll.unregister(fd)
                one[0].close()
                del self.waiting[fd]
        return bool(ready)

    def all_answered(self, seconds):
        end = time.monotonic() + seconds * PATIENCE
        while self.waiting:
            assert time.monotonic() < end, \
                f"{len(self.waiting)} are forgotten, {len(self.answers)} not"
            self.turn(1)
        return self.answers


@bare(alone=True, timeout=120)
def ten_thousand_who_wait_for_the_same_are_all_told():
    n = open_files(10_000 if memory_counts() else 1000)
    with Server("--max-connections", str(n + 200), "--max-watchers",
                str(n)) as s:
        target, other = make_list(s), make_list(s)
        at = s.post(target, {"name": "a"}).must(201).revision
        before = s.rss_anon_kib()
        with Crowd(s, f"{target}?since={at}&wait=5m", n) as crowd:
            until(lambda: metric(s, "roster_watch_polls") == n, 30)
            each = (s.rss_anon_kib() - before) / n
            for i in range(20):
                s.post(other, {"name": f"b{i}"}).must(201)
            assert not crowd.turn(1), f"woken for nothing: {crowd.answers[:2]}"
            # One more has no place, and is told so; reads go on.
            a = s.get(f"{target}?since={s.revision()}&wait=5m")
            a.problem(503)
            assert a.headers.get("retry-after"), a.headers
            s.get(target).must(200)
            s.put(target + "/a", {"name": "a", "v": "2"}).must(200)
            answers = crowd.all_answered(30)
        want = (b"200", s.get(target).must(200).body)
        odd = [a for a in answers if a != want]
        assert not odd, f"{len(odd)} of {n}: {odd[:2]}"
        say(f"{n} polls, {each:.1f} KiB each")
        if memory_counts():
            assert each <= 6, f"{each:.1f} KiB for a poll"
        until(lambda: metric(s, "roster_watch_polls") == 0, 10)


class Follower(threading.Thread):
    """Reads a stream as fast as it comes, and comes back when it is cut."""

    def __init__(self, s, ns, since):
        super().__init__(daemon=True)
        self.s, self.ns, self.last, self.told = s, ns, since, []
        self.goal, self.connections, self.wrong = None, 0, None

    def run(self):
        try:
            while self.goal is None or self.last < self.goal:
                with contextlib.suppress(Ended, TimeoutError):
                    self.connection()
        except BaseException as e:  # pylint: disable=broad-except
            self.wrong = e

    def open(self):
        return Reader(self.s.port, path("v1", "watch", ns=self.ns,
                                        since=self.last),
                      [("Accept", "application/x-ndjson")])

    def connection(self):
        self.connections += 1
        with contextlib.closing(self.open()) as r:
            assert r.status == 200, r.status
            while self.goal is None or self.last < self.goal:
                self.note(read_line(r.record(b"\n", 2)))

    def note(self, said):
        assert said.kind in ("change", "progress"), said
        if said.kind == "change":
            assert said.revision == self.last + 1, (said.revision, self.last)
            self.told.append(hash(said.text))
        self.last = said.revision


class Sluggard(Follower):
    """Reads a little, then nothing until it is told to go on."""

    def begin(self):
        self.r = self.open()
        assert self.r.status == 200

    def read_some(self, n):
        for _ in range(n):
            self.note(read_line(self.r.record(b"\n", 10)))

    def go_on(self, goal):
        """What is left in the connection, or all, if it was not cut; then the
        rest."""
        self.goal = goal
        with contextlib.closing(self.r), contextlib.suppress(Ended):
            while self.last < goal:
                self.note(read_line(self.r.record(b"\n", 20 * PATIENCE)))
        here, self.connections = self.last, 1
        self.run()
        if self.wrong:
            raise self.wrong
        return here


def write_many(s, target, n):
    """How much the node grew at most meanwhile, in KiB, and how long a thousand
    rows took at most."""
    row, before, most, longest = {"text": "x" * 800}, s.rss_anon_kib(), 0, 0
    for _ in range(n // 1000):
        began = time.monotonic()
        s.post(target, [row] * 1000).must(201)
        longest = max(longest, time.monotonic() - began)
        most = max(most, s.rss_anon_kib() - before)
    return most, longest


@test(alone=True, timeout=240, flags=("--cache", "4MiB"))
def one_who_does_not_read_costs_nothing_and_loses_nothing(s):
    n = 100_000 if FULL else 40_000 if memory_counts() else 5_000
    ns = make_ns(s)
    target, base = path("v1", "ns", ns, "thing"), s.revision()
    slow, gone, quick = (Sluggard(s, ns, base), Sluggard(s, ns, base),
                         Follower(s, ns, base))
    slow.begin()
    gone.begin()
    quick.start()
    write_many(s, target, 1000)
    slow.read_some(500)
    gone.read_some(300)
    most, longest = write_many(s, target, n - 1000)
    quick.goal = goal = s.revision()
    assert goal == base + n
    quick.join(60 * PATIENCE)
    assert not quick.is_alive() and not quick.wrong, (quick.last, quick.wrong)
    slow.go_on(goal)
    # One who takes nothing at all is not kept.
    until(lambda: metric(s, "roster_watch_streams") == 0, 60)
    here = gone.go_on(goal)
    assert here < goal, "it was buffered without bound"
    for one in (slow, gone):
        assert one.told == quick.told and len(one.told) == n
    say(f"{n} changes of 1 KB: one who read nothing was cut {here - base} "
        f"behind its begin, and came back; one who read all had "
        f"{quick.connections} connections; 1,000 rows took {longest:.2f} s at "
        "most")
    if memory_counts():
        with Server(*s.flags) as other:
            without, _ = write_many(other, make_list(other), n)
        say(f"the node grew by {most >> 10} MiB, an unwatched one by "
            f"{without >> 10} MiB")
        assert most < without + (16 << 10), f"{most} KiB, not {without}"
