"""How a network is shown its images: options first, then what its checkpoint says, then the usual way."""

from dataclasses import replace

from mahtdiag.config.settings import ModelSettings
from mahtdiag.schema.model_spec import ModelInput


def input_as_said(asked: ModelSettings, known: ModelInput | None, settled: ModelInput) -> ModelInput:
    """The input whose size, channels and normalisation are `settled`, with everything else that is said."""
    usual = settled if known is None else known
    return replace(
        settled,
        resize=asked.resize or usual.resize,
        convention=asked.coords or usual.convention,
        interpolation=asked.interpolation or usual.interpolation,
        channel_order=asked.channel_order or usual.channel_order,
        full_scale=asked.full_scale if isinstance(asked.full_scale, int) else None,
        invert=bool(asked.invert),
        flip=asked.flip or usual.flip,
    )
