"""What every section of `run.json` is made of: frozen models, and the kinds of values in them."""

from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field


def _printable(text: object) -> object:
    """File names may hold bytes that are no text; JSON must be, so they are written as escapes."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8") if isinstance(text, str) else text


def _to_utc(time: datetime) -> datetime:
    return time.astimezone(UTC)


Text = Annotated[str, BeforeValidator(_printable)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Count = Annotated[int, Field(ge=0)]
Share = Annotated[float, Field(ge=0.0, le=1.0)]
NonNegative = Annotated[float, Field(ge=0.0)]
UtcTime = Annotated[AwareDatetime, AfterValidator(_to_utc)]


class Section(BaseModel):
    """A section of `run.json`: frozen, no unknown keys, every number finite (what is not known is null)."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        allow_inf_nan=False,
        populate_by_name=True,
        json_schema_serialization_defaults_required=True,
    )
