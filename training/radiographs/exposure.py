"""From attenuation to a film: texture, local fading, scatter, exposure, noise, collimation and marker."""

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from training.radiographs.drawing import Canvas, Layer, Plane, Points, blob
from training.radiographs.spine import Spine

_GRAIN_ROWS = 512
"""Rows of the grid of quantum noise: the grain belongs to the patient's scale, not to the pixels drawn."""

_HIDDEN = {"AP": 0.30, "LA": 0.10}
"""Chance that something hides a part of a vertebra on an easy film: from the front, bowel lies over it."""
_HIDDEN_OF_WHOLE = 0.10


@dataclass(frozen=True, slots=True)
class Technique:
    """How one film was taken."""

    blur: float
    noise: float
    bone_contrast: float
    haze: float
    gamma: float
    black: float
    white: float


def sample_technique(hardness: float, rng: np.random.Generator) -> Technique:
    """Draw the exposure; a hard film is blurred, noisy and flat."""
    return Technique(
        blur=float(rng.uniform(0.0006, 0.0011) + 0.0050 * hardness * rng.random()),
        noise=float(rng.uniform(0.010, 0.022) + 0.120 * hardness * rng.random()),
        bone_contrast=float(rng.uniform(0.85, 1.15) - 0.50 * hardness * rng.random()),
        haze=float(rng.uniform(0.0, 0.2) + 0.3 * hardness * rng.random()),
        gamma=float(rng.uniform(0.75, 1.35)),
        black=float(rng.uniform(0.02, 0.22)),
        white=float(rng.uniform(0.72, 1.0)),
    )


def texture(canvas: Canvas) -> Plane:
    """Trabecular pattern: mostly vertical strands, some horizontal, around 1."""
    strands = canvas.noise(90, 240)
    struts = canvas.noise(200, 100)
    clouds = canvas.noise(30, 20)
    return np.asarray(1.0 + 0.09 * strands + 0.06 * struts + 0.09 * clouds, dtype=np.float32)


def gas(outlines: list[Points], canvas: Canvas) -> Plane:
    """Attenuation that bowel gas takes away, lumpy, with the bright wall left between bubbles."""
    layer = Layer(canvas)
    for outline in outlines:
        layer.fill(outline, float(canvas.rng.uniform(0.35, 1.0)))
        layer.stroke(outline, 0.004, 0.15, closed=True)
    return np.asarray(layer.plane(0.0025) * (1.0 + 0.25 * canvas.noise(40, 28)), dtype=np.float32)


def organs(spine: Spine, canvas: Canvas) -> Plane:
    """Faint overlapping shadows of organs and bowel content, some with an edge, some without."""
    rng = canvas.rng
    layer = Layer(canvas)
    for _ in range(int(rng.integers(3, 8))):
        place = rng.uniform(0.0, 1.0, 2) * np.array([spine.aspect, 0.9])
        layer.fill(
            blob(rng, place, rng.uniform(0.06, 0.17), rng.uniform(0.7, 1.4), 0.3),
            float(rng.uniform(0.1, 1.2)),
        )
    shadows = layer.plane(0.008)
    return np.asarray(0.06 * shadows + 0.018 * canvas.noise(22, 15), dtype=np.float32)


def fading(spine: Spine, canvas: Canvas) -> Plane:
    """Where bone is hard to tell from its surroundings: 0 clear, towards 1 lost."""
    rng = canvas.rng
    spots: list[tuple[Points, float, float, float]] = []
    size = spine.size
    hidden = _HIDDEN_OF_WHOLE if spine.whole else _HIDDEN[spine.view]
    for vertebra in spine.annotated:
        if rng.random() < hidden + 0.50 * spine.hardness:
            place = vertebra.at(rng.uniform(-1.1, 1.1, (1, 2)))[0]
            radius = size * rng.uniform(0.35, 0.9)
            spots.append((place, radius, radius, float(rng.uniform(0.4, 0.7) + 0.4 * spine.hardness)))
    for place, chance in ((spine.s1.mean(axis=0), 0.45), (spine.lumbar[0].centre, 0.2)):
        if rng.random() < chance:
            spots.append(
                (place, 2.5 * size, 0.7 * size, float(rng.uniform(0.15, 0.45) + 0.35 * spine.hardness))
            )
    centres = np.array([spot[0] for spot in spots]).reshape(-1, 2)
    radii = np.array([spot[1:3] for spot in spots]).reshape(-1, 2)
    return canvas.spots(centres, radii, np.array([spot[3] for spot in spots]), ceiling=0.92)


def develop(bones: Plane, tissue: Plane, bubbles: Plane, spine: Spine, canvas: Canvas) -> NDArray[np.uint8]:
    """The film of bones, soft tissue and gas; shape [H, W], 8 bit."""
    rng = canvas.rng
    technique = sample_technique(spine.hardness, rng)
    fade = fading(spine, canvas)
    bones = bones * texture(canvas) * (technique.bone_contrast * (1.0 - 0.92 * fade))
    depth = tissue + organs(spine, canvas) + bones - float(rng.uniform(0.10, 0.38)) * bubbles
    depth = canvas.blurred(np.asarray(depth, dtype=np.float32), technique.blur)
    if fade.max() > 0.2:
        depth += fade * (canvas.blurred(depth, 0.006) - depth)
    depth += technique.haze * (canvas.blurred(depth, 0.06) - depth)
    depth = np.asarray(depth, dtype=np.float32)
    depth += technique.noise * np.exp(0.8 * depth) * canvas.noise(_GRAIN_ROWS, 336)
    grey = _window(depth, technique)
    _collimate(grey, canvas)
    _stamp(grey, canvas)
    if canvas.height > _GRAIN_ROWS:
        grey += 0.30 * technique.noise * rng.standard_normal(grey.shape, dtype=np.float32)
    return np.asarray(np.clip(np.rint(255.0 * grey), 0, 255), dtype=np.uint8)


def _window(depth: Plane, technique: Technique) -> Plane:
    """Grey values 0..1: window between robust extremes, with a film's soft shoulder and toe."""
    low, high = np.percentile(cv2.resize(depth, (48, 64), interpolation=cv2.INTER_AREA), (1.0, 99.5))
    share = (depth - low) / max(float(high - low), 0.3)
    soft = 0.5 + 0.5 * np.tanh(1.5 * (share - 0.5)) / math.tanh(0.75)
    grey = np.maximum(soft, 0.0) ** technique.gamma
    return np.asarray(technique.black + (technique.white - technique.black) * grey, dtype=np.float32)


def _collimate(grey: Plane, canvas: Canvas) -> None:
    """Shutter edges, on a third of the films, darker than anything exposed."""
    rng = canvas.rng
    used = rng.random(4) < 0.15
    share = rng.uniform(0.008, 0.028, 4)
    black = float(rng.uniform(0.0, 0.06))
    rows, columns = (np.rint(share * size).astype(int) for size in grey.shape)
    bottom, right = grey.shape[0] - rows[1], grey.shape[1] - columns[3]
    for edge, on in zip(
        (grey[: rows[0]], grey[bottom:], grey[:, : columns[2]], grey[:, right:]), used, strict=True
    ):
        if on:
            edge[:] = black


def _stamp(grey: Plane, canvas: Canvas) -> None:
    """Lead letter of the side, near a corner, on a third of the films."""
    rng = canvas.rng
    on, letter = rng.random() < 0.35, str(rng.choice(["L", "R"]))
    x, y = (
        0.08 if letter == "R" else 0.88,
        float(rng.choice([rng.uniform(0.06, 0.14), rng.uniform(0.88, 0.95)])),
    )
    if not on:
        return
    place = (round(x * canvas.width), round(y * canvas.height))
    scale, thickness = canvas.height / 700.0, max(1, round(canvas.height / 300))
    lead = np.zeros(grey.shape, dtype=np.uint8)
    cv2.putText(lead, letter, place, cv2.FONT_HERSHEY_SIMPLEX, scale, (248.0,), thickness, cv2.LINE_AA)
    np.maximum(grey, lead.astype(np.float32) / 255.0, out=grey)
