"""Checks of the labels, and of labels and predictions together."""

from collections import Counter
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from mahtdiag.anatomy.systematic import fit_systematic_error
from mahtdiag.anatomy.systematic_words import explain_systematic_error
from mahtdiag.anatomy.whole_vertebrae import whole_vertebrae
from mahtdiag.diagnosis.setup.check import (
    Facts,
    Outcome,
    explained_by,
    fine,
    not_checked,
    of_both,
    of_labels,
    too_few,
)
from mahtdiag.diagnosis.setup.explanations import FEWEST_IMAGES
from mahtdiag.diagnosis.setup.mistakes import TRANSFORM
from mahtdiag.diagnosis.setup.orders import matched_order, shifted_option
from mahtdiag.schema.choices import DecodeMethod
from mahtdiag.schema.keypoint_order import order_option
from mahtdiag.schema.setup import SetupStatus

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

_MOST_IN_UNIT = 1.5
_IN_PERCENT = 100.5
_FEWEST_TOGETHER = 10


def shares_or_percent(labels_px: Floats, sizes_px: Floats) -> str | None:
    """Whether labels `[N, K, 2]` are shares or percent of images of these sizes `[N, 2]`, in words; None: no.

    Shares: every label lies within 1.5 of the origin in images of more than ten pixels a side. Percent: every
    label lies between 0 and 100 in images that are three times as large on both sides, some beyond a tenth,
    and the labels of all images fill at least a third of that range.
    """
    known = labels_px[np.isfinite(labels_px).all(-1)]
    if known.size == 0 or not sizes_px.size or sizes_px.min() <= 10:
        return None
    if (np.abs(known) <= _MOST_IN_UNIT).all():
        return "shares" if np.ptp(known, axis=0).max() > 0 else None
    inside = (known >= -1).all() and (known <= _IN_PERCENT).all()
    large = np.median(sizes_px, axis=0).min() >= 3 * _IN_PERCENT
    if inside and large and np.ptp(known[:, 1]) >= 30:
        return "percent"
    return None


def _in_network_units(facts: Facts) -> tuple[str, float, float] | None:
    """Where labels from 0 to 100 lie nearer to the heatmaps' peaks as cells or as pixels of the input."""
    look, frames = facts.inspection, facts.table.conditions.frames
    peaks = None if look is None else look.places.get(str(DecodeMethod.ARGMAX))
    if frames is None or peaks is None or len(peaks) != len(facts.outside):
        return None
    labels, cells = facts.outside, frames.heatmap.xy
    read = {
        "percent of the image": labels / 100 * cells,
        "heatmap cells": labels,
        "pixels of the network's input": labels / frames.input_per_cell,
    }
    apart = {name: float(np.nanmedian(np.linalg.norm(at - peaks, axis=-1))) for name, at in read.items()}
    best = min(apart, key=apart.__getitem__)
    percent = apart["percent of the image"]
    return (best, apart[best], percent) if apart[best] < 0.5 * percent else None


def _unit(facts: Facts) -> Outcome:
    labels = np.concatenate([facts.labels_px, facts.outside])
    sizes = np.concatenate([facts.table.sizes_px, facts.outside_sizes_px])
    named = shares_or_percent(labels, sizes)
    if named == "percent" and facts.finding("labels.unit") is not None:
        named = None  # Predictions tell percent from heatmap cells and pixels of the input.
    network = None if named != "percent" else _in_network_units(facts)
    if network is not None:
        return Outcome(
            SetupStatus.WRONG,
            f"labels are {network[0]}, not pixels of the image: they lie {network[1]:.3g} cells from the "
            f"heatmaps' peaks then (median), {network[2]:.3g} as percent of the image",
            "map the labels back to the size of their images",
            refused=True,
        )
    if named is not None:
        what = "shares of the image, 0 to 1" if named == "shares" else "percent of the image"
        return Outcome(
            SetupStatus.WRONG,
            f"labels are {what}: all of {len(labels)} images lie between {np.nanmin(labels):.3g} and "
            f"{np.nanmax(labels):.3g}",
            "multiply x by the image's width and y by its height"
            + ("" if named == "shares" else ", and divide by 100"),
            refused=True,
        )
    if not facts.predicted:
        return fine("labels lie where pixels of their images would") if len(labels) else too_few(0, 1)
    if not len(facts.table):
        return not_checked("no image was evaluated")
    found = explained_by(facts, "labels.unit", "labels and predictions have the same scale")
    if found.advice and facts.spec is not None and facts.spec.decoding.own_coords:
        other = "or the network's own coordinates count something else (--coords-frame), or in another size"
        return replace(found, advice=f"{found.advice}; {other}")
    return found


def _origin(facts: Facts) -> Outcome:
    return explained_by(facts, "labels.origin", "nothing points to labels that count from 1")


def _missing(facts: Facts) -> Outcome:
    found = facts.placeholders
    images = int(found.any(axis=1).sum())
    if not images:
        return fine("no label is exactly 0,0 or -1,-1")
    names = facts.table.skeleton.keypoint_names
    where = ", ".join(names[k] for k in np.flatnonzero(found.any(axis=0))[:3].tolist())
    return Outcome(
        SetupStatus.WRONG,
        f"{int(found.sum())} labels in {images} of {len(found)} images are exactly 0,0 or -1,-1 ({where}): "
        "not labelled, but judged as places",
        "label these places, or take the images out: every keypoint of an image must be annotated",
    )


def _axes(facts: Facts) -> Outcome:
    upright = facts.outside_orientation == 1
    labels = np.concatenate([facts.labels_px, facts.outside[upright]])
    far = np.concatenate([facts.table.sizes_px, facts.outside_sizes_px[upright]])[:, None]
    beyond = ((labels < -1) | (labels > far)).any(axis=(1, 2))
    if np.count_nonzero(beyond):
        turned = labels[beyond][..., ::-1]
        fits = ~((turned < -1) | (turned > far[beyond])).any(axis=(1, 2))
        if fits.mean() > 0.5:
            if not _upright(turned[fits]):
                return Outcome(
                    SetupStatus.WRONG,
                    f"labels lie at 90° to their images: {int(fits.sum())} images whose labels lie outside "
                    "hold them with x and y exchanged, but upside down (turned, or x and y exchanged and the "
                    "lowest vertebra first)",
                    "turn images and labels alike, and evaluate again",
                )
            return Outcome(
                SetupStatus.WRONG,
                f"x and y of the labels are exchanged: {int(fits.sum())} images whose labels lie outside "
                "hold them the other way round",
                "write x before y in the annotations",
            )
    if not facts.predicted:
        return fine("labels lie inside their images") if len(labels) else too_few(0, 1)
    return explained_by(facts, "order.axes", "x and y are where they belong")


def _upright(labels_px: Floats) -> bool:
    """Whether the last keypoints lie below the first in most images."""
    first, last = (np.nanmean(labels_px[:, part, 1], axis=1) for part in (slice(0, 4), slice(-4, None)))
    return bool(np.mean(last > first) > 0.5)


def _order(facts: Facts) -> Outcome:
    shift = facts.table.level_shift
    for value, words in ((1, "one level too low"), (-1, "one level too high")):
        count = int((shift == value).sum())
        if count >= 3 and count > 0.5 * shift.size:
            return Outcome(
                SetupStatus.WRONG,
                f"predictions lie {words} in {count} of {shift.size} images, all vertebrae of each",
                "compare the names of the levels that labels and network use",
            )
    outcome = explained_by(facts, "order.keypoints", "every keypoint lies nearest to its own label")
    if outcome.status is not SetupStatus.WRONG:
        return outcome
    # The side that breaks the rules of anatomy is the one in another order.
    labels, predictions = (
        float(found.fired().any(axis=1).mean()) if len(facts.table) else 0.0
        for found in (facts.table.label_findings, facts.table.findings)
    )
    whose = "in the labels" if labels > predictions + 0.5 else None
    whose = "in the network's output" if predictions > labels + 0.5 else whose
    order = None if facts.spec is None or facts.order_said else matched_order(facts.places)
    advice = shifted_option(facts.order_said, outcome.evidence) or outcome.advice
    if order is not None and whose != "in the labels":
        advice = f"--keypoints {order_option(order.tolist(), facts.table.skeleton)}"
    return Outcome(
        outcome.status, outcome.evidence if whose is None else f"{whose} {outcome.evidence}", advice
    )


def _images(facts: Facts) -> Outcome | None:
    return explained_by(facts, "order.images", "predictions lie nearest to the labels of their own image")


def _possible(facts: Facts) -> Outcome:
    findings = facts.table.label_findings if facts.predicted else facts.table.findings
    codes_of = findings.codes_per_image()
    images = sum(map(bool, codes_of))
    if not images:
        return fine("no label breaks a rule of anatomy")
    codes = Counter(code for codes in codes_of for code in codes).most_common(3)
    named = ", ".join(f"{code} in {count}" for code, count in codes)
    return Outcome(
        SetupStatus.WARNING,
        f"labels of {images} of {len(codes_of)} images break a rule of anatomy ({named})",
        "mahtdiag anatomy --labels DATA" if facts.predicted else "",
    )


def _frame(facts: Facts) -> Outcome:
    return explained_by(facts, "together.frame", "no other pixel convention or way of resizing fits better")


def _flip(facts: Facts) -> Outcome:
    return explained_by(facts, "together.flip", "neither mirrored nor turned")


def _together(facts: Facts) -> Outcome | None:
    """A shift, scale or rotation that all predictions share, where no named mistake explains it."""
    found, table, places = facts.explained.found, facts.table, facts.places
    if found is None:
        return fine("no shared shift, scale or rotation that matters")
    if found.explanation.check != TRANSFORM:
        return not_checked(f"{found.explanation.check} comes first")
    pred_px, label_px = (whole_vertebrae(v, table.skeleton) for v in (places.pred_px, places.label_px))
    in_px = fit_systematic_error(pred_px, label_px)
    cells = [table.in_cells(points) for points in (pred_px, label_px)]
    in_cells = None
    if cells[0] is not None and cells[1] is not None:
        in_cells = fit_systematic_error(cells[0], cells[1])
    sentence = None if in_px is None else explain_systematic_error(in_px, in_cells)
    what = found.explanation.cause if sentence is None else sentence.rstrip(".")
    return Outcome(
        SetupStatus.WARNING,
        f"{what}: {found.in_words}; no known mistake of setup makes it",
        "mahtdiag anatomy shows its size and interval",
    )


AFTER = ("network.coordinates", "network.follows")

LABELS = (
    of_labels(
        "labels.unit",
        "shares, percent, pixels of the network's input, heatmap cells, another size of image",
        _unit,
        AFTER,
        images=0,
    ),
    of_labels("labels.missing", "labels that are exactly 0,0 or −1,−1", _missing),
    of_labels("order.axes", "x and y", _axes, AFTER, images=0),
)
"""What decides where labels lie at all."""

TOGETHER = (
    of_both(
        "order.keypoints",
        "one matching of predicted to labelled keypoints over the set, the permutation in words; a "
        "range of channels that begins one too early or too late, as where the first is a background",
        _order,
        AFTER,
        images=FEWEST_IMAGES,
    ),
    of_both(
        "order.images",
        "labels that belong to other images of the set (up to 512 images)",
        _images,
        AFTER,
        images=FEWEST_IMAGES,
    ),
    of_both("labels.origin", "labels that count pixels from 1", _origin, AFTER, images=FEWEST_IMAGES),
    of_labels(
        "labels.possible",
        "labels that break a rule of anatomy (mahtdiag anatomy --labels)",
        _possible,
        ("labels.unit", "order.axes", "labels.missing", "order.keypoints"),
    ),
    of_both(
        "together.flip",
        "mirrored, upside down, turned by 180°",
        _flip,
        (*AFTER, "images.orientation"),
        images=FEWEST_IMAGES,
    ),
    of_both("together.frame", "--coords and --resize", _frame, AFTER, images=FEWEST_IMAGES),
    of_both(
        "together.transform",
        "a shift, scale (of places and of outlines) or rotation that all predictions share",
        _together,
        (*AFTER, "images.input"),
        images=_FEWEST_TOGETHER,
    ),
)
