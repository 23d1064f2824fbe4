"""The checks by code: from geometry to values and whom to blame."""

from mahtdiag.anatomy.checks.aspect import sizes_alike, width_over_height
from mahtdiag.anatomy.checks.levels import spacing_regular
from mahtdiag.anatomy.checks.measure import ROUNDING, Check, Measure
from mahtdiag.anatomy.checks.ordering import centres_descend, endplates_apart, endplates_in_order
from mahtdiag.anatomy.checks.parallelism import discs_not_wedged, endplates_in_line, endplates_parallel
from mahtdiag.anatomy.checks.points import inside_image, points_apart, points_finite
from mahtdiag.anatomy.checks.shape import (
    corners_in_step,
    left_is_left,
    outline_convex,
    outline_simple,
    sides_smooth,
)

__all__ = ["CHECKS", "ROUNDING", "Check", "Measure"]

CHECKS: dict[str, Check] = {
    "A101": centres_descend,
    "A102": endplates_apart,
    "A103": endplates_in_order,
    "A201": endplates_parallel,
    "A202": discs_not_wedged,
    "A203": endplates_in_line,
    "A301": width_over_height,
    "A302": sizes_alike,
    "A401": outline_simple,
    "A402": left_is_left,
    "A403": outline_convex,
    "A404": sides_smooth,
    "A405": corners_in_step,
    "A501": spacing_regular,
    "A601": inside_image,
    "A602": points_apart,
    "A603": points_finite,
}
