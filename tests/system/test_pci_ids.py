"""Real data: Debian's list of PCI devices, 2,300 vendors as leaves, 33,000
devices and subsystems as resources. Every row has to come back byte for byte
by list, by search, and from a backup in a fresh directory."""
import os
import tempfile
import time

from harness import (REPOSITORY, Server, Skip, bare, binary, path, run,
                     say, without)

LIST = "/usr/share/misc/pci.ids"
UNDER = "pci.roster"


def parse():
    """{vendor: (name, {device: row}, {subsystem: row})}: the list read by other
    means than those of the script."""
    if not os.path.exists(LIST):
        raise Skip(f"{LIST} is not here: install Debian's pci.ids")
    vendors, vendor, device = {}, None, None
    with open(LIST, encoding="utf-8") as lines:
        for line in lines:
            line = line.rstrip("\n")
            if line.startswith("C "):
                break
            if not line.strip() or line.startswith("#"):
                continue
            code, name = line.strip("\t").split("  ", 1)
            depth = len(line) - len(line.lstrip("\t"))
            if depth == 0:
                vendor = vendors[code] = (name, {}, {})
            elif depth == 1:
                device = code
                vendor[1][code] = {"device": code, "name": name}
            else:
                of_vendor, of_device = code.split()
                key = f"{device}:{of_vendor}:{of_device}"
                vendor[2][key] = {"subsystem": key, "device": device,
                                  "subvendor": of_vendor,
                                  "subdevice": of_device, "name": name}
    return vendors


def url(s):
    return f"http://127.0.0.1:{s.port}"


def load(s):
    began = time.monotonic()
    code, _, err = run([os.path.join(REPOSITORY, "scripts", "load-pci-ids"),
                        "--server", url(s), "--roster", binary("roster")],
                       timeout=120)
    assert code == 0, err
    return time.monotonic() - began


def by_key(rows, key):
    found = {row[key]: without(row) for row in rows}
    assert len(found) == len(rows), "a key came twice"
    return found


def check_lists(s, vendors):
    """By list, each of the two types in each leaf; the bytes as they came."""
    bodies = {}
    for code, (name, devices, subsystems) in vendors.items():
        ns = f"{code}.{UNDER}"
        assert s.get(path("v1", "ns", ns)).must(200).json["comment"] == name
        for kind, rows in (("device", devices), ("subsystem", subsystems)):
            a = s.get(path("v1", "ns", ns, kind)).must(200)
            assert by_key(a.json, kind) == rows, (ns, kind)
            bodies[ns, kind] = a.body
    return bodies


def check_search(s, vendors):
    for kind, at in (("device", 1), ("subsystem", 2)):
        found = {}
        target = path("v1", "search", ns=UNDER, type=kind, limit=10000)
        while target:
            a = s.get(target).must(200)
            for ns, rows in a.json.items():
                found.setdefault(ns, []).extend(rows)
            target = a.next()
        wanted = {f"{v}.{UNDER}": rows[at] for v, rows in vendors.items()
                  if rows[at]}
        assert {ns: by_key(rows, kind) for ns, rows in found.items()} == wanted
    # By one field, across all vendors.
    wanted = {f"{v}.{UNDER}" for v, rows in vendors.items() if "0001" in rows[1]}
    a = s.get(path("v1", "search", ns=UNDER, type="device", k="device",
                   v="0001")).must(200)
    assert set(a.json) == wanted and a.next() is None, a


def killed(s):
    """How soon it is back."""
    s.kill()
    began = time.monotonic()
    s.start()
    return time.monotonic() - began


@bare(timeout=300)
def thirty_thousand_real_rows_come_back_by_list_by_search_and_from_a_backup():
    vendors = parse()
    n_rows = sum(len(d) + len(s) for _, d, s in vendors.values())
    assert len(vendors) > 2000 and n_rows > 30000, (len(vendors), n_rows)
    some = dict(list(vendors.items())[::20])
    with Server() as s, tempfile.TemporaryDirectory() as home:
        took = load(s)
        bodies = check_lists(s, vendors)
        check_search(s, vendors)

        # Again: nothing changes.
        before = s.get("/v1/admin/digest").must(200).json
        load(s)
        after = s.get("/v1/admin/digest").must(200).json
        assert after["revision"] == before["revision"], (before, after)

        # Killed: nothing is missing.
        restart = killed(s)
        check_search(s, vendors)
        assert check_lists(s, some).items() <= bodies.items()

        # Backed up, restored elsewhere: the same bytes.
        file = os.path.join(home, "pci.backup")
        roster = [binary("roster"), "--server", url(s)]
        for argv in ([*roster, "backup", file],
                     [binary("roster"), "verify", file]):
            code, out, err = run(argv, timeout=60)
            assert code == 0, (argv, out, err)
        with Server() as fresh:
            code, out, err = run([binary("roster"), "--server", url(fresh),
                                  "restore", "--yes", file], timeout=60)
            assert code == 0, (out, err)
            assert check_lists(fresh, vendors) == bodies
            check_search(fresh, vendors)
            killed(fresh)
            check_search(fresh, vendors)
            assert check_lists(fresh, some).items() <= bodies.items()
        say(f"{len(vendors)} namespaces, {n_rows} resources: loaded in "
            f"{took:.1f} s, ready {restart:.2f} s after kill -9, backup of "
            f"{os.path.getsize(file) >> 20} MiB")
