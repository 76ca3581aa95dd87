"""A collector of spans on this machine: what OTLP over HTTP sends, decoded by OpenTelemetry's own messages."""

import gzip
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


@dataclass
class Collected:
    """Every span that came, and the attributes of who sent them."""

    port: int = 0
    spans: list[Any] = field(default_factory=list)
    senders: list[dict[str, str]] = field(default_factory=list)
    raw: bytes = b""

    def named(self, name: str) -> Any:
        """The only span of a name."""
        (found,) = [one for one in self.spans if one.name == name]
        return found


@contextmanager
def collecting() -> Iterator[Collected]:
    """A collector until the block ends."""
    collected = Collected()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            body = gzip.decompress(body) if self.headers.get("content-encoding") == "gzip" else body
            collected.raw += body
            request = ExportTraceServiceRequest.FromString(body)
            for resource in request.resource_spans:
                collected.senders.append({one.key: one.value.string_value for one in resource.resource.attributes})
                collected.spans += [span for scope in resource.scope_spans for span in scope.spans]
            self.send_response(200)
            self.end_headers()

        def log_message(self, *words: Any) -> None:
            del words

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    collected.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield collected
    finally:
        server.shutdown()
        server.server_close()
        thread.join(timeout=10)
