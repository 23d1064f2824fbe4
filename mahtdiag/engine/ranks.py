"""Several processes on one evaluation, as `torchrun` starts them: who they are, what they tell one another.

No tensor passes between them: each reads, predicts and writes its own batches. What is told is text, in the
store by which `torchrun` brings its processes together, so that neither Gloo nor NCCL has to be opened.
"""

import math
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, wait
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from importlib import import_module
from threading import Thread
from typing import Any, Final, Protocol

from mahtdiag.errors import MahtdiagError, UsageError

VARIABLES: Final = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
POLL_SECONDS: Final = 0.05
LATE_SECONDS: Final = 3.0
MEETING: Final = timedelta(minutes=10)
"""So long a process waits for the others to start at all."""


class Store(Protocol):
    """A dictionary of texts that all processes see; what of `torch.distributed.Store` is used."""

    def set(self, key: str, value: str) -> None:
        """Tells the others."""

    def get(self, key: str) -> bytes:
        """What was told."""

    def add(self, key: str, amount: int) -> int:
        """Counts, and says how far."""

    def check(self, keys: list[str]) -> bool:
        """Whether all of these were told."""


@dataclass(frozen=True)
class Ranks:
    """This process among `world` that work on the same evaluation; `local` on the same machine."""

    rank: int
    world: int
    local_rank: int
    local_world: int
    store: Store

    @property
    def first(self) -> bool:
        """Whether this one merges, judges and prints."""
        return self.rank == 0

    def tell(self, name: str, text: str) -> None:
        """Says something under a name, once."""
        with _reached():
            self.store.set(f"{name}:{self.rank}", text)

    def told(self, name: str, rank: int = 0) -> str:
        """What a process says under a name; waits for it, and can be interrupted."""
        while not self.has_told(name, rank):
            time.sleep(POLL_SECONDS)
        with _reached():
            return self.store.get(f"{name}:{rank}").decode()

    def has_told(self, name: str, rank: int) -> bool:
        """Whether it has been said."""
        with _reached():
            return self.store.check([f"{name}:{rank}"])

    def told_by_all(self, name: str) -> list[str]:
        """What every process says under a name, by rank."""
        return [self.told(name, rank) for rank in range(self.world)]

    def count(self, images: int) -> int:
        """Adds to the images that are done, and says how many are, of all processes together."""
        with _reached():
            return self.store.add("done", images)


class StoreLostError(MahtdiagError):
    """The store of the processes is gone, and with it the one that keeps it: nobody is left to talk to."""


@contextmanager
def _reached() -> Iterator[None]:
    try:
        yield
    except RuntimeError:
        raise StoreLostError from None


def ranks_of(environment: Mapping[str, str], tell: Callable[[str], None] = lambda said: None) -> Ranks | None:
    """The process as the environment describes it; None where it is alone. `tell` hears of a long wait.

    Raises:
        UsageError: a number that is none, or the other processes cannot be reached.
    """
    if environment.get("WORLD_SIZE", "1") in ("", "1"):
        return None
    missing = [name for name in VARIABLES if not environment.get(name)]
    if missing:
        raise UsageError(
            f"WORLD_SIZE={environment['WORLD_SIZE']} without {', '.join(missing)}: one of several processes, "
            "and nothing says where the others are; start all of them with torchrun, or unset WORLD_SIZE"
        )
    rank, world, port = (_number(environment, name) for name in ("RANK", "WORLD_SIZE", "MASTER_PORT"))
    local_rank = _number(environment, "LOCAL_RANK", rank)
    local_world = _number(environment, "LOCAL_WORLD_SIZE", world)
    if not world:
        raise UsageError("WORLD_SIZE=0: no process at all; start them with torchrun, or unset WORLD_SIZE")
    if not rank < world:
        raise UsageError(f"RANK={rank}: of {world} processes the last is {world - 1}")
    # A process that ends is no news to the others: torchrun tells it, or the first one does.
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "FATAL")
    # Its stubs hide what its documentation offers.
    distributed: Any = import_module("torch.distributed")
    # The agent of torchrun has opened the store already; without one the first process does.
    opened = environment.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
    try:
        waiting = f"waiting for the other processes at {environment['MASTER_ADDR']}:{port}"
        store = _heard_meanwhile(
            lambda: tell(waiting),
            lambda: distributed.TCPStore(
                environment["MASTER_ADDR"], port, world, is_master=rank == 0 and not opened, timeout=MEETING
            ),
        )
    except (RuntimeError, OSError) as error:
        raise UsageError(
            f"MASTER_ADDR={environment['MASTER_ADDR']} MASTER_PORT={port}: the other processes cannot be "
            f"reached ({str(error).splitlines()[0]}); start all of them with torchrun"
        ) from None
    attempt = environment.get("TORCHELASTIC_RESTART_COUNT", "0")
    return Ranks(rank, world, local_rank, local_world, distributed.PrefixStore(f"mahtdiag:{attempt}", store))


def _heard_meanwhile(when_late: Callable[[], None], meet: Callable[[], Any]) -> Any:
    """What `meet` gives, from a thread: torch waits for others for minutes, and hears no Ctrl-C meanwhile."""
    met: Future[Any] = Future()

    def run() -> None:
        try:
            met.set_result(meet())
        except BaseException as error:
            met.set_exception(error)

    # A daemon: the command ends where this one would still wait.
    Thread(target=run, daemon=True).start()
    late = time.monotonic() + LATE_SECONDS
    while not met.done():
        wait((met,), POLL_SECONDS)
        if time.monotonic() > late:
            late = math.inf
            when_late()
    return met.result()


def _number(environment: Mapping[str, str], name: str, default: int | None = None) -> int:
    text = environment.get(name)
    if not text and default is not None:
        return default
    if text is None or not text.isdigit():
        raise UsageError(f"{name}={text}: not a number of a process; start all of them with torchrun")
    return int(text)


def shares_of(costs: Sequence[float], world: int) -> list[list[int]]:
    """Which of the batches each process takes, dear ones first to whoever has least; each in rising order.

    Longest processing time first: no share costs more than 4/3 − 1/(3 world) of the least that is possible
    (Graham, SIAM J Appl Math 17:416, 1969).
    """
    shares: list[list[int]] = [[] for _ in range(world)]
    loads = [0.0] * world
    for batch in sorted(range(len(costs)), key=lambda each: (-costs[each], each)):
        least = min(range(world), key=lambda rank: (loads[rank], rank))
        shares[least].append(batch)
        loads[least] += costs[batch]
    return [sorted(share) for share in shares]


def until_all(ranks: Ranks, name: str, meanwhile: Callable[[], None]) -> list[str]:
    """Waits until every process has said something under a name; calls `meanwhile` again and again."""
    while not all(ranks.has_told(name, rank) for rank in range(ranks.world)):
        meanwhile()
        time.sleep(POLL_SECONDS)
    meanwhile()
    return ranks.told_by_all(name)


def of_this_process(tell: Callable[[str], None]) -> Ranks | None:
    """The process as `torchrun` has started it; None where it is alone. `tell` hears of a long wait."""
    return ranks_of(os.environ, tell)
