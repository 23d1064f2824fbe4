"""The study of sizes of vertebrae, in short."""

import pytest

from validation.bodies import rate


@pytest.mark.parametrize("patients", [False, True])
def test_nothing_is_said_of_a_right_size(patients: bool) -> None:
    assert rate(50, 80, 0.02, 1.0, patients=patients).hits <= 4


def test_a_wrong_size_is_named() -> None:
    assert rate(50, 25, 0.02, 0.98).value >= 0.9
