"""Which images of an annotated set are copies of each other, or of images that a network has learnt from."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mahtdiag.data.images.registration import Pixels, Registration, SmallPicture, register, small_picture
from mahtdiag.data.time_limit import ImageTimeoutError
from mahtdiag.diagnosis.copies import (
    UNMOVED,
    Affine,
    Candidate,
    CopyKind,
    CopyPair,
    CopySearch,
    search,
    shared_patients,
)
from mahtdiag.errors import DataError
from mahtdiag.schema.frames import Size
from mahtdiag.schema.records import Sample
from mahtdiag.workflows.pictures import draw_into, image_of, remove_pictures, usual_workers
from mahtdiag.workflows.progress import Progress
from mahtdiag.workflows.second_labels import OtherSet

COPIES = "copies"


@dataclass(frozen=True, slots=True)
class _Seen:
    """The images of a set that could be read, and the names of the others."""

    samples: tuple[Sample, ...]
    pictures: tuple[SmallPicture, ...]
    unread: tuple[str, ...]

    @property
    def pixels(self) -> Pixels:
        return np.stack([picture.pixels for picture in self.pictures])


def find_copies(
    samples: Sequence[Sample], against: OtherSet | None, progress: Progress, *, strict: bool = False
) -> tuple[CopySearch, dict[str, Sample]]:
    """Copies among `samples` and, where given, between them and another set; and that one's images by name.

    Raises DataError where there is nothing in the other set.
    """
    theirs, unusable = against.samples() if against is not None else ((), ())
    ours, others = _seen(samples, progress), _seen(theirs, progress)
    pairs: list[CopyPair] = []
    if against is not None and ours.samples and others.samples:
        pairs += _pairs(ours, others, progress)
    if ours.samples:
        pairs += _pairs(ours, None, progress)
    patients = None
    if against is not None:
        patients = shared_patients(
            *([(s.image, s.patient.identifier) for s in part] for part in (samples, theirs))
        )
    found = CopySearch(
        images=len(ours.samples),
        against=None if against is None else against.name,
        others=len(others.samples),
        pairs=tuple(pairs),
        patients=patients,
        unread=tuple(sorted((*unusable, *others.unread))),
        strict=strict,
    )
    return found, {sample.image: sample for sample in others.samples}


def _seen(samples: Sequence[Sample], progress: Progress) -> _Seen:
    kept: list[tuple[Sample, SmallPicture]] = []
    unread: list[str] = []
    if not samples:
        return _Seen((), (), ())
    progress.start("looking at images", len(samples))
    try:
        with ThreadPoolExecutor(usual_workers()) as pool:
            for sample, picture in zip(samples, pool.map(_small, samples), strict=True):
                progress.advance(1)
                if isinstance(picture, SmallPicture):
                    kept.append((sample, picture))
                    continue
                unread.append(sample.image)
                if isinstance(picture, ImageTimeoutError):
                    progress.note(f"{sample.image}: not held against others, {picture.reason}")
    finally:
        progress.stop()
    return _Seen(tuple(sample for sample, _ in kept), tuple(picture for _, picture in kept), tuple(unread))


def _small(sample: Sample) -> SmallPicture | DataError:
    try:
        return small_picture(sample.path, sample.image, upright=sample.upright)
    except DataError as error:
        return error


@dataclass(frozen=True, slots=True)
class _Proposed:
    """A candidate for rows `i` of our set and `j` of theirs; `turned`: its window is one of theirs."""

    i: int
    j: int
    candidate: Candidate
    turned: bool


def _pairs(ours: _Seen, others: _Seen | None, progress: Progress) -> list[CopyPair]:
    """Copies within one set (each pair once), or between two, by the names of their images."""
    theirs = ours if others is None else others
    across = others is not None
    pairs = {place: _identical(ours, theirs, *place, across) for place in _same_bytes(ours, others)}
    a, b = ours.pixels, theirs.pixels
    proposed = [p for p in _proposed(a, b if across else None, progress) if (p.i, p.j) not in pairs]

    def proved(p: _Proposed) -> CopyPair | None:
        registered = (
            register(b[p.j], a[p.i], p.candidate) if p.turned else register(a[p.i], b[p.j], p.candidate)
        )
        if registered is None:
            return None
        names = ours.samples[p.i].image, theirs.samples[p.j].image
        sizes = ours.pictures[p.i].size, theirs.pictures[p.j].size
        return (
            _swapped(_copy(registered, names[::-1], sizes[::-1], across))
            if p.turned
            else _copy(registered, names, sizes, across)
        )

    progress.start("comparing images", len(proposed))
    try:
        with ThreadPoolExecutor(usual_workers()) as pool:
            for p, pair in zip(proposed, pool.map(proved, proposed), strict=True):
                progress.advance(1)
                if pair is not None:
                    pairs[p.i, p.j] = pair
    finally:
        progress.stop()
    return sorted(pairs.values(), key=lambda pair: (pair.image, pair.other))


def _proposed(a: Pixels, b: Pixels | None, progress: Progress) -> list[_Proposed]:
    """What the search proposes for each pair, seen from the side from which it is more likely."""
    best: dict[tuple[int, int], _Proposed] = {}
    for from_theirs in (False, True)[: 1 if b is None else 2]:
        for found in _searched(a, b, from_theirs, progress):
            turned = from_theirs if b is not None else found.a > found.b
            i, j = (found.b, found.a) if turned else (found.a, found.b)
            known = best.get((i, j))
            if known is None or known.candidate.likeness < found.likeness:
                best[i, j] = _Proposed(i, j, found, turned)
    return list(best.values())


def _searched(a: Pixels, b: Pixels | None, turned: bool, progress: Progress) -> Iterator[Candidate]:
    first, second = (b, a) if turned and b is not None else (a, b)
    where = "" if b is None else " of the other set" if turned else " in the other set"
    progress.start(f"searching for copies{where}", len(first))
    before = 0
    try:
        for done, found in search(first, second):
            # What is found at last comes after the last row.
            if done > before:
                progress.advance(done - before)
            before = done
            yield from found
    finally:
        progress.stop()


def _same_bytes(ours: _Seen, others: _Seen | None) -> Iterator[tuple[int, int]]:
    """Rows of images whose files are equal, of one set (each pair once) or of two."""
    theirs = ours if others is None else others
    rows: dict[str, list[int]] = {}
    for j, picture in enumerate(theirs.pictures):
        rows.setdefault(picture.image_sha256, []).append(j)
    for i, picture in enumerate(ours.pictures):
        yield from ((i, j) for j in rows.get(picture.image_sha256, ()) if others is not None or i < j)


def _identical(ours: _Seen, theirs: _Seen, i: int, j: int, across: bool) -> CopyPair:
    names = ours.samples[i].image, theirs.samples[j].image
    return CopyPair(names[0], names[1], across, CopyKind.IDENTICAL, (1.0, 1.0), 1.0, 1.0, False, 1.0, UNMOVED)


def _copy(
    registered: Registration, names: tuple[str, ...], sizes: tuple[Size, ...], across: bool
) -> CopyPair:
    """What a registration says: scales and shares of both pictures; turn and shear are next to none."""
    (wide, _, left), (_, high, top) = (map(float, row) for row in registered.warp)
    of, other = sizes
    shared = max(0.0, min(1.0, left + wide) - max(0.0, left)) * max(0.0, min(1.0, top + high) - max(0.0, top))
    return CopyPair(
        names[0],
        names[1],
        across,
        CopyKind.COPY,
        scale=(other.width / (wide * of.width), other.height / (high * of.height)),
        image_share=shared,
        other_share=min(1.0, shared / (wide * high)),
        mirrored=registered.mirrored,
        likeness=registered.likeness,
        to_image=_in_pixels(registered, of, other),
    )


def _in_pixels(registered: Registration, of: Size, other: Size) -> Affine:
    """The map from pixels of `other` to those of `of`; pixel k covers k − ½ to k + ½."""
    along_x = -1.0 if registered.mirrored else 1.0
    as_shares = np.array([[along_x / other.width, 0, 0], [0, 1 / other.height, 0]])
    as_shares[:, 2] = (float(registered.mirrored), 0.0)
    as_shares[:, 2] += 0.5 * as_shares[:, :2].sum(axis=1)
    both = registered.warp[:, :2] @ as_shares
    both[:, 2] += registered.warp[:, 2]
    return _affine(both * of.xy[:, None] - [[0, 0, 0.5]])


def _affine(rows: NDArray[np.float64]) -> Affine:
    (a, b, c), (d, e, f) = rows.tolist()
    return (a, b, c), (d, e, f)


def _swapped(pair: CopyPair) -> CopyPair:
    """The same pair seen from the other image."""
    return replace(
        pair,
        image=pair.other,
        other=pair.image,
        scale=(1 / pair.scale[0], 1 / pair.scale[1]),
        image_share=pair.other_share,
        other_share=pair.image_share,
        to_image=_affine(np.linalg.inv(np.vstack([pair.to_image, (0, 0, 1)]))[:2]),
    )


def draw_copies(
    found: CopySearch,
    ours: dict[str, Sample],
    theirs: dict[str, Sample],
    out: Path,
    command: str,
    progress: Progress,
) -> CopySearch:
    """The same with a picture of every pair in `out/copies`; earlier ones of the command are removed.

    Raises RunFolderError where the folder cannot be written to.
    """
    from mahtdiag.reports.overlay.pairs import draw_pair

    folder = out / COPIES
    if folder.is_dir():
        remove_pictures(folder, "*.png", command)
    tasks = [(f"{number:04d}.png", pair) for number, pair in enumerate(found.pairs, start=1)]
    if not tasks:
        return found

    def draw(pair: CopyPair) -> bytes | None:
        both = ours[pair.image], (theirs if pair.across else ours)[pair.other]
        a, b = (image_of([Path(s.path)], s.image, None, upright=s.upright) for s in both)
        return None if a is None or b is None else draw_pair(a, b, pair)

    progress.start("pictures of copies", len(tasks))
    try:
        undrawn = draw_into(folder, command, draw, tasks, progress)
    finally:
        progress.stop()
    for pair, reason in undrawn:
        progress.note(f"no picture of {pair.image} and {pair.other}: {reason}")
    gone = [pair for pair, _ in undrawn]
    drawn = [pair if pair in gone else replace(pair, picture=str(folder / name)) for name, pair in tasks]
    return replace(found, pairs=tuple(drawn))
