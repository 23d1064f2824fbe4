"""Proposed gates: their run keeps them, whatever its numbers are."""

import math
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mahtdiag.config.gates import read_gates
from mahtdiag.diagnosis.gates import ProposedGate, judge_gates, propose_gates, rounded

ERRORS = st.floats(0, 1e300) | st.floats(0, 100)
SHARES = st.floats(0, 1) | st.sampled_from([0.0, 1.0, 0.1, 0.9, 1 / 3])
MARGINS = st.floats(0, 10) | st.sampled_from([0.0, 0.1])


def maybe(numbers: st.SearchStrategy[float]) -> st.SearchStrategy[float | None]:
    """A number or none."""
    return st.none() | numbers


@st.composite
def contents(draw: st.DrawFn) -> dict[str, object]:
    """The part of a `run.json` that gates are proposed on."""
    mean = draw(ERRORS)
    errors = {"mean": mean, "p95": draw(ERRORS), "ci95": draw(st.none() | st.just([mean, 2 * mean]))}
    return {
        "images": {"failed": draw(st.integers(0, 10**9))},
        "metrics": {
            "radial_error_px": errors,
            "radial_error_mm": draw(st.none() | st.just(errors)),
            "sdr_px": {"8": draw(SHARES)},
            "sdr_mm": draw(st.none() | st.just({"4": draw(SHARES)})),
            "vertebrae": {"L4": {"radial_error_px": errors}},
        },
        "anatomy": {"images_with_violations": draw(SHARES), "level_shifts": draw(maybe(st.just(2.0)))},
        "calibration": draw(
            st.none() | st.just({"mace": draw(maybe(SHARES)), "sigma_scale": draw(maybe(ERRORS))})
        ),
    }


def as_table(gates: tuple[ProposedGate, ...]) -> dict[str, list[str]]:
    """As a configuration would have them."""
    return {gate.metric: list(gate.conditions) for gate in gates}


@given(contents(), MARGINS)
def test_a_run_keeps_the_gates_that_were_made_of_it(content: dict[str, object], margin: float) -> None:
    proposed = propose_gates(content, margin)
    settings, problems = read_gates(as_table(proposed))
    assert problems == ()
    results = judge_gates(settings.limits, content)
    assert [result.reason for result in results] == [None] * len(results)
    assert all(result.passed for result in results)
    assert sum(len(gate.conditions) for gate in proposed) == len(results)


@given(contents(), MARGINS, MARGINS)
def test_a_larger_margin_lets_more_through(content: dict[str, object], a: float, b: float) -> None:
    tight, wide = (read_gates(as_table(propose_gates(content, m)))[0].limits for m in sorted((a, b)))
    limits = {(gate.metric, gate.comparison): gate.limit for gate in tight}
    for gate in wide:
        before = limits[gate.metric, gate.comparison]
        assert gate.limit >= before if gate.comparison == "<=" else gate.limit <= before


CONTENT = {
    "images": {"failed": 1},
    "metrics": {
        "radial_error_px": {"mean": 2.659, "p95": 6.82},
        "sdr_px": {"8": 0.9697},
        "vertebrae": {
            "L4": {"radial_error_px": {"mean": 2.0, "ci95": [1.0, 3.0]}},
            "S1": {"radial_error_px": {"mean": 3.0, "ci95": [2.0, 4.0]}},
        },
    },
    "anatomy": {"images_with_violations": 0.0, "level_shifts": 0},
    "calibration": {"mace": 0.2, "sigma_scale": 1.0},
}


def test_the_direction_and_the_size_of_the_margin() -> None:
    assert as_table(propose_gates(CONTENT, 0.1)) == {
        "images.failed": ["<= 1"],
        "radial_error_px.mean": ["<= 2.93"],
        "radial_error_px.p95": ["<= 7.51"],
        "sdr_px.8": [">= 0.959"],
        "anatomy.images_with_violations": ["<= 0.01"],
        "anatomy.level_shifts": ["<= 0"],
        "calibration.mace": ["<= 0.22"],
        "calibration.sigma_scale": [">= 0.909", "<= 1.1"],
        "vertebrae.S1.radial_error_px.mean": ["upper <= 4.4"],
    }
    assert [gate.metric for gate in propose_gates(CONTENT, 0.1) if not gate.active] == [
        "vertebrae.S1.radial_error_px.mean"
    ]


def test_without_a_margin_the_run_is_the_limit() -> None:
    table = as_table(propose_gates(CONTENT, 0.0))
    assert table["radial_error_px.mean"] == ["<= 2.66"]
    assert table["sdr_px.8"] == [">= 0.969"]
    assert table["anatomy.images_with_violations"] == ["<= 0"]


@pytest.mark.parametrize("share", [0.0, 0.001, 0.5])
def test_a_limit_that_nothing_could_break_is_not_proposed(share: float) -> None:
    content = {"metrics": {"sdr_px": {"8": share}}, "anatomy": {"images_with_violations": 1.0 - share}}
    assert propose_gates(content, 9.0) == ()


@pytest.mark.parametrize("margin", [-0.1, math.nan, math.inf])
def test_impossible_margins(margin: float) -> None:
    with pytest.raises(ValueError, match="margin"):
        propose_gates(CONTENT, margin)


@given(st.floats(allow_nan=False, allow_infinity=False), st.booleans())
def test_rounding_goes_one_way_and_keeps_three_digits(value: float, up: bool) -> None:
    text = rounded(Decimal(repr(value)), up=up)
    limit = float(text)
    assert limit >= value if up else limit <= value
    assert len(Decimal(text).as_tuple().digits) <= 3 or 1000 <= abs(limit) < 1e10
    assert not math.isfinite(limit) or abs(limit - value) <= 0.0101 * abs(value) + 5e-324


@pytest.mark.parametrize(
    ("value", "up", "text"),
    [
        ("0.0", True, "0"), ("0.01", True, "0.01"), ("2.6591", True, "2.66"), ("2.6591", False, "2.65"),
        ("12345.6", True, "12400"), ("100.0", True, "100"), ("-2.6591", True, "-2.65"),
        ("1.234e-9", True, "1.24E-9"),
    ],
)  # fmt: skip
def test_how_limits_are_written(value: str, up: bool, text: str) -> None:
    assert rounded(Decimal(value), up=up) == text
