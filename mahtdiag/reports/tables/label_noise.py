"""What two labellings of the same images say of each other, in tables and as plain values."""

import math
from collections.abc import Iterator
from dataclasses import asdict
from itertools import groupby

from mahtdiag.diagnosis.label_noise import CopiedPairs, Disagreement, LabelNoise, Repeatability
from mahtdiag.diagnosis.labelled_twice import FEWEST_KEYPOINTS
from mahtdiag.diagnosis.measured import TITLES
from mahtdiag.diagnosis.metrics.errors import THRESHOLDS
from mahtdiag.diagnosis.run_table import RunTable
from mahtdiag.reports.rendering import Json
from mahtdiag.reports.tables.table import INDENT, Cell, Cells, Line, Part, Style, Table, table
from mahtdiag.reports.text import counted, images_of, interval, number, percent, pixels
from mahtdiag.statistics.spread import Bounded


def noise_parts(noise: LabelNoise, judged: RunTable | None) -> Iterator[Part]:
    """Readers' disagreement, what it makes of success rates (of a run), and of measurements."""
    yield disagreement_table(noise)
    if judged is not None:
        yield _rates(noise, judged)
    if noise.measurements:
        yield _measurements(noise.measurements)
    yield from unmatched_parts(noise)


def unmatched_parts(noise: LabelNoise) -> Iterator[Part]:
    """How many images have no second labelling, or copies no labelling of their own, if any."""
    if noise.copies is not None:
        yield from _left_out(noise.copies)
    if noise.unmatched:
        yield Line(f"{counted(noise.unmatched, 'image')} without a second labelling.\n")


def _left_out(copies: CopiedPairs) -> Iterator[Line]:
    if copies.same_labels:
        yield Line(
            f"Left out: {counted(copies.same_labels, 'pair')} of copies with the same labels, copied too.\n"
        )
    if copies.too_few:
        yield Line(
            f"Left out: {counted(copies.too_few, 'pair')} of copies with fewer than {FEWEST_KEYPOINTS} "
            "keypoints in both.\n"
        )


def disagreement_table(noise: LabelNoise) -> Table:
    rows: list[Cells | None] = [_row(f"all, {each.unit}", each) for each in noise.whole]
    rows += [None, *(_row(each.name, each) for each in noise.keypoints if each.pairs)]
    patients = noise.units if noise.units < noise.images else None
    title = f"Two readers: {images_of(noise.images, patients)}, second labels {noise.subject}"
    if noise.copies is not None:
        title = f"Labelled twice: {counted(noise.images, 'pair')} found"
        title += "" if patients is None else f", {counted(patients, 'patient')}"
    return table(
        title,
        ("keypoint", "mean", "95 % interval", "median", "bias x", "bias y", "SEM x", "SEM y"),
        rows,
        note="Radial distance of both readers' points; bias: second − first; SEM: of one reader, SD / √2.",
        dense=True,
    )


def marked_rate(label: str, path: tuple[str, ...], noise: LabelNoise | None) -> str:
    """The words of a success rate, with a mark where its threshold is below the readers' own distance."""
    if noise is None or not path[-2].startswith("sdr_"):
        return label
    below = (path[-2].removeprefix("sdr_"), float(path[-1])) in set(noise.below())
    return f"{label} (label noise)" if below else label


def floor_note(noise: LabelNoise | None) -> str:
    """What the mark says, where a rate has it."""
    if noise is None or not any(noise.below()):
        return ""
    floors = " or ".join(f"{pixels(each.mean.value)} {each.unit}" for each in noise.whole)
    return f"Label noise: the threshold is below the mean distance of two readers, {floors}."


def _row(name: str, of: Disagreement) -> Cells:
    return (
        name,
        pixels(of.mean.value),
        _interval(of.mean),
        pixels(of.median),
        *(number(value) for value in (*of.bias, *of.sem)),
    )


def _interval(of: Bounded) -> str:
    return interval((of.low, of.high) if math.isfinite(of.low) else None)


def _rates(noise: LabelNoise, judged: RunTable) -> Table:
    """Success rates of the run; those below the readers' own distance measure the labels."""
    below = set(noise.below())
    rows: list[Cells] = []
    # Millimetres lead where they are known.
    for unit, thresholds in reversed(THRESHOLDS.items()):
        floor = noise.floor(unit)
        errors = judged.error_px if unit == "px" else judged.error_mm
        known = errors[errors == errors]
        if floor is None or not known.size:
            continue
        for at in thresholds:
            share = percent(float((known <= at).mean()))
            what = Cell("label noise", Style.DOUBTFUL) if (unit, at) in below else Cell("above the noise")
            rows.append((f"within {at:g} {unit}", share, f"{pixels(floor)} {unit}", what))
    return table(
        "Success rates beside the distance of two readers",
        ("", "run", "readers", "measures"),
        rows,
        note="label noise: the threshold is below the mean distance of two readers.",
    )


def _measurements(found: tuple[Repeatability, ...]) -> Table:
    rows: list[Cells] = []
    for _, group in groupby(found, key=lambda each: each.name):
        levels = list(group)
        title = f"{TITLES[levels[0].name]}{', ' if levels[0].unit else ''}{levels[0].unit}"
        if len(levels) > 1:
            rows.append((title,))
        rows += [
            (
                title if len(levels) == 1 else f"{INDENT}{each.level}",
                str(each.n),
                number(each.bias),
                interval(each.limits if math.isfinite(each.limits[0]) else None),
                number(each.sem.value),
                number(each.mdc.value),
                _interval(each.mdc),
            )
            for each in levels
        ]
    return table(
        "Measurements by two readers: second − first",
        ("", "n", "bias", "95 % limits", "SEM", "MDC", "95 % interval"),
        rows,
        note="Limits of agreement (Bland and Altman); SEM: SD of the differences / √2; MDC: 1.96 √2 SEM, the "
        "change that can be told from noise, with its interval; that of SEM is as wide.",
        dense=True,
    )


def noise_content(noise: LabelNoise) -> dict[str, Json]:
    """The same for programs; what is not known is None."""
    return {
        "labels2": noise.subject if noise.copies is None else None,
        **({} if noise.copies is None else {"copies_left_out": {**asdict(noise.copies)}}),
        "images": noise.images,
        "units": noise.units,
        "unmatched": noise.unmatched,
        "floor": {each.unit: _known(each.mean.value) for each in noise.whole},
        "whole": [_content(each) for each in noise.whole],
        "keypoints": [_content(each) for each in noise.keypoints],
        "below_noise": [{"unit": unit, "threshold": at} for unit, at in noise.below()],
        "measurements": [
            {
                "measurement": each.name,
                "level": each.level,
                "unit": each.unit,
                "n": each.n,
                "bias": _known(each.bias),
                "limits_of_agreement": None if _known(each.limits[0]) is None else [*each.limits],
                "sem": _bounded(each.sem),
                "mdc": _bounded(each.mdc),
            }
            for each in noise.measurements
        ],
    }


def _content(of: Disagreement) -> dict[str, Json]:
    return {
        "name": of.name,
        "unit": of.unit,
        "pairs": of.pairs,
        "mean": _bounded(of.mean),
        "median": _known(of.median),
        "bias": [_known(value) for value in of.bias],
        "sd": [_known(value) for value in of.sd],
        "sem": [_known(value) for value in of.sem],
    }


def _bounded(of: Bounded) -> dict[str, Json]:
    ends = [_known(of.low), _known(of.high)]
    return {"value": _known(of.value), "ci95": None if None in ends else ends}


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None
