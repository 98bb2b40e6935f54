"""How it is measured: contestants in turn, several rounds, the order rotating;
figures are compared within a round, and the median of rounds is what counts."""
import contextlib
import hashlib
import json
import os
import re
import statistics
import subprocess

import bodies
import parts
import verdicts


JAVA_MS = 3000  # a Java program is warmed so long for short rows


def middle(values):
    """Median and range of what was measured; None when nothing was."""
    values = [v for v in values if v is not None]
    if not values:
        return None
    return {"median": statistics.median(values), "min": min(values),
            "max": max(values), "n": len(values)}


def comma(values):
    return ",".join(str(v) for v in values)


def refusal(answer):
    """Of an answer on one line, with blanks for the ends of lines: its status
    and its body, when there is one."""
    head, _, body = answer.partition(" " * 4)
    return f"{head[:40]} ... {body[:240]}" if body else head[:240]


class Bench:
    """One run: its place, its sizes, the servers that are up."""

    def __init__(self, place, options, versions):
        self.place, self.options, self.versions = place, options, versions
        self.servers = {}
        self.commands = {}      # as run, of each kind once
        self.warmed = set()     # servers, and what with

    # -- servers

    def have(self, name):
        return name in self.versions

    def up(self, name, make):
        """The server of that name, started when it is not up."""
        if name not in self.servers:
            self.servers[name] = make()
            self.commands.setdefault(name, " ".join(self.servers[name].argv))
        return self.servers[name]

    def down(self):
        for server in self.servers.values():
            server.stop()
        self.servers.clear()

    @contextlib.contextmanager
    def shorter(self, really=True, rounds=0):
        """Rows of which there are many: fewer rounds, each of them short."""
        o = self.options
        kept = o.rounds, o.ms, o.java_ms
        if really:
            o.rounds = min(o.rounds, max(o.many_rounds, rounds))
            o.ms, o.java_ms = min(o.ms, o.many_ms), min(o.java_ms, JAVA_MS)
        try:
            yield
        finally:
            o.rounds, o.ms, o.java_ms = kept

    # -- one measurement

    def load(self, server, request, *, connections=1, protocol="http",
             hello=None, n=0, rate=0, items=0, requests=0, ms=None, warm=None,
             start=None, at=None, during=None):
        """Runs the load client. `items`, `requests`: numbers start anew after
        so many; without `items` each number is used once, ever. `at`: which
        nodes of a cluster. `during`: called meanwhile; then the load ends."""
        hello = hello or server.hello
        if protocol == "http":
            request = bodies.signed(request, server.headers)
        argv = [self.place.load, "-a", comma(server.ports(at)), "-P", protocol,
                "-f", self.file(request), "-c", str(connections)]
        argv += ["-p", self.file(hello)] if hello else []
        argv += ["-W", *(["-C", server.ca] if server.ca else [])]
        if n:
            argv += ["-n", str(n)]
        else:
            argv += ["-t", str(ms or self.options.ms),
                     "-w", str(self.options.ms // 5 if warm is None else warm)]
        argv += ["-r", str(rate)] if rate else []
        argv += ["-m", str(items)] if items else []
        argv += ["-M", str(requests)] if requests else []
        first = server.items if start is None else start
        argv += ["-s", str(0 if items and start is None else first)]
        return self._run(server, argv, request, bool(items), during)

    def client(self, server, argv, during=None, ready=None):
        """Runs a client of the server: (exit status, output, errors). It waits,
        once it is connected, for `ready` to be called."""
        with subprocess.Popen(
                self.place.pinned(argv, self.place.load_cpu
                                  if server.pinned else None), text=True,
                stdin=subprocess.PIPE if ready else subprocess.DEVNULL,
                stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                preexec_fn=parts.die_with_parent) as process:
            try:
                if ready and process.stdout.readline():
                    ready()
                    process.stdin.write("begin\n")
                    process.stdin.flush()
                if during:
                    during()
                    process.terminate()
                out, err = process.communicate(timeout=900)
            except BaseException:
                process.kill()
                raise
        return process.returncode, out, err

    def _run(self, server, argv, request, repeats, during):
        before = []
        code, out, err = self.client(server, argv, during, lambda: before.append(
            server.cpu_us()))
        if code not in (0, 3):
            return {"faults": [f"the load client: {err.strip()}"]}
        sample = json.loads(out)
        cpu = server.cpu_us() - before[0]
        sample["cpu_us"] = cpu / max(sample["answers"], 1)
        sample["command"] = " ".join(argv)
        sample["faults"] = []
        if sample["refused"] or sample["broken"]:
            sample["faults"].append(
                f"{sample['refused']} refused, {sample['broken']} broken: "
                f"{refusal(sample['first_refused'])}")
        if not sample["counted"]:
            sample["faults"].append("nothing was answered in time")
        if not repeats:
            per_request = max(1, request.count(b"@" * 12))
            server.items += per_request * (sample["answers"] + sample["broken"]
                                           + 1)
        server.acknowledged += sample["acknowledged"]
        return sample

    def warm_java(self, server, kind, request, **more):
        """A Java program is several times as fast after some seconds, of each
        kind of request."""
        if (server, kind) in self.warmed:
            return
        self.warmed.add((server, kind))
        self.load(server, request, connections=64, protocol="zookeeper",
                  hello=bodies.ZOOKEEPER_HELLO, ms=self.options.java_ms,
                  warm=0, **more)

    def wrk(self, server, path, headers=()):
        """The same by wrk, for reads over HTTP."""
        seconds = max(1, round(self.options.ms / 1000))
        argv = [parts.find("wrk"), "-t1", "-c64", f"-d{seconds}", "--latency"]
        for header in headers:
            argv += ["-H", header]
        argv.append(f"http://127.0.0.1:{server.port}{path}")
        before = server.cpu_us()
        done = subprocess.run(
            self.place.pinned(argv, self.place.load_cpu), text=True,
            capture_output=True, timeout=60, preexec_fn=parts.die_with_parent)
        cpu = server.cpu_us() - before
        found = re.search(r"(\d+) requests in", done.stdout)
        n = int(found[1]) if found else 0
        sample = {"counted": n, "answers": n, "cpu_us": cpu / max(n, 1),
                  "command": " ".join(argv), "faults": []}
        found = re.search(r"Requests/sec:\s+([\d.]+)", done.stdout)
        sample["rate"] = float(found[1]) if found else None
        for q in (50, 90, 99):
            found = re.search(rf"^\s+{q}%\s+([\d.]+)(us|ms|s)$", done.stdout,
                              re.M)
            unit = {"us": 1, "ms": 1e3, "s": 1e6}
            sample[f"p{q}_us"] = (float(found[1]) * unit[found[2]]
                                  if found else None)
        for bad in re.findall(r"^\s*(Non-2xx.*|Socket errors.*)$", done.stdout,
                              re.M):
            # wrk takes 304 for an error.
            if "If-None-Match" not in " ".join(headers):
                sample["faults"].append("wrk: " + bad)
        return sample

    def file(self, data):
        name = "request-" + hashlib.sha256(data).hexdigest()[:16]
        full = os.path.join(self.place.home, name)
        return full if os.path.exists(full) else self.place.file(name, data)

    # -- rounds

    def rounds(self, contestants, n=None, warm=True):
        """Each contestant once a round, after a round that does not count.
        contestants: {name: function that gives a sample}."""
        names = list(contestants)
        taken = []
        for i in range(-1 if warm else 0, n or self.options.rounds):
            turn = i % len(names)
            order = names[turn:] + names[:turn]
            samples = {}
            for name in order:
                samples[name] = contestants[name]()
            if i >= 0:
                taken.append({"order": order, "samples": samples})
        return taken


class Row:
    """One line of the report: rounds, what they say, and bounds."""

    def __init__(self, name, title):
        self.name, self.title = name, title
        self.rounds, self.faults, self.bounds, self.notes = [], [], [], []
        self.figures = {}       # contestant -> figure -> median and range
        self.curves = []        # figures by a size: draw()
        self.seconds = None     # that it took, with what it was set up for
        self.counts = True      # the run counts (8.19 of the contract: bare)

    def take(self, rounds, figures=("rate", "p50_us", "p99_us", "cpu_us")):
        self.rounds = rounds
        names = rounds[0]["samples"] if rounds else {}
        for name in names:
            self.figures[name] = {
                f: middle([r["samples"].get(name, {}).get(f)
                           for r in rounds])
                for f in figures}
        for r in rounds:
            for name, sample in r["samples"].items():
                self.faults += [f"{name}: {f}" for f in sample["faults"]
                                if f"{name}: {f}" not in self.faults]
        return self

    def ratio(self, figure, one, other):
        """One to other, round by round; None when either was not measured."""
        ratios = []
        for r in self.rounds:
            a, b = (r["samples"].get(n, {}).get(figure) for n in (one, other))
            if a is not None and b:
                ratios.append(a / b)
        return middle(ratios)

    def refuse(self, fault):
        """What was found out after the bounds were judged."""
        self.faults.append(fault)
        for bound in self.bounds:
            bound["verdict"] = bound["verdict"] and "invalid"

    def bound(self, text, value, holds):
        """`value`: a middle() or None: not measured. `holds`: of its median."""
        verdict = "not measured"
        if value is not None and self.faults:
            verdict = "invalid"
        elif value is not None and not self.counts:
            verdict = "does not count"
        elif value is not None:
            verdict = "met" if holds(value["median"]) else "not met"
        self.bounds.append({"text": text, "value": value, "verdict": verdict})

    def versus(self, figure, one, other, text, holds):
        self.bound(text, self.ratio(figure, one, other), holds)

    def inform(self, figure, one, other):
        """A ratio that nothing is promised about."""
        value = self.ratio(figure, one, other)
        if value:
            self.bounds.append({"text": f"{figure}: {one} / {other}",
                                "value": value, "verdict": ""})

    def draw(self, line, x, names, figures, judged=False):
        """names: {size: contestant}. `judged`: it is to be flat."""
        self.curves.append({"line": line, "x": x, "judged": judged, "figures": {
            f: [[size, self.figures[name][f]["median"]]
                for size, name in names.items() if self.figures[name].get(f)]
            for f in figures}})

    def judge_curves(self, figure, kinds):
        for curve in filter(lambda c: c["judged"], self.curves):
            points = verdicts.costs(figure, curve["figures"][figure])
            kind, ratio = verdicts.growth(points)
            self.bound(f"{curve['line']}, by {figure}: "
                       f"{verdicts.worded(points)} (may be "
                       f"{' or '.join(kinds)})",
                       kind and middle([ratio]), lambda _, k=kind: k in kinds)

    def as_json(self):
        return {"row": self.name, "title": self.title,
                "seconds": self.seconds,
                "valid": not self.faults, "counts": self.counts,
                "faults": self.faults, "notes": self.notes,
                "figures": self.figures, "bounds": self.bounds,
                "curves": self.curves, "rounds": self.rounds}
