"""Every backbone fits itself to a scan by entropy and is afterwards bit for bit as before."""

import pytest
import torch
from torch import nn

from ostensor.imaging.errors import BadCall
from ostensor.models.backbones.row import Backbone
from ostensor.models.backbones.table import BACKBONES
from ostensor.models.uncertainty.adapting import Adaptation, answer_fitted, entropy, norm_affines


@pytest.mark.parametrize("row", BACKBONES, ids=lambda row: row.name)
def test_a_backbone_fits_itself_and_forgets(row: Backbone) -> None:
    torch.manual_seed(0)
    net = row.build(row.dims[0], 1, 3, {}).train()
    before = {key: value.clone() for key, value in net.state_dict().items()}
    image = torch.randn(1, 1, *net.minimum, generator=torch.Generator().manual_seed(1))
    fitted = answer_fitted(net, image, Adaptation(steps=2, learning_rate=1e-4, most_change=1.0))
    assert net.training
    assert all(torch.equal(before[key], value) for key, value in net.state_dict().items())
    assert fitted.log.parameters == sum(value.numel() for value in norm_affines(net).values())
    assert fitted.log.entropies[0] == pytest.approx(float(entropy(fitted.plain, "softmax").mean()), rel=1e-4)
    assert len(fitted.log.entropies) == 3
    assert fitted.log.entropies[-1] < fitted.log.entropies[0]
    assert float(entropy(fitted.adapted, "softmax").mean()) == pytest.approx(fitted.log.entropies[-1], rel=1e-4)
    with torch.no_grad():
        assert torch.allclose(net.eval()(image).logits, fitted.plain, atol=1e-6)


def test_only_what_lies_inside_counts() -> None:
    row = BACKBONES[0]
    torch.manual_seed(0)
    net = row.build(2, 1, 3, {})
    image = torch.randn(1, 1, *net.minimum)
    inside = torch.zeros(1, *net.minimum, dtype=torch.bool)
    inside[:, 1:3, 2:5] = True
    fitted = answer_fitted(net, image, Adaptation(steps=0), inside=inside)
    there = entropy(fitted.plain, "softmax")[inside].mean()
    assert fitted.log.entropies == (pytest.approx(float(there), rel=1e-5),)
    with pytest.raises(BadCall, match="marks nothing"):
        answer_fitted(net, image, inside=torch.zeros_like(inside))


def test_what_is_no_network_or_has_no_norm_is_refused() -> None:
    with pytest.raises(BadCall, match="Conv2d has no norm layer"):
        answer_fitted(nn.Conv2d(1, 2, 1), torch.zeros(1, 1, 4, 4))
    with pytest.raises(BadCall, match="function is no module"):
        answer_fitted(lambda image: image, torch.zeros(1, 1, 4, 4))  # type: ignore[arg-type, return-value]
