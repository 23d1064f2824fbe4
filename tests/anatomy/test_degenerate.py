"""Geometry that is none: the finding that names it, and neither a warning nor a NaN."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mahtdiag.anatomy.findings import Findings
from mahtdiag.anatomy.violations import check_anatomy
from mahtdiag.schema.skeleton import View

from .spines import Floats, straight_spine


def check(points: Floats, view: View) -> Findings:
    found = check_anatomy(points[None], view, image_size_px=np.array([[1000.0, 1000.0]]))
    assert np.isfinite(found.value).all()
    assert np.isfinite(found.severity).all()
    assert np.isfinite(found.image_severity()).all()
    assert (found.severity >= 1).all()
    return found


@pytest.mark.parametrize("view", View)
@pytest.mark.parametrize("place", [0.0, 7.3, 500.0])
def test_all_points_equal(view: View, place: float) -> None:
    found = check(np.full((view.keypoints, 2), place), view)
    coincident = [f for f in found.of_image(0) if f.code == "A602"]
    assert [k for f in coincident for k in f.keypoints] == list(range(view.keypoints))
    assert "A603" not in found.codes_per_image()[0]


@pytest.mark.parametrize("view", View)
@pytest.mark.parametrize("step", [(3.0, 0.0), (0.0, 3.0), (2.0, 5.0), (0.3, 0.7), (-0.1, 0.3)])
def test_all_points_on_a_line(view: View, step: tuple[float, float]) -> None:
    points = 300 + np.arange(view.keypoints)[:, None] * np.array(step)
    found = check(points, view)
    flat = [f.vertebra for f in found.of_image(0) if f.code == "A403"]
    assert flat == list(view.vertebrae[:5])


@pytest.mark.parametrize("view", View)
@pytest.mark.parametrize("vertebra", range(5))
def test_one_vertebra_only(view: View, vertebra: int) -> None:
    points = np.full((view.keypoints, 2), np.nan)
    own = slice(4 * vertebra, 4 * vertebra + 4)
    points[own] = straight_spine(view)[own]
    assert check(points, view).codes_per_image() == (("A603",),)
    points[own] = points[own][[1, 0, 3, 2]]
    assert check(points, view).codes_per_image() == (("A402", "A603"),)
    points[own] = points[own][[3, 2, 1, 0]]
    assert check(points, view).codes_per_image() == (("A103", "A603"),)


@pytest.mark.parametrize("view", View)
def test_nothing_annotated(view: View) -> None:
    found = check(np.full((view.keypoints, 2), np.nan), view)
    assert found.codes_per_image() == (("A603",),)
    assert found.of_image(0)[0].keypoints == (0, 1, 2, 3)


def test_no_images() -> None:
    found = check_anatomy(np.empty((0, 20, 2)), View.AP, image_size_px=np.empty((0, 2)))
    assert len(found) == 0
    assert found.codes_per_image() == ()
    assert found.per_image() == ()
    assert found.image_severity().shape == (0,)


@pytest.mark.parametrize("value", [np.inf, -np.inf, 1e300, -1e300])
def test_one_infinite_coordinate(value: float) -> None:
    points = straight_spine(View.AP)
    points[5, 1] = value
    found = check(points, View.AP)
    assert found.codes_per_image() == (("A603",),)
    assert found.of_image(0)[0].keypoints == (5,)


def test_unknown_image_size_is_not_a_violation() -> None:
    points = straight_spine(View.AP)[None]
    assert not len(check_anatomy(points, View.AP, image_size_px=np.array([[np.nan, np.nan]])))


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(list(View)).flatmap(
        lambda view: hnp.arrays(
            np.float64,
            (view.keypoints, 2),
            elements=st.one_of(
                st.sampled_from([0.0, 1.0, 500.0, np.nan, np.inf, -np.inf, 1e-300, 5e-324, 1e300, 1e9, -1e9]),
                st.floats(allow_nan=True, allow_infinity=True),
                st.integers(0, 3).map(float),
            ),
        )
    )
)
def test_any_numbers_give_finite_findings(points: Floats) -> None:
    view = View.from_keypoints(points.shape[0])
    assert view is not None
    check(points, view)
