"""How often mistakes that are put into clean annotations are found, and under their right name.

    python -m benchmarks.injection [--aasce LABELS.json --known KNOWN_ERRORS.json]

The sample sets are always judged, the AASCE labels (see `benchmarks.label_audit`) where they are given. Each
mistake is made once in every clean image. *flagged*: a rule fires on the keypoints alone. *named*: it is
found under its right name and, for the rules (codes or their beginnings), blamed on the right keypoints.
Mistakes that leave a possible spine are no rule's business: a whole-image level shift and jitter are named by
comparing with the label (jitter: the share of keypoints called good or jitter), errors that all images share
by fitting sets of 20 images.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import RenderableType
from rich.text import Text

from benchmarks.injection_sets import CleanSet, clean_aasce, sample_set
from benchmarks.injections import INJECTIONS, Injected, Injection, Kind
from mahtdiag.anatomy.error_types import ErrorType, classify_errors, whole_image_level_shift
from mahtdiag.anatomy.findings import Findings
from mahtdiag.anatomy.systematic import explain_systematic_error, fit_systematic_error
from mahtdiag.anatomy.violations import check_anatomy
from mahtdiag.schema.views import View

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
SET_SIZE, SETS, RESAMPLES = 20, 50, 200
SAMPLE_DATA = Path(__file__).parents[1] / "sample_data"


@dataclass(frozen=True, slots=True)
class Row:
    """One mistake in one set: shares 0…1 of images flagged by rules, and named rightly by `name`."""

    title: str
    flagged: float
    named: float
    name: str


def measure(clean: CleanSet, injection: Injection, seed: int = 0) -> Row:
    """Makes one mistake in every image and looks for it."""
    injected = injection.make(clean, np.random.default_rng(seed))
    found = check_anatomy(injected.points_px, clean.view, image_size_px=clean.size_px)
    flagged = found.image_severity() > 0
    match injection.kind:
        case Kind.RULES:
            named: Floats | Bools = named_by_rules(found, injection, injected)
        case Kind.LEVEL_SHIFT:
            named = whole_image_level_shift(injected.points_px, clean.points_px) == -1
        case Kind.ERROR_TYPE:
            named = named_by_type(clean, injected)
        case Kind.FITTED:
            named = named_by_fit(clean, injection, injected, seed)
    return Row(injection.title, float(flagged.mean()), float(named.mean()), injection.shown_name)


def named_by_rules(found: Findings, injection: Injection, injected: Injected) -> Bools:
    """Images in which one of the right rules blames one of the keypoints that were changed."""
    named = np.zeros(found.images, dtype=np.bool_)
    for image, findings in enumerate(found.per_image()):
        changed = set(np.flatnonzero(injected.changed[image]).tolist())
        named[image] = any(
            finding.code.startswith(injection.codes) and not changed.isdisjoint(finding.keypoints)
            for finding in findings
        )
    return named


def named_by_type(clean: CleanSet, injected: Injected) -> Floats:
    """Share of each image's keypoints called good or jitter."""
    types = classify_errors(injected.points_px, clean.points_px, clean.view).types
    small: Bools = np.isin(types, (ErrorType.GOOD, ErrorType.JITTER))
    return np.asarray(small.mean(axis=1), dtype=np.float64)


def named_by_fit(clean: CleanSet, injection: Injection, injected: Injected, seed: int) -> Bools:
    """Random sets of images in which the sentence about shared errors says the right thing."""
    rng = np.random.default_rng(seed)
    cell = clean.cell_px[:, None]
    named = []
    for _ in range(SETS):
        some = rng.choice(len(clean.points_px), min(SET_SIZE, len(clean.points_px)), replace=False)
        pred, label = injected.points_px[some], clean.points_px[some]
        in_px = fit_systematic_error(pred, label, resamples=RESAMPLES)
        in_cells = fit_systematic_error(pred / cell[some], label / cell[some], resamples=RESAMPLES)
        sentence = explain_systematic_error(in_px, in_cells) if in_px else None
        named.append(sentence is not None and injection.words in sentence)
    return np.array(named)


def clean_flagged(clean: CleanSet) -> float:
    """Share of clean images that a rule flags."""
    found = check_anatomy(clean.points_px, clean.view, image_size_px=clean.size_px)
    return float((found.image_severity() > 0).mean())


def report(sets: Sequence[CleanSet]) -> str:
    """The table: every mistake, in every set."""
    lines: list[str] = []
    for clean in sets:
        lines.append(f"{clean.title}, {clean.view}: {len(clean.points_px)} clean images")
        lines.append(f"{'mistake':<39}{'flagged':>8}{'named':>9}  by")
        lines.append(f"{'none':<39}{_percent(clean_flagged(clean)):>8}")
        for injection in INJECTIONS:
            row = measure(clean, injection)
            lines.append(f"{row.title:<39}{_percent(row.flagged):>8}{_percent(row.named):>9}  {row.name}")
        lines.append("")
    return "\n".join(lines)


def run() -> Iterator[RenderableType]:
    """The table of the sample sets, for `make bench`."""
    yield Text(report([sample_set(SAMPLE_DATA, view) for view in View]))


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def main() -> None:
    """Reads the sets and prints the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--aasce", type=Path, help="AASCE annotations, JSON")
    parser.add_argument("--known", type=Path, help="the known errors among them, JSON")
    arguments = parser.parse_args()
    sets = [sample_set(SAMPLE_DATA, view) for view in View]
    if arguments.aasce and arguments.known:
        sets.insert(0, clean_aasce(arguments.aasce, arguments.known))
    elif arguments.aasce or arguments.known:
        parser.error("--aasce and --known belong together")
    sys.stdout.write(report(sets))


if __name__ == "__main__":
    main()
