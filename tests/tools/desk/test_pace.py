"""Progress goes on between reports, by a clock of the test's own, and is the whole's whatever number of looks it takes."""

import threading
from itertools import pairwise

from ostensor.tools.desk.desk import Desk
from ostensor.tools.desk.job import Job
from ostensor.tools.desk.pace import ASIDE, Pace

from .test_jobs import until


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_the_share_goes_on_between_reports_and_never_back_or_past_the_next() -> None:
    clock = Clock()
    pace = Pace(clock)
    shown = [pace.share]
    for step in range(1, 11):
        for _ in range(40):  # ten seconds
            clock.now += 0.25
            shown.append(pace.share)
            assert shown[-1] < step / 10
        pace.report(step / 10, f"window {step} of 10")
        shown.append(pace.share)
    assert shown[-1] == 1.0
    assert all(later >= earlier for earlier, later in pairwise(shown))
    within_two_s = [later - earlier for earlier, later in zip(shown, shown[8:-1], strict=False)]
    assert min(within_two_s) > 1e-4, "what `get_job` shows has four digits"


def test_work_that_hangs_is_seen_to_hang() -> None:
    clock = Clock()
    pace = Pace(clock)
    pace.report(0.2, "a")
    clock.now += 1000
    stuck = pace.share
    clock.now += 1000
    assert pace.share == stuck < 1


def test_looks_on_the_side_count_for_the_whole(desk: Desk) -> None:
    """Four networks that nobody asked for by name come before the one that was: the whole moves with each."""
    told: list[float] = []
    job = Job.begun(desk, "job_1", lambda share, message: told.append(share), threading.Event())
    for _ in range(3):
        look = job.quiet()
        for share in (0.0, 0.5, 1.0):
            look.report(share, "looking")
    before = told[-1]
    assert abs(before - (1 - (1 - ASIDE) ** 3)) < 1e-9
    half = job.part(0.0, 0.5)
    half.report(1.0, "one of two")
    assert before < told[-1] < 1
    job.part(0.5, 1.0).quiet().report(1.0, "another look")
    job.part(0.5, 1.0).report(1.0, "two of two")
    assert told[-1] == 1.0
    assert told == sorted(told)


def test_another_process_sees_the_work_go_on_though_it_reports_nothing(desk: Desk) -> None:
    go, seen = threading.Event(), list[float]()

    def work(job_id: str, report: object, cancelled: threading.Event) -> dict[str, int]:
        assert go.wait(60)
        return {}

    with Desk(desk.settings) as other:
        job = desk.jobs.start("segment", {}, work)

        def moved() -> bool:
            seen.append(other.store.job(job).progress)
            return len(set(seen)) >= 3

        until(moved)
        go.set()
        assert other.jobs.wait(job, 60).state == "done"
    assert seen == sorted(seen)
