"""Numbers without the images whose labels break a rule: those of a run that never had these images."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from mahtdiag.calibration.report import calibration_report
from mahtdiag.diagnosis.gates import Gate, judge_gates
from mahtdiag.diagnosis.metrics.clean_labels import CLEAN, LABELS, is_clean
from mahtdiag.diagnosis.metrics.metric import Estimate
from mahtdiag.diagnosis.metrics.registry import images_behind, metrics_of
from mahtdiag.diagnosis.numbers import RunNumbers, as_content, numbers_of
from mahtdiag.diagnosis.run_table import RunTable
from mahtdiag.diagnosis.worst_images import RankedImage
from mahtdiag.schema.skeleton import View
from tests.anatomy.spines import natural_spines, sizes_for

Floats = NDArray[np.float64]
AP = View.AP.skeleton
IMAGES = 60


def run(broken: int = 7, seed: int = 0, images: int = IMAGES) -> RunTable:
    """Labels of which the first `broken` have two vertebrae exchanged, and predictions with a σ."""
    rng = np.random.default_rng(seed)
    truth = natural_spines(View.AP, images)
    label = truth.copy()
    label[:broken] = label[:broken][
        :, [*range(4), *range(12, 16), *range(8, 12), *range(4, 8), *range(16, 20)]
    ]
    sigma = np.exp(rng.normal(1.0, 0.3, truth.shape))
    pred = truth + sigma * rng.standard_t(5, truth.shape)
    pred[rng.random(truth.shape[:2]) < 0.02] = np.nan
    return with_errors(pred, label, sigma)


def with_errors(pred: Floats, label: Floats, sigma: Floats) -> RunTable:
    """The columns that follow from these."""
    width, height = sizes_for(label).T
    error = np.linalg.norm(pred - label, axis=-1)
    spacing = np.where(np.arange(len(label)) % 3 == 0, np.nan, 0.2)
    values = {
        "image": tuple(f"{row:03}.png" for row in range(len(label))),
        "width": width, "height": height, "pixel_spacing_mm": spacing,
        "gt_px": label, "pred_px": pred, "error_px": error, "error_mm": error * spacing[:, None],
        "sigma_px": sigma, "patient": tuple(f"p{row // 2}" for row in range(len(label))),
    }  # fmt: skip
    return RunTable(AP, values)


def clean(numbers: RunNumbers) -> dict[str, Estimate]:
    """Those of the section, by the names that they have on all images."""
    return {
        name.removeprefix(f"{CLEAN}."): of for name, of in numbers.found.items() if name.startswith(CLEAN)
    }


def test_the_numbers_are_those_of_a_run_without_these_images() -> None:
    table = run()
    kept = is_clean(table)
    assert kept.tolist() == [False] * 7 + [True] * (IMAGES - 7)
    ours, without = numbers_of(table), numbers_of(table.taken(np.flatnonzero(kept)))
    found = clean(ours)
    assert (found.pop("images"), found.pop("left_out")) == (
        ours["clean_labels.images"],
        ours["clean_labels.left_out"],
    )
    assert (ours["clean_labels.images"].value, ours["clean_labels.left_out"].value) == (IMAGES - 7, 7)
    found.pop("sigma_scale")
    assert len(found) == 56
    for name, of in found.items():
        assert of == without[name], name
        assert of != ours[name], name
    assert any(without[name].ci95 is not None for name in found)


def test_against_naive_numbers() -> None:
    table, rows = run(images=130), range(7, 130)
    errors = [e for row in rows for e in table.error_px[row] if np.isfinite(e)]
    z2 = [
        z**2
        for row in rows
        for z in ((table.pred_px - table.gt_px)[row] / table.sigma_px[row]).ravel()
        if np.isfinite(z)
    ]
    numbers = numbers_of(table)
    # What is labelled and not predicted is missed: within no threshold.
    labelled = int(np.isfinite(table.gt_px[7:]).all(-1).sum())
    assert numbers["clean_labels.radial_error_px.missed"].value == labelled - len(errors)
    assert numbers["clean_labels.radial_error_px.mean"].value == pytest.approx(sum(errors) / len(errors))
    assert numbers["clean_labels.sdr_px.4"].value == pytest.approx(sum(e <= 4 for e in errors) / labelled)
    scale = numbers["clean_labels.sigma_scale"]
    assert scale.value == pytest.approx(math.sqrt(sum(z2) / len(z2)))
    report = calibration_report(
        (table.pred_px - table.gt_px)[7:], table.sigma_px[7:], units=table.units[7:]
    ).as_json()
    intervals = report["ci95"]
    assert isinstance(intervals, dict)
    assert scale.ci95 == pytest.approx(intervals["sigma_scale"])


@settings(max_examples=10)
@given(seed=st.integers(0, 2**32 - 1), factor=st.floats(0.0, 50.0))
def test_what_is_left_out_has_no_part_in_it(seed: int, factor: float) -> None:
    table = run(images=20)
    rng = np.random.default_rng(seed)
    pred = table.pred_px.copy()
    pred[:7] += factor * rng.normal(size=pred[:7].shape)
    order = rng.permutation(20)
    other = with_errors(pred, table.gt_px, table.sigma_px).taken(order)
    before, after = clean(numbers_of(table)), clean(numbers_of(other))
    assert before.keys() == after.keys()
    for name, of in before.items():
        assert after[name].value == pytest.approx(of.value, rel=1e-9), name


def test_all_images_where_every_label_keeps_the_rules() -> None:
    numbers = numbers_of(run(broken=0))
    assert numbers["clean_labels.left_out"].value == 0
    for name, of in clean(numbers).items():
        if name not in ("images", "left_out", "sigma_scale"):
            assert of == numbers[name]


def test_without_one_such_label_there_is_no_number_and_a_gate_fails() -> None:
    table = run(broken=12, images=12)
    numbers = numbers_of(table)
    assert set(clean(numbers)) == {"images", "left_out"}
    content = as_content(metrics_of(AP).values(), numbers.found)
    (result,) = judge_gates([Gate("clean_labels.radial_error_px.mean", "<=", 1e6)], content)
    assert not result.passed
    assert LABELS.advice in str(result.reason)


def test_worst_images_are_clean_ones_and_others_say_what_their_label_breaks() -> None:
    table = run()
    worst = images_behind("clean_labels.radial_error_px.mean", table, too_high=True)
    assert worst is not None
    assert {image.image for image in worst.images}.isdisjoint(table.image[:7])
    of_all = images_behind("radial_error_px.mean", table, too_high=True)
    assert of_all is not None
    first: RankedImage = of_all.images[0]
    assert first.image in table.image[:7]
    assert first.detail.startswith(" (its label breaks A1")
