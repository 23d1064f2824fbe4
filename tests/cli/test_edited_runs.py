"""A run folder that somebody edited shows nothing from elsewhere and writes nothing elsewhere."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.test_sample_data import SAMPLES

CHECKPOINT = str(SAMPLES / "mahtnet-ap.pt")


def mahtdiag(folder: Path, *arguments: str) -> tuple[int, str, str]:
    command = [sys.executable, "-m", "mahtdiag", *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    return done.returncode, done.stdout, done.stderr


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("edited")
    (root / "data" / "AP").mkdir(parents=True)
    for file in sorted((SAMPLES / "AP").iterdir())[:20]:
        shutil.copy(file, root / "data" / "AP")
    status, _, said = mahtdiag(root, "evaluate", CHECKPOINT, "data", "--out", "run", "--overlays", "none")
    assert status == 0, said
    return root


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    """The run and its data, to be edited."""
    shutil.copytree(made / "data", tmp_path / "data")
    shutil.copytree(made / "run", tmp_path / "run")
    return tmp_path


def edited(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """The document changed, and without checksums, as those of earlier versions are."""
    file = folder / "run" / "run.json"
    content = json.loads(file.read_bytes())
    content["checksums"] = None
    change(content)
    file.write_text(json.dumps(content))


def renamed(folder: Path, old: str, new: str) -> None:
    """Another name for an image in both tables."""
    for name in ("images.parquet", "keypoints.parquet"):
        file = folder / "run" / name
        table = pq.read_table(file)
        images = [new if image == old else image for image in table.column("image").to_pylist()]
        position = table.schema.get_field_index("image")
        pq.write_table(table.set_column(position, table.schema.field("image"), pa.array(images)), file)


@pytest.mark.parametrize("command", [("anatomy", "run"), ("report", "run"), ("calibration", "run")])
def test_links_in_a_run_folder_are_not_written_through(folder: Path, command: tuple[str, ...]) -> None:
    (folder / "elsewhere").mkdir()
    for name in ("anatomy", "calibration", "overlays"):
        (folder / "run" / name).symlink_to(folder / "elsewhere")
    (folder / "mine.html").write_text("mine")
    (folder / "run" / "report.html").symlink_to(folder / "mine.html")
    status, printed, said = mahtdiag(folder, *command)
    assert status == 0, said
    assert (folder / "mine.html").read_text() == "mine"
    assert not any((folder / "elsewhere").iterdir())
    if command[0] != "report":
        refused = "link in a run folder, which is not followed; remove it"
        assert refused in " ".join(f"{printed} {said}".split())


def test_a_lock_or_parts_that_lead_elsewhere(folder: Path) -> None:
    (folder / "mine").write_text("mine")
    (folder / "elsewhere").mkdir()
    edited(folder, lambda content: content.update(status="interrupted"))
    resume = ("evaluate", CHECKPOINT, "data", "--out", "run", "--overlays", "none", "--resume")
    for name, target in ((".lock", "mine"), ("parts", "elsewhere")):
        (folder / "run" / name).symlink_to(folder / target)
        status, _, said = mahtdiag(folder, *resume)
        assert (status, said.splitlines()[-1]) == (
            2,
            f"error: run/{name}: a link in a run folder, which is not followed; remove it",
        )
        (folder / "run" / name).unlink()
    assert (folder / "mine").read_text() == "mine"
    assert not any((folder / "elsewhere").iterdir())


@pytest.mark.parametrize("name", ["../secret.jpg", "AP/../../secret.jpg", "ABSOLUTE"])
def test_images_outside_the_data_folder_are_gone(folder: Path, name: str) -> None:
    name = str(folder / "secret.jpg") if name == "ABSOLUTE" else name
    first = sorted((folder / "data/AP").glob("*.jpg"))[0]
    first.rename(folder / "secret.jpg")
    edited(folder, lambda content: None)
    renamed(folder, first.name, name)
    renamed(folder, f"AP/{first.name}", name)
    status, printed, said = mahtdiag(folder, "anatomy", "run", "--overlays", "all")
    assert status == 0, said
    assert "the image is gone or another one now" in " ".join(printed.split())
    assert len([*(folder / "run/anatomy/overlays").iterdir()]) == 9
    assert not [path for path in (folder / "run").rglob("*.png") if "secret" in path.name]
    assert os.path.exists(folder / "secret.jpg")


RESUME = ("evaluate", CHECKPOINT, "data", "--out", "run", "--overlays", "all", "--resume")


def test_a_finished_run_is_not_resumed_on_other_images(folder: Path) -> None:
    images = sorted((folder / "data/AP").glob("*.jpg"))
    status, _, said = mahtdiag(folder, *RESUME)
    assert status == 0, said
    content, other = images[0].read_bytes(), images[1].read_bytes()
    images[0].write_bytes(other)
    images[1].write_bytes(content)
    shutil.rmtree(folder / "run/overlays")
    status, _, said = mahtdiag(folder, *RESUME)
    assert (status, said) == (
        2,
        "error: run: cannot be resumed, images are others now than when they were evaluated: "
        f"AP/{images[0].name} and 1 more; restore them or choose another --out\n",
    )
    assert not (folder / "run/overlays").exists()


def test_an_interrupted_run_says_that_it_was_resumed_on_another_machine(folder: Path) -> None:
    def begun_elsewhere(content: dict[str, Any]) -> None:
        content.update(status="interrupted")
        content["environment"].update(threads=63, python="3.11.0")

    edited(folder, begun_elsewhere)
    for name in ("images.parquet", "keypoints.parquet"):
        (folder / "run" / name).unlink()
    status, printed, said = mahtdiag(folder, *RESUME)
    assert status == 0, said
    document = json.loads((folder / "run/run.json").read_bytes())
    (note,) = (note for note in document["notes"] if note.startswith("resumed"))
    assert note.startswith("resumed on a machine that is not as before: threads 63 → ")
    assert ", python 3.11.0 → " in note
    assert note.endswith("numbers of the images before and after may differ in their last digits")
    assert "resumed on a machine" in " ".join(f"{printed} {said}".split())


def replaced(folder: Path, name: str, column: str, values: Callable[[int], "pa.Array[Any]"]) -> None:
    """Another column in a table."""
    file = folder / "run" / name
    table = pq.read_table(file)
    position = table.schema.get_field_index(column)
    pq.write_table(table.set_column(position, column, values(table.num_rows)), file)


@pytest.mark.parametrize("command", ["anatomy", "report", "calibration"])
def test_tables_with_texts_that_are_no_text(folder: Path, command: str) -> None:
    edited(folder, lambda content: None)
    replaced(folder, "images.parquet", "sex", lambda n: pa.array([b"\xff"] * n).view(pa.string()))
    status, _, said = mahtdiag(folder, command, "run")
    assert (status, said.count("\n")) == (2, 1)
    assert "images.parquet: damaged (" in said
    assert "UTF8" in said


@pytest.mark.parametrize("width", [None, 0, -1])
@pytest.mark.parametrize("command", ["anatomy", "report", "calibration"])
def test_images_of_no_size(folder: Path, command: str, width: int | None) -> None:
    """As in runs that do not know it."""
    edited(folder, lambda content: None)
    for name in ("width", "height"):
        replaced(folder, "images.parquet", name, lambda n: pa.array([width] * n, pa.int32()))
    status, _, said = mahtdiag(folder, command, "run")
    assert status in (0, 2), said
    assert "internal error" not in said
    assert len(said) < 2000


@pytest.mark.parametrize("command", ["report", "compare run", "calibration", "figures"])
@pytest.mark.parametrize(
    ("value", "said"),
    [(None, "nan, by its places"), (float("inf"), "inf, by its places"), (1e300, "1e+300, expected 0, or")],
)
def test_errors_that_are_none(folder: Path, command: str, value: float | None, said: str) -> None:
    edited(folder, lambda content: None)
    replaced(folder, "keypoints.parquet", "error_px", lambda n: pa.array([value] * n, pa.float64()))
    name, *more = command.split()
    status, _, told = mahtdiag(folder, name, "run", *more)
    assert status == 2
    places = (
        f"error: {start}run/keypoints.parquet: column error_px, row 1: " for start in ("", f"{folder}/")
    )
    assert told.startswith(tuple(f"{place}{said}" for place in places))
    assert len(told.splitlines()) == 1


@pytest.mark.parametrize(("table", "column"), [("keypoints", "pred_x"), ("images", "image")])
def test_a_column_that_is_there_twice(folder: Path, table: str, column: str) -> None:
    edited(folder, lambda content: None)
    file = folder / f"run/{table}.parquet"
    whole = pq.read_table(file)
    pq.write_table(whole.append_column(column, whole.column(column)), file)
    where = f"run/{table}.parquet: column {column} is there twice; restore the file or evaluate again\n"
    for command in (("report", "run"), ("compare", "run", "run"), ("runs", ".")):
        status, _, told = mahtdiag(folder, *command)
        if command[0] != "runs":
            assert (status, told.replace(f"{folder}/", "")) == (2, f"error: {where}")
        assert "internal error" not in told


def constant(value: float, rows: int) -> "pa.Array[Any]":
    return pa.array([value] * rows)


def test_losses_that_are_infinite_or_nearly_nothing(folder: Path) -> None:
    edited(folder, lambda content: None)
    for name, value in (("loss_heatmap", float("inf")), ("loss_order", 5e-324)):
        replaced(folder, "images.parquet", name, partial(constant, value))
    for command in (("report", "run"), ("compare", "run", "run"), ("anatomy", "run")):
        status, _, told = mahtdiag(folder, *command)
        assert (status, "Warning" in told) == (0, False)
    status, said, told = mahtdiag(folder, "figures", "run")
    assert (status, "Warning" in told) == (0, False)
    assert "losses: a part of the loss is infinite" in said + told


@pytest.mark.parametrize("started", ["9999-12-31T23:59:59-23:59", "0001-01-01T00:00:00+23:59"])
def test_a_run_from_the_edge_of_time_does_not_hide_others(folder: Path, started: str) -> None:
    shutil.copytree(folder / "run", folder / "runs/good")
    edited(folder, lambda content: content.update(started=started))
    shutil.copytree(folder / "run", folder / "runs/bad")
    status, listed, told = mahtdiag(folder, "runs")
    assert status == 0
    assert "good" in listed
    assert "internal error" not in told
    status, _, told = mahtdiag(folder, "report", "run")
    year = int(started[:4])
    assert status == 2
    assert f"started: the year {year}, in which no run was made" in told
    assert len(told.splitlines()) == 1


def counted_as(counts: dict[str, int | None], content: dict[str, Any]) -> None:
    content["images"] = counts


def test_columns_of_another_kind_and_other_images_than_are_counted(folder: Path) -> None:
    shutil.copytree(folder / "run", folder / "whole")
    edited(folder, lambda content: None)
    replaced(folder, "keypoints.parquet", "gt_x", lambda n: pa.array([{"a": 1.0}] * n))
    status, _, told = mahtdiag(folder, "report", "run")
    assert (status, len(told.splitlines())) == (2, 1)
    assert "run/keypoints.parquet: damaged (" in told
    shutil.rmtree(folder / "run")
    shutil.copytree(folder / "whole", folder / "run")
    for evaluated, failed in ((9, 1), (11, 0)):
        total = evaluated + failed
        counts = {"total": total, "evaluated": evaluated, "failed": failed, "patients": None}
        edited(folder, partial(counted_as, counts))
        status, _, told = mahtdiag(folder, "anatomy", "run", "--no-pictures")
        said = f"its tables have 10 images and 0 failed ones, run.json {evaluated} and {failed}"
        assert (status, told) == (2, f"error: run: {said}; damaged, evaluate again\n")


def test_an_image_that_is_listed_twice(folder: Path) -> None:
    edited(folder, lambda content: None)
    for name in ("images", "keypoints"):
        file = folder / f"run/{name}.parquet"
        table = pq.read_table(file)
        pq.write_table(pa.concat_tables([table.slice(0, 20 if name == "keypoints" else 1), table]), file)
    for command in ("report", "anatomy", "export --to csv o.csv"):
        name, *more = command.split()
        status, _, told = mahtdiag(folder, name, "run", *more)
        said = "error: run: its tables list an image twice; damaged, evaluate again\n"
        assert (status, told) == (2, said)


def test_a_file_of_factors_is_quoted_briefly(folder: Path) -> None:
    typed = ("calibration", "run", "--no-pictures")
    assert mahtdiag(folder, *typed, "--fit", "f.json", "--factors", "none")[0] == 0
    factors = json.loads((folder / "f.json").read_text("utf-8"))
    other = {**factors["checkpoint"], "path": "x/" * 100_000, "sha256": "0" * 64}
    for change in ({"reading": {**factors["reading"], "normalize": "y" * 200_000}}, {"checkpoint": other}):
        (folder / "g.json").write_text(json.dumps(factors | change), encoding="utf-8")
        status, _, told = mahtdiag(folder, *typed, "--apply", "g.json")
        assert (status, len(told.splitlines())) == (2, 1)
        assert len(told) < 1000


@pytest.mark.parametrize(
    ("change", "typed"),
    [
        (lambda content: content["checkpoint"].update(path="x" * 3000), "init run --out m.toml"),
        (lambda content: content["checkpoint"].update(format="\ud800"), "calibration run --fit f.json"),
        (lambda content: content["environment"].update(device_name="\udfff"), "anatomy run"),
        (lambda content: content["data"].update(format="\ud800" * 3), "report run"),
    ],
)
def test_texts_that_nothing_can_be_called(folder: Path, change: Any, typed: str) -> None:
    edited(folder, change)
    status, _, told = mahtdiag(folder, *typed.split())
    assert status in (0, 2)
    assert "internal error" not in told
    assert all(len(line) < 1000 for line in told.splitlines())


def test_tables_that_list_other_images(folder: Path) -> None:
    edited(folder, lambda content: None)
    file = folder / "run/images.parquet"
    pq.write_table(pq.read_table(file).slice(1), file)
    for command in (("anatomy", "run"), ("compare", "run", "run"), ("export", "run", "--to", "csv", "o.csv")):
        status, _, said = mahtdiag(folder, *command)
        assert (status, said) == (
            2,
            "error: run: its tables list different images; damaged, evaluate again\n",
        )
