"""The simulated day: what must hold of it whatever the figures are."""

import numpy as np
import pytest

from ostensor.benchmarks.scale.costs import Costs
from ostensor.benchmarks.scale.day import Day, Policy, Serving, simulate
from ostensor.benchmarks.scale.page import _least, _reckoned

DAY = Day(users=20, scans=200, batch_share=0.25, batches=2, words=3, think_s=20.0)
SERVING = Serving(first_s=10.0, further_s=0.5, kept=4)


@pytest.mark.parametrize("policy", ["first come", "ours"])
def test_every_question_is_answered_and_none_sooner_than_it_takes(policy: Policy) -> None:
    seen = simulate(DAY, SERVING, 8, policy)
    assert (len(seen.first), len(seen.further), len(seen.batch)) == (150, 450, 50)
    rounding = 1e-9
    assert min(seen.first + seen.batch) >= SERVING.first_s - rounding
    assert min(seen.further) >= SERVING.further_s - rounding
    assert seen.looks >= DAY.scans
    assert seen.busy_s == pytest.approx(
        seen.looks * SERVING.first_s + (len(seen.first + seen.further + seen.batch) - seen.looks) * SERVING.further_s
    )
    assert simulate(DAY, SERVING, 8, policy) == seen, "the same seed, the same day"


def test_one_worker_alone_serves_people_before_the_batch_that_came_first() -> None:
    """M/D/1-like load: with everything at once, a person waits for what runs, not for the batch."""
    crowd = Day(users=5, scans=60, batch_share=0.9, batches=1, words=0, think_s=1.0)
    ours, plain = (simulate(crowd, Serving(300.0, 300.0, 4), 1, policy) for policy in ("ours", "first come"))
    assert np.mean(ours.first) < np.mean(plain.first)
    assert len(ours.batch) == len(plain.batch) == 54


def test_further_questions_find_their_worker() -> None:
    ours, plain = (simulate(DAY, SERVING, 8, policy) for policy in ("ours", "first come"))
    assert np.percentile(ours.further, 90) == pytest.approx(SERVING.further_s)
    assert np.percentile(plain.further, 50) > SERVING.first_s - 1e-9
    assert ours.looks < 0.7 * plain.looks


def test_loads_are_sums_anyone_can_check() -> None:
    day = Day(users=1, scans=3600, batch_share=0.0, words=1, peak=2.0)
    assert _least(day, Serving(9.0, 1.0, 4)) == pytest.approx(2.0), "3600 x 10 s in 36,000 s, twice at the busiest"
    costs = Costs(1.0, 9.0, 1.0, 0.25, 0.75, file_bytes=10**8, image_bytes=10**8, mask_bytes=0)
    told = _reckoned(costs, day)
    assert "0.36 TB come in (10 MB/s" in told
    assert "3 core hours" in told
