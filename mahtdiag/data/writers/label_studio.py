"""Label Studio: tasks with predictions or annotations, and the labelling interface that they need."""

from dataclasses import dataclass
from pathlib import PurePath
from typing import Final

import numpy as np

from mahtdiag.data.outgoing import Json, OutgoingImage, OutgoingSet, Points, Written, json_content, within
from mahtdiag.schema.records import Failure

_PERCENT_DECIMALS: Final = 9
_DOT_PERCENT: Final = 0.5
_INTERFACE: Final = """<View>
  <KeyPointLabels name="corner" toName="image">
{labels}
  </KeyPointLabels>
  <Image name="image" value="$image" zoom="true" zoomControl="true"/>
</View>
"""


@dataclass(frozen=True, slots=True)
class LabelStudioWriter:
    """The writer (see `Writer`)."""

    name: str = "labelstudio"
    title: str = "Label Studio"
    ending: str | None = ".json"
    prefix: str | None = "/data/local-files/?d={data}/"
    needs_size: bool = True
    in_mm: bool = False
    beside: bool = False
    hint: str = "paste the .interface.xml beside it into Labeling Interface, then import it"

    def write(self, outgoing: OutgoingSet, name: str) -> Written:
        """Predictions are pre-annotations; labels are annotations, with predictions beside them."""
        tasks: list[Json] = []
        left_out: list[Failure] = []
        outside = 0
        for image in outgoing.images:
            points, dropped = within(image, image.points)
            if not points.known.any():
                left_out.append(Failure(image.image, "every point lies outside the image"))
                continue
            outside += dropped
            tasks.append(_task(image, points, outgoing))
        labels = "\n".join(f'    <Label value="{label}"/>' for label in outgoing.names)
        interface = f"{PurePath(name).stem}.interface.xml"
        files = {name: json_content(tasks), interface: _INTERFACE.format(labels=labels).encode()}
        return Written(files, tuple(left_out), outside)


def _task(image: OutgoingImage, points: Points, outgoing: OutgoingSet) -> Json:
    data: Json = {"image": image.link}
    if not outgoing.labels:
        return {"data": data, "predictions": [_prediction(image, points, outgoing)]}
    annotation: Json = {"result": _regions(image, points, outgoing.names), "was_cancelled": False}
    hint = None if image.hint is None else within(image, image.hint)[0]
    shown = hint is not None and bool(hint.known.any())
    predictions = [_prediction(image, hint, outgoing)] if hint is not None and shown else []
    return {"data": data, "annotations": [annotation], "predictions": predictions}


def _prediction(image: OutgoingImage, points: Points, outgoing: OutgoingSet) -> Json:
    score = points.mean_score()
    return {
        "model_version": outgoing.model,
        **({} if score is None else {"score": round(score, 6)}),
        "result": _regions(image, points, outgoing.names),
    }


def _regions(image: OutgoingImage, points: Points, names: tuple[str, ...]) -> list[Json]:
    size = image.size
    assert size is not None
    percent = (100.0 * points.px / size.xy).round(_PERCENT_DECIMALS).tolist()
    return [
        {
            "id": names[k],
            "type": "keypointlabels",
            "from_name": "corner",
            "to_name": "image",
            "original_width": size.width,
            "original_height": size.height,
            "image_rotation": 0,
            "value": {
                "x": percent[k][0],
                "y": percent[k][1],
                "width": _DOT_PERCENT,
                "keypointlabels": [names[k]],
            },
        }
        for k in np.flatnonzero(points.known).tolist()
    ]
