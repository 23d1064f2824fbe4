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
    if not last:
        return [(0.0, 1.0)]
    return [direction(minus(centres[min(v + 1, last)], centres[max(v - 1, 0)])) for v in range(last + 1)]


def quantities(points: list[Point], skeleton: Skeleton) -> dict[tuple[str, str], float]:
    """Value of every limit key and level of one complete spine."""
    names = skeleton.vertebrae
    above = 1 if skeleton.first_endplate else 0
    starts = [2 * above + 4 * b for b in range(len(skeleton.bodies))]
    bodies = [points[start : start + 4] for start in starts]
    heights = [(math.dist(b[0], b[2]) + math.dist(b[1], b[3])) / 2 for b in bodies]
    widths = [(math.dist(b[0], b[1]) + math.dist(b[2], b[3])) / 2 for b in bodies]
    single = (skeleton.first_endplate, skeleton.last_endplate)
    height, width = (at_all_vertebrae(around(sizes), single) for sizes in (heights, widths))
    vertebra = [names.index(name) for name in skeleton.vertebra_of]
    endplates = [(points[k], points[k + 1]) for k in range(0, len(points), 2)]
    tilts = [tilt_deg(*endplate) for endplate in endplates]
    centres = [middle(*points[:2])] if skeleton.first_endplate else []
    centres += [middle(*b) for b in bodies] + ([middle(*points[-2:])] if skeleton.last_endplate else [])
    axes = local_axes(centres)
    found: dict[tuple[str, str], float] = {}
    discs = [2 * v + 1 - above for v in range(len(centres) - 1)]
    gaps = []
    for v, lower in enumerate(discs):
        way = minus(middle(*endplates[lower + 1]), middle(*endplates[lower]))
        gaps.append(dot(way, direction(minus(centres[v + 1], centres[v]))))
    first, last = above, above + len(skeleton.bodies) - 1
    usual_gaps = around(gaps[first:last])
    for v in range(len(centres) - 1):
        pair, usual = f"{names[v]}/{names[v + 1]}", (height[v] + height[v + 1]) / 2
        found["A101", pair] = (centres[v + 1][1] - centres[v][1]) / usual
        found["A102", pair] = found["A501-gap", pair] = gaps[v] / usual
        wedge = abs(between_deg(tilts[discs[v]], tilts[discs[v] + 1]))
        found["A202-S1" if names[v + 1] == skeleton.last_endplate else "A202", pair] = wedge
        if first <= v < last:
            b = v - above
            for key, size in (("A302-width", widths), ("A302-height", heights)):
                found[key, pair] = abs(size[b + 1] - size[b]) / ((size[b + 1] + size[b]) / 2)
            expected = (heights[b] + heights[b + 1]) / 2 + usual_gaps[b]
            if last - first >= 3:
                spacing = math.dist(*centres[v : v + 2]) / expected
                found["A501-min", pair] = found["A501-max", pair] = spacing
    for b, (ul, ur, ll, lr) in enumerate(bodies):
        v = b + above
        down = max(dot(minus(ll, ul), axes[v]), dot(minus(lr, ur), axes[v])) / height[v]
        out = stand_outs(ul, ur, lr, ll)
        found["A103", names[v]] = down
        found["A201", names[v]] = abs(between_deg(tilts[2 * v - above], tilts[2 * v + 1 - above]))
        found["A301-min", names[v]] = found["A301-max", names[v]] = widths[b] / heights[b]
        found["A401", names[v]] = 0.0
        found["A403", names[v]] = min(out) / height[v]
    shares = shares_lacking(heights, gaps[first:last])
    for e in peaks(shares, 1):
        name = names[vertebra[2 * (e + above)]]
        if name.startswith("T"):
            found["A501-share", f"{name} {e + above}"] = shares[e]
    leaning = leanings(tilts, *(1.0 if end else 0.5 for end in single))
    weights = {e: 0.75 if e in (0, len(endplates) - 1) else 1.0 for e in leaning}
    for e in peaks({e: weights[e] * leaning[e] for e in leaning}, 1):
        by = {0: (1, 2, 3), len(tilts) - 1: range(len(tilts) - 4, len(tilts) - 1)}.get(e, ())
        if all(leaning[other] <= 0.75 * leaning[e] for other in by):
            name = names[vertebra[2 * e]]
            found["A203-S1" if name == skeleton.last_endplate else "A203", f"{name} {e}"] = leaning[e]
    off = {
        k: dot(minus(points[k], middle(points[k - 2], points[k + 2])), rightwards(axes[vertebra[k]]))
        / height[vertebra[k]]
        for k in range(2, len(points) - 2)
    }
    alone = {k: max(abs(off[k]) - abs(off[k ^ 1]), 0.0) for k in off}
    for k in (0, 1, len(points) - 2, len(points) - 1) if len(points) >= 8 else ():
        steps = end_steps(points, k, rightwards(axes[vertebra[k]]))
        alone[k] = smaller(*(step / height[vertebra[k]] for step in steps))
    ends = {k: 0.75 * alone[k] for k in alone if k not in off}
    kept_off = peaks({k: abs(off[k]) for k in off} | ends, 2)
    kept_alone = peaks(alone | ends, 2)
    for v, name in enumerate(names):
        if own_peaks := [abs(off[k]) for k in kept_off if vertebra[k] == v and k in off]:
            found["A404", name] = max(own_peaks)
        if own_peaks := [alone[k] for k in kept_alone if vertebra[k] == v]:
            found["A405", name] = max(own_peaks)
    for v in range(len(names)):
        own = [k for k in range(len(points)) if vertebra[k] == v]
        right = rightwards(axes[v])
        found["A402", names[v]] = (
            max(dot(minus(points[k + 1], points[k]), right) for k in own[::2]) / width[v]
        )
        nearest = min(
            math.dist(points[k], points[j])
            for k in own
            for j in range(len(points))
            if j != k and not faces_across_disc(k, j, 2 * above)
        )
        found["A602", names[v]] = nearest / height[v]
    return found


def around(sizes: list[float]) -> list[float]:
    """Median of the five nearest to each."""
    found = []
    for n in range(len(sizes)):
        start = max(min(n - 2, len(sizes) - 5), 0)
        found.append(median(sizes[start : start + 5]))
    return found


def at_all_vertebrae(sizes: list[float], ends: tuple[str | None, str | None]) -> list[float]:
    """Sizes of bodies, repeated for an endplate above and below them."""
    return [*(sizes[:1] if ends[0] else []), *sizes, *(sizes[-1:] if ends[1] else [])]


def shares_lacking(heights: list[float], gaps: list[float]) -> dict[int, float]:
    """By how much the body's share of body and disc is lower than around it, by endplates of the bodies."""
    found: dict[int, float] = {}
    for side in (0, 1):
        shares = [heights[n + side] / (heights[n + side] + gap) for n, gap in enumerate(gaps)]
        usual = around(shares)
        found |= {2 * n + 1 + side: usual[n] - share for n, share in enumerate(shares)}
    return dict(sorted(found.items()))


def leanings(tilts: list[float], first_share: float, last_share: float) -> dict[int, float]:
    """What A203 measures of each endplate, from their tilts."""
    last = len(tilts) - 1
    wedge = [between_deg(a, b) for a, b in pairwise(tilts)]
    found = {e: abs(wedge[e - 1] - wedge[e]) / 2 for e in range(1, last)}
    if len(wedge) >= 3:
        found[0] = abs(wedge[0] - wedge[2] * first_share)
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
    lowest = -math.inf
    return [n for n in values if max(values.get(n - step, lowest), values.get(n + step, lowest)) <= values[n]]


def faces_across_disc(k: int, j: int, before: int) -> bool:
    upper, lower = min(k, j), max(k, j)
    return lower - upper == 2 and (upper - before) % 4 in (2, 3)
