"""Where a computation needs the digits it asks for."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch


def without_autocast(x: torch.Tensor) -> AbstractContextManager[object]:
    """While it lasts, kinds of numbers on a tensor's device are as the code says; the meta device, which has none, is left alone."""
    return nullcontext() if x.is_meta else torch.autocast(x.device.type, enabled=False)
