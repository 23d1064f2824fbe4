"""The configuration of the built-in network, as it is stored in a checkpoint."""

from dataclasses import asdict, dataclass, fields
from typing import Any, Self

from mahtdiag.schema.skeleton import View

WIDEST, DEEPEST = 1024, 64
"""No network is wider or deeper: beyond, a checkpoint's numbers are damaged or meant to do harm."""


@dataclass(frozen=True, slots=True)
class MahtNetConfig:
    """Width and depth of a `mahtnet`.

    `width` is the number of channels at stride 4; strides 8, 16 and 32 have 2, 4 and 6 times as many.
    `blocks` residual blocks per stride; `encoder_layers` transformer layers over the stride-32 tokens;
    `attention_layers` layers of the vertebral attention module; `heads` divides 6·width.
    """

    view: str = "AP"
    in_channels: int = 1
    width: int = 24
    blocks: int = 1
    encoder_layers: int = 2
    attention_layers: int = 2
    heads: int = 4
    dropout: float = 0.05

    def __post_init__(self) -> None:
        View(self.view)
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
    def channels(self) -> tuple[int, int, int, int]:
        """Channels at strides 4, 8, 16, 32."""
        return self.width, 2 * self.width, 4 * self.width, 6 * self.width

    @property
    def token_dim(self) -> int:
        """Channels of a token, those of stride 32."""
        return self.channels[-1]

    def as_dict(self) -> dict[str, str | int | float]:
        """Plain data for a checkpoint's metadata."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Rebuild from metadata; ValueError for unknown names or impossible values."""
        unknown = sorted(set(values) - {field.name for field in fields(cls)})
        if unknown:
            raise ValueError(f"unknown mahtnet settings: {', '.join(unknown)}")
        return cls(**values)
