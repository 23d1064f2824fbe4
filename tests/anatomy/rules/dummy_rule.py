"""A rule that the product does not have, to see it arrive wherever rules arrive."""

import sys
from collections.abc import Mapping

import numpy as np
import pytest

from mahtdiag.anatomy import rules
from mahtdiag.anatomy.geometry import Geometry
from mahtdiag.anatomy.limit import Fires, LimitSpec
from mahtdiag.anatomy.rule import Places, Quantity, Rule, Shape, Sign, Sketch, Spine, amount
from mahtdiag.schema.records import Finding, RuleGroup


def _width(geometry: Geometry, limits: Mapping[str, float]) -> tuple[Quantity, ...]:
    """Width of a body over the median width."""
    return (
        Quantity(
            "A999", geometry.widths / geometry.of_bodies(geometry.width), Places.bodies(geometry.skeleton)
        ),
    )


def _sentence(finding: Finding, limit: LimitSpec) -> str:
    return f"{amount(finding.value)} widths, usual {amount(limit.typical)}: a dummy"


def _sketch(spine: Spine, finding: Finding) -> Sketch:
    corners = spine.corners(spine.vertebra(finding))
    return Sketch(Sign.LENGTH, ((Shape.RING, corners),), corners.mean(axis=0, keepdims=True))


DUMMY = Rule(
    code="A999",
    group=RuleGroup.SHAPE,
    title="body as wide as a dummy",
    meaning="A rule that is registered in a test alone.",
    formula="width / median width",
    limits=(LimitSpec("A999", "widths", Fires.ABOVE, 1.5, 2.5, 1.0, "Made up.", possible=(0.0, np.inf)),),
    measure=_width,
    sentence=_sentence,
    sketch=_sketch,
)


def register(monkeypatch: pytest.MonkeyPatch, rule: Rule = DUMMY) -> None:
    """The rule stands at the end of the table for the rest of the test, as if it were written there."""
    table = rules.RULES
    for module in list(sys.modules.values()):
        if module.__name__.startswith("mahtdiag.") and getattr(module, "RULES", None) is table:
            monkeypatch.setattr(module, "RULES", (*table, rule))
    monkeypatch.setitem(rules.RULE_BY_CODE, rule.code, rule)
    for limit in rule.limits:
        monkeypatch.setitem(rules.LIMIT_BY_KEY, limit.key, limit)
