"""What an ordinary client notices of attacks (tests/system/attacks.py), and what
they cost the server's memory. The attack has the processor of the load to
itself and to that client, which goes before it."""
import json
import os
import subprocess
import sys
import time

import parts
import servers
import ways
from method import Row, middle

sys.path.append(os.path.join(parts.REPOSITORY, "tests", "system"))
import attacks  # noqa: E402  pylint: disable=wrong-import-position

ROWS = {f"attack.{name}": f"{f.__doc__}: what others notice"
        for name, f in attacks.ATTACKS.items()}
MOST = 2        # times the latency of calm
LEAF = "/v1/ns/attacked.roster/thing"
# Requests that each have to be understood: what a limit for an address is for.
LIMITED = ("bombs", "paths", "json-bombs", "regexes")
LIMIT = ("--rate-address", "1000")


class Guarded(servers.Roster):
    """With TLS, or access control, as an attack needs it."""

    def __init__(self, place, build, need, more=()):
        self.need, self.token = need, None
        super().__init__(place, build, f"roster {need or 'plain'}", more,
                         ways.Way(tls=need == "tls",
                                  access=bool(need) and need != "tls"))

    def fill(self):
        self.leaf("attacked")
        self.call("POST", LEAF, [{"name": f"r{i}", "x": "a" * 60 + "!"}
                                 for i in range(200)])
        self.call("PUT", LEAF + "/r", {"x": "y" * 200})
        if self.need in ("access", "reader"):
            self.call("PUT", "/v1/users/ann", {"password": "correct horse"})
        if self.need == "reader":
            self.token = self.call("POST", "/v1/tokens", {
                "name": "eve", "roles": ["reader"]})["token"]


def victim(bench, server):
    argv = [sys.executable, os.path.join(parts.HERE, "victim.py"),
            str(server.port), LEAF, str(bench.options.ms)]
    argv += ["--tls", server.ca] if server.ca else []
    argv += ["--token", server.admin[0].split()[-1]] if server.admin else []
    done = subprocess.run(bench.place.pinned(argv, bench.place.load_cpu),
                          capture_output=True, text=True, timeout=300,
                          preexec_fn=parts.die_with_parent)
    if done.returncode:
        return {"faults": ["the client: " + done.stderr.strip()[-300:]]}
    found = json.loads(done.stdout)
    faults = [f"refused: {found['refused'][:5]}"] if found["refused"] else []
    return {"p50_us": found["reads"]["p50_us"], "p99_us": found["reads"]["p99_us"],
            "write_p50_us": found["writes"]["p50_us"],
            "write_p99_us": found["writes"]["p99_us"],
            "rss_anon": server.memory()["rss_anon"], "faults": faults}


def attacked(bench, server, name, told):
    with attacks.Attack(name, server.port, ca=server.ca, token=server.token,
                        cpu=bench.place.load_cpu) as attack:
        sample = victim(bench, server)
        if not attack.alive():
            sample["faults"].append("the attack ended early")
    told.append(attack.told)
    time.sleep(0.3)
    return sample


def judge(row, one, other):
    for figure, what in (("p50_us", "p50 of reads"), ("p99_us", "p99 of reads"),
                         ("write_p50_us", "p50 of writes"),
                         ("write_p99_us", "p99 of writes")):
        row.versus(figure, one, other, f"{what}: {one} / {other} (at most {MOST})",
                   lambda v: v <= MOST)


def measure(bench, row, name, server, limited):
    told = []
    go = {"calm": lambda: victim(bench, server),
          "attacked": lambda: attacked(bench, server, name, told)}
    if limited:
        go["limited"] = lambda: attacked(bench, limited, name, told)
    row.take(bench.rounds(go), ("p50_us", "p99_us", "write_p50_us",
                                "write_p99_us", "rss_anon"))
    judge(row, "attacked", "calm")
    if limited:
        judge(row, "limited", "calm")
        row.notes.append("limited: with " + " ".join(LIMIT))
    row.bounds.append({"text": "RssAnon afterwards", "verdict": "",
                       "value": middle([server.memory()["rss_anon"]])})
    row.notes.append(f"the last attack: {told[-1] if told else None}")


def group(bench, wants):
    for name in attacks.ATTACKS:
        if not wants(f"attack.{name}"):
            continue
        need = attacks.NEEDS.get(name)
        made = {"attacked": ()}
        if name in LIMITED:
            made["limited"] = LIMIT
        for kind, more in made.items():
            server = bench.up(kind, lambda n=need, m=more: Guarded(
                bench.place, bench.options.build, n, m))
            server.fill()
        row = Row(f"attack.{name}", ROWS[f"attack.{name}"])
        measure(bench, row, name, bench.servers["attacked"],
                bench.servers.get("limited"))
        bench.down()
        yield row
