"""How well the default anatomical rules find wrong labels in a real annotated set.

    python -m validation.label_audit LABELS.json KNOWN_ERRORS.json [--whole]

LABELS.json: a list of `{index, width, height, points}` with 68 points (x, y) per image: 17 vertebrae T1…L5,
each UL, UR, LL, LR (the AASCE 2019 training annotations; Wu et al., MICCAI 2017). KNOWN_ERRORS.json: a list
of `{index, kind, lumbar_affected, confidence}`. L1 to L5 are judged, with `--whole` T1 to L5. An image counts
as wrong if an error affects these levels and is more than `probable`; images with nothing worse than a
probable error are left out.

The limits were chosen with the percentiles of this same set in view, so another set will fare a little worse.
"""

import argparse
import json
import re
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from mahtdiag.anatomy.findings import Findings, by_limit, check_anatomy, keys_by_region
from mahtdiag.anatomy.geometry import measure_geometry
from mahtdiag.anatomy.rules import LIMIT_BY_KEY, RULES, Limits
from mahtdiag.schema.skeleton import AP, NAMED, Region, Skeleton, View

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
DOUBTS = {
    "377": "375 to 378 show one patient and disagree on what lies below L1",
}
"""Images that count as right though they may be wrong, as seen in their points, without the radiographs."""
WHOLE = Skeleton.of(View.AP, NAMED["thoracolumbar"])
THORACIC_DOUBTS = {
    "73": "T1 reaches into T2",
    "78": "one corner of T7 lies in T8's row, which those of 77 and 79, the same patient, do not",
    "379": "half of T4 and of T6 are marked, and of 380, the same patient, whole ones",
}
"""The same of what `--whole` adds."""

PERCENTILES = (0.0, 0.1, 1.0, 50.0, 99.0, 99.9, 100.0)


@dataclass(frozen=True, slots=True)
class AuditedSet:
    """Keypoints `[N, K, 2]`, image sizes `[N, 2]`, which labels are known to be wrong, and whose radiograph
    it is.
    """

    points_px: Floats
    size_px: Floats
    wrong: Bools
    right: Bools
    kinds: tuple[str, ...]
    patients: tuple[str, ...]
    skeleton: Skeleton = AP

    @property
    def doubts(self) -> dict[str, str]:
        """Images in doubt, and why."""
        return doubts_of(self.skeleton)

    @property
    def doubted(self) -> Bools:
        """Images in doubt, see `DOUBTS`."""
        doubted: Bools = np.array([str(n) in self.doubts for n in range(self.right.size)])
        return doubted


def doubts_of(skeleton: Skeleton) -> dict[str, str]:
    """Images whose annotation of these levels is in doubt, and why."""
    return DOUBTS | (THORACIC_DOUBTS if Region.THORACIC in skeleton.regions else {})


def read_set(labels_path: Path, errors_path: Path, skeleton: Skeleton = AP) -> AuditedSet:
    """The lowest levels of the set, with its known errors."""
    labels = json.loads(labels_path.read_text(encoding="utf-8"))
    errors = json.loads(errors_path.read_text(encoding="utf-8"))
    row = {label["index"]: n for n, label in enumerate(labels)}
    wrong, doubtful = np.zeros(len(labels), dtype=np.bool_), np.zeros(len(labels), dtype=np.bool_)
    kinds = [""] * len(labels)
    for error in errors:
        n = row[error["index"]]
        if error["confidence"] == "probable":
            doubtful[n] = True
        elif error["lumbar_affected"] or Region.THORACIC in skeleton.regions:
            wrong[n] = True
            kinds[n] = kinds[n] or error["kind"]
    points = np.array([label["points"] for label in labels], dtype=np.float64)[:, -skeleton.keypoints :]
    size = np.array([[label["width"], label["height"]] for label in labels], dtype=np.float64)
    patients = tuple(patient_of(label.get("filename", str(label["index"]))) for label in labels)
    return AuditedSet(points, size, wrong, ~wrong & ~doubtful, tuple(kinds), patients, skeleton)


def patient_of(filename: str) -> str:
    """The number that follows the date in the names of this set, `15` in `…-25-Jul-2016-15 C AP.jpg`; where
    there is none, the whole name.
    """
    numbered = re.search(r"-\d{4}-(\d+) ", filename)
    return numbered.group(1) if numbered else filename


def area_under_roc(positive: Floats, negative: Floats) -> float:
    """Chance that a positive scores above a negative, ties counting half (Mann and Whitney)."""
    ranks = rankdata(np.concatenate([positive, negative]))
    below = ranks[: positive.size].sum() - positive.size * (positive.size + 1) / 2
    return float(below / (positive.size * negative.size))


def share(hits: Bools) -> str:
    """`40/42 = 95.2 % (84.2–98.7)` with Wilson's 95 % interval."""
    n, k, z = hits.size, int(hits.sum()), 1.959964
    centre, half = (k + z**2 / 2) / (n + z**2), z / (n + z**2) * np.sqrt(k * (n - k) / n + z**2 / 4)
    low, high = max(centre - half, 0.0), min(centre + half, 1.0)
    return f"{k}/{n} = {100 * k / n:.1f} % ({100 * low:.1f}–{100 * high:.1f})"


def summary_lines(audited: AuditedSet, found: Findings) -> list[str]:
    """Recall, false alarms and ranking."""
    severity = found.image_severity()
    auc = area_under_roc(severity[audited.wrong], severity[audited.right])
    return [
        f"images: {audited.wrong.sum()} with wrong {words_of(audited.skeleton)}labels, "
        f"{audited.right.sum()} others, "
        f"{audited.wrong.size - audited.wrong.sum() - audited.right.sum()} doubtful and left out",
        f"wrong labels found:     {share(severity[audited.wrong] > 0)}",
        f"other images flagged:   {share(severity[audited.right] > 0)}",
        *doubt_lines(audited, severity),
        f"area under the ROC curve of the severity: {auc:.3f}",
    ]


def doubt_lines(audited: AuditedSet, severity: Floats) -> list[str]:
    """The images in doubt that were flagged, and the share without them."""
    doubts = [int(name) for name in audited.doubts if int(name) < severity.size and audited.right[int(name)]]
    flagged = [n for n in doubts if severity[n] > 0]
    rest = share(severity[audited.right & ~audited.doubted] > 0)
    if not flagged:
        return []
    return [
        f"  without {', '.join(map(str, flagged))}: {rest}",
        *(f"    ({audited.doubts[str(n)]})" for n in flagged),
    ]


def words_of(skeleton: Skeleton) -> str:
    """What labels are judged, before `labels`."""
    return "lumbar " if skeleton is AP else ""


def kind_lines(audited: AuditedSet, found: Findings) -> list[str]:
    """How many of each kind of mistake were found."""
    flagged = found.image_severity() > 0
    lines = ["", f"{'kind of mistake':<58}{'found':>7}"]
    for kind in sorted({kind for kind in audited.kinds if kind}):
        rows = np.array([k == kind for k in audited.kinds]) & audited.wrong
        lines.append(f"{kind:<58}{f'{flagged[rows].sum()}/{rows.sum()}':>7}")
    return lines


def rule_lines(audited: AuditedSet, found: Findings) -> list[str]:
    """In how many wrong and other images each rule fired."""
    fired = found.fired()
    lines = ["", f"{'rule':<52}{'wrong':>7}{'others':>8}"]
    for n, rule in enumerate(RULES):
        title = f"{rule.code} {rule.title}"
        lines.append(f"{title:<52}{fired[audited.wrong, n].sum():>7}{fired[audited.right, n].sum():>8}")
    return lines


def value_lines(audited: AuditedSet) -> list[str]:
    """Percentiles of every judged quantity in the other images, beside the limit they led to."""
    limits, skeleton = Limits.of(audited.skeleton), audited.skeleton
    of = keys_by_region(LIMIT_BY_KEY.values())
    header = "".join(f"{f'{p:g} %':>9}" for p in PERCENTILES)
    lines = ["", f"{'quantity in the other images':<44}{'limit':>7}{header}"]
    with np.errstate(invalid="ignore", divide="ignore"):
        geometry = measure_geometry(
            audited.points_px[audited.right], skeleton, audited.size_px[audited.right]
        )
        measures = [m for rule in RULES for m in rule.measure(geometry, limits.of_rule(rule))]
        measures = [part for measure in measures for part in by_limit(measure, skeleton, of[measure.key])]
    for measure in measures:
        values = measure.values[np.isfinite(measure.values)]
        name = f"{measure.key} [{LIMIT_BY_KEY[measure.key].unit}]"
        row = "".join(f"{value:>9.3g}" for value in np.percentile(values, PERCENTILES))
        lines.append(f"{name:<44}{limits[measure.key]:>7g}{row}")
    return lines


def exception_lines(audited: AuditedSet, found: Findings) -> list[str]:
    """The wrong labels that were not found, and the other images that were flagged."""
    severity = found.image_severity()
    missed = np.flatnonzero(audited.wrong & (severity == 0))
    flagged = np.flatnonzero(audited.right & (severity > 0))
    lines = ["", "not found:"]
    lines += [f"  {n:>4}  {audited.kinds[n]}" for n in missed]
    lines += ["flagged among the others:"]
    for n in flagged[np.argsort(-severity[flagged])]:
        reasons = ", ".join(f"{f.code} {f.vertebra} {f.value:.2f} {f.unit}" for f in found.of_image(int(n)))
        lines.append(f"  {n:>4}  {reasons}")
    return lines


def report(audited: AuditedSet) -> str:
    """The whole table as text."""
    found = check_anatomy(audited.points_px, audited.skeleton, image_size_px=audited.size_px)
    lines = summary_lines(audited, found) + rule_lines(audited, found) + kind_lines(audited, found)
    return "\n".join(lines + value_lines(audited) + exception_lines(audited, found)) + "\n"


def main() -> None:
    """Reads the two files named on the command line and prints the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("labels", type=Path, help="all annotations, JSON")
    parser.add_argument("known_errors", type=Path, help="the known errors among them, JSON")
    parser.add_argument("--whole", action="store_true", help="T1 to L5, not L1 to L5 alone")
    arguments = parser.parse_args()
    skeleton = WHOLE if arguments.whole else AP
    sys.stdout.write(report(read_set(arguments.labels, arguments.known_errors, skeleton)))


if __name__ == "__main__":
    main()
