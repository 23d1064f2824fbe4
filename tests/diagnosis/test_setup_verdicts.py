"""What the checks of the setup say of sets in which part is wrong, and of what looks like another mistake."""

import warnings
from collections.abc import Mapping
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from numpy.typing import NDArray

from mahtdiag.anatomy.rules import Limits
from mahtdiag.diagnosis.columns import Values
from mahtdiag.diagnosis.conditions import Conditions
from mahtdiag.diagnosis.run_table import RunTable
from mahtdiag.diagnosis.setup.check import Facts
from mahtdiag.diagnosis.setup.explanations import Explanation, Places, best_of
from mahtdiag.diagnosis.setup.mistakes import explain, explain_some
from mahtdiag.diagnosis.setup.registry import CHECK_BY_NAME
from mahtdiag.diagnosis.setup.sigma import _read
from mahtdiag.schema.frames import NetworkFrames, Size
from mahtdiag.schema.model_spec import Decoding, ModelInput, ModelSpec, UncertaintySpec
from mahtdiag.schema.normalization import parse_normalization
from mahtdiag.schema.setup import Inspection, SetupStatus
from mahtdiag.schema.skeleton import View
from tests.diagnosis.builders import spine

Floats = NDArray[np.float64]
IMAGE, INPUT, CELLS = Size(400, 300), Size(256, 192), Size(64, 48)
SIZE = np.array([300.0, 400.0])
IMAGES, KEYPOINTS = 18, 20


def labels() -> Floats:
    return np.array([spine(View.AP, IMAGE, seed) for seed in range(IMAGES)])


def predictions(spread_px: float = 2.0, seed: int = 0) -> Floats:
    return labels() + np.random.default_rng(seed).normal(0, spread_px, (IMAGES, KEYPOINTS, 2))


def places(pred: Floats, label: Floats) -> Places:
    return Places(
        pred_px=pred,
        label_px=label,
        sizes_px=np.tile(SIZE, (IMAGES, 1)),
        skeleton=View.AP.skeleton,
        frames=NetworkFrames(INPUT, CELLS),
        orientation=np.ones(IMAGES, dtype=np.int64),
        floor_px=0.5,
    )


def some(wrong: Floats) -> Floats:
    """Labels of which every third image has the wrong ones."""
    return np.where((np.arange(IMAGES) % 3 == 0)[:, None, None], wrong, labels())


def swapped() -> Floats:
    return labels().reshape(IMAGES, -1, 2, 2)[:, :, ::-1].reshape(IMAGES, KEYPOINTS, 2)


@pytest.mark.parametrize(
    ("wrong", "check", "words"),
    [
        (labels() / 2, "labels.unit", "half the size"),
        (labels() / SIZE, "labels.unit", "shares"),
        ([299, 0] + labels() * [-1, 1], "together.flip", "mirrored"),
        (labels()[..., ::-1], "order.axes", "exchanged"),
        (swapped(), "order.keypoints", "left and right ends"),
    ],
)
def test_a_mistake_made_in_a_third_of_the_images_is_named_with_their_number(
    wrong: Floats, check: str, words: str
) -> None:
    pair = places(predictions(), some(np.asarray(wrong)))
    found = explain_some(pair)
    assert explain(pair).found is None
    assert found is not None
    assert found.explanation.check == check
    assert words in found.explanation.cause
    assert found.rows.tolist() == list(range(0, IMAGES, 3))


@pytest.mark.parametrize("seed", range(5))
def test_errors_with_heavy_tails_are_no_mistake_in_some_images(seed: int) -> None:
    rng = np.random.default_rng(seed)
    shape = (IMAGES, KEYPOINTS, 2)
    pred = labels() + 4 * rng.standard_t(1.5, shape) + 8 * rng.standard_t(1.5, (IMAGES, 1, 2))
    assert explain_some(places(pred, labels())) is None


def moved_to(label: Floats, known: Places) -> tuple[Floats, Floats]:
    return known.pred_px, label


def test_an_explanation_that_does_better_but_is_less_sure_is_told_as_a_rival() -> None:
    rng = np.random.default_rng(0)
    label = labels()
    pred = label + 10.0
    little = label + 0.3
    much = label + 1.0 + rng.normal(0, 1.1, (IMAGES, 1, 1))
    moved = {"little": little, "much": much}
    tried = [
        Explanation(name, name, "", partial(moved_to, moved[name]), gain)
        for name, gain in (("little", 1.02), ("much", 1.5))
    ]
    best, rivals = best_of(places(pred, label), tried)
    assert best is not None
    assert best.explanation.check == "little"
    assert [rival.explanation.check for rival in rivals] == ["much"]


# ---- tables ----

SPEC = ModelSpec(View.AP.skeleton, ModelInput(INPUT, 1), Decoding(1.5), UncertaintySpec())


def facts(columns: Mapping[str, Values], spec: ModelSpec = SPEC, look: Inspection | None = None) -> Facts:
    known: dict[str, Values] = {
        "image": tuple(f"{i:04d}.png" for i in range(IMAGES)),
        "image_sha256": tuple(f"{i:064x}" for i in range(IMAGES)),
        "width": np.full(IMAGES, SIZE[0]),
        "height": np.full(IMAGES, SIZE[1]),
        "pred_px": predictions(),
        "gt_px": labels(),
        **columns,
    }
    known["error_px"] = np.linalg.norm(np.asarray(known["pred_px"]) - np.asarray(known["gt_px"]), axis=-1)
    nowhere = np.full((IMAGES, KEYPOINTS, 2), np.nan)
    known |= {
        "orientation": np.ones(IMAGES),
        "local_px": nowhere,
        "argmax_px": nowhere,
        "flags": np.zeros((IMAGES, KEYPOINTS)),
    }
    table = RunTable(
        View.AP.skeleton,
        known,
        conditions=Conditions(Limits.of(View.AP), frames=NetworkFrames(INPUT, CELLS)),
    )
    nothing = np.empty((0, KEYPOINTS, 2))
    return Facts(table, spec, look, nothing, np.empty((0, 2)), np.empty(0, dtype=np.int64))


def deep(largest: int) -> Mapping[str, Values]:
    """Columns of 16-bit files with values up to this one."""
    return {
        "bits": np.full(IMAGES, 16.0),
        "grey_low": np.zeros(IMAGES),
        "grey_high": np.full(IMAGES, largest / 65535),
    }


@pytest.mark.parametrize(("bits", "largest"), [(9, 500), (10, 1000), (12, 4000)])
@pytest.mark.parametrize("normalization", ["unit", "imagenet", "0.4/0.2"])
def test_few_bits_in_deep_files_are_not_black_and_the_advice_mends_it(
    bits: int, largest: int, normalization: str
) -> None:
    spec = replace(SPEC, input=replace(SPEC.input, normalization=parse_normalization(normalization)))
    judge = CHECK_BY_NAME["images.bit_range"].judge
    said = judge(facts(deep(largest), spec))
    assert said is not None
    assert said.status is SetupStatus.WRONG
    assert f"{bits}-bit values" in said.evidence
    option, typed = said.advice.split()[:2]
    assert (option, int(typed)) == ("--full-scale", 2**bits - 1)
    again = judge(facts(deep(largest), replace(spec, input=replace(spec.input, full_scale=int(typed)))))
    assert again is not None
    assert again.status is SetupStatus.FINE


def test_values_above_what_is_said_to_be_white_are_told() -> None:
    spec = replace(SPEC, input=replace(SPEC.input, full_scale=1023))
    said = CHECK_BY_NAME["images.bit_range"].judge(facts(deep(4000), spec))
    assert said is not None
    assert said.status is SetupStatus.WARNING
    assert "values up to 4000, more than the 1023" in said.evidence
    assert said.advice.startswith("--full-scale 4095")


def test_deep_files_of_one_value_are_black() -> None:
    said = CHECK_BY_NAME["images.bit_range"].judge(facts(deep(0)))
    assert said is not None
    assert "black" in said.evidence


def thumbnails(inverted: NDArray[np.bool_]) -> tuple[str, ...]:
    rng = np.random.default_rng(0)
    shared = np.linspace(20, 235, 64)
    levels = np.clip(shared + rng.normal(0, 10, (IMAGES, 64)), 0, 255)
    levels[inverted] = 255 - levels[inverted]
    return tuple(row.astype(np.uint8).tobytes().hex() for row in levels)


@pytest.mark.parametrize("inverted", [np.arange(IMAGES) % 2 == 0, np.arange(IMAGES) % 6 != 0])
def test_inverted_images_are_those_that_the_network_does_not_know_even_where_they_are_many(
    inverted: NDArray[np.bool_],
) -> None:
    pred = np.where(inverted[:, None, None], labels() + 60, predictions())
    columns: Mapping[str, Values] = {"thumbnail": thumbnails(inverted), "pred_px": pred}
    said = CHECK_BY_NAME["images.polarity"].judge(facts(columns))
    assert said is not None
    assert said.status is SetupStatus.WRONG
    assert said.evidence.startswith(f"{int(inverted.sum())} of {IMAGES} images look inverted")


def test_copies_of_one_image_prove_no_shared_scale() -> None:
    one = np.tile(predictions(3.0)[:1], (IMAGES, 1, 1))
    label = np.tile(labels()[:1], (IMAGES, 1, 1))
    columns: Mapping[str, Values] = {"image_sha256": ("0" * 64,) * IMAGES, "pred_px": one, "gt_px": label}
    assert facts(columns).explained.found is None


def inspection(peaks: Floats, **levels: float) -> Inspection:
    known = {"peak": 0.9, "background": 0.0, "lowest": 0.0, "total": 14.0, **levels}
    of = {name: np.full(peaks.shape[:2], value) for name, value in known.items()}
    return Inspection(
        len(peaks), peaks, {"argmax": peaks}, of["peak"], of["background"], of["lowest"], of["total"]
    )


def test_labels_in_heatmap_cells_are_not_taken_for_percent() -> None:
    cells = NetworkFrames(INPUT, CELLS).of(IMAGE).original_to_heatmap(labels())
    known = replace(
        facts({}, look=inspection(cells)),
        table=RunTable.of_records((), (), View.AP.skeleton, facts({}).table.conditions),
        outside=cells,
        outside_sizes_px=np.tile(2 * SIZE, (IMAGES, 1)),
    )
    said = CHECK_BY_NAME["labels.unit"].judge(known)
    assert said is not None
    assert said.refused
    assert said.evidence.startswith("labels are heatmap cells")


@pytest.mark.parametrize(
    ("levels", "words"),
    [
        ({"peak": 0.95, "background": -1.0, "lowest": -1.0}, "from -1 to 1"),
        ({"peak": 6.0, "background": -9.0, "lowest": -9.3}, "logits"),
        ({"peak": 0.0, "background": 0.0, "lowest": -0.9}, "dips"),
        ({"peak": float("nan")}, "not numbers"),
    ],
)
def test_the_range_of_heatmaps_is_named(levels: dict[str, float], words: str) -> None:
    known = facts({}, look=inspection(labels()[:8], **levels))
    said = CHECK_BY_NAME["network.heatmaps"].judge(known)
    assert said is not None
    assert said.status is SetupStatus.WRONG
    assert words in said.evidence


def test_a_channel_of_no_numbers_is_not_called_flat() -> None:
    look = inspection(labels()[:8])
    look.peak[:, 4] = np.nan
    said = CHECK_BY_NAME["network.heatmaps"].judge(facts({}, look=look))
    assert said is not None
    assert said.evidence.startswith("the heatmap of L2 UL is no number")


def test_turned_labels_are_not_called_exchanged_axes() -> None:
    turned = np.stack([IMAGE.height - 1 - labels()[..., 1], labels()[..., 0]], axis=-1)
    known = replace(facts({}), outside=turned, outside_sizes_px=np.tile(SIZE, (IMAGES, 1)),
                    outside_orientation=np.ones(IMAGES, dtype=np.int64))  # fmt: skip
    said = CHECK_BY_NAME["order.axes"].judge(known)
    assert said is not None
    assert said.evidence.startswith("labels lie at 90°")
    exchanged = CHECK_BY_NAME["order.axes"].judge(replace(known, outside=labels()[..., ::-1] * [1.2, 1]))
    assert exchanged is not None
    assert exchanged.evidence.startswith("x and y")


def test_a_reading_of_sigma_that_leaves_images_without_one_warns_nobody() -> None:
    sigma = np.ones((IMAGES, KEYPOINTS, 2))
    sigma[3:] = np.nan
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read = _read(sigma, np.ones((IMAGES, KEYPOINTS, 2)), "", ())
    assert np.isfinite(read.likelihood).tolist() == [True] * 3 + [False] * (IMAGES - 3)
