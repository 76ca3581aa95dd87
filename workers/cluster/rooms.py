"""How much of a node a model's replica gets, and how many requests a cluster takes at once. Knows neither Ray nor torch."""

from __future__ import annotations

from collections.abc import Sequence

from ...imaging.errors import BadCall, Unavailable
from ..devices import Device
from .messages import Facts, Room

SHARES = (0.125, 0.25, 0.5, 1.0)  # of a card
_LEAST_MB = 512
_MOST_THREADS = 4  # of a replica where the operator said nothing: more of one request gains little


def slots_of(
    facts: Facts, device: str, *, threads: int | None, budget_mb: int | None, replicas: int | None
) -> list[Device]:
    """Places for requests that run at once: one for each card, or for each `threads` processors.

    Args:
        device: "cpu", "cuda", or "auto" (cards where there are some).
        budget_mb: what one request may need; None does not limit it further than a card does.
        replicas: how many places instead.

    Raises:
        BadCall: a device of one machine.
        Unavailable: cards are asked for and the cluster has none.
    """
    if device not in ("cpu", "cuda", "auto"):
        raise BadCall(f"--device '{device}' names devices of one machine. With --workers ray… use cpu, cuda or auto.")
    if device == "cuda" and not facts.gpus:
        raise Unavailable("The Ray cluster has no GPU. Use --device cpu, or start its nodes with --num-gpus.")
    if device == "cpu" or not facts.gpus:
        count = int(facts.cpus // threads_of(facts, threads))
        return [Device("cpu", budget_mb)] * max(1, replicas or count)
    limits = [limit for limit in (facts.card_mb, budget_mb) if limit is not None]
    return [Device("cuda", min(limits, default=None))] * max(1, replicas or int(facts.gpus))


def threads_of(facts: Facts, threads: int | None) -> int:
    """Processors a replica works with."""
    return threads or max(1, min(_MOST_THREADS, int(facts.node_cpus)))


def room_of(slots: Sequence[Device], facts: Facts, memory_mb: int) -> Room:
    """The least share of a card, or the least power of two of memory, that holds an estimate.

    Steps, so that requests of like size share replicas. A card whose memory nobody tells is taken whole.
    """
    if slots[0].name == "cpu":
        return Room(0.0, _LEAST_MB * 2 ** max(0, -(-memory_mb // _LEAST_MB) - 1).bit_length())
    if facts.card_mb is None:
        return Room(1.0, 0)
    return Room(next((share for share in SHARES if memory_mb <= share * facts.card_mb), 1.0), 0)
