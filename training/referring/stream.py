"""Pictures for the referring networks: real slices and drawn bodies, framed, moved, with lesions drawn in.

A batch depends on the step number alone, as everywhere in training.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from scipy import ndimage

from ...models.inference.pictures import (
    Frame,
    displayed,
    displayed_labels,
    frame_of,
    framed,
    framed_labels,
    largest_frame,
    window_hu,
)
from ...models.inference.preprocess import CT_WINDOW_HU
from ..bodies import hra_phantom
from ..cases import Case
from ..data import acdc, btcv
from ..objective import Batch
from ..sampling import Ready, View, draw
from ..trainer import Stream
from .pairs import HOSTS, LESION

# Value of the source -> value of `referring.ORGANS`; others are not spoken of.
VALUES: Mapping[str, Mapping[int, int]] = {
    "btcv": {value: value for value in range(1, 14)},
    "acdc": {1: 21, 2: 22, 3: 23},
    "hra_phantom": {16: 6, 23: 1, 26: 2, 25: 3, 22: 4, 50: 8, 44: 9, 24: 11},
}
DATASETS = {module.DATASET.name: module.DATASET for module in (btcv, acdc, hra_phantom)}
VIEW = View(patch=(128, 128), rotate_deg=10.0, scale=0.15, elastic=4.0, shift=0.05, coarse=0.2, noise=0.06,
            bias=0.1, gamma=0.3, foreground=0.0)  # fmt: skip
Labels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Slice:
    """A framed slice: `picture` (size size) in [0, 1], or None where it is made from `raw` labels."""

    name: str
    patient: str
    picture: npt.NDArray[np.float32] | None
    raw: Labels


def slices_of(case: Case, source: str, size: int) -> list[Slice]:
    """Framed slices of a case that show something that can be spoken of."""
    labels = displayed_labels(case.labels, case.grid)
    pictures = displayed(case.volume) if case.volume is not None else (labels > 0).astype(np.float32)
    frames = [frame_of(picture) for picture in pictures]
    if source == "acdc":  # a stack through the heart: one frame
        frames = [largest_frame(frames)] * len(frames)
    known = list(VALUES[source])
    return [
        _slice(case, number, pictures[number], labels[number], frames[number], size)
        for number in range(len(labels))
        if _is_worth_it(labels[number], known, source)
    ]


def _is_worth_it(labels: Labels, known: list[int], source: str) -> bool:
    """Some pixels can be spoken of; of the drawn bodies at least three things, or the chest would prevail."""
    shown = labels[np.isin(labels, known)]
    return shown.size >= 40 and (source != "hra_phantom" or len(np.unique(shown)) >= 3)


def _slice(case: Case, number: int, picture: npt.NDArray[np.float32], labels: Labels, frame: Frame, size: int) -> Slice:
    made = case.volume is None
    return Slice(
        f"{case.name}:{number}",
        case.patient,
        None if made else framed(picture, frame, size),
        framed_labels(labels, frame, size),
    )


def common_values(raw: npt.NDArray[np.integer], source: str) -> Labels:
    """Labels of a source as values of `referring.ORGANS`, everything else 0."""
    table = np.zeros(256, dtype=np.uint8)
    for old, new in VALUES[source].items():
        table[old] = new
    found: Labels = table[raw]
    return found


def stream_of(
    weights: Mapping[str, float], data: Path, *, seed: int, batch: int, size: int = 128, lesions: float = 0.5
) -> Stream:
    """Batches of moved pictures (b 1 h w) in [0, 1] with labels (b h w) of `referring`.

    Args:
        weights: source -> how often it is drawn.
        lesions: share of CT pictures that get lesions.
    """
    pools = {name: _pool(name, data, size) for name in weights}
    names = list(weights)
    shares = np.array([weights[name] for name in names]) / sum(weights.values())

    def one(step: int, part: int) -> Batch:
        images, labels = [], []
        for item in range(batch):
            rng = np.random.default_rng([seed, step, part, 2, item])
            source = names[int(rng.choice(len(names), p=shares))]
            picture, values = sample(pools[source], source, rng)
            if source != "acdc" and rng.random() < lesions:
                picture, values = with_lesions(picture, values, rng, scale=size / VIEW.patch[0])
            images.append(torch.from_numpy(picture)[None])
            labels.append(torch.from_numpy(values.astype(np.int64)))
        return Batch(torch.stack(images), torch.stack(labels))

    return one


def _pool(name: str, data: Path, size: int) -> list[Ready]:
    found = [one for case in DATASETS[name].cases(data, "train") for one in slices_of(case, name, size)]
    return [
        Ready(
            one.name,
            None if one.picture is None else torch.from_numpy(one.picture)[None].half(),
            torch.from_numpy(one.raw.copy()),
        )
        for one in found
    ]


def sample(pool: Sequence[Ready], source: str, rng: np.random.Generator) -> tuple[npt.NDArray[np.float32], Labels]:
    """A moved picture (h w) in [0, 1] and its labels."""
    appearance = hra_phantom.APPEARANCE if source == "hra_phantom" else None
    chosen = pool[int(rng.integers(len(pool)))]
    image, labels = draw(chosen, replace(VIEW, patch=tuple(chosen.labels.shape)), rng, {}, appearance)
    picture = image[0].numpy()
    if appearance is not None:  # `synthesise` answers the networks' CT window, back to HU first
        low, high = CT_WINDOW_HU
        picture = window_hu(picture * ((high - low) / 4) + (low + high) / 2)
    return np.clip(picture, 0, 1).astype(np.float32), common_values(labels.numpy().astype(np.uint8), source)


def with_lesions(
    picture: npt.NDArray[np.float32], labels: Labels, rng: np.random.Generator, *, scale: float = 1.0
) -> tuple[npt.NDArray[np.float32], Labels]:
    """One to four round or oval lesions, dark or bright, inside large organs; unchanged when none fits.

    They are drawn, not real: a change of the window's 0.12 to 0.35 (50 to 140 HU) with a soft edge.

    Args:
        scale: pixels of this picture per pixel of a network's.
    """
    picture, labels = picture.copy(), labels.copy()
    hosts = [value for value in HOSTS if (labels == value).sum() >= 150 * scale**2]
    free = np.isin(labels, hosts)
    numbers: dict[tuple[int, int], int] = {}
    for _ in range(int(rng.integers(1, 5)) if hosts else 0):
        host = int(rng.choice(hosts))
        radius = scale * float(rng.uniform(2.2, 3.5 if host in (2, 3) else 7.0))
        room = ndimage.distance_transform_edt(np.pad(free & (labels == host), 1))[1:-1, 1:-1]
        spots = np.argwhere(room > radius + 1)
        if not len(spots):
            continue
        blob = _oval(labels.shape, spots[int(rng.integers(len(spots)))], radius, rng)
        bright = int(rng.random() < 0.4)
        number = numbers.get((host, bright), 0)
        numbers[(host, bright)] = number + 1
        change = float(rng.uniform(0.12, 0.35)) * (1 if bright else -1)
        picture += change * ndimage.gaussian_filter(blob.astype(np.float32), 0.6 * scale)
        labels[blob] = LESION + 20 * HOSTS.index(host) + 10 * bright + number
        free &= ~ndimage.binary_dilation(blob, iterations=round(2 * scale))
    return np.clip(picture, 0, 1), labels


def _oval(
    shape: Sequence[int], centre: npt.NDArray[np.int64], radius: float, rng: np.random.Generator
) -> npt.NDArray[np.bool_]:
    """An oval whose longer half axis is `radius`."""
    y, x = np.ogrid[: shape[0], : shape[1]]
    angle, short = rng.uniform(0, np.pi), radius * rng.uniform(0.65, 1.0)
    dy, dx = y - centre[0], x - centre[1]
    along, across = dy * np.cos(angle) + dx * np.sin(angle), -dy * np.sin(angle) + dx * np.cos(angle)
    oval: npt.NDArray[np.bool_] = (along / radius) ** 2 + (across / short) ** 2 <= 1
    return oval
