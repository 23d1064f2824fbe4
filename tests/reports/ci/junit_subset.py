"""What the JUnit schemas of Ant and of Jenkins have in common, as far as a test suite needs it.

Ant wants more attributes and a fixed order of elements, Jenkins allows fewer attributes: a file that keeps
to this is valid under both.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from xml.etree.ElementTree import Element

_WHOLE = r"\d+"
_SECONDS = r"\d{1,3}(\.\d*)?|\d{3,}(\.\d*)?"
# Space around a token is not part of it.
_TOKEN = r".*\S.*"
_ANY = r"(?s:.*)"
_SUITE = {
    "name": _TOKEN, "package": _TOKEN, "id": _WHOLE, "hostname": _TOKEN, "tests": _WHOLE, "failures": _WHOLE,
    "errors": _WHOLE, "skipped": _WHOLE, "time": _SECONDS,
    "timestamp": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d",
}  # fmt: skip


@dataclass(frozen=True)
class _Rule:
    """Required attributes with their patterns, and children as a pattern over `tag,tag,…,`."""

    attributes: Mapping[str, str]
    children: str = ""
    text: bool = False


_RULES = {
    "testsuites": _Rule({}, "(testsuite,)*"),
    "testsuite": _Rule(_SUITE, "properties,(testcase,)*system-out,system-err,"),
    "properties": _Rule({}, "(property,)*"),
    "property": _Rule({"name": _TOKEN, "value": _ANY}),
    "testcase": _Rule({"classname": _TOKEN, "name": _TOKEN, "time": _SECONDS}, "(failure,|error,|skipped,)?"),
    "failure": _Rule({"type": _ANY, "message": _ANY}, text=True),
    "error": _Rule({"type": _ANY, "message": _ANY}, text=True),
    "system-out": _Rule({}, text=True),
    "system-err": _Rule({}, text=True),
}


def problems(element: Element) -> list[str]:
    """Where a document departs from the subset; empty where it does not."""
    rule = _RULES.get(element.tag)
    if rule is None:
        return [f"{element.tag}: unknown element"]
    found = [f"{element.tag}: attributes {sorted(element.attrib)}"] * (
        set(element.attrib) != set(rule.attributes)
    )
    for name, pattern in rule.attributes.items():
        if not re.fullmatch(pattern, element.get(name, "")):
            found.append(f"{element.tag}: {name}={element.get(name)!r}")
    if not re.fullmatch(rule.children, "".join(f"{child.tag}," for child in element)):
        found.append(f"{element.tag}: children {[child.tag for child in element]}")
    if not rule.text and (element.text or "").strip():
        found.append(f"{element.tag}: text {element.text!r}")
    return [*found, *(problem for child in element for problem in problems(child))]
