"""The product's own checkpoints: what is saved is what is loaded, and damage is told field by field."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from mahtdiag.errors import CheckpointError
from mahtdiag.models.loading import load_model
from mahtdiag.models.native import metadata_of, save_checkpoint
from mahtdiag.schema.model_spec import ModelSpec, UncertaintySpec
from mahtdiag.schema.normalization import Normalization, parse_normalization
from mahtdiag.schema.preprocessing import ChannelOrder, Flip, Interpolation, Resize
from mahtdiag.schema.skeleton import AP, View
from tests.models.networks import SPEC, mahtnet, problems_of

AP_SPEC = replace(
    SPEC,
    skeleton=AP,
    input=replace(SPEC.input, channels=1, normalization=parse_normalization("0.4/0.21")),
    uncertainty=UncertaintySpec(),
)


def saved(path: Path) -> dict[str, Any]:
    """A good checkpoint as plain data, to be damaged."""
    save_checkpoint(path, mahtnet(), SPEC)
    content: dict[str, Any] = torch.load(path, weights_only=True)
    return content


@pytest.mark.parametrize("spec", [SPEC, AP_SPEC], ids=["LA", "AP"])
def test_round_trip(tmp_path: Path, spec: ModelSpec) -> None:
    path = tmp_path / "new folder" / "größe.pt"
    network = mahtnet(spec.view, spec.input.channels)
    save_checkpoint(path, network, spec)
    loaded = load_model(path)
    assert loaded.spec == spec
    assert loaded.format.name == "mahtdiag"
    assert not loaded.network.training
    images = torch.rand(2, spec.input.channels, 64, 32, generator=torch.Generator().manual_seed(3))
    with torch.inference_mode():
        expected, found = network(images), loaded.predict(images)
    assert torch.equal(found.maps, expected["heatmaps"])
    assert found.uncertainty is not None
    assert torch.equal(found.uncertainty, expected["log_sigma"])


def test_saving_does_not_depend_on_the_mode_or_the_memory_layout(tmp_path: Path) -> None:
    network = mahtnet().train()
    with torch.no_grad():
        for weight in network.parameters():
            if weight.ndim == 4:
                weight.data = weight.data.contiguous(memory_format=torch.channels_last)
    save_checkpoint(tmp_path / "a.pt", network, SPEC)
    state = load_model(tmp_path / "a.pt").network.state_dict()
    assert all(torch.equal(state[name], value) for name, value in network.state_dict().items())
    assert network.training


def test_a_contradiction_is_not_saved(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match=r"config\.view is LA, the rest of the block says AP"):
        save_checkpoint(tmp_path / "a.pt", mahtnet(View.LA), replace(SPEC, skeleton=AP))
    unnamed = replace(SPEC.input, normalization=Normalization("mine", (0.5,), (0.1,)))
    with pytest.raises(ValidationError, match="'mine' is not known"):
        metadata_of(mahtnet(), replace(SPEC, input=unnamed))
    assert not (tmp_path / "a.pt").exists()


def test_every_wrong_field_is_named_at_once(tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    content = saved(path)
    content["mahtdiag"] = {
        "format": 2,
        "architecture": "resnet",
        "config": {"width": [4]},
        "view": "PA",
        "input": {
            "height": 0,
            "width": "wide",
            "channels": 2,
            "resize": "crop",
            "normalize": "0.5",
            "coords": None,
            "colour": "grey",
        },
        "heatmap_sigma": float("inf"),
        "decode": {"method": "guess", "softargmax_beta": -1},
        "outputs": {"heatmaps": False, "uncertainty": "variance", "uncertainty_frame": "mm"},
        "sgima": 3,
    }
    torch.save(content, path)
    problems = problems_of(lambda: load_model(path), CheckpointError)
    fields = (
        "format", "architecture", "config.width", "view", "input.height", "input.width", "input.channels",
        "input.resize", "input.normalize", "input.coords", "input.colour", "heatmap_sigma", "decode.method",
        "decode.softargmax_beta", "outputs.heatmaps", "outputs.uncertainty", "outputs.uncertainty_frame",
        "sgima",
    )  # fmt: skip
    for field in fields:
        assert any(problem.startswith(f"{path}: metadata field {field}") for problem in problems), field
    assert any("use unit, imagenet, zscore" in problem for problem in problems)


def test_every_missing_field_is_named_at_once(tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    content = saved(path)
    content["mahtdiag"] = {}
    torch.save(content, path)
    problems = problems_of(lambda: load_model(path), CheckpointError)
    wanted = {"config", "view", "input", "heatmap_sigma", "decode", "outputs"}
    assert {problem.split("field ")[1].split(":")[0] for problem in problems} == wanted


def _config(name: str, value: object) -> Callable[[dict[str, Any]], None]:
    return lambda content: content["mahtdiag"]["config"].update({name: value})


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (_config("depth", 3), "unknown mahtnet settings: depth"),
        (_config("width", 0), "must be whole numbers above 0: width"),
        (_config("heads", 5), "must be divisible"),
        (_config("width", "wide"), "width"),
        (_config("width", 4 * 10**12), "must be width at most 1024"),
        (_config("blocks", 10**9), "must be blocks at most 64"),
        (_config("width", 1024), "wrongly shaped weights: backbone"),
        (_config("view", "AP"), "config.view is AP"),
        (_config("in_channels", 1), "config.in_channels is 1"),
        (_config("width", 8), "wrongly shaped weights: backbone"),
        (_config("blocks", 2), "missing weights: backbone"),
        (lambda content: content.update(mahtdiag=[1]), "metadata field mahtdiag"),
        (lambda content: content.update(state_dict=torch.zeros(1)), "metadata without state_dict"),
        (lambda content: content.update(state_dict={}), "missing weights: backbone"),
        (lambda content: content.pop("state_dict"), "metadata without state_dict"),
    ],
)
def test_damaged_metadata(tmp_path: Path, damage: Callable[[dict[str, Any]], object], said: str) -> None:
    path = tmp_path / "a.pt"
    content = saved(path)
    damage(content)
    torch.save(content, path)
    problems = problems_of(lambda: load_model(path), CheckpointError)
    assert any(said in problem for problem in problems), problems
    assert all(problem.startswith(f"{path}: ") for problem in problems)


def test_what_a_network_is_shown_is_kept_and_earlier_blocks_say_nothing_of_it(tmp_path: Path) -> None:
    usual = metadata_of(mahtnet(), SPEC).model_dump(mode="json")["input"]
    assert not usual.keys() & {"interpolation", "channel_order", "flip"}
    resize = Resize.parse("letterbox:top-left,pad=1.25,fill=114")
    other = replace(
        SPEC.input, interpolation=Interpolation.PIL_BILINEAR, channel_order=ChannelOrder.BGR,
        flip=Flip.BODY_SIDE, resize=resize, normalization=parse_normalization("zscore+0.5/0.5"),
    )  # fmt: skip
    save_checkpoint(tmp_path / "a.pt", mahtnet(), replace(SPEC, input=other))
    found = load_model(tmp_path / "a.pt").spec
    assert found is not None
    assert found.input == other
