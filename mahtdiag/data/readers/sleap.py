"""SLEAP: a `.slp` file (HDF5) of labelled instances; needs h5py, the extra `mahtdiag[sleap]`."""

import importlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from mahtdiag.data.files import IMAGE_EXTENSIONS, counted
from mahtdiag.data.json_files import files_with
from mahtdiag.data.labelled import ImageLabels, LabelledSet, Shape
from mahtdiag.errors import DataError
from mahtdiag.opening import open_file
from mahtdiag.schema.frames import Size
from mahtdiag.schema.json_values import bytes_of_values
from mahtdiag.schema.read_options import ReadOptions
from mahtdiag.schema.safe_text import shown

_SIGNATURE: Final = b"\x89HDF\r\n\x1a\n"
_MOST_LOOKED_AT: Final = 64
# What was never written into a table takes no space, and what is all the same packs well.
_BYTES_OF_ANY, _BYTES_PER_BYTE = 64 << 20, 10
_ROWS_OF_ANY, _BYTES_PER_ROW = 100_000, 16
_MOST_JSON_BYTES: Final = 2**28
_USER: Final = 0
# Files of before this version put (0, 0) on the corner of the first pixel, later ones on its centre.
_FIRST_OF_CENTRES: Final = 1.1
_LONGEST_SECONDS: Final = 60
_TABLES: Final = ("frames", "instances", "points")


@dataclass(frozen=True, slots=True)
class Sleap:
    """The reader (see `Reader`)."""

    name: str = "sleap"
    title: str = "SLEAP"

    def recognises(self, path: Path) -> str | None:
        """The first HDF5 file named `.slp`."""
        found = _files(path)
        return shown(found[0].relative_to(path) if path.is_dir() else found[0].name) if found else None

    def read(self, path: Path, options: ReadOptions) -> LabelledSet:
        """The instances that people marked; predicted ones are none. Needs h5py, else raises DataError."""
        root = path if path.is_dir() else path.parent
        files = _files(path)
        labels: list[ImageLabels] = []
        notes: list[str] = []
        for file in files:
            name = shown(file.relative_to(root))
            content = _Content.read(file, name)
            labels += content.labels()
            notes += content.notes()
        names = shown(files[0].relative_to(root)) if files else ""
        return LabelledSet(root, self.name, names, tuple(labels), options, tuple(notes))


def _files(path: Path) -> list[Path]:
    found = []
    for file in islice(files_with(path, (".slp",)), _MOST_LOOKED_AT):
        try:
            with open_file(file) as opened:
                if opened.read(len(_SIGNATURE)) == _SIGNATURE:
                    found.append(file)
        except OSError:
            continue
    return found


@dataclass(slots=True)
class _Content:
    """The tables of one file, as they are stored."""

    name: str
    format_id: float
    skeletons: list[tuple[str, ...]]
    videos: list[Mapping[str, Any]]
    tables: dict[str, NDArray[Any]]
    predicted: int = 0

    @classmethod
    def read(cls, file: Path, name: str) -> "_Content":
        """Raises DataError, one line, where it cannot be read or is not of the form."""
        try:
            importlib.import_module("h5py")
        except ImportError as error:
            raise DataError(
                f"{name}: h5py, which reads SLEAP, is not installed: pip install 'mahtdiag[sleap]'"
            ) from error
        try:
            tables, facts = _read_apart(file, name)
            texts = [facts["metadata"], *facts["videos"]]
            if sum(bytes_of_values(text.encode()) for text in texts) > _MOST_JSON_BYTES:
                raise DataError(f"{name}: its JSON is of more values than annotations have: save it again")
            metadata, *videos = map(json.loads, texts)
            return cls(name, facts["format_id"], _skeletons(metadata), list(map(_object, videos)), tables)
        except DataError:
            raise
        except RecursionError as error:
            raise DataError(f"{name}: nested too deeply to be annotations") from error
        # What stands in a damaged file may be of every kind.
        except Exception as error:
            said = f"{type(error).__name__}: {error}"[:160]
            raise DataError(f"{name}: not a SLEAP file: {shown(said)}: save it again") from error

    def labels(self) -> list[ImageLabels]:
        """What the file says of each frame. Raises DataError where its tables contradict each other."""
        try:
            by_frame = self._instances()
            return [self._frame(row, by_frame.get(int(row["frame_id"]), [])) for row in self.tables["frames"]]
        except (KeyError, IndexError, ValueError, TypeError, OverflowError) as error:
            said = f"{type(error).__name__}: {error}"[:160]
            raise DataError(f"{self.name}: its tables do not fit together: {shown(said)}") from error

    def notes(self) -> list[str]:
        """One line on predicted instances."""
        count = counted(self.predicted, "predicted instance")
        return [f"{self.name}: {count} left out"] if self.predicted else []

    def _instances(self) -> dict[int, list[Shape]]:
        """The shapes of each frame, by its number."""
        found: dict[int, list[Shape]] = {}
        points = self.tables["points"]
        for row in self.tables["instances"]:
            if int(row["instance_type"]) != _USER:
                self.predicted += 1
                continue
            names = self.skeletons[int(row["skeleton"])]
            first, end = int(row["point_id_start"]), int(row["point_id_end"])
            if not 0 <= first <= end <= len(points) or end - first != len(names):
                raise ValueError(f"an instance has points {first} to {end}, its skeleton {len(names)}")
            places = np.stack([points["x"][first:end], points["y"][first:end]], axis=1).astype(np.float64)
            if self.format_id < _FIRST_OF_CENTRES:
                places -= 0.5
            places[~np.isfinite(places).all(axis=1)] = np.nan
            if np.isfinite(places).any():
                found.setdefault(int(row["frame_id"]), []).append(Shape("", names, places))
        return found

    def _frame(self, row: Any, shapes: list[Shape]) -> ImageLabels:
        video, frame = self.videos[int(row["video"])], int(row["frame_idx"])
        where = f"{self.name}, video {int(row['video'])}, frame {frame}"
        image, problem = _image(video, frame)
        height, width = _extent(video)
        size = Size(height, width) if height and width else None
        return ImageLabels(image or where, where, tuple(shapes), size, problem)


def _read_apart(file: Path, name: str) -> tuple[dict[str, NDArray[Any]], Mapping[str, Any]]:
    """What `stored_in` reads, read by another process that can be stopped.

    The HDF5 library goes round in circles in some damaged files, where no Python can interrupt it. Raises
    DataError where the other process says so, ends, or takes longer than a minute.
    """
    code = f"from {__name__} import send_stored; send_stored()"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-c", code, os.fspath(file.resolve()), name]
    try:
        done = subprocess.run(
            command, capture_output=True, timeout=_LONGEST_SECONDS, env=environment, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise DataError(f"{name}: cannot be read in {_LONGEST_SECONDS} s: damaged? save it again") from error
    if done.returncode:
        raise DataError(f"{name}: not a SLEAP file: the HDF5 library fails on it: save it again")
    with np.load(io.BytesIO(done.stdout), allow_pickle=False) as sent:
        tables = dict(sent)
    facts = json.loads(tables.pop("facts").item())
    if facts["problem"]:
        raise DataError(facts["problem"])
    return tables, facts


def send_stored() -> None:
    """Write to standard output, as .npz, what the file named on the command line stores, or what is wrong."""
    file, name = sys.argv[1:]
    tables: dict[str, NDArray[Any]] = {}
    facts: dict[str, Any] = {"problem": ""}
    try:
        tables, facts = stored_in(Path(file), name)
    except DataError as error:
        facts["problem"] = str(error)
    # h5py raises what its library meets, of every kind, where bytes of a file are wrong.
    except Exception as error:
        said = f"{type(error).__name__}: {error}"[:160]
        facts["problem"] = f"{name}: not a SLEAP file: {shown(said)}: save it again"
    arrays: dict[str, Any] = {**tables, "facts": np.array(json.dumps(facts))}
    content = io.BytesIO()
    np.savez(content, **arrays)
    sys.stdout.buffer.write(content.getbuffer())


def stored_in(file: Path, name: str) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """The tables of numbers of a file by name, and its facts: videos, number of the format, metadata."""
    h5py = importlib.import_module("h5py")
    size = file.stat().st_size
    with h5py.File(file, "r") as opened:
        tables = {}
        for table in _TABLES:
            stored = _table(h5py, opened, table, name, size)
            if stored.dtype.hasobject:
                raise DataError(f"{name}: '{table}' is not a table of numbers: save it with SLEAP again")
            tables[table] = np.asarray(stored[()])
        attributes = _item(h5py, opened, "metadata", name).attrs
        return tables, {
            "problem": "",
            "videos": _videos(_table(h5py, opened, "videos_json", name, size), name, size),
            "format_id": float(attributes.get("format_id", 1.0)),
            "metadata": _text(attributes["json"]),
        }


def _videos(table: Any, name: str, size: int) -> list[str]:
    """The texts of the videos; all rows of a table may name the same text, which is stored once."""
    found = []
    left = _BYTES_OF_ANY + size
    for row in range(len(table)):
        found.append(_text(table[row]))
        left -= len(found[-1])
        if left < 0:
            raise DataError(f"{name}: 'videos_json' is larger than the file: save it with SLEAP again")
    return found


def _text(stored: object) -> str:
    return stored.decode("utf-8") if isinstance(stored, bytes) else str(stored)


def _item(h5py: Any, opened: Any, name: str, file: str) -> Any:
    """A member of the file itself: links to other files are not followed."""
    if not isinstance(opened.get(name, getlink=True), h5py.HardLink):
        raise DataError(f"{file}: '{name}' is not in it: save it with SLEAP again")
    return opened[name]


def _table(h5py: Any, opened: Any, name: str, file: str, size: int) -> Any:
    """A table, not yet read; refused where it is absurdly large for the file or lies in another one."""
    table = _item(h5py, opened, name, file)
    if not isinstance(table, h5py.Dataset) or table.ndim != 1 or table.is_virtual or table.external:
        raise DataError(f"{file}: '{name}' is not a table of this file: save it with SLEAP again")
    most_bytes = _BYTES_OF_ANY + _BYTES_PER_BYTE * size
    most_rows = most_bytes if name == "points" else _ROWS_OF_ANY + size // _BYTES_PER_ROW
    if table.size > most_rows or table.size * max(table.dtype.itemsize, 1) > most_bytes:
        raise DataError(f"{file}: '{name}' has {table.size} rows: more than an annotation file has")
    return table


def _object(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _skeletons(metadata: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """The names of the nodes of each skeleton, in the order in which instances have them."""
    nodes = [str(node["name"]) for node in metadata["nodes"]]
    return [tuple(nodes[int(node["id"])] for node in s["nodes"]) for s in metadata["skeletons"]]


def _image(video: Mapping[str, Any], frame: int) -> tuple[str, str | None]:
    """The image of a frame, or what it is instead."""
    backend = _object(video.get("backend"))
    files = next((f for f in (backend.get("filenames"), video.get("filename")) if isinstance(f, list)), None)
    if files is not None:
        if 0 <= frame < len(files) and isinstance(files[frame], str):
            return files[frame], None
        return "", f"its video has {len(files)} images"
    file = backend.get("filename", video.get("filename"))
    if isinstance(file, str) and Path(file.replace("\\", "/")).suffix.lower() in IMAGE_EXTENSIONS:
        return file, None
    if backend.get("dataset") is not None:
        return "", "its image is in the file itself: save the project with images of their own"
    return "", f"a frame of the video {shown(str(file)[:80])}: images are read"


def _extent(video: Mapping[str, Any]) -> tuple[int, int]:
    """Height and width of a video's images, 0 where it does not say."""
    backend = _object(video.get("backend"))
    shape = backend.get("shape")
    if (
        isinstance(shape, list)
        and len(shape) == 4
        and all(type(n) is int and 0 < n < 10**6 for n in shape[1:3])
    ):
        return shape[1], shape[2]
    return 0, 0
