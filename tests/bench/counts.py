"""Counts the instructions of single operations, and compares them with those in
counts.json. They hardly depend on how busy the machine is, so a test may
judge them where a rate could only be looked at."""
import argparse
import contextlib
import json
import os
import re
import resource
import shutil
import sys
import tempfile
import time

import count_server
import count_work
import parts

sys.path.append(os.path.join(parts.REPOSITORY, "tests", "system"))
import certs  # noqa: E402  pylint: disable=wrong-import-position

KEPT = os.path.join(parts.HERE, "counts.json")
WINDOWS = 3         # the least of so many counts
SKIPPED = 77        # exit status: nothing could be compared


def arguments(argv):
    p = argparse.ArgumentParser(
        prog="scripts/counts", description=__doc__,
        epilog="Exit status 1 when an operation needs more than counts.json "
        "and its margin say, 77 when there is nothing to compare with here.")
    p.add_argument("--build", metavar="DIR", default="build",
                   help="whose rosterd (default: build); as optimized as "
                   "meson does it by default")
    p.add_argument("--only", metavar="REGEX", default="",
                   help="operations whose whole name matches")
    p.add_argument("--list", action="store_true", help="the operations")
    p.add_argument("--update", action="store_true",
                   help="write what was counted to counts.json")
    p.add_argument("--profiles", metavar="DIR", help="keep the profiles, for "
                   "callgrind_annotate, in this directory")
    return p.parse_args(argv)


# ---- counting ----

def server_flags(kind):
    """(flags, context of clients) of a kind of server."""
    if kind == "tls":
        ca = certs.common()
        cert, key = ca.node("n1")
        return ["--tls-cert", cert, "--tls-key", key, "--tls-ca",
                ca.ca], ca.context()
    return ["--access"] if kind == "access" else [], None


def measure(server, prepare):
    """Instructions of one operation: the least of some counts, for what chance
    does to a count it adds."""
    once, done = prepare(server), 0

    def several():
        nonlocal done
        for _ in range(prepare.n):
            once(done)
            done += 1
    several()
    server.watch_idle()
    counts = [n / prepare.n / prepare.per
              for n in server.count(several, WINDOWS)]
    return min(counts), max(counts)


def count_all(home, build, names, profiles):
    """Yields (name, least, most) of these operations."""
    kinds = dict.fromkeys(count_work.OPERATIONS[n].server for n in names)
    for kind in kinds:
        server = count_server.Counted(home, build, kind, *server_flags(kind))
        with contextlib.closing(server):
            for name in names:
                prepare = count_work.OPERATIONS[name]
                if prepare.server == kind:
                    yield name, *measure(server, prepare)
                    if profiles:
                        shutil.copy(server.profile,
                                    os.path.join(profiles, name))


# ---- judging ----

def judge(now, kept, margin):
    """(verdict, what to say) about a count and the one it is compared with."""
    if kept is None:
        return "new", "is not in counts.json: commit it, with --update"
    change = now / kept - 1
    text = f"{abs(change):.1%} {'more' if change > 0 else 'less'} than {kept:,}"
    if change > margin:
        return "worse", f"{text}; {margin:.0%} is allowed"
    if change < -margin:
        return "better", f"{text}: commit the new figure, with --update"
    return "same", text


def why_incomparable(kept, compiler):
    """Other compilers make other instructions."""
    if kept.get("compiler") != compiler:
        return f"counts.json is of {kept.get('compiler')}, this is {compiler}"
    return None


def compiler_of(build):
    """What made rosterd, and how."""
    with open(os.path.join(build, "rosterd"), "rb") as f:
        program = f.read()
    found = (re.search(rb"(clang) version (\d+\.\d+)", program) or
             re.search(rb"(GCC): \([^)]*\) (\d+\.\d+)", program))
    name = b" ".join(found.groups()).decode().lower() if found else "unknown"
    with open(os.path.join(build, "meson-info", "intro-buildoptions.json"),
              encoding="utf-8") as f:
        options = {o["name"]: o["value"] for o in json.load(f)}
    more = [f"{o}={options[o]}" for o in ("b_sanitize", "b_coverage", "b_lto")
            if options.get(o) not in (None, "none", False)]
    return " ".join([name, f"-O{options['optimization']}", *more,
                     os.uname().machine])


def read_kept():
    with open(KEPT, encoding="utf-8") as f:
        return json.load(f)


def write_kept(compiler, counts):
    lines = ",\n".join(f"    {json.dumps(name)}: {count}"
                       for name, count in counts.items())
    with open(KEPT, "w", encoding="utf-8") as f:
        f.write('{\n  "compiler": ' + json.dumps(compiler) +
                ',\n  "instructions": {\n' + lines + "\n  }\n}\n")


# ---- the run ----

def run(options):
    kept, compiler = read_kept(), compiler_of(options.build)
    why = why_incomparable(kept, compiler)
    if why and not options.update:
        print(why)
        return SKIPPED
    if options.profiles:
        os.makedirs(options.profiles, exist_ok=True)
    names = [n for n in count_work.OPERATIONS
             if re.fullmatch(options.only or ".*", n)]
    old, counts, worse = kept["instructions"], {}, 0
    if why:
        old = {}
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="roster-counts-") as home:
        for name, least, most in count_all(home, options.build, names,
                                           options.profiles):
            margin = count_work.OPERATIONS[name].margin
            counts[name] = round(least)
            verdict, text = judge(counts[name], old.get(name), margin)
            worse += verdict == "worse"
            print(f"{name:18} {counts[name]:>10,} (to {most:,.0f})  {verdict}: "
                  f"{text}", flush=True)
    print(f"{len(counts)} operations, {worse} worse, "
          f"{time.monotonic() - began:.0f} s")
    if options.update:
        merged = {n: counts.get(n, old.get(n)) for n in count_work.OPERATIONS}
        write_kept(compiler, {n: c for n, c in merged.items() if c})
        return 0
    return 1 if worse else 0


def main(argv):
    options = arguments(argv)
    if options.list:
        for name, prepare in count_work.OPERATIONS.items():
            print(f"{name:18} {prepare.__doc__}")
        return 0
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        return run(options)
    except parts.Missing as e:
        print(e)
        return SKIPPED
    except (parts.Fault, OSError) as e:
        print(f"scripts/counts: {e}", file=sys.stderr)
        return 1
