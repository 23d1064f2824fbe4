"""How users name a normalisation: `unit`, `imagenet` or `MEAN/STD`."""

import math

from mahtdiag.errors import UsageError
from mahtdiag.schema.model_spec import IMAGENET, UNIT, Normalization


def parse_normalization(text: str) -> Normalization:
    """`unit`, `imagenet`, or `0.45/0.22`, three comma-separated values a side for three channels.

    Means and deviations are on the 0..1 scale. Raises UsageError for anything else.
    """
    named = {UNIT.name: UNIT, IMAGENET.name: IMAGENET}.get(text)
    if named is not None:
        return named
    try:
        mean, std = (tuple(float(part) for part in side.split(",")) for side in text.split("/"))
    except ValueError:
        mean, std = (), ()
    usable = len(mean) == len(std) and len(mean) in (1, 3) and all(map(math.isfinite, mean + std))
    if not usable or any(value <= 0 for value in std):
        raise UsageError(
            f"normalisation {text!r} is not known: use unit, imagenet, or MEAN/STD on the 0..1 scale, "
            "for example 0.45/0.22 or 0.4,0.4,0.4/0.2,0.2,0.2"
        )
    return Normalization(text, mean, std)
