"""What a run has to say, in plain sentences: the same ones wherever they are read."""

from collections.abc import Iterator

from mahtdiag.diagnosis.anatomy import AnatomyReport
from mahtdiag.diagnosis.metrics.error_units import ErrorUnit
from mahtdiag.diagnosis.metrics.errors import MISS_RATE
from mahtdiag.diagnosis.numbers import RunNumbers
from mahtdiag.reports.tables.errors import missed_note
from mahtdiag.reports.tables.evaluation import level_shift_line
from mahtdiag.reports.text import counted, interval, percent, pixels
from mahtdiag.schema.setup import SetupEntry


def setup_sentence(entry: SetupEntry) -> str:
    """What a check of the set-up found, and what to do."""
    advice = f" → {entry.advice}" if entry.advice else ""
    return f"{entry.check}: {entry.evidence}{advice}"


def label_sentence(anatomy: AnatomyReport, unread: int) -> str:
    """What judging labels found: those that are suspicious, copies, and what could not be read."""
    verdict = anatomy.verdict
    of = counted(len(verdict.images), "label")
    verb = "breaks" if verdict.violating == 1 else "break"
    share = f" ({percent(verdict.share_violating)})" if verdict.violating else ""
    said = [f"{verdict.violating:,} of {of}{share} {verb} a rule of anatomy"]
    copies = 0 if anatomy.copies is None else len({pair.image for pair in anatomy.copies.pairs})
    if copies:
        said.append(f"{counted(copies, 'image')} {'is a copy' if copies == 1 else 'are copies'} of another")
    if unread:
        said.append(f"{counted(unread, 'image')} could not be judged")
    return f"{'; '.join(said)}."


def finding_sentences(
    numbers: RunNumbers, anatomy: AnatomyReport, unit: ErrorUnit, sigma_verdict: str | None
) -> Iterator[str]:
    """How large errors are, what is impossible, what all predictions share, which labels are doubted, σ."""
    if numbers.table.labelled:
        yield _error_sentence(numbers, unit)
    rate = numbers.get(MISS_RATE)
    if rate is not None and rate.value:
        yield missed_note(numbers)
    yield _violations(anatomy)
    found = anatomy.diagnosis
    if found is not None:
        if bool((numbers.table.level_shift != 0).any()):
            yield level_shift_line(numbers.table).text.strip().rstrip(".") + "."
        yield from filter(None, (found.sentence, found.bodies_sentence))
        if found.suspicious is not None and found.suspicious.labels:
            count = len(found.suspicious.labels)
            yield (
                f"{counted(count, 'label')} to review: the network speaks against "
                f"{'it' if count == 1 else 'them'} (mahtdiag export RUN --suspicious {count})."
            )
    if sigma_verdict:
        yield sigma_verdict


def _error_sentence(numbers: RunNumbers, unit: ErrorUnit) -> str:
    mean, rate = numbers.get(f"radial_error_{unit.key}.mean"), unit.thresholds[len(unit.thresholds) // 2]
    if mean is None:
        return "No keypoint has both a label and a prediction."
    within = numbers.get(f"sdr_{unit.key}.{rate:g}")
    ends = f" (95 %: {interval(mean.ci95)})" if mean.ci95 else ""
    found = (
        "" if within is None else f"; {percent(within.value)} of keypoints lie within {rate:g} {unit.words}"
    )
    return f"The mean radial error is {pixels(mean.value)} {unit.words}{ends}{found}."


def _violations(anatomy: AnatomyReport) -> str:
    verdict = anatomy.verdict
    of = counted(len(verdict.images), "spine")
    share = f"{verdict.violating:,} of {of} ({percent(verdict.share_violating)})"
    verb = "is" if verdict.violating == 1 else "are"
    labels = verdict.label_violating
    breaks = "breaks" if labels == 1 else "break"
    beside = "" if not labels else f"; {labels:,} of their labels {breaks} a rule of anatomy"
    return f"{share} {verb} anatomically impossible{beside}."
