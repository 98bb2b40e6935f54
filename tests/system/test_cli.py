"""The program roster (BRIEF 3): one request a command, for people and scripts."""
import os
import subprocess
import tempfile

from cli import as_json, good, lines_of, refused, roster
from harness import (Server, all_pages, bare, binary, die_with_parent,
                     environment, fresh_name, make_list, make_ns, path, run,
                     shared, until, without)


@shared
def a_resource_can_be_added_read_changed_and_removed(s):
    ns = make_ns(s)
    at = path("v1", "ns", ns, "service")
    assert "added" in good(s, "add", ns, "service", "name=web", "port=80",
                           "note=a=b c")
    assert without(s.get(at + "/web").json) == {"name": "web", "port": "80",
                                                "note": "a=b c"}
    assert as_json(s, "get", ns, "service", "web") == s.get(at + "/web").json
    good(s, "set", ns, "service", "web", "port=81", "note-", "new=")
    assert without(s.get(at + "/web").json) == {"name": "web", "port": "81",
                                                "new": ""}
    text = good(s, "get", ns, "service", "web")
    assert "port" in text and "81" in text, text
    assert as_json(s, "ls", ns, "service") == s.rows(at)
    table = good(s, "ls", ns, "service").splitlines()
    assert len(table) == 2 and "PORT" in table[0] and "81" in table[1], table
    good(s, "rm", ns, "service", "web")
    assert s.rows(at) == [] and as_json(s, "ls", ns, "service") == []


@shared
def names_of_every_shape_reach_the_server_as_they_are(s):
    ns = make_ns(s)
    for name in ("a/b", "a b", "a?b#c", "100%", "ключ", "--x", "🔑", "a&b"):
        good(s, "add", ns, "thing", f"name={name}")
        row = s.get(path("v1", "ns", ns, "thing", name)).must(200).json
        assert as_json(s, "get", "--", ns, "thing", name) == row
        good(s, "rm", "--", ns, "thing", name)
    assert s.rows(path("v1", "ns", ns, "thing")) == []


@shared
def namespaces_are_made_and_shown_as_a_tree(s):
    top = fresh_name("cli")
    good(s, "mkns", f"{top}.roster", "--branch")
    good(s, "mkns", f"web.{top}.roster", "--match", "^web-[0-9]+$")
    node = s.get(path("v1", "ns", f"web.{top}.roster")).must(200).json
    assert node["kind"] == "leaf" and node["match"] == "^web-[0-9]+$"
    text = good(s, "tree")
    assert top in text and "web" in text and "pool" in text, text
    assert as_json(s, "tree") == s.get("/v1/ns").json


@shared
def a_search_goes_through_all_pages(s):
    ns = make_ns(s)
    at = path("v1", "ns", ns, "thing")
    s.post(at, [{"name": f"needle-{i}"} for i in range(30)]).must(201)
    found = as_json(s, "search", "needle", "limit=7", f"ns={ns}")
    assert found == {ns: s.rows(at)}
    assert as_json(s, "search", "k=name", "v=needle-3", f"ns={ns}") == {
        ns: [s.get(at + "/needle-3").json]}
    table = good(s, "search", "needle-2", f"ns={ns}")
    assert len(table.splitlines()) == 12 and ns in table, table
    code, out, _ = roster(s, "search", "nothing-like-it", f"ns={ns}")
    assert code == 0 and not out


@shared
def agents_and_the_leader_are_shown(s):
    name = fresh_name("host")
    s.post("/v1/agents", {"hostname": name}).must(201)
    text = good(s, "agents")
    assert name in text and "alive" in text and "pool.roster" in text, text
    assert [a["hostname"] for a in as_json(s, "agents")] == [
        a["hostname"] for a in all_pages(s, "/v1/agents")[0]]
    assert "n1" in good(s, "leader")
    assert as_json(s, "leader") == s.get("/leader").json


@shared
def what_a_terminal_would_obey_is_not_printed(s):
    things = make_list(s)
    ns = things.split("/")[3]
    s.post(things, {"name": "a", "x": "\x1b[2J\x07\x9b31m\x7f\r\nz"}).must(201)
    for command in (("ls", ns, "thing"), ("get", ns, "thing", "a"),
                    ("search", f"ns={ns}")):
        out = good(s, *command)
        strange = [c for c in out if (ord(c) < 32 and c != "\n") or
                   127 <= ord(c) < 160]
        assert not strange, (command, strange)
    assert as_json(s, "get", ns, "thing", "a") == s.get(things + "/a").json


@shared
def values_with_a_nul_inside_can_be_read(s):
    things = make_list(s)
    ns = things.split("/")[3]
    s.post(things, {"name": "a", "x": "b\0c"}).must(201)
    assert as_json(s, "ls", ns, "thing") == s.rows(things)


@shared
def a_refusal_is_1_a_wrong_command_2_no_server_3(s):
    ns = make_ns(s)
    for argv, says in ((("get", ns, "thing", "nobody"), "nobody"),
                       (("ls", "no.roster", "thing"), "no.roster"),
                       (("add", ns, "machine", "x=1"), "hostname"),
                       (("get", ns, "thing", "k" * 9000), "--max-header"),
                       (("mkns", "x.no.roster"), "no.roster")):
        code, out, err = roster(s, *argv)
        assert code == 1 and says in err and not out, (argv, code, out, err)
    for argv, says in (((), "tree"), (("lss",), "lss"), (("ls", ns), "TYPE"),
                       (("add", ns, "thing", "novalue"), "novalue"),
                       (("mkns", "x"), "x"), (("--jsn", "tree"), "jsn"),
                       (("search", "a", "b"), "b")):
        code, out, err = roster(s, *argv)
        assert code == 2 and says in err and not out, (argv, code, out, err)
    code, out, err = run([binary("roster"), "--server", "http://127.0.0.1:1",
                          "tree"])
    assert code == 3 and "127.0.0.1:1" in err and not out, (code, out, err)


@shared
def what_was_meant_is_offered(s):
    ns = make_ns(s, name=fresh_name("nearby"))
    assert "did you mean 'tree'" in refused(s, "tre", says="tre", status=2)
    assert f"did you mean {ns}?" in refused(s, "ls", ns[1:], "x", says=ns[1:])
    assert "did you mean --recursive" in refused(
        s, "rmns", "x.roster", "--recursiv", says="recursiv", status=2)
    refused(s, "tree", "--recursive", says="takes no --recursive", status=2)
    refused(s, "ls", ns, "x", "--match", "y", says="takes no --match", status=2)


@bare
def a_server_that_is_not_there_is_told_with_what_to_try():
    code, out, err = run([binary("roster"), "--server", "http://127.0.0.1:1",
                          "ls", "pool.roster", "machine"])
    assert code == 3 and not out and "ROSTER_SERVER" in err, err
    assert "is rosterd running" in err, err


@shared
def resources_move_and_are_copied(s):
    a, b = make_ns(s), make_ns(s)
    good(s, "add", a, "thing", "name=x", "v=1")
    row = as_json(s, "get", a, "thing", "x")
    assert as_json(s, "mv", a, "thing", "x", b)["_id"] == row["_id"]
    refused(s, "get", a, "thing", "x", says="x")
    copy = as_json(s, "cp", b, "thing", "x", a)
    assert copy["_id"] != row["_id"] and copy["v"] == "1"
    refused(s, "cp", b, "thing", "x", a, says="x")
    refused(s, "mv", b, "thing", "x", "no.roster", says="no.roster")
    refused(s, "mv", a, "thing", "x", says="TO-NS", status=2)


@shared
def namespaces_are_renamed_moved_and_removed(s):
    top = fresh_name("mv")
    good(s, "mkns", f"{top}.roster", "--branch", "--comment", "a # b")
    assert s.get(path("v1", "ns", f"{top}.roster")).json["comment"] == "a # b"
    good(s, "mkns", f"other.{top}.roster", "--branch")
    good(s, "mkns", f"web.{top}.roster")
    good(s, "add", f"web.{top}.roster", "thing", "name=x")
    moved = as_json(s, "mv", f"web.{top}.roster", f"www.other.{top}.roster")
    assert moved["ns"] == f"www.other.{top}.roster"
    assert as_json(s, "get", moved["ns"], "thing", "x")["name"] == "x"
    good(s, "mkns", f"web.{top}.roster")
    err = refused(s, "mv", f"web.{top}.roster", f"other.{top}.roster",
                  says="whole new")
    assert f"web.other.{top}.roster" in err, err
    assert "--recursive" in refused(s, "rmns", f"{top}.roster", says=top)
    good(s, "rmns", f"web.{top}.roster")
    assert as_json(s, "rmns", f"{top}.roster", "--recursive") == {"done": True}
    refused(s, "ls", moved["ns"], "thing", says=moved["ns"])
    assert "--recursive" not in refused(s, "rmns", "roster", says="root")


@shared
def types_are_listed_shown_and_defined(s):
    type_ = fresh_name("type")
    good(s, "types", "define", type_, "key=row", "required=row,hall",
         "check.row=int", "secret=pw,pin", "template=false")
    shown = as_json(s, "types", "show", type_)
    assert shown == s.get(path("v1", "types", type_)).json
    assert shown["key"] == "row" and shown["checks"] == {"row": "int"}
    assert shown["secret"] == ["pw", "pin"] and not shown["template"]
    table = good(s, "types")
    assert type_ in table and "row is int" in table and "machine" in table
    assert as_json(s, "types", "list") == s.get("/v1/types").json
    good(s, "types", "define", type_, "key=")
    assert as_json(s, "types", "show", type_)["key"] is None
    file = lines_of({"key": "name", "checks": {"port": "port"}})
    good(s, "types", "define", type_, file)
    assert as_json(s, "types", "show", type_)["checks"] == {"port": "port"}
    refused(s, "types", "define", type_, "nonsense=1", says="nonsense", status=2)
    refused(s, "types", "define", type_, "check.x=unknown", says="checks.x")
    refused(s, "types", "shw", says="types show", status=2)


@shared
def the_status_is_one_screen(s):
    text = good(s, "status")
    assert "ready" in text and "n1" in text and len(text.splitlines()) < 24
    [node] = as_json(s, "status")
    assert node["state"] == "ready" and node["leader"] == node["node"] == "n1"
    assert node["revision"] == s.revision() and node["namespaces"] >= 2
    code, out, _ = run([binary("roster"), "--json", "--server",
                        f"http://127.0.0.1:1,http://127.0.0.1:{s.port}", "status"])
    assert code == 0 and '"unreachable"' in out and '"ready"' in out, out
    code, out, _ = run([binary("roster"), "--server", "http://127.0.0.1:1",
                        "status"])
    assert code == 3 and "unreachable" in out, out


@shared
def search_takes_options_too(s):
    ns = make_ns(s)
    s.post(path("v1", "ns", ns, "thing"), [{"name": "aa"}, {"name": "ab"}]).must(
        201)
    assert len(as_json(s, "search", "--ns", ns, "--type", "thing", "--key",
                       "name", "--value", "a", "--mode", "prefix", "--limit",
                       "1")[ns]) == 2
    assert as_json(s, "search", "aa", "--ns", ns, "--type", "other") == {}


@shared(timeout=120)
def a_list_of_ten_thousand_is_shown_whole(s):
    things = make_list(s)
    ns = things.split("/")[3]
    for i in range(10):
        s.post(things, [{"name": f"n{i}-{k}", "x": "y" * 40}
                        for k in range(1000)]).must(201)
    assert len(as_json(s, "ls", ns, "thing")) == 10000
    table = good(s, "ls", ns, "thing").splitlines()
    assert len(table) == 10001
    assert len({len(line) for line in table[1:]}) == 1, "columns are crooked"


@bare
def servers_may_be_many_and_come_from_the_environment():
    with Server() as s:
        live = f"http://127.0.0.1:{s.port}"
        for servers in (live, f"http://127.0.0.1:1,{live}",
                        f"{live},http://127.0.0.1:1"):
            for _ in range(3):
                code, out, err = run([binary("roster"), "tree"],
                                     env=environment(ROSTER_SERVER=servers))
                assert code == 0 and "pool" in out, (servers, code, out, err)


@shared
def a_reader_that_leaves_is_noticed(s):
    things = make_list(s)
    s.put(things, [{"name": f"n{i}", "x": "y" * 500} for i in range(2000)]).must(
        200)
    command = (f"{binary('roster')} --server http://127.0.0.1:{s.port} ls "
               f"{things.split('/')[3]} thing | head -n 1")
    p = subprocess.run(["bash", "-c", "set -o pipefail; " + command],
                       capture_output=True, timeout=20, text=True,
                       env=environment())
    assert p.stdout.startswith("_ID") and p.returncode != 0, p
    code, _, err = run(["bash", "-c", f"{binary('roster')} --server "
                        f"http://127.0.0.1:{s.port} tree >/dev/full"])
    assert code != 0 and err, "a full disk looked like success"


@bare
def standard_descriptors_that_are_closed_are_nobody_else_s():
    """The next file that is opened would get the log, or the answer."""
    def leads_to(pid, n):
        try:
            return os.readlink(f"/proc/{pid}/fd/{n}")
        except FileNotFoundError:
            return ""            # the shell has closed it just now
    for argv in (["rosterd", "--http", "127.0.0.1:0", "--raft", "127.0.0.1:0"],
                 ["roster-agent", "--server", "http://127.0.0.1:1"]):
        with tempfile.TemporaryDirectory() as home:
            p = subprocess.Popen(
                ["bash", "-c", 'cd "$1"; shift; exec "$@" 0<&- 1>&- 2>&-',
                 "bash", home, binary(argv[0]), *argv[1:]],
                env=environment(), preexec_fn=die_with_parent)
            try:
                until(lambda: all(
                    leads_to(p.pid, n) == "/dev/null" for n in range(3)))
            finally:
                p.kill()
                p.wait()


@bare
def an_environment_is_shared_by_all_programs():
    def knows(program):
        _, out, _ = run([binary(program), "--help"])
        return {line.split()[0][2:] for line in out.splitlines()
                if line.startswith("  --")} - {"help", "version"}
    settings = {p: knows(p) for p in ("rosterd", "roster-agent", "roster")}
    assert all(len(names) > 10 for names in settings.values()), settings
    for program, own in settings.items():
        others = set().union(*settings.values()) - own
        env = {"ROSTER_" + name.upper().replace("-", "_"): "x"
               for name in others}
        # What is refused is the last thing that is looked at.
        code, _, err = run([binary(program), "--zebra"],
                           env=environment(**env))
        assert code == 2 and "unknown option --zebra" in err, err
        code, _, err = run([binary(program), "--server", "http://127.0.0.1:1"]
                           if program != "rosterd" else [binary(program)],
                           env=environment(**env, ROSTER_ZEBRA="1"))
        assert code == 2 and "variable ROSTER_ZEBRA" in err, (code, err)
