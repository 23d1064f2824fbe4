"""`--explain`: what an anatomical rule means."""

from collections.abc import Iterator, Mapping
from textwrap import fill

from mahtdiag.anatomy.rule import LimitSpec
from mahtdiag.anatomy.rules import Rule
from mahtdiag.reports.rendering import Json
from mahtdiag.reports.tables.table import Line
from mahtdiag.schema.skeleton import View

WIDTH = 80
SetLimits = Mapping[View, Mapping[str, float]]
NOTHING_SET: SetLimits = {}


def rule_parts(rule: Rule, settings: SetLimits = NOTHING_SET) -> tuple[Line, ...]:
    """What a terminal shows of it."""
    return tuple(map(Line, rule_text(rule, settings).splitlines()))


def rule_text(rule: Rule, settings: SetLimits = NOTHING_SET) -> str:
    """Meaning, formula, default limits and where they come from, at 80 columns.

    `settings`: limits that a project has set, by view and key, which are shown beside the defaults.
    """
    lines = [f"{rule.code} {rule.title} ({rule.group})", "", _paragraph(rule.meaning), ""]
    lines += [_paragraph(f"Measured: {rule.formula}."), ""]
    for limit in rule.limits:
        lines += [_paragraph(_limit(limit)), _paragraph(limit.origin)]
        lines += [_paragraph(line) for line in _set_limits(limit, settings)]
        lines.append("")
    keys = ", ".join(f'"{limit.key}"' for limit in rule.limits)
    lines.append(
        _paragraph(f"Set it in mahtdiag.toml under [anatomy.limits], [anatomy.AP] or [anatomy.LA]: {keys}.")
    )
    return "\n".join(lines) + "\n"


def rule_content(rule: Rule, settings: SetLimits = NOTHING_SET) -> dict[str, Json]:
    """The same for programs: `limits` by key, each with its default and the limit in force by view."""
    limits: dict[str, Json] = {
        limit.key: {
            "unit": limit.unit,
            "fires": str(limit.fires),
            "default": {str(view): limit.default(view) for view in View},
            "in_force": {str(view): _in_force(limit, view, settings) for view in View},
            "origin": limit.origin,
        }
        for limit in rule.limits
    }
    return {
        "code": rule.code,
        "group": str(rule.group),
        "title": rule.title,
        "meaning": rule.meaning,
        "formula": rule.formula,
        "limits": limits,
    }


def _in_force(limit: LimitSpec, view: View, settings: SetLimits) -> float:
    return settings.get(view, {}).get(limit.key, limit.default(view))


def _set_limits(limit: LimitSpec, settings: SetLimits) -> Iterator[str]:
    for view in View:
        value = _in_force(limit, view, settings)
        if value != limit.default(view):
            yield f"Set here: {_with_unit(value, limit)} in {view}."


def _limit(limit: LimitSpec) -> str:
    """`A202 fires above 25° in AP and 35° in LA by default; in an ordinary spine about 4°.`"""
    values = {view: _with_unit(limit.default(view), limit) for view in View}
    both = " and ".join(f"{value} in {view}" for view, value in values.items())
    single = values[View.AP] == values[View.LA]
    text = f"{limit.key} fires {limit.fires} {values[View.AP] if single else both} by default"
    # Below zero it is a mere scale of severity.
    usual = f"; in an ordinary spine about {_with_unit(limit.typical, limit)}" if limit.typical >= 0 else ""
    return f"{text}{usual}."


def _with_unit(value: float, limit: LimitSpec) -> str:
    if limit.unit == "width/height":
        return f"{value:g}"
    return f"{value:g}{'' if limit.unit == '°' else ' '}{limit.unit}"


def _paragraph(text: str) -> str:
    return fill(text, WIDTH)
