"""Options of a command line as settings: the same validation, in the words of the command line."""

from collections.abc import Mapping

from pydantic import ValidationError

from mahtdiag.config.settings import Settings
from mahtdiag.errors import UsageError

OPTION_NAMES = {
    "checkpoint": "CHECKPOINT",
    "path": "DATA",
    "factory": "--model",
    "pixel_spacing_mm": "--pixel-spacing",
}


def settings_from_options(
    model: Mapping[str, object], data: Mapping[str, object], evaluate: Mapping[str, object]
) -> Settings:
    """Validate what the command line gives; options that were not given are None.

    Raises UsageError, one line per option that cannot be obeyed.
    """
    try:
        return Settings.model_validate({"model": model, "data": data, "evaluate": evaluate})
    except ValidationError as error:
        problems = []
        for item in error.errors():
            key = str(item["loc"][1])
            option = OPTION_NAMES.get(key, "--" + key.replace("_", "-"))
            message = item["msg"].removeprefix("Value error, ")
            problems.append(f"{option} {item['input']}: {message[:1].lower()}{message[1:]}")
        raise UsageError(*dict.fromkeys(problems)) from None
