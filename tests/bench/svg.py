"""Line charts as SVG: both axes may be logarithmic. Pure: a chart in, text out."""
import math
from xml.sax.saxutils import escape, quoteattr

WIDTH, HEIGHT = 760, 440
LEFT, RIGHT, TOP, BOTTOM = 84, 240, 56, 56
# Distinct also for those who see colours otherwise (Okabe and Ito).
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00",
           "#000000", "#8a8a8a")
PER_LINE = 16       # height of a line of the legend
LEGEND = 34         # letters in such a line


class Axis:
    """Values to places between `low` and `high`, of the drawing. `sizes`: they
    were chosen, so the axis ends with them and names each."""

    def __init__(self, values, low, high, logarithmic, sizes=False):
        self.log = logarithmic and min(values) > 0
        self.low, self.high = low, high
        self.sizes = sorted(set(values)) if sizes else []
        self.first, self.last = self._ends(min(values), max(values))

    def _ends(self, least, most):
        if self.sizes and least < most:
            return least, most
        if self.log:
            first = 10 ** math.floor(math.log10(least) + 1e-9)
            last = 10 ** math.ceil(math.log10(most) - 1e-9)
            return first, last if last > first else first * 10
        step = self.step(most)
        return 0, step * math.ceil(most / step) if most > 0 else 1

    @staticmethod
    def step(most):
        """A round number, of which some five reach `most`."""
        if most <= 0:
            return 1
        unit = 10 ** math.floor(math.log10(most / 5))
        return next(unit * k for k in (1, 2, 5, 10) if unit * k * 5 >= most)

    def place(self, value):
        def scaled(v):
            return math.log10(v) if self.log else v
        share = (scaled(value) - scaled(self.first)) / \
            (scaled(self.last) - scaled(self.first))
        return self.low + share * (self.high - self.low)

    def ticks(self):
        if self.sizes:
            return self.sizes
        if self.log:
            n = round(math.log10(self.last / self.first))
            return [self.first * 10 ** i for i in range(n + 1)]
        step = self.step(self.last)
        return [step * i for i in range(round(self.last / step) + 1)]


def short(value):
    """1,200,000 as 1.2M."""
    for unit, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= unit:
            return f"{value / unit:.4g}{letter}"
    return f"{value:.3g}"


def text(x, y, words, anchor="start", size=12, more=""):
    return (f'<text x="{x:.1f}" y="{y:.1f}" text-anchor={quoteattr(anchor)} '
            f'font-size="{size}"{more}>{escape(words)}</text>')


def stroke(points, colour, more=""):
    joined = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return (f'<polyline points="{joined}" fill="none" stroke="{colour}"'
            f'{more}/>')


def grid(x_axis, y_axis, of):
    for value in x_axis.ticks():
        x = x_axis.place(value)
        yield stroke([(x, y_axis.low), (x, y_axis.high)], "#dddddd")
        yield text(x, y_axis.low + 18, short(value), "middle")
    for value in y_axis.ticks():
        y = y_axis.place(value)
        yield stroke([(x_axis.low, y), (x_axis.high, y)], "#dddddd")
        yield text(x_axis.low - 8, y + 4, short(value), "end")
    yield text((x_axis.low + x_axis.high) / 2, HEIGHT - 14, of["x"],
               "middle")
    middle = (y_axis.low + y_axis.high) / 2
    yield text(18, middle, of["y"], "middle",
               more=f' transform="rotate(-90 18 {middle:.1f})"')


def folded(words, width):
    """In lines of at most `width` letters, but for a word that is longer."""
    lines = [""]
    for word in words.split():
        if lines[-1] and len(lines[-1]) + 1 + len(word) > width:
            lines.append("")
        lines[-1] += (" " if lines[-1] else "") + word
    return lines


def legend(lines):
    y = TOP + 8
    for i, line in enumerate(lines):
        colour = COLOURS[i % len(COLOURS)]
        x = WIDTH - RIGHT + 14
        yield stroke([(x, y - 4), (x + 18, y - 4)], colour,
                     ' stroke-width="3"')
        for words in folded(line["name"], LEGEND - 6):
            yield text(x + 24, y, words, more=' font-weight="bold"')
            y += PER_LINE
        for words in filter(None, folded(line.get("note", ""), LEGEND)):
            yield text(x + 24, y, words, size=10)
            y += PER_LINE - 3
        y += PER_LINE // 4


def drawn(line, colour, x_axis, y_axis):
    places = [(x_axis.place(x), y_axis.place(y)) for x, y in line["points"]]
    yield stroke(places, colour, ' stroke-width="2"')
    for (x, y), (size, value) in zip(places, line["points"]):
        yield (f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}">'
               f"<title>{escape(line['name'])}: {short(size)}, "
               f"{short(value)}</title></circle>")


def chart(of):
    """of: {"title", "x", "y", "lines": [{"name", "note", "points": [(x, y)]}],
    "log_y"}: a whole SVG file; None when there is nothing to draw."""
    lines = [line for line in of["lines"] if line["points"]]
    if not lines:
        return None
    xs, ys = ([p[i] for line in lines for p in line["points"]]
              for i in (0, 1))
    x_axis = Axis(xs, LEFT, WIDTH - RIGHT, True, True)
    y_axis = Axis(ys, HEIGHT - BOTTOM, TOP, of.get("log_y", False))
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" '
        f'height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}" '
        'font-family="sans-serif">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        text(LEFT, 28, of["title"], size=15), *grid(x_axis, y_axis, of)]
    for i, line in enumerate(lines):
        parts += drawn(line, COLOURS[i % len(COLOURS)], x_axis, y_axis)
    return "\n".join([*parts, *legend(lines), "</svg>", ""])
