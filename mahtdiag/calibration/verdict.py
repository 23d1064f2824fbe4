"""What is wrong with σ, in words, from the numbers."""

from dataclasses import dataclass
from math import exp, log

import numpy as np

from mahtdiag.calibration.evidence import CORE_SLOPE, Evidence
from mahtdiag.calibration.faults import (
    FAULTS,
    Fault,
    HeadUnits,
    bias_faults,
    clamped_faults,
    head_faults,
    ranking_faults,
    shape_faults,
    spread_faults,
)
from mahtdiag.calibration.samples import Points

MIN_KEYPOINTS = 20
MIN_IMAGES = 10

# A fault in the key makes those in the value: they are its consequence and not named beside it.
_EXPLAINS: dict[str, frozenset[str]] = {
    "clamped": frozenset(
        {"heavy_tails", "light_tails", "sigma_too_flat", "sigma_too_variable", "uneven_keypoints"}
    ),
    "constant_sigma": frozenset({"heavy_tails", "light_tails", "uneven_keypoints"}),
    "log_variance": frozenset(
        {
            "overconfident",
            "underconfident",
            "sigma_too_variable",
            "uninformative",
            "heavy_tails",
            "light_tails",
            "uneven_keypoints",
        }
    ),
    "log_sigma": frozenset(
        {
            "overconfident",
            "underconfident",
            "sigma_too_flat",
            "heavy_tails",
            "light_tails",
            "uneven_keypoints",
        }
    ),
    "uninformative": frozenset({"heavy_tails", "light_tails", "uneven_keypoints"}),
    "sigma_too_variable": frozenset({"uneven_keypoints"}),
    "sigma_too_flat": frozenset({"uneven_keypoints"}),
}


@dataclass(frozen=True, slots=True)
class Verdict:
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
) -> Verdict:
    """Name every fault that the evidence shows beyond chance and beyond a tolerance worth acting on."""
    doubt = _too_little(points, evidence)
    if doubt is not None or evidence is None:
        return Verdict("undefined", doubt or "No evidence.", ())
    found = [
        *clamped_faults(at_min_share, at_max_share),
        *ranking_faults(evidence),
        *head_faults(points, evidence, units or HeadUnits()),
        *bias_faults(evidence),
        *shape_faults(evidence),
    ]
    found += spread_faults(points, evidence, {f.code for f in found}, units or HeadUnits())
    explained = {code for fault in found for code in _EXPLAINS.get(fault.code, ())}
    faults = sorted((f for f in found if f.code not in explained), key=lambda f: _order(f, evidence))
    if faults:
        return Verdict("faulty", " ".join(f.sentence for f in faults), tuple(faults))
    return _without_fault(points, evidence)


def _without_fault(points: Points, evidence: Evidence) -> Verdict:
    """Calibrated if the scale of the bulk is known well enough; a doubtful tail gets a word."""
    margin = 1.96 * evidence.core_share.standard_error / CORE_SLOPE
    low, high = evidence.core_scale * exp(-margin), evidence.core_scale * exp(margin)
    where = (
        f"the bulk of the errors fits {evidence.core_scale:.2f} σ "
        f"(95 % interval {low:.2f} to {high:.2f}, {_sample(points)})"
    )
    scale = exp(evidence.log_scale.value)
    if abs(evidence.log_scale.value - log(max(evidence.core_scale, 1e-300))) > log(1.25):
        where += f"; a few errors pull the factor of all errors to {scale:.2f}"
    if margin > log(1.25):
        return Verdict(
            "inconclusive", f"No fault shows, but the sample is too small to be sure: {where}.", ()
        )
    return Verdict("calibrated", f"Calibrated: {where}, and no fault was found.", ())


def _sample(points: Points) -> str:
    plural = ["" if count == 1 else "s" for count in (points.n, points.n_images)]
    return f"{points.n} keypoint{plural[0]} in {points.n_images} image{plural[1]}"


def _too_little(points: Points, evidence: Evidence | None) -> str | None:
    if points.n == 0:
        return "No keypoint has both a label and a valid σ: nothing to judge."
    if not bool(np.any(points.residual_px)):
        return f"All residuals are 0 ({_sample(points)}): are the labels their own predictions? No verdict."
    if points.n < MIN_KEYPOINTS:
        return f"Too few keypoints for a verdict: {_sample(points)}, at least {MIN_KEYPOINTS} are needed."
    if points.n_images < MIN_IMAGES or evidence is None:
        return (
            f"Too few images for a verdict: {_sample(points)}, at least {MIN_IMAGES} images are needed, "
            "since keypoints of one image are not independent."
        )
    return None


def _order(fault: Fault, evidence: Evidence) -> int:
    """Place in `FAULTS`; heavy tails come before a wrong spread unless the bulk is clearly overconfident."""
    codes = tuple(FAULTS)
    if fault.code == "heavy_tails" and evidence.core_scale < 1.25:
        return 2 * codes.index("overconfident") - 1
    return 2 * codes.index(fault.code)
