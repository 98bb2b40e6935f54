"""What was found, for people and for programs."""
import json

import parts

NAMES = {"rate": "requests/s", "renewals": "renewals/s", "rows": "rows/s",
         "p50_us": "p50", "p99_us": "p99",
         "write_p50_us": "p50 of writes", "write_p99_us": "p99 of writes", "cpu_us": "CPU of the server",
         "seconds": "time", "joined": "joined in", "rss_anon": "RssAnon", "last_us": "the last",
         "answer_us": "the answer",
         "each": "bytes"}

SECONDS = ("seconds", "silence", "joined")


def number(value):
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def shown(figure, value):
    if figure.endswith("_us"):
        if value >= 1e6:
            return f"{value / 1e6:.2f} s"
        return f"{value / 1e3:.2f} ms" if value >= 1000 else f"{value:.1f} us"
    if figure in SECONDS:
        return f"{value:.2f} s"
    if figure == "rss_anon":
        return f"{value / 2**20:.1f} MiB"
    return number(value)


def table(row):
    """The points of curves, a line for each figure."""
    for curve in row.curves:
        yield f"    {curve['line']}, by {curve['x']}:"
        for figure, points in curve["figures"].items():
            if points:
                yield f"      {NAMES.get(figure, figure):<20} " + ", ".join(
                    f"{n:,}: {shown(figure, v)}" for n, v in points)


def figures(row):
    if row.curves:
        yield from table(row)
        return
    width = max([16, *map(len, row.figures)])
    for name, found in row.figures.items():
        parts_of_line = []
        for figure, value in found.items():
            if value is None:
                continue
            text = f"{NAMES.get(figure, figure)} {shown(figure, value['median'])}"
            if figure in ("rate", "renewals", *SECONDS) and value["n"] > 1:
                text += (f" ({shown(figure, value['min'])} .. "
                         f"{shown(figure, value['max'])})")
            parts_of_line.append(text)
        yield f"    {name:<{width}} {', '.join(parts_of_line)}"


def bound(b):
    value = b["value"]
    if value is None:
        return f"    {'':<16} {b['text']}: {b['verdict']}"
    def text(v):
        return f"{v / 2**20:.1f} MiB" if "RssAnon" in b["text"] else number(v)
    spread = "" if value["n"] < 2 else \
        f" ({text(value['min'])} .. {text(value['max'])})"
    verdict = f": {b['verdict'].upper()}" if b["verdict"] else ""
    return f"    {text(value['median']) + spread:<28} {b['text']}{verdict}"


def print_row(row):
    print(f"\n{row.name}: {row.title}")
    for line in figures(row):
        print(line)
    for b in row.bounds:
        print(bound(b))
    for note in row.notes:
        print(f"    - {note}")
    for fault in row.faults:
        print(f"    INVALID: {fault}", flush=True)


def print_head(facts, versions, missing):
    print(f"{facts['processor']}, {facts['processors']} processors "
          f"(server on {facts['server_processor']}, load on "
          f"{facts['load_processor']}); {facts['kernel']}; {facts['disk']}, "
          f"{facts['flushes_per_s']} flushes/s")
    for name, version in versions.items():
        print(f"  {name:<10} {version}")
    for name, why in missing.items():
        print(f"  {name:<10} left out: {why}")
    print("Figures are medians of rounds (least .. most); ratios are taken "
          "within a round.\netcd is asked by its JSON gateway.", flush=True)


def print_tail(rows):
    verdicts = [b["verdict"] for row in rows for b in row.bounds
                if b["verdict"]]
    print("\n" + ", ".join(f"{verdicts.count(v)} {v}" for v in
                           ("met", "not met", "not measured", "does not count",
                            "invalid") if v in verdicts))
    for row in rows:
        for b in row.bounds:
            if b["verdict"] in ("not met", "invalid", "does not count"):
                print(f"  {row.name}: {b['text']}: {b['verdict']}")


def write_json(path, bench, facts, missing, rows):
    with open(path, "w", encoding="utf-8") as f:
        json.dump({
            "format": 1, "machine": facts, "versions": bench.versions,
            "left_out": missing, "commands": bench.commands,
            "options": {k: v for k, v in vars(bench.options).items()},
            "rows": [row.as_json() for row in rows]}, f, indent=1)
        f.write("\n")
    parts.say(f"written: {path}")
