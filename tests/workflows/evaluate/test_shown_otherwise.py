"""When the first images are shown to the network otherwise."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from mahtdiag.schema.frames import Size
from mahtdiag.schema.model_spec import ModelInput
from mahtdiag.workflows.evaluate import shown_otherwise as module


@pytest.mark.parametrize(
    ("error_px", "shown"),
    [
        # As of a network that finds another spine in negatives: 45 px where 3 are usual.
        ((38.0, 44.0, 51.0, 47.0), True),
        ((44.0, 3.0, 51.0, 47.0), True),
        ((15.0, 12.0, 19.0, 18.0), False),
        ((15.0, 12.0, 19.0, 400.0), False),
    ],
)
def test_errors_of_a_few_percent_are_looked_into(
    monkeypatch: pytest.MonkeyPatch, error_px: tuple[float, ...], shown: bool
) -> None:
    sample: Any = [SimpleNamespace(image=str(n), keypoints_px=np.ones((20, 2))) for n in range(4)]
    images: Any = [SimpleNamespace(original=Size(1000, 600)) for _ in range(4)]
    batch: Any = SimpleNamespace(samples=sample, images=images)
    decoding = SimpleNamespace(original_coords=False)
    runner: Any = SimpleNamespace(spec=SimpleNamespace(decoding=decoding, input=ModelInput(Size(64, 32), 1)))
    monkeypatch.setattr(module, "_errors_px", lambda *_, **__: np.array(error_px))
    found = module.shown_otherwise(runner, batch)
    assert bool(found) is shown
    assert ("--invert" in {each.option for each in found}) is shown
