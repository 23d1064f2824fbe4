"""Options of a command line become settings, and are complained about by their own names."""

from pathlib import Path

from mahtdiag.config.project_file import read_settings
from mahtdiag.config.settings import settings_from_options
from mahtdiag.schema.choices import NO_IMAGES
from mahtdiag.schema.frames import Size
from mahtdiag.schema.preprocessing import Resize

from .problems import problems_of


def test_all_problems_at_once_in_the_words_of_the_command_line() -> None:
    problems = problems_of(
        lambda: settings_from_options(
            {
                "--input-size": "wide", "--channels": 2, "--heatmap-sigma": float("nan"),
                "--softargmax-beta": -1.0, "--pixel-spacing": 0.0, "--batch-size": "few", "--workers": 0,
                "--overlays": "best", "--allow-failures": -1,
            }
        )
    )  # fmt: skip
    assert problems == (
        "--input-size wide: expected HEIGHTxWIDTH in pixels, for example 512x256",
        "--channels 2: input should be 1 or 3",
        "--heatmap-sigma nan: input should be a finite number",
        "--softargmax-beta -1.0: input should be greater than 0",
        "--pixel-spacing 0.0: a pixel measures between 0.005 and 5 mm, such as 0.143",
        "--batch-size few: expected auto or a whole number above 0",
        "--workers 0: input should be greater than 0",
        "--overlays best: expected worst:N, all or none, for example worst:12",
        "--allow-failures -1: input should be greater than or equal to 0",
    )


def test_a_sigma_beyond_any_heatmap() -> None:
    problems = problems_of(lambda: settings_from_options({"--heatmap-sigma": 1e30}))
    assert problems == ("--heatmap-sigma 1e+30: input should be less than or equal to 1000",)


def test_positional_names() -> None:
    problems = problems_of(
        lambda: settings_from_options({"CHECKPOINT": 3, "--model": 4, "DATA": 5, "--view": "PA"})
    )
    assert [problem.split()[0] for problem in problems] == ["CHECKPOINT", "--model", "DATA", "--view"]


def test_the_command_line_overrides_the_file(tmp_path: Path) -> None:
    (tmp_path / "mahtdiag.toml").write_text(
        '[model]\ncheckpoint = "a.pt"\nresize = "stretch"\ninput_size = "64x32"\n[evaluate]\nworkers = 2\n'
        'overlays = "all"\n[anatomy.limits]\nA201 = 7.0\n'
    )
    file = read_settings(None, tmp_path)
    assert file.overridden_by(settings_from_options({"CHECKPOINT": None, "--resize": None})) == file
    given = settings_from_options(
        {
            "CHECKPOINT": None, "--resize": "letterbox", "--input-size": "128x96", "DATA": "data",
            "--overlays": "none", "--out": "no setting",
        }
    )  # fmt: skip
    both = file.overridden_by(given)
    assert both.model.checkpoint == "a.pt"
    assert both.model.resize == Resize.LETTERBOX
    assert both.model.input_size == Size(128, 96)
    assert both.data.path == "data"
    assert (both.evaluate.workers, both.evaluate.overlays) == (2, NO_IMAGES)
    assert both.anatomy.limits == {"A201": 7.0}
