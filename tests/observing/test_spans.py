"""Spans of ours in this process, and what becomes of those of libraries."""

import logging
import sys
import threading
from collections.abc import Iterator

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from ostensor.imaging.errors import BadCall
from ostensor.observing import spans
from ostensor.observing.calls import observed_call
from ostensor.observing.stages import Part, Seen


@pytest.fixture
def kept() -> Iterator[InMemorySpanExporter]:
    """Every span that is made and sent meanwhile."""
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans._only_ours(exporter)))
    spans.use_provider(provider)
    yield exporter
    spans.use_provider(None)


def by_name(kept: InMemorySpanExporter) -> dict[str, ReadableSpan]:
    return {one.name: one for one in kept.get_finished_spans()}


def test_an_error_is_told_by_its_kind_alone(kept: InMemorySpanExporter) -> None:
    with pytest.raises(BadCall), observed_call("segment"):
        raise BadCall("Unknown image 'img_doe_jane'.")
    made = by_name(kept)["tool segment"]
    assert dict(made.attributes or {}) == {"ostensor.tool": "segment", "error.type": "BadCall"}
    assert (made.status.status_code, made.status.description, made.events) == (StatusCode.ERROR, None, ())


def test_a_job_in_another_thread_belongs_to_the_call(kept: InMemorySpanExporter) -> None:
    def work() -> None:
        with spans.span("worker", device="cpu"):
            pass

    with spans.span("tool", tool="segment"):
        thread = threading.Thread(target=spans.in_this_trace(work))
        thread.start()
        thread.join()
    made = by_name(kept)
    assert made["worker"].parent is not None
    assert made["worker"].parent.span_id == made["tool segment"].context.span_id


def test_parts_of_a_worker_lie_below_the_span_that_asked(kept: InMemorySpanExporter) -> None:
    parts = (Part("network", 10, 90, None, 0.0, (30, 60), 2), Part("preprocess", 10, 20, 0, 0.0))
    with spans.span("worker", device="cpu"):
        assert spans.traceparent().startswith("00-")
        spans.add_parts(Seen(parts))
        trace = spans.trace_id()
    made = by_name(kept)
    assert made["network"].parent.span_id == made["worker"].context.span_id
    assert made["preprocess"].parent.span_id == made["network"].context.span_id
    assert (made["network"].start_time, made["network"].end_time) == (10, 90)
    assert [(event.name, event.timestamp) for event in made["network"].events] == [("window", 30), ("window", 60)]
    assert {f"{one.context.trace_id:032x}" for one in made.values()} == {trace}


def test_spans_of_a_library_lose_their_free_words(kept: InMemorySpanExporter) -> None:
    """A name of a prompt, a message and an exception may hold anything."""
    assert spans._provider is not None
    tracer = spans._provider.get_tracer("mcp-python-sdk")
    with pytest.raises(ValueError), tracer.start_as_current_span("prompts/get Doe Jane") as one:  # noqa: PT011, PT012
        one.set_attribute("mcp.method.name", "prompts/get")
        one.set_attribute("gen_ai.prompt.name", "Doe Jane")
        raise ValueError("Doe Jane was born 1970")
    with tracer.start_as_current_span("Jane,Doe"):
        pass
    first, second = kept.get_finished_spans()
    assert (first.name, second.name) == ("prompts/get", "other")
    assert dict(first.attributes or {}) == {"mcp.method.name": "prompts/get"}
    assert (first.events, first.status.description) == ((), None)
    assert first.status.status_code is StatusCode.ERROR


def test_without_tracing_nothing_is_made() -> None:
    def work() -> None: ...

    assert spans.span("tool", tool="segment") is spans.span("worker")
    assert spans.in_this_trace(work) is work
    assert spans.traceparent() == ""


def test_a_worker_carries_the_trace_for_its_log() -> None:
    with spans.carried("00-" + "ab" * 16 + "-" + "cd" * 8 + "-01"):
        assert spans.trace_id() == "ab" * 16
    assert spans.trace_id() == ""


def test_without_the_library_the_log_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    with caplog.at_level(logging.WARNING):
        assert not spans.begin_tracing("1")
    assert "pip install 'ostensor[metrics]'" in caplog.text
