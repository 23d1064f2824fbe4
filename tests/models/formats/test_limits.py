"""Checkpoints that are made to take all memory or time: told about, or refused in one line, at once."""

import re
import zipfile
from pathlib import Path

import pytest
import torch

from fuzz import running
from fuzz.answers import refused, require_line
from fuzz.checkpoints import told
from fuzz.hostile import archive, mapping, storage, tensor, text
from fuzz.hostile_files import HOSTILE
from mahtdiag.errors import CheckpointError, MahtdiagError
from mahtdiag.models.checkpoint import Checkpoint
from mahtdiag.models.foreign import surveyed
from mahtdiag.models.loading import load_model
from tests.models.networks import problems_of

MOST_SECONDS, MOST_MB = 5.0, 1024.0


@pytest.mark.slow
@pytest.mark.parametrize("name", HOSTILE)
def test_memory_and_time_are_bounded(tmp_path: Path, name: str) -> None:
    path = tmp_path / name.replace("/", "-")
    path.write_bytes(HOSTILE[name]())
    with running.measured() as spent:
        for action in (lambda: told(path, None), lambda: load_model(path)):
            try:
                action()
            except MahtdiagError as error:
                refused(error)
    # Told and loaded, on a machine that may be busy with others; `make fuzz` measures each by itself.
    assert spent.seconds < 6 * MOST_SECONDS
    assert spent.mb < MOST_MB + path.stat().st_size / 1e6


REFUSALS = {
    "archive that unpacks to 1 GB.pt": "refused: an archive of .* bytes that unpacks to 1,048,576,",
    "archive packed by LZMA.pt": "refused: members that are packed as no checkpoint is",
    "archive of members over each other.pt": "refused: members that lie over each other",
    "archive of a million members.pt": "refused: a list of members of 52,000,000 bytes, at most ",
    "pickle of many operations.pt": "refused: a pickle of too many operations",
    "copies of a text.pt": "refused: a pickle that gives the same content to too many calls",
    "tensor that shows one number 10^10 times.pt": "refused: tensors that show the same numbers too often",
    "number of a million digits.pt": "refused: a number of 3,000,001 bits",
    "class of 8 MB.pt": "refused: the name of a class of 8,388,609 letters",
    "modules that share.pt": "refused: too many weights, or too long names of them",
    "native, image of 8192.pt": "metadata field input: 8192 x 8192 pixels, at most 8,388,608 are taken",
    "native, many fields.pt": "metadata mahtdiag: more than 100 fields or a text of more than 400 letters",
    "header of 90 MB.safetensors": "refused: a header of 90,000,010 bytes, at most 16,777,216 are read",
}


@pytest.mark.parametrize("name", REFUSALS)
def test_why_they_are_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(HOSTILE[name]())
    (problem,) = problems_of(lambda: told(path, None), CheckpointError)
    assert re.match(f"{re.escape(str(path))}: {REFUSALS[name]}", problem)
    require_line(problem)


def test_what_torch_writes_is_left_to_torch(tmp_path: Path) -> None:
    """The survey must not take checkpoints as they are for hostile ones."""
    network = torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3), torch.nn.BatchNorm2d(4))
    optimiser = torch.optim.Adam(network.parameters())
    network(torch.zeros(1, 1, 8, 8)).sum().backward()
    optimiser.step()
    content = {"model": network.state_dict(), "optimizer": optimiser.state_dict(), "epoch": 3, "note": "a b"}
    content |= {"half": torch.ones(3).half(), "byte": torch.ones(3).byte(), "shown": torch.ones(1).expand(9)}
    for legacy in (False, True):
        torch.save(content, tmp_path / "a.pt", _use_new_zipfile_serialization=not legacy)
        found = surveyed(tmp_path / "a.pt")
        assert found.is_for_torch
        ours, torchs = found.content().content, Checkpoint(tmp_path / "a.pt").content
        assert ours.keys() == torchs.keys()
        for name in ("half", "byte", "shown"):
            assert torch.equal(ours[name], torchs[name])


def test_what_torch_and_zipfile_see_must_be_one(tmp_path: Path) -> None:
    """Files of which two readers may find different members are read by the one that bounds them."""
    stream = b"\x80\x02" + mapping(w=tensor((4,), (1,), storage(4))) + b"."
    plain = archive(stream, {"data/0": bytes(16)})
    path = tmp_path / "a.pt"
    packed = archive(stream, {"data/0": bytes(16)}, zipfile.ZIP_DEFLATED)
    odd = {"before": b"x" + plain, "comment": plain[:-2] + b"\x01\x00x", "packed": packed}
    for content, expected in ((plain, True), *((each, False) for each in odd.values())):
        path.write_bytes(content)
        assert surveyed(path).is_for_torch is expected
        assert Checkpoint(path).content["w"].tolist() == [0.0] * 4


def test_a_long_name_of_a_weight_is_cut(tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    stream = b"\x80\x02}" + text("x" * 5000) + tensor((4,), (1,), storage(4)) + b"s."
    path.write_bytes(archive(stream, {"data/0": bytes(16)}))
    assert [*Checkpoint(path).content] == ["x" * 1000 + "… (5000 letters)"]
