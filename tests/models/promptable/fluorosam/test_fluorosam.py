"""FluoroSAM: phrases that fall on one code are one prompt, how the codes learn, tokens and sides, its layout."""

import pytest
import torch

from ostensor.imaging.errors import BadCall
from ostensor.models.blocks.sam.decoder import DecoderConfig
from ostensor.models.blocks.sam.sam import Given
from ostensor.models.promptable.fluorosam.network import FluoroConfig, FluoroSam, Quantiser
from ostensor.models.promptable.fluorosam.weights import load_fluorosam

SMALL = FluoroConfig(DecoderConfig(16, 2, 8, 20, 12, 8), 28, 4, 10, 7)
CLICKS = Given(torch.tensor([[[3.0, 9.0], [20.0, 5.0]]]), torch.tensor([[1, 0]]))
BOX = torch.tensor([[[1.0, 2.0, 9.0, 20.0]]])


def _net() -> FluoroSam:
    torch.manual_seed(0)
    net = FluoroSam(SMALL)
    for value in net.parameters():
        torch.nn.init.normal_(value, std=0.4)
    return net.eval()


def test_a_vector_becomes_the_nearest_code() -> None:
    """By comparing with every code."""
    torch.manual_seed(0)
    quantiser, x = Quantiser(9, 5).eval(), torch.randn(6, 5)
    codes = quantiser._codebook.embed[0]
    found = quantiser(x)
    for row in range(6):
        distances = [float((x[row] - code).detach().pow(2).sum()) for code in codes]
        assert int(found.index[row]) == distances.index(min(distances))
        assert torch.equal(found.vectors[row], codes[found.index[row]])


def test_gradients_pass_through_a_code_and_the_loss_teaches_both_sides() -> None:
    torch.manual_seed(0)
    quantiser, x = Quantiser(9, 5).train(), torch.randn(6, 5, requires_grad=True)
    found = quantiser(x)
    assert torch.allclose(found.vectors, quantiser._codebook.embed[0][found.index])
    (found.vectors * 3).sum().backward()
    assert torch.equal(x.grad, torch.full((6, 5), 3.0))
    assert quantiser._codebook.embed.grad is None
    quantiser(x.detach()).loss.backward()
    used = quantiser._codebook.embed.grad[0].abs().sum(1) > 0
    assert set(used.nonzero().flatten().tolist()) == set(found.index.tolist())


def test_phrases_of_one_code_draw_the_same_and_others_differ() -> None:
    net = _net()
    pooled = torch.randn(60, 10)
    index = net.prompt_encoder.phrases(pooled).index
    first, second = next((i, j) for i in range(60) for j in range(i + 1, 60) if index[i] == index[j])
    other = next(j for j in range(60) if index[j] != index[first])
    embedding = torch.randn(1, 16, 4, 4)
    with torch.no_grad():
        masks = [net.decode(embedding, pooled[[n]], Given())[0] for n in (first, second, other)]
    assert torch.equal(masks[0], masks[1])
    assert not torch.allclose(masks[0], masks[2])


def test_one_token_for_a_phrase_then_points_then_a_box_and_masks_of_eight_times_the_grid() -> None:
    net, pooled = _net(), torch.randn(1, 10)
    with torch.no_grad():
        counts = [
            None if found is None else found.shape[1]
            for found in (
                net.sparse(pooled, Given()),
                net.sparse(pooled, CLICKS),
                net.sparse(pooled, Given(CLICKS.points, CLICKS.labels, BOX)),
                net.sparse(None, Given()),
            )
        ]
        assert counts == [1, 4, 5, None], "a point that is none is added where there is no box"
        masks, iou = net.decode(torch.randn(1, 16, 4, 4), None, CLICKS)
    assert masks.shape == (1, 3, 32, 32)
    assert iou.shape == (1, 3)


def test_a_published_layout_loads_without_its_encoder_and_others_are_refused() -> None:
    net = _net()
    state = {
        f"sam.{key.replace('output_hypernetworks_mlps', 'mask_output_hypernetworks_mlps')}": value
        for key, value in net.state_dict().items()
    }
    loaded = load_fluorosam(state | {"sam.image_encoder.x": torch.zeros(1)}, FluoroConfig(size=28, grid=4))
    assert loaded.config == SMALL
    assert all(torch.equal(value, net.state_dict()[key]) for key, value in loaded.state_dict().items())
    with pytest.raises(BadCall, match="no codebook"):
        load_fluorosam({key: value for key, value in state.items() if "vq" not in key})
    with pytest.raises(BadCall, match="1 missing"):
        load_fluorosam({key: value for key, value in state.items() if "travel_tokens" not in key})
