"""Predicted uncertainty: reliability, what chance makes of MACE, factors on σ, and ranking."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from numpy.typing import NDArray

from handbook.pictures.picture import Picture, panels
from mahtdiag.calibration.by_chance import MaceByChance, mace_by_chance
from mahtdiag.calibration.ranking import Sparsification, sparsification, spearman
from mahtdiag.calibration.report import CalibrationReport, calibration_report
from mahtdiag.calibration.scores import radial_error_px, radial_sigma_px
from mahtdiag.reports.figures.style import BLUE, GREEN, INK, MUTED, PURPLE, VERMILLION
from validation.simulated_models import Simulated, calibrated, faulty

Floats = NDArray[np.float64]

KEYPOINTS: Final = 20
MODELS: Final = {
    "σ is right": "",
    "σ half as large": "sigma x 0.5",
    "bias of 1 σ in x": "bias of 1 sigma",
    "heavy tails": "heavy tails",
}


def _model(fault: str) -> Simulated:
    rng = np.random.default_rng(51)
    return faulty(fault, rng, 400) if fault else calibrated(rng, 400)


@cache
def reports() -> dict[str, CalibrationReport]:
    """What is told of 400 images of each model."""
    models = {name: _model(fault) for name, fault in MODELS.items()}
    return {
        name: calibration_report(m.residual_px, m.sigma_px, intervals=False) for name, m in models.items()
    }


def _reliability() -> Figure:
    figure, (axes,) = panels(1, 3.4)
    axes.plot([0, 1], [0, 1], color=MUTED, linewidth=0.8)
    styles = ((GREEN, "-"), (VERMILLION, "--"), (BLUE, "-."), (PURPLE, ":"))
    for (name, report), (colour, style) in zip(reports().items(), styles, strict=True):
        assert report.curve is not None
        label = f"{name}:\nMACE {report.mace:.3f}, σ scale {report.sigma_scale:.2f}"
        axes.plot(report.curve.levels, report.curve.observed, color=colour, linestyle=style, label=label)
    axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="promised: level of the interval")
    axes.set_ylabel("observed: share of errors inside")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.text(0.03, 0.95, "σ too large", color=MUTED, va="top")
    axes.text(0.97, 0.05, "σ too small", color=MUTED, ha="right")
    axes.set_aspect("equal")
    figure.legend(loc="outside right center")
    return figure


SIZES: Final = (10, 20, 50, 100, 200, 500)
TOGETHER: Final = 0.4
"""Share of the variance of z that all keypoints of an image have in common."""


def _z(rng: np.random.Generator, images: int, together: float) -> Floats:
    shared, own = rng.normal(size=(images, 1, 2)), rng.normal(size=(images, KEYPOINTS, 2))
    return np.asarray(np.sqrt(together) * shared + np.sqrt(1 - together) * own)


@cache
def chance(images: int, together: float) -> MaceByChance:
    """What is printed as MACE by chance of a set of so many images, the mean of 20 sets."""
    rng = np.random.default_rng(52)
    found = []
    for _ in range(20):
        z = np.abs(_z(rng, images, together)).reshape(-1, 2)
        found.append(mace_by_chance(z, np.repeat(np.arange(images), KEYPOINTS)))
    known = [each for each in found if each is not None]
    return MaceByChance(float(np.mean([k.mean for k in known])), float(np.mean([k.most for k in known])))


@cache
def mace_of_factor(factor: float) -> float:
    """MACE of many keypoints where σ is too small by a factor."""
    rng = np.random.default_rng(53)
    residual = _z(rng, 20_000, 0.0)
    return float(
        calibration_report(residual, np.full_like(residual, 1 / factor), intervals=False).mace or 0.0
    )


def _by_chance() -> Figure:
    figure, (axes,) = panels(1, 3.0)
    kinds = (
        (TOGETHER, BLUE, "-", "errors of an image go together"),
        (0.0, VERMILLION, "--", "independent errors"),
    )
    for together, colour, style, name in kinds:
        told = [chance(size, together) for size in SIZES]
        axes.plot(SIZES, [t.mean for t in told], color=colour, linestyle=style, label=name)
        axes.fill_between(
            SIZES, [t.mean for t in told], [t.most for t in told], color=colour, alpha=0.15, lw=0
        )
    for factor in (1.1, 1.25):
        axes.axhline(mace_of_factor(factor), color=INK, linewidth=0.7, linestyle=":")
        axes.text(500, mace_of_factor(factor) * 1.04, f"σ too small by {factor:g}", ha="right", fontsize=8.5)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xticks(SIZES, [str(size) for size in SIZES])
    axes.set_yticks([0.005, 0.01, 0.02, 0.05, 0.1], ["0.005", "0.01", "0.02", "0.05", "0.1"])
    axes.minorticks_off()
    axes.set(xlabel="images, 20 keypoints each", ylabel="MACE of a σ that is right")
    axes.legend(loc="lower left")
    return figure


SHARES: Final = tuple(np.round(np.arange(0.0, 0.0501, 0.005), 3))
GROSS: Final = 8.0


@cache
def with_gross_errors(share: float) -> CalibrationReport:
    """A σ that is right but for a share of keypoints whose errors are eight times as large."""
    rng = np.random.default_rng(54)
    right = calibrated(rng, 400)
    gross = np.where(rng.random((400, KEYPOINTS, 1)) < share, GROSS, 1.0)
    return calibration_report(right.residual_px * gross, right.sigma_px, intervals=False)


def _factors() -> Figure:
    figure, (axes,) = panels(1, 2.8)
    told = [with_gross_errors(float(share)) for share in SHARES]
    kinds: tuple[tuple[str, Callable[[CalibrationReport], float | None], str, str], ...] = (
        ("σ scale: best likelihood", lambda r: r.sigma_scale, VERMILLION, "-"),
        ("95 % factor", lambda r: r.tail_scale, BLUE, "--"),
        ("half factor", lambda r: r.core_scale, GREEN, "-."),
    )
    for name, of, colour, style in kinds:
        values = [of(report) or 0.0 for report in told]
        axes.plot([100 * float(s) for s in SHARES], values, color=colour, linestyle=style, label=name)
    axes.axhline(1.0, color=MUTED, linewidth=0.7)
    axes.set(xlabel="keypoints whose errors are 8 times as large, %", ylabel="factor on σ", xlim=(0, 5))
    axes.legend(loc="upper left")
    return figure


@dataclass(frozen=True, slots=True)
class Ranking:
    """How a σ ranks errors: the curve, and its rank correlation."""

    curve: Sparsification
    spearman: float


@cache
def rankings() -> dict[str, Ranking]:
    """A σ that is right, and one of the same values in random order."""
    models = {"right σ": _model(""), "σ drawn at random": _model("shuffled sigma")}
    found = {}
    for name, model in models.items():
        sigma, error = radial_sigma_px(model.sigma_px).ravel(), radial_error_px(model.residual_px).ravel()
        curve, rho = sparsification(sigma, error), spearman(sigma, error)
        assert curve is not None
        assert rho is not None
        found[name] = Ranking(curve, rho)
    return found


def _ranking() -> Figure:
    figure, (axes,) = panels(1, 2.9)
    for (name, each), colour, style in zip(rankings().items(), (BLUE, VERMILLION), ("-", "--"), strict=True):
        label = f"{name}: rank correlation {each.spearman:.2f}, AUSE {each.curve.ause:.2f}"
        axes.plot(
            100 * each.curve.removed, each.curve.kept_error_px, color=colour, linestyle=style, label=label
        )
    best = rankings()["right σ"].curve
    axes.plot(100 * best.removed, best.oracle_error_px, color=INK, linestyle=":", label="by the error itself")
    axes.set(xlabel="keypoints removed, largest σ first, %", xlim=(0, 100), ylim=(0, 8))
    axes.set_ylabel("mean error of the rest, px")
    axes.legend(loc="upper right")
    return figure


PICTURES: Final = (
    Picture("reliability", _reliability),
    Picture("mace-by-chance", _by_chance),
    Picture("sigma-factors", _factors),
    Picture("sparsification", _ranking),
)
