"""`mahtdiag figures`: every figure of a run as a file whose text is text, one line for each that is not."""

import re
import shutil
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import cv2
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text

from mahtdiag.diagnosis.numbers import numbers_of
from mahtdiag.diagnosis.run_table import RunTable
from mahtdiag.reports.figures.registry import FIGURES
from mahtdiag.reports.figures.style import COLUMN, PAGE, SMALL
from mahtdiag.runs.reading import Run, open_run
from mahtdiag.workflows.report.figures import NAMES, figure_data, figure_of
from tests.workflows.report_runs import write_report_run

from .command import Desk

MM = 25.4
OF_LATERAL = "agreement-slip-percent, agreement-lordosis-deg, agreement-segmental-deg, " \
    "agreement-disc-height-index, agreement-wedging"  # fmt: skip


def test_every_figure_of_a_run(desk: Desk) -> None:
    write_report_run(desk.path, spacing_mm=0.2)
    done = desk.run("figures", "--out", "figs", "--format", "svg")
    assert (done.status, done.errors) == (0, [])
    head, *lines = done.text.splitlines()
    assert re.fullmatch(r"figures: \d+ as svg in figs, with captions.md", head)
    assert lines[-1] == f"not drawn: {OF_LATERAL}: not measured in AP images"
    drawn = [line.strip() for line in lines if line.startswith("  ")]
    assert {f"{name}.svg" for name in drawn} | {"captions.md"} == {p.name for p in Path("figs").iterdir()}
    assert {"error-curve", "error-boxes", "error-vectors", "reliability", "sparsification", "losses",
            "agreement-cobb-deg", "worst-images"} <= set(drawn)  # fmt: skip
    for name in drawn:
        root = ElementTree.parse(Path("figs") / f"{name}.svg").getroot()
        width_mm = float(root.get("width", "").removesuffix("pt")) / 72 * MM
        assert min(abs(width_mm - 85), abs(width_mm - 180)) < 0.1
        assert any(element.tag.endswith("}text") for element in root.iter()), "text stays text"
    captions = Path("figs/captions.md").read_text(encoding="utf-8")
    assert re.findall(r"^\*\*([\w-]+)\*\*", captions, re.MULTILINE) == drawn


def test_text_of_a_pdf_is_text_and_the_same_run_is_the_same_file(desk: Desk) -> None:
    write_report_run(desk.path)
    done = desk.run("figures", "--figure", "error-curve", "--figure", "reliability", "--out", "a")
    desk.run("figures", "--figure", "error-curve", "--out", "b")
    assert done.status == 0
    content = Path("a/error-curve.pdf").read_bytes()
    assert content == Path("b/error-curve.pdf").read_bytes()
    assert b"/FontFile2" in content  # TrueType outlines, not the Type 3 that journals refuse
    assert b"/Type3" not in content


def test_png_has_300_dots_per_inch(desk: Desk) -> None:
    write_report_run(desk.path)
    desk.run("figures", "--figure", "error-curve", "--format", "png", "--out", "a")
    picture = cv2.imread("a/error-curve.png")
    assert picture is not None
    assert picture.shape[1] == pytest.approx(85 / MM * 300, abs=1)


def test_numbers_on_the_curve_are_those_of_the_run(desk: Desk) -> None:
    """AUC and failure rate, computed again from the errors; the latter is 1 − the rate of `run.json`."""
    write_report_run(desk.path)
    run = open_run(None, desk.path)
    table = run.table()
    known = [float(e) for e in table.error_px.ravel() if np.isfinite(e)]
    area = sum(max(0.0, 1 - e / 16) for e in known) / len(known)
    failed = sum(e > 16 for e in known) / len(known)
    legend = figure_of(run, "error-curve").axes[0].get_legend()
    assert legend is not None
    texts = [text.get_text() for text in legend.get_texts()]
    ends = [text.partition(" (")[1] + text.partition(" (")[2] for text in texts]
    assert texts == [f"AUC {area:.3g}{ends[0]}", f"failure rate {100 * failed:.1f} %{ends[1]}"]
    assert failed == pytest.approx(1 - numbers_of(table)["sdr_px.16"].value, abs=1e-12)


def unseen_ticks(axes: Axes) -> list[Text]:
    """Labels of ticks beyond the ends of an axis, which are not drawn."""
    found = []
    for axis in (axes.xaxis, axes.yaxis):
        low, high = sorted(axis.get_view_interval())
        for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks()):
            if not low <= tick.get_loc() <= high or not axes.axison:
                found += [tick.label1, tick.label2]
    return found


@pytest.mark.parametrize("name", [figure.name for figure in FIGURES])
def test_no_text_is_cut_off_or_too_small(desk: Desk, name: str) -> None:
    write_report_run(desk.path, 12)
    data = figure_data(open_run(None, desk.path))
    (chosen,) = (figure for figure in FIGURES if figure.name == name)
    if chosen.lacks(data) is not None:
        pytest.skip("not of this view")
    figure = chosen.drawn(data)
    wide = name == "worst-images" or "tilt" in name or "lateral" in name
    assert figure.get_figwidth() == pytest.approx(PAGE if wide else COLUMN)
    canvas: Any = FigureCanvasAgg(figure)
    canvas.draw()
    unseen = {id(text) for axes in figure.axes for text in unseen_ticks(axes)}
    texts = [text for text in figure.findobj(Text) if isinstance(text, Text) and id(text) not in unseen]
    shown = [text for text in texts if text.get_visible() and text.get_text().strip()]
    width, height = canvas.get_width_height()
    for text in shown:
        box = text.get_window_extent(canvas.get_renderer())
        beyond = max(-box.x0, -box.y0, box.x1 - width, box.y1 - height)
        assert beyond < 2, f"{text.get_text()!r} sticks out by {beyond:.0f} px"
    assert min(float(text.get_fontsize()) for text in shown) >= SMALL - 1.01


def test_runs_without_what_figures_need(desk: Desk) -> None:
    told = write_report_run(desk.path, sigma=False)
    for image in told.data.iterdir():
        image.rename(image.with_name(f"moved-{image.name}"))
    done = desk.run("figures", "--format", "png", "--out", "a")
    assert done.status == 0
    assert "not drawn: reliability, sparsification, z-histogram, error-sigma, keypoint-coverage: " \
        "the run has no σ" in done.text  # fmt: skip
    assert Path("a/worst-images.png").is_file()


@pytest.mark.parametrize("typed", ["report", "figures", "anatomy", "calibration", "compare runs/a"])
def test_a_run_that_is_removed_while_it_is_read_stays_removed(
    desk: Desk, typed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = write_report_run(desk.path).run
    read = Run.table

    def gone(run: Run, *columns: Any) -> RunTable:
        table = read(run, *columns)
        shutil.rmtree(run.path, ignore_errors=True)
        return table

    monkeypatch.setattr(Run, "table", gone)
    name, *more = typed.split()
    done = desk.run(name, "runs/a", *more)
    assert not run.exists()
    if name == "report":
        done.refused(f"{run}: somebody has removed it meanwhile; evaluate again")
    elif name == "figures":
        assert (done.status, len(done.errors)) == (2, 1), done.err
    assert "internal error" not in done.err


def test_refusals_are_one_line(desk: Desk) -> None:
    told = write_report_run(desk.path, sigma=False)
    desk.run("figures", "nowhere").refused(
        f"{desk.path / 'nowhere'}: no such run folder; check the name, or name latest, the newest run"
    )
    desk.run("figures", "--figure", "curve").refused(f"no figure 'curve'; there are {', '.join(NAMES)}")
    desk.run("figures", "--figure", "reliability").refused("runs/a: no figure reliability: the run has no σ")
    desk.run("figures", "--data", "nowhere").refused(
        "--data nowhere: no such folder; name the folder that holds the images"
    )
    (told.run / "keypoints.parquet").write_bytes(b"edited")
    edited = desk.run("figures")
    assert (edited.status, len(edited.err.splitlines())) == (2, 1)
    assert "keypoints.parquet" in edited.err


def test_an_interrupted_run_is_drawn_as_far_as_it_got(desk: Desk) -> None:
    write_report_run(desk.path, 3, complete=False)
    done = desk.run("figures", "runs/a", "--figure", "error-curve", "--out", "a")
    assert done.status in (0, 2)
    assert len(done.lasting) == 1
    assert "interrupted" in done.err or "no image was evaluated" in done.err


def test_names_are_permanent_and_each_its_own() -> None:
    assert len(set(NAMES)) == len(NAMES)
    assert all(re.fullmatch(r"[a-z]+(-[a-z]+)*", name) for name in NAMES)
