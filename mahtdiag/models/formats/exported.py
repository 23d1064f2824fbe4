"""Archives of torch.export, `.pt2`: a network as a program of torch."""

from typing import TYPE_CHECKING

from mahtdiag.errors import CheckpointError
from mahtdiag.models.checkpoint import Checkpoint, CheckpointFormat
from mahtdiag.schema.checkpoint_file import CheckpointFacts, InputFact

if TYPE_CHECKING:
    from torch import nn


class TorchExport(CheckpointFormat):
    """The format (see `CheckpointFormat`)."""

    name = "torch-export"
    title = "torch.export archive"
    carries_code = True
    is_whole = True
    dropout_advice = "give its weights and --model"

    def recognises(self, checkpoint: Checkpoint) -> bool:
        """By the files in the archive, none of which is opened."""
        return checkpoint.is_exported

    def inspect(self, checkpoint: Checkpoint) -> None:
        """Of its network it says the input alone, see `declared`."""

    def declared(self, checkpoint: Checkpoint) -> InputFact | None:
        """The input of the program."""
        return self.facts(checkpoint).declared

    def facts(self, checkpoint: Checkpoint) -> CheckpointFacts:
        """What the archive declares."""
        from mahtdiag.models.exported import facts_of_archive

        return facts_of_archive(checkpoint.path)

    def load(self, checkpoint: Checkpoint) -> "nn.Module":
        """Runs what the archive carries."""
        from mahtdiag.models.exported import load_exported

        if any("aotinductor/" in name for name in checkpoint.members):
            raise CheckpointError(
                f"{checkpoint.path}: compiled for one machine (AOTInductor); save it by torch.export.save"
            )
        return load_exported(checkpoint.path)
