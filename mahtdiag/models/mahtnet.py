"""The built-in network: a compact multi-scale anatomical heatmap transformer."""

import math
from dataclasses import dataclass, fields
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mahtdiag.schema.skeleton import (
    CORNERS,
    CORNERS_PER_ENDPLATE,
    LUMBAR_SET,
    Skeleton,
    View,
    skeleton_said,
)

TOKEN_STRIDE = 32
# Sharpness of the attention with which the uncertainty head looks around each heatmap's peak.
POOLING_SHARPNESS = 10.0
WIDEST, DEEPEST = 1024, 64
"""No network is wider or deeper: beyond, a checkpoint's numbers are damaged or meant to do harm."""


@dataclass(frozen=True, slots=True)
class MahtNetConfig:
    """Width and depth of a `mahtnet`.

    `width` is the number of channels at stride 4; strides 8, 16 and 32 have 2, 4 and 6 times as many.
    `blocks` residual blocks per stride; `encoder_layers` transformer layers over the stride-32 tokens;
    `attention_layers` layers of the vertebral attention module; `heads` divides 6·width.
    `levels`: the vertebrae that it marks, as `--levels` says them.
    """

    view: str = "AP"
    in_channels: int = 1
    width: int = 24
    blocks: int = 1
    encoder_layers: int = 2
    attention_layers: int = 2
    heads: int = 4
    dropout: float = 0.05
    levels: str = LUMBAR_SET

    def __post_init__(self) -> None:
        skeleton_said(View(self.view), self.levels)
        whole = ("in_channels", "width", "blocks", "encoder_layers", "attention_layers", "heads")
        wrong = [name for name in whole if not (type(getattr(self, name)) is int and getattr(self, name) > 0)]
        if wrong:
            raise ValueError(f"must be whole numbers above 0: {', '.join(wrong)}")
        limits = {"width": WIDEST, "blocks": DEEPEST, "encoder_layers": DEEPEST, "attention_layers": DEEPEST}
        beyond = [f"{name} at most {most}" for name, most in limits.items() if getattr(self, name) > most]
        if beyond:
            raise ValueError(f"must be {', '.join(beyond)}")
        if self.token_dim % self.heads or self.token_dim % 4:
            raise ValueError(
                f"6 x width = {self.token_dim} must be divisible by heads = {self.heads} and by 4"
            )
        if not isinstance(self.dropout, int | float) or not 0 <= self.dropout < 1:
            raise ValueError(f"dropout {self.dropout} must be a number of at least 0 and below 1")

    @property
    def skeleton(self) -> Skeleton:
        """What its keypoints are."""
        return skeleton_said(View(self.view), self.levels)

    @property
    def channels(self) -> tuple[int, int, int, int]:
        """Channels at strides 4, 8, 16, 32."""
        return self.width, 2 * self.width, 4 * self.width, 6 * self.width

    @property
    def token_dim(self) -> int:
        """Channels of a token, those of stride 32."""
        return self.channels[-1]

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Rebuild from metadata; ValueError for unknown names or impossible values."""
        unknown = sorted(set(values) - {field.name for field in fields(cls)})
        if unknown:
            raise ValueError(f"unknown mahtnet settings: {', '.join(unknown)}")
        return cls(**values)


def sinusoidal_positions(height: int, width: int, dim: int, device: torch.device) -> Tensor:
    """2-D sinusoidal positions `[height·width, dim]`: half the channels encode y, half x.

    Vaswani et al., Attention Is All You Need, NIPS 2017, extended to two axes as in Carion et al., End-to-End
    Object Detection with Transformers, ECCV 2020.
    """
    quarter = dim // 4
    frequency = torch.exp(torch.arange(quarter, device=device) * (-math.log(1000.0) / quarter))

    def encode(length: int) -> Tensor:
        angle = torch.arange(length, device=device)[:, None] * frequency
        return torch.cat([angle.sin(), angle.cos()], 1)

    rows = encode(height)[:, None].expand(height, width, -1)
    columns = encode(width)[None].expand(height, width, -1)
    return torch.cat([rows, columns], -1).reshape(height * width, -1)


class FeedForward(nn.Module):
    """Two linear layers with a residual connection, normalised first."""

    def __init__(self, dim: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.expand = nn.Linear(dim, 2 * dim)
        self.contract = nn.Linear(2 * dim, dim)
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens: Tensor) -> Tensor:
        """`[B, N, dim]` -> same."""
        hidden: Tensor = self.contract(self.dropout(F.gelu(self.expand(self.norm(tokens)))))
        return tokens + hidden


class EncoderLayer(nn.Module):
    """Self-attention among image tokens, then a feed-forward step."""

    def __init__(self, config: MahtNetConfig) -> None:
        super().__init__()
        dim = config.token_dim
        self.norm = nn.LayerNorm(dim)
        self.attention = nn.MultiheadAttention(dim, config.heads, config.dropout, batch_first=True)
        self.feed_forward = FeedForward(dim, config.dropout)

    def forward(self, tokens: Tensor, positions: Tensor) -> Tensor:
        """`[B, N, dim]` -> same."""
        value = self.norm(tokens)
        key = value + positions
        mixed: Tensor = self.attention(key, key, value, need_weights=False)[0]
        result: Tensor = self.feed_forward(tokens + mixed)
        return result


class VertebralLayer(nn.Module):
    """Keypoint queries look at the image, then at each other.

    Self-attention carries the bias −softplus(s)·min(distance, 2) per head, distance counted in vertebrae:
    whatever s becomes in training, the own vertebra comes first, then the neighbours, then the rest.
    """

    def __init__(self, config: MahtNetConfig, distance: Tensor) -> None:
        super().__init__()
        dim = config.token_dim
        self.heads = config.heads
        self.cross_norm = nn.LayerNorm(dim)
        self.cross = nn.MultiheadAttention(dim, config.heads, config.dropout, batch_first=True)
        self.self_norm = nn.LayerNorm(dim)
        self.among = nn.MultiheadAttention(dim, config.heads, config.dropout, batch_first=True)
        self.reach = nn.Parameter(torch.linspace(-1.0, 1.0, config.heads))
        self.feed_forward = FeedForward(dim, config.dropout)
        self.register_buffer("distance", distance, persistent=False)

    def forward(self, queries: Tensor, tokens: Tensor, positions: Tensor) -> Tensor:
        """Queries `[B, K, dim]`, image tokens `[B, N, dim]` -> queries."""
        looking = self.cross_norm(queries)
        seen: Tensor = self.cross(looking, tokens + positions, tokens, need_weights=False)[0]
        queries = queries + seen
        talking = self.self_norm(queries)
        distance: Tensor = self.get_buffer("distance")
        bias = -F.softplus(self.reach)[:, None, None] * distance
        bias = bias.to(queries.dtype).repeat(len(queries), 1, 1)
        heard: Tensor = self.among(talking, talking, talking, attn_mask=bias, need_weights=False)[0]
        result: Tensor = self.feed_forward(queries + heard)
        return result


class VertebralAttention(nn.Module):
    """One learned query per keypoint, the sum of its vertebra's, its corner's and its endplate's encoding."""

    def __init__(self, config: MahtNetConfig) -> None:
        super().__init__()
        skeleton, dim = config.skeleton, config.token_dim
        vertebra = torch.from_numpy(skeleton.vertebra_index)
        corner = torch.tensor([CORNERS.index(name) for name in skeleton.corner_of])
        endplate = torch.arange(skeleton.keypoints) // CORNERS_PER_ENDPLATE
        self.register_buffer("vertebra_index", vertebra, persistent=False)
        self.register_buffer("corner_index", corner, persistent=False)
        self.register_buffer("endplate_index", endplate, persistent=False)
        self.vertebra = nn.Embedding(len(skeleton.vertebrae), dim)
        self.corner = nn.Embedding(len(CORNERS), dim)
        self.endplate = nn.Embedding(skeleton.endplates, dim)
        distance = (vertebra[:, None] - vertebra[None]).abs().clamp(max=2).float()
        self.layers = nn.ModuleList(VertebralLayer(config, distance) for _ in range(config.attention_layers))
        self.norm = nn.LayerNorm(dim)

    def forward(self, tokens: Tensor, positions: Tensor) -> Tensor:
        """Image tokens `[B, N, dim]` -> keypoint embeddings `[B, K, dim]`."""
        queries: Tensor = (
            self.vertebra(self.get_buffer("vertebra_index"))
            + self.corner(self.get_buffer("corner_index"))
            + self.endplate(self.get_buffer("endplate_index"))
        )
        queries = queries.expand(len(tokens), -1, -1)
        for layer in self.layers:
            queries = layer(queries, tokens, positions)
        embeddings: Tensor = self.norm(queries)
        return embeddings


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
        self.backbone = Backbone(config)
        self.encoder = nn.ModuleList(EncoderLayer(config) for _ in range(config.encoder_layers))
        self.keypoints = VertebralAttention(config)
        self.decoder = Decoder(config)
        self.to_kernel = nn.Linear(config.token_dim, config.width)
        self.to_heatmaps = nn.Conv2d(config.width, config.skeleton.keypoints, 1)
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
