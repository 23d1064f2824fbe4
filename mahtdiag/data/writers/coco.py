"""COCO keypoints: an instance per image with all keypoints of the skeleton."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from mahtdiag.data.outgoing import (
    PIXEL_DECIMALS,
    Json,
    OutgoingImage,
    OutgoingSet,
    Written,
    box_px,
    json_content,
    outlines,
)

_CATEGORY: Final = 1
# COCO's visibility: not labelled, labelled and visible.
_MISSING, _VISIBLE = 0, 2


@dataclass(frozen=True, slots=True)
class CocoWriter:
    """The writer (see `Writer`)."""

    name: str = "coco"
    title: str = "COCO keypoints"
    ending: str | None = ".json"
    prefix: str | None = ""
    needs_size: bool = True
    in_mm: bool = False
    beside: bool = False
    hint: str = "images are named from {data} on, or with --image-root before that"

    def write(self, outgoing: OutgoingSet, name: str) -> Written:
        """Annotations have a `score` where the points are predictions: they are a list of results as well."""
        numbered = list(enumerate(outgoing.images, start=1))
        category: Json = {
            "id": _CATEGORY,
            "name": "spine",
            "supercategory": "spine",
            "keypoints": list(outgoing.names),
            "skeleton": [[a + 1, b + 1] for a, b in outlines(outgoing.skeleton)],
        }
        content: Json = {
            "info": {"description": "labels" if outgoing.labels else f"predictions of {outgoing.model}"},
            "images": [_image(number, image) for number, image in numbered],
            "annotations": [_annotation(number, image) for number, image in numbered],
            "categories": [category],
        }
        return Written({name: json_content(content)})


def _image(number: int, image: OutgoingImage) -> Json:
    assert image.size is not None
    return {"id": number, "file_name": image.link, "width": image.size.width, "height": image.size.height}


def _annotation(number: int, image: OutgoingImage) -> Json:
    points, known = image.points, image.points.known
    places = np.where(known[:, None], points.px, 0.0).round(PIXEL_DECIMALS).tolist()
    visible = np.where(known, _VISIBLE, _MISSING).tolist()
    box = box_px(points.px).round(PIXEL_DECIMALS).tolist()
    score = points.mean_score()
    return {
        "id": number,
        "image_id": number,
        "category_id": _CATEGORY,
        "keypoints": [value for (x, y), v in zip(places, visible, strict=True) for value in (x, y, v)],
        "num_keypoints": int(known.sum()),
        "bbox": box,
        "area": round(box[2] * box[3], PIXEL_DECIMALS),
        "iscrowd": 0,
        **({} if score is None else {"score": round(score, 6)}),
    }
