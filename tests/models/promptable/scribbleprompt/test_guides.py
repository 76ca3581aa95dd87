"""What grey values make of marks, by pictures of which everybody sees the answer; and networks that take it."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from ostensor.imaging.errors import BadCall
from ostensor.models.catalogue import card
from ostensor.models.interface import Prompt
from ostensor.models.promptable.flat import Marks
from ostensor.models.promptable.scribbleprompt.canvas import Canvas, draw_
from ostensor.models.promptable.scribbleprompt.guides import guides_of, seeds_of
from ostensor.models.promptable.scribbleprompt.network import ScribbleConfig, ScribbleUnet
from ostensor.models.promptable.scribbleprompt.weights import convert, load_scribble
from ostensor.models.promptable.scribbleprompt.zoom import ZoomHand


def drawn(shape: tuple[int, ...], prompts: Sequence[Prompt]) -> Canvas:
    canvas = Canvas.blank(shape)
    draw_(canvas, prompts)
    return canvas


def test_seeds_are_the_marks_and_the_rim_or_the_outside_of_a_box() -> None:
    point = seeds_of(drawn((20, 30), [Prompt("point", at=(9, 12))]))
    assert point[9, 12] == 1
    assert (point[0] == 2).all()
    both = seeds_of(drawn((20, 30), [Prompt("point", at=(9, 12)), Prompt("point", False, at=(15, 25))]))
    assert both[15, 25] == 2
    assert both[0, 0] == 0, "what is not meant was said, so the rim says nothing"
    boxed = seeds_of(drawn((20, 30), [Prompt("box", box=((4, 14), (6, 20)))]))
    assert boxed[9, 13] == 1
    assert boxed[3, 13] == 2
    assert boxed[4, 6] == 0


@pytest.mark.parametrize("shape", [(40, 48), (24, 26, 28)])
def test_guides_follow_an_edge_and_a_brightness(shape: tuple[int, ...]) -> None:
    """A bright half: a click into it grows to the edge between the halves; it is alike in its own half only."""
    picture = np.full(shape, 0.2, np.float32)
    half = shape[0] // 2
    picture[half:] = 0.8
    inside, outside = (half + 8, *(side // 2 for side in shape[1:])), (4, *(side // 2 for side in shape[1:]))
    grown, alike, unlike = guides_of(
        picture, drawn(shape, [Prompt("point", at=inside), Prompt("point", False, at=outside)])
    )
    assert grown[half + 1 :].all()
    assert not grown[: half - 1].any()
    assert alike[half + 4 :].min() > 0.99
    assert alike[: half - 4].max() < 0.01
    assert unlike[: half - 4].min() > 0.99
    assert unlike[half + 4 :].max() < 0.01
    assert not guides_of(picture, drawn(shape, [])).any(), "nothing was said"


def test_each_mark_has_a_brightness_of_its_own() -> None:
    """Two greys are meant; their mean, which nobody pointed at, is not."""
    picture = np.full((30, 60), 0.5, np.float32)
    picture[:, :20], picture[:, 40:] = 0.1, 0.9
    alike = guides_of(picture, drawn((30, 60), [Prompt("point", at=(15, 8)), Prompt("point", at=(15, 52))]))[1]
    assert alike[:, :16].min() > 0.99
    assert alike[:, 44:].min() > 0.99
    assert alike[:, 24:36].max() < 0.01


def test_a_guided_network_loads_as_one_and_is_no_published_file(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = ScribbleUnet(ScribbleConfig((4, 6), guided=True))
    again = load_scribble(net.state_dict())
    assert again.config.guided
    assert again.downs[0].conv[0].in_channels == 8
    save_file(net.state_dict(), tmp_path / "guided.safetensors")
    with pytest.raises(BadCall, match="takes 8 channels and ScribblePrompt 5"):
        convert(card("scribbleprompt"), [tmp_path / "guided.safetensors"])


def test_the_hand_gives_a_guided_network_what_training_gave_it() -> None:
    """Picture, box, meant, not meant, three guides, last logits, in this order."""
    seen: list[torch.Tensor] = []

    class Seeing(ScribbleUnet):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            seen.append(x)
            return super().forward(x)

    torch.manual_seed(0)
    hand = ZoomHand(Seeing(ScribbleConfig((4, 6), guided=True)).eval(), 32)
    picture = torch.linspace(0, 7, 32 * 32).reshape(32, 32)
    features = hand.embed(picture, hand.place((32, 32)))
    marks = Marks(torch.tensor([[8.0, 9.0]]), torch.tensor([1]), torch.zeros(0, 2, 2), None)
    with torch.no_grad():
        hand.draw(features, marks, torch.full((32, 32), 0.25))
    (x,) = seen
    canvas = drawn((32, 32), [Prompt("point", at=(8, 9))])
    assert torch.allclose(x[0, 0], picture / 7)
    assert np.array_equal(x[0, 1:4].numpy(), canvas.channels)
    assert np.allclose(x[0, 4:7].numpy(), guides_of((picture / 7).numpy(), canvas))
    assert torch.equal(x[0, 7], torch.full((32, 32), 0.25))
