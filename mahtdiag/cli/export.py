"""`mahtdiag export`: a run in, a file for an annotation tool out."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mahtdiag.cli import options
from mahtdiag.cli.output import write_result
from mahtdiag.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mahtdiag.reports.rendering import Json
    from mahtdiag.reports.tables.table import Line
    from mahtdiag.workflows.export.job import Export

Places = Annotated[
    list[Path],
    typer.Argument(metavar="[RUN] FILE", help="Run folder (default: the latest), and what to write."),
]
To = Annotated[
    str,
    typer.Option(
        "--to",
        metavar="coco|yolo|csv|labelme|labelstudio|slicer",
        help="Format; yolo, labelme and slicer write a folder.",
    ),
]
Worst = Annotated[
    int | None,
    typer.Option(
        "--worst",
        metavar="N",
        help="Only the N images with the largest mean error; without labels, by anatomical findings.",
    ),
]
Suspicious = Annotated[
    int | None,
    typer.Option(
        "--suspicious",
        metavar="N",
        help="Only the N images whose labels are most suspicious; exports the labels.",
    ),
]
Labels = Annotated[
    bool | None,
    typer.Option(
        "--labels/--predictions",
        help="Export the labels or the predictions (default: predictions; labels with --suspicious).",
        show_default=False,
    ),
]
ImageRoot = Annotated[
    str | None,
    typer.Option(
        "--image-root",
        metavar="TEXT",
        help="What stands before the names of images in coco, csv and labelstudio: a folder or a URL.",
    ),
]
Data = Annotated[
    Path | None,
    typer.Option("--data", metavar="DIR", help="Where the images are now, if they have moved since the run."),
]
Force = Annotated[bool, typer.Option("--force", help="Overwrite what is there.")]
Format = Annotated[
    options.OutputFormat, typer.Option("--format", help="json: on stdout what was written and left out.")
]


def export_command(
    places: Places,
    to: To,
    worst: Worst = None,
    suspicious: Suspicious = None,
    labels: Labels = None,
    image_root: ImageRoot = None,
    data: Data = None,
    force: Force = False,
    output_format: Format = options.OutputFormat.TABLE,
) -> None:
    """Write a run's predictions as pre-labels for an annotation tool, or its labels to be corrected.

    Exit status: 0 done, 2 could not be done (for instance FILE exists, or an unfinished run).
    """
    if len(places) > 2:
        raise UsageError(f"{len(places)} names: give a run folder and what to write, or the latter alone")
    from mahtdiag.reports.rendering import Result
    from mahtdiag.workflows.export.job import ExportRequest, export_run

    request = ExportRequest(
        run=places[0] if len(places) == 2 else None,
        to=to,
        file=places[-1],
        cwd=Path.cwd(),
        worst=worst,
        suspicious=suspicious,
        labels=labels,
        data=data,
        image_root=image_root,
        force=force,
    )
    done = export_run(request)
    write_result(Result(lambda _: _lines(done), lambda: _content(done)), output_format, str(done.file))


def _lines(done: "Export") -> "Iterable[Line]":
    from mahtdiag.reports.tables.table import Line
    from mahtdiag.reports.text import counted
    from mahtdiag.schema.safe_text import one_line

    what = "labels" if done.labels else "predictions"
    images = counted(done.images, "image")
    which = f" ({done.chosen})" if done.chosen else ""
    size = f"{done.bytes / 1e6:.1f} MB" if done.bytes >= 1e5 else f"{done.bytes / 1e3:.1f} kB"
    files = f"{counted(done.files, 'file')}, " if done.files > 1 else ""
    yield Line(f"export: {one_line(str(done.file))} ({done.writer.title}, {files}{size})")
    yield Line(
        f"{what} of {images} of {one_line(done.run.label)}{which}, {counted(done.keypoints, 'keypoint')}"
    )
    yield from (Line(f"note: {one_line(note)}") for note in done.notes)
    sentence, *commands = done.hint.split("\n")
    yield Line(f"next: {sentence}")
    yield from map(Line, map(one_line, commands))


def _content(done: "Export") -> "dict[str, Json]":
    return {
        "export": str(done.file),
        "to": done.writer.name,
        "run": done.run.label,
        "points": "labels" if done.labels else "predictions",
        "chosen": done.chosen or "all",
        "images": done.images,
        "keypoints": done.keypoints,
        "files": done.files,
        "bytes": done.bytes,
        "left_out": [{"image": failure.image, "reason": failure.reason} for failure in done.left_out],
        "notes": list(done.notes),
    }
