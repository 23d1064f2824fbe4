"""Spines: what rules find and what they cannot, kinds of mistakes, and what all vertebrae share."""

from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Circle, Patch
from matplotlib.ticker import PercentFormatter
from numpy.typing import NDArray

from handbook.pictures.picture import Picture, panels
from handbook.pictures.samples import as_image, median_height, outlines, sample_labels, sample_sizes
from mahtdiag.anatomy.bodies import BodyErrors, fit_bodies
from mahtdiag.anatomy.error_types import ErrorType, classify_errors, label_widths_px, whole_image_level_shift
from mahtdiag.anatomy.findings import check_anatomy
from mahtdiag.reports.figures.style import BLUE, INK, MUTED, VERMILLION
from mahtdiag.schema.skeleton import AP, LA

Floats = NDArray[np.float64]

WAYS: Final = 8
STEPS: Final = np.round(np.arange(0.0, 1.51, 0.05), 2)
SKELETONS: Final = {"AP": AP, "LA": LA}


@cache
def found_by_distance(view: str) -> Floats:
    """Share of sample spines with a finding where one corner was moved by each of `STEPS` heights.

    Every corner in turn, in eight directions.
    """
    labels, shares = sample_labels(view), np.empty(len(STEPS))
    heights = np.array([median_height(points) for points in labels])
    angles = np.arange(WAYS) * 2 * np.pi / WAYS
    sizes = sample_sizes(view).repeat(labels.shape[1] * WAYS, axis=0)
    ways = np.stack([np.cos(angles), np.sin(angles)], axis=-1)
    for place, step in enumerate(STEPS):
        moved = np.repeat(labels[:, None, None], labels.shape[1], axis=1).repeat(WAYS, axis=2)
        for k in range(labels.shape[1]):
            moved[:, k, :, k] += step * heights[:, None, None] * ways
        points = moved.reshape(-1, *labels.shape[1:])
        found = check_anatomy(points, SKELETONS[view], image_size_px=sizes)
        shares[place] = (found.image_severity() > 0).mean()
    return shares


def found_at(view: str, heights: float) -> float:
    """The same for one distance."""
    return float(found_by_distance(view)[int(np.argmin(np.abs(STEPS - heights)))])


def _found() -> Figure:
    figure, (spine, curve) = panels(2, 3.2, width_ratios=(1, 2.2))
    label = sample_labels("AP")[0]
    moved = label.copy()
    moved[9] += np.array([0.7, -0.5]) * median_height(label)
    outlines(spine, label, MUTED, ":")
    outlines(spine, moved, BLUE)
    spine.plot(*moved[9], "o", color=VERMILLION, markersize=5)
    codes = check_anatomy(moved[None], AP, image_size_px=None).codes_per_image()[0]
    spine.set_title(f"0.86 heights: {' '.join(codes)}")
    as_image(spine)
    for view, colour, style in (("AP", BLUE, "-"), ("LA", VERMILLION, "--")):
        curve.plot(
            STEPS, found_by_distance(view), color=colour, linestyle=style, label=f"{view} sample labels"
        )
    curve.set(xlabel="one corner moved by, heights of a vertebra", ylim=(0, 1.02), xlim=(0, 1.5))
    curve.set_ylabel("spines with a finding")
    curve.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    curve.legend(loc="lower right")
    return figure


@dataclass(frozen=True, slots=True)
class Shifted:
    """Sample labels, and predictions that are one level too low; what is said of them.

    `violating`: images in which a rule fires; `shifted`: images told to be one level off; `of_type`: share of
    keypoints of the type level shift +1; `error_widths`: mean error over the mean width of the vertebrae.
    """

    label: Floats
    pred: Floats
    violating: int
    shifted: int
    of_type: float
    error_widths: float


@cache
def level_shift() -> Shifted:
    """Each vertebra at the place of the next one; L5 as far below the label as L5 lies below L4."""
    label = sample_labels("AP")
    pred = np.concatenate([label[:, 4:], 2 * label[:, -4:] - label[:, -8:-4]], axis=1)
    types = classify_errors(pred, label)
    return Shifted(
        label,
        pred,
        int((check_anatomy(pred, AP, image_size_px=sample_sizes("AP")).image_severity() > 0).sum()),
        int((whole_image_level_shift(pred, label) == 1).sum()),
        float((types.types == ErrorType.LEVEL_DOWN).mean()),
        float((types.error_px / label_widths_px(label)).mean()),
    )


def _level_shift() -> Figure:
    shifted = level_shift()
    figure, axes = panels(2, 3.6)
    for each, points, colour, title in (
        (axes[0], shifted.label[3], BLUE, "label"),
        (axes[1], shifted.pred[3], VERMILLION, "prediction, one level too low"),
    ):
        outlines(each, shifted.label[3], MUTED, ":")
        outlines(each, points, colour)
        for number, name in enumerate(AP.vertebrae):
            x, y = points[4 * number : 4 * number + 4].mean(axis=0)
            each.text(x, y, name, ha="center", va="center", color=INK)
        each.set_title(title, fontsize=9.0)
        as_image(each)
        each.set_ylim(1.02 * shifted.pred[3][:, 1].max(), 0.9 * shifted.label[3][:, 1].min())
    return figure


KEYPOINT: Final = 8
BESIDE: Final = np.array([90.0, 45.0])
COLOURS: Final = {
    ErrorType.GOOD: "#BFE3D6",
    ErrorType.JITTER: "#BBD9EC",
    ErrorType.MISS: "#F0F1F2",
    ErrorType.LEFT_RIGHT_SWAP: "#F6DCAE",
    ErrorType.ENDPLATE_SWAP: "#EAC9DB",
    ErrorType.LEVEL_UP: "#F3C3AE",
    ErrorType.LEVEL_DOWN: "#D9C7F0",
}


def _error_types() -> Figure:
    label = sample_labels("AP")[3]
    figure, (axes,) = panels(1, 3.9)
    low, high = label[4:16].min(axis=0) - BESIDE, label[4:16].max(axis=0) + BESIDE
    x, y = np.arange(low[0], high[0], 3.0), np.arange(low[1], high[1], 3.0)
    grid = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
    pred = np.full((len(grid), *label.shape), np.nan)
    pred[:, KEYPOINT] = grid
    kinds = classify_errors(pred, np.broadcast_to(label, pred.shape)).types[:, KEYPOINT]
    for kind, colour in COLOURS.items():
        inside = (kinds == kind).reshape(len(y), len(x)).astype(np.float64)
        axes.contourf(x, y, inside, levels=[0.5, 1.5], colors=[colour])
    outlines(axes, label, INK)
    for number in (1, 2, 3):
        at = label[4 * number : 4 * number + 4].mean(axis=0)
        axes.text(at[0], at[1], AP.bodies[number], ha="center", va="center", color=INK)
    width = label_widths_px(label[None])[0, KEYPOINT]
    for share in (0.1, 0.5):
        circle = Circle(
            (label[KEYPOINT, 0], label[KEYPOINT, 1]), share * width, fill=False, color=MUTED, lw=0.8
        )
        axes.add_patch(circle)
    axes.plot(*label[KEYPOINT], "o", color=VERMILLION, markersize=5)
    as_image(axes)
    axes.set(xlim=(low[0], high[0]), ylim=(high[1], low[1]))
    patches = [Patch(facecolor=colour, edgecolor=MUTED, label=kind.title) for kind, colour in COLOURS.items()]
    axes.legend(handles=patches, loc="center left", bbox_to_anchor=(1.02, 0.5))
    return figure


@dataclass(frozen=True, slots=True)
class Shared:
    """Predictions with an error that all share, their mean error in pixels, and sizes of bodies."""

    pred: Floats
    mean_px: float
    bodies: BodyErrors


LOW: Final = 0.88


@cache
def shared_errors() -> tuple[Shared, Shared]:
    """All places shifted down; and bodies 12 % too short about their middles: the same mean error."""
    label = sample_labels("AP")
    noise = np.random.default_rng(31).normal(0.0, 1.5, size=label.shape)
    bodies = label.reshape(len(label), 5, 2, 2, 2)
    middle = bodies.mean(axis=(2, 3), keepdims=True)
    across = bodies.mean(axis=3, keepdims=True) - middle
    low = (bodies - (1 - LOW) * across).reshape(label.shape) + noise
    wanted = np.linalg.norm(low - label, axis=-1).mean()
    shift = min(
        np.arange(0.0, 12.0, 0.01),
        key=lambda px: abs(
            float(np.linalg.norm(noise + np.array([0.0, px]), axis=-1).mean()) - float(wanted)
        ),
    )
    return _shared(label + noise + np.array([0.0, shift]), label), _shared(low, label)


def _shared(pred: Floats, label: Floats) -> Shared:
    found = fit_bodies(pred, label, np.arange(len(label)))
    assert found is not None
    return Shared(pred, float(np.linalg.norm(pred - label, axis=-1).mean()), found)


def _body_scale() -> Figure:
    figure, axes = panels(2, 3.9)
    label = sample_labels("AP")[3]
    for each, shared, title in zip(axes, shared_errors(), ("a shared shift", "bodies too low"), strict=True):
        outlines(each, label, BLUE, ":", "label")
        outlines(each, label + 2.0 * (shared.pred[3] - label), VERMILLION, "-", "prediction, error × 2")
        height = shared.bodies.height
        text = (
            f"{title}: mean error {shared.mean_px:.1f} px,\nheights {height.scale.value:.2f} of the labelled"
        )
        each.set_title(text, fontsize=9.0)
        as_image(each)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return figure


PICTURES: Final = (
    Picture("moved-corner", _found),
    Picture("level-shift", _level_shift),
    Picture("error-types", _error_types),
    Picture("body-scale", _body_scale),
)
