"""What clinicians read from the keypoints, and how well two sets of such readings agree.

Angles need no pixel spacing; lengths are relative.
"""

from dataclasses import dataclass, fields
from math import isfinite

import numpy as np
from numpy.typing import NDArray
from scipy.special import fdtri, stdtrit

from mahtdiag.anatomy.geometry import known_points
from mahtdiag.schema.skeleton import CORNERS_PER_VERTEBRA, LL, LR, UL, UR, Skeleton

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_FACING_DEG = 10.0
_LORDOSIS = ("L1", "S1")


@dataclass(frozen=True, slots=True)
class LateralMeasurements:
    """Measurements of N lateral images of V vertebrae, B of them bodies; NaN where a keypoint is missing.

    `slip_percent` `[N, V−1]` (L1/L2 … L5/S1): displacement of the upper vertebra's posterior-inferior corner
    along the lower vertebra's upper endplate, in percent of that endplate; anterolisthesis positive. Where
    the facing is unknown: size of the mean displacement of both corners, unsigned.
    `lordosis_deg` `[N]`: L1 upper to S1 upper endplate, lordosis positive; NaN without these two.
    `segmental_deg` `[N, V−1]`: upper endplate to the next upper endplate; from L1 on they add up to the
    lordosis. Unsigned where the facing is unknown. `disc_height_index` `[N, V−1]`: mean distance of the
    corners across the disc over the mean height of the bodies around it (L5's alone for L5/S1). `wedging`
    `[N, B]`: anterior over posterior height; the smaller over the larger where the facing is unknown.
    """

    slip_percent: Floats
    lordosis_deg: Floats
    segmental_deg: Floats
    disc_height_index: Floats
    wedging: Floats


@dataclass(frozen=True, slots=True)
class FrontalMeasurements:
    """Measurements of N AP images of V vertebrae, B of them bodies; NaN where a keypoint is missing.

    `cobb_deg` `[N]`: largest angle between any two endplates. `lateral_slip_percent` `[N, V−1]`: mean
    displacement of the two lower corners against the ends of the next upper endplate, along it, in percent of
    its length, positive to the right of the image. `tilt_deg` `[N, B]`: line through the middles of the left
    and the right side against the horizontal, positive where the right side is lower.
    """

    cobb_deg: Floats
    lateral_slip_percent: Floats
    tilt_deg: Floats


@dataclass(frozen=True, slots=True)
class MeasuredColumn:
    """One measurement of one level over all images, as tables and agreement statistics want it."""

    name: str
    level: str
    unit: str
    values: Floats


_UNITS = {"percent": "%", "deg": "°"}


def measurement_columns(
    measured: LateralMeasurements | FrontalMeasurements, skeleton: Skeleton
) -> tuple[MeasuredColumn, ...]:
    """Every measurement as columns of length N, named with the level it belongs to."""
    names = skeleton.vertebrae
    columns = []
    for field in fields(measured):
        values: Floats = getattr(measured, field.name)
        unit = _UNITS.get(field.name.rsplit("_", 1)[-1], "")
        if values.ndim == 1:
            first, last = _LORDOSIS if field.name == "lordosis_deg" else (names[0], names[-1])
            columns.append(MeasuredColumn(field.name, f"{first}–{last}", unit, values))
            continue
        levels = names if field.name in ("wedging", "tilt_deg") else skeleton.levels[len(names) :]
        columns += [MeasuredColumn(field.name, levels[n], unit, values[:, n]) for n in range(values.shape[1])]
    return tuple(columns)


def _endplate_tilt_deg(points_px: Floats) -> Floats:
    """Slope of every endplate `[N, E]`, right end lower positive; NaN where it has no direction."""
    along = points_px[:, 1::2] - points_px[:, 0::2]
    tilt = np.degrees(np.arctan2(along[..., 1], along[..., 0]))
    return np.where((along == 0).all(axis=-1), np.nan, tilt)


def _within_half_turn(angle_deg: Floats) -> Floats:
    """The same angle between −180 and 180°."""
    return (angle_deg + 180.0) % 360.0 - 180.0


def facing_from_lordosis(points_px: Floats, skeleton: Skeleton) -> Ints:
    """Which side of a lateral image is anterior, `[N]`: +1 right, −1 left, 0 unknown.

    The lumbar spine is lordotic: the sacrum's endplate falls towards the front against that of L1. Unknown
    below 10° between the two, or where one is missing.
    """
    bend = _bend_deg(known_points(points_px), skeleton)
    return np.where(np.abs(bend) >= _FACING_DEG, np.sign(bend), 0.0).astype(np.int64)


def _bend_deg(points_px: Floats, skeleton: Skeleton) -> Floats:
    """Angle from L1's to S1's upper endplate `[N]`, positive clockwise on screen; NaN without one of them."""
    if not set(_LORDOSIS) <= set(skeleton.vertebrae):
        return np.full(len(points_px), np.nan)
    tilt = _endplate_tilt_deg(points_px)
    above, below = (2 * skeleton.vertebrae.index(name) for name in _LORDOSIS)
    return _within_half_turn(tilt[:, below] - tilt[:, above])


def _along_endplate(moved: Floats, start: Floats, end: Floats) -> Floats:
    """Component of `moved` along start→end over its length; NaN for an endplate without length."""
    endplate = end - start
    square = (endplate**2).sum(axis=-1)
    share: Floats = (moved * endplate).sum(axis=-1) / np.where(square > 0, square, np.nan)
    return share


def _slip_left_and_right(points_px: Floats) -> tuple[Floats, Floats]:
    """Displacement at the left and the right corner along the next upper endplate, towards the right."""
    lower_left, lower_right = points_px[:, LL:-2:4], points_px[:, LR:-2:4]
    upper_left, upper_right = points_px[:, 4::4], points_px[:, 5::4]
    left = _along_endplate(lower_left - upper_left, upper_left, upper_right)
    right = _along_endplate(lower_right - upper_right, upper_left, upper_right)
    return left, right


def _corners(points_px: Floats, skeleton: Skeleton) -> tuple[Floats, ...]:
    """Upper left, upper right, lower left and lower right corners of the bodies, `[N, B, 2]` each."""
    bodies = points_px[:, : skeleton.body_keypoints]
    return tuple(bodies[:, corner::CORNERS_PER_VERTEBRA] for corner in (UL, UR, LL, LR))


def measure_lateral(points_px: Floats, skeleton: Skeleton, facing: Ints) -> LateralMeasurements:
    """All lateral measurements of `[N, K, 2]` points; `facing` `[N]`: +1 anterior right, −1 left, 0 unknown.

    Compare a prediction with its label under one facing, the label's.
    """
    points_px = known_points(points_px)
    side = facing[:, None].astype(np.float64)
    left_slip, right_slip = _slip_left_and_right(points_px)
    # Facing right, the posterior corner is the left one and forwards is rightwards.
    slip = np.where(side > 0, left_slip, -right_slip)
    slip = np.where(side == 0, np.abs(left_slip + right_slip) / 2, slip)
    tilt = _endplate_tilt_deg(points_px)[:, 0::2]
    segmental, lordosis = _within_half_turn(np.diff(tilt, axis=1)), _bend_deg(points_px, skeleton)
    upper_left, upper_right, lower_left, lower_right = _corners(points_px, skeleton)
    left = np.linalg.norm(lower_left - upper_left, axis=-1)
    right = np.linalg.norm(lower_right - upper_right, axis=-1)
    wedging = np.where(side > 0, _ratio(right, left), _ratio(left, right))
    wedging = np.where(side == 0, _ratio(np.minimum(left, right), np.maximum(left, right)), wedging)
    return LateralMeasurements(
        slip_percent=100.0 * slip,
        lordosis_deg=np.where(facing == 0, np.abs(lordosis), facing * lordosis),
        segmental_deg=np.where(side == 0, np.abs(segmental), side * segmental),
        disc_height_index=_disc_height_index(points_px, (left + right) / 2),
        wedging=wedging,
    )


def _ratio(one: Floats, other: Floats) -> Floats:
    return one / np.where(other > 0, other, np.nan)


def _disc_height_index(points_px: Floats, heights: Floats) -> Floats:
    """After Masuda et al., Spine 30:5, 2005: mean of the two corner distances over the mean body height."""
    lower = np.stack([points_px[:, LL:-2:4], points_px[:, LR:-2:4]], axis=-2)
    upper = np.stack([points_px[:, 4::4], points_px[:, 5::4]], axis=-2)
    disc = np.linalg.norm(upper - lower, axis=-1).mean(axis=-1)
    # Below the last body is no other, but there may be a disc.
    above, below = heights[:, : disc.shape[1]], np.concatenate([heights[:, 1:], heights[:, -1:]], axis=1)
    return _ratio(disc, (above + below[:, : disc.shape[1]]) / 2)


def measure_frontal(points_px: Floats, skeleton: Skeleton) -> FrontalMeasurements:
    """All AP measurements of `[N, K, 2]` points."""
    points_px = known_points(points_px)
    tilt = _endplate_tilt_deg(points_px)
    # Largest difference of directions: with one endplate missing the largest is unknown, so NaN carries over.
    between = _within_half_turn(tilt[:, :, None] - tilt[:, None, :])
    left_slip, right_slip = _slip_left_and_right(points_px)
    upper_left, upper_right, lower_left, lower_right = _corners(points_px, skeleton)
    across = (upper_right + lower_right) / 2 - (upper_left + lower_left) / 2
    return FrontalMeasurements(
        cobb_deg=np.abs(between).max(axis=(1, 2)),
        lateral_slip_percent=50.0 * (left_slip + right_slip),
        tilt_deg=np.where(
            (across == 0).all(axis=-1), np.nan, np.degrees(np.arctan2(across[..., 1], across[..., 0]))
        ),
    )


def meyerding_grade(slip_percent: Floats) -> Ints:
    """Grade of a slip by its size: 1 below 25 %, 2 below 50, 3 below 75, 4 up to 100, 5 above; 0 if unknown.

    Meyerding, Surgery, Gynecology & Obstetrics 54:371, 1932; V is spondyloptosis.
    """
    size = np.abs(slip_percent)
    grade = 1 + (size >= 25).astype(np.int64) + (size >= 50) + (size >= 75) + (size > 100)
    return np.where(np.isnan(size), 0, grade)


@dataclass(frozen=True, slots=True)
class BlandAltman:
    """Differences prediction − label: bias, limits of agreement, mean absolute error.

    The intervals are those of Bland and Altman: Student's t, standard error of a limit
    s·√(1/n + 1.96²/(2(n−1))). Numbers that need two pairs are NaN with one, all with none.
    """

    n: int
    bias: float
    bias_ci95: tuple[float, float]
    sd: float
    lower: float
    lower_ci95: tuple[float, float]
    upper: float
    upper_ci95: tuple[float, float]
    mean_absolute: float


@dataclass(frozen=True, slots=True)
class Icc:
    """ICC(A,1) with its 95 % interval; NaN where it is undefined (fewer than two images, no variation)."""

    n: int
    value: float
    low: float
    high: float


_Z = 1.959963984540054


def bland_altman(predicted: Floats, labelled: Floats) -> BlandAltman:
    """Bias with 95 % limits of agreement, `[N]` each, NaN pairs left out.

    bias ± 1.96 s, s the standard deviation of the differences (n − 1). Bland and Altman, Lancet 327:307,
    1986; intervals: Bland and Altman, Stat Methods Med Res 8:135, 1999.
    """
    difference = predicted - labelled
    difference = difference[np.isfinite(difference)]
    n = difference.size
    nan = float("nan")
    bias = float(difference.mean()) if n else nan
    absolute = float(np.abs(difference).mean()) if n else nan
    sd = float(difference.std(ddof=1)) if n > 1 else nan
    t = float(stdtrit(n - 1, 0.975)) if n > 1 else nan
    bias_half = t * sd / np.sqrt(n) if n > 1 else nan
    limit_half = t * sd * np.sqrt(1 / n + _Z**2 / (2 * (n - 1))) if n > 1 else nan
    lower, upper = bias - _Z * sd, bias + _Z * sd
    return BlandAltman(
        n=n,
        bias=bias,
        bias_ci95=_around(bias, bias_half),
        sd=sd,
        lower=lower,
        lower_ci95=_around(lower, limit_half),
        upper=upper,
        upper_ci95=_around(upper, limit_half),
        mean_absolute=absolute,
    )


def _around(middle: float, half: float) -> tuple[float, float]:
    return float(middle - half), float(middle + half)


def icc_a1(ratings: Floats) -> Icc:
    """Absolute agreement of single ratings, two-way random effects: ICC(A,1).

    (MSR − MSE) / (MSR + (k − 1) MSE + k (MSC − MSE)/n) with the mean squares of rows (images), columns (the
    k raters) and error. `ratings` is `[N, k]`; rows with a NaN are left out. Value and interval: McGraw and
    Wong, Psychological Methods 1:30, 1996, tables 4 and 7 (the value is ICC(2,1) of Shrout and Fleiss, 1979).
    The interval is NaN where nothing but the raters' means differs.
    """
    ratings = ratings[np.isfinite(ratings).all(axis=1)]
    n, k = ratings.shape
    nan = float("nan")
    if n < 2 or k < 2:
        return Icc(n, nan, nan, nan)
    mean, rows, columns = ratings.mean(), ratings.mean(axis=1), ratings.mean(axis=0)
    msr = k * float(((rows - mean) ** 2).sum()) / (n - 1)
    msc = n * float(((columns - mean) ** 2).sum()) / (k - 1)
    mse = float(((ratings - rows[:, None] - columns + mean) ** 2).sum()) / ((n - 1) * (k - 1))
    total = msr + (k - 1) * mse + k * (msc - mse) / n
    noise = 1e-20 * float((ratings**2).mean())
    if total <= noise:
        return Icc(n, nan, nan, nan)
    value = (msr - mse) / total
    if (mse <= noise and msc <= noise) or value >= 1:
        return Icc(n, 1.0, 1.0, 1.0)
    low, high = _icc_interval(value, msr, msc, mse, n, k)
    return Icc(n, value, low, high)


def _icc_interval(value: float, msr: float, msc: float, mse: float, n: int, k: int) -> tuple[float, float]:
    """95 % interval of ICC(A,1): McGraw and Wong, table 7, Satterthwaite's degrees of freedom v."""
    a = k * value / (n * (1 - value))
    b = 1 + k * value * (n - 1) / (n * (1 - value))
    if mse == 0 and a * msc == 0:
        return float("nan"), float("nan")
    pooled = (a * msc) ** 2 / (k - 1) + (b * mse) ** 2 / ((n - 1) * (k - 1))
    v = (a * msc + b * mse) ** 2 / pooled
    above, below = float(fdtri(n - 1, v, 0.975)), float(fdtri(v, n - 1, 0.975))
    rest = k * msc + (k * n - k - n) * mse
    # With hardly any degrees of freedom a quantile overflows; the bounds then are its limits.
    low = n * (msr - above * mse) / (above * rest + n * msr) if isfinite(above) else -n * mse / rest
    high = n * (below * msr - mse) / (rest + n * below * msr) if isfinite(below) else 1.0
    return low, high


def confusion_table(labelled: Ints, predicted: Ints, classes: tuple[int, ...]) -> Ints:
    """Counts `[class of label, class of prediction]`; pairs with a class that is not listed are left out."""
    table = np.zeros((len(classes), len(classes)), dtype=np.int64)
    for row, one in enumerate(classes):
        for column, other in enumerate(classes):
            table[row, column] = int(((labelled == one) & (predicted == other)).sum())
    return table
