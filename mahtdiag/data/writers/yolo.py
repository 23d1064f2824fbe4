"""YOLO pose, as Ultralytics reads it: a YAML file and a text file of shares per image."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import yaml

from mahtdiag.data.outgoing import OutgoingImage, OutgoingSet, Points, Written, box_px, file_names, within
from mahtdiag.schema.records import Failure
from mahtdiag.schema.skeleton import Skeleton

_SHARE_DECIMALS: Final = 9
_MIRRORED: Final = {"UL": "UR", "UR": "UL", "LL": "LR", "LR": "LL"}
_VISIBLE: Final = 2


@dataclass(frozen=True, slots=True)
class YoloWriter:
    """The writer (see `Writer`)."""

    name: str = "yolo"
    title: str = "YOLO pose"
    ending: str | None = None
    prefix: str | None = None
    needs_size: bool = True
    in_mm: bool = False
    beside: bool = False
    hint: str = "lay the images beside the labels, in the same folders\nln -s {link} {file}/images"

    def write(self, outgoing: OutgoingSet, name: str) -> Written:
        """One class, `kpt_shape` [K, 3]; the box is the smallest one around the points.

        An image whose every point lies outside is left out: without a line it would count as one without a
        spine. So are images that differ in their ending alone, which share a text file.
        """
        names = file_names(outgoing.images, ".txt", full=False)
        files = {"data.yaml": _description(outgoing)}
        left_out: list[Failure] = []
        outside = 0
        for image in outgoing.images:
            points, dropped = within(image, image.points)
            if image.image not in names:
                left_out.append(Failure(image.image, "another image has the same label file: rename one"))
            elif not points.known.any():
                left_out.append(Failure(image.image, "every point lies outside the image"))
            else:
                files[f"labels/{names[image.image]}"] = _line(image, points)
                outside += dropped
        return Written(files, tuple(left_out), outside)


def _description(outgoing: OutgoingSet) -> bytes:
    # No `path`: Ultralytics then begins at the folder of this file.
    content = {
        "train": "images",
        "val": "images",
        "names": {0: "spine"},
        "kpt_shape": [outgoing.skeleton.keypoints, 3],
        "flip_idx": _flip(outgoing.skeleton),
        "kpt_names": {0: list(outgoing.names)},
    }
    text: str = yaml.safe_dump(content, sort_keys=False, default_flow_style=None, width=100)
    return text.encode()


def _flip(skeleton: Skeleton) -> list[int]:
    """For each keypoint the one in whose place it is in a mirrored image."""
    place = {name: k for k, name in enumerate(skeleton.keypoint_names)}
    return [
        place[f"{vertebra} {_MIRRORED[corner]}"]
        for vertebra, corner in zip(skeleton.vertebra_of, skeleton.corner_of, strict=True)
    ]


def _line(image: OutgoingImage, points: Points) -> bytes:
    """Class, centre and extent of the box, then x, y, visibility of each keypoint."""
    assert image.size is not None
    size_px = image.size.xy
    box = box_px(points.px)
    low = np.clip(box[:2], 0.0, size_px)
    high = np.clip(box[:2] + box[2:], 0.0, size_px)
    centre, extent = (low + high) / 2 / size_px, (high - low) / size_px
    known = points.known
    shares = np.where(known[:, None], points.px / size_px, 0.0)
    values = [f"{value:.{_SHARE_DECIMALS}f}" for value in (*centre, *extent)]
    for (x, y), there in zip(shares.tolist(), known.tolist(), strict=True):
        values += [f"{x:.{_SHARE_DECIMALS}f}", f"{y:.{_SHARE_DECIMALS}f}", str(_VISIBLE if there else 0)]
    return f"0 {' '.join(values)}\n".encode()
