"""The page itself: templates, style and script from this folder, everything else from the records."""

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from mahtdiag import __version__
from mahtdiag.reports import palette
from mahtdiag.reports.ci.record import score_in_words
from mahtdiag.reports.html.gallery import Gallery, Picture, gallery_json
from mahtdiag.reports.html.headline import tiles_of, verdict_of
from mahtdiag.reports.html.sections import Chapter, Plot, ReportContent
from mahtdiag.reports.tables.table import INDENT, Line, Style, gates_table
from mahtdiag.reports.text import safe_lines

FOLDER: Final = "templates"
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
SCRIPTS: Final = ("elements.js", "drawing.js", "details.js", "gallery.js", "page.js")


@dataclass(frozen=True, slots=True)
class Page:
    """A run as it is shown: `sections`, which `sections_of` has drawn from the same report, and the images.

    `gallery` None leaves the images out.
    """

    report: ReportContent
    sections: Sequence[Chapter]
    gallery: Gallery | None


def render_page(page: Page) -> bytes:
    """The page as UTF-8. It loads nothing: what it is allowed to run and show is listed in its head.

    The same input gives the same bytes. Every text is escaped where it is put in, and no name can pose as
    another by signs that reorder it.
    """
    report, gallery = page.report, page.gallery
    style, script = _style(), _script()
    template = templates().get_template(TEMPLATE)
    text = template.render(
        report=report,
        gallery=gallery,
        version=__version__,
        verdict=verdict_of(report.gates),
        gates=gates_table([case.result for case in report.gates]) if report.gates else None,
        tiles=tiles_of(report),
        sections=page.sections,
        gallery_json="" if gallery is None else gallery_json(gallery),
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
    environment.tests["plot"] = lambda block: isinstance(block, Plot)
    environment.tests["line"] = lambda block: isinstance(block, Line)
    environment.tests["indented"] = lambda text: text.startswith(INDENT)
    environment.filters["tone"] = lambda style: TONES.get(style, "")
    return environment


def _safe(value: object) -> object:
    """A text without signs that reorder what stands around them; markup is our own."""
    return safe_lines(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _base64(picture: Picture) -> Markup:
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
