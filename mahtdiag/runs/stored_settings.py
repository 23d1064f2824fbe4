"""What `settings` of a `run.json` must be where a number follows from them; the rest is kept as it is."""

from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, JsonValue, StringConstraints, ValidationError

from mahtdiag.anatomy.rules import LIMIT_BY_KEY
from mahtdiag.schema.model_spec import LARGEST_SIGMA, SMALLEST_SIGMA
from mahtdiag.schema.safe_text import brief

_TYPES: Final = " or instance of "
_Positive = Annotated[float, Field(gt=0.0)]
_Word = Annotated[str, StringConstraints(max_length=200)]
_Side = r"[1-9]\d{0,5}"
_Size = Annotated[str, StringConstraints(pattern=rf"^{_Side}x{_Side}$")]


class _Stored(BaseModel):
    """Keys of earlier and later versions pass; numbers are numbers, not texts that look so."""

    model_config = ConfigDict(extra="allow", allow_inf_nan=False, strict=True, defer_build=True)


class _Loss(_Stored):
    lambda_heatmap: float | None = None
    lambda_coord: float | None = None
    lambda_anatomical: float | None = None
    lambda_uncertainty: float | None = None
    min_sigma: _Positive | None = None
    max_sigma: _Positive | None = None


class _Calibration(_Stored):
    seed: Annotated[int, Field(ge=0)] | None = None
    groups: list[_Word] | None = None
    large_error_mm: _Positive | None = None


class _Recalibration(_Stored):
    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")] | None = None
    common: _Positive | None = None
    by_keypoint: dict[str, _Positive] = Field(default_factory=dict)


class StoredSettings(_Stored):
    """The settings from which numbers follow, by name."""

    input_size: _Size | None = None
    heatmap_size: _Size | None = None
    heatmap_sigma: Annotated[float, Field(ge=SMALLEST_SIGMA, le=LARGEST_SIGMA)] | None = None
    softargmax_beta: _Positive | None = None
    resize: _Word | None = None
    coords: _Word | None = None
    decode: _Word | None = None
    uncertainty: _Word | None = None
    uncertainty_source: _Word | None = None
    uncertainty_as: _Word | None = None
    uncertainty_frame: _Word | None = None
    pixel_spacing_mm: _Positive | None = None
    batch_size: Annotated[int, Field(gt=0)] | None = None
    loss: _Loss | None = None
    calibration: _Calibration | None = None
    recalibration: _Recalibration | None = None
    anatomy_limits: dict[str, float] | None = None
    anatomy_rules: list[_Word] | None = None


def known_settings(settings: dict[str, JsonValue]) -> dict[str, JsonValue]:
    """The settings themselves. Raises ValueError, every problem in it, where one is of another kind."""
    try:
        found = StoredSettings.model_validate(settings)
    except ValidationError as error:
        raise ValueError("; ".join(_said(problem) for problem in error.errors()[:10])) from None
    unknown = [key for key in found.anatomy_limits or () if key not in LIMIT_BY_KEY]
    if unknown:
        raise ValueError(f"anatomy_limits: no limit is called {brief(unknown[0], 80)}")
    return settings


def _said(problem: Any) -> str:
    place = ".".join(brief(str(part), 80) for part in problem["loc"])
    return f"{place}: {problem['msg'].partition(_TYPES)[0]}"
