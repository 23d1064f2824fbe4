"""The first images shown to a network otherwise: black for white, mirrored, by another normalisation."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from mahtdiag.data.images import load_image
from mahtdiag.engine.inference import Runner
from mahtdiag.engine.loader import LoadedBatch
from mahtdiag.errors import MahtdiagError
from mahtdiag.schema.model_spec import ModelInput
from mahtdiag.schema.normalization import parse_normalization
from mahtdiag.schema.preprocessing import Flip
from mahtdiag.schema.records import Sample
from mahtdiag.schema.setup import ShownOtherwise

Floats = NDArray[np.float64]

MOST_SHOWN: Final = 4
_SMALL_SHARE: Final = 0.02
"""Errors below this share of the image's height, in the median image, need no explanation."""
_NORMALIZATIONS: Final = ("unit", "imagenet", "zscore", "minmax", "raw255", "0.5/0.5")


def shown_otherwise(runner: Runner, batch: LoadedBatch) -> tuple[ShownOtherwise, ...]:
    """Errors of the first labelled images as they are shown to the network, and as other inputs show them.

    Nothing where errors are small, or where the network cannot be run on them.
    """
    known = [s for s in batch.samples if np.isfinite(s.keypoints_px).all(-1).any()][:MOST_SHOWN]
    if not known or runner.spec.decoding.original_coords:
        return ()
    try:
        before = _errors_px(runner, known, runner.spec.input)
        sizes = {s.image: i.original for s, i in zip(batch.samples, batch.images, strict=True)}
        heights = np.array([sizes[sample.image].height for sample in known])
        if not np.median(before / heights) > _SMALL_SHARE:
            return ()
        return tuple(
            ShownOtherwise(option, cause, before, _errors_px(runner, known, shown, exchanged=exchanged))
            for option, cause, shown, exchanged in _others(runner.spec.input)
        )
    except MahtdiagError:
        return ()


def _others(now: ModelInput) -> Iterator[tuple[str, str, ModelInput, bool]]:
    """What to type, what it would mean, the other input, and whether ends of endplates are exchanged then."""
    if now.invert:
        yield "leave out --invert", "images are not black for white", replace(now, invert=False), False
    else:
        yield "--invert", "images are black for white to the network", replace(now, invert=True), False
    if now.flip is Flip.NONE:
        words = "the network was trained on mirrored images"
        yield "--flip body-side", words, replace(now, flip=Flip.BODY_SIDE), False
        yield "--flip image-side", words, replace(now, flip=Flip.IMAGE_SIDE), True
    for name in _NORMALIZATIONS:
        normalization = parse_normalization(name)
        if name != now.normalization.name and len(normalization.mean) in (1, now.channels):
            shown = replace(now, normalization=normalization)
            yield f"--normalize {name}", f"the network was trained with --normalize {name}", shown, False


def _errors_px(
    runner: Runner, samples: Sequence[Sample], shown: ModelInput, *, exchanged: bool = False
) -> Floats:
    """The mean error of each image `[n]`, original pixels, by the highest cells or the network's places."""
    images = [load_image(s.path, s.image, shown, s.dicom_window, upright=s.upright) for s in samples]
    outputs = runner.forward(torch.from_numpy(np.stack([image.tensor for image in images])))
    frames = replace(runner.frames, mirrored=shown.flip is not Flip.NONE)
    of_images = [frames.of(image.original) for image in images]
    if outputs.heatmaps is None:
        assert outputs.coords is not None
        places = outputs.coords.cpu().double().numpy()
        pred_px = np.stack([f.input_to_original(p) for f, p in zip(of_images, places, strict=True)])
    else:
        width = outputs.heatmaps.shape[-1]
        highest = outputs.heatmaps.float().flatten(2).argmax(-1).cpu().numpy()
        cells = np.stack([highest % width, highest // width], axis=-1).astype(np.float64)
        pred_px = np.stack([f.heatmap_to_original(c) for f, c in zip(of_images, cells, strict=True)])
    if exchanged:
        pred_px = pred_px[:, np.arange(pred_px.shape[1]) ^ 1]
    labels = np.stack([sample.keypoints_px for sample in samples])
    # A keypoint that is not found is as far off as the image is large.
    size_px = np.array([np.hypot(*image.original.xy) for image in images])[:, None]
    error_px = np.where(np.isnan(pred_px).any(-1), size_px, np.linalg.norm(pred_px - labels, axis=-1))
    error_px[np.isnan(labels).any(-1)] = np.nan
    return np.asarray(np.nanmean(error_px, axis=1))
