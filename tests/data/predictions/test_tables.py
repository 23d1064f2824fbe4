"""Tables of predictions: long and wide, by name or index, with σ and score."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mahtdiag.data.predictions import PredictionSet
from tests.data.predictions.sets import (
    IMAGES,
    PREDICTED,
    lateral_set,
    plain_set,
    points,
    predictions,
    refusal,
    score,
    sigma,
)
from tests.data.readers.marked import NAMES


def rows(*columns: Any, image: str = "a.png") -> list[str]:
    """A row per keypoint: image, then what the columns say of it."""
    return [",".join([image, *map(str, row)]) for row in zip(*columns, strict=True)]


XS, YS = PREDICTED["a.png"].T.tolist()
INDEX = list(range(20))


def read(tmp_path: Path, header: str, lines: Sequence[str], **options: Any) -> PredictionSet:
    return predictions(write(tmp_path, header, lines), plain_set(tmp_path / "data"), **options)


def write(tmp_path: Path, header: str, lines: Sequence[str]) -> Path:
    file = tmp_path / "predictions.csv"
    file.write_text("\n".join([header, *lines]))
    return file


def test_keypoints_by_name_with_sigma_per_axis_and_score(tmp_path: Path) -> None:
    lines = [
        line
        for image in IMAGES
        for line in rows(
            NAMES, *PREDICTED[image].T.tolist(), np.linspace(1, 3, 20), np.linspace(2, 4, 20), [0.5] * 20,
            image=image,
        )
    ]  # fmt: skip
    found = read(tmp_path, "image,keypoint,x,y,sigma_x,sigma_y,score", lines)
    assert found.format == "csv"
    assert found.notes == ("predictions read as a table (CSV)",)
    for image in IMAGES:
        np.testing.assert_array_equal(points(found, image), PREDICTED[image])
        expected = np.stack([np.linspace(1, 3, 20), np.linspace(2, 4, 20)], axis=1)
        np.testing.assert_allclose(sigma(found, image), expected, atol=1e-12)
        assert (score(found, image) == 0.5).all()


def test_keypoints_by_index_with_one_sigma(tmp_path: Path) -> None:
    found = read(tmp_path, "image,index,x,y,sigma", rows(INDEX, XS, YS, INDEX[::-1] and range(1, 21)))
    np.testing.assert_array_equal(points(found, "a.png"), PREDICTED["a.png"])
    np.testing.assert_array_equal(sigma(found, "a.png"), np.repeat(np.arange(1.0, 21)[:, None], 2, axis=1))
    assert found.by_image["a.png"].score is None


def test_vertebra_and_corner_count_before_the_index(tmp_path: Path) -> None:
    levels, corners = zip(*(name.split("_") for name in NAMES), strict=True)
    found = read(tmp_path, "image,index,vertebra,corner,x,y", rows(INDEX[::-1], levels, corners, XS, YS))
    np.testing.assert_array_equal(points(found, "a.png"), PREDICTED["a.png"])


def test_an_index_may_be_written_as_a_float_and_miss_points(tmp_path: Path) -> None:
    lines = rows([f"{k}.0" for k in INDEX], XS, YS)
    found = read(tmp_path, "image,index,x,y", lines[:3] + lines[4:])
    assert np.flatnonzero(np.isnan(points(found, "a.png")[:, 0])).tolist() == [3]


def test_an_index_from_1_is_refused(tmp_path: Path) -> None:
    dataset = plain_set(tmp_path / "data")
    line = refusal(write(tmp_path, "image,index,x,y", rows(range(1, 21), XS, YS)), dataset)
    assert line == "predictions.csv: keypoints 1 to 20: the index counts from 0: the last of AP is 19"


def test_an_index_beyond_the_skeleton_is_a_problem_of_its_image(tmp_path: Path) -> None:
    lines = [*rows(INDEX, XS, YS), "a.png,20,1,2", *rows(INDEX, XS, YS, image="b.png")]
    found = read(tmp_path, "image,index,x,y", lines)
    assert list(found.by_image) == ["b.png"]
    assert "keypoint 20: those of AP are 0 to 19" in found.problems["a.png"]


def test_the_lateral_skeleton_has_two_more(tmp_path: Path) -> None:
    lines = rows(range(22), np.arange(22) + 5.0, np.arange(22) + 6.0)
    found = predictions(write(tmp_path, "image,index,x,y", lines), lateral_set(tmp_path / "data"))
    np.testing.assert_array_equal(points(found, "a.png")[:, 0], np.arange(22) + 5.0)


def test_the_predicted_columns_count_before_the_labelled_ones(tmp_path: Path) -> None:
    found = read(tmp_path, "image,index,x,y,pred_x,pred_y,peak", rows(INDEX, YS, XS, XS, YS, [0.25] * 20))
    np.testing.assert_array_equal(points(found, "a.png"), PREDICTED["a.png"])
    assert (score(found, "a.png") == 0.25).all()


def test_a_row_per_image(tmp_path: Path) -> None:
    names = [f"{name}_{part}" for name in NAMES for part in ("x", "y", "sigma", "score")]
    values = [str(v) for x, y in PREDICTED["a.png"] for v in (x, y, 2.5, 0.75)]
    found = read(tmp_path, ",".join(["image", *names]), [",".join(["a.png", *values])])
    np.testing.assert_array_equal(points(found, "a.png"), PREDICTED["a.png"])
    assert (sigma(found, "a.png") == 2.5).all()
    assert (score(found, "a.png") == 0.75).all()


@pytest.mark.parametrize("form", ["{name}_{part}", "{part} {name}"])
def test_a_row_per_image_with_sigma_per_axis(tmp_path: Path, form: str) -> None:
    parts = ("x", "y", "sigma_x", "sigma_y", "likelihood")
    names = [form.format(name=name, part=part) for name in NAMES for part in parts]
    values = [str(v) for x, y in PREDICTED["a.png"] for v in (x, y, 2.5, 3.5, 0.75)]
    header, other = (
        ",".join(["image", *names, "note"]),
        ",".join(["b.png", *values[:2], "-1", "-1", *values[4:]]),
    )
    found = read(tmp_path, header, [",".join(["a.png", *values, ""]), f"{other},x"])
    np.testing.assert_array_equal(points(found, "a.png"), PREDICTED["a.png"])
    np.testing.assert_array_equal(sigma(found, "a.png"), np.full((20, 2), [2.5, 3.5]))
    assert (score(found, "a.png") == 0.75).all()
    assert "L1 UL has a sigma of -1" in found.problems["b.png"]
    assert found.notes[1:] == ("columns not read: note",)


def test_semicolons_decimal_commas_and_a_mark(tmp_path: Path) -> None:
    cells = zip(INDEX, XS, YS, strict=True)
    lines = [f"a;{k};{x};{y};1,5".replace(".", ",") for k, x, y in cells]
    file = tmp_path / "p.csv"
    file.write_text("\ufeff" + "\n".join(["image;index;x;y;sigma", *lines]), encoding="utf-8")
    found = predictions(file, plain_set(tmp_path / "data"))
    np.testing.assert_array_equal(points(found, "a.png"), PREDICTED["a.png"])
    assert (sigma(found, "a.png") == 1.5).all()


def test_names_of_ones_own(tmp_path: Path) -> None:
    own = {f"p{k}": name for k, name in enumerate(NAMES)}
    found = read(tmp_path, "image,keypoint,x,y", rows(own, XS, YS), keypoints=own)
    np.testing.assert_array_equal(points(found, "a.png"), PREDICTED["a.png"])


def test_numbers_can_be_names_of_ones_own(tmp_path: Path) -> None:
    own = {str(19 - k): name for k, name in enumerate(NAMES)}
    found = read(tmp_path, "image,index,x,y", rows(INDEX[::-1], XS, YS), keypoints=own)
    np.testing.assert_array_equal(points(found, "a.png"), PREDICTED["a.png"])


@pytest.mark.parametrize(
    ("sigma_x", "sigma_y", "words"),
    [
        ("0", "1", "L1 LL has a sigma of 0: a sigma is a number of pixels above 0"),
        ("1", "-0.5", "L1 LL has a sigma of -0.5: a sigma is a number of pixels above 0"),
        ("inf", "1", "line 4: 'inf' is not a number"),
        ("1", "", "L1 LL has a sigma along one axis alone: give both, or one for both"),
        ("1", "x", "line 4: 'x' is not a number"),
    ],
)
def test_a_sigma_that_is_none_is_refused_for_its_image(
    tmp_path: Path, sigma_x: str, sigma_y: str, words: str
) -> None:
    first, second = ["1.5"] * 20, ["1.5"] * 20
    first[2], second[2] = sigma_x, sigma_y
    lines = rows(INDEX, XS, YS, first, second) + rows(INDEX, XS, YS, ["1"] * 20, ["1"] * 20, image="b.png")
    found = read(tmp_path, "image,index,x,y,sigma_x,sigma_y", lines)
    assert list(found.by_image) == ["b.png"]
    assert words in found.problems["a.png"]


def test_columns_that_are_not_read_are_said(tmp_path: Path) -> None:
    lines = rows(INDEX, XS, YS, ["1"] * 20, ["2"] * 20, ["0.5"] * 20)
    found = read(tmp_path, "image,index,x,y,std,log sigma,score", lines)
    assert found.notes[1:] == ("columns not read: std, log sigma",)


def test_an_empty_sigma_is_none(tmp_path: Path) -> None:
    found = read(tmp_path, "image,index,x,y,sigma", rows(INDEX, XS, YS, ["", *["2"] * 19]))
    assert np.isnan(sigma(found, "a.png")[0]).all()
    assert (sigma(found, "a.png")[1:] == 2).all()


def test_a_column_of_empty_cells_is_no_column(tmp_path: Path) -> None:
    found = read(tmp_path, "image,index,x,y,sigma,score", rows(INDEX, XS, YS, [""] * 20, [""] * 20))
    assert found.by_image["a.png"].sigma_px is None
    assert found.by_image["a.png"].score is None


def test_a_keypoint_in_two_places_and_an_image_by_two_names(tmp_path: Path) -> None:
    lines = [
        *rows(INDEX, XS, YS), "a.png,0,1,2",
        *rows(INDEX, XS, YS, image="b.png"), *rows(INDEX, XS, YS, image="b"),
        *rows(INDEX, XS, YS, image="c.png"),
    ]  # fmt: skip
    found = read(tmp_path, "image,index,x,y", lines)
    assert list(found.by_image) == ["c.png"]
    assert "L1 UL is marked twice" in found.problems["a.png"]
    assert "a second prediction for this image, after predictions.csv, line 23" in found.problems["b.png"]


def test_images_of_one_name_in_two_folders_need_the_folder(tmp_path: Path) -> None:
    dataset = plain_set(tmp_path / "data", ("one/a.png", "two/a.png", "two/b.png"))
    lines = rows(INDEX, XS, YS, image="x/two/a.png") + rows(INDEX, XS, YS, image="b")
    found = predictions(write(tmp_path, "image,index,x,y", lines), dataset)
    assert list(found.by_image) == ["two/a.png", "two/b.png"]
    found = predictions(write(tmp_path, "image,index,x,y", lines + rows(INDEX, XS, YS)), dataset)
    assert list(found.by_image) == ["two/b.png"]
    assert "several images of this name, one/a.png and two/a.png" in found.problems["one/a.png"]


def test_shares_of_the_image_are_not_taken_for_anything_else(tmp_path: Path) -> None:
    shares = PREDICTED["a.png"] / 1000
    found = read(tmp_path, "image,index,x,y", rows(INDEX, *shares.T.tolist()))
    np.testing.assert_allclose(points(found, "a.png"), shares)


def test_a_failed_image_of_the_set_is_not_elsewhere(tmp_path: Path) -> None:
    plain_set(tmp_path / "data")
    labels = tmp_path / "data" / "labels.csv"
    labels.write_text(labels.read_text().replace("b.png,L1_UL,", "b.png,L1_UL,x"))
    from mahtdiag.data.readers import open_dataset

    dataset = open_dataset(tmp_path / "data", None)
    assert [failure.image for failure in dataset.failures] == ["b.png"]
    lines = rows(INDEX, XS, YS) + rows(INDEX, XS, YS, image="b.png")
    found = predictions(write(tmp_path, "image,index,x,y", lines), dataset)
    assert found.notes == ("predictions read as a table (CSV)",)
