"""NumPy arrays of predictions: shapes, names, and files that are not what they seem."""

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fuzz.running import measured
from mahtdiag.data.predictions import PredictionSet
from tests.data.predictions.sets import (
    IMAGES,
    PREDICTED,
    plain_set,
    points,
    predictions,
    refusal,
    score,
    sigma,
)
from tests.data.readers.marked import NAMES

KEYPOINTS = np.stack([PREDICTED[image] for image in IMAGES])


def write(tmp_path: Path, **arrays: Any) -> Path:
    file = tmp_path / "p.npz"
    np.savez(file, **{"images": np.array(IMAGES), "keypoints": KEYPOINTS, **arrays})
    return file


def read(tmp_path: Path, **arrays: Any) -> PredictionSet:
    return predictions(write(tmp_path, **arrays), plain_set(tmp_path / "data"))


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_images_by_rows_with_sigma_per_axis_and_scores(tmp_path: Path, dtype: Any) -> None:
    both, scores = np.full((3, 20, 2), [1.5, 2.5]), np.full((3, 20), 0.5)
    found = read(tmp_path, keypoints=KEYPOINTS.astype(dtype), sigma=both.astype(dtype), scores=scores)
    assert found.format == "npz"
    for image in IMAGES:
        np.testing.assert_allclose(points(found, image), PREDICTED[image], rtol=1e-6)
        np.testing.assert_array_equal(sigma(found, image), both[0])
        np.testing.assert_array_equal(score(found, image), scores[0])


def test_a_small_file_that_unpacks_to_hundreds_of_megabytes(tmp_path: Path) -> None:
    file = tmp_path / "p.npz"
    np.savez_compressed(
        file, images=np.array(["a.png"]), keypoints=np.zeros((1, 2**23, 2)), sigma=np.ones((1, 20))
    )
    with measured() as spent:
        said = refusal(file, plain_set(tmp_path / "data"))
    assert said == f"p.npz: {file.stat().st_size} bytes that unpack to 134218292: save it with np.savez"
    assert spent.mb < 50


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("array", ["images", "names"])
def test_signs_beyond_unicode(tmp_path: Path, array: str, order: str) -> None:
    """NumPy makes of them texts that Python cannot hold."""
    content = np.array(NAMES if array == "names" else IMAGES).astype(f"{order}U8")
    numbers = np.frombuffer(content.tobytes(), f"{order}u4").copy()
    assert predictions(write(tmp_path, **{array: content}), plain_set(tmp_path / "good")).by_image
    numbers[3] = 0x110000
    file = write(tmp_path, **{array: numbers.view(content.dtype)})
    said = refusal(file, plain_set(tmp_path / "data"))
    assert said == f"p.npz: {array} are damaged, not text: save np.array(names, dtype=str)"


def test_one_sigma_for_both_axes_and_column_order(tmp_path: Path) -> None:
    found = read(tmp_path, sigma=np.full((3, 20), 2.0), keypoints=np.asfortranarray(KEYPOINTS))
    np.testing.assert_array_equal(points(found, "c.png"), PREDICTED["c.png"])
    assert (sigma(found, "c.png") == 2).all()
    assert found.by_image["c.png"].score is None


def test_names_say_which_keypoints_there_are(tmp_path: Path) -> None:
    some = [7, 3, 19]
    found = read(tmp_path, keypoints=KEYPOINTS[:, some], names=np.array([NAMES[k] for k in some]))
    np.testing.assert_array_equal(points(found, "a.png")[some], PREDICTED["a.png"][some])
    assert np.isfinite(points(found, "a.png")[:, 0]).sum() == 3


def test_integers_nan_and_bytes(tmp_path: Path) -> None:
    names = np.array([image.encode() for image in IMAGES])
    found = read(tmp_path, images=names, keypoints=KEYPOINTS.astype(np.int32))
    np.testing.assert_array_equal(points(found, "a.png"), PREDICTED["a.png"].astype(np.int32))
    lacking = KEYPOINTS.copy()
    lacking[0, 3] = np.nan
    lacking[1] = np.nan
    found = read(tmp_path, keypoints=lacking)
    assert np.isnan(points(found, "a.png")[3]).all()
    assert found.problems == {"b.png": "p.npz, row 1: nothing is predicted"}


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"keypoints": KEYPOINTS[0]}, "p.npz: keypoints are [20, 2], not [N, K, 2]"),
        ({"keypoints": KEYPOINTS[:2]}, "p.npz: images are [3], not [2] as in keypoints"),
        ({"keypoints": KEYPOINTS.astype(str)}, "not numbers"),
        ({"keypoints": KEYPOINTS[:, :7]}, "7 keypoints without names: AP has 20, a vertebra 4: name them"),
        ({"sigma": np.ones((3, 19))}, "p.npz: sigma is [3, 19], not [N, K] or [N, K, 2] as keypoints"),
        ({"scores": np.ones((3, 20, 2))}, "p.npz: scores is [3, 20, 2], not [N, K] as keypoints"),
        ({"names": np.array(["L1 UL"])}, "p.npz: names are [1], not [20] as in keypoints"),
        ({"names": np.array(["L1 UL"] * 20)}, "p.npz: two of its points are the same keypoint: L1 UL, L1 UL"),
        ({"images": np.arange(3)}, "p.npz: images are of int64, not names"),
        ({"images": np.array(IMAGES, dtype=object)}, "p.npz: images: an array of objects"),
        ({"images": np.array(["x", "y", "z"])}, "none of its 3 images, such as x, is in"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(tmp_path: Path, arrays: Any, words: str) -> None:
    assert words in refusal(write(tmp_path, **arrays), plain_set(tmp_path / "data"))


def test_a_name_twice_and_a_bad_sigma_are_problems_of_their_images(tmp_path: Path) -> None:
    spread = np.ones((3, 20))
    spread[2, 4] = -1
    found = read(tmp_path, images=np.array(["a.png", "a", "b"]), sigma=spread)
    assert not found.by_image
    assert found.problems["a.png"] == "p.npz, row 1: a second prediction for this image, after p.npz, row 0"
    assert "L2 UL has a sigma of -1" in found.problems["b.png"]


def test_a_lacking_array_is_named(tmp_path: Path) -> None:
    file = tmp_path / "p.npz"
    np.savez(file, keypoints=KEYPOINTS)
    assert "no array images: write np.savez" in refusal(file, plain_set(tmp_path / "data"))


def test_a_header_that_asks_for_more_than_there_is_takes_no_memory(tmp_path: Path) -> None:
    entry = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        entry, {"descr": "<f8", "fortran_order": False, "shape": (10**12, 20, 2)}
    )
    with zipfile.ZipFile(tmp_path / "p.npz", "w") as archive:
        archive.writestr("keypoints.npy", entry.getvalue() + b"\0" * 64)
        images = io.BytesIO()
        np.save(images, np.array(IMAGES))
        archive.writestr("images.npy", images.getvalue())
    assert "keypoints: damaged: 64 bytes" in refusal(tmp_path / "p.npz", plain_set(tmp_path / "data"))


@pytest.mark.parametrize("kept", [4, 40, 300, -30])
def test_a_truncated_file_is_refused(tmp_path: Path, kept: int) -> None:
    file = write(tmp_path)
    file.write_bytes(file.read_bytes()[:kept])
    assert "not a whole .npz" in refusal(file, plain_set(tmp_path / "data"))
