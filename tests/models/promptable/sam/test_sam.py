"""SAM: the published sizes, the same answers as transformers' network from its own names, and what is refused."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import SamConfig, SamMaskDecoderConfig, SamModel, SamPromptEncoderConfig, SamVisionConfig

from ostensor.imaging.errors import BadCall
from ostensor.imaging.volume import Grid, Volume
from ostensor.models import catalogue, importing
from ostensor.models.blocks.sam.sam import Given
from ostensor.models.interface import Prompt, Promptable, Running
from ostensor.models.load import load_card
from ostensor.models.promptable.colours import ColourHand
from ostensor.models.promptable.flat import Marks
from ostensor.models.promptable.sam.weights import build, choose_habits, load_sam

HEADS = 4


@pytest.fixture(scope="module")
def theirs() -> SamModel:
    """A small one of transformers with windows that are filled up, random everywhere."""
    torch.manual_seed(3)
    vision = SamVisionConfig(
        hidden_size=32, output_channels=24, num_hidden_layers=3, num_attention_heads=4, image_size=64, patch_size=8,
        window_size=3, global_attn_indexes=[1], mlp_dim=64, num_pos_feats=12,
    )  # fmt: skip
    prompts = SamPromptEncoderConfig(hidden_size=24, image_size=64, patch_size=8, mask_input_channels=8)
    decoder = SamMaskDecoderConfig(
        hidden_size=24, mlp_dim=40, num_hidden_layers=2, num_attention_heads=HEADS, iou_head_hidden_dim=16
    )
    net = SamModel(
        SamConfig(
            vision_config=vision.to_dict(),
            prompt_encoder_config=prompts.to_dict(),
            mask_decoder_config=decoder.to_dict(),
        )
    )
    for value in net.parameters():
        torch.nn.init.normal_(value, std=0.2)
    net.prompt_encoder.shared_embedding.positional_embedding = net.shared_image_embedding.positional_embedding
    return net.eval()


@pytest.mark.parametrize(("size", "millions"), [("vit_b", 93.7), ("vit_l", 312.3), ("vit_h", 641.1)])
def test_the_published_sizes(size: str, millions: float) -> None:
    """Parameters of Meta's three files; nothing is allocated."""
    assert sum(value.numel() for value in build(size).parameters()) / 1e6 == pytest.approx(millions, abs=0.06)


def test_transformers_weights_give_transformers_answers(theirs: SamModel) -> None:
    """Another implementation of the same network, with points alone, with a box, and with a mask."""
    ours = load_sam(theirs.state_dict(), HEADS)
    generator = torch.Generator().manual_seed(5)
    picture = torch.randn(1, 3, 64, 64, generator=generator)
    points, labels = torch.tensor([[[13.0, 40.0], [50.0, 7.0]]]), torch.tensor([[1, 0]])
    box, mask = torch.tensor([[8.0, 5.0, 45.0, 60.0]]), torch.randn(1, 1, 32, 32, generator=generator)
    with torch.no_grad():
        embedding = ours.encode(picture)
        for given, ambiguous in (
            (Given(points, labels), True),
            (Given(points, labels, box), False),
            (Given(points, labels, box, mask), True),
        ):
            wanted = theirs(
                pixel_values=picture,
                input_points=points[:, None],
                input_labels=labels[:, None],
                input_boxes=None if given.boxes is None else box[:, None],
                input_masks=given.mask,
                multimask_output=ambiguous,
            )
            logits, iou = ours.decode(embedding, given, ambiguous=ambiguous)
            assert torch.allclose(logits, wanted.pred_masks[:, 0], atol=2e-5)
            assert torch.allclose(iou, wanted.iou_scores[:, 0], atol=2e-5)


def test_both_names_load_to_the_same_weights(theirs: SamModel) -> None:
    ours = load_sam(theirs.state_dict(), HEADS).state_dict()
    again = load_sam(ours | {"pixel_mean": torch.zeros(3, 1, 1)}, HEADS).state_dict()
    assert ours.keys() == again.keys()
    assert all(torch.equal(value, again[key]) for key, value in ours.items())


def test_other_networks_are_refused(theirs: SamModel) -> None:
    state = dict(theirs.state_dict())
    with pytest.raises(BadCall, match="adapters: import it as 'sam-med2d'"):
        load_sam({"image_encoder.blocks.0.Adapter.norm.weight": torch.zeros(1)})
    with pytest.raises(BadCall, match="a memory: import it as 'sam2'"):
        load_sam({"memory_encoder.out_proj.weight": torch.zeros(1)})
    with pytest.raises(BadCall, match="no SAM of pictures"):
        load_sam({"image_encoder.patch_embed.proj.weight": torch.zeros(4, 1, 8, 8, 8)})
    with pytest.raises(BadCall, match="'pos_embed' is missing"):
        load_sam({key: value for key, value in state.items() if key != "vision_encoder.pos_embed"})
    with pytest.raises(BadCall, match="1 missing"):
        load_sam({key: value for key, value in state.items() if key != "mask_decoder.iou_token.weight"})
    with pytest.raises(BadCall, match="1 unexpected"):
        load_sam(state | {"image_encoder.strange": torch.zeros(1)})


def test_prompts_are_columns_before_rows_and_boxes_end_in_their_last_pixel(theirs: SamModel) -> None:
    net = load_sam(theirs.state_dict(), HEADS)
    hand = ColourHand(net, choose_habits("sam", net))
    marks = Marks(torch.tensor([[3.0, 9.0]]), torch.tensor([1]), torch.tensor([[[4.5, 10.5], [20.5, 30.5]]]))
    given = hand.given(marks, torch.zeros(32, 32))
    assert given.points is not None
    assert given.boxes is not None
    assert given.points.tolist() == [[[9.0, 3.0]]]
    assert given.boxes.tolist() == [[11.0, 5.0, 30.0, 20.0]], "pixels 5 to 20 down, 11 to 30 across"
    with pytest.raises(BadCall, match="one box for each slice; 2"):
        hand.given(Marks(marks.points, marks.labels, marks.boxes.repeat(2, 1, 1)), None)


def test_every_pixel_of_a_scribble_is_a_click(theirs: SamModel) -> None:
    """ScribblePrompt's SAM: at 128 pixels, whose middles lie in the network's square."""
    net = load_sam(theirs.state_dict(), HEADS)
    habits = dataclasses.replace(choose_habits("scribbleprompt-sam", net), strokes=16)
    scribbles = torch.zeros(2, 64, 64)
    scribbles[0, 8:12, 20:28] = 1  # one row, two columns of four pixels each
    scribbles[1, 40:44, 0:4] = 1
    marks = Marks(torch.tensor([[3.0, 9.0]]), torch.tensor([0]), torch.zeros(0, 2, 2), scribbles)
    given = ColourHand(net, habits).given(marks, None)
    assert given.points is not None
    assert given.labels is not None
    assert given.points.tolist() == [[[9.0, 3.0], [21.5, 9.5], [25.5, 9.5], [1.5, 41.5]]]
    assert given.labels.tolist() == [[0, 1, 1, 0]]


def test_from_a_file_to_masks_of_a_scan(theirs: SamModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue, "USER_FOLDER", tmp_path)
    torch.save(theirs.state_dict(), tmp_path / "sam.pth")
    monkeypatch.setattr("ostensor.models.promptable.sam.weights.load_sam.__defaults__", (HEADS,))
    try:
        for name in ("sam", "medsam", "scribbleprompt-sam"):
            importing.import_weights(name, [tmp_path / "sam.pth"], accept_licence=True, folder=tmp_path)
            made = load_card(catalogue.card(name), Running())
            assert isinstance(made, Promptable)
            array = np.random.default_rng(0).normal(size=(31, 37, 3)).astype(np.float32)
            scan = Volume(array, Grid(array.shape, np.diag([0.7, 0.9, 3.0, 1.0])), "mr")
            seen = made.encode(scan, progress=lambda share: None, cancelled=lambda: False)
            box = Prompt("box", box=((5, 20), (7, 30), (1, 3)))
            found = made.decode(seen, [box])
            assert found.array.shape == (31, 37, 3)
            assert not found.array[:, :, 0].any(), "nothing was pointed at there"
            again = made.decode(seen, [box], found.logits)
            assert (again.iou != found.iou) == (name != "medsam"), (
                "SAM goes on from its last answer, MedSAM was not taught to"
            )
            click = Prompt("point", at=(9, 9, 1))
            if name == "medsam":
                with pytest.raises(BadCall, match="'medsam' does not understand a point"):
                    made.decode(seen, [click])
            else:
                assert made.decode(seen, [click]).iou is not None
    finally:
        catalogue.forget_cards()
