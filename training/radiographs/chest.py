"""Front view of a whole spine: the bones of trunk and neck, lungs, heart and belly."""

import numpy as np
from numpy.typing import NDArray

from training.radiographs.ap import paint_back, paint_pelvis, paint_rib, rim_brightness
from training.radiographs.bones import paint_body
from training.radiographs.drawing import Canvas, Layer, Plane, Points, arc, blob, ellipse, smooth
from training.radiographs.spine import Spine, Vertebra

# Half width of the rib cage in body heights of L3, T1 to T12, and how far a rib sinks behind and in front.
_CAGE = (1.7, 2.6, 3.3, 3.8, 4.15, 4.4, 4.55, 4.65, 4.7, 4.7, 3.5, 2.1)
_SINK_BEHIND = (0.3, 0.5, 0.7, 0.9, 1.05, 1.2, 1.35, 1.5, 1.65, 1.8, 1.9, 1.5)
_SINK_IN_FRONT = (1.0, 1.4, 1.8, 2.2, 2.6, 2.9, 3.0, 2.6, 2.0, 1.5)
_TRANSVERSE = smooth(((0.7, -0.55), (1.15, -0.85), (1.45, -0.80), (1.45, -0.35), (1.1, -0.15), (0.7, -0.1)))
_TURN_PER_DEGREE = 0.035
"""How far the back of a vertebra lies aside of its middle where a curve bends, in half widths of the body."""


def paint_bones(spine: Spine, canvas: Canvas) -> Plane:
    """Attenuation of all bones; shape [H, W]."""
    rng = canvas.rng
    bulk, rims, back, far = (Layer(canvas) for _ in range(4))
    _paint_cage(spine, far, rng)
    _paint_shoulders(spine, far, rng)
    _paint_head(spine, far, rng)
    paint_pelvis(spine, far, rims, rng)
    column = (*spine.cervical[::-1], *spine.annotated)
    turns = _turns(column, float(rng.normal() * 0.05))
    # Rays meet the film square where it is centred, above and below they pass endplates at an angle.
    depths = np.abs(np.linspace(-0.16, 0.13, len(column))) + 0.03
    for vertebra, turn, depth in zip(column, turns, depths, strict=True):
        thoracic = vertebra.name.startswith("T")
        density = float(rng.uniform(0.60, 0.80))
        paint_body(vertebra, bulk, rims, density, float(depth), rim_brightness(rng))
        if thoracic:
            for side in (-1.0, 1.0):
                back.fill(vertebra.at(_TRANSVERSE * np.array([side, 1.0])), 0.6)
        paint_back(vertebra, back, rims, float(turn), rng)
    unit = spine.size
    return np.asarray(
        0.24 * bulk.plane(0.025 * unit)
        + 0.26 * rims.plane(0.020 * unit)
        + 0.16 * back.plane(0.035 * unit)
        + 0.24 * far.plane(0.035 * unit),
        dtype=np.float32,
    )


def _turns(column: tuple[Vertebra, ...], common: float) -> NDArray[np.float64]:
    """Axial rotation of each vertebra from above: with the bend of the curve that it is in, smoothed."""
    lines = np.array([body.corners[[1, 3]].sum(axis=0) - body.corners[[0, 2]].sum(axis=0) for body in column])
    tilt_deg = np.degrees(np.arctan2(lines[:, 1], lines[:, 0]))
    bend = np.convolve(np.gradient(tilt_deg), np.full(5, 0.2), mode="same")
    return np.asarray(np.clip(common + _TURN_PER_DEGREE * bend, -0.3, 0.3))


def _middle(spine: Spine, vertebra: Vertebra) -> float:
    """x of the middle of the trunk at a vertebra: halfway to the line between neck and pelvis."""
    top, bottom = spine.thoracic[-1].centre, spine.s1.mean(axis=0)
    share = (vertebra.centre[1] - top[1]) / (bottom[1] - top[1])
    return float(0.5 * (vertebra.centre[0] + top[0] + share * (bottom[0] - top[0])))


def _paint_cage(spine: Spine, layer: Layer, rng: np.random.Generator) -> None:
    """Twelve ribs on each side: sharp behind, faint in front; the last two end free."""
    unit, build = spine.size, float(rng.uniform(0.92, 1.08))
    slope = float(rng.uniform(0.85, 1.25))
    for rank, vertebra in enumerate(spine.thoracic[::-1]):
        middle = _middle(spine, vertebra)
        width = unit * (0.15 if rank < 2 else 0.21)
        for side in (-1.0, 1.0):
            start = vertebra.at(np.array([[side * 1.1, -0.75]]))[0]
            reach = build * _CAGE[rank] * unit * float(rng.uniform(0.97, 1.03))
            end = np.array([middle + side * reach, start[1] + slope * _SINK_BEHIND[rank] * unit])
            arch = 0.55 * min(1.0, reach / (3.0 * unit))
            bulge = np.array([side * 0.10 * reach, -arch * unit])
            if rank < len(_SINK_IN_FRONT):
                front = np.array([end[0] - side * 0.62 * reach, end[1] + slope * _SINK_IN_FRONT[rank] * unit])
                bow = np.array([side * 0.22 * reach, 0.45 * unit])
                layer.stroke(arc(end, front, bow, 14), 1.1 * width, 0.20)
            else:
                bulge *= 0.3
            paint_rib(layer, arc(start, end, bulge, 16), width)


def _paint_shoulders(spine: Spine, layer: Layer, rng: np.random.Generator) -> None:
    """Collar bones and the inner edges of the shoulder blades."""
    unit, first, third = spine.size, spine.thoracic[-1], spine.thoracic[-3]
    lift = float(rng.uniform(-0.6, 0.6))
    for side in (-1.0, 1.0):
        inner = np.array([third.centre[0] + side * 0.75 * unit, third.centre[1] + 0.2 * unit])
        outer = np.array([first.centre[0] + side * 5.2 * unit, first.centre[1] + (lift + 0.1 * side) * unit])
        bone = arc(inner, outer, np.array([0.0, -0.25 * unit]), 14)
        bone[:, 1] += 0.22 * unit * np.sin(np.linspace(0.0, 2.0 * np.pi, len(bone)))
        layer.stroke(bone, 0.34 * unit, 0.42)
        for edge in (-0.15, 0.15):
            layer.stroke(bone + np.array([0.0, edge * unit]), 0.07 * unit, 0.62)
        blade = third.centre + unit * np.array([side * 3.6, -0.6])
        tip = blade + unit * np.array([side * 0.5, float(rng.uniform(4.0, 5.2))])
        layer.stroke(arc(blade, tip, np.array([-side * 0.35 * unit, 0.0])), 0.10 * unit, 0.38)


def _paint_head(spine: Spine, layer: Layer, rng: np.random.Generator) -> None:
    """The jaw and the base of the skull, as far as the film shows them."""
    unit, top = spine.size, spine.cervical[-1].centre
    chin = float(rng.uniform(0.1, 1.0))
    skull = top + unit * (ellipse((0.0, -2.9), (2.7, 2.9), 40) - np.array([0.0, chin - 0.6]))
    layer.fill(skull, 0.95)
    layer.stroke(skull, 0.14 * unit, 1.2, closed=True)
    jaw = top + unit * (ellipse((0.0, -2.0), (2.1, 2.3), 40) - np.array([0.0, chin - 1.0]))
    layer.stroke(jaw[1:20], 0.30 * unit, 1.3)


def paint_tissue(spine: Spine, canvas: Canvas) -> Plane:
    """Attenuation of soft tissue: air beside neck and waist, lungs, heart, belly."""
    rng, unit = canvas.rng, spine.size
    y = (np.arange(canvas.height, dtype=np.float32)[:, None] + 0.5) / canvas.height
    plane = float(rng.uniform(0.05, 0.30)) * y + 0.04 * canvas.noise(9, 4)
    trunk = Layer(canvas)
    trunk.fill(_trunk(spine, rng), 1.0)
    plane += float(rng.uniform(0.45, 0.70)) * trunk.plane(0.012) - 0.5
    lungs, vessels = Layer(canvas), Layer(canvas)
    floors = []
    for side in (-1.0, 1.0):
        outline, floor = _lung(spine, side, rng)
        floors.append(floor)
        lungs.fill(outline, 1.0)
        _paint_vessels(spine, side, floor, vessels, rng)
    _paint_heart(spine, floors[1], lungs, rng)
    air = lungs.plane(0.10 * unit)
    plane -= float(rng.uniform(0.34, 0.52)) * air * (1.0 + 0.10 * canvas.noise(40, 16))
    plane += 0.10 * air * vessels.plane(0.06 * unit)
    belly = Layer(canvas)
    hips = spine.s1.mean(axis=0)
    belly.fill(ellipse((float(hips[0]), float(hips[1]) - 2.0 * unit), (3.6 * unit, 6.5 * unit), 40), 1.0)
    plane += float(rng.uniform(0.02, 0.10)) * belly.plane(1.2 * unit)
    _paint_muscles(spine, belly := Layer(canvas), rng)
    plane += float(rng.uniform(0.03, 0.08)) * belly.plane(0.15 * unit)
    return np.asarray(plane, dtype=np.float32)


def _trunk(spine: Spine, rng: np.random.Generator) -> Points:
    """Outline of the body, arms left out: neck, shoulders, chest, waist and hips."""
    unit, neck = spine.size, spine.cervical[2].centre
    first, waist = spine.thoracic[-1].centre, spine.lumbar[2].centre
    hips = spine.s1.mean(axis=0)
    slim = float(rng.uniform(0.95, 1.2))
    half = (
        (neck[0], neck[1] - 12.0 * unit, 1.9),
        (neck[0], neck[1], 1.7),
        (first[0], first[1] - 0.6 * unit, 2.6),
        (first[0], first[1] + 0.2 * unit, 5.0),
        (first[0], first[1] + 1.6 * unit, 6.6),
        (waist[0], waist[1] - 5.0 * unit, 5.6),
        (waist[0], waist[1], 4.9),
        (hips[0], hips[1], 5.8),
        (hips[0], hips[1] + 9.0 * unit, 6.6),
    )
    left = [(x - slim * reach * unit, y) for x, y, reach in half]
    right = [(x + slim * reach * unit, y) for x, y, reach in reversed(half)]
    return smooth((*left, *right))


def _lung(spine: Spine, side: float, rng: np.random.Generator) -> tuple[Points, float]:
    """Outline of a lung and height of the dome that it stands on; the liver lifts the one on the left."""
    unit = spine.size
    first, second, fifth, ninth = (spine.thoracic[-n] for n in (1, 2, 5, 9))
    dome = spine.thoracic[-10].centre[1] + unit * float(rng.uniform(-0.9, 0.7) + (0.35 if side > 0 else 0.0))
    middle = _middle(spine, ninth)
    outline = (
        (second.centre[0] + side * 0.95 * unit, second.centre[1] + 0.3 * unit),
        (first.centre[0] + side * 1.35 * unit, first.centre[1] + 0.1 * unit),
        (first.centre[0] + side * 2.4 * unit, first.centre[1] + 0.9 * unit),
        (fifth.centre[0] + side * 4.0 * unit, fifth.centre[1]),
        (middle + side * 4.6 * unit, dome - 1.2 * unit),
        (middle + side * 4.7 * unit, dome + 2.2 * unit),
        (middle + side * 3.6 * unit, dome + 0.5 * unit),
        (middle + side * 2.4 * unit, dome),
        (ninth.centre[0] + side * 1.25 * unit, dome + 0.5 * unit),
        (ninth.centre[0] + side * 1.15 * unit, ninth.centre[1] - unit),
        (fifth.centre[0] + side * 1.15 * unit, fifth.centre[1]),
    )
    return smooth(outline), float(dome)


def _paint_vessels(spine: Spine, side: float, floor: float, layer: Layer, rng: np.random.Generator) -> None:
    """Vessels that leave the root of the lung and thin out."""
    unit, root = spine.size, spine.thoracic[-6].centre + np.array([side * 1.3 * spine.size, 0.0])
    for _ in range(16):
        angle = float(rng.uniform(-1.3, 1.35))
        length = unit * float(rng.uniform(1.2, 3.0))
        end = root + length * np.array([side * np.cos(angle), np.sin(angle)])
        end[1] = min(end[1], floor)
        line = arc(root, end, unit * rng.normal(size=2) * 0.25)
        layer.stroke(line, 0.10 * unit, 0.6)
        twig = line[5] + unit * rng.normal(size=2) * 0.7
        layer.stroke(arc(line[5], twig, unit * rng.normal(size=2) * 0.1), 0.06 * unit, 0.5)


def _paint_heart(spine: Spine, floor: float, lungs: Layer, rng: np.random.Generator) -> None:
    """The heart, on the right of the image, and the arch of the aorta above it hide the lung."""
    unit, seventh, fourth = spine.size, spine.thoracic[-7].centre, spine.thoracic[-4].centre
    size = float(rng.uniform(0.85, 1.15))
    heart = smooth(
        (
            (fourth[0] + 0.2 * unit, fourth[1] + 0.4 * unit),
            (fourth[0] + 1.3 * unit, fourth[1] + 0.7 * unit),
            (seventh[0] + 2.0 * size * unit, seventh[1] + 0.2 * unit),
            (seventh[0] + 3.3 * size * unit, floor - 0.6 * unit),
            (seventh[0] + 3.0 * size * unit, floor + 0.7 * unit),
            (seventh[0] - 0.8 * unit, floor + 0.9 * unit),
            (seventh[0] - 1.5 * size * unit, floor - 0.8 * unit),
            (seventh[0] - 1.2 * unit, seventh[1]),
        )
    )
    lungs.fill(heart, float(rng.uniform(0.18, 0.34)))
    lungs.fill(fourth + unit * ellipse((1.05, 0.0), (0.75, 0.7)), 0.25)


def _paint_muscles(spine: Spine, layer: Layer, rng: np.random.Generator) -> None:
    """Both psoas muscles."""
    top, bottom = spine.lumbar[0], spine.lumbar[4]
    spread = float(rng.uniform(2.0, 2.6))
    for side in (-1.0, 1.0):
        upper = top.at(np.array([[side * 0.6, -0.6], [side * 1.05, -0.3]]))
        lower = bottom.at(np.array([[side * spread, 2.6], [side * 0.6, 2.6]]))
        layer.fill(np.concatenate([upper, lower]), 1.0)


def gas_outlines(spine: Spine, rng: np.random.Generator) -> list[Points]:
    """Air in the stomach, below the dome on the right of the image, and in the bowel."""
    unit, outlines = spine.size, []
    if rng.random() < 0.75:
        place = spine.thoracic[1].centre + unit * np.array([rng.uniform(2.2, 3.2), rng.uniform(-0.4, 0.8)])
        outlines.append(blob(rng, place, unit * rng.uniform(0.7, 1.3), rng.uniform(1.0, 1.4), 0.15))
    for _ in range(int(rng.integers(1, 5))):
        side = float(rng.choice([-1.0, 1.0]))
        start = spine.lumbar[3].centre + unit * np.array(
            [side * rng.uniform(2.4, 4.0), rng.uniform(-2.5, 2.5)]
        )
        for _ in range(int(rng.integers(2, 8))):
            place = start + unit * rng.normal(size=2) * np.array([0.7, 1.0])
            outlines.append(blob(rng, place, unit * rng.uniform(0.2, 0.65), rng.uniform(0.8, 1.35), 0.35))
    for _ in range(int(rng.poisson(0.3 + 2.0 * spine.hardness))):
        body = spine.lumbar[int(rng.integers(1, 5))]
        place = body.at(rng.uniform(-1.6, 1.6, (1, 2)))[0]
        outlines.append(blob(rng, place, unit * rng.uniform(0.3, 0.7), rng.uniform(0.8, 1.4), 0.35))
    return outlines
