"""`evaluate` with Monte-Carlo dropout, with ensembles, and with factors on σ, from the command line."""

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from mahtdiag.diagnosis.records import RecordMaker

from .builders import INPUT_OPTIONS
from .command import Desk, columns_of, document_of

MC = ("--uncertainty", "mc-dropout:4", "--overlays", "none", "--batch-size", "2")
PLAIN = ("--overlays", "none")
TOTAL, WITHIN, BETWEEN = (
    tuple(f"sigma{part}_{axis}" for axis in "xy") for part in ("", "_aleatoric", "_epistemic")
)


def evaluate(desk: Desk, checkpoint: str, out: str, *arguments: str, data: str = "data") -> None:
    result = desk.run("evaluate", checkpoint, data, "--out", out, *arguments)
    assert (result.status, result.errors) == (0, [])


def array(desk: Desk, run: str, *names: str) -> NDArray[np.float64]:
    columns = columns_of(desk.path / run / "keypoints.parquet")
    return np.array([columns[name] for name in names], dtype=np.float64)


def tables(desk: Desk, run: str) -> tuple[bytes, bytes]:
    folder = desk.path / run
    return (folder / "images.parquet").read_bytes(), (folder / "keypoints.parquet").read_bytes()


def varied(desk: Desk, name: str, **config: Any) -> str:
    """Another member: the weights of `ap.pt`, a little off, or the same with another configuration."""
    content = torch.load(desk.path / "ap.pt", weights_only=True)
    content["mahtdiag"]["config"] |= config
    if not config:
        generator = torch.Generator().manual_seed(3)
        for weight in content["state_dict"].values():
            if weight.is_floating_point() and weight.ndim > 1:
                weight *= 1 + 0.1 * torch.randn(weight.shape, generator=generator)
    torch.save(content, desk.path / name)
    return name


def test_dropout_twice_and_resumed_is_the_same(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    evaluate(desk, "ap.pt", "one", *MC)
    evaluate(desk, "ap.pt", "two", *MC)
    calls: list[int] = []
    judge = RecordMaker.records

    def interrupted(*arguments: Any) -> Any:
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return judge(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(RecordMaker, "records", interrupted)
        assert desk.run("evaluate", "ap.pt", "data", "--out", "resumed", *MC).status == 130
    evaluate(desk, "ap.pt", "resumed", *MC, "--resume")
    assert tables(desk, "one") == tables(desk, "two") == tables(desk, "resumed")
    # Untrained peaks keep or change their cell.
    assert (array(desk, "one", *BETWEEN) > 0).mean() > 0.1


def test_both_parts_of_sigma_are_stored_and_told(desk: Desk) -> None:
    evaluate(desk, "ap.pt", "run", *MC)
    total, within, between = (array(desk, "run", *names) for names in (TOTAL, WITHIN, BETWEEN))
    np.testing.assert_allclose(total**2, within**2 + between**2, rtol=1e-12)
    document = document_of(desk.path / "run")
    assert document["settings"]["uncertainty"] == "mc-dropout:4"
    assert document["settings"]["sigma_within"] == "head"
    share = np.mean(between**2 / total**2)
    assert document["calibration"]["epistemic_share"] == pytest.approx(share)
    result = desk.run("calibration", "run", "--no-pictures")
    assert "from the disagreement of 4 passes with dropout, and from the" in result.text
    assert "epistemic share" in result.text
    found = json.loads(desk.run("calibration", "run", "--no-pictures", "--format", "json").text)
    assert found["uncertainty"] == "mc-dropout"
    assert found["epistemic_share"] == pytest.approx(share)
    assert found["aleatoric_share"] == pytest.approx(1 - share)


def test_dropout_that_drops_nothing_is_a_single_pass(desk: Desk) -> None:
    still = varied(desk, "still.pt", dropout=0.0)
    evaluate(desk, still, "repeated", *MC)
    evaluate(desk, still, "single", "--overlays", "none", "--batch-size", "2")
    assert (array(desk, "repeated", *BETWEEN) == 0).all()
    assert np.isnan(array(desk, "single", *WITHIN, *BETWEEN)).all()
    for names in (("pred_x", "pred_y", "peak", "spread_xx", "error_px"), TOTAL):
        np.testing.assert_array_equal(array(desk, "repeated", *names), array(desk, "single", *names))
    np.testing.assert_array_equal(array(desk, "repeated", *WITHIN), array(desk, "single", *TOTAL))
    documents = [document_of(desk.path / run) for run in ("repeated", "single")]
    assert documents[0]["losses"] == documents[1]["losses"]
    assert documents[0]["metrics"] == documents[1]["metrics"]


def test_dropout_from_the_settings_file(desk: Desk) -> None:
    (desk.path / "mahtdiag.toml").write_text('[model]\nuncertainty = "mc-dropout:2"\n', encoding="utf-8")
    evaluate(desk, "ap.pt", "run", *PLAIN)
    assert document_of(desk.path / "run")["settings"]["uncertainty"] == "mc-dropout:2"


def test_no_dropout_layer(desk: Desk) -> None:
    desk.lookup("exact", "--uncertainty", "mc-dropout:3").refused(
        "lookup-ap.pt: --uncertainty mc-dropout: the network has no dropout layer; use --uncertainty auto, "
        "or give several checkpoints"
    )
    assert not (desk.path / "run").exists()


@pytest.mark.parametrize("value", ["mc-dropout:1", "mc-dropout", "mc-dropout:many", "dropout:3"])
def test_what_is_no_source_of_sigma(desk: Desk, value: str) -> None:
    desk.run("evaluate", "ap.pt", "data", "--uncertainty", value).refused(
        f"--uncertainty {value}: expected auto, head, heatmap, none or mc-dropout:N with N from 2 to 1000, "
        "for example mc-dropout:20"
    )


def test_an_ensemble(desk: Desk) -> None:
    other = varied(desk, "other.pt")
    for run, checkpoint in {"a": "ap.pt", "b": other, "ab": f"ap.pt,{other}", "ba": f"{other},ap.pt"}.items():
        evaluate(desk, checkpoint, run, *PLAIN, "--batch-size", "1" if run == "ba" else "4")
    a, b, both = (array(desk, run, "pred_x", "pred_y") for run in ("a", "b", "ab"))
    np.testing.assert_allclose(both, (a + b) / 2, rtol=1e-9)
    sigma = [array(desk, run, *TOTAL) for run in ("a", "b")]
    np.testing.assert_allclose(
        array(desk, "ab", *WITHIN) ** 2, (sigma[0] ** 2 + sigma[1] ** 2) / 2, rtol=1e-6
    )
    np.testing.assert_allclose(array(desk, "ab", *BETWEEN), np.abs(a - b) / 2, rtol=1e-6, atol=1e-9)
    everything = ("pred_x", "pred_y", "error_px", "peak", *TOTAL, *WITHIN, *BETWEEN)
    turned, expected = array(desk, "ba", *everything), array(desk, "ab", *everything)
    np.testing.assert_allclose(turned, expected, rtol=1e-3, atol=1e-3)
    stored = document_of(desk.path / "ab")["checkpoint"]
    assert stored["path"] == "ap.pt,other.pt"
    assert [member["path"] for member in stored["members"]] == ["ap.pt", "other.pt"]
    digest = hashlib.sha256((desk.path / "other.pt").read_bytes()).hexdigest()
    assert stored["members"][1]["sha256"] == digest
    assert stored["sha256"] == document_of(desk.path / "ba")["checkpoint"]["sha256"]
    assert "disagreement of 2 networks" in desk.run("calibration", "ab", "--no-pictures").text


def test_an_ensemble_without_heads_and_one_without_sigma(desk: Desk) -> None:
    shutil.copy(desk.path / "lookup-ap.pt", desk.path / "twin.pt")
    content = torch.load(desk.path / "twin.pt", weights_only=True)
    content["points"] += 3.0
    torch.save(content, desk.path / "twin.pt")
    network = ("--model", "nets:heatmaps", "--trust", *INPUT_OPTIONS, *PLAIN)
    evaluate(desk, "lookup-ap.pt,twin.pt", "run", *network)
    assert np.isnan(array(desk, "run", *WITHIN)).all()
    np.testing.assert_array_equal(array(desk, "run", *TOTAL), array(desk, "run", *BETWEEN))
    assert document_of(desk.path / "run")["settings"]["sigma_within"] == "none"
    assert document_of(desk.path / "run")["calibration"]["epistemic_share"] is None
    evaluate(desk, "lookup-ap.pt,twin.pt", "none", *network, "--uncertainty", "none")
    assert np.isnan(array(desk, "none", *TOTAL, *WITHIN, *BETWEEN)).all()
    assert document_of(desk.path / "none")["calibration"] is None


def test_members_that_do_not_fit(desk: Desk) -> None:
    desk.run("evaluate", "ap.pt,la.pt", "data").refused(
        "ap.pt, la.pt are no ensemble: view AP and LA; give networks that agree"
    )
    desk.run("evaluate", "ap.pt,none.pt", "data").refused("none.pt: no such checkpoint")


def test_a_name_with_a_comma(desk: Desk) -> None:
    shutil.copy(desk.path / "ap.pt", desk.path / "epoch=3,loss=0.1.pt")
    evaluate(desk, "epoch=3,loss=0.1.pt", "run", *PLAIN)
    stored = document_of(desk.path / "run")["checkpoint"]
    assert (stored["path"], stored["members"]) == ("epoch=3,loss=0.1.pt", [])


@pytest.fixture
def fitted(desk: Desk) -> Desk:
    """`factors.json`, fitted on four images in `fit/`; two others in `judge/`."""
    files = sorted((desk.path / "data/AP").iterdir())
    for folder, part in {"fit/AP": files[:8], "judge/AP": files[8:]}.items():
        (desk.path / folder).mkdir(parents=True)
        for file in part:
            shutil.copy(file, desk.path / folder)
    evaluate(desk, "ap.pt", "fitted", *PLAIN, data="fit")
    assert desk.run("calibration", "fitted", "--no-pictures", "--fit", "factors.json").status == 0
    return desk


def test_what_the_factors_make_worse_is_said_and_recorded(fitted: Desk) -> None:
    file = fitted.path / "factors.json"
    content = json.loads(file.read_text(encoding="utf-8"))
    file.write_text(json.dumps(content | {"worsens": ["MACE", "CRPS"]}), encoding="utf-8")
    arguments = ("evaluate", "ap.pt", "judge", *PLAIN, "--recalibration", "factors.json", "--out", "after")
    done = fitted.run(*arguments)
    said = "factors.json: the factors make σ worse on images that they were not fitted on: MACE, CRPS"
    assert said in " ".join(done.text.split())
    stored = document_of(fitted.path / "after")
    assert said in stored["notes"]
    assert stored["settings"]["recalibration"]["worsens"] == ["MACE", "CRPS"]


@pytest.mark.parametrize("factor", [1e-24, 1e24])
def test_a_run_with_the_most_extreme_factors_is_read_by_every_command(fitted: Desk, factor: float) -> None:
    file = fitted.path / "factors.json"
    content = json.loads(file.read_text(encoding="utf-8"))
    scale = content["sigma_scale"]
    scale |= {"common": factor, "by_keypoint": dict.fromkeys(scale["by_keypoint"], factor)}
    content |= {"unknown_images": 2}
    file.write_text(json.dumps(content), encoding="utf-8")
    arguments = ("evaluate", "ap.pt", "judge", *PLAIN, "--recalibration", "factors.json", "--out", "after")
    done = fitted.run(*arguments)
    note = "factors.json: fitted on 2 images that were not there: nothing tells whether others are the same"
    assert done.status == 0
    assert note in " ".join(done.text.split())
    assert any(said.startswith(note) for said in document_of(fitted.path / "after")["notes"])
    for typed in ("calibration after", "report after", "figures after", "compare after after", "runs ."):
        found = fitted.run(*typed.split())
        assert (typed, found.status, "error:" in found.err) == (typed, 0, False)
    scale["common"] = factor**2
    file.write_text(json.dumps(content), encoding="utf-8")
    said = f"a factor of {factor**2:g}, expected 1e-24 to 1e+24"
    problem = f"factors.json: sigma_scale.common: {said}; fit again"
    fitted.run(*arguments[:-1], "again").refused(problem)


def test_factors_are_applied_and_recorded(fitted: Desk) -> None:
    factors = json.loads((fitted.path / "factors.json").read_text())["sigma_scale"]
    evaluate(fitted, "ap.pt", "before", *PLAIN, data="judge")
    evaluate(fitted, "ap.pt", "after", *PLAIN, "--recalibration", "factors.json", data="judge")
    own = np.resize(list(factors["by_keypoint"].values()), 40)
    assert len(set(own)) > 1 or own[0] != 1
    np.testing.assert_allclose(
        array(fitted, "after", *TOTAL), array(fitted, "before", *TOTAL) * own, rtol=1e-12
    )
    before, after = (document_of(fitted.path / run) for run in ("before", "after"))
    assert before["losses"] == after["losses"]
    stored = after["settings"]["recalibration"]
    assert stored["sha256"] == hashlib.sha256((fitted.path / "factors.json").read_bytes()).hexdigest()
    assert (stored["common"], stored["by_keypoint"]) == (factors["common"], factors["by_keypoint"])
    assert "recalibration" not in before["settings"]
    assert "make σ worse" not in "".join(after["notes"])
    expected = json.loads(
        fitted.run(
            "calibration", "before", "--apply", "factors.json", "--no-pictures", "--format", "json"
        ).text
    )["applied"]["rows"][2]
    found = json.loads(fitted.run("calibration", "after", "--no-pictures", "--format", "json").text)
    for name in ("mace", "nll", "crps_px", "sigma_scale", "sharpness_px"):
        assert found[name] == pytest.approx(expected[name], rel=1e-9), name
    assert "recalibrated" in fitted.run("calibration", "after", "--no-pictures").text


def test_factors_from_the_settings_file_and_a_second_time(fitted: Desk) -> None:
    (fitted.path / "mahtdiag.toml").write_text(
        '[evaluate]\nrecalibration = "factors.json"\n', encoding="utf-8"
    )
    evaluate(fitted, "ap.pt", "after", *PLAIN, data="judge")
    result = fitted.run("calibration", "after", "--apply", "factors.json")
    assert result.status == 2
    assert "fitted with other settings (recalibration None there, " in result.err


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("ap.pt", "fit"), "fitted on 4 of these 4 images (AP/0001-"),
        (("ap.pt", "data"), "fitted on 4 of these 6 images (AP/0001-"),
        (("la.pt", "data"), "fitted for the AP view, this evaluation is LA; fit again"),
        (("other.pt", "judge"), "fitted for another checkpoint (ap.pt, sha256 "),
        (("ap.pt", "judge", "--uncertainty", "heatmap"), "(uncertainty head there, heatmap here; "),
        (("ap.pt", "judge", "--uncertainty", "none"), "(uncertainty head there, none here)"),
        (
            ("ap.pt", "judge", "--uncertainty", "mc-dropout:2"),
            "(uncertainty head there, mc-dropout:2 here; sig",
        ),
        (("ap.pt", "judge", "--decode", "argmax"), "(decode dark there, argmax here)"),
        (("ap.pt,other.pt", "judge"), "fitted for another checkpoint (ap.pt, sha256 "),
    ],
)
def test_factors_that_do_not_fit(fitted: Desk, arguments: tuple[str, ...], problem: str) -> None:
    varied(fitted, "other.pt")
    result = fitted.run("evaluate", *arguments, "--recalibration", "factors.json", "--out", "run")
    assert (result.status, result.text, len(result.err.splitlines())) == (2, "", 1)
    assert result.err.startswith("error: factors.json: ")
    assert problem in result.err
    assert not (fitted.path / "run").exists()


def test_factors_that_cannot_be_read(desk: Desk) -> None:
    Path(desk.path / "a.json").write_text("{}")
    for file, problem in {
        "none.json": "none.json: cannot be read (No such file or directory); name a --fit file",
        "a.json": "a.json: not a recalibration file; name a file that --fit has written",
    }.items():
        desk.run("evaluate", "ap.pt", "data", "--recalibration", file).refused(problem)
