"""The evaluated images of a run as columns, each of them declared once, and what follows from them.

The schema, the writer and the reader of the tables on disk, the part of a table that has some images, and
the record of one image all follow from the declarations in `RunTable`.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields, replace
from threading import RLock
from typing import Any, Final, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from mahtdiag.anatomy.error_types import ErrorTypes
from mahtdiag.anatomy.findings import Findings, check_anatomy
from mahtdiag.anatomy.rules import Limits, Rule
from mahtdiag.diagnosis import derived, error_scales
from mahtdiag.diagnosis.column_values import ColumnValues
from mahtdiag.diagnosis.columns import Column, ColumnNotReadError, Values
from mahtdiag.diagnosis.conditions import Conditions
from mahtdiag.schema.frames import FrameMap, Size
from mahtdiag.schema.records import Failure, ImageLosses, ImageRecord, KeypointResults, PeakPlaces
from mahtdiag.schema.setup import ImagePixels
from mahtdiag.schema.skeleton import Skeleton, View

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
T = TypeVar("T")


def _findings(table: "RunTable") -> Findings:
    if table._part_of is not None:
        whole, rows = table._part_of
        return whole.findings if rows is None else whole.findings.taken(rows)
    found = Findings.chain([_check(part, part.pred_px) for part in table.parts()])
    return found.of_labels() if table.conditions.labels_alone else found


def _label_findings(table: "RunTable") -> Findings:
    if table._part_of is not None:
        whole, rows = table._part_of
        return whole.label_findings if rows is None else whole.label_findings.taken(rows)
    return Findings.chain([_check(part, part.gt_px).of_labels() for part in table.parts()])


def _check(table: "RunTable", points_px: Floats) -> Findings:
    limits, rules = table.conditions.limits, table.conditions.rules
    return check_anatomy(points_px, table.skeleton, image_size_px=table.sizes_px, limits=limits, rules=rules)


class RunTable:
    """The N evaluated images of a run, by name, K keypoints each, and the images that failed.

    Points and σ `[N, K, 2]` and spread `[N, K, 3]` (xx, xy, yy) in original pixels, `at_min` and `at_max`
    `[N, K, 2]`, other columns of keypoints `[N, K]`, those of images `[N]`. NaN where a number is undefined,
    None where a text is. A table may be read without some columns; asking for one of these raises
    ColumnNotReadError. What follows from the columns is computed when it is asked for, and once.
    """

    image = Column[tuple[str, ...]]("string", record="image", nullable=False)
    width = Column[Floats]("int32", record="width", optional=True)
    height = Column[Floats]("int32", record="height", optional=True)
    pixel_spacing_mm = Column[Floats]("float64", record="pixel_spacing_mm", optional=True)
    pixel_spacing_x_mm = Column[Floats]("float64", record="pixel_spacing_x_mm", optional=True, later=True)
    pixel_spacing_y_mm = Column[Floats]("float64", record="pixel_spacing_y_mm", optional=True, later=True)
    sex = Column[tuple[str | None, ...]]("string", record="sex", optional=True)
    age_years = Column[Floats]("int32", record="age_years", optional=True)
    loss_total = Column[Floats]("float64", record="losses.total")
    loss_heatmap = Column[Floats]("float64", record="losses.heatmap")
    loss_coord = Column[Floats]("float64", record="losses.coord")
    loss_anatomical = Column[Floats]("float64", record="losses.anatomical")
    loss_order = Column[Floats]("float64", record="losses.order")
    loss_parallel = Column[Floats]("float64", record="losses.parallel")
    loss_ratio = Column[Floats]("float64", record="losses.ratio")
    loss_uncertainty = Column[Floats]("float64", record="losses.uncertainty")
    loss_heatmap_keypoint_share = Column[Floats]("float64", record="losses.keypoint_share")
    radial_error_px = Column[Floats]("float64", record="radial_error_px")
    max_error_px = Column[Floats]("float64", record="max_error_px")
    violations = Column[tuple[tuple[str, ...], ...]]("list<string>", record="codes")
    labels_suspicious = Column[tuple[tuple[str, ...], ...]]("list<string>", record="label_codes", later=True)
    level_shift = Column[Ints]("int8", later=True, compute=derived.level_shift)
    image_sha256 = Column[tuple[str | None, ...]]("string", record="image_sha256")
    annotation_sha256 = Column[tuple[str | None, ...]]("string", record="annotation_sha256")
    bits = Column[Floats]("int32", record="pixels.bits", optional=True, later=True)
    grey_low = Column[Floats]("float64", record="pixels.low", optional=True, later=True)
    grey_high = Column[Floats]("float64", record="pixels.high", optional=True, later=True)
    colour = Column[Floats]("float64", record="pixels.colour", optional=True, later=True)
    orientation = Column[Floats]("int32", record="pixels.orientation", optional=True, later=True)
    patient = Column[tuple[str | None, ...]]("string", record="patient", optional=True, later=True)
    subgroups = Column[tuple[tuple[str, ...], ...]]("list<string>", record="subgroups", later=True)
    expected_radial_error_px = Column[Floats]("float64", record="expected_error_px", later=True)
    """Mean expected radial error of all keypoints; NaN without `evaluate --expected-error`."""
    thumbnail = Column[tuple[str | None, ...]]("string", record="pixels.thumbnail", optional=True, later=True)

    vertebra_width_px = Column[Floats]("float64", later=True, compute=error_scales.vertebra_width_px)
    """Mean width of the labelled vertebrae, which errors are measured by."""
    spine_height_px = Column[Floats]("float64", later=True, compute=error_scales.spine_height_px)
    """From the first to the last endplate of the label."""
    radial_error_input_px = Column[Floats]("float64", later=True, compute=derived.mean_error_input_px)
    radial_error_diagonal_pct = Column[Floats]("float64", later=True, compute=derived.mean_error_diagonal_pct)
    radial_error_width_pct = Column[Floats]("float64", later=True, compute=derived.mean_error_width_pct)
    radial_error_height_pct = Column[Floats]("float64", later=True, compute=derived.mean_error_height_pct)

    gt_px = Column[Floats]("float64", "gt_x", "gt_y", record="keypoints.gt_px")
    pred_px = Column[Floats]("float64", "pred_x", "pred_y", record="keypoints.pred_px")
    error_px = Column[Floats]("float64", record="keypoints.error_px")
    error_mm = Column[Floats]("float64", record="keypoints.error_mm")
    sigma_px = Column[Floats]("float64", "sigma_x", "sigma_y", record="keypoints.sigma_px")
    sigma_aleatoric_px = Column[Floats](
        *("float64", "sigma_aleatoric_x", "sigma_aleatoric_y"),
        record="keypoints.sigma_aleatoric_px",
        later=True,
    )
    sigma_epistemic_px = Column[Floats](
        *("float64", "sigma_epistemic_x", "sigma_epistemic_y"),
        record="keypoints.sigma_epistemic_px",
        later=True,
    )
    peak = Column[Floats]("float64", record="keypoints.peak")
    spread_px2 = Column[Floats](
        "float64", "spread_xx", "spread_xy", "spread_yy", record="keypoints.spread_px2"
    )
    flags = Column[Ints]("int32", record="keypoints.flags", nullable=False)
    at_min = Column[Bools]("bool", "at_min_x", "at_min_y", record="keypoints.at_min", nullable=False)
    at_max = Column[Bools]("bool", "at_max_x", "at_max_y", record="keypoints.at_max", nullable=False)
    second_share = Column[Floats]("float64", "second_peak", record="keypoints.peaks.second_share", later=True)
    second_px = Column[Floats]("float64", "second_x", "second_y", record="keypoints.peaks.second", later=True)
    argmax_px = Column[Floats]("float64", "argmax_x", "argmax_y", record="keypoints.peaks.argmax", later=True)
    local_px = Column[Floats]("float64", "local_x", "local_y", record="keypoints.peaks.local", later=True)

    listhesis = Column[Floats]("int32", record="keypoints.listhesis", later=True)
    averaged_px2 = Column[Floats](
        *("float64", "averaged_xx", "averaged_xy", "averaged_yy"), record="keypoints.averaged_px2", later=True
    )
    """Spread of the whole map that soft-argmax averages; NaN where the place is not decoded by it."""
    gt2_px = Column[Floats]("float64", "gt2_x", "gt2_y", record="keypoints.gt2_px", later=True)
    """The labels of a second reader, who judges no prediction; NaN where there are none."""
    expected_error_px = Column[Floats]("float64", record="keypoints.expected_error_px", later=True)
    """Expected radial error of each heatmap; NaN without `evaluate --expected-error`."""
    head_covariance_px2 = Column[Floats](
        *("float64", "head_xx", "head_xy", "head_yy"), record="keypoints.head_covariance_px2", later=True
    )

    labelled_keypoints = Column[Bools](
        "bool", "labelled", compute=derived.labelled, later=True, by_keypoint=True
    )
    missed = Column[Bools]("bool", compute=derived.missed, later=True, by_keypoint=True)
    """Which keypoints have a label and no prediction: the network says that it finds none."""
    error_input_px = Column[Floats](
        "float64", compute=error_scales.error_input_px, later=True, by_keypoint=True
    )
    """Radial error in pixels of the network's input; NaN where its size is not known."""
    error_type = Column[NDArray[np.object_]]("string", compute=derived.titles, later=True, by_keypoint=True)
    """What kind of mistake each keypoint is, in words; None where its label is missing."""

    units = Column[Ints](compute=derived.units)
    """What is independent, `[N]`: the number of each image's patient, or of the image where none is known."""
    sizes_px = Column[Floats](compute=derived.sizes_px)
    """(width, height) of each image, `[N, 2]`."""
    findings = Column[Findings](compute=_findings)
    """What the rules and limits in force find in the predictions."""
    label_findings = Column[Findings](compute=_label_findings)
    """What the same rules and limits find in the labels."""
    label_codes = Column[tuple[tuple[str, ...], ...]](compute=derived.label_codes)
    """Codes of these in each image."""
    urgency = Column[Floats](compute=derived.urgency)
    """How much each image wants a look, `[N]`: its mean error; severity where nothing is labelled."""
    error_types = Column[ErrorTypes](compute=derived.error_types)
    """What kind of mistake each keypoint is."""
    kinds_of_error = Column[NDArray[np.int8]](compute=derived.kinds_of_error)
    """The same without what repairs leave: the `ErrorType` of each keypoint, `[N, K]`."""
    covariance_px2 = Column[Floats | None](compute=derived.covariance_px2)
    """Covariance of σ, `[N, K, 2, 2]`: that of a head, or the heatmap's spread; else None."""

    def __init__(
        self,
        skeleton: Skeleton,
        values: Mapping[str, Values],
        *,
        conditions: Conditions | None = None,
        failures: Sequence[Failure] = (),
    ) -> None:
        """`values` by the names of the columns; `image` must be among them, and all have N entries."""
        self.skeleton = skeleton
        self.conditions = conditions or Conditions(Limits.of(skeleton))
        self.failures = tuple(failures)
        self._values = values if isinstance(values, ColumnValues) else ColumnValues(values)
        self._once: dict[Callable[[RunTable], object], object] = {}
        self._part_of: tuple[RunTable, Ints | None] | None = None
        # Not itself: the memory of what refers to itself is not given back at once.
        self._judged: list[RunTable] = []
        self._lock = RLock()

    @staticmethod
    def of_records(
        records: Sequence[ImageRecord],
        failures: Sequence[Failure],
        skeleton: Skeleton,
        conditions: Conditions | None = None,
    ) -> "RunTable":
        """These images in the order of their names.

        Raises:
            ValueError: a record whose arrays do not hold the skeleton's number of keypoints.
        """
        k = skeleton.keypoints
        for record in records:
            if record.keypoints.gt_px.shape != (k, 2):
                raise ValueError(f"{record.image}: {record.keypoints.gt_px.shape} points, {skeleton} has {k}")
        ordered = sorted(records, key=lambda record: record.image)
        values = {column.name: column.of_records(ordered, k) for column in COLUMNS if column.record}
        by_name = sorted(failures, key=lambda failure: failure.image)
        return RunTable(skeleton, values, conditions=conditions, failures=by_name)

    def __len__(self) -> int:
        return len(self.image)

    @property
    def view(self) -> View:
        """The projection of all its images."""
        return self.skeleton.view

    @property
    def labelled(self) -> bool:
        """Whether any keypoint is labelled; of images without labels there is no error to speak of."""
        return any(bool(np.isfinite(part.gt_px).any()) for part in self.parts())

    @property
    def patients(self) -> int | None:
        """Number of patients; None where not of every image one is known."""
        known = len(self) > 0 and self.has(RunTable.patient) and None not in self.patient
        return int(self.units.max()) + 1 if known else None

    def values_of(self, name: str) -> Values:
        """The values of a column by its name; raises ColumnNotReadError where it was not read."""
        try:
            return self._values[name]
        except KeyError:
            raise ColumnNotReadError(f"a table that was read without {name}") from None

    def has(self, column: Column[Any]) -> bool:
        """Whether a column can be asked for."""
        return column.compute is not None or column.name in self._values

    def loss(self, name: str) -> Floats:
        """A part of the loss of each image `[N]`, network frame, by its name in `run.json`."""
        return cast(Floats, self.values_of(f"loss_{name}"))

    def once(self, compute: Callable[["RunTable"], T]) -> T:
        """What a function says of this table, computed the first time; the function is not a lambda."""
        with self._lock:
            if compute not in self._once:
                self._once[compute] = compute(self)
            return cast(T, self._once[compute])

    @property
    def peaks(self) -> PeakPlaces:
        """Where else the heatmaps peak, original pixels; NaN throughout where the run does not know."""
        return PeakPlaces(self.second_share, self.second_px, self.argmax_px, self.local_px)

    def frames(self) -> Iterator[tuple[FrameMap, Bools]]:
        """The frames of each distinct image size, and which images have it `[N]`; none where not known."""
        if self.conditions.frames is None:
            return
        for width, height in np.unique(self.sizes_px, axis=0).tolist():
            if not (width >= 1.0 and height >= 1.0):  # not known
                continue
            frame = self.conditions.frames.of(Size(int(height), int(width)))
            yield frame, (self.sizes_px == (width, height)).all(axis=1)

    def in_cells(self, points_px: Floats) -> Floats | None:
        """Points `[N, K, 2]` in heatmap cells; None where the run does not say how images became heatmaps."""
        if self.conditions.frames is None:
            return None
        cells = np.full_like(points_px, np.nan)
        for frame, rows in self.frames():
            cells[rows] = frame.original_to_heatmap(points_px[rows])
        return cells

    def target_sigma_px(self) -> Floats | None:
        """σ of the training targets, `[N, 2]` (x, y), original pixels; None where the run does not say."""
        if self.conditions.frames is None or self.conditions.heatmap_sigma is None:
            return None
        sigma_px = np.full_like(self.sizes_px, np.nan)
        for frame, rows in self.frames():
            sigma_px[rows] = self.conditions.heatmap_sigma * frame.original_per_cell
        return sigma_px

    def taken(self, rows: Ints) -> "RunTable":
        """These images in this order, and all failures; the table itself where that is all of it."""
        if np.array_equal(rows, np.arange(len(self))):
            return self
        return self._part(self._values.taken(rows), rows)

    def parts(self) -> Iterator["RunTable"]:
        """Consecutive images, a few thousand at a time; the table itself where it has no more than that.

        What follows from each image alone is found part by part in a memory that does not grow with the run.
        A part says of its images what the whole says of them; units of its own are not those of the whole.
        """
        if len(self) <= IMAGES_AT_ONCE:
            yield self
            return
        for first in range(0, len(self), IMAGES_AT_ONCE):
            last = min(first + IMAGES_AT_ONCE, len(self))
            yield self._part(self._values.part(first, last), np.arange(first, last))

    def by_parts(self, compute: Callable[["RunTable"], NDArray[Any]]) -> NDArray[Any]:
        """What a function says of each image alone, `[N, …]`, found part by part."""
        return np.concatenate([compute(part) for part in self.parts()])

    def _part(self, values: ColumnValues, rows: Ints) -> "RunTable":
        part = RunTable(self.skeleton, values, conditions=self.conditions, failures=self.failures)
        part._part_of = self, rows
        return part

    def judged_by(self, limits: Limits, rules: tuple[Rule, ...]) -> "RunTable":
        """The same images judged by these limits and rules; always the same table for the same of them."""
        with self._lock:
            self._judged[:] = self._judged or [self]
            for table in self._judged:
                if (table.conditions.limits, table.conditions.rules) == (limits, rules):
                    return table
            conditions = replace(self.conditions, limits=limits, rules=rules)
            judged = RunTable(self.skeleton, self._values, conditions=conditions, failures=self.failures)
            judged._once = {of: found for of, found in self._once.items() if of not in _FROM_RULES}
            judged._judged = self._judged
            self._judged.append(judged)
            return judged

    def read_also(self, values: Mapping[str, Values]) -> None:
        """Further columns of the same images, for this table and those of it by other limits and rules."""
        self._values.add(values)

    def know_findings(self, images: Sequence[str], findings: Findings, of_labels: Findings) -> None:
        """What the limits and rules in force find in predictions and labels of these images.

        Of use where they are all of the table.
        """
        rows = {image: row for row, image in enumerate(images)}
        if rows.keys() >= set(self.image):
            places = np.array([rows[image] for image in self.image], dtype=np.int64)
            self._once[_findings] = findings.taken(places)
            self._once[_label_findings] = of_labels.taken(places)

    def with_values(self, **values: Values) -> "RunTable":
        """The same images with other values in these columns; what follows from them is computed anew."""
        changed = ColumnValues(values, self._values)
        table = RunTable(self.skeleton, changed, conditions=self.conditions, failures=self.failures)
        if _FOLLOWED_FROM.isdisjoint(values):
            table._once = dict(self._once)
            # What is judged later is judged once for both.
            table._part_of = self._part_of or (self, None)
        return table

    def record(self, row: int) -> ImageRecord:
        """One image with its findings."""
        whole_parts = ("", "losses", "keypoints", "keypoints.peaks", "pixels")
        parts: dict[str, dict[str, Any]] = {whole: {} for whole in whole_parts}
        for column in COLUMNS:
            whole, _, name = column.record.rpartition(".")
            if whole or name in _IN_RECORD:
                parts[whole][name] = column.of_row(self.values_of(column.name), row)
        peaks = PeakPlaces(**parts["keypoints.peaks"])
        return ImageRecord(
            **parts[""],
            losses=ImageLosses(**parts["losses"]),
            keypoints=KeypointResults(**parts["keypoints"], peaks=peaks),
            findings=self.findings.of_image(row),
            pixels=None if parts["pixels"]["bits"] is None else ImagePixels(**parts["pixels"]),
        )


IMAGES_AT_ONCE: Final = 4096
"""So many images are looked at together, of columns that would be large."""

COLUMNS: Final[tuple[Column[Any], ...]] = tuple(
    column for column in vars(RunTable).values() if isinstance(column, Column) and column.dtype
)
"""All columns, in the order in which the tables on disk have them."""

_IN_RECORD: Final = frozenset(field.name for field in fields(ImageRecord))


_FOLLOWED_FROM: Final = frozenset(
    (
        *("pred_px", "gt_px", "width", "height", "spread_px2", "averaged_px2", "head_covariance_px2"),
        *("second_share", "second_px", "argmax_px", "local_px", "gt2_px"),
    )
)
"""Columns that anything computed once follows from."""

_FROM_RULES: Final[tuple[Callable[[RunTable], object], ...]] = (
    _findings,
    _label_findings,
    derived.label_codes,
)
