"""What every test shares: property tests that draw the same examples each time.

The same code passes or fails the same way everywhere. `HYPOTHESIS_PROFILE=explore pytest` draws new examples
and so looks for what nobody thought of.
"""

import os

from hypothesis import settings

settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.register_profile("explore", deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))
