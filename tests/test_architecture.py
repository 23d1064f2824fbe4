"""The house rules that no reviewer should have to check by eye."""

import ast
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "mahtdiag"
FILES = sorted(PACKAGE.rglob("*.py"))
MOST_LINES = 400
MOST_FUNCTION_LINES = 55
MOST_FLOORS = 6
WORKFLOWS = "mahtdiag.workflows"
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
    assert "4 kept, 0 broken" in result.stdout


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
        (
            "workflows/init/job.py",
            "import mahtdiag.workflows.report.job",
            "a job uses another only where it has to",
        ),
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


def longest_chain(imports: Mapping[str, frozenset[str]]) -> tuple[str, ...]:
    """The longest way down from a module over what it imports."""

    @cache
    def below(module: str) -> tuple[str, ...]:
        ways = (below(other) for other in sorted(imports.get(module, ())))
        return (module, *max(ways, key=len, default=()))

    return max(map(below, sorted(imports)), key=len, default=())


def imports_inside(package: str) -> dict[str, frozenset[str]]:
    """What every module of a package imports of it."""
    graph = grimp.build_graph("mahtdiag", cache_dir=None)
    inside = {name for name in graph.modules if name.startswith(f"{package}.")}
    return {name: frozenset(graph.find_modules_directly_imported_by(name)) & inside for name in inside}


def test_no_workflow_stands_above_six_floors() -> None:
    chain = longest_chain(imports_inside(WORKFLOWS))
    assert len(chain) <= MOST_FLOORS, " → ".join(name.removeprefix(f"{WORKFLOWS}.") for name in chain)


def test_a_long_chain_is_found() -> None:
    imports = {
        "a": frozenset("bc"),
        "b": frozenset("d"),
        "c": frozenset(),
        "d": frozenset("e"),
        "e": frozenset(),
    }
    assert longest_chain(imports) == ("a", "b", "d", "e")
    assert longest_chain({}) == ()


def of_a_project(table: ast.expr) -> bool:
    """Settings that are on their way into a file, by table and key."""
    return ast.unparse(table) == "project.settings"


def settings_by_string(source: str) -> Iterator[str]:
    """Where a setting of a run is looked up by name: `settings["decode"]`, `"loss" in a.settings`.

    Also by a name that a variable holds, where it is looked up in the settings of something.
    """
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Subscript(value=table, slice=key):
                pass
            case ast.Call(func=ast.Attribute(value=table, attr="get" | "pop" | "setdefault"), args=[key, *_]):
                pass
            case ast.Compare(left=key, ops=[ast.In() | ast.NotIn()], comparators=[table]):
                pass
            case _:
                continue
        of_something = (
            isinstance(table, ast.Attribute) and table.attr == "settings" and not of_a_project(table)
        )
        alone = isinstance(table, ast.Name) and table.id.endswith("settings")
        if of_something or (alone and isinstance(key, ast.Constant) and isinstance(key.value, str)):
            yield f"line {node.lineno}: {ast.unparse(node)}"


# `config` reads and writes the settings of a project, of which those of a run are made.
OWNERS_OF_SETTINGS = ("runs", "config")


@pytest.mark.parametrize(
    "room", sorted(path.name for path in PACKAGE.iterdir() if path.is_dir() and path.name != "__pycache__")
)
def test_settings_of_a_run_have_types_outside_runs(room: str) -> None:
    if room not in OWNERS_OF_SETTINGS:
        files = sorted((PACKAGE / room).rglob("*.py"))
        found = {str(file.relative_to(PACKAGE)): list(settings_by_string(file.read_text())) for file in files}
        assert {file: places for file, places in found.items() if places} == {}


@pytest.mark.parametrize(
    "source",
    ['settings["decode"]', 'a.settings.get("loss")', "run.document.settings[name]", '"x" in stored_settings'],
)
def test_a_setting_by_string_is_found(source: str) -> None:
    assert len(list(settings_by_string(f"def f():\n    return {source}\n"))) == 1


@pytest.mark.parametrize(
    "source", ["settings.decode", "limits['A201']", "settings[view]", "run.settings.loss"]
)
def test_typed_settings_pass(source: str) -> None:
    assert list(settings_by_string(source)) == []


def test_every_job_is_in_the_contract_of_jobs() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (named,) = (contract["modules"] for contract in contracts if contract["type"] == "independence")
    assert set(named) == {
        f"{WORKFLOWS}.{path.parent.name}" for path in (PACKAGE / "workflows").glob("*/*.py")
    }


PRINTERS = {
    "print", "pprint", "sys.stdout.write", "sys.stderr.write", "sys.stdout.buffer.write",
    "sys.stderr.buffer.write", "os.write", "Console", "rich.print", "typer.echo", "typer.secho", "click.echo",
    "click.secho", "sys.__stdout__.write", "sys.__stderr__.write", "traceback.print_exc",
    "traceback.print_exception", "warnings.warn", "logging.basicConfig", "logging.StreamHandler",
}  # fmt: skip
MAY_PRINT = {
    # The one place that prints.
    "cli/output.py": {"print", "sys.stdout.buffer.write"},
    # Bytes of its own, where a signal ends the process.
    "cli/app.py": {"os.write"},
    # Rich: a bar and lines through a function that makes them safe; and tables, printed into a text.
    "reports/progress.py": {"Console"},
    "reports/tables/table.py": {"Console"},
    # What a process tells the one that has started it, which shows it to nobody as it is.
    "data/readers/sleap.py": {"sys.stdout.buffer.write"},
    # To whoever calls from Python.
    "api/evaluating.py": {"warnings.warn"},
}
"""Which files write to a stream or make what does, and by which calls."""


def printers_in(source: str) -> set[str]:
    """The calls by which a module writes to a standard stream."""
    called = {ast.unparse(node.func) for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)}
    imported = {
        f"{node.module}.{name.name}"
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.ImportFrom)
        for name in node.names
    }
    # `from sys import stdout` and its kind would hide a call.
    hidden = {name for name in imported if any(name in (way, way.rpartition(".")[0]) for way in PRINTERS)}
    return (called & PRINTERS) | (hidden - {""})


def test_one_place_prints() -> None:
    found = {
        str(file.relative_to(PACKAGE)): ways for file in FILES if (ways := printers_in(file.read_text()))
    }
    assert found == MAY_PRINT


@pytest.mark.parametrize(
    "source",
    [
        "print(1)",
        "from sys import stdout",
        "import sys\nsys.stderr.write('a')",
        "from typer import echo",
        "Console()",
    ],
)
def test_another_way_to_print_is_found(source: str) -> None:
    assert printers_in(source)
