"""The numbers of a run: one file per family, `metric.py` what is said of each, `registry.py` all by name."""
