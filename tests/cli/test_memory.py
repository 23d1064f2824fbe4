"""What commands take for a run of many images, measured in processes of their own."""

from pathlib import Path

import pytest

from benchmarks.memory import COMMANDS, peak
from benchmarks.simulated_run import K, write_run

FEW, MANY = 5000, 20_000
SLACK_MB = 20.0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "bytes_per_keypoint"), [("anatomy", 110), ("calibration", 140), ("compare", 2 * 100)]
)
def test_memory_grows_by_little_per_keypoint(tmp_path: Path, name: str, bytes_per_keypoint: int) -> None:
    for count in (FEW, MANY):
        write_run(tmp_path / str(count) / "a", count)
        if name == "compare":
            write_run(tmp_path / str(count) / "b", count, error_px=8.2, seed=2)
    few, many = (peak(COMMANDS[name], tmp_path / str(count))[0] for count in (FEW, MANY))
    assert many - few <= bytes_per_keypoint * K * (MANY - FEW) / 1e6 + SLACK_MB
