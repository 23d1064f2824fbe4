"""Numbers in words: enough digits, never a NaN."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mahtdiag.reports.text import ABSENT, interval, number, percent, pixels, shorten


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (1234.5, "1,234"),
        (123.45, "123"),
        (12.345, "12.3"),
        (0.12345, "0.123"),
        (0.00012345, "0.000123"),
        (1.2e-7, "1.20e-07"),
        (-3.14159, "-3.14"),
        (2.5e7, "2.50e+07"),
        (None, ABSENT),
        (math.nan, ABSENT),
        (math.inf, ABSENT),
    ],
)
def test_number(value: float | None, text: str) -> None:
    assert number(value) == text


@given(st.floats(-1e5, 1e5).filter(lambda value: abs(value) > 1e-3))
def test_number_keeps_three_significant_digits(value: float) -> None:
    assert float(number(value).replace(",", "")) == pytest.approx(value, rel=0.0051)


def test_pixels_percent_interval() -> None:
    assert [pixels(v) for v in (0.456, 99.99, 123.46, 1234.6, math.nan)] == [
        "0.46",
        "99.99",
        "123.5",
        "1,235",
        ABSENT,
    ]
    assert [percent(v) for v in (0.5, 1.0, None)] == ["50.0 %", "100.0 %", ABSENT]
    assert interval((0.1, 0.25), 100) == "10.0 to 25.0"
    assert interval(None) == ABSENT


@given(st.text(max_size=60), st.integers(3, 40))
def test_shorten_keeps_both_ends(text: str, width: int) -> None:
    short = shorten(text, width)
    assert len(short) <= max(width, 0)
    if len(text) > width:
        head, tail = short.split("…", 1) if "…" not in text else (short[0], short[-1])
        assert text.startswith(head)
        assert text.endswith(tail)
    else:
        assert short == text
