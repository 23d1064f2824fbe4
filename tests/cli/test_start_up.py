"""What commands import: nobody waits for a library that does nothing for them."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.command import environment

FIXTURES = Path(__file__).parents[1] / "fixtures" / "runs"
# All that takes a fifth of a second and more, and is seldom needed.
SLOW = frozenset({"torch", "matplotlib", "cv2", "pydicom", "scipy.stats", "scipy.optimize"})
RUN = """
import sys
from mahtdiag.cli.app import main
sys.argv = ["mahtdiag", *sys.argv[1:]]
try:
    main()
except SystemExit as ended:
    status = ended.code
print(status, *sys.modules, file=sys.stderr)
"""
ALONE = ("--no-pictures", "-q")


def imported_by(folder: Path, *arguments: str, status: int = 0) -> frozenset[str]:
    """Every module that a command imports, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", RUN, *arguments],
        cwd=folder, env=environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    *told, last = done.stderr.splitlines()
    said, *modules = last.split()
    assert said == str(status), told
    return frozenset(modules)


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    return shutil.copytree(FIXTURES / "desk", tmp_path / "desk", symlinks=True)


@pytest.mark.parametrize("arguments", [("--help",), ("--version",), ("anatomy", "--help")], ids=" ".join)
def test_help_imports_no_numbers(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    assert imported_by(tmp_path, *arguments) & (SLOW | {"numpy", "scipy", "pyarrow", "yaml"}) == set()


@pytest.mark.parametrize(
    ("arguments", "needed", "status"),
    [
        (("anatomy", "runs/a", *ALONE), (), 0),
        (("calibration", "runs/a", *ALONE), ("scipy.optimize",), 0),
        (("compare", "runs/a", "runs/b", "-q"), (), 0),
        (("runs",), (), 0),
        (("explain", "A201"), (), 0),
        (("rules",), (), 0),
        (("schema",), (), 0),
        (("init", "runs/a"), (), 0),
        (("anatomy", "--labels", "data", "--view", "LA", *ALONE), ("cv2",), 0),
        (
            ("report", "runs/a", "--images", "none", "--out", "page.html"),
            ("cv2", "matplotlib", "scipy.optimize"),
            1,
        ),
    ],
    ids=lambda value: " ".join(value[:1]) if isinstance(value, tuple) else "",
)
def test_a_command_imports_what_it_needs(
    desk: Path, arguments: tuple[str, ...], needed: tuple[str, ...], status: int
) -> None:
    assert imported_by(desk, *arguments, status=status) & SLOW == set(needed)


def test_pictures_are_drawn_by_matplotlib(desk: Path) -> None:
    """What the others do not import is seen where it is."""
    assert imported_by(desk, "calibration", "runs/b", "-q") >= {"matplotlib"}


TOLD = """
import os, sys
from mahtdiag.cli.app import main
sys.argv = ["mahtdiag", "--version"]
try:
    main()
except SystemExit:
    print(os.environ.get("OMP_WAIT_POLICY"), os.environ.get("GOMP_SPINCOUNT"), "torch" in sys.modules)
"""


@pytest.mark.parametrize(
    ("said", "policy", "turns"),
    [
        ({}, "None", "1000"),
        ({"GOMP_SPINCOUNT": "7"}, "None", "7"),
        ({"OMP_WAIT_POLICY": "ACTIVE"}, "ACTIVE", "None"),
    ],
)
def test_threads_that_wait_leave_the_cores_to_others(said: dict[str, str], policy: str, turns: str) -> None:
    ours = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
    known = {name: value for name, value in environment().items() if name not in ours}
    done = subprocess.run(
        [sys.executable, "-c", TOLD], env=known | said, capture_output=True, text=True, check=True
    )
    assert done.stdout.split()[-3:] == [policy, turns, "False"]
