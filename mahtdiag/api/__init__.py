"""The front door for Python: what `import mahtdiag` offers, a few objects around the jobs."""
