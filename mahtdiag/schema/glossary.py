"""Words that everything which is printed uses in one meaning, each defined once."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Term:
    """A word and what it means; `also`: other words for it, or for what is told in the same sentence."""

    name: str
    meaning: str
    also: tuple[str, ...] = ()


TERMS: tuple[Term, ...] = (
    Term("finding", "One place of one image where a rule of anatomy fires: the rule, the keypoints, the "
         "value, its limit. An image can have several of one rule."),
    Term("violation", "A rule that fires in an image, however many findings it has there. Images with "
         "violations are those in which at least one rule fires."),
    Term("severity", "Of an image: the sum over the rules that fire of 1 + ln(excess over the limit). It "
         "orders images by what is anatomically wrong with them."),
    Term("impossible", "Said of a predicted spine in which a rule of anatomy fires. Where most predicted "
         "spines are such, the set-up is suspected before the network."),
    Term("suspicious", "Said of labels alone: one that breaks a rule of anatomy, or that a network which "
         "is right elsewhere speaks against. Never certain: label or network is wrong."),
    Term("missed", "A keypoint that is labelled and not predicted (NaN, or left out of a file of "
         "predictions). It is in no error, is counted in miss_rate, and is not detected in success rates."),
    Term("failed", "An image that could not be evaluated, with its reason. A gate that fails is something "
         "else: its number is not within its limit."),
    Term("verdict", "The last line of compare (better, worse, no difference, too few) and the first of "
         "calibration (calibrated, faulty, inconclusive), with the numbers that led to it."),
    Term("headline", "The first line of a closing summary: the number that a reader looks for first, with "
         "its interval."),
    Term("latest", "The newest finished run of a folder, runs/latest; commands that are given no run take "
         "it."),
    Term("worst", "By what stands beside it: largest mean radial error, unless severity or another number "
         "is named."),
    Term("radial error", "Distance from the predicted to the labelled place of a keypoint."),
    Term("success detection rate", "Share of labelled keypoints whose radial error is at most a "
         "threshold; a missed keypoint is not detected."),
    Term("σ", "The predicted standard deviation of a keypoint's error, per axis, in px: where the network "
         "is right about itself, 68 % of errors lie within one σ.", ("sigma", "uncertainty")),
    Term("z", "The error over σ, per axis; normal with mean 0 and deviation 1 where σ is right.",
         ("z-score",)),
    Term("ECE", "Expected calibration error, a number of classifiers; of σ the same question is answered "
         "by MACE, and in bins of σ by ENCE."),
    Term("MACE", "Mean absolute calibration error: over confidence levels, how far the share of errors "
         "within the predicted interval is from the level.", ("mean absolute calibration error",)),
    Term("σ scale", "The factor on the predicted σ that fits the errors best; 1 where σ is right, above 1 "
         "where the network is overconfident.", ("σ scale that fits best", "best σ scale")),
    Term("gate", "A limit on a number of a run. Where it is not kept, or the number is not known, the "
         "command ends with status 1."),
    Term("margin", "How much worse than another run a number may be: --margin of compare, "
         "[gates.baseline] of a run."),
    Term("baseline", "A stored run that a new one is held against, image by image: run of "
         "[gates.baseline]."),
    Term("setup", "How checkpoint, images, labels and options go together; judged before anything else, "
         "since a network that is read wrongly looks like a bad one."),
    Term("results", "The first line of Setup: whether the results can be what they seem. Where they "
         "cannot, it names the line of Setup that is the likeliest cause."),
    Term("good", "Kind of error: off by at most a tenth of the vertebra's width."),
    Term("jitter", "Kind of error: more than good, within half the vertebra's width, and nearer to the "
         "keypoint's own label than to any other."),
    Term("left-right swap", "Kind of error: the label that is nearest, within half the vertebra's width, "
         "is the other end of the same endplate."),
    Term("endplate swap", "Kind of error: the label that is nearest, within half the vertebra's width, is "
         "a corner of the other endplate of the same vertebra."),
    Term("level shift +1", "Kind of error: the label that is nearest, within half the vertebra's width, "
         "is a corner of the next vertebra below."),
    Term("level shift −1", "Kind of error: the label that is nearest, within half the vertebra's width, "
         "is a corner of the next vertebra above."),
    Term("miss", "Kind of error: none of the others, since the label that is nearest is further away than "
         "half the vertebra's width, or two levels off. A missed keypoint is something else: not "
         "predicted."),
    Term("heatmap cell", "A pixel of the heatmap; the network's input has stride times as many."),
    Term("ambiguous heatmap", "One with two peaks: the second at least half the first, over 3 σ away."),
)  # fmt: skip

TERM_BY_NAME = {term.name.lower(): term for term in TERMS}
