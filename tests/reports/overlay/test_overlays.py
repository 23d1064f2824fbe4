"""The overlay as a picture: it decodes, it fits, and every mark is where it belongs."""

import hashlib
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import cv2
import matplotlib as mpl
import numpy as np
import pytest
from numpy.typing import NDArray

from mahtdiag.reports import palette
from mahtdiag.reports.overlay.draw import draw_overlay
from mahtdiag.reports.overlay.lettering import width_px
from mahtdiag.reports.overlay.panel import FONT_PX, Look
from mahtdiag.schema.records import Finding, ImageRecord
from mahtdiag.schema.skeleton import AP, LA, SKELETONS, Skeleton
from tests.reports.overlay.overlay_records import (
    NO_LOSSES,
    THORACOLUMBAR,
    finding,
    make_record,
    spine,
    without_labels,
)

Pixels = NDArray[np.int64]
GREY = np.full((650, 550), 128, dtype=np.uint8)
# An image of 550 × 650 is shown at twice its size, with the panel beside it.
STAGE_WIDTH, STAGE_HEIGHT = 1100, 1300
STRANGE_STYLE = """
text.usetex: True
text.hinting: none
text.antialiased: False
path.sketch: 5, 20, 2
path.simplify_threshold: 1
agg.path.chunksize: 101
text.color: green
font.family: monospace
font.size: 30
font.weight: bold
lines.linewidth: 9
lines.dashed_pattern: 1, 9
patch.linewidth: 7
patch.antialiased: False
figure.dpi: 33
figure.facecolor: red
figure.constrained_layout.use: True
image.origin: lower
image.cmap: viridis
axes.facecolor: red
savefig.dpi: 12
"""


def decode(png: bytes) -> Pixels:
    """RGB, `[H, W, 3]`."""
    picture = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_UNCHANGED)
    assert picture is not None
    return np.asarray(picture[:, :, ::-1], dtype=np.int64)


def drawn(record: ImageRecord, skeleton: Skeleton = AP, worst: int = 0) -> Pixels:
    """The shown radiograph without the panel."""
    return decode(draw_overlay(GREY, record, skeleton, worst=worst))[:STAGE_HEIGHT, :STAGE_WIDTH]


def has_colour(pixels: Pixels, colour: str) -> NDArray[np.bool_]:
    wanted = np.array([int(colour[at : at + 2], 16) for at in (1, 3, 5)])
    return np.asarray((np.abs(pixels - wanted) <= 6).all(axis=-1))


def count(pixels: Pixels, colour: str) -> int:
    return int(has_colour(pixels, colour).sum())


@pytest.mark.parametrize(
    ("height", "width"),
    [
        (1, 1),
        (100, 100),
        (100, 80),
        (4000, 3000),
        (3000, 4000),
        (4000, 100),
        (100, 4000),
        (1000, 833),
        (1000, 1210),
    ],
)
@pytest.mark.parametrize("skeleton", SKELETONS)
def test_fits_a_screen_whatever_the_size_and_the_length_of_the_panel(
    height: int, width: int, skeleton: Skeleton
) -> None:
    rng = np.random.default_rng(0)
    gt = spine(skeleton, width, height)
    gt[[0, 7]] = np.nan
    pred = spine(skeleton, width, height) + rng.normal(size=gt.shape) * 0.02 * max(width, height)
    pred[3], pred[5], pred[6] = np.nan, (-1e9, 1e9), (5.0 * width, 1.0)
    sigma = np.full(gt.shape, 3.0)
    sigma[2] = np.nan
    findings = tuple(finding(f"A{n}", (n % 20,), f"L{n % 5 + 1}") for n in range(101, 140))
    record = make_record(
        skeleton, name="ä/" * 300 + "n" * 300 + ".png", width=width, height=height, gt=gt, pred=pred,
        sigma=sigma, spacing=0.143, findings=findings,
    )  # fmt: skip
    titles = {
        f"A{n}": "a rather long title of a rule, longer than the panel is wide" for n in range(101, 140)
    }
    image = np.full((height, width), 90, dtype=np.uint8)
    picture = decode(draw_overlay(image, record, skeleton, worst=22, rule_titles=titles))
    assert picture.shape[0] <= 1600
    assert picture.shape[1] <= 1600
    # Nothing touches the border of the panel's paper: no text is cut off.
    paper = np.array([int(palette.PAPER[at : at + 2], 16) for at in (1, 3, 5)])
    assert (picture[-6:, -200:] == paper).all()
    assert (picture[-200:, -6:] == paper).all()


def test_marks_lie_on_pixel_centres_at_the_scale_of_the_picture() -> None:
    gt = np.full((20, 2), np.nan)
    gt[0] = (100.0, 200.0)
    pred = np.full((20, 2), np.nan)
    pred[13] = (301.5, 400.0)
    shown = drawn(make_record(gt=gt, pred=pred, sigma=np.full((20, 2), np.nan)))
    for colour, (x, y) in ((palette.LABEL, (100.0, 200.0)), (palette.PREDICTION, (301.5, 400.0))):
        rows, columns = np.nonzero(has_colour(shown, colour))
        # The centre of pixel i of the original is at (i + 0.5)·2, that of shown pixel j at j + 0.5.
        assert columns.mean() + 0.5 == pytest.approx((x + 0.5) * 2, abs=0.1)
        assert rows.mean() + 0.5 == pytest.approx((y + 0.5) * 2, abs=0.1)


def test_each_mark_appears_with_what_it_shows_and_only_then() -> None:
    bare = make_record(pred=np.full((20, 2), np.nan), sigma=np.full((20, 2), np.nan))
    shown = drawn(bare)
    assert count(shown, palette.LABEL) > 1000
    for colour in (palette.PREDICTION, palette.ERROR, palette.WORST, palette.FINDING):
        assert count(shown, colour) == 0

    record = make_record(pred=spine(AP) + np.array([25.0, 20.0]))
    assert count(drawn(without_labels(record)), palette.LABEL) == 0
    assert count(drawn(without_labels(record)), palette.ERROR) == 0
    assert count(drawn(without_labels(record)), palette.PREDICTION) > 500
    assert count(drawn(record), palette.ERROR) > 500
    assert count(drawn(record), palette.WORST) == 0
    assert count(drawn(record, worst=3), palette.WORST) > 200

    blamed = drawn(make_record(pred=spine(AP) + np.array([25.0, 20.0]), findings=(finding(),)))
    assert count(blamed, palette.FINDING) > 100


@pytest.mark.parametrize("missing", [np.nan, np.inf])
def test_a_bad_keypoint_without_a_place_is_not_pointed_at(missing: float) -> None:
    """As in the tables of other programs: an error, but no prediction."""
    pred = spine(AP) + np.array([25.0, 20.0])
    pred[6] = missing
    record = make_record(pred=pred)
    error_px = np.full(20, 32.0)
    error_px[6] = 500.0
    record = replace(record, keypoints=replace(record.keypoints, error_px=error_px))
    assert count(drawn(record, worst=3), palette.WORST) > 200
    assert count(drawn(record, worst=1), palette.WORST) < 200


def test_sigma_ellipses_have_half_axes_of_two_sigma() -> None:
    pred = np.full((20, 2), np.nan)
    pred[0] = (250.0, 300.0)
    nothing = np.full((20, 2), np.nan)
    sigma = np.full((20, 2), 1.0)
    sigma[0] = (30.0, 15.0)
    with_sigma = drawn(without_labels(make_record(pred=pred, sigma=sigma)))
    without = drawn(without_labels(make_record(pred=pred, sigma=nothing)))
    rows, columns = np.nonzero((with_sigma != without).any(axis=-1))
    # 2σ at twice the size, and a rim of about one pixel.
    assert np.ptp(columns) / 2 == pytest.approx(2 * 2 * 30, abs=2)
    assert np.ptp(rows) / 2 == pytest.approx(2 * 2 * 15, abs=2)


def test_outlines_go_round_the_vertebra_and_skip_missing_corners() -> None:
    gt = np.full((20, 2), np.nan)
    gt[:4] = [(100, 100), (300, 100), (100, 250), (300, 250)]

    def label_at(points: NDArray[np.float64], x: float, y: float) -> bool:
        no_prediction = np.full((20, 2), np.nan)
        shown = drawn(make_record(gt=points, pred=no_prediction))
        row, column = int((y + 0.5) * 2), int((x + 0.5) * 2)
        return bool(has_colour(shown[row - 2 : row + 3, column - 2 : column + 3], palette.LABEL).any())

    sides = {"upper": (200, 100), "right": (300, 175), "lower": (200, 250), "left": (100, 175)}
    assert all(label_at(gt, *middle) for middle in sides.values())
    assert not label_at(gt, 200, 175)
    gt[3] = np.nan
    assert [side for side, middle in sides.items() if label_at(gt, *middle)] == ["upper", "left"]


def test_s1_is_a_line() -> None:
    gt = np.full((22, 2), np.nan)
    gt[20:] = [(100, 500), (300, 500)]
    shown = drawn(make_record(LA, gt=gt, pred=np.full((22, 2), np.nan)), LA)
    assert has_colour(shown[995:1007, 400:402], palette.LABEL).any()


def test_a_far_prediction_becomes_an_arrow_and_leaves_the_radiograph_in_place() -> None:
    gt, pred = (np.full((20, 2), np.nan) for _ in range(2))
    gt[5], pred[5] = (100.0, 300.0), (1e300, 300.0)
    rng = np.random.default_rng(1)
    image = rng.integers(0, 256, (650, 550), dtype=np.uint8)
    record = make_record(gt=gt, pred=pred)
    shown = decode(draw_overlay(image, record, AP, worst=1))[:STAGE_HEIGHT, :STAGE_WIDTH]
    rows, columns = np.nonzero(has_colour(shown[580:622, 1060:], palette.WORST))
    assert len(rows) > 50
    assert columns.max() + 1060 >= STAGE_WIDTH - 15
    assert rows.mean() + 580 == pytest.approx(601, abs=3)
    plain = cv2.resize(image, (STAGE_WIDTH, STAGE_HEIGHT), interpolation=cv2.INTER_CUBIC)
    assert (shown[:500] == plain[:500, :, None]).all()
    assert (shown[700:] == plain[700:, :, None]).all()


@pytest.mark.parametrize("far", [1e300, -1e300, 1e9, np.inf, -np.inf, np.nan])
def test_no_value_breaks_the_picture(far: float) -> None:
    gt, pred = spine(LA), spine(LA)
    gt[[0, 5], 0] = far
    pred[3:6, 1] = far
    pred[9] = far
    sigma = np.full((22, 2), 3.0)
    sigma[:4] = [[far, far], [far, 1.0], [0.0, 0.0], [-1.0, 5.0]]
    broken = Finding("A603", 0, "", far, "", far, far, (9, 99, -1))
    record = make_record(LA, gt=gt, pred=pred, sigma=sigma, spacing=0.2, losses=NO_LOSSES, findings=(broken,))
    assert decode(draw_overlay(GREY, record, LA)).shape[0] >= STAGE_HEIGHT


def test_nothing_known_is_still_a_picture() -> None:
    nothing = np.full((20, 2), np.nan)
    record = make_record(
        name="", gt=nothing, pred=nothing, sigma=nothing, width=0, height=0, losses=NO_LOSSES
    )
    assert decode(draw_overlay(np.zeros((1, 1), np.uint8), record, AP)).size > 0


@pytest.mark.parametrize(
    "name",
    [
        "$x^2$.png",
        "$\\frac{$.png",
        "a_b^{c}\\alpha $.png",
        "100%.png",
        "line\nbreak\t.png",
        "患者\U0001f9b4.png",
        "\udcff.png",
    ],
)
def test_names_are_text_and_never_mathematics(name: str) -> None:
    picture = decode(draw_overlay(GREY, make_record(name=name), AP))
    other = decode(draw_overlay(GREY, make_record(name="other.png"), AP))
    changed = np.nonzero((picture != other).any(axis=-1))
    # Only the title changes, and it keeps its line.
    assert changed[0].max() < 60
    assert changed[1].min() > STAGE_WIDTH


def test_dollars_take_their_place() -> None:
    title = decode(draw_overlay(GREY, make_record(name="$aaa$"), AP))[15:50, STAGE_WIDTH:]
    columns = np.nonzero((title.min(axis=2) > 60).any(axis=0))[0]
    size_px = FONT_PX[Look.TITLE]
    assert np.ptp(columns) + 1 == pytest.approx(width_px("$aaa$", size_px, bold=True), abs=4)
    assert width_px("$aaa$", size_px, bold=True) > width_px("aaa", size_px, bold=True) + 15


def test_the_same_bytes_again_and_from_several_threads() -> None:
    records = [make_record(name=f"{n}.png", pred=spine(AP) + 3.0 * n) for n in range(4)]
    alone = [draw_overlay(GREY, record, AP) for record in records]
    assert len(set(alone)) == len(records)
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda record: draw_overlay(GREY, record, AP), records * 2))
    assert together == alone * 2


def test_the_users_matplotlib_settings_neither_matter_nor_change(tmp_path: Path) -> None:
    record = make_record(findings=(finding(),))
    plain = draw_overlay(GREY, record, AP)
    style = tmp_path / "strange.mplstyle"
    style.write_text(STRANGE_STYLE)
    with mpl.rc_context(fname=style):
        before = dict(mpl.rcParams)
        assert draw_overlay(GREY, record, AP) == plain
        assert dict(mpl.rcParams) == before


def test_the_users_matplotlibrc_does_not_matter(tmp_path: Path) -> None:
    """In a process of its own, where no text has been set before."""
    script = (
        "import sys, hashlib, numpy as np\n"
        "from tests.reports.overlay.overlay_records import finding, make_record\n"
        "from mahtdiag.reports.overlay.draw import draw_overlay\n"
        "from mahtdiag.schema.skeleton import AP\n"
        "grey = np.full((650, 550), 128, np.uint8)\n"
        "png = draw_overlay(grey, make_record(findings=(finding(),)), AP)\n"
        "sys.stdout.write(hashlib.sha256(png).hexdigest())\n"
    )
    (tmp_path / "matplotlibrc").write_text(STRANGE_STYLE)
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=Path(__file__).parents[3],
        env={**os.environ, "MATPLOTLIBRC": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    plain = draw_overlay(GREY, make_record(findings=(finding(),)), AP)
    assert done.stdout == hashlib.sha256(plain).hexdigest()


def test_pyplot_is_not_loaded_and_nothing_is_written(tmp_path: Path) -> None:
    script = (
        "import sys, numpy as np\n"
        "from tests.reports.overlay.overlay_records import make_record\n"
        "from mahtdiag.reports.overlay.draw import draw_overlay\n"
        "from mahtdiag.schema.skeleton import AP\n"
        "import os; os.chdir(sys.argv[1])\n"
        "draw_overlay(np.zeros((650, 550), np.uint8), make_record(), AP)\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
        "assert os.listdir() == []\n"
    )
    root = Path(__file__).parents[3]
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script, str(tmp_path)],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_the_record_places_the_marks_even_on_a_shrunk_image() -> None:
    record = make_record()
    full = draw_overlay(GREY, record, AP)
    shrunk = draw_overlay(np.ascontiguousarray(GREY[::5, ::5]), record, AP)
    assert (decode(full) == decode(shrunk)).all()


def test_grey_and_colour_of_the_same_grey_give_the_same_picture() -> None:
    image = np.random.default_rng(2).integers(0, 256, (650, 550), dtype=np.uint8)
    colour = np.stack([image] * 3, axis=2)
    assert draw_overlay(image, make_record(), AP) == draw_overlay(colour, make_record(), AP)


def test_colours_are_read_as_rgb() -> None:
    red = np.zeros((650, 550, 3), dtype=np.uint8)
    red[:, :, 0] = 200
    picture = decode(draw_overlay(red, make_record(), AP))
    assert picture[5, 5].tolist() == [200, 0, 0]


@pytest.mark.parametrize(
    ("image", "skeleton", "worst", "message"),
    [
        (np.zeros((5, 5), np.float32), AP, 3, "image is float32"),
        (np.zeros((5, 5, 4), np.uint8), AP, 3, r"image has shape \(5, 5, 4\)"),
        (np.zeros((0, 5), np.uint8), AP, 3, r"image has shape \(0, 5\)"),
        (GREY, LA, 3, r"skeleton LA has \(22, 2\)"),
        (GREY, AP, -1, "worst is -1"),
    ],
)
def test_wrong_input_is_refused(
    image: NDArray[np.uint8], skeleton: Skeleton, worst: int, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        draw_overlay(image, make_record(), skeleton, worst=worst)


def test_a_skeleton_of_68_keypoints_is_drawn_to_its_last_corner() -> None:
    last = THORACOLUMBAR.keypoints - 1
    pred = spine(THORACOLUMBAR) + np.array([3.0, 4.0])
    pred[last] += 40.0
    blame = finding("A404", (last,), "L5")
    shown = drawn(make_record(THORACOLUMBAR, pred=pred, findings=(blame,)), THORACOLUMBAR, worst=1)
    rows, columns = np.nonzero(has_colour(shown, palette.WORST))
    # Shown at twice its size; its name stands beside the ring.
    at = 2 * (pred[last] + 0.5)
    assert (np.hypot(columns - at[0], rows - at[1]) < 16).sum() > 50
    bare = drawn(make_record(THORACOLUMBAR, pred=np.full((68, 2), np.nan)), THORACOLUMBAR)
    labels = np.nonzero(has_colour(bare, palette.LABEL))[0]
    assert labels.max() == pytest.approx(2 * (spine(THORACOLUMBAR)[last, 1] + 0.5), abs=6)
