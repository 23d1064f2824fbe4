"""A small valid set for every reader: three images with all corners of L1 to L5, as its format has them."""

import importlib
import io
import json
from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
import scipy.io

from fuzz.spines import HEIGHT, KEYPOINTS, LEVELS, NAMES, WHOLE_LEVELS, WIDTH, corners, png
from mahtdiag.data.files import PATIENTS_FILE, SPACING_FILE
from mahtdiag.schema.read_options import NO_LABELS
from mahtdiag.schema.skeleton import CORNERS

Files = dict[str, bytes]


def _text(content: object) -> bytes:
    return json.dumps(content, indent=1).encode()


def _images(folder: str = "") -> Files:
    return {f"{folder}{name}.png": png(name) for name in NAMES}


def buu_lspine() -> Files:
    """A CSV beside each image, a row per endplate."""
    files = _images()
    for name in NAMES:
        endplates = corners(name).reshape(-1, 4)
        rows = [",".join(f"{value:g}" for value in row) + ",0" for row in endplates]
        files[f"{name}.csv"] = "\n".join(rows).encode()
    files["pixel_spacing.csv"] = b"image,mm\na,0.15\nb.png,0.15\nc,0.2\n"
    files["patients.csv"] = b"image,patient\na,1\nb.png,1\nc,2\n"
    return files


def _annotation(number: int, category: int, points: Any) -> dict[str, Any]:
    triples = [value for x, y in points.reshape(-1, 2).tolist() for value in (x, y, 2)]
    return {
        "id": number,
        "image_id": number // 10 + 1,
        "category_id": category,
        "keypoints": triples,
        "num_keypoints": len(triples) // 3,
        "bbox": [1, 2, 3, 4],
        "iscrowd": 0,
        "attributes": {"occluded": False},
    }


def coco() -> Files:
    """An image with one instance, one with a category per level, one with one class of vertebrae."""
    categories: list[dict[str, Any]] = [{"id": 1, "name": "spine", "keypoints": [*KEYPOINTS]}]
    categories += [
        {"id": 2 + i, "name": level, "keypoints": [*CORNERS], "skeleton": [[1, 2]]}
        for i, level in enumerate(LEVELS)
    ]
    categories.append({"id": 9, "name": "vertebra", "keypoints": [*CORNERS]})
    images = [
        {"id": i + 1, "file_name": f"images/{n}.png", "width": WIDTH, "height": HEIGHT}
        for i, n in enumerate(NAMES)
    ]
    annotations = [_annotation(0, 1, corners("a"))]
    annotations += [_annotation(10 + i, 2 + i, quad) for i, quad in enumerate(corners("b"))]
    annotations += [_annotation(20 + i, 9, quad) for i, quad in enumerate(corners("c"))]
    content = {"images": images, "categories": categories, "annotations": annotations}
    return {**_images("images/"), "annotations/person.json": _text(content)}


def yolo_pose() -> Files:
    """Classes for levels, a text file for each image, both kinds of names."""
    lines = [f"  {i}: {level}" for i, level in enumerate(LEVELS)]
    names = "".join(f"  {i}: [{', '.join(CORNERS)}]\n" for i in range(len(LEVELS)))
    description = "path: /datasets/spine\ntrain: images/train\nval: images/val\nkpt_shape: [4, 3]\n"
    files = {"data.yaml": (description + "names:\n" + "\n".join(lines) + f"\nkpt_names:\n{names}").encode()}
    for name, split in zip(NAMES, ("train", "train", "val"), strict=True):
        rows = []
        for level, quad in enumerate(corners(name) / (WIDTH, HEIGHT)):
            points = " ".join(f"{x:.6f} {y:.6f} 2" for x, y in quad)
            rows.append(f"{level} 0.5 0.5 0.3 0.1 {points}")
        files[f"labels/{split}/{name}.txt"] = "\n".join(rows).encode()
        files[f"images/{split}/{name}.png"] = png(name)
    return files


def aasce() -> Files:
    """Whole spines, as MATLAB files and as a table."""
    files: Files = {}
    rows = []
    for name in NAMES:
        points = corners(name, len(WHOLE_LEVELS)).reshape(-1, 2)
        image = f"{name}.png"
        buffer: Any = io.BytesIO()
        scipy.io.savemat(buffer, {"p2": points}, do_compression=name == "b")
        files[f"data/training/{image}"] = png(name, len(WHOLE_LEVELS))
        files[f"labels/training/{image}.mat"] = buffer.getvalue()
        rows.append(",".join(f"{share:.6f}" for share in (points / (WIDTH, 560)).T.ravel()))
    files["labels/training/landmarks.csv"] = "\n".join(rows).encode()
    files["labels/training/filenames.csv"] = "\n".join(f"{name}.png" for name in NAMES).encode()
    return files


def keypoint_rcnn() -> Files:
    """A file for each image, vertebrae without a level."""
    files = _images("images/")
    for name in NAMES:
        quads = corners(name)
        content = {
            "boxes": [[*quad[0], *quad[3]] for quad in quads.tolist()],
            "keypoints": [[[x, y, 1] for x, y in quad] for quad in quads.tolist()],
            "labels": [1] * len(quads),
        }
        files[f"labels/{name}.json"] = _text(content)
    return files


def maht_net() -> Files:
    """One file of predictions, in pixels of half the size."""
    content = {}
    for name in NAMES:
        vertebrae = [
            {"vertebra_idx": i, "corners": [{"x": x / 2, "y": y / 2, "confidence": 0.9} for x, y in quad]}
            for i, quad in enumerate(corners(name).tolist())
        ]
        sizes = {"original_size": [WIDTH, HEIGHT], "processed_size": [WIDTH // 2, HEIGHT // 2]}
        content[f"{name}.png"] = {**sizes, "vertebrae": vertebrae}
    return {**_images(), "test_predictions.json": _text(content)}


def tables() -> Files:
    """A row per point, a row per image and a row per endplate."""
    long = ["image;vertebra;corner;x;y;visible"]
    for level, quad in zip(LEVELS, corners("a"), strict=True):
        for corner, (x, y) in zip(CORNERS, quad, strict=True):
            long.append(f"a;{level};{corner};{x:.1f};{y:.1f};1".replace(".", ","))
    wide = "image," + ",".join(f"{name}_{axis}" for name in KEYPOINTS for axis in "xy")
    row = "b.png," + ",".join(f"{value:g}" for value in corners("b").ravel())
    endplates = ["filename\tvertebra\tendplate\tx1\ty1\tx2\ty2"]
    for level, quad in zip(LEVELS, corners("c"), strict=True):
        for plate, ends in (("upper", quad[:2]), ("lower", quad[2:])):
            endplates.append(f"c.png\t{level}\t{plate}\t" + "\t".join(f"{v:g}" for v in ends.ravel()))
    return {
        **_images(),
        "long.csv": "\n".join(long).encode(),
        "wide.csv": f"{wide}\n{row}\n".encode(),
        "endplates.tsv": "\n".join(endplates).encode("utf-8-sig"),
    }


def label_studio() -> Files:
    """Points of one region each, polygons, and points in a box."""
    tasks = []
    for number, name in enumerate(NAMES):
        result: list[dict[str, Any]] = []
        for level, quad in zip(LEVELS, corners(name) / (WIDTH, HEIGHT) * 100, strict=True):
            common = {"original_width": WIDTH, "original_height": HEIGHT, "image_rotation": 0}
            if name == "b":
                value = {"points": quad[[0, 1, 3, 2]].tolist(), "polygonlabels": [level], "closed": True}
                result.append({**common, "id": level, "type": "polygonlabels", "value": value})
                continue
            for corner, (x, y) in zip(CORNERS, quad.tolist(), strict=True):
                value = {"x": x, "y": y, "width": 0.5, "keypointlabels": [f"{level}_{corner}"]}
                region = f"{level}{corner}"
                result.append({**common, "id": region, "type": "keypointlabels", "value": value})
        done = {"id": number, "result": result, "was_cancelled": False, "updated_at": "2026-01-01T10:00:00Z"}
        data = {"image": f"/data/upload/1/0123abcd-{name}.png"}
        tasks.append({"id": number, "data": data, "annotations": [done], "predictions": []})
    return {**_images("images/"), "project-1.json": _text(tasks)}


def labelme() -> Files:
    """Points, polygons, and corners in a group, a file beside each image."""
    files = _images()
    for name in NAMES:
        shapes: list[dict[str, Any]] = []
        for number, (level, quad) in enumerate(zip(LEVELS, corners(name), strict=True)):
            if name == "b":
                outline = quad[[0, 1, 3, 2]].tolist()
                shapes.append({"label": level, "points": outline, "shape_type": "polygon", "group_id": None})
                continue
            named = name == "a"
            for corner, place in zip(CORNERS, quad.tolist(), strict=True):
                label = f"{level}_{corner}" if named else corner
                group = None if named else number
                shapes.append({"label": label, "points": [place], "shape_type": "point", "group_id": group})
            if not named:
                box = [quad[0].tolist(), quad[3].tolist()]
                shapes.append({"label": level, "points": box, "shape_type": "rectangle", "group_id": number})
        content = {"version": "5.4.1", "shapes": shapes, "imagePath": f"{name}.png", "imageData": "aGk="}
        files[f"{name}.json"] = _text({**content, "imageHeight": HEIGHT, "imageWidth": WIDTH})
    return files


def cvat() -> Files:
    """Skeletons, points with an attribute, polygons."""
    lines = ['<?xml version="1.0" encoding="utf-8"?>', "<annotations>", "<version>1.1</version>", "<meta/>"]
    for number, name in enumerate(NAMES):
        lines.append(f'<image id="{number}" name="{name}.png" width="{WIDTH}" height="{HEIGHT}">')
        for level, quad in zip(LEVELS, corners(name), strict=True):
            if name == "b":
                places = ";".join(f"{x:g},{y:g}" for x, y in quad[[0, 1, 3, 2]])
                lines.append(f'<polygon label="{level}" occluded="0" points="{places}" z_order="0"/>')
                continue
            if name == "a":
                lines.append(f'<skeleton label="{level}" z_order="0">')
            for corner, (x, y) in zip(CORNERS, quad, strict=True):
                lines.append(f'<points label="{corner}" outside="0" points="{x:g},{y:g}">')
                if name == "c":
                    lines.append(f'<attribute name="level">{level}</attribute>')
                lines.append("</points>")
            if name == "a":
                lines.append("</skeleton>")
        lines.append("</image>")
    return {**_images("images/"), "annotations.xml": "\n".join([*lines, "</annotations>"]).encode()}


def slicer() -> Files:
    """Two files of the newer kind, one of them in RAS, and a table."""
    files = _images()
    for name in NAMES:
        sign = -1.0 if name == "b" else 1.0
        points = [
            (label, sign * x, sign * y)
            for label, (x, y) in zip(KEYPOINTS, corners(name).reshape(-1, 2).tolist(), strict=True)
        ]
        if name == "c":
            head = "# Markups fiducial file version = 4.11\n# CoordinateSystem = LPS\n"
            head += "# columns = id,x,y,z,ow,ox,oy,oz,vis,sel,lock,label,desc,associatedNodeID\n"
            rows = "".join(f"1,{x},{y},0,0,0,0,1,1,1,0,{label},,\n" for label, x, y in points)
            files["c.fcsv"] = (head + rows).encode()
            continue
        controls = [
            {"id": str(i), "label": label, "position": [x, y, 0.0], "positionStatus": "defined"}
            for i, (label, x, y) in enumerate(points)
        ]
        node = {
            "type": "Fiducial",
            "coordinateSystem": "RAS" if sign < 0 else "LPS",
            "coordinateUnits": "mm",
            "controlPoints": controls,
        }
        files[f"{name}.mrk.json"] = _text({"@schema": "https://markups-schema", "markups": [node]})
    return files


def deeplabcut() -> Files:
    """A table with individuals for vertebrae, and one without."""
    first = corners("a").ravel().tolist()
    rows = [
        ["scorer", "", "", *["me"] * len(first)],
        ["bodyparts", "", "", *[name for name in KEYPOINTS for _ in "xy"]],
        ["coords", "", "", *["x", "y"] * len(KEYPOINTS)],
        ["labeled-data", "one", "a.png", *[f"{value:g}" for value in first]],
    ]
    other = [
        ["scorer", *["me"] * len(first)],
        ["individuals", *[level for level in LEVELS for _ in range(2 * len(CORNERS))]],
        ["bodyparts", *[corner for _ in LEVELS for corner in CORNERS for _ in "xy"]],
        ["coords", *["x", "y"] * len(KEYPOINTS)],
        *[
            [f"labeled-data/two/{name}.png", *[f"{value:g}" for value in corners(name).ravel()]]
            for name in "bc"
        ],
    ]
    return {
        "labeled-data/one/CollectedData_me.csv": "\n".join(map(",".join, rows)).encode(),
        "labeled-data/two/CollectedData_me.csv": "\n".join(map(",".join, other)).encode(),
        "labeled-data/one/a.png": png("a"),
        "labeled-data/two/b.png": png("b"),
        "labeled-data/two/c.png": png("c"),
    }


def sleap() -> Files:
    """A project of one video that is a list of images."""
    h5py = importlib.import_module("h5py")

    point = np.dtype([("x", "<f8"), ("y", "<f8"), ("visible", "?"), ("complete", "?")])
    fields = (
        *(("instance_id", "<i8"), ("instance_type", "u1"), ("frame_id", "<u8"), ("skeleton", "<u4")),
        *(("track", "<i4"), ("from_predicted", "<i8"), ("score", "<f4")),
        *(("point_id_start", "<u8"), ("point_id_end", "<u8"), ("tracking_score", "<f4")),
    )
    frame = ("frame_id", "video", "frame_idx", "instance_id_start", "instance_id_end")
    count = len(KEYPOINTS)
    places = np.concatenate([corners(name).reshape(-1, 2) for name in NAMES]).tolist()
    instances = [(i, 0, i, 0, -1, -1, 0, count * i, count * (i + 1), 0) for i in range(len(NAMES))]
    frames = [(i, 0, i, i, i + 1) for i in range(len(NAMES))]
    nodes = [{"name": name, "weight": 1.0} for name in KEYPOINTS]
    skeleton = {"nodes": [{"id": i} for i in range(count)], "links": [], "graph": {"name": "spine"}}
    files = [f"images/{name}.png" for name in NAMES]
    video = {"type": "ImageVideo", "filename": files[0], "filenames": files, "shape": [3, HEIGHT, WIDTH, 1]}
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as opened:
        group = opened.create_group("metadata")
        group.attrs["json"] = np.bytes_(json.dumps({"nodes": nodes, "skeletons": [skeleton]}))
        group.attrs["format_id"] = 1.2
        opened["points"] = np.array([(x, y, True, True) for x, y in places], dtype=point)
        opened["instances"] = np.array(instances, dtype=np.dtype([*fields]))
        opened["frames"] = np.array(frames, dtype=[(name, "<u8") for name in frame])
        opened["videos_json"] = [np.bytes_(json.dumps({"backend": video}))]
    return {**_images("images/"), "labels.slp": buffer.getvalue()}


def unlabelled() -> Files:
    """Images alone, with the tables that may lie beside any."""
    tables = {
        name: content for name, content in buu_lspine().items() if name in (SPACING_FILE, PATIENTS_FILE)
    }
    return {**_images("AP/"), **tables}


SETS: Final[Mapping[str, Callable[[], Files]]] = {
    "buu-lspine": buu_lspine,
    "coco": coco,
    "yolo-pose": yolo_pose,
    "aasce": aasce,
    "keypoint-rcnn": keypoint_rcnn,
    "maht-net": maht_net,
    "csv": tables,
    "label-studio": label_studio,
    "labelme": labelme,
    "cvat": cvat,
    "slicer": slicer,
    "deeplabcut": deeplabcut,
    "sleap": sleap,
    NO_LABELS: unlabelled,
}
"""The files of a set by the name of its reader; a test asks for one of every registered reader."""
