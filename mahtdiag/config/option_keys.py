"""The keys of `mahtdiag.toml` that are options too: what the file and `--help` say of each.

They stand apart from their validation in `settings`, and nothing heavy is imported: `--help` must be quick.
"""

from dataclasses import dataclass

from mahtdiag.schema.choices import DEFAULT_OVERLAYS

NETWORK, DATA_SET, READING, EXECUTION, RESULT = (
    "Network",
    "Data",
    "Reading the output",
    "Execution",
    "Result",
)


@dataclass(frozen=True, slots=True)
class OptionKey:
    """Its name on the command line, its default or an example, its meaning in one line of the file.

    `help`, in the `panel` of that name, is what `--help` says, with `metavar` for the value.
    """

    option: str
    shown: str | float | tuple[str, ...]
    meaning: str
    panel: str | None
    metavar: str | None
    help: str


CHECKPOINT = OptionKey(
    "CHECKPOINT", "model.pt", "trained network; A.pt,B.pt is an ensemble", None, None,
    "Trained network: the product's own checkpoint, TorchScript, or a state dict; "
    "A.pt,B.pt,… is an ensemble.",
)  # fmt: skip
FACTORY = OptionKey(
    "--model", "package.module:function", "builds the network of a file of weights; needs --trust",
    NETWORK, "PKG.MODULE:FACTORY",
    "Builds the network of a file of weights, or reads the file where it takes its path; needs --trust.",
)  # fmt: skip
MODEL_ARGS = OptionKey(
    "--model-args", ("width=32",), "keywords for that function, or a table [model.args]",
    NETWORK, "KEY=VALUE", "Keyword for that function, repeatable, or all of them as JSON.",
)  # fmt: skip
WEIGHTS = OptionKey(
    "--weights", "ema", "which set, where a checkpoint holds several: model, ema, …",
    NETWORK, "KEY", "Which set, where a checkpoint holds several that differ: model, ema, ….",
)  # fmt: skip
INPUT_SIZE = OptionKey(
    "--input-size", "512x256", "height x width of the network's input",
    NETWORK, "HxW", "Size of the network's input.",
)  # fmt: skip
RESIZE = OptionKey(
    "--resize", "stretch", "stretch, or letterbox[:top-left,pad=1.25,fill=114]",
    NETWORK, "stretch|letterbox[:…]", "Fill the input, or keep the aspect: letterbox:top-left,pad=1.25.",
)  # fmt: skip
NORMALIZE = OptionKey(
    "--normalize", "unit", "unit, imagenet, MEAN/STD, zscore, minmax, raw255, clahe+unit, …",
    NETWORK, "unit|imagenet|MEAN/STD|…",
    "From grey values to network values; zscore, minmax, percentile, raw255, clahe+unit.",
)  # fmt: skip
INTERPOLATION = OptionKey(
    "--interpolation", "area", "area, linear, cubic, pil-bilinear or pil-bicubic: how images are resized",
    NETWORK, None, "How grey values between pixels come about under a resize (default: area).",
)  # fmt: skip
CHANNEL_ORDER = OptionKey(
    "--channel-order", "rgb", "rgb or bgr: order of the network's three channels",
    NETWORK, None, "Order of the network's three channels: bgr where OpenCV read its images.",
)  # fmt: skip
CHANNELS = OptionKey("--channels", 1, "1 or 3", NETWORK, "1|3", "Channels of the network's input.")
COORDS = OptionKey(
    "--coords", "half-pixel", "half-pixel or scale: pixel centres under a resize",
    NETWORK, None, "Where pixel centres lie under a resize.",
)  # fmt: skip
FULL_SCALE = OptionKey(
    "--full-scale", "auto", "auto (255, 65535) or the stored value that is white, such as 4095",
    NETWORK, "auto|N", "Stored value that is white: 4095 for 12 bits in 16-bit files (default: all bits).",
)  # fmt: skip
INVERT = OptionKey(
    "--invert", False, "true: images are black for white to the network",
    NETWORK, None, "Show the network the negative of each image.",
)  # fmt: skip
FLIP = OptionKey(
    "--flip", "none", "image-side or body-side: the network was trained on mirrored images",
    NETWORK, None, "Network of mirrored images; corners by the sides of these, or of the body.",
)  # fmt: skip
STRIDE = OptionKey(
    "--stride", "8", "input pixels from one heatmap cell to the next, N, HxW, fill or ends",
    NETWORK, "N|HxW|fill|ends", "Input pixels from one heatmap cell to the next, if they do not divide it.",
)  # fmt: skip
HEATMAP_ORIGIN = OptionKey(
    "--heatmap-origin", "centre", "corner, centre, middle or X,Y: input pixel of the first cell's centre",
    NETWORK, "corner|centre|middle|X[,Y]", "Where the centre of the first heatmap cell lies in the input.",
)  # fmt: skip
DECODE = OptionKey(
    "--decode", "dark", "argmax, local, dark, soft-argmax, expectation: from heatmap to place",
    READING, None, "From heatmap to place.",
)  # fmt: skip
HEATMAP_SIGMA = OptionKey(
    "--heatmap-sigma", 2.0, "σ of the target heatmaps, in heatmap cells",
    READING, "PX", "σ of the target heatmaps, in heatmap cells.",
)  # fmt: skip
SOFTARGMAX_BETA = OptionKey(
    "--softargmax-beta", 1.0, "factor before the softmax of soft-argmax",
    READING, "B", "Factor before the softmax of soft-argmax.",
)  # fmt: skip
UNCERTAINTY = OptionKey(
    "--uncertainty", "auto", "auto, head, heatmap, none or mc-dropout:N: where σ is from",
    READING, "auto|head|heatmap|none|mc-dropout:N",
    "Where σ comes from; mc-dropout:N also from N passes with active dropout.",
)  # fmt: skip
UNCERTAINTY_AS = OptionKey(
    "--uncertainty-as", "log_sigma", "log_sigma, sigma, log_var, var or cov: what the head emits",
    READING, None, "What the head emits.",
)  # fmt: skip
UNCERTAINTY_FRAME = OptionKey(
    "--uncertainty-frame", "input", "input, heatmap, unit, signed-unit or original: unit of the head's σ",
    READING, None, "Unit of the head's σ: pixels of its input, cells, shares of it, original pixels.",
)  # fmt: skip
OUTPUT = OptionKey(
    "--output", ("heatmaps=[-1]",), "where outputs are in what the network returns, NAME=PATH each",
    READING, "NAME=PATH",
    "Where an output is, repeatable: heatmaps=[-1], coords=[0],frame=unit, sigma=[1],as=var.",
)  # fmt: skip
PRESET = OptionKey(
    "--preset", "mmpose", "outputs and input as a library has them; what else is said counts more",
    NETWORK, "NAME", "Outputs and input of a library: mmpose, vitpose, deeplabcut, …; a wrong one lists all.",
)  # fmt: skip
COORDS_FRAME = OptionKey(
    "--coords-frame", "input", "input, cells, unit, signed-unit or original: its coordinates",
    READING, None, "What the network's own coordinates count: input pixels, cells, shares, original pixels.",
)  # fmt: skip
KEYPOINTS = OptionKey(
    "--keypoints", "corner:UL,UR,LR,LL", "order of the network's keypoints",
    READING, "ORDER", "Its order of keypoints: corner:UL,UR,LR,LL, vertebrae:L5..L1, names, or 48:68.",
)  # fmt: skip
DATA = OptionKey(
    "DATA", "data", "folder of radiographs with annotations, or the annotation file in it",
    None, None, "Folder of radiographs with annotations, or the annotation file in it.",
)  # fmt: skip
VIEW = OptionKey(
    "--view", "auto", "AP, LA or auto",
    DATA_SET, None, "View of the radiographs; auto (default): from folder, annotations and network.",
)  # fmt: skip
LEVELS = OptionKey(
    "--levels", "T1-L5", "vertebrae, from above: T1-L5, lumbar, thoracolumbar, cervical",
    DATA_SET, "T1-L5", "Vertebrae of network and labels: T1-L5, cervical, … (default: metadata, or lumbar).",
)  # fmt: skip
PIXEL_SPACING = OptionKey(
    "--pixel-spacing", 0.15, "of all images without their own; there is no default",
    DATA_SET, "MM", "Spacing of all images without their own, 0.005 to 5.",
)  # fmt: skip
DATA_FORMAT = OptionKey(
    "--data-format", "coco", "annotation format; found by content where it is not given",
    DATA_SET, "NAME", "Annotation format (default: by content): buu-lspine, coco, …; a wrong one lists all.",
)  # fmt: skip
COMPLETE_ONLY = OptionKey(
    "--complete-only", False, "true: an image that lacks a keypoint is a failure",
    DATA_SET, None, "An image that lacks a keypoint fails (default: its other keypoints count).",
)  # fmt: skip
NO_LABELS = OptionKey(
    "--no-labels", False, "true: annotations are not read; no error, loss or calibration",
    DATA_SET, None, "Images alone: predictions and anatomy (by itself where nothing else is there).",
)  # fmt: skip
SPACING_FROM = OptionKey(
    "--spacing-from", "patient", "patient or imager: the DICOM spacing that counts",
    DATA_SET, None, "DICOM spacing that counts: the patient's alone, or the detector's where that is all.",
)  # fmt: skip
DICOM_WINDOW = OptionKey(
    "--dicom-window", "first", "first, stored, minmax or WIDTH,CENTER: black to white of a DICOM",
    DATA_SET, "WIDTH,CENTER|first|stored|minmax",
    "Values of a DICOM that become 0 to 1 (default: by the file's first window).",
)  # fmt: skip
EXIF = OptionKey(
    "--exif", "ignore", "ignore, or apply: labels are places on images as viewers turn them",
    DATA_SET, None, "apply: turn images by their orientation tags; labels are places on the turned ones.",
)  # fmt: skip
MISSING_VALUE = OptionKey(
    "--missing-value", -1.0, "coordinate that means 'not labelled' in tables",
    DATA_SET, "NUMBER", "Coordinate that means 'not labelled' in tables, such as -1.",
)  # fmt: skip
PATIENT = OptionKey(
    "--patient", "^[^-_.]+", "regular expression: the part of an image's name that is its patient",
    DATA_SET, "REGEX", "Part of an image's name that is its patient (default: file name or patients.csv).",
)  # fmt: skip
SUBGROUPS = OptionKey(
    "--subgroups", "subgroups.csv", "CSV by image or patient: errors by each of its other columns",
    DATA_SET, "FILE", "CSV with a column image or patient: errors by each of its other columns.",
)  # fmt: skip
IMAGE_TIMEOUT = OptionKey(
    "--image-timeout", 300, "seconds that one image may take to be read and decoded",
    DATA_SET, "SECONDS", "How long one image may take to be read and decoded (default: 300).",
)  # fmt: skip
LABELS2 = OptionKey(
    "--labels2", "second", "a second labelling of the same images",
    DATA_SET, "DATA2", "A second labelling of the same images: how far do readers differ?",
)  # fmt: skip
DEVICE = OptionKey(
    "--device", "auto", "auto, cpu, cuda, cuda:N or mps",
    EXECUTION, "auto|cpu|cuda|cuda:N|mps", "Where the network runs.",
)  # fmt: skip
BATCH_SIZE = OptionKey(
    "--batch-size", "auto", "images per forward pass, or auto",
    EXECUTION, "N|auto", "Images per forward pass.",
)  # fmt: skip
WORKERS = OptionKey(
    "--workers", 4, "threads that decode images", EXECUTION, "N", "Threads that decode images."
)
PRECISION = OptionKey(
    "--precision", "fp32", "fp32, bf16 or fp16: of the forward pass",
    EXECUTION, None, "Of the forward pass; the analysis stays in float32.",
)  # fmt: skip
OVERLAYS = OptionKey(
    "--overlays", str(DEFAULT_OVERLAYS), "worst:N, all or none",
    RESULT, "worst:N|all|none", f"Which overlays to draw (default: {DEFAULT_OVERLAYS}).",
)  # fmt: skip
OVERLAY_STYLE = OptionKey(
    "--overlay-style", "panel", "panel, or paper: the spine alone, without numbers",
    RESULT, None, "panel, or paper: the spine cut out of its image, without panel (default: panel).",
)  # fmt: skip
OVERLAY_HEATMAPS = OptionKey(
    "--overlay-heatmaps", False, "true: what the heatmaps hold as a layer of overlays",
    RESULT, None, "Lay what the heatmaps hold over the radiograph of each overlay.",
)  # fmt: skip
ERROR_UNIT = OptionKey(
    "--error-unit", "px", "px, mm, input-px, diagonal, width, height: shown first",
    RESULT, "px|mm|input-px|diagonal|width|height",
    "What tables show errors in first: also input pixels, or % of diagonal, vertebra or spine.",
)  # fmt: skip
ALLOW_FAILURES = OptionKey(
    "--allow-failures", 0, "images that may fail without failing the command",
    RESULT, "N", "Images that may fail without failing the command (default: 0).",
)  # fmt: skip
STRICT_SETUP = OptionKey(
    "--strict-setup", False, "true: fail where a check of the setup is wrong",
    RESULT, None, "Exit with 1 where a check of the setup is wrong.",
)  # fmt: skip
ACCEPT = OptionKey(
    "--accept", "labels.unit", "checks of the setup whose finding is known and meant",
    RESULT, "CHECK", "Go on although this check of the setup is wrong; may be repeated.",
)  # fmt: skip
RECALIBRATION = OptionKey(
    "--recalibration", "factors.json", "σ factors written by calibration --fit",
    READING, "FILE", "Multiply σ by the factors that calibration --fit has written.",
)  # fmt: skip
EXPECTED_ERROR = OptionKey(
    "--expected-error", False, "true: also the radial error that each heatmap expects; takes longer",
    READING, None, "Also the radial error that each heatmap expects; takes longer.",
)  # fmt: skip
FACING = OptionKey(
    "--facing", "left", "left or right: anterior side of lateral images; default: codes",
    DATA_SET, None, "Anterior side of lateral images (default: from listhesis codes, or of nearly all).",
)  # fmt: skip
