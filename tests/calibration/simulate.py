"""Simulated models with a known calibration; the studies of `validation/` use the same ones."""

from validation.simulated_models import FloatArray, Simulated, calibrated, faulty, true_sigma

__all__ = ["FloatArray", "Simulated", "calibrated", "faulty", "true_sigma"]
