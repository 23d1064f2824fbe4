"""Is this spine possible? All rules over all images, from one array of keypoints to columns of findings."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from mahtdiag.anatomy.geometry import measure_geometry
from mahtdiag.anatomy.limit import ROUNDING, Fires, LimitSpec
from mahtdiag.anatomy.rule import Quantity, Rule
from mahtdiag.anatomy.rules import RULE_BY_CODE, Limits, select_rules
from mahtdiag.anatomy.rules.points import A603
from mahtdiag.schema.records import Finding
from mahtdiag.schema.skeleton import Region, Skeleton

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

# Small enough for the working arrays to stay in the processor's cache, and for 16-bit image numbers.
_IMAGES_AT_ONCE = 1024


@dataclass(frozen=True, slots=True)
class Findings:
    """All findings in `images` images, sorted by image, then in the order of the rules.

    Columns of length M: `key` (index into `broken`), `image` (row of the checked array), `level` (index into
    the skeleton's `places`), `value`, `limit`, `severity` (1 at the limit, growing by 1 for each distance
    from an ordinary spine to the limit), and `blame` `[M, K]`, which keypoints each blames. Every value is
    finite. `rules`: those that were checked.
    """

    skeleton: Skeleton
    images: int
    rules: tuple[Rule, ...]
    key: Ints
    image: Ints
    level: Ints
    value: Floats
    limit: Floats
    severity: Floats
    blame: Bools

    @staticmethod
    def none(skeleton: Skeleton, images: int, rules: tuple[Rule, ...]) -> "Findings":
        """No finding at all."""
        whole, real = np.empty(0, dtype=np.int64), np.empty(0)
        nobody = np.empty((0, skeleton.keypoints), dtype=np.bool_)
        return Findings(skeleton, images, rules, whole, whole, whole, real, real, real, nobody)

    def rows(self, chosen: Ints) -> "Findings":
        """These findings alone, in this order."""
        return replace(self, **{name: getattr(self, name)[chosen] for name in _COLUMNS})

    def of_labels(self) -> "Findings":
        """Those that labels can have: a keypoint that is not labelled (A603) breaks no rule."""
        missing = [n for n, limit in enumerate(self.broken) if limit.key == A603.code]
        return self.rows(np.flatnonzero(~np.isin(self.key, missing)))

    def taken(self, images: Ints) -> "Findings":
        """The findings of these images, which are numbered anew in this order."""
        rows, counts = self._rows_of(images)
        return replace(self.rows(rows), images=len(images), image=np.repeat(np.arange(len(images)), counts))

    def _rows_of(self, images: Ints) -> tuple[Ints, Ints]:
        """Where the findings of these images are, image by image, and how many each has."""
        first, last = np.searchsorted(self.image, images), np.searchsorted(self.image, images, side="right")
        counts = last - first
        within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        return np.repeat(first, counts) + within, counts

    @staticmethod
    def chain(parts: Sequence["Findings"]) -> "Findings":
        """Findings of consecutive sets of images, as of one set."""
        firsts = np.cumsum([0, *(part.images for part in parts)]).tolist()
        moved = [replace(p, image=p.image + first) for p, first in zip(parts, firsts[:-1], strict=True)]
        return _concatenated(moved, firsts[-1])

    @staticmethod
    def merge(parts: Sequence["Findings"]) -> "Findings":
        """Findings of several quantities in the same images, sorted by image."""
        both = _concatenated(parts, parts[0].images)
        # A stable sort of 16-bit numbers is a counting sort, several times faster than one of 64-bit numbers.
        numbers = both.image.astype(np.int16) if both.images < 2**15 else both.image
        order = np.argsort(numbers, kind="stable")
        return both.rows(order)

    def __len__(self) -> int:
        return int(self.key.size)

    @property
    def rule(self) -> Ints:
        """Index into `rules` of each finding `[M]`."""
        rule_of_limit = [n for n, rule in enumerate(self.rules) for _ in rule.limits]
        return np.array(rule_of_limit, dtype=np.int64)[self.key]

    @property
    def broken(self) -> tuple[LimitSpec, ...]:
        """The limits that findings can break: those of the rules, in their order."""
        return tuple(limit for rule in self.rules for limit in rule.limits)

    def image_severity(self) -> Floats:
        """How suspicious each image is `[N]`: 0 where nothing fired, else ≥ 1.

        Sum over the rules that fired of 1 + ln(worst severity under that rule): several kinds of evidence
        outweigh one, and one extreme value does not drown them.
        """
        severity = np.zeros(self.images)
        if len(self):
            group = self.image * len(self.rules) + self.rule
            starts = np.flatnonzero(np.r_[True, group[1:] != group[:-1]])
            worst = np.maximum.reduceat(self.severity, starts)
            np.add.at(severity, self.image[starts], 1.0 + np.log(worst))
        return severity

    def fired(self) -> NDArray[np.bool_]:
        """Which rule fired in which image, `[N, len(rules)]`."""
        table = np.zeros((self.images, len(self.rules)), dtype=np.bool_)
        table[self.image, self.rule] = True
        return table

    def codes_per_image(self) -> tuple[tuple[str, ...], ...]:
        """Codes that fired in each image, each once, in the order of the rules."""
        codes = [rule.code for rule in self.rules]
        found: list[list[str]] = [[] for _ in range(self.images)]
        for image, rule in zip(*(places.tolist() for places in np.nonzero(self.fired())), strict=True):
            found[image].append(codes[rule])
        return tuple(map(tuple, found))

    def codes_of_places(self) -> tuple[tuple[str, ...], ...]:
        """The same without A603: what is not annotated is in no wrong place."""
        return tuple(tuple(code for code in codes if code != A603.code) for codes in self.codes_per_image())

    def findings_by_code(self) -> dict[str, int]:
        """Number of findings of every rule checked, in the order of the rules."""
        counts = np.bincount(self.rule, minlength=len(self.rules)).tolist()
        return {rule.code: count for rule, count in zip(self.rules, counts, strict=True)}

    def images_by_code(self) -> dict[str, int]:
        """Number of images in which every rule checked fired, in the order of the rules."""
        counts = self.fired().sum(axis=0).tolist()
        return {rule.code: count for rule, count in zip(self.rules, counts, strict=True)}

    def of_image(self, image: int) -> tuple[Finding, ...]:
        """The findings of one image, in the order of the rules."""
        return self.of_images(np.array([image]))[0]

    def of_images(self, images: Ints) -> tuple[tuple[Finding, ...], ...]:
        """The findings of each of these images, in the order of the rules."""
        rows, counts = self._rows_of(images)
        each = self.rows(rows)._each()
        return tuple(tuple(islice(each, count)) for count in counts.tolist())

    def per_image(self) -> tuple[tuple[Finding, ...], ...]:
        """The findings of every image, in the order of the rules."""
        return self.of_images(np.arange(self.images))

    def _each(self) -> Iterator[Finding]:
        broken = [(rule.code, limit.unit) for rule in self.rules for limit in rule.limits]
        blamed: list[list[int]] = [[] for _ in range(len(self))]
        for row, keypoint in zip(*(places.tolist() for places in np.nonzero(self.blame)), strict=True):
            blamed[row].append(keypoint)
        columns = (self.key, self.image, self.level, self.value, self.limit, self.severity)
        rows = zip(*(column.tolist() for column in columns), blamed, strict=True)
        for key, image, level, value, limit, severity, keypoints in rows:
            code, unit = broken[key]
            vertebra = self.skeleton.places[level]
            yield Finding(code, image, vertebra, value, unit, limit, severity, tuple(keypoints))


_COLUMNS = ("key", "image", "level", "value", "limit", "severity", "blame")


def _concatenated(parts: Sequence[Findings], images: int) -> Findings:
    joined = {name: np.concatenate([getattr(part, name) for part in parts]) for name in _COLUMNS}
    first = parts[0]
    return Findings(first.skeleton, images, first.rules, **joined)


def check_anatomy(
    points_px: Floats,
    skeleton: Skeleton,
    *,
    image_size_px: Floats | None,
    limits: Limits | None = None,
    rules: Sequence[Rule] | None = None,
) -> Findings:
    """The rules (None: all of them) applied to every image.

    `points_px` is `[N, K, 2]` (x, y), y down, in any one unit per image; `image_size_px` `[N, 2]` (width,
    height) in the same unit, NaN or None where it is unknown (A601 is then not checked). A keypoint that is
    NaN, infinite or beyond ±10⁹ is missing: A603 names it and it enters no other rule. Neither scaling nor
    shifting an image's points (and its frame) changes a finding. Raises ValueError for arrays of another
    shape or limits of another projection.
    """
    points_px = np.asarray(points_px, dtype=np.float64)
    limits = limits or Limits.of(skeleton)
    _check_arguments(points_px, skeleton, image_size_px, limits)
    rules = select_rules() if rules is None else tuple(rules)
    parts = [Findings.none(skeleton, 0, rules)]
    for first in range(0, points_px.shape[0], _IMAGES_AT_ONCE):
        some = slice(first, first + _IMAGES_AT_ONCE)
        sizes = None if image_size_px is None else np.asarray(image_size_px, dtype=np.float64)[some]
        parts.append(_check_some(points_px[some], skeleton, sizes, limits, rules))
    return Findings.chain(parts)


def _check_arguments(
    points_px: Floats, skeleton: Skeleton, image_size_px: Floats | None, limits: Limits
) -> None:
    if points_px.ndim != 3 or points_px.shape[1:] != (skeleton.keypoints, 2):
        wanted = f"{skeleton} keypoints are [N, {skeleton.keypoints}, 2]"
        raise ValueError(f"{wanted}, got {list(points_px.shape)}")
    if image_size_px is not None and np.shape(image_size_px) != (points_px.shape[0], 2):
        raise ValueError(f"image sizes are [{points_px.shape[0]}, 2], got {list(np.shape(image_size_px))}")
    if limits.view is not skeleton.view:
        raise ValueError(f"limits are for {limits.view}, the keypoints are {skeleton.view}")


def _check_some(
    points_px: Floats,
    skeleton: Skeleton,
    image_size_px: Floats | None,
    limits: Limits,
    rules: tuple[Rule, ...],
) -> Findings:
    """The findings of a few images, numbered from 0."""
    nothing = Findings.none(skeleton, points_px.shape[0], rules)
    broken = nothing.broken
    key_of, of = {limit.key: n for n, limit in enumerate(broken)}, keys_by_region(broken)
    # Missing keypoints are NaN and degenerate outlines divide by zero: both end as NaN, which never fires.
    with np.errstate(all="ignore"):
        geometry = measure_geometry(points_px, skeleton, image_size_px)
        measures = [measure for rule in rules for measure in rule.measure(geometry, limits.of_rule(rule))]
        present = ~geometry.missing
        found = [
            _fired(part, key_of[part.key], present, limits, nothing)
            for measure in measures
            for part in by_limit(measure, skeleton, of[measure.key])
        ]
    return Findings.merge([nothing, *found])


def keys_by_region(limits: Iterable[LimitSpec]) -> dict[str, dict[Region | None, str]]:
    """The keys of limits by that of the quantity and by region."""
    found: dict[str, dict[Region | None, str]] = {}
    for limit in limits:
        found.setdefault(limit.base, {})[limit.region] = limit.key
    return found


def by_limit(measure: Quantity, skeleton: Skeleton, of: Mapping[Region | None, str]) -> Iterator[Quantity]:
    """The values of one quantity by the limit that holds for them, one `of` its regions, whose key they get.

    A region has a limit of its own or that without a region; where there is neither, nothing is judged.
    """
    if of.keys().isdisjoint(skeleton.regions):
        if None in of:
            yield measure
        return
    levels = measure.places.levels.tolist()
    keys = [of.get(Region.of(skeleton.places[level]), of.get(None)) for level in levels]
    for key in dict.fromkeys(keys):
        if key is not None:
            same = [other == key for other in keys]
            yield replace(measure if all(same) else measure.rows(np.array(same)), key=key)


def _beyond(values: Floats, fires: Fires, limit: float) -> Bools:
    """A value that is its limit but for rounding counts as the limit: a mirrored image is judged alike."""
    slack = ROUNDING * max(1.0, abs(limit))
    if fires is Fires.ABOVE:
        return values > limit + slack
    return values < limit - slack if fires is Fires.BELOW else values <= limit + slack


def _fired(measure: Quantity, key: int, present: Bools, limits: Limits, nothing: Findings) -> Findings:
    """The values of one quantity that break a limit, `broken[key]`.

    `present` `[K, n]`: keypoints that are annotated.
    """
    spec = nothing.broken[key]
    limit = limits.in_force(spec)
    row, image = np.nonzero(_beyond(measure.values, spec.fires, limit))
    value = measure.values[row, image]
    blamable = present if measure.points is None else measure.points
    return replace(
        nothing,
        key=np.full(row.size, key, dtype=np.int64),
        image=image.astype(np.int64),
        level=measure.places.levels[row],
        value=value,
        limit=np.full(row.size, limit),
        severity=1.0 + np.abs(value - limit) / spec.spread(limits.view),
        blame=measure.places.members[row] & blamable.T[image],
    )


_MOST_REASONS = 3


def finding_reason(finding: Finding, skeleton: Skeleton) -> str:
    """One finding in words: `L3 and L4: disc space 2.4 heights, usual 0.4: a level may be missing`."""
    rule = RULE_BY_CODE[finding.code]
    where = _blamed_names(finding, skeleton) if rule.names_points else finding.vertebra.replace("/", " and ")
    # Sentences tell corners and endplates by where they would stand if all vertebrae had four corners.
    places = tuple(skeleton.index_in_vertebrae[list(finding.keypoints)].tolist())
    return f"{where}: {rule.say(replace(finding, keypoints=places), limit_of(finding, skeleton))}"


def limit_of(finding: Finding, skeleton: Skeleton) -> LimitSpec:
    """The limit that a finding breaks."""
    return RULE_BY_CODE[finding.code].limit_of(finding, skeleton)


def image_reason(findings: Sequence[Finding], skeleton: Skeleton, most: int | None = _MOST_REASONS) -> str:
    """All findings of one image in one line, in the order of `grouped`; empty where there is none.

    The worst finding of each kind is put in words, with the other places where the same fires; at most
    `most` kinds (None: all), the rest are counted.
    """
    groups = grouped(findings, skeleton)
    shown = groups if most is None else groups[:most]
    parts = [group_reason(group, skeleton) for group in shown]
    rest = [group[0].code for group in groups[len(shown) :]]
    if rest:
        parts.append(f"and {', '.join(dict.fromkeys(rest))}")
    return "; ".join(parts)


def group_reason(group: Sequence[Finding], skeleton: Skeleton) -> str:
    """The worst of several findings of one kind in words, and where else the same fires."""
    others = {finding.vertebra for finding in group[1:]} - {group[0].vertebra}
    names = ", ".join(name for name in skeleton.places if name in others)
    return finding_reason(group[0], skeleton) + (f" (also {names})" if names else "")


def grouped(findings: Sequence[Finding], skeleton: Skeleton) -> tuple[tuple[Finding, ...], ...]:
    """Findings by the limit they break, of whatever region, the worst first within a group.

    Groups that contradict what the keypoints mean come first, the worst leading: they are the cause where
    others fire with them (a mirrored vertebra also steps out of its line). Then the rest, the worst leading.
    """
    broken = {id(finding): limit_of(finding, skeleton) for finding in findings}
    by_key: dict[str, list[Finding]] = {}
    for finding in sorted(findings, key=lambda f: (not broken[id(f)].by_definition, -f.severity)):
        by_key.setdefault(broken[id(finding)].base, []).append(finding)
    return tuple(tuple(group) for group in by_key.values())


def _blamed_names(finding: Finding, skeleton: Skeleton) -> str:
    """`L3 UL and LR`: the blamed corners; the vertebra alone where all of them are blamed."""
    corners = [
        skeleton.corner_of[k] for k in finding.keypoints if skeleton.vertebra_of[k] == finding.vertebra
    ]
    if not corners or len(corners) == skeleton.vertebra_of.count(finding.vertebra):
        return finding.vertebra
    head = ", ".join(corners[:-1])
    return f"{finding.vertebra} {f'{head} and {corners[-1]}' if head else corners[0]}"
