"""Mutated files against every reader of annotations and images; run it as `python -m fuzz`."""
