"""Interrupted runs: continued to the same result, with the same settings, or not at all."""

from datetime import UTC, datetime
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mahtdiag.errors import RunFolderError
from mahtdiag.runs.document import ImageCounts, RunDocument
from mahtdiag.runs.folder import FlushLimits, RunFolder
from mahtdiag.runs.reading import open_run, read_document
from mahtdiag.schema.skeleton import View

from .builders import (
    EACH_BATCH,
    EVALUATED,
    FAILED,
    FILES,
    OPEN_FAILURES,
    START,
    append_missing,
    batches,
    files_of,
    finished,
    header,
    names_in,
    names_of,
    record,
    resume_and_finish,
    tables_of,
    uninterrupted,
)


def _with(section: str, **values: object) -> RunDocument:
    content = dict(START)
    part = content[section]
    content[section] = {**part, **values} if isinstance(part, dict) else part.model_copy(update=values)
    return RunDocument.model_validate(content)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (_with("settings", batch_size=4), "batch_size: 2 → 4"),
        (_with("settings", input={"size": "256x256", "channels": 1}), "input.size: 512x256 → 256x256"),
        (_with("settings", heatmap_sigma=2.0), "heatmap_sigma: not set → 2.0"),
        (_with("settings", decode=None), "decode: dark → none"),
        (_with("checkpoint", sha256="9" * 64), f"checkpoint sha256: {'a' * 64} → {'9' * 64}"),
        (_with("data", listing_sha256="9" * 64), f"(sha256): {'b' * 64} → {'9' * 64}"),
        (_with("data", format="coco"), "data format: buu → coco"),
        (_with("environment", device="cpu"), "device: cuda → cpu"),
        (_with("environment", precision="bf16"), "precision: fp32 → bf16"),
        (_with("images", total=99), "images: 13 → 99"),
        (header(EVALUATED + FAILED, View.LA), "view: AP → LA"),
        (START.model_copy(update={"mahtdiag": "0.0.9"}), "mahtdiag: 0.1.0 → 0.0.9"),
    ],
)
def test_another_setting_cannot_be_resumed_with(tmp_path: Path, changed: RunDocument, message: str) -> None:
    RunFolder.create(tmp_path / "x", START)
    with pytest.raises(RunFolderError) as caught:
        RunFolder.resume(tmp_path / "x", changed)
    assert len(caught.value.problems) == 2
    assert "cannot be resumed with other settings" in caught.value.problems[0]
    assert caught.value.problems[1].endswith(message)


def test_all_differences_are_named_at_once(tmp_path: Path) -> None:
    RunFolder.create(tmp_path / "x", START)
    changed = _with("settings", batch_size=4, decode="local").model_copy(update={"view": View.LA})
    with pytest.raises(RunFolderError) as caught:
        RunFolder.resume(tmp_path / "x", changed)
    assert [problem.split(": ", 1)[1] for problem in caught.value.problems[1:]] == [
        "view: AP → LA",
        "batch_size: 2 → 4",
        "decode: dark → local",
    ]


@pytest.mark.parametrize(
    "changed",
    [
        _with("settings", workers=7, overlays="all", allow_failures=3),
        _with("environment", device="cuda:1", device_name="other", python="3.12.0", threads=9),
        _with("checkpoint", path="elsewhere.pt"),
        _with("data", path="/elsewhere"),
        START.model_copy(update={"started": datetime(2027, 1, 1, tzinfo=UTC)}),
    ],
)
def test_what_changes_no_number_may_differ(tmp_path: Path, changed: RunDocument) -> None:
    RunFolder.create(tmp_path / "x", START)
    assert RunFolder.resume(tmp_path / "x", changed).document.started == START.started


def test_nothing_to_resume_is_said(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match=r"x: no such run folder to resume; leave out --resume"):
        RunFolder.resume(tmp_path / "x", START)
    (tmp_path / "x").mkdir()
    with pytest.raises(RunFolderError, match=r"x: has no run\.json to resume; leave out --resume"):
        RunFolder.resume(tmp_path / "x", START)
    (tmp_path / "x" / "run.json").write_text("{")
    with pytest.raises(RunFolderError, match="not valid JSON"):
        RunFolder.resume(tmp_path / "x", START)
    with pytest.raises(RunFolderError, match="a file, not a run folder"):
        RunFolder.resume(tmp_path / "x" / "run.json", START)


def test_a_complete_run_stays_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "runs" / "x"
    before = uninterrupted(path)
    text = (path / "run.json").read_bytes()
    folder = RunFolder.resume(path, START, OPEN_FAILURES)
    assert folder.complete
    with pytest.raises(ValueError, match="already"):
        folder.append(7, [record("new.jpg")])
    folder.interrupt(START)
    assert folder.finish(finished(START, 1, EVALUATED + FAILED - 1), tmp_path) == ()
    assert names_in(folder.tables()) == names_of(batches())
    assert (tables_of(path), (path / "run.json").read_bytes()) == (before, text)
    assert open_run(None, tmp_path).path.resolve() == path


@settings(max_examples=12, deadline=None)
@given(
    done=st.sets(st.integers(0, 4)),
    limit=st.integers(1, 8),
    ending=st.sampled_from(["killed", "interrupted", "killed while finishing"]),
)
def test_a_resumed_run_gives_the_same_tables_byte_for_byte(
    tmp_path_factory: pytest.TempPathFactory,
    expected: tuple[bytes, bytes],
    done: set[int],
    limit: int,
    ending: str,
) -> None:
    root = tmp_path_factory.mktemp("runs")
    folder = RunFolder.create(root / "x", START, OPEN_FAILURES, limits=FlushLimits(images=limit))
    for number in done:
        folder.append(number, *batches()[number])
    if ending == "interrupted":
        folder.interrupt(START)
        assert folder.finished_batches() == done
    if ending == "killed while finishing":
        folder.tables()
    resumed = RunFolder.resume(root / "x", START, OPEN_FAILURES)
    assert resumed.finished_batches() == folder.finished_batches() <= done
    assert resume_and_finish(root / "x") == expected
    assert files_of(root / "x") == FILES


def test_half_written_files_and_damaged_parts_are_done_again(
    tmp_path: Path, expected: tuple[bytes, bytes]
) -> None:
    path = tmp_path / "x"
    folder = RunFolder.create(path, START, OPEN_FAILURES, limits=EACH_BATCH)
    append_missing(folder, batches())
    for place in (".", "parts", "parts/images", "parts/keypoints"):
        (path / place / ".tmp-123-images.parquet").write_bytes(b"PAR1 half of a")
    (path / "parts/keypoints/00000009-00000009.parquet").write_bytes(b"no commit mark")
    (path / "parts/images/00000001-00000001.parquet").write_bytes(b"")
    (path / "parts/keypoints/00000002-00000002.parquet").unlink()
    assert RunFolder.resume(path, START, OPEN_FAILURES).finished_batches() == {0, 3, 4}
    assert resume_and_finish(path) == expected
    assert files_of(path) == FILES


@pytest.mark.parametrize("last", ["00000003", "99999999", "9" * 200])
def test_a_part_whose_name_holds_more_batches_than_images_is_done_again(
    tmp_path: Path, expected: tuple[bytes, bytes], last: str
) -> None:
    """The name alone would take all memory."""
    path = tmp_path / "x"
    append_missing(RunFolder.create(path, START, OPEN_FAILURES, limits=EACH_BATCH), batches())
    for batch in range(1, 5):
        (path / f"parts/images/{batch:08d}-{batch:08d}.parquet").unlink()
    for name in ("images", "keypoints"):
        (path / f"parts/{name}/00000000-00000000.parquet").rename(
            path / f"parts/{name}/00000000-{last}.parquet"
        )
    assert RunFolder.resume(path, START, OPEN_FAILURES).finished_batches() == frozenset()
    assert resume_and_finish(path) == expected


def test_an_interruption_leaves_plain_tables_too_and_a_later_crash_does_not_make_them_stale(
    tmp_path: Path,
) -> None:
    path = tmp_path / "x"
    folder = RunFolder.create(path, START, OPEN_FAILURES)
    folder.append(0, *batches()[0])
    counts = ImageCounts(total=EVALUATED + FAILED, evaluated=2, failed=len(OPEN_FAILURES))
    folder.interrupt(START.model_copy(update={"images": counts}))
    assert read_document(path).images.evaluated == 2
    assert pq.read_table(path / "images.parquet").num_rows == 2 + len(OPEN_FAILURES)
    names = pq.read_table(path / "images.parquet").column("image").to_pylist()
    assert names_in(open_run(path, tmp_path)) == names
    resumed = RunFolder.resume(path, START, OPEN_FAILURES, limits=EACH_BATCH)
    assert resumed.document.images.evaluated == 2
    resumed.append(1, *batches()[1])
    assert len(names_in(open_run(path, tmp_path))) == 4 + len(OPEN_FAILURES)
    assert not (path / "images.parquet").exists()
