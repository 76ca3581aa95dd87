"""A network of ordinary size for the speed benchmark, trained here on made bodies in minutes.

The bundled networks are small and coarse, which is most of their speed. To compare engines, not networks, both sides of
`bench segment` run this one: a U-Net of 2 mm voxels and the width of the plain networks people run, whose masks are good
enough that lost context or precision would show.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file

from ...imaging.phantoms import TORSO, torso_ct
from ...models.inference.hardware import has_fast_bf16
from ...models.inference.preprocess import Preparation, normalised
from ...models.language.satmini.network import SatMini, SatMiniConfig
from ...models.text.encoders import known_vectors
from ...training.regimes.losses import soft_dice_loss

SPACING_MM = 2.0
CONFIG = SatMiniConfig(dims=3, features=(16, 32, 64, 128, 256))
HOW = Preparation(3, (SPACING_MM, SPACING_MM, SPACING_MM), "ct")
NAMES = tuple(TORSO)
STEPS, PATCH, BATCH = 300, 64, 2
_BODIES = 6
_FIELD = ((-190.0, 190.0), (-140.0, 140.0), (-230.0, 250.0))


def load_or_train(path: Path, report: Callable[[float, str], None], *, steps: int = STEPS, seed: int = 0) -> SatMini:
    """The network of a file, trained and written there first if the file is not there."""
    if not path.exists():
        trained = train(report, steps=steps, seed=seed)
        save_file({name: value.contiguous() for name, value in trained.state_dict().items()}, path)
    net = SatMini(CONFIG)
    net.load_state_dict(load_file(path))
    net.eval()
    return net


def train(report: Callable[[float, str], None], *, steps: int = STEPS, seed: int = 0) -> SatMini:
    """Patches of bodies that lie differently in the scan and have their own noise; the scan of the benchmark is another."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    bodies = [_body(number + 1, rng) for number in range(_BODIES)]
    text = torch.from_numpy(np.stack([known_vectors()[name] for name in NAMES]))
    net = SatMini(CONFIG).train()
    net.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]  # torch's types forget it
    optimizer = torch.optim.AdamW(net.parameters(), 2e-3)
    pace = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=steps)
    fast = has_fast_bf16(torch.device("cpu"))
    for step in range(steps):
        image, owner = _patches(bodies, rng)
        with torch.autocast("cpu", torch.bfloat16, enabled=fast):
            logits = net(image, text)
        # A mask is where a structure's logit is above 0, so the background's is 0.
        scores = torch.cat([torch.zeros_like(logits[:, :1]), logits], dim=1).float()
        there = [number for number in range(1, len(NAMES) + 1) if (owner == number).any()]
        targets = torch.stack([owner == number for number in there], dim=1).float() if there else scores[:, :0]
        loss = F.cross_entropy(scores, owner.long())
        if there:
            loss = loss + soft_dice_loss(scores[:, there], targets)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        pace.step()
        report((step + 1) / steps, f"training the network of the benchmark, loss {float(loss.detach()):.3f}")
    net.eval()
    return net


def _body(seed: int, rng: np.random.Generator) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.uint8]]:
    moved = [(low + shift, high + shift) for (low, high), shift in zip(_FIELD, rng.uniform(-20, 20, 3), strict=True)]
    phantom = torso_ct(spacing_mm=(SPACING_MM,) * 3, field_mm=(moved[0], moved[1], moved[2]), seed=seed)
    owner = np.zeros(phantom.volume.grid.shape, dtype=np.uint8)
    for number, name in enumerate(NAMES, start=1):
        owner[phantom.masks[name].array] = number
    return normalised(phantom.volume.array, "ct", calibrated=True), owner


def _patches(
    bodies: list[tuple[npt.NDArray[np.float32], npt.NDArray[np.uint8]]], rng: np.random.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    images, owners = [], []
    for _ in range(BATCH):
        image, owner = bodies[rng.integers(len(bodies))]
        start = [int(rng.integers(length - PATCH + 1)) for length in image.shape]
        cut = tuple(slice(first, first + PATCH) for first in start)
        images.append(image[cut])
        owners.append(owner[cut])
    return torch.from_numpy(np.stack(images)[:, None]), torch.from_numpy(np.stack(owners))
