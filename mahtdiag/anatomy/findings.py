"""The findings of many images, kept as columns; Python objects are made only when asked for."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mahtdiag.anatomy.checks import level_names
from mahtdiag.anatomy.rules import LIMIT_BY_KEY, RULES, Rule
from mahtdiag.schema.findings import Finding
from mahtdiag.schema.skeleton import View

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

KEYS: tuple[str, ...] = tuple(LIMIT_BY_KEY)
"""Limit keys by the index used in `Findings.key`."""

CODE_OF_KEY: Ints = np.array([n for n, rule in enumerate(RULES) for _ in rule.limits], dtype=np.int64)
"""Index into `RULES` of the rule that each limit key belongs to."""


@dataclass(frozen=True, slots=True)
class Findings:
    """All findings in `images` images, sorted by image, then in the order of the rules.

    Columns of length M: `key` (index into `KEYS`), `image` (row of the checked array), `level` (index into
    `level_names(view)`), `value`, `limit`, `severity` (1 at the limit, growing by 1 for each distance from an
    ordinary spine to the limit), `keypoints` (blamed keypoints as bits). Every value is finite.
    `rules`: those that were checked.
    """

    view: View
    images: int
    rules: tuple[Rule, ...]
    key: Ints
    image: Ints
    level: Ints
    value: Floats
    limit: Floats
    severity: Floats
    keypoints: Ints

    @staticmethod
    def none(view: View, images: int, rules: tuple[Rule, ...]) -> "Findings":
        """No finding at all."""
        whole, real = np.empty(0, dtype=np.int64), np.empty(0)
        return Findings(view, images, rules, whole, whole, whole, real, real, real, whole)

    def rows(self, chosen: Ints) -> "Findings":
        """These findings alone, in this order."""
        return replace(
            self,
            key=self.key[chosen],
            image=self.image[chosen],
            level=self.level[chosen],
            value=self.value[chosen],
            limit=self.limit[chosen],
            severity=self.severity[chosen],
            keypoints=self.keypoints[chosen],
        )

    def taken(self, images: Ints) -> "Findings":
        """The findings of these images, which are numbered anew in this order."""
        first, last = np.searchsorted(self.image, images), np.searchsorted(self.image, images, side="right")
        counts = last - first
        within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        kept = self.rows(np.repeat(first, counts) + within)
        return replace(kept, images=len(images), image=np.repeat(np.arange(len(images)), counts))

    def numbered(self, first: int) -> "Findings":
        """The same findings, of images numbered from `first`."""
        return replace(self, image=self.image + first)

    @staticmethod
    def chain(parts: Sequence["Findings"]) -> "Findings":
        """Findings of consecutive sets of images, as of one set."""
        firsts = np.cumsum([0, *(part.images for part in parts)]).tolist()
        moved = [part.numbered(first) for part, first in zip(parts, firsts[:-1], strict=True)]
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
        """Index into `RULES` of each finding `[M]`."""
        return CODE_OF_KEY[self.key]

    def image_severity(self) -> Floats:
        """How suspicious each image is `[N]`: 0 where nothing fired, else ≥ 1.

        Sum over the rules that fired of 1 + ln(worst severity under that rule): several kinds of evidence
        outweigh one, and one extreme value does not drown them.
        """
        severity = np.zeros(self.images)
        if len(self):
            group = self.image * len(RULES) + self.rule
            starts = np.flatnonzero(np.r_[True, group[1:] != group[:-1]])
            worst = np.maximum.reduceat(self.severity, starts)
            np.add.at(severity, self.image[starts], 1.0 + np.log(worst))
        return severity

    def fired(self) -> NDArray[np.bool_]:
        """Which rule fired in which image, `[N, len(RULES)]`."""
        table = np.zeros((self.images, len(RULES)), dtype=np.bool_)
        table[self.image, self.rule] = True
        return table

    def codes_per_image(self) -> tuple[tuple[str, ...], ...]:
        """Codes that fired in each image, each once, in the order of the rules."""
        codes = [rule.code for rule in RULES]
        return tuple(tuple(codes[n] for n in np.flatnonzero(row)) for row in self.fired())

    def findings_by_code(self) -> dict[str, int]:
        """Number of findings of every rule checked, in the order of the rules."""
        counts = np.bincount(self.rule, minlength=len(RULES))
        return {rule.code: int(counts[n]) for n, rule in enumerate(RULES) if rule in self.rules}

    def images_by_code(self) -> dict[str, int]:
        """Number of images in which every rule checked fired, in the order of the rules."""
        counts = self.fired().sum(axis=0)
        return {rule.code: int(counts[n]) for n, rule in enumerate(RULES) if rule in self.rules}

    def of_image(self, image: int) -> tuple[Finding, ...]:
        """The findings of one image, in the order of the rules."""
        first, last = np.searchsorted(self.image, [image, image + 1])
        names = level_names(self.view)
        return tuple(self._finding(row, names) for row in range(int(first), int(last)))

    def per_image(self) -> tuple[tuple[Finding, ...], ...]:
        """The findings of every image."""
        return tuple(self.of_image(image) for image in range(self.images))

    def _finding(self, row: int, names: tuple[str, ...]) -> Finding:
        key = KEYS[self.key[row]]
        bits = int(self.keypoints[row])
        return Finding(
            code=RULES[CODE_OF_KEY[self.key[row]]].code,
            image=int(self.image[row]),
            vertebra=names[self.level[row]],
            value=float(self.value[row]),
            unit=LIMIT_BY_KEY[key].unit,
            limit=float(self.limit[row]),
            severity=float(self.severity[row]),
            keypoints=tuple(k for k in range(self.view.keypoints) if bits >> k & 1),
        )


def _concatenated(parts: Sequence[Findings], images: int) -> Findings:
    return Findings(
        view=parts[0].view,
        images=images,
        rules=parts[0].rules,
        key=np.concatenate([part.key for part in parts]),
        image=np.concatenate([part.image for part in parts]),
        level=np.concatenate([part.level for part in parts]),
        value=np.concatenate([part.value for part in parts]),
        limit=np.concatenate([part.limit for part in parts]),
        severity=np.concatenate([part.severity for part in parts]),
        keypoints=np.concatenate([part.keypoints for part in parts]),
    )
