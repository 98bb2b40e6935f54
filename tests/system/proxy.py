"""A network between nodes that can be broken while they talk.

Each ordered pair (i, j) has a port: the one under which i is told to find j.
What arrives there is passed on to the port where j really listens. Rules are
about hosts, not connections: "what a sends does not reach b" holds for the
connections that a opened to b as for those that b opened to a.

    net = Net({"n1": 21001, "n2": 21002, "n3": 21003})
    net.port("n1", "n2")                 # n1 is told that n2 is here
    net.hole("n1", "n2")                 # one way: what n1 sends is not there
    net.split(["n1"], ["n2", "n3"])      # a partition
    net.heal()

A hole loses nothing of a connection that survives it: as with TCP, what was
sent comes late, when it is healed. While nobody listens where j should, the
ports of j refuse, as the real one does. The proxy is a process of its own; it
dies with the one who made it."""
import collections
import errno
import multiprocessing
import os
import random
import select
import signal
import socket
import struct
import threading
import time

from harness import die_with_parent, free_ports

CHUNK = 64 << 10
QUEUED_MOST = 256 << 10   # then the sender is not read any more
TICK_S = 0.025
EVERY_WAY = "*"


class Net:
    """The door: what tests call. Any thread."""

    def __init__(self, targets):
        """targets: name -> port on this machine."""
        self.names = list(targets)
        pairs = [(i, j) for i in targets for j in targets if i != j]
        self.ports = dict(zip(pairs, free_ports(len(pairs))))
        self.lock = threading.Lock()
        self.pipe, theirs = multiprocessing.Pipe()
        fork = multiprocessing.get_context("fork")
        self.process = fork.Process(target=_serve, args=(
            theirs, self.pipe, self.ports, dict(targets)))
        self.process.start()
        theirs.close()
        self._ask("status")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        with self.lock:
            self.pipe.close()
        self.process.join(5)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()

    def _ask(self, verb, *args):
        with self.lock:
            self.pipe.send((verb, args))
            kind, value = self.pipe.recv()
        if kind != "ok":
            raise ValueError(value)
        return value

    def port(self, i, j):
        return self.ports[i, j]

    def cut(self, a, b):
        """Connections between them are reset, new ones refused."""
        self._ask("cut", a, b)

    def hole(self, a, b):
        """What a sends does not reach b (the other way is not touched)."""
        self._ask("rule", a, b, {"hole": True})

    def delay(self, a, b, ms, jitter_ms=0):
        """What a sends reaches b so much later, still in order."""
        self._ask("rule", a, b, {"delay": ms / 1000, "jitter": jitter_ms / 1000})

    def throttle(self, a, b, bytes_per_s):
        """No more of what a sends reaches b in a second."""
        self._ask("rule", a, b, {"rate": bytes_per_s})

    def half_open(self, a, b):
        """b has forgotten its connections with a; a is not told. Its bytes go
        nowhere until heal, which resets them. New connections work."""
        self._ask("half_open", a, b)

    def reset(self, a=EVERY_WAY, b=EVERY_WAY):
        """Connections between them are reset; new ones work."""
        self._ask("reset", a, b)

    def heal(self, a=EVERY_WAY, b=EVERY_WAY):
        """All rules between them end, in both directions."""
        self._ask("heal", a, b)

    def split(self, *groups, how="hole"):
        """Names in different groups reach each other no more; how: hole | cut."""
        group = {name: i for i, g in enumerate(groups) for name in g}
        for a, b in self.ports:
            if a in group and b in group and group[a] != group[b]:
                (self.cut if how == "cut" else self.hole)(a, b)

    def status(self):
        """{(i, j): {"connections", "listening", "bytes"}} of each port; bytes are
        those that i sent to j, on whatever connection."""
        return self._ask("status")


# ---- the process ------------------------------------------------------------

class Way:
    """What happens to all that one host sends to another."""

    def __init__(self):
        self.bytes = 0
        self.heal()

    def heal(self):
        self.hole = False
        self.delay = self.jitter = self.rate = 0
        self.free_at = 0        # when the throttled line has sent what it has

    def due(self, size):
        now = time.monotonic()
        due = now + self.delay + random.random() * self.jitter
        if self.rate:
            self.free_at = max(self.free_at, now) + size / self.rate
            due = max(due, self.free_at)
        return due


class Flow:
    """One direction of a connection."""

    def __init__(self, way, source, sink):
        self.way, self.source, self.sink = way, source, sink
        self.queue = collections.deque()     # [due, bytes]
        self.size = 0
        self.ended = False                   # the source said so
        self.done = False                    # the sink was told

    def wants(self):
        return not (self.ended or self.way.hole or self.size > QUEUED_MOST)

    def may_send(self, now):
        return bool(self.queue) and not self.way.hole and \
            self.queue[0][0] <= now


class Link:
    """One connection: `near` was accepted, `far` leads to the target."""

    def __init__(self, pair, near, ways):
        self.pair, self.near, self.far = pair, near, None
        self.connecting = False
        self.deaf = False       # one end is left, not told that the other is gone
        self.out = Flow(ways[pair], near, None)
        self.back = Flow(ways[pair[::-1]], None, near)

    def sockets(self):
        return [s for s in (self.near, self.far) if s]

    def flows(self):
        return (self.out, self.back)


def _concerns(pair, a, b):
    return {a, b} - {EVERY_WAY} <= set(pair)


def _reset(sock):
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def _listening_ports():
    """Of this network namespace. Listeners stand first in the kernel's table."""
    ports = set()
    with open("/proc/net/tcp", encoding="ascii") as f:
        next(f)
        for line in f:
            words = line.split(None, 4)
            if words[3] != "0A":
                break
            ports.add(int(words[1].rpartition(":")[2], 16))
    return ports


def _hung_up(sock):
    poll = select.poll()
    poll.register(sock, select.POLLRDHUP)
    return bool(poll.poll(0))


class Switch:
    def __init__(self, pipe, ports, targets):
        self.pipe, self.ports, self.targets = pipe, ports, targets
        self.ways = {pair: Way() for pair in ports}
        self.cuts = set()                    # frozenset of two names
        self.poll = select.epoll()
        self.poll.register(pipe.fileno(), select.EPOLLIN)
        self.listeners = {}                  # pair -> socket
        self.by_fd = {}                      # fd -> pair (listener) or Link
        self.interest = {}                   # fd -> events asked for
        self.links = set()
        self.closed = False                  # something was, by these events

    # -- listening

    def listen_as_targets_do(self):
        there = _listening_ports()
        for pair in self.ports:
            wanted = self.targets[pair[1]] in there and \
                frozenset(pair) not in self.cuts
            if wanted and pair not in self.listeners:
                self.listen(pair)
            elif not wanted and pair in self.listeners:
                self.closed = True
                sock = self.listeners.pop(pair)
                del self.by_fd[sock.fileno()]
                self.poll.unregister(sock)
                sock.close()

    def listen(self, pair):
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("127.0.0.1", self.ports[pair]))
        sock.listen(64)
        sock.setblocking(False)
        self.listeners[pair] = sock
        self.by_fd[sock.fileno()] = pair
        self.poll.register(sock, select.EPOLLIN)

    def accept(self, pair):
        try:
            near, _ = self.listeners[pair].accept()
        except OSError:
            return
        near.setblocking(False)
        near.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        link = Link(pair, near, self.ways)
        self.links.add(link)
        self.by_fd[near.fileno()] = link
        self.dial(link)
        self.watch(link)

    def dial(self, link):
        """Not while its first packet would be lost."""
        if link.out.way.hole:
            return
        far = socket.socket()
        far.setblocking(False)
        far.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        link.far = link.out.sink = link.back.source = far
        link.connecting = True
        self.by_fd[far.fileno()] = link
        code = far.connect_ex(("127.0.0.1", self.targets[link.pair[1]]))
        if code not in (0, errno.EINPROGRESS):
            self.drop(link)

    # -- passing on

    def watch(self, link):
        """Ask the kernel for what this link waits for now."""
        now = time.monotonic()
        want = {s: 0 for s in link.sockets()}
        if link.connecting:
            want[link.far] = select.EPOLLOUT
        for flow in link.flows():
            if flow.source and flow.wants() and not (
                    link.connecting and flow.source is link.far):
                want[flow.source] |= select.EPOLLIN
            if flow.sink and not link.connecting and flow.may_send(now):
                want[flow.sink] |= select.EPOLLOUT
        for sock, events in want.items():
            self.ask(sock, events)

    def ask(self, sock, events):
        fd = sock.fileno()
        had = self.interest.get(fd, 0)
        if events == had:
            return
        if not had:
            self.poll.register(fd, events)
        elif events:
            self.poll.modify(fd, events)
        else:
            self.poll.unregister(fd)
        if events:
            self.interest[fd] = events
        else:
            del self.interest[fd]

    def forget(self, sock):
        self.ask(sock, 0)
        del self.by_fd[sock.fileno()]

    def drop(self, link, but=None):
        """The end of a link: both ends are reset, but one that is not told."""
        self.closed = True
        for sock in link.sockets():
            if sock is not but:
                self.forget(sock)
                _reset(sock)
        if but is None:
            self.links.discard(link)

    def happened(self, link, fd=-1, events=0):
        if link.connecting and fd == link.far.fileno():
            if link.far.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                self.listen_as_targets_do()
                self.drop(link)
                return
            link.connecting = False
        for flow in link.flows():
            if flow.source and fd == flow.source.fileno() and flow.wants() and \
                    events & ~select.EPOLLOUT:
                self.read(link, flow)
            self.write(link, flow)
            if link not in self.links:
                return
        if all(flow.done for flow in link.flows()):
            self.drop(link)
        else:
            self.watch(link)

    def read(self, link, flow):
        try:
            data = flow.source.recv(CHUNK if not flow.way.rate else 4096)
        except BlockingIOError:
            return
        except OSError:
            self.broken(link, flow.source)
            return
        if not data and flow.source is link.far:
            self.listen_as_targets_do()      # before the other one dials again
        if link.deaf:
            if not data:
                self.drop(link)
            return
        if not data:
            flow.ended = True
            return
        flow.way.bytes += len(data)
        due = flow.way.due(len(data))
        if flow.queue:
            due = max(due, flow.queue[-1][0])
        flow.queue.append([due, data])
        flow.size += len(data)

    def write(self, link, flow):
        if link.connecting or not flow.sink:
            return
        try:
            self.send_due(flow)
            if flow.ended and not (flow.queue or flow.done or flow.way.hole):
                flow.done = True
                flow.sink.shutdown(socket.SHUT_WR)
        except BlockingIOError:
            pass
        except OSError:
            self.broken(link, flow.sink)

    def send_due(self, flow):
        now = time.monotonic()
        while flow.may_send(now):
            data = flow.queue[0][1]
            sent = flow.sink.send(data)
            flow.size -= sent
            if sent < len(data):
                flow.queue[0][1] = data[sent:]
                return
            flow.queue.popleft()

    def broken(self, link, sock):
        """One end has reset it. The news travels as the bytes of that end do."""
        far = sock is link.far
        if far:
            self.listen_as_targets_do()
        news, other = (link.back, link.near) if far else (link.out, link.far)
        if news.way.hole and other and not link.deaf:
            self.make_deaf(link, other)
        else:
            self.drop(link)

    def make_deaf(self, link, end):
        """From now on what this end sends is read and goes nowhere."""
        self.drop(link, but=end)
        link.deaf, link.connecting = True, False
        link.near, link.far = (end, None) if end is link.near else (None, end)
        for flow in link.flows():
            flow.queue.clear()
            flow.size = 0
            flow.sink = None
            if flow.source is not end:
                flow.source = None
        self.watch(link)

    # -- commands

    def between(self, a, b):
        for link in list(self.links):
            if _concerns(link.pair, a, b):
                yield link

    def do_rule(self, a, b, rule):
        way = self.ways[a, b]
        for name, value in rule.items():
            setattr(way, name, value)
        for link in self.between(a, b):
            self.watch(link)

    def do_cut(self, a, b):
        self.cuts.add(frozenset((a, b)))
        self.listen_as_targets_do()
        self.do_reset(a, b)

    def do_reset(self, a, b):
        for link in self.between(a, b):
            self.drop(link)

    def do_half_open(self, a, b):
        for link in self.between(a, b):
            end = link.near if link.pair[0] == a else link.far
            if end and not link.deaf:
                self.make_deaf(link, end)

    def do_heal(self, a, b):
        self.cuts = {c for c in self.cuts if not _concerns(c, a, b)}
        for pair, way in self.ways.items():
            if _concerns(pair, a, b):
                way.heal()
        self.listen_as_targets_do()
        for link in self.between(a, b):
            self.revive(link)

    def revive(self, link):
        if link.deaf or (not link.far and _hung_up(link.near)):
            self.drop(link)
            return
        if not link.far:
            self.dial(link)
        if link in self.links:
            self.happened(link)

    def do_status(self):
        n = collections.Counter(link.pair for link in self.links)
        return {pair: {"connections": n[pair], "bytes": self.ways[pair].bytes,
                       "listening": pair in self.listeners}
                for pair in self.ports}

    def command(self):
        verb, args = self.pipe.recv()
        try:
            self.pipe.send(("ok", getattr(self, "do_" + verb)(*args)))
        except (AttributeError, KeyError) as e:
            self.pipe.send(("fault", repr(e)))

    # -- the loop

    def next_due(self, now):
        """Seconds until something that is delayed has to go on."""
        left = TICK_S
        for link in self.links:
            for flow in link.flows():
                if flow.queue and not flow.way.hole and flow.queue[0][0] > now:
                    left = min(left, flow.queue[0][0] - now)
        return left

    def run(self):
        tick = 0
        while True:
            now = time.monotonic()
            if now >= tick:
                self.listen_as_targets_do()
                tick = now + TICK_S
            self.events(self.poll.poll(self.next_due(now)))
            now = time.monotonic()
            for link in list(self.links):
                if link in self.links and not link.connecting and \
                        any(flow.may_send(now) for flow in link.flows()):
                    self.happened(link)

    def events(self, events):
        """Only to the first that closes something: its number may be another's
        by then, and what is left comes again."""
        self.closed = False
        for fd, what in events:
            owner = self.by_fd.get(fd)
            if fd == self.pipe.fileno():
                self.command()
            elif isinstance(owner, tuple):
                self.accept(owner)
            elif owner:
                self.happened(owner, fd, what)
            if self.closed:
                return


def _serve(pipe, theirs, ports, targets):
    die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    theirs.close()
    try:
        Switch(pipe, ports, targets).run()
    except (EOFError, BrokenPipeError):
        os._exit(0)
