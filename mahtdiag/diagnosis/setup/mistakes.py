"""The mistakes of setup that are tried as explanations: units, axes, frames, decoders, orders."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from mahtdiag.anatomy.systematic import moved_as_others
from mahtdiag.anatomy.whole_vertebrae import hidden_keypoints, whole_vertebrae
from mahtdiag.diagnosis.setup.explanations import (
    CLEAR_GAIN,
    DECODE_GAIN,
    FEWEST_IMAGES,
    LEAST_GAIN,
    ORIGIN_GAIN,
    RIVAL_CHANCE,
    TOGETHER_GAIN,
    Explained,
    Explanation,
    Finding,
    Floats,
    Ints,
    Pair,
    Places,
    beats,
    best_of,
    log_mean,
)
from mahtdiag.diagnosis.setup.orders import image_explanations, order_explanations, order_in_words
from mahtdiag.schema.choices import CoordinateConvention
from mahtdiag.schema.frames import NetworkFrames, Size
from mahtdiag.schema.preprocessing import Resize
from mahtdiag.schema.skeleton import CORNERS_PER_VERTEBRA, Skeleton

Bools = NDArray[np.bool_]
TRANSFORM = "together.transform"
MOST_IMAGES = 512
"""So many images, evenly spread over the set, decide: more would change no verdict."""
_LEAST_SCALE = 0.02
_SIZES: Mapping[float, str] = {2.0: "half the size", 4.0: "a quarter of the size", 0.5: "twice the size"}
_IN_SOME_GAIN, _IN_SOME_USUAL = 3.0, 2.0


def explain(places: Places) -> Explained:
    """The mistake of setup that explains the errors best; nothing from fewer than three images.

    A free fit is preferred to a known mistake only where it leaves less than that one and the known one that
    explains the rest.
    """
    if len(places.pred_px) > MOST_IMAGES:
        places = places.taken(np.linspace(0, len(places.pred_px) - 1, MOST_IMAGES).astype(np.int64))
    known = np.isfinite(places.pred_px).all(-1) & np.isfinite(places.label_px).all(-1)
    if np.count_nonzero(np.any(known, axis=1)) < FEWEST_IMAGES:
        return Explained(None)
    named = [*_unit_explanations(places), *_AXES, *_origin(), *_frames(places), *_decoders(places)]
    best, rivals = best_of(places, [*named, *order_explanations(places), *image_explanations(places)])
    then = None if best is None or rivals else _then(places, best)
    fitted, _ = best_of(places, _free_explanations(places))
    left = then or best
    if fitted is not None and (left is None or (left.error_px > fitted.error_px and beats(fitted, left))):
        return Explained(fitted)
    return Explained(best, rivals, then)


@dataclass(frozen=True, slots=True)
class InSome:
    """A mistake that was made in the images of these rows, and their mean error with it and without."""

    explanation: Explanation
    rows: Ints
    before_px: float
    error_px: float


def explain_some(places: Places) -> InSome | None:
    """The known mistake that explains the errors of some images, at least three; None where there is none.

    In three images errors have to shrink to a third, and to what is usual in the others; then every image
    counts whose errors shrink to two thirds.
    """
    before = np.linalg.norm(places.pred_px - places.label_px, axis=-1)
    found: list[InSome] = []
    for explanation in [*_fixed_units(places), *_AXES, *_known_orders(places)]:
        moved = explanation.moved(places)
        if moved is None:
            continue
        after = np.linalg.norm(moved[0] - moved[1], axis=-1)
        known = np.isfinite(before) & np.isfinite(after)
        was, now = (
            np.where(known.any(axis=1), log_mean(np.log(errors + places.floor_px), known), np.nan)
            for errors in (before, after)
        )
        better = was - now > np.log(_IN_SOME_GAIN)
        if not FEWEST_IMAGES <= np.count_nonzero(better) < np.count_nonzero(known.any(axis=1)):
            continue
        usual = np.nanmedian(was[~better]) + np.log(_IN_SOME_USUAL)
        if np.count_nonzero(better & (now < usual)) >= FEWEST_IMAGES:
            # Once it is known that it was made, less is needed of each image.
            rows = np.flatnonzero(was - now > np.log(CLEAR_GAIN))
            means = (float(errors[rows][known[rows]].mean()) for errors in (before, after))
            found.append(InSome(explanation, rows.astype(np.int64), *means))
    return max(found, key=lambda some: some.rows.size, default=None)


def _fixed_units(places: Places) -> list[Explanation]:
    def scaled(factor: float) -> Callable[[Places], Pair]:
        return lambda p: (p.pred_px, p.label_px * factor)

    return [
        *(each for each in _unit_explanations(places) if not each.freedom),
        *(
            Explanation("labels.unit", f"labels are for images of {words}",
                        f"multiply the labels by {factor:g}", scaled(factor))
            for factor, words in _SIZES.items()
        ),
    ]  # fmt: skip


def _known_orders(places: Places) -> list[Explanation]:
    """Ends, rows and vertebrae exchanged, and corners clockwise."""

    def ordered(order: Ints) -> Callable[[Places], Pair]:
        return lambda p: (p.pred_px, p.label_px[:, order])

    natural = np.arange(places.skeleton.keypoints)
    rows, bodies = natural.reshape(-1, 2), places.skeleton.of_bodies
    clockwise = natural.copy()
    clockwise[bodies] = natural[bodies].reshape(-1, CORNERS_PER_VERTEBRA)[:, [0, 1, 3, 2]].ravel()
    orders = [rows[:, ::-1].ravel(), rows[::-1].ravel(), rows[::-1, ::-1].ravel(), clockwise]
    return [
        Explanation("order.keypoints", order_in_words(order, places.skeleton),
                    "bring labels and network to one order of keypoints", ordered(order))
        for order in orders
    ]  # fmt: skip


def _then(places: Places, best: Finding) -> Finding | None:
    """The known mistake that explains what is left once the best explanation is mended."""
    moved = best.explanation.moved(places)
    assert moved is not None
    mended = replace(places, pred_px=moved[0], label_px=moved[1], decoded_px={})
    found, rivals = best_of(mended, [*_AXES, *order_explanations(mended)])
    return None if rivals else found


# ---- units: labels of another size of image ----


def _unit_explanations(places: Places) -> list[Explanation]:
    edit = "multiply the labels by it, or keep images and labels of one size"
    units = [
        Explanation("labels.unit", "labels are shares of the image, 0 to 1",
                    "multiply x by the image's width and y by its height",
                    lambda p: (p.pred_px, p.label_px * p.sizes_px[:, None])),
        Explanation("labels.unit", "labels are percent of the image",
                    "multiply x by a hundredth of the image's width and y by that of its height",
                    lambda p: (p.pred_px, p.label_px * p.sizes_px[:, None] / 100)),
    ]  # fmt: skip
    if places.frames is not None:
        units += [
            Explanation("labels.unit", "labels are pixels of the network's input, not of the image",
                        "map the labels back to the size of their images",
                        lambda p: (p.pred_px, _from_input(p, p.label_px))),
            Explanation("labels.unit", "labels are heatmap cells, not pixels of the image",
                        "map the labels back to the size of their images",
                        lambda p: (p.pred_px, _from_cells(p, p.label_px))),
        ]  # fmt: skip
    factor = _scale_about_origin(places)
    if factor is not None and (np.abs(factor - 1) >= _LEAST_SCALE).any():
        alike = abs(factor[0] - factor[1]) <= 0.01 * factor.max()
        factor = np.full(2, float(np.sqrt(factor.prod()))) if alike else factor
        how = f"{factor[0]:.3g}" if alike else f"{factor[0]:.3g} in x and {factor[1]:.3g} in y"
        units.append(Explanation(
            "labels.unit", f"labels are for images of {_of_size(factor, alike)}",
            f"factor {how}: {edit}", lambda p: (p.pred_px, p.label_px * factor),
            CLEAR_GAIN, 1 if alike else 2,
        ))  # fmt: skip
    return units


def _of_size(factor: Floats, alike: bool) -> str:
    """The size of the images that labels are for, against that of theirs."""
    if not alike:
        return f"{1 / factor[0]:.3g} times the width and {1 / factor[1]:.3g} times the height"
    near = (words for share, words in _SIZES.items() if abs(factor[0] / share - 1) < _LEAST_SCALE)
    return next(near, f"{1 / factor[0]:.3g} times the size")


def _scale_about_origin(places: Places) -> Floats | None:
    """Median of prediction over label in x and y, where labels lie far enough from the origin."""
    factors = []
    for axis in (0, 1):
        pred, label = places.pred_px[..., axis], places.label_px[..., axis]
        known = np.isfinite(pred) & np.isfinite(label) & (np.abs(label) > 1e-6)
        if not known.any():
            return None
        factors.append(float(np.median(pred[known] / label[known])))
    found = np.array(factors)
    return found if (found > 0.01).all() and (found < 1e4).all() else None


def _mapped(
    places: Places, points: Floats, mapping: Callable[[NetworkFrames, Size, Floats], Floats]
) -> Floats:
    """Points of each size of image through its frames."""
    assert places.frames is not None
    moved = np.full_like(points, np.nan)
    for width, height in np.unique(places.sizes_px, axis=0):
        rows = (places.sizes_px == (width, height)).all(axis=1)
        moved[rows] = mapping(places.frames, Size(int(height), int(width)), points[rows])
    return moved


def _from_input(places: Places, points: Floats) -> Floats:
    return _mapped(places, points, lambda frames, size, part: frames.of(size).input_to_original(part))


def _from_cells(places: Places, points: Floats) -> Floats:
    return _mapped(places, points, lambda frames, size, part: frames.of(size).heatmap_to_original(part))


# ---- free: a shift, a scale and a rotation as they fit, and no cause ----


def _free_explanations(places: Places) -> list[Explanation]:
    return [
        Explanation(TRANSFORM, "all predictions share a shift", "", _shifted, TOGETHER_GAIN, 2),
        Explanation(TRANSFORM, "all predictions share a shift, scale and rotation", "", _fitted,
                    TOGETHER_GAIN, 5),
    ]  # fmt: skip


def _shifted(places: Places) -> Pair | None:
    """Labels moved by the median shift of the other images."""
    known = _known_images(places)
    by_image = _shift_by_image(places)
    if by_image is None:
        return None
    rows = np.flatnonzero(known)
    others = np.array([np.median(by_image[rows != row], axis=0) for row in range(len(known))])
    return places.pred_px, places.label_px + others[:, None]


def _known_images(places: Places) -> Bools:
    """Images with a labelled keypoint and its prediction, `[N]`."""
    known = np.isfinite(places.pred_px).all(-1) & np.isfinite(places.label_px).all(-1)
    return np.asarray(np.any(known, axis=1))


def _shift_by_image(places: Places) -> Floats | None:
    """The median of prediction − label of each known image, `[M, 2]`; None from too few images."""
    rows = _known_images(places)
    if np.count_nonzero(rows) < FEWEST_IMAGES:
        return None
    shift: Floats = np.nanmedian((places.pred_px - places.label_px)[rows], axis=1)
    return shift


def _fitted(places: Places) -> Pair | None:
    """Labels shifted, scaled and turned as the predictions of the other images are."""
    pred_px, label_px = (whole_vertebrae(v, places.skeleton) for v in (places.pred_px, places.label_px))
    moved = moved_as_others(pred_px, label_px)
    return None if moved is None else (places.pred_px, moved[:, hidden_keypoints(places.skeleton) :])


# ---- axes, origin, orientation ----


def _mirrored(p: Places, *, x: bool, y: bool) -> Floats:
    far = p.sizes_px[:, None] - 1
    return np.where([x, y], far - p.label_px, p.label_px)


def swapped(points: Floats, skeleton: Skeleton) -> Floats:
    pairs = np.arange(skeleton.keypoints).reshape(-1, 2)[:, ::-1].ravel()
    swapped: Floats = points[:, pairs]
    return swapped


_SAVE = "turn images and labels alike, and evaluate again"
_BY_SIDE = ", corners by image side"
_AXES = (
    Explanation("order.axes", "x and y of the labels are exchanged", "write x before y in the annotations",
                lambda p: (p.pred_px, p.label_px[..., ::-1])),
    Explanation("together.flip", "images are mirrored left for right against their labels", _SAVE,
                lambda p: (p.pred_px, _mirrored(p, x=True, y=False))),
    Explanation("together.flip", f"images are mirrored left for right against their labels{_BY_SIDE}",
                _SAVE, lambda p: (p.pred_px, swapped(_mirrored(p, x=True, y=False), p.skeleton))),
    Explanation("together.flip", "images are upside down against their labels", _SAVE,
                lambda p: (p.pred_px, _mirrored(p, x=False, y=True))),
    Explanation("together.flip", "images are turned by 180° against their labels", _SAVE,
                lambda p: (p.pred_px, _mirrored(p, x=True, y=True))),
    Explanation("together.flip", f"images are turned by 180° against their labels{_BY_SIDE}", _SAVE,
                lambda p: (p.pred_px, swapped(_mirrored(p, x=True, y=True), p.skeleton))),
)  # fmt: skip


def upright_to_stored(points: Floats, sizes_px: Floats, orientation: Ints) -> Floats:
    """Points on the images as viewers turn them, by tag 1 to 8 `[N]`, on the stored pixels `[N, K, 2]`.

    `sizes_px` are those of the stored images. Source: Exif 2.32, tag 0x0112.
    """
    x, y = np.moveaxis(points, -1, 0)
    right, bottom = (sizes_px[:, None] - 1).transpose(2, 0, 1)
    ways = {1: (x, y), 2: (right - x, y), 3: (right - x, bottom - y), 4: (x, bottom - y),
            5: (y, x), 6: (y, bottom - x), 7: (right - y, bottom - x), 8: (right - y, x)}  # fmt: skip
    moved = points.copy()
    for tag, (new_x, new_y) in ways.items():
        rows = orientation == tag
        moved[rows] = np.stack([new_x, new_y], axis=-1)[rows]
    return moved


_NEAR_ONE = 0.35


def _origin() -> list[Explanation]:
    return [
        Explanation("labels.origin", "labels count pixels from 1, not from 0", "subtract 1 from every label",
                    _less_one, ORIGIN_GAIN, most_chance=RIVAL_CHANCE),
    ]  # fmt: skip


def _less_one(places: Places) -> Pair | None:
    """Labels less one pixel, where predictions lie that far from them along both axes."""
    shift = _shift_by_image(places)
    if shift is None or (np.abs(np.median(shift, axis=0) + 1) > _NEAR_ONE).any():
        return None
    return places.pred_px, places.label_px - 1


# ---- frames: how images became heatmaps ----


_RESIZES = tuple(
    Resize.parse(text) for text in ("stretch", "letterbox", "letterbox:top-left", "letterbox:pad=1.25")
)


def _frames(places: Places) -> list[Explanation]:
    frames = places.frames
    if frames is None:
        return []
    found = []
    for convention in CoordinateConvention:
        for resize in dict.fromkeys((frames.resize, *_RESIZES)):
            other = replace(frames, convention=convention, resize=resize)
            if other == frames:
                continue
            options = [] if convention is frames.convention else [f"--coords {convention}"]
            options += [] if resize == frames.resize else [f"--resize {resize}"]
            words = (
                [] if convention is frames.convention else [f"pixel centres as under --coords {convention}"]
            )
            words += [] if resize == frames.resize else [f"images resized by --resize {resize}"]
            found.append(
                Explanation(
                    "together.frame",
                    f"the network was trained with {' and '.join(words)}",
                    " ".join(options),
                    partial(_with_frames, other),
                    LEAST_GAIN if resize == frames.resize else CLEAR_GAIN,
                )
            )
    return found


def _decoders(places: Places) -> list[Explanation]:
    def read_by(name: str) -> Callable[[Places], Pair]:
        return lambda p: (p.decoded_px[name], p.label_px)

    return [
        Explanation("network.decode", f"{name} reads the heatmaps better", f"--decode {name}",
                    read_by(name), DECODE_GAIN)
        for name in places.decoded_px
    ]  # fmt: skip


def _with_frames(other: NetworkFrames, places: Places) -> Pair:
    """The same heatmap places as other frames would have mapped them, and the labels."""

    def again(frames: NetworkFrames, size: Size, part: Floats) -> Floats:
        return other.of(size).heatmap_to_original(frames.of(size).original_to_heatmap(part))

    return _mapped(places, places.pred_px, again), places.label_px
