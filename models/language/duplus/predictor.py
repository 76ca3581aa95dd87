"""DuPLUS on whole scans: resample, window, answer any sentences, and back onto the scan's own grid.

Source: spec §6 and §7: 1.5 mm isotropic, z-score; windows of 128 voxels, half overlap, Gaussian
weights; sigmoid once, 0.5. Texts are encoded once per call, not once per window as in the official code.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch

from ....imaging.errors import BadCall
from ....imaging.geometry import Box, reorient_array, resample, respaced_grid
from ....imaging.volume import Volume
from ....observing.stages import staged
from ...card import Card
from ...inference.preprocess import Prepared, restore
from ...inference.sliding import blended, cut_window, windows_over
from ...interface import Cancelled, Decoded, Features, Progress
from ...text.encoders import TextEncoder
from .network import STEMS, STRIDE, Duplus, DuplusFeatures

SPACING_MM = (1.5, 1.5, 1.5)
WINDOW = (128, 128, 128)

Float = npt.NDArray[np.float32]


@dataclass
class DuplusScan:
    """A prepared scan with the features of its windows under one context."""

    prepared: Prepared
    windows: tuple[Box, ...]
    features: list[DuplusFeatures] = field(default_factory=list)

    @property
    def nbytes(self) -> int:
        """Bytes of the scan and of the features."""
        return self.prepared.array.nbytes + sum(f.voxels.numel() * 4 for f in self.features)


class DuplusPredictor:
    """A loaded DuPLUS and its text encoder.

    Args:
        window: voxels of a window; multiples of 32.
        spacing_mm: voxel size it works at.
    """

    def __init__(
        self,
        net: Duplus,
        words: TextEncoder,
        card: Card,
        *,
        window: tuple[int, int, int] = WINDOW,
        spacing_mm: tuple[float, float, float] = SPACING_MM,
        device: str = "cpu",
    ) -> None:
        if words.size != net.config.text_dim:
            raise BadCall(f"The text encoder gives {words.size} numbers, this DuPLUS takes {net.config.text_dim}.")
        self.card, self.words, self.window, self.spacing_mm = card, words, window, spacing_mm
        self.device = torch.device(device)
        self._net = net.eval().to(self.device)
        self.engine = f"torch {self.device.type} fp32"

    def encode(
        self, volume: Volume, *, progress: Progress, cancelled: Callable[[], bool], context: str = ""
    ) -> DuplusScan:
        """The trunk over all windows under a context text (T1).

        Args:
            context: such as "A CT scan of the abdomen"; empty makes one from the modality and the card's region.
        """
        if volume.modality not in STEMS:
            raise BadCall(
                f"DuPLUS takes {', '.join(STEMS)} scans, but this one is '{volume.modality}'. Set its modality."
            )
        scan = prepared_scan(volume, self.window, self.spacing_mm)
        text = context or default_context(volume.modality, self.card)
        first = torch.from_numpy(self.words.encode([text])).to(self.device)
        darkest = float(scan.prepared.array.min())
        for number, box in enumerate(scan.windows):
            if cancelled():
                raise Cancelled
            image = torch.from_numpy(cut_window(scan.prepared.array, box, fill=darkest))[None, None].to(self.device)
            with torch.inference_mode():
                seen = self._net.encode(image, [STEMS.index(volume.modality)], first)
            scan.features.append(DuplusFeatures(seen.voxels, seen.pooled, seen.decoded[:, :0]))
            progress((number + 1) / len(scan.windows))
        return scan

    def decode(self, features: Features, structures: Sequence[str]) -> list[Decoded]:
        """One mask per sentence (T2) on the scan's own grid."""
        if not isinstance(features, DuplusScan):
            raise TypeError(f"features of another model: {type(features).__name__}")
        targets = torch.from_numpy(self.words.encode(structures))[None].to(self.device)
        found = []
        for n, name in enumerate(structures):
            mean = self._blended(features, targets[:, n : n + 1])
            logit = np.log(mean / (1 - mean)).astype(np.float32)
            inside = mean[mean > 0.5]
            confidence = float(inside.mean()) if inside.size else 0.0
            found.append(Decoded(name, restore(logit, features.prepared), confidence, float(mean.max())))
        return found

    def _blended(self, scan: DuplusScan, target: torch.Tensor) -> Float:
        """Gaussian-weighted mean of the windows' sigmoids (x y z), inside (0, 1)."""
        mean = blended(
            (self._sigmoid(seen, target) for seen in scan.features), scan.windows, scan.prepared.array.shape, 1
        )[0]
        inside: Float = np.clip(mean, 1e-6, 1 - 1e-6).astype(np.float32)
        return inside

    @torch.inference_mode()
    def _sigmoid(self, seen: DuplusFeatures, target: torch.Tensor) -> Float:
        found: Float = torch.sigmoid(self._net.decode(seen, target))[0].cpu().numpy()
        return found


def default_context(modality: str, card: Card) -> str:
    """The form of the published T1 texts: "A <modality> scan of the <region>"."""
    return f"A {modality.upper()} scan of the {card.region[0]}"


@staged("preprocess")
def prepared_scan(
    volume: Volume, window: tuple[int, int, int] = WINDOW, spacing_mm: tuple[float, float, float] = SPACING_MM
) -> DuplusScan:
    """The scan at the network's spacing, clipped to its 0.5 and 99.5 percentiles and z-scored, with its windows.

    Raises:
        BadCall: a 2-D image, or no known voxel size.
    """
    if any(side % STRIDE for side in window):
        raise ValueError(f"window {window} must be made of multiples of {STRIDE}")
    if volume.grid.is_2d:
        raise BadCall("This is a 2-D image (one slice). DuPLUS needs a 3-D scan. Open the whole series.")
    if not volume.grid.spacing_known:
        raise BadCall("The file tells no voxel size. DuPLUS needs it in mm. Open a file with spacing, such as NIfTI.")
    array, grid = reorient_array(volume.array, volume.grid, "RAS")
    target = respaced_grid(grid, spacing_mm)
    values = resample(np.asarray(array, dtype=np.float32), grid, target)
    values = np.clip(values, *np.percentile(values, (0.5, 99.5)))
    values = (values - values.mean()) / max(float(values.std()), 1e-6)
    prepared = Prepared(np.ascontiguousarray(values, dtype=np.float32), target, volume.grid, True)
    return DuplusScan(prepared, windows_over(values.shape, window, multiple_of=STRIDE))
