"""FLanS and LSMS learn toys on which only the sentence, or only the place in the picture, can tell what is meant."""

import numpy as np
import pytest
import torch

from ostensor.models.blocks.square import apply_element
from ostensor.models.language.flans.decoder import DecoderConfig
from ostensor.models.language.flans.image import EncoderConfig
from ostensor.models.language.flans.network import Flans, FlansConfig, mask_losses
from ostensor.models.language.flans.symmetry import ScorerConfig
from ostensor.models.language.flans.text import TowerConfig
from ostensor.models.language.lsms.network import Lsms, LsmsConfig, segmentation_losses

pytestmark = pytest.mark.slow
SIDE, MIRROR = 64, 4  # element 4 swaps left and right
SMALL_FLANS = FlansConfig(
    encoder=EncoderConfig(SIDE, 8, 48, 2, 4, 2.0, (0, 1), 3, 32, trunk=(8, 16, 32, 48, 48)),
    decoder=DecoderConfig(32, 2, 2, 48, 16, 8, fine=(32, 16)),
    tower=TowerConfig(31, 20, 24, 2, 2, 7),
    text=20,
    tokens=7,
    intentions=5,
    scorer=ScorerConfig(channels=4, pool=2, grid=4),
)
SMALL_LSMS = LsmsConfig((12, 16, 24, 32), (1, 1, 2, 1), (2, 2, 2, 2), text=13, squeeze=32, rank=4, embed=11, drop=0.0)


def phantom(rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """A grey picture (side side) with two bright discs, and their masks (2 side side), left one first."""
    y, x = np.mgrid[:SIDE, :SIDE]
    rows, columns = rng.uniform(14, 50, 2), (rng.uniform(12, 24), rng.uniform(40, 52))
    radii = rng.permutation([rng.uniform(5, 6.5), rng.uniform(8.5, 10)])
    discs = np.stack([(y - r) ** 2 + (x - c) ** 2 < s**2 for r, c, s in zip(rows, columns, radii, strict=True)])
    picture = 0.3 + 0.5 * discs.any(0) + 0.03 * rng.standard_normal((SIDE, SIDE))
    return torch.from_numpy(picture.astype(np.float32)), torch.from_numpy(discs)


def phantoms(count: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    made = [phantom(np.random.default_rng([seed, n])) for n in range(count)]
    return torch.stack([one[0] for one in made])[:, None].expand(-1, 3, -1, -1), torch.stack([one[1] for one in made])


def overlap(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Intersection over union over the last two axes."""
    return (a & b).sum((-2, -1)) / (a | b).sum((-2, -1)).clamp(min=1)


def test_a_place_in_the_picture_stays_where_it_is_when_the_picture_is_mirrored() -> None:
    """FLanS spec §13.4, canonicaliser off: "left-most" marks the other disc after a flip."""
    torch.manual_seed(0)
    net = Flans(SMALL_FLANS)
    words = torch.randn(2, 7, 20, generator=torch.Generator().manual_seed(2))  # "left-most", "right-most"
    optimizer = torch.optim.Adam([p for p in net.parameters() if p.requires_grad], lr=2e-3)
    for step in range(400):
        picture, discs = phantoms(8, step)
        logits, _ = net(picture, words.expand(8, -1, -1, -1))
        targets = torch.nn.functional.interpolate(discs.float(), size=logits.shape[2:], mode="area")
        loss = torch.stack(list(mask_losses(logits, targets).values())).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    net.eval()
    picture, discs = phantoms(16, 10_000)
    with torch.no_grad():
        for element, truth in ((0, discs), (MIRROR, apply_element(MIRROR, discs).flip(1))):
            logits, _ = net(apply_element(element, picture), words.expand(16, -1, -1, -1))
            masks = torch.nn.functional.interpolate(logits, size=(SIDE, SIDE), mode="bilinear") > 0
            own, other = overlap(masks, truth), overlap(masks, truth.flip(1))
            assert own.mean() > 0.7, element
            assert other.mean() < 0.1, element


def test_largest_and_left_are_told_apart_on_the_same_picture() -> None:
    """LSMS spec §13.8: overfit 64 phantoms; two sentences, two masks; the wrong sentence does not give the first mask."""
    torch.manual_seed(0)
    net = Lsms(SMALL_LSMS)
    words = torch.randn(2, 5, 13, generator=torch.Generator().manual_seed(2))  # "the largest", "the left one"
    picture, discs = phantoms(64, 3)
    largest = discs.sum((-2, -1)).argmax(1)
    targets = torch.stack([discs[torch.arange(64), largest], discs[:, 0]], 1)
    valid = torch.ones(64, 5, dtype=torch.bool)
    optimizer = torch.optim.Adam(net.parameters(), lr=3e-3)
    for step in range(500):
        rows = torch.from_numpy(np.random.default_rng([5, step]).choice(64, 16, replace=False))
        said = torch.from_numpy(np.random.default_rng([6, step]).integers(0, 2, 16))
        output = net(picture[rows], words[said], valid[:16])
        terms = segmentation_losses(output, targets[rows, said].float())
        optimizer.zero_grad()
        torch.stack(list(terms.values())).sum().backward()
        optimizer.step()
    net.eval()
    differ = largest == 1
    assert 20 < int(differ.sum()) < 44
    with torch.no_grad():
        found = [
            net(picture[differ], words[n].expand(int(differ.sum()), -1, -1), valid[differ]).logits > 0 for n in (0, 1)
        ]
    for n, mask in enumerate(found):
        assert overlap(mask, targets[differ, n]).mean() > 0.8
    assert overlap(found[1], targets[differ, 0]).mean() < 0.3


def test_the_toys_are_what_they_say() -> None:
    """The left disc is left, sizes differ by half or more, and mirroring swaps the two."""
    _picture, discs = phantoms(9, 1)
    columns = torch.arange(SIDE).float()
    centres = (discs.sum(2) * columns).sum(-1) / discs.sum((2, 3))
    assert (centres[:, 0] < centres[:, 1]).all()
    sizes = discs.sum((-2, -1)).float()
    assert (sizes.amax(1) > 1.5 * sizes.amin(1)).all()
    mirrored = apply_element(MIRROR, discs)
    assert torch.equal(mirrored, discs.flip(-1))
