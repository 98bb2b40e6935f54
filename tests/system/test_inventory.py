"""Inventories: what roster-agent keeps in the registry of what is on its
machine, while the machine, the registry and the collecting go wrong."""
import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import time

from harness import (PATIENCE, Server, Skip, bare, binary, environment,
                     fresh_name, make_ns, path, run, shared, spawn, test, until,
                     without)

ALL = ("interfaces", "filesystems", "sockets", "units", "packages")


class Agent:
    """A roster-agent that ends with the test; `before` is what runs it."""

    def __init__(self, s, hostname, *flags, ttl="2s", before=(), env=None):
        self.log_file = os.path.join(s.home, hostname + ".log")
        with open(self.log_file, "ab") as log:
            self.process = spawn(
                [*before, binary("roster-agent"), "--hostname", hostname,
                 "--ttl", ttl, "--server", f"http://127.0.0.1:{s.port}",
                 "--log-format", "json", "--inventory-every", "10s", *flags],
                stderr=log, env=env or environment())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def log(self):
        with open(self.log_file, encoding="utf-8") as f:
            return [json.loads(line) for line in f]

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(15 * PATIENCE)

    def look_now(self):
        self.process.send_signal(signal.SIGHUP)


def row(s, ns, kind, hostname):
    a = s.get(path("v1", "ns", ns, kind, hostname)).must(200, 404)
    return a.json if a.status == 200 else None


def rows(s, ns, hostname, kinds=ALL):
    """All of them, or None while one is missing."""
    got = {kind: row(s, ns, kind, hostname) for kind in kinds}
    return got if all(got.values()) else None


def shown(kind, env=None):
    code, out, err = run([binary("roster-agent"), "--show-inventory", kind],
                         env=env)
    assert code == 0, err
    return json.loads(out)


def namespace(*flags):
    """A command that runs another in namespaces of its own, or Skip."""
    before = ["unshare", *([] if os.getuid() == 0 else ["-r"]), *flags]
    if shutil.which("unshare") is None or \
            subprocess.run([*before, "true"], capture_output=True).returncode:
        raise Skip("this machine lets nobody have namespaces")
    return before


# ---- what is told -----------------------------------------------------------

@bare
def what_is_shown_is_true():
    with open("/proc/self/mountinfo", encoding="utf-8") as f:
        points = {line.split()[4] for line in f}
    for point in shown("filesystems"):
        assert point in points or point in ("unavailable", "truncated"), point
    have = shown("interfaces")
    for name in os.listdir("/sys/class/net"):
        device = os.path.exists(f"/sys/class/net/{name}/device")
        assert name in have or not device, (name, have)
    if os.path.exists("/var/lib/dpkg/status"):
        _, out, _ = run(["dpkg-query", "-W", "-f",
                         "${db:Status-Status} ${Package}=${Version}\n"])
        want = {line.split()[1] for line in out.splitlines()
                if line.startswith("installed ")}
        got = " ".join(shown("packages").values()).split()
        # A foreign architecture stands behind the name.
        got = {g if ":" not in g.split("=")[0] else
               g.split(":")[0] + "=" + g.split("=", 1)[1] for g in got}
        assert want == got, (sorted(want - got)[:5], sorted(got - want)[:5])


@bare
def a_listening_socket_is_told_with_its_process():
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as tcp:
        port = tcp.getsockname()[1]
        with open("/proc/self/comm", encoding="utf-8") as f:
            comm = f.read().strip()
        told = shown("sockets")[f"tcp 127.0.0.1:{port}"]
        assert told == f"uid={os.getuid()} process={comm}", told
    assert f"tcp 127.0.0.1:{port}" not in shown("sockets")


@bare
def the_interfaces_of_a_network_namespace_are_all_it_has():
    before = namespace("-n")
    p = subprocess.run([*before, binary("roster-agent"), "--show-inventory",
                        "interfaces"], capture_output=True, env=environment(),
                       timeout=20 * PATIENCE)
    assert p.returncode == 0, p.stderr
    assert json.loads(p.stdout)["lo"].startswith("down "), p.stdout


@bare
def an_inventory_that_there_is_not_is_named():
    for flags in (["--inventory", "interfaces,colors"],
                  ["--show-inventory", "colors"]):
        code, _, err = run([binary("roster-agent"), *flags], timeout=5)
        assert code > 0 and "colors" in err, (code, err)
    code, _, err = run([binary("roster-agent"), "--inventory-every", "9s"])
    assert code == 2 and "inventory-every" in err, err


@bare
def units_are_those_that_systemctl_lists():
    """In a mount namespace where /run says that systemd runs."""
    before = namespace("-m")
    with Server() as s:
        tools = os.path.join(s.home, "bin")
        os.mkdir(tools)
        with open(os.path.join(tools, "systemctl"), "w",
                  encoding="utf-8") as f:
            f.write("""#!/bin/sh
case "$1" in
list-units) echo "ssh.service loaded active running OpenBSD"
            echo "bad.service loaded failed failed $LC_ALL" ;;
list-unit-files) echo "ssh.service enabled enabled" ;;
esac
""")
        os.chmod(os.path.join(tools, "systemctl"), 0o755)
        env = environment(PATH=tools + ":" + os.environ["PATH"])
        script = ("mount -t tmpfs none /run && mkdir -p /run/systemd/system && "
                  'exec "$@"')
        p = subprocess.run([*before, "sh", "-c", script, "sh",
                            binary("roster-agent"), "--show-inventory",
                            "units"], capture_output=True, env=env,
                           timeout=20 * PATIENCE)
        if b"mount" in p.stderr:
            raise Skip("this machine lets nobody mount")
        assert json.loads(p.stdout) == {
            "active": "ssh.service", "failed": "bad.service",
            "enabled": "ssh.service"}, (p.stdout, p.stderr)


# ---- in the registry --------------------------------------------------------

@shared
def without_the_option_nothing_is_kept(s):
    name = fresh_name("plain")
    with Agent(s, name):
        until(lambda: row(s, "pool.roster", "machine", name))
        time.sleep(1)
        for kind in ALL:
            assert row(s, "pool.roster", kind, name) is None


@test(timeout=90)
def inventories_stand_in_every_leaf_of_the_machine_and_go_with_it(s):
    name = fresh_name("inv")
    leaves = [make_ns(s, match=f"^{name}$") for _ in range(2)]
    with Agent(s, name, "--inventory", "all") as a:
        for ns in leaves:
            got = until(lambda ns=ns: rows(s, ns, name))
            for kind in ALL:
                assert got[kind]["name"] == name
                if kind != "sockets":
                    assert without({k: v for k, v in got[kind].items()
                                    if k != "name"}) == shown(kind), kind
        assert row(s, "pool.roster", "units", name) is None
        assert a.stop() == 0
    for ns in leaves:
        assert rows(s, ns, name, ["machine"]) is None
        for kind in ALL:
            assert row(s, ns, kind, name) is None, kind


@test(timeout=90)
def an_unchanged_machine_writes_nothing(s):
    name = fresh_name("still")
    kinds = ("interfaces", "filesystems", "units", "packages")
    with Agent(s, name, "--inventory", ",".join(kinds)) as a:
        until(lambda: rows(s, "pool.roster", name, kinds))
        time.sleep(1)
        before = s.revision()
        reads = checks(s)
        # Several rounds: the first asked for, one by its own clock.
        a.look_now()
        until(lambda: checks(s) >= reads + len(kinds), 5)
        until(lambda: checks(s) >= reads + 2 * len(kinds), 20)
        assert s.revision() == before


def checks(s):
    """How many requests of the kind that agents make to see whether what
    they stored is still there were answered."""
    total = 0
    for line in s.get("/metrics").body.decode().splitlines():
        if line.startswith("roster_http_requests_total{") and \
                'code="3xx"' in line:
            total += int(float(line.split()[-1]))
    return total


@test(timeout=90)
def what_changes_on_the_machine_shows_up(s):
    name = fresh_name("live")
    with Agent(s, name, "--inventory", "sockets") as a:
        until(lambda: row(s, "pool.roster", "sockets", name))
        with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as tcp:
            key = f"tcp 127.0.0.1:{tcp.getsockname()[1]}"
            a.look_now()
            until(lambda: key in row(s, "pool.roster", "sockets", name))
            found = s.get(path("v1", "search", type="sockets", k=key)).json
            assert [r["name"] for r in found["pool.roster"]] == [name], found
        # And without being asked.
        until(lambda: key not in row(s, "pool.roster", "sockets", name), 20)


@test(timeout=90)
def what_somebody_changed_or_removed_is_put_right(s):
    name = fresh_name("own")
    with Agent(s, name, "--inventory", "units") as a:
        first = until(lambda: row(s, "pool.roster", "units", name))
        where = path("v1", "ns", "pool.roster", "units", name)
        s.patch(where, {"active": "lies.service"}).must(200)
        a.look_now()
        until(lambda: without(row(s, "pool.roster", "units", name)) ==
              without(first))
        s.delete(where).must(204)
        a.look_now()
        until(lambda: row(s, "pool.roster", "units", name))


@test(timeout=90)
def inventories_follow_the_machine(s):
    name = fresh_name("moved")
    home, away = make_ns(s, match=f"^{name}$"), make_ns(s)
    with Agent(s, name, "--inventory", "units,interfaces") as a:
        kinds = ("units", "interfaces")
        until(lambda: rows(s, home, name, kinds))
        time.sleep(5.5)      # what is known of the placements has aged
        s.post(path("v1", "ns", home, "machine", name, "move"),
               {"to": away}).must(200)
        a.look_now()
        until(lambda: rows(s, away, name, kinds))
        until(lambda: not any(row(s, home, k, name) for k in kinds))
        assert a.process.poll() is None


@test(timeout=120)
def a_dead_agents_inventories_end_with_its_lease(s):
    name = fresh_name("dead")
    with Agent(s, name, "--inventory", "all") as a:
        until(lambda: rows(s, "pool.roster", name))
        a.process.kill()
        until(lambda: not any(row(s, "pool.roster", k, name)
                              for k in (*ALL, "machine")), 10)


@bare(timeout=120)
def a_registry_that_forgot_everything_gets_it_again():
    with Server() as s, \
            Agent(s, "amnesia", "--inventory", "all") as a:
        until(lambda: rows(s, "pool.roster", "amnesia"))
        s.kill()
        shutil.rmtree(s.data_dir)
        s.start()
        until(lambda: rows(s, "pool.roster", "amnesia"), 20)
        # A restart that forgets nothing: nothing is written again.
        time.sleep(1)
        before = row(s, "pool.roster", "packages", "amnesia")["_rev"]
        s.restart()
        a.look_now()
        time.sleep(3)
        assert row(s, "pool.roster", "packages", "amnesia")["_rev"] == before
        assert s.delete(path("v1", "agents", "amnesia")).status == 204
        until(lambda: rows(s, "pool.roster", "amnesia"), 10)


# ---- collecting that goes wrong ---------------------------------------------

def fake_rpm(s, script):
    tools = os.path.join(s.home, "bin")
    os.makedirs(tools, exist_ok=True)
    with open(os.path.join(tools, "rpm"), "w", encoding="utf-8") as f:
        f.write("#!/bin/sh\n" + script)
    os.chmod(os.path.join(tools, "rpm"), 0o755)
    return environment(PATH=tools + ":" + os.environ["PATH"])


@test(timeout=120)
def a_collector_that_hangs_is_stopped_and_disturbs_nobody(s):
    """It hung in a file that never answers: heartbeats and the other
    inventories must not notice, and nothing may be left of it."""
    name = fresh_name("hung")
    mark = os.path.join(s.home, "pid")
    env = fake_rpm(s, f'echo $$ > {mark}\nsleep 1000 &\nwait\n')
    with Agent(s, name, "--inventory", "packages,units", env=env) as a:
        until(lambda: row(s, "pool.roster", "units", name))
        first = row(s, "pool.roster", "machine", name)["_id"]
        pid = until(lambda: pid_in(mark))

        def told():
            now = row(s, "pool.roster", "machine", name)
            assert now and now["_id"] == first, "the lease was lost"
            return [x for x in a.log() if x["level"] == "warn"]
        warned = until(told, 30, every=0.2)
        assert warned[0]["inventory"] == "packages" and \
            "too long" in warned[0]["why"], warned
        until(lambda: not alive(pid))
        assert row(s, "pool.roster", "packages", name) is None
        assert a.stop() == 0


@bare(timeout=120)
def a_collector_that_hangs_is_stopped_also_without_a_server():
    with Server() as s:
        mark = os.path.join(s.home, "pid")
        env = fake_rpm(s, f'echo $$ > {mark}\nexec sleep 1000\n')
        with Agent(s, "alone", "--inventory", "packages", env=env) as a:
            pid = until(lambda: pid_in(mark))
            s.kill()
            assert alive(pid)
            until(lambda: not alive(pid), 30, every=0.2)
            assert a.process.poll() is None


def pid_in(mark):
    """What a fake program wrote there, or None as long as it has not."""
    with contextlib.suppress(FileNotFoundError, ValueError):
        with open(mark, encoding="utf-8") as f:
            return int(f.read())


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as f:
            return f.read().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


@test(timeout=60)
def what_a_program_complains_about_is_told_when_it_fails(s):
    name = fresh_name("loud")
    env = fake_rpm(s, "echo 'warning: a lock is old' >&2; "
                      r"printf 'loud\t1.0\n'" + "\n")
    with Agent(s, name, "--inventory", "packages", env=env) as a:
        got = until(lambda: row(s, "pool.roster", "packages", name))
        assert "loud=1.0" in got["l"].split(), got["l"]
        assert [x for x in a.log() if x["level"] == "warn"] == []
    if os.path.exists("/var/lib/dpkg/status"):
        return               # an rpm that fails there is nobody's news
    env = fake_rpm(s, "echo 'error: no database' >&2; exit 1\n")
    with Agent(s, name + "-2", "--inventory", "packages", env=env) as a:
        warned = until(lambda: [x for x in a.log() if x["level"] == "warn"])
        assert warned[0]["why"] == "error: no database", warned


@test(timeout=60)
def an_agent_that_stops_takes_its_collector_along(s):
    name = fresh_name("gone")
    mark = os.path.join(s.home, "pid")
    env = fake_rpm(s, f'echo $$ > {mark}\nexec sleep 1000\n')
    with Agent(s, name, "--inventory", "packages", env=env) as a:
        pid = until(lambda: pid_in(mark))
        assert a.stop() == 0
        until(lambda: not alive(pid))


@test(timeout=60)
def an_endless_list_of_packages_is_cut(s):
    name = fresh_name("many")
    env = fake_rpm(s, "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); "
                      r"""printf 'p%s\t1.0-%s"\033\n' $i $i; done""" + "\n")
    with Agent(s, name, "--inventory", "packages", env=env):
        got = until(lambda: row(s, "pool.roster", "packages", name), 20)
        assert "packages are left out" in got["truncated"], got["truncated"]
        assert r'p10000=1.0-10000"\x1b' in got["p"]
        assert len(json.dumps(got)) < 256 << 10


@test(timeout=90)
def a_refused_inventory_is_told_once_and_the_others_are_kept(s):
    name = fresh_name("refused")
    s.put(path("v1", "types", "units"), {"required": ["color"]}).must(200, 201)
    with Agent(s, name, "--inventory", "units,interfaces") as a:
        until(lambda: row(s, "pool.roster", "interfaces", name))
        for _ in range(3):
            a.look_now()
            time.sleep(0.7)
        warned = [x for x in a.log() if x["level"] == "warn"]
        assert len(warned) == 1 and "color" in warned[0]["why"], warned
        assert row(s, "pool.roster", "machine", name)
