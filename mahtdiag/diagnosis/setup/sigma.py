"""The check of how the network's own σ is read: what the head emits, and in which unit."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mahtdiag.diagnosis.setup.check import Facts, Outcome, fine, not_checked, too_few
from mahtdiag.diagnosis.setup.explanations import chance
from mahtdiag.diagnosis.setup.mistakes import MOST_IMAGES
from mahtdiag.schema.choices import UncertaintyFrame, UncertaintyKind, UncertaintySource
from mahtdiag.schema.setup import SetupStatus

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

MOST_NEGATIVE = 0.01
_CONSTANT = 1e-3
# Median |z| of a normal distribution.
_NORMAL_MEDIAN = 0.6745
_OFF, _FITS = 1.6, 1.25
_CHANCE = 0.005
# Heavy tails, as errors of networks have them.
_DEGREES = 4
_FEWEST = 10
_MOST_KNOWN = 0.9
_ASYMMETRY = 1e-3
_FALLS = -0.1
_WORDS: Mapping[UncertaintyFrame, str] = {
    UncertaintyFrame.INPUT: "model-input pixels",
    UncertaintyFrame.HEATMAP: "heatmap cells",
    UncertaintyFrame.ORIGINAL: "original pixels",
    UncertaintyFrame.UNIT: "shares of the input",
    UncertaintyFrame.SIGNED_UNIT: "shares of half the input",
}


@dataclass(frozen=True, slots=True)
class _Form:
    """What a head may emit: in words, what to type, and how σ and what was emitted follow from each other."""

    words: str
    advice: str
    sigma: Callable[[Floats], Floats]
    emitted: Callable[[Floats], Floats]


_FORMS: Mapping[UncertaintyKind, _Form] = {
    UncertaintyKind.LOG_SIGMA: _Form("log σ", "--uncertainty-as log_sigma", np.exp, np.log),
    UncertaintyKind.SIGMA: _Form(
        "σ", "--uncertainty-as sigma", lambda v: np.where(v > 0, v, np.nan), lambda s: s
    ),
    UncertaintyKind.LOG_VAR: _Form(
        "log variance", "--uncertainty-as log_var", lambda v: np.exp(v / 2), lambda s: 2 * np.log(s)
    ),
    UncertaintyKind.VAR: _Form(
        "variance", "--uncertainty-as var", lambda v: np.sqrt(np.where(v > 0, v, np.nan)), np.square
    ),
}
# By its variances; nothing else has the shape of a covariance.
_COVARIANCE = _Form("covariance", "", _FORMS[UncertaintyKind.VAR].sigma, np.square)


@dataclass(frozen=True, slots=True)
class _Unit:
    """A unit that σ may be in: in words, what to type, and original pixels per unit `[N, 1, 2]`."""

    words: str
    advice: str
    px: Floats


@dataclass(frozen=True, slots=True)
class _Reading:
    """A way to read the head: how well it fits, and by how many words it differs from the one in force."""

    words: str
    advice: str
    core: float
    likelihood: Floats
    changes: int


def judge_head(facts: Facts) -> Outcome | None:
    """Whether σ is negative, constant, of another kind or unit than it is read as, or falls as errors grow.

    Another reading is named where the core of σ (median |error/σ| over that of a normal distribution) is off
    by more than 1.6, the other's is within 1.25, and errors are likelier under it in a paired test over
    images (Student's t with 4 degrees of freedom). Whether σ that is read rightly is honest is a matter of
    `mahtdiag calibration`.
    """
    spec, look, table = facts.spec, facts.inspection, facts.table
    if spec is None or spec.uncertainty.kind is None:
        return None
    if spec.uncertainty.source not in (UncertaintySource.AUTO, UncertaintySource.HEAD):
        return None
    kind = spec.uncertainty.kind
    if kind is UncertaintyKind.COV and (share := _share_of_no_covariances(facts)) > MOST_NEGATIVE:
        return Outcome(
            SetupStatus.WRONG,
            f"{100 * share:.3g} % of the head's matrices are no covariances: not symmetric, or not positive "
            "definite",
            "return covariances, L·Lᵀ of Cholesky factors L, xx, xy, yy in this order; or --uncertainty none",
            refused=True,
        )
    if kind in (UncertaintyKind.SIGMA, UncertaintyKind.VAR):
        share = _negative_share(facts)
        log = UncertaintyKind.LOG_SIGMA if kind is UncertaintyKind.SIGMA else UncertaintyKind.LOG_VAR
        if share > MOST_NEGATIVE:
            return Outcome(
                SetupStatus.WRONG,
                f"{100 * share:.3g} % of the head's values are negative, read as {_FORMS[kind].words}: is it "
                f"{_FORMS[log].words}?",
                _FORMS[log].advice,
                refused=True,
            )
    if look is not None and look.head is not None and look.head.size > 1 and np.ptp(look.head) < _CONSTANT:
        return Outcome(
            SetupStatus.WARNING,
            f"the head gives one value, {float(np.median(look.head)):.3g}, for every keypoint of every image",
            "was the head trained? --uncertainty heatmap takes σ from the heatmaps",
        )
    if table.conditions.sigma_source != UncertaintySource.HEAD or table.conditions.sigma_factors is not None:
        return not_checked("σ is not the head's alone")
    if len(table) < _FEWEST:
        return too_few(len(table), _FEWEST)
    if facts.explained.found is not None:
        return not_checked(f"{facts.explained.found.explanation.check} comes first")
    return _falling(facts, _compared(facts, kind, spec.uncertainty.frame))


def _share_of_no_covariances(facts: Facts) -> float:
    """Of the first images' matrices `[..., 2, 2]` or (xx, xy, yy) `[..., 3]`, those that are none."""
    head = None if facts.inspection is None else facts.inspection.head
    if head is None or not head.size:
        return 0.0
    xx, xy, yx, yy = np.moveaxis(
        head.reshape(*head.shape[:2], 4) if head.ndim == 4 else head[..., [0, 1, 1, 2]], -1, 0
    )
    with np.errstate(all="ignore"):
        apart = np.abs(xy - yx) > _ASYMMETRY * np.maximum(np.abs(xx), np.abs(yy))
        return float((apart | ~(xx > 0) | ~(yy > 0) | ~(xx * yy > xy * yx)).mean())


def _falling(facts: Facts, otherwise: Outcome) -> Outcome:
    """Told where σ is the smaller the larger errors are, by ranks and beyond chance over images."""
    error = np.linalg.norm(facts.places.pred_px - facts.places.label_px, axis=-1)
    sigma = facts.table.sigma_px.prod(-1)
    known = np.isfinite(error) & np.isfinite(sigma)
    if not known.any():
        return otherwise
    ranks = [np.unique(values[known], return_inverse=True)[1].astype(np.float64) for values in (error, sigma)]
    a, b = (rank - rank.mean() for rank in ranks)
    scale = float(np.sqrt((a**2).mean() * (b**2).mean()))
    if scale == 0:
        return otherwise
    product = np.full(error.shape, np.nan)
    product[known] = a * b / scale
    by_image = np.nanmean(product[known.any(axis=1)], axis=1)
    correlation = float(np.nanmean(product))
    if correlation > _FALLS or not _likelier(-by_image):
        return otherwise
    return Outcome(
        SetupStatus.WRONG if otherwise.status is SetupStatus.WRONG else SetupStatus.WARNING,
        f"{otherwise.evidence}; the larger σ is, the smaller are errors (rank correlation "
        f"{correlation:.2f}): is it a precision, 1/σ or 1/σ²?",
        "return σ, or --uncertainty heatmap",
    )


def _negative_share(facts: Facts) -> float:
    shares = [0.0]
    if facts.inspection is not None and facts.inspection.head is not None:
        shares.append(float((facts.inspection.head < 0).mean()))
    if len(facts.table):
        shares.append(float(np.isnan(facts.table.sigma_px).mean()))
    return max(shares)


def _units(facts: Facts, rows: Ints) -> list[_Unit]:
    """The units that σ may be in; empty where the run does not say how images became heatmaps."""
    frames = facts.table.conditions.frames
    if frames is None:
        return []
    input_px, cell_px = np.full((2, len(facts.table), 1, 2), np.nan)
    for frame, places in facts.table.frames():
        input_px[places], cell_px[places] = 1.0 / frame.input_per_original, frame.original_per_cell
    input_px, cell_px = input_px[rows], cell_px[rows]
    px = {
        UncertaintyFrame.INPUT: input_px,
        UncertaintyFrame.HEATMAP: cell_px,
        UncertaintyFrame.ORIGINAL: np.ones_like(input_px),
        UncertaintyFrame.UNIT: input_px * frames.network_input.xy,
        UncertaintyFrame.SIGNED_UNIT: input_px * frames.network_input.xy / 2,
    }
    return [_Unit(words, f"--uncertainty-frame {frame}", px[frame]) for frame, words in _WORDS.items()]


def _compared(facts: Facts, kind: UncertaintyKind, frame: UncertaintyFrame) -> Outcome:
    """The reading in force against every other of what the head emits."""
    count = len(facts.table)
    rows = np.linspace(0, count - 1, min(count, MOST_IMAGES)).astype(np.int64)
    units = {unit.words: unit for unit in _units(facts, rows)}
    covariances = kind is UncertaintyKind.COV
    own = _COVARIANCE if covariances else _FORMS[kind]
    now = units.get(_WORDS[frame])
    if now is None:
        return not_checked("the run does not say how images became heatmaps")
    error_px = (facts.places.pred_px - facts.places.label_px)[rows]
    with np.errstate(all="ignore"):
        in_force = _read(facts.table.sigma_px[rows], error_px, f"{own.words} in {now.words}", ())
        evidence = f"read as {in_force.words}: errors are {in_force.core:.2f} σ where 1 is meant (median)"
        if not np.isfinite(in_force.core):
            return not_checked("no labelled keypoint with a σ")
        if 1 / _OFF <= in_force.core <= _OFF:
            return fine(evidence)
        emitted = own.emitted(facts.table.sigma_px[rows] / now.px)
        others = [
            _read(
                form.sigma(emitted) * unit.px,
                error_px,
                f"{form.words} in {unit.words}",
                (*(() if other is kind else (form.advice,)), *(() if unit is now else (unit.advice,))),
            )
            for other, form in ({kind: own} if covariances else _FORMS).items()
            for unit in units.values()
            if other is not kind or unit is not now
        ]
    better = [
        other
        for other in others
        if 1 / _FITS <= other.core <= _FITS and _likelier(other.likelihood - in_force.likelihood)
    ]
    if not better:
        return fine(f"{evidence}; no other reading fits better (see mahtdiag calibration)")
    best, *rest = sorted(better, key=lambda each: (each.changes, -float(np.nanmean(each.likelihood))))
    beside = [other.words for other in rest if other.changes == best.changes]
    as_well = f" ({' or '.join(beside)} would do as well)" if beside else ""
    # A factor between units is a factor: σ that is read rightly may be off by as much.
    kept = "" if best.changes > 1 or "-as" in best.advice else "; if that is not so, σ is off by this factor"
    found = f"{evidence}; as {best.words} they are {best.core:.2f} σ{as_well}{kept}"
    return Outcome(SetupStatus.WRONG, found, best.advice)


def _read(sigma_px: Floats, error_px: Floats, words: str, advice: tuple[str, ...]) -> _Reading:
    z = error_px / sigma_px
    # A reading that leaves keypoints without a σ fits the others at their expense.
    known = np.isfinite(z).mean() >= _MOST_KNOWN * np.isfinite(error_px).mean()
    core = float(np.nanmedian(np.abs(z)) / _NORMAL_MEDIAN) if known and np.isfinite(z).any() else np.nan
    # Log density of Student's t, less what no reading changes.
    log_density = -(_DEGREES + 1) / 2 * np.log1p(z**2 / _DEGREES) - np.log(sigma_px)
    likelihood = np.full(len(z), np.nan)
    rows = np.isfinite(log_density).any(axis=(1, 2))
    likelihood[rows] = np.nanmean(log_density[rows], axis=(1, 2))
    return _Reading(words, " and ".join(advice), core, likelihood, len(advice))


def _likelier(difference: Floats) -> bool:
    known = difference[np.isfinite(difference)]
    return known.size > 1 and chance(known) < _CHANCE
