"""Decoding for small pictures: the same grey values in the same places, only fewer."""

import io

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from mahtdiag.data.images import decode_image, decode_reduced
from mahtdiag.errors import DataError
from mahtdiag.schema.frames import Size

Grey = NDArray[np.uint8]


def smooth(height: int, width: int) -> Grey:
    """A picture without an edge, so that every way to shrink it agrees."""
    y, x = np.mgrid[0:height, 0:width]
    return np.asarray(128 + 60 * np.sin(x / 45.0) + 50 * np.cos(y / 38.0), dtype=np.uint8)


def jpeg(image: NDArray[np.generic]) -> bytes:
    return cv2.imencode(".jpg", np.asarray(image), [cv2.IMWRITE_JPEG_QUALITY, 98])[1].tobytes()


def means_of_squares(image: Grey, factor: int) -> NDArray[np.float64]:
    """Mean of each square of pixels; at the edge the last pixel is repeated."""
    height, width = (-(-side // factor) * factor for side in image.shape)
    padded = np.pad(
        image.astype(np.float64), ((0, height - image.shape[0]), (0, width - image.shape[1])), mode="edge"
    )
    return np.asarray(padded.reshape(height // factor, factor, width // factor, factor).mean(axis=(1, 3)))


@settings(max_examples=25, deadline=None)
@given(
    height=st.integers(200, 420),
    width=st.integers(150, 420),
    least_height=st.sampled_from([40, 90, 150, 500]),
)
def test_each_pixel_is_the_mean_of_the_square_that_it_covers(
    height: int, width: int, least_height: int
) -> None:
    image = smooth(height, width)
    found = decode_reduced(jpeg(image), "a.jpg", least_height)
    factor = found.covers.height // found.pixels.shape[0]
    assert found.original == Size(height, width)
    assert found.covers == Size(found.pixels.shape[0] * factor, found.pixels.shape[1] * factor)
    assert 0 <= found.covers.height - height < factor
    assert 0 <= found.covers.width - width < factor
    assert found.pixels.shape[0] >= min(height, least_height)
    assert factor == max(f for f in (1, 2, 4, 8) if f == 1 or height // f >= least_height)
    assert np.abs(found.pixels - means_of_squares(image, factor)).max() <= 6


def test_a_place_stays_where_it_is() -> None:
    image = np.zeros((803, 605), dtype=np.uint8)
    image[400:432, 200:232] = 255
    found = decode_reduced(jpeg(image), "a.jpg", 90)
    factor = found.covers.height / found.pixels.shape[0]
    rows, columns = np.nonzero(found.pixels > 127)
    # Centre of a shrunk pixel in original pixels, whose centres are whole numbers.
    assert (rows.mean() + 0.5) * factor - 0.5 == pytest.approx(415.5)
    assert (columns.mean() + 0.5) * factor - 0.5 == pytest.approx(215.5)


def test_colour_becomes_grey() -> None:
    colour = np.stack([smooth(300, 200), smooth(300, 200)[::-1], smooth(300, 200)[:, ::-1]], axis=-1)
    grey = colour @ np.array([0.114, 0.587, 0.299])
    for content in (jpeg(colour), cv2.imencode(".png", colour)[1].tobytes()):
        found = decode_reduced(content, "a", 300)
        assert np.abs(found.pixels - grey).max() <= 4


@pytest.mark.parametrize("extension", [".png", ".tif"])
def test_sixteen_bits_stay(extension: str) -> None:
    deep = (smooth(120, 90).astype(np.uint16) << 8) + 7
    found = decode_reduced(cv2.imencode(extension, deep)[1].tobytes(), "a", 16)
    np.testing.assert_array_equal(found.pixels, deep)
    assert found.covers == found.original == Size(120, 90)


def test_an_orientation_tag_turns_nothing() -> None:
    image = smooth(320, 200)
    exif = Image.Exif()
    exif[0x0112] = 6
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "jpeg", quality=98, exif=exif)
    found = decode_reduced(buffer.getvalue(), "a.jpg", 80)
    assert found.pixels.shape == (80, 50)
    assert np.abs(found.pixels - means_of_squares(image, 4)).max() <= 6


@pytest.mark.parametrize(
    "content", [b"", b"GIF89a", jpeg(smooth(300, 200))[:500], jpeg(smooth(300, 200))[:-40]]
)
def test_what_cannot_be_decoded_is_refused_as_ever(content: bytes) -> None:
    with pytest.raises(DataError) as whole:
        decode_image(content, "a.jpg")
    with pytest.raises(DataError) as reduced:
        decode_reduced(content, "a.jpg", 50)
    assert reduced.value.problems == whole.value.problems
