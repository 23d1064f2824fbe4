"""Networks of known libraries: what they return and how their input is made, by a name to type.

Only what a library fixes is said here, by its name; whatever else is said beside a preset counts more.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from mahtdiag.schema.choices import UncertaintyKind
from mahtdiag.schema.output_spec import Activation, CoordsFrame, OutputSpec


@dataclass(frozen=True, slots=True)
class Preset:
    """The outputs of a library's networks, other keys of `[model]` that follow, and where that is written.

    `keywords`: what its networks are called with beside the images, where they have such parameters.
    """

    name: str
    outputs: OutputSpec
    settings: Mapping[str, str | int | float]
    source: str
    keywords: Mapping[str, str | None] = field(default_factory=dict)


# Top-down networks see the box of an image, a quarter larger than it is.
_TOP_DOWN: Final[Mapping[str, str | int | float]] = {
    "channels": 3, "normalize": "imagenet", "resize": "letterbox:centre,pad=1.25,fill=0",
    "interpolation": "linear", "coords": "scale",
}  # fmt: skip

_ALL: Final = (
    Preset(
        "mmpose",
        OutputSpec(),
        _TOP_DOWN,
        "MMPose 1.x: HeatmapHead with the codec MSRAHeatmap, PoseDataPreprocessor, GetBBoxCenterScale",
        {"data_samples": None, "mode": "tensor"},
    ),
    Preset(
        "mmpose-simcc",
        OutputSpec({"simcc_x": "[0]", "simcc_y": "[1]"}),
        _TOP_DOWN,
        "MMPose 1.x: SimCCHead and RTMCCHead with the codec SimCCLabel",
        {"data_samples": None, "mode": "tensor"},
    ),
    Preset(
        "vitpose",
        OutputSpec({"heatmaps": "heatmaps"}),
        {**_TOP_DOWN, "stride": "ends"},
        "transformers: VitPoseForPoseEstimation, VitPoseImageProcessor",
    ),
    Preset(
        "deeplabcut",
        OutputSpec(
            {"heatmaps": "bodypart.heatmap", "offsets": "bodypart.locref"},
            activation=Activation.SIGMOID,
            offset_scale=7.2801,
            offset_frame=CoordsFrame.INPUT,
        ),
        {"channels": 3, "normalize": "imagenet", "coords": "scale", "heatmap_origin": "middle"},
        "DeepLabCut 3: HeatmapHead and HeatmapPredictor",
    ),
    Preset(
        "stacked-hourglass",
        OutputSpec({"heatmaps": "."}, stack=-1),
        {"channels": 3, "coords": "scale"},
        "Newell et al., Stacked Hourglass Networks for Human Pose Estimation, ECCV 2016",
    ),
    Preset(
        "maht-net",
        OutputSpec({"heatmaps": "heatmaps", "log_sigma": "log_sigma"}, sigma_as=UncertaintyKind.LOG_SIGMA),
        {"uncertainty_frame": "input", "decode": "dark"},
        "mahtdiag.models.mahtnet: its weights without the description of a native checkpoint",
    ),
    Preset(
        "vertebra-landmark-detection",
        OutputSpec({"centres": "hm", "centre_offsets": "reg", "corner_offsets": "wh"}),
        {"channels": 3, "normalize": "0.5/1", "coords": "scale", "interpolation": "linear",
         "keypoints": "vertebrae:T1..L5", "input_size": "1024x512"},
        "Yi et al., Vertebra-Focused Landmark Detection for Scoliosis Assessment, ISBI 2020",
    ),
)  # fmt: skip
PRESETS: Final[Mapping[str, Preset]] = {preset.name: preset for preset in _ALL}
"""By name."""


def keywords_of(name: str | None) -> Mapping[str, str | None]:
    """What networks of a preset are called with beside the images; nothing without one."""
    return {} if name is None else PRESETS[name].keywords
