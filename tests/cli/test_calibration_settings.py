"""`[calibration]`: how σ is judged, by `evaluate` and by `calibration`."""

import json
from typing import Any

import pytest

from .command import Desk, document_of

CHOSEN = """
[data]
pixel_spacing_mm = 0.5
[calibration]
seed = 3
groups = ["vertebra", "sex"]
large_error_mm = 2.0
"""
AS_SETTINGS = {"seed": 3, "groups": ["vertebra", "sex"], "large_error_mm": 2.0}
DEFAULTS = {
    "seed": 0, "groups": ["vertebra", "corner", "keypoint", "sex", "age band"],
    "large_error_mm": 4.0,
}  # fmt: skip


def write(desk: Desk, text: str) -> None:
    """The configuration of a project."""
    (desk.path / "mahtdiag.toml").write_text(text, encoding="utf-8")


def printed(desk: Desk) -> dict[str, Any]:
    """What `calibration --format json` prints of the run."""
    result = desk.run("calibration", "run", "--no-pictures", "--format", "json")
    assert (result.status, result.errors) == (0, [])
    content: dict[str, Any] = json.loads(result.text)
    return content


def kinds(content: dict[str, Any]) -> set[str]:
    """Kinds of groups, but for the two axes."""
    return {group["kind"] for group in content["groups"]} - {"axis"}


def test_evaluate_and_calibration_judge_alike(desk: Desk) -> None:
    write(desk, CHOSEN)
    assert desk.lookup("exact").status == 0
    document, alone = document_of(desk.path / "run"), printed(desk)
    assert document["settings"]["calibration"] == alone["settings"] == AS_SETTINGS
    stored = document["calibration"]
    for name in ("mace", "ci95", "coverage", "auc_large_error", "groups"):
        assert stored[name] == alone[name]
    assert kinds(alone) == {"vertebra", "sex"}
    assert alone["large_error"] == "2 mm"


def test_the_file_first_then_the_run_then_the_defaults(desk: Desk) -> None:
    write(desk, CHOSEN)
    assert desk.lookup("exact").status == 0
    with_file = printed(desk)
    (desk.path / "mahtdiag.toml").unlink()
    assert printed(desk) == with_file
    write(desk, "[calibration]\nlarge_error_mm = 3.0\n")
    other = printed(desk)
    assert other["settings"] == {**AS_SETTINGS, "large_error_mm": 3.0}
    assert (other["mace"], other["large_error"]) == (with_file["mace"], "3 mm")


def test_nothing_set(desk: Desk) -> None:
    assert desk.lookup("exact").status == 0
    assert document_of(desk.path / "run")["settings"]["calibration"] == DEFAULTS
    assert printed(desk)["settings"] == DEFAULTS


def test_no_groups_at_all(desk: Desk) -> None:
    write(desk, "[calibration]\ngroups = []\n")
    assert desk.lookup("exact").status == 0
    assert kinds(printed(desk)) == set()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("resamples = 500", "unknown key calibration.resamples; known here: groups, large_error_mm, seed"),
        ("seed = -1", "calibration.seed = -1: input should be greater than or equal to 0"),
        ("seed = true", "calibration.seed = True: true and false have no meaning here"),
        ("groups = 'sex'", "calibration.groups = 'sex': input should be a list"),
        ("large_error_mm = 0", "calibration.large_error_mm = 0: input should be greater than 0"),
        ("sead = 1", "unknown key calibration.sead; did you mean seed?"),
    ],
)
def test_what_cannot_be_obeyed(desk: Desk, text: str, problem: str) -> None:
    write(desk, f"[calibration]\n{text}\n")
    desk.run("calibration").refused(f"mahtdiag.toml: {problem}")
