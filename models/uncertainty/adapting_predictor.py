"""A bundled network that fits itself to every scan by entropy (`adapting.py`) and forgets it again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from ...imaging.errors import BadCall
from ...imaging.volume import Volume
from ..catalogue import WEIGHTS_FOLDER
from ..inference.windows import BODY, beside, fitted_tiles, padded
from ..interface import Progress
from ..language.satmini.engine import Segmenter
from ..language.satmini.fixed_classes import ClassesConfig
from ..language.satmini.network import SatMiniConfig, ask
from ..language.satmini.predictor import SatMiniFeatures, SatMiniPredictor, runner
from ..language.satmini.queried import QueriedConfig
from ..language.satmini.weights import load_network
from ..load import load_predictor
from .adapting import Adaptation, AdaptationLog, adapt_, restored

LEARN_VOXELS = 300_000  # of a tile while gradients are kept: about 1 GB
SLICES = 12  # of a stack, evenly spread, are learned from

Float = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Adapted:
    """A scan as the network sees it, before and after it fitted itself; the first is what it would have said anyway."""

    plain: SatMiniFeatures
    adapted: SatMiniFeatures
    log: AdaptationLog


class AdaptingPredictor:
    """A network beside its folded twin.

    Args:
        net: with its norm layers; a scan's changes are undone before `encode` returns.
        twin: of the same weights; decodes, and encodes without adapting.
        names: structures whose entropy counts.
    """

    def __init__(
        self,
        net: Segmenter,
        twin: SatMiniPredictor,
        names: Sequence[str],
        *,
        how: Adaptation | None = None,
    ) -> None:
        self.twin, self.how = twin, how or Adaptation()
        self._net = net.eval()
        weights = twin.query_weights(list(names))
        weights[:, -1] -= [twin.decisions.cutoffs.get(name, 0.0) for name in names]
        self._weights = torch.from_numpy(weights)

    def encode(self, volume: Volume, *, progress: Progress, cancelled: Callable[[], bool]) -> Adapted:
        """Look at the scan, fit to it, and look again."""
        plain = self.twin.encode(volume, progress=lambda share: progress(share / 3), cancelled=cancelled)
        box = plain.box
        seen = plain.prepared.array[box.slices]
        body = body_of(plain.prepared.array, seen)
        with restored(self._net) as free:
            log = adapt_(free, lambda: self._parts(seen, body), self.how)
            progress(2 / 3)
            array = self._look(seen, lambda share: progress((2 + share) / 3), cancelled)
        return Adapted(plain, SatMiniFeatures(array, box, plain.prepared, plain.middle), log)

    def _parts(self, seen: Float, body: npt.NDArray[np.bool_]) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Logits of pieces of the scan, and weights that leave out what is no body."""
        config = self._net.config
        pieces = list(_pieces(seen, body, config))
        total = max(float(sum(weights.sum() for _image, weights in pieces)), 1.0)
        for image, weights in pieces:
            logits = ask(self._net.image_features(torch.from_numpy(image)), self._weights)
            yield logits, torch.from_numpy(weights) / total

    def _look(self, array: Float, told: Progress, cancelled: Callable[[], bool]) -> npt.NDArray[np.float16]:
        config = self._net.config
        run = runner(config)

        def network(image: Float) -> Float:
            with torch.inference_mode():
                return np.asarray(self._net.image_features(torch.from_numpy(np.ascontiguousarray(image))).numpy())

        return run(
            array,
            network,
            channels=config.embed,
            stride=config.stride,
            progress=told,
            cancelled=cancelled,
            views=self.twin.decisions.views,
        )


def body_of(whole: Float, part: Float) -> npt.NDArray[np.bool_]:
    """Where a part of a prepared scan is brighter than its background; everywhere in a scan without any."""
    low, high = float(whole.min()), float(np.percentile(whole, 99.5))
    body = np.asarray(part > low + BODY * (high - low))
    return body if body.any() else np.ones(part.shape, dtype=np.bool_)


def _pieces(
    seen: Float, body: npt.NDArray[np.bool_], config: SatMiniConfig | ClassesConfig | QueriedConfig
) -> Iterator[tuple[Float, npt.NDArray[np.float32]]]:
    """Tiles (1 1 x y z) of a volume or slices (1 channels x y) of a stack, with the body of each."""
    if config.dims == 2:
        chosen = np.unique(np.linspace(0, seen.shape[2] - 1, min(SLICES, seen.shape[2])).round().astype(int))
        pairs = [(beside(seen, z, config.neighbours), body[:, :, z]) for z in chosen]
    else:
        tiles = fitted_tiles((seen.shape[0], seen.shape[1], seen.shape[2]), limit=LEARN_VOXELS)
        cuts = [t.outer.slices for t in tiles]
        pairs = [(seen[cut][None], body[cut]) for cut in cuts]
    for image, inside in pairs:
        filled = np.stack([padded(one, config.stride) for one in image])
        weights = np.zeros(filled.shape[1:], dtype=np.float32)
        weights[tuple(slice(0, n) for n in inside.shape)] = inside
        yield filled[None], weights[None]


def load_adapting(
    name: str, *, how: Adaptation | None = None, threads: int | None = None, folder: Path = WEIGHTS_FOLDER
) -> AdaptingPredictor:
    """A bundled network that fits itself to every scan; see `load_predictor` for what is refused.

    Raises:
        BadCall: the model is none of the small networks with words.
    """
    twin = load_predictor(name, threads=threads, folder=folder)
    if not isinstance(twin, SatMiniPredictor):
        raise BadCall(f"'{name}' cannot fit itself to a scan. Use a bundled network, such as sat-mini-hippocampus.")
    net = load_network(twin.card, folder / twin.card.weights_file)
    return AdaptingPredictor(net, twin, twin.card.claimed or twin.card.vocabulary, how=how)
