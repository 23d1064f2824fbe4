"""Files of torch that are made to take all memory or time: the name and the content of each."""

import io
import pickle
import struct
import zipfile
from collections.abc import Callable, Mapping
from typing import Final

MAGIC: Final = 0x1950A86A20F9469CFC6C
MB: Final = 1 << 20
_HUGE: Final = b"\x8a\x08" + struct.pack("<q", 1 << 60)
_FORTY: Final = b"\x8a\x08" + struct.pack("<q", 1 << 40)


def text(value: str | bytes) -> bytes:
    """A text for the stack of a pickle."""
    raw = value.encode() if isinstance(value, str) else value
    return b"X" + struct.pack("<I", len(raw)) + raw


def number(value: int) -> bytes:
    """A whole number for the stack."""
    raw = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
    return (b"\x8a" + bytes([len(raw)]) if len(raw) < 256 else b"\x8b" + struct.pack("<i", len(raw))) + raw


def named(name: str) -> bytes:
    """A class or function for the stack."""
    module, _, attribute = name.rpartition(".")
    return f"c{module}\n{attribute}\n".encode()


def call(name: str, *args: bytes) -> bytes:
    """A call for the stack."""
    return named(name) + b"(" + b"".join(args) + b"tR"


def mapping(**entries: bytes) -> bytes:
    """A dictionary for the stack."""
    return b"}(" + b"".join(text(name) + value for name, value in entries.items()) + b"u"


def storage(count: int, key: str = "0", kind: str = "FloatStorage") -> bytes:
    """The reference to numbers beside the pickle."""
    return b"(" + text("storage") + named(f"torch.{kind}") + text(key) + text("cpu") + number(count) + b"tQ"


def tensor(size: tuple[int, ...], stride: tuple[int, ...], where: bytes) -> bytes:
    """A tensor over a storage."""
    form = (b"(" + b"".join(map(number, numbers)) + b"t" for numbers in (size, stride))
    return call(
        "torch._utils._rebuild_tensor_v2", where, b"K\x00", *form, b"\x89", call("collections.OrderedDict")
    )


def archive(
    stream: bytes, members: Mapping[str, bytes] | None = None, packing: int = zipfile.ZIP_STORED
) -> bytes:
    """A file as torch writes it."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", packing) as file:
        file.writestr("a/data.pkl", stream)
        file.writestr("a/version", "3\n")
        for name, content in (members or {}).items():
            file.writestr(f"a/{name}", content)
    return buffer.getvalue()


def legacy(stream: bytes, storages: Mapping[str, bytes] | None = None) -> bytes:
    """A file as torch wrote it before 1.6; each storage is its count and its bytes."""
    head = [pickle.dumps(part, 2) for part in (MAGIC, 1001, {"little_endian": True})]
    found = storages or {}
    return b"".join([*head, stream, pickle.dumps([*found], 2), *found.values()])


_TINY: Final = {"data/0": bytes(16)}


def _keys(keys: bytes) -> bytes:
    return b"\x80\x02" + keys + b"."


def _shared_tuples() -> bytes:
    return _keys(b"}K\x01" + b"q\x00h\x00\x86" * 40 + b"K\x02s")


def _shared_in_pid() -> bytes:
    deep = b"K\x01" + b"q\x00h\x00\x86" * 40
    pid = b"(" + text("storage") + named("torch.FloatStorage") + deep + text("cpu") + number(4) + b"tQ"
    return _keys(mapping(w=tensor((4,), (1,), pid)))


def _one_hash(tuples: bool = False) -> bytes:
    """Keys that all have one hash: multiples of 2^61 - 1."""
    prime = (1 << 61) - 1
    each = (number(prime * (n + 1)) + (b"\x85" if tuples else b"") + b"K\x00" for n in range(60_000))
    return _keys(b"}(" + b"".join(each) + b"u")


def _shared_mappings(width: int, depth: int, extra: bytes = b"") -> bytes:
    """Dictionaries of dictionaries, each of which is shared by all entries of the next."""
    stream = b"}" + extra
    for _ in range(depth):
        entries = b"".join(text(f"k{n}") + b"h\x00" for n in range(width))
        stream += b"q\x00}(" + entries + b"u"
    return _keys(stream)


def _repeated_call(name: str, given: bytes, times: int = 200_000) -> bytes:
    return _keys(given + b"q\x00" + named(name) + b"q\x010](" + b"h\x01h\x00\x85R" * times + b"e")


def _files_in_file() -> bytes:
    inner = io.BytesIO(legacy(storage(4), {"0": struct.pack("<q", 4) + bytes(16)})).getvalue()
    return _repeated_call("torch.storage._load_from_bytes", b"B" + struct.pack("<I", len(inner)) + inner)


def _modules() -> bytes:
    """A module of modules with long names, each of which is shared."""
    stream = b""
    for _ in range(40):
        inner = b"}" if not stream else b"}(" + text("a" * 900) + b"h\x01" + text("b" * 900) + b"h\x01u"
        empty = tensor((1,), (1,), storage(4))
        state = (
            b"}("
            + text("_parameters")
            + mapping(w=empty)
            + text("_buffers")
            + b"}"
            + text("_modules")
            + inner
        )
        stream += call("torch.nn.Module") + state + b"ubq\x01"
    return _keys(stream)


def _many_sets(count: int) -> bytes:
    one = tensor((1,), (1,), storage(4)) + b"q\x05" + b"0"
    sets = b"".join(text(f"s{n}") + b"}" + text("w") + b"h\x05s" for n in range(count))
    return _keys(one + b"}(" + sets + b"u")


def _views(count: int, size: int) -> bytes:
    """Tensors that all show the whole of one storage, in sets of the same names."""
    entries = b"".join(text(f"s{n}") + mapping(w=tensor((size,), (1,), storage(size))) for n in range(count))
    return _keys(b"}(" + entries + b"u")


def _hidden_methods() -> bytes:
    return _keys(
        call("collections.OrderedDict") + text("w") + tensor((4,), (1,), storage(4)) + b"s"
        + mapping(items=b"K\x01", keys=b"K\x01", values=b"K\x01") + b"b"
    )  # fmt: skip


def _hidden_in_tensor() -> bytes:
    args = b"(" + storage(4) + b"K\x00K\x04\x85K\x01\x85\x89}t"
    inner = call(
        "torch._tensor._rebuild_from_type_v2",
        named("torch._utils._rebuild_tensor_v2"),
        named("torch.Tensor"),
        args, mapping(numel=b"K\x01", dim=b"K\x01", item=b"K\x01"),
    )  # fmt: skip
    return _keys(mapping(w=inner))


def _overlapping() -> bytes:
    """An archive of one megabyte whose thousand members are the same bytes."""
    content = bytearray(archive(_keys(b"}"), {"data/0": bytes(MB)}))
    at = content.rindex(b"PK\x05\x06")
    start = struct.unpack("<I", content[at + 16 : at + 20])[0]
    last = bytes(content[content.rindex(b"PK\x01\x02") : at])
    more = b"".join(last.replace(b"a/data/0", b"a/d%05d" % n) for n in range(2000))
    size, count = at - start + len(more), 3 + 2000
    end = b"PK\x05\x06" + struct.pack("<HHHHIIH", 0, 0, count, count, size, start, 0)
    return bytes(content[:at]) + more + end


def _lying_size() -> bytes:
    """A packed member that says it is small and unpacks to six hundred megabytes."""
    content = bytearray(_packed(600 * MB, {}))
    for sign, place in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        name = content.rindex(b"a/data/0", 0, content.rindex(b"a/data/0")) if sign == b"PK\x03\x04" else None
        at = content.rindex(sign, 0, name) if name else content.rindex(sign)
        content[at + place : at + place + 4] = struct.pack("<I", 1000)
    return bytes(content)


def _packed(size: int, entries: Mapping[str, bytes], packing: int = zipfile.ZIP_DEFLATED) -> bytes:
    """An archive with a storage of so many nulls."""
    buffer = io.BytesIO()
    weights = mapping(w=tensor((size // 4,), (1,), storage(size // 4)), **entries)
    with zipfile.ZipFile(buffer, "w", packing) as file:
        file.writestr("a/data.pkl", _keys(weights))
        file.writestr("a/version", "3\n")
        with file.open("a/data/0", "w", force_zip64=size > 1 << 31) as member:
            for _ in range(size // MB):
                member.write(bytes(MB))
    return buffer.getvalue()


def _many_members(count: int) -> bytes:
    entry = b"PK\x01\x02" + bytes(24) + struct.pack("<H", 6) + bytes(16)
    listed = b"".join(entry + b"%06d" % n for n in range(count))
    end = b"PK\x05\x06" + struct.pack("<HHHHIIH", 0, 0, count & 0xFFFF, count & 0xFFFF, len(listed), 0, 0)
    return listed + end


def _two_kinds() -> bytes:
    """A legacy file before an archive: one reader sees the first, another the second."""
    return legacy(_shared_tuples()) + archive(_keys(b"}"))


def _deep_tensor() -> bytes:
    inner = b")"
    deep = b"(" + named("torch._tensor._rebuild_from_type_v2") + b"N"
    return _keys(named("torch._tensor._rebuild_from_type_v2") + deep * 20_000 + inner + b"t" * 20_000 + b"R")


HOSTILE_PICKLES: Final[Mapping[str, Callable[[], bytes]]] = {
    "archive that unpacks to 1 GB.pt": lambda: _packed(1000 * MB, {}),
    "archive that unpacks to 600 MB behind a lie.pt": _lying_size,
    "archive packed by LZMA.pt": lambda: _packed(100 * MB, {}, zipfile.ZIP_LZMA),
    "archive of members over each other.pt": _overlapping,
    "archive of a million members.pt": lambda: _many_members(1_000_000),
    "archive of a hundred thousand members.pt": lambda: _many_members(100_000),
    "archive behind a legacy file.pt": _two_kinds,
    "pickle of many operations.pt": lambda: archive(
        _keys(b"N0" * 30_000_000 + b"}"), packing=zipfile.ZIP_DEFLATED
    ),
    "pickle of a million lists.pt": lambda: archive(_keys(b"](" + b"]" * 1_000_000 + b"e")),
    "key of shared tuples.pt": lambda: archive(_shared_tuples()),
    "key of shared tuples, legacy.pt": lambda: legacy(_shared_tuples()),
    "storage with a key of shared tuples.pt": lambda: archive(_shared_in_pid(), _TINY),
    "keys of one hash.pt": lambda: archive(_one_hash()),
    "keys of tuples of one hash.pt": lambda: archive(_one_hash(tuples=True)),
    "shared mappings.pt": lambda: archive(_shared_mappings(1000, 4)),
    "shared mappings of a long name.pt": lambda: archive(
        _keys(b"}" + b"".join(b"q\x00}" + text("n" * 1_000_000 + str(n)) + b"h\x00s" for n in range(8)))
    ),
    "shared mappings of weights.pt": lambda: archive(
        _shared_mappings(300, 3, text("w") + tensor((4,), (1,), storage(4)) + b"s"), _TINY
    ),
    "copies of a mapping.pt": lambda: archive(
        _repeated_call(
            "collections.OrderedDict", b"}(" + b"".join(text(f"k{n}") + b"N" for n in range(20_000)) + b"u"
        )
    ),
    "copies of a list.pt": lambda: archive(_repeated_call("builtins.set", b"](" + b"K\x01" * 100_000 + b"e")),
    "copies of a text.pt": lambda: archive(_repeated_call("_codecs.encode", text("x" * MB))),
    "files in a file.pt": lambda: archive(_files_in_file()),
    "array of 100 GB.pt": lambda: archive(_keys(call("builtins.bytearray", number(10**11)))),
    "tensor of 4 TB.pt": lambda: archive(_keys(call("torch.Tensor", number(10**6), number(10**6)))),
    "tensor that shows one number 10^10 times.pt": lambda: archive(
        _keys(
            mapping(
                a=mapping(w=tensor((10**10,), (0,), storage(4))),
                b=mapping(w=tensor((10**10,), (0,), storage(4))),
            )
        ),
        _TINY,
    ),
    "tensors over one storage.pt": lambda: archive(_views(2000, MB), {"data/0": bytes(4 * MB)}),
    "tensors over one storage, legacy.pt": lambda: legacy(
        _views(2000, MB), {"0": struct.pack("<q", MB) + bytes(4 * MB)}
    ),
    "quantised tensor of 2^60.pt": lambda: archive(
        _keys(
            mapping(
                w=call(
                    "torch._utils._rebuild_qtensor",
                    storage(4, kind="QInt8Storage"),
                    b"K\x00",
                    _HUGE + b"\x85",
                    b"K\x00\x85",
                    b"(" + named("torch.per_tensor_affine") + b"G" + struct.pack(">d", 1.0) + b"K\x00t",
                    b"\x89",
                    b"}",
                )
            )
        ),
        _TINY,
    ),
    "storage longer than its member.pt": lambda: archive(
        _keys(mapping(w=tensor((10**8,), (1,), storage(10**8)))), _TINY
    ),
    "storage of 4 GB, legacy.pt": lambda: legacy(
        _keys(mapping(w=tensor((10**9,), (1,), storage(10**9)))), {"0": struct.pack("<q", 10**9)}
    ),
    "meta tensor.pt": lambda: archive(
        _keys(
            mapping(
                w=call(
                    "torch._utils._rebuild_meta_tensor_no_storage",
                    named("torch.float32"),
                    b"(K\x01t",
                    b"(K\x01t",
                    b"\x89",
                ),
                v=tensor((4,), (1,), storage(4)),
            )
        ),
        _TINY,
    ),
    "mapping with hidden methods.pt": lambda: archive(_hidden_methods(), _TINY),
    "tensor with hidden methods.pt": lambda: archive(_hidden_in_tensor(), _TINY),
    "modules that share.pt": lambda: archive(_modules(), _TINY),
    "many sets of weights.pt": lambda: archive(_many_sets(60_000), _TINY),
    "deep tensor of types.pt": lambda: archive(_deep_tensor()),
    "deep lists.pt": lambda: archive(_keys(b"]" * 300_000 + b"a" * 299_999)),
    "number of a million digits.pt": lambda: archive(_keys(mapping(epoch=number(1 << 3_000_000)))),
    "number of five thousand digits.pt": lambda: archive(_keys(mapping(epoch=number(1 << 17_000)))),
    "key of many digits.pt": lambda: archive(_keys(b"}" + number(1 << 17_000) + b"K\x01s")),
    "name of 8 MB.pt": lambda: archive(_keys(b"}" + text("x" * 8 * MB) + b"K\x01s")),
    "class of 8 MB.pt": lambda: archive(_keys(mapping(a=named("m." + "x" * 8 * MB)))),
    "weights of names of 1 MB.pt": lambda: archive(
        _keys(
            b"}("
            + b"".join(text(f"{n}" + "x" * MB) + tensor((4,), (1,), storage(4)) for n in range(20))
            + b"u"
        ),
        _TINY,
    ),
    "name of a thousand dots.pt": lambda: archive(
        _keys(
            b"}("
            + b"".join(text(f"{n}" + ".a" * 900) + tensor((1,), (1,), storage(4)) for n in range(5000))
            + b"u"
        ),
        _TINY,
    ),
    "text of 8 MB instead of weights.pt": lambda: archive(_keys(text("x " * 4 * MB))),
    "bytes of 8 MB.pt": lambda: archive(
        _keys(mapping(a=b"\x96" + struct.pack("<Q", 8 * MB) + bytes(8 * MB)))
    ),
    "tar archive.pt": lambda: b"storages" + bytes(92) + b"0000644\0" * 3 + b"77777777777\0" * 2 + bytes(300),
    "script.pt": lambda: archive(_shared_tuples(), {"constants.pkl": _shared_tuples(), "code/a.py": b"x"}),
    "script that grows.pt": lambda: archive(
        _keys(b"}"), {"constants.pkl": bytes(900 * MB), "code/a.py": b"x"}, zipfile.ZIP_DEFLATED
    ),
}
"""What each of them says is what it asks for; a name ends as the file would."""
