"""Keypoints in another order: one matching of predicted to labelled keypoints over the set, and its words."""

import re
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mahtdiag.diagnosis.setup.explanations import CLEAR_GAIN, FEWEST_IMAGES, Explanation, Ints, Pair, Places
from mahtdiag.schema.skeleton import CORNERS, CORNERS_PER_VERTEBRA, Skeleton

_MOST_MATCHED = 512
_LEAST_MOVED = 0.2
_LEAST_NEARER = 0.9
_LEAST_OF_ANOTHER = 3.0


def order_explanations(places: Places) -> list[Explanation]:
    """The order of keypoints that fits best, where it is another than that of the labels."""
    order = matched_order(places)
    if order is None or (order == np.arange(order.size)).all():
        return []
    shifted = [_shifted(by) for by in (1, -1)]
    natural = np.arange(order.size)
    if (order[1:] == natural[:-1]).all() or (order[:-1] == natural[1:]).all():
        # The one that has no place among the labels is a background, say, and near none of them.
        return shifted
    if not _nearer(places, order):
        return []
    words = order_in_words(order, places.skeleton)
    # The errors of those that are exchanged have to shrink as clearly as if all were.
    moved = float((order != np.arange(order.size)).mean())
    return [
        Explanation("order.keypoints", words, "bring labels and network to one order of keypoints",
                    lambda p: (p.pred_px, p.label_px[:, order]), CLEAR_GAIN**moved),
        *shifted,
    ]  # fmt: skip


def _nearer(places: Places, order: Ints) -> bool:
    """Whether nearly all keypoints that an order moves come to lie nearer, as all do if it is true.

    Of many keypoints that are far off some lie by chance nearer to another's label: a matching finds those.
    """
    moved = order != np.arange(order.size)
    pred = places.pred_px[:, moved]
    before, after = (
        np.linalg.norm(pred - label, axis=-1)
        for label in (places.label_px[:, moved], places.label_px[:, order[moved]])
    )
    known = np.isfinite(before).any(0) & np.isfinite(after).any(0)
    if not known.any():
        return False
    nearer = np.nanmean(after[:, known], axis=0) < np.nanmean(before[:, known], axis=0)
    return float(nearer.mean()) >= _LEAST_NEARER


FIRST_IS_ANOTHER: Final = "the first channel is no keypoint, the others are one behind"
LAST_IS_ANOTHER: Final = "the last channel is no keypoint, the others are one ahead"


def _shifted(by: int) -> Explanation:
    """Channels that begin one too early (1) or too late (-1), for a background before or behind them."""

    def moved(places: Places) -> Pair:
        label_px = np.full_like(places.label_px, np.nan)
        if by > 0:
            label_px[:, 1:] = places.label_px[:, :-1]
        else:
            label_px[:, :-1] = places.label_px[:, 1:]
        return places.pred_px, label_px

    words = FIRST_IS_ANOTHER if by > 0 else LAST_IS_ANOTHER
    return Explanation("order.keypoints", words, "say by --keypoints which channels are meant", moved)


def shifted_option(said: str | None, cause: str) -> str | None:
    """What to type in the place of a range of channels that begins one too early or too late; else None."""
    found = re.fullmatch(r"(\d+):(\d+)", said or "")
    by = (FIRST_IS_ANOTHER in cause) - (LAST_IS_ANOTHER in cause)
    if found is None or not by or int(found[1]) + by < 0:
        return None
    return f"--keypoints {int(found[1]) + by}:{int(found[2]) + by}"


def matched_order(places: Places) -> Ints | None:
    """For each predicted keypoint the labelled one it belongs to, `[K]`; one matching for the whole set.

    Hungarian method on the mean log distance over images; keypoints that are never known stay where they are.
    Source: Kuhn, The Hungarian method for the assignment problem, Naval Research Logistics 2 (1955).
    """
    distance = np.linalg.norm(places.pred_px[:, :, None] - places.label_px[:, None], axis=-1)
    known = np.isfinite(distance)
    if not known.any():
        return None
    cost = np.where(known, np.log(distance + places.floor_px), 0.0).sum(0) / np.maximum(known.sum(0), 1)
    cost[~known.any(0)] = cost[known.any(0)].max() + 1.0
    idle = ~known.any(0).any(1)
    # A keypoint with nothing to compare keeps its own label.
    cost[idle] = cost.max() + 1.0
    cost[idle, idle] = cost.min() - 1.0
    rows, columns = _assignment(cost)
    order: Ints = columns[np.argsort(rows)].astype(np.int64)
    return order


def _assignment(cost: NDArray[np.float64]) -> tuple[Ints, Ints]:
    # It takes a fifth of a second to import, which only an evaluation needs.
    from scipy.optimize import linear_sum_assignment

    rows, columns = linear_sum_assignment(cost)
    return rows, columns


def image_explanations(places: Places) -> list[Explanation]:
    """Labels that belong to other images: one matching of predicted to labelled spines over the set.

    Only where every image is there to be matched, a fifth of them and at least three have the labels of
    another, and errors of these shrink three-fold. Images that are alike keep their own labels.
    """
    count = len(places.pred_px)
    if not 0 < count <= _MOST_MATCHED:
        return []
    cost = np.empty((count, count))
    for row, pred in enumerate(places.pred_px):
        distance = np.linalg.norm(pred - places.label_px, axis=-1)
        known = np.isfinite(distance)
        logs = np.where(known, np.log(distance + places.floor_px), 0.0).sum(axis=1)
        cost[row] = np.where(known.any(axis=1), logs / np.maximum(known.sum(axis=1), 1), np.inf)
    highest = cost[np.isfinite(cost)].max(initial=0.0)
    cost = np.where(np.isfinite(cost), cost, highest + 1.0)
    # A label that fits another image a little better is still that image's own.
    cost[np.diag_indices(count)] -= np.log(_LEAST_OF_ANOTHER)
    _, order = _assignment(cost)
    moved = int((order != np.arange(count)).sum())
    if moved < max(FEWEST_IMAGES, _LEAST_MOVED * count):
        return []
    words = f"labels of {moved} of {count} images are those of other images of the set"
    return [
        Explanation("order.images", words, "compare the names of images and annotations",
                    lambda p: (p.pred_px, p.label_px[order]), _LEAST_OF_ANOTHER ** (moved / count)),
    ]  # fmt: skip


def order_in_words(order: Ints, skeleton: Skeleton) -> str:
    """What a permutation of keypoints means; `order[k]` is the label that lies at prediction k."""
    k = skeleton.keypoints
    natural = np.arange(k)
    rows = natural.reshape(-1, 2)
    known = (
        (rows[:, ::-1].ravel(), "left and right ends of every endplate are exchanged"),
        (rows[::-1].ravel(), "endplates are in reverse order, the lowest first"),
        (
            rows[::-1, ::-1].ravel(),
            "endplates are in reverse order, the lowest first, and left and right exchanged",
        ),
    )
    for permutation, words in known:
        if (order == permutation).all():
            return words
    of_bodies = skeleton.of_bodies
    first, bodies = of_bodies.start, order[of_bodies]
    vertebrae = natural[of_bodies].reshape(-1, CORNERS_PER_VERTEBRA)
    corners = bodies[:CORNERS_PER_VERTEBRA] - first
    if (np.delete(order, natural[of_bodies]) == np.delete(natural, natural[of_bodies])).all():
        if (bodies == vertebrae[::-1].ravel()).all():
            return f"vertebrae are in reverse order, {skeleton.bodies[-1]} first"
        within = (vertebrae[:, :1] + corners[None]).ravel()
        if corners.min() >= 0 and corners.max() < CORNERS_PER_VERTEBRA and (bodies == within).all():
            return _corners_in_words(tuple(CORNERS[c] for c in corners.tolist()))
    moved = np.flatnonzero(order != natural)
    names = skeleton.keypoint_names
    shown = ", ".join(f"{names[i]} lies at {names[int(order[i])]}" for i in moved[:4].tolist())
    more = f" and {len(moved) - 4} more" if len(moved) > 4 else ""
    return f"keypoints are in another order: {shown}{more}"


_CORNER_ORDERS: Mapping[tuple[str, ...], str] = {
    ("UL", "UR", "LR", "LL"): "corners of each vertebra go round it clockwise, UL, UR, LR, LL",
    ("UR", "UL", "LL", "LR"): "corners of each vertebra go round it anticlockwise, UR, UL, LL, LR",
    ("LL", "LR", "UL", "UR"): "upper and lower endplates of every vertebra are exchanged",
    (
        "LR",
        "LL",
        "UR",
        "UL",
    ): "upper and lower endplates, and left and right, are exchanged in every vertebra",
}


def _corners_in_words(corners: Sequence[str]) -> str:
    usual = ", ".join(CORNERS)
    words = _CORNER_ORDERS.get(tuple(corners))
    return f"{words}, not {usual}" if words and "go round" in words else words or (
        f"corners of each vertebra are in the order {', '.join(corners)}, not {usual}"
    )  # fmt: skip
