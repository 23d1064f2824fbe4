"""Bands of columns, by stated edges or in thirds."""

import pytest

from mahtdiag.diagnosis.subgroups import _grouped, bands_of


def test_stated_bands_hold_their_lower_edge() -> None:
    column = _grouped("bmi [25 30]", ("24.9", "25", "30", "", "31"))
    assert column.name == "bmi"
    assert column.of_image == ("below 25", "25 to below 30", "from 30", "", "from 30")
    assert column.said == "bmi: bands as stated, no value for 1 of 5 images"


def test_many_numbers_are_cut_in_thirds() -> None:
    column = _grouped("dose", tuple(str(value) for value in range(1, 10)))
    assert column.names == ("up to 3", "above 3 to 6", "above 6")
    assert [column.of_image.count(name) for name in column.names] == [3, 3, 3]
    assert column.said == "dose: thirds of the images by value"


def test_numbers_that_are_mostly_the_same_make_fewer_bands() -> None:
    column = _grouped("dose", (*["7"] * 30, "1", "2", "3", "4", "5"))
    assert len(column.names) <= 2
    assert all(column.of_image)


def test_few_numbers_and_texts_are_groups_as_they_are() -> None:
    assert _grouped("site", ("2", "1.0", "1", "")).of_image == ("2", "1", "1", "")
    assert _grouped("site", ("b", "a", "", "b")).names == ("a", "b")


@pytest.mark.parametrize("header", ["bmi [30 25]", "bmi [x]", "bmi []", "bmi [nan]", "bmi [1 1]"])
def test_bands_that_are_none(header: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        bands_of(header)


def test_a_header_without_bands() -> None:
    assert bands_of("bmi") == ("bmi", None)
    assert bands_of("bmi [25;30]") == ("bmi", (25.0, 30.0))
