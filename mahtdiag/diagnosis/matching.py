"""Which images two runs have in common, by content: names may differ, bytes may not."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class ListedImage:
    """One image of a run: its name, its content and labels by digest (None where unread), if evaluated."""

    name: str
    sha256: str | None
    annotation_sha256: str | None
    evaluated: bool


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


def match_images(a: Sequence[ListedImage], b: Sequence[ListedImage]) -> Matching:
    """Pair the images of two runs by content.

    Images of one content are paired in the order of their annotations' digests, then of their names. A failed
    image whose bytes were never read has no content to compare, and is left out.
    """
    keys_a, keys_b = _by_content(a), _by_content(b)
    both = [(row, keys_b[key]) for key, row in keys_a.items() if key in keys_b]
    only_a = {a[row].name for key, row in keys_a.items() if key not in keys_b}
    only_b = {b[row].name for key, row in keys_b.items() if key not in keys_a}
    # An image that one run could not even read has changed as well.
    changed = (only_a & (only_b | _unread(b))) | (only_b & _unread(a))
    pairs = [(i, j) for i, j in sorted(both) if a[i].evaluated and b[j].evaluated]
    rows = np.array(pairs, dtype=np.int64).reshape(-1, 2)
    return Matching(
        a=rows[:, 0],
        b=rows[:, 1],
        only_a=tuple(sorted(only_a - changed)),
        only_b=tuple(sorted(only_b - changed)),
        changed=tuple(sorted(changed)),
        failed_a=tuple(a[i].name for i, j in sorted(both) if not a[i].evaluated and b[j].evaluated),
        failed_b=tuple(a[i].name for i, j in sorted(both) if a[i].evaluated and not b[j].evaluated),
        failed_both=tuple(a[i].name for i, j in sorted(both) if not a[i].evaluated and not b[j].evaluated),
    )


def _by_content(images: Sequence[ListedImage]) -> dict[tuple[str, int], int]:
    """Rows by content and, among images of one content, by their rank."""
    rows: defaultdict[str, list[int]] = defaultdict(list)
    for row, image in enumerate(images):
        if image.sha256 is not None:
            rows[image.sha256].append(row)
    return {
        (sha256, rank): row
        for sha256, same in rows.items()
        for rank, row in enumerate(
            same if len(same) == 1 else sorted(same, key=lambda row: _order(images[row]))
        )
    }


def _order(image: ListedImage) -> tuple[str, str]:
    return image.annotation_sha256 or "", image.name


def _unread(images: Sequence[ListedImage]) -> set[str]:
    return {image.name for image in images if image.sha256 is None}
