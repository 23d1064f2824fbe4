"""What wheel and sdist may hold: the package, and what tells of it."""

import tarfile
import zipfile
from pathlib import Path

from tests.packaging.oldest import ROOT

TOLD_BY_WHEEL = {"METADATA", "WHEEL", "RECORD", "entry_points.txt", "licenses/LICENSE"}
TOLD_BY_SDIST = {"PKG-INFO", "pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", ".gitignore"}


def files_of_package() -> set[str]:
    """Every file below `mahtdiag/`, but what Python has made of them."""
    found = (path for path in (ROOT / "mahtdiag").rglob("*") if path.is_file())
    return {path.relative_to(ROOT).as_posix() for path in found if path.suffix != ".pyc"}


def check_wheel(wheel: Path, version: str) -> None:
    """The package, whole, and nothing beside it."""
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if not name.endswith("/")}
    _same(wheel, names, files_of_package() | {f"mahtdiag-{version}.dist-info/{n}" for n in TOLD_BY_WHEEL})


def check_sdist(sdist: Path, version: str) -> None:
    """The package and what it is built from; no tests, no sample data."""
    with tarfile.open(sdist) as archive:
        names = {member.name for member in archive.getmembers() if not member.isdir()}
    _same(sdist, names, {f"mahtdiag-{version}/{name}" for name in files_of_package() | TOLD_BY_SDIST})


def _same(archive: Path, found: set[str], meant: set[str]) -> None:
    if found != meant:
        more, less = sorted(found - meant), sorted(meant - found)
        raise ValueError(f"{archive.name} should not hold {more}, and lacks {less}")
