"""Keypoint R-CNN: what torchvision's network gives for an image, as JSON."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from mahtdiag.data.json_files import number
from mahtdiag.data.predictions.content import PerImage, is_of_keys
from mahtdiag.data.predictions.detections import Found, detections, numbers
from mahtdiag.data.predictions.predicted import PredictedFile, SetOfImages, columns
from mahtdiag.errors import DataError

_KEYS: Final = ("boxes", "keypoints", "labels")
_OF_KEYPOINTS: Final = "keypoints_scores"


@dataclass(frozen=True, slots=True)
class KeypointRcnnPredictions:
    """The reader (see `PredictionReader`)."""

    name: str = "keypoint-rcnn"
    title: str = "Keypoint R-CNN JSON"
    looks_like: str = 'JSON of each image, {"boxes", "labels", "scores", "keypoints", "keypoints_scores"}'

    def recognises(self, path: Path) -> bool:
        """A JSON file, or one in a folder, with boxes, keypoints and labels."""
        return is_of_keys(path, *_KEYS)

    def read(self, path: Path, of: SetOfImages) -> PredictedFile:
        """A file per image named after it, a folder of them, or one that maps names to predictions."""
        form = "boxes, keypoints and labels of Keypoint R-CNN"
        return detections(PerImage(path, _is_prediction, form), of, _instances)


def _is_prediction(content: object) -> bool:
    return isinstance(content, dict) and all(isinstance(content.get(key), list) for key in _KEYS)


def _instances(content: Mapping[str, Any]) -> Iterator[Found]:
    """The instances of an image; the third number of a keypoint says whether it is one."""
    count = len(content["keypoints"])
    scores, of_keypoints = content.get("scores"), content.get(_OF_KEYPOINTS)
    for key, values in (("scores", scores), (_OF_KEYPOINTS, of_keypoints)):
        if values is not None and (not isinstance(values, list) or len(values) != count):
            raise DataError(f"{key} are not {count}, one of each belongs to an instance")
    for at, said in enumerate(content["keypoints"]):
        three = isinstance(said, list) and bool(said) and isinstance(said[0], list) and len(said[0]) == 3
        values = numbers(said, f"keypoints[{at}]", -1, 3 if three else 2)
        score = None
        if of_keypoints is not None:
            score = numbers(of_keypoints[at], f"{_OF_KEYPOINTS}[{at}]", len(values))
        found = columns(values[:, :2], score=score)
        if three:
            found[~(values[:, 2] > 0)] = float("nan")
        yield Found("", found, number(scores[at]) if scores is not None else float("nan"))
