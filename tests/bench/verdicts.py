"""What a curve says: how a cost goes with a size. Pure: numbers in, words out."""
import math
import statistics

FLAT = 1.2      # times the first point, or one by that


def exponent(points):
    """Of the power of the size that goes best through the points (least squares
    of the logarithms): 0 flat, 1 in proportion. None of fewer than two sizes."""
    xs = [math.log(x) for x, _ in points]
    ys = [math.log(y) for _, y in points]
    if len(set(xs)) < 2:
        return None
    x, y = statistics.fmean(xs), statistics.fmean(ys)
    return sum((a - x) * (b - y) for a, b in zip(xs, ys)) / \
        sum((a - x) ** 2 for a in xs)


def costs(figure, points):
    """A rate is what one costs the other way round."""
    return [(x, 1 / y if figure == "rate" else y) for x, y in points if y]


def growth(points):
    """(kind, the last to the first) of (size, cost) in the order of sizes.
    flat: each cost is within a fifth of the first. falls: none is above that.
    logarithmic: none is more than a fifth above the first times what the
    logarithm of the size has grown by. Else it grows. One point says nothing:
    (None, None)."""
    points = [(x, y) for x, y in points if y]
    if len(points) < 2:
        return None, None
    (x0, y0), (_, last) = points[0], points[-1]
    if all(y <= y0 * FLAT for _, y in points):
        flat = all(y >= y0 / FLAT for _, y in points)
        return ("flat" if flat else "falls"), last / y0
    # Below two the logarithm begins with nothing.
    base = math.log(max(x0, 2))
    if all(y <= y0 * FLAT * max(1, math.log(max(x, 2)) / base)
           for x, y in points):
        return "logarithmic", last / y0
    return "grows", last / y0


def worded(points):
    """For people."""
    kind, ratio = growth(points)
    points = [(x, y) for x, y in points if y]
    if kind is None:
        return "one size says nothing"
    more = f", as n^{exponent(points):.2f}" if kind == "grows" else ""
    return (f"{kind}{more}: {ratio:.2f} x from {points[0][0]:,} to "
            f"{points[-1][0]:,}")
