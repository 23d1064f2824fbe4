"""The table of a run: one image, some images, other rules, and what is computed once."""

from dataclasses import fields, replace

import numpy as np
import pytest

from mahtdiag.anatomy.error_types import whole_image_level_shift
from mahtdiag.anatomy.findings import Findings, check_anatomy
from mahtdiag.anatomy.rules import RULES, Limits, select_rules
from mahtdiag.diagnosis import run_table
from mahtdiag.diagnosis.columns import ColumnNotReadError
from mahtdiag.diagnosis.conditions import Conditions
from mahtdiag.diagnosis.run_table import COLUMNS, RunTable
from mahtdiag.schema.frames import FrameMap, NetworkFrames, Size
from mahtdiag.schema.records import Failure, ImageRecord
from mahtdiag.schema.skeleton import AP
from tests.anatomy.spines import natural_spines
from tests.runs.builders import record

IMAGES = 12
FAILED = (Failure("z.jpg", "0 bytes"), Failure("y.jpg", "truncated"))


def records() -> list[ImageRecord]:
    """Spines of which some are marked one level off, some crumpled; sizes differ."""
    spines = natural_spines(AP.view, IMAGES)
    made = []
    for row, spine in enumerate(spines):
        step = (spine[4:] - spine[:-4]).mean(axis=0)
        pred_px = spine + (step if row % 4 == 1 else 0.0)
        if row % 3 == 0:
            pred_px[[4, 5]] = pred_px[[5, 4]]
        plain = record(f"{row:02d}.jpg")
        known = replace(plain.keypoints, gt_px=spine, pred_px=pred_px)
        made.append(replace(plain, keypoints=known, width=3000 + 500 * (row % 2), height=4000))
    return made


def table(conditions: Conditions | None = None) -> RunTable:
    """Those records as a table, given out of order."""
    whole = RunTable.of_records(records()[::-1], FAILED, AP)
    if conditions is None:
        return whole
    return RunTable(AP, whole._values, conditions=conditions, failures=whole.failures)


def same(a: Findings, b: Findings) -> bool:
    """Whether two sets of findings are equal, column by column."""
    return all(np.array_equal(getattr(a, part.name), getattr(b, part.name)) for part in fields(a))


def test_rows_and_failures_come_in_the_order_of_their_names() -> None:
    made = table()
    assert made.image == tuple(f"{row:02d}.jpg" for row in range(IMAGES))
    assert [failure.image for failure in made.failures] == ["y.jpg", "z.jpg"]
    assert len(made) == IMAGES


def test_images_of_a_patient_are_one_unit() -> None:
    made = RunTable.of_records(
        [replace(record(n), patient=p) for n, p in zip("abcd", "yxyz", strict=True)], (), AP
    )
    assert (made.units.tolist(), made.patients) == ([0, 1, 0, 2], 3)
    some = made.taken(np.array([1, 2, 0]))
    assert (some.units.tolist(), some.patients) == ([0, 1, 1], 2)


def test_an_image_of_an_unknown_patient_is_a_unit_of_its_own() -> None:
    named = [replace(record(n), patient=p) for n, p in zip("abcd", ("y", None, "y", None), strict=True)]
    made = RunTable.of_records(named, (), AP)
    assert (made.units.tolist(), made.patients) == ([0, 1, 0, 2], None)
    assert (table().units.tolist(), table().patients) == (list(range(IMAGES)), None)


def test_no_two_columns_share_a_name_on_disk() -> None:
    names = [name for column in COLUMNS for name in column.names]
    assert len(names) == len(set(names))


def test_what_is_derived_is_what_the_rules_say_of_the_columns() -> None:
    made = table()
    sizes = np.array([[3000 + 500 * (row % 2), 4000] for row in range(IMAGES)])
    np.testing.assert_array_equal(made.sizes_px, sizes)
    expected = check_anatomy(made.pred_px, AP, image_size_px=sizes)
    assert len(expected)
    assert same(made.findings, expected)
    assert same(made.label_findings, check_anatomy(made.gt_px, AP, image_size_px=sizes))
    np.testing.assert_array_equal(made.level_shift, whole_image_level_shift(made.pred_px, made.gt_px))
    assert made.level_shift.any()
    assert made.record(0).findings == made.findings.of_image(0) != ()


def test_findings_are_computed_once_and_again_only_for_other_limits_or_rules(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls: list[int] = []

    def counted(*args: object, **named: object) -> Findings:
        calls.append(1)
        return check_anatomy(*args, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(run_table, "check_anatomy", counted)
    made = table()
    limits, rules = made.conditions.limits, made.conditions.rules
    for _ in range(2):
        assert made.judged_by(limits, rules) is made
        assert same(made.findings, made.taken(np.arange(IMAGES)).findings)
        made.taken(np.array([3, 1])).findings.of_image(0)
    assert len(calls) == 1
    other = made.judged_by(limits, select_rules(["A1"], ()))
    assert same(other.findings, check_anatomy(made.pred_px, AP, image_size_px=made.sizes_px,
                                              rules=select_rules(["A1"], ())))  # fmt: skip
    assert other.sizes_px is made.sizes_px
    assert len(calls) == 2


@pytest.mark.parametrize("rows", [[], [5], [0, 1, 2], [11, 0, 4, 3], [2, 2, 1]])
def test_some_images_are_as_if_there_had_been_no_others(rows: list[int]) -> None:
    made = table()
    part = made.taken(np.array(rows, dtype=np.int64))
    assert part.image == tuple(f"{row:02d}.jpg" for row in rows)
    for column in COLUMNS:
        if column.number_type is not None:
            whole = np.asarray(getattr(made, column.name))
            np.testing.assert_array_equal(getattr(part, column.name), whole[rows])
    expected = check_anatomy(made.pred_px[rows], AP, image_size_px=made.sizes_px[rows])
    assert same(part.findings, expected)
    assert part.failures == made.failures


def test_all_images_are_no_copy() -> None:
    made = table()
    assert made.taken(np.arange(IMAGES)) is made


def test_frames_are_those_of_each_image() -> None:
    frames = NetworkFrames(Size(512, 256), Size(128, 64))
    made = table(Conditions(Limits.of(AP.view), RULES, heatmap_sigma=2.0, frames=frames))
    cells, sigma_px = made.in_cells(made.pred_px), made.target_sigma_px()
    assert cells is not None
    assert sigma_px is not None
    for row, (width, height) in enumerate(made.sizes_px.tolist()):
        frame = FrameMap(Size(int(height), int(width)), frames.network_input, frames.heatmap)
        np.testing.assert_array_equal(cells[row], frame.original_to_heatmap(made.pred_px[row]))
        np.testing.assert_array_equal(sigma_px[row], 2.0 * frame.original_per_cell)
    assert table().in_cells(made.pred_px) is None
    assert table().target_sigma_px() is None


def test_the_ellipse_of_the_spread_carries_the_factors_of_its_sigma() -> None:
    factors = tuple(np.linspace(0.5, 2.0, AP.keypoints).tolist())
    plain, scaled = (
        table(Conditions(Limits.of(AP.view), sigma_source="heatmap", sigma_factors=of)).covariance_px2
        for of in (None, factors)
    )
    assert plain is not None
    assert scaled is not None
    xx, xy, yy = np.moveaxis(table().averaged_px2, -1, 0)
    np.testing.assert_array_equal(plain, np.stack([np.stack([xx, xy], -1), np.stack([xy, yy], -1)], -2))
    np.testing.assert_allclose(scaled, plain * np.array(factors)[:, None, None] ** 2, rtol=1e-14)
    assert table(Conditions(Limits.of(AP.view), sigma_source="ensemble")).covariance_px2 is None


def test_a_column_that_was_not_read_is_a_mistake_and_no_nan() -> None:
    made = RunTable(AP, {"image": ("a.jpg",), "width": np.array([100.0])})
    with pytest.raises(ColumnNotReadError, match="without height"):
        _ = made.sizes_px
    with pytest.raises(ColumnNotReadError, match="without loss_total"):
        made.loss("total")
