"""Which of many radiographs may be copies of each other: a search by cosine coefficients of their windows.

A copy is the same exposure once more: scaled, cropped, mirrored, brighter or darker. Two exposures of one
patient are none. What the search proposes, `data/images/registration.py` proves or rejects.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Affine = tuple[tuple[float, float, float], tuple[float, float, float]]
Pixels = NDArray[np.uint8]

SIDE: Final = 160
"""Rows and columns of the small picture by which an image is searched and registered."""
_ORDERS = 12
_STEPS, _STEP = 4, 0.2 / 3
_LIKE: Final = 0.75
_MOST: Final = 2
_BLOCK: Final = 16
UNMOVED: Final[Affine] = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0))
"""The map between identical files."""


class CopyKind(StrEnum):
    """How alike two images are."""

    IDENTICAL = "identical file"
    COPY = "same exposure"


@dataclass(frozen=True, slots=True)
class Window:
    """A part of a picture as shares of its sides."""

    left: float
    top: float
    right: float
    bottom: float


@dataclass(frozen=True, slots=True)
class Candidate:
    """Row `a` of one stack, whose `window` may show the whole of row `b` of the other, perhaps mirrored."""

    a: int
    b: int
    window: Window
    mirrored: bool
    likeness: float


@dataclass(frozen=True, slots=True)
class CopyPair:
    """Two images that show the same exposure.

    `image` is one of the judged set, `other` one of the same set or, where `across`, of the set it was held
    against. `scale`: pixels of `other` per pixel of `image`, along x and y; `image_share`, `other_share`:
    how much of the area of each the other one shows; `likeness`: correlation of the details after
    registration, 1 for identical files. `to_image`: the affine map `[2, 3]` from pixels of `other` to those
    of `image`, mirroring included. `picture`: the file that shows both, where one was written.
    """

    image: str
    other: str
    across: bool
    kind: CopyKind
    scale: tuple[float, float]
    image_share: float
    other_share: float
    mirrored: bool
    likeness: float
    to_image: Affine
    picture: str | None = None


@dataclass(frozen=True, slots=True)
class SharedPatient:
    """Images of one patient in the judged set and in the one that it was held against."""

    patient: str
    images: tuple[str, ...]
    others: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CopySearch:
    """What the search for copies found in `images` images, held against each other and `others` of `against`.

    `against` None: only within the set. `patients`: those in both sets, None where either set does not know
    the patients of its images. `unread`: names of the other set's images that could not be read.
    """

    images: int
    against: str | None
    others: int
    pairs: tuple[CopyPair, ...]
    patients: tuple[SharedPatient, ...] | None
    unread: tuple[str, ...] = ()
    strict: bool = False


def _axis_windows() -> tuple[tuple[float, float], ...]:
    """Start and end of the parts of an axis that are tried: up to a fifth cut off, in thirds."""
    return tuple((i * _STEP, 1 - j * _STEP) for i in range(_STEPS) for j in range(_STEPS - i))


_WINDOWS: Final = _axis_windows()
_U, _V = np.meshgrid(np.arange(_ORDERS), np.arange(_ORDERS), indexing="ij")
# The mean and the slopes are brightness; higher orders would not survive the steps between windows.
_USED: Final = (_U + _V >= 2) & (_U + _V <= _ORDERS + 2)
# Natural pictures have amplitudes that fall with frequency: each order counts alike.
_WEIGHT: Final[Floats] = np.hypot(_U, _V)[_USED].astype(np.float32)
_ODD: Final = (_V % 2 == 1)[_USED]


def _cosines(window: tuple[float, float]) -> Floats:
    """Rows that take an axis of a picture to the cosine coefficients of a part of it, `[orders, SIDE]`."""
    start, end = window
    edges = np.arange(SIDE + 1) / SIDE
    cover = np.clip(np.minimum(end, edges[1:]) - np.maximum(start, edges[:-1]), 0, None) / (end - start)
    place = np.clip(((edges[1:] + edges[:-1]) / 2 - start) / (end - start), 0, 1)
    return np.asarray(np.cos(np.pi * np.arange(_ORDERS)[:, None] * place) * cover, dtype=np.float32)


_BASIS: Final[Floats] = np.stack([_cosines(window) for window in _WINDOWS])


def descriptors(pictures: Pixels, *, windows: bool) -> Floats:
    """What a picture looks like at a glance, a vector of length 1 whatever brightness and contrast are.

    `[N, SIDE, SIDE]` -> `[N, 1, D]` of the whole pictures, or `[N, W, D]` of every window that is tried. The
    coefficients of a cosine transform (as in the perceptual hash of Zauner, 2010, but not cut to bits), each
    weighted with its order. A picture of one grey has only zeros.
    """
    basis = _BASIS if windows else _BASIS[:1]
    count, parts, orders = len(pictures), len(basis), _ORDERS
    flat = basis.reshape(-1, SIDE)
    rows = (flat @ pictures.astype(np.float32)).reshape(-1, SIDE) @ flat.T
    both = rows.reshape(count, parts, orders, parts, orders).transpose(0, 1, 3, 2, 4)
    vectors = both[..., _USED].reshape(count, parts**2, -1) * _WEIGHT
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(np.where(length > 1e-3, vectors / np.maximum(length, 1e-3), 0.0), dtype=np.float32)


def search(of: Pixels, among: Pixels | None = None) -> Iterator[tuple[int, list[Candidate]]]:
    """Pairs that may be copies of each other, in parts: after how many rows, and those found by then.

    `of` `[A, SIDE, SIDE]`, `among` `[B, SIDE, SIDE]`; None: within `of`, where `a` and `b` are rows of the
    same stack. Every window of `a`, mirrored and not, is held against every whole `b` by one matrix product,
    and of each `a` and each `b` the two best pairs above a likeness of 0.75 are proposed. Time grows with
    A × B, memory with A + B.
    """
    within = among is None
    others = of if among is None else among
    whole = descriptors(others, windows=False)[:, 0]
    even, odd = np.ascontiguousarray(whole[:, ~_ODD].T), np.ascontiguousarray(whole[:, _ODD].T)
    best = np.full((_MOST, len(others)), -1.0, dtype=np.float32)
    best_row = np.zeros((_MOST, len(others)), dtype=np.int64)
    for first in range(0, len(of), _BLOCK):
        block = descriptors(of[first : first + _BLOCK], windows=True)
        like = _likeness(block, even, odd).max(axis=1)
        rows = np.arange(first, first + len(like))
        if within:
            like[np.arange(len(like)), rows] = -1.0
        chosen = _top(like.T)
        found = [(first + row, int(b)) for row, b in zip(*np.nonzero(chosen.T), strict=True)]
        merged = np.concatenate([best, like])
        merged_rows = np.concatenate([best_row, np.broadcast_to(rows[:, None], like.shape)])
        kept = np.argpartition(-merged, _MOST - 1, axis=0)[:_MOST]
        best, best_row = np.take_along_axis(merged, kept, 0), np.take_along_axis(merged_rows, kept, 0)
        yield first + len(rows), [_settled(of, whole, a, b) for a, b in found]
    last = zip(*np.nonzero(best >= _LIKE), strict=True)
    yield len(of), [_settled(of, whole, int(best_row[k, b]), int(b)) for k, b in last]


def _likeness(windows: Floats, even: Floats, odd: Floats) -> Floats:
    """Correlation of every window `[A, W, D]` with every whole picture, as it is or mirrored: `[A, W, B]`.

    Mirroring turns the sign of the coefficients that are odd along x, and of no others.
    """
    like = np.abs(windows[..., _ODD] @ odd)
    like += windows[..., ~_ODD] @ even
    return np.asarray(like, dtype=np.float32)


def _top(like: Floats) -> NDArray[np.bool_]:
    """Which of each column's values, `[B, A]`, are among its highest and high enough."""
    if len(like) <= _MOST:
        return np.asarray(like >= _LIKE, dtype=np.bool_)
    limit = np.partition(like, len(like) - _MOST, axis=0)[len(like) - _MOST]
    return np.asarray((like >= limit) & (like >= _LIKE), dtype=np.bool_)


def _settled(of: Pixels, whole: Floats, a: int, b: int) -> Candidate:
    """The window of `a` that is most like `b`, and whether mirrored."""
    windows = descriptors(of[a : a + 1], windows=True)[0]
    even, odd = windows[:, ~_ODD] @ whole[b, ~_ODD], windows[:, _ODD] @ whole[b, _ODD]
    k = int((even + np.abs(odd)).argmax())
    (top, bottom), (left, right) = (_WINDOWS[place] for place in divmod(k, len(_WINDOWS)))
    window = Window(left, top, right, bottom)
    return Candidate(a, b, window, bool(odd[k] < 0), float(even[k] + abs(odd[k])))


def shared_patients(
    images: Iterable[tuple[str, str | None]], others: Iterable[tuple[str, str | None]]
) -> tuple[SharedPatient, ...] | None:
    """Patients of whom both sets, names of images with their patients, have images; None where unknown.

    The same key is the same patient only where both sets number patients alike, which nothing can tell.
    """
    ours, theirs = _by_patient(images), _by_patient(others)
    if not ours or not theirs:
        return None
    return tuple(SharedPatient(key, ours[key], theirs[key]) for key in sorted(ours.keys() & theirs.keys()))


def _by_patient(images: Iterable[tuple[str, str | None]]) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for image, patient in images:
        if patient is not None:
            found[patient] = (*found.get(patient, ()), image)
    return found
