"""What a command has found, and the renderers that write it down, each found by its name.

Importing this module imports none of them.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Final, Generic, Protocol, TypeVar

from mahtdiag.reports.ci.defused import defused_json
from mahtdiag.schema.safe_text import json_text

if TYPE_CHECKING:
    from mahtdiag.diagnosis.anatomy import AnatomyReport
    from mahtdiag.reports.ci.record import CiRecord
    from mahtdiag.reports.tables.table import Part

Json = str | int | float | bool | None | Sequence["Json"] | Mapping[str, "Json"]
R = TypeVar("R", contravariant=True)


@dataclass(frozen=True, slots=True)
class Result:
    """What a command has found, made when a renderer asks for it.

    `parts`: tables and sentences for a terminal of so many columns; `content`: plain values by name, None
    where something is not known.
    """

    parts: "Callable[[int], Iterable[Part]]"
    content: Callable[[], Mapping[str, Json]]


class Renderer(Protocol[R]):
    """A way to write a result down, by the name that a user calls it."""

    @property
    def name(self) -> str:
        """What it is called: `json`."""
        ...

    def render(self, result: R, /) -> str | bytes:
        """Text, for whoever shows it in an encoding of its own, or the bytes of a file."""
        ...


@dataclass(frozen=True, slots=True)
class Named(Generic[R]):
    """A renderer that is a function, `module:function`, which is imported when it is first used."""

    name: str
    function: str

    def render(self, result: R, /) -> str | bytes:
        """What the function returns."""
        module, _, function = self.function.partition(":")
        rendered: str | bytes = getattr(import_module(module), function)(result)
        return rendered


TABLE: Final = "table"
FORMATS: tuple[Renderer[Result], ...] = (
    Named(TABLE, "mahtdiag.reports.tables.table:printed"),
    Named("json", "mahtdiag.reports.rendering:json_bytes"),
)
"""What `--format` offers for the result of any command."""

PIPELINE: "tuple[Renderer[CiRecord], ...]" = (
    Named("junit", "mahtdiag.reports.ci.junit:junit_xml"),
    Named("markdown", "mahtdiag.reports.ci.github:markdown"),
    Named("annotations", "mahtdiag.reports.ci.github:annotation_lines"),
)
"""What a pipeline is told, whatever the command."""

CSV: "Renderer[AnatomyReport]" = Named("csv", "mahtdiag.reports.json:anatomy_csv")


def named(renderers: Iterable[Renderer[R]], name: str) -> Renderer[R]:
    """The renderer of this name. Raises ValueError, which lists them, for one that there is not."""
    found = {renderer.name: renderer for renderer in renderers}
    if name not in found:
        raise ValueError(f"{name!r} is not one of {', '.join(map(repr, found))}")
    return found[name]


def file_content(renderer: Renderer[R], result: R) -> bytes:
    """What a file of it holds; text is UTF-8."""
    rendered = renderer.render(result)
    return rendered.encode() if isinstance(rendered, str) else rendered


def json_bytes(result: Result) -> bytes:
    """Two spaces, a newline at the end, UTF-8 whatever a terminal's encoding is, no NaN.

    Bytes of a file name that are no text, and signs that are not seen, are escapes.
    """
    text = json.dumps(result.content(), indent=2, ensure_ascii=False, allow_nan=False)
    return f"{defused_json(json_text(text))}\n".encode()
