"""NumPy arrays: `images` `[N]`, `keypoints` `[N, K, 2]`, and if there are `sigma`, `scores` and `names`."""

import math
import os
import sys
import tokenize
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from mahtdiag.data.labelled import ImageLabels, Shape
from mahtdiag.data.predictions.content import head
from mahtdiag.data.predictions.predicted import PredictedFile, SetOfImages, columns
from mahtdiag.errors import DataError
from mahtdiag.opening import open_file
from mahtdiag.schema.safe_text import shown

_ARRAYS: Final = ("images", "keypoints", "sigma", "scores", "names")
_NEEDED: Final = _ARRAYS[:2]
_LARGEST_ARRAY_BYTES: Final = 2**29
# What is all the same packs well; what is predicted for images does not.
_UNPACKED_OF_ANY: Final = 2**26
_UNPACKED_PER_BYTE: Final = 50
_ZIP: Final = b"PK\x03\x04"
_BROKEN: Final = (
    OSError, ValueError, EOFError, RuntimeError, NotImplementedError, SyntaxError, tokenize.TokenError,
    zipfile.BadZipFile, zlib.error, MemoryError, OverflowError,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Npz:
    """The reader (see `PredictionReader`)."""

    name: str = "npz"
    title: str = "NumPy arrays (.npz)"
    looks_like: str = ".npz with images [N], keypoints [N, K, 2] and, if you like, sigma, scores, names"

    def recognises(self, path: Path) -> bool:
        """A ZIP archive with an array `keypoints`."""
        if not head(path).startswith(_ZIP):
            return False
        try:
            with open_file(path) as file, zipfile.ZipFile(file) as archive:
                return "keypoints.npy" in archive.namelist()
        except _BROKEN:
            # Begins as one: that it is damaged is said by `read`.
            return True

    def read(self, path: Path, of: SetOfImages) -> PredictedFile:
        """An image per row; `sigma` `[N, K]` or `[N, K, 2]` in pixels, `scores` `[N, K]`, `names` `[K]`."""
        name = shown(path.name)
        arrays = _arrays(path, name)
        lacking = [key for key in _NEEDED if key not in arrays]
        if lacking:
            arrays_lacking = " and ".join(lacking)
            raise DataError(f"{name}: no array {arrays_lacking}: write np.savez(file, images=…, keypoints=…)")
        keypoints = arrays["keypoints"]
        if keypoints.ndim != 3 or keypoints.shape[2] != 2:
            raise DataError(f"{name}: keypoints are {_shape(keypoints)}, not [N, K, 2]")
        keypoints = _floats(keypoints, f"{name}: keypoints")
        n, k = keypoints.shape[:2]
        images = _texts(arrays["images"], n, f"{name}: images")
        sigma = _fitting(arrays.get("sigma"), ((n, k), (n, k, 2)), f"{name}: sigma", "[N, K] or [N, K, 2]")
        score = _fitting(arrays.get("scores"), ((n, k),), f"{name}: scores", "[N, K]")
        names = _texts(arrays["names"], k, f"{name}: names") if "names" in arrays else None
        try:
            names = names or of.names("", k)
        except DataError as error:
            raise DataError(f"{name}: {'; '.join(error.problems)}: name them in an array names") from error
        labels = []
        for at, image in enumerate(images):
            own = (None if each is None else each[at] for each in (sigma, score))
            shape = Shape("", tuple(names), columns(keypoints[at], *own))
            labels.append(ImageLabels(image, f"{name}, row {at}", (shape,)))
        return PredictedFile(tuple(labels), (path,))


def _arrays(path: Path, name: str) -> dict[str, NDArray[np.generic]]:
    """The arrays that mean something. Raises DataError where one cannot be read or holds objects."""
    arrays = {}
    try:
        with open_file(path) as file, zipfile.ZipFile(file) as archive:
            there = {entry.filename: entry.file_size for entry in archive.infolist()}
            wanted = [key for key in _ARRAYS if f"{key}.npy" in there]
            size = os.fstat(file.fileno()).st_size
            unpacked = sum(there[f"{key}.npy"] for key in wanted)
            if unpacked > _UNPACKED_OF_ANY + _UNPACKED_PER_BYTE * size:
                raise DataError(f"{name}: {size} bytes that unpack to {unpacked}: save it with np.savez")
            for key in wanted:
                arrays[key] = _array(archive, f"{key}.npy", f"{name}: {key}")
    except _BROKEN as error:
        said = shown(" ".join(str(error).split())[:100])
        raise DataError(f"{name}: not a whole .npz: {said}: save it again") from error
    return arrays


def _array(archive: zipfile.ZipFile, entry: str, what: str) -> NDArray[np.generic]:
    """One array, of the size that its entry has. Raises DataError: objects, too large, or no such size."""
    size = archive.getinfo(entry).file_size
    if size > _LARGEST_ARRAY_BYTES:
        raise DataError(f"{what}: {size} bytes: at most {_LARGEST_ARRAY_BYTES}: split the file")
    with archive.open(entry) as file:
        version = npy.read_magic(file)
        read_header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, fortran, dtype = read_header(file)
        if dtype.hasobject:
            raise DataError(f"{what}: an array of objects: save np.array(…, dtype=str) or numbers")
        # The header is whatever somebody wrote; what it asks for must be there.
        content = file.read(size)
        if math.prod(shape) * dtype.itemsize != len(content) or not dtype.itemsize:
            raise DataError(f"{what}: damaged: {len(content)} bytes for an array {list(shape)} of {dtype}")
    array = np.frombuffer(content, dtype=dtype)
    return array.reshape(shape[::-1]).transpose() if fortran else array.reshape(shape)


def _texts(array: NDArray[np.generic], count: int, what: str) -> Sequence[str]:
    if array.shape != (count,):
        raise DataError(f"{what} are {_shape(array)}, not [{count}] as in keypoints")
    if array.dtype.kind == "S":
        return [text.decode("utf-8", "surrogateescape") for text in array.tolist()]
    if array.dtype.kind != "U":
        raise DataError(f"{what} are of {array.dtype}, not names: save np.array(names, dtype=str)")
    numbers = np.dtype("u4").newbyteorder(array.dtype.byteorder)
    if (np.frombuffer(array.tobytes(), numbers) > sys.maxunicode).any():
        raise DataError(f"{what} are damaged, not text: save np.array(names, dtype=str)")
    return [str(text) for text in array.tolist()]


def _fitting(
    array: NDArray[np.generic] | None, shapes: Sequence[tuple[int, ...]], what: str, wanted: str
) -> NDArray[np.float64] | None:
    if array is None:
        return None
    if array.shape not in shapes:
        raise DataError(f"{what} is {_shape(array)}, not {wanted} as keypoints")
    return _floats(array, what)


def _floats(array: NDArray[np.generic], what: str) -> NDArray[np.float64]:
    if array.dtype.kind not in "fiu":
        raise DataError(f"{what}: of {array.dtype}, not numbers")
    return array.astype(np.float64, copy=False)


def _shape(array: NDArray[np.generic]) -> str:
    return f"[{', '.join(map(str, array.shape))}]"
