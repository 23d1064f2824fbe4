"""The recalibration file: written whole, read strictly."""

import json
import os
from pathlib import Path

import pytest

from mahtdiag.errors import UsageError
from mahtdiag.runs.document import CheckpointSource, DataSource
from mahtdiag.runs.factors import (
    ConformalLimits,
    Recalibration,
    SigmaFactors,
    read_recalibration,
    write_recalibration,
)
from mahtdiag.schema.skeleton import View

NAMES = View.AP.skeleton.keypoint_names


def factors() -> Recalibration:
    limits = ConformalLimits(
        coverage=0.9, pooled=2.5, by_keypoint=dict.fromkeys(NAMES), counts=dict.fromkeys(NAMES, 5)
    )
    return Recalibration(
        view=View.AP,
        checkpoint=CheckpointSource(path="größe.pt", sha256="a" * 64, format="mahtdiag"),
        data=DataSource(path="data", format="buu-lspine", sha256="b" * 64),
        reading={"decode": "dark", "softargmax_beta": 1.0},
        n_images=5,
        n_keypoints=100,
        sigma_scale=SigmaFactors(
            common=1.5, by_keypoint=dict.fromkeys(NAMES, 1.5), counts=dict.fromkeys(NAMES, 5)
        ),
        conformal_d=(limits,),
        conformal_px=(limits,),
        image_sha256=("c" * 64,),
    )


def test_what_is_written_is_read(tmp_path: Path) -> None:
    write_recalibration(tmp_path / "f.json", factors())
    assert read_recalibration(tmp_path / "f.json") == factors()
    assert [path.name for path in tmp_path.iterdir()] == ["f.json"]


def test_a_file_of_the_same_kind_is_replaced(tmp_path: Path) -> None:
    write_recalibration(tmp_path / "f.json", factors().model_copy(update={"n_images": 6}))
    write_recalibration(tmp_path / "f.json", factors())
    assert read_recalibration(tmp_path / "f.json").n_images == 5


def test_a_pipe_is_not_read_to_see_what_it_is(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    # Open at both ends, so that a reader would not wait for ever.
    end = os.open(tmp_path / "pipe", os.O_RDWR | os.O_NONBLOCK)
    os.write(end, factors().to_json().encode())
    with pytest.raises(UsageError, match="exists and is not a recalibration file"):
        write_recalibration(tmp_path / "pipe", factors())
    os.close(end)


@pytest.mark.parametrize("content", ["", "[1]", '{"schema": 1}', "\x00"])
def test_another_file_is_neither_read_nor_replaced(tmp_path: Path, content: str) -> None:
    (tmp_path / "f.json").write_text(content)
    with pytest.raises(UsageError, match=r"f.json: not (valid JSON|a recalibration file)"):
        read_recalibration(tmp_path / "f.json")
    with pytest.raises(UsageError, match="exists and is not a recalibration file"):
        write_recalibration(tmp_path / "f.json", factors())
    assert (tmp_path / "f.json").read_text() == content


def test_a_missing_file_is_told_and_a_missing_folder_made(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"none.json: cannot be read \(No such file"):
        read_recalibration(tmp_path / "none.json")
    write_recalibration(Path("none/f.json"), factors(), tmp_path)
    assert read_recalibration(tmp_path / "none" / "f.json") == factors()
    with pytest.raises(UsageError) as refused:
        write_recalibration(Path("none/f.json/g.json"), factors(), tmp_path)
    problem = "--fit none/f.json/g.json: a file stands where a folder is needed; name another"
    assert refused.value.problems == (problem,)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": 2}, "schema version 2"),
        ({"n_images": -1}, "n_images"),
        ({"extra": 1}, "extra"),
        ({"sigma_scale": {"common": 0.0, "by_keypoint": {}, "counts": {}}}, "sigma_scale.common"),
        ({"view": "LA"}, "exactly the 22 of LA"),
    ],
)
def test_a_damaged_file_is_refused(tmp_path: Path, change: dict[str, object], message: str) -> None:
    content = json.loads(factors().to_json()) | change
    (tmp_path / "f.json").write_text(json.dumps(content))
    with pytest.raises(UsageError, match=message):
        read_recalibration(tmp_path / "f.json")


def test_an_infinite_limit_is_refused(tmp_path: Path) -> None:
    text = factors().to_json().replace('"pooled": 2.5', '"pooled": Infinity')
    (tmp_path / "f.json").write_text(text)
    with pytest.raises(UsageError, match="finite"):
        read_recalibration(tmp_path / "f.json")


def test_a_file_of_many_values_is_refused_in_one_line(tmp_path: Path) -> None:
    content = json.loads(factors().to_json()) | {"worsens": [[]] * 100_000}
    (tmp_path / "f.json").write_text(json.dumps(content))
    with pytest.raises(UsageError) as caught:
        read_recalibration(tmp_path / "f.json")
    line = f"{tmp_path / 'f.json'}: more than 100,000 values; name a file that --fit has written"
    assert caught.value.problems == (line,)


def test_a_file_has_as_many_digests_as_images(tmp_path: Path) -> None:
    many = factors().model_copy(update={"image_sha256": ("c" * 64,) * 120_000})
    write_recalibration(tmp_path / "f.json", many)
    assert read_recalibration(tmp_path / "f.json") == many
