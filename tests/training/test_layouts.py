"""Kernels are laid out for speed only where torch bears it."""

from pathlib import Path

import torch

from ostensor.models.backbones.table import backbone
from ostensor.training.regimes.by_words import Supervised
from ostensor.training.trainer import Schedule, Trainer


def test_backbones_that_do_not_say_they_bear_it_keep_their_order(tmp_path: Path) -> None:
    """ParaTransCNN with kernels in channels-last order ends the process in torch 2.13."""
    orders = {}
    for name in ("unet", "paratranscnn"):
        torch.manual_seed(0)
        net = backbone(name).build(2, 1, 2, {})
        Trainer(net, Supervised({"a": (1,), "b": (2,)}), Schedule(1), tmp_path / name)
        kernels = [one for one in net.parameters() if one.dim() == 4 and min(one.shape) > 1]
        orders[name] = {one.is_contiguous(memory_format=torch.channels_last) for one in kernels}
    assert orders == {"unet": {True}, "paratranscnn": {False}}
