"""What the AP limits achieve on patients that they were not set by.

    python -m validation.limit_validation LABELS.json KNOWN_ERRORS.json [--whole]

The shipped limits lie a little beyond the most extreme value of all clean images of this set, so the set
judges them kindly. Here the patients are split into ten parts. For each part the limits are set anew from the
clean images of all others: as far beyond the most extreme value there, relative to an ordinary spine, as the
shipped limits lie beyond the most extreme value of all. That part is then judged by them. The radiographs of
one patient stay together. Limits from a definition, the reading error or the source are kept.

What a rule measures, and how far beyond the extreme its limit lies, was still chosen with the whole set in
view: another set will fare a little worse than this.
"""

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mahtdiag.anatomy.findings import by_limit, check_anatomy, keys_by_region
from mahtdiag.anatomy.geometry import measure_geometry
from mahtdiag.anatomy.limit import Fires
from mahtdiag.anatomy.rules import LIMIT_BY_KEY, RULES, Limits
from mahtdiag.schema.skeleton import AP, Skeleton, View
from validation.injection import named_by_rules
from validation.injection_sets import CleanSet, clean_aasce
from validation.injections import INJECTIONS, Injected
from validation.label_audit import WHOLE, AuditedSet, area_under_roc, read_set, share

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

FROM_THE_SET = ("A201", "A202", "A203", "A302-width", "A302-height", "A404", "A405",
                "A501-min", "A501-max", "A501-gap")  # fmt: skip
FROM_THORACIC = (*(f"{key}-thoracic" for key in FROM_THE_SET), "A301-max-thoracic", "A501-share-thoracic")
MISTAKES = ("one corner moved by 1 height", "one endplate turned by 25°", "one level missing")
PARTS = 10


def extremes(points_px: Floats, skeleton: Skeleton = AP) -> dict[str, Floats]:
    """The most extreme value of every image `[N]` by limit; its ordinary value where there is none."""
    limits = Limits.of(skeleton)
    found = {}
    with np.errstate(all="ignore"):
        geometry = measure_geometry(points_px, skeleton, None)
        measures = [measure for rule in RULES for measure in rule.measure(geometry, limits.of_rule(rule))]
    of = keys_by_region(LIMIT_BY_KEY.values())
    for measure in (part for one in measures for part in by_limit(one, skeleton, of[one.key])):
        if measure.key in (*FROM_THE_SET, *FROM_THORACIC):
            spec = LIMIT_BY_KEY[measure.key]
            extreme = np.fmax if spec.fires is Fires.ABOVE else np.fmin
            values = extreme.reduce(measure.values, axis=0)
            found[measure.key] = np.where(np.isnan(values), spec.typical, values)
    return found


def limits_from(values: Mapping[str, Floats], chosen: Bools, clean: Bools) -> Limits:
    """The limits that the chosen images lead to, where all clean ones lead to those shipped."""
    limits = {}
    for key, per_image in values.items():
        spec = LIMIT_BY_KEY[key]
        away = (per_image - spec.typical) * (1.0 if spec.fires is Fires.ABOVE else -1.0)
        reached, farthest = float(away[chosen & clean].max()), float(away[clean].max())
        if farthest > 0:
            share_of_all = max(reached, 0.0) / farthest
            limits[key] = spec.typical + (spec.default(View.AP) - spec.typical) * share_of_all
    return Limits.of(View.AP, limits)


def parts_of(patients: tuple[str, ...], rng: np.random.Generator) -> NDArray[np.int64]:
    """A part for every image `[N]`, the same for all images of a patient."""
    names, number = np.unique(patients, return_inverse=True)
    return (rng.permutation(len(names)) % PARTS)[number]


def judge(audited: AuditedSet, clean: CleanSet, seed: int) -> tuple[Floats, Bools, Mapping[str, Bools]]:
    """Severity of every image `[N]`, whether a rule other than A301 fired `[N]`, and whether each mistake in
    every clean image was named, all under limits from other patients.
    """
    part = parts_of(audited.patients, np.random.default_rng(seed))
    skeleton = audited.skeleton
    values, usable = extremes(audited.points_px, skeleton), audited.right & ~audited.doubted
    injections = [injection for injection in INJECTIONS if injection.title in MISTAKES]
    made = {each.title: each.make(clean, np.random.default_rng(seed)) for each in injections}
    severity, other = np.zeros(part.size), np.zeros(part.size, dtype=np.bool_)
    named = {each.title: np.zeros(len(clean.points_px), dtype=np.bool_) for each in injections}
    apart = [n for n, rule in enumerate(RULES) if rule.code != "A301"]
    for number in range(PARTS):
        limits, rows = limits_from(values, part != number, usable), part == number
        found = check_anatomy(
            audited.points_px[rows], skeleton, image_size_px=audited.size_px[rows], limits=limits
        )
        severity[rows], other[rows] = found.image_severity(), found.fired()[:, apart].any(axis=1)
        some = rows[audited.right]
        for each in injections:
            injected = Injected(made[each.title].points_px[some], made[each.title].changed[some])
            found = check_anatomy(
                injected.points_px, skeleton, image_size_px=clean.size_px[some], limits=limits
            )
            named[each.title][some] = named_by_rules(found, each, injected)
    return severity, other, named


def report(audited: AuditedSet, clean: CleanSet, seed: int = 0) -> str:
    """The table as text."""
    severity, other, named = judge(audited, clean, seed)
    right, wrong = audited.right, audited.wrong
    lines = [
        f"limits from the other {PARTS - 1} of {PARTS} parts of {len(set(audited.patients))} patients",
        f"wrong labels found:     {share(severity[wrong] > 0)}",
        f"other images flagged:   {share(severity[right] > 0)}",
        f"  by other than A301:   {share(other[right])}",
        f"area under the ROC curve of the severity: {area_under_roc(severity[wrong], severity[right]):.3f}",
        *(f"{title + ', named:':<38}{share(hits)}" for title, hits in named.items()),
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Reads the two files named on the command line and prints the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("labels", type=Path, help="all annotations, JSON")
    parser.add_argument("known_errors", type=Path, help="the known errors among them, JSON")
    parser.add_argument("--seed", type=int, default=0, help="another split of the patients")
    parser.add_argument("--whole", action="store_true", help="T1 to L5, not L1 to L5 alone")
    arguments = parser.parse_args()
    files = arguments.labels, arguments.known_errors, WHOLE if arguments.whole else AP
    sys.stdout.write(report(read_set(*files), clean_aasce(*files), arguments.seed))


if __name__ == "__main__":
    main()
