"""How much memory and time an ONNX graph may take: it comes without trust, and asks for what it likes."""

import re
from collections.abc import Callable
from concurrent.futures import Future, wait
from functools import cache
from pathlib import Path
from threading import Thread
from typing import Any, Final, TypeVar

from mahtdiag.opening import read_head

Result = TypeVar("Result")

LOAD_SECONDS: Final = 600.0
RUN_SECONDS: Final = 300.0
"""What loading a graph may take, and running it for each image of a batch."""
_STOP_SECONDS: Final = 10.0
_LEAST_BYTES: Final = 2**30
_USUAL_BYTES: Final = 2**35
_MEMINFO: Final = Path("/proc/meminfo")
_AVAILABLE: Final = re.compile(r"^MemAvailable:\s+(\d+) kB", re.MULTILINE)
# The highest share and the present use of a container's memory, by version of control groups.
_CONTAINERS: Final = (
    (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")),
    (
        Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
        Path("/sys/fs/cgroup/memory/memory.usage_in_bytes"),
    ),
)
_REFUSED: Final = re.compile(r"Available memory of \d+ is smaller than requested bytes of (\d+)")


class GraphTimeoutError(RuntimeError):
    """A graph that was not done in time."""


def free_bytes() -> int:
    """The memory that this machine and its container have free, at least 1 GiB; 32 GiB where nobody says."""
    found = _AVAILABLE.search(_text(_MEMINFO))
    free = [int(found[1]) * 1024] if found else []
    for most, used in _CONTAINERS:
        numbers = [_text(most).strip(), _text(used).strip()]
        if all(number.isdigit() for number in numbers):
            free.append(int(numbers[0]) - int(numbers[1]))
    return max(_LEAST_BYTES, min(free, default=_USUAL_BYTES))


def _text(path: Path) -> str:
    try:
        return read_head(path, 4096).decode("ascii", "replace")
    except OSError:
        return ""


@cache
def bounded_memory(library: Any) -> int:
    """Let all graphs of this process take what is free and no more; how much that is."""
    most = free_bytes()
    place = library.OrtMemoryInfo(
        "Cpu", library.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, library.OrtMemType.DEFAULT
    )
    library.create_and_register_allocator(place, library.OrtArenaCfg(most, -1, -1, -1))
    return most


def asked_bytes(message: str) -> int | None:
    """What a graph asked for beyond that, in the words of onnxruntime; None where it says another thing."""
    found = _REFUSED.search(message)
    return int(found[1]) if found else None


def within(seconds: float, work: Callable[[], Result], stop: Callable[[], None] | None = None) -> Result:
    """What `work` returns or raises, in a thread of its own that nothing waits for longer.

    `stop` asks it to end. Raises GraphTimeoutError; a thread that goes on is left behind.
    """
    future: Future[Result] = Future()

    def fulfil() -> None:
        try:
            future.set_result(work())
        except BaseException as error:  # raised where it is waited for
            future.set_exception(error)

    Thread(target=fulfil, name="graph", daemon=True).start()
    if not wait([future], seconds).done:
        if stop is not None:
            stop()
            wait([future], _STOP_SECONDS)
        raise GraphTimeoutError(f"not done within {seconds:g} seconds")
    return future.result()
