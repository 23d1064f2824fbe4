"""Where an endplate or a corner would lie if it were like those next to it: what A203–A405 measure against.

Points are `[K, 2]` of one spine, endplates numbered from L1 upper; S1's is the one after L5 lower.
"""

import numpy as np
from numpy.typing import NDArray

from mahtdiag.schema.skeleton import LUMBAR_KEYPOINTS

Points = NDArray[np.float64]

_SMALLEST = 1e-9


def way(plate: Points) -> Points:
    """Unit vector from the left to the right end of an endplate `[2, 2]`."""
    along = plate[1] - plate[0]
    return np.asarray(along / max(float(np.hypot(*along)), _SMALLEST), dtype=np.float64)


def usual_way(points: Points, number: int) -> Points:
    """The direction that A203 holds an endplate against, as a unit vector.

    Inside: the mean of its two neighbours'. The first and the last: the one neighbour's, turned by half the
    wedge of the next body; S1: by the whole wedge of the next disc.
    """
    last = len(points) // 2 - 1

    def way_of(plate: int) -> Points:
        return way(points[2 * plate : 2 * plate + 2])

    if 0 < number < last:
        own, above, below = (way_of(n) for n in (number, number - 1, number + 1))
        usual = above * np.copysign(1.0, above @ own) + below * np.copysign(1.0, below @ own)
        return np.asarray(usual / max(float(np.hypot(*usual)), _SMALLEST), dtype=np.float64)
    step = 1 if number == 0 else -1
    next_, third, fourth = (way_of(number + step * n) for n in (1, 2, 3))
    share = 1.0 if 2 * number >= LUMBAR_KEYPOINTS else 0.5
    turn = share * np.arctan2(fourth[0] * third[1] - fourth[1] * third[0], fourth @ third)
    turned = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    return np.asarray(turned @ next_, dtype=np.float64)


def expected_place(points: Points, keypoint: int) -> Points:
    """Where A404 and A405 expect a corner.

    Inside: the middle of the corners above and below on its side. At the first and the last endplate: where
    the side would end if it ran like the opposite side, or like that of the next vertebra, whichever is
    closer.
    """
    if 2 <= keypoint < len(points) - 2:
        return np.asarray(points[[keypoint - 2, keypoint + 2]].mean(axis=0), dtype=np.float64)
    step = 2 if keypoint < 2 else -2
    opposite = points[keypoint ^ 1] - points[(keypoint ^ 1) + step]
    further = points[keypoint + 2 * step] - points[keypoint + 3 * step]
    places = points[keypoint + step] + np.stack([opposite, further])
    return np.asarray(places[int(np.hypot(*(places - points[keypoint]).T).argmin())], dtype=np.float64)
