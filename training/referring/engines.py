"""What `ostensor eval referring` asks: FLanS, LSMS and, for comparison, the SAT-minis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
import torch

from ...imaging.volume import Grid, Volume
from ...models.catalogue import card
from ...models.inference.pictures import displayed_labels
from ...models.inference.preprocess import restore
from ...models.interface import Features, Orientation, Pointing
from ...models.language.referring.predictor import ReferringPredictor
from ...models.language.satmini.network import SatMini
from ...models.language.satmini.predictor import SatMiniFeatures, SatMiniPredictor, dot_products
from ...models.load import load_predictor
from ...models.text.encoders import MiniLmEncoder
from .pairs import Bool

_SAT: Mapping[str, str] = {"acdc": "sat-mini-cardiac", "btcv": "sat-mini-abdomen-2d"}


class Engine(Protocol):
    """Something that points: sentences in, masks (rows columns) as displayed out.

    Attributes:
        weights: digest of what it was measured with.
    """

    name: str
    weights: str

    def takes(self, volume: Volume) -> bool:
        """Whether it can look at such a scan at all; others are left out of its figures."""

    def point(self, volume: Volume, sentences: Sequence[str], orientation: Orientation = "header") -> list[Bool]:
        """One mask per sentence on a single slice."""


class Sentences:
    """FLanS or LSMS behind their predictor."""

    def __init__(self, predictor: ReferringPredictor) -> None:
        self.name, self.predictor = predictor.card.name, predictor
        self.weights = predictor.card.sha256
        self.elements: list[int | None] = []
        self.turns = predictor.card.system == "FLanS"
        self._seen: tuple[Volume, Features] | None = None

    def takes(self, volume: Volume) -> bool:
        """See `Engine`."""
        return volume.modality in ("unknown", *self.predictor.card.modalities)

    def point(self, volume: Volume, sentences: Sequence[str], orientation: Orientation = "header") -> list[Bool]:
        """See `Engine`; remembers the elements of the last call."""
        if self._seen is None or self._seen[0] is not volume:
            self._seen = volume, self.predictor.encode(volume, progress=lambda share: None, cancelled=lambda: False)
        texts = [text or "nothing" for text in sentences]
        found = self.predictor.refer(self._seen[1], texts, Pointing("slice", 0, orientation))
        self.elements = [one.element for one in found]
        return [_shown(one.array, volume.grid) for one in found]


class Terms:
    """SAT-mini asked with the sentence's own vector; it was taught terms, not sentences."""

    name = "sat-mini"

    def __init__(self, threads: int | None) -> None:
        names = [name for name in _SAT.values() if card(name).is_ready]
        self.loaded = {name: load_predictor(name, threads=threads, backend="torch") for name in names}
        self.weights = " ".join(card(name).sha256 for name in names)
        self.words = MiniLmEncoder()
        self._seen: tuple[Volume, SatMiniFeatures] | None = None

    def takes(self, volume: Volume) -> bool:
        """Whether a SAT-mini for such scans lies here."""
        return _sat_for(volume) in self.loaded

    def point(self, volume: Volume, sentences: Sequence[str], orientation: Orientation = "header") -> list[Bool]:
        """See `Engine`."""
        predictor = self.loaded[_sat_for(volume)]
        assert isinstance(predictor, SatMiniPredictor)
        net = predictor._net
        assert isinstance(net, SatMini)
        if self._seen is None or self._seen[0] is not volume:
            self._seen = volume, predictor.encode(volume, progress=lambda share: None, cancelled=lambda: False)
        features = self._seen[1]
        with torch.inference_mode():
            weights = net.query_weights(torch.from_numpy(self.words.encode(list(sentences)))).numpy()
        logits = dot_products(features.array, weights)
        return [_shown(restore(one, features.prepared, features.box), volume.grid) for one in logits]


def _sat_for(volume: Volume) -> str:
    return _SAT["acdc"] if volume.modality == "mr" else _SAT["btcv"]


def _shown(array: Bool, grid: Grid) -> Bool:
    return np.asarray(displayed_labels(array.astype(np.uint8), grid)[0] > 0)
