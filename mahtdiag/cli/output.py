"""The one place that prints: results to standard output, notes and errors to standard error.

Whatever a text holds, a terminal is shown it and obeys none of it (see `schema/safe_text.py`), and neither
does GitHub Actions. Colours are those of `reports/tables/table.py`, which lets no others in.
"""

import ctypes
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from typing import TYPE_CHECKING

from mahtdiag.errors import MahtdiagError
from mahtdiag.models.conduct import open_stream
from mahtdiag.reports.ci.defused import defused
from mahtdiag.schema.safe_text import safe_lines

if TYPE_CHECKING:
    from mahtdiag.reports.rendering import Result
    from mahtdiag.workflows.progress import Progress

_STDOUT, _STDERR = 1, 2
_LINE_END = re.compile(r"\r?\n")


def write_result(result: "Result", output_format: str, kept_in: str | None = None) -> None:
    """Write what a command has found in one of the formats and see it through, as `write_bytes` does."""
    from mahtdiag.reports import rendering

    rendered = rendering.named(rendering.FORMATS, output_format).render(result)
    if isinstance(rendered, bytes):
        write_bytes(rendered, kept_in)
    else:
        _write_encoded(defused(rendered), kept_in)


def progress_shown() -> "Progress":
    """Progress on standard error: a bar on a terminal, lines elsewhere."""
    from mahtdiag.reports.progress import progress_on_stderr

    return progress_on_stderr()


def tell(line: str) -> None:
    """One line on standard error, whatever a file name in it holds."""
    tell_lines(" ".join(_LINE_END.split(line)))


def tell_lines(text: str) -> None:
    """Lines on standard error, whatever a file name in them holds."""
    print(defused(safe_lines(text)), file=sys.stderr)  # noqa: T201


def tell_runner(commands: str) -> None:
    """Commands to the runner of GitHub Actions, one a line, their texts escaped as it wants them."""
    sys.stdout.flush()
    print(safe_lines(commands), end="", file=sys.stderr)  # noqa: T201


def write_text(text: str, kept_in: str | None = None) -> None:
    """Write lines of text, whatever a file name in them holds, and see them through as `write_bytes` does."""
    _write_encoded(defused(safe_lines(text)), kept_in)


def write_utf8(text: str, kept_in: str | None = None) -> None:
    """As `write_text`, in UTF-8 whatever the encoding of standard output is."""
    write_bytes(defused(safe_lines(text)).encode(), kept_in)


def _write_encoded(text: str, kept_in: str | None = None) -> None:
    """In the encoding of standard output, with escapes for the signs that it lacks."""
    write_bytes(text.encode(sys.stdout.encoding or "utf-8", "backslashreplace"), kept_in)


def write_bytes(content: bytes, kept_in: str | None = None) -> None:
    """Write a result as it is and see it through; a reader that has read enough (`| head`) is no error.

    Raises MahtdiagError where it cannot be written, naming the place that keeps it, if any does.
    """
    try:
        sys.stdout.flush()
        sys.stdout.buffer.write(content)
        sys.stdout.flush()
    except BrokenPipeError:
        _discard()
    except OSError as error:
        _discard()
        then = "direct it elsewhere" if kept_in is None else f"the result is kept in {kept_in}"
        raise MahtdiagError(
            f"standard output: cannot be written ({error.strerror or error}); {then}"
        ) from error


@contextmanager
def kept_for_the_result() -> Iterator[None]:
    """What is printed meanwhile, by Python, by libraries or by processes, goes to standard error."""
    kept = None
    with suppress(OSError):
        sys.stdout.flush()
        kept = os.dup(_STDOUT)
        os.dup2(_STDERR, _STDOUT)
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        with suppress(OSError, AttributeError):
            # What C code has printed and not written yet.
            ctypes.CDLL(None).fflush(None)
        if kept is not None:
            with suppress(OSError):
                os.dup2(kept, _STDOUT)
                os.close(kept)
        sys.stdout = open_stream(sys.stdout, _STDOUT)


def _discard() -> None:
    """Send what is still buffered to nowhere, so that the interpreter does not fail on it when it ends."""
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), sys.stdout.fileno())
