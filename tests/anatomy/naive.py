"""The quantities of every rule for one spine, corner by corner, written without arrays."""

import math
from itertools import pairwise
from statistics import median

from mahtdiag.schema.skeleton import Skeleton

Point = tuple[float, float]


def minus(a: Point, b: Point) -> Point:
    return a[0] - b[0], a[1] - b[1]


def middle(*points: Point) -> Point:
    return sum(p[0] for p in points) / len(points), sum(p[1] for p in points) / len(points)


def dot(a: Point, b: Point) -> float:
    return a[0] * b[0] + a[1] * b[1]


def direction(a: Point) -> Point:
    return a[0] / math.hypot(*a), a[1] / math.hypot(*a)


def tilt_deg(left: Point, right: Point) -> float:
    return math.degrees(math.atan2(right[1] - left[1], right[0] - left[0]))


def between_deg(one: float, other: float) -> float:
    """Signed difference of two undirected lines, −90…90."""
    return (other - one + 90) % 180 - 90


def stand_outs(ul: Point, ur: Point, lr: Point, ll: Point) -> list[float]:
    """Signed distance of each corner from the line through its two neighbours."""
    around = [ul, ur, lr, ll]
    distances = []
    for n, corner in enumerate(around):
        a, b = around[n - 1], around[(n + 1) % 4]
        distances.append(
            ((corner[0] - a[0]) * (b[1] - a[1]) - (corner[1] - a[1]) * (b[0] - a[0])) / math.dist(a, b)
        )
    return distances


def local_axes(centres: list[Point]) -> list[Point]:
    """Central differences of the centres; every spine tested with this runs down the image."""
    last = len(centres) - 1
    return [direction(minus(centres[min(v + 1, last)], centres[max(v - 1, 0)])) for v in range(last + 1)]


def quantities(points: list[Point], skeleton: Skeleton) -> dict[tuple[str, str], float]:
    """Value of every limit key and level of one complete spine."""
    names = skeleton.vertebrae
    bodies = [points[4 * v : 4 * v + 4] for v in range(len(skeleton.bodies))]
    heights = [(math.dist(b[0], b[2]) + math.dist(b[1], b[3])) / 2 for b in bodies]
    widths = [(math.dist(b[0], b[1]) + math.dist(b[2], b[3])) / 2 for b in bodies]
    height, width = median(heights), median(widths)
    endplates = [(points[k], points[k + 1]) for k in range(0, len(points), 2)]
    tilts = [tilt_deg(*endplate) for endplate in endplates]
    centres = [middle(*b) for b in bodies] + ([middle(*points[-2:])] if skeleton.last_endplate else [])
    axes = local_axes(centres)
    found: dict[tuple[str, str], float] = {}
    found_gaps = []
    inner = len(skeleton.bodies) - 1
    for v in range(inner):
        lower, upper = middle(*endplates[2 * v + 1]), middle(*endplates[2 * v + 2])
        found_gaps.append(dot(minus(upper, lower), direction(minus(centres[v + 1], centres[v]))))
    for v in range(len(centres) - 1):
        pair = f"{names[v]}/{names[v + 1]}"
        found["A101", pair] = (centres[v + 1][1] - centres[v][1]) / height
        lower, upper = middle(*endplates[2 * v + 1]), middle(*endplates[2 * v + 2])
        gap = dot(minus(upper, lower), direction(minus(centres[v + 1], centres[v]))) / height
        found["A102", pair] = found["A501-gap", pair] = gap
        found["A202" if v < inner else "A202-S1", pair] = abs(between_deg(tilts[2 * v + 1], tilts[2 * v + 2]))
        if v < inner:
            for key, size in (("A302-width", widths), ("A302-height", heights)):
                found[key, pair] = abs(size[v + 1] - size[v]) / ((size[v + 1] + size[v]) / 2)
            expected = (heights[v] + heights[v + 1]) / 2 + median(found_gaps)
            found["A501-min", pair] = found["A501-max", pair] = math.dist(*centres[v : v + 2]) / expected
    for v, (ul, ur, ll, lr) in enumerate(bodies):
        down = max(dot(minus(ll, ul), axes[v]), dot(minus(lr, ur), axes[v])) / height
        out = stand_outs(ul, ur, lr, ll)
        found["A103", names[v]] = down
        found["A201", names[v]] = abs(between_deg(tilts[2 * v], tilts[2 * v + 1]))
        found["A301-min", names[v]] = found["A301-max", names[v]] = widths[v] / heights[v]
        found["A401", names[v]] = 0.0
        found["A403", names[v]] = min(out) / height
    leaning = leanings(tilts, 1.0 if skeleton.last_endplate else 0.5)
    weights = {e: 0.75 if e in (0, len(endplates) - 1) else 1.0 for e in leaning}
    for e in peaks({e: weights[e] * leaning[e] for e in leaning}, 1):
        by = {0: (1, 2, 3), len(tilts) - 1: range(len(tilts) - 4, len(tilts) - 1)}.get(e, ())
        if all(leaning[other] <= 0.75 * leaning[e] for other in by):
            found["A203-S1" if e == 2 * len(skeleton.bodies) else "A203", f"{names[e // 2]} {e}"] = leaning[e]
    off = {
        k: dot(minus(points[k], middle(points[k - 2], points[k + 2])), rightwards(axes[k // 4])) / height
        for k in range(2, len(points) - 2)
    }
    alone = {k: max(abs(off[k]) - abs(off[k ^ 1]), 0.0) for k in off}
    for k in (0, 1, len(points) - 2, len(points) - 1):
        alone[k] = smaller(*(step / height for step in end_steps(points, k, rightwards(axes[k // 4]))))
    ends = {k: 0.75 * alone[k] for k in alone if k not in off}
    kept_off = peaks({k: abs(off[k]) for k in off} | ends, 2)
    kept_alone = peaks(alone | ends, 2)
    for v, name in enumerate(names):
        if own_peaks := [abs(off[k]) for k in kept_off if k // 4 == v and k in off]:
            found["A404", name] = max(own_peaks)
        if own_peaks := [alone[k] for k in kept_alone if k // 4 == v]:
            found["A405", name] = max(own_peaks)
    for v in range(len(names)):
        own = range(4 * v, min(4 * v + 4, len(points)))
        right = rightwards(axes[v])
        found["A402", names[v]] = max(dot(minus(points[k + 1], points[k]), right) for k in own[::2]) / width
        nearest = min(
            math.dist(points[k], points[j])
            for k in own
            for j in range(len(points))
            if j != k and not faces_across_disc(k, j)
        )
        found["A602", names[v]] = nearest / height
    return found


def leanings(tilts: list[float], last_share: float) -> dict[int, float]:
    """What A203 measures of each endplate, from their tilts."""
    last = len(tilts) - 1
    wedge = [between_deg(a, b) for a, b in pairwise(tilts)]
    found = {e: abs(wedge[e - 1] - wedge[e]) / 2 for e in range(1, last)}
    found[0] = abs(wedge[0] - wedge[2] / 2)
    found[last] = abs(wedge[-1] - wedge[-3] * last_share)
    return found


def end_steps(points: list[Point], k: int, across: Point) -> tuple[float, float]:
    """Step of the side that ends in corner k against that of the next vertebra, and against the opposite."""
    on = 2 if k < 2 else -2

    def side(of: int) -> float:
        return dot(minus(points[of], points[of + on]), across)

    return side(k) - side(k + 2 * on), side(k) - side(k ^ 1)


def smaller(one: float, other: float) -> float:
    """The smaller size of two steps in the same direction, 0 for two in opposite ones."""
    return min(abs(one), abs(other)) if one * other > 0 else 0.0


def rightwards(down: Point) -> Point:
    return down[1], -down[0]


def peaks(values: dict[int, float], step: int) -> list[int]:
    """Places whose value neither neighbour exceeds."""
    return [n for n in values if max(values.get(n - step, 0), values.get(n + step, 0)) <= values[n]]


def faces_across_disc(k: int, j: int) -> bool:
    upper, lower = min(k, j), max(k, j)
    return lower - upper == 2 and upper % 4 in (2, 3)
