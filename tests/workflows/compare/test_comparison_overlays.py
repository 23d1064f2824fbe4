"""The images that changed most, drawn from both runs: from wherever they still lie, and only if the same."""

import hashlib
from pathlib import Path

import cv2
import numpy as np
import pytest

from mahtdiag.config.settings import Settings
from mahtdiag.errors import RunFolderError
from mahtdiag.schema.choices import ImageChoice
from mahtdiag.workflows.compare.job import ComparedRuns, CompareRequest, compare
from mahtdiag.workflows.compare.overlays import with_overlays
from mahtdiag.workflows.progress import NoProgress
from tests.anatomy.spines import IMAGE_SIZE
from tests.workflows.compared_folders import Options, Pictured, image_set, renamed, write_run


def on_disk(folder: Path, images: list[Pictured]) -> list[Pictured]:
    """The same images with pixels in `data`, each another grey."""
    found = []
    for number, image in enumerate(images):
        grey = np.full((int(IMAGE_SIZE[1]), int(IMAGE_SIZE[0])), 40 + 10 * number, dtype=np.uint8)
        done, encoded = cv2.imencode(".png", grey)
        assert done
        path = folder / "data" / image.name
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_bytes(encoded.tobytes())
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        found.append(Pictured(image.name, image.content, image.label_px, sha256=digest))
    return found


@pytest.fixture
def images(tmp_path: Path) -> list[Pictured]:
    return on_disk(tmp_path, image_set(6))


def compared(folder: Path, *names: str) -> ComparedRuns:
    return compare(CompareRequest(tuple(Path("runs") / name for name in names), Settings(), folder))


def drawn(folder: Path, choice: str, *names: str) -> tuple[list[str], tuple[str, ...]]:
    """Paths of the pictures below `out`, and the notes of the last pair."""
    out = folder / "out"
    found = with_overlays(compared(folder, *names), ImageChoice.parse(choice), out, NoProgress())
    pictures = sorted(str(path.relative_to(out)) for path in out.rglob("*") if path.is_file())
    return pictures, found.pairs[-1].notes


@pytest.fixture
def runs(tmp_path: Path, images: list[Pictured]) -> Path:
    """`a`, and `b` that is better in some images and worse in others."""
    write_run(tmp_path / "runs" / "a", images, 20.0)
    write_run(tmp_path / "runs" / "b", images, 20.0, Options(seed=2))
    return tmp_path


def test_the_most_changed_either_way_in_order(runs: Path) -> None:
    (pair,) = compared(runs, "a", "b").pairs
    worse, better = pair.comparison.errors.changed()
    pictures, notes = drawn(runs, "worst:1", "a", "b")
    assert pictures == [
        f"better/01-{pair.names_a[better[0]]}",
        f"worse/01-{pair.names_a[worse[0]]}",
    ]
    assert notes == ("2 overlays in out",)
    picture = cv2.imdecode(np.fromfile(runs / "out" / pictures[0], np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    left, right = np.array_split(picture, 2, axis=1)
    assert left.shape[1] == pytest.approx(right.shape[1], abs=1)
    assert (left[100:] != right[100 : len(left), : left.shape[1]]).any()


def test_all_of_them(runs: Path) -> None:
    pictures, notes = drawn(runs, "all", "a", "b")
    assert len(pictures) == 6
    assert notes == ("6 overlays in out",)


@pytest.mark.parametrize("choice", ["none", "worst:0"])
def test_none_of_them(runs: Path, choice: str) -> None:
    assert drawn(runs, choice, "a", "b") == ([], ())


SAME = "A and B are the same run, which cannot differ from itself"


def test_the_same_run_has_nothing_to_draw(runs: Path) -> None:
    assert drawn(runs, "all", "a", "a") == ([], (SAME,))


def test_no_picture_of_an_earlier_comparison_stays(runs: Path, images: list[Pictured]) -> None:
    write_run(runs / "runs" / "c", images, 30.0)
    assert len(drawn(runs, "worst:3", "a", "b", "c")[0]) > 4
    first, _ = drawn(runs, "worst:3", "a", "b")
    assert {Path(picture).parts[0] for picture in first} == {"better", "worse"}
    second, _ = drawn(runs, "worst:1", "b", "a")
    assert [Path(picture).parts[0] for picture in second] == ["better", "worse"]
    assert drawn(runs, "all", "a", "a") == ([], (SAME,))
    assert list((runs / "out").iterdir()) == []


def test_files_of_others_stay(runs: Path) -> None:
    pictures, _ = drawn(runs, "worst:1", "a", "b")
    own = (runs / "out" / pictures[0]).read_bytes()
    radiograph = (runs / "data").joinpath(Path(pictures[0]).name.removeprefix("01-")).read_bytes()
    others = {
        "worse/01-radiograph.png": radiograph,
        "worse/99-empty.png": b"",
        "worse/mine.png": own,
        "better/notes.txt": own,
        "run-2/worse/02-x.jpg": own,
        "elsewhere/01-x.png": own,
    }
    for name, content in others.items():
        (runs / "out" / name).parent.mkdir(exist_ok=True, parents=True)
        (runs / "out" / name).write_bytes(content)
    assert drawn(runs, "worst:0", "b", "a")[0] == sorted(others)


def test_several_runs_get_a_folder_each(runs: Path, images: list[Pictured]) -> None:
    write_run(runs / "runs" / "c", images, 30.0)
    pictures, _ = drawn(runs, "worst:1", "a", "b", "c")
    assert {Path(picture).parts[0] for picture in pictures} == {"run-2", "run-3"}


def test_images_that_are_gone_or_others_now_are_told(runs: Path) -> None:
    (pair,) = compared(runs, "a", "b").pairs
    rows = [*pair.comparison.errors.changed()[0], *pair.comparison.errors.changed()[1]]
    gone, other = (pair.names_a[row] for row in rows[:2])
    (runs / "data" / gone).unlink()
    (runs / "data" / other).write_bytes((runs / "data" / pair.names_a[rows[-1]]).read_bytes())
    pictures, notes = drawn(runs, "all", "a", "b")
    assert len(pictures) == 4
    assert notes == (
        "4 overlays in out",
        f"no overlay of {gone} and 1 more: the image is gone or another one now",
    )


def test_an_image_is_found_by_its_name_in_either_run(tmp_path: Path, images: list[Pictured]) -> None:
    moved = renamed(images, "moved-")
    write_run(tmp_path / "runs" / "a", images, 20.0)
    write_run(tmp_path / "runs" / "b", moved, 20.0, Options(seed=2))
    for image, old in zip(moved, reversed(images), strict=True):
        (tmp_path / "data" / old.name).rename(tmp_path / "data" / image.name)
    pictures, notes = drawn(tmp_path, "all", "a", "b")
    assert len(pictures) == 6
    assert notes == ("6 overlays in out",)


def test_a_name_with_control_characters_is_found(tmp_path: Path, images: list[Pictured]) -> None:
    escaped = renamed(images, r"new\x0aline-")
    for image, old in zip(escaped, reversed(images), strict=True):
        name = image.name.replace(r"\x0a", "\n")
        (tmp_path / "data" / old.name).rename(tmp_path / "data" / name)
    write_run(tmp_path / "runs" / "a", escaped, 20.0)
    write_run(tmp_path / "runs" / "b", escaped, 20.0, Options(seed=2))
    pictures, notes = drawn(tmp_path, "all", "a", "b")
    assert len(pictures) == 6
    assert notes == ("6 overlays in out",)


def test_a_place_that_cannot_be_written_to(runs: Path) -> None:
    """The folder was asked for: it is an error, not a note."""
    (runs / "out").write_text("a file")
    with pytest.raises(RunFolderError, match="out/worse: a file stands where a folder is needed"):
        with_overlays(compared(runs, "a", "b"), ImageChoice.parse("all"), runs / "out", NoProgress())
