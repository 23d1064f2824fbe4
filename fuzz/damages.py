"""Damage whose truth is known, and files that are made to take all memory or time."""

import random
import struct
import zlib
from typing import Final

import cv2
import numpy as np

from fuzz.spines import radiograph

_LEAST_LOST: Final = 400
# Kinds whose data tell that a part is missing; so that chance does not hide it, files of some size.
_TELLING: Final = ("large.jpg", "large.png", "large-deflate.tif")
_PNG_START: Final = b"\x89PNG\r\n\x1a\n"


def large_files(kind: str) -> dict[str, bytes]:
    """A grey image of 300 by 200 noisy pixels of this kind, png, jpeg or tiff."""
    noise = np.random.default_rng(1).normal(0, 9, (300, 200))
    grey = cv2.resize(radiograph("a"), (200, 300)) + noise
    image = np.clip(grey, 0, 255).astype(np.uint8)
    name, parameters = {
        "jpeg": ("large.jpg", []),
        "png": ("large.png", []),
        "tiff": ("large-deflate.tif", [cv2.IMWRITE_TIFF_COMPRESSION, 8]),
    }[kind]
    return {name: cv2.imencode(f".{name.rpartition('.')[2]}", image, parameters)[1].tobytes()}


def damaged(name: str, content: bytes, rng: random.Random) -> bytes:
    """The end cut off, or 512 bytes lost or zeroed."""
    at = rng.randrange(len(content) // 8, len(content) - 600)
    change = rng.choice(("cut", "cut, with an end", "lost", "zeroed"))
    if change.startswith("cut"):
        return content[:at] + (b"\xff\xd9" if name.endswith(".jpg") and "end" in change else b"")
    return content[:at] + bytes(512 if change == "zeroed" else 0) + content[at + 512 :]


def lost_bytes(name: str, whole: bytes, found: bytes) -> int:
    """How many bytes a file of a kind that tells them has lost or zeroed; 0 for any other change."""
    if name not in _TELLING or found == whole:
        return 0
    shortest = min(len(whole), len(found))
    start = next((at for at in range(shortest) if whole[at] != found[at]), shortest)
    if start < len(whole) // 8:
        return 0
    same = next((at for at in range(shortest - start) if whole[-1 - at] != found[-1 - at]), shortest - start)
    if len(found) == len(whole):
        changed = found[start : len(found) - same]
        return len(changed) if not any(changed) else 0
    return len(whole) - len(found) if len(found) in (start + same, start) else 0


def is_known_loss(name: str, whole: bytes, found: bytes) -> bool:
    """Whether so much is missing that no reader may take the file for whole."""
    return lost_bytes(name, whole, found) >= _LEAST_LOST


def bomb(name: str, content: bytes, rng: random.Random) -> bytes:
    """A small or plain file that asks for absurd memory or time."""
    if name.endswith(".jpg"):
        scan, end = content.find(b"\xff\xda"), content.rfind(b"\xff\xd9")
        return rng.choice((
            content[:end] + content[scan:end] * 2000 + content[end:],
            content[:2] + b"\xff" * 20_000_000 + content[2:],
            content[:2] + b"\xff\xfe\0\x02" * 1_000_000 + content[2:],
        ))  # fmt: skip
    if name.endswith(".tif"):
        return _overlapping_directories(rng.choice((1, 4096)), rng.choice((100, 65_535)))
    return _large_png(rng.choice((4000, 16_384, 60_000)), rng.choice((8, 16)), rng.choice((0, 2, 6)))


def _overlapping_directories(count: int, entries: int) -> bytes:
    """A TIFF of so many directories, each two bytes behind the one before."""
    body = bytearray(struct.pack("<H", entries) * (entries * 6 + 4 * count))
    for number in range(count):
        following = 8 + 2 * number + 2 + 12 * entries - 8
        struct.pack_into("<I", body, following, 8 + 2 * ((number + 1) % count))
    return b"II*\0" + struct.pack("<I", 8) + bytes(body)


def _large_png(side: int, depth: int, colours: int) -> bytes:
    """Black, as far as its rows go: sixty-four megabytes of them."""
    header = struct.pack(">IIBBBBB", side, side, depth, colours, 0, 0, 0)
    chunks = b""
    for kind, data in ((b"IHDR", header), (b"IDAT", zlib.compress(bytes(2**26), 1)), (b"IEND", b"")):
        chunks += struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    return _PNG_START + chunks
