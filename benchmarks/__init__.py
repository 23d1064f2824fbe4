"""Measurements of speed and of truth, run by `make bench`; no part of the installed package."""
