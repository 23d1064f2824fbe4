"""A network of the size that landmark papers use: a U-Net with the encoder of ResNet-50, with random weights.

He et al., Deep Residual Learning for Image Recognition, CVPR 2016; Ronneberger et al., U-Net, MICCAI 2015.
"""

from torch import Tensor, cat, nn

DEPTHS = (3, 4, 6, 3)
EXPANSION = 4
FIRST = 64


def _normed(convolution: nn.Module, channels: int) -> nn.Sequential:
    return nn.Sequential(convolution, nn.BatchNorm2d(channels))


class _Bottleneck(nn.Module):
    """1×1, 3×3 and 1×1 convolutions beside a shortcut."""

    def __init__(self, before: int, width: int, stride: int) -> None:
        super().__init__()
        after = width * EXPANSION
        self.body = nn.Sequential(
            _normed(nn.Conv2d(before, width, 1, bias=False), width),
            nn.ReLU(inplace=True),
            _normed(nn.Conv2d(width, width, 3, stride, 1, bias=False), width),
            nn.ReLU(inplace=True),
            _normed(nn.Conv2d(width, after, 1, bias=False), after),
        )
        same = before == after and stride == 1
        self.shortcut = (
            nn.Identity() if same else _normed(nn.Conv2d(before, after, 1, stride, bias=False), after)
        )
        self.end = nn.ReLU(inplace=True)

    def forward(self, values: Tensor) -> Tensor:
        """`[B, C, h, w]` at half the size where the stride is 2."""
        result: Tensor = self.end(self.body(values) + self.shortcut(values))
        return result


class _Up(nn.Module):
    """Twice the size, joined with what the encoder had there, two convolutions."""

    def __init__(self, before: int, beside: int, after: int) -> None:
        super().__init__()
        self.larger = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False)
        self.body = nn.Sequential(
            _normed(nn.Conv2d(before + beside, after, 3, padding=1, bias=False), after),
            nn.ReLU(inplace=True),
            _normed(nn.Conv2d(after, after, 3, padding=1, bias=False), after),
            nn.ReLU(inplace=True),
        )

    def forward(self, values: Tensor, beside: Tensor | None) -> Tensor:
        """Twice the height and width."""
        larger = self.larger(values)
        result: Tensor = self.body(larger if beside is None else cat([larger, beside], 1))
        return result


class LargerNetwork(nn.Module):
    """`[B, channels, H, W]` -> heatmaps `[B, keypoints, H, W]`, or of a quarter of the sides."""

    def __init__(self, keypoints: int = 20, channels: int = 1, *, full: bool = True) -> None:
        super().__init__()
        self.full = full
        self.stem = nn.Sequential(
            _normed(nn.Conv2d(channels, FIRST, 7, 2, 3, bias=False), FIRST), nn.ReLU(inplace=True)
        )
        self.pool = nn.MaxPool2d(3, 2, 1)
        stages, before = [], FIRST
        for number, depth in enumerate(DEPTHS):
            width = FIRST * 2**number
            blocks = []
            for block in range(depth):
                blocks.append(_Bottleneck(before, width, 2 if number and not block else 1))
                before = width * EXPANSION
            stages.append(nn.Sequential(*blocks))
        self.stages = nn.ModuleList(stages)
        self.ups = nn.ModuleList([_Up(2048, 1024, 256), _Up(256, 512, 128), _Up(128, 256, 64)])
        self.last = nn.ModuleList([_Up(64, FIRST, 32), _Up(32, 0, 32)] if full else [])
        self.head = nn.Conv2d(32 if full else 64, keypoints, 1)

    def forward(self, images: Tensor) -> Tensor:
        """The heatmaps."""
        stem = self.stem(images)
        values, kept = self.pool(stem), []
        for stage in self.stages:
            values = stage(values)
            kept.append(values)
        for up, beside in zip(self.ups, (kept[2], kept[1], kept[0]), strict=True):
            values = up(values, beside)
        if self.full:
            values = self.last[1](self.last[0](values, stem), None)
        heatmaps: Tensor = self.head(values)
        return heatmaps
