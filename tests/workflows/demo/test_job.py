"""The sample of the demo as it is written into a folder of the user's."""

from pathlib import Path

import numpy as np
import pytest

from mahtdiag.data.readers import open_dataset
from mahtdiag.errors import UsageError
from mahtdiag.models.checkpoint import Checkpoint
from mahtdiag.models.formats import format_of
from mahtdiag.workflows.demo.job import DATA, MISLABELLED, PLANTED, STEPS, unpack


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    unpack(Path("demo"), tmp_path)
    return tmp_path / "demo"


def mistakes(folder: Path) -> dict[str, str]:
    """What is said to be wrong, by image."""
    lines = (folder / PLANTED).read_text(encoding="utf-8").splitlines()[1:]
    return dict(line.split(",") for line in lines)


def test_the_labels_with_mistakes_are_the_right_ones_but_for_what_is_said(folder: Path) -> None:
    right, wrong = (open_dataset(folder / name, None) for name in (DATA, MISLABELLED))
    assert (right.failures, wrong.failures) == ((), ())
    assert len(right.samples) == len(wrong.samples) == 28
    assert len({sample.patient.identifier for sample in right.samples}) == 28
    said = mistakes(folder)
    for one, other in zip(right.samples, wrong.samples, strict=True):
        assert one.image == other.image
        assert one.spacing is not None
        assert one.spacing == other.spacing
        same = (folder / DATA / one.image).read_bytes() == (folder / MISLABELLED / one.image).read_bytes()
        assert same, "the radiographs are the same"
        equal = np.array_equal(one.keypoints_px, other.keypoints_px)
        assert equal == (one.image not in said)


def test_every_mistake_is_what_it_is_called(folder: Path) -> None:
    right, wrong = (
        {sample.image: sample.keypoints_px.reshape(5, 2, 2, 2) for sample in open_dataset(path, None).samples}
        for path in (folder / DATA, folder / MISLABELLED)
    )
    said = {words: image for image, words in mistakes(folder).items()}
    swapped = said.pop("left and right exchanged")
    np.testing.assert_array_equal(wrong[swapped], right[swapped][:, :, ::-1])
    shifted = said.pop("every vertebra marked one level too high")
    np.testing.assert_array_equal(wrong[shifted][1:], right[shifted][:-1])
    dragged = said.pop("L3 lower right corner a vertebra's height too low")
    moved = wrong[dragged] - right[dragged]
    assert np.argwhere(np.abs(moved).max(axis=-1) > 0).tolist() == [[2, 1, 1]]
    height = right[dragged][2, 1, 1] - right[dragged][2, 0, 1]
    np.testing.assert_allclose(moved[2, 1, 1], height, atol=0.3)
    turned = said.pop("L2 lower endplate turned by 25°")
    assert np.unique(np.argwhere(wrong[turned] != right[turned])[:, :2], axis=0).tolist() == [[1, 1]]
    one, other = (points[turned][1, 1, 1] - points[turned][1, 1, 0] for points in (right, wrong))
    angle = np.degrees(np.arctan2(other[1], other[0]) - np.arctan2(one[1], one[0]))
    assert angle == pytest.approx(25.0, abs=0.3)
    assert said == {}


def test_the_networks_need_no_trust_and_are_one_architecture(folder: Path) -> None:
    inputs = []
    for name in ("healthy.pt", "short.pt"):
        checkpoint = Checkpoint(folder / name)
        format_ = format_of(checkpoint)
        assert (format_.name, format_.carries_code) == ("mahtdiag", False)
        inputs.append(format_.inspect(checkpoint))
    assert inputs[0] == inputs[1]


def test_the_sample_is_small(folder: Path) -> None:
    written = [file for file in folder.rglob("*") if file.is_file() and file.parent.name != MISLABELLED]
    assert sum(file.stat().st_size for file in written) < 3_200_000


@pytest.mark.parametrize("there", ["a file", "a folder with something", "a dangling link"])
def test_what_is_there_stays(tmp_path: Path, there: str) -> None:
    taken = tmp_path / "demo"
    if there == "a file":
        taken.write_text("mine")
    elif there == "a dangling link":
        taken.symlink_to(tmp_path / "nowhere")
    else:
        taken.mkdir()
        (taken / "mine").write_text("mine")
    with pytest.raises(UsageError) as refused:
        unpack(Path("demo"), tmp_path)
    assert refused.value.problems == (
        "--out demo: is there already, and is left as it is; type: mahtdiag demo --out demo-2",
    )
    left = [file.name for file in tmp_path.rglob("*")]
    assert sorted(left) == (["demo", "mine"] if there == "a folder with something" else ["demo"])


def test_an_empty_folder_is_taken(tmp_path: Path) -> None:
    (tmp_path / "demo").mkdir()
    unpack(Path("demo"), tmp_path)
    assert (tmp_path / "demo" / "mahtdiag.toml").is_file()


def test_a_typed_command_fits_into_a_line_of_a_terminal() -> None:
    assert max(len(f"$ mahtdiag {' '.join(step.typed)}") for step in STEPS) <= 80
    assert max(len(f"# {step.why}") for step in STEPS) <= 80
