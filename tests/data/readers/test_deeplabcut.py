"""DeepLabCut: tables of labels with every index, several animals, and tables that are something else."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mahtdiag.data.readers.deeplabcut import DeepLabCut
from mahtdiag.errors import DataError
from tests.data.readers.marked import NAMES, POINTS, keypoints, opened, reasons, without, write_image

PARTS = [("", name) for name in NAMES]


def table(
    rows: dict[str, Any],
    parts: Sequence[tuple[str, str]] = PARTS,
    index: int = 3,
    coords: Sequence[str] = ("x", "y"),
    separator: str = "/",
) -> str:
    """What pandas writes of the labels."""
    empty = [""] * (index - 1)

    def header(name: str, cells: list[str]) -> str:
        return ",".join([name, *empty, *cells])

    lines = [header("scorer", ["Rater1"] * len(parts) * len(coords))]
    if parts[0][0]:
        lines.append(header("individuals", [individual for individual, _ in parts for _ in coords]))
    lines.append(header("bodyparts", [part for _, part in parts for _ in coords]))
    lines.append(header("coords", list(coords) * len(parts)))
    for image, points in rows.items():
        name = (
            ["labeled-data", "spine", image]
            if index == 3
            else [separator.join(("labeled-data", "spine", image))]
        )
        lines.append(
            ",".join([*name, *("" if np.isnan(value) else repr(float(value)) for value in np.ravel(points))])
        )
    return "\n".join(lines) + "\n"


def write(folder: Path, text: str, name: str = "CollectedData_Rater1.csv") -> Path:
    below = folder / "labeled-data" / "spine"
    below.mkdir(parents=True, exist_ok=True)
    (below / name).write_text(text)
    return below


@pytest.mark.parametrize(("index", "separator"), [(3, "/"), (1, "/"), (1, "\\")])
def test_every_index(tmp_path: Path, index: int, separator: str) -> None:
    gaps = without("L1_UL", "L5_LR")
    below = write(tmp_path, table({"a.png": POINTS, "b.png": gaps}, index=index, separator=separator))
    for name in ("a.png", "b.png"):
        write_image(below / name)
    write_image(tmp_path / "labeled-data" / "other" / "a.png")
    dataset = opened(tmp_path, "deeplabcut")
    np.testing.assert_array_equal(keypoints(dataset, "labeled-data/spine/a.png"), POINTS)
    np.testing.assert_array_equal(keypoints(dataset, "labeled-data/spine/b.png"), gaps)
    np.testing.assert_array_equal(keypoints(opened(below, "deeplabcut"), "a.png"), POINTS)
    assert dataset.failures == ()


def test_half_a_place_is_none(tmp_path: Path) -> None:
    points = POINTS.copy()
    points[3, 1] = np.nan
    write_image(write(tmp_path, table({"a.png": points})) / "a.png")
    (points,) = (sample.keypoints_px for sample in opened(tmp_path, "deeplabcut").samples)
    np.testing.assert_array_equal(points, without(NAMES[3]))


def test_a_vertebra_per_animal(tmp_path: Path) -> None:
    parts = [(name[:2], name[3:]) for name in NAMES]
    write_image(write(tmp_path, table({"a.png": without("L2_UL")}, parts)) / "a.png")
    (sample,) = opened(tmp_path, "deeplabcut").samples
    np.testing.assert_array_equal(sample.keypoints_px, without("L2_UL"))


def test_animals_without_a_level_and_parts_of_none(tmp_path: Path) -> None:
    """Animals are counted from above, where all are there; `single` holds what is there once."""
    parts = [(f"animal{7 - int(name[1])}", name[3:]) for name in NAMES]
    below = write(tmp_path, table({"a.png": POINTS, "b.png": without(*NAMES[:4])}, parts))
    for name in ("a.png", "b.png"):
        write_image(below / name)
    dataset = opened(below, "deeplabcut")
    np.testing.assert_array_equal(keypoints(dataset, "a.png"), POINTS)
    assert "4 vertebrae without a level" in reasons(dataset)["b.png"]
    write(
        tmp_path,
        table({"a.png": [*POINTS, (1.0, 2.0)]}, [*((n[:2], n[3:]) for n in NAMES), ("single", "marker")]),
    )
    dataset = opened(below, "deeplabcut")
    np.testing.assert_array_equal(keypoints(dataset, "a.png"), POINTS)
    assert any("left out: single" in note for note in dataset.notes)


def test_predictions_are_no_labels(tmp_path: Path) -> None:
    coords = ("x", "y", "likelihood")
    predicted = table({"a.png": np.ones((20, 3))}, coords=coords, index=1)
    below = write(tmp_path, predicted, "machinelabels-iter0.csv")
    write_image(below / "a.png")
    with pytest.raises(DataError, match=r"predictions of DeepLabCut .*CollectedData"):
        opened(tmp_path, "deeplabcut")
    write(tmp_path, table({"a.png": POINTS}))
    dataset = opened(tmp_path, "deeplabcut")
    np.testing.assert_array_equal(keypoints(dataset, "labeled-data/spine/a.png"), POINTS)
    assert dataset.notes == ("1 table with a likelihood left out, predictions",)


def test_two_people_label_the_same_image(tmp_path: Path) -> None:
    write(tmp_path, table({"a.png": POINTS + 1}), "CollectedData_Rater2.csv")
    write_image(write(tmp_path, table({"a.png": POINTS})) / "a.png")
    dataset = opened(tmp_path, "deeplabcut")
    assert len(dataset.samples) == 1
    folder = "labeled-data/spine"
    assert reasons(dataset) == {
        f"{folder}/a.png": f"{folder}/CollectedData_Rater2.csv, line 4: a second entry for this image, after"
        f" {folder}/CollectedData_Rater1.csv, line 4"
    }


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("60.0,", "x,", "line 4: L1_UL: 'x' is not a number"),
        ("60.0,", "inf,", "line 4: L1_UL: 'inf' is infinite"),
        ("60.0,", "1e308,", "line 4: a coordinate of 1e+308"),
        ("60.0,", "", "line 4: 42 columns, the header has 43"),
    ],
)
def test_a_wrong_cell_is_named(tmp_path: Path, old: str, new: str, problem: str) -> None:
    text = table({"a.png": POINTS, "b.png": POINTS}).replace(old, new, 1)
    below = write(tmp_path, text)
    for name in ("a.png", "b.png"):
        write_image(below / name)
    dataset = opened(below, "deeplabcut")
    assert [sample.image for sample in dataset.samples] == ["b.png"]
    assert reasons(dataset)["a.png"].startswith(f"CollectedData_Rater1.csv, {problem}")


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("coords,,,x,y", "coords,,,x,x", "x of L1_UL is there twice"),
        ("coords,,,x,y", "coords,,,x,z", "L1_UL has not one x and one y"),
        ("bodyparts,,,L1_UL", "bodyparts,,,L1_UR", "x of L1_UR is there twice"),
        ("coords,,,x", "coords,,,,x", "its header rows do not fit together"),
        ("coords,,,x", "coords,,x", "its header rows do not fit together"),
    ],
)
def test_header_rows_that_do_not_fit(tmp_path: Path, old: str, new: str, problem: str) -> None:
    below = write(tmp_path, table({"a.png": POINTS}).replace(old, new, 1))
    write_image(below / "a.png")
    with pytest.raises(DataError) as caught:
        opened(below, "deeplabcut")
    (said,) = caught.value.problems
    assert said.startswith(f"CollectedData_Rater1.csv: {problem}")


def test_encodings(tmp_path: Path) -> None:
    text = table({"a.png": POINTS})
    below = write(tmp_path, "")
    write_image(below / "a.png")
    file = below / "CollectedData_Rater1.csv"
    for content in (text.encode("utf-8-sig"), text.encode("utf-16"), text.replace("\n", "\r\n").encode()):
        file.write_bytes(content)
        np.testing.assert_array_equal(keypoints(opened(below, "deeplabcut"), "a.png"), POINTS)
    file.write_bytes(text.encode() + b"\xff")
    with pytest.raises(DataError, match=r"^CollectedData_Rater1.csv: not UTF-8 at byte"):
        opened(below, "deeplabcut")


def test_rows_that_find_no_image(tmp_path: Path) -> None:
    write_image(write(tmp_path, table({"a.png": POINTS, "../../../etc/b.png": POINTS})) / "a.png")
    dataset = opened(tmp_path, "deeplabcut")
    assert [failure.reason for failure in dataset.failures] == [
        f"labeled-data/spine/CollectedData_Rater1.csv, line 5: no such image in {tmp_path}"
    ]


@pytest.mark.parametrize(
    "text", ["", "scorer,a\nbodyparts,b\n", "image,x,y\n", "bodyparts\nscorer\ncoords\n"]
)
def test_what_is_not_deeplabcut(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.csv").write_text(text)
    assert DeepLabCut().recognises(tmp_path) is None
