"""What a worker saw of a request, counted and traced where it was asked."""

from __future__ import annotations

from .counts import HERE
from .spans import add_parts
from .stages import Seen


def count_seen(seen: Seen, device: str) -> None:
    """Count the parts of a request, and make spans of them below the one under way.

    Args:
        device: of the worker that did it.
    """
    add_parts(seen)
    for part in seen.parts:
        HERE.observe("ostensor_stage_seconds", part.own_s, stage=part.name)
    windows = sum(part.window_count for part in seen.parts)
    if windows:
        HERE.add("ostensor_windows_total", windows)
    if seen.features_hit is not None:
        outcome = "hit" if seen.features_hit else "miss"
        HERE.add("ostensor_cache_lookups_total", cache="features", outcome=outcome)
    if seen.fallback:
        HERE.add("ostensor_fallbacks_total", way=seen.fallback)
    if (kept := seen.kept) is not None:
        HERE.put("ostensor_worker_cache_bytes", kept.models, device=device, cache="models")
        HERE.put("ostensor_worker_cache_bytes", kept.features, device=device, cache="features")
        HERE.put("ostensor_worker_cache_budget_bytes", kept.models_most, device=device, cache="models")
        HERE.put("ostensor_worker_cache_budget_bytes", kept.features_most, device=device, cache="features")
