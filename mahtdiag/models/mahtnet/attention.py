"""Transformer parts: positions, the token encoder, and the vertebral attention module."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mahtdiag.models.mahtnet.config import MahtNetConfig
from mahtdiag.schema.skeleton import CORNERS_PER_VERTEBRA, View


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
        view, dim = View(config.view), config.token_dim
        index = torch.arange(view.keypoints)
        vertebra = index // CORNERS_PER_VERTEBRA
        self.register_buffer("vertebra_index", vertebra, persistent=False)
        self.register_buffer("corner_index", index % CORNERS_PER_VERTEBRA, persistent=False)
        self.register_buffer("endplate_index", index // 2, persistent=False)
        self.vertebra = nn.Embedding(len(view.vertebrae), dim)
        self.corner = nn.Embedding(CORNERS_PER_VERTEBRA, dim)
        self.endplate = nn.Embedding(view.endplates, dim)
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
