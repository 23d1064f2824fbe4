"""What follows from the columns of a run's table, one function each."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mahtdiag.anatomy.error_types import ErrorType, ErrorTypes, classify_errors, whole_image_level_shift
from mahtdiag.diagnosis.error_scales import diagonal_px, percent_of
from mahtdiag.diagnosis.sigma_covariance import covariance_of_sigma
from mahtdiag.schema.choices import UncertaintySource

if TYPE_CHECKING:
    from mahtdiag.diagnosis.run_table import RunTable

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


def level_shift(table: "RunTable") -> Ints:
    """By how many levels each image is marked off as a whole, `[N]`."""
    return table.by_parts(lambda part: whole_image_level_shift(part.pred_px, part.gt_px, part.skeleton))


def units(table: "RunTable") -> Ints:
    """Patients numbered as they appear; an image of unknown patient is a patient of its own."""
    if not table.has(type(table).patient) or not any(table.patient):
        return np.arange(len(table))
    known: dict[str | int, int] = {}
    return np.array([known.setdefault(p or row, len(known)) for row, p in enumerate(table.patient)], np.int64)


def urgency(table: "RunTable") -> Floats:
    """How much each image wants a look, `[N]`: its mean error; severity where nothing is labelled."""
    return table.radial_error_px if table.labelled else table.findings.image_severity()


def label_codes(table: "RunTable") -> tuple[tuple[str, ...], ...]:
    """Codes that the rules and limits in force find in each label."""
    return table.label_findings.codes_per_image()


def covariance_px2(table: "RunTable") -> Floats | None:
    """Covariance of σ, `[N, K, 2, 2]`: that of a head, or the heatmap's spread; else None."""
    of, source = type(table), table.conditions.sigma_source
    known = [table.has(column) for column in (of.head_covariance_px2, of.averaged_px2)]
    head = table.head_covariance_px2 if known[0] and source == UncertaintySource.HEAD else None
    from_heatmap = source == UncertaintySource.HEATMAP
    averaged = table.averaged_px2 if known[1] and from_heatmap else None
    spread = table.spread_px2 if from_heatmap else None
    return covariance_of_sigma(source, head, spread, averaged, table.conditions.sigma_factors)


def sizes_px(table: "RunTable") -> Floats:
    """(width, height) of each image, `[N, 2]`."""
    return np.stack([table.width, table.height], axis=-1)


def error_types(table: "RunTable") -> ErrorTypes:
    """What kind of mistake each keypoint is."""
    return ErrorTypes.chain(
        [classify_errors(part.pred_px, part.gt_px, part.skeleton) for part in table.parts()]
    )


def kinds_of_error(table: "RunTable") -> NDArray[np.int8]:
    """The `ErrorType` of each keypoint, `[N, K]`: of many images in an eighth of what all of it takes."""
    return table.by_parts(lambda part: part.error_types.types)


def labelled(table: "RunTable") -> Bools:
    """Which keypoints have a label, `[N, K]`."""
    return table.by_parts(lambda part: np.asarray(np.isfinite(part.gt_px).all(axis=-1)))


def missed(table: "RunTable") -> Bools:
    """Which keypoints have a label and no prediction, `[N, K]`; none where the table has no points."""
    of = type(table)
    if not (table.has(of.gt_px) and table.has(of.pred_px)):
        return np.zeros(table.error_px.shape, dtype=np.bool_)
    return table.by_parts(lambda part: part.labelled_keypoints & ~np.isfinite(part.pred_px).all(axis=-1))


def titles(table: "RunTable") -> NDArray[np.object_]:
    """The kind of each mistake in words, `[N, K]`; None where it has none."""
    names = [None if kind is ErrorType.UNKNOWN else kind.title for kind in ErrorType]
    return np.array(names, dtype=np.object_)[table.error_types.types - min(ErrorType)]


def mean_error_input_px(table: "RunTable") -> Floats:
    """Mean radial error of each image in the network's input pixels, `[N]`."""
    errors = table.error_input_px
    known = np.isfinite(errors)
    means = np.full(len(errors), np.nan)
    with np.errstate(over="ignore"):
        total = np.where(known, errors, 0.0).sum(axis=1)
    np.divide(total, known.sum(axis=1), out=means, where=known.any(axis=1))
    return np.where(np.isfinite(means), means, np.nan)


def mean_error_diagonal_pct(table: "RunTable") -> Floats:
    """Mean radial error of each image in percent of its diagonal, `[N]`."""
    return percent_of(table.radial_error_px, diagonal_px(table))


def mean_error_width_pct(table: "RunTable") -> Floats:
    """Mean radial error of each image in percent of the mean width of its labelled vertebrae, `[N]`."""
    return percent_of(table.radial_error_px, table.vertebra_width_px)


def mean_error_height_pct(table: "RunTable") -> Floats:
    """Mean radial error of each image in percent of the height of its labelled spine, `[N]`."""
    return percent_of(table.radial_error_px, table.spine_height_px)
