"""The results in `run.json`: errors, losses, violations, kinds of mistakes, gates."""

from typing import Annotated, Literal, get_args

from pydantic import AfterValidator, Field, ValidationInfo

from mahtdiag.runs.sections import Count, NonNegative, Section, Share, Text
from mahtdiag.schema.skeleton import View

PixelThreshold = Literal["2", "4", "8", "16"]
MillimetreThreshold = Literal["2", "2.5", "3", "4"]


def _all_thresholds(rates: dict[str, float], info: ValidationInfo) -> dict[str, float]:
    expected = get_args(PixelThreshold if info.field_name == "sdr_px" else MillimetreThreshold)
    if set(rates) != set(expected):
        raise ValueError(f"needs a rate for each of {', '.join(expected)}")
    return {threshold: rates[threshold] for threshold in expected}


ShareInterval = tuple[Share, Share]
PixelRates = Annotated[dict[PixelThreshold, Share], AfterValidator(_all_thresholds)]
MillimetreRates = Annotated[dict[MillimetreThreshold, Share], AfterValidator(_all_thresholds)]


class ErrorSummary(Section):
    """Radial errors over annotated keypoints; the interval of the mean comes from resampling images."""

    mean: NonNegative
    median: NonNegative
    std: NonNegative
    p90: NonNegative
    p95: NonNegative
    max: NonNegative
    ci95: tuple[NonNegative, NonNegative] | None = Field(description="[low, high]; null for one image")


class RadialErrors(Section):
    """Where keypoints went; millimetres where the pixel spacing is known.

    `sdr`: success detection rate, the share of errors that are at most the threshold, 0..1; `sdr_…_ci95`:
    its interval by threshold, null for one image.
    """

    radial_error_px: ErrorSummary
    radial_error_mm: ErrorSummary | None = None
    sdr_px: PixelRates
    sdr_mm: MillimetreRates | None = None
    sdr_px_ci95: dict[PixelThreshold, ShareInterval | None] = Field(default_factory=dict)
    sdr_mm_ci95: dict[MillimetreThreshold, ShareInterval | None] = Field(default_factory=dict)


class GroupErrors(RadialErrors):
    """Radial errors of one vertebra or one corner, over its annotated keypoints."""

    keypoints: Count


class Metrics(RadialErrors):
    """Where the keypoints went: all of them, and by vertebra and by corner, where any is annotated."""

    by_vertebra: dict[str, NonNegative | None] = Field(
        default_factory=dict, description="mean error in pixels; null where no keypoint is annotated"
    )
    by_corner: dict[str, NonNegative | None] = Field(
        default_factory=dict, description="mean error in pixels; null where no keypoint is annotated"
    )
    vertebrae: dict[str, GroupErrors] = Field(default_factory=dict)
    corners: dict[str, GroupErrors] = Field(default_factory=dict)
    keypoints_measured: Count | None = None
    keypoints_missing: Count | None = None


class Losses(Section):
    """Means over images, network frame, and their intervals by name; null where no image has the part."""

    total: float | None = None
    heatmap: float | None = None
    coord: float | None = None
    anatomical: float | None = None
    order: float | None = None
    parallel: float | None = None
    ratio: float | None = None
    uncertainty: float | None = None
    heatmap_keypoint_share: Share | None = None
    ci95: dict[str, tuple[float, float] | None] = Field(default_factory=dict)


class CodeCounts(Section):
    """How often one rule fired."""

    images: Count
    findings: Count


class VertebraViolations(Section):
    """Findings at one vertebra, and the share of images with any there."""

    violations: Count
    images_with_violations: Share
    images_with_violations_ci95: ShareInterval | None = None


class AnatomySummary(VertebraViolations):
    """Violations among predictions: all of them, the share of images with any, per code and per vertebra.

    `level_shifts`: images marked one level off as a whole. Intervals are exact ones of a share of images.
    """

    by_code: dict[str, CodeCounts] = Field(default_factory=dict)
    vertebrae: dict[str, VertebraViolations] = Field(default_factory=dict)
    level_shifts: Count | None = None


class ErrorTypeEntry(Section):
    """One kind of mistake: how many keypoints, which shares, and the mean error if only it were repaired."""

    keypoints: Count
    keypoint_share: Share
    error_share: Share
    repaired_mean_px: NonNegative


class ErrorTypesSummary(Section):
    """Kinds of mistakes by name, and whole images marked one level off (+1: too low)."""

    keypoints: Count
    mean_error_px: NonNegative | None
    by_type: dict[str, ErrorTypeEntry] = Field(default_factory=dict)
    level_shifts: Count = 0
    level_shift_by_image: dict[Text, int] = Field(default_factory=dict)


class Gate(Section):
    """One limit and what was measured against it; `value` null where it could not be measured.

    `value` is what was compared: the number, or the end of its 95 % interval that `bound` names; `estimate`
    and `ci95` are the number and its interval. `view`: the gate holds for runs of that view alone. A gate
    of kind `baseline` compares the paired difference to the run `baseline` with a margin. `reason` says why
    a gate without a value failed.
    """

    metric: Text
    comparison: str = "<="
    limit: float
    value: float | None
    passed: bool
    bound: Literal["estimate", "upper", "lower"] = "estimate"
    view: View | None = None
    vertebra: str | None = None
    kind: Literal["limit", "baseline"] = "limit"
    estimate: float | None = None
    ci95: tuple[float, float] | None = None
    baseline: Text | None = None
    reason: str | None = None
