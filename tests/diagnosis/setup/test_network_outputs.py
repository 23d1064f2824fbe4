"""The network's own coordinates, offsets and σ, read otherwise than they were meant."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from mahtdiag.diagnosis.setup.check import Facts
from mahtdiag.diagnosis.setup.registry import refusals
from mahtdiag.schema.choices import UncertaintyKind
from mahtdiag.schema.frames import Size
from mahtdiag.schema.model_spec import UncertaintySpec
from mahtdiag.schema.output_spec import CoordsFrame, OutputSpec
from mahtdiag.schema.setup import SetupStatus
from tests.diagnosis.setup.simulated import FRAMES, Floats
from tests.diagnosis.setup.test_checks import LOOKED_AT, PLACES, SPEC, K, facts, said

OWN = replace(SPEC, decoding=replace(SPEC.decoding, own_coords=True))
CHECK = "network.coordinates"


def own(**more: Any) -> Facts:
    """A network that is judged by its own coordinates, which agree with the heatmaps' peaks."""
    inspection = facts().inspection
    assert inspection is not None
    coords = inspection.places["argmax"] * FRAMES.input_per_cell
    return facts(spec=OWN, **{"look": {"coords": coords}, **more})


# ---- what is said and not read ----


def test_outputs_that_are_named_and_not_read_are_told() -> None:
    told = replace(own(), spec=SPEC, outputs=OutputSpec({"offsets": "locref"}))
    outcome = said(told, CHECK)
    assert outcome.status is SetupStatus.WARNING
    assert outcome.evidence.startswith("--output offsets is not read: --decode local takes places from")
    assert said(replace(told, spec=OWN), CHECK).status is SetupStatus.FINE
    assert said(replace(told, outputs=OutputSpec()), CHECK).status is SetupStatus.FINE


# ---- coordinates ----


@pytest.mark.parametrize("value", [0.0, -1.0])
def test_places_that_stand_for_none_are_told(value: float) -> None:
    pred = PLACES.pred_px.copy()
    for image in (2, 5):
        width, height = PLACES.sizes_px[image].astype(int).tolist()
        frame = FRAMES.of(Size(height, width))
        pred[image, 3] = frame.input_to_original(np.array([value, value]))
    outcome = said(own(pred_px=pred), CHECK)
    assert outcome.status is SetupStatus.WRONG
    assert outcome.evidence.startswith("2 coordinates in 2 of 12 images are exactly 0,0 or -1,-1 (L1 LR)")
    assert "return NaN" in outcome.advice
    # Of heatmaps it is a place like any other.
    assert said(replace(own(pred_px=pred), spec=SPEC), CHECK).status is SetupStatus.FINE


def test_a_keypoint_without_coordinates_in_every_image_is_told() -> None:
    pred = PLACES.pred_px.copy()
    pred[:-1, 3] = np.nan
    assert said(own(pred_px=pred), CHECK).status is SetupStatus.FINE
    pred[:, 3] = np.nan
    outcome = said(own(pred_px=pred), CHECK)
    assert outcome.status is SetupStatus.WRONG
    assert outcome.evidence == "no coordinates of L1 LR in any image (NaN): missed, and in no mean"


@pytest.mark.parametrize(
    ("said_as", "meant", "advice"),
    [
        (CoordsFrame.SIGNED_UNIT, "unit", "--coords-frame unit"),
        (CoordsFrame.UNIT, "signed-unit", "--coords-frame signed-unit"),
        (CoordsFrame.UNIT, "input", "--coords-frame input"),
        (None, "unit", "--coords-frame unit"),
    ],
)
def test_a_frame_that_is_said_wrongly_is_told(said_as: CoordsFrame | None, meant: str, advice: str) -> None:
    inspection, size = facts().inspection, FRAMES.network_input.xy
    assert inspection is not None
    true = inspection.places["argmax"] * FRAMES.input_per_cell
    returned = {"input": true, "unit": true / size, "signed-unit": 2 * true / size - 1}[meant]
    read = {
        CoordsFrame.UNIT: returned * size,
        CoordsFrame.SIGNED_UNIT: (returned + 1) / 2 * size,
        None: returned,
    }[said_as]
    outcome = said(replace(own(look={"coords": read}), outputs=OutputSpec(coords_frame=said_as)), CHECK)
    assert (outcome.status, outcome.advice) == (SetupStatus.WRONG, advice)


# ---- offsets ----


def _with_offsets(change: Any, noise: float = 0.03, **said_of: Any) -> Facts:
    """Peaks between cells, and offsets from the highest cell that are changed before they are read."""
    rng = np.random.default_rng(4)
    highest = rng.integers(5, 40, (LOOKED_AT, K, 2)).astype(float)
    steps = rng.uniform(-0.5, 0.5, highest.shape)
    dark = highest + steps + noise * rng.normal(size=steps.shape)
    coords = (highest + change(steps)) * FRAMES.input_per_cell
    look = {"coords": coords, "places": {"argmax": highest, "dark": dark}}
    return replace(own(look=look), outputs=OutputSpec({"offsets": "o"}, **said_of))


def test_offsets_that_are_read_as_meant() -> None:
    assert said(_with_offsets(lambda s: s), CHECK).status is SetupStatus.FINE
    # Where the shape of a peak says nothing of its place, as of discs, nothing is claimed.
    assert said(_with_offsets(lambda s: s / 3, noise=2.0), CHECK).status is SetupStatus.FINE
    assert said(_with_offsets(np.zeros_like), CHECK).status is SetupStatus.FINE


@pytest.mark.parametrize(
    ("change", "scale", "advice"),
    [
        (lambda s: s / 3, 1.0, "--output offsets=PATH,scale=3"),
        (lambda s: s / 3, 2.0, "--output offsets=PATH,scale=6"),
        (lambda s: -s, 1.0, "--output offsets=PATH,scale=-1"),
        (lambda s: s[..., ::-1], 1.0, "--output offsets=PATH,axes=yx"),
    ],
)
def test_offsets_that_are_read_otherwise(change: Any, scale: float, advice: str) -> None:
    outcome = said(_with_offsets(change, noise=0.0, offset_scale=scale), CHECK)
    assert (outcome.status, outcome.advice) == (SetupStatus.WRONG, advice)


# ---- σ ----


def _sigma_facts(sigma_px: Floats, kind: UncertaintyKind = UncertaintyKind.SIGMA, **look: Any) -> Facts:
    spec = replace(SPEC, uncertainty=UncertaintySpec(kind=kind))
    rng = np.random.default_rng(5)
    pred = PLACES.label_px + _spread() * rng.normal(size=PLACES.label_px.shape)
    conditions = {"sigma_source": "head"}
    return facts(spec=spec, sigma_px=sigma_px, pred_px=pred, conditions=conditions, look=look)


def _spread() -> Floats:
    """σ in original pixels that differ fourfold between keypoints."""
    each = np.exp(np.random.default_rng(6).normal(np.log(4.0), 0.6, (12, K, 1)))
    return np.repeat(each, 2, axis=2)


@pytest.mark.parametrize("power", [-1, -2])
def test_a_precision_in_the_place_of_sigma_is_told(power: int) -> None:
    right, wrong = _sigma_facts(_spread()), _sigma_facts(16.0 * _spread() ** power)
    assert said(right, "network.uncertainty").status is SetupStatus.FINE
    outcome = said(wrong, "network.uncertainty")
    assert outcome.status in (SetupStatus.WARNING, SetupStatus.WRONG)
    assert "is it a precision, 1/σ or 1/σ²?" in outcome.evidence
    assert outcome.advice == "return σ, or --uncertainty heatmap"


def test_sigma_that_knows_nothing_is_no_precision() -> None:
    told = 0
    for seed in range(60):
        each = np.exp(np.random.default_rng(100 + seed).normal(np.log(4.0), 0.5, (12, K, 1)))
        told += "precision" in said(_sigma_facts(np.repeat(each, 2, 2)), "network.uncertainty").evidence
    assert told <= 1


COVARIANCE = np.array([[4.0, 1.5], [1.5, 3.0]])
MATRICES = np.broadcast_to(COVARIANCE, (LOOKED_AT, K, 2, 2)) * (1 + np.arange(K))[:, None, None]


@pytest.mark.parametrize(
    "head",
    [
        np.linalg.cholesky(MATRICES),
        -MATRICES,
        MATRICES[..., [0, 1, 0], [0, 1, 1]],
        MATRICES * np.nan,
    ],
    ids=["Cholesky", "negative", "xx, yy, xy", "NaN"],
)
def test_matrices_that_are_no_covariances_are_refused(head: Floats) -> None:
    of = _sigma_facts(_spread(), UncertaintyKind.COV, head=head)
    outcome = said(of, "network.uncertainty")
    assert (outcome.status, outcome.refused) == (SetupStatus.WRONG, True)
    assert outcome.evidence.startswith("100 % of the head's matrices are no covariances")
    (problem,) = refusals(of, ())
    assert "L·Lᵀ of Cholesky factors" in problem


def test_covariances_are_held_against_errors_like_any_sigma() -> None:
    for head in (MATRICES, MATRICES[..., [0, 0, 1], [0, 1, 1]]):
        outcome = said(_sigma_facts(_spread(), UncertaintyKind.COV, head=head), "network.uncertainty")
        assert outcome.status is SetupStatus.FINE
        assert outcome.evidence.startswith("read as covariance in model-input pixels: errors are")
    of = _sigma_facts(_spread() / 4, UncertaintyKind.COV, head=MATRICES)
    outcome = said(of, "network.uncertainty")
    assert outcome.status is SetupStatus.WRONG
    assert outcome.advice == "--uncertainty-frame heatmap"
