"""What is built is the package and nothing else, and the oldest versions are those that are stated."""

import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

from mahtdiag import __version__
from tests.packaging.contents import check_sdist, check_wheel
from tests.packaging.oldest import CONSTRAINTS, ROOT, oldest_constraints


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Wheel and sdist."""
    folder = tmp_path_factory.mktemp("dist")
    done = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-d", str(folder)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    wheel, sdist = (
        folder / f"mahtdiag-{__version__}-py3-none-any.whl",
        folder / f"mahtdiag-{__version__}.tar.gz",
    )
    assert sorted(folder.iterdir()) == [wheel, sdist]
    return wheel, sdist


def test_the_wheel_holds_the_package_and_nothing_else(built: tuple[Path, Path]) -> None:
    check_wheel(built[0], __version__)
    with zipfile.ZipFile(built[0]) as archive:
        names = archive.namelist()
        metadata = archive.read(f"mahtdiag-{__version__}.dist-info/METADATA").decode()
    assert {"mahtdiag/py.typed", "mahtdiag/__init__.pyi", "mahtdiag/reports/html/templates/page.css"} < {
        *names
    }
    stated = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for requirement in stated["dependencies"]:
        assert f"Requires-Dist: {requirement}\n" in metadata
    assert f"Requires-Python: {stated['requires-python']}\n" in metadata


def test_the_sdist_holds_the_package_and_what_it_is_built_from(built: tuple[Path, Path]) -> None:
    check_sdist(built[1], __version__)


def test_what_is_too_much_or_missing_is_named(tmp_path: Path, built: tuple[Path, Path]) -> None:
    wheel, sdist = tmp_path / "a.whl", tmp_path / "a.tar.gz"
    with zipfile.ZipFile(built[0]) as archive, zipfile.ZipFile(wheel, "w") as other:
        for name in archive.namelist():
            other.writestr(name.replace("mahtdiag/py.typed", "tests/py.typed"), archive.read(name))
    with pytest.raises(
        ValueError, match=r"a\.whl should not hold \['tests/py.typed'\], and lacks \['mahtdiag/py"
    ):
        check_wheel(wheel, __version__)
    with tarfile.open(sdist, "w:gz") as archive:
        archive.add(ROOT / "README.md", f"mahtdiag-{__version__}/README.md")
        archive.add(ROOT / "sample_data" / "mahtnet-ap.pt", f"mahtdiag-{__version__}/sample_data/a.pt")
    with pytest.raises(
        ValueError, match=r"should not hold \['mahtdiag-[\d.]+/sample_data/a.pt'\], and lacks"
    ):
        check_sdist(sdist, __version__)


def test_the_oldest_versions_are_those_that_are_stated() -> None:
    assert CONSTRAINTS.read_text(encoding="utf-8") == oldest_constraints()


@pytest.mark.parametrize("requirement", ["torch", "torch>=2.4,<3", "torch==2.4"])
def test_a_library_without_a_lower_bound_is_refused(tmp_path: Path, requirement: str) -> None:
    stated = (
        f'[project]\ndependencies = ["{requirement}"]\n[project.optional-dependencies]\ntest = ["pytest"]\n'
    )
    (tmp_path / "pyproject.toml").write_text(stated, encoding="utf-8")
    with pytest.raises(ValueError, match="needs a lower bound"):
        oldest_constraints(tmp_path)


@pytest.mark.parametrize(
    ("row", "file"), [("oldest", "constraints-oldest.txt"), ("tests", "constraints.txt")]
)
def test_versions_that_the_page_tells_are_those_of_the_files(row: str, file: str) -> None:
    page = (ROOT / "docs" / "install.md").read_text(encoding="utf-8")
    told = re.search(rf"^\| {row} \| 3\.11 \| (\S+) \| (\S+) \| `{file}` \|$", page, re.MULTILINE)
    lines = (ROOT / file).read_text(encoding="utf-8").splitlines()
    stated = [next(line for line in lines if line.startswith(f"{name}==")) for name in ("torch", "numpy")]
    assert told is not None
    for version, line in zip(told.groups(), stated, strict=True):
        assert version == line.partition("==")[2] or version == line.partition("==")[2] + ".0"
