"""Every key of `mahtdiag.toml` with its default, or an example where it has none, and what it means."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Key:
    """A key, its default or an example, and its meaning in one line."""

    name: str
    default: str | float | bool | tuple[str, ...]
    meaning: str


KEYS: Mapping[str, tuple[Key, ...]] = {
    "model": (
        Key("checkpoint", "model.pt", "trained network; A.pt,B.pt is an ensemble"),
        Key("factory", "package.module:function", "builds the network of a bare state dict; needs --trust"),
        Key("input_size", "512x256", "height x width of the network's input"),
        Key("resize", "stretch", "stretch, or letterbox: keep the aspect ratio and pad"),
        Key("normalize", "unit", "unit, imagenet or MEAN/STD: grey values to network values"),
        Key("channels", 1, "1 or 3"),
        Key("coords", "half-pixel", "half-pixel or scale: pixel centres under a resize"),
        Key("decode", "dark", "argmax, local, dark or soft-argmax: from heatmap to place"),
        Key("heatmap_sigma", 2.0, "σ of the target heatmaps, in heatmap cells"),
        Key("softargmax_beta", 1.0, "factor before the softmax of soft-argmax"),
        Key("uncertainty", "auto", "auto, head, heatmap, none or mc-dropout:N: where σ is from"),
        Key("uncertainty_as", "log_sigma", "log_sigma, sigma or log_var: what the head emits"),
        Key("uncertainty_frame", "input", "input or heatmap: unit of the head's σ, pixels or cells"),
    ),
    "data": (
        Key("path", "data", "folder of radiographs with annotations"),
        Key("view", "auto", "AP, LA or auto"),
        Key("pixel_spacing_mm", 0.15, "of all images without their own; there is no default"),
    ),
    "evaluate": (
        Key("device", "auto", "auto, cpu, cuda, cuda:N or mps"),
        Key("batch_size", "auto", "images per forward pass, or auto"),
        Key("workers", 4, "threads that decode images"),
        Key("precision", "fp32", "fp32, bf16 or fp16: of the forward pass"),
        Key("overlays", "worst:12", "worst:N, all or none"),
        Key("allow_failures", 0, "images that may fail without failing the command"),
        Key("recalibration", "factors.json", "σ factors written by calibration --fit"),
    ),
    "loss": (
        Key("lambda_heatmap", 1.0, "weights of the four parts"),
        Key("lambda_coord", 0.5, ""),
        Key("lambda_anatomical", 0.1, ""),
        Key("lambda_uncertainty", 0.1, ""),
        Key("use_focal", True, "false: mean squared error of the heatmaps"),
        Key("gamma", 2.0, "exponent of the focal weight"),
        Key("emphasis", "background", "background or keypoint: where the focal weight is large"),
        Key("omega", 10.0, "Wing loss of the coordinates: where it turns linear"),
        Key("epsilon", 2.0, "and how sharply it curves"),
        Key("lambda_order", 1.0, "weights of the three anatomical terms"),
        Key("lambda_parallel", 0.1, ""),
        Key("lambda_ratio", 0.1, ""),
        Key("min_sigma", 0.1, "clamp of the head's σ, model-input pixels"),
        Key("max_sigma", 10.0, ""),
    ),
    "anatomy": (
        Key("select", ("A1", "A2", "A3", "A4", "A5", "A6"), "rules to check, codes or prefixes"),
        Key("ignore", (), "rules to leave out"),
    ),
    "calibration": (
        Key("resamples", 2000, "of images, behind every interval"),
        Key("seed", 0, "of the resampling"),
        Key("groups", ("vertebra", "corner", "keypoint", "sex", "age band"), "what is told apart"),
        Key("large_error_mm", 4.0, "the error that a large σ should find"),
    ),
}
