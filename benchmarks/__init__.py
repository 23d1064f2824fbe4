"""Measurements of speed and memory, run by `make bench`; no part of the installed package."""
