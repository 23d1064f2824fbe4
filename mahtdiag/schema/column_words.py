"""What the columns of the tables of a run are, group by group, in the words of the documentation."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class ColumnGroup:
    """Columns of a file that one sentence is about."""

    file: str
    names: tuple[str, ...]
    meaning: str


def _group(file: str, names: str, meaning: str) -> ColumnGroup:
    return ColumnGroup(file, tuple(names.split()), meaning)


IMAGES, KEYPOINTS = "images.parquet", "keypoints.parquet"
RANKING, EXPORTED = "the file of anatomy --csv", "the file of export --format csv"
COLUMN_GROUPS: Final = (
    _group(IMAGES,
           "image status reason",
           "path below DATA; `ok` or `failed`; why it failed"),
    _group(IMAGES,
           "width height",
           "of the image as its labels see it, px"),
    _group(IMAGES,
           "pixel_spacing_mm pixel_spacing_x_mm pixel_spacing_y_mm",
           "mm per pixel; the first is null where the two directions differ"),
    _group(IMAGES,
           "sex age_years patient subgroups",
           "as file names, headers or files say; the patient as a hash"),
    _group(IMAGES,
           "loss_total loss_heatmap loss_coord loss_anatomical loss_order loss_parallel loss_ratio "
           "loss_uncertainty loss_heatmap_keypoint_share",
           "parts of the loss, in the network's frame"),
    _group(IMAGES,
           "radial_error_px max_error_px radial_error_input_px radial_error_diagonal_pct "
           "radial_error_width_pct radial_error_height_pct expected_radial_error_px",
           "mean and largest error over the keypoints of the image; the mean in other units; what the"
           " heatmaps expect"),
    _group(IMAGES,
           "vertebra_width_px spine_height_px",
           "what errors in % are shares of, from the label"),
    _group(IMAGES,
           "violations labels_suspicious level_shift",
           "codes of rules that the prediction, and that the label breaks; levels by which the whole "
           "spine is off"),
    _group(IMAGES,
           "image_sha256 annotation_sha256 thumbnail",
           "digests of the files; a small copy, by which copies are found"),
    _group(IMAGES,
           "bits grey_low grey_high colour orientation",
           "what the check of the setup saw of the file"),
    _group(KEYPOINTS,
           "image index vertebra corner",
           "which keypoint of which image"),
    _group(KEYPOINTS,
           "gt_x gt_y gt2_x gt2_y labelled listhesis",
           "label, second label, in original pixels; whether there is a label; the listhesis code of "
           "its endplate"),
    _group(KEYPOINTS,
           "pred_x pred_y missed",
           "prediction; labelled and not predicted"),
    _group(KEYPOINTS,
           "error_px error_mm error_input_px error_type",
           "radial error, and its kind"),
    _group(KEYPOINTS,
           "sigma_x sigma_y sigma_aleatoric_x sigma_aleatoric_y sigma_epistemic_x sigma_epistemic_y",
           "σ, and its parts where several passes were made, original px"),
    _group(KEYPOINTS,
           "head_xx head_xy head_yy",
           "covariance of a head that returns one, px²"),
    _group(KEYPOINTS,
           "at_min_x at_min_y at_max_x at_max_y",
           "σ is at the smallest or largest value that the head can return"),
    _group(KEYPOINTS,
           "peak flags",
           "highest value of the heatmap; bits: 1 not finite, 2 flat, 4 not positive, 8 peak at the "
           "border, 16 diffuse"),
    _group(KEYPOINTS,
           "spread_xx spread_xy spread_yy averaged_xx averaged_xy averaged_yy",
           "covariance of the heatmap around its peak, and of all that soft-argmax averages, px²"),
    _group(KEYPOINTS,
           "argmax_x argmax_y local_x local_y second_x second_y second_peak",
           "what other decoders read, original px; the second peak and its height as a share of the "
           "first"),
    _group(KEYPOINTS,
           "expected_error_px",
           "radial error that the heatmap expects, with `--expected-error`"),
)  # fmt: skip
"""As in docs/files.md."""
CSV_GROUPS: Final = (
    _group(RANKING, "rank image status",
           "from the most suspicious image on; suspicious, unreadable or clean"),
    _group(RANKING, "severity codes keypoints reason",
           "how much is wrong with it, the rules that fired, the keypoints that they blame, all in words"),
    _group(RANKING, "label_evidence label_reason",
           "how strongly and why the network speaks against the label; empty where it does not"),
    _group(EXPORTED, "image vertebra corner x y", "which keypoint of which image, and where, px"),
    _group(EXPORTED, "sigma_x sigma_y score", "of predictions: σ, px, and the peak of the heatmap"),
)  # fmt: skip
