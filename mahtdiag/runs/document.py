"""The document of a run, `run.json`, schema version 1: what was run, on what, with what result."""

import hashlib
import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Final, Literal

from pydantic import AfterValidator, ConfigDict, Field, JsonValue, ValidationError, model_validator

from mahtdiag import __version__
from mahtdiag.diagnosis.conditions import Conditions
from mahtdiag.errors import RunFolderError
from mahtdiag.runs.results import (
    NUMBER_SECTIONS,
    Count,
    NonNegative,
    PathsText,
    PathText,
    Section,
    Sha256,
    StoredGate,
    Text,
    UtcTime,
)
from mahtdiag.runs.settings import FREE_SETTINGS, RunSettings
from mahtdiag.runs.stored_settings import known_settings
from mahtdiag.schema.json_values import TooManyValuesError, parsed
from mahtdiag.schema.safe_text import brief
from mahtdiag.schema.setup import SetupEntry, SetupStatus
from mahtdiag.schema.skeleton import Skeleton, View, known_levels, skeleton_said

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

    Metrics = Section
    CleanLabels = Section
    Losses = Section
    AnatomySummary = Section
    ErrorTypesSummary = Section
else:
    Metrics, Losses = NUMBER_SECTIONS["metrics"], NUMBER_SECTIONS["losses"]
    CleanLabels = NUMBER_SECTIONS["clean_labels"]
    AnatomySummary, ErrorTypesSummary = NUMBER_SECTIONS["anatomy"], NUMBER_SECTIONS["error_types"]


SCHEMA_VERSION: Final = 1
LARGEST_BYTES: Final = 2**27
"""Of what mahtdiag writes as JSON, some 700,000 failures or images."""
MOST_MARKS: Final = 4_000_000
MOST_PROBLEMS: Final = 20
TOO_DEEP: Final = "nested too deeply to be written by mahtdiag"
CHANGED: Final = "changed since the run was finished (checksum); restore the file or evaluate again"
_TYPES: Final = re.compile(r" or instance of \w+")

RunStatus = Literal["complete", "interrupted"]


class CheckpointMember(Section):
    """One checkpoint of an ensemble."""

    path: PathsText
    sha256: Sha256
    format: str


class CheckpointSource(Section):
    """The checkpoint: where it lay, what it holds, how it was read.

    Of an ensemble: the paths joined by commas, and a digest over the digests of the members in sorted order.
    """

    path: PathsText
    sha256: Sha256
    format: str
    members: tuple[CheckpointMember, ...] = Field(default=(), description="of an ensemble; else empty")


class DataSource(Section):
    """The annotated set.

    `sha256` covers all images and annotations and is null until every image has been read; `listing_sha256`
    covers the names and the annotations alone, is known at the start and guards `--resume`.
    """

    path: PathText
    format: str
    sha256: Sha256 | None = None
    listing_sha256: Sha256 | None = None


class Environment(Section):
    """The machine. Only the kind of device and the precision decide whether a run may be resumed on it."""

    python: str
    torch: str
    device: str
    device_name: str | None = None
    precision: str = "fp32"
    platform: str | None = None
    threads: Count | None = None
    packages: dict[str, str] = Field(default_factory=dict)

    @property
    def device_kind(self) -> str:
        """`cuda` of `cuda:1`."""
        return self.device.partition(":")[0]


class Seconds(Section):
    """Wall time, over all sessions of a resumed run."""

    total: NonNegative
    forward: NonNegative | None = None
    decode: NonNegative | None = None
    analyse: NonNegative | None = None


class ImageCounts(Section):
    """Images found, evaluated and failed; the patients that they show, None where not all are known."""

    total: Count
    evaluated: Count = 0
    failed: Count = 0
    patients: Count | None = None


class KeypointCounts(Section):
    """Keypoints of the evaluated images, and those of them that are labelled: the others enter no error."""

    total: Count
    labelled: Count


class FailureEntry(Section):
    """An image that could not be evaluated."""

    image: Text
    reason: Text


class StoredSetupEntry(Section):
    """One check of the setup: what was found, and what to type where it is off."""

    # In the schema it is the only one.
    __qualname__ = "SetupEntry"
    model_config = ConfigDict(title="SetupEntry")

    check: Text
    status: Literal["fine", "warning", "wrong", "not checked"]
    evidence: str
    advice: str = ""


class Checksums(Section):
    """SHA-256 of a finished run's tables, and of the content of its `run.json`: see `content_sha256`."""

    images_parquet: Sha256
    keypoints_parquet: Sha256
    run_json: Sha256


class RunDocument(Section):
    """The whole of `run.json`. What is only known at the end is null while the run is not complete."""

    schema_version: Literal[1] = Field(default=SCHEMA_VERSION, alias="schema")
    mahtdiag: str = __version__
    status: RunStatus = "interrupted"
    checkpoint: CheckpointSource
    data: DataSource
    view: View
    levels: Annotated[str, AfterValidator(known_levels)] | None = Field(
        default=None,
        description="vertebrae that are judged, as in T1-L5; null in runs of earlier versions, which "
        "judged L1-L5, in LA L1-S1",
    )
    settings: Annotated[dict[str, JsonValue], AfterValidator(known_settings)]
    environment: Environment
    started: UtcTime
    seconds: Seconds | None = None
    images: ImageCounts
    keypoints: KeypointCounts | None = Field(default=None, description="null in runs of earlier versions")
    metrics: Metrics | None = None
    clean_labels: CleanLabels | None = Field(default=None, description="null in runs of earlier versions")
    losses: Losses | None = None
    anatomy: AnatomySummary | None = None
    error_types: ErrorTypesSummary | None = None
    ambiguity: dict[str, JsonValue] | None = Field(
        default=None,
        description="heatmaps with two peaks, and diffuse ones without; null where the peaks are not known",
    )
    subgroups: dict[str, JsonValue] | None = Field(
        default=None, description="errors by group of images; null where no groups are known, or too small"
    )
    calibration: dict[str, JsonValue] | None = None
    label_noise: dict[str, JsonValue] | None = Field(
        default=None,
        description="what a second labelling says of the labels: `floor` is the mean distance of both "
        "readers' points, `below_noise` the success rates whose threshold lies below it; null without one",
    )
    setup: tuple[StoredSetupEntry, ...] = Field(
        default=(), description="checks of the setup; empty in runs of earlier versions"
    )
    gates: tuple[StoredGate, ...] = ()
    # One mistake in it is enough to know.
    failures: Annotated[tuple[FailureEntry, ...], Field(fail_fast=True)] = ()
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    checksums: Checksums | None = Field(
        default=None, description="null while the run is not complete, and in runs of earlier versions"
    )

    @model_validator(mode="after")
    def _counts_agree(self) -> "RunDocument":
        counts = self.images
        seen = counts.evaluated + counts.failed
        if seen > counts.total or (self.status == "complete" and seen != counts.total):
            raise ValueError(
                f"images: {counts.evaluated} evaluated and {counts.failed} failed of {counts.total}"
            )
        return self

    @property
    def skeleton(self) -> Skeleton:
        """The keypoints that are judged; those of the view where the run does not say."""
        return skeleton_said(self.view, self.levels)

    @property
    def resolved(self) -> RunSettings:
        """Its settings, and what they mean."""
        return RunSettings(self.settings)

    @property
    def sigma_source(self) -> str:
        """`head`, `heatmap`, `mc-dropout` or `ensemble`: where σ came from."""
        return self.resolved.sigma_source(ensemble=bool(self.checkpoint.members))

    @property
    def conditions(self) -> Conditions:
        """What the numbers of the run follow from."""
        ensemble = bool(self.checkpoint.members)
        return self.resolved.conditions(self.skeleton, ensemble=ensemble)

    @property
    def setup_entries(self) -> tuple[SetupEntry, ...]:
        """What the checks of the setup said."""
        return tuple(SetupEntry(e.check, SetupStatus(e.status), e.evidence, e.advice) for e in self.setup)

    def with_status(self, status: RunStatus) -> "RunDocument":
        """The same document with another status, checked again."""
        return RunDocument.model_validate({**dict(self), "status": status})

    def sealed(self, images_parquet: str, keypoints_parquet: str) -> "RunDocument":
        """The same document with the checksums of the two tables and its own."""
        sums = Checksums(
            images_parquet=images_parquet, keypoints_parquet=keypoints_parquet, run_json="0" * 64
        )
        return self.model_copy(update={"checksums": sums}).sealed_again()

    def sealed_again(self) -> "RunDocument":
        """The same document with its own checksum as it is now; one without checksums stays so."""
        if self.checksums is None:
            return self
        own = content_sha256(self.model_dump(mode="json", by_alias=True))
        return self.model_copy(update={"checksums": self.checksums.model_copy(update={"run_json": own})})


def parse_document(text: str | bytes, where: str) -> RunDocument:
    """Reads the text of a `run.json`; `where` names it in errors.

    Raises:
        RunFolderError: not JSON, of another schema version, not what the schema says (every problem), or
            changed since the run was finished.
    """
    try:
        content = parsed(text, MOST_MARKS, "failures")
    except TooManyValuesError as error:
        raise RunFolderError(f"{where}: {error}, which no run has; the file is damaged") from error
    except RecursionError as error:
        raise RunFolderError(f"{where}: {TOO_DEEP}; the file is damaged") from error
    except ValueError as error:
        raise RunFolderError(f"{where}: not valid JSON ({brief(str(error))}); the file is damaged") from error
    if not isinstance(content, dict) or not {"schema", "mahtdiag"} & content.keys():
        raise RunFolderError(f"{where}: not a run.json of mahtdiag; the file is damaged")
    version = content.get("schema")
    if type(version) is not int or version != SCHEMA_VERSION:
        raise RunFolderError(
            f"{where}: schema version {brief(repr(version), 40)}, written by mahtdiag "
            f"{brief(str(content.get('mahtdiag', '?')), 40)}; "
            f"mahtdiag {__version__} reads version {SCHEMA_VERSION}: use the version that wrote it"
        )
    try:
        document = RunDocument.model_validate(content)
    except ValidationError as error:
        problems = [f"{where}: {_in_words(problem)}" for problem in error.errors()[:MOST_PROBLEMS]]
        if (more := error.error_count() - len(problems)) > 0:
            problems.append(f"{where}: {more:,} more of its values are not as they are written")
        raise RunFolderError(*problems) from error
    except RecursionError as error:
        raise RunFolderError(f"{where}: {TOO_DEEP}; the file is damaged") from error
    if document.checksums is not None and document.checksums.run_json != content_sha256(content):
        raise RunFolderError(f"{where}: {CHANGED}")
    return document


def _in_words(problem: "ErrorDetails") -> str:
    """Where in the document something is not as it is written, what, and what to do; no types of Python."""
    place = brief(".".join(map(str, problem["loc"])) or "document", 200)
    what = _TYPES.sub("", problem["msg"]).removeprefix("Value error, ").replace("dictionary", "object")
    return f"{place}: {brief(what)}; the file is damaged, restore it or evaluate again"


def json_schema() -> dict[str, JsonValue]:
    """The JSON Schema (draft 2020-12) of `run.json`."""
    schema: dict[str, JsonValue] = RunDocument.model_json_schema(by_alias=True, mode="serialization")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **schema,
        "title": f"mahtdiag run.json, schema version {SCHEMA_VERSION}",
    }


def content_sha256(content: Mapping[str, JsonValue]) -> str:
    """Digest of the content of a `run.json`, without its times, `FREE_SETTINGS` and `checksums.run_json`.

    The same command on the same machine gives the same digest, whenever it ran and with as many workers as
    it liked. Taken over canonical JSON: keys sorted, no spaces, ASCII. Order and indentation of the file do
    not matter.
    """
    kept = {name: value for name, value in content.items() if name not in ("started", "seconds")}
    for section, left_out in (("settings", FREE_SETTINGS), ("checksums", {"run_json"})):
        entries = kept.get(section)
        if isinstance(entries, Mapping):
            kept[section] = {name: value for name, value in entries.items() if name not in left_out}
    text = json.dumps(kept, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
