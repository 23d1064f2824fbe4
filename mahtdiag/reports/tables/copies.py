"""What `anatomy --labels` says of images that are copies of others, in tables and as plain values."""

from collections.abc import Iterator

from mahtdiag.diagnosis.copies import CopyKind, CopyPair, CopySearch
from mahtdiag.reports.rendering import Json
from mahtdiag.reports.tables.table import (
    LONGEST_NAME,
    Line,
    Part,
    Style,
    Table,
    TableColumn,
    short_name,
    table,
)
from mahtdiag.reports.text import counted, percent

NAME_WIDTH = 20
MOST_PAIRS = 30
_AS_LARGE = 0.02
_WHOLE = 0.97


def of_copy(pair: CopyPair) -> str:
    """What kind of copy `other` is of `image`: `scaled to 30 %, shows 64 % of it, mirrored`."""
    if pair.kind is CopyKind.IDENTICAL:
        return str(pair.kind)
    words = []
    along_x, along_y = pair.scale
    if max(abs(along_x - 1), abs(along_y - 1)) > _AS_LARGE:
        alike = abs(along_x / along_y - 1) <= _AS_LARGE
        size = percent((along_x * along_y) ** 0.5, 0)
        words.append(f"scaled to {size if alike else f'{percent(along_x, 0)} × {percent(along_y, 0)}'}")
    if pair.image_share < _WHOLE:
        words.append(f"shows {percent(pair.image_share, 0)} of it")
    if pair.other_share < _WHOLE:
        words.append(f"{percent(1 - pair.other_share, 0)} of it lies beyond")
    if pair.mirrored:
        words.append("mirrored")
    return ", ".join(words) or "same size, saved again"


def copies_parts(search: CopySearch, wider: int) -> Iterator[Part]:
    """Pairs of the same exposure, across the sets first, and patients of both sets."""
    name_width = min(LONGEST_NAME, NAME_WIDTH + wider // 3)
    across = [pair for pair in search.pairs if pair.across]
    within = [pair for pair in search.pairs if not pair.across]
    if search.against is not None:
        yield _pairs(
            f"Copies in {search.against}",
            f"No image is a copy of one of the {search.others} in {search.against}.",
            across,
            name_width,
            Style.BAD,
        )
        yield _patients(search, search.against, name_width)
    nothing = f"No image is a copy of another one of this set ({counted(search.images, 'image')})."
    yield _pairs("Copies within the set", nothing, within, name_width, Style.DOUBTFUL)
    if search.unread:
        more = f" and {len(search.unread) - 1} more" if len(search.unread) > 1 else ""
        yield Line(
            f"{search.unread[0]}{more} of {search.against} could not be read: not searched.", Style.BAD
        )
    yield Line()


def _pairs(title: str, nothing: str, pairs: list[CopyPair], width: int, style: Style) -> Part:
    if not pairs:
        return Line(nothing)
    images = len({pair.image for pair in pairs})
    more = f" {len(pairs) - MOST_PAIRS} more pairs: --format json." if len(pairs) > MOST_PAIRS else ""
    return table(
        f"{title}: {counted(images, 'image')}",
        ("image", TableColumn("the same exposure"), TableColumn("which is", wraps="words"), "likeness"),
        (
            (short_name(p.image, width), short_name(p.other, width), of_copy(p), f"{p.likeness:.2f}")
            for p in pairs[:MOST_PAIRS]
        ),
        note=f"likeness: correlation of details once laid onto each other; copies from 0.70.{more}",
        note_style=style if more else Style.DIM,
    )


def _patients(search: CopySearch, against: str, width: int) -> Table | Line:
    if search.patients is None:
        return Line("Patients of both sets: not known (no names that tell, no patients.csv in both).")
    if not search.patients:
        return Line(f"No patient of this set has an image in {against}.")
    shown = search.patients[:MOST_PAIRS]
    rest = len(search.patients) - len(shown)
    images = sum(len(patient.images) for patient in search.patients)
    return table(
        f"Patients with images in {against} too: {len(search.patients)} ({counted(images, 'image')})",
        ("patient", TableColumn("image"), TableColumn("there"), "images", "there"),
        (
            (
                short_name(patient.patient, width),
                short_name(patient.images[0], width),
                short_name(patient.others[0], width),
                str(len(patient.images)),
                str(len(patient.others)),
            )
            for patient in shown
        ),
        note="By key: the same patients only if both sets number them alike."
        + (f" {rest} more: --format json." if rest else ""),
    )


def copies_content(search: CopySearch) -> dict[str, Json]:
    """The same for programs."""
    return {
        "images": search.images,
        "against": None if search.against is None else search.against,
        "against_images": search.others if search.against is not None else None,
        "pairs": [_pair(pair) for pair in search.pairs],
        "patients": None
        if search.patients is None
        else [
            {"patient": p.patient, "images": list(p.images), "against_images": list(p.others)}
            for p in search.patients
        ],
        "unread": list(search.unread),
    }


def _pair(pair: CopyPair) -> dict[str, Json]:
    return {
        "image": pair.image,
        "other": pair.other,
        "against": pair.across,
        "identical": pair.kind is CopyKind.IDENTICAL,
        "scale_x": pair.scale[0],
        "scale_y": pair.scale[1],
        "image_share": pair.image_share,
        "other_share": pair.other_share,
        "mirrored": pair.mirrored,
        "likeness": pair.likeness,
        "picture": None if pair.picture is None else pair.picture,
    }
