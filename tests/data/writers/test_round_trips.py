"""What a writer writes, the reader of the format reads back: the same points, missing ones missing."""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from mahtdiag.data.outgoing import OutgoingSet
from mahtdiag.data.readers import open_dataset, reader_of
from mahtdiag.data.writers import WRITERS, writer_named
from mahtdiag.schema.frames import Size
from mahtdiag.schema.read_options import ReadOptions
from mahtdiag.schema.skeleton import SKELETONS, Skeleton

from .outgoing_sets import Floats, lay_out, outgoing

TOLERANCE_PX = 0.01
# Odd names, subfolders, and the same stem twice.
NAMES = (
    "AP/0001-F-037Y0.png",
    "other/0001-F-037Y0.png",
    'a b/it\'s "odd", é & ü #1 100%.png',
    "plain.name.with.dots.bmp",
    "Ünïcode/脊椎.png",
)


@dataclass(frozen=True)
class Format:
    """The reader of what a writer writes, whether that keeps points outside an image, how it names images."""

    reader: str
    outside: bool = True
    images: str = ""
    link: str = "{name}"


FORMATS = {
    "coco": Format("coco"),
    "yolo": Format("yolo-pose", outside=False, images="images/"),
    "csv": Format("csv"),
    "labelme": Format("labelme", link="{last}"),
    "labelstudio": Format("label-studio", outside=False, link="/data/local-files/?d=set/{quoted}"),
    "slicer": Format("slicer"),
}


@st.composite
def sets(draw: st.DrawFn) -> tuple[Skeleton, Size, list[Floats]]:
    """Points inside and a little outside their images, some missing, one there at least."""
    skeleton = draw(st.sampled_from(SKELETONS))
    size = Size(draw(st.integers(16, 90)), draw(st.integers(16, 90)))
    number = st.floats(-0.2, 1.2, allow_nan=False, width=64)
    shares = draw(
        st.lists(
            st.lists(number, min_size=2 * skeleton.keypoints, max_size=2 * skeleton.keypoints),
            min_size=len(NAMES),
            max_size=len(NAMES),
        )
    )
    missing = draw(st.sets(st.integers(0, skeleton.keypoints - 1), max_size=skeleton.keypoints - 1))
    found = []
    for values in shares:
        points = np.array(values).reshape(-1, 2) * size.xy
        # One that every format can hold.
        kept = next(k for k in range(skeleton.keypoints) if k not in missing)
        points[kept] = size.xy / 3
        points[sorted(missing)] = np.nan
        found.append(points)
    return skeleton, size, found


def test_every_writer_is_tried() -> None:
    assert set(FORMATS) == {writer.name for writer in WRITERS}


@pytest.mark.parametrize("name", FORMATS)
@settings(deadline=None, max_examples=40)
@given(sets())
def test_points_come_back(name: str, given: tuple[Skeleton, Size, list[Floats]]) -> None:
    skeleton, size, points_px = given
    expected = [px.copy() for px in points_px]
    if not FORMATS[name].outside:
        for px in expected:
            with np.errstate(invalid="ignore"):
                px[((px < 0) | (px > size.xy)).any(axis=1)] = np.nan
    forms = [{"name": i, "last": i.rpartition("/")[2], "quoted": quote(i)} for i in NAMES]
    links = [FORMATS[name].link.format(**form) for form in forms]
    found = read_back(name, outgoing(skeleton, points_px, NAMES, size, links=links), size)
    assert sorted(found) == sorted(FORMATS[name].images + image for image in NAMES)
    for image, px in zip(NAMES, expected, strict=True):
        got = found[FORMATS[name].images + image]
        assert (np.isnan(got) == np.isnan(px)).all(), image
        assert np.nanmax(np.abs(got - px)) <= TOLERANCE_PX


def read_back(name: str, made: OutgoingSet, size: Size) -> dict[str, Floats]:
    """Keypoints by image, by the one reader that recognises the files."""
    form, writer = FORMATS[name], writer_named(name)
    file = f"out{writer.ending or ''}"
    written = writer.write(made, file)
    assert written.left_out == ()
    with tempfile.TemporaryDirectory() as folder:
        lay_out(Path(folder), written, {form.images + image.image: size for image in made.images})
        assert reader_of(Path(folder)).name == form.reader
        dataset = open_dataset(Path(folder), made.skeleton.view, ReadOptions())
    assert dataset.failures == ()
    return {sample.image: sample.keypoints_px for sample in dataset.samples}
