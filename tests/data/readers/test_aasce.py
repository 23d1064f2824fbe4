"""AASCE / SpineWeb dataset 16: MATLAB files, tables, and both."""

import io
import struct
import zlib
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.io import savemat

from mahtdiag.data.files import Dataset
from mahtdiag.data.readers import open_dataset, reader_of
from mahtdiag.data.readers.aasce import read_points
from mahtdiag.errors import DataError
from mahtdiag.schema.read_options import ReadOptions
from mahtdiag.schema.skeleton import View
from tests.data.builders import encoded, radiograph

HEIGHT, WIDTH = 400, 100
IMAGE = encoded(radiograph(HEIGHT, WIDTH), "jpeg")
QUADS = [[20 + 30 * (c % 2) + v, 10 + 22 * v + 15 * (c // 2)] for v in range(17) for c in range(4)]
POINTS = np.array(QUADS, dtype=np.uint16)
LUMBAR = POINTS[48:].astype(np.float64)


def matlab(points: Any, **options: Any) -> bytes:
    buffer = io.BytesIO()
    savemat(buffer, {"p2": points}, **options)  # type: ignore[arg-type]
    return buffer.getvalue()


def row(points: NDArray[Any] = POINTS) -> str:
    return ",".join(f"{share:.5f}" for share in (points / (WIDTH, HEIGHT)).T.ravel())


def write(
    folder: Path,
    mat: bytes | None = None,
    rows: list[str] | None = None,
    names: str = "a.jpg\n",
    split: str = "training",
) -> None:
    for place in ("data", "labels"):
        (folder / place / split).mkdir(parents=True, exist_ok=True)
    (folder / "data" / split / "a.jpg").write_bytes(IMAGE)
    if mat is not None:
        (folder / "labels" / split / "a.jpg.mat").write_bytes(mat)
    if rows is not None:
        (folder / "labels" / split / "filenames.csv").write_text(names)
        (folder / "labels" / split / "landmarks.csv").write_text("".join(f"{each}\n" for each in rows))
        (folder / "labels" / split / "angles.csv").write_text("10,5,5\n")


def opened(folder: Path) -> Dataset:
    return open_dataset(folder, View.AP, ReadOptions(format="aasce"))


def reason(folder: Path) -> str:
    dataset = opened(folder)
    assert not dataset.samples
    return dataset.failures[0].reason


def refusal(content: bytes) -> str:
    with pytest.raises(DataError) as caught:
        read_points(content)
    (problem,) = caught.value.problems
    return problem


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.int32, np.float32, np.float64])
@pytest.mark.parametrize("compressed", [False, True])
def test_the_last_five_vertebrae_are_the_lumbar_spine(tmp_path: Path, kind: Any, compressed: bool) -> None:
    # In uint8 a difference of two coordinates would wrap round.
    points = np.minimum(POINTS, 255).astype(kind)
    write(tmp_path, matlab(points, do_compression=compressed))
    assert reader_of(tmp_path).recognises(tmp_path) == "labels/training/a.jpg.mat"
    dataset = open_dataset(tmp_path, None)
    assert (dataset.format, dataset.view, dataset.failures) == ("aasce", View.AP, ())
    assert dataset.notes[1:] == ("not of the skeleton AP and left out: T1-T12",)
    (sample,) = dataset.samples
    assert sample.image == "data/training/a.jpg"
    assert sample.keypoints_px.dtype == np.float64
    np.testing.assert_array_equal(sample.keypoints_px, points[48:])


def test_a_table_has_all_x_and_then_all_y_as_shares(tmp_path: Path) -> None:
    write(tmp_path, rows=[row()])
    assert reader_of(tmp_path).recognises(tmp_path) == "labels/training/landmarks.csv"
    np.testing.assert_allclose(opened(tmp_path).samples[0].keypoints_px, LUMBAR, atol=5e-6 * HEIGHT)


def test_pixels_count_where_both_agree(tmp_path: Path) -> None:
    write(tmp_path, matlab(POINTS), [row(POINTS + 0.6)])
    np.testing.assert_array_equal(opened(tmp_path).samples[0].keypoints_px, LUMBAR)


def test_where_both_differ_the_image_is_not_used(tmp_path: Path) -> None:
    other = POINTS.astype(np.float64)
    other[4 * 13 + 2] += (30, 40)
    write(tmp_path, matlab(POINTS), [row(other)])
    assert reason(tmp_path) == (
        "labels/training/a.jpg.mat: L2 LL is 50.0 px from where labels/training/landmarks.csv, row 1 has it:"
        " keep the one that is right, for the image as it is now"
    )


def test_a_file_without_a_row_and_a_row_without_a_file(tmp_path: Path) -> None:
    write(tmp_path, matlab(POINTS), [row(), row()], "b.jpg\n'c'.jpg\n")
    for name in ("b.jpg", "d.jpg"):
        (tmp_path / "data/training" / name).write_bytes(IMAGE)
    dataset = opened(tmp_path)
    assert [sample.image for sample in dataset.samples] == ["data/training/a.jpg", "data/training/b.jpg"]
    assert [failure.reason for failure in dataset.failures] == [
        f"labels/training/landmarks.csv, row 2: no such image in {tmp_path}"
    ]
    assert "1 image left out, not mentioned in labels/training/landmarks.csv" in dataset.notes


def test_images_of_one_name_in_two_folders_keep_apart(tmp_path: Path) -> None:
    write(tmp_path, matlab(POINTS))
    write(tmp_path, rows=[row(POINTS + 5)], split="test")
    dataset = opened(tmp_path)
    by_name = {sample.image: sample.keypoints_px for sample in dataset.samples}
    np.testing.assert_array_equal(by_name["data/training/a.jpg"], LUMBAR)
    np.testing.assert_allclose(by_name["data/test/a.jpg"], LUMBAR + 5, atol=5e-6 * HEIGHT)
    assert dataset.notes[1] == "folders read together: images of training 1, test 1"


@pytest.mark.parametrize(
    ("rows", "names", "problem"),
    [
        ([row(), row()], "a.jpg\n", "2 rows, filenames.csv beside it has 1: which row is of which image"),
        ([], "a.jpg\n", "0 rows, filenames.csv beside it has 1"),
    ],
)
def test_rows_and_names_that_do_not_match_are_refused(
    tmp_path: Path, rows: list[str], names: str, problem: str
) -> None:
    write(tmp_path, None, rows, names)
    with pytest.raises(DataError, match=problem):
        opened(tmp_path)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (row()[:-8], "135 numbers, 136 are expected: all x, then all y"),
        (row().replace("0.20000", "nan", 1), "'nan' is not a number"),
        (row().replace("0.20000", "1e999", 1), "'1e999' is not a number"),
        (row().replace("0.20000", "left", 1), "'left' is not a number"),
        (row(POINTS.astype(float) * (WIDTH, HEIGHT)), "is no share of the image"),
    ],
)
def test_a_wrong_row_fails_its_image(tmp_path: Path, line: str, problem: str) -> None:
    write(tmp_path, None, [row(), line], "a.jpg\nb.jpg\n")
    (tmp_path / "data/training/b.jpg").write_bytes(IMAGE)
    (failure,) = opened(tmp_path).failures
    assert (failure.image, problem in failure.reason) == ("data/training/b.jpg", True)
    # Nothing can be said for the image by its other source.
    write(tmp_path, matlab(POINTS), [line])
    assert problem in reason(tmp_path)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "the file is empty (0 bytes)"),
        (b"\0" * 200, "not a MATLAB file"),
        (b"MATLAB 7.3 MAT-file, Platform: GLNXA64", "version 7.3: save it with -v7"),
        (matlab(POINTS[:64]), "p2: numbers of 64x2, 68x2 numbers are expected"),
        (matlab(POINTS.T), "p2: numbers of 2x68"),
        (matlab(POINTS * 1j), "p2: complex numbers"),
        (matlab(np.where(POINTS == 10, np.inf, POINTS)), "p2: an infinite coordinate"),
        (matlab(np.array(["a"])), "p2: char of"),
        (matlab(POINTS).replace(b"p2", b"p3"), "there is no variable p2"),
        (matlab(POINTS)[:300], "damaged"),
        (matlab(POINTS, do_compression=True)[:200], "damaged"),
    ],
)
def test_a_wrong_matlab_file_is_refused(content: bytes, problem: str) -> None:
    assert problem in refusal(content)


def test_files_of_machines_with_the_other_byte_order() -> None:
    def element(kind: int, data: bytes) -> bytes:
        return struct.pack(">II", kind, len(data)) + data + bytes(-len(data) % 8)

    parts = [(6, struct.pack(">II", 6, 0)), (5, struct.pack(">ii", 68, 2)), (1, b"p2")]
    matrix = b"".join(element(*part) for part in [*parts, (9, POINTS.T.astype(">f8").tobytes())])
    content = b"MATLAB 5.0 MAT-file".ljust(124) + b"\1\0MI" + element(14, matrix)
    np.testing.assert_array_equal(read_points(content), POINTS)


def test_a_wrong_matlab_file_fails_its_image(tmp_path: Path) -> None:
    write(tmp_path, matlab(POINTS)[:300])
    assert reason(tmp_path).startswith("labels/training/a.jpg.mat: damaged: copy it again")
    write(tmp_path, matlab(POINTS) + b"\0" * 70_000)
    assert reason(tmp_path).startswith("labels/training/a.jpg.mat: larger than the 65536 bytes")


def test_any_damage_is_a_refusal_or_points() -> None:
    rng = np.random.default_rng(0)
    for original in (matlab(POINTS), matlab(POINTS, do_compression=True), matlab(POINTS.astype(float))):
        for _ in range(1000):
            content = bytearray(original)
            for at in rng.integers(0, len(content), rng.integers(1, 5)):
                content[at] = rng.integers(256)
            with suppress(DataError):
                assert read_points(bytes(content)).shape == (68, 2)


def test_what_unpacks_to_more_than_memory_is_refused() -> None:
    header = matlab(POINTS)[:128]
    packed = zlib.compress(b"\0" * (60 * 2**20))
    assert len(packed) < 64 * 1024
    content = header + (15).to_bytes(4, "little") + len(packed).to_bytes(4, "little") + packed
    assert refusal(content) == "there is no variable p2"


def test_what_is_recognised(tmp_path: Path) -> None:
    write(tmp_path, matlab(POINTS[:64]), [row()[:-8]])
    reader = reader_of(tmp_path, "aasce")
    assert reader.recognises(tmp_path) is None
    write(tmp_path, matlab(POINTS))
    assert reader.recognises(tmp_path / "labels/training/a.jpg.mat") == "a.jpg.mat"
