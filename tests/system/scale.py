"""Sizes that are too large for each run: tests/system/run --scale. The figures
are printed; only what the contract bounds is asserted."""
import statistics
import time

from harness import (SLACK_S, Wire, in_threads, make_list, make_ns, path, say,
                     test, all_pages, request_bytes)

HEARTBEATS = "/v1/heartbeats"


def post_many(s, target, bodies, workers=16):
    """POST each body; as raw bytes over kept connections, pipelined by 16."""
    todo = [bodies[i::workers] for i in range(workers)]

    def one(w):
        with Wire(s.port, timeout=60) as wire:
            for i in range(0, len(todo[w]), 16):
                part = todo[w][i:i + 16]
                wire.send(b"".join(request_bytes("POST", target, b)
                                   for b in part))
                for _ in part:
                    a = wire.answer("POST")
                    assert a is not None and a.status == 201, a
    in_threads(workers, one, timeout=600)


@test(alone=True, timeout=600)
def among_100000_leases_a_silent_machine_goes_within_1_s_after_its_ttl(s):
    n = 100_000
    began = time.monotonic()
    post_many(s, "/v1/agents", [b'{"hostname":"h-%d","ttl":"10m"}' % i
                                for i in range(n)])
    say(f"{n} registrations in {time.monotonic() - began:.1f} s; "
        f"{s.rss_anon_kib() // 1024} MiB")
    names = [f"h-{i}" for i in range(n)]

    def beat_all():
        t = time.monotonic()
        for i in range(0, n, 10_000):
            a = s.post(HEARTBEATS, {"hostnames": names[i:i + 10_000]}).must(200)
            assert a.json == {"unknown": []}
        return time.monotonic() - t
    say(f"{n / beat_all():.0f} renewals/s by one client in batches of 10,000")
    took = []
    for round_ in range(3):
        s.post("/v1/agents", {"hostname": "dies", "ttl": "3s"}).must(201)
        s.put("/v1/agents/dies/heartbeat").must(204)
        heard = time.monotonic()
        beat_all()
        while s.get("/v1/agents/dies").status == 200:
            assert time.monotonic() < heard + 4 + SLACK_S, "still there"
            time.sleep(0.01)
        took.append(time.monotonic() - heard)
        assert took[-1] > 2.98, "gone before its TTL"
        beat_all()
    say(f"ttl 3 s; gone after {', '.join('%.2f s' % t for t in took)}")
    assert len(all_pages(s, "/v1/agents?limit=20000")[0]) == n
    began = time.monotonic()
    s.restart()
    say(f"restart with {n} leases: {time.monotonic() - began:.2f} s")
    assert beat_all() > 0


@test(alone=True, timeout=300)
def a_row_more_costs_the_same_in_a_list_of_20000_as_in_an_empty_one(s):
    large, empties = make_list(s), [make_list(s) for _ in range(200)]
    for i in range(20):
        s.post(large, [{"name": f"n{i * 1000 + k}", "text": "x" * 100}
                       for k in range(1000)]).must(201)
    took = {"large": [], "empty": []}
    for i in range(400):
        for kind, target in (("large", large), ("empty", empties[i % 200])):
            began = time.perf_counter()
            s.post(target, {"name": f"more{i}", "text": "x" * 100}).must(201)
            took[kind].append(time.perf_counter() - began)
    a, b = (statistics.median(took[k]) * 1e6 for k in ("large", "empty"))
    say(f"median of 400, in turns: {a:.0f} us at 20,000 rows, {b:.0f} us empty: "
        f"ratio {a / b:.2f} (wanted: 0.8 to 1.2)")
    assert len(s.rows(large)) == 20_400


@test(alone=True, timeout=600)
def ten_thousand_namespaces_cost_no_more_than_a_few(s):
    def round_trip(targets):
        took = []
        for i in range(300):
            began = time.perf_counter()
            s.put(targets[i % len(targets)] + "/a", {"v": str(i)}).must(200, 201)
            took.append(time.perf_counter() - began)
        return statistics.median(took) * 1e6
    few = [make_list(s) for _ in range(10)]
    first = round_trip(few)
    began = time.monotonic()
    tops = [make_ns(s, "branch", name=f"t{i}") for i in range(100)]
    post_many(s, "/v1/ns", [
        b'{"parent":"%s","name":"l%d"}' % (top.encode(), i)
        for top in tops for i in range(100)], workers=8)
    say(f"10,100 namespaces in {time.monotonic() - began:.1f} s")
    many = [path("v1", "ns", f"l{i}.{tops[i % 100]}", "thing")
            for i in range(100)]
    scattered = round_trip(many + [
        path("v1", "ns", f"l{i // 2 % 100}.{tops[i % 100]}", "thing")
        for i in range(200)])
    again = round_trip(few)
    say(f"median write: {first:.0f} us among 10, {again:.0f} us among 10,000, "
        f"{scattered:.0f} us spread over them: ratio {again / first:.2f}")
    flat = s.get("/v1/ns?flat=true").must(200).json
    assert len(flat) == 2 + 10 + 100 + 10_000, len(flat)
    began = time.monotonic()
    s.restart()
    say(f"restart: {time.monotonic() - began:.2f} s")
    assert len(s.get("/v1/ns?flat=true").json) == len(flat)
