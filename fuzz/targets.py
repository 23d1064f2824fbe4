"""What is fuzzed: the readers of annotations and the kinds of images, and what they may answer."""

import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final, Protocol

import numpy as np

from fuzz.answers import OddAnswerError, refused, require_line
from fuzz.checkpoints import CHECKPOINTS, SEVERAL, checkpoint_target
from fuzz.damages import is_known_loss
from fuzz.documents import DOCUMENTS
from fuzz.images import IMAGES, mutated_image
from fuzz.mutations import Change, changed_set
from fuzz.nested import NestedTarget, texts_of
from fuzz.predictions import PREDICTIONS
from fuzz.run_folders import RUN_FOLDERS
from fuzz.sets import SETS
from mahtdiag.data.files import Dataset
from mahtdiag.data.images import decode_reduced, describe_image, load_image, read_image_size
from mahtdiag.data.images.dicom import dicom_facts
from mahtdiag.data.readers import open_dataset, sleap
from mahtdiag.errors import MahtdiagError
from mahtdiag.schema.frames import Size
from mahtdiag.schema.model_spec import ModelInput
from mahtdiag.schema.read_options import ReadOptions
from mahtdiag.schema.safe_text import brief
from mahtdiag.schema.skeleton import View

_INPUT: Final = ModelInput(size=Size(64, 32), channels=1)


class Target(Protocol):
    """Something that reads files; stateless."""

    @property
    def name(self) -> str:
        """What the command line calls it."""

    def changes(self, rng: random.Random) -> dict[str, Change]:
        """What one input has in the place of the valid files."""

    @property
    def files(self) -> Mapping[str, bytes]:
        """The valid files."""

    @property
    def is_silent(self) -> bool:
        """Whether nothing may be written to the terminal; decoders of images write there on their own."""

    def read(self, folder: Path, rng: random.Random) -> str:
        """Reads what lies in the folder; one word on how that ended. Raises whatever is a fault."""


@dataclass(frozen=True)
class AnnotationTarget:
    """A reader: its set is opened by what recognises it, and by its name."""

    name: str
    files: Mapping[str, bytes]
    is_silent: bool = True

    def changes(self, rng: random.Random) -> dict[str, Change]:
        """Mostly one mutated file."""
        return changed_set(self.files, rng)

    def read(self, folder: Path, rng: random.Random) -> str:
        """Opens the set twice."""
        view = rng.choice((View.AP, View.AP, View.LA, None))
        missing = rng.choice((None, None, -1.0, 0.0))
        complete = rng.random() < 0.1
        answers = []
        for name in (None, self.name):
            options = ReadOptions(format=name, missing_value=missing, complete_only=complete)
            try:
                answers.append(_checked(open_dataset(folder, view, options)))
            except MahtdiagError as error:
                answers.append(refused(error))
        return answers[-1]


@dataclass(frozen=True)
class ImageTarget:
    """Files of one kind of image, read in every way there is."""

    name: str
    files: Mapping[str, bytes]
    is_silent: bool = False

    def changes(self, rng: random.Random) -> dict[str, Change]:
        """One mutated file."""
        name = rng.choice([*self.files])
        return {name: mutated_image(name, self.files[name], rng)}

    def read(self, folder: Path, rng: random.Random) -> str:
        """Loads it for a network, decodes it small, and reads its size."""
        answer = "read"
        for name in self.files:
            path = folder / name
            ways: tuple[Callable[[], object], ...] = (
                lambda path=path, name=name: load_image(path, name, _INPUT),  # type: ignore[misc]
                lambda path=path, name=name: read_image_size(path, name),  # type: ignore[misc]
                lambda path=path, name=name: decode_reduced(path.read_bytes(), name, 128),  # type: ignore[misc]
                lambda path=path, name=name: describe_image(path, name),  # type: ignore[misc]
            )
            if name.endswith(".dcm"):
                ways = (*ways, lambda path=path, name=name: dicom_facts(path, name))  # type: ignore[misc]
            lost = is_known_loss(name, self.files[name], path.read_bytes())
            for way in ways:
                try:
                    way()
                except MahtdiagError as error:
                    answer = refused(error)
                else:
                    if lost and way is not ways[1]:
                        raise OddAnswerError(f"{name}: read as if nothing of it were lost")
        return answer


def _checked(dataset: Dataset) -> str:
    """How a set was opened. Raises OddAnswerError."""
    # A name is told in a table of its own column; it may be as long as names get, the reason may not.
    for line in (*dataset.notes, *(each.reason for each in dataset.failures)):
        require_line(line)
    for failure in dataset.failures:
        require_line(brief(failure.image))
    for sample in dataset.samples:
        points = sample.keypoints_px
        if points.shape != (sample.skeleton.keypoints, 2) or np.isinf(points).any():
            raise OddAnswerError(f"{sample.image}: keypoints {points.shape} {points[:2].tolist()}")
        require_line(sample.image)
    return "failures" if dataset.failures else "read"


NESTED: Final = "nested"
NAMES: Final = (
    *(*SETS, *IMAGES, *CHECKPOINTS, *SEVERAL, *RUN_FOLDERS, *DOCUMENTS, *PREDICTIONS),
    NESTED,
)


@cache
def target_of(name: str) -> Target:
    """The target of this name."""
    if name in (*CHECKPOINTS, *SEVERAL):
        return checkpoint_target(name)
    if name == NESTED:
        return NestedTarget(tuple(_with_texts()))
    single: Mapping[str, Target] = {**RUN_FOLDERS, **DOCUMENTS, **PREDICTIONS}
    if name in single:
        return single[name]
    return AnnotationTarget(name, SETS[name]()) if name in SETS else ImageTarget(name, IMAGES[name]())


def _with_texts() -> Iterator[Target]:
    for name in NAMES:
        if name not in (*IMAGES, *CHECKPOINTS, NESTED) and texts_of(target := target_of(name)):
            yield target


@contextmanager
def sleap_in_this_process() -> Iterator[None]:
    """SLEAP files are read by another process, which takes a second to begin: thousands are read here."""
    apart = sleap._read_apart
    sleap._read_apart = sleap.stored_in
    try:
        yield
    finally:
        sleap._read_apart = apart
