"""The one place that writes results to standard output."""

import ctypes
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from typing import TYPE_CHECKING

from mahtdiag.errors import MahtdiagError
from mahtdiag.models.conduct import open_stream

if TYPE_CHECKING:
    from mahtdiag.reports.rendering import Result
    from mahtdiag.workflows.progress import Progress

_STDOUT, _STDERR = 1, 2
IN_ACTIONS = "GITHUB_ACTIONS"


def write_result(result: "Result", output_format: str, kept_in: str) -> None:
    """Write what a command has found in one of the formats and see it through, as `write_bytes` does."""
    from mahtdiag.reports import rendering

    rendered = rendering.named(rendering.FORMATS, output_format).render(result)
    if isinstance(rendered, bytes):
        write_bytes(rendered, kept_in)
    else:
        write_text(defused(rendered), kept_in)


def progress_shown() -> "Progress":
    """Progress on standard error: a bar on a terminal, lines elsewhere."""
    from rich.console import Console

    from mahtdiag.reports.progress import progress_for

    return progress_for(Console(stderr=True))


def tell(line: str) -> None:
    """One line on standard error, whatever a file name in it holds."""
    print(defused(" ".join(line.splitlines())), file=sys.stderr)  # noqa: T201


def defused(text: str) -> str:
    """Text in which GitHub Actions finds no command, whatever a file name holds; elsewhere as it is.

    Its runner obeys lines that begin with `::`, and `##[` anywhere in a line.
    """
    if os.environ.get(IN_ACTIONS) != "true":
        return text
    return re.sub(r"^(\s*):(?=:)|#(?=#\[)", _as_escape, text, flags=re.MULTILINE)


def _as_escape(found: "re.Match[str]") -> str:
    return f"{found[1] or ''}\\x{ord(found[0][-1]):02x}"


def write_text(text: str, kept_in: str) -> None:
    """Write text in the encoding of standard output, with escapes for the signs that it lacks."""
    write_bytes(text.encode(sys.stdout.encoding or "utf-8", "backslashreplace"), kept_in)


def write_bytes(content: bytes, kept_in: str) -> None:
    """Write a result as it is and see it through; a reader that has read enough (`| head`) is no error.

    Raises MahtdiagError where it cannot be written, naming the place that keeps it.
    """
    try:
        sys.stdout.flush()
        sys.stdout.buffer.write(content)
        sys.stdout.flush()
    except BrokenPipeError:
        _discard()
    except OSError as error:
        _discard()
        raise MahtdiagError(
            f"standard output: cannot be written ({error.strerror or error}); the result is kept in {kept_in}"
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
