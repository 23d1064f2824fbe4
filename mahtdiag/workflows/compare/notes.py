"""What two runs do not have in common, in words: their data, their settings, and what that leaves out."""

from collections.abc import Iterator, Sequence

from mahtdiag.diagnosis.matching import Matching
from mahtdiag.reports.numbers import counted
from mahtdiag.runs.document import RunDocument
from mahtdiag.runs.settings import ANATOMY

NAMED = 3
# Settings of the network frame, in which losses are measured.
LOSS_FRAME = ("input_size", "heatmap_size", "resize", "coords", "heatmap_sigma", "loss")


def named(images: Sequence[str]) -> str:
    """`3 images: a.jpg, b.jpg, c.jpg`, the rest of many as a number."""
    more = f" and {len(images) - NAMED} more" if len(images) > NAMED else ""
    return f"{counted(len(images), 'image')}: {', '.join(images[:NAMED])}{more}"


def data_differences(
    a: str, b: str, matching: Matching, relabelled: Sequence[str], rescaled: Sequence[str]
) -> tuple[str, ...]:
    """One line for each way in which the data of runs `a` and `b` differ; empty where they are the same."""
    kinds = (
        (f"only in {a}", matching.only_a),
        (f"only in {b}", matching.only_b),
        ("another content under the same name", matching.changed),
        ("other labels", relabelled),
        ("another pixel spacing", rescaled),
    )
    return tuple(f"{kind}: {named(images)}" for kind, images in kinds if images)


def common_notes(differences: Sequence[str]) -> tuple[str, ...]:
    """What comparing in spite of these differences leaves out."""
    return tuple(
        f"{'without millimetres' if line.startswith('another pixel spacing') else 'left out'}, {line}"
        for line in differences
    )


def failure_notes(a: str, b: str, matching: Matching) -> tuple[str, ...]:
    """Images that were not evaluated in one of the runs or in both."""
    kinds = (
        (f"failed in {b} alone, which counts as worse", matching.failed_b),
        (f"failed in {a} alone, left out", matching.failed_a),
        ("failed in both, left out", matching.failed_both),
    )
    return tuple(f"{kind}: {named(images)}" for kind, images in kinds if images)


def setting_notes(a: str, b: str, documents: tuple[RunDocument, RunDocument]) -> Iterator[str]:
    """How the runs were made differently, and what that means for the numbers."""
    differing = documents[0].resolved.differing(documents[1].resolved)
    judged = [name for name in ANATOMY if differing.pop(name, None)]
    frame = [name for name in LOSS_FRAME if name in differing]
    told = [
        f"{name} {old} → {new}"
        for name, (old, new) in differing.items()
        if not isinstance(old, dict) and not isinstance(new, dict)
    ]
    if told:
        yield f"settings that differ: {', '.join(told)}"
    if frame:
        yield f"losses are not compared: they are measured in the network's frame, and {frame[0]} differs"
    if judged:
        yield f"violations of both are judged by the rules and limits of {a}, not of {b}"
    if documents[0].mahtdiag != documents[1].mahtdiag:
        yield f"{a} was written by mahtdiag {documents[0].mahtdiag}, {b} by {documents[1].mahtdiag}"


def has_same_loss_frame(a: RunDocument, b: RunDocument) -> bool:
    """Whether the losses of both runs are measured in the same frame and with the same parameters."""
    return a.resolved.differing(b.resolved).keys().isdisjoint(LOSS_FRAME)
