"""Two peaks, places between them, and when a sentence is worth printing."""

import itertools

import numpy as np
import pytest
from numpy.typing import NDArray

from mahtdiag.diagnosis.ambiguity import (
    Ambiguity,
    chance_of_less,
    find_ambiguity,
)
from mahtdiag.diagnosis.two_peaks import has_two_peaks, lies_between
from mahtdiag.schema.records import PeakPlaces
from mahtdiag.schema.skeleton import AP, View

Floats = NDArray[np.float64]
N, K, FIRST_L5 = 24, View.AP.skeleton.keypoints, 16
SIGMA_PX = np.tile([4.0, 2.0], (N, 1))


def scene(share: float = 0.8, affected: int = 18) -> tuple[Floats, Floats, PeakPlaces]:
    """Labels, decoded places and peaks: L5 is sometimes decoded on the way to a second peak."""
    random = np.random.default_rng(0)
    label = random.uniform(100, 900, (N, K, 2))
    first = label + random.normal(0, 0.5, label.shape)
    second = np.full_like(label, np.nan)
    shares = np.zeros((N, K))
    pred = first.copy()
    second[:affected, FIRST_L5:] = first[:affected, FIRST_L5:] + np.array([60.0, 0.0])
    shares[:affected, FIRST_L5:] = share
    pred[:affected, FIRST_L5:] += np.array([20.0, 0.0])
    return label, pred, PeakPlaces(shares, second, first, first)


def found(label: Floats, pred: Floats, peaks: PeakPlaces, decode: str = "soft-argmax") -> Ambiguity:
    names = [f"{n:02d}.jpg" for n in range(N)]
    result = find_ambiguity(names, AP, label, pred, peaks, SIGMA_PX, decode)
    assert result is not None
    return result


def test_counts_and_changes_equal_a_loop() -> None:
    label, pred, peaks = scene()
    result = found(label, pred, peaks)
    l5 = result.by_vertebra[-1]
    assert (l5.name, l5.images, l5.two_peaks, l5.between, l5.images_between) == ("L5", 18, 72, 72, 18)
    assert (l5.keypoints, l5.disagree) == (4 * N, 72)
    assert all(group.two_peaks == 0 for group in result.by_vertebra[:-1])
    assert [(row.name[:2], row.two_peaks, row.between) for row in result.by_keypoint[-4:]] == [
        ("L5", 18, 18)
    ] * 4
    assert result.ambiguous_images == tuple(f"{n:02d}.jpg" for n in range(18))
    changes = []
    for n in range(N):
        for k in range(FIRST_L5, K):
            before = float(np.hypot(*(pred[n, k] - label[n, k])))
            changes.append((float(np.hypot(*(peaks.local[n, k] - label[n, k]))) - before, n < 18))
    local = l5.changes[0]
    assert local.everywhere is not None
    assert local.ambiguous is not None
    assert local.everywhere.value == pytest.approx(np.mean([change for change, _ in changes]))
    assert local.ambiguous.value == pytest.approx(np.mean([change for change, two in changes if two]))
    assert local.everywhere.ci95 is not None
    assert local.everywhere.ci95[0] < local.everywhere.value < local.everywhere.ci95[1] < 0
    assert result.total.changes[0].ambiguous == local.ambiguous


def test_the_sentence() -> None:
    result = found(*scene())
    (sentence,) = result.sentences
    change = result.by_vertebra[-1].changes[0]
    gain = change.everywhere
    assert gain is not None
    assert gain.ci95 is not None
    assert change.corrected is not None
    # Wider than that of one comparison, and still below 0.
    assert change.corrected[0] < gain.ci95[0] < gain.ci95[1] < 0
    assert gain.ci95[1] < change.corrected[1] < 0
    start = (
        "in 18 images the L5 heatmaps have two peaks and soft-argmax lands between them; `--decode local` "
        f"would lower the mean error of L5 by {-gain.value:.1f} px (95 % interval, "
        "corrected for all vertebrae, "
    )
    assert sentence.startswith(start)


def test_nothing_is_said_without_reason() -> None:
    assert found(*scene(affected=2)).sentences == ()
    assert found(*scene(share=0.49)).sentences == ()
    label, pred, peaks = scene()
    assert found(pred, pred, peaks).sentences == ()
    assert found(label, label, peaks).sentences == ()


def test_images_of_few_patients_say_nothing() -> None:
    label, pred, peaks = scene()
    names = [f"{n:02d}.jpg" for n in range(N)]
    for units, expected in ((np.arange(N), 1), (np.arange(N) % 9, 0)):
        result = find_ambiguity(names, AP, label, pred, peaks, SIGMA_PX, "soft-argmax", units=units)
        assert result is not None
        assert len(result.sentences) == expected


def test_half_the_first_is_ambiguous() -> None:
    for share, expected in ((0.49, False), (0.5, True), (0.51, True), (0.0, False), (np.nan, False)):
        assert has_two_peaks(scene(share=share)[2])[0, FIRST_L5] == expected


@pytest.mark.parametrize(("away", "expected"), [(3.9, False), (4.1, True), (55.9, True), (56.1, False)])
def test_between_is_more_than_sigma_from_either(away: float, expected: bool) -> None:
    _, _, peaks = scene()
    place = peaks.argmax + np.array([away, 0.0])
    assert lies_between(place, peaks, SIGMA_PX)[0, FIRST_L5] == expected
    # σ is half as long along y.
    assert lies_between(peaks.argmax + np.array([0.0, 2.1]), peaks, SIGMA_PX)[0, FIRST_L5]


def test_other_units_change_nothing_but_pixels() -> None:
    label, pred, peaks = scene()
    one = found(label, pred, peaks)
    larger = PeakPlaces(peaks.second_share, 2 * peaks.second, 2 * peaks.argmax, 2 * peaks.local)
    names = [f"{n:02d}.jpg" for n in range(N)]
    two = find_ambiguity(names, AP, 2 * label, 2 * pred, larger, 2 * SIGMA_PX, "soft-argmax")
    assert two is not None
    assert two.by_keypoint == one.by_keypoint
    values = [group.changes[0].everywhere for group in (one.total, two.total)]
    assert values[0] is not None
    assert values[1] is not None
    assert values[1].value == pytest.approx(2 * values[0].value)


def test_the_method_in_use_is_not_proposed() -> None:
    result = found(*scene(), decode="local")
    assert [str(change.method) for change in result.total.changes] == ["argmax"]


def test_unlabelled_keypoints_enter_no_mean() -> None:
    label, pred, peaks = scene()
    label[:, FIRST_L5:] = np.nan
    result = found(label, pred, peaks)
    assert result.by_vertebra[-1].two_peaks == 72
    assert result.by_vertebra[-1].changes[0].everywhere is None
    assert result.sentences == ()


def test_unknown_peaks_say_nothing() -> None:
    label, pred, _ = scene()
    unknown = np.full_like(label, np.nan)
    nothing = PeakPlaces(unknown[..., 0], unknown, unknown, unknown)
    assert find_ambiguity(["a"] * N, AP, label, pred, nothing, SIGMA_PX, "dark") is None


def test_one_image() -> None:
    label, pred, peaks = scene()
    alone = PeakPlaces(peaks.second_share[:1], peaks.second[:1], peaks.argmax[:1], peaks.local[:1])
    result = find_ambiguity(["a"], AP, label[:1], pred[:1], alone, SIGMA_PX[:1], "soft-argmax")
    assert result is not None
    assert result.total.changes[0].sure is None
    assert result.total.changes[0].corrected is None
    assert result.as_json()["ambiguous_images"] == ["a"]


@pytest.mark.parametrize("far", [1e10, 1e300, np.inf, np.nan])
@pytest.mark.filterwarnings("error")
def test_a_place_beyond_all_images_is_none(far: float) -> None:
    label, pred, peaks = scene()
    missing = pred.copy()
    missing[3, 2] = np.nan
    pred[3, 2] = far
    assert found(label, pred, peaks) == found(label, missing, peaks)


def test_diffuse_heatmaps_are_counted_apart() -> None:
    label, pred, peaks = scene(affected=3)
    diffuse = np.zeros((N, K), dtype=np.bool_)
    diffuse[5:, :4] = True
    peaks.second_share[diffuse] = np.nan
    names = [f"{n:02d}.jpg" for n in range(N)]
    result = find_ambiguity(names, AP, label, pred, peaks, SIGMA_PX, "soft-argmax", diffuse)
    assert result is not None
    assert (result.total.diffuse, result.total.images_diffuse) == (4 * (N - 5), N - 5)
    assert (result.total.keypoints, result.total.two_peaks) == (N * K, 12)
    l1, *others = result.by_vertebra
    assert (l1.diffuse, l1.two_peaks) == (4 * (N - 5), 0)
    assert all(group.diffuse == 0 for group in others)
    assert result.diffuse_images == tuple(names[5:])
    assert result.ambiguous_images == tuple(names[:3])
    assert [row.diffuse for row in result.by_keypoint[:5]] == [N - 5] * 4 + [0]
    assert result.as_json()["all"]["diffuse"] == 4 * (N - 5)  # type: ignore[index, call-overload]


def test_a_run_of_diffuse_heatmaps_alone_is_not_a_run_without_peaks() -> None:
    label, pred, peaks = scene()
    peaks.second_share[:] = np.nan
    every = np.ones((N, K), dtype=np.bool_)
    result = find_ambiguity(["a"] * N, AP, label, pred, peaks, SIGMA_PX, "local", every)
    assert result is not None
    assert (result.total.diffuse, result.total.keypoints, result.total.two_peaks) == (N * K, N * K, 0)


@pytest.mark.parametrize("changes", [[-1.0] * 7, [-1.0, -2.0, 0.5, 0.0, -0.25], [1.0, 2.0], [0.0]])
def test_random_signs_equal_all_signs(changes: list[float]) -> None:
    """Against every combination of signs, enumerated."""
    change = np.array(changes)
    sums = [float(np.dot(signs, change)) for signs in itertools.product((-1, 1), repeat=change.size)]
    exact = np.mean(np.array(sums) <= change.sum() + 1e-12)
    assert chance_of_less(change) == pytest.approx(exact, abs=0.03)
    assert chance_of_less(np.append(change, np.zeros(50))) == chance_of_less(change)


def test_few_changes_to_the_better_are_no_proof() -> None:
    """Four images, all better: luck does as well one time in sixteen."""
    label, pred, peaks = scene(affected=4)
    result = found(label, pred, peaks)
    assert result.by_vertebra[-1].images_between == 4
    assert result.sentences == ()
