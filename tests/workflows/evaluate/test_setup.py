"""A mistake of set-up is named by its own check and by no other; of a right set-up nothing is said."""

import re
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mahtdiag.config.settings import DataSettings, EvaluateSettings, ModelSettings, Settings
from mahtdiag.diagnosis.setup.registry import CHECK_BY_NAME, RESULTS
from mahtdiag.errors import SetupRefusedError
from mahtdiag.schema.setup import SetupEntry, SetupStatus
from mahtdiag.schema.skeleton import View
from mahtdiag.workflows.evaluate.job import EvaluateRequest, evaluate
from mahtdiag.workflows.progress import NoProgress
from tests.workflows.setup_mistakes import (
    MISTAKES,
    RIGHT,
    ROWS,
    SAMPLES,
    STATED,
    Mistake,
    Radiograph,
    radiographs,
    write_case,
)

Entries = Sequence[SetupEntry]
OFF = (SetupStatus.WRONG, SetupStatus.WARNING)


def entries_of(
    checkpoint: Path,
    data: Path,
    out: Path,
    accept: str | None = None,
    batch_size: int | None = None,
    **model: Any,
) -> Entries:
    """What the checks say of an evaluation."""
    asked = {"accept": accept, "batch_size": batch_size}
    settings = Settings(
        model=ModelSettings(checkpoint=str(checkpoint), **model),
        data=DataSettings(path=str(data)),
        evaluate=EvaluateSettings.model_validate(
            {"overlays": "none", "workers": 1, "device": "cpu", "allow_failures": 99, **asked}
        ),
    )
    evaluation = evaluate(EvaluateRequest(settings, out, False, True, out.parent), NoProgress())
    return evaluation.run.document.setup_entries


def off(entries: Entries) -> dict[str, SetupEntry]:
    """What is wrong or doubtful, besides the headline."""
    return {e.check: e for e in entries if e.status in OFF and e.check != RESULTS}


@pytest.fixture(scope="module")
def known() -> list[Radiograph]:
    return radiographs()


@pytest.fixture(scope="module")
def said_of(known: list[Radiograph], tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Entries]:
    """What is said of a mistake by its name; each is evaluated once."""
    found: dict[str, Entries] = {}

    def said(name: str) -> Entries:
        if name not in found:
            mistake = RIGHT if name == "right" else MISTAKES[name]
            found[name] = _evaluated(known, mistake, tmp_path_factory.mktemp(name))
        return found[name]

    return said


def _evaluated(known: list[Radiograph], mistake: Mistake, folder: Path) -> Entries:
    write_case(folder, known, mistake)
    options = {**STATED, **mistake.settings}
    paths = folder / "network.pt", folder / "data", folder / "run"
    if mistake.refused:
        with pytest.raises(SetupRefusedError) as refused:
            entries_of(*paths, **options)
        (problem,) = refused.value.problems
        assert problem.startswith(f"{mistake.check}: ")
        assert problem.endswith(f", or --accept {mistake.check} to go on")
        assert not paths[2].exists()
    return entries_of(*paths, accept=mistake.check if mistake.refused else None, **options)


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_named_by_its_own_check_alone(name: str, said_of: Callable[[str], Entries]) -> None:
    entries, check = said_of(name), MISTAKES[name].check
    found = off(entries)
    assert list(found) == [check], [f"{e.check}: {e.evidence}" for e in found.values()]
    assert found[check].advice
    assert "told apart" not in found[check].evidence
    results = entries[0]
    assert results.check == RESULTS
    if results.status is SetupStatus.WRONG:
        assert results.advice == f"likeliest cause, {check}: {found[check].evidence}"


def test_nothing_is_said_of_a_right_set(said_of: Callable[[str], Entries]) -> None:
    entries = said_of("right")
    assert [e for e in entries if e.status is not SetupStatus.FINE] == []
    assert [e.check for e in entries[1:]] == [
        name
        for name in CHECK_BY_NAME
        if name not in ("network.coordinates", "network.uncertainty", "images.input")
    ]


@pytest.mark.slow
@pytest.mark.parametrize("view", View)
def test_nothing_is_said_of_the_sample_sets(view: View, tmp_path: Path) -> None:
    data = tmp_path / view
    shutil.copytree(SAMPLES / view, data)
    entries = entries_of(SAMPLES / f"mahtnet-{view.lower()}.pt", tmp_path, tmp_path / "run")
    assert [e for e in entries if e.status is not SetupStatus.FINE] == []


# ---- the table of the documentation ----

DOCUMENT = SAMPLES.parent / "docs" / "setup.md"
BEGIN, END = "<!-- mistakes -->", "<!-- /mistakes -->"
_CLAUSE = re.compile(r"(: |; |, | \()")


def first_words(evidence: str) -> str:
    """What is said before the numbers that were measured."""
    first, *rest = _CLAUSE.split(evidence)
    for mark, clause in zip(rest[::2], rest[1::2], strict=True):
        if mark in ("; ", " (") or re.search(r"\d", clause):
            break
        first += mark + clause
    return first


def row_of(mistake: Mistake, entry: SetupEntry) -> str:
    """A line of the table: what is wrong, the check, what is said, what to type."""
    check = f"`{entry.check}`{', refused' if mistake.refused else ''}"
    option, bracket, rest = entry.advice.partition(" (")
    advice = f"`{option}`{bracket}{rest}" if option.startswith("--") else entry.advice
    return f"| {mistake.words} | {check} | {first_words(entry.evidence)} | {advice} |"


def test_the_document_has_what_is_said_of_every_mistake(said_of: Callable[[str], Entries]) -> None:
    lines = ["| mistake | check | what is said | what to type |", "| --- | --- | --- | --- |"]
    for name, mistake in MISTAKES.items():
        lines.append(row_of(mistake, off(said_of(name))[mistake.check]))
    shown = DOCUMENT.read_text(encoding="utf-8").partition(BEGIN)[2].partition(END)[0]
    assert shown.strip().splitlines() == lines


# ---- sets that hold little ----


@pytest.mark.parametrize("count", [1, 2])
def test_checks_that_need_more_images_say_so(known: list[Radiograph], count: int, tmp_path: Path) -> None:
    entries = {e.check: e for e in _evaluated(known[:count], RIGHT, tmp_path)}
    of_images = f"{count} image{'' if count == 1 else 's'}, needs "
    needy = {name for name, e in entries.items() if e.evidence.startswith(of_images)}
    assert needy == {
        "images.polarity", "labels.unit", "labels.origin", "network.follows", "order.axes", "order.keypoints",
        "order.images", "together.flip", "together.frame", "together.transform",
    }  # fmt: skip
    assert {e.status for name, e in entries.items() if name in needy} == {SetupStatus.NOT_CHECKED}
    assert {e.status for name, e in entries.items() if name not in needy} == {SetupStatus.FINE}


@pytest.mark.parametrize("count", [1, 2])
def test_what_cannot_be_meant_is_refused_of_a_single_image(
    known: list[Radiograph], count: int, tmp_path: Path
) -> None:
    found = off(_evaluated(known[:count], MISTAKES["shares"], tmp_path))
    assert list(found) == ["labels.unit"]


def test_of_images_that_all_failed_nothing_is_made_up(known: list[Radiograph], tmp_path: Path) -> None:
    far = Mistake("labels beyond the image", "", lambda r: r.keypoints_px + 2000)
    entries = {e.check: e for e in _evaluated(known, far, tmp_path)}
    assert off(list(entries.values())) == {}
    assert entries[RESULTS].evidence == "no image was evaluated"
    assert entries["labels.unit"].status is SetupStatus.NOT_CHECKED


def test_of_a_set_of_one_constant_image_copies_are_told(known: list[Radiograph], tmp_path: Path) -> None:
    grey = np.full((ROWS, 420), 120, np.uint8)
    same = [Radiograph(grey, known[0].keypoints_px)] * 4
    entries = {e.check: e for e in _evaluated(same, RIGHT, tmp_path)}
    assert list(off(list(entries.values()))) == ["images.copies"]
    assert entries["network.follows"].evidence == "all images are the same"


def test_a_program_that_fails_on_two_images_is_shown_one_at_a_time(
    known: list[Radiograph], tmp_path: Path
) -> None:
    entries = {e.check: e for e in _evaluated(known, Mistake("", "", habit="not two"), tmp_path)}
    assert off(list(entries.values())) == {}
    assert entries["network.repeatable"].status is SetupStatus.FINE


def test_a_network_that_takes_one_image_at_a_time_is_evaluated(
    known: list[Radiograph], tmp_path: Path
) -> None:
    write_case(tmp_path, known, Mistake("", "", habit="one"))
    paths = tmp_path / "network.pt", tmp_path / "data", tmp_path / "run"
    entries = {e.check: e for e in entries_of(*paths, batch_size=1, **STATED)}
    assert off(list(entries.values())) == {}
    assert entries["network.repeatable"].evidence.endswith("not checked in another batch: 1 image a batch")
