"""What the sections of `run.json` are made of, those that hold the numbers, and the gates.

The models of the numbers follow from the metrics: what a number can be, where it stands, whether every run
has it. Only what a record of numbers is called, and says of itself, is written here.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    create_model,
)

from mahtdiag.diagnosis.metrics.angles import ANGLE_PATHS, ANGLES, FOUND_SHARE
from mahtdiag.diagnosis.metrics.error_units import ERROR_UNITS
from mahtdiag.diagnosis.metrics.losses import LOSS_NAMES
from mahtdiag.diagnosis.metrics.metric import IntervalKind, Key, Metric
from mahtdiag.diagnosis.metrics.registry import known_metrics
from mahtdiag.schema.safe_text import whole_signs
from mahtdiag.schema.skeleton import View

_HALF: Final = re.compile("[\ud800-\udfff]")


def _printable(text: object) -> object:
    """File names may hold bytes that are no text; JSON must be, so they are written as escapes."""
    return whole_signs(text) if isinstance(text, str) else text


def _to_utc(time: datetime) -> datetime:
    """Raises ValueError for a year that other time zones do not have, or no run was made in."""
    if not 1970 <= time.year <= 9000:
        raise ValueError(f"the year {time.year}, in which no run was made")
    return time.astimezone(UTC)


def _possible(path: str) -> str:
    """Raises ValueError for what no system takes as a path, and raises other errors for."""
    if "\0" in path or len(path) > 4096 or any(len(part) > 255 for part in path.split("/")):
        raise ValueError("no path of a file")
    return path


def _all_possible(paths: str) -> str:
    """The same of each of several, joined by commas; a name may hold one as well."""
    for path in paths.split(","):
        _possible(path)
    return paths


Text = Annotated[str, BeforeValidator(_printable)]
PathText = Annotated[Text, AfterValidator(_possible)]
PathsText = Annotated[Text, AfterValidator(_all_possible)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Count = Annotated[int, Field(ge=0)]
Share = Annotated[float, Field(ge=0.0, le=1.0)]
NonNegative = Annotated[float, Field(ge=0.0)]
UtcTime = Annotated[AwareDatetime, AfterValidator(_to_utc)]


class Section(BaseModel):
    """A section of `run.json`: frozen, no unknown keys, every number finite (what is not known is null)."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        allow_inf_nan=False,
        populate_by_name=True,
        json_schema_serialization_defaults_required=True,
        # Most are parts of `RunDocument` and are needed with it alone.
        defer_build=True,
    )

    def to_json(self) -> str:
        """The text of the file: keys in schema order, two spaces, a newline at the end.

        Raises:
            ValueError: a NaN or an infinity among the free-form values (settings, calibration).
        """
        content = self.model_dump(mode="json", by_alias=True)
        # Halves of pairs, which JSON can name and UTF-8 cannot hold, stay the escapes that they were.
        text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
        return _HALF.sub(lambda half: f"\\u{ord(half[0]):04x}", text) + "\n"


ANY_KEY = "*"
Path = tuple[str, ...]
Definition = tuple[Any, Any]
"""What pydantic makes a field of: its type, and its default, `...` or `Field(…)`."""


@dataclass(frozen=True, slots=True)
class _Record:
    """What is said of a record of numbers beside the numbers.

    `order`: fields that come first; `fields`: those that are no numbers, or are stored in a way of their own.
    """

    name: str
    doc: str
    order: Sequence[str] = ()
    fields: Mapping[str, Definition] = field(default_factory=dict)


_RADIAL = tuple(
    name.format(unit.key)
    for units in (ERROR_UNITS[:2], ERROR_UNITS[2:])
    for name in ("radial_error_{}", "sdr_{}", "sdr_{}_ci95")
    for unit in units
)
_KEYS = tuple(unit.key for unit in ERROR_UNITS)
_MEANS: Definition = (
    dict[str, NonNegative | None],
    Field(default_factory=dict, description="mean error in pixels; null where no keypoint is annotated"),
)
_ERRORS = _Record(
    "ErrorSummary",
    "Radial errors over annotated keypoints; the interval of the mean comes from resampling images.",
)
_GROUP = _Record(
    "GroupErrors", "Radial errors of a region, a vertebra or a corner, over its annotated keypoints.", _RADIAL
)
_GROUPS = ("regions", "vertebrae", "corners")
_RECORDS: Mapping[Path, _Record] = {
    ("metrics",): _Record(
        "Metrics",
        "Where the keypoints went: all of them, and by region of the spine where there are several, by "
        "vertebra and by corner, where any is annotated.",
        _RADIAL,
        {"by_region": _MEANS, "by_vertebra": _MEANS, "by_corner": _MEANS},
    ),
    **{("metrics", *of, f"radial_error_{unit}"): _ERRORS
       for of in ((), *((plural, ANY_KEY) for plural in _GROUPS)) for unit in _KEYS},
    ("clean_labels",): _Record(
        "CleanLabels",
        "Radial errors and the best σ scale without the images whose labels break a rule; null without any."
        "\n\n`images` are those that are left, `left_out` the others.",
        ("images", "left_out", *_RADIAL),
    ),
    **{("clean_labels", f"radial_error_{unit}"): _ERRORS for unit in _KEYS},
    **{("metrics", plural, ANY_KEY): _GROUP for plural in _GROUPS},
    ("losses",): _Record(
        "Losses",
        "Means over images, network frame, and their intervals by name; null where no image has the part.",
        fields={
            # Their range is left open, as earlier versions left it.
            **dict.fromkeys(LOSS_NAMES, (float | None, None)),
            "ci95": (dict[str, tuple[float, float] | None], Field(default_factory=dict)),
        },
    ),
    ("anatomy",): _Record(
        "AnatomySummary",
        "Violations among predictions: all of them, the share of images with any, per code and per vertebra."
        "\n\n`level_shifts`: images marked one level off as a whole. `suspicious_labels`: images whose label "
        "the network speaks against, never certain; null where it is not good enough to say so. Intervals "
        "are exact ones of a share of images.",
        ("violations", "images_with_violations", "images_with_violations_ci95"),
    ),
    ("anatomy", "body_scale"): _Record(
        "BodyScale", "Predicted over labelled width and height of vertebral bodies, from 20 patients on."
    ),
    ("anatomy", "angles"): _Record(
        "AngleErrors",
        "How far angles of spines with more than lumbar levels are predicted off; null without any.",
    ),
    **{path[:-1]: _Record("AngleError", "Mean absolute error of one angle, in degrees.")
       for path in ANGLE_PATHS if len(path) > len(ANGLES) + 1},
    **{path[:-1]: _Record("CurveError", "Curves of one region: how many are found, and the error of those.")
       for path in ANGLE_PATHS if path[-1] == FOUND_SHARE},
    ("anatomy", "by_code", ANY_KEY): _Record("CodeCounts", "How often one rule fired."),
    **{("anatomy", plural, ANY_KEY): _Record(
        "VertebraViolations",
        "Findings at one vertebra or in one region, and the share of images with any there.",
        ("violations", "images_with_violations"),
    ) for plural in ("regions", "vertebrae")},
    ("error_types",): _Record(
        "ErrorTypesSummary",
        "Kinds of mistakes by name, and whole images marked one level off (+1: too low).",
        ("keypoints", "mean_error_px", "by_type", "level_shifts"),
        {
            "mean_error_px": (NonNegative | None, ...),
            # Runs of earlier versions have none.
            "level_shifts": (Count, 0),
            "level_shift_by_image": (dict[Text, int], Field(default_factory=dict)),
        },
    ),
    ("error_types", "by_type", ANY_KEY): _Record(
        "ErrorTypeEntry",
        "One kind of mistake: how many keypoints, which shares, and the mean error if only it were repaired.",
    ),
}  # fmt: skip


class _Node:
    """What stands at a place of `run.json`: a number or an interval of these metrics, or what lies below."""

    def __init__(self) -> None:
        self.numbers: list[Metric] = []
        self.intervals: list[Metric] = []
        self.keys: list[str] = []
        self.below: dict[str, _Node] = {}

    def at(self, path: Path) -> "_Node":
        """The place at the end of a path; all keys of a table are one place."""
        node = self
        for part in path:
            is_key = isinstance(part, Key)
            if is_key and part not in node.keys:
                node.keys.append(str(part))
            node = node.below.setdefault(ANY_KEY if is_key else str(part), _Node())
        return node

    def every(self) -> Iterable[Metric]:
        """All metrics here and below."""
        yield from (*self.numbers, *self.intervals)
        for node in self.below.values():
            yield from node.every()


def number_models(metrics: Iterable[Metric]) -> Mapping[str, type[Section]]:
    """The models of the sections that hold these numbers, by name."""
    root = _Node()
    for metric in metrics:
        root.at(metric.path).numbers.append(metric)
    for metric in metrics:
        if metric.interval is not IntervalKind.NONE:
            root.at(metric.place_of_interval).intervals.append(metric)
    made: dict[str, type[Section]] = {}
    for section in dict.fromkeys(path[0] for path in _RECORDS):
        _model((section,), root.below[section], made)
    return made


def _model(path: Path, node: _Node, made: dict[str, type[Section]]) -> type[Section]:
    """The model of a record; records of the same name are alike."""
    record = _RECORDS.get(path) or _Record(path[-1].title().replace("_", ""), "Numbers by name.")
    if record.name not in made:
        found = {name: _field((*path, name), below, made) for name, below in node.below.items()}
        fields: dict[str, Any] = found | dict(record.fields)
        order = [*record.order, *(name for name in fields if name not in record.order)]
        made[record.name] = create_model(
            record.name,
            __base__=Section,
            __doc__=record.doc,
            __module__=__name__,
            **{name: fields[name] for name in order},
        )
    return made[record.name]


def _field(path: Path, node: _Node, made: dict[str, type[Section]]) -> Definition:
    """A number, an interval, a table of either, a record, or a table of records."""
    if node.numbers:
        kind, is_required = _type_of(node.numbers[0]), node.numbers[0].required
        return (kind, ...) if is_required else (kind | None, None)
    if node.intervals:
        bounds = _bounds(node.intervals[0])
        told_beside = path[-1] != "ci95"
        return (bounds, None if told_beside else Field(description="[low, high]; null for few images"))
    if ANY_KEY in node.below:
        return _table((*path, ANY_KEY), node, made)
    return _or_null(_model(path, node, made), node)


def _table(path: Path, node: _Node, made: dict[str, type[Section]]) -> Definition:
    inner = node.below[ANY_KEY]
    if inner.numbers:
        # Not by group but by threshold: all of them, and no others.
        return _or_null(_rates(node.keys, _type_of(inner.numbers[0])), node)
    if inner.intervals:
        of_thresholds = isinstance(inner.intervals[0].path[-1], Key)
        keys: Any = Literal[tuple(node.keys)] if of_thresholds else str
        return (dict[keys, _bounds(inner.intervals[0])], Field(default_factory=dict))  # type: ignore[misc]
    return (dict[str, _model(path, inner, made)], Field(default_factory=dict))  # type: ignore[misc]


def _or_null(kind: Any, node: _Node) -> Definition:
    """Null where none of the numbers has what it needs."""
    return (kind | None, None) if all(metric.need for metric in node.every()) else (kind, ...)


def _type_of(metric: Metric) -> Any:
    if metric.unit == "count":
        return Count
    if (metric.least, metric.most) == (0.0, 1.0):
        return Share
    if metric.least == 0.0 and metric.most is None:
        return NonNegative
    return Annotated[float, Field(ge=metric.least, le=metric.most)]


def _bounds(metric: Metric) -> Any:
    kind = _type_of(metric)
    return tuple[kind, kind] | None  # type: ignore[valid-type]


def _rates(thresholds: Sequence[str], kind: Any) -> Any:
    def all_thresholds(rates: dict[str, float]) -> dict[str, float]:
        if set(rates) != set(thresholds):
            raise ValueError(f"needs a rate for each of {', '.join(thresholds)}")
        return {threshold: rates[threshold] for threshold in thresholds}

    return Annotated[dict[Literal[tuple(thresholds)], kind], AfterValidator(all_thresholds)]  # type: ignore[misc]


MODELS = number_models(known_metrics())
"""The models of all records of numbers, by name."""

NUMBER_SECTIONS: Mapping[str, type[Section]] = {
    path[0]: MODELS[record.name] for path, record in _RECORDS.items() if len(path) == 1
}
"""Those of the sections of `run.json`."""


class StoredGate(Section):
    """One limit and what was measured against it; `value` null where it could not be measured.

    `value` is what was compared: the number, or the end of its 95 % interval that `bound` names; `estimate`
    and `ci95` are the number and its interval. `view`: the gate holds for runs of that view alone. A gate
    of kind `baseline` compares the paired difference to the run `baseline` with a margin. `reason` says why
    a gate without a value failed.
    """

    # In the schema it is the only gate.
    __qualname__ = "Gate"
    model_config = ConfigDict(title="Gate")

    metric: Text
    comparison: str = "<="
    limit: float
    value: float | None
    passed: bool
    bound: Literal["estimate", "upper", "lower"] = "estimate"
    view: View | None = None
    vertebra: str | None = None
    kind: Literal["limit", "baseline"] = "limit"
    estimate: float | None = None
    ci95: tuple[float, float] | None = None
    baseline: Text | None = None
    reason: str | None = None
