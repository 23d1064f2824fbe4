"""Annotated image sets: one reader per format, and image decoding."""
