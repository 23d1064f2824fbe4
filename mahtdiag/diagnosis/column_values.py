"""The values of a table's columns: in memory, or read when they are asked for, some of them held."""

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from threading import RLock

import numpy as np
from numpy.typing import NDArray

from mahtdiag.diagnosis.columns import Values

Ints = NDArray[np.int64]


def chosen(values: Values, rows: Ints) -> Values:
    """The values of these rows, in this order."""
    return tuple(values[row] for row in rows.tolist()) if isinstance(values, tuple) else values[rows]


class ReadColumns(Mapping[str, Values]):
    """Columns of so many images that are read when they are asked for; those asked for last are held.

    `sizes`: bytes per image of each column; `read` gives a column's values of images `first` to `last`;
    `in_parts`: columns that are read so, of the others a part is taken from the whole. At most `most_bytes`
    are held, and always the last column.
    """

    def __init__(
        self,
        images: int,
        sizes: Mapping[str, int],
        read: Callable[[str, int, int], Values],
        *,
        in_parts: frozenset[str] = frozenset(),
        most_bytes: float = float("inf"),
    ) -> None:
        self._images = images
        self._sizes = sizes
        self._read = read
        self._in_parts = in_parts
        self._most_bytes = most_bytes
        self._held: OrderedDict[str, Values] = OrderedDict()
        self._lock = RLock()

    def __getitem__(self, name: str) -> Values:
        with self._lock:
            if name not in self._held:
                # What has to go goes first: both are never in memory together.
                self._make_room(self._sizes[name])
                self._held[name] = self._read(name, 0, self._images)
            self._held.move_to_end(name)
            return self._held[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._sizes)

    def __len__(self) -> int:
        return len(self._sizes)

    def __contains__(self, name: object) -> bool:
        return name in self._sizes

    def part(self, first: int, last: int) -> "ReadColumns":
        """The columns of images `first` to `last`."""
        return ReadColumns(last - first, self._sizes, lambda name, a, b: self._of(name, first + a, first + b))

    def taken(self, rows: Ints) -> "ReadColumns":
        """The columns of these images in this order."""
        return ReadColumns(
            len(rows),
            self._sizes,
            lambda name, first, last: chosen(self[name], rows[first:last]),
            most_bytes=self._most_bytes,
        )

    def _of(self, name: str, first: int, last: int) -> Values:
        with self._lock:
            if name in self._in_parts and name not in self._held:
                return self._read(name, first, last)
            return self[name][first:last]

    def _make_room(self, size: int) -> None:
        """Lets go of what was asked for longest ago, until a column of this size can be held as well."""
        most = self._most_bytes / max(self._images, 1)
        while self._held and size + sum(self._sizes[name] for name in self._held) > most:
            self._held.popitem(last=False)


class ColumnValues(Mapping[str, Values]):
    """Columns in several layers; where two of them have a column, that of the first counts."""

    def __init__(self, *layers: Mapping[str, Values]) -> None:
        self._layers: list[Mapping[str, Values]] = []
        for layer in layers:
            self._layers += layer._layers if isinstance(layer, ColumnValues) else [layer]

    def __getitem__(self, name: str) -> Values:
        for layer in self._layers:
            if name in layer:
                return layer[name]
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys(name for layer in self._layers for name in layer))

    def __len__(self) -> int:
        return len(list(iter(self)))

    def __contains__(self, name: object) -> bool:
        return any(name in layer for layer in self._layers)

    def add(self, values: Mapping[str, Values]) -> None:
        """Further columns of the same images."""
        self._layers.append(values)

    def part(self, first: int, last: int) -> "ColumnValues":
        """The columns of images `first` to `last`."""
        return ColumnValues(
            *(
                layer.part(first, last)
                if isinstance(layer, ReadColumns)
                else {name: values[first:last] for name, values in layer.items()}
                for layer in self._layers
            )
        )

    def taken(self, rows: Ints) -> "ColumnValues":
        """The columns of these images in this order."""
        return ColumnValues(
            *(
                layer.taken(rows)
                if isinstance(layer, ReadColumns)
                else {name: chosen(values, rows) for name, values in layer.items()}
                for layer in self._layers
            )
        )
