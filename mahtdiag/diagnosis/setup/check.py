"""One check of the setup, and the facts that all of them look at."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mahtdiag.diagnosis.run_table import RunTable
from mahtdiag.diagnosis.setup.explanations import FEWEST_IMAGES, Explained, Finding, Places
from mahtdiag.diagnosis.setup.mistakes import InSome, explain, explain_some
from mahtdiag.schema.choices import DecodeMethod, HeatmapFlag
from mahtdiag.schema.model_spec import ModelSpec
from mahtdiag.schema.numerals import pixels
from mahtdiag.schema.output_spec import NOTHING, OutputSpec
from mahtdiag.schema.setup import Inspection, SetupEntry, SetupStatus

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]

_FLOOR_CELLS = 0.1
_FLOOR_PX = 0.5
# What annotation tools write where a keypoint was not marked.
_PLACEHOLDERS: Final = (0.0, -1.0)


@dataclass(frozen=True)
class Facts:
    """All that the checks look at.

    `table`: the evaluated images, or labels alone in the place of predictions where nothing is `predicted`.
    `spec`: how the network is read, None without one; `from_file`: predictions are those of a file.
    `order_said`: what anyone has said of the order of the network's keypoints.
    `labelled`: whether the set has labels. `beta_stated`: whether anyone gave the β of soft-argmax.
    `outputs`: where the network's outputs were said to be, and what its coordinates count.
    `inspection`: a closer look at the first images. `outside` `[M, K, 2]`: labels that lie outside their
    images, in original pixels, with the `outside_sizes_px` `[M, 2]` and `outside_orientation` `[M]` of these,
    which were not evaluated.
    """

    table: RunTable
    spec: ModelSpec | None
    inspection: Inspection | None
    outside: Floats
    outside_sizes_px: Floats
    outside_orientation: Ints
    beta_stated: bool = True
    from_file: bool = False
    order_said: str | None = None
    labelled: bool = True
    outputs: OutputSpec = NOTHING

    @property
    def predicted(self) -> bool:
        """Whether there are predictions, by a network or from a file."""
        return self.spec is not None or self.from_file

    @property
    def compared(self) -> bool:
        """Whether there are predictions and labels to compare."""
        return self.predicted and self.labelled

    @property
    def labels_px(self) -> Floats:
        """Labels of the table `[N, K, 2]`."""
        return self.table.gt_px if self.predicted else self.table.pred_px

    @cached_property
    def placeholders(self) -> Bools:
        """Labels that are exactly 0,0 or −1,−1 `[N, K]`."""
        labels = self.labels_px
        found: Bools = np.logical_or.reduce([(labels == value).all(-1) for value in _PLACEHOLDERS])
        # In an image whose labels are all there, not placed at all, it is no placeholder of one of them.
        return found

    @cached_property
    def dead(self) -> Bools:
        """Keypoints whose heatmap is flat in at least nine images of ten `[K]`."""
        if not len(self.table):
            return np.zeros(self.table.skeleton.keypoints, dtype=np.bool_)
        flat = (self.table.flags.astype(np.int64) & int(HeatmapFlag.FLAT)) != 0
        dead: Bools = flat.mean(axis=0) >= 0.9
        return dead

    @cached_property
    def orientation(self) -> Ints:
        """Orientation tags of the images `[N]`, 1 where there is none or it is not known."""
        found: Ints = np.nan_to_num(self.table.orientation, nan=1.0).astype(np.int64)
        return found

    @cached_property
    def places(self) -> Places:
        """Predictions and labels that mean something: no placeholders, no heatmaps without a peak."""
        table = self.table
        frames = table.conditions.frames
        per_cell = [frame.original_per_cell for frame, _ in table.frames()] if frames else []
        chosen = table.conditions.decode
        others = {DecodeMethod.LOCAL: table.local_px, DecodeMethod.ARGMAX: table.argmax_px}
        return Places(
            pred_px=np.where(self.dead[:, None], np.nan, table.pred_px),
            label_px=np.where(self.placeholders[..., None], np.nan, self.labels_px),
            sizes_px=table.sizes_px,
            skeleton=table.skeleton,
            frames=frames,
            orientation=self.orientation,
            floor_px=_FLOOR_CELLS * float(np.mean(per_cell)) if per_cell else _FLOOR_PX,
            decoded_px={
                str(method): points
                for method, points in others.items()
                if str(method) != chosen and np.isfinite(points).any()
            },
        )

    @cached_property
    def explained(self) -> Explained:
        """What explains the errors of predictions; nothing where there are none."""
        if not self.predicted or not len(self.table):
            return Explained(None)
        # Copies of an image say nothing more than the image.
        both = zip(self.table.image_sha256, self.table.image, strict=True)
        names = [digest or image for digest, image in both]
        first = np.sort(np.unique(names, return_index=True)[1]).astype(np.int64)
        return explain(self.places if first.size == len(names) else self.places.taken(first))

    @cached_property
    def in_some(self) -> InSome | None:
        """A mistake that was made in some of the images, where none explains the errors of all."""
        if not self.predicted or self.explained.found is not None or not len(self.table):
            return None
        return explain_some(self.places)

    def finding(self, check: str) -> Finding | None:
        """What explains the errors, where it belongs to this check."""
        found = self.explained.found
        return found if found is not None and found.explanation.check == check else None


Judge = Callable[[Facts], "Outcome | None"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a check says. `refused`: it cannot be meant, and nothing is evaluated unless it is accepted."""

    status: SetupStatus
    evidence: str
    advice: str = ""
    refused: bool = False


def fine(evidence: str) -> Outcome:
    """Nothing is off."""
    return Outcome(SetupStatus.FINE, evidence)


def not_checked(reason: str) -> Outcome:
    """Why nothing can be said."""
    return Outcome(SetupStatus.NOT_CHECKED, reason)


def too_few(images: int, needed: int) -> Outcome:
    """Nothing is said of so few images."""
    return not_checked(f"{images} image{'' if images == 1 else 's'}, needs {needed}")


@dataclass(frozen=True, slots=True)
class SetupCheck:
    """A check by its permanent name; `judge` gives None where it does not apply to what is looked at.

    `after`: checks that, where they find something wrong, would make this one speak of the same thing.
    `images`: how many images it needs; `network`: whether it is about a network, `predictions`: about what
    is predicted, by whatever, `labels`: about labels.
    """

    name: str
    title: str
    judge: Judge
    after: tuple[str, ...] = ()
    images: int = 1
    network: bool = False
    predictions: bool = False
    labels: bool = False

    def outcome(self, facts: Facts, earlier: Mapping[str, SetupEntry]) -> Outcome | None:
        """What it says of these facts, after what was said `earlier`; None where it does not apply."""
        is_there = (facts.spec is not None, facts.predicted, facts.labelled)
        wanted = (self.network, self.predictions, self.labels)
        if any(wants and not there for wants, there in zip(wanted, is_there, strict=True)):
            return None
        for name in self.after:
            entry = earlier.get(name)
            if entry is not None and entry.status is SetupStatus.WRONG:
                return not_checked(f"{name} comes first")
        count = len(facts.table)
        if count < self.images:
            return too_few(count, self.images)
        return self.judge(facts)


of_network = partial(SetupCheck, network=True)
of_labels = partial(SetupCheck, labels=True)
of_both = partial(SetupCheck, predictions=True, labels=True)
"""A check that compares predictions with labels."""


def explained_by(facts: Facts, check: str, otherwise: str) -> Outcome:
    """Wrong where the data prefer an explanation of this check; told without a cause where others do as well.

    Every mistake that is tried belongs to one check, so that one alone claims to be the cause.
    """
    if len(facts.table) < FEWEST_IMAGES:
        return too_few(len(facts.table), FEWEST_IMAGES)
    found = facts.finding(check)
    if found is None:
        return _in_some(facts, check) or _rival(facts, check) or fine(otherwise)
    evidence = f"{found.explanation.cause}: {found.in_words}"
    then = facts.explained.then
    if then is not None:
        evidence += f"; and then {then.explanation.cause}: {pixels(then.error_px)} px without that, too"
    rivals = [rival.explanation for rival in facts.explained.rivals if rival.explanation.check != check]
    if rivals:
        others = "; or ".join(dict.fromkeys(rival.cause for rival in rivals[:2]))
        return Outcome(SetupStatus.WARNING, f"{evidence}; not told apart from: {others}", "")
    return Outcome(SetupStatus.WRONG, evidence, found.explanation.advice)


def _in_some(facts: Facts, check: str) -> Outcome | None:
    some = facts.in_some
    if some is None or some.explanation.check != check:
        return None
    first = facts.table.image[int(some.rows[0])]
    return Outcome(
        SetupStatus.WRONG,
        f"in {some.rows.size} of {len(facts.table)} images (first: {first}), {some.explanation.cause}: mean "
        f"error of these {pixels(some.before_px)} px, {pixels(some.error_px)} px without it",
        f"in these images: {some.explanation.advice}",
    )


def _rival(facts: Facts, check: str) -> Outcome | None:
    """Where an explanation of this check does as well as that of another, which tells of both."""
    found = facts.explained.found
    if found is None or check not in {rival.explanation.check for rival in facts.explained.rivals}:
        return None
    return not_checked(f"not told apart from {found.explanation.check}")
