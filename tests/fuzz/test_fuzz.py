"""A few hundred mutated inputs for every reader, and whether what is looked for would be found."""

import dataclasses
import pickle
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from fuzz import running
from fuzz.answers import OddAnswerError
from fuzz.damages import is_known_loss
from fuzz.images import IMAGES
from fuzz.mutations import Change, Folder, Link
from fuzz.predictions import PREDICTED, PredictionTarget
from fuzz.running import InputFolder, rng_of, run_input, run_target
from fuzz.sets import SETS
from fuzz.targets import NAMES, NESTED, AnnotationTarget, Target, sleap_in_this_process, target_of
from mahtdiag.data.files import IMAGE_EXTENSIONS
from mahtdiag.data.predictions import PREDICTION_READERS, read_predictions
from mahtdiag.data.readers import READERS, open_dataset
from mahtdiag.errors import DataError
from mahtdiag.schema.read_options import NO_LABELS, ReadOptions
from mahtdiag.schema.skeleton import View

INPUTS = 200


@pytest.fixture(autouse=True)
def _in_this_process() -> Iterator[None]:
    with sleap_in_this_process():
        yield


def test_every_reader_has_a_set() -> None:
    assert sorted(SETS) == sorted(reader.name for reader in READERS)


def test_every_reader_of_predictions_has_a_set() -> None:
    assert sorted(PREDICTED) == sorted(reader.name for reader in PREDICTION_READERS)


@pytest.mark.parametrize("name", PREDICTED)
def test_the_predictions_are_valid(name: str, tmp_path: Path) -> None:
    target = PredictionTarget(name)
    InputFolder(target, tmp_path / "set")
    assert target.read(tmp_path / "set", random.Random(0)) == "read"
    dataset = open_dataset(tmp_path / "set/data", View.AP)
    (path,) = (path for path in (tmp_path / "set").iterdir() if path.name != "data")
    found = read_predictions(path, dataset, ReadOptions())
    assert (found.format, len(found.by_image)) == (name, 3)


def test_texts_are_nested_in_every_reader_of_them(tmp_path: Path) -> None:
    target = target_of(NESTED)
    changed = [[*target.changes(rng_of(NESTED, 0, number))] for number in range(3000)]
    names = {name.split("/")[0] for name, _ in changed}
    texts = {"project", "pyproject", "factors", "subgroups", "run", "runs", "safetensors-shards", *SETS}
    texts |= {f"predictions-{name}" for name in PREDICTED}
    assert names == texts - {"sleap"}
    inputs = InputFolder(target, tmp_path / "set")
    with inputs.changed({"project/mahtdiag.toml": b"a = " + b"[" * 10_000, "chosen": b"project"}) as folder:
        assert target.read(folder, random.Random(0)) == "refused"


def test_every_ending_of_an_image_has_a_kind() -> None:
    endings = {Path(name).suffix for make in IMAGES.values() for name in make()}
    alike = {".jpeg": ".jpg", ".tiff": ".tif", ".dicom": ".dcm", ".dic": ".dcm"}
    assert {alike.get(ending, ending) for ending in IMAGE_EXTENSIONS} <= endings


@pytest.mark.parametrize("name", SETS)
def test_the_sets_are_valid(name: str, tmp_path: Path) -> None:
    """Otherwise mutations would be of files that are refused anyway."""
    InputFolder(target_of(name), tmp_path / "set")
    dataset = open_dataset(tmp_path / "set", View.AP)
    assert dataset.format == name
    assert [len(dataset.samples), len(dataset.failures)] == [3, 0]
    labelled = {bool(np.isfinite(sample.keypoints_px).all()) for sample in dataset.samples}
    assert labelled == {name != NO_LABELS}


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_mutated_inputs(name: str, tmp_path: Path) -> None:
    """`python -m fuzz` runs as many as wanted, in processes that may hang or die."""
    target = target_of(name)
    inputs = InputFolder(target, tmp_path / "set")
    answers = []
    for number in range(INPUTS):
        answer, fault, _ = run_input(target, inputs, 1, number)
        assert fault is None, f"python -m fuzz {name} --seed 1 --only {number}\n{fault.detail}"
        answers.append(answer)
    # Mutations that none survives, or all, find nothing.
    assert 0.02 < np.mean(np.array(answers) == "read") < 0.98


def faulty(fault: Callable[[], object]) -> Target:
    """The reader of tables, which does this before it answers."""

    @dataclasses.dataclass(frozen=True)
    class Faulty(AnnotationTarget):
        def read(self, folder: Path, rng: random.Random) -> str:
            fault()
            return super().read(folder, rng)

    return Faulty("csv", SETS["csv"]())


def raises(error: Exception) -> Callable[[], object]:
    def fault() -> None:
        raise error

    return fault


def test_faults_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "MOST_SECONDS", 2)
    monkeypatch.setattr(running, "MOST_GROWTH_MB", 100)

    def loops() -> None:
        until = time.process_time() + 10
        while time.process_time() < until:
            pass

    def grows() -> None:
        np.ones(2**27, dtype=np.uint8)

    kinds = {"KeyError": raises(KeyError("x")), "hangs": loops, "memory": grows}
    for kind, fault in kinds.items():
        target = faulty(fault)
        answer, found, _ = run_input(target, InputFolder(target, tmp_path / kind), 0, 0)
        assert found is not None
        assert (answer, found.kind) == ("fault", kind)


@pytest.mark.parametrize("line", ["two\nlines", "", "x" * 3000, "a\u2028b"])
def test_odd_answers_are_found(line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise DataError(line)

    monkeypatch.setattr("fuzz.targets.open_dataset", refuse)
    target = target_of("csv")
    _, found, _ = run_input(target, InputFolder(target, tmp_path / "set"), 0, 0)
    assert found is not None
    assert found.kind == "OddAnswerError"


LARGE = [("jpeg", "large.jpg"), ("png", "large.png"), ("tiff", "large-deflate.tif")]


@pytest.mark.parametrize(("kind", "name"), LARGE)
def test_lost_data_that_are_read_are_a_fault(
    kind: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A decoder that fills what is missing is found out; other changes and whole files are no loss."""
    target = target_of(kind)
    whole = target.files[name]
    middle = len(whole) // 2
    assert not is_known_loss(name, whole, whole)
    assert not is_known_loss(name, whole, whole[:middle] + b"x" + whole[middle + 1 :])
    assert not is_known_loss(name, whole, whole + b"x")
    folder = tmp_path / "set"
    inputs = InputFolder(target, folder)
    rest = whole[middle + 512 :]
    for lost in (whole[:middle], whole[:middle] + rest, whole[:middle] + bytes(512) + rest):
        assert is_known_loss(name, whole, lost)
        with inputs.changed({name: lost}):
            assert target.read(folder, random.Random(1)) == "refused"
            with monkeypatch.context() as patched:
                for way in ("load_image", "decode_reduced", "describe_image"):
                    patched.setattr(f"fuzz.targets.{way}", lambda *_: None)
                with pytest.raises(OddAnswerError, match="as if nothing of it were lost"):
                    target.read(folder, random.Random(1))


def test_an_input_is_what_its_number_says() -> None:
    for name in NAMES:
        target = target_of(name)
        first, again, *others = (target.changes(rng_of(name, 0, number)) for number in (5, 5, 6, 7, 8))
        assert plain(first) == plain(again)
        assert [other for other in others if plain(first) != plain(other)]


def plain(changes: dict[str, Change]) -> dict[str, object]:
    return {name: "folder" if isinstance(each, Folder) else each for name, each in changes.items()}


def test_changes_are_taken_back(tmp_path: Path) -> None:
    target = target_of("coco")
    inputs = InputFolder(target, tmp_path / "set")
    changes: dict[str, Change] = {
        "annotations/person.json": Folder(),
        "images/a.png": Link("nowhere"),
        "images/b.png": None,
        "more/c.png": b"x",
    }
    with inputs.changed(changes):
        assert (tmp_path / "set/annotations/person.json").is_dir()
        assert (tmp_path / "set/images/a.png").is_symlink()
        assert not (tmp_path / "set/images/b.png").exists()
    found = {str(p.relative_to(tmp_path / "set")): p.read_bytes() for p in (tmp_path / "set").rglob("*.*")}
    assert found == target.files


def test_a_process_that_dies_or_is_silent_is_a_fault(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Whatever the process does instead of its work: here it is another program."""
    script = tmp_path / "python"
    script.write_text(f'#!/bin/sh\nexec {sys.executable} {tmp_path}/worker.py "$@"\n')
    script.chmod(0o755)
    worker = (
        "import json, sys, time, os\n"
        "at = sys.argv.index('--work')\n"
        "first, end = map(int, sys.argv[at + 1 : at + 3])\n"
        "for n in range(first, end):\n"
        "    print(json.dumps({'begins': n}), flush=True)\n"
        "    if n == 1 and '--as-users-do' not in sys.argv: os.abort()\n"
        "    if n == 3: time.sleep(60)\n"
        "    print(json.dumps({'answer': 'read', 'took': 0.1, 'mb': 1.0, 'fault': None}), flush=True)\n"
    )
    (tmp_path / "worker.py").write_text(worker)
    monkeypatch.setattr("fuzz.running.sys.executable", str(script))
    monkeypatch.setattr(running, "_SILENT_SECONDS", 2)
    outcome = run_target("csv", 0, 5)
    assert [(fault.number, fault.kind) for fault in outcome.faults] == [(1, "dies"), (3, "hangs")]
    assert outcome.answers["read"] == 3
    assert outcome.inputs == 5
    # Users have another process read these, which copes with the one that dies, not with the one that hangs.
    apart = run_target("sleap", 0, 5)
    assert [(fault.number, fault.kind) for fault in apart.faults] == [(3, "hangs")]
    assert (apart.inputs, apart.answers["read"]) == (5, 4)


def test_what_leaves_the_folder_is_a_fault(tmp_path: Path) -> None:
    class Loaded:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return print, ("called",)

    def writes() -> None:
        (tmp_path / "elsewhere").write_text("x")

    def begins() -> None:
        subprocess.run([sys.executable, "-c", ""], check=True)

    def calls() -> None:
        pickle.loads(pickle.dumps(Loaded()))

    for number, (fault, said) in enumerate(
        ((writes, "for writing"), (begins, "subprocess.Popen"), (calls, "pickle.find_class"))
    ):
        target = faulty(fault)
        answer, found, _ = run_input(target, InputFolder(target, tmp_path / str(number)), 0, 0)
        assert found is not None
        assert (answer, found.kind) == ("fault", "leaves its folder")
        assert said in found.detail


def test_all_targets_share_the_inputs() -> None:
    command = [sys.executable, "-m", "fuzz", "project", "factors", "--total", "11", "--processes", "2"]
    done = subprocess.run(command, cwd=running.ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1].startswith("12 inputs, 0 faults, ")


@pytest.mark.parametrize(
    ("name", "number"), [("project", 596), ("project", 1515), ("run", 1017), ("run", 1036)]
)
def test_what_once_was_a_fault(name: str, number: int, tmp_path: Path) -> None:
    """Tables in tables without end, a limit of 78,000 letters, names of columns that are no text."""
    target = target_of(name)
    answer, fault, _ = run_input(target, InputFolder(target, tmp_path / "set"), 0, number)
    assert fault is None, fault
    assert answer == "refused"
