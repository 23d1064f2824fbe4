"""What the tests of run folders compare with."""

import pytest

from .builders import uninterrupted


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, bytes]:
    """Both tables of an AP run that nothing disturbed."""
    return uninterrupted(tmp_path_factory.mktemp("expected") / "x")
