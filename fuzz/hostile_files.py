"""Checkpoints that are made to take all memory or time: the name and the content of each."""

import io
import json
import pickle
import struct
import zipfile
from collections.abc import Callable, Mapping
from functools import cache
from typing import Final

import torch

from fuzz.hostile import HOSTILE_PICKLES, MB, archive
from mahtdiag.models.mahtnet import MahtNet, MahtNetConfig


def _native(**changes: object) -> dict[str, object]:
    said = {
        "height": 64,
        "width": 32,
        "channels": 1,
        "resize": "stretch",
        "normalize": "unit",
        "coords": "half-pixel",
    }
    block: dict[str, object] = {
        "format": 1, "architecture": "mahtnet", "view": "AP", "input": said, "heatmap_sigma": 1.5,
        "config": {"view": "AP", "in_channels": 1, "width": 4, "blocks": 1, "encoder_layers": 1,
                   "attention_layers": 1, "heads": 2, "dropout": 0.0},
        "decode": {"method": "dark", "softargmax_beta": 10.0},
        "outputs": {"heatmaps": True, "uncertainty": None, "uncertainty_frame": "input"},
    }  # fmt: skip
    for name, value in changes.items():
        outer, _, inner = name.partition("__")
        target = block[outer] if inner else block
        assert isinstance(target, dict)
        target[inner or outer] = value
    return block


def _pickled_native(**changes: object) -> bytes:
    """Metadata beside the weights of the network that they describe but for these changes."""
    buffer = io.BytesIO()
    torch.save({"mahtdiag": _native(**changes), "state_dict": _weights()}, buffer)
    return buffer.getvalue()


@cache
def _weights() -> Mapping[str, torch.Tensor]:
    config = MahtNetConfig("AP", 1, width=4, blocks=1, encoder_layers=1, attention_layers=1, heads=2)
    return MahtNet(config).state_dict()


def safetensors(header: bytes, content: bytes = b"", said: int | None = None) -> bytes:
    """A file of this header."""
    return struct.pack("<Q", len(header) if said is None else said) + header + content


def _header(
    tensors: Mapping[str, tuple[list[int], int, int]], metadata: Mapping[str, str] | None = None
) -> bytes:
    entries: dict[str, object] = {
        name: {"dtype": "F32", "shape": shape, "data_offsets": [first, end]}
        for name, (shape, first, end) in tensors.items()
    }
    return json.dumps(entries | ({"__metadata__": dict(metadata)} if metadata else {})).encode()


def _varint(value: int) -> bytes:
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*found, value])


def field(place: int, value: int | bytes) -> bytes:
    """A field of a message of an ONNX file."""
    if isinstance(value, int):
        return _varint(place << 3) + _varint(value)
    return _varint(place << 3 | 2) + _varint(len(value)) + value


def onnx(*of_graph: bytes, sizes: tuple[int, ...] = (1, 1, 64, 32), beside: bytes = b"") -> bytes:
    """A graph that gives back its input, with these fields beside it."""
    dims = b"".join(field(1, field(1, size)) for size in sizes)
    form = field(2, field(1, field(1, 1) + field(2, dims)))
    node = field(1, b"x") + field(2, b"y") + field(4, b"Identity")
    graph = field(1, node) + field(2, b"g") + b"".join(of_graph)
    graph += field(11, field(1, b"x") + form) + field(12, field(1, b"y") + form)
    return field(1, 8) + beside + field(7, graph) + field(8, field(2, 17))


def _weight(name: bytes, sizes: tuple[int, ...] = (1,), content: bytes = b"") -> bytes:
    return field(5, b"".join(field(1, size) for size in sizes) + field(2, 1) + field(8, name) + content)


def outside(place: bytes) -> bytes:
    """A weight that is kept in another file."""
    entry = field(13, field(1, b"location") + field(2, place))
    return _weight(b"w", (4,), entry + field(14, 1))


def _exported(model: bytes) -> bytes:
    config = b'{"config": {"w": {"tensor_meta": {"dtype": 7, "sizes": [{"as_int": ' + b"9" * 3000 + b"}]}}}}"
    members = {
        "archive_format": b"pt2",
        "models/model.json": model,
        "data/weights/model_weights_config.json": config,
    }
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            file.writestr(f"a/{name}", content)
    return buffer.getvalue()


def _deep_graphs() -> bytes:
    graph = field(2, b"g")
    for _ in range(2000):
        graph = field(1, field(5, field(6, graph)))
    return onnx(graph)


HOSTILE: Final[Mapping[str, Callable[[], bytes]]] = {
    **HOSTILE_PICKLES,
    "native, image of 8192.pt": lambda: _pickled_native(input__height=8192, input__width=8192),
    "native, image of 10^6.pt": lambda: _pickled_native(input__height=10**6, input__width=10**6),
    "native, widest and deepest.pt": lambda: _pickled_native(
        config__width=1024, config__blocks=64, config__encoder_layers=64, config__attention_layers=64
    ),
    "native, field of 8 MB.pt": lambda: _pickled_native(levels="x" * 8 * MB),
    "native, setting of 8 MB.pt": lambda: _pickled_native(config__x="x" * 8 * MB),
    "native, name of a setting of 8 MB.pt": lambda: archive(
        pickle.dumps({"mahtdiag": {"x" * 8 * MB: 1}, "state_dict": {}}, 2)
    ),
    "native, many fields.pt": lambda: archive(
        pickle.dumps({"mahtdiag": {f"k{n}": 1 for n in range(100_000)}, "state_dict": {}}, 2)
    ),
    "native, many settings.pt": lambda: _pickled_native(config={f"k{n}": [] for n in range(50_000)}),
    "native, normalisation of 10 MB.pt": lambda: _pickled_native(input__normalize="raw255+" * MB),
    "native, resize of 10 MB.pt": lambda: _pickled_native(input__resize="letterbox:" + "pad=1," * MB),
    "native, number of 2000 digits.pt": lambda: _pickled_native(config__heads=1 << 6000),
    "native, σ of 10^-300.pt": lambda: _pickled_native(heatmap_sigma=1e-300),
    "header of 90 MB.safetensors": lambda: safetensors(b'{"a":[' + b"[]," * 30_000_000 + b"[]]}"),
    "header of 2^63.safetensors": lambda: safetensors(b"{}", said=1 << 63),
    "deep header.safetensors": lambda: safetensors(b'{"a":' * 1_000_000),
    "metadata of 8 MB.safetensors": lambda: safetensors(
        _header({"w": ([1], 0, 4)}, {"x": "x" * 15 * MB}), bytes(4)
    ),
    "name of 10 MB.safetensors": lambda: safetensors(_header({"w" * 10 * MB: ([1], 0, 4)}), bytes(4)),
    "deep metadata.safetensors": lambda: safetensors(
        _header({"w": ([1], 0, 4)}, {"mahtdiag": '{"a":' * 100_000}), bytes(4)
    ),
    "number of 5000 digits in metadata.safetensors": lambda: safetensors(
        _header({"w": ([1], 0, 4)}, {"mahtdiag": '{"format":' + "9" * 5000 + "}"}), bytes(4)
    ),
    "tensors over each other.safetensors": lambda: safetensors(
        _header({f"w{n}": ([MB], 0, 4 * MB) for n in range(1000)}), bytes(4 * MB)
    ),
    "many dimensions.safetensors": lambda: safetensors(_header({"w": ([1] * 100_000, 0, 4)}), bytes(4)),
    "a hundred thousand tensors.safetensors": lambda: safetensors(
        _header({f"w{n}": ([0], 0, 0) for n in range(100_000)})
    ),
    "index of many lists.safetensors.index.json": lambda: (
        b'{"weight_map": {"a": [' + b"[]," * 1_000_000 + b"[]]}}"
    ),
    "deep index.safetensors.index.json": lambda: b'{"weight_map":' * 100_000,
    "index of a name of 10 MB.safetensors.index.json": lambda: json.dumps(
        {"weight_map": {"w": "../" + "x" * 10 * MB + ".safetensors"}}
    ).encode(),
    "image of 10^6.onnx": lambda: onnx(sizes=(1, 1, 10**6, 10**6)),
    "image of 8192.onnx": lambda: onnx(sizes=(1, 1, 8192, 8192)),
    "batch of 10^6.onnx": lambda: onnx(sizes=(10**6, 1, 64, 32)),
    "many dimensions.onnx": lambda: onnx(_weight(b"w", (2**62,) * 100_000)),
    "weight of 2^69 numbers.onnx": lambda: onnx(_weight(b"w", (2**40, 2**29))),
    "million fields.onnx": lambda: onnx(b"\x08\x01" * 5_000_000),
    "deep graphs.onnx": lambda: _deep_graphs(),
    "name of 8 MB.onnx": lambda: onnx(_weight(b"x" * 8 * MB)),
    "weights outside.onnx": lambda: onnx(outside(b"../../../../etc/passwd")),
    "weights in /etc/passwd.onnx": lambda: onnx(outside(b"/etc/passwd")),
    "weights in a name of 10 MB.onnx": lambda: onnx(outside(b"x" * 10 * MB)),
    "weights in many files.onnx": lambda: onnx(*(outside(b"f%d" % n) for n in range(20_000))),
    "metadata of 8 MB.onnx": lambda: onnx(
        beside=field(14, field(1, b"k" * 4 * MB) + field(2, b"v" * 4 * MB))
    ),
    "metadata of 100,000 entries.onnx": lambda: onnx(
        beside=b"".join(field(14, field(1, b"k%d" % n) + field(2, b"v")) for n in range(100_000))
    ),
    "program of deep JSON.pt2": lambda: _exported(b'{"a":' * 1_000_000),
    "program of 200 MB of JSON.pt2": lambda: _exported(b"[" + b"[]," * 70_000_000 + b"[]]"),
    "weights of 3000 digits.pt2": lambda: _exported(b"{}"),
}
