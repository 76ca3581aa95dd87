"""Self-distillation: the divergence by hand, who gets its gradient, and that heads stay behind."""

import numpy as np
import pytest
import torch

from ostensor.models.backbones.table import backbone
from ostensor.training.objective import LABELLED, MODEL, Batch, State
from ostensor.training.regimes.semi.dsd import HEADS, Dsd, distil_levels, distilled


def maps(count: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(2, 3, 5, 7, generator=generator, requires_grad=True) for _ in range(count)]


def test_the_divergence_is_the_sum_over_classes_and_the_mean_over_voxels() -> None:
    teacher, student = maps(2)
    t, s = (np.exp(x.detach().numpy() / 2.5) for x in (teacher, student))
    t, s = (x / x.sum(1, keepdims=True) for x in (t, s))
    expected = (t * np.log(t / s)).sum() / (2 * 5 * 7)
    assert float(distilled(teacher, student, 2.5).detach()) == pytest.approx(expected, rel=1e-4)


def test_the_deepest_teaches_every_other_level_and_pairs_are_added() -> None:
    levels = maps(4)
    expected = 9 * sum(float(distilled(levels[3], one, 3.0).detach()) for one in levels[:3])
    assert float(distil_levels(levels, 3.0).detach()) == pytest.approx(expected, rel=1e-5)
    assert float(distil_levels(levels[:1], 3.0).detach()) == 0


@pytest.mark.parametrize("detach", [False, True])
def test_teachers_get_gradient_unless_spared(detach: bool) -> None:
    torch.manual_seed(0)
    net = backbone("unet").build(2, 1, 1, {"features": [4, 6, 8], "finest": 4})
    objective = Dsd({"liver": (1,)}, detach=detach)
    roles = objective.roles(net)
    labels = torch.randint(0, 2, (2, 16, 24))
    batch = {LABELLED: Batch(labels[:, None].float(), labels)}
    terms = objective.losses("main", roles, batch, State(0, 1, np.random.default_rng(0)))
    terms["distilled"].backward()
    slopes = {name: value.grad for name, value in roles[HEADS].named_parameters()}
    assert slopes["points.encoder_0.weight"].abs().sum() > 0
    deepest = slopes["points.encoder_2.weight"]
    assert (deepest is None or not deepest.any()) == detach


def test_what_is_exported_has_no_heads_and_answers_as_the_role_does() -> None:
    torch.manual_seed(0)
    net = backbone("unet").build(3, 1, 1, {"features": [4, 6], "finest": 4})
    objective = Dsd({"liver": (1,)})
    roles = objective.roles(net)
    exported = objective.exported(roles)
    assert exported is roles[MODEL]
    assert not any("points" in name for name in exported.state_dict())
    assert net.training, "asking for widths leaves the network as it was"


def test_maps_of_a_padded_image_are_cut_to_it() -> None:
    """Sides that the network does not divide."""
    net = backbone("unet").build(2, 1, 1, {"features": [4, 6, 8], "finest": 4})
    objective = Dsd({"liver": (1,)})
    labels = torch.randint(0, 2, (2, 18, 23))
    batch = {LABELLED: Batch(labels[:, None].float(), labels)}
    terms = objective.losses("main", objective.roles(net), batch, State(0, 1, np.random.default_rng(0)))
    assert all(bool(torch.isfinite(value)) for value in terms.values())
