"""Run folders to compare: the same images under any name, evaluated or failed, with chosen predictions."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue

from mahtdiag.runs.document import CheckpointSource, DataSource, Environment, ImageCounts, RunDocument
from mahtdiag.runs.folder import RunFolder
from mahtdiag.schema.records import Failure, ImageLosses, ImageRecord, KeypointResults
from mahtdiag.schema.skeleton import View
from tests.anatomy.spines import IMAGE_SIZE, natural_spines

Floats = NDArray[np.float64]

SETTINGS: dict[str, JsonValue] = {
    "input_size": "500x250",
    "heatmap_size": "125x125",
    "resize": "stretch",
    "coords": "half-pixel",
    "decode": "dark",
    "uncertainty": "auto",
    "workers": 2,
}


def sha256_of(text: str) -> str:
    """A digest that stands for a content."""
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True)
class Pictured:
    """One image of a set: what it is called, what it shows, where its labels lie."""

    name: str
    content: str
    label_px: Floats
    spacing_mm: float | None = None
    sha256: str | None = None

    @property
    def digest(self) -> str:
        return self.sha256 or sha256_of(self.content)


def image_set(count: int = 12, view: View = View.AP, spacing_mm: float | None = None) -> list[Pictured]:
    """Images `0.png`, `1.png`, … with natural spines."""
    spines = natural_spines(view, count)
    return [Pictured(f"{n}.png", f"pixels {n}", spines[n], spacing_mm) for n in range(count)]


def renamed(images: Sequence[Pictured], prefix: str) -> list[Pictured]:
    """The same images elsewhere, in another order."""
    return [replace(image, name=f"{prefix}{image.name}") for image in reversed(images)]


def off_by(radius_px: float, image: Pictured, seed: int = 0) -> Floats:
    """A prediction `[K, 2]` whose keypoints are off by about so much, more in some images than in others."""
    rng = np.random.default_rng([seed, *image.content.encode()])
    angle = rng.uniform(0.0, 2.0 * np.pi, len(image.label_px))
    distance = radius_px * rng.uniform(0.5, 1.5) * rng.uniform(0.8, 1.2, len(image.label_px))
    off: Floats = distance[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return image.label_px + off


@dataclass(frozen=True)
class Options:
    """What may be special about a run; `fails`: names of images that it could not evaluate."""

    view: View = View.AP
    seed: int = 0
    sigma_px: float | None = 3.0
    failed: tuple[Failure, ...] = ()
    fails: tuple[str, ...] = ()
    settings: Mapping[str, JsonValue] = field(default_factory=dict)
    uncertainty_loss: float = 1.0
    complete: bool = True


def write_run(
    path: Path, images: Sequence[Pictured], radius_px: float, options: Options | None = None
) -> Path:
    """A run folder of the parent's parent, whose predictions are off by about so much."""
    options = options or Options()
    not_finite = [image for image in images if image.name in options.fails]
    failures = [
        *options.failed,
        *(Failure(i.name, "not finite", i.digest, sha256_of(f"{i.content}!")) for i in not_finite),
    ]
    evaluated = [image for image in images if image.name not in options.fails]
    total = len(evaluated) + len(failures)
    header = RunDocument(
        checkpoint=CheckpointSource(path=f"{path.name}.pt", sha256=sha256_of(path.name), format="mahtdiag"),
        data=DataSource(path="data", format="buu-lspine", listing_sha256=sha256_of("listing")),
        view=options.view,
        settings={**SETTINGS, **options.settings},
        environment=Environment(python="3.11", torch="2.13", device="cpu"),
        started=datetime(2026, 11, 23, tzinfo=UTC) + timedelta(seconds=len(list(path.parent.glob("*")))),
        images=ImageCounts(total=total),
    )
    folder = RunFolder.create(path, header, failures)
    folder.append(0, [_record(image, off_by(radius_px, image, options.seed), options) for image in evaluated])
    counts = ImageCounts(total=total, evaluated=len(evaluated), failed=len(failures))
    if options.complete:
        folder.finish(header.model_copy(update={"images": counts}), path.parents[1])
    else:
        folder.interrupt(header)
    return path


def _record(image: Pictured, pred_px: Floats, options: Options) -> ImageRecord:
    k, sigma_px = options.view.skeleton.keypoints, options.sigma_px
    error_px = np.hypot(*(pred_px - image.label_px).T)
    unknown, mean = np.full((k, 2), np.nan), float(error_px.mean())
    return ImageRecord(
        image=image.name,
        image_sha256=image.digest,
        annotation_sha256=sha256_of(f"{image.content}!"),
        width=int(IMAGE_SIZE[0]),
        height=int(IMAGE_SIZE[1]),
        pixel_spacing_mm=image.spacing_mm,
        sex=None,
        age_years=None,
        losses=ImageLosses(mean, mean, mean, mean, mean, mean, mean, options.uncertainty_loss, 0.5),
        keypoints=KeypointResults(
            gt_px=image.label_px,
            pred_px=pred_px,
            error_px=error_px,
            error_mm=error_px * (image.spacing_mm or np.nan),
            sigma_px=unknown if sigma_px is None else np.full((k, 2), sigma_px),
            spread_px2=np.tile([sigma_px or np.nan, 0.0, sigma_px or np.nan], (k, 1)) ** 2,
            peak=np.ones(k),
            at_min=np.zeros((k, 2), dtype=np.bool_),
            at_max=np.zeros((k, 2), dtype=np.bool_),
            flags=np.zeros(k, dtype=np.int64),
        ),
        findings=(),
    )
