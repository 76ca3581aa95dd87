"""The figures as Prometheus reads them, by its own client library."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from ..imaging.errors import Unavailable
from .figures import FIGURES, QUICK_S
from .snapshots import Process, added_up
from .spans import GET


def exposed(found: Sequence[Process], accept: str = "") -> tuple[bytes, str]:
    """The text and its media type.

    Args:
        accept: the asker's header; OpenMetrics where it is asked for.

    Raises:
        Unavailable: the library is missing.
    """
    try:
        from prometheus_client import CollectorRegistry
        from prometheus_client.exposition import choose_encoder
    except ImportError:
        raise Unavailable(GET) from None
    registry = CollectorRegistry()
    registry.register(_Figures(found))
    encode, kind = choose_encoder(accept)
    return encode(registry), kind


class _Figures:
    """A collector of the client library's."""

    def __init__(self, found: Sequence[Process]) -> None:
        self.found = found

    def collect(self) -> Iterator[Any]:
        """Every figure; one that was never counted is there without a row."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

        total = added_up(self.found)
        kinds = {"counter": CounterMetricFamily, "gauge": GaugeMetricFamily}
        for name, figure in FIGURES.items():
            rows, labels = total.get(name, {}), list(figure.labels)
            if figure.kind == "histogram":
                bins = HistogramMetricFamily(name, figure.help, labels=labels)
                for values, (counts, seconds) in rows.items():
                    bins.add_metric(list(values), _buckets(counts), seconds)
                yield bins
                continue
            numbers = kinds[figure.kind](name, figure.help, labels=labels)
            for values, number in rows.items():
                numbers.add_metric(list(values), number)
            yield numbers
        yield self._processes(GaugeMetricFamily)

    def _processes(self, family: Any) -> Any:
        """How many processes are at work, by version: every server has this one."""
        made = family("ostensor_processes", PROCESSES, labels=["version"])
        for version in sorted({one.version for one in self.found}):
            made.add_metric([version], sum(one.is_at_work and one.version == version for one in self.found))
        return made


PROCESSES = "Server processes at work."


def _buckets(counts: Sequence[int]) -> list[tuple[str, float]]:
    """Upper ends and how many values are not above them."""
    ends = [*(f"{end:g}" if end != int(end) else f"{end:.1f}" for end in QUICK_S), "+Inf"]
    return [(end, float(sum(counts[: n + 1]))) for n, end in enumerate(ends)]
