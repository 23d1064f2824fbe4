"""The study of subgroups in short."""

from validation.subgroups import figures_of


def test_groups_are_told_to_differ_only_with_a_reason() -> None:
    found = figures_of(128, 40, factors=(3.0,))
    assert found.worse <= 0.1
    assert found.better <= 0.1
    assert found.power[3.0] >= 0.7
