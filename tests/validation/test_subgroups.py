"""The study of subgroups in short."""

from validation.subgroups import figures_of, scanner_alone


def test_groups_are_told_to_differ_only_with_a_reason() -> None:
    found = figures_of(128, 40, factors=(3.0,))
    assert found.worse <= 0.1
    assert found.better <= 0.1
    assert found.power[3.0] >= 0.7


def test_patients_with_more_images_and_larger_errors_make_no_scanner_better() -> None:
    """Patients of unlike numbers of images who changed places would make it 4 % better, 1.4 % worse."""
    worse, better = scanner_alone(50, 600)
    assert worse <= 0.04
    assert better <= 0.04
