"""Checks of the images: polarity, range of grey values, sizes, orientation, copies, colour."""

from collections import Counter

import numpy as np
from numpy.typing import NDArray

from mahtdiag.diagnosis.run_table import RunTable
from mahtdiag.diagnosis.setup.check import Facts, Outcome, SetupCheck, fine, not_checked, of_network, too_few
from mahtdiag.diagnosis.setup.explanations import CLEAR_GAIN, Explanation, Finding, weigh
from mahtdiag.diagnosis.setup.mistakes import TRANSFORM, upright_to_stored
from mahtdiag.schema.normalization import IMAGENET, UNIT
from mahtdiag.schema.numerals import pixels
from mahtdiag.schema.preprocessing import ResizeMode
from mahtdiag.schema.setup import THUMBNAIL_SIDE, SetupStatus

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

_INVERTED, _ALIKE = -0.2, 0.4
_FEWEST = 5
_HALVES_APART = 2.0
_FEWEST_SHOWN, _SHOWN_GAIN, _LEAST_ERROR_PX = 3, 2.0, 1e-3
_PART_OF_RANGE = 0.30
_COLOUR = 0.02
_MOST_STRETCH = 2.0
_TURNED_CHANCE = 0.01
_ONE_LEVEL, _DEEP_LEVEL = 0.02, 1e-4

_WHITE_16 = 65535
_MOST_NAMED = 3
_DICOM = (".dcm", ".dicom")
_NAMED = (UNIT.name, IMAGENET.name)


def thumbnails(texts: tuple[str | None, ...]) -> Floats:
    """Grey levels `[N, 64]` of the small copies of images; NaN where there is none."""
    side = THUMBNAIL_SIDE**2
    found = np.full((len(texts), side), np.nan)
    for row, text in enumerate(texts):
        if text is not None and len(text) == 2 * side:
            found[row] = np.frombuffer(bytes.fromhex(text), np.uint8)
    return found


def likeness(levels: Floats, *, mixed: bool = False) -> Floats:
    """Correlation of each small copy `[N, M]` with the median one, `[N]`; NaN where it has one grey level.

    `mixed`: copies are first turned to the sign that they have on what most of them share.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        away = levels - levels.mean(axis=1, keepdims=True)
        z = away / np.sqrt((away**2).mean(axis=1, keepdims=True))
    known = np.isfinite(z).all(axis=1)
    if not known.any():
        return np.full(len(levels), np.nan)
    alike = z[known]
    if mixed:
        shared = np.linalg.svd(alike, full_matrices=False)[2][0]
        alike = alike * np.where(alike @ shared < 0, -1.0, 1.0)[:, None]
    usual = np.median(alike, axis=0)
    spread = usual.std()
    like: Floats = np.full(len(levels), np.nan)
    if spread > 0:
        like[known] = ((usual - usual.mean()) * z[known]).mean(axis=1) / spread
    return like


def _polarity(facts: Facts) -> Outcome | None:
    like = likeness(thumbnails(facts.table.thumbnail))
    known = np.isfinite(like)
    if known.sum() < _FEWEST:
        return too_few(int(known.sum()), _FEWEST)
    if np.median(like[known]) < _ALIKE:
        return _halves(facts) or not_checked("images differ too much from each other")
    inverted = known & (like < _INVERTED)
    count = int(inverted.sum())
    if not count:
        return fine("no image looks like the negative of the others")
    errors = ""
    if facts.compared:
        means = [np.nanmean(facts.table.error_px[rows]) for rows in (inverted, known & ~inverted)]
        if means[0] * CLEAR_GAIN < means[1]:
            # The many may be the inverted ones: the network knows the few.
            inverted, means = like > _ALIKE, means[::-1]
            count = int(inverted.sum())
        errors = f"; mean error {pixels(float(means[0]))} px, {pixels(float(means[1]))} px in the others"
    names = named_images(facts.table, inverted)
    return Outcome(
        SetupStatus.WRONG,
        f"{count} of {int(known.sum())} images look inverted, black for white ({names}){errors}",
        "invert these images",
    )


def _halves(facts: Facts) -> Outcome | None:
    """Where about half of the images are negatives of the others: those with much larger errors."""
    if not facts.compared:
        return None
    like = likeness(thumbnails(facts.table.thumbnail), mixed=True)
    sides = [like > _ALIKE, like < -_ALIKE]
    if min(side.sum() for side in sides) < 2 or sum(side.sum() for side in sides) < 0.8 * like.size:
        return None
    means = [float(np.nanmean(facts.table.error_px[side])) for side in sides]
    worse = int(np.argmax(means))
    if means[worse] < _HALVES_APART * means[1 - worse]:
        return None
    names = named_images(facts.table, sides[worse])
    return Outcome(
        SetupStatus.WRONG,
        f"{int(sides[worse].sum())} of {like.size} images look inverted, black for white ({names}); "
        f"mean error {pixels(means[worse])} px, {pixels(means[1 - worse])} px in the others",
        "invert these images",
    )


def _bit_range(facts: Facts) -> Outcome | None:
    table = facts.table
    bits, high = table.bits, table.grey_high
    known = np.isfinite(bits) & np.isfinite(high)
    if not known.any():
        return None
    # Few bits in deep files lie close together, and are no single level.
    one_level = np.where(bits == 16, _DEEP_LEVEL, _ONE_LEVEL)
    empty = known & (high - table.grey_low < one_level) & (high < _PART_OF_RANGE)
    if empty.any():
        return Outcome(
            SetupStatus.WRONG,
            f"{int(empty.sum())} of {int(known.sum())} images are black: one grey level, about "
            f"{100 * float(high[empty].mean()):.2g} % of the range",
            "look at these files; were they converted without windowing?",
        )
    deep = known & (bits == 16)
    part = float(high[deep].max()) if deep.any() else 1.0
    white = None if facts.spec is None else facts.spec.input.full_scale
    if white is not None and deep.any():
        return _by_full_scale(facts, deep, white)
    if deep.any() and part < _PART_OF_RANGE:
        return _nearly_black(facts, deep, part)
    if deep.any() and (known & ~deep).any():
        return Outcome(
            SetupStatus.WARNING,
            f"{int(deep.sum())} images have 16 bits, {int((known & ~deep).sum())} have 8", "",
        )  # fmt: skip
    dark = known & (high < _PART_OF_RANGE)
    if dark.any():
        return Outcome(
            SetupStatus.WARNING,
            f"{int(dark.sum())} of {int(known.sum())} images use less than {100 * _PART_OF_RANGE:.0f} % of "
            "the range of grey values",
            "were they saved without windowing?",
        )
    return fine(f"{int(np.nanmedian(bits))}-bit images use up to {100 * float(np.median(high[known])):.0f} %")


def _nearly_black(facts: Facts, deep: Bools, part: float) -> Outcome:
    """Where 16-bit files use a part of their range alone."""
    largest = round(part * _WHITE_16)
    used = next((b for b in range(8, 16) if largest < 2**b), 16)
    if _scaled_by_normalization(facts, part):
        return fine(
            f"16-bit files use {100 * part:.2g} % of their range; the normalisation in force scales it"
        )
    return Outcome(
        SetupStatus.WRONG,
        f"{int(deep.sum())} of {len(facts.table)} images use {100 * part:.2g} % of the 16-bit range, "
        f"values up to {largest}: {used}-bit values in 16-bit files, read as nearly black "
        f"({named_images(facts.table, deep)})",
        f"--full-scale {2**used - 1} (or save them scaled to 16 bit)",
    )


def _by_full_scale(facts: Facts, deep: Bools, white: int) -> Outcome:
    """Whether the values of 16-bit files are of the size of what is said to be white."""
    # A DICOM says itself what is white, and may have a name without a suffix.
    says = [image.lower().endswith(_DICOM) or "." not in image for image in facts.table.image]
    above = np.asarray(deep & ~np.array(says) & (facts.table.grey_high * _WHITE_16 > white + 0.5))
    if above.any():
        largest = round(float(facts.table.grey_high[above].max()) * _WHITE_16)
        return Outcome(
            SetupStatus.WARNING,
            f"{int(above.sum())} of {len(facts.table)} images hold values up to {largest}, more than the "
            f"{white} that --full-scale says is white ({named_images(facts.table, above)})",
            f"--full-scale {2 ** largest.bit_length() - 1}, if {largest.bit_length()} bits are meant",
        )
    largest = round(float(facts.table.grey_high[deep].max()) * _WHITE_16)
    return fine(f"16-bit files hold values up to {largest}, --full-scale {white} says what is white")


def named_images(table: RunTable, rows: Bools) -> str:
    """The first of these images by name, and how many more there are."""
    names = [table.image[row] for row in np.flatnonzero(rows).tolist()]
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return ", ".join(names[:_MOST_NAMED]) + more


def _scaled_by_normalization(facts: Facts, part: float) -> bool:
    """Whether the mean and deviation that were stated are of the size of the grey values that are used."""
    if facts.spec is None or facts.spec.input.normalization.name in _NAMED:
        return False
    stated = facts.spec.input.normalization
    if stated.by_image:
        return True
    return part >= _PART_OF_RANGE * max(m + s for m, s in zip(stated.mean, stated.std, strict=True))


def _size(facts: Facts) -> Outcome | None:
    table, frames = facts.table, facts.table.conditions.frames
    sizes = table.sizes_px[np.isfinite(table.sizes_px).all(axis=1)]
    if not len(sizes):
        return not_checked("no image is there, and no annotation tells its size")
    aspect = sizes[:, 1] / sizes[:, 0]
    evidence = f"images {_range(sizes[:, 0])} wide, {_range(sizes[:, 1])} high"
    if frames is None:
        return fine(evidence)
    wanted = frames.network_input
    stretch = np.exp(np.abs(np.log(aspect / (wanted.height / wanted.width))))
    if frames.resize.mode is ResizeMode.LETTERBOX:
        return fine(
            f"{evidence}; they fill {100 * float(np.median(1 / stretch)):.0f} % of the input {wanted}"
        )
    evidence = f"{evidence}; stretched {float(np.median(stretch)):.2f}-fold to the input {wanted}"
    if np.median(stretch) > _MOST_STRETCH:
        return Outcome(
            SetupStatus.WARNING,
            f"{evidence}: was the network trained on images of this shape?",
            "--resize letterbox, or --input-size HxW with height first",
        )
    return fine(evidence)


def _range(values: Floats) -> str:
    low, high = int(values.min()), int(values.max())
    return str(low) if low == high else f"{low} to {high}"


def _orientation(facts: Facts) -> Outcome | None:
    """Whether labels of images with an orientation tag are places on the turned image."""
    turned, outside = facts.orientation != 1, facts.outside_orientation != 1
    if len(facts.table) and not np.isfinite(facts.table.orientation).any():
        return not_checked("no image is there")
    tagged, count = int(turned.sum()) + int(outside.sum()), len(facts.table) + len(facts.outside)
    if not tagged:
        return fine("no image says that it is to be turned")
    names = f" ({named_images(facts.table, turned)})" if turned.any() else ""
    advice = "--exif apply (or save the images upright, mogrify -auto-orient)"
    inside = _inside_when_turned(facts)
    if inside and 2 * inside > int(outside.sum()):
        return Outcome(
            SetupStatus.WRONG,
            f"labels were made on turned images: in {inside} of {tagged} images with an orientation tag they "
            "lie outside the stored image, and inside the turned one",
            advice,
        )
    found = _turned_back(facts) if facts.compared else None
    if found is not None and found.gain >= CLEAR_GAIN and found.chance < _TURNED_CHANCE:
        return Outcome(
            SetupStatus.WRONG,
            f"labels were made on turned images: mean error of the {int(turned.sum())} images with an "
            f"orientation tag {pixels(found.before_px)} px, {pixels(found.error_px)} px with labels turned "
            "as stored",
            advice,
        )
    return Outcome(
        SetupStatus.WARNING,
        f"{tagged} of {count} images carry an orientation tag: viewers turn them, they are read as stored"
        f"{names}",
        f"{advice}, if labels were made on turned images; check them",
    )


def _inside_when_turned(facts: Facts) -> int:
    """Images with a tag whose labels lie outside them as stored, but not as turned."""
    rows = facts.outside_orientation != 1
    sizes = facts.outside_sizes_px[rows]
    stored = upright_to_stored(facts.outside[rows], sizes, facts.outside_orientation[rows])
    off = (stored < -1) | (stored > sizes[:, None])
    return int((~off.any(axis=(1, 2))).sum())


def _turned_back(facts: Facts) -> Finding | None:
    """Errors of the images with a tag before and after their labels are turned as the pixels are."""
    rows = np.flatnonzero(facts.orientation != 1)
    if rows.size < 2:
        return None
    places = facts.places.taken(rows)
    stored = upright_to_stored(places.label_px, places.sizes_px, places.orientation)
    none = Explanation("images.orientation", "", "", lambda p: None)
    return weigh(none, (places.pred_px, places.label_px), (places.pred_px, stored), places.floor_px)


def _copies(facts: Facts) -> Outcome | None:
    names = zip(facts.table.image_sha256, facts.table.image, strict=True)
    known = [(digest, image) for digest, image in names if digest]
    if not known:
        return None
    counts = Counter(digest for digest, _ in known)
    copies = sum(count - 1 for count in counts.values())
    if not copies:
        return fine("no two files are the same")
    digest = max(counts, key=lambda each: counts[each])
    first = [image for each, image in known if each == digest][:2]
    return Outcome(
        SetupStatus.WARNING,
        f"{copies} of {len(known)} images are byte-identical copies of others (first: {' and '.join(first)})",
        "remove the copies: every image counts once",
    )


def _colour(facts: Facts) -> Outcome | None:
    colour = facts.table.colour
    known = np.isfinite(colour)
    if not known.any():
        return None
    count = int((colour[known] > _COLOUR).sum())
    if not count:
        return fine("all images are grey")
    return Outcome(
        SetupStatus.WARNING,
        f"{count} of {int(known.sum())} images are in colour: drawings or a colour map on them?",
        "look at them; radiographs are grey",
    )


def _shown(facts: Facts) -> Outcome | None:
    """Where the first images, shown to the network otherwise, have much smaller errors, each of them."""
    look = facts.inspection
    if look is None or not look.otherwise:
        return None
    explained = facts.explained.found
    if explained is not None and explained.explanation.check != TRANSFORM:
        return None
    found = []
    for other in look.otherwise:
        gains = np.log(other.before_px / np.maximum(other.after_px, _LEAST_ERROR_PX))
        if (
            len(gains) >= _FEWEST_SHOWN
            and gains.min() > np.log(CLEAR_GAIN)
            and gains.mean() > np.log(_SHOWN_GAIN)
        ):
            found.append((float(gains.mean()), other))
    if not found:
        return None
    best, other = max(found, key=lambda each: each[0])
    alike = [o.option for gain, o in found if o is not other and best - gain < np.log(CLEAR_GAIN)]
    also = f"; {', '.join(alike)} does about as well" if alike else ""
    return Outcome(
        SetupStatus.WRONG,
        f"{other.cause}: mean error of the first {len(other.after_px)} images "
        f"{pixels(float(other.before_px.mean()))} px, {pixels(float(other.after_px.mean()))} px so{also}",
        other.option,
    )


IMAGES = (
    SetupCheck(
        "images.polarity",
        "images that look like the negative of the others (correlation of small copies with the median one)",
        _polarity,
    ),
    SetupCheck(
        "images.bit_range",
        "how much of the 8- or 16-bit range is used: 12-bit values in 16-bit files, black images,"
        " mixed depths",
        _bit_range,
    ),
    SetupCheck(
        "images.orientation",
        "orientation tags (EXIF): images are read as stored; labels made on turned images are "
        "told by where they lie",
        _orientation,
    ),
    SetupCheck("images.size", "sizes and aspect against the network's input", _size),
    SetupCheck("images.copies", "byte-identical files within the set", _copies),
    SetupCheck("images.colour", "colour where grey is expected", _colour),
    of_network(
        "images.input",
        "where the first images have large errors: whether they have much smaller ones, each of "
        "them, when they are shown to the network black for white, mirrored, or by another "
        "normalisation",
        _shown,
        ("images.polarity", "images.bit_range"),
        images=0,
        labels=True,
    ),
)
