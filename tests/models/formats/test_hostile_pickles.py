"""Pickles that would run code, and pickles that would take all memory or time: nothing runs, and it ends."""

import copyreg
import gc
import io
import os
import pickle
import struct
import sys
import time
import tracemalloc
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import torch

from mahtdiag.errors import MahtdiagError
from mahtdiag.models.checkpoint import Checkpoint
from mahtdiag.models.foreign import read_foreign
from mahtdiag.models.loading import load_model
from mahtdiag.models.pickled import PickleError, PickleReader

MODULE = """
from pathlib import Path

def touch(*_, **__):
    Path({marker!r}).touch()

if {on_import}:
    touch()

class Base:
    pass

class New(Base):
    def __new__(cls, *_, **__):
        touch()
        return object.__new__(cls)

class State(Base):
    def __setstate__(self, state):
        touch()

class Slots(Base):
    __slots__ = ()
    name = property(None, touch)

class Items(Base):
    extend = append = add = touch
    __setitem__ = touch

class Hash(Base):
    def __hash__(self):
        touch()
        return 1
"""


def text(value: str) -> bytes:
    """A text for the stack."""
    raw = value.encode()
    return b"X" + struct.pack("<I", len(raw)) + raw


def named(name: str) -> bytes:
    """A class or function for the stack."""
    module, _, attribute = name.rpartition(".")
    return f"c{module}\n{attribute}\n".encode()


def call(name: str, *args: bytes) -> bytes:
    """A call for the stack."""
    return named(name) + b"(" + b"".join(args) + b"tR"


def attacks(marker: Path) -> dict[str, bytes]:
    """Pickles that create a file when the usual reader reads them; without their end."""
    path, command = text(str(marker)), text(f"touch {marker}")
    code = text(f"__import__('pathlib').Path({str(marker)!r}).touch()")
    inner = b"\x80\x02" + call("armed.touch") + b"."
    new = b"carmed\nBase\n(t\x81"
    return {
        "os.system": call("os.system", command),
        "posix.system": call("posix.system", command),
        "eval": call("builtins.eval", code),
        "exec": call("builtins.exec", code),
        "open": call("builtins.open", path, text("w")),
        "subprocess": call("subprocess.call", b"(" + text("touch") + path + b"l"),
        "codecs": call("codecs.open", path, text("w")),
        "importlib": call("importlib.import_module", text("armed_on_import")),
        "import by naming": b"carmed_on_import\nBase\n",
        "a name with dots": b"\x80\x04" + text("armed") + text("New.__new__") + b"\x93"
        + named("armed.New") + b"\x85R",
        "stack global": b"\x80\x04" + text("armed") + text("touch") + b"\x93)R",
        "operator chain": call("operator.methodcaller", text("touch"))
        + b"(" + call("pathlib.Path", path) + b"tR",
        "partial": call("functools.partial", named("armed.touch")) + b")R",
        "map": call("builtins.list", call("builtins.map", named("armed.touch"), b"(K\x01l")),
        "getattr": call("builtins.getattr", named("armed.New"), text("__new__"))
        + b"(" + named("armed.New") + b"tR",
        "INST": b"(iarmed\ntouch\n",
        "OBJ": b"(carmed\nNew\no",
        "NEWOBJ": named("armed.New") + b")\x81",
        "NEWOBJ_EX": named("armed.New") + b")}\x92",
        "__setstate__": new.replace(b"Base", b"State") + b"K\x01b",
        "state of slots": new.replace(b"Base", b"Slots") + b"N}" + text("name") + b"K\x01s\x86b",
        "append": new.replace(b"Base", b"Items") + b"K\x01a",
        "extend": new.replace(b"Base", b"Items") + b"(K\x01e",
        "set item": new.replace(b"Base", b"Items") + b"K\x01K\x02s",
        "add items": b"\x80\x04" + new.replace(b"Base", b"Items") + b"(K\x01\x90",
        "hash": b"}" + new.replace(b"Base", b"Hash") + b"K\x02s",
        "extension": b"\x82\xf0)R",
        "nested": call("pickle.loads", b"C" + bytes([len(inner)]) + inner),
        "storage in a pickle": call("torch.storage._load_from_bytes", b"C" + bytes([len(inner)]) + inner),
        "tensor of a type": call("torch._tensor._rebuild_from_type_v2",
                                 named("armed.touch"), named("torch.Tensor"), b")", b"}"),
        "in a list of weights": b"(]" + text("w") + call("armed.touch") + b"d",
        "in a dictionary": b"}" + text("state_dict") + call("armed.touch") + b"s",
    }  # fmt: skip


NAMES = tuple(attacks(Path("x")))


@pytest.fixture
def marker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The file that is created by whatever runs; modules that create it can be imported."""
    path = tmp_path / "ran"
    for name, on_import in (("armed", False), ("armed_on_import", True)):
        (tmp_path / f"{name}.py").write_text(MODULE.format(marker=str(path), on_import=on_import))
    monkeypatch.syspath_prepend(tmp_path)
    copyreg.add_extension("armed", "touch", 0xF0)
    # What our own libraries import when the first file is read.
    for first in files(tmp_path, pickle.dumps({"args": Path("a")}, 2)):
        read_foreign(first)
    yield path
    copyreg.remove_extension("armed", "touch", 0xF0)
    _forget()


def _forget() -> None:
    for name in ("armed", "armed_on_import"):
        sys.modules.pop(name, None)


def files(folder: Path, stream: bytes) -> Iterator[Path]:
    """A pickle as a file of its own, in an archive, and behind the head of a legacy file."""
    bare, archive, legacy = folder / "bare.pt", folder / "archive.pt", folder / "legacy.pt"
    bare.write_bytes(stream)
    with zipfile.ZipFile(archive, "w") as members:
        members.writestr("x/data.pkl", stream)
        members.writestr("x/version", "3")
    head = [pickle.dumps(part, 2) for part in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True})]
    legacy.write_bytes(b"".join(head) + stream + pickle.dumps([], 2))
    yield from (bare, archive, legacy)


_SEEN: list[str] = []
_WATCHING: list[bool] = []
_EVENTS = {
    "os.system",
    "subprocess.Popen",
    "exec",
    "compile",
    "pickle.find_class",
    "import",
    "os.exec",
    "os.fork",
}


def _audit(event: str, arguments: tuple[object, ...]) -> None:
    if _WATCHING and event in _EVENTS:
        _SEEN.append(f"{event} {arguments[:1]}")
    if _WATCHING and event == "open" and set(str(arguments[1])) & set("wax+"):
        _SEEN.append(f"open {arguments[:2]}")


sys.addaudithook(_audit)


@contextmanager
def watched() -> Iterator[list[str]]:
    """What Python itself reports of imports, processes, code, and files opened for writing."""
    _SEEN.clear()
    _WATCHING.append(True)
    try:
        yield _SEEN
    finally:
        _WATCHING.clear()


@pytest.mark.parametrize("name", NAMES)
def test_nothing_runs(marker: Path, tmp_path: Path, name: str) -> None:
    stream = attacks(marker)[name] + b"."
    with warnings.catch_warnings(), suppress(Exception):
        # Files that the payloads leave open.
        warnings.simplefilter("ignore")
        pickle.loads(stream)
        gc.collect()
    assert marker.exists(), "the payload is harmless, so this test shows nothing"
    marker.unlink()
    _forget()
    before = set(sys.modules)
    for path in files(tmp_path, stream):
        with watched() as seen, suppress(PickleError):
            read_foreign(path)
        assert seen == [], path
        for factory in (None, "nowhere:build"):
            with pytest.raises(MahtdiagError):
                load_model(path, factory=factory, trust=True)
    assert not marker.exists()
    assert not {module for module in set(sys.modules) - before if module.startswith("armed")}


def test_the_watch_sees_what_runs(tmp_path: Path) -> None:
    with watched() as seen:
        os.system("true")
        (tmp_path / "a").write_text("b")
        pickle.loads(pickle.dumps(Path))
    assert {event.split()[0] for event in seen} >= {"os.system", "open", "pickle.find_class"}


def test_functions_of_torch_keep_their_defaults(tmp_path: Path) -> None:
    rebuild = torch._utils._rebuild_tensor_v2
    before = (rebuild.__defaults__, dict(rebuild.__dict__))
    state = b"N}" + text("__defaults__") + b"(K\x01ts" + text("own") + b"K\x01s\x86b."
    for path in files(tmp_path, named("torch._utils._rebuild_tensor_v2") + state):
        read_foreign(path)
    assert (rebuild.__defaults__, dict(rebuild.__dict__)) == before


def _storage(count: bytes = b"K\x04") -> bytes:
    return b"(" + text("storage") + named("torch.FloatStorage") + text("0") + text("cpu") + count + b"tQ"


def _tensor(size: bytes, stride: bytes, offset: bytes = b"K\x00") -> bytes:
    return call("torch._utils._rebuild_tensor_v2", _storage(), offset, size, stride, b"\x89", b"}")


HUGE = b"\x8a\x08" + struct.pack("<q", 1 << 60)
FORTY = b"\x8a\x08" + struct.pack("<q", 1 << 40)
BOMBS = {
    "long text": b"\x8d" + struct.pack("<Q", 1 << 60) + b"a.",
    "long bytes": b"\x8e" + struct.pack("<Q", 1 << 40) + b"a.",
    "long array of bytes": b"\x96" + struct.pack("<Q", 1 << 36) + b"a.",
    "long frame": b"\x80\x04\x95" + struct.pack("<Q", 1 << 60) + b"N.",
    "long number": b"\x8b" + struct.pack("<i", 2**31 - 1) + b"a.",
    "number of many digits": b"I" + b"9" * 1_000_000 + b"\n.",
    "far memo": b"Nr" + struct.pack("<I", 2**32 - 1) + b".",
    "far memo in text": b"Np" + b"9" * 4000 + b"\n.",
    "key of shared tuples": b"}K\x01" + b"q\x00h\x00\x86" * 300 + b"K\x02s.",
    "deep lists": b"]" * 100_000 + b"a" * 99_999 + b".",
    "deep tuples": b")" + b"\x85" * 100_000 + b".",
    "list in itself": b"]q\x00h\x00a.",
    "dictionary in itself": b"}q\x00" + text("a") + b"h\x00s.",
    "shared dictionaries": b"}" + b"q\x00}" .join([b""]) + b"".join(
        b"q\x00}(" + text("a") + b"h\x00" + text("b") + b"h\x00u" for _ in range(60)) + b".",
    "shared lists": b"]" + b"q\x00](h\x00h\x00e" * 60 + b".",
    "tensor of huge size": _tensor(HUGE + b"\x85", b"K\x01\x85") + b".",
    "expanded tensor": _tensor(FORTY + b"\x85", b"K\x00\x85") + b".",
    "size that overflows": _tensor(b"(" + HUGE * 6 + b"t", b"(" + b"K\x00" * 6 + b"t") + b".",
    "empty and huge": _tensor(b"(K\x00" + HUGE * 6 + b"t", b"(" + b"K\x00" * 7 + b"t") + b".",
    "negative stride": _tensor(b"K\x02\x85", b"J\xff\xff\xff\xff\x85") + b".",
    "far offset": _tensor(b"K\x02\x85", b"K\x01\x85", HUGE) + b".",
    "storage of huge count": call("torch._utils._rebuild_tensor_v2", _storage(HUGE), b"K\x00", HUGE + b"\x85",
                                  b"K\x01\x85", b"\x89", b"}") + b".",
    "marks": b"(" * 100_000 + b".",
    "empty stack": b"a.",
    "no end": b"]" * 1000,
}  # fmt: skip


def _modules_that_share() -> bytes:
    module = b""
    for _ in range(30):
        inner = b"}" if not module else b"}(" + text("a") + b"h\x01" + text("b") + b"h\x01u"
        state = b"}(" + text("_parameters") + b"}" + text("_buffers") + b"}" + text("_modules") + inner + b"u"
        module = module + call("torch.nn.Module") + state + b"bq\x01"
    return module + b"."


@pytest.mark.parametrize("name", [*BOMBS, "modules that share"])
def test_memory_and_time_are_bounded(tmp_path: Path, name: str) -> None:
    stream = _modules_that_share() if name == "modules that share" else BOMBS[name]
    for path in files(tmp_path, stream):
        tracemalloc.start()
        start = time.perf_counter()
        with suppress(PickleError):
            read_foreign(path)
        seconds, (_, peak) = time.perf_counter() - start, tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 300e6
        assert seconds < 60


def test_an_archive_that_grows_beyond_measure(tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/data.pkl", b"}.")
        with archive.open("a/data/0", "w", force_zip64=True) as file:
            for _ in range(100):
                file.write(bytes(1 << 20))
    with pytest.raises(PickleError, match="bytes that unpacks to 104,857,602"):
        read_foreign(path)


def test_every_operation_is_known_or_refused() -> None:
    """Each of the 256 first bytes, and random programs: a value, or a problem in words."""
    import numpy as np

    rng = np.random.default_rng(0)
    ends: dict[str, int] = {}
    for _ in range(20_000):
        stream = rng.bytes(int(rng.integers(1, 40))) + b"."
        reader = PickleReader(io.BytesIO(stream), {}, lambda pid: pid)
        try:
            reader.read()
            ends["value"] = ends.get("value", 0) + 1
        except PickleError:
            ends["problem"] = ends.get("problem", 0) + 1
    assert min(ends["value"], ends["problem"]) > 10


def test_content_of_a_hostile_file_is_plain(tmp_path: Path, marker: Path) -> None:
    stream = b"}" + text("w") + call("armed.touch") + b"s" + text("e") + b"K\x03s."
    for path in files(tmp_path, stream):
        checkpoint = Checkpoint(path)
        assert checkpoint.content == {"w": "<armed.touch>", "e": 3}
        assert checkpoint.told.classes == ("armed.touch",)
    assert not marker.exists()
