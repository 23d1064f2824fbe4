"""The generator of synthetic radiographs: what is annotated must be what is drawn."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from training.radiographs import Radiograph, View, draw_radiograph, sample_spine

SEEDS = range(40)
VIEWS: tuple[View, ...] = ("AP", "LA")


def _bodies(radiograph: Radiograph) -> NDArray[np.float64]:
    return radiograph.keypoints_px[:20].reshape(5, 4, 2)


def _cross(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    return float(a[0] * b[1] - a[1] * b[0])


@pytest.mark.parametrize("view", VIEWS)
def test_the_seed_decides_everything(view: str) -> None:
    first, again, other = (draw_radiograph(view, seed, height=200) for seed in (5, 5, 6))
    np.testing.assert_array_equal(first.image, again.image)
    np.testing.assert_array_equal(first.keypoints_px, again.keypoints_px)
    assert (first.listhesis, first.sex, first.age) == (again.listhesis, again.sex, again.age)
    assert not np.array_equal(first.keypoints_px, other.keypoints_px)


@pytest.mark.parametrize(("view", "count", "rows"), [("AP", 20, 10), ("LA", 22, 11)])
def test_shapes_and_default_size(view: str, count: int, rows: int) -> None:
    radiograph = draw_radiograph(view, 1)
    height, width = radiograph.image.shape
    assert radiograph.image.dtype == np.uint8
    assert 900 <= height <= 1300
    assert 0.54 <= width / height <= 0.81
    assert radiograph.keypoints_px.shape == (count, 2)
    assert len(radiograph.listhesis) == rows


@pytest.mark.parametrize("view", VIEWS)
def test_unknown_view_is_refused(view: str) -> None:
    with pytest.raises(ValueError, match="not known"):
        draw_radiograph(view.lower(), 0, height=100)


@pytest.mark.parametrize("view", VIEWS)
def test_height_changes_the_sampling_and_not_the_picture(view: str) -> None:
    small, large = draw_radiograph(view, 3, height=200), draw_radiograph(view, 3, height=600)
    np.testing.assert_allclose((small.keypoints_px + 0.5) * 3.0, large.keypoints_px + 0.5, atol=1e-9)
    shared = small.image.shape[1]
    blocks = large.image[:, : 3 * shared].astype(float)
    pad = 3 * shared - blocks.shape[1]
    blocks = np.pad(blocks, ((0, 0), (0, pad)), mode="edge").reshape(200, 3, shared, 3).mean(axis=(1, 3))
    correlation = np.corrcoef(blocks.ravel(), small.image.ravel().astype(float))[0, 1]
    assert correlation > 0.97


@pytest.mark.parametrize("view", VIEWS)
def test_keypoints_are_ordered_and_well_inside(view: str) -> None:
    for seed in SEEDS:
        radiograph = draw_radiograph(view, seed, height=100)
        height, width = radiograph.image.shape
        x, y = radiograph.keypoints_px.T
        assert x.min() >= 0.03 * width
        assert x.max() <= 0.97 * width - 1
        assert y.min() >= 0.03 * height
        assert y.max() <= 0.97 * height - 1
        bodies = _bodies(radiograph)
        assert np.all(np.diff(bodies.mean(axis=1)[:, 1]) > 0)
        for upper_left, upper_right, lower_left, lower_right in bodies:
            ring = [upper_left, upper_right, lower_right, lower_left]
            sides = [ring[(i + 1) % 4] - ring[i] for i in range(4)]
            assert all(_cross(sides[i], sides[(i + 1) % 4]) > 0 for i in range(4)), (
                "convex, clockwise as seen"
            )
            assert upper_left[0] < upper_right[0]
            assert lower_left[0] < lower_right[0]
        assert 0.62 <= bodies[4].mean(axis=0)[1] / height <= 0.85
        t12 = radiograph.t12_px
        assert t12[:, 1].max() < bodies[0][:2, 1].max()
        assert 0.7 < np.ptp(t12, axis=0)[0] / np.ptp(bodies[0], axis=0)[0] < 1.1


@pytest.mark.parametrize(("view", "narrow", "wide"), [("AP", 1.2, 2.3), ("LA", 0.95, 2.0)])
def test_proportions_are_human(view: str, narrow: float, wide: float) -> None:
    for seed in SEEDS:
        bodies = _bodies(draw_radiograph(view, seed, height=100))
        width = np.linalg.norm(bodies[:, 1::2] - bodies[:, ::2], axis=-1).mean(axis=1)
        height = np.linalg.norm(bodies[:, 2:] - bodies[:, :2], axis=-1).mean(axis=1)
        assert np.all((width / height > narrow) & (width / height < wide))
        axis = bodies[1:, :2].mean(axis=1) - bodies[:-1, 2:].mean(axis=1)
        gap = np.linalg.norm(axis, axis=1) / height.mean()
        assert np.all((gap > 0.1) & (gap < 0.75))


def test_lordosis_varies_within_the_human_range() -> None:
    angles = []
    for seed in range(60):
        points = draw_radiograph("LA", seed, height=100).keypoints_px
        top, bottom = points[1] - points[0], points[21] - points[20]
        angles.append(abs(math.degrees(math.atan2(_cross(top, bottom), float(top @ bottom)))))
    assert min(angles) > 12.0
    assert max(angles) < 80.0
    assert np.std(angles) > 6.0


def test_lateral_slips_have_the_size_and_code_they_claim() -> None:
    """The slip is measured as clinicians do: posterior lower corner along the endplate below."""
    coded = 0
    seeds = range(300)
    for seed in seeds:
        spine = sample_spine("LA", np.random.default_rng(seed))
        lines = [*(vertebra.corners[:2] for vertebra in spine.lumbar[1:]), spine.s1]
        back = 0 if spine.anterior > 0 else 1
        for vertebra, line, share, code in zip(
            spine.lumbar, lines, spine.slip_share, spine.slips, strict=True
        ):
            along = line[1] - line[0]
            shift = vertebra.corners[2 + back] - line[back]
            measured = float(shift @ along) / float(along @ along)
            assert measured == pytest.approx(share, abs=1e-9)
            forward = measured * spine.anterior
            expected = 0 if abs(forward) < 0.06 else 3 if forward > 0 else 4
            assert code == expected
            assert abs(forward) < 0.45
        coded += any(spine.slips)
    assert 0.12 < coded / len(seeds) < 0.24


def test_frontal_slips_are_coded_by_side() -> None:
    codes: set[int] = set()
    for seed in range(300):
        spine = sample_spine("AP", np.random.default_rng(seed))
        for share, code in zip(spine.slip_share, spine.slips, strict=True):
            assert code == (0 if abs(share) < 0.06 else 2 if share > 0 else 1)
        codes.update(spine.slips)
    assert codes == {0, 1, 2}


@pytest.mark.parametrize("view", VIEWS)
def test_bodies_are_brighter_than_discs_on_easy_films(view: str) -> None:
    brighter, total = 0, 0
    for seed in range(20):
        radiograph = draw_radiograph(view, seed, height=300)
        if radiograph.difficulty > 0.2:
            continue
        bodies = _bodies(radiograph)
        discs = 0.5 * (bodies[:-1, 2:].mean(axis=1) + bodies[1:, :2].mean(axis=1))
        for centre, disc in zip(bodies[:-1].mean(axis=1), discs, strict=True):
            (bx, by), (dx, dy) = np.rint(centre).astype(int), np.rint(disc).astype(int)
            body = radiograph.image[by - 3 : by + 4, bx - 8 : bx + 9].mean()
            brighter += bool(body > radiograph.image[dy - 1 : dy + 2, dx - 8 : dx + 9].mean())
            total += 1
    assert brighter / total > 0.85


@pytest.mark.parametrize("view", VIEWS)
def test_about_a_quarter_of_the_films_is_hard(view: View) -> None:
    hardness = [sample_spine(view, np.random.default_rng(seed)).hardness for seed in range(400)]
    share = float(np.mean(np.array(hardness) > 0.5))
    assert 0.18 < share < 0.32
