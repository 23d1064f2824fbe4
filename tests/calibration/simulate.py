"""Simulated models with a known calibration; the benchmarks use the same ones."""

from benchmarks.simulated_models import FloatArray, Simulated, calibrated, faulty, true_sigma

__all__ = ["FloatArray", "Simulated", "calibrated", "faulty", "true_sigma"]
