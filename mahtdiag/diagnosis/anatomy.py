"""The anatomical verdict on a set of images: what fired where, what mistakes predictions make and cost in
measurements."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, overload

import numpy as np
from numpy.typing import NDArray

from mahtdiag.anatomy.bodies import BodyErrors
from mahtdiag.anatomy.findings import Findings
from mahtdiag.anatomy.rules import Rule
from mahtdiag.anatomy.systematic import SystematicError, fit_pairs
from mahtdiag.anatomy.systematic_words import explain_bodies, explain_systematic_error
from mahtdiag.diagnosis.ambiguity import Ambiguity, ambiguity_of
from mahtdiag.diagnosis.body_errors import bodies_of, pairs_of
from mahtdiag.diagnosis.copies import CopySearch
from mahtdiag.diagnosis.gates import GateResult
from mahtdiag.diagnosis.measured import Measured, measure_run
from mahtdiag.diagnosis.metrics.angles import SMAPE
from mahtdiag.diagnosis.metrics.metric import Estimate
from mahtdiag.diagnosis.metrics.registry import metrics_of
from mahtdiag.diagnosis.numbers import estimate
from mahtdiag.diagnosis.run_table import RunTable
from mahtdiag.diagnosis.suspicious_labels import SuspiciousLabels, suspicious_labels
from mahtdiag.schema.choices import FacingSide
from mahtdiag.schema.records import Failure, Finding, RuleGroup
from mahtdiag.schema.setup import SetupEntry
from mahtdiag.schema.skeleton import Skeleton, View

if TYPE_CHECKING:
    from mahtdiag.diagnosis.label_noise import LabelNoise

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class JudgedImage:
    """One image: its severity and findings, and those of its label (empty where labels are judged)."""

    image: str
    severity: float
    findings: tuple[Finding, ...]
    label_findings: tuple[Finding, ...]

    @property
    def codes(self) -> tuple[str, ...]:
        """The codes that fired, each once."""
        return tuple(dict.fromkeys(finding.code for finding in self.findings))

    @property
    def label_codes(self) -> tuple[str, ...]:
        """The codes that fired in the label."""
        return tuple(dict.fromkeys(finding.code for finding in self.label_findings))


_IN_WORDS_AT_ONCE = 1000


class JudgedImages(Sequence[JudgedImage]):
    """The judged images, most suspicious first, each put together when it is asked for."""

    def __init__(self, names: Sequence[str], findings: Findings, of_labels: Findings | None) -> None:
        self._names, self._findings, self._of_labels = names, findings, of_labels
        self._severity = findings.image_severity()
        by_name = np.array(sorted(range(len(names)), key=names.__getitem__), dtype=np.int64)
        self._order = by_name[np.argsort(-self._severity[by_name], kind="stable")]

    def __len__(self) -> int:
        return len(self._order)

    @overload
    def __getitem__(self, place: int) -> JudgedImage: ...
    @overload
    def __getitem__(self, place: slice) -> tuple[JudgedImage, ...]: ...
    def __getitem__(self, place: int | slice) -> JudgedImage | tuple[JudgedImage, ...]:
        rows = self._order[place]
        return self._of(rows) if isinstance(place, slice) else self.of_row(int(rows))

    def __iter__(self) -> Iterator[JudgedImage]:
        for first in range(0, len(self), _IN_WORDS_AT_ONCE):
            yield from self[first : first + _IN_WORDS_AT_ONCE]

    def of_row(self, row: int) -> JudgedImage:
        """The image that was given at this place."""
        return self._of(np.array([row]))[0]

    def _of(self, rows: NDArray[np.int64]) -> tuple[JudgedImage, ...]:
        found = self._findings.of_images(rows)
        in_labels = self._of_labels.of_images(rows) if self._of_labels is not None else ((),) * len(rows)
        return tuple(
            JudgedImage(self._names[row], float(self._severity[row]), ours, labels)
            for row, ours, labels in zip(rows.tolist(), found, in_labels, strict=True)
        )


@dataclass(frozen=True, slots=True)
class RuleTally:
    """How often one rule fired: images, findings and blamed keypoints, and the worst case of all.

    `label_images`: images whose label breaks the rule, None where labels are what is judged.
    """

    rule: Rule
    images: int
    findings: int
    keypoints: int
    worst: Finding | None
    worst_image: str | None
    label_images: int | None


@dataclass(frozen=True, slots=True)
class AnatomyVerdict:
    """Findings in N images of one skeleton: every image, most suspicious first, and a tally of every rule.

    `violating`: images in which anything fired, which are the first of `images`; `label_violating` the same
    for the labels, None where labels are what is judged. `by_group`, `label_by_group`: images in which a rule
    of a group fired.
    """

    skeleton: Skeleton
    images: JudgedImages
    tallies: tuple[RuleTally, ...]
    violating: int
    label_violating: int | None
    by_group: Mapping[RuleGroup, int]
    label_by_group: Mapping[RuleGroup, int] | None

    @property
    def view(self) -> View:
        """The projection."""
        return self.skeleton.view

    @property
    def share_violating(self) -> float:
        """Share of images in which anything fired, 0 where there is no image."""
        return self.violating / len(self.images) if self.images else 0.0


@dataclass(frozen=True, slots=True)
class PredictionDiagnosis:
    """What the predictions of a set have in common, and labels that they speak against.

    None where nothing can be said. `bodies`: their sizes, and where their corners lie off. `smape`: the score
    by which AASCE ranks, in percent.

    `in_cells` is None where the heatmap's frame is not known, `ambiguity` where heatmaps' peaks are not.
    """

    in_px: SystematicError | None
    in_cells: SystematicError | None
    sentence: str | None
    measured: Measured
    ambiguity: Ambiguity | None = None
    suspicious: SuspiciousLabels | None = None
    bodies: BodyErrors | None = None
    bodies_sentence: str | None = None
    smape: Estimate | None = None


class Source(StrEnum):
    """What was judged."""

    RUN = "run"
    LABELS = "labels"


@dataclass(frozen=True, slots=True)
class AnatomyReport:
    """All that is shown of a judged run or annotated set; `subject` names it in a title.

    `diagnosis` is None for labels; `failures` could not be judged; `pictures` are files that were written;
    `gates` limit what was judged: the predictions of a run, or labels. `judged` has what was judged in the
    place of predictions. `copies`: images of the set that are found twice, None where nobody looked;
    `noise`: what a second labelling says of the first.
    """

    source: Source
    subject: str
    judged: RunTable
    verdict: AnatomyVerdict
    diagnosis: PredictionDiagnosis | None
    failures: tuple[Failure, ...]
    notes: tuple[str, ...]
    pictures: tuple[str, ...] = ()
    gates: tuple[GateResult, ...] = ()
    setup: tuple[SetupEntry, ...] = ()
    copies: CopySearch | None = None
    noise: "LabelNoise | None" = None


def judge(images: Sequence[str], findings: Findings, of_labels: Findings | None = None) -> AnatomyVerdict:
    """Findings in the named images, beside those in their labels."""
    return AnatomyVerdict(
        skeleton=findings.skeleton,
        images=JudgedImages(images, findings, of_labels),
        tallies=_tallies(images, findings, of_labels),
        violating=int(findings.fired().any(axis=1).sum()),
        label_violating=int(of_labels.fired().any(axis=1).sum()) if of_labels is not None else None,
        by_group=_by_group(findings),
        label_by_group=_by_group(of_labels) if of_labels is not None else None,
    )


def _by_group(findings: Findings) -> dict[RuleGroup, int]:
    """In how many images any rule of a group fired."""
    fired, groups = findings.fired(), [rule.group for rule in findings.rules]
    members = {group: [n for n, of in enumerate(groups) if of is group] for group in groups}
    return {group: int(fired[:, rules].any(axis=1).sum()) for group, rules in members.items()}


def _tallies(images: Sequence[str], findings: Findings, of_labels: Findings | None) -> tuple[RuleTally, ...]:
    found, seen = findings.findings_by_code(), findings.images_by_code()
    in_labels = of_labels.images_by_code() if of_labels is not None else None
    tallies = []
    for n, rule in enumerate(findings.rules):
        rows = np.flatnonzero(findings.rule == n)
        worst = None
        if rows.size:
            # Findings are sorted by image: the first of several equals belongs to the first image.
            row = int(rows[findings.severity[rows].argmax()])
            worst = findings.rows(np.array([row])).of_image(int(findings.image[row]))[0]
        tallies.append(
            RuleTally(
                rule=rule,
                images=seen[rule.code],
                findings=found[rule.code],
                keypoints=_blamed_keypoints(findings, rows),
                worst=worst,
                worst_image=images[worst.image] if worst else None,
                label_images=in_labels[rule.code] if in_labels else None,
            )
        )
    return tuple(tallies)


def _blamed_keypoints(findings: Findings, rows: NDArray[np.intp]) -> int:
    """Keypoints blamed in these findings, each counted once per image."""
    if not rows.size:
        return 0
    image, blame = findings.image[rows], findings.blame[rows]
    starts = np.flatnonzero(np.r_[True, image[1:] != image[:-1]])
    return int(np.logical_or.reduceat(blame, starts, axis=0).sum())


def shift_by_image(table: RunTable) -> dict[str, int]:
    """Images whose vertebrae are all marked one level off, by name; +1 is too low."""
    return {table.image[row]: int(table.level_shift[row]) for row in np.flatnonzero(table.level_shift)}


def diagnose_predictions(table: RunTable, facing: FacingSide | None = None) -> PredictionDiagnosis:
    """Shared errors, measurements and ambiguous heatmaps of predictions.

    `facing`: the anterior side of all lateral images, where that was said. What is shared is not asked of
    heatmaps without a peak: their place is the middle of the map.
    """
    in_px, in_cells = fit_pairs(pairs_of(table, in_cells=False), table.units), None
    if table.conditions.frames is not None:
        in_cells = fit_pairs(pairs_of(table, in_cells=True), table.units)
    sentence = explain_systematic_error(in_px, in_cells) if in_px else None
    bodies = table.once(bodies_of)
    return PredictionDiagnosis(
        in_px=in_px,
        in_cells=in_cells,
        sentence=sentence,
        bodies=bodies,
        bodies_sentence=explain_bodies(bodies, sentence),
        measured=measure_run(table, facing),
        ambiguity=ambiguity_of(table),
        suspicious=suspicious_labels(table),
        smape=_smape(table),
    )


def _smape(table: RunTable) -> Estimate | None:
    metric = metrics_of(table.skeleton).get(SMAPE)
    return None if metric is None else estimate([metric], table).get(SMAPE)
