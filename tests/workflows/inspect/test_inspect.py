"""What is told of a checkpoint agrees with what evaluating it does."""

from pathlib import Path

import pytest
import torch

from mahtdiag.config.settings import Settings, settings_from_options
from mahtdiag.errors import UsageError
from mahtdiag.models.loading import load_model
from mahtdiag.models.native import save_checkpoint
from mahtdiag.workflows.inspect.job import InspectRequest, inspect_checkpoint
from tests.models.networks import SPEC, mahtnet


@pytest.mark.parametrize("name", ["a.pt", "a.safetensors"])
def test_a_black_image_is_as_the_network_gets_it(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    save_checkpoint(path, mahtnet(), SPEC)
    found = inspect_checkpoint(InspectRequest(settings_from_options({"CHECKPOINT": str(path)})))
    model = load_model(path)
    normal = SPEC.input.normalization
    pixel = -torch.tensor(normal.mean) / torch.tensor(normal.std)
    with torch.inference_mode():
        expected = model.predict(pixel.view(1, 3, 1, 1).expand(1, 3, 64, 32))
    assert expected.heatmaps is not None
    by_path = {fact.path: fact for fact in found.tree}
    assert by_path["heatmaps"].high == pytest.approx(float(expected.heatmaps.max()), abs=1e-6)
    assert by_path["heatmaps"].shape == tuple(expected.heatmaps.shape)
    assert found.sha256 == model.sha256
    assert found.missing == {}


def test_without_a_checkpoint() -> None:
    with pytest.raises(UsageError, match="missing CHECKPOINT"):
        inspect_checkpoint(InspectRequest(Settings()))
