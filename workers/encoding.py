"""A resident process that turns words into vectors, so that the server never imports a language model.

Torch-free. Started on first use; one request at a time; a crash fails one request and the next starts it anew.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ..imaging.errors import BadCall, Failed, Unavailable
from . import encoding_host
from .process import KILL_AFTER_S, end_process, start_process

VERSION = 1
MINILM = "ostensor.models.text.fast:FastMiniLm"
_ERRORS: dict[str, type[Exception]] = {"bad_call": BadCall, "unavailable": Unavailable, "failed": Failed}
Vectors = npt.NDArray[np.float32]


@dataclass(frozen=True)
class EncodingOptions:
    """How the process works.

    Attributes:
        factory: "module:class" of a `models.text.TextEncoder`, made with `cache` and `threads` (a toy in tests).
        cache: folder where the encoder may keep what it makes of its weights, or None.
        threads: of the CPU; None leaves the library's choice.
        patience_s: how long one request may take before the process is killed.
    """

    factory: str = MINILM
    cache: Path | None = None
    threads: int | None = None
    patience_s: float = 120.0


class EncodingWorker:
    """The process and the line before it; may be called from many threads."""

    def __init__(self, options: EncodingOptions | None = None) -> None:
        self.options = options or EncodingOptions()
        self._turn = threading.Lock()
        self._process: BaseProcess | None = None
        self._connection: Connection | None = None

    @property
    def pid(self) -> int | None:
        """Process number, or None while there is none."""
        return self._process.pid if self._process is not None and self._process.is_alive() else None

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Vectors (n d) of the texts.

        Raises:
            BadCall: no texts.
            Unavailable: the encoder's weights are not here.
            Failed: the process crashed or took too long; the next call starts it anew.
        """
        if not texts:
            raise BadCall("There are no texts to encode. Give at least one.")
        with self._turn:
            connection = self._ensure()
            try:
                connection.send(encoding_host.EncodeRequest(tuple(texts), VERSION))
                if not connection.poll(self.options.patience_s):
                    raise TimeoutError
                reply = connection.recv()
            except (OSError, EOFError) as error:  # a TimeoutError is an OSError
                self._drop()
                raise Failed(
                    "The process that encodes words ended or took too long. Call again; it starts anew."
                ) from error
        if isinstance(reply, encoding_host.EncodeRefused):
            raise _ERRORS[reply.kind](reply.text)
        vectors: Vectors = np.frombuffer(reply.vectors, dtype=np.float32).reshape(len(texts), -1)
        return vectors

    def close(self) -> None:
        """End the process."""
        with self._turn:
            if self._connection is not None:
                with contextlib.suppress(OSError):
                    self._connection.send(None)
            if self._process is not None:
                self._process.join(timeout=KILL_AFTER_S)
            self._drop()

    def _ensure(self) -> Connection:
        if self._connection is not None and self._process is not None and self._process.is_alive():
            return self._connection
        self._drop()
        options = (self.options.factory, self.options.cache, self.options.threads)
        self._process, connection = start_process(encoding_host.main, options, "ostensor-encoder")
        self._connection = connection
        return connection

    def _drop(self) -> None:
        process, connection = self._process, self._connection
        self._process = self._connection = None
        end_process(process, connection)
