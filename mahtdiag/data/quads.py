"""Which corner of a vertebra is which, told from where the corners lie."""

from itertools import permutations
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mahtdiag.errors import DataError
from mahtdiag.schema.skeleton import CORNERS, CORNERS_PER_VERTEBRA, LL, LR, UL, UR

# A file that keeps one order shows it in nearly every vertebra; a wrong label here and there may differ.
_LEAST_AGREEMENT: Final = 0.9


def corners_by_place(quads: NDArray[np.float64]) -> tuple[int, ...]:
    """The corner, an index into `CORNERS`, that the first to fourth point of quads `[N, 4, 2]` are.

    Each complete quad votes: of all orders, its own is the one that makes the endplates point right and the
    sides down the most, Σ of the x of both endplates (left to right) and of the y of both sides (upper to
    lower). Right for every convex quad that is tilted by less than 45°. Quads with a missing corner (NaN) do
    not vote. Raises DataError where no quad is complete or fewer than nine of ten agree.
    """
    complete = quads[np.isfinite(quads).all(axis=(1, 2))]
    if not len(complete):
        raise DataError(
            "corners have no names, and no vertebra is complete: say in [data.keypoints] what they are"
        )
    orders = list(permutations(range(CORNERS_PER_VERTEBRA)))
    scores = np.stack([_uprightness(complete, order) for order in orders])
    votes = np.bincount(scores.argmax(axis=0), minlength=len(orders))
    best = int(votes.argmax())
    if votes[best] < _LEAST_AGREEMENT * len(complete):
        order = ", ".join(CORNERS[corner] for corner in orders[best])
        raise DataError(
            f"corners have no names and no one order: {order} in {votes[best]} of {len(complete)} vertebrae:"
            " say in [data.keypoints] what they are"
        )
    return orders[best]


def _uprightness(quads: NDArray[np.float64], order: tuple[int, ...]) -> NDArray[np.float64]:
    """How well point i being corner `order[i]` suits upright vertebrae, `[N]`."""
    at = {corner: quads[:, place] for place, corner in enumerate(order)}
    across = at[UR][:, 0] - at[UL][:, 0] + at[LR][:, 0] - at[LL][:, 0]
    down = at[LL][:, 1] - at[UL][:, 1] + at[LR][:, 1] - at[UR][:, 1]
    return np.asarray(across + down)
