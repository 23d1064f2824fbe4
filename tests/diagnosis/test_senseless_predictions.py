"""Networks that have learnt nothing are what the numbers are for: all can be stored and read again."""

import numpy as np
import pytest
from numpy.typing import NDArray

from mahtdiag.diagnosis.metrics.registry import metrics_of
from mahtdiag.diagnosis.numbers import numbers_of
from mahtdiag.runs.results import NUMBER_SECTIONS
from mahtdiag.schema.skeleton import AP, View
from tests.anatomy.spines import natural_spines

from .compared import run_of

Floats = NDArray[np.float64]


def senseless(kind: str, label: Floats, rng: np.random.Generator) -> Floats:
    middle, spread = label.mean(axis=(0, 1)), label.std(axis=(0, 1))
    found = {
        "uniform": middle + spread * [8, 2] * rng.uniform(-1, 1, label.shape),
        "cloud": middle + spread * [4, 1] * rng.normal(size=label.shape),
        "point": middle + 0.5 * rng.normal(size=label.shape),
        "the same point": np.broadcast_to(middle, label.shape).copy(),
        "upside down": 2 * middle - label,
        "mirrored": np.stack([2 * middle[0] - label[..., 0], label[..., 1]], axis=-1),
        "exchanged axes": label[..., ::-1].copy(),
        "of other images": label[rng.permutation(len(label))],
        "other keypoints": label[:, rng.permutation(label.shape[1])],
        "infinite": np.where(rng.uniform(size=label.shape) < 0.2, np.inf, label),
        "far": label + 1e30 * rng.normal(size=label.shape),
        "missing": np.where(rng.uniform(size=(*label.shape[:2], 1)) < 0.9, np.nan, label),
        "the labels": label.copy(),
    }[kind]
    return np.asarray(found)


KINDS = (
    "uniform", "cloud", "point", "the same point", "upside down", "mirrored", "exchanged axes",
    "of other images", "other keypoints", "infinite", "far", "missing", "the labels",
)  # fmt: skip


@pytest.mark.parametrize("images", [1, 3, 24])
@pytest.mark.parametrize("kind", KINDS)
def test_every_number_of_senseless_predictions_can_be_stored(kind: str, images: int) -> None:
    for seed in range(6):
        rng = np.random.default_rng(seed)
        label = natural_spines(AP, images)
        pred = senseless(kind, label, rng)
        table = run_of(pred, label, View.AP, seed=seed)
        numbers = numbers_of(table.with_values(flags=np.zeros(label.shape[:2], dtype=np.int64)))
        stored = numbers.content()
        for name in NUMBER_SECTIONS.keys() & stored.keys():
            section = {"mean_error_px": None, **stored[name]} if name == "error_types" else stored[name]  # type: ignore[dict-item]
            NUMBER_SECTIONS[name].model_validate(section)
        for name, estimate in numbers.found.items():
            least = metrics_of(AP)[name].least
            assert estimate.ci95 is None or least is None or estimate.ci95[0] >= least
