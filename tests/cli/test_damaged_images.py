"""Images whose pixels are damaged, and one that is never decoded: failures with a reason, as every other."""

import subprocess
import sys

import cv2
import numpy as np

from tests.data.images.test_room import bomb

from .builders import INPUT_OPTIONS, Bench
from .command import Desk, document_of, environment, failures_of, finish

# Decodes one image for ever, as a decoder in circles does.
STUCK_SCRIPT = """
import time
from mahtdiag.data import images

open_container = images.open_container

def stuck(content, name):
    if name == STUCK_NAME:
        time.sleep(10_000)
    return open_container(content, name)

images.open_container = stuck
from mahtdiag.cli.app import main
main()
"""


def test_damaged_images_are_named_with_their_reasons(desk: Desk, bench: Bench) -> None:
    folder = desk.path / "data/AP"
    stems = [truth.stem for truth in bench.ap]
    noise = np.random.default_rng(1).integers(0, 40, (600, 600), dtype=np.uint8)
    images = []
    for stem in stems:
        image = cv2.imread(str(folder / f"{stem}.png"), cv2.IMREAD_UNCHANGED)
        assert image is not None
        noisy = image.astype(int) + noise[: image.shape[0], : image.shape[1]]
        images.append(np.clip(noisy, 0, 255).astype(np.uint8))
    jpegs = [cv2.imencode(".jpg", image)[1].tobytes() for image in images[:3]]
    tiff = cv2.imencode(".tif", images[3], [cv2.IMWRITE_TIFF_COMPRESSION, 8])[1].tobytes()
    middle = len(jpegs[0]) // 2
    files = {
        f"{stems[0]}.jpg": jpegs[0][:middle] + jpegs[0][middle + 512 :],
        f"{stems[1]}.jpg": jpegs[1][:middle] + bytes(512) + jpegs[1][middle + 512 :],
        f"{stems[2]}.jpg": jpegs[2][:-2],
        f"{stems[3]}.tif": tiff[:5000] + bytes(512) + tiff[5512:],
        f"{stems[4]}.png": bomb(16384, 16, 6),
    }
    for name, content in files.items():
        (folder / f"{name[:-4]}.png").unlink()
        (folder / name).write_bytes(content)
    expected = {
        f"AP/{stems[0]}.jpg": "the JPEG is damaged or truncated (its data end early): copy it again",
        f"AP/{stems[1]}.jpg": "the JPEG is damaged (zeros in the place of data): copy it again",
        f"AP/{stems[3]}.tif": "the TIFF is damaged (wrong sum of the pixels): copy it again",
        f"AP/{stems[4]}.png": (
            "16384x16384 pixels (width x height) of 8 bytes, more than the 512 MiB an image may have"
        ),
    }
    result = desk.lookup("exact", "--allow-failures", "4")
    assert failures_of(desk.path / "run") == expected
    assert result.status == 0
    assert not result.errors
    printed = " ".join(result.text.split())
    assert f"{len(stems) - 4} images evaluated, 4 failed" in printed
    for name, reason in expected.items():
        assert f"{name} {reason}" in printed


def test_an_image_that_is_never_decoded(desk: Desk, bench: Bench) -> None:
    """It is a failure, and neither the run nor the end of the process waits for its thread."""
    image = f"AP/{bench.ap[1].stem}.png"
    script = STUCK_SCRIPT.replace("STUCK_NAME", repr(image))
    process = subprocess.Popen(
        [
            *(sys.executable, "-c", script, "evaluate", "lookup-ap.pt", "data", "--model", "nets:exact"),
            *("--trust", *INPUT_OPTIONS, "--out", "run", "--overlays", "none", "--workers", "2"),
            *("--image-timeout", "2"),
        ],
        cwd=desk.path,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    result = finish(process)
    expected = {image: "not read within 2 seconds: save it again, or allow more with --image-timeout"}
    assert failures_of(desk.path / "run") == expected
    failed = f"1 of {len(bench.ap)} images failed, --allow-failures is 0; the first"
    assert result.errors == [f"error: {failed}: {image}: {expected[image]}"]
    assert result.status == 2
    assert document_of(desk.path / "run")["images"]["evaluated"] == len(bench.ap) - 1
