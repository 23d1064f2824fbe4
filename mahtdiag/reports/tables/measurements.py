"""How well clinical measurements agree: limits, grades, codes; in tables and as plain values."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from mahtdiag.anatomy.agreement import Kappa, Share
from mahtdiag.anatomy.facing import Facing
from mahtdiag.diagnosis.measured import SLIP_PERCENT, CodedSlips, Measured, MeasuredPair
from mahtdiag.diagnosis.metrics.metric import Estimate
from mahtdiag.reports.rendering import Json
from mahtdiag.reports.tables.curves import curve_parts
from mahtdiag.reports.tables.table import INDENT, Cells, Part, Table, TableColumn, table
from mahtdiag.reports.text import ABSENT, counted, number
from mahtdiag.schema.choices import FacingSide
from mahtdiag.schema.skeleton import SPINE, Region

ROMAN = ("I", "II", "III", "IV", "V")
LARGE = 1e4


def measurement_parts(
    measured: Measured, smape: Estimate | None = None, *, all_levels: bool = True
) -> Iterator[Part]:
    """How well measurements agree, how sure their limits are, and what grades of slips are worth.

    `smape`: the score of the angles of the AASCE set, where the run has it. Of what is measured at the levels
    of several regions the level that is furthest off in each is shown, unless `all_levels` are asked for.
    """
    if not all_levels:
        measured = replace(measured, pairs=tuple(_furthest_off(measured.pairs)))
    if not any(np.isfinite(pair.labelled).any() for pair in measured.pairs):
        yield predicted_table(measured)
        return
    yield agreement_table(measured)
    yield from curve_parts(measured, smape)
    yield limits_table(measured)
    if any(pair.not_normal or pair.regression for pair in measured.pairs):
        yield other_limits_table(measured)
    if measured.meyerding is not None:
        yield meyerding_table(measured)
    if measured.coded is not None:
        yield coded_table(measured.coded)


def _furthest_off(pairs: Sequence[MeasuredPair]) -> Iterator[MeasuredPair]:
    """All measurements, but of those at many levels that with the largest mean difference in each region."""
    for _, group in groupby(pairs, key=lambda pair: pair.name):
        of_name = list(group)
        levels = [pair.level.partition("/")[0] for pair in of_name]
        if len(of_name) == 1 or not set(levels) <= set(SPINE) or len({*map(Region.of, levels)}) == 1:
            yield from of_name
            continue
        for _, in_region in groupby(zip(of_name, levels, strict=True), key=lambda each: Region.of(each[1])):
            chosen = [pair for pair, _ in in_region]
            yield max(chosen, key=lambda pair: np.nan_to_num(pair.difference.mean_absolute, nan=-1.0))


def predicted_table(measured: Measured) -> Table:
    """Each measurement of each level on predictions alone."""
    rows: list[Cells] = []
    for pair in measured.pairs:
        known, decimals = pair.predicted[np.isfinite(pair.predicted)], 1 if pair.unit else 3
        name = f"{pair.title} {pair.level}{', ' if pair.unit else ''}{pair.unit}"
        if not known.size:
            rows.append((name, "0"))
            continue
        told = np.quantile(known, [0.5, 0.0, 1.0]).tolist()
        rows.append((name, str(known.size), *(_fixed(value, decimals) for value in told)))
    facing = "" if measured.facing is None else facing_sentence(measured.facing)
    note = f"Not checked against labels. {facing}".rstrip()
    return table("Measurements of the predictions", ("", "n", "median", "least", "most"), rows, note=note)


def limits_table(measured: Measured) -> Table:
    """The limits of agreement of each measurement with their intervals."""
    rows: list[Cells] = []
    for pair in measured.pairs:
        found, decimals = pair.difference, 1 if pair.unit else 3
        rows.append(
            (
                f"{pair.title} {pair.level}",
                str(found.units),
                _known(found.lower, decimals),
                _between(*found.lower_ci95, decimals),
                _known(found.upper, decimals),
                _between(*found.upper_ci95, decimals),
            )
        )
    return table(
        "95 % limits of agreement, each with its 95 % interval",
        (TableColumn("", wraps="words"), *("units", "lower", "95 % interval", "upper", "95 % interval")),
        rows,
        note="Bland and Altman: bias ± MDC; exact for normal differences (Carkeet, 2015). Units: patients, "
        "images where none is known.",
        dense=True,
    )


def other_limits_table(measured: Measured) -> Table:
    """Limits for measurements whose differences are not normal or grow with the size."""
    rows: list[Cells] = []
    for pair in measured.pairs:
        name, decimals = f"{pair.title} {pair.level}", 1 if pair.unit else 3
        if pair.not_normal:
            found = pair.percentiles
            said = "too few" if found is None else _between(found.lower, found.upper, decimals)
            rows.append((name, "not normal", "percentiles", said))
        if pair.regression is not None:
            mean = (pair.labelled + pair.predicted) / 2
            for place in np.nanquantile(mean, [0.1, 0.9]).tolist():
                ends = _between(*pair.regression.at(place), decimals)
                rows.append((name, "grow", f"at {_fixed(place, decimals)}", ends))
    return table(
        "Differences for which these limits do not hold",
        ("", "they", "limits", ""),
        rows,
        note="By tests that err in at most 5 % of tables (Holm). Percentiles: 2.5th, 97.5th, from 39 units. "
        "Where they grow with the size: by regression (Bland and Altman, 1999), at the 10th and 90th "
        "percentile of the mean of label and prediction.",
        dense=True,
    )


def coded_table(coded: CodedSlips) -> Table:
    """Slips of labels and predictions against the codes of listhesis."""
    rows = [
        (f"{what} of {name}", *_share_cells(share))
        for name, found in (("labels", coded.labels), ("predictions", coded.predictions))
        for what, share in (("sensitivity", found.sensitivity), ("specificity", found.specificity))
    ]
    return table(
        f"Slips of {SLIP_PERCENT:g} % and more against the listhesis codes",
        ("", "", "levels", "units", "95 % interval"),
        rows,
        note="Exact intervals that count units, patients or images where none is known, not levels.",
    )


def _share_cells(share: Share) -> tuple[str, str, str, str]:
    if not share.cases:
        return ABSENT, "0", "0", ABSENT
    ends = f"{100 * share.low:.0f} to {100 * share.high:.0f} %"
    return f"{100 * share.value:.1f} %", f"{share.hits} of {share.cases}", str(share.units), ends


def agreement_table(measured: Measured) -> Table:
    """Each measurement of each level on predictions against labels."""
    columns = ("", "n", "bias", "mean |d|", "SEM", "MDC", "ICC", "95 % interval")
    rows: list[Cells] = []
    for _, group in groupby(measured.pairs, key=lambda pair: pair.name):
        pairs = list(group)
        heading = f"{pairs[0].title}{', ' if pairs[0].unit else ''}{pairs[0].unit}"
        if len(pairs) == 1:
            rows.append((heading, *_agreement(pairs[0])))
        else:
            rows += [(heading,), *((f"{INDENT}{pair.level}", *_agreement(pair)) for pair in pairs)]
    return table("Measurements: prediction − label", columns, rows, note=_caption(measured), dense=True)


def _agreement(pair: MeasuredPair) -> list[str]:
    difference, icc = pair.difference, pair.icc
    decimals = 1 if pair.unit else 3
    return [
        str(difference.n),
        _fixed(difference.bias, max(decimals, 2)),
        _fixed(difference.mean_absolute, max(decimals, 2)),
        _known(pair.sem.value, decimals),
        _known(pair.mdc.value, decimals),
        _fixed(icc.value, 2),
        _between(icc.low, icc.high, 2),
    ]


def _fixed(value: float, decimals: int) -> str:
    """So many decimals, so that a column can be compared; three digits where the number is huge."""
    return f"{value:.{decimals}f}" if abs(value) < LARGE else number(value)


def _known(value: float, decimals: int) -> str:
    return _fixed(value, decimals) if np.isfinite(value) else ABSENT


def _between(low: float, high: float, decimals: int) -> str:
    if not np.isfinite([low, high]).all():
        return ABSENT
    return f"{_fixed(low, decimals)} to {_fixed(high, decimals)}"


def _caption(measured: Measured) -> str:
    text = (
        "SEM: SD of the differences / √2, of one of the two if both err alike; MDC: 1.96 √2 SEM, a change "
        "that can be told from it; ICC(A,1), its interval over patients; – where too few images tell."
    )
    return text if measured.facing is None else f"{text} {facing_sentence(measured.facing)}"


def facing_sentence(facing: Facing) -> str:
    """Who told which way the images face, and what became of those of which nobody did."""
    if facing.given:
        return f"Facing: {FacingSide.RIGHT if facing.side.sum() > 0 else FacingSide.LEFT}, as set."
    coded, images = int(facing.by_codes.sum()), len(facing.side)
    most = max(facing.right, facing.left)
    way = FacingSide.RIGHT if facing.right > facing.left else FacingSide.LEFT
    voters = f"{most} of {counted(facing.right + facing.left, 'patient')} face {way}"
    told = images - facing.unknown - coded
    parts = [f"of {coded} by their listhesis codes"] if coded else []
    parts += [f"of {told} by the others ({voters})"] if told else []
    if not facing.unknown:
        return f"Facing: {', '.join(parts)}."
    parts.append(f"unknown of {facing.unknown} of {images} ({voters}, too few to tell)")
    what = "they have no signed numbers" if facing.signed else "all slips, angles and ratios are without sign"
    return f"Facing: {', '.join(parts)}: {what}; say --facing left or right."


def meyerding_table(measured: Measured) -> Table:
    """Meyerding grades of all levels: those of the labels against those of the predictions."""
    assert measured.meyerding is not None
    return table(
        f"Meyerding grade of the slips: {_kappa(measured.kappa)}",
        ("label \\ prediction", *ROMAN),
        ((grade, *_counts(row)) for grade, row in zip(ROMAN, measured.meyerding, strict=True)),
        note="I below 25 % (no slip included), II below 50, III below 75, IV to 100, V above. "
        "Weighted kappa: squared distances; its interval needs 10 patients with a grade above I.",
    )


def _kappa(kappa: Kappa | None) -> str:
    """Agreement beyond chance in words; most levels are of grade I: a share of agreement says little."""
    if kappa is None or not np.isfinite(kappa.value):
        return "all of one grade, agreement beyond chance is undefined"
    said = f"weighted kappa {kappa.value:.2f}"
    if not np.isfinite([kappa.low, kappa.high]).all():
        return f"{said} (too few for an interval), {kappa.cases} levels"
    return f"{said} ({kappa.low:.2f} to {kappa.high:.2f}), {kappa.cases} levels"


def _counts(row: Sequence[int] | NDArray[np.int64]) -> list[str]:
    return [str(int(count)) if count else "·" for count in row]


def measurement_content(measured: Measured) -> dict[str, Json]:
    """The same as plain values; what is not known is None."""
    return {
        "measurements": [_pair(pair) for pair in measured.pairs],
        "meyerding": _meyerding(measured),
        "meyerding_kappa": _kappa_content(measured.kappa),
        "listhesis": _coded(measured.coded),
        "facing": _facing(measured.facing),
    }


def _pair(pair: MeasuredPair) -> Json:
    difference, icc = pair.difference, pair.icc
    return {
        "name": pair.name,
        "level": pair.level,
        "unit": pair.unit,
        "images": difference.n,
        "units": difference.units,
        "bias": known_value(difference.bias),
        "bias_ci95": known_interval(difference.bias_ci95),
        "limits_of_agreement": known_interval((difference.lower, difference.upper)),
        "lower_limit_ci95": known_interval(difference.lower_ci95),
        "upper_limit_ci95": known_interval(difference.upper_ci95),
        "not_normal": pair.not_normal,
        "percentile_limits": None if pair.percentiles is None else {**asdict(pair.percentiles)},
        "regression_limits": None if pair.regression is None else {**asdict(pair.regression)},
        "mean_absolute_error": known_value(difference.mean_absolute),
        "sem": known_value(pair.sem.value),
        "sem_ci95": known_interval((pair.sem.low, pair.sem.high)),
        "mdc": known_value(pair.mdc.value),
        "mdc_ci95": known_interval((pair.mdc.low, pair.mdc.high)),
        "icc": known_value(icc.value),
        "icc_ci95": known_interval((icc.low, icc.high)),
    }


def _facing(facing: Facing | None) -> Json:
    """How many images face which way, and who told; null in AP."""
    if facing is None:
        return None
    return {
        "right": int((facing.side > 0).sum()),
        "left": int((facing.side < 0).sum()),
        "unknown": facing.unknown,
        "given": facing.given,
        "by_codes": int(facing.by_codes.sum()),
        "patients_right": facing.right,
        "patients_left": facing.left,
        "signed": facing.signed,
    }


def _kappa_content(kappa: Kappa | None) -> Json:
    if kappa is None:
        return None
    interval = known_interval((kappa.low, kappa.high))
    return {"levels": kappa.cases, "value": known_value(kappa.value), "ci95": interval}


def _coded(coded: CodedSlips | None) -> Json:
    """Slips of 5 % and more against the codes of listhesis; null where the run has none."""
    if coded is None:
        return None

    def share(of: Share) -> Json:
        told = {"levels": of.cases, "found": of.hits, "units": of.units}
        return {**told, "value": known_value(of.value), "ci95": [of.low, of.high] if of.cases else None}

    return {
        name: {"sensitivity": share(found.sensitivity), "specificity": share(found.specificity)}
        for name, found in (("labels", coded.labels), ("predictions", coded.predictions))
    }


def _meyerding(measured: Measured) -> Json:
    """Rows are the grades I to V of the labels, columns those of the predictions; null in AP."""
    if measured.meyerding is None:
        return None
    return [[int(count) for count in row] for row in measured.meyerding]


def known_value(value: float) -> float | None:
    """A number, None where it is not known."""
    return value if math.isfinite(value) else None


def known_interval(bounds: tuple[float, float]) -> Json:
    """Both ends, None where they are not known."""
    return [*bounds] if all(map(math.isfinite, bounds)) else None
