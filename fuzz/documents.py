"""Single files: factors of `--fit`, `mahtdiag.toml`, `pyproject.toml`, and tables of subgroups."""

import random
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from fuzz.answers import refused, require_line
from fuzz.mutations import Change, mutate
from fuzz.run_folders import changed_document, run_files
from fuzz.spines import NAMES
from mahtdiag.config.project_file import read_settings
from mahtdiag.data.files import Dataset
from mahtdiag.errors import MahtdiagError
from mahtdiag.runs.factors import read_recalibration
from mahtdiag.schema.records import Patient, Sample
from mahtdiag.schema.skeleton import AP
from mahtdiag.workflows.evaluate.subgroup_file import with_subgroups

Rng = random.Random
_PROJECT: Final = """\
[model]
checkpoint = "ckpt.pt"
input_size = "256x128"
normalize = "unit"
heatmap_sigma = 2.0
decode = "soft-argmax"

[data]
path = "data"
view = "AP"
levels = "L1-L5"
pixel_spacing_mm = 0.143

[evaluate]
batch_size = 8
overlays = "worst:12"
allow_failures = 2

[anatomy.limits]
A201 = 22.0

[calibration]
groups = ["vertebra", "corner"]

[gates]
"radial_error_mm.mean" = "<= 4.0"
"sdr_mm.4" = "lower >= 0.8"

[gates.baseline]
run = "runs/first"
"radial_error_px.mean" = "+0.5"
"""


_SUBGROUPS: Final = """\
image,scanner,bmi [25 30],sex
a,X 1,24.5,F
b.png,X 2,31,M
c,X 1,,F
"""


def _in_tool(text: str) -> bytes:
    """The same keys below `[tool.mahtdiag]`, after another tool's."""
    return b"[tool.ruff]\nline-length = 110\n\n" + re.sub(r"(?m)^\[", "[tool.mahtdiag.", text).encode()


def _grouped(path: Path) -> None:
    """Subgroups of the images of a set."""
    samples = tuple(
        Sample(f"{name}.png", "", AP, np.full((AP.keypoints, 2), np.nan), "", patient=Patient(name))
        for name in NAMES
    )
    for note in with_subgroups(Dataset(path.parent, "csv", AP, samples, (), ()), str(path))[0].notes:
        require_line(note)


@dataclass(frozen=True)
class DocumentTarget:
    """One file that is read by one function."""

    name: str
    file: str
    content: Callable[[], bytes]
    opened: Callable[[Path], object]
    is_silent: bool = True

    @property
    def files(self) -> Mapping[str, bytes]:
        """The file as it was written."""
        return {self.file: self.content()}

    def changes(self, rng: Rng) -> dict[str, Change]:
        """Other text, or another structure where it is JSON."""
        content = self.content()
        if self.file.endswith(".json") and rng.random() < 0.7:
            return {self.file: changed_document(content, rng, times=rng.choice((1, 1, 2)))}
        return {self.file: mutate(content, rng, is_text=True)}

    def read(self, folder: Path, rng: Rng) -> str:
        """Read once."""
        try:
            self.opened(folder / self.file)
        except MahtdiagError as error:
            return refused(error)
        return "read"


DOCUMENTS: Final[Mapping[str, DocumentTarget]] = {
    "factors": DocumentTarget("factors", "fit.json", lambda: run_files()["fit.json"], read_recalibration),
    "project": DocumentTarget(
        "project", "mahtdiag.toml", _PROJECT.encode, lambda path: read_settings(path, path.parent)
    ),
    "pyproject": DocumentTarget(
        "pyproject",
        "pyproject.toml",
        lambda: _in_tool(_PROJECT),
        lambda path: read_settings(None, path.parent),
    ),
    "subgroups": DocumentTarget("subgroups", "subgroups.csv", _SUBGROUPS.encode, _grouped),
}
