"""The settings of a run as `run.json` holds them, and what they mean."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import nan
from typing import Final

from pydantic import JsonValue

from mahtdiag.anatomy.rules import RULES, Limits, Rule
from mahtdiag.diagnosis.conditions import Conditions
from mahtdiag.runs.network_input import SINCE, input_frames_of, other_than_usual, size_in
from mahtdiag.schema.choices import (
    LOSS_WEIGHTS,
    ImageChoice,
    LeadingUnit,
    Precision,
    UncertaintyFrame,
    UncertaintySource,
)
from mahtdiag.schema.dicom_window import FIRST_WINDOW, DicomWindow
from mahtdiag.schema.frames import NetworkFrames, Size
from mahtdiag.schema.model_spec import SIGMA_BOUNDS, ModelInput, ModelSpec
from mahtdiag.schema.preprocessing import Exif
from mahtdiag.schema.skeleton import Skeleton

DROPOUT, ENSEMBLE = "mc-dropout", "ensemble"
FROM_FILE: Final = "file"
"""Where places and σ come from in a run whose predictions were read from a file."""
FREE_SETTINGS: Final = frozenset(
    {
        "allow_failures",
        "calibration",
        "error_unit",
        "preset",
        "format",
        "gates",
        "given",
        "out",
        "overlays",
        "resume",
        "workers",
    }
)
"""What tells how a run was executed or shown and changes none of its numbers."""

ANATOMY = ("anatomy_limits", "anatomy_rules")
READING = (
    "input_size", "resize", "normalize", "channels", *SINCE, "coords", "dicom_window", "heatmap_size",
    "heatmap_sigma", "decode", "softargmax_beta", "outputs", "keypoints", "coords_frame", "uncertainty",
    "sigma_within", "uncertainty_as", "uncertainty_frame", "recalibration",
)  # fmt: skip
"""Settings that decide what a prediction and its σ are."""


@dataclass(frozen=True, slots=True)
class Repetition:
    """Repeated passes: the σ that was asked for (`mc-dropout:20`, `auto`), and that of a single pass."""

    asked: str
    within: UncertaintySource


@dataclass(frozen=True, slots=True)
class RunSettings:
    """The settings of a run; what an earlier version did not write is what that version did."""

    stored: dict[str, JsonValue]

    @property
    def pixel_spacing_mm(self) -> float | None:
        """What was said of images without a spacing of their own."""
        said = self.stored.get("pixel_spacing_mm")
        return float(said) if isinstance(said, int | float) else None

    @staticmethod
    def of_network(spec: ModelSpec, heatmap_size: Size | None) -> "RunSettings":
        """The settings by which a network's input and output are read; None: it returns no heatmaps."""
        of_heatmaps: dict[str, JsonValue] = {"heatmaps": False}
        if heatmap_size is not None:
            sigma = spec.decoding.heatmap_sigma
            of_heatmaps = {"heatmap_size": str(heatmap_size), "heatmap_sigma": sigma}
        return RunSettings(
            {
                "view": str(spec.view),
                "input_size": str(spec.input.size),
                "resize": str(spec.input.resize),
                "normalize": spec.input.normalization.name,
                "channels": spec.input.channels,
                **other_than_usual(spec),
                "coords": str(spec.input.convention),
                **of_heatmaps,
                "decode": "network" if spec.decoding.own_coords else str(spec.decoding.method),
                "softargmax_beta": spec.decoding.softargmax_beta,
                "uncertainty": str(spec.uncertainty.source),
                "uncertainty_as": None if spec.uncertainty.kind is None else str(spec.uncertainty.kind),
                "uncertainty_frame": str(spec.uncertainty.frame),
            }
        )

    @staticmethod
    def of_file(skeleton: Skeleton, frame: ModelInput | None, format: str, has_sigma: bool) -> "RunSettings":
        """The settings of predictions from a file of this format, without the network that made them.

        `frame`: its input, whose pixels losses are in; None: those are in pixels of the original images.
        """
        sized = {} if frame is None else {
            "input_size": str(frame.size), "resize": str(frame.resize), "coords": str(frame.convention)
        }  # fmt: skip
        uncertainty = FROM_FILE if has_sigma else str(UncertaintySource.NONE)
        found = {"decode": FROM_FILE, "predictions": format, "uncertainty": uncertainty}
        return RunSettings({"view": str(skeleton.view), **sized, **found})

    def with_passes(
        self,
        *,
        factory: str | None,
        args: Sequence[str],
        read_by_factory: bool,
        weights: Sequence[str | None],
        repetition: Repetition | None,
        sigma_source: str,
        outputs: Mapping[str, JsonValue],
        given: Sequence[str],
        expected_error: bool,
    ) -> "RunSettings":
        """The same with how networks were run.

        `weights`: the set that was read of each checkpoint; `args`: keywords for the factory.
        """
        passes: dict[str, JsonValue] = {}
        read = list(dict.fromkeys(name for name in weights if name is not None))
        if repetition is not None:
            passes = {"uncertainty": repetition.asked, "sigma_within": str(repetition.within)}
        return RunSettings(
            {
                **self.stored,
                **passes,
                **outputs,
                "factory": factory,
                **({"args": list(args)} if args else {}),
                **({"read_by_factory": True} if read_by_factory else {}),
                **({"weights": ",".join(read)} if read else {}),
                "uncertainty_source": sigma_source,
                "given": list(given),
                **({"expected_error": True} if expected_error else {}),
            }
        )

    def with_run(
        self,
        *,
        loss: Mapping[str, JsonValue],
        calibration: Mapping[str, JsonValue],
        recalibration: Mapping[str, JsonValue] | None,
        labels2: Mapping[str, JsonValue] | None,
        pixel_spacing_mm: float | None,
        dicom_window: DicomWindow | None,
        exif: Exif | None,
        patient: str | None,
        subgroups: str | None,
        limits: Limits,
        rules: Sequence[Rule],
        batch_size: int,
        precision: Precision,
        workers: int,
        overlays: ImageChoice,
        error_unit: LeadingUnit | None,
        allow_failures: int,
    ) -> "RunSettings":
        """The same with how the run was made, judged and executed: every setting that decides a number."""
        return RunSettings(
            {
                **self.stored,
                "loss": {**loss},
                "calibration": {**calibration},
                **({} if recalibration is None else {"recalibration": {**recalibration}}),
                **({} if labels2 is None else {"labels2": {**labels2}}),
                "pixel_spacing_mm": pixel_spacing_mm,
                **({} if dicom_window in (None, FIRST_WINDOW) else {"dicom_window": str(dicom_window)}),
                **({"exif": str(exif)} if exif is Exif.APPLY else {}),
                **({} if patient is None else {"patient": patient}),
                **({} if subgroups is None else {"subgroups_sha256": subgroups}),
                "anatomy_limits": dict(limits.values),
                "anatomy_rules": [rule.code for rule in rules],
                "batch_size": batch_size,
                "precision": str(precision),
                "workers": workers,
                "overlays": str(overlays),
                **({} if error_unit is None else {"error_unit": str(error_unit)}),
                "allow_failures": allow_failures,
            }
        )

    def conditions(self, skeleton: Skeleton, *, ensemble: bool) -> Conditions:
        """What the numbers of a run follow from."""
        sigma, factors = self.stored.get("heatmap_sigma"), self.sigma_factors
        by_keypoint = None
        if factors is not None:
            by_keypoint = tuple(float(str(factors.get(name, nan))) for name in skeleton.keypoint_names)
        return Conditions(
            limits=self.limits(skeleton),
            rules=self.rules,
            decode=self.decode,
            heatmap_sigma=float(sigma) if isinstance(sigma, int | float) else None,
            frames=self.frames,
            input_frames=self.input_frames,
            sigma_source=self.sigma_source(ensemble=ensemble),
            sigma_factors=by_keypoint,
            loss_frame="original pixels" if self.from_file and self.input_size is None else "network frame",
            labels2=str(labels2) if (labels2 := self._of("labels2").get("path")) is not None else None,
        )

    def limits(self, skeleton: Skeleton) -> Limits:
        """The anatomical limits that the run was judged by; the defaults where it does not say."""
        stored = self.stored.get("anatomy_limits")
        values = {str(k): float(str(v)) for k, v in stored.items()} if isinstance(stored, dict) else None
        return Limits.of(skeleton, values)

    @property
    def rules(self) -> tuple[Rule, ...]:
        """The anatomical rules that the run was judged by; all where it does not say."""
        stored = self.stored.get("anatomy_rules")
        return tuple(rule for rule in RULES if rule.code in stored) if isinstance(stored, list) else RULES

    @property
    def frames(self) -> NetworkFrames | None:
        """How images became heatmaps; None where the run does not say."""
        sized = size_in(self.stored.get("heatmap_size")) is not None
        # Without heatmaps a place is a pixel of the input.
        return self.input_frames if sized or self.stored.get("heatmaps") is False else None

    @property
    def input_frames(self) -> NetworkFrames | None:
        """How images became network input; the heatmap counts as large as it where the run has none."""
        return input_frames_of(self.stored)

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
    def from_file(self) -> bool:
        """Whether predictions were read from a file: there was no network, and there are no heatmaps."""
        return self.stored.get("predictions") is not None

    @property
    def has_heatmaps(self) -> bool:
        """Whether there are heatmaps: a network may give coordinates alone, and a file has none."""
        return not self.from_file and self.stored.get("heatmaps") is not False

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

    @property
    def error_unit(self) -> LeadingUnit | None:
        """What tables show errors in first; None where nobody asked."""
        stored = self.stored.get("error_unit")
        return LeadingUnit(str(stored)) if stored in list(LeadingUnit) else None

    @property
    def upright(self) -> bool:
        """Whether images were turned by their orientation tags, and places are those on the turned ones."""
        return self.stored.get("exif") == Exif.APPLY

    @property
    def input_size(self) -> str | None:
        """Size of the network's input, in words; None where nothing tells it."""
        stored = self.stored.get("input_size")
        return None if stored is None else str(stored)

    @property
    def decode(self) -> str:
        """How heatmaps became places."""
        return str(self.stored.get("decode"))

    @property
    def batch_size(self) -> int | None:
        """Images per forward pass; None where the run does not say."""
        size = self.stored.get("batch_size")
        return size if isinstance(size, int) and size > 0 else None

    @property
    def loss_weights(self) -> dict[str, float]:
        """Weights of the parts of the loss; the published ones where the run does not say."""
        found = {part: self._of("loss").get(f"lambda_{part}") for part in LOSS_WEIGHTS}
        return {
            part: float(weight) if isinstance(weight, int | float) else LOSS_WEIGHTS[part]
            for part, weight in found.items()
        }

    @property
    def sigma_bounds(self) -> tuple[float, float]:
        """Where the uncertainty loss clamps σ, model-input pixels; the published ones where it is silent."""
        low, high = (self._of("loss").get(name) for name in ("min_sigma", "max_sigma"))
        return (
            low if isinstance(low, float) else SIGMA_BOUNDS[0],
            high if isinstance(high, float) else SIGMA_BOUNDS[1],
        )

    @property
    def calibration(self) -> Mapping[str, JsonValue]:
        """How σ was judged, by the keys of `[calibration]`; empty where the run does not say."""
        return self._of("calibration")

    @property
    def dropout_passes(self) -> str:
        """`20` of `mc-dropout:20`; empty where there were none."""
        return str(self.stored.get("uncertainty")).partition(":")[2]

    @property
    def sigma_within(self) -> UncertaintySource | None:
        """Where the σ of a single one of several passes came from, if anywhere."""
        within = self.stored.get("sigma_within")
        known = within in (UncertaintySource.HEAD, UncertaintySource.HEATMAP)
        return UncertaintySource(str(within)) if known else None

    def reading(self, sigma_source: str) -> dict[str, JsonValue]:
        """The settings that decide what a prediction and its σ are, where σ comes from this source."""
        found = {name: self.stored[name] for name in READING if name in self.stored}
        asked = self.stored.get("uncertainty")
        found["uncertainty"] = str(asked) if sigma_source == DROPOUT else sigma_source
        earlier = found.pop("recalibration", None)
        if isinstance(earlier, dict):
            found["recalibration"] = earlier.get("sha256")
        if found["uncertainty"] == UncertaintySource.HEATMAP:
            # What the head emits does not matter where it is not read.
            found = {n: v for n, v in found.items() if n not in ("uncertainty_as", "uncertainty_frame")}
        return found

    def by_subject(self) -> tuple[Mapping[str, JsonValue], Mapping[str, JsonValue]]:
        """All settings but those of anatomy, and the anatomical limits, as they are stored."""
        others = {name: value for name, value in self.stored.items() if name not in ANATOMY}
        return others, self._of(ANATOMY[0])

    def differing(self, other: "RunSettings") -> dict[str, tuple[JsonValue, JsonValue]]:
        """Settings that may change a number and are others in another run, with their values in both."""
        pairs = {
            name: (self.stored.get(name, SINCE.get(name)), other.stored.get(name, SINCE.get(name)))
            for name in self.stored | other.stored
        }
        if None in pairs.get("weights", ()):
            # Weights that lie in no wrapper: there was nothing to choose.
            del pairs["weights"]
        return {
            name: both for name, both in pairs.items() if both[0] != both[1] and name not in FREE_SETTINGS
        }

    def _of(self, section: str) -> Mapping[str, JsonValue]:
        stored = self.stored.get(section)
        return stored if isinstance(stored, dict) else {}

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
