"""What is known of an image file before it is decoded."""

from dataclasses import dataclass

from mahtdiag.schema.frames import Size


@dataclass(frozen=True, slots=True)
class Container:
    """An image file that is complete as far as its own structure tells.

    `content` is what to give to the decoder: the file without what must not influence the pixels.
    `white_is_zero`: the grey values are stored inverted (TIFF only). `bits` of a value where its integer type
    may have more (JPEG 2000 only). `pixel_bytes`: what the decoder needs for a pixel, all its channels.
    """

    kind: str
    size: Size
    content: bytes
    white_is_zero: bool = False
    bits: int | None = None
    pixel_bytes: int = 1
