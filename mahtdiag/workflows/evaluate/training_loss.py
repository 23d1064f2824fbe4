"""The loss that a network was trained with, as the configuration and `run.json` have it."""

from collections.abc import Mapping

from mahtdiag.config.settings import LossSettings
from mahtdiag.errors import UsageError
from mahtdiag.losses import MAHTNetLoss
from mahtdiag.runs.document import RunDocument
from mahtdiag.schema.skeleton import Skeleton, View

SECTION = "loss"


def loss_of(settings: LossSettings, view: View | Skeleton) -> MAHTNetLoss:
    """The loss with the parameters of `[loss]`, a value per image; UsageError where they do not agree."""
    try:
        return MAHTNetLoss(view=view, reduction="none", **settings.model_dump(exclude_none=True))
    except ValueError as error:
        raise UsageError(f"[{SECTION}]: {error}") from None


def stored_loss(document: RunDocument) -> MAHTNetLoss:
    """The loss that a run was judged by; the published one where its document does not say."""
    stored = document.settings.get(SECTION)
    settings = LossSettings.model_validate(stored) if isinstance(stored, Mapping) else LossSettings()
    return loss_of(settings, document.view)
