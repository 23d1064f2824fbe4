"""Instances that a detector found in one image, of which each vertebra can have but one."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mahtdiag.data.files import counted
from mahtdiag.data.labelled import Shape
from mahtdiag.data.predictions.predicted import SetOfImages
from mahtdiag.errors import DataError
from mahtdiag.schema.keypoint_names import place_of, renamed
from mahtdiag.schema.safe_text import shown


@dataclass(frozen=True, slots=True)
class Instance:
    """One instance: what it was taken for, the names of its points, their columns, and its own score."""

    label: str
    names: tuple[str, ...]
    values: NDArray[np.float64]
    score: float


@dataclass(slots=True)
class BestOf:
    """Chooses among the instances of each image; counts what it leaves out, and of how many images."""

    of: SetOfImages
    left_out: int = 0
    images: int = 0
    without_level: bool = False
    _with_level: dict[tuple[str, tuple[str, ...]], bool] = field(default_factory=dict)

    def shapes(self, instances: Iterable[Instance]) -> tuple[Shape, ...]:
        """Of each label the instance of the highest score; of labels without a level as many as vertebrae.

        Raises DataError where several can only be told apart by scores that they do not have.
        """
        by_label: dict[str, list[Instance]] = {}
        for instance in instances:
            by_label.setdefault(instance.label, []).append(instance)
        chosen: list[Instance] = []
        before = self.left_out
        for label, group in by_label.items():
            most = 1
            if not any(self._says_a_level(instance) for instance in group):
                most, self.without_level = len(self.of.skeleton.vertebrae), True
            if len(group) > most:
                self._require_scores(label, group)
                group = sorted(group, key=lambda instance: -instance.score)
            chosen += group[:most]
            self.left_out += len(group[most:])
        self.images += self.left_out > before
        return tuple(Shape(each.label, each.names, each.values) for each in chosen)

    def notes(self) -> list[str]:
        """What was left out."""
        if not self.left_out:
            return []
        kept = "each category"
        if self.without_level:
            kept = f"{len(self.of.skeleton.vertebrae)} vertebrae without a level"
        return [
            f"{counted(self.left_out, 'instance')} of {counted(self.images, 'image')} left out: of {kept}"
            " those of the highest score count"
        ]

    def _says_a_level(self, instance: Instance) -> bool:
        kind = (instance.label, instance.names)
        if kind not in self._with_level:
            own = self.of.options.keypoints
            names = (instance.label, *instance.names)
            self._with_level[kind] = any(place_of(renamed(name, own))[0] for name in names)
        return self._with_level[kind]

    def _require_scores(self, label: str, group: list[Instance]) -> None:
        scores = [instance.score for instance in group]
        if not np.isfinite(scores).all():
            called = f" {shown(label[:40])}" if label else ""
            raise DataError(f"{len(group)} instances{called} without a score: keep one, or give scores")
