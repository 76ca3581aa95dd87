"""The process that holds a text encoder: texts in, float32 vectors out."""

from __future__ import annotations

import importlib
import logging
import os
import signal
import sys
import warnings
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from ..imaging.errors import BadCall, Unavailable
from .protocol import ErrorKind

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class EncodeRequest:
    """Texts to encode."""

    texts: tuple[str, ...]
    version: int


@dataclass(frozen=True)
class EncodeReply:
    """Vectors (n d), float32, row by row."""

    vectors: bytes


@dataclass(frozen=True)
class EncodeRefused:
    """Why there are none; fit for the user."""

    kind: ErrorKind
    text: str


def main(connection: Connection, factory: str, cache: Path | None, threads: int | None) -> None:
    """Answer requests from `connection` until told None or left alone."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if threads:
        os.environ["OMP_NUM_THREADS"] = str(threads)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    os.dup2(sys.stderr.fileno(), 1)  # standard output may be somebody's protocol
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="encoder %(levelname)s %(message)s")
    warnings.simplefilter("ignore")  # the transformers library's deprecations are not the user's
    encoder: Any = None
    while True:
        try:
            request = connection.recv()
        except (EOFError, OSError):  # the parent is gone
            return
        if request is None:
            return
        try:
            encoder = encoder or _loaded(factory, cache, threads)
            reply: EncodeReply | EncodeRefused = EncodeReply(_vectors(encoder, request.texts))
        except BadCall as error:
            reply = EncodeRefused("bad_call", str(error))
        except Unavailable as error:
            reply = EncodeRefused("unavailable", str(error))
        except Exception as error:
            log.exception("encoding failed")
            reply = EncodeRefused("failed", f"Encoding failed ({type(error).__name__}). The log has the details.")
        connection.send(reply)


def _loaded(factory: str, cache: Path | None, threads: int | None) -> Any:
    module, _, name = factory.partition(":")
    return getattr(importlib.import_module(module), name)(cache=cache, threads=threads)


def _vectors(encoder: Any, texts: tuple[str, ...]) -> bytes:
    return np.ascontiguousarray(encoder.encode(list(texts)), dtype=np.float32).tobytes()
