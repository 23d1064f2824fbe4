"""Progress: a bar on terminals, plain lines with rate and time left elsewhere."""

import io

from rich.console import Console

from mahtdiag.reports.progress import PlainProgress, TerminalProgress, progress_for


def test_plain_lines_tell_rate_and_time_left() -> None:
    stream, now = io.StringIO(), [0.0]
    progress = PlainProgress(Console(file=stream, width=40), clock=lambda: now[0])
    progress.start("evaluating", 10, done=2)
    now[0] = 1.0
    progress.advance(2)
    now[0] = 6.0
    progress.advance(2)
    now[0] = 8.0
    progress.advance(4)
    progress.note("a [bold]name[/bold] that is not markup and longer than the console is wide")
    assert stream.getvalue().splitlines() == [
        "evaluating: 6/10, 0.7/s, 6 s left",
        "evaluating: 10/10, 1.0/s, 0 s left",
        "note: a [bold]name[/bold] that is not markup and longer than the console is wide",
    ]


def test_bar_shows_count_rate_and_time_left() -> None:
    stream = io.StringIO()
    console = Console(file=stream, width=80, force_terminal=True, color_system=None)
    progress = progress_for(console)
    assert isinstance(progress, TerminalProgress)
    progress.start("evaluating", 4)
    progress.advance(3)
    progress.stop()
    progress.stop()
    shown = stream.getvalue()
    assert "evaluating" in shown
    assert "3/4" in shown
    assert "/s" in shown


def test_plain_where_there_is_no_terminal() -> None:
    assert isinstance(progress_for(Console(file=io.StringIO())), PlainProgress)
