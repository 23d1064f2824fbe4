"""Labels that a network speaks against: planted ones, invariances, and who is not asked."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from mahtdiag.diagnosis.metrics.registry import metrics_of
from mahtdiag.diagnosis.run_table import RunTable
from mahtdiag.diagnosis.suspicious_labels import evidence_of, suspicious_labels
from mahtdiag.reports.tables.suspicious_labels import suspicious_content, suspicious_parts
from mahtdiag.reports.tables.table import Table
from mahtdiag.schema.skeleton import AP
from validation.suspicious_labels import run_of, spines

Floats = NDArray[np.float64]


def planted(seed: int = 4, images: int = 40) -> RunTable:
    """Image 0 names every vertebra as the next lower one, image 1 has a corner that is 150 px off."""
    rng = np.random.default_rng(seed)
    points = spines(rng, images)
    label = points[:, 4:24].copy()
    label[0] = points[0, 8:28]
    label[1, 5, 0] += 150.0
    return run_of(rng, points[:, 4:24], label, with_sigma=True)


def test_the_planted_ones_come_first_with_their_reasons() -> None:
    found = suspicious_labels(planted())
    assert found.reason is None
    levels, corner = found.labels[:2]
    assert (levels.image, levels.keypoint, levels.shift) == ("0000.png", None, -1)
    assert (corner.image, corner.keypoint, corner.shift) == ("0001.png", 5, 0)
    assert levels.evidence > corner.evidence > 3.0
    (table,) = suspicious_parts(found, AP, 0)
    assert isinstance(table, Table)
    assert [row.cells[0].text for row in table.rows[:2]] == ["0000.png", "0001.png"]
    images = suspicious_content(found, AP)["images"]
    assert isinstance(images, list)
    kinds = [(each["kind"], each["keypoint"]) for each in images[:2] if isinstance(each, dict)]
    assert kinds == [("levels", None), ("corner", "L2 UR")]


def test_the_evidence_of_a_level_against_a_loop() -> None:
    table = planted()
    residual = (table.pred_px - table.gt_px) / table.sigma_px
    size = np.linalg.norm(residual, axis=-1)
    core = np.median(size, axis=0) / np.sqrt(2 * np.log(2))
    total = 0.0
    for k in range(4, 20):
        moved = np.linalg.norm((table.pred_px[0, k] - table.gt_px[0, k - 4]) / table.sigma_px[0, k])
        total += 3.5 * np.log((1 + (size[0, k] / core[k]) ** 2 / 5) / (1 + (moved / core[k]) ** 2 / 5))
    assert evidence_of(table).levels[0] == pytest.approx(total)


def test_the_number_counts_them_and_is_unknown_where_nothing_is_said() -> None:
    metric = metrics_of(AP)["anatomy.suspicious_labels"]
    table = planted()
    found = suspicious_labels(table).labels
    assert metric.value(table) == len(found) >= 2
    worst = metric.worst_images(table, too_high=True)
    assert worst is not None
    assert worst.what == "strongest evidence against the label"
    assert [each.image for each in worst.images] == [each.image for each in found[:5]]
    assert [each.score for each in worst.images] == pytest.approx([each.evidence for each in found[:5]])
    few = planted(images=12)
    assert metric.value(few) is None
    assert metric.worst_images(few, too_high=True) is None


@settings(max_examples=20)
@given(seed=st.integers(0, 2**32 - 1), factor=st.floats(0.05, 20.0), common=st.floats(0.1, 10.0))
def test_order_size_of_pixels_and_calibration_decide_nothing(seed: int, factor: float, common: float) -> None:
    table = planted()
    scaled = RunTable(
        AP,
        {
            "image": table.image,
            "width": table.width * factor, "height": table.height * factor,
            "pred_px": table.pred_px * factor, "gt_px": table.gt_px * factor,
            "sigma_px": table.sigma_px * factor * common,
        },
    ).taken(np.random.default_rng(seed).permutation(len(table)))  # fmt: skip
    before, after = suspicious_labels(table).labels, suspicious_labels(scaled).labels
    assert [(each.image, each.keypoint) for each in before] == [(each.image, each.keypoint) for each in after]
    assert [each.evidence for each in before] == pytest.approx([each.evidence for each in after], rel=1e-6)


def test_few_images_or_a_bad_network_say_why_not() -> None:
    few = suspicious_labels(planted(images=12))
    assert few.labels == ()
    assert few.reason is not None
    table = planted()
    wild = table.pred_px + np.random.default_rng(0).normal(0, 60, table.pred_px.shape)
    bad = suspicious_labels(table.with_values(pred_px=wild))
    assert bad.labels == ()
    assert "too few to judge labels by it" in str(bad.reason)
    assert list(suspicious_parts(bad, AP, 0)) == []


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("what", ["no prediction", "no label", "no image", "no sigma", "zero sigma"])
def test_what_is_missing(what: str) -> None:
    table = planted()
    nothing = np.full_like(table.pred_px, np.nan)
    tables = {
        "no prediction": table.with_values(pred_px=nothing),
        "no label": table.with_values(gt_px=nothing),
        "no image": table.taken(np.arange(0)),
        "no sigma": table.with_values(sigma_px=nothing),
        "zero sigma": table.with_values(sigma_px=np.zeros_like(nothing)),
    }
    found = suspicious_labels(tables[what])
    assert bool(found.labels) is (what in ("no sigma", "zero sigma"))
