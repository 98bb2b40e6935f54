"""A full disk and a full store (BRIEF P7, 8.12): writes are refused, what is
there stays readable, deletes and expiry go on, and room is used again."""
import ctypes
import os
import shutil
import time

from harness import (Server, Skip, bare, make_list, make_ns, path, say, test,
                     until)
from watching import Watch

KIB, MIB = 1 << 10, 1 << 20


def small_disk(mib):
    """A file system of its own, seen by this process and its children only;
    it goes with them."""
    folder = f"/tmp/roster-test-disk-{os.getpid()}"
    libc = ctypes.CDLL(None, use_errno=True)
    if os.geteuid() != 0 or libc.unshare(0x00020000) != 0:       # CLONE_NEWNS
        raise Skip("needs root and mount namespaces")
    libc.mount(b"none", b"/", None, 0x40000 | 0x4000, None)  # MS_PRIVATE|MS_REC
    os.makedirs(folder, exist_ok=True)
    if libc.mount(b"tmpfs", folder.encode(), b"tmpfs", 0,
                  f"size={mib}m".encode()) != 0:
        os.rmdir(folder)
        raise Skip("cannot mount a tmpfs here")
    return folder


def leave_disk(folder):
    ctypes.CDLL(None).umount2(folder.encode(), 2)                # MNT_DETACH
    os.rmdir(folder)


def free_mib(folder):
    st = os.statvfs(folder)
    return st.f_bavail * st.f_frsize / MIB


def settle(folder):
    """A server that has just started still takes what it keeps for itself: its
    ballast, and segments of the log ahead of need."""
    until(lambda: os.path.exists(os.path.join(folder, "data", "ballast")), 10,
          every=0.05)
    free = [free_mib(folder)]

    def rests():
        free.append(free_mib(folder))
        return len(free) > 10 and len(set(free[-10:])) == 1
    until(rests, 10, every=0.05)


def write_until_507(s, target, pad, most=5000, stem="n"):
    """Add rows until one is refused; the acknowledged ones by name."""
    kept = {}
    for i in range(most):
        a = s.post(target, {"name": f"{stem}{i}", "text": "x" * pad})
        if a.status == 507:
            a.problem(507)
            return kept
        row = a.must(201).json
        kept[row["name"]] = row["_rev"]
    raise AssertionError(f"{most} rows of {pad} bytes and still not full")


def nothing_lost(s, target, kept):
    rows = {r["name"]: r["_rev"] for r in s.rows(target)}
    lost = set(kept) - set(rows)
    assert not lost, f"{len(lost)} acknowledged rows lost"
    assert rows == kept, "rows that were refused are there"


def goes_on_while_full(s, target, kept):
    """What has to work without room: reads, heartbeats, deletes, expiry."""
    names = sorted(kept)
    s.get(f"{target}/{names[0]}").must(200)
    s.get("/v1/ns").must(200)
    s.get("/v1/search?k=name&v=" + names[0]).must(200)
    s.get(target + "?consistency=linearizable&limit=3").must(200)
    s.put("/v1/agents/held/heartbeat").must(204)
    s.get("/readyz?stale=1").must(200)
    s.get("/livez").must(200)
    for method, where, body in (
            ("PUT", f"{target}/{names[0]}", {"text": "y" * 4000}),
            ("PUT", f"{target}/brand-new", {"text": "y"}),
            ("PATCH", f"{target}/{names[0]}", {"more": "y" * 4000}),
            ("POST", "/v1/ns", {"parent": "roster", "name": "new"}),
            ("PUT", "/v1/agents/held/maintenance", {"duration": "1h"}),
            ("POST", "/v1/agents", {"hostname": "new"})):
        s.call(method, where, body).problem(507)
    # A history that is shortened makes room; an end takes none.
    s.put("/v1/admin/history", {"changes": 5000}).must(200)
    s.delete("/v1/agents/works/maintenance").must(204)
    with Watch(s, since=0) as w:
        assert len(w.caught_up()[0]) > len(kept)
    for name in names[:5]:
        s.delete(f"{target}/{name}").must(204)
        del kept[name]
    nothing_lost(s, target, kept)


def expires_while_full(s):
    until(lambda: s.get("/v1/agents/dies").status == 404, 12, every=0.1)
    s.get(path("v1", "ns", "pool.roster", "machine", "dies")).problem(404)
    s.put("/v1/agents/held/heartbeat").must(204)


def before_it_is_full(s):
    for name, ttl in (("dies", "6s"), ("held", "1h")):
        s.post("/v1/agents", {"hostname": name, "ttl": ttl}).must(201)
    s.post("/v1/agents", {"hostname": "works", "ttl": "1h"}).must(201)
    s.put("/v1/agents/works/maintenance", {"duration": "1h"}).must(200)
    return make_list(s)


@bare(timeout=150)
def on_a_full_disk_writes_are_507_and_all_else_goes_on():
    disk = small_disk(128)
    try:
        with Server("--disk-reserve", "16MiB", "--snapshot-bytes", "4MiB",
                    data_dir=os.path.join(disk, "data")) as s:
            target = before_it_is_full(s)
            settle(disk)
            ballast = os.path.join(disk, "ballast")
            with open(ballast, "wb") as f:     # somebody else fills the disk
                f.write(b"x" * int((free_mib(disk) - 30) * MIB))
            kept = write_until_507(s, target, 64 * KIB)
            say(f"{free_mib(disk):.0f} MiB free at the first 507, "
                f"{len(kept)} rows")
            assert kept, "refused from the start"
            goes_on_while_full(s, target, kept)
            expires_while_full(s)
            s.restart()
            nothing_lost(s, target, kept)
            # It is full still, but for what a start makes room for.
            kept.update(write_until_507(s, target, 64 * KIB, 100, "more"))
            nothing_lost(s, target, kept)
            os.unlink(ballast)
            until(lambda: s.post(target, {"name": "again"}).status in (201, 409),
                  10, every=0.2)
            rows = {r["name"] for r in s.rows(target)}
            assert rows == set(kept) | {"again"}
    finally:
        leave_disk(disk)


@bare(timeout=150)
def on_a_disk_without_one_free_byte_deletes_and_expiry_still_work():
    """The reserve is not enough when others take what it kept free."""
    disk = small_disk(128)
    try:
        with Server("--disk-reserve", "8MiB", "--snapshot-bytes", "4MiB",
                    data_dir=os.path.join(disk, "data")) as s:
            target = before_it_is_full(s)
            kept = {}
            for i in range(100):
                row = s.post(target, {"name": f"n{i}", "text": "x" * KIB}).must(
                    201).json
                kept[row["name"]] = row["_rev"]
            ballast = os.path.join(disk, "ballast")
            with open(ballast, "wb", buffering=0) as f:
                block = b"x" * (64 * KIB)
                try:
                    while True:
                        f.write(block)
                except OSError:
                    pass
            assert free_mib(disk) < 0.1
            time.sleep(1.5)           # the free space is looked at on a timer
            goes_on_while_full(s, target, kept)
            expires_while_full(s)
            nothing_lost(s, target, kept)
            assert s.alive()
            os.unlink(ballast)
            until(lambda: s.post(target, {"name": "again"}).status in (201, 409),
                  10, every=0.2)
            s.restart()
            rows = {r["name"] for r in s.rows(target)}
            assert rows == set(kept) | {"again"}
    finally:
        leave_disk(disk)


@bare(timeout=90)
def below_the_disk_reserve_writes_are_507_at_once():
    with Server() as s:
        target = before_it_is_full(s)
        kept = {}
        for i in range(20):
            row = s.post(target, {"name": f"n{i}"}).must(201).json
            kept[row["name"]] = row["_rev"]
        s.post(target, {"name": "keyed"}, {"Idempotency-Key": "k"}).must(201)
        assert s.stop() == 0
        free = shutil.disk_usage(s.data_dir).free // MIB
        s.flags += ["--disk-reserve", f"{free + 10000}MiB"]
        s.start()
        s.delete(f"{target}/keyed").must(204)
        s.post(target, {"name": "new"}).problem(507)
        goes_on_while_full(s, target, kept)
        expires_while_full(s)
        assert s.stop() == 0
        s.flags = s.flags[:-2]
        s.start()
        nothing_lost(s, target, kept)
        s.post(target, {"name": "new"}).must(201)


@test(flags=("--store-limit", "16MiB"), timeout=120)
def at_the_store_limit_writes_are_507_until_something_is_deleted(s):
    target = before_it_is_full(s)
    kept = write_until_507(s, target, 16 * KIB)
    say(f"{len(kept)} rows of 16 KiB in a store of 16 MiB")
    assert len(kept) > 50, "most of the store is not for rows"
    s.get(f"{target}/n0").must(200)
    nothing_lost(s, target, kept)
    for name in sorted(kept)[:len(kept) // 2]:
        s.delete(f"{target}/{name}").must(204)
        del kept[name]
    expires_while_full(s)
    row = until(lambda: (lambda a: a.json if a.status == 201 else None)(
        s.post(target, {"name": "again", "text": "x" * 16 * KIB})), 10)
    kept["again"] = row["_rev"]
    nothing_lost(s, target, kept)
    s.restart()
    nothing_lost(s, target, kept)
    more = 0
    while more < 10:
        s.post(target, {"name": f"more{more}", "text": "x" * 16 * KIB}).must(201)
        more += 1
    s.restart()
    assert len(s.rows(target)) == len(kept) + more


@test(flags=("--store-limit", "16MiB"), timeout=120)
def a_full_store_can_be_emptied_in_one_step(s):
    ns = make_ns(s)
    target = path("v1", "ns", ns, "thing")
    for _ in range(2):
        write_until_507(s, target, 32 * KIB)
        s.delete(path("v1", "ns", ns, recursive="true")).must(204)
        until(lambda: s.post("/v1/ns", {"parent": "roster",
                                        "name": ns.split(".")[0]}
                             ).status in (201, 409), 10, every=0.1)
        s.get(target).must(200)
        # The room comes back in bounded steps.
        until(lambda: s.post(target, {"text": "x" * 16 * KIB}).status == 201, 10,
              every=0.1)
