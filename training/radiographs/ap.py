"""Front view: what lies where on an AP radiograph of a lumbar spine."""

import numpy as np

from training.radiographs.bones import RIM, paint_body
from training.radiographs.drawing import Canvas, Layer, Plane, Points, arc, blob, ellipse, smooth
from training.radiographs.spine import Spine, Vertebra

_TRANSVERSE = smooth(
    ((0.85, -0.55), (1.35, -0.50), (1.75, -0.62), (1.82, -0.40), (1.40, -0.16), (0.85, 0.02))
)
_LAMINA = smooth(
    (
        (0.0, 0.0),
        (0.35, -0.25),
        (0.66, -0.40),
        (0.66, 0.10),
        (0.52, 0.55),
        (0.66, 1.15),
        (0.60, 1.55),
        (0.34, 1.50),
        (0.24, 0.95),
        (0.0, 0.75),
    )
)
_FACET = smooth(((0.48, -0.45), (0.56, -1.05), (0.68, -1.45), (0.84, -1.30), (0.86, -0.75), (0.80, -0.30)))
_SPINOUS = smooth(((0.0, 0.05), (0.10, 0.55), (0.15, 1.15), (0.0, 1.38), (-0.15, 1.15), (-0.10, 0.55)))
_SACRUM = smooth(
    (
        (-0.9, 0.02),
        (-1.35, -0.05),
        (-1.95, 0.25),
        (-2.05, 0.8),
        (-1.6, 1.9),
        (-1.1, 2.9),
        (-0.5, 3.9),
        (0.5, 3.9),
        (1.1, 2.9),
        (1.6, 1.9),
        (2.05, 0.8),
        (1.95, 0.25),
        (1.35, -0.05),
        (0.9, 0.02),
    )
)
_ILIUM = smooth(
    (
        (1.75, 0.85),
        (2.0, 0.15),
        (2.5, -0.45),
        (3.4, -0.85),
        (4.6, -0.65),
        (6.0, 0.5),
        (6.6, 2.4),
        (5.6, 4.4),
        (4.0, 6.5),
        (2.6, 6.5),
        (2.3, 4.6),
        (1.6, 3.2),
        (1.5, 2.2),
    )
)


def paint_bones(spine: Spine, canvas: Canvas) -> Plane:
    """Attenuation of all bones; shape [H, W]."""
    rng = canvas.rng
    bulk, rims, back, far = (Layer(canvas) for _ in range(4))
    turn = float(rng.normal() * 0.07)
    _paint_ribs(spine, far, rng)
    paint_pelvis(spine, far, rims, rng)
    depths = np.abs(np.linspace(-0.06, 0.10, len(spine.lumbar))) + 0.03
    for vertebra in reversed(spine.thoracic):
        paint_body(vertebra, bulk, rims, 0.62, 0.06, rim_brightness(rng))
        paint_back(vertebra, back, rims, turn, rng)
    for vertebra, depth in zip(spine.lumbar, depths, strict=True):
        paint_body(vertebra, bulk, rims, float(rng.uniform(0.60, 0.80)), float(depth), rim_brightness(rng))
        paint_back(vertebra, back, rims, turn, rng)
    unit = spine.size
    return np.asarray(
        0.25 * bulk.plane(0.025 * unit)
        + 0.27 * rims.plane(0.020 * unit)
        + 0.19 * back.plane(0.035 * unit)
        + 0.24 * far.plane(0.035 * unit),
        dtype=np.float32,
    )


def rim_brightness(rng: np.random.Generator) -> float:
    """Brightness of the cortical lines of one body."""
    return float(rng.uniform(0.75, 1.1))


def paint_back(vertebra: Vertebra, back: Layer, rims: Layer, turn: float, rng: np.random.Generator) -> None:
    """Posterior elements of one vertebra, pushed sideways by `turn` half widths of axial rotation."""
    width = RIM * vertebra.height
    push = np.array([turn, 0.0])
    thoracic = vertebra.name.startswith("T")
    for side in (-1.0, 1.0):
        mirror = np.array([side, 1.0])
        if not thoracic:
            length = np.array([float(rng.uniform(0.88, 1.08)), 1.0])
            transverse = vertebra.at(_TRANSVERSE * mirror * length)
            back.fill(transverse, 0.75)
            rims.stroke(transverse, 0.7 * width, 0.30, closed=True)
        facet = vertebra.at(_FACET * mirror + push)
        back.fill(facet, 0.85)
        rims.stroke(facet, 0.7 * width, 0.30, closed=True)
    for side in (-1.0, 1.0):
        lamina = vertebra.at(_LAMINA * np.array([side, 1.0]) + push)
        back.fill(lamina, 1.0)
        rims.stroke(lamina[12:36], 0.8 * width, 0.36)
    for side in (-1.0, 1.0):
        centre = (side * 0.68 + 1.2 * turn, -0.22 + 0.02 * float(rng.normal()))
        outline = vertebra.at(ellipse(centre, (0.15, 0.36)))
        back.fill(outline, 1.25)
        rims.stroke(outline, 1.1 * width, 0.60, closed=True)
    spinous = vertebra.at(_SPINOUS + np.array([2.2 * turn, 0.0]))
    back.fill(spinous, 1.35)
    rims.stroke(spinous, 1.0 * width, 0.62, closed=True)


def _paint_ribs(spine: Spine, layer: Layer, rng: np.random.Generator) -> None:
    """The last ribs: T12 short, the ones above longer, all sloping down and outwards."""
    for rank, vertebra in reversed(list(enumerate(spine.thoracic[:4]))):
        reach = (0.19, 0.34, 0.44, 0.50)[rank] * float(rng.uniform(0.85, 1.15))
        slope = float(rng.uniform(0.55, 0.95))
        for side in (-1.0, 1.0):
            drop = reach * (slope + 0.08 * float(rng.normal()))
            start = vertebra.at(np.array([[side * 1.15, -0.45]]))[0]
            end = start + np.array([side * reach, drop])
            line = arc(start, end, reach * np.array([side * float(rng.uniform(0.05, 0.13)), -0.11]), 12)
            paint_rib(layer, line, 0.19 * spine.size)


def paint_rib(layer: Layer, line: Points, width: float) -> None:
    layer.stroke(line, width, 0.30)
    for edge in (-0.5, 0.5):
        layer.stroke(line + np.array([0.0, edge * width]), 0.2 * width, 0.52)


def paint_pelvis(spine: Spine, layer: Layer, rims: Layer, rng: np.random.Generator) -> None:
    """Sacrum with its foramina, and both iliac wings with their crests."""
    middle = spine.s1.mean(axis=0)
    along = 0.5 * (spine.s1[1] - spine.s1[0])
    down = np.array([-along[1], along[0]])
    frame = np.stack([along, down])
    width = RIM * spine.size
    rise = float(rng.uniform(-0.25, 0.15))
    for side in (-1.0, 1.0):
        wing = middle + (_ILIUM * np.array([side, 1.0]) + np.array([0.0, rise])) @ frame
        layer.fill(wing, 0.62)
        layer.stroke(wing[2:26], 2.0 * width, 1.0)
        layer.stroke(wing[-10:], 1.6 * width, 0.95)
        inner = (
            middle + (_ILIUM * np.array([side * 0.93, 0.93]) + np.array([side * 0.30, rise + 0.16])) @ frame
        )
        layer.stroke(inner[4:24], 1.2 * width, 0.80)
    sacrum = middle + _SACRUM @ frame
    layer.fill(sacrum, 0.74)
    layer.stroke(sacrum, 1.2 * width, 0.98, closed=True)
    rims.stroke(arc(spine.s1[0], spine.s1[1], 0.10 * down), 1.4 * width, 0.62)
    rims.stroke(arc(spine.s1[0], spine.s1[1], -0.12 * down), width, 0.34)
    for row, offset in enumerate((0.66, 0.54, 0.44)):
        for side in (-1.0, 1.0):
            hole = middle + ellipse((side * offset, 0.75 + 0.62 * row), (0.19, 0.13)) @ frame
            layer.fill(hole, 0.45)
            layer.stroke(hole[11:], 1.3 * width, 1.05)
    for row in range(3):
        crest = (
            middle
            + smooth(((0.0, 0.35 + 0.6 * row), (0.1, 0.7 + 0.6 * row), (-0.1, 0.7 + 0.6 * row))) @ frame
        )
        rims.stroke(crest, width, 0.34, closed=True)


def paint_tissue(spine: Spine, canvas: Canvas) -> Plane:
    """Attenuation of soft tissue: abdomen thicker in the middle and towards the pelvis, psoas, lung bases."""
    rng = canvas.rng
    y = (np.arange(canvas.height, dtype=np.float32)[:, None] + 0.5) / canvas.height
    x = (np.arange(canvas.width, dtype=np.float32)[None, :] + 0.5) / canvas.width
    across = float(rng.uniform(0.10, 0.45)) * (2.0 * x - 1.0 + float(rng.normal() * 0.15)) ** 2
    plane = float(rng.uniform(0.0, 0.30)) * y - across + 0.05 * canvas.noise(5, 4)
    muscles = Layer(canvas)
    top, bottom = spine.lumbar[0], spine.lumbar[4]
    spread = float(rng.uniform(2.0, 2.7))
    for side in (-1.0, 1.0):
        upper = top.at(np.array([[side * 0.6, -0.6], [side * 1.05, -0.3]]))
        lower = bottom.at(np.array([[side * spread, 2.6], [side * 0.6, 2.6]]))
        outer = arc(upper[1], lower[0], np.array([side * 0.015, 0.0]))
        muscles.fill(np.concatenate([upper[:1], outer, lower[1:]]), 1.0)
    plane += float(rng.uniform(0.03, 0.10)) * muscles.plane(0.006)
    lungs = Layer(canvas)
    for side in (0.0, spine.aspect):
        dome = ellipse(
            (side, float(rng.uniform(-0.06, 0.0))),
            (0.24 * spine.aspect / 0.65, float(rng.uniform(0.05, 0.14))),
        )
        lungs.fill(dome, 1.0)
    return np.asarray(plane - float(rng.uniform(0.1, 0.35)) * lungs.plane(0.008), dtype=np.float32)


def gas_outlines(spine: Spine, rng: np.random.Generator) -> list[Points]:
    """Bowel gas: mostly beside the spine; over it where the film is hard to read."""
    outlines = []
    for _ in range(int(rng.integers(1, 4))):
        side = float(rng.choice([-1.0, 1.0]))
        start = np.array([0.5 * spine.aspect + side * rng.uniform(0.22, 0.30), rng.uniform(0.25, 0.75)])
        for _ in range(int(rng.integers(2, 9))):
            place = start + rng.normal(size=2) * np.array([0.035, 0.07])
            outlines.append(blob(rng, place, rng.uniform(0.012, 0.042), rng.uniform(0.8, 1.35), 0.35))
    for _ in range(int(rng.poisson(0.3 + 2.5 * spine.hardness))):
        body = spine.lumbar[int(rng.integers(1, 5))]
        place = body.at(rng.uniform(-1.6, 1.6, (1, 2)))[0]
        outlines.append(blob(rng, place, rng.uniform(0.02, 0.05), rng.uniform(0.8, 1.4), 0.35))
    return outlines
