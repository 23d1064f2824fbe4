"""What the documents say of the code is there."""

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mahtdiag.runs.reading import open_run
from mahtdiag.schema.frames import FrameMap, Size
from mahtdiag.schema.skeleton import AP

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "mahtdiag"
SAMPLES = ROOT / "sample_data"
DOCUMENTS = ("docs/architecture.md", "docs/python.md", "CONTRIBUTING.md", "README.md")
NAMED = re.compile(r"`([\w/]+\.py):([\w.]+)`")
FOLDER = re.compile(r"`([a-z_]+(?:/[a-z_]+)*/)`")
LINK = re.compile(r"\]\((?!http|#)([^)#]+)")


def text_of(document: str) -> str:
    return (ROOT / document).read_text(encoding="utf-8")


def defined_in(file: Path) -> set[str]:
    """Functions, classes and methods: `evaluate`, `RunFolder`, `RunFolder.append`."""
    found = set()
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        if isinstance(node, ast.ClassDef):
            inner = (part for part in node.body if isinstance(part, ast.FunctionDef))
            found |= {f"{node.name}.{part.name}" for part in inner}
    return found


@pytest.mark.parametrize("document", DOCUMENTS)
def test_functions_that_are_named_are_there(document: str) -> None:
    named = NAMED.findall(text_of(document))
    missing = [
        f"{file}:{name}" for file, name in named
        if not (PACKAGE / file).is_file() or name not in defined_in(PACKAGE / file)
    ]  # fmt: skip
    assert missing == []
    assert named or document != "docs/architecture.md"


@pytest.mark.parametrize("document", DOCUMENTS)
def test_files_and_folders_that_are_named_are_there(document: str) -> None:
    text, folder = text_of(document), (ROOT / document).parent
    assert [link for link in LINK.findall(text) if not (folder / link).exists()] == []
    if document != "README.md":  # which speaks of the folders of a user
        named = FOLDER.findall(text)
        assert [name for name in named if not any((base / name).is_dir() for base in (ROOT, PACKAGE))] == []


@pytest.mark.slow
def test_the_keypoint_of_the_example_goes_that_way(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mahtdiag", "evaluate", str(SAMPLES / "mahtnet-ap.pt"), str(SAMPLES)]
    command += ["--out", "run", "--overlays", "none"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    run = open_run(Path("run"), tmp_path)
    table, name = run.table(), "AP/0011-M-034Y0.jpg"
    row, last = table.image.index(name), AP.keypoints - 1
    frame = FrameMap(Size(1091, 869), Size(256, 192), Size(64, 48))
    label, place = table.gt_px[row, last], table.pred_px[row, last]
    in_input, sigma_px = frame.original_to_input(place), table.sigma_px[row, last]
    content = json.loads((tmp_path / "run" / "run.json").read_text(encoding="utf-8"))
    l5 = content["metrics"]["vertebrae"]["L5"]["radial_error_px"]
    words = {
        f"`error_px[{row}, {last}]`",
        f"({label[0]:.0f}, {label[1]:.0f})",
        _pair(frame.original_to_heatmap(label), 2),
        _pair(frame.input_to_heatmap(in_input), 2),
        _pair(in_input, 1),
        _pair(place, 1),
        " × ".join(f"{value:.2f}" for value in sigma_px * frame.input_per_original),
        f"{table.error_px[row, last]:.2f} px",
        f"{l5['mean']:.2f} px",
        f"{l5['ci95'][0]:.2f} to {l5['ci95'][1]:.2f}",
        f"peak {table.peak[row, last]:.2f}",
    }
    text = " ".join(text_of("docs/architecture.md").split())
    assert {word for word in words if word not in text} == set()


def _pair(point: np.typing.NDArray[np.float64], decimals: int) -> str:
    return f"({point[0]:.{decimals}f}, {point[1]:.{decimals}f})"
