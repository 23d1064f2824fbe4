"""Whatever opens a file of others is reached by a target of the fuzz suite, or said here to need none."""

import ast
import importlib
import random
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fuzz.running import InputFolder
from fuzz.targets import NAMES, NESTED, sleap_in_this_process, target_of

PACKAGE = Path(__file__).parents[2] / "mahtdiag"
OPENING = "mahtdiag.opening"
# Calls that no target reaches, by the module or the function, and why none has to.
OTHERS = {
    "mahtdiag.cli.evaluate._print": "what it wrote itself a moment ago",
    "mahtdiag.data.files.is_image": "132 bytes are compared",
    "mahtdiag.data.readers.slicer._is_one": "the first bytes are compared",
    "mahtdiag.data.slicer_spacing._jpeg_spacing": "18 bytes are compared",
    "mahtdiag.data.readers.unrecognised._too_large": "its size is asked for",
    "mahtdiag.models.checkpoint.is_torch": "a byte is compared",
    "mahtdiag.models.onnx_limits._text": "the system says how much memory is free",
    "mahtdiag.runs.files.file_sha256": "its digest is taken",
    "mahtdiag.opening.parquet.parquet_source": "where a path is not Unicode; else the library opens it",
    "mahtdiag.workflows.evaluate.preparation.read_correction": "after `read_recalibration`",
    "mahtdiag.workflows.pictures": "by `decode_image` and `decode_reduced`, or a few bytes are compared",
    "mahtdiag.workflows.report.job": "by `decode_reduced`",
}


def calls() -> Iterator[tuple[str, str, ast.Call]]:
    """Every call of what `opening` offers: its module, the function that it is in, and where."""
    for file in sorted(PACKAGE.rglob("*.py")):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
        names = {alias.name for node in imports if node.module == OPENING for alias in node.names}
        module = ".".join(file.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")
        for function in ast.walk(tree):
            if isinstance(function, ast.FunctionDef):
                for node in ast.walk(function):
                    if (
                        isinstance(node, ast.Call)
                        and isinstance(node.func, ast.Name)
                        and node.func.id in names
                    ):
                        yield module, function.name, node


@pytest.fixture(scope="module")
def reached(tmp_path_factory: pytest.TempPathFactory) -> set[tuple[str, int]]:
    """Modules and lines of the calls that reading the valid files of all targets makes."""
    found: set[tuple[str, int]] = set()

    def recording(function: Callable[..., Any]) -> Callable[..., Any]:
        def recorded(*args: Any, **more: Any) -> Any:
            frame = sys._getframe(1)
            found.add((frame.f_globals["__name__"], frame.f_lineno))
            return function(*args, **more)

        return recorded

    # What makes the files reads some as well, once in a process.
    made = {name: target_of(name).files for name in NAMES if name != NESTED}
    with pytest.MonkeyPatch.context() as patched, sleap_in_this_process():
        for module, _, node in calls():
            name, home = node.func.id, importlib.import_module(module)  # type: ignore[attr-defined]
            if getattr(home, name).__name__ != "recorded":
                patched.setattr(home, name, recording(getattr(home, name)))
        for name in made:
            _read(name, tmp_path_factory.mktemp("set"))
    return found


def _read(name: str, place: Path) -> None:
    target = target_of(name)
    folder = InputFolder(target, place / "set").folder
    for seed in range(4):
        target.read(folder, random.Random(seed))


@pytest.mark.slow
def test_every_reader_is_reached(reached: set[tuple[str, int]]) -> None:
    missed = {
        f"{module}.{function}"
        for module, function, node in calls()
        if not any((module, line) in reached for line in range(node.lineno, (node.end_lineno or 0) + 1))
    }
    assert {name for name in missed if not name.startswith(tuple(OTHERS))} == set()
    # What is reached, or gone, needs no word.
    assert {other for other in OTHERS if not any(name.startswith(other) for name in missed)} == set()
