"""Vertebrae by their centres, against loops over cells."""

import numpy as np
import pytest
import torch
from torch import Tensor

from mahtdiag.heatmaps.centres import corners_of_centres

V, H, W = 5, 24, 12


def maps_of(seed: int) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    sizes = ((2, 1, H, W), (2, 2, H, W), (2, 8, H, W))
    hm, reg, wh = (torch.rand(size, generator=generator) for size in sizes)
    return hm, reg, 4 * wh - 2


def naive(hm: Tensor, reg: Tensor, wh: Tensor, vertebrae: int) -> list[list[tuple[float, float]]]:
    """Peaks among their eight neighbours, the highest of them, from above to below."""
    found = []
    for image in range(len(hm)):
        values = hm[image, 0].numpy()
        peaks = [
            (values[y, x], y, x)
            for y in range(H)
            for x in range(W)
            if values[y, x] == values[max(0, y - 1) : y + 2, max(0, x - 1) : x + 2].max()
        ]
        best = sorted(peaks, reverse=True)[:vertebrae]
        rows = []
        for _, y, x in best:
            o, w = reg[image, :, y, x].tolist(), wh[image, :, y, x].tolist()
            centre = (x + o[0], y + o[1])
            rows.append((centre[1], [(centre[0] - w[2 * c], centre[1] - w[2 * c + 1]) for c in range(4)]))
        found.append([corner for _, corners in sorted(rows) for corner in corners])
    return found


@pytest.mark.parametrize("seed", range(5))
def test_the_same_as_by_hand(seed: int) -> None:
    hm, reg, wh = maps_of(seed)
    corners, heights = corners_of_centres(hm, reg, wh, V)
    np.testing.assert_allclose(corners.numpy(), naive(hm, reg, wh, V), atol=1e-5)
    assert heights.shape == (2, 4 * V)
    assert (heights > 0).all()
    shifted, _ = corners_of_centres(hm, reg + 0.25, wh, V)
    torch.testing.assert_close(shifted, corners + 0.25)


def test_without_offsets_of_centres_these_are_cells() -> None:
    hm, reg, wh = maps_of(0)
    torch.testing.assert_close(corners_of_centres(hm, None, wh, V), corners_of_centres(hm, 0 * reg, wh, V))


def test_too_few_centres_are_no_vertebrae() -> None:
    """Which are missing is not known, so that all are."""
    hm, reg, wh = (0 * maps[:1] for maps in maps_of(0))
    hm[0, 0, [2, 6, 10, 14], 5] = 0.9
    corners, heights = corners_of_centres(hm, reg, wh, V)
    assert corners.isnan().all()
    assert not heights.any()
    assert corners_of_centres(hm, reg, wh, 4)[0].isfinite().all()
    tiny, _ = corners_of_centres(hm[..., :1, :1] + 1, None, wh[..., :1, :1], V)
    assert tiny.shape == (1, 4 * V, 2)
    assert tiny.isnan().all()


def test_other_shapes_are_refused() -> None:
    hm, reg, wh = maps_of(0)
    for wrong in ((hm[:, [0, 0]], wh), (hm, wh[:, :6]), (hm, wh[..., :-1])):
        with pytest.raises(ValueError, match="centres"):
            corners_of_centres(wrong[0], reg, wrong[1], V)
