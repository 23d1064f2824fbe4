"""Every number of a run by its name: one family per file, and one that is added here is known everywhere.

Whoever needs to know something of a number, in tables, gates, comparisons or `run.json`, asks it.
"""

import difflib
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from itertools import pairwise
from types import MappingProxyType

from mahtdiag.anatomy.rule import Rule
from mahtdiag.anatomy.rules import RULES
from mahtdiag.diagnosis.ambiguity import by_diffuse, by_two_peaks
from mahtdiag.diagnosis.metrics.anatomy import anatomy_metrics, error_type_metrics
from mahtdiag.diagnosis.metrics.angles import angle_metrics
from mahtdiag.diagnosis.metrics.bodies import body_metrics
from mahtdiag.diagnosis.metrics.calibration import behind_sigma, calibration_metrics
from mahtdiag.diagnosis.metrics.clean_labels import clean_label_metrics
from mahtdiag.diagnosis.metrics.errors import error_metrics
from mahtdiag.diagnosis.metrics.losses import loss_metrics, run_metrics
from mahtdiag.diagnosis.metrics.metric import (
    ERRORS,
    GroupKind,
    Images,
    Metric,
    corners,
    everything,
    regions,
    vertebrae,
    worst_of,
)
from mahtdiag.diagnosis.run_table import RunTable
from mahtdiag.diagnosis.worst_images import WorstImages
from mahtdiag.schema.skeleton import SKELETONS, SPINE, WHOLE, Skeleton

Family = Callable[[Skeleton], tuple[Metric, ...]]

FAMILIES: tuple[Family, ...] = (
    run_metrics,
    error_metrics,
    clean_label_metrics,
    loss_metrics,
    anatomy_metrics,
    body_metrics,
    angle_metrics,
    error_type_metrics,
    calibration_metrics,
)
"""What each makes of a skeleton, in the order in which tables and comparisons show it."""


def _of_calibration(rest: str, skeleton: Skeleton) -> Images | None:
    """The images behind `vertebra.L5.mace` of `calibration.groups`."""
    for group in (*regions(skeleton), *vertebrae(skeleton), *corners(skeleton)):
        if rest.startswith(f"{group.kind}.{group.name}."):
            return behind_sigma(rest.rpartition(".")[2], group)
    return behind_sigma(rest.rpartition(".")[2], everything(skeleton))


OPEN: Mapping[str, Callable[[str, Skeleton], Images | None]] = {
    "ambiguity.": lambda rest, _: by_diffuse if rest.endswith("diffuse") else by_two_peaks,
    "calibration.groups.": _of_calibration,
    "environment.": lambda *_: None,
    "label_noise.": lambda *_: None,
    "settings.": lambda *_: None,
    "setup.": lambda *_: None,
}
"""Sections whose numbers depend on the data, and the images behind such a number.

Their names are known only once a run is there.
"""


def metrics_of(skeleton: Skeleton) -> Mapping[str, Metric]:
    """Every number of the runs of a skeleton, by name."""
    return _of_skeleton(FAMILIES, RULES, skeleton)


def known_metrics() -> tuple[Metric, ...]:
    """Every number of the runs of the usual skeletons, each name once, and what whole spines have beside.

    Numbers of single vertebrae of these are left out.
    """
    found = dict(_by_name(FAMILIES, RULES, SKELETONS))
    for name, metric in _by_name(FAMILIES, RULES, WHOLE).items():
        if metric.group.kind in (GroupKind.ALL, GroupKind.REGION):
            found.setdefault(name, metric)
    return tuple(found.values())


def metric_of(name: str) -> Metric | None:
    """What is known of a number; None for an unknown name and for the numbers of open sections."""
    wanted = without_section(name)
    return next(
        (
            found[wanted]
            for each in (SKELETONS, WHOLE)
            if wanted in (found := _by_name(FAMILIES, RULES, each))
        ),
        None,
    )


@cache
def _of_skeleton(
    families: tuple[Family, ...], _: tuple[Rule, ...], skeleton: Skeleton
) -> Mapping[str, Metric]:
    """What the families make of a skeleton, and of the rules that there are."""
    found: dict[str, Metric] = {}
    for metric in (metric for family in families for metric in family(skeleton)):
        found.setdefault(metric.name, metric)
    return MappingProxyType(found)


@cache
def _by_name(
    families: tuple[Family, ...], rules: tuple[Rule, ...], skeletons: tuple[Skeleton, ...]
) -> Mapping[str, Metric]:
    """The same of several skeletons; a name means what the first of them makes of it."""
    found: dict[str, Metric] = {}
    for skeleton in skeletons:
        for name, metric in _of_skeleton(families, rules, skeleton).items():
            found.setdefault(name, metric)
    return MappingProxyType(found)


def without_section(name: str) -> str:
    """A name without `metrics.`, which may be left out."""
    return name.removeprefix(f"{ERRORS}.")


def is_open(name: str) -> bool:
    """Whether only a run can tell if there is such a number."""
    return name.startswith(tuple(OPEN))


def vertebra_of(name: str) -> str | None:
    """The vertebra whose number this is: `L5` of `vertebrae.L5.radial_error_px.mean`."""
    metric = metric_of(name)
    if metric is not None:
        return metric.group.name if metric.group.kind is GroupKind.VERTEBRA else None
    if not is_open(name):
        return None
    tables = ("vertebrae", "by_vertebra")
    return next((of for table, of in pairwise(name.split(".")) if table in tables and of in SPINE), None)


def is_of_errors(name: str) -> bool:
    """Whether a number grows as the radial errors of images do."""
    metric = metric_of(name)
    return metric is not None and metric.section == ERRORS


def images_behind(name: str, table: RunTable, *, too_high: bool) -> WorstImages | None:
    """The images that push a number away from its limit; None where no image stands for it."""
    metric = metrics_of(table.skeleton).get(without_section(name))
    if metric is not None:
        return metric.worst_images(table, too_high)
    for section, find in OPEN.items():
        if name.startswith(section):
            return worst_of(find(name.removeprefix(section), table.skeleton), table, too_high)
    return None


def nearest_name(name: str, known: Iterable[str] | None = None) -> str | None:
    """The name of a number that is spelt most like `name`, to help whoever misspelt it."""
    sets = (SKELETONS, WHOLE)
    for names in [_by_name(FAMILIES, RULES, each) for each in sets] if known is None else [known]:
        close = difflib.get_close_matches(without_section(name), list(names), 1, 0.6)
        if close:
            return close[0]
    return None
