"""Numbers that the pages of concepts quote, as they stand there, each from the function that computes it."""

from collections.abc import Callable, Mapping
from typing import Final

import numpy as np
import torch

from handbook.pictures import errors, heatmaps, intervals, losses, measured, regions, sigma, spines
from mahtdiag.calibration.conformal import units_needed
from mahtdiag.losses import WingLoss

Words = Callable[[], tuple[str, ...]]


def percent(share: float, decimals: int = 0) -> str:
    """`31 %`."""
    return f"{100 * share:.{decimals}f} %"


def signed(value: float, decimals: int = 1) -> str:
    """With a real minus."""
    return f"{value:.{decimals}f}".replace("-", "−")


def two_networks() -> tuple[str, ...]:
    """The table of two networks with the same mean error."""
    rows = []
    for name, each in zip("AB", errors.two_networks(), strict=True):
        mean, median, p95 = (f"{each.numbers[f'radial_error_px.{told}']:.1f} px" for told in errors.TOLD)
        within, failures = percent(each.numbers["sdr_px.4"]), percent(each.curve.failures, 1)
        rows.append(f"| {name} | {mean} | {median} | {p95} | {within} | {each.curve.auc:.2f} | {failures} |")
    ratio = errors.two_networks()[1].curve.failures / errors.two_networks()[0].curve.failures
    return (*rows, {16: "sixteen times the failures"}[round(ratio)])


def label_noise() -> tuple[str, ...]:
    """A perfect network against labels of other SEMs."""
    two = errors.perfect_networks()[1]
    at_two = [percent(each.within(2.0)) for each in errors.perfect_networks()]
    return (
        f"a SEM of 2 px along either axis: {percent(two.within(2.0))} within 2 px "
        f"and {percent(two.within(4.0))} within 4 px",
        f"Two such readers are {two.floor_px:.1f} px apart",
        f"at 2 px {at_two[0]}, {at_two[1]} and {at_two[2]}",
    )


def decoding() -> tuple[str, ...]:
    """Mean distances of decoders, the place between two peaks, and of two conventions."""
    off = {method: f"{cells:.2f}" for method, cells in heatmaps.decoding_errors().items()}
    places = heatmaps.two_peaks()
    from_first = float(np.linalg.norm(places["soft-argmax"] - places["argmax"]))
    px, cells = heatmaps.convention_gap()
    return (
        f"off by {off['argmax']} cells with argmax, {off['local']} with local and {off['dark']} with DARK",
        f"(here β = {heatmaps.BETA:g}) lands {from_first:.1f} cells from the first peak",
        f"the two differ by {px:g} input pixels, {cells:g} cells",
    )


def loss_values() -> tuple[str, ...]:
    """What the losses make of some errors."""
    wing = WingLoss(reduction="none").per_axis(torch.tensor([1.0, 10.0], dtype=torch.float64)).tolist()
    return (
        f"{percent(losses.keypoint_share(2.0))} of the loss comes from keypoint pixels, with the plain "
        f"square {percent(losses.keypoint_share(0.0))}",
        f"an error of 1 px costs {wing[0]:.2f}, one of 10 px {wing[1]:.1f}",
        f"Endplates 10° apart cost {losses.parallel_of_degrees(10.0):.3f}, and 30°, which no body has, "
        f"{losses.parallel_of_degrees(30.0):.3f}",
    )


def found() -> tuple[str, ...]:
    """How far a corner has to be moved."""
    at = {(view, step): percent(spines.found_at(view, step)) for view in ("AP", "LA") for step in (0.25, 0.5)}
    both = {at["AP", 0.25], at["LA", 0.25]}
    assert len(both) == 1
    assert min(spines.found_at(view, 1.0) for view in ("AP", "LA")) >= 0.99
    assert spines.level_shift().violating == 0
    return (
        f"at a quarter of a vertebra's height {both.pop()} of the spines have a finding, at half a height "
        f"{at['AP', 0.5]} (AP) and {at['LA', 0.5]} (LA), at one height 99 % and more",
        f"none of the {len(spines.level_shift().label)} sample labels moved down by a level breaks a rule",
    )


def mistakes() -> tuple[str, ...]:
    """A level shift, and errors that all vertebrae share."""
    shift, (moved, low) = spines.level_shift(), spines.shared_errors()
    images = len(shift.label)
    return (
        f"{shift.shifted} of {images} are told to be shifted, with a mean error of {shift.error_widths:.2f} "
        "vertebra widths",
        f"Of the keypoints {percent(shift.of_type)} are level shifts",
        f"the same mean error of {moved.mean_px:.1f} px",
        f"the same mean error of {low.mean_px:.1f} px",
        f"heights are {moved.bodies.height.scale.value:.2f} of the labelled ones; right heights are "
        f"{low.bodies.height.scale.value:.2f}, and dividing each body by that would save "
        f"{percent(low.bodies.height.gain.value)} of the error",
    )


def limits_of_agreement() -> tuple[str, ...]:
    """Limits where a bias grows."""
    told = measured.growing_bias()
    at = {mean: [signed(end) for end in told.regression.at(mean)] for mean in (10.0, 50.0)}
    return (
        f"the bias is {signed(told.limits.bias)}° with limits of {signed(told.limits.lower)} and "
        f"+{signed(told.limits.upper)}°",
        f"{at[10.0][0]} to +{at[10.0][1]}° at 10° and {at[50.0][0]} to {at[50.0][1]}° at 50°",
    )


def reliability() -> tuple[str, ...]:
    """The table of four models, and what a circle holds."""
    rows = []
    for name, report in sigma.reports().items():
        inside, ellipse = report.coverage["0.95"].observed, report.radial.coverage["0.95"].observed
        rows.append(
            f"| {name} | {report.mace:.3f} | {report.sigma_scale:.2f} | {percent(inside, 1)} | "
            f"{percent(ellipse, 1)} |"
        )
    return *rows, f"A circle of 1.96 σ holds {percent(1 - np.exp(-(1.959964**2) / 2), 1)}"


def by_chance() -> tuple[str, ...]:
    """MACE of a right σ."""
    told = {size: sigma.chance(size, sigma.TOGETHER) for size in (10, 50, 500)}
    wrong = sigma.mace_of_factor(1.1)
    assert wrong < told[10].most
    return (
        f"{percent(sigma.TOGETHER)} of their variance in common: a right σ shows {told[10].mean:.3f} at "
        f"10 images (at most {told[10].most:.3f}), {told[50].mean:.3f} at 50 and {told[500].mean:.3f} at 500",
        f"too small by 1.1 has a MACE of {wrong:.3f} at any size",
    )


def factors() -> tuple[str, ...]:
    """Factors with gross errors, and the verdict."""
    few, many = sigma.with_gross_errors(0.01), sigma.with_gross_errors(0.05)
    assert few.verdict.startswith(f"Overconfident: σ is too small by a factor of {few.sigma_scale:.2f}")
    return (
        f"1 % of them lift the σ scale to {few.sigma_scale:.2f} while the half factor is {few.core_scale:.2f}"
        f"; 5 % lift it to {many.sigma_scale:.2f}, the half factor to {many.core_scale:.2f}",
        f"the 95 % factor to {many.tail_scale:.2f}, the half factor",
        f"*overconfident by a factor of {few.sigma_scale:.2f}*",
    )


def ranking() -> tuple[str, ...]:
    """How a right and a random σ rank errors; from how many units conformal regions are finite."""
    right, random = sigma.rankings().values()
    return (
        f"a right σ has a rank correlation of {right.spearman:.2f} and an AUSE of {right.curve.ause:.2f}, "
        f"the same σ in random order {random.spearman:.2f} and {random.curve.ause:.2f}",
        f"a right σ reaches {right.spearman:.2f}",
        f"90 % takes at least {units_needed(0.9)} patients or images, 95 % takes {units_needed(0.95)}",
    )


def conformal() -> tuple[str, ...]:
    """What regions hold of a model whose σ is half as large as it should be."""
    told = []
    for images in (9, 19, 200):
        shares = regions.held_by_conformal(images)
        low, high = (100 * float(end) for end in np.quantile(shares, [0.05, 0.95]))
        told.append(f"{percent(float(shares.mean()))} on average ({low:.0f} to {high:.0f} %)")
    return (
        f"the 90 % ellipse of σ holds {percent(regions.held_by_ellipse())}",
        f"regions fitted on 9 images hold {told[0]}, on 19 {told[1]}, on 200 {told[2]}",
    )


def coverage() -> tuple[str, ...]:
    """What intervals hold that count keypoints, images or patients, and one test by flipped signs."""
    held = [percent(trial.coverage) for trial in intervals.trials().values()]
    seen = intervals.flips()
    low, high = seen.interval
    return (
        f"hold the true mean in {held[0]} of {intervals.SETS} sets, those over images in {held[1]}, those "
        f"over patients in {held[2]}",
        f"the mean changes by {signed(seen.test.value, 2)} px, p = {seen.test.p_value():.3f}, 95 % interval "
        f"{signed(low, 2)} to {signed(high, 2)}",
    )


QUOTED: Final[Mapping[str, tuple[Words, ...]]] = {
    "radial-error": (two_networks, label_noise),
    "heatmaps": (decoding,),
    "losses": (loss_values,),
    "anatomy": (found,),
    "error-types": (mistakes,),
    "measurements": (limits_of_agreement,),
    "calibration": (reliability, by_chance, factors),
    "using-sigma": (ranking, conformal),
    "intervals": (coverage,),
}
"""What stands in each page, by its name."""
