"""How much of what should be found is found: structures by phrasing, passages by channel.

A phrasing file is tab-separated: phrasing, expected (canonical structure), kind, half. A query file is tab-separated: query, expected (canonical structure), kind. A passage is relevant when it is about the
expected structure. Recall at k is the share of relevant passages among the first k, of the most that could be there.
"""

from __future__ import annotations

import csv
import statistics
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter, thread_time

from ..anatomy.structures import StructureTable
from .search import Channel, Retriever


@dataclass(frozen=True)
class Query:
    """A query and the structure its passages should be about."""

    text: str
    expected: str
    kind: str


@dataclass(frozen=True)
class Recall:
    """Means over queries, in [0, 1], and the median time of one query.

    Attributes:
        recall: share of relevant passages among the first k, of min(k, all relevant ones).
        hit: share of queries with at least one relevant passage among the first k.
    """

    channel: Channel
    kind: str
    queries: int
    recall: float
    hit: float
    median_ms: float


@dataclass(frozen=True)
class Resolved:
    """How many phrasings of a kind find the expected structure first and above the threshold.

    Attributes:
        median_ms, slowest_ms: processor time of one look-up, which a busy machine does not lengthen.
    """

    kind: str
    phrasings: int
    right: int
    median_ms: float
    slowest_ms: float


def resolve_phrasings(table: StructureTable, file: Path) -> list[Resolved]:
    """One line per kind, per half, and over all."""
    with file.open(encoding="utf-8", newline="") as lines:
        asked = list(csv.DictReader(lines, delimiter="\t"))
    table.find("warm up what is built on first use")
    right: dict[str, list[bool]] = defaultdict(list)
    times: dict[str, list[float]] = defaultdict(list)
    for line in asked:
        started = thread_time()
        found = table.find(line["phrasing"], 3)
        took = (thread_time() - started) * 1000
        for kind in (line["kind"], f"half: {line['half']}", "all"):
            right[kind].append(bool(found) and found[0][0].name == line["expected"])
            times[kind].append(took)
    return [
        Resolved(kind, len(right[kind]), sum(right[kind]), statistics.median(times[kind]), max(times[kind]))
        for kind in sorted(right, key=lambda kind: (kind == "all", kind.startswith("half"), kind))
    ]


def read_queries(file: Path) -> tuple[Query, ...]:
    """The queries of a file."""
    with file.open(encoding="utf-8", newline="") as lines:
        return tuple(
            Query(line["query"], line["expected"], line["kind"]) for line in csv.DictReader(lines, delimiter="\t")
        )


def evaluate(retriever: Retriever, queries: tuple[Query, ...], k: int = 10) -> list[Recall]:
    """One line per channel and kind, and per channel over all.

    Raises:
        ValueError: no passage is about a query's expected structure.
    """
    relevant = Counter(passage.structure for passage in retriever.passages)
    unknown = [query.expected for query in queries if not relevant[query.expected]]
    if unknown:
        raise ValueError(f"No passage is about '{unknown[0]}'. Expected names must be structures of the corpus.")
    retriever.search(queries[0].text)  # the first query warms what starts on first use
    return [line for channel in retriever.channels for line in _of_channel(retriever, queries, k, channel, relevant)]


def _of_channel(
    retriever: Retriever, queries: tuple[Query, ...], k: int, channel: Channel, relevant: Counter[str]
) -> list[Recall]:
    recalls, times = [], []
    for query in queries:
        started = perf_counter()
        found = retriever.search(query.text, k, channel=channel)
        times.append((perf_counter() - started) * 1000)
        right = sum(one.passage.structure == query.expected for one in found)
        recalls.append(right / min(k, relevant[query.expected]))
    lines = []
    for kind in (*dict.fromkeys(query.kind for query in queries), "all"):
        chosen = [n for n, query in enumerate(queries) if kind in (query.kind, "all")]
        mean = statistics.fmean(recalls[n] for n in chosen)
        hit = statistics.fmean(recalls[n] > 0 for n in chosen)
        lines.append(Recall(channel, kind, len(chosen), mean, hit, statistics.median(times[n] for n in chosen)))
    return lines
