"""Ultralytics: what `Results.to_json` (earlier `tojson`) writes of an image.

Its keypoints have no names: they are in the order of the data.yaml. What its validator writes are COCO
results.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from mahtdiag.data.files import counted
from mahtdiag.data.json_files import number
from mahtdiag.data.predictions.content import PerImage, is_of_keys
from mahtdiag.data.predictions.detections import Found, detections, numbers
from mahtdiag.data.predictions.predicted import PredictedFile, SetOfImages, columns
from mahtdiag.errors import DataError

_KEYS: Final = ("name", "class", "confidence", "keypoints")
# Earlier versions of the library put a keypoint of a lower confidence at 0, 0.
_LEAST_SHOWN: Final = 0.5


@dataclass(frozen=True, slots=True)
class Ultralytics:
    """The reader (see `PredictionReader`)."""

    name: str = "ultralytics"
    title: str = "Ultralytics JSON"
    looks_like: str = 'JSON of each image, a list of {"name", "class", "confidence", "keypoints": {"x", "y"}}'

    def recognises(self, path: Path) -> bool:
        """A JSON file, or one in a folder, with the keys of an instance."""
        return is_of_keys(path, *_KEYS)

    def read(self, path: Path, of: SetOfImages) -> PredictedFile:
        """A file per image named after it, a folder of them, or one that maps names to lists of instances."""
        per_image = PerImage(path, _is_list, "what Results.to_json writes")
        instances = _Instances()
        found = detections(per_image, of, instances.of)
        return PredictedFile(found.images, found.files, (*found.notes, *instances.notes()))


def _is_list(content: object) -> bool:
    """A list of instances; one of lists is of several images, without their names."""
    return isinstance(content, list) and all(
        isinstance(each, dict) and each.keys() >= {"class", "confidence"} for each in content
    )


@dataclass(slots=True)
class _Instances:
    not_found: int = 0

    def of(self, content: Sequence[Mapping[str, Any]]) -> Iterator[Found]:
        """The instances of an image. Raises DataError: not of the form."""
        for at, entry in enumerate(content):
            said = entry.get("keypoints")
            if not isinstance(said, dict):
                raise DataError(f"[{at}]: no keypoints: predict with a pose network")
            x = numbers(said.get("x"), f"[{at}]: the x of keypoints", -1)
            y = numbers(said.get("y"), f"[{at}]: the y of keypoints", len(x))
            score = None
            if said.get("visible") is not None:
                score = numbers(said["visible"], f"[{at}]: the visibilities of keypoints", len(x))
            points = np.stack([x, y], axis=1)
            unseen = (points == 0).all(axis=1)
            if score is not None:
                unseen &= score < _LEAST_SHOWN
            points[unseen] = np.nan
            self.not_found += int(unseen.sum())
            name = entry.get("name")
            label = name if isinstance(name, str) else ""
            yield Found(label, columns(points, score=score), number(entry.get("confidence")))

    def notes(self) -> Iterator[str]:
        if self.not_found:
            yield (
                f"{counted(self.not_found, 'keypoint')} at 0, 0 taken as not found: Ultralytics put those of"
                f" a confidence below {_LEAST_SHOWN:g} there"
            )
