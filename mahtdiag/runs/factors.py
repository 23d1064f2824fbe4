"""The file of `calibration --fit`: factors on σ and conformal regions, and what they were fitted on."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field, JsonValue, ValidationError, model_validator

from mahtdiag import __version__
from mahtdiag.errors import UsageError
from mahtdiag.opening import read_bytes
from mahtdiag.runs.document import (
    LARGEST_BYTES,
    MOST_MARKS,
    MOST_PROBLEMS,
    TOO_DEEP,
    CheckpointSource,
    DataSource,
)
from mahtdiag.runs.files import write_named
from mahtdiag.runs.results import Count, Section, Sha256
from mahtdiag.schema.choices import FactorKind
from mahtdiag.schema.json_values import TooManyValuesError, parsed
from mahtdiag.schema.places import LARGEST_FACTOR, SMALLEST_FACTOR
from mahtdiag.schema.safe_text import brief
from mahtdiag.schema.skeleton import Skeleton, View, known_levels, skeleton_said

KIND: Final = "mahtdiag-recalibration"
MEANING: Final = (
    "sigma * sigma_scale is the recalibrated sigma. A keypoint lies with the share `coverage` inside the "
    "ellipse d <= limit, d being the Mahalanobis distance under sigma as the model gives it (conformal_d), "
    "and inside the disc of that radius in original pixels (conformal_px); all keypoints of an image are "
    "inside `whole_image` with that share. null: too few patients or images. student_t: "
    "error / (sigma as the model gives it * scale) has this Student's t distribution."
)


def _of_sigma(factor: float) -> float:
    if not SMALLEST_FACTOR <= factor <= LARGEST_FACTOR:
        raise ValueError(f"a factor of {factor:g}, expected {SMALLEST_FACTOR:g} to {LARGEST_FACTOR:g}")
    return factor


Factor = Annotated[float, AfterValidator(_of_sigma)]
Positive = Annotated[float, Field(gt=0.0)]
Limit = Annotated[float, Field(ge=0.0)]


class SigmaFactors(Section):
    """Factors on σ: one for all keypoints, and one for each with the number of keypoints behind it.

    `core` is the factor that half of the errors fit, whichever factors the others are.
    """

    common: Factor
    core: Factor | None = None
    by_keypoint: dict[str, Factor]
    counts: dict[str, Count]


class ConformalLimits(Section):
    """Limits for one promised share; null where there were too few units, patients or images, for one.

    `whole_image` is the limit that all keypoints of an image keep together; `units` are behind it.
    """

    coverage: Annotated[float, Field(gt=0.0, lt=1.0)]
    pooled: Limit | None
    whole_image: Limit | None = None
    units: Count | None = None
    by_keypoint: dict[str, Limit | None]
    counts: dict[str, Count]


class StudentDistribution(Section):
    """error / (sigma · scale) follows Student's t.

    `nll` on images left out; `gaussian_nll`: that of σ as it is.
    """

    scale: Positive
    degrees_of_freedom: Positive
    nll: float
    gaussian_nll: float


class Recalibration(Section):
    """The whole file. `reading` holds the settings that decide what a prediction and its σ are.

    `factors` says which factors these are, `worsens` what they make worse on images that were left out.
    `unknown_images`: so many were not there when they were fitted, and have no digest in `image_sha256`.
    """

    schema_version: Literal[1] = Field(default=1, alias="schema")
    kind: Literal["mahtdiag-recalibration"] = KIND
    mahtdiag: str = __version__
    meaning: str = MEANING
    view: View
    levels: Annotated[str, AfterValidator(known_levels)] | None = None
    checkpoint: CheckpointSource
    data: DataSource
    reading: dict[str, JsonValue]
    n_images: Count
    n_keypoints: Count
    factors: FactorKind = FactorKind.LIKELIHOOD
    worsens: tuple[str, ...] = ()
    sigma_scale: SigmaFactors
    student_t: StudentDistribution | None = None
    conformal_d: tuple[ConformalLimits, ...]
    conformal_px: tuple[ConformalLimits, ...]
    # One mistake in it is enough to know.
    image_sha256: Annotated[tuple[Sha256, ...], Field(fail_fast=True)]
    unknown_images: Count = 0

    @model_validator(mode="after")
    def _every_keypoint(self) -> "Recalibration":
        names = set(self.skeleton.keypoint_names)
        tables: list[Mapping[str, object]] = [self.sigma_scale.by_keypoint, self.sigma_scale.counts]
        for limits in (*self.conformal_d, *self.conformal_px):
            tables += [limits.by_keypoint, limits.counts]
        if any(set(table) != names for table in tables):
            raise ValueError(f"keypoints: every table needs exactly the {len(names)} of {self.skeleton}")
        return self

    @property
    def skeleton(self) -> Skeleton:
        """The keypoints that they are for; those of the view where the file does not say."""
        return skeleton_said(self.view, self.levels)


def harm_of(path: Path, worsens: Sequence[str]) -> tuple[str, ...]:
    """What the factors of a file make worse, as a note; none where it is nothing."""
    if not worsens:
        return ()
    return (f"{path}: the factors make σ worse on images that they were not fitted on: {', '.join(worsens)}",)


def unknown_of(path: Path, unknown: int) -> tuple[str, ...]:
    """That images which the factors of a file were fitted on cannot be told again, as a note."""
    if not unknown:
        return ()
    images = "1 image that was" if unknown == 1 else f"{unknown:,} images that were"
    return (
        f"{path}: fitted on {images} not there: nothing tells whether others are the same, so use the factors"
        " on images of other patients alone",
    )


def reservations_of(path: Path, correction: Mapping[str, JsonValue]) -> tuple[str, ...]:
    """Both as notes, of the factors of a file as `run.json` keeps them."""
    worsens, unknown = correction.get("worsens"), correction.get("unknown_images")
    return (
        *harm_of(path, [str(number) for number in worsens] if isinstance(worsens, list) else []),
        *unknown_of(path, unknown if isinstance(unknown, int) else 0),
    )


def read_recalibration(path: Path) -> Recalibration:
    """The factors in a file.

    Raises:
        UsageError: it cannot be read, is no recalibration file, or is damaged (every problem).
    """
    try:
        content = _content(path)
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror or error}); name a --fit file") from error
    except TooManyValuesError as error:
        raise UsageError(f"{path}: {error}; name a file that --fit has written") from error
    except RecursionError as error:
        raise UsageError(f"{path}: {TOO_DEEP}; name a file that --fit has written") from error
    except ValueError as error:
        said = brief(str(error))
        raise UsageError(f"{path}: not valid JSON ({said}); name a file that --fit has written") from error
    if not isinstance(content, dict) or content.get("kind") != KIND:
        raise UsageError(f"{path}: not a recalibration file; name a file that --fit has written")
    if content.get("schema") != 1:
        raise UsageError(
            f"{path}: schema version {brief(repr(content.get('schema')), 40)}, written by mahtdiag "
            f"{brief(str(content.get('mahtdiag', '?')), 40)}; mahtdiag {__version__} reads version 1: "
            "fit again"
        )
    try:
        return Recalibration.model_validate(content)
    except ValidationError as error:
        raise UsageError(
            *(
                f"{path}: {brief('.'.join(map(str, item['loc'])) or 'file', 200)}: "
                f"{brief(item['msg'].removeprefix('Value error, '))}; fit again"
                for item in error.errors()[:MOST_PROBLEMS]
            )
        ) from error


def _content(path: Path) -> object:
    return parsed(read_bytes(path, LARGEST_BYTES), MOST_MARKS, "image_sha256")


def write_recalibration(path: Path, factors: Recalibration, cwd: Path | None = None) -> None:
    """Writes the file that `--fit` names, as `write_named` does; only a file of the same kind is replaced.

    Raises:
        UsageError: something else stands there, or it cannot be written.
    """
    place = (cwd or Path()) / path
    if place.exists() and not _may_be_replaced(place):
        raise UsageError(f"--fit {path}: exists and is not a recalibration file; choose another name")
    write_named("--fit", path, factors.to_json().encode(), cwd)


def _may_be_replaced(path: Path) -> bool:
    if not path.is_file():
        # Reading a pipe would wait for ever.
        return False
    try:
        content = _content(path)
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(content, dict) and content.get("kind") == KIND
