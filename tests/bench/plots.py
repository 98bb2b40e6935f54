"""The curves of a run as files: one for each figure of a row."""
import os

import svg
import verdicts

AXES = {"rate": ("requests/s", False), "p50_us": ("p50, us", True),
        "p99_us": ("p99, us", True), "last_us": ("the last, us", True),
        "cpu_us": ("CPU of the server for each, us", False),
        "each": ("bytes each", False)}


def charts(row):
    """(name of the file, chart) of each figure; `row` as in the JSON."""
    figures = {f: None for curve in row.get("curves", ())
               for f in curve["figures"]}
    for figure in figures:
        label, log_y = AXES.get(figure, (figure, False))
        curves = [c for c in row["curves"] if figure in c["figures"]]
        yield f"{row['row']}.{figure}.svg", {
            "title": row["title"], "x": curves[0]["x"], "y": label,
            "log_y": log_y, "lines": [line(c, figure) for c in curves]}


def line(curve, figure):
    points = [(x, y) for x, y in curve["figures"][figure] if y]
    note = verdicts.worded(verdicts.costs(figure, points)) \
        if curve["judged"] else ""
    return {"name": curve["line"], "note": note, "points": points}


def write(directory, rows):
    """Gives the names of the files."""
    os.makedirs(directory, exist_ok=True)
    written = []
    for row in rows:
        for name, chart in charts(row):
            text = svg.chart(chart)
            if text:
                full = os.path.join(directory, name)
                with open(full, "w", encoding="utf-8") as f:
                    f.write(text)
                written.append(full)
    return written
