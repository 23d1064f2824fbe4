"""Runs of bytes as TIFF and DICOM pack them."""


def is_packed(packed: bytes, expected: int) -> bool:
    """Whether PackBits come to so many bytes with their last (TIFF 6.0, section 9)."""
    place = unpacked = 0
    while place < len(packed) and unpacked < expected:
        head = packed[place]
        if head < 128:
            place, unpacked = place + 2 + head, unpacked + 1 + head
        elif head > 128:
            place, unpacked = place + 2, unpacked + 257 - head
        else:
            place += 1
    # One byte may fill up to an even number.
    return place <= len(packed) <= place + 1 and unpacked >= expected
