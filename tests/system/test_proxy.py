"""The fault proxy of the cluster's tests: that it breaks what it is told to
break, and nothing else."""
import contextlib
import os
import socket
import threading
import time

from harness import PATIENCE, bare, free_ports, until
from proxy import Net

LONG = 10 * PATIENCE      # by then it has come
SHORT = 0.3               # so long nothing may come


class Host:
    """Listens, and keeps what arrives; it answers each byte with itself."""

    def __init__(self, port, echo=True):
        self.port, self.echo = port, echo
        self.sock = socket.create_server(("127.0.0.1", port))
        self.peers, self.got, self.ends = [], b"", 0
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                peer, _ = self.sock.accept()
                self.peers.append(peer)
                threading.Thread(target=self.read, args=(peer,),
                                 daemon=True).start()

    def read(self, peer):
        with contextlib.suppress(OSError):
            while data := peer.recv(1 << 16):
                self.got += data
                if self.echo:
                    peer.sendall(data)
            peer.shutdown(socket.SHUT_WR)
        self.ends += 1

    def close(self):
        self.sock.shutdown(socket.SHUT_RDWR)
        self.sock.close()
        for peer in self.peers:
            with contextlib.suppress(OSError):
                peer.shutdown(socket.SHUT_RDWR)
            peer.close()


@contextlib.contextmanager
def three(echo=True):
    names = ("a", "b", "c")
    hosts = {n: Host(p, echo) for n, p in zip(names, free_ports(3))}
    with Net({n: h.port for n, h in hosts.items()}) as net:
        try:
            yield net, hosts
        finally:
            for host in hosts.values():
                host.close()


def dial(net, i, j):
    return socket.create_connection(("127.0.0.1", net.port(i, j)), LONG)


def says(sock, data, seconds=LONG):
    """What comes back: all of `data`, or less when it is silent so long."""
    sock.settimeout(seconds)
    sock.sendall(data)
    return hears(sock, len(data), seconds)


def hears(sock, n, seconds=LONG):
    got = b""
    sock.settimeout(seconds)
    with contextlib.suppress(TimeoutError):
        while len(got) < n:
            data = sock.recv(n - len(got))
            if not data:
                break
            got += data
    return got


def is_reset(sock):
    sock.settimeout(LONG)
    try:
        return sock.recv(1) == b""
    except ConnectionResetError:
        return True


def refused(net, i, j):
    try:
        dial(net, i, j).close()
    except ConnectionRefusedError:
        return True
    return False


@bare
def bytes_pass_unchanged_in_both_directions():
    data = os.urandom(3 << 20)
    with three() as (net, hosts), dial(net, "a", "b") as sock:
        writer = threading.Thread(target=sock.sendall, args=(data,))
        writer.start()
        assert hears(sock, len(data)) == data
        writer.join()
        assert hosts["b"].got == data
        assert net.status()["a", "b"]["bytes"] == len(data)
        assert net.status()["b", "a"]["bytes"] == len(data)
        assert net.status()["a", "c"]["bytes"] == 0


@bare
def the_end_of_a_connection_is_passed_on():
    with three() as (net, hosts):
        with dial(net, "a", "b") as sock:
            assert says(sock, b"x") == b"x"
        until(lambda: hosts["b"].ends == 1)
        until(lambda: net.status()["a", "b"]["connections"] == 0)


@bare
def the_port_of_one_who_does_not_listen_refuses():
    with three() as (net, hosts):
        sock = dial(net, "a", "b")
        assert says(sock, b"x") == b"x"
        hosts["b"].close()
        assert is_reset(sock)
        assert refused(net, "a", "b"), "the port was open when the end came"
        assert refused(net, "c", "b") and not refused(net, "b", "c")
        hosts["b"] = Host(hosts["b"].port)
        until(lambda: not refused(net, "a", "b"))
        with dial(net, "a", "b") as again:
            assert says(again, b"y") == b"y"


@bare
def a_cut_resets_what_is_there_and_refuses_what_comes():
    with three() as (net, _), dial(net, "a", "b") as there, \
            dial(net, "b", "a") as back, dial(net, "a", "c") as other:
        for sock in (there, back, other):
            assert says(sock, b"x") == b"x"
        net.cut("a", "b")
        assert is_reset(there) and is_reset(back)
        assert refused(net, "a", "b") and refused(net, "b", "a")
        assert says(other, b"y") == b"y"
        net.heal()
        with dial(net, "a", "b") as again:
            assert says(again, b"z") == b"z"


@bare
def in_a_hole_one_way_only_that_way_is_silent():
    with three(echo=False) as (net, hosts), dial(net, "a", "b") as mine, \
            dial(net, "b", "a") as theirs:
        mine.sendall(b"1")
        theirs.sendall(b"2")
        until(lambda: hosts["b"].got == b"1" and hosts["a"].got == b"2")
        net.hole("a", "b")
        mine.sendall(b"lost")                 # a to b, a's connection
        hosts["a"].peers[0].sendall(b"lost")  # a to b, b's connection
        hosts["b"].peers[0].sendall(b"3")     # b to a
        theirs.sendall(b"4")
        assert hears(mine, 1) == b"3"
        until(lambda: hosts["a"].got == b"24")
        assert hears(theirs, 4, SHORT) == b"" and hosts["b"].got == b"1"
        net.heal()
        assert hears(theirs, 4) == b"lost"
        until(lambda: hosts["b"].got == b"1lost")


@bare
def through_a_hole_nobody_learns_that_a_connection_has_ended():
    with three(echo=False) as (net, hosts):
        mine = dial(net, "a", "b")
        mine.sendall(b"1")
        until(lambda: hosts["b"].got == b"1")
        net.hole("a", "b")
        mine.close()
        time.sleep(SHORT)
        assert hosts["b"].ends == 0
        net.heal()
        until(lambda: hosts["b"].ends == 1)


@bare
def who_dials_into_a_hole_is_not_heard_of():
    with three() as (net, hosts), dial(net, "a", "c") as other:
        net.hole("a", "b")
        with dial(net, "a", "b") as mine, dial(net, "a", "b") as gone:
            assert says(mine, b"x", SHORT) == b""
            gone.close()
            assert not hosts["b"].peers
            assert says(other, b"y") == b"y"
            net.heal("b")
            assert hears(mine, 1) == b"x"
            assert len(hosts["b"].peers) == 1, "one who gave up came late"


@bare
def a_partition_is_healed_as_a_whole():
    with three() as (net, _):
        pairs = [(i, j) for i in "abc" for j in "abc" if i != j]
        socks = {pair: dial(net, *pair) for pair in pairs}
        assert all(says(s, b"1") == b"1" for s in socks.values())
        net.split(["a"], ["b", "c"])
        for pair, sock in socks.items():
            want = b"" if "a" in pair else b"2"
            assert says(sock, b"2", SHORT if "a" in pair else LONG) == want
        net.heal()
        for pair, sock in socks.items():
            assert says(sock, b"3", LONG)[-1:] in (b"2", b"3")
        for sock in socks.values():
            sock.close()


@bare
def what_is_delayed_comes_late_whole_and_in_order():
    with three() as (net, _), dial(net, "a", "b") as sock:
        net.delay("a", "b", 150, jitter_ms=50)
        began = time.monotonic()
        data = b"".join(b"%d," % i for i in range(5000))
        for i in range(0, len(data), 1000):
            sock.sendall(data[i:i + 1000])
        assert hears(sock, len(data)) == data
        assert time.monotonic() - began >= 0.15
        net.heal()
        assert says(sock, b"x") == b"x"


@bare
def a_throttled_way_lets_no_more_through():
    with three(echo=False) as (net, hosts), dial(net, "a", "b") as sock:
        net.throttle("a", "b", 40_000)
        began = time.monotonic()
        sock.sendall(b"x" * 20_000)
        until(lambda: len(hosts["b"].got) == 20_000)
        assert time.monotonic() - began >= 0.45
        began = time.monotonic()
        hosts["b"].peers[0].sendall(b"y" * 1_000_000)
        assert len(hears(sock, 1_000_000)) == 1_000_000


@bare
def a_slow_receiver_does_not_fill_the_proxy():
    with three(echo=False) as (net, hosts), dial(net, "a", "b") as sock:
        net.delay("a", "b", 60_000)
        sock.settimeout(1)
        sent = 0
        with contextlib.suppress(TimeoutError):
            while sent < 64 << 20:
                sent += sock.send(b"x" * 65536)
        assert sent < 32 << 20, "it took everything"
        with dial(net, "c", "b") as other:
            other.sendall(b"y")
            until(lambda: hosts["b"].got == b"y")


@bare
def of_a_half_open_connection_only_one_end_is_left():
    with three() as (net, hosts), dial(net, "a", "b") as sock:
        assert says(sock, b"x") == b"x"
        net.half_open("a", "b")
        until(lambda: hosts["b"].ends == 1)
        assert says(sock, b"y", SHORT) == b"" and hosts["b"].got == b"x"
        with dial(net, "a", "b") as again:
            assert says(again, b"z") == b"z"
            net.heal()
            assert is_reset(sock)
            assert says(again, b"z") == b"z"


@bare
def a_reset_ends_connections_and_new_ones_work():
    with three() as (net, hosts), dial(net, "a", "b") as sock:
        assert says(sock, b"x") == b"x"
        net.reset()
        assert is_reset(sock)
        until(lambda: hosts["b"].ends == 1)
        with dial(net, "a", "b") as again:
            assert says(again, b"y") == b"y"


@bare
def an_unknown_name_is_an_error():
    with three() as (net, _):
        try:
            net.hole("a", "x")
        except ValueError:
            return
        raise AssertionError("accepted")
