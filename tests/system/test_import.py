"""roster import and export: JSON lines in, JSON lines out, nothing twice."""
import collections
import json
import os
import resource
import signal
import subprocess
import time

from cli import as_json, good, lines_of, put, put_ns, roster, scratch
from harness import (PATIENCE, Server, all_pages, bare, binary, die_with_parent,
                     environment, fresh_name, make_ns, memory_counts, path,
                     shared, spawn, test, until, without)


def content(s):
    """Everything in a registry that an export is to carry, order of lists
    included."""
    found = {"types": [t for t in s.get("/v1/types").json if not t["builtin"]]}
    for node in s.get("/v1/ns?flat=true").json:
        ns = node["ns"]
        lists = {}
        for type_ in s.get(path("v1", "ns", ns)).json["types"]:
            rows, _ = all_pages(s, path("v1", "ns", ns, type_, limit=5000))
            if rows:
                lists[type_] = [without(row) for row in rows]
        found[ns] = (node["kind"], node["match"], node["comment"], lists)
    return found


def rows_of(s, ns, type_):
    return [without(r) for r in all_pages(
        s, path("v1", "ns", ns, type_, limit=5000))[0]]


def counted(s, ns, type_):
    return collections.Counter(
        json.dumps(r, sort_keys=True) for r in rows_of(s, ns, type_))


def fill(s):
    """One of everything that could be lost on the way."""
    s.put("/v1/types/rack", {"key": "row", "required": ["row"],
                             "checks": {"row": "int"}}).must(201)
    s.put("/v1/types/bag", {"key": None}).must(201)
    make_ns(s, name="shop", kind="branch", comment="every \"shop\"")
    make_ns(s, name="web", parent="shop.roster", match="^web-[0-9]+$")
    s.post("/v1/ns/shop.roster/config", {"name": "template", "a": "1"}).must(201)
    make_ns(s, name="db", parent="shop.roster")  # gets a copy of the template
    s.post("/v1/ns/web.shop.roster/rack", [{"row": str(i)} for i in
                                           (3, 1, 2)]).must(201)
    s.post("/v1/ns/web.shop.roster/bag", [{"x": "1"}, {"x": "1"}, {"x": "2"},
                                          {"name": "free", "x": "1"}]).must(201)
    s.post("/v1/ns/pool.roster/thing", [
        {"name": "a/b?c#%", "v": "\x1b[2J\x9b\x7f\r\n\0\u202e\ufeff𝄞"},
        {"name": "empty", "v": ""}, {"no": "key"}]).must(201)


@bare
def an_export_imported_elsewhere_is_equal_and_twice_changes_nothing():
    with Server() as a, Server() as b:
        fill(a)
        file = scratch(a, "all.jsonl")
        said = as_json(a, "export", file)
        assert said["resources"] == 12 and said["types"] == 2, said
        first = as_json(b, "import", file)
        assert first["complete"] and first["changed"] == 12, first
        assert content(a) == content(b)
        revision = b.revision()
        again = as_json(b, "import", file)
        assert again["changed"] == 0 and again["resources"] == 12, again
        assert b.revision() == revision, "the second run changed something"
        as_json(a, "import", file)  # where it came from: nothing new either
        assert content(a) == content(b)
        piped = good(a, "export")
        assert piped == open(file, encoding="utf-8").read()
        assert good(b, "export") == piped


@shared
def a_line_makes_what_is_above_it_and_changes_what_is_different(s):
    top = fresh_name("imp") + ".roster"
    good(s, "import", lines_of(put_ns(f"a.b.{top}", match="^a", comment="c"), "",
                               put(f"a.b.{top}", "thing", name="x", v="1")))
    assert s.get(path("v1", "ns", f"b.{top}")).json["kind"] == "branch"
    node = s.get(path("v1", "ns", f"a.b.{top}")).json
    assert (node["match"], node["comment"]) == ("^a", "c")
    good(s, "import", lines_of(put_ns(f"a.b.{top}", match=None, comment="d"),
                               put_ns(f"b.{top}", "branch", comment="later"),
                               {"op": "put", "ns": f"a.b.{top}", "type": "thing",
                                "revision": 7, "cause": "api", "id": "X",
                                "resource": {"_id": "01JD3QK6V9T8W7X5Y4Z3A2B1C0",
                                             "_rev": 3, "name": "x", "v": "2"}}))
    node = s.get(path("v1", "ns", f"a.b.{top}")).json
    assert (node["match"], node["comment"]) == (None, "d")
    assert s.get(path("v1", "ns", f"b.{top}")).json["comment"] == "later"
    assert rows_of(s, f"a.b.{top}", "thing") == [{"name": "x", "v": "2"}]
    good(s, "import", lines_of(put_ns("roster", "branch", comment="all of it"),
                               put_ns("pool.roster")))
    assert s.get("/v1/ns/roster").json["comment"] == "all of it"


@shared
def what_is_wrong_is_named_with_its_line(s):
    ns = make_ns(s)
    fine = put(ns, "thing", name="fine")
    cases = [
        ("garbage", "no JSON"), ("[1]", "no JSON object"), ('{"op":"put"', "JSON"),
        ({"op": "put", "ns": ns, "type": "thing"}, "'resource'"),
        ({"op": "delete", "ns": ns, "type": "thing", "id": "x"}, "'delete'"),
        ({**fine, "resurce": 1}, "did you mean 'resource'"),
        (put(ns, "thing", port=80), "'port' is a number"),
        (put(ns, "thing", _x="1"), "'_x'"), (put(ns, "thing"), "no field"),
        ({"op": "ns-put", "ns": ns, "kind": "twig"}, "'kind'"),
        (put("no.such.roster", "thing", name="x"), "no.such.roster"),
        (put(ns, "machine", hostname="a b"), "hostname"),
        (put(ns, "machine", os="x"), "hostname"),
        (put(ns, "Thing", name="x"), "type"),
        (put_ns(ns, "branch"), "a kind cannot change"),
        (put_ns(f"x.{ns}"), f"{ns} is a leaf"),
        (put(ns, "no type", x="1"), "no type is no name of a type"),
        (put_ns("x.y.elsewhere"), "elsewhere"),
        (put_ns(f"{fresh_name()}.roster", match="("), "match"),
        ({"op": "type-put", "type": "thing", "definition": {"key": 1}}, "key"),
        ('{"op":"put","op":"put"}', "duplicate"),
        ("\x00\xff\xfe", "JSON"),
    ]
    for wrong, says in cases:
        file = lines_of(fine, put(ns, "thing", name="two"), "", wrong)
        code, out, err = roster(s, "import", file)
        assert code == 1 and "line 4" in err and says in err, (wrong, code, err)
        assert "2 resources" in err and "second run" in err and not out, err
        assert "do[" not in err, err
        assert rows_of(s, ns, "thing") == [{"name": "fine"}, {"name": "two"}]
    code, _, err = roster(s, "import", "/no/such/file")
    assert code == 1 and "/no/such/file" in err, err


@shared
def rows_of_a_branch_are_no_templates_of_leaves_in_lines_before(s):
    for _ in range(5):
        top = f"{fresh_name()}.roster"
        good(s, "import", lines_of(
            put_ns(top, "branch"), *(put_ns(f"l{i}.{top}") for i in range(40)),
            put(top, "config", name="later", a="1")), remarks=True)
        assert [ns for ns in (f"l{i}.{top}" for i in range(40))
                if rows_of(s, ns, "config")] == []


@shared
def a_line_without_an_end_is_not_read_into_memory(s):
    file = scratch(s, "long")
    with open(file, "wb") as out:
        out.write(b'{"op":"put","ns":"')
        out.truncate(1 << 30)
    p = subprocess.run([binary("roster"), "--server",
                        f"http://127.0.0.1:{s.port}", "import", file],
                       capture_output=True, text=True, timeout=60 * PATIENCE,
                       env=environment(), check=False)
    assert p.returncode == 1 and "line 1" in p.stderr, p
    os.unlink(file)


@shared
def a_dry_run_stores_nothing(s):
    ns = make_ns(s)
    before = s.revision()
    said = as_json(s, "import", "--dry-run", lines_of(
        put_ns(f"new.{fresh_name()}.roster"), put(ns, "thing", name="x")))
    assert said["dry_run"] and said["resources"] == said["namespaces"] == 1
    code, _, err = roster(s, "import", "--dry-run", lines_of("nonsense"))
    assert code == 1 and "line 1" in err, err
    assert s.revision() == before and rows_of(s, ns, "thing") == []


@shared
def equal_rows_without_a_key_are_counted(s):
    ns = make_ns(s)
    list_path = path("v1", "ns", ns, "thing")
    s.post(list_path, [{"v": "1"}, {"v": "1"}, {"v": "other"}]).must(201)
    three = lines_of(*[put(ns, "thing", v="1")] * 3, put(ns, "thing", v="2"))
    for _ in range(3):
        good(s, "import", three)
        assert counted(s, ns, "thing") == {'{"v": "1"}': 3, '{"v": "other"}': 1,
                                           '{"v": "2"}': 1}


@shared
def a_secret_is_never_replaced_by_its_mask(s):
    ns = make_ns(s)
    type_ = fresh_name("sec")
    at = path("v1", "ns", ns, type_)
    s.put(path("v1", "types", type_), {"key": "name", "secret": ["pw"]}).must(201)
    s.post(at, {"name": "old", "pw": "real", "x": "1"}).must(201)
    code, out, err = roster(s, "export", "--ns", ns)
    assert code == 0 and '"pw":"***"' in out and "cannot be imported" in err
    file = lines_of(put(ns, type_, name="old", pw="***", x="2"),
                    put(ns, type_, name="new", pw="***", x="3"),
                    put(ns, "undefined", pw="***", v="1"))
    for _ in range(2):
        code, out, err = roster(s, "import", file)
        assert code == 0, err
    assert "line 2" in err and "line 1:" not in err, err
    assert rows_of(s, ns, type_) == [{"name": "old", "pw": "***", "x": "2"},
                                     {"name": "new", "x": "3"}]
    assert rows_of(s, ns, "undefined") == [{"v": "1"}]


@shared
def machines_with_an_agent_are_left_out_unless_asked_for(s):
    ns = make_ns(s)
    name = fresh_name("agent")
    s.post("/v1/agents", {"hostname": name}).must(201)
    s.post(path("v1", "ns", ns, "machine"), {"hostname": f"by-hand-{name}"}).must(
        201)
    code, out, err = roster(s, "export")
    assert code == 0 and f'"{name}"' not in out, err
    assert f"by-hand-{name}" in out and "--leased" in err, err
    assert f'"{name}"' in good(s, "export", "--leased", remarks=True)


@shared
def an_export_can_be_narrowed_and_keep_ids(s):
    top = fresh_name("exp")
    make_ns(s, name=top, kind="branch")
    ns = make_ns(s, parent=f"{top}.roster")
    s.post(path("v1", "ns", ns, "thing"), {"name": "a"}).must(201)
    s.post(path("v1", "ns", ns, "other"), {"name": "b"}).must(201)
    lines = [json.loads(line) for line in good(
        s, "export", "--ns", f"{top}.roster", "--type", "thing",
        "--with-ids").splitlines()]
    assert [x["op"] for x in lines if x["op"] != "type-put"] == [
        "ns-put", "ns-put", "put"], lines
    assert lines[-1]["resource"] == s.rows(path("v1", "ns", ns, "thing"))[0]
    code, out, err = roster(s, "export", "--ns", "nowhere.roster")
    assert code == 1 and "nowhere.roster" in err and "ns-put" not in out


def big(ns, n, keyed=True):
    name = f"/tmp/roster-test-{os.getpid()}-{fresh_name()}"
    with open(name, "w", encoding="utf-8") as out:
        for i in range(n):
            row = {"name": f"d{i:06}"} if keyed else {"n": f"d{i // 2:06}"}
            row["note"] = "x" * 40
            out.write(json.dumps(put(ns, "device", **row)) + "\n")
    return name


@test(timeout=180)
def a_hundred_thousand_rows_go_in_and_out_in_little_memory(s):
    ns, n = make_ns(s), 100_000 if memory_counts() else 20_000
    file, out = big(ns, n), scratch(s, "out.jsonl")

    def within(*argv):
        p = subprocess.run(
            [binary("roster"), "--server", f"http://127.0.0.1:{s.port}", *argv],
            capture_output=True, text=True, timeout=120 * PATIENCE, check=False,
            env=environment(), preexec_fn=die_with_parent)
        assert p.returncode == 0, p.stderr
    try:
        within("import", file)
        assert s.get(path("v1", "ns", ns)).json["types"]["device"][
            "count"] == n
        within("export", "--ns", ns, out)
        with open(file, encoding="utf-8") as a, open(out, encoding="utf-8") as b:
            wanted = [json.loads(line)["resource"]["name"] for line in a]
            got = [x["resource"]["name"] for x in map(json.loads, b)
                   if x["op"] == "put"]
        assert got == wanted, "order or content differs"
    finally:
        os.unlink(file)
    # Of all children so far the largest: neither holds the 100,000 rows.
    most = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    assert not memory_counts() or most < 120 << 10, f"{most} KiB"


@test(timeout=120)
def an_import_killed_in_the_middle_is_finished_by_the_next(s):
    for keyed in (True, False):
        ns = make_ns(s)
        n = 40_000
        file = big(ns, n, keyed)
        argv = [binary("roster"), "--server", f"http://127.0.0.1:{s.port}",
                "import", file]
        try:
            for most in (3_000, 15_000):
                p = spawn(argv, stderr=subprocess.DEVNULL, env=environment())

                def some_are_there():
                    types = s.get(path("v1", "ns", ns)).json["types"]
                    return types.get("device", {}).get("count", 0) > most
                until(some_are_there, 60, every=0.002)
                p.kill()
                p.wait()
            time.sleep(0.2)  # what it had sent arrives
            there = len(rows_of(s, ns, "device"))
            assert there < n, "it was over before it was killed"
            said = as_json(s, "import", file, timeout=120)
            assert said["resources"] == n and said["changed"] == n - there, said
            rows = rows_of(s, ns, "device")
            with open(file, encoding="utf-8") as lines:
                assert rows == [json.loads(x)["resource"] for x in lines]
        finally:
            os.unlink(file)


@bare(timeout=120)
def an_import_survives_a_server_that_dies_under_it():
    with Server() as s:
        ns = make_ns(s)
        n = 30_000
        file = big(ns, n, keyed=False)
        log = scratch(s, "import.log")
        with open(log, "wb") as err:
            p = spawn([binary("roster"), "--server",
                       f"http://127.0.0.1:1,http://127.0.0.1:{s.port}", "import",
                       file], stderr=err, env=environment())
        try:
            for _ in range(3):
                time.sleep(0.3)
                s.signal(signal.SIGKILL)
                s.process.wait()
                s.start()
            assert p.wait(90 * PATIENCE) == 0, open(log, encoding="utf-8").read()
            assert len(rows_of(s, ns, "device")) == n
        finally:
            os.unlink(file)


@shared
def an_export_that_cannot_be_written_leaves_no_file(s):
    folder = scratch(s, "empty")
    os.mkdir(folder)
    code, _, err = roster(s, "export", os.path.join(folder, "x"), "--ns", "no.x")
    assert code == 1 and err and os.listdir(folder) == [], err
    p = subprocess.run(f"{binary('roster')} --server http://127.0.0.1:{s.port} "
                       "export > /dev/full", shell=True, capture_output=True,
                       text=True, timeout=20 * PATIENCE, env=environment(),
                       check=False)
    assert p.returncode == 1 and "cannot be written" in p.stderr, p


@shared
def namespaces_and_keyed_rows_cost_no_idempotency_keys(s):
    """A server holds 200,000 for ten minutes: an import of more namespaces than
    that found every place taken, and nobody else could write."""
    def keys():
        return int(next(line.split()[1] for line in s.get(
            "/metrics").body.decode().splitlines()
            if line.startswith("roster_idempotency_keys ")))
    top = fresh_name("keys") + ".roster"
    before = keys()
    for _ in range(2):
        good(s, "import", lines_of(
            *[put_ns(f"n{i}.{top}") for i in range(50)],
            *[put(f"n{i}.{top}", "thing", name="x") for i in range(50)]))
    assert keys() == before


@shared
def an_export_without_room_for_names_is_no_export(s):
    ns = make_ns(s)
    s.post(path("v1", "ns", ns, "thing"), {"name": "x"}).must(201)
    # A limit of the process stands for a full /tmp; stdout is no file.
    p = subprocess.run(["bash", "-c", "trap '' XFSZ; ulimit -f 0; "
                        f"{binary('roster')} --server http://127.0.0.1:{s.port} "
                        f"export --ns {ns}; echo $? >&2"], capture_output=True,
                       text=True, timeout=20 * PATIENCE, env=environment(),
                       check=False)
    assert p.stderr.endswith("\n1\n") and "make room" in p.stderr, p
