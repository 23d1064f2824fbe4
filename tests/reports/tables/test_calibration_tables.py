"""The tables of `calibration`: 80 columns, worst first, nothing that is no number."""

import re
from dataclasses import replace

import numpy as np
import pytest
from rich.cells import cell_len
from rich.console import Console

from mahtdiag.calibration.nll_changes import Change
from mahtdiag.calibration.recalibration import Mend, RecalibrationRow
from mahtdiag.diagnosis.gates import Gate, GateResult
from mahtdiag.reports.tables.calibration import CalibrationResult, calibration_parts, counts
from mahtdiag.reports.tables.recalibration import advice
from mahtdiag.reports.tables.table import printable
from mahtdiag.reports.text import number, percent
from tests.reports.tables.calibrated_result import residuals, result_of


def printed(view: CalibrationResult, width: int = 80) -> str:
    console = Console(width=width, color_system=None)
    with console.capture() as capture:
        console.print(printable(calibration_parts(view)))
    return capture.get()


def section(text: str, title: str) -> list[str]:
    """The lines from a title to the next blank line."""
    lines = text.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith(title))
    stop = next((i for i, line in enumerate(lines[start:], start) if not line.strip()), len(lines))
    return [line.rstrip() for line in lines[start:stop]]


def test_no_line_is_longer_than_a_terminal() -> None:
    text = printed(result_of(*residuals(factor=2.0)))
    assert max(cell_len(line) for line in text.splitlines()) <= 80
    assert "…" not in text.replace("0.01 … 0.99", "")
    assert "nan" not in text.lower().replace("pinball", "")


def test_every_number_has_its_interval_and_definition() -> None:
    view = result_of(*residuals())
    report = view.report
    text = printed(view, width=100)
    mace = next(line for line in text.splitlines() if line.startswith("MACE"))
    low, high = report.ci95["mace"] or (0.0, 0.0)
    assert mace.split("  ")[0] == "MACE"
    assert f"{number(report.mace)}" in mace
    assert f"{number(low)} to {number(high)}" in mace
    assert "observed − promised" in mace
    assert "800 keypoints in 40 images." in text


def test_both_shares_of_the_variance_where_they_are_told_apart() -> None:
    view = result_of(*residuals())
    assert "share of σ²" not in printed(view)
    text = printed(replace(view, aleatoric_share=0.75, epistemic_share=0.25))
    lines = [line.rstrip() for line in text.splitlines() if "share of σ²" in line]
    assert [line.split("  ")[0] for line in lines] == ["aleatoric share", "epistemic share"]
    assert ("75.0 %" in lines[0], "25.0 %" in lines[1]) == (True, True)
    assert max(cell_len(line) for line in text.splitlines()) <= 80


def test_gates_are_shown_before_the_files() -> None:
    view = result_of(*residuals())
    assert "Gates" not in printed(view)
    gates = (
        GateResult(Gate("calibration.mace", "<=", 0.05), 0.02, True),
        GateResult(Gate("calibration.x", ">=", 1), None, False),
    )
    lines = printed(replace(view, gates=gates)).splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("Gates: 1 of 2 failed"))
    assert lines[start + 3].split()[0] == "calibration.x"
    assert lines[start + 4].split() == ["calibration.mace", "<=", "0.05", "0.0200", "passed"]
    assert lines[-1].startswith("10 pictures: ")


def test_the_verdict_comes_first() -> None:
    view = result_of(*residuals(factor=2.0))
    lines = printed(view).splitlines()
    assert lines[3].startswith("Overconfident: σ is too small by a factor of")


def test_coverage_is_told_for_intervals_and_ellipses() -> None:
    view = result_of(*residuals())
    row = next(line for line in section(printed(view), "Coverage") if line.startswith("90 %"))
    assert percent(view.report.coverage["0.9"].observed) in row
    assert percent(view.report.radial.coverage["0.9"].observed) in row


def test_groups_are_worst_first_and_few_keypoints_are_marked() -> None:
    residual, sigma = residuals()
    residual[:, 8:12] *= 3.0
    residual[10:, 5] = np.nan
    text = printed(result_of(residual, sigma))
    vertebrae = section(text, "By vertebra, worst first")
    assert vertebrae[3].split()[0] == "L3"
    keypoints = section(text, "By keypoint, worst 8 of 20")
    assert len(keypoints) == 3 + 8 + 2
    assert " ".join(keypoints[-2:]).startswith("chance: mean MACE of groups of this size whose σ is right. !")
    assert {line.split()[0] for line in keypoints[3:7]} == {"L3"}
    assert all(line.split()[5] == "!" for line in keypoints[3:7])
    assert "*" not in "".join(keypoints)  # the small group is last, so not among the worst 8


def test_a_group_that_is_too_small_says_so() -> None:
    residual, sigma = residuals(images=12)
    residual[:, :4][3:] = np.nan
    vertebrae = section(printed(result_of(residual, sigma)), "By vertebra, worst first")
    few = "* fewer than 20 keypoints or 10 images (patients, where known): too few to judge."
    assert few in " ".join(vertebrae)
    assert [line for line in vertebrae if line.startswith("L")][-1].startswith("L1 *")


def test_groups_of_few_images_are_not_ranked() -> None:
    text = printed(result_of(*residuals(images=9)))
    assert len(section(text, "By vertebra, too few to rank")) > 5
    assert "worst first" not in text


def test_what_is_undefined_says_why() -> None:
    residual, sigma = residuals()
    text = printed(result_of(residual, np.full_like(sigma, 8.0)))
    assert re.search(r"Spearman: undefined, σ is the same everywhere, so it ranks\s+nothing\.", text)
    assert re.search(r"at upper bound: undefined, the clamp bounds are not known", text)


def test_one_image_prints_without_intervals() -> None:
    text = printed(result_of(*residuals(images=1)))
    assert "20 keypoints in 1 image." in text
    assert "No recalibration: 1 usable image(s): cross-fitting needs at least 2." in text


def test_left_out_keypoints_are_counted() -> None:
    residual, sigma = residuals()
    residual[0, 0], sigma[0, 1] = np.nan, 0.0
    assert counts(result_of(residual, sigma).report) == (
        "798 keypoints in 40 images; 1 not labelled; 1 left out for a σ that is 0, negative or no number"
    )


def test_factors_of_a_file_take_the_place_of_the_cross_fitted_ones() -> None:
    view = result_of(*residuals(factor=2.0))
    assert view.recalibration is not None
    applied = replace(view, applied=replace(view.recalibration, where="Fitted elsewhere."))
    assert "Fitted elsewhere." in printed(applied)
    assert "Fitted here." not in printed(applied)


def test_an_unbounded_region_is_explained() -> None:
    text = printed(result_of(*residuals(images=12)))
    (row,) = (line for line in text.splitlines() if line.startswith("95 %") and "ellipse" in line)
    assert "∞" in row
    words = " ".join(text.split())
    assert "∞: too few images to promise this share, the region is unbounded" in words
    assert "95 % at least 19 are needed" in words


def row(scope: Mend | None, mace: float, nll: float) -> RecalibrationRow:
    return RecalibrationRow(
        scope=scope, mace=mace, nll=nll, crps_px=1.0, sigma_scale=1.0, sharpness_px=1.0, radial_mace=0.1,
        coverage_90=0.9,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("mace", "change", "words", "end"),
    [
        (0.02, Change(-0.5, (-0.6, -0.4)),
         "One factor (2.00) improves MACE 0.100 to 0.0200 and NLL 3.00 to 2.50.",
         "Best on images left out: One factor (2.00)."),
        (0.30, Change(-0.5, (-0.6, -0.4)), "improves NLL 3.00 to 2.50, worsens MACE 0.100 to 0.300.",
         "prefer the conformal regions."),
        (0.095, Change(-0.5, (-0.6, 0.1)), "changes nothing beyond chance", "Leave σ as it is."),
        (0.095, Change(-0.5, None), "changes nothing beyond chance", "Leave σ as it is."),
        (0.30, Change(0.5, (0.4, 0.6)), "worsens MACE 0.100 to 0.300 and NLL 3.00 to 3.50.",
         "Leave σ as it is."),
    ],
)  # fmt: skip
def test_advice_follows_the_numbers(mace: float, change: Change, words: str, end: str) -> None:
    view = result_of(*residuals()).recalibration
    assert view is not None
    rows = (row(None, 0.1, 3.0), row("global", mace, 3.0 + change.value), row("keypoint", 0.1, 4.0))
    scale = replace(view.scale, common=2.0)
    changes: dict[Mend, Change] = {"global": change, "keypoint": Change(1.0, None)}
    changed = replace(view, rows=rows, scale=scale, changes=changes)
    assert words in advice(changed)
    assert advice(changed).endswith(end)
