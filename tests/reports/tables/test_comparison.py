"""What a comparison prints: no number cut, no NaN, every number once, the verdict in words."""

import json
import math
from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np
import pytest
from rich.console import Console

from mahtdiag.diagnosis.comparison import Comparison, compare_runs, compared_names
from mahtdiag.diagnosis.gates import Margin
from mahtdiag.diagnosis.image_errors import PX, ImageErrors
from mahtdiag.diagnosis.metrics.registry import known_metrics, metrics_of
from mahtdiag.reports.json import MOST_IMAGES, comparison_content
from mahtdiag.reports.overlay.draw import GAP_PX, HEADER_PX, Half, draw_side_by_side
from mahtdiag.reports.rendering import Result, json_bytes
from mahtdiag.reports.tables.comparison import ComparisonResult, comparison_parts, title_of
from mahtdiag.reports.tables.table import printable
from mahtdiag.schema.skeleton import LA, View
from tests.diagnosis.compared import is_compared, run_of, two_runs

MEAN = "radial_error_px.mean"


def comparison(
    view: View = View.AP, images: int = 12, *, worse: float = 1.5, margin: float = 0.0
) -> Comparison:
    a, b = two_runs(images, view, worse=worse, odd=False)
    return compare_runs(a, b, compared_names(view.skeleton), [Margin(MEAN, margin, relative=False)])


def result_of(found: Comparison) -> ComparisonResult:
    return ComparisonResult(
        skeleton=View.AP.skeleton,
        a="runs/base",
        b="runs/new",
        checkpoint_a="base.pt",
        checkpoint_b="new.pt",
        comparison=found,
        names_a=[f"AP/{row:04d}-F-050Y0.jpg" for row in range(found.images)],
        names_b=[f"{row}.jpg" for row in range(found.images)],
        strict=False,
        notes=("something worth reading",),
    )


def text_of(result: ComparisonResult, width: int = 80) -> str:
    console = Console(width=width, color_system=None)
    with console.capture() as printed:
        console.print(printable(comparison_parts(result, width)))
    return printed.get()


@pytest.mark.parametrize("view", list(View))
@pytest.mark.parametrize("images", [1, 2, 30])
def test_it_fits_into_80_columns_without_a_cut_number(view: View, images: int) -> None:
    text = text_of(result_of(comparison(view, images)))
    assert max(map(len, text.splitlines())) <= 80
    assert "…" not in text
    assert "nan" not in text.lower()


def test_astronomic_predictions_fit_as_well() -> None:
    a, b = two_runs(8, odd=False)
    far = run_of(b.gt_px + 3e8, b.gt_px, View.AP, seed=2)
    text = text_of(result_of(compare_runs(a, far, compared_names(View.AP.skeleton), ())))
    assert max(map(len, text.splitlines())) <= 80
    assert "…" not in text
    assert "e+08" in text


@pytest.mark.parametrize("view", list(View))
def test_every_number_has_one_row_and_every_row_its_own_name(view: View) -> None:
    found = comparison(view)
    text = text_of(result_of(found))
    titles = [title_of(each.metric) for each in found.metrics]
    for metric, title in zip(found.metrics, titles, strict=True):
        section = [name for name in titles if name == title]
        assert any(line.startswith(f"{title} ") for line in text.splitlines()), metric.name
        assert len(section) == 1, title


def test_a_number_with_no_short_title_keeps_its_name() -> None:
    for metric in known_metrics():
        if is_compared(metric.name, View.LA.skeleton):
            assert title_of(metric)
    for name, title in (
        ("vertebrae.L5.sdr_px.2", "vertebrae.L5.sdr_px.2"),
        ("anatomy.by_code.A101.findings", "A101, findings"),
        ("calibration.radial.coverage.0.68.observed", "68 % ellipse, %"),
    ):
        assert title_of(metrics_of(LA)[name]) == title


@pytest.mark.parametrize(
    ("worse", "margin", "strict", "expected"),
    [
        (1.5, 0.0, False, "verdict: B is worse than A: radial_error_px.mean by "),
        (0.3, 0.0, False, "verdict: B is better than A: radial_error_px.mean by "),
        (1.0, 0.0, False, "verdict: B is neither shown to be worse than A beyond the margin nor to be"),
        (1.0, 0.0, True, "strict: not shown to be within the margin: radial_error_px.mean"),
        (1.5, 0.1, False, ", margin 0.100)"),
    ],
)
def test_the_verdict_is_a_sentence(worse: float, margin: float, strict: bool, expected: str) -> None:
    result = replace(result_of(comparison(images=40, worse=worse, margin=margin)), strict=strict)
    text = " ".join(text_of(result, 200).splitlines())
    assert expected in text
    assert ("strict: " in text) is strict


def test_lost_images_are_in_the_verdict() -> None:
    found = replace(comparison(worse=0.3), lost=("a.png", "b.png"))
    assert "verdict: B is worse than A: it failed on 2 images that A has evaluated" in text_of(
        result_of(found)
    )


def test_of_several_runs_each_has_its_letter() -> None:
    text = text_of(replace(result_of(comparison(images=40)), letter="D"))
    assert "\nD  runs/new (new.pt)\n" in text
    assert " D − A " in text
    assert "\nverdict: D is worse than A: " in text
    assert "\nD is further off in " in text


def test_names_from_outside_are_no_markup() -> None:
    result = result_of(comparison(images=4))
    names = ["[red]odd[/red].jpg"] * 4
    text = text_of(replace(result, a="[bold]x", names_a=names, notes=("[link=x]note",)), 100)
    for name in ("[bold]x", "[red]odd[/red].jpg", "[link=x]note"):
        assert name in text


def test_images_that_did_not_change_have_no_table() -> None:
    found = comparison()
    text = text_of(result_of(replace(found, in_px=replace(found.in_px, b=found.in_px.a))))
    assert "B is further off in no image." in text
    assert "B is closer in no image." in text


def contents(results: Sequence[ComparisonResult]) -> dict[str, object]:
    text = json_bytes(Result(lambda _: (), lambda: comparison_content(results)))
    content: dict[str, object] = json.loads(text)
    return content


def test_json_is_complete_and_has_no_nan() -> None:
    found = comparison(images=1)
    content = contents([result_of(found)])
    assert list(content) == [
        "a", "b", "checkpoints", "view", "images", "patients", "unit", "metrics", "judged",
        "verdict", "non_inferior", "worse", "better", "lost", "notes",
    ]  # fmt: skip
    metrics = content["metrics"]
    assert isinstance(metrics, dict)
    assert list(metrics) == [metric.name for metric in found.metrics]
    assert {metric["ci95"] for metric in metrics.values()} == {None}
    assert all(math.isfinite(metric["difference"]) for metric in metrics.values())


def test_json_of_missing_numbers_is_null() -> None:
    a, b = two_runs(5, odd=False)
    margins = [Margin("calibration.spearman", 0.1, relative=False)]
    content = contents([result_of(compare_runs(a, b, (MEAN,), margins))])
    assert content["judged"] == [
        {
            "metric": "calibration.spearman", "margin": None, "worsening": None, "worsening_ci95": None,
            "p_holm": None, "detectable": None, "outcome": "missing",
        }
    ]  # fmt: skip
    assert content["non_inferior"] is False


def test_json_of_several_runs() -> None:
    results = [result_of(comparison(images=5)), replace(result_of(comparison(images=6)), b="runs/third")]
    content = contents(results)
    pairs = content["comparisons"]
    assert isinstance(pairs, list)
    assert [(pair["a"], pair["b"], pair["images"]) for pair in pairs] == [
        ("runs/base", "runs/new", 5),
        ("runs/base", "runs/third", 6),
    ]
    assert content["images"] == 5


def test_more_images_are_counted_than_named() -> None:
    errors = np.arange(5000.0)
    result = result_of(replace(comparison(), in_px=ImageErrors(PX, np.zeros(5000), errors + 1.0)))
    worse = contents([result])["worse"]
    assert isinstance(worse, dict)
    assert (worse["images"], len(worse["most"])) == (5000, MOST_IMAGES)
    most = {
        "image": "AP/4999-F-050Y0.jpg",
        "image_b": "4999.jpg",
        "a": 0.0,
        "b": 5000.0,
        "difference": 5000.0,
    }
    assert worse["most"][0] == most
    assert "B is further off in 5000 of 5,000 images, the most in these 8" in text_of(result)


def png_of(height: int, width: int, grey: int) -> bytes:
    done, encoded = cv2.imencode(".png", np.full((height, width, 3), grey, dtype=np.uint8))
    assert done
    return encoded.tobytes()


def test_two_overlays_stand_side_by_side_below_their_names() -> None:
    halves = (
        Half(png_of(60, 300, 200), "A", "runs/a", "3.00 px"),
        Half(png_of(90, 400, 100), "B", "x" * 500, "1e9 mm"),
    )
    drawn = draw_side_by_side(*halves)
    picture = cv2.imdecode(np.frombuffer(drawn, np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    assert picture.shape == (HEADER_PX + 90, 300 + GAP_PX + 400, 3)
    assert (picture[HEADER_PX : HEADER_PX + 60, :300] == 200).all()
    assert (picture[HEADER_PX:, 300 + GAP_PX :] == 100).all()
    for header in (picture[:HEADER_PX, :300], picture[:HEADER_PX, 300 + GAP_PX :]):
        assert header.max() > 200
        assert (header[:, -8:] == header[0, -1]).all()
    assert draw_side_by_side(*halves) == drawn
