"""ScribblePrompt-UNet: the published size, where every mark lands, and what is refused."""

import math

import pytest
import torch

from ostensor.imaging.errors import BadCall
from ostensor.models.promptable.scribbleprompt.network import (
    Drawn,
    ScribbleConfig,
    ScribbleUnet,
    channels_of,
    rescaled,
)
from ostensor.models.promptable.scribbleprompt.weights import load_scribble

PUBLISHED = 3_991_882  # interactive.md 3.1, counted on the released file


def _net(dims: int = 2) -> ScribbleUnet:
    torch.manual_seed(0)
    return ScribbleUnet(ScribbleConfig((5, 7, 6), dims)).eval()


def test_the_published_network_has_the_published_number_of_weights() -> None:
    with torch.device("meta"):
        net = ScribbleUnet()
    assert sum(value.numel() for value in net.parameters()) == PUBLISHED


def test_every_mark_has_its_channel() -> None:
    """Image, box (half-open, corners in any order), meant, not meant, last logits as they are."""
    image = torch.rand(1, 1, 5, 7)
    scribbles = torch.zeros(1, 2, 5, 7)
    scribbles[0, 0, 0, :3] = 0.5
    scribbles[0, 1, 4, 6] = 1
    drawn = Drawn(
        points=torch.tensor([[[0, 1], [3, 2], [2, 2]]]),
        labels=torch.tensor([[1, 0, -1]]),
        boxes=torch.tensor([[[[4, 1], [2, 5]]]]),
        scribbles=scribbles,
        previous=torch.full((1, 1, 5, 7), -13.0),
    )
    found = channels_of(image, drawn)[0]
    box, meant, other = (torch.zeros(5, 7) for _ in range(3))
    box[2:4, 1:5] = 1
    meant[0, :3] = 0.5
    meant[0, 1] = 1  # a click and half a scribble are one, not one and a half
    other[3, 2] = other[4, 6] = 1
    for number, wanted in enumerate((image[0, 0], box, meant, other, torch.full((5, 7), -13.0))):
        assert torch.equal(found[number], wanted), number


@pytest.mark.parametrize("last", [0, 1])
def test_a_later_click_replaces_an_earlier_one_on_the_same_pixel(last: int) -> None:
    drawn = Drawn(points=torch.tensor([[[1, 2], [1, 2]]]), labels=torch.tensor([[1 - last, last]]))
    found = channels_of(torch.zeros(1, 1, 4, 4), drawn)
    assert (float(found[0, 2, 1, 2]), float(found[0, 3, 1, 2])) == (last, 1 - last)


@pytest.mark.parametrize(("dims", "shape"), [(2, (8, 24)), (3, (8, 16, 24))])
def test_it_answers_at_the_size_of_the_picture_and_reads_every_channel(dims: int, shape: tuple[int, ...]) -> None:
    net = _net(dims)
    x = torch.rand(1, 5, *shape)
    with torch.no_grad():
        plain = net(x)
        assert plain.shape == (1, 1, *shape)
        for channel in range(5):
            changed = x.clone()
            changed[:, channel] += 1
            assert not torch.allclose(net(changed), plain), channel


def test_sides_that_do_not_halve_are_refused() -> None:
    with pytest.raises(ValueError, match="multiples of 8"):
        _net()(torch.zeros(1, 5, 8, 12))


def test_marks_move_with_the_picture_to_another_size() -> None:
    """Places are cut down to whole pixels: 3 of 5 rows is 4.8 of 8, 6 of 7 columns 13.7 of 16."""
    _, moved = rescaled(torch.rand(1, 1, 5, 7), Drawn(torch.tensor([[[3, 6]]]), torch.tensor([[1]])), (8, 16))
    assert moved.points is not None
    assert moved.points.tolist() == [[[4, 13]]]


def test_a_published_layout_loads_and_other_files_are_refused() -> None:
    state = _net().state_dict()
    loaded = load_scribble({key: value.half() for key, value in state.items()})
    assert loaded.config == ScribbleConfig((5, 7, 6), 2)
    x = torch.rand(1, 5, 8, 16)
    with torch.no_grad():
        assert torch.allclose(loaded(x), _net()(x), atol=1e-2), "half precision"
    with pytest.raises(BadCall, match="no ScribblePrompt-UNet"):
        load_scribble({"image_encoder.pos_embed": torch.zeros(1)})
    with pytest.raises(BadCall, match="takes 3 channels"):
        load_scribble(state | {"downs.0.conv.0.weight": torch.zeros(5, 3, 3, 3)})
    short = {key: value for key, value in state.items() if key != "ups.3.conv.1.weight"}
    with pytest.raises(BadCall, match=r"1 missing \(first: ups.3.conv.1.weight\)"):
        load_scribble(short)
    with pytest.raises(BadCall, match=r"'final_conv.conv.0.bias' has the shape \[2\] and not \[1\]"):
        load_scribble(state | {"final_conv.conv.0.bias": torch.zeros(2)})
    with pytest.raises(BadCall, match="not finite"):
        load_scribble(state | {"final_conv.conv.0.bias": torch.full((1,), math.nan)})
