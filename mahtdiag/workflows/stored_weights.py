"""How a run weighs the parts of its loss, read back without the loss itself."""

from collections.abc import Mapping

from mahtdiag.runs.document import RunDocument
from mahtdiag.schema.choices import LOSS_WEIGHTS


def stored_weights(document: RunDocument) -> dict[str, float]:
    """The weights of a run by part; the published ones where its document does not say."""
    stored = document.settings.get("loss")
    given = stored if isinstance(stored, Mapping) else {}
    found = {part: given.get(f"lambda_{part}") for part in LOSS_WEIGHTS}
    return {
        part: float(weight) if isinstance(weight, int | float) else LOSS_WEIGHTS[part]
        for part, weight in found.items()
    }
