"""`explain`: everything that has a name which anything prints."""

from collections.abc import Mapping

from mahtdiag.anatomy.rules import LIMIT_BY_KEY, RULE_BY_CODE, RULES
from mahtdiag.diagnosis.metrics.metric import GroupKind, Metric
from mahtdiag.diagnosis.metrics.registry import is_open, known_metrics, metric_of, nearest_name
from mahtdiag.diagnosis.setup.registry import CHECK_BY_NAME
from mahtdiag.errors import UsageError
from mahtdiag.reports.tables.explained import Explained
from mahtdiag.reports.text import shorten
from mahtdiag.schema.glossary import TERM_BY_NAME
from mahtdiag.schema.skeleton import View

MOST_METRICS = 4
LONGEST_NAME = 80


def look_up(name: str, limits: Mapping[View, Mapping[str, float]]) -> Explained:
    """What has this name, in capitals or not. Raises UsageError, with near names, where nothing has."""
    asked = name.strip()
    code = asked.upper()
    found = Explained(
        rules=tuple(
            rule
            for rule in RULES
            if rule.code == code or code in {limit.key.upper() for limit in rule.limits}
        ),
        metrics=_metrics(asked),
        checks=tuple(check for check in CHECK_BY_NAME.values() if check.name == asked.lower()),
        # Keyboards have no minus.
        terms=tuple(
            term for key, term in TERM_BY_NAME.items() if asked.lower() in (key, key.replace("−", "-"))
        ),
        limits=limits,
    )
    if found.rules or found.metrics or found.checks or found.terms:
        return found
    if is_open(asked):
        raise UsageError(
            f"{shorten(asked, LONGEST_NAME)}: a number that is known only once a run has it; see its run.json"
        )
    raise UsageError(f"{shorten(name, LONGEST_NAME)!r}: nothing that is printed has this name{_near(asked)}")


def _metrics(asked: str) -> tuple[Metric, ...]:
    """The number of this name, or those that tables call so."""
    by_name = metric_of(asked)
    if by_name is not None:
        return (by_name,)
    wanted = asked.lower()
    called = [m for m in known_metrics() if wanted and wanted in (m.label.lower(), m.short.lower())]
    whole = [metric for metric in called if metric.group.kind is GroupKind.ALL]
    return tuple((whole or called)[:MOST_METRICS])


def _near(asked: str) -> str:
    codes = [code for code in RULE_BY_CODE if asked and code.startswith(asked.upper())]
    if codes:
        return f"; did you mean {' or '.join(codes)}?"
    names = (*RULE_BY_CODE, *LIMIT_BY_KEY, *CHECK_BY_NAME, *TERM_BY_NAME, *(m.name for m in known_metrics()))
    near = nearest_name(asked, names) or nearest_name(asked.upper(), names)
    return f"; did you mean {near}?" if near else "; mahtdiag rules lists the rules, run.json the numbers"
