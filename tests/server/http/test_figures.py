"""`/metrics` and `/status`: off unless asked for, true to what was done, of every process, and silent about people and scans."""

import json
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from ostensor.observing.figures import FIGURES
from ostensor.tools.desk.desk import Desk

from ...tools.desk.test_jobs import until
from ...toys.http_toys import Site, scan_bytes, served, site, token
from .test_processes import program, serving

__all__ = ["site", "token"]  # fixtures

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def scraped(site: Site) -> Samples:
    """What Prometheus' own reader makes of the text."""
    answer = site.request("GET", "/metrics")
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/plain; version=")
    found = {}
    for family in text_string_to_metric_families(answer.text):
        for sample in family.samples:
            found[sample.name, frozenset(sample.labels.items())] = sample.value
    return found


def value(samples: Samples, name: str, **labels: str) -> float:
    return samples.get((name, frozenset(labels.items())), 0.0)


@pytest.fixture
def watched(desk: Desk) -> Iterator[Site]:
    with served(desk, metrics=True) as made:
        yield made


def test_without_the_setting_there_is_nothing(site: Site) -> None:
    assert site.request("GET", "/metrics").status_code == 404
    assert site.request("GET", "/status").status_code == 404


def test_the_figures_are_what_was_done(watched: Site) -> None:
    """Differences by hand: one scan opened, two looks at it of which one has the features, one bad call, one answer kept."""
    before = scraped(watched)
    image = watched.ask(None, "open_image", path="ct.nii.gz").structured_content["image_id"]
    watched.ask(None, "segment", image_id=image, structures=["liver"], wait_s=60)
    watched.ask(None, "segment", image_id=image, structures=["spleen"], wait_s=60)
    watched.ask(None, "segment", image_id=image, structures=["liver"], wait_s=60)
    assert watched.ask(None, "segment", image_id="img_none", structures=["liver"]).is_error
    until(lambda: watched.request("GET", "/status").json()["processes"][0]["counts"]["running"] == [])
    after = scraped(watched)

    def more(name: str, **labels: str) -> float:
        return value(after, name, **labels) - value(before, name, **labels)

    assert more("ostensor_calls_total", tool="open_image", outcome="ok") == 1
    assert more("ostensor_calls_total", tool="segment", outcome="ok") == 3
    assert more("ostensor_calls_total", tool="segment", outcome="bad_call") == 1
    assert more("ostensor_call_seconds_count", tool="segment") == 4
    assert more("ostensor_call_seconds_bucket", tool="segment", le="+Inf") == 4
    assert more("ostensor_cache_lookups_total", cache="answers", outcome="hit") == 1
    assert more("ostensor_cache_lookups_total", cache="answers", outcome="miss") == 2
    assert more("ostensor_cache_lookups_total", cache="features", outcome="hit") == 1
    assert more("ostensor_cache_lookups_total", cache="features", outcome="miss") == 1
    assert more("ostensor_cache_lookups_total", cache="home", outcome="hit") == 1
    assert more("ostensor_queue_seconds_count", kind="people") == 2
    assert more("ostensor_stage_seconds_count", stage="network") == 1
    assert more("ostensor_stage_seconds_count", stage="open") == 1
    assert more("ostensor_jobs_ended_total", state="done") == 3
    assert more("ostensor_jobs_running") == 0
    assert value(after, "ostensor_calls_running") == 0
    assert value(after, "ostensor_memory_bytes", process="worker", device="cpu") > 1e7
    assert value(after, "ostensor_worker_cache_bytes", device="cpu", cache="features") == 61 * 53 * 29 * 2
    assert value(after, "ostensor_worker_cache_budget_bytes", device="cpu", cache="features") == 2e9


def test_no_name_of_a_caller_a_file_or_a_handle_is_told(desk: Desk, token: str) -> None:
    """Also where a call fails with them in its words."""
    with served(desk, auth="tokens", metrics=True) as site:
        name = "doe_jane_19700101.nii.gz"
        sent = site.request("POST", "/upload", token, content=scan_bytes(), params={"name": name}).json()
        site.ask(token, "segment", image_id=sent["image_id"], structures=["liver"], wait_s=60)
        site.ask(token, "open_image", path="/srv/doe_jane")
        told = site.request("GET", "/metrics").text + site.request("GET", "/status").text
    (owner,) = [folder.name for folder in (desk.store.folder / "callers").iterdir()]
    for word in ("doe", "jane", "19700101", "img_", "msk_", "job_", "ada", owner, token, str(desk.store.folder)):
        assert word not in told.lower(), word


def test_a_caller_that_asks_too_often_is_counted(desk: Desk) -> None:
    with served(desk, per_minute=4, metrics=True) as site:
        before = value(scraped(site), "ostensor_refusals_total", reason="rate")
        answers = [site.request("GET", "/files/none").status_code for _ in range(4)]
        until(lambda: value(scraped(site), "ostensor_refusals_total", reason="rate") > before)
        assert value(scraped(site), "ostensor_refusals_total", reason="rate") - before == answers.count(429)
        assert 429 in answers


def test_a_foreign_name_or_page_gets_no_figures(watched: Site) -> None:
    assert watched.request("GET", "/metrics", headers={"Host": "evil.example"}).status_code == 421
    assert watched.request("GET", "/metrics", headers={"Origin": "https://evil.example"}).status_code == 403


def test_every_figure_is_there_from_the_start(watched: Site) -> None:
    """A board's query of a figure that was never counted is empty, not unknown."""
    text = watched.request("GET", "/metrics").text
    for name, figure in FIGURES.items():
        assert f"# TYPE {name} {figure.kind}" in text


def test_without_the_library_the_answer_says_how_to_get_it(watched: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "prometheus_client"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    answer = watched.request("GET", "/metrics")
    assert answer.status_code == 501
    assert "pip install 'ostensor[metrics]'" in answer.text
    assert watched.request("GET", "/status").status_code == 200
    assert watched.request("GET", "/healthz").status_code == 200


@pytest.mark.slow
def test_several_processes_have_one_sum_that_never_falls(tmp_path: Path, root: Path) -> None:
    """Whichever process is asked, while calls go on and after one of them has died."""
    import psutil

    with program(tmp_path, root, workers=2, metrics=True, per_minute=60_000, drain_s=0.5) as (site, process):
        workers = until(lambda: serving(process.pid, site.port), 60)
        counted: list[float] = []
        stop = threading.Event()

        def ask() -> None:
            while not stop.is_set():
                site.ask(None, "list_models", mode="legacy")

        def look() -> float:
            counted.append(value(scraped(site), "ostensor_calls_total", tool="list_models", outcome="ok"))
            return counted[-1]

        threads = [threading.Thread(target=ask) for _ in range(3)]
        for one in threads:
            one.start()
        until(lambda: look() >= 20, 60)
        stop.set()
        for one in threads:
            one.join()
        files = [json.loads(path.read_text()) for path in (tmp_path / "store" / "observed").glob("*.json")]
        assert {one["pid"] for one in files} == set(workers)
        assert {one["server"] for one in files} == {process.pid}
        alone = {one["pid"]: sum(row[1] for row in one["counts"]["numbers"]["ostensor_calls_total"]) for one in files}
        assert len([number for number in alone.values() if number]) == 2, "both were asked"
        until(lambda: look() >= sum(alone.values()), 10)
        before = counted[-1]
        psutil.Process(workers[0]).kill()
        until(lambda: len(serving(process.pid, site.port)) == 2, 60)
        assert look() >= before
        assert counted == sorted(counted)
