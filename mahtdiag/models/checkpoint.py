"""A checkpoint file as it lies there, of which nothing is run, and what makes a format of such files."""

import hashlib
import pickle
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from mahtdiag.errors import CheckpointError
from mahtdiag.opening import open_file
from mahtdiag.schema.checkpoint_file import CheckpointFacts, InputFact
from mahtdiag.schema.model_spec import ModelSpec

if TYPE_CHECKING:
    from torch import nn

    from mahtdiag.models.onnx_files import Graph


# The format, in `run.json`, of a network that lies in no file.
IN_MEMORY = "memory"
LFS_POINTER = b"version https://git-lfs.github.com/spec/"


@dataclass(slots=True)
class Told:
    """What a format has to tell of the weights that it loaded: which they are, and what was not read.

    `classes`: those that a pickle names, whose objects were read as data. `read_by_factory`: the user's
    function reads the file itself.
    """

    weights: str | None = None
    classes: tuple[str, ...] = ()
    notes: list[str] = field(default_factory=list)
    read_by_factory: bool = False


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint to load; `factory` names the user's function that builds its network, if there is one.

    `weights`: which of several sets of weights is asked for; `args`: keywords for the factory. `told` is
    filled in as it is loaded.
    Everything is read when it is first asked for, and raises CheckpointError where it cannot be.
    """

    path: Path
    factory: str | None = None
    weights: str | None = None
    args: Mapping[str, Any] = field(default_factory=dict)
    told: Told = field(default_factory=Told, compare=False)

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of the file; an error if it cannot be read, is empty, or only points to the file."""
        return self._sha256_of(self.path)

    def require_readable(self) -> None:
        """Raise CheckpointError for a file that cannot be read, is empty, or only points to the file."""
        assert self.sha256

    def sha256_with(self, files: Sequence[Path]) -> str:
        """SHA-256 of the file; where others belong to it, of all their digests."""
        if not files:
            return self.sha256
        digests = [self.sha256, *map(self._sha256_of, files)]
        return hashlib.sha256("\n".join(digests).encode()).hexdigest()

    @staticmethod
    def _sha256_of(path: Path) -> str:
        try:
            with open_file(path) as file:
                first = file.read(len(LFS_POINTER))
                file.seek(0)
                digest = hashlib.file_digest(file, "sha256")
                if not file.tell():
                    raise CheckpointError(f"{path}: the checkpoint is empty")
                if first == LFS_POINTER:
                    raise CheckpointError(
                        f"{path}: a Git LFS pointer, not the file itself; fetch it with git lfs pull"
                    )
        except FileNotFoundError:
            raise CheckpointError(f"{path}: no such checkpoint") from None
        except OSError as error:
            reason = f"cannot be read ({error.strerror}); give a checkpoint file"
            raise CheckpointError(f"{path}: {reason}") from None
        return digest.hexdigest()

    @cached_property
    def members(self) -> tuple[str, ...]:
        """Names of the files in a ZIP archive, without torch's own folder; empty for another file."""
        from mahtdiag.models.archives import names_in
        from mahtdiag.models.pickled import LimitError

        try:
            return tuple(name.split("/", 1)[-1] for name in names_in(self.path))
        except LimitError as error:
            raise CheckpointError(f"{self.path}: refused: {error}") from None
        except Exception:  # zipfile raises UnicodeDecodeError and others for a damaged directory
            raise CheckpointError(f"{self.path}: damaged or truncated; copy or save it again") from None

    @cached_property
    def graph(self) -> "Graph":
        """What an ONNX file declares."""
        from mahtdiag.models.onnx_files import read_graph

        return read_graph(self.path)

    @property
    def is_torch(self) -> bool:
        """Whether it begins like a file of `torch.save`, a ZIP archive or a pickle."""
        with open_file(self.path) as file:
            first = file.read(1)
        return first == b"\x80" or "data.pkl" in self.members

    @property
    def is_exported(self) -> bool:
        """Whether this is an archive of torch.export, which carries code."""
        known = ("archive_format", "serialized_exported_program.json")
        return any(name.startswith("models/") or name in known for name in self.members)

    @cached_property
    def content(self) -> Any:
        """Tensors and plain data, read with `weights_only=True`, or as data of which nothing is run."""
        from mahtdiag.models.foreign import surveyed
        from mahtdiag.models.pickled import LimitError, PickleError

        if self.is_exported:
            raise CheckpointError(
                f"{self.path}: a torch.export archive; save a state dict or TorchScript instead"
            )
        damaged = f"{self.path}: not a PyTorch checkpoint, or damaged or truncated"
        try:
            survey = surveyed(self.path)
            found = self._as_torch_reads() if survey.is_for_torch else None
            if found is None:
                read = survey.content()
                self.told.classes, found = read.classes, read.content
        except LimitError as error:
            raise CheckpointError(f"{self.path}: refused: {error}") from None
        except PickleError:
            raise CheckpointError(damaged) from None
        return found

    def _as_torch_reads(self) -> Any:
        """Tensors and plain data; None where torch leaves it to a reader of more."""
        import torch

        try:
            with warnings.catch_warnings():
                # torch warns about pickles that it refuses in the next moment.
                warnings.simplefilter("ignore", UserWarning)
                with open_file(self.path) as file:  # of a path, torch looks at the name too
                    return torch.load(file, map_location="cpu", weights_only=True)
        except pickle.UnpicklingError:
            return None
        except Exception as error:  # torch.load raises whatever a damaged file provokes
            damaged = "not a PyTorch checkpoint, or damaged or truncated"
            raise CheckpointError(f"{self.path}: {damaged} ({type(error).__name__})") from None


class CheckpointFormat(Protocol):
    """How a checkpoint is stored; stateless.

    `name`: what `run.json` says as `checkpoint.format`, permanent. `title`: what messages call such a file,
    after "a". `carries_code`: the file itself is a program, which is opened only with `--trust`, takes no
    `--model`, and may not obey when dropout is switched on; `dropout_advice` says how to save it so that it
    does. `needs_factory`: a function of the user builds the network, which is to be trusted as well.
    `describes_itself`: the file says how its network is to be run. `is_whole`: it holds the network with its
    weights, and takes no `--model` but one that reads the file itself.
    """

    name: str
    title: str
    carries_code: bool = False
    needs_factory: bool = False
    describes_itself: bool = False
    is_whole: bool = False
    dropout_advice: str = ""

    def recognises(self, checkpoint: Checkpoint) -> bool:
        """Whether the file is of this format. Raises CheckpointError where it is too damaged to tell."""

    def files(self, checkpoint: Checkpoint) -> tuple[Path, ...]:
        """The files beside it that hold a part of it, which its digest covers. Raises CheckpointError."""
        return ()

    def inspect(self, checkpoint: Checkpoint) -> ModelSpec | None:
        """What the file says of its network, None if it says nothing; runs nothing that the file carries.

        Raises CheckpointError where it says something impossible.
        """

    def declared(self, checkpoint: Checkpoint) -> InputFact | None:
        """The tensor of images that a graph declares; None where the file tells none."""
        return None

    def facts(self, checkpoint: Checkpoint) -> CheckpointFacts:
        """What the file holds, told without running any of it. Raises CheckpointError where it is damaged."""
        return CheckpointFacts()

    def load(self, checkpoint: Checkpoint) -> "nn.Module":
        """The network with its weights, on the CPU. Raises CheckpointError or UsageError."""
