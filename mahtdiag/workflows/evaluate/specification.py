"""What a network takes in and gives out: options first, then the checkpoint's metadata, never a guess."""

from collections.abc import Sequence
from dataclasses import replace

from mahtdiag.config.settings import ModelSettings
from mahtdiag.data.files import ViewEvidence
from mahtdiag.errors import ModelOutputError, UsageError
from mahtdiag.schema.choices import DecodeMethod, UncertaintyFrame, UncertaintySource
from mahtdiag.schema.frames import CoordinateConvention, ResizeMode
from mahtdiag.schema.model_spec import (
    Decoding,
    McDropout,
    ModelInput,
    ModelSpec,
    UncertaintySpec,
    parse_normalization,
)
from mahtdiag.schema.records import ModelOutputs
from mahtdiag.schema.skeleton import AP, LA, Skeleton, View, skeleton_with

DEFAULT_DECODE = DecodeMethod.DARK
DEFAULT_BETA = 1.0


def resolve_input(settings: ModelSettings, metadata: ModelSpec | None) -> ModelInput:
    """The network's input; UsageError names every option that is needed and not given."""
    known = metadata.input if metadata else None
    size = settings.input_size or (known.size if known else None)
    channels = settings.channels or (known.channels if known else None)
    named = settings.normalize or (known.normalization.name if known else None)
    sigma = settings.heatmap_sigma or (metadata.decoding.heatmap_sigma if metadata else None)
    needed = (
        ("--input-size HxW", size),
        ("--channels 1|3", channels),
        ("--normalize unit|imagenet|MEAN/STD", named),
        ("--heatmap-sigma PX (σ of the training heatmaps, in cells)", sigma),
    )
    missing = [option for option, value in needed if value is None]
    if missing or size is None or channels is None or named is None:
        raise UsageError(f"the checkpoint does not describe its network; please give {', '.join(missing)}")
    normalization = parse_normalization(named)
    if len(normalization.mean) not in (1, channels):
        raise UsageError(
            f"--normalize {named} is for {len(normalization.mean)} channels, the network takes {channels}"
        )
    return ModelInput(
        size=size,
        channels=channels,
        resize=settings.resize or (known.resize if known else ResizeMode.STRETCH),
        normalization=normalization,
        convention=settings.coords or (known.convention if known else CoordinateConvention.HALF_PIXEL),
    )


def resolve_spec(
    settings: ModelSettings,
    metadata: ModelSpec | None,
    network_input: ModelInput,
    skeleton: Skeleton,
    outputs: ModelOutputs,
) -> ModelSpec:
    """The whole specification, once a first forward pass has shown what the network returns."""
    sigma = settings.heatmap_sigma or (metadata.decoding.heatmap_sigma if metadata else None)
    if sigma is None:
        raise UsageError("please give --heatmap-sigma")
    decoding = Decoding(
        heatmap_sigma=sigma,
        method=settings.decode or (metadata.decoding.method if metadata else DEFAULT_DECODE),
        softargmax_beta=settings.softargmax_beta
        or (metadata.decoding.softargmax_beta if metadata else DEFAULT_BETA),
        own_coords=outputs.coords is not None and settings.decode is None and metadata is None,
    )
    return ModelSpec(skeleton, network_input, decoding, _uncertainty(settings, metadata, outputs))


def _uncertainty(
    settings: ModelSettings, metadata: ModelSpec | None, outputs: ModelOutputs
) -> UncertaintySpec:
    known, asked = metadata.uncertainty if metadata else UncertaintySpec(), settings.uncertainty
    spec = UncertaintySpec(
        source=UncertaintySource.AUTO if isinstance(asked, McDropout) else asked or known.source,
        kind=settings.uncertainty_as or known.kind or outputs.uncertainty_kind,
        frame=settings.uncertainty_frame or (known.frame if metadata else UncertaintyFrame.INPUT),
    )
    if spec.source is UncertaintySource.HEAD and outputs.uncertainty is None:
        raise UsageError(
            "--uncertainty head: the network returns no log_sigma, sigma, uncertainty or log_var; "
            "use --uncertainty heatmap or none"
        )
    if spec.source is UncertaintySource.AUTO and outputs.uncertainty is None:
        return replace(spec, source=UncertaintySource.NONE)
    return spec


def settle_view(evidence: Sequence[ViewEvidence]) -> View:
    """The one view that all evidence agrees on; UsageError lists who says what if it does not."""
    views = {item.view for item in evidence}
    if len(views) == 1:
        return views.pop()
    if not views:
        raise UsageError("nothing tells which view this is; give --view AP or --view LA")
    said = ", ".join(f"{item.view} by {item.source}" for item in evidence)
    raise UsageError(f"the view is unclear: {said}; give data and a checkpoint of one view")


def skeleton_of_heatmaps(keypoints: int) -> Skeleton:
    """The skeleton with as many keypoints as the network has heatmaps; ModelOutputError if there is none."""
    skeleton = skeleton_with(keypoints)
    if skeleton is None:
        raise ModelOutputError(
            f"the network returns {keypoints} heatmaps; an AP network has {AP.keypoints} (L1–L5), an LA "
            f"network {LA.keypoints} (L1–L5 and S1)"
        )
    return skeleton
