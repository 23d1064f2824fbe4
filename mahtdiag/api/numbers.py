"""The numbers of a run by their names, each with its interval and what it is."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from mahtdiag.api.html import html_table
from mahtdiag.diagnosis.metrics.metric import Better
from mahtdiag.diagnosis.metrics.registry import metric_of, nearest_name, without_section
from mahtdiag.diagnosis.numbers import find_interval, find_number, paths_of
from mahtdiag.errors import UsageError
from mahtdiag.reports.text import in_unit, interval

_NO_RESULTS = ("schema", "settings", "environment", "checksums")


class UnknownNumberError(UsageError, KeyError):
    """A run has no number of that name."""

    def __str__(self) -> str:
        return "\n".join(self.problems)


@dataclass(frozen=True, slots=True)
class Number:
    """A number of a run, and its 95 % interval over patients or images, None where there is none.

    `name`: as in `run.json`, gates and tables, `metrics.` left out. `unit`: `px`, `mm`, `share` (0 to 1),
    `count`, `s`, or empty. `better`: `lower`, `higher`, or `neither`. `label`: in words.
    """

    name: str
    value: float
    ci95: tuple[float, float] | None = None
    unit: str = ""
    better: Better = Better.NEITHER
    label: str = ""

    def __float__(self) -> float:
        return self.value

    def __str__(self) -> str:
        bounds = "" if self.ci95 is None else f" ({self.bounds})"
        return f"{self.shown}{bounds}"

    @property
    def shown(self) -> str:
        """The value as people read it: with its unit, shares in percent."""
        unit = {"share": " %", "px": " px", "mm": " mm", "s": " s"}.get(self.unit, "")
        return f"{in_unit(self.value, self.unit)}{unit}"

    @property
    def bounds(self) -> str:
        """The interval as people read it."""
        return interval(self.ci95, self._scale)

    @property
    def _scale(self) -> float:
        return 100.0 if self.unit == "share" else 1.0


class Numbers(Mapping[str, Number]):
    """Every number of a run by its name: `numbers["vertebrae.L5.radial_error_px.mean"]`.

    Names are those of `run.json`, and of gates: a path with dots, in which `metrics.` may be left out. A
    number that the run does not know is no key. Asking for one raises UnknownNumberError, a KeyError.
    """

    def __init__(self, content: Mapping[str, object]) -> None:
        """`content`: that of a `run.json`."""
        self._content = {name: of for name, of in content.items() if name not in _NO_RESULTS}
        self._names = {without_section(path): None for path in paths_of(self._content)}

    def __getitem__(self, name: str) -> Number:
        if not isinstance(name, str):
            raise UnknownNumberError(f"the run has no number {name!r}")
        name = without_section(name)
        value = find_number(self._content, name) if name in self._names else None
        if value is None:
            near = nearest_name(name, self._names)
            hint = f"; did you mean {near}?" if near else ""
            raise UnknownNumberError(f"the run has no number {name!r}{hint}")
        metric, bounds = metric_of(name), find_interval(self._content, name)
        if metric is None:
            return Number(name, value, bounds)
        return Number(name, value, bounds, metric.unit, metric.better, metric.label)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __repr__(self) -> str:
        return f"<{len(self)} numbers: {', '.join(list(self._names)[:3])}, …>"

    def _repr_html_(self) -> str:
        return numbers_html({name: self[name] for name in self})


def numbers_html(numbers: Mapping[str, Number]) -> str:
    """A table of numbers for notebooks."""
    rows = [(name, found.shown, found.bounds) for name, found in numbers.items()]
    return html_table(("number", "value", "95 % interval"), rows)
