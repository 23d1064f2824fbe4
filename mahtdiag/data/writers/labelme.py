"""LabelMe: a JSON file per image, a point per keypoint."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from mahtdiag.data.outgoing import (
    PIXEL_DECIMALS,
    Json,
    OutgoingImage,
    OutgoingSet,
    Written,
    file_names,
    json_content,
)
from mahtdiag.schema.records import Failure

# The form is that of this version; LabelMe warns of none but another first number.
_VERSION: Final = "6.3.1"


@dataclass(frozen=True, slots=True)
class LabelMeWriter:
    """The writer (see `Writer`)."""

    name: str = "labelme"
    title: str = "LabelMe"
    ending: str | None = None
    prefix: str | None = None
    needs_size: bool = True
    in_mm: bool = False
    beside: bool = True
    hint: str = "open one of the files, or the images with all of them\nlabelme {data} --output {file}"

    def write(self, outgoing: OutgoingSet, name: str) -> Written:
        """Labels are `L1_UL`; the pixels themselves are not in the file."""
        names = file_names(outgoing.images, ".json", full=True)
        files = {
            names[image.image]: json_content(_content(image, outgoing.names), indent=2)
            for image in outgoing.images
            if image.image in names
        }
        twice = [Failure(i.image, "another image has the same file") for i in outgoing.images]
        return Written(files, tuple(failure for failure in twice if failure.image not in names))


def _content(image: OutgoingImage, names: tuple[str, ...]) -> Json:
    assert image.size is not None
    places = image.points.px.round(PIXEL_DECIMALS).tolist()
    return {
        "version": _VERSION,
        "flags": {},
        "shapes": [_shape(names[k], places[k]) for k in np.flatnonzero(image.points.known).tolist()],
        "imagePath": image.link,
        "imageData": None,
        "imageHeight": image.size.height,
        "imageWidth": image.size.width,
    }


def _shape(label: str, place: list[float]) -> Json:
    return {
        "label": label,
        "points": [place],
        "group_id": None,
        "description": "",
        "shape_type": "point",
        "flags": {},
        "mask": None,
    }
