"""Kyphosis and lordosis on spines that are bent by known angles, and against a loop."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mahtdiag.anatomy.measurements import measure_lateral
from mahtdiag.anatomy.sagittal import BENDS, CERVICAL_LORDOSIS, THORACIC_KYPHOSIS, sagittal_bend_deg
from mahtdiag.schema.skeleton import LA, Levels, Skeleton, View

from .spines import T1_TO_S1, natural_spines
from .test_coronal import mirrored, moved, naive_tilt, spine_with

CERVICAL = Skeleton.of(View.LA, Levels("C2", "T1"))
RIGHT, LEFT, UNKNOWN = np.array([1]), np.array([-1]), np.array([0])


def test_a_kyphosis_bends_the_other_way_than_a_lordosis() -> None:
    """Of a patient who faces right, T8 is behind T4 and T12, and L3 before T12 and S1."""
    tilts = (16, 16, 16, *range(16, -20, -4), -20, -10, 0, 10, 20)
    points = spine_with(tilts)
    points = np.concatenate([points, points[-2:] + np.array([0, 20])])[None]
    assert sagittal_bend_deg(points, T1_TO_S1, RIGHT, THORACIC_KYPHOSIS) == pytest.approx([32])
    assert measure_lateral(points, T1_TO_S1, RIGHT).lordosis_deg == pytest.approx([40])
    forth = points[0, :68].reshape(17, 4, 2).mean(axis=1)[:, 0]
    assert forth[7] < min(forth[3], forth[11])
    assert forth[14] > max(forth[11], points[0, -2:, 0].mean())
    flipped = mirrored(points)
    assert sagittal_bend_deg(flipped, T1_TO_S1, LEFT, THORACIC_KYPHOSIS) == pytest.approx([32])
    assert sagittal_bend_deg(flipped, T1_TO_S1, UNKNOWN, THORACIC_KYPHOSIS) == pytest.approx([-32])


def test_cervical_lordosis_has_the_sign_of_the_lumbar_one() -> None:
    points = spine_with((-20, -16, -10, -5, 0, 6, 9))[None, 2:]
    assert sagittal_bend_deg(points, CERVICAL, RIGHT, CERVICAL_LORDOSIS) == pytest.approx([26])
    assert sagittal_bend_deg(mirrored(points), CERVICAL, LEFT, CERVICAL_LORDOSIS) == pytest.approx([26])


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.floats(-180, 180), st.floats(0.1, 10))
def test_against_a_loop_and_invariant(seed: int, turn_deg: float, scale: float) -> None:
    points = natural_spines(T1_TO_S1, 1, seed) + np.random.default_rng(seed).normal(0, 5, (1, 70, 2))
    found = sagittal_bend_deg(points, T1_TO_S1, RIGHT, THORACIC_KYPHOSIS)
    upper, lower = naive_tilt(points[0, 12], points[0, 13]), naive_tilt(points[0, 46], points[0, 47])
    assert found == pytest.approx([upper - lower])
    other = sagittal_bend_deg(moved(points, turn_deg, scale), T1_TO_S1, RIGHT, THORACIC_KYPHOSIS)
    assert other == pytest.approx(found, abs=1e-6)


def test_without_an_endplate_there_is_no_angle() -> None:
    assert not any(bend.applies(LA) for bend in BENDS)
    assert THORACIC_KYPHOSIS.applies(T1_TO_S1)
    assert not CERVICAL_LORDOSIS.applies(T1_TO_S1)
    assert CERVICAL_LORDOSIS.applies(CERVICAL)
    assert np.isnan(sagittal_bend_deg(natural_spines(LA, 2), LA, np.array([1, 0]), THORACIC_KYPHOSIS)).all()
    points = natural_spines(T1_TO_S1, 5)
    points[0, 12] = np.nan
    points[1, 47, 0] = math.inf
    points[2, 13] = points[2, 12]
    points[3, 14] = np.nan
    found = sagittal_bend_deg(points, T1_TO_S1, np.ones(5, dtype=np.int64), THORACIC_KYPHOSIS)
    assert np.isnan(found).tolist() == [True, True, True, False, False]
