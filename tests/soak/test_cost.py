"""What a soak grants to faults: no more than they may cost."""

from __future__ import annotations

import pytest

from tests.soak.cost import Strike, most_again

FULL = "the disk is full"


@pytest.mark.parametrize(
    ("kind", "points"),
    [
        ("the manager is killed", 0),
        ("the controller is down", 0),
        ("the network is cut", 0),
        (FULL, 0),
        ("a job gets SIGTERM", 1),
        ("a job is requeued", 1),
        ("a job is killed", 12),
        ("a job is killed and requeued", 12),
        ("a node is lost", 80),
    ],
)
def test_each_kind_of_fault_has_its_price(kind, points):
    assert most_again([Strike(kind, 0.0, 2.0)], 40) == points
    assert most_again([Strike(kind, 0.0, 2.0)] * 3, 40) == 3 * points


def test_a_job_loses_no_more_than_its_learner_has():
    assert most_again([Strike("a job is killed", 0.0, 0.0)], 5) == 5


@pytest.mark.parametrize(("begin", "points"), [(0.0, 40), (13.0, 40), (20.0, 1)])
def test_who_ends_while_nothing_can_be_saved_may_lose_all(begin, points):
    strikes = [Strike("a job gets SIGTERM", 10.0, 10.0), Strike(FULL, begin, begin + 9.8)]
    assert most_again(strikes, 40) == points
