"""What stands above and beside numbers: titles, columns and rows of tables, cards and states, each said once.

Names are those that are printed, without units and without what changes from run to run.
"""

from typing import Final

from mahtdiag.schema.glossary import Term

TITLES: Final = (
    Term("anatomical violations", "Table: for each rule of anatomy that fired, in how many images and how "
         "often.", ("anatomical violations among the predictions", "impossible spines")),
    Term("ambiguous heatmaps", "Table: keypoints whose heatmap has two peaks, by vertebra, and what "
         "another --decode would change."),
    Term("by vertebra", "Table: calibration of σ in parts of the keypoints; also by corner, keypoint, "
         "axis, sex and age band. A part with few keypoints or images is not ranked.",
         ("by region", "by corner", "by keypoint", "by axis", "by sex", "by age band", "sex", "age band")),
    Term("closer", "Table of compare: the images whose mean error is smaller in B than in A, or larger "
         "(further off).",
         ("further off", "B is closer", "B is further off", "C is closer", "C is further off")),
    Term("conformal regions", "Table: regions around predictions that hold the keypoint in a promised "
         "share of new images, whatever the errors are distributed like."),
    Term("copies", "Table: images that show the same exposure as another image.",
         ("copies within the set", "the same exposure", "likeness")),
    Term("coverage", "Share of errors inside the interval or ellipse that σ predicts, beside the share "
         "that is promised.", ("promised", "95 % ellipses hold the keypoint")),
    Term("differences for which these limits do not hold", "Table: measurements whose differences are not "
         "normal or grow with their size, with limits that hold all the same.", ("they",)),
    Term("error types", "Table: which kind of mistake is how frequent, and how much of the error is its.",
         ("type",)),
    Term("gates", "Table: every limit that the run was held to, failed ones first.", ("gates failed",)),
    Term("labels that break a rule", "Table: errors with and without the images whose labels break a rule "
         "of anatomy.", ("all images", "without")),
    Term("limits of agreement", "Table: within which 95 % of the differences between prediction and label "
         "lie, with the intervals of both ends.", ("95 % limits of agreement", "95 % limits")),
    Term("loss", "Table: the mean of each part of the training loss over images, in the network's frame; "
         "total is what it was trained with.", ("weight", "share", "part")),
    Term("mean radial error by vertebra", "Table of compare: the mean radial error of each vertebra or "
         "corner in both runs.", ("mean radial error by corner",)),
    Term("measurements", "Table: clinical measurements on predictions against those on labels, or on "
         "those of two readers.", ("measurements by two readers",)),
    Term("Meyerding grade", "Slip of a vertebra in fifths of the one below: I below 25 %, II below 50, "
         "III below 75, IV to 100, V above. The table counts labels by row, predictions by column.",
         ("Meyerding grade of the slips", "label \\ prediction", "I", "II", "III", "IV", "V")),
    Term("missing", "Table of inspect: options without which the checkpoint cannot be evaluated. Of a "
         "number that decides in compare: a run lacks it.", ("option", "what it says")),
    Term("not evaluated in this run", "Table: images that failed, with the reason.",
         ("could not be judged", "reason")),
    Term("numbers", "Table of calibration: every number on σ with its 95 % interval. In inspect: how many "
         "values a set of weights holds.", ("what it is",)),
    Term("predicted uncertainty", "Table: whether σ fits the errors, in a few numbers; mahtdiag "
         "calibration shows all.", ("predicted σ by vertebra", "ideal")),
    Term("radial error by vertebra", "Table: radial errors of the keypoints of each vertebra, corner or "
         "subgroup.", ("radial error by corner", "radial error by subgroup")),
    Term("provenance", "Part of the page: the files, options, versions and machine that the run was made "
         "with, from run.json.",
         ("SHA-256", "content SHA-256", "listing SHA-256", "folder", "mahtdiag", "started", "duration",
          "python", "torch", "device_name", "platform", "threads", "packages.numpy", "packages.opencv",
          "packages.scipy", "heatmap_size", "calibration.resamples", "uncertainty_source",
          "sigma_within", "given")),
    Term("recalibration", "Table: σ as it came and after factors fitted on other images, judged on those "
         "left out.", ("as it came", "one per keypoint", "core", "Student-t")),
    Term("rules of anatomy", "Table of rules: every rule with its limits in force here.", ("fires",)),
    Term("shared by all predictions", "Table: the shift, scale and turn that bring all predictions "
         "closest to the labels, and what each corner is off by.",
         ("shift in x", "shift in y", "scale in x", "scale in y", "rotation", "outline in x",
          "outline in y", "off in x", "off in y")),
    Term("sizes of vertebrae and bias of corners", "Table: predicted over labelled width and height of "
         "bodies, what undoing it saves, and the mean place of each predicted corner in the frame of its "
         "body.",
         ("body scale", "predicted/labelled", "both undone", "right", "down", "saves", "width", "height")),
    Term("slips against the listhesis codes", "Table: whether slips of 5 % and more are found where the "
         "annotation has a code of listhesis.",
         ("slips", "sensitivity", "specificity", "sensitivity of labels", "specificity of labels",
          "sensitivity of predictions", "specificity of predictions")),
    Term("suspicious labels", "Table: images whose label is to be reviewed, by what the network says.",
         ("evidence", "why", "most suspicious labels by severity")),
    Term("to look at first", "Table of a run without labels: images whose predictions break most rules.",
         ("lowest peak",)),
    Term("two readers", "Table: how far two labellings of the same images lie apart.",
         ("labelled twice",)),
    Term("violations", "Table: for each rule that fired, in how many images, at how many keypoints, the "
         "worst value and where.", ("rule",)),
    Term("weights", "Table of inspect: the sets of weights in a checkpoint.",
         ("set", "tensors", "names begin with")),
    Term("what decides", "Table of compare: the numbers that make B worse or better; all others only "
         "inform.", ("metric",)),
    Term("what was found", "Column of Setup: the numbers behind what a check says, and what to type. In "
         "the demo: its end."),
    Term("worst images", "Table: images by mean radial error, or by severity where there are no labels.",
         ("worst images by severity",)),
)  # fmt: skip
"""Titles of tables, with the columns and rows that only they have."""

COLUMNS: Final = (
    Term("A", "Column of compare: the first run; B, C and so on the others.", ("B", "C")),
    Term("apart", "Column: keypoints that are decoded over σ away from the highest cell of their heatmap."),
    Term("at lower bound", "Share of σ at the smallest or largest value that the head can return.",
         ("at upper bound",)),
    Term("AUC", "Of σ: the chance that a large error has a larger σ than a small one, 0.5 where σ tells "
         "nothing. Of errors: the area under the cumulative error curve."),
    Term("all", "Row: over all keypoints and images."),
    Term("anatom.", "Column: the anatomical part of the loss; uncert.: that of σ.", ("uncert.",)),
    Term("area", "Between the curve of coverage and the diagonal: a miscalibration area, 0 is best."),
    Term("argmax", "Decoder: the place of the highest cell. local, dark, soft-argmax and expectation are "
         "others, see --decode; as a column: the change of the mean error by it.",
         ("local", "dark", "soft-argmax", "expectation")),
    Term("aleatoric share", "Mean share of σ² within passes of the network (aleatoric) and between them "
         "(epistemic).", ("epistemic share",)),
    Term("B − A", "Column of compare: a number of B less that of A.", ("C − A",)),
    Term("between", "Column: keypoints with two peaks that are decoded over σ away from either."),
    Term("bias", "The mean of differences, prediction less label; of σ: the mean of z in one axis.",
         ("bias x", "bias y", "bias in x", "bias in y")),
    Term("bound", "Column of gates: which end of the 95 % interval is limited, empty for the number "
         "itself.", ("upper 95 %", "lower 95 %")),
    Term("cells", "Column: the same in heatmap cells; one is stride input pixels wide."),
    Term("chance", "Column: the MACE that a σ which is right has on average in so small a group.",
         ("by chance",)),
    Term("check", "Column of Setup: the name of a check, which --accept takes. Also a score of σ, see "
         "calibration.check."),
    Term("core factor", "The factor on σ that fits half of the errors; tail factor: 95 % of them.",
         ("tail factor", "factor that fits half of the errors", "factor that fits 95 % of them")),
    Term("code", "Column: the permanent code of a rule of anatomy; mahtdiag explain CODE."),
    Term("check score", "Pinball loss of the Gaussian that σ says, at levels 0.01 to 0.99, px; small is "
         "good. interval score: of its centred intervals.", ("interval score",)),
    Term("checkpoint", "The file of the trained network."),
    Term("coord", "Part of the loss: the distance between predicted and labelled places."),
    Term("CRPS", "Continuous ranked probability score of the Gaussian that σ says, px; small is good."),
    Term("ellipse", "Column: of both axes together; interval: of each axis by itself.", ("interval",)),
    Term("ERE", "Expected radial error: what the heatmap alone says of its error. Spearman: whether it "
         "ranks the true ones; ratio: mean error over mean ERE.", ("ERE: Spearman", "ERE: ratio")),
    Term("failure rate", "In figures: the share of keypoints whose error is above the threshold at which "
         "the cumulative error curve ends."),
    Term("findings", "Column: how often a rule fired, in all images together."),
    Term("gain", "Column: by how much the mean error would fall if these keypoints were repaired."),
    Term("held", "Column: the share that lies inside on images which the region was not fitted on."),
    Term("Holm", "A correction of p for how many numbers are compared: chance alone finds one or more of "
         "them in at most 5 of 100 comparisons.", ("corrected", "p_holm")),
    Term("ICC", "Intraclass correlation ICC(A,1): agreement of single measurements, 1 where they are "
         "alike."),
    Term("image", "Column: the file, below the folder of the data."),
    Term("images", "Column: in how many images.", ("images evaluated",)),
    Term("in 90 %", "Column: share of errors inside the predicted 90 % interval."),
    Term("in image", "Column: the image in which the worst value was found.", ("max in image",)),
    Term("keypoints", "Column: how many keypoints.", ("keypoint", "points")),
    Term("labels", "Column: the same of the labels."),
    Term("levels", "Column: how many levels, each of two neighbouring vertebrae; below one heading L1/L2 "
         "is one."),
    Term("limit", "Column of gates: what the number has to keep."),
    Term("lower", "Column: the lower and the upper limit of agreement.", ("upper", "limits")),
    Term("marked one level off", "Images in which every vertebra is marked as a neighbouring one."),
    Term("max", "Column: the largest of all.", ("largest",)),
    Term("mean", "Column: the mean over keypoints, of all images together.", ("mean error",)),
    Term("MDC", "Minimal detectable change, 1.96 √2 SEM: a difference beyond it is no error of measuring."),
    Term("mean |d|", "Column: mean absolute difference."),
    Term("median", "Column: half of all lie below it; p90, p95: 90 and 95 % do.",
         ("p95", "p90", "median error")),
    Term("n", "Column: how many values."),
    Term("of all", "Column: share of all keypoints."),
    Term("of error", "Column: share of the sum of all errors."),
    Term("one for all", "Column: one size for all keypoints, in σ or px."),
    Term("order", "Term of the anatomical loss: vertebrae below each other; parallel: both endplates of "
         "one; ratio: its width over its height.", ("parallel", "ratio")),
    Term("p", "Column: how likely such a difference is by chance alone, corrected for all that are tested "
         "together (Holm)."),
    Term("patients", "Column: how many patients the images are of.", ("pat.", "patient")),
    Term("px", "Pixels of the original image, unless input px (of the network's input) is said; mm where "
         "the size of a pixel is known.", ("mm", "input px")),
    Term("region", "Column: whether a conformal region is an ellipse of σ or a disc."),
    Term("run", "A folder that evaluate has written: run.json, images.parquet, keypoints.parquet, "
         "overlays."),
    Term("Spearman", "Rank correlation of σ and error: 1 where the larger σ always has the larger error, "
         "0 where σ tells nothing.", ("rank correlation of σ and error",)),
    Term("scale", "Column: see σ scale."),
    Term("SEM", "Standard error of measurement: standard deviation of the differences over √2, of one of "
         "two that err alike.", ("SEM x", "SEM y")),
    Term("sha256", "Digest of a file: two files with the same one are the same.",
         ("size", "format", "needs --trust")),
    Term("sev.", "Column: see severity."),
    Term("sharpness", "Root mean square σ; small is sharp, and says nothing of whether it is right.",
         ("σ px",)),
    Term("shows", "Column of compare: the smallest loss that would be shown in 4 of 5 sets of this size.",
         ("detectable",)),
    Term("status", "Column of Setup: fine, warning, wrong or not checked. In images.parquet: ok or failed."),
    Term("units", "Column: what is independent of each other: patients, images where none is known."),
    Term("value", "Column: the number; of a gate what was compared with the limit."),
    Term("within", "Share of keypoints whose error is at most so large; see success detection rate. In "
         "compare: the interval is inside the margin.", ("≤", "within margin", "non_inferior")),
    Term("worse by", "Column of compare: how much worse B is than A, negative where it is better."),
    Term("worst subgroup", "The largest MACE of random parts of the residuals: a fault that hides in a "
         "part."),
    Term("x", "To the right in the image; y: down.", ("y", "radial")),
    Term("95 % interval", "Where the true value lies with 95 % confidence, over patients, or images where "
         "these are not known; of compare, of the difference. Too few give none."),
    Term("− others", "Column: the mean less that of all other images with a value in the column."),
    Term("–", "Not known, or not defined: too few images, no label, no spacing."),
    Term("#", "Column of runs: the number that compare takes for a run."),
    Term("UL", "Corner of a vertebra in the image: upper left; UR upper right, LL lower left, LR lower "
         "right.", ("UR", "LL", "LR")),
    Term("vertebra", "L1 to L5 from above, S1 below in the lateral view.",
         ("L1", "L2", "L3", "L4", "L5", "S1", "corner")),
)  # fmt: skip
"""Columns, rows and cards that more than one table has."""

MEASUREMENTS: Final = (
    Term("Cobb angle", "The largest angle between the upper endplate of a vertebra and the lower endplate "
         "of one below it, in the AP view.", ("coronal Cobb angle", "Cobb")),
    Term("midline Cobb angle", "The largest angle between the midlines of two vertebrae, each from the "
         "middle of the left to that of the right side."),
    Term("curve", "The angle between the midlines of the end vertebrae of a curve of 10° and more: "
         "the largest with its apex in the region, of predictions that to the side of the label's.",
         ("scoliotic curve", "curves of 10° and more", "apex", "labelled", "found", "only predicted")),
    Term("SMAPE", "The score by which the AASCE challenge ranks: errors of the set's three angles over the "
         "sum of both, % of each image, averaged.", ("SMAPE of the three AASCE angles, %",)),
    Term("thoracic kyphosis", "The angle from the upper endplate of T4 to the lower one of T12."),
    Term("cervical lordosis", "The angle from the lower endplate of C2 to that of C7."),
    Term("lateral slip", "By how much the lower corners of a vertebra are displaced sideways against the "
         "upper endplate below, % of its length; positive to the right of the image."),
    Term("vertebral tilt", "The angle to the horizontal of the line through the middles of a vertebra's "
         "left and right side; positive where the right side is lower."),
    Term("slip", "By how much a vertebra's lower rear corner is displaced forwards (positive) or "
         "backwards, % of the upper endplate below, measured along it."),
    Term("lumbar lordosis", "The angle from the upper endplate of L1 to that of S1."),
    Term("segmental angle", "The angle from an upper endplate to the next upper endplate."),
    Term("disc height index", "Mean height of the disc over the mean height of its neighbours."),
    Term("front/back height", "Height of a body in front over that behind; small in a wedge fracture."),
)  # fmt: skip

STATES: Final = (
    Term("passed", "Of a gate: its number is within the limit. Of an error: see failed."),
    Term("fine", "Of a check of Setup: nothing speaks against it. warning: something may be wrong. wrong: "
         "the evidence is clear. not checked: too few images, or another check comes first.",
         ("warning", "wrong", "not checked")),
    Term("better", "Of compare: B is better than A with p < 0.05, corrected. worse: worse by more than "
         "the margin. not shown: the interval reaches across the margin. no difference: neither is shown.",
         ("worse", "not shown", "no difference")),
    Term("too few", "There are not enough patients or images to say anything."),
    Term("calibrated", "Of σ: no fault shows, and the sample is large enough to show one. faulty: at "
         "least one fault is certain. inconclusive: no fault shows, but the sample is too small to be "
         "sure.", ("faulty", "inconclusive")),
    Term("unfinished", "Of a run: it was interrupted; evaluate … --resume --out RUN goes on.",
         ("interrupted",)),
)  # fmt: skip
"""What is said of gates, checks, numbers and runs."""

HEADINGS: Final = (*TITLES, *COLUMNS, *MEASUREMENTS, *STATES)
