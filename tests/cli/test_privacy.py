"""What a DICOM says of a person reaches no output of any command: every byte of it is searched."""

import base64
import io
import json
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pydicom
import pytest
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from mahtdiag.data.images.dicom_apart import close_decoders

from .builders import Bench
from .command import Desk, Finished

PLANTED = {
    "PatientName": "Zaphodplant^Beeblebrox",
    "PatientID": "PLANTID-4711",
    "PatientBirthDate": "19010203",
    "InstitutionName": "Plantingham General",
    "AccessionNumber": "PLANTACC-0815",
    "InstitutionAddress": "Plantstreet 1",
    "ReferringPhysicianName": "Slartiplant^Bartfast",
    "OperatorsName": "Trilliplant",
    "PatientAddress": "Magratheaplant",
    "OtherPatientNames": "Fordplant^Prefect",
    "StudyID": "PLANTSTUDY",
    "PatientComments": "plantcomment",
    "ImageComments": "plantimagecomment",
    "StudyDescription": "plantstudydescription",
    "DeviceSerialNumber": "PLANTSERIAL",
}
PRIVATE, IN_SEQUENCE, IN_OVERLAY, IN_META = "PLANTPRIVATE", "PLANTSEQUENCE", "PLANTOVERLAY", "PLANTMETA"
WORDS = (
    *(part for text in PLANTED.values() for part in text.split("^")),
    *("1901-02-03", PRIVATE, IN_SEQUENCE, IN_OVERLAY, IN_META),
)


def planted(pixels: NDArray[np.uint8], syntax: Any = ExplicitVRLittleEndian, **more: Any) -> bytes:
    """A DICOM that holds every word of `WORDS`."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = syntax
    meta.MediaStorageSOPClassUID = pydicom.uid.DigitalXRayImageStorageForPresentation
    meta.MediaStorageSOPInstanceUID = pydicom.uid.UID("1.2.3")
    meta.SourceApplicationEntityTitle = IN_META
    data = FileDataset("", {}, file_meta=meta, preamble=IN_META.encode().ljust(128, b"\0"))
    for name, value in PLANTED.items():
        setattr(data, name, value)
    data.PatientSex, data.PatientAge, data.ViewPosition, data.PixelSpacing = "F", "037Y", "AP", [0.2, 0.15]
    data.Rows, data.Columns = pixels.shape
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 8, 8, 7, 0
    data.private_block(0x0011, PRIVATE, create=True).add_new(0x01, "LO", PRIVATE)
    item, deeper = Dataset(), Dataset()
    deeper.PatientID = item.AccessionNumber = IN_SEQUENCE
    item.OtherPatientIDsSequence = Sequence([deeper])
    data.RequestAttributesSequence = Sequence([item])
    data.OtherPatientIDsSequence = Sequence([deeper])
    data.add_new(0x60000010, "US", pixels.shape[0])
    data.add_new(0x60000011, "US", pixels.shape[1])
    data.add_new(0x60000022, "LO", IN_OVERLAY)
    data.add_new(0x60001500, "LO", IN_OVERLAY)
    data.add_new(0x60000040, "CS", "G")
    data.add_new(0x60000050, "SS", [1, 1])
    data.add_new(0x60000100, "US", 1)
    data.add_new(0x60000102, "US", 0)
    data.add_new(0x60003000, "OW", IN_OVERLAY.encode().ljust(-(-pixels.size // 16) * 2, b"\0"))
    data.add_new(0x7FE00010, "OW", pixels.tobytes())
    for name, value in more.items():
        setattr(data, name, value)
    buffer = io.BytesIO()
    data.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def damaged(content: bytes) -> dict[str, bytes]:
    """Files that are refused with a reason, each for another."""
    at = content.index(b"PLANTID")
    name = content.index(b"Zaphod")
    return {
        "truncated": content[: len(content) // 2],
        "short": content[:at],
        "kind": content.replace(b"\x10\x00\x20\x00LO", b"\x10\x00\x20\x00SQ"),
        "length": content[: name - 2] + b"\xff\xff" + content[name:],
        "date": content.replace(b"\x10\x00\x30\x00DA", b"\x10\x00\x30\x00US"),
        "rows": content.replace(b"\x28\x00\x10\x00US", b"\x28\x00\x10\x00LO"),
        "age": content.replace(b"037Y", b"PLAN"),
    }


def unpacked(content: bytes) -> Iterator[bytes]:
    """The bytes of a file, and what is packed in them."""
    yield content
    if content.startswith(b"PAR1"):
        yield repr(pq.read_table(io.BytesIO(content)).to_pydict()).encode()
        yield repr(pq.read_schema(io.BytesIO(content)).metadata).encode()
    if content.startswith(b"\x89PNG"):
        with Image.open(io.BytesIO(content)) as image:
            image.load()
            yield repr(image.info).encode()
    for packed in re.findall(rb"base64,([A-Za-z0-9+/=\n]+)", content):
        yield from unpacked(base64.b64decode(packed))
    for start in (b"x\x01", b"x\x9c", b"x\xda", b"\x1f\x8b"):
        for at in (match.start() for match in re.finditer(re.escape(start), content)):
            try:
                yield zlib.decompressobj(wbits=47).decompress(content[at:])
            except zlib.error:
                continue


def found_in(content: bytes) -> set[str]:
    """The planted words in it, in any of the usual encodings, in capitals or not."""
    found = set()
    for part in unpacked(content):
        lower = part.lower()
        for word in WORDS:
            for encoding in ("utf-8", "utf-16-le", "utf-16-be"):
                if word.lower().encode(encoding) in lower:
                    found.add(word)
    return found


def require_clean(folder: Path, results: list[Finished], kept: set[Path]) -> int:
    """Search both streams and every file but these, and every name; how many files."""
    for done in results:
        assert not found_in(done.out), done.out
        assert not found_in(done.err.encode()), done.err
        assert "Traceback" not in done.err
    files = [path for path in folder.rglob("*") if path.is_file() and path not in kept]
    for path in files:
        assert not found_in(path.read_bytes()), path
        assert not found_in(str(path.relative_to(folder)).encode()), path
    return len(files)


@pytest.fixture
def planted_set(desk: Desk, bench: Bench) -> set[Path]:
    """`data/AP` with DICOM images in place of its own, and damaged ones; all files before any command."""
    folder = desk.path / "data/AP"
    syntaxes = (ExplicitVRLittleEndian, ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian)
    last = bench.ap[-1].stem
    for number, truth in enumerate(bench.ap):
        image = folder / f"{truth.stem}.png"
        pixels = np.asarray(Image.open(image).convert("L"))
        content = planted(pixels, syntaxes[number % 3])
        image.with_suffix(".dcm").write_bytes(content)
        image.unlink()
        if truth.stem == last:
            for name, wrong in damaged(planted(pixels)).items():
                (folder / f"{name}.dcm").write_bytes(wrong)
                (folder / f"{name}.csv").write_text((folder / f"{truth.stem}.csv").read_text())
    return {path for path in desk.path.rglob("*") if path.is_file()}


def test_the_search_finds_what_is_there(tmp_path: Path) -> None:
    """In the file itself, in packed text, in tables and in pictures within pages."""
    content = planted(np.zeros((20, 20), dtype=np.uint8))
    assert found_in(content) == set(WORDS) - {"1901-02-03"}
    deflated = planted(np.zeros((20, 20), dtype=np.uint8), DeflatedExplicitVRLittleEndian)
    assert found_in(deflated) == {IN_META}
    assert found_in(b"..." + zlib.compress(b"Plantstreet 1")) == {"Plantstreet 1"}
    buffer = io.BytesIO()
    Image.new("L", (20, 20)).save(buffer, "PNG", pnginfo=_text("PLANTSERIAL"))
    page = b"<img src='data:image/png;base64," + base64.b64encode(buffer.getvalue()) + b"'>"
    assert found_in(page) == {"PLANTSERIAL"}
    assert found_in("x Trilliplant".encode("utf-16")) == {"Trilliplant"}


def _text(word: str) -> Any:
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    info.add_text("note", word, zip=True)
    return info


def test_nothing_of_a_person_in_a_run(desk: Desk, bench: Bench, planted_set: set[Path]) -> None:
    results = [
        desk.lookup(
            "exact", "--overlays", "all", "--allow-failures", "20", "--junit", "junit.xml",
            "--markdown", "summary.md", data="data/AP",
        ),
        desk.run("report", "run"),
        desk.run("anatomy", "run", "--csv", "anatomy.csv", "--format", "json"),
        desk.run("calibration", "run", "--format", "json"),
        desk.run("compare", "run", "run", "--markdown", "compare.md"),
        desk.run("export", "run", "--to", "coco", "export.json"),
    ]  # fmt: skip
    assert [done.status for done in results[:4]] == [0, 0, 0, 0], [done.err for done in results[:4]]
    run = json.loads((desk.path / "run/run.json").read_text())
    assert run["images"]["evaluated"] >= len(bench.ap)
    assert run["images"]["failed"] >= 3
    assert require_clean(desk.path, results, planted_set) > 12
    # What is kept of the person: a hash of the number, sex and age.
    table = pq.read_table(desk.path / "run/images.parquet").to_pydict()
    assert all(each is None or re.fullmatch(r"[0-9a-f]{16}|\d{4}", each) for each in table["patient"])
    assert any(table["patient"])


def test_nothing_of_a_person_in_judged_labels(desk: Desk, planted_set: set[Path]) -> None:
    results = [
        desk.run("anatomy", "--labels", "data/AP", "--csv", "audit.csv", "--format", "json"),
        desk.run("anatomy", "--labels", "data/AP", "--overlays", "all"),
        desk.run("anatomy", "--labels", "data/AP", "--against", "data/AP"),
        desk.run("init", "--data", "data/AP"),
    ]
    require_clean(desk.path, results, planted_set)


def test_nothing_of_a_person_in_errors(desk: Desk, planted_set: set[Path]) -> None:
    """Sets whose every image is damaged, one by one."""
    folder = desk.path / "alone"
    kept = set(planted_set)
    for name in ("truncated", "short", "kind", "length", "date", "rows", "age"):
        (folder / name).mkdir(parents=True)
        for ending in (".dcm", ".csv"):
            path = folder / name / f"{name}{ending}"
            path.write_bytes((desk.path / f"data/AP/{name}{ending}").read_bytes())
            kept.add(path)
        results = [
            desk.lookup("exact", "--out", f"run-{name}", data=f"alone/{name}"),
            desk.run("anatomy", "--labels", f"alone/{name}", "--view", "AP"),
        ]
        require_clean(desk.path, results, kept)
    close_decoders()
