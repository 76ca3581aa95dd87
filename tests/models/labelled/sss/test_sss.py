"""SSS-style network: what two views make together, which windows make a box, how classes and boxes are asked for. A reconstruction: laws, no parity."""

import pytest
import torch
from transformers import Sam2VideoConfig, Sam2VideoModel

from ostensor.models.labelled.sss.network import Enhancement, SssConfig, SssNet
from ostensor.models.labelled.sss.prompting import Boxes, Constraints, find_boxes

SMALL = SssConfig(3, 64, 8, (1, 1, 2, 1), 1, (4, 2, 4, 2), (3,), (2, 2), 32, 24)
PICTURES = torch.rand(2, 1, 64, 64, generator=torch.Generator().manual_seed(5))


@pytest.fixture(scope="module")
def net() -> SssNet:
    torch.manual_seed(0)
    net = SssNet(SMALL)
    for value in net.parameters():
        torch.nn.init.normal_(value, std=0.4)
    return net.eval()


def test_two_equal_views_are_one_and_opposite_ones_leave_what_the_second_has_beyond_the_first() -> None:
    """Before the convolution, which starts as a copy: s = 1 gives (a + a) / 2, s = 0 gives b - a."""
    one = Enhancement(6)
    a = torch.randn(2, 6, 3, 5)
    assert torch.allclose(one(a, a), a, atol=1e-5)
    assert torch.allclose(one(a, -a), -2 * a, atol=1e-5)
    b = torch.randn(2, 6, 3, 5)
    s = ((a * b).sum(1) / (a.norm(dim=1) * b.norm(dim=1))).clamp(min=0)[:, None]
    assert torch.allclose(one(a, b), s * (a + b) / 2 + (1 - s) * (b - a), atol=1e-5)


def _chances(*blobs: tuple[int, slice, slice, float], side: int = 32) -> torch.Tensor:
    found = torch.zeros(1, 3, side, side)
    for number, rows, columns, sure in blobs:
        found[0, number, rows, columns] = sure
    found[0, 0] = 1 - found[0, 1:].sum(0)
    return found


def test_a_box_goes_around_what_is_sure_and_leaves_out_what_lies_far_off() -> None:
    chances = _chances((1, slice(3, 13), slice(5, 17), 0.9), (1, slice(26, 31), slice(25, 31), 0.9))
    found = find_boxes(chances, Constraints(margin=0.0))
    assert found.there.tolist() == [[True, False]]
    assert (32 * found.corners[0, 0]).tolist() == [5, 3, 17, 13]
    wider = find_boxes(chances, Constraints(margin=1 / 32))
    assert (32 * wider.corners[0, 0]).tolist() == pytest.approx([4, 2, 18, 14])


def test_what_is_unsure_or_thin_makes_no_box() -> None:
    assert not find_boxes(_chances((1, slice(3, 13), slice(5, 17), 0.6))).there.any()
    assert not find_boxes(_chances((2, slice(3, 4), slice(5, 7), 0.99))).there.any()
    assert find_boxes(_chances((2, slice(3, 4), slice(5, 7), 0.99)), Constraints(filled=0.0)).there.tolist() == [
        [False, True]
    ]


def test_a_side_that_windows_do_not_divide_is_covered_to_its_end() -> None:
    found = find_boxes(_chances((1, slice(27, 37), slice(25, 37), 0.9), side=37), Constraints(margin=0.0))
    assert (37 * found.corners[0, 0]).tolist() == pytest.approx([25, 27, 37, 37])


def test_nothing_is_always_zero_and_classes_are_told_by_their_tokens_alone(net: SssNet) -> None:
    with torch.no_grad():
        maps = net.embed(PICTURES)
        assert [tuple(one.shape[1:]) for one in maps] == [(4, 16, 16), (8, 8, 8), (32, 4, 4)]
        before = net.look(maps)
        assert before.shape == (2, 4, 16, 16)
        assert not before[:, 0].any()
        assert (before[:, 1] - before[:, 2]).abs().max() > 0.01
        kept = net.classes.weight.clone()
        net.classes.weight.copy_(kept[[2, 0, 1]])
        turned = net.look(maps)
        net.classes.weight.copy_(kept)
    assert torch.allclose(turned[:, 1:], before[:, [3, 1, 2]], atol=1e-3)


def test_a_box_speaks_and_one_that_is_not_there_says_nothing(net: SssNet) -> None:
    with torch.no_grad():
        maps = net.embed(PICTURES)
        corners = torch.tensor([0.1, 0.2, 0.7, 0.9]).expand(2, 3, 4)
        there = torch.tensor([[True, False, False]]).expand(2, 3)
        one, other = (net.look(maps, Boxes(shifted, there)) for shifted in (corners, corners * 0.5))
    assert (one[:, 1] - other[:, 1]).abs().max() > 0.01
    assert torch.allclose(one[:, 2:], other[:, 2:], atol=1e-3)


def test_the_second_look_is_prompted_by_the_first(net: SssNet) -> None:
    with torch.no_grad():
        maps = net.embed(PICTURES)
        maps = net.join(maps, maps)
        boxes = find_boxes(net.look(maps).softmax(1))
        assert torch.equal(net(PICTURES), net.look(maps, boxes))


def test_a_sam_2_1_is_taken_over_without_its_memory(net: SssNet) -> None:
    """From transformers' film model of the same sizes; what it draws for a box is what its own picture model would."""
    config = net.sam2.config
    film = Sam2VideoModel(
        Sam2VideoConfig(
            vision_config=config.vision_config,
            prompt_encoder_config=config.prompt_encoder_config.to_dict(),
            mask_decoder_config=config.mask_decoder_config.to_dict(),
            image_size=64,
            memory_attention_hidden_size=32,
            memory_encoder_hidden_size=32,
        )
    )
    own = SssNet(SMALL)
    own.begin_with_(film.state_dict())
    assert all(torch.equal(value, film.state_dict()[key]) for key, value in own.sam2.state_dict().items())
    with pytest.raises(ValueError, match="other sizes"):
        SssNet(SssConfig(3, 64, 16, (1, 1, 2, 1), 1, (4, 2, 4, 2), (3,), (2, 2), 32, 24)).begin_with_(film.state_dict())


def test_sizes_survive_the_file_beside_the_weights() -> None:
    assert SssConfig.from_json(SMALL.to_json()) == SMALL
