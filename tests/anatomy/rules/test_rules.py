"""The table of rules, its selection and its limits."""

import numpy as np
import pytest

from mahtdiag.anatomy.geometry import measure_geometry
from mahtdiag.anatomy.limit import Fires
from mahtdiag.anatomy.rules import LIMIT_BY_KEY, RULES, Limits, get_rule, limits_for, select_rules
from mahtdiag.errors import UsageError
from mahtdiag.schema.records import RuleGroup
from mahtdiag.schema.skeleton import Skeleton, View
from tests.anatomy.spines import ANY_SKELETON, straight_spine


def test_codes_are_permanent() -> None:
    """Renaming or dropping a code breaks the scripts of others."""
    assert [rule.code for rule in RULES] == [
        *("A101", "A102", "A103"),
        *("A201", "A202", "A203"),
        *("A301", "A302"),
        *("A401", "A402", "A403", "A404", "A405"),
        "A501",
        *("A601", "A602", "A603"),
    ]


def test_groups_follow_the_codes() -> None:
    assert [list(RuleGroup).index(rule.group) + 1 for rule in RULES] == [int(rule.code[1]) for rule in RULES]


def test_every_rule_explains_itself() -> None:
    for rule in RULES:
        assert rule.title
        assert rule.meaning.endswith(".")
        assert rule.formula
        assert rule.limits
        for limit in rule.limits:
            assert limit.key.split("-")[0] == rule.code
            assert limit.origin.endswith(".")
            assert limit.unit


@pytest.mark.parametrize("view", View)
def test_an_ordinary_value_is_on_the_good_side_of_its_limit(view: View) -> None:
    for limit in LIMIT_BY_KEY.values():
        good = limit.typical < limit.default(view)
        assert good == (limit.fires is Fires.ABOVE)
        assert limit.spread(view) > 0


@pytest.mark.parametrize("skeleton", ANY_SKELETON)
def test_every_check_measures_the_limits_of_its_rule(skeleton: Skeleton) -> None:
    geometry = measure_geometry(straight_spine(skeleton)[None], skeleton, np.array([[1000.0, 1000.0]]))
    for rule in RULES:
        keys = {measure.key for measure in rule.measure(geometry, Limits.of(skeleton).values)}
        expected = {limit.base for limit in limits_for(skeleton, [rule])}
        assert keys == expected - (set() if skeleton.last_endplate else {"A202-S1", "A203-S1"})


@pytest.mark.parametrize(
    ("select", "ignore", "codes"),
    [
        ([], [], [rule.code for rule in RULES]),
        (["A1"], [], ["A101", "A102", "A103"]),
        (["a3", "A101"], [], ["A101", "A301", "A302"]),
        (["A1", "A3"], ["A302", "A10"], ["A301"]),
        ([], ["A1", "A2", "A3", "A4", "A5", "A601", "A602"], ["A603"]),
        (["A"], ["A1", "A2", "A4", "A5", "A6"], ["A301", "A302"]),
    ],
)
def test_selection(select: list[str], ignore: list[str], codes: list[str]) -> None:
    assert [rule.code for rule in select_rules(select, ignore)] == codes


def test_unknown_codes_name_the_nearest() -> None:
    with pytest.raises(UsageError) as caught:
        select_rules(["A111", "A3", "B201", ""])
    assert caught.value.problems[0] == "select: no anatomical rule 'A111'. Did you mean A101?"
    assert "Did you mean A201?" in caught.value.problems[1]
    assert len(caught.value.problems) == 3
    with pytest.raises(UsageError, match="ignore: no anatomical rule 'A9'"):
        select_rules([], ["A9"])
    with pytest.raises(UsageError, match="Did you mean A402"):
        get_rule("A4O2")


def test_nothing_left_to_check() -> None:
    with pytest.raises(UsageError, match="no anatomical rule is left"):
        select_rules(["A1"], ["A1"])


def test_rule_by_code() -> None:
    assert get_rule("a301").group is RuleGroup.ASPECT_RATIO


def test_limits_are_per_view_and_can_be_replaced() -> None:
    assert Limits.of(View.AP)["A203"] < Limits.of(View.LA)["A203"]
    limits = Limits.of(View.AP, {"A201": 10.0, "A301-max": 5})
    assert (limits["A201"], limits["A301-max"], limits["A301-min"]) == (10.0, 5.0, 0.5)


def test_wrong_limits_are_named_all_at_once() -> None:
    with pytest.raises(UsageError) as caught:
        Limits.of(View.AP, {"A301": 3.0, "A201": float("nan"), "A302-height": 0.5})
    assert caught.value.problems == (
        "limit A301: unknown. Did you mean A301-min or A301-max?",
        "limit A201: nan is not a finite number; give a number in °.",
    )
