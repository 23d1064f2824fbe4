"""The limits in force for one view: the table's defaults, or what a user sets."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite

from mahtdiag.anatomy.limit_spec import LimitSpec
from mahtdiag.anatomy.rules import LIMIT_BY_KEY, nearest
from mahtdiag.errors import UsageError
from mahtdiag.schema.skeleton import View


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one view, by key (`A201`, `A301-min`). Made by `Limits.of`, which fills in the defaults."""

    view: View
    values: Mapping[str, float]

    @staticmethod
    def of(view: View, overrides: Mapping[str, float] | None = None) -> "Limits":
        """The defaults of a view with some limits replaced.

        Raises UsageError for all unknown keys and all values that are not finite, at once.
        """
        changed = dict(overrides or {})
        problems = [
            f"limit {key}: unknown.{nearest(key, LIMIT_BY_KEY)}" for key in changed if key not in LIMIT_BY_KEY
        ]
        problems += [
            f"limit {key}: {value} is not a finite number; give a number in {LIMIT_BY_KEY[key].unit}."
            for key, value in changed.items()
            if key in LIMIT_BY_KEY and not isfinite(value)
        ]
        if problems:
            raise UsageError(*problems)
        return Limits(view, {key: spec.default(view) for key, spec in LIMIT_BY_KEY.items()} | changed)

    def __getitem__(self, key: str) -> float:
        return self.values[key]

    def of_spec(self, spec: LimitSpec) -> float:
        """The limit in force; the default of one that the table does not hold."""
        return self.values.get(spec.key, spec.default(self.view))
