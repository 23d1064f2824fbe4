"""What would explain the distance between predictions and labels, and whether the data prefer it.

An explanation moves labels (or predictions) as one mistake of setup would have moved them. It is believed
where the errors that are left are smaller in a paired test over images, and no other explanation leaves less.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr

from mahtdiag.schema.frames import NetworkFrames
from mahtdiag.schema.numerals import pixels
from mahtdiag.schema.skeleton import Skeleton

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Pair = tuple[Floats, Floats]

FEWEST_IMAGES = 3
ORIGIN_GAIN = 1.02
LEAST_GAIN = 1.04
CLEAR_GAIN = 1.5
"""By what factor errors have to shrink: for what moves places a little, and for what changes their meaning.

One pixel is worth saying even where errors are many times as large.
"""
DECODE_GAIN = 1.25
TOGETHER_GAIN = 1.1
SMALLEST_CHANCE = 1e-3
"""An explanation is believed where chance would do as well in fewer cases than this."""
RIVAL_CHANCE = 0.01


@dataclass(frozen=True, slots=True)
class Places:
    """Predictions and labels `[N, K, 2]` in original pixels, NaN where unknown, and what places follow from.

    `sizes_px` `[N, 2]` (width, height); `orientation` `[N]`: the files' own tags, 1 for upright; `floor_px`:
    a distance below which an error says nothing. `decoded_px`: where other ways of decoding see the same
    keypoints, by their names.
    """

    pred_px: Floats
    label_px: Floats
    sizes_px: Floats
    skeleton: Skeleton
    frames: NetworkFrames | None
    orientation: Ints
    floor_px: float
    decoded_px: Mapping[str, Floats] = field(default_factory=dict)

    def taken(self, rows: Ints) -> "Places":
        """Those of some of the images."""
        return replace(
            self,
            pred_px=self.pred_px[rows],
            label_px=self.label_px[rows],
            sizes_px=self.sizes_px[rows],
            orientation=self.orientation[rows],
            decoded_px={name: points[rows] for name, points in self.decoded_px.items()},
        )


@dataclass(frozen=True, slots=True)
class Explanation:
    """A mistake that may have been made: the check it belongs to, in words, what to do, what it changes.

    `moved` gives predictions and labels without the mistake, None where it cannot have been made.
    `least_gain`: by what factor errors have to shrink before it is believed; `freedom`: how many numbers it
    takes from the data, without the image that is judged; `most_chance`: how often chance may do as well.
    """

    check: str
    cause: str
    advice: str
    moved: Callable[[Places], Pair | None]
    least_gain: float = CLEAR_GAIN
    freedom: int = 0
    most_chance: float = SMALLEST_CHANCE


@dataclass(frozen=True, slots=True)
class Finding:
    """An explanation and how well it does.

    `gain`: by what factor errors shrink, in the geometric mean; `chance`: how often chance alone would do as
    well; `error_px`: the mean error that is left, where it was `before_px`; `better` of `images` images have
    smaller errors with it.
    """

    explanation: Explanation
    gain: float
    chance: float
    before_px: float
    error_px: float
    by_image: Floats
    better: int
    images: int

    @property
    def in_words(self) -> str:
        """What it changes: `mean error 310 px, 3.09 px without it (smaller in 16 of 16 images)`."""
        return (
            f"mean error {pixels(self.before_px)} px, {pixels(self.error_px)} px without it "
            f"(smaller in {self.better} of {self.images} images)"
        )

    @property
    def holds(self) -> bool:
        """Whether chance does not explain it, and it is worth saying."""
        return self.gain >= self.explanation.least_gain and self.chance < self.explanation.most_chance


@dataclass(frozen=True, slots=True)
class Explained:
    """The explanation that the data prefer, None where they prefer none.

    `rivals` do as well as it; `then`: what explains the errors that are left once it is mended.
    """

    found: Finding | None
    rivals: tuple[Finding, ...] = ()
    then: Finding | None = None


def best_of(
    places: Places, explanations: Sequence[Explanation]
) -> tuple[Finding | None, tuple[Finding, ...]]:
    """The best of these, and those it does not beat; one with more freedom has to beat those with less."""
    tried = [compare(places, explanation) for explanation in explanations]
    found = sorted(
        (f for f in tried if f is not None and f.holds), key=lambda f: (f.explanation.freedom, -f.gain)
    )
    best: Finding | None = None
    for finding in found:
        if best is None or (finding.gain > best.gain and beats(finding, best)):
            best = finding
    if best is None:
        return None, ()
    # One that does better yet, but too little to be believed on its own, is a rival all the same.
    likely = [f for f in tried if f is not None and (f.holds or f.gain >= best.gain) and f is not best]
    plain = sorted(
        (f for f in likely if f.explanation.freedom <= best.explanation.freedom), key=lambda f: -f.gain
    )
    return best, tuple(other for other in plain if other.chance < RIVAL_CHANCE and not beats(best, other))


def compare(places: Places, explanation: Explanation) -> Finding | None:
    """How well an explanation does; None where it cannot be tried."""
    moved = explanation.moved(places)
    if moved is None:
        return None
    return weigh(explanation, (places.pred_px, places.label_px), moved, places.floor_px)


def weigh(explanation: Explanation, before: Pair, after: Pair, floor_px: float) -> Finding | None:
    """Errors before and after on the same keypoints, image by image; None from fewer than two images."""
    errors = [np.linalg.norm(pred - label, axis=-1) for pred, label in (before, after)]
    known = np.isfinite(errors[0]) & np.isfinite(errors[1])
    rows = known.any(axis=1)
    if rows.sum() < 2:
        return None
    scores = [log_mean(np.log(error + floor_px), known)[rows] for error in errors]
    difference = scores[0] - scores[1]
    return Finding(
        explanation,
        float(np.exp(difference.mean())),
        chance(difference),
        float(errors[0][known].mean()),
        float(errors[1][known].mean()),
        np.where(rows, log_mean(np.log(errors[1] + floor_px), known), np.nan),
        int((difference > 0).sum()),
        difference.size,
    )


def log_mean(values: Floats, known: NDArray[np.bool_]) -> Floats:
    """Mean of each row where it is known, 0 where nothing is."""
    count = known.sum(axis=1)
    mean: Floats = np.where(known, values, 0.0).sum(axis=1) / np.maximum(count, 1)
    return mean


def chance(difference: Floats) -> float:
    """One-sided p-value of Student's t that the mean difference is above 0."""
    n, spread = difference.size, difference.std(ddof=1)
    if spread < 1e-9 * max(1.0, abs(difference.mean())):
        return 0.0 if difference.mean() > 1e-9 else 1.0
    return float(stdtr(n - 1, -difference.mean() / (spread / np.sqrt(n))))


def beats(best: Finding, other: Finding) -> bool:
    """Whether the other leaves larger errors beyond chance."""
    both = np.isfinite(best.by_image) & np.isfinite(other.by_image)
    return chance((other.by_image - best.by_image)[both]) < RIVAL_CHANCE
