"""The bundled network: what its answers may and may not depend on."""

import numpy as np
import pytest
import torch

from ostensor.models.language.satmini.network import SatMini, SatMiniConfig, ask


def made(dims: int = 3, seed: int = 0, neighbours: int = 0) -> SatMini:
    torch.manual_seed(seed)
    net = SatMini(SatMiniConfig(dims, (4, 8, 12), finest=8, embed=6, text_dim=5, hidden=7, neighbours=neighbours))
    with torch.no_grad():  # running statistics and scales away from their neutral start
        for name, value in net.state_dict().items():
            if value.is_floating_point():
                value.add_(0.1 * torch.rand_like(value) if "var" in name else 0.1 * torch.randn_like(value))
    return net.eval()


@pytest.mark.parametrize(("dims", "shape"), [(2, (20, 12)), (3, (20, 12, 28))])
def test_logits_have_the_images_size_and_one_channel_per_text(dims: int, shape: tuple[int, ...]) -> None:
    net = made(dims)
    with torch.no_grad():
        logits = net(torch.randn(2, 1, *shape), torch.randn(3, 5))
    assert logits.shape == (2, 3, *shape)


def test_masks_do_not_depend_on_the_other_texts() -> None:
    net, text = made(), torch.randn(4, 5)
    image = torch.randn(1, 1, 20, 12, 28)
    with torch.no_grad():
        together = net(image, text)
        alone = torch.cat([net(image, text[n : n + 1]) for n in range(4)], dim=1)
    assert torch.allclose(together, alone, atol=1e-5)


def test_asking_is_a_dot_product_with_a_bias() -> None:
    features, weights = torch.randn(2, 6, 3, 5), torch.randn(4, 7)
    expected = np.einsum("bcxy,nc->bnxy", features.numpy(), weights[:, :6].numpy())
    expected += weights[:, 6].numpy()[None, :, None, None]
    assert np.allclose(ask(features, weights).numpy(), expected, atol=1e-5)


def test_training_scales_are_halved_and_the_finest_is_the_answer() -> None:
    net, image, text = made(), torch.randn(1, 1, 16, 24, 32), torch.randn(2, 5)
    with torch.no_grad():
        scales = net.supervised(image, text)
        answer = net(image, text)
    assert [tuple(s.shape[2:]) for s, _ in scales] == [(16, 24, 32), (8, 12, 16)]
    assert torch.equal(scales[0][0], answer)


def test_the_configuration_survives_a_file() -> None:
    config = SatMiniConfig(dims=2, features=(4, 8))
    assert SatMiniConfig.from_json(config.to_json()) == config
    assert SatMiniConfig(dims=2, features=(4, 8, 16, 32)).stride == 8
