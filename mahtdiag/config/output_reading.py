"""How a network's outputs are read, once a first forward pass has shown what it returns: never a guess."""

import math
from collections.abc import Sequence
from dataclasses import replace

from mahtdiag.config.settings import ModelSettings
from mahtdiag.errors import UsageError
from mahtdiag.schema.choices import DecodeMethod, UncertaintyFrame, UncertaintyKind, UncertaintySource
from mahtdiag.schema.model_spec import Decoding, McDropout, ModelInput, ModelSpec, UncertaintySpec
from mahtdiag.schema.output_spec import CoordsFrame, OutputSpec
from mahtdiag.schema.records import ModelOutputs
from mahtdiag.schema.skeleton import Skeleton

HEAD = (UncertaintySource.AUTO, UncertaintySource.HEAD)
DEFAULT_DECODE = DecodeMethod.DARK
DEFAULT_BETA = 1.0
HEATMAP_SIGMA = "--heatmap-sigma PX (σ of the training heatmaps, in cells)"


def coords_frame(settings: ModelSettings, said: OutputSpec, returned: ModelOutputs) -> CoordsFrame:
    """What the network's coordinates count; UsageError where that is said twice, or cannot be."""
    option, detail = settings.coords_frame, said.coords_frame
    if option is not None and detail is not None and option is not detail:
        raise UsageError(f"--coords-frame {option} and --output coords=…,frame={detail}: leave one out")
    frame = option or detail or CoordsFrame.INPUT
    if option is not None and returned.coords is None:
        raise UsageError(
            f"--coords-frame {frame}: the network returns no coordinates; name them: --output coords=PATH"
        )
    if frame is CoordsFrame.CELLS and returned.grid is None:
        raise UsageError(
            f"--coords-frame {frame}: the network returns no heatmaps, so that there are no cells"
        )
    return frame


def resolve_spec(
    settings: ModelSettings,
    metadata: ModelSpec | None,
    network_input: ModelInput,
    skeleton: Skeleton,
    outputs: ModelOutputs,
) -> ModelSpec:
    """The whole specification, once a first forward pass has shown what the network returns."""
    sigma = settings.heatmap_sigma or (metadata.decoding.heatmap_sigma if metadata else None)
    if outputs.heatmaps is None:
        _refuse_of_heatmaps(settings)
        sigma = math.nan
    if sigma is None:
        raise UsageError(f"the checkpoint does not describe its network; please give {HEATMAP_SIGMA}")
    own = outputs.coords is not None and settings.decode is None and metadata is None
    said = settings.outputs or OutputSpec()
    original = CoordsFrame.ORIGINAL in (settings.coords_frame, said.coords_frame)
    decoding = Decoding(
        heatmap_sigma=sigma,
        method=settings.decode or (metadata.decoding.method if metadata else DEFAULT_DECODE),
        softargmax_beta=settings.softargmax_beta
        or (metadata.decoding.softargmax_beta if metadata else DEFAULT_BETA),
        own_coords=own or outputs.heatmaps is None,
        original_coords=original,
    )
    return ModelSpec(skeleton, network_input, decoding, _uncertainty(settings, metadata, outputs))


def _refuse_of_heatmaps(settings: ModelSettings) -> None:
    """UsageError for options that need heatmaps, where a network gives coordinates alone."""
    asked = settings.uncertainty
    wrong = [
        option
        for option, is_said in (
            (f"--decode {settings.decode}", settings.decode is not None),
            ("--softargmax-beta", settings.softargmax_beta is not None),
            ("--uncertainty heatmap", asked is UncertaintySource.HEATMAP),
            ("--uncertainty-frame heatmap", settings.uncertainty_frame is UncertaintyFrame.HEATMAP),
        )
        if is_said
    ]
    if wrong:
        raise UsageError(f"{', '.join(wrong)}: the network returns coordinates and no heatmaps; leave it out")


def _uncertainty(
    settings: ModelSettings, metadata: ModelSpec | None, outputs: ModelOutputs
) -> UncertaintySpec:
    known, asked = metadata.uncertainty if metadata else UncertaintySpec(), settings.uncertainty
    kind, said = settings.uncertainty_as, settings.outputs.uncertainty_kind if settings.outputs else None
    if kind is not None and said is not None and kind is not said:
        raise UsageError(f"--uncertainty-as {kind} and --output says {said}: leave one out")
    spec = UncertaintySpec(
        source=UncertaintySource.AUTO if isinstance(asked, McDropout) else asked or known.source,
        kind=kind or said or known.kind or outputs.uncertainty_kind,
        frame=settings.uncertainty_frame or (known.frame if metadata else UncertaintyFrame.INPUT),
    )
    if spec.source is UncertaintySource.HEAD and outputs.uncertainty is None:
        raise UsageError(
            "--uncertainty head: the network returns no log_sigma, sigma, uncertainty or log_var; "
            "use --uncertainty heatmap or none"
        )
    if spec.source is UncertaintySource.AUTO and outputs.uncertainty is None:
        return replace(spec, source=UncertaintySource.NONE)
    if spec.source in HEAD and outputs.uncertainty is not None:
        _require_form(spec, outputs.uncertainty.shape)
    return spec


def _require_form(spec: UncertaintySpec, shape: Sequence[int]) -> None:
    """UsageError where covariances are read as something else, or something else as covariances."""
    is_covariance = len(shape) == 4 or (len(shape) == 3 and shape[-1] == 3)
    if is_covariance and spec.kind is not UncertaintyKind.COV:
        raise UsageError(
            f"the network's uncertainty is {list(shape)}, a covariance of each keypoint, and would be read "
            f"as {spec.kind}; add --uncertainty-as cov, or --uncertainty none"
        )
    if spec.kind is UncertaintyKind.COV and not is_covariance:
        raise UsageError(
            f"--uncertainty-as cov: the network's uncertainty is {list(shape)}, not (xx, xy, yy) [B,K,3] or "
            "matrices [B,K,2,2]; use log_sigma, sigma, log_var or var"
        )
