"""GET /metrics: what watches a fleet's registry reads there (BRIEF 4.5)."""
import os
import re
import shutil
import subprocess
import time

from harness import REPOSITORY, Skip, make_list, path, request_bytes, shared, test, until


def samples(s):
    """name{labels} -> value"""
    found = {}
    for line in s.get("/metrics").must(200).body.decode().splitlines():
        if line and not line.startswith("#"):
            name, value = line.rsplit(" ", 1)
            found[name] = float(value)
    return found


def promtool():
    """Where scripts/deps --test puts it, or where the system has it."""
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    found = shutil.which("promtool") or shutil.which(
        "promtool", path=os.path.join(cache, "roster"))
    if not found:
        raise Skip("no promtool here: scripts/deps --test fetches it")
    return found


@shared
def promtool_finds_nothing_to_complain_about(s):
    tool = promtool()
    things = make_list(s)
    s.post(things, {"name": "a"}).must(201)
    s.get(things).must(200)
    s.get("/nowhere").problem(404)
    text = s.get("/metrics").must(200).body
    p = subprocess.run([tool, "check", "metrics"], input=text,
                       capture_output=True, timeout=60, check=False)
    assert p.returncode == 0 and not p.stdout and not p.stderr, \
        (p.stdout + p.stderr).decode()


@shared
def what_an_operator_looks_for_is_there(s):
    have = samples(s)
    plain = {name.split("{")[0] for name in have}
    for name in (
            "process_cpu_seconds_total", "process_resident_memory_bytes",
            "process_open_fds", "process_max_fds", "process_start_time_seconds",
            "roster_process_anonymous_memory_bytes", "roster_process_threads",
            "roster_build_info", "roster_revision", "roster_is_leader",
            "roster_raft_term", "roster_raft_applied_index",
            "roster_http_requests_total",
            "roster_http_request_duration_seconds_bucket",
            "roster_http_connections", "roster_http_connections_max",
            "roster_http_connections_exhausted_total",
            "roster_http_workers_queued",
            "roster_log_write_duration_seconds_bucket",
            "roster_store_commit_duration_seconds_bucket",
            "roster_loop_turn_duration_seconds_bucket",
            "roster_loop_turn_max_seconds",
            "roster_loop_turn_cpu_max_seconds",
            "roster_loop_turns_cpu_long_total",
            "roster_loop_step_max_seconds", "roster_loop_long_turns_total",
            "roster_store_used_bytes",
            "roster_log_context_waits_total",
            "roster_loop_apply_put_off_total",
            "roster_store_limit_bytes", "roster_store_readers",
            "roster_cache_bytes", "roster_cache_limit_bytes",
            "roster_disk_is_low", "roster_disk_free_bytes",
            "roster_disk_reserve_bytes", "roster_disk_ballast_bytes",
            "roster_admin_jobs", "roster_admin_jobs_done_total",
            "roster_admin_jobs_failed_total", "roster_restores_total",
            "roster_backups_open", "roster_leases", "roster_heartbeats_total",
            "roster_commands_refused_total", "roster_commands_unknown_total",
            "roster_snapshots_total", "roster_snapshot_failures_total"):
        assert name in plain, name
    assert 'roster_loop_turn_duration_seconds_bucket{le="0.02"}' in have
    assert abs(have["process_start_time_seconds"] - time.time()) < 3600
    assert have["process_open_fds"] > 5
    assert have["process_max_fds"] >= have["process_open_fds"]
    assert have["process_resident_memory_bytes"] > 1 << 20


@shared(flags=("--access",))
def what_the_readme_tells_to_watch_is_there(s):
    with open(os.path.join(REPOSITORY, "README.md"), encoding="utf-8") as f:
        text = f.read()
    table = text.split("### Metrics worth an alert")[1].split("\n## ")[0]
    named = set(re.findall(r"`((?:roster|process)_\w+)", table))
    s.post("/v1/admin/snapshot").must(200)
    have = samples(s)
    plain = {re.sub("_(bucket|sum|count)$", "", name.split("{")[0])
             for name in have}
    assert len(named) > 10 and named <= plain, named - plain


@test
def counters_count_what_was_done(s):
    things = make_list(s)
    before = samples(s)
    body = {"name": "a", "text": "x" * 1000}
    for i in range(10):
        s.post(things, {**body, "name": f"n{i}"}).must(201)
    s.post(things, {"name": "n1"}).problem(409)
    list_bytes = len(s.get(things).must(200).body)
    s.get(things).must(200)
    s.head(things).must(200)
    s.post("/v1/agents", {"hostname": "m"}).must(201)
    s.put("/v1/agents/m/heartbeat").must(204)
    after = samples(s)

    def grown(name):
        return after.get(name, 0) - before.get(name, 0)
    posts = 'roster_http_requests_total{method="POST",' \
        'route="/v1/ns/{ns}/{type}",code="%s"}'
    assert grown(posts % "2xx") == 10
    assert grown(posts % "4xx") == 1
    # The scrape itself is one, too.
    assert grown("roster_http_request_duration_seconds_count") == 17
    assert grown("roster_commands_total") == 12
    assert grown("roster_log_write_duration_seconds_count") == \
        grown("roster_packs_total") >= 1
    assert grown("roster_store_commit_duration_seconds_count") >= 1
    assert grown("roster_resources") == 11
    assert grown("roster_registered_agents") == 1
    assert grown("roster_heartbeats_total") >= 1
    assert grown("roster_revision") == 11
    assert grown("roster_cache_hits_total") + \
        grown("roster_http_answers_kept_total") >= 1
    assert 10_000 < grown("roster_http_request_body_bytes_total") < 12_000
    # Twice the list; HEAD sends none. The rest are small answers and a scrape.
    sent = grown("roster_http_response_body_bytes_total")
    assert 2 * list_bytes < sent < 2 * list_bytes + 60_000, sent
    assert grown("roster_loop_turn_duration_seconds_count") > 0
    s.get("/v1/admin/backup").must(200)
    made = s.post("/v1/admin/snapshot").must(200).json
    s.post("/v1/admin/restore", raw=b"no state").problem(400)
    now = samples(s)
    for kind, done, failed in (("backup", 1, 0), ("snapshot", 1, 0),
                               ("restore", 0, 1), ("digest", 0, 0)):
        label = f'{{kind="{kind}"}}'
        assert now["roster_admin_jobs_done_total" + label] == done, kind
        assert now["roster_admin_jobs_failed_total" + label] == failed, kind
    assert now["roster_snapshot_index"] == made["index"]
    assert now["roster_snapshot_bytes"] == made["bytes"]
    assert abs(now["roster_snapshot_timestamp_seconds"] - time.time()) < 600
    assert now["roster_admin_jobs"] == 0
    assert after["roster_loop_turn_max_seconds"] > 0


@test
def the_steps_of_the_core_loop_make_up_its_turns(s):
    things = make_list(s)

    def steps(have):
        return {name.split('"')[1]: value for name, value in have.items()
                if name.startswith("roster_loop_step_seconds_total{")}
    before = samples(s)
    for i in range(50):
        s.post(things, [{"name": f"n{i}-{j}"} for j in range(20)]).must(201)
    after = samples(s)
    grown = {step: value - steps(before)[step]
             for step, value in steps(after).items()}
    assert grown["apply"] > 0 and grown["commit"] > 0 and grown["order"] > 0
    turns = after["roster_loop_turn_duration_seconds_sum"] - \
        before["roster_loop_turn_duration_seconds_sum"]
    # A turn may end between the two that are read.
    assert abs(sum(grown.values()) - turns) < 0.01 + turns / 10
    assert max(value for name, value in after.items()
               if name.startswith("roster_loop_step_max_seconds{")) <= \
        after["roster_loop_turn_max_seconds"] + 1e-6


@test(flags=("--io-threads", "1", "--max-connections", "4"))
def a_server_without_a_connection_to_give_counts_it(s):
    s.api.close()
    wires = []
    for _ in range(4):
        wires.append(s.wire())
        wires[-1].send(request_bytes("GET", "/livez"))
        assert wires[-1].answer().status == 200
    wires[0].close()
    until(lambda: s.get("/livez").status == 200)
    assert samples(s)["roster_http_connections_exhausted_total"] >= 1
    for wire in wires[1:]:
        wire.close()


@shared
def labels_come_from_a_table_and_never_from_a_client(s):
    for i in range(50):
        s.get(path("v1", "ns", f"nowhere{i}.roster", f"type{i}")).problem(404)
        s.call("BREW" + "X" * i, f"/pot{i}")
    text = s.get("/metrics").must(200).body.decode()
    assert "nowhere" not in text and "/pot" not in text and "BREW" not in text
    routes = set(re.findall(r'route="([^"]*)"', text))
    assert routes <= {"none"} | set(
        s.get("/openapi.json").must(200).json["paths"]), routes
