"""What `explain` says of a name that anything prints, and the list of rules that `rules` prints."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from mahtdiag.anatomy.rule import Rule
from mahtdiag.anatomy.rules import RULES
from mahtdiag.diagnosis.metrics.metric import Better, IntervalKind, Metric
from mahtdiag.diagnosis.setup.check import SetupCheck
from mahtdiag.reports.rendering import Json
from mahtdiag.reports.tables.anatomy import (
    NOTHING_SET,
    SetLimits,
    in_force,
    rule_content,
    rule_parts,
    with_unit,
)
from mahtdiag.reports.tables.table import Line, Part, Style, TableColumn, table
from mahtdiag.schema.column_words import ColumnGroup
from mahtdiag.schema.glossary import Term
from mahtdiag.schema.skeleton import View

BETTER = {
    Better.LOWER: "The lower, the better.",
    Better.HIGHER: "The higher, the better.",
    Better.NEITHER: "Neither more nor less of it is better as such.",
}


@dataclass(frozen=True, slots=True)
class OptionWords:
    """An option or argument: its names, what it says of itself, and the commands that take it."""

    names: tuple[str, ...]
    help: str
    commands: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NamedSetting:
    """A key of a table of mahtdiag.toml, and the option that says the same, if any."""

    table: str
    key: str
    meaning: str
    option: str | None


@dataclass(frozen=True, slots=True)
class Explained:
    """Everything that has the name that was asked for; `limits` those that a project has set."""

    rules: tuple[Rule, ...] = ()
    metrics: tuple[Metric, ...] = ()
    checks: tuple[SetupCheck, ...] = ()
    terms: tuple[Term, ...] = ()
    figures: tuple[Term, ...] = ()
    options: tuple[OptionWords, ...] = ()
    settings: tuple[NamedSetting, ...] = ()
    columns: tuple[ColumnGroup, ...] = ()
    limits: SetLimits = field(default_factory=lambda: NOTHING_SET)

    @property
    def nothing(self) -> bool:
        """Whether nothing has the name."""
        return not any(
            (self.rules, self.metrics, self.checks, self.terms, self.figures, self.options, self.settings,
             self.columns)
        )  # fmt: skip


def explained_parts(found: Explained) -> Iterator[Part]:
    """One paragraph after the other."""
    for rule in found.rules:
        yield from rule_parts(rule, found.limits)
        yield Line()
    for metric in found.metrics:
        yield Line(f"{metric.name} (number of a run)", Style.STRONG)
        yield Line(f"{metric_in_sentences(metric)}\n")
    for check in found.checks:
        yield Line(f"{check.name} (line of Setup)", Style.STRONG)
        yield Line(f"{check_in_sentences(check)}\n")
    for term in found.terms:
        yield Line(f"{term.name} (word)", Style.STRONG)
        yield Line(f"{term.meaning}\n")
    yield from _named_parts(found)


def _named_parts(found: Explained) -> Iterator[Part]:
    """Figures, options, settings and columns."""
    for figure in found.figures:
        yield Line(f"{figure.name} (figure)", Style.STRONG)
        yield Line(f"{figure.meaning}\n")
    for option in found.options:
        yield Line(f"{', '.join(option.names)} (option of {', '.join(option.commands)})", Style.STRONG)
        yield Line(f"{option.help}\n")
    for setting in found.settings:
        yield Line(f"{setting.key} (key of [{setting.table}] in mahtdiag.toml)", Style.STRONG)
        same = f" The option {setting.option} says the same." if setting.option else ""
        yield Line(f"{setting.key}: {setting.meaning}.{same}\n")
    for group in found.columns:
        yield Line(f"{', '.join(group.names)} (columns of {group.file})", Style.STRONG)
        yield Line(f"{group.meaning[:1].upper()}{group.meaning[1:]}.\n")


def metric_in_sentences(metric: Metric) -> str:
    """What it is, where it stands, what it can be, and from how many units on it has an interval."""
    group = metric.group
    of = f" of {group.kind} {group.name}" if group.name and group.name != metric.label else ""
    label = f"{metric.table or metric.section}: {metric.label}{of}"
    said = [f"{label[:1].upper()}{label[1:]}; {'.'.join(metric.path)} of run.json.", BETTER[metric.better]]
    said.append(f"It {metric.range_in_words}.")
    if metric.interval is not IntervalKind.NONE:
        place = ".".join(metric.place_of_interval)
        least = f", from {metric.fewest} patients or images on" if metric.fewest > 1 else ""
        said.append(f"95 % interval: {place}{least}.")
    if metric.need is not None and metric.need.advice:
        said.append(f"Where it is not known: {metric.need.advice}.")
    said.append(f"A gate on it, in mahtdiag.toml under [gates]: {metric.name}.")
    return " ".join(said)


def check_in_sentences(check: SetupCheck) -> str:
    """What it looks at, which checks come first, and how its result is let pass."""
    said = [f"Looks at: {check.title}."]
    if check.after:
        said.append(f"Not checked where {', '.join(check.after)} finds something wrong.")
    if check.images > 1:
        said.append(f"Needs {check.images} images.")
    said.append(f"--accept {check.name} goes on in spite of what it finds; --strict-setup fails the run.")
    return " ".join(said)


def explained_content(found: Explained) -> dict[str, Json]:
    """The same for programs."""
    return {
        "rules": [rule_content(rule, found.limits) for rule in found.rules],
        "metrics": [
            {"name": metric.name, "label": metric.label, "unit": metric.unit, "better": str(metric.better)}
            for metric in found.metrics
        ],
        "setup": [{"name": check.name, "looks_at": check.title} for check in found.checks],
        "words": [{"name": term.name, "meaning": term.meaning} for term in found.terms],
        "figures": [{"name": figure.name, "shows": figure.meaning} for figure in found.figures],
        "options": [
            {"names": list(option.names), "help": option.help, "commands": list(option.commands)}
            for option in found.options
        ],
        "settings": [
            {"table": setting.table, "key": setting.key, "meaning": setting.meaning, "option": setting.option}
            for setting in found.settings
        ],
        "columns": [
            {"file": group.file, "names": list(group.names), "meaning": group.meaning}
            for group in found.columns
        ],
    }


def rules_parts(limits: SetLimits) -> Iterator[Part]:
    """Every rule, with its limits in force."""
    yield table(
        f"Rules of anatomy: {len(RULES)}",
        ("code", TableColumn("rule"), TableColumn("fires", wraps="words")),
        ((rule.code, rule.title, _limits_of(rule, limits)) for rule in RULES),
        note="One of them in full, with the limits of single regions: mahtdiag explain CODE.",
    )


def _limits_of(rule: Rule, limits: SetLimits) -> str:
    general = [limit for limit in rule.limits if limit.region is None]
    by_view = {
        view: ", ".join(f"{each.fires} {with_unit(in_force(each, view, limits), each)}" for each in general)
        for view in View
    }
    if len(set(by_view.values())) == 1:
        return by_view[View.AP]
    return "; ".join(f"{view} {said}" for view, said in by_view.items())


def rules_content(limits: SetLimits) -> dict[str, Json]:
    """The same for programs."""
    return {"rules": [rule_content(rule, limits) for rule in RULES]}
