"""`--error-unit`: what tables, summaries and the page show first; numbers stay the same."""

import json
from pathlib import Path

from .command import Desk, document_of

HEADINGS = {
    "input-px": ("mean, input px", "Radial error by vertebra, input px"),
    "diagonal": ("mean, % of the image diagonal", "Radial error by vertebra, % of the image diagonal"),
    "width": ("mean, % of the vertebra width", "Radial error by corner, % of the vertebra width"),
    "height": ("mean, % of the spine height", "Radial error by corner, % of the spine height"),
    "px": ("mean, px", "Radial error by vertebra\n"),
}


def first_row(text: str) -> str:
    """Of the first table of errors."""
    rows = text[text.index("\nRadial error ") :].splitlines()
    return next(row for place, row in enumerate(rows) if set(rows[place - 1]) == {"─"}).split("  ")[0]


def test_each_unit_leads_where_it_is_asked_for(desk: Desk) -> None:
    metrics = []
    for unit, (row, title) in HEADINGS.items():
        done = desk.lookup("exact", "--error-unit", unit, "--out", unit, "--markdown", f"{unit}.md")
        assert done.status == 0
        assert first_row(done.text) == row
        assert title.strip() in done.text
        assert max(map(len, done.text.splitlines())) <= 80
        markdown = (desk.path / f"{unit}.md").read_text(encoding="utf-8")
        assert f"| mean radial error, {row.removeprefix('mean, ')} |" in markdown
        metrics.append(document_of(desk.path / unit)["metrics"])
        assert document_of(desk.path / unit)["settings"]["error_unit"] == unit
    assert all(each == metrics[0] for each in metrics)


def test_a_unit_that_a_run_does_not_know_is_said_and_pixels_lead(desk: Desk) -> None:
    done = desk.lookup("exact", "--error-unit", "mm")
    assert done.status == 0
    said = "--error-unit mm: no image has a pixel spacing; give --pixel-spacing; errors are shown in pixels"
    assert said in " ".join(done.text.split())
    assert first_row(done.text) == "mean, px"
    # Of a finished run it may be another one.
    again = desk.lookup("exact", "--error-unit", "width", "--resume")
    assert (again.status, first_row(again.text)) == (0, HEADINGS["width"][0])


def test_the_page_leads_with_what_is_asked_for_else_with_that_of_the_run(desk: Desk) -> None:
    assert desk.lookup("exact", "--error-unit", "input-px").status == 0
    (desk.path / "page.toml").write_text('[evaluate]\nerror_unit = "diagonal"\n')
    for options, words in (
        ((), "input px"),
        (("--config", "page.toml"), "% of the image diagonal"),
        (("--error-unit", "width", "--config", "page.toml"), "% of the vertebra width"),
    ):
        assert desk.run("report", "run", "--out", "page.html", *options).status == 0
        page = Path(desk.path / "page.html").read_text(encoding="utf-8")
        assert f"mean error, {words}" in page
        assert f"radial error, {words}" in page


def test_predictions_without_a_network_have_no_input_pixels(desk: Desk) -> None:
    assert desk.lookup("exact", "--out", "full").status == 0
    file = ("evaluate", "--predictions", "full/keypoints.parquet", "data/AP", "--overlays", "none")
    assert desk.run(*file, "--out", "bare", "--format", "json").status == 0
    bare, full = (document_of(desk.path / name)["metrics"] for name in ("bare", "full"))
    assert bare["radial_error_input_px"] is bare["sdr_input_px"] is None
    assert bare["radial_error_width_pct"]["mean"] > 0
    sized = desk.run(*file, "--out", "sized", "--input-size", "64x64", "--format", "json")
    found = json.loads(sized.text)["metrics"]["radial_error_input_px"]["mean"]
    assert abs(found - full["radial_error_input_px"]["mean"]) < 1e-9
    told = desk.run(*file, "--out", "told", "--error-unit", "input-px")
    assert "--input-size" in told.text


def test_a_wrong_unit_is_one_line(desk: Desk) -> None:
    done = desk.lookup("exact", "--error-unit", "inches")
    assert done.status == 2
    assert any("inches" in line for line in done.errors)
