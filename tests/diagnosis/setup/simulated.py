"""Sets of spines in images of several sizes, with predictions whose errors have heavy tails."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from mahtdiag.diagnosis.setup.explanations import Places
from mahtdiag.schema.choices import CoordinateConvention
from mahtdiag.schema.frames import NetworkFrames, Size
from mahtdiag.schema.preprocessing import Resize
from mahtdiag.schema.skeleton import AP, Skeleton
from tests.anatomy.spines import natural_spines

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
SIZES = np.array([(900, 1300), (700, 1500), (1100, 1100)], dtype=np.float64)
"""(width, height) of the images, one after the other."""
FRAMES = NetworkFrames(Size(256, 192), Size(64, 48))


def spines(count: int, rng: np.random.Generator, skeleton: Skeleton = AP) -> tuple[Floats, Floats]:
    """Labels `[N, K, 2]` somewhere in their images, and the sizes of these `[N, 2]`."""
    sizes = SIZES[np.arange(count) % len(SIZES)]
    points = natural_spines(skeleton, count, int(rng.integers(2**31)))
    points -= points.mean(axis=1, keepdims=True)
    length = np.ptp(points[..., 1], axis=1)[:, None, None]
    points *= sizes[:, None, 1:] * rng.uniform(0.5, 0.65, (count, 1, 1)) / length
    turn = rng.normal(0.0, 0.04, count)
    turns = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    points = np.einsum("nki,ijn->nkj", points, turns)
    middle = sizes * (np.array([0.46, 0.53]) + rng.normal(0.0, 0.025, (count, 2)))
    return points + middle[:, None], sizes


def noise(shape: tuple[int, ...], rng: np.random.Generator, spread_px: float) -> Floats:
    """Student's t with three degrees of freedom, each image with a spread and a shift of its own."""
    own = rng.lognormal(0.0, 0.35, (shape[0], 1, 1))
    shift = rng.standard_t(3, (shape[0], 1, 2)) * 0.4
    return spread_px * own * (rng.standard_t(3, shape) + shift)


def places_of(
    count: int, seed: int = 0, skeleton: Skeleton = AP, spread_px: float = 3.0, frames: NetworkFrames = FRAMES
) -> Places:
    """A right set-up: predictions are labels and noise."""
    rng = np.random.default_rng(seed)
    labels, sizes = spines(count, rng, skeleton)
    return Places(
        pred_px=labels + noise(labels.shape, rng, spread_px),
        label_px=labels,
        sizes_px=sizes,
        skeleton=skeleton,
        frames=frames,
        orientation=np.ones(count, dtype=np.int64),
        floor_px=1.5,
    )


def through(places: Places, points: Floats, way: str, frames: NetworkFrames = FRAMES) -> Floats:
    """Points of each image by one of the maps of its frames, `original_to_input` and the like."""
    moved = np.full_like(points, np.nan)
    for row, (width, height) in enumerate(places.sizes_px):
        moved[row] = getattr(frames.of(Size(int(height), int(width))), way)(points[row])
    return moved


def trained_otherwise(
    places: Places,
    convention: CoordinateConvention = CoordinateConvention.HALF_PIXEL,
    mode: Resize = Resize.STRETCH,
) -> Places:
    """Predictions of a network that was trained with other frames than it is read by."""
    truth = replace(FRAMES, convention=convention, resize=mode)
    cells = through(places, places.pred_px, "original_to_heatmap", truth)
    return replace(places, pred_px=through(places, cells, "heatmap_to_original"))
