"""The images behind a number: against sorting by hand, and whatever order they come in."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from mahtdiag.anatomy.error_types import ErrorType, classify_errors
from mahtdiag.diagnosis.columns import Values
from mahtdiag.diagnosis.metrics.registry import images_behind, known_metrics, metrics_of
from mahtdiag.diagnosis.run_table import RunTable
from mahtdiag.diagnosis.worst_images import (
    WorstImages,
    by_increase,
    failed_images,
    shifted_images,
)
from mahtdiag.reports.ci.record import score_in_words
from mahtdiag.reports.text import number
from mahtdiag.schema.records import Failure
from mahtdiag.schema.skeleton import LA, View
from tests.anatomy.spines import natural_spines, sizes_for

Floats = NDArray[np.float64]
N, VIEW = 9, View.LA
K = VIEW.skeleton.keypoints


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
L5 = [k for k in EVERY if VIEW.skeleton.vertebra_of[k] == "L5"]
UR = [k for k in EVERY if VIEW.skeleton.corner_of[k] == "UR"]


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
    scores = per_image(lambda n, k: float(keypoints.error_px[n, k]), reduce, members)
    worst = images_behind(metric, keypoints, too_high=True)
    assert worst is not None
    assert (worst.what, names(worst)) == (what, by_hand(scores))
    assert "0.png" not in names(worst)
    unit, factor = ("mm", 0.25) if "_mm" in metric else ("px", 1.0)
    value, shown = score_in_words(worst.images[0]).split()
    assert shown == unit
    assert float(value) == pytest.approx(factor * max(scores.values()), rel=0.01)
    assert names(images_behind(metric, keypoints, too_high=False)) == by_hand(scores, largest=False)


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
    worst = images_behind(metric, keypoints, too_high=False)
    assert worst is not None
    scores = per_image(
        lambda n, k: float(keypoints.error_px[n, k]),
        lambda known: mean([e > threshold for e in known]),
        members,
    )
    assert (worst.what, names(worst)) == (f"most keypoints beyond {of}", by_hand(scores, least=0.0))
    beyond, all_known = score_in_words(worst.images[0]).split(" of ")
    assert int(beyond) / int(all_known) == max(scores.values())
    fewest = images_behind(metric, keypoints, too_high=True)
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
    worst = images_behind(metric, columns(), too_high=too_high)
    assert worst is not None
    assert [(row.image, score_in_words(row)) for row in worst.images] == expected


def test_numbers_that_no_image_stands_for() -> None:
    for name in ("seconds.total", "losses.none", "calibration.epistemic_share", "settings.heatmap_sigma",
                 "calibration.groups.vertebra.L5.n_keypoints"):  # fmt: skip
        assert images_behind(name, columns(), too_high=True) is None, name


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
    worst = images_behind(metric, images_of(np.arange(6.0)), too_high=too_high)
    assert worst is not None
    assert (worst.what, names(worst)) == (what, expected)


def broken(images: int = 8) -> RunTable:
    """Spines of which all but the first have corners that lie far off."""
    rng = np.random.default_rng(3)
    points = natural_spines(VIEW, images)
    off = rng.random(points.shape[:2]) < 0.06
    off[0] = False
    points[off] += rng.normal(0.0, 60.0, (int(off.sum()), 2))
    width, height = sizes_for(points).T
    names = tuple(f"{n}.png" for n in range(images))
    return RunTable(LA, {"image": names, "pred_px": points, "width": width, "height": height})


@pytest.mark.parametrize(
    ("metric", "what", "rule", "vertebra"),
    [
        ("anatomy.by_code.{}.images", "largest severity of {}", True, ""),
        ("anatomy.by_code.{}.findings", "largest severity of {}", True, ""),
        ("anatomy.vertebrae.L3.violations", "largest severity of violations in L3", False, "L3"),
        ("anatomy.vertebrae.L5.images_with_violations", "largest severity of violations in L5", False, "L5"),
    ],
)
def test_violations_of_a_rule_or_at_a_vertebra(metric: str, what: str, rule: bool, vertebra: str) -> None:
    table = broken()
    counts = table.findings.images_by_code()
    code = max(counts, key=lambda each: counts[each])
    severity, codes = dict.fromkeys(table.image, 0.0), {}
    for image, findings in zip(table.image, table.findings.per_image(), strict=True):
        codes[image] = ", ".join(dict.fromkeys(each.code for each in findings))
        for each in findings:
            at = any(VIEW.skeleton.vertebra_of[k] == vertebra for k in each.keypoints)
            if each.code == code if rule else at:
                severity[image] = max(severity[image], each.severity)
    worst = images_behind(metric.format(code), table, too_high=True)
    assert worst is not None
    assert worst.what == what.format(code)
    assert names(worst) == by_hand(severity, least=0.0)
    for row in worst.images:
        shown = number(severity[row.image])
        assert score_in_words(row) == (shown if rule else f"{shown} ({codes[row.image]})")


def test_the_most_suspicious_images() -> None:
    table = broken()
    severity = dict(zip(table.image, table.findings.image_severity().tolist(), strict=True))
    worst = images_behind("anatomy.violations", table, too_high=True)
    assert worst is not None
    assert (worst.what, names(worst)) == ("largest severity of violations", by_hand(severity, least=0.0))


def test_no_violation_no_image() -> None:
    table = broken()
    for rows in ([0], []):
        some = table.taken(np.array(rows, dtype=np.int64))
        assert images_behind("anatomy.violations", some, too_high=True) is None


def test_error_types() -> None:
    keypoints = columns()
    types = classify_errors(keypoints.pred_px, keypoints.gt_px).types
    scores = {f"{n}.png": float((types[n] == ErrorType.JITTER).sum()) for n in range(N)}
    worst = images_behind("error_types.by_type.jitter.keypoint_share", keypoints, too_high=True)
    assert worst is not None
    assert (worst.what, names(worst)) == ("most keypoints of type jitter", by_hand(scores, least=0.0))
    other = images_behind("error_types.mean_error_px", keypoints, too_high=True)
    assert other is not None
    assert other.what == "largest mean radial error"


def test_two_peaks() -> None:
    keypoints = columns()
    worst = images_behind("ambiguity.by_vertebra.L5.two_peaks", keypoints, too_high=True)
    counts = {f"{n}.png": float((keypoints.peaks.second_share[n] >= 0.5).sum()) for n in range(N)}
    assert names(worst) == by_hand(counts, least=0.0)


@pytest.mark.parametrize(("metric", "members"), [("mace", EVERY), ("groups.vertebra.L5.mace", L5)])
@pytest.mark.parametrize("too_high", [True, False])
def test_sigma(metric: str, members: list[int], too_high: bool) -> None:
    """Overconfident or not, what is farthest off in σ comes first; σ of 0 or without a value says nothing."""
    keypoints = columns()
    residual = keypoints.pred_px - keypoints.gt_px
    scores: dict[str, float] = {}
    places: dict[str, str] = {}
    for n in range(N):
        for k in members:
            for axis in range(2):
                sigma = keypoints.sigma_px[n, k, axis]
                if sigma > 0 and abs(residual[n, k, axis]) / sigma > scores.get(f"{n}.png", -1.0):
                    scores[f"{n}.png"] = float(abs(residual[n, k, axis]) / sigma)
                    places[f"{n}.png"] = f"{VIEW.skeleton.keypoint_names[k]} in {'xy'[axis]}"
    worst = images_behind(f"calibration.{metric}", keypoints, too_high=too_high)
    assert worst is not None
    assert names(worst) == by_hand(scores)
    for row in worst.images:
        value, place = score_in_words(row).split(" σ at ")
        assert float(value) == pytest.approx(scores[row.image], rel=0.01)
        assert place == places[row.image]


def test_size_of_sigma() -> None:
    keypoints = columns()
    for name, too_high, largest in (
        ("sharpness_px", True, True),
        ("sharpness_px", False, False),
        ("at_max_share", True, True),
    ):
        scores = {f"{n}.png": float(np.nanmax(keypoints.sigma_px[n])) for n in range(N)}
        worst = images_behind(f"calibration.{name}", keypoints, too_high=too_high)
        assert names(worst) == by_hand(scores, largest=largest)
    smallest = {f"{n}.png": float(np.nanmin(keypoints.sigma_px[n])) for n in range(N)}
    worst = images_behind("calibration.at_min_share", keypoints, too_high=True)
    assert worst is not None
    assert (worst.what, names(worst)) == ("smallest σ", by_hand(smallest, largest=False))


def test_increases() -> None:
    before = np.array([1.0, 2.0, np.nan, 4.0, 5.0, 6.0])
    now = np.array([1.5, 1.0, 9.0, 4.0, 8.25, np.nan])
    worst = by_increase("abcdef", before, now, "mm").worst(too_high=True)
    assert worst is not None
    assert worst.what == "largest increase of the mean radial error"
    assert [(row.image, score_in_words(row)) for row in worst.images] == [
        ("e", "+3.25 mm (to 8.25)"),
        ("a", "+0.50 mm (to 1.50)"),
    ]
    assert by_increase("ab", now[:2], now[:2], "px").worst(too_high=True) is None


def test_names_alone() -> None:
    failures = tuple(Failure(f"{n}.png", "empty") for n in range(7))
    worst = failed_images(failures)
    assert worst is not None
    assert [(row.image, score_in_words(row)) for row in worst.images] == [(f"{n}.png", "") for n in range(5)]
    assert failed_images(()) is None
    shifted = shifted_images(("a.png", "c.png", "b.png"), np.array([1, 0, -1]))
    assert shifted is not None
    assert [(row.image, score_in_words(row)) for row in shifted.images] == [("a.png", "+1"), ("b.png", "-1")]
    assert shifted_images(("a.png",), np.array([0])) is None


def test_images_that_have_failed_or_are_marked_one_level_off() -> None:
    gt = natural_spines(VIEW, 3)
    pred = gt.copy()
    pred[2, : K - 4] = gt[2, 4:]
    values: dict[str, Values] = {"image": ("a.png", "b.png", "c.png"), "pred_px": pred, "gt_px": gt}
    table = RunTable(LA, values, failures=[Failure("d.png", "empty")])
    assert names(images_behind("images.failed", table, too_high=True)) == ["d.png"]
    for section in ("anatomy", "error_types"):
        worst = images_behind(f"{section}.level_shifts", table, too_high=True)
        assert worst is not None
        assert [(row.image, score_in_words(row)) for row in worst.images] == [("c.png", "+1")]


def test_numbers_that_have_images_behind_them_for_every_skeleton() -> None:
    without = {"seconds", "calibration"}
    for metric in known_metrics():
        assert (metric.behind is None) <= (metric.section in without), metric.name
    assert "vertebrae.S1.radial_error_px.mean" not in metrics_of(View.AP.skeleton)


def test_the_order_of_images_decides_nothing() -> None:
    keypoints = columns()
    keypoints = keypoints.with_values(error_px=np.round(keypoints.error_px))
    order = np.random.default_rng(0).permutation(N)
    shuffled = keypoints.taken(order)
    for metric in ("radial_error_px.mean", "radial_error_px.max", "sdr_px.8", "by_vertebra.L1"):
        for too_high in (True, False):
            one, other = (images_behind(metric, each, too_high=too_high) for each in (keypoints, shuffled))
            assert one is not None
            assert one == other
