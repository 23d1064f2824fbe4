"""Help without the types of Python, which newer versions of the parser print beside every name."""

import re
from collections.abc import Callable
from typing import Any, Final

from typer import core

_PYTHON: Final = re.compile(r"<(bool|str|int|float|Path|list\[.*\])>(\.\.\.)?")
_SHOWN: Final = "display_type_rich"


def hide_python_types() -> None:
    """Help shows `FILE` and `AP|LA`, but no `<str>`; nothing changes where the parser shows no types."""
    for kind in (core.TyperArgument, core.TyperOption):
        shown = getattr(kind, _SHOWN, None)
        if shown is not None:
            setattr(kind, _SHOWN, _without_python(shown))


def _without_python(shown: Callable[..., str | None]) -> Callable[..., str | None]:
    def told(parameter: Any, ctx: Any) -> str | None:
        said = shown(parameter, ctx)
        return None if said is not None and _PYTHON.fullmatch(said) else said

    return told
