"""A validation set watched while a network is trained: `mahtdiag.Monitor`, and the callback of Lightning."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Unpack

from torch import nn

from mahtdiag.api.evaluating import evaluate
from mahtdiag.api.loggers import EXPECTED_LOGGER, Log, LoggerName, logger_named
from mahtdiag.api.options import EvaluateOptions, PathLike, settings_of
from mahtdiag.api.run import Run
from mahtdiag.config.settings import Settings
from mahtdiag.diagnosis.metrics.registry import metric_of, nearest_name
from mahtdiag.errors import UsageError
from mahtdiag.models.in_memory import as_network, lent, place_of
from mahtdiag.workflows.evaluate.watching import WATCHED, Watch, values_of

_SAID = logging.getLogger("mahtdiag")


class Monitor:
    """Judges a validation set as often as `check` is called, in the loop that trains a network.

    Nothing that goes wrong with the set, the network or the logger ends the training: it is a warning of the
    logger `mahtdiag` of Python's `logging`, each fault once. Images are read once and stay in memory.
    """

    def __init__(
        self,
        data: PathLike,
        *,
        log: Log | LoggerName | None = None,
        numbers: Sequence[str] = WATCHED,
        prefix: str = "mahtdiag/",
        images: int | None = None,
        every: int = 1,
        config: PathLike | Mapping[str, object] | None = None,
        **options: Unpack[EvaluateOptions],
    ) -> None:
        """A monitor of one set.

        Args:
            data: folder of the annotated validation set.
            log: is called with the numbers by name and the step, like `wandb.log` and `mlflow.log_metrics`;
                or `tensorboard`, `mlflow` or `wandb` for the one of that library.
            numbers: names of numbers as in `run.json`; those that the set does not tell are left out.
            prefix: what stands before the names.
            images: so many images of the set, evenly spaced, always the same; None: all.
            every: only every so many calls of `check` judge.
            config: as `mahtdiag.evaluate` takes it.
            **options: as `mahtdiag.evaluate` takes them.

        Raises:
            UsageError: an option, a number or a logger that there is not.
        """
        for name, value in (("images", images), ("every", every)):
            if value is not None and value < 1:
                raise UsageError(f"{name}={value}: give 1 or more")
        wrong = [name for name in numbers if metric_of(name) is None]
        if wrong:
            near = nearest_name(wrong[0])
            raise UsageError(f"no number {wrong[0]!r}{f'; did you mean {near}?' if near else ''}")
        self._data, self._options, self._config = data, options, config
        self._settings = settings_of(data, options, config)
        self._numbers, self._prefix, self._images, self._every = tuple(numbers), prefix, images, every
        self._sink, self._log = None, None
        if isinstance(log, str):
            self._sink = logger_named(log)
            self._log = self._sink.log
        elif log is not None and not callable(log):
            raise UsageError(f"log={log!r}: {EXPECTED_LOGGER}")
        else:
            self._log = log
        self._watch: Watch | None = None
        self._told: set[str] = set()
        self._calls = 0
        self.seconds = 0.0
        """How long all checks together took."""

    def check(self, model: nn.Module | Callable[..., object], step: int) -> Mapping[str, float]:
        """Judge the set by the network as it is now, log what it says, and return it by prefix and name.

        The network is in evaluation mode meanwhile, and afterwards as it was. Nothing is returned where
        something went wrong, and for calls between those that `every` names.
        """
        self._calls += 1
        if (self._calls - 1) % self._every:
            return {}
        begun = time.perf_counter()
        try:
            found = self._values(as_network(model))
        except Exception as error:  # whatever the user's network raises, training goes on
            self._fault(error, "the validation set was not judged")
            return {}
        finally:
            self.seconds += time.perf_counter() - begun
        if self._log is not None:
            try:
                self._log(found, step)
            except Exception as error:  # whatever the user's logger raises
                self._fault(error, "the numbers were not logged")
        return found

    def finish(self, model: nn.Module | Callable[..., object], out: PathLike) -> Run | None:
        """Evaluate the set in full into the run folder `out`, write its report, and give it to the logger.

        None, and a warning, where that cannot be done. The report is `report.html` in the run folder.
        """
        try:
            run = evaluate(model, self._data, out=out, config=self._config, **self._options)
            page = run.report()
        except Exception as error:  # as in `check`
            self._fault(error, "no report was written")
            return None
        if self._sink is not None:
            self.give(self._sink.artifact, page)
        return run

    def give(self, take: Callable[[Path], object], page: Path) -> None:
        """Hand a file to a logger; one that fails is told."""
        try:
            take(page)
        except Exception as error:  # whatever the user's logger raises
            self._fault(error, f"{page} was not given to the logger")

    def _values(self, network: nn.Module) -> Mapping[str, float]:
        with lent(network):
            if self._watch is None or not self._watch.serves(network):
                self._watch = None
                self._watch = Watch(self._placed(network), network, self._images)
            table = self._watch.table()
        if table.failures:
            first = table.failures[0]
            self._tell(
                "failures",
                f"{len(table.failures)} images of {self._data} are left out; the first: {first.image}: "
                f"{first.reason}",
            )
        return {f"{self._prefix}{name}": value for name, value in values_of(table, self._numbers).items()}

    def _placed(self, network: nn.Module) -> Settings:
        """The settings, for the device that the network is on unless another is asked for."""
        asked = self._settings.evaluate
        if asked.device is not None:
            return self._settings
        device = str(place_of(network) or "cpu")
        return self._settings.model_copy(update={"evaluate": asked.model_copy(update={"device": device})})

    def _fault(self, error: Exception, what: str) -> None:
        said = " ".join(str(error).split()) or type(error).__name__
        self._tell(f"{what} {type(error).__name__}", f"{what}: {said}")

    def _tell(self, kind: str, text: str) -> None:
        """A warning, the first time that there is one of this kind."""
        if kind not in self._told:
            self._told.add(kind)
            _SAID.warning("%s; training goes on, and this is said once", text)
