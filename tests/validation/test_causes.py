"""The study of sentences that name a cause, in short."""

import pytest

from validation.causes import BETTER, EVEN, MISTAKES, decoding, shared


@pytest.mark.parametrize("patients", [False, True])
def test_no_other_way_to_decode_without_reason(patients: bool) -> None:
    # 2.5 % at most; beyond 6 of 80 lies chance of less than one in a hundred.
    assert decoding(50, 80, EVEN, patients).hits <= 6


def test_another_way_to_decode_with_reason() -> None:
    assert decoding(50, 20, BETTER, patients=False).value >= 0.9


@pytest.mark.parametrize("images", [20, 50])
def test_nothing_shared_is_named_where_there_is_nothing(images: int) -> None:
    assert shared(images, 60, 0.10, None).hits <= 4


@pytest.mark.parametrize("mistake", MISTAKES)
def test_what_is_shared_is_named(mistake: str) -> None:
    assert shared(50, 20, 0.05, mistake).value >= 0.9
