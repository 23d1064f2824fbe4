"""Training images at network size, drawn once, and their augmentation."""

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from torch import Tensor

from mahtdiag.schema.frames import FrameMap, Size
from mahtdiag.schema.skeleton import AP, LA, NAMED, Skeleton, View
from training.radiographs import Radiograph, draw_radiograph, draw_whole_spine


@dataclass(frozen=True, slots=True)
class Augmentation:
    """Limits of the random changes to a training image."""

    rotation_deg: float = 6.0
    scale: float = 0.12
    shift: float = 0.05
    gain: float = 0.25
    offset: float = 0.15
    noise: float = 0.03


WHOLE_SPINE = Skeleton.of(View.AP, NAMED["thoracolumbar"])


@dataclass(frozen=True, slots=True)
class Film:
    """What draws the radiographs of a skeleton, by seed and height, how high, for which input, how varied."""

    draw: Callable[[int, int], Radiograph]
    drawn_height: int
    input: Size
    augmentation: Augmentation = Augmentation()


FILMS = {
    AP: Film(partial(draw_radiograph, AP.view), 400, Size(256, 192)),
    LA: Film(partial(draw_radiograph, LA.view), 400, Size(256, 192)),
    # T1 and L5 lie near the edges, and stay inside.
    WHOLE_SPINE: Film(draw_whole_spine, 480, Size(320, 128), Augmentation(3.0, 0.05, 0.02)),
}
"""The skeletons that there are radiographs of."""


def _draw(seed: int, skeleton: Skeleton) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    film = FILMS[skeleton]
    radiograph, size = film.draw(seed, film.drawn_height), film.input
    height, width = radiograph.image.shape
    frames = FrameMap(Size(height, width), size, size)
    image = cv2.resize(radiograph.image, (size.width, size.height), interpolation=cv2.INTER_AREA)
    return image.astype(np.uint8), frames.original_to_input(radiograph.keypoints_px).astype(np.float32)


def draw_training_set(
    skeleton: Skeleton, first_seed: int, count: int, console: Console
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Images `[N, H, W]` and keypoints `[N, K, 2]` in input pixels, one seed after the other."""
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        seeds = range(first_seed, first_seed + count)
        drawn = pool.map(partial(_draw, skeleton=skeleton), seeds, chunksize=16)
        pairs = list(track(drawn, f"drawing {count} {skeleton} images", count, console=console))
    return np.stack([image for image, _ in pairs]), np.stack([points for _, points in pairs])


def augment(
    images: NDArray[np.uint8],
    points: NDArray[np.float32],
    limits: Augmentation,
    rng: np.random.Generator,
) -> tuple[Tensor, Tensor]:
    """Rotate, scale, shift, brighten and add noise: `[B, 1, H, W]` in 0..1 and keypoints `[B, K, 2]`."""
    height, width = images.shape[1:]
    warped = np.empty(images.shape, np.float32)
    moved = np.empty_like(points)
    for i, (image, keypoints) in enumerate(zip(images, points, strict=True)):
        angle = rng.uniform(-limits.rotation_deg, limits.rotation_deg)
        scale = 1 + rng.uniform(-limits.scale, limits.scale)
        matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), angle, scale)
        matrix[:, 2] = matrix[:, 2] + rng.uniform(-limits.shift, limits.shift, 2) * (width, height)
        warped[i] = cv2.warpAffine(image, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE)
        moved[i] = keypoints @ matrix[:, :2].T + matrix[:, 2]
    shape = (len(images), 1, 1)
    gain = 1 + rng.uniform(-limits.gain, limits.gain, shape)
    offset = rng.uniform(-limits.offset, limits.offset, shape)
    noise = rng.standard_normal(images.shape, np.float32) * rng.uniform(0, limits.noise, shape)
    changed = np.clip(warped / 255 * gain + offset + noise, 0, 1).astype(np.float32)
    return torch.from_numpy(changed).unsqueeze(1), torch.from_numpy(moved)
