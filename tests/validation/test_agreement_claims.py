"""What is promised of clinical measurements, in fewer sets than the study simulates."""

from collections.abc import Callable, Iterator

import pytest

from validation import agreement
from validation.agreement import Row

SETS = 150
MARGIN = 0.03
"""So few sets are off by this much, by chance."""


@pytest.mark.parametrize(
    "part",
    [
        agreement.limit_rows, agreement.icc_rows, agreement.percentile_rows, agreement.shape_rows,
        agreement.kappa_rows, agreement.detection_rows, agreement.facing_rows,
    ],
)  # fmt: skip
def test_what_is_promised_holds(part: Callable[[int], Iterator[Row]]) -> None:
    rows = list(part(SETS))
    assert rows
    missed = [row for row in rows if not row.lowest - MARGIN <= row.share <= row.highest + MARGIN]
    assert not missed
