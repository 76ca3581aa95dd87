"""The engine on toy networks: conditioning, seeds, inpainting, cancelling."""

import pytest
import torch
import torch.nn.functional as F

from ostensor.imaging.errors import BadCall
from ostensor.models.interface import Cancelled
from ostensor.models.synthesis.networks.denoiser import Denoiser, NetworkConfig
from ostensor.models.synthesis.networks.diffusion import DiffusionTask, Run, _visits
from ostensor.models.synthesis.networks.samplers import Sampler

SHAPE = (2, 1, 12, 20)


def _config(condition: str, **changes: object) -> NetworkConfig:
    return NetworkConfig(
        **{"dims": 2, "channels": (8, 16), "condition": condition, "maps": 0 if condition == "none" else 3, **changes}  # type: ignore[arg-type]  # a table of settings
    )


def _task(condition: str = "concat", kind: str = "rflow", **changes: object) -> DiffusionTask:
    torch.manual_seed(0)
    net = Denoiser(_config(condition, **changes)).eval()
    with torch.no_grad():  # MONAI starts the last layers at zero, where nothing could show
        for name, value in net.named_parameters():
            if float(value.abs().sum()) == 0 and "weight" in name:
                value.normal_(0, 0.3, generator=torch.Generator().manual_seed(1))
    return DiffusionTask(net, Sampler(kind))  # type: ignore[arg-type]  # parametrised


def _noise(seed: int = 0, shape: tuple[int, ...] = SHAPE) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def _sample(task: DiffusionTask, maps: torch.Tensor | None, seed: int = 0, **run: object) -> torch.Tensor:
    return task.sample(_noise(seed), maps, torch.Generator().manual_seed(seed), Run(**{"steps": 3, **run}))  # type: ignore[arg-type]


@pytest.mark.parametrize("condition", ["concat", "spade", "control", "cross"])
def test_every_way_of_conditioning_reaches_the_image(condition: str) -> None:
    """Same noise, another condition, another image; the same condition, the same image bit by bit."""
    task = _task(condition)
    maps = _noise(7, (2, 3, 12, 20))
    assert torch.equal(_sample(task, maps), _sample(task, maps))
    assert not torch.allclose(_sample(task, maps), _sample(task, -maps), atol=1e-4)


@pytest.mark.parametrize("kind", ["ddim", "rflow"])
def test_seeds_give_identical_output(kind: str) -> None:
    task = _task("none", kind)
    assert torch.equal(_sample(task, None, 3), _sample(task, None, 3))
    assert not torch.equal(_sample(task, None, 3), _sample(task, None, 4))


def test_small_volumes_work_as_slices_do() -> None:
    """3-D: (b c x y z), and the kept half stays."""
    task = _task("concat", dims=3)
    image, maps = _noise(1, (1, 1, 4, 8, 6)), _noise(2, (1, 3, 4, 8, 6))
    keep = torch.zeros_like(image)
    keep[..., :3] = 1
    made = task.sample_inpaint(image, keep, maps, _noise(3, image.shape), torch.Generator(), Run(2))
    assert torch.equal(made[..., :3], image[..., :3])
    assert not torch.equal(made[..., 3:], image[..., 3:])


@pytest.mark.parametrize("kind", ["ddim", "rflow"])
@pytest.mark.parametrize("jump", [0, 2])
def test_inpainting_keeps_the_foreground_bit_by_bit(kind: str, jump: int) -> None:
    task = _task("concat", kind)
    image, maps = _noise(1), _noise(2, (2, 3, 12, 20))
    keep = torch.zeros_like(image)
    keep[:, :, 2:7, 3:11] = 1
    run = Run(5, jump=jump, repeats=2)
    made = task.sample_inpaint(image, keep, maps, _noise(3), torch.Generator().manual_seed(0), run)
    assert torch.equal(made[keep > 0], image[keep > 0])
    other = task.sample_inpaint(image, keep, maps, _noise(4), torch.Generator().manual_seed(1), run)
    assert not torch.equal(made[keep == 0], other[keep == 0])


def test_keeping_all_returns_the_image_and_keeping_nothing_samples() -> None:
    task = _task("concat")
    image, maps, noise = _noise(1), _noise(2, (2, 3, 12, 20)), _noise(3)

    def synthesized(keep: torch.Tensor) -> torch.Tensor:
        return task.sample_inpaint(image, keep, maps, noise, torch.Generator().manual_seed(0), Run(4))

    assert torch.equal(synthesized(torch.ones_like(image)), image)
    plain = task.sample(noise, maps, torch.Generator().manual_seed(0), Run(4))
    assert torch.equal(synthesized(torch.zeros_like(image)), plain)


def test_guidance_one_is_conditional_zero_is_unconditional_and_between_is_linear() -> None:
    """e = e_uncond + w (e_cond - e_uncond) in a single Euler step, so the image is linear in w, too."""
    task = _task("concat")
    maps = _noise(2, (2, 3, 12, 20))
    with_it, without, half = (_sample(task, maps, steps=1, guidance=w) for w in (1.0, 0.0, 0.5))
    assert torch.allclose(half, (with_it + without) / 2, atol=1e-5)
    assert torch.allclose(without, _sample(task, None, steps=1), atol=1e-6)
    assert not torch.allclose(with_it, without, atol=1e-4)


def test_progress_is_told_at_every_step_and_cancelling_stops_before_the_next() -> None:
    task = _task("none")
    heard: list[tuple[int, int]] = []
    _sample(task, None, steps=4, on_step=lambda done, total: heard.append((done, total)))
    assert heard == [(1, 4), (2, 4), (3, 4), (4, 4)]
    heard.clear()
    with pytest.raises(Cancelled):
        _sample(
            task,
            None,
            steps=4,
            on_step=lambda done, total: heard.append((done, total)),
            cancelled=lambda: len(heard) == 2,
        )
    assert len(heard) == 2


def test_jumps_repeat_each_block_but_the_last() -> None:
    """Six steps, jumps of two, twice: 0 1, 0 1, 2 3, 2 3, 4 5."""
    order = _visits(6, 2, 2)
    assert [number for number, _ in order] == [0, 1, 0, 1, 2, 3, 2, 3, 4, 5]
    assert [back for _, back in order] == [None, None, 2, None, None, None, 4, None, None, None]


def test_a_toy_learns_to_follow_its_condition_and_swapped_labels_swap_their_values() -> None:
    """Two labels of value 0.8 and -0.8; after a short training their places decide, not the noise."""
    torch.manual_seed(0)
    net = Denoiser(NetworkConfig(dims=2, channels=(8, 16), condition="concat", maps=2))
    task = DiffusionTask(net, Sampler("rflow"))
    optimizer = torch.optim.Adam(net.parameters(), lr=5e-3)
    generator = torch.Generator().manual_seed(0)
    losses = []
    for _ in range(120):
        first = (F.interpolate(torch.randn((6, 1, 3, 3), generator=generator), 12) > 0).float()
        maps = torch.cat([first, 1 - first], 1)
        loss = task.loss(1.6 * first - 0.8, maps, generator)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert sum(losses[-20:]) < 0.4 * sum(losses[:20])
    left = torch.zeros(1, 1, 12, 12)
    left[..., :6] = 1
    maps = torch.cat([left, 1 - left], 1)
    noise = _noise(9, (1, 1, 12, 12))
    made = task.sample(noise, maps, torch.Generator(), Run(8))
    swapped = task.sample(noise, maps.flip(1), torch.Generator(), Run(8))
    assert float(made[..., :6].mean()) > 0.3 > -0.3 > float(made[..., 6:].mean())
    assert float(swapped[..., :6].mean()) < -0.3 < 0.3 < float(swapped[..., 6:].mean())


def test_wrong_conditions_and_keep_masks_are_refused() -> None:
    task = _task("concat")
    with pytest.raises(BadCall, match="5 channels"):
        _sample(task, torch.zeros(2, 5, 12, 20))
    with pytest.raises(BadCall, match="0 and 1"):
        task.sample_inpaint(_noise(), torch.full(SHAPE, 0.5), None, _noise(), torch.Generator(), Run(1))
