"""Named parts of a loss, readable as attributes or as a mapping."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields

from torch import Tensor


@dataclass(frozen=True, eq=False)
class Parts(Mapping[str, Tensor]):
    """Base of the loss records: `parts.total`, `parts["total"]` and `dict(parts)` all work.

    A part that could not be computed is None as an attribute and absent from the mapping. Equal is identical:
    whether two tensors are equal has no single answer.
    """

    def __eq__(self, other: object) -> bool:
        return self is other

    def __hash__(self) -> int:
        return id(self)

    def __getitem__(self, name: str) -> Tensor:
        value = getattr(self, name, None) if name in self._names() else None
        if value is None:
            raise KeyError(name)
        tensor: Tensor = value
        return tensor

    def __iter__(self) -> Iterator[str]:
        return (name for name in self._names() if getattr(self, name) is not None)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def _names(self) -> tuple[str, ...]:
        return tuple(field.name for field in fields(self))


@dataclass(frozen=True, eq=False)
class LossParts(Parts):
    """Unweighted parts of the combined loss, and `total`, their weighted sum."""

    heatmap: Tensor
    coord: Tensor | None
    anatomical: Tensor | None
    uncertainty: Tensor | None
    total: Tensor
