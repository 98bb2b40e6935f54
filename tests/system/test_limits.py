"""Limits of rates: as they are set, and as they are counted."""
from harness import bare, binary, run, Server

LIMITS = ("token", "address", "signin-address", "signin-user", "unknown")


@bare
def every_limit_is_counted():
    with Server("--rate-token", "1000", "--rate-address", "1000") as s:
        text = s.get("/metrics").must(200).body.decode()
        for limit in LIMITS:
            assert f'roster_limit_refused_total{{limit="{limit}"}} 0' in text
            assert f'roster_limit_callers{{limit="{limit}"}}' in text


@bare
def a_rate_is_a_number_that_can_be_kept():
    for flag in ("--rate-token", "--rate-address"):
        for value in ("-1", "x", "1000001"):
            code, _, err = run([binary("rosterd"), flag, value])
            assert code == 2 and flag.strip("-") in err, err
