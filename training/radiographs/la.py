"""Side view: what lies where on a lateral radiograph of a lumbar spine.

Body coordinates are mirrored where the patient faces left, so that u = +1 is always the anterior wall.
"""

import numpy as np

from training.radiographs.bones import RIM, paint_body
from training.radiographs.drawing import Canvas, Layer, Plane, Points, arc, blob, ellipse, smooth
from training.radiographs.spine import Spine, Vertebra

_PEDICLE = smooth(
    ((-0.90, -0.78), (-1.25, -0.72), (-1.60, -0.80), (-1.62, -0.15), (-1.25, -0.20), (-0.90, -0.10))
)
_UPPER_FACET = smooth(
    ((-1.28, -0.70), (-1.30, -1.10), (-1.48, -1.55), (-1.70, -1.25), (-1.80, -0.60), (-1.60, -0.30))
)
_LOWER_FACET = smooth(
    (
        (-1.45, -0.55),
        (-1.85, -0.60),
        (-2.10, 0.20),
        (-2.02, 0.95),
        (-1.82, 1.40),
        (-1.62, 1.10),
        (-1.60, 0.35),
    )
)
_SPINOUS = smooth(
    (
        (-1.85, -0.40),
        (-2.35, -0.20),
        (-3.05, -0.10),
        (-3.65, -0.02),
        (-3.85, 0.55),
        (-3.75, 1.20),
        (-3.30, 1.28),
        (-2.75, 0.95),
        (-2.30, 0.62),
        (-1.95, 0.80),
    )
)
_SACRUM = smooth(
    (
        (-0.02, 0.0),
        (1.0, 0.0),
        (1.0, 0.05),
        (0.90, 0.75),
        (0.68, 1.40),
        (0.36, 1.95),
        (-0.05, 2.55),
        (-0.45, 3.0),
        (-0.75, 2.85),
        (-0.55, 2.30),
        (-0.34, 1.70),
        (-0.18, 1.10),
        (-0.04, 0.60),
    )
)
_SACRAL_CREST = smooth(
    (
        (-0.22, 0.35),
        (-0.50, 0.25),
        (-0.68, 0.60),
        (-0.62, 0.95),
        (-0.80, 1.25),
        (-0.76, 1.65),
        (-0.85, 2.00),
        (-0.62, 2.20),
        (-0.42, 1.65),
        (-0.26, 1.05),
    )
)
_CREST = smooth(
    (
        (-1.60, 3.4),
        (-1.50, 1.5),
        (-1.25, 0.55),
        (-0.75, -0.30),
        (0.05, -0.80),
        (0.85, -0.78),
        (1.50, -0.30),
        (1.90, 0.45),
        (1.70, 0.85),
        (1.55, 1.35),
        (1.10, 1.90),
        (1.00, 2.6),
        (1.3, 3.4),
    )
)


def paint_bones(spine: Spine, canvas: Canvas) -> Plane:
    """Attenuation of all bones; shape [H, W]."""
    rng = canvas.rng
    bulk, rims, back, far = (Layer(canvas) for _ in range(4))
    _paint_ribs(spine, far, rng)
    _paint_pelvis(spine, bulk, rims, far, back, rng)
    depths = np.abs(np.linspace(-0.05, 0.06, len(spine.lumbar))) + 0.02
    for vertebra in reversed(spine.thoracic):
        paint_body(vertebra, bulk, rims, 0.66, 0.05, float(rng.uniform(0.75, 1.1)))
        _paint_back(vertebra, spine.anterior, back, rims, rng)
    for vertebra, depth in zip(spine.lumbar, depths, strict=True):
        paint_body(
            vertebra, bulk, rims, float(rng.uniform(0.64, 0.82)), float(depth), float(rng.uniform(0.75, 1.1))
        )
        _paint_back(vertebra, spine.anterior, back, rims, rng)
    unit = spine.size
    return np.asarray(
        0.30 * bulk.plane(0.030 * unit)
        + 0.26 * rims.plane(0.020 * unit)
        + 0.22 * back.plane(0.05 * unit)
        + 0.17 * far.plane(0.045 * unit),
        dtype=np.float32,
    )


def _paint_back(
    vertebra: Vertebra, anterior: int, back: Layer, rims: Layer, rng: np.random.Generator
) -> None:
    """Pedicle, facets and spinous process; the gap between two pedicles is the neural foramen."""
    mirror = np.array([float(anterior), 1.0])
    width = RIM * vertebra.height
    thin = 0.55 if vertebra.name.startswith("T") else 1.0
    reach = float(rng.uniform(0.88, 1.04)) * (0.88 if vertebra.name == "L5" else 1.0)
    spinous = _SPINOUS * np.array([reach, 1.0])
    for outline, value in ((spinous, 0.60), (_LOWER_FACET, 1.0), (_UPPER_FACET, 1.0), (_PEDICLE, 1.15)):
        place = vertebra.at(outline * mirror)
        back.fill(place, thin * value)
        if outline is not _PEDICLE:
            rims.stroke(place, 0.8 * width, 0.30 * thin, closed=True)
    for start, end in (((-1.0, -0.80), (-1.55, -0.75)), ((-1.0, -0.10), (-1.55, -0.18))):
        line = arc(np.array(start), np.array(end), np.array([0.0, 0.08]))
        rims.stroke(vertebra.at(line * mirror), width, 0.42 * thin)


def _paint_ribs(spine: Spine, layer: Layer, rng: np.random.Generator) -> None:
    """Ribs of both sides, running down and forwards from behind the thoracic bodies."""
    for rank, vertebra in reversed(list(enumerate(spine.thoracic[:4]))):
        for _ in range(2):
            reach = (0.17, 0.32, 0.46, 0.56)[rank] * float(rng.uniform(0.85, 1.15))
            start = vertebra.at(np.array([[-1.3 * spine.anterior, -0.3]]))[0] + rng.normal(size=2) * 0.008
            end = start + reach * np.array([0.62 * spine.anterior, float(rng.uniform(0.65, 0.85))])
            line = arc(start, end, reach * np.array([-0.16 * spine.anterior, 0.10]), 12)
            width = 0.15 * spine.size
            layer.stroke(line, width, 0.55)
            for edge in (-0.5, 0.5):
                layer.stroke(line + np.array([edge * width, 0.0]), 0.2 * width, 0.95)


def _paint_pelvis(
    spine: Spine, bulk: Layer, rims: Layer, far: Layer, back: Layer, rng: np.random.Generator
) -> None:
    """Sacrum with its remnant discs and crest, and the two iliac crests that cross L4/L5."""
    posterior, front = (spine.s1[0], spine.s1[1]) if spine.anterior > 0 else (spine.s1[1], spine.s1[0])
    along = front - posterior
    down = spine.anterior * np.array([-along[1], along[0]])
    frame = np.stack([along, down])
    width = RIM * spine.size
    for _ in range(2):
        shift = np.array([0.55, 0.05]) + rng.normal(size=2) * np.array([0.12, 0.10])
        wing = spine.s1.mean(axis=0) + float(np.linalg.norm(along)) * (
            (_CREST + shift - np.array([0.5, 0.0])) * np.array([1.3 * spine.anterior, 1.1])
        )
        far.fill(wing, 0.60)
        far.stroke(wing[6:32], 1.6 * width, 1.0)
        far.stroke(wing[32:44], 1.2 * width, 0.8)
    sacrum = posterior + _SACRUM @ frame
    back.fill(posterior + _SACRAL_CREST @ frame, 0.50)
    bulk.fill(sacrum, 0.58)
    corner = np.concatenate([spine.s1, np.mean(sacrum, axis=0, keepdims=True)])
    bulk.fill(corner, 0.66)
    rims.stroke(sacrum, 1.1 * width, 0.42, closed=True)
    rims.stroke(arc(spine.s1[0], spine.s1[1], 0.05 * down), 1.35 * width, 0.88)
    rims.stroke(arc(spine.s1[0], spine.s1[1], 0.11 * down), width, 0.36)
    for left, right in (((-0.06, 0.80), (0.88, 0.86)), ((-0.24, 1.40), (0.60, 1.55))):
        remnant = arc(np.array(left), np.array(right), np.array([0.0, 0.04]))
        bulk.stroke(posterior + remnant @ frame, 1.6 * width, 0.50)
        for offset in (-0.05, 0.05):
            rims.stroke(posterior + (remnant + np.array([0.0, offset])) @ frame, width, 0.36)


def paint_tissue(spine: Spine, canvas: Canvas) -> Plane:
    """Attenuation of soft tissue: pelvis dense, lung bases and the back thin."""
    rng = canvas.rng
    y = (np.arange(canvas.height, dtype=np.float32)[:, None] + 0.5) / canvas.height
    x = (np.arange(canvas.width, dtype=np.float32)[None, :] + 0.5) / canvas.width
    forwards = x if spine.anterior > 0 else 1.0 - x
    middle = float(rng.uniform(0.40, 0.60))
    across = float(rng.uniform(0.2, 0.8)) * (forwards - middle) ** 2
    plane = float(rng.uniform(0.10, 0.40)) * y**2 - across + 0.05 * canvas.noise(5, 4)
    skin, lungs = Layer(canvas), Layer(canvas)
    tips = [
        body.at(np.array([[-spine.anterior * 4.6, 0.5]]))[0]
        for body in (*spine.thoracic[1::-1], *spine.lumbar)
    ]
    edge = 0.0 if spine.anterior > 0 else spine.aspect
    below = np.array([[tips[-1][0] - spine.anterior * 0.06, 1.05], [edge - spine.anterior * 0.1, 1.05]])
    above = np.array([[edge - spine.anterior * 0.1, -0.05], [tips[0][0], -0.05]])
    skin.fill(np.concatenate([np.array(tips), below, above]), 1.0)
    plane -= float(rng.uniform(0.25, 0.55)) * skin.plane(0.022)
    dome = (
        0.5 * spine.aspect - spine.anterior * float(rng.uniform(0.0, 0.12)),
        float(rng.uniform(-0.10, -0.02)),
    )
    for _ in range(2):
        lungs.fill(
            ellipse((dome[0], dome[1] + 0.02 * float(rng.normal())), (0.36, float(rng.uniform(0.10, 0.19)))),
            1.0,
        )
    return np.asarray(plane - float(rng.uniform(0.08, 0.28)) * lungs.plane(0.006), dtype=np.float32)


def gas_outlines(spine: Spine, rng: np.random.Generator) -> list[Points]:
    """Bowel gas: in front of the spine; over it where the film is hard to read."""
    outlines = []
    front = spine.lumbar[2].centre
    for _ in range(int(rng.integers(1, 4))):
        start = front + np.array([spine.anterior * rng.uniform(0.15, 0.30), rng.uniform(-0.2, 0.25)])
        for _ in range(int(rng.integers(2, 9))):
            place = start + rng.normal(size=2) * np.array([0.035, 0.06])
            outlines.append(blob(rng, place, rng.uniform(0.012, 0.045), rng.uniform(0.8, 1.35), 0.35))
    for _ in range(int(rng.poisson(0.2 + 2.5 * spine.hardness))):
        body = spine.lumbar[int(rng.integers(0, 5))]
        place = body.at(rng.uniform(-1.6, 1.6, (1, 2)))[0]
        outlines.append(blob(rng, place, rng.uniform(0.02, 0.05), rng.uniform(0.8, 1.4), 0.35))
    return outlines
