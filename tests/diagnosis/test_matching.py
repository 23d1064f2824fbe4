"""Images of two runs paired by content: whatever they are called, wherever they lie."""

from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mahtdiag.diagnosis.comparison import ListedImages, Matching, match_images

Row = tuple[str, str | None, bool]


def listed(*rows: Row, labels: dict[str, str] | None = None) -> ListedImages:
    """Images by name, content, and whether they were evaluated."""
    return ListedImages(
        names=[name for name, _, _ in rows],
        sha256=[sha256 for _, sha256, _ in rows],
        annotation_sha256=[(labels or {}).get(name) for name, _, _ in rows],
        evaluated=np.array([ok for _, _, ok in rows], dtype=np.bool_),
    )


def rows(matching: Matching) -> list[tuple[int, int]]:
    """Pairs of rows."""
    return list(zip(matching.a.tolist(), matching.b.tolist(), strict=True))


def test_content_decides_and_not_the_name() -> None:
    a = listed(("1.png", "x", True), ("2.png", "y", True))
    b = listed(("other/2.png", "x", True), ("other/9.png", "y", True))
    found = match_images(a, b)
    assert rows(found) == [(0, 0), (1, 1)]
    assert (found.only_a, found.only_b, found.changed) == ((), (), ())


def test_what_differs_is_named_by_its_kind() -> None:
    a = listed(("1", "x", True), ("2", "y", True), ("3", "z", True), ("5", "u", True))
    b = listed(("1", "x", True), ("2", "changed", True), ("4", "w", True), ("5", None, False))
    found = match_images(a, b)
    assert rows(found) == [(0, 0)]
    assert (found.only_a, found.only_b, found.changed) == (("3",), ("4",), ("2", "5"))
    assert found.only_a or found.only_b or found.changed
    turned = match_images(b, a)
    assert (turned.only_a, turned.only_b, turned.changed) == (("4",), ("3",), ("2", "5"))


def test_images_that_failed_are_told_apart() -> None:
    a = listed(("1", "x", True), ("2", "y", False), ("3", "z", True), ("4", "w", False), ("5", None, False))
    b = listed(("1", "x", False), ("2", "y", True), ("3", "z", True), ("4", "w", False), ("6", None, False))
    found = match_images(a, b)
    assert rows(found) == [(2, 2)]
    assert (found.failed_a, found.failed_b, found.failed_both) == (("2",), ("1",), ("4",))
    assert (found.only_a, found.only_b, found.changed) == ((), (), ())


def test_copies_of_one_image_are_paired_by_their_labels() -> None:
    a = listed(("1", "x", True), ("2", "x", True), ("3", "x", True), labels={"1": "p", "2": "q", "3": "q"})
    b = listed(("b", "x", True), ("c", "x", True), ("a", "x", True), labels={"a": "p", "b": "q", "c": "q"})
    assert rows(match_images(a, b)) == [(0, 2), (1, 0), (2, 1)]
    once = listed(("b", "x", True), labels={"b": "p"})
    found = match_images(a, once)
    assert (rows(found), found.only_a) == ([(0, 0)], ("2", "3"))


def test_nothing_in_common() -> None:
    found = match_images(listed(("1", "x", True)), listed())
    assert (rows(found), found.only_a) == ([], ("1",))


@given(st.lists(st.tuples(st.integers(0, 6), st.booleans()), max_size=12), st.randoms())
def test_pairs_against_a_search_of_all(contents: list[tuple[int, bool]], random: Random) -> None:
    a = [(f"a{i}", str(content), ok) for i, (content, ok) in enumerate(contents)]
    b = [(f"b{i}", str(content), True) for i, (content, _) in enumerate(contents) if random.random() < 0.7]
    random.shuffle(b)
    found = match_images(listed(*a), listed(*b))
    for i, j in rows(found):
        assert a[i][1] == b[j][1]
        assert a[i][2]
    for content in {row[1] for row in a + b}:
        in_a, in_b = ([row for row in side if row[1] == content] for side in (a, b))
        paired = sum(a[i][1] == content for i, _ in rows(found))
        failed = sum(a_name in {row[0] for row in in_a} for a_name in found.failed_a)
        assert paired + failed == min(len(in_a), len(in_b))
    assert len({j for _, j in rows(found)}) == len(found.b)


@pytest.mark.parametrize("seed", range(5))
def test_the_order_of_either_list_changes_nothing(seed: int) -> None:
    rng = np.random.default_rng(seed)
    a = [(f"{i}", f"{i % 17}", bool(rng.random() < 0.8)) for i in range(25)]
    b = [(f"x{i}", f"{i % 19}", bool(rng.random() < 0.8)) for i in range(25)]

    def pairs(order_a: list[int], order_b: list[int]) -> set[tuple[str, str]]:
        found = match_images(listed(*(a[i] for i in order_a)), listed(*(b[i] for i in order_b)))
        return {(a[order_a[i]][0], b[order_b[j]][0]) for i, j in rows(found)}

    straight = list(range(25))
    assert pairs(straight, straight) == pairs(rng.permutation(25).tolist(), rng.permutation(25).tolist())
