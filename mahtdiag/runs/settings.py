"""The settings of a run as `run.json` holds them, and what they mean."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import JsonValue

from mahtdiag.anatomy.rules import RULES, Limits, Rule
from mahtdiag.diagnosis.run_table import Conditions
from mahtdiag.schema.frames import CoordinateConvention, NetworkFrames, ResizeMode, Size
from mahtdiag.schema.model_spec import UncertaintyFrame, UncertaintySource
from mahtdiag.schema.skeleton import Skeleton, View

DROPOUT, ENSEMBLE = "mc-dropout", "ensemble"


@dataclass(frozen=True, slots=True)
class RunSettings:
    """The settings of a run; what an earlier version did not write is what that version did."""

    stored: Mapping[str, JsonValue]

    def conditions(self, skeleton: Skeleton, *, ensemble: bool) -> Conditions:
        """What the numbers of a run follow from."""
        sigma, factors = self.stored.get("heatmap_sigma"), self.sigma_factors
        by_keypoint = None
        if factors is not None:
            by_keypoint = tuple(float(str(factors.get(name))) for name in skeleton.keypoint_names)
        return Conditions(
            limits=self.limits(skeleton.view),
            rules=self.rules,
            decode=str(self.stored.get("decode")),
            heatmap_sigma=float(sigma) if isinstance(sigma, int | float) else None,
            frames=self.frames,
            sigma_source=self.sigma_source(ensemble=ensemble),
            sigma_factors=by_keypoint,
        )

    def limits(self, view: View) -> Limits:
        """The anatomical limits that the run was judged by; the defaults where it does not say."""
        stored = self.stored.get("anatomy_limits")
        values = {str(k): float(str(v)) for k, v in stored.items()} if isinstance(stored, dict) else None
        return Limits.of(view, values)

    @property
    def rules(self) -> tuple[Rule, ...]:
        """The anatomical rules that the run was judged by; all where it does not say."""
        stored = self.stored.get("anatomy_rules")
        return tuple(rule for rule in RULES if rule.code in stored) if isinstance(stored, list) else RULES

    @property
    def frames(self) -> NetworkFrames | None:
        """How images became heatmaps; None where the run does not say."""
        stored = self.stored
        network_input, heatmap = (_size(stored.get(name)) for name in ("input_size", "heatmap_size"))
        if network_input is None or heatmap is None:
            return None
        try:
            mode, convention = ResizeMode(str(stored["resize"])), CoordinateConvention(str(stored["coords"]))
        except (KeyError, ValueError):
            return None
        return NetworkFrames(network_input, heatmap, mode, convention)

    def sigma_source(self, *, ensemble: bool) -> str:
        """`head`, `heatmap`, `mc-dropout` or `ensemble`: where σ came from."""
        settled = self.stored.get("uncertainty_source")
        if isinstance(settled, str):
            return settled
        asked = self.stored.get("uncertainty")
        if str(asked).startswith(DROPOUT):
            return DROPOUT
        if ensemble:
            return ENSEMBLE
        # A network without a head is recorded as `none`, so that `auto` means its head.
        return str(UncertaintySource.HEAD if asked in (None, UncertaintySource.AUTO) else asked)

    @property
    def sigma_in_cells(self) -> bool:
        """Whether the head's σ was read as heatmap cells, not model-input pixels."""
        return self.stored.get("uncertainty_frame") == UncertaintyFrame.HEATMAP

    @property
    def recalibrated(self) -> bool:
        """Whether σ was multiplied by factors before it was stored."""
        return bool(self.stored.get("recalibration"))

    @property
    def given(self) -> tuple[str, ...] | None:
        """Keys of `[model]` that the checkpoint did not settle; None where the run does not say."""
        stored = self.stored.get("given")
        return tuple(map(str, stored)) if isinstance(stored, list) else None

    def table(self, name: str) -> Mapping[str, JsonValue]:
        """What was set of a table of `mahtdiag.toml`, among more: `loss` and `calibration` lie apart."""
        stored = self.stored.get(name)
        return stored if isinstance(stored, dict) else self.stored

    @property
    def sigma_factors(self) -> Mapping[str, JsonValue] | None:
        """What σ was multiplied by before it was stored, by keypoint; None where it was not."""
        stored = self.stored.get("recalibration")
        factors = stored.get("by_keypoint") if isinstance(stored, dict) else None
        return factors if isinstance(factors, dict) else None


def _size(value: object) -> Size | None:
    """`256x128` as a size; None for anything else."""
    found = re.fullmatch(r"([1-9]\d*)x([1-9]\d*)", str(value))
    return Size(int(found[1]), int(found[2])) if found else None
