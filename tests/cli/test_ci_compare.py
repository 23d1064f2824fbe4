"""`compare --junit` and `--markdown`: a test case per number that decides."""

import re
from pathlib import Path

import pytest

from .builders import INPUT_OPTIONS, Bench, build_bench
from .command import Desk
from .test_ci_files import FILES, outcomes, suite_of

ERROR, VIOLATIONS = "radial_error_px.mean worse by", "anatomy.images_with_violations worse by"


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """Twelve images: of fewer than ten nothing is said."""
    return build_bench(tmp_path_factory.mktemp("bench"), 12)


@pytest.fixture
def runs(desk: Desk) -> Desk:
    """`exact`; `argmax`, in which 4 of 6 images are a little worse; `nan`, which failed on some images."""
    for name, network, *more in (
        ("exact", "exact"),
        ("argmax", "heatmaps", "--decode", "argmax"),
        ("nan", "nan_some", "--allow-failures", "6"),
    ):
        assert desk.lookup(network, "--out", name, *more, data="data/AP").status == 0
    return desk


def heading(path: Path) -> str:
    return path.read_text(encoding="utf-8").splitlines()[0]


def test_no_difference_passes(runs: Desk) -> None:
    done = runs.run("compare", "exact", "argmax", *FILES)
    assert done.status == 0
    assert outcomes(runs.path / "ci.xml") == {
        "images evaluated": "passed", f"{ERROR} lower <= 0": "passed", f"{VIOLATIONS} lower <= 0": "passed",
    }  # fmt: skip
    assert heading(runs.path / "ci.md") == "## ✅ mahtdiag compare: 2 gates passed"
    text = (runs.path / "ci.md").read_text(encoding="utf-8")
    assert "\n\nA `exact`, B `argmax`\n\nB is neither shown to be worse than A beyond the margin" in text
    assert "\n- largest increase of the mean radial error: `0005-M-061Y0.png` +" in text


def test_what_is_not_shown_fails_where_it_has_to_be(runs: Desk) -> None:
    done = runs.run("compare", "exact", "argmax", "--strict", *FILES)
    assert done.status == 1
    assert outcomes(runs.path / "ci.xml") == {
        "images evaluated": "passed", f"{ERROR} upper <= 0": "failure", f"{VIOLATIONS} upper <= 0": "passed",
    }  # fmt: skip
    message = suite_of(runs.path / "ci.xml").findall("testcase")[1][0].get("message", "")
    assert message.startswith(f"{ERROR}: 0.")
    assert "; largest increase of the mean radial error: 0005-M-061Y0.png +" in message


def test_images_that_only_the_first_run_has_evaluated(runs: Desk) -> None:
    done = runs.run("compare", "exact", "nan", *FILES)
    assert done.status == 1
    case = suite_of(runs.path / "ci.xml").findall("testcase")[0]
    assert case[0].tag == "failure"
    lines = (case[0].text or "").splitlines()
    assert lines
    assert all(line.endswith(": evaluated in exact, failed in nan") for line in lines)
    assert heading(runs.path / "ci.md").startswith("## ❌ mahtdiag compare: ")


def test_several_runs_are_told_apart(runs: Desk) -> None:
    done = runs.run("compare", "exact", "argmax", "nan", "--margin", "radial_error_px.mean=5", *FILES)
    assert done.status == 1
    assert outcomes(runs.path / "ci.xml") == {
        "images evaluated": "failure", f"B: {ERROR} lower <= 5": "passed", f"C: {ERROR} lower <= 5": "passed",
    }  # fmt: skip
    text = (runs.path / "ci.md").read_text(encoding="utf-8")
    assert "\n\nA `exact`, B `argmax`, C `nan`\n\nB: no difference. C: worse.\n\n" in text
    assert f"| `B: {ERROR}` |" in text


def test_a_baseline_gate_names_the_images_that_got_worse(runs: Desk) -> None:
    """Not those that were the worst before as well: the last image is off most in both runs."""
    (runs.path / "mahtdiag.toml").write_text(
        '[gates.baseline]\nrun = "exact"\n"radial_error_px.mean" = "+0.01"\n'
    )
    done = runs.run(
        "evaluate", "lookup-ap.pt", "data/AP", "--model", "nets:heatmaps", "--trust", *INPUT_OPTIONS,
        "--decode", "argmax", "--overlays", "none", "--out", "other", *FILES,
    )  # fmt: skip
    assert done.status == 1
    found = outcomes(runs.path / "ci.xml")
    assert found["radial_error_px.mean − baseline upper <= 0.01"] == "failure"
    case = suite_of(runs.path / "ci.xml").findall("testcase")[1]
    lines = (case[0].text or "").splitlines()
    assert "baseline: exact" in lines
    listed = lines[lines.index("largest increase of the mean radial error:") + 1 :]
    assert [line.split()[0] for line in listed] == [
        "0005-M-061Y0.png", "0004-M-068Y0.png", "0007-F-073Y0.png", "0011-F-058Y0.png", "0008-M-075Y0.png",
    ]  # fmt: skip
    assert all(re.fullmatch(r"  \S+  \+0\.\d\d px \(to \d+\.\d\d\)", line) for line in listed)


def test_runs_that_cannot_be_compared(runs: Desk) -> None:
    done = runs.run("compare", "exact", "gone", *FILES)
    assert (done.status, done.text) == (2, "")
    assert suite_of(runs.path / "ci.xml").get("errors") == "1"
    assert heading(runs.path / "ci.md") == "## ❌ mahtdiag compare: could not be done"


def test_standard_output(runs: Desk) -> None:
    done = runs.run("compare", "exact", "argmax", "--markdown", "-")
    assert done.status == 0
    assert done.text.startswith("## ✅ mahtdiag compare")
    assert "What decides" not in done.text
