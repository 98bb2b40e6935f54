"""The parts of scripts/bench that take numbers and give words, figures and
drawings: no server, no clock."""
import json
import os
import sys
import tempfile
import xml.etree.ElementTree as ElementTree

from harness import REPOSITORY, bare, run

sys.path.insert(0, os.path.join(REPOSITORY, "tests", "bench"))
import bodies   # noqa: E402  pylint: disable=wrong-import-position
import method   # noqa: E402  pylint: disable=wrong-import-position
import plots    # noqa: E402  pylint: disable=wrong-import-position
import svg      # noqa: E402  pylint: disable=wrong-import-position
import verdicts     # noqa: E402  pylint: disable=wrong-import-position
import ways     # noqa: E402  pylint: disable=wrong-import-position

SVG = "{http://www.w3.org/2000/svg}"


def kind(*costs, sizes=(10, 100, 1000, 10_000)):
    return verdicts.growth(list(zip(sizes, costs)))[0]


@bare
def a_cost_is_flat_within_a_fifth_of_the_first():
    assert kind(10, 12, 9, 11) == "flat"
    assert kind(10, 12.01, 10, 10) != "flat"
    assert kind(10, 10, 8.2, 10) == "falls"
    assert verdicts.growth([(10, 4), (1000, 5)])[1] == 1.25


@bare
def a_cost_that_grows_as_the_logarithm_is_told_from_one_that_grows_more():
    assert kind(10, 20, 30, 40) == "logarithmic"
    assert kind(10, 20, 30, 49) == "grows"
    assert kind(10, 30, 30, 40) == "grows"      # not only at the end
    assert kind(10, 100, 1000, 10_000) == "grows"
    # The logarithm of one is nothing.
    assert kind(10, 12, sizes=(1, 1024)) == "flat"
    assert kind(10, 100, sizes=(1, 1024)) == "logarithmic"


@bare
def how_a_cost_grows_is_said_with_its_power():
    squares = [(n, n * n) for n in (2, 4, 8, 16)]
    assert abs(verdicts.exponent(squares) - 2) < 1e-9
    assert "as n^2.00" in verdicts.worded(squares)
    assert "64.00 x from 2 to 16" in verdicts.worded(squares)


@bare
def one_size_or_none_says_nothing():
    for points in ([], [(10, 5)], [(10, None), (100, 5)]):
        assert verdicts.growth(points) == (None, None), points
        assert "nothing" in verdicts.worded(points)
    assert verdicts.exponent([(10, 5), (10, 6)]) is None


@bare
def a_rate_that_halves_is_a_cost_that_doubles():
    points = verdicts.costs("rate", [[10, 1000], [100, 500], [1000, 0]])
    assert verdicts.growth(points) == ("logarithmic", 2.0), points
    assert verdicts.costs("cpu_us", [[10, 3]]) == [(10, 3)]


def row_of(*rounds):
    row = method.Row("r", "a row")
    return row.take([{"order": list(samples), "samples": {
        n: {"rate": rate, "faults": []} for n, rate in samples.items()}}
        for samples in rounds], ("rate",))


@bare
def a_ratio_is_taken_within_a_round_and_its_median_is_judged():
    # The machine was busy in the second round, for both.
    row = row_of({"a": 90, "b": 100}, {"a": 18, "b": 20}, {"a": 50, "b": 100})
    assert row.ratio("rate", "a", "b") == {"median": 0.9, "min": 0.5,
                                           "max": 0.9, "n": 3}
    row.versus("rate", "a", "b", "at least 0.85", lambda v: v >= 0.85)
    row.versus("rate", "a", "absent", "beside one who is not there",
               lambda v: True)
    assert [b["verdict"] for b in row.bounds] == ["met", "not measured"]
    row.refuse("rows were lost")
    assert row.bounds[0]["verdict"] == "invalid"


@bare
def a_curve_is_judged_by_its_kind_and_one_point_is_not():
    names = {n: f"x @ {n}" for n in (10, 1000)}
    row = row_of({"x @ 10": 100, "x @ 1000": 20})
    row.draw("x", "rows", names, ("rate",), judged=True)
    row.draw("y", "rows", {10: "x @ 10"}, ("rate",), judged=True)
    row.draw("z", "rows", names, ("rate",))
    row.judge_curves("rate", ("flat",))
    assert [b["verdict"] for b in row.bounds] == ["not met", "not measured"]
    assert row.bounds[0]["value"]["median"] == 5
    assert json.loads(json.dumps(row.as_json()))["curves"][0]["figures"] == {
        "rate": [[10, 100], [1000, 20]]}


@bare
def who_asks_is_said_in_the_header_and_changes_nothing_else():
    request = bodies.http("POST", "/x", {"a": "b\r\n"})
    signed = bodies.signed(request, ("Authorization: Bearer t",))
    assert signed.replace(b"Authorization: Bearer t\r\n", b"") == request
    assert signed.startswith(b"POST /x HTTP/1.1\r\nAuthorization: Bearer t\r\n")
    assert bodies.signed(request, ()) == request


@bare
def rows_in_other_ways_have_names_of_their_own():
    rows = ways.rows({"one": "a", "two": "b"}, "one")
    assert list(rows) == ["one", "two", "one.access", "one.tls", "one.both"]
    assert rows["one.tls"] == "a, within TLS"


def drawn(lines, **more):
    text = svg.chart({"title": "t", "x": "x", "y": "y", "lines": lines, **more})
    return text and ElementTree.fromstring(text)


@bare
def a_drawing_is_well_formed_whatever_things_are_called():
    evil = "<script>&\"']]>\u00e9"
    root = drawn([{"name": evil, "note": evil, "points": [(1, 1), (10, 5)]}],
                 title=evil, y=evil)
    texts = [t.text for t in root.iter(SVG + "text")]
    assert texts.count(evil) == 4, texts
    assert not list(root.iter("script"))


@bare
def each_point_is_inside_of_the_frame_and_in_order():
    points = [(1, 3), (10, 2), (1000, 90)]
    for log_y in (False, True):
        root = drawn([{"name": "n", "points": points}], log_y=log_y)
        at = [(float(c.get("cx")), float(c.get("cy")))
              for c in root.iter(SVG + "circle")]
        assert at == sorted(at) and len(at) == 3, at
        assert at[1][1] > at[0][1] > at[2][1], at     # upwards is more
        assert all(svg.LEFT <= x <= svg.WIDTH - svg.RIGHT and
                   svg.TOP <= y <= svg.HEIGHT - svg.BOTTOM for x, y in at), at


@bare
def what_has_one_point_or_no_value_can_be_drawn_and_nothing_is_not():
    assert drawn([{"name": "n", "points": [(5, 7)]}]) is not None
    assert drawn([{"name": "n", "points": [(5, 0), (6, 0)]}],
                 log_y=True) is not None
    assert drawn([{"name": "n", "points": []}]) is None
    assert drawn([]) is None


@bare
def ticks_are_the_sizes_and_round_numbers():
    axis = svg.Axis([16, 1, 256], 0, 100, True, True)
    assert axis.ticks() == [1, 16, 256]
    assert (axis.place(1), axis.place(16), axis.place(256)) == (0, 50, 100)
    assert svg.Axis([3, 47], 0, 1, False).ticks() == [0, 10, 20, 30, 40, 50]
    assert svg.Axis([30, 4700], 0, 1, True).ticks() == [10, 100, 1000, 10_000]
    assert [svg.short(v) for v in (0.25, 12, 1500, 2e6)] == \
        ["0.25", "12", "1.5k", "2M"]


@bare
def an_earlier_run_is_drawn_again_from_its_figures():
    row = {"row": "curve-x", "title": "x", "curves": [{
        "line": "roster", "x": "rows", "judged": True,
        "figures": {"rate": [[10, 100], [100, 90]], "cpu_us": []}}]}
    assert [name for name, _ in plots.charts(row)] == \
        ["curve-x.rate.svg", "curve-x.cpu_us.svg"]
    bench = os.path.join(REPOSITORY, "scripts", "bench")
    with tempfile.TemporaryDirectory(prefix="roster-test-") as home:
        figures, pictures = os.path.join(home, "f.json"), home + "/svg"
        with open(figures, "w", encoding="utf-8") as f:
            json.dump({"rows": [{"row": "read-one", "curves": []}, row]}, f)
        code, _, err = run([bench, "--draw", figures, "--svg", pictures])
        assert code == 0, err
        # Nothing was measured of the second: nothing is drawn of it.
        assert os.listdir(pictures) == ["curve-x.rate.svg"]
        with open(pictures + "/curve-x.rate.svg", encoding="utf-8") as f:
            assert "flat: 1.11 x from 10 to 100" in f.read()
        code, _, err = run([bench, "--draw", bench, "--svg", pictures])
        assert code == 2 and "is not what --json writes" in err, err
