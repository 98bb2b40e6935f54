"""What `meson install` puts where, the manual pages and the units."""
import functools
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time

from harness import (BUILD, PATIENCE, REPOSITORY, Server, Skip, bare, binary,
                     environment, run, until)

PAGES = {"rosterd": "man8/rosterd.8", "roster-agent": "man8/roster-agent.8",
         "roster": "man1/roster.1"}


def tool(name):
    if shutil.which(name) is None:
        raise Skip(f"no {name} here (scripts/deps --test installs what Debian "
                   "has)")
    return name


class Installed:
    """The tree that an installation makes, below a directory of its own."""

    def __init__(self):
        tool("meson")
        if not os.path.exists(os.path.join(BUILD, "build.ninja")):
            raise Skip(f"{BUILD} was not built by meson")
        self.root = tempfile.mkdtemp(prefix="roster-install-")
        p = subprocess.run(
            ["meson", "install", "-C", BUILD, "--no-rebuild", "--quiet",
             "--destdir", self.root], capture_output=True, text=True,
            timeout=60 * PATIENCE)
        assert p.returncode == 0, p.stderr
        found = self.find("rosterd")
        self.prefix = os.path.dirname(os.path.dirname(found))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.root, ignore_errors=True)

    def find(self, name):
        for folder, _, files in os.walk(self.root):
            if name in files:
                return os.path.join(folder, name)
        raise AssertionError(f"{name} is not installed")

    def path(self, *parts):
        full = os.path.join(self.prefix, *parts)
        assert os.path.exists(full), f"{full} is not installed"
        return full


@bare
def everything_is_put_in_its_place():
    with Installed() as tree:
        for name in ("rosterd", "roster-agent", "roster"):
            assert os.access(tree.path("bin", name), os.X_OK)
            code, out, _ = run([tree.path("bin", name), "--version"])
            assert code == 0 and out.startswith(name + " "), out
        tree.path("include", "roster.h")
        for page in PAGES.values():
            tree.path("share", "man", page)
        for script in (("bash-completion", "completions", "roster.bash"),
                       ("zsh", "site-functions", "_roster"),
                       ("fish", "vendor_completions.d", "roster.fish")):
            assert os.path.getsize(tree.path("share", *script)) > 0
        inside = tree.prefix[len(tree.root):]
        for name in ("rosterd", "roster-agent"):
            with open(tree.path("lib", "systemd", "system",
                                name + ".service"), encoding="utf-8") as f:
                unit = f.read()
            assert f"\nExecStart={inside}/bin/{name}\n" in unit, unit
            assert not re.search(r"@\w+@", unit), unit
        with open(tree.path("lib", "sysusers.d", "roster-agent.conf"),
                  encoding="utf-8") as f:
            assert "\nu roster-agent " in f.read()
        # Tools of the build stay where they are.
        names = {n for _, _, files in os.walk(tree.root) for n in files}
        assert not any("verbs" in n for n in names), names


@bare(timeout=90)
def a_program_can_be_built_on_the_installed_library():
    tool("pkg-config")
    with Installed() as tree, Server() as s:
        source = os.path.join(tree.root, "try.c")
        with open(source, "w", encoding="utf-8") as f:
            f.write("""#include <roster.h>
#include <stdio.h>
int main(int argc, char **argv)
{
    struct roster *roster = roster_new();
    struct roster_response response;
    struct roster_request request = {.method = "GET", .path = "/v1/ns"};
    if (argc != 2 || roster_set_servers(roster, argv[1]) != ROSTER_OK ||
        roster_send(roster, &request, &response) != ROSTER_OK)
        return 1;
    puts(response.body);
    roster_response_done(&response);
    roster = roster_free(roster);
    return 0;
}
""")
        pc = os.path.dirname(tree.find("roster.pc"))
        env = environment(PKG_CONFIG_PATH=pc, PKG_CONFIG_SYSROOT_DIR=tree.root)
        p = subprocess.run(["pkg-config", "--cflags", "--libs", "roster"],
                           capture_output=True, text=True, env=env, timeout=20)
        assert p.returncode == 0, p.stderr
        program = os.path.join(tree.root, "try")
        lib = os.path.dirname(tree.find("libroster.so"))
        if subprocess.run(["nm", "-D", os.path.join(lib, "libroster.so")],
                          capture_output=True).stdout.find(b"__asan") >= 0:
            raise Skip("a sanitized library cannot be linked alone")
        # Under -Wall, as users of the header would.
        p = subprocess.run([shutil.which("cc") or "gcc", "-Wall", "-Wextra",
                            "-Werror", source, "-o", program,
                            f"-Wl,-rpath,{lib}", *p.stdout.split()],
                           capture_output=True, text=True, timeout=60)
        assert p.returncode == 0, p.stderr
        code, out, err = run([program, f"http://127.0.0.1:{s.port}"])
        assert code == 0 and '"name":"roster"' in out, (out, err)


# ---- manual pages -----------------------------------------------------------

@bare
def manual_pages_are_clean():
    for page in PAGES.values():
        full = os.path.join(BUILD, os.path.basename(page))
        if not os.path.exists(full):
            raise Skip(f"{full} is not built")
        for argv in (["mandoc", "-T", "lint", "-W", "warning"],
                     ["groff", "-mdoc", "-ww", "-z", "-K", "utf8"]):
            if shutil.which(argv[0]) is None:
                continue
            p = subprocess.run([*argv, full], capture_output=True, text=True,
                               timeout=20)
            said = p.stdout + p.stderr
            assert p.returncode == 0 and not said, said
    if shutil.which("mandoc") is None and shutil.which("groff") is None:
        raise Skip("neither mandoc nor groff here")


@bare
def manual_pages_name_every_option_and_command_there_is():
    for name, page in PAGES.items():
        code, usage, _ = run([binary(name), "--help"])
        assert code == 0
        with open(os.path.join(BUILD, os.path.basename(page)),
                  encoding="utf-8") as f:
            text = f.read()
        options = re.findall(r"^  --([a-z-]+)", usage, re.M)
        assert len(options) > 5, usage
        for option in options:
            assert re.search(rf"^\.It Fl -{option}\b", text, re.M), option
        commands = usage.partition("Commands:\n")[2].partition("Options:")[0]
        for verb in re.findall(r"^  ([a-z]+)", commands, re.M):
            assert re.search(rf"^\.It Cm {verb}\b", text, re.M), verb
        assert "@" not in text, "a part was not filled in"


# ---- units ------------------------------------------------------------------

@bare
def units_are_understood_by_systemd():
    tool("systemd-analyze")
    with Installed() as tree:
        units = []
        for name in ("rosterd", "roster-agent"):
            with open(tree.path("lib", "systemd", "system",
                                name + ".service"), encoding="utf-8") as f:
                text = f.read()
            # verify looks for the program and the page: those just installed.
            text = re.sub(r"^ExecStart=\S+", "ExecStart=" +
                          tree.path("bin", name), text, flags=re.M)
            text = re.sub(r"^Documentation=.*$", "", text, flags=re.M)
            units.append(os.path.join(tree.root, name + ".service"))
            with open(units[-1], "w", encoding="utf-8") as f:
                f.write(text)
        for unit in units:
            p = subprocess.run(["systemd-analyze", "verify", "--man=no", unit],
                               capture_output=True, text=True,
                               timeout=60 * PATIENCE)
            said = [line for line in p.stderr.splitlines()
                    if os.path.basename(unit) in line]
            assert not said, said
            p = subprocess.run(
                ["systemd-analyze", "security", "--offline=true",
                 "--threshold=20", "--no-pager", unit], capture_output=True,
                text=True, timeout=60 * PATIENCE)
            assert p.returncode == 0, (p.stdout[-300:], p.stderr)


# ---- the service manager is told --------------------------------------------

@bare
def the_service_manager_is_told_when_it_serves_and_when_it_stops():
    for abstract in (False, True):
        home = tempfile.mkdtemp(prefix="roster-test-")
        where = f"{home}/notify"
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.bind("\0" + where if abstract else where)
            manager.settimeout(20 * PATIENCE)
            env = environment(NOTIFY_SOCKET=("@" if abstract else "") + where)
            with Server(start=False, env=env) as s:
                s.start(wait=False)
                assert manager.recv(100) == b"READY=1"
                s.wait_listening()
                s.get("/readyz").must(200)
                s.signal(signal.SIGTERM)
                assert manager.recv(100) == b"STOPPING=1"
                assert s.ended_within(20 * PATIENCE)
                manager.setblocking(False)
                try:
                    raise AssertionError(f"told {manager.recv(100)}")
                except BlockingIOError:
                    pass
        shutil.rmtree(home)


@bare
def a_manager_that_does_not_listen_keeps_nobody_from_serving():
    for where in ("/nowhere/at/all", "@nobody", "relative", "x" * 300, ""):
        with Server(env=environment(NOTIFY_SOCKET=where)) as s:
            s.get("/readyz").must(200)
            assert s.stop() == 0


@bare
def it_serves_where_no_memory_may_be_written_and_executed():
    """As under MemoryDenyWriteExecute: without PCRE2's compiler."""
    with Server(start=False) as s:
        argv = s.argv()
        code = ("import ctypes, os, sys\n"
                "if ctypes.CDLL(None).prctl(65, 1, 0, 0, 0): sys.exit(77)\n"
                "os.execv(sys.argv[1], sys.argv[1:])\n")
        s.argv = lambda: ["python3", "-c", code, *argv]
        try:
            s.start()
        except AssertionError:
            if s.process.poll() == 77:
                raise Skip("this kernel has no PR_SET_MDWE (6.3)") from None
            raise
        s.post("/v1/ns", {"parent": "roster", "name": "web", "kind": "leaf",
                          "match": "^web-[0-9]+$"}).must(201)
        got = s.post("/v1/agents", {"hostname": "web-7"}).must(201).json
        assert list(got["placements"]) == ["web.roster"], got
        s.post("/v1/ns/web.roster/service", {"name": "a"}).must(201)
        found = s.get("/v1/search?v=^we.-%5Cd$&mode=regex").must(200).json
        assert list(found) == ["web.roster"], found
