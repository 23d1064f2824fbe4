"""A network's outputs brought to the keypoints of a skeleton and to pixels of its input."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from mahtdiag.errors import ModelOutputError
from mahtdiag.heatmaps.centres import corners_of_centres
from mahtdiag.schema.choices import CoordinateConvention
from mahtdiag.schema.frames import FrameMap, NetworkFrames, Size
from mahtdiag.schema.output_spec import NOTHING, Axes, CoordsFrame, OutputSpec
from mahtdiag.schema.records import ModelOutputs, Predictor
from mahtdiag.schema.skeleton import CORNERS_PER_VERTEBRA


def _require_sides(bins: Size, size: Size) -> None:
    """ModelOutputError for bins that are of one size only if x and y are exchanged."""
    turned = bins.width * size.width == bins.height * size.height
    if turned and bins.width * size.height != bins.height * size.width:
        raise ModelOutputError(
            f"simcc_x has {bins.width} bins for {size.width} input pixels, simcc_y {bins.height} for "
            f"{size.height}: are they exchanged?"
        )


@dataclass(frozen=True)
class Arranged:
    """What `predict` gives, for the keypoints of a skeleton and in pixels of the input.

    `order`: the channel of each keypoint, None where they are in the skeleton's order; `frame`: what the
    network's own coordinates count (`original` is left as it is, for whoever knows the images); `frames`:
    where cells lie in the input; `spec`: what else is said of the outputs; `channels`: how many keypoints a
    network gives that finds vertebrae by their centres.
    """

    predict: Predictor
    order: tuple[int, ...] | None
    frame: CoordsFrame
    frames: NetworkFrames
    spec: OutputSpec = NOTHING
    channels: int = 0

    def __call__(self, images: Tensor) -> ModelOutputs:
        """The outputs for `[B, C, H, W]`."""
        found = self.predict(images)
        coords, scores = self._coords(found, Size(*images.shape[-2:]))
        order = None if self.order is None else list(self.order)
        heatmaps, coords, uncertainty, scores = (
            values if values is None or order is None else values[:, order]
            for values in (found.heatmaps, coords, found.uncertainty, scores)
        )
        return replace(
            found, heatmaps=heatmaps, coords=coords, uncertainty=uncertainty, scores=scores, parts={}
        )

    def _coords(self, found: ModelOutputs, size: Size) -> tuple[Tensor | None, Tensor | None]:
        """The network's own coordinates `[B, K, 2]` in pixels of the input, and its scores `[B, K]`."""
        parts, scores = found.parts, found.scores
        if "simcc_x" in parts:
            pairs = [parts[name].float().max(-1) for name in ("simcc_x", "simcc_y")]
            bins = torch.stack([places.float() for _, places in pairs], -1)
            lowest = torch.minimum(*(height for height, _ in pairs))
            grid = Size(parts["simcc_y"].shape[-1], parts["simcc_x"].shape[-1])
            _require_sides(grid, size)
            return self._from_cells(bins, self._frame_map(size, grid, spread=True)), (
                lowest if scores is None else scores
            )
        if "centres" in parts:
            vertebrae = self.channels // CORNERS_PER_VERTEBRA
            cells, heights = corners_of_centres(
                parts["centres"], parts.get("centre_offsets"), parts["corner_offsets"], vertebrae
            )
            grid = Size(*parts["centres"].shape[-2:])
            return self._from_cells(cells, self._frame_map(size, grid)), heights if scores is None else scores
        if "offsets" in parts and found.heatmaps is not None:
            return self._with_offsets(found.heatmaps, parts["offsets"], size), scores
        if found.coords is None or self.frame in (CoordsFrame.INPUT, CoordsFrame.ORIGINAL):
            return found.coords, scores
        return self._in_input_pixels(found.coords.float(), size, found.heatmaps), scores

    def _frame_map(self, size: Size, grid: Size, *, spread: bool = False) -> FrameMap:
        """Where the cells of a grid lie; with `spread` they fill the input whatever the heatmaps do."""
        frames = NetworkFrames(size, grid, convention=self.frames.convention) if spread else self.frames
        return replace(frames, network_input=size, heatmap=grid).of(size)

    @staticmethod
    def _from_cells(cells: Tensor, frame: FrameMap) -> Tensor:
        """Heatmap cells `[B, K, 2]` as pixels of the input."""
        origin, ends = (
            cells.new_tensor(frame.heatmap_to_input(frame.heatmap.xy * value).tolist()) for value in (0, 1)
        )
        return origin + cells * (ends - origin) / cells.new_tensor(frame.heatmap.xy.tolist())

    def _with_offsets(self, heatmaps: Tensor, offsets: Tensor, size: Size) -> Tensor:
        """The highest cell of each heatmap and the offset that stands there."""
        batch, k, height, width = heatmaps.shape
        at = heatmaps.float().flatten(2).argmax(-1)
        cells = torch.stack([at % width, at // width], -1).float()
        flat = offsets.float().flatten(-2)
        if flat.ndim == 3:
            apart = self.spec.coords_axes in (Axes.ALL_XY, Axes.ALL_YX)
            flat = flat.reshape(batch, 2, k, -1).transpose(1, 2) if apart else flat.reshape(batch, k, 2, -1)
        step = flat.gather(-1, at[:, :, None, None].expand(-1, -1, 2, 1))[..., 0] * self.spec.offset_scale
        step = step.flip(-1) if self.spec.coords_axes in (Axes.YX, Axes.ALL_YX) else step
        frame = self._frame_map(size, Size(height, width))
        if self.spec.offset_frame is CoordsFrame.INPUT:
            return self._from_cells(cells, frame) + step
        return self._from_cells(cells + step, frame)

    def _in_input_pixels(self, coords: Tensor, size: Size, heatmaps: Tensor | None) -> Tensor:
        """`[B, K, 2]` in pixels of the input, by the convention of where pixel centres lie."""
        if self.frame is CoordsFrame.CELLS:
            assert heatmaps is not None
            return self._from_cells(coords, self._frame_map(size, Size(*heatmaps.shape[-2:])))
        shares = coords if self.frame is CoordsFrame.UNIT else (coords + 1) / 2
        half = 0.5 if self.frames.convention is CoordinateConvention.HALF_PIXEL else 0.0
        return shares * shares.new_tensor([size.width, size.height]) - half
