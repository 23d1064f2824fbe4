"""Which corner of a vertebra is which, told from where the corners lie."""

from itertools import permutations
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mahtdiag.errors import DataError
from mahtdiag.schema.skeleton import CORNERS, CORNERS_PER_VERTEBRA, LL, LR, UL, UR

# A file that keeps one order shows it in nearly every vertebra; a wrong label here and there may differ.
_LEAST_AGREEMENT: Final = 0.9
_ORDERS: Final = tuple(permutations(range(CORNERS_PER_VERTEBRA)))
# An outline from each of its corners, one way round and the other; the first is what `clockwise` makes.
_RING: Final = (UL, UR, LR, LL)
_ROUND: Final = tuple(
    ring[start:] + ring[:start] for ring in (_RING, _RING[::-1]) for start in range(CORNERS_PER_VERTEBRA)
)


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
    votes = np.bincount(_orders(complete), minlength=len(_ORDERS))
    best = int(votes.argmax())
    if votes[best] < _LEAST_AGREEMENT * len(complete):
        order = ", ".join(CORNERS[corner] for corner in _ORDERS[best])
        raise DataError(
            f"corners have no names and no one order: {order} in {votes[best]} of {len(complete)} vertebrae:"
            " say in [data.keypoints] what they are"
        )
    return _ORDERS[best]


def in_one_order(quads: NDArray[np.float64]) -> bool:
    """Whether all of the complete quads `[N, 4, 2]` lie in the same order (see `corners_by_place`)."""
    return len(np.unique(_orders(quads[np.isfinite(quads).all(axis=(1, 2))]))) <= 1


def clockwise(quads: NDArray[np.float64]) -> NDArray[np.float64]:
    """Outlines `[N, 4, 2]` that begin at any corner and run either way round, each as UL, UR, LR, LL lie.

    Right for every convex outline that is tilted by less than 45°; one that crosses itself stays as it is.
    """
    best = np.stack([_uprightness(quads, order) for order in _ORDERS]).max(axis=0)
    scores_round = np.stack([_uprightness(quads, order) for order in _ROUND])
    start = np.array([[order.index(corner) for corner in _ROUND[0]] for order in _ROUND])
    turned = np.take_along_axis(quads, start[scores_round.argmax(axis=0)][..., None], axis=1)
    is_outline = np.isclose(scores_round.max(axis=0), best)
    return np.where(is_outline[:, None, None], turned, quads)


def _orders(quads: NDArray[np.float64]) -> NDArray[np.int64]:
    """The order of each quad, an index into `_ORDERS`."""
    return np.asarray(np.stack([_uprightness(quads, order) for order in _ORDERS]).argmax(axis=0))


def _uprightness(quads: NDArray[np.float64], order: tuple[int, ...]) -> NDArray[np.float64]:
    """How well point i being corner `order[i]` suits upright vertebrae, `[N]`."""
    at = {corner: quads[:, place] for place, corner in enumerate(order)}
    across = at[UR][:, 0] - at[UL][:, 0] + at[LR][:, 0] - at[LL][:, 0]
    down = at[LL][:, 1] - at[UL][:, 1] + at[LR][:, 1] - at[UR][:, 1]
    return np.asarray(across + down)
