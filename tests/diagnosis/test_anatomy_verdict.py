"""The verdict counts what it says it counts."""

import numpy as np
import pytest

from mahtdiag.anatomy.error_types import ErrorType
from mahtdiag.anatomy.findings import check_anatomy
from mahtdiag.anatomy.rules import select_rules
from mahtdiag.diagnosis.anatomy import diagnose_predictions, judge, shift_by_image
from mahtdiag.diagnosis.measured import measure_run
from mahtdiag.diagnosis.metrics.anatomy import mean_error_px, repairs_of
from mahtdiag.schema.choices import FacingSide
from mahtdiag.schema.skeleton import View
from tests.anatomy.spines import natural_spines, straight_spine
from tests.diagnosis.builders import table_of

NAMES = [f"{letter}.jpg" for letter in "fedcba"]


def spoiled(view: View = View.AP) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """Six spines: 1 mirrored in L3, 3 without two keypoints of L5, 4 both; the others are clean."""
    points = natural_spines(view, 6)
    points[[1, 4], 8:12] = points[[1, 4], 8:12][:, [1, 0, 3, 2]]
    points[[3, 4], 17:19] = np.nan
    return points


def test_images_come_most_suspicious_first_and_then_by_name() -> None:
    found = check_anatomy(spoiled(), View.AP.skeleton, image_size_px=None)
    verdict = judge(NAMES, found)
    assert [image.image for image in verdict.images[:3]] == ["b.jpg", "e.jpg", "c.jpg"]
    assert [image.image for image in verdict.images[3:]] == ["a.jpg", "d.jpg", "f.jpg"]
    assert [image.severity for image in verdict.images[3:]] == [0.0] * 3
    assert verdict.images[0].codes == tuple(dict.fromkeys(f.code for f in found.of_image(4)))
    assert (verdict.violating, verdict.share_violating, verdict.label_violating) == (3, 0.5, None)


@pytest.mark.parametrize("view", list(View))
def test_tallies_against_counting_one_by_one(view: View) -> None:
    found = check_anatomy(spoiled(view), view.skeleton, image_size_px=None)
    findings = [one for image in found.per_image() for one in image]
    for tally in judge(NAMES, found).tallies:
        ours = [one for one in findings if one.code == tally.rule.code]
        assert tally.findings == len(ours)
        assert tally.images == len({one.image for one in ours})
        assert tally.keypoints == len({(one.image, k) for one in ours for k in one.keypoints})
        assert tally.label_images is None
        if ours:
            worst = max(ours, key=lambda one: one.severity)
            assert (tally.worst, tally.worst_image) == (worst, NAMES[worst.image])
        else:
            assert (tally.worst, tally.worst_image) == (None, None)


def test_labels_are_counted_beside_predictions() -> None:
    labels, predictions = spoiled(), natural_spines(View.AP, 6)
    of_labels = check_anatomy(labels, View.AP.skeleton, image_size_px=None)
    of_predictions = check_anatomy(predictions, View.AP.skeleton, image_size_px=None)
    verdict = judge(NAMES, of_predictions, of_labels)
    assert (verdict.violating, verdict.label_violating) == (0, 3)
    by_code = {tally.rule.code: tally.label_images for tally in verdict.tallies}
    assert (by_code["A402"], by_code["A603"], by_code["A101"]) == (2, 2, 0)
    codes = {image.image: image.label_codes for image in verdict.images}
    assert "A402" in codes["e.jpg"]
    assert codes["f.jpg"] == ()


def test_only_the_rules_that_were_checked_have_a_tally() -> None:
    found = check_anatomy(spoiled(), View.AP.skeleton, image_size_px=None, rules=select_rules(("A6",)))
    assert [tally.rule.code for tally in judge(NAMES, found).tallies] == ["A601", "A602", "A603"]


def test_no_image_at_all() -> None:
    verdict = judge([], check_anatomy(np.empty((0, 20, 2)), View.AP.skeleton, image_size_px=np.empty((0, 2))))
    assert (len(verdict.images), verdict.violating, verdict.share_violating) == (0, 0, 0.0)


def test_diagnosis_of_predictions() -> None:
    labels = natural_spines(View.AP, 6)
    predictions = labels + 1.0
    predictions[2, :16] = labels[2, 4:]
    predictions[2, 16:] += 72.0
    table = table_of(NAMES, predictions, labels)
    assert shift_by_image(table) == {"d.jpg": 1}
    assert sum(row.keypoints for row in repairs_of(table)) == 120
    assert mean_error_px(table) == pytest.approx(np.linalg.norm(predictions - labels, axis=-1).mean())
    assert {row.error_type for row in repairs_of(table)} >= {ErrorType.GOOD, ErrorType.LEVEL_DOWN}
    assert diagnose_predictions(table).in_cells is None


def test_nothing_known_is_said_so() -> None:
    nothing = np.full((2, 22, 2), np.nan)
    table = table_of("ab", nothing, nothing, cell_px=20.0)
    found = diagnose_predictions(table)
    assert (repairs_of(table), mean_error_px(table), shift_by_image(table)) == ((), None, {})
    assert (found.in_px, found.in_cells, found.sentence) == (None, None, None)
    assert all(pair.difference.n == 0 for pair in found.measured.pairs)


def test_measurements_of_a_slip() -> None:
    """L5 forward by 40 % of S1 in the label, by 70 % in the prediction: grade II against grade III.

    Both less about 7 %: across the disc the tilted sacrum lies a little further forward.
    """
    label = straight_spine(View.LA)[None].repeat(3, axis=0)
    label[:, 21, 1] += 30.0  # the sacrum falls to the right: that is the front
    predicted = label.copy()
    endplate = label[:, 21] - label[:, 20]
    label[:, 18:20] += 0.4 * endplate[:, None]
    predicted[:, 18:20] += 0.7 * endplate[:, None]
    measured = measure_run(table_of("abc", predicted, label), FacingSide.RIGHT)
    slip = next(pair for pair in measured.pairs if (pair.name, pair.level) == ("slip_percent", "L5/S1"))
    assert slip.difference.bias == pytest.approx(30.0)
    assert measured.meyerding is not None
    assert measured.meyerding[1, 2] == 3
    assert measured.meyerding.sum() == 15
    assert measured.facing is not None
    assert measured.facing.unknown == 0
    frontal = measure_run(table_of("abc", label[:, :20], label[:, :20]))
    assert (frontal.meyerding, frontal.facing) == (None, None)
