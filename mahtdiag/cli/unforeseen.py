"""Errors that nothing has foreseen, in one line: what the machine lacks, or a defect of ours."""

import errno
import re
import sys
from collections.abc import Iterator, Sequence
from typing import Final

DEBUG: Final = "MAHTDIAG_DEBUG"
LONGEST: Final = 200
# What PyTorch, OpenCV, C++ and the loader of libraries say.
_NO_MEMORY: Final = re.compile(
    r"DefaultCPUAllocator|can(no|')t allocate memory|out of memory|insufficient memory|bad_alloc"
    r"|failed to map segment|can't start new thread|ALLOC_FAILED",
    re.IGNORECASE,
)
_MORE: Final = "free some memory, or use a machine that has more"
LESS: Final = {
    "evaluate": f"give a smaller --batch-size and fewer --workers, or {_MORE}",
    "anatomy": f"leave out plots and overlays with --no-pictures, or {_MORE}",
    "calibration": f"leave out plots with --no-pictures, or {_MORE}",
    "report": f"show fewer images with --images, or {_MORE}",
}
"""What takes less memory, by command."""


def in_one_line(error: BaseException, arguments: Sequence[str] | None = None) -> str:
    """What has ended the command that was typed with these arguments, and what to do."""
    from mahtdiag.runs.files import NO_SPACE

    said = f"{type(error).__name__}: {error}"
    if is_out_of_memory(error):
        typed = sys.argv[1:] if arguments is None else arguments
        command = next((word for word in typed if not word.startswith("-")), "")
        first = " ".join(said.split())[:LONGEST].removesuffix(": ").removesuffix(":")
        return f"error: out of memory ({first}); {LESS.get(command, _MORE)}"
    if isinstance(error, OSError) and error.filename is None and error.errno in NO_SPACE:
        # Of help, which the parser prints by itself.
        return f"error: what was asked for cannot be written ({error.strerror}); direct it elsewhere"
    return f"internal error: {said}"


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory is what was lacking, in whatever words a library says so."""
    return any(
        isinstance(each, MemoryError)
        or (isinstance(each, OSError) and each.errno == errno.ENOMEM)
        or (isinstance(each, RuntimeError | ImportError | OSError) and _NO_MEMORY.search(str(each)))
        or (type(each).__name__ == "error" and _NO_MEMORY.search(str(each)))
        for each in _chain(error)
    )


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error and those that have led to it."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__
