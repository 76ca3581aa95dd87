"""Networks as OpenVINO keeps them, in a cache folder of the user's: to convert one takes seconds, to read it hundredths of one.

A file is found by all it is made of (the weights themselves, the code that runs them, the libraries), so one of other
weights or of another version is never met. Nothing depends on the folder: what is missing, damaged, or cannot be written is
converted anew.
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, BinaryIO

import platformdirs

from ...imaging.guards.atomic import sweep, write_atomically
from ...imaging.guards.private import make_private_folder

log = logging.getLogger(__name__)

FOLDER = platformdirs.user_cache_path("ostensor", appauthor=False) / "networks"
MOST_BYTES = 256_000_000  # some 25 networks; the one read longest ago goes first
_MAGIC = b"ostensor network 1\n"
_HASH_BYTES = 32


def convert_to_openvino(found: Any, **given: Any) -> Any:
    """OpenVINO's `convert_model`; where it fails, it leaves the root logger deaf to warnings, which is undone."""
    import openvino

    root = logging.getLogger()
    level, filters, handlers = root.level, list(root.filters), list(root.handlers)
    try:
        return openvino.convert_model(found, **given)
    finally:
        root.setLevel(level)
        root.filters, root.handlers = filters, handlers


def converted(key: str, convert: Callable[[], Any], folder: Path = FOLDER) -> Any:
    """The OpenVINO model of a network: read from the folder, or made by `convert` and kept there.

    Args:
        key: of everything the model is made of, fit for a file's name.
    """
    path = folder / f"{key}.network"
    try:
        make_private_folder(folder)
        found = _read(path)
    except OSError as error:
        log.info("the cache of networks cannot be used: %s", type(error).__name__)
        return convert()
    if found is not None:
        return found
    model = convert()
    try:
        _write(path, model)
        _tidy(folder, path)
    except OSError as error:
        log.info("a converted network could not be kept: %s", type(error).__name__)
    return model


def _read(path: Path) -> Any | None:
    """The model of a file; None when there is none, or not as it was written."""
    import openvino

    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    start = len(_MAGIC) + _HASH_BYTES
    body = content[start + 8 :]
    if content[:start] != _MAGIC + hashlib.sha256(content[start:]).digest():
        log.warning("a converted network in the cache was damaged; it is made anew")
        return None
    os.utime(path)  # for `_tidy`
    length = int.from_bytes(content[start : start + 8], "little")
    return openvino.Core().read_model(body[:length], body[length:])


def _write(path: Path, model: Any) -> None:
    """One file: magic, sha256 of the rest, length of the graph, graph, weights in full precision."""
    import openvino

    with TemporaryDirectory() as passing:
        graph = Path(passing) / "network.xml"
        openvino.save_model(model, graph, compress_to_fp16=False)
        text, weights = graph.read_bytes(), graph.with_suffix(".bin").read_bytes()
    rest = len(text).to_bytes(8, "little") + text + weights

    def fill(file: BinaryIO) -> None:
        file.write(_MAGIC + hashlib.sha256(rest).digest())
        file.write(rest)

    write_atomically(path, fill)


def _tidy(folder: Path, newest: Path) -> None:
    """Remove what was read longest ago, until the rest has room, and what killed writers left."""
    sweep(folder)
    files = sorted(folder.glob("*.network"), key=lambda path: path.stat().st_mtime, reverse=True)
    size = newest.stat().st_size
    for path in files:
        if path == newest:
            continue
        size += path.stat().st_size
        if size > MOST_BYTES:
            path.unlink(missing_ok=True)
