"""3D Slicer markups: a list of points per image, in millimetres."""

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final

from mahtdiag.data.outgoing import Json, OutgoingImage, OutgoingSet, Written, file_names, json_content
from mahtdiag.schema.records import Failure

_SCHEMA: Final = (
    "https://raw.githubusercontent.com/slicer/slicer/master/Modules/Loadable/Markups/Resources/Schema/"
    "markups-schema-v1.0.3.json#"
)
_MM_DECIMALS: Final = 6


@dataclass(frozen=True, slots=True)
class SlicerWriter:
    """The writer (see `Writer`)."""

    name: str = "slicer"
    title: str = "3D Slicer markups"
    ending: str | None = None
    prefix: str | None = None
    needs_size: bool = False
    in_mm: bool = True
    beside: bool = False
    hint: str = "load an image into Slicer, then the .mrk.json of its name"

    def write(self, outgoing: OutgoingSet, name: str) -> Written:
        """LPS; a keypoint that there is not is in the list without a place, to be set."""
        names = file_names(outgoing.images, ".mrk.json", full=True)
        files = {
            names[image.image]: json_content(_content(image, outgoing.names), indent=2)
            for image in outgoing.images
            if image.image in names
        }
        twice = [Failure(i.image, "another image has the same file") for i in outgoing.images]
        return Written(files, tuple(failure for failure in twice if failure.image not in names))


def _content(image: OutgoingImage, names: tuple[str, ...]) -> Json:
    assert image.mm_per_px is not None
    places = (image.points.px * image.mm_per_px).round(_MM_DECIMALS).tolist()
    known = image.points.known.tolist()
    points = [_point(k, name, places[k] if known[k] else None) for k, name in enumerate(names)]
    node: Json = {
        "type": "Fiducial",
        "name": PurePosixPath(image.image).stem,
        "coordinateSystem": "LPS",
        "coordinateUnits": "mm",
        "locked": False,
        "fixedNumberOfControlPoints": False,
        "labelFormat": "%N-%d",
        "controlPoints": points,
    }
    return {"@schema": _SCHEMA, "markups": [node]}


def _point(number: int, label: str, place_mm: list[float] | None) -> Json:
    place: dict[str, Json] = {"positionStatus": "undefined"}
    if place_mm is not None:
        place = {"position": [*place_mm, 0.0], "positionStatus": "defined"}
    return {
        "id": str(number + 1),
        "label": label,
        "description": "",
        "associatedNodeID": "",
        **place,
        "selected": True,
        "locked": False,
        "visibility": True,
    }
