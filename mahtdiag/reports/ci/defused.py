"""Text on a stream that GitHub Actions reads: its runner finds no command in it."""

import os
import re
from typing import Final

IN_ACTIONS: Final = "GITHUB_ACTIONS"
# The runner obeys lines that begin with `::`, and `##[` anywhere in a line.
_COMMAND: Final = re.compile(r"^(\s*):(?=:)|#(?=#\[)", re.MULTILINE)


def defused(text: str) -> str:
    """Text in which the runner finds no command, whatever a file name holds; outside of it as it is."""
    return _COMMAND.sub(_as_escape, text) if os.environ.get(IN_ACTIONS) == "true" else text


def defused_json(text: str) -> str:
    """JSON that reads back the same, in which the runner finds no command."""
    return text.replace("##[", "\\u0023#[") if os.environ.get(IN_ACTIONS) == "true" else text


def _as_escape(found: "re.Match[str]") -> str:
    return f"{found[1] or ''}\\x{ord(found[0][-1]):02x}"
