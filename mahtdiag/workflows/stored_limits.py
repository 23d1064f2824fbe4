"""The anatomical limits that a run was judged by, read back without a network or a GPU in sight."""

from mahtdiag.anatomy.limits import Limits
from mahtdiag.runs.document import RunDocument


def stored_limits(document: RunDocument) -> Limits:
    """The limits of a run; the defaults where its document holds none."""
    stored = document.settings.get("anatomy_limits")
    values = {str(k): float(str(v)) for k, v in stored.items()} if isinstance(stored, dict) else None
    return Limits.of(document.view, values)
