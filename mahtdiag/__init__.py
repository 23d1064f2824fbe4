"""Evaluate and diagnose networks that find vertebral landmarks on lumbar spine radiographs."""

__version__ = "0.1.0"
