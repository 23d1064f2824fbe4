"""What a project or a command line can set: validated, with every unknown key named."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, Self, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    StrictBool,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from mahtdiag.anatomy.rules import LIMIT_BY_KEY, nearest
from mahtdiag.config import option_keys as keys
from mahtdiag.config.gates import GateSettings
from mahtdiag.config.option_keys import OptionKey
from mahtdiag.config.presets import PRESETS
from mahtdiag.config.values import (
    WRONG_LIMITS,
    BatchSize,
    CalibrationGroup,
    Checks,
    Codes,
    FullScale,
    LevelsText,
    Limits,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    Sigma,
    known_keypoints,
    known_pattern,
    known_preset,
    parse_args,
    parse_size,
    parse_view,
    refuse_truth_value,
)
from mahtdiag.errors import UsageError
from mahtdiag.schema.choices import (
    DecodeMethod,
    FacingSide,
    ImageChoice,
    LeadingUnit,
    OverlayStyle,
    Precision,
    UncertaintyFrame,
    UncertaintyKind,
)
from mahtdiag.schema.dicom_window import FIRST_WINDOW, DicomWindow
from mahtdiag.schema.frames import CoordinateConvention, Size
from mahtdiag.schema.model_spec import LARGEST_SIGMA, SIGMA_BOUNDS, SMALLEST_SIGMA
from mahtdiag.schema.output_spec import CoordsFrame, OutputSpec, parse_outputs
from mahtdiag.schema.preprocessing import (
    ChannelOrder,
    Exif,
    Flip,
    HeatmapOrigin,
    Interpolation,
    Resize,
    Stride,
)
from mahtdiag.schema.read_options import NO_LABELS, ReadOptions, SpacingSource
from mahtdiag.schema.skeleton import View
from mahtdiag.schema.spacing import known_spacing

Value = str | float | bool | tuple[str, ...]


def described(shown: Value, meaning: str, option: str | None = None) -> Any:
    """A key that need not be set: its default or an example, its meaning, its title on the command line."""
    return Field(default=None, description=meaning, examples=[shown], title=option)


def optional(key: OptionKey) -> Any:
    """A key that is an option too."""
    return described(key.shown, key.meaning, key.option)


class SettingsTable(BaseModel):
    """A table of the configuration: frozen, and an unknown key is an error."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", arbitrary_types_allowed=True, allow_inf_nan=False, defer_build=True
    )

    truths: ClassVar[frozenset[str]] = frozenset()
    """Names of the keys that take true and false."""

    @field_validator("*", mode="before")
    @classmethod
    def _no_nonsense(cls, value: object, info: ValidationInfo) -> object:
        if isinstance(value, str) and "\0" in value:
            raise ValueError("a text with a NUL names nothing")
        if isinstance(value, str) and not value.strip():
            raise ValueError("an empty text names nothing; leave the key out")
        return value if info.field_name in cls.truths else refuse_truth_value(value)

    def overridden_by(self, other: Self) -> Self:
        """These settings with those of `other` that are set."""
        changes = {name: value for name, value in other if value is not None}
        return self.model_copy(update=changes)


class ModelSettings(SettingsTable):
    """`[model]`: the checkpoint, its input, and how its output is read."""

    truths: ClassVar[frozenset[str]] = frozenset({"invert"})

    checkpoint: str | None = optional(keys.CHECKPOINT)
    preset: Annotated[str, AfterValidator(known_preset)] | None = optional(keys.PRESET)
    factory: str | None = optional(keys.FACTORY)
    args: Annotated[dict[str, JsonValue], BeforeValidator(parse_args)] | None = optional(keys.MODEL_ARGS)
    weights: str | None = optional(keys.WEIGHTS)
    input_size: Annotated[Size, BeforeValidator(parse_size)] | None = optional(keys.INPUT_SIZE)
    resize: Annotated[Resize, BeforeValidator(Resize.parse)] | None = optional(keys.RESIZE)
    normalize: str | None = optional(keys.NORMALIZE)
    channels: Literal[1, 3] | None = optional(keys.CHANNELS)
    interpolation: Interpolation | None = optional(keys.INTERPOLATION)
    channel_order: ChannelOrder | None = optional(keys.CHANNEL_ORDER)
    full_scale: FullScale | None = optional(keys.FULL_SCALE)
    invert: StrictBool | None = optional(keys.INVERT)
    flip: Flip | None = optional(keys.FLIP)
    stride: Annotated[Stride, BeforeValidator(Stride.parse)] | None = optional(keys.STRIDE)
    heatmap_origin: Annotated[HeatmapOrigin, BeforeValidator(HeatmapOrigin.parse)] | None = optional(
        keys.HEATMAP_ORIGIN
    )
    coords: CoordinateConvention | None = optional(keys.COORDS)
    decode: DecodeMethod | None = optional(keys.DECODE)
    heatmap_sigma: Annotated[PositiveFloat, Field(ge=SMALLEST_SIGMA, le=LARGEST_SIGMA)] | None = optional(
        keys.HEATMAP_SIGMA
    )
    softargmax_beta: PositiveFloat | None = optional(keys.SOFTARGMAX_BETA)
    outputs: Annotated[OutputSpec, BeforeValidator(parse_outputs)] | None = optional(keys.OUTPUT)
    coords_frame: CoordsFrame | None = optional(keys.COORDS_FRAME)
    keypoints: str | None = optional(keys.KEYPOINTS)
    uncertainty: Sigma | None = optional(keys.UNCERTAINTY)
    uncertainty_as: UncertaintyKind | None = optional(keys.UNCERTAINTY_AS)
    uncertainty_frame: UncertaintyFrame | None = optional(keys.UNCERTAINTY_FRAME)


def with_preset(asked: ModelSettings) -> ModelSettings:
    """The same, and where nothing is said, what the preset says."""
    if asked.preset is None:
        return asked
    preset = PRESETS[asked.preset]
    known = ModelSettings.model_validate({**preset.settings, "outputs": preset.outputs})
    outputs = preset.outputs if asked.outputs is None else asked.outputs.over(preset.outputs)
    return known.overridden_by(asked).model_copy(update={"outputs": outputs})


class DataSettings(SettingsTable):
    """`[data]`: the annotated set."""

    truths: ClassVar[frozenset[str]] = frozenset({"complete_only", "no_labels"})

    path: str | None = optional(keys.DATA)
    view: Annotated[View | Literal["auto"], BeforeValidator(parse_view)] | None = optional(keys.VIEW)
    levels: LevelsText | None = optional(keys.LEVELS)
    pixel_spacing_mm: Annotated[float, AfterValidator(known_spacing)] | None = optional(keys.PIXEL_SPACING)
    patient: Annotated[str, AfterValidator(known_pattern)] | None = optional(keys.PATIENT)
    subgroups: str | None = optional(keys.SUBGROUPS)
    labels2: str | None = optional(keys.LABELS2)
    format: str | None = described("coco", keys.DATA_FORMAT.meaning, keys.DATA_FORMAT.option)
    complete_only: StrictBool | None = optional(keys.COMPLETE_ONLY)
    no_labels: StrictBool | None = optional(keys.NO_LABELS)
    missing_value: float | None = optional(keys.MISSING_VALUE)
    spacing_from: SpacingSource | None = optional(keys.SPACING_FROM)
    dicom_window: Annotated[DicomWindow, BeforeValidator(DicomWindow.parse)] | None = optional(
        keys.DICOM_WINDOW
    )
    exif: Exif | None = optional(keys.EXIF)
    image_timeout: PositiveFloat | None = optional(keys.IMAGE_TIMEOUT)
    keypoints: Annotated[dict[str, str], AfterValidator(known_keypoints)] = Field(default_factory=dict)

    def read_options(self) -> ReadOptions:
        """How the set is to be read. Raises UsageError for what needs labels where none are to be read."""
        needs = ("format", "complete_only", "labels2")
        asked = [f"--{name.replace('format', 'data-format').replace('_', '-')}" for name in needs
                 if getattr(self, name)]  # fmt: skip
        if self.no_labels and asked:
            raise UsageError(
                f"--no-labels with {' and '.join(asked)}: of images alone none is read; leave one out"
            )
        return ReadOptions(
            NO_LABELS if self.no_labels else self.format,
            self.patient,
            bool(self.complete_only),
            self.keypoints,
            self.missing_value,
            self.spacing_from or SpacingSource.PATIENT,
            self.dicom_window or FIRST_WINDOW,
            exif=self.exif or Exif.IGNORE,
        )


class EvaluateSettings(SettingsTable):
    """`[evaluate]`: where and how to run."""

    truths: ClassVar[frozenset[str]] = frozenset({"expected_error", "overlay_heatmaps", "strict_setup"})

    device: str | None = optional(keys.DEVICE)
    batch_size: BatchSize | None = optional(keys.BATCH_SIZE)
    workers: PositiveInt | None = optional(keys.WORKERS)
    precision: Precision | None = optional(keys.PRECISION)
    overlays: Annotated[ImageChoice, BeforeValidator(ImageChoice.parse)] | None = optional(keys.OVERLAYS)
    overlay_style: OverlayStyle | None = optional(keys.OVERLAY_STYLE)
    overlay_heatmaps: StrictBool | None = optional(keys.OVERLAY_HEATMAPS)
    error_unit: LeadingUnit | None = optional(keys.ERROR_UNIT)
    allow_failures: NonNegativeInt | None = optional(keys.ALLOW_FAILURES)
    recalibration: str | None = optional(keys.RECALIBRATION)
    expected_error: StrictBool | None = optional(keys.EXPECTED_ERROR)
    accept: Checks = optional(keys.ACCEPT)
    strict_setup: StrictBool | None = optional(keys.STRICT_SETUP)


def possible_limits(limits: dict[str, float]) -> dict[str, float]:
    """Limits that a spine can keep and break; an error that names each that it cannot, and unknown keys."""
    unknown = {key: nearest(key, LIMIT_BY_KEY).strip() for key in limits if key not in LIMIT_BY_KEY}
    known = {key: value for key, value in limits.items() if key not in unknown}
    problems = ((key, value, LIMIT_BY_KEY[key].problem_of(value)) for key, value in known.items())
    wrong = [f"{key} = {value:g}: {problem}" for key, value, problem in problems if problem is not None]
    if unknown or wrong:
        raise PydanticCustomError(WRONG_LIMITS, "wrong limits", {"unknown": unknown, "wrong": wrong})
    return limits


class AnatomySettings(SettingsTable):
    """`[anatomy]`: which rules are checked, with which limits, and which way lateral images face."""

    select: Codes = described(("A1", "A2", "A3", "A4", "A5", "A6"), "rules to check, codes or prefixes")
    ignore: Codes = described((), "rules to leave out")
    facing: FacingSide | None = optional(keys.FACING)
    limits: Limits = Field(default_factory=dict)
    ap: Limits = Field(default_factory=dict, alias="AP")
    la: Limits = Field(default_factory=dict, alias="LA")

    @field_validator("limits", "ap", "la")
    @classmethod
    def _possible(cls, limits: dict[str, float]) -> dict[str, float]:
        return possible_limits(limits)

    @model_validator(mode="after")
    def _bands(self) -> Self:
        wrong = []
        for view in View:
            limits = {key: spec.default(view) for key, spec in LIMIT_BY_KEY.items()} | self.limits_of(view)
            for low in (key for key in limits if LIMIT_BY_KEY[key].base.endswith("-min")):
                high = low.replace("-min", "-max")
                if limits[low] >= limits[high]:
                    wrong.append(f"{low} {limits[low]:g} must be below {high} {limits[high]:g} ({view})")
        if wrong:
            raise ValueError("; ".join(wrong))
        return self

    def limits_of(self, view: View) -> dict[str, float]:
        """The limits that hold in a view."""
        return {**self.limits, **(self.ap if view is View.AP else self.la)}


class LossSettings(SettingsTable):
    """`[loss]`: the parameters of `MAHTNetLoss` that the network was trained with; see there."""

    truths: ClassVar[frozenset[str]] = frozenset({"use_focal"})

    lambda_heatmap: NonNegativeFloat | None = described(1.0, "weights of the four parts")
    lambda_coord: NonNegativeFloat | None = described(0.5, "")
    lambda_anatomical: NonNegativeFloat | None = described(0.1, "")
    lambda_uncertainty: NonNegativeFloat | None = described(0.1, "")
    use_focal: StrictBool | None = described(True, "false: mean squared error of the heatmaps")
    gamma: NonNegativeFloat | None = described(2.0, "exponent of the focal weight")
    emphasis: Literal["background", "keypoint"] | None = described(
        "background", "background or keypoint: where the focal weight is large"
    )
    omega: PositiveFloat | None = described(10.0, "Wing loss of the coordinates: where it turns linear")
    epsilon: PositiveFloat | None = described(2.0, "and how sharply it curves")
    lambda_order: NonNegativeFloat | None = described(1.0, "weights of the three anatomical terms")
    lambda_parallel: NonNegativeFloat | None = described(0.1, "")
    lambda_ratio: NonNegativeFloat | None = described(0.1, "")
    min_sigma: PositiveFloat | None = described(SIGMA_BOUNDS[0], "clamp of the head's σ, model-input pixels")
    max_sigma: PositiveFloat | None = described(SIGMA_BOUNDS[1], "")

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if self.use_focal is False and (self.gamma is not None or self.emphasis is not None):
            raise ValueError("gamma and emphasis belong to the focal loss; leave them out or set use_focal")
        low, high = self.min_sigma or SIGMA_BOUNDS[0], self.max_sigma or SIGMA_BOUNDS[1]
        if low >= high:
            raise ValueError(f"min_sigma {low:g} must be below max_sigma {high:g}")
        return self


class CalibrationSettings(SettingsTable):
    """`[calibration]`: how σ is judged, by `evaluate` and by `calibration`."""

    seed: NonNegativeInt | None = described(0, "of what is drawn at random")
    groups: tuple[CalibrationGroup, ...] | None = described(get_args(CalibrationGroup), "what is told apart")
    large_error_mm: PositiveFloat | None = described(4.0, "the error that a large σ should find")


class Settings(SettingsTable):
    """The whole configuration; `[gates]` is read apart, see `config.gates`."""

    model: ModelSettings = ModelSettings()
    data: DataSettings = DataSettings()
    evaluate: EvaluateSettings = EvaluateSettings()
    loss: LossSettings = LossSettings()
    anatomy: AnatomySettings = AnatomySettings()
    calibration: CalibrationSettings = CalibrationSettings()
    gates: GateSettings = GateSettings()

    def overridden_by(self, other: Self) -> Self:
        """These settings with those that `other` sets, section by section."""
        return self.model_copy(
            update={
                "model": self.model.overridden_by(other.model),
                "data": self.data.overridden_by(other.data),
                "evaluate": self.evaluate.overridden_by(other.evaluate),
            }
        )


@dataclass(frozen=True, slots=True)
class SettingKey:
    """A key of the file: its name, its default or an example, its meaning in a line, its option if any."""

    name: str
    shown: Value
    meaning: str
    option: str | None


def replace_preset(settings: Settings) -> Settings:
    """The same with what the preset of its network says, where nothing else is said."""
    return settings.model_copy(update={"model": with_preset(settings.model)})


def _keys_of(section: type[BaseModel]) -> tuple[SettingKey, ...]:
    return tuple(
        SettingKey(name, field.examples[0], field.description or "", field.title)
        for name, field in section.model_fields.items()
        if field.examples
    )


KEYS: Mapping[str, tuple[SettingKey, ...]] = {
    name: _keys_of(field.annotation)
    for name, field in Settings.model_fields.items()
    if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)
}
"""The described keys of every table, in the order of the file."""

_OPTION_OF = {(table, key.name): key.option for table, keys in KEYS.items() for key in keys if key.option}


def settings_from_options(given: Mapping[str, object]) -> Settings:
    """Validate what the command line gives, by the names of options; those not given are None.

    Raises UsageError, one line per option that cannot be obeyed.
    """
    tables: dict[str, dict[str, object]] = {}
    for (table, key), option in _OPTION_OF.items():
        tables.setdefault(table, {})[key] = given.get(option)
    try:
        return Settings.model_validate(tables)
    except ValidationError as error:
        problems = []
        for item in error.errors():
            table, key = map(str, item["loc"][:2])
            message = item["msg"].removeprefix("Value error, ")
            value = item["input"]
            shown = " ".join(map(str, value)) if isinstance(value, list | tuple) else value
            problems.append(f"{_OPTION_OF[table, key]} {shown}: {message[:1].lower()}{message[1:]}")
        raise UsageError(*dict.fromkeys(problems)) from None
