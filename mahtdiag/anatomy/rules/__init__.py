"""The anatomical rules, one file a group. Whoever adds a rule writes its record and lists it there."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from math import isfinite

from mahtdiag.anatomy.limit import LimitSpec
from mahtdiag.anatomy.rule import Rule
from mahtdiag.anatomy.rules import likeness, ordering, points, shape
from mahtdiag.errors import UsageError
from mahtdiag.schema.skeleton import Skeleton, View

__all__ = (
    "LIMIT_BY_KEY",
    "RULES",
    "RULE_BY_CODE",
    "Limits",
    "Rule",
    "get_rule",
    "limits_for",
    "nearest",
    "select_rules",
)

FILES = (ordering, likeness, shape, points)
RULES: tuple[Rule, ...] = tuple(
    sorted((rule for file in FILES for rule in file.RULES), key=lambda rule: rule.code)
)
RULE_BY_CODE: dict[str, Rule] = {rule.code: rule for rule in RULES}
LIMIT_BY_KEY: dict[str, LimitSpec] = {limit.key: limit for rule in RULES for limit in rule.limits}


def nearest(word: str, known: Iterable[str]) -> str:
    """` Did you mean X?` with the known word closest to `word`, or all known ones."""
    words = list(known)
    longer = [name for name in words if word and name.startswith(word.upper())]
    # Limits of regions are known by those that they stand beside.
    longer = [name for name in longer if not any(name.startswith(f"{other}-") for other in longer)]
    in_capitals = {name.upper(): name for name in words}
    close = get_close_matches(word.upper(), in_capitals, n=1, cutoff=0.4)
    matches = longer or [in_capitals[name] for name in close]
    return f" Did you mean {' or '.join(matches)}?" if matches else f" Known are {', '.join(words)}."


def _matching(prefixes: Sequence[str], option: str) -> set[str]:
    """Codes that start with any of the prefixes; every prefix has to match one."""
    found: set[str] = set()
    problems = []
    for prefix in prefixes:
        codes = {code for code in RULE_BY_CODE if prefix and code.startswith(prefix.upper())}
        if not codes:
            problems.append(f"{option}: no anatomical rule {prefix!r}.{nearest(prefix, RULE_BY_CODE)}")
        found |= codes
    if problems:
        raise UsageError(*problems)
    return found


def select_rules(select: Sequence[str] = (), ignore: Sequence[str] = ()) -> tuple[Rule, ...]:
    """The rules to apply, in the table's order; `select` empty means all, `ignore` wins.

    Both take codes or prefixes (`A1`, `A302`). Raises UsageError, naming the nearest code, for a prefix that
    matches none, and where nothing is left to check.
    """
    chosen = _matching(select, "select") if select else set(RULE_BY_CODE)
    chosen -= _matching(ignore, "ignore")
    if not chosen:
        raise UsageError("select, ignore: no anatomical rule is left to check; ignore fewer codes.")
    return tuple(rule for rule in RULES if rule.code in chosen)


def get_rule(code: str) -> Rule:
    """The rule with this code. Raises UsageError, naming the nearest code, where there is none."""
    rule = RULE_BY_CODE.get(code.upper())
    if rule is None:
        raise UsageError(f"no anatomical rule {code!r}.{nearest(code, RULE_BY_CODE)}")
    return rule


def limits_for(skeleton: Skeleton, rules: Iterable[Rule] | None = None) -> tuple[LimitSpec, ...]:
    """The limits of rules (None: of all) but those of regions in which it has no vertebra."""
    limits = (limit for rule in (RULES if rules is None else rules) for limit in rule.limits)
    return tuple(limit for limit in limits if limit.region is None or limit.region in skeleton.regions)


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one view, by key (`A201`, `A301-min`). Made by `Limits.of`, which fills in the defaults."""

    view: View
    values: Mapping[str, float]

    @staticmethod
    def of(skeleton: Skeleton | View, overrides: Mapping[str, float] | None = None) -> "Limits":
        """The defaults of a skeleton, or of the usual one of a view, with some limits replaced.

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
        skeleton = skeleton.skeleton if isinstance(skeleton, View) else skeleton
        view = skeleton.view
        return Limits(view, {spec.key: spec.default(view) for spec in limits_for(skeleton)} | changed)

    def __getitem__(self, key: str) -> float:
        return self.values[key]

    def in_force(self, spec: LimitSpec) -> float:
        """The limit in force; the default of one that the table does not hold."""
        return self.values.get(spec.key, spec.default(self.view))

    def of_rule(self, rule: Rule) -> dict[str, float]:
        """The limits of one rule by key."""
        return {spec.key: self.in_force(spec) for spec in rule.limits}
