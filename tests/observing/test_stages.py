"""Where a worker's time goes: parts lie in each other, and their own seconds add up."""

import pytest

from ostensor.observing import stages
from ostensor.observing.counts import HERE
from ostensor.observing.seen import count_seen
from ostensor.observing.stages import MOST_SPANS, MOST_STEPS, Kept, note, stage, staged, watching, window_done


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Nanoseconds, set by the test."""
    now = [1_000]
    monkeypatch.setattr(stages.time, "time_ns", lambda: now[0])
    monkeypatch.setattr(stages.time, "perf_counter_ns", lambda: now[0])
    return now


def test_own_seconds_are_without_the_parts_inside(clock: list[int]) -> None:
    """By hand: 10 s of network, 3 s of which are preparation, in which loading takes 1 s."""

    @staged("preprocess")
    def prepare(word: str) -> str:
        clock[0] += 2_000_000_000
        with stage("load"):
            clock[0] += 1_000_000_000
        return word.upper()

    with watching() as watch:
        with stage("network"):
            clock[0] += 1_000_000_000
            assert prepare("ct") == "CT"
            window_done()
            clock[0] += 6_000_000_000
            window_done()
        seen = watch.seen(None)
    assert [(part.name, part.parent, part.own_s) for part in seen.parts] == [
        ("network", None, 7.0),
        ("preprocess", 0, 2.0),
        ("load", 1, 1.0),
    ]
    assert seen.parts[0].windows == (4_000_001_000, 10_000_001_000)
    assert sum(part.own_s for part in seen.parts) == 10.0


def test_without_a_watch_a_stage_is_nothing() -> None:
    with stage("network"):
        window_done()
        note(features_hit=True, fallback="half")
    with watching() as watch:
        pass
    assert watch.seen(None).parts == ()


def test_many_parts_and_windows_are_cut_and_windows_still_counted() -> None:
    with watching() as watch:
        with stage("network"):
            for _ in range(5 * MOST_STEPS):
                window_done()
        for _ in range(2 * MOST_SPANS):
            with stage("post"):
                pass
        seen = watch.seen(None)
    assert len(seen.parts) == MOST_SPANS
    assert (len(seen.parts[0].windows), seen.parts[0].window_count) == (MOST_STEPS, 5 * MOST_STEPS)


def test_a_part_that_raises_is_ended() -> None:
    with watching() as watch:
        with pytest.raises(ZeroDivisionError), stage("network"), stage("preprocess"):
            raise ZeroDivisionError
        with stage("post"):
            pass
    assert [part.parent for part in watch.seen(None).parts] == [None, 0, None]
    assert all(part.end_ns >= part.begin_ns for part in watch.seen(None).parts)


def test_what_was_seen_is_counted() -> None:
    before = {
        "half": HERE.value("ostensor_fallbacks_total", way="half"),
        "hit": HERE.value("ostensor_cache_lookups_total", cache="features", outcome="hit"),
        "post": HERE.value("ostensor_stage_seconds", stage="post"),
        "windows": HERE.value("ostensor_windows_total"),
    }
    with watching() as watch:
        with stage("post"):
            window_done()
        note(features_hit=True)
        note(fallback="half")
        seen = watch.seen(Kept(models=7, features=5, models_most=11, features_most=13))
    count_seen(seen, "cuda:3")
    assert HERE.value("ostensor_fallbacks_total", way="half") == before["half"] + 1
    assert HERE.value("ostensor_cache_lookups_total", cache="features", outcome="hit") == before["hit"] + 1
    assert HERE.value("ostensor_stage_seconds", stage="post") == before["post"] + 1
    assert HERE.value("ostensor_windows_total") == before["windows"] + 1
    assert HERE.value("ostensor_worker_cache_bytes", device="cuda:3", cache="features") == 5
    assert HERE.value("ostensor_worker_cache_budget_bytes", device="cuda:3", cache="models") == 11
