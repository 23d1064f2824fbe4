"""A finished run vouches for its files: whatever is changed afterwards is noticed by whoever reads it."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mahtdiag.errors import RunFolderError
from mahtdiag.runs.document import content_sha256
from mahtdiag.runs.files import write_file
from mahtdiag.runs.folder import RunFolder
from mahtdiag.runs.reading import open_run

from .builders import (
    EVALUATED,
    FAILED,
    START,
    append_missing,
    batches,
    finished,
    names_in,
    uninterrupted,
    unseal,
)

Content = dict[str, Any]


def content_of(path: Path) -> Content:
    content: Content = json.loads((path / "run.json").read_text(encoding="utf-8"))
    return content


def write(path: Path, content: Content, **style: Any) -> None:
    (path / "run.json").write_text(json.dumps(content, **style), encoding="utf-8")


def test_the_checksums_are_those_of_the_files(tmp_path: Path) -> None:
    uninterrupted(tmp_path / "x")
    sums = content_of(tmp_path / "x")["checksums"]
    for name in ("images", "keypoints"):
        content = (tmp_path / "x" / f"{name}.parquet").read_bytes()
        assert sums[f"{name}_parquet"] == hashlib.sha256(content).hexdigest()
    assert open_run(tmp_path / "x", tmp_path).sealed


def test_the_digest_of_the_document_as_its_definition_says(tmp_path: Path) -> None:
    uninterrupted(tmp_path / "x")
    content = content_of(tmp_path / "x")
    own = content["checksums"].pop("run_json")
    for name in ("started", "seconds"):
        del content[name]
    del content["settings"]["workers"]
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
    assert own == hashlib.sha256(canonical.encode("ascii")).hexdigest()


@pytest.mark.parametrize("name", ["images.parquet", "keypoints.parquet"])
def test_an_edited_table_is_named(tmp_path: Path, name: str) -> None:
    uninterrupted(tmp_path / "x")
    path = tmp_path / "x" / name
    path.write_bytes(path.read_bytes() + b"\n")
    with pytest.raises(RunFolderError) as caught:
        open_run(tmp_path / "x", tmp_path)
    assert caught.value.problems == (
        f"{path}: changed since the run was finished (checksum); restore the file or evaluate again",
    )


def test_all_tables_that_changed_are_named_at_once(tmp_path: Path) -> None:
    uninterrupted(tmp_path / "x")
    (tmp_path / "x" / "images.parquet").write_bytes(b"")
    (tmp_path / "x" / "keypoints.parquet").unlink()
    with pytest.raises(RunFolderError) as caught:
        open_run(tmp_path / "x", tmp_path)
    assert [problem.rpartition("/")[2].split(":")[0] for problem in caught.value.problems] == [
        "images.parquet",
        "keypoints.parquet",
    ]
    assert "missing from the run folder" in caught.value.problems[1]


def lower_the_error(content: Content) -> None:
    content["metrics"]["radial_error_px"]["mean"] -= 1e-9


def pass_the_gate(content: Content) -> None:
    content["gates"][0]["limit"] = 5.0


def other_setting(content: Content) -> None:
    content["settings"]["decode"] = "argmax"


def other_table(content: Content) -> None:
    content["checksums"]["images_parquet"] = "0" * 64


@pytest.mark.parametrize("edit", [lower_the_error, pass_the_gate, other_setting, other_table])
def test_an_edited_document_is_refused(tmp_path: Path, edit: Callable[[Content], None]) -> None:
    uninterrupted(tmp_path / "x")
    content = content_of(tmp_path / "x")
    edit(content)
    write(tmp_path / "x", content)
    with pytest.raises(RunFolderError, match=r"run\.json: changed since the run was finished \(checksum\)"):
        open_run(tmp_path / "x", tmp_path)


def test_order_and_indentation_are_no_change(tmp_path: Path) -> None:
    uninterrupted(tmp_path / "x")
    content = content_of(tmp_path / "x")
    write(tmp_path / "x", content, sort_keys=True, indent=8, ensure_ascii=True)
    assert open_run(tmp_path / "x", tmp_path).document.metrics is not None


def test_a_run_of_an_earlier_version_is_read_without_a_promise(tmp_path: Path) -> None:
    uninterrupted(tmp_path / "x")
    run = open_run(unseal(tmp_path / "x"), tmp_path)
    assert not run.sealed
    assert len(names_in(run)) == EVALUATED + FAILED


def test_an_interrupted_run_has_no_checksums_until_it_is_finished(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path / "x", START)
    append_missing(folder, batches()[:2])
    folder.interrupt(START)
    assert content_of(tmp_path / "x")["checksums"] is None
    assert not open_run(tmp_path / "x", tmp_path).sealed
    again = RunFolder.resume(tmp_path / "x", START)
    append_missing(again, batches())
    again.finish(
        finished(START, EVALUATED, FAILED - 3).model_copy(
            update={"images": START.images.model_copy(update={"total": 10, "evaluated": 8, "failed": 2})}
        ),
        tmp_path,
    )
    assert open_run(tmp_path / "x", tmp_path).sealed


def test_what_other_commands_write_into_the_folder_is_no_change(tmp_path: Path) -> None:
    uninterrupted(tmp_path / "x")
    folder = RunFolder.resume(tmp_path / "x", START)
    write_file(folder.path, "overlays/0001.png", b"png")
    assert open_run(tmp_path / "x", tmp_path).sealed


@pytest.mark.parametrize("name", ["images.parquet", "keypoints.parquet"])
def test_an_edited_run_is_not_resumed(tmp_path: Path, name: str) -> None:
    uninterrupted(tmp_path / "x")
    path = tmp_path / "x" / name
    path.write_bytes(path.read_bytes() + b"\n")
    with pytest.raises(RunFolderError, match=rf"x/{name}: changed since the run was finished"):
        RunFolder.resume(tmp_path / "x", START)


def test_gates_that_are_judged_anew_are_vouched_for(tmp_path: Path) -> None:
    uninterrupted(tmp_path / "x")
    folder = RunFolder.resume(tmp_path / "x", START)
    before = folder.document
    folder.finish(before.model_copy(update={"gates": ()}), tmp_path)
    after = open_run(tmp_path / "x", tmp_path).document
    assert (before.checksums, after.gates) != (after.checksums, before.gates)
    assert before.checksums is not None
    assert after.checksums is not None
    assert before.checksums.images_parquet == after.checksums.images_parquet


numbers = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5)


@given(st.dictionaries(st.text(max_size=5), numbers, max_size=5), st.randoms())
def test_the_digest_follows_the_content_and_not_its_order(content: Content, random: Any) -> None:
    keys = list(content)
    random.shuffle(keys)
    digest = content_sha256(content)
    assert digest == content_sha256({key: content[key] for key in keys})
    assert digest == content_sha256(json.loads(json.dumps(content)))
    assert digest != content_sha256({**content, "one key more": 0})
    later = {**content, "started": "later", "settings": {"workers": 9}, "checksums": {"run_json": "?"}}
    assert content_sha256(later) == content_sha256(
        {**content, "started": "now", "settings": {"workers": 1}, "checksums": {"run_json": "!"}}
    )


@pytest.mark.parametrize("name", ["latest", "runs/latest"])
def test_the_newest_run_by_the_name_latest(tmp_path: Path, name: str) -> None:
    uninterrupted(tmp_path / "runs" / "a")
    folder = RunFolder.resume(tmp_path / "runs" / "a", START)
    folder.finish(folder.document, tmp_path)
    assert open_run(Path(name), tmp_path).path == tmp_path / "runs" / "a"


def test_a_folder_that_is_called_latest_is_meant_itself(tmp_path: Path) -> None:
    uninterrupted(tmp_path / "latest")
    assert open_run(Path("latest"), tmp_path).path == tmp_path / "latest"
