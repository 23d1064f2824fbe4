"""Sets of points to be written, and folders in which images of them lie beside what was written."""

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from mahtdiag.data.outgoing import OutgoingImage, OutgoingSet, Points, Written
from mahtdiag.schema.frames import Size
from mahtdiag.schema.skeleton import Skeleton
from tests.data.builders import encoded, radiograph

Floats = NDArray[np.float64]


def outgoing(
    skeleton: Skeleton,
    points_px: Sequence[Floats],
    names: Sequence[str],
    size: Size,
    *,
    labels: bool = True,
    links: Sequence[str] | None = None,
) -> OutgoingSet:
    """One image for each array `[K, 2]`; its link is its name. Predictions have σ and score."""
    images = []
    for name, link, px in zip(names, links or names, points_px, strict=True):
        k = len(px)
        points = Points(px) if labels else Points(px, np.full((k, 2), 2.5), np.linspace(0.2, 0.9, k))
        images.append(OutgoingImage(name, link, size, points, mm_per_px=np.ones(2)))
    return OutgoingSet(skeleton, tuple(images), labels, "net abcdef12")


def lay_out(folder: Path, written: Written, images: dict[str, Size]) -> None:
    """What was written, and images of these sizes, below one folder."""
    for name, content in written.files.items():
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
    for image, size in images.items():
        place = folder / image
        place.parent.mkdir(parents=True, exist_ok=True)
        kind = {".png": "PNG", ".bmp": "BMP", ".jpg": "JPEG"}[PurePosixPath(image).suffix.lower()]
        place.write_bytes(encoded(radiograph(size.height, size.width), kind))
