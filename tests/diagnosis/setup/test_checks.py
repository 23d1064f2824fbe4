"""Every check by small tables and looks made by hand: fine, warning, wrong, not checked."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from mahtdiag.anatomy.rules import Limits
from mahtdiag.diagnosis.conditions import Conditions
from mahtdiag.diagnosis.run_table import RunTable
from mahtdiag.diagnosis.setup.check import Facts, Outcome, SetupCheck, fine
from mahtdiag.diagnosis.setup.images import likeness, thumbnails
from mahtdiag.diagnosis.setup.labels import shares_or_percent
from mahtdiag.diagnosis.setup.registry import CHECK_BY_NAME, CHECKS, RESULTS, check_setup, refusals
from mahtdiag.schema.choices import DecodeMethod, HeatmapFlag, UncertaintyKind
from mahtdiag.schema.frames import NetworkFrames, Size
from mahtdiag.schema.model_spec import Decoding, ModelInput, ModelSpec, UncertaintySpec
from mahtdiag.schema.preprocessing import Resize
from mahtdiag.schema.setup import Inspection, SetupEntry, SetupStatus, ShownOtherwise
from mahtdiag.schema.skeleton import AP
from tests.diagnosis.setup.simulated import FRAMES, Floats, places_of, through

K = AP.keypoints
FINE, WARNING, WRONG, NOT = SetupStatus
LOOKED_AT = 8
SPEC = ModelSpec(
    AP, ModelInput(FRAMES.network_input, 1), Decoding(1.5, DecodeMethod.LOCAL), UncertaintySpec()
)


def thumbnail(seed: int, inverted: bool = False) -> str:
    """A small copy that looks like all others: bright in the middle."""
    rng = np.random.default_rng(seed)
    across = 200 * np.exp(-((np.arange(8) - 3.5) ** 2) / 4)
    levels = across[None] + rng.uniform(0, 40, (8, 8))
    return bytes((255 - levels if inverted else levels).astype(np.uint8).ravel().tolist()).hex()


def facts(
    count: int = 12,
    *,
    spec: ModelSpec | None = SPEC,
    conditions: dict[str, Any] | None = None,
    look: dict[str, Any] | None = None,
    beta_stated: bool = True,
    pred_px: Floats | None = None,
    outside: tuple[Floats, Floats, list[int]] | None = None,
    **columns: Any,
) -> Facts:
    """What is known of a right set-up, with other columns, conditions or looks."""
    places = places_of(max(count, 1), 3, spread_px=2.0).taken(np.arange(count))
    label = columns.pop("label_px", places.label_px)
    pred = places.pred_px if pred_px is None else pred_px
    first = min(count, LOOKED_AT)
    seen_places = places.taken(np.arange(first))
    values: dict[str, Any] = {
        "image": tuple(f"{n:04d}.png" for n in range(count)),
        "image_sha256": tuple(f"{n:064d}" for n in range(count)),
        "width": places.sizes_px[:, 0],
        "height": places.sizes_px[:, 1],
        "pred_px": pred,
        "gt_px": label,
        "error_px": np.linalg.norm(pred - label, axis=-1),
        "sigma_px": np.full((count, K, 2), np.nan),
        "flags": np.zeros((count, K), dtype=np.int64),
        "argmax_px": pred,
        "local_px": pred,
        "spread_px2": np.stack([spread(places.sizes_px, axis) for axis in (0, None, 1)], axis=-1),
        "bits": np.full(count, 8.0),
        "grey_low": np.zeros(count),
        "grey_high": np.ones(count),
        "colour": np.zeros(count),
        "orientation": np.ones(count),
        "thumbnail": tuple(thumbnail(n) for n in range(count)),
        **columns,
    }
    told = {"decode": "local", "heatmap_sigma": 1.5, "frames": FRAMES, **(conditions or {})}
    cells, label_cells = (
        through(seen_places, points, "original_to_heatmap")
        for points in (seen_places.pred_px, seen_places.label_px)
    )
    seen: dict[str, Any] = {
        "images": first,
        "labels_cells": label_cells,
        "places": {"argmax": cells, "soft-argmax 1": cells + 9, "soft-argmax 30": cells},
        "peak": np.full((first, K), 0.9),
        "background": np.zeros((first, K)),
        "lowest": np.zeros((first, K)),
        "total": np.full((first, K), 14.0),
        "repeat_cells": 0.0,
        "batch_cells": 0.0,
        **(look or {}),
    }
    points, sizes, tags = outside or (np.empty((0, K, 2)), np.empty((0, 2)), [])
    return Facts(
        RunTable(AP, values, conditions=Conditions(Limits.of(AP.view), **told)),
        spec,
        Inspection(**seen),
        points,
        sizes,
        np.array(tags, dtype=np.int64),
        beta_stated,
    )


def spread(sizes_px: Floats, axis: int | None, sigma_cells: float = 1.5) -> Floats:
    """What a heatmap of this σ shows along one axis, or nothing between the two."""
    if axis is None:
        return np.zeros((len(sizes_px), K))
    per_cell = sizes_px[:, axis] / FRAMES.heatmap.xy[axis]
    return np.repeat((sigma_cells * per_cell[:, None]) ** 2, K, axis=1)


def said(of: Facts, check: str) -> Outcome:
    """What one check says."""
    outcome = CHECK_BY_NAME[check].outcome(of, {})
    assert outcome is not None
    return outcome


def flat_heads(count: int, value: float) -> Floats:
    """σ of every keypoint."""
    return np.full((count, K, 2), value)


PLACES = places_of(12, 3, spread_px=2.0)
MOVED = PLACES.label_px.copy()
MOVED[:, -1] = 0
NEGATIVES = tuple(thumbnail(n, n in (2, 5)) for n in range(12))
STEP = np.repeat(PLACES.label_px.mean(0)[None], 12, axis=0)
TURNED = np.where(
    (np.arange(12) < 4)[:, None, None], PLACES.sizes_px[:, None] - 1 - PLACES.label_px, PLACES.label_px
)
TAGS = np.where(np.arange(12) < 4, 3.0, 1.0)
HEAD = replace(SPEC, uncertainty=UncertaintySpec(kind=UncertaintyKind.SIGMA))
WIDE = NetworkFrames(Size(192, 512), Size(48, 128))
OUTPUT = np.full((8, K), 1.0)
SHARES = PLACES.label_px / PLACES.sizes_px[:, None]
CLOCKWISE = np.arange(K).reshape(5, 4)[:, [0, 1, 3, 2]].ravel()
# Most heatmaps are four times as wide along the spine; one in eight is not.
IN_DOUBT = np.stack(
    [spread(PLACES.sizes_px, 0), spread(PLACES.sizes_px, None), spread(PLACES.sizes_px, 1, 10.5)], -1
)
HALF: dict[str, Any] = {"label_px": PLACES.label_px / 2}
LOGITS = {"peak": OUTPUT * 3, "background": OUTPUT * -9, "lowest": OUTPUT * -9}
SPOILED = PLACES.pred_px + 30 * np.sin(PLACES.pred_px)
SIGMA: dict[str, Any] = {"spec": HEAD, "sigma_px": flat_heads(12, 2.0)}


def shown(*gains: float) -> tuple[ShownOtherwise, ...]:
    """Three images, two of them with errors smaller by these factors in another input."""
    before = np.full(3, 100.0)
    return (ShownOtherwise("--option", "a cause", before, before / [gains[0], gains[1], gains[1]]),)


CASES: list[tuple[str, dict[str, Any], SetupStatus, str]] = [
    ("images.polarity", {}, FINE, "no image looks like the negative"),
    ("images.polarity", {"thumbnail": NEGATIVES}, WRONG, "2 of 12 images look inverted, black for white "
     "(0002.png, 0005.png); mean error"),
    ("images.polarity", {"count": 4}, NOT, "4 images, needs 5"),
    ("images.polarity", {"thumbnail": (None,) * 12}, NOT, "0 images, needs 5"),
    ("images.polarity", {"thumbnail": ("7f" * 64,) * 12}, NOT, "0 images, needs 5"),
    ("images.bit_range", {}, FINE, "8-bit images use up to 100 %"),
    ("images.bit_range", {"bits": np.full(12, 16.0), "grey_high": np.full(12, 4095 / 65535)}, WRONG,
     "12 of 12 images use 6.2 % of the 16-bit range, values up to 4095: 12-bit values"),
    ("images.bit_range", {"bits": np.where(np.arange(12) < 3, 16.0, 8.0)}, WARNING,
     "3 images have 16 bits, 9 have 8"),
    ("images.bit_range", {"grey_high": np.where(np.arange(12) < 3, 0.2, 1.0)}, WARNING,
     "3 of 12 images use less than 30 %"),
    ("images.bit_range", {"grey_high": np.where(np.arange(12) < 3, 0.01, 1.0)}, WRONG,
     "3 of 12 images are black: one grey level, about 1 %"),
    ("images.input", {"look": {"otherwise": shown(1.6, 8.0)}}, WRONG,
     "a cause: mean error of the first 3 images 100.0 px, 29.17 px so"),
    ("images.input", {"look": {"otherwise": shown(0.9, 8.0)}}, FINE, ""),
    ("images.input", {"look": {"otherwise": shown(1.4, 1.6)}}, FINE, ""),
    ("images.orientation", {}, FINE, "no image says that it is to be turned"),
    ("images.orientation", {"orientation": TAGS}, WARNING, "4 of 12 images carry an orientation tag"),
    ("images.orientation", {"orientation": TAGS, "label_px": TURNED}, WRONG,
     "labels were made on turned images: mean error of the 4 images"),
    ("images.orientation", {"outside": (np.full((1, K, 2), [650.0, 90.0]), np.array([[100.0, 700.0]]), [6])},
     WRONG, "labels were made on turned images: in 1 of 1 images with an orientation tag they lie outside"),
    ("images.size", {}, FINE, "images 700 to 1100 wide, 1100 to 1500 high; stretched"),
    ("images.size", {"conditions": {"frames": WIDE}}, WARNING, "images 700 to 1100 wide"),
    ("images.size", {"conditions": {"frames": replace(WIDE, resize=Resize.LETTERBOX)}}, FINE,
     "images 700 to 1100 wide, 1100 to 1500 high; they fill"),
    ("images.size", {"conditions": {"frames": None}}, FINE, "images 700 to 1100 wide, 1100 to 1500 high"),
    ("images.copies", {}, FINE, "no two files are the same"),
    ("images.copies", {"image_sha256": ("a",) * 3 + tuple("bcdefghij")}, WARNING,
     "2 of 12 images are byte-identical copies of others (first: 0000.png and 0001.png)"),
    ("images.colour", {}, FINE, "all images are grey"),
    ("images.colour", {"colour": np.where(np.arange(12) < 2, 0.1, 0.0)}, WARNING,
     "2 of 12 images are in colour"),
    ("network.heatmaps", {}, FINE, "peaks about 0.9, background 0"),
    ("network.heatmaps", {"look": {"peak": OUTPUT * np.nan}}, WRONG, "heatmaps are not numbers"),
    ("network.heatmaps", {"look": LOGITS}, WRONG,
     "heatmaps are logits, before the sigmoid: peaks about 3, background -9, lowest cell -9"),
    ("network.heatmaps", {"look": {**LOGITS, "peak": OUTPUT * -0.2}}, WRONG,
     "heatmaps are logarithms, nowhere above 0: peaks about -0.2, background -9"),
    ("network.heatmaps", {"look": {"peak": OUTPUT * 76}}, WRONG, "heatmaps run from 0 to about 76,"),
    ("network.heatmaps", {"look": {"peak": OUTPUT * 250}}, WRONG, "heatmaps run from 0 to 255"),
    ("network.heatmaps", {"look": {"peak": OUTPUT * 1000}}, WRONG, "heatmaps run from 0 to about 1000"),
    ("network.heatmaps", {"look": {"background": OUTPUT * 0.6}}, WRONG,
     "heatmaps are diffuse: the background is 67 %"),
    ("network.heatmaps", {"look": {"peak": OUTPUT * 0.5, "lowest": OUTPUT * 0.5}}, WRONG,
     "every heatmap is flat"),
    ("network.heatmaps", {"look": {"peak": np.where(np.arange(K) < 2, 0.0, OUTPUT)}}, WRONG,
     "the heatmap of L1 UL, L1 UR is dead"),
    ("network.heatmaps", {"look": {"peak": OUTPUT * 0.1, "total": OUTPUT}}, FINE, "probabilities over cells"),
    ("network.heatmaps", {"look": {"images": 0, "problem": "no image could be read"}}, NOT,
     "no image could be read"),
    ("network.repeatable", {}, FINE, "the same images give the same places, alone and among others"),
    ("network.repeatable", {"look": {"repeat_cells": 0.5}}, WRONG, "not deterministic: two passes over"),
    ("network.repeatable", {"look": {"batch_cells": 0.5}}, WRONG, "predictions depend on the other images"),
    ("network.repeatable", {"look": {"batch_cells": None, "problem": "1 image"}}, FINE,
     "two passes agree; not checked in another batch: 1 image"),
    ("network.repeatable", {"look": {"repeat_cells": None, "problem": "it failed"}}, NOT, "it failed"),
    ("network.repeatable", {"look": {"repeat_cells": None, "intended": True}}, NOT,
     "repeated passes differ on"),
    ("network.follows", {}, FINE, "predictions differ between images as labels do"),
    ("network.follows", {"pred_px": STEP, "width": np.full(12, 900.0), "height": np.full(12, 1300.0)}, WRONG,
     "predictions do not depend on the image"),
    ("network.follows", {"image_sha256": ("a",) * 12}, NOT, "all images are the same"),
    ("network.follows", {"count": 2}, NOT, "2 images, needs 3"),
    ("network.coordinates", {"look": {"coords": None}}, NOT, ""),
    ("labels.unit", {}, FINE, "labels and predictions have the same scale"),
    ("labels.unit", HALF, WRONG, "labels are for images of half the size: mean error"),
    ("labels.unit", {"label_px": SHARES}, WRONG, "labels are shares of the image"),
    ("labels.unit", {"label_px": 100 * SHARES}, WRONG,
     "labels are percent of the image"),
    ("labels.unit", {"count": 2}, NOT, "2 images, needs 3"),
    ("labels.missing", {}, FINE, "no label is exactly 0,0 or -1,-1"),
    ("labels.missing", {"label_px": MOVED}, WRONG,
     "12 labels in 12 of 12 images are exactly 0,0 or -1,-1 (L5 LR)"),
    ("order.axes", {}, FINE, "x and y are where they belong"),
    ("order.axes", {"label_px": PLACES.label_px[..., ::-1]}, WRONG, "x and y of the labels are exchanged"),
    ("order.axes", {"outside": (PLACES.label_px[:2, :, ::-1], PLACES.sizes_px[:2], [1, 1])},
     WRONG, "x and y of the labels are exchanged: 2 images whose labels lie outside"),
    ("order.axes", {"outside": (np.full((2, K, 2), [650.0, 90.0]), np.full((2, 2), [100.0, 700.0]), [1, 1])},
     WRONG, "labels lie at 90° to their images: 2 images whose labels lie outside"),
    ("order.keypoints", {}, FINE, "every keypoint lies nearest to its own label"),
    ("order.keypoints", {"label_px": PLACES.label_px[:, CLOCKWISE]},
     WRONG, "in the labels corners of each vertebra go round it clockwise"),
    ("order.keypoints", {"pred_px": PLACES.pred_px[:, CLOCKWISE]},
     WRONG, "in the network's output corners of each vertebra go round it clockwise"),
    ("order.keypoints", {"count": 2}, NOT, "2 images, needs 3"),
    ("order.images", {}, FINE, "predictions lie nearest to the labels of their own image"),
    ("order.images", {"label_px": np.roll(PLACES.label_px, 1, axis=0)}, WRONG,
     "labels of 12 of 12 images are those of other images of the set"),
    ("order.images", {"count": 2}, NOT, "2 images, needs 3"),
    ("labels.origin", {}, FINE, "nothing points to labels that count from 1"),
    ("labels.possible", {}, FINE, "no label breaks a rule of anatomy"),
    ("labels.possible", {"label_px": PLACES.label_px[:, ::-1]}, WARNING,
     "labels of 12 of 12 images break a rule of anatomy"),
    ("together.flip", {}, FINE, "neither mirrored nor turned"),
    ("together.frame", {}, FINE, "no other pixel convention or way of resizing fits better"),
    ("together.transform", {}, FINE, "no shared shift, scale or rotation that matters"),
    ("together.transform", {"pred_px": PLACES.pred_px + 14}, WARNING, "all predictions share a shift"),
    ("together.transform", HALF, NOT, "labels.unit comes first"),
    ("together.transform", {"count": 9}, NOT, "9 images, needs 10"),
    ("network.peak_width", {}, FINE, "peaks are 1.5 cells wide (σ), 1.5 are stated"),
    ("network.peak_width", {"conditions": {"heatmap_sigma": 6.0}}, WRONG,
     "peaks are 1.5 cells wide (σ), 6 are stated: 0.25 times"),
    ("network.peak_width", {"conditions": {"heatmap_sigma": 0.5}}, WRONG,
     "peaks are 1.5 cells wide (σ), 0.5 are stated: 3 times"),
    ("network.peak_width", {"spread_px2": IN_DOUBT}, FINE,
     "peaks are 6 cells wide (σ), 1.5 are stated; where the network is surest 1.5: it is in doubt elsewhere"),
    ("network.peak_width", {"spread_px2": np.full((12, K, 3), np.nan)}, NOT, "no heatmap has a peak"),
    ("network.decode", {}, FINE, "local "),
    ("network.decode", {"beta_stated": False, "conditions": {"decode": "soft-argmax"}}, WRONG,
     "soft-argmax without a β: 1 is only a default; soft-argmax with β 30"),
    ("network.decode", {"conditions": {"decode": "argmax"}, "pred_px": SPOILED,
                        "local_px": PLACES.pred_px}, WRONG, "local reads the heatmaps better: argmax"),
    ("network.decode", HALF, NOT, "labels.unit comes first"),
    ("network.uncertainty", SIGMA, FINE,
     "read as σ in model-input pixels: errors are"),
    ("network.uncertainty", {"spec": HEAD, "sigma_px": flat_heads(12, -1.0) * np.nan}, WRONG,
     "100 % of the head's values are negative, read as σ: is it log σ?"),
    ("network.uncertainty", {**SIGMA, "look": {"head": OUTPUT * 2}}, WARNING,
     "the head gives one value, 2,"),
    ("network.uncertainty", {"spec": HEAD, "count": 9, "sigma_px": flat_heads(9, 2.0)}, NOT,
     "9 images, needs 10"),
    ("network.uncertainty", {**SIGMA, **HALF}, NOT,
     "labels.unit comes first"),
    ("network.outputs", {}, FINE, "every output is read"),
    ("network.outputs", {"look": {"unread": ("aux (int)",)}}, FINE,
     "every tensor is read; beside them aux (int)"),
    ("network.outputs", {"look": {"unread": ("name (str)", "aux (tensor [2, 3])")}}, WARNING,
     "outputs that nothing reads: name (str), aux (tensor [2, 3])"),
]  # fmt: skip


@pytest.mark.parametrize(("check", "given", "status", "words"), CASES)
def test_what_a_check_says(check: str, given: dict[str, Any], status: SetupStatus, words: str) -> None:
    outcome = CHECK_BY_NAME[check].outcome(facts(**given), {})
    if not words:
        assert outcome is None
        return
    assert outcome is not None
    assert (outcome.status, outcome.evidence[: len(words)]) == (status, words)
    assert not outcome.advice or status in (WRONG, WARNING)
    assert outcome.advice or status is not WRONG


def test_every_check_is_tried_fine_and_off() -> None:
    """But for what is tried elsewhere, against simulated sets."""
    tried = [{check for check, _, status, _ in CASES if status in of} for of in ((FINE,), (WRONG, WARNING))]
    elsewhere = {"labels.origin", "together.flip", "together.frame", "network.coordinates"}
    assert tried[0] == set(CHECK_BY_NAME) - {"network.coordinates"}
    assert tried[1] == set(CHECK_BY_NAME) - elsewhere


COORDINATES: dict[str, Callable[[Floats], Floats]] = {
    "pixels of the input": lambda cells: 4 * cells,
    "heatmap cells": lambda cells: cells,
    "shares of the input, 0 to 1": lambda cells: cells / [48, 64],
    "shares of the input, -1 to 1": lambda cells: 2 * cells / [48, 64] - 1,
    "percent of the input": lambda cells: 100 * cells / [48, 64],
    "pixels of the input, y before x": lambda cells: 4 * cells[..., ::-1],
    "shares of the input, y before x": lambda cells: (cells / [48, 64])[..., ::-1],
}


@pytest.mark.parametrize("frame", COORDINATES)
def test_own_coordinates_in_every_frame(frame: str) -> None:
    inspection = facts().inspection
    assert inspection is not None
    own = COORDINATES[frame](inspection.places["argmax"])
    outcome = said(facts(look={"coords": own}), "network.coordinates")
    if frame == "pixels of the input":
        assert outcome == fine("own coordinates lie 0 cells from the heatmaps' peaks (median)")
    else:
        assert outcome.status is WRONG
        assert f"; read as {frame} they lie " in outcome.evidence


def test_own_coordinates_that_fit_nowhere_are_told_without_a_cause() -> None:
    noise = np.random.default_rng(0).uniform(-400, 400, (8, K, 2))
    outcome = said(facts(look={"coords": noise}), "network.coordinates")
    assert outcome.status is WARNING
    assert outcome.evidence.endswith("; no other frame fits better")
    assert said(facts(look={"coords": noise * np.nan}), "network.coordinates").status is NOT


# ---- precedence ----


@pytest.mark.parametrize(
    "check", [check for check in CHECKS if check.after], ids=lambda check: str(check.name)
)
def test_a_check_keeps_silent_after_another_that_is_wrong(check: SetupCheck) -> None:
    of = facts(spec=HEAD)
    for name in check.after:
        for status in SetupStatus:
            outcome = check.outcome(of, {name: SetupEntry(name, status, "")})
            silent = outcome is not None and outcome.evidence == f"{name} comes first"
            assert silent is (status is WRONG)
    names = [each.name for each in CHECKS]
    assert all(names.index(name) < names.index(check.name) for name in check.after)


def test_of_dead_heatmaps_nothing_else_is_said() -> None:
    look = {"peak": OUTPUT * 0.5, "lowest": OUTPUT * 0.5, "background": OUTPUT * 0.5}
    entries = {e.check: e for e in check_setup(facts(look=look))}
    off = [name for name, e in entries.items() if e.status in (WRONG, WARNING) and name != RESULTS]
    assert off == ["network.heatmaps"]
    for name in ("network.follows", "network.peak_width", "network.decode"):
        assert entries[name].evidence == "network.heatmaps comes first"


# ---- all checks together ----


def test_of_a_right_set_up_everything_is_fine() -> None:
    entries = check_setup(facts())
    assert entries[0].check == RESULTS
    assert {entry.status for entry in entries} == {FINE}
    assert [entry.check for entry in entries[1:]] == [
        name
        for name in CHECK_BY_NAME
        if name not in ("network.coordinates", "network.uncertainty", "images.input")
    ]


@pytest.mark.parametrize("count", [1, 2])
def test_one_and_two_images(count: int) -> None:
    entries = {e.check: e for e in check_setup(facts(count))}
    of_images = f"{count} image{'' if count == 1 else 's'}, needs "
    assert {e.status for e in entries.values()} == {FINE, NOT}
    assert all(e.evidence.startswith(of_images) for e in entries.values() if e.status is NOT)
    assert entries["together.transform"].evidence == f"{of_images}10"


def test_labels_alone_have_the_checks_of_labels_and_images() -> None:
    entries = [entry.check for entry in check_setup(facts(spec=None))]
    assert entries == [check.name for check in CHECKS if not check.network and not check.predictions]
    off = [e.check for e in check_setup(facts(spec=None, pred_px=MOVED)) if e.status is WRONG]
    assert off == ["labels.missing"]


def test_predictions_of_a_file_have_all_checks_but_those_of_the_network() -> None:
    known = replace(facts(spec=None), from_file=True)
    entries = [entry.check for entry in check_setup(known)]
    assert entries == [RESULTS, *(check.name for check in CHECKS if not check.network)]
    off = [e.check for e in check_setup(replace(facts(spec=None, pred_px=MOVED), from_file=True))]
    assert RESULTS in off


@pytest.mark.parametrize("labelled", [True, False])
def test_a_file_with_one_place_for_all_images_of_several_sizes_is_told(labelled: bool) -> None:
    same = np.broadcast_to(np.linspace(100, 300, 2 * K).reshape(K, 2), (12, K, 2)).copy()
    sizes: dict[str, Any] = {"width": np.linspace(500, 900, 12), "height": np.linspace(900, 1300, 12)}
    known = replace(facts(spec=None, pred_px=same, **sizes), from_file=True, labelled=labelled)
    entries = {entry.check: entry for entry in check_setup(known)}
    assert entries["network.follows"].status is WRONG
    if labelled:
        assert entries["labels.unit"].evidence == "network.follows comes first"
    moved = replace(facts(spec=None, **sizes), from_file=True, labelled=labelled)
    assert {e.check: e.status for e in check_setup(moved)}["network.follows"] is FINE


def test_without_labels_no_check_speaks_of_them() -> None:
    entries = check_setup(replace(facts(), labelled=False))
    named = [check.name for check in CHECKS if not check.labels]
    assert {entry.check for entry in entries} <= {RESULTS, *named}
    assert entries[0].status is NOT
    assert "no labels: of the predicted spines" in entries[0].evidence


@pytest.mark.parametrize("kept", ["one point", "left corners"])
def test_labels_without_a_width_compare_errors_with_nothing(kept: str) -> None:
    right = facts()
    label = right.table.gt_px.copy()
    if kept == "one point":
        label[:] = label.mean(axis=(0, 1))
    else:
        label[:, 1::2] = np.nan
    error = np.hypot(*np.moveaxis(right.table.pred_px - label, -1, 0))
    (first, *_) = check_setup(facts(label_px=label, error_px=error))
    assert first.check == RESULTS
    if first.status is not WRONG:
        assert (first.status, "no vertebra has a labelled width" in first.evidence) == (NOT, True)
    assert first.status is not FINE


def test_no_image_at_all() -> None:
    entries = check_setup(facts(0, look={"images": 0, "problem": "no image could be read"}))
    assert entries[0] == SetupEntry(RESULTS, NOT, "no image was evaluated")
    assert not [e for e in entries if e.status in (WRONG, WARNING)]


def test_of_no_labels_at_all_nothing_is_fine() -> None:
    assert {entry.status for entry in check_setup(facts(0, spec=None))} == {NOT}


def test_a_keypoint_that_is_dead_in_the_whole_table_is_left_out() -> None:
    flags = np.zeros((12, K), dtype=np.int64)
    flags[:, 3] = int(HeatmapFlag.FLAT)
    pred = PLACES.pred_px.copy()
    pred[:, 3] = 5.0
    found = facts(flags=flags, pred_px=pred)
    assert found.dead.tolist() == [k == 3 for k in range(K)]
    assert np.isnan(found.places.pred_px).all(-1).any(0).tolist() == found.dead.tolist()
    assert said(found, "order.keypoints").status is FINE


def test_the_results_name_the_likeliest_cause() -> None:
    results, *entries = check_setup(facts(**HALF))
    assert results.status is WRONG
    assert results.evidence.startswith("results are not plausible: mean error ")
    assert "one correction would remove most of the error" in results.evidence
    unit = next(entry for entry in entries if entry.check == "labels.unit")
    assert results.advice == f"likeliest cause, labels.unit: {unit.evidence}"


def test_results_without_a_cause_say_so() -> None:
    rng = np.random.default_rng(8)
    pred = PLACES.sizes_px[:, None] * rng.uniform(0.1, 0.9, (12, K, 2))
    results, *entries = check_setup(facts(pred_px=pred))
    assert [e.check for e in entries if e.status is WRONG] == []
    assert results.status is WRONG
    assert "anatomically impossible" in results.evidence
    assert results.advice == "no check names a cause: look at the overlays, then at the network"


def test_refusals_can_be_accepted_one_by_one() -> None:
    look = {"peak": OUTPUT * 0.5, "lowest": OUTPUT * 0.5}
    of = facts(label_px=SHARES, look=look, beta_stated=False, conditions={"decode": "soft-argmax"})
    found = [problem.partition(": ")[0] for problem in refusals(of, ())]
    assert found == ["network.heatmaps", "labels.unit", "network.decode"]
    assert [p.partition(": ")[0] for p in refusals(of, found[:2])] == ["network.decode"]
    assert refusals(of, found) == ()
    assert refusals(facts(), ()) == ()


# ---- units and small copies ----


@pytest.mark.parametrize(
    ("factor", "size", "expected"),
    [(1.0, 1000, None), (1 / 1000, 1000, "shares"), (0.1, 1000, "percent"), (0.1, 290, None),
     (0.0, 1000, None), (1 / 1000, 8, None), (0.02, 1000, None)],
)  # fmt: skip
def test_shares_and_percent(factor: float, size: int, expected: str | None) -> None:
    points = np.random.default_rng(0).uniform(100, 900, (5, K, 2)) * factor
    assert shares_or_percent(points, np.full((5, 2), float(size))) == expected
    points[0] = np.nan
    assert shares_or_percent(points, np.full((5, 2), float(size))) == expected
    assert shares_or_percent(points * np.nan, np.full((5, 2), float(size))) is None


def test_likeness_is_a_correlation_whatever_contrast_and_brightness() -> None:
    levels = thumbnails(tuple(thumbnail(n) for n in range(7)))
    found = likeness(levels)
    assert (found > 0.8).all()
    np.testing.assert_allclose(likeness(0.3 * levels + 20), found)
    levels[3] = 255 - levels[3]
    assert likeness(levels)[3] < -0.8
    levels[4] = 9
    assert np.isnan(likeness(levels)).tolist() == [n == 4 for n in range(7)]
    assert np.isnan(thumbnails((None, "", "ab"))).all()
