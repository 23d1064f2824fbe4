"""Points that come in blocks say what they say together, to the last bit."""

from collections.abc import Callable, Iterator

import numpy as np
import pytest

from mahtdiag.anatomy.bodies import fit_bodies, fit_body_pairs
from mahtdiag.anatomy.pairs import Block, Floats, PointPairs
from mahtdiag.anatomy.systematic import fit_pairs, fit_systematic_error
from mahtdiag.schema.skeleton import View

from .spines import natural_spines

IMAGES = 60
UNITS = np.arange(IMAGES) // 2


def points(view: View) -> tuple[Floats, Floats]:
    """Predictions that are a little too large, some of them and of the labels missing, and labels."""
    rng = np.random.default_rng(0)
    label = np.array(natural_spines(view, IMAGES), dtype=np.float64)
    pred = label * [1.02, 0.99] + 6.0 * rng.standard_t(4, label.shape)
    label[rng.random(label.shape[:2]) < 0.03] = np.nan
    pred[rng.random(label.shape[:2]) < 0.03] = np.nan
    return pred, label


def in_blocks(pred: Floats, label: Floats, size: int) -> PointPairs:
    """The same, so many images at a time."""

    def blocks() -> Iterator[Block]:
        for first in range(0, len(pred), size):
            yield pred[first : first + size], label[first : first + size]

    return PointPairs(len(pred), blocks)


@pytest.mark.parametrize("size", [1, 7, 60])
@pytest.mark.parametrize("view", list(View))
@pytest.mark.parametrize(
    ("whole", "of_blocks"),
    [
        (lambda p, t: fit_systematic_error(p, t, UNITS), lambda pairs: fit_pairs(pairs, UNITS)),
        (
            lambda p, t: fit_systematic_error(p[..., ::-1], t, UNITS),
            lambda pairs: fit_pairs(
                PointPairs(pairs.images, lambda: ((p[..., ::-1], t) for p, t in pairs.blocks())), UNITS
            ),
        ),
        (lambda p, t: fit_bodies(p, t, UNITS), lambda pairs: fit_body_pairs(pairs, UNITS)),
    ],
)
def test_the_fit_of_blocks_is_that_of_the_whole(
    view: View,
    size: int,
    whole: Callable[[Floats, Floats], object],
    of_blocks: Callable[[PointPairs], object],
) -> None:
    pred, label = points(view)
    expected = whole(pred, label)
    assert expected is not None
    assert of_blocks(in_blocks(pred, label, size)) == expected


def test_places_of_a_block_are_those_of_its_images() -> None:
    pred, label = points(View.LA)
    pred[3, 5] = 1e12
    found = list(in_blocks(pred, label, 25).placed())
    assert [(rows.start, rows.stop) for rows, *_ in found] == [(0, 25), (25, 50), (50, 60)]
    for rows, of_pred, of_label in found:
        np.testing.assert_array_equal(of_label, label[rows])
        np.testing.assert_array_equal(of_pred[1:3], pred[rows][1:3])
    assert np.isnan(found[0][1][3, 5]).all()
