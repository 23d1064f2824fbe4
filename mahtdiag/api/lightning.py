"""The monitor as a callback of Lightning, by either name of its package."""

import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Unpack

from torch import nn

from mahtdiag.api.loggers import imported, of_tensorboard, of_wandb
from mahtdiag.api.monitor import Monitor
from mahtdiag.api.options import EvaluateOptions, PathLike
from mahtdiag.workflows.evaluate.watching import WATCHED

_PACKAGES = ("lightning.pytorch", "pytorch_lightning")


def lightning_callback(
    data: PathLike,
    *,
    network: str | Callable[[Any], nn.Module] | None = None,
    report: PathLike | None = None,
    numbers: Sequence[str] = WATCHED,
    prefix: str = "mahtdiag/",
    images: int | None = None,
    every: int = 1,
    config: PathLike | Mapping[str, object] | None = None,
    **options: Unpack[EvaluateOptions],
) -> Any:
    """A callback for the trainer of `lightning`, or of `pytorch_lightning`.

    After each validation epoch (each training epoch, where the trainer validates nothing) it judges the set
    and logs the numbers by the module, so that every logger of the trainer has them, and `ModelCheckpoint`
    and `EarlyStopping` can watch one: `monitor="mahtdiag/radial_error_px.mean"`. What goes wrong ends no
    training, see `Monitor`, which explains the other arguments.

    Args:
        data: folder of the annotated validation set.
        network: name of the module's attribute that is the network, or a function of the module that gives
            it; None: the module itself.
        report: run folder for an evaluation in full when the training ends; its report is then given to the
            loggers of the trainer. None: no report.

    Raises:
        UsageError: neither package is installed, or what `Monitor` refuses.
    """
    loaded = [name for name in _PACKAGES if name in sys.modules]
    if not loaded:
        loaded = [next((name for name in _PACKAGES if _is_there(name)), _PACKAGES[0])]
    bases = tuple(imported(name, "lightning", "lightning_callback").Callback for name in loaded)
    monitor = Monitor(
        data, numbers=numbers, prefix=prefix, images=images, every=every, config=config, **options
    )
    # Where both packages are in use it is a callback of either.
    made = type("MahtdiagCallback", (_Hooks, *bases), {})
    return made(monitor, network, report)


def _is_there(package: str) -> bool:
    try:
        imported(package, "lightning", "")
    except Exception:  # a package that is there and broken is found where it is needed
        return False
    return True


class _Hooks:
    """What the trainer calls."""

    def __init__(
        self,
        monitor: Monitor,
        network: str | Callable[[Any], nn.Module] | None,
        report: PathLike | None,
    ) -> None:
        super().__init__()
        self.monitor, self._network, self._report = monitor, network, report

    def on_validation_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """Not before the training has begun, when the trainer only tries its validation."""
        if not trainer.sanity_checking and trainer.state.fn == "fit":
            self._check(trainer, pl_module)

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """Where the trainer validates nothing."""
        if not trainer.val_dataloaders:
            self._check(trainer, pl_module)

    def on_fit_end(self, trainer: Any, pl_module: Any) -> None:
        """The report, by one process alone."""
        if self._report is None or not trainer.is_global_zero:
            return
        run = self.monitor.finish(self._of(pl_module), self._report)
        if run is not None:
            page = run.path / "report.html"
            for logger in trainer.loggers:
                self.monitor.give(partial(_give, logger), page)

    def _check(self, trainer: Any, pl_module: Any) -> None:
        values = self.monitor.check(self._of(pl_module), trainer.current_epoch)
        if values:
            pl_module.log_dict(dict(values), on_step=False, on_epoch=True, batch_size=1)

    def _of(self, pl_module: Any) -> Any:
        if self._network is None:
            return pl_module
        return (
            getattr(pl_module, self._network) if isinstance(self._network, str) else self._network(pl_module)
        )


def _give(logger: Any, page: Path) -> None:
    """Give the report to one of Lightning's loggers, by what it is called; others have a folder."""
    match type(logger).__name__:
        case "MLFlowLogger":
            logger.experiment.log_artifact(logger.run_id, str(page), "mahtdiag")
        case "WandbLogger":
            of_wandb(logger.experiment, page)
        case "TensorBoardLogger":
            of_tensorboard(logger.experiment, Path(logger.log_dir), page)
        case _ if logger.log_dir:
            shutil.copy(page, Path(logger.log_dir) / page.name)
