"""All checks of the setup, in the order in which they are made and shown, and the headline above them."""

import warnings
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Final

import numpy as np

from mahtdiag.anatomy.error_types import label_widths_px
from mahtdiag.diagnosis.setup.check import Facts, SetupCheck
from mahtdiag.diagnosis.setup.explanations import Finding
from mahtdiag.diagnosis.setup.images import IMAGES
from mahtdiag.diagnosis.setup.labels import LABELS, TOGETHER
from mahtdiag.diagnosis.setup.network import NETWORK, READING
from mahtdiag.schema.numerals import pixels
from mahtdiag.schema.setup import CAUSE, SetupEntry, SetupStatus

CHECKS: Final[tuple[SetupCheck, ...]] = (*IMAGES, *NETWORK, *LABELS, *TOGETHER, *READING)
CHECK_BY_NAME: Final = {check.name: check for check in CHECKS}
RESULTS: Final = "results"
"""The entry that says whether the results can be what they seem; it leads the others."""

_OFF = (SetupStatus.WRONG, SetupStatus.WARNING)
# What moves no prediction by much.
_NO_CAUSE = ("images.copies", "images.colour", "network.peak_width", "network.uncertainty", "network.outputs")
_IMPOSSIBLE = 0.5
_WIDTHS = 0.5
_MOST = 0.5


def check_setup(facts: Facts) -> tuple[SetupEntry, ...]:
    """What every check says of these facts, and first of all whether the results are plausible."""
    entries: dict[str, SetupEntry] = {}
    with _nothing_known_is_nan():
        for check in CHECKS:
            outcome = check.outcome(facts, entries)
            if outcome is not None:
                entries[check.name] = SetupEntry(check.name, outcome.status, outcome.evidence, outcome.advice)
        of_results = () if not facts.predicted else (_results(facts, tuple(entries.values())),)
    return (*of_results, *entries.values())


@contextmanager
def _nothing_known_is_nan() -> Iterator[None]:
    """The mean of nothing is NaN without a warning: a keypoint may be unknown in every image of a set."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore", RuntimeWarning)
        yield


def refusals(facts: Facts, accepted: Collection[str]) -> tuple[str, ...]:
    """One line for each thing that cannot be meant and is not accepted: what, and what to do."""
    found = []
    with _nothing_known_is_nan():
        for check in CHECKS:
            outcome = None if check.name in accepted else check.outcome(facts, {})
            if outcome is not None and outcome.refused:
                found.append(
                    f"{check.name}: {outcome.evidence}; {outcome.advice}, or --accept {check.name} to go on"
                )
    return tuple(found)


def _results(facts: Facts, entries: tuple[SetupEntry, ...]) -> SetupEntry:
    """Implausible: errors beyond half a vertebra's width, impossible spines, a mistake that explains most."""
    table = facts.table
    if not len(table):
        return SetupEntry(RESULTS, SetupStatus.NOT_CHECKED, "no image was evaluated")
    reasons = []
    widths = label_widths_px(table.gt_px, table.skeleton)
    relative = table.error_px / np.where(widths > 0.0, widths, np.nan)
    if np.isfinite(relative).any():
        mean = float(np.nanmean(table.error_px))
        in_widths = mean / float(np.nanmedian(widths))
        if in_widths > _WIDTHS:
            reasons.append(f"mean error {pixels(mean)} px is {in_widths:.2g} times a vertebra's width")
    # A keypoint that is not predicted is missed, not impossible.
    impossible = float(table.findings.of_labels().fired().any(axis=1).mean())
    if impossible > _IMPOSSIBLE:
        reasons.append(f"{100 * impossible:.0f} % of the predicted spines are anatomically impossible")
    found = _explanation(facts, entries)
    if found is not None and found.error_px <= _MOST * found.before_px:
        reasons.append(
            f"one correction would remove most of the error ({pixels(found.before_px)} px, "
            f"{pixels(found.error_px)} px with it)"
        )
    if not reasons and not facts.labelled:
        said = f"no labels: of the predicted spines {100 * impossible:.0f} % are anatomically impossible"
        return SetupEntry(RESULTS, SetupStatus.NOT_CHECKED, said)
    if not reasons and not np.isfinite(relative).any():
        said = "no vertebra has a labelled width, which errors could be compared with"
        return SetupEntry(RESULTS, SetupStatus.NOT_CHECKED, said)
    if not reasons:
        return SetupEntry(RESULTS, SetupStatus.FINE, "errors are of a size that a network makes")
    cause = _likeliest(facts, entries)
    if cause is None:
        advice = "no check names a cause: look at the overlays, then at the network"
    else:
        advice = f"{CAUSE}{cause.check}: {cause.evidence}"
    return SetupEntry(RESULTS, SetupStatus.WRONG, "results are not plausible: " + "; ".join(reasons), advice)


def _explanation(facts: Facts, entries: tuple[SetupEntry, ...]) -> Finding | None:
    """What explains the errors, where its check could be made."""
    found = facts.explained.found
    if found is None:
        return None
    return next((found for e in entries if e.check == found.explanation.check and e.status in _OFF), None)


def _likeliest(facts: Facts, entries: tuple[SetupEntry, ...]) -> SetupEntry | None:
    """What explains most of the errors; else the first that is wrong, else the first that is doubtful."""
    found = _explanation(facts, entries)
    most = found is not None and found.error_px <= _MOST * found.before_px
    named = found.explanation.check if found is not None and most else None
    off = [entry for entry in entries if entry.status in _OFF and entry.check not in _NO_CAUSE]
    return min(off, key=lambda entry: (entry.check != named, _OFF.index(entry.status)), default=None)
