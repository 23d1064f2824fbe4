"""Student's t against scipy, and its CRPS against its integral."""

import numpy as np
import pytest
from scipy import integrate, stats

from mahtdiag.calibration.student import (
    StudentT,
    fit_student,
    squares_by_size,
    student_scores,
    summary_of,
)


@pytest.mark.parametrize(("degrees", "scale"), [(1.5, 0.1), (3.0, 0.8), (8.0, 2.0)])
def test_fit_against_scipy(degrees: float, scale: float) -> None:
    z = scale * np.random.default_rng(0).standard_t(degrees, size=(3000, 2))
    found = fit_student(squares_by_size(z, np.zeros(3000, dtype=np.intp), 1)[0])
    theirs = stats.t.fit(z.ravel(), floc=0)
    assert found.degrees == pytest.approx(theirs[0], rel=1e-3)
    assert found.scale == pytest.approx(theirs[2], rel=1e-3)


def test_normal_errors_have_many_degrees() -> None:
    z = 1.3 * np.random.default_rng(1).normal(size=(4000, 2))
    found = fit_student(squares_by_size(z, np.zeros(4000, dtype=np.intp), 1)[0])
    assert found.degrees > 30.0
    assert found.scale == pytest.approx(1.3, rel=0.03)


def test_parts_add_up() -> None:
    z = np.random.default_rng(2).standard_t(4, size=(300, 2))
    part = np.arange(300) % 3
    by_part = squares_by_size(z, part, 3)
    whole = squares_by_size(z, np.zeros(300, dtype=np.intp), 1)[0]
    np.testing.assert_allclose(by_part.sum(axis=0), whole, rtol=1e-12)
    assert by_part[1, :, 0].sum() == 200


def test_scores_against_scipy_and_the_integral() -> None:
    z, sigma, student = np.array([[0.3, -2.0]]), np.array([[2.0, 5.0]]), StudentT(1.4, 3.0)
    (found,) = student_scores(z, sigma, student)
    laws = [stats.t(3.0, scale=1.4 * s) for s in sigma[0]]
    errors = (z * sigma)[0]
    assert found[:2] == pytest.approx([2 * law.cdf(abs(e)) - 1 for law, e in zip(laws, errors, strict=True)])
    assert found[2] == pytest.approx(stats.f.cdf((0.3**2 + 2.0**2) / 1.4**2 / 2, 2, 3.0))
    assert found[3] == pytest.approx(-np.mean([law.logpdf(e) for law, e in zip(laws, errors, strict=True)]))
    crps = [
        integrate.quad(lambda x, law=law: law.cdf(x) ** 2, -np.inf, e)[0]
        + integrate.quad(lambda x, law=law: law.sf(x) ** 2, e, np.inf)[0]
        for law, e in zip(laws, errors, strict=True)
    ]
    assert found[4] == pytest.approx(np.mean(crps), rel=1e-6)


def test_a_right_distribution_is_calibrated() -> None:
    rng = np.random.default_rng(3)
    # Of two dimensions: one χ² for both axes.
    z = 0.7 * rng.normal(size=(20000, 2)) / np.sqrt(rng.chisquare(4.0, size=(20000, 1)) / 4.0)
    found = summary_of(student_scores(z, np.ones((20000, 2)), StudentT(0.7, 4.0)))
    assert found.mace < 0.01
    assert found.radial_mace < 0.01
    assert found.coverage_90 == pytest.approx(0.9, abs=0.01)


def test_nothing_but_zeros_has_no_distribution() -> None:
    with pytest.raises(ValueError, match="all residuals are 0"):
        fit_student(squares_by_size(np.zeros((5, 2)), np.zeros(5, dtype=np.intp), 1)[0])


def test_one_degree_of_freedom_has_no_mean() -> None:
    scores = student_scores(np.ones((2, 2)), np.ones((2, 2)), StudentT(1.0, 1.0))
    assert np.isinf(summary_of(scores).crps_px)
