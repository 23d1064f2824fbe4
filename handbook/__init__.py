"""What the documentation site is made with; no part of the package that is installed."""
