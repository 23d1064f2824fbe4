"""Spines, frames and readings of made-up networks."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from mahtdiag.anatomy.rules import Limits
from mahtdiag.diagnosis.conditions import Conditions
from mahtdiag.diagnosis.records import RecordMaker
from mahtdiag.diagnosis.run_table import RunTable
from mahtdiag.losses import MAHTNetLoss
from mahtdiag.schema.choices import UncertaintySource
from mahtdiag.schema.frames import (
    CoordinateConvention,
    FrameMap,
    NetworkFrames,
    PixelSpacing,
    Size,
)
from mahtdiag.schema.model_spec import Decoding, ModelInput, ModelSpec, UncertaintySpec
from mahtdiag.schema.preprocessing import Resize
from mahtdiag.schema.records import BatchReading, LoadedImage, Patient, Sample
from mahtdiag.schema.skeleton import Skeleton, View, skeleton_with

Floats = NDArray[np.float64]
ORIGINAL, INPUT, HEATMAP = Size(211, 150), Size(96, 64), Size(24, 32)


def spine(view: View, original: Size, seed: int = 0) -> Floats:
    """A plausible spine `[K, 2]` in an image of this size."""
    rng = np.random.default_rng(seed)
    step, half = original.height / 7.0, original.width / 8.0
    points = []
    for vertebra in range(5):
        top = (vertebra + 0.6) * step
        middle = original.width * (0.5 + 0.03 * rng.standard_normal())
        for y in (top, top + 0.6 * step):
            points += [(middle - half, y), (middle + half, y)]
    if view is View.LA:
        points += [(original.width / 2 - half, 5.6 * step), (original.width / 2 + half, 5.6 * step)]
    return np.array(points) + rng.normal(0, 0.5, (view.skeleton.keypoints, 2))


def table_of(
    names: Sequence[str],
    pred_px: Floats,
    label_px: Floats,
    cell_px: float = 0.0,
    skeleton: Skeleton | None = None,
) -> RunTable:
    """Predictions and labels `[N, K, 2]` as a run has them; its heatmaps have cells of this size, if any."""
    skeleton = skeleton or skeleton_with(label_px.shape[1])
    assert skeleton is not None
    sides = {"width": np.full(len(names), 100 * cell_px), "height": np.full(len(names), 100 * cell_px)}
    cells = Size(100, 100)
    frames = NetworkFrames(cells, cells, convention=CoordinateConvention.SCALE) if cell_px else None
    return RunTable(
        skeleton,
        {
            "image": tuple(names),
            "pred_px": pred_px,
            "gt_px": label_px,
            "flags": np.zeros(label_px.shape[:2], np.int64),
            **sides,
        },
        conditions=Conditions(Limits.of(skeleton.view), frames=frames),
    )


def frame(
    original: Size = ORIGINAL,
    mode: Resize = Resize.STRETCH,
    convention: CoordinateConvention = CoordinateConvention.HALF_PIXEL,
) -> FrameMap:
    """An image brought to `INPUT`, heatmaps of another aspect."""
    return FrameMap(original, INPUT, HEATMAP, mode, convention)


def sample(
    points: Floats, view: View = View.AP, name: str = "a.png", spacing_mm: float | None = None
) -> Sample:
    """An annotated image."""
    patient = Patient("1", "F", 40)
    return Sample(
        name,
        name,
        view.skeleton,
        points,
        "an" + name,
        patient=patient,
        spacing=PixelSpacing.square(spacing_mm),
    )


def image(original: Size, name: str = "a.png") -> LoadedImage:
    """Its pixels, which nobody looks at here."""
    return LoadedImage(original, np.zeros((1, 1, 1), np.float32), "im" + name)


def reading(points: Floats, **others: object) -> BatchReading:
    """A reading of heatmaps whose places are `[B, K, 2]` in cells."""
    shape = points.shape[:2]
    base = BatchReading(
        heatmap_size=(HEATMAP.height, HEATMAP.width),
        points=points,
        spread=np.broadcast_to(np.array([4.0, 1.0, 9.0]), (*shape, 3)).copy(),
        peak=np.full(shape, 0.75),
        flags=np.zeros(shape, np.int64),
        finite=np.ones(shape, np.bool_),
        loss_mse=np.full(shape[0], 0.5),
        loss_focal=np.full(shape[0], 0.25),
        keypoint_share=np.full(shape[0], 0.125),
        coords=None,
        sigma=None,
    )
    return replace(base, **others)  # type: ignore[arg-type]


def spec(
    view: View = View.AP, source: UncertaintySource = UncertaintySource.AUTO, own_coords: bool = False
) -> ModelSpec:
    """A specification; what the frames say counts for the input."""
    return ModelSpec(
        view.skeleton, ModelInput(INPUT, 1), Decoding(2.0, own_coords=own_coords), UncertaintySpec(source)
    )


def maker(of: ModelSpec, pixel_spacing_mm: float | None = None) -> RecordMaker:
    """With the default loss and limits of the view."""
    loss = MAHTNetLoss(view=of.view, reduction="none")
    return RecordMaker(of.skeleton, of, loss, Limits.of(of.view), pixel_spacing_mm)
