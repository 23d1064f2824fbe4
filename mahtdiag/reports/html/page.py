"""The page itself and what stands at its top: the verdict, and the numbers that matter.

Templates, style and script are from this folder, everything else from the records.
"""

import base64
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from mahtdiag import __version__
from mahtdiag.diagnosis.anatomy import shift_by_image
from mahtdiag.diagnosis.metrics.clean_labels import CLEAN, LEFT_OUT
from mahtdiag.diagnosis.metrics.errors import MISS_RATE
from mahtdiag.diagnosis.metrics.losses import LOSSES
from mahtdiag.diagnosis.metrics.metric import Estimate, GroupKind
from mahtdiag.diagnosis.metrics.registry import metric_of
from mahtdiag.reports import palette
from mahtdiag.reports.ci.record import score_in_words
from mahtdiag.reports.html.gallery import Gallery, Picture, gallery_json
from mahtdiag.reports.html.opening import opening_of
from mahtdiag.reports.html.sections import Chapter, Plot, ReportContent
from mahtdiag.reports.tables.errors import missed_in
from mahtdiag.reports.tables.setup import counts
from mahtdiag.reports.tables.table import INDENT, Line, Style, gates_table
from mahtdiag.reports.text import counted, interval, number, percent, pixels
from mahtdiag.schema.safe_text import safe_lines

FOLDER: Final = "templates"
_OPTION: Final = re.compile(r"(?<![\w-])(--[a-z][\w-]*)")
TEMPLATE: Final = "report.html.j2"
STYLES: Final = ("page.css", "gallery.css", "print.css")
# What is said by how a text looks, as classes of the page's style.
TONES: Final = {
    Style.GOOD: "good",
    Style.SOUND: "good",
    Style.BAD: "bad",
    Style.STRONG: "strong",
    Style.DOUBTFUL: "strong",
}
SCRIPTS: Final = ("elements.js", "download.js", "drawing.js", "details.js", "gallery.js", "page.js")


@dataclass(frozen=True, slots=True)
class StripImage:
    """One of the worst images, as a JPEG cut to its spine, with what it is called worst by."""

    name: str
    why: str
    jpeg: bytes


@dataclass(frozen=True, slots=True)
class Strip:
    """The worst images side by side; `title`: how many of how many, and by what; `caption`: what is drawn."""

    title: str
    images: tuple[StripImage, ...]
    caption: str


def render_page(
    report: ReportContent, sections: Sequence[Chapter], gallery: Gallery | None, strip: Strip | None = None
) -> bytes:
    """The page as UTF-8. It loads nothing: what it is allowed to run and show is listed in its head.

    `sections`, which `sections_of` has drawn from the same report; `gallery` None leaves the images out.
    The same input gives the same bytes. Every text is escaped where it is put in, and no name can pose as
    another by signs that reorder it.
    """
    style, script = _style(), _script()
    template = templates().get_template(TEMPLATE)
    text = template.render(
        report=report,
        gallery=gallery,
        version=__version__,
        opening=opening_of(report),
        gates=gates_table([case.result for case in report.gates]) if report.gates else None,
        tiles=tiles_of(report),
        setup_counts=counts(report.setup),
        strip=strip,
        sections=sections,
        gallery_json="" if gallery is None else gallery_json(gallery, report),
        style=Markup(style),
        script=Markup(script),
        policy=_policy(style, script),
    )
    # A file name may hold bytes that are no text; in the page they are escapes.
    return text.encode("utf-8", "backslashreplace")


def templates() -> Environment:
    """The templates of the page, which escape every text that is put in."""
    environment = Environment(
        loader=PackageLoader("mahtdiag.reports.html", FOLDER),
        autoescape=True,
        finalize=_safe,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["base64"] = _base64
    environment.filters["score_in_words"] = score_in_words
    environment.filters["look_at"] = look_at
    environment.filters["whole_options"] = whole_options
    environment.tests["plot"] = lambda block: isinstance(block, Plot)
    environment.tests["line"] = lambda block: isinstance(block, Line)
    environment.tests["indented"] = lambda text: text.startswith(INDENT)
    environment.filters["tone"] = lambda style: TONES.get(style, "")
    return environment


def whole_options(text: str) -> Markup:
    """A sentence whose names of options no end of a line parts: `--labels` after its hyphens, for example."""
    parts = _OPTION.split(safe_lines(text))
    whole = Markup('<span class="whole">{}</span>')
    return Markup("").join(whole.format(part) if n % 2 else escape(part) for n, part in enumerate(parts))


def _safe(value: object) -> object:
    """A text without signs that reorder what stands around them; markup is our own."""
    return safe_lines(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _base64(picture: Picture | StripImage) -> Markup:
    return Markup(base64.b64encode(picture.jpeg).decode("ascii"))


def _style() -> str:
    colours = {
        "label": palette.LABEL,
        "prediction": palette.PREDICTION,
        "error": palette.ERROR,
        "worst": palette.WORST,
        "finding": palette.FINDING,
        "film": palette.PAPER,
        "film-ink": palette.INK,
        "film-muted": palette.MUTED_INK,
    }
    variables = "".join(f"--{name}:{colour};" for name, colour in colours.items())
    return f":root{{{variables}}}\n" + "".join(_source(name) for name in STYLES)


def _script() -> str:
    body = "".join(_source(name) for name in SCRIPTS)
    return f'"use strict";\n(() => {{\n{body}}})();\n'


def _source(name: str) -> str:
    return files("mahtdiag.reports.html").joinpath(FOLDER, name).read_text(encoding="utf-8")


def _policy(style: str, script: str) -> str:
    """The page's Content-Security-Policy: its own style and script, pictures that it holds, nothing else."""
    return "; ".join(
        (
            "default-src 'none'",
            "base-uri 'none'",
            "form-action 'none'",
            "img-src data:",
            f"style-src '{_hash(style)}'",
            f"script-src '{_hash(script)}'",
            "require-trusted-types-for 'script'",
        )
    )


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode('ascii')}"


@dataclass(frozen=True, slots=True)
class Tile:
    """One number that matters, with what it rests on."""

    label: str
    value: str
    detail: str
    alarm: bool = False


# What to look at when a gate on a number of these sections fails; else the errors.
_LOOKS = {"anatomy": "code:any", "calibration": "sort:sigma", "images": "status:failed"}
SHIFTS = "level_shifts"


def look_at(name: str) -> str:
    """How the gallery shows the images behind a number of `run.json`: `sort:error`, `code:A201`."""
    metric = metric_of(name)
    if metric is not None and metric.group.kind is GroupKind.RULE:
        return f"code:{metric.group.name}"
    if metric is not None and metric.section == LOSSES:
        return f"sort:{metric.path[-1]}"
    if metric is not None and metric.path[-1] == SHIFTS:
        return "type:shift"
    return _LOOKS.get(name.partition(".")[0], "sort:error")


def tiles_of(report: ReportContent) -> tuple[Tile, ...]:
    """The numbers that a reader looks for first."""
    if not report.table.labelled:
        return (_anatomy_tile(report), _evaluated_tile(report))
    mean, median, p95 = (
        report.numbers[f"radial_error_{report.unit.key}.{of}"] for of in ("mean", "median", "p95")
    )
    tiles = [
        Tile(f"mean error, {report.unit.words}", pixels(mean.value), _interval(mean)),
        Tile(
            f"median error, {report.unit.words}", pixels(median.value), f"95 % are below {pixels(p95.value)}"
        ),
        *_missed_tile(report),
        _rate_tile(report),
        _anatomy_tile(report),
        *_clean_tile(report),
    ]
    shifts = len(shift_by_image(report.table)) if report.anatomy.diagnosis else 0
    if shifts:
        tiles.append(Tile("marked one level off", counted(shifts, "image"), "every vertebra misnamed", True))
    if report.calibration is not None:
        sigma = report.calibration.report
        scale = f"best σ scale {number(sigma.sigma_scale)}"
        tiles.append(Tile("σ: MACE", number(sigma.mace), scale))
    return (*tiles, _evaluated_tile(report))


def _evaluated_tile(report: ReportContent) -> Tile:
    failed = len(report.table.failures)
    detail = f"{failed:,} failed" if failed else "none failed"
    return Tile("images evaluated", f"{len(report.table):,}", detail, bool(failed))


def _interval(found: Estimate, scale: float = 1.0, unit: str = "") -> str:
    return f"{interval(found.ci95, scale)}{unit} (95 %)" if found.ci95 else "too few images for an interval"


def _missed_tile(report: ReportContent) -> tuple[Tile, ...]:
    """The share of labelled keypoints that are not predicted, where any is not."""
    rate, missed = report.numbers.get(MISS_RATE), missed_in(report.numbers, report.unit)
    if rate is None or not rate.value:
        return ()
    return (Tile("missed keypoints", percent(rate.value), f"{missed:,} in no error", True),)


def _rate_tile(report: ReportContent) -> Tile:
    """The success detection rate at the middle of the thresholds."""
    unit, thresholds = report.unit, report.unit.thresholds
    threshold = f"{thresholds[len(thresholds) // 2]:g}"
    rate = report.numbers[f"sdr_{unit.key}.{threshold}"]
    label = f"within {threshold} {unit.words}"
    noise = report.anatomy.noise
    if noise is not None and (unit.key, float(threshold)) in set(noise.below()):
        label = f"{label} (label noise)"
    return Tile(label, percent(rate.value), _interval(rate, 100, " %"))


def _clean_tile(report: ReportContent) -> tuple[Tile, ...]:
    """The mean error without the images whose labels break a rule, where there are any."""
    mean = report.numbers.get(f"{CLEAN}.radial_error_{report.unit.key}.mean")
    left_out = int(report.numbers[LEFT_OUT].value)
    if mean is None or not left_out:
        return ()
    label = f"mean error, {report.unit.words}, without {counted(left_out, 'suspicious label')}"
    return (Tile(label, pixels(mean.value), _interval(mean)),)


def _anatomy_tile(report: ReportContent) -> Tile:
    verdict = report.anatomy.verdict
    if report.of_labels:
        share, count = percent(verdict.share_violating), counted(verdict.violating, "image")
        return Tile("suspicious labels", share, count)
    labels = verdict.label_violating
    return Tile(
        "impossible spines",
        percent(verdict.share_violating),
        counted(verdict.violating, "image") + (f"; labels: {labels:,}" if report.table.labelled else ""),
    )
