"""Progress for whoever waits: a bar with rate and time left on a terminal, plain lines elsewhere."""

import time
from collections.abc import Callable

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from mahtdiag.reports.ci.defused import defused
from mahtdiag.schema.safe_text import one_line

SECONDS_BETWEEN_LINES = 5.0


class _RateColumn(ProgressColumn):
    def render(self, task: Task) -> Text:
        """Images per second."""
        return Text(f"{task.speed:.1f}/s" if task.speed else "–/s")


class TerminalProgress:
    """A bar on the standard error stream of a terminal."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._progress: Progress | None = None
        self._task = TaskID(0)

    def start(self, task: str, total: int, done: int = 0) -> None:
        """Show a new bar; the one before it ends."""
        self.stop()
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            _RateColumn(),
            TimeRemainingColumn(),
        )
        self._progress = Progress(*columns, console=self._console, transient=True)
        self._task = self._progress.add_task(_safe(task), total=total, completed=done)
        self._progress.start()

    def advance(self, steps: int) -> None:
        """Move the bar."""
        if self._progress is not None:
            self._progress.advance(self._task, steps)

    def stop(self) -> None:
        """Take the bar away."""
        if self._progress is not None:
            self._progress.stop()
            self._progress = None

    def note(self, text: str) -> None:
        """A line above the bar."""
        self._console.print(Text(_safe(f"note: {text}")))


class PlainProgress:
    """Lines without colour or control characters, a few per run."""

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = console
        self._clock = clock
        self._task, self._total, self._done, self._before = "", 0, 0, 0
        self._started = self._last = 0.0

    def start(self, task: str, total: int, done: int = 0) -> None:
        """Remember what is counted."""
        self._task, self._total, self._done, self._before = task, total, done, done
        self._started = self._last = self._clock()

    def advance(self, steps: int) -> None:
        """A line every few seconds and at the end."""
        self._done += steps
        now = self._clock()
        if self._done < self._total and now - self._last < SECONDS_BETWEEN_LINES:
            return
        self._last = now
        rate = (self._done - self._before) / max(now - self._started, 1e-9)
        left = (self._total - self._done) / rate if rate else 0.0
        self._line(f"{self._task}: {self._done}/{self._total}, {rate:.1f}/s, {left:.0f} s left")

    def stop(self) -> None:
        """Nothing to take away."""

    def note(self, text: str) -> None:
        """A line of its own."""
        self._line(f"note: {text}")

    def _line(self, text: str) -> None:
        self._console.print(Text(_safe(text)), soft_wrap=True)


def _safe(text: str) -> str:
    """What is told, on one line, whatever a file name in it holds."""
    return defused(one_line(text))


def progress_on_stderr() -> TerminalProgress | PlainProgress:
    """Progress for whoever looks at standard error."""
    return progress_for(Console(stderr=True))


def progress_for(console: Console) -> TerminalProgress | PlainProgress:
    """The kind that suits the console."""
    return TerminalProgress(console) if console.is_terminal else PlainProgress(console)
