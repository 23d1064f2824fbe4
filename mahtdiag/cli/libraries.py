"""What Python and libraries tell by themselves on standard error: as safe for a terminal as what we tell."""

import logging
import sys
import traceback
import warnings
from types import TracebackType
from typing import TextIO

from mahtdiag.cli.output import tell_lines
from mahtdiag.schema.safe_text import safe_lines


class _Safe(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        """The message alone, as Python shows it where nobody has asked for logs."""
        return safe_lines(super().format(record))


def tell_safely() -> None:
    """From now on warnings, logs that nobody has asked for, and tracebacks show what they quote as text."""
    warnings.showwarning = _warned
    if logging.lastResort is not None:
        logging.lastResort.setFormatter(_Safe())
    sys.excepthook = _ended


def _warned(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    tell_lines(warnings.formatwarning(message, category, filename, lineno, line).rstrip("\n"))


def _ended(kind: type[BaseException], error: BaseException, where: TracebackType | None) -> None:
    tell_lines("".join(traceback.format_exception(kind, error, where)).rstrip("\n"))
