"""Heatmaps read once on a CUDA device: Triton kernels that give what `decoding`, `peaks` and the losses give.

The same definitions in float32 with sums in float64; the paths in PyTorch are the reference, and what reads
where these kernels cannot: no Triton, maps too large for a program's registers, another dtype. Two launches
for a batch and nothing that waits for the device: soft-argmax and expectation, whose weights follow from the
highest cell, read the maps a second time in a third.
"""

import math
from typing import Final

import torch
import triton
from torch import Tensor

from mahtdiag.heatmaps import kernels
from mahtdiag.heatmaps.decoding import (
    FLOOR,
    LEAST_EXPONENT,
    LEAST_VARIANCE,
    SMALLEST,
    centroid_radius,
    dark_radius,
    moments_radius,
)
from mahtdiag.heatmaps.peaks import APART_SIGMAS, LEAST_SHARE, ROWS_OF_PEAKS, STRETCH
from mahtdiag.schema.choices import DecodeMethod
from mahtdiag.schema.model_spec import Decoding

COLUMNS: Final = (
    ("argmax", 2), ("local", 2), ("dark", 2), ("soft", 2), ("second", 2),
    ("spread", 3), ("averaged", 3),
    ("peak", 1), ("flags", 1), ("second_share", 1),
    ("squared", 1), ("focal", 1), ("at_keypoint", 1), ("empty", 1), ("labelled", 1),
)  # fmt: skip
"""What a row of numbers holds of a heatmap, and how many numbers each is."""

WIDTH: Final = sum(count for _, count in COLUMNS)
DTYPES: Final = (torch.float32, torch.bfloat16, torch.float16)
# A program holds the maxima of all stretches of a heatmap, or the cells of a stretch or of a window.
MOST_STRETCHES, LONGEST_STRETCH, WIDEST_WINDOW = 2**14, 2**10, 2**7
CELLS_AT_ONCE, STEPS = 2**10, 16
# Sums, the lowest cell and counts that the first kernel leaves of a part of a heatmap.
PARTS: Final = 7


def can_read(heatmaps: Tensor, decoding: Decoding) -> bool:
    """Whether the kernels take such heatmaps: in float32 or less, small enough for a program's registers."""
    height, width = heatmaps.shape[-2:]
    length = _stretch(width)
    window = 2 * max(_radii(decoding.heatmap_sigma, max(height, width))) + 1
    return (
        heatmaps.dtype in DTYPES
        and heatmaps.numel() > 0
        and height * width // length <= MOST_STRETCHES
        and length <= LONGEST_STRETCH
        and window <= WIDEST_WINDOW
    )


def read(
    heatmaps: Tensor, centres: Tensor, decoding: Decoding, *, gamma: float, background: bool, reach: float
) -> Tensor:
    """What is to be known of `[B, K, H, W]`, as rows of `COLUMNS` `[B, K, WIDTH]` in float64.

    `centres` `[B, K, 2]`: labels in cells, NaN where one is missing: there `labelled` is 0 and the sums of
    the losses mean nothing. `empty` is 1 where a heatmap is NaN as a whole. Launched, not waited for. Call
    `can_read` before. A pixel's squared error is weighed by (1−t)^γ with `background`, else by (1+t)^γ; a
    target is 0 beyond `reach` σ.
    """
    images, keypoints, height, width = heatmaps.shape
    cells, centres = heatmaps.contiguous(), centres.float().contiguous()
    maps, length = images * keypoints, _stretch(width)
    per_row = width // length
    lines = height * per_row
    block = max(1, CELLS_AT_ONCE // triton.next_power_of_2(length))
    chunks = triton.cdiv(lines, block * STEPS)
    maxima = torch.empty(maps, lines, dtype=torch.float32, device=cells.device)
    parts = torch.empty(maps, chunks, PARTS, dtype=torch.float32, device=cells.device)
    rows = torch.empty(images, keypoints, WIDTH, dtype=torch.float64, device=cells.device)
    kernels.sweep[(maps, chunks)](
        cells, centres, maxima, parts, lines, per_row, length, decoding.heatmap_sigma, gamma,
        REACH=reach, BLOCK=block, LENGTH=triton.next_power_of_2(length), STEPS=STEPS, PARTS=PARTS,
        BACKGROUND=background, SQUARE=gamma == 2.0, PLAIN=gamma == 0.0,
        num_warps=4,
    )  # fmt: skip
    sigma = decoding.heatmap_sigma
    near, wide = _radii(sigma, max(height, width))
    window = triton.next_power_of_2(2 * max(near, wide) + 1)
    kernels.judge[(maps,)](
        cells, centres, maxima, parts, rows, height, width, lines, per_row, length, chunks,
        sigma, near, wide, centroid_radius(sigma), near - 2, APART_SIGMAS * sigma, ROWS_OF_PEAKS * sigma,
        LINES=triton.next_power_of_2(lines), LENGTH=triton.next_power_of_2(length),
        CHUNKS=triton.next_power_of_2(chunks), WINDOW=window, RADIUS=max(near, wide), WIDTH=WIDTH,
        PARTS=PARTS, FLOOR=FLOOR, LEAST=LEAST_VARIANCE, SMALLEST=SMALLEST, SHARE=LEAST_SHARE,
        DEPTH=-math.log(FLOOR), num_warps=8 if lines > 2**11 or window > 2**6 else 4,
    )  # fmt: skip
    if decoding.method in (DecodeMethod.SOFT_ARGMAX, DecodeMethod.EXPECTATION):
        kernels.average[(maps,)](
            cells, parts, rows, height, width, lines, per_row, length, chunks, decoding.softargmax_beta,
            SOFT=decoding.method is DecodeMethod.SOFT_ARGMAX, BLOCK=block, STEPS=STEPS, WIDTH=WIDTH,
            LENGTH=triton.next_power_of_2(length), CHUNKS=triton.next_power_of_2(chunks), PARTS=PARTS,
            LEAST=LEAST_VARIANCE, LEAST_EXPONENT=LEAST_EXPONENT, num_warps=4,
        )  # fmt: skip
    return rows


def _stretch(width: int) -> int:
    return width if width % STRETCH else STRETCH


def _radii(sigma: float, longest: int) -> tuple[int, int]:
    """Of the windows for DARK and for the moments."""
    return dark_radius(sigma, longest), moments_radius(sigma, longest)
