"""MMPose: what its inferencer writes of an image (`--pred-out-dir`), and its demos (`--save-predictions`)."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from mahtdiag.data.json_files import number
from mahtdiag.data.predictions.content import PerImage, is_of_keys
from mahtdiag.data.predictions.detections import Found, detections, numbers
from mahtdiag.data.predictions.predicted import PredictedFile, SetOfImages, columns
from mahtdiag.errors import DataError

_KEYS: Final = ("keypoints", "keypoint_scores")
# What a demo puts before the name of the image in that of its file.
_PREFIX: Final = "results_"


@dataclass(frozen=True, slots=True)
class MMPose:
    """The reader (see `PredictionReader`)."""

    name: str = "mmpose"
    title: str = "MMPose JSON"
    looks_like: str = 'JSON of each image, a list of {"keypoints", "keypoint_scores"}'

    def recognises(self, path: Path) -> bool:
        """A JSON file, or one in a folder, with keypoints and their scores."""
        return is_of_keys(path, *_KEYS)

    def read(self, path: Path, of: SetOfImages) -> PredictedFile:
        """A file per image named after it, a folder of them, or one that maps names to lists of instances."""
        found = detections(PerImage(path, _is_list, "a list of MMPose's instances"), of, _instances)
        images = tuple(
            image if of.find(image.image) else replace(image, image=_without_prefix(image.image))
            for image in found.images
        )
        return replace(found, images=images)


def _is_list(content: object) -> bool:
    """A list of instances, alone or with what the network was trained on; frames of a video count too."""
    listed = content.get("instance_info") if isinstance(content, dict) else content
    return isinstance(listed, list) and all(isinstance(each, dict) for each in listed)


def _instances(content: Sequence[Any] | Mapping[str, Any]) -> Iterator[Found]:
    """The instances of an image. Raises DataError: not of the form."""
    listed, names = (
        (content["instance_info"], _names(content.get("meta_info")))
        if isinstance(content, dict)
        else (content, None)
    )
    for at, entry in enumerate(listed):
        if "frame_id" in entry:
            raise DataError("frames of a video: predict images")
        points = numbers(entry.get("keypoints"), f"[{at}]: keypoints", -1, 2)
        score = numbers(entry.get("keypoint_scores"), f"[{at}]: keypoint_scores", len(points))
        said = entry.get("bbox_score")
        own = number(said[0] if isinstance(said, list) and len(said) == 1 else said)
        values = columns(points, score=score)
        # Without a detector an image is its only instance, and what is left is how sure the keypoints are.
        yield Found(
            "", values, own if np.isfinite(own) else float(score.mean()) if score.size else own, names
        )


def _names(meta: object) -> tuple[str, ...] | None:
    """Names of the keypoints in their order, None where there are none."""
    said = meta.get("keypoint_id2name") if isinstance(meta, dict) else None
    if not isinstance(said, dict) or set(said) != {str(k) for k in range(len(said))} or not said:
        return None
    names = tuple(said[str(k)] for k in range(len(said)))
    return names if all(isinstance(name, str) for name in names) else None


def _without_prefix(image: str) -> str:
    folder, slash, name = image.rpartition("/")
    return folder + slash + name.removeprefix(_PREFIX)
