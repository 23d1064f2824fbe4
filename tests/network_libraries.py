"""Presets on networks of the libraries that they are for, against these libraries' own decoding.

Too heavy for every test run (`make libraries`); a library that is not installed is skipped. Weights are
random, so that every map has places of its own.
"""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from mahtdiag.config.heatmap_grid import grid_of
from mahtdiag.config.presets import PRESETS, keywords_of
from mahtdiag.config.settings import ModelSettings, with_preset
from mahtdiag.heatmaps.decoding import decode
from mahtdiag.models.arranged import Arranged
from mahtdiag.models.outputs import read_outputs
from mahtdiag.schema.choices import CoordinateConvention
from mahtdiag.schema.frames import NetworkFrames, Size
from mahtdiag.schema.model_spec import ModelInput
from mahtdiag.schema.output_spec import CoordsFrame
from mahtdiag.schema.records import ModelOutputs

SIZE, CELLS, K = Size(256, 192), Size(64, 48), 20
IMAGES = torch.rand(2, 3, SIZE.height, SIZE.width, generator=torch.Generator().manual_seed(0))
Floats = NDArray[np.float64]


def read(name: str, returned: object) -> tuple[ModelOutputs, NetworkFrames]:
    """What a network has returned, read by the preset, and where its cells lie."""
    outputs = read_outputs(returned, len(IMAGES), PRESETS[name].outputs)
    shown = ModelInput(SIZE, 3, convention=CoordinateConvention.SCALE)
    grid = grid_of(with_preset(ModelSettings(preset=name)), shown, outputs.grid)
    frames = NetworkFrames(SIZE, outputs.grid or SIZE, convention=CoordinateConvention.SCALE, grid=grid)
    arranged = Arranged(lambda _: outputs, None, CoordsFrame.INPUT, frames, PRESETS[name].outputs)
    return arranged(IMAGES), frames


def highest(outputs: ModelOutputs, frames: NetworkFrames) -> Floats:
    """The highest cell of each map in pixels of the input."""
    return frames.of(SIZE).heatmap_to_input(decode(outputs.maps, "argmax").double().numpy())


def test_vitpose() -> None:
    """Unbiased data processing: the ends of the grid lie on those of the input."""
    transformers = pytest.importorskip("transformers")
    backbone = transformers.VitPoseBackboneConfig(
        image_size=[SIZE.height, SIZE.width], hidden_size=48, num_hidden_layers=2, num_attention_heads=2
    )
    config = transformers.VitPoseConfig(backbone_config=backbone, num_labels=K)
    network = transformers.VitPoseForPoseEstimation(config).eval()
    with torch.inference_mode():
        returned = network(IMAGES, **keywords_of("vitpose"))
    assert returned.heatmaps.shape == (2, K, CELLS.height, CELLS.width)
    at = returned.heatmaps.flatten(2).argmax(-1)
    cells = np.stack([(at % CELLS.width).numpy(), (at // CELLS.width).numpy()], -1)
    np.testing.assert_allclose(highest(*read("vitpose", returned)), cells * (SIZE.xy - 1) / (CELLS.xy - 1))


def mmpose_network(head: dict[str, object]) -> torch.nn.Module:
    """A small network of MMPose with this head."""
    models = pytest.importorskip("mmpose.models")
    pytest.importorskip("mmengine.registry").init_default_scope("mmpose")
    normalised = {"mean": [123.675, 116.28, 103.53], "std": [58.395, 57.12, 57.375], "bgr_to_rgb": True}
    network: torch.nn.Module = models.build_pose_estimator({
        "type": "TopdownPoseEstimator", "data_preprocessor": {"type": "PoseDataPreprocessor", **normalised},
        "backbone": {"type": "ResNet", "depth": 18}, "head": {"in_channels": 512, "out_channels": K, **head},
    })  # fmt: skip
    return network.eval()


def test_mmpose_heatmaps() -> None:
    codec = {"input_size": (192, 256), "heatmap_size": (48, 64), "sigma": 2}
    network = mmpose_network({
        "type": "HeatmapHead", "deconv_out_channels": (32, 32, 32), "deconv_kernel_sizes": (4, 4, 4),
        "loss": {"type": "KeypointMSELoss"}, "decoder": {"type": "MSRAHeatmap", **codec},
    })  # fmt: skip
    highest_of = pytest.importorskip("mmpose.codecs.utils").get_heatmap_maximum
    with torch.inference_mode():
        returned = network(IMAGES, **keywords_of("mmpose"))
    ours = highest(*read("mmpose", returned))
    for image in range(len(IMAGES)):
        cells, peaks = highest_of(returned[image].numpy())
        assert (peaks > 0).any()
        np.testing.assert_allclose(ours[image][peaks > 0], 4 * cells[peaks > 0])


def test_mmpose_simcc() -> None:
    codec = {"input_size": (192, 256), "sigma": 6.0, "simcc_split_ratio": 2.0}
    network = mmpose_network({
        "type": "SimCCHead", "input_size": (192, 256), "in_featuremap_size": (6, 8), "simcc_split_ratio": 2.0,
        "deconv_out_channels": None, "loss": {"type": "KLDiscretLoss", "use_target_weight": True},
        "decoder": {"type": "SimCCLabel", **codec},
    })  # fmt: skip
    codecs = pytest.importorskip("mmpose.codecs")
    with torch.inference_mode():
        returned = network(IMAGES, **keywords_of("mmpose-simcc"))
    places, scores = codecs.SimCCLabel(**codec).decode(*(part.numpy() for part in returned))
    outputs, _ = read("mmpose-simcc", returned)
    assert outputs.coords is not None
    assert outputs.scores is not None
    np.testing.assert_allclose(outputs.coords.numpy(), places, atol=1e-4)
    np.testing.assert_allclose(outputs.scores.numpy(), scores, rtol=1e-6)


def test_deeplabcut() -> None:
    """The module of the library that decodes, on random maps of stride 8."""
    module = "deeplabcut.pose_estimation_pytorch.models.predictors.single_predictor"
    predictors = pytest.importorskip(module)
    generator = torch.Generator().manual_seed(1)
    maps, offsets = (torch.randn(2, channels, 32, 24, generator=generator) for channels in (K, 2 * K))
    theirs = predictors.HeatmapPredictor()(8, {"heatmap": maps, "locref": offsets})["poses"][:, 0]
    outputs, _ = read("deeplabcut", {"bodypart": {"heatmap": maps, "locref": offsets}})
    assert outputs.coords is not None
    np.testing.assert_allclose(outputs.coords.numpy(), theirs[..., :2].numpy(), atol=1e-3)
