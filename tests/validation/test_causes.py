"""The study of sentences that name a cause, in short."""

import pytest

from validation.causes import BETTER, EVEN, decoding


@pytest.mark.parametrize("patients", [False, True])
def test_no_other_way_to_decode_without_reason(patients: bool) -> None:
    # 2.5 % at most; beyond 6 of 80 lies chance of less than one in a hundred.
    assert decoding(50, 80, EVEN, patients).hits <= 6


def test_another_way_to_decode_with_reason() -> None:
    assert decoding(50, 20, BETTER, patients=False).value >= 0.9
