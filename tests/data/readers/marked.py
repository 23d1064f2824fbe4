"""What the tests of annotation formats share: a plain spine with names, and sets of images around it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mahtdiag.data.files import Dataset
from mahtdiag.data.readers import open_dataset, reader_of
from mahtdiag.schema.read_options import ReadOptions
from mahtdiag.schema.skeleton import View
from tests.data.builders import encoded, radiograph, spine

HEIGHT, WIDTH = 220, 160
NAMES = [name.replace(" ", "_") for name in View.AP.skeleton.keypoint_names]
POINTS = spine(View.AP)


def write_image(path: Path) -> None:
    """A radiograph of 160 x 220 pixels, of the kind that its ending says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    kind = {".jpg": "JPEG", ".png": "PNG", ".tif": "TIFF"}[path.suffix]
    path.write_bytes(encoded(radiograph(HEIGHT, WIDTH), kind))


def without(*missing: str) -> NDArray[np.float64]:
    """The spine with some keypoints not labelled."""
    points = POINTS.copy()
    points[[NAMES.index(name) for name in missing]] = np.nan
    return points


def opened(folder: Path, name: str, view: View = View.AP, **options: dict[str, str]) -> Dataset:
    """A set that this reader, and no other, recognises; without the note that says so."""
    reader = reader_of(folder)
    assert reader.name == name
    dataset = open_dataset(folder, view, ReadOptions(**options))  # type: ignore[arg-type]
    assert dataset.notes[0] == f"annotations read as {reader.title}"
    return replace(dataset, notes=dataset.notes[1:])


def keypoints(dataset: Dataset, image: str) -> NDArray[np.float64]:
    """Those of one image."""
    return next(sample.keypoints_px for sample in dataset.samples if sample.image == image)


def reasons(dataset: Dataset) -> dict[str, str]:
    """Why images failed."""
    return {failure.image: failure.reason for failure in dataset.failures}
