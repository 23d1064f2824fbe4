"""`mahtdiag rules` and `mahtdiag explain`: what the names mean that the product prints."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mahtdiag.cli import options
from mahtdiag.cli.output import write_result
from mahtdiag.config.option_keys import RESULT

if TYPE_CHECKING:
    from mahtdiag.reports.tables.explained import OptionWords
    from mahtdiag.schema.skeleton import View

Name = Annotated[
    str,
    typer.Argument(
        metavar="NAME",
        help="Code of a rule (A201), number of a run (radial_error_px.mean), line of Setup"
        " (network.heatmaps), option (--decode), heading of a table, or another word that is printed.",
    ),
]
Format = Annotated[options.OutputFormat, options.in_panel(RESULT, "--format", "json: all of it on stdout.")]


def explain_command(
    context: typer.Context,
    name: Name,
    output_format: Format = options.OutputFormat.TABLE,
    config: options.Config = None,
) -> None:
    """Say what a name means that any command prints: a rule, a number, a line of Setup, a heading, an option.

    Exit status: 0 done, 2 nothing has this name.
    """
    from mahtdiag.reports.rendering import Result
    from mahtdiag.reports.tables.explained import explained_content, explained_parts
    from mahtdiag.workflows.explain import look_up

    found = look_up(name, _limits(config), _options(context))
    write_result(Result(lambda _: explained_parts(found), lambda: explained_content(found)), output_format)


def rules_command(output_format: Format = options.OutputFormat.TABLE, config: options.Config = None) -> None:
    """List the rules of anatomy, with the limits that are in force here.

    Exit status: 0 done, 2 the settings cannot be read.
    """
    from mahtdiag.reports.rendering import Result
    from mahtdiag.reports.tables.explained import rules_content, rules_parts

    limits = _limits(config)
    write_result(Result(lambda _: rules_parts(limits), lambda: rules_content(limits)), output_format)


def _options(context: typer.Context) -> "tuple[OptionWords, ...]":
    """The options and arguments of all commands, those that say the same together."""
    from mahtdiag.reports.tables.explained import OptionWords

    found: dict[tuple[tuple[str, ...], str], list[str]] = {}
    for command, of in getattr(context.find_root().command, "commands", {}).items():
        for each in of.params:
            is_option = each.opts[0].startswith("-")
            names = (*each.opts, *each.secondary_opts) if is_option else (each.metavar or each.name.upper(),)
            help_text = " ".join((getattr(each, "help", "") or "").split())
            if help_text and not getattr(each, "hidden", False):
                found.setdefault((names, help_text), []).append(command)
    return tuple(OptionWords(names, said, tuple(commands)) for (names, said), commands in found.items())


def _limits(config: Path | None) -> "Mapping[View, Mapping[str, float]]":
    """Those of the project, by view."""
    from mahtdiag.config.project_file import read_settings
    from mahtdiag.schema.skeleton import View

    settings = read_settings(config, Path.cwd())
    return {view: settings.anatomy.limits_of(view) for view in View}
