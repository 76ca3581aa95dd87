"""LoRA trains (the published fault is that it does not), leaves the base alone, and merges away."""

import pytest
import torch
from torch import nn

from ostensor.models.blocks.lora import add_lora_, merge_lora_, thaw_, trainable


class _Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.q_proj, self.fc1, self.film = nn.Linear(7, 5), nn.Linear(5, 3), nn.Linear(7, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        made: torch.Tensor = self.fc1(torch.tanh(self.q_proj(x))) + self.film(x)
        return made


def test_only_adapters_train_and_a_step_changes_them_and_the_answer() -> None:
    """Spec §13.6 and §10.1: names hold lora_ only, their count is above 0, the base stays as it was."""
    torch.manual_seed(3)
    model = _Block()
    x, before = torch.randn(11, 7), {name: value.clone() for name, value in model.named_parameters()}
    start = model(x).detach()
    add_lora_(model, rank=2, alpha=8, dropout=0.0)
    names = [name for name, _value in trainable(model)]
    assert len(names) == 4
    assert all("lora_" in name for name in names)
    torch.testing.assert_close(model(x), start)
    optimizer = torch.optim.SGD([value for _name, value in trainable(model)], lr=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        (model(x) ** 2).sum().backward()
        optimizer.step()
    assert (model(x) - start).abs().max() > 1e-2
    for name, value in model.named_parameters():
        if "lora_" not in name:
            torch.testing.assert_close(value, before[name.replace("base_layer.", "")], rtol=0, atol=0)


def test_merged_weights_answer_the_same_without_adapters() -> None:
    """Spec §13.6."""
    torch.manual_seed(5)
    model = _Block()
    add_lora_(model, rank=2, alpha=8, dropout=0.0)
    with torch.no_grad():
        for _name, value in trainable(model):
            value.copy_(torch.randn_like(value))
    x = torch.randn(11, 7)
    adapted = model.eval()(x)
    merge_lora_(model)
    assert not [name for name, _ in model.named_parameters() if "lora_" in name]
    torch.testing.assert_close(model(x), adapted, atol=1e-5, rtol=1e-5)


def test_modulation_may_train_beside_the_adapters() -> None:
    """Spec §3, transfer mode: LoRA and FiLM."""
    model = _Block()
    add_lora_(model, rank=2)
    thaw_(model, ["film"])
    assert {name.split(".")[0] for name, _ in trainable(model)} == {"q_proj", "fc1", "film"}


def test_a_model_without_such_layers_is_refused() -> None:
    with pytest.raises(ValueError, match="nothing would train"):
        add_lora_(nn.Sequential(nn.Linear(3, 5)))


def test_adapters_train_in_a_clip_text_tower() -> None:
    """The tower DuPLUS uses, made tiny: every target layer gets its adapter and a gradient."""
    from transformers import CLIPTextConfig, CLIPTextModel

    config = CLIPTextConfig(
        vocab_size=99,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=2,
        bos_token_id=97,
        eos_token_id=98,
    )
    model = CLIPTextModel(config)
    assert len(add_lora_(model, rank=4)) == 12
    model(torch.tensor([[1, 5, 7, 98]])).pooler_output[0, :5].square().sum().backward()
    grads = {name: value.grad for name, value in trainable(model)}
    assert len(grads) == 24
    assert all(grad is not None for grad in grads.values())
    assert sum(float(grad.abs().sum()) for grad in grads.values() if grad is not None) > 0
