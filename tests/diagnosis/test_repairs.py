"""What kinds of mistakes cost in millimetres: against a loop, and against pixels where spacings are one."""

import numpy as np
import pytest

from mahtdiag.anatomy.error_types import ErrorType
from mahtdiag.diagnosis.image_errors import MM, PX
from mahtdiag.diagnosis.repairs import Repairs, mm_per_px, repairs_in
from mahtdiag.diagnosis.run_table import RunTable
from mahtdiag.schema.skeleton import View
from tests.anatomy.spines import natural_spines

from .compared import run_of

N = 12


def mistaken(*, spacing_mm: np.ndarray | None = None) -> RunTable:
    """Jitter and misses of every size, in images of these spacings."""
    label = natural_spines(View.AP, N)
    rng = np.random.default_rng(3)
    angle = rng.uniform(0.0, 2.0 * np.pi, label.shape[:2])
    distance = rng.exponential(20.0, label.shape[:2])
    pred = label + distance[..., None] * np.stack([np.cos(angle), np.sin(angle)], axis=2)
    table = run_of(pred, label, View.AP)
    spacing = np.full(N, np.nan) if spacing_mm is None else spacing_mm
    return table.with_values(pixel_spacing_mm=spacing, error_mm=table.error_px * spacing[:, None])


def found(table: RunTable) -> Repairs:
    repairs = repairs_in(table, MM)
    assert repairs is not None
    return repairs


def test_against_a_loop_where_spacings_differ() -> None:
    spacing = np.linspace(0.1, 0.9, N)
    table = mistaken(spacing_mm=spacing)
    repairs, kinds = found(table), table.error_types
    assert repairs.unit is MM
    assert len(repairs.rows) > 2
    assert repairs.mean == pytest.approx(table.error_mm.mean())
    for row in repairs.rows:
        total = left = share = 0.0
        for image in range(N):
            for point in range(20):
                error = table.error_mm[image, point]
                of_kind = kinds.types[image, point] == row.error_type
                total += error
                share += error if of_kind else 0.0
                left += kinds.repaired_px[image, point] * spacing[image] if of_kind else error
        assert row.repaired_mean == pytest.approx(left / (20 * N))
        assert row.error_share == pytest.approx(share / total)
        if row.error_type is not ErrorType.GOOD:
            gain = repairs.gains[row.error_type]
            assert gain.value == pytest.approx(repairs.mean - row.repaired_mean)
            assert gain.ci95 is not None
            assert gain.ci95[0] <= gain.value <= gain.ci95[1]


def test_one_spacing_for_all_scales_what_pixels_say() -> None:
    in_mm, in_px = found(mistaken(spacing_mm=np.full(N, 0.25))), repairs_in(mistaken(), PX)
    assert in_px is not None
    assert in_mm.mean == pytest.approx(0.25 * in_px.mean)
    for ours, theirs in zip(in_mm.rows, in_px.rows, strict=True):
        assert (ours.error_type, ours.keypoints) == (theirs.error_type, theirs.keypoints)
        assert ours.repaired_mean == pytest.approx(0.25 * theirs.repaired_mean)
        assert ours.error_share == pytest.approx(theirs.error_share)
    for kind, gain in in_mm.gains.items():
        assert gain.ci95 == pytest.approx(0.25 * np.array(in_px.gains[kind].ci95), rel=1e-6)


def test_images_without_a_spacing_are_left_out() -> None:
    """The numbers are those of the other images alone, and so is the mean that leads elsewhere."""
    spacing = np.linspace(0.1, 0.9, N)
    spacing[[0, 5]] = np.nan
    table = mistaken(spacing_mm=spacing)
    kept = np.flatnonzero(np.isfinite(spacing))
    some, others = found(table), found(table.taken(kept))
    assert (some.left_out, others.left_out) == (40, 0)
    assert some.rows == others.rows
    assert some.mean == pytest.approx(float(np.nanmean(table.error_mm)))
    assert {kind: gain.value for kind, gain in some.gains.items()} == pytest.approx(
        {kind: gain.value for kind, gain in others.gains.items()}
    )


def test_pixels_where_no_spacing_is_known() -> None:
    table = mistaken()
    assert mm_per_px(table) is None
    assert found(table).unit is PX


def test_pixels_where_they_are_asked_for() -> None:
    repairs = repairs_in(mistaken(spacing_mm=np.full(N, 0.25)), PX)
    assert repairs is not None
    assert repairs.unit is PX


def test_pixels_where_an_image_has_two_spacings() -> None:
    """What is left of a repaired error has no direction, so it has no length in millimetres."""
    table = mistaken(spacing_mm=np.full(N, 0.25))
    none, x_mm, y_mm = np.full(N, np.nan), np.full(N, 0.25), np.full(N, 0.25)
    y_mm[2] = 0.3
    both = table.with_values(pixel_spacing_mm=none, pixel_spacing_x_mm=x_mm, pixel_spacing_y_mm=y_mm)
    assert mm_per_px(both) is None
    same = table.with_values(pixel_spacing_mm=none, pixel_spacing_x_mm=x_mm, pixel_spacing_y_mm=x_mm)
    assert found(same).unit is MM
