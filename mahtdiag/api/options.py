"""The options of `mahtdiag evaluate` as keywords: `--heatmap-sigma 2` is `heatmap_sigma=2`."""

import difflib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, TypedDict

from mahtdiag.api.paths import path_of
from mahtdiag.config.project_file import parse_settings, read_settings
from mahtdiag.config.settings import Settings, settings_from_options
from mahtdiag.errors import UsageError

PathLike = str | os.PathLike[str]


class EvaluateOptions(TypedDict, total=False):
    """What each means stands in `mahtdiag evaluate --help`, under its name with `--` and hyphens."""

    view: Literal["AP", "LA", "auto"]
    levels: str
    pixel_spacing: float
    patient: str
    subgroups: PathLike
    data_format: str
    complete_only: bool
    no_labels: bool
    missing_value: float
    labels2: PathLike
    spacing_from: str
    dicom_window: str
    exif: str
    image_timeout: float
    weights: str
    input_size: str | tuple[int, int]
    resize: str
    normalize: str
    channels: Literal[1, 3]
    interpolation: str
    channel_order: str
    full_scale: int | Literal["auto"]
    invert: bool
    flip: str
    stride: str | float
    heatmap_origin: str
    coords: Literal["half-pixel", "scale"]
    decode: str
    heatmap_sigma: float
    softargmax_beta: float
    preset: str
    output: str | Sequence[str]
    coords_frame: str
    keypoints: str
    uncertainty: str
    uncertainty_as: str
    uncertainty_frame: str
    recalibration: PathLike
    expected_error: bool
    device: str
    batch_size: int | Literal["auto"]
    workers: int
    precision: Literal["fp32", "bf16", "fp16"]
    overlays: str
    overlay_style: Literal["panel", "paper"]
    overlay_heatmaps: bool
    error_unit: str
    allow_failures: int
    accept: str | Sequence[str]
    strict_setup: bool


OPTIONS = tuple(EvaluateOptions.__annotations__)


def settings_of(
    data: PathLike, given: Mapping[str, object], config: PathLike | Mapping[str, object] | None
) -> Settings:
    """The settings of a file or a table, and the options over them.

    Raises UsageError, one line per problem, for a name that is no option and for a value that an option does
    not take.
    """
    unknown = [_unknown(name) for name in given if name not in OPTIONS]
    if unknown:
        raise UsageError(*unknown)
    said = {f"--{name.replace('_', '-')}": _as_typed(name, value) for name, value in given.items()}
    path_of(data, "data")
    asked = settings_from_options({**said, "DATA": os.fspath(data)})
    if config is None:
        return asked
    if isinstance(config, Mapping):
        return parse_settings(config, "config").overridden_by(asked)
    return read_settings(path_of(config, "config"), Path.cwd()).overridden_by(asked)


def _unknown(name: str) -> str:
    close = difflib.get_close_matches(name, OPTIONS, 1, 0.5)
    hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(OPTIONS)}"
    return f"evaluate has no option {name}; {hint}"


def _as_typed(name: str, value: object) -> object:
    """A value as the command line gives it."""
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if name == "input_size" and isinstance(value, tuple):
        return "x".join(map(str, value))
    if name in ("output", "accept") and isinstance(value, str):
        return [value]
    return [*value] if isinstance(value, tuple) else value
