"""`ostensor eval paint-…`: synthetic images of held-out anatomy beside two rivals, in one run.

Rivals: "prior fill" paints each label with its mean in the training images and the rest with theirs (for
translation: each grey value becomes the mean it has in the other modality); pix2pix learned from the same data.
Mask consistency is the Dice of our own segmenter on the synthetic image against the mask that made it; the same
segmenter on the real image is the figure to reach. It was taught on the same training patients as the synthesis network.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ...imaging.errors import BadCall
from ...imaging.masks.dice import dice
from ...imaging.volume import Grid, Volume
from ...models.interface import Predictor
from ...models.load import load_predictor
from ...models.synthesis.networks.denoiser import Denoiser
from ...models.synthesis.networks.diffusion import DiffusionTask, Run
from ...models.synthesis.networks.gan import Generator
from ...models.synthesis.networks.samplers import Sampler
from ...models.synthesis.quality import fsim, jitter, nearest_distance, psnr, ssim
from ...models.synthesis.scales import Float, from_unit
from ..configuration import read_configuration
from ..folders import Folders
from ..start import averaged_weights
from .fit import cases_of, network_of
from .run import Slices, SynthesisRun, padded, read

SEGMENTERS = {"hippocampus": "sat-mini-hippocampus", "acdc": "sat-mini-cardiac", "btcv": "sat-mini-abdomen-2d"}
STEPS, SEED = 8, 0
LEAST_PIXELS = 30  # of labels in a slice that is compared; our choice
Maker = Callable[[Slices], Float]


@dataclass(frozen=True)
class SynthesisScore:
    """Means over the held-out cases.

    Attributes:
        maker: "diffusion", "prior fill", "pix2pix", or "real image" for the figures to reach.
        slices, cases: how many were compared.
        dice: structure -> mask consistency; empty where there is no segmenter.
        nearest: root mean square distance to the most similar training slice, range 0 to 2.
        jitter: step along z over the real image's.
    """

    maker: str
    cases: int
    slices: int
    ssim: float
    psnr: float
    fsim: float
    dice: dict[str, float]
    nearest: float
    jitter: float | None


def trained(run: SynthesisRun, folders: Folders) -> Denoiser | Generator:
    """The averaged weights of a run.

    Raises:
        Unavailable: it has not been trained here.
    """
    weights = averaged_weights(folders.checkpoint(run.name), run.name, run.name)
    net = network_of(run)
    net.load_state_dict(weights)
    return net.eval()


def evaluate(run: SynthesisRun, folders: Folders, *, most: int = 10) -> list[SynthesisScore]:
    """Scores of every maker on at most `most` held-out patients; the rival only where it was trained.

    Raises:
        BadCall: the run is a rival itself.
    """
    if run.objective != "diffusion":
        raise BadCall(f"'{run.name}' is a rival. It is measured beside the run that names it as `rival`.")
    train = cases_of(run, "train", folders.data)
    test = _first_patients(cases_of(run, "test", folders.data), most)
    makers: dict[str, Maker] = {"diffusion": _diffusion(trained(run, folders), run)}
    makers["prior fill"] = _fill(train) if run.task == "synthesize" else _lookup(train)
    if run.rival and folders.checkpoint(run.rival).exists():
        rival = read(read_configuration(run.rival))
        makers[rival.objective] = _one_pass(trained(rival, folders))
    makers["real image"] = lambda case: case.pictures
    segmenter = load_predictor(SEGMENTERS[run.data]) if run.data in SEGMENTERS else None
    windows = [_window(picture, run) for case in train for picture in case.pictures[:: _thin(train)]]
    return [_score(name, make, test, run, segmenter, windows) for name, make in makers.items()]


def _first_patients(cases: Sequence[Slices], most: int) -> list[Slices]:
    kept = sorted({case.patient for case in cases})[:most]
    return [case for case in cases if case.patient in kept]


def _thin(train: Sequence[Slices]) -> int:
    return 2 if sum(len(case.pictures) for case in train) > 3000 else 1


def _score(
    name: str, make: Maker, test: Sequence[Slices], run: SynthesisRun, segmenter: Predictor | None, windows: list[Float]
) -> SynthesisScore:
    alike: list[tuple[float, float, float]] = []
    distances: list[float] = []
    steps: list[float] = []
    dice: dict[str, list[float]] = {}
    for case in test:
        made = make(case)
        for z in range(len(made)):
            if (case.labels[z] > 0).sum() >= LEAST_PIXELS:
                one, real = made[z], case.pictures[z]
                alike.append((ssim(one, real), min(psnr(one, real), 99.0), fsim(one, real)))
                if len(distances) < 60:  # enough for a mean; the search is over every training slice
                    distances.append(nearest_distance(_window(one, run), windows))
        if len(made) > 1:
            steps.append(jitter(made.transpose(1, 2, 0), case.pictures.transpose(1, 2, 0)))
        if segmenter is not None:
            for structure, value in _consistency(made, case, run, segmenter).items():
                dice.setdefault(structure, []).append(value)
    means = np.mean(alike, axis=0)
    return SynthesisScore(
        maker=name,
        cases=len({case.patient for case in test}),
        slices=len(alike),
        ssim=float(means[0]),
        psnr=float(means[1]),
        fsim=float(means[2]),
        dice={structure: float(np.mean(values)) for structure, values in sorted(dice.items())},
        nearest=float(np.mean(distances)),
        jitter=float(np.mean(steps)) if steps else None,
    )


def _consistency(made: Float, case: Slices, run: SynthesisRun, segmenter: Predictor) -> dict[str, float]:
    """Dice per structure the segmenter claims and the mask shows."""
    names = {label: name for label, name in run.names.items() if name in segmenter.card.claimed}
    shown = {label: name for label, name in names.items() if (case.labels == label).sum() >= LEAST_PIXELS}
    if not shown:
        return {}
    array = from_unit(np.ascontiguousarray(made.transpose(1, 2, 0)), run.modality)
    known = run.longest is None
    spacing = run.spacing_mm if known else 1.0
    grid = Grid(array.shape, np.diag([spacing, spacing, 1.0, 1.0]), spacing_known=known)
    volume = Volume(array, grid, run.modality, synthetic=True)
    features = segmenter.encode(volume, progress=lambda share: None, cancelled=lambda: False)
    truth = case.labels.transpose(1, 2, 0)
    found = {}
    for (label, name), mask in zip(shown.items(), segmenter.decode(features, list(shown.values())), strict=True):
        found[name] = dice(mask.array, truth == label)
    return found


def _window(picture: Float, run: SynthesisRun) -> Float:
    """The middle of a slice, one size for all, so that slices of different scans can be compared."""
    sides = [min(side, 32) if run.longest is None and run.task == "synthesize" else side for side in run.patch]
    filled = padded(picture, sides, -1.0)
    start = [(n - side) // 2 for n, side in zip(filled.shape, sides, strict=True)]
    return np.ascontiguousarray(filled[start[0] : start[0] + sides[0], start[1] : start[1] + sides[1]])


def _sized(maps: Float, stride: int) -> torch.Tensor:
    return torch.from_numpy(padded(maps, [-(-n // stride) * stride for n in maps.shape[2:]], -1.0))


def _diffusion(net: torch.nn.Module, run: SynthesisRun) -> Maker:
    assert isinstance(net, Denoiser)
    task = DiffusionTask(net, Sampler("rflow"))

    def make(case: Slices) -> Float:
        maps = _sized(case.maps, net.config.stride)
        generator = torch.Generator().manual_seed(SEED)
        base = torch.randn((1, 1, *maps.shape[2:]), generator=generator)
        parts = [
            task.sample(base.expand(len(some), -1, -1, -1).clone(), some, generator, Run(STEPS))
            for some in maps.split(8)
        ]
        return _cut(torch.cat(parts), case)

    return make


def _one_pass(net: torch.nn.Module) -> Maker:
    assert isinstance(net, Generator)

    @torch.no_grad()
    def make(case: Slices) -> Float:
        return _cut(net(_sized(case.maps, net.stride)), case)

    return make


def _cut(made: torch.Tensor, case: Slices) -> Float:
    x, y = case.pictures.shape[1:]
    cut: Float = made[:, 0, :x, :y].clamp(-1, 1).numpy().astype(np.float32)
    return cut


def _fill(train: Sequence[Slices]) -> Maker:
    """Mean of each label over the training images, and of what has no label."""
    sums, counts = np.zeros(256), np.zeros(256)
    for case in train:
        sums += np.bincount(case.labels.ravel(), case.pictures.ravel(), 256)
        counts += np.bincount(case.labels.ravel(), minlength=256)
    means = (sums / np.maximum(counts, 1)).astype(np.float32)
    return lambda case: means[case.labels]


def _lookup(train: Sequence[Slices]) -> Maker:
    """Mean target value of each of 256 source values, one table per direction."""
    tables: dict[bool, tuple[Any, Any]] = {}
    for case in train:
        to_ct = bool(case.maps[0, 1].any())
        bins = _bins(case.maps[:, 0])
        sums, counts = tables.get(to_ct, (np.zeros(256), np.zeros(256)))
        sums = sums + np.bincount(bins.ravel(), case.pictures.ravel(), 256)
        tables[to_ct] = (sums, counts + np.bincount(bins.ravel(), minlength=256))

    def make(case: Slices) -> Float:
        sums, counts = tables[bool(case.maps[0, 1].any())]
        means: Float = (sums / np.maximum(counts, 1)).astype(np.float32)
        looked_up: Float = means[_bins(case.maps[:, 0])]
        return looked_up

    return make


def _bins(values: Float) -> np.ndarray[Any, np.dtype[np.int64]]:
    bins: np.ndarray[Any, np.dtype[np.int64]] = np.clip((values + 1) * 127.5, 0, 255).astype(np.int64)
    return bins
