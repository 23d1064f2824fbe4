"""The spacing file."""

import pytest

from mahtdiag.data.files import parse_spacing, spacing_of
from mahtdiag.errors import DataError


def test_rows_name_images_in_several_ways() -> None:
    content = '\ufeffimage,mm\r\nAP/a.png,0.1\r\n\r\nb.jpg, 0.2\r\nc,3e-1\r\n"d, e.png",0.4\r\nLA/f,0.5\r\n'
    spacing_mm = parse_spacing(content.encode(), "pixel_spacing.csv")
    images = ("AP/a.png", "AP/b.jpg", "c.tif", "LA/d, e.png", "LA/f.bmp", "LA/a.png", "g.png")
    found = [spacing_of(image, spacing_mm) for image in images]
    assert found == [0.1, 0.2, 0.3, 0.4, 0.5, None, None]


def test_the_most_exact_name_wins() -> None:
    spacing_mm = parse_spacing(b"a,0.1\na.png,0.2\nAP/a,0.3\nAP/a.png,0.4\n", "s.csv")
    assert spacing_of("AP/a.png", spacing_mm) == 0.4
    assert spacing_of("AP/a.jpg", spacing_mm) == 0.3
    assert spacing_of("LA/a.png", spacing_mm) == 0.2
    assert spacing_of("LA/a.tif", spacing_mm) == 0.1


def test_a_name_for_both_views_of_a_patient() -> None:
    rows = ("filename,pixel_spacing_mm", "0001-F-037Y.jpg,0.1", "0002-M-050Y,0.2", "0003-F-060Y1.jpg,0.3")
    spacing_mm = parse_spacing("\n".join((*rows, "0003-F-060Y,0.4")).encode(), "pixel_spacing.csv")
    images = ("AP/0001-F-037Y0.jpg", "LA/0001-F-037Y1.jpg", "0002-M-050Y0.png", "0003-F-060Y1.jpg")
    assert [spacing_of(image, spacing_mm) for image in images] == [0.1, 0.1, 0.2, 0.3]
    assert spacing_of("0003-F-060Y0.jpg", spacing_mm) == 0.4
    # Only a digit that is the view can be missing.
    assert [spacing_of(image, spacing_mm) for image in ("0001-F-037Y2.jpg", "0001-F-037.jpg")] == [None, None]


def test_composed_and_decomposed_names_are_the_same() -> None:
    spacing_mm = parse_spacing("Mu\u0308ller.png,0.1\n".encode(), "s.csv")
    assert spacing_of("M\u00fcller.png", spacing_mm) == 0.1
    assert spacing_of("AP/Mu\u0308ller.png", spacing_mm) == 0.1


def test_all_problems_come_at_once() -> None:
    rows = ("a,0.1", "b", "c,0.1,0.2", "d,wide", "e,0", "f,-0.1", "g,nan", "h,inf", "i,150", "a,0.1", ",0.1")
    with pytest.raises(DataError) as caught:
        parse_spacing("\n".join(rows).encode(), "s.csv")
    expected = ["expected image,mm"] * 2 + ["is not a spacing between 0.005 and 5 mm"] * 6
    expected += ["a is named twice", "expected image,mm"]
    assert len(caught.value.problems) == len(expected)
    for line, (problem, text) in enumerate(zip(caught.value.problems, expected, strict=True), start=2):
        assert problem.startswith(f"s.csv: line {line}: ")
        assert problem.endswith(text)


@pytest.mark.parametrize("content", [b"\xff\xfea\0", b"a\xe4.png,0.1\n"])
def test_another_encoding_is_an_error(content: bytes) -> None:
    with pytest.raises(DataError, match=r"s\.csv: not a CSV in UTF-8"):
        parse_spacing(content, "s.csv")
