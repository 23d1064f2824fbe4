"""The house rules that no reviewer should have to check by eye."""

import ast
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "mahtdiag"
FILES = sorted(PACKAGE.rglob("*.py"))
MOST_LINES = 400
MOST_FUNCTION_LINES = 55
HEAVY = ("torch", "cv2", "matplotlib", "pyarrow", "scipy", "pandas")
LINT = "from importlinter.cli import lint_imports_command; lint_imports_command()"


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    """import-linter on the package in `folder`, with the contracts of its pyproject.toml."""
    command = [sys.executable, "-c", LINT, "--no-cache", "--no-logo"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def copied(folder: Path) -> Path:
    """A copy of the package, to break."""
    shutil.copy(ROOT / "pyproject.toml", folder)
    shutil.copytree(PACKAGE, folder / "mahtdiag", ignore=shutil.ignore_patterns("__pycache__"))
    return folder / "mahtdiag"


def test_imports_obey_the_contracts() -> None:
    result = lint_imports(ROOT)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "3 kept, 0 broken" in result.stdout


@pytest.mark.parametrize(
    ("file", "line", "contract"),
    [
        ("schema/skeleton.py", "import mahtdiag.losses", "data flows one way"),
        ("losses/combined.py", "import mahtdiag.heatmaps", "data flows one way"),
        ("models/native.py", "import mahtdiag.engine", "data flows one way"),
        ("anatomy/geometry.py", "import cv2", "the maths is pure"),
        ("heatmaps/peaks.py", "import pathlib", "the maths is pure"),
        ("runs/folder.py", "import rich", "only the front door and the reports speak to a person"),
        ("errors.py", "import typer", "only the front door and the reports speak to a person"),
    ],
)
def test_a_forbidden_import_is_found(tmp_path: Path, file: str, line: str, contract: str) -> None:
    broken = copied(tmp_path) / file
    broken.write_text(f"{line}\n{broken.read_text()}")
    result = lint_imports(tmp_path)
    assert result.returncode != 0
    assert f"{contract} BROKEN" in result.stdout


def test_a_room_without_a_place_is_found(tmp_path: Path) -> None:
    (copied(tmp_path) / "utils.py").write_text("")
    result = lint_imports(tmp_path)
    assert result.returncode != 0
    assert "mahtdiag.utils" in result.stdout


def heavy_modules_of(module: str) -> list[str]:
    """Which heavy libraries are loaded once `module` is imported."""
    code = f"import sys, {module}; print(*(name for name in {HEAVY!r} if name in sys.modules))"
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.split()


@pytest.mark.parametrize("module", ["mahtdiag", "mahtdiag.cli", "mahtdiag.cli.app"])
def test_importing_loads_nothing_heavy(module: str) -> None:
    assert heavy_modules_of(module) == []


@pytest.mark.parametrize(("module", "name"), [("mahtdiag.losses", "torch"), ("cv2", "cv2")])
def test_a_heavy_import_is_seen(module: str, name: str) -> None:
    assert name in heavy_modules_of(module)


def test_importing_writes_nothing(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-B",
        "-c",
        f"import sys; sys.path.insert(0, {str(ROOT)!r}); import mahtdiag.cli.app",
    ]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert (result.stdout, result.stderr) == ("", "")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_files_and_functions_are_short(file: Path) -> None:
    text = file.read_text()
    assert len(text.splitlines()) <= MOST_LINES
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert body_lines(node) <= MOST_FUNCTION_LINES, f"{node.name}, line {node.lineno}"


def body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of the body less the docstring's: a long list of parameters is a table, not a long function."""
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    return ((body[-1].end_lineno or body[-1].lineno) - body[0].lineno + 1) if body else 0


def test_the_length_of_a_function_is_counted_right() -> None:
    source = (
        'def f(\n    a,\n):\n    """One.\n\n    Two.\n    """\n    b = (\n        a\n    )\n    return b\n'
    )
    (function,) = ast.parse(source).body
    assert isinstance(function, ast.FunctionDef)
    assert body_lines(function) == 4
    (empty,) = ast.parse('def f() -> None:\n    """Nothing."""\n').body
    assert isinstance(empty, ast.FunctionDef)
    assert body_lines(empty) == 0


def test_every_workflow_has_a_test_that_imports_it() -> None:
    jobs = {path.parent.name for path in (PACKAGE / "workflows").glob("*/*.py")}
    tests = (ROOT / "tests" / "workflows").rglob("test_*.py")
    imported = {
        name for file in tests for name in re.findall(r"from mahtdiag\.workflows\.(\w+)", file.read_text())
    }
    assert jobs - imported == set()


def test_settings_of_a_run_are_read_by_name_in_one_room() -> None:
    """Elsewhere they are typed: `document.resolved`, `document.conditions`."""
    by_name = re.compile(r"document\.settings\b|\bstored\[\"|settings\[\"(?!model|data|evaluate)")
    elsewhere = [file for file in FILES if file.parent.name != "runs"]
    assert [str(file) for file in elsewhere if by_name.search(file.read_text(encoding="utf-8"))] == []
