"""A closer look at the first images: what heatmaps hold, what every decoder reads, whether it repeats."""

from collections.abc import Mapping
from functools import reduce

import numpy as np
import torch
from torch import Tensor

from mahtdiag.engine.inference import Runner, joined
from mahtdiag.engine.loader import LoadedBatch
from mahtdiag.engine.repeated import RepeatedRunner
from mahtdiag.errors import MahtdiagError
from mahtdiag.heatmaps.decoding import read_heatmaps, soft_argmax
from mahtdiag.schema.choices import DecodeMethod
from mahtdiag.schema.model_spec import Decoding
from mahtdiag.schema.records import Floats, ModelOutputs
from mahtdiag.schema.setup import Inspection

MOST_IMAGES = 8
"""The labels of so many images are looked at closely."""
PASSED, REPEATED, DECODED = 4, 2, 1
"""So many of these pass the network, pass it twice more, are decoded with several β: each is dear."""
BETAS = (1.0, 10.0, 30.0, 100.0)
# So many cells of a heatmap, on a grid, tell its background.
_SAMPLED_SIDE = 24


def inspect(runner: Runner, batch: LoadedBatch, batch_size: int = MOST_IMAGES) -> Inspection:
    """What the images of a batch show beyond what every image of a run is judged by.

    No more than `batch_size` images pass the network at once. Of repeated passes the first network is looked
    at, in one pass. Heatmaps that are no numbers give NaN. A pass that fails is told as such: nothing is
    known then, after a second pass nothing of whether the network repeats itself. Whoever evaluates the
    images will meet the error where it belongs.
    """
    single = runner.members[0] if isinstance(runner, RepeatedRunner) else runner
    if batch.tensor is None:
        return _nothing(runner, "no image could be read")
    images = batch.tensor[:PASSED]
    try:
        outputs = _passed(single, images, batch_size)
    except MahtdiagError as error:
        return _nothing(runner, error.problems[0])
    frames = [runner.frame_map(image.original) for image in batch.images[:PASSED]]
    labels = np.stack(
        [f.original_to_heatmap(s.keypoints_px) for s, f in zip(batch.samples[:PASSED], frames, strict=True)]
    )
    intended = isinstance(runner, RepeatedRunner) and runner.seeded
    if outputs.heatmaps is None:
        return _without_heatmaps(single, outputs, labels, images, 0 if intended else batch_size)
    heatmaps = outputs.heatmaps.float()
    with torch.inference_mode():
        places = _places(heatmaps, runner.spec.decoding)
        sampled = _sampled(heatmaps)
        peak, total = heatmaps.amax((-2, -1)), heatmaps.sum((-2, -1))
        background, lowest = sampled.median(-1).values, sampled.amin(-1)
    kind = runner.spec.uncertainty.kind
    repeat, others, problem = None, None, ""
    if not intended:
        repeat, others, problem = _repeated(single, images, heatmaps, batch_size)
    return Inspection(
        len(images),
        labels,
        places,
        _numbers(peak),
        _numbers(background),
        _numbers(lowest),
        _numbers(total),
        coords=None if outputs.coords is None else _numbers(outputs.coords),
        head=None if outputs.uncertainty is None else _numbers(outputs.uncertainty),
        head_kind=kind,
        unread=outputs.unread,
        repeat_cells=repeat,
        batch_cells=others,
        problem=problem,
        intended=intended,
    )


def _without_heatmaps(
    runner: Runner, outputs: ModelOutputs, labels: Floats, images: Tensor, batch_size: int
) -> Inspection:
    """The same of a network that gives coordinates alone, whose cells are the pixels of its input.

    With a `batch_size` of 0 passes differ on purpose, and none is repeated.
    """
    unknown = np.full(labels.shape[:2], np.nan)
    assert outputs.coords is not None
    repeat, others, problem = None, None, ""
    if batch_size:
        repeat, others, problem = _repeated(runner, images, outputs.coords, batch_size)
    return Inspection(
        len(images),
        labels,
        {},
        *(unknown,) * 4,
        coords=_numbers(outputs.coords),
        head=None if outputs.uncertainty is None else _numbers(outputs.uncertainty),
        head_kind=runner.spec.uncertainty.kind,
        unread=outputs.unread,
        repeat_cells=repeat,
        batch_cells=others,
        problem=problem,
        intended=not batch_size,
        heatmaps=False,
    )


def _nothing(runner: Runner, problem: str) -> Inspection:
    empty = np.empty((0, runner.spec.skeleton.keypoints))
    return Inspection(0, np.empty((*empty.shape, 2)), {}, empty, empty, empty, empty, problem=problem)


def _passed(runner: Runner, images: Tensor, batch_size: int) -> ModelOutputs:
    parts = [images[start : start + batch_size] for start in range(0, len(images), batch_size)]
    return reduce(joined, map(runner.forward, parts))


def _numbers(values: Tensor) -> Floats:
    return values.detach().double().cpu().numpy()


def _places(heatmaps: Tensor, decoding: Decoding) -> Mapping[str, Floats]:
    """Places in heatmap cells by every decoder, `[B, K, 2]`; several β where that is soft-argmax.

    Those with a β are places in the first `DECODED` images alone.
    """
    reading = read_heatmaps(heatmaps, Decoding(decoding.heatmap_sigma, DecodeMethod.DARK))
    found = {
        str(DecodeMethod.ARGMAX): _numbers(reading.argmax),
        str(DecodeMethod.LOCAL): _numbers(reading.local),
        str(DecodeMethod.DARK): _numbers(reading.points),
    }
    # Each β costs as much as all else, and nobody else asks for it.
    asked = decoding.method is DecodeMethod.SOFT_ARGMAX
    for beta in sorted({*BETAS, decoding.softargmax_beta}) if asked else ():
        found[f"{DecodeMethod.SOFT_ARGMAX} {beta:g}"] = _numbers(soft_argmax(heatmaps[:DECODED], beta))
    return found


def _sampled(heatmaps: Tensor) -> Tensor:
    """Cells on a grid, `[B, K, M]`."""
    rows, columns = (max(1, side // _SAMPLED_SIDE) for side in heatmaps.shape[-2:])
    return heatmaps[..., ::rows, ::columns].flatten(2)


def _repeated(
    runner: Runner, images: Tensor, first: Tensor, batch_size: int
) -> tuple[float | None, float | None, str]:
    """How far places of the same images lie apart between two passes, and among other images."""
    # Fewer than in the first pass, so that these were among others there.
    part = images[: max(1, min(REPEATED, batch_size - 1))]
    try:
        once, again = (_highest(_map_or_place(runner.forward(part))) for _ in range(2))
    except MahtdiagError as error:
        return None, None, f"the network failed on a second pass: {error.problems[0]}"
    repeat = _apart(once, again)
    if repeat is None:
        return None, None, "heatmaps are not numbers"
    if batch_size == 1:
        return repeat, None, "1 image a batch"
    if len(images) <= len(part):
        return repeat, None, f"{len(images)} image{'' if len(images) == 1 else 's'}"
    return repeat, _apart(once, _highest(first[: len(part)])), ""


def _map_or_place(outputs: ModelOutputs) -> Tensor:
    found = outputs.coords if outputs.heatmaps is None else outputs.heatmaps
    assert found is not None
    return found


def _highest(heatmaps: Tensor) -> tuple[Tensor, Tensor]:
    """Centre of mass of what lies above half the height of each heatmap, and the height: noise moves it.

    Coordinates `[B, K, 2]` are places already.
    """
    if heatmaps.ndim == 3:
        return heatmaps.float(), torch.ones(heatmaps.shape[:2], device=heatmaps.device)
    values = heatmaps.float()
    peak, low = values.amax((-2, -1), keepdim=True), values.amin((-2, -1), keepdim=True)
    weights = (values - (peak + low) / 2).clamp(min=0.0)
    total = weights.sum((-2, -1)).clamp(min=1e-30)
    y = torch.arange(values.shape[-2], device=values.device, dtype=values.dtype)
    x = torch.arange(values.shape[-1], device=values.device, dtype=values.dtype)
    return (
        torch.stack([(weights.sum(-2) * x).sum(-1) / total, (weights.sum(-1) * y).sum(-1) / total], -1),
        (peak - low).flatten(1),
    )


def _apart(one: tuple[Tensor, Tensor], other: tuple[Tensor, Tensor]) -> float | None:
    """The 90th percentile of the distances: a heatmap without a peak may jump by rounding alone."""
    distance = (one[0] - other[0]).norm(dim=-1)
    finite = distance[distance.isfinite()]
    return float(finite.quantile(0.9)) if finite.numel() else None
