"""How a run was made and how it is judged, as far as its numbers follow from it."""

from dataclasses import dataclass

from mahtdiag.anatomy.rules import RULES, Limits, Rule
from mahtdiag.schema.choices import UncertaintySource
from mahtdiag.schema.frames import NetworkFrames


@dataclass(frozen=True, slots=True)
class Conditions:
    """How a run was made and how it is judged, as far as numbers follow from it.

    `decode`: the method that read the heatmaps; `heatmap_sigma`: σ of the training targets, heatmap cells;
    `frames`: how images became heatmaps; both None where the run does not say. `input_frames`: how they
    became network input; where only that is known the heatmap counts as large as it. `sigma_source`: where
    σ came from; `sigma_factors`: what it was multiplied by before it was stored, one per keypoint.
    `labels2`: the second labelling, None without one. `labels_alone`: labels stand in the place of
    predictions. `loss_frame`: whose pixels losses are measured in, in words.
    """

    limits: Limits
    rules: tuple[Rule, ...] = RULES
    decode: str = "None"
    heatmap_sigma: float | None = None
    frames: NetworkFrames | None = None
    input_frames: NetworkFrames | None = None
    sigma_source: str = str(UncertaintySource.HEAD)
    sigma_factors: tuple[float, ...] | None = None
    labels2: str | None = None
    labels_alone: bool = False
    loss_frame: str = "network frame"
