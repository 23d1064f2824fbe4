"""`make validate`: whether rules find what is wrong, and verdicts say what is the case.

    python -m validation [NAME …]

The studies of the AASCE labels, which are no part of the repository, are run by their own names:
`validation.label_audit`, `validation.limit_validation`, `validation.injection`.
"""

from collections.abc import Callable, Iterator

from rich.console import RenderableType

from benchmarks.figures import print_named
from validation import (
    agreement,
    bodies,
    calibration_claims,
    calibration_verdicts,
    causes,
    comparison,
    damaged_images,
    duplicates,
    injection,
    intervals,
    kills,
    label_noise,
    storage,
    subgroups,
    suspicious_labels,
)

STUDIES: dict[str, Callable[[], Iterator[RenderableType]]] = {
    "injection": injection.run,
    "intervals": intervals.run,
    "calibration-verdicts": calibration_verdicts.run,
    "duplicates": duplicates.run,
    "label-noise": label_noise.run,
    "calibration-claims": calibration_claims.run,
    "agreement": agreement.run,
    "causes": causes.run,
    "bodies": bodies.run,
    "comparison": comparison.run,
    "subgroups": subgroups.run,
    "suspicious-labels": suspicious_labels.run,
    "kills": kills.run,
    "damaged-images": damaged_images.run,
    "storage": storage.run,
}

if __name__ == "__main__":
    print_named(STUDIES, __doc__ or "")
