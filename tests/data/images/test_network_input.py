"""From decoded pixels to the tensor a network takes."""

import hashlib
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image as Pillow

from mahtdiag.data.images import ImageError, load_image
from mahtdiag.data.images.network_input import to_network_input
from mahtdiag.errors import UsageError
from mahtdiag.schema.frames import FrameMap, Size
from mahtdiag.schema.model_spec import ModelInput
from mahtdiag.schema.normalization import IMAGENET, Normalization, parse_normalization
from mahtdiag.schema.preprocessing import Bars, ChannelOrder, Interpolation, Resize
from tests.data.builders import Pixels, colour, encoded, radiograph

BGR = ChannelOrder.BGR
SIDES = st.integers(16, 60)


def block_means(image: Pixels, factor_y: int, factor_x: int) -> NDArray[np.float64]:
    """Area averaging by whole factors, pixel by pixel."""
    height, width = image.shape[0] // factor_y, image.shape[1] // factor_x
    means = np.zeros((height, width, *image.shape[2:]))
    for y in range(height):
        for x in range(width):
            block = image[y * factor_y : (y + 1) * factor_y, x * factor_x : (x + 1) * factor_x]
            means[y, x] = block.astype(np.float64).mean(axis=(0, 1))
    return means


def linear(image: Pixels, size: Size) -> NDArray[np.float64]:
    """Linear interpolation between pixel centres, edges repeated, one axis after the other."""
    values = image.astype(np.float64)
    for axis, wanted in enumerate((size.height, size.width)):
        length = values.shape[axis]
        places = np.clip((np.arange(wanted) + 0.5) * length / wanted - 0.5, 0, length - 1)
        low = np.floor(places).astype(int)
        high = np.minimum(low + 1, length - 1)
        share = (places - low).reshape([-1 if a == axis else 1 for a in range(values.ndim)])
        values = values.take(low, axis) * (1 - share) + values.take(high, axis) * share
    return values


def as_image(tensor: NDArray[np.float32], full_scale: int = 255) -> NDArray[np.float64]:
    """A tensor back in grey values, `[H, W, C]`."""
    return tensor.transpose(1, 2, 0).astype(np.float64) * full_scale


@settings(deadline=None)
@given(SIDES, SIDES, st.integers(1, 4), st.integers(1, 4), st.sampled_from([np.uint8, np.uint16]))
def test_shrinking_averages_over_areas(
    height: int, width: int, factor_y: int, factor_x: int, dtype: type[np.uint8 | np.uint16]
) -> None:
    image: Pixels = radiograph(height * factor_y, width * factor_x).astype(dtype)
    tensor = to_network_input(image, ModelInput(Size(height, width), 1))
    full_scale = np.iinfo(dtype).max
    # Half a grey value is the rounding of the integer image.
    expected = block_means(image, factor_y, factor_x)
    np.testing.assert_allclose(as_image(tensor, full_scale)[..., 0], expected, atol=0.502, rtol=1e-6)


@settings(deadline=None)
@given(SIDES, SIDES, SIDES, SIDES)
def test_enlarging_is_linear(height: int, width: int, more_rows: int, more_columns: int) -> None:
    image = radiograph(height, width)
    size = Size(height + more_rows, width + more_columns)
    tensor = to_network_input(image, ModelInput(size, 1))
    np.testing.assert_allclose(as_image(tensor)[..., 0], linear(image, size), atol=1.01)


def test_each_axis_is_resized_by_its_own_rule() -> None:
    image = radiograph(120, 30)
    tensor = to_network_input(image, ModelInput(Size(40, 75), 1))
    averaged = np.rint(block_means(image, 3, 1)).astype(np.uint8)
    np.testing.assert_allclose(as_image(tensor)[..., 0], linear(averaged, Size(40, 75)), atol=1.51)


def test_pixels_are_resized_as_integers_like_most_training_scripts_do() -> None:
    image = radiograph(331, 217)
    tensor = to_network_input(image, ModelInput(Size(256, 128), 3))
    script = cv2.resize(image, (128, 256), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    for channel in tensor:
        np.testing.assert_array_equal(channel, script)


@pytest.mark.parametrize("factor", [1, 257])
def test_no_resize_gives_value_by_full_scale(factor: int) -> None:
    image = radiograph(32, 48).astype(np.uint8 if factor == 1 else np.uint16) * factor
    tensor = to_network_input(image.astype(image.dtype), ModelInput(Size(32, 48), 1))
    assert tensor.dtype == np.float32
    assert tensor.flags["C_CONTIGUOUS"]
    expected = np.array([[[float(v) / (255 * factor) for v in row] for row in image]])
    np.testing.assert_allclose(tensor, expected, rtol=1e-7)


def test_colour_becomes_grey_by_the_usual_weights() -> None:
    image = colour(32, 48)
    tensor = to_network_input(image, ModelInput(Size(32, 48), 1))
    expected = image @ np.array([0.299, 0.587, 0.114])
    np.testing.assert_allclose(as_image(tensor)[..., 0], expected, atol=0.51)


def test_colour_stays_in_rgb_order() -> None:
    image = colour(32, 48)
    np.testing.assert_allclose(
        as_image(to_network_input(image, ModelInput(Size(32, 48), 3))), image, rtol=1e-6
    )


@given(st.integers(17, 80), st.integers(17, 80), st.integers(16, 64), st.integers(16, 64))
@settings(deadline=None)
def test_letterbox_keeps_the_aspect_and_blackens_the_rest(
    height: int, width: int, input_height: int, input_width: int
) -> None:
    size = Size(input_height, input_width)
    spec = ModelInput(size, 1, Resize.LETTERBOX)
    tensor = to_network_input(np.full((height, width), 255, np.uint8), spec)[0]
    placement = FrameMap(Size(height, width), size, size, Resize.LETTERBOX).placement
    expected = np.zeros((input_height, input_width), dtype=np.float32)
    expected[placement.top :, placement.left :][: placement.resized.height, : placement.resized.width] = 1
    np.testing.assert_array_equal(tensor, expected)


@pytest.mark.parametrize("mode", [Resize.STRETCH, Resize.LETTERBOX])
@pytest.mark.parametrize("original", [Size(240, 120), Size(61, 47), Size(300, 90)])
def test_a_spot_lands_where_the_frame_map_says(mode: Resize, original: Size) -> None:
    y, x = np.mgrid[: original.height, : original.width]
    centre = np.array([original.width * 0.4, original.height * 0.7])
    spread = 0.08 * min(original.height, original.width)
    image = np.rint(255 * np.exp(-((x - centre[0]) ** 2 + (y - centre[1]) ** 2) / (2 * spread**2))).astype(
        np.uint8
    )
    size = Size(96, 64)
    tensor = to_network_input(image, ModelInput(size, 1, mode))[0].astype(np.float64)
    rows, columns = np.mgrid[: size.height, : size.width]
    found = np.array([(tensor * columns).sum(), (tensor * rows).sum()]) / tensor.sum()
    expected = FrameMap(original, size, size, mode).original_to_input(centre)
    np.testing.assert_allclose(found, expected, atol=0.1)


def test_normalization_per_channel() -> None:
    image = colour(32, 48)
    tensor = to_network_input(image, ModelInput(Size(32, 48), 3, normalization=IMAGENET))
    expected = (image / 255 - np.array(IMAGENET.mean)) / np.array(IMAGENET.std)
    np.testing.assert_allclose(tensor.transpose(1, 2, 0), expected, atol=1e-5)


def test_one_mean_serves_all_channels_and_black_bars_are_normalized_too() -> None:
    half = Normalization("0.5/0.25", (0.5,), (0.25,))
    spec = ModelInput(Size(32, 64), 3, Resize.LETTERBOX, half)
    tensor = to_network_input(np.full((32, 32), 255, np.uint8), spec)
    assert tensor.shape == (3, 32, 64)
    np.testing.assert_array_equal(np.unique(tensor), [-2, 2])


@pytest.mark.parametrize("normalization", [IMAGENET, Normalization("x", (0.5,), (1.0, 1.0))])
def test_a_normalization_for_other_channels_is_a_usage_error(normalization: Normalization) -> None:
    with pytest.raises(UsageError, match="channels, the network takes 1"):
        to_network_input(radiograph(32, 48), ModelInput(Size(32, 48), 1, normalization=normalization))


SPEC = ModelInput(Size(64, 48), 3)


@pytest.mark.parametrize(
    "file_name", ["plain.png", "with space, comma.png", "Müller_腰椎.png", "Mu\u0308ller.png"]
)
def test_load_image_reads_any_file_name(tmp_path: Path, file_name: str) -> None:
    image = radiograph()
    content = encoded(image, "PNG")
    (tmp_path / file_name).write_bytes(content)
    loaded = load_image(str(tmp_path / file_name), file_name, SPEC)
    assert loaded.original == Size(220, 160)
    assert loaded.image_sha256 == hashlib.sha256(content).hexdigest()
    np.testing.assert_array_equal(loaded.tensor, to_network_input(image, SPEC))


def test_a_broken_image_is_reported_with_the_hash_of_its_bytes(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"broken")
    with pytest.raises(ImageError) as caught:
        load_image(tmp_path / "a.png", "AP/a.png", SPEC)
    assert caught.value.problems == ("AP/a.png: not a PNG, JPEG, TIFF, BMP, WebP, JPEG 2000 or DICOM image",)
    assert caught.value.image_sha256 == hashlib.sha256(b"broken").hexdigest()


def test_an_image_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "link.png").symlink_to(tmp_path / "nowhere.png")
    for name, reason in (("folder", "a folder, not a file"), ("link", "No such file or directory")):
        with pytest.raises(ImageError) as caught:
            load_image(tmp_path / f"{name}.png", "a.png", SPEC)
        assert caught.value.problems == (f"a.png: cannot be read: {reason}",)
        assert caught.value.image_sha256 is None


def test_threads_get_the_numbers_of_one_thread(tmp_path: Path) -> None:
    paths = [tmp_path / f"{seed}.jpg" for seed in range(12)]
    for seed, path in enumerate(paths):
        path.write_bytes(encoded(radiograph(300 + seed, 200, seed), "JPEG"))
    alone = [load_image(path, path.name, SPEC).tensor for path in paths]
    together = threading.Barrier(4)

    def load(number: int) -> NDArray[np.float32]:
        if number < 4:
            together.wait(timeout=10)
        return load_image(paths[number % 12], "a", SPEC).tensor

    with ThreadPoolExecutor(4) as pool:
        for number, tensor in enumerate(pool.map(load, range(48))):
            np.testing.assert_array_equal(tensor, alone[number % 12])


LETTERBOXES = [
    "letterbox:top-left",
    "letterbox:fill=114",
    "letterbox:top-left,pad=1.25,fill=edge",
    "letterbox:pad=1.25,fill=mean",
    "letterbox:pad=1.7",
]


@pytest.mark.parametrize("text", LETTERBOXES)
@pytest.mark.parametrize("original", [Size(240, 120), Size(61, 47), Size(90, 300)])
def test_a_spot_lands_where_the_frame_map_says_in_every_letterbox(text: str, original: Size) -> None:
    resize, size = Resize.parse(text), Size(96, 64)
    y, x = np.mgrid[: original.height, : original.width]
    centre = np.array([original.width * 0.4, original.height * 0.7])
    spread = 0.06 * min(original.height, original.width)
    image = np.rint(255 * np.exp(-((x - centre[0]) ** 2 + (y - centre[1]) ** 2) / (2 * spread**2))).astype(
        np.uint8
    )
    tensor = to_network_input(image, ModelInput(size, 1, replace(resize, bars=Bars.GREY, grey=0.0)))[0]
    rows, columns = np.mgrid[: size.height, : size.width]
    found = np.array([(tensor * columns).sum(), (tensor * rows).sum()]) / tensor.sum()
    frame = FrameMap(original, size, size, resize)
    np.testing.assert_allclose(found, frame.original_to_input(centre), atol=0.1)
    # The image has the size that its box of `pad` times its sides leaves it, to half a pixel.
    factor = min(size.height / original.height, size.width / original.width) / resize.pad
    np.testing.assert_allclose(frame.placement.resized.xy, original.xy * factor, atol=0.5)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize(
    ("fill", "expected"), [("114", (114 / 255 - 0.5) / 0.25), ("mean", 0.0), ("edge", 2.0)]
)
def test_what_is_beside_a_letterboxed_image(
    fill: str, expected: float, dtype: type[np.uint8 | np.uint16]
) -> None:
    half = Normalization("0.5/0.25", (0.5,), (0.25,))
    spec = ModelInput(Size(40, 80), 3, Resize.parse(f"letterbox:pad=1.25,fill={fill}"), half)
    tensor = to_network_input(np.full((32, 32), np.iinfo(dtype).max, dtype), spec)
    np.testing.assert_allclose(tensor[:, 4:36, 24:56], 2.0)
    tensor[:, 4:36, 24:56] = expected
    np.testing.assert_allclose(tensor, expected, rtol=1e-6)


def test_the_edge_goes_on_beside_the_image() -> None:
    image = radiograph(32, 32)
    spec = ModelInput(Size(48, 40), 1, Resize.parse("letterbox:top-left,pad=1.25,fill=edge"))
    tensor = to_network_input(image, spec)[0] * 255
    np.testing.assert_allclose(tensor[:32, :32], image, atol=1e-3)
    np.testing.assert_allclose(tensor[32:, :32], np.tile(image[-1:], (16, 1)), atol=1e-3)
    np.testing.assert_allclose(tensor[:32, 32:], np.tile(image[:, -1:], (1, 8)), atol=1e-3)


@pytest.mark.parametrize("text", ["stretch", "letterbox", *LETTERBOXES])
def test_a_resize_is_read_as_it_is_written(text: str) -> None:
    resize = Resize.parse(text)
    assert str(resize) == text
    assert Resize.parse(str(resize)) == resize


WAYS = {
    Interpolation.LINEAR: cv2.INTER_LINEAR,
    Interpolation.CUBIC: cv2.INTER_CUBIC,
    Interpolation.PIL_BILINEAR: Pillow.Resampling.BILINEAR,
    Interpolation.PIL_BICUBIC: Pillow.Resampling.BICUBIC,
}


@pytest.mark.parametrize("interpolation", WAYS)
@pytest.mark.parametrize("size", [Size(64, 40), Size(300, 90), Size(400, 500)])
@pytest.mark.parametrize("picture", [radiograph(220, 160), colour(220, 160)])
def test_each_interpolation_is_that_of_its_library(
    interpolation: Interpolation, size: Size, picture: Pixels
) -> None:
    tensor = to_network_input(picture, ModelInput(size, 3, interpolation=interpolation))
    if interpolation in (Interpolation.LINEAR, Interpolation.CUBIC):
        expected = cv2.resize(picture, (size.width, size.height), interpolation=int(WAYS[interpolation]))
    else:
        way = Pillow.Resampling(WAYS[interpolation])
        expected = np.asarray(Pillow.fromarray(picture).resize((size.width, size.height), way))
    planes = expected[None] if expected.ndim == 2 else expected.transpose(2, 0, 1)
    np.testing.assert_allclose(tensor * 255, np.broadcast_to(planes, tensor.shape), atol=1e-4)


@settings(deadline=None, max_examples=25)
@given(SIDES, SIDES, st.sampled_from([np.uint8, np.uint16]))
def test_pil_bilinear_averages_over_what_becomes_a_pixel_as_torch_does(
    height: int, width: int, dtype: type[np.uint8 | np.uint16]
) -> None:
    image: Pixels = (radiograph(220, 160).astype(np.float64) / 255 * np.iinfo(dtype).max).astype(dtype)
    spec = ModelInput(Size(height, width), 1, interpolation=Interpolation.PIL_BILINEAR)
    tensor = to_network_input(image, spec) * np.iinfo(dtype).max
    values = torch.from_numpy(image.astype(np.float64))[None, None]
    expected = torch.nn.functional.interpolate(values, (height, width), mode="bilinear", antialias=True)
    # Pillow rounds 8 bits after each of the two axes.
    np.testing.assert_allclose(tensor[0], expected[0, 0], atol=1.01 if dtype is np.uint8 else 0.6)


def normalized(image: Pixels, name: str, channels: int = 1, resize: str = "stretch") -> NDArray[np.float64]:
    """The tensor of an image of the input's own size, channels last."""
    size = Size(*image.shape[:2]) if resize == "stretch" else Size(image.shape[0], 2 * image.shape[1])
    spec = ModelInput(size, channels, Resize.parse(resize), parse_normalization(name))
    return to_network_input(image, spec).transpose(1, 2, 0).astype(np.float64)


@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
def test_normalisations_by_the_image_itself(depth: type[np.uint8 | np.uint16]) -> None:
    image: Pixels = (radiograph(48, 32) // 2 + 20).astype(depth)
    if depth is np.uint16:
        image = image * np.uint16(257)
    value = image[..., None] / np.iinfo(depth).max
    low, high = np.percentile(value, (1, 99))
    expected = {
        "raw255": 255 * value,
        "zscore": (value - value.mean()) / value.std(),
        "minmax": (value - value.min()) / (value.max() - value.min()),
        "percentile": (np.clip(value, low, high) - low) / (high - low),
        "minmax+0.5/0.25": ((value - value.min()) / np.ptp(value) - 0.5) / 0.25,
        "raw255+123/58": (255 * value - 123) / 58,
        "unit": value,
    }
    for name, values in expected.items():
        np.testing.assert_allclose(normalized(image, name), values, atol=2e-5, err_msg=name)
    inner = np.percentile(value, (5, 80))
    ranged = (np.clip(value, *inner) - inner[0]) / np.ptp(inner)
    np.testing.assert_allclose(normalized(image, "percentile:5,80"), ranged, atol=2e-5)
    # What the image is multiplied by and moved to changes nothing.
    other: Pixels = (image // 2 + 7).astype(depth)
    np.testing.assert_allclose(normalized(other, "zscore"), normalized(image, "zscore"), atol=0.05)


@pytest.mark.parametrize("name", ["zscore", "minmax", "percentile"])
def test_an_image_of_one_grey_value_has_no_spread(name: str) -> None:
    flat = np.full((24, 32), 77, np.uint8)
    np.testing.assert_array_equal(normalized(flat, name), 0.0)


@pytest.mark.parametrize(("name", "clip", "tiles"), [("clahe", 2.0, 8), ("clahe:4,4+unit", 4.0, 4)])
def test_clahe_is_that_of_opencv_at_the_size_of_the_image(name: str, clip: float, tiles: int) -> None:
    image = radiograph(200, 120)
    expected: NDArray[np.float64] = np.asarray(cv2.createCLAHE(clip, (tiles, tiles)).apply(image)) / 255
    deep: Pixels = image.astype(np.uint16) * np.uint16(257)
    np.testing.assert_allclose(normalized(image, name)[..., 0], expected, atol=1e-6)
    np.testing.assert_allclose(normalized(deep, name)[..., 0], expected, atol=1e-6)
    mean, std = np.array(IMAGENET.mean), np.array(IMAGENET.std)
    both = normalized(image, f"{name}+imagenet", 3)
    np.testing.assert_allclose(both, (expected[..., None] - mean) / std, atol=1e-5)


def test_bars_enter_no_statistics() -> None:
    image = radiograph(48, 32)
    for fill, name in (("255", "zscore"), ("mean", "zscore"), ("0", "minmax")):
        boxed = normalized(image, name, resize=f"letterbox:fill={fill}")
        np.testing.assert_allclose(boxed[:, 16:48], normalized(image, name), atol=1e-5)
        value = image / 255
        beside = {"255": (1 - value.mean()) / value.std(), "mean": 0.0, "0": -value.min() / np.ptp(value)}
        np.testing.assert_allclose(boxed[:, :16], beside[fill], atol=1e-5)


def test_a_network_of_blue_first() -> None:
    image = colour(32, 48)
    spec = ModelInput(Size(32, 48), 3, normalization=IMAGENET)
    rgb, bgr = to_network_input(image, spec), to_network_input(image, replace(spec, channel_order=BGR))
    np.testing.assert_array_equal(bgr, rgb[::-1])
    # Means and deviations that are typed are in the order of the network.
    typed = parse_normalization("0.1,0.2,0.3/1,2,4")
    tensor = to_network_input(image, replace(spec, normalization=typed, channel_order=BGR))
    expected = (image[..., ::-1] / 255 - np.array([0.1, 0.2, 0.3])) / np.array([1, 2, 4])
    np.testing.assert_allclose(tensor.transpose(1, 2, 0), expected, atol=1e-6)
    grey = to_network_input(radiograph(32, 48), replace(spec, channel_order=BGR))
    np.testing.assert_allclose(grey[0] * 0.225 + 0.406, grey[2] * 0.229 + 0.485, atol=1e-6)
