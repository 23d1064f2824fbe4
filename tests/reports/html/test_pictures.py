"""Small pictures: no higher, no larger than wanted, and still the picture."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from mahtdiag.reports.html.gallery import LEAST_HEIGHT, Picture, picture_bytes, picture_height, small_picture
from mahtdiag.schema.frames import Size

LIMIT_BYTES = 60_000_000
BASE64 = 4 / 3


def decoded(picture: Picture) -> NDArray[np.uint8]:
    found = cv2.imdecode(np.frombuffer(picture.jpeg, np.uint8), cv2.IMREAD_UNCHANGED)
    assert found is not None
    return found.astype(np.uint8)


@given(st.integers(0, 10_000))
def test_all_pictures_of_a_page_fit_into_it(count: int) -> None:
    assert count * picture_bytes(count) * BASE64 <= 0.9 * LIMIT_BYTES
    assert picture_height(count) >= picture_height(count + 1) >= LEAST_HEIGHT


def test_shrunk_and_the_same() -> None:
    y, x = np.mgrid[0:900, 0:600]
    image = np.asarray(128 + 60 * np.sin(x / 90.0) + 60 * np.cos(y / 70.0), dtype=np.uint8)
    picture = small_picture(image, Size(900, 600), 300, 100_000)
    expected = cv2.resize(image, (200, 300), interpolation=cv2.INTER_AREA)
    assert picture.covers == Size(900, 600)
    assert decoded(picture).shape == (300, 200)
    assert np.abs(decoded(picture).astype(float) - expected).mean() < 2


def test_nothing_is_enlarged() -> None:
    image = np.full((40, 30), 90, dtype=np.uint8)
    assert decoded(small_picture(image, Size(40, 30), 300, 100_000)).shape == (40, 30)


@pytest.mark.parametrize("most_bytes", [60_000, 20_000, 4_000, 1])
def test_noise_is_made_to_fit_as_far_as_possible(most_bytes: int) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (500, 400), dtype=np.uint8)
    picture = small_picture(noise, Size(500, 400), 480, most_bytes)
    assert len(picture.jpeg) <= max(most_bytes, 3_000)


def test_dark_sixteen_bit_images_can_be_seen() -> None:
    dark = np.tile(np.linspace(300, 900, 100).astype(np.uint16), (100, 1))
    grey = decoded(small_picture(dark, Size(100, 100), 100, 100_000))
    assert int(grey.max()) - int(grey.min()) > 200
