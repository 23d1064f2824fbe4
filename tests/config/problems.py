"""What an action has to say about its input."""

from collections.abc import Callable

from mahtdiag.errors import UsageError


def problems_of(action: Callable[[], object]) -> tuple[str, ...]:
    """The problems of a UsageError; each of them is one line."""
    try:
        action()
    except UsageError as error:
        assert all(problem and "\n" not in problem for problem in error.problems)
        return error.problems
    raise AssertionError("no UsageError was raised")
