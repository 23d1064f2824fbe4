"""`--quiet` and `--verbose`: the closing summary alone, and every row of the tables."""

import pytest

from .command import Desk


@pytest.mark.parametrize("how", ["-q", "--quiet"])
def test_quiet_prints_the_end_of_what_is_printed_otherwise(desk: Desk, how: str) -> None:
    assert desk.lookup("exact", "--overlays", "none").status == 0
    for typed in (("anatomy", "run"), ("calibration", "run"), ("compare", "run", "run")):
        usual, quiet = desk.run(*typed), desk.run(*typed, how)
        assert quiet.status == usual.status
        assert usual.text.rstrip().endswith(quiet.text.rstrip())
        assert 1 <= len(quiet.text.rstrip().splitlines()) <= 8
        assert "│" not in quiet.text


def test_quiet_evaluate_names_errors_setup_gates_and_what_is_next(desk: Desk) -> None:
    (desk.path / "mahtdiag.toml").write_text('[gates]\n"radial_error_px.median" = "<= 0.001"\n')
    result = desk.lookup("exact", "-q")
    assert result.status == 1
    lines = result.text.splitlines()
    assert lines[0].startswith("mean radial error, px: ")
    assert [line.split()[0] for line in lines[1:]] == ["setup:", "gates:", *["next:"] * 2, "run"]
    assert lines[2].startswith("gates: 1 of 1 gate failed: radial_error_px.median: ")
    assert (lines[3], lines[-1]) == ("next: mahtdiag report run", "run folder: run")


def test_verbose_has_rows_that_are_cut_otherwise(desk: Desk) -> None:
    assert desk.lookup("exact").status == 0
    usual, everything = desk.run("calibration", "run").text, desk.run("calibration", "run", "-v").text
    assert len(everything.splitlines()) == len(usual.splitlines()) + 12, "8 of 20 keypoints"


@pytest.mark.parametrize(
    "typed", [("evaluate", "a.pt", "data"), ("anatomy", "run"), ("calibration", "run"), ("compare", "a", "b")]
)
def test_contradictions_are_one_line(desk: Desk, typed: tuple[str, ...]) -> None:
    desk.run(*typed, "-q", "-v").refused("--quiet with --verbose: leave one of them out")
    desk.run(*typed, "-q", "--format", "json").refused(
        "--quiet with --format json: it is about tables; leave it out"
    )
