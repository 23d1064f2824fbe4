"""Images, missing keypoints and NaN: what is averaged and what is left out."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mahtdiag.losses import AnatomicalStructureLoss, HeatmapMSELoss, MAHTNetLoss
from mahtdiag.schema.skeleton import AP, LUMBAR, Skeleton, View

from .cases import (
    ALL_CASES,
    ANATOMICAL_CASES,
    COMBINED_CASES,
    COORDINATE_CASES,
    HEATMAP_CASES,
    LABELLED_CASES,
    Case,
    unlabel,
)

cases = pytest.mark.parametrize("case", ALL_CASES, ids=str)
labelled_cases = pytest.mark.parametrize("case", LABELLED_CASES, ids=str)
EXAMPLES = settings(max_examples=10, deadline=None)


@cases
@EXAMPLES
@given(seed=st.integers(0, 10**6), images=st.integers(1, 5))
def test_mean_is_the_mean_of_none(case: Case, seed: int, images: int) -> None:
    inputs = case.sample(seed, images)
    values = case.value(inputs)
    assert values.shape == (images,)
    torch.testing.assert_close(case.value(inputs, "mean"), values.mean(), rtol=1e-12, atol=1e-12)


@cases
@EXAMPLES
@given(seed=st.integers(0, 10**6), order=st.permutations(range(4)))
def test_images_do_not_see_each_other(case: Case, seed: int, order: list[int]) -> None:
    inputs = case.sample(seed, 4)
    values = case.value(inputs)
    shuffled = case.value(tuple(tensor[order] for tensor in inputs))
    torch.testing.assert_close(shuffled, values[order], rtol=1e-12, atol=1e-12)
    alone = torch.cat([case.value(tuple(tensor[i : i + 1] for tensor in inputs)) for i in range(4)])
    torch.testing.assert_close(alone, values, rtol=1e-12, atol=1e-12)


@cases
def test_float32_agrees_with_float64(case: Case) -> None:
    single, double = case.value(case.sample(dtype=torch.float32)), case.value(case.sample())
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), double, rtol=1e-5, atol=1e-5)


@cases
def test_inputs_are_not_changed(case: Case) -> None:
    inputs = case.sample()
    missing = torch.zeros(inputs[0].shape[:2], dtype=torch.bool)
    missing[0, 0] = True
    inputs = inputs if case in ANATOMICAL_CASES else unlabel(case, inputs, missing)
    before = [tensor.clone() for tensor in inputs]
    case.value(inputs)
    assert all(
        torch.equal(a, b) or torch.allclose(a, b, equal_nan=True) for a, b in zip(before, inputs, strict=True)
    )


@cases
def test_memory_layout_does_not_matter(case: Case) -> None:
    inputs = case.sample()
    strided = tuple(t.transpose(0, -1).contiguous().transpose(0, -1) for t in inputs)
    torch.testing.assert_close(case.value(strided), case.value(inputs), rtol=1e-12, atol=1e-12)


@cases
def test_no_images(case: Case) -> None:
    inputs = tuple(tensor[:0] for tensor in case.sample())
    assert case.value(inputs).shape == (0,)
    assert case.value(inputs, "mean").isnan()


@pytest.mark.parametrize("case", [*HEATMAP_CASES, *COORDINATE_CASES], ids=str)
@EXAMPLES
@given(data=st.data())
def test_missing_keypoints_count_as_if_they_were_not_there(case: Case, data: st.DataObject) -> None:
    inputs = case.sample(data.draw(st.integers(0, 10**6)), 1)
    count = inputs[0].shape[1]
    gone = data.draw(st.sets(st.integers(0, count - 1), max_size=count - 1))
    missing = torch.zeros(1, count, dtype=torch.bool)
    missing[0, list(gone)] = True
    kept = [k for k in range(count) if k not in gone]
    value = case.value(unlabel(case, inputs, missing))
    torch.testing.assert_close(value, case.value(tuple(t[:, kept] for t in inputs)), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("case", HEATMAP_CASES, ids=str)
def test_one_nan_pixel_of_a_target_is_a_missing_keypoint(case: Case) -> None:
    inputs = case.sample()
    missing = torch.zeros(3, 4, dtype=torch.bool)
    missing[1, 2] = True
    partly = inputs[1].clone()
    partly[1, 2, 0, 0] = torch.nan
    whole = case.value(unlabel(case, inputs, missing))
    assert torch.equal(case.value((inputs[0], partly, *inputs[2:])), whole)


@pytest.mark.parametrize("case", COORDINATE_CASES, ids=str)
@pytest.mark.parametrize("axis", [0, 1])
def test_one_nan_coordinate_is_a_missing_keypoint(case: Case, axis: int) -> None:
    inputs = case.sample()
    missing = torch.zeros(3, 6, dtype=torch.bool)
    missing[1, 2] = True
    half = inputs[1].clone()
    half[1, 2, axis] = torch.nan
    whole = case.value(unlabel(case, inputs, missing))
    assert torch.equal(case.value((inputs[0], half, *inputs[2:])), whole)


@labelled_cases
def test_an_image_without_labels_has_no_value_and_is_left_out_of_the_mean(case: Case) -> None:
    inputs = case.sample()
    complete = case.value(inputs)
    missing = torch.zeros(inputs[0].shape[:2], dtype=torch.bool)
    missing[1] = True
    unlabelled = unlabel(case, inputs, missing)
    values = case.value(unlabelled)
    assert values.isnan().tolist() == [False, True, False]
    torch.testing.assert_close(values[[0, 2]], complete[[0, 2]], rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(
        case.value(unlabelled, "mean"), complete[[0, 2]].mean(), rtol=1e-12, atol=1e-12
    )
    nothing = unlabel(case, inputs, torch.ones_like(missing))
    assert case.value(nothing).isnan().all()
    assert case.value(nothing, "mean").isnan()


@labelled_cases
def test_a_nan_prediction_is_not_missing(case: Case) -> None:
    for place in case.predicted:
        inputs = list(case.sample())
        spoiled = inputs[place].clone()
        spoiled[1].view(-1)[3] = torch.nan
        inputs[place] = spoiled
        assert case.value(tuple(inputs)).isnan().tolist() == [False, True, False]
        assert case.value(tuple(inputs), "mean").isnan()


@pytest.mark.parametrize("case", COMBINED_CASES, ids=str)
def test_every_part_is_averaged_over_the_images_that_have_it(case: Case) -> None:
    inputs = case.sample()
    missing = torch.zeros(inputs[0].shape[:2], dtype=torch.bool)
    missing[1] = True
    inputs = unlabel(case, inputs, missing)
    mean, each = case.make("mean")(*inputs), case.make("none")(*inputs)
    for name in mean:
        torch.testing.assert_close(mean[name], each[name].nanmean(), rtol=1e-12, atol=1e-12)
    assert not each.anatomical.isnan().any()


@pytest.mark.parametrize("unlabelled", [1, 3])
def test_a_total_needs_both_kinds_of_label(unlabelled: int) -> None:
    """Heatmaps without labels, or coordinates without: the image has no total and enters no mean."""
    case = COMBINED_CASES[0]
    inputs = list(case.sample())
    inputs[unlabelled] = inputs[unlabelled].clone()
    inputs[unlabelled][1] = torch.nan
    values = case.value(tuple(inputs))
    assert values.isnan().tolist() == [False, True, False]
    torch.testing.assert_close(case.value(tuple(inputs), "mean"), values[[0, 2]].mean(), rtol=1e-12, atol=0)


def test_the_weight_of_a_missing_keypoint_is_ignored() -> None:
    pred = torch.ones(1, 2, 2, 2, requires_grad=True)
    target = torch.zeros(1, 2, 2, 2)
    target[:, 1] = torch.nan
    loss = HeatmapMSELoss(use_target_weight=True)(pred, target, torch.tensor([[3.0, torch.nan]]))
    loss.backward()
    assert loss.item() == 3.0
    assert pred.grad is not None
    assert pred.grad.isfinite().all()


def test_a_weight_multiplies_its_keypoint() -> None:
    generator = torch.Generator().manual_seed(0)
    pred, target = torch.rand(2, 2, 3, 4, 4, generator=generator, dtype=torch.float64)
    weighted, plain = HeatmapMSELoss(use_target_weight=True), HeatmapMSELoss()
    ones = torch.ones(2, 3, dtype=torch.float64)
    assert torch.equal(weighted(pred, target, ones), plain(pred, target))
    torch.testing.assert_close(weighted(pred, target, 2.5 * ones), 2.5 * plain(pred, target))
    only = torch.tensor([[0.0, 3.0, 0.0]] * 2, dtype=torch.float64)
    torch.testing.assert_close(weighted(pred, target, only), plain(pred[:, 1:2], target[:, 1:2]))


def test_missing_corners_take_their_vertebra_out_of_every_term() -> None:
    case = ANATOMICAL_CASES[1]
    (points,) = case.sample(images=1)
    loss = AnatomicalStructureLoss(view="LA", reduction="none")
    whole = points.clone()
    whole[0, 8:12] = torch.nan
    for corner in range(8, 12):
        for axes in ([0], [1], [0, 1]):
            partly = points.clone()
            partly[0, corner, axes] = torch.nan
            for name, value in loss(partly).items():
                assert torch.equal(value, loss(whole)[name]), (corner, axes, name)


def test_terms_with_nothing_left_are_nan() -> None:
    points = torch.rand(4, 22, 2, dtype=torch.float64)
    points[1] = torch.nan
    points[2, 4:] = torch.nan
    points[3, :20:4, 0] = torch.nan
    parts = AnatomicalStructureLoss(view="LA", reduction="none")(points)
    assert parts.order.isnan().tolist() == [False, True, True, True]
    assert parts.parallel.isnan().tolist() == [False, True, False, True]
    assert parts.ratio.isnan().tolist() == [False, True, False, True]
    assert parts.total.isnan().tolist() == [False, True, True, True]
    mean = AnatomicalStructureLoss(view="LA")(points)
    torch.testing.assert_close(mean.parallel, parts.parallel[[0, 2]].mean())
    torch.testing.assert_close(mean.total, parts.total[0])


def test_the_end_of_the_sacrum_enters_the_order_alone() -> None:
    points = torch.rand(1, 22, 2, dtype=torch.float64)
    loss = AnatomicalStructureLoss(view="LA")
    gone = points.clone()
    gone[0, 21, 0] = torch.nan
    before, after = loss(points), loss(gone)
    assert torch.equal(before.parallel, after.parallel)
    assert torch.equal(before.ratio, after.ratio)
    assert torch.equal(after.order, AnatomicalStructureLoss()(points[:, :20]).order)


def test_any_skeleton_has_an_anatomical_loss() -> None:
    whole = Skeleton("AP", View.AP, (*(f"T{n}" for n in range(1, 13)), *LUMBAR))
    points = torch.rand(3, whole.keypoints, 2, dtype=torch.float64)
    loss, lumbar = AnatomicalStructureLoss(view=whole), AnatomicalStructureLoss()
    without = points.clone()
    without[:, : -AP.keypoints] = torch.nan
    for name, value in loss(without).items():
        torch.testing.assert_close(value, lumbar(points[:, -AP.keypoints :])[name])
    last = points.clone()
    last[:, -1] += 1.0
    assert all(value != loss(last)[name] for name, value in loss(points).items())
    with pytest.raises(ValueError, match="68"):
        loss(points[:, :20])


def test_an_infinite_coordinate_does_not_pass_for_a_missing_one() -> None:
    points = torch.rand(2, 20, 2)
    points[0, 0] = torch.inf
    for reduction in ("none", "mean"):
        total = AnatomicalStructureLoss(reduction=reduction)(points).total
        assert not total.flatten()[0].isfinite()


@pytest.mark.parametrize("view", list(View))
def test_parts_that_cannot_be_computed_are_absent(view: View) -> None:
    case = COMBINED_CASES[0] if view is View.AP else COMBINED_CASES[1]
    heatmaps, targets, points, labels, log_sigma = case.sample()
    loss = MAHTNetLoss(view=view)
    assert set(loss(heatmaps, targets)) == {"heatmap", "total"}
    assert set(loss(heatmaps, targets, points)) == {"heatmap", "anatomical", "total"}
    assert set(loss(heatmaps, targets, points, None, log_sigma)) == {"heatmap", "anatomical", "total"}
    assert set(loss(heatmaps, targets, None, labels, log_sigma)) == {"heatmap", "total"}
    assert set(loss(heatmaps, targets, points, labels)) == {"heatmap", "coord", "anatomical", "total"}
    only = loss(heatmaps, targets)
    assert only.coord is None
    assert torch.equal(only.total, only.heatmap)
    some = loss(heatmaps, targets, points, labels)
    weighted = some.heatmap + 0.5 * some["coord"] + 0.1 * some["anatomical"]
    torch.testing.assert_close(some.total, weighted, rtol=1e-12, atol=0)
