"""Whether rules, limits and verdicts say what is the case; no part of the installed package."""
