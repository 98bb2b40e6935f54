"""scripts/counts: what it makes of a count. What it counts with is seen when
scripts/test runs it."""
import os
import sys
import tempfile

from harness import REPOSITORY, bare, run

sys.path.insert(0, os.path.join(REPOSITORY, "tests", "bench"))
import count_work  # noqa: E402  pylint: disable=wrong-import-position
import counts      # noqa: E402  pylint: disable=wrong-import-position


@bare
def more_than_the_margin_is_worse_and_less_asks_for_a_commit():
    for now, verdict in ((1031, "worse"), (1029, "same"), (1000, "same"),
                         (971, "same"), (969, "better")):
        found, text = counts.judge(now, 1000, 0.03)
        assert found == verdict, (now, found)
        assert ("--update" in text) == (verdict == "better"), text
    assert counts.judge(1500, 1000, 0.03)[1].startswith("50.0% more than 1,000")
    assert counts.judge(5, None, 0.03)[0] == "new"


@bare
def each_operation_has_a_figure_and_no_figure_is_left_over():
    kept = counts.read_kept()
    assert list(kept["instructions"]) == list(count_work.OPERATIONS)
    assert all(n > 0 for n in kept["instructions"].values())


@bare
def figures_of_another_compiler_are_not_compared():
    kept = {"compiler": "gcc 12.2 -O2 x86_64"}
    assert counts.why_incomparable(kept, "gcc 12.2 -O2 x86_64") is None
    for other in ("gcc 13.1 -O2 x86_64", "clang 12.2 -O2 x86_64",
                  "gcc 12.2 -O3 x86_64", "gcc 12.2 -O2 b_coverage=True x86_64"):
        assert other in counts.why_incomparable(kept, other)


@bare
def written_figures_are_read_again():
    before = counts.KEPT
    with tempfile.TemporaryDirectory(prefix="roster-test-") as home:
        counts.KEPT = os.path.join(home, "counts.json")
        try:
            counts.write_kept("gcc 1.2", {"read": 17, "write": 40})
            assert counts.read_kept() == {
                "compiler": "gcc 1.2", "instructions": {"read": 17, "write": 40}}
        finally:
            counts.KEPT = before


@bare
def the_operations_are_listed():
    code, out, _ = run([os.path.join(REPOSITORY, "scripts", "counts"), "--list"])
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()] == \
        list(count_work.OPERATIONS)
