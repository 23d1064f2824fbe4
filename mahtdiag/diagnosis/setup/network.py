"""Checks of the network: its heatmaps, how they are decoded, its other outputs, whether it repeats itself."""

import numpy as np
from numpy.typing import NDArray

from mahtdiag.diagnosis.setup.check import Facts, Outcome, SetupCheck, fine, not_checked, of_network
from mahtdiag.diagnosis.setup.coordinates import judge_coordinates
from mahtdiag.diagnosis.setup.explanations import CLEAR_GAIN
from mahtdiag.diagnosis.setup.sigma import judge_head
from mahtdiag.diagnosis.two_peaks import are_diffuse
from mahtdiag.schema.choices import DecodeMethod
from mahtdiag.schema.numerals import pixels
from mahtdiag.schema.setup import Inspection, SetupStatus

Floats = NDArray[np.float64]

_MOST_PROBABILITY = 3.0
_LEAST_BYTES = 20.0
_LOGIT_BACKGROUND = -0.5
_DIFFUSE = 0.25
_MOST_DIFFUSE = 0.5
_DIP, _SIGNED = 0.1, 1.05
_WIDENS = 0.03
_DEAD_SHARE = 0.02
_ALL = 0.99
_WIDTH_LOW, _WIDTH_HIGH = 0.5, 2.0
_SUREST = 0.05
_CELLS_APART = 0.02
# Without labels: images of which no two are framed alike.
_MOVES = 1e-3
# About the size of a radiograph: what moves by less than a pixel of it does not move.
_FULL_PX = 1000.0
_FOLLOWS = 0.05
_CLOSE_ENOUGH = 1.1
BETA = "softargmax-beta"


def _heatmaps(facts: Facts) -> Outcome | None:
    look = facts.inspection
    if look is None or not look.images:
        return not_checked("no image could be read" if look is None else look.problem)
    if not look.heatmaps:
        return None
    if not np.isfinite(look.peak).any():
        return Outcome(
            SetupStatus.WRONG,
            "heatmaps are not numbers (NaN or infinite)",
            "look at the weights, and at the input's normalisation (--normalize)",
        )
    peak, background = (float(np.nanmedian(v)) for v in (look.peak, look.background))
    level = f"peaks about {peak:.3g}, background {background:.3g}"
    unknown: NDArray[np.bool_] = np.all(~np.isfinite(look.peak), axis=0)
    if unknown.any():
        return Outcome(
            SetupStatus.WRONG,
            f"the heatmap of {_names(facts, unknown)} is no number (NaN or infinite) in every image",
            "look at the weights of that channel of the network's last layer",
        )
    dead = _dead(facts, look)
    if dead.mean() >= _ALL:
        return Outcome(
            SetupStatus.WRONG,
            f"every heatmap is flat ({level}): the output holds no places",
            "check the checkpoint's weights, the input's normalisation, and which output is read",
            refused=True,
        )
    if dead.any():
        return Outcome(
            SetupStatus.WRONG,
            f"the heatmap of {_names(facts, dead)} is dead: flat, or without a peak, in every image",
            "look at that channel of the network's last layer, and at its training targets",
        )
    return _levels(look, level, float(np.mean(are_diffuse(facts.table))) if len(facts.table) else 0.0)


def _levels(look: Inspection, level: str, diffuse: float) -> Outcome:
    """What the cells stand for, by their range; `diffuse`: share of heatmaps that are flagged so."""
    peak, background, lowest = (float(np.nanmedian(v)) for v in (look.peak, look.background, look.lowest))
    if peak - background < _DIP * (background - lowest):
        return Outcome(
            SetupStatus.WRONG,
            f"heatmaps have dips, not peaks: {level}, lowest cell {lowest:.3g}",
            "turn their sign in the network (or a --model factory that wraps it)",
        )
    if lowest >= -_SIGNED and background < _LOGIT_BACKGROUND and peak <= _SIGNED:
        return Outcome(
            SetupStatus.WRONG,
            f"heatmaps run from -1 to 1, not from 0 to 1: {level}",
            "add 1 and divide by 2 in the network (or a --model factory that wraps it)",
        )
    if background < _LOGIT_BACKGROUND and lowest < _LOGIT_BACKGROUND and peak > background:
        if float(np.nanmax(look.peak)) <= 0:
            return Outcome(
                SetupStatus.WRONG,
                f"heatmaps are logarithms, nowhere above 0: {level}, lowest cell {lowest:.3g}",
                "--output activation=exp (or sigmoid, where these are logits of a timid network)",
            )
        return Outcome(
            SetupStatus.WRONG,
            f"heatmaps are logits, before the sigmoid: {level}, lowest cell {lowest:.3g}",
            "--output activation=sigmoid",
        )
    if background >= _DIFFUSE * peak > 0:
        return Outcome(
            SetupStatus.WRONG,
            f"heatmaps are diffuse: the background is {100 * background / peak:.0f} % of the peak ({level})",
            "train longer, or take the background out in the network; decoders read peaks above 0",
        )
    if diffuse > _MOST_DIFFUSE:
        return Outcome(
            SetupStatus.WRONG,
            f"heatmaps are diffuse: {100 * diffuse:.0f} % of them have no peak that stands out ({level})",
            "train longer, or take the background out in the network; decoders read peaks above 0",
        )
    if peak > _LEAST_BYTES:
        bytes_alike = 200 <= peak <= 300
        highest = "255" if bytes_alike else f"about {peak:.0f}"
        return Outcome(
            SetupStatus.WRONG,
            f"heatmaps run from 0 to {highest}, not from 0 to 1 ({level}): losses and soft-argmax mean "
            "something else",
            f"divide by {'255' if bytes_alike else 'the height of peaks in training'} in the network "
            "(or a --model factory that wraps it)",
        )
    if _sums_to_one(look):
        return fine(f"probabilities over cells, each heatmap sums to 1; {level}")
    return fine(level)


def _sums_to_one(look: Inspection) -> bool:
    total, peak = float(np.nanmedian(look.total)), float(np.nanmedian(look.peak))
    return abs(total - 1) < 0.05 and peak < 0.5


def _names(facts: Facts, which: NDArray[np.bool_]) -> str:
    """Some of these keypoints by name, and how many more there are."""
    names = [facts.table.skeleton.keypoint_names[k] for k in np.flatnonzero(which).tolist()]
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")


def _dead(facts: Facts, look: Inspection) -> NDArray[np.bool_]:
    """Keypoints without a peak in any image of the closer look, and in the whole table."""
    height = look.peak - look.lowest
    usual = float(np.nanmedian(height))
    none: NDArray[np.bool_] = np.all(~(height > _DEAD_SHARE * usual), axis=0)
    return none & facts.dead if usual > 0 and len(facts.table) and facts.dead.any() else none


def _peak_width(facts: Facts) -> Outcome | None:
    table = facts.table
    stated = table.conditions.heatmap_sigma
    cells = (
        [(frame.original_per_cell, rows) for frame, rows in table.frames()] if table.conditions.frames else []
    )
    if stated is None or not cells:
        return None
    per_cell = np.full_like(table.sizes_px, np.nan)
    for scale, rows in cells:
        per_cell[rows] = scale
    sigma = np.sqrt(table.spread_px2[..., [0, 2]]) / per_cell[:, None]
    sigma = sigma[:, ~facts.dead]
    if not np.isfinite(sigma).any():
        return not_checked("no heatmap has a peak")
    shown = float(np.nanmedian(sigma))
    evidence = f"peaks are {shown:.3g} cells wide (σ), {stated:g} are stated"
    if _WIDTH_LOW <= shown / stated <= _WIDTH_HIGH:
        return fine(evidence)
    # Doubt widens a heatmap, most along the spine; it never narrows one.
    surest = float(np.nanquantile(sigma.min(axis=-1), _SUREST))
    if shown > stated and surest / stated <= _WIDTH_HIGH:
        return fine(f"{evidence}; where the network is surest {surest:.3g}: it is in doubt elsewhere")
    look = facts.inspection
    if look is not None and look.images:
        part = float(np.nanmedian(look.background) / np.nanmedian(look.peak))
        if shown > stated and part > _WIDENS:
            return not_checked(f"{evidence}, but a background of {100 * part:.0f} % of the peak widens them")
    return Outcome(
        SetupStatus.WRONG,
        f"{evidence}: {shown / stated:.2g} times; decoding and heatmap losses use the stated one",
        f"--heatmap-sigma {shown:.2g}",
    )


def _decode(facts: Facts) -> Outcome | None:
    """What every decoder gives: `local` and `argmax` on the whole set, the others on the first images."""
    decode = facts.table.conditions.decode
    beta = _best_beta(facts)
    if decode == DecodeMethod.SOFT_ARGMAX and not facts.beta_stated:
        return Outcome(
            SetupStatus.WRONG,
            f"soft-argmax without a β: 1 is only a default{_in_words(beta)}",
            f"--{BETA} {beta[0]:g}" if beta else f"--{BETA} B, the factor of training",
            refused=True,
        )
    look = facts.inspection
    if decode == DecodeMethod.EXPECTATION and look is not None and look.images and not _sums_to_one(look):
        total = float(np.nanmedian(look.total))
        return Outcome(
            SetupStatus.WRONG,
            f"the expectation of maps that sum to about {total:.3g}, not to 1: the background counts too",
            "--decode dark, or --output activation=softmax where these are logits",
        )
    if facts.explained.found is not None and facts.finding("network.decode") is None:
        return not_checked(f"{facts.explained.found.explanation.check} comes first")
    known = np.isfinite(facts.places.label_px).all(-1) & np.isfinite(facts.places.pred_px).all(-1)
    if not known.any():
        return not_checked("no labelled keypoint with a prediction")
    read = {decode: facts.places.pred_px, **facts.places.decoded_px}
    errors = {
        name: float(np.nanmean(np.linalg.norm(px - facts.places.label_px, axis=-1)[known]))
        for name, px in read.items()
    }
    evidence = ", ".join(f"{name} {pixels(error)} px" for name, error in errors.items())
    better = facts.finding("network.decode")
    if better is None or len(facts.table) < 3:
        return fine(evidence)
    if decode == DecodeMethod.SOFT_ARGMAX and beta is not None:
        return Outcome(
            SetupStatus.WRONG,
            f"β of soft-argmax does not fit: {evidence}{_in_words(beta)}",
            f"--{BETA} {beta[0]:g}",
        )
    status = SetupStatus.WRONG if better.gain >= CLEAR_GAIN else SetupStatus.WARNING
    return Outcome(status, f"{better.explanation.cause}: {evidence}", better.explanation.advice)


def _in_words(beta: tuple[float, float] | None) -> str:
    return "" if beta is None else f"; soft-argmax with β {beta[0]:g} {beta[1]:.3g} cells on the first images"


def _best_beta(facts: Facts) -> tuple[float, float] | None:
    """The smallest β of those tried whose mean error on the first images is close to the best, heatmap cells.

    Larger ones tend to argmax; training uses the smallest that works.
    """
    look = facts.inspection
    if look is None:
        return None
    errors = {
        float(name.partition(" ")[2]): float(
            np.nanmean(np.linalg.norm(cells - look.labels_cells[: len(cells)], axis=-1))
        )
        for name, cells in look.places.items()
        if name.startswith(f"{DecodeMethod.SOFT_ARGMAX} ") and np.isfinite(cells).any()
    }
    errors = {beta: error for beta, error in errors.items() if np.isfinite(error)}
    if not errors:
        return None
    enough = min(errors.values()) * _CLOSE_ENOUGH
    best = min(beta for beta, error in errors.items() if error <= enough)
    return best, errors[best]


def _constant(facts: Facts) -> Outcome | None:
    """Whether predictions follow the images at all."""
    table = facts.table
    if len({digest or name for digest, name in zip(table.image_sha256, table.image, strict=True)}) < 2:
        return not_checked("all images are the same")
    # The heatmaps' peaks where they are known: a decoder may hide that these follow the image.
    seen = table.argmax_px if np.isfinite(table.argmax_px).any() else facts.places.pred_px
    # A network's constant is one share of every image, that of a file may be one pixel.
    scales = [table.sizes_px[:, None], *([np.full(2, _FULL_PX)] if facts.from_file else [])]
    if not facts.labelled:
        told = [_unmoved(seen / scale) for scale in scales]
        return next((found for found in told if found.status is SetupStatus.WRONG), told[0])
    ratios = [_followed(seen / scale, facts.places.label_px / scale) for scale in scales]
    known = [ratio for ratio in ratios if isinstance(ratio, float)]
    if not known:
        return not_checked(str(ratios[0]))
    ratio = min(known)
    if ratio >= _FOLLOWS:
        return fine("predictions differ between images as labels do")
    return Outcome(
        SetupStatus.WRONG,
        f"predictions do not depend on the image: from one to the next they move {100 * ratio:.2g} % of what "
        "labels do",
        _LOOK_AT_FILE if facts.from_file else _LOOK_AT_NETWORK,
    )


_LOOK_AT_FILE = "look at what wrote the predictions, and at its network"
_LOOK_AT_NETWORK = "check the checkpoint's weights and the input's normalisation (--normalize)"


def _followed(pred: Floats, label: Floats) -> float | str:
    """How far predictions `[N, K, 2]` move from image to image, share of what labels do; or why not."""
    both = np.isfinite(pred) & np.isfinite(label)
    if not both.any():
        return "no labelled keypoint with a prediction"
    moves = [_spread(points, both) for points in (pred, label)]
    moving = moves[1] > 1e-6
    if not moving.any():
        return "labels are the same in all images"
    return max(
        float(np.median(moves[0][rows, axis] / moves[1][rows, axis]))
        for axis, rows in enumerate(moving.T)
        if rows.any()
    )


def _unmoved(pred: Floats) -> Outcome:
    """Whether predictions `[N, K, 2]`, shares of the images, move at all from one image to the next."""
    moves = float(np.nanmedian(_spread(pred, np.isfinite(pred))))
    if moves >= _MOVES:
        return fine(f"predictions move by {100 * moves:.2g} % of the image from one to the next")
    return Outcome(
        SetupStatus.WRONG,
        f"predictions do not depend on the image: from one to the next they move {100 * moves:.2g} % of it",
        "check the checkpoint's weights and the input's normalisation (--normalize)",
    )


def _spread(points: Floats, known: NDArray[np.bool_]) -> Floats:
    """Standard deviation `[K, 2]` over the images where it is `known` `[N, K, 2]`; 0 where in none."""
    count = np.maximum(known.sum(axis=0), 1)
    middle = np.where(known, points, 0.0).sum(axis=0) / count
    away = np.where(known, points - middle, 0.0)
    spread: Floats = np.sqrt((away**2).sum(axis=0) / count)
    return spread


def _repeatable(facts: Facts) -> Outcome | None:
    look = facts.inspection
    if look is None or not look.images:
        return not_checked("no image could be read" if look is None else look.problem)
    if look.intended:
        return not_checked("repeated passes differ on purpose")
    if look.repeat_cells is None:
        return not_checked(look.problem or "one pass only")
    if look.repeat_cells > _CELLS_APART:
        return Outcome(
            SetupStatus.WRONG,
            f"not deterministic: two passes over the same images differ by {look.repeat_cells:.3g} cells "
            "(dropout or noise that is active in evaluation)",
            "switch dropout off in the network (training=False, model.eval()) and save it again",
        )
    if look.batch_cells is None:
        return fine(f"two passes agree; not checked in another batch: {look.problem or '1 image'}")
    if look.batch_cells > _CELLS_APART:
        return Outcome(
            SetupStatus.WRONG,
            "predictions depend on the other images of the batch: among others they differ by "
            f"{look.batch_cells:.3g} cells (batch statistics that are active in evaluation)",
            "save the network after model.eval(), so that batch norm uses its running statistics",
        )
    return fine("the same images give the same places, alone and among others")


def _outputs(facts: Facts) -> Outcome | None:
    look = facts.inspection
    if look is None or not look.images:
        return None if look is None else not_checked(look.problem)
    if not look.unread:
        return fine("every output is read")
    tensors = [name for name in look.unread if "tensor" in name]
    if not tensors:
        return fine(f"every tensor is read; beside them {', '.join(look.unread)}")
    return Outcome(
        SetupStatus.WARNING,
        f"outputs that nothing reads: {', '.join(look.unread)}",
        "if one is meant to be read: --output log_sigma=PATH (or coords, sigma, log_var), such as"
        f" {tensors[0].partition(' ')[0]}",
    )


PEAKS = ("network.heatmaps", "network.repeatable")

NETWORK = (
    of_network("network.heatmaps",
               "range and background: probabilities, logits, logarithms, 0 to 255, flat, dead channels, "
               "diffuse (a background of a quarter of the peak, or half of all heatmaps without a peak that"
               " stands out)",
               _heatmaps, images=0),
    of_network("network.repeatable",
               "the first images passed again, and in another batch: dropout or batch statistics that are "
               "active",
               _repeatable, images=0),
    SetupCheck("network.follows", "whether the heatmaps' peaks move with the images", _constant,
               ("network.heatmaps", "images.bit_range"), images=3, predictions=True),
    of_network("network.coordinates",
               "the network's own coordinates beside its heatmaps' peaks or the labels: cells, shares, "
               "percent, y before x; 0,0 or −1,−1 for what is not there; offsets of another scale or order;"
               " outputs that are named while --decode reads the heatmaps",
               judge_coordinates, ("network.heatmaps",), images=0),
)  # fmt: skip
"""What decides whether anything else can be told."""

READING = (
    of_network("network.peak_width", "σ of the peaks against --heatmap-sigma", _peak_width, PEAKS),
    of_network("network.decode", "what every decoder gives, and the best β of soft-argmax", _decode,
               (*PEAKS, "network.follows", "network.coordinates", "images.bit_range"), images=0),
    of_network("network.uncertainty",
               "σ that is negative or constant; matrices that are no covariances; σ that falls as errors "
               "grow (a precision); log σ, σ or log variance; input pixels or heatmap cells",
               judge_head, images=0),
    of_network("network.outputs", "outputs that nothing reads", _outputs, images=0),
)  # fmt: skip
