"""Spans from a tool's call to a network's window, for OpenTelemetry; nothing at all until `begin_tracing`.

A span bears names and numbers of ours: no handle, no path, no words of an error. Spans that the MCP library makes of each
message join the same trace, and pass the same rule on their way out.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

if TYPE_CHECKING:
    from .stages import Seen

log = logging.getLogger(__name__)

P = ParamSpec("P")
R = TypeVar("R")
GET = "The metrics extra is not installed: pip install 'ostensor[metrics]'."
_MCP_KEPT = frozenset({"mcp.method.name", "mcp.protocol.version", "gen_ai.operation.name", "error.type"})
_PLAIN = re.compile(r"[A-Za-z0-9_./-]{1,40}")
_provider: Any = None
_tracer: Any = None
_carried: ContextVar[str] = ContextVar("carried", default="")  # in a worker, which makes no spans of its own
_NOTHING: AbstractContextManager[None] = nullcontext()


def begin_tracing(version: str) -> bool:
    """Send spans from now on to where the standard OTEL_* variables say (OTLP over HTTP); false without the libraries.

    Resource, sampler, limits, headers and endpoint are read from these variables by OpenTelemetry itself.
    """
    try:
        from opentelemetry import trace
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        log.warning("OTEL_* variables ask for spans, but there are none. %s", GET)
        return False
    resource = Resource.create({"service.name": "ostensor", "service.version": version})
    named = Resource.create().attributes.get("service.name", "")
    if not str(named).startswith("unknown_service"):  # OTEL_SERVICE_NAME, or OTEL_RESOURCE_ATTRIBUTES, has one
        resource = resource.merge(Resource({"service.name": named}))
    provider = TracerProvider(resource=resource)
    provider.add_span_processor(BatchSpanProcessor(_only_ours(OTLPSpanExporter())))
    trace.set_tracer_provider(provider)
    use_provider(provider)
    return True


def use_provider(provider: Any) -> None:
    """Make spans with this provider of OpenTelemetry's; None makes none."""
    global _provider, _tracer
    _provider = provider
    _tracer = None if provider is None else provider.get_tracer("ostensor")


def end_tracing() -> None:
    """Send what waits."""
    if _provider is not None:
        _provider.shutdown()
        use_provider(None)


def span(name: str, **attributes: str | int | float | bool) -> AbstractContextManager[None]:
    """A span around a block; of an exception it tells the type."""
    return _NOTHING if _tracer is None else _span(name, attributes)


@contextmanager
def _span(name: str, attributes: dict[str, Any]) -> Iterator[None]:
    title = f"{name} {attributes['tool']}" if "tool" in attributes else name
    named = {f"ostensor.{key}": value for key, value in attributes.items()}
    options: dict[str, bool] = {"record_exception": False, "set_status_on_exception": False}
    with _tracer.start_as_current_span(title, attributes=named, **options) as made:
        try:
            yield
        except Exception as error:
            from opentelemetry.trace import StatusCode

            made.set_attribute("error.type", type(error).__name__)
            made.set_status(StatusCode.ERROR)
            raise


def traceparent() -> str:
    """The span under way as W3C writes it (Trace Context, "traceparent"), to carry elsewhere; "" where there is none."""
    if _tracer is None:
        return _carried.get()
    from opentelemetry.trace import get_current_span

    context = get_current_span().get_span_context()
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}" if context.is_valid else ""


def trace_id() -> str:
    """The trace under way, 32 hexadecimal digits; "" where there is none."""
    return traceparent()[3:35]


@contextmanager
def carried(parent: str) -> Iterator[None]:
    """In a worker: the block belongs to this trace, for its log lines."""
    token = _carried.set(parent)
    try:
        yield
    finally:
        _carried.reset(token)


def in_this_trace(function: Callable[P, R]) -> Callable[P, R]:
    """A function that, called in another thread, still belongs to the trace under way here."""
    if _tracer is None:
        return function
    from opentelemetry import context

    here = context.get_current()

    def called(*args: P.args, **options: P.kwargs) -> R:
        token = context.attach(here)
        try:
            return function(*args, **options)
        finally:
            context.detach(token)

    return called


def add_parts(seen: Seen) -> None:
    """What a worker saw, as spans below the one under way; windows are events of theirs."""
    if _tracer is None:
        return
    from opentelemetry.trace import get_current_span, set_span_in_context

    made: list[Any] = []
    for part in seen.parts:
        parent = get_current_span() if part.parent is None else made[part.parent]
        attributes = {"ostensor.windows": part.window_count} if part.window_count else {}
        one = _tracer.start_span(
            part.name, context=set_span_in_context(parent), start_time=part.begin_ns, attributes=attributes
        )
        for number, at in enumerate(part.windows):
            one.add_event("window", {"ostensor.window": number}, timestamp=at)
        made.append(one)
    for part, one in reversed(list(zip(seen.parts, made, strict=True))):
        one.end(end_time=part.end_ns)


def _only_ours(exporter: Any) -> Any:
    """An exporter before which spans of libraries lose their free words: messages, names of prompts and files."""
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.trace import Status

    def bare(one: Any) -> Any:
        if one.instrumentation_scope is not None and one.instrumentation_scope.name == "ostensor":
            return one
        method = one.name.split(" ", 1)[0]
        kept = {key: value for key, value in (one.attributes or {}).items() if key in _MCP_KEPT}
        return ReadableSpan(
            name=method if _PLAIN.fullmatch(method) else "other",
            context=one.context,
            parent=one.parent,
            resource=one.resource,
            attributes={key: value for key, value in kept.items() if _PLAIN.fullmatch(str(value))},
            kind=one.kind,
            status=Status(one.status.status_code),
            start_time=one.start_time,
            end_time=one.end_time,
            instrumentation_scope=one.instrumentation_scope,
        )

    class Bare(SpanExporter):
        def export(self, spans: Any) -> Any:
            return exporter.export([bare(one) for one in spans])

        def shutdown(self) -> None:
            exporter.shutdown()

        def force_flush(self, timeout_millis: int = 30_000) -> bool:
            return bool(exporter.force_flush(timeout_millis))

    return Bare()
