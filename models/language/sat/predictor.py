"""SAT on whole scans: orient, resample, window, answer, and back onto the scan's own grid.

Source of every step: SAT's published inference (spec §5 and §7): RAS, 1 x 1 x 3 mm, crop to
values above 0, CT clipped to -500..1000 HU, else to its 0.5 and 99.5 percentiles, then z-scored;
windows of 288 x 288 x 96 with half a window of overlap, Gaussian weights of sigma one eighth;
at most 256 queries together; a voxel is inside above a sigmoid of 0.5.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from ....imaging.errors import BadCall
from ....imaging.geometry import Box, reorient_array, resample, respaced_grid
from ....imaging.hounsfield import check_hu
from ....imaging.volume import Volume
from ....observing.stages import staged
from ...card import Card
from ...inference.preprocess import Prepared, restore
from ...inference.sliding import Float, blended, cut_window, windows_over
from ...interface import Cancelled, Decoded, Features, Progress
from ...text.encoders import TextEncoder
from .network import MODALITY_CODES, STRIDE, Sat, SatFeatures, SatTextHead

SPACING_MM = (1.0, 1.0, 3.0)
WINDOW = (288, 288, 96)
CT_RANGE_HU = (-500.0, 1000.0)
QUERIES_AT_ONCE = 256
KEPT_MB = 2000  # features of all windows are kept up to this, else made again for every call


@dataclass
class SatScan:
    """A prepared scan, and the features of its windows once they are known and fit."""

    prepared: Prepared
    box: Box
    modality: str
    windows: tuple[Box, ...]
    kept: dict[Box, SatFeatures] = field(default_factory=dict)

    @property
    def nbytes(self) -> int:
        """Bytes of the scan and of the features kept."""
        tensors = [t for f in self.kept.values() for t in (*f.maps, f.memory)]
        return self.prepared.array.nbytes + sum(t.numel() * t.element_size() for t in tensors)


class SatPredictor:
    """A loaded SAT with its text side.

    Args:
        window: voxels of a window; multiples of 32.
    """

    def __init__(
        self,
        net: Sat,
        head: SatTextHead,
        words: TextEncoder,
        card: Card,
        *,
        window: tuple[int, int, int] = WINDOW,
        device: str = "cpu",
    ) -> None:
        self.card, self.window, self.words = card, window, words
        self.device = torch.device(device)
        self._net, self._head = net.eval().to(self.device), head.eval()
        self.engine = f"torch {self.device.type} fp32"

    def encode(self, volume: Volume, *, progress: Progress, cancelled: Callable[[], bool]) -> SatScan:
        """Prepare the scan and run the trunk over its windows."""
        scan = prepared_scan(volume, self.window)
        voxels = int(np.prod(self.window))
        each_mb = voxels * 4 * self._net.config.features[0] * 1.2 / 1e6
        if each_mb * len(scan.windows) <= KEPT_MB:
            for number, window in enumerate(scan.windows):
                if cancelled():
                    raise Cancelled
                scan.kept[window] = self._look(scan, window)
                progress((number + 1) / len(scan.windows))
        return scan

    def decode(self, features: Features, structures: Sequence[str]) -> list[Decoded]:
        """One mask per term on the scan's own grid."""
        if not isinstance(features, SatScan):
            raise TypeError(f"features of another model: {type(features).__name__}")
        queries = self.queries(structures, features.modality)
        found: list[Decoded] = []
        for first in range(0, len(structures), QUERIES_AT_ONCE):
            chunk = slice(first, first + QUERIES_AT_ONCE)
            logits = self._blended(features, queries[chunk])
            for name, logit in zip(structures[chunk], logits, strict=True):
                mask = restore(logit, features.prepared, features.box)
                sigmoid = 1 / (1 + np.exp(-np.clip(logit, -30, 30)))
                inside = sigmoid[logit > 0]
                found.append(Decoded(name, mask, float(inside.mean()) if inside.size else 0.0, float(sigmoid.max())))
        return found

    def queries(self, structures: Sequence[str], modality: str) -> torch.Tensor:
        """Query vectors (n d) of lower-case terms for one modality.

        Raises:
            BadCall: a modality SAT has no code for.
        """
        if modality not in MODALITY_CODES:
            raise BadCall(
                f"SAT takes {', '.join(MODALITY_CODES)} scans, but this one is '{modality}'. Open it with modality set."
            )
        pooled = torch.from_numpy(self.words.encode(structures))
        with torch.inference_mode():
            codes = torch.full((len(structures),), MODALITY_CODES[modality])
            result: torch.Tensor = self._head(pooled, codes)
        return result

    def _look(self, scan: SatScan, window: Box) -> SatFeatures:
        image = cut_window(scan.prepared.array, window)
        with torch.inference_mode():
            x = torch.from_numpy(image)[None, None].expand(1, 3, -1, -1, -1).contiguous().to(self.device)
            return self._net.encode(x)

    def _blended(self, scan: SatScan, queries: torch.Tensor) -> Float:
        """Logits (n x y z) over the scan's box: Gaussian-weighted mean of the windows' sigmoids, as logits."""
        mean = blended(
            (self._sigmoids(scan, window, queries) for window in scan.windows),
            scan.windows,
            scan.prepared.array.shape,
            len(queries),
        )
        mean = np.clip(mean, 1e-7, 1 - 1e-7)
        return np.asarray(np.log(mean / (1 - mean)), dtype=np.float32)

    @torch.inference_mode()
    def _sigmoids(self, scan: SatScan, window: Box, queries: torch.Tensor) -> Float:
        features = scan.kept.get(window) or self._look(scan, window)
        found: Float = torch.sigmoid(self._net.decode(features, queries[None].to(self.device))[0][0]).cpu().numpy()
        return found


@staged("preprocess")
def prepared_scan(volume: Volume, window: tuple[int, int, int] = WINDOW) -> SatScan:
    """The scan as SAT was taught, cropped, with the windows that cover it.

    Raises:
        BadCall: a 2-D image, or no known voxel size.
    """
    if volume.grid.is_2d:
        raise BadCall("This is a 2-D image (one slice). SAT needs a 3-D scan. Open the whole series.")
    if not volume.grid.spacing_known:
        raise BadCall("The file tells no voxel size. SAT needs it in mm. Open a file with spacing, such as NIfTI.")
    check_hu(volume, "SAT")
    array, grid = reorient_array(volume.array, volume.grid, "RAS")
    target = respaced_grid(grid, SPACING_MM)
    values = resample(np.asarray(array, dtype=np.float32), grid, target)
    box = Box.of(values > 0) or Box((0, 0, 0), target.shape)
    values = values[box.slices]
    low, high = CT_RANGE_HU if volume.modality == "ct" else np.percentile(values, (0.5, 99.5))
    values = np.clip(values, low, high)
    values = (values - values.mean()) / max(float(values.std()), 1e-6)
    prepared = Prepared(np.ascontiguousarray(values, dtype=np.float32), target, volume.grid, True)
    return SatScan(prepared, box, volume.modality, windows_over(values.shape, window, multiple_of=STRIDE))
