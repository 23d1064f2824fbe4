"""Two pictures laid onto each other: copies of known scale and crop, and what is no copy."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from mahtdiag.data.images.registration import Registration, register, shrunk, small_picture
from mahtdiag.diagnosis.copies import SIDE, search
from mahtdiag.errors import DataError
from training.radiographs import draw_radiograph

Grey = NDArray[np.uint8]


def spine(seed: int = 3) -> Grey:
    return draw_radiograph("AP", seed, 640).image


def registered(a: Grey, b: NDArray[np.uint8 | np.uint16]) -> Registration | None:
    """By the best proposal of the search, as a set of two would be."""
    small_a, small_b = shrunk(a), shrunk(b)
    found = [c for _, part in search(small_a[None], small_b[None]) for c in part]
    return register(small_a, small_b, found[0]) if found else None


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("scale", [0.3, 1.0, 1.7])
def test_scale_and_crop_of_a_copy_are_found(scale: float, mirrored: bool) -> None:
    image = spine()
    height, width = image.shape
    left, top, right, bottom = 30, 50, width - 20, height - 40
    copy = cv2.resize(image[top:bottom, left:right], None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    found = registered(image, np.asarray(copy[:, ::-1] if mirrored else copy, dtype=np.uint8))
    assert found is not None
    assert found.mirrored is mirrored
    assert found.likeness > 0.9
    truth = [(right - left) / width, 0, left / width], [0, (bottom - top) / height, top / height]
    assert found.warp == pytest.approx(np.array(truth), abs=0.004)


def test_other_depth_gamma_and_contrast_are_the_same_exposure() -> None:
    image = spine()
    deep = (60000 * (image / 255.0) ** 1.4 + 2000).astype(np.uint16)
    found = registered(image, deep)
    assert found is not None
    assert found.likeness > 0.9


def test_other_spines_and_turned_pictures_are_no_copies() -> None:
    image = spine()
    assert all(registered(image, spine(seed)) is None for seed in range(10, 22))
    height, width = image.shape
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), 4.0, 1.0)
    turned = cv2.warpAffine(image, turn, (width, height), borderMode=cv2.BORDER_REFLECT)
    assert registered(image, np.asarray(turned, dtype=np.uint8)) is None


@pytest.mark.parametrize("shape", [(1, 1), (2, 900), (300, 1)])
def test_pictures_of_one_grey_or_a_row_are_no_copies(shape: tuple[int, int]) -> None:
    flat = np.full(shape, 9, dtype=np.uint8)
    assert shrunk(flat).shape == (SIDE, SIDE)
    assert registered(flat, flat) is None


def test_what_cannot_be_read_says_so(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gone\.png: cannot be read"):
        small_picture(tmp_path / "gone.png", "gone.png")
