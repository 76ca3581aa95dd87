"""The bundled networks as predictors: features once per scan, then dot products per word."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt
import torch
from scipy import ndimage

from ....imaging.errors import BadCall
from ....imaging.geometry import Box
from ....imaging.volume import BoolArray, Volume
from ...card import Card
from ...inference.calibration import signs_of
from ...inference.decisions import Decisions, largest_share, likeliest_part
from ...inference.preprocess import Preparation, Prepared, prepare, restore
from ...inference.presence import FAINT, MARGIN, NEAR, traces_of
from ...inference.sliding import run_windows
from ...inference.windows import BODY, body_box, mirrored_at_cuts, run_slices, run_tiles
from ...interface import Backend, Decoded, Features, Precision, Progress
from ...text.encoders import known_vectors, normalised_term
from .engine import Segmenter, build_engine
from .fixed_classes import ClassesConfig, FixedClasses
from .network import SatMiniConfig
from .queried import QueriedConfig

_QUERIES_AT_ONCE = 8  # logits of so many words are held together: 8 x 4 bytes per voxel
OUTSIDE = -8.0  # logit of what is certainly outside
_SLAB_VOXELS = 400_000  # features turned to float32 at a time


@dataclass(frozen=True)
class SatMiniFeatures:
    """Features (channels x y z) in half precision of the part of a prepared scan inside `box`.

    Attributes:
        middle: index along the prepared scan's x axis of the body's middle plane.
    """

    array: npt.NDArray[np.float16]
    box: Box
    prepared: Prepared
    middle: float

    @property
    def nbytes(self) -> int:
        """Bytes of the features; the prepared scan is small beside them."""
        return self.array.nbytes + self.prepared.array.nbytes


def runner(config: SatMiniConfig | ClassesConfig | QueriedConfig) -> Callable[..., npt.NDArray[np.float16]]:
    """What takes a network of this shape over a scan."""
    if config.dims == 2:
        return partial(run_slices, neighbours=config.neighbours)
    window = getattr(config, "window", ())
    return partial(run_windows, window=window) if window else run_tiles


class SatMiniPredictor:
    """A loaded bundled network.

    Args:
        decisions: how logits become masks.

    Attributes:
        engine: name of the backend that runs it.
    """

    def __init__(
        self,
        net: Segmenter,
        how: Preparation,
        card: Card,
        *,
        device: str = "cpu",
        backend: Backend = "auto",
        precision: Precision = "auto",
        threads: int | None = None,
        decisions: Decisions | None = None,
    ) -> None:
        self.card, self.how, self._net = card, how, net.eval()
        self.decisions = decisions or Decisions()
        self._sided = dict(self.decisions.sided) if how.canonical else {}
        self._run, self.engine = build_engine(net, device=device, backend=backend, precision=precision, threads=threads)

    def encode(self, volume: Volume, *, progress: Progress, cancelled: Callable[[], bool]) -> SatMiniFeatures:
        """Prepare the scan and run the image half over the body."""
        prepared = prepare(volume, self.how)
        config = self._net.config
        box = body_box(prepared.array) if config.dims == 3 else Box((0, 0, 0), prepared.grid.shape)
        seen = prepared.array[box.slices]
        run = runner(config)

        wider, kept = mirrored_at_cuts(seen, self.decisions.mirrored_edge if config.dims == 2 else 0)
        found = run(
            wider,
            self._run,
            channels=config.embed,
            stride=config.stride,
            progress=progress,
            cancelled=cancelled,
            views=self.decisions.views,
        )
        features = np.ascontiguousarray(found[:, kept[0], kept[1]])
        if config.dims == 2 and prepared.grid.spacing_known:
            features = smoothed_along(features, self.decisions.along_mm / prepared.grid.spacing_mm[2])
        return SatMiniFeatures(features, box, prepared, body_middle(prepared.array))

    def decode(self, features: Features, structures: Sequence[str]) -> list[Decoded]:
        """One mask per structure on the scan's own grid."""
        if not isinstance(features, SatMiniFeatures):
            raise TypeError(f"features of another model: {type(features).__name__}")
        asked = [self._sided.get(name, (name, ""))[0] for name in structures]
        weights = self.query_weights(asked)
        weights[:, -1] -= [self.decisions.cutoffs.get(name, 0.0) for name in asked]
        found: list[Decoded] = []
        for first in range(0, len(structures), _QUERIES_AT_ONCE):
            logits = dot_products(features.array, weights[first : first + _QUERIES_AT_ONCE])
            found += [
                self._decoded(name, self._one_side(name, logit, features), features)
                for name, logit in zip(structures[first : first + _QUERIES_AT_ONCE], logits, strict=True)
            ]
        return found

    def probabilities(self, array: npt.NDArray[np.float32], structures: Sequence[str]) -> npt.NDArray[np.float32]:
        """Sigmoids (n x y z) of a piece (x y z) of a prepared scan, cutoffs taken off; as it is, without views."""
        config = self._net.config
        run = runner(config)
        features = run(
            array,
            self._run,
            channels=config.embed,
            stride=config.stride,
            progress=lambda share: None,
            cancelled=lambda: False,
        )
        weights = self.query_weights(list(structures))
        weights[:, -1] -= [self.decisions.cutoffs.get(name, 0.0) for name in structures]
        return _sigmoid(dot_products(features, weights))

    def _one_side(
        self, name: str, logit: npt.NDArray[np.float32], features: SatMiniFeatures
    ) -> npt.NDArray[np.float32]:
        if name not in self._sided:
            return logit
        cut = self._cut(features, logit.shape[0])
        half = np.full_like(logit, OUTSIDE)
        kept = slice(0, cut) if self._sided[name][1] == "left" else slice(cut, None)  # x runs to the right
        half[kept] = logit[kept]
        return half

    def _whole(self, name: str, logit: npt.NDArray[np.float32], cut: int) -> BoolArray:
        """The likeliest piece of what is marked; of a pair that is parted at index `cut` along x, one on either side."""
        marked = logit > 0
        if name not in {pair for pair, _side in self._sided.values()}:
            return likeliest_part(marked, logit)
        cut = min(max(cut, 0), logit.shape[0])
        kept = np.zeros_like(marked)
        for half in (slice(0, cut), slice(cut, None)):
            if marked[half].any():
                kept[half] = likeliest_part(marked[half], logit[half])
        return kept

    @staticmethod
    def _cut(features: SatMiniFeatures, width: int) -> int:
        """Index along x of `features` at which the body's middle parts left from right."""
        return min(max(round(features.middle) - features.box.start[0], 0), width)

    def _decoded(self, name: str, logit: npt.NDArray[np.float32], features: SatMiniFeatures) -> Decoded:
        where = _where_it_may_be(logit)
        cut = self._cut(features, logit.shape[0]) - where.start[0]
        logit = logit[where.slices]
        if name in self.decisions.single and logit.shape[2] > 1:
            logit = np.where((logit > 0) & ~self._whole(name, logit, cut), np.float32(OUTSIDE), logit)
        x, y, z = features.box.start
        (x0, y0, z0), (x1, y1, z1) = where.start, where.stop
        mask = restore(logit, features.prepared, Box((x + x0, y + y0, z + z0), (x + x1, y + y1, z + z1)))
        inside = logit[logit > 0]
        confidence = float(_sigmoid(inside).mean()) if inside.size else 0.0
        flat = self.how.dims == 2
        signs = signs_of(logit, largest_share(logit > 0), by_slice=flat) if inside.size else ()
        traces = traces_of(logit, by_slice=flat)
        return Decoded(name, mask, confidence, float(_sigmoid(logit.max())), signs=signs, traces=traces)

    def query_weights(self, structures: Sequence[str]) -> npt.NDArray[np.float32]:
        """What each word puts on the features, (n embed+1).

        Raises:
            BadCall: a word without a text vector.
        """
        if isinstance(self._net, FixedClasses):
            return np.asarray(self._net.query_weights(structures).numpy())
        vectors = known_vectors()
        missing = [name for name in structures if normalised_term(name) not in vectors]
        if missing:
            raise BadCall(f"'{missing[0]}' is no known structure name. Call find_structures and use a canonical name.")
        text = torch.from_numpy(np.stack([vectors[normalised_term(name)] for name in structures]))
        with torch.inference_mode():
            weights: npt.NDArray[np.float32] = self._net.query_weights(text).numpy()
        return weights


def _where_it_may_be(logit: npt.NDArray[np.float32]) -> Box:
    """The box of logits that count for anything (`presence.FAINT`), and as much around it as smoothing reaches.

    What lies outside changes no mask and no sign of one; everything where the highest logit is so low that all count.
    """
    whole = Box((0, 0, 0), (logit.shape[0], logit.shape[1], logit.shape[2]))
    if logit.max() < FAINT + NEAR:
        return whole
    return Box.of(logit > FAINT, margin=MARGIN) or whole


def smoothed_along(features: npt.NDArray[np.float16], slices: float) -> npt.NDArray[np.float16]:
    """Features (c x y z) smoothed across slices, standard deviation in slices; as logits are linear in them, so are these.

    Below a third of a slice nothing would change.
    """
    if slices < 1 / 3 or features.shape[3] == 1:
        return features
    made = np.empty_like(features)
    for one, out in zip(features, made, strict=True):
        out[:] = ndimage.gaussian_filter1d(one.astype(np.float32), slices, axis=2, mode="nearest")
    return made


def body_middle(array: npt.NDArray[np.float32]) -> float:
    """Index along x of the plane with as much body on either side, of a prepared scan (x y z)."""
    low, high = float(array.min()), float(np.percentile(array, 99.5))
    across = (array > low + BODY * (high - low)).sum(axis=(1, 2), dtype=np.float64)
    if not across.any():
        return float(array.shape[0]) / 2
    return int(np.searchsorted(np.cumsum(across), across.sum() / 2)) + 0.5


def dot_products(features: npt.NDArray[np.float16], weights: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Logits (n x y z) of features (c x y z) under weights (n c+1), slab by slab."""
    flat = features.reshape(features.shape[0], -1)
    logits = np.empty((len(weights), flat.shape[1]), dtype=np.float32)
    for first in range(0, flat.shape[1], _SLAB_VOXELS):
        slab = slice(first, first + _SLAB_VOXELS)
        np.matmul(weights[:, :-1], flat[:, slab].astype(np.float32), out=logits[:, slab])
    logits += weights[:, -1:]
    return logits.reshape(len(weights), *features.shape[1:])


def _sigmoid(logit: npt.NDArray[np.float32] | np.float32) -> npt.NDArray[np.float32]:
    return np.asarray(1 / (1 + np.exp(-np.clip(logit, -30, 30))), dtype=np.float32)
