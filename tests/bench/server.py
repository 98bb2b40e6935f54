"""What all servers under measurement have in common: a port, a pid, what they
cost, and how clients come in."""
import http.client
import json
import os
import signal
import socket
import time

import parts
import ways


class Server:
    name = "?"
    port = 0
    pinned = True   # to the servers' processor
    way = ways.PLAIN
    headers = ()    # of requests under measurement: who asks
    admin = ()      # of those that set up and count
    hello = None    # the first bytes of a connection under measurement

    def __init__(self, place):
        self.place = place
        self.data = place.directory(self.name)
        self.log = os.path.join(self.data, "log")
        self.process = None
        self.items = 0          # names given out, each once
        self.acknowledged = 0   # additions the server has said yes to
        self.argv = []
        self.start()

    def start(self):
        self.launch()
        self.wait_ready()
        self.let_in()

    def let_in(self):
        """Makes those who will ask, where it is looked at who asks."""

    @property
    def ca(self):
        return ways.ca() if self.way.tls else None

    def certificate(self):
        return ways.certificate("n1")

    def launch(self):
        self.port = self.port or self.place.port()
        self.argv = self.command()
        self.process = self.place.start(
            self.argv, cwd=self.data, log=self.log,
            cpu=self.place.server_cpu if self.pinned else None)

    def command(self):
        raise NotImplementedError

    def wait_ready(self, seconds=600):
        end = time.monotonic() + seconds
        while not self.ready():
            ended = self.process.poll()
            if ended is not None:
                raise parts.Fault(f"{self.name} ended with status {ended}\n"
                                  f"{self.log_tail()}")
            if time.monotonic() > end:
                raise parts.Fault(f"{self.name} is not ready after {seconds} s"
                                  f"\n{self.log_tail()}")
            time.sleep(0.002)

    def ready(self):
        try:
            self.socket(1).close()
            return True
        except OSError:
            return False

    def socket(self, seconds=20):
        plain = socket.create_connection(("127.0.0.1", self.port), seconds)
        if not self.way.tls:
            return plain
        return ways.context().wrap_socket(plain, server_hostname="localhost")

    def connection(self, seconds):
        if self.way.tls:
            return http.client.HTTPSConnection(
                "127.0.0.1", self.port, timeout=seconds,
                context=ways.context())
        return http.client.HTTPConnection("127.0.0.1", self.port,
                                          timeout=seconds)

    def ports(self, at=None):
        """Of one server there is one, whoever is asked for."""
        del at
        return [self.port]

    def log_tail(self):
        with open(self.log, encoding="utf-8", errors="replace") as f:
            return "".join(f.readlines()[-8:])

    def stop(self, how=signal.SIGKILL):
        self.place.end(self.process, how)

    def cpu_us(self):
        return parts.cpu_us(self.process.pid)

    def memory(self):
        return parts.memory(self.process.pid)

    def call(self, method, path, body=None, want=(200, 201, 204)):
        """One HTTP request, for setting up and counting."""
        data = self.ask_http(method, path, body, want)
        return json.loads(data) if data else None

    def ask_once(self, method, path, body):
        c = self.connection(120)
        c.request(method, path, None if body is None else json.dumps(body),
                  dict(line.split(": ", 1) for line in self.admin))
        r = c.getresponse()
        data = r.read()
        c.close()
        return r.status, data

    def ask_http(self, method, path, body=None, want=(200,)):
        end = time.monotonic() + 10
        status, data = self.ask_once(method, path, body)
        while (status == 503 and method != "GET" and
               time.monotonic() < end):
            # Nothing was done: a cluster that is new has no leader yet, or no
            # roles before all of its nodes are known to know them.
            time.sleep(0.1)
            status, data = self.ask_once(method, path, body)
        if status not in want:
            raise parts.Fault(f"{self.name}: {method} {path}: {status} "
                              f"{data[:300]!r}")
        return data
