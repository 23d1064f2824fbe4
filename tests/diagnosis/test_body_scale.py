"""Body scales as numbers of a run: those that `anatomy` shows, with their intervals, and gates on them."""

import numpy as np
import pytest

from mahtdiag.diagnosis.anatomy import diagnose_predictions
from mahtdiag.diagnosis.gates import Bound, Gate, judge_gates
from mahtdiag.diagnosis.metrics.registry import metric_of
from mahtdiag.diagnosis.numbers import find_interval, find_number, numbers_of
from mahtdiag.diagnosis.run_table import RunTable
from mahtdiag.schema.skeleton import AP
from tests.anatomy.spines import natural_spines
from tests.anatomy.test_bodies import noisy, resized

from .builders import table_of

WIDTH, HEIGHT = "anatomy.body_scale.width", "anatomy.body_scale.height"


def run(images: int, width: float = 0.97, height: float = 1.0) -> RunTable:
    label = natural_spines(AP, images)
    table = table_of([f"{n:03}.png" for n in range(images)], noisy(resized(label, width, height)), label)
    return table.with_values(flags=np.zeros(label.shape[:2], dtype=np.int64))


def test_they_are_those_of_anatomy() -> None:
    table = run(30)
    content, bodies = numbers_of(table).content(), diagnose_predictions(table).bodies
    assert bodies is not None
    for name, axis in ((WIDTH, bodies.width), (HEIGHT, bodies.height)):
        assert find_number(content, name) == axis.scale.value
        assert find_interval(content, name) == (axis.scale.low, axis.scale.high)
    assert find_number(content, WIDTH) == pytest.approx(0.97, abs=0.01)


@pytest.mark.parametrize(("width", "passes"), [(0.97, False), (1.0, True), (1.03, False)])
def test_gates_on_both_ends(width: float, passes: bool) -> None:
    gates = (Gate(WIDTH, ">=", 0.985, Bound.LOWER), Gate(WIDTH, "<=", 1.015, Bound.UPPER))
    judged = judge_gates(gates, numbers_of(run(60, width)).content())
    assert all(result.passed for result in judged) is passes
    assert all(result.reason is None for result in judged)


def test_of_few_images_nothing_is_known_and_a_gate_says_why() -> None:
    (judged,) = judge_gates((Gate(WIDTH, ">=", 0.5),), numbers_of(run(19)).content())
    assert not judged.passed
    assert judged.reason == "not known in this run: it takes 20 patients, or images, with labels"


def test_patients_count() -> None:
    table = run(30)
    of_patients = table.with_values(patient=tuple(f"p{row // 2}" for row in range(30)))
    assert find_number(numbers_of(of_patients).content(), WIDTH) is None


def test_neither_larger_nor_smaller_is_better() -> None:
    metric = metric_of(WIDTH)
    assert metric is not None
    assert str(metric.better) == "neither"
    assert metric.fewest == 20
    assert metric.paired(None) is None  # type: ignore[arg-type]


def test_the_images_behind_are_those_of_the_narrowest_bodies() -> None:
    label = natural_spines(AP, 30)
    pred = noisy(label, 0.01)
    pred[7:8] = resized(label[7:8], 0.8, 1.0)
    pred[9:10] = resized(label[9:10], 1.0, 1.2)
    table = table_of([f"{n:03}.png" for n in range(30)], pred, label)
    for name, too_high, image, score in ((WIDTH, False, "007.png", 0.8), (HEIGHT, True, "009.png", 1.2)):
        metric = metric_of(name)
        assert metric is not None
        worst = metric.worst_images(table, too_high)
        assert worst is not None
        assert worst.images[0].image == image
        assert worst.images[0].score == pytest.approx(score, abs=1e-3)
