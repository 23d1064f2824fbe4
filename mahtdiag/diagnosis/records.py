"""From the numbers of a batch to one record per image: original pixels, losses, violations."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
import torch

from mahtdiag.anatomy.findings import Findings, check_anatomy
from mahtdiag.anatomy.rules import RULES, Limits, Rule
from mahtdiag.losses import MAHTNetLoss
from mahtdiag.schema.choices import UncertaintySource
from mahtdiag.schema.frames import FrameMap, PixelSpacing, lengths_mm
from mahtdiag.schema.model_spec import ModelSpec
from mahtdiag.schema.records import (
    BatchReading,
    Failure,
    Floats,
    ImageLosses,
    ImageRecord,
    KeypointResults,
    LoadedImage,
    Sample,
)
from mahtdiag.schema.skeleton import CORNERS_PER_ENDPLATE, Skeleton

_SMALLEST_SIGMA = 1e-12
# A head that clamps its own σ gives the bound as float32 has it, after an exponential.
_AT_BOUND = 1e-5
HEAD = (UncertaintySource.AUTO, UncertaintySource.HEAD)


@dataclass(frozen=True)
class RecordMaker:
    """Judges batches by one specification, one loss and one set of anatomical limits.

    `pixel_spacing_mm` holds for the images that have no spacing of their own. `sigma_factors` `[K]`
    multiply σ and its parts; the uncertainty loss and the clamp bounds are those of the head as it is. After
    repeated passes, losses on places judge the mean place, and the head's σ is that of all passes.
    `second_px`: a second labelling `[K, 2]` of the images that have one, which enters no number but its own.
    `found`: names, findings and those in the labels of every batch, so that nothing is judged again.
    """

    spec: ModelSpec
    loss: MAHTNetLoss
    limits: Limits
    pixel_spacing_mm: float | None = None
    sigma_factors: Floats | None = None
    rules: tuple[Rule, ...] = RULES
    second_px: Mapping[str, Floats] = field(default_factory=dict)
    found: list[tuple[tuple[str, ...], Findings, Findings]] = field(default_factory=list)

    def records(
        self,
        samples: Sequence[Sample],
        images: Sequence[LoadedImage],
        frames: Sequence[FrameMap],
        reading: BatchReading,
    ) -> tuple[list[ImageRecord], list[Failure]]:
        """One record per image, or a failure where the network's output is not a number."""
        places = self._places(samples, frames, reading)
        losses = self._losses(places, reading)
        sizes = np.array([[f.original.width, f.original.height] for f in frames], dtype=np.float64)
        findings, of_labels = (
            check_anatomy(
                points, self.spec.skeleton, image_size_px=sizes, limits=self.limits, rules=self.rules
            )
            for points in (places.results.pred_px, places.results.gt_px)
        )
        of_labels = of_labels.of_labels()
        self.found.append((tuple(sample.image for sample in samples), findings, of_labels))
        label_codes = of_labels.codes_per_image()
        of_image = findings.per_image()
        records: list[ImageRecord] = []
        failures: list[Failure] = []
        for i, (sample, image) in enumerate(zip(samples, images, strict=True)):
            if not reading.finite[i].all():
                reason = self._not_finite(reading.finite[i])
                failures.append(Failure(sample.image, reason, image.image_sha256, sample.annotation_sha256))
                continue
            records.append(
                ImageRecord(
                    image=sample.image,
                    image_sha256=image.image_sha256,
                    annotation_sha256=sample.annotation_sha256,
                    width=image.original.width,
                    height=image.original.height,
                    **_spacing_fields(self._spacing(sample)),
                    sex=sample.patient.sex,
                    age_years=sample.patient.age_years,
                    losses=losses[i],
                    keypoints=_of_image(places.results, i, frames[i]),
                    findings=of_image[i],
                    pixels=image.pixels,
                    patient=sample.patient.identifier,
                    label_codes=label_codes[i],
                    subgroups=sample.subgroups,
                )
            )
        return records, failures

    def _not_finite(self, finite: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]) -> str:
        known = self.spec.skeleton.keypoint_names
        names = [name for name, good in zip(known, finite, strict=True) if not good]
        shown = ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
        return f"the network's output is not finite (NaN, infinite or too large to square) for {shown}"

    def _spacing(self, sample: Sample) -> PixelSpacing | None:
        return sample.spacing or PixelSpacing.square(self.pixel_spacing_mm)

    def _places(
        self, samples: Sequence[Sample], frames: Sequence[FrameMap], reading: BatchReading
    ) -> "_Places":
        spec, bounds, factors = self.spec, self.loss.uncertainty_loss, self.sigma_factors
        gt_px = np.stack([sample.keypoints_px for sample in samples])
        gt_input = np.stack([f.original_to_input(p) for f, p in zip(frames, gt_px, strict=True)])
        if spec.decoding.own_coords and reading.coords is not None:
            pred_input = reading.coords
        else:
            pred_input = np.stack(
                [f.heatmap_to_input(p) for f, p in zip(frames, reading.points, strict=True)]
            )
        pred_px = np.stack([f.input_to_original(p) for f, p in zip(frames, pred_input, strict=True)])
        per_cell = np.stack([f.original_per_cell for f in frames])
        scale = np.stack([per_cell[:, 0] ** 2, per_cell[:, 0] * per_cell[:, 1], per_cell[:, 1] ** 2], axis=-1)
        spread_px2 = reading.spread * scale[:, None, :]
        # What the place is not decoded from says nothing of it.
        own = spec.decoding.own_coords and reading.coords is not None
        averaged_px2 = None if reading.averaged is None or own else reading.averaged * scale[:, None, :]
        to_px = (1.0 / np.stack([f.input_per_original for f in frames]))[:, None, :]
        if factors is not None:
            to_px = to_px * factors[:, None]
        head = reading.sigma if spec.uncertainty.source in HEAD else None
        within = None if head is None else head * to_px
        if spec.uncertainty.source is UncertaintySource.HEATMAP:
            within = np.sqrt((spread_px2 if averaged_px2 is None else averaged_px2)[..., [0, 2]])
            within = within if factors is None else within * factors[:, None]
        between = None if reading.between is None else reading.between * to_px
        spacings = [self._spacing(sample) or PixelSpacing(np.nan, np.nan) for sample in samples]
        spacing_mm = np.array([(spacing.x_mm, spacing.y_mm) for spacing in spacings])
        with np.errstate(all="ignore"):
            # What is not finite makes no record.
            error_px = np.linalg.norm(pred_px - gt_px, axis=-1)
            error_mm = lengths_mm(pred_px - gt_px, spacing_mm)
        none = np.zeros_like(gt_px, dtype=np.bool_)
        results = KeypointResults(
            gt_px=gt_px,
            pred_px=pred_px,
            error_px=error_px,
            error_mm=error_mm,
            sigma_px=_total(within, between, gt_px),
            spread_px2=spread_px2,
            averaged_px2=averaged_px2,
            expected_error_px=None if own else reading.expected_error,
            peak=reading.peak,
            at_min=none if head is None else head <= bounds.min_sigma * (1 + _AT_BOUND),
            at_max=none if head is None else head >= bounds.max_sigma * (1 - _AT_BOUND),
            flags=reading.flags,
            sigma_aleatoric_px=None if between is None else within,
            sigma_epistemic_px=between,
            peaks=reading.peaks,
            listhesis=_listhesis(samples, spec.skeleton),
            gt2_px=self._second(samples, gt_px),
        )
        return _Places(results, gt_input, pred_input, head)

    def _second(self, samples: Sequence[Sample], like: Floats) -> Floats | None:
        if not self.second_px:
            return None
        unknown = np.full(like.shape[1:], np.nan)
        return np.stack([self.second_px.get(sample.image, unknown) for sample in samples])

    def _losses(self, places: "_Places", reading: BatchReading) -> list[ImageLosses]:
        """Training losses per image, in the network frame, in float64."""
        pred, target = torch.from_numpy(places.pred_input), torch.from_numpy(places.gt_input)
        coord = self.loss.coord_loss(pred, target)
        anatomical = self.loss.anatomical_loss(pred)
        uncertainty = None
        if places.head_sigma_input is not None:
            sigma = torch.from_numpy(places.head_sigma_input).clamp(min=_SMALLEST_SIGMA)
            uncertainty = self.loss.uncertainty_loss(pred, target, sigma.log())
        heatmap = torch.from_numpy(reading.loss_focal)
        parts = self.loss.combine(heatmap, coord, anatomical.total, uncertainty)
        missing = torch.full_like(heatmap, torch.nan)
        columns = (
            parts.total, heatmap, coord, anatomical.total, anatomical.order, anatomical.parallel,
            anatomical.ratio, missing if uncertainty is None else uncertainty,
            torch.from_numpy(reading.keypoint_share),
        )  # fmt: skip
        return [ImageLosses(*row) for row in torch.stack(columns, 1).tolist()]


def _listhesis(samples: Sequence[Sample], skeleton: Skeleton) -> Floats:
    """The code of each keypoint's endplate `[B, K]`; NaN where the annotation has none."""
    codes = np.full((len(samples), skeleton.endplates), np.nan)
    for row, sample in enumerate(samples):
        if len(sample.listhesis) == skeleton.endplates:
            codes[row] = sample.listhesis
    return codes.repeat(CORNERS_PER_ENDPLATE, axis=1)


def _total(within: Floats | None, between: Floats | None, like: Floats) -> Floats:
    """σ of both parts, √(within² + between²), of one of them, or NaN where there is none."""
    if within is not None and between is not None:
        return np.hypot(within, between)
    if within is None:
        within = between
    return np.full_like(like, np.nan) if within is None else within


def _of_image(batch: KeypointResults, i: int, frame: FrameMap) -> KeypointResults:
    """One image of the results of a batch, the places of its peaks in original pixels."""
    known = {of.name: getattr(batch, of.name) for of in fields(batch) if of.name != "peaks"}
    rows: dict[str, Any] = {name: None if values is None else values[i] for name, values in known.items()}
    peaks = None if batch.peaks is None else batch.peaks.of_image(i, frame.heatmap_to_original)
    return KeypointResults(**rows, peaks=peaks)


@dataclass(frozen=True, slots=True)
class _Places:
    """A batch: its results `[B, K, …]`, peaks in heatmap cells, and what losses need in input pixels."""

    results: KeypointResults
    gt_input: Floats
    pred_input: Floats
    head_sigma_input: Floats | None


def _spacing_fields(spacing: PixelSpacing | None) -> dict[str, float | None]:
    """What a record of an image says of its spacing."""
    if spacing is None:
        return {"pixel_spacing_mm": None}
    return {
        "pixel_spacing_mm": spacing.either_mm,
        "pixel_spacing_x_mm": spacing.x_mm,
        "pixel_spacing_y_mm": spacing.y_mm,
    }
