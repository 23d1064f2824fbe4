"""`--overlay-style` and `--overlay-heatmaps`: the spine alone, and what the network saw."""

import cv2
import numpy as np
from numpy.typing import NDArray

from .command import Desk


def drawn(desk: Desk, out: str) -> dict[str, NDArray[np.uint8]]:
    """The overlays of a run, by name."""
    found = {}
    for path in sorted((desk.path / out / "overlays").iterdir()):
        picture = cv2.imread(str(path))
        assert picture is not None
        found[path.name] = np.asarray(picture, dtype=np.uint8)
    return found


def test_paper_has_no_panel_and_heatmaps_lie_over_it(desk: Desk) -> None:
    choice = ("--overlays", "worst:2")
    for out, options in (
        ("panel", ()),
        ("paper", ("--overlay-style", "paper")),
        ("heat", ("--overlay-style", "paper", "--overlay-heatmaps")),
    ):
        done = desk.lookup("exact", *choice, *options, "--out", out)
        assert (done.status, done.errors) == (0, [])
    panel, paper, heat = (drawn(desk, out) for out in ("panel", "paper", "heat"))
    assert panel.keys() == paper.keys() == heat.keys()
    for name, picture in paper.items():
        assert picture.shape[1] < panel[name].shape[1]
        assert max(picture.shape[:2]) == 1100
        assert heat[name].shape == picture.shape
        changed = (heat[name] != picture).any(axis=2).mean()
        assert 0 < changed < 1, "what a heatmap does not hold stays as it is"


def test_settings_say_the_same(desk: Desk) -> None:
    (desk.path / "paper.toml").write_text('[evaluate]\noverlay_style = "paper"\noverlay_heatmaps = true\n')
    desk.lookup("exact", "--overlays", "worst:1", "--config", "paper.toml", "--out", "a")
    desk.lookup(
        "exact", "--overlays", "worst:1", "--overlay-style", "paper", "--overlay-heatmaps", "--out", "b"
    )
    (one,), (other,) = drawn(desk, "a").values(), drawn(desk, "b").values()
    assert (one == other).all()


def test_what_cannot_be_is_one_line(desk: Desk) -> None:
    refused = desk.run("evaluate", "data", "--predictions", "p.csv", "--overlay-heatmaps")
    refused.refused("--predictions with --overlay-heatmaps: no network is run; leave it out")
    style = desk.lookup("exact", "--overlay-style", "light")
    assert (style.status, len(style.err.splitlines())) == (2, 1)
    assert "'light' is not one of 'panel', 'paper'" in style.err
