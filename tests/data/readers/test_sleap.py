"""SLEAP: the tables of a `.slp` file as SLEAP stores them, written by h5py."""

import contextlib
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mahtdiag.data.readers import sleap
from mahtdiag.data.readers.sleap import Sleap
from mahtdiag.errors import DataError
from mahtdiag.schema.read_options import ReadOptions
from tests.data.readers.marked import (
    HEIGHT,
    NAMES,
    POINTS,
    WIDTH,
    keypoints,
    opened,
    reasons,
    without,
    write_image,
)

h5py = pytest.importorskip("h5py")


@pytest.fixture(autouse=True)
def _in_this_process(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Starting another process for every file takes a second: a few tests do, the others read here."""
    if "apart" not in request.keywords:
        monkeypatch.setattr(sleap, "_read_apart", sleap.stored_in)


POINT = np.dtype([("x", "<f8"), ("y", "<f8"), ("visible", "?"), ("complete", "?")])
INSTANCE = np.dtype(
    [
        *(("instance_id", "<i8"), ("instance_type", "u1"), ("frame_id", "<u8"), ("skeleton", "<u4")),
        *(("track", "<i4"), ("from_predicted", "<i8"), ("score", "<f4")),
        *(("point_id_start", "<u8"), ("point_id_end", "<u8"), ("tracking_score", "<f4")),
    ]
)
FRAME = np.dtype(
    [
        *(("frame_id", "<u8"), ("video", "<u4"), ("frame_idx", "<u8")),
        *(("instance_id_start", "<u8"), ("instance_id_end", "<u8")),
    ]
)
ImageFrame = tuple[str, list[tuple[int, Any]]]


def video(*files: str, **more: Any) -> dict[str, Any]:
    shape = [len(files), HEIGHT, WIDTH, 1]
    return {
        "backend": {"type": "ImageVideo", "filename": files[0], "filenames": list(files), "shape": shape},
        **more,
    }


def write(
    file: Path,
    frames: list[list[tuple[int, Any]]],
    videos: list[Any],
    nodes: list[str] = NAMES,
    format_id: float | None = 1.2,
    places: list[tuple[int, int]] | None = None,
) -> None:
    """`frames`: of each its instances, (0, points) by a person, (1, points) predicted."""
    points: list[Any] = []
    instances: list[Any] = []
    rows = []
    for number, members in enumerate(frames):
        for kind, place in members:
            start = len(points)
            if kind == 0:
                points += [(x, y, bool(np.isfinite(x)), False) for x, y in place]
            instances.append((len(instances), kind, number, 0, -1, -1, 0, start, start + len(place), 0))
        at = (number, 0) if places is None else places[number]
        rows.append((number, *at, 0, 0))
    order = list(range(len(nodes)))[::-1]
    metadata = {
        "version": "2.0.0",
        "nodes": [{"name": name, "weight": 1.0} for name in nodes[::-1]],
        "skeletons": [{"nodes": [{"id": i} for i in order], "links": [], "graph": {"name": "spine"}}],
    }
    with h5py.File(file, "w") as opened:
        group = opened.create_group("metadata")
        group.attrs["json"] = np.bytes_(json.dumps(metadata))
        if format_id is not None:
            group.attrs["format_id"] = format_id
        opened["points"] = np.array(points, dtype=POINT)
        opened["instances"] = np.array(instances, dtype=INSTANCE)
        opened["frames"] = np.array(rows, dtype=FRAME)
        opened["videos_json"] = [np.bytes_(json.dumps(item)) for item in videos]


def test_a_video_per_image(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        write_image(tmp_path / name)
    gaps = without("L1_UL", "L4_LR")
    write(
        tmp_path / "labels.slp",
        [[(0, POINTS)], [(0, gaps)]],
        [video("C:\\data\\a.png"), video("/data/b.png")],
    )
    dataset = opened(tmp_path, "sleap")
    np.testing.assert_array_equal(keypoints(dataset, "a.png"), POINTS)
    np.testing.assert_array_equal(keypoints(dataset, "b.png"), gaps)
    assert str(dataset.samples[0].labelled_size) == f"{HEIGHT}x{WIDTH}"
    assert (dataset.failures, dataset.notes) == ((), ())


def test_a_video_of_images(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        write_image(tmp_path / name)
    videos = [video("a.png", "b.png"), {"filename": ["a.png"]}, {"backend": {"filename": "b.png"}}]
    write(tmp_path / "labels.slp", [[(0, POINTS)]], videos, places=[(0, 1)])
    assert [sample.image for sample in opened(tmp_path, "sleap").samples] == ["b.png"]
    write(tmp_path / "labels.slp", [[(0, POINTS)], [(0, POINTS)]], videos, places=[(1, 0), (2, 0)])
    assert [sample.image for sample in opened(tmp_path, "sleap").samples] == ["a.png", "b.png"]


@pytest.mark.parametrize(("format_id", "shift"), [(None, 0.5), (1.0, 0.5), (1.1, 0), (1.4, 0)])
def test_older_files_count_from_the_corner_of_the_first_pixel(
    tmp_path: Path, format_id: float | None, shift: float
) -> None:
    write_image(tmp_path / "a.png")
    write(tmp_path / "labels.slp", [[(0, POINTS)]], [video("a.png")], format_id=format_id)
    np.testing.assert_array_equal(keypoints(opened(tmp_path, "sleap"), "a.png"), POINTS - shift)


def test_a_vertebra_per_instance(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        write_image(tmp_path / name)
    quads = [(0, quad) for quad in POINTS.reshape(5, 4, 2)]
    corners = ["top left", "top right", "bottom left", "bottom right"]
    write(tmp_path / "labels.slp", [quads[::-1], quads[1:]], [video("a.png"), video("b.png")], corners)
    dataset = opened(tmp_path, "sleap")
    np.testing.assert_array_equal(keypoints(dataset, "a.png"), POINTS)
    assert "4 vertebrae without a level" in reasons(dataset)["b.png"]


def test_predicted_instances_are_no_labels(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        write_image(tmp_path / name)
    frames = [[(1, POINTS + 3), (0, POINTS)], [(1, POINTS)]]
    write(tmp_path / "labels.slp", frames, [video("a.png"), video("b.png")])
    dataset = opened(tmp_path, "sleap")
    np.testing.assert_array_equal(keypoints(dataset, "a.png"), POINTS)
    assert dataset.notes == ("labels.slp: 2 predicted instances left out",)
    assert reasons(dataset) == {"b.png": "labels.slp, video 1, frame 0: no keypoint of it is labelled"}


@pytest.mark.parametrize(
    ("made", "problem"),
    [
        (
            {"backend": {"type": "MediaVideo", "filename": "/x/a.mp4"}},
            "a frame of the video /x/a.mp4: images are read",
        ),
        (
            {"backend": {"type": "HDF5Video", "filename": ".", "dataset": "video0/video"}},
            "its image is in the file",
        ),
        ({"backend": {"filenames": []}}, "its video has 0 images"),
        (3, "a frame of the video None"),
    ],
)
def test_frames_that_are_no_image_files(tmp_path: Path, made: Any, problem: str) -> None:
    write_image(tmp_path / "a.png")
    write(tmp_path / "labels.slp", [[(0, POINTS)], [(0, POINTS)]], [video("a.png"), made])
    dataset = opened(tmp_path, "sleap")
    assert [sample.image for sample in dataset.samples] == ["a.png"]
    assert [
        failure.reason.startswith(f"labels.slp, video 1, frame 0: {problem}") for failure in dataset.failures
    ] == [True]


def test_without_h5py(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "labels.slp", [[(0, POINTS)]], [video("a.png")])
    monkeypatch.setitem(sys.modules, "h5py", None)
    assert Sleap().recognises(tmp_path) == "labels.slp"
    with pytest.raises(DataError) as caught:
        opened(tmp_path, "sleap")
    problem = "labels.slp: h5py, which reads SLEAP, is not installed: pip install 'mahtdiag[sleap]'"
    assert caught.value.problems == (problem,)


def problem_of(folder: Path) -> str:
    with pytest.raises(DataError) as caught:
        opened(folder, "sleap")
    (problem,) = caught.value.problems
    return problem


def test_tables_that_lie_elsewhere_are_not_read(tmp_path: Path) -> None:
    write(tmp_path / "outside.h5", [[(0, POINTS)]], [video("a.png")])
    folder = tmp_path / "set"
    folder.mkdir()
    write_image(folder / "a.png")
    for link in (h5py.ExternalLink("../outside.h5", "/points"), h5py.SoftLink("/frames")):
        write(folder / "labels.slp", [[(0, POINTS)]], [video("a.png")])
        with h5py.File(folder / "labels.slp", "a") as file:
            del file["points"]
            file["points"] = link
        assert problem_of(folder) == "labels.slp: 'points' is not in it: save it with SLEAP again"
    with h5py.File(folder / "labels.slp", "a") as file:
        del file["points"]
        external = [(str(tmp_path / "outside.h5"), 0, 18 * 20)]
        file.create_dataset("points", (20,), POINT, external=external)
    assert problem_of(folder) == "labels.slp: 'points' is not a table of this file: save it with SLEAP again"


def test_an_absurdly_large_table_is_not_read(tmp_path: Path) -> None:
    write(tmp_path / "labels.slp", [[(0, POINTS)]], [video("a.png")])
    with h5py.File(tmp_path / "labels.slp", "a") as file:
        del file["points"]
        file.create_dataset("points", (10**12,), POINT, chunks=(10**6,), compression="gzip")
    assert (
        problem_of(tmp_path)
        == "labels.slp: 'points' has 1000000000000 rows: more than an annotation file has"
    )


@pytest.mark.parametrize(
    ("table", "rows"), [("frames", 110_000), ("instances", 110_000), ("points", 4_000_000)]
)
def test_tables_that_cost_nothing_in_the_file_are_not_read(tmp_path: Path, table: str, rows: int) -> None:
    write(tmp_path / "labels.slp", [[(0, POINTS)]], [video("a.png")])
    with h5py.File(tmp_path / "labels.slp", "a") as file:
        kind = file[table].dtype
        del file[table]
        file.create_dataset(table, (rows,), kind, chunks=(1000,))
    assert (tmp_path / "labels.slp").stat().st_size < 50_000
    said = f"labels.slp: '{table}' has {rows} rows: more than an annotation file has"
    assert problem_of(tmp_path) == said


def test_videos_that_are_one_text_many_times(tmp_path: Path) -> None:
    write(tmp_path / "labels.slp", [[(0, POINTS)]], [video("a.png")])
    with h5py.File(tmp_path / "labels.slp", "a") as file:
        del file["videos_json"]
        table = file.create_dataset("videos_json", (90_000,), h5py.string_dtype(), chunks=(90_000,))
        table[:1] = ["a" * 5000]
        _, content = table.id.read_direct_chunk((0,))
        # The length, and where in the file the text is.
        table.id.write_direct_chunk((0,), content[:16] * 90_000)
    said = "labels.slp: 'videos_json' is larger than the file: save it with SLEAP again"
    assert problem_of(tmp_path) == said


def test_json_of_many_values(tmp_path: Path) -> None:
    write(tmp_path / "labels.slp", [[(0, POINTS)]], [video("a.png", more=[[]] * 1_700_000)])
    said = "labels.slp: its JSON is of more values than annotations have: save it again"
    assert problem_of(tmp_path) == said


def test_tables_that_contradict_each_other(tmp_path: Path) -> None:
    write(tmp_path / "labels.slp", [[(0, POINTS[:7])]], [video("a.png")])
    assert problem_of(tmp_path).startswith(
        "labels.slp: its tables do not fit together: ValueError: an instance"
    )
    write(tmp_path / "labels.slp", [[(0, POINTS)]], [video("a.png")], places=[(4, 0)])
    assert problem_of(tmp_path).startswith("labels.slp: its tables do not fit together: IndexError")


def test_damaged_files(tmp_path: Path) -> None:
    file = tmp_path / "labels.slp"
    write(file, [[(0, POINTS)]], [video("a.png")])
    content = file.read_bytes()
    rng = np.random.default_rng(3)
    for kept in (8, 100, 1000, len(content) // 2, len(content) - 1):
        file.write_bytes(content[:kept])
        assert problem_of(tmp_path).startswith("labels.slp: not a SLEAP file: ")
    for _ in range(200):
        damaged = bytearray(content)
        for at in rng.integers(8, len(content), 20):
            damaged[at] = rng.integers(256)
        file.write_bytes(damaged)
        with contextlib.suppress(DataError):
            opened(tmp_path, "sleap")
    file.write_bytes(b"")
    assert Sleap().recognises(tmp_path) is None


@pytest.mark.apart
def test_files_are_read_by_another_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "labels.slp", [[(0, POINTS)]], [video("a.png")])
    found = sleap.Sleap().read(tmp_path, ReadOptions())
    monkeypatch.setattr(sleap, "_read_apart", sleap.stored_in)
    here = sleap.Sleap().read(tmp_path, ReadOptions())
    assert [labels.image for labels in found.labels] == [labels.image for labels in here.labels]
    for one, other in zip(found.labels, here.labels, strict=True):
        np.testing.assert_array_equal(one.shapes[0].points, other.shapes[0].points)


@pytest.mark.apart
def test_a_file_that_takes_too_long_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "labels.slp", [[(0, POINTS)]], [video("a.png")])
    monkeypatch.setattr(sleap, "_LONGEST_SECONDS", 0.01)
    with pytest.raises(DataError, match=r"cannot be read in 0\.01 s: damaged\? save it again"):
        sleap.Sleap().read(tmp_path, ReadOptions())


@pytest.mark.apart
def test_what_the_library_cannot_open_is_said_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "labels.slp").write_bytes(b"\x89HDF\r\n\x1a\n" + b"\0" * 100)
    with pytest.raises(DataError, match=r"labels.slp: not a SLEAP file: .* save it again") as caught:
        sleap.Sleap().read(tmp_path, ReadOptions())
    assert len(caught.value.problems) == 1
