"""What a command leaves for a pipeline: JUnit and Markdown files, a step summary, annotations."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from mahtdiag.cli.options import OutputFormat
from mahtdiag.cli.output import tell, tell_runner, write_utf8
from mahtdiag.cli.unforeseen import in_one_line
from mahtdiag.errors import InterruptedRunError, MahtdiagError, UsageError
from mahtdiag.reports.ci.defused import IN_ACTIONS
from mahtdiag.runs.files import RUN_FILES, require_file, write_named
from mahtdiag.workflows.progress import keep_work

if TYPE_CHECKING:
    from mahtdiag.reports.ci.record import CiRecord

STDOUT = Path("-")
STEP_SUMMARY = "GITHUB_STEP_SUMMARY"
MOST_SUMMARY_BYTES = 1024 * 1024
UNFINISHED = "not finished: the command was killed, or is still running"


@contextmanager
def ci_results(
    command: str,
    junit: Path | None,
    markdown: Path | None,
    output_format: OutputFormat,
    run_folder: Path | None = None,
) -> "Iterator[CiResults]":
    """Around a command: whatever ends it, the files that were asked for say so.

    `run_folder`: a folder that the command needs empty. Raises UsageError for files that cannot be written.
    """
    results = CiResults(command, junit, markdown, output_format)
    results.begin(run_folder)
    try:
        yield results
    except typer.Exit:
        _require(results.end(()))
        raise
    except BaseException as error:
        for problem in results.end(_problems(error)):
            tell(f"error: {problem}")
        raise
    _require(results.end(()))


def _require(problems: tuple[str, ...]) -> None:
    if problems:
        raise UsageError(*problems)


def _problems(error: BaseException) -> tuple[str, ...]:
    """Why a command ended without a result."""
    if isinstance(error, InterruptedRunError):
        return (f"interrupted; {error} can be finished with --resume",)
    if isinstance(error, MahtdiagError):
        return error.problems
    if isinstance(error, KeyboardInterrupt):
        return ("interrupted",)
    return (in_one_line(error).removeprefix("error: "),)


class CiResults:
    """The files and streams that a pipeline reads, and what is to be told there."""

    def __init__(
        self, command: str, junit: Path | None, markdown: Path | None, output_format: OutputFormat
    ) -> None:
        files = {"--junit": junit, "--markdown": markdown}
        self._files = {option: path for option, path in files.items() if path is not None}
        self._require_different(output_format)
        summary = os.environ.get(STEP_SUMMARY)
        self._summary = Path(summary) if summary else None
        if summary and markdown is not None and markdown.resolve() == Path(summary).resolve():
            # It is added to, as other commands of the step do.
            del self._files["--markdown"]
        self._annotates = os.environ.get(IN_ACTIONS) == "true"
        self._command = command
        self._record: CiRecord | None = None
        self._started, self._clock = datetime.now(UTC), time.perf_counter()

    @property
    def take_stdout(self) -> bool:
        """Whether one of the files is standard output, which then has no room for tables."""
        return STDOUT in self._files.values()

    def begin_work(self) -> None:
        """Everything slow is imported: an interruption is to be told to whoever reads the files."""
        keep_work(self._wanted)

    def report(self, make: "Callable[[], CiRecord]") -> None:
        """Take the result; it is made only where somebody reads it."""
        if self._wanted:
            self._record = make()

    def begin(self, run_folder: Path | None) -> None:
        """Put `not finished` into the files, so that a killed command leaves no older success behind."""
        if not self._files:
            return
        unfinished = self._not_done((UNFINISHED,))
        for option, path in self._files.items():
            if path == STDOUT:
                continue
            require_file(option, path)
            needed_empty = run_folder is not None and path.resolve().is_relative_to(run_folder.resolve())
            # What is written into a device stays there.
            once = os.path.exists(path) and not os.path.isfile(path)
            if not needed_empty and not once:
                write_named(option, path, self._content(option, unfinished))

    def end(self, problems: tuple[str, ...]) -> tuple[str, ...]:
        """Write everything; `problems` say why there is no result. Returns what could not be written."""
        if not self._wanted:
            return ()
        record = self._record or self._not_done(problems)
        found: list[str] = []
        for option, path in self._files.items():
            try:
                if path == STDOUT:
                    write_utf8(self._content(option, record).decode())
                else:
                    write_named(option, path, self._content(option, record))
            except MahtdiagError as error:
                found += error.problems
        self._add_to_summary(record)
        self._annotate(record)
        return tuple(found)

    @property
    def _wanted(self) -> bool:
        return bool(self._files) or self._summary is not None or self._annotates

    def _require_different(self, output_format: OutputFormat) -> None:
        if len({path.resolve() for path in self._files.values()}) < len(self._files):
            raise UsageError(f"--junit and --markdown {self._files['--junit']}: name two files")
        for option, path in self._files.items():
            if path.name in RUN_FILES:
                raise UsageError(f"{option} {path}: the name of a run's own file; name another")
        if self.take_stdout and output_format is not OutputFormat.TABLE:
            option = next(option for option, path in self._files.items() if path == STDOUT)
            raise UsageError(f"{option} -: --format {output_format} has standard output; name a file")

    def _not_done(self, problems: tuple[str, ...]) -> "CiRecord":
        """What is told of a command that ended before it had a result."""
        from mahtdiag.reports.ci.record import CiRecord

        return CiRecord(self._command, problems=problems, failures_allowed=False)

    def _content(self, option: str, record: "CiRecord") -> bytes:
        from mahtdiag.reports import rendering

        timed = replace(record, started=self._started, seconds=time.perf_counter() - self._clock)
        renderer = rendering.named(rendering.PIPELINE, option.removeprefix("--"))
        return rendering.file_content(renderer, timed)

    def _add_to_summary(self, record: "CiRecord") -> None:
        """Add to the step summary; one that cannot be written costs the summary, not the result."""
        if self._summary is None:
            return
        content = self._content("--markdown", record)
        try:
            with self._summary.open("ab") as file:
                if file.tell() + len(content) >= MOST_SUMMARY_BYTES:
                    raise OSError(None, "it would be larger than 1 MiB")
                file.write(b"\n\n" + content if file.tell() else content)
        except OSError as error:
            tell(f"note: {STEP_SUMMARY} not written ({error.strerror or error})")

    def _annotate(self, record: "CiRecord") -> None:
        if not self._annotates:
            return
        from mahtdiag.reports.ci.github import annotation_lines

        tell_runner(annotation_lines(record))
