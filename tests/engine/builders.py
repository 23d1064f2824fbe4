"""Samples, images, networks and batches for the engine's tests."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mahtdiag.engine.inference import Runner
from mahtdiag.engine.loader import LoadedBatch, load_batches
from mahtdiag.schema.choices import DecodeMethod, Precision
from mahtdiag.schema.frames import CoordinateConvention, Size
from mahtdiag.schema.model_spec import Decoding, ModelInput, ModelSpec, UncertaintySpec
from mahtdiag.schema.preprocessing import Resize
from mahtdiag.schema.records import Failure, LoadedImage, ModelOutputs, Predictor, Sample
from mahtdiag.schema.skeleton import AP

INPUT = Size(32, 24)
HEATMAP = Size(16, 8)
SIGMA = 1.5
K = AP.keypoints
SPEC = ModelSpec(
    skeleton=AP,
    input=ModelInput(INPUT, 1, Resize.LETTERBOX, convention=CoordinateConvention.HALF_PIXEL),
    decoding=Decoding(SIGMA, DecodeMethod.LOCAL),
    uncertainty=UncertaintySpec(),
)


def sample(number: int) -> Sample:
    """An annotated image; every third one lacks keypoints."""
    rng = np.random.default_rng(number)
    points = rng.uniform(0, 60, (K, 2))
    if number % 3 == 0:
        points[rng.integers(0, K, 4)] = np.nan
    name = f"{number:03d}.png"
    return Sample(name, str(Path("data") / name), AP, points, "a" * 64)


def load(item: Sample) -> LoadedImage | Failure:
    """An image that follows from the name; those that end in 7 cannot be read."""
    number = int(item.image[:3])
    if number % 10 == 7:
        return Failure(item.image, "truncated", None, item.annotation_sha256)
    tensor = np.random.default_rng(1000 + number).random((1, INPUT.height, INPUT.width), dtype=np.float32)
    return LoadedImage(Size(80 + number, 60), tensor, f"{number:064d}")


def batches(count: int, size: int, done: frozenset[int] = frozenset()) -> list[LoadedBatch]:
    """All batches of a set."""
    samples = [sample(number) for number in range(count)]
    return list(load_batches(samples, load, batch_size=size, workers=2, done=done))


def network(seed: int = 0) -> Predictor:
    """A linear map from images to heatmaps, coordinates and log σ; every image by itself."""
    generator = torch.Generator().manual_seed(seed)
    kernel = torch.randn(K, 1, 2, 3, generator=generator)

    def predict(images: Tensor) -> ModelOutputs:
        maps = torch.cat([torch.conv2d(image[None], kernel, stride=(2, 3)) for image in images])
        heads = maps[..., :2, :2].mean(-1)
        return ModelOutputs(maps, 20 * maps[..., 0, :2], heads, None)

    return predict


def runner(predict: Predictor, spec: ModelSpec = SPEC) -> Runner:
    """On the CPU, in float32."""
    return Runner(predict, spec, torch.device("cpu"), Precision.FP32, HEATMAP)


Change = Callable[[ModelOutputs], ModelOutputs]


def changed(predict: Predictor, change: Change) -> Predictor:
    """A network whose outputs are changed."""
    return lambda images: change(predict(images))
