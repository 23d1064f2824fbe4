"""HTML for notebooks. Whatever a name holds, it is shown and does nothing."""

from collections.abc import Iterable, Sequence
from html import escape

from mahtdiag.schema.safe_text import one_line, safe_lines


def html_text(text: object) -> str:
    """A text on one line, escaped."""
    return escape(one_line(str(text)))


def html_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table, every cell escaped; it has the colours of the page."""
    head = "".join(f"<th>{html_text(name)}</th>" for name in columns)
    body = "".join(f"<tr>{''.join(f'<td>{html_text(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def html_lines(text: str) -> str:
    """Lines as they are, escaped."""
    return f"<pre>{escape(safe_lines(text))}</pre>"
