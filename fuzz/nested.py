"""Texts nested thousands deep, in the files of every other target that are text."""

import random
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final, Protocol

from fuzz.mutations import Change, nested

Rng = random.Random
_TEXTS: Final = (".csv", ".tsv", ".json", ".xml", ".yaml", ".txt", ".fcsv", ".toml")
_CHOSEN: Final = "chosen"


class Reads(Protocol):
    """A target whose files are nested."""

    @property
    def name(self) -> str:
        """Of its folder here."""

    @property
    def files(self) -> Mapping[str, bytes]:
        """The valid files."""

    def read(self, folder: Path, rng: Rng) -> str:
        """As the target itself."""


@dataclass(frozen=True)
class NestedTarget:
    """The folders of other targets; a file beside them names the one of this input."""

    targets: tuple[Reads, ...]
    name: str = "nested"
    # Some of the readers are not.
    is_silent: bool = False

    @cached_property
    def files(self) -> Mapping[str, bytes]:
        """Of each target those that it has, in a folder of its own."""
        found = {_CHOSEN: self.targets[0].name.encode()}
        for target in self.targets:
            found |= {f"{target.name}/{name}": content for name, content in target.files.items()}
        return found

    def changes(self, rng: Rng) -> dict[str, Change]:
        """One text, at one place of it or two."""
        target = rng.choice(self.targets)
        name = rng.choice(texts_of(target))
        content = nested(target.files[name], rng)
        if rng.random() < 0.2:
            content = nested(content, rng)
        return {f"{target.name}/{name}": content, _CHOSEN: target.name.encode()}

    def read(self, folder: Path, rng: Rng) -> str:
        """As the target that the changed file is of."""
        chosen = (folder / _CHOSEN).read_text()
        return next(t for t in self.targets if t.name == chosen).read(folder / chosen, rng)


def texts_of(target: Reads) -> list[str]:
    """Its files that are text."""
    return [name for name in target.files if name.endswith(_TEXTS)]
