"""The loggers of three libraries, each an extra: numbers by step, and a report as a file."""

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, TypeVar

from mahtdiag.errors import UsageError

Log = Callable[[Mapping[str, float], int], object]
LoggerName = Literal["tensorboard", "mlflow", "wandb"]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Sink:
    """Where numbers and the report go."""

    log: Log
    artifact: Callable[[Path], object]


EXPECTED_LOGGER = "expected tensorboard, mlflow, wandb, or a function of numbers and step"


def logger_named(name: str) -> Sink:
    """The logger of a library. Raises UsageError that names the extra where it is not installed."""
    if name not in _SINKS:
        raise UsageError(f"log={name!r}: {EXPECTED_LOGGER}")
    return _SINKS[name]()


def imported(module: str, extra: str, needed: str) -> Any:
    """An optional library. Raises UsageError that names the extra where it is not installed."""
    try:
        return import_module(module)
    except ImportError:
        raise UsageError(f"{needed} needs {extra}: pip install 'mahtdiag[{extra}]'") from None


def _tensorboard() -> Sink:
    imported("tensorboard", "tensorboard", "log='tensorboard'")
    # Its own default, runs/, is where run folders lie.
    writer = import_module("torch.utils.tensorboard").SummaryWriter("tensorboard")

    def log(values: Mapping[str, float], step: int) -> None:
        for name, value in values.items():
            writer.add_scalar(name, value, step)
        writer.flush()

    return Sink(log, lambda page: of_tensorboard(writer, Path(writer.log_dir), page))


def of_tensorboard(writer: Any, folder: Path, page: Path) -> None:
    """TensorBoard shows no pages: it lies beside the events, and a text says where."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(page, folder / page.name)
    writer.add_text("mahtdiag/report", str(folder / page.name))
    writer.flush()


def _mlflow() -> Sink:
    mlflow = imported("mlflow", "mlflow", "log='mlflow'")
    return Sink(
        lambda values, step: mlflow.log_metrics(dict(values), step=step),
        lambda page: mlflow.log_artifact(str(page), "mahtdiag"),
    )


def _wandb() -> Sink:
    wandb = imported("wandb", "wandb", "log='wandb'")

    def log(values: Mapping[str, float], step: int) -> None:
        # Steps of W&B only grow, and others may have logged at a later one: the epoch is a number beside.
        wandb.log({**values, "mahtdiag/step": step})

    return Sink(log, lambda page: of_wandb(wandb.run, page))


def of_wandb(run: Any, page: Path) -> None:
    """The report as an artifact of a run of W&B."""
    artifact = imported("wandb", "wandb", "its report").Artifact(f"mahtdiag-{run.id}", type="report")
    artifact.add_file(str(page))
    run.log_artifact(artifact)


_SINKS: Mapping[str, Callable[[], Sink]] = {
    "tensorboard": _tensorboard,
    "mlflow": _mlflow,
    "wandb": _wandb,
}
