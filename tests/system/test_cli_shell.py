"""The command line at a terminal: completion, progress, questions, widths."""
import fcntl
import json
import os
import pty
import re
import select
import struct
import subprocess
import termios
import threading
import time

from cli import good, lines_of, put, roster, scratch
from harness import (PATIENCE, binary, environment, fresh_name, make_list,
                     make_ns, path, shared)


def complete(s, *words, server=None):
    """What bash offers for the last word."""
    server = server or f"http://127.0.0.1:{s.port}"
    script = ('source <(roster completion bash); COMP_WORDS=("$@"); '
              'COMP_CWORD=$(($# - 1)); _roster; printf "%s\\n" '
              '"${COMPREPLY[@]}"')
    p = subprocess.run(
        ["bash", "-c", script, "bash", "roster", *words], capture_output=True,
        text=True, timeout=20 * PATIENCE, check=False, cwd=s.home,
        env=environment(ROSTER_SERVER=server, PATH=os.path.dirname(
            binary("roster")) + ":" + os.environ["PATH"]))
    assert p.returncode == 0 and not p.stderr, p
    return [x for x in p.stdout.splitlines() if x]


@shared
def bash_completes_verbs_options_namespaces_and_types(s):
    top = fresh_name("comp")
    make_ns(s, name=top, kind="branch")
    ns = make_ns(s, name="web", parent=f"{top}.roster")
    type_ = fresh_name("odd")
    s.post(path("v1", "ns", ns, type_), {"name": "x"}).must(201)
    assert complete(s, "tr") == ["tree"]
    assert set(complete(s, "mk")) == {"mkns"}
    assert {"ls", "import", "help"} <= set(complete(s, ""))
    assert "__complete" not in complete(s, "")
    assert complete(s, "rmns", "--rec") == ["--recursive"]
    assert complete(s, "tree", "--rec") == []
    assert complete(s, "ls", f"web.{top}") == [ns]
    assert complete(s, "ls", ns, type_[:4]) == [type_]
    assert complete(s, "ls", "--json", ns, type_[:4]) == [type_]
    assert complete(s, "add", ns, "serv") == ["service"]
    assert complete(s, "mv", ns, type_, "x", "web.") == [ns]
    assert complete(s, "rm", ns, type_, "") == []
    assert complete(s, "rm", ns, type_, "x", "") == []
    assert complete(s, "ls", ns, type_, "") == []
    assert complete(s, "add", ns, type_, "") == []
    assert complete(s, "search", "--type", "mach") == ["machine"]
    assert complete(s, "search", "--type", "=", "mach") == ["machine"]
    assert complete(s, "search", "--mode", "pre") == ["prefix"]
    assert complete(s, "completion", "z") == ["zsh"]
    assert complete(s, "types", "def") == ["define"]
    assert complete(s, "help", "tr") == ["tree"]
    assert complete(s, "watch", "--ini") == ["--initial"]
    assert complete(s, "watch", ns, type_[:4]) == [type_]
    assert complete(s, "breaker", "rel") == ["release"]
    assert complete(s, "breaker", "release", f"web.{top}") == [ns]
    host = fresh_name("comphost")
    s.post("/v1/agents", {"hostname": host}).must(201)
    assert complete(s, "maintenance", "be") == ["begin"]
    assert complete(s, "maintenance", "begin", "comphost") == [host]
    assert complete(s, "maintenance", "end", "x", "comphost") == [host]
    words = f"--server http : //127.0.0.1 : {s.port} ls web.".split()
    assert ns in complete(s, *words, server="http://127.0.0.1:1")
    with open(scratch(s, "here.roster"), "w", encoding="utf-8"):
        assert complete(s, "verify", "here") == ["here.roster"]


@shared
def completion_is_silent_where_there_is_no_server(s):
    before = time.monotonic()
    assert complete(s, "ls", "x", server="http://127.0.0.1:1") == []
    assert complete(s, "tre", server="http://127.0.0.1:1") == ["tree"]
    assert time.monotonic() - before < 10 * PATIENCE


@shared
def the_scripts_are_of_the_shells_they_are_for(s):
    for shell in ("bash", "zsh", "fish"):
        script = good(s, "completion", shell)
        assert "__complete" in script
        if os.path.exists(f"/bin/{shell}"):
            subprocess.run([f"/bin/{shell}", "-n", "-c", script], check=True,
                           timeout=10)
    code, _, err = roster(s, "completion", "tcsh")
    assert code == 2 and "tcsh" in err


def at_terminal(s, *argv, answer=None, columns=60, stdin=True, env=None):
    """Everything a person would see, and the exit status."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    p = subprocess.Popen(
        [binary("roster"), "--server", f"http://127.0.0.1:{s.port}", *argv],
        stdin=slave if stdin else subprocess.DEVNULL, stdout=slave, stderr=slave,
        env=env or environment(), start_new_session=True)
    os.close(slave)
    seen = b""
    end = time.monotonic() + 60 * PATIENCE
    while time.monotonic() < end:
        if not select.select([master], [], [], 0.1)[0]:
            continue
        try:
            got = os.read(master, 65536)
        except OSError:
            break
        if not got:
            break
        seen += got
        if answer and b"Write yes" in seen:
            os.write(master, answer)
            answer = None
    os.close(master)
    return p.wait(10), seen.decode("utf-8", "replace").replace("\r\n", "\n")


@shared
def a_table_fits_the_terminal_and_is_whole_in_a_pipe(s):
    things = make_list(s)
    ns = things.split("/")[3]
    s.post(things, {"name": "漢字", "note": "n" * 300, "z": "last"}).must(201)
    code, seen = at_terminal(s, "ls", ns, "thing")
    assert code == 0 and "…" in seen and "\x1b" not in seen, seen
    assert all(len(line) <= 60 for line in seen.splitlines()), seen
    assert "n" * 300 + "  last" in good(s, "ls", ns, "thing")


@shared(timeout=120)
def long_work_shows_how_far_it_is_at_a_terminal_only(s):
    ns = make_ns(s)
    file = lines_of(*[put(ns, "thing", name=f"n{i}", x="y" * 500)
                      for i in range(12000)])
    code, seen = slowly(s, at_terminal, "import", file)
    assert code == 0 and "imported" in seen, seen[-500:]
    assert re.search(r"importing .* of .*%.*/s", seen), seen[-500:]
    code, seen = slowly(s, at_terminal, "--quiet", "import", file)
    assert code == 0 and "importing" not in seen, seen[-500:]
    code, out, err = slowly(s, roster, "import", file)
    assert code == 0 and not err, err
    os.unlink(file)


def slowly(s, what, *argv):
    """What takes long, however quick the server is: it stands still at first,
    again and again."""
    def stutter():
        for _ in range(4):
            with s.paused():
                time.sleep(0.5)
            time.sleep(0.02)
    other = threading.Thread(target=stutter)
    other.start()
    try:
        return what(s, *argv)
    finally:
        other.join()


@shared
def a_restore_asks_before_it_replaces_anything(s):
    if s.options("/v1/admin/backup").status == 404:
        return
    ns = make_ns(s)
    file = scratch(s, "ask.roster")
    good(s, "backup", file)
    good(s, "add", ns, "thing", "name=later")
    for answer in (b"no\n", b"y\n", b"\n"):
        code, seen = at_terminal(s, "restore", file, answer=answer)
        assert code == 2 and "nothing was done" in seen, seen
        assert "ask.roster" in seen and "replaced" in seen, seen
    assert s.get(path("v1", "ns", ns, "thing", "later")).status == 200
    code, seen = at_terminal(s, "restore", file, answer=b"yes\n")
    assert code == 0 and "restored" in seen, seen
    assert s.get(path("v1", "ns", ns, "thing", "later")).status == 404


@shared
def every_verb_has_help_and_is_in_the_list(s):
    verbs = json.loads(good(s, "--json", "help"))
    assert len(verbs) >= 24
    listed = good(s, "--help")
    for verb in verbs:
        text = good(s, "help", verb["command"])
        assert text.startswith(f"roster {verb['command']}") and "--json" in text
        assert f"\n  {verb['command']} " in listed, verb
    code, _, err = roster(s, "help", "lss")
    assert code == 2 and "lss" in err
