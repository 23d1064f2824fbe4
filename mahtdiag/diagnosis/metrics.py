"""The numbers of a `run.json` by name: which way is better, what they can be, whether they have intervals."""

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cache

from mahtdiag.anatomy.error_types import ErrorType
from mahtdiag.anatomy.rules import RULES
from mahtdiag.calibration.scores import COVERAGE_LEVELS
from mahtdiag.diagnosis.summary import SDR_MM, SDR_PX
from mahtdiag.schema.skeleton import CORNERS, View

SECTION = "metrics"
"""A metric may be named without the section that holds it: `radial_error_mm.mean`, `sdr_mm.4`."""

OPEN = ("ambiguity.", "calibration.groups.", "environment.", "settings.")
"""Sections whose numbers depend on the data: their names are known only once a run is there."""


class Better(StrEnum):
    """Which way a number is better; NEITHER where it has a best value in between, or none."""

    LOWER = "lower"
    HIGHER = "higher"
    NEITHER = "neither"


@dataclass(frozen=True, slots=True)
class Metric:
    """A number of `run.json`, named without the section `metrics`.

    `least`, `most`: the range of possible values, None where it is open. `unit`: `px`, `mm`, `share` (0..1),
    `count`, `s` or empty. `interval`: a 95 % interval comes with it.
    """

    name: str
    better: Better
    least: float | None = 0.0
    most: float | None = None
    unit: str = ""
    interval: bool = False

    @property
    def range_in_words(self) -> str:
        """What the number can be."""
        if self.unit == "share":
            return "is a share from 0 to 1, and 95 % is written 0.95"
        if self.least is not None and self.most is not None:
            return f"lies between {self.least:g} and {self.most:g}"
        return f"is never below {self.least:g}" if self.least is not None else "can be any number"


_LOWER, _HIGHER, _NEITHER = Better.LOWER, Better.HIGHER, Better.NEITHER
_STATISTICS = ("mean", "median", "std", "p90", "p95", "max")
_CALIBRATION = (
    *(Metric(name, _NEITHER, unit="count") for name in ("n_keypoints", "n_images", "missing")),
    *(Metric(name, _LOWER, unit="count") for name in ("invalid_sigma", "invalid_residual")),
    *(Metric(name, _LOWER, most=1.0, interval=True) for name in ("mace", "rmsce", "miscalibration_area")),
    Metric("ence", _LOWER, interval=True),
    Metric("sharpness_px", _NEITHER, unit="px", interval=True),
    Metric("nll", _LOWER, least=None, interval=True),
    *(Metric(name, _LOWER, unit="px", interval=True) for name in ("crps_px", "check", "interval")),
    *(Metric(name, _NEITHER, least=None, interval=True) for name in ("bias_x", "bias_y")),
    Metric("sigma_scale", _NEITHER, interval=True),
    Metric("spearman", _HIGHER, least=-1.0, most=1.0, interval=True),
    Metric("ause", _LOWER, interval=True),
    Metric("auc_large_error", _HIGHER, most=1.0),
    *(Metric(name, _LOWER, most=1.0, unit="share") for name in ("at_min_share", "at_max_share")),
    *(Metric(name, _NEITHER, most=1.0, unit="share") for name in ("aleatoric_share", "epistemic_share")),
    Metric("radial.mace", _LOWER, most=1.0, interval=True),
    Metric("radial.sigma_scale", _NEITHER, interval=True),
    *(
        Metric(f"{of}coverage.{level:g}.observed", _NEITHER, most=1.0, unit="share", interval=True)
        for of in ("", "radial.")
        for level in COVERAGE_LEVELS
    ),
)


def metric_of(name: str) -> Metric | None:
    """What is known of a number; None for an unknown name and for the numbers of open sections."""
    return _by_name().get(name.removeprefix(f"{SECTION}."))


def is_open(name: str) -> bool:
    """Whether only a run can tell if there is such a number."""
    return name.startswith(OPEN)


def nearest_name(name: str, known: Iterable[str] | None = None) -> str | None:
    """The name of a number that is spelt most like `name`, to help whoever misspelt it."""
    names = list(_by_name() if known is None else known)
    close = difflib.get_close_matches(name.removeprefix(f"{SECTION}."), names, 1, 0.6)
    return close[0] if close else None


def known_metrics() -> tuple[Metric, ...]:
    """Every number of the closed sections, in the order of `run.json`."""
    return tuple(_by_name().values())


@cache
def _by_name() -> Mapping[str, Metric]:
    return {
        metric.name: metric for metric in (*_counts(), *_errors(), *_losses(), *_anatomy(), *_judgements())
    }


def _within(prefix: str, metrics: Iterable[Metric]) -> Iterator[Metric]:
    for metric in metrics:
        yield replace(metric, name=f"{prefix}.{metric.name}")


def _counts() -> Iterator[Metric]:
    yield from (
        Metric(f"seconds.{part}", _LOWER, unit="s") for part in ("total", "forward", "decode", "analyse")
    )
    yield Metric("images.total", _HIGHER, unit="count")
    yield Metric("images.evaluated", _HIGHER, unit="count")
    yield Metric("images.failed", _LOWER, unit="count")


def _errors() -> Iterator[Metric]:
    overall = tuple(_radial())
    yield from overall
    for prefix, names in (("vertebra", View.LA.vertebrae), ("corner", CORNERS)):
        yield from (Metric(f"by_{prefix}.{name}", _LOWER, unit="px") for name in names)
    for name in View.LA.vertebrae:
        yield from _within(f"vertebrae.{name}", (*overall, Metric("keypoints", _NEITHER, unit="count")))
    for name in CORNERS:
        yield from _within(f"corners.{name}", (*overall, Metric("keypoints", _NEITHER, unit="count")))
    yield Metric("keypoints_measured", _HIGHER, unit="count")
    yield Metric("keypoints_missing", _NEITHER, unit="count")


def _radial() -> Iterator[Metric]:
    for unit, thresholds in (("px", SDR_PX), ("mm", SDR_MM)):
        for name in _STATISTICS:
            yield Metric(f"radial_error_{unit}.{name}", _LOWER, unit=unit, interval=name == "mean")
        for threshold in thresholds:
            name = f"sdr_{unit}.{threshold:g}"
            yield Metric(name, _HIGHER, most=1.0, unit="share", interval=True)


def _losses() -> Iterator[Metric]:
    # A likelihood can be negative, and with it the total.
    for name in ("total", "uncertainty"):
        yield Metric(f"losses.{name}", _LOWER, least=None, interval=True)
    for name in ("heatmap", "coord", "anatomical", "order", "parallel", "ratio"):
        yield Metric(f"losses.{name}", _LOWER, interval=True)
    yield Metric("losses.heatmap_keypoint_share", _NEITHER, most=1.0, unit="share")


def _anatomy() -> Iterator[Metric]:
    found = (
        Metric("violations", _LOWER, unit="count"),
        Metric("images_with_violations", _LOWER, most=1.0, unit="share", interval=True),
    )
    yield from _within("anatomy", found)
    for name in View.LA.vertebrae:
        yield from _within(f"anatomy.vertebrae.{name}", found)
    for rule in RULES:
        for counted in ("images", "findings"):
            yield Metric(f"anatomy.by_code.{rule.code}.{counted}", _LOWER, unit="count")
    yield Metric("anatomy.level_shifts", _LOWER, unit="count")


def _judgements() -> Iterator[Metric]:
    yield Metric("error_types.keypoints", _NEITHER, unit="count")
    yield Metric("error_types.mean_error_px", _LOWER, unit="px")
    yield Metric("error_types.level_shifts", _LOWER, unit="count")
    for kind in ErrorType:
        if kind is not ErrorType.UNKNOWN:
            better = _HIGHER if kind is ErrorType.GOOD else _LOWER
            of_type = (
                Metric("keypoints", better, unit="count"),
                Metric("keypoint_share", better, most=1.0, unit="share"),
                Metric("error_share", better, most=1.0, unit="share"),
                Metric("repaired_mean_px", _LOWER, unit="px"),
            )
            yield from _within(f"error_types.by_type.{kind.title}", of_type)
    yield from _within("calibration", _CALIBRATION)


_VERTEBRA = re.compile(r"(?:^|\.)(?:vertebrae|by_vertebra)\.([LS]\d)(?:\.|$)")


def vertebra_of(name: str) -> str | None:
    """The vertebra whose number this is: `L5` of `vertebrae.L5.radial_error_px.mean`."""
    found = _VERTEBRA.search(name)
    return found[1] if found else None
