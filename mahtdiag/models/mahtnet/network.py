"""The built-in network: a compact multi-scale anatomical heatmap transformer."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mahtdiag.models.mahtnet.attention import EncoderLayer, VertebralAttention, sinusoidal_positions
from mahtdiag.models.mahtnet.config import MahtNetConfig
from mahtdiag.schema.skeleton import View

HEATMAP_STRIDE = 4
TOKEN_STRIDE = 32
# Sharpness of the attention with which the uncertainty head looks around each heatmap's peak.
POOLING_SHARPNESS = 10.0


class ConvBlock(nn.Sequential):
    """3×3 convolution, batch normalisation, ReLU."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__(
            nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()
        )


class ResidualBlock(nn.Module):
    """Two 3×3 convolutions around a shortcut."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = ConvBlock(channels, channels)
        self.second = nn.Sequential(
            nn.Conv2d(channels, channels, 3, 1, 1, bias=False), nn.BatchNorm2d(channels)
        )

    def forward(self, features: Tensor) -> Tensor:
        """`[B, C, h, w]` -> same."""
        return F.relu(features + self.second(self.first(features)))


class Backbone(nn.Module):
    """Convolutional stages at strides 4, 8, 16 and 32."""

    def __init__(self, config: MahtNetConfig) -> None:
        super().__init__()
        channels = config.channels
        self.stem = ConvBlock(config.in_channels, max(8, channels[0] // 2), 2)
        inputs = (max(8, channels[0] // 2), *channels[:-1])
        self.stages = nn.ModuleList(
            nn.Sequential(ConvBlock(a, b, 2), *(ResidualBlock(b) for _ in range(config.blocks)))
            for a, b in zip(inputs, channels, strict=True)
        )

    def forward(self, images: Tensor) -> list[Tensor]:
        """`[B, C, H, W]` -> features at strides 4, 8, 16, 32."""
        features = self.stem(images)
        pyramid = []
        for stage in self.stages:
            features = stage(features)
            pyramid.append(features)
        return pyramid


class Decoder(nn.Module):
    """From the encoded tokens back to stride 4, joining the backbone's features on the way."""

    def __init__(self, config: MahtNetConfig) -> None:
        super().__init__()
        channels = config.channels
        self.joins = nn.ModuleList(
            ConvBlock(coarse + fine, fine)
            for coarse, fine in zip(channels[:0:-1], channels[-2::-1], strict=True)
        )
        self.dropout = nn.Dropout2d(config.dropout)
        self.refine = ResidualBlock(channels[0])

    def forward(self, encoded: Tensor, pyramid: list[Tensor]) -> Tensor:
        """Encoded tokens `[B, dim, h, w]` and the pyramid -> features at stride 4."""
        features = encoded
        for join, skip in zip(self.joins, pyramid[-2::-1], strict=True):
            up = F.interpolate(features, skip.shape[-2:], mode="bilinear", align_corners=False)
            features = join(torch.cat([up, skip], 1))
        refined: Tensor = self.refine(self.dropout(features))
        return refined


class UncertaintyHead(nn.Module):
    """log σx and log σy per keypoint, from its embedding and from what the image shows around its peak."""

    def __init__(self, config: MahtNetConfig) -> None:
        super().__init__()
        inputs = config.token_dim + config.width + 1
        self.layers = nn.Sequential(
            nn.Linear(inputs, config.token_dim), nn.GELU(), nn.Linear(config.token_dim, 2)
        )

    def forward(self, embeddings: Tensor, features: Tensor, heatmaps: Tensor) -> Tensor:
        """`[B, K, dim]`, `[B, C, h, w]`, `[B, K, h, w]` -> `[B, K, 2]`, natural logs of input pixels."""
        flat = heatmaps.flatten(2)
        attention = (POOLING_SHARPNESS * flat).softmax(-1)
        around = attention @ features.flatten(2).transpose(1, 2)
        peak = flat.amax(-1, keepdim=True)
        log_sigma: Tensor = self.layers(torch.cat([embeddings, around, peak], -1))
        return log_sigma


class MahtNet(nn.Module):
    """Multi-scale anatomical heatmap transformer.

    Images `[B, in_channels, H, W]`, H and W multiples of 32, give a dict of `heatmaps` `[B, K, H/4, W/4]`
    (linear, trained on Gaussians with peak 1) and `log_sigma` `[B, K, 2]` in model-input pixels. A
    keypoint's heatmap is the product of its embedding with the decoder's features, plus a convolution.
    """

    def __init__(self, config: MahtNetConfig) -> None:
        super().__init__()
        self.config = config
        keypoints = View(config.view).keypoints
        self.backbone = Backbone(config)
        self.encoder = nn.ModuleList(EncoderLayer(config) for _ in range(config.encoder_layers))
        self.keypoints = VertebralAttention(config)
        self.decoder = Decoder(config)
        self.to_kernel = nn.Linear(config.token_dim, config.width)
        self.to_heatmaps = nn.Conv2d(config.width, keypoints, 1)
        self.uncertainty = UncertaintyHead(config)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Heatmaps and log σ; ValueError for other channels or a size that is not a multiple of 32."""
        if images.ndim != 4 or images.shape[1] != self.config.in_channels:
            raise ValueError(f"images must be [B, {self.config.in_channels}, H, W], not {list(images.shape)}")
        if any(side == 0 or side % TOKEN_STRIDE for side in images.shape[2:]):
            raise ValueError(f"the input must be a multiple of {TOKEN_STRIDE}, not {list(images.shape[2:])}")
        pyramid = self.backbone(images)
        height, width = pyramid[-1].shape[-2:]
        tokens = pyramid[-1].flatten(2).transpose(1, 2)
        positions = sinusoidal_positions(height, width, tokens.shape[-1], tokens.device).to(tokens.dtype)
        for layer in self.encoder:
            tokens = layer(tokens, positions)
        embeddings = self.keypoints(tokens, positions)
        encoded = tokens.transpose(1, 2).reshape(len(images), -1, height, width)
        features = self.decoder(encoded, pyramid)
        kernels = self.to_kernel(embeddings) / features.shape[1] ** 0.5
        heatmaps = torch.einsum("bkc,bchw->bkhw", kernels, features) + self.to_heatmaps(features)
        return {"heatmaps": heatmaps, "log_sigma": self.uncertainty(embeddings, features, heatmaps)}
