"""The anatomical rules and limits that a run was judged by, read back without a network or a GPU in sight."""

from mahtdiag.anatomy.rules import RULES, Limits, Rule
from mahtdiag.runs.document import RunDocument


def stored_limits(document: RunDocument) -> Limits:
    """The limits of a run; the defaults where its document holds none."""
    stored = document.settings.get("anatomy_limits")
    values = {str(k): float(str(v)) for k, v in stored.items()} if isinstance(stored, dict) else None
    return Limits.of(document.view, values)


def stored_rules(document: RunDocument) -> tuple[Rule, ...]:
    """The rules that a run was judged by; all where its document does not say."""
    stored = document.settings.get("anatomy_rules")
    return tuple(rule for rule in RULES if rule.code in stored) if isinstance(stored, list) else RULES
