"""The program roster (BRIEF 3): one request a command, for people and scripts."""
import json
import subprocess

from harness import (Server, all_pages, bare, binary, environment, fresh_name,
                     make_list, make_ns, path, run, shared, without)


def roster(s, *argv, env=None):
    """(exit status, stdout, stderr) of one command against this server."""
    return run([binary("roster"), "--server", f"http://127.0.0.1:{s.port}",
                *argv], env=env)


def good(s, *argv):
    code, out, err = roster(s, *argv)
    assert code == 0 and not err, (argv, code, out, err)
    return out


def as_json(s, *argv):
    return json.loads(good(s, "--json", *argv))


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
