"""The mistakes that annotators and networks make, as changes of clean keypoints."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from functools import partial

import numpy as np
from numpy.typing import NDArray

from mahtdiag.anatomy.error_types import label_widths_px
from mahtdiag.anatomy.geometry import around
from mahtdiag.schema.skeleton import CORNERS_PER_VERTEBRA, LL, LR, UL, UR
from validation.injection_sets import CleanSet

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
TILTED = ("A2",)
CORNER_OFF = ("A2", "A4", "A102", "A602")


class Kind(StrEnum):
    """Who is to find a mistake."""

    RULES = "rules"
    LEVEL_SHIFT = "level shift"
    ERROR_TYPE = "good or jitter"
    FITTED = "fit"


@dataclass(frozen=True, slots=True)
class Injected:
    """Changed keypoints `[N, K, 2]`, and which of them were changed `[N, K]`."""

    points_px: Floats
    changed: Bools


@dataclass(frozen=True, slots=True)
class Injection:
    """A mistake: how it is made, and the right name: codes or prefixes of rules, or words of the sentence on
    shared errors.
    """

    title: str
    change: Callable[[CleanSet, int, np.random.Generator], Floats]
    kind: Kind
    codes: tuple[str, ...] = ()
    words: str = ""
    shown: str = ""

    @property
    def shown_name(self) -> str:
        """The right name as the table prints it."""
        return " ".join(self.codes) or f"{self.kind}{': ' if self.shown else ''}{self.shown}"

    def make(self, clean: CleanSet, rng: np.random.Generator) -> Injected:
        """The mistake in every image."""
        points = np.array([self.change(clean, image, rng) for image in range(len(clean.points_px))])
        same = (points == clean.points_px).all(axis=-1)
        return Injected(points, ~same)


def _vertebra(clean: CleanSet, rng: np.random.Generator) -> slice:
    start = CORNERS_PER_VERTEBRA * int(rng.integers(0, len(clean.skeleton.bodies)))
    return slice(start, start + CORNERS_PER_VERTEBRA)


def _height_px(clean: CleanSet, points: Floats, keypoint: int) -> float:
    """The median height of the bodies around a keypoint."""
    body = points[clean.skeleton.of_bodies]
    heights = np.linalg.norm(body[LL::4] - body[UL::4], axis=-1)
    return float(around(heights[:, None])[min(keypoint // CORNERS_PER_VERTEBRA, len(heights) - 1), 0])


def reorder(clean: CleanSet, image: int, rng: np.random.Generator, *, corners: tuple[int, ...]) -> Floats:
    """The corners of one vertebra under other names."""
    points: Floats = clean.points_px[image].copy()
    vertebra = _vertebra(clean, rng)
    points[vertebra] = points[vertebra][list(corners)]
    return points


def crossed(clean: CleanSet, image: int, rng: np.random.Generator) -> Floats:
    """Two neighbouring corners of one vertebra exchanged."""
    pairs = ((1, 0, 2, 3), (0, 1, 3, 2), (2, 1, 0, 3), (0, 3, 2, 1))
    return reorder(clean, image, rng, corners=pairs[int(rng.integers(len(pairs)))])


def mirrored(clean: CleanSet, image: int, rng: np.random.Generator) -> Floats:
    """The image mirrored, its names kept."""
    points: Floats = clean.points_px[image].copy()
    points[:, 0] = clean.size_px[image, 0] - 1 - points[:, 0]
    return points


def vertebrae_exchanged(clean: CleanSet, image: int, rng: np.random.Generator) -> Floats:
    """Two vertebrae under each other's names."""
    points: Floats = clean.points_px[image].copy()
    bodies = len(clean.skeleton.bodies)
    one, other = (int(v) for v in rng.choice(bodies, 2, replace=False))
    body = points[clean.skeleton.of_bodies].reshape(bodies, CORNERS_PER_VERTEBRA, 2)
    body[[one, other]] = body[[other, one]]
    return points


def one_level_up(clean: CleanSet, image: int, rng: np.random.Generator) -> Floats:
    """T12 to L4 under the names L1 to L5, and L5's upper endplate as S1's where that is annotated."""
    points: Floats = clean.points_px[image]
    upper: Floats = np.concatenate([clean.above_px[image], points])[: len(points)]
    return upper


def level_missing(clean: CleanSet, image: int, rng: np.random.Generator) -> Floats:
    """One level but the last left out, those above, T12 over L1 included, under the names of those below."""
    points: Floats = clean.points_px[image].copy()
    bodies, of_bodies = len(clean.skeleton.bodies), clean.skeleton.of_bodies
    missing = int(rng.integers(0, bodies - 1))
    body = points[of_bodies].reshape(bodies, CORNERS_PER_VERTEBRA, 2).copy()
    kept = np.concatenate([clean.above_px[image][None], np.delete(body, missing, axis=0)])
    points[of_bodies] = kept.reshape(-1, 2)
    return points


def corner_moved(clean: CleanSet, image: int, rng: np.random.Generator, *, heights: float) -> Floats:
    """One corner moved in any direction."""
    points: Floats = clean.points_px[image].copy()
    angle = rng.uniform(0, 2 * np.pi)
    keypoint = int(rng.integers(len(points)))
    points[keypoint] += (
        heights * _height_px(clean, points, keypoint) * np.array([np.cos(angle), np.sin(angle)])
    )
    return points


def endplate_rotated(clean: CleanSet, image: int, rng: np.random.Generator, *, degrees: float) -> Floats:
    """One endplate turned about its middle, either way."""
    points: Floats = clean.points_px[image].copy()
    left = 2 * int(rng.integers(len(points) // 2))
    turn = np.radians(degrees) * rng.choice([-1.0, 1.0])
    matrix = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    ends = points[left : left + 2]
    points[left : left + 2] = (ends - ends.mean(axis=0)) @ matrix.T + ends.mean(axis=0)
    return points


def axes_exchanged(clean: CleanSet, image: int, rng: np.random.Generator) -> Floats:
    """x and y exchanged."""
    exchanged: Floats = clean.points_px[image][:, ::-1].copy()
    return exchanged


def half_grid(clean: CleanSet, image: int, rng: np.random.Generator) -> Floats:
    """Coordinates in a grid of half the size."""
    halved: Floats = clean.points_px[image] / 2
    return halved


def shifted(clean: CleanSet, image: int, rng: np.random.Generator, *, cells: float) -> Floats:
    """Shifted right and down by so many heatmap cells, with the jitter of a good network (2 %)."""
    away: Floats = cells * clean.cell_px[image]
    return jittered(clean, image, rng, share=0.02) + away


def jittered(clean: CleanSet, image: int, rng: np.random.Generator, *, share: float) -> Floats:
    """Every keypoint off by a Gaussian whose σ is this share of its vertebra's width, in x and in y."""
    points: Floats = clean.points_px[image]
    sigma = share * label_widths_px(points[None])[0]
    noise: Floats = sigma[:, None] * rng.normal(size=points.shape)
    return points + noise


def keypoint_missing(clean: CleanSet, image: int, rng: np.random.Generator) -> Floats:
    """One keypoint NaN."""
    points: Floats = clean.points_px[image].copy()
    points[int(rng.integers(len(points)))] = np.nan
    return points


INJECTIONS: tuple[Injection, ...] = (
    Injection("left and right swapped", partial(reorder, corners=(UR, UL, LR, LL)),
              Kind.RULES, ("A402",)),
    Injection("whole image mirrored", mirrored, Kind.RULES, ("A402",)),
    Injection("endplates exchanged", partial(reorder, corners=(LL, LR, UL, UR)),
              Kind.RULES, ("A103",)),
    Injection("two vertebrae exchanged", vertebrae_exchanged, Kind.RULES, ("A101",)),
    Injection("whole spine one level up", one_level_up, Kind.LEVEL_SHIFT),
    Injection("one level missing", level_missing, Kind.RULES, ("A501",)),
    Injection("one corner moved by 0.5 heights", partial(corner_moved, heights=0.5), Kind.RULES, CORNER_OFF),
    Injection("one corner moved by 1 height", partial(corner_moved, heights=1.0), Kind.RULES, CORNER_OFF),
    Injection("one corner moved by 2 heights", partial(corner_moved, heights=2.0), Kind.RULES, CORNER_OFF),
    Injection("corners crossed", crossed, Kind.RULES, ("A401",)),
    Injection("one endplate turned by 15°", partial(endplate_rotated, degrees=15.0), Kind.RULES, TILTED),
    Injection("one endplate turned by 25°", partial(endplate_rotated, degrees=25.0), Kind.RULES, TILTED),
    Injection("one endplate turned by 40°", partial(endplate_rotated, degrees=40.0), Kind.RULES, TILTED),
    Injection("x and y exchanged", axes_exchanged, Kind.FITTED, words="axes are confused", shown="axes"),
    Injection("grid of half the size", half_grid, Kind.FITTED,
              words="scaled by 2.0", shown="scale"),
    Injection("shift by half a heatmap cell", partial(shifted, cells=0.5), Kind.FITTED,
              words="half a heatmap cell", shown="half cell"),
    Injection("shift by one heatmap cell", partial(shifted, cells=1.0), Kind.FITTED,
              words="offset between image and heatmap", shown="offset"),
    Injection("jitter of 1 % of the width", partial(jittered, share=0.01), Kind.ERROR_TYPE),
    Injection("jitter of 2 % of the width", partial(jittered, share=0.02), Kind.ERROR_TYPE),
    Injection("jitter of 5 % of the width", partial(jittered, share=0.05), Kind.ERROR_TYPE),
    Injection("one keypoint NaN", keypoint_missing, Kind.RULES, ("A603",)),
)  # fmt: skip
