"""What may be answered: one short line for each problem."""

import unicodedata
from typing import Final

from mahtdiag.errors import MahtdiagError

LONGEST_LINE: Final = 1000


class OddAnswerError(Exception):
    """An answer that no user should see: of several lines, endless, or keypoints that are none."""


def refused(error: MahtdiagError) -> str:
    """The word for it, once each problem was found to be one line. Raises OddAnswerError."""
    if not error.problems:
        raise OddAnswerError("an error without a word")
    for problem in error.problems:
        require_line(problem)
    return "refused"


def require_line(line: str) -> None:
    """Raise OddAnswerError for what is not one short line."""
    odd = any(unicodedata.category(sign) in ("Cc", "Cs", "Zl", "Zp") for sign in line)
    if odd or not line.strip() or len(line) > LONGEST_LINE:
        raise OddAnswerError(f"not one short line: {line[:200]!r} ({len(line)} characters)")
