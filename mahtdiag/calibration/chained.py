"""The points of many images from parts of them."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import ArrayLike

from mahtdiag.calibration.scores import Points, unit_codes


def chain_points(parts: Iterable[Points], units: ArrayLike) -> Points:
    """The points of consecutive images, as of one set; `units` [N] are of all of them.

    Each part is let go of before the next: never are all points in memory twice.
    """
    chain: _Chain | None = None
    for part in parts:
        chain = chain or _Chain(len(np.asarray(units)), part)
        chain.add(part)
    if chain is None:
        raise ValueError("no points: give one part at least")
    return chain.points(units)


class _Chain:
    """Room for the points of N images like those of a part; what is not filled takes no memory."""

    def __init__(self, images: int, like: Points) -> None:
        keypoints = like.kept.shape[1]
        most = images * keypoints
        self._residual_px, self._sigma_px = np.empty((2, most)), np.empty((2, most))
        self._covariance_px2 = None if like.covariance_px2 is None else np.empty((most, 2, 2))
        self._image, self._keypoint = np.empty(most, dtype=np.int32), np.empty(most, dtype=np.int16)
        self._kept = np.zeros((images, keypoints), dtype=np.bool_)
        self._n = self._rows = self._images = 0
        self._left_out = np.zeros(3, dtype=np.int64)

    def add(self, part: Points) -> None:
        """The points of the next images."""
        some = slice(self._n, self._n + part.n)
        self._residual_px[:, some], self._sigma_px[:, some] = part.residual_px.T, part.sigma_px.T
        if self._covariance_px2 is not None and part.covariance_px2 is not None:
            self._covariance_px2[some] = part.covariance_px2
        self._image[some], self._keypoint[some] = part.image + self._images, part.keypoint
        self._kept[self._rows : self._rows + len(part.kept)] = part.kept
        self._n, self._rows = some.stop, self._rows + len(part.kept)
        self._images += part.n_images
        self._left_out += part.missing, part.invalid_sigma, part.invalid_residual

    def points(self, units: ArrayLike) -> Points:
        """All of them."""
        image, covariance = self._image[: self._n], self._covariance_px2
        unit, n_units = unit_codes(units, np.asarray(self._kept.any(axis=1)), image)
        missing, invalid_sigma, invalid_residual = self._left_out.tolist()
        return Points(
            residual_px=self._residual_px[:, : self._n].T,
            sigma_px=self._sigma_px[:, : self._n].T,
            covariance_px2=None if covariance is None else covariance[: self._n],
            image=image,
            unit=unit,
            keypoint=self._keypoint[: self._n],
            kept=self._kept,
            n_images=self._images,
            n_units=n_units,
            missing=missing,
            invalid_sigma=invalid_sigma,
            invalid_residual=invalid_residual,
        )
