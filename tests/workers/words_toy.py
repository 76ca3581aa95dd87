"""A text encoder without weights. Some texts misbehave on purpose."""

import os
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ostensor.imaging.errors import Unavailable
from ostensor.models.text.encoders import HashedWords


class ToyWords:
    def __init__(self, cache: Path | None, threads: int | None) -> None:
        self.words = HashedWords(19)

    def encode(self, terms: Sequence[str]) -> np.ndarray:
        if "die" in terms:
            os.kill(os.getpid(), 9)
        if "gone" in terms:
            raise Unavailable("get it")
        if "bug" in terms:
            raise ZeroDivisionError
        if "sleep" in terms:
            time.sleep(60)
        return self.words.encode(terms)
