"""The headline on all images beside that without the images whose labels break a rule of anatomy."""

from collections.abc import Iterable, Iterator

import numpy as np

from mahtdiag.diagnosis.label_noise import noise_of_run
from mahtdiag.diagnosis.metrics.clean_labels import CLEAN, KEPT, LEFT_OUT, images_left_out
from mahtdiag.diagnosis.metrics.error_units import ErrorUnit
from mahtdiag.diagnosis.metrics.errors import THRESHOLDS
from mahtdiag.diagnosis.metrics.metric import Estimate, Metric
from mahtdiag.diagnosis.numbers import RunNumbers
from mahtdiag.diagnosis.run_table import RunTable
from mahtdiag.reports.tables.label_noise import marked_rate
from mahtdiag.reports.tables.table import NAME_WIDTH, Cells, Line, Part, Style, short_name, table
from mahtdiag.reports.text import ABSENT, counted, interval, number, percent, pixels

MARK = "*"
MARKED = f"{MARK}: its label breaks a rule."
NAMED = 3
SCALE = "sigma_scale"


def clean_label_parts(numbers: RunNumbers, sigma_scale: float | None, unit: ErrorUnit) -> Iterator[Part]:
    """Nothing where no label breaks a rule, or none was judged.

    `sigma_scale`: the best one on all images; `unit`: what leads.
    """
    judged = numbers.get(KEPT), numbers.get(LEFT_OUT)
    kept, left_out = (0 if found is None else int(found.value) for found in judged)
    if not left_out:
        return
    title = f"Labels that break a rule: {left_out} of {counted(kept + left_out, 'image')}"
    if f"{CLEAN}.radial_error_px.mean" not in numbers.found:
        yield Line(f"{title}; no image is left to judge by.\n", Style.BAD)
        return
    rows: list[Cells | None] = []
    # Of pixels and millimetres first what leads.
    for key in dict.fromkeys((unit.key, *THRESHOLDS)):
        chosen = [
            (metric, found) for metric, found in numbers.of(CLEAN) if metric.path[1].endswith(f"_{key}")
        ]
        rows += [_cells(metric, found, numbers) for metric, found in chosen if _is_headline(metric)]
    scale = numbers.get(f"{CLEAN}.{SCALE}")
    if sigma_scale is not None and scale is not None:
        shown = number(sigma_scale), number(scale.value), interval(scale.ci95)
        rows.append(("σ scale that fits best", *shown))
    yield table(
        title,
        ("", "all images", f"without the {left_out}", "95 % interval"),
        rows,
        note=f"{_named(numbers.table)}. A label that breaks a rule may be wrong, or of a spine unlike those "
        f"that the rules know: mahtdiag anatomy says why. Gates: {CLEAN}.radial_error_px.mean, …",
    )


def _is_headline(metric: Metric) -> bool:
    return metric.unit == "share" or metric.path[-1] == "mean"


def _cells(metric: Metric, found: Estimate, numbers: RunNumbers) -> Cells:
    of_all = numbers.get(".".join(metric.path[1:]))
    label = metric.label.removesuffix(", without")
    label = f"radial error: {label}" if metric.unit != "share" else label
    label = marked_rate(label, metric.path, noise_of_run(numbers.table))
    if metric.unit == "share":
        bounds = f"{interval(found.ci95, 100)} %" if found.ci95 else ABSENT
        return label, percent(of_all.value if of_all else None), percent(found.value), bounds
    return label, pixels(of_all.value) if of_all else ABSENT, pixels(found.value), interval(found.ci95)


def _named(images: RunTable) -> str:
    """The images left out, the largest errors first, with the rules."""
    codes = images.label_codes
    rows = np.flatnonzero([bool(each) for each in codes])
    order = rows[np.argsort(-np.nan_to_num(images.radial_error_px[rows], nan=-1.0), kind="stable")]
    names = [f"{short_name(images.image[row], NAME_WIDTH)} ({' '.join(codes[row])})" for row in order[:NAMED]]
    more = f" and {len(order) - NAMED} more" if len(order) > NAMED else ""
    return f"{', '.join(names)}{more}"


def marked_name(images: RunTable, image: str, width: int) -> str:
    """A file name, with a mark where the label of the image breaks a rule."""
    if image not in images_left_out(images):
        return short_name(image, width)
    return f"{short_name(image, width)}{MARK}"


def mark_note(images: RunTable, shown: Iterable[str]) -> str:
    """What the mark says, where one of the images shown has it."""
    return MARKED if not images_left_out(images).isdisjoint(shown) else ""
