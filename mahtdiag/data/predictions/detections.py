"""Instances of each image in JSON: what turns them into predictions is the same for every such format."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mahtdiag.data.labelled import ImageLabels, Shape
from mahtdiag.data.predictions.content import PerImage
from mahtdiag.data.predictions.instances import BestOf, Instance
from mahtdiag.data.predictions.predicted import PredictedFile, SetOfImages
from mahtdiag.errors import DataError

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Found:
    """An instance as a file has it; `names` None where it has none, `score` NaN where it has none."""

    label: str
    values: Floats
    score: float
    names: tuple[str, ...] | None = None


def detections(
    per_image: PerImage, of: SetOfImages, instances: Callable[[Any], Iterable[Found]]
) -> PredictedFile:
    """The best instances of each image; `instances` of the content of one image raises DataError if wrong."""
    best = BestOf(of)
    images = []
    for entry in per_image.read():
        problem = entry.problem
        shapes: tuple[Shape, ...] = ()
        if problem is None:
            try:
                found = [_instance(each, of) for each in instances(entry.content)]
                shapes = best.shapes(found)
            except DataError as error:
                problem = "; ".join(error.problems)
        images.append(ImageLabels(entry.image, entry.where, shapes, problem=problem))
    notes = (*best.notes(), *per_image.notes())
    return PredictedFile(tuple(images), per_image.files, notes)


def _instance(found: Found, of: SetOfImages) -> Instance:
    names = of.names(found.label, len(found.values)) if found.names is None else found.names
    if len(names) != len(found.values):
        raise DataError(f"{len(found.values)} keypoints, the file names {len(names)}")
    return Instance(found.label, names, found.values, found.score)


def numbers(values: object, what: str, *shape: int) -> Floats:
    """An array of this shape, a length of −1 being any. Raises DataError: `what` is not."""
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        array = np.empty(0)
    fits = array.ndim == len(shape) and all(
        wanted in (-1, own) for wanted, own in zip(shape, array.shape, strict=True)
    )
    if not fits or not isinstance(values, list):
        raise DataError(f"{what} are not {' x '.join('n' if n < 0 else str(n) for n in shape)} numbers")
    return array
