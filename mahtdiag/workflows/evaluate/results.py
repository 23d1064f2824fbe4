"""From the table of a run to its results: the numbers and the document that is written."""

import numpy as np
from pydantic import ValidationError

from mahtdiag.calibration.report import Json
from mahtdiag.config.settings import CalibrationSettings
from mahtdiag.diagnosis.ambiguity import ambiguity_of
from mahtdiag.diagnosis.anatomy import shift_by_image
from mahtdiag.diagnosis.label_noise import noise_of_run
from mahtdiag.diagnosis.metrics.anatomy import ANATOMY, repairs_of
from mahtdiag.diagnosis.numbers import RunNumbers, numbers_of
from mahtdiag.diagnosis.run_table import RunTable
from mahtdiag.diagnosis.subgroups import subgroups_of
from mahtdiag.errors import RunFolderError
from mahtdiag.reports.tables.label_noise import noise_content
from mahtdiag.runs.document import FailureEntry, ImageCounts, KeypointCounts, RunDocument
from mahtdiag.runs.files import digest
from mahtdiag.runs.reading import Run
from mahtdiag.runs.results import NUMBER_SECTIONS, Section
from mahtdiag.workflows.calibration.judged_sigma import choices_of, has_sigma, judge_sigma


def read_results(run: Run, known: RunDocument) -> tuple[RunDocument, RunNumbers | None]:
    """What the tables of a run say, as a document and as numbers, None where nothing was evaluated.

    `known` is the document so far.
    """
    table = run.table()
    failures = tuple(FailureEntry(image=f.image, reason=f.reason) for f in table.failures)
    counts = ImageCounts(
        total=known.images.total, evaluated=len(table), failed=len(failures), patients=table.patients
    )
    base = known.model_copy(
        update={
            "images": counts,
            "keypoints": KeypointCounts(
                total=table.gt_px[..., 0].size,
                labelled=int(np.isfinite(table.gt_px).all(axis=-1).sum()),
            ),
            "failures": failures,
            "data": known.data.model_copy(update={"sha256": _data_sha256(table)}),
        }
    )
    if not len(table):
        return base, None
    numbers, ambiguity, subgroups = numbers_of(table), ambiguity_of(table), subgroups_of(table)
    noise = noise_of_run(table)
    try:
        sections = _sections(numbers) if table.labelled else _without_labels(numbers)
    except ValidationError as error:
        where = ".".join(map(str, error.errors()[0]["loc"]))
        raise RunFolderError(
            f"{run.label}: its tables hold numbers that no evaluation writes ({where}); evaluate again"
        ) from error
    document = base.model_copy(
        update={
            **sections,
            "ambiguity": None if ambiguity is None else ambiguity.as_json(),
            "subgroups": None if subgroups is None else subgroups.as_json(),
            "calibration": _calibration(run, known),
            "label_noise": None if noise is None else noise_content(noise),
        }
    )
    return document, numbers


def _sections(numbers: RunNumbers) -> dict[str, Section]:
    """The sections of `run.json` that hold numbers of the table; kinds of mistakes by what they cost."""
    content = numbers.content()
    error_types = content["error_types"]
    assert isinstance(error_types, dict)
    order = [row.error_type.title for row in numbers.table.once(repairs_of)]
    by_type = error_types["by_type"]
    error_types["by_type"] = {name: by_type[name] for name in dict.fromkeys((*order, *by_type))}
    error_types["level_shift_by_image"] = shift_by_image(numbers.table)
    error_types.setdefault("mean_error_px", None)
    return {name: model.model_validate(content.get(name, {})) for name, model in NUMBER_SECTIONS.items()}


def _without_labels(numbers: RunNumbers) -> dict[str, Section]:
    """The sections of images without labels: what needs none, so that gates on the others find nothing."""
    return {ANATOMY: NUMBER_SECTIONS[ANATOMY].model_validate(numbers.content()[ANATOMY])}


def _data_sha256(table: RunTable) -> str:
    rows = [*zip(table.image, table.image_sha256, table.annotation_sha256, strict=True)]
    rows += [(failure.image, failure.image_sha256, failure.annotation_sha256) for failure in table.failures]
    return digest([f"{name}\0{image}\0{annotation}" for name, image, annotation in rows])


def _calibration(run: Run, known: RunDocument) -> dict[str, Json] | None:
    """Calibration of σ as `mahtdiag calibration` judges it, or None where the run has no σ."""
    if not has_sigma(run.table()) or not run.table().labelled:
        return None
    return judge_sigma(run, choices_of(CalibrationSettings(), known)).numbers()
