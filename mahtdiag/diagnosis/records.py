"""From the numbers of a batch to one record per image: original pixels, losses, violations."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from mahtdiag.anatomy.findings import Findings, check_anatomy
from mahtdiag.anatomy.rules import RULES, Limits, Rule
from mahtdiag.losses import MAHTNetLoss
from mahtdiag.schema.choices import HeatmapFlag, UncertaintySource
from mahtdiag.schema.frames import FrameMap, PixelSpacing, Size, lengths_mm
from mahtdiag.schema.model_spec import ModelSpec
from mahtdiag.schema.records import (
    BatchReading,
    Failure,
    ImageLosses,
    ImageRecord,
    KeypointResults,
    LoadedImage,
    Sample,
    SeenImage,
)
from mahtdiag.schema.skeleton import CORNERS_PER_ENDPLATE, Skeleton

Floats = NDArray[np.float64]
_SMALLEST_SIGMA = 1e-12
# A head that clamps its own σ gives the bound as float32 has it, after an exponential.
_AT_BOUND = 1e-5
HEAD = (UncertaintySource.AUTO, UncertaintySource.HEAD)


@dataclass(frozen=True)
class RecordMaker:
    """Judges batches by one specification, one loss and one set of anatomical limits.

    `spec`: how the output of the network is read, None where predictions come without one.
    `pixel_spacing_mm` holds for the images that have no spacing of their own. `sigma_factors` `[K]`
    multiply σ and its parts; the uncertainty loss and the clamp bounds are those of the head as it is. After
    repeated passes, losses on places judge the mean place, and the head's σ is that of all passes.
    `second_px`: a second labelling `[K, 2]` of the images that have one, which enters no number but its own.
    `found`: names, findings and those in the labels of every batch, so that nothing is judged again.
    """

    skeleton: Skeleton
    spec: ModelSpec | None
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
        """One record per image, or a failure where the output is not a number or finds nothing labelled."""
        places = self._places(samples, frames, reading)
        results = places.results
        known = zip(reading.finite, results.pred_px, results.gt_px, _without_sigma(reading), strict=True)
        reasons = [
            nothing_found(predicted, labelled) if finite.all() else self._not_finite(finite, only_sigma)
            for finite, predicted, labelled, only_sigma in known
        ]
        good = np.array([reason is None for reason in reasons], dtype=np.bool_)
        heatmap = torch.from_numpy(reading.loss_focal), torch.from_numpy(reading.keypoint_share)
        records = self._judged(samples, images, frames, places, heatmap, good)
        failures = [
            Failure(sample.image, reason, image.image_sha256, sample.annotation_sha256)
            for sample, image, reason in zip(samples, images, reasons, strict=True)
            if reason is not None
        ]
        return records, failures

    def of_predictions(
        self,
        samples: Sequence[Sample],
        images: Sequence[SeenImage],
        frames: Sequence[FrameMap],
        pred_px: Floats,
        sigma_px: Floats | None,
        score: Floats | None,
    ) -> list[ImageRecord]:
        """One record per image of predictions that come without heatmaps.

        `pred_px` `[B, K, 2]` in original pixels, NaN where a keypoint is not predicted; `sigma_px`
        `[B, K, 2]`, `score` `[B, K]`, NaN or None where there is none. Losses are in the network frame that
        `frames` says; that of heatmaps is NaN, and so is the total.
        """
        gt_px = np.stack([sample.keypoints_px for sample in samples])
        unknown = np.full(gt_px.shape[:2], np.nan)
        error_px, error_mm = self._errors(samples, pred_px, gt_px)
        none = np.zeros_like(gt_px, dtype=np.bool_)
        if sigma_px is not None:
            sigma_px = np.where(np.isnan(pred_px), np.nan, sigma_px)
        results = KeypointResults(
            gt_px=gt_px,
            pred_px=pred_px,
            error_px=error_px,
            error_mm=error_mm,
            sigma_px=np.full_like(gt_px, np.nan) if sigma_px is None else sigma_px,
            spread_px2=np.full((*gt_px.shape[:2], 3), np.nan),
            peak=unknown if score is None else score,
            at_min=none,
            at_max=none,
            flags=np.zeros(gt_px.shape[:2], dtype=np.int64),
            listhesis=_listhesis(samples, self.skeleton),
            gt2_px=self._second(samples, gt_px),
        )
        gt_input, pred_input = (
            np.stack([frame.original_to_input(p) for frame, p in zip(frames, points, strict=True)])
            for points in (gt_px, pred_px)
        )
        per_px = np.stack([frame.input_per_original for frame in frames])[:, None, :]
        places = _Places(results, gt_input, pred_input, None if sigma_px is None else sigma_px * per_px)
        nothing = torch.full((len(samples),), torch.nan, dtype=torch.float64)
        good = np.ones(len(samples), dtype=np.bool_)
        return self._judged(samples, images, frames, places, (nothing, nothing), good)

    def _judged(
        self,
        samples: Sequence[Sample],
        images: Sequence[SeenImage],
        frames: Sequence[FrameMap],
        places: "_Places",
        heatmap: tuple[torch.Tensor, torch.Tensor],
        good: NDArray[np.bool_],
    ) -> list[ImageRecord]:
        """The records of those that are good `[B]`; `heatmap`: loss and share of keypoint pixels `[B]`."""
        losses = self._losses(places, *heatmap)
        sizes = np.array([_extent(image.original) for image in images], dtype=np.float64)
        # Together: what a check costs whatever it is shown is much of it.
        both = check_anatomy(
            np.concatenate([places.results.pred_px, places.results.gt_px]),
            self.skeleton,
            image_size_px=np.concatenate([sizes, sizes]),
            limits=self.limits,
            rules=self.rules,
        )
        rows = np.arange(len(sizes))
        findings, of_labels = both.taken(rows), both.taken(rows + len(rows)).of_labels()
        self.found.append((tuple(sample.image for sample in samples), findings, of_labels))
        label_codes, of_image = of_labels.codes_per_image(), findings.per_image()
        return [
            ImageRecord(
                image=sample.image,
                image_sha256=image.image_sha256,
                annotation_sha256=sample.annotation_sha256,
                width=None if image.original is None else image.original.width,
                height=None if image.original is None else image.original.height,
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
            for i, (sample, image) in enumerate(zip(samples, images, strict=True))
            if good[i]
        ]

    def _not_finite(self, finite: NDArray[np.bool_], only_sigma: NDArray[np.bool_]) -> str:
        known = self.skeleton.keypoint_names
        names = [name for name, good in zip(known, finite, strict=True) if not good]
        shown = ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
        if (finite | only_sigma).all():
            return f"the network's σ is NaN for {shown}; --uncertainty none judges its places without σ"
        return f"the network's output is not finite (NaN, infinite or too large to square) for {shown}"

    @property
    def _spec(self) -> ModelSpec:
        if self.spec is None:
            raise ValueError("heatmaps are read by the specification of their network, and there is none")
        return self.spec

    def _spacing(self, sample: Sample) -> PixelSpacing | None:
        return sample.spacing or PixelSpacing.square(self.pixel_spacing_mm)

    def _places(
        self, samples: Sequence[Sample], frames: Sequence[FrameMap], reading: BatchReading
    ) -> "_Places":
        spec, bounds, factors = self._spec, self.loss.uncertainty_loss, self.sigma_factors
        gt_px = np.stack([sample.keypoints_px for sample in samples])
        gt_input = np.stack([f.original_to_input(p) for f, p in zip(frames, gt_px, strict=True)])
        own = spec.decoding.own_coords and reading.coords is not None
        if own and reading.coords is not None:
            pred_input = reading.coords
        else:
            pred_input = np.stack(
                [f.heatmap_to_input(p) for f, p in zip(frames, reading.points, strict=True)]
            )
        pred_px = np.stack([f.input_to_original(p) for f, p in zip(frames, pred_input, strict=True)])
        per_cell = np.stack([f.original_per_cell for f in frames])
        scale = _of_covariance(per_cell, frames)
        spread_px2 = reading.spread * scale[:, None, :]
        # What the place is not decoded from says nothing of it.
        averaged_px2 = None if reading.averaged is None or own else reading.averaged * scale[:, None, :]
        to_px = (1.0 / np.stack([f.input_per_original for f in frames]))[:, None, :]
        if factors is not None:
            to_px = to_px * factors[:, None]
        head = reading.sigma if spec.uncertainty.source in HEAD else None
        # Where there is no place there is nothing that σ could be of.
        head = None if head is None else np.where(np.isnan(pred_px), np.nan, head)
        within = None if head is None else head * to_px
        if spec.uncertainty.source is UncertaintySource.HEATMAP:
            within = np.sqrt((spread_px2 if averaged_px2 is None else averaged_px2)[..., [0, 2]])
            within = within if factors is None else within * factors[:, None]
        between = None if reading.between is None else reading.between * to_px
        head_covariance_px2 = None
        if head is not None and reading.covariance is not None:
            per_input = 1.0 / np.stack([f.input_per_original for f in frames])
            head_covariance_px2 = reading.covariance * _of_covariance(per_input, frames)[:, None, :]
        error_px, error_mm = self._errors(samples, pred_px, gt_px)
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
            head_covariance_px2=head_covariance_px2,
            peak=reading.peak,
            at_min=none if head is None else head <= bounds.min_sigma * (1 + _AT_BOUND),
            at_max=none if head is None else head >= bounds.max_sigma * (1 - _AT_BOUND),
            flags=reading.flags,
            sigma_aleatoric_px=None if between is None else within,
            sigma_epistemic_px=between,
            peaks=reading.peaks,
            listhesis=_listhesis(samples, self.skeleton),
            gt2_px=self._second(samples, gt_px),
        )
        return _Places(results, gt_input, pred_input, head)

    def _errors(self, samples: Sequence[Sample], pred_px: Floats, gt_px: Floats) -> tuple[Floats, Floats]:
        """Radial errors `[B, K]` in pixels and millimetres."""
        spacings = [self._spacing(sample) or PixelSpacing(np.nan, np.nan) for sample in samples]
        spacing_mm = np.array([(spacing.x_mm, spacing.y_mm) for spacing in spacings])
        with np.errstate(all="ignore"):
            # What is not finite makes no record.
            offset = pred_px - gt_px
            return np.linalg.norm(offset, axis=-1), lengths_mm(offset, spacing_mm)

    def _second(self, samples: Sequence[Sample], like: Floats) -> Floats | None:
        if not self.second_px:
            return None
        unknown = np.full(like.shape[1:], np.nan)
        return np.stack([self.second_px.get(sample.image, unknown) for sample in samples])

    def _losses(
        self, places: "_Places", heatmap: torch.Tensor, keypoint_share: torch.Tensor
    ) -> list[ImageLosses]:
        """Training losses per image, in the network frame, in float64; `heatmap` and the share are known."""
        # What is missed has no distance from its label; it is counted elsewhere.
        labels = np.where(np.isnan(places.pred_input), np.nan, places.gt_input)
        pred, target = torch.from_numpy(places.pred_input), torch.from_numpy(labels)
        coord = self.loss.coord_loss(pred, target)
        anatomical = self.loss.anatomical_loss(pred)
        uncertainty = None
        if places.head_sigma_input is not None:
            sigma = torch.from_numpy(places.head_sigma_input).clamp(min=_SMALLEST_SIGMA)
            uncertainty = self.loss.uncertainty_loss(pred, target, sigma.log())
        parts = self.loss.combine(heatmap, coord, anatomical.total, uncertainty)
        missing = torch.full_like(heatmap, torch.nan)
        columns = (
            parts.total, heatmap, coord, anatomical.total, anatomical.order, anatomical.parallel,
            anatomical.ratio, missing if uncertainty is None else uncertainty,
            keypoint_share,
        )  # fmt: skip
        return [ImageLosses(*row) for row in torch.stack(columns, 1).tolist()]


def _without_sigma(reading: BatchReading) -> NDArray[np.bool_]:
    """Which keypoints `[B, K]` have a place, and NaN for the σ of the head."""
    if reading.sigma is None:
        return np.zeros_like(reading.finite)
    found = np.isfinite(reading.points if reading.coords is None else reading.coords).all(-1)
    broken = (reading.flags & int(HeatmapFlag.NOT_FINITE)) != 0
    without: NDArray[np.bool_] = np.isnan(reading.sigma).any(-1) & found & ~broken
    return without


def nothing_found(pred_px: Floats, gt_px: Floats) -> str | None:
    """Why an image `[K, 2]` of which nothing can be measured counts as failed; None where something can.

    A keypoint that is not predicted (NaN) is missed, and counted as such; an image without any prediction, or
    without one of what is labelled, is none that was evaluated.
    """
    predicted, labelled = np.isfinite(pred_px).all(-1), np.isfinite(gt_px).all(-1)
    if not predicted.any():
        return "no keypoint is predicted (NaN throughout)"
    if labelled.any() and not (predicted & labelled).any():
        return f"none of its {labelled.sum()} labelled keypoints is predicted (NaN)"
    return None


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


def _of_covariance(factors: Floats, frames: Sequence[FrameMap]) -> Floats:
    """What (xx, xy, yy) are multiplied by where lengths along x and y are by `factors` `[B, 2]`; `[B, 3]`."""
    x, y = factors[:, 0], factors[:, 1]
    return np.stack([x**2, x * y * np.array([frame.xy_sign for frame in frames]), y**2], axis=-1)


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


def _extent(size: Size | None) -> tuple[float, float]:
    return (np.nan, np.nan) if size is None else (size.width, size.height)


def _spacing_fields(spacing: PixelSpacing | None) -> dict[str, float | None]:
    """What a record of an image says of its spacing."""
    if spacing is None:
        return {"pixel_spacing_mm": None}
    return {
        "pixel_spacing_mm": spacing.either_mm,
        "pixel_spacing_x_mm": spacing.x_mm,
        "pixel_spacing_y_mm": spacing.y_mm,
    }
