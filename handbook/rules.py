"""A page for each rule of anatomy: meaning, formula, limits and their origin, and a label that breaks it."""

import csv
import io
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mahtdiag.anatomy.rule import Rule
from mahtdiag.anatomy.rules import RULES
from mahtdiag.schema.skeleton import CORNERS_PER_VERTEBRA, View

Points = NDArray[np.float64]
SAMPLES: Final = Path(__file__).parents[1] / "sample_data" / "AP"
SAMPLE: Final = "0001"
PICTURE_PX: Final = 900
L3: Final = 2 * CORNERS_PER_VERTEBRA


def swapped(*pairs: tuple[int, int]) -> Callable[[Points], None]:
    """Exchanges keypoints, counted from the first of L3."""

    def change(points: Points) -> None:
        for one, other in pairs:
            points[[L3 + one, L3 + other]] = points[[L3 + other, L3 + one]]

    return change


def moved(keypoint: int, widths: float, heights: float) -> Callable[[Points], None]:
    """Moves a keypoint by widths and heights of L3."""

    def change(points: Points) -> None:
        points[L3 + keypoint] += (widths * width(points), heights * height(points))

    return change


def joined(keypoint: int, other: int) -> Callable[[Points], None]:
    """Puts a keypoint upon another one."""

    def change(points: Points) -> None:
        points[L3 + keypoint] = points[L3 + other]

    return change


def lowered(first: int, heights: float) -> Callable[[Points], None]:
    """Moves a keypoint and all after it by heights of L3."""

    def change(points: Points) -> None:
        points[L3 + first :, 1] += heights * height(points)

    return change


def turned(first: int, angle_deg: float) -> Callable[[Points], None]:
    """Turns an endplate about its middle."""

    def change(points: Points) -> None:
        ends = points[L3 + first : L3 + first + 2]
        c, s = np.cos(np.radians(angle_deg)), np.sin(np.radians(angle_deg))
        ends[:] = ends.mean(0) + (ends - ends.mean(0)) @ np.array([[c, s], [-s, c]])

    return change


def scaled(factor: float, axis: int) -> Callable[[Points], None]:
    """Makes L3 narrower (axis 0) or lower (axis 1)."""

    def change(points: Points) -> None:
        body = points[L3 : L3 + CORNERS_PER_VERTEBRA]
        body[:, axis] = body[:, axis].mean() + factor * (body[:, axis] - body[:, axis].mean())

    return change


def width(points: Points) -> float:
    """Length of the upper endplate of L3."""
    return float(np.hypot(*(points[L3 + 1] - points[L3])))


def height(points: Points) -> float:
    """Length of the left side of L3."""
    return float(np.hypot(*(points[L3 + 2] - points[L3])))


MISTAKES: Final[dict[str, Callable[[Points], None]]] = {
    "A101": swapped((0, 4), (1, 5), (2, 6), (3, 7)),
    "A102": lowered(4, -0.7),
    "A103": swapped((0, 2), (1, 3)),
    "A201": turned(0, 34),
    "A202": turned(0, -34),
    "A203": turned(2, 26),
    "A301": scaled(0.25, 0),
    "A302": scaled(0.5, 0),
    "A401": swapped((0, 1)),
    "A402": swapped((0, 1), (2, 3)),
    "A403": moved(0, 0.7, 0.75),
    "A404": moved(3, 0.65, 0.0),
    "A405": moved(2, -0.65, 0.0),
    "A501": lowered(4, 1.4),
    "A601": moved(0, -9.0, 0.0),
    "A602": joined(0, 1),
}
"""A mistake in the labels of L3 that breaks the rule; A603 is about predictions alone."""


@cache
def drawn() -> dict[str, bytes]:
    """The overlay of each mistake, by code: what `mahtdiag anatomy --labels` makes of it."""
    with TemporaryDirectory() as folder:
        data, out = Path(folder) / "data", Path(folder) / "out"
        data.mkdir()
        rows = [*csv.reader((SAMPLES / f"{_name()}.csv").open(encoding="utf-8"))]
        for code, change in MISTAKES.items():
            points = np.array([row[:4] for row in rows], dtype=np.float64).reshape(-1, 2)
            change(points)
            shutil.copy(SAMPLES / f"{_name()}.jpg", data / f"{code}.jpg")
            with (data / f"{code}.csv").open("w", encoding="utf-8", newline="") as file:
                ends = points.reshape(-1, 4)
                csv.writer(file).writerows([*end, *row[4:]] for end, row in zip(ends, rows, strict=True))
        command = [sys.executable, "-m", "mahtdiag", "anatomy", "--labels", str(data), "--view", "AP"]
        command += ["--no-copies", "--overlays", "all", "--out", str(out)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        pictures = {path.stem.partition(".")[0]: smaller(path) for path in out.rglob("*.png")}
    if set(MISTAKES) - set(pictures):
        raise RuntimeError(f"no picture of {set(MISTAKES) - set(pictures)}: {done.stdout}{done.stderr}")
    return pictures


def smaller(path: Path) -> bytes:
    """An overlay in the width of a page, as JPEG."""
    picture = Image.open(path).convert("RGB")
    picture.thumbnail((PICTURE_PX, PICTURE_PX))
    content = io.BytesIO()
    picture.save(content, "JPEG", quality=85)
    return content.getvalue()


def _name() -> str:
    return next(path.stem for path in sorted(SAMPLES.glob(f"{SAMPLE}*.jpg")))


def page(rule: Rule) -> str:
    """One rule, in Markdown."""
    lines = [f"# {rule.code}: {rule.title}", "", f"Group: {rule.group}.", "", rule.meaning, ""]
    lines += [f"Measured: {rule.formula}.", "", "## Limits", "", "| limit | fires | AP | LA |"]
    lines += ["| --- | --- | --- | --- |"]
    for limit in rule.limits:
        values = " | ".join(f"{limit.default(view):g} {limit.unit}" for view in View)
        lines.append(f"| `{limit.key}` | {limit.fires} | {values} |")
    lines += ["", "Another limit for a project is set in `mahtdiag.toml`:", "", "```toml", "[anatomy.limits]"]
    lines += [f'"{limit.key}" = {limit.default(View.AP):g}' for limit in rule.limits]
    lines += ["```", "", "## Where they come from", ""]
    lines += [line for limit in rule.limits for line in (f"`{limit.key}`: {limit.origin}", "")]
    if rule.code in MISTAKES:
        lines += ["## A label that breaks it", "", f"![A label that breaks {rule.code}]({rule.code}.jpg)", ""]
        lines += ["A sample radiograph with such a mistake in the labels of L3, as the overlay shows it.", ""]
    return "\n".join(lines)


_INTRODUCTION: Final = """# Rules

`mahtdiag rules` prints them with the limits in force in a project, `mahtdiag explain A201` one of them in
full. What a finding, a violation and a severity are: [anatomy](../concepts/anatomy.md). How well they find
wrong labels: [auditing labels](../labels.md#what-it-finds).

| code | rule | group | what a violation tells |
| --- | --- | --- | --- |
"""


def index() -> str:
    """All rules, in one table."""
    rows = [f"| [{r.code}]({r.code}.md) | {r.title} | {r.group} | {r.meaning} |\n" for r in RULES]
    return _INTRODUCTION + "".join(rows)


PAGES: Final[dict[str, Callable[[], str]]] = {
    "rules/index.md": index,
    **{f"rules/{rule.code}.md": partial(page, rule) for rule in RULES},
}
PICTURES: Final[dict[str, Callable[[], bytes]]] = {
    f"rules/{code}.jpg": partial(lambda code: drawn()[code], code) for code in MISTAKES
}
