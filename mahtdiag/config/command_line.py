"""Options of a command line as settings: the same validation, in the words of the command line."""

from collections.abc import Mapping

from pydantic import ValidationError

from mahtdiag.config.settings import KEYS, Settings
from mahtdiag.errors import UsageError

OPTION_OF = {(table, key.name): key.option for table, keys in KEYS.items() for key in keys if key.option}


def settings_from_options(given: Mapping[str, object]) -> Settings:
    """Validate what the command line gives, by the names of options; those not given are None.

    Raises UsageError, one line per option that cannot be obeyed.
    """
    tables: dict[str, dict[str, object]] = {}
    for (table, key), option in OPTION_OF.items():
        tables.setdefault(table, {})[key] = given.get(option)
    try:
        return Settings.model_validate(tables)
    except ValidationError as error:
        problems = []
        for item in error.errors():
            table, key = map(str, item["loc"][:2])
            message = item["msg"].removeprefix("Value error, ")
            problems.append(f"{OPTION_OF[table, key]} {item['input']}: {message[:1].lower()}{message[1:]}")
        raise UsageError(*dict.fromkeys(problems)) from None
