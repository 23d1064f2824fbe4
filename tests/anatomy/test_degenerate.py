"""Geometry that is none: the finding that names it, and neither a warning nor a NaN."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mahtdiag.anatomy.findings import Findings, check_anatomy
from mahtdiag.schema.skeleton import AP, Skeleton

from .spines import ANY_SKELETON, SHORT, Floats, straight_spine


def check(points: Floats, skeleton: Skeleton) -> Findings:
    found = check_anatomy(points[None], skeleton, image_size_px=np.array([[1000.0, 1000.0]]))
    assert np.isfinite(found.value).all()
    assert np.isfinite(found.severity).all()
    assert np.isfinite(found.image_severity()).all()
    assert (found.severity >= 1).all()
    return found


@pytest.mark.parametrize("skeleton", ANY_SKELETON)
@pytest.mark.parametrize("place", [0.0, 7.3, 500.0])
def test_all_points_equal(skeleton: Skeleton, place: float) -> None:
    found = check(np.full((skeleton.keypoints, 2), place), skeleton)
    coincident = [f for f in found.of_image(0) if f.code == "A602"]
    assert [k for f in coincident for k in f.keypoints] == list(range(skeleton.keypoints))
    assert "A603" not in found.codes_per_image()[0]


@pytest.mark.parametrize("skeleton", ANY_SKELETON)
@pytest.mark.parametrize("step", [(3.0, 0.0), (0.0, 3.0), (2.0, 5.0), (0.3, 0.7), (-0.1, 0.3)])
def test_all_points_on_a_line(skeleton: Skeleton, step: tuple[float, float]) -> None:
    points = 300 + np.arange(skeleton.keypoints)[:, None] * np.array(step)
    found = check(points, skeleton)
    flat = [f.vertebra for f in found.of_image(0) if f.code == "A403"]
    assert flat == list(skeleton.bodies)


@pytest.mark.parametrize("skeleton", ANY_SKELETON)
@pytest.mark.parametrize("vertebra", range(5))
def test_one_vertebra_only(skeleton: Skeleton, vertebra: int) -> None:
    points = np.full((skeleton.keypoints, 2), np.nan)
    own = skeleton.keypoints_of(skeleton.bodies[vertebra])
    points[own] = straight_spine(skeleton)[own]
    assert check(points, skeleton).codes_per_image() == (("A603",),)
    points[own] = points[own][[1, 0, 3, 2]]
    assert check(points, skeleton).codes_per_image() == (("A402", "A603"),)
    points[own] = points[own][[3, 2, 1, 0]]
    assert check(points, skeleton).codes_per_image() == (("A103", "A603"),)


@pytest.mark.parametrize("skeleton", ANY_SKELETON)
def test_nothing_annotated(skeleton: Skeleton) -> None:
    found = check(np.full((skeleton.keypoints, 2), np.nan), skeleton)
    assert found.codes_per_image() == (("A603",),)
    first = skeleton.keypoints_of(skeleton.vertebrae[0])
    assert found.of_image(0)[0].keypoints == tuple(first.tolist())


def test_no_images() -> None:
    found = check_anatomy(np.empty((0, 20, 2)), AP, image_size_px=np.empty((0, 2)))
    assert len(found) == 0
    assert found.codes_per_image() == ()
    assert found.per_image() == ()
    assert found.image_severity().shape == (0,)


@pytest.mark.parametrize("value", [np.inf, -np.inf, 1e300, -1e300])
def test_one_infinite_coordinate(value: float) -> None:
    points = straight_spine(AP)
    points[5, 1] = value
    found = check(points, AP)
    assert found.codes_per_image() == (("A603",),)
    assert found.of_image(0)[0].keypoints == (5,)


def test_unknown_image_size_is_not_a_violation() -> None:
    points = straight_spine(AP)[None]
    assert not len(check_anatomy(points, AP, image_size_px=np.array([[np.nan, np.nan]])))


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from((*ANY_SKELETON, *SHORT)).flatmap(
        lambda skeleton: st.tuples(
            st.just(skeleton),
            hnp.arrays(
                np.float64,
                (skeleton.keypoints, 2),
                elements=st.one_of(
                    st.sampled_from(
                        [0.0, 1.0, 500.0, np.nan, np.inf, -np.inf, 1e-300, 5e-324, 1e300, 1e9, -1e9]
                    ),
                    st.floats(allow_nan=True, allow_infinity=True),
                    st.integers(0, 3).map(float),
                ),
            ),
        )
    )
)
def test_any_numbers_give_finite_findings(case: tuple[Skeleton, Floats]) -> None:
    skeleton, points = case
    check(points, skeleton)
