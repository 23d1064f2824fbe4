"""Heatmaps: Gaussian targets, decoding, peak values and spread."""
