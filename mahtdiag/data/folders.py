"""What lies in folders: one look at each, shared by everybody who asks while a set is opened."""

import os
import stat
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class FolderContent:
    """One folder: its folders and, by their ending in small letters and with its dot, its files, sorted.

    Hidden names, links to folders, and what is no file, such as a pipe, are passed over. A link to nowhere is
    a file: whoever reads it says what is wrong.
    """

    folders: tuple[str, ...]
    files: dict[str, tuple[str, ...]]

    @property
    def count(self) -> int:
        """How many files there are."""
        return sum(map(len, self.files.values()))

    def ending_in(self, endings: tuple[str, ...]) -> list[str]:
        """The files whose names, in small letters, end in one of these, sorted; each has one dot or more."""
        last = {ending[ending.rindex(".") :] for ending in endings}
        names = [name for ending in last for name in self.files.get(ending, ())]
        if not last <= set(endings):
            names = [name for name in names if name.lower().endswith(endings)]
        return sorted(names)


_LOOKS: Final[ContextVar[dict[Hashable, object] | None]] = ContextVar("looks", default=None)


@contextmanager
def one_look() -> Iterator[None]:
    """Until it is left, no folder is listed a second time: a set does not change while it is opened."""
    if _LOOKS.get() is not None:
        yield
        return
    token = _LOOKS.set({})
    try:
        yield
    finally:
        _LOOKS.reset(token)


def looked_up(key: Hashable, look: Callable[[], T]) -> T:
    """What a look gives, or gave before within `one_look`; the key says what is looked at, and how."""
    known = _LOOKS.get()
    if known is None:
        return look()
    if key not in known:
        known[key] = look()
    return known[key]  # type: ignore[return-value]


def content_of(folder: str | Path) -> FolderContent:
    """List a folder. Raises OSError where that cannot be done."""
    place = os.fspath(folder)
    return looked_up((content_of, place), lambda: _listed(place))


def _listed(folder: str) -> FolderContent:
    folders: list[str] = []
    files: dict[str, list[str]] = {}
    with os.scandir(folder) as entries:
        for entry in entries:
            name = entry.name
            if name.startswith("."):
                continue
            if entry.is_file(follow_symlinks=False) or (entry.is_symlink() and _leads_to_a_file(entry)):
                _, dot, ending = name.rpartition(".")
                files.setdefault(dot + ending.lower() if dot else "", []).append(name)
            elif entry.is_dir(follow_symlinks=False):
                folders.append(name)
    return FolderContent(
        tuple(sorted(folders)), {ending: tuple(sorted(names)) for ending, names in files.items()}
    )


def _leads_to_a_file(link: "os.DirEntry[str]") -> bool:
    try:
        return stat.S_ISREG(link.stat().st_mode)
    except OSError:
        return True
