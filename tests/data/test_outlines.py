"""Lines that join keypoints, in files for annotation tools and over radiographs."""

import pytest

from mahtdiag.data.outgoing import outlines
from mahtdiag.reports.overlay.scene import edges
from mahtdiag.schema.skeleton import Skeleton
from tests.anatomy.spines import ANY_SKELETON, SHORT


@pytest.mark.parametrize("skeleton", [*ANY_SKELETON, *SHORT], ids=str)
def test_each_body_is_gone_round_and_an_endplate_by_itself_is_a_line(skeleton: Skeleton) -> None:
    names = skeleton.keypoint_names
    around = [("UL", "UR"), ("UR", "LR"), ("LR", "LL"), ("LL", "UL")]
    expected = {frozenset((f"{v} {a}", f"{v} {b}")) for v in skeleton.bodies for a, b in around}
    if skeleton.first_endplate:
        expected.add(frozenset(("C2 LL", "C2 LR")))
    if skeleton.last_endplate:
        expected.add(frozenset(("S1 UL", "S1 UR")))
    for pairs in (outlines(skeleton), edges(skeleton).tolist()):
        joined = [frozenset((names[a], names[b])) for a, b in pairs]
        assert set(joined) == expected
        assert len(joined) == len(expected)
