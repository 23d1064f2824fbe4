"""Labels that a good network speaks against: what to review, the strongest evidence first."""

from collections.abc import Iterator

from mahtdiag.diagnosis.suspicious_labels import SuspiciousLabel, SuspiciousLabels
from mahtdiag.reports.rendering import Json
from mahtdiag.reports.tables.table import NAME_WIDTH, Part, TableColumn, short_name, table
from mahtdiag.reports.text import counted, number, sigmas
from mahtdiag.schema.skeleton import Skeleton

MOST_ROWS = 12


def suspicious_parts(
    found: SuspiciousLabels, skeleton: Skeleton, wider: int, most: int = MOST_ROWS
) -> Iterator[Part]:
    """Nothing where the network is not good enough to say anything, or speaks against no label."""
    if not found.labels:
        return
    shown = found.labels[:most]
    name_width = NAME_WIDTH + wider // 2
    yield table(
        f"Suspicious labels: {counted(len(found.labels), 'image')} to review, by what the network says",
        ("image", "evidence", TableColumn("why", wraps="words")),
        (
            (short_name(label.image, name_width), number(label.evidence), why(label, skeleton))
            for label in shown
        ),
        note="Never certain: label or network is wrong. Evidence: natural logarithm of how much less likely "
        f"the label is, learned from {found.trusted} images on which the network is right. To correct them "
        "in an annotation tool: mahtdiag export RUN --suspicious N.",
    )


def why(label: SuspiciousLabel, skeleton: Skeleton) -> str:
    """The reason in words."""
    if label.keypoint is None:
        side = "lower" if label.shift > 0 else "higher"
        return f"every vertebra fits the label of the next {side} one: is a level left out or counted twice?"
    name = skeleton.keypoint_names[label.keypoint]
    return f"{name} lies {sigmas(label.sigmas)} σ from a prediction that fits elsewhere"


def suspicious_content(found: SuspiciousLabels, skeleton: Skeleton) -> dict[str, Json]:
    """The same for programs: `reason` says why nothing is said, null where the network is good enough."""
    return {
        "trusted_images": found.trusted,
        "reason": found.reason,
        "images": [
            {
                "image": label.image,
                "evidence": label.evidence,
                "kind": "levels" if label.keypoint is None else "corner",
                "keypoint": None if label.keypoint is None else skeleton.keypoint_names[label.keypoint],
                "sigmas": None if label.keypoint is None else label.sigmas,
                "shift": label.shift,
                "reason": why(label, skeleton),
            }
            for label in found.labels
        ],
    }
