"""What a project or a command line can set: validated, with every unknown key named."""

from typing import Annotated, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PositiveFloat,
    PositiveInt,
    field_validator,
)

from mahtdiag.schema.frames import CoordinateConvention, ResizeMode, Size
from mahtdiag.schema.model_spec import (
    MOST_PASSES,
    DecodeMethod,
    McDropout,
    UncertaintyFrame,
    UncertaintyKind,
    UncertaintySource,
)
from mahtdiag.schema.views import View

LARGEST_INPUT = 8192


def parse_size(value: object) -> object:
    """`256x128` (height x width) to a Size; ValueError says what is expected."""
    if isinstance(value, Size) or value is None:
        return value
    height, separator, width = str(value).lower().partition("x")
    if not (separator and height.isdecimal() and width.isdecimal()):
        raise ValueError("expected HEIGHTxWIDTH in pixels, for example 512x256")
    size = Size(int(height), int(width))
    if not (0 < size.height <= LARGEST_INPUT and 0 < size.width <= LARGEST_INPUT):
        raise ValueError(f"height and width must lie between 1 and {LARGEST_INPUT}")
    return size


def parse_overlays(value: object) -> object:
    """`worst:N`, `all` or `none`; ValueError says what is expected."""
    if value is None or value in ("all", "none"):
        return value
    kind, _, number = str(value).partition(":")
    if kind != "worst" or not number.isdecimal():
        raise ValueError("expected worst:N, all or none, for example worst:12")
    return value


def parse_view(value: object) -> object:
    """`AP`, `LA` or `auto`; ValueError says what is expected."""
    if value is not None and value not in (*View, "auto"):
        raise ValueError("expected AP, LA or auto")
    return value


def parse_batch_size(value: object) -> object:
    """`auto` or a whole number above 0."""
    if value is None or value == "auto":
        return value
    if not str(value).isdecimal() or int(str(value)) < 1:
        raise ValueError("expected auto or a whole number above 0")
    return int(str(value))


def parse_uncertainty(value: object) -> object:
    """Where σ comes from: a source by its name, or `mc-dropout:N`; ValueError says what is expected."""
    if value is None or isinstance(value, McDropout):
        return value
    name, _, passes = str(value).partition(":")
    if name == "mc-dropout" and passes.isdecimal() and 2 <= int(passes[:9]) <= MOST_PASSES:
        return McDropout(int(passes))
    if value in tuple(UncertaintySource):
        return UncertaintySource(str(value))
    raise ValueError(
        f"expected {', '.join(UncertaintySource)} or mc-dropout:N with N from 2 to {MOST_PASSES}, for "
        "example mc-dropout:20"
    )


def parse_codes(value: object) -> object:
    """Codes or prefixes, as a list or as one text with commas: `["A1", "A302"]`, `A1,A302`."""
    if isinstance(value, str):
        return tuple(code.strip() for code in value.split(",") if code.strip())
    return value


def refuse_truth_value(value: object) -> object:
    """Anything but true and false, which would pass for the numbers 1 and 0."""
    if isinstance(value, bool):
        raise ValueError("true and false have no meaning here")
    return value


Limit = Annotated[float, BeforeValidator(refuse_truth_value)]
Codes = Annotated[tuple[str, ...] | None, BeforeValidator(parse_codes)]


class Section(BaseModel):
    """A table of the configuration: frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _no_truth_values(cls, value: object) -> object:
        return refuse_truth_value(value)

    def overridden_by(self, other: Self) -> Self:
        """These settings with those of `other` that are set."""
        changes = {name: value for name, value in other if value is not None}
        return self.model_copy(update=changes)


class ModelSettings(Section):
    """`[model]`: the checkpoint, its input, and how its output is read."""

    checkpoint: str | None = None
    factory: str | None = None
    input_size: Annotated[Size | None, BeforeValidator(parse_size)] = None
    resize: ResizeMode | None = None
    normalize: str | None = None
    channels: Literal[1, 3] | None = None
    coords: CoordinateConvention | None = None
    decode: DecodeMethod | None = None
    heatmap_sigma: PositiveFloat | None = None
    softargmax_beta: PositiveFloat | None = None
    uncertainty: Annotated[UncertaintySource | McDropout | None, BeforeValidator(parse_uncertainty)] = None
    uncertainty_as: UncertaintyKind | None = None
    uncertainty_frame: UncertaintyFrame | None = None


class DataSettings(Section):
    """`[data]`: the annotated set."""

    path: str | None = None
    view: Annotated[View | Literal["auto"] | None, BeforeValidator(parse_view)] = None
    pixel_spacing_mm: PositiveFloat | None = None


class EvaluateSettings(Section):
    """`[evaluate]`: where and how to run."""

    device: str | None = None
    batch_size: Annotated[PositiveInt | Literal["auto"] | None, BeforeValidator(parse_batch_size)] = None
    workers: PositiveInt | None = None
    precision: Literal["fp32", "bf16", "fp16"] | None = None
    overlays: Annotated[str | None, BeforeValidator(parse_overlays)] = None
    allow_failures: Annotated[int | None, Field(ge=0)] = None
    recalibration: str | None = None


class AnatomySettings(Section):
    """`[anatomy]`: which violation rules are checked, and their limits, per view where they differ."""

    select: Codes = None
    ignore: Codes = None
    limits: dict[str, Limit] = Field(default_factory=dict)
    ap: dict[str, Limit] = Field(default_factory=dict, alias="AP")
    la: dict[str, Limit] = Field(default_factory=dict, alias="LA")

    def limits_of(self, view: View) -> dict[str, float]:
        """The limits that hold in a view."""
        return {**self.limits, **(self.ap if view is View.AP else self.la)}


class Settings(Section):
    """The whole configuration. `gates` are limits by the path of a number in `run.json`."""

    model: ModelSettings = ModelSettings()
    data: DataSettings = DataSettings()
    evaluate: EvaluateSettings = EvaluateSettings()
    anatomy: AnatomySettings = AnatomySettings()
    gates: dict[str, str] = Field(default_factory=dict)

    def overridden_by(self, other: Self) -> Self:
        """These settings with those that `other` sets, section by section."""
        return self.model_copy(
            update={
                "model": self.model.overridden_by(other.model),
                "data": self.data.overridden_by(other.data),
                "evaluate": self.evaluate.overridden_by(other.evaluate),
            }
        )
