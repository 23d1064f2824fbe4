"""`--explain`: what an anatomical rule means."""

from textwrap import fill

from mahtdiag.anatomy.rules import LimitSpec, Rule
from mahtdiag.schema.views import View

WIDTH = 80


def rule_text(rule: Rule) -> str:
    """Meaning, formula, default limits and where they come from, at 80 columns."""
    lines = [f"{rule.code} {rule.title} ({rule.group})", "", _paragraph(rule.meaning), ""]
    lines += [_paragraph(f"Measured: {rule.formula}."), ""]
    for limit in rule.limits:
        lines += [_paragraph(_limit(limit)), _paragraph(limit.origin), ""]
    keys = ", ".join(f'"{limit.key}"' for limit in rule.limits)
    lines.append(_paragraph(f"Set it in mahtdiag.toml under [anatomy.limits] (or AP, LA): {keys}."))
    return "\n".join(lines) + "\n"


def _limit(limit: LimitSpec) -> str:
    """`A202 fires above 25° in AP and 35° in LA; in an ordinary spine about 4°.`"""
    values = {view: _with_unit(limit.default(view), limit) for view in View}
    both = " and ".join(f"{value} in {view}" for view, value in values.items())
    single = values[View.AP] == values[View.LA]
    text = f"{limit.key} fires {limit.fires} {values[View.AP] if single else both}"
    # Below zero it is a mere scale of severity.
    usual = f"; in an ordinary spine about {_with_unit(limit.typical, limit)}" if limit.typical >= 0 else ""
    return f"{text}{usual}."


def _with_unit(value: float, limit: LimitSpec) -> str:
    if limit.unit == "width/height":
        return f"{value:g}"
    return f"{value:g}{'' if limit.unit == '°' else ' '}{limit.unit}"


def _paragraph(text: str) -> str:
    return fill(text, WIDTH)
