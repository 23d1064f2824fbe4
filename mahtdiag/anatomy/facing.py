"""Which way lateral images face, told by what does not depend on the curve or slip that is measured."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv

from mahtdiag.anatomy.geometry import known_points
from mahtdiag.anatomy.measurements import lordosis_bend_deg, shift_to_the_right
from mahtdiag.schema.choices import FacingSide
from mahtdiag.schema.records import ANTEROLISTHESIS, RETROLISTHESIS
from mahtdiag.schema.skeleton import Skeleton

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

CLEAR_SLIP_PERCENT = 5.0
"""A coded slip below this share of the endplate does not tell which way it went."""

CLEAR_BEND_DEG = 10.0
"""A lumbar spine that bends less does not tell which way others face."""

MAJORITY = 0.8
"""More than this share of all patients of such a set face the way of the majority."""


@dataclass(frozen=True, slots=True)
class Facing:
    """Which side of N lateral images is anterior.

    `side` `[N]`: +1 right, −1 left, 0 unknown. `given`: it was said for all. `by_codes` `[N]`: told by the
    image's own codes of listhesis; what is known otherwise is told by the other patients, of whom `right` and
    `left` are so many.
    """

    side: Ints
    given: bool
    by_codes: NDArray[np.bool_]
    right: int
    left: int

    @property
    def unknown(self) -> int:
        """Images whose facing is not known."""
        return int((self.side == 0).sum())

    @property
    def signed(self) -> bool:
        """Whether it is known of half the images or more: signed numbers then leave out the others."""
        return 2 * self.unknown <= len(self.side)


def find_facing(
    label_px: Floats, skeleton: Skeleton, codes: Floats, units: Ints, given: FacingSide | None = None
) -> Facing:
    """Which way lateral images face; `label_px` `[N, K, 2]`, `codes` `[N, V−1]`, `units` `[N]`.

    `given` holds for all. Else an image is told by its own codes: a vertebra that is said to have slipped
    forwards shows where the front is. Else by the other patients: each faces where its codes say, or, without
    any, as if it were lordotic, bent by `CLEAR_BEND_DEG` at least; and the majority counts where the exact
    95 % interval of its share (Clopper and Pearson) lies above `MAJORITY`, with the patient and without, for
    which 17 others of one mind are enough. So an image's own curve never decides its facing, and of sets of
    which a fifth faces the other way at most one in 40 is taken for one that faces one way. Unknown
    otherwise, and in AP.
    """
    if given is not None:
        return given_facing(len(label_px), given)
    return facing_by_others(*facing_alone(label_px, skeleton, codes), units)


def given_facing(images: int, given: FacingSide) -> Facing:
    """The same side for all."""
    side = np.full(images, 1 if given is FacingSide.RIGHT else -1, dtype=np.int64)
    return Facing(side, given=True, by_codes=np.zeros(images, dtype=np.bool_), right=0, left=0)


def facing_alone(label_px: Floats, skeleton: Skeleton, codes: Floats) -> tuple[Ints, Ints]:
    """Where each image faces by its own codes, and where if it is lordotic, `[N]`; 0 where that is open."""
    label_px = known_points(label_px)
    own = _by_codes(shift_to_the_right(label_px, skeleton), codes)
    bend = lordosis_bend_deg(label_px, skeleton)
    return own, np.where(np.abs(bend) >= CLEAR_BEND_DEG, np.sign(bend), 0.0).astype(np.int64)


def facing_by_others(own: Ints, lordotic: Ints, units: Ints) -> Facing:
    """What images say by themselves, and of the others what most patients say."""
    patients = np.zeros(int(units.max(initial=-1)) + 1, dtype=np.int64)
    np.add.at(patients, units, np.where(own != 0, own, lordotic))
    patients = np.sign(patients)
    right, left = int((patients > 0).sum()), int((patients < 0).sum())
    # Of a set with one dissenter, he alone would be outvoted by others of one mind.
    told = _majority(np.array(right), np.array(left))
    others = _majority(right - (patients > 0), left - (patients < 0))[units]
    others = np.where(others == told, others, 0)
    return Facing(np.where(own != 0, own, others), given=False, by_codes=own != 0, right=right, left=left)


def _by_codes(shift_percent: Floats, codes: Floats) -> Ints:
    """What each image's codes say `[N]`; 0 where none does or they contradict each other."""
    clear = np.abs(shift_percent) >= CLEAR_SLIP_PERCENT
    way = np.where(codes == ANTEROLISTHESIS, 1, np.where(codes == RETROLISTHESIS, -1, 0))
    votes = np.where(clear, way * np.sign(np.nan_to_num(shift_percent)), 0)
    said = np.sign(votes.sum(axis=1))
    agreed = np.abs(votes.sum(axis=1)) == np.abs(votes).sum(axis=1)
    return np.where(agreed, said, 0).astype(np.int64)


def _majority(right: Ints, left: Ints) -> Ints:
    """The side that nearly all of so many face, elementwise; 0 where that cannot be said."""
    most, fewest = np.maximum(right, left), np.minimum(right, left)
    low = np.where(most > 0, betaincinv(np.maximum(most, 1), fewest + 1, 0.025), 0.0)
    return np.where(low > MAJORITY, np.sign(right - left), 0).astype(np.int64)


def slip_codes(endplate_codes: Floats) -> Floats:
    """Codes of listhesis by level: of endplates `[N, E]` (L1 upper, L1 lower, …) to `[N, V−1]`.

    An endplate's code is that of the disc it belongs to; but a vertebra with the same code at both of its
    endplates has slipped against the one below. 0 is none, NaN where neither endplate has a code.
    """
    below, above = endplate_codes[:, 1:-1:2], endplate_codes[:, 2::2]
    both = np.zeros(above.shape, dtype=np.bool_)
    lower_of_next = endplate_codes[:, 3::2]
    count = lower_of_next.shape[1]
    both[:, :count] = above[:, :count] == lower_of_next
    slipped = np.where(both | np.isnan(above), 0.0, above)
    code = np.where(np.nan_to_num(below) > 0, below, slipped)
    return np.where(np.isnan(below) & np.isnan(above), np.nan, code)
