"""Shares of several processes: everything once, no share much dearer than it has to be."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mahtdiag.engine.ranks import ranks_of, shares_of
from mahtdiag.errors import UsageError

COSTS = st.lists(st.integers(0, 10**6), max_size=60)


@given(COSTS, st.integers(1, 9))
def test_every_batch_is_in_one_share(costs: list[int], world: int) -> None:
    shares = shares_of(costs, world)
    assert len(shares) == world
    assert sorted(batch for share in shares for batch in share) == list(range(len(costs)))
    assert all(share == sorted(share) for share in shares)
    assert shares == shares_of(costs, world)


@given(st.lists(st.integers(1, 100), min_size=1, max_size=7), st.integers(2, 3))
def test_no_share_is_dearer_than_the_bound(costs: list[int], world: int) -> None:
    """Against every way of sharing there is."""
    best = min(
        max(sum(c for c, r in zip(costs, ranks, strict=True) if r == rank) for rank in range(world))
        for ranks in product(range(world), repeat=len(costs))
    )
    dearest = max(sum(costs[batch] for batch in share) for share in shares_of(costs, world))
    assert dearest <= best * (4 / 3 - 1 / (3 * world)) + 1e-9


def test_equal_costs_are_dealt_in_turn() -> None:
    assert shares_of([5.0] * 5, 2) == [[0, 2, 4], [1, 3]]
    assert shares_of([], 3) == [[], [], []]


WHOLE = {"RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"}


@pytest.mark.parametrize("size", [None, "", "1"])
def test_a_world_of_one_is_alone(size: str | None) -> None:
    assert ranks_of({**WHOLE, "WORLD_SIZE": size} if size is not None else {"RANK": "0"}) is None


@pytest.mark.parametrize("missing", ["RANK", "MASTER_ADDR", "MASTER_PORT"])
def test_one_of_several_that_does_not_know_the_others_is_refused(missing: str) -> None:
    """Each of them would do the whole work, and all would write."""
    told = rf"^WORLD_SIZE=2 without {missing}: .* torchrun, or unset WORLD_SIZE$"
    for environment in ({**WHOLE, missing: ""}, {n: v for n, v in WHOLE.items() if n != missing}):
        with pytest.raises(UsageError, match=told):
            ranks_of(environment)


def test_a_world_of_none_is_refused() -> None:
    with pytest.raises(UsageError, match=r"^WORLD_SIZE=0: no process at all"):
        ranks_of({**WHOLE, "WORLD_SIZE": "0"})


def test_a_number_that_is_none_is_refused() -> None:
    whole = {"RANK": "0", "WORLD_SIZE": "two", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"}
    with pytest.raises(UsageError, match="WORLD_SIZE=two"):
        ranks_of(whole)
