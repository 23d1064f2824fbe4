"""`evaluate --recalibration FILE`: factors on σ, fitted on other images, applied before σ is stored."""

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue

from mahtdiag.errors import UsageError
from mahtdiag.runs.document import Recalibration, RunDocument, read_recalibration
from mahtdiag.schema.records import Sample
from mahtdiag.workflows.calibration.recalibration import require_same_reading

READERS = 4


@dataclass(frozen=True, slots=True)
class SigmaCorrection:
    """Factors by keypoint name, the common one where a keypoint had too few images, of a file."""

    sha256: str
    common: float
    by_keypoint: dict[str, float]

    @property
    def factors(self) -> NDArray[np.float64]:
        """One factor per keypoint, `[K]`."""
        return np.array(list(self.by_keypoint.values()))

    def as_settings(self) -> dict[str, JsonValue]:
        """As `run.json` keeps it."""
        return {"sha256": self.sha256, "common": self.common, "by_keypoint": {**self.by_keypoint}}


def read_correction(file: Path, run: RunDocument, samples: Sequence[Sample]) -> SigmaCorrection:
    """The factors of a file that `calibration --fit` has written, for a run that is about to begin.

    Raises:
        UsageError: it cannot be read; it was fitted for another view, checkpoint or reading of its output; or
            some of the images are those it was fitted on.
    """
    found = read_recalibration(file)
    require_same_reading(run, found, file, "this evaluation")
    _require_unseen(found, samples, file)
    names = run.view.skeleton.keypoint_names
    return SigmaCorrection(
        hashlib.sha256(file.read_bytes()).hexdigest(),
        found.sigma_scale.common,
        {name: found.sigma_scale.by_keypoint[name] for name in names},
    )


def _require_unseen(found: Recalibration, samples: Sequence[Sample], file: Path) -> None:
    """Read every image once before the run, so that it does not end in the middle."""
    seen = set(found.image_sha256)
    with ThreadPoolExecutor(READERS) as pool:
        digests = list(pool.map(_sha256, (sample.path for sample in samples)))
    again = [sample.image for sample, sha in zip(samples, digests, strict=True) if sha in seen]
    if again:
        raise UsageError(
            f"{file}: fitted on {len(again)} of these {len(samples)} images ({again[0]}), which cannot judge "
            "it; give other images, or leave out --recalibration and see the cross-fitted calibration"
        )


def _sha256(path: str) -> str | None:
    """None where the file cannot be read; the evaluation will say so."""
    try:
        return hashlib.sha256(Path(path).read_bytes()).hexdigest()
    except OSError:
        return None
