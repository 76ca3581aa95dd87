"""Images in Ray's object store: put once, kept while lately used, freed under a budget. Knows neither Ray nor torch."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

Key = tuple[str, int, int]


@dataclass(frozen=True)
class _Put:
    reference: Any
    nbytes: int


class LentImages:
    """References to voxels, by the file they come from; dropping the last reference frees them in the cluster.

    The store's files are named by content and never change, so a file, with its time and size, stands for its voxels.

    Args:
        put: gives an array to the object store and answers its reference.
        budget_mb: what all together may take; the one that is asked for is always kept.
    """

    def __init__(self, put: Callable[[Any], Any], budget_mb: int) -> None:
        self._put, self.budget_mb = put, budget_mb
        self._held: OrderedDict[Key, _Put] = OrderedDict()
        self._putting = threading.Lock()  # two that ask for one image at once must not bring it twice

    @property
    def held_mb(self) -> float:
        """What all together take."""
        return sum(one.nbytes for one in self._held.values()) / 1e6

    def reference(self, path: str) -> Any:
        """The voxels of a `.npy` file, in the object store."""
        facts = Path(path).stat()
        key = (path, facts.st_mtime_ns, facts.st_size)
        with self._putting:
            if key not in self._held:
                array = np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))
                self._held[key] = _Put(self._put(array), array.nbytes)
            self._held.move_to_end(key)
            while len(self._held) > 1 and self.held_mb > self.budget_mb:
                self._held.popitem(last=False)
            return self._held[key].reference
