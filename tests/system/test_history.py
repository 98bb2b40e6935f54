"""How long changes are remembered (BRIEF 4.4, 8.4)."""
from harness import make_list, shared, test

HISTORY = "/v1/admin/history"


def history(s):
    return s.get(HISTORY).must(200).json


def change(s, target, n):
    for at in range(0, n, 500):
        s.post(target, [{"name": f"{s.get(HISTORY).json['last']}-{i}"}
                        for i in range(min(500, n - at))]).must(201)


@test(flags=("--history", "1000"))
def the_history_is_as_long_as_was_said_and_survives_kill_9(s):
    target = make_list(s)
    change(s, target, 1500)
    before = history(s)
    assert before["changes"] == before["held"] == 1000, before
    assert before["bytes"] == 0, before
    assert before["last"] - before["first"] == 999, before
    s.kill()
    s.start()
    assert history(s) == before


@test(flags=("--history", "1000"))
def a_setting_goes_through_the_log_and_keeps_bytes_too(s):
    target = make_list(s)
    change(s, target, 1500)
    said = s.put(HISTORY, {"changes": 1000, "bytes": 1 << 20}).must(200)
    assert said.json["bytes"] == 1 << 20, said.json
    change(s, target, 500)
    assert history(s)["held"] == 1500, history(s)
    s.kill()
    s.start()
    assert history(s)["held"] == 1500, history(s)
    s.put(HISTORY, {"changes": 1200}).must(200)
    change(s, target, 500)
    now = history(s)
    assert (now["changes"], now["bytes"], now["held"]) == (1200, 0, 1200)
    digest = s.get("/v1/admin/digest").must(200).json["digest"]
    file = s.get("/v1/admin/backup").must(200).body
    s.post("/v1/admin/restore", raw=file, headers={
        "Content-Type": "application/octet-stream"}).must(200)
    now = history(s)
    assert now["changes"] == 1200 and now["first"] == now["last"], now
    assert s.get("/v1/admin/digest").json["digest"] != digest


@shared
def a_setting_that_is_none_is_refused_and_named(s):
    for body, field in (({}, "changes"), ({"changes": 5}, "changes"),
                        ({"changes": "many"}, "changes"),
                        ({"changes": 2000, "bytes": -1}, "bytes"),
                        ({"changes": 2000, "days": 3}, "days")):
        problem = s.put(HISTORY, body).must(400).json
        assert problem["field"] == field, problem
    assert history(s)["changes"] == 100000
