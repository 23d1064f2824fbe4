"""The product's own checkpoints: a state dict beside a block of plain data that says how to run it."""

from collections.abc import Mapping
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

import torch
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PositiveFloat,
    PositiveInt,
    SerializerFunctionWrapHandler,
    ValidationError,
    field_validator,
    model_serializer,
    model_validator,
)
from safetensors.torch import save_file
from torch import nn

from mahtdiag.errors import CheckpointError, UsageError
from mahtdiag.models.checkpoint import Checkpoint
from mahtdiag.models.formats.native import METADATA_KEY, STATE_KEY
from mahtdiag.models.mahtnet import MahtNet, MahtNetConfig
from mahtdiag.models.tensor_files import SUFFIX
from mahtdiag.models.weights import check_weights, put_weights, select, tensors_of
from mahtdiag.schema.choices import DecodeMethod, UncertaintyFrame, UncertaintyKind
from mahtdiag.schema.frames import CoordinateConvention, Size
from mahtdiag.schema.model_spec import (
    LARGEST_INPUT,
    LARGEST_SIGMA,
    MOST_PIXELS_SAID,
    SMALLEST_SIGMA,
    Decoding,
    ModelInput,
    ModelSpec,
    UncertaintySpec,
)
from mahtdiag.schema.normalization import parse_normalization
from mahtdiag.schema.preprocessing import ChannelOrder, Flip, Interpolation, Resize
from mahtdiag.schema.safe_text import brief, brief_name
from mahtdiag.schema.skeleton import LUMBAR_SET, View, known_levels, skeleton_said

_USUAL_LEVELS: Final = ("levels", LUMBAR_SET)
LATER: Final = ("interpolation", "channel_order", "flip")
MOST_SAID: Final = 24
LONGEST_REASON: Final = 300
MOST_FIELDS: Final = 100
LONGEST_TEXT: Final = 400


class _Block(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class _Input(_Block):
    height: Annotated[PositiveInt, Field(le=LARGEST_INPUT)]
    width: Annotated[PositiveInt, Field(le=LARGEST_INPUT)]
    channels: Literal[1, 3]
    resize: str
    normalize: str
    coords: CoordinateConvention
    interpolation: Interpolation = Interpolation.AREA
    channel_order: ChannelOrder = ChannelOrder.RGB
    flip: Flip = Flip.NONE

    @model_serializer(mode="wrap")
    def _as_earlier(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without what earlier versions did not know, where it is what they did."""
        later = {name: field.default for name, field in type(self).model_fields.items() if name in LATER}
        return {name: value for name, value in write(self).items() if value != later.get(name)}

    @model_validator(mode="after")
    def _not_huge(self) -> Self:
        if self.height * self.width > MOST_PIXELS_SAID:
            size = f"{self.height} x {self.width}"
            raise ValueError(f"{size} pixels, at most {MOST_PIXELS_SAID:,} are taken")
        return self

    @field_validator("resize")
    @classmethod
    def _a_resize(cls, text: str) -> str:
        return str(Resize.parse(text))

    @field_validator("normalize")
    @classmethod
    def _known(cls, text: str) -> str:
        try:
            parse_normalization(text)
        except UsageError as error:
            raise ValueError(str(error)) from None
        return text


class _Decode(_Block):
    method: DecodeMethod
    softargmax_beta: PositiveFloat


class _Outputs(_Block):
    heatmaps: Literal[True] = True
    uncertainty: UncertaintyKind | None
    uncertainty_frame: UncertaintyFrame


class CheckpointMetadata(_Block):
    """The block under `mahtdiag` in a checkpoint: plain data, readable with `weights_only=True`."""

    format: Literal[1] = 1
    architecture: Literal["mahtnet"] = "mahtnet"
    config: dict[str, str | int | float]
    view: View
    levels: Annotated[str, AfterValidator(known_levels)] = LUMBAR_SET
    input: _Input
    heatmap_sigma: Annotated[PositiveFloat, Field(ge=SMALLEST_SIGMA, le=LARGEST_SIGMA)]
    decode: _Decode
    outputs: _Outputs

    @model_validator(mode="after")
    def _agree(self) -> Self:
        """The network's own configuration repeats two of the fields; it must not contradict them."""
        said = {"view": str(self.view), "levels": self.levels, "in_channels": self.input.channels}
        for name, value in said.items():
            if self.config.get(name, LUMBAR_SET if name == "levels" else value) != value:
                there = self.config.get(name, LUMBAR_SET)
                raise ValueError(f"config.{name} is {there}, the rest of the block says {value}")
        return self

    @model_serializer(mode="wrap")
    def _as_earlier(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without the levels where they are those that earlier versions know."""
        return {name: value for name, value in write(self).items() if (name, value) != _USUAL_LEVELS}

    @property
    def spec(self) -> ModelSpec:
        """What the network takes in and gives out."""
        return ModelSpec(
            skeleton=skeleton_said(self.view, self.levels),
            input=ModelInput(
                size=Size(self.input.height, self.input.width),
                channels=self.input.channels,
                resize=Resize.parse(self.input.resize),
                normalization=parse_normalization(self.input.normalize),
                convention=self.input.coords,
                interpolation=self.input.interpolation,
                channel_order=self.input.channel_order,
                flip=self.input.flip,
            ),
            decoding=Decoding(self.heatmap_sigma, self.decode.method, self.decode.softargmax_beta),
            uncertainty=UncertaintySpec(kind=self.outputs.uncertainty, frame=self.outputs.uncertainty_frame),
        )


def metadata_of(network: MahtNet, spec: ModelSpec) -> CheckpointMetadata:
    """The block that describes this network and this specification."""
    return CheckpointMetadata.model_validate(
        {
            "config": {
                name: value
                for name, value in asdict(network.config).items()
                if (name, value) != _USUAL_LEVELS
            },
            "view": spec.view,
            "levels": network.config.levels,
            "input": {
                "height": spec.input.size.height,
                "width": spec.input.size.width,
                "channels": spec.input.channels,
                "resize": str(spec.input.resize),
                "normalize": spec.input.normalization.name,
                "coords": spec.input.convention,
                "interpolation": spec.input.interpolation,
                "channel_order": spec.input.channel_order,
                "flip": spec.input.flip,
            },
            "heatmap_sigma": spec.decoding.heatmap_sigma,
            "decode": {"method": spec.decoding.method, "softargmax_beta": spec.decoding.softargmax_beta},
            "outputs": {"uncertainty": spec.uncertainty.kind, "uncertainty_frame": spec.uncertainty.frame},
        }
    )


def save_checkpoint(path: Path, network: MahtNet, spec: ModelSpec) -> None:
    """Write a checkpoint that `mahtdiag evaluate` needs no options for.

    A path that ends in `.safetensors` becomes such a file, with the block as JSON in its header.
    """
    metadata = metadata_of(network, spec)
    state = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == SUFFIX:
        # Copies: the format takes no two names for the same numbers.
        copies = {name: tensor.clone() for name, tensor in state.items()}
        save_file(copies, path, {METADATA_KEY: metadata.model_dump_json()})
    else:
        torch.save({METADATA_KEY: metadata.model_dump(mode="json"), STATE_KEY: state}, path)


def read_metadata(block: Any, where: str) -> CheckpointMetadata:
    """Validate a metadata block; CheckpointError names the fields that are wrong, `MOST_SAID` of them."""
    _require_short(block, where)
    try:
        return CheckpointMetadata.model_validate(block)
    except ValidationError as error:
        wrong = error.errors(include_url=False, include_input=False)
        lines = [
            f"{where}: metadata field {brief_name('.'.join(map(str, e['loc']))) or METADATA_KEY}: "
            + brief(e["msg"].removeprefix("Value error, "), LONGEST_REASON)
            for e in wrong[:MOST_SAID]
        ]
        lines += [f"{where}: {len(wrong) - MOST_SAID} more wrong fields"] if len(wrong) > MOST_SAID else []
        raise CheckpointError(*lines) from None


def _require_short(block: Any, where: str) -> None:
    """Raise CheckpointError for a block of more or longer fields than one has."""
    parts = [block, *islice(block.values(), MOST_FIELDS)] if isinstance(block, Mapping) else []
    for part in parts:
        values = [*islice(part, MOST_FIELDS + 1)] if isinstance(part, Mapping) else []
        values += islice(part.values(), MOST_FIELDS) if isinstance(part, Mapping) else [part]
        longest = max((len(value) for value in values if isinstance(value, str | bytes)), default=0)
        if len(values) > 2 * MOST_FIELDS or longest > LONGEST_TEXT:
            raise CheckpointError(
                f"{where}: metadata {METADATA_KEY}: more than {MOST_FIELDS} fields or a text of more than "
                f"{LONGEST_TEXT} letters; save the checkpoint again"
            )


def network_of(block: Any, state: object, checkpoint: Checkpoint) -> nn.Module:
    """The built-in network that a metadata block describes, with these weights. Raises CheckpointError."""
    path, where = checkpoint.path, str(checkpoint.path)
    metadata = read_metadata(block, where)
    if not isinstance(state, Mapping):
        raise CheckpointError(f"{where}: metadata without {STATE_KEY}; save the checkpoint again")
    weights = tensors_of(state)
    # What the file says about its size is compared with its weights before it may cost memory.
    outline = build_network(metadata, where, outline=True)
    check_weights(outline, select(weights, outline.state_dict(), path), path)
    network = build_network(metadata, where)
    checkpoint.told.notes += put_weights(weights, network, path).notes(path)
    return network


def build_network(metadata: CheckpointMetadata, where: str, *, outline: bool = False) -> nn.Module:
    """The network that the metadata describes, without its weights; an outline takes no memory for them."""
    try:
        with torch.device("meta" if outline else "cpu"):
            return MahtNet(MahtNetConfig.from_dict(dict(metadata.config)))
    except (TypeError, ValueError, RuntimeError) as error:  # the last where memory does not suffice
        said = brief(str(error), LONGEST_REASON)
        raise CheckpointError(f"{where}: metadata field config: {said}") from None
