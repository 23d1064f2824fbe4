"""What is wrong with σ, in words: a check of the evidence for each kind of fault, and the verdict."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import exp, log, sqrt

import numpy as np
from numpy.typing import ArrayLike

from mahtdiag.calibration.by_chance import MIN_UNITS
from mahtdiag.calibration.clustered import ValueWithError
from mahtdiag.calibration.scores import FloatArray, Points
from mahtdiag.calibration.verdict_evidence import MIN_PER_KEYPOINT, Evidence
from mahtdiag.schema.numerals import number

MIN_KEYPOINTS = 20
CLAMPED_SHARE = 0.05

_SPREAD_TOLERANCE = log(1.1)
_BIAS_TOLERANCE = 0.1
_TAIL_TOLERANCE = 0.015
_RATIO_TOLERANCE = log(1.15)
_QUADRANT_TOLERANCE = 0.19
_EXPONENT_TOLERANCE = 0.25


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong: a permanent code, one sentence, and the number behind it (None if none)."""

    code: str
    sentence: str
    value: float | None


FAULTS: dict[str, str] = {
    "clamped": "at least 5 % of σ sit on a clamp bound",
    "constant_sigma": "σ is the same everywhere",
    "log_variance": "the head emits a log variance that is read as log σ",
    "log_sigma": "the head emits log σ that is read as a log variance",
    "uninformative": "σ varies, but the errors do not follow it",
    "bias": "the mean of z is not 0",
    "overconfident": "errors are larger than σ says",
    "underconfident": "errors are smaller than σ says",
    "anisotropy": "σ fits one axis and not the other",
    "correlated_axes": "the errors in x and y go together, an axis-parallel ellipse cannot say that",
    "heavy_tails": "large errors are more frequent than a Gaussian allows",
    "light_tails": "large errors are rarer than a Gaussian has",
    "sigma_too_variable": "σ varies more than the errors do",
    "sigma_too_flat": "σ varies less than the errors do",
    "uneven_keypoints": "one scale does not fit all keypoints",
}
"""Fault codes and what they mean."""


@dataclass(frozen=True, slots=True)
class HeadUnits:
    """What the verdict may suspect about the unit of σ.

    `px_per_unit`: original pixels per unit in which the head's σ is now understood, spreads to [N, K, 2].
    `others`: the same for units it could have meant instead, by name ("heatmap cells", …).
    """

    px_per_unit: ArrayLike = 1.0
    others: Mapping[str, ArrayLike] | None = None


_SHAPE = frozenset({"heavy_tails", "light_tails", "uneven_keypoints"})
_SPREAD = frozenset({"overconfident", "underconfident"})
# A fault in the key makes those in the value: they are its consequence and not named beside it.
_EXPLAINS: dict[str, frozenset[str]] = {
    "clamped": _SHAPE | {"sigma_too_flat", "sigma_too_variable"},
    "constant_sigma": _SHAPE,
    "log_variance": _SHAPE | _SPREAD | {"sigma_too_variable", "uninformative"},
    "log_sigma": _SHAPE | _SPREAD | {"sigma_too_flat"},
    "uninformative": _SHAPE,
    "sigma_too_variable": frozenset({"uneven_keypoints"}),
    "sigma_too_flat": frozenset({"uneven_keypoints"}),
}


@dataclass(frozen=True, slots=True)
class SigmaVerdict:
    """`status` is "calibrated", "faulty", "inconclusive" or "undefined"; `text` says it in words.

    `faults`: most telling first; empty unless faulty.
    """

    status: str
    text: str
    faults: tuple[Fault, ...]


def judge(
    points: Points,
    evidence: Evidence | None,
    *,
    at_min_share: float | None = None,
    at_max_share: float | None = None,
    units: HeadUnits | None = None,
    keypoint_names: Sequence[str] | None = None,
) -> SigmaVerdict:
    """Name every fault that the evidence shows beyond chance and beyond a tolerance worth acting on.

    Keypoints are called by `keypoint_names`, without them by their numbers.
    """
    names = keypoint_names or [str(k) for k in range(points.kept.shape[1])]
    doubt = _too_little(points, evidence)
    if doubt is not None or evidence is None:
        return SigmaVerdict("undefined", doubt or "No evidence.", ())
    found = [
        *clamped_faults(at_min_share, at_max_share),
        *ranking_faults(evidence),
        *head_faults(points, evidence, units or HeadUnits()),
        *bias_faults(evidence, names),
        *shape_faults(evidence, names),
    ]
    found += spread_faults(points, evidence, {f.code for f in found}, units or HeadUnits())
    explained = {code for fault in found for code in _EXPLAINS.get(fault.code, ())}
    faults = sorted((f for f in found if f.code not in explained), key=lambda f: _order(f, evidence))
    if faults:
        return SigmaVerdict("faulty", " ".join(f.sentence for f in faults), tuple(faults))
    return _without_fault(points, evidence, at_min_share is not None or at_max_share is not None)


def _without_fault(points: Points, evidence: Evidence, bounds_known: bool) -> SigmaVerdict:
    """Calibrated if the scale of the bulk is known well enough; a doubtful tail gets a word."""
    core, interval = evidence.core_factor.value, evidence.core_factor.ci95
    bounds = (
        "no interval" if interval is None else f"95 % interval {number(interval[0])} to {number(interval[1])}"
    )
    where = f"the bulk of the errors fits {number(core)} σ ({bounds}, {_sample(points)})"
    if abs(log(max(evidence.raw_scale, 1e-300) / max(core, 1e-300))) > log(1.25):
        where += f"; a few errors pull the factor of all errors to {number(evidence.raw_scale)}"
    unchecked = _unchecked(evidence, bounds_known)
    if interval is None or interval[1] > 1.25**2 * interval[0]:
        text = f"No fault shows, but the sample is too small to be sure: {where}.{unchecked}"
        return SigmaVerdict("inconclusive", text, ())
    return SigmaVerdict("calibrated", f"Calibrated: {where}, and no fault was found.{unchecked}", ())


def _unchecked(evidence: Evidence, bounds_known: bool) -> str:
    """What a verdict without fault did not look at."""
    left_out = evidence.keypoints - evidence.keypoints_judged
    which = (
        "single keypoints"
        if not evidence.keypoints_judged
        else f"{left_out} of {evidence.keypoints} keypoints"
    )
    what = [f"{which} by themselves (fewer than {MIN_PER_KEYPOINT} images each)"] if left_out else []
    what += [] if bounds_known else ["clamp bounds (not known)"]
    return f" Not checked: {'; '.join(what)}." if what else ""


def _sample(points: Points) -> str:
    plural = ["" if count == 1 else "s" for count in (points.n, points.n_images, points.n_units)]
    text = f"{points.n} keypoint{plural[0]} in {points.n_images} image{plural[1]}"
    return text if points.n_units == points.n_images else f"{text} of {points.n_units} patient{plural[2]}"


def _too_little(points: Points, evidence: Evidence | None) -> str | None:
    if points.n == 0:
        return "No keypoint has both a label and a valid σ: nothing to judge."
    if not bool(np.any(points.residual_px)):
        return f"All residuals are 0 ({_sample(points)}): are the labels their own predictions? No verdict."
    if points.n < MIN_KEYPOINTS:
        return f"Too few keypoints for a verdict: {_sample(points)}, at least {MIN_KEYPOINTS} are needed."
    if points.n_units < MIN_UNITS or evidence is None:
        unit = "image" if points.n_units == points.n_images else "patient"
        return (
            f"Too few {unit}s for a verdict: {_sample(points)}, at least {MIN_UNITS} {unit}s are needed, "
            f"since keypoints of one {unit} are not independent."
        )
    return None


def _order(fault: Fault, evidence: Evidence) -> int:
    """Place in `FAULTS`; heavy tails come before a wrong spread unless the bulk is clearly overconfident."""
    codes = tuple(FAULTS)
    if fault.code == "heavy_tails" and evidence.core_scale < 1.25:
        return 2 * codes.index("overconfident") - 1
    return 2 * codes.index(fault.code)


def clamped_faults(at_min: float | None, at_max: float | None) -> list[Fault]:
    low, high = at_min or 0.0, at_max or 0.0
    if low + high < CLAMPED_SHARE:
        return []
    return [
        Fault(
            "clamped",
            f"Clamped: {100 * low:.0f} % of σ sit on the lower clamp bound, {100 * high:.0f} % on the upper, "
            "where σ has no gradient and cannot be right.",
            low + high,
        )
    ]


def ranking_faults(evidence: Evidence) -> list[Fault]:
    exponent = evidence.exponent
    if exponent is None:
        return [Fault("constant_sigma", "Constant σ: it cannot tell a good keypoint from a bad one.", None)]
    if not exponent.is_off(1.0, _EXPONENT_TOLERANCE, evidence.critical):
        return []
    b = exponent.value
    if b < 0.25:
        text = f"Uninformative: σ varies, but the errors do not follow it (they grow as σ^{b:.2f}, not as σ)."
        return [Fault("uninformative", text, b)]
    if b < 1.0:
        text = (
            f"σ varies too much: errors grow as σ^{b:.2f}, so small σ are too small and large ones too large."
        )
        return [Fault("sigma_too_variable", text, b)]
    text = (
        f"σ varies too little: errors grow as σ^{b:.2f}, so small σ are too large and large ones too small."
    )
    return [Fault("sigma_too_flat", text, b)]


def head_faults(points: Points, evidence: Evidence, units: HeadUnits) -> list[Fault]:
    """Does the head emit something else than it is read as? Compared by likelihood, in the head's unit."""
    exponent = evidence.exponent
    if exponent is None or not exponent.is_off(1.0, 0.0, evidence.critical):
        return []
    unit = np.asarray(points.pick_axes(units.px_per_unit, "px_per_unit"), dtype=np.float64)
    residual = _centred(points)
    residual /= unit
    sigma = np.divide(points.sigma_px, unit, out=unit)
    if exponent.value < 1.0 and _reads_better(residual, sigma, np.sqrt(sigma)):
        text = "The head seems to emit a log variance, read as log σ: sqrt(σ) fits the errors, σ does not."
        return [Fault("log_variance", text, exponent.value)]
    if exponent.value > 1.0 and _reads_better(residual, sigma, sigma**2):
        text = "The head seems to emit log σ, read as a log variance: σ² fits the errors, σ does not."
        return [Fault("log_sigma", text, exponent.value)]
    return []


def _centred(points: Points) -> FloatArray:
    """Residuals less σ times the mean z of their axis."""
    z = points.residual_px / points.sigma_px
    z -= z.mean(axis=0)
    z *= points.sigma_px
    return z


def _reads_better(residual: FloatArray, sigma: FloatArray, other: FloatArray) -> bool:
    """Without any free factor, does `other` fit, and more likely than σ does with its best factor?"""
    scale = sqrt(float(np.mean((residual / sigma) ** 2)))
    other_square = float(np.mean((residual / other) ** 2))
    best = float(np.log(sigma).mean()) + log(scale) + 0.5
    return (
        1.25**-2 < other_square < 1.25**2 and float(np.log(other).mean()) + 0.5 * other_square < best - 0.005
    )


def bias_faults(evidence: Evidence, names: Sequence[str]) -> list[Fault]:
    scale = exp(evidence.log_scale.value)
    shifted = [
        (name, estimate)
        for name, estimate in zip("xy", evidence.bias, strict=True)
        if estimate.is_off(0.0, _BIAS_TOLERANCE * scale, evidence.critical)
    ]
    if shifted:
        where = " and ".join(f"{e.value:+.2f} σ in {name}" for name, e in shifted)
        largest = max((e.value for _, e in shifted), key=abs)
        return [
            Fault("bias", f"Bias: predictions are off by {where} on average; no σ can mend that.", largest)
        ]
    local = evidence.local_bias
    if local is None or not local.is_off:
        return []
    text = (
        f"Bias in places: keypoint {names[local.keypoint]} is off by {local.value:+.2f} of its own spread "
        f"in {'xy'[local.axis or 0]}; no σ can mend that."
    )
    return [Fault("bias", text, local.value)]


def shape_faults(evidence: Evidence, names: Sequence[str]) -> list[Fault]:
    found = []
    ratio = evidence.log_axis_ratio
    if ratio.is_off(0.0, _RATIO_TOLERANCE, evidence.critical):
        text = f"Anisotropy ignored: against σ, errors in x are {number(exp(ratio.value))} times those in y."
        found.append(Fault("anisotropy", text, exp(ratio.value)))
    if evidence.quadrant.is_off(0.0, _QUADRANT_TOLERANCE, evidence.critical):
        text = f"Correlation ignored: errors in x and y correlate at about {evidence.correlation:+.2f}."
        found.append(Fault("correlated_axes", text, evidence.correlation))
    tail = evidence.outer_excess
    if tail.is_off(0.0, _TAIL_TOLERANCE, evidence.critical):
        share = 95.0 + 100.0 * tail.value
        kind, word = ("heavy_tails", "Heavy") if tail.value < 0 else ("light_tails", "Light")
        text = (
            f"{word} tails: half of the errors lie inside the 50 % interval at {number(evidence.core_scale)} "
            f"σ, but the 95 % interval at that scale holds {share:.1f} %."
        )
        found.append(Fault(kind, text, 0.95 + tail.value))
    uneven = evidence.uneven
    if uneven is not None and uneven.is_off:
        text = (
            f"Uneven: keypoint {names[uneven.keypoint]} needs {number(uneven.value)} times the σ factor of "
            "the others."
        )
        found.append(Fault("uneven_keypoints", text, uneven.value))
    return found


def spread_faults(points: Points, evidence: Evidence, found: set[str], units: HeadUnits) -> list[Fault]:
    """Over- or underconfident, by the bulk of the errors where the tails are heavy, else by all of them."""
    if found & {"uninformative", "constant_sigma"}:
        log_factor = _significant(evidence.log_average_scale, evidence)
    elif "heavy_tails" in found:
        log_factor = _bulk(evidence)
    else:
        log_factor = _significant(evidence.log_scale, evidence)
    if log_factor == 0.0:
        return []
    factor = exp(log_factor)
    if "bias" not in found and log_factor == evidence.log_scale.value:
        # Without a bias worth naming, the factor is the one the tables show.
        factor = evidence.raw_scale
    code, word = ("overconfident", "Overconfident") if factor > 1 else ("underconfident", "Underconfident")
    small = "small" if factor > 1 else "large"
    by = factor if factor > 1 else 1.0 / factor
    text = f"{word}: σ is too {small} by a factor of {number(by)}{_unit_hint(points, units, log_factor)}."
    return [Fault(code, text, factor)]


def _significant(estimate: ValueWithError, evidence: Evidence) -> float:
    return estimate.value if estimate.is_off(0.0, _SPREAD_TOLERANCE, evidence.critical) else 0.0


def _bulk(evidence: Evidence) -> float:
    """ln of the factor of all errors where the bulk agrees about its direction, else 0."""
    bulk = log(max(evidence.core_scale, 1e-300))
    everywhere = evidence.log_scale.value
    clear = evidence.core_share.is_off(0.5, 0.0, evidence.critical) and abs(bulk) > _SPREAD_TOLERANCE
    if bulk < 0.0:
        # Heavy tails at a right spread make the bulk look too cautious: all errors must say so too.
        return _significant(evidence.log_scale, evidence) if clear and everywhere < -log(1.25) else 0.0
    return everywhere if clear and everywhere > _SPREAD_TOLERANCE else 0.0


def _unit_hint(points: Points, units: HeadUnits, log_factor: float) -> str:
    """Names the unit whose size explains the factor, axis by axis."""
    residual = _centred(points)
    residual /= points.sigma_px
    for name, px in (units.others or {}).items():
        now = np.asarray(points.pick_axes(units.px_per_unit, "px_per_unit"), dtype=np.float64)
        other = np.asarray(points.pick_axes(px, name), dtype=np.float64)
        factor = np.divide(other, now, out=other)
        left = 0.5 * log(max(float(np.mean(np.divide(residual, factor, out=now) ** 2)), 1e-300))
        if abs(left) < log(1.15) and abs(left) < 0.25 * abs(log_factor):
            return f"; that is what σ in {name} would look like"
    return ""
