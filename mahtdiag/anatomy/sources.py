"""Where the default limits come from, in the words that `--explain` prints.

The lateral limits rest on published means and on arithmetic with them, not on percentiles: no set of lateral
annotations was at hand. Where a limit is a choice, the words say so.
"""

BY_DEFINITION = "Follows from what the keypoints mean; no clean real annotation breaks it."

AASCE = (
    "Beyond the most extreme value of L1–L5 in clean real AP radiographs (AASCE 2019, 2,150 vertebrae of 430 "
    "images; python -m benchmarks.label_audit)."
)

AASCE_TAIL = (
    "Beyond the 99.9th percentile of L1–L5 in clean real AP radiographs (21.0° within a vertebra, 23.0° "
    "across a disc; AASCE 2019, 2,150 vertebrae of 430 images; python -m benchmarks.label_audit). Three of "
    "these images go further, up to 29° and 31°: a likely malformed vertebra, and two annotations of one "
    "patient that contradict each other."
)

SIDES = (
    f"AP: {AASCE} One image goes further: four radiographs of its patient disagree on where L2 is, so its "
    "annotation is in doubt."
)

SPECIFIED = "Chosen with the most extreme clean AP values in view; kept for LA, where no set was at hand."

READERS = (
    "Two readers of one radiograph differ by about 7 % of the vertebra spacing, 0.1 heights, per keypoint "
    "(AASCE 2019, images labelled twice)."
)

SOURCE_BAND = (
    "The band of the anatomical loss of the networks under test. 99.8 % of clean real AP vertebrae lie in "
    "it; L5 seen obliquely reaches 5.5 (AASCE 2019)."
)

LORDOSIS = (
    "Of a lordosis of 61° between L1 and S1 the discs L4/L5 and L5/S1 and the body of L5 make nearly 60 %, "
    "36° together (350 people without complaints; Damasceno et al., Acta Ortopédica Brasileira, 2006, "
    "doi:10.1590/S1413-78522006000400003)."
)

LUMBOSACRAL = (
    "The disc L5/S1 is wedged by 14.6° ± 3.4° (mean ± SD of 300 people; Onyemaechi, Evaluation of lumbar "
    "angles and their clinical correlates in a Nigerian population, Int J Res Med Sci, 2017)."
)

L5_BODY = (
    "L5 is 30.3 mm high in front, 26.3 mm behind and 35.5 mm deep (means of 196 people; Cook and Baker, Int "
    "J Spine Surg 15:1072, 2021): wedged by 6°, and 1.25 times as deep as high."
)

LA_BODY_WEDGE = (
    f"{L5_BODY} A severe fracture, grade 3, has lost more than 40 % of its height (Genant et al., J Bone "
    "Miner Res 8(9), 1993), which wedges such a body by 18° if it is lost on one side. The limit is a choice "
    "beyond that: four fifths of the height lost on one side."
)

LA_DISC_WEDGE = f"{LORDOSIS} The limit is a choice: one disc as wedged as those three together."

LA_SACRAL_WEDGE = f"{LUMBOSACRAL} The limit is a choice far beyond: three times the mean."

LA_LEANING = (
    "lordosis wedges discs more than bodies, and the value is half the difference of the wedges on either "
    f"side of an endplate. {LUMBOSACRAL} The limit is a choice: it leaves room for a difference of 40°."
)

LA_SACRAL_LEANING = (
    f"{LUMBOSACRAL} {LORDOSIS} L4/L5 is thus wedged by about as much. The limit is a choice far beyond what "
    "the two differ by: in patients either disc may have collapsed."
)

LA_SIZES = f"AP: {AASCE} LA: the AP limit is kept; no lateral set was at hand."

LA_SLIP = (
    "a slipped vertebra steps over by up to its whole depth (Meyerding grade IV), which moves this value by "
    f"half of that, 0.63 heights. {L5_BODY}"
)

LA_ALONE = (
    "a slip takes both corners of an endplate along and does not count here. The limit is a choice: two "
    "fifths of the depth of a body that is 1.25 times as deep as high (Cook and Baker, Int J Spine Surg "
    "15:1072, 2021)."
)

LA_SPACING = f"AP: {AASCE} LA: wider by a choice, for collapsed and fused levels; no lateral set was at hand."
