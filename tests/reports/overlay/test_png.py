"""Pictures as PNG files, read back by two other programs."""

import io

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from mahtdiag.reports.overlay.draw import is_signed, png_bytes, signed

Pixels = NDArray[np.uint8]


def opaque(rgb: Pixels) -> Pixels:
    return np.concatenate([rgb, np.full_like(rgb[..., :1], 255)], axis=2)


def noise(height: int, width: int, seed: int = 0) -> Pixels:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 99))
def test_opencv_and_pillow_read_the_same_pixels(height: int, width: int, seed: int) -> None:
    rgb = noise(height, width, seed)
    written = png_bytes(opaque(rgb))
    picture = cv2.imdecode(np.frombuffer(written, np.uint8), cv2.IMREAD_UNCHANGED)
    assert picture is not None
    np.testing.assert_array_equal(picture[:, :, ::-1], rgb)
    with Image.open(io.BytesIO(written)) as image:
        image.verify()
    with Image.open(io.BytesIO(written)) as image:
        assert (image.format, image.mode) == ("PNG", "RGB")
        np.testing.assert_array_equal(np.asarray(image), rgb)


@pytest.mark.parametrize("height", [256, 775, 20_000])
def test_pictures_of_many_rows(height: int) -> None:
    rgb = noise(height, 5)
    picture = cv2.imdecode(np.frombuffer(png_bytes(opaque(rgb)), np.uint8), cv2.IMREAD_UNCHANGED)
    assert picture is not None
    np.testing.assert_array_equal(picture[:, :, ::-1], rgb)


def test_a_smooth_picture_is_small_and_always_the_same_file() -> None:
    ramp = np.repeat(np.linspace(0, 255, 400).astype(np.uint8)[:, None, None], 300, axis=1).repeat(3, axis=2)
    written = png_bytes(opaque(ramp))
    assert len(written) < ramp.size / 100
    assert written == png_bytes(opaque(ramp))


def test_a_part_of_a_larger_picture_is_written_as_it_is() -> None:
    whole = opaque(noise(60, 50))
    part = whole[10:40, 7:31]
    assert png_bytes(part) == png_bytes(part.copy())


def test_a_signed_picture_is_known_by_its_command_and_looks_the_same() -> None:
    plain = png_bytes(opaque(noise(20, 30)))
    written = signed(plain, "compare")
    assert is_signed(io.BytesIO(written), "compare")
    for other in (plain, b"", written[:20], signed(plain, "anatomy"), b"x" + written[1:]):
        assert not is_signed(io.BytesIO(other), "compare")
    with Image.open(io.BytesIO(written)) as image:
        image.verify()
    with Image.open(io.BytesIO(written)) as image:
        assert image.info["Software"] == "mahtdiag compare"
        np.testing.assert_array_equal(np.asarray(image), noise(20, 30))


def test_pictures_that_earlier_versions_signed_are_known() -> None:
    header = bytes.fromhex("89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de")
    mark = bytes.fromhex("00000019") + b"tEXtSoftware\0mahtdiag anatomy" + bytes.fromhex("4520611f")
    assert is_signed(io.BytesIO(header + mark + b"..."), "anatomy")
    assert not is_signed(io.BytesIO(header + mark + b"..."), "compare")
