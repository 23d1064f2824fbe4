"""Simulated models with a known calibration, for studies, benchmarks and tests."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Simulated:
    """Residuals and σ [N, K, 2] in pixels, and masks of σ at the clamp bounds (empty: not clamped)."""

    residual_px: FloatArray
    sigma_px: FloatArray
    at_bounds: tuple[NDArray[np.bool_], NDArray[np.bool_]] | tuple[()] = field(default=())


def true_sigma(rng: np.random.Generator, images: int, keypoints: int, spread: float = 0.5) -> FloatArray:
    """One σ per keypoint for both axes, log-normal around 3 px: [N, K, 2]."""
    one = np.exp(rng.normal(np.log(3.0), spread, size=(images, keypoints, 1)))
    return np.repeat(one, 2, axis=2)


def calibrated(rng: np.random.Generator, images: int = 50, keypoints: int = 20) -> Simulated:
    """A model whose σ is right."""
    sigma = true_sigma(rng, images, keypoints)
    return Simulated(sigma * rng.normal(size=sigma.shape), sigma)


FAULTS: dict[str, str] = {
    "sigma x 0.5": "overconfident",
    "sigma x 2": "underconfident",
    "constant sigma": "constant_sigma",
    "bias of 1 sigma": "bias",
    "heavy tails": "heavy_tails",
    "anisotropy ignored": "anisotropy",
    "log variance read as log sigma": "log_variance",
    "log sigma read as log variance": "log_sigma",
    "clamped sigma": "clamped",
    "shuffled sigma": "uninformative",
    "axes correlated": "correlated_axes",
    "light tails": "light_tails",
    "one keypoint overconfident": "uneven_keypoints",
}
"""Simulated faults and the code that names each."""


def faulty(fault: str, rng: np.random.Generator, images: int = 50, keypoints: int = 20) -> Simulated:
    """A model with one known fault."""
    right = calibrated(rng, images, keypoints)
    true, residual = right.sigma_px, right.residual_px
    if fault == "sigma x 0.5":
        return Simulated(residual, 0.5 * true)
    if fault == "sigma x 2":
        return Simulated(residual, 2.0 * true)
    if fault == "constant sigma":
        return Simulated(residual, np.full_like(true, np.sqrt(np.mean(true**2))))
    if fault == "bias of 1 sigma":
        return Simulated(residual + true * [1.0, 0.0], true)
    if fault == "heavy tails":
        return Simulated(true * rng.standard_t(3, size=true.shape) / np.sqrt(3.0), true)
    if fault == "anisotropy ignored":
        return Simulated(residual * [2.0, 1.0] / np.sqrt(2.5), true)
    if fault == "log variance read as log sigma":
        return Simulated(residual, true**2)
    if fault == "log sigma read as log variance":
        return Simulated(residual, np.sqrt(true))
    if fault == "clamped sigma":
        low, high = np.quantile(true, [0.1, 0.8])
        sigma = np.clip(true, low, high)
        return Simulated(residual, sigma, (sigma <= low, sigma >= high))
    if fault == "shuffled sigma":
        return Simulated(residual, rng.permutation(true.reshape(-1, 2)).reshape(true.shape))
    if fault == "axes correlated":
        z = residual / true
        mixed = np.stack([z[..., 0], 0.7 * z[..., 0] + np.sqrt(0.51) * z[..., 1]], axis=-1)
        return Simulated(true * mixed, true)
    if fault == "one keypoint overconfident":
        return Simulated(residual, true * np.where(np.arange(keypoints) == 3, 0.4, 1.0)[:, np.newaxis])
    if fault == "light tails":
        half = np.sqrt(3.0)
        return Simulated(true * rng.uniform(-half, half, size=true.shape), true)
    raise ValueError(fault)
