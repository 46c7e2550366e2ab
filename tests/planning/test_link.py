"""The link between replicas: how fast it is, and that a plan made over another one is none."""

import pytest
import torch

from hetlib.planning.link import Link, measured_link
from tests.planning import workers_link

FAST = (0.0, 1e12)  # seconds, bytes a second


def test_a_link_is_timed_from_delay_and_rate(team):
    replicas = team(1, 1)
    (fast, spent), (also, _) = replicas.run(workers_link.link_with_delay, *FAST)
    assert fast == also
    assert spent < 2  # 0.05 on an idle machine
    (slow, _), _ = replicas.run(workers_link.link_with_delay, 0.03, 1e7)
    assert slow.small >= 0.03
    assert slow.large >= 0.03 + 2**20 / 1e7
    assert slow.seconds(2**21) == pytest.approx(2 * slow.large - slow.small, rel=1e-3)


def test_one_process_has_no_link():
    assert measured_link(torch.device("cpu")) is None


@pytest.mark.parametrize(
    ("change", "planned_again"),
    [
        ((0.1, 1e12), True),  # another delay
        ((0.0, 1e7), True),  # another rate
        (FAST, False),
    ],
)
def test_a_plan_made_over_another_link_is_not_used(team, tmp_path, change, planned_again):
    replicas = team(1, 1)
    assert replicas.run(workers_link.planned_over, str(tmp_path), *FAST) == [True, True]
    again = replicas.run(workers_link.planned_over, str(tmp_path), *change)
    assert again == [planned_again, planned_again]
    assert len(list(tmp_path.iterdir())) == 1
    # what is kept is of the link of now
    assert replicas.run(workers_link.planned_over, str(tmp_path), *change) == [False, False]


LINK = Link(small=1e-3, large=1e-2)
MEGABYTE = 2**20


@pytest.mark.parametrize(
    ("other", "step", "differs"),
    [
        (LINK, 0.01, False),
        (Link(3e-3, 3e-2), 0.01, False),  # noise may be that large
        (Link(5e-3, 5e-2), 0.01, True),
        (Link(2e-4, 2e-3), 0.01, True),  # a faster one is another, too
        (Link(5e-3, 5e-2), 1.9, True),
        (Link(5e-3, 5e-2), 2.1, False),  # within a step nobody sees it
        (Link(5e-3, 1e-2), 0.01, False),  # of a large exchange the delay is a small part
    ],
)
def test_links_differ_where_a_step_would_by_more_than_noise(other, step, differs):
    assert LINK.differs(other, MEGABYTE, step) == differs
    assert other.differs(LINK, MEGABYTE, step) == differs


def test_of_two_measurements_the_faster_counts():
    assert LINK.or_faster(Link(2e-3, 5e-3)) == Link(1e-3, 5e-3)
    assert Link(2e-3, 1e-3).seconds(10**9) == pytest.approx(2e-3)  # no rate below none


@pytest.mark.parametrize("fields", [(0, 1.0), (1.0, -1.0), (float("nan"), 1.0), ("1", 1.0)])
def test_a_link_has_times(fields):
    with pytest.raises(ValueError, match=r"`(small|large)`"):
        Link(*fields)
