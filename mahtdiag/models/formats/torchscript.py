"""TorchScript archives: a network with its weights and its code."""

import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING

from mahtdiag.errors import CheckpointError
from mahtdiag.models.checkpoint import Checkpoint, CheckpointFormat
from mahtdiag.schema.checkpoint_file import CheckpointFacts

if TYPE_CHECKING:
    from torch import nn


UNKNOWN = "Unknown builtin op"
"""What torch says first of an operation that it does not have."""


class TorchScript(CheckpointFormat):
    """The format (see `CheckpointFormat`)."""

    name = "torchscript"
    title = "TorchScript archive"
    carries_code = True
    is_whole = True
    dropout_advice = "save it with torch.jit.script, neither traced nor frozen"

    def recognises(self, checkpoint: Checkpoint) -> bool:
        """By the files in the archive, none of which is opened."""
        names = checkpoint.members
        has_code = "constants.pkl" in names and any(name.startswith("code/") for name in names)
        return has_code and not checkpoint.is_exported

    def inspect(self, checkpoint: Checkpoint) -> None:
        """It says nothing of the network's input."""

    def facts(self, checkpoint: Checkpoint) -> CheckpointFacts:
        """Of its weights and what lies beside them."""
        from mahtdiag.models.facts import facts_of_script
        from mahtdiag.models.foreign import read_foreign
        from mahtdiag.models.pickled import PickleError

        try:
            found = read_foreign(checkpoint.path)
        except PickleError:
            return CheckpointFacts(notes=("its weights cannot be told without running it",))
        return facts_of_script(found.content, checkpoint.path, found.classes)

    def load(self, checkpoint: Checkpoint) -> "nn.Module":
        """Runs what the archive carries."""
        import torch

        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)
                load: Callable[..., nn.Module] = torch.jit.load
                return load(str(checkpoint.path), map_location="cpu")
        except Exception as error:  # torch raises RuntimeError and others for damaged archives
            lines = [line.strip() for line in str(error).splitlines() if line.strip()]
            first = lines[0].split(". ")[0].rstrip(".") if lines else type(error).__name__
            if first.startswith(UNKNOWN):
                raise CheckpointError(
                    f"{checkpoint.path}: this TorchScript archive needs another version of torch than "
                    f"{torch.__version__} ({first}): install the one that saved it, or save it again"
                ) from None
            raise CheckpointError(f"{checkpoint.path}: damaged TorchScript archive ({first})") from None
