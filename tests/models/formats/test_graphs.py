"""ONNX and torch.export: the same numbers as the network, what the graph declares, and hostile files."""

import tracemalloc
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn

from mahtdiag.config.settings import ModelSettings
from mahtdiag.errors import CheckpointError, UsageError
from mahtdiag.models import onnx_files
from mahtdiag.models.checkpoint import Checkpoint
from mahtdiag.models.exported import facts_of_archive
from mahtdiag.models.formats import format_of
from mahtdiag.models.loading import LoadedModel, load_model
from mahtdiag.models.onnx_files import read_graph
from mahtdiag.schema.checkpoint_file import InputFact
from mahtdiag.schema.frames import Size
from mahtdiag.schema.records import ModelOutputs
from mahtdiag.workflows.evaluate.networks import as_declared
from tests.models.networks import plain, problems_of, write_exported, write_onnx

IMAGES = torch.rand(5, 1, 64, 32, generator=torch.Generator().manual_seed(2))


class Named(nn.Module):
    """Two outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.plain = plain()

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Heatmaps and the mean of each."""
        heatmaps: Tensor = self.plain(images)
        return heatmaps, heatmaps.mean((2, 3))


class TwoInputs(nn.Module):
    """Needs a mask."""

    def __init__(self) -> None:
        super().__init__()
        self.plain = plain()

    def forward(self, images: Tensor, mask: Tensor) -> Tensor:
        """As `Plain`, times the mask."""
        heatmaps: Tensor = self.plain(images) * mask
        return heatmaps


def loaded(path: Path) -> LoadedModel:
    return load_model(path, trust=True).settled(torch.zeros(1, 1, 64, 32))


def predicted(path: Path) -> ModelOutputs:
    with torch.inference_mode():
        return loaded(path).predict(IMAGES)


def expected() -> Tensor:
    with torch.inference_mode():
        heatmaps: Tensor = plain()(IMAGES)
    return heatmaps


def exported(network: nn.Module, path: Path, *shapes: tuple[int, ...], **more: object) -> None:
    export: Callable[..., object] = torch.onnx.export
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        export(network, tuple(torch.zeros(shape) for shape in shapes), str(path), dynamo=False, **more)


def test_metadata_of_blanks_says_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.onnx"
    write_onnx(plain(), path)
    model = onnx.load(str(path))
    model.producer_name = "   "
    onnx.save(model, str(path))
    assert read_graph(path).metadata["producer"] == ""


@pytest.mark.parametrize("batch", [None, 1, 2, 4])
@pytest.mark.parametrize("write", [write_onnx, write_exported])
def test_the_same_numbers_for_any_batch(
    tmp_path: Path, write: Callable[..., None], batch: int | None
) -> None:
    path = tmp_path / "a.bin"
    write(plain(), path, batch=batch)
    assert predicted(path).maps.shape == (5, 20, 64, 32)
    assert torch.allclose(predicted(path).maps, expected(), atol=1e-4)
    notes = " ".join(loaded(path).notes)
    assert (f"takes {batch} image" in notes) == (batch is not None)
    facts = format_of(Checkpoint(path)).facts(Checkpoint(path))
    assert facts.declared is not None
    assert (facts.declared.channels, facts.declared.height, facts.declared.width) == (1, 64, 32)
    assert (facts.first_channels, facts.last_channels) == (1, 20)
    assert sum(part.parameters for part in facts.sets) >= 200


def test_half_precision(tmp_path: Path) -> None:
    write_onnx(plain(), tmp_path / "a.onnx", half=True)
    found = predicted(tmp_path / "a.onnx").maps
    assert found.dtype is torch.float32
    assert torch.allclose(found, expected(), atol=0.05)


def test_several_outputs_have_their_names(tmp_path: Path) -> None:
    path = tmp_path / "a.onnx"
    exported(Named(), path, (1, 1, 64, 32), input_names=["x"], output_names=["heatmaps", "means"])
    outputs = predicted(path)
    assert torch.allclose(outputs.maps, expected(), atol=1e-4)
    assert any("means" in text for text in outputs.unread)
    assert format_of(Checkpoint(path)).facts(Checkpoint(path)).outputs["means"] == "[1, 20] float32"


def test_weights_beside_the_graph(tmp_path: Path) -> None:
    path = tmp_path / "a.onnx"
    write_onnx(plain(), tmp_path / "whole.onnx")
    whole = onnx.load(str(tmp_path / "whole.onnx"))
    onnx.save(whole, str(path), save_as_external_data=True, location="a.data", size_threshold=0)
    before = loaded(path).sha256
    assert torch.allclose(predicted(path).maps, expected(), atol=1e-4)
    (tmp_path / "a.data").write_bytes((tmp_path / "a.data").read_bytes()[::-1])
    assert loaded(path).sha256 != before
    (tmp_path / "a.data").unlink()
    (problem,) = problems_of(lambda: loaded(path), CheckpointError)
    assert "its weights lie in a.data, which is not beside it; copy both" in problem


@pytest.mark.parametrize("place", ["../a.data", "/etc/passwd", "..\\a.data", "x/../../a", ""])
def test_weights_outside_of_the_folder_are_not_read(tmp_path: Path, place: str) -> None:
    path = tmp_path / "in" / "a.onnx"
    path.parent.mkdir()
    write_onnx(plain(), tmp_path / "whole.onnx")
    model = onnx.load(str(tmp_path / "whole.onnx"))
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", place
    path.write_bytes(model.SerializeToString())
    (problem,) = problems_of(lambda: loaded(path), CheckpointError)
    assert "outside of its folder; not read" in problem


def program(network: nn.Module, path: Path, *inputs: Tensor) -> None:
    with path.open("wb") as file:
        torch.export.save(torch.export.export(network, inputs), file)


@pytest.mark.parametrize("name", ["a.onnx", "a.pt2"])
def test_channels_last(tmp_path: Path, name: str) -> None:
    path, inner = tmp_path / name, plain().requires_grad_(False)

    class Last(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            heatmaps: Tensor = inner(images.permute(0, 3, 1, 2))
            return heatmaps

    if name == "a.pt2":
        program(Last(), path, torch.zeros(2, 64, 32, 1))
        assert facts_of_archive(path).declared == InputFact(2, 1, 64, 32, "float32", True)
    else:
        exported(Last(), path, (1, 64, 32, 1))
    assert torch.allclose(predicted(path).maps, expected(), atol=1e-4)


def test_two_inputs_are_one_line(tmp_path: Path) -> None:
    exported(TwoInputs(), tmp_path / "a.onnx", (1, 1, 64, 32), (1, 1, 64, 32), input_names=["images", "mask"])
    (problem,) = problems_of(lambda: loaded(tmp_path / "a.onnx"), CheckpointError)
    assert "the graph has 2 inputs (images, mask); it is given the image alone" in problem
    image = torch.zeros(1, 1, 64, 32)
    program(TwoInputs(), tmp_path / "a.pt2", image, image)
    (problem,) = problems_of(lambda: loaded(tmp_path / "a.pt2"), CheckpointError)
    assert "its program has 2 inputs (" in problem
    assert "it is given the image alone" in problem


def test_whole_numbers_are_no_input(tmp_path: Path) -> None:
    class OfBytes(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return images.float()

    program(OfBytes(), tmp_path / "a.pt2", torch.zeros(1, 1, 64, 32, dtype=torch.uint8))
    (problem,) = problems_of(lambda: loaded(tmp_path / "a.pt2"), CheckpointError)
    assert "is uint8 [1, 1, 64, 32], expected float [B, C, H, W]; export a network that takes" in problem


def test_options_are_held_against_the_graph(tmp_path: Path) -> None:
    path = tmp_path / "a.onnx"
    write_onnx(plain(), path)
    declared = loaded(path).declared
    settled = as_declared(ModelSettings(), declared, path)
    assert (settled.input_size, settled.channels) == (Size(64, 32), 1)
    for wrong in (ModelSettings(input_size=Size(32, 32)), ModelSettings(channels=3)):
        (problem,) = problems_of(lambda asked=wrong: as_declared(asked, declared, path), UsageError)  # type: ignore[misc]
        assert "its graph takes [1, 64, 32]; leave the option out" in problem


def test_a_graph_takes_no_factory_and_a_program_needs_trust(tmp_path: Path) -> None:
    write_onnx(plain(), tmp_path / "a.onnx")
    write_exported(plain(), tmp_path / "a.pt2")
    assert load_model(tmp_path / "a.onnx").format.name == "onnx"
    (problem,) = problems_of(lambda: load_model(tmp_path / "a.pt2"), UsageError)
    assert "a torch.export archive runs code of its own: add --trust" in problem
    factory = "tests.models.networks:Plain"
    (problem,) = problems_of(lambda: load_model(tmp_path / "a.onnx", factory=factory, trust=True), UsageError)
    assert "carries its own network: leave out --model" in problem


def test_without_the_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_onnx(plain(), tmp_path / "a.onnx")
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime", None)
    (problem,) = problems_of(lambda: load_model(tmp_path / "a.onnx"), UsageError)
    assert problem.endswith("is not installed: pip install 'mahtdiag[onnx]'")
    # What it declares needs none.
    assert format_of(Checkpoint(tmp_path / "a.onnx")).facts(Checkpoint(tmp_path / "a.onnx")).sets


def test_damaged_graphs_are_one_line(tmp_path: Path) -> None:
    path = tmp_path / "a.onnx"
    write_onnx(plain(), path)
    whole, rng = path.read_bytes(), np.random.default_rng(0)
    contents = [whole[:n] for n in (1, 3, 40, len(whole) // 2, len(whole) - 1)]
    contents += [b"\x08\x08" + b"\xff" * 50, b"\x0b" * 20, b"\x3a\xff\xff\xff\xff\x0f", rng.bytes(3000)]
    for content in contents:
        path.write_bytes(content)
        (problem,) = problems_of(lambda: load_model(path), CheckpointError)
        assert problem.startswith(f"{path}: ")


def test_deep_and_endless_graphs_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.onnx"
    write_onnx(plain(), path)
    monkeypatch.setattr(onnx_files, "MOST_FIELDS", 10)
    problems_of(lambda: read_graph(path), CheckpointError)
    monkeypatch.undo()
    monkeypatch.setattr(onnx_files, "LARGEST", 10)
    (problem,) = problems_of(lambda: read_graph(path), CheckpointError)
    assert "external data" in problem


@pytest.mark.parametrize("member", ["models/model.json", "data/weights/model_weights_config.json"])
def test_archives_that_grow_beyond_measure_are_not_unpacked(tmp_path: Path, member: str) -> None:
    path = tmp_path / "a.pt2"
    write_exported(plain(), path)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, b"[" + b"[]," * 10_000_000 + b"[]]" if name.endswith(member) else content)
    assert path.stat().st_size < 300_000
    tracemalloc.start()
    facts = facts_of_archive(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert facts.notes == ("its input and weights cannot be told without running it",)
    assert peak < 100e6


@pytest.mark.parametrize("damage", [lambda b: b[: len(b) // 2], lambda b: b.replace(b"graph", b"grapx")])
def test_damaged_archives(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    path = tmp_path / "a.pt2"
    write_exported(plain(), path)
    path.write_bytes(damage(path.read_bytes()))
    (problem,) = problems_of(lambda: load_model(path, trust=True), CheckpointError)
    assert problem.startswith(f"{path}: ")
