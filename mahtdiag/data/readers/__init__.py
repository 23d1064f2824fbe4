"""The annotation formats: one reader each, found by what lies in the folder."""

from pathlib import Path
from typing import Final, Protocol

from mahtdiag.data.files import Dataset, ViewEvidence, shown
from mahtdiag.data.patients import keyed
from mahtdiag.data.readers.buu_lspine import BuuLspine
from mahtdiag.errors import DataError
from mahtdiag.schema.skeleton import View


class Reader(Protocol):
    """One annotation format; stateless.

    A reader looks at a folder (or at the one file that some formats are) and never changes anything in it.
    """

    @property
    def name(self) -> str:
        """What `run.json` says as `data.format`: permanent."""

    def recognises(self, path: Path) -> str | None:
        """What shows that a set is of this format, such as the name of a file in it; None if nothing does.

        Proof, not suspicion: a set is refused where two readers have one. Looks into a few files at most and
        raises nothing: what is wrong with a set, `open` says.
        """

    def view_evidence(self, path: Path) -> tuple[ViewEvidence, ...]:
        """Everything in the set that tells which view its radiographs are, empty where nothing does.

        A set that holds both views gives no evidence. Raises DataError where it cannot be listed.
        """

    def open(self, path: Path, view: View | None, *, missing_allowed: bool = False) -> Dataset:
        """Read the annotations of one view; images are only listed. No view given: the evidence settles it.

        Keypoints are in original-image pixels, NaN where the annotation has none. A format whose annotations
        must be complete takes a gap for a failure, unless `missing_allowed`: for who judges annotations
        rather than predictions. A file that cannot be used is a failure with all its problems in one line.

        Raises DataError where there is nothing to evaluate or the view is not to be found.
        """


READERS: Final[tuple[Reader, ...]] = (BuuLspine(),)
"""Every format that is read. The first one opens what none recognises: its error says what was expected."""


def reader_of(path: Path) -> Reader:
    """The reader that recognises a set. Raises DataError, which names them all, where several do."""
    proofs = [(reader, proof) for reader in READERS if (proof := reader.recognises(path)) is not None]
    if len(proofs) > 1:
        formats = " and ".join(f"{reader.name} ({proof})" for reader, proof in proofs)
        raise DataError(f"{shown(path)}: annotated in {len(proofs)} formats, {formats}: keep one of them")
    return proofs[0][0] if proofs else READERS[0]


def open_dataset(
    path: Path,
    view: View | None,
    *,
    reader: Reader | None = None,
    patient: str | None = None,
    missing_allowed: bool = False,
) -> Dataset:
    """Open a set by this reader, or the one that recognises it (see `Reader.open`), with its patients.

    `patient`: a pattern that finds them in the names of images (see `keyed`).
    """
    return keyed((reader or reader_of(path)).open(path, view, missing_allowed=missing_allowed), patient)
