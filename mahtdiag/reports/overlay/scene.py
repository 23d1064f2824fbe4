"""What an overlay shows of one record, in the pixels of the figure, and geometry there."""

from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mahtdiag.anatomy.rule import cross
from mahtdiag.schema.frames import Size
from mahtdiag.schema.records import ImageRecord, KeypointResults
from mahtdiag.schema.skeleton import LL, LR, UL, UR, Skeleton

Points = NDArray[np.float64]

SIGMAS: Final = 2.0
# Share of a two-dimensional normal distribution inside its 2σ ellipse: 1 − exp(−2²/2).
SHARE_IN_ELLIPSE: Final = 1.0 - float(np.exp(-(SIGMAS**2) / 2))
FAR_PX: Final = 2e4
BORDER_PX: Final = 10.0
ARC_STEPS: Final = 12


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle in figure pixels, y down."""

    left: float
    top: float
    right: float
    bottom: float

    @property
    def width(self) -> float:
        return self.right - self.left

    @property
    def height(self) -> float:
        return self.bottom - self.top

    def inset(self, margin: float) -> "Box":
        """The rectangle without a margin on all sides."""
        return Box(self.left + margin, self.top + margin, self.right - margin, self.bottom - margin)

    @property
    def corners(self) -> Points:
        """The four corners in turn, `[4, 2]`."""
        x0, y0, x1, y1 = self.left, self.top, self.right, self.bottom
        return np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]])

    @staticmethod
    def around(x: float, y: float, width: float, height: float) -> "Box":
        """The rectangle of this size with its centre at (x, y)."""
        return Box(x - width / 2, y - height / 2, x + width / 2, y + height / 2)

    def shared_area(self, other: "Box") -> float:
        """Area of the overlap with another rectangle."""
        width = min(self.right, other.right) - max(self.left, other.left)
        height = min(self.bottom, other.bottom) - max(self.top, other.top)
        return max(width, 0.0) * max(height, 0.0)

    def contains(self, points: Points) -> NDArray[np.bool_]:
        """Whether each of `[N, 2]` points lies inside; a missing point (NaN) does not."""
        x, y = points[:, 0], points[:, 1]
        return (x >= self.left) & (x <= self.right) & (y >= self.top) & (y <= self.bottom)


@dataclass(frozen=True, slots=True)
class Stage:
    """The place of the radiograph in the figure; `box` also holds the margins of a small or narrow one."""

    box: Box
    radiograph: Box
    original: Size

    @property
    def shown_per_original(self) -> Points:
        """Figure pixels per original pixel, (x, y)."""
        return np.array([self.radiograph.width, self.radiograph.height]) / self.original.xy

    def place(self, points_px: Points) -> Points:
        """Original pixels (centre of the first one at 0) to figure pixels; non-finite points become NaN."""
        known = np.isfinite(points_px).all(axis=1, keepdims=True)
        # What lies absurdly far away keeps its direction well enough, and no arithmetic overflows.
        near = np.clip(np.where(known, points_px, np.nan), -1e9, 1e9)
        placed = (near + 0.5) * self.shown_per_original + [self.radiograph.left, self.radiograph.top]
        return np.asarray(np.clip(placed, -FAR_PX, FAR_PX), dtype=np.float64)


@dataclass(frozen=True, slots=True)
class Scene:
    """Everything that is drawn over the radiograph. Points and σ in figure pixels, `[K, 2]`, NaN if missing.

    `off_stage`: predictions beyond the visible rectangle. `worst`: keypoints with the largest errors, largest
    first. `judged`: what the findings speak of, the predictions or the labels; `blamed`: keypoints that a
    finding names. `second_peak`: where a heatmap peaks again.
    """

    skeleton: Skeleton
    stage: Stage
    label: Points
    prediction: Points
    sigma: Points
    off_stage: NDArray[np.bool_]
    worst: tuple[int, ...]
    judged: Points
    blamed: tuple[int, ...]
    second_peak: Points

    @property
    def with_second_peak(self) -> NDArray[np.bool_]:
        """Keypoints whose second peak lies in the picture, `[K]`."""
        return self.stage.box.contains(self.second_peak)

    @property
    def mark_scale(self) -> float:
        """1 where the vertebrae are large, less where marks of full size would hide them."""
        ends = edges(self.skeleton)
        for points in (self.label, self.prediction):
            length = np.linalg.norm(points[ends[:, 1]] - points[ends[:, 0]], axis=1)
            length = length[np.isfinite(length)]
            if length.size:
                return float(np.clip(np.median(length) / 90.0, 0.4, 1.0))
        return 1.0


@cache
def edges(skeleton: Skeleton) -> NDArray[np.int64]:
    """Pairs of keypoints that a line joins, `[E, 2]`: UL-UR-LR-LL of each body, then endplates alone."""
    sides = np.array([(UL, UR), (UR, LR), (LR, LL), (LL, UL)])
    bodies = np.array([skeleton.keypoints_of(name) for name in skeleton.bodies])
    alone = np.setdiff1d(np.arange(skeleton.keypoints), bodies).reshape(-1, 2)
    return np.concatenate([bodies[:, sides].reshape(-1, 2), alone])


def worst_keypoints(error_px: NDArray[np.float64], count: int) -> tuple[int, ...]:
    """Indices of the largest finite errors, largest first, at most `count`."""
    order = np.argsort(np.where(np.isfinite(error_px), -error_px, np.inf), kind="stable")
    return tuple(int(k) for k in order[:count] if np.isfinite(error_px[k]))


def usable_sigma(sigma_px: NDArray[np.float64]) -> NDArray[np.float64]:
    """σ where both axes are finite and positive, NaN elsewhere, `[K, 2]`."""
    with np.errstate(invalid="ignore"):
        usable = (np.isfinite(sigma_px) & (sigma_px > 0)).all(axis=1, keepdims=True)
    return np.where(usable, sigma_px, np.nan)


def errors_in_sigma(keypoints: KeypointResults) -> NDArray[np.float64]:
    """√((Δx/σx)² + (Δy/σy)²) of each keypoint, `[K]`: 2 on the rim of the ellipse drawn; NaN without σ."""
    offset = (keypoints.pred_px - keypoints.gt_px) / usable_sigma(keypoints.sigma_px)
    return np.asarray(np.hypot(offset[:, 0], offset[:, 1]), dtype=np.float64)


def make_scene(
    record: ImageRecord,
    skeleton: Skeleton,
    stage: Stage,
    worst: int,
    *,
    second_peaks: Points | None = None,
    labels_judged: bool = False,
) -> Scene:
    """Map a record's keypoints into the figure and choose what is emphasised."""
    keypoints = record.keypoints
    label, prediction = stage.place(keypoints.gt_px), stage.place(keypoints.pred_px)
    sigma = np.clip(usable_sigma(keypoints.sigma_px), 0, 1e9) * stage.shown_per_original
    visible = stage.box.contains(prediction)
    blamed = {k for finding in record.findings for k in finding.keypoints if 0 <= k < skeleton.keypoints}
    return Scene(
        skeleton=skeleton,
        stage=stage,
        label=label,
        prediction=prediction,
        sigma=np.minimum(sigma, FAR_PX),
        off_stage=~visible & np.isfinite(prediction).all(axis=1),
        worst=worst_keypoints(keypoints.error_px, worst),
        judged=label if labels_judged else prediction,
        blamed=tuple(sorted(blamed)),
        second_peak=np.full_like(label, np.nan) if second_peaks is None else stage.place(second_peaks),
    )


def extended(segment: Points, to: Points) -> Points:
    """The segment `[2, 2]` made longer so that it holds a point of its line; as it is where that is NaN."""
    if not np.isfinite(to).all():
        return segment
    along = segment[1] - segment[0]
    share = float((to - segment[0]) @ along / (along @ along))
    return np.stack([segment[0] + min(share, 0.0) * along, segment[0] + max(share, 1.0) * along])


def clipped(segment: Points, box: Box) -> Points:
    """The part of a segment `[2, 2]` inside the box, NaN where there is none (Liang and Barsky, 1984)."""
    along = segment[1] - segment[0]
    low, high = np.array([box.left, box.top]), np.array([box.right, box.bottom])
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        shares = np.stack([(low - segment[0]) / along, (high - segment[0]) / along])
    still = along == 0
    within = (segment[0] >= low) & (segment[0] <= high)
    enter = np.where(still, np.where(within, -np.inf, np.inf), shares.min(axis=0)).max()
    leave = np.where(still, np.where(within, np.inf, -np.inf), shares.max(axis=0)).min()
    first, last = max(float(enter), 0.0), min(float(leave), 1.0)
    if not first <= last:
        return np.full((2, 2), np.nan)
    return np.stack([segment[0] + first * along, segment[0] + last * along])


def arc(at: Points, one: Points, other: Points, radius: float) -> Points:
    """Strokes `[N, 2, 2]` of an arc about a point, between two directions at most 180° apart."""
    start = float(np.arctan2(one[1], one[0]))
    turn = float(np.arctan2(cross(one, other), one @ other))
    angles = start + turn * np.linspace(0, 1, ARC_STEPS + 1)
    points = at + radius * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    return np.stack([points[:-1], points[1:]], axis=1)


def exit_point(start: Points, end: Points, box: Box) -> Points:
    """Where the way from `start` to `end` (outside the box) leaves it; a start outside is first moved in."""
    inside = np.clip(start, [box.left, box.top], [box.right, box.bottom])
    return np.asarray(clipped(np.stack([inside, end]), box)[1], dtype=np.float64)
