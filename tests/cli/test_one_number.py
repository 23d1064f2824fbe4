"""One number, one rounding, everywhere: terminal, Markdown, `run.json`, page, figures, overlays, compare."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mahtdiag.reports.overlay.panel import DETAILS, panel_blocks
from mahtdiag.reports.overlay.scene import errors_in_sigma
from mahtdiag.reports.text import pixels, sigmas
from mahtdiag.runs.reading import open_run
from mahtdiag.schema.records import ImageRecord
from mahtdiag.workflows.report.figures import figure_of

from .command import Desk, document_of

MM = 0.1337
NUMBER = r"(\d[\d,]*(?:\.\d+)?)"


def only(found: list[str]) -> str:
    """What all of them are."""
    assert len(set(found)) == 1, found
    return found[0]


def gallery(page: str) -> dict[str, Any]:
    """What the gallery of a page knows, by image."""
    (text,) = re.findall(r'<script type="application/json" id="gallery-data">(.*?)</script>', page, re.S)
    return {image["name"]: image for image in json.loads(text)["images"]}


def words_of_panel(record: ImageRecord, desk: Desk) -> str:
    blocks = panel_blocks(
        record, open_run(Path("run"), desk.path).view.skeleton, 1.0, 3, {}, {},
        stretched=False, labels_judged=False, detail=DETAILS[0],
    )  # fmt: skip
    return repr(blocks)


@pytest.fixture
def told(desk: Desk) -> tuple[Desk, str, str]:
    """A run with a spacing, what its evaluation printed, and its page."""
    done = desk.lookup("exact", "--pixel-spacing", str(MM), "--markdown", "said.md")
    assert done.status == 0
    assert desk.run("report", "run").status == 0
    return desk, done.text, (desk.path / "run/report.html").read_text(encoding="utf-8")


def test_the_mean_error_is_one_number_everywhere(told: tuple[Desk, str, str]) -> None:
    desk, text, page = told
    stored = document_of(desk.path / "run")["metrics"]
    markdown = (desk.path / "said.md").read_text(encoding="utf-8")
    compared = desk.run("compare", "run", "run").text
    for unit in ("mm", "px"):
        table = only(re.findall(rf"^mean, {unit} +{NUMBER}", text, re.M))
        shown = [
            table,
            pixels(stored[f"radial_error_{unit}"]["mean"]),
            only(re.findall(rf"mean radial error, {unit} \| {NUMBER}", markdown)),
            only(re.findall(rf'<th scope="row"[^>]*>mean, {unit}</th><td[^>]*>{NUMBER}', page)),
        ]
        assert len(set(shown)) == 1, shown
        assert float(compared_mean(compared, unit)) == pytest.approx(float(table), rel=1e-2)
    in_mm = pixels(stored["radial_error_mm"]["mean"])
    # Millimetres lead wherever they are known.
    assert only(re.findall(rf"<dt>mean error, mm</dt><dd>{NUMBER}</dd>", page)) == in_mm
    assert only(re.findall(rf"The mean radial error is {NUMBER} mm", page)) == in_mm
    assert text.index("mean, mm") < text.index("mean, px")
    legend = figure_of(open_run(Path("run"), desk.path), "error-distribution").axes[0].get_legend()
    assert legend is not None
    assert f"mean {in_mm} mm" in [each.get_text() for each in legend.get_texts()]


def compared_mean(text: str, unit: str) -> str:
    return only(re.findall(rf"^ *mean, {unit} +{NUMBER}", text, re.M))


def test_shares_are_one_number_everywhere(told: tuple[Desk, str, str]) -> None:
    desk, text, page = told
    stored = document_of(desk.path / "run")["metrics"]["sdr_mm"]
    for threshold, share in stored.items():
        words = f"{100 * share:.1f} %"
        assert only(re.findall(rf"^success detection rate, {threshold} mm +(\d+\.\d %)", text, re.M)) == words
        row = rf'<th scope="row"[^>]*>success detection rate, {threshold} mm</th><td[^>]*>([\d.]+ %)'
        assert only(re.findall(row, page)) == words
    failed = 100 * (1 - stored["4"])
    assert f"failure rate {failed:.1f} %" in page


def test_the_worst_images_are_the_same_by_the_same_number(told: tuple[Desk, str, str]) -> None:
    """Rows of the terminal, the strip, the cards and the files of overlays."""
    _, text, page = told
    assert "by mean radial error, mm" in " ".join(text.split())
    rows = re.findall(rf"^(\S+\.png) +{NUMBER} +{NUMBER} +", text[text.index("Worst ") :], re.M)
    strip = re.findall(rf'alt="([^"]+): mean {NUMBER}, largest {NUMBER} mm"', page)
    assert len(strip) == 6
    assert [(name.rpartition("/")[2], *numbers) for name, *numbers in strip] == [
        (name.rpartition("/")[2], *numbers) for name, *numbers in rows
    ]
    cards = gallery(page)
    assert [
        (name, cards[name]["texts"]["mean_mm"], cards[name]["texts"]["max_mm"]) for name, *_ in strip
    ] == [tuple(each) for each in strip]
    assert list(cards) == [name for name, *_ in strip], "the gallery begins with them"


def test_where_millimetres_lead_the_worst_are_worst_in_millimetres(desk: Desk) -> None:
    """The images with the largest errors in pixels have the smallest pixels."""
    spacings = (0.9, 0.1, 0.5, 0.05, 0.2, 0.02)
    names = sorted(path.name for path in (desk.path / "data" / "AP").glob("*.png"))
    rows = (f"{name},{spacing}\n" for name, spacing in zip(names, spacings, strict=True))
    (desk.path / "data" / "AP" / "pixel_spacing.csv").write_text("".join(rows), encoding="utf-8")
    done = desk.lookup("exact", "--overlays", "worst:2")
    assert done.status == 0, done.err
    assert desk.run("report", "run").status == 0
    page = (desk.path / "run/report.html").read_text(encoding="utf-8")
    table = open_run(Path("run"), desk.path).table()
    in_mm, in_px = table.error_mm.mean(axis=1), table.radial_error_px
    expected = [table.image[row].rpartition("/")[2] for row in np.argsort(-in_mm)]
    assert expected != [table.image[row].rpartition("/")[2] for row in np.argsort(-in_px)]
    text = done.text
    assert re.findall(r"^(\S+\.png) +", text[text.index("Worst ") :], re.M)[:6] == expected
    strip = re.findall(rf'alt="([^"]+): mean {NUMBER}, largest {NUMBER} mm"', page)
    assert [name.rpartition("/")[2] for name, *_ in strip] == expected
    assert [name.rpartition("/")[2] for name in gallery(page)] == expected
    assert "Worst 6 of 6 images by mean radial error, mm" in page
    drawn = {path.name for path in (desk.path / "run" / "overlays").glob("*.png")}
    assert drawn == set(expected[:2])


def test_a_corner_is_as_many_sigma_off_on_the_overlay_as_on_the_page(told: tuple[Desk, str, str]) -> None:
    desk, _, page = told
    table = open_run(Path("run"), desk.path).table()
    for row, (name, card) in enumerate(sorted(gallery(page).items())):
        record = table.record(row)
        assert record.image == name
        in_sigma = errors_in_sigma(record.keypoints)
        offset = (record.keypoints.pred_px - record.keypoints.gt_px) / record.keypoints.sigma_px
        np.testing.assert_allclose(in_sigma, np.sqrt((offset**2).sum(axis=1)))
        assert card["texts"]["in_sigma"] == [sigmas(value) for value in in_sigma.tolist()]
        panel = words_of_panel(record, desk)
        worst = int(np.nanargmax(record.keypoints.error_px))
        assert f"{sigmas(float(in_sigma[worst]))} σ" in panel
        assert card["texts"]["errors"][worst] in panel
        assert card["texts"]["mean"] in panel
