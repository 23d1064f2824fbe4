"""Limits set from some patients are used on others only."""

from dataclasses import replace

import numpy as np
import pytest

from mahtdiag.anatomy.findings import check_anatomy
from mahtdiag.anatomy.limit import Fires
from mahtdiag.anatomy.rules import LIMIT_BY_KEY, Limits
from mahtdiag.schema.skeleton import AP, View
from tests.anatomy.spines import GAP, HEIGHT, natural_spines, sizes_for
from validation.injection_sets import CleanSet
from validation.label_audit import WHOLE, AuditedSet, patient_of
from validation.limit_validation import FROM_THE_SET, FROM_THORACIC, extremes, limits_from, parts_of, report

ALL = Limits.of(View.AP)


def spines(count: int = 40) -> AuditedSet:
    """Two images a patient; the last two have wrong labels."""
    points = natural_spines(AP, count)
    points[-2:, [8, 9, 10, 11]] = points[-2:, [9, 8, 11, 10]]
    wrong = np.arange(count) >= count - 2
    patients = tuple(str(n // 2) for n in range(count))
    return AuditedSet(points, sizes_for(points), wrong, ~wrong, ("",) * count, patients)


@pytest.mark.parametrize("key", FROM_THE_SET)
def test_the_most_extreme_value_is_the_one_that_the_rule_measures(key: str) -> None:
    """A limit just within an image's extreme makes the rule fire there, one just beyond does not."""
    points = natural_spines(AP, 5)
    spec = LIMIT_BY_KEY[key]
    away = 1.0 if spec.fires is Fires.ABOVE else -1.0
    for image, value in enumerate(extremes(points)[key]):
        for limit, fires in ((value - 1e-6 * away, True), (value + 1e-6 * away, False)):
            found = check_anatomy(points, AP, image_size_px=None, limits=Limits.of(View.AP, {key: limit}))
            assert (spec.key[:4] in found.codes_per_image()[image]) == fires


def test_all_images_lead_to_the_shipped_limits_and_fewer_to_narrower_ones() -> None:
    values = extremes(natural_spines(AP, 30) + np.random.default_rng(0).normal(0.0, 5.0, (30, 20, 2)))
    everyone = np.ones(30, dtype=np.bool_)
    assert dict(limits_from(values, everyone, everyone).values) == pytest.approx(dict(ALL.values))
    some = limits_from(values, np.arange(30) < 10, everyone)
    for key in FROM_THE_SET:
        spec = LIMIT_BY_KEY[key]
        assert abs(some[key] - spec.typical) <= abs(ALL[key] - spec.typical) + 1e-12
    assert any(some[key] < ALL[key] - 0.01 for key in FROM_THE_SET)
    assert some["A102"] == ALL["A102"]


def test_thoracic_limits_follow_thoracic_values_alone() -> None:
    points = natural_spines(WHOLE, 30) + np.random.default_rng(0).normal(0.0, 5.0, (30, 68, 2))
    lumbar = points[:, -20:].copy()
    values, everyone = extremes(points, WHOLE), np.ones(30, dtype=np.bool_)
    assert values.keys() == {*FROM_THE_SET, *FROM_THORACIC}
    limits, defaults = limits_from(values, everyone, everyone), Limits.of(WHOLE)
    assert [limits[key] for key in FROM_THORACIC] == pytest.approx([defaults[key] for key in FROM_THORACIC])
    points[:, -20:] = lumbar + np.random.default_rng(1).normal(0.0, 3.0, lumbar.shape)
    moved = extremes(points, WHOLE)
    np.testing.assert_allclose(moved["A201-thoracic"], values["A201-thoracic"], rtol=1e-9)
    assert (moved["A201"] != values["A201"]).any()


def test_a_patient_is_in_one_part() -> None:
    patients = tuple(str(n % 33) for n in range(99))
    part = parts_of(patients, np.random.default_rng(0))
    assert all(len({part[n] for n in range(p, 99, 33)}) == 1 for p in range(33))
    assert set(part.tolist()) == set(range(10))


def test_whose_radiograph_it_is() -> None:
    assert patient_of("sunhl-1th-25-Jul-2016-15 C AP.jpg") == "15"
    assert patient_of("sunhl-1th-30-Dec-2016-159 A AP2.jpg") == "159"
    assert patient_of("sunhl-1th-20-Jul-2016-coronal2.jpg") == "sunhl-1th-20-Jul-2016-coronal2.jpg"


def test_the_table() -> None:
    audited = spines()
    points, size = audited.points_px[audited.right], audited.size_px[audited.right]
    names = tuple(str(n) for n in np.flatnonzero(audited.right))
    clean = CleanSet("ruler", AP, points, size, points[:, :4] - [0.0, HEIGHT + GAP], names)
    lines = report(audited, clean).splitlines()
    assert lines[0] == "limits from the other 9 of 10 parts of 20 patients"
    assert lines[1].startswith("wrong labels found:     2/2 = 100.0 %")
    assert lines[-3].startswith("one level missing, named:")
    assert all("/38 = " in line for line in lines[-3:])


def test_an_outlying_patient_is_judged_by_the_others() -> None:
    """Its own limits, which it set, would let it pass."""
    audited = spines()
    odd = audited.points_px.copy()
    odd[4:6, 1, 1] -= 24.0
    outlying = replace(audited, points_px=odd)
    values = extremes(odd)["A203"]
    points, size = odd[audited.right], audited.size_px[audited.right]
    names = tuple(str(n) for n in np.flatnonzero(audited.right))
    clean = CleanSet("ruler", AP, points, size, points[:, :4] - [0.0, HEIGHT + GAP], names)
    flagged = report(outlying, clean).splitlines()[2]
    assert values[4:6].max() < ALL["A203"]
    assert int(flagged.split()[3].split("/")[0]) >= 2
