"""What an action has to say about its input."""

from collections.abc import Callable

import pytest

from mahtdiag.errors import UsageError


def problems_of(action: Callable[[], object]) -> tuple[str, ...]:
    """The problems of a UsageError; each of them is one line."""
    with pytest.raises(UsageError) as caught:
        action()
    problems = caught.value.problems
    assert all(problem and "\n" not in problem for problem in problems)
    return problems
