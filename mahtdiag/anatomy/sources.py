"""Where the default limits come from, in the words that `--explain` prints."""

BY_DEFINITION = "Follows from what the keypoints mean; no clean real annotation breaks it."

AASCE = (
    "Near or beyond the 99.9th percentile of L1–L5 in clean real AP radiographs (AASCE 2019, 2,150 vertebrae "
    "of 430 images; benchmarks/label_audit.py)."
)

READERS = (
    "Two readers of one radiograph differ by about 7 % of the vertebra spacing, 0.1 heights, per keypoint "
    "(AASCE 2019, images labelled twice)."
)

SOURCE_BAND = "The band of the anatomical loss of the networks under test; clean real AP vertebrae: 1.0–4.2."

DAMASCENO = (
    "Lordosis wedges the discs: L4/L5 up to about 25°, L5/S1 up to about 30° in people without complaints "
    "(Damasceno et al., Acta Ortopédica Brasileira 14:193, 2006; Vialle et al., J Bone Joint Surg Am 87:260, "
    "2005). Kept wide."
)

LA_WIDE = (
    "L5 itself is wedged by about 10° and a compression fracture by up to 30° (Vialle et al., J Bone Joint "
    "Surg Am 87:260, 2005; Genant et al., J Bone Miner Res 8:1137, 1993). Kept wide: set without a lateral "
    "set at hand."
)

PANJABI = (
    f"AP: {AASCE} LA: depth and height of neighbouring lumbar bodies differ by less than a tenth (Panjabi et "
    "al., Spine 17:299, 1992); the AP limit is kept."
)

LA_SLIP = (
    "a slipped vertebra steps over by up to its whole depth (Meyerding grade IV), which moves this value by "
    "half of that, 0.65 heights (depth/height of lumbar bodies about 1.3: Panjabi et al., 1992)."
)
