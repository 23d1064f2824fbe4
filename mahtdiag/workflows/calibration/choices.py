"""How σ is judged: what the configuration says, else what the run was judged by, else the defaults."""

from dataclasses import asdict, dataclass
from typing import get_args

from pydantic import JsonValue, ValidationError

from mahtdiag.config.settings import CalibrationGroup, CalibrationSettings
from mahtdiag.runs.document import RunDocument


@dataclass(frozen=True, slots=True)
class CalibrationChoices:
    """Resamples of images behind an interval and their seed, kinds of groups, and what a large error is."""

    resamples: int = 2000
    seed: int = 0
    groups: tuple[str, ...] = get_args(CalibrationGroup)
    large_error_mm: float = 4.0

    def as_settings(self) -> dict[str, JsonValue]:
        """As `run.json` keeps them."""
        return {**asdict(self), "groups": list(self.groups)}


def choices_of(settings: CalibrationSettings, document: RunDocument | None = None) -> CalibrationChoices:
    """The choices for a run; `settings` first, then those in its `document`."""
    try:
        known = CalibrationSettings.model_validate({} if document is None else document.resolved.calibration)
    except ValidationError:
        # Of another version: what is set here and the defaults are known, and shown.
        known = CalibrationSettings()
    both = known.overridden_by(settings)
    return CalibrationChoices(**{name: value for name, value in both if value is not None})
