"""The images behind a number: against sorting by hand, and whatever order they come in."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from mahtdiag.anatomy.error_types import ErrorType, classify_errors
from mahtdiag.diagnosis.anatomy import JudgedImage, LevelShift
from mahtdiag.diagnosis.columns import Values
from mahtdiag.diagnosis.run_table import RunTable
from mahtdiag.reports.ci.record import WorstImages
from mahtdiag.schema.findings import Finding
from mahtdiag.schema.samples import Failure
from mahtdiag.schema.skeleton import View
from mahtdiag.workflows.gates import worst_images
from tests.anatomy.spines import natural_spines

Floats = NDArray[np.float64]
N, VIEW = 9, View.LA
K = VIEW.keypoints


def columns(seed: int = 1) -> RunTable:
    """Nine images; the first has no label at all, the second lacks L5, one σ is 0 and one is missing."""
    rng = np.random.default_rng(seed)
    gt = natural_spines(VIEW, N)
    gt[0] = np.nan
    gt[1, 16:20] = np.nan
    pred = gt + rng.normal(scale=np.arange(1.0, N + 1)[:, None, None], size=gt.shape)
    error = np.linalg.norm(pred - gt, axis=-1)
    sigma = np.exp(rng.normal(size=gt.shape))
    sigma[2, 3] = 0.0
    sigma[3, 4, 1] = np.nan
    point = np.full((N, K, 2), np.nan)
    second = np.where(rng.random((N, K)) < 0.1, 0.8, 0.1)
    values: dict[str, Values] = {
        "image": tuple(f"{n}.png" for n in range(N)),
        "gt_px": gt,
        "pred_px": pred,
        "error_px": error,
        "error_mm": 0.25 * error,
        "sigma_px": sigma,
        "second_share": second,
        "second_px": point + 1.0,
        "argmax_px": point,
        "local_px": point,
    }
    return RunTable(VIEW.skeleton, values)


def images_of(losses: Floats) -> RunTable:
    """Images with these losses."""
    values: dict[str, Values] = {
        "image": tuple(f"{n}.png" for n in range(len(losses))),
        "loss_total": losses,
        "loss_coord": 2 * losses,
        "loss_uncertainty": -losses,
        "loss_heatmap_keypoint_share": np.clip(losses / 10, 0, 1),
    }
    return RunTable(VIEW.skeleton, values)


def names(worst: WorstImages | None) -> list[str]:
    assert worst is not None
    return [row.image for row in worst.images]


def by_hand(score: dict[str, float], *, largest: bool = True, least: float = -np.inf) -> list[str]:
    """The five first of the known scores, by name where scores are equal."""
    known = {name: value for name, value in score.items() if value > least}
    return sorted(known, key=lambda name: (-known[name] if largest else known[name], name))[:5]


def per_image(
    value: Callable[[int, int], float], reduce: Callable[[list[float]], float], members: list[int]
) -> dict[str, float]:
    """A score from the known values of some keypoints of every image."""
    found = {}
    for n in range(N):
        known = [value(n, k) for k in members if value(n, k) == value(n, k)]
        if known:
            found[f"{n}.png"] = reduce(known)
    return found


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


EVERY = list(range(K))
L5 = [k for k in EVERY if VIEW.vertebra_of[k] == "L5"]
UR = [k for k in EVERY if VIEW.corner_of[k] == "UR"]


@pytest.mark.parametrize(
    ("metric", "what", "reduce", "members"),
    [
        ("radial_error_px.mean", "largest mean radial error", mean, EVERY),
        ("metrics.radial_error_px.p95", "largest mean radial error", mean, EVERY),
        ("radial_error_mm.median", "largest mean radial error", mean, EVERY),
        ("radial_error_px.max", "largest radial error of a keypoint", max, EVERY),
        ("by_vertebra.L5", "largest mean radial error of L5", mean, L5),
        ("vertebrae.L5.radial_error_px.mean", "largest mean radial error of L5", mean, L5),
        ("vertebrae.L5.radial_error_mm.max", "largest radial error of a keypoint of L5", max, L5),
        ("metrics.by_corner.UR", "largest mean radial error of UR", mean, UR),
        ("corners.UR.radial_error_px.std", "largest mean radial error of UR", mean, UR),
    ],
)
def test_errors(metric: str, what: str, reduce: Callable[[list[float]], float], members: list[int]) -> None:
    keypoints = columns()
    ranking = worst_images.by_errors(metric, keypoints)
    assert ranking is not None
    scores = per_image(lambda n, k: float(keypoints.error_px[n, k]), reduce, members)
    worst = ranking.worst(too_high=True)
    assert worst is not None
    assert (worst.what, names(worst)) == (what, by_hand(scores))
    assert "0.png" not in names(worst)
    unit, factor = ("mm", 0.25) if "_mm" in metric else ("px", 1.0)
    value, shown = worst.images[0].value.split()
    assert shown == unit
    assert float(value) == pytest.approx(factor * max(scores.values()), rel=0.01)
    assert names(ranking.worst(too_high=False)) == by_hand(scores, largest=False)


@pytest.mark.parametrize(
    ("metric", "threshold", "of", "members"),
    [
        ("sdr_px.4", 4.0, "4 px", EVERY),
        ("metrics.sdr_px.16", 16.0, "16 px", EVERY),
        ("sdr_mm.2.5", 10.0, "2.5 mm", EVERY),
        ("vertebrae.L5.sdr_px.8", 8.0, "8 px of L5", L5),
    ],
)
def test_rates(metric: str, threshold: float, of: str, members: list[int]) -> None:
    keypoints = columns()
    ranking = worst_images.by_errors(metric, keypoints)
    assert ranking is not None
    worst = ranking.worst(too_high=False)
    assert worst is not None
    scores = per_image(
        lambda n, k: float(keypoints.error_px[n, k]),
        lambda known: mean([e > threshold for e in known]),
        members,
    )
    assert (worst.what, names(worst)) == (f"most keypoints beyond {of}", by_hand(scores, least=0.0))
    beyond, all_known = worst.images[0].value.split(" of ")
    assert int(beyond) / int(all_known) == max(scores.values())
    fewest = ranking.worst(too_high=True)
    assert fewest is not None
    assert (fewest.what, names(fewest)) == (f"fewest keypoints beyond {of}", by_hand(scores, largest=False))


@pytest.mark.parametrize(
    ("metric", "too_high", "expected"),
    [
        ("keypoints_missing", True, [("0.png", "22 keypoints"), ("1.png", "4 keypoints")]),
        ("metrics.keypoints_measured", False, [("0.png", "22 keypoints"), ("1.png", "4 keypoints")]),
        ("vertebrae.L5.keypoints", False, [("0.png", "4 keypoints"), ("1.png", "4 keypoints")]),
    ],
)
def test_missing_labels(metric: str, too_high: bool, expected: list[tuple[str, str]]) -> None:
    ranking = worst_images.by_errors(metric, columns())
    assert ranking is not None
    worst = ranking.worst(too_high)
    assert worst is not None
    assert [(row.image, row.value) for row in worst.images] == expected


def test_numbers_that_no_image_stands_for() -> None:
    assert worst_images.by_errors("seconds.total", columns()) is None
    assert worst_images.by_loss("losses.none", images_of(np.arange(3.0))) is None
    residual, sigma = np.ones((N, K, 2)), np.ones((N, K, 2))
    assert worst_images.by_sigma("calibration.epistemic_share", VIEW, "abc", residual, sigma) is None


FIRST, LAST = [f"{n}.png" for n in range(5)], [f"{n}.png" for n in range(5, 0, -1)]


@pytest.mark.parametrize(
    ("metric", "too_high", "what", "expected"),
    [
        ("losses.total", True, "largest loss", LAST),
        ("losses.coord", True, "largest coord loss", LAST),
        ("losses.uncertainty", True, "largest uncertainty loss", FIRST),
        ("losses.heatmap_keypoint_share", False, "smallest share of keypoints in the heatmap loss",
         FIRST),
    ],
)  # fmt: skip
def test_losses(metric: str, too_high: bool, what: str, expected: list[str]) -> None:
    """A part can be negative, and an image that has failed has none."""
    ranking = worst_images.by_loss(metric, images_of(np.arange(6.0)))
    assert ranking is not None
    worst = ranking.worst(too_high)
    assert worst is not None
    assert (worst.what, names(worst)) == (what, expected)


def finding(code: str, vertebra: str, severity: float) -> Finding:
    """A finding that blames the last keypoint of each vertebra that it names."""
    blamed = [
        max(np.flatnonzero(np.array(VIEW.vertebra_of) == name).tolist()) for name in vertebra.split("/")
    ]
    return Finding(code, 0, vertebra, 1.0, "°", 0.5, severity, tuple(blamed))


JUDGED = (
    JudgedImage("b.png", 3.5, (finding("A201", "L3", 2.0), finding("A402", "L5", 4.0)), ()),
    JudgedImage("a.png", 2.0, (finding("A201", "L4/L5", 9.0),), ()),
    JudgedImage("c.png", 0.0, (), ()),
)


@pytest.mark.parametrize(
    ("metric", "what", "expected"),
    [
        ("anatomy.violations", "largest severity of violations",
         ["b.png 3.50 (A201, A402)", "a.png 2.00 (A201)"]),
        ("anatomy.by_code.A201.images", "largest severity of A201", ["a.png 9.00", "b.png 2.00"]),
        ("anatomy.by_code.A402.findings", "largest severity of A402", ["b.png 4.00"]),
        ("anatomy.vertebrae.L3.violations", "largest severity of violations in L3",
         ["b.png 2.00 (A201, A402)"]),
        ("anatomy.vertebrae.L5.violations", "largest severity of violations in L5",
         ["a.png 9.00 (A201)", "b.png 4.00 (A201, A402)"]),
    ],
)  # fmt: skip
def test_violations(metric: str, what: str, expected: list[str]) -> None:
    worst = worst_images.by_violations(metric, VIEW, JUDGED).worst(too_high=True)
    assert worst is not None
    assert (worst.what, [f"{row.image} {row.value}" for row in worst.images]) == (what, expected)


def test_no_violation_no_image() -> None:
    assert worst_images.by_violations("anatomy.violations", VIEW, JUDGED[2:]).worst(too_high=True) is None
    assert worst_images.by_violations("anatomy.violations", VIEW, ()).worst(too_high=True) is None


def test_error_types() -> None:
    keypoints = columns()
    types = classify_errors(keypoints.pred_px, keypoints.gt_px).types
    ranking = worst_images.by_error_type("error_types.by_type.jitter.keypoint_share", keypoints)
    assert ranking is not None
    scores = {f"{n}.png": float((types[n] == ErrorType.JITTER).sum()) for n in range(N)}
    worst = ranking.worst(too_high=True)
    assert worst is not None
    assert (worst.what, names(worst)) == ("most keypoints of type jitter", by_hand(scores, least=0.0))
    other = worst_images.by_error_type("error_types.mean_error_px", keypoints)
    assert other is not None
    assert other.most == "largest mean radial error"


def test_two_peaks() -> None:
    keypoints = columns()
    worst = worst_images.by_ambiguity(keypoints).worst(too_high=True)
    counts = {f"{n}.png": float((keypoints.peaks.second_share[n] >= 0.5).sum()) for n in range(N)}
    assert names(worst) == by_hand(counts, least=0.0)


@pytest.mark.parametrize(("metric", "members"), [("mace", EVERY), ("groups.vertebra.L5.mace", L5)])
@pytest.mark.parametrize("too_high", [True, False])
def test_sigma(metric: str, members: list[int], too_high: bool) -> None:
    """Overconfident or not, what is farthest off in σ comes first; σ of 0 or without a value says nothing."""
    keypoints = columns()
    residual = keypoints.pred_px - keypoints.gt_px
    ranking = worst_images.by_sigma(
        f"calibration.{metric}", VIEW, keypoints.image, residual, keypoints.sigma_px
    )
    assert ranking is not None
    scores: dict[str, float] = {}
    places: dict[str, str] = {}
    for n in range(N):
        for k in members:
            for axis in range(2):
                sigma = keypoints.sigma_px[n, k, axis]
                if sigma > 0 and abs(residual[n, k, axis]) / sigma > scores.get(f"{n}.png", -1.0):
                    scores[f"{n}.png"] = float(abs(residual[n, k, axis]) / sigma)
                    places[f"{n}.png"] = f"{VIEW.keypoint_names[k]} in {'xy'[axis]}"
    worst = ranking.worst(too_high)
    assert worst is not None
    assert names(worst) == by_hand(scores)
    for row in worst.images:
        value, place = row.value.split(" σ at ")
        assert float(value) == pytest.approx(scores[row.image], rel=0.01)
        assert place == places[row.image]


def test_size_of_sigma() -> None:
    keypoints = columns()
    residual = keypoints.pred_px - keypoints.gt_px
    for name, too_high, largest in (
        ("sharpness_px", True, True),
        ("sharpness_px", False, False),
        ("at_max_share", True, True),
    ):
        ranking = worst_images.by_sigma(
            f"calibration.{name}", VIEW, keypoints.image, residual, keypoints.sigma_px
        )
        assert ranking is not None
        scores = {f"{n}.png": float(np.nanmax(keypoints.sigma_px[n])) for n in range(N)}
        assert names(ranking.worst(too_high)) == by_hand(scores, largest=largest)
    ranking = worst_images.by_sigma(
        "calibration.at_min_share", VIEW, keypoints.image, residual, keypoints.sigma_px
    )
    assert ranking is not None
    smallest = {f"{n}.png": float(np.nanmin(keypoints.sigma_px[n])) for n in range(N)}
    worst = ranking.worst(too_high=True)
    assert worst is not None
    assert (worst.what, names(worst)) == ("smallest σ", by_hand(smallest, largest=False))


def test_increases() -> None:
    before = np.array([1.0, 2.0, np.nan, 4.0, 5.0, 6.0])
    now = np.array([1.5, 1.0, 9.0, 4.0, 8.25, np.nan])
    ranking = worst_images.by_increase("abcdef", before, now)
    worst = ranking.worst(too_high=True)
    assert worst is not None
    assert worst.what == "largest increase of the mean radial error"
    assert [(row.image, row.value) for row in worst.images] == [
        ("e", "+3.25 px (to 8.25)"),
        ("a", "+0.50 px (to 1.50)"),
    ]
    assert worst_images.by_increase("ab", now[:2], now[:2]).worst(too_high=True) is None


def test_names_alone() -> None:
    failures = tuple(Failure(f"{n}.png", "empty") for n in range(7))
    worst = worst_images.failed_images(failures)
    assert worst is not None
    assert [(row.image, row.value) for row in worst.images] == [(f"{n}.png", "") for n in range(5)]
    assert worst_images.failed_images(()) is None
    shifted = worst_images.shifted_images((LevelShift("a.png", 1), LevelShift("b.png", -1)))
    assert shifted is not None
    assert [(row.image, row.value) for row in shifted.images] == [("a.png", "+1"), ("b.png", "-1")]
    assert worst_images.shifted_images(()) is None


def test_the_order_of_images_decides_nothing() -> None:
    keypoints = columns()
    keypoints = keypoints.with_values(error_px=np.round(keypoints.error_px))
    order = np.random.default_rng(0).permutation(N)
    shuffled = keypoints.taken(order)
    for metric in ("radial_error_px.mean", "radial_error_px.max", "sdr_px.8", "by_vertebra.L1"):
        one, other = (worst_images.by_errors(metric, each) for each in (keypoints, shuffled))
        assert one is not None
        assert other is not None
        assert one.worst(too_high=True) == other.worst(too_high=True)
        assert one.worst(too_high=False) == other.worst(too_high=False)
