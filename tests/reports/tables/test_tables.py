"""The tables of `evaluate`: numbers where they belong, 80 columns, no markup from file names."""

import io
import math

import numpy as np
import pytest
from rich.console import Console

from mahtdiag.diagnosis.columns import Values
from mahtdiag.diagnosis.gates import Gate, GateResult
from mahtdiag.diagnosis.metrics import registry
from mahtdiag.diagnosis.metrics.losses import LOSS_NAMES
from mahtdiag.diagnosis.metrics.losses import LOSSES as LOSS_SECTION
from mahtdiag.diagnosis.metrics.measures import Told
from mahtdiag.diagnosis.metrics.metric import Better, Estimate, Metric, everything
from mahtdiag.diagnosis.numbers import RunNumbers, numbers_of
from mahtdiag.diagnosis.run_table import RunTable
from mahtdiag.reports.tables.evaluation import EvaluationResult, evaluation_parts
from mahtdiag.reports.tables.table import printable
from mahtdiag.schema.records import Failure
from mahtdiag.schema.skeleton import LA, Skeleton, View

WEIGHTS = {"heatmap": 1.0, "coord": 0.5, "anatomical": 0.1, "uncertainty": 0.1}
LOSSES = {
    "total": 5.2, "heatmap": 0.001, "coord": 10.0, "anatomical": 0.2, "order": 0.1, "parallel": 0.05,
    "ratio": 0.3, "uncertainty": 1.79,
}  # fmt: skip


RULES = {"anatomy.by_code.A101": (2, 3), "anatomy.by_code.A201": (0, 0)}
CALIBRATION = {
    "mace": 0.05, "radial": {"coverage": {"0.95": {"observed": 0.9}}}, "sharpness_px": 3.2,
    "sigma_scale": None, "spearman": 0.4, "verdict": "Overconfident by 1.3.",
}  # fmt: skip


def summary(
    images: int, missing: bool = False, millimetres: bool = False, name: str = "", unknown: str = ""
) -> RunNumbers:
    rng = np.random.default_rng(3)
    error = rng.gamma(2.0, 5.0, (images, View.LA.skeleton.keypoints))
    error[0, 4] = 471.25
    if missing:
        error[:, 20:] = np.nan
    mm = error * 0.2 if millimetres else np.full_like(error, np.nan)
    losses = {f"loss_{name}": np.full(images, LOSSES[name]) for name in LOSS_NAMES}
    if unknown:
        losses[f"loss_{unknown}"] = np.full(images, math.nan)
    losses["loss_heatmap_keypoint_share"] = np.full(images, 0.08)
    names = tuple(name or f"LA/{i:04d}-F-055Y1.jpg" for i in range(images))
    of_images: dict[str, Values] = {
        "radial_error_px": np.array([123.4, *np.linspace(50, 1, images - 1)]),
        "max_error_px": np.full(images, 471.25),
        "violations": (("A101", "A402"),) * images,
        "width": np.full(images, 500.0),
        "height": np.full(images, 900.0),
    }
    places = {name: np.zeros((*error.shape, 2)) for name in ("pred_px", "gt_px")}
    columns = {"image": names, "error_px": error, "error_mm": mm, **places, **losses, **of_images}
    numbers = numbers_of(RunTable(LA, columns))
    counts = {
        f"{code}.{what}": Estimate(float(count))
        for code, of in RULES.items()
        for what, count in zip(("images", "findings"), of, strict=True)
    }
    found = {**numbers.found, **counts, "anatomy.images_with_violations": Estimate(2 / 9)}
    return RunNumbers(numbers.table, found)


def view(numbers: RunNumbers | None) -> EvaluationResult:
    return EvaluationResult(
        title="ckpt.pt (mahtdiag) on data",
        subtitle="LA view",
        evaluated=9,
        failed=1,
        numbers=numbers,
        loss_weights=WEIGHTS,
        calibration=CALIBRATION,
        gates=(
            GateResult(Gate("radial_error_px.mean", "<=", 4.0), 3.5, True),
            GateResult(Gate("calibration.mace", "<=", 0.05), None, False),
        ),
        failures=(Failure("a [red]b.jpg", "the file is empty"),),
        notes=("3 files left out",),
    )


def printed(content: EvaluationResult, width: int = 80) -> str:
    stream = io.StringIO()
    Console(file=stream, width=width).print(printable(evaluation_parts(content, width)))
    return stream.getvalue()


def line(text: str, start: str) -> str:
    return next(row for row in text.splitlines() if row.startswith(start))


def test_every_number_stands_in_its_row() -> None:
    numbers = summary(9)
    text = printed(view(numbers))
    assert f"{numbers['radial_error_px.mean'].value:.2f}" in line(text, "mean, px")
    assert f"{numbers['radial_error_px.median'].value:.2f}" in line(text, "median, px")
    assert "471.2" in line(text, "largest, px")
    assert f"{100 * numbers['sdr_px.4'].value:.1f} %" in line(text, "success detection rate, 4 px")
    assert line(text, "L2").split()[:2] == ["L2", "36"]
    assert "0000-F-055Y1.jpg" in line(text, "L2")
    assert line(text, "coord").split() == ["coord", "10.0", "–", "0.5", "96.2", "%"]
    assert "8.0 % of the heatmap loss comes from keypoint pixels" in text
    assert "2 (22 %)" in line(text, "A101")
    assert "A201" not in text
    assert "note: 3 files left out" in text


def test_a_loss_that_is_registered_has_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    def smoothness(skeleton: Skeleton) -> tuple[Metric, ...]:
        path = (LOSS_SECTION, "smoothness")
        return (Metric(path, "smoothness", everything(skeleton), Better.LOWER, measure=Told(lambda _: 7.25)),)

    assert "smoothness" not in printed(view(summary(9)))
    monkeypatch.setattr(registry, "FAMILIES", (*registry.FAMILIES, smoothness))
    assert "7.25" in line(printed(view(summary(9))), "smoothness")


def test_worst_images_show_every_part_and_its_share() -> None:
    row = line(printed(view(summary(9))), "0000-F-055Y1.jpg")
    assert row.split()[1:4] == ["123.4", "471.2", "5.20"]
    assert row.split()[4:] == ["0.0010", "0%", "10", "96%", "0.20", "0%", "1.8", "3%"]


def test_failures_by_name_and_reason_without_markup() -> None:
    row = line(printed(view(summary(9))), "a [red]b.jpg")
    assert row.split(maxsplit=2)[2].strip() == "the file is empty"


@pytest.mark.parametrize("width", [80, 100, 160])
@pytest.mark.parametrize("name", ["LA/0001-F-055Y1.jpg", "LA/" + "sehr langer Name " * 5 + "ä.jpg"])
def test_fits_the_terminal(width: int, name: str) -> None:
    text = printed(view(summary(9, millimetres=True, name=name)), width)
    assert max(len(row) for row in text.splitlines()) <= width
    # rich cuts with an ellipsis at the end of a cell; ours is in the middle of a name
    assert not [row for row in text.splitlines() if "… " in row or row.rstrip().endswith("…")]
    assert ("A101 A402" in text) == (width >= 100)


def test_millimetres_and_missing_keypoints() -> None:
    text = printed(view(summary(9, missing=True, millimetres=True)))
    assert "18 keypoints not annotated" in " ".join(text.split())
    assert "success detection rate, 2.5 mm" in text
    assert not [row for row in text.splitlines() if row.startswith("S1")]


def test_nothing_evaluated_is_said() -> None:
    text = printed(view(None))
    assert "Nothing was evaluated." in text
    assert "the file is empty" in text


def test_gates_with_the_failed_ones_first() -> None:
    text = printed(view(summary(9)))
    rows = [line(text, "calibration.mace"), line(text, "radial_error_px.mean")]
    assert text.index(rows[0]) < text.index(rows[1])
    assert rows[0].split() == ["calibration.mace", "<=", "0.05", "–", "FAILED"]
    assert rows[1].split() == ["radial_error_px.mean", "<=", "4", "3.50", "passed"]
    assert "Gates: 1 of 2 failed" in text


def test_no_nan_is_ever_printed() -> None:
    content = view(summary(1))
    text = printed(content)
    assert "nan" not in text.lower().replace("nancy", "")
    assert "nan" not in printed(view(summary(1, unknown="uncertainty"))).lower()
