"""Zeroed blocks of stored pixels are told, what is black for other reasons is not."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydicom.uid import ExplicitVRLittleEndian, JPEGLSLossless

from fuzz.images import dicom_file
from mahtdiag.data.images import decode_image
from mahtdiag.data.images.lost_block import lost_block
from mahtdiag.errors import DataError

HEIGHT, WIDTH = 120, 400


def grey(
    seed: int = 0, dtype: type = np.uint8, shape: tuple[int, ...] = (HEIGHT, WIDTH)
) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(1, 250, shape).astype(dtype)


def zeroed(image: NDArray[np.uint8], at: int, count: int) -> NDArray[np.uint8]:
    content = bytearray(image.tobytes())
    content[at : at + count] = bytes(count)
    return np.frombuffer(bytes(content), image.dtype).reshape(image.shape)


@given(
    at=st.integers(0, HEIGHT * WIDTH - 4096),
    count=st.sampled_from((512, 1000, 4096)),
    seed=st.integers(0, 3),
)
def test_a_zeroed_block_is_told_with_its_place(at: int, count: int, seed: int) -> None:
    found = lost_block(zeroed(grey(seed), at, count))
    # Whole rows look like a border.
    if at % WIDTH or count % WIDTH:
        assert found == (at, count)


@pytest.mark.parametrize(("dtype", "shape"), [(np.uint16, (HEIGHT, WIDTH)), (np.uint8, (HEIGHT, WIDTH, 3))])
def test_in_wider_pixels(dtype: type, shape: tuple[int, ...]) -> None:
    image = grey(1, dtype, shape)
    size = image.itemsize * (1 if len(shape) == 2 else 3)
    found = lost_block(zeroed(image, 1000 * size, 600 * size))
    assert found == (1000, 600)


def test_black_for_other_reasons() -> None:
    assert lost_block(np.zeros((HEIGHT, WIDTH), np.uint8)) is None
    assert lost_block(grey()) is None
    for rows, columns in (
        (slice(0, 30), slice(None)),  # a border above
        (slice(50, 90), slice(None)),  # between two films
        (slice(None), slice(0, 390)),  # a collimator
        (slice(40, 60), slice(50, 380)),  # a mark
        (slice(100, None), slice(30, None)),  # a corner
    ):
        image = grey()
        image[rows, columns] = 0
        assert lost_block(image) is None, (rows, columns)
    # Shorter than any block of a disk.
    assert lost_block(zeroed(grey(), 5050, 200)) is None


def test_a_slanted_collimator_is_no_loss() -> None:
    image = grey()
    for row in range(HEIGHT):
        image[row, : WIDTH - 40 - row] = 0
    assert lost_block(image) is None


@pytest.mark.parametrize("kind", ["tiff", "bmp", "dicom"])
def test_files_with_a_zeroed_block_are_failures(kind: str) -> None:
    image = grey()
    if kind == "dicom":
        content = dicom_file(image, ExplicitVRLittleEndian, b"")
    else:
        parameters = [cv2.IMWRITE_TIFF_COMPRESSION, 1] if kind == "tiff" else []
        content = cv2.imencode(f".{kind}", image, parameters)[1].tobytes()
    np.testing.assert_array_equal(np.unique(decode_image(content, "a")).size > 100, True)
    start = len(content) // 2
    with pytest.raises(DataError, match="above and below are not: a part of the file is lost"):
        decode_image(content[:start] + bytes(700) + content[start + 700 :], "a")


def test_jpeg_ls_is_left_to_its_decoder(monkeypatch: pytest.MonkeyPatch) -> None:
    """It begins as JPEG does, and has other markers."""
    monkeypatch.setattr("mahtdiag.data.images.dicom.decode_apart", lambda *_: grey())
    content = dicom_file(
        grey(), JPEGLSLossless, b"\xff\xd8\xff\xf7\0\x0b\x08\0\x78\x01\x90\x01\x01\x11\0\xff\xd9"
    )
    assert decode_image(content, "a").shape == (HEIGHT, WIDTH)
