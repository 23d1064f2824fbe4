"""One page for each command: what it does, its arguments and options, its two examples."""

from collections.abc import Callable
from functools import partial
from typing import Any, Final

import typer

from mahtdiag.cli.commands import COMMANDS, app

_COMMANDS: Final[dict[str, Any]] = getattr(typer.main.get_command(app), "commands", {})


def page(name: str) -> str:
    """The page of a command, in Markdown."""
    command = _COMMANDS[name]
    examples = next(examples for called, _, *examples in COMMANDS if called == name)
    lines = [f"# mahtdiag {name}", "", (command.help or "").replace("\b", "").strip(), ""]
    lines += ["```text", *(f"mahtdiag {one}" for one in examples), "```", ""]
    lines += ["| argument or option | meaning |", "| --- | --- |"]
    lines += [_row(parameter) for parameter in command.params if not getattr(parameter, "hidden", False)]
    return "\n".join(lines) + "\n"


def _row(parameter: Any) -> str:
    shown = str(parameter.metavar or parameter.name.upper())
    if parameter.opts[0].startswith("-"):
        value = "" if parameter.is_flag or not parameter.metavar else f" {parameter.metavar}"
        shown = "`, `".join((f"{parameter.opts[0]}{value}", *parameter.opts[1:], *parameter.secondary_opts))
    return f"| `{_cell(shown)}` | {_cell(' '.join((parameter.help or '').split()))} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


PAGES: Final[dict[str, Callable[[], str]]] = {
    f"commands/{name}.md": partial(page, name) for name, *_ in COMMANDS
}
