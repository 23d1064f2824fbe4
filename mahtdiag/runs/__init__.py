"""The run folder: write it, append to it, resume it, read it. Nothing else knows its files."""
