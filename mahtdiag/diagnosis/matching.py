"""Which images two runs have in common, by content: names may differ, bytes may not."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mahtdiag.diagnosis.run_table import RunTable

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class ListedImages:
    """The images of a run: names, contents and labels by digest (None where unread), which were evaluated."""

    names: Sequence[str]
    sha256: Sequence[str | None]
    annotation_sha256: Sequence[str | None]
    evaluated: NDArray[np.bool_]

    @staticmethod
    def of(table: RunTable) -> "ListedImages":
        """The evaluated images in their order, whose rows are those of the table, then the failed ones."""
        failed = table.failures
        return ListedImages(
            (*table.image, *(failure.image for failure in failed)),
            (*table.image_sha256, *(failure.image_sha256 for failure in failed)),
            (*table.annotation_sha256, *(failure.annotation_sha256 for failure in failed)),
            np.arange(len(table) + len(failed)) < len(table),
        )


@dataclass(frozen=True, slots=True)
class Matching:
    """The images of runs A and B, in the order of A.

    `a`, `b` `[N]`: rows of the images that both runs have evaluated. Names of the others: `only_a` and
    `only_b` have no image of the same content in the other run; `changed` have another content there under
    the same name; `failed_a` and `failed_b` are in both, but failed in that run alone; `failed_both` in both.
    """

    a: Ints
    b: Ints
    only_a: tuple[str, ...]
    only_b: tuple[str, ...]
    changed: tuple[str, ...]
    failed_a: tuple[str, ...]
    failed_b: tuple[str, ...]
    failed_both: tuple[str, ...]

    @property
    def same_images(self) -> bool:
        """Whether both runs list the same contents."""
        return not (self.only_a or self.only_b or self.changed)


def match_images(a: ListedImages, b: ListedImages) -> Matching:
    """Pair the images of two runs by content.

    Images of one content are paired in the order of their annotations' digests, then of their names. A failed
    image whose bytes were never read has no content to compare, and is left out.
    """
    rows_a, rows_b = _by_content(a), _by_content(b)
    keys = [key for key in rows_a if key in rows_b]
    pairs = np.array([[rows_a[key] for key in keys], [rows_b[key] for key in keys]], dtype=np.int64)
    pairs = pairs[:, np.argsort(pairs[0])]
    only_a = {a.names[row] for key, row in rows_a.items() if key not in rows_b}
    only_b = {b.names[row] for key, row in rows_b.items() if key not in rows_a}
    # An image that one run could not even read has changed as well.
    changed = (only_a & (only_b | _unread(b))) | (only_b & _unread(a))
    ok_a, ok_b = a.evaluated[pairs[0]], b.evaluated[pairs[1]]

    def named(chosen: NDArray[np.bool_]) -> tuple[str, ...]:
        return tuple(a.names[row] for row in pairs[0, chosen].tolist())

    return Matching(
        a=pairs[0, ok_a & ok_b],
        b=pairs[1, ok_a & ok_b],
        only_a=tuple(sorted(only_a - changed)),
        only_b=tuple(sorted(only_b - changed)),
        changed=tuple(sorted(changed)),
        failed_a=named(~ok_a & ok_b),
        failed_b=named(ok_a & ~ok_b),
        failed_both=named(~ok_a & ~ok_b),
    )


def _by_content(images: ListedImages) -> dict[str | tuple[str, int], int]:
    """Rows by content; of several images of one content all but the first by content and rank."""
    rows: dict[str | tuple[str, int], int] = {}
    again: dict[str, list[int]] = {}
    for row, sha256 in enumerate(images.sha256):
        if sha256 is not None and rows.setdefault(sha256, row) != row:
            again.setdefault(sha256, [rows[sha256]]).append(row)
    for sha256, same in again.items():
        same.sort(key=lambda row: (images.annotation_sha256[row] or "", images.names[row]))
        rows[sha256] = same[0]
        rows.update({(sha256, rank): row for rank, row in enumerate(same[1:], start=1)})
    return rows


def _unread(images: ListedImages) -> set[str]:
    return {name for name, sha256 in zip(images.names, images.sha256, strict=True) if sha256 is None}
