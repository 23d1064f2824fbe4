"""How often `compare` calls one of two equally good runs worse, and how often its intervals hold the truth.

    python -m validation comparison

Simulated runs: natural spines, 20 keypoints; errors whose size is log-normal per image, half of it shared by
both runs, which makes them skewed and dependent within images; σ that knows the size. For false alarms it is
chance in each image which run is A; for intervals B is 15 % further off and claims a σ 15 % larger, for power
30 %. The truth is the difference over all images of the population, from which sets are drawn.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from mahtdiag.diagnosis.comparison import PRIMARY, Comparison, Verdict, compare_runs
from mahtdiag.diagnosis.gates import Margin
from mahtdiag.diagnosis.metrics.measures import FEWEST_UNITS
from mahtdiag.diagnosis.metrics.registry import metrics_of
from mahtdiag.diagnosis.run_table import RunTable
from mahtdiag.reports.tables.comparison import title_of
from mahtdiag.schema.skeleton import AP, View
from tests.anatomy.spines import natural_spines, sizes_for

Floats = NDArray[np.float64]

NUMBERS = (
    "radial_error_px.mean",
    "radial_error_px.median",
    "radial_error_px.p90",
    "radial_error_px.p95",
    "sdr_px.8",
    "anatomy.images_with_violations",
    "calibration.mace",
    "calibration.nll",
    "calibration.sharpness_px",
    "calibration.sigma_scale",
)
POPULATION, WORSE, SHOWN = 2000, 1.15, 1.3
NULL_SIZES, NULL_SETS = (2, 3, 5, 10, 24, 46, 128), 400
FEW_SETS = 40
COVERED_SIZES, COVERED_SETS = (20, 50, 200), 200
POWER_SIZES = (46, 128)
MOST_WRONG = 0.025
LEAST_COVERED = {20: 0.90, 50: 0.92, 200: 0.92}
MOST_COVERED, MOST_OUTSIDE = 0.98, 0.05
MARGINS = tuple(Margin(name, 0.0, relative=False) for name in PRIMARY)


@dataclass(frozen=True, slots=True)
class Population:
    """Both runs on all images, one after the other in `both`."""

    both: RunTable
    images: int

    def sets(self, rng: np.random.Generator, images: int, swapped: bool) -> Comparison:
        """A comparison of so many images, drawn with replacement."""
        drawn = rng.integers(self.images, size=images)
        swap = rng.random(images) < 0.5 if swapped else np.zeros(images, dtype=np.bool_)
        a, b = (self.both.taken(drawn + self.images * side) for side in (swap, ~swap))
        return compare_runs(a, b, NUMBERS, MARGINS)

    def truths(self) -> dict[str, float]:
        """The difference of each number over all images."""
        every = np.arange(self.images)
        a, b = (self.both.taken(every + self.images * side) for side in (0, 1))
        return {each.name: each.difference.difference for each in compare_runs(a, b, NUMBERS, ()).metrics}


def population(images: int = POPULATION, worse: float = 1.0, seed: int = 0) -> Population:
    """Two runs, the second of which is `worse` times as far off and says so."""
    rng = np.random.default_rng(seed)
    true = natural_spines(View.AP, images, seed)
    hard = np.exp(rng.normal(0.0, 0.6, (images, 1, 1)))
    sizes = [4.0 * f * hard * np.exp(rng.normal(0.0, 0.5, (images, 1, 1))) for f in (1.0, worse)]
    gt, size = np.concatenate([true, true]), np.concatenate(sizes)
    error = size * rng.normal(size=gt.shape)
    sigma = size * np.exp(rng.normal(0.0, 0.2, (*gt.shape[:2], 1)))
    width, height = sizes_for(gt + error).T
    both = RunTable(
        AP,
        {
            "image": tuple(map(str, range(2 * images))),
            "width": width,
            "height": height,
            "gt_px": gt,
            "pred_px": gt + error,
            "error_px": np.hypot(error[..., 0], error[..., 1]),
            "error_mm": np.full(error.shape[:2], np.nan),
            "sigma_px": np.repeat(sigma, 2, axis=2),
        },
    )
    # Looked for once in all images, not in every set anew.
    assert len(both.findings.images_by_code())
    return Population(both, images)


@dataclass(frozen=True, slots=True)
class Share:
    """How often a number, or the verdict, was called worse and better; None where it never had a test."""

    name: str
    worse: float | None
    better: float | None


def called(of: Population, images: int, sets: int, *, swapped: bool = True, seed: int = 0) -> list[Share]:
    """The verdict, then every number by itself: its interval above and below 0."""
    rng = np.random.default_rng([seed, images])
    found = [of.sets(rng, images, swapped) for _ in range(sets)]
    verdicts = [each.verdict for each in found]
    shares = [Share("verdict", *(verdicts.count(v) / sets for v in (Verdict.WORSE, Verdict.BETTER)))]
    for name, ends in _intervals(found).items():
        if ends is None:
            shares.append(Share(name, None, None))
        else:
            shares.append(Share(name, float((ends[:, 0] > 0.0).mean()), float((ends[:, 1] < 0.0).mean())))
    return shares


@dataclass(frozen=True, slots=True)
class Coverage:
    """How often the interval of a difference held the truth, and lay below or above it."""

    name: str
    covered: float
    below: float
    above: float

    def keeps(self, images: int) -> bool:
        """Whether that is what was asked for at this size."""
        least = LEAST_COVERED[images]
        return least <= self.covered <= MOST_COVERED and max(self.below, self.above) <= MOST_OUTSIDE


def coverage(of: Population, images: int, sets: int, seed: int = 0) -> list[Coverage]:
    """Of every number that has an interval at this size."""
    truths, rng = of.truths(), np.random.default_rng([seed, images])
    found = _intervals([of.sets(rng, images, swapped=False) for _ in range(sets)])
    rows = []
    for name, ends in found.items():
        if ends is not None:
            below, above = (
                float((ends[:, 1] < truths[name]).mean()),
                float((ends[:, 0] > truths[name]).mean()),
            )
            rows.append(Coverage(name, 1.0 - below - above, below, above))
    return rows


def _intervals(found: Sequence[Comparison]) -> dict[str, Floats | None]:
    """Ends `[S, 2]` of every number in S comparisons, None where they are too small."""
    by_name: dict[str, list[tuple[float, float] | None]] = {name: [] for name in NUMBERS}
    for comparison in found:
        for metric in comparison.metrics:
            by_name[metric.name].append(metric.difference.ci95)
    return {
        name: None if any(each is None for each in ends) else np.array(ends, dtype=np.float64)
        for name, ends in by_name.items()
    }


def run() -> Iterator[RenderableType]:
    """The tables of the study."""
    equal, worse, shown = population(), population(worse=WORSE), population(worse=SHOWN)
    # Of so few images nothing is said, as few sets show.
    sets = {images: NULL_SETS if images >= FEWEST_UNITS else FEW_SETS for images in NULL_SIZES}
    yield _false_alarms({images: called(equal, images, sets[images]) for images in NULL_SIZES})
    for images in POWER_SIZES:
        told, *_ = called(shown, images, COVERED_SETS, swapped=False)
        share = f"{100 * (told.worse or 0.0):.0f} %"
        yield Text(f"B {SHOWN:g} times as far off: verdict worse in {share}, {images} images")
    yield _coverage_table({images: coverage(worse, images, COVERED_SETS) for images in COVERED_SIZES})
    yield Text("targets: 92 to 98 %, from 90 % at 20 images; no more than 5 % on a side")


def _false_alarms(by_size: dict[int, list[Share]]) -> Table:
    title = f"Equally good runs called worse/better, % of {NULL_SETS} sets; target {100 * MOST_WRONG:g} each"
    table = Table(title=title, title_justify="left", box=None, padding=(0, 1, 0, 0))
    table.add_column("images", no_wrap=True)
    for images in by_size:
        table.add_column(str(images), justify="right", no_wrap=True)
    for rows in zip(*by_size.values(), strict=True):
        cells = [
            "–"
            if row.worse is None or row.better is None
            else f"{100 * row.worse:.1f}/{100 * row.better:.1f}"
            for row in rows
        ]
        table.add_row(_title(rows[0].name), *cells)
    return table


def _coverage_table(by_size: dict[int, list[Coverage]]) -> Table:
    title = f"95 % intervals of differences, {COVERED_SETS} sets"
    table = Table(title=title, title_justify="left", box=None)
    for column in ("number", "images", "covered", "too low", "too high", ""):
        table.add_column(column, justify="left" if column == "number" else "right")
    for images, rows in by_size.items():
        for row in rows:
            shares = [f"{100 * share:.1f} %" for share in (row.covered, row.below, row.above)]
            table.add_row(_title(row.name), str(images), *shares, "" if row.keeps(images) else "MISSED")
    return table


def _title(name: str) -> str:
    metric = metrics_of(AP).get(name)
    return name if metric is None else title_of(metric)
