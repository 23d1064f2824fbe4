"""What a benchmark reports: figures with their targets, and the table that shows them."""

import argparse
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from rich import box
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured value as text; `met` is None where there is no target."""

    name: str
    measured: str
    target: str = ""
    met: bool | None = None


def at_most(name: str, value: float, limit: float, unit: str) -> Figure:
    """A figure that should not exceed a limit."""
    return Figure(name, f"{value:.2f} {unit}", f"≤ {limit:g} {unit}", value <= limit)


def at_least(name: str, value: float, limit: float, unit: str) -> Figure:
    """A figure that should reach a limit."""
    return Figure(name, f"{value:.1f} {unit}", f"≥ {limit:g} {unit}", value >= limit)


def milliseconds(name: str, seconds: float) -> Figure:
    """A time without a target."""
    return Figure(name, f"{1000 * seconds:.2f} ms")


def table(title: str, figures: list[Figure], caption: str | None = None) -> Table:
    """The figures as a table, one row each."""
    result = Table(
        title=title, caption=caption, title_justify="left", caption_justify="left", box=box.SIMPLE_HEAD
    )
    result.add_column("figure")
    result.add_column("measured", justify="right", no_wrap=True)
    result.add_column("target", justify="right", no_wrap=True)
    result.add_column("", no_wrap=True)
    for figure in figures:
        result.add_row(figure.name, figure.measured, figure.target, _verdict(figure.met))
    return result


def _verdict(met: bool | None) -> Text:
    if met is None:
        return Text("")
    return Text("ok", style="green") if met else Text("missed", style="bold red")


def print_named(runs: Mapping[str, Callable[[], Iterator[RenderableType]]], about: str) -> None:
    """Run those that the command line names, or all, and print each table as soon as it is there."""
    parser = argparse.ArgumentParser(description=about.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="name", help=", ".join(runs))
    names = parser.parse_args().names
    unknown = [name for name in names if name not in runs]
    if unknown:
        parser.error(f"unknown: {', '.join(unknown)}; there are {', '.join(runs)}")
    console = Console()
    began = time.perf_counter()
    for name in names or runs:
        started = time.perf_counter()
        for result in runs[name]():
            # Text has lines of its own, which a narrow terminal must not break.
            console.print(result, soft_wrap=isinstance(result, Text))
        console.print(f"{name}: {time.perf_counter() - started:.0f} s")
    console.print(f"all: {time.perf_counter() - began:.0f} s")
